#include "wan/eventlog.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/readfile.h"
#include "base/util.h"

const char *eventlog_cause_name(enum eventlog_cause c)
{
    static const char *const names[EVENTLOG_CAUSE_COUNT] = {
#define X(sym, name) [sym] = (name),
        EVENTLOG_CAUSES(X)
#undef X
    };

    return (unsigned)c < EVENTLOG_CAUSE_COUNT ? names[c] : "?";
}

/* --- ids ------------------------------------------------------------------------------- */

static void make_id(char ret[static EVENTLOG_ID_MAX])
{
    uint64_t id = 0;

    if (getrandom(&id, sizeof(id), 0) != sizeof(id))
        id = (uint64_t)time(NULL) << 32 | (uint64_t)getpid();
    snprintf(ret, EVENTLOG_ID_MAX, "%016llx", (unsigned long long)id);
}

static bool take_given_id(char ret[static EVENTLOG_ID_MAX])
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789-_.";
    const char *given = getenv("MPQUIC_TRACE");
    size_t len = given ? strlen(given) : 0;

    if (!len || len >= EVENTLOG_ID_MAX || strspn(given, allowed) != len)
        return false;
    memcpy(ret, given, len + 1);
    return true;
}

static void read_boot_id(char ret[static EVENTLOG_BOOT_MAX])
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : readfile_bytes(fd, ret, EVENTLOG_BOOT_MAX - 1);

    if (fd >= 0)
        close(fd);
    /* with the newline it is one byte longer than that */
    ret[n == -EFBIG ? EVENTLOG_BOOT_MAX - 1 : MAX(n, 0)] = 0;
    ret[strcspn(ret, "\n")] = 0;
}

void eventlog_init(struct eventlog *e, enum eventlog_cause cause)
{
    *e = (struct eventlog){.fd = -1, .cause = cause};
    read_boot_id(e->boot);
    if (!take_given_id(e->run))
        make_id(e->run);
    memcpy(e->trace, e->run, sizeof(e->trace));
}

void eventlog_begin(struct eventlog *e, enum eventlog_cause cause)
{
    e->cause = cause;
    make_id(e->trace);
}

/* --- the file -------------------------------------------------------------------------- */

static void shut(struct eventlog *e)
{
    if (e->fd >= 0)
        close(e->fd);
    e->fd = -1;
}

void eventlog_done(struct eventlog *e)
{
    shut(e);
    free(e->file);
    e->file = NULL;
}

static int open_file(struct eventlog *e)
{
    struct stat st;

    shut(e);
    e->fd =
        open(e->file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0640);
    if (e->fd < 0)
        return -errno;
    if (fstat(e->fd, &st) || !S_ISREG(st.st_mode)) {
        shut(e);
        return -EINVAL;
    }
    e->bytes = (uint64_t)st.st_size;
    return 0;
}

int eventlog_open(struct eventlog *e, const char *file)
{
    eventlog_done(e);
    e->complained = false;
    if (!*file)
        return 0;
    e->file = strdup(file);
    return e->file ? open_file(e) : -ENOMEM;
}

/* What was FILE becomes FILE.1. */
static int turn_over(struct eventlog *e)
{
    _cleanup_free_ char *old = NULL;

    if (asprintf(&old, "%s.1", e->file) < 0)
        return -ENOMEM;
    if (rename(e->file, old) && errno != ENOENT)
        return -errno;
    return open_file(e);
}

static void write_line(struct eventlog *e, const char *line, size_t len)
{
    int rv = e->bytes + len > EVENTLOG_BYTES_MAX ? turn_over(e) : 0;
    ssize_t n = rv || e->fd < 0 ? -1 : write(e->fd, line, len);

    if (n > 0)
        e->bytes += (uint64_t)n;
    if (n == (ssize_t)len) {
        e->complained = false;
        return;
    }
    if (!e->complained)
        log_error("gateway: %s: events are lost: %s", e->file,
                  rv      ? strerror(-rv)
                  : n < 0 ? strerror(errno)
                          : "no space");
    e->complained = true;
}

/* --- events ---------------------------------------------------------------------------- */

static void now_str(char *buf, size_t size)
{
    struct timespec ts;
    struct tm tm;
    size_t n;

    clock_gettime(CLOCK_REALTIME, &ts);
    gmtime_r(&ts.tv_sec, &tm);
    n = strftime(buf, size, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(buf + n, size - n, ".%03ldZ", ts.tv_nsec / 1000000);
}

void eventlog_write(struct eventlog *e, const char *event, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    eventlog_vwrite(e, event, fmt, ap);
    va_end(ap);
}

void eventlog_vwrite(struct eventlog *e, const char *event, const char *fmt, va_list ap)
{
    _cleanup_free_ char *text = NULL;
    char now[40], *line = NULL;
    int len;
    json_t *all, *more;

    if (e->fd < 0)
        return;
    now_str(now, sizeof(now));
    more = json_vpack_ex(NULL, 0, fmt, ap);
    all = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "time", now, "event", event, "boot", e->boot,
                    "run", e->run, "trace", e->trace, "cause", eventlog_cause_name(e->cause));
    if (all && more)
        json_object_update(all, more);
    text = all ? json_dumps(all, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    json_decref(all);
    json_decref(more);
    len = text ? asprintf(&line, "%s\n", text) : -1;
    if (len < 0)
        return;
    write_line(e, line, (size_t)len);
    free(line);
}
