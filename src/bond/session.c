#include "bond/session.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "packet/csum.h"
#include "packet/frag.h"
#include "packet/icmp.h"
#include "packet/ip.h"

/* Packet-too-big answers: at most one per this time. A sender needs one, not one per packet. */
#define TOO_BIG_INTERVAL_NS (2 * NS_PER_MS)

void session_init(struct session *s, const struct session_opts *opts)
{
    memset(s, 0, sizeof(*s));
    s->opts = *opts;
    queue_init(&s->queue, SESSION_QUEUE_BYTES);
    queue_init(&s->held, SESSION_QUEUE_BYTES);
}

void session_done(struct session *s)
{
    queue_flush(&s->queue, s->opts.pool);
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
    while ((pkt = queue_pop(&s->held)) || (pkt = queue_pop(&s->queue)))
        drop(s, pkt, DROP_NO_SESSION);
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

void session_stats_add(struct session_stats *sum, const struct session_stats *s)
{
    sum->tx_packets += s->tx_packets;
    sum->tx_bytes += s->tx_bytes;
    sum->rx_packets += s->rx_packets;
    sum->rx_bytes += s->rx_bytes;
    sum->too_big_answers += s->too_big_answers;
}

unsigned session_queued(const struct session *s)
{
    return s->queue.n + s->held.n;
}

static bool may_queue(const struct session *s, const struct pkt *pkt)
{
    return session_queued(s) <= pkt_pool_left(s->opts.pool, pkt) / SESSION_POOL_SHARE;
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
    enum drop_reason why;

    if (!session_scope_ok(v, &why)) {
        drop(s, pkt, why);
        return;
    }
    if (!s->attached) {
        drop(s, pkt, DROP_NO_SESSION);
        return;
    }
    if (csum_complete(pkt)) {
        drop(s, pkt, DROP_MALFORMED);
        return;
    }
    pkt->queued_ns = now_ns;
    if (!may_queue(s, pkt) || queue_push(&s->queue, pkt)) {
        drop(s, pkt, DROP_QUEUE_FULL);
        return;
    }
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

/* Cut the oldest packet into fragments, which take its place in the queue. Returns 0, or -errno
 * when it must be dropped. */
static int fragment_head(struct session *s, uint64_t now_ns, const struct ip_view *v, size_t max)
{
    struct pkt_batch batch = {0};
    struct pkt *pkt = queue_pop(&s->queue);
    int rv = frag_ipv4(s->opts.pool, pkt, v, (uint32_t)max, &batch);

    if (rv) {
        drop(s, pkt, rv == -ENOBUFS ? DROP_NO_BUFFER : DROP_TOO_BIG);
        return rv;
    }
    for (unsigned i = batch.n; i-- > 0;) {
        batch.v[i]->queued_ns = now_ns;
        queue_push_front(&s->queue, batch.v[i]);
    }
    return 0;
}

/* Deal with an oldest packet that is too large for the tunnel. */
static void oversize_head(struct session *s, uint64_t now_ns, size_t max)
{
    const struct pkt *pkt = queue_peek(&s->queue);
    enum drop_reason why;
    struct ip_view v;

    if (ip_view_parse(pkt->data, pkt->len, &v, &why)) {
        drop(s, queue_pop(&s->queue), why);
        return;
    }
    if (v.version == 4 && !v.df) {
        fragment_head(s, now_ns, &v, max);
        return;
    }
    answer_too_big(s, now_ns, pkt, &v, max);
    drop(s, queue_pop(&s->queue), DROP_TOO_BIG);
}

/* While the search for the path MTU goes on, a round trip or a few, what may yet fit waits aside
 * and lets smaller packets pass. */
static void hold_head(struct session *s)
{
    struct pkt *pkt = queue_pop(&s->queue);

    if (queue_push(&s->held, pkt))
        drop(s, pkt, DROP_QUEUE_FULL);
}

/* The search is over: what was held goes first again, in its order. */
static void release_held(struct session *s)
{
    struct queue newer = s->queue;
    struct pkt *pkt;

    if (!s->held.n)
        return;
    s->queue = s->held;
    queue_init(&s->held, SESSION_QUEUE_BYTES);
    while ((pkt = queue_pop(&newer)))
        if (queue_push(&s->queue, pkt))
            drop(s, pkt, DROP_QUEUE_FULL);
}

struct pkt *session_pull(struct session *s, uint64_t now_ns, size_t max, bool mtu_known)
{
    struct pkt *pkt;

    if (mtu_known)
        release_held(s);
    while ((pkt = queue_peek(&s->queue))) {
        if (now_ns > pkt->queued_ns + SESSION_AGE_MAX_NS)
            drop(s, queue_pop(&s->queue), DROP_STALE);
        else if (pkt->len <= max)
            break;
        else if (mtu_known)
            oversize_head(s, now_ns, max);
        else
            hold_head(s);
    }
    pkt = queue_pop(&s->queue);
    if (pkt) {
        s->stats.tx_packets++;
        s->stats.tx_bytes += pkt->len;
    }
    return pkt;
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
    pkt = pkt_new(s->opts.pool, v.total_len);
    if (!pkt) {
        drop_count(s->opts.drops, DROP_NO_BUFFER);
        return;
    }
    memcpy(pkt->data, data, v.total_len);
    pkt->len = v.total_len;
    s->stats.rx_packets++;
    s->stats.rx_bytes += pkt->len;
    s->opts.deliver(s->opts.deliver_user, pkt);
}
