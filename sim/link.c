#include "sim/link.h"

#include <assert.h>
#include <stdlib.h>

#include "base/util.h"

struct queue {
    struct sim_dgram *head, **tail;
};

struct link {
    struct sim *sim;
    struct sim_sink sink; /* where packets come in */
    struct sim_sink *to;
    struct link_opts opts;
    unsigned number; /* in the trace */
    struct rng rng;
    bool on, bad;
    bool down; /* by the trace */

    struct queue waiting;
    uint64_t waiting_bytes;
    uint64_t waiting_since_ns; /* the integral of the backlog is complete up to here */
    struct sim_dgram *sending;
    struct sim_event sent;
    uint64_t sent_frac; /* of a nanosecond, in units of 1/rate */

    struct queue flying; /* ordered by at_ns */
    struct sim_dgram *last_flying;
    struct sim_event arrived;

    uint64_t jitter_from_ns, jitter_to_ns; /* points in time ... */
    uint64_t jitter_a_ns, jitter_b_ns;     /* ... and the extra delay there */

    uint64_t other_rate_bps, alternate_ns;
    struct sim_event alternate;

    const struct wan_trace *trace; /* NULL: none plays */
    unsigned direction;
    uint64_t trace_from_ns; /* when its time was 0, modulo 2^64 */
    struct sim_event step;

    bool (*filter)(void *user, const struct sim_dgram *d);
    void *filter_user;
    struct link_stats stats;
};

static void queue_push(struct queue *q, struct sim_dgram *d)
{
    d->next = NULL;
    *q->tail = d;
    q->tail = &d->next;
}

static struct sim_dgram *queue_pop(struct queue *q)
{
    struct sim_dgram *d = q->head;

    if (!d)
        return NULL;
    q->head = d->next;
    if (!q->head)
        q->tail = &q->head;
    return d;
}

static void drop(struct link *l, struct sim_dgram *d, enum link_drop why)
{
    l->stats.drop[why]++;
    sim_dgram_free(l->sim, d);
}

static uint32_t line_bytes(const struct link *l, const struct sim_dgram *d)
{
    return sim_dgram_wire_bytes(d) + l->opts.frame_bytes;
}

static bool chance(struct link *l, double p)
{
    return p > 0 && rng_double(&l->rng) < p;
}

/* --- propagation ----------------------------------------------------------------------- */

static void arrived_fire(struct sim_event *ev)
{
    struct link *l = container_of(ev, struct link, arrived);
    struct sim_dgram *d = queue_pop(&l->flying);

    if (!l->flying.head)
        l->last_flying = NULL;
    else
        sim_set(l->sim, &l->arrived, l->flying.head->at_ns);
    l->stats.out++;
    l->stats.out_bytes += line_bytes(l, d);
    sim_trace(l->sim, l->number, d);
    l->to->put(l->to, d);
}

/* Into the flying queue behind all that arrive no later. */
static void fly_sorted(struct link *l, struct sim_dgram *d)
{
    struct sim_dgram **at = &l->flying.head;

    if (l->last_flying && l->last_flying->at_ns <= d->at_ns)
        at = l->flying.tail;
    while (*at && (*at)->at_ns <= d->at_ns)
        at = &(*at)->next;
    d->next = *at;
    *at = d;
    if (!d->next) {
        l->flying.tail = &d->next;
        l->last_flying = d;
    }
    sim_set(l->sim, &l->arrived, l->flying.head->at_ns);
}

/* Where the wandering jitter is now; it has not moved while nothing came. */
static uint64_t wander_ns(struct link *l)
{
    uint64_t now_ns = l->sim->now_ns, period_ns = l->opts.jitter_period_ns;
    double part;

    if (now_ns >= l->jitter_to_ns) {
        bool idle = now_ns - l->jitter_to_ns > period_ns;

        l->jitter_a_ns = idle ? rng_below(&l->rng, l->opts.jitter_ns) : l->jitter_b_ns;
        l->jitter_from_ns = idle ? now_ns : l->jitter_to_ns;
        l->jitter_b_ns = rng_below(&l->rng, l->opts.jitter_ns);
        l->jitter_to_ns = l->jitter_from_ns + period_ns;
    }
    part = (double)(now_ns - l->jitter_from_ns) / (double)(l->jitter_to_ns - l->jitter_from_ns);
    return (uint64_t)((double)l->jitter_a_ns * (1 - part) + (double)l->jitter_b_ns * part);
}

