/* The rules of nat, port_forwards and routes. As in gateway_check.c a rule looks only at values
 * that could be read, and never twice at one mistake. */
#include <stdio.h>
#include <string.h>

#include "config/gateway_schema.h"
#include "config/nearest.h"
#include "config/report.h"

struct checker {
    const struct gateway_input *in;
    const struct gateway_config *c;
    struct config_report *report;
};

/* Where a value of an entry stands, or the entry when it has none. */
static struct config_where where(const struct gateway_places *p, unsigned key)
{
    return p->key[key].line ? p->key[key] : p->at;
}

/* Is there such a link? Otherwise that is reported, unless it was not given. */
static bool check_link_name(const struct checker *k, const char *name, struct config_where at,
                            const char *what)
{
    struct nearest near = {.word = name};
    char hint[64];

    if (!*name || gateway_config_link(k->c, name) >= 0)
        return *name != 0;
    for (unsigned i = 0; i < k->c->n_links; i++)
        nearest_offer(&near, k->c->links[i].name);
    snprintf(hint, sizeof(hint),
             near.best ? "did you mean '%s'?" : "the links are named in links%s",
             near.best ? near.best : "");
    report_add(k->report, true, at, hint, "%s: there is no link '%s'", what, name);
    return false;
}

static bool overlap(const struct ip_prefix *a, const struct ip_prefix *b)
{
    return a->addr.family && a->addr.family == b->addr.family &&
           (ip_prefix_contains(a, &b->addr) || ip_prefix_contains(b, &a->addr));
}

/* --- nat ------------------------------------------------------------------------------- */

static void map_error(const struct checker *k, unsigned i, enum gateway_map_key_id key,
                      const char *hint, const char *text)
{
    char inside[IP_PREFIX_STR_MAX];

    report_add(k->report, true, where(&k->in->map[i], key), hint, "nat of %s on %s: %s",
               ip_prefix_str(&k->c->nat[i].inside, inside), k->c->nat[i].link, text);
}

static void check_outside(const struct checker *k, unsigned i)
{
    const struct gateway_map *m = &k->c->nat[i];

    if (m->delegated && m->outside.addr.family)
        map_error(k, i, GATEWAY_MAP_KEY_OUTSIDE, "remove one of both",
                  "it has an outside prefix, and a delegated one");
    else if (!m->delegated && !m->outside.addr.family)
        map_error(k, i, GATEWAY_MAP_KEY_OUTSIDE, "add 'outside: ADDRESS', or 'delegated: true'",
                  "outside is missing");
    else if (m->delegated && m->inside.addr.family != 6)
        map_error(k, i, GATEWAY_MAP_KEY_DELEGATED, NULL, "only IPv6 prefixes are delegated");
    else if (!m->delegated && m->inside.addr.family != m->outside.addr.family)
        map_error(k, i, GATEWAY_MAP_KEY_OUTSIDE, NULL, "both must be of one family");
    else if (!m->delegated && m->inside.len != m->outside.len)
        map_error(k, i, GATEWAY_MAP_KEY_OUTSIDE, "write prefixes of the same length",
                  "inside and outside are not of the same length");
    if (!m->delegated && k->in->map[i].key[GATEWAY_MAP_KEY_SUBNET].line)
        map_error(k, i, GATEWAY_MAP_KEY_SUBNET, "add 'delegated: true', or remove it",
                  "subnet is for a delegated prefix");
    if (m->delegated && m->inside.len < 32 && m->subnet >> m->inside.len)
        map_error(k, i, GATEWAY_MAP_KEY_SUBNET, NULL, "there are not so many parts");
}

/* Is the outside of one that of the other, or a part of it? A part is allowed on the same link: the
 * longer prefix comes first, so that one address of a network can lead elsewhere. */
static bool clash(const struct gateway_map *a, const struct gateway_map *b)
{
    bool same_link = !strcmp(a->link, b->link);

    if (a->delegated && b->delegated)
        return same_link && a->inside.len == b->inside.len && a->subnet == b->subnet;
    return overlap(&a->outside, &b->outside) && (!same_link || a->outside.len == b->outside.len);
}

static void check_other_maps(const struct checker *k, unsigned i)
{
    const struct gateway_map *m = &k->c->nat[i];
    char hint[64];

    for (unsigned j = 0; j < i; j++) {
        const struct gateway_map *o = &k->c->nat[j];

        if (k->in->map[j].bad)
            continue;
        snprintf(hint, sizeof(hint), "see line %u", k->in->map[j].at.line);
        if (!strcmp(m->link, o->link) && !m->inbound && !o->inbound &&
            overlap(&m->inside, &o->inside))
            map_error(k, i, GATEWAY_MAP_KEY_INSIDE, hint,
                      "another translation on this link overlaps it");
        if (clash(m, o))
            map_error(k, i, GATEWAY_MAP_KEY_OUTSIDE, hint,
                      "its outside is that of another translation, too");
    }
}

