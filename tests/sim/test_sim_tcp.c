/* The modelled TCP flow over a bare line, against theory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "sim/cbr.h"
#include "sim/net.h"
#include "sim/tcp.h"

struct line {
    struct sim *sim;
    struct wan wan;
    struct tcp *tcp[4];
    unsigned n;
};

static void line_init(struct line *l, uint64_t seed, const struct link_opts *up)
{
    struct link_opts down = {.rate_bps = up->rate_bps, .delay_ns = up->delay_ns};

    *l = (struct line){.sim = sim_new(seed)};
    wan_init(&l->wan, l->sim, "wan", up, &down);
}

static struct tcp *line_flow(struct line *l, const struct tcp_opts *opts)
{
    struct tcp_opts o = *opts;
    struct tcp *t;

    o.src = net_addr_lit("10.0.0.1", (uint16_t)(1000 + l->n));
    o.dst = net_addr_lit("10.0.0.2", (uint16_t)(1000 + l->n));
    t = tcp_new(l->sim, &o, link_sink(l->wan.up), link_sink(l->wan.down));
    router_add(&l->wan.at_hub, &o.dst, &t->rcv.sink);
    router_add(&l->wan.at_edge, &o.src, &t->snd.sink);
    l->tcp[l->n++] = t;
    tcp_start(t);
    return t;
}

static void line_done(struct line *l)
{
    for (unsigned i = 0; i < l->n; i++)
        tcp_free(l->tcp[i]);
    wan_done(&l->wan);
    sim_free(l->sim);
}

/* Share of what headers leave of the rate, from the second to the last second. */
static double share(const struct tcp *t, double rate_bps, unsigned from_s, unsigned to_s)
{
    return tcp_goodput_between_bps(t, from_s, to_s) / (rate_bps * 1460 / 1500);
}

/* With one BDP of buffer CUBIC's reduction to 0.7 never empties the queue. */
static void fills_the_line_with_one_bdp(void **state)
{
    static const struct {
        double rate, rtt_ms, bdp;
    } lines[] = {{100e6, 20, 1}, {10e6, 100, 1}, {20e6, 60, 2}, {100e6, 20, 0.5}};

    for (unsigned i = 0; i < 4; i++) {
        struct link_opts up = {.rate_bps = (uint64_t)lines[i].rate,
                               .delay_ns = (uint64_t)(lines[i].rtt_ms / 2 * 1e6)};
        struct line l;
        struct tcp *t;

        up.queue_bytes = (uint64_t)(lines[i].bdp * lines[i].rate / 8 * lines[i].rtt_ms / 1e3);
        line_init(&l, 1, &up);
        t = line_flow(&l, &(struct tcp_opts){0});
        sim_run_for(l.sim, 25 * NS_PER_S);
        assert_true(share(t, lines[i].rate, 5, 25) >= 0.95);
        assert_true(share(t, lines[i].rate, 5, 25) <= 1.0001);
        assert_int_equal(t->stats.timeouts, 0);
        assert_int_equal(t->stats.rx_bad, 0);
        assert_true(t->stats.retransmits >= 1); /* it does find the end of the buffer */
        line_done(&l);
    }
}

/* Mathis et al. 1997: a Reno window of sqrt(3/2p) segments under random loss p with every segment
 * counted. CUBIC is as fast as Reno where the product of window and round trip is small (RFC
 * 8312, 4.2); there its reduction to 0.7 with alpha 0.53 is made to give the same. Windows of whole
 * segments, cut off, cost more of it the smaller they are: these are 39, 22 and 12 segments. */
static void loss_rules_the_window(void **state)
{
    static const double loss[] = {0.001, 0.003, 0.01};
    static const double least[] = {0.9, 0.82, 0.72}, most[] = {1.1, 1, 0.9};

    for (unsigned i = 0; i < 3; i++) {
        double sum = 0, mathis = sqrt(1.5 / loss[i]) * 1460 * 8 / 0.020;

        for (uint64_t seed = 1; seed <= 5; seed++) {
            struct link_opts up = {
                .rate_bps = 100000000, .delay_ns = 10 * NS_PER_MS, .loss = loss[i]};
            struct line l;
            struct tcp *t;

            line_init(&l, seed, &up);
            t = line_flow(&l, &(struct tcp_opts){0});
            sim_run_for(l.sim, 42 * NS_PER_S);
            sum += tcp_goodput_between_bps(t, 2, 42) / 5;
            line_done(&l);
        }
        assert_true(sum > least[i] * mathis && sum < most[i] * mathis);
    }
}

/* RFC 9438, 5.1: at long round trips CUBIC's mean window is (C (3 + beta) / (4 (1 - beta)))^(1/4)
 * (RTT / p)^(3/4) = 1.054 (RTT / p)^(3/4) segments. */
static void long_round_trips_follow_cubic(void **state)
{
    double sum = 0, want = 1.054 * pow(0.2 / 0.0003, 0.75) * 1460 * 8 / 0.2;

    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct link_opts up = {.rate_bps = 500000000, .delay_ns = 100 * NS_PER_MS, .loss = 0.0003};
        struct line l;
        struct tcp *t;

        line_init(&l, seed, &up);
        t = line_flow(&l, &(struct tcp_opts){0});
        sim_run_for(l.sim, 130 * NS_PER_S);
        sum += tcp_goodput_between_bps(t, 30, 130) / 5;
        line_done(&l);
    }
    assert_true(sum > 0.75 * want && sum < 1.3 * want);
}

