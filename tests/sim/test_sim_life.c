/* Peers that die, sleep, return, and are turned away. */
#include "scene.h"

#include <string.h>

#include "base/util.h"

static void start_up(struct scene *s, const struct tunnel_opts *opts)
{
    struct link_opts line = scene_line(20000000, 40);

    scene_init(s, 1, &line, &line);
    scene_start(s, opts);
    assert_true(tunnel_wait_up(s->t, 10 * NS_PER_S));
}

static bool edge_is_up_again(void *user)
{
    const struct scene *s = user;

    return s->t->at_edge.ups == 2 && s->t->at_hub.packet_max;
}

/* --- restarts -------------------------------------------------------------------------- */

/* The hub's process is gone and a new one there, with the same secret: the first packet that the
 * edge sends is answered with a stateless reset, and it connects anew. */
static void hub_restart_with_same_secret(void **state)
{
    struct scene s;
    uint64_t at;
    struct cbr *c;

    start_up(&s, &(struct tunnel_opts){0});
    c = tunnel_cbr(s.t, true, NULL);
    cbr_start(c);
    sim_run_for(s.sim, 5 * NS_PER_S);
    at = s.sim->now_ns;
    tunnel_kill_hub(s.t);
    tunnel_start_hub(s.t, true);
    sim_run_for(s.sim, 100 * NS_PER_MS);
    assert_int_equal(s.t->at_edge.downs, 1); /* a round trip after the next packet */
    assert_true(s.t->at_edge.down_ns - at < 80 * NS_PER_MS);
    assert_true(sim_run_cond(s.sim, 3 * NS_PER_S, edge_is_up_again, &s));
    assert_true(s.t->at_edge.up_ns - at < NS_PER_S);
    cbr_stats_reset(c);
    sim_run_for(s.sim, 10 * NS_PER_S);
    assert_true(c->stats.tx - c->stats.rx <= 2);
    cbr_free(c);
    scene_done(&s);
}

/* The same without traffic: the keepalive is the packet that is answered. */
static void hub_restart_while_idle(void **state)
{
    struct scene s;

    start_up(&s, &(struct tunnel_opts){0});
    sim_run_for(s.sim, 60 * NS_PER_S);
    tunnel_kill_hub(s.t);
    tunnel_start_hub(s.t, true);
    assert_true(sim_run_cond(s.sim, 12 * NS_PER_S, edge_is_up_again, &s));
    scene_done(&s);
}

/* With another secret the edge cannot know: the idle timeout tells. */
static void hub_restart_with_other_secret(void **state)
{
    struct scene s;
    uint64_t at;

    start_up(&s, &(struct tunnel_opts){0});
    at = s.sim->now_ns;
    tunnel_kill_hub(s.t);
    tunnel_start_hub(s.t, false);
    assert_true(sim_run_cond(s.sim, 60 * NS_PER_S, edge_is_up_again, &s));
    assert_true(s.t->at_edge.down_ns - at > 15 * NS_PER_S);
    assert_true(s.t->at_edge.down_ns - at < 45 * NS_PER_S);
    scene_done(&s);
}

/* The edge's process is killed and started: it takes its own place over at once, and what the hub
 * sends goes to the new one. */
static void edge_restart_takes_over(void **state)
{
    struct scene s;
    struct cbr *down;
    uint64_t at;

    start_up(&s, &(struct tunnel_opts){0});
    down = tunnel_cbr(s.t, false, NULL);
    cbr_start(down);
    sim_run_for(s.sim, 5 * NS_PER_S);
    for (unsigned i = 1; i <= 5; i++) {
        tunnel_kill_edge(s.t);
        sim_run_for(s.sim, NS_PER_S);
        at = s.sim->now_ns;
        tunnel_start_edge(s.t);
        sim_run_for(s.sim, NS_PER_S);
        assert_int_equal(s.t->at_hub.ups, 1 + i);
        assert_int_equal(s.t->at_hub.downs, i);
        assert_true(s.t->at_hub.up_ns - at < 300 * NS_PER_MS);
        cbr_stats_reset(down);
        sim_run_for(s.sim, 5 * NS_PER_S);
        assert_true(down->stats.tx - down->stats.rx <= 2);
    }
    cbr_free(down);
    scene_done(&s);
}

/* An orderly end of the edge: the hub knows after half a round trip. */
static void edge_says_goodbye(void **state)
{
    struct scene s;
    uint64_t at;

    start_up(&s, &(struct tunnel_opts){0});
    at = s.sim->now_ns;
    edge_shutdown(s.t->edge, s.sim->now_ns);
    host_pump(s.t->edge_host);
    sim_run_for(s.sim, NS_PER_S);
    assert_int_equal(s.t->at_hub.downs, 1);
    assert_true(s.t->at_hub.down_ns - at < 25 * NS_PER_MS);
    scene_done(&s);
}

/* --- silence --------------------------------------------------------------------------- */

