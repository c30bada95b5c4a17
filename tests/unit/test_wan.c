#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/util.h"
#include "wan/desired.h"
#include "wan/firewall.h"
#include "wan_site.h"

/* All that has to do with one table or interface, as text, in any order. */
static enum wan_reason reason(const struct gateway_config *c, const struct wan_facts *f,
                              const char *link)
{
    struct wan_link_state s;

    wan_state_of(c, f, (unsigned)gateway_config_link(c, link), &s);
    return s.reason[WAN_V4];
}

static void the_site_as_it_is(void **state)
{
    struct gateway_config c;
    struct wan_facts f;
    struct wan_objects o;

    site_edge(&c, "");
    site_facts(&f);
    assert_int_equal(wan_desired(&c, &f, &o), 0);
    assert_true(site_has_rule(&o, "-4 priority 1004 iif enp6s23 lookup 103"));
    assert_true(site_has_rule(&o, "-4 priority 1000 to 203.0.113.10/32 iif enp6s23 blackhole"));
    assert_true(site_has_rule(&o, "-4 priority 1000 to 203.0.113.10/32 oif enp7s6 lookup 103"));
    assert_true(site_has_rule(&o, "-4 priority 1099 iif enp6s23 blackhole"));
    assert_true(site_has_rule(&o, "-6 priority 1099 iif enp6s23 blackhole"));
    assert_int_equal(o.n_rules, 6 * 5);
    assert_true(site_has_route(&o, "-4 default dev 14 table 103"));
    assert_true(site_has_route(&o, "-4 blackhole default table 103 metric 4294967295"));
    assert_true(site_has_route(&o, "-4 203.0.113.10/32 via 10.150.4.1 dev 4 table 103"));
    assert_true(site_has_route(&o, "-4 unreachable 203.0.113.10/32 table 103 metric 4294967295"));
    assert_int_equal(o.n_routes, 6 * 4);
    assert_int_equal(o.n_settings, 1);
    assert_int_equal(wan_objects_setting(&o, "net/ipv4/ip_forward"), 1);
    wan_objects_done(&o);
}

/* Whatever happens to a link, only its ways go: rules, blackholes and the others stay. */
static void a_link_that_is_down_has_no_way(void **state)
{
    struct gateway_config c;
    struct wan_facts f;
    struct wan_objects o;

    site_edge(&c, "");
    for (unsigned how = 0; how < 6; how++) {
        static const enum wan_reason wan[] = {WAN_REASON_NO_DEVICE,  WAN_REASON_DEVICE_DOWN,
                                              WAN_REASON_NO_CARRIER, WAN_REASON_NO_ADDRESS,
                                              WAN_REASON_NO_GATEWAY, WAN_REASON_UP};
        struct wan_link_facts *w = &f.link[0];

        site_facts(&f);
        w->index = how == 0 ? 0 : 1;
        w->up = how != 1;
        w->carrier = how != 2;
        w->n_net = how != 3;
        w->hop[WAN_V4].known = how != 4;
        f.link[6].carrier = how != 5;
        assert_int_equal(reason(&c, &f, "wan1"), wan[how]);
        assert_int_equal(reason(&c, &f, "mpq1"),
                         how == 5 ? WAN_REASON_NO_CARRIER : WAN_REASON_WAN_DOWN);
        assert_int_equal(reason(&c, &f, "mpq2"), WAN_REASON_UP);
        assert_int_equal(wan_desired(&c, &f, &o), 0);
        assert_false(site_has_route(&o, "-4 default dev 11 table 100"));
        assert_true(site_has_route(&o, "-4 203.0.113.10/32 via 10.150.1.1 dev 1 table 100") ==
                    (how == 5));
        assert_int_equal(o.n_rules, 6 * 5);
        assert_int_equal(o.n_routes, 6 * 4 - 2 + (how == 5));
        assert_true(site_has_rule(&o, "-4 priority 1001 iif enp6s20 lookup 100"));
        assert_true(site_has_route(&o, "-4 blackhole default table 100 metric 4294967295"));
        wan_objects_done(&o);
    }
}

