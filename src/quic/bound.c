#include "quic/bound.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "quic/bound_ring.h"

#define START_WINDOW (32 * (uint64_t)BOUND_PACKET_BYTES)
#define LEAST_WINDOW (4 * (uint64_t)BOUND_PACKET_BYTES)
#define FORGET_NS (30 * NS_PER_S) /* after so much silence the path is a new one */
#define TEST_LEAST_NS (1 * NS_PER_S)
#define TEST_MOST_NS (8 * NS_PER_S)
#define FADED_NS NS_PER_US        /* of the queue for a rate that varies */
#define STICKY_NS (20 * NS_PER_S) /* competing again so soon: leave with more care */

enum {
    BAD_ROUNDS = 4,
    CALM_ROUNDS = 4,
    QUEUE_PACKETS = 2,
    MAX_NEED = 4,
    UNMOVED_SHARE = 8,
    UNCLEAR_MOST = 3
};

#define SHORT_NS (2 * NS_PER_MS)         /* a path with so short a round trip needs lanes */
static const double short_loss = 0.0005; /* only where so many packets get lost */

static const double drain_share = 0.9, test_share = 0.6; /* of the bandwidth-delay product */
static const double fall_share = 0.7, shrink_most = 0.7, grow_most = 0.5, excess_shrink = 0.85;
static const double filled = 1.5; /* STARTUP: a round has less than so many times the last one */
static const double unused_most = 0.25; /* of a full round's window, on average over its time */
static const double cubic_c = 0.4, cubic_alpha = 0.53; /* RFC 9438: C, alpha for beta 0.7 */
static const double compete_flows = 3, compete_share = 0.42, compete_beta = 1 - 0.3 / 3;

static double seconds(uint64_t ns)
{
    return (double)ns / (double)NS_PER_S;
}

static uint64_t base_of(const struct bound *b)
{
    return MIN(b->base_ns[0], b->base_ns[1]);
}

/* --- rounds and drains ------------------------------------------------------------------ */

static void begin_round(struct bound *b, uint64_t now_ns)
{
    b->round = (struct bound_round){.end = b->end,
                                    .since_ns = now_ns,
                                    .left = b->left,
                                    .rtt_min_ns = UINT64_MAX,
                                    .full = b->in_flight + 4 * BOUND_PACKET_BYTES >= b->window};
}

static void begin_drain(struct bound *b, double share, uint64_t restore)
{
    double bytes = share * b->rate * seconds(base_of(b));

    b->drain = (struct bound_drain){
        .phase = BOUND_DRAIN_FALLING,
        .window = MAX((uint64_t)bytes, 2 * (uint64_t)BOUND_PACKET_BYTES),
        .restore = restore,
        .before_bytes = b->in_flight,
        .before_rtt_ns = b->round.rtt_min_ns,
        .ended_ns = b->drain.ended_ns,
    };
    bound_vary_on_drain(&b->vary);
}

static void renew_base(struct bound *b, uint64_t now_ns)
{
    b->base_ns[1] = b->base_ns[0];
    b->base_ns[0] = b->round.rtt_min_ns;
    b->base_since_ns = now_ns;
}

/* How long the link takes for a few packets. */
static uint64_t packets_ns(const struct bound *b)
{
    double packets = b->rate > 0 ? QUEUE_PACKETS * BOUND_PACKET_BYTES * 1e9 / b->rate : 0;

    return (uint64_t)MIN(packets, 50e6);
}

/* The queue that a steady link may have: a slow one at least a few packets. */
static uint64_t steady_ns(const struct bound *b)
{
    return MAX(b->queue_ns, packets_ns(b));
}

/* Whether round trips that differ are the path's doing. Those of one of several paths do so because
 * of what the others take; it is believed of one whose rate has varied. */
static bool may_jitter(const struct bound *b)
{
    return !b->several || b->vary.extra_ns > FADED_NS;
}

/* On a slow link round trips differ by the packets before one. */
static uint64_t jitter_ns(const struct bound *b)
{
    return packets_ns(b) < b->queue_ns && may_jitter(b)
               ? bound_vary_jitter_ns(&b->vary, b->queue_ns / 2)
               : 0;
}

