/* What the scenarios with a whole tunnel share: one line, one tunnel. */
#ifndef TESTS_SIM_SCENE_H
#define TESTS_SIM_SCENE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "quic/pmtu.h"
#include "sim/tunnel.h"

struct scene {
    struct sim *sim;
    struct wan wan;
    struct nat nat;
    struct tunnel *t;
};

static inline struct link_opts scene_line(uint64_t rate_bps, unsigned rtt_ms)
{
    return (struct link_opts){.rate_bps = rate_bps, .delay_ns = rtt_ms * NS_PER_MS / 2};
}

/* The line is there, the tunnel not yet: filters may be set. */
static inline void scene_init(struct scene *s, uint64_t seed, const struct link_opts *up,
                              const struct link_opts *down)
{
    *s = (struct scene){.sim = sim_new(seed)};
    wan_init(&s->wan, s->sim, "wan", up, down);
}

static inline void scene_start(struct scene *s, const struct tunnel_opts *opts)
{
    s->t = tunnel_new(&s->wan, opts);
}

static inline void scene_done(struct scene *s)
{
    tunnel_free(s->t);
    wan_done(&s->wan);
    sim_free(s->sim);
}

/* Seconds since the start of the run of a time of the simulation. */
static inline double scene_s(uint64_t ns)
{
    return (double)(ns - SIM_START_NS) / 1e9;
}

#endif
