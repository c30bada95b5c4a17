#include "sim/tunnel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "packet/ip.h"
#include "packet/super.h"

enum { HUB_PORT = 443, EDGE_PORT = 45001 };

/* --- TUN ------------------------------------------------------------------------------- */

/* What a kernel says beside a super-packet of the modelled TCP. */
static void describe_super(struct pkt *p, uint32_t gso_size)
{
    p->gso = PKT_GSO_TCP4;
    p->gso_size = (uint16_t)gso_size;
    p->csum_start = IP4_HDR_MIN;
    p->csum_offset = TCP_CSUM;
}

static struct pkt *to_pkt(struct host *h, struct sim_dgram *d)
{
    struct pkt *p = pkt_new(h->pool, d->len);

    if (p) {
        memcpy(p->data, d->data, d->len);
        p->len = d->len;
        if (d->gso_size)
            describe_super(p, d->gso_size);
    } else {
        drop_count(&h->drops, DROP_NO_BUFFER);
    }
    sim_dgram_free(h->sim, d);
    return p;
}

static void edge_tun_put(struct sim_sink *sink, struct sim_dgram *d)
{
    struct tunnel *t = container_of(sink, struct tunnel, edge_tun);
    struct pkt *p = to_pkt(t->edge_host, d);

    if (p && !t->edge) {
        pkt_free(t->edge_host->pool, p);
    } else if (p) {
        edge_send(t->edge, t->sim->now_ns, p);
        host_pump(t->edge_host);
    }
}

static void hub_tun_put(struct sim_sink *sink, struct sim_dgram *d)
{
    struct tunnel *t = container_of(sink, struct tunnel, hub_tun);
    struct pkt *p = to_pkt(t->hub_host, d);

    if (p && !t->hub) {
        pkt_free(t->hub_host->pool, p);
    } else if (p) {
        hub_send(t->hub, t->sim->now_ns, p);
        host_pump(t->hub_host);
    }
}

/* A packet out of the tunnel, on to whom it is for. */
static void deliver(struct host *h, struct router *lan, struct pkt *p)
{
    struct sim_dgram *d = sim_dgram_new(h->sim, p->len);
    enum drop_reason why;
    struct ip_view v;

    if (p->gso != PKT_GSO_NONE) {
        super_finish(p);
        d->gso_size = p->gso_size;
    }
    memcpy(d->data, p->data, p->len);
    if (ip_view_parse(p->data, p->len, &v, &why))
        abort(); /* the session has checked it */
    d->src = net_addr_make(&v.src, v.has_ports ? v.sport : 0);
    d->dst = net_addr_make(&v.dst, v.has_ports ? v.dport : 0);
    pkt_free(h->pool, p);
    lan->sink.put(&lan->sink, d);
}

/* --- events of the edge ---------------------------------------------------------------- */

static void on_edge_deliver(void *user, struct pkt *p)
{
    struct tunnel *t = user;

    deliver(t->edge_host, &t->edge_lan, p);
}

static void on_edge_state(void *user, enum edge_state state, const char *why)
{
    struct tunnel *t = user;
    struct tunnel_end *e = &t->at_edge;

    if (state == EDGE_UP) {
        e->ups++;
        e->up_ns = t->sim->now_ns;
    } else if (state == EDGE_PAUSE || state == EDGE_FAILED) {
        e->downs++;
        e->down_ns = t->sim->now_ns;
        snprintf(e->why, sizeof(e->why), "%s", why);
    }
}

static void on_edge_assigned(void *user, const struct capsule_addrs *addrs)
{
}

static void on_edge_mtu(void *user, size_t packet_max)
{
    struct tunnel *t = user;

    t->at_edge.packet_max = packet_max;
    t->at_edge.mtu_changes++;
}

/* The host's socket of a further lane: made when it is wanted first, and kept. */
static int on_lane_socket(void *user, unsigned path, unsigned lane, struct net_addr *ret_local,
                          unsigned *ret_socket)
{
    struct tunnel *t = user;
    struct ip_addr ip = net_addr_ip(&t->edge_addrs[path]);
    struct net_addr local = net_addr_make(&ip, (uint16_t)(EDGE_PORT + lane));

    if (t->no_sockets)
        return -EMFILE;
    if (!t->lane_socket[path][lane]) {
        struct sim_sink *out = t->nat ? &t->nat->inside : link_sink(t->wans[path]->up);
        unsigned socket = host_add_socket(t->edge_host, &local, out);

        router_add(&t->wans[path]->at_edge, &local, &t->edge_host->socket[socket].sink);
        t->lane_socket[path][lane] = socket;
    }
    t->sockets_open++;
    t->sockets_opened++;
    *ret_local = local;
    *ret_socket = t->lane_socket[path][lane];
    return 0;
}

