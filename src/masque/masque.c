#include "masque/masque.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nghttp3/nghttp3.h>

#include "masque/outbuf.h"
#include "masque/request.h"
#include "masque/settings.h"
#include "wire/dgram.h"

/* Context identifier of path MTU probes: never registered, so that the peer drops the datagram
 * (RFC 9484, 6: even ones are the client's, odd ones the server's). */
enum { CONTEXT_PROBE_CLIENT = 62, CONTEXT_PROBE_SERVER = 63 };

enum { REQUEST_STREAMS_MAX = 8 }; /* as many as the QUIC layer lets a client open */

enum state {
    MASQUE_WAIT_SETTINGS, /* edge: for the hub's SETTINGS */
    MASQUE_REQUESTED,     /* edge: for the answer */
    MASQUE_IDLE,          /* hub: for a request */
    MASQUE_OPEN,
    MASQUE_ENDED
};

struct early_packet {
    size_t len;
    int64_t stream;
    struct early_packet *next;
    uint8_t data[];
};

/* A request being received (hub) or our own (edge). */
struct req_stream {
    int64_t id; /* -1: free */
    struct masque_request req;
};

struct masque {
    struct masque_side *side;
    struct quic_lane *lane;
    void *user;
    nghttp3_conn *h3;
    enum state state;
    int64_t stream; /* of the tunnel, -1 before */
    int status;     /* edge: of the answer */
    struct req_stream reqs[REQUEST_STREAMS_MAX];
    struct settings_tap settings; /* edge: the hub's */
    struct capsule_parser *parser;
    struct outbuf out;
    struct early_packet *early, **early_end;
    unsigned n_early;
};

/* --- small helpers --------------------------------------------------------------------- */

static struct masque *of(const struct quic_lane *lane)
{
    return quic_lane_user(lane);
}

static bool is_server(const struct masque *m)
{
    return quic_lane_is_server(m->lane);
}

/* Close the lane after an error of the HTTP/3 library; for callbacks that return int. */
static int h3_failed(struct masque *m, int liberr)
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

static struct req_stream *find_req(struct masque *m, int64_t id)
{
    for (int i = 0; i < REQUEST_STREAMS_MAX; i++)
        if (m->reqs[i].id == id)
            return &m->reqs[i];
    return NULL;
}

static void tell_packet_max(struct masque *m)
{
    if (m->state == MASQUE_OPEN)
        m->side->ops->mtu_changed(m, masque_packet_max(m), quic_lane_mtu_known(m->lane));
}

/* --- datagrams ------------------------------------------------------------------------- */

static void take_payload(struct masque *m, const uint8_t *data, size_t len)
{
    uint64_t context;
    size_t n;

    if (dgram_get_context(data, len, &context, &n)) {
        drop_count(m->side->drops, DROP_MALFORMED);
        return;
    }
    if (context == DGRAM_CONTEXT_IP)
        m->side->ops->packet(m, data + n, len - n);
    else if (context != CONTEXT_PROBE_CLIENT && context != CONTEXT_PROBE_SERVER)
        drop_count(m->side->drops, DROP_CONTEXT);
}

/* Keep a datagram of a request that is not open yet. */
static void keep_early(struct masque *m, int64_t stream, const uint8_t *data, size_t len)
{
    struct early_packet *e;

    if (m->n_early == MASQUE_EARLY_PACKETS_MAX) {
        drop_count(m->side->drops, DROP_EARLY);
        return;
    }
    e = malloc(sizeof(*e) + len);
    if (!e) {
        drop_count(m->side->drops, DROP_NO_BUFFER);
        return;
    }
    e->next = NULL;
    e->len = len;
    e->stream = stream;
    memcpy(e->data, data, len);
    *m->early_end = e;
    m->early_end = &e->next;
    m->n_early++;
}

static void release_early(struct masque *m, bool deliver)
{
    struct early_packet *e = m->early;

    m->early = NULL;
    m->early_end = &m->early;
    m->n_early = 0;
    while (e) {
        struct early_packet *next = e->next;

        if (deliver && e->stream == m->stream)
            take_payload(m, e->data, e->len);
        else
            drop_count(m->side->drops, DROP_STREAM);
        free(e);
        e = next;
    }
}

