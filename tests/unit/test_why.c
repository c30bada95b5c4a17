#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/util.h"
#include "wan/why.h"
#include "wan_site.h"

/* The edge or the hub of the site in force, on a machine with the usual rules: WAN i has index i
 * and is enp7s(i + 2), mpq i 10 + i, LAN i 20 + i. */
struct scene {
    struct gateway_config c;
    struct wan_facts f;
    struct wan_objects want;
    struct why_world w;
};

static void add_rule(struct scene *s, uint8_t family, uint32_t priority, uint32_t table)
{
    struct fib_rule r = {.family = family,
                         .priority = priority,
                         .action = FIB_ACTION_TABLE,
                         .table = table,
                         .protocol = 2};

    assert_int_equal(why_add_rule(&s->w, &r), 0);
}

static void add_route(struct scene *s, const char *dst, uint32_t table, enum fib_type type,
                      int index, uint32_t metric)
{
    struct fib_route r = {.dst = site_prefix(dst),
                          .table = table,
                          .type = type,
                          .index = index,
                          .metric = metric,
                          .protocol = 2};

    assert_int_equal(why_add_route(&s->w, &r), 0);
}

/* Once config and facts are as they should be. */
static void begin(struct scene *s)
{
    char name[16], text[32];

    assert_int_equal(wan_desired(&s->c, &s->f, &s->want), 0);
    s->w = (struct why_world){
        .config = &s->c, .facts = &s->f, .want = &s->want, .forwarding = {true, true}};
    for (int i = 1; i <= 6; i++) {
        snprintf(name, sizeof(name), "enp7s%d", i + 2);
        assert_int_equal(why_add_link(&s->w, i, name), 0);
        snprintf(name, sizeof(name), "mpq%d", i);
        assert_int_equal(why_add_link(&s->w, 10 + i, name), 0);
        snprintf(name, sizeof(name), "enp6s%d", 19 + i);
        assert_int_equal(why_add_link(&s->w, 20 + i, name), 0);
        snprintf(text, sizeof(text), "10.150.%d.0/24", i);
        add_route(s, text, FIB_TABLE_MAIN, FIB_TYPE_UNICAST, i, 0);
        add_route(s, "0.0.0.0/0", FIB_TABLE_MAIN, FIB_TYPE_UNICAST, i, 200 - (unsigned)i);
        snprintf(text, sizeof(text), "172.16.%d.0/30", i);
        add_route(s, text, FIB_TABLE_MAIN, FIB_TYPE_UNICAST, 20 + i, 0);
        snprintf(text, sizeof(text), "172.16.%d.1", i);
        add_route(s, text, FIB_TABLE_LOCAL, FIB_TYPE_OTHER, 0, 0);
    }
    add_rule(s, 4, 0, FIB_TABLE_LOCAL);
    for (unsigned i = 0; i < s->want.n_rules; i += 2) /* the others are not there yet */
        assert_int_equal(why_add_rule(&s->w, &s->want.rules[i]), 0);
    add_rule(s, 4, 32766, FIB_TABLE_MAIN);
}

static void ready(struct scene *s)
{
    /* the kernel keeps them in order; a scene adds them as they come */
    for (unsigned i = 1; i < s->w.n_rules; i++)
        for (unsigned j = i; j && s->w.rules[j - 1].priority > s->w.rules[j].priority; j--) {
            struct fib_rule r = s->w.rules[j];

            s->w.rules[j] = s->w.rules[j - 1];
            s->w.rules[j - 1] = r;
        }
    add_rule(s, 6, 0, FIB_TABLE_LOCAL); /* the other family follows, from its beginning */
    add_rule(s, 6, 32766, FIB_TABLE_MAIN);
    assert_int_equal(why_world_ready(&s->w), 0);
}

static void end(struct scene *s)
{
    why_world_done(&s->w);
    wan_objects_done(&s->want);
}

static struct why ask(const struct scene *s, const char *iif, const char *src, const char *dst)
{
    struct why_packet p = {.src = site_addr(src), .dst = site_addr(dst)};
    struct why y;

    snprintf(p.iif, sizeof(p.iif), "%s", iif);
    why_explain(&s->w, &p, &y);
    return y;
}

static void edge(struct scene *s)
{
    memset(s, 0, sizeof(*s));
    site_edge(&s->c, "");
    site_facts(&s->f);
}

