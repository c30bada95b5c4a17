/* Other paths, and another policy, while the session runs over them; and its end. */
#include "scene.h"

#include <errno.h>

#include "base/util.h"

enum { LINES = 3 };

static const struct treatment usual = {.policy = BOND_AGGREGATE};

/* One tunnel over up to three lines of 10 Mbit/s and 30 ms. */
struct world {
    struct sim *sim;
    struct wan wan[LINES];
    struct tunnel *t;
    struct cbr *up, *down;
};

/* on: a bit for each path that has an address at first. */
static void start(struct world *w, uint64_t seed, enum bond_policy policy, unsigned on)
{
    static const struct link_opts line = {
        .rate_bps = 10000000, .delay_ns = 15 * NS_PER_MS, .queue_bytes = 50000};
    struct tunnel_opts o = {.packed = true,
                            .cc = QUIC_CC_BBR,
                            .lanes = 4,
                            .n_pkts = 8192,
                            .policy = policy,
                            .off = ~on & 7,
                            .n_more = LINES - 1};
    char name[16];

    *w = (struct world){.sim = sim_new(seed)};
    for (unsigned i = 0; i < LINES; i++) {
        snprintf(name, sizeof(name), "wan%u", i);
        wan_init(&w->wan[i], w->sim, name, &line, &line);
        if (i)
            o.more[i - 1] = &w->wan[i];
    }
    w->t = tunnel_new(&w->wan[0], &o);
    assert_true(tunnel_wait_up(w->t, 60 * NS_PER_S));
    sim_run_for(w->sim, 2 * NS_PER_S);
    w->up = tunnel_cbr(w->t, true, NULL);
    w->down = tunnel_cbr(w->t, false, NULL);
    cbr_start(w->up);
    cbr_start(w->down);
    sim_run_for(w->sim, NS_PER_S);
}

static void stop_calls(struct world *w)
{
    cbr_stop(w->up);
    cbr_stop(w->down);
    sim_run_for(w->sim, NS_PER_S);
}

static void done(struct world *w)
{
    cbr_free(w->up);
    cbr_free(w->down);
    tunnel_free(w->t);
    for (unsigned i = 0; i < LINES; i++)
        wan_done(&w->wan[i]);
    sim_free(w->sim);
}

/* Nothing was lost, doubled or late, either way. */
static void assert_undisturbed(const struct world *w)
{
    const struct cbr_stats *const both[] = {&w->up->stats, &w->down->stats};

    for (unsigned i = 0; i < 2; i++) {
        assert_true(both[i]->tx > 100);
        assert_int_equal(both[i]->rx, both[i]->tx);
        assert_int_equal(both[i]->duplicated, 0);
        assert_true(both[i]->gap_max_ns <= 60 * NS_PER_MS);
    }
    assert_int_equal(w->t->at_edge.downs, 0);
    assert_int_equal(w->t->at_hub.ups, 1);
    assert_int_equal(w->t->at_hub.downs, 0);
}

/* From now on these; what is new gets its address at once. */
static void change(struct world *w, unsigned *number, const struct edge_path_opts *paths,
                   unsigned n, enum bond_policy policy)
{
    static const struct edge_path_opts equal[LINES] = {{.weight = 1}, {.weight = 1}, {.weight = 1}};
    struct treatment treatment = {.policy = policy};
    uint32_t fresh = 0;

    for (unsigned i = 0; i < n; i++)
        fresh |= (uint32_t)(number[i] == EDGE_PATH_NEW) << i;
    assert_int_equal(
        edge_set_paths(w->t->edge, w->sim->now_ns, paths ? paths : equal, number, n, &treatment),
        0);
    for (unsigned i = 0; i < n; i++)
        if (fresh >> i & 1)
            tunnel_set_path(w->t, number[i], true);
    host_pump(w->t->edge_host);
}

static unsigned hub_paths(const struct world *w)
{
    struct hub_path_info v[MASQUE_PATHS_MAX];

    return hub_peer_paths(w->t->hub, 0, v);
}

static uint64_t carried(const struct world *w, unsigned i)
{
    return link_stats(w->wan[i].up)->out_bytes + link_stats(w->wan[i].down)->out_bytes;
}

/* Bytes that line i carries both ways in a second. */
static uint64_t carries(struct world *w, unsigned i)
{
    uint64_t before = carried(w, i);

    sim_run_for(w->sim, NS_PER_S);
    return carried(w, i) - before;
}

