/* HTTP/3 on a lane (RFC 9114, 9220): SETTINGS, the CONNECT-IP request and its answer, and proper
 * answers to everything else. */
#include "masque/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "masque/request.h"

/* Close the lane after an error of the HTTP/3 library; for callbacks that return int. */
int http_failed(struct masque *m, int liberr)
{
    quic_lane_close(m->lane, nghttp3_err_infer_quic_app_error_code(liberr),
                    nghttp3_strerror(liberr));
    return -1;
}

static int close_with(struct masque *m, uint64_t code, const char *reason)
{
    quic_lane_close(m->lane, code, reason);
    return -1;
}

struct req_stream *http_find_request(struct masque *m, int64_t id)
{
    for (int i = 0; i < REQUEST_STREAMS_MAX; i++)
        if (m->reqs[i].id == id)
            return &m->reqs[i];
    return NULL;
}

static nghttp3_nv nv(const char *name, const char *value)
{
    return (nghttp3_nv){.name = (uint8_t *)name,
                        .value = (uint8_t *)value,
                        .namelen = strlen(name),
                        .valuelen = strlen(value),
                        .flags = NGHTTP3_NV_FLAG_NONE};
}

/* edge: SETTINGS have come, ask for the tunnel (RFC 9484, 4.2). */
static int send_request(struct masque *m)
{
    static const nghttp3_data_reader reader = {.read_data = capsules_read};
    char bearer[MASQUE_VALUE_MAX], session[MASQUE_SESSION_VALUE_MAX];
    char path[4], lane[4], lanes[4];
    nghttp3_nv fields[13];
    size_t n = 0;
    int rv;

    m->stream = quic_lane_open_bidi(m->lane);
    if (m->stream < 0)
        return close_with(m, MASQUE_H3_GENERAL_PROTOCOL_ERROR, "no request stream allowed");
    fields[n++] = nv(":method", "CONNECT");
    fields[n++] = nv(":protocol", "connect-ip");
    fields[n++] = nv(":scheme", "https");
    fields[n++] = nv(":authority", m->side->authority);
    fields[n++] = nv(":path", MASQUE_PATH_ANY);
    fields[n++] = nv("capsule-protocol", "?1");
    if (m->side->instance && *m->side->instance)
        fields[n++] = nv(MASQUE_INSTANCE_FIELD, m->side->instance);
    m->join = (struct masque_join){.version = 0};
    if (m->side->ops->join)
        m->side->ops->join(m, &m->join);
    if (m->join.version) {
        masque_session_print(session, m->join.version, m->join.session, sizeof(m->join.session));
        snprintf(path, sizeof(path), "%u", (unsigned)m->join.path % MASQUE_PATHS_MAX);
        snprintf(lane, sizeof(lane), "%u", (unsigned)m->join.lane % MASQUE_PATH_LANES_MAX);
        fields[n++] = nv(MASQUE_SESSION_FIELD, session);
        fields[n++] = nv(MASQUE_PATH_FIELD, path);
        fields[n++] = nv(MASQUE_LANE_FIELD, lane);
        snprintf(lanes, sizeof(lanes), "%u", MIN(m->join.lanes, (unsigned)MASQUE_PATH_LANES_MAX));
        if (m->join.lanes > 1)
            fields[n++] = nv(MASQUE_LANES_FIELD, lanes);
        if (*m->join.name)
            fields[n++] = nv(MASQUE_PATH_NAME_FIELD, m->join.name);
    }
    if (m->side->token) {
        snprintf(bearer, sizeof(bearer), "Bearer %s", m->side->token);
        fields[n] = nv("authorization", bearer);
        fields[n++].flags = NGHTTP3_NV_FLAG_NEVER_INDEX;
    }
    rv = nghttp3_conn_submit_request(m->h3, m->stream, fields, n, &reader, NULL);
    explicit_bzero(bearer, sizeof(bearer));
    if (rv)
        return http_failed(m, rv);
    m->state = MASQUE_REQUESTED;
    quic_lane_kick(m->lane);
    return 0;
}