static void a_lan_leaves_by_its_tunnel(void **state)
{
    struct scene s;
    struct why y;

    edge(&s);
    begin(&s);
    ready(&s);
    y = ask(&s, "enp6s23", "172.16.4.2", "198.51.100.1");
    assert_int_equal(y.end, WHY_OUT);
    assert_string_equal(y.device, "mpq4");
    assert_string_equal(s.c.links[y.link].name, "mpq4");
    assert_string_equal(y.policy->pin, "mpq4");
    assert_int_equal(y.rule->priority, 1004);
    assert_int_equal(y.route->table, 103);
    assert_false(y.translated);
    assert_non_null(strstr(y.firewall, "the link of its policy"));
    /* Another LAN, and a provider's network: as everything else. */
    assert_string_equal(ask(&s, "enp6s23", "172.16.4.2", "172.16.1.2").device, "mpq4");
    assert_string_equal(ask(&s, "enp6s23", "172.16.4.2", "10.150.1.1").device, "mpq4");
    /* Its own router, and the hub. */
    assert_int_equal(ask(&s, "enp6s23", "172.16.4.2", "172.16.4.1").end, WHY_HERE);
    y = ask(&s, "enp6s23", "172.16.4.2", "203.0.113.10");
    assert_int_equal(y.end, WHY_BLACKHOLE);
    assert_int_equal(y.rule->priority, 1000);
    assert_null(y.route);
    end(&s);
}

static void a_link_that_is_down_closes(void **state)
{
    struct scene s;
    struct why y;

    edge(&s);
    s.f.link[3].carrier = false;        /* wan4 */
    s.f.link[7].health.disabled = true; /* mpq2 */
    s.c.closed = GATEWAY_CLOSED_UNREACHABLE;
    begin(&s);
    ready(&s);
    y = ask(&s, "enp6s23", "172.16.4.2", "198.51.100.1");
    assert_int_equal(y.end, WHY_UNREACHABLE);
    assert_int_equal(y.route->table, 103);
    assert_int_equal(y.link, -1);
    assert_int_equal(ask(&s, "enp6s21", "172.16.2.2", "198.51.100.1").end, WHY_UNREACHABLE);
    assert_int_equal(ask(&s, "enp6s20", "172.16.1.2", "198.51.100.1").end, WHY_OUT);
    end(&s);
}

static void reach_is_by_main_and_both_ways(void **state)
{
    struct scene s;
    struct why y;

    edge(&s);
    s.c.policies[0].reach[0] = site_prefix("172.16.2.0/30");
    s.c.policies[0].n_reach = 1;
    begin(&s);
    ready(&s);
    y = ask(&s, "enp6s20", "172.16.1.2", "172.16.2.2");
    assert_int_equal(y.end, WHY_OUT);
    assert_string_equal(y.device, "enp6s21");
    assert_int_equal(y.route->table, FIB_TABLE_MAIN);
    assert_non_null(strstr(y.firewall, "in reach of the policy"));
    /* The other one has not said so: there is no way back. */
    assert_string_equal(ask(&s, "enp6s21", "172.16.2.2", "172.16.1.2").device, "mpq2");
    /* Default routes of main are not reach. */
    s.w.n_routes = 0;
    y = ask(&s, "enp6s20", "172.16.1.2", "172.16.2.2");
    assert_string_equal(y.device, "mpq1");
    end(&s);
}

static void without_a_policy(void **state)
{
    struct scene s;
    struct why y;

    edge(&s);
    begin(&s);
    ready(&s);
    y = ask(&s, "mgmt", "10.9.9.9", "198.51.100.1");
    assert_int_equal(y.end, WHY_OUT);
    assert_null(y.policy);
    assert_string_equal(y.device, "enp7s8"); /* the best metric */
    y = ask(&s, "mgmt", "10.9.9.9", "172.16.1.2");
    assert_int_equal(y.end, WHY_DROPPED);
    assert_string_equal(y.device, "enp6s20");
    s.c.forward = GATEWAY_FORWARD_DROP;
    assert_int_equal(ask(&s, "mgmt", "10.9.9.9", "198.51.100.1").end, WHY_DROPPED);
    s.w.forwarding[WAN_V4] = false;
    assert_int_equal(ask(&s, "mgmt", "10.9.9.9", "198.51.100.1").end, WHY_NOT_FORWARDED);
    /* This machine itself is under no policy, and not forwarded. */
    y = ask(&s, "", "172.16.1.1", "198.51.100.1");
    assert_int_equal(y.end, WHY_OUT);
    assert_null(y.firewall);
    assert_int_equal(ask(&s, "", "172.16.1.1", "172.16.4.1").end, WHY_HERE);
    /* There is no IPv6 at all. */
    assert_int_equal(ask(&s, "mgmt", "2001:db8::1", "2001:db8::2").end, WHY_NO_ROUTE);
    assert_int_equal(ask(&s, "enp6s20", "2001:db8::1", "2001:db8::2").end, WHY_BLACKHOLE);
    end(&s);
}