/* The kernel's gateway before the configured one; none at all for what is on the link itself. */
static void gateways(void **state)
{
    struct gateway_config c;
    struct wan_facts f;
    struct wan_objects o;

    site_edge(&c, "");
    site_facts(&f);
    c.links[0].gateway = site_addr("10.150.1.77");
    c.links[1].gateway = site_addr("10.150.2.77");
    f.link[1].hop[WAN_V4].known = false;
    f.link[2].hop[WAN_V4].via = (struct ip_addr){0}; /* as of PPP */
    f.link[3].hop[WAN_V4].known = false;
    f.link[3].net[0] = site_prefix("203.0.113.99/24");
    assert_int_equal(wan_desired(&c, &f, &o), 0);
    assert_true(site_has_route(&o, "-4 203.0.113.10/32 via 10.150.1.1 dev 1 table 100"));
    assert_true(site_has_route(&o, "-4 203.0.113.10/32 via 10.150.2.77 dev 2 table 101"));
    assert_true(site_has_route(&o, "-4 203.0.113.10/32 dev 3 table 102"));
    assert_true(site_has_route(&o, "-4 203.0.113.10/32 dev 4 table 103"));
    assert_true(site_has_route(&o, "-4 default dev 14 table 103"));
    wan_objects_done(&o);
}

static void what_others_put_into_a_table_closes_it(void **state)
{
    struct gateway_config c;
    struct wan_facts f;
    struct wan_objects o;

    site_edge(&c, "");
    site_facts(&f);
    f.link[6].foreign[WAN_V4] = WAN_FOREIGN_BEHIND;
    f.link[7].foreign[WAN_V4] = WAN_FOREIGN_BEHIND;
    f.link[7].carrier = false;
    f.link[8].foreign[WAN_V4] = WAN_FOREIGN_BEFORE;
    assert_int_equal(wan_desired(&c, &f, &o), 0);
    assert_true(site_has_rule(&o, "-4 priority 1001 iif enp6s20 lookup 100"));
    assert_false(site_has_rule(&o, "-4 priority 1002 iif enp6s21 lookup 101"));
    assert_false(site_has_rule(&o, "-4 priority 1003 iif enp6s22 lookup 102"));
    assert_true(site_has_rule(&o, "-4 priority 1099 iif enp6s22 blackhole"));
    assert_int_equal(reason(&c, &f, "mpq3"), WAN_REASON_FOREIGN);
    wan_objects_done(&o);
}

static void ipv6_and_reach(void **state)
{
    struct gateway_config c;
    struct wan_facts f;
    struct wan_objects o;

    site_edge(&c, "ipv6: true\nclosed: unreachable\n");
    site_facts(&f);
    c.policies[0].reach[0] = site_prefix("172.16.2.0/30");
    c.policies[0].reach[1] = site_prefix("fd16:0:0:2::/64");
    c.policies[0].n_reach = 2;
    f.link[6].net[f.link[6].n_net++] = site_prefix("fd00:200:1::1/126");
    f.link[0].accept_ra = 1;
    f.link[1].accept_ra = 0;
    assert_int_equal(wan_desired(&c, &f, &o), 0);
    assert_true(site_has_rule(&o, "-6 priority 1001 iif enp6s20 lookup 100"));
    assert_true(site_has_rule(&o, "-6 priority 1000 to fd16:0:0:2::/64 iif enp6s20 lookup 254 "
                                  "suppress_prefixlength 0"));
    assert_true(site_has_rule(&o, "-4 priority 1000 to 172.16.2.0/30 iif enp6s20 lookup 254 "
                                  "suppress_prefixlength 0"));
    assert_true(site_has_route(&o, "-6 default dev 11 table 100 metric 1"));
    assert_true(site_has_route(&o, "-6 unreachable default table 101 metric 4294967295"));
    assert_false(site_has_route(&o, "-6 default dev 12 table 101 metric 1")); /* no address */
    assert_int_equal(wan_objects_setting(&o, "net/ipv6/conf/all/forwarding"), 1);
    assert_int_equal(wan_objects_setting(&o, "net/ipv6/conf/enp7s3/accept_ra"), 2);
    assert_int_equal(wan_objects_setting(&o, "net/ipv6/conf/enp7s4/accept_ra"), -1);
    wan_objects_done(&o);
}

