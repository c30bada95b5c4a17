/* A tunnel with the session extension, on good paths and bad ones. */
#include "scene.h"

#include <errno.h>

#include "base/util.h"

static const struct tunnel_opts packed = {.packed = true, .cc = QUIC_CC_BBR};

static void start_up(struct scene *s, uint64_t seed, const struct link_opts *line)
{
    scene_init(s, seed, line, line);
    scene_start(s, &packed);
    assert_true(tunnel_wait_up(s->t, 60 * NS_PER_S));
    sim_run_for(s->sim, 2 * NS_PER_S); /* the path MTU is known by then */
}

static struct session_stats edge_stats(const struct scene *s)
{
    struct session_stats st;

    session_stats_get(edge_session(s->t->edge), &st);
    return st;
}

/* Nothing is lost or late where the line loses nothing; with jitter that reorders nothing is there
 * twice either. */
static void a_good_line_loses_nothing(void **state)
{
    for (unsigned jitter_ms = 0; jitter_ms <= 20; jitter_ms += 10) {
        struct link_opts line = scene_line(50000000, 40);
        struct scene s;
        struct cbr *c;

        line.jitter_ns = jitter_ms * NS_PER_MS;
        line.reorder = jitter_ms;
        start_up(&s, 1, &line);
        c = tunnel_cbr(s.t, true, &(struct cbr_opts){.interval_ns = 5 * NS_PER_MS});
        cbr_start(c);
        sim_run_for(s.sim, 30 * NS_PER_S);
        cbr_stop(c);
        sim_run_for(s.sim, NS_PER_S);
        assert_int_equal(c->stats.tx, 6001);
        assert_int_equal(c->stats.rx, 6001);
        assert_int_equal(c->stats.duplicated, 0);
        assert_true(hist_quantile_ns(&c->stats.delay, 0.99) < (22 + jitter_ms) * NS_PER_MS);
        cbr_free(c);
        scene_done(&s);
    }
}

/* A packet of any size crosses a path that is narrower than it. */
static void packets_larger_than_the_path(void **state)
{
    struct link_opts line = scene_line(50000000, 20);
    struct scene s;
    struct cbr *c;

    scene_init(&s, 1, &line, &line);
    link_set_mtu(s.wan.up, 1300);
    link_set_mtu(s.wan.down, 1300);
    scene_start(&s, &packed);
    assert_true(tunnel_wait_up(s.t, 60 * NS_PER_S));
    for (unsigned payload = 1000; payload <= 1472; payload += 59) {
        c = tunnel_cbr(s.t, true, &(struct cbr_opts){.payload_bytes = payload});
        cbr_start(c);
        sim_run_for(s.sim, 2 * NS_PER_S);
        cbr_stop(c);
        sim_run_for(s.sim, NS_PER_S);
        assert_int_equal(c->stats.rx, c->stats.tx);
        assert_int_equal(c->stats.rx_bad, 0);
        cbr_free(c);
    }
    scene_done(&s);
}

/* What is lost is sent again while it is useful: 50 packets a second over a line that loses 2 %. */
static void a_call_over_a_lossy_line(void **state)
{
    uint64_t tx = 0, rx = 0;

    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct link_opts line = scene_line(20000000, 30);
        struct scene s;
        struct cbr *c;

        line.loss = 0.02;
        start_up(&s, seed, &line);
        c = tunnel_cbr(s.t, true, NULL);
        cbr_start(c);
        sim_run_for(s.sim, 100 * NS_PER_S);
        cbr_stop(c);
        sim_run_for(s.sim, NS_PER_S);
        tx += c->stats.tx;
        rx += c->stats.rx;
        assert_int_equal(c->stats.duplicated, 0);
        assert_true(edge_stats(&s).again > 0);
        cbr_free(c);
        scene_done(&s);
    }
    print_message("2 %% loss: %llu of %llu packets lost\n", (unsigned long long)(tx - rx),
                  (unsigned long long)tx);
    assert_true((double)(tx - rx) / (double)tx < 0.001);
}

static void restart_hub(struct tunnel *t)
{
    tunnel_kill_hub(t);
    sim_run_for(t->sim, NS_PER_S);
    tunnel_start_hub(t, true);
}

static uint64_t lost_downwards(struct scene *s)
{
    struct cbr *c = tunnel_cbr(s->t, false, NULL);
    uint64_t lost;

    cbr_start(c);
    sim_run_for(s->sim, 40 * NS_PER_S);
    cbr_stop(c);
    sim_run_for(s->sim, NS_PER_S);
    lost = c->stats.tx - c->stats.rx;
    cbr_free(c);
    return lost;
}

/* The edge tells that UDP to its port 5000 is not to be sent again: the hub heeds it, for that flow
 * alone, on the next connection too, and until the edge says otherwise. */
