/* Lanes on demand: a path that becomes several connections under load, and one again. */
#include "scene.h"

#include "base/util.h"
#include "peer/internal.h" /* the session of the hub's peer */

static const struct tunnel_opts many = {
    .packed = true, .cc = QUIC_CC_BBR, .lanes = 16, .n_pkts = 8192};

static void start_up(struct scene *s, uint64_t seed, const struct link_opts *line,
                     const struct tunnel_opts *o)
{
    scene_init(s, seed, line, line);
    scene_start(s, o);
    assert_true(tunnel_wait_up(s->t, 60 * NS_PER_S));
    sim_run_for(s->sim, NS_PER_S);
}

static const struct session_stats *edge_stats(const struct scene *s)
{
    static struct session_stats st;

    session_stats_get(edge_session(s->t->edge), &st);
    return &st;
}

static unsigned lanes(const struct scene *s)
{
    return edge_lanes(s->t->edge, 0);
}

static double tcp_share(struct scene *s, bool up, uint64_t seconds, double rate)
{
    struct tcp *tcp = tunnel_tcp(s->t, up, NULL);
    double share;

    tcp_start(tcp);
    sim_run_for(s->sim, 5 * NS_PER_S);
    tcp_stats_reset(tcp);
    sim_run_for(s->sim, seconds * NS_PER_S);
    assert_int_equal(tcp->stats.rx_bad, 0);
    share = (double)tcp->stats.delivered_bytes * 8 / (double)seconds / rate;
    print_message("tcp %s: %.3f of the line, %llu retransmits, %u lanes, again %llu gone %llu\n",
                  up ? "up" : "down", share, (unsigned long long)tcp->stats.retransmits, lanes(s),
                  (unsigned long long)edge_stats(s)->again,
                  (unsigned long long)edge_stats(s)->gone);
    tcp_free(tcp);
    return share;
}

static struct link_opts lossy(double loss)
{
    struct link_opts line = scene_line(100000000, 20);

    line.loss = loss;
    line.queue_bytes = 100000000 / 8 * 40 / 1000;
    return line;
}

static void more_lanes_carry_more_over_a_lossy_line(void **state)
{
    struct link_opts line = lossy(0.01);
    struct tunnel_opts one = many;

    one.lanes = 1;
    for (unsigned up = 0; up < 2; up++) {
        struct scene s;
        double with_one, with_many;

        start_up(&s, 1, &line, &one);
        with_one = tcp_share(&s, up, 10, 100e6);
        scene_done(&s);
        start_up(&s, 1, &line, &many);
        with_many = tcp_share(&s, up, 10, 100e6);
        assert_true(lanes(&s) > 1);
        scene_done(&s);
        assert_true(with_many > with_one + 0.03);
    }
}

/* --- opening and closing ------------------------------------------------------------------- */

static bool has_one_lane(void *user)
{
    const struct scene *s = user;

    return lanes(s) == 1 && !s->t->sockets_open;
}

/* Lanes come with the load and go with it; of what crosses meanwhile nothing is lost or doubled. */
static void lanes_come_and_go_with_the_load(void **state)
{
    struct link_opts line = scene_line(100000000, 20);
    struct scene s;
    struct cbr *load, *call;

    start_up(&s, 2, &line, &many);
    assert_int_equal(lanes(&s), 1);
    load = tunnel_cbr(s.t, true,
                      &(struct cbr_opts){.interval_ns = 130 * NS_PER_US, .payload_bytes = 1400});
    call = tunnel_cbr(s.t, false, NULL);
    cbr_start(load);
    cbr_start(call);
    sim_run_for(s.sim, 10 * NS_PER_S);
    print_message("%u lanes under load, %u sockets\n", lanes(&s), s.t->sockets_open);
    assert_true(lanes(&s) > 2);
    assert_true(edge_lanes_wanted(s.t->edge, 0, s.sim->now_ns) > 2);
    cbr_stop(load);
    assert_true(sim_run_cond(s.sim, 60 * NS_PER_S, has_one_lane, &s));
    sim_run_for(s.sim, 5 * NS_PER_S);
    assert_int_equal(lanes(&s), 1);
    cbr_stop(call);
    sim_run_for(s.sim, NS_PER_S);
    assert_int_equal(load->stats.rx + s.t->edge_host->drops.n[DROP_CODEL], load->stats.tx);
    assert_true(s.t->edge_host->drops.n[DROP_CODEL] < 20); /* before the lanes were there */
    assert_int_equal(load->stats.duplicated, 0);
    assert_int_equal(call->stats.rx, call->stats.tx);
    assert_int_equal(call->stats.duplicated, 0);
    assert_int_equal(s.t->at_edge.downs, 0);
    assert_int_equal(s.t->at_hub.ups, 1);
    assert_int_equal(s.t->at_hub.downs, 0);
    print_message("of %llu, %llu sent again, %u sockets opened\n",
                  (unsigned long long)load->stats.tx, (unsigned long long)edge_stats(&s)->again,
                  s.t->sockets_opened);
    cbr_free(load);
    cbr_free(call);
    scene_done(&s);
}