static void the_hub(void **state)
{
    struct config_report report = {0};
    struct gateway_config c;
    struct wan_facts f = {0};
    struct wan_objects o;

    assert_int_equal(gateway_config_load(EXAMPLES "/gateway-six/hub.yaml", &c, &report), 0);
    f.link[0] = site_link(1, "203.0.113.10/24");
    f.link[0].hop[WAN_V4] = (struct wan_hop){.known = true, .via = site_addr("203.0.113.1")};
    f.link[4] = site_link(14, "10.200.4.2/30"); /* mpq4; the others are not there */
    assert_int_equal(wan_desired(&c, &f, &o), 0);
    assert_true(site_has_rule(&o, "-4 priority 1004 iif mpq4 fwmark 0x1/0xff lookup 110"));
    assert_true(site_has_rule(&o, "-4 priority 1000 to 172.16.2.0/30 iif mpq4 blackhole"));
    assert_true(site_has_rule(&o, "-4 priority 1099 iif mpq4 blackhole"));
    assert_true(site_has_route(&o, "-4 default via 203.0.113.1 dev 1 table 110"));
    assert_true(site_has_route(&o, "-4 172.16.4.0/30 dev 14 table 254"));
    assert_true(site_has_route(&o, "-4 unreachable 172.16.4.0/30 table 254 metric 4294967295"));
    assert_true(site_has_route(&o, "-4 unreachable 172.16.1.0/30 table 254 metric 4294967295"));
    assert_int_equal(o.n_routes, 2 + 6 + 1);
    assert_int_equal(wan_objects_setting(&o, "net/ipv4/conf/eth0/src_valid_mark"), 1);
    assert_non_null(strstr(o.nft, "udp dport { 45001-45006, 45010 } counter accept"));
    assert_non_null(strstr(o.nft, "policy drop"));
    assert_non_null(strstr(o.nft, "oifname \"eth0\" masquerade"));
    assert_non_null(strstr(o.nft, "meta mark set meta mark & 0xffffff00 | 0x00000001"));
    wan_objects_done(&o);
    config_report_done(&report);
}

/* The text carries an id, which its listing is known by, and which is not believed when it has
 * another number of lines. */
static void the_table_is_known_again(void **state)
{
    char id[WAN_ID_MAX], seen[WAN_ID_MAX], *text, *cut;
    struct gateway_config c, none = {0};
    struct wan_facts f;

    site_edge(&c, "");
    site_facts(&f);
    assert_int_equal(firewall_text(&c, &f, id, &text), 0);
    firewall_id(text, seen);
    assert_string_equal(seen, id);
    cut = strstr(text, "\t\tiifname \"enp6s20\" counter drop\n");
    assert_non_null(cut);
    memmove(cut, strchr(cut, '\n') + 1, strlen(strchr(cut, '\n') + 1) + 1);
    firewall_id(text, seen);
    assert_string_equal(seen, "changed");
    firewall_id("table inet mpquic_gateway {\n}\n", seen);
    assert_string_equal(seen, "changed");
    free(text);
    assert_int_equal(firewall_text(&none, &f, id, &text), 0);
    assert_null(text);
    assert_string_equal(id, "");
}

