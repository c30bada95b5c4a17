/* The log of events for machines: one line of JSON for each, in a file.
 *
 *      {"time": "2026-01-31T12:00:00.123Z", "event": "link", "boot": "6f1c...", "run": "90ab...",
 *       "trace": "1f00...", "cause": "probe", ...}
 *
 * boot is the kernel's id of this boot, which others on the machine log too; run is the trace that
 * this process began with; trace is the same in all lines that follow from one cause. */
#ifndef WAN_EVENTLOG_H
#define WAN_EVENTLOG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EVENTLOG_ID_MAX = 65, EVENTLOG_BOOT_MAX = 37, EVENTLOG_BYTES_MAX = 8 << 20 };

/* Why something happens. */
#define EVENTLOG_CAUSES(X)                                                   \
    X(EVENTLOG_START, "start") /* the gateway begins */                      \
    X(EVENTLOG_APPLY, "apply") /* by a verb, by hand */                      \
    X(EVENTLOG_RELOAD, "reload")                                             \
    X(EVENTLOG_KERNEL, "kernel") /* an interface, route, rule ... changed */ \
    X(EVENTLOG_PROBE, "probe")   /* a link works, or does not, any more */   \
    X(EVENTLOG_PERIOD, "period") /* looked without any of those */           \
    X(EVENTLOG_TRIAL, "trial")   /* its time is over, or it was rejected */  \
    X(EVENTLOG_DOWN, "down")                                                 \
    X(EVENTLOG_STOP, "stop")

enum eventlog_cause {
#define X(sym, name) sym,
    EVENTLOG_CAUSES(X)
#undef X
        EVENTLOG_CAUSE_COUNT
};

const char *eventlog_cause_name(enum eventlog_cause c);

struct eventlog {
    char *file; /* NULL: nothing is written */
    int fd;
    uint64_t bytes;
    bool complained;
    enum eventlog_cause cause;
    char boot[EVENTLOG_BOOT_MAX], run[EVENTLOG_ID_MAX], trace[EVENTLOG_ID_MAX];
};

/* Begin a process: its run id, and its first trace, are $MPQUIC_TRACE when that is 1 to 64 letters,
 * digits, '-', '_' and '.', so that a deployment can give its own; else random. Nothing is written
 * until eventlog_open(). */
void eventlog_init(struct eventlog *e, enum eventlog_cause cause);
void eventlog_done(struct eventlog *e);

/* Write to this file from now on, "": to none. Appended to; made with mode 0640. The one that is
 * open, when it has the same name, is opened anew. Returns 0 or -errno (-ENOMEM too): then nothing
 * is written. */
int eventlog_open(struct eventlog *e, const char *file);

/* What is written from now on follows from a new cause: a new trace. */
void eventlog_begin(struct eventlog *e, enum eventlog_cause cause);

/* One event, with members as json_pack() makes them of an object: "{s:s, s:b}", ... . A text is to
 * be ASCII. What cannot be written is lost, which is logged once. */
void eventlog_write(struct eventlog *e, const char *event, const char *fmt, ...);
void eventlog_vwrite(struct eventlog *e, const char *event, const char *fmt, va_list ap);

#endif
