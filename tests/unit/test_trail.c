#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "daemon/trail.h"

static void nothing_yet(void **state)
{
    struct path_trail t = {0};

    assert_null(trail_at(&t, 0));
}

static void the_last_comes_first(void **state)
{
    struct path_trail t = {0};

    trail_add(&t, EDGE_CONNECTING, "", 10, 100);
    trail_add(&t, EDGE_UP, "", 11, 200);
    trail_add(&t, EDGE_PAUSE, "silence", 12, 300);
    assert_int_equal(trail_at(&t, 0)->state, EDGE_PAUSE);
    assert_string_equal(trail_at(&t, 0)->why, "silence");
    assert_int_equal(trail_at(&t, 0)->at_s, 12);
    assert_int_equal(trail_at(&t, 0)->at_ns, 300);
    assert_int_equal(trail_at(&t, 2)->state, EDGE_CONNECTING);
    assert_null(trail_at(&t, 3));
}

static void the_same_again_is_no_step(void **state)
{
    struct path_trail t = {0};

    trail_add(&t, EDGE_IDLE, "no carrier", 10, 100);
    trail_add(&t, EDGE_IDLE, "no carrier", 20, 200);
    assert_int_equal(t.n, 1);
    assert_int_equal(trail_at(&t, 0)->at_s, 10);
    trail_add(&t, EDGE_IDLE, "no interface", 30, 300);
    assert_int_equal(t.n, 2);
}

static void the_oldest_are_forgotten(void **state)
{
    struct path_trail t = {0};
    char why[16];

    for (int i = 0; i < 3 * TRAIL_STEPS + 5; i++) {
        snprintf(why, sizeof(why), "%d", i);
        trail_add(&t, EDGE_PAUSE, why, i, (uint64_t)i);
    }
    assert_int_equal(trail_at(&t, 0)->at_s, 3 * TRAIL_STEPS + 4);
    assert_int_equal(trail_at(&t, TRAIL_STEPS - 1)->at_s, 2 * TRAIL_STEPS + 5);
    assert_null(trail_at(&t, TRAIL_STEPS));
}

static void what_is_up_may_be_in_trouble(void **state)
{
    assert_int_equal(trail_state(EDGE_UP, TROUBLE_NONE), EDGE_UP);
    assert_int_equal(trail_state(EDGE_UP, TROUBLE_SUSPECT), TRAIL_SUSPECT);
    assert_int_equal(trail_state(EDGE_UP, TROUBLE_LOSSY), TRAIL_LOSSY);
    assert_int_equal(trail_state(EDGE_PAUSE, TROUBLE_SUSPECT), EDGE_PAUSE);
    assert_string_equal(trail_state_name(TRAIL_LOSSY), "lossy");
}

static void a_path_without_answers_is_suspect(void **state)
{
    struct path_trail t = {0};

    trail_add(&t, EDGE_UP, "", 10, 100);
    trail_add(&t, TRAIL_SUSPECT, "it gets no answers", 11, 200);
    trail_add(&t, EDGE_UP, "it gets answers again", 12, 300);
    assert_string_equal(trail_state_name(trail_at(&t, 0)->state), "up");
    assert_string_equal(trail_state_name(trail_at(&t, 1)->state), "suspect");
    assert_int_equal(trail_at(&t, 1)->at_s, 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_yet),
        cmocka_unit_test(the_last_comes_first),
        cmocka_unit_test(the_same_again_is_no_step),
        cmocka_unit_test(the_oldest_are_forgotten),
        cmocka_unit_test(what_is_up_may_be_in_trouble),
        cmocka_unit_test(a_path_without_answers_is_suspect),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
