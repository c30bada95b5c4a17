#include "bond/unit.h"

#include <errno.h>

#include "packet/super.h"
#include "wire/packed.h"

static int refuse(enum drop_reason why, enum drop_reason *ret_why)
{
    *ret_why = why;
    return -EBADMSG;
}

int unit_settle(struct pkt *pkt, size_t packet_max, struct ip_view *ret_view,
                enum drop_reason *ret_why)
{
    pkt->csum_start = 0;
    if (pkt->gso == PKT_GSO_NONE) {
        if (ip_view_parse_pkt(pkt, ret_view, ret_why))
            return -EBADMSG;
        return pkt->len > packet_max ? refuse(DROP_TOO_BIG, ret_why) : 0;
    }
    if (ip_view_parse(pkt->data, pkt->len, ret_view, ret_why))
        return -EBADMSG;
    pkt->csum_start = ret_view->l4_off;
    pkt->csum_offset = pkt->gso == PKT_GSO_UDP ? UDP_CSUM : TCP_CSUM;
    if (ret_view->total_len != pkt->len || super_settle(pkt, ret_view))
        return refuse(DROP_MALFORMED, ret_why);
    if (pkt->gso == PKT_GSO_NONE) /* a run of one segment is a packet */
        return pkt->len > packet_max ? refuse(DROP_TOO_BIG, ret_why) : 0;
    if (pkt->len - pkt->hdr_len > (uint32_t)pkt->gso_size * PACKED_SEGMENTS_MAX)
        return refuse(DROP_MALFORMED, ret_why);
    if ((size_t)pkt->hdr_len + pkt->gso_size > packet_max)
        return refuse(DROP_TOO_BIG, ret_why);
    super_finish(pkt);
    return 0;
}