static void the_hub_translates(void **state)
{
    static const char text[] =
        "links:\n"
        "  - {name: internet, device: enp7s3, table: 110, masquerade: true}\n"
        "  - {name: mpq1, type: tunnel, device: mpq1, prefixes: 172.16.1.0/30}\n"
        "  - {name: mpq2, type: tunnel, device: mpq2, prefixes: 172.16.2.0/30}\n"
        "policies:\n"
        "  - {ingress: mpq1, pin: internet, priority: 1001}\n"
        "  - {ingress: mpq2, pin: internet, priority: 1002}\n"
        "open_udp: 45001\n"
        "forward: drop\n";
    struct why_packet p = {.iif = "mpq1", .src = site_addr("172.16.1.2")};
    struct scene s = {0};
    struct why y;

    site_parse(text, &s.c);
    s.f.link[0] = site_link(1, "198.51.100.2/24");
    s.f.link[0].hop[WAN_V4] =
        (struct wan_hop){.known = true, .via = site_addr("198.51.100.1"), .metric = 100};
    s.f.link[1] = site_link(11, "10.200.1.2/30");
    s.f.link[2] = site_link(12, "10.200.2.2/30");
    begin(&s);
    ready(&s);
    y = ask(&s, "mpq1", "172.16.1.2", "192.0.2.1");
    assert_int_equal(y.end, WHY_OUT);
    assert_int_equal(y.mark, s.c.mark);
    assert_true(y.translated);
    assert_true(ip_addr_equal(&y.as, &(struct ip_addr){.family = 4, .b = {198, 51, 100, 2}}));
    assert_int_equal(y.route->table, 110);
    /* The LAN behind another tunnel is not the Internet. */
    assert_int_equal(ask(&s, "mpq1", "172.16.1.2", "172.16.2.2").end, WHY_BLACKHOLE);
    /* A new flow from outside is no answer. */
    assert_int_equal(ask(&s, "enp7s3", "192.0.2.1", "172.16.1.2").end, WHY_DROPPED);
    /* Out of a tunnel to this machine: the open ports, and ICMP. */
    p.dst = site_addr("172.16.3.1");
    p.protocol = 17;
    p.port = 45001;
    why_explain(&s.w, &p, &y);
    assert_int_equal(y.end, WHY_HERE);
    p.port = 45002;
    why_explain(&s.w, &p, &y);
    assert_int_equal(y.end, WHY_DROPPED);
    p.protocol = 1;
    why_explain(&s.w, &p, &y);
    assert_int_equal(y.end, WHY_HERE);
    end(&s);
}

/* 1:1, in the order of nftables: what comes in is translated before its way is looked for, what
 * leaves afterwards, and what nothing translates does not leave. */
static void translation_both_ways(void **state)
{
    static const char text[] = "links:\n"
                               "  - {name: att, device: enp7s3, table: 110}\n"
                               "policies:\n"
                               "  - {ingress: enp6s20, pin: att, priority: 1001}\n"
                               "nat:\n"
                               "  - {link: att, inside: 172.16.1.2, outside: 104.57.226.193}\n"
                               "port_forwards:\n"
                               "  - {ports: 8080, to: 172.16.1.3, to_port: 80}\n";
    struct why_packet p = {.iif = "enp7s3",
                           .src = site_addr("192.0.2.1"),
                           .dst = site_addr("10.150.1.2"),
                           .protocol = 6,
                           .port = 8080};
    struct ip_addr a;
    struct scene s = {0};
    struct why y;

    site_parse(text, &s.c);
    s.f.link[0] = site_link(1, "10.150.1.2/24");
    s.f.link[0].hop[WAN_V4] =
        (struct wan_hop){.known = true, .via = site_addr("10.150.1.1"), .metric = 100};
    begin(&s);
    add_route(&s, "10.150.1.2/32", FIB_TABLE_LOCAL, FIB_TYPE_OTHER, 1, 0);
    ready(&s);
    y = ask(&s, "enp6s20", "172.16.1.2", "192.0.2.1");
    assert_int_equal(y.end, WHY_OUT);
    assert_true(y.translated);
    a = site_addr("104.57.226.193");
    assert_true(ip_addr_equal(&y.as, &a));
    y = ask(&s, "enp6s20", "172.16.1.9", "192.0.2.1");
    assert_int_equal(y.end, WHY_DROPPED);
    y = ask(&s, "enp7s3", "192.0.2.1", "104.57.226.193");
    assert_int_equal(y.end, WHY_OUT);
    assert_string_equal(y.device, "enp6s20");
    a = site_addr("172.16.1.2");
    assert_true(ip_addr_equal(&y.to, &a));
    /* To the inside address itself nothing comes in. */
    assert_int_equal(ask(&s, "enp7s3", "192.0.2.1", "172.16.1.2").end, WHY_DROPPED);
    why_explain(&s.w, &p, &y);
    a = site_addr("172.16.1.3");
    assert_true(ip_addr_equal(&y.to, &a));
    assert_int_equal(y.to_port, 80);
    p.port = 8081;
    why_explain(&s.w, &p, &y);
    assert_int_equal(y.to.family, 0);
    end(&s);
}

