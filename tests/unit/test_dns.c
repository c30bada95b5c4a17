/* Questions to name servers, and what may come back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "wan/dns.h"

/* example.com A, and an answer with an alias, an address of each kind, and something else. */
static const uint8_t question[] = {0x12, 0x34, 1,   0,   0,   1,   0,   0,   0,   0,
                                   0,    0,    7,   'e', 'x', 'a', 'm', 'p', 'l', 'e',
                                   3,    'c',  'o', 'm', 0,   0,   1,   0,   1};
static const uint8_t records[] = {
    0xc0, 12,  0,    5,    0, 1, 0, 0, 0, 9, 0,  4, 1,   'b', 0xc0, 12, /* CNAME b.example.com */
    1,    'b', 0xc0, 12,   0, 1, 0, 1, 0, 0, 0,  9, 0,   4,   192,  0,  2, 1, /* A */
    0,    0,   28,   0,    1, 0, 0, 0, 9, 0, 16,                              /* AAAA of the root */
    0x20, 1,   0xd,  0xb8, 0, 0, 0, 0, 0, 0, 0,  0, 0,   0,   0,    1,        /* its address */
    0xc0, 12,  0,    1,    0, 3, 0, 0, 0, 9, 0,  4, 192, 0,   2,    1, /* A of another class */
    0xc0, 12,  0,    1,    0, 1, 0, 0, 0, 9, 0,  3, 192, 0,   2,       /* too short to be one */
};
enum { N_RECORDS = 5 };

struct answer {
    uint8_t data[sizeof(question) + sizeof(records)];
    size_t len;
};

static struct answer make(uint16_t flags, unsigned n_records)
{
    struct answer a = {.len = n_records ? sizeof(a.data) : sizeof(question)};

    memcpy(a.data, question, sizeof(question));
    memcpy(a.data + sizeof(question), records, sizeof(records));
    store_be16(a.data + 2, flags);
    store_be16(a.data + 6, (uint16_t)n_records);
    return a;
}

static int take(const struct answer *a, struct dns_answer *ret)
{
    uint16_t id = 0;
    int rv = dns_answer_read(a->data, a->len, question, sizeof(question), &id, ret);

    assert_true(rv || id == 0x1234);
    return rv;
}

static void the_question(void **state)
{
    char longest[254], label[65];
    uint8_t buf[DNS_QUERY_MAX];
    size_t len;

    assert_int_equal(dns_query_write("example.com", GATEWAY_RECORD_A, 0x1234, buf, &len), 0);
    assert_int_equal(len, sizeof(question));
    assert_memory_equal(buf, question, sizeof(question));
    assert_int_equal(dns_query_write("example.com.", GATEWAY_RECORD_A, 0x1234, buf, &len), 0);
    assert_memory_equal(buf, question, sizeof(question));
    assert_int_equal(dns_query_write("", GATEWAY_RECORD_NS, 1, buf, &len), 0);
    assert_int_equal(len, 12 + 5);
    assert_memory_equal(buf + 12, "\0\0\2\0\1", 5);
    memset(longest, 'a', sizeof(longest));
    for (size_t i = 49; i < 253; i += 50)
        longest[i] = '.';
    longest[253] = 0;
    assert_int_equal(dns_query_write(longest, GATEWAY_RECORD_A, 1, buf, &len), 0);
    assert_int_equal(len, DNS_QUERY_MAX);
    memset(label, 'a', 64);
    label[64] = 0;
    assert_int_equal(dns_query_write(label, GATEWAY_RECORD_A, 1, buf, &len), -EINVAL);
    label[63] = 0;
    assert_int_equal(dns_query_write(label, GATEWAY_RECORD_A, 1, buf, &len), 0);
    assert_int_equal(dns_query_write("a..b", GATEWAY_RECORD_A, 1, buf, &len), -EINVAL);
    assert_int_equal(dns_query_write(".", GATEWAY_RECORD_A, 1, buf, &len), -EINVAL);
}

static void the_answer(void **state)
{
    struct answer a = make(0x8180, N_RECORDS);
    struct dns_answer told = {0};

    assert_int_equal(take(&a, &told), 0);
    assert_int_equal(told.rcode, 0);
    assert_int_equal(told.n_addresses, 2);
    a.data[13] = 'E'; /* upper and lower case are the same */
    assert_int_equal(take(&a, &told), 0);
    a.data[13] = 'f';
    assert_int_equal(take(&a, &told), -EINVAL);
    a = make(0x0100, N_RECORDS); /* a question */
    assert_int_equal(take(&a, &told), -EINVAL);
    a = make(0x8180 | 0x2800, 0); /* an answer to something else than a question */
    assert_int_equal(take(&a, &told), -EINVAL);
    a = make(0x8180, 0);
    a.data[a.len - 3] = 28; /* of another type */
    assert_int_equal(take(&a, &told), -EINVAL);
    a = make(0x8180, 0);
    a.data[5] = 2;
    assert_int_equal(take(&a, &told), -EINVAL);
}

/* Every length is one that can come. */
static void what_is_cut_off(void **state)
{
    struct answer a = make(0x8180, N_RECORDS), cut = make(0x8380, N_RECORDS);
    struct dns_answer told = {0};

    for (size_t len = 0; len < sizeof(a.data); len++) {
        a.len = cut.len = len;
        assert_int_equal(take(&a, &told), -EINVAL);
        assert_int_equal(take(&cut, &told), len < sizeof(question) ? -EINVAL : 0);
    }
    assert_int_equal(told.n_addresses, 2);
    a = make(0x8180, N_RECORDS + 1); /* one more than there are */
    assert_int_equal(take(&a, &told), -EINVAL);
    a = make(0x8180, N_RECORDS);
    a.data[sizeof(question)] = 0x40; /* neither a label nor a pointer */
    assert_int_equal(take(&a, &told), -EINVAL);
    a.data[sizeof(question)] = 0x3f; /* a label beyond the end */
    assert_int_equal(take(&a, &told), -EINVAL);
}

static void what_counts(void **state)
{
    static const struct {
        struct dns_answer answer;
        bool counts[4]; /* as answer, any, address, nxdomain */
    } cases[] = {
        {{0, 0}, {true, true, false, false}},  {{0, 1}, {true, true, true, false}},
        {{3, 0}, {true, true, false, true}},   {{3, 1}, {true, true, false, true}},
        {{2, 0}, {false, true, false, false}}, {{5, 1}, {false, true, false, false}},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (enum gateway_expect e = GATEWAY_EXPECT_ANSWER; e <= GATEWAY_EXPECT_NXDOMAIN; e++)
            assert_int_equal(dns_answer_counts(&cases[i].answer, e), cases[i].counts[e]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_question),
        cmocka_unit_test(the_answer),
        cmocka_unit_test(what_is_cut_off),
        cmocka_unit_test(what_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
