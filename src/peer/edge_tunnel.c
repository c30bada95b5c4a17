/* What the tunnel of each lane of an edge reports, and the packets between it and the session. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "peer/edge_internal.h"
#include "peer/lane_rtt.h"

static struct edge *of(const struct masque *m)
{
    return masque_side_of(m)->user;
}

/* The lane that is over that connection; NULL: it is over. */
static struct edge_lane *lane_of(const struct masque *m)
{
    return edge_lane_find(of(m), masque_lane(m));
}

/* The lane whose tunnel this is; NULL: it is not up, or over. */
static struct edge_lane *up_lane(const struct masque *m)
{
    struct edge_lane *l = masque_user(m);

    return l && l->tunnel == m ? l : NULL;
}

static void ask_for(struct capsule_addrs *list, const struct ip_addr *a)
{
    unsigned i = list->n++;

    list->v[i] = (struct assigned_addr){.request_id = i + 1,
                                        .prefix = {.addr = *a, .len = (uint8_t)ip_addr_bits(a)}};
}

/* Our own addresses; or those that we had, else any (all zeros: RFC 9484, 4.7.2). */
static void fill_request(const struct edge *e, struct capsule_addrs *ret)
{
    for (unsigned i = 0; i < e->opts.n_want; i++)
        ask_for(ret, &e->opts.want[i].addr);
    for (unsigned i = 0; i < 2 && !e->opts.n_want; i++) {
        struct ip_addr any = {.family = i ? 6 : 4};

        ask_for(ret, e->had[i].family ? &e->had[i] : &any);
    }
}

static void on_join(struct masque *m, struct masque_join *ret)
{
    struct edge *e = of(m);
    struct edge_lane *l = lane_of(m);

    if (!l)
        return;
    *ret = e->join;
    ret->path = (uint8_t)l->path->number;
    ret->lane = (uint8_t)edge_lane_number(l);
    snprintf(ret->name, sizeof(ret->name), "%s", e->opts.paths[l->path->number].name);
    ret->lanes = (uint8_t)(edge_lanes_possible(e) ? e->opts.max_lanes : 1);
}

/* The hub takes part in the session extension or does not; and it may have forgotten us: then the
 * lanes that are up belong to nothing. */
static int settle_session(struct edge *e, const struct edge_lane *l, const struct masque *m)
{
    const uint8_t *epoch = NULL;
    bool packed = masque_is_packed(m, &epoch);

    quic_path_set_bound(l->path->quic, packed && (edge_lanes_possible(e) || e->opts.n_paths), 0);
    if (packed && !memcmp(epoch, e->epoch, MASQUE_EPOCH))
        return session_set_packed(&e->session, e->reasm);
    edge_lanes_close_others(e, l);
    if (!packed) {
        session_set_plain(&e->session);
        return 0;
    }
    session_begin_anew(&e->session);
    memcpy(e->epoch, epoch, MASQUE_EPOCH);
    if (session_set_packed(&e->session, e->reasm))
        return -ENOMEM;
    edge_paths_begin_session(e);
    return 0;
}

/* The session is up with its first lane: ask for our addresses. */
static void begin(struct edge *e, struct masque *m)
{
    struct capsule_addrs want = {.n = 0};

    session_attach(&e->session);
    fill_request(e, &want);
    if (!e->opts.no_addresses && masque_send_addrs(m, CAPSULE_ADDRESS_REQUEST, &want))
        masque_close(m, MASQUE_H3_INTERNAL_ERROR, "cannot ask for addresses");
}

static unsigned all_lanes_up(const struct edge *e)
{
    unsigned n = 0;

    for (unsigned i = 0; i < e->n_paths; i++)
        n += edge_lanes_up(&e->path[i]);
    return n;
}

/* On every lane: the one that was told first may not have brought it. What finds no room now, the
 * next lane tells. */
void edge_tell_classes(struct edge *e, struct masque *m)
{
    if (e->session.pack && e->session.classes)
        masque_send_classes(m, e->session.classes);
}

static void on_open(struct masque *m)
{
    struct edge *e = of(m);
    struct edge_lane *l = lane_of(m);

    if (!l || settle_session(e, l, m)) {
        masque_close(m, MASQUE_H3_INTERNAL_ERROR, l ? "out of memory" : "not needed any more");
        return;
    }
    masque_set_user(m, l);
    edge_lane_opened(l, m);
    edge_tell_classes(e, m);
    edge_tell_paths(e, m);
    if (all_lanes_up(e) == 1)
        begin(e, m);
    if (l->path->state == EDGE_UP)
        return; /* one lane more, or another epoch */
    l->path->up_ns = e->now_ns;
    edge_path_change_state(l->path, EDGE_UP, "");
}

static void on_refused(struct masque *m, int status)
{
    edge_lane_lost(lane_of(m), &(struct edge_failure){.http_status = status});
}

/* The first address of each family is ours. */
static void take_addresses(struct edge *e, const struct capsule_addrs *addrs)
{
    for (unsigned i = addrs->n; i-- > 0;) {
        const struct ip_addr *a = &addrs->v[i].prefix.addr;

        if (assigned_addr_is_refusal(&addrs->v[i]))
            continue;
        e->had[a->family == 6] = *a;
        session_set_own(&e->session, a);
    }
}

static void on_addr_assign(struct masque *m, const struct capsule_addrs *addrs)
{
    struct edge *e = of(m);

    if (!e->opts.n_want)
        take_addresses(e, addrs);
    e->opts.events->assigned(e->opts.user, addrs);
}

