#include "bond/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "packet/frag.h"
#include "packet/icmp.h"
#include "packet/ip.h"
#include "packet/segment.h"
#include "packet/super.h"

/* Packet-too-big answers: at most one per this time. A sender needs one, not one per packet. */
#define TOO_BIG_INTERVAL_NS (2 * NS_PER_MS)

void session_init(struct session *s, const struct session_opts *opts)
{
    memset(s, 0, sizeof(*s));
    s->opts = *opts;
    fq_init(&s->queue, &(struct fq_opts){.flows = opts->flows,
                                         .pool = opts->pool,
                                         .drops = opts->drops,
                                         .max_bytes = SESSION_QUEUE_BYTES,
                                         .max_age_ns = SESSION_AGE_MAX_NS});
    queue_init(&s->pieces, SESSION_QUEUE_BYTES);
    queue_init(&s->held, SESSION_QUEUE_BYTES);
}

void session_done(struct session *s)
{
    session_set_plain(s);
    free(s->classes);
    fq_flush(&s->queue, DROP_NO_SESSION);
    queue_flush(&s->pieces, s->opts.pool);
    queue_flush(&s->held, s->opts.pool);
}

void session_set_own(struct session *s, const struct ip_addr *own)
{
    s->opts.own[own->family == 6] = *own;
}

void session_attach(struct session *s)
{
    s->attached = true;
}

static void drop(struct session *s, struct pkt *pkt, enum drop_reason why)
{
    drop_count(s->opts.drops, why);
    pkt_free(s->opts.pool, pkt);
}

void session_detach(struct session *s)
{
    struct pkt *pkt;

    s->attached = false;
    while ((pkt = queue_pop(&s->pieces)) || (pkt = queue_pop(&s->held)))
        drop(s, pkt, DROP_NO_SESSION);
    fq_flush(&s->queue, DROP_NO_SESSION);
}

bool session_scope_ok(const struct ip_view *v, enum drop_reason *ret_why)
{
    if (ip_addr_is_linklocal(&v->src) || ip_addr_is_linklocal(&v->dst)) {
        *ret_why = DROP_LINK_LOCAL;
        return false;
    }
    if (ip_addr_is_multicast(&v->dst) || ip_addr_is_multicast(&v->src)) {
        *ret_why = DROP_MULTICAST;
        return false;
    }
    return true;
}

void session_stats_get(const struct session *s, struct session_stats *ret)
{
    *ret = s->stats;
    if (!s->pack)
        return;
    ret->tx_packets += s->pack->stats.packets;
    ret->tx_bytes += s->pack->stats.bytes;
    ret->again += s->pack->stats.again;
    ret->gone += s->pack->stats.gone;
    ret->copies += s->pack->stats.copies;
}

void session_stats_add(struct session_stats *sum, const struct session_stats *s)
{
    sum->tx_packets += s->tx_packets;
    sum->tx_bytes += s->tx_bytes;
    sum->rx_packets += s->rx_packets;
    sum->rx_bytes += s->rx_bytes;
    sum->too_big_answers += s->too_big_answers;
    sum->again += s->again;
    sum->gone += s->gone;
    sum->copies += s->copies;
}

unsigned session_queued(const struct session *s)
{
    return s->queue.n + s->pieces.n + s->held.n;
}

/* How many packets of its size class may wait in fq, beside those that it does not know of. */
static unsigned queue_packets(const struct session *s, const struct pkt *pkt)
{
    unsigned share = pkt_pool_left(s->opts.pool, pkt) / SESSION_POOL_SHARE + 1;
    unsigned aside = s->pieces.n_class[pkt->pool_class] + s->held.n_class[pkt->pool_class];

    return share > aside ? MIN(share - aside, (unsigned)FQ_PACKETS_MAX) : 0;
}

static bool is_stale(const struct pkt *pkt, uint64_t now_ns)
{
    return now_ns > pkt->queued_ns + SESSION_AGE_MAX_NS;
}

/* Those in front are the oldest. */
static void drop_stale(struct session *s, struct queue *q, uint64_t now_ns)
{
    while (queue_peek(q) && is_stale(queue_peek(q), now_ns))
        drop(s, queue_pop(q), DROP_STALE);
}