static void the_hub_heeds_the_edges_classes(void **state)
{
    static struct class_table table = {.serial = 1,
                                       .n_rules = 1,
                                       .rule = {{.class = 2,
                                                 .proto = 17,
                                                 .dscp = CLASS_DSCP_ANY,
                                                 .client_from = 5000,
                                                 .client_to = 5000,
                                                 .server_to = UINT16_MAX}}};
    struct link_opts line = scene_line(20000000, 30);
    struct scene s;

    line.loss = 0.02;
    start_up(&s, 1, &line);
    s.t->next_port = 5000;
    assert_int_equal(lost_downwards(&s), 0);
    assert_int_equal(edge_set_classes(s.t->edge, &table), 0);
    sim_run_for(s.sim, NS_PER_S);
    for (unsigned round = 0; round < 2; round++) {
        s.t->next_port = 5000;
        assert_in_range(lost_downwards(&s), 20, 60); /* of 2000 */
        assert_int_equal(lost_downwards(&s), 0);     /* port 5001 */
        if (round == 0)
            restart_hub(s.t);
        sim_run_for(s.sim, 5 * NS_PER_S);
    }
    table.serial = 0;
    assert_int_equal(edge_set_classes(s.t->edge, &table), -ESTALE);
    table = (struct class_table){.serial = 2};
    assert_int_equal(edge_set_classes(s.t->edge, &table), 0);
    sim_run_for(s.sim, NS_PER_S);
    s.t->next_port = 5000;
    assert_int_equal(lost_downwards(&s), 0);
    scene_done(&s);
}

/* One TCP flow over a line that loses: its sender sees no loss. */
static double tcp_share(double loss, bool is_packed)
{
    struct link_opts line = scene_line(50000000, 30);
    struct tunnel_opts o = packed;
    struct scene s;
    struct tcp *tcp;
    double share;

    line.loss = loss;
    line.queue_bytes = 50000000 / 8 * 40 / 1000;
    o.packed = is_packed;
    scene_init(&s, 1, &line, &line);
    scene_start(&s, &o);
    assert_true(tunnel_wait_up(s.t, 60 * NS_PER_S));
    sim_run_for(s.sim, 2 * NS_PER_S);
    tcp = tunnel_tcp(s.t, true, NULL);
    tcp_start(tcp);
    sim_run_for(s.sim, 5 * NS_PER_S);
    tcp_stats_reset(tcp);
    sim_run_for(s.sim, 20 * NS_PER_S);
    assert_int_equal(tcp->stats.rx_bad, 0);
    share = (double)tcp->stats.delivered_bytes * 8 / 20 / 50e6;
    print_message(
        "%g %% loss, %s: %.3f of the line, %llu retransmits, again %llu, gone %llu\n", loss * 100,
        is_packed ? "packed" : "plain", share, (unsigned long long)tcp->stats.retransmits,
        (unsigned long long)edge_stats(&s).again, (unsigned long long)edge_stats(&s).gone);
    tcp_free(tcp);
    scene_done(&s);
    return share;
}

static void tcp_over_a_lossy_line(void **state)
{
    assert_true(tcp_share(0, true) > 0.80);
    assert_true(tcp_share(0.01, true) > 5 * tcp_share(0.01, false));
}

static void restart_edge(struct tunnel *t)
{
    tunnel_kill_edge(t);
    sim_run_for(t->sim, NS_PER_S);
    tunnel_start_edge(t);
}

/* A hub that was restarted knows nothing of the session, and takes that of an edge that was for
 * another one; TCP goes on all the same. */
static void a_restarted_end_begins_anew(void **state)
{
    void (*const restart[])(struct tunnel * t) = {restart_hub, restart_edge};

    for (unsigned i = 0; i < ARRAY_LEN(restart); i++) {
        struct link_opts line = scene_line(20000000, 30);
        struct scene s;
        struct tcp *tcp;

        start_up(&s, 1, &line);
        tcp = tunnel_tcp(s.t, true, NULL);
        tcp_start(tcp);
        sim_run_for(s.sim, 5 * NS_PER_S);
        restart[i](s.t);
        sim_run_for(s.sim, 10 * NS_PER_S);
        tcp_stats_reset(tcp);
        sim_run_for(s.sim, 5 * NS_PER_S);
        assert_true(tcp->stats.delivered_bytes * 8 > (uint64_t)(0.7 * 5 * 20e6));
        assert_int_equal(tcp->stats.rx_bad, 0);
        tcp_free(tcp);
        scene_done(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_line_loses_nothing),
        cmocka_unit_test(packets_larger_than_the_path),
        cmocka_unit_test(a_call_over_a_lossy_line),
        cmocka_unit_test(the_hub_heeds_the_edges_classes),
        cmocka_unit_test(tcp_over_a_lossy_line),
        cmocka_unit_test(a_restarted_end_begins_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
