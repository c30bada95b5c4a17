/* What runs through a carrier, and what becomes of it.
 *
 *      0        warm              settle            seconds
 *      |--------|-----------------|------------------------------|
 *      tunnels  flows begin       figures count
 *
 * These times are the same for every carrier, so that each meets a trace at the same places. */
#ifndef BENCH_BOND_LOAD_H
#define BENCH_BOND_LOAD_H

#include "bench/bond/scene.h"

enum { LOAD_FLOWS_MAX = 16, WARM_S = 10, SETTLE_S = 5, SPAN_MAX_S = 3600 };

struct load {
    const char *name;
    unsigned flows; /* bulk; 0 = the stream alone */
    bool quic;
};

/* The last has no name. */
extern const struct load loads[];

struct load_opts {
    const struct load *load;
    bool up;     /* edge to hub */
    bool no_tso; /* TCP sends segments one by one */
    unsigned seconds;
    double late_ms; /* a packet of the stream that took longer came too late */
};

enum figure {
    FIGURE_GOODPUT, /* Mbit/s */
    FIGURE_P5,      /* Mbit/s: 5th percentile of the seconds */
    FIGURE_P50,     /* ms: round trip of the ping beside bulk, or the stream's delay one way */
    FIGURE_P95,
    FIGURE_P99,
    FIGURE_LOST, /* share of the ping's or the stream's packets */
    FIGURE_LATE, /* share of the stream's packets */
    FIGURE_RETRANSMITS,
    FIGURE_COUNT
};

extern const char *const figure_names[FIGURE_COUNT];

struct result {
    bool valid; /* false: there was no way to send on when it should have begun */
    double figure[FIGURE_COUNT];
};

/* One run: a network, a carrier, a load, a seed. */
struct result load_run(const struct scene_opts *so, const struct carrier *carrier,
                       const struct load_opts *o);

#endif
