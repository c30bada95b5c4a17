/* One session over several lines. */
#include "bond.h"

enum { FLOWS_MAX = 16 };

/* Mbit/s of so many flows. */
static double tcp_rate(struct bond *b, bool up, unsigned flows, unsigned warm, unsigned seconds)
{
    struct tcp *tcp[FLOWS_MAX];
    struct session_stats st;
    double sum = 0;

    for (unsigned i = 0; i < flows; i++) {
        tcp[i] = tunnel_tcp(b->t, up, &(struct tcp_opts){.tso = TCP_TSO_WHOLE});
        tcp_start(tcp[i]);
    }
    sim_run_for(b->sim, warm * NS_PER_S);
    for (unsigned i = 0; i < flows; i++)
        tcp_stats_reset(tcp[i]);
    for (unsigned i = 0; i < b->n; i++)
        link_stats_reset(up ? b->wan[i].up : b->wan[i].down);
    sim_run_for(b->sim, seconds * NS_PER_S);
    for (unsigned i = 0; i < flows; i++) {
        assert_int_equal(tcp[i]->stats.rx_bad, 0);
        sum += (double)tcp[i]->stats.delivered_bytes * 8 / seconds / 1e6;
    }
    session_stats_get(edge_session(b->t->edge), &st);
    print_message("%u flows %s: %.1f Mbit/s; retransmits %llu, again %llu;", flows,
                  up ? "up" : "down", sum, (unsigned long long)tcp[0]->stats.retransmits,
                  (unsigned long long)st.again);
    for (unsigned i = 0; i < b->n; i++)
        print_message(" line %u: %.3f of it, queue %.1f ms, %u lanes;", i,
                      link_utilisation(up ? b->wan[i].up : b->wan[i].down),
                      link_wait_mean_ms(up ? b->wan[i].up : b->wan[i].down),
                      edge_lanes(b->t->edge, i));
    print_message("\n");
    for (unsigned i = 0; i < flows; i++)
        tcp_free(tcp[i]);
    return sum;
}

static void two_lines_carry(const struct link_opts *line, const double *least, unsigned warm)
{
    for (unsigned i = 0; i < 3; i++)
        for (unsigned up = 0; up < 2; up++) {
            struct tunnel_opts o = usual();
            struct bond b;

            bond_start(&b, 1, line, 2, &o);
            assert_true(tcp_rate(&b, up, 1u << 2 * i, warm, 5) >= least[i]);
            bond_done(&b);
        }
}

/* Without a tunnel 363 Mbit/s of payload go over both. */
static void two_lines_of_one_delay_carry_as_much_as_both(void **state)
{
    static const struct link_opts line[] = {
        {.rate_bps = 300000000, .delay_ns = 1 * NS_PER_MS, .queue_bytes = 1500000},
        {.rate_bps = 80000000, .delay_ns = 1 * NS_PER_MS, .queue_bytes = 400000}};
    static const double least[] = {345, 345, 345};

    two_lines_carry(line, least, 10);
}

static void two_lines_of_different_delays_carry_more_than_one(void **state)
{
    static const struct link_opts line[] = {
        {.rate_bps = 300000000, .delay_ns = 5 * NS_PER_MS, .queue_bytes = 1500000},
        {.rate_bps = 80000000, .delay_ns = 15 * NS_PER_MS, .queue_bytes = 400000}};
    static const double least[] = {330, 345, 340};

    two_lines_carry(line, least, 10);
}

/* Both ways, though neither path may have a second lane. */
static void one_lane_on_each_line_is_enough(void **state)
{
    static const struct link_opts line[] = {
        {.rate_bps = 50000000, .delay_ns = 5 * NS_PER_MS, .queue_bytes = 250000},
        {.rate_bps = 50000000, .delay_ns = 20 * NS_PER_MS, .queue_bytes = 500000}};

    for (unsigned up = 0; up < 2; up++) {
        struct tunnel_opts o = usual();
        struct bond b;

        o.lanes = 1;
        bond_start(&b, 4, line, 2, &o);
        assert_true(tcp_rate(&b, up, 4, 5, 5) >= 80);
        bond_done(&b);
    }
}

