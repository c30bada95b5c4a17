/* The edge and the hub of the site as the gateway sees them, and facts about their links. */
#ifndef TEST_WAN_SITE_H
#define TEST_WAN_SITE_H

#include <stdio.h>
#include <string.h>

#include "wan/desired.h"

static inline struct ip_addr site_addr(const char *s)
{
    struct ip_addr a = {0};

    assert_int_equal(ip_addr_parse(s, &a), 0);
    return a;
}

static inline struct ip_prefix site_prefix(const char *s)
{
    struct ip_prefix p = {0};

    assert_int_equal(ip_prefix_parse(s, &p), 0);
    return p;
}

static inline void site_parse(const char *text, struct gateway_config *ret)
{
    struct config_report report = {0};

    if (gateway_config_parse(text, strlen(text), ret, &report))
        config_report_write(&report, "site", stderr);
    assert_int_equal(report.n, 0);
    config_report_done(&report);
}

/* Edge: wan1..wan6, then mpq1..mpq6; LAN i is enp6s(19 + i). */
static inline void site_edge(struct gateway_config *ret, const char *more)
{
    char text[8192];
    size_t n = (size_t)snprintf(text, sizeof(text), "%slinks:\n", more);

    for (int i = 1; i <= 6; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "  - {name: wan%d, device: enp7s%d}\n", i,
                              i + 2);
    for (int i = 1; i <= 6; i++)
        n += (size_t)snprintf(
            text + n, sizeof(text) - n,
            "  - {name: mpq%d, type: tunnel, device: mpq%d, table: %d, over: wan%d, "
            "hub: 203.0.113.10}\n",
            i, i, 99 + i, i);
    n += (size_t)snprintf(text + n, sizeof(text) - n, "policies:\n");
    for (int i = 1; i <= 6; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n,
                              "  - {ingress: enp6s%d, pin: mpq%d, priority: %d}\n", 19 + i, i,
                              1000 + i);
    site_parse(text, ret);
}

/* An interface that is there, with a carrier and an IPv4 address. */
static inline struct wan_link_facts site_link(int index, const char *address)
{
    struct wan_link_facts f = {.index = index, .up = true, .carrier = true, .accept_ra = -1};

    f.net[f.n_net++] = site_prefix(address);
    return f;
}

/* All links of the edge are up: wan i has index i and the gateway 10.150.i.1, mpq i has 10 + i. */
static inline void site_facts(struct wan_facts *ret)
{
    char text[32];

    memset(ret, 0, sizeof(*ret));
    for (int i = 1; i <= 6; i++) {
        struct wan_link_facts *wan = &ret->link[i - 1], *mpq = &ret->link[i + 5];

        snprintf(text, sizeof(text), "10.150.%d.2/24", i);
        *wan = site_link(i, text);
        snprintf(text, sizeof(text), "10.150.%d.1", i);
        wan->hop[WAN_V4] = (struct wan_hop){.known = true, .via = site_addr(text), .metric = 100};
        snprintf(text, sizeof(text), "10.200.%d.1/30", i);
        *mpq = site_link(10 + i, text);
    }
}

static inline bool site_has_rule(const struct wan_objects *o, const char *text)
{
    char buf[FIB_TEXT_MAX];

    for (unsigned i = 0; i < o->n_rules; i++)
        if (!strcmp(fib_rule_str(&o->rules[i], buf), text))
            return true;
    return false;
}

/* With the interface's number in the place of its name. */
static inline bool site_has_route(const struct wan_objects *o, const char *text)
{
    char buf[FIB_TEXT_MAX], name[16];

    for (unsigned i = 0; i < o->n_routes; i++) {
        snprintf(name, sizeof(name), "%d", o->routes[i].index);
        if (!strcmp(fib_route_str(&o->routes[i], name, buf), text))
            return true;
    }
    return false;
}

#endif
