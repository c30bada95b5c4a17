/* Putting received packets together into super-packets (super.h), so that the kernel takes up to 64
 * KiB with one write: the reverse of segment.h, and what a network card's receive offload does.
 *
 * Packets of one receive batch go in one by one; what they make comes out through out(), the rest
 * with coalesce_flush() at the end of the batch: nothing waits for packets that have not come.
 *
 * A packet is held when it may be continued: TCP or UDP, not a fragment, without IPv4 options or
 * IPv6 extension headers, with payload, and with a right checksum, because afterwards the kernel
 * takes it for verified. TCP carries ACK alone then (and ECE). It continues the packet held of its
 * flow when it could have been cut from the same super-packet:
 *
 *      TCP and UDP   same TOS or traffic class with ECN, TTL, DF, flow label; payload no larger
 *                    than the first one's; without DF the next IPv4 Identification (with DF it has
 *                    no meaning: RFC 6864)
 *      TCP           the next sequence number; same acknowledgement, window, options and flags,
 *                    but PSH, which ends the super-packet
 *      UDP           at most COALESCE_UDP_MAX datagrams
 *
 * A smaller payload ends it. What cannot continue comes out behind what is held of its flow: the
 * order within a flow is kept, between flows it is not. A packet that found nobody to go with comes
 * out as it came.
 *
 * At most COALESCE_FLOWS flows are held, in as many large buffers; with more, or without a buffer,
 * the one held longest goes out first. */
#ifndef PACKET_COALESCE_H
#define PACKET_COALESCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/drop.h"
#include "packet/ip.h"
#include "packet/pkt.h"

enum { COALESCE_FLOWS = 8, COALESCE_UDP_MAX = 64 };

struct coalesce_opts {
    struct pkt_pool *pool;       /* borrowed */
    struct drop_counters *drops; /* borrowed */
    bool tcp, udp;               /* put these together */

    /* A packet for the kernel: consumes it. Super-packets are super_finish()ed. */
    void (*out)(void *user, struct pkt *pkt);
    void *user;
};

struct coalesce_slot {
    struct pkt *pkt;
    uint64_t used;     /* when it was begun, by the count of packets */
    uint32_t next_seq; /* TCP */
    uint16_t size;     /* payload of the first packet */
    uint16_t segments;
    uint16_t next_id; /* IPv4 */
    uint8_t l4_off, hdr_len;
    uint8_t proto;
};

struct coalesce {
    struct coalesce_opts opts;
    struct coalesce_slot slot[COALESCE_FLOWS]; /* [0, n) are in use */
    unsigned n;
    uint64_t clock;
    uint64_t merged; /* packets that went into one that was held */
};

void coalesce_init(struct coalesce *c, const struct coalesce_opts *opts);

/* A packet of view->total_len bytes at data, which stay the caller's. */
void coalesce_add(struct coalesce *c, const uint8_t *data, const struct ip_view *view);

/* A packet that is not to be held, an answer of our own or a super-packet: it comes out as it is,
 * behind what is held of its flow. Consumes it. */
void coalesce_pass(struct coalesce *c, struct pkt *pkt, const struct ip_view *view);

/* All that is held comes out. */
void coalesce_flush(struct coalesce *c);

#endif