/* hub: answer a request; the tunnel opens with a 2xx. */
static int send_response(struct masque *m, struct req_stream *rs, int status)
{
    static const nghttp3_data_reader reader = {.read_data = capsules_read};
    int64_t stream = rs->id;
    bool ok = status >= 200 && status < 300;
    char text[16], session[MASQUE_SESSION_VALUE_MAX];
    nghttp3_nv fields[4];
    size_t n = 0;
    int rv;

    snprintf(text, sizeof(text), "%d", status);
    fields[n++] = nv(":status", text);
    if (ok)
        fields[n++] = nv("capsule-protocol", "?1");
    if (ok && m->packed) {
        masque_session_print(session, MASQUE_SESSION_VERSION, m->epoch, sizeof(m->epoch));
        fields[n++] = nv(MASQUE_SESSION_FIELD, session);
    }
    if (status == 401)
        fields[n++] = nv("www-authenticate", "Bearer");
    if (status == 405)
        fields[n++] = nv("allow", "CONNECT");
    rv = nghttp3_conn_submit_response(m->h3, stream, fields, n, ok ? &reader : NULL);
    if (rv)
        return http_failed(m, rv);
    rs->answered = true;
    quic_lane_kick(m->lane);
    if (ok) {
        tunnel_opened(m, stream);
        return 0;
    }
    datagrams_drop_early(m, stream);
    /* RFC 9114, 4.1.1 and 4.1.2 */
    quic_lane_stop_reading(m->lane, stream,
                           status == 400 ? MASQUE_H3_MESSAGE_ERROR : MASQUE_H3_NO_ERROR);
    return 0;
}

/* False when the peer has said that it takes no HTTP Datagrams, which is all that we send. Its
 * SETTINGS may still be on their way. */
static bool may_carry(const struct masque *m)
{
    return quic_lane_dgram_max(m->lane) && (m->takes_dgrams || !m->got_settings);
}

void http_free_request(struct req_stream *rs)
{
    if (rs->req)
        explicit_bzero(rs->req, sizeof(*rs->req));
    free(rs->req);
    rs->req = NULL;
}

static int take_request(struct masque *m, struct req_stream *rs)
{
    int status = masque_request_status(rs->req);

    if (status == 200 && !may_carry(m))
        status = 501;
    if (status == 200)
        status = m->state == MASQUE_IDLE ? m->side->ops->request(m, rs->req) : 503;
    http_free_request(rs);
    return send_response(m, rs, status);
}

/* Whether the answer begins the Capsule Protocol: a 2xx but those without content, and no fields
 * that describe content (RFC 9297, 3.2). */
static bool is_success(const struct masque *m)
{
    return m->status >= 200 && m->status < 300 && (m->status < 204 || m->status > 206) &&
           !m->answer_bad;
}

static int take_answer(struct masque *m)
{
    if (m->status >= 100 && m->status < 200)
        return 0;
    if (is_success(m)) {
        m->packed = m->packed && m->join.version;
        tunnel_opened(m, m->stream);
        return 0;
    }
    m->state = MASQUE_ENDED;
    m->side->ops->refused(m, m->status);
    return close_with(m, MASQUE_H3_NO_ERROR, "refused");
}

static int on_h3_begin_headers(nghttp3_conn *h3, int64_t stream, void *user, void *stream_user)
{
    struct masque *m = user;
    struct req_stream *rs;

    if (!masque_is_server(m)) {
        m->status = 0;
        m->answer_bad = m->packed = false;
        return 0;
    }
    rs = http_find_request(m, -1);
    if (!rs)
        return NGHTTP3_ERR_CALLBACK_FAILURE;
    *rs = (struct req_stream){.id = stream, .req = calloc(1, sizeof(*rs->req))};
    if (!rs->req)
        return NGHTTP3_ERR_CALLBACK_FAILURE;
    return 0;
}

