/* The tunnels of a peer: packets between them and its session, and what else they report. */
#include <errno.h>
#include <stdio.h>

#include "base/util.h"
#include "peer/internal.h"
#include "peer/lane_rtt.h"

#define LOOK_NS (100 * NS_PER_MS) /* how many lanes we want is looked at so often, */
#define REPEAT_NS (2 * NS_PER_S)  /* and said again after so long */

/* The lane whose tunnel this is; NULL: it is over, or has none yet. */
struct member_lane *member_lane_of(const struct masque *m)
{
    struct member_lane *l = masque_user(m);

    return l && l->tunnel == m ? l : NULL;
}

/* --- the packets of a tunnel ------------------------------------------------------------- */

static bool is_learnable(const struct hub *h, const struct ip_addr *a)
{
    return policy_contains(h->policy->peer_prefixes, h->policy->n_peer_prefixes, a) &&
           !policy_contains(h->opts.own, h->opts.n_own, a) && !lease_governs(h->leases, a);
}

/* Whether the peer may use this source, which it then has, if it can be learned. */
static bool source_ok(struct member *p, const struct ip_addr *src, enum drop_reason *ret_why)
{
    struct hub *h = p->hub;
    struct table_owner *owner;
    enum table_kind kind;
    int rv;

    *ret_why = DROP_SOURCE;
    if (table_find(h->table, src, &owner, &kind) && kind != TABLE_LEARNED) {
        if (owner == &p->owner)
            return true;
        if (p->rule && policy_contains(p->rule->prefix, p->rule->n_prefix, src))
            *ret_why = DROP_SOURCE_TAKEN; /* another instance under the same rule has it */
        return false;
    }
    if (!h->policy->multi)
        return policy_contains(h->policy->peer_prefixes, h->policy->n_peer_prefixes, src);
    if (!is_learnable(h, src))
        return false;
    rv = table_learn(h->table, &p->owner, src, h->now_ns);
    if (rv == -EBUSY && table_find(h->table, src, &owner, &kind) && owner &&
        member_is_absent(container_of(owner, struct member, owner))) {
        table_unlearn(h->table, owner);
        rv = table_learn(h->table, &p->owner, src, h->now_ns);
    }
    *ret_why = rv == -ENOMEM ? DROP_NO_BUFFER : DROP_SOURCE_TAKEN;
    return !rv;
}

static bool dest_ok(const struct hub *h, const struct ip_addr *dst)
{
    struct table_owner *owner;
    enum table_kind kind;

    return !h->policy->multi || h->policy->peer_to_peer ||
           !table_find(h->table, dst, &owner, &kind);
}

bool member_on_admit(void *user, const struct ip_view *v, enum drop_reason *ret_why)
{
    struct member *p = user;

    if (!source_ok(p, &v->src, ret_why)) {
        p->bad_sources++;
        p->bad_ns = p->hub->now_ns;
        p->bad = v->src;
        p->hub->bad_id = *member_id(p);
        p->hub->bad_source = v->src;
        return false;
    }
    *ret_why = DROP_PEER_TO_PEER;
    return dest_ok(p->hub, &v->dst);
}

static void on_packet(struct masque *m, const uint8_t *data, size_t len)
{
    struct member_lane *l = member_lane_of(m);

    if (l)
        session_rx(&l->member->session, data, len);
    else
        drop_count(hub_of(m)->opts.quic.drops, DROP_STREAM);
}

static void on_packed(struct masque *m, const uint8_t *data, size_t len)
{
    struct member_lane *l = member_lane_of(m);

    if (!l) {
        drop_count(hub_of(m)->opts.quic.drops, DROP_STREAM);
        return;
    }
    lane_rtt_tell(&l->member->session, &l->pack, masque_lane(m));
    session_rx_packed(&l->member->session, &l->pack, quic_lane_now_ns(masque_lane(m)), data, len);
    member_rearm(l->member);
}

static struct pkt *on_pull(struct masque *m, size_t max)
{
    struct quic_lane *quic = masque_lane(m);
    struct member_lane *l = member_lane_of(m);
    uint64_t now_ns = quic_lane_now_ns(quic);

