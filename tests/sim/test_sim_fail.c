/* One of several paths fails, in each way that there is: what becomes of a call of 50 packets a
 * second, of transfers, and of the path when it is back. Times are counted from the failure, so
 * that the first packet that stays unanswered is at most one interval later. */
#include "bond.h"

/* What happens to a line. `vanish`: its address is gone, as with an interface. One way only is what
 * it is when the edge's kernel refuses to send. */
enum way { HOLE, HOLE_UP, HOLE_DOWN, VANISH, LOSSY, WAYS };

static const char *const way_name[WAYS] = {"black hole", "black hole up", "black hole down",
                                           "vanished", "40 % loss"};

static void set_way(struct bond *b, unsigned i, enum way way, bool there)
{
    switch (way) {
    case VANISH:
        tunnel_set_path(b->t, i, there);
        set_line(b, i, there);
        break;
    case HOLE:
        set_line(b, i, there);
        break;
    case HOLE_UP:
        link_set_on(b->wan[i].up, there);
        break;
    case HOLE_DOWN:
        link_set_on(b->wan[i].down, there);
        break;
    default:
        link_set_loss(b->wan[i].up, there ? 0 : 0.4);
        link_set_loss(b->wan[i].down, there ? 0 : 0.4);
    }
}

static bool is_whole(void *user)
{
    return bond_is_whole(user);
}

/* --- a call -------------------------------------------------------------------------------- */

enum { SEEDS = 5 };

struct call_case {
    enum bond_policy policy;
    enum way way;
    unsigned gone; /* which line */
    bool up;       /* the call's direction */
    bool bulk;     /* four transfers beside it */
    uint64_t seed; /* also the phase of the failure */
};

static struct cbr *start_call(struct bond *b, const struct call_case *c, struct tcp **tcp)
{
    struct tunnel_opts o = usual();
    struct cbr *call;

    o.policy = c->policy;
    bond_start(b, c->seed, twin, 2, &o);
    for (unsigned i = 0; c->bulk && i < 4; i++) {
        tcp[i] = tunnel_tcp(b->t, c->up, &(struct tcp_opts){.tso = TCP_TSO_WHOLE});
        tcp_start(tcp[i]);
    }
    call = tunnel_cbr(b->t, c->up, NULL);
    cbr_start(call);
    sim_run_for(b->sim, 3 * NS_PER_S + c->seed * 3700 * NS_PER_US);
    return call;
}

/* Whether it was as good as it has to be. */
static bool a_call(const struct call_case *c, uint64_t lost_max, uint64_t gap_max_ns)
{
    struct tcp *tcp[4] = {NULL};
    struct cbr *call;
    struct bond b;
    uint64_t lost;
    bool good;

    call = start_call(&b, c, tcp);
    set_way(&b, c->gone, c->way, false);
    sim_run_for(b.sim, 4 * NS_PER_S);
    set_way(&b, c->gone, c->way, true);
    sim_run_for(b.sim, 4 * NS_PER_S);
    cbr_stop(call);
    sim_run_for(b.sim, NS_PER_S);
    lost = call->stats.tx - call->stats.rx;
    good = lost <= lost_max && call->stats.gap_max_ns <= gap_max_ns && !call->stats.duplicated;
    if (!good)
        print_message("%s, line %u, %s%s, seed %llu: lost %llu, longest gap %.0f ms, twice %llu\n",
                      way_name[c->way], c->gone, c->up ? "up" : "down", c->bulk ? ", bulk" : "",
                      (unsigned long long)c->seed, (unsigned long long)lost,
                      (double)call->stats.gap_max_ns / 1e6,
                      (unsigned long long)call->stats.duplicated);
    assert_int_equal(b.t->at_edge.downs, 0);
    assert_int_equal(b.t->at_hub.ups, 1);
    assert_true(sim_run_cond(b.sim, 2 * NS_PER_S, is_whole, &b));
    for (unsigned i = 0; i < 4; i++)
        tcp_free(tcp[i]);
    cbr_free(call);
    bond_done(&b);
    return good;
}

