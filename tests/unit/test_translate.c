#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/util.h"
#include "wan/delegation.h"
#include "wan/firewall.h"
#include "wan/plan.h"
#include "wan/statefile.h"
#include "wan/sweep.h"
#include "wan/translate.h"
#include "wan_site.h"

/* Two providers: what one delegates is stated, what the other does is learned. */
static const char two[] =
    "ipv6: true\n"
    "links:\n"
    "  - {name: att, device: enatt0, table: 100}\n"
    "  - {name: webpass, device: enwebpass0, table: 200}\n"
    "  - {name: lte, device: wwan0, table: 300, masquerade: true}\n"
    "policies:\n"
    "  - {ingress: lan0, pin: att, priority: 1001, reach: 192.168.9.0/24}\n"
    "nat:\n"
    "  - {link: att, inside: 10.250.250.2, outside: 104.57.226.193}\n"
    "  - {link: webpass, inside: 10.250.250.2, outside: 136.25.91.242}\n"
    "  - {link: att, inside: 3d06:bad:b01::/60, outside: 2600:1700:2f71:c80::/60}\n"
    "  - {link: att, inside: 3d06:bad:b01:fe::2, outside: 2600:1700:2f71:c80::1}\n"
    "  - {link: att, inside: 3d06:bad:b01:fe::2, outside: 2001:506:72f7:108c::1, inbound: true}\n"
    "  - {link: webpass, inside: 3d06:bad:b01::/60, delegated: true, subnet: 2}\n"
    "  - {link: webpass, inside: 3d06:bad:b01:fe::2, delegated: true, subnet: 1}\n"
    "port_forwards:\n"
    "  - {link: lte, ports: 8080, to: 10.250.250.3, to_port: 80}\n"
    "  - {link: att, protocol: udp, ports: 500..510, address: 104.57.226.193, to: 10.250.250.4}\n"
    "routes:\n"
    "  - {prefix: 3d06:bad:b01::/60, via: fe80::2, device: lan0}\n";

enum { ATT, WEBPASS, LTE };

static struct gateway_config c;
static struct wan_facts f;

static void learn(const char *delegated)
{
    f.link[WEBPASS].delegated = delegated ? site_prefix(delegated) : (struct ip_prefix){0};
}

static int begin(void **state)
{
    site_parse(two, &c);
    f = (struct wan_facts){0};
    f.link[ATT] = site_link(1, "162.200.0.2/24");
    f.link[WEBPASS] = site_link(2, "136.25.91.242/29");
    f.link[LTE] = site_link(3, "100.64.1.2/24");
    f.inner[0] = (struct wan_inner_facts){.index = 9, .up = true};
    learn("2604:5500:c271:be00::/56");
    return 0;
}

static void becomes(unsigned link, const char *inside, const char *outside)
{
    struct ip_addr in = site_addr(inside), out = translate_source(&c, &f, link, &in);

    if (!outside) {
        assert_int_equal(out.family, 0);
        return;
    }
    in = site_addr(outside);
    assert_true(ip_addr_equal(&out, &in));
}

static void leads(unsigned link, const char *outside, const char *inside)
{
    struct ip_addr out = site_addr(outside), in = translate_target(&c, &f, link, &out, NULL);

    if (!inside) {
        assert_int_equal(in.family, 0);
        return;
    }
    out = site_addr(inside);
    assert_true(ip_addr_equal(&in, &out));
}

static void host_bits_stay(void **state)
{
    becomes(ATT, "10.250.250.2", "104.57.226.193");
    becomes(ATT, "10.250.250.3", NULL);
    becomes(ATT, "3d06:bad:b01:1::100", "2600:1700:2f71:c81::100");
    becomes(ATT, "3d06:bad:b01:f:ffff:ffff:ffff:ffff", "2600:1700:2f71:c8f:ffff:ffff:ffff:ffff");
    becomes(ATT, "3d06:bad:b01:10::1", NULL);
    becomes(ATT, "3d06:bad:b01:fe::2", "2600:1700:2f71:c80::1");
    becomes(LTE, "10.250.250.2", NULL);
    leads(ATT, "2600:1700:2f71:c82::50", "3d06:bad:b01:2::50");
    leads(ATT, "2600:1700:2f71:c80::1", "3d06:bad:b01:fe::2"); /* the longer one */
    leads(ATT, "2001:506:72f7:108c::1", "3d06:bad:b01:fe::2");
    leads(ATT, "136.25.91.242", NULL);
    leads(WEBPASS, "136.25.91.242", "10.250.250.2");
}

