#include "sim/tcp_cubic.h"

#include <math.h>

#include "base/clock.h"
#include "base/util.h"

static const double cubic_c = 0.4, beta = 0.7;

enum { RTT_SAMPLES = 8, CSS_DIVISOR = 4, CSS_ROUNDS = 5 };

void cubic_init(struct cubic *c, double initial_cwnd, bool hystart)
{
    *c = (struct cubic){.cwnd = initial_cwnd, .ssthresh = INFINITY, .hystart = hystart};
    c->round_min_ns = c->last_round_min_ns = UINT64_MAX;
}

static double w_cubic(const struct cubic *c, double t_s)
{
    double d = t_s - c->k_s;

    return cubic_c * d * d * d + c->w_max;
}

static void begin_epoch(struct cubic *c, uint64_t now_ns)
{
    c->epoch_ns = now_ns;
    if (c->w_max > c->cwnd) {
        c->k_s = cbrt((c->w_max - c->cwnd) / cubic_c);
    } else {
        c->k_s = 0;
        c->w_max = c->cwnd;
    }
    c->w_est = c->cwnd;
}

static void avoid_congestion(struct cubic *c, uint64_t now_ns, double n, uint64_t srtt_ns)
{
    double alpha = c->w_est >= c->cwnd_prior ? 1 : 3 * (1 - beta) / (1 + beta);
    double t_s, target;

    if (!c->epoch_ns)
        begin_epoch(c, now_ns);
    t_s = (double)(now_ns - c->epoch_ns) / 1e9;
    c->w_est += alpha * n / c->cwnd;
    if (w_cubic(c, t_s) < c->w_est) {
        c->cwnd = MAX(c->cwnd, c->w_est);
        return;
    }
    target = w_cubic(c, t_s + (double)srtt_ns / 1e9);
    target = MIN(MAX(target, c->cwnd), 1.5 * c->cwnd);
    c->cwnd += (target - c->cwnd) / c->cwnd * n;
}

void cubic_on_ack(struct cubic *c, uint64_t now_ns, double n, uint64_t srtt_ns)
{
    if (c->cwnd < c->ssthresh)
        c->cwnd += c->in_css ? n / CSS_DIVISOR : n;
    else
        avoid_congestion(c, now_ns, n, srtt_ns);
}

/* RFC 9406, 4.2: the round trip has grown: go on conservatively, and decide some rounds later. */
static void hystart_look(struct cubic *c)
{
    uint64_t thresh = c->last_round_min_ns / 8;

    if (c->round_samples < RTT_SAMPLES || c->last_round_min_ns == UINT64_MAX)
        return;
    thresh = MAX(4 * NS_PER_MS, MIN(thresh, 16 * NS_PER_MS));
    if (!c->in_css && c->round_min_ns >= c->last_round_min_ns + thresh) {
        c->in_css = true;
        c->css_baseline_ns = c->round_min_ns;
        c->css_rounds = 0;
    } else if (c->in_css && c->round_min_ns < c->css_baseline_ns) {
        c->in_css = false;
    }
}

void cubic_on_rtt(struct cubic *c, uint64_t rtt_ns, uint64_t una, uint64_t nxt)
{
    if (!c->hystart || c->cwnd >= c->ssthresh)
        return;
    if (una >= c->round_end) {
        c->round_end = nxt;
        c->last_round_min_ns = c->round_min_ns;
        c->round_min_ns = UINT64_MAX;
        c->round_samples = 0;
        if (c->in_css && ++c->css_rounds >= CSS_ROUNDS)
            c->ssthresh = c->cwnd;
    }
    c->round_min_ns = MIN(c->round_min_ns, rtt_ns);
    c->round_samples++;
    hystart_look(c);
}

void cubic_on_loss(struct cubic *c)
{
    c->w_max = c->cwnd < c->w_max ? c->cwnd * (1 + beta) / 2 : c->cwnd; /* fast convergence */
    c->cwnd_prior = c->cwnd;
    c->ssthresh = MAX(c->cwnd * beta, 2.0);
    c->epoch_ns = 0;
    c->in_css = false;
}

void cubic_on_rto(struct cubic *c)
{
    cubic_on_loss(c);
    c->cwnd = 1;
}
