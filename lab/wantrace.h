/* How a line changes with time: a small text that the laboratory's emulator and the simulator play.
 *
 *      # a comment
 *      0s      both  delay=20ms queue=500k loss=0.05%
 *      0s      down  rate=40m
 *      0s      up    rate=15m
 *      100ms   down  rate=32.5m
 *      14.9s   both  down=1
 *      15.1s   both  down=0
 *      60s     repeat
 *
 * Each line is a time since the start, a direction and words of wan_params_parse(), which hold from
 * then on. Times do not decrease; lines of one time are one step. The first step is at 0s. `up` is
 * from the edge to the hub. With `repeat`, which comes last, the trace begins anew at that time;
 * without, the last step holds for ever. At every step both directions have a rate and a finite
 * queue.
 *
 * `cut` is not for traces: it is what a test does to a line while a trace plays. */
#ifndef LAB_WANTRACE_H
#define LAB_WANTRACE_H

#include "lab/wanparams.h"

enum { WAN_UP, WAN_DOWN, WAN_DIRECTIONS };
enum { WAN_TRACE_STEPS_MAX = 20000, WAN_TRACE_WORDS_MAX = 200, WAN_TRACE_FILE_MAX = 1 << 20 };

/* Everything that holds from at_ns on, not only what changes then. */
struct wan_step {
    uint64_t at_ns;
    struct wan_params dir[WAN_DIRECTIONS];
};

struct wan_trace {
    struct wan_step *step; /* n of them, by time; the first at 0 */
    unsigned n;
    uint64_t period_ns; /* more than the last at_ns; 0 = plays once */
};

/* Make a trace of a text of len bytes. Returns 0, -ENOMEM, or -EINVAL and the number of the line
 * that is wrong in *ret_line (from 1; one past the last when something is missing at the end). */
int wan_trace_parse(struct wan_trace *ret, const char *text, size_t len, unsigned *ret_line);

/* The same of a file of at most WAN_TRACE_FILE_MAX bytes: -EFBIG when it is longer, or the errno of
 * reading it. *ret_line is 0 unless the content is wrong. */
int wan_trace_load(struct wan_trace *ret, const char *path, unsigned *ret_line);

void wan_trace_done(struct wan_trace *t);

/* The number of the step that holds elapsed_ns after the start, repetitions counted in. */
unsigned wan_trace_step(const struct wan_trace *t, uint64_t elapsed_ns);

/* When after elapsed_ns the next step begins, as time since the start; UINT64_MAX when none will.
 */
uint64_t wan_trace_next_ns(const struct wan_trace *t, uint64_t elapsed_ns);

#endif
