#include "packet/ip.h"

#include "base/util.h"

#include <errno.h>
#include <string.h>

/* The walk over the headers: what parse_* functions share. */
struct walk {
    const uint8_t *data;
    size_t len;
    struct ip_view view;
    enum drop_reason why;
};

static int bad(struct walk *w, enum drop_reason why)
{
    w->why = why;
    return -EBADMSG;
}

static void addr_set(struct ip_addr *a, uint8_t family, const uint8_t *bytes)
{
    a->family = family;
    memcpy(a->b, bytes, family == 4 ? 4 : 16);
}

static int parse_ipv4(struct walk *w)
{
    const uint8_t *p = w->data;
    struct ip_view *v = &w->view;
    uint16_t frag;

    if (w->len < IP4_HDR_MIN)
        return bad(w, DROP_TRUNCATED);
    v->ip_hdr_len = (uint16_t)((p[0] & 0x0f) * 4);
    v->total_len = load_be16(p + 2);
    if (v->ip_hdr_len < IP4_HDR_MIN || v->total_len < v->ip_hdr_len)
        return bad(w, DROP_BAD_HEADER);
    if (v->total_len > w->len)
        return bad(w, DROP_TRUNCATED);
    v->dscp = p[1] >> 2;
    v->ecn = p[1] & 3;
    v->frag_id = load_be16(p + 4);
    frag = load_be16(p + 6);
    v->df = frag & 0x4000;
    v->more_frags = frag & 0x2000;
    v->frag_off = (uint16_t)((frag & 0x1fff) * 8);
    v->frag = v->more_frags || v->frag_off;
    v->ttl = p[8];
    v->proto = p[9];
    v->l4_off = v->ip_hdr_len;
    addr_set(&v->src, 4, p + 12);
    addr_set(&v->dst, 4, p + 16);
    return 0;
}

static bool is_extension(uint8_t proto)
{
    switch (proto) {
    case IP_PROTO_HOPOPTS:
    case IP_PROTO_ROUTING:
    case IP_PROTO_FRAGMENT:
    case IP_PROTO_AH:
    case IP_PROTO_DSTOPTS:
    case IP_PROTO_MOBILITY:
    case IP_PROTO_HIP:
    case IP_PROTO_SHIM6:
        return true;
    default:
        return false;
    }
}

/* Length in bytes of the extension header that starts with the bytes at p (at least 2). */
static unsigned extension_len(uint8_t proto, const uint8_t *p)
{
    if (proto == IP_PROTO_FRAGMENT)
        return IP6_FRAG_HDR;
    if (proto == IP_PROTO_AH)
        return (p[1] + 2u) * 4;
    return (p[1] + 1u) * 8;
}

static void parse_fragment_header(struct ip_view *v, const uint8_t *p, unsigned off)
{
    uint16_t frag = load_be16(p + 2);

    v->frag_hdr = (uint16_t)off;
    v->frag_off = frag & 0xfff8;
    v->more_frags = frag & 1;
    v->frag = v->more_frags || v->frag_off;
    v->frag_id = load_be32(p + 4);
}

/* Follow the chain of extension headers to the transport header. What a non-first fragment holds
 * is not a header: the walk ends there. */
static int walk_extensions(struct walk *w)
{
    struct ip_view *v = &w->view;
    unsigned off = IP6_HDR;

    for (unsigned n = 0; is_extension(v->proto) && !v->frag_off; n++) {
        const uint8_t *p = w->data + off;
        unsigned ext_len;

        if (n == IP_EXT_MAX || (v->proto == IP_PROTO_HOPOPTS && n > 0))
            return bad(w, DROP_BAD_HEADER);
        if (v->proto == IP_PROTO_FRAGMENT && v->frag_hdr)
            return bad(w, DROP_BAD_HEADER);
        if (v->total_len - off < 8)
            return bad(w, DROP_TRUNCATED);
        ext_len = extension_len(v->proto, p);
        if (v->total_len - off < ext_len)
            return bad(w, DROP_TRUNCATED);
        if (v->proto == IP_PROTO_FRAGMENT)
            parse_fragment_header(v, p, off);
        v->proto = p[0];
        off += ext_len;
    }
    v->l4_off = (uint16_t)off;
    return 0;
}

static int parse_ipv6(struct walk *w)
{
    const uint8_t *p = w->data;
    struct ip_view *v = &w->view;

    if (w->len < IP6_HDR)
        return bad(w, DROP_TRUNCATED);
    v->ip_hdr_len = IP6_HDR;
    v->total_len = IP6_HDR + load_be16(p + 4);
    if (v->total_len > w->len)
        return bad(w, DROP_TRUNCATED);
    v->dscp = (uint8_t)((p[0] & 0x0f) << 2 | p[1] >> 6);
    v->ecn = (p[1] >> 4) & 3;
    v->df = true;
    v->proto = p[6];
    v->ttl = p[7];
    addr_set(&v->src, 6, p + 8);
    addr_set(&v->dst, 6, p + 24);
    return walk_extensions(w);
}

static void parse_ports(struct walk *w)
{
    struct ip_view *v = &w->view;
    const uint8_t *l4 = w->data + v->l4_off;

    if ((v->proto != IP_PROTO_TCP && v->proto != IP_PROTO_UDP) || v->frag_off)
        return;
    if (v->total_len - v->l4_off < 4)
        return;
    v->sport = load_be16(l4);
    v->dport = load_be16(l4 + 2);
    v->has_ports = true;
}

int ip_view_parse(const uint8_t *data, size_t len, struct ip_view *ret_view,
                  enum drop_reason *ret_why)
{
    struct walk w = {.data = data, .len = len};
    int r;

    w.view.version = len ? data[0] >> 4 : 0;
    if (w.view.version == 4)
        r = parse_ipv4(&w);
    else if (w.view.version == 6)
        r = parse_ipv6(&w);
    else
        r = bad(&w, DROP_NOT_IP);
    if (r) {
        *ret_why = w.why;
        return r;
    }
    if (w.view.frag_off + (w.view.total_len - w.view.l4_off) > UINT16_MAX) {
        *ret_why = DROP_BAD_HEADER;
        return -EBADMSG;
    }
    parse_ports(&w);
    *ret_view = w.view;
    return 0;
}

int ip_view_parse_pkt(struct pkt *pkt, struct ip_view *ret_view, enum drop_reason *ret_why)
{
    int r = ip_view_parse(pkt->data, pkt->len, ret_view, ret_why);

    if (!r)
        pkt->len = ret_view->total_len;
    return r;
}
