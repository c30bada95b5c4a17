/* A datagram of the sender: what waits in the queue goes into it, whole or in ranges. */
#include <string.h>

#include "base/util.h"
#include "bond/pack_internal.h"
#include "packet/ecn.h"
#include "packet/ip.h"
#include "packet/segment.h"
#include "packet/super.h"
#include "wire/class.h"

/* Not worth beginning a unit for fewer bytes than these at the end of a datagram. */
enum { SPLIT_MIN = 64 };

/* Copying fewer bytes than these costs less than keeping the packet that they lie in. */
enum { BORROW_MIN = 256 };

bool pack_begin(struct pack *p, struct pack_lane *lane, struct pack_filling *d, uint64_t now_ns,
                size_t max)
{
    d->out = pkt_new(p->opts.pool, max);
    if (!d->out && pack_forget_oldest(p, lane)) /* what is new goes before what may be lost */
        d->out = pkt_new(p->opts.pool, max);
    d->max = max;
    d->empty = true;
    if (!d->out)
        return false;
    d->has_time = p->n_lanes > 1 && lane->up && now_ns >= lane->stamp_ns && max > PACKED_HEAD_MAX;
    d->time = delay_stamp(now_ns);
    if (d->has_time)
        lane->stamp_ns = now_ns + PACK_STAMP_NS;
    d->out->len = d->has_time ? PACKED_HEAD_MAX : 1; /* written by pack_end() */
    d->out->queued_ns = now_ns;
    d->out->taken = pack_clock(now_ns);
    d->out->flow = 0;
    d->out->mark = false;
    d->out->gso_size = 0;
    d->out->hdr_len = 0;
    return true;
}

bool pack_class_fits(const struct pack *p, struct pack_filling *d, uint8_t class)
{
    if (d->empty) {
        d->class = class;
        d->max = pack_copy_max(p, class, d->max);
    }
    return d->class == class;
}

struct pkt *pack_end(struct pack *p, struct pack_filling *d)
{
    if (d->empty) {
        pkt_free(p->opts.pool, d->out);
        return NULL;
    }
    packed_put_head(
        d->out->data, PACKED_HEAD_MAX,
        &(struct packed_head){.class = d->class, .has_time = d->has_time, .time = d->time});
    p->stats.datagrams++;
    return d->out;
}

/* A lender is kept until the last datagram with bytes of it is: not where its kind runs short. */
static bool may_lend(const struct pack *p, const struct pkt *lender, uint32_t len)
{
    return len >= BORROW_MIN && pkt_pool_spare(p->opts.pool, lender->pool_class);
}

uint32_t pack_put_data(struct pack *p, struct pack_filling *d, const struct packed_frame *f,
                       struct pkt *lender)
{
    uint8_t *at = d->out->data + d->out->len;
    bool fills = f->len >= pack_room(d); /* with Length it cannot fit */
    bool ends = false;
    size_t n = fills ? 0 : packed_put_frame(at, pack_room(d), f, true);
    uint32_t len = f->len;

    if (!n || n + len > pack_room(d)) { /* without Length, to the end of the datagram */
        n = packed_put_frame(at, pack_room(d), f, false);
        if (!n ||
            (n + len > pack_room(d) && (f->type != PACKED_RANGE || pack_room(d) < n + SPLIT_MIN)))
            return 0;
        len = (uint32_t)MIN(pack_room(d) - n, (size_t)len);
        d->max = d->out->len + n + len;
        ends = true;
    }
    d->out->len += (uint32_t)n;
    d->out->flow |= f->has_seq ? pack_flow_bit(f->flow) : 0;
    d->empty = false;
    if (ends && lender && may_lend(p, lender, len)) {
        pkt_borrow(d->out, lender, (uint32_t)(f->data - lender->data), len);
        return len;
    }
    memcpy(at + n, f->data, len);
    d->out->len += len;
    return len;
}

/* --- what is new ------------------------------------------------------------------------ */

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

bool pack_put_unit(struct pack *p, struct pack_lane *lane, struct pack_filling *d)
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
    uint32_t n = pack_put_data(p, d, &f, unit);

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
static bool may_follow(const struct pack *p, const struct pack_filling *d, const struct pkt *first,
                       const struct pack_flow *flow)
{
    bool super = first->gso != PKT_GSO_NONE;
    size_t whole = first->len + PACKED_PACKET_HEAD_MAX;

    if (!super && whole <= pack_room(d))
        return true;
    if (!flow || pack_room(d) < PACKED_RANGE_HEAD_MAX + SPLIT_MIN)
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
static bool put_packet(struct pack *p, struct pack_filling *d, struct pkt *unit,
                       struct pack_flow *flow)
{
    struct packed_frame f = {.type = PACKED_PACKET,
                             .has_seq = flow != NULL,
                             .flow = flow ? flow->number : 0,
                             .seq = flow ? flow->seq : 0,
                             .data = unit->data,
                             .len = unit->len};

    if (unit->gso != PKT_GSO_NONE || !pack_put_data(p, d, &f, NULL))
        return false;
    if (flow)
        next_seq(flow);
    else
        p->stats.unnumbered++;
    pkt_free(p->opts.pool, unit);
    return true;
}

/* Put a unit, or its beginning, into the datagram. False when the datagram is full. */
static bool put_new(struct pack *p, struct pack_lane *lane, struct pack_filling *d,
                    struct pkt *unit, struct pack_flow *flow)
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
    return pack_put_unit(p, lane, d);
}

/* Packets of flows that send seldom do not wait for the rest of a unit: they go before it, whole,
 * into the same datagram or, where their class is another, into one of their own. */
static void fill_sparse(struct pack *p, struct pack_filling *d, uint64_t now_ns)
{
    struct pkt *first;

    while ((first = fq_front(p->opts.fq, now_ns)) && fq_front_is_sparse(p->opts.fq) &&
           first->gso == PKT_GSO_NONE && first->len + PACKED_PACKET_HEAD_MAX <= pack_room(d)) {
        struct pack_flow *flow = pack_number_of(p, now_ns, first, false);
        uint32_t len = first->len;

        if (!pack_class_fits(p, d, flow ? flow->class : CLASS_NONE))
            return;
        first = fq_take(p->opts.fq, now_ns);
        if (!put_packet(p, d, first, flow)) {
            fq_unpop(p->opts.fq, now_ns, first);
            return;
        }
        p->stats.packets++;
        p->stats.bytes += len;
    }
}

void pack_fill_new(struct pack *p, struct pack_lane *lane, struct pack_filling *d, uint64_t now_ns,
                   size_t run_max)
{
    struct pkt *first, *unit;

    if (lane->unit) {
        if (p->may == PACK_MAY_ALL)
            fill_sparse(p, d, now_ns);
        if (!pack_class_fits(p, d, lane->class) || !pack_put_unit(p, lane, d))
            return;
    }
    if (p->may > PACK_MAY_BULK)
        return;
    while (pack_room(d) > PACKED_PACKET_HEAD_MAX && (first = fq_front(p->opts.fq, now_ns))) {
        struct pack_flow *flow;

        if (p->may == PACK_MAY_BULK && fq_front_is_sparse(p->opts.fq))
            return;
        flow = pack_number_of(p, now_ns, first, first->len + PACKED_PACKET_HEAD_MAX > d->max);

        if (!pack_class_fits(p, d, flow ? flow->class : CLASS_NONE))
            return;
        if (!d->empty && !may_follow(p, d, first, flow))
            return;
        unit = take_unit(p, now_ns, first, flow ? run_max : 0);
        if (unit && !put_new(p, lane, d, unit, flow))
            return;
    }
}
