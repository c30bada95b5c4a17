#include "bond/pack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "packet/ecn.h"
#include "packet/ip.h"
#include "packet/segment.h"
#include "packet/super.h"

/* Not worth beginning a unit for fewer bytes than these at the end of a datagram. */
enum { SPLIT_MIN = 64 };

/* What is cut for a lane that nobody knows yet fits all of them. */
enum { ORPHAN_MAX = 1100 };

/* Units without a number have a class of their own: that of what is never sent again, because a
 * receiver could not tell that it has them already. */
enum { CLASS_TCP = 0, CLASS_OTHER = 1, CLASS_UNNUMBERED = PACKED_CLASSES - 1 };

struct pack_flow {
    struct hmap_node node; /* by the queue's flow hash */
    struct pack_flow *older, *newer;
    uint64_t used_ns;
    uint32_t seq; /* of the next unit */
    uint16_t number;
};

/* --- flow numbers ----------------------------------------------------------------------- */

static void list_remove(struct pack *p, struct pack_flow *f)
{
    *(f->older ? &f->older->newer : &p->oldest) = f->newer;
    *(f->newer ? &f->newer->older : &p->newest) = f->older;
}

static void list_append(struct pack *p, struct pack_flow *f)
{
    f->newer = NULL;
    f->older = p->newest;
    *(p->newest ? &p->newest->newer : &p->oldest) = f;
    p->newest = f;
}

/* A number that was never lent, or NULL. */
static struct pack_flow *new_number(struct pack *p)
{
    unsigned chunk = p->n_flows / PACK_CHUNK;
    struct pack_flow *f;

    if (p->n_flows == PACKED_FLOWS)
        return NULL;
    if (!p->chunk[chunk])
        p->chunk[chunk] = calloc(PACK_CHUNK, sizeof(*f));
    if (!p->chunk[chunk])
        return NULL;
    f = &p->chunk[chunk][p->n_flows % PACK_CHUNK];
    f->number = (uint16_t)p->n_flows++;
    return f;
}

/* The number of a flow, lent to it if it has none; NULL when all are in use. */
static struct pack_flow *number_of(struct pack *p, uint64_t now_ns, uint64_t hash)
{
    struct hmap_node *node = hmap_first(&p->by_hash, hash);
    struct pack_flow *f = node ? container_of(node, struct pack_flow, node) : NULL;

    if (f) {
        list_remove(p, f);
    } else {
        f = p->oldest;
        if (f && now_ns - f->used_ns >= PACK_FLOW_QUIET_NS) {
            list_remove(p, f);
            hmap_remove(&p->by_hash, &f->node);
        } else {
            f = new_number(p);
            if (!f)
                return NULL;
        }
        hmap_add(&p->by_hash, &f->node, hash);
    }
    f->used_ns = now_ns;
    list_append(p, f);
    return f;
}

/* --- what is kept ----------------------------------------------------------------------- */

static void keep_not(struct pack *p, const struct pkt *dgram)
{
    p->kept -= dgram->cap;
    p->n_kept--;
}

static void forget(struct pack *p, struct pkt *dgram)
{
    keep_not(p, dgram);
    pkt_free(p->opts.pool, dgram);
}

static void keep(struct pack *p, const struct pkt *dgram)
{
    p->kept += dgram->cap;
    p->n_kept++;
}

/* Too much is kept: more than may be, or than is left beside what all others need to pass. */
static bool keeps_too_much(const struct pack *p, unsigned pool_class)
{
    return p->kept > PACK_AGAIN_BYTES ||
           p->n_kept > PACK_POOL_SHARE * pkt_pool_spare(p->opts.pool, pool_class);
}

/* Keep the oldest that the lane has on its way no longer. False when there is none. */
static bool forget_oldest(struct pack *p, struct pack_lane *lane)
{
    struct pkt *dgram = flight_take_oldest(&lane->flight);

    if (!dgram)
        return false;
    p->stats.forgotten++;
    forget(p, dgram);
    return true;
}

/* --- a datagram that is being filled ---------------------------------------------------- */

struct filling {
    struct pkt *out;
    size_t max;
    uint8_t class;
    bool empty;
};

