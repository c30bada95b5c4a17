#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "bond/delay.h"
#include "bond/sched.h"

#define MS NS_PER_MS
#define NOW (1000 * NS_PER_S)

static struct sched_path paths[SCHED_PATHS];

static struct sched of(enum bond_policy policy, unsigned n)
{
    struct sched s = {.path = paths, .policy = policy};

    memset(paths, 0, sizeof(paths));
    for (unsigned i = 0; i < n; i++) {
        s.path[i].up = s.path[i].works = true;
        s.path[i].weight = 1;
    }
    sched_update(&s);
    return s;
}

static bool takes(const struct sched *s, unsigned path, uint64_t waited_ns)
{
    uint64_t again_ns;

    return sched_may_take(s, path, NOW, waited_ns, true, &again_ns);
}

static void paths_of_about_the_same_delay_all_take(void **state)
{
    struct sched s = of(BOND_AGGREGATE, 3);

    s.path[1].extra_ns = SCHED_MARGIN_NS;
    assert_true(takes(&s, 0, 0));
    assert_true(takes(&s, 1, 0));
    assert_true(takes(&s, 2, 0));
    assert_false(takes(&s, 3, 0));
}

static void a_slower_path_takes_what_has_waited_as_long(void **state)
{
    struct sched s = of(BOND_AGGREGATE, 2);
    uint64_t again_ns;

    s.path[0].extra_ns = 3 * MS; /* only differences count */
    s.path[1].extra_ns = 23 * MS;
    assert_true(takes(&s, 0, 0));
    assert_true(sched_is_slow(&s, 1, NOW));
    assert_false(sched_is_slow(&s, 0, NOW));
    assert_false(sched_may_take(&s, 1, NOW, 5 * MS, true, &again_ns));
    assert_int_equal(again_ns, NOW + 15 * MS);
    assert_true(takes(&s, 1, 20 * MS));
    s.path[0].works = false;
    assert_true(sched_update(&s));
    assert_true(takes(&s, 1, 0));
}

static void bulk_does_not_mind_the_queue_that_a_varying_path_keeps(void **state)
{
    struct sched s = of(BOND_AGGREGATE, 2);
    uint64_t again_ns;

    s.path[1].keeps_ns = 40 * MS;
    s.path[1].free_ns = NOW + 40 * MS;
    assert_true(sched_is_slow(&s, 1, NOW));
    assert_true(takes(&s, 1, 0));
    assert_false(sched_may_take(&s, 1, NOW, 0, false, &again_ns));
    s.path[1].free_ns = NOW + 60 * MS; /* more than it keeps */
    assert_false(takes(&s, 1, 10 * MS));
    assert_true(takes(&s, 1, 20 * MS));
    s.path[1].free_ns = NOW; /* a delay that is no queue */
    s.path[1].extra_ns = 40 * MS;
    assert_false(takes(&s, 1, 30 * MS));
    assert_true(takes(&s, 1, 40 * MS));
}

static void a_slower_path_takes_no_faster_than_it_delivers(void **state)
{
    struct sched s = of(BOND_AGGREGATE, 2);
    uint64_t again_ns, bytes = 0, now_ns = NOW;

    s.path[1].extra_ns = 20 * MS;
    s.path[1].rate = 1000000;
    while (now_ns < NOW + NS_PER_S) {
        if (sched_may_take(&s, 1, now_ns, 20 * MS, true, &again_ns)) {
            sched_took(&s, 1, now_ns, 1000);
            bytes += 1000;
        } else {
            assert_true(again_ns > now_ns);
            now_ns = again_ns;
        }
    }
    assert_true(bytes > 900000 && bytes < 1050000);
}

/* A report of what the peer's clock says: both paths' have the same offset. */
static void tell(struct sched *s, unsigned path, uint64_t now_ns, uint64_t delay_ns)
{
    sched_told(s, path, now_ns, (0xfffff0 + (uint32_t)(delay_ns >> DELAY_SHIFT)) & 0xffffff);
}

