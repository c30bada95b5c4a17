/* One hub endpoint and a crowd that knocks: clients with endpoints of their own, and strangers who
 * send what they like under any address. A wire of fixed delay, steps of a millisecond. */
#ifndef TESTS_SIM_CROWD_H
#define TESTS_SIM_CROWD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/util.h"
#include "quic/quic.h"
#include "sim/net.h"
#include "sim/tls_dummy.h"

enum { CROWD_MAX = 1000, CROWD_DELAY_MS = 20, CROWD_PAYLOAD = 1472 };

struct crowd;

struct client {
    struct crowd *crowd;
    struct quic_endpoint *ep;
    struct tls_dummy tls;
    struct rng rng;
    struct net_addr addr;
    unsigned ups, downs;
    uint64_t up_ns;
    struct quic_fail_info why;
};

struct flight {
    uint64_t at_ns;
    bool to_hub;
    struct net_addr client;
    size_t len;
    uint8_t data[CROWD_PAYLOAD];
};

struct crowd {
    uint64_t now_ns;
    struct pkt_pool *pool;
    struct drop_counters drops, client_drops; /* the hub's; all clients' */
    struct tls_dummy tls;
    struct rng rng;
    struct quic_endpoint_opts opts;
    struct quic_endpoint *hub;
    struct net_addr hub_addr;
    unsigned ups, downs, refused;
    struct client client[CROWD_MAX];
    unsigned n;
    struct flight *wire; /* in the order of arrival */
    size_t wire_first, wire_n, wire_cap;

    /* What the hub has sent to addresses of no client, and the last of it. */
    uint64_t lost, lost_bytes;
    uint8_t lost_data[CROWD_PAYLOAD];
    size_t lost_len;
};

/* --- what endpoints report ------------------------------------------------------------- */

static inline void crowd_random(void *user, void *dst, size_t len)
{
    rng_bytes(user, dst, len);
}

static inline int on_client_up(struct quic_lane *lane)
{
    struct client *c = quic_path_user(quic_lane_path(lane));

    c->ups++;
    c->up_ns = c->crowd->now_ns;
    return 0;
}

static inline void on_client_down(struct quic_lane *lane, const struct quic_fail_info *why)
{
    struct client *c = quic_path_user(quic_lane_path(lane));

    c->downs++;
    c->why = *why;
}

static inline int on_hub_up(struct quic_lane *lane)
{
    ((struct crowd *)quic_path_user(quic_lane_path(lane)))->ups++;
    return 0;
}

static inline void on_hub_down(struct quic_lane *lane, const struct quic_fail_info *why)
{
    ((struct crowd *)quic_path_user(quic_lane_path(lane)))->downs++;
}

static inline int on_no_stream(struct quic_lane *lane, int64_t *ret_stream, bool *ret_fin,
                               struct iovec *v, int n)
{
    *ret_stream = -1;
    return 0;
}

static inline struct pkt *on_no_dgram(struct quic_lane *lane, size_t max)
{
    return NULL;
}

static const struct quic_path_ops client_ops = {.lane_up = on_client_up,
                                                .lane_down = on_client_down,
                                                .stream_pull = on_no_stream,
                                                .dgram_pull = on_no_dgram};
static const struct quic_path_ops hub_ops = {.lane_up = on_hub_up,
                                             .lane_down = on_hub_down,
                                             .stream_pull = on_no_stream,
                                             .dgram_pull = on_no_dgram};

static inline int on_crowd_accept(void *user, struct quic_lane *lane,
                                  const struct quic_path_ops **ret_ops, void **ret_user)
{
    *ret_ops = &hub_ops;
    *ret_user = user;
    return 0;
}

static inline void on_crowd_refused(void *user, const struct quic_lane *lane,
                                    const struct quic_fail_info *why)
{
    ((struct crowd *)user)->refused++;
}

/* --- life ------------------------------------------------------------------------------ */

