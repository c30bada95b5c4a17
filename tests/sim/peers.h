/* A hub and up to three edges over one line in virtual time, and a record of all that they
 * report: what the scenarios with src/peer share.
 *
 *      edge 0, 1, 2: 198.18.0.1, .2, .3   --- line ---   hub: 198.18.0.100, UDP 443
 *      inside: 10.200.1.1/30 and fd00:1::1/64            10.200.1.2/30 and fd00:1::2/64
 */
#ifndef TESTS_SIM_PEERS_H
#define TESTS_SIM_PEERS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "../unit/packets.h"
#include "base/util.h"
#include "peer/edge.h"
#include "peer/hub.h"
#include "sim/host.h"
#include "sim/net.h"
#include "sim/tls_dummy.h"

enum { PEERS_EDGES = 3, PEERS_STATES_MAX = 256, PEERS_PKTS_MAX = 64, PEERS_PKTS = 4096 };

/* Packets out of a tunnel, the first ones in full. */
struct peers_taken {
    unsigned n;
    size_t bytes;
    struct {
        size_t len;
        uint8_t data[2048];
    } pkt[PEERS_PKTS_MAX];
};

struct peers;

struct peers_edge {
    struct peers *world;
    struct host *host;
    struct edge *edge;
    struct edge_opts opts;
    struct tls_dummy tls;
    struct net_addr addr;

    unsigned n_states;
    struct {
        enum edge_state state;
        uint64_t at_ns;
        char why[128];
    } state[PEERS_STATES_MAX];
    unsigned n_failed, n_assigned, n_mtu;
    struct edge_failure failure;
    struct capsule_addrs assigned;
    size_t packet_max;
    struct peers_taken taken;
};

struct peers {
    struct sim *sim;
    struct wan wan;
    struct rng tls_rng;
    struct peers_edge edge[PEERS_EDGES];

    struct host *hub_host;
    struct hub *hub;
    struct hub_opts hub_opts;
    struct tls_dummy tls_hub;
    struct net_addr hub_addr;
    unsigned ups, downs, n_refused, n_assigned, n_contested;
    char peer[HUB_ID_STR_MAX], down_why[HUB_ID_STR_MAX + 256], refused_why[HUB_ID_STR_MAX + 256];
    uint64_t down_ns;
    struct capsule_addrs assigned;
    size_t packet_max;
    struct peers_taken taken;
};

static inline void peers_take(struct peers_taken *t, struct pkt_pool *pool, struct pkt *pkt)
{
    if (t->n < PEERS_PKTS_MAX) {
        assert_true(pkt->len <= sizeof(t->pkt[0].data));
        t->pkt[t->n].len = pkt->len;
        memcpy(t->pkt[t->n].data, pkt->data, pkt->len);
    }
    t->n++;
    t->bytes += pkt->len;
    pkt_free(pool, pkt);
}

/* --- what an edge reports -------------------------------------------------------------- */

static inline void peers_edge_deliver(void *user, struct pkt *pkt)
{
    struct peers_edge *e = user;

    peers_take(&e->taken, e->host->pool, pkt);
}

static inline void peers_edge_state(void *user, enum edge_state state, const char *why)
{
    struct peers_edge *e = user;
    unsigned i = e->n_states++ % PEERS_STATES_MAX;

    e->state[i].state = state;
    e->state[i].at_ns = e->world->sim->now_ns;
    snprintf(e->state[i].why, sizeof(e->state[i].why), "%s", why);
}

static inline void peers_edge_assigned(void *user, const struct capsule_addrs *addrs)
{
    struct peers_edge *e = user;

    e->n_assigned++;
    e->assigned = *addrs;
}

static inline void peers_edge_mtu(void *user, size_t packet_max)
{
    struct peers_edge *e = user;

    e->n_mtu++;
    e->packet_max = packet_max;
}

static inline void peers_edge_failed(void *user, const struct edge_failure *f)
{
    struct peers_edge *e = user;

    e->n_failed++;
    e->failure = *f;
}

static const struct edge_events peers_edge_events = {
    .deliver = peers_edge_deliver,
    .state = peers_edge_state,
    .assigned = peers_edge_assigned,
    .mtu = peers_edge_mtu,
    .failed = peers_edge_failed,
};

/* --- what the hub reports -------------------------------------------------------------- */

static inline void peers_hub_deliver(void *user, struct pkt *pkt)
{
    struct peers *w = user;

    peers_take(&w->taken, w->hub_host->pool, pkt);
}

static inline void peers_hub_up(void *user, const struct hub_peer_id *id,
                                const struct net_addr *remote)
{
    struct peers *w = user;

    w->ups++;
    hub_peer_id_str(id, w->peer);
}

static inline void peers_hub_down(void *user, const struct hub_peer_id *id, const char *why)
{
    struct peers *w = user;
    char name[HUB_ID_STR_MAX];

    w->downs++;
    w->down_ns = w->sim->now_ns;
    snprintf(w->down_why, sizeof(w->down_why), "%s: %s", hub_peer_id_str(id, name), why);
}

