/* The model. For every interface with a policy, in both families (LAN -> link with table T):
 *
 *      first   iif LAN to HUB/32  ->  nothing          the hub's route in T is for sockets
 *      first   iif LAN to BEHIND  ->  nothing          networks behind links are not the Internet
 *      first   iif LAN to REACH   ->  main, but for its default routes
 *      own     iif LAN [fwmark M] ->  T                (of each link that has a mark)
 *      last    iif LAN            ->  nothing          the guard
 *
 * and in T, for ever, `blackhole default metric 4294967295`; while the link is up `default dev
 * LINK` before it. The guard and the blackhole never depend on the state of anything, so whatever
 * else is missing, by failure, by a flush, or because a change is half done, what comes from LAN
 * goes to its own link or nowhere. The mark M is set by nftables only where it also translates:
 * without its rules nothing leaves that has to be translated.
 *
 * A tunnel reaches its hub over its own WAN by `oif WAN to HUB/32 -> T`, which sockets bound to
 * that interface look into, and the route HUB/32 there. Packets that are forwarded have no oif.
 * So do the requests of probes where the table main has no default route by their link.
 *
 * Nothing leads LAN to the networks that merely happen to be connected: that would be the
 * provider's network of another WAN too. */
#include "wan/desired.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "wan/firewall.h"
#include "wan/translate.h"

struct builder {
    const struct gateway_config *c;
    const struct wan_facts *f;
    struct wan_link_state state[GATEWAY_LINKS_MAX];
    struct wan_objects *o;
    int err;
};

static void add_rule(struct builder *b, const struct fib_rule *r)
{
    int rv = wan_objects_add_rule(b->o, r);

    if (rv)
        b->err = rv;
}

static void add_route(struct builder *b, const struct fib_route *r)
{
    int rv = wan_objects_add_route(b->o, r);

    if (rv)
        b->err = rv;
}

static void add_setting(struct builder *b, int value, const char *family, const char *dev,
                        const char *name)
{
    char path[WAN_SETTING_NAME_MAX];
    int rv;

    if (dev)
        snprintf(path, sizeof(path), "net/%s/conf/%s/%s", family, dev, name);
    else
        snprintf(path, sizeof(path), "net/%s/%s", family, name);
    rv = wan_objects_add_setting(b->o, path, value);
    if (rv)
        b->err = rv;
}

static uint8_t version(enum wan_family family)
{
    return family == WAN_V4 ? 4 : 6;
}

static enum fib_action closed_action(const struct gateway_config *c)
{
    return c->closed == GATEWAY_CLOSED_BLACKHOLE ? FIB_ACTION_BLACKHOLE : FIB_ACTION_UNREACHABLE;
}

static struct ip_prefix default_of(enum wan_family family)
{
    return (struct ip_prefix){.addr.family = version(family)};
}

static struct ip_prefix host(const struct ip_addr *a)
{
    return (struct ip_prefix){.addr = *a, .len = (uint8_t)ip_addr_bits(a)};
}

/* The best metric that a route can have: whatever else is in the table comes behind. */
static uint32_t best_metric(enum wan_family family)
{
    return family == WAN_V4 ? 0 : 1;
}

/* --- links ----------------------------------------------------------------------------- */

static struct fib_route route_to(const struct ip_prefix *dst, uint32_t table, enum fib_type type,
                                 uint32_t metric)
{
    return (struct fib_route){.dst = ip_prefix_network(dst),
                              .table = table,
                              .type = type,
                              .metric = metric,
                              .protocol = FIB_PROTOCOL};
}

/* By way of a link that is up. */
static void add_way(struct builder *b, const struct ip_prefix *dst, uint32_t table, unsigned link,
                    const struct wan_hop *hop)
{
    struct fib_route r =
        route_to(dst, table, FIB_TYPE_UNICAST, best_metric(wan_family_of(&dst->addr)));

    r.index = b->f->link[link].index;
    r.via = hop->via;
    r.onlink = hop->onlink;
    add_route(b, &r);
}