/* A flow as of QUIC takes a packet for lost when three later ones have come: over both lines none
 * do.
 */
static void a_flow_that_minds_disorder_sees_none(void **state)
{
    static const struct link_opts line[] = {
        {.rate_bps = 200000000, .delay_ns = 10 * NS_PER_MS, .queue_bytes = 1000000},
        {.rate_bps = 20000000, .delay_ns = 10 * NS_PER_MS, .queue_bytes = 100000}};
    struct tunnel_opts o = usual();
    struct tcp *flow;
    struct bond b;
    double rate;

    bond_start(&b, 1, line, 2, &o);
    flow = tunnel_tcp(b.t, false, &(struct tcp_opts){.quic = true});
    tcp_start(flow);
    sim_run_for(b.sim, 8 * NS_PER_S);
    tcp_stats_reset(flow);
    sim_run_for(b.sim, 5 * NS_PER_S);
    rate = (double)flow->stats.delivered_bytes * 8 / 5e6;
    print_message("QUIC down: %.1f Mbit/s; retransmits %llu\n", rate,
                  (unsigned long long)flow->stats.retransmits);
    assert_in_range(flow->stats.retransmits, 0, 3);
    assert_true(rate >= 150);
    tcp_free(flow);
    bond_done(&b);
}

/* --- what becomes of a call, and of a transfer, when a line goes -------------------------------
 */

enum way { HOLE, VANISH };

static void cut(struct bond *b, unsigned i, enum way way, bool on)
{
    if (way == VANISH)
        tunnel_set_path(b->t, i, on);
    set_line(b, i, on);
}

static void a_call_survives(enum way way, bool up)
{
    for (unsigned gone = 0; gone < 2; gone++) {
        struct tunnel_opts o = usual();
        struct cbr *call;
        struct bond b;

        bond_start(&b, 2, twin, 2, &o);
        call = tunnel_cbr(b.t, up, NULL);
        cbr_start(call);
        sim_run_for(b.sim, 3 * NS_PER_S);
        cut(&b, gone, way, false);
        sim_run_for(b.sim, 5 * NS_PER_S);
        cut(&b, gone, way, true);
        sim_run_for(b.sim, 5 * NS_PER_S);
        cut(&b, !gone, way, false);
        sim_run_for(b.sim, 5 * NS_PER_S);
        cbr_stop(call);
        sim_run_for(b.sim, NS_PER_S);
        print_message("call %s: %llu of %llu, longest gap %.0f ms, duplicated %llu\n",
                      up ? "up" : "down", (unsigned long long)call->stats.rx,
                      (unsigned long long)call->stats.tx, (double)call->stats.gap_max_ns / 1e6,
                      (unsigned long long)call->stats.duplicated);
        assert_true(call->stats.tx - call->stats.rx <= 2);
        assert_true(call->stats.gap_max_ns <= 200 * NS_PER_MS);
        assert_int_equal(call->stats.duplicated, 0);
        assert_int_equal(b.t->at_edge.downs, 0);
        cbr_free(call);
        bond_done(&b);
    }
}

static void a_call_survives_a_black_hole(void **state)
{
    a_call_survives(HOLE, true);
    a_call_survives(HOLE, false);
}

static void a_call_survives_an_interface_that_vanishes(void **state)
{
    a_call_survives(VANISH, true);
    a_call_survives(VANISH, false);
}

static double rate_for(struct bond *b, struct tcp *const *tcp, unsigned ms)
{
    uint64_t before = 0, after = 0;

    for (unsigned i = 0; i < 4; i++)
        before += tcp[i]->stats.delivered_bytes;
    sim_run_for(b->sim, ms * NS_PER_MS);
    for (unsigned i = 0; i < 4; i++)
        after += tcp[i]->stats.delivered_bytes;
    return (double)(after - before) * 8 / ms / 1e3;
}

