#include "masque/internal.h"

#include <stdlib.h>
#include <string.h>

static void masque_free(struct masque *m)
{
    tunnel_waits_no_more(m);
    datagrams_drop_all_early(m);
    if (m->h3)
        nghttp3_conn_del(m->h3);
    outbuf_done(&m->out);
    for (int i = 0; i < REQUEST_STREAMS_MAX; i++)
        http_free_request(&m->reqs[i]);
    capsule_parser_done(&m->parser);
    free(m);
}

static int on_lane_up(struct quic_lane *lane)
{
    struct masque *m = calloc(1, sizeof(*m));

    if (!m)
        return -1;
    m->side = quic_path_user(quic_lane_path(lane));
    m->lane = lane;
    m->stream = m->ended_stream = -1;
    for (int i = 0; i < REQUEST_STREAMS_MAX; i++)
        m->reqs[i].id = -1;
    m->state = masque_is_server(m) ? MASQUE_IDLE : MASQUE_WAIT_SETTINGS;
    capsule_parser_init(&m->parser);
    idset_init(&m->request_ids);
    quic_lane_set_user(lane, m);
    tunnel_waits(m);
    if (http_new(m))
        return -1;
    quic_lane_kick(lane);
    return 0;
}

static void on_mtu_changed(struct quic_lane *lane, size_t dgram_max)
{
    if (masque_of(lane))
        tunnel_tell_packet_max(masque_of(lane));
}

static void on_lane_suspect(struct quic_lane *lane)
{
    struct masque *m = masque_of(lane);

    if (m && m->state == MASQUE_OPEN && m->packed && m->side->ops->suspect)
        m->side->ops->suspect(m);
}

static void on_lane_trusted(struct quic_lane *lane)
{
    struct masque *m = masque_of(lane);

    if (m && m->state == MASQUE_OPEN && m->packed && m->side->ops->trusted)
        m->side->ops->trusted(m);
}

static void on_lane_down(struct quic_lane *lane, const struct quic_fail_info *why)
{
    struct masque *m = masque_of(lane);
    struct masque_side *side = quic_path_user(quic_lane_path(lane));

    if (!m) { /* the handshake failed */
        if (side->lane_failed)
            side->lane_failed(side, lane, why);
        return;
    }
    if (m->state != MASQUE_ENDED) {
        m->state = MASQUE_ENDED;
        side->ops->down(m, why);
    }
    quic_lane_set_user(lane, NULL);
    masque_free(m);
}

static ssize_t on_stream_rx(struct quic_lane *lane, int64_t stream, const uint8_t *data, size_t len,
                            bool fin)
{
    struct masque *m = masque_of(lane);
    nghttp3_ssize n;

    if (!m)
        return (ssize_t)len;
    if (!masque_is_server(m) && (stream & 3) == 3)
        settings_tap_data(&m->settings, stream, data, len);
    n = nghttp3_conn_read_stream(m->h3, stream, data, len, fin);
    return n < 0 ? http_failed(m, (int)n) : (ssize_t)n;
}

static int on_stream_acked(struct quic_lane *lane, int64_t stream, uint64_t bytes)
{
    struct masque *m = masque_of(lane);
    int rv = m ? nghttp3_conn_add_ack_offset(m->h3, stream, bytes) : 0;

    return rv ? http_failed(m, rv) : 0;
}

static int on_stream_closed(struct quic_lane *lane, int64_t stream, uint64_t app_error)
{
    struct masque *m = masque_of(lane);
    int rv;

    if (!m)
        return 0;
    rv = nghttp3_conn_close_stream(m->h3, stream, app_error);
    if (stream == m->stream)
        tunnel_ended(m, QUIC_FAIL_PEER, app_error, "the request stream was closed");
    if (masque_is_server(m) && !(stream & 3))
        http_forget_request(m, stream);
    return rv && rv != NGHTTP3_ERR_STREAM_NOT_FOUND ? http_failed(m, rv) : 0;
}

/* The peer has aborted what it sends on a stream. Of the tunnel's that is the end; of a request
 * that has no answer yet it is one that never will. */
static int on_stream_reset(struct quic_lane *lane, int64_t stream, uint64_t app_error)
{
    struct masque *m = masque_of(lane);
    const struct req_stream *rs;
    int rv;

    if (!m)
        return 0;
    rv = nghttp3_conn_shutdown_stream_read(m->h3, stream);
    rs = http_find_request(m, stream);
    if (stream == m->stream || (masque_is_server(m) && !(stream & 3) && !(rs && rs->answered)))
        quic_lane_shutdown_stream(lane, stream, MASQUE_H3_REQUEST_CANCELLED);
    if (stream == m->stream)
        tunnel_ended(m, QUIC_FAIL_PEER, app_error, "the peer reset the request stream");
    return rv ? http_failed(m, rv) : 0;
}

