/* How a session over two lines treats its packets: copies, resends, the quickest path, one path. */
#include <stdio.h>

#include "scene.h"

#include "base/util.h"

enum { LINES = 2, FLOWS = 4 };

struct treat {
    struct sim *sim;
    struct wan wan[LINES];
    struct tunnel *t;
};

static void start(struct treat *x, uint64_t seed, const struct link_opts *line,
                  const struct treatment *treatment)
{
    struct tunnel_opts o = {.packed = true,
                            .cc = QUIC_CC_BBR,
                            .lanes = 8,
                            .n_pkts = 16384,
                            .n_large = 512,
                            .treatment = *treatment,
                            .n_more = 1};

    *x = (struct treat){.sim = sim_new(seed)};
    for (unsigned i = 0; i < LINES; i++) {
        char name[16];

        snprintf(name, sizeof(name), "wan%u", i);
        wan_init(&x->wan[i], x->sim, name, &line[i], &line[i]);
    }
    o.more[0] = &x->wan[1];
    x->t = tunnel_new(&x->wan[0], &o);
    assert_true(tunnel_wait_up(x->t, 60 * NS_PER_S));
    sim_run_for(x->sim, 5 * NS_PER_S);
}

static void done(struct treat *x)
{
    tunnel_free(x->t);
    for (unsigned i = 0; i < LINES; i++)
        wan_done(&x->wan[i]);
    sim_free(x->sim);
}

static void set_line(struct treat *x, unsigned i, bool on)
{
    link_set_on(x->wan[i].up, on);
    link_set_on(x->wan[i].down, on);
}

/* How many came within that time. */
static uint64_t in_time(const struct cbr *c, uint64_t limit_ns)
{
    double low = 0, high = 1;

    if (hist_quantile_ns(&c->stats.delay, 1) <= limit_ns)
        return c->stats.rx;
    for (unsigned i = 0; i < 40; i++) {
        double mid = (low + high) / 2;

        if (hist_quantile_ns(&c->stats.delay, mid) <= limit_ns)
            low = mid;
        else
            high = mid;
    }
    return (uint64_t)(low * (double)c->stats.rx);
}

static double ms(uint64_t ns)
{
    return (double)ns / 1e6;
}

static void tell(const char *what, const struct treat *x, const struct cbr *c)
{
    const struct hist *h = &c->stats.delay;
    struct session_stats st;

    session_stats_get(edge_session(x->t->edge), &st);
    print_message(
        "%s: %llu of %llu, p50 %.1f p99 %.1f p99.9 %.1f max %.1f ms, longest gap %.0f ms; "
        "again %llu, copies %llu, gone %llu\n",
        what, (unsigned long long)c->stats.rx, (unsigned long long)c->stats.tx,
        ms(hist_quantile_ns(h, 0.5)), ms(hist_quantile_ns(h, 0.99)), ms(hist_quantile_ns(h, 0.999)),
        ms(h->max_ns), ms(c->stats.gap_max_ns), (unsigned long long)st.again,
        (unsigned long long)st.copies, (unsigned long long)st.gone);
    assert_int_equal(c->stats.duplicated, 0);
    assert_int_equal(c->stats.rx_bad, 0);
}

/* 50 packets a second for so long. */
static struct cbr *stream(struct treat *x, bool up, unsigned seconds)
{
    struct cbr *c = tunnel_cbr(x->t, up, NULL);

    cbr_start(c);
    sim_run_for(x->sim, seconds * NS_PER_S);
    cbr_stop(c);
    sim_run_for(x->sim, 2 * NS_PER_S);
    return c;
}

static const struct treatment duplicate = {.policy = BOND_DUPLICATE};

static struct link_opts line_of(unsigned mbit, unsigned way_ms, double loss)
{
    return (struct link_opts){.rate_bps = mbit * UINT64_C(1000000),
                              .delay_ns = way_ms * NS_PER_MS,
                              .queue_bytes = mbit * UINT64_C(1000000) / 8 / 20,
                              .loss = loss};
}

/* --- losses --------------------------------------------------------------------------------- */

enum { WAY_MS = 15, LATE_MS = 150 };

static void copies_outdo_much_loss(void **state)
{
    const struct link_opts line[LINES] = {line_of(50, WAY_MS, 0.1), line_of(50, WAY_MS + 3, 0.1)};

    for (uint64_t seed = 1; seed <= 3; seed++)
        for (unsigned up = 0; up < 2; up++) {
            struct treat x;
            struct cbr *c;

            start(&x, seed, line, &duplicate);
            c = stream(&x, up, 400);
            tell(up ? "copies up" : "copies down", &x, c);
            assert_true((c->stats.tx - in_time(c, LATE_MS * NS_PER_MS)) * 10000 <= c->stats.tx);
            assert_true(in_time(c, (WAY_MS + 5) * NS_PER_MS) * 100 >= c->stats.tx * 99);
            cbr_free(c);
            done(&x);
        }
}

