/* The packets of a path that are in flight, of its bound (bound.h): a ring by number. For bound.c
 * alone. */
#ifndef QUIC_BOUND_RING_H
#define QUIC_BOUND_RING_H

#include "quic/bound.h"

/* A packet whose number is larger than all in the ring and less than BOUND_RING_MAX from the first.
 * Without memory it flies uncounted. */
void bound_ring_add(struct bound *b, uint64_t number, const struct bound_sent *sent);

/* That packet, or NULL when it is not in flight (any more). */
struct bound_sent *bound_ring_find(struct bound *b, uint64_t number);

/* It has left the network. */
void bound_ring_leave(struct bound *b, struct bound_sent *s);

/* So have all of the lane, as far as will ever be known. */
void bound_ring_leave_lane(struct bound *b, uint32_t lane);

/* And those without answer for 4 round trips + 300 ms. */
void bound_ring_write_off(struct bound *b, uint64_t now_ns);

#endif
