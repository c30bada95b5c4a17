#include "sim/host.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"

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

    if (h->pumping)
        return; /* a zero-delay wire has brought the answer within the sending */
    h->pumping = true;
    while (quic_endpoint_tx(h->ep, h->sim->now_ns, &h->tx))
        send_burst(h);
    h->pumping = false;
    deadline_ns = quic_endpoint_deadline_ns(h->ep);
    if (deadline_ns == TIME_NEVER_NS)
        sim_unset(h->sim, &h->timer);
    else
        sim_set(h->sim, &h->timer, deadline_ns);
}

static void timer_fire(struct sim_event *ev)
{
    struct host *h = container_of(ev, struct host, timer);

    quic_endpoint_timeout(h->ep, h->sim->now_ns);
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
    quic_endpoint_rx(h->ep, h->sim->now_ns, &rx);
    sim_dgram_free(h->sim, d);
    host_pump(h);
}

static void start_endpoint(struct host *h, const struct quic_endpoint_opts *opts)
{
    struct quic_endpoint_opts o = *opts;

    o.pool = h->pool;
    o.drops = &h->drops;
    o.random = host_random;
    o.random_user = &h->rng;
    if (quic_endpoint_new(&o, &h->ep))
        abort();
}

struct host *host_new(struct sim *sim, const char *name, const struct quic_endpoint_opts *opts,
                      unsigned n_pkts)
{
    struct host *h = sim_alloc(sizeof(*h));

    h->sim = sim;
    sim_rng(sim, name, &h->rng);
    h->timer.fire = timer_fire;
    h->pool = pkt_pool_new(n_pkts, 0);
    if (!h->pool)
        abort();
    start_endpoint(h, opts);
    return h;
}

void host_restart(struct host *h, const struct quic_endpoint_opts *opts)
{
    quic_endpoint_free(h->ep);
    start_endpoint(h, opts);
    host_pump(h);
}

void host_free(struct host *h)
{
    if (!h)
        return;
    sim_unset(h->sim, &h->timer);
    quic_endpoint_free(h->ep);
    pkt_pool_free(h->pool);
    free(h);
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
