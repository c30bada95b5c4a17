/* One line per event, subject first: "path wan1: up: 203.0.113.7:45001".
 * Libraries return errors; only the daemon and the command line log. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG, LOG_LEVEL_COUNT };

const char *log_level_name(enum log_level level);

void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);

/* Write one line (no newline in fmt) to standard error, prefixed with "<N>" syslog priorities
 * when JOURNAL_STREAM is set. Control characters are printed as '?', so that text from a peer
 * cannot forge a line. Keeps errno. */
void log_msg(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Tell fn the text of each error that is logged from now on; NULL: nobody. It must not log. */
void log_set_error_hook(void (*fn)(void *user, const char *text), void *user);

#define log_error(...) log_msg(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_info(...) log_msg(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                             \
    do {                                           \
        if (log_enabled(LOG_LEVEL_DEBUG))          \
            log_msg(LOG_LEVEL_DEBUG, __VA_ARGS__); \
    } while (0)

/* A limiter for lines that traffic can cause: at most one per interval_ns. log_limit_ok()
 * returns true when a line may be written now, and then sets *ret_suppressed to the number
 * that were held back since the last one. */
struct log_limit {
    uint64_t next_ns; /* the lines so far are worth an interval each: the end of the last */
    uint64_t suppressed;
};
bool log_limit_ok(struct log_limit *l, uint64_t now_ns, uint64_t interval_ns,
                  uint64_t *ret_suppressed);

/* The same with `burst` lines at once (at least 1), and then one per interval_ns. */
bool log_burst_ok(struct log_limit *l, uint64_t now_ns, uint64_t interval_ns, unsigned burst,
                  uint64_t *ret_suppressed);

/* " (3 more like this)" for lines that were held back, "" for none. Returns buf. */
enum { LOG_MORE_MAX = 48 };
const char *log_more_str(uint64_t suppressed, char buf[static LOG_MORE_MAX]);

#endif
