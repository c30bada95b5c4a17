#include "packet/coalesce.h"

#include <string.h>

#include "base/util.h"
#include "packet/csum.h"
#include "packet/super.h"

/* Offsets in the IP headers. */
enum { IP4_FRAG = 6, IP4_TTL = 8, IP4_ADDRS = 12, IP6_HOPS = 7, IP6_ADDRS = 8, IP4_DF = 0x40 };

/* A packet that came in, as far as it matters here. */
struct incoming {
    const uint8_t *data;
    const struct ip_view *view;
    const uint8_t *l4;
    uint32_t hdr_len, payload;
};

void coalesce_init(struct coalesce *c, const struct coalesce_opts *opts)
{
    *c = (struct coalesce){.opts = *opts};
}

/* --- what is held ---------------------------------------------------------------------- */

static bool same_addresses(const uint8_t *a, const uint8_t *b)
{
    if (a[0] >> 4 != b[0] >> 4)
        return false;
    return a[0] >> 4 == 4 ? !memcmp(a + IP4_ADDRS, b + IP4_ADDRS, 8)
                          : !memcmp(a + IP6_ADDRS, b + IP6_ADDRS, 32);
}

/* Whether what is held belongs to the flow of the packet. Of one without ports (a fragment) only
 * the hosts are known: it belongs to all their flows. */
static bool same_flow(const struct coalesce_slot *s, const uint8_t *data, const struct ip_view *v)
{
    const uint8_t *held = s->pkt->data;

    if (!same_addresses(held, data))
        return false;
    if (!v->has_ports || v->frag)
        return true;
    return s->proto == v->proto && !memcmp(held + s->l4_off, data + v->l4_off, 4);
}

static void emit(struct coalesce *c, unsigned i)
{
    struct coalesce_slot s = c->slot[i];
    struct pkt *pkt = s.pkt;

    c->slot[i] = c->slot[--c->n];
    if (s.segments > 1) {
        pkt->gso_size = s.size;
        pkt->hdr_len = s.hdr_len;
        pkt->csum_start = s.l4_off;
        if (s.proto == IP_PROTO_UDP) {
            pkt->gso = PKT_GSO_UDP;
            pkt->csum_offset = UDP_CSUM;
        } else {
            pkt->gso = pkt->data[0] >> 4 == 4 ? PKT_GSO_TCP4 : PKT_GSO_TCP6;
            pkt->csum_offset = TCP_CSUM;
        }
        super_finish(pkt);
    }
    c->opts.out(c->opts.user, pkt);
}

static void emit_oldest(struct coalesce *c)
{
    unsigned oldest = 0;

    for (unsigned i = 1; i < c->n; i++)
        if (c->slot[i].used < c->slot[oldest].used)
            oldest = i;
    emit(c, oldest);
}

void coalesce_flush(struct coalesce *c)
{
    while (c->n)
        emit_oldest(c);
}

/* --- what may be held ------------------------------------------------------------------ */

static bool checksum_is_right(const struct incoming *in)
{
    const struct ip_view *v = in->view;
    uint32_t l4_len = v->total_len - v->l4_off;
    uint64_t sum = csum_pseudo(&v->src, &v->dst, v->proto, l4_len);

    return csum_fold(csum_add(sum, in->l4, l4_len)) == 0;
}

static bool tcp_may_be_held(struct incoming *in, uint32_t l4_len)
{
    uint8_t flags;
    uint32_t len;

    if (l4_len < TCP_HDR_MIN)
        return false;
    len = (uint32_t)(in->l4[TCP_DOFF] >> 4) * 4;
    flags = in->l4[TCP_FLAGS] & (uint8_t) ~(TCP_ECE | TCP_PSH);
    if (len < TCP_HDR_MIN || len >= l4_len || flags != TCP_ACK_FLAG)
        return false;
    in->hdr_len = in->view->l4_off + len;
    in->payload = l4_len - len;
    return true;
}

static bool udp_may_be_held(struct incoming *in, uint32_t l4_len)
{
    if (l4_len <= UDP_HDR || load_be16(in->l4 + UDP_LEN) != l4_len || !load_be16(in->l4 + UDP_CSUM))
        return false;
    in->hdr_len = in->view->l4_off + (uint32_t)UDP_HDR;
    in->payload = l4_len - UDP_HDR;
    return true;
}

static bool may_be_held(const struct coalesce *c, struct incoming *in)
{
    const struct ip_view *v = in->view;
    uint32_t l4_len = v->total_len - v->l4_off;

    if (v->frag || v->l4_off != (v->version == 4 ? IP4_HDR_MIN : IP6_HDR))
        return false;
    if (v->version == 4 && in->data[IP4_FRAG] & 0x80) /* the reserved bit */
        return false;
    if (v->proto == IP_PROTO_TCP
            ? !c->opts.tcp || !tcp_may_be_held(in, l4_len)
            : v->proto != IP_PROTO_UDP || !c->opts.udp || !udp_may_be_held(in, l4_len))
        return false;
    return checksum_is_right(in);
}

/* --- whether it continues -------------------------------------------------------------- */

static bool ip_continues(const struct coalesce_slot *s, const struct incoming *in)
{
    const uint8_t *held = s->pkt->data, *p = in->data;

    if (p[0] >> 4 == 6)
        return !memcmp(held, p, 4) && held[IP6_HOPS] == p[IP6_HOPS];
    return held[1] == p[1] && held[IP4_FRAG] == p[IP4_FRAG] && held[IP4_TTL] == p[IP4_TTL] &&
           (p[IP4_FRAG] & IP4_DF || load_be16(p + IP4_ID) == s->next_id);
}

