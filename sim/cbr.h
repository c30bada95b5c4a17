/* A flow of UDP packets at a constant rate, as a ping or a telephone call, and what became of
 * them. Real IPv4 packets, as tcp.h. */
#ifndef SIM_CBR_H
#define SIM_CBR_H

#include "sim/hist.h"
#include "sim/sim.h"

struct cbr_opts {
    struct net_addr src, dst; /* IPv4 */
    uint64_t interval_ns;     /* 0 = 20 ms */
    unsigned payload_bytes;   /* 0 = 160; at least 16 */
};

struct cbr_stats {
    uint64_t tx, rx;
    uint64_t reordered;  /* arrived after a later one */
    uint64_t duplicated; /* arrived once more, if among the last 64 */
    uint64_t rx_bad;
    uint64_t gap_max_ns; /* the longest time between two arrivals */
    struct hist delay;
};

struct cbr {
    struct sim *sim;
    struct cbr_opts opts;
    struct sim_sink sink; /* what comes out at the far end goes in here */
    struct sim_sink *out;
    struct sim_event timer;
    uint16_t ip_id;
    uint64_t next_seq, rx_next_seq, rx_window, last_rx_ns;
    struct cbr_stats stats;
};

struct cbr *cbr_new(struct sim *sim, const struct cbr_opts *opts, struct sim_sink *out);
void cbr_free(struct cbr *c);
void cbr_start(struct cbr *c);
void cbr_stop(struct cbr *c);
void cbr_stats_reset(struct cbr *c);

/* Sends every packet back to where it came from, so that the flow's delay is a round trip. The
 * flow's own sink then takes what comes out at its near end. */
struct echo {
    struct sim_sink sink;
    struct sim_sink *out; /* borrowed */
};

void echo_init(struct echo *e, struct sim_sink *out);

#endif
