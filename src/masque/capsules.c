/* Capsules of the tunnel (RFC 9297, 3; RFC 9484, 4.7). */
#include "masque/internal.h"

#include <errno.h>

nghttp3_ssize capsules_read(nghttp3_conn *h3, int64_t stream, nghttp3_vec *vec, size_t cnt,
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
    uint8_t buf[CAPSULE_HEADER_MAX + CAPSULE_VALUE_MAX];
    size_t len;
    int rv = capsule_put_routes(routes, buf, sizeof(buf), &len);

    return rv ? rv : send_capsule(m, buf, len);
}

int masque_send_lanes(struct masque *m, unsigned wanted)
{
    uint8_t buf[CAPSULE_HEADER_MAX];
    size_t len;
    int rv = capsule_put_lanes(wanted, buf, sizeof(buf), &len);

    return rv ? rv : send_capsule(m, buf, len);
}

int masque_send_path(struct masque *m, const struct path_report *report)
{
    uint8_t buf[2 * CAPSULE_HEADER_MAX + 64];
    size_t len;
    int rv = capsule_put_path(report, buf, sizeof(buf), &len);

    return rv ? rv : send_capsule(m, buf, len);
}

int masque_send_classes(struct masque *m, const struct class_table *table)
{
    uint8_t buf[CAPSULE_HEADER_MAX + CAPSULE_VALUE_MAX];
    size_t len;
    int rv = capsule_put_classes(table, buf, sizeof(buf), &len);

    return rv ? rv : send_capsule(m, buf, len);
}

/* An identifier must not be used twice in the life of the tunnel (RFC 9484, 4.7.2). */
static enum capsule_error take_request_ids(struct masque *m, const struct capsule_addrs *addrs)
{
    for (unsigned i = 0; i < addrs->n; i++) {
        int rv = idset_add(&m->request_ids, addrs->v[i].request_id);

        if (rv)
            return rv == -EEXIST ? CAPSULE_REQUEST_ID_REUSED : CAPSULE_TOO_MANY;
    }
    return CAPSULE_OK;
}

static enum capsule_error take_addr_request(struct masque *m, const struct capsule_addrs *addrs)
{
    enum capsule_error e = take_request_ids(m, addrs);

    if (e)
        return e;
    /* A peer that asks and asks but takes no answer in would fill our memory. */
    return m->side->ops->addr_request(m, addrs) == -ENOBUFS ? CAPSULE_TOO_MANY : CAPSULE_OK;
}

/* A hub may not be told: skipped like an unknown capsule, as with a peer that is not packed. */
static enum capsule_error take_lanes(struct masque *m, const struct capsule_view *c)
{
    unsigned wanted;
    enum capsule_error e;

    if (masque_is_server(m) || !m->packed || !m->side->ops->lanes)
        return CAPSULE_OK;
    e = capsule_get_lanes(c->value, c->len, &wanted);
    if (!e)
        m->side->ops->lanes(m, wanted);
    return e;
}

static enum capsule_error take_classes(struct masque *m, const struct capsule_view *c)
{
    struct class_table table;
    enum capsule_error e = capsule_get_classes(c->value, c->len, &table);

    if (!e && m->side->ops->classes)
        m->side->ops->classes(m, &table);
    return e;
}

static enum capsule_error take_path(struct masque *m, const struct capsule_view *c)
{
    struct path_report path;
    enum capsule_error e = capsule_get_path(c->value, c->len, &path);

    if (!e && m->side->ops->path)
        m->side->ops->path(m, &path);
    return e;
}

/* Those that a client tells of its session; whoever else sends them is not understood. */
static enum capsule_error take_session_capsule(struct masque *m, const struct capsule_view *c)
{
    if (!m->packed || !masque_is_server(m))
        return CAPSULE_OK;
    return c->type == CAPSULE_CLASS_TABLE ? take_classes(m, c) : take_path(m, c);
}

static enum capsule_error take_capsule(struct masque *m, const struct capsule_view *c)
{
    struct capsule_addrs addrs;
    struct capsule_routes routes;
    enum capsule_error e = CAPSULE_OK;

    switch (c->type) {
    case CAPSULE_DATAGRAM:
        datagrams_take_payload(m, c->value, c->len);
        break;
    case CAPSULE_ADDRESS_ASSIGN:
        e = capsule_get_addrs(c->type, c->value, c->len, &addrs);
        if (!e)
            m->side->ops->addr_assign(m, &addrs);
        break;
    case CAPSULE_ADDRESS_REQUEST:
        e = capsule_get_addrs(c->type, c->value, c->len, &addrs);
        if (!e)
            e = take_addr_request(m, &addrs);
        break;
    case CAPSULE_ROUTE_ADVERTISEMENT:
        e = capsule_get_routes(c->value, c->len, &routes);
        if (!e)
            m->side->ops->routes(m, &routes);
        break;
    case CAPSULE_LANES:
        e = take_lanes(m, c);
        break;
    case CAPSULE_CLASS_TABLE:
    case CAPSULE_PATH_STATUS:
        e = take_session_capsule(m, c);
        break;
    }
    return e;
}

void capsules_take(struct masque *m, const uint8_t *data, size_t len)
{
    struct capsule_view c;
    int rv;

    while (m->state == MASQUE_OPEN && (rv = capsule_parser_next(&m->parser, &data, &len, &c))) {
        enum capsule_error e = rv < 0 ? m->parser.error : take_capsule(m, &c);

        if (e)
            tunnel_abort(m, QUIC_FAIL_PROTOCOL, capsule_error_h3_code(e), capsule_error_name(e));
    }
    drop_count_n(m->side->drops, DROP_OVERSIZE_CAPSULE, m->parser.datagrams_skipped);
    m->parser.datagrams_skipped = 0;
}
