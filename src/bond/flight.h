/* The datagrams of one lane that are on their way, kept until their fate is known: what QUIC
 * declares lost is sent again as it was. Entries are in the order of their numbers, which ascend
 * but need not be dense (lanes of a path share them). Bounded: with FLIGHT_MAX on their way the
 * oldest is not kept any longer. */
#ifndef BOND_FLIGHT_H
#define BOND_FLIGHT_H

#include <stddef.h>
#include <stdint.h>

#include "packet/pkt.h"

enum { FLIGHT_MAX = 16384 };

struct flight_entry {
    uint64_t id;
    uint64_t flows;  /* as pkt->flow said: which flows it may hold something of */
    struct pkt *pkt; /* NULL: its fate is known */
};

struct flight {
    struct flight_entry *v; /* a ring of cap entries, a power of two; NULL: nothing was kept yet */
    unsigned cap, head, n;
    size_t bytes; /* of whole buffers */
};

/* Allowed on a zeroed struct. */
void flight_done(struct flight *f, struct pkt_pool *pool);

/* Keep a datagram under a number above all before: consumes it. Returns a packet that there was no
 * room for any more (the oldest, or this one when out of memory), which is the caller's, or NULL.
 */
struct pkt *flight_add(struct flight *f, uint64_t id, struct pkt *pkt);

/* Take out the datagram of that number; NULL when it is not kept. */
struct pkt *flight_take(struct flight *f, uint64_t id);

/* The first one from index *i (0 at first) on that may hold something of these flows; *i is moved
 * behind it. It stays, unless it is taken with flight_take_at() under the same index, which moves
 * none of those behind. NULL: no more. */
struct pkt *flight_next_of(const struct flight *f, unsigned *i, uint64_t flows);
struct pkt *flight_take_at(struct flight *f, unsigned i);

/* Forget the oldest ones that have been taken: indexes are void then. */
void flight_trim(struct flight *f);

/* The oldest one, which stays; then take it out. NULL when there is none. */
const struct pkt *flight_oldest(struct flight *f);
struct pkt *flight_take_oldest(struct flight *f);

#endif
