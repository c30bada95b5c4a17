#include "config/gateway.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "config/gateway_schema.h"
#include "config/value.h"

/* The smallest with a policy, as lines that tests add to. */
#define LINKS                            \
    "links:\n"                           \
    "  - {name: wan1, device: enp7s3}\n" \
    "  - {name: mpq1, type: tunnel, device: mpq1, table: 100, over: wan1, hub: 203.0.113.10}\n"
#define POLICIES "policies:\n  - {ingress: enp6s20, pin: mpq1, priority: 1001}\n"

static int parse(const char *text, struct gateway_config *ret, struct config_report *report)
{
    memset(report, 0, sizeof(*report));
    return gateway_config_parse(text, strlen(text), ret, report);
}

static void accepts(const char *text, struct gateway_config *ret)
{
    struct config_report report;

    if (parse(text, ret, &report))
        config_report_write(&report, "test", stderr);
    assert_int_equal(report.n, 0);
    config_report_done(&report);
}

/* Exactly one error, at that place, with those words. */
static void refuses(const char *text, unsigned line, unsigned column, const char *words)
{
    struct gateway_config c = {.mark = 42};
    struct config_report report;

    assert_int_equal(parse(text, &c, &report), -EINVAL);
    assert_int_equal(c.mark, 42); /* untouched */
    if (report.n != 1 || !strstr(report.v[0].text, words) || report.v[0].line != line ||
        report.v[0].column != column) {
        config_report_write(&report, words, stderr);
        fail();
    }
    config_report_done(&report);
}

static void defaults_and_values(void **state)
{
    struct gateway_config c;

    accepts(LINKS POLICIES, &c);
    assert_int_equal(c.n_links, 2);
    assert_int_equal(c.links[0].type, GATEWAY_LINK_WAN);
    assert_int_equal(c.links[1].type, GATEWAY_LINK_TUNNEL);
    assert_int_equal(c.links[1].table, 100);
    assert_string_equal(c.links[1].over, "wan1");
    assert_int_equal(c.links[1].hub.family, 4);
    assert_int_equal(c.n_policies, 1);
    assert_string_equal(c.policies[0].pin, "mpq1");
    assert_int_equal(c.first_priority, 1000);
    assert_int_equal(c.last_priority, 1099);
    assert_int_equal(c.mark, 1);
    assert_int_equal(c.mark_mask, 255);
    assert_int_equal(c.closed, GATEWAY_CLOSED_BLACKHOLE);
    assert_int_equal(c.forward, GATEWAY_FORWARD_ACCEPT);
    assert_false(c.ipv6);
    assert_int_equal(gateway_config_link(&c, "mpq1"), 1);
    assert_int_equal(gateway_config_link(&c, "mpq2"), -1);
}

static void twins_are_refused(void **state)
{
    refuses("links:\n  - {name: a, device: d1}\n  - {name: a, device: d2}\n", 3, 12, "this name");
    refuses("links:\n  - {name: a, device: d1}\n  - {name: b, device: d1}\n", 3, 23, "this device");
    refuses("links:\n  - {name: a, device: d1, table: 7}\n  - {name: b, device: d2, table: 7}\n", 3,
            34, "this table");
    refuses(LINKS POLICIES "  - {ingress: enp6s20, pin: mpq1, priority: 1002}\n", 6, 15,
            "can never match");
    refuses(LINKS POLICIES "  - {ingress: enp6s21, pin: mpq1, priority: 1001}\n", 6, 45,
            "this priority");
}

static void names_must_be_known(void **state)
{
    refuses(LINKS "policies:\n  - {ingress: enp6s20, pin: mqp1, priority: 1001}\n", 5, 29,
            "no such link");
    refuses("links:\n  - {name: t, type: tunnel, device: d1, over: wan9}\n", 2, 47, "not there");
    refuses("links:\n  - {name: t, type: tunnel, device: d1}\n"
            "  - {name: u, type: tunnel, device: d2, over: t}\n",
            3, 47, "no wan");
    refuses(LINKS "policies:\n  - {ingress: enp6s20, pin: wan1, priority: 1001}\n", 5, 29,
            "has no table");
    refuses(LINKS "policies:\n  - {ingress: mpq1, pin: mpq1, priority: 1001}\n", 5, 26,
            "cannot leave");
    refuses("links:\n  - {name: a, device: d1, tabel: 7}\n", 2, 27, "unknown key 'tabel'");
}