/* Ten minutes without a packet: keepalives hold the tunnel, at a handful of datagrams a minute. */
static void keepalive_holds_an_idle_tunnel(void **state)
{
    struct scene s;
    uint64_t tx, rx;

    start_up(&s, &(struct tunnel_opts){0});
    sim_run_for(s.sim, 10 * NS_PER_S);
    tx = s.t->edge_host->tx_dgrams;
    rx = s.t->edge_host->rx_dgrams;
    sim_run_for(s.sim, 600 * NS_PER_S);
    assert_int_equal(s.t->at_edge.downs, 0);
    assert_int_equal(s.t->at_hub.downs, 0);
    assert_in_range(s.t->edge_host->tx_dgrams - tx, 60, 260);
    assert_in_range(s.t->edge_host->rx_dgrams - rx, 60, 260);
    scene_done(&s);
}

/* A silent outage shorter than the idle timeout: the tunnel lives on, and probes show soon that the
 * way is back; a second later nothing is missing. */
static void short_outage_is_survived(void **state)
{
    static const unsigned seconds[] = {1, 3, 10, 15};

    for (unsigned i = 0; i < 4 * ARRAY_LEN(seconds); i++) {
        struct tunnel_opts o = {.packed = i & 1, .cc = i & 2 ? QUIC_CC_BBR : QUIC_CC_CUBIC};
        struct cbr *up, *down;
        struct scene s;

        start_up(&s, &o);
        up = tunnel_cbr(s.t, true, NULL);
        down = tunnel_cbr(s.t, false, NULL);
        cbr_start(up);
        cbr_start(down);
        sim_run_for(s.sim, 5 * NS_PER_S);
        link_set_on(s.wan.up, false);
        link_set_on(s.wan.down, false);
        sim_run_for(s.sim, seconds[i / 4] * NS_PER_S + i * 61 * NS_PER_MS);
        link_set_on(s.wan.up, true);
        link_set_on(s.wan.down, true);
        sim_run_for(s.sim, NS_PER_S);
        cbr_stats_reset(up);
        cbr_stats_reset(down);
        sim_run_for(s.sim, 10 * NS_PER_S);
        assert_int_equal(s.t->at_edge.downs, 0);
        assert_in_range(up->stats.rx, 499, 501);
        assert_in_range(down->stats.rx, 499, 501);
        assert_true(hist_quantile_ns(&up->stats.delay, 0.99) < 22 * NS_PER_MS);
        assert_true(hist_quantile_ns(&down->stats.delay, 0.99) < 22 * NS_PER_MS);
        cbr_free(up);
        cbr_free(down);
        scene_done(&s);
    }
}

/* A long one: both ends give up at the idle timeout, and the edge is back soon after the line. */
static void long_outage_ends_and_heals(void **state)
{
    struct quic_endpoint_opts q = {.idle_timeout_ns = 20 * NS_PER_S, .keepalive_ns = 5 * NS_PER_S};
    struct scene s;
    uint64_t at;

    start_up(&s, &(struct tunnel_opts){.edge = &q, .hub = &q});
    at = s.sim->now_ns;
    link_set_on(s.wan.up, false);
    link_set_on(s.wan.down, false);
    sim_run_for(s.sim, 180 * NS_PER_S);
    assert_true(s.t->at_edge.downs >= 2); /* the tunnel, then attempts */
    assert_int_equal(s.t->at_edge.ups, 1);
    assert_int_equal(s.t->at_hub.downs, 1);
    assert_true(s.t->at_hub.down_ns - at >= 15 * NS_PER_S);
    assert_true(s.t->at_hub.down_ns - at <= 30 * NS_PER_S);
    link_set_on(s.wan.up, true);
    link_set_on(s.wan.down, true);
    assert_true(sim_run_cond(s.sim, 31 * NS_PER_S, edge_is_up_again, &s));
    scene_done(&s);
}

/* --- refusals -------------------------------------------------------------------------- */

/* The edge does not trust the hub: it says so once and stays away. */
static void edge_refuses_the_hub(void **state)
{
    static const enum quic_fail why[] = {QUIC_FAIL_CERT_UNTRUSTED, QUIC_FAIL_CERT_EXPIRED,
                                         QUIC_FAIL_CERT_NAME};

    for (unsigned i = 0; i < ARRAY_LEN(why); i++) {
        struct link_opts line = scene_line(20000000, 40);
        struct scene s;

        scene_init(&s, 1, &line, &line);
        scene_start(&s, &(struct tunnel_opts){0});
        s.t->tls_edge.refuse = why[i];
        sim_run_for(s.sim, 300 * NS_PER_S);
        assert_true(s.t->has_failed);
        assert_int_equal(s.t->failure.quic.fail, why[i]);
        assert_int_equal(edge_state(s.t->edge), EDGE_FAILED);
        assert_int_equal(s.t->tls_edge.sessions, 1); /* no retry */
        assert_int_equal(s.t->at_hub.ups, 0);
        scene_done(&s);
    }
}

/* The hub does not take the edge's certificate: in TLS 1.3 the edge believes to be connected until
 * the alert comes. It must not try again. */
