/* What ngtcp2 reports about a connection, handed on to the layer above. */
#include "quic/lane.h"

/* What the peer does not take cannot be probed: the search would never end. The DATAGRAM of a probe
 * is larger than others in a packet of that size, by as much as its packet number may be shorter.
 */
static void limit_mtu(struct quic_lane *lane)
{
    enum { PN_SPARED = 3, OVERHEAD = QUIC_DGRAM_OVERHEAD - PN_SPARED - LANE_DGRAM_HEAD };
    const ngtcp2_transport_params *peer = ngtcp2_conn_get_remote_transport_params(lane->conn);

    if (!peer)
        return;
    pmtu_limit(&lane->pmtu, (size_t)MIN(peer->max_udp_payload_size, (uint64_t)UINT16_MAX));
    pmtu_limit(&lane->pmtu,
               (size_t)MIN(peer->max_datagram_frame_size, (uint64_t)UINT16_MAX) + OVERHEAD);
}

static int on_handshake_completed(ngtcp2_conn *conn, void *user)
{
    struct quic_lane *lane = user;
    struct quic_endpoint *ep = lane->ep;
    const struct quic_path_ops *ops;
    struct quic_path *path;
    void *path_user;

    lane->state = LANE_UP;
    limit_mtu(lane);
    if (ep->opts.server) {
        lane_handshake_over(lane);
        ep->stats.completed++;
        if (ep->opts.accept(ep->opts.accept_user, lane, &ops, &path_user))
            return NGTCP2_ERR_CALLBACK_FAILURE;
        path = path_new(ep, ops, path_user);
        if (!path)
            return NGTCP2_ERR_CALLBACK_FAILURE;
        path_add_lane(path, lane);
    }
    lane->path->answered_ns = ep->now_ns;
    if (lane->path->ops->lane_up(lane))
        return NGTCP2_ERR_CALLBACK_FAILURE;
    return 0;
}

static int on_stream_data(ngtcp2_conn *conn, uint32_t flags, int64_t stream, uint64_t offset,
                          const uint8_t *data, size_t len, void *user, void *stream_user)
{
    struct quic_lane *lane = user;
    const struct quic_path_ops *ops = lane_listener(lane);
    ssize_t n;

    if (!ops)
        return 0;
    n = ops->stream_rx(lane, stream, data, len, flags & NGTCP2_STREAM_DATA_FLAG_FIN);
    if (n < 0)
        return NGTCP2_ERR_CALLBACK_FAILURE;
    quic_lane_consumed(lane, stream, (size_t)n);
    return 0;
}