/* How long a packet must have waited for the path to take it, in whole milliseconds. */
static unsigned must_wait_ms(const struct sched *s, unsigned path, uint64_t now_ns)
{
    uint64_t again_ns;
    unsigned ms = 0;

    while (!sched_may_take(s, path, now_ns, ms * MS, true, &again_ns))
        ms++;
    return ms;
}

static void reports_tell_delay_and_queue(void **state)
{
    struct sched s = of(BOND_AGGREGATE, 2);

    s.path[1].extra_ns = 50 * MS; /* what is guessed counts until there are reports */
    tell(&s, 0, NOW, 10 * MS);
    assert_in_range(must_wait_ms(&s, 1, NOW), 50, 51);
    tell(&s, 1, NOW, 30 * MS);
    assert_in_range(must_wait_ms(&s, 1, NOW), 20, 21);
    assert_int_equal(must_wait_ms(&s, 0, NOW), 0);
    tell(&s, 0, NOW + 50 * MS, 70 * MS); /* 60 of it is a queue: the other one is better now */
    assert_in_range(must_wait_ms(&s, 0, NOW + 50 * MS), 40, 41);
    assert_int_equal(must_wait_ms(&s, 1, NOW + 50 * MS), 0);
    assert_in_range(must_wait_ms(&s, 0, NOW + 80 * MS), 10, 11); /* it drains */
    assert_in_range(must_wait_ms(&s, 1, NOW + 150 * MS), 20, 21);
    tell(&s, 1, NOW + 200 * MS, 30 * MS);
    sched_update(&s);
    s.path[0].works = false;
    sched_update(&s);
    assert_int_equal(must_wait_ms(&s, 1, NOW + 200 * MS), 0);
}

/* A delay that stays is the path's own after some time, and a shorter one is at once. */
static void what_stays_is_no_queue(void **state)
{
    struct sched s = of(BOND_AGGREGATE, 2);
    uint64_t now_ns = NOW;

    tell(&s, 0, NOW, 10 * MS);
    tell(&s, 1, NOW, 10 * MS);
    for (unsigned i = 0; i < 300; i++, now_ns += 100 * MS) {
        tell(&s, 0, now_ns, 10 * MS);
        tell(&s, 1, now_ns, 60 * MS);
    }
    assert_in_range(must_wait_ms(&s, 1, now_ns + NS_PER_S), 50, 51); /* nothing has come since */
    tell(&s, 1, now_ns, 20 * MS);
    assert_in_range(must_wait_ms(&s, 1, now_ns), 10, 11);
}

static void a_clock_that_is_set_makes_reports_void(void **state)
{
    struct sched s = of(BOND_AGGREGATE, 2);

    tell(&s, 0, NOW, 10 * MS);
    tell(&s, 1, NOW, 40 * MS);
    tell(&s, 0, NOW + MS, 100 * NS_PER_S);
    tell(&s, 1, NOW + MS, 100 * NS_PER_S + 10 * MS);
    assert_in_range(must_wait_ms(&s, 1, NOW + MS), 10, 11);
}

/* What it has taken keeps its line busy, until a report says that it does not. */
static void a_line_that_has_taken_is_busy(void **state)
{
    struct sched s = of(BOND_AGGREGATE, 2);

    for (unsigned i = 0; i < 2; i++) {
        tell(&s, i, NOW, 10 * MS);
        s.path[i].rate = 800000;
    }
    sched_took(&s, 0, NOW, 16000);
    assert_in_range(must_wait_ms(&s, 0, NOW), 20, 21);
    assert_int_equal(must_wait_ms(&s, 1, NOW), 0);
    sched_took(&s, 1, NOW, 16000);
    assert_int_equal(must_wait_ms(&s, 0, NOW), 0);
    tell(&s, 1, NOW + MS, 10 * MS);
    assert_in_range(must_wait_ms(&s, 0, NOW + MS), 19, 20);
    tell(&s, 0, NOW + MS, 40 * MS);
    sched_took(&s, 0, NOW + MS, 16000);
    assert_in_range(must_wait_ms(&s, 0, NOW + MS), 50, 51);
}

