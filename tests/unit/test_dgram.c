#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "wire/dgram.h"

#define STREAM_MAX ((UINT64_C(1) << 62) - 4)

/* RFC 9484, 8.1: a datagram of stream 44 has Quarter Stream ID 11 and Context ID 0. */
static void the_example_of_rfc_9484(void **state)
{
    static const uint8_t wire[] = {11, 0, 0x45};
    uint64_t stream, context;
    size_t a, b;

    assert_int_equal(dgram_get_stream(wire, sizeof(wire), &stream, &a), DGRAM_OK);
    assert_int_equal(stream, 44);
    assert_int_equal(dgram_get_context(wire + a, sizeof(wire) - a, &context, &b), DGRAM_OK);
    assert_int_equal(context, DGRAM_CONTEXT_IP);
    assert_int_equal(a + b, 2);
}

static void prefixes_come_back(void **state)
{
    static const uint64_t streams[] = {0, 4, 252, 256, 65532, 65536, UINT64_C(1) << 32, STREAM_MAX};
    static const uint64_t contexts[] = {0, 63, 64, 16384, (UINT64_C(1) << 62) - 1};

    for (unsigned i = 0; i < ARRAY_LEN(streams); i++) {
        for (unsigned j = 0; j < ARRAY_LEN(contexts); j++) {
            uint8_t buf[DGRAM_PREFIX_MAX];
            size_t n = dgram_prefix_put(buf, sizeof(buf), streams[i], contexts[j]), a, b;
            uint64_t stream, context;

            assert_int_equal(n, dgram_prefix_len(streams[i], contexts[j]));
            assert_int_equal(dgram_prefix_put(buf, n - 1, streams[i], contexts[j]), 0);
            assert_int_equal(dgram_get_stream(buf, n, &stream, &a), DGRAM_OK);
            assert_int_equal(dgram_get_context(buf + a, n - a, &context, &b), DGRAM_OK);
            assert_int_equal(a + b, n);
            assert_int_equal(stream, streams[i]);
            assert_int_equal(context, contexts[j]);
            /* Cut anywhere, the integer that is cut is named. */
            for (size_t k = 0; k < n; k++) {
                if (k < a)
                    assert_int_equal(dgram_get_stream(buf, k, &stream, &a), DGRAM_STREAM_SHORT);
                else
                    assert_int_equal(dgram_get_context(buf + a, k - a, &context, &b),
                                     DGRAM_CONTEXT_SHORT);
            }
        }
    }
}

static void a_quarter_stream_id_has_60_bits(void **state)
{
    static const uint8_t most[] = {0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    static const uint8_t more[] = {0xd0, 0, 0, 0, 0, 0, 0, 0};
    uint64_t stream = 1;
    size_t n = 1;

    assert_int_equal(dgram_get_stream(more, 8, &stream, &n), DGRAM_STREAM_RANGE);
    assert_int_equal(stream, 1);
    assert_int_equal(n, 1);
    assert_int_equal(dgram_get_stream(most, 8, &stream, &n), DGRAM_OK);
    assert_int_equal(stream, STREAM_MAX);
    assert_string_equal(dgram_error_name(DGRAM_STREAM_RANGE), "Quarter Stream ID above 2^60-1");
}

static void only_request_streams_have_datagrams(void **state)
{
    uint8_t buf[DGRAM_PREFIX_MAX];

    assert_int_equal(dgram_prefix_len(1, 0), 0);
    assert_int_equal(dgram_prefix_len(2, 0), 0);
    assert_int_equal(dgram_prefix_len(STREAM_MAX + 4, 0), 0);
    assert_int_equal(dgram_prefix_len(0, UINT64_C(1) << 62), 0);
    assert_int_equal(dgram_prefix_put(buf, sizeof(buf), 3, 0), 0);
}

static void the_prefix_goes_into_the_headroom(void **state)
{
    struct pkt_pool *pool = pkt_pool_new(1, 0);
    struct pkt *pkt = pkt_new(pool, 100);
    uint8_t *start = pkt->data;

    memset(pkt->data, 0x45, 100);
    pkt->len = 100;
    pkt->csum_start = 20;
    assert_int_equal(dgram_push_prefix(pkt, 256, 0), -EINVAL);
    pkt->csum_start = 0;
    pkt->gso = PKT_GSO_TCP4;
    assert_int_equal(dgram_push_prefix(pkt, 256, 0), -EINVAL);
    pkt->gso = PKT_GSO_NONE;
    assert_int_equal(dgram_push_prefix(pkt, 5, 0), -EINVAL);
    assert_ptr_equal(pkt->data, start);

    assert_int_equal(dgram_push_prefix(pkt, 256, 0), 0);
    assert_ptr_equal(pkt->data, start - 3);
    assert_int_equal(pkt->len, 103);
    assert_memory_equal(pkt->data, "\x40\x40\x00\x45", 4);

    pkt->data = pkt->buf + 2;
    assert_int_equal(dgram_push_prefix(pkt, 256, 0), -ENOSPC);
    assert_int_equal(pkt->len, 103);
    assert_int_equal(dgram_push_prefix(pkt, 4, 0), 0);
    assert_ptr_equal(pkt->data, pkt->buf);
    pkt_free(pool, pkt);
    pkt_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_rfc_9484),
        cmocka_unit_test(prefixes_come_back),
        cmocka_unit_test(a_quarter_stream_id_has_60_bits),
        cmocka_unit_test(only_request_streams_have_datagrams),
        cmocka_unit_test(the_prefix_goes_into_the_headroom),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
