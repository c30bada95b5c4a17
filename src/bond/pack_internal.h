/* What the files of the sender share. Nobody outside them includes it.
 *
 *   pack.c         the lane's next datagram, what becomes of it, life
 *   pack_fill.c    a datagram that is being filled; what is new
 *   pack_again.c   what is kept, what was lost
 *   pack_gaps.c    what the receiver says that it misses
 *   pack_copies.c  what goes over several paths
 *   pack_number.c  flow numbers
 *
 * Of a datagram's struct pkt these fields have a meaning of their own, from pack_begin() on:
 *
 *   queued_ns   when its content was sent first
 *   flow        a bit for each flow that it holds something of, by number modulo 64
 *   taken       pack_clock() of when it was sent last, or, while it waits to go again, lost
 *   mark        it has been sent again
 *   gso_size    1 more than the number of the lane that may have swallowed it; 0: none has
 *   hdr_len     the number of what it is one of several copies of; 0: it is the only one */
#ifndef BOND_PACK_INTERNAL_H
#define BOND_PACK_INTERNAL_H

#include "bond/pack.h"

struct pack_flow {
    struct hmap_node node; /* by the queue's flow hash */
    struct pack_flow *older, *newer;
    uint64_t used_ns;
    uint32_t seq; /* of the next unit */
    uint16_t number;
    uint8_t class;
    unsigned class_of; /* pack.rules_set when it was found */
};

/* A datagram that is being filled. */
struct pack_filling {
    struct pkt *out;
    size_t max;
    uint8_t class;
    bool empty;
    bool has_time;
    uint32_t time;
};

/* Time that fits a struct pkt: in units of 2^14 ns, of which 2^32 are 19 hours. */
static inline uint32_t pack_clock(uint64_t now_ns)
{
    return (uint32_t)(now_ns >> DELAY_SHIFT);
}

/* How long ago that was. */
static inline uint64_t pack_since_ns(uint64_t now_ns, uint32_t then)
{
    return (uint64_t)(pack_clock(now_ns) - then) << DELAY_SHIFT;
}

static inline uint64_t pack_flow_bit(uint16_t flow)
{
    return UINT64_C(1) << flow % 64;
}

static inline size_t pack_room(const struct pack_filling *d)
{
    return d->max - pkt_total(d->out);
}

/* --- pack_copies.c ----------------------------------------------------------------------- */

/* The next copy for the lane's path, of at most max bytes; NULL: none. */
struct pkt *pack_take_copy(struct pack *p, const struct pack_lane *lane, uint64_t now_ns,
                           size_t max);

/* A datagram is about to go over the lane: the other paths of its class get copies, if any. */
void pack_copy(struct pack *p, const struct pack_lane *lane, uint64_t now_ns, struct pkt *dgram);

/* One of the copies has arrived. */
void pack_copy_arrived(struct pack *p, const struct pkt *dgram);

/* One was lost: whether another one has arrived, or has gone again already. If not, this one is to
 * go again, and is the only one from now on. */
bool pack_copy_settled(struct pack *p, struct pkt *dgram);

/* What a datagram of that class may hold, of at most max: every path that gets one carries it. */
size_t pack_copy_max(const struct pack *p, uint8_t class, size_t max);

void pack_copies_done(struct pack *p);

/* It goes now: its timestamp says so. */
void pack_stamp(struct pkt *dgram, uint64_t now_ns);

/* --- pack_number.c ----------------------------------------------------------------------- */

/* The number of the flow that a packet of the queue is of, lent to it if it has none, and its
 * class; NULL when all are in use. needed: the packet cannot go without one, and takes that of the
 * flow that has been silent for longest. */
struct pack_flow *pack_number_of(struct pack *p, uint64_t now_ns, const struct pkt *pkt,
                                 bool needed);
void pack_numbers_reset(struct pack *p);

/* --- pack_fill.c ------------------------------------------------------------------------- */

/* Begin a datagram of at most max bytes. False: there is no buffer. */
bool pack_begin(struct pack *p, struct pack_lane *lane, struct pack_filling *d, uint64_t now_ns,
                size_t max);

/* True when a frame of that class may go into the datagram. */
bool pack_class_fits(const struct pack *p, struct pack_filling *d, uint8_t class);

/* Write a frame and as many of its data as fit: all of them, or, of a range, what fills the
 * datagram. Data that end the datagram are borrowed from the lender, if any and it can be spared;
 * others are copied. Returns how many; 0 when it does not pay. */
uint32_t pack_put_data(struct pack *p, struct pack_filling *d, const struct packed_frame *f,
                       struct pkt *lender);

/* More of the unit that the lane is in the middle of. False when the datagram is full. */
bool pack_put_unit(struct pack *p, struct pack_lane *lane, struct pack_filling *d);

/* Fill it with what is new. */
void pack_fill_new(struct pack *p, struct pack_lane *lane, struct pack_filling *d, uint64_t now_ns,
                   size_t run_max);

/* It is done: NULL when it is empty. */
struct pkt *pack_end(struct pack *p, struct pack_filling *d);

/* --- pack_again.c ------------------------------------------------------------------------ */

uint8_t pack_class_of_dgram(const struct pkt *dgram);

/* A datagram is kept from now on; no longer; no longer, and freed. */
void pack_keep(struct pack *p, const struct pkt *dgram);
void pack_keep_not(struct pack *p, const struct pkt *dgram);
void pack_forget(struct pack *p, struct pkt *dgram);

/* Too much is kept: more than may be, or than is left beside what all others need to pass. */
bool pack_keeps_too_much(const struct pack *p, unsigned pool_class);

/* Keep the oldest that the lane has on its way no longer. False when there is none. */
bool pack_forget_oldest(struct pack *p, struct pack_lane *lane);

bool pack_too_late(const struct pack *p, uint64_t now_ns, const struct pkt *dgram);

/* A lost datagram that is kept: send it again, or say that it is gone. Consumes it. */
void pack_send_again(struct pack *p, uint64_t now_ns, struct pkt *dgram);

/* The first of those to be sent again that is not too late; it stays where it is. */
struct pkt *pack_next_again(struct pack *p, uint64_t now_ns);

/* The first of them that the lane's path may have, which is in front then; NULL: none. */
struct pkt *pack_next_again_for(struct pack *p, const struct pack_lane *lane, uint64_t now_ns);

/* Write what fits of that one, which is larger than datagrams are now; consumes it in the end. */
void pack_fill_recut(struct pack *p, struct pack_filling *d, struct pkt *dgram);

/* Write what is known to be gone. */
void pack_put_gone(struct pack *p, struct pack_filling *d);

#endif
