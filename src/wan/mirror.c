#include "wan/mirror.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "wan/firewall.h"
#include "wan/settings.h"

struct reader {
    const struct gateway_config *c;
    struct wan_mirror *m;
    struct netlink *nl;
    unsigned link;          /* whose table is read */
    enum wan_family family; /* that is read */
    int err;
};

static void add_conflict(struct wan_mirror *m, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void add_conflict(struct wan_mirror *m, const char *fmt, ...)
{
    va_list ap;

    if (m->n_conflicts++ >= WAN_CONFLICTS_MAX)
        return;
    va_start(ap, fmt);
    vsnprintf(m->conflict[m->n_conflicts - 1], WAN_CONFLICT_TEXT_MAX, fmt, ap);
    va_end(ap);
}

/* --- links ----------------------------------------------------------------------------- */

static void on_link(void *user, const struct netlink_link *l)
{
    struct reader *r = user;

    for (unsigned i = 0; i < r->c->n_links; i++) {
        struct wan_link_facts *f = &r->m->facts.link[i];

        if (!l) {
            *f = (struct wan_link_facts){.accept_ra = -1};
        } else if (!strcmp(l->name, r->c->links[i].device)) {
            f->index = l->index;
            f->up = l->flags & IFF_UP;
            f->carrier = l->carrier;
        }
    }
    for (unsigned i = 0; i < r->c->n_routes; i++) {
        struct wan_inner_facts *f = &r->m->facts.inner[i];

        if (!l)
            *f = (struct wan_inner_facts){0};
        else if (!strcmp(l->name, r->c->routes[i].device))
            *f = (struct wan_inner_facts){.index = l->index, .up = l->flags & IFF_UP};
    }
}

/* One that packets can be sent from to others. */
static bool is_usable(const struct netlink_addr *a)
{
    return !ip_addr_is_linklocal(&a->prefix.addr) && a->scope < RT_SCOPE_LINK &&
           !(a->flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED));
}

/* Ours say nothing of whether the link has one. */
static int read_addresses(struct reader *r)
{
    struct netlink_addr *v = NULL;
    int n = netlink_addr_all(r->nl, 0, &v);

    for (int i = 0; i < n; i++) {
        struct wan_address own = {v[i].index, v[i].prefix};
        int rv = v[i].protocol == FIB_PROTOCOL ? wan_objects_add_address(&r->m->ours, &own) : 0;

        r->err = rv ? rv : r->err;
        for (unsigned j = 0; j < r->c->n_links; j++) {
            struct wan_link_facts *f = &r->m->facts.link[j];

            if (f->index && f->index == v[i].index && is_usable(&v[i]) &&
                v[i].protocol != FIB_PROTOCOL && f->n_net < WAN_NETS_MAX)
                f->net[f->n_net++] = v[i].prefix;
        }
    }
    free(v);
    return MIN(n, 0);
}

static int read_links(struct reader *r)
{
    char name[WAN_SETTING_NAME_MAX];
    int rv;

    on_link(r, NULL);
    rv = fib_link_each(r->nl, on_link, r);
    if (!rv)
        rv = read_addresses(r);
    for (unsigned i = 0; i < r->c->n_links; i++) {
        snprintf(name, sizeof(name), "net/ipv6/conf/%s/accept_ra", r->c->links[i].device);
        r->m->facts.link[i].accept_ra = setting_read(name);
    }
    return rv;
}

/* The best default route of the table main through each link says where its router is. */
static void on_main(void *user, const struct fib_route *route)
{
    struct reader *r = user;

    for (unsigned i = 0; i < r->c->n_links; i++) {
        struct wan_link_facts *f = &r->m->facts.link[i];
        struct wan_hop *hop = &f->hop[r->family];

        if (!route) {
            *hop = (struct wan_hop){0};
            continue;
        }
        if (route->dst.len || route->type != FIB_TYPE_UNICAST || !f->index ||
            route->index != f->index || route->protocol == FIB_PROTOCOL ||
            (route->via.family && wan_family_of(&route->via) != r->family) ||
            (hop->known && hop->metric <= route->metric))
            continue;
        *hop = (struct wan_hop){true, route->via, route->onlink, route->metric};
    }
}

/* --- routes ---------------------------------------------------------------------------- */

static void on_ours(void *user, const struct fib_route *route)
{
    struct reader *r = user;
    uint8_t version = r->family == WAN_V4 ? 4 : 6;
    unsigned kept = 0;
    int rv;

    if (route) {
        rv = wan_objects_add_route(&r->m->ours, route);
        r->err = rv ? rv : r->err;
        return;
    }
    for (unsigned i = 0; i < r->m->ours.n_routes; i++)
        if (r->m->ours.routes[i].dst.addr.family != version)
            r->m->ours.routes[kept++] = r->m->ours.routes[i];
    r->m->ours.n_routes = kept;
    wan_objects_moved(&r->m->ours);
}

