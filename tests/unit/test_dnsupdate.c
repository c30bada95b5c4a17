/* Signed updates: what is written against a MAC that other code has reckoned, and answers made by
 * hand. */
#include "wan/dnsupdate.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"

#define KEY                                          \
    "key \"Edge-Key\" {\n\talgorithm hmac-sha256;\n" \
    "\tsecret \"c2VjcmV0IHRoYXQgbm9ib2R5IGlzIHRvIHNlZSAhISEh\";\n};\n"

enum { NOW = 1700000000, ID = 0x1234, HEADER_LEN = 12 };

static struct dnsupdate_key key;

static int parse_key(void **state)
{
    return dnsupdate_key_parse(KEY, &key);
}

static struct dnsupdate update(void)
{
    struct dnsupdate u = {
        .zone = "example.net", .name = "WAN1.example.net", .ttl_s = 300, .id = ID};

    assert_int_equal(ip_addr_parse("10.150.1.2", &u.address), 0);
    return u;
}

static void a_key_is_read(void **state)
{
    static const char *const bad[] = {
        "",
        "key",
        "key \"a\"",
        "key \"a\" {",
        "key \"a\" { algorithm hmac-sha256; };",
        "key \"a\" { secret \"c2VjcmV0\"; };",
        "key \"a\" { algorithm hmac-md5; secret \"c2VjcmV0\"; };",
        "key \"a\" { algorithm hmac-sha256; secret \"!\"; };",
        "key \"a\" { algorithm hmac-sha256; secret \"c2VjcmV0\" };",
        "key \"a\" { algorithm hmac-sha256; other \"c2VjcmV0\"; };",
        "key \"a b\" { algorithm hmac-sha256; secret \"c2VjcmV0\"; };",
        "key \"\" { algorithm hmac-sha256; secret \"c2VjcmV0\"; };",
    };
    struct dnsupdate_key k;

    assert_int_equal(key.name.len, 10);
    assert_memory_equal(key.name.b, "\010edge-key", 10);
    assert_int_equal(key.secret_len, 33);
    assert_memory_equal(key.secret, "secret that nobody is to see !!!!", 33);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(dnsupdate_key_parse(bad[i], &k), -EINVAL);
    assert_int_equal(dnsupdate_key_parse("key a{algorithm \"hmac-sha256\";secret c2VjcmV0;};", &k),
                     0);
}

static void a_request_is_what_others_sign(void **state)
{
    static const uint8_t want[DNSUPDATE_MAC_LEN] = {0x58, 0x50, 0x92, 0x35, 0xbd, 0x7a, 0xed, 0x51,
                                                    0x9b, 0x46, 0xf8, 0x92, 0xc5, 0x2d, 0x76, 0xc8,
                                                    0x42, 0x93, 0xe6, 0x78, 0x4e, 0xba, 0x2f, 0x32,
                                                    0x0f, 0x75, 0xf1, 0x66, 0x51, 0x37, 0x0f, 0x7a};
    uint8_t buf[DNSUPDATE_MAX], mac[DNSUPDATE_MAC_LEN];
    struct dnsupdate u = update();
    size_t len;

    assert_int_equal(dnsupdate_write(&u, &key, NOW, buf, &len, mac), 0);
    assert_memory_equal(mac, want, sizeof(want));
    assert_int_equal(load_be16(buf), ID);
    assert_int_equal(buf[11], 1);
    assert_memory_equal(buf + len - 6 - sizeof(want), want, sizeof(want));
}

static void names_that_cannot_be(void **state)
{
    static const char *const bad[] = {
        "a..b", ".a", "a b.example.net", "a\\.example.net",
        "a234567890123456789012345678901234567890123456789012345678901234.example.net"};
    uint8_t buf[DNSUPDATE_MAX], mac[DNSUPDATE_MAC_LEN];
    struct dnsupdate u = update();
    char text[300];
    size_t len;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        u.name = bad[i];
        assert_int_equal(dnsupdate_write(&u, &key, NOW, buf, &len, mac), -EINVAL);
    }
    memset(text, 'a', sizeof(text));
    for (size_t i = 9; i < sizeof(text); i += 10)
        text[i] = '.';
    text[sizeof(text) - 1] = 0;
    u.name = text;
    assert_int_equal(dnsupdate_write(&u, &key, NOW, buf, &len, mac), -EINVAL);
    u = update();
    u.address.family = 0;
    assert_int_equal(dnsupdate_write(&u, &key, NOW, buf, &len, mac), -EINVAL);
}

/* --- answers --------------------------------------------------------------------------- */

struct answer {
    uint8_t b[512];
    size_t len, start; /* of the signature */
};

static void add(struct answer *a, const void *data, size_t len)
{
    memcpy(a->b + a->len, data, len);
    a->len += len;
}

static void add16(struct answer *a, unsigned v)
{
    uint8_t b[2] = {(uint8_t)(v >> 8), (uint8_t)v};

    add(a, b, 2);
}

