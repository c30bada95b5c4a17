/* What is learned of a link that varies, round by round. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "quic/bound_vary.h"

/* A round as it is on a steady link of 10 MB/s and 40 ms under a window that leaves 4 ms. */
static struct bound_vary_round steady_round(void)
{
    return (struct bound_vary_round){.rate = 10e6,
                                     .window = 440000,
                                     .base_ns = 40 * NS_PER_MS,
                                     .queue_ns = 4 * NS_PER_MS,
                                     .allowed_ns = 4 * NS_PER_MS,
                                     .mean_ns = NS_PER_MS / 2,
                                     .full = true};
}

static void run(struct bound_vary *v, const struct bound_vary_round *r, unsigned n)
{
    while (n--)
        bound_vary_on_round(v, r);
}

static void a_steady_link_needs_nothing(void **state)
{
    struct bound_vary_round r = steady_round();
    struct bound_vary v = {0};

    run(&v, &r, 1000);
    assert_int_equal(v.extra_ns, 0);
    assert_int_equal(bound_vary_jitter_ns(&v, 2 * NS_PER_MS), 0);
}

static void running_dry_lets_the_queue_grow(void **state)
{
    struct bound_vary_round r = steady_round(), dry = r;
    struct bound_vary v = {0};

    dry.queue_ns = 0;
    dry.rate = 1.3 * r.rate;
    run(&v, &r, 5);
    run(&v, &dry, 2); /* the rate rises only once */
    assert_in_range(v.extra_ns, 1900 * NS_PER_US, 2 * NS_PER_MS);
    for (unsigned i = 0; i < 1000; i++) {
        run(&v, &r, 1);
        run(&v, &dry, 1);
    }
    assert_true(v.extra_ns > 30 * NS_PER_MS);
    assert_true(v.extra_ns <= 2 * r.base_ns);
    run(&v, &r, 500);
    assert_true(v.extra_ns < NS_PER_MS / 10);
}

static void only_the_link_can_make_it_grow(void **state)
{
    struct bound_vary_round r = steady_round(), dry = r;
    struct bound_vary v = {0};

    dry.queue_ns = 0;
    dry.rate = 1.3 * r.rate;
    run(&v, &r, 2); /* too early */
    run(&v, &dry, 1);
    run(&v, &r, 10);
    bound_vary_on_drain(&v); /* emptied on purpose */
    run(&v, &dry, 1);
    run(&v, &r, 10);
    dry.window = r.window * 5 / 4; /* our own doing */
    run(&v, &dry, 1);
    run(&v, &r, 10);
    r.window = dry.window; /* as well, seen a round later */
    run(&v, &r, 1);
    run(&v, &dry, 1);
    r.window = dry.window = 440000;
    run(&v, &r, 10);
    dry.full = false; /* the sender had no more */
    run(&v, &dry, 1);
    assert_int_equal(v.extra_ns, 0);
}

static void jitter_is_more_than_a_ripple(void **state)
{
    struct bound_vary_round r = steady_round();
    struct bound_vary v = {0};

    r.mean_ns = 6 * NS_PER_MS;
    run(&v, &r, 100);
    assert_in_range(bound_vary_jitter_ns(&v, 2 * NS_PER_MS), 3500 * NS_PER_US, 4000 * NS_PER_US);
    assert_int_equal(bound_vary_jitter_ns(&v, 10 * NS_PER_MS), 0);
}

/* A sender that pauses makes the queue rise after each pause. */
static void bursts_are_no_jitter(void **state)
{
    struct bound_vary_round r = steady_round();
    struct bound_vary v = {0};

    r.mean_ns = 10 * NS_PER_MS;
    for (unsigned i = 0; i < 100; i++) {
        r.full = i % 2;
        run(&v, &r, 1);
    }
    assert_int_equal(bound_vary_jitter_ns(&v, 2 * NS_PER_MS), 0);
}

/* What shows is jitter: a quarter more in flight is a quarter more a second, as often as it is
 * tried.
 */
static void what_looks_like_a_queue_is_tried(void **state)
{
    struct bound_vary v = {.spread_ns = 4 * NS_PER_MS};
    double rate = 1e6;
    unsigned tries = 0;

    for (unsigned i = 0; i < 40; i++) {
        if (bound_vary_try(&v, rate, 50 * NS_PER_MS) != BOUND_TRY)
            continue;
        rate *= BOUND_TRY_SHARE;
        tries++;
    }
    assert_in_range(tries, 18, 20);
}

/* It is a queue, or half of one, because somebody else fills it too. */
static void what_is_a_queue_is_tried_ever_less(void **state)
{
    for (unsigned half = 0; half < 2; half++) {
        struct bound_vary v = {.spread_ns = 4 * NS_PER_MS};
        unsigned tries = 0, late = 0;
        double rate = 1e6;
        double rtt_ns = 50e6;

        for (unsigned i = 0; i < 1000; i++) {
            bool tried = v.trying > 0;
            enum bound_advice a = bound_vary_try(&v, tried && half ? 1.12 * rate : rate,
                                                 (uint64_t)(tried ? 1.12 * rtt_ns : rtt_ns));

            tries += a == BOUND_TRY;
            late += a == BOUND_TRY && i >= 500;
        }
        assert_in_range(tries, 10, 25);
        assert_in_range(late, 6, 9);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_steady_link_needs_nothing),
        cmocka_unit_test(running_dry_lets_the_queue_grow),
        cmocka_unit_test(only_the_link_can_make_it_grow),
        cmocka_unit_test(jitter_is_more_than_a_ripple),
        cmocka_unit_test(bursts_are_no_jitter),
        cmocka_unit_test(what_looks_like_a_queue_is_tried),
        cmocka_unit_test(what_is_a_queue_is_tried_ever_less),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
