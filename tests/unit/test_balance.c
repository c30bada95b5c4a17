/* Which links get the new flows, what becomes of the others' flows, and the text that says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/util.h"
#include "wan/balance.h"
#include "wan/firewall.h"
#include "wan/moveflows.h"
#include "wan_site.h"

#define LINKS                                                        \
    "probes:\n  - {name: net, targets: [198.51.100.1]}\n"            \
    "links:\n"                                                       \
    "  - {name: a, device: wan1, table: 100, mark: 1, probe: net}\n" \
    "  - {name: b, device: wan2, table: 200, mark: 2, probe: net}\n" \
    "  - {name: c, device: wan3, table: 300, mark: 3, probe: net}\n" \
    "policies:\n"

/* Links 1 to 3 are up and healthy. */
static void three(struct gateway_config *c, struct wan_facts *f, const char *policies)
{
    char text[2048];

    snprintf(text, sizeof(text), "%s%s", LINKS, policies);
    site_parse(text, c);
    memset(f, 0, sizeof(*f));
    for (int i = 1; i <= 3; i++) {
        snprintf(text, sizeof(text), "10.150.%d.2/24", i);
        f->link[i - 1] = site_link(i, text);
        snprintf(text, sizeof(text), "10.150.%d.1", i);
        f->link[i - 1].hop[WAN_V4] = (struct wan_hop){.known = true, .via = site_addr(text)};
        f->link[i - 1].health.probe[WAN_V4].state = WAN_STATE_HEALTHY;
    }
}

static void expect(const struct gateway_config *c, const struct wan_facts *f, const char *text)
{
    struct balance_choice choice;
    char buf[BALANCE_TEXT_MAX];

    balance_choose(c, f, &c->policies[0], WAN_V4, &choice);
    assert_string_equal(balance_str(c, &choice, buf), text);
}

static void new_flows_go_to_the_first_tier_that_works(void **state)
{
    struct gateway_config c;
    struct wan_facts f;

    three(&c, &f,
          "  - {ingress: lan, priority: 1001, balance: [{link: a, weight: 30}, {link: b, weight: "
          "10}], failover: [c], last_resort: b}\n");
    expect(&c, &f, "a 75 %, b 25 %");
    f.link[0].health.probe[WAN_V4].state = WAN_STATE_UNHEALTHY;
    expect(&c, &f, "b");
    f.link[1].health.probe[WAN_V4].state = WAN_STATE_DEGRADED;
    expect(&c, &f, "c");
    f.link[2].carrier = false;
    expect(&c, &f, "b (degraded)");
    f.link[1].health.probe[WAN_V4].state = WAN_STATE_UNHEALTHY;
    expect(&c, &f, "b (last resort)");
    f.link[1].carrier = false;
    expect(&c, &f, "closed");
    f.link[0].health.probe[WAN_V4].state = WAN_STATE_UNKNOWN;
    expect(&c, &f, "a");
}

static void a_weight_of_none_takes_no_new_flows(void **state)
{
    struct gateway_config c;
    struct wan_facts f;

    three(&c, &f,
          "  - {ingress: lan, priority: 1001, balance: [{link: a, weight: none}, {link: b}, "
          "{link: c, tier: 2}]}\n");
    expect(&c, &f, "b");
    f.link[1].up = false;
    expect(&c, &f, "c");
    f.link[2].up = false;
    expect(&c, &f, "closed");
}

static unsigned keepers(const struct gateway_config *c, const struct wan_facts *f)
{
    unsigned v[GATEWAY_MEMBERS_MAX + 1];
    struct balance_choice choice;

    balance_choose(c, f, &c->policies[0], WAN_V4, &choice);
    return balance_keepers(c, f, &c->policies[0], WAN_V4, &choice, v);
}

/* Back to a is better: only `keep` lets what sticks to b stay there. */
static void what_sticks_after_a_failback(void **state)
{
    struct gateway_config c;
    struct wan_facts f;

    three(&c, &f, "  - {ingress: lan, priority: 1001, failover: [a, b, c], sticky: source}\n");
    assert_int_equal(keepers(&c, &f), 1);
    c.policies[0].existing = GATEWAY_EXISTING_KEEP;
    assert_int_equal(keepers(&c, &f), 3);
    f.link[1].carrier = false;
    assert_int_equal(keepers(&c, &f), 2);
}

static struct conntrack_entry entry(uint32_t mark, const char *to)
{
    return (struct conntrack_entry){.mark = mark,
                                    .orig = {.src = site_addr("10.0.0.2"), .dst = site_addr(to)}};
}

