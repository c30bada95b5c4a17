/* The other kinds of modelled flows: as of QUIC in UDP, and TCP that sends super-packets, over a
 * bare line and through the tunnel. */
#include "scene.h"

#include "base/util.h"
#include "sim/tcp.h"

struct line {
    struct sim *sim;
    struct wan wan;
    struct tcp *flow;
    struct sim_sink cut; /* counts what arrives, on to the receiver */
    uint32_t largest;
};

static void cut_put(struct sim_sink *sink, struct sim_dgram *d)
{
    struct line *l = container_of(sink, struct line, cut);

    l->largest = MAX(l->largest, d->len);
    l->flow->rcv.sink.put(&l->flow->rcv.sink, d);
}

static void line_init(struct line *l, const struct link_opts *up, const struct tcp_opts *opts)
{
    struct link_opts down = {.rate_bps = up->rate_bps, .delay_ns = up->delay_ns};
    struct tcp_opts o = *opts;

    *l = (struct line){.sim = sim_new(5), .cut.put = cut_put};
    wan_init(&l->wan, l->sim, "wan", up, &down);
    o.src = net_addr_lit("10.0.0.1", 1000);
    o.dst = net_addr_lit("10.0.0.2", 1000);
    l->flow = tcp_new(l->sim, &o, link_sink(l->wan.up), link_sink(l->wan.down));
    router_add(&l->wan.at_hub, &o.dst, &l->cut);
    router_add(&l->wan.at_edge, &o.src, &l->flow->snd.sink);
    tcp_start(l->flow);
}

static void line_done(struct line *l)
{
    tcp_free(l->flow);
    wan_done(&l->wan);
    sim_free(l->sim);
}

static double run_line(const struct link_opts *up, const struct tcp_opts *opts, unsigned from_s,
                       unsigned to_s)
{
    struct line l;
    double bps;

    line_init(&l, up, opts);
    sim_run_for(l.sim, to_s * NS_PER_S);
    assert_int_equal(l.flow->stats.rx_bad, 0);
    bps = tcp_goodput_between_bps(l.flow, from_s, to_s);
    line_done(&l);
    return bps;
}

/* --- as of QUIC ------------------------------------------------------------------------ */

static const struct tcp_opts quic_flow = {.quic = true};
static const struct tcp_opts plain_flow = {.quic = false};

static void a_quic_flow_fills_a_line(void **state)
{
    struct link_opts up = {.rate_bps = 50000000, .delay_ns = 10 * NS_PER_MS};
    double share = run_line(&up, &quic_flow, 5, 15) / (50e6 * 1330 / 1378);

    assert_true(share > 0.97 && share <= 1.0001);
}

/* Its packets leave evenly: the queue of a line that it does not fill stays short. */
static void a_quic_flow_is_paced(void **state)
{
    struct link_opts up = {
        .rate_bps = 50000000, .delay_ns = 40 * NS_PER_MS, .queue_bytes = 200 * 1400};
    struct tcp_opts o = {.quic = true, .rwnd_bytes = 100 * 1330}; /* 13 Mbit/s */
    struct line l;

    line_init(&l, &up, &o);
    sim_run_for(l.sim, 2 * NS_PER_S);
    link_stats_reset(l.wan.up);
    sim_run_for(l.sim, 3 * NS_PER_S);
    assert_true(tcp_goodput_between_bps(l.flow, 2, 5) > 11e6);
    assert_true(link_wait_quantile_ms(l.wan.up, 1.0) < 12 * 0.23); /* ten packets and two */
    line_done(&l);
}

/* A packet that comes four places late is given up by QUIC and waited for by TCP, which learns. */
static void reordering_hurts_quic_more_than_tcp(void **state)
{
    struct link_opts up = {.rate_bps = 50000000,
                           .delay_ns = 10 * NS_PER_MS,
                           .jitter_ns = 4 * NS_PER_MS,
                           .reorder = true};
    double tcp = run_line(&up, &plain_flow, 5, 15), quic = run_line(&up, &quic_flow, 5, 15);

    assert_true(quic < tcp / 2);
    assert_true(tcp > 20e6);
}

static void a_quic_flow_recovers_from_loss(void **state)
{
    struct link_opts up = {.rate_bps = 20000000, .delay_ns = 10 * NS_PER_MS, .loss = 0.01};
    struct tcp_opts o = {.quic = true, .bytes = 3000001};
    struct line l;

    line_init(&l, &up, &o);
    sim_run_for(l.sim, 60 * NS_PER_S);
    assert_true(l.flow->done);
    assert_int_equal(l.flow->rcv.next, o.bytes);
    assert_true(l.flow->stats.retransmits > 5);
    line_done(&l);
}

/* --- super-packets --------------------------------------------------------------------- */

static void a_card_cuts_what_tcp_joins(void **state)
{
    struct link_opts up = {.rate_bps = 50000000, .delay_ns = 10 * NS_PER_MS};
    struct tcp_opts o = {.tso = TCP_TSO_CUT};
    struct line l;
    double share;

    line_init(&l, &up, &o);
    sim_run_for(l.sim, 10 * NS_PER_S);
    share = tcp_goodput_between_bps(l.flow, 3, 10) / (50e6 * 1460 / 1500);
    assert_true(share > 0.97 && share <= 1.0001);
    assert_int_equal(l.largest, 1500);
    /* A millisecond of 50 Mbit/s and a fifth more: five segments. */
    assert_in_range(l.flow->stats.segments / l.flow->stats.supers, 2, 6);
    line_done(&l);
}

static void super_packets_go_whole_into_the_tunnel(void **state)
{
    for (unsigned packed = 0; packed < 2; packed++) {
        struct link_opts line = scene_line(50000000, 20);
        struct tcp_opts o = {.tso = TCP_TSO_WHOLE, .bytes = 20000001};
        struct scene s;
        struct tcp *t;

        scene_init(&s, 7, &line, &line);
        scene_start(&s, &(struct tunnel_opts){
                            .cc = QUIC_CC_CUBIC, .packed = packed, .n_pkts = 4096, .n_large = 64});
        assert_true(tunnel_wait_up(s.t, 30 * NS_PER_S));
        t = tunnel_tcp(s.t, true, &o);
        tcp_start(t);
        sim_run_for(s.sim, 20 * NS_PER_S);
        assert_true(t->done);
        assert_int_equal(t->rcv.next, o.bytes);
        assert_true(t->stats.supers > 1000);
        assert_int_equal(t->stats.rx_bad, 0);
        assert_true((double)o.bytes * 8 / ((double)t->done_ns / 1e9 - 100) > 20e6);
        tcp_free(t);
        scene_done(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quic_flow_fills_a_line),
        cmocka_unit_test(a_quic_flow_is_paced),
        cmocka_unit_test(reordering_hurts_quic_more_than_tcp),
        cmocka_unit_test(a_quic_flow_recovers_from_loss),
        cmocka_unit_test(a_card_cuts_what_tcp_joins),
        cmocka_unit_test(super_packets_go_whole_into_the_tunnel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
