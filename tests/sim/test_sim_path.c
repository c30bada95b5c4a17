/* A tunnel that is up, on a path that misbehaves. */
#include "base/util.h"
#include "scene.h"

#include <math.h>

static void start_up(struct scene *s, uint64_t seed, const struct link_opts *line,
                     const struct tunnel_opts *opts)
{
    scene_init(s, seed, line, line);
    scene_start(s, opts);
    assert_true(tunnel_wait_up(s->t, 60 * NS_PER_S));
}

/* --- reordering and loss --------------------------------------------------------------- */

/* Jitter of half a round trip that reorders: everything arrives, nothing twice, the tunnel adds
 * no reordering of its own and little delay. */
static void reordering_loses_nothing(void **state)
{
    struct link_opts line = scene_line(50000000, 40);
    struct scene s;
    struct cbr *c;

    line.jitter_ns = 20 * NS_PER_MS;
    line.reorder = true;
    start_up(&s, 1, &line, &(struct tunnel_opts){0});
    c = tunnel_cbr(s.t, true, &(struct cbr_opts){.interval_ns = 5 * NS_PER_MS});
    cbr_start(c);
    sim_run_for(s.sim, 30 * NS_PER_S);
    cbr_stop(c);
    sim_run_for(s.sim, NS_PER_S);
    assert_int_equal(c->stats.tx, 6001);
    assert_int_equal(c->stats.rx, 6001);
    assert_int_equal(c->stats.duplicated, 0);
    assert_true(hist_quantile_ns(&c->stats.delay, 0.99) < 42 * NS_PER_MS);
    assert_int_equal(s.t->at_edge.downs, 0);
    cbr_free(c);
    scene_done(&s);
}

/* 30 % loss both ways, 50 packets a second: 70 % of them arrive, and at once; no stall is longer
 * than chance makes it. */
static void pings_through_thirty_percent_loss(void **state)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct link_opts line = scene_line(20000000, 40);
        struct cbr *up, *down;
        struct scene s;

        line.loss = 0.3;
        start_up(&s, seed, &line, &(struct tunnel_opts){0});
        up = tunnel_cbr(s.t, true, NULL);
        down = tunnel_cbr(s.t, false, NULL);
        cbr_start(up);
        cbr_start(down);
        sim_run_for(s.sim, 120 * NS_PER_S);
        assert_true(fabs((double)up->stats.rx / (double)up->stats.tx - 0.7) < 0.03);
        assert_true(fabs((double)down->stats.rx / (double)down->stats.tx - 0.7) < 0.03);
        assert_true(hist_quantile_ns(&up->stats.delay, 0.99) < 25 * NS_PER_MS);
        assert_true(up->stats.gap_max_ns < 400 * NS_PER_MS);
        assert_int_equal(up->stats.duplicated, 0);
        assert_int_equal(s.t->at_edge.downs, 0);
        assert_int_equal(s.t->at_hub.ups, 1);
        cbr_free(up);
        cbr_free(down);
        scene_done(&s);
    }
}

/* Datagrams doubled, damaged and cut short: nothing doubled or damaged comes out, and the tunnel
 * does not mind. */
static void damaged_datagrams(void **state)
{
    struct link_opts line = scene_line(20000000, 40);
    struct scene s;
    struct cbr *c;
    struct tcp *t;

    line.duplicate = 0.1;
    line.corrupt = 0.02;
    line.truncate = 0.02;
    start_up(&s, 1, &line, &(struct tunnel_opts){0});
    c = tunnel_cbr(s.t, true, &(struct cbr_opts){.interval_ns = 5 * NS_PER_MS});
    t = tunnel_tcp(s.t, false, NULL);
    cbr_start(c);
    tcp_start(t);
    sim_run_for(s.sim, 60 * NS_PER_S);
    assert_true(link_stats(s.wan.up)->corrupted > 100);
    assert_true(link_stats(s.wan.down)->truncated > 100);
    assert_int_equal(c->stats.duplicated, 0);
    assert_int_equal(c->stats.rx_bad, 0);
    assert_int_equal(t->stats.rx_bad, 0);
    assert_true((double)c->stats.rx / (double)c->stats.tx > 0.94);
    assert_true(t->stats.delivered_bytes > 1000000);
    assert_int_equal(s.t->at_edge.downs, 0);
    assert_int_equal(s.t->at_hub.ups, 1);
    cbr_free(c);
    tcp_free(t);
    scene_done(&s);
}

/* --- NAT ------------------------------------------------------------------------------- */

/* A NAT gives the flow another port, then another address, in the middle of transfers both ways:
 * the hub follows, the tunnel stays, the pause is a few round trips. */
