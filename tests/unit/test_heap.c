#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/heap.h"
#include "base/rng.h"

enum { N = 300 };

/* Random sets, moves and removals, compared with a linear search. */
static void agrees_with_linear_search(void **state)
{
    struct heap h = {0};
    struct heap_node node[N] = {{0}};
    struct rng r;

    rng_seed(&r, 7);
    for (int step = 0; step < 20000; step++) {
        struct heap_node *x = &node[rng_below(&r, N)];
        uint64_t least = UINT64_MAX;

        if (rng_below(&r, 3) == 0)
            heap_remove(&h, x);
        else
            assert_int_equal(heap_set(&h, x, rng_below(&r, 1000)), 0);
        for (int i = 0; i < N; i++)
            if (node[i].place && node[i].key_ns < least)
                least = node[i].key_ns;
        assert_true(heap_top(&h) ? heap_top(&h)->key_ns == least : least == UINT64_MAX);
    }
    heap_done(&h);
}

static void comes_out_in_order(void **state)
{
    struct heap h = {0};
    struct heap_node node[N] = {{0}};
    struct rng r;
    uint64_t last = 0;
    int n = 0;

    rng_seed(&r, 8);
    for (int i = 0; i < N; i++)
        assert_int_equal(heap_set(&h, &node[i], rng_below(&r, 50)), 0);
    for (struct heap_node *x; (x = heap_top(&h)); n++) {
        assert_true(x->key_ns >= last);
        last = x->key_ns;
        heap_remove(&h, x);
        assert_int_equal(x->place, 0);
        heap_remove(&h, x);
    }
    assert_int_equal(n, N);
    heap_done(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_linear_search),
        cmocka_unit_test(comes_out_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
