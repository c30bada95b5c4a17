#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <stdbool.h>
#include <string.h>

#include "config/nearest.h"

static void distances(void **state)
{
    static const struct {
        const char *a, *b;
        unsigned d;
    } t[] = {
        {"", "", 0},           {"", "abc", 3},
        {"abc", "", 3},        {"abc", "abc", 0},
        {"abc", "abd", 1},     {"abc", "ab", 1},
        {"ab", "abc", 1},      {"ab", "ba", 1},
        {"abcd", "acbd", 1},   {"abcd", "badc", 2},
        {"ca", "abc", 3},      {"kitten", "sitting", 3},
        {"chekc", "check", 1}, {"remote_prot", "remote_port", 1},
    };

    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        assert_int_equal(nearest_distance(t[i].a, t[i].b), t[i].d);
        assert_int_equal(nearest_distance(t[i].b, t[i].a), t[i].d);
    }
}

static void words_longer_than_64_are_far(void **state)
{
    char a[66], b[66];

    memset(a, 'x', 65);
    a[65] = 0;
    memcpy(b, a, sizeof(b));
    assert_int_equal(nearest_distance(a, b), UINT_MAX);
    a[64] = b[64] = 0;
    assert_int_equal(nearest_distance(a, b), 0);
    b[63] = 'y';
    assert_int_equal(nearest_distance(a, b), 1);
}

static const char *best_of(const char *word)
{
    struct nearest n = {.word = word};

    nearest_offer(&n, "check");
    nearest_offer(&n, "print");
    nearest_offer(&n, "help");
    nearest_offer(&n, "bbr");
    return n.best;
}

static void offers(void **state)
{
    assert_string_equal(best_of("chekc"), "check");
    assert_string_equal(best_of("pint"), "print");
    assert_string_equal(best_of("hlp"), "help");
    assert_string_equal(best_of("bbr2"), "bbr");
    assert_null(best_of("status"));
    assert_null(best_of("x"));
    assert_null(best_of(""));
}

/* Whether a word of six letters, of which two may differ, finds this. */
static bool is_found(const char *candidate)
{
    struct nearest n = {.word = "uplink"};

    nearest_offer(&n, candidate);
    return n.best == candidate;
}

static const char *key_of(const char *word)
{
    struct nearest n = {.word = word};

    nearest_offer(&n, "bind_ip");
    nearest_offer(&n, "tls_key_file");
    nearest_offer(&n, "find");
    return n.best;
}

static void a_part_will_do_where_nothing_is_near(void **state)
{
    assert_string_equal(key_of("tls_key"), "tls_key_file");
    assert_string_equal(key_of("key_file"), "tls_key_file");
    assert_string_equal(key_of("bind"), "find"); /* near comes first */
    assert_null(key_of("bin"));
    assert_null(key_of("ip"));
    assert_null(key_of("key"));
}

static void a_length_too_different_is_not_near(void **state)
{
    char longest[66] = "uplink";

    memset(longest + 6, 'x', 59);
    assert_true(is_found("uplinkab"));
    assert_true(is_found("upli"));
    assert_false(is_found("uplinkabc"));
    assert_false(is_found("upl"));
    assert_false(is_found(""));
    assert_false(is_found(longest));
}

static void a_word_too_long_finds_nothing(void **state)
{
    char word[66] = "", candidate[65] = "";
    struct nearest n = {.word = word};

    memset(word, 'x', 65);
    memset(candidate, 'x', 64);
    nearest_offer(&n, candidate);
    assert_null(n.best);
    word[64] = 0;
    nearest_offer(&n, candidate);
    assert_ptr_equal(n.best, candidate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distances),
        cmocka_unit_test(words_longer_than_64_are_far),
        cmocka_unit_test(offers),
        cmocka_unit_test(a_part_will_do_where_nothing_is_near),
        cmocka_unit_test(a_length_too_different_is_not_near),
        cmocka_unit_test(a_word_too_long_finds_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