static void nat_rebinding(void **state)
{
    struct link_opts line = scene_line(50000000, 40);
    struct net_addr first = net_addr_lit("203.0.113.1", 60000);
    struct net_addr second = net_addr_lit("203.0.113.99", 30000);
    struct cbr *up, *down;
    struct tcp *t;
    struct scene s;

    scene_init(&s, 1, &line, &line);
    tunnel_nat_init(&s.nat, &s.wan, &first);
    scene_start(&s, &(struct tunnel_opts){.nat = &s.nat});
    assert_true(tunnel_wait_up(s.t, 10 * NS_PER_S));
    assert_true(net_addr_equal(&s.t->at_hub.remote, &first));
    up = tunnel_cbr(s.t, true, NULL);
    down = tunnel_cbr(s.t, false, NULL);
    t = tunnel_tcp(s.t, false, NULL);
    cbr_start(up);
    cbr_start(down);
    tcp_start(t);
    sim_run_for(s.sim, 10 * NS_PER_S);
    nat_rebind(&s.nat, NULL);
    sim_run_for(s.sim, 10 * NS_PER_S);
    tunnel_nat_rebind(&s.nat, &s.wan, &second);
    sim_run_for(s.sim, 10 * NS_PER_S);
    assert_int_equal(s.t->at_edge.downs, 0);
    assert_int_equal(s.t->at_hub.ups, 1);
    assert_true(up->stats.gap_max_ns < 200 * NS_PER_MS);
    assert_true(down->stats.gap_max_ns < 500 * NS_PER_MS);
    assert_true(down->stats.tx - down->stats.rx < 60);
    assert_true(tcp_goodput_between_bps(t, 12, 20) > 0.75 * 50e6);
    assert_true(tcp_goodput_between_bps(t, 22, 30) > 0.75 * 50e6);
    cbr_free(up);
    cbr_free(down);
    tcp_free(t);
    scene_done(&s);
}

/* Somebody on the way who sees the packets: now and then one of the edge's goes on from his own
 * address (RFC 9000, section 9.3.3). What comes back to him he passes on, or keeps. */
struct relay {
    struct sim_sink up, down;
    struct sim *sim;
    struct sim_sink *to_hub, *to_edge;
    struct net_addr edge, own;
    unsigned every; /* how many datagrams; 0 = he leaves them alone */
    unsigned n, taken;
    bool answers;
};

static void relay_up(struct sim_sink *sink, struct sim_dgram *d)
{
    struct relay *r = container_of(sink, struct relay, up);

    if (r->every && !(++r->n % r->every)) {
        r->edge = d->src;
        d->src = r->own;
        r->taken++;
    }
    r->to_hub->put(r->to_hub, d);
}

static void relay_down(struct sim_sink *sink, struct sim_dgram *d)
{
    struct relay *r = container_of(sink, struct relay, down);

    if (!r->answers) {
        sim_dgram_free(r->sim, d);
        return;
    }
    d->dst = r->edge;
    r->to_edge->put(r->to_edge, d);
}

/* The hub asks the new address and stays with the edge, however often that begins: nobody else
 * ends a tunnel, or the hub, by that. */
static void packets_that_come_from_elsewhere(void **state)
{
    struct link_opts line = scene_line(50000000, 40);

    for (unsigned i = 0; i < 8; i++) {
        struct relay r = {.own = net_addr_lit("198.51.100.66", 6666), .answers = i & 1};
        struct cbr *up, *down;
        uint64_t lost;
        struct scene s;

        start_up(&s, i + 1, &line, &(struct tunnel_opts){0});
        r.sim = s.sim;
        r.up.put = relay_up;
        r.down.put = relay_down;
        r.to_hub = &s.wan.at_hub.sink;
        r.to_edge = &s.wan.at_edge.sink;
        link_set_to(s.wan.up, &r.up);
        router_add(&s.wan.at_edge, &r.own, &r.down);
        up = tunnel_cbr(s.t, true, NULL);
        down = tunnel_cbr(s.t, false, NULL);
        cbr_start(up);
        cbr_start(down);
        sim_run_for(s.sim, 2 * NS_PER_S);
        r.every = (const unsigned[]){1000, 100, 10, 2}[i / 2];
        sim_run_for(s.sim, 20 * NS_PER_S);
        r.every = 0;
        sim_run_for(s.sim, NS_PER_S);
        lost = down->stats.tx - down->stats.rx + up->stats.tx - up->stats.rx;
        sim_run_for(s.sim, 5 * NS_PER_S);
        assert_true(r.taken >= 1);
        assert_int_equal(s.t->at_edge.downs, 0);
        assert_int_equal(s.t->at_hub.ups, 1);
        cbr_stop(up);
        cbr_stop(down);
        sim_run_for(s.sim, NS_PER_S);
        assert_true(down->stats.tx - down->stats.rx + up->stats.tx - up->stats.rx <= lost);
        cbr_free(up);
        cbr_free(down);
        scene_done(&s);
    }
}

