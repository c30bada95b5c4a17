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
#include "pki/bundle.h"
#include "pki/cert.h"

#define CA "-----BEGIN CERTIFICATE-----\nY2E=\n-----END CERTIFICATE-----\n"
#define CERT "-----BEGIN CERTIFICATE-----\nY2VydA==\n-----END CERTIFICATE-----\n"
#define KEY "-----BEGIN PRIVATE KEY-----\na2V5\n-----END PRIVATE KEY-----\n"
#define SECTIONS "[ca]\n" CA "[certificate]\n" CERT "[key]\n" KEY "[end]\n"
#define MINIMAL "mpquic-bundle 1\nname: edge1\nhub: 203.0.113.10:45010\n"

static struct pki_error e;

static int parse(const char *text, struct bundle *ret)
{
    return bundle_parse(text, strlen(text), ret, &e);
}

static void test_minimal(void **state)
{
    struct bundle b = {0};

    assert_int_equal(parse(MINIMAL SECTIONS, &b), 0);
    assert_string_equal(b.name, "edge1");
    assert_string_equal(b.hub, "203.0.113.10");
    assert_int_equal(b.port, 45010);
    assert_string_equal(b.tunnel, "mpq0");
    assert_string_equal(b.ca.data, CA);
    assert_string_equal(b.cert.data, CERT);
    assert_string_equal(b.key.data, KEY);
    assert_int_equal(b.n_route, 0);
    bundle_done(&b);
}

/* As mail programs and editors of other systems leave it. */
static void test_tolerance(void **state)
{
    struct bundle b = {0};

    assert_int_equal(
        parse("mpquic-bundle 1  \r\n# comment\r\n\r\nname:\tedge1\r\nhub: hub.example\r\n"
              "[ca]\r\n-----BEGIN CERTIFICATE-----\r\n\r\nY2E= \r\n-----END "
              "CERTIFICATE-----\r\n[certificate]\n" CERT "[key]\n" KEY "[end]\r\n\r\n",
              &b),
        0);
    assert_string_equal(b.ca.data, CA);
    assert_int_equal(b.port, BUNDLE_PORT);
    bundle_done(&b);
}

static void test_round_trip(void **state)
{
    struct bundle b = {0}, back = {0};
    struct file_text text = {0};

    assert_int_equal(
        parse("mpquic-bundle 1\nname: e.1_x-y\nhub: [2001:db8::1]:443\n"
              "server-name: hub.example\ntunnel: mpq3\naddress: 10.200.10.7/24\n"
              "address: fd00:200:10::7/64\nnetwork: 10.200.10.0/24\n"
              "network: fd00:200:10::/64\nroute: 0.0.0.0/0\nroute: ::/0\n"
              "route: 10.0.0.0/8\nroute-table: 100\ncreated: 2026-01-02T03:04:05Z\n" SECTIONS,
              &b),
        0);
    assert_string_equal(b.hub, "2001:db8::1");
    assert_int_equal(b.port, 443);
    assert_int_equal(b.n_addr, 2);
    assert_int_equal(b.n_network, 2);
    assert_int_equal(b.n_route, 3);
    assert_int_equal(b.route_table, 100);
    assert_int_equal(b.created, 1767323045);
    assert_int_equal(bundle_print(&b, &text, &e), 0);
    assert_int_equal(bundle_parse(text.data, text.len, &back, &e), 0);
    assert_string_equal(back.name, b.name);
    assert_string_equal(back.hub, b.hub);
    assert_string_equal(back.server_name, b.server_name);
    assert_string_equal(back.tunnel, b.tunnel);
    assert_memory_equal(back.addr, b.addr, sizeof(b.addr));
    assert_memory_equal(back.route, b.route, sizeof(b.route));
    assert_int_equal(back.n_route, 3);
    assert_int_equal(back.route_table, 100);
    assert_int_equal(back.created, b.created);
    assert_string_equal(back.key.data, b.key.data);
    bundle_done(&b);
    bundle_done(&back);
    file_text_done(&text);
}