static void check_map(const struct checker *k, unsigned i)
{
    const struct gateway_map *m = &k->c->nat[i];
    const struct gateway_places *p = &k->in->map[i];
    int link = gateway_config_link(k->c, m->link);

    if (check_link_name(k, m->link, where(p, GATEWAY_MAP_KEY_LINK), "nat") &&
        !k->c->links[link].table && !k->in->link[link].bad)
        map_error(k, i, GATEWAY_MAP_KEY_LINK, "add 'table: NUMBER' to the link",
                  "nothing can leave by a link without a table");
    if (p->bad || !m->inside.addr.family)
        return;
    if (!m->inside.len)
        map_error(k, i, GATEWAY_MAP_KEY_INSIDE, "name the networks", "that is everything");
    if (m->inside.addr.family == 6 && !k->c->ipv6)
        map_error(k, i, GATEWAY_MAP_KEY_INSIDE, "add 'ipv6: true'", "it is of IPv6");
    check_outside(k, i);
    check_other_maps(k, i);
}

/* --- port_forwards --------------------------------------------------------------------- */

static void check_port_forward(const struct checker *k, unsigned i)
{
    const struct gateway_port_forward *f = &k->c->port_forwards[i];
    const struct gateway_places *p = &k->in->port_forward[i];

    check_link_name(k, f->link, where(p, GATEWAY_PORT_FORWARD_KEY_LINK), "port_forwards");
    if (p->bad || !f->to.family)
        return;
    if (f->address.family && f->address.family != f->to.family)
        report_add(k->report, true, where(p, GATEWAY_PORT_FORWARD_KEY_ADDRESS), NULL,
                   "port_forwards: address and to must be of one family");
    if (f->to.family == 6 && !k->c->ipv6)
        report_add(k->report, true, where(p, GATEWAY_PORT_FORWARD_KEY_TO), "add 'ipv6: true'",
                   "port_forwards: the host has an IPv6 address");
    if (f->to_port && f->ports.min != f->ports.max)
        report_add(k->report, true, where(p, GATEWAY_PORT_FORWARD_KEY_TO_PORT),
                   "remove it: each port stays the same",
                   "port_forwards: several ports cannot go to one");
}

/* --- routes ---------------------------------------------------------------------------- */

static void check_route(const struct checker *k, unsigned i)
{
    const struct gateway_route *r = &k->c->routes[i];
    const struct gateway_places *p = &k->in->route[i];
    char text[IP_PREFIX_STR_MAX];

    if (p->bad || !r->prefix.addr.family)
        return;
    ip_prefix_str(&r->prefix, text);
    if (!r->prefix.len)
        report_add(k->report, true, where(p, GATEWAY_ROUTE_KEY_PREFIX), NULL,
                   "routes: a default route cannot be among them");
    if (r->prefix.addr.family == 6 && !k->c->ipv6)
        report_add(k->report, true, where(p, GATEWAY_ROUTE_KEY_PREFIX), "add 'ipv6: true'",
                   "routes: %s is of IPv6", text);
    if (r->via.family && r->via.family != r->prefix.addr.family)
        report_add(k->report, true, where(p, GATEWAY_ROUTE_KEY_VIA), NULL,
                   "routes: %s and its router must be of one family", text);
    if (r->prefix.addr.family == 6 && r->prefix.len < 128 && !r->via.family)
        report_add(k->report, true, p->at, "add 'via: fe80::...', the address of its router",
                   "routes: %s cannot be on the interface itself", text);
    for (unsigned j = 0; j < i; j++)
        if (!k->in->route[j].bad && ip_prefix_equal(&k->c->routes[j].prefix, &r->prefix))
            report_add(k->report, true, where(p, GATEWAY_ROUTE_KEY_PREFIX), NULL,
                       "routes: %s is there twice", text);
}

void gateway_check_nat(const struct gateway_input *in, struct config_report *report)
{
    struct checker k = {in, in->config, report};

    for (unsigned i = 0; i < k.c->n_nat; i++)
        check_map(&k, i);
    for (unsigned i = 0; i < k.c->n_port_forwards; i++)
        check_port_forward(&k, i);
    for (unsigned i = 0; i < k.c->n_routes; i++)
        check_route(&k, i);
}
