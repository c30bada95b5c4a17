/* One run of the experiment: a sender with one policy over one line, and what came of it. */
#ifndef BENCH_SIM_RUN_H
#define BENCH_SIM_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "quic/quic.h"

/* How the sender is set. */
struct policy {
    const char *name;
    enum quic_cc cc;
    unsigned lanes; /* 0 = on demand, as quic_path_lanes_wanted() says */
    bool bound;
    double queue_ms; /* allowed by the bound; 0 = default */
};

/* Who else uses the line: ngtcp2's BBR or CUBIC in one unbounded connection, a modelled TCP flow
 * (CUBIC by RFC 9438), or a second sender of the same policy. */
enum foreign { FOREIGN_NONE, FOREIGN_BBR, FOREIGN_CUBIC, FOREIGN_TCP, FOREIGN_SAME };

/* The line and what happens on it. Figures count from warm_s after the start for span_s. */
struct scenario {
    const char *group;
    double rate_mbps, rtt_ms, buffer_ms, loss, jitter_ms;
    double warm_s, span_s;
    double halve_s; /* > 0: the rate changes to half and back, each time after so long */
    enum foreign foreign;
    double own_at_s, foreign_at_s; /* when each begins */
    double foreign_until_s;        /* > 0: it ends then, and figures count from there */
    bool reverse;                  /* the hub sends */
};

struct result {
    double share;   /* of the payload ceiling */
    double foreign; /* share of the foreign flow, of its own ceiling */
    double queue_ms, queue_p95_ms;
    double startup_s; /* until the first 100 ms with 90 % of the ceiling; span if never */
    double recover_s; /* longest time to 85 % of the ceiling after the rate doubled */
    double lanes;     /* mean number */
};

void run_one(const struct scenario *sc, const struct policy *po, uint64_t seed, bool trace,
             struct result *ret);

#endif