static void what_is_lost_goes_again(void **state)
{
    const struct link_opts line[LINES] = {line_of(50, WAY_MS, 0.02), line_of(50, WAY_MS, 0.02)};

    for (uint64_t seed = 1; seed <= 3; seed++)
        for (unsigned up = 0; up < 2; up++) {
            struct treat x;
            struct cbr *c;

            start(&x, seed, line, &(struct treatment){.policy = BOND_AGGREGATE});
            c = stream(&x, up, 400);
            tell(up ? "resend up" : "resend down", &x, c);
            assert_true((c->stats.tx - c->stats.rx) * 10000 < c->stats.tx);
            cbr_free(c);
            done(&x);
        }
}

static void without_recovery_nothing_goes_again(void **state)
{
    const struct link_opts line[LINES] = {line_of(50, WAY_MS, 0.02), line_of(50, WAY_MS, 0.02)};
    struct session_stats st;
    struct treat x;
    struct cbr *c;

    start(&x, 1, line, &(struct treatment){.recovery = TREATMENT_NONE});
    for (unsigned up = 0; up < 2; up++) {
        c = stream(&x, up, 60);
        tell(up ? "none up" : "none down", &x, c);
        assert_in_range(c->stats.tx - c->stats.rx, 20, 120);
        cbr_free(c);
    }
    session_stats_get(edge_session(x.t->edge), &st);
    assert_int_equal(st.again, 0);
    done(&x);
}

/* --- a line that goes ------------------------------------------------------------------------ */

static void copies_lose_nothing_in_a_black_hole(void **state)
{
    const struct link_opts line[LINES] = {line_of(50, WAY_MS, 0), line_of(50, WAY_MS, 0)};

    for (unsigned gone = 0; gone < LINES; gone++)
        for (unsigned up = 0; up < 2; up++) {
            struct treat x;
            struct cbr *c;

            start(&x, 4 + gone, line, &duplicate);
            c = tunnel_cbr(x.t, up, NULL);
            cbr_start(c);
            for (unsigned i = 0; i < 5; i++) {
                sim_run_for(x.sim, 3 * NS_PER_S + i * 7 * NS_PER_MS);
                set_line(&x, gone, false);
                sim_run_for(x.sim, 4 * NS_PER_S);
                set_line(&x, gone, true);
            }
            cbr_stop(c);
            sim_run_for(x.sim, 2 * NS_PER_S);
            tell(up ? "hole up" : "hole down", &x, c);
            assert_int_equal(c->stats.rx, c->stats.tx);
            assert_true(c->stats.delay.max_ns <= (WAY_MS + 5) * NS_PER_MS);
            cbr_free(c);
            done(&x);
        }
}

static uint64_t carried(struct treat *x, unsigned i, bool up)
{
    return link_stats(up ? x->wan[i].up : x->wan[i].down)->out_bytes;
}

static void a_pinned_session_has_one_path(void **state)
{
    const struct link_opts line[LINES] = {line_of(50, WAY_MS, 0.01), line_of(50, WAY_MS, 0.01)};
    struct treat x;

    start(&x, 6, line, &(struct treatment){.policy = BOND_PIN, .pin = 1});
    for (unsigned up = 0; up < 2; up++) {
        uint64_t before[LINES] = {carried(&x, 0, up), carried(&x, 1, up)};
        struct cbr *c = stream(&x, up, 20);

        tell(up ? "pin up" : "pin down", &x, c);
        assert_true(c->stats.tx - c->stats.rx <= 2);
        assert_true(carried(&x, 1, up) - before[1] > 200000);
        assert_true(carried(&x, 0, up) - before[0] <
                    60000); /* it says now and then that it lives */
        cbr_free(c);
        set_line(&x, 1, false);
        sim_run_for(x.sim, 2 * NS_PER_S);
        c = stream(&x, up, 5);
        assert_int_equal(c->stats.rx, 0);
        cbr_free(c);
        set_line(&x, 1, true);
        sim_run_for(x.sim, 10 * NS_PER_S);
        c = stream(&x, up, 5);
        assert_true(c->stats.tx - c->stats.rx <= 2);
        cbr_free(c);
    }
    done(&x);
}

/* --- lowest latency -------------------------------------------------------------------------- */

/* UDP goes where it is soonest there; all else is one link of all. */
static void set_latency_class(struct treat *x)
{
    static const struct class_table table = {.serial = 1,
                                             .n = 1,
                                             .v = {{.class = 2,
                                                    .treatment = CLASS_LOWEST_LATENCY,
                                                    .copies = 1,
                                                    .recovery = CLASS_RECOVERY_AGAIN,
                                                    .order = CLASS_ORDER_NONE,
                                                    .deadline_ms = 150}},
                                             .n_rules = 1,
                                             .rule = {{.class = 2,
                                                       .proto = IP_PROTO_UDP,
                                                       .dscp = CLASS_DSCP_ANY,
                                                       .client_to = UINT16_MAX,
                                                       .server_to = UINT16_MAX}}};

    assert_int_equal(edge_set_classes(x->t->edge, &table), 0);
    sim_run_for(x->sim, NS_PER_S);
}