static int on_addr_request(struct masque *m, const struct capsule_addrs *addrs)
{
    struct capsule_addrs none = {.n = addrs->n};

    for (unsigned i = 0; i < addrs->n; i++) { /* an edge has no addresses to give */
        none.v[i].request_id = addrs->v[i].request_id;
        none.v[i].prefix.addr.family = addrs->v[i].prefix.addr.family;
        none.v[i].prefix.len = (uint8_t)ip_addr_bits(&addrs->v[i].prefix.addr);
    }
    return masque_send_addrs(m, CAPSULE_ADDRESS_ASSIGN, &none);
}

static void on_routes(struct masque *m, const struct capsule_routes *routes)
{
    /* Which traffic goes into the tunnel is decided by the edge's own routing. */
}

static void on_lanes(struct masque *m, unsigned wanted)
{
    struct edge_lane *l = up_lane(m);

    if (!l)
        return;
    l->path->hub_wants = wanted;
    l->path->hub_wants_ns = of(m)->now_ns;
}

/* What comes over a lane that is over may be of another epoch. */
static void on_packet(struct masque *m, const uint8_t *data, size_t len)
{
    if (up_lane(m))
        session_rx(&of(m)->session, data, len);
    else
        drop_count(of(m)->side.drops, DROP_STREAM);
}

static void on_packed(struct masque *m, const uint8_t *data, size_t len)
{
    struct edge_lane *l = up_lane(m);
    struct edge *e = of(m);

    if (!l) {
        drop_count(e->side.drops, DROP_STREAM);
        return;
    }
    lane_rtt_tell(&e->session, &l->pack, l->quic);
    session_rx_packed(&e->session, &l->pack, e->now_ns, data, len);
}

static struct pkt *on_pull(struct masque *m, size_t max)
{
    struct quic_lane *quic = masque_lane(m);
    struct edge_lane *l = up_lane(m);
    struct edge *e = of(m);

    if (!l || (l->state == EDGE_LANE_LEAVING && !l->pack.unit))
        return NULL;
    if (e->session.pack)
        return session_pull_packed(&e->session, &l->pack, quic_lane_now_ns(quic), max,
                                   quic_lane_burst_bytes(quic));
    return session_pull(&e->session, quic_lane_now_ns(quic), max, quic_lane_mtu_known(quic));
}

static void on_sent(struct masque *m, uint64_t id, struct pkt *pkt)
{
    struct edge_lane *l = up_lane(m);

    if (l)
        session_sent(&of(m)->session, &l->pack, id, pkt);
    else
        pkt_free(of(m)->side.pool, pkt);
}

/* Whether the tunnel is of the session as it is now: the hub may have begun it anew since, or may
 * speak another protocol. */
static bool is_of_session(const struct edge *e, const struct masque *m)
{
    const uint8_t *epoch;

    if (!masque_is_packed(m, &epoch))
        return !e->session.pack;
    return e->session.pack && !memcmp(epoch, e->epoch, MASQUE_EPOCH);
}

/* The lane may be over by now; what it had pulled goes over another one, but not into another
 * epoch, where its numbers would make the receiver pass over what has them now. */
static void on_unsent(struct masque *m, struct pkt *pkt)
{
    struct edge *e = of(m);

    if (is_of_session(e, m)) {
        session_unsent(&e->session, quic_lane_now_ns(masque_lane(m)), pkt);
        return;
    }
    drop_count(e->side.drops, DROP_NO_SESSION);
    pkt_free(e->side.pool, pkt);
}

static void on_acked(struct masque *m, uint64_t id)
{
    struct edge_lane *l = up_lane(m);

    if (!l)
        return;
    lane_rtt_tell(&of(m)->session, &l->pack, l->quic);
    session_acked(&of(m)->session, &l->pack, id);
}

static void on_lost(struct masque *m, uint64_t id)
{
    struct edge_lane *l = up_lane(m);

    if (l)
        session_lost(&of(m)->session, &l->pack, quic_lane_now_ns(masque_lane(m)), id);
}

static void on_suspect(struct masque *m)
{
    struct edge_lane *l = up_lane(m);

    if (l)
        lane_suspect_tell(&of(m)->session, &l->pack, l->quic);
}

static void on_trusted(struct masque *m)
{
    struct edge_lane *l = up_lane(m);

    if (l)
        session_lane_trusted(&of(m)->session, &l->pack);
}

static void on_mtu(struct masque *m, size_t packet_max, bool known)
{
    struct edge *e = of(m);

    if (e->session.pack)
        e->opts.events->mtu(e->opts.user, SESSION_MTU);
    else if (known)
        e->opts.events->mtu(e->opts.user, packet_max);
    masque_kick(m);
}

static void on_down(struct masque *m, const struct quic_fail_info *why)
{
    edge_lane_lost(lane_of(m), &(struct edge_failure){.quic = *why});
}

void edge_on_lane_failed(struct masque_side *side, struct quic_lane *lane,
                         const struct quic_fail_info *why)
{
    struct edge *e = side->user;

    edge_lane_lost(edge_lane_find(e, lane), &(struct edge_failure){.quic = *why});
}

const struct masque_ops edge_tunnel_ops = {
    .join = on_join,
    .open = on_open,
    .refused = on_refused,
    .addr_assign = on_addr_assign,
    .addr_request = on_addr_request,
    .routes = on_routes,
    .lanes = on_lanes,
    .packet = on_packet,
    .packed = on_packed,
    .pull = on_pull,
    .sent = on_sent,
    .unsent = on_unsent,
    .acked = on_acked,
    .lost = on_lost,
    .suspect = on_suspect,
    .trusted = on_trusted,
    .mtu_changed = on_mtu,
    .down = on_down,
};
