#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/rng.h"
#include "base/util.h"
#include "masque/outbuf.h"

static void add(struct outbuf *o, const char *text)
{
    assert_int_equal(outbuf_add(o, (const uint8_t *)text, strlen(text)), 0);
}

static void expect_next(struct outbuf *o, const char *text)
{
    const struct outbuf_chunk *c = outbuf_next(o);

    assert_non_null(c);
    assert_int_equal(c->len, strlen(text));
    assert_memory_equal(c->data, text, c->len);
}

static void chunks_are_handed_out_once_in_order(void **state)
{
    struct outbuf o = {0};

    assert_null(outbuf_next(&o));
    add(&o, "one");
    add(&o, "three");
    expect_next(&o, "one");
    add(&o, "five");
    expect_next(&o, "three");
    expect_next(&o, "five");
    assert_null(outbuf_next(&o));
    add(&o, "seven"); /* after everything was handed out */
    expect_next(&o, "seven");
    assert_null(outbuf_next(&o));
    assert_int_equal(o.bytes, 17);
    outbuf_done(&o);
    assert_int_equal(o.bytes, 0);
    assert_null(outbuf_next(&o));
}

/* The library points into a chunk until its last byte is acknowledged. */
static void a_chunk_stays_until_its_last_byte_is_acknowledged(void **state)
{
    struct outbuf o = {0};
    const struct outbuf_chunk *first;

    add(&o, "abcd");
    add(&o, "efg");
    first = outbuf_next(&o);
    outbuf_next(&o);
    outbuf_ack(&o, 3);
    assert_int_equal(o.bytes, 7);
    assert_memory_equal(first->data, "abcd", 4);
    outbuf_ack(&o, 1);
    assert_int_equal(o.bytes, 3);
    outbuf_ack(&o, 3);
    assert_int_equal(o.bytes, 0);
    assert_null(o.first);
    add(&o, "again");
    expect_next(&o, "again");
    outbuf_done(&o);
}

static void one_acknowledgement_frees_many(void **state)
{
    struct outbuf o = {0};

    add(&o, "ab");
    add(&o, "cd");
    add(&o, "ef");
    for (int i = 0; i < 3; i++)
        outbuf_next(&o);
    outbuf_ack(&o, 5);
    assert_int_equal(o.bytes, 2);
    outbuf_ack(&o, 1);
    assert_int_equal(o.bytes, 0);
    outbuf_done(&o);
}

/* What was not handed out cannot be acknowledged: it must stay, whatever the count says. */
static void an_acknowledgement_too_far_keeps_the_unread(void **state)
{
    struct outbuf o = {0};

    add(&o, "ab");
    add(&o, "cd");
    expect_next(&o, "ab");
    outbuf_ack(&o, 100);
    assert_int_equal(o.bytes, 2);
    expect_next(&o, "cd");
    outbuf_done(&o);
}

/* Against a plain count: random adds, reads and acknowledgements. */
static void bytes_add_up(void **state)
{
    uint64_t added = 0, read = 0, acked = 0;
    struct outbuf o = {0};
    struct rng rng;

    rng_seed(&rng, 3);
    for (unsigned i = 0; i < 20000; i++) {
        uint8_t data[40];
        size_t len = 1 + rng_below(&rng, sizeof(data));
        const struct outbuf_chunk *c;

        if (rng_below(&rng, 2)) {
            memset(data, (uint8_t)len, len);
            assert_int_equal(outbuf_add(&o, data, len), 0);
            added += len;
        }
        c = rng_below(&rng, 2) ? outbuf_next(&o) : NULL;
        if (c) {
            assert_int_equal(c->data[c->len - 1], (uint8_t)c->len);
            read += c->len;
        }
        len = rng_below(&rng, MIN(read - acked, 60) + 1);
        outbuf_ack(&o, len);
        acked += len;
        assert_true(o.bytes >= added - acked);
        assert_true(o.bytes < added - acked + sizeof(data));
    }
    assert_true(acked > 100000);
    outbuf_done(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_are_handed_out_once_in_order),
        cmocka_unit_test(a_chunk_stays_until_its_last_byte_is_acknowledged),
        cmocka_unit_test(one_acknowledgement_frees_many),
        cmocka_unit_test(an_acknowledgement_too_far_keeps_the_unread),
        cmocka_unit_test(bytes_add_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
