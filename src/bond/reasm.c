#include "bond/reasm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "packet/ip.h"
#include "packet/super.h"

enum { WORDS = REASM_WINDOW / 64, PLACES_FIRST = 8 };

/* What a session may have whatever the others have; above it as much as nobody has. */
enum { LEAST_FLOWS = 16, LEAST_UNITS = 64 };
static const unsigned least_buffers[PKT_CLASSES] = {16, 1, 1};

/* Ranges that a sender cuts are not small: more of one unit than these come from somebody else. */
enum { PIECES_MAX = 128 };

/* A unit that is not delivered: incomplete, or waiting. */
struct reasm_unit {
    struct reasm_unit *next, *prev; /* by seq */
    uint32_t seq;
    uint32_t total; /* 0: its beginning has not come */
    uint32_t have;  /* bytes at the beginning of pkt; == total: complete */
    uint16_t segment;
    uint8_t kind, class;
    uint8_t n_pieces;
    struct pkt *pkt;    /* NULL: its beginning has not come */
    struct pkt *pieces; /* behind a hole, by offset (piece_at()) */
    uint64_t since_ns;  /* its first byte came; when complete: it became so */
};

/* What is open of a flow. Units below the base of its place are done with, and so are those whose
 * bit is set. */
struct reasm_flow {
    struct heap_node timer;
    struct reasm_flow *next_free;
    struct reasm_unit *first, *last;
    unsigned n_units, n_waiting; /* the latter are complete */
    uint64_t done[WORDS];        /* by seq modulo the window, from base on */
    uint32_t top;                /* behind the highest that has come */
    uint32_t number;
    uint64_t hole_ns; /* n_waiting: when it was seen that something is missing */
    uint64_t used_ns;
};

struct reasm_place {
    struct reasm_flow *open; /* NULL: everything below base was dealt with, nothing above came */
    uint32_t base;
};

struct reasm_pool {
    struct reasm_flow *flows, *free_flow;
    struct reasm_unit *units, *free_unit;
    unsigned n_flows, n_units;         /* in all, */
    unsigned fresh_flows, fresh_units; /* of them never used yet, at the end: memory untouched */
    unsigned used_flows, used_units;   /* of them in use */
    size_t bytes, max_bytes;
};

/* --- pool ------------------------------------------------------------------------------- */

struct reasm_pool *reasm_pool_new(unsigned n_flows, unsigned n_units, size_t max_bytes)
{
    struct reasm_pool *pool = calloc(1, sizeof(*pool));

    if (!pool)
        return NULL;
    pool->flows = calloc(n_flows, sizeof(*pool->flows));
    pool->units = calloc(n_units, sizeof(*pool->units));
    pool->n_flows = pool->fresh_flows = n_flows;
    pool->n_units = pool->fresh_units = n_units;
    pool->max_bytes = max_bytes;
    if (!pool->flows || !pool->units) {
        reasm_pool_free(pool);
        return NULL;
    }
    return pool;
}

void reasm_pool_free(struct reasm_pool *pool)
{
    if (!pool)
        return;
    free(pool->flows);
    free(pool->units);
    free(pool);
}

static struct reasm_flow *take_flow(struct reasm *r)
{
    struct reasm_pool *pool = r->opts.pool;
    struct reasm_flow *f = pool->free_flow;

    if (r->n_flows >= LEAST_FLOWS + (pool->n_flows - pool->used_flows))
        return NULL;
    if (f)
        pool->free_flow = f->next_free;
    else if (pool->fresh_flows)
        f = &pool->flows[pool->n_flows - pool->fresh_flows--];
    pool->used_flows += f != NULL;
    r->n_flows += f != NULL;
    return f;
}

static void return_flow(struct reasm *r, struct reasm_flow *f)
{
    f->next_free = r->opts.pool->free_flow;
    r->opts.pool->free_flow = f;
    r->opts.pool->used_flows--;
    r->n_flows--;
}