static void add_floor(struct builder *b, const struct ip_prefix *dst, uint32_t table,
                      enum fib_type type)
{
    struct fib_route r = route_to(dst, table, type, WAN_METRIC_FLOOR);

    add_route(b, &r);
}

/* Where the probe of a wan gets no answer its tunnels go on trying: they, too, notice when it is
 * back. */
static bool carries_sockets(enum wan_reason r)
{
    return r == WAN_REASON_UP || r == WAN_REASON_NO_GATEWAY || r == WAN_REASON_PROBE;
}

/* Sockets bound to the device look into the table of a link for dst, and nowhere else: what they
 * find there besides is added by the caller. A socket is told when it cannot, by an error that says
 * so; a blackhole would say EINVAL. */
static void add_socket_rule(struct builder *b, uint32_t table, const struct ip_prefix *dst,
                            const char *device)
{
    struct fib_rule r = {.family = version(wan_family_of(&dst->addr)),
                         .priority = b->c->first_priority,
                         .to = *dst,
                         .action = FIB_ACTION_TABLE,
                         .table = table,
                         .protocol = FIB_PROTOCOL};

    snprintf(r.oif, sizeof(r.oif), "%s", device);
    add_rule(b, &r);
    add_floor(b, dst, table, FIB_TYPE_UNREACHABLE);
}

/* How sockets bound to the WAN of a tunnel reach its hub. */
static void add_hub(struct builder *b, unsigned i)
{
    const struct gateway_link *l = &b->c->links[i];
    enum wan_family family = wan_family_of(&l->hub);
    int wan = gateway_config_link(b->c, l->over);
    struct ip_prefix dst = host(&l->hub);
    static const struct wan_hop straight;

    if (!l->hub.family || wan < 0 || (family == WAN_V6 && !b->c->ipv6))
        return;
    add_socket_rule(b, l->table, &dst, b->c->links[wan].device);
    if (!carries_sockets(b->state[wan].reason[family]))
        return;
    if (wan_link_is_near(&b->f->link[wan], &l->hub))
        add_way(b, &dst, l->table, (unsigned)wan, &straight);
    else if (b->state[wan].hop[family].known)
        add_way(b, &dst, l->table, (unsigned)wan, &b->state[wan].hop[family]);
}

/* How the requests of its probe leave by link i when the table main has no default route there that
 * a socket bound to it would find: by its own table, where its default route goes with its health.
 * Otherwise main is enough: with an interface given the kernel passes over all other routes. */
static void add_target(struct builder *b, unsigned i, const struct ip_addr *target)
{
    const struct gateway_link *l = &b->c->links[i];
    enum wan_family family = wan_family_of(target);
    struct ip_prefix dst = host(target);

    if (!l->table || (family == WAN_V6 && !b->c->ipv6) || b->f->link[i].hop[family].known ||
        wan_link_is_near(&b->f->link[i], target) || ip_addr_equal(target, &l->hub))
        return;
    add_socket_rule(b, l->table, &dst, l->device);
    if (carries_sockets(b->state[i].reason[family]) &&
        (l->type == GATEWAY_LINK_TUNNEL || b->state[i].hop[family].known))
        add_way(b, &dst, l->table, i, &b->state[i].hop[family]);
}

static void add_targets(struct builder *b, unsigned i)
{
    const struct gateway_probe *p = gateway_config_probe_of(b->c, i);

    for (unsigned n = 0; p && n < p->n_targets; n++)
        add_target(b, i, &p->targets[n]);
}