static void add_variables(struct answer *a, int64_t when_s)
{
    add(a, "\013hmac-sha256", 13);
    add16(a, 0);
    add16(a, (unsigned)(when_s >> 16));
    add16(a, (unsigned)(when_s & 0xffff));
    add16(a, 300);
}

/* To a request with that MAC. */
static struct answer make(unsigned flags, const uint8_t *mac, int64_t when_s)
{
    struct answer a = {.len = 0}, signed_;
    uint8_t own[DNSUPDATE_MAC_LEN];

    add16(&a, ID);
    add16(&a, flags);
    add16(&a, 1);
    for (unsigned i = 0; i < 3; i++)
        add16(&a, 0);
    add(&a, "\7example\3net\0\0\6\0\1", 17);
    a.start = a.len;

    signed_ = (struct answer){.len = 0};
    add16(&signed_, DNSUPDATE_MAC_LEN);
    add(&signed_, mac, DNSUPDATE_MAC_LEN);
    add(&signed_, a.b, a.len);
    add(&signed_, "\10edge-key\0\0\377\0\0\0\0", 16);
    add_variables(&signed_, when_s);
    add16(&signed_, 0);
    add16(&signed_, 0);
    assert_int_equal(gnutls_hmac_fast(GNUTLS_MAC_SHA256, key.secret, key.secret_len, signed_.b,
                                      signed_.len, own),
                     0);
    a.b[11] = 1;
    add(&a, "\10EDGE-key\0\0\372\0\377\0\0\0\0", 18);
    add16(&a, 13 + 10 + DNSUPDATE_MAC_LEN + 6);
    add_variables(&a, when_s);
    add16(&a, DNSUPDATE_MAC_LEN);
    add(&a, own, sizeof(own));
    add16(&a, ID);
    add16(&a, 0);
    add16(&a, 0);
    return a;
}

static int read_(const struct answer *a, const uint8_t *mac)
{
    /* of exactly this size, so that a read behind its end is seen */
    uint8_t *copy = malloc(a->len ? a->len : 1);
    int rv;

    memcpy(copy, a->b, a->len);
    rv = dnsupdate_read(copy, a->len, ID, &key, mac, NOW);
    free(copy);
    return rv;
}

static const uint8_t request_mac[DNSUPDATE_MAC_LEN] = {1, 2, 3};

static void a_signed_answer_counts(void **state)
{
    struct answer a = make(0xa800, request_mac, NOW);

    assert_int_equal(read_(&a, request_mac), 0);
    a = make(0xa800, request_mac, NOW - 299);
    assert_int_equal(read_(&a, request_mac), 0);
}

static void others_do_not(void **state)
{
    static const uint8_t other_mac[DNSUPDATE_MAC_LEN] = {3, 2, 1};
    struct answer a = make(0xa800, request_mac, NOW);

    assert_int_equal(read_(&a, other_mac), -EKEYREJECTED); /* to another request */
    a.b[a.len - 20] ^= 1;
    assert_int_equal(read_(&a, request_mac), -EKEYREJECTED);
    a = make(0xa800, request_mac, NOW - 301); /* from long ago */
    assert_int_equal(read_(&a, request_mac), -EKEYREJECTED);
    a = make(0xa800, request_mac, NOW);
    a.b[11] = 0; /* unsigned */
    a.len = a.start;
    assert_int_equal(read_(&a, request_mac), -EKEYREJECTED);
    a = make(0xa800, request_mac, NOW);
    a.b[1] ^= 1; /* another id */
    assert_int_equal(read_(&a, request_mac), -EBADMSG);
    a = make(0x2800, request_mac, NOW); /* a request */
    assert_int_equal(read_(&a, request_mac), -EBADMSG);
    a = make(0xa809, request_mac, NOW);
    assert_int_equal(read_(&a, request_mac), 9);
    assert_string_equal(dnsupdate_rcode_name(9), "NOTAUTH");
    assert_string_equal(dnsupdate_rcode_name(99), "?");
}

static void what_is_cut_off_is_no_answer(void **state)
{
    struct answer a = make(0xa800, request_mac, NOW);
    size_t whole = a.len;

    for (a.len = 0; a.len < whole; a.len++)
        assert_true(read_(&a, request_mac) < 0);
    a = make(0xa800, request_mac, NOW);
    a.b[a.len++] = 0; /* something behind the signature */
    assert_int_equal(read_(&a, request_mac), -EKEYREJECTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_read),        cmocka_unit_test(a_request_is_what_others_sign),
        cmocka_unit_test(names_that_cannot_be), cmocka_unit_test(a_signed_answer_counts),
        cmocka_unit_test(others_do_not),        cmocka_unit_test(what_is_cut_off_is_no_answer),
    };

    return cmocka_run_group_tests(tests, parse_key, NULL);
}