/* --- path MTU -------------------------------------------------------------------------- */

static size_t edge_udp(const struct scene *s)
{
    return tunnel_edge_lane(s->t).udp_payload;
}

static void set_mtu(struct scene *s, uint32_t mtu)
{
    link_set_mtu(s->wan.up, mtu);
    link_set_mtu(s->wan.down, mtu);
}

/* The search finds the size of the path: within PMTU_GRAIN_BYTES, never above. */
static void finds_the_path_mtu(void **state)
{
    static const uint32_t mtus[] = {1500, 1492, 1480, 1460, 1420, 1400, 1350, 1280, 1250, 1228};

    for (unsigned i = 0; i < sizeof(mtus) / sizeof(mtus[0]); i++) {
        struct link_opts line = scene_line(20000000, 40);
        struct scene s;
        struct cbr *c;

        line.mtu = mtus[i];
        start_up(&s, 1, &line, &(struct tunnel_opts){0});
        assert_in_range(edge_udp(&s), mtus[i] - 28 - 4, mtus[i] - 28);
        assert_in_range(s.t->at_hub.packet_max, mtus[i] - 28 - 34 - 4, mtus[i] - 28 - 33);
        c = tunnel_cbr(s.t, true,
                       &(struct cbr_opts){.payload_bytes = (unsigned)s.t->at_edge.packet_max - 28});
        cbr_start(c);
        sim_run_for(s.sim, 10 * NS_PER_S);
        assert_true(c->stats.tx - c->stats.rx <= 2); /* on their way */
        cbr_free(c);
        scene_done(&s);
    }
}

/* A search under way costs none of the packets that are sent meanwhile, though the interface that
 * refuses a probe refuses all that comes in one burst with it. Nor do those packets keep the search
 * from its end, though they take more than the whole congestion window. */
static void a_search_costs_no_packet(void **state)
{
    struct link_opts line = scene_line(50000000, 40);
    const struct cbr_opts flow = {.interval_ns = NS_PER_MS};
    uint64_t probes;
    struct cbr *c;
    struct scene s;

    line.mtu = 1400;
    line.uncut_bursts = true;
    start_up(&s, 1, &line, &(struct tunnel_opts){0});
    c = tunnel_cbr(s.t, true, &flow);
    sim_run_for(s.sim, PMTU_RAISE_NS - 2 * NS_PER_S);
    cbr_start(c);
    sim_run_for(s.sim, 6 * NS_PER_S);
    probes = link_stats(s.wan.up)->drop[LINK_DROP_MTU];
    assert_true(probes > 20);
    sim_run_for(s.sim, 14 * NS_PER_S);
    assert_int_equal(link_stats(s.wan.up)->drop[LINK_DROP_MTU], probes);
    assert_int_equal(tunnel_edge_lane(s.t).dgram_lost, 0);
    cbr_free(c);
    scene_done(&s);
}

/* 1500 -> 1400 -> 1280 -> 1500 under way. Each time the path shrinks large packets vanish in
 * silence; the tunnel notices, and small ones never stop. */
static void path_mtu_changes(void **state)
{
    struct link_opts line = scene_line(20000000, 40);
    struct cbr *small, *large;
    struct scene s;

    start_up(&s, 1, &line, &(struct tunnel_opts){0});
    assert_int_equal(edge_udp(&s), 1472);
    small = tunnel_cbr(s.t, true, &(struct cbr_opts){.payload_bytes = 200});
    large = tunnel_cbr(s.t, true, &(struct cbr_opts){.payload_bytes = 1400});
    cbr_start(small);
    cbr_start(large);
    sim_run_for(s.sim, 2 * NS_PER_S);

    set_mtu(&s, 1400);
    sim_run_for(s.sim, 8 * NS_PER_S);
    assert_in_range(edge_udp(&s), 1368, 1372);
    assert_in_range(s.t->at_edge.packet_max, 1330, 1340);

    set_mtu(&s, 1280);
    large->opts.payload_bytes = 1300; /* 1328: what the host sends after packet-too-big */
    sim_run_for(s.sim, 8 * NS_PER_S);
    assert_in_range(edge_udp(&s), 1248, 1252);
    assert_in_range(s.t->at_edge.packet_max, 1210, 1220);

    large->opts.payload_bytes = 1180;
    sim_run_for(s.sim, NS_PER_S);
    cbr_stats_reset(large);
    sim_run_for(s.sim, 10 * NS_PER_S);
    assert_true(large->stats.tx - large->stats.rx <= 2);

    set_mtu(&s, 1500);
    sim_run_for(s.sim, PMTU_RAISE_NS + 10 * NS_PER_S);
    assert_int_equal(edge_udp(&s), 1472);
    assert_int_equal(s.t->at_edge.downs, 0);
    assert_int_equal(s.t->at_hub.ups, 1);
    assert_true(small->stats.tx - small->stats.rx <= 2);
    assert_true(small->stats.gap_max_ns < 100 * NS_PER_MS);
    cbr_free(small);
    cbr_free(large);
    scene_done(&s);
}