static void hub_refuses_the_edge(void **state)
{
    struct link_opts line = scene_line(20000000, 40);
    struct scene s;

    scene_init(&s, 1, &line, &line);
    scene_start(&s, &(struct tunnel_opts){0});
    s.t->tls_hub.refuse = QUIC_FAIL_CLIENT_UNKNOWN;
    sim_run_for(s.sim, 300 * NS_PER_S);
    assert_true(s.t->has_failed);
    assert_int_equal(s.t->failure.quic.fail, QUIC_FAIL_REJECTED);
    assert_int_equal(s.t->tls_edge.sessions, 1);
    assert_int_equal(s.t->at_hub.ups, 0);
    assert_int_equal(s.t->at_hub.refused, 1);
    scene_done(&s);
}

/* Somebody else has the hub's one tunnel: the second edge waits with pauses and has it when the
 * first has gone. */
static void second_edge_waits_its_turn(void **state)
{
    struct scene s;
    struct tunnel_opts o = {.name = "second", .number = 2};
    struct tunnel *second;
    unsigned refused;

    start_up(&s, &(struct tunnel_opts){0});
    second = tunnel_new(&s.wan, &o);
    tunnel_kill_edge(second);
    second->hub_addr = s.t->hub_addr; /* to the first one's hub */
    second->tls_edge.name = "other.example";
    tunnel_start_edge(second);
    sim_run_for(s.sim, 60 * NS_PER_S);
    refused = s.t->at_hub.refused;
    assert_in_range(refused, 3, 20);
    assert_int_equal(second->at_edge.ups, 0);
    assert_int_equal(s.t->at_edge.downs, 0);
    assert_int_equal(s.t->at_hub.ups, 1);
    edge_shutdown(s.t->edge, s.sim->now_ns);
    host_pump(s.t->edge_host);
    sim_run_for(s.sim, 25 * NS_PER_S);
    assert_int_equal(second->at_edge.ups, 1);
    assert_int_equal(s.t->at_hub.ups, 2);
    tunnel_free(second);
    scene_done(&s);
}

/* --- junk ------------------------------------------------------------------------------ */

struct junk {
    struct scene *s;
    struct rng rng;
    uint64_t left;
};

/* Random bytes, headers that look like QUIC, and true datagrams replayed with changes. */
static void throw_junk(void *user)
{
    struct junk *j = user;
    struct sim *sim = j->s->sim;
    struct sim_dgram *d = sim_dgram_new(sim, rng_below(&j->rng, 1500));

    rng_bytes(&j->rng, d->data, d->len);
    if (d->len > 5 && rng_below(&j->rng, 2)) {
        static const uint8_t version1[] = {0, 0, 0, 1};

        d->data[0] = (uint8_t)(0xc0 | rng_below(&j->rng, 64));
        memcpy(d->data + 1, version1, 4);
        if (d->len > 6)
            d->data[5] = (uint8_t)rng_below(&j->rng, 24);
    }
    d->src = net_addr_lit("198.51.100.7", (uint16_t)(1024 + rng_below(&j->rng, 60000)));
    d->dst = rng_below(&j->rng, 2) ? j->s->t->hub_addr : j->s->t->edge_addr;
    d->overhead = 28;
    if (net_addr_equal(&d->dst, &j->s->t->hub_addr))
        j->s->wan.at_hub.sink.put(&j->s->wan.at_hub.sink, d);
    else
        j->s->wan.at_edge.sink.put(&j->s->wan.at_edge.sink, d);
    if (--j->left)
        sim_call(sim, NS_PER_MS, throw_junk, j);
}

/* A stranger throws datagrams at both ends: the tunnel does not notice, and the hub answers less
 * than it gets. */
static void junk_from_strangers(void **state)
{
    struct scene s;
    struct junk j = {.s = &s, .left = 20000};
    struct cbr *c;

    start_up(&s, &(struct tunnel_opts){0});
    sim_rng(s.sim, "junk", &j.rng);
    c = tunnel_cbr(s.t, true, NULL);
    cbr_start(c);
    throw_junk(&j);
    sim_run_for(s.sim, 25 * NS_PER_S);
    assert_true(c->stats.tx - c->stats.rx <= 2);
    assert_int_equal(s.t->at_edge.downs, 0);
    assert_int_equal(s.t->at_hub.ups, 1);
    assert_true(s.t->hub_host->drops.n[DROP_NOT_QUIC] > 5000);
    assert_true(s.t->edge_host->drops.n[DROP_NOT_QUIC] > 4000);
    assert_true(s.wan.at_edge.unroutable < 200 * 20 + 400); /* answers to the stranger */
    cbr_free(c);
    scene_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hub_restart_with_same_secret),
        cmocka_unit_test(hub_restart_while_idle),
        cmocka_unit_test(hub_restart_with_other_secret),
        cmocka_unit_test(edge_restart_takes_over),
        cmocka_unit_test(edge_says_goodbye),
        cmocka_unit_test(keepalive_holds_an_idle_tunnel),
        cmocka_unit_test(short_outage_is_survived),
        cmocka_unit_test(long_outage_ends_and_heals),
        cmocka_unit_test(edge_refuses_the_hub),
        cmocka_unit_test(hub_refuses_the_edge),
        cmocka_unit_test(second_edge_waits_its_turn),
        cmocka_unit_test(junk_from_strangers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
