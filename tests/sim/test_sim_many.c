/* A thousand edges on one hub: how long it takes until all are connected, when everything starts in
 * one moment, when the hub is restarted, killed, or comes back after minutes; and that they do not
 * all come in one moment when it is up to them. Once with an address for each edge, once with all
 * of them behind one NAT.
 *
 *      edge 0 .. 999: 198.18.1.1 ..  --- [NAT] --- 1 Gbit/s, 10 ms --- hub: 198.19.0.1, UDP 443
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "packet/ip.h"
#include "peer/edge.h"
#include "peer/hub.h"
#include "sim/host.h"
#include "sim/link.h"
#include "sim/net.h"
#include "sim/tls_dummy.h"

enum {
    EDGES = 1000,
    SEEDS = 3,
    EDGE_PKTS = 16,
    HUB_PKTS = 4096,
    NAT_PORT = 10000,
    EDGE_PORT = 45001,
    SLOTS = 1000, /* of 100 ms */
    ROW = 250     /* edges in one /24 */
};

struct many;

struct many_edge {
    struct many *world;
    struct host *host;
    struct edge *edge;
    struct tls_dummy tls;
    struct net_addr addr;
    struct edge_opts opts;
    char name[16];
    unsigned initials; /* datagrams sent that begin with an Initial packet */
    unsigned failed;
    struct ip_addr inner;
};

struct many {
    struct sim *sim;
    bool nat;
    struct link *up, *down;
    struct sim_sink at_edges, from_edges; /* the edges' end of the line */
    struct router at_hub;
    struct net_addr nat_addr, hub_addr;
    struct rng tls_rng;
    struct many_edge edge[EDGES];
    struct host *hub_host;
    struct hub *hub;
    struct hub_opts hub_opts;
    struct tls_dummy tls_hub;
    struct ip_prefix pool[1];
    unsigned n_up;
    uint64_t all_up_ns;
    uint64_t since_ns;        /* of the counters */
    unsigned attempts[SLOTS]; /* connections begun */
    unsigned n_attempts, downs;
};

/* --- the edges' end of the line ------------------------------------------------------------ */

static struct net_addr addr_of_edge(unsigned i)
{
    struct ip_addr ip = {.family = 4,
                         .b = {198, 18, (uint8_t)(1 + i / ROW), (uint8_t)(1 + i % ROW)}};

    return net_addr_make(&ip, EDGE_PORT);
}

static unsigned edge_at(const struct net_addr *a)
{
    struct ip_addr ip = net_addr_ip(a);

    return (ip.b[2] - 1u) * ROW + ip.b[3] - 1u;
}

/* A datagram that begins with an Initial packet (RFC 9000, 17.2.2). */
static bool is_initial(const struct sim_dgram *d)
{
    return d->len && (d->data[0] & 0xb0) == 0x80;
}

static void from_edges_put(struct sim_sink *sink, struct sim_dgram *d)
{
    struct many *w = container_of(sink, struct many, from_edges);
    unsigned i = edge_at(&d->src);
    struct ip_addr nat = net_addr_ip(&w->nat_addr);

    w->edge[i].initials += is_initial(d);
    if (w->nat)
        d->src = net_addr_make(&nat, (uint16_t)(NAT_PORT + i));
    link_sink(w->up)->put(link_sink(w->up), d);
}

static void at_edges_put(struct sim_sink *sink, struct sim_dgram *d)
{
    struct many *w = container_of(sink, struct many, at_edges);
    unsigned i = w->nat ? net_addr_port(&d->dst) - (unsigned)NAT_PORT : edge_at(&d->dst);

    assert_true(i < EDGES);
    d->dst = w->edge[i].addr;
    w->edge[i].host->socket[0].sink.put(&w->edge[i].host->socket[0].sink, d);
}

/* --- events -------------------------------------------------------------------------------- */

static void on_deliver(void *user, struct pkt *pkt)
{
    fail_msg("nobody sends");
}

static void on_state(void *user, enum edge_state state, const char *why)
{
    struct many_edge *e = user;
    struct many *w = e->world;
    uint64_t slot = (w->sim->now_ns - w->since_ns) / (100 * NS_PER_MS);

    if (state == EDGE_CONNECTING) {
        w->n_attempts++;
        w->attempts[MIN(slot, SLOTS - 1)]++;
    }
}

static void on_edge_assigned(void *user, const struct capsule_addrs *addrs)
{
    struct many_edge *e = user;

    for (unsigned i = 0; i < addrs->n; i++)
        if (!assigned_addr_is_refusal(&addrs->v[i]))
            e->inner = addrs->v[i].prefix.addr;
}

static void on_mtu(void *user, size_t packet_max)
{
}

static void on_failed(void *user, const struct edge_failure *f)
{
    ((struct many_edge *)user)->failed++;
}

static const struct edge_events edge_events = {.deliver = on_deliver,
                                               .state = on_state,
                                               .assigned = on_edge_assigned,
                                               .mtu = on_mtu,
                                               .failed = on_failed};

