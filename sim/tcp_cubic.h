/* CUBIC congestion control for the modelled TCP flow, as Linux has it. Windows are in whole
 * segments.
 *
 * It is the older CUBIC (RFC 8312): the window that Reno would have grows by 0.53 segments each
 * round trip for ever, where RFC 9438 lets it grow by 1 once it is back at the window of the last
 * loss. Two habits of the kernel cost some per cent of a small window and are kept: windows are
 * whole segments, cut off, not rounded; and the rate of growth is computed anew no more than every
 * 31 ms while the window stands still.
 *
 * Slow start ends by the first version of HyStart (Ha and Rhee, Taming the elephants, 2011), not
 * by HyStart++ (RFC 9406): the window is left where it is as soon as the acknowledgements of one
 * round have come in an unbroken train of half a round trip, or the round trip has grown by an
 * eighth (4 to 16 ms).
 */
#ifndef SIM_TCP_CUBIC_H
#define SIM_TCP_CUBIC_H

#include <stdbool.h>
#include <stdint.h>

struct cubic {
    double cwnd, ssthresh;

    /* RFC 8312: the epoch begins with the first acknowledgement after a reduction. */
    double w_max;      /* 0 = none: slow start ended without a loss */
    double origin;     /* the plateau of this epoch */
    double k_s;        /* from its begin until the window is there again */
    double per_ack;    /* segments that must be acknowledged for the window to grow by one */
    double acked;      /* of these, since it grew last */
    double w_reno;     /* what Reno would have ... */
    double reno_acked; /* ... and what was acknowledged since that grew */
    uint64_t epoch_ns; /* 0 = none */
    double last_cwnd;  /* per_ack was computed for this window ... */
    uint64_t last_ns;  /* ... then */
    uint64_t rtt_min_ns;

    /* HyStart: this round by sequence number, the least of its first round trips, its train. */
    bool hystart;
    uint64_t round_end, round_begin_ns, train_ns, round_min_ns;
    unsigned round_samples;
};

void cubic_init(struct cubic *c, double initial_cwnd, bool hystart);

/* n segments newly acknowledged outside of recovery while the window was in full use. */
void cubic_on_ack(struct cubic *c, uint64_t now_ns, double n);

/* A round trip was measured by the acknowledgement up to `una`; `nxt` is the next byte to send. */
void cubic_on_rtt(struct cubic *c, uint64_t now_ns, uint64_t rtt_ns, uint64_t una, uint64_t nxt);

/* A loss event: sets ssthresh; the caller brings cwnd down to it. */
void cubic_on_loss(struct cubic *c);

/* A retransmission timeout: as a loss, but all is forgotten and cwnd becomes one segment. */
void cubic_on_rto(struct cubic *c);

#endif