static struct reasm_unit *take_unit(struct reasm *r)
{
    struct reasm_pool *pool = r->opts.pool;
    struct reasm_unit *u = pool->free_unit;

    if (r->n_units >= LEAST_UNITS + (pool->n_units - pool->used_units))
        return NULL;
    if (u)
        pool->free_unit = u->next;
    else if (pool->fresh_units)
        u = &pool->units[pool->n_units - pool->fresh_units--];
    pool->used_units += u != NULL;
    r->n_units += u != NULL;
    return u;
}

static void return_unit(struct reasm *r, struct reasm_unit *u)
{
    u->next = r->opts.pool->free_unit;
    r->opts.pool->free_unit = u;
    r->opts.pool->used_units--;
    r->n_units--;
}

/* Buffers count as a whole: a byte in a large one keeps all of it. */
static void hold_bytes(struct reasm *r, const struct pkt *pkt)
{
    r->bytes += pkt->cap;
    r->held[pkt->pool_class]++;
    r->opts.pool->bytes += pkt->cap;
}

static void release_bytes(struct reasm *r, const struct pkt *pkt)
{
    r->bytes -= pkt->cap;
    r->held[pkt->pool_class]--;
    r->opts.pool->bytes -= pkt->cap;
}

static void drop(struct reasm *r, enum drop_reason why)
{
    drop_count(r->opts.drops, why);
}

/* --- places and flows ------------------------------------------------------------------- */

static struct reasm_place *place_of(struct reasm *r, unsigned number)
{
    struct reasm_place *more;
    unsigned n = r->n_places ? r->n_places : PLACES_FIRST;

    if (number < r->n_places)
        return &r->place[number];
    while (n <= number)
        n *= 2;
    more = realloc(r->place, n * sizeof(*more));
    if (!more)
        return NULL;
    memset(more + r->n_places, 0, (n - r->n_places) * sizeof(*more));
    r->place = more;
    r->n_places = n;
    return &r->place[number];
}

static uint32_t seq_add(uint32_t seq, uint32_t n)
{
    return (seq + n) & PACKED_SEQ_MASK;
}

static uint64_t done_bit(const struct reasm_flow *f, uint32_t seq)
{
    return f->done[seq % REASM_WINDOW / 64] & UINT64_C(1) << seq % 64;
}

static void done_set(struct reasm_flow *f, uint32_t seq)
{
    f->done[seq % REASM_WINDOW / 64] |= UINT64_C(1) << seq % 64;
}

static void done_clear(struct reasm_flow *f, uint32_t seq)
{
    f->done[seq % REASM_WINDOW / 64] &= ~(UINT64_C(1) << seq % 64);
}

static struct reasm_flow *open_flow(struct reasm *r, uint64_t now_ns, unsigned number)
{
    struct reasm_place *place = &r->place[number];
    struct reasm_flow *f = place->open ? NULL : take_flow(r);

    if (!f)
        return place->open;
    *f = (struct reasm_flow){.number = number, .top = place->base, .used_ns = now_ns};
    if (heap_set(&r->heap, &f->timer, now_ns + REASM_IDLE_NS)) {
        return_flow(r, f);
        return NULL;
    }
    place->open = f;
    return f;
}

static void close_flow(struct reasm *r, struct reasm_flow *f)
{
    heap_remove(&r->heap, &f->timer);
    r->place[f->number].open = NULL;
    return_flow(r, f);
}

/* --- units ------------------------------------------------------------------------------ */

/* Where its bytes belong: a piece needs no flow hash. */
static uint32_t piece_at(const struct pkt *piece)
{
    return (uint32_t)piece->flow;
}

static bool is_complete(const struct reasm_unit *u)
{
    return u->total && u->have == u->total;
}

/* The unit with that number, or the last one below it. Nearly always near one of the ends. */
static struct reasm_unit *at_or_before(const struct reasm_flow *f, uint32_t seq)
{
    struct reasm_unit *u = f->last;