static inline void peers_hub_contested(void *user, const struct hub_peer_id *id,
                                       const struct net_addr *remote, unsigned n)
{
    struct peers *w = user;

    assert_true(n >= HUB_CONTESTED);
    w->n_contested++;
}

static inline void peers_hub_refused(void *user, const struct hub_peer_id *id,
                                     const struct net_addr *remote, const char *why)
{
    struct peers *w = user;
    char name[HUB_ID_STR_MAX];

    w->n_refused++;
    snprintf(w->refused_why, sizeof(w->refused_why), "%s: %s", hub_peer_id_str(id, name), why);
}

static inline void peers_hub_assigned(void *user, const struct hub_peer_id *id,
                                      const struct capsule_addrs *addrs)
{
    struct peers *w = user;

    w->n_assigned++;
    w->assigned = *addrs;
}

static inline void peers_hub_mtu(void *user, size_t packet_max)
{
    struct peers *w = user;

    w->packet_max = packet_max;
}

static const struct hub_events peers_hub_events = {
    .deliver = peers_hub_deliver,
    .peer_up = peers_hub_up,
    .peer_down = peers_hub_down,
    .refused = peers_hub_refused,
    .contested = peers_hub_contested,
    .assigned = peers_hub_assigned,
    .mtu = peers_hub_mtu,
};

/* --- life ------------------------------------------------------------------------------ */

static inline struct ip_prefix peers_prefix(const char *text)
{
    struct ip_prefix p;

    assert_int_equal(ip_prefix_parse(text, &p), 0);
    return p;
}

static inline void peers_make_edge(struct peers *w, unsigned i)
{
    struct peers_edge *e = &w->edge[i];
    char text[32];

    e->world = w;
    snprintf(text, sizeof(text), "198.18.0.%u", i + 1);
    e->addr = net_addr_lit(text, (uint16_t)(45001 + i));
    snprintf(text, sizeof(text), "edge%u", i);
    e->host = host_new(w->sim, text, PEERS_PKTS);
    e->tls = (struct tls_dummy){.rng = &w->tls_rng, .name = i ? "other.example" : "edge.example"};
    host_add_socket(e->host, &e->addr, link_sink(w->wan.up));
    router_add(&w->wan.at_edge, &e->addr, &e->host->socket[0].sink);
    e->opts = (struct edge_opts){
        .quic = {.tls = &quic_tls_dummy, .tls_ctx = &e->tls, .server_name = "hub.example"},
        .authority = "hub.example:443",
        .want = {peers_prefix("10.200.1.1/30"), peers_prefix("fd00:1::1/64")},
        .n_want = 2,
        .events = &peers_edge_events,
        .user = e,
    };
    host_fill_opts(e->host, &e->opts.quic);
}

/* The line and the machines; options may be changed before the programs start. */
static inline struct peers *peers_new(uint64_t seed, unsigned rtt_ms)
{
    struct peers *w = sim_alloc(sizeof(*w));
    struct link_opts line = {.rate_bps = 50000000, .delay_ns = rtt_ms * NS_PER_MS / 2};

    w->sim = sim_new(seed);
    wan_init(&w->wan, w->sim, "wan", &line, &line);
    sim_rng(w->sim, "tls", &w->tls_rng);
    for (unsigned i = 0; i < PEERS_EDGES; i++)
        peers_make_edge(w, i);
    w->hub_addr = net_addr_lit("198.18.0.100", 443);
    w->hub_host = host_new(w->sim, "hub", PEERS_PKTS);
    w->tls_hub = (struct tls_dummy){.rng = &w->tls_rng, .name = "hub.example"};
    host_add_socket(w->hub_host, &w->hub_addr, link_sink(w->wan.down));
    router_add(&w->wan.at_hub, &w->hub_addr, &w->hub_host->socket[0].sink);
    w->hub_opts = (struct hub_opts){
        .plain = true,
        .quic = {.server = true, .tls = &quic_tls_dummy, .tls_ctx = &w->tls_hub},
        .own = {peers_prefix("10.200.1.2/30"), peers_prefix("fd00:1::2/64")},
        .n_own = 2,
        .events = &peers_hub_events,
        .user = w,
    };
    memset(w->hub_opts.quic.reset_secret, 7, sizeof(w->hub_opts.quic.reset_secret));
    host_fill_opts(w->hub_host, &w->hub_opts.quic);
    return w;
}

static inline void peers_start_hub(struct peers *w)
{
    assert_int_equal(hub_new(&w->hub_opts, &w->hub), 0);
    host_run(w->hub_host, &host_engine_hub, w->hub);
}

/* As kill -9 does: nobody is told. Every packet must have come home. */
static inline void peers_kill_hub(struct peers *w)
{
    host_run(w->hub_host, NULL, NULL);
    hub_free(w->hub);
    w->hub = NULL;
    assert_int_equal(pkt_pool_in_use(w->hub_host->pool), 0);
}

