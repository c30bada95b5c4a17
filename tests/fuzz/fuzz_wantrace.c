/* Any text as a trace: what is accepted can be played for ever. */
#include <stdlib.h>

#include "lab/wantrace.h"

static void check_step(const struct wan_trace *t, unsigned i)
{
    for (unsigned d = 0; d < WAN_DIRECTIONS; d++)
        if (!t->step[i].dir[d].rate_bps || !wan_queue_limit(&t->step[i].dir[d]))
            abort();
    if (i ? t->step[i].at_ns <= t->step[i - 1].at_ns : t->step[i].at_ns != 0)
        abort();
}

/* From step to step, twice around. */
static void play(const struct wan_trace *t)
{
    uint64_t at_ns = 0;

    for (unsigned i = 0; i < 2 * t->n; i++) {
        uint64_t next_ns = wan_trace_next_ns(t, at_ns);

        if (wan_trace_step(t, at_ns) != i % t->n)
            abort();
        if (next_ns == UINT64_MAX) {
            if (t->period_ns || i != t->n - 1)
                abort();
            return;
        }
        if (next_ns <= at_ns)
            abort();
        at_ns = next_ns;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wan_trace t;
    unsigned line = 0;

    if (wan_trace_parse(&t, (const char *)data, size, &line) < 0) {
        if (!line)
            abort();
        return 0;
    }
    for (unsigned i = 0; i < t.n; i++)
        check_step(&t, i);
    play(&t);
    wan_trace_done(&t);
    return 0;
}