    if (f->first && packed_seq_diff(seq, f->first->seq) <= 0)
        return f->first->seq == seq ? f->first : NULL;
    while (u && packed_seq_diff(u->seq, seq) > 0)
        u = u->prev;
    return u;
}

static struct reasm_unit *unit_new(struct reasm *r, struct reasm_flow *f, struct reasm_unit *after,
                                   uint32_t seq)
{
    struct reasm_unit *u = take_unit(r);

    if (!u)
        return NULL;
    *u = (struct reasm_unit){.seq = seq, .prev = after, .next = after ? after->next : f->first};
    *(after ? &after->next : &f->first) = u;
    *(u->next ? &u->next->prev : &f->last) = u;
    f->n_units++;
    return u;
}

static void free_pieces(struct reasm *r, struct reasm_unit *u)
{
    while (u->pieces) {
        struct pkt *piece = u->pieces;

        u->pieces = piece->next;
        u->n_pieces--;
        release_bytes(r, piece);
        pkt_free(r->opts.pkts, piece);
    }
}

/* Take it out of its flow and give it back; its packet, if any, is the caller's. */
static struct pkt *unit_take(struct reasm *r, struct reasm_flow *f, struct reasm_unit *u)
{
    struct pkt *pkt = u->pkt;

    if (pkt)
        release_bytes(r, pkt);
    free_pieces(r, u);
    *(u->prev ? &u->prev->next : &f->first) = u->next;
    *(u->next ? &u->next->prev : &f->last) = u->prev;
    f->n_units--;
    return_unit(r, u);
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
        release_bytes(r, piece);
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
    hold_bytes(r, piece);
    return 0;
}

/* The beginning of a unit, or a whole packet. */
static int begin_unit(struct reasm *r, struct reasm_unit *u, const struct packed_frame *f)
{
    bool packet = f->type == PACKED_PACKET;

    u->pkt = pkt_new(r->opts.pkts, packet ? f->len : f->total);
    if (!u->pkt)
        return -ENOBUFS;
    hold_bytes(r, u->pkt);
    u->total = packet ? f->len : f->total;
    u->kind = packet ? PKT_GSO_NONE : f->kind;
    u->segment = packet ? 0 : f->segment;
    append(u, f->data, 0, f->len);
    absorb_pieces(r, u);
    return 0;
}

/* Returns 0; -EEXIST: there already; -ENOBUFS; -EBADMSG: it contradicts what came before. */
static int add_bytes(struct reasm *r, struct reasm_unit *u, const struct packed_frame *f)
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

/* --- delivery and order ----------------------------------------------------------------- */

static const struct reasm_class *class_of(const struct reasm *r, const struct reasm_unit *u)
{
    return &r->class[u->class];
}

static struct reasm_unit *first_waiting(const struct reasm_flow *f)
{
    struct reasm_unit *u = f->first;

    while (u && !is_complete(u))
        u = u->next;
    return u;
}

static void hand_over(struct reasm *r, struct pkt *pkt)
{
    r->stats.units++;
    r->opts.deliver(r->opts.user, pkt);
}

/* Ask whether the unit may go on; if not, it is dropped. */
static bool accepted(struct reasm *r, struct pkt *pkt)
{
    enum drop_reason why;

    if (r->opts.accept(r->opts.user, pkt, &why))
        return true;
    drop(r, why);
    pkt_free(r->opts.pkts, pkt);
    return false;
}

static uint64_t due_ns(const struct reasm *r, const struct reasm_flow *f)
{
    uint64_t at_ns = f->used_ns + REASM_IDLE_NS;

    if (f->n_waiting)
        at_ns = MIN(at_ns, f->hole_ns + class_of(r, first_waiting(f))->wait_ns);
    if (f->first && !is_complete(f->first))
        at_ns = MIN(at_ns, f->first->since_ns + class_of(r, f->first)->deadline_ns);
    return at_ns;
}

/* A timer may be early: reasm_timeout() asks again. It is in the heap, so this cannot fail. */
static void rearm(struct reasm *r, struct reasm_flow *f)
{
    uint64_t at_ns = due_ns(r, f);

    if (at_ns < f->timer.key_ns)
        heap_set(&r->heap, &f->timer, at_ns);
}