static void two_flows_share(void **state)
{
    struct link_opts up = {
        .rate_bps = 50000000, .delay_ns = 15 * NS_PER_MS, .queue_bytes = 2 * 187500};
    struct line l;
    double a, b;

    line_init(&l, 1, &up);
    line_flow(&l, &(struct tcp_opts){0});
    sim_run_for(l.sim, 3 * NS_PER_S);
    line_flow(&l, &(struct tcp_opts){0});
    sim_run_for(l.sim, 197 * NS_PER_S);
    a = share(l.tcp[0], 50e6, 40, 200);
    b = share(l.tcp[1], 50e6, 40, 200);
    assert_true(a + b > 0.97);
    assert_true(a > 0.35 && a < 0.65);
    line_done(&l);
}

/* RACK holds back while packets are merely reordered: within a quarter of the round trip nearly
 * nothing is sent again and the line stays full. */
static void survives_reordering(void **state)
{
    struct link_opts up = {.rate_bps = 20000000,
                           .delay_ns = 20 * NS_PER_MS,
                           .queue_bytes = 100000,
                           .jitter_ns = 5 * NS_PER_MS,
                           .reorder = true};
    struct line l;
    struct tcp *t;

    line_init(&l, 1, &up);
    t = line_flow(&l, &(struct tcp_opts){0});
    sim_run_for(l.sim, 5 * NS_PER_S);
    tcp_stats_reset(t);
    sim_run_for(l.sim, 15 * NS_PER_S);
    assert_true(share(t, 20e6, 5, 20) > 0.9);
    assert_true(t->stats.retransmits * 100 < t->stats.segments);
    line_done(&l);
}

/* A transfer of known size through loss of every kind arrives whole, once and in order: the
 * receiver counts what it could deliver in sequence. */
static void every_byte_arrives(void **state)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct link_opts up = {.rate_bps = 10000000,
                               .delay_ns = 10 * NS_PER_MS,
                               .loss = 0.1,
                               .jitter_ns = 8 * NS_PER_MS,
                               .reorder = true,
                               .duplicate = 0.05,
                               .corrupt = 0.02};
        struct tcp_opts o = {.bytes = 300000 + 777 * seed};
        struct line l;
        struct tcp *t;

        line_init(&l, seed, &up);
        t = line_flow(&l, &o);
        sim_run_for(l.sim, 300 * NS_PER_S);
        assert_true(t->done);
        assert_int_equal(t->stats.delivered_bytes, o.bytes);
        assert_int_equal(t->rcv.next, o.bytes);
        assert_int_equal(t->snd.in_flight, 0);
        assert_int_equal(t->snd.lost_waiting, 0);
        assert_int_equal(t->snd.sacked, 0);
        assert_true(t->stats.rx_bad > 0); /* what was corrupted was seen */
        line_done(&l);
    }
}

/* The last segment lost: a probe after two round trips, not a timeout of 200 ms and more. */
static bool drop_last(void *user, const struct sim_dgram *d)
{
    bool *dropped = user;

    if (*dropped || d->len == 1500 || d->len < 100)
        return false;
    *dropped = true;
    return true;
}

static void probe_finds_a_lost_tail(void **state)
{
    struct link_opts up = {.rate_bps = 100000000, .delay_ns = 10 * NS_PER_MS};
    struct tcp_opts o = {.bytes = 5 * 1460 + 500};
    bool dropped = false;
    struct line l;
    struct tcp *t;

    line_init(&l, 1, &up);
    link_set_filter(l.wan.up, drop_last, &dropped);
    t = line_flow(&l, &o);
    sim_run_for(l.sim, NS_PER_S);
    assert_true(dropped);
    assert_true(t->done);
    assert_int_equal(t->stats.timeouts, 0);
    assert_true(t->done_ns - SIM_START_NS < 300 * NS_PER_MS);
    line_done(&l);
}

static void cbr_counts(void **state)
{
    struct link_opts up = {.rate_bps = 10000000,
                           .delay_ns = 10 * NS_PER_MS,
                           .jitter_ns = 50 * NS_PER_MS,
                           .reorder = true,
                           .loss = 0.1,
                           .duplicate = 0.1};
    struct cbr_opts o = {.src = net_addr_lit("10.0.0.1", 1), .dst = net_addr_lit("10.0.0.2", 2)};
    const struct link_stats *s;
    struct line l;
    struct cbr *c;

    line_init(&l, 1, &up);
    c = cbr_new(l.sim, &o, link_sink(l.wan.up));
    router_add(&l.wan.at_hub, &o.dst, &c->sink);
    cbr_start(c);
    sim_run_for(l.sim, 100 * NS_PER_S);
    cbr_stop(c);
    sim_run_for(l.sim, NS_PER_S);
    s = link_stats(l.wan.up);
    assert_int_equal(c->stats.tx, 5001);
    assert_int_equal(c->stats.rx, 5001 - s->drop[LINK_DROP_LOSS] + s->duplicated);
    assert_in_range(s->drop[LINK_DROP_LOSS], 400, 600);
    assert_int_equal(c->stats.duplicated, s->duplicated);
    assert_true(c->stats.reordered > 500);
    assert_int_equal(c->stats.rx_bad, 0);
    assert_true(fabs(hist_mean_ns(&c->stats.delay) / 1e6 - 35.2) < 1.5);
    cbr_free(c);
    line_done(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fills_the_line_with_one_bdp),   cmocka_unit_test(loss_rules_the_window),
        cmocka_unit_test(long_round_trips_follow_cubic), cmocka_unit_test(two_flows_share),
        cmocka_unit_test(survives_reordering),           cmocka_unit_test(every_byte_arrives),
        cmocka_unit_test(probe_finds_a_lost_tail),       cmocka_unit_test(cbr_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