static void test_refusals(void **state)
{
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"", "cut short"},
        {"\n\n", "cut short"},
        {"hello\n", "line 1: not a bundle"},
        {"mpquic-bundle 2\n", "newer"},
        {"mpquic-bundle 1 \nmpquic-bundle 1\n", "line 2"},
        {"mpquic-bundle 1\nname: ../x\n", "line 2: name"},
        {"mpquic-bundle 1\nname: a/b\n", "line 2: name"},
        {"mpquic-bundle 1\nname: .x\n", "line 2: name"},
        {"mpquic-bundle 1\nname: \n", "line 2: name"},
        {"mpquic-bundle 1\nname: a:b\n", "line 2: name"},
        {"mpquic-bundle 1\nname: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n", "line 2: name"},
        {"mpquic-bundle 1\nname: a\nname: b\n", "line 3: a second name"},
        {"mpquic-bundle 1\nhub: \n", "line 2: hub"},
        {"mpquic-bundle 1\nhub: a b\n", "line 2: hub"},
        {"mpquic-bundle 1\nhub: h:0\n", "line 2: hub"},
        {"mpquic-bundle 1\nhub: h:65536\n", "line 2: hub"},
        {"mpquic-bundle 1\nhub: [::1\n", "line 2: hub"},
        {"mpquic-bundle 1\nhub: h\"x\n", "line 2: hub"},
        {"mpquic-bundle 1\nserver-name: a\"b\n", "line 2: server-name"},
        {"mpquic-bundle 1\ntunnel: ../../x\n", "line 2: tunnel"},
        {"mpquic-bundle 1\ntunnel: abcdefghijklmnop\n", "line 2: tunnel"},
        {"mpquic-bundle 1\naddress: 10.0.0.1/33\n", "line 2: address"},
        {"mpquic-bundle 1\naddress: 10.0.0.1/8\naddress: 10.0.0.2/8\n", "line 3: address"},
        {"mpquic-bundle 1\nroute: 10.0.0.1/8\n", "line 2: route"},
        {"mpquic-bundle 1\nnetwork: 10.0.0.1/8\n", "line 2: network"},
        {"mpquic-bundle 1\nnetwork: 0.0.0.0/0\n", "line 2: network"},
        {"mpquic-bundle 1\nnetwork: 10.0.0.0/8\nnetwork: 11.0.0.0/8\n", "line 3: network"},
        {"mpquic-bundle 1\nroute-table: 4294967296\n", "line 2: route-table"},
        {"mpquic-bundle 1\nroute-table: -1\n", "line 2: route-table"},
        {"mpquic-bundle 1\nsomething: else\n", "line 2: an unknown key"},
        {"mpquic-bundle 1\nno key\n", "line 2: not a line"},
        {"mpquic-bundle 1\n[key]\n", "line 2: a section"},
        {"mpquic-bundle 1\n[ca]\n[certificate]\n", "line 3: an empty section"},
        {MINIMAL "[ca]\nnot pem!\n", "line 5: not a line of PEM"},
        {MINIMAL "[ca]\n" CA "[certificate]\n" CERT "[key]\n" KEY, "cut short"},
        {MINIMAL "[ca]\n-----BEGIN CERTIFI", "line 5: the file is cut short"},
        {MINIMAL "[ca]\n" CA "[certi", "line 8: the file is cut short"},
        {MINIMAL SECTIONS "more\n", "text after [end]"},
        {"mpquic-bundle 1\nhub: h\n" SECTIONS, "name is missing"},
        {"mpquic-bundle 1\nname: a\n" SECTIONS, "hub is missing"},
    };
    struct bundle b = {.name = "untouched"};

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(parse(bad[i].text, &b), -EINVAL);
        if (!strstr(e.text, bad[i].why))
            fail_msg("'%s': '%s' is not in '%s'", bad[i].text, bad[i].why, e.text);
        assert_string_equal(b.name, "untouched");
    }
}

static void test_sizes(void **state)
{
    struct bundle b = {0};
    char *text = calloc(1, BUNDLE_BYTES_MAX + 2);
    size_t n = (size_t)snprintf(text, 100, "mpquic-bundle 1\n");

    memset(text + n, '#', 600); /* one line of more than can be */
    text[n + 600] = '\n';
    assert_int_equal(parse(text, &b), -EINVAL);
    memset(text, '\n', BUNDLE_BYTES_MAX + 1);
    assert_int_equal(bundle_parse(text, BUNDLE_BYTES_MAX + 1, &b, &e), -EINVAL);
    assert_int_equal(bundle_parse("mpquic-bundle 1\nname: a\0b\n", 26, &b, &e), -EINVAL);
    n = (size_t)snprintf(text, BUNDLE_BYTES_MAX, MINIMAL);
    for (int i = 0; i <= BUNDLE_ROUTES_MAX; i++)
        n += (size_t)snprintf(text + n, 100, "route: 10.0.%d.0/24\n", i);
    assert_int_equal(parse(text, &b), -EINVAL);
    assert_non_null(strstr(e.text, "line 68"));
    free(text);
}