static void calls(enum bond_policy policy, bool bulk)
{
    unsigned bad = 0;

    for (enum way way = 0; way < WAYS; way++)
        for (unsigned k = 0; k < 4 * (bulk ? 2 : SEEDS); k++) {
            struct call_case c = {.policy = policy,
                                  .way = way,
                                  .gone = k & 1,
                                  .up = k & 2,
                                  .bulk = bulk,
                                  .seed = 1 + k / 4};

            /* Until the loss is seen, what goes again may go the same way: one in twenty of those
             * calls loses two. */
            bad += !a_call(&c, way == LOSSY ? 2 : 1, 200 * NS_PER_MS);
        }
    assert_int_equal(bad, 0);
}

static void a_call_loses_at_most_one_packet(void **state)
{
    calls(BOND_AGGREGATE, false);
}

static void by_priority_too(void **state)
{
    calls(BOND_PRIORITY, false);
}

static void with_failover_too(void **state)
{
    calls(BOND_FAILOVER, false);
}

static void balanced_too(void **state)
{
    calls(BOND_BALANCED, false);
}

static void beside_transfers_too(void **state)
{
    calls(BOND_AGGREGATE, true);
}

/* --- transfers ------------------------------------------------------------------------------- */

enum { FLOWS_MAX = 4 };

struct transfers {
    struct tcp *tcp[FLOWS_MAX];
    unsigned n;
};

static void transfers_begin(struct bond *b, struct transfers *t, unsigned n, bool up)
{
    *t = (struct transfers){.n = n};
    for (unsigned i = 0; i < n; i++) {
        t->tcp[i] = tunnel_tcp(b->t, up, &(struct tcp_opts){.tso = TCP_TSO_WHOLE});
        tcp_start(t->tcp[i]);
    }
}

static uint64_t delivered(const struct transfers *t)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < t->n; i++)
        sum += t->tcp[i]->stats.delivered_bytes;
    return sum;
}

/* Mbit/s during so many ms. */
static double rate_for(struct bond *b, const struct transfers *t, unsigned ms)
{
    uint64_t before = delivered(t);

    sim_run_for(b->sim, ms * NS_PER_MS);
    return (double)(delivered(t) - before) * 8 / ms / 1e3;
}

static void transfers_end(struct transfers *t)
{
    for (unsigned i = 0; i < t->n; i++) {
        assert_int_equal(t->tcp[i]->stats.rx_bad, 0);
        tcp_free(t->tcp[i]);
    }
}

/* One second after the failure they have nine tenths of what the other line carries in the long
 * run. How soon they have both lines again is a matter of their own windows too. */
static void transfers_over(enum way way, bool up, unsigned n, uint64_t seed)
{
    struct tunnel_opts o = usual();
    double both, soon, one, back;
    struct transfers t;
    struct bond b;

    bond_start(&b, seed, twin, 2, &o);
    transfers_begin(&b, &t, n, up);
    sim_run_for(b.sim, 13 * NS_PER_S);
    both = rate_for(&b, &t, 4000);
    set_way(&b, 1, way, false);
    sim_run_for(b.sim, NS_PER_S);
    soon = rate_for(&b, &t, 1000);
    sim_run_for(b.sim, 2 * NS_PER_S);
    one = rate_for(&b, &t, 4000);
    set_way(&b, 1, way, true);
    sim_run_for(b.sim, 2 * NS_PER_S);
    back = rate_for(&b, &t, 2000);
    print_message("%u %s, %s: both %.1f, a second after %.1f, later %.1f, both again %.1f Mbit/s\n",
                  n, up ? "up" : "down", way_name[way], both, soon, one, back);
    assert_true(both > 55);
    assert_true(one > 40);
    assert_true(soon >= (n == 1 && way == LOSSY ? 0.88 : 0.9) * one);
    assert_true(back >= (n > 1 ? 0.85 : 0.4) * both);
    transfers_end(&t);
    bond_done(&b);
}

static void transfers_have_the_other_line_within_a_second(void **state)
{
    for (enum way way = 0; way < WAYS; way++)
        for (unsigned k = way == HOLE || way == LOSSY ? 0 : 2; k < 4; k++)
            transfers_over(way, k & 1, k & 2 ? FLOWS_MAX : 1, 1);
}

/* More than one line carries. */
static const struct cbr_opts much = {.interval_ns = 120 * NS_PER_US, .payload_bytes = 1200};