static void numbers_must_fit(void **state)
{
    refuses("links:\n  - {name: a, device: d1, table: 254}\n", 2, 34, "cannot be the link's own");
    refuses(LINKS "policies:\n  - {ingress: enp6s20, pin: mpq1, priority: 1000}\n", 5, 45,
            "not between");
    refuses(LINKS POLICIES "mark: 256\n", 6, 7, "mark_mask does not have");
    refuses(LINKS POLICIES "first_priority: 2000\nlast_priority: 2001\n", 7, 16,
            "no priority between");
    refuses(LINKS "open_udp: [45006..45001]\n", 4, 12, "ends before it begins");
    refuses(LINKS "open_udp: [x]\n", 4, 12, "neither a number");
}

static void networks_must_fit(void **state)
{
    refuses("links:\n  - {name: a, device: d1, prefixes: 172.16.1.0/30}\n"
            "  - {name: b, device: d2, prefixes: [172.16.9.0/30, 172.16.0.0/21]}\n",
            3, 53, "overlaps 172.16.1.0/30 of link a");
    refuses("links:\n  - {name: a, device: d1, prefixes: 'fd16::/64'}\n", 2, 37, "is of IPv6");
    refuses(LINKS "policies:\n"
                  "  - {ingress: enp6s20, pin: mpq1, priority: 1001, reach: 203.0.113.0/24}\n",
            5, 58, "holds the hub");
    refuses("links:\n  - {name: a, device: d1, over: b}\n", 2, 33, "only a tunnel");
    refuses("links:\n  - {name: a, device: d1, hub: 192.0.2.1}\n", 2, 32, "hub is for a tunnel");
    refuses("links:\n  - {name: a, device: d1, masquerade: true}\n", 2, 39, "without a table");
}

static void all_problems_are_told(void **state)
{
    struct gateway_config c;
    struct config_report report;

    assert_int_equal(
        parse("links:\n  - {device: d1, type: van}\n  - 5\npolicies: x\nclosed: maybe\n", &c,
              &report),
        -EINVAL);
    assert_int_equal(report.n, 5);
    assert_int_equal(report.n_errors, 5);
    assert_int_equal(report.v[0].line, 2);
    assert_non_null(strstr(report.v[0].text, "name is missing"));
    assert_int_equal(report.v[1].column, 24);
    assert_int_equal(report.v[2].line, 3);
    assert_int_equal(report.v[3].line, 4);
    assert_int_equal(report.v[4].line, 5);
    config_report_done(&report);
}

static void probes_and_their_mistakes(void **state)
{
    static const char good[] = "probes:\n"
                               "  - {name: net, targets: [192.0.2.1, 192.0.2.2], need: 2}\n"
                               "links:\n"
                               "  - {name: w, device: w0, probe: net}\n"
                               "  - {name: t, type: tunnel, device: t0, instance: one}\n"
                               "  - {name: n, device: n0}\n";
    static const char *const bad[][2] = {
        {"probes:\n  - {name: p, targets: 192.0.2.1}\n  - {name: p}\n",
         "another probe has this name"},
        {"probes:\n  - {name: p, targets: [192.0.2.1, 192.0.2.1]}\n", "is there twice"},
        {"probes:\n  - {name: p, targets: \"2001:db8::1\"}\n", "is of IPv6"},
        {"probes:\n  - {name: p, targets: 192.0.2.1, need: 3}\n", "not so many targets"},
        {"probes:\n  - {name: p, targets: 192.0.2.1, interval: 99}\n", "interval"},
        {"probes:\n  - {name: inter, targets: 192.0.2.1}\nlinks:\n"
         "  - {name: w, device: w0, probe: intre}\n",
         "there is no such probe"},
        {"probes:\n  - {name: p}\nlinks:\n  - {name: w, device: w0, probe: p}\n",
         "its probe has no target"},
        {"links:\n  - {name: w, device: w0, instance: one}\n", "only a tunnel is an instance"},
        {"probes:\n  - {name: p, targets: 192.0.2.1}\nlinks:\n  - {name: w, device: w0}\n"
         "  - {name: t, type: tunnel, device: t0, table: 7, over: w, hub: 192.0.2.1, probe: p}\n",
         "which is not behind it"},
    };
    struct config_report report = {0};
    struct gateway_config c;

    assert_int_equal(gateway_config_parse(good, strlen(good), &c, &report), 0);
    assert_int_equal(gateway_config_probe_of(&c, 0)->need, 2);
    assert_int_equal(gateway_config_probe_of(&c, 1)->n_targets, 0);
    assert_int_equal(gateway_config_probe_of(&c, 1)->interval_ms, 250);
    assert_null(gateway_config_probe_of(&c, 2));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char text[512];
        bool found = false;

        snprintf(text, sizeof(text), "%s%s", bad[i][0],
                 strstr(bad[i][0], "links:") ? "" : "links:\n  - {name: x, device: x0}\n");
        assert_int_equal(gateway_config_parse(text, strlen(text), &c, &report), -EINVAL);
        for (size_t n = 0; n < report.n; n++)
            found |= strstr(report.v[n].text, bad[i][1]) != NULL;
        assert_true(found);
        config_report_done(&report);
        report = (struct config_report){0};
    }
}

