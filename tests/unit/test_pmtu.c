/* The path MTU search against a path that is played by the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "base/util.h"
#include "quic/pmtu.h"

enum { BASE = 1200, MAX_SIZE = 1472 };
#define RTT_NS (40 * NS_PER_MS)
#define PTO_NS (120 * NS_PER_MS)

struct path {
    struct pmtu p;
    size_t mtu; /* what the path carries, in bytes of UDP payload */
    double loss;
    struct rng rng;
    uint64_t now_ns;
    unsigned probes;
};

static void path_init(struct path *x, size_t mtu, double loss, uint64_t seed)
{
    *x = (struct path){.mtu = mtu, .loss = loss, .now_ns = 100 * NS_PER_S};
    pmtu_init(&x->p, BASE, MAX_SIZE);
    rng_seed(&x->rng, seed);
}

static bool arrives(struct path *x, size_t bytes)
{
    return bytes <= x->mtu && rng_double(&x->rng) >= x->loss;
}

/* One round trip with n ordinary packets of the size given, and the probe that is wanted. How a
 * lost probe is noticed alternates: by loss detection or by its deadline. */
static void round_trip(struct path *x, unsigned n, size_t bytes)
{
    size_t probe = pmtu_want_probe(&x->p, x->now_ns);

    if (probe) {
        pmtu_on_probe_sent(&x->p, x->now_ns, probe, PTO_NS);
        x->probes++;
        assert_in_range(probe, BASE, MAX_SIZE);
        assert_int_equal(pmtu_want_probe(&x->p, x->now_ns), 0); /* one at a time */
    }
    x->now_ns += RTT_NS;
    for (unsigned i = 0; i < n; i++) {
        if (arrives(x, bytes))
            pmtu_on_acked(&x->p, bytes);
        else
            pmtu_on_lost(&x->p, bytes);
    }
    if (!probe)
        return;
    if (arrives(x, probe)) {
        pmtu_on_probe_acked(&x->p, x->now_ns, probe);
    } else if (x->probes % 2) {
        pmtu_on_probe_lost(&x->p, x->now_ns, probe);
    } else if (x->p.probe_size) {
        assert_true(pmtu_deadline_ns(&x->p) > x->now_ns);
        x->now_ns = pmtu_deadline_ns(&x->p);
        pmtu_on_timer(&x->p, x->now_ns);
    }
}

static void settle(struct path *x)
{
    for (int i = 0; i < 200 && x->p.searching; i++)
        round_trip(x, 0, 0);
    assert_false(x->p.searching);
}

/* --- the search ------------------------------------------------------------------------ */

static void best_case_takes_one_probe(void **state)
{
    struct path x;

    path_init(&x, MAX_SIZE, 0, 1);
    assert_int_equal(x.p.size, BASE);
    assert_false(x.p.settled);
    round_trip(&x, 0, 0);
    assert_int_equal(x.p.size, MAX_SIZE);
    assert_true(x.p.settled);
    assert_int_equal(pmtu_want_probe(&x.p, x.now_ns), 0);
    assert_true(pmtu_deadline_ns(&x.p) == TIME_NEVER_NS); /* nothing more to find */
}

static void finds_every_size(void **state)
{
    for (size_t mtu = BASE; mtu <= MAX_SIZE; mtu++) {
        struct path x;

        path_init(&x, mtu, 0, mtu);
        settle(&x);
        assert_true(x.p.settled);
        assert_true(x.p.size <= mtu); /* never more than the path carries */
        assert_true(x.p.size + PMTU_GRAIN_BYTES >= mtu);
        assert_true(x.probes <= 10 * PMTU_PROBE_TRIES);
    }
}

/* Loss of 20 %: never too large; too small only when three probes in a row were unlucky. */
static void random_loss_rarely_deceives(void **state)
{
    unsigned exact = 0;

    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct path x;

        path_init(&x, 1400, 0.2, seed);
        settle(&x);
        assert_true(x.p.size <= 1400);
        exact += x.p.size + PMTU_GRAIN_BYTES >= 1400;
    }
    assert_true(exact >= 270);
}

static void nothing_to_search(void **state)
{
    struct pmtu p;

    pmtu_init(&p, BASE, BASE);
    assert_true(p.settled);
    assert_int_equal(pmtu_want_probe(&p, NS_PER_S), 0);
}

/* What the peer takes bounds the search, and ends it where there is nothing left to search. */
static void the_peer_limits_the_search(void **state)
{
    struct path x;

    path_init(&x, MAX_SIZE, 0, 1);
    pmtu_limit(&x.p, 2 * MAX_SIZE);
    pmtu_limit(&x.p, 1350);
    assert_int_equal(pmtu_want_probe(&x.p, x.now_ns), 1350);
    round_trip(&x, 0, 0);
    assert_int_equal(x.p.size, 1350);
    assert_true(x.p.settled);
    path_init(&x, MAX_SIZE, 0, 1);
    pmtu_limit(&x.p, 86);
    assert_int_equal(x.p.size, BASE);
    assert_true(x.p.settled);
    assert_int_equal(pmtu_want_probe(&x.p, x.now_ns), 0);
}

