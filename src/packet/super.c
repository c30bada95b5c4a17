#include "packet/super.h"

#include <errno.h>

#include "base/util.h"
#include "packet/csum.h"

static uint8_t proto_of(uint8_t gso)
{
    return gso == PKT_GSO_UDP ? IP_PROTO_UDP : IP_PROTO_TCP;
}

static bool kind_fits(const struct pkt *pkt, const struct ip_view *v)
{
    switch (pkt->gso) {
    case PKT_GSO_TCP4:
        return v->version == 4 && v->proto == IP_PROTO_TCP;
    case PKT_GSO_TCP6:
        return v->version == 6 && v->proto == IP_PROTO_TCP;
    case PKT_GSO_UDP:
        return v->proto == IP_PROTO_UDP;
    default:
        return false;
    }
}

/* Whether every segment can repeat the extension headers, which the view has found to be whole. */
static bool extensions_repeat(const uint8_t *data, const struct ip_view *v)
{
    uint8_t next = data[6];

    if (v->frag_hdr)
        return false;
    for (unsigned off = IP6_HDR; off < v->l4_off; off += (data[off + 1] + 1u) * 8) {
        if (next == IP_PROTO_ROUTING && data[off + 3] != 0)
            return false;
        if (next != IP_PROTO_ROUTING && next != IP_PROTO_HOPOPTS && next != IP_PROTO_DSTOPTS)
            return false;
        next = data[off];
    }
    return true;
}

/* Bytes of all headers, 0 when the transport header cannot be that of a super-packet. */
static uint32_t headers_len(const struct pkt *pkt, const struct ip_view *v)
{
    const uint8_t *l4 = pkt->data + v->l4_off;
    uint32_t room = v->total_len - v->l4_off, len;

    if (pkt->gso == PKT_GSO_UDP)
        return room > UDP_HDR && load_be16(l4 + UDP_LEN) == room ? v->l4_off + (uint32_t)UDP_HDR
                                                                 : 0;
    if (room < TCP_HDR_MIN || l4[TCP_FLAGS] & (TCP_SYN | TCP_RST))
        return 0;
    len = (uint32_t)(l4[TCP_DOFF] >> 4) * 4;
    return len >= TCP_HDR_MIN && len < room ? v->l4_off + len : 0;
}

static int settle_plain(struct pkt *pkt, const struct ip_view *v)
{
    if (pkt->csum_start && pkt->csum_start < v->l4_off)
        return -EINVAL;
    return csum_complete(pkt);
}

int super_settle(struct pkt *pkt, const struct ip_view *v)
{
    uint16_t csum_offset = pkt->gso == PKT_GSO_UDP ? UDP_CSUM : TCP_CSUM;
    uint32_t hdr_len;

    if (pkt->gso == PKT_GSO_NONE)
        return settle_plain(pkt, v);
    if (!kind_fits(pkt, v) || v->frag || (v->version == 6 && !extensions_repeat(pkt->data, v)))
        return -EINVAL;
    hdr_len = headers_len(pkt, v);
    if (!hdr_len || !pkt->gso_size || v->total_len > UINT16_MAX)
        return -EINVAL;
    if (pkt->csum_start != v->l4_off || pkt->csum_offset != csum_offset)
        return -EINVAL;
    pkt->len = v->total_len;
    pkt->hdr_len = (uint16_t)hdr_len;
    pkt->taken = 0;
    if (pkt->len - hdr_len > pkt->gso_size)
        return 0;
    super_finish(pkt);
    pkt->gso = PKT_GSO_NONE;
    pkt->gso_size = 0;
    return csum_complete(pkt);
}

static void addresses(const uint8_t *data, struct ip_addr *src, struct ip_addr *dst)
{
    bool v4 = data[0] >> 4 == 4;
    size_t n = v4 ? 4 : 16, at = v4 ? 12 : 8;

    src->family = dst->family = v4 ? 4 : 6;
    memcpy(src->b, data + at, n);
    memcpy(dst->b, data + at + n, n);
}

void super_finish(struct pkt *pkt)
{
    uint8_t *p = pkt->data, *l4 = p + pkt->csum_start;
    uint32_t l4_len = pkt->len - pkt->csum_start;
    struct ip_addr src, dst;

    if (p[0] >> 4 == 4) {
        store_be16(p + IP4_LEN, (uint16_t)pkt->len);
        store_be16(p + IP4_CSUM, 0);
        store_be16(p + IP4_CSUM, csum_fold(csum_add(0, p, (p[0] & 0x0f) * 4u)));
    } else {
        store_be16(p + IP6_LEN, (uint16_t)(pkt->len - IP6_HDR));
    }
    if (pkt->gso == PKT_GSO_UDP)
        store_be16(l4 + UDP_LEN, (uint16_t)l4_len);
    addresses(p, &src, &dst);
    store_be16(l4 + pkt->csum_offset,
               csum_fold_partial(csum_pseudo(&src, &dst, proto_of(pkt->gso), l4_len)));
}