#define TWO                                              \
    "ipv6: true\n"                                       \
    "links:\n"                                           \
    "  - {name: att, device: enatt0.3242, table: 100}\n" \
    "  - {name: webpass, device: enwebpass0, table: 200}\n"

static void translations_and_routes(void **state)
{
    struct gateway_config c;

    accepts(TWO "nat:\n"
                "  - {link: att, inside: 10.250.250.2, outside: 104.57.226.193}\n"
                "  - {link: webpass, inside: 3d06:bad:b01::/60, delegated: true, subnet: 3}\n"
                "  - {link: att, inside: 3d06:bad:b01::/60, outside: 2600:1700:2f71:c80::/60}\n"
                "  - {link: att, inside: 3d06:bad:b01:fe::2, outside: 2600:1700:2f71:c80::1}\n"
                "  - {link: att, inside: 3d06:bad:b01:fe::2, outside: 2001:db8::1, inbound: true}\n"
                "port_forwards:\n"
                "  - {ports: 8080, to: 10.250.250.3, to_port: 80}\n"
                "  - {link: att, protocol: udp, ports: 60000..60010, to: 3d06:bad:b01:1::5}\n"
                "routes:\n"
                "  - {prefix: 3d06:bad:b01::/60, via: fe80::2, device: enmwanbr0}\n"
                "  - {prefix: 3d06:bad:b01:fe::2, device: enmwanbr0}\n",
            &c);
    assert_int_equal(c.n_nat, 5);
    assert_int_equal(c.nat[0].inside.len, 32);
    assert_int_equal(c.nat[0].outside.addr.family, 4);
    assert_true(c.nat[1].delegated);
    assert_int_equal(c.nat[1].subnet, 3);
    assert_int_equal(c.nat[1].outside.addr.family, 0);
    assert_int_equal(c.nat[3].outside.len, 128);
    assert_true(c.nat[4].inbound);
    assert_int_equal(c.n_port_forwards, 2);
    assert_string_equal(c.port_forwards[0].link, "");
    assert_int_equal(c.port_forwards[0].to_port, 80);
    assert_int_equal(c.port_forwards[1].protocol, GATEWAY_PROTOCOL_UDP);
    assert_int_equal(c.n_routes, 2);
    assert_true(ip_addr_is_linklocal(&c.routes[0].via));
    assert_int_equal(c.routes[1].via.family, 0);
}