static inline void peers_start_edge(struct peers *w, unsigned i)
{
    struct peers_edge *e = &w->edge[i];

    assert_int_equal(edge_new(&e->opts, &e->edge), 0);
    edge_set_addrs(e->edge, w->sim->now_ns, 0, &e->addr, &w->hub_addr, 0);
    host_run(e->host, &host_engine_edge, e->edge);
}

static inline void peers_kill_edge(struct peers *w, unsigned i)
{
    struct peers_edge *e = &w->edge[i];

    host_run(e->host, NULL, NULL);
    edge_free(e->edge);
    e->edge = NULL;
    assert_int_equal(pkt_pool_in_use(e->host->pool), 0);
}

static inline void peers_free(struct peers *w)
{
    for (unsigned i = 0; i < PEERS_EDGES; i++) {
        peers_kill_edge(w, i);
        host_free(w->edge[i].host);
    }
    peers_kill_hub(w);
    host_free(w->hub_host);
    wan_done(&w->wan);
    sim_free(w->sim);
    free(w);
}

/* --- waiting --------------------------------------------------------------------------- */

static inline bool peers_all_up(void *user)
{
    struct peers_edge *e = user;
    struct peers *w = e->world;

    return edge_state(e->edge) == EDGE_UP && e->n_assigned && e->packet_max && w->ups > w->downs &&
           w->packet_max && w->n_assigned;
}

/* Until edge i is up, has its addresses and both ends know the MTU. */
static inline bool peers_wait_up(struct peers *w, unsigned i, uint64_t limit_ns)
{
    return sim_run_cond(w->sim, limit_ns, peers_all_up, &w->edge[i]);
}

struct peers_state_wait {
    const struct edge *edge;
    enum edge_state state;
};

static inline bool peers_is_state(void *user)
{
    const struct peers_state_wait *s = user;

    return edge_state(s->edge) == s->state;
}

static inline bool peers_wait_state(struct peers *w, unsigned i, enum edge_state state,
                                    uint64_t limit_ns)
{
    struct peers_state_wait s = {w->edge[i].edge, state};

    return sim_run_cond(w->sim, limit_ns, peers_is_state, &s);
}

/* The usual beginning: hub and edge 0, up. */
static inline struct peers *peers_up(uint64_t seed, unsigned rtt_ms)
{
    struct peers *w = peers_new(seed, rtt_ms);

    peers_start_hub(w);
    peers_start_edge(w, 0);
    assert_true(peers_wait_up(w, 0, 5 * NS_PER_S));
    return w;
}

/* --- packets --------------------------------------------------------------------------- */

/* A UDP packet of len bytes (IPv4 or IPv6 as the addresses are) whose payload counts upwards. The
 * UDP checksum is 0 for IPv4 and not computed for IPv6: nothing here looks at it. */
static inline size_t peers_packet(uint8_t *p, const char *src, const char *dst, size_t len, bool df)
{
    struct ip_addr s, d;
    size_t hdr;

    assert_int_equal(ip_addr_parse(src, &s), 0);
    assert_int_equal(ip_addr_parse(dst, &d), 0);
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)i;
    if (s.family == 4) {
        hdr = 20;
        put_ip4(p, (unsigned)len, 17, df ? 0x4000 : 0);
        memcpy(p + 12, s.b, 4);
        memcpy(p + 16, d.b, 4);
        store_be16(p + 10, 0);
        store_be16(p + 10, plain_csum(0, p, 20));
    } else {
        hdr = 40;
        put_ip6(p, (unsigned)len - 40, 17);
        memcpy(p + 8, s.b, 16);
        memcpy(p + 24, d.b, 16);
    }
    store_be16(p + hdr, 1234);
    store_be16(p + hdr + 2, 5678);
    store_be16(p + hdr + 4, (uint16_t)(len - hdr));
    store_be16(p + hdr + 6, 0);
    return len;
}

static inline struct pkt *peers_pkt(struct pkt_pool *pool, const uint8_t *data, size_t len)
{
    struct pkt *pkt = pkt_new(pool, len);

    assert_non_null(pkt);
    memcpy(pkt->data, data, len);
    pkt->len = (uint32_t)len;
    return pkt;
}

/* Into the tunnel at edge i, or at the hub; the wire is not pumped. */
static inline void peers_edge_queue(struct peers *w, unsigned i, const uint8_t *data, size_t len)
{
    struct peers_edge *e = &w->edge[i];

    edge_send(e->edge, w->sim->now_ns, peers_pkt(e->host->pool, data, len));
}

static inline void peers_edge_send(struct peers *w, unsigned i, const uint8_t *data, size_t len)
{
    peers_edge_queue(w, i, data, len);
    host_pump(w->edge[i].host);
}

static inline void peers_hub_send(struct peers *w, const uint8_t *data, size_t len)
{
    hub_send(w->hub, w->sim->now_ns, peers_pkt(w->hub_host->pool, data, len));
    host_pump(w->hub_host);
}

#endif
