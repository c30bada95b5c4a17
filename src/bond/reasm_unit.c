/* One unit of the receiver: its bytes, the pieces that lie behind a hole, and what is left of a run
 * that stays incomplete. */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "bond/reasm_internal.h"
#include "packet/ip.h"
#include "packet/super.h"

/* Ranges that a sender cuts are not small: more of one unit than these come from somebody else. */
enum { PIECES_MAX = 128 };

static struct reasm_unit *unit_at(const struct reasm *r, const struct reasm_flow *f, uint32_t seq)
{
    return &r->opts.pool->units[f->unit[seq % REASM_WINDOW]];
}

struct reasm_unit *reasm_unit_find(const struct reasm *r, const struct reasm_flow *f, uint32_t seq)
{
    return reasm_bit(f->held, seq) ? unit_at(r, f, seq) : NULL;
}

/* The unit with the first bit from the base of the flow on. */
static struct reasm_unit *first_of(const struct reasm *r, const struct reasm_flow *f,
                                   const uint64_t bits[REASM_WORDS])
{
    uint32_t from = r->place[f->number].base % REASM_WINDOW;
    uint64_t word = bits[from / 64] & UINT64_MAX << from % 64;

    for (unsigned i = from / 64, n = 0; n <= REASM_WORDS; n++) { /* the first one twice */
        if (word)
            return unit_at(r, f, i * 64 + (unsigned)__builtin_ctzll(word));
        i = (i + 1) % REASM_WORDS;
        word = bits[i];
    }
    return NULL;
}

struct reasm_unit *reasm_unit_first(const struct reasm *r, const struct reasm_flow *f)
{
    return f->n_units ? first_of(r, f, f->held) : NULL;
}

struct reasm_unit *reasm_unit_first_ready(const struct reasm *r, const struct reasm_flow *f)
{
    return f->n_waiting ? first_of(r, f, f->ready) : NULL;
}

struct reasm_unit *reasm_unit_new(struct reasm *r, struct reasm_flow *f, uint32_t seq)
{
    struct reasm_unit *u = reasm_pool_take_unit(r);

    if (!u)
        return NULL;
    *u = (struct reasm_unit){.flow = f, .seq = seq};
    f->unit[seq % REASM_WINDOW] = (uint16_t)(u - r->opts.pool->units);
    reasm_bit_set(f->held, seq);
    f->n_units++;
    return u;
}

/* Where its bytes belong: a piece needs no flow hash. */
static uint32_t piece_at(const struct pkt *piece)
{
    return (uint32_t)piece->flow;
}

static void free_pieces(struct reasm *r, struct reasm_unit *u)
{
    while (u->pieces) {
        struct pkt *piece = u->pieces;

        u->pieces = piece->next;
        u->n_pieces--;
        reasm_pool_release(r, piece);
        pkt_free(r->opts.pkts, piece);
    }
}

struct pkt *reasm_unit_take(struct reasm *r, struct reasm_unit *u)
{
    struct reasm_flow *f = u->flow;
    struct pkt *pkt = u->pkt;

    if (pkt)
        reasm_pool_release(r, pkt);
    free_pieces(r, u);
    reasm_bit_clear(f->held, u->seq);
    if (reasm_bit(f->ready, u->seq)) {
        reasm_bit_clear(f->ready, u->seq);
        f->n_waiting--;
    }
    f->n_units--;
    reasm_pool_return_unit(r, u);
    return pkt;
}

static int append(struct reasm_unit *u, const uint8_t *data, uint32_t offset, uint32_t len)
{
    uint32_t skip = u->have - offset; /* there already */

    if (offset + len > u->total)
        return -EBADMSG;
    if (skip >= len)
        return -EEXIST;
    memcpy(u->pkt->data + u->have, data + skip, len - skip);
    u->have += len - skip;
    u->pkt->len = u->have;
    return 0;
}

static void absorb_pieces(struct reasm *r, struct reasm_unit *u)
{
    while (u->pieces && piece_at(u->pieces) <= u->have) {
        struct pkt *piece = u->pieces;

        append(u, piece->data, piece_at(piece), piece->len); /* what does not fit is dropped */
        u->pieces = piece->next;
        u->n_pieces--;
        reasm_pool_release(r, piece);
        pkt_free(r->opts.pkts, piece);
    }
}

