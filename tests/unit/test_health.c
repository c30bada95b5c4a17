/* When a path counts as losing too much. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bond/health.h"

struct line {
    struct health health;
    uint64_t now_ns, acked, lost;
    unsigned changes;
};

/* n datagrams, one in gap_ns, of each hundred so many lost. */
static void carry(struct line *l, unsigned n, uint64_t gap_ns, unsigned percent)
{
    for (unsigned i = 0; i < n; i++) {
        if ((uint64_t)i * percent / 100 != (uint64_t)(i + 1) * percent / 100)
            l->lost++;
        else
            l->acked++;
        l->now_ns += gap_ns;
        l->changes += health_told(&l->health, l->now_ns, l->acked, l->lost);
    }
}

static struct line calm(void)
{
    struct line l = {.now_ns = 1000 * NS_PER_S};

    carry(&l, 1000, NS_PER_MS, 0);
    assert_false(l.health.lossy);
    assert_int_equal(l.changes, 0);
    return l;
}

static void heavy_loss_is_seen_in_two_rounds(void **state)
{
    struct line l = calm();

    carry(&l, 700, NS_PER_MS, 40);
    assert_true(l.health.lossy);
    assert_int_equal(l.changes, 1);
    carry(&l, 2000, NS_PER_MS, 20); /* neither good nor bad */
    assert_true(l.health.lossy);
    carry(&l, 500, NS_PER_MS, 10);
    assert_false(l.health.lossy);
    assert_int_equal(l.changes, 2);
}

static void moderate_loss_is_no_reason(void **state)
{
    struct line l = calm();

    carry(&l, 100000, NS_PER_MS, 25);
    assert_int_equal(l.changes, 0);
}

/* A gap loses all that was on its way, a buffer that overflows a part of it. */
static void a_burst_is_no_reason(void **state)
{
    struct line l = calm();

    for (unsigned i = 0; i < 10; i++) {
        carry(&l, 300, NS_PER_US, 100);
        carry(&l, 1000, NS_PER_MS, 0);
    }
    assert_int_equal(l.changes, 0);
}

static void a_few_datagrams_say_nothing(void **state)
{
    struct line l = calm();

    carry(&l, HEALTH_ROUND / 2, 100 * NS_PER_MS, 100);
    carry(&l, 1000, HEALTH_ROUND_MAX_NS / 30, 50); /* a round of 40 takes too long */
    assert_int_equal(l.changes, 0);
}

static void counters_may_begin_anew(void **state)
{
    struct line l = calm();

    carry(&l, 700, NS_PER_MS, 50);
    assert_true(l.health.lossy);
    l.acked = l.lost = 0;
    carry(&l, 150, NS_PER_MS, 0);
    assert_true(l.health.lossy);
    carry(&l, 300, NS_PER_MS, 0);
    assert_false(l.health.lossy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heavy_loss_is_seen_in_two_rounds),
        cmocka_unit_test(moderate_loss_is_no_reason),
        cmocka_unit_test(a_burst_is_no_reason),
        cmocka_unit_test(a_few_datagrams_say_nothing),
        cmocka_unit_test(counters_may_begin_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
