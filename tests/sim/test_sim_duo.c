/* Lanes and bulk transfers between two endpoints: what experiments build on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/util.h"
#include "sim/duo.h"

struct scene {
    struct sim *sim;
    struct wan wan;
};

static void scene_init(struct scene *s, uint64_t seed, uint64_t rate_bps, unsigned rtt_ms,
                       double bdp)
{
    struct link_opts up = {.rate_bps = rate_bps, .delay_ns = rtt_ms * NS_PER_MS / 2}, down = up;

    up.queue_bytes = (uint64_t)(bdp * (double)rate_bps / 8000 * rtt_ms);
    s->sim = sim_new(seed);
    wan_init(&s->wan, s->sim, "wan", &up, &down);
}

static void scene_done(struct scene *s)
{
    wan_done(&s->wan);
    sim_free(s->sim);
}

/* --- the dummy handshake --------------------------------------------------------------- */

struct count {
    unsigned dgrams;
    uint64_t bytes;
};

static bool count(void *user, const struct sim_dgram *d)
{
    struct count *c = user;

    c->dgrams++;
    c->bytes += d->len;
    return false;
}

/* As many datagrams and bytes as with certificates of usual size: the client's hello alone in a
 * full datagram, the server's flight within three times that, then the client's certificate. */
static void handshake_has_the_size_of_real_ones(void **state)
{
    struct count up = {0}, down = {0};
    struct scene s;
    struct duo *d;

    scene_init(&s, 1, 100000000, 40, 1);
    link_set_filter(s.wan.up, count, &up);
    link_set_filter(s.wan.down, count, &down);
    d = duo_new(&s.wan, &(struct duo_opts){0});
    sim_run_for(s.sim, 10 * NS_PER_MS);
    assert_int_equal(up.dgrams, 1);
    assert_int_equal(up.bytes, 1200);
    sim_run_for(s.sim, 20 * NS_PER_MS);
    assert_in_range(down.bytes, 2700, 3600);
    assert_in_range(down.dgrams, 3, 3);
    assert_true(duo_wait_up(d, 1, NS_PER_S));
    assert_in_range(sim_seconds(s.sim) * 1000, 60, 65); /* one round trip and a half */
    assert_in_range(up.bytes, 2600, 6500);
    assert_int_equal(d->tls_edge.sessions, 1);
    assert_int_equal(d->tls_hub.sessions, 1);
    duo_free(d);
    scene_done(&s);
}

static void refusals_reach_both_ends(void **state)
{
    struct scene s;
    struct duo *d;

    scene_init(&s, 1, 100000000, 40, 1);
    d = duo_new(&s.wan, &(struct duo_opts){0});
    d->tls_hub.refuse = QUIC_FAIL_CLIENT_UNKNOWN;
    sim_run_for(s.sim, NS_PER_S);
    assert_int_equal(d->refused, 1);
    assert_int_equal(d->refused_why.fail, QUIC_FAIL_CLIENT_UNKNOWN);
    assert_int_equal(d->at_edge.why.fail, QUIC_FAIL_REJECTED);
    assert_int_equal(d->at_hub.lanes_up, 0);
    duo_free(d);
    scene_done(&s);
}

/* A byte changed anywhere in a datagram: the packet fails its tag and the connection goes on;
 * nothing changed is ever delivered. */
static bool change_byte(void *user, const struct sim_dgram *d)
{
    unsigned *n = user;
    struct sim_dgram *x = (struct sim_dgram *)d;

    if ((++*n * 2654435761u >> 16) % 3 == 0 && x->len)
        x->data[*n * 7919u % x->len] ^= 0x20;
    return false;
}