static void add_prefixes(struct builder *b, unsigned i)
{
    const struct wan_link_facts *f = &b->f->link[i];
    static const struct wan_hop straight;

    for (unsigned n = 0; n < b->c->links[i].n_prefixes; n++) {
        const struct ip_prefix *p = &b->c->links[i].prefixes[n];

        add_floor(b, p, FIB_TABLE_MAIN, FIB_TYPE_UNREACHABLE);
        if (!f->index || !f->up || !f->carrier || f->health.disabled)
            continue;
        if (b->c->links[i].type == GATEWAY_LINK_TUNNEL)
            add_way(b, p, FIB_TABLE_MAIN, i, &straight);
        else if (b->state[i].hop[wan_family_of(&p->addr)].known)
            add_way(b, p, FIB_TABLE_MAIN, i, &b->state[i].hop[wan_family_of(&p->addr)]);
    }
}

/* Flows that have a link may go on when its probe finds that it does not work: nftables sees to it
 * that it gets no new ones. */
static bool has_way(const struct builder *b, unsigned i, enum wan_family family)
{
    enum wan_reason r = b->state[i].reason[family];

    return r == WAN_REASON_UP || (r == WAN_REASON_PROBE && b->c->links[i].mark);
}

static void add_link(struct builder *b, unsigned i)
{
    const struct gateway_link *l = &b->c->links[i];

    for (enum wan_family family = 0; l->table && family < (b->c->ipv6 ? WAN_FAMILIES : WAN_V6);
         family++) {
        struct ip_prefix all = default_of(family);

        add_floor(b, &all, l->table,
                  b->c->closed == GATEWAY_CLOSED_BLACKHOLE ? FIB_TYPE_BLACKHOLE
                                                           : FIB_TYPE_UNREACHABLE);
        if (has_way(b, i, family))
            add_way(b, &all, l->table, i, &b->state[i].hop[family]);
    }
    add_hub(b, i);
    add_targets(b, i);
    add_prefixes(b, i);
    if (b->c->ipv6 && l->type == GATEWAY_LINK_WAN && b->f->link[i].accept_ra > 0)
        add_setting(b, 2, "ipv6", l->device, "accept_ra"); /* as a router it would ignore them */
    if (translate_is_on(b->c, i, WAN_V4) || l->mark)
        add_setting(b, 1, "ipv4", l->device, "src_valid_mark"); /* answers are marked too */
}

/* --- what is inside -------------------------------------------------------------------- */

/* In one table. What is inside never leaves by the default route, whatever is missing. */
static void add_inner(struct builder *b, unsigned i, uint32_t table)
{
    const struct gateway_route *in = &b->c->routes[i];
    struct fib_route r = route_to(&in->prefix, table, FIB_TYPE_UNICAST,
                                  best_metric(wan_family_of(&in->prefix.addr)));

    add_floor(b, &in->prefix, table, FIB_TYPE_UNREACHABLE);
    if (!b->f->inner[i].index || !b->f->inner[i].up)
        return;
    r.index = b->f->inner[i].index;
    r.via = in->via;
    add_route(b, &r);
}

static void add_inners(struct builder *b)
{
    for (unsigned i = 0; i < b->c->n_routes; i++) {
        if (b->c->routes[i].prefix.addr.family == 6 && !b->c->ipv6)
            continue;
        add_inner(b, i, FIB_TABLE_MAIN);
        for (unsigned j = 0; j < b->c->n_links; j++)
            if (b->c->links[j].table)
                add_inner(b, i, b->c->links[j].table);
    }
}

static bool has_address(const struct wan_link_facts *f, const struct ip_addr *a)
{
    for (unsigned i = 0; i < f->n_net; i++)
        if (ip_addr_equal(&f->net[i].addr, a))
            return true;
    return false;
}

/* A single address is put on the link, to be asked for there. Of a prefix that leads here what
 * nobody translates ends here: it would go back to the provider, and come again. */
