/* The next packet of a lane. In this order: stream data (capsules, rare and small), a path MTU
 * probe, datagrams, and what ngtcp2 has of its own (ACK, handshake, PTO probe).
 *
 * ngtcp2 takes an empty write for "the application has nothing to send" and stops growing its
 * estimates, so that one is only made when there is no datagram; acknowledgements ride along
 * with datagrams, or come out by themselves in the packet that the datagram was offered for,
 * which then stays in `stash` for the next one. */
#include "quic/lane.h"

enum { STREAM_VECS = 8 };

struct packet {
    uint8_t *buf;
    size_t cap;
    ngtcp2_path_storage *ps;
    ngtcp2_pkt_info pi;
};

/* Answers of the helpers below besides a length: */
enum { TX_NOTHING = 0, TX_FAILED = -1, TX_BLOCKED = -2 };

static ssize_t fatal(struct quic_lane *lane, ngtcp2_ssize liberr)
{
    lane_fail_liberr(lane, (int)liberr);
    return TX_FAILED;
}

/* One packet with stream data. TX_NOTHING when the layer above has none (left). */
static ssize_t write_stream(struct quic_lane *lane, struct packet *p)
{
    const struct quic_path_ops *ops = lane->path->ops;

    while (lane->stream_work) {
        struct iovec v[STREAM_VECS];
        int64_t stream = -1;
        bool fin = false;
        ngtcp2_ssize taken = -1, n;
        int cnt = ops->stream_pull(lane, &stream, &fin, v, STREAM_VECS);

        if (cnt < 0)
            return fatal(lane, NGTCP2_ERR_CALLBACK_FAILURE);
        if (stream < 0) {
            lane->stream_work = false;
            break;
        }
        n = ngtcp2_conn_writev_stream(lane->conn, &p->ps->path, &p->pi, p->buf, p->cap, &taken,
                                      fin ? NGTCP2_WRITE_STREAM_FLAG_FIN : 0, stream,
                                      (const ngtcp2_vec *)(const void *)v, (size_t)cnt,
                                      lane->ep->now_ns);
        if (n == NGTCP2_ERR_STREAM_DATA_BLOCKED) {
            ops->stream_blocked(lane, stream);
            continue;
        }
        if (n == NGTCP2_ERR_STREAM_SHUT_WR || n == NGTCP2_ERR_STREAM_NOT_FOUND) {
            ops->stream_shut(lane, stream);
            continue;
        }
        if (n < 0)
            return fatal(lane, n);
        if (taken >= 0 && ops->stream_wrote(lane, stream, (size_t)taken))
            return fatal(lane, NGTCP2_ERR_CALLBACK_FAILURE);
        return n ? n : TX_BLOCKED;
    }
    return TX_NOTHING;
}

static ssize_t write_datagram(struct quic_lane *lane, struct packet *p, const ngtcp2_vec *v,
                              size_t cnt, uint64_t id, int *accepted)
{
    return ngtcp2_conn_writev_datagram(lane->conn, &p->ps->path, &p->pi, p->buf, p->cap, accepted,
                                       0, id, v, cnt, lane->ep->now_ns);
}

/* Is a probe of that size to wait for acknowledgements, and datagrams behind it? They would
 * otherwise use up what becomes free of a small window, and the search would never go on. One that
 * does not fit into the whole window is made when that has grown. */
static bool probe_waits(const struct quic_lane *lane, size_t want)
{
    ngtcp2_conn_info info;

    ngtcp2_conn_get_conn_info(lane->conn, &info);
    return want <= info.cwnd;
}

/* A probe of the size that the path MTU search wants. The packet number takes one to four bytes,
 * so the payload that makes the packet exactly that size is found by trying. */
static ssize_t write_probe(struct quic_lane *lane, struct packet *p)
{
    static uint8_t payload[QUIC_UDP_PAYLOAD_MAX];
    uint64_t now_ns = lane->ep->now_ns;
    size_t want = pmtu_want_probe(&lane->pmtu, now_ns);
    struct packet probe = *p;

    if (!want || want > p->cap || !lane->path->ops->dgram_probe)
        return TX_NOTHING;
    if (ngtcp2_conn_get_cwnd_left(lane->conn) < want)
        return probe_waits(lane, want) ? TX_BLOCKED : TX_NOTHING;
    probe.cap = want;
    for (size_t overhead = QUIC_DGRAM_OVERHEAD - 3; overhead <= QUIC_DGRAM_OVERHEAD; overhead++) {
        ngtcp2_vec v = {.base = payload, .len = want - overhead};
        int accepted = 0;
        ngtcp2_ssize n;

        if (!lane->path->ops->dgram_probe(lane, payload, v.len))
            return TX_NOTHING;
        n = write_datagram(lane, &probe, &v, 1, DGRAM_ID_PROBE | dgram_id(0, want), &accepted);
        if (n < 0)
            return n == NGTCP2_ERR_INVALID_ARGUMENT ? TX_NOTHING : fatal(lane, n);
        p->pi = probe.pi;
        lane->probe_out = accepted;
        if (accepted)
            pmtu_on_probe_sent(&lane->pmtu, now_ns, want, ngtcp2_conn_get_pto(lane->conn));
        if (n > 0)
            return n;
    }
    return TX_NOTHING;
}

/* A lane that gets no answers sends so much all the same: less is no way to carry anything on a
 * line that loses much, where many a lane waits in vain for an answer. */
