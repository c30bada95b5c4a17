#include "packet/icmp.h"

#include "base/util.h"
#include "packet/csum.h"

#include <errno.h>
#include <string.h>

enum {
    ICMP_HDR = 8,
    ICMP4_DEST_UNREACH = 3,
    ICMP4_SOURCE_QUENCH = 4,
    ICMP4_REDIRECT = 5,
    ICMP4_TIME_EXCEEDED = 11,
    ICMP4_PARAM_PROBLEM = 12,
    ICMP4_FRAG_NEEDED = 4, /* code of destination unreachable */
    ICMP6_PACKET_TOO_BIG = 2,
    ICMP6_FIRST_INFO = 128, /* types below are errors */
    ICMP6_REDIRECT = 137,
    ICMP_TTL = 64,
    TOS_INTERNETWORK_CONTROL = 0xc0, /* RFC 1812, 4.3.2.5 */
    IP4_DF = 0x4000,
};

static bool icmp4_is_error(uint8_t type)
{
    return type == ICMP4_DEST_UNREACH || type == ICMP4_SOURCE_QUENCH || type == ICMP4_REDIRECT ||
           type == ICMP4_TIME_EXCEEDED || type == ICMP4_PARAM_PROBLEM;
}

/* Whether the packet is, or may be, an ICMP error of its family. */
static bool is_icmp_error(const uint8_t *data, const struct ip_view *v)
{
    uint8_t proto = v->version == 4 ? IP_PROTO_ICMP4 : IP_PROTO_ICMP6;
    uint8_t type;

    if (v->proto != proto || v->frag_off)
        return false;
    if (v->total_len == v->l4_off)
        return true;
    type = data[v->l4_off];
    if (v->version == 4)
        return icmp4_is_error(type);
    return type < ICMP6_FIRST_INFO || type == ICMP6_REDIRECT;
}

/* Whether an address names one host somewhere else, as the source of a packet must. */
static bool is_one_host(const struct ip_addr *a)
{
    static const uint8_t zero[15];

    if (ip_addr_is_multicast(a))
        return false;
    if (a->family == 4)
        return a->b[0] != 0 && a->b[0] != 127 && a->b[0] < 240;
    return memcmp(a->b, zero, sizeof(zero)) != 0 || a->b[15] > 1; /* neither :: nor ::1 */
}

static bool is_broadcast(const struct ip_addr *a)
{
    return a->family == 4 && load_be32(a->b) == 0xffffffff;
}

bool icmp_may_answer(const uint8_t *data, const struct ip_view *v)
{
    if (v->version == 4 && v->frag_off)
        return false;
    if (ip_addr_is_multicast(&v->dst) || is_broadcast(&v->dst) || !is_one_host(&v->src))
        return false;
    return !is_icmp_error(data, v);
}

static void put_ipv4_header(uint8_t *p, uint16_t len, const struct ip_addr *src,
                            const struct ip_addr *dst)
{
    memset(p, 0, IP4_HDR_MIN);
    p[0] = 0x45;
    p[1] = TOS_INTERNETWORK_CONTROL;
    store_be16(p + 2, len);
    store_be16(p + 6, IP4_DF);
    p[8] = ICMP_TTL;
    p[9] = IP_PROTO_ICMP4;
    memcpy(p + 12, src->b, 4);
    memcpy(p + 16, dst->b, 4);
    store_be16(p + 10, csum_fold(csum_add(0, p, IP4_HDR_MIN)));
}

static void put_ipv6_header(uint8_t *p, uint16_t payload, const struct ip_addr *src,
                            const struct ip_addr *dst)
{
    memset(p, 0, IP6_HDR);
    p[0] = 0x60;
    store_be16(p + 4, payload);
    p[6] = IP_PROTO_ICMP6;
    p[7] = ICMP_TTL;
    memcpy(p + 8, src->b, 16);
    memcpy(p + 24, dst->b, 16);
}

/* Fill pkt (empty, with room) with the answer that quotes the first quote bytes. */
static void build(struct pkt *pkt, const uint8_t *data, const struct ip_view *v,
                  const struct ip_addr *src, uint32_t mtu, uint32_t quote)
{
    uint32_t ip_hdr = v->version == 4 ? IP4_HDR_MIN : IP6_HDR;
    uint32_t icmp_len = ICMP_HDR + quote;
    uint8_t *icmp = pkt->data + ip_hdr;
    uint64_t sum = 0;

    memset(icmp, 0, ICMP_HDR);
    memcpy(icmp + ICMP_HDR, data, quote);
    if (v->version == 4) {
        put_ipv4_header(pkt->data, (uint16_t)(ip_hdr + icmp_len), src, &v->src);
        icmp[0] = ICMP4_DEST_UNREACH;
        icmp[1] = ICMP4_FRAG_NEEDED;
        store_be16(icmp + 6, (uint16_t)MIN(mtu, 65535u));
    } else {
        put_ipv6_header(pkt->data, (uint16_t)icmp_len, src, &v->src);
        icmp[0] = ICMP6_PACKET_TOO_BIG;
        store_be32(icmp + 4, mtu);
        sum = csum_pseudo(src, &v->src, IP_PROTO_ICMP6, icmp_len);
    }
    store_be16(icmp + 2, csum_fold(csum_add(sum, icmp, icmp_len)));
    pkt->len = ip_hdr + icmp_len;
}

int icmp_too_big(struct pkt_pool *pool, const uint8_t *data, const struct ip_view *v,
                 const struct ip_addr *src, uint32_t mtu, struct pkt **ret_pkt)
{
    uint32_t min_mtu = v->version == 4 ? IP4_MIN_MTU : IP6_MIN_MTU;
    uint32_t max = v->version == 4 ? ICMP4_QUOTE_MAX : ICMP6_QUOTE_MAX;
    uint32_t headers = (v->version == 4 ? IP4_HDR_MIN : IP6_HDR) + ICMP_HDR;
    struct pkt *pkt;

    if (src->family != v->version || mtu < min_mtu)
        return -EINVAL;
    if (!icmp_may_answer(data, v))
        return -EPERM;
    pkt = pkt_new(pool, max);
    if (!pkt)
        return -ENOBUFS;
    build(pkt, data, v, src, mtu, MIN(v->total_len, max - headers));
    *ret_pkt = pkt;
    return 0;
}
