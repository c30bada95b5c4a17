#include "sim/duo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

enum { HUB_PORT = 443, EDGE_PORT = 40000 };

static int on_accept(void *user, struct quic_lane *lane, const struct quic_path_ops **ret_ops,
                     void **ret_user)
{
    struct duo *d = user;

    *ret_ops = &bulk_ops;
    *ret_user = &d->at_hub;
    return 0;
}

static void on_refused(void *user, const struct quic_lane *lane, const struct quic_fail_info *why)
{
    struct duo *d = user;

    d->refused++;
    d->refused_why = *why;
}

static void fill_endpoint(struct duo *d, const struct duo_opts *o)
{
    struct quic_endpoint_opts *e = &d->edge_opts, *h = &d->hub_opts;

    if (o->edge)
        *e = *o->edge;
    if (o->hub)
        *h = *o->hub;
    e->server = false;
    h->server = true;
    e->cc = h->cc = o->cc;
    e->tls = e->tls ? e->tls : &quic_tls_dummy;
    h->tls = h->tls ? h->tls : &quic_tls_dummy;
    e->tls_ctx = &d->tls_edge;
    h->tls_ctx = &d->tls_hub;
    e->server_name = "hub.example";
    h->accept = on_accept;
    h->refused = on_refused;
    h->accept_user = d;
    rng_bytes(&d->tls_rng, h->reset_secret, sizeof(h->reset_secret));
}

static void fill_addresses(struct duo *d, const struct duo_opts *o)
{
    char edge[64], hub[64];

    if (o->ip6) {
        snprintf(edge, sizeof(edge), "2001:db8:%x::1", o->number);
        snprintf(hub, sizeof(hub), "2001:db8:%x::2", o->number);
    } else {
        snprintf(edge, sizeof(edge), "198.18.%u.1", o->number);
        snprintf(hub, sizeof(hub), "198.18.%u.2", o->number);
    }
    d->edge_addr = net_addr_lit(edge, EDGE_PORT);
    d->hub_addr = net_addr_lit(hub, HUB_PORT);
}

void duo_nat_init(struct nat *nat, struct wan *wan, const struct net_addr *outside)
{
    struct ip_addr ip = net_addr_ip(outside);
    struct net_addr any = net_addr_make(&ip, 0);

    nat_init(nat, wan->sim, outside, NULL, link_sink(wan->up));
    router_add(&wan->at_edge, &any, &nat->outside);
}

void duo_nat_rebind(struct nat *nat, struct wan *wan, const struct net_addr *outside)
{
    struct ip_addr ip = net_addr_ip(outside);
    struct net_addr any = net_addr_make(&ip, 0);

    nat_rebind(nat, outside);
    router_add(&wan->at_edge, &any, &nat->outside);
}

static struct quic_endpoint *start(struct host *h, struct quic_endpoint_opts *opts)
{
    struct quic_endpoint *ep;

    host_fill_opts(h, opts);
    if (quic_endpoint_new(opts, &ep))
        abort();
    host_run(h, &host_engine_quic, ep);
    return ep;
}

struct duo *duo_new(struct wan *wan, const struct duo_opts *o)
{
    struct duo *d = sim_alloc(sizeof(*d));
    const char *name = o->name ? o->name : "duo";
    char part[64];

    d->sim = wan->sim;
    d->wan = wan;
    d->nat = o->nat;
    snprintf(part, sizeof(part), "%s.tls", name);
    sim_rng(d->sim, part, &d->tls_rng);
    d->tls_edge = (struct tls_dummy){.rng = &d->tls_rng, .name = "edge.example"};
    d->tls_hub = (struct tls_dummy){.rng = &d->tls_rng, .name = "hub.example"};
    fill_endpoint(d, o);
    fill_addresses(d, o);
    snprintf(part, sizeof(part), "%s.edge", name);
    d->edge = host_new(d->sim, part, o->n_pkts ? o->n_pkts : 64);
    snprintf(part, sizeof(part), "%s.hub", name);
    d->hub = host_new(d->sim, part, o->n_pkts ? o->n_pkts : 64);
    d->edge_ep = start(d->edge, &d->edge_opts);
    d->hub_ep = start(d->hub, &d->hub_opts);
    bulk_init(&d->at_edge, d->sim, d->edge);
    bulk_init(&d->at_hub, d->sim, d->hub);
    d->at_edge.dgram_bytes = d->at_hub.dgram_bytes = o->dgram_bytes;
    host_add_socket(d->hub, &d->hub_addr, link_sink(wan->down));
    router_add(&wan->at_hub, &d->hub_addr, &d->hub->socket[0].sink);
    d->path = quic_path_new(d->edge_ep, &bulk_ops, &d->at_edge);
    if (!d->path)
        abort();
    quic_path_set_bound(d->path, o->bound, o->bound_queue_ns);
    for (unsigned i = 0; i < MAX(o->lanes, 1u); i++)
        duo_open_lane(d);
    return d;
}

void duo_free(struct duo *d)
{
    if (!d)
        return;
    quic_endpoint_free(d->edge_ep);
    quic_endpoint_free(d->hub_ep);
    host_free(d->edge);
    host_free(d->hub);
    bulk_done(&d->at_edge);
    bulk_done(&d->at_hub);
    free(d);
}

struct quic_lane *duo_open_lane(struct duo *d)
{
    struct ip_addr ip = net_addr_ip(&d->edge_addr);
    struct net_addr local = net_addr_make(&ip, (uint16_t)(EDGE_PORT + d->edge->n_sockets));
    struct sim_sink *out = d->nat ? &d->nat->inside : link_sink(d->wan->up);
    unsigned socket = host_add_socket(d->edge, &local, out);
    struct quic_lane *lane;

    if (d->nat)
        d->nat->to_inside = &d->wan->at_edge.sink;
    router_add(&d->wan->at_edge, &local, &d->edge->socket[socket].sink);
    if (quic_path_open_lane(d->path, d->sim->now_ns, &local, &d->hub_addr, socket, &lane))
        return NULL;
    d->lane[d->n_lanes++ % QUIC_LANES_MAX] = lane;
    host_pump(d->edge);
    return lane;
}

struct wait {
    const struct duo *d;
    unsigned n;
};

static bool is_up(void *user)
{
    const struct wait *w = user;

    return w->d->at_edge.lanes_up >= w->n && w->d->at_hub.lanes_up >= w->n;
}

bool duo_wait_up(struct duo *d, unsigned n, uint64_t limit_ns)
{
    struct wait w = {.d = d, .n = n};

    return sim_run_cond(d->sim, limit_ns, is_up, &w);
}

void duo_restart_hub(struct duo *d, bool same_secret)
{
    d->at_hub.n_paths = 0;
    if (!same_secret)
        rng_bytes(&d->tls_rng, d->hub_opts.reset_secret, sizeof(d->hub_opts.reset_secret));
    host_run(d->hub, NULL, NULL);
    quic_endpoint_free(d->hub_ep);
    d->hub_ep = start(d->hub, &d->hub_opts);
}
