/* Packets for the tests of the flow queue: IPv4 UDP, whose flow and number can be told. */
#ifndef TESTS_FQ_PACKETS_H
#define TESTS_FQ_PACKETS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bond/fq.h"
#include "packet/ip.h"
#include "packets.h"

enum { FLOW_OFF = 20, NUMBER_OFF = 28, FQ_PACKET_MIN = 32 };

/* The flow is the pair of ports, the number stands in the payload. */
static inline struct pkt *fq_packet(struct pkt_pool *pool, uint32_t flow, uint32_t number,
                                    uint32_t len, unsigned ecn)
{
    struct pkt *pkt = pkt_new(pool, len);

    assert_non_null(pkt);
    assert_in_range(len, FQ_PACKET_MIN, 65535);
    pkt->len = len;
    memset(pkt->data, 0, NUMBER_OFF + 4);
    put_ip4(pkt->data, len, 17, 0);
    pkt->data[1] = (uint8_t)ecn;
    store_be16(pkt->data + 10, 0);
    store_be16(pkt->data + 10, plain_csum(0, pkt->data, 20));
    store_be32(pkt->data + FLOW_OFF, flow);
    store_be32(pkt->data + NUMBER_OFF, number);
    return pkt;
}

static inline uint32_t fq_packet_flow(const struct pkt *pkt)
{
    return load_be32(pkt->data + FLOW_OFF);
}

static inline uint32_t fq_packet_number(const struct pkt *pkt)
{
    return load_be32(pkt->data + NUMBER_OFF);
}

static inline void fq_packet_push(struct fq *q, uint64_t now_ns, struct pkt *pkt)
{
    enum drop_reason why;
    struct ip_view v;

    assert_int_equal(ip_view_parse_pkt(pkt, &v, &why), 0);
    fq_push(q, now_ns, pkt, &v);
}

/* The packet whose turn it is, as a session takes it; NULL when there is none. */
static inline struct pkt *fq_packet_pop(struct fq *q, uint64_t now_ns)
{
    return fq_front(q, now_ns) ? fq_take(q, now_ns) : NULL;
}

#endif
