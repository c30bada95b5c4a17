/* The hash table of intrusive nodes against a plain list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/hmap.h"
#include "base/rng.h"
#include "base/util.h"

enum { ITEMS = 1000 };

struct item {
    struct hmap_node node;
    bool in;
};

static bool found(const struct hmap *m, const struct item *it, uint64_t hash)
{
    const struct hmap_node *n = hmap_first(m, hash);

    while (n && n != &it->node) {
        assert_true(n->hash == hash);
        n = hmap_next(n);
    }
    return n;
}

/* Few hashes, so that many nodes share one; hashes that differ only above the bucket's bits. */
static uint64_t hash_of(unsigned i)
{
    return (uint64_t)(i % 7) << 40 | i % 50;
}

static void nodes_come_and_go(void **state)
{
    static struct item item[ITEMS];
    struct hmap m;
    struct rng r;
    size_t n = 0;

    rng_seed(&r, 1);
    assert_int_equal(hmap_init(&m), 0);
    assert_null(hmap_first(&m, 5));
    assert_null(hmap_walk(&m, NULL));
    for (unsigned step = 0; step < 20000; step++) {
        unsigned i = (unsigned)rng_below(&r, ITEMS);

        if (item[i].in)
            hmap_remove(&m, &item[i].node);
        else
            hmap_add(&m, &item[i].node, hash_of(i));
        item[i].in = !item[i].in;
        n = item[i].in ? n + 1 : n - 1;
        assert_int_equal(m.n, n);
        assert_int_equal(found(&m, &item[i], hash_of(i)), item[i].in);
        i = (unsigned)rng_below(&r, ITEMS);
        assert_int_equal(found(&m, &item[i], hash_of(i)), item[i].in);
    }
    hmap_done(&m);
}

static void a_walk_meets_each_node_once(void **state)
{
    static struct item item[ITEMS];
    struct hmap m;
    unsigned n = 0;

    assert_int_equal(hmap_init(&m), 0);
    for (unsigned i = 0; i < ITEMS; i++)
        hmap_add(&m, &item[i].node, hash_of(i));
    for (struct hmap_node *at = hmap_walk(&m, NULL), *next; at; at = next) {
        struct item *it = container_of(at, struct item, node);

        next = hmap_walk(&m, at);
        assert_false(it->in);
        it->in = true;
        hmap_remove(&m, at); /* its successor is known */
        n++;
    }
    assert_int_equal(n, ITEMS);
    assert_int_equal(m.n, 0);
    hmap_done(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_come_and_go),
        cmocka_unit_test(a_walk_meets_each_node_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