static void a_returned_line_carries_its_share_in_two_seconds(void **state)
{
    for (unsigned k = 0; k < 2 * WAYS; k++) {
        struct tunnel_opts o = usual();
        uint64_t before, after;
        struct link *line;
        struct cbr *c;
        struct bond b;

        bond_start(&b, 1, twin, 2, &o);
        line = k & 1 ? b.wan[1].up : b.wan[1].down;
        c = tunnel_cbr(b.t, k & 1, &much);
        cbr_start(c);
        sim_run_for(b.sim, 8 * NS_PER_S);
        link_stats_reset(line);
        sim_run_for(b.sim, NS_PER_S);
        before = link_stats(line)->out_bytes;
        set_way(&b, 1, (enum way)(k / 2), false);
        sim_run_for(b.sim, 5 * NS_PER_S);
        set_way(&b, 1, (enum way)(k / 2), true);
        sim_run_for(b.sim, 2 * NS_PER_S);
        link_stats_reset(line);
        sim_run_for(b.sim, NS_PER_S);
        after = link_stats(line)->out_bytes;
        print_message("%s, %s: %.1f Mbit/s before, %.1f two seconds after its return\n",
                      k & 1 ? "up" : "down", way_name[k / 2], (double)before * 8e-6,
                      (double)after * 8e-6);
        assert_true(before > 3000000);
        assert_true((double)after >= 0.9 * (double)before);
        cbr_free(c);
        bond_done(&b);
    }
}

/* --- comings and goings ---------------------------------------------------------------------- */

/* For two minutes one line after the other fails in some way for a while, two of three at most at a
 * time. The session, its address and its flows stay. */
static void whatever_happens_the_session_stays(void **state)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct tunnel_opts o = usual();
        uint64_t bytes, lost;
        struct transfers t;
        enum way way[3];
        unsigned gone = 0;
        struct cbr *call;
        struct rng rng;
        struct bond b;

        bond_start(&b, seed, twin, 3, &o);
        sim_rng(b.sim, "failures", &rng);
        transfers_begin(&b, &t, 1, seed & 1);
        call = tunnel_cbr(b.t, !(seed & 1), NULL);
        cbr_start(call);
        for (unsigned k = 0; k < 60; k++) {
            unsigned i = (unsigned)rng_below(&rng, 3);

            if (gone >> i & 1) {
                set_way(&b, i, way[i], true);
                gone &= ~(1u << i);
            } else if (!gone || !(gone & (gone - 1))) {
                way[i] = (enum way)rng_below(&rng, WAYS);
                set_way(&b, i, way[i], false);
                gone |= 1u << i;
            }
            bytes = delivered(&t);
            sim_run_for(b.sim, NS_PER_S + rng_below(&rng, 2 * NS_PER_S));
            assert_true(delivered(&t) > bytes);
        }
        for (unsigned i = 0; i < 3; i++)
            if (gone >> i & 1)
                set_way(&b, i, way[i], true);
        cbr_stop(call);
        assert_true(sim_run_cond(b.sim, 5 * NS_PER_S, is_whole, &b));
        lost = call->stats.tx - call->stats.rx;
        print_message("seed %llu: of %llu packets %llu lost, longest gap %.0f ms\n",
                      (unsigned long long)seed, (unsigned long long)call->stats.tx,
                      (unsigned long long)lost, (double)call->stats.gap_max_ns / 1e6);
        assert_int_equal(call->stats.duplicated, 0);
        assert_true(lost * 100 <= call->stats.tx);
        assert_int_equal(b.t->at_edge.downs, 0);
        assert_int_equal(b.t->at_hub.ups, 1);
        cbr_free(call);
        transfers_end(&t);
        bond_done(&b);
    }
}

/* A line that was gone for minutes, with all connections over it forgotten, carries again within
 * two seconds. */
static void a_line_is_taken_back_after_minutes(void **state)
{
    for (uint64_t seed = 1; seed <= 4; seed++)
        for (enum way way = 0; way < LOSSY; way++) {
            struct tunnel_opts o = usual();
            struct link *line;
            struct cbr *c;
            struct bond b;

            bond_start(&b, seed, twin, 2, &o);
            line = seed & 1 ? b.wan[1].up : b.wan[1].down;
            set_way(&b, 1, way, false);
            sim_run_for(b.sim, 150 * NS_PER_S + seed * 370 * NS_PER_MS);
            c = tunnel_cbr(b.t, seed & 1, &much);
            cbr_start(c);
            sim_run_for(b.sim, 5 * NS_PER_S);
            set_way(&b, 1, way, true);
            sim_run_for(b.sim, 2 * NS_PER_S);
            link_stats_reset(line);
            sim_run_for(b.sim, NS_PER_S);
            print_message("%s, seed %llu: %.1f Mbit/s\n", way_name[way], (unsigned long long)seed,
                          (double)link_stats(line)->out_bytes * 8e-6);
            assert_true(link_stats(line)->out_bytes > 3000000);
            cbr_free(c);
            bond_done(&b);
        }
}