static void changed_packets_fail(void **state)
{
    unsigned n = 0;
    struct scene s;
    struct duo *d;
    uint64_t sent;

    scene_init(&s, 1, 20000000, 40, 1);
    d = duo_new(&s.wan, &(struct duo_opts){0});
    assert_true(duo_wait_up(d, 1, NS_PER_S));
    link_set_filter(s.wan.up, change_byte, &n);
    bulk_send(&d->at_edge, 3000);
    sim_run_for(s.sim, 60 * NS_PER_S);
    assert_int_equal(d->at_edge.stats.tx, 3000);
    assert_int_equal(link_stats(s.wan.up)->drop[LINK_DROP_LOSS], 0);
    sent = 3000 - link_stats(s.wan.up)->drop[LINK_DROP_TAIL];
    assert_in_range(d->at_hub.stats.rx, sent * 2 / 3 - 100, sent * 2 / 3 + 100); /* two of three */
    assert_int_equal(d->at_edge.lanes_down, 0);
    duo_free(d);
    scene_done(&s);
}

/* --- bulk ------------------------------------------------------------------------------ */

static double bulk_share(uint64_t seed, const struct duo_opts *o, double loss)
{
    struct scene s;
    struct duo *d;
    double got;

    scene_init(&s, seed, 50000000, 20, 1);
    link_set_loss(s.wan.up, loss);
    d = duo_new(&s.wan, o);
    assert_true(duo_wait_up(d, MAX(o->lanes, 1u), 10 * NS_PER_S));
    bulk_send(&d->at_edge, UINT64_MAX);
    sim_run_for(s.sim, 3 * NS_PER_S);
    bulk_stats_reset(&d->at_hub);
    sim_run_for(s.sim, 7 * NS_PER_S);
    got = bulk_goodput_bps(&d->at_hub) / (50e6 * bulk_ceiling(1500));
    assert_true(
        fabs(bulk_goodput_between_bps(&d->at_hub, 4, 9) / bulk_goodput_bps(&d->at_hub) - 1) < 0.1);
    duo_free(d);
    scene_done(&s);
    return got;
}

static void fills_a_clean_line(void **state)
{
    assert_true(bulk_share(1, &(struct duo_opts){.cc = QUIC_CC_CUBIC}, 0) > 0.97);
    assert_true(bulk_share(1, &(struct duo_opts){.cc = QUIC_CC_CUBIC, .lanes = 4}, 0) > 0.97);
    assert_true(bulk_share(1, &(struct duo_opts){.cc = QUIC_CC_BBR}, 0) > 0.85);
}

/* Under random loss lanes multiply what one CUBIC connection reaches. */
static void lanes_help_against_loss(void **state)
{
    double one = bulk_share(1, &(struct duo_opts){.lanes = 1}, 0.01);
    double four = bulk_share(1, &(struct duo_opts){.lanes = 4}, 0.01);

    assert_true(one < 0.4);
    assert_true(four > 2.5 * one);
}

static void over_ipv6(void **state)
{
    struct scene s;
    struct quic_lane_stats stats;
    struct duo *d;

    scene_init(&s, 1, 50000000, 20, 1);
    d = duo_new(&s.wan, &(struct duo_opts){.ip6 = true});
    assert_true(duo_wait_up(d, 1, NS_PER_S));
    bulk_send(&d->at_edge, 5000);
    sim_run_for(s.sim, 5 * NS_PER_S);
    quic_lane_stats(d->lane[0], &stats);
    assert_int_equal(stats.udp_payload, 1452);
    assert_true(d->at_hub.stats.rx + d->at_edge.stats.lost >= 5000);
    assert_true(d->at_hub.stats.rx > 4500);
    duo_free(d);
    scene_done(&s);
}