enum { OVERDUE_BYTES = 3 * 1200 };

/* Whether there is room in the congestion window. A lane that gets no answers keeps half of it
 * free: what it sends is most likely lost, and the probes that show when the way is back need some.
 */
static bool has_window(struct quic_lane *lane)
{
    uint64_t left = ngtcp2_conn_get_cwnd_left(lane->conn);
    ngtcp2_conn_info info;

    if (!left || !path_lane_is_overdue(lane))
        return left;
    ngtcp2_conn_get_conn_info(lane->conn, &info);
    return left > info.cwnd / 2 || info.bytes_in_flight < OVERDUE_BYTES;
}

/* True when the lane may put one more datagram into flight: nothing is wrong with it, and its own
 * congestion control, the path's bound and the turn among the lanes permit it. */
static bool may_pull(struct quic_lane *lane)
{
    if (path_lane_yields(lane->path, lane) || !has_window(lane)) {
        path_turn_pass(lane->path, lane);
        return false;
    }
    return path_turn_take(lane->path, lane);
}

void lane_return_stash(struct quic_lane *lane, enum drop_reason why)
{
    const struct quic_path_ops *ops = lane_listener(lane);
    struct pkt *pkt = lane->stash;

    lane->stash = NULL;
    if (!pkt)
        return;
    if (ops && ops->dgram_unsent) {
        ops->dgram_unsent(lane, pkt);
    } else {
        drop_count(lane->ep->opts.drops, why);
        pkt_free(lane->ep->opts.pool, pkt);
    }
}

static void stash_sent(struct quic_lane *lane, uint64_t id)
{
    const struct quic_path_ops *ops = lane->path->ops;
    struct pkt *pkt = lane->stash;

    lane->stats.dgram_tx++;
    lane->stash = NULL;
    if (ops->dgram_sent)
        ops->dgram_sent(lane, id, pkt);
    else
        pkt_free(lane->ep->opts.pool, pkt);
}

static ssize_t write_next_datagram(struct quic_lane *lane, struct packet *p)
{
    struct quic_path *path = lane->path;
    size_t max = quic_lane_dgram_max(lane);
    int accepted = 0;
    ngtcp2_vec v[2];
    ngtcp2_ssize n;
    size_t len;

    if (!lane->stash) {
        if (!may_pull(lane))
            return TX_BLOCKED;
        lane->stash = path->ops->dgram_pull(lane, max);
        if (!lane->stash) {
            lane->dgram_work = false;
            path_turn_clear(path);
            return TX_NOTHING;
        }
    }
    len = pkt_total(lane->stash);
    if (len > max) { /* the path has shrunk since the pull */
        lane_return_stash(lane, DROP_TOO_BIG);
        return write_next_datagram(lane, p);
    }
    v[0] = (ngtcp2_vec){.base = lane->stash->data, .len = lane->stash->len};
    v[1] =
        (ngtcp2_vec){.base = (uint8_t *)(uintptr_t)lane->stash->rest, .len = lane->stash->rest_len};
    n = write_datagram(lane, p, v, v[1].len ? 2 : 1,
                       dgram_id(path->next_dgram_id, len + QUIC_DGRAM_OVERHEAD), &accepted);
    if (n < 0)
        return fatal(lane, n);
    if (accepted) {
        path_on_sent(path, lane, path->next_dgram_id, (size_t)n);
        stash_sent(lane, path->next_dgram_id++);
    }
    if (!n)
        path_turn_pass(path, lane);
    return n ? n : TX_BLOCKED;
}

static ssize_t write_own(struct quic_lane *lane, struct packet *p)
{
    ngtcp2_ssize n =
        ngtcp2_conn_write_pkt(lane->conn, &p->ps->path, &p->pi, p->buf, p->cap, lane->ep->now_ns);

    if (n < 0)
        return fatal(lane, n);
    if (!n)
        lane->write_due = false;
    return n;
}

static ssize_t write_up(struct quic_lane *lane, struct packet *p, size_t cap)
{
    ssize_t n = write_stream(lane, p);

    if (n == TX_BLOCKED)
        path_turn_pass(lane->path, lane);
    if (n)
        return n;
    p->cap = cap;
    n = write_probe(lane, p);
    if (n == TX_BLOCKED)
        path_turn_pass(lane->path, lane);
    else if (n)
        return n;
    p->cap = lane->pmtu.size;
    if (n != TX_BLOCKED && (lane->dgram_work || lane->stash)) {
        n = write_next_datagram(lane, p);
        if (n != TX_NOTHING && n != TX_BLOCKED)
            return n;
    }
    return lane->write_due ? write_own(lane, p) : TX_NOTHING;
}

ssize_t lane_write(struct quic_lane *lane, uint8_t *buf, size_t cap, ngtcp2_path_storage *ps,
                   uint8_t *ret_ecn)
{
    struct packet p = {.buf = buf, .cap = MIN(cap, lane->pmtu.size), .ps = ps};
    ssize_t n;

    lane->probe_out = false;
    if (lane->state == LANE_HANDSHAKE || !lane->path || lane->path->closed)
        n = write_own(lane, &p);
    else
        n = write_up(lane, &p, cap);
    if (n == TX_BLOCKED)
        n = 0;
    if (n > 0) {
        *ret_ecn = p.pi.ecn;
        lane->stats.udp_tx++;
        lane->stats.udp_tx_bytes += (size_t)n;
    }
    return n;
}