static size_t room(const struct filling *d)
{
    return d->max - d->out->len;
}

static bool begin(struct pack *p, struct pack_lane *lane, struct filling *d, uint64_t now_ns,
                  size_t max)
{
    d->out = pkt_new(p->opts.pool, max);
    if (!d->out && forget_oldest(p, lane)) /* what is new goes before what may be lost */
        d->out = pkt_new(p->opts.pool, max);
    d->max = max;
    d->empty = true;
    if (!d->out)
        return false;
    d->out->len = 1; /* the head, written by end() */
    d->out->queued_ns = now_ns;
    return true;
}

/* True when a frame of that class may go into the datagram. */
static bool class_fits(struct filling *d, uint8_t class)
{
    if (d->empty)
        d->class = class;
    return d->class == class;
}

static struct pkt *end(struct pack *p, struct filling *d)
{
    if (d->empty) {
        pkt_free(p->opts.pool, d->out);
        return NULL;
    }
    packed_put_head(d->out->data, 1, &(struct packed_head){.class = d->class});
    p->stats.datagrams++;
    return d->out;
}

/* Write a frame and as many of its data as fit: all of them, or, of a range, what fills the
 * datagram. Returns how many; 0 when it does not pay. */
static uint32_t put_data(struct filling *d, const struct packed_frame *f)
{
    uint8_t *at = d->out->data + d->out->len;
    size_t n = packed_put_frame(at, room(d), f, true);
    uint32_t len = f->len;

    if (!n || n + len > room(d)) { /* without Length, to the end of the datagram */
        n = packed_put_frame(at, room(d), f, false);
        if (!n || (n + len > room(d) && (f->type != PACKED_RANGE || room(d) < n + SPLIT_MIN)))
            return 0;
        len = (uint32_t)MIN(room(d) - n, (size_t)len);
        d->max = d->out->len + n + len;
    }
    memcpy(at + n, f->data, len);
    d->out->len += (uint32_t)(n + len);
    d->empty = false;
    return len;
}

/* --- what is new ------------------------------------------------------------------------ */

static uint8_t class_of(const struct pkt *pkt)
{
    uint8_t proto = pkt->data[0] >> 4 == 4 ? pkt->data[9] : pkt->data[6];

    return proto == IP_PROTO_TCP ? CLASS_TCP : CLASS_OTHER;
}

/* Take what is first in the queue: all of a packet, or the first run of a super-packet. NULL when
 * there is no buffer for the run, which is lost then: the lane would not come again for it. */
static struct pkt *take_unit(struct pack *p, uint64_t now_ns, struct pkt *first, size_t run_max)
{
    uint32_t at = first->taken, payload;
    struct pkt *run;

    if (first->gso == PKT_GSO_NONE)
        return fq_take(p->opts.fq, now_ns);
    if (first->gso_size < PACKED_SEGMENT_MIN)
        run_max = 0; /* no run is made of such */
    if (!at && !first->mark && first->len <= run_max &&
        segment_count(first) <= PACKED_SEGMENTS_MAX) {
        run = fq_take(p->opts.fq, now_ns);
        super_finish(run);
        return run;
    }
    payload = segment_payload(first);
    run = segment_run(p->opts.pool, first, run_max);
    if (run) {
        payload = first->taken - at;
    } else {
        first->taken += payload;
        drop_count(p->opts.drops, DROP_NO_BUFFER);
    }
    fq_took(p->opts.fq, now_ns, payload, run ? run->len : payload);
    return run;
}

/* More of the unit that the lane is in the middle of. False when the datagram is full. */
static bool put_unit(struct pack *p, struct pack_lane *lane, struct filling *d)
{
    struct pkt *unit = lane->unit;
    struct packed_frame f = {.type = PACKED_RANGE,
                             .has_seq = true,
                             .first = !lane->at,
                             .kind = unit->gso,
                             .segment = unit->gso_size,
                             .flow = lane->flow,
                             .seq = lane->seq,
                             .offset = lane->at,
                             .total = unit->len,
                             .data = unit->data + lane->at,
                             .len = unit->len - lane->at};
    uint32_t n = put_data(d, &f);

    if (!n)
        return false;
    lane->at += n;
    if (lane->at < unit->len)
        return false;
    pkt_free(p->opts.pool, unit);
    lane->unit = NULL;
    return true;
}