/* Each with its only error, in its last line where the word stands. */
static void translations_that_cannot_be(void **state)
{
    static const struct {
        const char *text, *at, *words;
    } bad[] = {
        {"nat:\n  - {link: at, inside: 10.0.0.1, outside: 1.0.0.1}\n", "at,", "no link 'at'"},
        {"nat:\n  - {link: att, inside: 10.0.0.1}\n", "{", "outside is missing"},
        {"nat:\n  - {link: att, inside: 10.0.0.0/29, outside: 1.0.0.0/28}\n", "1.0.0.0/28",
         "not of the same length"},
        {"nat:\n  - {link: att, inside: 10.0.0.1, outside: 2001:db8::1}\n", "2001:", "one family"},
        {"nat:\n  - {link: att, inside: 10.0.0.1, delegated: true}\n", "true", "only IPv6"},
        {"nat:\n  - {link: att, inside: fd00::1, outside: 2001:db8::1, delegated: true}\n",
         "2001:", "and a delegated one"},
        {"nat:\n  - {link: att, inside: 10.0.0.1, outside: 1.0.0.1, subnet: 7}\n", "7",
         "subnet is for"},
        {"nat:\n  - {link: att, inside: 10.0.0.0/29, outside: 1.0.0.0/29}\n"
         "  - {link: att, inside: 10.0.0.2, outside: 2.0.0.1}\n",
         "10.0.0.2", "overlaps"},
        {"nat:\n  - {link: att, inside: 10.0.0.1, outside: 1.0.0.1}\n"
         "  - {link: att, inside: 10.0.0.2, outside: 1.0.0.1}\n",
         "1.0.0.1", "another translation, too"},
        {"nat:\n  - {link: att, inside: 10.0.0.1, outside: 1.0.0.1}\n"
         "  - {link: webpass, inside: 10.0.0.1, outside: 1.0.0.1}\n",
         "1.0.0.1", "another translation, too"},
        {"nat:\n  - {link: att, inside: fd00::1, delegated: true, subnet: 1}\n"
         "  - {link: att, inside: fd00::2, delegated: true, subnet: 1}\n",
         "{", "another translation, too"},
        {"port_forwards:\n  - {ports: 1..9, to: 10.0.0.1, to_port: 80}\n", "80", "to one"},
        {"port_forwards:\n  - {ports: 1, to: 10.0.0.1, address: 2001:db8::1}\n",
         "2001:", "one family"},
        {"routes:\n  - {prefix: fd00::/60, device: lan0}\n", "{", "cannot be on the interface"},
        {"routes:\n  - {prefix: fd00::/60, via: 10.0.0.1, device: lan0}\n", "10.0.0.1",
         "one family"},
        {"routes:\n  - {prefix: 10.1.0.0/16, device: lan0}\n"
         "  - {prefix: 10.1.0.0/16, device: lan1}\n",
         "10.1", "twice"},
    };
    char text[1024];

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        const char *last = text;
        unsigned lines = 0;

        snprintf(text, sizeof(text), TWO "%s", bad[i].text);
        for (const char *s = text; *s; s++)
            if (*s == '\n' && ++lines && s[1])
                last = s + 1;
        refuses(text, lines, (unsigned)(strstr(last, bad[i].at) - last) + 1, bad[i].words);
    }
    refuses("links:\n  - {name: att, device: a0, table: 100}\n"
            "nat:\n  - {link: att, inside: fd00::1, outside: 2001:db8::1}\n",
            4, 25, "of IPv6");
    refuses("links:\n  - {name: att, device: a0}\n"
            "nat:\n  - {link: att, inside: 10.0.0.1, outside: 1.0.0.1}\n",
            4, 12, "without a table");
}

/* Every default and example is a value that the reader takes. */
static void the_schema_is_sound(void **state)
{
    static const struct config_section *const all[] = {
        &gateway_schema,        &gateway_link_schema, &gateway_probe_schema,
        &gateway_policy_schema, &gateway_map_schema,  &gateway_port_forward_schema,
        &gateway_route_schema,  &gateway_way_schema,  &gateway_dns_schema};
    struct value_error err;
    char field[512];

    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        for (unsigned j = 0; j < all[i]->n_keys; j++) {
            const struct config_key *k = &all[i]->keys[j];

            assert_non_null(k->help);
            assert_true(k->size <= sizeof(field) || k->type == CONFIG_TYPE_SECTION);
            if (k->type == CONFIG_TYPE_SECTION)
                continue;
            assert_true(value_read(k, k->example, field, &err));
            assert_true(k->required || k->def || k->unset);
            if (k->def)
                assert_true(value_read(k, k->def, field, &err));
        }
}

static void the_examples_hold_the_values_of_the_site(void **state)
{
    struct config_report report = {0};
    static struct gateway_config c, probed;
    char name[16];

    assert_int_equal(gateway_config_load(EXAMPLES "/gateway-six/edge.yaml", &c, &report), 0);
    assert_int_equal(c.n_policies, 6);
    for (unsigned i = 1; i <= 6; i++) {
        const struct gateway_policy *p = &c.policies[i - 1];
        const struct gateway_link *l = &c.links[gateway_config_link(&c, p->pin)];

        snprintf(name, sizeof(name), "enp6s%u", 19 + i);
        assert_string_equal(p->ingress, name);
        assert_int_equal(p->priority, 1000 + i);
        snprintf(name, sizeof(name), "mpq%u", i);
        assert_string_equal(l->device, name);
        assert_int_equal(l->table, 99 + i);
        snprintf(name, sizeof(name), "enp7s%u", 2 + i);
        assert_string_equal(c.links[gateway_config_link(&c, l->over)].device, name);
    }
    assert_int_equal(
        gateway_config_load(EXAMPLES "/gateway-six/edge-probes.yaml", &probed, &report), 0);
    for (unsigned i = 0; i < probed.n_links; i++) {
        struct gateway_link *l = &probed.links[i];

        assert_string_equal(l->probe, l->type == GATEWAY_LINK_WAN ? "hub" : "");
        assert_string_equal(l->instance, l->type == GATEWAY_LINK_WAN ? "" : l->name + 3);
        memset(l->probe, 0, sizeof(l->probe));
        memset(l->instance, 0, sizeof(l->instance));
    }
    assert_memory_equal(probed.links, c.links, sizeof(c.links)); /* else it is the same */
    assert_memory_equal(probed.policies, c.policies, sizeof(c.policies));
    assert_int_equal(gateway_config_load(EXAMPLES "/gateway-six/hub.yaml", &c, &report), 0);
    assert_int_equal(c.n_open_udp, 2);
    assert_int_equal(c.open_udp[0].max, 45006);
    assert_int_equal(c.forward, GATEWAY_FORWARD_DROP);
    assert_int_equal(report.n, 0);
    config_report_done(&report);
}