/* Two calls are more than 20 kB/s; what the ends report to each other goes over any path. */
static bool is_idle(struct world *w, unsigned i)
{
    return carries(w, i) < 15000;
}

static void paths_come_and_go_under_calls_and_transfers(enum bond_policy policy)
{
    unsigned first[] = {0, 1}, later[] = {1, EDGE_PATH_NEW}, again[] = {EDGE_PATH_NEW, 2};
    struct tcp *tcp[2];
    struct world w;

    start(&w, 1, policy, 3);
    for (unsigned i = 0; i < 2; i++) {
        tcp[i] = tunnel_tcp(w.t, i, NULL);
        tcp_start(tcp[i]);
    }
    sim_run_for(w.sim, 5 * NS_PER_S);
    change(&w, first, NULL, 2, policy); /* without the third, which was never up */
    assert_int_equal(w.t->paths_gone, 1);
    assert_false(edge_has_path(w.t->edge, 2));
    change(&w, later, NULL, 2, policy);
    assert_int_equal(later[1], 2);
    assert_false(edge_has_path(w.t->edge, 0));
    sim_run_for(w.sim, 10 * NS_PER_S);
    assert_int_equal(w.t->paths_gone, 2);
    assert_true(is_idle(&w, 0));
    assert_int_equal(hub_paths(&w), 2);
    change(&w, again, NULL, 2, policy);
    assert_int_equal(again[0], 0); /* the number that had become free */
    sim_run_for(w.sim, 10 * NS_PER_S);
    assert_true(is_idle(&w, 1));
    assert_int_equal(w.t->paths_gone, 3);
    assert_true(edge_lanes(w.t->edge, 0));
    assert_int_equal(hub_paths(&w), 2);
    stop_calls(&w);
    for (unsigned i = 0; i < 2; i++) {
        const struct cbr_stats *c = i ? &w.up->stats : &w.down->stats;

        print_message("%s: %llu of %llu, longest gap %.0f ms; tcp %.1f MB, %llu retransmits\n",
                      i ? "up" : "down", (unsigned long long)c->rx, (unsigned long long)c->tx,
                      (double)c->gap_max_ns / 1e6, (double)tcp[i]->stats.delivered_bytes / 1e6,
                      (unsigned long long)tcp[i]->stats.retransmits);
        assert_int_equal(c->rx, c->tx);
        assert_int_equal(c->duplicated, 0);
        assert_int_equal(tcp[i]->stats.rx_bad, 0);
        tcp_free(tcp[i]);
    }
    assert_int_equal(w.t->at_edge.downs, 0);
    assert_int_equal(w.t->at_hub.ups, 1);
    done(&w);
}

static void paths_come_and_go(void **state)
{
    for (unsigned policy = 0; policy < BOND_POLICIES; policy++)
        if (policy != BOND_PIN)
            paths_come_and_go_under_calls_and_transfers(policy);
}

static enum path_trouble trouble_of(const struct world *w, unsigned path)
{
    struct edge_path_info info;

    edge_path_info(w->t->edge, path, &info);
    return info.trouble;
}

/* What one path has lost says nothing of the next one with its number. */
static void a_number_is_lent_without_its_past(void **state)
{
    unsigned without[] = {1, 2}, again[] = {EDGE_PATH_NEW, 1, 2};
    struct world w;

    start(&w, 12, BOND_AGGREGATE, 7);
    link_set_loss(w.wan[0].up, 0.4);
    for (unsigned i = 0; i < 20 && trouble_of(&w, 0) == TROUBLE_NONE; i++)
        sim_run_for(w.sim, NS_PER_S);
    assert_int_equal(trouble_of(&w, 0), TROUBLE_LOSSY);
    change(&w, without, NULL, 2, BOND_AGGREGATE);
    sim_run_for(w.sim, 10 * NS_PER_S);
    assert_int_equal(w.t->paths_gone, 1);
    link_set_loss(w.wan[0].up, 0);
    change(&w, again, NULL, 3, BOND_AGGREGATE);
    assert_int_equal(again[0], 0);
    sim_run_for(w.sim, 200 * NS_PER_MS);
    assert_true(edge_lanes(w.t->edge, 0));
    assert_int_equal(trouble_of(&w, 0), TROUBLE_NONE);
    done(&w);
}