/* Keep bytes that cannot be appended yet. */
static int keep_piece(struct reasm *r, struct reasm_unit *u, const struct packed_frame *f)
{
    struct pkt **at = &u->pieces, *piece;

    while (*at && piece_at(*at) < f->offset)
        at = &(*at)->next;
    if (*at && piece_at(*at) == f->offset && (*at)->len >= f->len)
        return -EEXIST;
    piece = u->n_pieces < PIECES_MAX ? pkt_new(r->opts.pkts, f->len) : NULL;
    if (!piece)
        return -ENOBUFS;
    u->n_pieces++;
    memcpy(piece->data, f->data, f->len);
    piece->len = f->len;
    piece->flow = f->offset;
    piece->next = *at;
    *at = piece;
    reasm_pool_hold(r, piece);
    return 0;
}

/* The beginning of a unit, or a whole packet. */
static int begin_unit(struct reasm *r, struct reasm_unit *u, const struct packed_frame *f)
{
    bool packet = f->type == PACKED_PACKET;

    u->pkt = pkt_new(r->opts.pkts, packet ? f->len : f->total);
    if (!u->pkt)
        return -ENOBUFS;
    reasm_pool_hold(r, u->pkt);
    u->total = packet ? f->len : f->total;
    u->kind = packet ? PKT_GSO_NONE : f->kind;
    u->segment = packet ? 0 : f->segment;
    append(u, f->data, 0, f->len);
    absorb_pieces(r, u);
    return 0;
}

int reasm_unit_add(struct reasm *r, struct reasm_unit *u, const struct packed_frame *f)
{
    bool beginning = f->type == PACKED_PACKET || f->first;
    uint32_t offset = beginning ? 0 : f->offset;
    int rv;

    if (!u->pkt && beginning)
        return begin_unit(r, u, f);
    if (!u->pkt || offset > u->have)
        return u->total && offset + f->len > u->total ? -EBADMSG : keep_piece(r, u, f);
    rv = append(u, f->data, offset, f->len);
    if (!rv)
        absorb_pieces(r, u);
    return rv;
}

unsigned reasm_unit_gaps(const struct reasm_unit *u, struct packed_gap *ret, unsigned max)
{
    uint32_t at = u->have;
    unsigned n = 0;

    for (const struct pkt *piece = u->pieces; piece && n < max; piece = piece->next) {
        uint32_t offset = piece_at(piece);

        if (offset > at)
            ret[n++] = (struct packed_gap){.seq = u->seq, .offset = at, .len = offset - at};
        at = MAX(at, offset + piece->len);
    }
    if (n < max && (!u->total || at < u->total) && at < PACKED_UNIT_MAX)
        ret[n++] = (struct packed_gap){.seq = u->seq, .offset = at};
    return n;
}

bool reasm_run_cut(struct pkt *pkt, uint32_t segment)
{
    enum drop_reason why;
    struct ip_view v;
    uint8_t *p = pkt->data;
    uint32_t head, tcp;

    if (pkt->len < IP4_HDR_MIN || (p[0] >> 4 == 6 && pkt->len < IP6_HDR))
        return false;
    for (unsigned round = 0;; round++) { /* the headers that are there, then the right length */
        if (p[0] >> 4 == 6)
            store_be16(p + IP6_LEN, (uint16_t)(pkt->len - IP6_HDR));
        else
            store_be16(p + IP4_LEN, (uint16_t)pkt->len);
        if (round == 1)
            return true;
        if (ip_view_parse(p, pkt->len, &v, &why) || !v.has_ports)
            return false;
        tcp = v.proto == IP_PROTO_TCP;
        if (pkt->len < v.l4_off + (uint32_t)(tcp ? TCP_HDR_MIN : UDP_HDR))
            return false;
        head = v.l4_off + (tcp ? (uint32_t)(p[v.l4_off + TCP_DOFF] >> 4) * 4 : (uint32_t)UDP_HDR);
        if (pkt->len < head + segment)
            return false;
        pkt->len = head + (pkt->len - head) / segment * segment;
        if (tcp)
            p[v.l4_off + TCP_FLAGS] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
        else
            store_be16(p + v.l4_off + UDP_LEN, (uint16_t)(pkt->len - v.l4_off));
    }
}