static void test_hub_address(void **state)
{
    static const struct {
        const char *text, *host;
        unsigned port;
    } good[] = {
        {"hub.example", "hub.example", 7},       {"hub.example:45", "hub.example", 45},
        {"203.0.113.10", "203.0.113.10", 7},     {"203.0.113.10:65535", "203.0.113.10", 65535},
        {"2001:db8::1", "2001:db8::1", 7},       {"[2001:db8::1]", "2001:db8::1", 7},
        {"[2001:db8::1]:45", "2001:db8::1", 45},
    };
    static const char *const bad[] = {"",   ":1",     "a:",   "a:x", "a:1x", "a:0",
                                      "[a", "[::1]x", "[]:1", "-a",  "a/b",  "a:b:c"};
    char host[BUNDLE_HOST_MAX], buf[BUNDLE_HOST_MAX + 16];

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        uint16_t port = 7;

        assert_int_equal(bundle_hub_parse(good[i].text, host, &port), 0);
        assert_string_equal(host, good[i].host);
        assert_int_equal(port, good[i].port);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        uint16_t port = 7;

        assert_int_equal(bundle_hub_parse(bad[i], host, &port), -EINVAL);
    }
    assert_string_equal(bundle_hub_str("2001:db8::1", 45, buf), "[2001:db8::1]:45");
    assert_string_equal(bundle_hub_str("h", 45, buf), "h:45");
}

/* What is in the sections has to belong together. */
static void test_check(void **state)
{
    struct cert_request request = {
        .kind = PKI_KIND_CA, .name = "ca", .not_before = 1000000000, .not_after = 2000000000};
    struct cert_issuer ca = {0}, other = {0};
    struct file_text foreign = {0};
    struct bundle b = {0};

    assert_int_equal(cert_key_make(0, &ca.key, &e), 0);
    assert_int_equal(cert_make(&request, &ca.key, NULL, &ca.cert, &e), 0);
    assert_int_equal(cert_key_make(0, &other.key, &e), 0);
    assert_int_equal(cert_make(&request, &other.key, NULL, &other.cert, &e), 0);
    assert_int_equal(file_text_set(&b.ca, ca.cert.data, ca.cert.len, &e), 0);
    assert_int_equal(cert_key_make(0, &b.key, &e), 0);
    request.kind = PKI_KIND_CLIENT;
    request.name = "edge1";
    assert_int_equal(cert_make(&request, &b.key, &ca, &b.cert, &e), 0);
    assert_int_equal(bundle_check(&b, &e), 0);
    /* another CA of the same name */
    assert_int_equal(cert_make(&request, &b.key, &other, &foreign, &e), 0);
    assert_int_equal(file_text_set(&b.cert, foreign.data, foreign.len, &e), 0);
    assert_int_equal(bundle_check(&b, &e), -EINVAL);
    assert_non_null(strstr(e.text, "CA"));
    /* a hub's certificate */
    request.kind = PKI_KIND_SERVER;
    assert_int_equal(cert_make(&request, &b.key, &ca, &b.cert, &e), 0);
    assert_int_equal(bundle_check(&b, &e), -EINVAL);
    /* another key */
    request.kind = PKI_KIND_CLIENT;
    assert_int_equal(cert_make(&request, &b.key, &ca, &b.cert, &e), 0);
    assert_int_equal(file_text_set(&b.key, ca.key.data, ca.key.len, &e), 0);
    assert_int_equal(bundle_check(&b, &e), -EINVAL);
    assert_non_null(strstr(e.text, "key"));
    cert_issuer_done(&ca);
    cert_issuer_done(&other);
    file_text_done(&foreign);
    bundle_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_minimal),    cmocka_unit_test(test_tolerance),
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_sizes),      cmocka_unit_test(test_hub_address),
        cmocka_unit_test(test_check),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
