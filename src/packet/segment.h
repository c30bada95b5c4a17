/* Cutting a super-packet (super.h) into the packets that it stands for, one at a time and late: a
 * segment is made when it can be sent, from the super-packet that stays as it is.
 *
 *      len, checksums         its own
 *      IPv4 Identification    that of the super-packet + the number of the segment
 *      TCP sequence number    ... + the payload before it
 *      CWR                    first segment only (RFC 3168, 6.1.2: it is said once)
 *      PSH, FIN               last segment only
 *      URG                    as long as its pointer lies ahead, the pointer less that payload
 *      ECE, ECN, TTL, options and all else: as in the super-packet
 *
 * How far a super-packet has been cut stands in its `taken`, in bytes of payload: a multiple of
 * gso_size, or all. */
#ifndef PACKET_SEGMENT_H
#define PACKET_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "packet/pkt.h"

enum { SEGMENT_RUN_MAX = 128 };

/* Payload bytes that have not been taken. */
static inline uint32_t segment_left(const struct pkt *super)
{
    return super->len - super->hdr_len - super->taken;
}

/* Payload bytes of the next segment; 0 when all has been taken. */
static inline uint32_t segment_payload(const struct pkt *super)
{
    uint32_t left = segment_left(super);

    return left < super->gso_size ? left : super->gso_size;
}

/* Ordinary packets that pkt, super-packet or not, still stands for. */
static inline uint32_t segment_count(const struct pkt *pkt)
{
    return pkt->gso == PKT_GSO_NONE ? 1 : (segment_left(pkt) + pkt->gso_size - 1) / pkt->gso_size;
}

/* Bytes of the largest segment's packet. */
static inline uint32_t segment_max(const struct pkt *super)
{
    return (uint32_t)super->hdr_len + super->gso_size;
}

/* Write the segment whose payload begins `at` bytes behind the headers (a multiple of gso_size
 * below the length of the payload) to out, which has room for segment_max(). Returns its bytes: a
 * whole IP packet with complete checksums. */
uint32_t segment_write(const struct pkt *super, uint32_t at, uint8_t *out);

/* The next segment as a packet of its own, with the super-packet's queued_ns and flow; marked CE
 * when super->mark says so and the packet permits it. `taken` and `mark` are moved on. NULL when
 * the pool is empty (super unchanged). There is a next segment. */
struct pkt *segment_take(struct pkt_pool *pool, struct pkt *super);

/* The next segments as a packet of their own: as many as have max bytes with the headers, at least
 * one, at most SEGMENT_RUN_MAX, and only one when `mark` is set, which is then marked CE where the
 * packet permits it. More than one make a super-packet, super_finish()ed, with nothing taken; one
 * an ordinary packet with complete checksums. `taken` and `mark` are moved on. NULL when the pool
 * is empty (super unchanged). There is a next segment. */
struct pkt *segment_run(struct pkt_pool *pool, struct pkt *super, size_t max);

#endif