static void transfers_go_on(void **state)
{
    for (unsigned up = 0; up < 2; up++) {
        struct tunnel_opts o = usual();
        double both, one, back;
        struct bond b;
        struct tcp *tcp[4];

        bond_start(&b, 3, twin, 2, &o);
        for (unsigned i = 0; i < 4; i++) {
            tcp[i] = tunnel_tcp(b.t, up, &(struct tcp_opts){.tso = TCP_TSO_WHOLE});
            tcp_start(tcp[i]);
        }
        sim_run_for(b.sim, 15 * NS_PER_S);
        both = rate_for(&b, tcp, 2000);
        set_line(&b, 1, false);
        sim_run_for(b.sim, NS_PER_S);
        one = rate_for(&b, tcp, 1000);
        sim_run_for(b.sim, 3 * NS_PER_S);
        set_line(&b, 1, true);
        sim_run_for(b.sim, 2 * NS_PER_S);
        back = rate_for(&b, tcp, 2000);
        print_message("transfers %s: both %.1f, one %.1f, both again %.1f Mbit/s\n",
                      up ? "up" : "down", both, one, back);
        assert_true(both > 88);
        assert_true(one > 43);
        assert_true(back > 65);
        for (unsigned i = 0; i < 4; i++)
            tcp_free(tcp[i]);
        bond_done(&b);
    }
}

/* Lines that disorder what they carry make QUIC declare lost what comes all the same. However many
 * of those there were: a line that falls silent is noticed as soon. */
static void a_call_survives_a_black_hole_after_much_disorder(void **state)
{
    struct link_opts line[2] = {twin[0], twin[1]};
    struct tunnel_opts o = usual();
    struct quic_lane_stats st;
    struct cbr *load, *call;
    struct bond b;

    for (unsigned i = 0; i < 2; i++) {
        line[i].jitter_ns = 40 * NS_PER_MS;
        line[i].reorder = true;
    }
    o.lanes = 1;
    bond_start(&b, 10, line, 2, &o);
    load =
        tunnel_cbr(b.t, true, &(struct cbr_opts){.interval_ns = NS_PER_MS, .payload_bytes = 1000});
    cbr_start(load);
    sim_run_for(b.sim, 10 * NS_PER_S);
    cbr_stop(load);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(edge_lane_stats(b.t->edge, i, &st));
        print_message("line %u: %llu sent, %llu lost, %llu acknowledged\n", i,
                      (unsigned long long)st.dgram_tx, (unsigned long long)st.dgram_lost,
                      (unsigned long long)st.dgram_acked);
        assert_true(st.dgram_acked + st.dgram_lost > st.dgram_tx + 10);
    }
    for (unsigned gone = 0; gone < 2; gone++) {
        call = tunnel_cbr(b.t, true, NULL);
        cbr_start(call);
        sim_run_for(b.sim, 3 * NS_PER_S);
        set_line(&b, gone, false);
        sim_run_for(b.sim, 5 * NS_PER_S);
        set_line(&b, gone, true);
        sim_run_for(b.sim, 5 * NS_PER_S);
        cbr_stop(call);
        sim_run_for(b.sim, NS_PER_S);
        print_message("call: %llu of %llu, longest gap %.0f ms\n",
                      (unsigned long long)call->stats.rx, (unsigned long long)call->stats.tx,
                      (double)call->stats.gap_max_ns / 1e6);
        assert_true(call->stats.gap_max_ns <= 400 * NS_PER_MS);
        cbr_free(call);
    }
    cbr_free(load);
    bond_done(&b);
}

/* --- coming and going --------------------------------------------------------------------------
 */

static bool passes(struct bond *b, bool up)
{
    struct cbr *c = tunnel_cbr(b->t, up, NULL);
    bool all;

    cbr_start(c);
    sim_run_for(b->sim, NS_PER_S);
    cbr_stop(c);
    sim_run_for(b->sim, NS_PER_S);
    all = c->stats.rx == c->stats.tx && c->stats.tx;
    cbr_free(c);
    return all;
}