/* A part of a shorter one; nothing of a longer one, and then the link carries no IPv6. */
static void what_is_delegated_is_used(void **state)
{
    becomes(WEBPASS, "3d06:bad:b01:1::5", "2604:5500:c271:be21::5");
    leads(WEBPASS, "2604:5500:c271:be00::1", "3d06:bad:b01:fe::2");
    assert_int_equal(translate_fault(&c, &f, WEBPASS), WAN_REASON_UP);
    learn("2604:5500:c271::/48");
    becomes(WEBPASS, "3d06:bad:b01:1::5", "2604:5500:c271:21::5");
    learn("2604:5500:c271:be00::/60"); /* it has no third part */
    becomes(WEBPASS, "3d06:bad:b01:1::5", NULL);
    assert_int_equal(translate_fault(&c, &f, WEBPASS), WAN_REASON_SMALL_PREFIX);
    learn("2604:5500:c271:be00::/64");
    assert_int_equal(translate_fault(&c, &f, WEBPASS), WAN_REASON_SMALL_PREFIX);
    learn(NULL);
    assert_int_equal(translate_fault(&c, &f, WEBPASS), WAN_REASON_NO_PREFIX);
    assert_int_equal(translate_fault(&c, &f, ATT), WAN_REASON_UP);
}

static void what_translates_says_so(void **state)
{
    assert_true(translate_is_on(&c, ATT, WAN_V4));
    assert_true(translate_is_on(&c, ATT, WAN_V6));
    assert_true(translate_is_on(&c, LTE, WAN_V6));
    c.n_nat = 1;
    assert_false(translate_is_on(&c, ATT, WAN_V6));
    assert_false(translate_is_on(&c, WEBPASS, WAN_V4));
}

/* In the order in which nftables looks at them. */
static void the_rules_in_their_order(void **state)
{
    static const char *const lines[] = {
        "chain prerouting {",
        "iifname \"enatt0\" ip daddr 104.57.226.193 udp dport 500-510 counter dnat ip to "
        "10.250.250.4\n",
        "iifname \"enatt0\" ip6 daddr 2600:1700:2f71:c80::1 counter dnat ip6 to "
        "3d06:bad:b01:fe::2\n",
        "iifname \"enwebpass0\" ip6 daddr 2604:5500:c271:be20::/60 counter dnat ip6 prefix to "
        "3d06:bad:b01::/60\n",
        "iifname \"enatt0\" ip daddr 104.57.226.193 counter dnat ip to 10.250.250.2\n",
        "iifname \"wwan0\" meta nfproto ipv4 fib daddr type local tcp dport 8080 counter dnat ip "
        "to 10.250.250.3:80\n",
        "chain postrouting {",
        "oifname \"enatt0\" ip saddr 10.250.250.2 counter snat ip to 104.57.226.193\n",
        "oifname \"enatt0\" ip6 saddr 3d06:bad:b01::/60 counter snat ip6 prefix to "
        "2600:1700:2f71:c80::/60\n",
        "chain last {",
        "iifname \"lan0\" ip daddr { 192.168.9.0/24 } counter accept\n",
        "oifname \"enatt0\" ip saddr != { 104.57.226.193 } fib saddr type != local counter drop\n",
        "oifname \"enwebpass0\" ip6 saddr != { 2604:5500:c271:be20::/60, 2604:5500:c271:be00::1 } "
        "counter drop\n",
        "oifname \"wwan0\" meta nfproto ipv6 fib saddr type != local counter drop\n",
    };
    char id[WAN_ID_MAX], *text, *at;

    assert_int_equal(firewall_text(&c, &f, id, &text), 0);
    at = text;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        at = strstr(at, lines[i]);
        if (!at) {
            print_message("%s\n%s", lines[i], text);
            break;
        }
    }
    assert_non_null(at);
    assert_null(strstr(text, "oifname \"enatt0\" ip6 saddr 3d06:bad:b01:fe::2 counter snat ip6 to "
                             "2001:506:72f7:108c::1"));
    free(text);
    learn(NULL);
    assert_int_equal(firewall_text(&c, &f, id, &text), 0);
    assert_non_null(strstr(text, "oifname \"enwebpass0\" meta nfproto ipv6 counter drop\n"));
    free(text);
}

/* Addresses that somebody else has put there, or that are only for what comes in, are not ours;
 * those that are go before the table of nftables does, and come after it. */
