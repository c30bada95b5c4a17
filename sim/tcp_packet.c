#include "sim/tcp_packet.h"

#include <errno.h>

#include "base/util.h"
#include "packet/csum.h"
#include "packet/ip.h"

enum {
    TCP_HDR = 20,
    UDP_HDR = 8,
    TTL = 64,
    OPT_MSS = 2,
    OPT_WSCALE = 3,
    OPT_SACK_OK = 4,
    OPT_SACK = 5
};

/* IPv4 header in front of len bytes of the given protocol; addresses of the datagram as well. */
static struct sim_dgram *begin_packet(struct sim *sim, const struct net_addr *src,
                                      const struct net_addr *dst, uint8_t proto, uint16_t ip_id,
                                      size_t len)
{
    struct sim_dgram *d = sim_dgram_new(sim, IP4_HDR_MIN + len);
    uint8_t *ip = d->data;

    d->src = *src;
    d->dst = *dst;
    memset(ip, 0, d->len);
    ip[0] = 0x45;
    store_be16(ip + 2, (uint16_t)d->len);
    store_be16(ip + 4, ip_id);
    ip[6] = 0x40; /* don't fragment */
    ip[8] = TTL;
    ip[9] = proto;
    memcpy(ip + 12, &src->in.sin_addr, 4);
    memcpy(ip + 16, &dst->in.sin_addr, 4);
    store_be16(ip + 10, csum_fold(csum_add(0, ip, IP4_HDR_MIN)));
    return d;
}

static uint16_t l4_csum(const uint8_t *ip, uint8_t proto, size_t len)
{
    struct ip_addr src = {.family = 4}, dst = {.family = 4};
    uint64_t sum;

    memcpy(src.b, ip + 12, 4);
    memcpy(dst.b, ip + 16, 4);
    sum = csum_pseudo(&src, &dst, proto, (uint32_t)len);
    return csum_fold(csum_add(sum, ip + IP4_HDR_MIN, len));
}

static size_t put_options(uint8_t *p, const struct tcp_header *h)
{
    size_t n = 0;

    if (h->flags & TCP_SYN) {
        p[0] = OPT_MSS;
        p[1] = 4;
        store_be16(p + 2, (uint16_t)h->mss);
        memcpy(p + 4, (const uint8_t[]){OPT_SACK_OK, 2, 1, OPT_WSCALE, 3, TCP_WINDOW_SHIFT, 1, 1},
               8);
        return 12;
    }
    if (!h->n_blocks)
        return 0;
    p[0] = p[1] = 1;
    p[2] = OPT_SACK;
    p[3] = (uint8_t)(2 + 8 * h->n_blocks);
    n = 4;
    for (unsigned i = 0; i < h->n_blocks; i++, n += 8) {
        store_be32(p + n, (uint32_t)h->block[i].left);
        store_be32(p + n + 4, (uint32_t)h->block[i].right);
    }
    return n;
}

static void put_tcp(uint8_t *tcp, const struct tcp_header *h, const uint8_t *options, size_t n)
{
    uint64_t window = h->flags & TCP_SYN ? 65535 : h->window_bytes >> TCP_WINDOW_SHIFT;

    store_be16(tcp, net_addr_port(&h->src));
    store_be16(tcp + 2, net_addr_port(&h->dst));
    store_be32(tcp + 4, h->seq);
    store_be32(tcp + 8, h->ack);
    tcp[12] = (uint8_t)((TCP_HDR + n) / 4 << 4);
    tcp[13] = h->flags;
    store_be16(tcp + 14, (uint16_t)MIN(window, 65535u));
    memcpy(tcp + TCP_HDR, options, n);
}

static void put_udp(uint8_t *ip, const struct net_addr *src, const struct net_addr *dst, size_t len)
{
    uint8_t *udp = ip + IP4_HDR_MIN;
    uint16_t csum;

    store_be16(udp, net_addr_port(src));
    store_be16(udp + 2, net_addr_port(dst));
    store_be16(udp + 4, (uint16_t)len);
    csum = l4_csum(ip, IP_PROTO_UDP, len);
    store_be16(udp + 6, csum ? csum : 0xffff);
}

