#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/clockfloor.h"

#define BOOT_NS (1234 * NS_PER_S)
#define DAY_S 86400

static int64_t source_s;

/* A machine without a saved time knows the date of its program. */
static void without_a_saved_time_the_sources_count(void **state)
{
    struct clock_floor f;

    clock_floor_init(&f, 0, BOOT_NS);
    assert_int_equal(clock_floor_now_s(&f, 0, BOOT_NS), source_s);
    clock_floor_init(&f, source_s - DAY_S, BOOT_NS);
    assert_int_equal(clock_floor_now_s(&f, 0, BOOT_NS), source_s);
}

static void a_later_saved_time_counts(void **state)
{
    struct clock_floor f;

    clock_floor_init(&f, source_s + DAY_S, BOOT_NS);
    assert_int_equal(clock_floor_now_s(&f, source_s, BOOT_NS), source_s + DAY_S);
}

/* From the floor the time goes on, whatever the system's clock does. */
static void time_passes(void **state)
{
    struct clock_floor f;

    clock_floor_init(&f, source_s + DAY_S, BOOT_NS);
    assert_int_equal(clock_floor_now_s(&f, 7, BOOT_NS + 60 * NS_PER_S), source_s + DAY_S + 60);
    assert_int_equal(clock_floor_now_s(&f, 6, BOOT_NS + 60 * NS_PER_S - 1), source_s + DAY_S + 59);
}

/* It is a lower bound: a clock that is ahead of it counts, so that what has expired stays so. */
static void a_clock_ahead_counts(void **state)
{
    struct clock_floor f;

    clock_floor_init(&f, source_s + DAY_S, BOOT_NS);
    assert_int_equal(clock_floor_now_s(&f, source_s + 2 * DAY_S, BOOT_NS), source_s + 2 * DAY_S);
    assert_int_equal(clock_floor_now_s(&f, source_s + 2 * DAY_S, BOOT_NS + 3ull * DAY_S * NS_PER_S),
                     source_s + 4 * DAY_S);
}

/* What no certificate can name is no time, and overflows nothing. */
static void an_absurd_saved_time_is_not_believed(void **state)
{
    struct clock_floor f;

    clock_floor_init(&f, INT64_MAX, BOOT_NS);
    assert_int_equal(clock_floor_now_s(&f, 0, UINT64_MAX), clock_floor_now_s(&f, -1, UINT64_MAX));
    assert_int_equal(clock_floor_now_s(&f, 0, BOOT_NS), source_s);
}

#define NOW_S (source_s + 100 * (int64_t)DAY_S)
#define YEAR_S (365 * (int64_t)DAY_S)

static void a_saved_time_far_ahead_is_not_credible(void **state)
{
    assert_true(clock_saved_is_credible(NOW_S, NOW_S, 0, 0));
    assert_true(clock_saved_is_credible(0, NOW_S, 0, 0));
    assert_true(clock_saved_is_credible(NOW_S + YEAR_S, NOW_S, 0, 0));
    assert_false(clock_saved_is_credible(NOW_S + 10 * YEAR_S, NOW_S, 0, 0));
    assert_false(clock_saved_is_credible(INT64_MAX, NOW_S, 0, 0));
    assert_false(clock_saved_is_credible(INT64_MAX, INT64_MAX, 0, 0));
    /* a clock that has stopped: the date of the sources, or of the certificate, is later */
    assert_true(clock_saved_is_credible(source_s + YEAR_S, 0, 0, 0));
    assert_false(clock_saved_is_credible(source_s + 3 * YEAR_S, 0, 0, 0));
    assert_true(clock_saved_is_credible(source_s + 3 * YEAR_S, 0, source_s + 2 * YEAR_S,
                                        source_s + 20 * YEAR_S));
}

static void a_saved_time_after_our_own_end_is_not_credible(void **state)
{
    assert_true(clock_saved_is_credible(NOW_S + 29 * DAY_S, NOW_S, NOW_S, NOW_S + 30 * DAY_S));
    assert_false(clock_saved_is_credible(NOW_S + 31 * DAY_S, NOW_S, NOW_S, NOW_S + 30 * DAY_S));
    /* it has ended by the clock too */
    assert_true(
        clock_saved_is_credible(NOW_S + 31 * DAY_S, NOW_S + 31 * DAY_S, NOW_S, NOW_S + 30 * DAY_S));
}

static int setup(void **state)
{
    source_s = clock_source_date_s();
    return source_s < 0 ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_saved_time_the_sources_count),
        cmocka_unit_test(a_later_saved_time_counts),
        cmocka_unit_test(time_passes),
        cmocka_unit_test(a_clock_ahead_counts),
        cmocka_unit_test(an_absurd_saved_time_is_not_believed),
        cmocka_unit_test(a_saved_time_far_ahead_is_not_credible),
        cmocka_unit_test(a_saved_time_after_our_own_end_is_not_credible),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