static inline void crowd_start_hub(struct crowd *w)
{
    assert_int_equal(quic_endpoint_new(&w->opts, &w->hub), 0);
}

/* The options may be changed before crowd_start_hub(). */
static inline struct crowd *crowd_new(uint64_t seed)
{
    struct crowd *w = calloc(1, sizeof(*w));

    assert_non_null(w);
    rng_seed(&w->rng, seed);
    w->now_ns = 100 * NS_PER_S;
    w->pool = pkt_pool_new(64, 0);
    w->tls = (struct tls_dummy){.rng = &w->rng, .name = "hub.example"};
    w->hub_addr = net_addr_lit("192.0.2.1", 443);
    w->opts = (struct quic_endpoint_opts){.server = true,
                                          .tls = &quic_tls_dummy,
                                          .tls_ctx = &w->tls,
                                          .pool = w->pool,
                                          .drops = &w->drops,
                                          .random = crowd_random,
                                          .random_user = &w->rng,
                                          .accept = on_crowd_accept,
                                          .refused = on_crowd_refused,
                                          .accept_user = w};
    return w;
}

static inline void crowd_free(struct crowd *w)
{
    for (unsigned i = 0; i < w->n; i++)
        quic_endpoint_free(w->client[i].ep);
    quic_endpoint_free(w->hub);
    pkt_pool_free(w->pool);
    free(w->wire);
    free(w);
}

/* A client that begins a handshake now. */
static inline struct client *crowd_join(struct crowd *w, const struct net_addr *addr)
{
    struct client *c = &w->client[w->n];
    struct quic_endpoint_opts o = {.tls = &quic_tls_dummy,
                                   .tls_ctx = &c->tls,
                                   .server_name = "hub.example",
                                   .pool = w->pool,
                                   .drops = &w->client_drops,
                                   .random = crowd_random,
                                   .random_user = &c->rng};
    struct quic_path *path;

    assert_true(w->n < CROWD_MAX);
    c->crowd = w;
    c->addr = *addr;
    rng_seed(&c->rng, 1000 + w->n++);
    c->tls = (struct tls_dummy){.rng = &c->rng, .name = "edge.example"};
    assert_int_equal(quic_endpoint_new(&o, &c->ep), 0);
    path = quic_path_new(c->ep, &client_ops, c);
    assert_int_equal(quic_path_open_lane(path, w->now_ns, addr, &w->hub_addr, 0, NULL), 0);
    return c;
}

/* --- the wire -------------------------------------------------------------------------- */

static inline void crowd_put(struct crowd *w, bool to_hub, const struct net_addr *client,
                             const uint8_t *data, size_t len)
{
    struct flight *f;

    if (w->wire_n == w->wire_cap) {
        w->wire_cap = w->wire_cap ? 2 * w->wire_cap : 256;
        w->wire = realloc(w->wire, w->wire_cap * sizeof(*w->wire));
        assert_non_null(w->wire);
    }
    assert_true(len <= CROWD_PAYLOAD);
    f = &w->wire[w->wire_n++];
    f->at_ns = w->now_ns + CROWD_DELAY_MS * NS_PER_MS;
    f->to_hub = to_hub;
    f->client = *client;
    f->len = len;
    memcpy(f->data, data, len);
}

static inline struct client *client_at(struct crowd *w, const struct net_addr *addr)
{
    for (unsigned i = 0; i < w->n; i++)
        if (net_addr_equal(&w->client[i].addr, addr) && w->client[i].ep)
            return &w->client[i];
    return NULL;
}

/* What a stranger sends arrives at once. */
static inline void crowd_inject(struct crowd *w, const struct net_addr *from, const uint8_t *data,
                                size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);
    struct quic_rx rx = {.local = w->hub_addr, .remote = *from, .data = copy, .len = len};

    memcpy(copy, data, len);
    quic_endpoint_rx(w->hub, w->now_ns, &rx);
    free(copy);
}