static void flows_that_are_moved(void **state)
{
    struct conntrack_entry on_a = entry(0x701, "192.0.2.1"), on_b = entry(2, "192.0.2.1");
    struct conntrack_entry into_b = entry(2, "10.150.2.2"), none = entry(0, "192.0.2.1");
    struct gateway_config c;
    struct wan_facts f;

    three(&c, &f,
          "  - {ingress: lan, priority: 1001, failover: [a, b], existing: flush}\n"
          "  - {ingress: lan2, priority: 1002, balance: [{link: a}, {link: c}]}\n");
    assert_false(moveflows_is_due(&c, &f, &on_a));
    assert_true(moveflows_is_due(&c, &f, &on_b)); /* a is better, and works */
    assert_false(moveflows_is_due(&c, &f, &into_b));
    assert_false(moveflows_is_due(&c, &f, &none));
    f.link[0].health.probe[WAN_V4].state = WAN_STATE_UNHEALTHY;
    assert_true(moveflows_is_due(&c, &f, &on_a));
    assert_false(moveflows_is_due(&c, &f, &on_b));
    f.link[0].health.probe[WAN_V4].state = WAN_STATE_DEGRADED; /* it works after a fashion */
    assert_false(moveflows_is_due(&c, &f, &on_a));
    f.link[0].carrier = f.link[1].carrier = false; /* there is nowhere else */
    assert_false(moveflows_is_due(&c, &f, &on_a));
}

static bool has(const struct gateway_config *c, const struct wan_facts *f, const char *words)
{
    char id[WAN_ID_MAX], *text = NULL;
    bool found;

    assert_int_equal(firewall_text(c, f, id, &text), 0);
    found = strstr(text, words) != NULL;
    free(text);
    return found;
}

/* Health changes the chain that draws, and nothing of what is kept or led by marks. */
static void the_text_follows_the_links(void **state)
{
    struct gateway_config c;
    struct wan_facts f;
    struct wan_objects before, after;

    three(&c, &f,
          "  - {ingress: lan, priority: 1001, balance: [{link: a, weight: 3}, {link: b}], sticky: "
          "source, sticky_time: 3690}\n");
    assert_true(
        has(&c, &f, "numgen random mod 4 vmap { 0-2 : goto to4-lan-a, 3 : goto to4-lan-b }"));
    assert_true(has(&c, &f, "\t\ttimeout 1h1m30s\n"));
    assert_int_equal(wan_desired(&c, &f, &before), 0);
    f.link[0].health.probe[WAN_V4].state = WAN_STATE_UNHEALTHY;
    assert_false(has(&c, &f, "numgen"));
    assert_true(has(&c, &f, "set stick4-lan-a {"));
    assert_true(has(&c, &f, "\t\tgoto to4-lan-b\n"));
    assert_int_equal(wan_desired(&c, &f, &after), 0);
    assert_string_not_equal(before.nft_id, after.nft_id);
    assert_int_equal(before.n_rules, after.n_rules);
    assert_int_equal(before.n_routes, after.n_routes);
    wan_objects_done(&before);
    wan_objects_done(&after);
}

static void which_packets_a_policy_is_for(void **state)
{
    struct ip_addr src = site_addr("10.1.2.3"), dst = site_addr("192.0.2.1"), any = {0};
    struct ip_addr other = site_addr("2001:db8::1");
    struct gateway_match m = {.protocol = GATEWAY_ONLY_UDP,
                              .source = {site_prefix("10.1.0.0/16")},
                              .n_source = 1,
                              .ports = {{50, 60}},
                              .n_ports = 1};

    assert_true(balance_matches(&m, &src, &dst, 17, 55));
    assert_true(balance_matches(&m, &any, &dst, 0, 0));
    assert_false(balance_matches(&m, &src, &dst, 17, 61));
    assert_false(balance_matches(&m, &src, &dst, 6, 55));
    assert_false(balance_matches(&m, &other, &dst, 17, 55));
    m = (struct gateway_match){.n_ports = 1, .ports = {{50, 60}}};
    assert_false(balance_matches(&m, &src, &dst, 1, 0)); /* ICMP has no ports */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_flows_go_to_the_first_tier_that_works),
        cmocka_unit_test(a_weight_of_none_takes_no_new_flows),
        cmocka_unit_test(what_sticks_after_a_failback),
        cmocka_unit_test(flows_that_are_moved),
        cmocka_unit_test(the_text_follows_the_links),
        cmocka_unit_test(which_packets_a_policy_is_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