static void on_lane_socket_done(void *user, unsigned path, unsigned lane, unsigned socket)
{
    struct tunnel *t = user;

    if (socket != t->lane_socket[path][lane] || !t->sockets_open)
        abort();
    t->sockets_open--;
}

static void on_path_gone(void *user, unsigned path)
{
    struct tunnel *t = user;

    t->paths_gone++;
}

static void on_edge_failed(void *user, const struct edge_failure *f)
{
    struct tunnel *t = user;

    t->failure = *f;
    t->has_failed = true;
}

static const struct edge_events edge_events = {
    .deliver = on_edge_deliver,
    .state = on_edge_state,
    .path_gone = on_path_gone,
    .assigned = on_edge_assigned,
    .mtu = on_edge_mtu,
    .failed = on_edge_failed,
};

/* --- events of the hub ----------------------------------------------------------------- */

static void on_hub_deliver(void *user, struct pkt *p)
{
    struct tunnel *t = user;

    deliver(t->hub_host, &t->hub_lan, p);
}

static void on_peer_up(void *user, const struct hub_peer_id *id, const struct net_addr *remote)
{
    struct tunnel *t = user;

    t->at_hub.ups++;
    t->at_hub.up_ns = t->sim->now_ns;
    t->at_hub.remote = *remote;
}

static void on_peer_down(void *user, const struct hub_peer_id *id, const char *why)
{
    struct tunnel *t = user;

    t->at_hub.downs++;
    t->at_hub.down_ns = t->sim->now_ns;
    snprintf(t->at_hub.why, sizeof(t->at_hub.why), "%s", why);
}

static void on_refused(void *user, const struct hub_peer_id *id, const struct net_addr *remote,
                       const char *why)
{
    struct tunnel *t = user;

    t->at_hub.refused++;
    snprintf(t->at_hub.why, sizeof(t->at_hub.why), "%s", why);
}

static void on_hub_assigned(void *user, const struct hub_peer_id *id,
                            const struct capsule_addrs *addrs)
{
}

static void on_hub_mtu(void *user, size_t packet_max)
{
    struct tunnel *t = user;

    t->at_hub.packet_max = packet_max;
    t->at_hub.mtu_changes++;
}

static const struct hub_events hub_events = {
    .deliver = on_hub_deliver,
    .peer_up = on_peer_up,
    .peer_down = on_peer_down,
    .refused = on_refused,
    .assigned = on_hub_assigned,
    .mtu = on_hub_mtu,
};

/* --- life ------------------------------------------------------------------------------ */

static struct ip_prefix inner(unsigned number, unsigned host)
{
    char text[IP_PREFIX_STR_MAX];
    struct ip_prefix p;

    snprintf(text, sizeof(text), "10.200.%u.%u/30", number, host);
    if (ip_prefix_parse(text, &p))
        abort();
    return p;
}

static void fill_addresses(struct tunnel *t, unsigned number)
{
    char text[IP_ADDR_STR_MAX];

    for (unsigned i = 0; i < t->n_paths; i++) {
        snprintf(text, sizeof(text), "198.18.%u.%u", number, 1 + 2 * i);
        t->edge_addrs[i] = net_addr_lit(text, EDGE_PORT);
        snprintf(text, sizeof(text), "198.18.%u.%u", number, 2 + 2 * i);
        t->hub_addrs[i] = net_addr_lit(text, HUB_PORT);
    }
    t->edge_addr = t->edge_addrs[0];
    t->hub_addr = t->hub_addrs[0];
    t->edge_inner = inner(number, 1);
    t->hub_inner = inner(number, 2);
}

static void fill_edge(struct tunnel *t, const struct tunnel_opts *o)
{
    struct edge_opts *e = &t->edge_opts;

    if (o->edge)
        e->quic = *o->edge;
    e->plain = !o->packed;
    e->quic.server = false;
    e->quic.cc = o->cc;
    e->quic.tls = e->quic.tls ? e->quic.tls : &quic_tls_dummy;
    e->quic.tls_ctx = &t->tls_edge;
    e->quic.server_name = "hub.example";
    host_fill_opts(t->edge_host, &e->quic);
    e->authority = "hub.example:443";
    e->want[0] = t->edge_inner;
    e->n_want = 1;
    e->max_lanes = o->lanes ? o->lanes : 1;
    e->n_paths = t->n_paths > 1 ? t->n_paths : 0;
    e->treatment = o->treatment;
    if (o->policy)
        e->treatment.policy = o->policy;
    memcpy(e->paths, o->paths, sizeof(o->paths));
    e->lane_socket = on_lane_socket;
    e->lane_socket_done = on_lane_socket_done;
    e->events = &edge_events;
    e->user = t;
}

