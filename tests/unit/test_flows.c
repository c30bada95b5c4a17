/* Flows of a site with a LAN that is translated by a WAN, and one that goes into a tunnel. */
#include "wan/flows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/util.h"
#include "wan_site.h"

static const char text[] =
    "links:\n"
    "  - {name: wan1, device: enp7s3, table: 100, masquerade: true}\n"
    "  - {name: mpq1, type: tunnel, device: mpq1, table: 101, over: wan1, hub: 203.0.113.10}\n"
    "policies:\n"
    "  - {ingress: lan1, pin: wan1, priority: 1001}\n"
    "  - {ingress: lan2, pin: mpq1, priority: 1002, reach: 172.16.1.0/30}\n";

static struct gateway_config c;
static struct wan_facts facts;
static struct wan_objects want;
static struct why_world w;

static void add_route(const char *dst, uint32_t table, enum fib_type type, int index)
{
    struct fib_route r = {
        .dst = site_prefix(dst), .table = table, .type = type, .index = index, .protocol = 2};

    assert_int_equal(why_add_route(&w, &r), 0);
}

static int make_world(void **state)
{
    struct fib_rule local = {.family = 4, .table = FIB_TABLE_LOCAL, .protocol = 2};
    struct fib_rule rest = {.family = 4, .priority = 32766, .table = FIB_TABLE_MAIN, .protocol = 2};

    site_parse(text, &c);
    facts.link[0] = site_link(1, "10.150.1.2/24");
    facts.link[0].hop[WAN_V4] = (struct wan_hop){.known = true, .via = site_addr("10.150.1.1")};
    facts.link[1] = site_link(11, "10.200.1.1/30");
    assert_int_equal(wan_desired(&c, &facts, &want), 0);
    w = (struct why_world){
        .config = &c, .facts = &facts, .want = &want, .forwarding = {true, true}};
    assert_int_equal(why_add_link(&w, 1, "enp7s3"), 0);
    assert_int_equal(why_add_link(&w, 11, "mpq1"), 0);
    assert_int_equal(why_add_link(&w, 21, "lan1"), 0);
    assert_int_equal(why_add_link(&w, 22, "lan2"), 0);
    add_route("10.150.1.2", FIB_TABLE_LOCAL, FIB_TYPE_OTHER, 0);
    add_route("10.200.1.1", FIB_TABLE_LOCAL, FIB_TYPE_OTHER, 0);
    add_route("172.16.1.1", FIB_TABLE_LOCAL, FIB_TYPE_OTHER, 0);
    add_route("10.150.1.0/24", FIB_TABLE_MAIN, FIB_TYPE_UNICAST, 1);
    add_route("10.200.1.0/30", FIB_TABLE_MAIN, FIB_TYPE_UNICAST, 11);
    add_route("172.16.1.0/30", FIB_TABLE_MAIN, FIB_TYPE_UNICAST, 21);
    add_route("172.16.2.0/30", FIB_TABLE_MAIN, FIB_TYPE_UNICAST, 22);
    add_route("0.0.0.0/0", FIB_TABLE_MAIN, FIB_TYPE_UNICAST, 1);
    assert_int_equal(why_add_rule(&w, &local), 0);
    assert_int_equal(why_add_rule(&w, &rest), 0);
    assert_int_equal(why_world_ready(&w), 0);
    return 0;
}

static int end_world(void **state)
{
    why_world_done(&w);
    wan_objects_done(&want);
    return 0;
}

/* From src to dst; what comes back is from to, and goes to as. */
static struct conntrack_entry entry(const char *src, const char *dst, const char *to,
                                    const char *as)
{
    struct conntrack_entry e = {
        .orig = {site_addr(src), site_addr(dst), .protocol = 6, .src_port = 40000, .dst_port = 443},
        .reply = {site_addr(to), site_addr(as), .protocol = 6, .src_port = 443, .dst_port = 40000},
    };

    if (strcmp(dst, to) != 0)
        e.status |= CONNTRACK_DST_NAT;
    if (strcmp(src, as) != 0)
        e.status |= CONNTRACK_SRC_NAT;
    return e;
}

static struct flow find(const char *src, const char *dst, const char *to, const char *as)
{
    struct conntrack_entry e = entry(src, dst, to, as);
    struct flow f;

    flow_find(&w, &e, &f);
    return f;
}

static void translated_by_the_address_of_the_link(void **state)
{
    struct flow f = find("172.16.1.2", "198.51.100.9", "198.51.100.9", "10.150.1.2");

    assert_int_equal(f.link, 0);
    assert_int_equal(f.how, FLOW_BY_ADDRESS);
    assert_string_equal(f.policy->ingress, "lan1");
    assert_false(f.inbound);
    assert_false(f.here);
}