/* Lanes come and go while datagrams flow; the path goes on as long as it has one. */
static void lanes_come_and_go(void **state)
{
    struct scene s;
    struct duo *d;

    scene_init(&s, 1, 50000000, 20, 1);
    d = duo_new(&s.wan, &(struct duo_opts){0});
    assert_true(duo_wait_up(d, 1, NS_PER_S));
    bulk_send(&d->at_edge, UINT64_MAX);
    for (unsigned i = 2; i <= 8; i++) {
        assert_non_null(duo_open_lane(d));
        sim_run_for(s.sim, 2 * NS_PER_S); /* its handshake may be lost in our own full queue */
        assert_int_equal(d->at_hub.lanes_up, i);
        assert_int_equal(quic_path_lanes(d->path), i);
    }
    for (unsigned i = 0; i < 7; i++) {
        quic_lane_close(d->lane[i], 0x100, "not needed");
        host_pump(d->edge);
        sim_run_for(s.sim, NS_PER_S);
        assert_int_equal(d->at_edge.lanes_down, i + 1);
        assert_int_equal(d->at_edge.why.fail, QUIC_FAIL_LOCAL);
        assert_int_equal(d->at_hub.lanes_down, i + 1);
        assert_int_equal(d->at_hub.why.fail, QUIC_FAIL_PEER);
        assert_string_equal(d->at_hub.why.detail, "not needed");
    }
    assert_int_equal(quic_path_lanes(d->path), 1);
    bulk_stats_reset(&d->at_hub);
    sim_run_for(s.sim, 5 * NS_PER_S);
    assert_true(bulk_goodput_bps(&d->at_hub) > 0.9 * 50e6 * bulk_ceiling(1500));
    duo_free(d);
    scene_done(&s);
}

/* Two equal flows on one line, the second of them "foreign". */
static void equal_flows_share(void **state)
{
    double a = 0, b = 0;

    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct scene s;
        struct duo *ours, *theirs;

        scene_init(&s, seed, 50000000, 20, 2);
        ours = duo_new(&s.wan, &(struct duo_opts){0});
        theirs = duo_new(&s.wan, &(struct duo_opts){.name = "foreign", .number = 1});
        assert_true(duo_wait_up(ours, 1, NS_PER_S));
        assert_true(duo_wait_up(theirs, 1, NS_PER_S));
        bulk_send(&ours->at_edge, UINT64_MAX);
        bulk_send(&theirs->at_edge, UINT64_MAX);
        sim_run_for(s.sim, 15 * NS_PER_S);
        a += bulk_goodput_between_bps(&ours->at_hub, 5, 15);
        b += bulk_goodput_between_bps(&theirs->at_hub, 5, 15);
        duo_free(ours);
        duo_free(theirs);
        scene_done(&s);
    }
    assert_true(a / (a + b) > 0.35 && a / (a + b) < 0.65);
    assert_true(a + b > 3 * 0.95 * 50e6 * bulk_ceiling(1500));
}

/* A rate that halves and doubles: the transfer follows within seconds. */
static void follows_the_rate(void **state)
{
    struct scene s;
    struct duo *d;

    scene_init(&s, 1, 40000000, 20, 2);
    d = duo_new(&s.wan, &(struct duo_opts){0});
    assert_true(duo_wait_up(d, 1, NS_PER_S));
    bulk_send(&d->at_edge, UINT64_MAX);
    sim_run_until(s.sim, SIM_START_NS + 5 * NS_PER_S);
    link_alternate_rate(s.wan.up, 20000000, 40000000, 5 * NS_PER_S);
    sim_run_for(s.sim, 15 * NS_PER_S);
    assert_true(bulk_goodput_between_bps(&d->at_hub, 6, 10) > 0.9 * 20e6 * bulk_ceiling(1500));
    assert_true(bulk_goodput_between_bps(&d->at_hub, 6, 10) < 1.02 * 20e6 * bulk_ceiling(1500));
    assert_true(bulk_goodput_between_bps(&d->at_hub, 12, 15) > 0.8 * 40e6 * bulk_ceiling(1500));
    duo_free(d);
    scene_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handshake_has_the_size_of_real_ones),
        cmocka_unit_test(refusals_reach_both_ends),
        cmocka_unit_test(changed_packets_fail),
        cmocka_unit_test(fills_a_clean_line),
        cmocka_unit_test(lanes_help_against_loss),
        cmocka_unit_test(over_ipv6),
        cmocka_unit_test(lanes_come_and_go),
        cmocka_unit_test(equal_flows_share),
        cmocka_unit_test(follows_the_rate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