static void fill_hub(struct tunnel *t, const struct tunnel_opts *o)
{
    struct hub_opts *h = &t->hub_opts;

    if (o->hub)
        h->quic = *o->hub;
    h->plain = !o->packed;
    h->quic.server = true;
    h->quic.cc = o->cc;
    h->quic.tls = h->quic.tls ? h->quic.tls : &quic_tls_dummy;
    h->quic.tls_ctx = &t->tls_hub;
    host_fill_opts(t->hub_host, &h->quic);
    rng_bytes(&t->tls_rng, h->quic.reset_secret, sizeof(h->quic.reset_secret));
    h->own[0] = t->hub_inner;
    h->n_own = 1;
    h->events = &hub_events;
    h->user = t;
}

static void make_hosts(struct tunnel *t, const struct tunnel_opts *o, const char *name)
{
    unsigned n_pkts = o->n_pkts ? o->n_pkts : 2048;
    char part[64];

    snprintf(part, sizeof(part), "%s.tls", name);
    sim_rng(t->sim, part, &t->tls_rng);
    t->tls_edge = (struct tls_dummy){.rng = &t->tls_rng, .name = "edge.example"};
    t->tls_hub = (struct tls_dummy){.rng = &t->tls_rng, .name = "hub.example"};
    snprintf(part, sizeof(part), "%s.edge", name);
    t->edge_host = host_new_large(t->sim, part, n_pkts, o->n_large);
    snprintf(part, sizeof(part), "%s.hub", name);
    t->hub_host = host_new_large(t->sim, part, n_pkts, o->n_large);
    host_add_socket(t->edge_host, &t->edge_addr, t->nat ? &t->nat->inside : link_sink(t->wan->up));
    host_add_socket(t->hub_host, &t->hub_addr, link_sink(t->wan->down));
    router_add(&t->wan->at_edge, &t->edge_addr, &t->edge_host->socket[0].sink);
    router_add(&t->wan->at_hub, &t->hub_addr, &t->hub_host->socket[0].sink);
    for (unsigned i = 1; i < t->n_paths; i++) {
        unsigned edge = host_add_socket(t->edge_host, &t->edge_addrs[i], link_sink(t->wans[i]->up));
        unsigned hub = host_add_socket(t->hub_host, &t->hub_addrs[i], link_sink(t->wans[i]->down));

        router_add(&t->wans[i]->at_edge, &t->edge_addrs[i], &t->edge_host->socket[edge].sink);
        router_add(&t->wans[i]->at_hub, &t->hub_addrs[i], &t->hub_host->socket[hub].sink);
        t->lane_socket[i][0] = edge;
    }
    if (t->nat)
        t->nat->to_inside = &t->wan->at_edge.sink;
}

struct tunnel *tunnel_new(struct wan *wan, const struct tunnel_opts *o)
{
    struct tunnel *t = sim_alloc(sizeof(*t));

    t->sim = wan->sim;
    t->wan = t->wans[0] = wan;
    t->n_paths = 1 + o->n_more;
    t->off = o->off;
    for (unsigned i = 0; i < o->n_more; i++)
        t->wans[i + 1] = o->more[i];
    t->nat = o->nat;
    t->next_port = 5001;
    t->edge_tun.put = edge_tun_put;
    t->hub_tun.put = hub_tun_put;
    router_init(&t->edge_lan, t->sim);
    router_init(&t->hub_lan, t->sim);
    echo_init(&t->at_edge_echo, &t->edge_tun);
    echo_init(&t->at_hub_echo, &t->hub_tun);
    fill_addresses(t, o->number ? o->number : 1);
    make_hosts(t, o, o->name ? o->name : "tunnel");
    fill_edge(t, o);
    fill_hub(t, o);
    tunnel_start_hub(t, true);
    tunnel_start_edge(t);
    return t;
}

void tunnel_free(struct tunnel *t)
{
    if (!t)
        return;
    tunnel_kill_edge(t);
    tunnel_kill_hub(t);
    host_free(t->edge_host);
    host_free(t->hub_host);
    free(t);
}

void tunnel_kill_edge(struct tunnel *t)
{
    host_run(t->edge_host, NULL, NULL);
    edge_free(t->edge);
    t->edge = NULL;
}

void tunnel_start_edge(struct tunnel *t)
{
    if (edge_new(&t->edge_opts, &t->edge))
        abort();
    t->edge_addrs[0] = t->edge_addr; /* they may have been set */
    t->hub_addrs[0] = t->hub_addr;
    for (unsigned i = 0; i < t->n_paths; i++)
        if (!(t->off >> i & 1))
            edge_set_addrs(t->edge, t->sim->now_ns, i, &t->edge_addrs[i], &t->hub_addrs[i],
                           t->lane_socket[i][0]);
    host_run(t->edge_host, &host_engine_edge, t->edge);
}