static void not_translated_by_the_policy(void **state)
{
    struct flow f = find("172.16.2.2", "198.51.100.9", "198.51.100.9", "172.16.2.2");

    assert_int_equal(f.link, 1);
    assert_int_equal(f.how, FLOW_BY_POLICY);
    assert_string_equal(f.policy->ingress, "lan2");
    assert_false(f.inbound);

    f = find("198.51.100.9", "172.16.2.2", "172.16.2.2", "198.51.100.9");
    assert_int_equal(f.link, 1);
    assert_string_equal(f.policy->ingress, "lan2");
    assert_true(f.inbound);
}

static void to_a_port_that_is_passed_on(void **state)
{
    struct flow f = find("198.51.100.9", "10.150.1.2", "172.16.1.2", "198.51.100.9");

    assert_int_equal(f.link, 0);
    assert_int_equal(f.how, FLOW_BY_ADDRESS);
    assert_true(f.inbound);
    assert_false(f.here);
    assert_string_equal(f.policy->ingress, "lan1");
}

static void a_mark_comes_first(void **state)
{
    struct conntrack_entry e = entry("172.16.2.2", "198.51.100.9", "198.51.100.9", "172.16.2.2");
    struct flow f;

    c.links[0].mark = 1;
    c.mark_mask = 0xff;
    e.mark = 0x701;
    flow_find(&w, &e, &f);
    assert_int_equal(f.link, 0);
    assert_int_equal(f.how, FLOW_BY_MARK);
    assert_false(f.inbound);
    assert_string_equal(f.policy->ingress, "lan2");
    e = entry("198.51.100.9", "203.0.113.77", "172.16.2.2", "198.51.100.9");
    e.mark = 1;
    flow_find(&w, &e, &f);
    assert_int_equal(f.link, 0);
    assert_true(f.inbound);
    e.mark = 2; /* of nobody */
    flow_find(&w, &e, &f);
    assert_int_equal(f.how, FLOW_BY_POLICY);
    c.links[0].mark = 0;
}

static void of_this_machine_itself(void **state)
{
    struct flow f = find("10.150.1.2", "203.0.113.10", "203.0.113.10", "10.150.1.2");

    assert_int_equal(f.link, 0);
    assert_true(f.here);
    assert_false(f.inbound);
    assert_null(f.policy);
    f = find("203.0.113.10", "10.150.1.2", "10.150.1.2", "203.0.113.10");
    assert_int_equal(f.link, 0);
    assert_true(f.here);
    assert_true(f.inbound);
}

static void those_that_stay_inside_use_no_link(void **state)
{
    /* a LAN to the address that this machine has at the WAN; the machine to itself; to another LAN
     */
    assert_int_equal(find("172.16.1.2", "10.150.1.2", "10.150.1.2", "172.16.1.2").link, -1);
    assert_int_equal(find("10.150.1.2", "10.150.1.2", "10.150.1.2", "10.150.1.2").link, -1);
    assert_int_equal(find("10.150.1.2", "172.16.1.2", "172.16.1.2", "10.150.1.2").link, -1);
    assert_int_equal(find("172.16.2.2", "172.16.1.2", "172.16.1.2", "172.16.2.2").link, -1);
    assert_int_equal(find("172.16.2.2", "172.16.1.2", "172.16.1.2", "172.16.2.2").how,
                     FLOW_NOWHERE);
}

static void sums(void **state)
{
    struct conntrack_entry e = entry("172.16.1.2", "198.51.100.9", "198.51.100.9", "10.150.1.2");
    struct flow_sum s = {0};
    struct flow f;

    flow_find(&w, &e, &f);
    flow_sum_add(&s, &f, &e);
    assert_false(s.has_counts);
    memset(&s, 0, sizeof(s));
    e.has_counts = true;
    e.sent = (struct conntrack_count){3, 400};
    e.received = (struct conntrack_count){5, 6000};
    e.status |= CONNTRACK_SEEN_REPLY;
    flow_sum_add(&s, &f, &e);
    flow_sum_add(&s, &f, &e);
    assert_true(s.has_counts);
    assert_int_equal(s.flows, 2);
    assert_int_equal(s.answered, 2);
    assert_int_equal(s.translated, 2);
    assert_int_equal(s.sent.bytes, 800);
    assert_int_equal(s.received.packets, 10);
    e.has_counts = false; /* from before they were counted */
    flow_sum_add(&s, &f, &e);
    assert_false(s.has_counts);
    e.has_counts = true;
    flow_sum_add(&s, &f, &e);
    assert_false(s.has_counts);
}

static void ways_of_knowing_have_names(void **state)
{
    assert_string_equal(flow_how_name(FLOW_BY_POLICY), "policy");
    assert_string_equal(flow_how_name(FLOW_HOW_COUNT), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(translated_by_the_address_of_the_link),
        cmocka_unit_test(not_translated_by_the_policy),
        cmocka_unit_test(to_a_port_that_is_passed_on),
        cmocka_unit_test(a_mark_comes_first),
        cmocka_unit_test(of_this_machine_itself),
        cmocka_unit_test(those_that_stay_inside_use_no_link),
        cmocka_unit_test(sums),
        cmocka_unit_test(ways_of_knowing_have_names),
    };

    return cmocka_run_group_tests(tests, make_world, end_world);
}