static uint64_t jitter_now_ns(struct link *l)
{
    if (!l->opts.jitter_ns)
        return 0;
    if (l->opts.jitter_period_ns && !l->opts.reorder)
        return wander_ns(l);
    return rng_below(&l->rng, l->opts.jitter_ns);
}

static void fly(struct link *l, struct sim_dgram *d)
{
    uint64_t at_ns = l->sim->now_ns + l->opts.delay_ns + jitter_now_ns(l);

    if (!l->opts.reorder && l->last_flying)
        at_ns = MAX(at_ns, l->last_flying->at_ns);
    d->at_ns = at_ns;
    fly_sorted(l, d);
}

/* --- the medium ------------------------------------------------------------------------ */

static bool lost(struct link *l)
{
    const struct link_opts *o = &l->opts;

    if (o->ge_to_bad > 0) {
        if (chance(l, l->bad ? o->ge_to_good : o->ge_to_bad))
            l->bad = !l->bad;
        if (chance(l, l->bad ? o->ge_loss_bad : o->ge_loss_good))
            return true;
    }
    return chance(l, o->loss);
}

static void damage(struct link *l, struct sim_dgram *d)
{
    if (d->len && chance(l, l->opts.corrupt)) {
        d->data[rng_below(&l->rng, d->len)] ^= (uint8_t)(1 + rng_below(&l->rng, 255));
        l->stats.corrupted++;
    }
    if (d->len && chance(l, l->opts.truncate)) {
        d->len = (uint32_t)rng_below(&l->rng, d->len);
        l->stats.truncated++;
    }
}

static void transmit(struct link *l, struct sim_dgram *d)
{
    if (lost(l)) {
        drop(l, d, LINK_DROP_LOSS);
        return;
    }
    damage(l, d);
    if (chance(l, l->opts.duplicate)) {
        l->stats.duplicated++;
        fly(l, sim_dgram_copy(l->sim, d));
    }
    fly(l, d);
}

/* --- the queue ------------------------------------------------------------------------- */

static void count_backlog(struct link *l)
{
    l->stats.backlog_byte_ns +=
        (double)l->waiting_bytes * (double)(l->sim->now_ns - l->waiting_since_ns);
    l->waiting_since_ns = l->sim->now_ns;
}

static void start_sending(struct link *l, struct sim_dgram *d)
{
    uint64_t waited = l->sim->now_ns - d->at_ns;
    uint64_t bit_ns = (uint64_t)line_bytes(l, d) * 8 * NS_PER_S + l->sent_frac;

    hist_add(&l->stats.wait, waited);
    if (l->opts.ecn_mark_ns && waited > l->opts.ecn_mark_ns && (d->ecn & 3)) {
        d->ecn = 3;
        l->stats.marked++;
    }
    l->sending = d;
    l->sent_frac = bit_ns % l->opts.rate_bps;
    sim_set(l->sim, &l->sent, l->sim->now_ns + bit_ns / l->opts.rate_bps);
}

static void sent_fire(struct sim_event *ev)
{
    struct link *l = container_of(ev, struct link, sent);
    struct sim_dgram *d = l->sending, *next;

    l->sending = NULL;
    count_backlog(l);
    next = queue_pop(&l->waiting);
    if (next) {
        l->waiting_bytes -= line_bytes(l, next);
        start_sending(l, next);
    } else {
        l->sent_frac = 0;
    }
    if (l->on && !l->down)
        transmit(l, d);
    else
        drop(l, d, LINK_DROP_OFF);
}

/* What the MTU is compared with. */
static uint32_t mtu_bytes(const struct link *l, const struct sim_dgram *d)
{
    uint32_t len = l->opts.uncut_bursts ? MAX(d->len, d->segment) : d->len;

    return len + d->overhead;
}

