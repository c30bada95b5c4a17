#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>

#include "base/rng.h"
#include "masque/idset.h"

static void counting_up_takes_one_range(void **state)
{
    struct idset s;

    idset_init(&s);
    for (uint64_t id = 1; id <= 100000; id++)
        assert_int_equal(idset_add(&s, id), 0);
    assert_int_equal(s.n, 1);
    assert_int_equal(idset_add(&s, 1), -EEXIST);
    assert_int_equal(idset_add(&s, 50000), -EEXIST);
    assert_int_equal(idset_add(&s, 100000), -EEXIST);
    assert_int_equal(idset_add(&s, 100001), 0);
}

static void gaps_are_bounded(void **state)
{
    struct idset s;

    idset_init(&s);
    for (uint64_t i = 0; i < IDSET_RANGES_MAX; i++)
        assert_int_equal(idset_add(&s, 10 + 2 * i), 0);
    assert_int_equal(idset_add(&s, 1000), -ENOSPC);
    assert_int_equal(idset_add(&s, 1), -ENOSPC);
    /* What touches a range needs none of its own, and joining two frees one. */
    assert_int_equal(idset_add(&s, 9), 0);
    assert_int_equal(idset_add(&s, 11), 0);
    assert_int_equal(s.n, IDSET_RANGES_MAX - 1);
    assert_int_equal(idset_add(&s, 1000), 0);
    assert_int_equal(idset_add(&s, 1000), -EEXIST);
}

static void the_ends_of_the_number_space(void **state)
{
    struct idset s;

    idset_init(&s);
    assert_int_equal(idset_add(&s, UINT64_MAX), 0);
    assert_int_equal(idset_add(&s, 0), 0);
    assert_int_equal(idset_add(&s, UINT64_MAX), -EEXIST);
    assert_int_equal(idset_add(&s, 0), -EEXIST);
    assert_int_equal(idset_add(&s, UINT64_MAX - 1), 0);
    assert_int_equal(idset_add(&s, 1), 0);
    assert_int_equal(s.n, 2);
}

/* Against a plain table, with identifiers in random order. */
static void any_order_remembers_all(void **state)
{
    bool used[128] = {false};
    struct idset s;
    struct rng rng;

    rng_seed(&rng, 7);
    idset_init(&s);
    for (unsigned i = 0; i < 2000; i++) {
        uint64_t id = rng_below(&rng, 128);

        assert_int_equal(idset_add(&s, id), used[id] ? -EEXIST : 0);
        used[id] = true;
    }
    assert_int_equal(s.n, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counting_up_takes_one_range),
        cmocka_unit_test(gaps_are_bounded),
        cmocka_unit_test(the_ends_of_the_number_space),
        cmocka_unit_test(any_order_remembers_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
