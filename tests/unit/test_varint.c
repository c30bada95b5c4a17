#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/util.h"
#include "wire/varint.h"

/* The examples of RFC 9000, A.1, and the borders of each length (16, Table 4). */
static const struct {
    uint64_t v;
    size_t len;
    uint8_t bytes[8];
} shortest[] = {
    {UINT64_C(151288809941952652), 8, {0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c}},
    {494878333, 4, {0x9d, 0x7f, 0x3e, 0x7d}},
    {15293, 2, {0x7b, 0xbd}},
    {37, 1, {0x25}},
    {0, 1, {0}},
    {63, 1, {0x3f}},
    {64, 2, {0x40, 0x40}},
    {16383, 2, {0x7f, 0xff}},
    {16384, 4, {0x80, 0x00, 0x40, 0x00}},
    {1073741823, 4, {0xbf, 0xff, 0xff, 0xff}},
    {1073741824, 8, {0xc0, 0, 0, 0, 0x40, 0, 0, 0}},
    {VARINT_MAX, 8, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
};

static void the_examples_and_borders(void **state)
{
    for (unsigned i = 0; i < ARRAY_LEN(shortest); i++) {
        uint8_t buf[9] = {0};
        uint64_t v;

        assert_int_equal(varint_len(shortest[i].v), shortest[i].len);
        assert_int_equal(varint_put(buf, 8, shortest[i].v), shortest[i].len);
        assert_memory_equal(buf, shortest[i].bytes, 8);
        assert_int_equal(varint_get(shortest[i].bytes, shortest[i].len, &v), shortest[i].len);
        assert_int_equal(v, shortest[i].v);
    }
}

static void a_longer_encoding_is_valid(void **state)
{
    static const uint8_t two[] = {0x40, 0x25}, eight[] = {0xc0, 0, 0, 0, 0, 0, 0, 1};
    uint64_t v;

    assert_int_equal(varint_get(two, 2, &v), 2);
    assert_int_equal(v, 37);
    assert_int_equal(varint_get(eight, 8, &v), 8);
    assert_int_equal(v, 1);
}

static void too_little_room_or_too_few_bytes(void **state)
{
    for (unsigned i = 0; i < ARRAY_LEN(shortest); i++) {
        for (size_t n = 0; n < shortest[i].len; n++) {
            uint8_t buf[8];
            uint64_t v = 99;

            memset(buf, 0xaa, sizeof(buf));
            assert_int_equal(varint_get(shortest[i].bytes, n, &v), 0);
            assert_int_equal(v, 99);
            assert_int_equal(varint_put(buf, n, shortest[i].v), 0);
            assert_int_equal(buf[0], 0xaa);
        }
    }
}

static void more_than_62_bits_do_not_fit(void **state)
{
    uint8_t buf[8];

    assert_int_equal(varint_len(VARINT_MAX + 1), 0);
    assert_int_equal(varint_len(UINT64_MAX), 0);
    assert_int_equal(varint_put(buf, sizeof(buf), VARINT_MAX + 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_and_borders),
        cmocka_unit_test(a_longer_encoding_is_valid),
        cmocka_unit_test(too_little_room_or_too_few_bytes),
        cmocka_unit_test(more_than_62_bits_do_not_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