static void what_others_have(void **state)
{
    struct fib_rule theirs = {.family = 4,
                              .priority = 900,
                              .action = FIB_ACTION_TABLE,
                              .table = 77,
                              .from = site_prefix("172.16.4.0/30"),
                              .protocol = 4};
    struct fib_rule later = theirs;
    struct scene s;
    struct why y;

    edge(&s);
    begin(&s);
    assert_int_equal(why_add_rule(&s.w, &theirs), 0);
    later.priority = 901;
    later.more = true;
    later.from = site_prefix("172.16.5.0/30");
    assert_int_equal(why_add_rule(&s.w, &later), 0);
    add_route(&s, "192.0.2.0/24", 77, FIB_TYPE_UNICAST, 1, 0);
    add_route(&s, "192.0.2.9", 77, FIB_TYPE_OTHER, 0, 0);
    ready(&s);
    y = ask(&s, "enp6s23", "172.16.4.2", "192.0.2.1");
    assert_int_equal(y.end, WHY_DROPPED); /* nftables lets it out by its own link only */
    assert_int_equal(y.rule->priority, 900);
    assert_string_equal(y.device, "enp7s3");
    assert_int_equal(ask(&s, "enp6s23", "172.16.4.2", "192.0.2.9").end, WHY_NOT_KNOWN);
    assert_string_equal(ask(&s, "enp6s23", "172.16.4.2", "198.51.100.1").device, "mpq4");
    y = ask(&s, "enp6s24", "172.16.5.2", "198.51.100.1");
    assert_true(y.passed_over);
    assert_string_equal(y.device, "mpq5");
    end(&s);
}

static void where_an_address_comes_in(void **state)
{
    struct ip_addr lan = site_addr("172.16.3.2"), own = site_addr("172.16.3.1"),
                   far = site_addr("192.0.2.1");
    struct scene s;

    edge(&s);
    begin(&s);
    ready(&s);
    assert_string_equal(why_ingress(&s.w, &lan), "enp6s22");
    assert_null(why_ingress(&s.w, &own));
    assert_null(why_ingress(&s.w, &far));
    assert_true(why_is_own(&s.w, &own));
    assert_false(why_is_own(&s.w, &far));
    assert_false(why_is_own(&s.w, &lan));
    end(&s);
}

static void no_packet(void **state)
{
    static const char *const pairs[][2] = {
        {"172.16.1.2", "224.0.0.1"}, {"172.16.1.2", "255.255.255.255"},
        {"172.16.1.2", "127.0.0.1"}, {"127.0.0.1", "192.0.2.1"},
        {"0.0.0.0", "192.0.2.1"},    {"2001:db8::1", "192.0.2.1"}};
    struct scene s;

    edge(&s);
    begin(&s);
    ready(&s);
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
        assert_int_equal(ask(&s, "enp6s20", pairs[i][0], pairs[i][1]).end, WHY_NO_PACKET);
    end(&s);
}

static void in_words(void **state)
{
    struct why_packet p = {
        .iif = "enp6s23", .src = site_addr("172.16.4.2"), .dst = site_addr("198.51.100.1")};
    char *text = NULL;
    size_t len = 0;
    struct scene s;
    struct why y;
    FILE *out = open_memstream(&text, &len);

    edge(&s);
    begin(&s);
    ready(&s);
    why_explain(&s.w, &p, &y);
    assert_non_null(out);
    why_write(&s.w, &p, &y, out);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(text, "172.16.4.2 -> 198.51.100.1 from enp6s23 leaves by mpq4, link mpq4\n"
                              "  policy    enp6s23 is pinned to mpq4\n"
                              "  link      mpq4 is healthy: up\n"
                              "  rule      -4 priority 1004 iif enp6s23 lookup 103\n"
                              "  route     -4 default dev mpq4 table 103\n"
                              "  firewall  accepted: it goes to the link of its policy\n");
    free(text);
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lan_leaves_by_its_tunnel),
        cmocka_unit_test(a_link_that_is_down_closes),
        cmocka_unit_test(reach_is_by_main_and_both_ways),
        cmocka_unit_test(without_a_policy),
        cmocka_unit_test(the_hub_translates),
        cmocka_unit_test(translation_both_ways),
        cmocka_unit_test(what_others_have),
        cmocka_unit_test(where_an_address_comes_in),
        cmocka_unit_test(no_packet),
        cmocka_unit_test(in_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