/* What a probe asks: each type has its usual settings, and keys that are its own. */
static void what_probes_ask(void **state)
{
    static const char good[] =
        "probes:\n"
        "  - {name: a, targets: 192.0.2.1}\n"
        "  - {name: b, targets: 192.0.2.1, type: tcp, port: 22}\n"
        "  - {name: c, targets: 192.0.2.1, type: dns, query: example.com, record: aaaa, "
        "expect: address}\n"
        "  - {name: d, targets: 192.0.2.1, type: http, host: www.example.com, status: 204, "
        "path: /x, method: get}\n"
        "  - {name: e, targets: 192.0.2.1, type: https, ca_file: /ca.pem, interval: 5000}\n"
        "links:\n  - {name: w, device: w0}\n";
    static const struct {
        const char *keys, *words;
    } bad[] = {
        {"port: 53", "an echo request has no port"},
        {"type: tcp", "a connection needs a port"},
        {"type: tcp, port: 0", "port"},
        {"type: tcp, port: 22, query: example.com", "query is for type dns"},
        {"type: dns, host: example.com", "host is for type http or https"},
        {"type: http, verify: false", "verify is for type https"},
        {"type: dns, query: 192.0.2.1", "query is an address"},
        {"type: dns, expect: address", "no address answers such a question"},
        {"type: dns, interval: 100, timeout: 500", "longer than four intervals"},
        {"type: http, path: x", "does not begin with a slash"},
        {"type: http, path: \"/a b\"", "has a space"},
        {"type: http, status: 99", "status"},
        {"type: https, ca_file: ca.pem", "must be a whole path"},
        {"type: ftp", "type"},
    };
    struct config_report report = {0};
    static struct gateway_config c;
    char text[256];

    assert_int_equal(gateway_config_parse(good, strlen(good), &c, &report), 0);
    assert_int_equal(c.probes[0].interval_ms, 250);
    assert_int_equal(c.probes[0].timeout_ms, 1000);
    assert_int_equal(c.probes[1].port, 22);
    assert_int_equal(c.probes[1].interval_ms, 1000);
    assert_int_equal(c.probes[2].port, 53);
    assert_int_equal(c.probes[2].expect, GATEWAY_EXPECT_ADDRESS);
    assert_int_equal(c.probes[3].port, 80);
    assert_int_equal(c.probes[3].status.min, 204);
    assert_int_equal(c.probes[3].status.max, 204);
    assert_int_equal(c.probes[4].port, 443);
    assert_true(c.probes[4].verify);
    assert_int_equal(c.probes[4].interval_ms, 5000);
    assert_int_equal(c.probes[4].timeout_ms, 2000);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        snprintf(text, sizeof(text),
                 "probes:\n  - {name: p, targets: 192.0.2.1, %s}\nlinks:\n"
                 "  - {name: w, device: w0}\n",
                 bad[i].keys);
        assert_int_equal(gateway_config_parse(text, strlen(text), &c, &report), -EINVAL);
        assert_non_null(strstr(report.v[0].text, bad[i].words));
        config_report_done(&report);
        report = (struct config_report){0};
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_and_values),
        cmocka_unit_test(twins_are_refused),
        cmocka_unit_test(names_must_be_known),
        cmocka_unit_test(numbers_must_fit),
        cmocka_unit_test(networks_must_fit),
        cmocka_unit_test(all_problems_are_told),
        cmocka_unit_test(probes_and_their_mistakes),
        cmocka_unit_test(what_probes_ask),
        cmocka_unit_test(translations_and_routes),
        cmocka_unit_test(translations_that_cannot_be),
        cmocka_unit_test(the_schema_is_sound),
        cmocka_unit_test(the_examples_hold_the_values_of_the_site),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