static void objects_are_a_set(void **state)
{
    struct wan_objects o = {0};
    struct fib_rule r = {.family = 4, .priority = 1, .iif = "x"};
    struct fib_route t = {.dst = site_prefix("10.0.0.0/8"), .table = 5};

    for (unsigned i = 0; i < 200; i++) {
        r.priority = t.table = i % 100 + 1;
        assert_int_equal(wan_objects_add_rule(&o, &r), 0);
        assert_int_equal(wan_objects_add_route(&o, &t), 0);
    }
    assert_int_equal(o.n_rules, 100);
    assert_int_equal(o.n_routes, 100);
    for (unsigned i = 0; i < WAN_SETTINGS_MAX; i++)
        assert_int_equal(wan_objects_add_setting(&o, "a", 1), 0);
    assert_int_equal(wan_objects_add_setting(&o, "a", 1), -ENOSPC);
    wan_objects_done(&o);
    assert_int_equal(o.n_rules, 0);
}

static struct fib_rule numbered_rule(uint32_t i)
{
    return (struct fib_rule){
        .family = i % 2 ? 4 : 6, .priority = i / 2, .action = FIB_ACTION_TABLE, .table = i % 7};
}

static struct fib_route numbered_route(uint32_t i)
{
    struct fib_route r = {.dst = {.addr.family = 4, .len = 32}, .table = 1 + i % 64, .metric = 7};

    memcpy(r.dst.addr.b, &i, sizeof(i));
    return r;
}

/* Found at once however many there are: searched one by one this would take minutes. */
static void large_sets(void **state)
{
    enum { MANY = 50000 };
    struct wan_objects o = {0};

    for (uint32_t i = 0; i < MANY; i++) {
        struct fib_rule rule = numbered_rule(i);
        struct fib_route route = numbered_route(i);

        assert_false(wan_objects_has_rule(&o, &rule));
        assert_int_equal(wan_objects_add_rule(&o, &rule), 0);
        assert_int_equal(wan_objects_add_rule(&o, &rule), 0);
        assert_int_equal(wan_objects_add_route(&o, &route), 0);
        assert_int_equal(wan_objects_add_route(&o, &route), 0);
    }
    assert_int_equal(o.n_rules, MANY);
    assert_int_equal(o.n_routes, MANY);
    wan_objects_done(&o);
}

/* Elements that were removed are not found, those that were moved are, and all can be added anew.
 */
static void sets_that_are_changed_by_hand(void **state)
{
    struct wan_objects o = {0};

    for (uint32_t i = 0; i < 1000; i++) {
        struct fib_rule rule = numbered_rule(i);
        struct fib_route route = numbered_route(i);

        assert_int_equal(wan_objects_add_rule(&o, &rule), 0);
        assert_int_equal(wan_objects_add_route(&o, &route), 0);
    }
    o.n_rules = 500; /* from the end */
    memmove(o.routes, o.routes + 1, --o.n_routes * sizeof(o.routes[0]));
    wan_objects_moved(&o);
    for (uint32_t i = 0; i < 1000; i++) {
        struct fib_rule rule = numbered_rule(i);
        struct fib_route route = numbered_route(i);

        assert_int_equal(wan_objects_has_rule(&o, &rule), i < 500);
        assert_int_equal(wan_objects_has_route(&o, &route), i > 0);
        assert_int_equal(wan_objects_add_route(&o, &route), 0);
        assert_true(wan_objects_has_route(&o, &route));
    }
    assert_int_equal(o.n_routes, 1000);
    o.n_rules = 0;
    for (unsigned n = 0; n < 3; n++)
        for (uint32_t i = 0; i < 1000; i++) {
            struct fib_rule rule = numbered_rule(i);

            assert_int_equal(wan_objects_add_rule(&o, &rule), 0);
        }
    assert_int_equal(o.n_rules, 1000);
    wan_objects_done(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_site_as_it_is),
        cmocka_unit_test(a_link_that_is_down_has_no_way),
        cmocka_unit_test(gateways),
        cmocka_unit_test(what_others_put_into_a_table_closes_it),
        cmocka_unit_test(ipv6_and_reach),
        cmocka_unit_test(the_hub),
        cmocka_unit_test(the_table_is_known_again),
        cmocka_unit_test(objects_are_a_set),
        cmocka_unit_test(large_sets),
        cmocka_unit_test(sets_that_are_changed_by_hand),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