static const char *device_of(const struct reader *r, int index)
{
    for (unsigned i = 0; i < r->c->n_links; i++)
        if (index && r->m->facts.link[i].index == index)
            return r->c->links[i].device;
    return "of another interface";
}

/* A route of somebody else in the table of a link. Default routes with a worse metric than ours
 * come behind it, of IPv4 also those with the same. */
static void on_table(void *user, const struct fib_route *route)
{
    struct reader *r = user;
    enum wan_foreign *f = &r->m->facts.link[r->link].foreign[r->family];
    bool behind;
    char text[FIB_TEXT_MAX];
    int rv;

    if (!route)
        *f = WAN_FOREIGN_NONE;
    if (!route || route->protocol == FIB_PROTOCOL)
        return;
    add_conflict(r->m, "link %s: somebody else has a route in its table: %s (protocol %u%s)",
                 r->c->links[r->link].name, fib_route_str(route, device_of(r, route->index), text),
                 route->protocol,
                 route->protocol == NETLINK_RTPROT
                     ? ", a tunnel's own: one of the two needs another table, see its route_table"
                     : "");
    rv = wan_objects_add_route(&r->m->foreign, route);
    r->err = rv ? rv : r->err;
    if (route->type == FIB_TYPE_BLACKHOLE || route->type == FIB_TYPE_UNREACHABLE)
        return;
    behind = !route->dst.len && (r->family == WAN_V4 || route->metric > 1);
    *f = MAX(*f, behind ? WAN_FOREIGN_BEHIND : WAN_FOREIGN_BEFORE);
}

static int read_routes(struct reader *r)
{
    int rv = 0;

    for (r->family = 0; r->family < WAN_FAMILIES && !rv; r->family++) {
        uint8_t version = r->family == WAN_V4 ? 4 : 6;

        rv = fib_route_each(r->nl, version, FIB_TABLE_MAIN, 0, on_main, r);
        if (!rv)
            rv = fib_route_each(r->nl, version, 0, FIB_PROTOCOL, on_ours, r);
        for (r->link = 0; r->link < r->c->n_links && !rv; r->link++)
            if (r->c->links[r->link].table)
                rv = fib_route_each(r->nl, version, r->c->links[r->link].table, 0, on_table, r);
    }
    return rv ? rv : r->err;
}

/* --- rules ----------------------------------------------------------------------------- */

static bool may_match_ingress(const struct gateway_config *c, const struct fib_rule *rule)
{
    if (!*rule->iif)
        return c->n_policies && !*rule->oif;
    for (unsigned i = 0; i < c->n_policies; i++)
        if (!strcmp(c->policies[i].ingress, rule->iif))
            return true;
    return false;
}

static void on_rule(void *user, const struct fib_rule *rule)
{
    struct reader *r = user;
    char text[FIB_TEXT_MAX];
    int rv;

    if (!rule) {
        r->m->ours.n_rules = r->m->foreign.n_rules = 0;
        return;
    }
    if (rule->protocol == FIB_PROTOCOL) {
        rv = wan_objects_add_rule(&r->m->ours, rule);
        r->err = rv ? rv : r->err;
        return;
    }
    /* Priority 0 is the kernel's own, which finds the addresses of this machine. */
    if (!rule->priority || rule->priority >= r->c->last_priority || !may_match_ingress(r->c, rule))
        return;
    add_conflict(r->m, "a rule of somebody else comes before ours: %s (protocol %u)",
                 fib_rule_str(rule, text), rule->protocol);
    rv = wan_objects_add_rule(&r->m->foreign, rule);
    r->err = rv ? rv : r->err;
}

/* --- the whole ------------------------------------------------------------------------- */

static int read_nft(struct reader *r, struct nftable *nft, const char *good)
{
    struct wan_objects *o = &r->m->ours;
    int rv = nftable_list(nft, &o->nft);

    if (rv || !o->nft)
        return rv;
    firewall_id(o->nft, o->nft_id);
    if (good && strcmp(good, o->nft) != 0)
        snprintf(o->nft_id, sizeof(o->nft_id), "changed");
    return 0;
}

int wan_mirror_read(struct netlink *nl, struct nftable *nft, const struct gateway_config *c,
                    const char *good, struct wan_mirror *ret)
{
    struct reader r = {.c = c, .m = ret, .nl = nl};
    int rv;

    memset(ret, 0, sizeof(*ret));
    rv = read_links(&r);
    if (!rv)
        rv = read_routes(&r);
    if (!rv)
        rv = fib_rule_each(nl, on_rule, &r);
    if (!rv)
        rv = r.err;
    if (!rv)
        rv = read_nft(&r, nft, good);
    return rv;
}

void wan_mirror_done(struct wan_mirror *m)
{
    wan_objects_done(&m->ours);
    wan_objects_done(&m->foreign);
}