struct sim_dgram *tcp_packet_make(struct sim *sim, const struct tcp_header *h, uint16_t ip_id)
{
    uint8_t options[40], proto = h->udp ? IP_PROTO_UDP : IP_PROTO_TCP;
    size_t n = put_options(options, h), len = (h->udp ? UDP_HDR : 0) + TCP_HDR + n + h->payload;
    struct sim_dgram *d = begin_packet(sim, &h->src, &h->dst, proto, ip_id, len);
    uint8_t *l4 = d->data + IP4_HDR_MIN;

    put_tcp(l4 + (h->udp ? UDP_HDR : 0), h, options, n);
    d->gso_size = h->gso_size;
    if (h->udp)
        put_udp(d->data, &h->src, &h->dst, len);
    else if (!h->gso_size)
        store_be16(l4 + 16, l4_csum(d->data, IP_PROTO_TCP, len));
    return d;
}

static void parse_sack(const uint8_t *p, size_t len, struct tcp_header *h)
{
    for (size_t at = 2; at + 8 <= len && h->n_blocks < TCP_BLOCKS_MAX; at += 8) {
        h->block[h->n_blocks].left = load_be32(p + at);
        h->block[h->n_blocks++].right = load_be32(p + at + 4);
    }
}

static void parse_options(const uint8_t *p, size_t len, struct tcp_header *h)
{
    while (len) {
        if (p[0] == 1) {
            p++;
            len--;
            continue;
        }
        if (len < 2 || p[1] < 2 || p[1] > len)
            return;
        if (p[0] == OPT_SACK)
            parse_sack(p, p[1], h);
        else if (p[0] == OPT_MSS && p[1] == 4)
            h->mss = load_be16(p + 2);
        len -= p[1];
        p += p[1];
    }
}

/* Where the TCP header is, and with how many bytes behind it begins; NULL when nothing is right. */
static const uint8_t *find_tcp(const struct sim_dgram *d, const struct ip_view *v, size_t *ret_len)
{
    size_t len = v->total_len - v->l4_off, skip = v->proto == IP_PROTO_UDP ? UDP_HDR : 0;
    bool has_csum = v->proto == IP_PROTO_UDP || !d->gso_size;

    if (v->version != 4 || v->frag || v->ip_hdr_len != IP4_HDR_MIN ||
        (v->proto != IP_PROTO_TCP && v->proto != IP_PROTO_UDP) ||
        csum_fold(csum_add(0, d->data, IP4_HDR_MIN)) || len < skip + TCP_HDR ||
        (has_csum && l4_csum(d->data, v->proto, len)))
        return NULL;
    *ret_len = len - skip;
    return d->data + v->l4_off + skip;
}

int tcp_packet_parse(const struct sim_dgram *d, struct tcp_header *ret)
{
    enum drop_reason why;
    struct ip_view v;
    const uint8_t *tcp;
    size_t len, hdr;

    if (ip_view_parse(d->data, d->len, &v, &why) || !(tcp = find_tcp(d, &v, &len)))
        return -EBADMSG;
    hdr = (size_t)(tcp[12] >> 4) * 4;
    if (hdr < TCP_HDR || hdr > len)
        return -EBADMSG;
    *ret = (struct tcp_header){.seq = load_be32(tcp + 4), .ack = load_be32(tcp + 8)};
    ret->src = net_addr_make(&v.src, v.sport);
    ret->dst = net_addr_make(&v.dst, v.dport);
    ret->flags = tcp[13];
    ret->window_bytes = (uint64_t)load_be16(tcp + 14) << TCP_WINDOW_SHIFT;
    ret->payload = len - hdr;
    ret->gso_size = d->gso_size;
    ret->udp = v.proto == IP_PROTO_UDP;
    parse_options(tcp + TCP_HDR, hdr - TCP_HDR, ret);
    return 0;
}

struct sim_dgram *udp_packet_make(struct sim *sim, const struct net_addr *src,
                                  const struct net_addr *dst, uint16_t ip_id, const void *payload,
                                  size_t len)
{
    struct sim_dgram *d = begin_packet(sim, src, dst, IP_PROTO_UDP, ip_id, UDP_HDR + len);

    memcpy(d->data + IP4_HDR_MIN + UDP_HDR, payload, len);
    put_udp(d->data, src, dst, UDP_HDR + len);
    return d;
}
