/* IPv4 packets of the modelled flows: made with right headers and checksums, checked on arrival. */
#ifndef SIM_TCP_PACKET_H
#define SIM_TCP_PACKET_H

#include "sim/tcp.h"

enum { TCP_FIN = 1, TCP_SYN = 2, TCP_ACK = 16, TCP_WINDOW_SHIFT = 14 };

/* Sequence numbers as on the wire; the modules around count in 64 bits from 0. */
struct tcp_header {
    struct net_addr src, dst;
    uint32_t seq, ack;
    uint8_t flags;
    uint64_t window_bytes;
    unsigned mss;                           /* option, in a SYN */
    struct tcp_block block[TCP_BLOCKS_MAX]; /* low 32 bits count */
    unsigned n_blocks;
    size_t payload;    /* bytes, all zero */
    unsigned gso_size; /* != 0: a super-packet of segments of that payload, without a checksum */
    bool udp;          /* the TCP header is the beginning of the payload of a UDP packet */
};

struct sim_dgram *tcp_packet_make(struct sim *sim, const struct tcp_header *h, uint16_t ip_id);

/* Returns 0, or -EBADMSG when it is not one of these with right checksums. */
int tcp_packet_parse(const struct sim_dgram *d, struct tcp_header *ret);

/* A UDP packet whose payload is the len bytes given. */
struct sim_dgram *udp_packet_make(struct sim *sim, const struct net_addr *src,
                                  const struct net_addr *dst, uint16_t ip_id, const void *payload,
                                  size_t len);

#endif