static void addresses_are_objects(void **state)
{
    struct wan_objects want, none = {0};
    struct wan_plan up, down;
    char seen[64] = "", *end = seen;
    struct wan_address a = {1, site_prefix("104.57.226.193/32")};

    assert_int_equal(wan_desired(&c, &f, &want), 0);
    assert_int_equal(want.n_addresses, 3);
    assert_true(wan_objects_has_address(&want, &a));
    a = (struct wan_address){2, site_prefix("2604:5500:c271:be00::1/128")};
    assert_true(wan_objects_has_address(&want, &a));
    a = (struct wan_address){1, site_prefix("2600:1700:2f71:c80::1/128")};
    assert_true(wan_objects_has_address(&want, &a));
    assert_int_equal(wan_plan_make(&none, &want, &up), 0);
    assert_int_equal(wan_plan_make(&want, &none, &down), 0);
    for (unsigned i = 0; i < up.n; i++)
        if (up.ops[i].kind == WAN_OP_NFT || up.ops[i].kind == WAN_OP_ADDRESS_ADD)
            *end++ = up.ops[i].kind == WAN_OP_NFT ? 'n' : 'a';
    for (unsigned i = 0; i < down.n; i++)
        if (down.ops[i].kind == WAN_OP_NFT || down.ops[i].kind == WAN_OP_ADDRESS_DEL)
            *end++ = down.ops[i].kind == WAN_OP_NFT ? 'n' : 'd';
    assert_string_equal(seen, "naaadddn");
    wan_plan_done(&up);
    wan_plan_done(&down);
    wan_objects_done(&want);
    f.link[ATT].up = false;
    assert_int_equal(wan_desired(&c, &f, &want), 0);
    assert_int_equal(want.n_addresses, 1);
    wan_objects_done(&want);
}

static bool has_route(const struct wan_objects *o, uint32_t table, enum fib_type type,
                      const char *dst)
{
    struct ip_prefix p = site_prefix(dst);

    for (unsigned i = 0; i < o->n_routes; i++)
        if (o->routes[i].table == table && o->routes[i].type == type &&
            ip_prefix_equal(&o->routes[i].dst, &p))
            return true;
    return false;
}

static void what_is_inside_is_routed_everywhere(void **state)
{
    static const uint32_t tables[] = {FIB_TABLE_MAIN, 100, 200, 300};
    struct wan_objects want;

    for (unsigned up = 0; up < 2; up++) {
        f.inner[0].up = up;
        assert_int_equal(wan_desired(&c, &f, &want), 0);
        for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
            assert_true(has_route(&want, tables[i], FIB_TYPE_UNREACHABLE, "3d06:bad:b01::/60"));
            assert_true(has_route(&want, tables[i], FIB_TYPE_UNICAST, "3d06:bad:b01::/60") == up);
        }
        /* What is delegated and nobody has does not go back to the provider. */
        assert_true(
            has_route(&want, FIB_TABLE_MAIN, FIB_TYPE_BLACKHOLE, "2600:1700:2f71:c80::/60"));
        wan_objects_done(&want);
    }
}

/* --- flows ----------------------------------------------------------------------------- */

/* From a to b, and as the answers look: from c to d. */
static struct conntrack_entry flow(const char *a, const char *b, const char *from, const char *to)
{
    struct conntrack_entry e = {.orig = {.src = site_addr(a), .dst = site_addr(b)},
                                .reply = {.src = site_addr(from), .dst = site_addr(to)}};

    if (strcmp(b, from) != 0)
        e.status |= CONNTRACK_DST_NAT;
    if (strcmp(a, to) != 0)
        e.status |= CONNTRACK_SRC_NAT;
    return e;
}

static void flows_that_are_stale(void **state)
{
    static const struct {
        const char *a, *b, *from, *to;
        bool stale;
    } flows[] = {
        {"10.250.250.2", "1.1.1.1", "1.1.1.1", "104.57.226.193", false},
        {"10.250.250.2", "1.1.1.1", "1.1.1.1", "136.25.91.242", false}, /* of another link */
        {"10.250.250.2", "1.1.1.1", "1.1.1.1", "100.64.1.2", false},    /* lte masquerades */
        {"10.250.250.2", "1.1.1.1", "1.1.1.1", "104.57.226.199", true},
        {"10.250.250.2", "10.250.250.1", "10.250.250.1", "10.250.250.2", false}, /* for us */
        {"10.250.250.9", "1.1.1.1", "1.1.1.1", "104.57.226.199", false}, /* somebody else's */
        {"3d06:bad:b01:1::5", "2001:db8::1", "2001:db8::1", "2604:5500:c271:be21::5", false},
        {"3d06:bad:b01:1::5", "2001:db8::1", "2001:db8::1", "2604:5500:c271:be31::5", true},
        {"1.1.1.1", "104.57.226.193", "10.250.250.2", "1.1.1.1", false},
        {"1.1.1.1", "104.57.226.193", "104.57.226.193", "1.1.1.1", true}, /* not translated */
        {"1.1.1.1", "162.200.0.2", "162.200.0.2", "1.1.1.1", false},
        {"1.1.1.1", "100.64.1.2", "10.250.250.3", "1.1.1.1", false}, /* a forwarded port */
        {"2001:db8::1", "2604:5500:c271:be31::5", "3d06:bad:b01:1::5", "2001:db8::1", true},
        {"2001:db8::1", "2604:5500:c271:be21::5", "3d06:bad:b01:1::5", "2001:db8::1", false},
        {"2001:db8::1", "2604:5500:c271:be21::5", "2604:5500:c271:be21::5", "2001:db8::1", true},
    };

    for (size_t i = 0; i < ARRAY_LEN(flows); i++) {
        struct conntrack_entry e = flow(flows[i].a, flows[i].b, flows[i].from, flows[i].to);

        if (sweep_is_stale(&c, &f, &e) != flows[i].stale)
            fail_msg("%s -> %s, %s -> %s", flows[i].a, flows[i].b, flows[i].from, flows[i].to);
    }
}

