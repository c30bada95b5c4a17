/* The life of one QUIC connection: made, fed, timed, closed. Sending is in lane_tx.c. */
#include "quic/lane.h"

#include <errno.h>
#include <stdio.h>

static uint64_t opt_ns(uint64_t given, uint64_t fallback)
{
    return given ? given : fallback;
}

static ngtcp2_conn *get_conn(ngtcp2_crypto_conn_ref *ref)
{
    return ((struct quic_lane *)ref->user_data)->conn;
}

/* --- ngtcp2's callbacks ---------------------------------------------------------------- */

static int on_handshake_completed(ngtcp2_conn *conn, void *user)
{
    struct quic_lane *lane = user;
    struct quic_endpoint *ep = lane->ep;
    const struct quic_path_ops *ops;
    void *path_user;

    lane->state = LANE_UP;
    if (ep->opts.server) {
        ep->n_handshakes--;
        if (ep->opts.accept(ep->opts.accept_user, lane, &ops, &path_user))
            return NGTCP2_ERR_CALLBACK_FAILURE;
        lane->path = path_new(ep, ops, path_user);
        if (!lane->path || path_add_lane(lane->path, lane))
            return NGTCP2_ERR_CALLBACK_FAILURE;
    }
    if (lane->path->ops->lane_up(lane))
        return NGTCP2_ERR_CALLBACK_FAILURE;
    return 0;
}

/* A path that its user has closed hears nothing any more. */
static const struct quic_path_ops *listener(const struct quic_lane *lane)
{
    return lane->path && !lane->path->closed ? lane->path->ops : NULL;
}