static void on_dgram_rx(struct quic_lane *lane, const uint8_t *data, size_t len)
{
    struct masque *m = of(lane);
    uint64_t stream;
    size_t n;

    if (!m)
        return;
    if (dgram_get_stream(data, len, &stream, &n)) {
        drop_count(m->side->drops, DROP_MALFORMED);
        close_with(m, H3_DATAGRAM_ERROR, "malformed HTTP Datagram");
        return;
    }
    data += n;
    len -= n;
    if (m->state == MASQUE_OPEN && (int64_t)stream == m->stream)
        take_payload(m, data, len);
    else if (m->state == MASQUE_IDLE ||
             (m->state == MASQUE_REQUESTED && (int64_t)stream == m->stream))
        keep_early(m, (int64_t)stream, data, len);
    else
        drop_count(m->side->drops, DROP_STREAM);
}

static struct pkt *on_dgram_pull(struct quic_lane *lane, size_t max)
{
    struct masque *m = of(lane);
    size_t prefix;
    struct pkt *pkt;

    if (!m || m->state != MASQUE_OPEN)
        return NULL;
    prefix = dgram_prefix_len((uint64_t)m->stream, DGRAM_CONTEXT_IP);
    if (max <= prefix)
        return NULL;
    pkt = m->side->ops->pull(m, max - prefix);
    if (pkt && dgram_push_prefix(pkt, (uint64_t)m->stream, DGRAM_CONTEXT_IP)) {
        drop_count(m->side->drops, DROP_NO_BUFFER);
        pkt_free(m->side->pool, pkt);
        return NULL;
    }
    return pkt;
}

static bool on_dgram_probe(struct quic_lane *lane, uint8_t *buf, size_t len)
{
    struct masque *m = of(lane);
    size_t n;

    if (!m || m->state != MASQUE_OPEN)
        return false;
    n = dgram_prefix_put(buf, len, (uint64_t)m->stream,
                         is_server(m) ? CONTEXT_PROBE_SERVER : CONTEXT_PROBE_CLIENT);
    if (!n)
        return false;
    memset(buf + n, 0, len - n);
    return true;
}

static void on_mtu_changed(struct quic_lane *lane, size_t dgram_max)
{
    if (of(lane))
        tell_packet_max(of(lane));
}

/* --- capsules -------------------------------------------------------------------------- */

static nghttp3_ssize read_capsules(nghttp3_conn *h3, int64_t stream, nghttp3_vec *vec, size_t cnt,
                                   uint32_t *flags, void *user, void *stream_user)
{
    struct masque *m = user;
    const struct outbuf_chunk *c = outbuf_next(&m->out);

    if (!c)
        return NGHTTP3_ERR_WOULDBLOCK;
    vec[0].base = (uint8_t *)c->data;
    vec[0].len = c->len;
    return 1;
}

static int send_capsule(struct masque *m, const uint8_t *buf, size_t len)
{
    if (m->state != MASQUE_OPEN)
        return -ENOTCONN;
    if (m->out.bytes + len > MASQUE_OUT_MAX)
        return -ENOBUFS;
    if (outbuf_add(&m->out, buf, len))
        return -ENOBUFS;
    nghttp3_conn_resume_stream(m->h3, m->stream);
    quic_lane_kick(m->lane);
    return 0;
}

int masque_send_addrs(struct masque *m, enum capsule_type type, const struct capsule_addrs *addrs)
{
    uint8_t buf[CAPSULE_HEADER_MAX + CAPSULE_ADDRS_MAX * 32];
    size_t len;
    int rv = capsule_put_addrs(type, addrs, buf, sizeof(buf), &len);

    return rv ? rv : send_capsule(m, buf, len);
}

int masque_send_routes(struct masque *m, const struct capsule_routes *routes)
{
    static uint8_t buf[CAPSULE_HEADER_MAX + CAPSULE_VALUE_MAX];
    size_t len;
    int rv = capsule_put_routes(routes, buf, sizeof(buf), &len);

    return rv ? rv : send_capsule(m, buf, len);
}