static void by_priority_one_path_is_in_use(void **state)
{
    struct sched s = of(BOND_PRIORITY, 3);

    s.path[0].priority = 2;
    s.path[1].priority = s.path[2].priority = 1;
    assert_true(sched_update(&s));
    assert_int_equal(s.in_use, 1 << 1);
    s.path[1].works = false;
    sched_update(&s);
    assert_int_equal(s.in_use, 1 << 2);
    s.path[2].up = false;
    sched_update(&s);
    assert_int_equal(s.in_use, 1 << 0);
    s.path[1].works = true;
    sched_update(&s);
    assert_int_equal(s.in_use, 1 << 1);
    assert_false(takes(&s, 0, NS_PER_S));
    assert_true(takes(&s, 1, 0));
}

static void failover_stays_where_it_is(void **state)
{
    struct sched s = of(BOND_FAILOVER, 2);

    assert_int_equal(s.in_use, 1 << 0);
    s.path[0].works = false;
    s.path[0].given_up = true;
    sched_update(&s);
    assert_int_equal(s.in_use, 1 << 1);
    s.path[0].works = true;
    s.path[0].given_up = false;
    assert_false(sched_update(&s));
    assert_int_equal(s.in_use, 1 << 1);
}

static void failover_comes_back_after_a_gap(void **state)
{
    struct sched s = of(BOND_FAILOVER, 3);

    s.path[0].works = false;
    sched_update(&s);
    assert_int_equal(s.in_use, 1 << 1);
    assert_int_equal(s.current, 0);
    s.path[1].up = s.path[1].works = false;
    sched_update(&s);
    assert_int_equal(s.in_use, 1 << 2);
    s.path[0].works = true;
    sched_update(&s);
    assert_int_equal(s.in_use, 1 << 0);
    s.path[0].up = s.path[0].works = false; /* gone, not silent */
    sched_update(&s);
    assert_int_equal(s.in_use, 1 << 2);
    s.path[0].up = s.path[0].works = true;
    sched_update(&s);
    assert_int_equal(s.in_use, 1 << 2);
}

static void backup_paths_are_used_when_there_is_no_other(void **state)
{
    struct sched s = of(BOND_AGGREGATE, 3);

    s.path[2].status = PATH_BACKUP;
    sched_update(&s);
    assert_int_equal(s.in_use, 3);
    s.path[0].works = s.path[1].works = false;
    sched_update(&s);
    assert_int_equal(s.in_use, 1 << 2);
    s.path[2].works = false; /* nobody answers: try all */
    sched_update(&s);
    assert_int_equal(s.in_use, 7);
    for (unsigned i = 0; i < 3; i++)
        s.path[i].up = false;
    sched_update(&s);
    assert_int_equal(s.in_use, 0);
}

static void paths_that_lose_much_are_used_when_there_is_no_other(void **state)
{
    struct sched s = of(BOND_AGGREGATE, 3);

    s.path[0].lossy = true;
    s.path[2].status = PATH_BACKUP;
    sched_update(&s);
    assert_int_equal(s.in_use, 1 << 1);
    s.path[1].works = false;
    sched_update(&s);
    assert_int_equal(s.in_use, 1 << 2);
    s.path[2].works = false;
    sched_update(&s);
    assert_int_equal(s.in_use, 1 << 0);
}

static void flows_are_spread_by_weight_and_stay(void **state)
{
    enum { FLOWS = 20000 };
    struct sched s = of(BOND_BALANCED, 3), less = s;
    unsigned n[3] = {0}, moved = 0;

    s.path[2].weight = 2;
    s.path[0].works = false;
    sched_update(&less); /* s does not know it yet */
    for (uint64_t flow = 0; flow < FLOWS; flow++) {
        unsigned path = sched_path_of(&s, flow), then = sched_path_of(&less, flow);

        n[path]++;
        assert_int_not_equal(then, 0);
        moved += path != 0 && path != then;
    }
    assert_int_equal(moved, 0);
    assert_in_range(n[0], FLOWS / 4 - 400, FLOWS / 4 + 400);
    assert_in_range(n[1], FLOWS / 4 - 400, FLOWS / 4 + 400);
    assert_in_range(n[2], FLOWS / 2 - 400, FLOWS / 2 + 400);
}

