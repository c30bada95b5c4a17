#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "config/edit.h"

#define HUB                                                   \
    "# the hub\nrole: server\nremote_port: 45010 # open it\n" \
    "tun_name: mt1\ntun_cidr: [10.200.10.254/24, 'fd00:200:10::254/64']\n"
#define TLS                                         \
    "tls_cert_file: /s.crt\ntls_key_file: /s.key\n" \
    "tls_ca_file: /ca.crt\nmulti_conn_enabled: true\n"
#define ENTRY(in)                                                                         \
    in "- name: \"edge1\"\n" in "  addresses: [\"10.200.10.7\", \"fd00:200:10::7\"]\n" in \
       "  prefixes: [\"172.16.1.0/30\"]\n"

static struct config_peer peer;
static struct config_report report;

static int add(const char *text, char **ret)
{
    config_report_done(&report);
    return config_add_peer(text, strlen(text), &peer, ret, &report);
}

static void expect(const char *text, const char *want)
{
    char *got = NULL;

    assert_int_equal(add(text, &got), 0);
    assert_string_equal(got, want);
    free(got);
}

static void expect_error(const char *text, int error)
{
    char *got = NULL;

    assert_int_equal(add(text, &got), error);
    assert_null(got);
}

static void test_a_file_without_peers(void **state)
{
    expect(HUB TLS, HUB TLS "peers:\n" ENTRY("  "));
    expect(HUB TLS "# the end", HUB TLS "# the end\npeers:\n" ENTRY("  "));
}

static void test_before_the_other_peers(void **state)
{
    expect_error(HUB "peers: [{name: edge0}]\n" TLS, -ENOTSUP);
    expect_error(HUB "peers:\n  [{name: edge0}]\n" TLS, -ENOTSUP);
    expect_error(HUB "\"peers\":\n  - name: edge0\n" TLS, -ENOTSUP);
    expect(HUB "peers:\n  # the first\n  - {name: edge0, addresses: 10.200.10.1}\n"
               "  - name: edge1\n    instance_id: b\n" TLS,
           HUB "peers:\n" ENTRY("  ") "  # the first\n  - {name: edge0, addresses: 10.200.10.1}\n"
                                      "  - name: edge1\n    instance_id: b\n" TLS);
    expect(HUB "peers: # of ours\r\n\n- name: edge0\n- name: edge2\n" TLS,
           HUB "peers: # of ours\r\n" ENTRY("") "\n- name: edge0\n- name: edge2\n" TLS);
}

static void test_what_is_there_already(void **state)
{
    expect_error(HUB TLS "peers:\n" ENTRY("  "), -EALREADY);
    expect_error(HUB TLS "peers:\n  - name: edge1\n    addresses: 10.200.10.7\n", -EEXIST);
    expect_error(HUB TLS "peers: [{name: edge1, addresses: [10.200.10.8, 10.200.10.7, "
                         "'fd00:200:10::7'], prefixes: 172.16.1.0/30}]\n",
                 -EALREADY);
}

/* What the parser has against the entry is told with its words. */
static void test_an_entry_that_would_be_wrong(void **state)
{
    static const struct {
        const char *addr, *why;
    } bad[] = {
        {"10.9.9.9", "in no network of tun_cidr"},
        {"10.200.10.254", "this server's own"},
        {"10.200.10.255", "broadcast"},
        {"10.200.10.1", "given twice"},
    };
    struct ip_addr good = peer.addr[0];

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        bool said = false;

        assert_int_equal(ip_addr_parse(bad[i].addr, &peer.addr[0]), 0);
        expect_error(HUB TLS "peers:\n  - name: edge0\n    addresses: 10.200.10.1\n", -EINVAL);
        for (size_t k = 0; k < report.n; k++)
            said |= strstr(report.v[k].text, bad[i].why) != NULL;
        assert_true(said);
    }
    peer.addr[0] = good;
    expect_error(HUB "tls_cert_file: /s.crt\ntls_key_file: /s.key\ntls_ca_file: /ca.crt\n",
                 -EINVAL);
}

static void test_texts_that_are_not_understood(void **state)
{
    expect_error("", -EINVAL);
    expect_error("role: server\n", -EINVAL);
    expect_error("{role: server, remote_port: 45010, tun_name: mt1, tun_cidr: 10.200.10.254/24, "
                 "tls_cert_file: /s.crt, tls_key_file: /s.key, tls_ca_file: /ca.crt, "
                 "multi_conn_enabled: true}\n",
                 -ENOTSUP);
}

static int setup(void **state)
{
    snprintf(peer.name, sizeof(peer.name), "edge1");
    peer.n_addr = 2;
    peer.n_prefix = 1;
    return ip_addr_parse("10.200.10.7", &peer.addr[0]) ||
                   ip_addr_parse("fd00:200:10::7", &peer.addr[1]) ||
                   ip_prefix_parse("172.16.1.0/30", &peer.prefix[0])
               ? -1
               : 0;
}

static int teardown(void **state)
{
    config_report_done(&report);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_file_without_peers),
        cmocka_unit_test(test_before_the_other_peers),
        cmocka_unit_test(test_what_is_there_already),
        cmocka_unit_test(test_an_entry_that_would_be_wrong),
        cmocka_unit_test(test_texts_that_are_not_understood),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
