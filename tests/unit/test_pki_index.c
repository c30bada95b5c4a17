#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "pki/index.h"

static void test_serials(void **state)
{
    static const struct {
        const char *text, *want;
    } good[] = {
        {"01ab", "01ab"},
        {"0x1AB", "01ab"},
        {"01:AB:00", "01ab00"},
        {"000001", "01"},
        {"0", "00"},
        {"0000", "00"},
        {"f", "0f"},
        {"00ffffffffffffffffffffffffffffffffffffffff", "ffffffffffffffffffffffffffffffffffffffff"},
    };
    static const char *const bad[] = {
        "", "0x", ":", "xyz", "1 2", "-1", "1ffffffffffffffffffffffffffffffffffffffff"};
    char serial[PKI_SERIAL_STR_MAX];

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_int_equal(pki_serial_parse(good[i].text, serial), 0);
        assert_string_equal(serial, good[i].want);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(pki_serial_parse(bad[i], serial), -EINVAL);
}

static void test_times(void **state)
{
    static const char *const bad[] = {"", "2026", "2026-01-02 03:04:05", "2026-01-02T03:04:05Z ",
                                      "2026-13-02T03:04:05Z"};
    char buf[PKI_TIME_STR_MAX];
    int64_t t = 7;

    assert_string_equal(pki_time_str(1767323045, buf), "2026-01-02T03:04:05Z");
    assert_int_equal(pki_time_parse("2026-01-02T03:04:05Z", &t), 0);
    assert_int_equal(t, 1767323045);
    assert_string_equal(pki_time_str(0, buf), "-");
    assert_int_equal(pki_time_parse("-", &t), 0);
    assert_int_equal(t, 0);
    assert_int_equal(pki_time_parse("2049-12-31T23:59:59Z", &t), 0);
    assert_true(t > INT32_MAX);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(pki_time_parse(bad[i], &t), -EINVAL);
}

static void test_names(void **state)
{
    assert_true(pki_name_ok("edge1"));
    assert_true(pki_name_ok("hub.example"));
    assert_true(pki_name_ok("2001:db8::1"));
    assert_true(pki_name_ok("::1"));
    assert_false(pki_name_ok(""));
    assert_false(pki_name_ok(".."));
    assert_false(pki_name_ok(".hidden"));
    assert_false(pki_name_ok("-option"));
    assert_false(pki_name_ok("a/b"));
    assert_false(pki_name_ok("a b"));
    assert_false(pki_name_ok("a\n"));
}

static const char text[] = "# head\n"
                           "\n"
                           "01ab ca mpquic_CA 2026-01-01T00:00:00Z 2036-01-01T00:00:00Z -\n"
                           "  02 client\tedge1 2026-01-01T00:00:00Z 2028-01-01T00:00:00Z "
                           "2027-01-01T00:00:00Z\n"
                           "03 other - - - 2027-01-01T00:00:00Z";

static void test_reading(void **state)
{
    struct index_table t = {0}, back = {0};
    struct file_text out = {0};
    struct pki_error e;

    assert_int_equal(index_parse(text, strlen(text), &t, &e), 0);
    assert_int_equal(t.n, 3);
    assert_string_equal(t.v[1].name, "edge1");
    assert_int_equal(t.v[1].kind, PKI_KIND_CLIENT);
    assert_true(t.v[1].revoked > t.v[1].not_before);
    assert_int_equal(t.v[0].revoked, 0);
    assert_ptr_equal(index_find_serial(&t, "03"), &t.v[2]);
    assert_null(index_find_serial(&t, "04"));
    assert_int_equal(index_print(&t, &out, &e), 0);
    assert_int_equal(index_parse(out.data, out.len, &back, &e), 0);
    assert_int_equal(back.n, t.n);
    assert_memory_equal(back.v, t.v, t.n * sizeof(*t.v));
    index_done(&t);
    index_done(&back);
    file_text_done(&out);
}

static void test_bad_lines(void **state)
{
    static const char *const bad[] = {
        "01 client edge1 - -\n",   "01 client edge1 - - - -\n", "zz client edge1 - - -\n",
        "01 friend edge1 - - -\n", "01 client ../x - - -\n",    "01 client edge1 yesterday - -\n",
    };
    struct index_table t = {0};
    struct pki_error e;
    char long_line[400];

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(index_parse(bad[i], strlen(bad[i]), &t, &e), -EINVAL);
        assert_non_null(strstr(e.text, "line 1"));
    }
    memset(long_line, '0', sizeof(long_line));
    assert_int_equal(index_parse(long_line, sizeof(long_line), &t, &e), -EINVAL);
    assert_int_equal(index_parse("01 client a\0 - - -\n", 19, &t, &e), -EINVAL);
    assert_int_equal(index_parse("", 0, &t, &e), 0);
    assert_int_equal(t.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_serials),   cmocka_unit_test(test_times),
        cmocka_unit_test(test_names),     cmocka_unit_test(test_reading),
        cmocka_unit_test(test_bad_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