/* How far the least round trip may be above the base. */
static uint64_t allowed_ns(const struct bound *b)
{
    return steady_ns(b) + b->vary.extra_ns + jitter_ns(b);
}

/* The window that makes it so. */
static double fitting(const struct bound *b)
{
    return b->rate * seconds(base_of(b) + allowed_ns(b) + jitter_ns(b));
}

/* Whether what a foreign queue would look like is what the path does by itself. */
static bool varies(const struct bound *b)
{
    return b->vary.extra_ns + jitter_ns(b) > b->queue_ns / 2;
}

/* --- competing -------------------------------------------------------------------------- */

static void begin_epoch(struct bound *b, uint64_t now_ns, double w_max)
{
    struct bound_compete *c = &b->compete;
    double fall = (w_max - (double)b->target) / BOUND_PACKET_BYTES / compete_flows;

    c->w_max = w_max;
    c->epoch_ns = now_ns;
    c->w_est = (double)b->target;
    c->k_s = fall > 0 ? cbrt(fall / cubic_c) : 0;
}

static bool competed_lately(const struct bound *b, uint64_t now_ns)
{
    return b->compete.left_ns && now_ns - b->compete.left_ns < STICKY_NS;
}

static void enter_compete(struct bound *b, uint64_t now_ns, uint64_t window)
{
    struct bound_compete *c = &b->compete;
    bool again = competed_lately(b, now_ns);

    b->mode = BOUND_COMPETE;
    b->target = MAX(window, b->window);
    c->need = again ? c->need * 2 : b->falls + 1;
    c->need = MIN(c->need, (unsigned)MAX_NEED);
    c->empty = c->calm_rounds = 0;
    c->test_ns = TEST_LEAST_NS;
    c->tested_rate = 0;
    b->drain.ended_ns = now_ns;
    begin_epoch(b, now_ns, (double)b->target);
}

static void leave_compete(struct bound *b, uint64_t now_ns)
{
    b->mode = BOUND_DELAY;
    b->target = (uint64_t)fitting(b);
    b->compete.left_ns = now_ns;
    b->bad_rounds = b->falls = b->grow_steps = 0;
    b->high = 0;
}

static unsigned falls_needed(const struct bound *b, uint64_t now_ns)
{
    return competed_lately(b, now_ns) ? 1 : 2;
}

/* A drain, or a few rounds on their own, found no queue. */
static void found_empty(struct bound *b, uint64_t now_ns)
{
    struct bound_compete *c = &b->compete;

    c->test_ns = TEST_LEAST_NS;
    c->calm_rounds = 0;
    b->drain.ended_ns = now_ns;
    if (++c->empty >= c->need)
        leave_compete(b, now_ns);
}

static void cut(struct bound *b, uint64_t now_ns)
{
    double before = (double)b->target;

    b->target = b->window = (uint64_t)(compete_beta * before);
    b->compete.recovery_end = b->end;
    if (before < b->compete.w_max)
        before *= (1 + compete_beta) / 2; /* RFC 9438, 4.7: fast convergence */
    begin_epoch(b, now_ns, before);
}

static void grow_cubic(struct bound *b, uint64_t now_ns)
{
    struct bound_compete *c = &b->compete;
    double t = seconds(now_ns - c->epoch_ns) - c->k_s, w;

    w = c->w_max + cubic_c * compete_flows * t * t * t * BOUND_PACKET_BYTES;
    c->w_est += (c->w_est < c->w_max ? cubic_alpha : 1) * compete_flows * BOUND_PACKET_BYTES;
    w = MAX(w, c->w_est);
    w = MIN(w, 1.5 * (double)b->target);
    b->target = MAX((uint64_t)w, b->target);
}

/* Though the window held nothing back: a sender whose own limit is little below it makes a queue
 * as well, and its rate then is the link's. */
static bool used_most(const struct bound *b)
{
    return 2 * (b->left - b->round.left) > b->window;
}

