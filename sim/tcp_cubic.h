/* CUBIC congestion control (RFC 9438) with HyStart++ slow start (RFC 9406), for the modelled TCP
 * flow. Windows are in segments. */
#ifndef SIM_TCP_CUBIC_H
#define SIM_TCP_CUBIC_H

#include <stdbool.h>
#include <stdint.h>

struct cubic {
    double cwnd, ssthresh;

    /* RFC 9438: the epoch begins with the first acknowledgement after a reduction. */
    double w_max, cwnd_prior, k_s, w_est;
    uint64_t epoch_ns; /* 0 = none */

    /* RFC 9406: rounds by sequence number, the least round trip of this and the last one. */
    bool hystart, in_css;
    uint64_t round_end, round_min_ns, last_round_min_ns, css_baseline_ns;
    unsigned round_samples, css_rounds;
};

void cubic_init(struct cubic *c, double initial_cwnd, bool hystart);

/* n segments newly acknowledged outside of recovery while the window was in full use. */
void cubic_on_ack(struct cubic *c, uint64_t now_ns, double n, uint64_t srtt_ns);

/* A round trip was measured by the acknowledgement up to `una`; `nxt` is the next byte to send. */
void cubic_on_rtt(struct cubic *c, uint64_t rtt_ns, uint64_t una, uint64_t nxt);

/* A loss event: sets ssthresh; the caller brings cwnd down to it. */
void cubic_on_loss(struct cubic *c);

/* A retransmission timeout: as a loss, and cwnd becomes one segment. */
void cubic_on_rto(struct cubic *c);

#endif