static int on_stream_stop_sending(struct quic_lane *lane, int64_t stream, uint64_t app_error)
{
    struct masque *m = masque_of(lane);
    int rv = m ? nghttp3_conn_shutdown_stream_read(m->h3, stream) : 0;

    return rv ? http_failed(m, rv) : 0;
}

static int on_stream_writable(struct quic_lane *lane, int64_t stream)
{
    struct masque *m = masque_of(lane);

    if (m) {
        nghttp3_conn_unblock_stream(m->h3, stream);
        quic_lane_kick(lane);
    }
    return 0;
}

static int on_stream_pull(struct quic_lane *lane, int64_t *ret_stream, bool *ret_fin,
                          struct iovec *v, int n)
{
    struct masque *m = masque_of(lane);
    int fin = 0;
    nghttp3_ssize cnt = 0;

    *ret_stream = -1;
    if (!m)
        return 0;
    /* No stream can also mean that the one whose turn it was has turned out to have nothing; the
     * library has then put it aside and goes on to the next with the next call. */
    for (int i = 0; i <= REQUEST_STREAMS_MAX; i++) {
        cnt = nghttp3_conn_writev_stream(m->h3, ret_stream, &fin, (nghttp3_vec *)(void *)v,
                                         (size_t)n);
        if (cnt || *ret_stream >= 0)
            break;
    }
    *ret_fin = fin;
    return cnt < 0 ? http_failed(m, (int)cnt) : (int)cnt;
}

static int on_stream_wrote(struct quic_lane *lane, int64_t stream, size_t bytes)
{
    struct masque *m = masque_of(lane);
    int rv = m ? nghttp3_conn_add_write_offset(m->h3, stream, bytes) : 0;

    return rv ? http_failed(m, rv) : 0;
}

static void on_stream_blocked(struct quic_lane *lane, int64_t stream)
{
    if (masque_of(lane))
        nghttp3_conn_block_stream(masque_of(lane)->h3, stream);
}

/* The peer reads no more of a stream (it has sent STOP_SENDING). The tunnel cannot be without its
 * capsules. */
static void on_stream_shut(struct quic_lane *lane, int64_t stream)
{
    struct masque *m = masque_of(lane);

    if (!m)
        return;
    nghttp3_conn_shutdown_stream_write(m->h3, stream);
    if (stream == m->stream)
        tunnel_abort(m, QUIC_FAIL_PEER, MASQUE_H3_REQUEST_CANCELLED, "the peer stopped the stream");
}

const struct quic_path_ops masque_path_ops = {
    .lane_up = on_lane_up,
    .lane_down = on_lane_down,
    .stream_rx = on_stream_rx,
    .stream_acked = on_stream_acked,
    .stream_closed = on_stream_closed,
    .stream_reset = on_stream_reset,
    .stream_stop_sending = on_stream_stop_sending,
    .stream_writable = on_stream_writable,
    .stream_pull = on_stream_pull,
    .stream_wrote = on_stream_wrote,
    .stream_blocked = on_stream_blocked,
    .stream_shut = on_stream_shut,
    .dgram_rx = datagrams_on_rx,
    .dgram_pull = datagrams_on_pull,
    .dgram_sent = datagrams_on_sent,
    .dgram_unsent = datagrams_on_unsent,
    .dgram_acked = datagrams_on_acked,
    .dgram_lost = datagrams_on_lost,
    .lane_suspect = on_lane_suspect,
    .lane_trusted = on_lane_trusted,
    .dgram_probe = datagrams_on_probe,
    .mtu_changed = on_mtu_changed,
};

/* --- what the layer above asks --------------------------------------------------------- */

struct masque_side *masque_side_of(const struct masque *m)
{
    return m->side;
}

struct quic_lane *masque_lane(const struct masque *m)
{
    return m->lane;
}

void *masque_user(const struct masque *m)
{
    return m->user;
}

void masque_set_user(struct masque *m, void *user)
{
    m->user = user;
}

bool masque_is_open(const struct masque *m)
{
    return m->state == MASQUE_OPEN;
}

void masque_set_packed(struct masque *m, const uint8_t epoch[MASQUE_EPOCH])
{
    m->packed = true;
    memcpy(m->epoch, epoch, MASQUE_EPOCH);
}

bool masque_is_packed(const struct masque *m, const uint8_t **ret_epoch)
{
    if (m->packed)
        *ret_epoch = m->epoch;
    return m->packed;
}

void masque_kick(struct masque *m)
{
    quic_path_kick(quic_lane_path(m->lane));
}

size_t masque_packet_max(const struct masque *m)
{
    size_t dgram = quic_lane_dgram_max(m->lane), prefix;

    if (m->state != MASQUE_OPEN)
        return 0;
    prefix = datagrams_prefix_len(m);
    return dgram > prefix ? dgram - prefix : 0;
}

void masque_close(struct masque *m, uint64_t h3_error, const char *reason)
{
    quic_lane_close(m->lane, h3_error, reason);
}