static void compete_round(struct bound *b, uint64_t now_ns, uint64_t queue_ns)
{
    struct bound_compete *c = &b->compete;
    uint64_t since_ns = now_ns - b->drain.ended_ns;
    double left = (double)(b->left - b->round.left);
    bool jumped = c->tested_rate > 0 && b->rate > 1.6 * c->tested_rate;
    double usual = b->loss > 0.002 ? 2 * b->loss * left + 3 * BOUND_PACKET_BYTES : 0;

    if ((double)b->round.lost > usual) {
        cut(b, now_ns);
    } else if (b->link > 0 && b->rate > compete_share * b->link) {
        double share = MAX(compete_share * b->link / b->rate, 0.9);

        b->target = (uint64_t)(share * (double)b->target);
        begin_epoch(b, now_ns, (double)b->target);
    } else if (b->round.limited) {
        grow_cubic(b, now_ns);
    }
    c->calm_rounds = queue_ns <= allowed_ns(b) ? c->calm_rounds + 1 : 0;
    if (c->calm_rounds >= CALM_ROUNDS)
        found_empty(b, now_ns);
    else if ((b->round.limited || used_most(b)) &&
             (since_ns > c->test_ns || (jumped && since_ns > c->test_ns / 4)))
        begin_drain(b, test_share, b->target);
}

/* --- the law of DELAY ------------------------------------------------------------------- */

static void grow(struct bound *b, double want, uint64_t queue_ns)
{
    double step = b->rate * seconds(queue_ns) * (double)(1u << MIN(b->grow_steps, 10u));

    b->grew = !b->grew; /* every second round, when the last step can be seen */
    if (!b->grew)
        return;
    b->grow_steps++;
    b->target = b->window + (uint64_t)MIN(step, grow_most * (double)b->window);
    b->target = MAX(b->target, (uint64_t)want);
}

static void settle(struct bound *b, double want, bool far)
{
    b->grew = false;
    b->grow_steps = 0;
    want = MAX(want, shrink_most * (double)b->window);
    b->target = (uint64_t)(far ? want : (want + (double)b->window) / 2);
}

/* Drains when something is wrong or base is old. */
static void watch(struct bound *b, uint64_t now_ns, bool bad)
{
    if (!bad)
        b->bad_rounds = 0;
    else if (!b->bad_rounds++)
        b->bad_window = b->window;
    if (!bad && !b->grew) { /* the window fits */
        if ((double)b->window > 1.1 * b->high && b->high > 0)
            b->falls = 0;
        b->high = MAX(b->high, (double)b->window);
    }
    if (b->bad_rounds >= BAD_ROUNDS) {
        begin_drain(b, fall_share, b->bad_window);
    } else if ((double)b->window < fall_share * b->high && varies(b)) {
        b->high = (double)b->window; /* as it does there */
    } else if ((double)b->window < fall_share * b->high) {
        b->falls++;
        begin_drain(b, fall_share,
                    b->falls >= falls_needed(b, now_ns) ? (uint64_t)b->high : b->window);
        b->high = (double)b->window;
    } else if (now_ns - b->base_since_ns > BOUND_BASE_NS) {
        begin_drain(b, drain_share, b->window);
    }
}

/* On a slow link the least round trip of the dozen packets of a round may well be a small packet's
 * that met no other. There a window that by our rate makes twice the queue is not raised. */
static bool is_large(const struct bound *b)
{
    return steady_ns(b) > b->queue_ns &&
           (double)b->window > fitting(b) + b->rate * seconds(allowed_ns(b));
}