/* Deliver what has its turn now, and forget a flow that has nothing open. */
static void advance(struct reasm *r, uint64_t now_ns, struct reasm_flow *f)
{
    struct reasm_place *place = &r->place[f->number];
    bool moved = false;

    while (packed_seq_diff(f->top, place->base) > 0) {
        struct reasm_unit *u = f->first;

        if (done_bit(f, place->base)) {
            done_clear(f, place->base);
        } else if (u && u->seq == place->base && is_complete(u)) {
            r->stats.waited++;
            r->stats.wait_ns += now_ns - u->since_ns;
            f->n_waiting--;
            hand_over(r, unit_take(r, f, u));
        } else {
            break;
        }
        place->base = seq_add(place->base, 1);
        moved = true;
    }
    if (!f->n_units && place->base == f->top) {
        close_flow(r, f);
        return;
    }
    if (moved && f->n_waiting)
        f->hole_ns = first_waiting(f)->since_ns;
    rearm(r, f);
}

/* What to do with a unit that has just become complete. */
static void completed(struct reasm *r, uint64_t now_ns, struct reasm_flow *f, struct reasm_unit *u)
{
    const struct reasm_class *c = class_of(r, u);
    uint32_t seq = u->seq;

    u->since_ns = now_ns;
    u->pkt->gso = u->kind;
    u->pkt->gso_size = u->segment;
    if (seq != r->place[f->number].base && c->order != REASM_ORDER_NONE && c->wait_ns) {
        enum drop_reason why;

        if (r->opts.accept(r->opts.user, u->pkt, &why)) {
            if (!f->n_waiting++)
                f->hole_ns = now_ns;
            return;
        }
        drop(r, why);
        pkt_free(r->opts.pkts, unit_take(r, f, u));
    } else {
        struct pkt *pkt = unit_take(r, f, u);

        if (accepted(r, pkt))
            hand_over(r, pkt);
    }
    done_set(f, seq);
}

/* Leave of an incomplete run the whole segments at its beginning: true when there are any. */
static bool cut_run(struct pkt *pkt, uint32_t segment)
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

/* An incomplete unit is not waited for any longer. */
static void abandon(struct reasm *r, struct reasm_flow *f, struct reasm_unit *u)
{
    uint8_t kind = u->kind;
    uint16_t segment = u->segment;
    struct pkt *pkt = unit_take(r, f, u);

    drop(r, DROP_INCOMPLETE);
    if (!pkt)
        return;
    pkt->gso = kind;
    pkt->gso_size = segment;
    if (kind == PKT_GSO_NONE || !cut_run(pkt, segment)) {
        pkt_free(r->opts.pkts, pkt);
    } else if (accepted(r, pkt)) {
        r->stats.cut++;
        hand_over(r, pkt);
    }
}

/* Wait for nothing below seq any longer. */
static void skip_to(struct reasm *r, uint64_t now_ns, struct reasm_flow *f, uint32_t seq)
{
    struct reasm_place *place = &r->place[f->number];

    r->stats.holes++;
    while (packed_seq_diff(seq, place->base) > 0) {
        struct reasm_unit *u = f->first;

        if (packed_seq_diff(seq, place->base) > REASM_WINDOW && !f->n_units) {
            memset(f->done, 0, sizeof(f->done));
            place->base = seq;
            break;
        }
        done_clear(f, place->base);
        if (u && u->seq == place->base && is_complete(u)) {
            f->n_waiting--;
            hand_over(r, unit_take(r, f, u));
        } else if (u && u->seq == place->base) {
            abandon(r, f, u);
        }
        place->base = seq_add(place->base, 1);
    }
    if (packed_seq_diff(f->top, place->base) < 0)
        f->top = place->base;
    advance(r, now_ns, f);
}