/* Whether what is first in the queue may go into a datagram that has something already: whole, or
 * its beginning, if its class is cut and that pays. */
static bool may_follow(const struct pack *p, const struct filling *d, const struct pkt *first,
                       const struct pack_flow *flow)
{
    bool super = first->gso != PKT_GSO_NONE;
    size_t whole = first->len + PACKED_PACKET_HEAD_MAX;

    if (!super && whole <= room(d))
        return true;
    if (!flow || room(d) < PACKED_RANGE_HEAD_MAX + SPLIT_MIN)
        return false;
    return super || p->class[d->class].split || whole > d->max;
}

static uint32_t next_seq(struct pack_flow *flow)
{
    uint32_t seq = flow->seq;

    flow->seq = (seq + 1) & PACKED_SEQ_MASK;
    return seq;
}

/* An ordinary packet that fits. False: it does not. */
static bool put_packet(struct pack *p, struct filling *d, struct pkt *unit, struct pack_flow *flow)
{
    struct packed_frame f = {.type = PACKED_PACKET,
                             .has_seq = flow != NULL,
                             .flow = flow ? flow->number : 0,
                             .seq = flow ? flow->seq : 0,
                             .data = unit->data,
                             .len = unit->len};

    if (unit->gso != PKT_GSO_NONE || !put_data(d, &f))
        return false;
    if (flow)
        next_seq(flow);
    else
        p->stats.unnumbered++;
    pkt_free(p->opts.pool, unit);
    return true;
}

/* Put a unit, or its beginning, into the datagram. False when the datagram is full. */
static bool put_new(struct pack *p, struct pack_lane *lane, struct filling *d, struct pkt *unit,
                    struct pack_flow *flow)
{
    p->stats.packets += segment_count(unit);
    p->stats.bytes += unit->len;
    if (put_packet(p, d, unit, flow))
        return true;
    if (!flow) { /* it would have to be cut, and has no number for that */
        drop_count(p->opts.drops, DROP_TOO_BIG);
        pkt_free(p->opts.pool, unit);
        return true;
    }
    lane->unit = unit;
    lane->at = 0;
    lane->flow = flow->number;
    lane->class = d->class;
    lane->seq = next_seq(flow);
    return put_unit(p, lane, d);
}

static void fill_new(struct pack *p, struct pack_lane *lane, struct filling *d, uint64_t now_ns,
                     size_t run_max)
{
    struct pkt *first, *unit;

    if (lane->unit && (!class_fits(d, lane->class) || !put_unit(p, lane, d)))
        return;
    while (room(d) > PACKED_PACKET_HEAD_MAX && (first = fq_front(p->opts.fq, now_ns))) {
        struct pack_flow *flow = number_of(p, now_ns, first->flow);

        if (!class_fits(d, flow ? class_of(first) : CLASS_UNNUMBERED))
            return;
        if (!d->empty && !may_follow(p, d, first, flow))
            return;
        unit = take_unit(p, now_ns, first, flow ? run_max : 0);
        if (unit && !put_new(p, lane, d, unit, flow))
            return;
    }
}

/* --- what was lost ---------------------------------------------------------------------- */

static uint8_t class_of_dgram(const struct pkt *dgram)
{
    struct packed_reader r;
    struct packed_head head;

    return packed_open(&r, dgram->data, dgram->len, &head) ? 0 : head.class;
}

/* Tell the receiver that it waits in vain for what is in the datagram from r on. */
static void say_gone(struct pack *p, uint8_t class, struct packed_reader *r)
{
    struct packed_frame f;

    p->stats.gone++;
    while (packed_next(r, &f) > 0) {
        struct packed_frame *last = p->n_gone ? &p->gone[p->n_gone - 1] : NULL;

        if ((f.type != PACKED_PACKET && f.type != PACKED_RANGE) || !f.has_seq)
            continue;
        if (last && last->flow == f.flow && last->seq + last->count == f.seq)
            last->count++;
        else if (last && last->flow == f.flow && last->seq + last->count == f.seq + 1)
            continue; /* another range of the same unit */
        else if (p->n_gone < PACK_GONE_MAX) {
            p->gone_class[p->n_gone] = class;
            p->gone[p->n_gone++] = (struct packed_frame){
                .type = PACKED_GONE, .has_seq = true, .flow = f.flow, .seq = f.seq, .count = 1};
        }
    }
}