/* --- what is delegated ----------------------------------------------------------------- */

static void lines_are_read(void **state)
{
    struct delegations d;

    delegations_parse("enatt0 2600:1700::/56 0\n"
                      "enatt0 2600:1701::/56 0\n"
                      "enwebpass0 2604:5500::/60 1000\n"
                      "bad 10.0.0.0/8 0\n"
                      "bad 2001:db8::/32\n"
                      "bad 2001:db8::/32 -5\n"
                      "bad 2001:db8::/32 5 more\n"
                      "a-name-that-is-too-long 2001:db8::/32 5\n"
                      "lte0 2001:db8::/48 77",
                      &d);
    assert_int_equal(d.n, 3);
    assert_int_equal(delegations_find(&d, "enatt0", 1)->prefix.addr.b[3], 0);
    assert_non_null(delegations_find(&d, "enwebpass0", 999));
    assert_null(delegations_find(&d, "enwebpass0", 1000));
    assert_int_equal(delegations_find(&d, "lte0", 1)->until_s, 77);
    assert_null(delegations_find(&d, "bad", 1));
    delegations_parse("", &d);
    assert_int_equal(d.n, 0);
}

static void what_is_set_is_there(void **state)
{
    char dir[] = "/tmp/mpquic-delegation-XXXXXX", name[16];
    struct ip_prefix p = site_prefix("2600:1700:0:80::/60");
    struct delegations d;

    assert_non_null(mkdtemp(dir));
    assert_int_equal(delegations_read(dir, &d), 0);
    assert_int_equal(d.n, 0);
    assert_int_equal(delegations_set(dir, "enatt0", NULL, 0), 0);
    assert_int_equal(delegations_set(dir, "enatt0", &p, 50), 1);
    assert_int_equal(delegations_set(dir, "enatt0", &p, 50), 0);
    assert_int_equal(delegations_set(dir, "enatt0", &p, 60), 1);
    assert_int_equal(delegations_set(dir, "enwebpass0", &p, 0), 1);
    assert_int_equal(delegations_set(dir, "a-name-that-is-too-long", &p, 0), -ENAMETOOLONG);
    assert_int_equal(delegations_read(dir, &d), 0);
    assert_int_equal(d.n, 2);
    assert_int_equal(delegations_find(&d, "enatt0", 0)->until_s, 60);
    assert_true(ip_prefix_equal(&delegations_find(&d, "enatt0", 0)->prefix, &p));
    assert_int_equal(delegations_set(dir, "enatt0", NULL, 0), 1);
    assert_int_equal(delegations_read(dir, &d), 0);
    assert_int_equal(d.n, 1);
    for (unsigned i = 1; i < DELEGATIONS_MAX; i++) {
        snprintf(name, sizeof(name), "if%u", i);
        assert_int_equal(delegations_set(dir, name, &p, INT64_MAX), 1);
    }
    assert_int_equal(delegations_set(dir, "onemore", &p, 0), -ENOSPC);
    assert_int_equal(statefile_remove(dir, DELEGATION_NAME), 0);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(host_bits_stay, begin),
        cmocka_unit_test_setup(what_is_delegated_is_used, begin),
        cmocka_unit_test_setup(what_translates_says_so, begin),
        cmocka_unit_test_setup(the_rules_in_their_order, begin),
        cmocka_unit_test_setup(addresses_are_objects, begin),
        cmocka_unit_test_setup(what_is_inside_is_routed_everywhere, begin),
        cmocka_unit_test_setup(flows_that_are_stale, begin),
        cmocka_unit_test(lines_are_read),
        cmocka_unit_test(what_is_set_is_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