    if (!l)
        return NULL;
    if (l->member->session.pack) {
        struct pkt *pkt = session_pull_packed(&l->member->session, &l->pack, now_ns, max,
                                              quic_lane_burst_bytes(quic));

        member_wake_by(l->member, l->member->session.pack->kick_ns);
        return pkt;
    }
    return session_pull(&l->member->session, now_ns, max, quic_lane_mtu_known(quic));
}

static void on_sent(struct masque *m, uint64_t id, struct pkt *pkt)
{
    struct member_lane *l = member_lane_of(m);

    if (!l) {
        pkt_free(hub_of(m)->opts.quic.pool, pkt);
        return;
    }
    session_sent(&l->member->session, &l->pack, id, pkt);
    if (session_has_paths(&l->member->session))
        member_wake_by(l->member, l->member->session.watch_ns);
}

static void on_unsent(struct masque *m, struct pkt *pkt)
{
    struct member_lane *l = member_lane_of(m);

    if (l) {
        session_unsent(&l->member->session, quic_lane_now_ns(masque_lane(m)), pkt);
        return;
    }
    drop_count(hub_of(m)->opts.quic.drops, DROP_NO_SESSION);
    pkt_free(hub_of(m)->opts.quic.pool, pkt);
}

/* Tell the peer how many lanes we would like, by what we send: at once when it is more, and now and
 * then while it is more than one, because what was said holds for some seconds only. */
static void tell_lanes(struct member_lane *l, uint64_t now_ns)
{
    struct member_path *path = l->member->path[l->path];
    unsigned wanted;

    if (now_ns < path->look_ns)
        return;
    path->look_ns = now_ns + LOOK_NS;
    wanted = quic_path_lanes_wanted(path->quic, now_ns);
    if (wanted <= path->told && (wanted == 1 || now_ns - path->told_ns < REPEAT_NS))
        return;
    if (masque_send_lanes(l->tunnel, wanted))
        return;
    path->told = (uint8_t)wanted;
    path->told_ns = now_ns;
}

/* The session has one lane more. */
static void join_session(struct member_lane *l)
{
    struct session *s = &l->member->session;

    session_lane_begin(s, &l->pack, (uint8_t)(MASQUE_PATH_LANES_MAX * l->path + l->number));
    lane_rtt_tell(s, &l->pack, masque_lane(l->tunnel));
}

/* What is learnt may be that the path has to be looked after. */
static void learn_rtt(struct member_lane *l)
{
    const struct quic_lane *quic = masque_lane(l->tunnel);

    if (!session_lane_rtt_due(&l->pack, quic_lane_now_ns(quic)))
        return;
    lane_rtt_tell(&l->member->session, &l->pack, quic);
    member_rearm(l->member);
}

static void on_acked(struct masque *m, uint64_t id)
{
    struct member_lane *l = member_lane_of(m);

    if (!l)
        return;
    learn_rtt(l);
    session_acked(&l->member->session, &l->pack, id);
    tell_lanes(l, quic_lane_now_ns(masque_lane(m)));
}

static void on_lost(struct masque *m, uint64_t id)
{
    struct member_lane *l = member_lane_of(m);

    if (l)
        session_lost(&l->member->session, &l->pack, quic_lane_now_ns(masque_lane(m)), id);
}

static void on_suspect(struct masque *m)
{
    struct member_lane *l = member_lane_of(m);

    if (!l)
        return;
    lane_suspect_tell(&l->member->session, &l->pack, masque_lane(m));
    member_rearm(l->member);
}

static void on_trusted(struct masque *m)
{
    struct member_lane *l = member_lane_of(m);

    if (l)
        session_lane_trusted(&l->member->session, &l->pack);
}

static void on_path(struct masque *m, const struct path_report *report)
{
    struct member_lane *l = member_lane_of(m);

    if (l)
        session_set_path(&l->member->session, report);
}

void member_watch(void *user)
{
    struct member *p = user;

    for (struct member_lane *l = p->lanes; l; l = l->next)
        if (l->open && session_other_path_works(&p->session, l->path))
            quic_lane_suspect_after(masque_lane(l->tunnel), SESSION_SUSPECT_NS);
}