/* Without sockets, or when it may not have more, a path stays at one lane, and works. */
static void a_path_without_further_sockets_has_one_lane(void **state)
{
    for (unsigned round = 0; round < 2; round++) {
        struct link_opts line = lossy(0.01);
        struct tunnel_opts o = many;
        struct scene s;

        o.lanes = round ? 1 : 16;
        start_up(&s, 3, &line, &o);
        s.t->no_sockets = true;
        assert_true(tcp_share(&s, true, 5, 100e6) > 0.3);
        assert_int_equal(lanes(&s), 1);
        scene_done(&s);
    }
}

/* When a lane leaves what is next to a quicker one for a while, somebody wakes up at the end of
 * that. */
static void what_lanes_leave_to_others_is_looked_at_again(void **state)
{
    struct link_opts line = lossy(0.02);
    unsigned left = 0;
    struct scene s;
    struct tcp *tcp;

    line.jitter_ns = 10 * NS_PER_MS;
    start_up(&s, 5, &line, &many);
    tcp = tunnel_tcp(s.t, false, NULL);
    tcp_start(tcp);
    for (unsigned ms = 0; ms < 10000; ms++) {
        const struct session *session = &s.t->hub->members[0]->session;

        sim_run_for(s.sim, NS_PER_MS);
        left += session->pack->kick_ns != TIME_NEVER_NS;
        assert_true(hub_deadline_ns(s.t->hub) <= session_deadline_ns(session));
    }
    print_message("%u lanes, left to another one in %u of 10000 ms\n", lanes(&s), left);
    assert_true(left > 0);
    tcp_free(tcp);
    scene_done(&s);
}

/* --- accidents ------------------------------------------------------------------------------ */

static uint16_t blocked_port;

static bool is_blocked(void *user, const struct sim_dgram *d)
{
    return blocked_port &&
           (net_addr_port(&d->src) == blocked_port || net_addr_port(&d->dst) == blocked_port);
}

/* One lane of several is cut off: what is on its way over it comes over the others. */
static void a_blocked_lane_costs_little(void **state)
{
    struct link_opts line = scene_line(100000000, 20);
    struct scene s;
    struct cbr *call;
    struct tcp *tcp;
    uint64_t before;

    blocked_port = 0;
    scene_init(&s, 4, &line, &line);
    link_set_filter(s.wan.up, is_blocked, NULL);
    link_set_filter(s.wan.down, is_blocked, NULL);
    scene_start(&s, &many);
    assert_true(tunnel_wait_up(s.t, 60 * NS_PER_S));
    tcp = tunnel_tcp(s.t, true, NULL);
    call = tunnel_cbr(s.t, true, NULL);
    tcp_start(tcp);
    cbr_start(call);
    sim_run_for(s.sim, 10 * NS_PER_S);
    assert_true(lanes(&s) > 2);
    for (unsigned lane = 0; lane < 3; lane++) {
        blocked_port = (uint16_t)(net_addr_port(&s.t->edge_addr) + lane);
        cbr_stats_reset(call);
        before = tcp->stats.delivered_bytes;
        sim_run_for(s.sim, 4 * NS_PER_S);
        print_message("lane %u blocked: %.3f of the line, %llu of %llu calls, gap %.0f ms\n", lane,
                      (double)(tcp->stats.delivered_bytes - before) * 8 / 4 / 100e6,
                      (unsigned long long)call->stats.rx, (unsigned long long)call->stats.tx,
                      (double)call->stats.gap_max_ns / 1e6);
        assert_true(call->stats.gap_max_ns < 400 * NS_PER_MS);
        assert_true(call->stats.rx + 6 >= call->stats.tx);
        assert_int_equal(call->stats.duplicated, 0);
        assert_int_equal(s.t->at_edge.downs, 0);
        blocked_port = 0;
        sim_run_for(s.sim, 10 * NS_PER_S);
        assert_true(lanes(&s) > 2);
    }
    assert_int_equal(tcp->stats.timeouts, 0);
    assert_int_equal(tcp->stats.rx_bad, 0);
    tcp_free(tcp);
    cbr_free(call);
    scene_done(&s);
}