static void add_outside(struct builder *b, unsigned m)
{
    const struct gateway_map *map = &b->c->nat[m];
    int link = gateway_config_link(b->c, map->link);
    struct wan_address a;

    if (link < 0 || map->inbound || (map->inside.addr.family == 6 && !b->c->ipv6) ||
        !translate_outside(b->c, b->f, m, &a.prefix))
        return;
    a.index = b->f->link[link].index;
    if (a.prefix.len < ip_addr_bits(&a.prefix.addr)) {
        add_floor(b, &a.prefix, FIB_TABLE_MAIN, FIB_TYPE_BLACKHOLE);
    } else if (a.index && b->f->link[link].up && !has_address(&b->f->link[link], &a.prefix.addr)) {
        int rv = wan_objects_add_address(b->o, &a);

        b->err = rv ? rv : b->err;
    }
}

/* --- policies -------------------------------------------------------------------------- */

/* Do the routes of the link's table say where the packets of a policy go? Not while one of
 * somebody else would. */
static bool may_lead(const struct builder *b, unsigned link, enum wan_family family)
{
    switch (b->f->link[link].foreign[family]) {
    case WAN_FOREIGN_NONE:
        return true;
    case WAN_FOREIGN_BEHIND:
        return has_way(b, link, family);
    default:
        return false;
    }
}

static bool overlap(const struct ip_prefix *a, const struct ip_prefix *b)
{
    return a->addr.family == b->addr.family &&
           (ip_prefix_contains(a, &b->addr) || ip_prefix_contains(b, &a->addr));
}

static bool reaches(const struct gateway_policy *p, const struct ip_prefix *to)
{
    for (unsigned i = 0; i < p->n_reach; i++)
        if (overlap(&p->reach[i], to))
            return true;
    return false;
}

/* What is not for the link: hubs, of every tunnel, because a LAN may be on its way from one table
 * to another; and networks behind any link that the policy does not say are reached. */
static void add_ends(struct builder *b, const struct gateway_policy *p, struct fib_rule r)
{
    r.priority = b->c->first_priority;
    r.action = closed_action(b->c);
    for (unsigned i = 0; i < b->c->n_links; i++) {
        const struct gateway_link *l = &b->c->links[i];

        if (l->hub.family == r.family) {
            r.to = host(&l->hub);
            add_rule(b, &r);
        }
        for (unsigned j = 0; j < l->n_prefixes; j++) {
            r.to = ip_prefix_network(&l->prefixes[j]);
            if (r.to.addr.family == r.family && !reaches(p, &r.to))
                add_rule(b, &r);
        }
    }
}

/* What a packet with the mark of a link, or any packet, is led by. */
static void add_lead(struct builder *b, struct fib_rule r, unsigned link, uint32_t mark)
{
    if (!may_lead(b, link, wan_family_of(&r.to.addr)))
        return;
    r.to = (struct ip_prefix){0};
    r.action = FIB_ACTION_TABLE;
    r.table = b->c->links[link].table;
    r.mark = mark;
    r.mask = mark ? b->c->mark_mask : 0;
    add_rule(b, &r);
}

/* Into the link that it is pinned to; or by their marks into all that have one, also those that the
 * policy does not name: answers go where the questions came from. */
static void add_leads(struct builder *b, const struct gateway_policy *p, struct fib_rule r,
                      enum wan_family family)
{
    int pin = gateway_config_link(b->c, p->pin);

    r.priority = p->priority;
    r.to = default_of(family);
    if (gateway_is_steered(b->c, p->ingress)) {
        for (unsigned i = 0; i < b->c->n_links; i++)
            if (b->c->links[i].mark)
                add_lead(b, r, i, b->c->links[i].mark);
    } else if (pin >= 0) {
        add_lead(b, r, (unsigned)pin,
                 translate_is_on(b->c, (unsigned)pin, family) ? b->c->mark : 0);
    }
}

static void add_policy_family(struct builder *b, const struct gateway_policy *p,
                              enum wan_family family)
{
    struct fib_rule base = {.family = version(family), .protocol = FIB_PROTOCOL}, r;