static void it_starts_with_any_subset(void **state)
{
    for (unsigned set = 1; set < 8; set++) {
        struct tunnel_opts o = usual();
        struct bond b;

        o.off = 7 & ~set;
        bond_start(&b, set, twin, 3, &o);
        assert_true(passes(&b, true));
        assert_true(passes(&b, false));
        for (unsigned i = 0; i < 3; i++)
            if (o.off >> i & 1)
                tunnel_set_path(b.t, i, true);
        sim_run_for(b.sim, 5 * NS_PER_S);
        for (unsigned i = 0; i < 3; i++)
            assert_true(edge_lanes(b.t->edge, i));
        assert_int_equal(b.t->at_edge.downs, 0);
        assert_int_equal(b.t->at_hub.ups, 1);
        bond_done(&b);
    }
}

static void a_restarted_hub_gets_the_session_again(void **state)
{
    struct tunnel_opts o = usual();
    struct bond b;

    bond_start(&b, 5, twin, 2, &o);
    tunnel_kill_hub(b.t);
    sim_run_for(b.sim, NS_PER_S);
    tunnel_start_hub(b.t, true);
    sim_run_for(b.sim, 20 * NS_PER_S);
    assert_true(passes(&b, true));
    assert_true(passes(&b, false));
    for (unsigned i = 0; i < 2; i++)
        assert_true(edge_lanes(b.t->edge, i));
    bond_done(&b);
}

/* A restarted hub is found over one line while the other, which takes long, has not heard of it:
 * what was to go over that one is of the former session. In the new one its numbers would make the
 * hub drop thousands of packets as if they had come before. */
static void nothing_of_a_former_session_is_sent(void **state)
{
    static const unsigned seeds[] = {35, 43};

    for (unsigned k = 0; k < ARRAY_LEN(seeds); k++) {
        struct link_opts line[2] = {twin[0], twin[1]};
        struct tunnel_opts o = usual();
        struct cbr *load[8];
        struct bond b;

        o.policy = BOND_BALANCED;
        line[0].delay_ns = 5 * NS_PER_MS;
        line[1].delay_ns = 300 * NS_PER_MS;
        line[1].queue_bytes = 500000;
        line[1].loss = 0.005;
        bond_start(&b, seeds[k], line, 2, &o);
        for (unsigned i = 0; i < ARRAY_LEN(load); i++) {
            load[i] = tunnel_cbr(
                b.t, true, &(struct cbr_opts){.interval_ns = NS_PER_MS, .payload_bytes = 1300});
            cbr_start(load[i]);
        }
        sim_run_for(b.sim, 6 * NS_PER_S);
        tunnel_kill_hub(b.t);
        tunnel_start_hub(b.t, true);
        sim_run_for(b.sim, 10 * NS_PER_S);
        print_message("seed %u: %llu duplicates at the hub\n", seeds[k],
                      (unsigned long long)b.t->hub_host->drops.n[DROP_DUPLICATE]);
        assert_true(b.t->hub_host->drops.n[DROP_DUPLICATE] < 100);
        for (unsigned i = 0; i < ARRAY_LEN(load); i++)
            cbr_free(load[i]);
        bond_done(&b);
    }
}

static void a_session_outlives_minutes_without_a_path(void **state)
{
    struct tunnel_opts o = usual();
    struct bond b;

    bond_start(&b, 6, twin, 2, &o);
    for (unsigned i = 0; i < 2; i++)
        set_line(&b, i, false);
    sim_run_for(b.sim, 120 * NS_PER_S);
    assert_int_not_equal(edge_state(b.t->edge), EDGE_UP);
    set_line(&b, 1, true);
    sim_run_for(b.sim, 20 * NS_PER_S);
    assert_int_equal(edge_state(b.t->edge), EDGE_UP);
    assert_true(passes(&b, true));
    assert_true(passes(&b, false));
    bond_done(&b);
}

/* --- policies ----------------------------------------------------------------------------------
 */

static uint64_t carried(struct bond *b, unsigned i, bool up)
{
    return link_stats(up ? b->wan[i].up : b->wan[i].down)->out_bytes;
}