/* Without any path for minutes; then the transfer goes on where it was. */
static void flows_outlive_minutes_without_a_path(void **state)
{
    for (unsigned up = 0; up < 2; up++) {
        struct tunnel_opts o = usual();
        struct transfers t;
        struct bond b;
        uint64_t ups;

        bond_start(&b, 6, twin, 2, &o);
        transfers_begin(&b, &t, 1, up);
        sim_run_for(b.sim, 5 * NS_PER_S);
        for (unsigned i = 0; i < 2; i++)
            set_line(&b, i, false);
        sim_run_for(b.sim, 150 * NS_PER_S);
        assert_int_not_equal(edge_state(b.t->edge), EDGE_UP);
        ups = b.t->at_edge.ups;
        for (unsigned i = 0; i < 2; i++)
            set_line(&b, i, true);
        sim_run_for(b.sim, 130 * NS_PER_S); /* its timer has backed off as well */
        assert_int_equal(b.t->at_edge.ups, ups + 1);
        assert_true(rate_for(&b, &t, 5000) > 45);
        assert_int_equal(edge_session(b.t->edge)->pack->stats.unnumbered, 0);
        transfers_end(&t);
        bond_done(&b);
    }
}

/* Six instances of their own, one on each of the lines of a bond of six, hear nothing of what
 * happens to its paths and to its hub. */
static void six_single_tunnels_beside_it(void **state)
{
    enum { SIX = 6 };
    struct tunnel *single[SIX];
    struct cbr *call[SIX];
    struct tunnel_opts o = usual();
    struct bond b;

    bond_init(&b, 7, twin, SIX);
    for (unsigned i = 0; i < SIX; i++) {
        char name[16];

        snprintf(name, sizeof(name), "single%u", i);
        single[i] = tunnel_new(
            &b.wan[i], &(struct tunnel_opts){.name = name, .number = 2 + i, .packed = i & 1});
    }
    bond_open(&b, &o);
    for (unsigned i = 0; i < SIX; i++) {
        assert_true(tunnel_wait_up(single[i], 10 * NS_PER_S));
        call[i] = tunnel_cbr(single[i], i & 2, NULL);
        cbr_start(call[i]);
    }
    for (unsigned i = 0; i < SIX; i++) {
        tunnel_set_path(b.t, i, false);
        sim_run_for(b.sim, NS_PER_S);
        tunnel_set_path(b.t, (i + 2) % SIX, true);
        sim_run_for(b.sim, NS_PER_S);
    }
    tunnel_kill_hub(b.t);
    sim_run_for(b.sim, 5 * NS_PER_S);
    tunnel_start_hub(b.t, true);
    sim_run_for(b.sim, 20 * NS_PER_S);
    for (unsigned i = 0; i < SIX; i++)
        cbr_stop(call[i]);
    sim_run_for(b.sim, NS_PER_S);
    for (unsigned i = 0; i < SIX; i++) {
        assert_int_equal(call[i]->stats.rx, call[i]->stats.tx);
        assert_int_equal(single[i]->at_edge.downs, 0);
        assert_int_equal(single[i]->at_hub.ups, 1);
        cbr_free(call[i]);
        tunnel_free(single[i]);
    }
    bond_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_loses_at_most_one_packet),
        cmocka_unit_test(by_priority_too),
        cmocka_unit_test(with_failover_too),
        cmocka_unit_test(balanced_too),
        cmocka_unit_test(beside_transfers_too),
        cmocka_unit_test(transfers_have_the_other_line_within_a_second),
        cmocka_unit_test(a_returned_line_carries_its_share_in_two_seconds),
        cmocka_unit_test(whatever_happens_the_session_stays),
        cmocka_unit_test(a_line_is_taken_back_after_minutes),
        cmocka_unit_test(flows_outlive_minutes_without_a_path),
        cmocka_unit_test(six_single_tunnels_beside_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