static int on_stream_acked(ngtcp2_conn *conn, int64_t stream, uint64_t offset, uint64_t len,
                           void *user, void *stream_user)
{
    const struct quic_path_ops *ops = lane_listener(user);

    return ops && ops->stream_acked(user, stream, len) ? NGTCP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_stream_close(ngtcp2_conn *conn, uint32_t flags, int64_t stream, uint64_t app_error,
                           void *user, void *stream_user)
{
    const struct quic_path_ops *ops = lane_listener(user);

    if (!(flags & NGTCP2_STREAM_CLOSE_FLAG_APP_ERROR_CODE_SET))
        app_error = 0;
    return ops && ops->stream_closed(user, stream, app_error) ? NGTCP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_stream_reset(ngtcp2_conn *conn, int64_t stream, uint64_t final_size,
                           uint64_t app_error, void *user, void *stream_user)
{
    const struct quic_path_ops *ops = lane_listener(user);

    return ops && ops->stream_reset(user, stream, app_error) ? NGTCP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_stop_sending(ngtcp2_conn *conn, int64_t stream, uint64_t app_error, void *user,
                           void *stream_user)
{
    const struct quic_path_ops *ops = lane_listener(user);

    return ops && ops->stream_stop_sending(user, stream, app_error) ? NGTCP2_ERR_CALLBACK_FAILURE
                                                                    : 0;
}

static int on_stream_credit(ngtcp2_conn *conn, int64_t stream, uint64_t max_data, void *user,
                            void *stream_user)
{
    const struct quic_path_ops *ops = lane_listener(user);

    return ops && ops->stream_writable(user, stream) ? NGTCP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_datagram(ngtcp2_conn *conn, uint32_t flags, const uint8_t *data, size_t len,
                       void *user)
{
    struct quic_lane *lane = user;
    const struct quic_path_ops *ops = lane_listener(lane);

    lane->stats.dgram_rx++;
    if (ops && lane->state == LANE_UP)
        ops->dgram_rx(lane, data, len);
    return 0;
}

static int on_datagram_acked(ngtcp2_conn *conn, uint64_t id, void *user)
{
    struct quic_lane *lane = user;
    struct quic_path *path = lane->path;

    if (id & DGRAM_ID_PROBE) {
        pmtu_on_probe_acked(&lane->pmtu, lane->ep->now_ns, dgram_id_bytes(id));
        return 0;
    }
    pmtu_on_acked(&lane->pmtu, dgram_id_bytes(id));
    lane->stats.dgram_acked++;
    path->dgram_acked++;
    bound_on_acked(&path->bound, lane->ep->now_ns, dgram_id_number(id));
    path_on_answer(path, lane, dgram_id_number(id));
    if (lane_listener(lane) && path->ops->dgram_acked)
        path->ops->dgram_acked(lane, dgram_id_number(id));
    return 0;
}

static int on_datagram_lost(ngtcp2_conn *conn, uint64_t id, void *user)
{
    struct quic_lane *lane = user;
    struct quic_path *path = lane->path;

    if (id & DGRAM_ID_PROBE) {
        pmtu_on_probe_lost(&lane->pmtu, lane->ep->now_ns, dgram_id_bytes(id));
        return 0;
    }
    pmtu_on_lost(&lane->pmtu, dgram_id_bytes(id));
    lane->stats.dgram_lost++;
    path->dgram_lost++;
    bound_on_lost(&path->bound, lane->ep->now_ns, dgram_id_number(id));
    path_on_answer(path, lane, dgram_id_number(id));
    if (lane_listener(lane) && path->ops->dgram_lost)
        path->ops->dgram_lost(lane, dgram_id_number(id));
    return 0;
}

static void on_rand(uint8_t *dst, size_t len, const ngtcp2_rand_ctx *ctx)
{
    struct quic_endpoint *ep = ctx->native_handle;

    ep->opts.random(ep->opts.random_user, dst, len);
}

static int on_path_challenge(ngtcp2_conn *conn, uint8_t *data, void *user)
{
    struct quic_endpoint *ep = ((struct quic_lane *)user)->ep;

    ep->opts.random(ep->opts.random_user, data, NGTCP2_PATH_CHALLENGE_DATALEN);
    return 0;
}

static int on_new_cid(ngtcp2_conn *conn, ngtcp2_cid *cid, uint8_t *token, size_t len, void *user)
{
    struct quic_lane *lane = user;
    struct quic_endpoint *ep = lane->ep;

    ep->opts.random(ep->opts.random_user, cid->data, len);
    cid->datalen = len;
    if (endpoint_reset_token(ep, &lane->local, cid, token) ||
        endpoint_cid_add(ep, lane, cid->data, cid->datalen))
        return NGTCP2_ERR_CALLBACK_FAILURE;
    return 0;
}

static int on_remove_cid(ngtcp2_conn *conn, const ngtcp2_cid *cid, void *user)
{
    struct quic_lane *lane = user;

    endpoint_cid_remove(lane->ep, lane, cid->data, cid->datalen);
    return 0;
}

static int on_stateless_reset(ngtcp2_conn *conn, const ngtcp2_pkt_stateless_reset *sr, void *user)
{
    struct quic_lane *lane = user;

    lane->why = (struct quic_fail_info){.fail = QUIC_FAIL_RESET};
    return 0;
}

const ngtcp2_callbacks lane_callbacks = {
    .handshake_completed = on_handshake_completed,
    .recv_stream_data = on_stream_data,
    .acked_stream_data_offset = on_stream_acked,
    .stream_close = on_stream_close,
    .stream_reset = on_stream_reset,
    .stream_stop_sending = on_stop_sending,
    .extend_max_stream_data = on_stream_credit,
    .recv_datagram = on_datagram,
    .ack_datagram = on_datagram_acked,
    .lost_datagram = on_datagram_lost,
    .rand = on_rand,
    .get_path_challenge_data = on_path_challenge,
    .get_new_connection_id = on_new_cid,
    .remove_connection_id = on_remove_cid,
    .recv_stateless_reset = on_stateless_reset,
};
