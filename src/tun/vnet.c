#include "tun/vnet.h"

#include "base/util.h"

enum { IPV4_HEADER_MIN = 20, TCP_HEADER_MIN = 20, UDP_HEADER = 8, TCP_DOFF = 12 };

static bool csum_is_inside(const struct pkt *pkt, uint32_t start, uint32_t offset)
{
    return start >= IPV4_HEADER_MIN && start + offset + 2 <= pkt->len;
}

static enum pkt_gso gso_of_type(uint8_t type)
{
    switch (type & ~VIRTIO_NET_HDR_GSO_ECN) {
    case VIRTIO_NET_HDR_GSO_TCPV4:
        return PKT_GSO_TCP4;
    case VIRTIO_NET_HDR_GSO_TCPV6:
        return PKT_GSO_TCP6;
    case VIRTIO_NET_HDR_GSO_UDP_L4:
        return PKT_GSO_UDP;
    default:
        return PKT_GSO_NONE;
    }
}

bool vnet_to_pkt(const struct virtio_net_hdr *h, struct pkt *pkt)
{
    bool partial = h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;

    pkt->gso = PKT_GSO_NONE;
    pkt->gso_size = 0;
    pkt->csum_start = pkt->csum_offset = 0;
    if (partial) {
        if (!csum_is_inside(pkt, h->csum_start, h->csum_offset))
            return false;
        pkt->csum_start = h->csum_start;
        pkt->csum_offset = h->csum_offset;
    }
    if (h->gso_type == VIRTIO_NET_HDR_GSO_NONE)
        return true;
    pkt->gso = (uint8_t)gso_of_type(h->gso_type);
    pkt->gso_size = h->gso_size;
    return pkt->gso != PKT_GSO_NONE && pkt->gso_size && partial;
}

/* Bytes of all headers of a super-packet, or 0 when they do not fit it. */
static uint32_t headers_len(const struct pkt *pkt)
{
    uint32_t l4 = UDP_HEADER;

    if (pkt->gso != PKT_GSO_UDP) {
        if ((uint32_t)pkt->csum_start + TCP_HEADER_MIN > pkt->len)
            return 0;
        l4 = (uint32_t)(pkt->data[pkt->csum_start + TCP_DOFF] >> 4) * 4;
        if (l4 < TCP_HEADER_MIN)
            return 0;
    }
    return pkt->csum_start + l4 <= pkt->len ? pkt->csum_start + l4 : 0;
}

static uint8_t type_of_gso(uint8_t gso)
{
    switch (gso) {
    case PKT_GSO_TCP4:
        return VIRTIO_NET_HDR_GSO_TCPV4;
    case PKT_GSO_TCP6:
        return VIRTIO_NET_HDR_GSO_TCPV6;
    case PKT_GSO_UDP:
        return VIRTIO_NET_HDR_GSO_UDP_L4;
    default:
        return VIRTIO_NET_HDR_GSO_NONE;
    }
}

bool vnet_from_pkt(const struct pkt *pkt, struct virtio_net_hdr *ret)
{
    struct virtio_net_hdr h = {.gso_type = VIRTIO_NET_HDR_GSO_NONE};

    if (pkt->csum_start) {
        if (!csum_is_inside(pkt, pkt->csum_start, pkt->csum_offset))
            return false;
        h.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
        h.csum_start = pkt->csum_start;
        h.csum_offset = pkt->csum_offset;
    }
    if (pkt->gso != PKT_GSO_NONE) {
        h.gso_type = type_of_gso(pkt->gso);
        h.gso_size = pkt->gso_size;
        h.hdr_len = (uint16_t)(pkt->csum_start ? headers_len(pkt) : 0);
        if (h.gso_type == VIRTIO_NET_HDR_GSO_NONE || !h.gso_size || !h.hdr_len)
            return false;
    }
    *ret = h;
    return true;
}
