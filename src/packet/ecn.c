#include "packet/ecn.h"

#include "base/util.h"
#include "packet/csum.h"

enum { IP4_CSUM_OFF = 10 };

/* The traffic class of IPv6 is bits 4 to 11, its lowest two, the ECN field, lie in byte 1. */
static bool mark_ip6(uint8_t *p)
{
    if (!(p[1] >> 4 & ECN_CE))
        return false;
    p[1] |= ECN_CE << 4;
    return true;
}

static bool mark_ip4(uint8_t *p)
{
    uint16_t was = load_be16(p);

    if (!(p[1] & ECN_CE))
        return false;
    p[1] |= ECN_CE;
    if (load_be16(p) != was)
        store_be16(p + IP4_CSUM_OFF, csum_update16(load_be16(p + IP4_CSUM_OFF), was, load_be16(p)));
    return true;
}

bool ecn_mark_ce(struct pkt *pkt)
{
    return pkt->data[0] >> 4 == 6 ? mark_ip6(pkt->data) : mark_ip4(pkt->data);
}

bool ecn_is_capable(const struct pkt *pkt)
{
    return (pkt->data[0] >> 4 == 6 ? pkt->data[1] >> 4 : pkt->data[1]) & ECN_CE;
}