static void delay_round(struct bound *b, uint64_t now_ns, uint64_t queue_ns, double lost)
{
    uint64_t allowed = allowed_ns(b);
    double want = fitting(b);
    enum bound_advice advice = BOUND_STAY;
    bool excess =
        lost > MIN(2 * b->loss, 0.06) + 0.04 && b->round.lost > 4 * (uint64_t)BOUND_PACKET_BYTES;

    b->loss += (lost - b->loss) / 16;
    if (!b->round.limited && !(queue_ns > allowed && used_most(b))) {
        /* the sender had no more: a low rate is not the link's */
        uint64_t age_ns = now_ns - b->base_since_ns;

        if (age_ns > (queue_ns < allowed / 2 ? BOUND_BASE_NS : FORGET_NS))
            renew_base(b, now_ns);
        b->target = MAX(b->target, (uint64_t)want);
        b->grew = false;
        bound_vary_try_not(&b->vary);
        return;
    }
    if (queue_ns < allowed / 2)
        bound_vary_try_not(&b->vary);
    else if (!excess && b->round.limited && may_jitter(b))
        advice = bound_vary_try(&b->vary, b->rate, b->round.rtt_sum_ns / b->round.samples);
    if (excess) {
        b->target = (uint64_t)(excess_shrink * (double)b->window);
        b->grew = true; /* wait a round */
        b->grow_steps = 0;
    } else if (queue_ns < allowed / 2 && is_large(b)) {
        b->grew = false;
    } else if (queue_ns < allowed / 2) {
        grow(b, want, allowed);
    } else if (advice == BOUND_STAY) {
        settle(b, want, queue_ns > 2 * allowed);
    } else if (advice == BOUND_TRY) {
        b->grew = false;
        b->target = (uint64_t)(BOUND_TRY_SHARE * (double)b->window);
    }
    b->window = MIN(b->window, b->target);
    watch(b, now_ns, advice == BOUND_STAY && queue_ns > 2 * allowed + base_of(b) / 16);
}

static void leave_startup(struct bound *b, double window)
{
    b->mode = BOUND_DELAY;
    b->target = (uint64_t)window;
    b->window = MIN(b->window, b->target);
}

/* --- the end of a round ----------------------------------------------------------------- */

/* A queue at a bottleneck that we use becomes shorter when we send less, whoever else fills it.
 * One that does not is no queue: the way has become longer, or jitters. */
static bool unmoved(const struct bound *b, uint64_t fell_ns)
{
    const struct bound_drain *d = &b->drain;
    uint64_t less = d->before_bytes - MIN(d->window, d->before_bytes);

    return d->before_rtt_ns != UINT64_MAX && less > 8 * (uint64_t)BOUND_PACKET_BYTES &&
           seconds(fell_ns) * b->rate * UNMOVED_SHARE < (double)less;
}

/* What a drain told: the link's rate, and whether a queue stays that is not ours. */
static void end_drain(struct bound *b, uint64_t now_ns, uint64_t queue_ns)
{
    struct bound_drain *d = &b->drain;
    struct bound_compete *c = &b->compete;
    bool empty = queue_ns <= allowed_ns(b);
    uint64_t fell_ns = d->before_rtt_ns > b->round.rtt_min_ns && d->before_rtt_ns != UINT64_MAX
                           ? d->before_rtt_ns - b->round.rtt_min_ns
                           : 0;

    b->unclear = empty ? 0 : b->unclear + 1;
    if (!empty && (!varies(b) || b->unclear > UNCLEAR_MOST) && unmoved(b, fell_ns)) {
        b->base_ns[0] = b->base_ns[1] = b->round.rtt_min_ns;
        empty = true;
    } else if (fell_ns > 3 * NS_PER_MS && d->before_bytes > d->window + 8 * BOUND_PACKET_BYTES) {
        double link = (double)(d->before_bytes - d->window) / seconds(fell_ns);

        b->link = b->link > 0 ? (3 * b->link + link) / 4 : link;
    }
    d->phase = BOUND_DRAIN_NONE;
    d->ended_ns = now_ns;
    b->target = d->restore;
    b->window = MIN(b->window, d->window);
    b->bad_rounds = 0;
    if (b->mode == BOUND_COMPETE) {
        c->tested_rate = b->rate;
        if (empty) {
            found_empty(b, now_ns);
        } else {
            c->empty = 0;
            c->test_ns = MIN(2 * c->test_ns, TEST_MOST_NS);
        }
    } else if (varies(b) && !empty) {
        b->base_since_ns = now_ns; /* it stays */
    } else if (!empty || b->falls >= falls_needed(b, now_ns)) {
        enter_compete(b, now_ns, d->restore);
    } else {
        renew_base(b, now_ns);
    }
}

/* The time since the last event counts with what was in flight then. */
static void account(struct bound *b, uint64_t now_ns)
{
    double unused = (double)b->window - (double)b->in_flight;

    if (unused > 0)
        b->round.unused += unused * seconds(now_ns - b->event_ns);
    b->event_ns = now_ns;
}

