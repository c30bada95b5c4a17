/* Tunnels come up although datagrams of the handshake are lost. */
#include "scene.h"

#include <stdio.h>
#include <stdlib.h>

/* Drop the datagrams with these numbers, of those that pass. */
struct killer {
    unsigned from, count, seen;
};

static bool kill(void *user, const struct sim_dgram *d)
{
    struct killer *k = user;
    unsigned i = k->seen++;

    return i >= k->from && i < k->from + k->count;
}

/* Seconds until the tunnel was up at both ends, with datagrams [from, from + count) lost. */
static double up_with_lost(unsigned up_from, unsigned up_count, unsigned down_from,
                           unsigned down_count)
{
    struct killer up = {.from = up_from, .count = up_count};
    struct killer down = {.from = down_from, .count = down_count};
    struct link_opts line = scene_line(20000000, 40);
    struct scene s;
    double at;

    scene_init(&s, 1, &line, &line);
    link_set_filter(s.wan.up, kill, &up);
    link_set_filter(s.wan.down, kill, &down);
    scene_start(&s, &(struct tunnel_opts){0});
    assert_true(tunnel_wait_up(s.t, 30 * NS_PER_S));
    assert_int_equal(s.t->at_edge.ups, 1);
    assert_int_equal(s.t->at_edge.downs, 0); /* on the first connection */
    assert_int_equal(s.t->at_hub.ups, 1);
    at = sim_seconds(s.sim);
    scene_done(&s);
    return at;
}

/* Hello, certificates, request and path MTU probes: some round trips of 40 ms. */
static void without_loss(void **state)
{
    double at = up_with_lost(0, 0, 0, 0);

    assert_true(at >= 0.120);
    assert_true(at <= 0.400);
}

/* Any single datagram of the first twelve each way costs at most a second or so. */
static void any_single_loss(void **state)
{
    for (unsigned i = 0; i < 12; i++) {
        assert_true(up_with_lost(i, 1, 0, 0) < 2.5);
        assert_true(up_with_lost(0, 0, i, 1) < 2.5);
        assert_true(up_with_lost(i, 1, i, 1) < 4);
    }
}

/* Whole flights: the client's first two or three hellos; the server's flight, twice. */
static void whole_flights_lost(void **state)
{
    assert_true(up_with_lost(0, 2, 0, 0) < 5);
    assert_true(up_with_lost(0, 3, 0, 0) < 8);
    assert_true(up_with_lost(0, 0, 0, 3) < 5);
    assert_true(up_with_lost(0, 0, 0, 6) < 9);
    assert_true(up_with_lost(1, 3, 0, 0) < 9);
    assert_true(up_with_lost(1, 2, 3, 3) < 9);
}

/* 30 % random loss both ways: every seed comes up, half of them within five seconds, and what is
 * up stays up. */
static void thirty_percent_loss(void **state)
{
    enum { SEEDS = 60 };
    struct link_opts line = scene_line(20000000, 40);
    unsigned quick = 0;

    line.loss = 0.3;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct scene s;

        scene_init(&s, seed, &line, &line);
        scene_start(&s, &(struct tunnel_opts){0});
        assert_true(tunnel_wait_up(s.t, 90 * NS_PER_S));
        quick += sim_seconds(s.sim) < 5;
        scene_done(&s);
    }
    assert_true(quick >= SEEDS / 2);
}

/* The edge comes first and long before its hub. */
static void hub_comes_later(void **state)
{
    struct link_opts line = scene_line(20000000, 40);
    struct scene s;

    scene_init(&s, 1, &line, &line);
    scene_start(&s, &(struct tunnel_opts){0});
    tunnel_kill_hub(s.t);
    sim_run_for(s.sim, 120 * NS_PER_S);
    assert_int_equal(s.t->at_edge.ups, 0);
    assert_in_range(s.t->at_edge.downs, 4, 12); /* an attempt takes 10 s, and pauses grow */
    tunnel_start_hub(s.t, true);
    assert_true(tunnel_wait_up(s.t, 31 * NS_PER_S)); /* a pause is at most 20 s */
    scene_done(&s);
}

/* --- the whole product, twice ---------------------------------------------------------- */

/* Five seconds with a transfer. The hole makes memory lie elsewhere. */
static uint64_t trace_of_tunnel(size_t hole_bytes)
{
    struct link_opts line = scene_line(20000000, 40);
    void *hole = malloc(hole_bytes);
    struct scene s;
    struct tcp *tcp;
    uint64_t trace;

    line.loss = 0.02;
    line.jitter_ns = 5 * NS_PER_MS;
    scene_init(&s, 7, &line, &line);
    scene_start(&s, &(struct tunnel_opts){.cc = QUIC_CC_BBR});
    assert_true(tunnel_wait_up(s.t, 30 * NS_PER_S));
    tcp = tunnel_tcp(s.t, true, NULL);
    tcp_start(tcp);
    sim_run_for(s.sim, 5 * NS_PER_S);
    assert_true(tcp->stats.delivered_bytes > 100000);
    trace = s.sim->trace;
    tcp_free(tcp);
    scene_done(&s);
    free(hole);
    return trace;
}

static const char *self;

static uint64_t trace_of_child(void)
{
    char cmd[512], line[64];
    FILE *f;

    snprintf(cmd, sizeof(cmd), "%s trace", self);
    f = popen(cmd, "r");
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof(line), f));
    assert_int_equal(pclose(f), 0);
    return strtoull(line, NULL, 16);
}

static void tunnel_is_deterministic(void **state)
{
    uint64_t here = trace_of_tunnel(1000);

    assert_true(trace_of_tunnel(100000) == here);
    assert_true(trace_of_child() == here);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_loss),       cmocka_unit_test(any_single_loss),
        cmocka_unit_test(whole_flights_lost), cmocka_unit_test(thirty_percent_loss),
        cmocka_unit_test(hub_comes_later),    cmocka_unit_test(tunnel_is_deterministic),
    };

    self = argv[0];
    if (argc > 1) {
        printf("%llx\n", (unsigned long long)trace_of_tunnel(77));
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
