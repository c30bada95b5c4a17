#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/util.h"
#include "quic/cidmap.h"

static const struct siphash_key key = {{1, 2}};

static void set(struct lane_cid *c, uint64_t n, size_t len)
{
    memset(c, 0, sizeof(*c));
    memcpy(c->data, &n, MIN(sizeof(n), len));
    c->len = (uint8_t)len;
}

static void empty(void **state)
{
    struct cidmap m;

    assert_int_equal(cidmap_init(&m, &key), 0);
    assert_null(cidmap_find(&m, (const uint8_t *)"12345678", 8));
    assert_null(cidmap_find(&m, (const uint8_t *)"", 0));
    cidmap_done(&m);
}

/* What is put in is found until it is taken out, through many growths. */
static void many(void **state)
{
    enum { N = 5000 };
    struct lane_cid *c = calloc(N, sizeof(*c));
    struct cidmap m;
    struct rng r;

    assert_int_equal(cidmap_init(&m, &key), 0);
    rng_seed(&r, 1);
    for (uint64_t i = 0; i < N; i++) {
        set(&c[i], i, 8);
        assert_int_equal(cidmap_add(&m, &c[i]), 0);
    }
    assert_int_equal(m.map.n, N);
    for (unsigned i = 0; i < N; i += 2)
        cidmap_remove(&m, &c[i]);
    assert_int_equal(m.map.n, N / 2);
    for (unsigned i = 0; i < N; i++)
        assert_ptr_equal(cidmap_find(&m, c[i].data, 8), i % 2 ? &c[i] : NULL);
    for (unsigned i = 0; i < N; i += 2)
        assert_int_equal(cidmap_add(&m, &c[i]), 0);
    for (unsigned i = 0; i < 10000; i++) {
        struct lane_cid *one = &c[rng_below(&r, N)];

        assert_ptr_equal(cidmap_find(&m, one->data, 8), one);
    }
    cidmap_done(&m);
    free(c);
}

static void length_belongs_to_the_key(void **state)
{
    struct lane_cid a, b, none;
    struct cidmap m;

    assert_int_equal(cidmap_init(&m, &key), 0);
    set(&a, 0, 8);
    set(&b, 0, 20);
    set(&none, 0, 0);
    assert_int_equal(cidmap_add(&m, &a), 0);
    assert_int_equal(cidmap_add(&m, &b), 0);
    assert_int_equal(cidmap_add(&m, &none), 0);
    assert_ptr_equal(cidmap_find(&m, a.data, 8), &a);
    assert_ptr_equal(cidmap_find(&m, b.data, 20), &b);
    assert_ptr_equal(cidmap_find(&m, b.data, 0), &none);
    assert_null(cidmap_find(&m, a.data, 9));
    assert_null(cidmap_find(&m, b.data, 21));
    cidmap_done(&m);
}

static void twice(void **state)
{
    struct lane_cid a, b;
    struct cidmap m;

    assert_int_equal(cidmap_init(&m, &key), 0);
    set(&a, 7, 8);
    set(&b, 7, 8);
    assert_int_equal(cidmap_add(&m, &a), 0);
    assert_int_equal(cidmap_add(&m, &b), -EEXIST);
    assert_ptr_equal(cidmap_find(&m, b.data, 8), &a);
    cidmap_remove(&m, &a);
    assert_int_equal(cidmap_add(&m, &b), 0);
    cidmap_done(&m);
}

/* IDs that fall together under one key do not under another. */
static void the_key_decides_what_collides(void **state)
{
    static const struct siphash_key other = {{3, 4}};
    unsigned together = 0, still = 0;

    for (uint64_t i = 0; i < 100000 && together < 64; i++) {
        if (siphash13(&key, &i, sizeof(i)) % 1024)
            continue;
        together++;
        still += siphash13(&other, &i, sizeof(i)) % 1024 == 0;
    }
    assert_int_equal(together, 64);
    assert_true(still < 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty),
        cmocka_unit_test(many),
        cmocka_unit_test(length_belongs_to_the_key),
        cmocka_unit_test(twice),
        cmocka_unit_test(the_key_decides_what_collides),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
