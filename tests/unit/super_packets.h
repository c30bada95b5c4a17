/* TCP and UDP packets of chosen headers for tests of segmentation and coalescing, and a slow check
 * of one by its own bytes. Nothing here uses the code under test but struct pkt. */
#ifndef TESTS_SUPER_PACKETS_H
#define TESTS_SUPER_PACKETS_H

#include "base/rng.h"
#include "packet/ip.h"
#include "packets.h"

enum { SUPER_BYTES_MAX = 65535 };

/* What a packet says. */
struct super_spec {
    uint8_t version, proto;
    uint8_t flow; /* ports 1000 + flow -> 2000 */
    uint8_t tos, ttl;
    bool df;
    uint16_t id;
    uint8_t ext;     /* IPv6: bytes of destination options, a multiple of 8 */
    uint8_t options; /* TCP: bytes, a multiple of 4 */
    uint8_t flags;   /* TCP */
    uint32_t seq, ack;
    uint16_t window, urgent;
    uint32_t payload;
    uint32_t first; /* the payload is that of a stream, from this byte on */
};

static inline uint8_t super_byte(uint32_t at)
{
    return (uint8_t)(at * 31 + (at >> 8) * 7 + 3);
}

static inline uint32_t super_l4_off(const struct super_spec *s)
{
    return s->version == 4 ? 20u : 40u + s->ext;
}

static inline uint32_t super_hdr_len(const struct super_spec *s)
{
    return super_l4_off(s) + (s->proto == IP_PROTO_UDP ? 8u : 20u + s->options);
}

/* The checksum that the transport header should have, by RFC 1071's own loop. */
static inline uint16_t super_l4_csum(const uint8_t *p, uint32_t l4, uint32_t len, uint8_t proto)
{
    bool v4 = p[0] >> 4 == 4;
    const uint8_t *src = p + (v4 ? 12 : 8);
    size_t n = v4 ? 4 : 16;

    return plain_csum(plain_pseudo(src, src + n, n, proto, len - l4), p + l4, len - l4);
}

/* Build the packet with complete checksums at p; returns its bytes. */
static inline uint32_t super_build(const struct super_spec *s, uint8_t *p)
{
    uint32_t l4 = super_l4_off(s), hdr = super_hdr_len(s), len = hdr + s->payload;
    uint8_t *t = p + l4;
    uint16_t csum;

    memset(p, 0, hdr);
    if (s->version == 4) {
        put_ip4(p, len, s->proto, s->df ? 0x4000 : 0);
        p[1] = s->tos;
        store_be16(p + 4, s->id);
        p[8] = s->ttl;
        store_be16(p + 10, 0);
        store_be16(p + 10, plain_csum(0, p, 20));
    } else {
        put_ip6(p, len - 40, s->ext ? IP_PROTO_DSTOPTS : s->proto);
        p[0] = (uint8_t)(0x60 | s->tos >> 4);
        p[1] = (uint8_t)(s->tos << 4 | 5); /* and a flow label */
        p[7] = s->ttl;
        if (s->ext) {
            p[40] = s->proto;
            p[41] = (uint8_t)(s->ext / 8 - 1);
            p[42] = 1; /* PadN */
            p[43] = (uint8_t)(s->ext - 4);
        }
    }
    store_be16(t, (uint16_t)(1000 + s->flow));
    store_be16(t + 2, 2000);
    if (s->proto == IP_PROTO_UDP) {
        store_be16(t + 4, (uint16_t)(8 + s->payload));
    } else {
        store_be32(t + 4, s->seq);
        store_be32(t + 8, s->ack);
        t[12] = (uint8_t)((20 + s->options) / 4 << 4);
        t[13] = s->flags;
        store_be16(t + 14, s->window);
        store_be16(t + 18, s->urgent);
        for (unsigned i = 0; i < s->options; i++)
            t[20 + i] = (uint8_t)(i + 1);
    }
    for (uint32_t i = 0; i < s->payload; i++)
        p[hdr + i] = super_byte(s->first + i);
    csum = super_l4_csum(p, l4, len, s->proto);
    store_be16(t + (s->proto == IP_PROTO_UDP ? 6 : 16), csum ? csum : 0xffff);
    return len;
}

/* What the kernel hands over: a super-packet with the checksum field spoilt. */
static inline struct pkt *super_pkt(struct pkt_pool *pool, const struct super_spec *s,
                                    uint16_t gso_size)
{
    struct pkt *pkt = pkt_new(pool, PKT_LARGE_MAX);

    pkt->len = super_build(s, pkt->data);
    pkt->gso_size = gso_size;
    pkt->gso = s->proto == IP_PROTO_UDP ? PKT_GSO_UDP
               : s->version == 4        ? PKT_GSO_TCP4
                                        : PKT_GSO_TCP6;
    pkt->csum_start = (uint16_t)super_l4_off(s);
    pkt->csum_offset = s->proto == IP_PROTO_UDP ? 6 : 16;
    store_be16(pkt->data + pkt->csum_start + pkt->csum_offset, 0xbeef);
    return pkt;
}

/* A random packet of up to `payload` bytes that a kernel could hand over. */
static inline struct super_spec super_random(struct rng *rng, uint32_t payload)
{
    struct super_spec s = {
        .version = rng_below(rng, 2) ? 4 : 6,
        .proto = rng_below(rng, 2) ? IP_PROTO_TCP : IP_PROTO_UDP,
        .flow = (uint8_t)rng_below(rng, 4),
        .tos = (uint8_t)rng_below(rng, 256),
        .ttl = (uint8_t)(1 + rng_below(rng, 255)),
        .df = rng_below(rng, 2),
        .id = (uint16_t)rng_below(rng, 65536),
        .options = (uint8_t)(4 * rng_below(rng, 11)),
        .flags = (uint8_t)(0x10 | (rng_below(rng, 256) & 0xc9)), /* ACK; CWR ECE PSH FIN or not */
        .seq = (uint32_t)rng_below(rng, 1ull << 32),
        .ack = (uint32_t)rng_below(rng, 1ull << 32),
        .window = (uint16_t)rng_below(rng, 65536),
        .payload = 1 + (uint32_t)rng_below(rng, payload),
        .first = (uint32_t)rng_below(rng, 1 << 20),
    };

    return s;
}

#endif
