#include "sim/net.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/util.h"

static bool same_host(const struct net_addr *a, const struct net_addr *b)
{
    struct ip_addr x = net_addr_ip(a), y = net_addr_ip(b);

    return ip_addr_equal(&x, &y);
}

static bool route_matches(const struct net_addr *route, const struct net_addr *dst)
{
    return net_addr_equal(route, dst) || (!net_addr_port(route) && same_host(route, dst));
}

static void router_put(struct sim_sink *sink, struct sim_dgram *d)
{
    struct router *r = container_of(sink, struct router, sink);

    for (unsigned k = 0; k < r->n; k++) {
        unsigned i = (r->last + k) % r->n; /* most traffic goes where the last went */

        if (!route_matches(&r->route[i].dst, &d->dst))
            continue;
        r->last = i;
        r->route[i].to->put(r->route[i].to, d);
        return;
    }
    r->unroutable++;
    sim_dgram_free(r->sim, d);
}

void router_init(struct router *r, struct sim *sim)
{
    *r = (struct router){.sink.put = router_put, .sim = sim};
}

void router_add(struct router *r, const struct net_addr *dst, struct sim_sink *to)
{
    unsigned i = 0;

    while (i < r->n && !net_addr_equal(&r->route[i].dst, dst))
        i++;
    if (i == ROUTER_ROUTES_MAX)
        abort();
    r->route[i].dst = *dst;
    r->route[i].to = to;
    if (i == r->n)
        r->n++;
}

/* --- NAT ------------------------------------------------------------------------------- */

static unsigned flow_of(struct nat *n, const struct net_addr *inside)
{
    unsigned i = 0;

    while (i < n->n && !net_addr_equal(&n->flow[i].inside, inside))
        i++;
    if (i == NAT_FLOWS_MAX)
        abort();
    if (i == n->n) {
        n->flow[i].inside = *inside;
        n->flow[i].port = n->next_port++;
        n->n++;
    }
    return i;
}

static void nat_from_inside(struct sim_sink *sink, struct sim_dgram *d)
{
    struct nat *n = container_of(sink, struct nat, inside);
    unsigned i = flow_of(n, &d->src);
    struct ip_addr ip = net_addr_ip(&n->address);

    d->src = net_addr_make(&ip, n->flow[i].port);
    n->to_outside->put(n->to_outside, d);
}

static void nat_from_outside(struct sim_sink *sink, struct sim_dgram *d)
{
    struct nat *n = container_of(sink, struct nat, outside);

    for (unsigned i = 0; i < n->n; i++) {
        if (n->flow[i].port != net_addr_port(&d->dst) || !same_host(&n->address, &d->dst))
            continue;
        d->dst = n->flow[i].inside;
        n->to_inside->put(n->to_inside, d);
        return;
    }
    n->unknown++;
    sim_dgram_free(n->sim, d);
}

void nat_init(struct nat *n, struct sim *sim, const struct net_addr *address,
              struct sim_sink *to_inside, struct sim_sink *to_outside)
{
    *n = (struct nat){.sim = sim, .address = *address};
    n->inside.put = nat_from_inside;
    n->outside.put = nat_from_outside;
    n->to_inside = to_inside;
    n->to_outside = to_outside;
    n->next_port = net_addr_port(address);
}

void nat_rebind(struct nat *n, const struct net_addr *address)
{
    n->n = 0;
    if (address) {
        n->address = *address;
        n->next_port = net_addr_port(address);
    }
}

/* --- wan ------------------------------------------------------------------------------- */

void wan_init(struct wan *w, struct sim *sim, const char *name, const struct link_opts *up,
              const struct link_opts *down)
{
    char link_name[64];

    w->sim = sim;
    router_init(&w->at_edge, sim);
    router_init(&w->at_hub, sim);
    snprintf(link_name, sizeof(link_name), "%s.up", name);
    w->up = link_new(sim, link_name, up, &w->at_hub.sink);
    snprintf(link_name, sizeof(link_name), "%s.down", name);
    w->down = link_new(sim, link_name, down, &w->at_edge.sink);
}

void wan_done(struct wan *w)
{
    link_free(w->up);
    link_free(w->down);
}

struct net_addr net_addr_lit(const char *ip, uint16_t port)
{
    struct ip_addr a;

    if (ip_addr_parse(ip, &a))
        abort();
    return net_addr_make(&a, port);
}