static int on_stream_data(ngtcp2_conn *conn, uint32_t flags, int64_t stream, uint64_t offset,
                          const uint8_t *data, size_t len, void *user, void *stream_user)
{
    struct quic_lane *lane = user;
    const struct quic_path_ops *ops = listener(lane);
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
    const struct quic_path_ops *ops = listener(user);

    return ops && ops->stream_acked(user, stream, len) ? NGTCP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_stream_close(ngtcp2_conn *conn, uint32_t flags, int64_t stream, uint64_t app_error,
                           void *user, void *stream_user)
{
    const struct quic_path_ops *ops = listener(user);

    if (!(flags & NGTCP2_STREAM_CLOSE_FLAG_APP_ERROR_CODE_SET))
        app_error = 0;
    return ops && ops->stream_closed(user, stream, app_error) ? NGTCP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_stream_reset(ngtcp2_conn *conn, int64_t stream, uint64_t final_size,
                           uint64_t app_error, void *user, void *stream_user)
{
    const struct quic_path_ops *ops = listener(user);

    return ops && ops->stream_reset(user, stream, app_error) ? NGTCP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_stop_sending(ngtcp2_conn *conn, int64_t stream, uint64_t app_error, void *user,
                           void *stream_user)
{
    const struct quic_path_ops *ops = listener(user);

    return ops && ops->stream_stop_sending(user, stream, app_error) ? NGTCP2_ERR_CALLBACK_FAILURE
                                                                    : 0;
}

static int on_stream_credit(ngtcp2_conn *conn, int64_t stream, uint64_t max_data, void *user,
                            void *stream_user)
{
    const struct quic_path_ops *ops = listener(user);

    return ops && ops->stream_writable(user, stream) ? NGTCP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_datagram(ngtcp2_conn *conn, uint32_t flags, const uint8_t *data, size_t len,
                       void *user)
{
    struct quic_lane *lane = user;
    const struct quic_path_ops *ops = listener(lane);

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
    bound_on_acked(&path->bound, lane->ep->now_ns, dgram_id_number(id));
    if (listener(lane) && path->ops->dgram_acked)
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
    bound_on_lost(&path->bound, lane->ep->now_ns, dgram_id_number(id));
    if (listener(lane) && path->ops->dgram_lost)
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
    if (ngtcp2_crypto_generate_stateless_reset_token(token, ep->opts.reset_secret,
                                                     sizeof(ep->opts.reset_secret), cid) ||
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

static const ngtcp2_callbacks callbacks = {
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

/* --- life ------------------------------------------------------------------------------ */

static ngtcp2_path make_path(struct quic_lane *lane)
{
    return (ngtcp2_path){
        .local = {.addr = &lane->local.sa, .addrlen = lane->local.len},
        .remote = {.addr = &lane->remote.sa, .addrlen = lane->remote.len},
    };
}

static void fill_settings(struct quic_endpoint *ep, ngtcp2_settings *s, size_t udp_max)
{
    ngtcp2_settings_default(s);
    s->initial_ts = ep->now_ns;
    s->cc_algo = ep->opts.cc == QUIC_CC_BBR ? NGTCP2_CC_ALGO_BBR : NGTCP2_CC_ALGO_CUBIC;
    s->rand_ctx.native_handle = ep;
    s->handshake_timeout = opt_ns(ep->opts.handshake_timeout_ns, 10 * NS_PER_S);
    s->max_tx_udp_payload_size = udp_max;
    s->no_tx_udp_payload_size_shaping = 1; /* the size is ours to choose: pmtu.h */
    s->no_pmtud = 1;
}

static void fill_params(struct quic_endpoint *ep, ngtcp2_transport_params *p)
{
    ngtcp2_transport_params_default(p);
    p->initial_max_data = 256 * 1024;
    p->initial_max_stream_data_bidi_local = 64 * 1024;
    p->initial_max_stream_data_bidi_remote = 64 * 1024;
    p->initial_max_stream_data_uni = 64 * 1024;
    p->initial_max_streams_bidi = ep->opts.server ? 8 : 0;
    p->initial_max_streams_uni = 8;
    p->max_idle_timeout = opt_ns(ep->opts.idle_timeout_ns, 30 * NS_PER_S);
    p->max_datagram_frame_size = 65535;
    p->max_udp_payload_size = 65527;
    p->active_connection_id_limit = 4;
    p->max_ack_delay = 10 * NS_PER_MS;
    p->disable_active_migration = 1; /* a changed local address opens a new connection */
    p->grease_quic_bit = 1;
}

static int new_client_conn(struct quic_lane *lane, const ngtcp2_callbacks *cb,
                           const ngtcp2_settings *settings, const ngtcp2_transport_params *params)
{
    struct quic_endpoint *ep = lane->ep;
    ngtcp2_cid dcid = {.datalen = 16}, scid = {.datalen = LANE_CID_BYTES};
    ngtcp2_path path = make_path(lane);

    ep->opts.random(ep->opts.random_user, dcid.data, dcid.datalen);
    ep->opts.random(ep->opts.random_user, scid.data, scid.datalen);
    if (endpoint_cid_add(ep, lane, scid.data, scid.datalen))
        return -ENOMEM;
    return ngtcp2_conn_client_new(&lane->conn, &dcid, &scid, &path, NGTCP2_PROTO_VER_V1, cb,
                                  settings, params, NULL, lane)
               ? -ENOMEM
               : 0;
}

static int new_server_conn(struct quic_lane *lane, const ngtcp2_callbacks *cb,
                           const ngtcp2_settings *settings, ngtcp2_transport_params *params,
                           const ngtcp2_pkt_hd *initial)
{
    struct quic_endpoint *ep = lane->ep;
    ngtcp2_cid scid = {.datalen = LANE_CID_BYTES};
    ngtcp2_path path = make_path(lane);

    ep->opts.random(ep->opts.random_user, scid.data, scid.datalen);
    params->original_dcid = initial->dcid;
    params->original_dcid_present = 1;
    if (ngtcp2_crypto_generate_stateless_reset_token(params->stateless_reset_token,
                                                     ep->opts.reset_secret,
                                                     sizeof(ep->opts.reset_secret), &scid))
        return -EIO;
    params->stateless_reset_token_present = 1;
    if (endpoint_cid_add(ep, lane, scid.data, scid.datalen) ||
        endpoint_cid_add(ep, lane, initial->dcid.data, initial->dcid.datalen))
        return -ENOMEM;
    return ngtcp2_conn_server_new(&lane->conn, &initial->scid, &scid, &path, initial->version, cb,
                                  settings, params, NULL, lane)
               ? -ENOMEM
               : 0;
}

static int make_conn(struct quic_lane *lane, const ngtcp2_pkt_hd *initial)
{
    struct quic_endpoint *ep = lane->ep;
    ngtcp2_callbacks cb = callbacks;
    ngtcp2_settings settings;
    ngtcp2_transport_params params;
    size_t udp_max = ep->opts.udp_payload_max;
    int rv;

    if (lane->remote.sa.sa_family == AF_INET6)
        udp_max -= 20;
    ep->opts.tls->callbacks(&cb);
    fill_settings(ep, &settings, udp_max);
    fill_params(ep, &params);
    pmtu_init(&lane->pmtu, QUIC_UDP_PAYLOAD_BASE, udp_max);
    rv = initial ? new_server_conn(lane, &cb, &settings, &params, initial)
                 : new_client_conn(lane, &cb, &settings, &params);
    if (rv)
        return rv;
    lane->ref = (ngtcp2_crypto_conn_ref){.get_conn = get_conn, .user_data = lane};
    lane->tls =
        ep->opts.tls->session_new(ep->opts.tls_ctx, ep->opts.server, ep->server_name, &lane->ref);
    if (!lane->tls)
        return -EIO;
    ngtcp2_conn_set_tls_native_handle(lane->conn, ep->opts.tls->native(lane->tls));
    ngtcp2_conn_set_keep_alive_timeout(lane->conn, opt_ns(ep->opts.keepalive_ns, 10 * NS_PER_S));
    return 0;
}

struct quic_lane *lane_new(struct quic_endpoint *ep, struct quic_path *path, unsigned socket,
                           const struct net_addr *local, const struct net_addr *remote,
                           const ngtcp2_pkt_hd *initial)
{
    struct quic_lane *lane = calloc(1, sizeof(*lane));

    if (!lane)
        return NULL;
    lane->ep = ep;
    lane->socket = socket;
    lane->local = *local;
    lane->remote = *remote;
    lane->path = path;
    lane->next = ep->lanes;
    if (ep->lanes)
        ep->lanes->prev = lane;
    ep->lanes = lane;
    ep->n_lanes++;
    if (ep->opts.server)
        ep->n_handshakes++;
    if (make_conn(lane, initial) || (path && path_add_lane(path, lane))) {
        lane_free(lane);
        return NULL;
    }
    lane->write_due = true;
    endpoint_ready(ep, lane);
    lane_set_timer(lane);
    return lane;
}

void lane_free(struct quic_lane *lane)
{
    struct quic_endpoint *ep = lane->ep;

    if (ep->opts.server && lane->state == LANE_HANDSHAKE)
        ep->n_handshakes--;
    if (ep->carry_lane == lane)
        ep->carry_lane = NULL;
    endpoint_unready(ep, lane);
    heap_remove(&ep->timers, &lane->timer);
    while (lane->cids)
        endpoint_cid_remove(ep, lane, lane->cids->data, lane->cids->len);
    pkt_free(ep->opts.pool, lane->stash);
    if (lane->conn)
        ngtcp2_conn_del(lane->conn);
    if (lane->tls)
        ep->opts.tls->session_free(lane->tls);
    if (lane->path)
        path_remove_lane(lane->path, lane);
    if (lane->prev)
        lane->prev->next = lane->next;
    else
        ep->lanes = lane->next;
    if (lane->next)
        lane->next->prev = lane->prev;
    ep->n_lanes--;
    free(lane);
}

/* --- events ---------------------------------------------------------------------------- */

void lane_set_timer(struct quic_lane *lane)
{
    uint64_t at = lane->linger_until_ns;

    if (lane->state == LANE_HANDSHAKE || lane->state == LANE_UP) {
        uint64_t pmtu_at = lane->state == LANE_UP ? pmtu_deadline_ns(&lane->pmtu) : TIME_NEVER_NS;

        at = ngtcp2_conn_get_expiry(lane->conn);
        at = MIN(at, pmtu_at);
    }
    if (at == TIME_NEVER_NS)
        heap_remove(&lane->ep->timers, &lane->timer);
    else if (heap_set(&lane->ep->timers, &lane->timer, at))
        lane->state = LANE_DEAD; /* without its timer it would stay for ever */
}

void lane_mtu_check(struct quic_lane *lane)
{
    size_t now = quic_lane_dgram_max(lane);
    const struct quic_path_ops *ops = listener(lane);

    lane->stats.udp_payload = lane->pmtu.size;
    if (lane->state != LANE_UP ||
        (now == lane->dgram_max_told && lane->pmtu.settled == lane->mtu_known_told))
        return;
    lane->dgram_max_told = now;
    lane->mtu_known_told = lane->pmtu.settled;
    if (ops && ops->mtu_changed)
        ops->mtu_changed(lane, now);
}

/* After NAT rebinding the peer has another address (RFC 9000, 9.3). */
static void follow_remote(struct quic_lane *lane)
{
    const ngtcp2_path *path = ngtcp2_conn_get_path(lane->conn);

    memcpy(&lane->remote.ss, path->remote.addr, path->remote.addrlen);
    lane->remote.len = path->remote.addrlen;
}

void lane_rx(struct quic_lane *lane, const struct quic_rx *rx)
{
    ngtcp2_path path = {
        .local = {.addr = (ngtcp2_sockaddr *)&rx->local.sa, .addrlen = rx->local.len},
        .remote = {.addr = (ngtcp2_sockaddr *)&rx->remote.sa, .addrlen = rx->remote.len},
    };
    ngtcp2_pkt_info pi = {.ecn = rx->ecn};
    int rv;

    if (lane->state == LANE_CLOSING) {
        lane->close_due = true;
        endpoint_ready(lane->ep, lane);
        return;
    }
    if (lane->state >= LANE_DRAINING)
        return;
    lane->stats.udp_rx++;
    lane->stats.udp_rx_bytes += rx->len;
    rv = ngtcp2_conn_read_pkt(lane->conn, &path, &pi, rx->data, rx->len, lane->ep->now_ns);
    if (rv)
        lane_fail_liberr(lane, rv);
    else
        lane_close_if_wanted(lane);
    if (lane->state >= LANE_CLOSING)
        return;
    follow_remote(lane);
    lane_mtu_check(lane);
    lane->write_due = true;
    endpoint_ready(lane->ep, lane);
    lane_set_timer(lane);
}

void lane_timeout(struct quic_lane *lane)
{
    uint64_t now_ns = lane->ep->now_ns;
    int rv = 0;

    if (lane->state >= LANE_CLOSING) {
        lane->state = LANE_DEAD;
        return;
    }
    if (pmtu_on_timer(&lane->pmtu, now_ns))
        lane_mtu_check(lane);
    if (ngtcp2_conn_get_expiry(lane->conn) <= now_ns)
        rv = ngtcp2_conn_handle_expiry(lane->conn, now_ns);
    if (rv)
        lane_fail_liberr(lane, rv);
    else
        lane_close_if_wanted(lane);
    if (lane->state >= LANE_CLOSING)
        return;
    lane->write_due = true;
    endpoint_ready(lane->ep, lane);
    lane_set_timer(lane);
}

/* --- the end --------------------------------------------------------------------------- */

static void tell_down(struct quic_lane *lane, const struct quic_fail_info *why)
{
    const struct quic_path_ops *ops = listener(lane);

    if (lane->down_told)
        return;
    lane->down_told = true;
    if (ops)
        ops->lane_down(lane, why);
    else if (!lane->path && lane->ep->opts.refused)
        lane->ep->opts.refused(lane->ep->opts.accept_user, lane, why);
}

/* The TLS alert that says what we found wrong (RFC 8446, 6.2). */
static uint8_t alert_of(enum quic_fail f, uint8_t otherwise)
{
    switch (f) {
    case QUIC_FAIL_CERT_UNTRUSTED:
        return 48; /* unknown_ca */
    case QUIC_FAIL_CERT_EXPIRED:
        return 45; /* certificate_expired */
    case QUIC_FAIL_CERT_NAME:
    case QUIC_FAIL_CERT_INVALID:
        return 42; /* bad_certificate */
    case QUIC_FAIL_CLIENT_UNKNOWN:
        return 49; /* access_denied */
    default:
        return otherwise;
    }
}

static void copy_reason(char *dst, size_t size, const uint8_t *src, size_t len)
{
    size_t n = MIN(len, size - 1);

    for (size_t i = 0; i < n; i++)
        dst[i] = src[i] >= 0x20 && src[i] < 0x7f ? (char)src[i] : '?';
    dst[n] = 0;
}

/* What the peer's CONNECTION_CLOSE means. */
static struct quic_fail_info peer_close(struct quic_lane *lane)
{
    const ngtcp2_ccerr *e = ngtcp2_conn_get_ccerr(lane->conn);
    struct quic_fail_info why = {.fail = QUIC_FAIL_PEER, .code = e->error_code};

    why.app = e->type == NGTCP2_CCERR_TYPE_APPLICATION;
    copy_reason(why.detail, sizeof(why.detail), e->reason, e->reasonlen);
    if (why.app || e->error_code < NGTCP2_CRYPTO_ERROR || e->error_code > 0x1ff)
        return why;
    why.fail = QUIC_FAIL_TLS;
    switch (e->error_code & 0xff) {
    case 42:  /* bad_certificate */
    case 44:  /* certificate_revoked */
    case 46:  /* certificate_unknown */
    case 48:  /* unknown_ca */
    case 49:  /* access_denied */
    case 116: /* certificate_required */
        why.fail = QUIC_FAIL_REJECTED;
        break;
    case 45: /* certificate_expired */
        why.fail = QUIC_FAIL_REJECTED_EXPIRED;
        break;
    case 120: /* no_application_protocol */
        why.fail = QUIC_FAIL_ALPN;
        break;
    default:
        break;
    }
    if (!*why.detail)
        snprintf(why.detail, sizeof(why.detail), "TLS alert %u (%s)",
                 (unsigned)(e->error_code & 0xff), quic_tls_alert_name(e->error_code & 0xff));
    return why;
}

/* Write the CONNECTION_CLOSE that the next transmission sends. */
static void prepare_close(struct quic_lane *lane, const ngtcp2_ccerr *err)
{
    ngtcp2_pkt_info pi;
    ngtcp2_ssize n;

    if (lane->ep->opts.server && lane->state == LANE_HANDSHAKE && lane->stats.udp_rx == 0)
        return;
    n = ngtcp2_conn_write_connection_close(lane->conn, NULL, &pi, lane->close_pkt,
                                           sizeof(lane->close_pkt), err, lane->ep->now_ns);
    if (n > 0) {
        lane->close_len = (size_t)n;
        lane->close_due = true;
        endpoint_ready(lane->ep, lane);
    }
}

static void linger(struct quic_lane *lane, enum lane_state state)
{
    if (lane->ep->opts.server && lane->state == LANE_HANDSHAKE)
        lane->ep->n_handshakes--;
    lane->state = state;
    lane->linger_until_ns = lane->ep->now_ns + 3 * ngtcp2_conn_get_pto(lane->conn);
    pkt_free(lane->ep->opts.pool, lane->stash);
    lane->stash = NULL;
    lane_set_timer(lane);
}

static void fail_with(struct quic_lane *lane, const struct quic_fail_info *why,
                      const ngtcp2_ccerr *err)
{
    lane->why = *why;
    if (err)
        prepare_close(lane, err);
    linger(lane, lane->close_len ? LANE_CLOSING : LANE_DRAINING);
    tell_down(lane, &lane->why);
}

void lane_fail(struct quic_lane *lane, const struct quic_fail_info *why, bool send_close)
{
    ngtcp2_ccerr err;

    if (lane->state >= LANE_CLOSING)
        return;
    ngtcp2_ccerr_set_application_error(&err, why->code, (const uint8_t *)why->detail,
                                       strlen(why->detail));
    fail_with(lane, why, send_close ? &err : NULL);
}

static void fail_crypto(struct quic_lane *lane)
{
    struct quic_fail_info why = {.fail = QUIC_FAIL_NONE};
    uint8_t alert = ngtcp2_conn_get_tls_alert(lane->conn);
    ngtcp2_ccerr err;

    why.fail = lane->ep->opts.tls->refusal(lane->tls, why.detail, sizeof(why.detail));
    alert = alert_of(why.fail, alert);
    if (why.fail == QUIC_FAIL_NONE) {
        why.fail = alert == 116   ? QUIC_FAIL_CERT_MISSING
                   : alert == 120 ? QUIC_FAIL_ALPN
                                  : QUIC_FAIL_TLS;
        snprintf(why.detail, sizeof(why.detail), "%s", quic_tls_alert_name(alert));
    }
    why.code = NGTCP2_CRYPTO_ERROR | alert;
    ngtcp2_ccerr_set_tls_alert(&err, alert, NULL, 0);
    fail_with(lane, &why, &err);
}

void lane_fail_liberr(struct quic_lane *lane, int liberr)
{
    struct quic_fail_info why = {.fail = QUIC_FAIL_PROTOCOL};
    ngtcp2_ccerr err;

    if (lane->close_wanted) {
        lane_close_if_wanted(lane);
        return;
    }
    switch (liberr) {
    case NGTCP2_ERR_DRAINING:
        why = lane->why.fail == QUIC_FAIL_RESET ? lane->why : peer_close(lane);
        fail_with(lane, &why, NULL);
        return;
    case NGTCP2_ERR_CRYPTO:
        fail_crypto(lane);
        return;
    case NGTCP2_ERR_IDLE_CLOSE:
        why.fail = QUIC_FAIL_IDLE;
        break;
    case NGTCP2_ERR_HANDSHAKE_TIMEOUT:
        why.fail = QUIC_FAIL_HANDSHAKE_TIMEOUT;
        break;
    case NGTCP2_ERR_RECV_VERSION_NEGOTIATION:
        why.fail = QUIC_FAIL_VERSION;
        break;
    case NGTCP2_ERR_DROP_CONN:
    case NGTCP2_ERR_RETRY:
        why.fail = QUIC_FAIL_PROTOCOL;
        break;
    case NGTCP2_ERR_CALLBACK_FAILURE:
    case NGTCP2_ERR_NOMEM:
    case NGTCP2_ERR_INTERNAL:
        why.fail = QUIC_FAIL_INTERNAL;
        /* fall through */
    default:
        ngtcp2_ccerr_set_liberr(&err, liberr, NULL, 0);
        snprintf(why.detail, sizeof(why.detail), "%s", ngtcp2_strerror(liberr));
        fail_with(lane, &why, &err);
        return;
    }
    fail_with(lane, &why, NULL);
}

void lane_close_if_wanted(struct quic_lane *lane)
{
    struct quic_fail_info why = lane->why;

    if (!lane->close_wanted || lane->state >= LANE_CLOSING)
        return;
    lane->close_wanted = false;
    lane_fail(lane, &why, true);
}

void quic_lane_close(struct quic_lane *lane, uint64_t app_error, const char *reason)
{
    if (lane->close_wanted || lane->state >= LANE_CLOSING)
        return;
    lane->close_wanted = true;
    lane->why = (struct quic_fail_info){.fail = QUIC_FAIL_LOCAL, .app = true, .code = app_error};
    snprintf(lane->why.detail, sizeof(lane->why.detail), "%s", reason);
    endpoint_ready(lane->ep, lane);
}

/* --- what the layer above asks --------------------------------------------------------- */

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
    return lane->ep->opts.tls->peer_name(lane->tls);
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
    const ngtcp2_transport_params *peer = ngtcp2_conn_get_remote_transport_params(lane->conn);
    size_t max = lane->pmtu.size - QUIC_DGRAM_OVERHEAD;

    if (!peer || !peer->max_datagram_frame_size)
        return 0;
    if (peer->max_udp_payload_size < lane->pmtu.size)
        max = (size_t)peer->max_udp_payload_size - QUIC_DGRAM_OVERHEAD;
    /* The frame's type and two-byte length count towards the peer's limit. */
    if (peer->max_datagram_frame_size < max + 3)
        max = peer->max_datagram_frame_size > 3 ? (size_t)peer->max_datagram_frame_size - 3 : 0;
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