/* A hub that was restarted tells another epoch: lanes of the former one go, TCP goes on. */
static void a_restarted_hub_gets_all_lanes_back(void **state)
{
    struct link_opts line = scene_line(100000000, 20);
    struct scene s;
    struct tcp *tcp;

    start_up(&s, 5, &line, &many);
    tcp = tunnel_tcp(s.t, true, NULL);
    tcp_start(tcp);
    sim_run_for(s.sim, 10 * NS_PER_S);
    assert_true(lanes(&s) > 2);
    for (unsigned round = 0; round < 3; round++) {
        tunnel_kill_hub(s.t);
        sim_run_for(s.sim, (1 + round) * NS_PER_S / 2);
        tunnel_start_hub(s.t, true);
        sim_run_for(s.sim, 15 * NS_PER_S);
        tcp_stats_reset(tcp);
        sim_run_for(s.sim, 5 * NS_PER_S);
        print_message("after restart: %.3f of the line, %u lanes\n",
                      (double)tcp->stats.delivered_bytes * 8 / 5 / 100e6, lanes(&s));
        assert_true(tcp->stats.delivered_bytes * 8 > (uint64_t)(0.6 * 5 * 100e6));
        assert_int_equal(tcp->stats.rx_bad, 0);
        assert_int_equal(edge_state(s.t->edge), EDGE_UP);
        assert_true(lanes(&s) > 2);
    }
    tcp_free(tcp);
    scene_done(&s);
}

/* A session outlives all its lanes by minutes: the hub goes on counting where it was. */
static void a_session_outlives_its_lanes(void **state)
{
    for (unsigned minutes = 4; minutes <= 6; minutes += 2) {
        struct link_opts line = scene_line(20000000, 30);
        struct hub_peer_info info;
        struct scene s;
        struct cbr *call;
        uint64_t packets;

        start_up(&s, 6, &line, &many);
        call = tunnel_cbr(s.t, true, NULL);
        cbr_start(call);
        sim_run_for(s.sim, 10 * NS_PER_S);
        cbr_stop(call);
        sim_run_for(s.sim, NS_PER_S);
        assert_true(hub_peer_info(s.t->hub, 0, &info));
        packets = info.session.rx_packets;
        assert_int_equal(packets, call->stats.tx);
        link_set_on(s.wan.up, false);
        link_set_on(s.wan.down, false);
        sim_run_for(s.sim, 40 * NS_PER_S); /* until the connection has timed out */
        assert_int_equal(hub_peers(s.t->hub), 0);
        assert_int_equal(hub_kept(s.t->hub), 1);
        sim_run_for(s.sim, minutes * 60 * NS_PER_S - 20 * NS_PER_S);
        assert_int_equal(hub_kept(s.t->hub), minutes == 4);
        link_set_on(s.wan.up, true);
        link_set_on(s.wan.down, true);
        sim_run_for(s.sim, 30 * NS_PER_S);
        assert_int_equal(hub_peers(s.t->hub), 1);
        assert_int_equal(hub_kept(s.t->hub), 0);
        assert_true(hub_peer_info(s.t->hub, 0, &info));
        assert_int_equal(info.session.rx_packets, minutes == 4 ? packets : 0);
        assert_int_equal(info.n_addr, 1);
        cbr_stats_reset(call);
        cbr_start(call);
        sim_run_for(s.sim, 5 * NS_PER_S);
        cbr_stop(call);
        sim_run_for(s.sim, NS_PER_S);
        assert_int_equal(call->stats.rx, call->stats.tx);
        cbr_free(call);
        scene_done(&s);
    }
}

