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
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