    snprintf(base.iif, sizeof(base.iif), "%s", p->ingress);
    r = base;
    r.priority = b->c->last_priority;
    r.action = closed_action(b->c);
    add_rule(b, &r);
    if (family == WAN_V6 && !b->c->ipv6)
        return;
    add_ends(b, p, base);
    add_leads(b, p, base, family);
    r = base;
    r.action = FIB_ACTION_TABLE;
    r.priority = b->c->first_priority;
    r.table = FIB_TABLE_MAIN;
    r.near_only = true;
    for (unsigned i = 0; i < p->n_reach; i++) {
        if (wan_family_of(&p->reach[i].addr) != family)
            continue;
        r.to = ip_prefix_network(&p->reach[i]);
        add_rule(b, &r);
    }
}

/* --- this machine's own ---------------------------------------------------------------- */

static const struct gateway_policy *local_policy(const struct gateway_config *c)
{
    for (unsigned i = 0; i < c->n_policies; i++)
        if (!strcmp(c->policies[i].ingress, GATEWAY_LOCAL))
            return &c->policies[i];
    return NULL;
}

/* What a service answers from an address of the link leaves by the link, without nftables, and
 * where the table main has no default route. */
static void add_own_addresses(struct builder *b, struct fib_rule r, unsigned link,
                              enum wan_family family)
{
    const struct wan_link_facts *f = &b->f->link[link];

    r.priority = b->c->last_priority;
    for (unsigned i = 0; i < f->n_net; i++) {
        if (wan_family_of(&f->net[i].addr) != family)
            continue;
        r.from = host(&f->net[i].addr);
        add_lead(b, r, link, 0);
    }
}

/* Sockets that are bound to the device of a link keep to it, whatever mark they get. */
static void add_bound(struct builder *b, struct fib_rule r, unsigned link)
{
    *r.iif = 0;
    snprintf(r.oif, sizeof(r.oif), "%s", b->c->links[link].device);
    r.priority = b->c->first_priority;
    add_lead(b, r, link, 0);
}

static void add_local(struct builder *b, enum wan_family family)
{
    const struct gateway_policy *p = local_policy(b->c);
    struct fib_rule r = {.family = version(family), .iif = "lo", .protocol = FIB_PROTOCOL};
    struct fib_rule near = r;

    near.priority = b->c->first_priority;
    near.action = FIB_ACTION_TABLE;
    near.table = FIB_TABLE_MAIN;
    near.near_only = true;
    r.to = default_of(family);
    for (unsigned i = 0; i < b->c->n_links; i++) {
        if (!b->c->links[i].mark)
            continue;
        add_rule(b, &near);
        r.priority = p ? p->priority : b->c->last_priority;
        add_lead(b, r, i, b->c->links[i].mark);
        add_own_addresses(b, r, i, family);
        if (p)
            add_bound(b, r, i);
    }
}

int wan_desired(const struct gateway_config *c, const struct wan_facts *f, struct wan_objects *ret)
{
    struct builder b = {.c = c, .f = f, .o = ret};

    *ret = (struct wan_objects){0};
    for (unsigned i = 0; i < c->n_links; i++)
        wan_state_of(c, f, i, &b.state[i]);
    for (unsigned i = 0; i < c->n_links; i++)
        add_link(&b, i);
    add_inners(&b);
    for (unsigned i = 0; i < c->n_nat; i++)
        add_outside(&b, i);
    for (unsigned i = 0; i < c->n_policies; i++)
        for (enum wan_family family = 0; family < WAN_FAMILIES; family++)
            if (gateway_policy_is_first(c, i) && strcmp(c->policies[i].ingress, GATEWAY_LOCAL) != 0)
                add_policy_family(&b, &c->policies[i], family);
    for (enum wan_family family = 0; family < (c->ipv6 ? WAN_FAMILIES : WAN_V6); family++)
        add_local(&b, family);
    if (c->n_policies) {
        add_setting(&b, 1, "ipv4", NULL, "ip_forward");
        if (c->ipv6)
            add_setting(&b, 1, "ipv6", "all", "forwarding");
    }
    if (!b.err)
        b.err = firewall_text(c, f, ret->nft_id, &ret->nft);
    return b.err;
}
