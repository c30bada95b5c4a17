#include "bond/pack.h"

#include "base/clock.h"
#include "base/util.h"
#include "bond/pack_internal.h"

/* What is cut for a lane that nobody knows yet fits all of them. */
enum { ORPHAN_MAX = 1100 };

/* The lane leaves what was lost to one that takes less time, as long as that one may have it there
 * sooner; and what the receiver missed on it, while it has not said so itself, to another one for a
 * round trip. Then it is to be asked again. */
static bool leaves(struct pack *p, const struct pack_lane *lane, uint64_t now_ns,
                   const struct pkt *again)
{
    uint64_t waited_ns = pack_since_ns(now_ns, again->taken), leave_ns = lane->extra_ns;

    if (again->gso_size == lane->number + 1)
        leave_ns = MAX(leave_ns, lane->rtt_ns);
    if (p->n_lanes < 2 || waited_ns >= leave_ns)
        return false;
    p->kick_ns = MIN(p->kick_ns, now_ns + leave_ns - waited_ns);
    return true;
}

void pack_stamp(struct pkt *dgram, uint64_t now_ns)
{
    struct packed_reader r;
    struct packed_head head;

    dgram->taken = pack_clock(now_ns);
    if (packed_open(&r, dgram->data, dgram->len, &head) || !head.has_time)
        return;
    head.time = delay_stamp(now_ns);
    packed_put_head(dgram->data, PACKED_HEAD_MAX, &head);
}

/* Send a lost datagram as it was. */
static struct pkt *repeat(struct pack *p, uint64_t now_ns, struct pkt *dgram)
{
    queue_pop(&p->again);
    pack_keep_not(p, dgram);
    p->stats.again++;
    dgram->mark = true;
    pack_stamp(dgram, now_ns);
    return dgram;
}

static bool has_something(const struct pack *p, const struct pack_lane *lane)
{
    return lane->unit || (p->may != PACK_MAY_END && (p->again.n || p->n_gone)) ||
           (p->may <= PACK_MAY_BULK && p->opts.fq->n);
}

static struct pkt *pull(struct pack *p, struct pack_lane *lane, uint64_t now_ns, size_t max,
                        size_t run_max)
{
    struct pkt *again = p->may == PACK_MAY_END ? NULL : pack_next_again_for(p, lane, now_ns);
    struct pack_filling d;

    if (again && leaves(p, lane, now_ns, again))
        again = NULL;
    if (again && !p->recut.p && again->len <= max)
        return repeat(p, now_ns, again);
    if (!has_something(p, lane) || !pack_begin(p, lane, &d, now_ns, max))
        return NULL;
    if (again) {
        d.out->queued_ns = again->queued_ns;
        d.out->mark = true;
        pack_fill_recut(p, &d, again);
    } else {
        if (p->may != PACK_MAY_END)
            pack_put_gone(p, &d);
        pack_fill_new(p, lane, &d, now_ns, run_max);
    }
    return pack_end(p, &d);
}

/* A copy goes first: others have had what is in it for some time. */
struct pkt *pack_pull(struct pack *p, struct pack_lane *lane, uint64_t now_ns, size_t max,
                      size_t run_max)
{
    struct pkt *out = p->may == PACK_MAY_END ? NULL : pack_take_copy(p, lane, now_ns, max);

    lane->max = max;
    if (out)
        return out;
    out = pull(p, lane, now_ns, max, run_max);
    if (out && p->duplicated)
        pack_copy(p, lane, now_ns, out);
    return out;
}

/* Whether the datagram holds something that its class sends again. */
static bool worth_keeping(const struct pack *p, const struct pkt *dgram)
{
    return p->class[pack_class_of_dgram(dgram)].again;
}

void pack_sent(struct pack *p, struct pack_lane *lane, uint64_t id, struct pkt *dgram)
{
    unsigned pool_class = dgram->pool_class;
    struct pkt *out;

    if (!worth_keeping(p, dgram)) {
        pkt_free(p->opts.pool, dgram);
        return;
    }
    pack_keep(p, dgram);
    out = flight_add(&lane->flight, id, dgram);
    if (out) {
        p->stats.forgotten++;
        pack_forget(p, out);
    }
    while (pack_keeps_too_much(p, pool_class) && pack_forget_oldest(p, lane))
        ;
}