/* The round trip of a sparse flow beside transfers that fill both lines. */
static void a_sparse_flow_beside_bulk_is_quick(void **state)
{
    static const struct {
        unsigned mbit[LINES], way_ms[LINES];
    } lines[] = {{{50, 50}, {15, 15}}, {{50, 50}, {10, 30}}, {{40, 80}, {10, 25}}};

    for (unsigned k = 0; k < ARRAY_LEN(lines); k++)
        for (unsigned up = 0; up < 2; up++) {
            const struct link_opts line[LINES] = {line_of(lines[k].mbit[0], lines[k].way_ms[0], 0),
                                                  line_of(lines[k].mbit[1], lines[k].way_ms[1], 0)};
            uint64_t limit_ns = (2 * lines[k].way_ms[0] + 10) * NS_PER_MS;
            struct tcp *tcp[FLOWS];
            struct treat x;
            struct cbr *c;

            start(&x, 8 + k, line, &(struct treatment){0});
            set_latency_class(&x);
            for (unsigned i = 0; i < FLOWS; i++) {
                tcp[i] = tunnel_tcp(x.t, up, &(struct tcp_opts){.tso = TCP_TSO_WHOLE});
                tcp_start(tcp[i]);
            }
            sim_run_for(x.sim, 10 * NS_PER_S);
            for (unsigned i = 0; i < LINES; i++)
                link_stats_reset(up ? x.wan[i].up : x.wan[i].down);
            c = tunnel_ping(x.t, true, NULL);
            cbr_start(c);
            sim_run_for(x.sim, 30 * NS_PER_S);
            cbr_stop(c);
            for (unsigned i = 0; i < LINES; i++)
                print_message("line %u: %.2f used; ", i,
                              link_utilisation(up ? x.wan[i].up : x.wan[i].down));
            tell(up ? "beside bulk up" : "beside bulk down", &x, c);
            assert_true(in_time(c, limit_ns) * 100 >= c->stats.tx * 99 - 100);
            for (unsigned i = 0; i < LINES; i++)
                assert_true(link_utilisation(up ? x.wan[i].up : x.wan[i].down) > 0.8);
            cbr_free(c);
            for (unsigned i = 0; i < FLOWS; i++)
                tcp_free(tcp[i]);
            done(&x);
        }
}

/* Bulk gets what the better line carries: one that has no room for its copies holds up nobody. */
static void copies_of_bulk_have_the_better_line(void **state)
{
    const struct link_opts line[LINES] = {line_of(60, 10, 0), line_of(20, 20, 0)};

    for (unsigned up = 0; up < 2; up++) {
        struct treat x;
        struct tcp *tcp;
        double rate;

        start(&x, 14, line, &duplicate);
        tcp = tunnel_tcp(x.t, up, &(struct tcp_opts){.tso = TCP_TSO_WHOLE});
        tcp_start(tcp);
        sim_run_for(x.sim, 10 * NS_PER_S);
        tcp_stats_reset(tcp);
        sim_run_for(x.sim, 10 * NS_PER_S);
        rate = (double)tcp->stats.delivered_bytes * 8 / 10 / 1e6;
        print_message("copies of bulk %s: %.1f Mbit/s, %llu retransmits\n", up ? "up" : "down",
                      rate, (unsigned long long)tcp->stats.retransmits);
        assert_int_equal(tcp->stats.rx_bad, 0);
        assert_true(rate > 50);
        tcp_free(tcp);
        done(&x);
    }
}

static void the_quickest_path_is_followed(void **state)
{
    const struct link_opts line[LINES] = {line_of(50, 10, 0), line_of(50, 30, 0)};
    struct treat x;

    start(&x, 12, line, &(struct treatment){.policy = BOND_LOWEST_LATENCY});
    for (unsigned up = 0; up < 2; up++) {
        struct cbr *c = stream(&x, up, 10);

        tell(up ? "quickest up" : "quickest down", &x, c);
        assert_true(in_time(c, 15 * NS_PER_MS) * 100 >= c->stats.tx * 99);
        cbr_free(c);
        for (unsigned i = 0; i < 2; i++)
            link_set_delay(i ? x.wan[0].up : x.wan[0].down, 80 * NS_PER_MS);
        sim_run_for(x.sim, 5 * NS_PER_S);
        c = stream(&x, up, 10);
        tell("the other", &x, c);
        assert_true(in_time(c, 35 * NS_PER_MS) * 100 >= c->stats.tx * 95);
        cbr_free(c);
        for (unsigned i = 0; i < 2; i++)
            link_set_delay(i ? x.wan[0].up : x.wan[0].down, 10 * NS_PER_MS);
        sim_run_for(x.sim, 60 * NS_PER_S);
    }
    done(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_outdo_much_loss),
        cmocka_unit_test(what_is_lost_goes_again),
        cmocka_unit_test(without_recovery_nothing_goes_again),
        cmocka_unit_test(copies_lose_nothing_in_a_black_hole),
        cmocka_unit_test(a_pinned_session_has_one_path),
        cmocka_unit_test(a_sparse_flow_beside_bulk_is_quick),
        cmocka_unit_test(copies_of_bulk_have_the_better_line),
        cmocka_unit_test(the_quickest_path_is_followed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