/* Which line carries what is sent that way; -1: not one alone. */
static int carrier(struct bond *b, bool up)
{
    int found = -1;
    uint64_t before[LINES_MAX];
    struct cbr *c =
        tunnel_cbr(b->t, up, &(struct cbr_opts){.interval_ns = NS_PER_MS, .payload_bytes = 1000});

    for (unsigned i = 0; i < b->n; i++)
        before[i] = carried(b, i, up);
    cbr_start(c);
    sim_run_for(b->sim, NS_PER_S);
    cbr_stop(c);
    sim_run_for(b->sim, NS_PER_S);
    for (unsigned i = 0; i < b->n; i++)
        if (carried(b, i, up) - before[i] > 900000)
            found = (int)i;
        else if (carried(b, i, up) - before[i] > 100000)
            found = -2;
    cbr_free(c);
    return found;
}

static void by_priority_the_best_that_works_carries_all(void **state)
{
    struct tunnel_opts o = usual();
    struct bond b;

    o.policy = BOND_PRIORITY;
    o.paths[0].priority = 30;
    o.paths[1].priority = 10;
    o.paths[2].priority = 20;
    bond_start(&b, 7, twin, 3, &o);
    for (unsigned up = 0; up < 2; up++) {
        assert_int_equal(carrier(&b, up), 1);
        set_line(&b, 1, false);
        sim_run_for(b.sim, NS_PER_S);
        carrier(&b, up);
        assert_int_equal(carrier(&b, up), 2);
        set_line(&b, 1, true);
        sim_run_for(b.sim, 5 * NS_PER_S);
        assert_int_equal(carrier(&b, up), 1);
    }
    bond_done(&b);
}

static void failover_comes_back_only_when_it_must(void **state)
{
    struct tunnel_opts o = usual();
    struct bond b;
    int first, second;

    o.policy = BOND_FAILOVER;
    bond_start(&b, 8, twin, 2, &o);
    first = carrier(&b, true);
    assert_true(first >= 0);
    assert_int_equal(carrier(&b, false), first);
    tunnel_set_path(b.t, (unsigned)first, false);
    sim_run_for(b.sim, NS_PER_S);
    second = carrier(&b, true);
    assert_int_equal(second, !first);
    assert_int_equal(carrier(&b, false), second);
    tunnel_set_path(b.t, (unsigned)first, true);
    sim_run_for(b.sim, 5 * NS_PER_S);
    assert_int_equal(carrier(&b, true), second);
    assert_int_equal(carrier(&b, false), second);
    bond_done(&b);
}

/* Each flow over one line, in its order; the flows over all. */
static void balanced_flows_keep_to_a_line(void **state)
{
    for (unsigned up = 0; up < 2; up++) {
        struct tunnel_opts o = usual();
        unsigned used = 0;
        struct bond b;

        o.policy = BOND_BALANCED;
        bond_start(&b, 9, twin, 3, &o);
        for (unsigned i = 0; i < 12; i++) {
            int line = carrier(&b, up);

            assert_in_range(line, 0, 2);
            used |= 1u << (line & 3);
        }
        assert_int_equal(used, 7);
        set_line(&b, 1, false);
        assert_true(carrier(&b, up) != 1);
        for (unsigned i = 0; i < 6; i++)
            assert_true(passes(&b, up));
        set_line(&b, 1, true);
        assert_true(tcp_rate(&b, up, 16, 5, 5) > 110);
        bond_done(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_lane_on_each_line_is_enough),
        cmocka_unit_test(a_flow_that_minds_disorder_sees_none),
        cmocka_unit_test(a_call_survives_a_black_hole),
        cmocka_unit_test(a_call_survives_an_interface_that_vanishes),
        cmocka_unit_test(a_call_survives_a_black_hole_after_much_disorder),
        cmocka_unit_test(transfers_go_on),
        cmocka_unit_test(it_starts_with_any_subset),
        cmocka_unit_test(a_restarted_hub_gets_the_session_again),
        cmocka_unit_test(nothing_of_a_former_session_is_sent),
        cmocka_unit_test(a_session_outlives_minutes_without_a_path),
        cmocka_unit_test(by_priority_the_best_that_works_carries_all),
        cmocka_unit_test(failover_comes_back_only_when_it_must),
        cmocka_unit_test(balanced_flows_keep_to_a_line),
        cmocka_unit_test(two_lines_of_one_delay_carry_as_much_as_both),
        cmocka_unit_test(two_lines_of_different_delays_carry_more_than_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
