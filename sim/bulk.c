#include "sim/bulk.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "sim/hash.h"

/* A datagram: kind, number of the pull, time of the pull. */
enum { KIND_DATA = 0, KIND_PROBE = 1 };

static struct bulk *of(const struct quic_lane *lane)
{
    return quic_path_user(quic_lane_path(lane));
}

/* --- struct quic_path_ops -------------------------------------------------------------- */

static int on_lane_up(struct quic_lane *lane)
{
    struct bulk *b = of(lane);

    b->lanes_up++;
    bulk_add_path(b, quic_lane_path(lane));
    if (b->to_send)
        quic_path_kick(quic_lane_path(lane));
    return 0;
}

/* A hub's path ends with its lane; an edge's stays for the next one. */
static void on_lane_down(struct quic_lane *lane, const struct quic_fail_info *why)
{
    struct bulk *b = of(lane);

    b->lanes_down++;
    b->why = *why;
    b->last_down_ns = b->sim->now_ns;
    for (unsigned i = 0; i < b->n_paths && quic_lane_is_server(lane); i++)
        if (b->path[i] == quic_lane_path(lane))
            b->path[i] = b->path[--b->n_paths];
}

static void count_bin(struct bulk *b, size_t len)
{
    size_t i = (b->sim->now_ns - SIM_START_NS) / (BULK_BIN_MS * NS_PER_MS);

    if (i >= b->n_bins) {
        size_t n = MAX(2 * b->n_bins, i + 64);

        b->bin = realloc(b->bin, n * sizeof(*b->bin));
        if (!b->bin)
            abort();
        memset(b->bin + b->n_bins, 0, (n - b->n_bins) * sizeof(*b->bin));
        b->n_bins = n;
    }
    b->bin[i] += len;
}

static void on_dgram(struct quic_lane *lane, const uint8_t *data, size_t len)
{
    struct bulk *b = of(lane);
    uint64_t seq;

    if (len < BULK_HEAD_BYTES || data[0] == KIND_PROBE) {
        b->stats.probes++;
        return;
    }
    seq = hash_load(data + 1);
    b->stats.rx++;
    b->stats.rx_bytes += len;
    b->stats.rx_reordered += seq < b->rx_next_seq;
    b->rx_next_seq = MAX(b->rx_next_seq, seq + 1);
    hist_add(&b->stats.delay, b->sim->now_ns - hash_load(data + 9));
    count_bin(b, len);
}

static struct pkt *on_pull(struct quic_lane *lane, size_t max)
{
    struct bulk *b = of(lane);
    size_t len = b->dgram_bytes ? b->dgram_bytes : max;
    struct pkt *p;

    if (!b->to_send || len > max || len < BULK_HEAD_BYTES)
        return NULL;
    p = pkt_new(b->host->pool, len);
    if (!p)
        return NULL;
    p->len = (uint32_t)len;
    memset(p->data, 0, len);
    memcpy(p->data + 1, &b->next_seq, 8);
    memcpy(p->data + 9, &b->sim->now_ns, 8);
    b->next_seq++;
    b->stats.tx++;
    if (b->to_send != UINT64_MAX)
        b->to_send--;
    return p;
}

static bool on_probe(struct quic_lane *lane, uint8_t *buf, size_t len)
{
    memset(buf, 0, len);
    buf[0] = KIND_PROBE;
    return true;
}

static void on_acked(struct quic_lane *lane, uint64_t id)
{
    of(lane)->stats.acked++;
}

static void on_lost(struct quic_lane *lane, uint64_t id)
{
    of(lane)->stats.lost++;
}

static ssize_t on_stream(struct quic_lane *lane, int64_t stream, const uint8_t *data, size_t len,
                         bool fin)
{
    return (ssize_t)len;
}

static int on_stream_acked(struct quic_lane *lane, int64_t stream, uint64_t bytes)
{
    return 0;
}

static int on_stream_error(struct quic_lane *lane, int64_t stream, uint64_t app_error)
{
    return 0;
}

static int on_stream_writable(struct quic_lane *lane, int64_t stream)
{
    return 0;
}

static int on_stream_pull(struct quic_lane *lane, int64_t *ret_stream, bool *ret_fin,
                          struct iovec *v, int n)
{
    *ret_stream = -1;
    return 0;
}

static int on_stream_wrote(struct quic_lane *lane, int64_t stream, size_t bytes)
{
    return 0;
}

static void on_stream_end(struct quic_lane *lane, int64_t stream)
{
}

const struct quic_path_ops bulk_ops = {
    .lane_up = on_lane_up,
    .lane_down = on_lane_down,
    .stream_rx = on_stream,
    .stream_acked = on_stream_acked,
    .stream_closed = on_stream_error,
    .stream_reset = on_stream_error,
    .stream_stop_sending = on_stream_error,
    .stream_writable = on_stream_writable,
    .stream_pull = on_stream_pull,
    .stream_wrote = on_stream_wrote,
    .stream_blocked = on_stream_end,
    .stream_shut = on_stream_end,
    .dgram_rx = on_dgram,
    .dgram_pull = on_pull,
    .dgram_acked = on_acked,
    .dgram_lost = on_lost,
    .dgram_probe = on_probe,
};

/* --- life ------------------------------------------------------------------------------ */

void bulk_init(struct bulk *b, struct sim *sim, struct host *host)
{
    *b = (struct bulk){.sim = sim, .host = host};
    bulk_stats_reset(b);
}

void bulk_done(struct bulk *b)
{
    free(b->bin);
    b->bin = NULL;
    b->n_bins = 0;
}

void bulk_add_path(struct bulk *b, struct quic_path *path)
{
    for (unsigned i = 0; i < b->n_paths; i++)
        if (b->path[i] == path)
            return;
    if (b->n_paths < QUIC_LANES_MAX)
        b->path[b->n_paths++] = path;
}

void bulk_send(struct bulk *b, uint64_t n)
{
    b->to_send = n == UINT64_MAX ? n : b->to_send + n;
    for (unsigned i = 0; i < b->n_paths; i++)
        quic_path_kick(b->path[i]);
    host_pump(b->host);
}

void bulk_stop(struct bulk *b)
{
    b->to_send = 0;
}

/* --- what was measured ----------------------------------------------------------------- */

void bulk_stats_reset(struct bulk *b)
{
    memset(&b->stats, 0, sizeof(b->stats));
    b->stats.since_ns = b->sim->now_ns;
}

double bulk_goodput_bps(const struct bulk *b)
{
    uint64_t ns = b->sim->now_ns - b->stats.since_ns;

    return ns ? (double)b->stats.rx_bytes * 8e9 / (double)ns : 0;
}

double bulk_goodput_between_bps(const struct bulk *b, double from_s, double to_s)
{
    size_t from = (size_t)(from_s * 1000 / BULK_BIN_MS), to = (size_t)(to_s * 1000 / BULK_BIN_MS);
    uint64_t bytes = 0;

    for (size_t i = from; i < to && i < b->n_bins; i++)
        bytes += b->bin[i];
    return to > from ? (double)bytes * 8000 / (double)(to - from) / BULK_BIN_MS : 0;
}

double bulk_ceiling(uint32_t mtu)
{
    return (double)(mtu - 28 - QUIC_DGRAM_OVERHEAD) / (double)mtu;
}
