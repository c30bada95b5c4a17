#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"

static enum log_level max_level = LOG_LEVEL_INFO;
static void (*error_hook)(void *user, const char *text);
static void *error_hook_user;

const char *log_level_name(enum log_level level)
{
    static const char *const names[LOG_LEVEL_COUNT] = {"error", "info", "debug"};

    return (unsigned)level < LOG_LEVEL_COUNT ? names[level] : "?";
}

void log_set_level(enum log_level level)
{
    max_level = level;
}

bool log_enabled(enum log_level level)
{
    return level <= max_level;
}

void log_set_error_hook(void (*fn)(void *user, const char *text), void *user)
{
    error_hook = fn;
    error_hook_user = user;
}

void log_msg(enum log_level level, const char *fmt, ...)
{
    static const char *const priority[LOG_LEVEL_COUNT] = {"<3>", "<6>", "<7>"};
    char line[1024];
    int saved = errno, n = 0, head, m;
    va_list ap;

    if (!log_enabled(level))
        return;
    if (getenv("JOURNAL_STREAM"))
        n = snprintf(line, sizeof(line), "%s", priority[level]);
    head = n;
    errno = saved; /* for %m */
    va_start(ap, fmt);
    m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
    va_end(ap);
    if (m > 0)
        n += m < (int)sizeof(line) - n - 1 ? m : (int)sizeof(line) - n - 2;
    for (int i = 0; i < n; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
    line[n] = 0;
    if (level == LOG_LEVEL_ERROR && error_hook)
        error_hook(error_hook_user, line + head);
    line[n++] = '\n';
    if (write(STDERR_FILENO, line, (size_t)n) < 0) {
        /* nowhere left to say it */
    }
    errno = saved;
}

bool log_limit_ok(struct log_limit *l, uint64_t now_ns, uint64_t interval_ns,
                  uint64_t *ret_suppressed)
{
    return log_burst_ok(l, now_ns, interval_ns, 1, ret_suppressed);
}

bool log_burst_ok(struct log_limit *l, uint64_t now_ns, uint64_t interval_ns, unsigned burst,
                  uint64_t *ret_suppressed)
{
    uint64_t from_ns = MAX(l->next_ns, now_ns);

    if (from_ns - now_ns > (burst - 1) * interval_ns) {
        l->suppressed++;
        return false;
    }
    *ret_suppressed = l->suppressed;
    l->suppressed = 0;
    l->next_ns = from_ns + interval_ns;
    return true;
}

const char *log_more_str(uint64_t suppressed, char buf[static LOG_MORE_MAX])
{
    buf[0] = 0;
    if (suppressed)
        snprintf(buf, LOG_MORE_MAX, " (%llu more like this)", (unsigned long long)suppressed);
    return buf;
}