static void link_put(struct sim_sink *sink, struct sim_dgram *d)
{
    struct link *l = container_of(sink, struct link, sink);
    uint32_t bytes = line_bytes(l, d);

    l->stats.in++;
    l->stats.in_bytes += bytes;
    d->at_ns = l->sim->now_ns;
    if (!l->on || l->down) {
        drop(l, d, LINK_DROP_OFF);
    } else if (mtu_bytes(l, d) > l->opts.mtu) {
        drop(l, d, LINK_DROP_MTU);
    } else if (l->filter && l->filter(l->filter_user, d)) {
        drop(l, d, LINK_DROP_FILTER);
    } else if (!l->opts.rate_bps) {
        transmit(l, d);
    } else if (!l->sending) {
        start_sending(l, d);
    } else if (l->waiting_bytes + bytes > l->opts.queue_bytes) {
        drop(l, d, LINK_DROP_TAIL);
    } else {
        count_backlog(l);
        l->waiting_bytes += bytes;
        queue_push(&l->waiting, d);
    }
}

/* --- life and changes ------------------------------------------------------------------ */

static void alternate_fire(struct sim_event *ev)
{
    struct link *l = container_of(ev, struct link, alternate);
    uint64_t rate = l->opts.rate_bps;

    l->opts.rate_bps = l->other_rate_bps;
    l->other_rate_bps = rate;
    l->sent_frac = 0;
    sim_set(l->sim, &l->alternate, l->sim->now_ns + l->alternate_ns);
}

struct link_opts link_opts_of(const struct wan_params *p)
{
    return (struct link_opts){
        .rate_bps = p->rate_bps,
        .delay_ns = p->delay_ns,
        .jitter_ns = p->jitter_ns,
        .jitter_period_ns = p->jitter_period_ns ? p->jitter_period_ns : WAN_JITTER_PERIOD_NS,
        .reorder = p->reorder,
        .queue_bytes = p->rate_bps ? MAX(wan_queue_limit(p), 1u) : 1,
        .mtu = p->mtu ? p->mtu : 1500,
        .frame_bytes = WAN_ETHER_HEADER,
        .loss = p->loss,
        .ge_to_bad = p->ge_bad,
        .ge_to_good = p->ge_good,
        .ge_loss_bad = p->ge_loss,
    };
}

/* What the trace says of now; what it cannot say stays. */
static void step_fire(struct sim_event *ev)
{
    struct link *l = container_of(ev, struct link, step);
    uint64_t elapsed_ns = l->sim->now_ns - l->trace_from_ns, next_ns;
    const struct wan_step *s = &l->trace->step[wan_trace_step(l->trace, elapsed_ns)];
    struct link_opts opts = link_opts_of(&s->dir[l->direction]);

    opts.uncut_bursts = l->opts.uncut_bursts;
    opts.duplicate = l->opts.duplicate;
    opts.corrupt = l->opts.corrupt;
    opts.truncate = l->opts.truncate;
    opts.ecn_mark_ns = l->opts.ecn_mark_ns;
    if (opts.rate_bps != l->opts.rate_bps)
        l->sent_frac = 0;
    l->opts = opts;
    l->down = s->dir[l->direction].down;
    next_ns = wan_trace_next_ns(l->trace, elapsed_ns);
    if (next_ns != UINT64_MAX)
        sim_set(l->sim, &l->step, l->trace_from_ns + next_ns);
}

void link_play(struct link *l, const struct wan_trace *trace, unsigned direction, uint64_t from_ns)
{
    assert(l->opts.rate_bps);
    sim_unset(l->sim, &l->step);
    l->trace = trace;
    l->direction = direction;
    l->trace_from_ns = l->sim->now_ns - from_ns;
    l->down = false;
    if (trace)
        step_fire(&l->step);
}

struct link *link_new(struct sim *sim, const char *name, const struct link_opts *opts,
                      struct sim_sink *to)
{
    struct link *l = sim_alloc(sizeof(*l));

