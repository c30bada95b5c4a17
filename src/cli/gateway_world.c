#include "cli/gateway_world.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "wan/settings.h"

struct reader {
    struct why_world *w;
    int err;
};

static void on_link(void *user, const struct netlink_link *l)
{
    struct reader *r = user;

    if (!l)
        r->w->n_links = 0;
    else if (!r->err)
        r->err = why_add_link(r->w, l->index, l->name);
}

static void on_rule(void *user, const struct fib_rule *rule)
{
    struct reader *r = user;

    if (!rule)
        r->w->n_rules = 0;
    else if (!r->err)
        r->err = why_add_rule(r->w, rule);
}

static void on_route(void *user, const struct fib_route *route)
{
    struct reader *r = user;

    if (!route)
        r->err = -EINTR; /* begun anew: what was taken is not told apart by family */
    else if (!r->err)
        r->err = why_add_route(r->w, route);
}

/* Does this machine forward, or will it? */
static bool forwards(const struct wan_objects *want, enum wan_family f)
{
    const char *name = f == WAN_V4 ? "net/ipv4/ip_forward" : "net/ipv6/conf/all/forwarding";

    return wan_objects_setting(want, name) == 1 || setting_read(name) == 1;
}

static int read_routes(struct netlink *nl, struct reader *r)
{
    int rv = -EINTR;

    for (unsigned tries = 0; tries < 5 && rv == -EINTR; tries++) {
        r->err = 0;
        r->w->n_routes = 0;
        rv = fib_route_each(nl, 4, 0, 0, on_route, r);
        if (!rv)
            rv = fib_route_each(nl, 6, 0, 0, on_route, r);
        if (!rv)
            rv = r->err;
    }
    return rv;
}

int gateway_world_read(const struct gateway *g, struct gateway_world *ret)
{
    struct reader r = {.w = &ret->why};
    int rv;

    *ret = (struct gateway_world){.why = {.config = gateway_config(g),
                                          .facts = &gateway_mirror(g)->facts,
                                          .want = gateway_want(g)}};
    for (enum wan_family f = 0; f < WAN_FAMILIES; f++)
        ret->why.forwarding[f] = forwards(gateway_want(g), f);
    rv = netlink_open(&ret->nl);
    if (!rv)
        rv = fib_link_each(ret->nl, on_link, &r);
    if (!rv)
        rv = fib_rule_each(ret->nl, on_rule, &r);
    if (!rv)
        rv = r.err;
    if (!rv)
        rv = read_routes(ret->nl, &r);
    return rv ? rv : why_world_ready(&ret->why);
}

void gateway_world_done(struct gateway_world *w)
{
    why_world_done(&w->why);
    netlink_close(w->nl);
    w->nl = NULL;
}

/* --- the kernel's answer --------------------------------------------------------------- */

static int index_of(const struct why_world *w, const char *name)
{
    for (unsigned i = 0; i < w->n_links; i++)
        if (!strcmp(w->links[i].name, name))
            return w->links[i].index;
    return 0;
}

static const char *name_of(const struct why_world *w, int index)
{
    for (unsigned i = 0; i < w->n_links; i++)
        if (w->links[i].index == index)
            return w->links[i].name;
    return "?";
}

static void take_error(int err, struct gateway_kernel_answer *ret)
{
    ret->end = err == -EINVAL ? WHY_BLACKHOLE : err == -EXDEV ? WHY_NO_PACKET : WHY_UNREACHABLE;
    snprintf(ret->text, sizeof(ret->text), "%s",
             ret->end == WHY_UNREACHABLE ? strerror(-err) : why_end_name(ret->end));
}

static void take_answer(const struct why_world *w, const struct fib_answer *a,
                        struct gateway_kernel_answer *ret)
{
    char via[IP_ADDR_STR_MAX];

    ret->table = a->table;
    ret->end = a->here                           ? WHY_HERE
               : a->type == FIB_TYPE_UNICAST     ? WHY_OUT
               : a->type == FIB_TYPE_BLACKHOLE   ? WHY_BLACKHOLE
               : a->type == FIB_TYPE_UNREACHABLE ? WHY_UNREACHABLE
                                                 : WHY_NOT_KNOWN;
    if (ret->end != WHY_OUT) {
        snprintf(ret->text, sizeof(ret->text), "%s", why_end_name(ret->end));
        return;
    }
    snprintf(ret->device, sizeof(ret->device), "%s", name_of(w, a->index));
    snprintf(ret->text, sizeof(ret->text), "%s%s%sdev %s table %u", a->via.family ? "via " : "",
             a->via.family ? ip_addr_str(&a->via, via) : "", a->via.family ? " " : "", ret->device,
             a->table);
}

void gateway_world_ask(const struct gateway_world *w, const struct why_packet *p,
                       const struct why *y, struct gateway_kernel_answer *ret)
{
    struct fib_question q = {.src = p->src, .dst = y->to.family ? y->to : p->dst, .mark = y->mark};
    struct fib_answer a;
    int rv;

    *ret = (struct gateway_kernel_answer){.end = WHY_NOT_KNOWN};
    q.iif = *p->iif ? index_of(&w->why, p->iif) : 0;
    if (*p->iif && (!q.iif || !p->src.family)) {
        snprintf(ret->text, sizeof(ret->text), "%s",
                 q.iif ? "it wants a source" : "no such interface");
        return;
    }
    rv = fib_lookup(w->nl, &q, &a);
    if (rv)
        take_error(rv, ret);
    else
        take_answer(&w->why, &a, ret);
}

bool gateway_world_agrees(const struct why *y, const struct gateway_kernel_answer *a)
{
    enum why_end end = y->end;

    /* What nftables drops has been routed before. */
    if (end == WHY_DROPPED)
        end = y->device ? WHY_OUT : WHY_HERE;
    switch (end) {
    case WHY_OUT:
        return a->end == WHY_OUT && a->table == y->route->table &&
               (y->several || !strcmp(a->device, y->device));
    case WHY_NO_ROUTE:
    case WHY_UNREACHABLE:
    case WHY_NOT_FORWARDED:
        return a->end == WHY_UNREACHABLE;
    case WHY_NO_PACKET:
        return a->end != WHY_OUT;
    case WHY_NOT_KNOWN:
        return true;
    default:
        return a->end == end;
    }
}
