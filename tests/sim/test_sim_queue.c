/* The egress queue: what a sparse flow feels beside TCP flows that fill the tunnel. The ping's
 * figures are what its round trip has more than on the idle tunnel. Measured at more points by
 * bench/queue/sim_queue.c (doc/decisions/0004). */
#include "scene.h"

#include "base/util.h"

enum { FLOWS_MAX = 4, SETTLE_S = 5, SPAN_S = 15 };

struct load {
    uint64_t rate_bps;
    unsigned rtt_ms, flows;
    enum quic_cc cc;
    bool up;
};

struct felt {
    double goodput; /* of the line, all flows */
    double fairness;
    double mean_ms, p95_ms; /* of the ping, above the idle round trip */
    double lost;            /* share of pings */
};

static double p_ms(const struct cbr *c, double q)
{
    return (double)hist_quantile_ns(&c->stats.delay, q) / 1e6;
}

static void count_flows(struct tcp *const *tcp, const struct load *l, struct felt *r)
{
    double sum = 0, squares = 0;

    for (unsigned i = 0; i < l->flows; i++) {
        double bps = tcp_goodput_bps(tcp[i]);

        sum += bps;
        squares += bps * bps;
    }
    r->goodput = sum / (double)l->rate_bps;
    r->fairness = sum * sum / (l->flows * squares);
}

static struct felt feel(const struct load *l)
{
    struct link_opts line = scene_line(l->rate_bps, l->rtt_ms);
    struct tcp *tcp[FLOWS_MAX];
    struct cbr *ping;
    struct felt r = {0};
    struct scene s;
    double idle_ms;

    line.queue_bytes = l->rate_bps / 8 * 40 / 1000;
    scene_init(&s, 1, &line, &line);
    scene_start(&s, &(struct tunnel_opts){.cc = l->cc});
    assert_true(tunnel_wait_up(s.t, 30 * NS_PER_S));
    sim_run_for(s.sim, NS_PER_S);
    ping = tunnel_ping(s.t, l->up, NULL);
    cbr_start(ping);
    sim_run_for(s.sim, 2 * NS_PER_S);
    idle_ms = p_ms(ping, 0.5);
    for (unsigned i = 0; i < l->flows; i++) {
        tcp[i] = tunnel_tcp(s.t, l->up, NULL);
        tcp_start(tcp[i]);
    }
    sim_run_for(s.sim, SETTLE_S * NS_PER_S);
    cbr_stats_reset(ping);
    for (unsigned i = 0; i < l->flows; i++)
        tcp_stats_reset(tcp[i]);
    sim_run_for(s.sim, SPAN_S * NS_PER_S);
    count_flows(tcp, l, &r);
    r.mean_ms = hist_mean_ns(&ping->stats.delay) / 1e6 - idle_ms;
    r.p95_ms = p_ms(ping, 0.95) - idle_ms;
    r.lost = 1 - (double)ping->stats.rx / (double)ping->stats.tx;
    for (unsigned i = 0; i < l->flows; i++)
        tcp_free(tcp[i]);
    cbr_free(ping);
    scene_done(&s);
    print_message("%s %3.0f Mbit/s %u ms, %u flows %s: %.3f of the line, fair %.2f, ping +%.1f ms, "
                  "p95 +%.1f ms\n",
                  l->cc == QUIC_CC_BBR ? "bbr" : "cubic", (double)l->rate_bps / 1e6, l->rtt_ms,
                  l->flows, l->up ? "up" : "down", r.goodput, r.fairness, r.mean_ms, r.p95_ms);
    return r;
}

/* 5 ms are allowed; first in, first out it was 80. */
static void a_call_beside_downloads(void **state)
{
    static const struct load loads[] = {
        {100000000, 20, 1, QUIC_CC_BBR, true},
        {100000000, 20, 4, QUIC_CC_BBR, true},
        {100000000, 20, 4, QUIC_CC_BBR, false},
        {50000000, 60, 4, QUIC_CC_BBR, true},
    };

    for (unsigned i = 0; i < ARRAY_LEN(loads); i++) {
        struct felt r = feel(&loads[i]);

        assert_true(r.mean_ms < 5);
        assert_true(r.p95_ms < 15);
        assert_true(r.lost < 0.005);
        assert_true(r.goodput > 0.84);
        assert_true(r.fairness > 0.98);
    }
}

/* A carrier with CUBIC fills the line's own queue of 40 ms; ours adds next to nothing. */
static void the_lines_queue_is_all_that_is_left(void **state)
{
    static const struct load loads[] = {
        {100000000, 20, 4, QUIC_CC_CUBIC, true},
        {5000000, 20, 4, QUIC_CC_CUBIC, true},
        {5000000, 20, 4, QUIC_CC_BBR, true},
    };

    for (unsigned i = 0; i < ARRAY_LEN(loads); i++) {
        struct felt r = feel(&loads[i]);

        assert_true(r.p95_ms < 45);
        assert_true(r.lost < 0.01);
        assert_true(r.goodput > 0.87);
        assert_true(r.fairness > 0.98);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_beside_downloads),
        cmocka_unit_test(the_lines_queue_is_all_that_is_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
