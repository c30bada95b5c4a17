/* What the sender keeps until its fate is known, and what becomes of it when it was lost: it goes
 * again, as it was or cut anew, or, too late, GONE says that it will not come. */
#include "base/util.h"
#include "wire/class.h"

/* Among so many of those to be sent again one is looked for that a path may have. */
enum { LOOK_MAX = 64 };

#include "bond/pack_internal.h"

void pack_keep_not(struct pack *p, const struct pkt *dgram)
{
    p->kept -= dgram->cap;
    p->n_kept--;
}

void pack_forget(struct pack *p, struct pkt *dgram)
{
    pack_keep_not(p, dgram);
    pkt_free(p->opts.pool, dgram);
}

void pack_keep(struct pack *p, const struct pkt *dgram)
{
    p->kept += dgram->cap;
    p->n_kept++;
}

bool pack_keeps_too_much(const struct pack *p, unsigned pool_class)
{
    return p->kept > PACK_AGAIN_BYTES ||
           p->n_kept > PACK_POOL_SHARE * pkt_pool_spare(p->opts.pool, pool_class);
}

bool pack_forget_oldest(struct pack *p, struct pack_lane *lane)
{
    struct pkt *dgram = flight_take_oldest(&lane->flight);

    if (!dgram)
        return false;
    p->stats.forgotten++;
    pack_forget(p, dgram);
    return true;
}

/* --- what was lost ---------------------------------------------------------------------- */

uint8_t pack_class_of_dgram(const struct pkt *dgram)
{
    struct packed_reader r;
    struct packed_head head;

    return packed_open(&r, dgram->data, dgram->len, &head) ? 0 : head.class;
}

/* Tell the receiver that it waits in vain for what is in the datagram from r on. */
static void say_gone(struct pack *p, uint8_t class, struct packed_reader *r)
{
    struct packed_frame f;

    p->stats.gone += p->class[class].again;
    while (packed_next(r, &f) > 0) {
        struct pack_gone *last = p->n_gone ? &p->gone[p->n_gone - 1] : NULL;

        if ((f.type != PACKED_PACKET && f.type != PACKED_RANGE) || !f.has_seq)
            continue;
        if (last && last->flow == f.flow && last->seq + last->count == f.seq)
            last->count++;
        else if (last && last->flow == f.flow && last->seq + last->count == f.seq + 1)
            continue; /* another range of the same unit */
        else if (p->n_gone < PACK_GONE_MAX)
            p->gone[p->n_gone++] =
                (struct pack_gone){.seq = f.seq, .count = 1, .flow = f.flow, .class = class};
    }
}

bool pack_too_late(const struct pack *p, uint64_t now_ns, const struct pkt *dgram)
{
    const struct pack_class *c = &p->class[pack_class_of_dgram(dgram)];

    return !c->again || now_ns - dgram->queued_ns > c->deadline_ns;
}

void pack_send_again(struct pack *p, uint64_t now_ns, struct pkt *dgram)
{
    struct packed_reader r;
    struct packed_head head;

    if (pack_copy_settled(p, dgram)) {
        pack_forget(p, dgram);
        return;
    }
    pkt_settle(p->opts.pool, dgram);
    dgram->taken = pack_clock(now_ns);
    if (!pack_too_late(p, now_ns, dgram) && !queue_push(&p->again, dgram))
        return;
    if (!packed_open(&r, dgram->data, dgram->len, &head))
        say_gone(p, head.class, &r);
    pack_forget(p, dgram);
}

struct pkt *pack_next_again(struct pack *p, uint64_t now_ns)
{
    struct pkt *dgram;

    while ((dgram = queue_peek(&p->again)) && pack_too_late(p, now_ns, dgram)) {
        p->recut = (struct packed_reader){0};
        queue_pop(&p->again);
        pack_send_again(p, now_ns, dgram);
    }
    return dgram;
}

static bool may_have(const struct pack *p, const struct pack_lane *lane, const struct pkt *dgram)
{
    const struct sched *s = &p->sched[pack_class_of_dgram(dgram)];

    return !p->apart || sched_in_use(s, pack_lane_path(lane->number));
}

struct pkt *pack_next_again_for(struct pack *p, const struct pack_lane *lane, uint64_t now_ns)
{
    struct pkt *first = pack_next_again(p, now_ns), *before = first;

    if (!first || may_have(p, lane, first))
        return first;
    if (p->recut.p)
        return NULL;
    for (unsigned n = 0; n < LOOK_MAX && before->next; n++, before = before->next)
        if (may_have(p, lane, before->next)) {
            queue_to_front(&p->again, before);
            return queue_peek(&p->again);
        }
    return NULL;
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

void pack_fill_recut(struct pack *p, struct pack_filling *d, struct pkt *dgram)
{
    struct packed_head head;
    uint32_t n = 0;

    if (!p->recut.p) {
        packed_open(&p->recut, dgram->data, dgram->len, &head);
        p->recut_frame.len = 0;
        p->stats.again++;
    }
    pack_class_fits(p, d, pack_class_of_dgram(dgram));
    while (recut_next(p)) {
        struct packed_frame *f = &p->recut_frame;

        n = pack_put_data(p, d, f, NULL);
        if (!n && f->type == PACKED_PACKET && f->has_seq && d->empty) {
            packet_to_range(f);
            n = pack_put_data(p, d, f, NULL);
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
    pack_forget(p, dgram);
    p->recut = (struct packed_reader){0};
}

void pack_put_gone(struct pack *p, struct pack_filling *d)
{
    while (p->n_gone && pack_class_fits(p, d, p->gone[p->n_gone - 1].class)) {
        const struct pack_gone *gone = &p->gone[p->n_gone - 1];
        const struct packed_frame f = {.type = PACKED_GONE,
                                       .has_seq = true,
                                       .flow = gone->flow,
                                       .seq = gone->seq,
                                       .count = gone->count};
        size_t n = packed_put_gone(d->out->data + d->out->len, pack_room(d), &f);

        if (!n)
            return;
        d->out->len += (uint32_t)n;
        d->empty = false;
        p->n_gone--;
    }
}
