#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>

#include "base/util.h"
#include "masque/settings.h"
#include "packets.h"

enum { CONTROL = 3, ENCODER = 7, DECODER = 11 };

/* Whether a control stream with these bytes says yes, given in pieces cut at a and b. */
static bool cut_at(const uint8_t *p, size_t len, size_t a, size_t b, bool *ret_done)
{
    struct settings_tap t = {0};

    settings_tap_data(&t, CONTROL, p, a);
    settings_tap_data(&t, CONTROL, p + a, b - a);
    settings_tap_data(&t, CONTROL, p + b, len - b);
    *ret_done = t.done;
    return t.connect_protocol;
}

/* The same answer however the bytes are cut. */
static void check(const char *hex, bool yes, bool done)
{
    uint8_t p[256];
    size_t len = hex_bytes(hex, p, sizeof(p));

    for (size_t a = 0; a <= len; a++) {
        for (size_t b = a; b <= len; b++) {
            bool is_done;

            assert_int_equal(cut_at(p, len, a, b, &is_done), yes);
            assert_int_equal(is_done, done);
        }
    }
}

/* RFC 9114, 7.2.4: type 0x04, length, (identifier, value)...; RFC 9220, 3: setting 0x08. */
static void the_setting_is_found_wherever_it_stands(void **state)
{
    check("00 04 02 0801", true, true);
    check("00 04 04 3301 0801", true, true);
    check("00 04 04 0801 3301", true, true);
    check("00 04 0b 064800 0801 0100 0700 3301", true, true);
    check("00 04 04 3301 0800", false, true);
    check("00 04 02 3301", false, true);
    check("00 04 00", false, true);
    check("00 04 02 0802", false, true); /* an error that the library finds */
}

static void integers_may_be_longer_than_they_need(void **state)
{
    check("4000 4004 4005 4008 40013301", true, true);
    check("80000000 c000000000000004 10 c000000000000008 c000000000000001", true, true);
    /* Identifier and value of eight bytes each: the greatest of all, and ours behind it. */
    check("00 04 12 ffffffffffffffff ffffffffffffffff 0801", true, true);
}

static void what_is_not_settings_says_no(void **state)
{
    check("00 07 0100 04020801", false, true); /* GOAWAY first */
    check("00 00 04 04020801", false, true);   /* DATA first */
    check("00 2104 04020801", false, true);    /* an unknown frame first: RFC 9114, 6.2.1 */
    check("00", false, false);
    check("00 04 04 3301", false, false);      /* not whole yet */
    check("00 04 03 3301 08 01", false, true); /* ends inside a setting */
    check("00 04 03 3301 40 08 01", false, true);
    check("00 04 01 08 01", false, true);
}

static void settings_behind_the_frame_do_not_count(void **state)
{
    check("00 04 02 3301 0801", false, true);
    check("00 04 02 3301 04020801", false, true);
}

static void a_long_frame_is_read_to_its_end(void **state)
{
    static uint8_t p[4 + 20000];
    struct settings_tap t = {0};
    size_t len;

    hex_bytes("00 04 80004e20", p, 6); /* 20000 bytes of settings: 9999 unknown ones and ours */
    for (len = 6; len < 6 + 19998; len += 2) {
        p[len] = 0x21;
        p[len + 1] = (uint8_t)(len / 2 & 0x3f);
    }
    for (size_t i = 0; i < len; i += 100)
        settings_tap_data(&t, CONTROL, p + i, MIN(100, len - i));
    assert_false(t.done);
    settings_tap_data(&t, CONTROL, (const uint8_t *)"\x08\x01", 2);
    assert_true(t.done);
    assert_true(t.connect_protocol);
}

/* QPACK streams begin in any order with the control stream (RFC 9114, 6.2), byte by byte. */
static void other_streams_do_not_disturb(void **state)
{
    static const uint8_t control[] = {0x00, 0x04, 0x04, 0x33, 0x01, 0x08, 0x01};
    static const uint8_t encoder[] = {0x40, 0x02, 0x04, 0x02, 0x08, 0x00, 0x3f};
    static const uint8_t unknown[] = {0x21, 0x04, 0x02, 0x08, 0x00, 0x00, 0x04};

    for (unsigned order = 0; order < 6; order++) {
        struct settings_tap t = {0};
        const int64_t at[3] = {order % 3 == 0   ? CONTROL
                               : order % 3 == 1 ? ENCODER
                                                : DECODER,
                               order % 3 == 0   ? ENCODER
                               : order % 3 == 1 ? DECODER
                                                : CONTROL,
                               order % 3 == 0   ? DECODER
                               : order % 3 == 1 ? CONTROL
                                                : ENCODER};

        for (unsigned i = 0; i < sizeof(control); i++) {
            if (order < 3)
                settings_tap_data(&t, at[1], &encoder[i], 1);
            settings_tap_data(&t, at[0], &control[i], 1);
            settings_tap_data(&t, at[2], &unknown[i], 1);
            if (order >= 3)
                settings_tap_data(&t, at[1], &encoder[i], 1);
        }
        assert_true(t.done);
        assert_true(t.connect_protocol);
    }
}

static void streams_beyond_the_table_are_ignored(void **state)
{
    static const uint8_t yes[] = {0x00, 0x04, 0x02, 0x08, 0x01};
    struct settings_tap t = {0};

    settings_tap_data(&t, SETTINGS_STREAMS_MAX * 4 + 3, yes, sizeof(yes));
    settings_tap_data(&t, ((int64_t)1 << 62) - 1, yes, sizeof(yes));
    settings_tap_data(&t, -1, yes, sizeof(yes));
    assert_false(t.connect_protocol);
    settings_tap_data(&t, SETTINGS_STREAMS_MAX * 4 - 1, yes, sizeof(yes));
    assert_true(t.connect_protocol);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_setting_is_found_wherever_it_stands),
        cmocka_unit_test(integers_may_be_longer_than_they_need),
        cmocka_unit_test(what_is_not_settings_says_no),
        cmocka_unit_test(settings_behind_the_frame_do_not_count),
        cmocka_unit_test(a_long_frame_is_read_to_its_end),
        cmocka_unit_test(other_streams_do_not_disturb),
        cmocka_unit_test(streams_beyond_the_table_are_ignored),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