static bool too_late(const struct pack *p, uint64_t now_ns, const struct pkt *dgram)
{
    const struct pack_class *c = &p->class[class_of_dgram(dgram)];

    return !c->again || now_ns - dgram->queued_ns > c->deadline_ns;
}

/* A lost datagram that is kept: send it again, or say that it is gone. */
static void send_again(struct pack *p, uint64_t now_ns, struct pkt *dgram)
{
    struct packed_reader r;
    struct packed_head head;

    if (!too_late(p, now_ns, dgram) && !queue_push(&p->again, dgram))
        return;
    if (!packed_open(&r, dgram->data, dgram->len, &head))
        say_gone(p, head.class, &r);
    forget(p, dgram);
}

/* The first of those to be sent again that is not too late. */
static struct pkt *next_again(struct pack *p, uint64_t now_ns)
{
    struct pkt *dgram;

    while ((dgram = queue_peek(&p->again)) && !p->recut.p && too_late(p, now_ns, dgram)) {
        queue_pop(&p->again);
        send_again(p, now_ns, dgram);
    }
    return dgram;
}

/* The next frame to be cut anew is in p->recut_frame. False at the end of the datagram. */
static bool recut_next(struct pack *p)
{
    struct packed_frame *f = &p->recut_frame;

    while (!f->len) {
        if (packed_next(&p->recut, f) <= 0)
            return false;
        if (f->type == PACKED_RANGE || f->type == PACKED_PACKET)
            continue; /* has bytes */
        f->len = 0;   /* reports are not repeated */
    }
    return true;
}

/* A whole packet that does not fit as it is becomes a unit in ranges. */
static void packet_to_range(struct packed_frame *f)
{
    f->type = PACKED_RANGE;
    f->first = true;
    f->kind = PKT_GSO_NONE;
    f->offset = 0;
    f->total = f->len;
}

/* Write what fits of a lost datagram that is larger than datagrams are now. */
static void fill_recut(struct pack *p, struct filling *d, struct pkt *dgram)
{
    struct packed_head head;
    uint32_t n = 0;

    if (!p->recut.p) {
        packed_open(&p->recut, dgram->data, dgram->len, &head);
        p->recut_frame.len = 0;
        p->stats.again++;
    }
    class_fits(d, class_of_dgram(dgram));
    while (recut_next(p)) {
        struct packed_frame *f = &p->recut_frame;

        n = put_data(d, f);
        if (!n && f->type == PACKED_PACKET && f->has_seq && d->empty) {
            packet_to_range(f);
            n = put_data(d, f);
        }
        if (!n && d->empty) { /* nothing can be made of it */
            f->len = 0;
            continue;
        }
        f->data += n;
        f->len -= n;
        f->offset += n;
        f->first = f->first && !n;
        if (!n || f->len)
            return;
    }
    queue_pop(&p->again);
    forget(p, dgram);
    p->recut = (struct packed_reader){0};
}

/* --- the lane's next datagram ------------------------------------------------------------ */

static void put_gone(struct pack *p, struct filling *d)
{
    while (p->n_gone && class_fits(d, p->gone_class[p->n_gone - 1])) {
        size_t n = packed_put_gone(d->out->data + d->out->len, room(d), &p->gone[p->n_gone - 1]);

        if (!n)
            return;
        d->out->len += (uint32_t)n;
        d->empty = false;
        p->n_gone--;
    }
}

struct pkt *pack_pull(struct pack *p, struct pack_lane *lane, uint64_t now_ns, size_t max,
                      size_t run_max)
{
    struct pkt *again = next_again(p, now_ns);
    struct filling d;

    if (again && !p->recut.p && again->len <= max) {
        queue_pop(&p->again);
        keep_not(p, again);
        p->stats.again++;
        return again;
    }
    if ((!p->opts.fq->n && !pack_pending(p, lane)) || !begin(p, lane, &d, now_ns, max))
        return NULL;
    if (again) {
        d.out->queued_ns = again->queued_ns;
        fill_recut(p, &d, again);
    } else {
        put_gone(p, &d);
        fill_new(p, lane, &d, now_ns, run_max);
    }
    return end(p, &d);
}

