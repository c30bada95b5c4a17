#include "sim/tcp_cubic.h"

#include <math.h>

#include "base/clock.h"
#include "base/util.h"

static const double cubic_c = 0.4, beta = 717.0 / 1024;

#define UPDATE_NS (NS_PER_S / 32) /* per_ack stays as long while the window does */
#define TRAIN_GAP_NS (2 * NS_PER_MS)

enum { RTT_SAMPLES = 8, HYSTART_LOW_CWND = 16, FIRST_PER_ACK = 20, LEAST_PER_ACK = 2 };

static void forget(struct cubic *c)
{
    c->w_max = c->origin = c->k_s = c->per_ack = c->acked = c->last_cwnd = 0;
    c->epoch_ns = c->last_ns = 0;
    c->rtt_min_ns = UINT64_MAX;
}

void cubic_init(struct cubic *c, double initial_cwnd, bool hystart)
{
    *c = (struct cubic){.cwnd = initial_cwnd, .ssthresh = INFINITY, .hystart = hystart};
    forget(c);
    c->round_min_ns = UINT64_MAX;
}

/* --- congestion avoidance -------------------------------------------------------------- */

static void begin_epoch(struct cubic *c, uint64_t now_ns, double n)
{
    c->epoch_ns = now_ns;
    c->reno_acked = n;
    c->w_reno = c->cwnd;
    c->k_s = c->w_max > c->cwnd ? cbrt((c->w_max - c->cwnd) / cubic_c) : 0;
    c->origin = MAX(c->w_max, c->cwnd);
}

/* The cubic function a round trip ahead decides the rate. */
static double per_ack_cubic(const struct cubic *c, uint64_t now_ns)
{
    uint64_t rtt_ns = c->rtt_min_ns == UINT64_MAX ? 0 : c->rtt_min_ns;
    double d = (double)(now_ns - c->epoch_ns + rtt_ns) / 1e9 - c->k_s;
    double target = floor(c->origin + cubic_c * d * d * d);
    double per_ack = target > c->cwnd ? floor(c->cwnd / (target - c->cwnd)) : 100 * c->cwnd;

    return c->w_max == 0 ? MIN(per_ack, FIRST_PER_ACK) : per_ack;
}

static double per_ack_reno(struct cubic *c)
{
    double each = floor(c->cwnd * 15 / 8);

    while (c->reno_acked > each) {
        c->reno_acked -= each;
        c->w_reno++;
    }
    return c->w_reno > c->cwnd ? floor(c->cwnd / (c->w_reno - c->cwnd)) : INFINITY;
}

static void compute_per_ack(struct cubic *c, uint64_t now_ns, double n)
{
    double per_ack;

    c->reno_acked += n;
    if (c->last_cwnd == c->cwnd && now_ns - c->last_ns <= UPDATE_NS)
        return;
    c->last_cwnd = c->cwnd;
    c->last_ns = now_ns;
    if (!c->epoch_ns)
        begin_epoch(c, now_ns, n);
    per_ack = MIN(per_ack_cubic(c, now_ns), per_ack_reno(c));
    c->per_ack = MAX(per_ack, LEAST_PER_ACK);
}

static void avoid_congestion(struct cubic *c, double n)
{
    if (c->acked >= c->per_ack) { /* what was gathered at a slower rate is worth one */
        c->acked = 0;
        c->cwnd++;
    }
    c->acked += n;
    if (c->acked >= c->per_ack) {
        double more = floor(c->acked / c->per_ack);

        c->acked -= more * c->per_ack;
        c->cwnd += more;
    }
}

void cubic_on_ack(struct cubic *c, uint64_t now_ns, double n)
{
    if (c->cwnd < c->ssthresh) {
        double slow = MIN(n, c->ssthresh - c->cwnd);

        c->cwnd += slow;
        n -= slow;
    }
    if (n <= 0)
        return;
    compute_per_ack(c, now_ns, n);
    avoid_congestion(c, n);
}

/* --- slow start ------------------------------------------------------------------------ */

static bool train_is_long(struct cubic *c, uint64_t now_ns)
{
    if (now_ns - c->train_ns > TRAIN_GAP_NS)
        return false;
    c->train_ns = now_ns;
    return now_ns - c->round_begin_ns > c->rtt_min_ns / 2;
}

static bool delay_has_grown(struct cubic *c, uint64_t rtt_ns)
{
    uint64_t thresh = MAX(4 * NS_PER_MS, MIN(c->rtt_min_ns / 8, 16 * NS_PER_MS));

    c->round_min_ns = MIN(c->round_min_ns, rtt_ns);
    if (c->round_samples < RTT_SAMPLES) {
        c->round_samples++;
        return false;
    }
    return c->round_min_ns > c->rtt_min_ns + thresh;
}

void cubic_on_rtt(struct cubic *c, uint64_t now_ns, uint64_t rtt_ns, uint64_t una, uint64_t nxt)
{
    /* While a queue drains after a loss, no round trip is the least. */
    if (c->epoch_ns && now_ns - c->epoch_ns < NS_PER_S)
        return;
    c->rtt_min_ns = MIN(c->rtt_min_ns, rtt_ns);
    if (!c->hystart || c->cwnd >= c->ssthresh)
        return;
    if (una > c->round_end) {
        c->round_end = nxt;
        c->round_begin_ns = c->train_ns = now_ns;
        c->round_min_ns = UINT64_MAX;
        c->round_samples = 0;
    }
    if (c->cwnd < HYSTART_LOW_CWND)
        return;
    if (train_is_long(c, now_ns) || delay_has_grown(c, rtt_ns))
        c->ssthresh = c->cwnd;
}

/* --- loss ------------------------------------------------------------------------------ */

void cubic_on_loss(struct cubic *c)
{
    /* fast convergence */
    c->w_max = c->cwnd < c->w_max ? floor(c->cwnd * (1 + beta) / 2) : c->cwnd;
    c->ssthresh = MAX(floor(c->cwnd * beta), 2.0);
    c->epoch_ns = 0;
}

void cubic_on_rto(struct cubic *c)
{
    cubic_on_loss(c);
    forget(c);
    c->cwnd = 1;
    c->round_end = 0;
}