static void on_mtu(struct masque *m, size_t packet_max, bool known)
{
    struct member_lane *l = member_lane_of(m);
    struct member *p = l ? l->member : NULL;

    if (!p)
        return;
    if (known || p->session.pack) {
        p->packet_max = p->session.pack ? SESSION_MTU : packet_max;
        hub_tell_mtu(p->hub);
    }
    masque_kick(m);
}

void member_kick(void *user)
{
    struct member *p = user;

    for (unsigned i = 0; i < MASQUE_PATHS_MAX; i++)
        if (p->path[i])
            quic_path_kick(p->path[i]->quic);
}

/* --- what else a tunnel reports ------------------------------------------------------------ */

/* What may be sent here: everything of the families that the tunnel has. */
static int send_routes(const struct hub *h, struct masque *m)
{
    struct capsule_routes routes = {.n = 0};

    for (uint8_t family = 4; family <= 6; family += 2) {
        struct ip_prefix all = {.addr.family = family};
        bool ours = false;

        for (unsigned i = 0; i < h->opts.n_own; i++)
            ours |= h->opts.own[i].addr.family == family;
        if (ours)
            routes.v[routes.n++] = ip_route_range_of(&all, 0);
    }
    return masque_send_routes(m, &routes);
}

/* The peer has its first lane, again or at all. */
static void begin(struct member *p, struct masque *m)
{
    struct hub *h = p->hub;

    past_remove(&h->past, member_id(p));
    p->open = true;
    p->up_ns = h->now_ns;
    session_attach(&p->session);
    member_claim(p);
    h->opts.events->peer_up(h->opts.user, member_id(p), quic_lane_remote(masque_lane(m)));
}

/* A peer that names its instance is known to ask for addresses: it gets none before, because one
 * that it does not want could be the one that another peer asks for. Every lane of a session is
 * told the same addresses. */
static void on_open(struct masque *m)
{
    struct member_lane *l = member_lane_of(m);
    struct member *p = l->member;
    bool first = !p->open;
    int rv;

    l->open = true;
    join_session(l);
    if (first)
        begin(p, m);
    member_path_opened(p, l->path, quic_lane_remote(masque_lane(m)));
    if (first && !*member_id(p)->instance)
        rv = member_send_addresses(p, m);
    else
        rv = member_send_held(p, m);
    if (rv || send_routes(p->hub, m))
        masque_close(m, MASQUE_H3_INTERNAL_ERROR, "cannot send addresses and routes");
}

static void on_addr_assign(struct masque *m, const struct capsule_addrs *addrs)
{
    /* A hub takes its addresses from its own configuration. */
}

/* One that is out of date is ignored, and so it is without memory: the former one holds. */
static void on_classes(struct masque *m, const struct class_table *table)
{
    struct member_lane *l = member_lane_of(m);

    if (l)
        session_set_classes(&l->member->session, table, false);
}

static void on_routes(struct masque *m, const struct capsule_routes *routes)
{
    /* What lies behind a peer is the hub's to allow: its policy. */
}

/* The client stops, and says so: nobody will come back to this session. */
static bool ends_session(const struct quic_fail_info *why)
{
    return why->fail == QUIC_FAIL_PEER && why->app && why->code == MASQUE_SESSION_END;
}

static void on_down(struct masque *m, const struct quic_fail_info *why)
{
    struct member_lane *l = member_lane_of(m);
    char text[256];

    if (!l)
        return;
    snprintf(text, sizeof(text), "%s%s%s%s", quic_fail_meaning(why->fail), *why->detail ? " (" : "",
             why->detail, *why->detail ? ")" : "");
    if (ends_session(why) && l->member->session.pack)
        member_close(l->member, "it has stopped");
    else
        member_lane_over(l, text, true);
}

const struct masque_ops member_ops = {
    .request = member_on_request,
    .open = on_open,
    .addr_assign = on_addr_assign,
    .addr_request = member_on_addr_request,
    .routes = on_routes,
    .classes = on_classes,
    .packet = on_packet,
    .packed = on_packed,
    .pull = on_pull,
    .sent = on_sent,
    .unsent = on_unsent,
    .acked = on_acked,
    .lost = on_lost,
    .suspect = on_suspect,
    .trusted = on_trusted,
    .path = on_path,
    .mtu_changed = on_mtu,
    .down = on_down,
};