void pack_unsent(struct pack *p, uint64_t now_ns, struct pkt *dgram)
{
    pack_keep(p, dgram);
    pack_send_again(p, now_ns, dgram);
}

static void learn_loss(struct pack_lane *lane, bool lost)
{
    enum { MEMORY = 64 };

    lane->loss += (lost - lane->loss) / MEMORY;
}

void pack_acked(struct pack *p, struct pack_lane *lane, uint64_t id)
{
    struct pkt *dgram = flight_take(&lane->flight, id);

    learn_loss(lane, false);
    if (!dgram)
        return;
    pack_copy_arrived(p, dgram);
    pack_forget(p, dgram);
}

bool pack_lost(struct pack *p, struct pack_lane *lane, uint64_t now_ns, uint64_t id, bool away)
{
    struct pkt *dgram = flight_take(&lane->flight, id);

    learn_loss(lane, true);
    if (dgram && away)
        dgram->gso_size = (uint16_t)(lane->number + 1);
    if (dgram)
        pack_send_again(p, now_ns, dgram);
    return p->again.n || p->n_gone;
}

void pack_lane_begin(struct pack *p, struct pack_lane *lane, uint8_t number)
{
    lane->number = number;
    if (lane->up)
        return;
    lane->up = true;
    lane->next = p->lanes;
    p->lanes = lane;
    p->n_lanes++;
}

/* What was known of it is void. */
static void lane_down(struct pack *p, struct pack_lane *lane)
{
    struct pack_lane **at = &p->lanes;

    if (!lane->up)
        return;
    while (*at != lane)
        at = &(*at)->next;
    *at = lane->next;
    p->n_lanes--;
    lane->up = lane->suspect = lane->given_up = false;
    lane->rtt_ns = lane->rtt_var_ns = lane->rtt_min_ns = lane->rtt_due_ns = lane->extra_ns =
        lane->stamp_ns = lane->max = 0;
    lane->loss = 0;
    lane->in = (struct delay_in){0};
    lane->out = (struct delay_out){0};
}

void pack_lane_done(struct pack *p, struct pack_lane *lane, uint64_t now_ns)
{
    struct pkt *dgram;

    lane_down(p, lane);
    p->stats.taken_over[pack_lane_path(lane->number)] += lane->flight.n;
    while ((dgram = flight_take_oldest(&lane->flight)))
        pack_send_again(p, now_ns, dgram);
    flight_done(&lane->flight, p->opts.pool);
    while (lane->unit) {
        struct pack_filling d;

        if (!pack_begin(p, lane, &d, now_ns, ORPHAN_MAX)) {
            pkt_free(p->opts.pool, lane->unit);
            break;
        }
        pack_class_fits(p, &d, lane->class);
        pack_put_unit(p, lane, &d);
        dgram = pack_end(p, &d);
        if (dgram)
            pack_unsent(p, now_ns, dgram);
    }
    lane->unit = NULL;
}

void pack_age(struct pack *p, struct pack_lane *lane, uint64_t now_ns)
{
    const struct pkt *oldest;

    pack_next_again(p, now_ns);
    while ((oldest = flight_oldest(&lane->flight)) && pack_too_late(p, now_ns, oldest)) {
        p->stats.forgotten++;
        pack_forget(p, flight_take_oldest(&lane->flight));
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

void pack_set_rules(struct pack *p, const struct class_table *table, bool from_client)
{
    p->rules = table;
    p->from_client = from_client;
    p->rules_set++;
}

int pack_init(struct pack *p, const struct pack_opts *opts)
{
    *p = (struct pack){.opts = *opts, .kick_ns = TIME_NEVER_NS};
    for (unsigned i = 0; i < PACKED_CLASSES; i++)
        p->sched[i].path = p->path;
    queue_init(&p->again, PACK_AGAIN_BYTES);
    return hmap_init(&p->by_hash);
}

void pack_reset(struct pack *p)
{
    struct pkt *dgram;

    while ((dgram = queue_pop(&p->again)))
        pack_forget(p, dgram);
    p->recut = (struct packed_reader){0};
    p->n_gone = 0;
    pack_copies_done(p);
    pack_numbers_reset(p);
}

void pack_done(struct pack *p)
{
    pack_reset(p);
    hmap_done(&p->by_hash);
}