static int on_h3_header(nghttp3_conn *h3, int64_t stream, int32_t token, nghttp3_rcbuf *name,
                        nghttp3_rcbuf *value, uint8_t flags, void *user, void *stream_user)
{
    struct masque *m = user;
    nghttp3_vec n = nghttp3_rcbuf_get_buf(name), v = nghttp3_rcbuf_get_buf(value);
    struct req_stream *rs;
    unsigned version;

    if (!masque_is_server(m)) {
        if (token == NGHTTP3_QPACK_TOKEN__STATUS && v.len == 3)
            m->status = (v.base[0] - '0') * 100 + (v.base[1] - '0') * 10 + (v.base[2] - '0');
        else if (token == NGHTTP3_QPACK_TOKEN_CONTENT_LENGTH ||
                 token == NGHTTP3_QPACK_TOKEN_CONTENT_TYPE)
            m->answer_bad = true;
        else if (n.len == strlen(MASQUE_SESSION_FIELD) &&
                 !memcmp(n.base, MASQUE_SESSION_FIELD, n.len))
            m->packed = masque_session_parse(v.base, v.len, &version, m->epoch, MASQUE_EPOCH) &&
                        version == MASQUE_SESSION_VERSION;
        return 0;
    }
    rs = http_find_request(m, stream);
    if (rs && rs->req)
        masque_request_field(rs->req, (const char *)n.base, n.len, v.base, v.len);
    return 0;
}

static int on_h3_end_headers(nghttp3_conn *h3, int64_t stream, int fin, void *user,
                             void *stream_user)
{
    struct masque *m = user;
    struct req_stream *rs;
    int rv;

    if (masque_is_server(m)) {
        rs = http_find_request(m, stream);
        rv = rs && rs->req ? take_request(m, rs) : 0; /* trailers are no request */
    } else {
        rv = stream == m->stream && m->state == MASQUE_REQUESTED ? take_answer(m) : 0;
    }
    return rv ? NGHTTP3_ERR_CALLBACK_FAILURE : 0;
}

static int on_h3_data(nghttp3_conn *h3, int64_t stream, const uint8_t *data, size_t len, void *user,
                      void *stream_user)
{
    struct masque *m = user;

    quic_lane_consumed(m->lane, stream, len);
    if (stream == m->stream) /* anything else is the body of a request that we refuse */
        capsules_take(m, data, len);
    return 0;
}

/* The peer has closed its side of a stream. Of the tunnel's that is the end of the tunnel. */
static int on_h3_end_stream(nghttp3_conn *h3, int64_t stream, void *user, void *stream_user)
{
    struct masque *m = user;

    if (stream != m->stream || m->state != MASQUE_OPEN)
        return 0;
    if (capsule_parser_end(&m->parser)) {
        tunnel_abort(m, QUIC_FAIL_PROTOCOL, MASQUE_H3_MESSAGE_ERROR,
                     "the stream ended inside a capsule");
        return 0;
    }
    tunnel_abort(m, QUIC_FAIL_PEER, MASQUE_H3_NO_ERROR, "the peer ended the tunnel");
    return 0;
}

static int on_h3_stop_sending(nghttp3_conn *h3, int64_t stream, uint64_t code, void *user,
                              void *stream_user)
{
    quic_lane_stop_reading(((struct masque *)user)->lane, stream, code);
    return 0;
}

static int on_h3_reset_stream(nghttp3_conn *h3, int64_t stream, uint64_t code, void *user,
                              void *stream_user)
{
    quic_lane_shutdown_stream(((struct masque *)user)->lane, stream, code);
    return 0;
}

static int on_h3_acked(nghttp3_conn *h3, int64_t stream, uint64_t len, void *user,
                       void *stream_user)
{
    struct masque *m = user;

    if (stream == m->stream)
        outbuf_ack(&m->out, (size_t)len);
    return 0;
}

static int on_h3_deferred_consume(nghttp3_conn *h3, int64_t stream, size_t n, void *user,
                                  void *stream_user)
{
    quic_lane_consumed(((struct masque *)user)->lane, stream, n);
    return 0;
}

/* The peer is going away and will not answer requests from this one on (RFC 9114, 5.2). */
static int on_h3_shutdown(nghttp3_conn *h3, int64_t id, void *user)
{
    struct masque *m = user;

    if (masque_is_server(m) || m->stream < 0 || m->stream < id)
        return 0;
    tunnel_abort(m, QUIC_FAIL_PEER, MASQUE_H3_REQUEST_CANCELLED, "the hub is going away");
    return 0;
}