static void pinned_packets_have_one_path_or_none(void **state)
{
    struct sched s = of(BOND_PIN, 3);

    s.pin = 1;
    sched_update(&s);
    assert_int_equal(s.in_use, 1 << 1);
    s.path[1].works = false; /* it may work again: nobody else knows */
    sched_update(&s);
    assert_int_equal(s.in_use, 1 << 1);
    assert_false(takes(&s, 0, NS_PER_S));
    s.path[1].up = false;
    assert_true(sched_update(&s));
    assert_int_equal(s.in_use, 0);
    assert_false(takes(&s, 0, NS_PER_S));
}

static void copies_go_over_the_quickest_that_work(void **state)
{
    struct sched s = of(BOND_DUPLICATE, 4);

    s.copies = 2;
    s.path[0].extra_ns = 40 * MS;
    s.path[1].extra_ns = 20 * MS;
    s.path[3].extra_ns = 30 * MS;
    sched_update(&s);
    assert_int_equal(s.in_use, 1 << 1 | 1 << 2);
    assert_true(takes(&s, 1, 0));
    assert_true(takes(&s, 2, 0));
    assert_false(takes(&s, 3, NS_PER_S));
    s.path[3].extra_ns = 19 * MS; /* hardly quicker */
    assert_false(sched_update(&s));
    s.path[3].extra_ns = 10 * MS;
    assert_true(sched_update(&s));
    assert_int_equal(s.in_use, 1 << 2 | 1 << 3);
    s.path[2].works = false;
    sched_update(&s);
    assert_int_equal(s.in_use, 1 << 1 | 1 << 3);
    s.copies = 16;
    sched_update(&s);
    assert_int_equal(s.in_use, 1 << 0 | 1 << 1 | 1 << 3);
}

static void the_quickest_takes_what_another_would_not_bring_sooner(void **state)
{
    struct sched s = of(BOND_LOWEST_LATENCY, 2);
    uint64_t again_ns;

    s.path[0].extra_ns = 30 * MS;
    sched_update(&s);
    assert_int_equal(s.current, 1);
    assert_true(takes(&s, 1, 0));
    assert_false(sched_may_take(&s, 0, NOW, 10 * MS, true, &again_ns));
    assert_int_equal(again_ns, NOW + 20 * MS + SCHED_MARGIN_NS);
    assert_true(takes(&s, 0, 30 * MS + SCHED_MARGIN_NS));
    s.path[0].extra_ns = 0;
    s.path[1].extra_ns = 1 * MS;
    assert_false(sched_update(&s));
    assert_int_equal(s.current, 1);
    s.path[1].extra_ns = 30 * MS;
    assert_true(sched_update(&s));
    assert_int_equal(s.current, 0);
    s.path[0].works = false;
    sched_update(&s);
    assert_int_equal(s.current, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_of_about_the_same_delay_all_take),
        cmocka_unit_test(a_slower_path_takes_what_has_waited_as_long),
        cmocka_unit_test(bulk_does_not_mind_the_queue_that_a_varying_path_keeps),
        cmocka_unit_test(a_slower_path_takes_no_faster_than_it_delivers),
        cmocka_unit_test(reports_tell_delay_and_queue),
        cmocka_unit_test(what_stays_is_no_queue),
        cmocka_unit_test(a_clock_that_is_set_makes_reports_void),
        cmocka_unit_test(a_line_that_has_taken_is_busy),
        cmocka_unit_test(by_priority_one_path_is_in_use),
        cmocka_unit_test(failover_stays_where_it_is),
        cmocka_unit_test(failover_comes_back_after_a_gap),
        cmocka_unit_test(backup_paths_are_used_when_there_is_no_other),
        cmocka_unit_test(paths_that_lose_much_are_used_when_there_is_no_other),
        cmocka_unit_test(flows_are_spread_by_weight_and_stay),
        cmocka_unit_test(pinned_packets_have_one_path_or_none),
        cmocka_unit_test(copies_go_over_the_quickest_that_work),
        cmocka_unit_test(the_quickest_takes_what_another_would_not_bring_sooner),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
