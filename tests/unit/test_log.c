#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"

#define START_NS (77 * NS_PER_S)

static void one_line_per_interval(void **state)
{
    struct log_limit l = {0};
    uint64_t held = 99;

    assert_true(log_limit_ok(&l, START_NS, NS_PER_S, &held));
    assert_int_equal(held, 0);
    assert_false(log_limit_ok(&l, START_NS, NS_PER_S, &held));
    assert_false(log_limit_ok(&l, START_NS + NS_PER_S - 1, NS_PER_S, &held));
    assert_true(log_limit_ok(&l, START_NS + NS_PER_S, NS_PER_S, &held));
    assert_int_equal(held, 2);
}

/* A flood gets the burst and the rate, whatever its own rate is. */
static void a_burst_and_then_the_rate(void **state)
{
    struct log_limit l = {0};
    uint64_t held = 0, all_held = 0;
    unsigned lines = 0;

    for (unsigned i = 0; i < 20000; i++) { /* 10 s of 2,000 a second */
        if (!log_burst_ok(&l, START_NS + i * (NS_PER_S / 2000), NS_PER_S, 5, &held))
            continue;
        lines++;
        all_held += held;
    }
    assert_int_equal(lines, 5 + 9);
    assert_int_equal(all_held + l.suppressed + lines, 20000);
}

static void the_burst_is_there_again_after_silence(void **state)
{
    struct log_limit l = {0};
    uint64_t held, now_ns = START_NS;

    for (unsigned round = 0; round < 3; round++, now_ns += 5 * NS_PER_S) {
        for (unsigned i = 0; i < 5; i++)
            assert_true(log_burst_ok(&l, now_ns, NS_PER_S, 5, &held));
        assert_false(log_burst_ok(&l, now_ns, NS_PER_S, 5, &held));
    }
}

static void lines_held_back_are_told(void **state)
{
    char buf[LOG_MORE_MAX];

    assert_string_equal(log_more_str(0, buf), "");
    assert_string_equal(log_more_str(3, buf), " (3 more like this)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_line_per_interval),
        cmocka_unit_test(a_burst_and_then_the_rate),
        cmocka_unit_test(the_burst_is_there_again_after_silence),
        cmocka_unit_test(lines_held_back_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
