#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "base/addr.h"

static void prefix_keeps_host_bits(void **state)
{
    struct ip_prefix p, net;
    struct ip_addr last;
    char buf[IP_PREFIX_STR_MAX], abuf[IP_ADDR_STR_MAX];

    assert_int_equal(ip_prefix_parse("10.200.1.1/30", &p), 0);
    assert_string_equal(ip_prefix_str(&p, buf), "10.200.1.1/30");
    net = ip_prefix_network(&p);
    assert_string_equal(ip_prefix_str(&net, buf), "10.200.1.0/30");
    last = ip_prefix_last(&p);
    assert_string_equal(ip_addr_str(&last, abuf), "10.200.1.3");
    assert_int_equal(ip_prefix_parse("fd00:200:1::1/126", &p), 0);
    last = ip_prefix_last(&p);
    assert_string_equal(ip_addr_str(&last, abuf), "fd00:200:1::3");
}

static void bad_text_is_refused_and_leaves_the_output(void **state)
{
    static const char *const bad[] = {"",         "10.0.0.1/33",  "10.0.0.1/", "10.0.0.1/-1",
                                      "10.0.0/8", "fe80::1%eth0", "::/129",    "::/1x",
                                      "::/0128",  "10.0.0.1 /8"};
    struct ip_prefix p = {.len = 77};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(ip_prefix_parse(bad[i], &p), -EINVAL);
        assert_int_equal(p.len, 77);
    }
}

static void contains(void **state)
{
    static const struct {
        const char *prefix, *addr;
        bool in;
    } t[] = {
        {"10.0.0.0/8", "10.255.1.2", true},
        {"10.0.0.0/8", "11.0.0.0", false},
        {"0.0.0.0/0", "1.2.3.4", true},
        {"0.0.0.0/0", "::1", false},
        {"172.16.4.0/30", "172.16.4.3", true},
        {"172.16.4.0/30", "172.16.4.4", false},
        {"2001:db8::/33", "2001:db8:7fff::1", true},
        {"2001:db8::/33", "2001:db8:8000::", false},
        {"::/0", "2001:db8::1", true},
        {"10.1.2.3", "10.1.2.3", true},
    };

    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        struct ip_prefix p;
        struct ip_addr a;

        assert_int_equal(ip_prefix_parse(t[i].prefix, &p), 0);
        assert_int_equal(ip_addr_parse(t[i].addr, &a), 0);
        assert_int_equal(ip_prefix_contains(&p, &a), t[i].in);
    }
}

static void socket_addresses_round_trip(void **state)
{
    static const char *const text[] = {"192.0.2.7:45001", "[2001:db8::7]:45001"};
    static const char *const host[] = {"192.0.2.7", "2001:db8::7"};
    char buf[NET_ADDR_STR_MAX];

    for (int i = 0; i < 2; i++) {
        struct ip_addr a, b;
        struct net_addr n;

        assert_int_equal(ip_addr_parse(host[i], &a), 0);
        n = net_addr_make(&a, 45001);
        assert_string_equal(net_addr_str(&n, buf), text[i]);
        b = net_addr_ip(&n);
        assert_true(ip_addr_equal(&a, &b));
        assert_int_equal(net_addr_port(&n), 45001);
    }
}

static void scopes(void **state)
{
    struct ip_addr a;

    ip_addr_parse("fe80::1", &a);
    assert_true(ip_addr_is_linklocal(&a));
    ip_addr_parse("169.254.1.1", &a);
    assert_true(ip_addr_is_linklocal(&a));
    ip_addr_parse("fec0::1", &a);
    assert_false(ip_addr_is_linklocal(&a));
    ip_addr_parse("ff02::1", &a);
    assert_true(ip_addr_is_multicast(&a));
    ip_addr_parse("239.1.2.3", &a);
    assert_true(ip_addr_is_multicast(&a));
    ip_addr_parse("240.1.2.3", &a);
    assert_false(ip_addr_is_multicast(&a));
    ip_addr_parse("0.0.0.0", &a);
    assert_true(ip_addr_is_any(&a));
    ip_addr_parse("::", &a);
    assert_true(ip_addr_is_any(&a));
    ip_addr_parse("::1", &a);
    assert_false(ip_addr_is_any(&a));
    a = (struct ip_addr){0};
    assert_false(ip_addr_is_any(&a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prefix_keeps_host_bits),
        cmocka_unit_test(bad_text_is_refused_and_leaves_the_output),
        cmocka_unit_test(contains),
        cmocka_unit_test(socket_addresses_round_trip),
        cmocka_unit_test(scopes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