/* The window, and nothing else, kept the sender back, from the begin of the round to its end. What
 * a sender does that pauses, its bursts, is not the path's doing. */
static bool was_full(const struct bound *b, uint64_t now_ns)
{
    const struct bound_round *r = &b->round;

    return r->full && r->limited &&
           r->unused < unused_most * (double)b->window * seconds(now_ns - r->since_ns);
}

static void learn(struct bound *b, uint64_t now_ns, uint64_t queue_ns)
{
    const struct bound_round *r = &b->round;

    bound_vary_on_round(&b->vary, &(struct bound_vary_round){
                                      .rate = b->rate,
                                      .window = b->window,
                                      .base_ns = base_of(b),
                                      .queue_ns = queue_ns,
                                      .allowed_ns = allowed_ns(b),
                                      .mean_ns = r->rtt_sum_ns / r->samples - r->rtt_min_ns,
                                      .full = was_full(b, now_ns),
                                  });
}

static void end_round(struct bound *b, uint64_t now_ns)
{
    const struct bound_round *r = &b->round;
    double left = (double)MAX(b->left - r->left, 1u), lost = (double)r->lost / left;
    uint64_t queue_ns = r->rtt_min_ns - base_of(b);
    double before;

    if (b->drain.phase == BOUND_DRAIN_MEASURING) {
        end_drain(b, now_ns, queue_ns);
    } else if (b->drain.phase == BOUND_DRAIN_NONE) {
        before = b->rate;
        b->rate = left / seconds(MAX(now_ns - r->since_ns, NS_PER_US));
        b->best = MAX(b->rate, r->limited ? (3 * b->best + b->rate) / 4 : b->best);
        if (b->mode != BOUND_STARTUP)
            learn(b, now_ns, queue_ns);
        if (b->mode == BOUND_COMPETE && varies(b))
            leave_compete(b, now_ns);
        if (b->mode == BOUND_DELAY) {
            delay_round(b, now_ns, queue_ns, lost);
        } else if (b->mode == BOUND_COMPETE) {
            compete_round(b, now_ns, queue_ns);
        } else if ((r->limited || 2 * left > (double)b->window) &&
                   ((queue_ns > b->queue_ns / 2 + base_of(b) / 16 && b->rate < filled * before) ||
                    lost > 0.125)) {
            leave_startup(b, fitting(b));
        }
    }
    b->target = MAX(b->target, LEAST_WINDOW);
    b->window = MAX(b->window, LEAST_WINDOW);
    begin_round(b, now_ns);
}

/* --- events ----------------------------------------------------------------------------- */

static void forget(struct bound *b)
{
    b->mode = BOUND_STARTUP;
    b->window = b->target = START_WINDOW;
    b->base_ns[0] = b->base_ns[1] = UINT64_MAX;
    b->base_since_ns = 0;
    b->rtt_ns = 0;
    b->rate = b->link = b->best = b->loss = b->high = 0;
    b->bad_rounds = b->grow_steps = b->falls = 0;
    b->grew = false;
    b->drain = (struct bound_drain){0};
    b->compete = (struct bound_compete){0};
    b->vary = (struct bound_vary){0};
}

void bound_init(struct bound *b)
{
    *b = (struct bound){.queue_ns = BOUND_QUEUE_NS};
    forget(b);
    begin_round(b, 0);
}

void bound_done(struct bound *b)
{
    free(b->sent);
    b->sent = NULL;
    b->cap = 0;
    b->first = b->end;
}

void bound_set(struct bound *b, bool on, uint64_t queue_ns)
{
    b->on = on;
    b->queue_ns = queue_ns ? queue_ns : BOUND_QUEUE_NS;
}

void bound_set_several(struct bound *b, bool several)
{
    b->several = several;
}

bool bound_may_send(struct bound *b, uint64_t now_ns, unsigned packets)
{
    uint64_t window = b->window, more = (packets - 1) * (uint64_t)BOUND_PACKET_BYTES;

    if (!b->on)
        return true;
    bound_ring_write_off(b, now_ns);
    if (b->drain.phase != BOUND_DRAIN_NONE)
        window = MIN(window, b->drain.window);
    if ((b->in_flight + more < window && b->end - b->first < BOUND_RING_MAX) || !b->in_flight)
        return true;
    b->round.limited = true;
    return false;
}