static inline void crowd_arrive(struct crowd *w, struct flight *f)
{
    struct client *c = f->to_hub ? NULL : client_at(w, &f->client);
    struct quic_rx rx = {.local = w->hub_addr, .remote = f->client, .data = f->data, .len = f->len};

    if (f->to_hub) {
        quic_endpoint_rx(w->hub, w->now_ns, &rx);
    } else if (c) {
        rx.local = f->client;
        rx.remote = w->hub_addr;
        quic_endpoint_rx(c->ep, w->now_ns, &rx);
    } else {
        w->lost++;
        w->lost_bytes += f->len;
        w->lost_len = f->len;
        memcpy(w->lost_data, f->data, f->len);
    }
}

static inline void crowd_send(struct crowd *w, struct quic_endpoint *ep, struct client *c)
{
    static struct quic_tx tx;

    while (quic_endpoint_tx(ep, w->now_ns, &tx))
        for (size_t at = 0; at < tx.len; at += tx.seg_size)
            crowd_put(w, c, c ? &c->addr : &tx.remote, tx.buf + at, MIN(tx.seg_size, tx.len - at));
}

static inline void crowd_serve(struct crowd *w, struct quic_endpoint *ep, struct client *c)
{
    if (quic_endpoint_deadline_ns(ep) > w->now_ns)
        return;
    quic_endpoint_timeout(ep, w->now_ns);
    crowd_send(w, ep, c);
}

static inline void crowd_run(struct crowd *w, unsigned ms)
{
    for (unsigned i = 0; i < ms; i++, w->now_ns += NS_PER_MS) {
        for (unsigned k = 0; k < w->n; k++)
            if (w->client[k].ep)
                crowd_serve(w, w->client[k].ep, &w->client[k]);
        if (w->hub)
            crowd_serve(w, w->hub, NULL);
        while (w->wire_first < w->wire_n && w->wire[w->wire_first].at_ns <= w->now_ns) {
            struct flight f = w->wire[w->wire_first++];

            if (!f.to_hub || w->hub)
                crowd_arrive(w, &f);
        }
        if (w->wire_first == w->wire_n)
            w->wire_first = w->wire_n = 0;
    }
}

/* --- strangers ------------------------------------------------------------------------- */

/* A true first packet of a client that will not hear the answer. Returns its length. */
static inline size_t crowd_initial(struct crowd *w, uint64_t seed, uint8_t *buf)
{
    static struct quic_tx tx;
    static struct drop_counters drops;
    struct net_addr addr = net_addr_lit("203.0.113.1", 1);
    struct rng rng;
    struct tls_dummy tls = {.rng = &rng, .name = "edge.example"};
    struct quic_endpoint_opts o = {.tls = &quic_tls_dummy,
                                   .tls_ctx = &tls,
                                   .server_name = "hub.example",
                                   .pool = w->pool,
                                   .drops = &drops,
                                   .random = crowd_random,
                                   .random_user = &rng};
    struct client c = {.crowd = w};
    struct quic_endpoint *ep;
    struct quic_path *path;

    rng_seed(&rng, 1000000 + seed);
    assert_int_equal(quic_endpoint_new(&o, &ep), 0);
    path = quic_path_new(ep, &client_ops, &c);
    assert_int_equal(quic_path_open_lane(path, w->now_ns, &addr, &w->hub_addr, 0, NULL), 0);
    assert_true(quic_endpoint_tx(ep, w->now_ns, &tx));
    assert_in_range(tx.len, 1200, CROWD_PAYLOAD);
    memcpy(buf, tx.buf, tx.len);
    quic_endpoint_free(ep);
    return tx.len;
}

static inline struct quic_endpoint_stats crowd_stats(const struct crowd *w)
{
    struct quic_endpoint_stats s;

    quic_endpoint_stats(w->hub, &s);
    return s;
}

#endif