/* A bulk transfer when the path shrinks: it goes on at full speed after a short pause, although
 * its own segments, now too large, are answered with packet-too-big by a tunnel that has
 * shrunk; here they are small enough from the start. */
static void transfer_survives_a_shrinking_path(void **state)
{
    for (int up = 0; up <= 1; up++) {
        struct link_opts line = scene_line(20000000, 40);
        struct tcp_opts o = {.mss = 1200};
        struct scene s;
        struct tcp *t;

        start_up(&s, 1, &line, &(struct tunnel_opts){0});
        t = tunnel_tcp(s.t, up, &o);
        tcp_start(t);
        sim_run_for(s.sim, 8 * NS_PER_S);
        set_mtu(&s, 1300);
        sim_run_for(s.sim, 10 * NS_PER_S);
        assert_true(tcp_goodput_between_bps(t, 4, 8) > 0.85 * 20e6);
        assert_true(tcp_goodput_between_bps(t, 12, 18) > 0.85 * 20e6);
        assert_int_equal(s.t->at_edge.downs, 0);
        tcp_free(t);
        scene_done(&s);
    }
}

/* Plain loss is no black hole: at 10 % the size stays, for a long time. */
static void loss_is_no_black_hole(void **state)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct link_opts line = scene_line(20000000, 40);
        struct scene s;
        struct cbr *c;
        unsigned changes;

        line.loss = 0.1;
        start_up(&s, seed, &line, &(struct tunnel_opts){0});
        assert_int_equal(edge_udp(&s), 1472);
        changes = s.t->at_edge.mtu_changes;
        c = tunnel_cbr(s.t, true, &(struct cbr_opts){.payload_bytes = 1400});
        cbr_start(c);
        sim_run_for(s.sim, 120 * NS_PER_S);
        assert_int_equal(edge_udp(&s), 1472);
        assert_int_equal(s.t->at_edge.mtu_changes, changes);
        cbr_free(c);
        scene_done(&s);
    }
}

/* --- throughput ------------------------------------------------------------------------ */

/* Goodput of one TCP flow, as a share of what headers inside and outside leave of the rate. */
static double tcp_share(bool up, enum quic_cc cc, double bdp)
{
    struct link_opts line = scene_line(100000000, 20);
    double ceiling, got;
    struct scene s;
    struct tcp *t;

    line.queue_bytes = (uint64_t)(bdp * 250000);
    start_up(&s, 1, &line, &(struct tunnel_opts){.cc = cc});
    t = tunnel_tcp(s.t, up, NULL);
    tcp_start(t);
    sim_run_for(s.sim, 12 * NS_PER_S);
    ceiling = 100e6 * (double)t->opts.mss / 1500;
    got = tcp_goodput_between_bps(t, 4, 12) / ceiling;
    assert_int_equal(s.t->at_edge.downs, 0);
    tcp_free(t);
    scene_done(&s);
    return got;
}

static void tcp_fills_a_clean_line(void **state)
{
    assert_true(tcp_share(true, QUIC_CC_CUBIC, 1) > 0.95);
    assert_true(tcp_share(true, QUIC_CC_CUBIC, 2) > 0.95);
    assert_true(tcp_share(false, QUIC_CC_CUBIC, 1) > 0.95);
    assert_true(tcp_share(false, QUIC_CC_BBR, 1) > 0.85);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reordering_loses_nothing),
        cmocka_unit_test(pings_through_thirty_percent_loss),
        cmocka_unit_test(damaged_datagrams),
        cmocka_unit_test(nat_rebinding),
        cmocka_unit_test(packets_that_come_from_elsewhere),
        cmocka_unit_test(finds_the_path_mtu),
        cmocka_unit_test(a_search_costs_no_packet),
        cmocka_unit_test(path_mtu_changes),
        cmocka_unit_test(transfer_survives_a_shrinking_path),
        cmocka_unit_test(loss_is_no_black_hole),
        cmocka_unit_test(tcp_fills_a_clean_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