static int take_settings(struct masque *m, bool dgrams)
{
    m->got_settings = true;
    m->takes_dgrams = dgrams;
    if (dgrams && !quic_lane_dgram_max(m->lane))
        return close_with(m, MASQUE_H3_SETTINGS_ERROR, "H3_DATAGRAM without QUIC datagrams");
    if (masque_is_server(m)) {
        if (m->state == MASQUE_OPEN && !dgrams)
            tunnel_abort(m, QUIC_FAIL_PROTOCOL, MASQUE_H3_REQUEST_CANCELLED,
                         "the peer takes no HTTP Datagrams");
        else if (m->state == MASQUE_OPEN)
            quic_path_kick(quic_lane_path(m->lane));
        return 0;
    }
    if (m->state != MASQUE_WAIT_SETTINGS)
        return 0;
    if (m->settings.connect_protocol && dgrams)
        return send_request(m);
    m->state = MASQUE_ENDED;
    m->side->ops->refused(m, 0);
    return close_with(m, MASQUE_H3_NO_ERROR, "no CONNECT-IP here");
}

static int on_h3_settings(nghttp3_conn *h3, const nghttp3_settings *s, void *user)
{
    return take_settings(user, s->h3_datagram) ? NGHTTP3_ERR_CALLBACK_FAILURE : 0;
}

static const nghttp3_callbacks h3_callbacks = {
    .acked_stream_data = on_h3_acked,
    .recv_data = on_h3_data,
    .deferred_consume = on_h3_deferred_consume,
    .begin_headers = on_h3_begin_headers,
    .recv_header = on_h3_header,
    .end_headers = on_h3_end_headers,
    .stop_sending = on_h3_stop_sending,
    .end_stream = on_h3_end_stream,
    .reset_stream = on_h3_reset_stream,
    .shutdown = on_h3_shutdown,
    .recv_settings = on_h3_settings,
};

int http_new(struct masque *m)
{
    nghttp3_settings s;
    int64_t ctl, enc, dec;
    int rv;

    nghttp3_settings_default(&s);
    s.h3_datagram = 1;
    s.enable_connect_protocol = masque_is_server(m);
    s.max_field_section_size = 16384;
    rv = masque_is_server(m)
             ? nghttp3_conn_server_new(&m->h3, &h3_callbacks, &s, nghttp3_mem_default(), m)
             : nghttp3_conn_client_new(&m->h3, &h3_callbacks, &s, nghttp3_mem_default(), m);
    if (rv)
        return http_failed(m, rv);
    m->streams_max = REQUEST_STREAMS_MAX;
    if (masque_is_server(m))
        nghttp3_conn_set_max_client_streams_bidi(m->h3, m->streams_max);
    ctl = quic_lane_open_uni(m->lane);
    enc = quic_lane_open_uni(m->lane);
    dec = quic_lane_open_uni(m->lane);
    if (ctl < 0 || enc < 0 || dec < 0)
        return close_with(m, MASQUE_H3_GENERAL_PROTOCOL_ERROR, "too few streams allowed");
    rv = nghttp3_conn_bind_control_stream(m->h3, ctl);
    if (!rv)
        rv = nghttp3_conn_bind_qpack_streams(m->h3, enc, dec);
    return rv ? http_failed(m, rv) : 0;
}

void http_forget_request(struct masque *m, int64_t stream)
{
    struct req_stream *rs = http_find_request(m, stream);

    if (rs) {
        http_free_request(rs);
        rs->id = -1;
    }
    m->ended_stream = MAX(m->ended_stream, stream);
    datagrams_drop_early(m, stream);
    nghttp3_conn_set_max_client_streams_bidi(m->h3, ++m->streams_max);
    quic_lane_extend_streams(m->lane);
    if (stream != m->stream)
        return;
    m->state = MASQUE_IDLE;
    m->stream = -1;
    m->packed = false;
    outbuf_done(&m->out);
    capsule_parser_done(&m->parser);
    capsule_parser_init(&m->parser);
    idset_init(&m->request_ids);
}