void bound_on_sent(struct bound *b, uint64_t now_ns, uint64_t number, size_t bytes, uint32_t lane)
{
    if (!b->on)
        return;
    account(b, now_ns);
    if (b->first == b->end)
        b->first = b->end = number;
    if (!b->in_flight) {
        if (b->round.since_ns && now_ns - b->round.since_ns > FORGET_NS)
            forget(b);
        begin_round(b, now_ns);
        b->round.end = number;
    }
    if (number < b->end || number - b->first >= BOUND_RING_MAX)
        return;
    bound_ring_add(b, number, &(struct bound_sent){now_ns, (uint32_t)bytes, lane});
}

/* The window follows its target as packets leave, so that growth comes as a faster stream and
 * not as a burst: with 1/4, 1/2, 1 packet more for each that leaves. */
static void follow(struct bound *b, uint64_t bytes)
{
    unsigned quarters = b->mode == BOUND_DELAY && b->grew ? 1u << MIN(b->grow_steps, 2u) : 4;

    if (b->mode == BOUND_STARTUP && b->round.limited)
        b->target = b->window + bytes;
    if (b->window < b->target)
        b->window = MIN(b->target, b->window + bytes * quarters / 4);
}

void bound_on_acked(struct bound *b, uint64_t now_ns, uint64_t number)
{
    struct bound_sent *s = bound_ring_find(b, number);
    uint64_t rtt_ns, bytes;

    if (!s)
        return;
    rtt_ns = now_ns - s->sent_ns;
    bytes = s->bytes;
    if (!b->base_since_ns)
        b->base_since_ns = now_ns;
    b->base_ns[0] = MIN(b->base_ns[0], rtt_ns);
    b->rtt_ns = b->rtt_ns ? b->rtt_ns - b->rtt_ns / 64 + rtt_ns / 64 : rtt_ns;
    b->round.rtt_min_ns = MIN(b->round.rtt_min_ns, rtt_ns);
    b->round.rtt_sum_ns += rtt_ns;
    b->round.samples++;
    account(b, now_ns);
    bound_ring_leave(b, s);
    follow(b, bytes);
    if (b->mode == BOUND_STARTUP && b->round.limited && b->round.samples == 8 &&
        b->round.rtt_min_ns > base_of(b) + 2 * b->queue_ns + base_of(b) / 4)
        leave_startup(b, (double)b->window / 2);
    if (b->drain.phase == BOUND_DRAIN_FALLING && b->in_flight <= b->drain.window) {
        b->drain.phase = BOUND_DRAIN_MEASURING;
        begin_round(b, now_ns);
    } else if (number >= b->round.end) {
        end_round(b, now_ns);
    }
}

void bound_on_lost(struct bound *b, uint64_t now_ns, uint64_t number)
{
    struct bound_sent *s = bound_ring_find(b, number);

    if (!s)
        return;
    if (number >= b->compete.recovery_end)
        b->round.lost += s->bytes;
    account(b, now_ns);
    bound_ring_leave(b, s);
}

void bound_on_lane_down(struct bound *b, uint32_t lane)
{
    bound_ring_leave_lane(b, lane);
}

uint64_t bound_vary_ns(const struct bound *b)
{
    return b->on ? b->vary.extra_ns + 2 * jitter_ns(b) : 0;
}

unsigned bound_lanes_wanted(const struct bound *b, uint64_t now_ns)
{
    double packets = b->rate * seconds(base_of(b) + b->queue_ns) / BOUND_PACKET_BYTES;
    double n = ceil(packets / (b->loss > 0.004 ? 10 : 32));
    bool needless = base_of(b) < SHORT_NS && b->loss < short_loss;

    if (!b->on || needless || b->rate <= 0 || now_ns - b->round.since_ns > NS_PER_S + 4 * b->rtt_ns)
        return 1;
    return (unsigned)MIN(MAX(n, 1), BOUND_LANES_MAX);
}
