/* What the scenarios with several lines share: the lines, and one session over them. */
#ifndef TESTS_SIM_BOND_H
#define TESTS_SIM_BOND_H

#include <stdio.h>

#include "scene.h"

#include "base/util.h"

enum { LINES_MAX = 6 };

struct bond {
    struct sim *sim;
    struct wan wan[LINES_MAX];
    unsigned n;
    struct tunnel *t;
};

/* Lines with a round trip of 30 ms. */
static const struct link_opts twin[LINES_MAX] = {
    {.rate_bps = 50000000, .delay_ns = 15 * NS_PER_MS, .queue_bytes = 250000},
    {.rate_bps = 50000000, .delay_ns = 15 * NS_PER_MS, .queue_bytes = 250000},
    {.rate_bps = 50000000, .delay_ns = 15 * NS_PER_MS, .queue_bytes = 250000},
    {.rate_bps = 50000000, .delay_ns = 15 * NS_PER_MS, .queue_bytes = 250000},
    {.rate_bps = 50000000, .delay_ns = 15 * NS_PER_MS, .queue_bytes = 250000},
    {.rate_bps = 50000000, .delay_ns = 15 * NS_PER_MS, .queue_bytes = 250000}};

static inline struct tunnel_opts usual(void)
{
    return (struct tunnel_opts){
        .packed = true, .cc = QUIC_CC_BBR, .lanes = 8, .n_pkts = 16384, .n_large = 512};
}

/* The lines are there, the session not yet. */
static inline void bond_init(struct bond *b, uint64_t seed, const struct link_opts *line,
                             unsigned n)
{
    char name[16];

    *b = (struct bond){.sim = sim_new(seed), .n = n};
    for (unsigned i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "wan%u", i);
        wan_init(&b->wan[i], b->sim, name, &line[i], &line[i]);
    }
}

static inline void bond_open(struct bond *b, const struct tunnel_opts *opts)
{
    struct tunnel_opts o = *opts;

    o.n_more = b->n - 1;
    for (unsigned i = 0; i < o.n_more; i++)
        o.more[i] = &b->wan[i + 1];
    b->t = tunnel_new(&b->wan[0], &o);
    assert_true(tunnel_wait_up(b->t, 60 * NS_PER_S));
    sim_run_for(b->sim, 2 * NS_PER_S);
}

static inline void bond_start(struct bond *b, uint64_t seed, const struct link_opts *line,
                              unsigned n, const struct tunnel_opts *opts)
{
    bond_init(b, seed, line, n);
    bond_open(b, opts);
}

static inline void bond_done(struct bond *b)
{
    tunnel_free(b->t);
    for (unsigned i = 0; i < b->n; i++)
        wan_done(&b->wan[i]);
    sim_free(b->sim);
}

static inline void set_line(struct bond *b, unsigned i, bool on)
{
    link_set_on(b->wan[i].up, on);
    link_set_on(b->wan[i].down, on);
}

/* Both ends have the paths of all lines. */
static inline bool bond_is_whole(const struct bond *b)
{
    for (unsigned i = 0; i < b->n; i++) {
        struct edge_path_info info;

        edge_path_info(b->t->edge, i, &info);
        if (info.state != EDGE_UP || info.trouble != TROUBLE_NONE)
            return false;
    }
    return true;
}

#endif
