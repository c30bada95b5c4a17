#include "sim/cbr.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "packet/ip.h"
#include "sim/hash.h"
#include "sim/tcp_packet.h"

enum { HEAD_BYTES = 16 }; /* number and time of sending */

static void timer_fire(struct sim_event *ev)
{
    struct cbr *c = container_of(ev, struct cbr, timer);
    uint8_t payload[SIM_DGRAM_POOLED] = {0};

    memcpy(payload, &c->next_seq, 8);
    memcpy(payload + 8, &c->sim->now_ns, 8);
    c->next_seq++;
    c->stats.tx++;
    sim_set(c->sim, &c->timer, c->sim->now_ns + c->opts.interval_ns);
    c->out->put(c->out, udp_packet_make(c->sim, &c->opts.src, &c->opts.dst, c->ip_id++, payload,
                                        c->opts.payload_bytes));
}

static void count_order(struct cbr *c, uint64_t seq)
{
    if (seq >= c->rx_next_seq) {
        uint64_t shift = seq + 1 - c->rx_next_seq;

        c->rx_window = (shift < 64 ? c->rx_window << shift : 0) | 1;
        c->rx_next_seq = seq + 1;
        return;
    }
    uint64_t back = c->rx_next_seq - 1 - seq;

    if (back < 64 && (c->rx_window >> back & 1))
        c->stats.duplicated++;
    else
        c->stats.reordered++;
    if (back < 64)
        c->rx_window |= 1ull << back;
}

static void cbr_put(struct sim_sink *sink, struct sim_dgram *d)
{
    struct cbr *c = container_of(sink, struct cbr, sink);
    uint64_t now_ns = c->sim->now_ns;
    enum drop_reason why;
    struct ip_view v;

    if (ip_view_parse(d->data, d->len, &v, &why) || v.proto != IP_PROTO_UDP ||
        v.total_len != v.l4_off + 8 + c->opts.payload_bytes ||
        v.dport != net_addr_port(&c->opts.dst)) {
        c->stats.rx_bad++;
    } else {
        const uint8_t *payload = d->data + v.l4_off + 8;

        c->stats.rx++;
        count_order(c, hash_load(payload));
        hist_add(&c->stats.delay, now_ns - hash_load(payload + 8));
        if (c->last_rx_ns)
            c->stats.gap_max_ns = MAX(c->stats.gap_max_ns, now_ns - c->last_rx_ns);
        c->last_rx_ns = now_ns;
    }
    sim_dgram_free(c->sim, d);
}

struct cbr *cbr_new(struct sim *sim, const struct cbr_opts *opts, struct sim_sink *out)
{
    struct cbr *c = sim_alloc(sizeof(*c));

    c->sim = sim;
    c->opts = *opts;
    c->out = out;
    if (!c->opts.interval_ns)
        c->opts.interval_ns = 20 * NS_PER_MS;
    if (!c->opts.payload_bytes)
        c->opts.payload_bytes = 160;
    if (c->opts.payload_bytes < HEAD_BYTES || c->opts.payload_bytes > SIM_DGRAM_POOLED)
        abort();
    c->sink.put = cbr_put;
    c->timer.fire = timer_fire;
    return c;
}

void cbr_free(struct cbr *c)
{
    if (!c)
        return;
    cbr_stop(c);
    free(c);
}

void cbr_start(struct cbr *c)
{
    sim_set(c->sim, &c->timer, c->sim->now_ns);
}

void cbr_stop(struct cbr *c)
{
    sim_unset(c->sim, &c->timer);
}

void cbr_stats_reset(struct cbr *c)
{
    memset(&c->stats, 0, sizeof(c->stats));
    c->last_rx_ns = 0;
}

/* The IPv4 addresses change places, which leaves every checksum right; both ports of a flow are
 * the same. */
static void echo_put(struct sim_sink *sink, struct sim_dgram *d)
{
    struct echo *e = container_of(sink, struct echo, sink);
    struct net_addr src = d->src;
    uint8_t a[4];

    memcpy(a, d->data + 12, 4);
    memcpy(d->data + 12, d->data + 16, 4);
    memcpy(d->data + 16, a, 4);
    d->src = d->dst;
    d->dst = src;
    e->out->put(e->out, d);
}

void echo_init(struct echo *e, struct sim_sink *out)
{
    *e = (struct echo){.sink.put = echo_put, .out = out};
}