/* --- what a sparse flow feels ---------------------------------------------------------------- */

struct bulk_case {
    uint64_t rate_bps;
    unsigned flows;
    bool up, supers;
    double mean_ms, p95_ms; /* that a ping may take longer than on the idle path */
    double share;           /* of the line, that the flows carry at least */
};

static void try_ping_beside_bulk(const struct bulk_case *c)
{
    struct tcp_opts flow = {.tso = c->supers ? TCP_TSO_WHOLE : TCP_TSO_OFF};
    struct link_opts line = scene_line(c->rate_bps, 20);
    struct tunnel_opts o = many;
    double idle_ms, mean_ms, p95_ms, share = 0;
    struct tcp *tcp[4];
    struct scene s;
    struct cbr *ping;

    o.n_large = 512;
    line.queue_bytes = c->rate_bps / 8 * 40 / 1000;
    start_up(&s, 7, &line, &o);
    ping = tunnel_ping(s.t, c->up, NULL);
    cbr_start(ping);
    sim_run_for(s.sim, 2 * NS_PER_S);
    idle_ms = (double)hist_quantile_ns(&ping->stats.delay, 0.5) / 1e6;
    for (unsigned k = 0; k < c->flows; k++) {
        tcp[k] = tunnel_tcp(s.t, c->up, &flow);
        tcp_start(tcp[k]);
    }
    sim_run_for(s.sim, 5 * NS_PER_S);
    cbr_stats_reset(ping);
    for (unsigned k = 0; k < c->flows; k++)
        tcp_stats_reset(tcp[k]);
    sim_run_for(s.sim, 20 * NS_PER_S);
    mean_ms = hist_mean_ns(&ping->stats.delay) / 1e6 - idle_ms;
    p95_ms = (double)hist_quantile_ns(&ping->stats.delay, 0.95) / 1e6 - idle_ms;
    for (unsigned k = 0; k < c->flows; k++) {
        share += tcp_goodput_bps(tcp[k]) / (double)c->rate_bps;
        tcp_free(tcp[k]);
    }
    print_message("%g Mbit/s, %s, %u flows%s: %.3f of the line, ping +%.1f ms, p95 +%.1f ms, "
                  "%u lanes\n",
                  (double)c->rate_bps / 1e6, c->up ? "up" : "down", c->flows,
                  c->supers ? ", super-packets" : "", share, mean_ms, p95_ms, lanes(&s));
    assert_true(mean_ms <= c->mean_ms);
    assert_true(p95_ms <= c->p95_ms);
    assert_true(share >= c->share);
    cbr_free(ping);
    scene_done(&s);
}

/* A sparse flow passes what fills the line, and the line is full: 0.973 is what bare TCP gets. */
static void a_ping_beside_bulk(void **state)
{
    static const struct bulk_case cases[] = {{5000000, 1, true, false, 8, 15, 0.83},
                                             {5000000, 1, true, true, 8, 15, 0.83},
                                             {5000000, 1, false, true, 8, 15, 0.83},
                                             {5000000, 4, true, false, 8, 15, 0.83},
                                             {100000000, 1, true, false, 5, 10, 0.88},
                                             {100000000, 1, true, true, 5, 10, 0.95 * 0.973},
                                             {100000000, 1, false, true, 5, 10, 0.95 * 0.973},
                                             {100000000, 4, true, false, 5, 10, 0.88}};

    for (unsigned i = 0; i < ARRAY_LEN(cases); i++)
        try_ping_beside_bulk(&cases[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(more_lanes_carry_more_over_a_lossy_line),
        cmocka_unit_test(lanes_come_and_go_with_the_load),
        cmocka_unit_test(a_path_without_further_sockets_has_one_lane),
        cmocka_unit_test(what_lanes_leave_to_others_is_looked_at_again),
        cmocka_unit_test(a_blocked_lane_costs_little),
        cmocka_unit_test(a_restarted_hub_gets_all_lanes_back),
        cmocka_unit_test(a_session_outlives_its_lanes),
        cmocka_unit_test(a_ping_beside_bulk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