/* Abort the tunnel's stream for a malformed capsule (RFC 9297, 3.3). */
static void abort_tunnel(struct masque *m, uint64_t code, const char *reason)
{
    struct quic_fail_info why = {.fail = QUIC_FAIL_PROTOCOL, .app = true, .code = code};

    if (m->state == MASQUE_ENDED)
        return;
    snprintf(why.detail, sizeof(why.detail), "%s", reason);
    m->state = MASQUE_ENDED;
    quic_lane_shutdown_stream(m->lane, m->stream, code);
    m->side->ops->down(m, &why);
}

static enum capsule_error take_capsule(struct masque *m, const struct capsule_view *c)
{
    struct capsule_addrs addrs;
    struct capsule_routes routes;
    enum capsule_error e = CAPSULE_OK;

    switch (c->type) {
    case CAPSULE_DATAGRAM:
        take_payload(m, c->value, c->len);
        break;
    case CAPSULE_ADDRESS_ASSIGN:
    case CAPSULE_ADDRESS_REQUEST:
        e = capsule_get_addrs(c->type, c->value, c->len, &addrs);
        if (e)
            break;
        if (c->type == CAPSULE_ADDRESS_ASSIGN)
            m->side->ops->addr_assign(m, &addrs);
        else
            m->side->ops->addr_request(m, &addrs);
        break;
    case CAPSULE_ROUTE_ADVERTISEMENT:
        e = capsule_get_routes(c->value, c->len, &routes);
        if (!e)
            m->side->ops->routes(m, &routes);
        break;
    }
    return e;
}

static int on_h3_data(nghttp3_conn *h3, int64_t stream, const uint8_t *data, size_t len, void *user,
                      void *stream_user)
{
    struct masque *m = user;
    struct capsule_view c;
    int rv;

    quic_lane_consumed(m->lane, stream, len);
    if (m->state != MASQUE_OPEN || stream != m->stream)
        return 0; /* the body of a request that we refuse */
    while (m->state == MASQUE_OPEN && (rv = capsule_parser_next(m->parser, &data, &len, &c))) {
        enum capsule_error e = rv < 0 ? m->parser->error : take_capsule(m, &c);

        if (e) {
            abort_tunnel(m, capsule_error_h3_code(e), capsule_error_name(e));
            break;
        }
    }
    return 0;
}

/* --- the request ----------------------------------------------------------------------- */

static nghttp3_nv nv(const char *name, const char *value)
{
    return (nghttp3_nv){.name = (uint8_t *)name,
                        .value = (uint8_t *)value,
                        .namelen = strlen(name),
                        .valuelen = strlen(value),
                        .flags = NGHTTP3_NV_FLAG_NONE};
}

static void open_tunnel(struct masque *m, int64_t stream)
{
    m->stream = stream;
    m->state = MASQUE_OPEN;
    m->side->ops->open(m);
    if (m->state == MASQUE_OPEN)
        tell_packet_max(m);
    release_early(m, m->state == MASQUE_OPEN);
    quic_path_kick(quic_lane_path(m->lane));
}

/* edge: SETTINGS have come, ask for the tunnel (RFC 9484, 4.2). */
static int send_request(struct masque *m)
{
    static const nghttp3_data_reader reader = {.read_data = read_capsules};
    char bearer[MASQUE_VALUE_MAX];
    nghttp3_nv fields[8];
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
    if (m->side->token) {
        snprintf(bearer, sizeof(bearer), "Bearer %s", m->side->token);
        fields[n] = nv("authorization", bearer);
        fields[n++].flags = NGHTTP3_NV_FLAG_NEVER_INDEX;
    }
    rv = nghttp3_conn_submit_request(m->h3, m->stream, fields, n, &reader, NULL);
    explicit_bzero(bearer, sizeof(bearer));
    if (rv)
        return h3_failed(m, rv);
    m->state = MASQUE_REQUESTED;
    quic_lane_kick(m->lane);
    return 0;
}