static void on_peer_up(void *user, const struct hub_peer_id *id, const struct net_addr *remote)
{
    struct many *w = user;

    if (++w->n_up == EDGES)
        w->all_up_ns = w->sim->now_ns;
}

static void on_peer_down(void *user, const struct hub_peer_id *id, const char *why)
{
    struct many *w = user;

    w->n_up--;
    w->downs++;
}

static void on_refused(void *user, const struct hub_peer_id *id, const struct net_addr *remote,
                       const char *why)
{
    fail_msg("%s is refused: %s", id->name, why);
}

static void on_hub_assigned(void *user, const struct hub_peer_id *id,
                            const struct capsule_addrs *addrs)
{
    assert_int_equal(addrs->n, 1); /* there is no IPv6 */
}

static const struct hub_events hub_events = {.deliver = on_deliver,
                                             .peer_up = on_peer_up,
                                             .peer_down = on_peer_down,
                                             .refused = on_refused,
                                             .assigned = on_hub_assigned,
                                             .mtu = on_mtu};

/* --- life ---------------------------------------------------------------------------------- */

static void make_edge(struct many *w, unsigned i)
{
    struct many_edge *e = &w->edge[i];

    e->world = w;
    snprintf(e->name, sizeof(e->name), "edge%u", i);
    e->addr = addr_of_edge(i);
    e->host = host_new(w->sim, e->name, EDGE_PKTS);
    e->tls = (struct tls_dummy){.rng = &w->tls_rng, .name = e->name};
    host_add_socket(e->host, &e->addr, &w->from_edges);
    e->opts = (struct edge_opts){
        .quic = {.tls = &quic_tls_dummy, .tls_ctx = &e->tls, .server_name = "hub.example"},
        .authority = "hub.example:443",
        .instance = "mpq1",
        .events = &edge_events,
        .user = e,
    };
    host_fill_opts(e->host, &e->opts.quic);
}

static void make_hub(struct many *w)
{
    w->hub_host = host_new(w->sim, "hub", HUB_PKTS);
    w->tls_hub = (struct tls_dummy){.rng = &w->tls_rng, .name = "hub.example"};
    host_add_socket(w->hub_host, &w->hub_addr, link_sink(w->down));
    router_add(&w->at_hub, &w->hub_addr, &w->hub_host->socket[0].sink);
    w->hub_opts = (struct hub_opts){
        .quic = {.server = true, .tls = &quic_tls_dummy, .tls_ctx = &w->tls_hub},
        .n_own = 1,
        .policy = {.multi = true, .max_peers = EDGES},
        .events = &hub_events,
        .user = w,
    };
    assert_int_equal(ip_prefix_parse("10.100.0.1/16", &w->hub_opts.own[0]), 0);
    memset(w->hub_opts.quic.reset_secret, 7, sizeof(w->hub_opts.quic.reset_secret));
    host_fill_opts(w->hub_host, &w->hub_opts.quic);
}

static struct many *many_new(uint64_t seed, bool nat)
{
    static const struct link_opts line = {
        .rate_bps = 1000000000, .delay_ns = 10 * NS_PER_MS, .queue_bytes = 10000000};
    struct many *w = sim_alloc(sizeof(*w));

    w->sim = sim_new(seed);
    w->nat = nat;
    w->at_edges.put = at_edges_put;
    w->from_edges.put = from_edges_put;
    router_init(&w->at_hub, w->sim);
    w->up = link_new(w->sim, "up", &line, &w->at_hub.sink);
    w->down = link_new(w->sim, "down", &line, &w->at_edges);
    w->nat_addr = net_addr_lit("203.0.113.1", NAT_PORT);
    w->hub_addr = net_addr_lit("198.19.0.1", 443);
    sim_rng(w->sim, "tls", &w->tls_rng);
    for (unsigned i = 0; i < EDGES; i++)
        make_edge(w, i);
    make_hub(w);
    w->since_ns = w->sim->now_ns;
    return w;
}

static void start_hub(struct many *w)
{
    assert_int_equal(hub_new(&w->hub_opts, &w->hub), 0);
    host_run(w->hub_host, &host_engine_hub, w->hub);
}

/* As kill -9 does: nobody is told. */
static void kill_hub(struct many *w)
{
    host_run(w->hub_host, NULL, NULL);
    hub_free(w->hub);
    w->hub = NULL;
    assert_int_equal(w->n_up, 0);
}

static void start_edges(struct many *w)
{
    for (unsigned i = 0; i < EDGES; i++) {
        struct many_edge *e = &w->edge[i];

        assert_int_equal(edge_new(&e->opts, &e->edge), 0);
        edge_set_addrs(e->edge, w->sim->now_ns, 0, &e->addr, &w->hub_addr, 0);
        host_run(e->host, &host_engine_edge, e->edge);
    }
}

