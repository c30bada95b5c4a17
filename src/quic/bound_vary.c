#include "quic/bound_vary.h"

#include "base/util.h"

enum {
    FULL_ROUNDS = 3,   /* before a round tells of the link and not of the sender */
    DECAY_ROUNDS = 32, /* in which the extra queue falls to 1/e of it */
    SMOOTH_ROUNDS = 8,
    FADE_ROUNDS = 64, /* in which the spread is forgotten that no full window shows */
    MOST_BASES = 2,
    WAIT_LEAST = 2,
    WAIT_MOST = 64
};

#define MOST_NS (150 * NS_PER_MS)
#define JITTER_MOST_NS (20 * NS_PER_MS)
#define JITTERS_NS (1500 * NS_PER_US) /* a steady path's round trips differ by less */

static const double faster = 1.1, steady = 1.05;

static bool ran_dry(const struct bound_vary *v, const struct bound_vary_round *r)
{
    double window = (double)MIN(v->window[0], v->window[1]);

    return v->full > FULL_ROUNDS && r->queue_ns < r->allowed_ns / 2 && r->rate > faster * v->rate &&
           (double)r->window <= steady * window;
}

void bound_vary_on_round(struct bound_vary *v, const struct bound_vary_round *r)
{
    uint64_t most_ns = MIN(MOST_BASES * r->base_ns, MOST_NS);

    v->full = r->full ? v->full + 1 : 0;
    if (v->full > 1) /* in the first one the queue is still filling */
        v->spread_ns = v->spread_ns - v->spread_ns / SMOOTH_ROUNDS + r->mean_ns / SMOOTH_ROUNDS;
    else
        v->spread_ns -= v->spread_ns / FADE_ROUNDS;
    if (ran_dry(v, r))
        v->extra_ns = MIN(v->extra_ns + r->allowed_ns / 2, most_ns);
    else if (r->full)
        v->extra_ns -= v->extra_ns / DECAY_ROUNDS;
    v->rate = r->rate;
    v->window[1] = v->window[0];
    v->window[0] = r->window;
}

void bound_vary_on_drain(struct bound_vary *v)
{
    v->full = 0;
    bound_vary_try_not(v);
}

static enum bound_advice begin_trial(struct bound_vary *v, double rate, uint64_t rtt_ns)
{
    v->trying = 1;
    v->waited = 0;
    v->tried_rate = rate;
    v->tried_rtt_ns = rtt_ns;
    return BOUND_TRY;
}

enum bound_advice bound_vary_try(struct bound_vary *v, double rate, uint64_t rtt_ns)
{
    const double more = BOUND_TRY_SHARE - 1;

    v->wait = MAX(v->wait, (unsigned)WAIT_LEAST);
    if (v->spread_ns < JITTERS_NS)
        return BOUND_STAY;
    if (!v->trying)
        return ++v->waited < v->wait ? BOUND_STAY : begin_trial(v, rate, rtt_ns);
    if (v->trying++ == 1) /* the window has grown in the course of this round */
        return BOUND_HOLD;
    if (rate > (1 + more / 2) * v->tried_rate &&
        (double)rtt_ns < (1 + more / 4) * (double)v->tried_rtt_ns) {
        v->wait = WAIT_LEAST;
        return begin_trial(v, rate, rtt_ns);
    }
    v->trying = v->waited = 0;
    v->wait = MIN(2 * v->wait, (unsigned)WAIT_MOST);
    return BOUND_STAY;
}

void bound_vary_try_not(struct bound_vary *v)
{
    v->trying = v->waited = 0;
}

uint64_t bound_vary_jitter_ns(const struct bound_vary *v, uint64_t ripple_ns)
{
    return MIN(v->spread_ns - MIN(v->spread_ns, ripple_ns), JITTER_MOST_NS);
}