bool session_age(struct session *s, uint64_t now_ns)
{
    drop_stale(s, &s->pieces, now_ns);
    drop_stale(s, &s->held, now_ns);
    fq_age(&s->queue, now_ns);
    return session_queued(s) > 0;
}

void session_send(struct session *s, uint64_t now_ns, struct pkt *pkt)
{
    enum drop_reason why;
    struct ip_view v;

    if (ip_view_parse_pkt(pkt, &v, &why))
        drop(s, pkt, why);
    else
        session_send_view(s, now_ns, pkt, &v);
}

void session_send_view(struct session *s, uint64_t now_ns, struct pkt *pkt, const struct ip_view *v)
{
    bool super = pkt->gso != PKT_GSO_NONE;
    enum drop_reason why;

    if (!session_scope_ok(v, &why)) {
        drop(s, pkt, why);
        return;
    }
    if (!s->attached) {
        drop(s, pkt, DROP_NO_SESSION);
        return;
    }
    if (super_settle(pkt, v)) {
        drop(s, pkt, super ? DROP_BAD_SUPER : DROP_MALFORMED);
        return;
    }
    fq_set_max_packets(&s->queue, pkt->pool_class, queue_packets(s, pkt));
    fq_push(&s->queue, now_ns, pkt, v);
    s->opts.kick(s->opts.kick_user);
}

/* Tell the sender what fits (IPv6 never less than 1280: RFC 8200, 5). */
static void answer_too_big(struct session *s, uint64_t now_ns, const struct pkt *pkt,
                           const struct ip_view *v, size_t max)
{
    const struct ip_addr *own = &s->opts.own[v->version == 6];
    struct pkt *answer;

    if (now_ns < s->too_big_ns || !own->family || (v->version == 6 && max < IP6_MIN_MTU))
        return;
    /* IPv4 names the packet's destination as the sender: a kernel drops what comes in from an
     * address of its own. */
    if (icmp_too_big(s->opts.pool, pkt->data, v, v->version == 4 ? &v->dst : own, (uint32_t)max,
                     &answer))
        return;
    s->too_big_ns = now_ns + TOO_BIG_INTERVAL_NS;
    s->stats.too_big_answers++;
    s->opts.deliver(s->opts.deliver_user, answer);
}

/* Cut a packet into fragments, which go next. */
static void fragment(struct session *s, struct pkt *pkt, const struct ip_view *v, size_t max)
{
    struct pkt_batch batch = {0};
    uint64_t queued_ns = pkt->queued_ns, flow = pkt->flow;
    unsigned room = queue_packets(s, pkt) + 1;
    int rv = frag_ipv4(s->opts.pool, pkt, v, (uint32_t)max, &batch);

    if (rv) {
        drop(s, pkt, rv == -ENOBUFS ? DROP_NO_BUFFER : DROP_TOO_BIG);
        return;
    }
    for (unsigned i = 0; i < batch.n; i++) {
        batch.v[i]->queued_ns = queued_ns;
        batch.v[i]->flow = flow;
        if (batch.n > room || queue_push(&s->pieces, batch.v[i]))
            drop(s, batch.v[i], DROP_QUEUE_FULL);
    }
}

/* The first segment in place of a super-packet, whose sender learns of it as if it had sent that.
 */
static struct pkt *only_first_segment(struct session *s, struct pkt *super)
{
    struct pkt *pkt = segment_take(s->opts.pool, super);

    pkt_free(s->opts.pool, super);
    if (!pkt)
        drop_count(s->opts.drops, DROP_NO_BUFFER);
    return pkt;
}

/* Deal with a packet that is too large for the tunnel. */
static void oversize(struct session *s, uint64_t now_ns, struct pkt *pkt, size_t max)
{
    enum drop_reason why;
    struct ip_view v;

    if (pkt->gso != PKT_GSO_NONE) {
        pkt = only_first_segment(s, pkt);
        if (!pkt)
            return;
    }
    if (ip_view_parse(pkt->data, pkt->len, &v, &why)) {
        drop(s, pkt, why);
        return;
    }
    if (v.version == 4 && !v.df) {
        fragment(s, pkt, &v, max);
        return;
    }
    answer_too_big(s, now_ns, pkt, &v, max);
    drop(s, pkt, DROP_TOO_BIG);
}

