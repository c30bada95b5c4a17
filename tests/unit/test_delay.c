/* One-way delays from timestamps of a clock that is not ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/util.h"
#include "bond/delay.h"

/* Datagrams that take delay_ns[i % n], one in 4 ms, the peer's clock being off by skew_ns and fast
 * by drift_ppm. */
static uint64_t feed(struct delay_in *d, uint64_t now_ns, unsigned n, const uint64_t *delay_ns,
                     unsigned n_delays, int64_t skew_ns, int drift_ppm)
{
    for (unsigned i = 0; i < n; i++, now_ns += 4 * NS_PER_MS) {
        uint64_t sent_ns = now_ns - delay_ns[i % n_delays];
        int64_t drift_ns = (int64_t)(sent_ns / 1000000) * drift_ppm;

        delay_in_rx(d, now_ns, delay_stamp(sent_ns + (uint64_t)skew_ns + (uint64_t)drift_ns));
    }
    return now_ns;
}

static double difference_ms(uint32_t a, uint32_t b)
{
    return packed_seq_diff(a, b) * 16384e-6;
}

/* Whatever the offset of the clocks, and where either wraps, two lanes differ by what they take. */
static void two_lanes_differ_by_their_delay(void **state)
{
    static const int64_t skew_s[] = {0, 1, -1, 137, -137, 275, 100000, -7};
    static const uint64_t fast[] = {20 * NS_PER_MS}, slow[] = {80 * NS_PER_MS, 90 * NS_PER_MS};

    for (unsigned i = 0; i < ARRAY_LEN(skew_s); i++) {
        for (uint64_t wrap = 0; wrap < 2; wrap++) {
            uint64_t t0 = 1000 * NS_PER_S;
            struct delay_in a = {0}, b = {0};
            struct packed_frame fa, fb;
            uint32_t mean_a, mean_b, above;

            if (wrap) /* our clock, or theirs, wraps in between */
                t0 = ((UINT64_C(40) << 38)) - 100 * NS_PER_MS;
            feed(&a, t0, 100, fast, 1, skew_s[i] * (int64_t)NS_PER_S, 0);
            feed(&b, t0, 100, slow, 2, skew_s[i] * (int64_t)NS_PER_S, 0);
            assert_true(delay_in_usual(&a, &mean_a, &above));
            assert_true(above < 4);
            assert_true(delay_in_usual(&b, &mean_b, &above));
            assert_true(difference_ms(mean_b, mean_a) > 63 && difference_ms(mean_b, mean_a) < 67);
            assert_in_range(delay_to_ns(above), 10 * NS_PER_MS, 25 * NS_PER_MS);
            assert_true(delay_in_report(&a, 1, &fa));
            assert_true(delay_in_report(&b, 18, &fb));
            assert_int_equal(fb.delay.lane, 18);
            assert_true(difference_ms(fb.delay.least, fa.delay.least) > 59.9);
            assert_true(difference_ms(fb.delay.least, fa.delay.least) < 60.1);
            assert_true(fa.delay.spread <= 1);
            assert_in_range(delay_to_ns(fb.delay.spread), 9900000, 10100000);
        }
    }
}

static void a_report_is_of_what_came_since(void **state)
{
    static const uint64_t first[] = {50 * NS_PER_MS}, then[] = {70 * NS_PER_MS};
    struct delay_in d = {0};
    struct packed_frame f, g;
    uint64_t now_ns;

    assert_false(delay_in_report(&d, 0, &f));
    now_ns = feed(&d, NS_PER_S, 10, first, 1, 0, 0);
    assert_true(delay_in_report(&d, 0, &f));
    assert_false(delay_in_report(&d, 0, &g));
    feed(&d, now_ns, 10, then, 1, 0, 0);
    assert_true(delay_in_report(&d, 0, &g));
    assert_true(difference_ms(g.delay.least, f.delay.least) > 19.9);
    assert_true(difference_ms(g.delay.least, f.delay.least) < 20.1);
    assert_int_equal(g.delay.time, delay_stamp(now_ns + 9 * 4 * NS_PER_MS - 70 * NS_PER_MS));
}

/* A clock that runs 200 ppm fast for a day; then one that was set by half an hour. */
static void clocks_drift_and_are_set(void **state)
{
    static const uint64_t fast[] = {20 * NS_PER_MS}, slow[] = {80 * NS_PER_MS};
    uint64_t now_ns = 10 * NS_PER_S;
    struct delay_in a = {0}, b = {0};
    struct packed_frame f;
    uint32_t mean_a, mean_b, above;

    for (unsigned i = 0; i < 86400; i++, now_ns += NS_PER_S) {
        feed(&a, now_ns, 2, fast, 1, 0, 200);
        feed(&b, now_ns, 2, slow, 1, 0, 200);
        assert_true(delay_in_report(&a, 0, &f) && delay_in_report(&b, 1, &f));
    }
    for (unsigned i = 0; i < 2; i++) {
        int64_t skew_ns = i ? 1800 * (int64_t)NS_PER_S : 0;

        now_ns = feed(&a, now_ns, 100, fast, 1, skew_ns, 200);
        feed(&b, now_ns - 400 * NS_PER_MS, 100, slow, 1, skew_ns, 200);
        assert_true(delay_in_usual(&a, &mean_a, &above));
        assert_true(delay_in_usual(&b, &mean_b, &above));
        assert_true(difference_ms(mean_b, mean_a) > 59 && difference_ms(mean_b, mean_a) < 61);
    }
}

static void an_overtaken_report_is_ignored(void **state)
{
    struct packed_frame f = {.type = PACKED_DELAY, .delay = {.time = 0xfffff0, .least = 7}};
    struct delay_out d = {0};

    delay_out_rx(&d, NS_PER_S, &f);
    f.delay.time = 5; /* later: it has wrapped */
    f.delay.least = 8;
    delay_out_rx(&d, NS_PER_S, &f);
    assert_int_equal(d.least, 8);
    f.delay.time = 0xfffff8;
    f.delay.least = 9;
    delay_out_rx(&d, NS_PER_S, &f);
    assert_int_equal(d.least, 8);
    delay_out_rx(&d, NS_PER_S + DELAY_STALE_NS, &f);
    assert_int_equal(d.least, 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_lanes_differ_by_their_delay),
        cmocka_unit_test(a_report_is_of_what_came_since),
        cmocka_unit_test(clocks_drift_and_are_set),
        cmocka_unit_test(an_overtaken_report_is_ignored),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
