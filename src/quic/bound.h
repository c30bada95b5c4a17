/* How much a path may have in flight: delivery rate x (minimum round trip + a few milliseconds).
 *
 * Congestion control below (CUBIC, BBR) fills the bottleneck's buffer or the sum of several
 * lanes does; this bound keeps the standing queue of the whole path small. It measures what BBR
 * measures (draft-ietf-ccwg-bbr, 4.5 and 4.1): the delivery rate of each acknowledged packet over
 * the interval since the packets delivered at its sending, the maximum over BOUND_RATE_ROUNDS
 * round trips; and the minimum round trip over BOUND_RTT_WINDOW_NS.
 */
#ifndef QUIC_BOUND_H
#define QUIC_BOUND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"

enum { BOUND_SLOTS = 4 };

struct bound_sent {
    uint64_t sent_ns, delivered_ns, delivered; /* at the time it was sent */
    uint32_t bytes;                            /* 0: not in flight */
    bool app_limited;
};

struct bound {
    bool on;
    uint64_t queue_ns;       /* queue allowed at the bottleneck */
    uint64_t in_flight;      /* bytes */
    uint64_t delivered;      /* bytes acknowledged, ever */
    uint64_t delivered_ns;   /* when the last of them were */
    struct bound_sent *sent; /* ring by datagram number, a power of two */
    size_t cap;
    uint64_t first, end; /* numbers in the ring: [first, end) */
};

void bound_init(struct bound *b);
void bound_done(struct bound *b);
bool bound_may_send(const struct bound *b, uint64_t now_ns);
void bound_on_sent(struct bound *b, uint64_t now_ns, uint64_t number, size_t bytes);
void bound_on_acked(struct bound *b, uint64_t now_ns, uint64_t number);
void bound_on_lost(struct bound *b, uint64_t now_ns, uint64_t number);

#endif