/* While the search for the path MTU goes on, a round trip or a few, what may yet fit waits aside
 * and lets smaller packets pass. The peer decides how long that takes: so what waits here counts
 * towards the session's share of the buffers, and becomes stale as in the queue. */
static void hold(struct session *s, uint64_t now_ns, struct pkt *pkt)
{
    drop_stale(s, &s->held, now_ns);
    if (!queue_packets(s, pkt) || queue_push(&s->held, pkt))
        drop(s, pkt, DROP_QUEUE_FULL);
}

/* The search is over: what was held goes to the front of its flow again, in its order. */
static void release_held(struct session *s, uint64_t now_ns)
{
    struct queue newest_first;
    struct pkt *pkt;

    queue_init(&newest_first, SESSION_QUEUE_BYTES);
    while ((pkt = queue_pop(&s->held)))
        queue_push_front(&newest_first, pkt);
    while ((pkt = queue_pop(&newest_first)))
        fq_unpop(&s->queue, now_ns, pkt);
}

/* Whether what the router may cut of it is cut here: IPv4 without DF. */
static bool may_be_cut(const struct pkt *pkt)
{
    enum { FLAGS = 6, DF = 0x40 };

    return pkt->data[0] >> 4 == 4 && !(pkt->data[FLAGS] & DF);
}

/* The next segment of the super-packet that is first in the queue. Without a buffer for it, it is
 * lost: the lane would not come again for what it did not get. */
static struct pkt *next_segment(struct session *s, uint64_t now_ns, struct pkt *super)
{
    uint32_t payload = segment_payload(super), bytes = super->hdr_len + payload;
    struct pkt *pkt = segment_take(s->opts.pool, super);

    if (!pkt) {
        super->taken += payload;
        drop_count(s->opts.drops, DROP_NO_BUFFER);
    }
    fq_took(&s->queue, now_ns, payload, bytes);
    return pkt;
}

/* The next packet of the queue: an ordinary one, a segment, or a whole super-packet whose segments
 * are too large to go. */
static struct pkt *next_packet(struct session *s, uint64_t now_ns, size_t max, bool mtu_known)
{
    struct pkt *pkt;

    while ((pkt = fq_front(&s->queue, now_ns))) {
        bool fits = pkt->hdr_len + segment_payload(pkt) <= max;

        if (pkt->gso == PKT_GSO_NONE || (!fits && !(mtu_known && may_be_cut(pkt))))
            return fq_take(&s->queue, now_ns);
        pkt = next_segment(s, now_ns, pkt);
        if (pkt)
            return pkt;
    }
    return NULL;
}

struct pkt *session_pull(struct session *s, uint64_t now_ns, size_t max, bool mtu_known)
{
    struct pkt *pkt;

    if (mtu_known && s->held.n)
        release_held(s, now_ns);
    while ((pkt = queue_pop(&s->pieces)) || (pkt = next_packet(s, now_ns, max, mtu_known))) {
        if (pkt->len <= max && pkt->gso == PKT_GSO_NONE)
            break;
        if (mtu_known)
            oversize(s, now_ns, pkt, max);
        else
            hold(s, now_ns, pkt);
    }
    if (pkt) {
        s->stats.tx_packets++;
        s->stats.tx_bytes += pkt->len;
    }
    return pkt;
}

static void count_received(struct session *s, const struct ip_view *v)
{
    s->stats.rx_packets++;
    s->stats.rx_bytes += v->total_len;
}

void session_rx(struct session *s, const uint8_t *data, size_t len)
{
    enum drop_reason why;
    struct ip_view v;
    struct pkt *pkt;

    if (ip_view_parse(data, len, &v, &why) || !session_scope_ok(&v, &why)) {
        drop_count(s->opts.drops, why);
        return;
    }
    if (s->opts.admit && !s->opts.admit(s->opts.admit_user, &v, &why)) {
        drop_count(s->opts.drops, why);
        return;
    }
    if (s->opts.receive) {
        count_received(s, &v);
        s->opts.receive(s->opts.deliver_user, data, &v);
        return;
    }
    pkt = pkt_new(s->opts.pool, v.total_len);
    if (!pkt) {
        drop_count(s->opts.drops, DROP_NO_BUFFER);
        return;
    }
    memcpy(pkt->data, data, v.total_len);
    pkt->len = v.total_len;
    count_received(s, &v);
    s->opts.deliver(s->opts.deliver_user, pkt);
}
