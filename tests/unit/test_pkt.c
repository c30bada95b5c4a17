#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "packet/pkt.h"

static void a_class_has_exactly_its_buffers(void **state)
{
    struct pkt_pool *pool = pkt_pool_new(3, 1);
    struct pkt *small[3], *medium[PKT_MEDIUM_PER_LARGE], *large;

    for (int i = 0; i < 3; i++) {
        small[i] = pkt_new(pool, PKT_SMALL_MAX);
        assert_non_null(small[i]);
        assert_int_equal(small[i]->pool_class, 0);
    }
    /* No small buffer left, and none of another class stands in. */
    assert_null(pkt_new(pool, 1));
    for (int i = 0; i < PKT_MEDIUM_PER_LARGE; i++) {
        medium[i] = pkt_new(pool, i ? PKT_SMALL_MAX + 1 : PKT_MEDIUM_MAX);
        assert_non_null(medium[i]);
        assert_int_equal(medium[i]->pool_class, 1);
        assert_int_equal(pkt_tailroom(medium[i]), PKT_MEDIUM_MAX);
    }
    assert_null(pkt_new(pool, PKT_MEDIUM_MAX));
    large = pkt_new(pool, PKT_MEDIUM_MAX + 1);
    assert_non_null(large);
    assert_int_equal(large->pool_class, 2);
    assert_int_equal(pkt_pool_left(pool, large), 0);
    assert_null(pkt_new(pool, PKT_LARGE_MAX));
    assert_int_equal(pkt_pool_in_use(pool), 4 + PKT_MEDIUM_PER_LARGE);

    pkt_free(pool, small[1]);
    assert_ptr_equal(pkt_new(pool, 0), small[1]);
    for (int i = 0; i < 3; i++)
        pkt_free(pool, small[i]);
    for (int i = 0; i < PKT_MEDIUM_PER_LARGE; i++)
        pkt_free(pool, medium[i]);
    pkt_free(pool, large);
    assert_int_equal(pkt_pool_in_use(pool), 0);
    pkt_pool_free(pool);
}

static void a_new_packet_is_empty_with_its_full_room(void **state)
{
    struct pkt_pool *pool = pkt_pool_new(1, 1);
    struct pkt *pkt = pkt_new(pool, 100);

    pkt->len = 1000;
    pkt->gso = PKT_GSO_UDP;
    pkt->gso_size = 1200;
    pkt->csum_start = 20;
    pkt->data -= 10;
    pkt_free(pool, pkt);

    pkt = pkt_new(pool, 100);
    assert_int_equal(pkt->len, 0);
    assert_int_equal(pkt->gso, PKT_GSO_NONE);
    assert_int_equal(pkt->gso_size, 0);
    assert_int_equal(pkt->csum_start, 0);
    assert_int_equal(pkt_headroom(pkt), PKT_HEADROOM);
    assert_int_equal(pkt_tailroom(pkt), PKT_SMALL_MAX);
    pkt_free(pool, pkt);

    pkt = pkt_new(pool, PKT_LARGE_MAX);
    assert_int_equal(pkt_tailroom(pkt), PKT_LARGE_MAX);
    pkt_free(pool, pkt);
    pkt_pool_free(pool);
}

static void rooms_follow_data_and_len(void **state)
{
    struct pkt_pool *pool = pkt_pool_new(1, 0);
    struct pkt *pkt = pkt_new(pool, 100);

    pkt->len = 100;
    assert_int_equal(pkt_tailroom(pkt), PKT_SMALL_MAX - 100);
    pkt->data -= 12;
    pkt->len += 12;
    assert_int_equal(pkt_headroom(pkt), PKT_HEADROOM - 12);
    assert_int_equal(pkt_tailroom(pkt), PKT_SMALL_MAX - 100);
    pkt_free(pool, pkt);
    pkt_pool_free(pool);
}

static void buffers_do_not_overlap(void **state)
{
    enum { N = 5 };
    struct pkt_pool *pool = pkt_pool_new(N, 2);
    struct pkt *v[N + 2];

    for (int i = 0; i < N + 2; i++) {
        v[i] = pkt_new(pool, i < N ? 1 : PKT_LARGE_MAX);
        memset(v[i]->buf, i + 1, v[i]->cap);
    }
    for (int i = 0; i < N + 2; i++) {
        for (uint32_t j = 0; j < v[i]->cap; j++)
            assert_int_equal(v[i]->buf[j], i + 1);
        pkt_free(pool, v[i]);
    }
    pkt_pool_free(pool);
}