/* The only path stays until its successor works, and the calls notice nothing. */
static void the_only_path_waits_for_its_successor(void **state)
{
    unsigned number[] = {EDGE_PATH_NEW}, first[] = {0};
    struct world w;

    start(&w, 2, BOND_AGGREGATE, 1);
    change(&w, first, NULL, 1, BOND_AGGREGATE);
    assert_int_equal(
        edge_set_paths(w.t->edge, w.sim->now_ns, w.t->edge_opts.paths, number, 1, &usual), 0);
    assert_int_equal(number[0], 1);
    sim_run_for(w.sim, 2 * NS_PER_S);
    tunnel_set_path(w.t, number[0], true);
    sim_run_for(w.sim, 10 * NS_PER_S);
    assert_true(is_idle(&w, 0));
    assert_false(is_idle(&w, number[0]));
    assert_int_equal(w.t->paths_gone, 3);
    stop_calls(&w);
    assert_undisturbed(&w);
    done(&w);
}

/* Without a successor it goes all the same, and the session waits. */
static void it_does_not_wait_for_ever(void **state)
{
    unsigned number[] = {EDGE_PATH_NEW}, first[] = {0};
    struct world w;

    start(&w, 3, BOND_AGGREGATE, 1);
    change(&w, first, NULL, 1, BOND_AGGREGATE);
    assert_int_equal(
        edge_set_paths(w.t->edge, w.sim->now_ns, w.t->edge_opts.paths, number, 1, &usual), 0);
    assert_int_equal(number[0], 1);
    sim_run_for(w.sim, 10 * NS_PER_S);
    assert_int_equal(w.t->paths_gone, 3);
    assert_int_equal(edge_state(w.t->edge), EDGE_IDLE);
    assert_int_equal(hub_kept(w.t->hub), 1);
    tunnel_set_path(w.t, number[0], true);
    sim_run_for(w.sim, 5 * NS_PER_S);
    assert_int_equal(hub_kept(w.t->hub), 0);
    assert_int_equal(edge_state(w.t->edge), EDGE_UP);
    done(&w);
}

/* --- priorities, weights, policies ------------------------------------------------------------ */

static void other_priorities_move_the_calls(void **state)
{
    struct edge_path_opts paths[LINES] = {{.priority = 2}, {.priority = 1}, {.priority = 3}};
    unsigned number[LINES] = {0, 1, 2};
    struct world w;

    start(&w, 4, BOND_PRIORITY, 7);
    for (unsigned best = 0; best < LINES; best++) {
        for (unsigned i = 0; i < LINES; i++)
            paths[i].priority = 10 + (i + LINES - best) % LINES;
        change(&w, number, paths, LINES, BOND_PRIORITY);
        sim_run_for(w.sim, NS_PER_S);
        for (unsigned i = 0; i < LINES; i++)
            assert_int_equal(is_idle(&w, i), i != best);
    }
    assert_int_equal(w.t->paths_gone, 0);
    stop_calls(&w);
    assert_undisturbed(&w);
    done(&w);
}

/* Of 24 flows, how many line 0 carries when it has so many times the weight of the others. */
static unsigned flows_of_the_first(struct world *w, unsigned weight)
{
    struct edge_path_opts paths[LINES] = {{.weight = weight}, {.weight = 1}, {.weight = 1}};
    unsigned number[LINES] = {0, 1, 2}, n = 0;

    change(w, number, paths, LINES, BOND_BALANCED);
    sim_run_for(w->sim, NS_PER_S);
    for (unsigned i = 0; i < 24; i++) {
        struct cbr *c = tunnel_cbr(
            w->t, true, &(struct cbr_opts){.interval_ns = 5 * NS_PER_MS, .payload_bytes = 1000});
        uint64_t before = carried(w, 0);

        cbr_start(c);
        sim_run_for(w->sim, 500 * NS_PER_MS);
        cbr_stop(c);
        sim_run_for(w->sim, NS_PER_S);
        n += carried(w, 0) - before > 50000;
        cbr_free(c);
    }
    return n;
}

static void other_weights_move_flows(void **state)
{
    struct world w;
    unsigned little, much;

    start(&w, 5, BOND_BALANCED, 7);
    little = flows_of_the_first(&w, 1);
    much = flows_of_the_first(&w, 8);
    print_message("%u of 24 flows with a third of the weight, %u with eight tenths\n", little,
                  much);
    assert_in_range(little, 3, 13);
    assert_in_range(much, 15, 23);
    done(&w);
}