void tunnel_set_path(struct tunnel *t, unsigned path, bool on)
{
    const struct net_addr none = {.len = 0};

    t->off = on ? t->off & ~(1u << path) : t->off | 1u << path;
    edge_set_addrs(t->edge, t->sim->now_ns, path, on ? &t->edge_addrs[path] : &none,
                   &t->hub_addrs[path], t->lane_socket[path][0]);
    host_pump(t->edge_host);
}

void tunnel_kill_hub(struct tunnel *t)
{
    host_run(t->hub_host, NULL, NULL);
    hub_free(t->hub);
    t->hub = NULL;
}

void tunnel_start_hub(struct tunnel *t, bool same_secret)
{
    struct quic_endpoint_opts *q = &t->hub_opts.quic;

    if (!same_secret)
        rng_bytes(&t->tls_rng, q->reset_secret, sizeof(q->reset_secret));
    if (hub_new(&t->hub_opts, &t->hub))
        abort();
    host_run(t->hub_host, &host_engine_hub, t->hub);
}

/* --- use ------------------------------------------------------------------------------- */

void tunnel_nat_init(struct nat *nat, struct wan *wan, const struct net_addr *outside)
{
    nat_init(nat, wan->sim, outside, NULL, link_sink(wan->up));
    tunnel_nat_rebind(nat, wan, outside);
}

void tunnel_nat_rebind(struct nat *nat, struct wan *wan, const struct net_addr *outside)
{
    struct ip_addr ip = net_addr_ip(outside);
    struct net_addr any = net_addr_make(&ip, 0);

    nat_rebind(nat, outside);
    router_add(&wan->at_edge, &any, &nat->outside);
}

static bool is_up(void *user)
{
    const struct tunnel *t = user;

    return t->edge && edge_state(t->edge) == EDGE_UP && t->at_edge.packet_max &&
           t->at_hub.ups > t->at_hub.downs && t->at_hub.packet_max;
}

bool tunnel_wait_up(struct tunnel *t, uint64_t limit_ns)
{
    return sim_run_cond(t->sim, limit_ns, is_up, t);
}

/* Addresses of a new flow: its source port is used by nobody else. */
static void flow_addresses(struct tunnel *t, bool up, struct net_addr *src, struct net_addr *dst)
{
    uint16_t port = t->next_port++;

    *src = net_addr_make(up ? &t->edge_inner.addr : &t->hub_inner.addr, port);
    *dst = net_addr_make(up ? &t->hub_inner.addr : &t->edge_inner.addr, port);
}

struct tcp *tunnel_tcp(struct tunnel *t, bool up, const struct tcp_opts *opts)
{
    struct tcp_opts o = opts ? *opts : (struct tcp_opts){0};
    struct sim_sink *near = up ? &t->edge_tun : &t->hub_tun;
    struct sim_sink *far = up ? &t->hub_tun : &t->edge_tun;
    struct tcp *tcp;

    flow_addresses(t, up, &o.src, &o.dst);
    if (!o.mss)
        o.mss = (unsigned)MIN(t->at_edge.packet_max, t->at_hub.packet_max) - 40;
    tcp = tcp_new(t->sim, &o, near, far);
    router_add(up ? &t->hub_lan : &t->edge_lan, &o.dst, &tcp->rcv.sink);
    router_add(up ? &t->edge_lan : &t->hub_lan, &o.src, &tcp->snd.sink);
    return tcp;
}

struct cbr *tunnel_cbr(struct tunnel *t, bool up, const struct cbr_opts *opts)
{
    struct cbr_opts o = opts ? *opts : (struct cbr_opts){0};
    struct cbr *c;

    flow_addresses(t, up, &o.src, &o.dst);
    c = cbr_new(t->sim, &o, up ? &t->edge_tun : &t->hub_tun);
    router_add(up ? &t->hub_lan : &t->edge_lan, &o.dst, &c->sink);
    return c;
}

struct cbr *tunnel_ping(struct tunnel *t, bool up, const struct cbr_opts *opts)
{
    struct cbr *c = tunnel_cbr(t, up, opts);

    router_add(up ? &t->hub_lan : &t->edge_lan, &c->opts.dst,
               up ? &t->at_hub_echo.sink : &t->at_edge_echo.sink);
    router_add(up ? &t->edge_lan : &t->hub_lan, &c->opts.src, &c->sink);
    return c;
}

struct quic_lane_stats tunnel_edge_lane(const struct tunnel *t)
{
    struct quic_lane_stats s = {0};

    if (t->edge)
        edge_lane_stats(t->edge, 0, &s);
    return s;
}