    l->sim = sim;
    l->opts = *opts;
    l->to = to;
    l->on = true;
    l->sink.put = link_put;
    l->number = sim->links++;
    if (!l->opts.mtu)
        l->opts.mtu = 1500;
    if (!l->opts.queue_bytes)
        l->opts.queue_bytes = opts->rate_bps / 8 * (2 * opts->delay_ns / NS_PER_US) / 1000000;
    l->opts.queue_bytes = MAX(l->opts.queue_bytes, opts->queue_bytes ? 1u : 10u * l->opts.mtu);
    sim_rng(sim, name, &l->rng);
    l->waiting.tail = &l->waiting.head;
    l->flying.tail = &l->flying.head;
    l->sent.fire = sent_fire;
    l->arrived.fire = arrived_fire;
    l->alternate.fire = alternate_fire;
    l->step.fire = step_fire;
    link_stats_reset(l);
    return l;
}

static void empty(struct link *l, struct queue *q)
{
    struct sim_dgram *d;

    while ((d = queue_pop(q)))
        drop(l, d, LINK_DROP_OFF);
}

void link_free(struct link *l)
{
    if (!l)
        return;
    empty(l, &l->waiting);
    empty(l, &l->flying);
    if (l->sending)
        sim_dgram_free(l->sim, l->sending);
    sim_unset(l->sim, &l->sent);
    sim_unset(l->sim, &l->arrived);
    sim_unset(l->sim, &l->alternate);
    sim_unset(l->sim, &l->step);
    free(l);
}

struct sim_sink *link_sink(struct link *l)
{
    return &l->sink;
}

void link_set_to(struct link *l, struct sim_sink *to)
{
    l->to = to;
}

void link_set_rate(struct link *l, uint64_t rate_bps)
{
    assert(rate_bps && l->opts.rate_bps);
    l->opts.rate_bps = rate_bps;
    l->sent_frac = 0;
}

void link_set_delay(struct link *l, uint64_t delay_ns)
{
    l->opts.delay_ns = delay_ns;
}

void link_set_loss(struct link *l, double loss)
{
    l->opts.loss = loss;
}

void link_set_mtu(struct link *l, uint32_t mtu)
{
    l->opts.mtu = mtu;
}

void link_set_on(struct link *l, bool on)
{
    l->on = on;
    if (on)
        return;
    count_backlog(l);
    empty(l, &l->waiting);
    l->waiting_bytes = 0;
}

uint64_t link_rate(const struct link *l)
{
    return l->opts.rate_bps;
}

void link_alternate_rate(struct link *l, uint64_t rate_a_bps, uint64_t rate_b_bps,
                         uint64_t period_ns)
{
    link_set_rate(l, rate_a_bps);
    l->other_rate_bps = rate_b_bps;
    l->alternate_ns = period_ns;
    sim_set(l->sim, &l->alternate, l->sim->now_ns + period_ns);
}

void link_set_filter(struct link *l, bool (*filter)(void *user, const struct sim_dgram *d),
                     void *user)
{
    l->filter = filter;
    l->filter_user = user;
}

/* --- what was measured ----------------------------------------------------------------- */

uint64_t link_backlog_bytes(const struct link *l)
{
    return l->waiting_bytes;
}

const struct link_stats *link_stats(struct link *l)
{
    count_backlog(l);
    return &l->stats;
}

void link_stats_reset(struct link *l)
{
    l->stats = (struct link_stats){.since_ns = l->sim->now_ns};
    l->waiting_since_ns = l->sim->now_ns;
}

double link_wait_mean_ms(struct link *l)
{
    return hist_mean_ns(&l->stats.wait) / 1e6;
}

double link_wait_quantile_ms(struct link *l, double q)
{
    return (double)hist_quantile_ns(&l->stats.wait, q) / 1e6;
}

static double span_ns(const struct link *l)
{
    return (double)MAX(l->sim->now_ns - l->stats.since_ns, 1u);
}

double link_backlog_mean_ms(struct link *l)
{
    count_backlog(l);
    if (!l->opts.rate_bps)
        return 0;
    return l->stats.backlog_byte_ns / span_ns(l) * 8e3 / (double)l->opts.rate_bps;
}

double link_utilisation(struct link *l)
{
    if (!l->opts.rate_bps)
        return 0;
    return (double)l->stats.out_bytes * 8e9 / span_ns(l) / (double)l->opts.rate_bps;
}
