/* What the layer above asks of a lane. */
#include "quic/lane.h"

#include <errno.h>

struct quic_path *quic_lane_path(const struct quic_lane *lane)
{
    return lane->path;
}

void *quic_lane_user(const struct quic_lane *lane)
{
    return lane->user;
}

void quic_lane_set_user(struct quic_lane *lane, void *user)
{
    lane->user = user;
}

bool quic_lane_is_server(const struct quic_lane *lane)
{
    return lane->ep->opts.server;
}

const char *quic_lane_peer_name(const struct quic_lane *lane)
{
    return lane->tls ? lane->ep->opts.tls->peer_name(lane->tls) : "";
}

int quic_lane_peer_cert(const struct quic_lane *lane, struct quic_tls_cert_info *ret)
{
    const struct quic_tls_ops *tls = lane->ep->opts.tls;

    return lane->tls && tls->peer_cert ? tls->peer_cert(lane->tls, ret) : -ENOENT;
}

int64_t quic_lane_peer_until_s(const struct quic_lane *lane)
{
    const struct quic_tls_ops *tls = lane->ep->opts.tls;

    return lane->tls && tls->peer_until_s ? tls->peer_until_s(lane->tls) : 0;
}

enum quic_fail quic_lane_recheck(const struct quic_lane *lane)
{
    return lane->ep->opts.tls->recheck(lane->tls, lane->ep->opts.tls_ctx);
}

const struct net_addr *quic_lane_remote(const struct quic_lane *lane)
{
    return &lane->remote;
}

uint64_t quic_lane_now_ns(const struct quic_lane *lane)
{
    return lane->ep->now_ns;
}

void quic_lane_kick(struct quic_lane *lane)
{
    lane->stream_work = true;
    endpoint_ready(lane->ep, lane);
}

bool quic_lane_is_suspect(const struct quic_lane *lane)
{
    return lane->suspect;
}

int64_t quic_lane_open_bidi(struct quic_lane *lane)
{
    int64_t id;

    return ngtcp2_conn_open_bidi_stream(lane->conn, &id, NULL) ? -EAGAIN : id;
}

int64_t quic_lane_open_uni(struct quic_lane *lane)
{
    int64_t id;

    return ngtcp2_conn_open_uni_stream(lane->conn, &id, NULL) ? -EAGAIN : id;
}

int quic_lane_update_keys(struct quic_lane *lane)
{
    if (lane->state != LANE_UP)
        return -EAGAIN;
    return ngtcp2_conn_initiate_key_update(lane->conn, lane->ep->now_ns) ? -EAGAIN : 0;
}

void quic_lane_shutdown_stream(struct quic_lane *lane, int64_t stream, uint64_t app_error)
{
    ngtcp2_conn_shutdown_stream(lane->conn, 0, stream, app_error);
    lane->write_due = true;
    endpoint_ready(lane->ep, lane);
}

void quic_lane_stop_reading(struct quic_lane *lane, int64_t stream, uint64_t app_error)
{
    ngtcp2_conn_shutdown_stream_read(lane->conn, 0, stream, app_error);
    lane->write_due = true;
    endpoint_ready(lane->ep, lane);
}

void quic_lane_consumed(struct quic_lane *lane, int64_t stream, size_t bytes)
{
    ngtcp2_conn_extend_max_stream_offset(lane->conn, stream, bytes);
    ngtcp2_conn_extend_max_offset(lane->conn, bytes);
}

void quic_lane_extend_streams(struct quic_lane *lane)
{
    ngtcp2_conn_extend_max_streams_bidi(lane->conn, 1);
}

size_t quic_lane_dgram_max(const struct quic_lane *lane)
{
    const ngtcp2_transport_params *peer =
        lane->conn ? ngtcp2_conn_get_remote_transport_params(lane->conn) : NULL;
    size_t max = lane->pmtu.size - QUIC_DGRAM_OVERHEAD;

    if (!peer || !peer->max_datagram_frame_size)
        return 0;
    if (peer->max_udp_payload_size < lane->pmtu.size)
        max = (size_t)peer->max_udp_payload_size - QUIC_DGRAM_OVERHEAD;
    if (peer->max_datagram_frame_size < max + LANE_DGRAM_HEAD)
        max = peer->max_datagram_frame_size > LANE_DGRAM_HEAD
                  ? (size_t)peer->max_datagram_frame_size - LANE_DGRAM_HEAD
                  : 0;
    return max;
}

bool quic_lane_mtu_known(const struct quic_lane *lane)
{
    return lane->pmtu.settled;
}

void quic_lane_stats(const struct quic_lane *lane, struct quic_lane_stats *ret)
{
    ngtcp2_conn_info info;

    *ret = lane->stats;
    ret->answered_ns = lane->heard_of_ns;
    if (!lane->conn)
        return;
    ngtcp2_conn_get_conn_info(lane->conn, &info);
    ret->rtt_latest_ns = info.latest_rtt;
    ret->rtt_min_ns = info.min_rtt == UINT64_MAX ? 0 : info.min_rtt;
    ret->rtt_smoothed_ns = info.smoothed_rtt;
    ret->rtt_var_ns = info.rttvar;
    ret->cwnd_bytes = info.cwnd;
    ret->in_flight_bytes = info.bytes_in_flight;
}

void quic_lane_stats_add(struct quic_lane_stats *sum, const struct quic_lane_stats *s)
{
    sum->cwnd_bytes += s->cwnd_bytes;
    sum->in_flight_bytes += s->in_flight_bytes;
    sum->udp_tx += s->udp_tx;
    sum->udp_rx += s->udp_rx;
    sum->udp_tx_bytes += s->udp_tx_bytes;
    sum->udp_rx_bytes += s->udp_rx_bytes;
    sum->dgram_tx += s->dgram_tx;
    sum->dgram_acked += s->dgram_acked;
    sum->dgram_lost += s->dgram_lost;
    sum->dgram_rx += s->dgram_rx;
    sum->heard_ns = MAX(sum->heard_ns, s->heard_ns);
    sum->answered_ns = MAX(sum->answered_ns, s->answered_ns);
}