/* Both directions follow. */
static void another_policy_at_both_ends(void **state)
{
    static const struct edge_path_opts paths[LINES] = {
        {.priority = 1, .weight = 1}, {.priority = 2, .weight = 1}, {.priority = 3, .weight = 1}};
    static const enum bond_policy order[] = {BOND_PRIORITY, BOND_AGGREGATE, BOND_FAILOVER,
                                             BOND_BALANCED, BOND_PRIORITY};
    unsigned number[LINES] = {0, 1, 2};
    struct tcp *tcp[2];
    struct world w;

    start(&w, 6, BOND_AGGREGATE, 7);
    for (unsigned i = 0; i < 2; i++) {
        tcp[i] = tunnel_tcp(w.t, i, NULL);
        tcp_start(tcp[i]);
    }
    for (unsigned k = 0; k < ARRAY_LEN(order); k++) {
        unsigned used[2] = {0, 0};

        change(&w, number, paths, LINES, order[k]);
        sim_run_for(w.sim, 10 * NS_PER_S);
        for (unsigned i = 0; i < LINES; i++) {
            link_stats_reset(w.wan[i].up);
            link_stats_reset(w.wan[i].down);
        }
        sim_run_for(w.sim, 2 * NS_PER_S);
        for (unsigned i = 0; i < LINES; i++) {
            used[0] += link_stats(w.wan[i].up)->out_bytes > 400000;
            used[1] += link_stats(w.wan[i].down)->out_bytes > 400000;
        }
        for (unsigned up = 0; up < 2; up++)
            if (order[k] == BOND_AGGREGATE)
                assert_int_equal(used[up], 3);
            else
                assert_int_equal(used[up], 1);
    }
    stop_calls(&w);
    assert_int_equal(w.up->stats.rx, w.up->stats.tx);
    assert_int_equal(w.down->stats.rx, w.down->stats.tx);
    assert_int_equal(w.t->at_hub.ups, 1);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(tcp[i]->stats.rx_bad, 0);
        tcp_free(tcp[i]);
    }
    done(&w);
}

/* The pin is told by its place in the list, whatever number the path has. */
static void packets_are_pinned_to_another_path(void **state)
{
    const struct treatment pin = {.policy = BOND_PIN, .pin = 1};
    const struct edge_path_opts paths[2] = {{.weight = 1}, {.weight = 1}};
    unsigned number[] = {2, 0};
    struct world w;

    start(&w, 11, BOND_AGGREGATE, 7);
    assert_int_equal(edge_set_paths(w.t->edge, w.sim->now_ns, paths, number, 2, &pin), 0);
    sim_run_for(w.sim, 3 * NS_PER_S);
    assert_false(is_idle(&w, 0));
    assert_true(is_idle(&w, 1));
    assert_true(is_idle(&w, 2));
    stop_calls(&w);
    assert_undisturbed(&w);
    done(&w);
}

static void what_cannot_be_changes_nothing(void **state)
{
    const struct edge_path_opts paths[EDGE_PATHS_MAX] = {{.weight = 5}};
    const struct edge_path_opts bad[] = {{.weight = PATH_WEIGHT_MAX + 1}};
    const struct treatment wrong[] = {{.policy = BOND_POLICIES}, {.policy = BOND_PIN, .pin = 1}};
    struct edge_path_info info;
    unsigned number[EDGE_PATHS_MAX + 1] = {0};
    struct world w;

    start(&w, 7, BOND_AGGREGATE, 3);
    assert_int_equal(edge_set_paths(w.t->edge, w.sim->now_ns, paths, number, 0, &usual), -EINVAL);
    assert_int_equal(edge_set_paths(w.t->edge, w.sim->now_ns, paths, number, 2, &usual), -EINVAL);
    number[0] = 3;
    assert_int_equal(edge_set_paths(w.t->edge, w.sim->now_ns, paths, number, 1, &usual), -EINVAL);
    number[0] = 1;
    assert_int_equal(edge_set_paths(w.t->edge, w.sim->now_ns, bad, number, 1, &usual), -EINVAL);
    for (unsigned i = 0; i < ARRAY_LEN(wrong); i++)
        assert_int_equal(edge_set_paths(w.t->edge, w.sim->now_ns, paths, number, 1, &wrong[i]),
                         -EINVAL);
    for (unsigned i = 0; i < LINES; i++) {
        assert_true(edge_has_path(w.t->edge, i));
        edge_path_info(w.t->edge, i, &info);
        assert_int_equal(info.weight, 1);
    }
    assert_int_equal(w.t->paths_gone, 0);
    sim_run_for(w.sim, 2 * NS_PER_S);
    stop_calls(&w);
    assert_undisturbed(&w);
    done(&w);
}