/* Whether the datagram holds something that its class sends again. */
static bool worth_keeping(const struct pack *p, const struct pkt *dgram)
{
    return p->class[class_of_dgram(dgram)].again;
}

void pack_sent(struct pack *p, struct pack_lane *lane, uint64_t id, struct pkt *dgram)
{
    unsigned pool_class = dgram->pool_class;
    struct pkt *out;

    if (!worth_keeping(p, dgram)) {
        pkt_free(p->opts.pool, dgram);
        return;
    }
    keep(p, dgram);
    out = flight_add(&lane->flight, id, dgram);
    if (out) {
        p->stats.forgotten++;
        forget(p, out);
    }
    while (keeps_too_much(p, pool_class) && forget_oldest(p, lane))
        ;
}

void pack_unsent(struct pack *p, uint64_t now_ns, struct pkt *dgram)
{
    keep(p, dgram);
    send_again(p, now_ns, dgram);
}

void pack_acked(struct pack *p, struct pack_lane *lane, uint64_t id)
{
    struct pkt *dgram = flight_take(&lane->flight, id);

    if (dgram)
        forget(p, dgram);
}

bool pack_lost(struct pack *p, struct pack_lane *lane, uint64_t now_ns, uint64_t id)
{
    struct pkt *dgram = flight_take(&lane->flight, id);

    if (dgram)
        send_again(p, now_ns, dgram);
    return p->again.n || p->n_gone;
}

void pack_lane_done(struct pack *p, struct pack_lane *lane, uint64_t now_ns)
{
    struct pkt *dgram;

    while ((dgram = flight_take_oldest(&lane->flight)))
        send_again(p, now_ns, dgram);
    flight_done(&lane->flight, p->opts.pool);
    while (lane->unit) {
        struct filling d;

        if (!begin(p, lane, &d, now_ns, ORPHAN_MAX)) {
            pkt_free(p->opts.pool, lane->unit);
            break;
        }
        class_fits(&d, lane->class);
        put_unit(p, lane, &d);
        dgram = end(p, &d);
        if (dgram)
            pack_unsent(p, now_ns, dgram);
    }
    lane->unit = NULL;
}

void pack_age(struct pack *p, struct pack_lane *lane, uint64_t now_ns)
{
    const struct pkt *oldest;

    next_again(p, now_ns);
    while ((oldest = flight_oldest(&lane->flight)) && too_late(p, now_ns, oldest)) {
        p->stats.forgotten++;
        forget(p, flight_take_oldest(&lane->flight));
    }
}

bool pack_pending(const struct pack *p, const struct pack_lane *lane)
{
    return lane->unit || p->again.n || p->n_gone;
}

void pack_set_class(struct pack *p, unsigned class, const struct pack_class *c)
{
    p->class[class % PACKED_CLASSES] = *c;
}

int pack_init(struct pack *p, const struct pack_opts *opts)
{
    *p = (struct pack){.opts = *opts};
    queue_init(&p->again, PACK_AGAIN_BYTES);
    return hmap_init(&p->by_hash);
}

void pack_reset(struct pack *p)
{
    struct pkt *dgram;

    while ((dgram = queue_pop(&p->again)))
        forget(p, dgram);
    p->recut = (struct packed_reader){0};
    p->n_gone = 0;
    for (unsigned i = 0; i < p->n_flows; i++) {
        struct pack_flow *f = &p->chunk[i / PACK_CHUNK][i % PACK_CHUNK];

        hmap_remove(&p->by_hash, &f->node);
    }
    for (unsigned i = 0; i < ARRAY_LEN(p->chunk); i++) {
        free(p->chunk[i]);
        p->chunk[i] = NULL;
    }
    p->n_flows = 0;
    p->oldest = p->newest = NULL;
}

void pack_done(struct pack *p)
{
    pack_reset(p);
    hmap_done(&p->by_hash);
}