/* hub: answer a request; the tunnel opens with a 2xx. */
static int send_response(struct masque *m, int64_t stream, int status)
{
    static const nghttp3_data_reader reader = {.read_data = read_capsules};
    bool ok = status >= 200 && status < 300;
    char text[16];
    nghttp3_nv fields[3];
    size_t n = 0;
    int rv;

    snprintf(text, sizeof(text), "%d", status);
    fields[n++] = nv(":status", text);
    if (ok)
        fields[n++] = nv("capsule-protocol", "?1");
    if (status == 401)
        fields[n++] = nv("www-authenticate", "Bearer");
    if (status == 405)
        fields[n++] = nv("allow", "CONNECT");
    rv = nghttp3_conn_submit_response(m->h3, stream, fields, n, ok ? &reader : NULL);
    if (rv)
        return h3_failed(m, rv);
    quic_lane_kick(m->lane);
    if (ok)
        open_tunnel(m, stream);
    else
        quic_lane_stop_reading(m->lane, stream, MASQUE_H3_NO_ERROR); /* RFC 9114, 4.1.1 */
    return 0;
}

static int take_request(struct masque *m, struct req_stream *rs)
{
    int status = masque_request_status(&rs->req);

    if (status == 200)
        status = m->state == MASQUE_IDLE ? m->side->ops->request(m, &rs->req) : 503;
    explicit_bzero(rs->req.authorization, sizeof(rs->req.authorization));
    return send_response(m, rs->id, status);
}