static bool tcp_continues(const struct coalesce_slot *s, const struct incoming *in)
{
    const uint8_t *held = s->pkt->data + s->l4_off, *tcp = in->l4;
    size_t options = in->hdr_len - in->view->l4_off - TCP_HDR_MIN;

    return load_be32(tcp + TCP_SEQ) == s->next_seq && !memcmp(held + TCP_ACK, tcp + TCP_ACK, 5) &&
           !((held[TCP_FLAGS] ^ tcp[TCP_FLAGS]) & ~TCP_PSH) &&
           !memcmp(held + TCP_WINDOW, tcp + TCP_WINDOW, 2) &&
           !memcmp(held + TCP_HDR_MIN, tcp + TCP_HDR_MIN, options);
}

static bool continues(const struct coalesce_slot *s, const struct incoming *in)
{
    if (in->hdr_len != s->hdr_len || in->payload > s->size ||
        s->pkt->len + in->payload > UINT16_MAX || in->payload > pkt_tailroom(s->pkt))
        return false;
    return ip_continues(s, in) && (s->proto == IP_PROTO_UDP || tcp_continues(s, in));
}

static bool is_pushed(const struct incoming *in)
{
    return in->view->proto == IP_PROTO_TCP && in->l4[TCP_FLAGS] & TCP_PSH;
}

/* True when nothing can follow any more. */
static bool append(struct coalesce_slot *s, const struct incoming *in)
{
    struct pkt *pkt = s->pkt;

    memcpy(pkt->data + pkt->len, in->data + in->hdr_len, in->payload);
    pkt->len += in->payload;
    s->next_seq += in->payload;
    s->next_id++;
    s->segments++;
    if (is_pushed(in))
        pkt->data[s->l4_off + TCP_FLAGS] |= TCP_PSH;
    return in->payload < s->size || is_pushed(in) ||
           (s->proto == IP_PROTO_UDP && s->segments == COALESCE_UDP_MAX);
}

/* --- in -------------------------------------------------------------------------------- */

static struct pkt *copy_into(struct pkt *pkt, const uint8_t *data, uint32_t len)
{
    if (pkt) {
        memcpy(pkt->data, data, len);
        pkt->len = len;
    }
    return pkt;
}

static void pass_copy(struct coalesce *c, const struct incoming *in)
{
    uint32_t len = in->view->total_len;
    struct pkt *pkt = copy_into(pkt_new(c->opts.pool, len), in->data, len);

    if (pkt)
        c->opts.out(c->opts.user, pkt);
    else
        drop_count(c->opts.drops, DROP_NO_BUFFER);
}

/* Hold the packet as the first one of its flow. False when there is no large buffer. */
static bool begin(struct coalesce *c, const struct incoming *in)
{
    struct pkt *pkt;

    if (c->n == COALESCE_FLOWS)
        emit_oldest(c);
    pkt = pkt_new(c->opts.pool, PKT_LARGE_MAX);
    if (!pkt && c->n) {
        emit_oldest(c);
        pkt = pkt_new(c->opts.pool, PKT_LARGE_MAX);
    }
    if (!copy_into(pkt, in->data, in->view->total_len))
        return false;
    c->slot[c->n++] = (struct coalesce_slot){
        .pkt = pkt,
        .used = c->clock++,
        .next_seq = in->view->proto == IP_PROTO_TCP ? load_be32(in->l4 + TCP_SEQ) + in->payload : 0,
        .size = (uint16_t)in->payload,
        .segments = 1,
        .next_id = (uint16_t)(load_be16(in->data + IP4_ID) + 1),
        .l4_off = (uint8_t)in->view->l4_off,
        .hdr_len = (uint8_t)in->hdr_len,
        .proto = in->view->proto,
    };
    return true;
}

/* What is held of the packet's flow comes out. */
static void emit_flow(struct coalesce *c, const uint8_t *data, const struct ip_view *v)
{
    for (unsigned i = c->n; i-- > 0;)
        if (same_flow(&c->slot[i], data, v))
            emit(c, i);
}

static struct coalesce_slot *find(struct coalesce *c, const struct incoming *in)
{
    for (unsigned i = 0; i < c->n; i++)
        if (same_flow(&c->slot[i], in->data, in->view))
            return &c->slot[i];
    return NULL;
}

void coalesce_add(struct coalesce *c, const uint8_t *data, const struct ip_view *v)
{
    struct incoming in = {.data = data, .view = v, .l4 = data + v->l4_off};
    struct coalesce_slot *s;

    if (!may_be_held(c, &in)) {
        emit_flow(c, data, v);
        pass_copy(c, &in);
        return;
    }
    s = find(c, &in);
    if (s && continues(s, &in)) {
        c->merged++;
        if (append(s, &in))
            emit(c, (unsigned)(s - c->slot));
        return;
    }
    if (s)
        emit(c, (unsigned)(s - c->slot));
    if (is_pushed(&in) || !begin(c, &in))
        pass_copy(c, &in);
}

void coalesce_pass(struct coalesce *c, struct pkt *pkt, const struct ip_view *v)
{
    emit_flow(c, pkt->data, v);
    c->opts.out(c->opts.user, pkt);
}
