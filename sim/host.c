#include "sim/host.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "peer/edge.h"
#include "peer/hub.h"

enum { IP4_UDP_BYTES = 28, IP6_UDP_BYTES = 48 };

static void host_random(void *user, void *dst, size_t len)
{
    rng_bytes(user, dst, len);
}

static void send_segment(struct host *h, const uint8_t *data, size_t len)
{
    const struct host_socket *s = &h->socket[h->tx.socket];
    struct sim_dgram *d = sim_dgram_new(h->sim, len);

    memcpy(d->data, data, len);
    d->src = s->local;
    d->dst = h->tx.remote;
    d->ecn = h->tx.ecn;
    d->segment = (uint32_t)h->tx.seg_size;
    d->overhead = d->dst.sa.sa_family == AF_INET6 ? IP6_UDP_BYTES : IP4_UDP_BYTES;
    h->tx_dgrams++;
    s->out->put(s->out, d);
}

static void send_burst(struct host *h)
{
    h->tx_bursts++;
    for (size_t at = 0; at < h->tx.len; at += h->tx.seg_size)
        send_segment(h, h->tx.buf + at, MIN(h->tx.seg_size, h->tx.len - at));
}

void host_pump(struct host *h)
{
    uint64_t deadline_ns;

    if (h->pumping || !h->engine)
        return; /* pumping: a zero-delay wire has brought the answer within the sending */
    h->pumping = true;
    while (h->ops->tx(h->engine, h->sim->now_ns, &h->tx))
        send_burst(h);
    h->pumping = false;
    deadline_ns = h->ops->deadline_ns(h->engine);
    if (deadline_ns == TIME_NEVER_NS)
        sim_unset(h->sim, &h->timer);
    else
        sim_set(h->sim, &h->timer, deadline_ns);
}

static void timer_fire(struct sim_event *ev)
{
    struct host *h = container_of(ev, struct host, timer);

    h->ops->timeout(h->engine, h->sim->now_ns);
    host_pump(h);
}

static void socket_put(struct sim_sink *sink, struct sim_dgram *d)
{
    struct host_socket *s = container_of(sink, struct host_socket, sink);
    struct host *h = s->host;
    struct quic_rx rx = {
        .local = s->local,
        .remote = d->src,
        .data = d->data,
        .len = d->len,
        .ecn = d->ecn,
        .socket = (unsigned)(s - h->socket),
    };

    h->rx_dgrams++;
    if (h->engine)
        h->ops->rx(h->engine, h->sim->now_ns, &rx);
    sim_dgram_free(h->sim, d);
    host_pump(h);
}

struct host *host_new(struct sim *sim, const char *name, unsigned n_pkts)
{
    return host_new_large(sim, name, n_pkts, 0);
}

struct host *host_new_large(struct sim *sim, const char *name, unsigned n_pkts, unsigned n_large)
{
    struct host *h = sim_alloc(sizeof(*h));

    h->sim = sim;
    sim_rng(sim, name, &h->rng);
    h->timer.fire = timer_fire;
    h->pool = pkt_pool_new(n_pkts, n_large);
    if (!h->pool)
        abort();
    return h;
}

void host_free(struct host *h)
{
    if (!h)
        return;
    sim_unset(h->sim, &h->timer);
    pkt_pool_free(h->pool);
    free(h);
}

void host_fill_opts(struct host *h, struct quic_endpoint_opts *opts)
{
    opts->pool = h->pool;
    opts->drops = &h->drops;
    opts->random = host_random;
    opts->random_user = &h->rng;
}

void host_run(struct host *h, const struct host_engine *ops, void *engine)
{
    h->ops = ops;
    h->engine = engine;
    sim_unset(h->sim, &h->timer);
    host_pump(h);
}

unsigned host_add_socket(struct host *h, const struct net_addr *local, struct sim_sink *out)
{
    struct host_socket *s = &h->socket[h->n_sockets];

    if (h->n_sockets == HOST_SOCKETS_MAX)
        abort();
    s->sink.put = socket_put;
    s->host = h;
    s->local = *local;
    s->out = out;
    return h->n_sockets++;
}

/* --- engines --------------------------------------------------------------------------- */

static void on_quic_rx(void *engine, uint64_t now_ns, const struct quic_rx *rx)
{
    quic_endpoint_rx(engine, now_ns, rx);
}

static bool on_quic_tx(void *engine, uint64_t now_ns, struct quic_tx *tx)
{
    return quic_endpoint_tx(engine, now_ns, tx);
}

static uint64_t on_quic_deadline(const void *engine)
{
    return quic_endpoint_deadline_ns(engine);
}

static void on_quic_timeout(void *engine, uint64_t now_ns)
{
    quic_endpoint_timeout(engine, now_ns);
}

const struct host_engine host_engine_quic = {on_quic_rx, on_quic_tx, on_quic_deadline,
                                             on_quic_timeout};

static void on_edge_rx(void *engine, uint64_t now_ns, const struct quic_rx *rx)
{
    edge_rx(engine, now_ns, rx);
}

static bool on_edge_tx(void *engine, uint64_t now_ns, struct quic_tx *tx)
{
    return edge_tx(engine, now_ns, tx);
}

static uint64_t on_edge_deadline(const void *engine)
{
    return edge_deadline_ns(engine);
}

static void on_edge_timeout(void *engine, uint64_t now_ns)
{
    edge_timeout(engine, now_ns);
}

const struct host_engine host_engine_edge = {on_edge_rx, on_edge_tx, on_edge_deadline,
                                             on_edge_timeout};

static void on_hub_rx(void *engine, uint64_t now_ns, const struct quic_rx *rx)
{
    hub_rx(engine, now_ns, rx);
}

static bool on_hub_tx(void *engine, uint64_t now_ns, struct quic_tx *tx)
{
    return hub_tx(engine, now_ns, tx);
}

static uint64_t on_hub_deadline(const void *engine)
{
    return hub_deadline_ns(engine);
}

static void on_hub_timeout(void *engine, uint64_t now_ns)
{
    hub_timeout(engine, now_ns);
}

const struct host_engine host_engine_hub = {on_hub_rx, on_hub_tx, on_hub_deadline, on_hub_timeout};