static void many_free(struct many *w)
{
    for (unsigned i = 0; i < EDGES; i++) {
        host_run(w->edge[i].host, NULL, NULL);
        edge_free(w->edge[i].edge);
        host_free(w->edge[i].host);
    }
    kill_hub(w);
    host_free(w->hub_host);
    link_free(w->up);
    link_free(w->down);
    sim_free(w->sim);
    free(w);
}

/* --- measuring ----------------------------------------------------------------------------- */

static void count_anew(struct many *w)
{
    w->since_ns = w->sim->now_ns;
    w->n_attempts = w->downs = 0;
    w->all_up_ns = 0;
    memset(w->attempts, 0, sizeof(w->attempts));
    for (unsigned i = 0; i < EDGES; i++)
        w->edge[i].initials = 0;
}

static bool all_up(void *user)
{
    struct many *w = user;

    return w->n_up == EDGES && w->all_up_ns;
}

static unsigned most_at_once(const struct many *w)
{
    unsigned most = 0;

    for (unsigned i = 0; i < SLOTS; i++)
        most = MAX(most, w->attempts[i]);
    return most;
}

/* Until all are connected, which must take 10 s at most; then on, to see that they stay. */
static void expect_all_up(struct many *w, const char *what, unsigned max_at_once,
                          unsigned max_initials)
{
    unsigned initials = 0, most = 0;
    double took;

    assert_true(sim_run_cond(w->sim, 10 * NS_PER_S, all_up, w));
    took = (double)(w->all_up_ns - w->since_ns) / 1e9;
    for (unsigned i = 0; i < EDGES; i++) {
        initials += w->edge[i].initials;
        most = MAX(most, w->edge[i].initials);
        assert_int_equal(w->edge[i].failed, 0);
    }
    print_message("%s: all up after %.2f s; %u attempts, at most %u in 100 ms; Initials %.2f for "
                  "each, at most %u\n",
                  what, took, w->n_attempts, most_at_once(w), (double)initials / EDGES, most);
    assert_true(most_at_once(w) <= max_at_once);
    assert_true(most <= max_initials);
    w->downs = 0;
    sim_run_for(w->sim, 15 * NS_PER_S);
    assert_int_equal(w->n_up, EDGES);
    assert_int_equal(w->downs, 0);
    assert_int_equal(hub_peers(w->hub), EDGES);
}

static int by_addr(const void *a, const void *b)
{
    return ip_addr_cmp(a, b);
}

/* Every edge has an address, and no two have the same. */
static void expect_addresses(const struct many *w)
{
    static struct ip_addr v[EDGES];

    for (unsigned i = 0; i < EDGES; i++) {
        v[i] = w->edge[i].inner;
        assert_int_equal(v[i].family, 4);
    }
    qsort(v, EDGES, sizeof(v[0]), by_addr);
    for (unsigned i = 1; i < EDGES; i++)
        assert_false(ip_addr_equal(&v[i - 1], &v[i]));
}

/* Everybody at once, as after a power cut: the edges cannot know, the hub has to cope. */
static void cold_start(struct many *w)
{
    start_hub(w);
    start_edges(w);
    expect_all_up(w, "cold start", EDGES, 8);
    expect_addresses(w);
}

static void the_hub_says_goodbye(struct many *w)
{
    static struct ip_addr before[EDGES];

    for (unsigned i = 0; i < EDGES; i++)
        before[i] = w->edge[i].inner;
    count_anew(w);
    hub_shutdown(w->hub, w->sim->now_ns);
    host_pump(w->hub_host);
    kill_hub(w);
    sim_run_for(w->sim, NS_PER_S);
    start_hub(w);
    expect_all_up(w, "hub restarted in a second", 100, 12);
    expect_addresses(w);
    for (unsigned i = 0; i < EDGES; i++) /* asked for again */
        assert_true(ip_addr_equal(&before[i], &w->edge[i].inner));
}

static void the_hub_is_killed(struct many *w, uint64_t down_ns, const char *what)
{
    kill_hub(w);
    sim_run_for(w->sim, down_ns);
    count_anew(w);
    start_hub(w);
    expect_all_up(w, what, 100, 8);
    expect_addresses(w);
}

static void the_hub_comes_back_after_minutes(struct many *w)
{
    kill_hub(w);
    sim_run_for(w->sim, 300 * NS_PER_S);
    count_anew(w);
    start_hub(w);
    expect_all_up(w, "hub back after minutes", 200, 12);
    expect_addresses(w);
}

static void whole_story(bool nat)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct many *w = many_new(seed, nat);

        cold_start(w);
        the_hub_says_goodbye(w);
        the_hub_is_killed(w, 100 * NS_PER_MS, "hub killed and back at once");
        the_hub_is_killed(w, 3 * NS_PER_S, "hub killed and back after 3 s");
        the_hub_comes_back_after_minutes(w);
        many_free(w);
    }
}

static void a_thousand_edges(void **state)
{
    whole_story(false);
}

static void a_thousand_edges_behind_one_address(void **state)
{
    whole_story(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thousand_edges),
        cmocka_unit_test(a_thousand_edges_behind_one_address),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