/* The patience with a flow has ended, or its memory is needed. */
static void give_up(struct reasm *r, uint64_t now_ns, struct reasm_flow *f)
{
    struct reasm_unit *u = f->n_waiting ? first_waiting(f) : NULL;

    if (u)
        skip_to(r, now_ns, f, u->seq);
    else if (f->first)
        skip_to(r, now_ns, f, seq_add(f->first->seq, 1));
    else
        skip_to(r, now_ns, f, f->top);
}

/* More than its share: others need buffers too. */
static bool holds_too_much(const struct reasm *r)
{
    if (r->bytes > r->opts.max_bytes || r->opts.pool->bytes > r->opts.pool->max_bytes)
        return true;
    for (unsigned c = 0; c < PKT_CLASSES; c++)
        if (r->held[c] > least_buffers[c] + pkt_pool_spare(r->opts.pkts, c))
            return true;
    return false;
}

static void keep_bounds(struct reasm *r, uint64_t now_ns)
{
    while (heap_top(&r->heap) && holds_too_much(r)) {
        r->stats.evicted++;
        give_up(r, now_ns, container_of(heap_top(&r->heap), struct reasm_flow, timer));
    }
}

/* --- frames ----------------------------------------------------------------------------- */

static bool is_whole(const struct packed_frame *f)
{
    return f->type == PACKED_PACKET || (f->first && f->len == f->total);
}

/* Deliver a unit that has come in one frame and whose order does not matter. */
static void deliver_whole(struct reasm *r, const struct packed_frame *f)
{
    struct pkt *pkt = pkt_new(r->opts.pkts, f->len);

    if (!pkt) {
        drop(r, DROP_NO_BUFFER);
        return;
    }
    memcpy(pkt->data, f->data, f->len);
    pkt->len = f->len;
    if (f->type == PACKED_RANGE) {
        pkt->gso = f->kind;
        pkt->gso_size = f->segment;
    }
    if (accepted(r, pkt))
        hand_over(r, pkt);
}

static void duplicate(struct reasm *r)
{
    r->stats.duplicates++;
    drop(r, DROP_DUPLICATE);
}

/* Without a struct to be had: a whole unit goes on, of a range nothing can be made. */
static void without_flow(struct reasm *r, struct reasm_place *place, const struct packed_frame *f)
{
    if (!is_whole(f)) {
        drop(r, DROP_NO_BUFFER);
        return;
    }
    if (!place->open)
        place->base = seq_add(f->seq, 1);
    else
        done_set(place->open, f->seq);
    deliver_whole(r, f);
}

static void rx_unit(struct reasm *r, uint64_t now_ns, unsigned class, struct reasm_flow *f,
                    const struct packed_frame *frame)
{
    struct reasm_unit *u = at_or_before(f, frame->seq);
    int rv;

    f->used_ns = now_ns;
    if (packed_seq_diff(frame->seq + 1, f->top) > 0)
        f->top = seq_add(frame->seq, 1);
    if (!u || u->seq != frame->seq) {
        u = unit_new(r, f, u, frame->seq);
        if (!u) {
            without_flow(r, &r->place[f->number], frame);
            advance(r, now_ns, f);
            return;
        }
        u->class = (uint8_t) class;
        u->since_ns = now_ns;
    } else if (is_complete(u)) {
        duplicate(r);
        return;
    }
    rv = add_bytes(r, u, frame);
    if (rv == -EEXIST)
        duplicate(r);
    else if (rv)
        drop(r, rv == -ENOBUFS ? DROP_NO_BUFFER : DROP_MALFORMED);
    if (is_complete(u))
        completed(r, now_ns, f, u);
    advance(r, now_ns, f);
    keep_bounds(r, now_ns);
}