/* --- what can be seen ------------------------------------------------------------------------- */

/* A line falls silent: the edge sees which, and what had to go again. */
static void each_end_tells_of_each_path(void **state)
{
    struct hub_path_info v[MASQUE_PATHS_MAX];
    struct edge_path_info info;
    struct quic_lane_stats st;
    struct tcp *tcp;
    struct world w;

    start(&w, 8, BOND_AGGREGATE, 7);
    tcp = tunnel_tcp(w.t, true, NULL);
    tcp_start(tcp);
    sim_run_for(w.sim, 5 * NS_PER_S);
    link_set_on(w.wan[1].up, false);
    link_set_on(w.wan[1].down, false);
    sim_run_for(w.sim, 2 * NS_PER_S);
    assert_int_equal(hub_peer_paths(w.t->hub, 0, v), 3);
    for (unsigned i = 0; i < LINES; i++) {
        assert_int_equal(v[i].number, i);
        assert_true(net_addr_equal(&v[i].remote, &w.t->edge_addrs[i]));
        assert_true(v[i].n_lanes >= 1);
        assert_in_range(v[i].lane.rtt_smoothed_ns, 29 * NS_PER_MS, 200 * NS_PER_MS);
        assert_true(v[i].packet_max > 1200);
        edge_path_info(w.t->edge, i, &info);
        assert_int_equal(info.state, EDGE_UP);
        assert_int_equal(info.trouble, i == 1 ? TROUBLE_SUSPECT : TROUBLE_NONE);
        assert_true(edge_lane_stats(w.t->edge, i, &st));
        assert_true(masque_packet_max(edge_path_tunnel(w.t->edge, i)) > 1200);
    }
    assert_int_equal(hub_peer_paths(w.t->hub, 1, v), 0);
    edge_path_info(w.t->edge, 1, &info);
    assert_false(info.in_use);
    assert_true(info.session.taken_over > 0);
    tcp_free(tcp);
    done(&w);
}

/* --- the end ---------------------------------------------------------------------------------- */

/* It is enough that one path still leads to the hub. */
static void an_edge_that_stops_ends_its_session(void **state)
{
    struct world w;

    start(&w, 9, BOND_AGGREGATE, 7);
    link_set_on(w.wan[0].up, false);
    link_set_on(w.wan[2].up, false);
    edge_shutdown(w.t->edge, w.sim->now_ns);
    host_pump(w.t->edge_host);
    sim_run_for(w.sim, 20 * NS_PER_MS);
    assert_int_equal(hub_peers(w.t->hub), 0);
    assert_int_equal(hub_kept(w.t->hub), 0);
    assert_string_equal(w.t->at_hub.why, "it has stopped");
    done(&w);
}

/* One that dies is waited for. */
static void an_edge_that_dies_is_awaited(void **state)
{
    struct world w;

    start(&w, 10, BOND_AGGREGATE, 7);
    stop_calls(&w);
    tunnel_kill_edge(w.t);
    sim_run_for(w.sim, 60 * NS_PER_S);
    assert_int_equal(hub_peers(w.t->hub), 0);
    assert_int_equal(hub_kept(w.t->hub), 1);
    done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_come_and_go),
        cmocka_unit_test(a_number_is_lent_without_its_past),
        cmocka_unit_test(the_only_path_waits_for_its_successor),
        cmocka_unit_test(it_does_not_wait_for_ever),
        cmocka_unit_test(other_priorities_move_the_calls),
        cmocka_unit_test(other_weights_move_flows),
        cmocka_unit_test(another_policy_at_both_ends),
        cmocka_unit_test(packets_are_pinned_to_another_path),
        cmocka_unit_test(what_cannot_be_changes_nothing),
        cmocka_unit_test(each_end_tells_of_each_path),
        cmocka_unit_test(an_edge_that_stops_ends_its_session),
        cmocka_unit_test(an_edge_that_dies_is_awaited),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
