/* HTTP Datagrams of a lane (RFC 9297, 2; RFC 9484, 6). */
#include "masque/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire/dgram.h"
#include "wire/packed.h"

/* Context identifier of path MTU probes: never registered, so that the peer drops the datagram
 * (RFC 9484, 6: even ones are the client's, odd ones the server's). */
enum { CONTEXT_PROBE_CLIENT = 62, CONTEXT_PROBE_SERVER = 63 };

void datagrams_take_payload(struct masque *m, const uint8_t *data, size_t len)
{
    uint64_t context;
    size_t n;

    if (dgram_get_context(data, len, &context, &n)) {
        drop_count(m->side->drops, DROP_MALFORMED);
        return;
    }
    if (context == DGRAM_CONTEXT_IP)
        m->side->ops->packet(m, data + n, len - n);
    else if (context == PACKED_CONTEXT && m->packed)
        m->side->ops->packed(m, data + n, len - n);
    else if (context != CONTEXT_PROBE_CLIENT && context != CONTEXT_PROBE_SERVER)
        drop_count(m->side->drops, DROP_CONTEXT);
}

/* Keep a datagram of a request that is not open yet. */
static void keep_early(struct masque *m, int64_t stream, const uint8_t *data, size_t len)
{
    int rv = early_add(&m->early, stream, data, len);

    if (rv)
        drop_count(m->side->drops, rv == -ENOMEM ? DROP_NO_BUFFER : DROP_EARLY);
}

/* The tunnel has opened on this stream: what came early is for it now. */
void datagrams_deliver_early(struct masque *m)
{
    struct early_packet *p;

    while (m->state == MASQUE_OPEN && (p = early_take(&m->early, m->stream))) {
        datagrams_take_payload(m, p->data, p->len);
        free(p);
    }
}

/* There will be no tunnel on this stream. */
void datagrams_drop_early(struct masque *m, int64_t stream)
{
    struct early_packet *p;

    while ((p = early_take(&m->early, stream))) {
        drop_count(m->side->drops, DROP_STREAM);
        free(p);
    }
}

void datagrams_drop_all_early(struct masque *m)
{
    struct early_packet *p;

    while ((p = early_take_any(&m->early))) {
        drop_count(m->side->drops, DROP_STREAM);
        free(p);
    }
}

/* Whether a tunnel may yet open on this stream. */
static bool may_open(const struct masque *m, int64_t stream)
{
    if (m->state == MASQUE_IDLE)
        return stream > m->ended_stream;
    return m->state == MASQUE_REQUESTED && stream == m->stream;
}

void datagrams_on_rx(struct quic_lane *lane, const uint8_t *data, size_t len)
{
    struct masque *m = masque_of(lane);
    uint64_t stream;
    size_t n;

    if (!m)
        return;
    if (dgram_get_stream(data, len, &stream, &n)) {
        drop_count(m->side->drops, DROP_MALFORMED);
        quic_lane_close(m->lane, H3_DATAGRAM_ERROR, "malformed HTTP Datagram");
        return;
    }
    data += n;
    len -= n;
    if (m->state == MASQUE_OPEN && (int64_t)stream == m->stream)
        datagrams_take_payload(m, data, len);
    else if (may_open(m, (int64_t)stream))
        keep_early(m, (int64_t)stream, data, len);
    else
        drop_count(m->side->drops, DROP_STREAM);
}

static struct masque_side *lane_side(const struct quic_lane *lane)
{
    return quic_path_user(quic_lane_path(lane));
}

static uint64_t context_of(const struct masque *m)
{
    return m->packed ? PACKED_CONTEXT : DGRAM_CONTEXT_IP;
}

size_t datagrams_prefix_len(const struct masque *m)
{
    return dgram_prefix_len((uint64_t)m->stream, context_of(m));
}

struct pkt *datagrams_on_pull(struct quic_lane *lane, size_t max)
{
    struct masque *m = masque_of(lane);
    size_t prefix;
    struct pkt *pkt;

    if (!m || m->state != MASQUE_OPEN || !m->takes_dgrams)
        return NULL;
    prefix = datagrams_prefix_len(m);
    if (max <= prefix)
        return NULL;
    pkt = m->side->ops->pull(m, max - prefix);
    if (pkt && dgram_push_prefix(pkt, (uint64_t)m->stream, context_of(m))) {
        drop_count(m->side->drops, DROP_NO_BUFFER);
        pkt_free(m->side->pool, pkt);
        return NULL;
    }
    return pkt;
}

static void strip_prefix(const struct masque *m, struct pkt *pkt)
{
    size_t prefix = datagrams_prefix_len(m);

    pkt->data += prefix;
    pkt->len -= (uint32_t)prefix;
}

void datagrams_on_sent(struct quic_lane *lane, uint64_t id, struct pkt *pkt)
{
    struct masque *m = masque_of(lane);

    if (m && m->state == MASQUE_OPEN && m->packed) {
        strip_prefix(m, pkt);
        m->side->ops->sent(m, id, pkt);
    } else {
        pkt_free(lane_side(lane)->pool, pkt);
    }
}

void datagrams_on_unsent(struct quic_lane *lane, struct pkt *pkt)
{
    struct masque *m = masque_of(lane);

    if (m && m->state == MASQUE_OPEN && m->side->ops->unsent) {
        strip_prefix(m, pkt);
        m->side->ops->unsent(m, pkt);
    } else {
        drop_count(lane_side(lane)->drops, DROP_NO_SESSION);
        pkt_free(lane_side(lane)->pool, pkt);
    }
}

void datagrams_on_acked(struct quic_lane *lane, uint64_t id)
{
    struct masque *m = masque_of(lane);

    if (m && m->state == MASQUE_OPEN && m->packed)
        m->side->ops->acked(m, id);
}

void datagrams_on_lost(struct quic_lane *lane, uint64_t id)
{
    struct masque *m = masque_of(lane);

    if (m && m->state == MASQUE_OPEN && m->packed)
        m->side->ops->lost(m, id);
}

bool datagrams_on_probe(struct quic_lane *lane, uint8_t *buf, size_t len)
{
    struct masque *m = masque_of(lane);
    size_t n;

    if (!m || m->state != MASQUE_OPEN || !m->takes_dgrams)
        return false;
    n = dgram_prefix_put(buf, len, (uint64_t)m->stream,
                         masque_is_server(m) ? CONTEXT_PROBE_SERVER : CONTEXT_PROBE_CLIENT);
    if (!n)
        return false;
    memset(buf + n, 0, len - n);
    return true;
}