static int take_answer(struct masque *m)
{
    if (m->status >= 100 && m->status < 200)
        return 0;
    if (m->status >= 200 && m->status < 300) {
        open_tunnel(m, m->stream);
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

    if (!is_server(m)) {
        m->status = 0;
        return 0;
    }
    rs = find_req(m, -1);
    if (!rs)
        return NGHTTP3_ERR_CALLBACK_FAILURE;
    memset(&rs->req, 0, sizeof(rs->req));
    rs->id = stream;
    return 0;
}

static int on_h3_header(nghttp3_conn *h3, int64_t stream, int32_t token, nghttp3_rcbuf *name,
                        nghttp3_rcbuf *value, uint8_t flags, void *user, void *stream_user)
{
    struct masque *m = user;
    nghttp3_vec n = nghttp3_rcbuf_get_buf(name), v = nghttp3_rcbuf_get_buf(value);
    struct req_stream *rs;

    if (!is_server(m)) {
        if (token == NGHTTP3_QPACK_TOKEN__STATUS && v.len == 3)
            m->status = (v.base[0] - '0') * 100 + (v.base[1] - '0') * 10 + (v.base[2] - '0');
        return 0;
    }
    rs = find_req(m, stream);
    if (rs)
        masque_request_field(&rs->req, (const char *)n.base, n.len, v.base, v.len);
    return 0;
}

static int on_h3_end_headers(nghttp3_conn *h3, int64_t stream, int fin, void *user,
                             void *stream_user)
{
    struct masque *m = user;
    struct req_stream *rs;
    int rv;

    if (is_server(m)) {
        rs = find_req(m, stream);
        rv = rs ? take_request(m, rs) : 0;
    } else {
        rv = stream == m->stream && m->state == MASQUE_REQUESTED ? take_answer(m) : 0;
    }
    return rv ? NGHTTP3_ERR_CALLBACK_FAILURE : 0;
}

/* The peer has closed its side of a stream. Of the tunnel's that is the end of the tunnel. */
static int on_h3_end_stream(nghttp3_conn *h3, int64_t stream, void *user, void *stream_user)
{
    struct masque *m = user;
    struct quic_fail_info why = {.fail = QUIC_FAIL_PEER, .app = true, .code = MASQUE_H3_NO_ERROR};

    if (stream != m->stream || m->state != MASQUE_OPEN)
        return 0;
    if (capsule_parser_end(m->parser)) {
        abort_tunnel(m, MASQUE_H3_MESSAGE_ERROR, "the stream ended inside a capsule");
        return 0;
    }
    m->state = MASQUE_ENDED;
    snprintf(why.detail, sizeof(why.detail), "the peer ended the tunnel");
    m->side->ops->down(m, &why);
    quic_lane_shutdown_stream(m->lane, stream, MASQUE_H3_NO_ERROR);
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

static int on_h3_settings(nghttp3_conn *h3, const nghttp3_settings *s, void *user)
{
    struct masque *m = user;

    if (s->h3_datagram && !quic_lane_dgram_max(m->lane))
        return close_with(m, MASQUE_H3_SETTINGS_ERROR, "H3_DATAGRAM without QUIC datagrams")
                   ? NGHTTP3_ERR_CALLBACK_FAILURE
                   : 0;
    if (m->state != MASQUE_WAIT_SETTINGS)
        return 0;
    if (!m->settings.connect_protocol || !s->h3_datagram) {
        m->state = MASQUE_ENDED;
        m->side->ops->refused(m, 0);
        close_with(m, MASQUE_H3_NO_ERROR, "no CONNECT-IP here");
        return NGHTTP3_ERR_CALLBACK_FAILURE;
    }
    return send_request(m) ? NGHTTP3_ERR_CALLBACK_FAILURE : 0;
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
    .recv_settings = on_h3_settings,
};

/* --- the lane's life ------------------------------------------------------------------- */

static int make_h3(struct masque *m)
{
    nghttp3_settings s;
    int64_t ctl, enc, dec;
    int rv;

    nghttp3_settings_default(&s);
    s.h3_datagram = 1;
    s.enable_connect_protocol = is_server(m);
    s.max_field_section_size = 16384;
    rv = is_server(m)
             ? nghttp3_conn_server_new(&m->h3, &h3_callbacks, &s, nghttp3_mem_default(), m)
             : nghttp3_conn_client_new(&m->h3, &h3_callbacks, &s, nghttp3_mem_default(), m);
    if (rv)
        return h3_failed(m, rv);
    if (is_server(m))
        nghttp3_conn_set_max_client_streams_bidi(m->h3, REQUEST_STREAMS_MAX);
    ctl = quic_lane_open_uni(m->lane);
    enc = quic_lane_open_uni(m->lane);
    dec = quic_lane_open_uni(m->lane);
    if (ctl < 0 || enc < 0 || dec < 0)
        return close_with(m, MASQUE_H3_GENERAL_PROTOCOL_ERROR, "too few streams allowed");
    rv = nghttp3_conn_bind_control_stream(m->h3, ctl);
    if (!rv)
        rv = nghttp3_conn_bind_qpack_streams(m->h3, enc, dec);
    return rv ? h3_failed(m, rv) : 0;
}

static void masque_free(struct masque *m)
{
    release_early(m, false);
    if (m->h3)
        nghttp3_conn_del(m->h3);
    outbuf_done(&m->out);
    free(m->parser);
    free(m);
}

static int on_lane_up(struct quic_lane *lane)
{
    struct masque *m = calloc(1, sizeof(*m));

    if (!m)
        return -1;
    m->side = quic_path_user(quic_lane_path(lane));
    m->lane = lane;
    m->stream = -1;
    m->early_end = &m->early;
    for (int i = 0; i < REQUEST_STREAMS_MAX; i++)
        m->reqs[i].id = -1;
    m->state = is_server(m) ? MASQUE_IDLE : MASQUE_WAIT_SETTINGS;
    m->parser = malloc(sizeof(*m->parser));
    if (!m->parser) {
        masque_free(m);
        return -1;
    }
    capsule_parser_init(m->parser);
    quic_lane_set_user(lane, m);
    if (make_h3(m))
        return -1;
    quic_lane_kick(lane);
    return 0;
}

static void on_lane_down(struct quic_lane *lane, const struct quic_fail_info *why)
{
    struct masque *m = of(lane);
    struct masque_side *side = quic_path_user(quic_lane_path(lane));

    if (!m) { /* the handshake failed */
        if (side->lane_failed)
            side->lane_failed(side, why);
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
    struct masque *m = of(lane);
    nghttp3_ssize n;

    if (!m)
        return (ssize_t)len;
    if (!is_server(m) && (stream & 3) == 3)
        settings_tap_data(&m->settings, stream, data, len);
    n = nghttp3_conn_read_stream(m->h3, stream, data, len, fin);
    return n < 0 ? h3_failed(m, (int)n) : (ssize_t)n;
}

static int on_stream_acked(struct quic_lane *lane, int64_t stream, uint64_t bytes)
{
    struct masque *m = of(lane);
    int rv = m ? nghttp3_conn_add_ack_offset(m->h3, stream, bytes) : 0;

    return rv ? h3_failed(m, rv) : 0;
}

static int on_stream_closed(struct quic_lane *lane, int64_t stream, uint64_t app_error)
{
    struct masque *m = of(lane);
    struct quic_fail_info why = {.fail = QUIC_FAIL_PEER, .app = true, .code = app_error};
    struct req_stream *rs;
    int rv;

    if (!m)
        return 0;
    rv = nghttp3_conn_close_stream(m->h3, stream, app_error);
    rs = is_server(m) ? find_req(m, stream) : NULL;
    if (rs)
        rs->id = -1;
    if (is_server(m) && !(stream & 3))
        quic_lane_extend_streams(lane);
    if (stream == m->stream && m->state != MASQUE_ENDED) {
        m->state = MASQUE_ENDED;
        snprintf(why.detail, sizeof(why.detail), "the request stream was closed");
        m->side->ops->down(m, &why);
    }
    if (stream == m->stream && is_server(m)) {
        m->state = MASQUE_IDLE; /* the peer may ask again */
        m->stream = -1;
        outbuf_done(&m->out);
        capsule_parser_init(m->parser);
    }
    return rv && rv != NGHTTP3_ERR_STREAM_NOT_FOUND ? h3_failed(m, rv) : 0;
}

static int on_stream_reset(struct quic_lane *lane, int64_t stream, uint64_t app_error)
{
    struct masque *m = of(lane);
    int rv = m ? nghttp3_conn_shutdown_stream_read(m->h3, stream) : 0;

    if (m && stream == m->stream && m->state == MASQUE_OPEN)
        quic_lane_shutdown_stream(lane, stream, MASQUE_H3_REQUEST_CANCELLED);
    return rv ? h3_failed(m, rv) : 0;
}

static int on_stream_stop_sending(struct quic_lane *lane, int64_t stream, uint64_t app_error)
{
    struct masque *m = of(lane);
    int rv = m ? nghttp3_conn_shutdown_stream_read(m->h3, stream) : 0;

    return rv ? h3_failed(m, rv) : 0;
}

static int on_stream_writable(struct quic_lane *lane, int64_t stream)
{
    struct masque *m = of(lane);

    if (m) {
        nghttp3_conn_unblock_stream(m->h3, stream);
        quic_lane_kick(lane);
    }
    return 0;
}

static int on_stream_pull(struct quic_lane *lane, int64_t *ret_stream, bool *ret_fin,
                          struct iovec *v, int n)
{
    struct masque *m = of(lane);
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
    return cnt < 0 ? h3_failed(m, (int)cnt) : (int)cnt;
}

static int on_stream_wrote(struct quic_lane *lane, int64_t stream, size_t bytes)
{
    struct masque *m = of(lane);
    int rv = m ? nghttp3_conn_add_write_offset(m->h3, stream, bytes) : 0;

    return rv ? h3_failed(m, rv) : 0;
}

static void on_stream_blocked(struct quic_lane *lane, int64_t stream)
{
    if (of(lane))
        nghttp3_conn_block_stream(of(lane)->h3, stream);
}

static void on_stream_shut(struct quic_lane *lane, int64_t stream)
{
    if (of(lane))
        nghttp3_conn_shutdown_stream_write(of(lane)->h3, stream);
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
    .dgram_rx = on_dgram_rx,
    .dgram_pull = on_dgram_pull,
    .dgram_probe = on_dgram_probe,
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

void masque_kick(struct masque *m)
{
    quic_path_kick(quic_lane_path(m->lane));
}

size_t masque_packet_max(const struct masque *m)
{
    size_t dgram = quic_lane_dgram_max(m->lane), prefix;

    if (m->state != MASQUE_OPEN)
        return 0;
    prefix = dgram_prefix_len((uint64_t)m->stream, DGRAM_CONTEXT_IP);
    return dgram > prefix ? dgram - prefix : 0;
}

void masque_close(struct masque *m, uint64_t h3_error, const char *reason)
{
    quic_lane_close(m->lane, h3_error, reason);
}
