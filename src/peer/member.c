/* Who comes and goes at a hub: identity, take-over, addresses, and the packets of a tunnel. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "masque/request.h"
#include "peer/internal.h"
#include "peer/lane_rtt.h"

static struct hub *hub_of(const struct masque *m)
{
    return masque_side_of(m)->user;
}

/* The peer whose tunnel this is; NULL: it has lost it, or has none yet. */
static struct member *member_of(const struct masque *m)
{
    struct member *p = masque_user(m);

    return p && p->tunnel == m ? p : NULL;
}

static const struct hub_peer_id *id_of(const struct member *p)
{
    return lease_client_id(p->client);
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
    rv = table_learn(h->table, &p->owner, src, quic_lane_now_ns(masque_lane(p->tunnel)));
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

/* From the session: whether a packet of the tunnel may come in. */
static bool on_admit(void *user, const struct ip_view *v, enum drop_reason *ret_why)
{
    struct member *p = user;

    if (!source_ok(p, &v->src, ret_why)) {
        p->bad_sources++;
        p->bad_ns = quic_lane_now_ns(masque_lane(p->tunnel));
        p->bad = v->src;
        p->hub->bad_id = *id_of(p);
        p->hub->bad_source = v->src;
        return false;
    }
    *ret_why = DROP_PEER_TO_PEER;
    return dest_ok(p->hub, &v->dst);
}

static void on_packet(struct masque *m, const uint8_t *data, size_t len)
{
    struct member *p = member_of(m);

    if (p)
        session_rx(&p->session, data, len);
    else
        drop_count(hub_of(m)->opts.quic.drops, DROP_STREAM);
}

/* The receiver waits for something else now, or for nothing. */
static void rearm(struct member *p)
{
    uint64_t at_ns = session_deadline_ns(&p->session);

    if (at_ns == TIME_NEVER_NS)
        heap_remove(&p->hub->waiting, &p->timer);
    else if (!p->timer.place || p->timer.key_ns != at_ns)
        heap_set(&p->hub->waiting, &p->timer, at_ns); /* out of memory: the next packet tries */
}

void member_timeout(struct member *p, uint64_t now_ns)
{
    session_timeout(&p->session, now_ns);
    rearm(p);
}

static void on_packed(struct masque *m, const uint8_t *data, size_t len)
{
    struct member *p = member_of(m);

    if (!p) {
        drop_count(hub_of(m)->opts.quic.drops, DROP_STREAM);
        return;
    }
    lane_rtt_tell(&p->session, &p->lane, masque_lane(m));
    session_rx_packed(&p->session, &p->lane, quic_lane_now_ns(masque_lane(m)), data, len);
    rearm(p);
}

static struct pkt *on_pull(struct masque *m, size_t max)
{
    struct quic_lane *lane = masque_lane(m);
    struct member *p = member_of(m);
    uint64_t now_ns = quic_lane_now_ns(lane);

    if (!p)
        return NULL;
    if (p->session.pack)
        return session_pull_packed(&p->session, &p->lane, now_ns, max, quic_lane_burst_bytes(lane));
    return session_pull(&p->session, now_ns, max, quic_lane_mtu_known(lane));
}

static void on_sent(struct masque *m, uint64_t id, struct pkt *pkt)
{
    struct member *p = member_of(m);

    if (p)
        session_sent(&p->session, &p->lane, id, pkt);
    else
        pkt_free(hub_of(m)->opts.quic.pool, pkt);
}

static void on_unsent(struct masque *m, struct pkt *pkt)
{
    struct member *p = member_of(m);

    if (p) {
        session_unsent(&p->session, quic_lane_now_ns(masque_lane(m)), pkt);
        return;
    }
    drop_count(hub_of(m)->opts.quic.drops, DROP_NO_SESSION);
    pkt_free(hub_of(m)->opts.quic.pool, pkt);
}

static void on_acked(struct masque *m, uint64_t id)
{
    struct member *p = member_of(m);

    if (p)
        session_acked(&p->session, &p->lane, id);
}

static void on_lost(struct masque *m, uint64_t id)
{
    struct member *p = member_of(m);

    if (p)
        session_lost(&p->session, &p->lane, quic_lane_now_ns(masque_lane(m)), id);
}

static void on_mtu(struct masque *m, size_t packet_max, bool known)
{
    struct member *p = member_of(m);

    if (!p)
        return;
    if (known || p->session.pack) {
        p->packet_max = p->session.pack ? SESSION_MTU : packet_max;
        hub_tell_mtu(p->hub);
    }
    masque_kick(m);
}

/* From the session: there is something to pull. */
static void on_kick(void *user)
{
    masque_kick(((struct member *)user)->tunnel);
}

/* --- members ----------------------------------------------------------------------------- */

static struct member *find(const struct hub *h, const struct hub_peer_id *id)
{
    for (unsigned i = 0; i < h->n_members; i++) {
        const struct hub_peer_id *has = id_of(h->members[i]);

        if (!strcmp(has->name, id->name) &&
            (!h->policy->multi || !strcmp(has->instance, id->instance)))
            return h->members[i];
    }
    return NULL;
}

static int add_to_list(struct hub *h, struct member *p)
{
    if (h->n_members == h->cap_members) {
        unsigned cap = MAX(2 * h->cap_members, 16u);
        struct member **v = realloc(h->members, cap * sizeof(struct member *));

        if (!v)
            return -ENOMEM;
        h->members = v;
        h->cap_members = cap;
    }
    p->place = h->n_members;
    h->members[h->n_members++] = p;
    return 0;
}

static void remove_from_list(struct hub *h, const struct member *p)
{
    struct member *last = h->members[--h->n_members];

    h->members[p->place] = last;
    last->place = p->place;
}

static struct member *member_new(struct hub *h, struct lease_client *client)
{
    struct session_opts so = {.pool = h->opts.quic.pool, .drops = h->opts.quic.drops};
    struct member *p = calloc(1, sizeof(*p));

    if (!p || add_to_list(h, p)) {
        free(p);
        return NULL;
    }
    p->hub = h;
    p->client = client;
    p->rule = policy_rule(h->policy, lease_client_id(client));
    so.admit = on_admit;
    so.admit_user = p;
    so.deliver = h->opts.events->deliver;
    so.receive = h->opts.events->receive;
    so.deliver_user = h->opts.user;
    so.kick = on_kick;
    so.kick_user = p;
    so.flows = h->flows;
    session_init(&p->session, &so);
    for (unsigned i = 0; i < h->opts.n_own; i++)
        session_set_own(&p->session, &h->opts.own[i].addr);
    return p;
}

/* The tunnel is over, the peer may stay. */
static void lose_tunnel(struct member *p, const char *why)
{
    struct hub *h = p->hub;
    bool was_open = p->open;

    session_detach(&p->session);
    if (p->tunnel) {
        session_lane_done(&p->session, &p->lane, quic_lane_now_ns(masque_lane(p->tunnel)));
        masque_set_user(p->tunnel, NULL);
    }
    p->open = false;
    p->tunnel = NULL;
    p->packet_max = 0;
    table_unassign(h->table, &p->owner);
    if (was_open)
        h->opts.events->peer_down(h->opts.user, id_of(p), why);
}

/* What lay behind a peer that is gone may lie behind another one under the same rule. */
static void hand_on_prefixes(struct hub *h, const struct hub_rule *rule)
{
    for (unsigned i = 0; rule && rule->n_prefix && i < h->n_members; i++)
        if (h->members[i]->rule == rule)
            member_claim(h->members[i]);
}

/* For those who ask who is missing. */
static void note_gone(struct member *p, const char *why)
{
    struct quic_lane *lane = masque_lane(p->tunnel);
    struct hub_absent_info info = {.id = *id_of(p),
                                   .remote = *quic_lane_remote(lane),
                                   .gone_ns = quic_lane_now_ns(lane),
                                   .cert_until_s = quic_lane_peer_until_s(lane)};

    snprintf(info.why, sizeof(info.why), "%s", why);
    past_add(&p->hub->past, &info);
}

void member_release(struct member *p, const char *why)
{
    struct hub *h = p->hub;
    const struct hub_rule *rule = p->rule;
    struct session_stats stats;

    if (p->open && p->tunnel)
        note_gone(p, why);
    lose_tunnel(p, why);
    table_leave(h->table, &p->owner);
    lease_client_close(h->leases, p->client);
    session_stats_get(&p->session, &stats);
    session_stats_add(&h->gone, &stats);
    heap_remove(&h->waiting, &p->timer);
    session_done(&p->session);
    remove_from_list(h, p);
    free(p);
    hand_on_prefixes(h, rule);
    hub_tell_mtu(h);
}

void member_close(struct member *p, const char *why)
{
    struct masque *m = p->tunnel;

    member_release(p, why);
    masque_close(m, MASQUE_H3_NO_ERROR, why);
}

void member_claim(struct member *p)
{
    for (unsigned i = 0; p->rule && i < p->rule->n_prefix; i++)
        table_claim(p->hub->table, &p->owner, &p->rule->prefix[i]);
}

/* --- who is it --------------------------------------------------------------------------- */

/* What a request shows of its sender. */
struct shown {
    struct hub_peer_id id;
    bool by_token;
    uint64_t token_digest;
};

/* False when it has shown neither certificate nor token. A token, when one is shown, must be right
 * even beside a certificate. */
static bool identify(const struct hub *h, const struct masque *m, const struct masque_request *req,
                     struct shown *ret)
{
    const char *name = quic_lane_peer_name(masque_lane(m)), *given;

    snprintf(ret->id.instance, sizeof(ret->id.instance), "%s", req->instance);
    if (h->policy->n_tokens && (!*name || masque_request_bearer(req, &given))) {
        const struct hub_token *token =
            masque_request_bearer(req, &given) ? policy_token(h->policy, given) : NULL;

        if (token) {
            ret->by_token = true;
            ret->token_digest = policy_token_digest(h->policy, token->token);
        }
        name = token ? token->name : "";
    }
    if (!*name || strlen(name) >= sizeof(ret->id.name))
        return false;
    snprintf(ret->id.name, sizeof(ret->id.name), "%s", name);
    return true;
}

/* --- a request --------------------------------------------------------------------------- */

/* Room for one more peer. Returns NULL, or why there is none. */
static const char *admit_new(struct hub *h, const struct hub_peer_id *id, struct member **ret)
{
    struct lease_client *client;
    int rv;

    if (h->n_members >= policy_max_peers(h->policy))
        return h->policy->multi ? "as many peers as may be are connected"
                                : "another peer has the tunnel";
    rv = lease_client_open(h->leases, id, &client);
    if (rv)
        return rv == -ENOSPC          ? "as many instances of this peer as may be are connected"
               : rv == -EADDRNOTAVAIL ? "no address is left for another peer"
                                      : "out of memory";
    *ret = member_new(h, client);
    if (*ret)
        return NULL;
    lease_client_close(h->leases, client);
    return "out of memory";
}

/* The same peer has connected again: it goes on with what it has learned and counted, on the new
 * connection. */
static void take_over(struct member *p)
{
    struct masque *old = p->tunnel;

    lose_tunnel(p, "the same peer has connected again");
    masque_close(old, MASQUE_H3_NO_ERROR, HUB_TAKEN_OVER);
    lease_client_rest(p->hub->leases, p->client);
}

/* One process takes its own place when it has lost its connection; two that take it from each other
 * go on for ever. An edge that speaks the session extension says which it is. */
static void note_contest(struct member *p, const struct masque *m, const struct masque_join *join)
{
    const struct hub *h = p->hub;
    struct quic_lane *lane = masque_lane((struct masque *)m);
    uint64_t now_ns = quic_lane_now_ns(lane);

    if (join->version && p->session.pack &&
        !memcmp(p->session_id, join->session, MASQUE_SESSION_ID))
        return;
    if (now_ns > p->contested_ns + HUB_CONTESTED_GAP_NS)
        p->contested = 0;
    p->contested++;
    p->contested_ns = now_ns;
    if (p->contested >= HUB_CONTESTED && h->opts.events->contested)
        h->opts.events->contested(h->opts.user, id_of(p), quic_lane_remote(lane), p->contested);
}

/* Whether the certificate of a newcomer still holds; else its lane is closed. */
static bool still_valid(const struct hub *h, struct quic_lane *lane)
{
    enum quic_fail fail =
        quic_lane_now_ns(lane) < h->recheck_until_ns ? quic_lane_recheck(lane) : QUIC_FAIL_NONE;

    if (fail)
        quic_lane_reject(lane, fail);
    return !fail;
}

/* The tunnel is to be one lane of a session: that which the peer has, or a new one. Returns 0 or
 * -ENOMEM. */
static int join_session(struct member *p, struct masque *m, const struct masque_join *join)
{
    const struct quic_endpoint_opts *q = &p->hub->opts.quic;
    bool fresh = !p->session.pack;

    if (!join->version || p->hub->opts.plain) {
        session_set_plain(&p->session);
        return 0;
    }
    if (session_set_packed(&p->session, p->hub->reasm))
        return -ENOMEM;
    if (fresh || memcmp(p->session_id, join->session, MASQUE_SESSION_ID) != 0) {
        session_begin_anew(&p->session);
        memcpy(p->session_id, join->session, MASQUE_SESSION_ID);
        q->random(q->random_user, p->epoch, MASQUE_EPOCH);
    }
    p->lane.number = (uint8_t)(MASQUE_PATH_LANES_MAX * join->path + join->lane);
    masque_set_packed(m, p->epoch);
    return 0;
}

static int on_request(struct masque *m, const struct masque_request *req)
{
    struct hub *h = hub_of(m);
    struct shown who = {.id = {.name = ""}};
    const char *why = NULL;
    struct member *p;

    if (!still_valid(h, masque_lane(m)))
        return 403;
    if (!identify(h, m, req, &who)) {
        snprintf(who.id.name, sizeof(who.id.name), "%s", quic_lane_peer_name(masque_lane(m)));
        hub_refuse(h, masque_lane(m), &who.id, "no valid bearer token");
        return 401;
    }
    if (member_of(m)) /* it was accepted, but the tunnel has not opened */
        member_release(member_of(m), "another request on the connection");
    p = find(h, &who.id);
    if (p && strcmp(id_of(p)->instance, who.id.instance) != 0) {
        member_close(p, "the same peer has connected again");
        p = NULL;
    }
    if (p) {
        note_contest(p, m, &req->join);
        take_over(p);
    } else {
        why = admit_new(h, &who.id, &p);
    }
    if (!why && join_session(p, m, &req->join)) {
        member_release(p, "out of memory");
        why = "out of memory";
    }
    if (why) {
        hub_refuse(h, masque_lane(m), &who.id, why);
        return 503;
    }
    p->by_token = who.by_token;
    p->token_digest = who.token_digest;
    p->tunnel = m;
    masque_set_user(m, p);
    return 200;
}

/* --- addresses --------------------------------------------------------------------------- */

static bool has(const struct capsule_addrs *list, const struct ip_addr *a)
{
    for (unsigned i = 0; i < list->n; i++)
        if (ip_addr_equal(&list->v[i].prefix.addr, a))
            return true;
    return false;
}

static void append(struct capsule_addrs *list, uint64_t request_id, const struct ip_addr *a)
{
    list->v[list->n++] = (struct assigned_addr){
        .request_id = request_id, .prefix = {.addr = *a, .len = (uint8_t)ip_addr_bits(a)}};
}

/* What the peer has, and is not in the list yet. */
static void append_held(struct capsule_addrs *list, const struct member *p)
{
    struct ip_addr held[LEASE_PEER_MAX];
    unsigned n = lease_held(p->client, held);

    for (unsigned i = 0; i < n && list->n < CAPSULE_ADDRS_MAX; i++)
        if (!has(list, &held[i]))
            append(list, 0, &held[i]);
}

/* An address of the family that the list does not hold yet; all zeros when there is none to
 * give. */
static struct ip_addr any_address(struct member *p, uint8_t family,
                                  const struct capsule_addrs *list)
{
    struct ip_addr except[CAPSULE_ADDRS_MAX], a = {.family = family};

    for (unsigned i = 0; i < list->n; i++)
        except[i] = list->v[i].prefix.addr;
    lease_take_any(p->hub->leases, p->client, family, except, list->n, &a);
    return a;
}

/* The answer to one request: what is asked for when the peer may have it, else another address. No
 * two requests of a capsule get the same one. */
static void answer(struct member *p, const struct assigned_addr *req, struct capsule_addrs *out)
{
    const struct ip_addr *wish = &req->prefix.addr;
    struct ip_addr none = {.family = wish->family}, a = none;

    if (!has(out, wish) && !lease_take(p->hub->leases, p->client, wish))
        a = *wish;
    else
        a = any_address(p, wish->family, out);
    if (!ip_addr_equal(&a, &none) && table_assign(p->hub->table, &p->owner, &a))
        a = none;
    append(out, req->request_id, &a);
}

static void tell_assigned(struct member *p)
{
    struct capsule_addrs all = {.n = 0};

    append_held(&all, p);
    p->hub->opts.events->assigned(p->hub->opts.user, id_of(p), &all);
}

/* Every ADDRESS_ASSIGN carries the whole list (RFC 9484, 4.7.1): the answers to these requests,
 * and what the peer has beside them. */
static int on_addr_request(struct masque *m, const struct capsule_addrs *req)
{
    struct member *p = member_of(m);
    struct capsule_addrs out = {.n = 0};
    int rv;

    if (!p)
        return 0;
    for (unsigned i = 0; i < req->n; i++)
        answer(p, &req->v[i], &out);
    append_held(&out, p);
    rv = masque_send_addrs(m, CAPSULE_ADDRESS_ASSIGN, &out);
    if (!rv)
        tell_assigned(p);
    return rv;
}

/* One address of each family that the tunnel has, unasked. */
static int send_addresses(struct member *p)
{
    const struct hub *h = p->hub;
    struct capsule_addrs list = {.n = 0};

    for (unsigned i = 0; i < h->opts.n_own; i++) {
        uint8_t family = h->opts.own[i].addr.family;
        struct ip_addr none = {.family = family}, a = any_address(p, family, &list);

        if (!ip_addr_equal(&a, &none) && !table_assign(h->table, &p->owner, &a))
            append(&list, 0, &a);
    }
    return masque_send_addrs(p->tunnel, CAPSULE_ADDRESS_ASSIGN, &list);
}

/* What may be sent here: everything of the families that the tunnel has. */
static int send_routes(struct member *p)
{
    const struct hub *h = p->hub;
    struct capsule_routes routes = {.n = 0};

    for (uint8_t family = 4; family <= 6; family += 2) {
        struct ip_prefix all = {.addr.family = family};
        bool ours = false;

        for (unsigned i = 0; i < h->opts.n_own; i++)
            ours |= h->opts.own[i].addr.family == family;
        if (ours)
            routes.v[routes.n++] = ip_route_range_of(&all, 0);
    }
    return masque_send_routes(p->tunnel, &routes);
}

/* A peer that names its instance is known to ask for addresses: it gets none before, because one
 * that it does not want could be the one that another peer asks for. */
static void on_open(struct masque *m)
{
    struct member *p = member_of(m);
    struct hub *h = p->hub;

    past_remove(&h->past, id_of(p));
    p->open = true;
    p->up_ns = quic_lane_now_ns(masque_lane(m));
    session_attach(&p->session);
    session_lane_begin(&p->session, &p->lane, p->lane.number);
    member_claim(p);
    h->opts.events->peer_up(h->opts.user, id_of(p), quic_lane_remote(masque_lane(m)));
    if ((!*id_of(p)->instance && send_addresses(p)) || send_routes(p))
        masque_close(m, MASQUE_H3_INTERNAL_ERROR, "cannot send addresses and routes");
}

/* --- the rest of the tunnel's events ------------------------------------------------------- */

static void on_addr_assign(struct masque *m, const struct capsule_addrs *addrs)
{
    /* A hub takes its addresses from its own configuration. */
}

static void on_routes(struct masque *m, const struct capsule_routes *routes)
{
    /* What lies behind a peer is the hub's to allow: its policy. */
}

static void on_down(struct masque *m, const struct quic_fail_info *why)
{
    struct member *p = member_of(m);
    char text[256];

    if (!p)
        return;
    snprintf(text, sizeof(text), "%s%s%s%s", quic_fail_meaning(why->fail), *why->detail ? " (" : "",
             why->detail, *why->detail ? ")" : "");
    member_release(p, text);
}

const struct masque_ops member_ops = {
    .request = on_request,
    .open = on_open,
    .addr_assign = on_addr_assign,
    .addr_request = on_addr_request,
    .routes = on_routes,
    .packet = on_packet,
    .packed = on_packed,
    .pull = on_pull,
    .sent = on_sent,
    .unsent = on_unsent,
    .acked = on_acked,
    .lost = on_lost,
    .mtu_changed = on_mtu,
    .down = on_down,
};