static void rx_gone(struct reasm *r, uint64_t now_ns, struct reasm_place *place,
                    const struct packed_frame *frame)
{
    int32_t from = MAX(packed_seq_diff(frame->seq, place->base), 0);
    int64_t to = (int64_t)packed_seq_diff(frame->seq, place->base) + frame->count;
    struct reasm_flow *f;

    to = MIN(to, REASM_WINDOW);
    if (to <= from)
        return;
    f = open_flow(r, now_ns, frame->flow);
    if (!f)
        return;
    for (int32_t i = from; i < to; i++) {
        uint32_t seq = seq_add(place->base, (uint32_t)i);
        struct reasm_unit *u = at_or_before(f, seq);

        if (u && u->seq == seq && is_complete(u))
            continue;
        if (u && u->seq == seq)
            abandon(r, f, u);
        done_set(f, seq);
        if (packed_seq_diff(seq + 1, f->top) > 0)
            f->top = seq_add(seq, 1);
    }
    advance(r, now_ns, f);
}

void reasm_rx(struct reasm *r, uint64_t now_ns, unsigned class, const struct packed_frame *frame)
{
    struct reasm_place *place;
    struct reasm_flow *f;
    int32_t ahead;

    if (!frame->has_seq) {
        deliver_whole(r, frame);
        return;
    }
    place = place_of(r, frame->flow);
    if (!place) {
        drop(r, DROP_NO_BUFFER);
        return;
    }
    if (frame->type == PACKED_GONE) {
        rx_gone(r, now_ns, place, frame);
        return;
    }
    ahead = packed_seq_diff(frame->seq, place->base);
    if (ahead == 0 && !place->open && is_whole(frame)) { /* as nearly always */
        place->base = seq_add(place->base, 1);
        deliver_whole(r, frame);
        return;
    }
    if (ahead < 0) {
        duplicate(r);
        return;
    }
    f = open_flow(r, now_ns, frame->flow);
    if (!f) {
        without_flow(r, place, frame);
        return;
    }
    if (ahead >= REASM_WINDOW) {
        skip_to(r, now_ns, f, seq_add(frame->seq, PACKED_SEQ_MASK + 2 - REASM_WINDOW));
        f = open_flow(r, now_ns, frame->flow); /* it may have been closed */
    }
    if (done_bit(f, frame->seq))
        duplicate(r);
    else
        rx_unit(r, now_ns, class, f, frame);
}

/* --- time and life ---------------------------------------------------------------------- */

uint64_t reasm_deadline_ns(const struct reasm *r)
{
    return heap_top(&r->heap) ? heap_top(&r->heap)->key_ns : TIME_NEVER_NS;
}

void reasm_timeout(struct reasm *r, uint64_t now_ns)
{
    while (reasm_deadline_ns(r) <= now_ns) {
        struct reasm_flow *f = container_of(heap_top(&r->heap), struct reasm_flow, timer);
        uint64_t at_ns = due_ns(r, f);

        if (at_ns > now_ns)
            heap_set(&r->heap, &f->timer, at_ns);
        else
            give_up(r, now_ns, f);
    }
}

void reasm_init(struct reasm *r, const struct reasm_opts *opts)
{
    *r = (struct reasm){.opts = *opts};
    if (!r->opts.max_bytes)
        r->opts.max_bytes = REASM_BYTES_MAX;
}

void reasm_set_class(struct reasm *r, unsigned class, const struct reasm_class *c)
{
    r->class[class % PACKED_CLASSES] = *c;
}

void reasm_reset(struct reasm *r)
{
    while (heap_top(&r->heap)) {
        struct reasm_flow *f = container_of(heap_top(&r->heap), struct reasm_flow, timer);

        while (f->first) {
            drop(r, DROP_NO_SESSION);
            pkt_free(r->opts.pkts, unit_take(r, f, f->first));
        }
        close_flow(r, f);
    }
    free(r->place);
    r->place = NULL;
    r->n_places = 0;
}

void reasm_done(struct reasm *r)
{
    reasm_reset(r);
    heap_done(&r->heap);
}

unsigned reasm_held(const struct reasm *r, unsigned flow, uint32_t *ret_base)
{
    const struct reasm_place *place = flow < r->n_places ? &r->place[flow] : NULL;

    *ret_base = place ? place->base : 0;
    return place && place->open ? place->open->n_units : 0;
}