static void a_batch_goes_back_whole(void **state)
{
    struct pkt_pool *pool = pkt_pool_new(PKT_BATCH_MAX, 0);
    struct pkt_batch batch = {0};

    while (batch.n < PKT_BATCH_MAX)
        batch.v[batch.n++] = pkt_new(pool, 1);
    assert_int_equal(pkt_pool_in_use(pool), PKT_BATCH_MAX);
    pkt_batch_free(pool, &batch);
    assert_int_equal(batch.n, 0);
    assert_int_equal(pkt_pool_in_use(pool), 0);
    pkt_free(pool, NULL);
    pkt_pool_free(pool);
    pkt_pool_free(NULL);
}

static void what_is_too_large_is_refused(void **state)
{
    struct pkt_pool *pool = pkt_pool_new(1, 1);

    assert_null(pkt_new(pool, PKT_LARGE_MAX + 1));
    assert_null(pkt_new(pool, SIZE_MAX));
    assert_int_equal(pkt_pool_in_use(pool), 0);
    pkt_pool_free(pool);
}

/* --- trimming ------------------------------------------------------------------------------ */

static struct {
    unsigned n;
    size_t bytes;
} released;

static void on_release(void *pages, size_t len)
{
    assert_int_equal((uintptr_t)pages % 4096, 0);
    assert_int_equal(len % 4096, 0);
    memset(pages, 0, len);
    released.n++;
    released.bytes += len;
}

static void trim(struct pkt_pool *pool, unsigned n)
{
    released.n = 0;
    released.bytes = 0;
    pkt_pool_trim(pool, on_release);
    assert_int_equal(released.n, n);
}

static void take_and_return(struct pkt_pool *pool, unsigned n)
{
    struct pkt *v[8];

    for (unsigned i = 0; i < n; i++) {
        v[i] = pkt_new(pool, PKT_LARGE_MAX);
        assert_non_null(v[i]);
        memset(v[i]->data, 1, PKT_LARGE_MAX);
    }
    while (n > 0)
        pkt_free(pool, v[--n]);
}

static void what_was_not_needed_is_given_away(void **state)
{
    struct pkt_pool *pool = pkt_pool_new(8, 8);
    struct pkt *pkt;

    trim(pool, 0); /* never touched */
    take_and_return(pool, 6);
    trim(pool, 0); /* needed a moment ago */
    take_and_return(pool, 2);
    trim(pool, 4);
    assert_in_range(released.bytes, 4 * (PKT_LARGE_MAX - 4096), 4 * PKT_LARGE_MAX);
    trim(pool, 2);
    trim(pool, 0);
    take_and_return(pool, 8); /* as good as new */
    pkt = pkt_new(pool, PKT_LARGE_MAX);
    trim(pool, 0);
    trim(pool, 7);
    pkt_free(pool, pkt);
    assert_int_equal(pkt_pool_in_use(pool), 0);
    pkt_pool_free(pool);
}

static void a_lender_lives_as_long_as_what_borrows_from_it(void **state)
{
    struct pkt_pool *pool = pkt_pool_new(4, 1);
    struct pkt *lender = pkt_new(pool, PKT_LARGE_MAX), *a = pkt_new(pool, 100),
               *b = pkt_new(pool, 100);

    for (unsigned i = 0; i < 300; i++)
        lender->data[i] = (uint8_t)i;
    lender->len = 300;
    a->len = b->len = 1;
    a->data[0] = b->data[0] = 0xff;
    pkt_borrow(a, lender, 0, 100);
    pkt_borrow(b, lender, 100, 200);
    pkt_free(pool, lender);
    assert_int_equal(pkt_pool_in_use(pool), 3);
    assert_int_equal(pkt_total(a), 101);
    assert_int_equal(pkt_total(b), 201);
    assert_memory_equal(b->rest, lender->data + 100, 200);

    pkt_free(pool, a);
    assert_int_equal(pkt_pool_in_use(pool), 2);
    pkt_settle(pool, b);
    assert_int_equal(pkt_pool_in_use(pool), 1);
    assert_int_equal(b->len, 201);
    assert_int_equal(pkt_total(b), 201);
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(b->data[1 + i], (uint8_t)(100 + i));
    pkt_settle(pool, b); /* nothing is borrowed any more */
    assert_int_equal(b->len, 201);
    pkt_free(pool, b);
    assert_int_equal(pkt_pool_in_use(pool), 0);
    pkt_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_class_has_exactly_its_buffers),
        cmocka_unit_test(a_new_packet_is_empty_with_its_full_room),
        cmocka_unit_test(rooms_follow_data_and_len),
        cmocka_unit_test(buffers_do_not_overlap),
        cmocka_unit_test(a_batch_goes_back_whole),
        cmocka_unit_test(what_is_too_large_is_refused),
        cmocka_unit_test(what_was_not_needed_is_given_away),
        cmocka_unit_test(a_lender_lives_as_long_as_what_borrows_from_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
