/* A link in virtual time, for the tests of probes. */
#ifndef TESTS_PROBE_WORLD_H
#define TESTS_PROBE_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/rng.h"
#include "base/util.h"
#include "config/schema.h"
#include "wan/probe.h"

enum { FLYING_MAX = 512 };

/* An answer on its way. */
struct flying {
    uint64_t at_ns;
    unsigned target;
    uint16_t number;
};

struct world;

/* Is a request to a target lost at this time? */
typedef bool lost_fn(struct world *w, unsigned target);

struct world {
    uint64_t now_ns;
    struct rng rng;
    struct probe probe;
    struct flying flying[FLYING_MAX];
    unsigned n_flying;
    lost_fn *lost;
    uint64_t rtt_ns;
    enum wan_state seen;
    unsigned n_changes;
    uint64_t n_rounds, n_requests;
    uint64_t burst_at_ns; /* bursts of 300 ms */
};

static inline struct gateway_probe conf_of(uint32_t interval_ms)
{
    struct gateway_probe c;

    config_defaults(&gateway_probe_schema, &c, sizeof(c));
    c.interval_ms = interval_ms;
    gateway_probe_complete(&c);
    return c;
}

static inline void start(struct world *w, const struct gateway_probe *c, unsigned n_targets,
                         lost_fn *lost)
{
    static const struct wan_verdict none;

    memset(w, 0, sizeof(*w));
    w->now_ns = 1000 * NS_PER_S;
    rng_seed(&w->rng, 7);
    w->lost = lost;
    w->rtt_ns = 20 * NS_PER_MS;
    probe_init(&w->probe, c, n_targets, &none, w->now_ns);
}

static inline void send_round(struct world *w, uint16_t number, uint32_t targets)
{
    w->n_rounds += !(number & LOOK_NUMBER);
    w->n_requests += (unsigned)__builtin_popcount(targets);
    for (unsigned i = 0; i < w->probe.n_targets; i++) {
        if (!(targets & 1u << i) || w->lost(w, i))
            continue;
        assert_true(w->n_flying < FLYING_MAX);
        w->flying[w->n_flying++] = (struct flying){w->now_ns + w->rtt_ns, i, number};
    }
}

static inline uint64_t next_ns(struct world *w)
{
    uint64_t at = probe_next_ns(&w->probe);

    for (unsigned i = 0; i < w->n_flying; i++)
        at = MIN(at, w->flying[i].at_ns);
    return at;
}

static inline void land(struct world *w)
{
    for (unsigned i = 0; i < w->n_flying;) {
        struct flying f = w->flying[i];

        if (f.at_ns > w->now_ns) {
            i++;
            continue;
        }
        w->flying[i] = w->flying[--w->n_flying];
        probe_on_answer(&w->probe, f.target, f.number, w->now_ns);
    }
}

static inline void run(struct world *w, uint64_t for_ns)
{
    uint64_t end_ns = w->now_ns + for_ns, at;
    uint32_t targets;
    uint16_t number;

    while ((at = next_ns(w)) <= end_ns) {
        assert_true(at >= w->now_ns);
        w->now_ns = at;
        land(w);
        probe_expire(&w->probe, w->now_ns);
        w->n_changes += w->probe.verdict.state != w->seen;
        w->seen = w->probe.verdict.state;
        if (probe_begin(&w->probe, w->now_ns, &number, &targets))
            send_round(w, number, targets);
    }
    w->now_ns = end_ns;
}

/* Until it is in that state; how long that took, at most limit_ns. */
static inline uint64_t run_until(struct world *w, enum wan_state state, uint64_t limit_ns)
{
    uint64_t from_ns = w->now_ns;

    while (w->probe.verdict.state != state && w->now_ns - from_ns < limit_ns)
        run(w, 10 * NS_PER_MS);
    assert_int_equal(w->probe.verdict.state, state);
    return w->now_ns - from_ns;
}

#endif