/* A search that ended below the maximum is made again later, and finds the larger size. */
static void raises_after_a_while(void **state)
{
    struct path x;
    uint64_t at;

    path_init(&x, 1372, 0, 1);
    settle(&x);
    at = pmtu_deadline_ns(&x.p);
    assert_true(at > x.now_ns && at <= x.now_ns + PMTU_RAISE_NS);
    assert_int_equal(pmtu_want_probe(&x.p, at - 1), 0);
    x.mtu = MAX_SIZE;
    x.now_ns = at;
    round_trip(&x, 0, 0);
    assert_int_equal(x.p.size, MAX_SIZE);
    /* and when it is not larger, the size stays meanwhile and afterwards */
    path_init(&x, 1372, 0, 1);
    settle(&x);
    at = x.p.size;
    x.now_ns = pmtu_deadline_ns(&x.p);
    for (int i = 0; i < 100; i++) {
        round_trip(&x, 0, 0);
        assert_true(x.p.size >= at && x.p.size <= 1372);
    }
    assert_false(x.p.searching);
    assert_true(pmtu_deadline_ns(&x.p) > x.now_ns);
}

/* --- black holes ----------------------------------------------------------------------- */

static void shrinking_path_is_noticed(void **state)
{
    for (size_t mtu = BASE; mtu < MAX_SIZE - PMTU_GRAIN_BYTES; mtu += 7) {
        struct path x;

        path_init(&x, MAX_SIZE, 0, 1);
        settle(&x);
        x.mtu = mtu;
        for (int i = 0; i < 60; i++)
            round_trip(&x, 4, x.p.size);
        assert_true(x.p.size <= mtu);
        assert_true(x.p.size + PMTU_GRAIN_BYTES >= mtu);
    }
}

/* Packets that still fit are acknowledged all the time; they say nothing about the larger ones. */
static void smaller_packets_hide_no_black_hole(void **state)
{
    struct path x;

    path_init(&x, MAX_SIZE, 0, 1);
    settle(&x);
    x.mtu = 1372;
    for (int i = 0; i < 60; i++) {
        round_trip(&x, 1, MIN(x.p.size, (size_t)1300));
        round_trip(&x, 1, x.p.size);
    }
    assert_in_range(x.p.size, 1372 - PMTU_GRAIN_BYTES, 1372);
}

/* Loss alone does not shrink the size: at 30 % for ten thousand packets. */
static void loss_is_no_black_hole(void **state)
{
    unsigned shrunk = 0;

    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct path x;

        path_init(&x, MAX_SIZE, 0, seed);
        settle(&x);
        x.loss = 0.3;
        for (int i = 0; i < 1000; i++) {
            round_trip(&x, 10, MAX_SIZE);
            shrunk += x.p.size != MAX_SIZE;
        }
    }
    assert_int_equal(shrunk, 0);
}

/* An outage loses packets of every size, the suspect's probes too: after it the search returns to
 * the full size by itself. */
static void outage_heals(void **state)
{
    struct path x;

    path_init(&x, MAX_SIZE, 0, 1);
    settle(&x);
    x.mtu = 0;
    for (int i = 0; i < 20; i++)
        round_trip(&x, 4, x.p.size);
    x.mtu = MAX_SIZE;
    for (int i = 0; i < 40; i++)
        round_trip(&x, 4, x.p.size);
    x.now_ns += PMTU_RAISE_NS;
    for (int i = 0; i < 40; i++)
        round_trip(&x, 4, x.p.size);
    assert_int_equal(x.p.size, MAX_SIZE);
}

/* Any order of events, also ones that no sane caller makes, keeps the size within its bounds. */
static void bounds_hold_under_noise(void **state)
{
    struct pmtu p;
    struct rng r;
    uint64_t now_ns = NS_PER_S;

    pmtu_init(&p, BASE, MAX_SIZE);
    rng_seed(&r, 5);
    for (int i = 0; i < 200000; i++) {
        size_t bytes = BASE + rng_below(&r, MAX_SIZE - BASE + 1), probe;

        now_ns += rng_below(&r, 100 * NS_PER_MS);
        probe = pmtu_want_probe(&p, now_ns);
        assert_true(probe == 0 || (probe >= BASE && probe <= MAX_SIZE));
        switch (rng_below(&r, 6)) {
        case 0:
            if (probe)
                pmtu_on_probe_sent(&p, now_ns, probe, PTO_NS);
            break;
        case 1:
            pmtu_on_probe_acked(&p, now_ns, p.probe_size ? p.probe_size : bytes);
            break;
        case 2:
            pmtu_on_probe_lost(&p, now_ns, p.probe_size ? p.probe_size : bytes);
            break;
        case 3:
            pmtu_on_acked(&p, bytes);
            break;
        case 4:
            pmtu_on_lost(&p, bytes);
            break;
        default:
            pmtu_on_timer(&p, now_ns);
            break;
        }
        assert_in_range(p.size, BASE, MAX_SIZE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(best_case_takes_one_probe),
        cmocka_unit_test(finds_every_size),
        cmocka_unit_test(random_loss_rarely_deceives),
        cmocka_unit_test(nothing_to_search),
        cmocka_unit_test(the_peer_limits_the_search),
        cmocka_unit_test(raises_after_a_while),
        cmocka_unit_test(shrinking_path_is_noticed),
        cmocka_unit_test(smaller_packets_hide_no_black_hole),
        cmocka_unit_test(loss_is_no_black_hole),
        cmocka_unit_test(outage_heals),
        cmocka_unit_test(bounds_hold_under_noise),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
