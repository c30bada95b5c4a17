#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "bond/queue.h"

static struct pkt_pool *pool;

static int setup(void **state)
{
    pool = pkt_pool_new(16, 0);
    return !pool;
}

static int teardown(void **state)
{
    pkt_pool_free(pool);
    return 0;
}

static struct pkt *packet(uint32_t len)
{
    struct pkt *pkt = pkt_new(pool, len);

    assert_non_null(pkt);
    pkt->len = len;
    return pkt;
}

static void push(struct queue *q, uint32_t len)
{
    assert_int_equal(queue_push(q, packet(len)), 0);
}

static void expect(struct queue *q, uint32_t len)
{
    struct pkt *pkt = queue_peek(q);

    assert_non_null(pkt);
    assert_int_equal(pkt->len, len);
    assert_ptr_equal(queue_pop(q), pkt);
    assert_null(pkt->next);
    pkt_free(pool, pkt);
}

static void first_in_first_out(void **state)
{
    struct queue q;

    queue_init(&q, 1000);
    assert_null(queue_peek(&q));
    assert_null(queue_pop(&q));
    push(&q, 100);
    push(&q, 200);
    push(&q, 300);
    assert_int_equal(q.n, 3);
    assert_int_equal(q.bytes, 600);
    expect(&q, 100);
    push(&q, 400);
    expect(&q, 200);
    expect(&q, 300);
    expect(&q, 400);
    assert_null(queue_pop(&q));
    push(&q, 500); /* usable again after it was empty */
    expect(&q, 500);
    assert_int_equal(q.bytes, 0);
    assert_int_equal(q.n, 0);
}

static void bounded_in_bytes(void **state)
{
    struct queue q;
    struct pkt *over = packet(101);

    queue_init(&q, 1000);
    push(&q, 500);
    push(&q, 400);
    assert_int_equal(queue_push(&q, over), -ENOSPC); /* and stays the caller's */
    assert_int_equal(q.n, 2);
    push(&q, 100);
    assert_int_equal(queue_push(&q, over), -ENOSPC);
    expect(&q, 500);
    assert_int_equal(queue_push(&q, over), 0);
    assert_int_equal(q.bytes, 601);
    queue_flush(&q, pool);
}

static void what_is_put_back_comes_first(void **state)
{
    struct queue q;

    queue_init(&q, 300);
    queue_push_front(&q, packet(100)); /* into an empty one: it has a tail as well */
    push(&q, 200);
    queue_push_front(&q, packet(250)); /* above the bound */
    assert_int_equal(q.bytes, 550);
    expect(&q, 250);
    expect(&q, 100);
    expect(&q, 200);
}

static void flushing_returns_every_packet(void **state)
{
    struct queue q;

    queue_init(&q, 100000);
    for (unsigned i = 0; i < 16; i++)
        push(&q, 1000);
    assert_int_equal(pkt_pool_in_use(pool), 16);
    queue_flush(&q, pool);
    assert_int_equal(pkt_pool_in_use(pool), 0);
    assert_int_equal(q.bytes, 0);
    assert_null(queue_peek(&q));
    queue_flush(&q, pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_in_first_out),
        cmocka_unit_test(bounded_in_bytes),
        cmocka_unit_test(what_is_put_back_comes_first),
        cmocka_unit_test(flushing_returns_every_packet),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
