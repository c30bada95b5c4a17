/* Who asks at a hub, and what for: to be a peer, to be the one that was there already, or one lane
 * more of it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "masque/request.h"
#include "peer/internal.h"

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

/* The leases of a newcomer. Those who are absent make room. */
static int open_client(struct hub *h, const struct hub_peer_id *id, struct lease_client **ret)
{
    int rv;

    do
        rv = lease_client_open(h->leases, id, ret);
    while (rv == -ENOSPC && hub_forget_absent(h, id->name));
    return rv;
}

/* Room for one more peer. Returns NULL, or why there is none. */
static const char *admit_new(struct hub *h, const struct hub_peer_id *id, struct member **ret)
{
    struct lease_client *client;
    int rv;

    while (h->n_members >= policy_max_peers(h->policy) && hub_forget_absent(h, NULL))
        ;
    if (h->n_members >= policy_max_peers(h->policy))
        return h->policy->multi ? "as many peers as may be are connected"
                                : "another peer has the tunnel";
    rv = open_client(h, id, &client);
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

/* One process takes its own place when it has lost its connection; two that take it from each other
 * go on for ever. An edge that speaks the session extension says which it is. */
static void note_contest(struct member *p, const struct masque *m)
{
    const struct hub *h = p->hub;

    if (h->now_ns > p->contested_ns + HUB_CONTESTED_GAP_NS)
        p->contested = 0;
    p->contested++;
    p->contested_ns = h->now_ns;
    if (p->contested >= HUB_CONTESTED && h->opts.events->contested)
        h->opts.events->contested(h->opts.user, member_id(p), quic_lane_remote(masque_lane(m)),
                                  p->contested);
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

/* The peer's session begins, packed or plain. Returns 0 or -ENOMEM. */
static int begin_session(struct member *p, const struct masque_join *join)
{
    const struct quic_endpoint_opts *q = &p->hub->opts.quic;

    if (!join->version || p->hub->opts.plain) {
        session_set_plain(&p->session);
        return 0;
    }
    if (session_set_packed(&p->session, p->hub->reasm))
        return -ENOMEM;
    session_begin_anew(&p->session);
    session_set_classes(&p->session, NULL, false);
    memcpy(p->session_id, join->session, MASQUE_SESSION_ID);
    q->random(q->random_user, p->epoch, MASQUE_EPOCH);
    return 0;
}

/* Whether the request is for one more lane of the session that the peer has. */
static bool is_ours(const struct member *p, const struct masque_join *join)
{
    return p->session.pack && join->version && !p->hub->opts.plain &&
           !memcmp(p->session_id, join->session, MASQUE_SESSION_ID);
}

/* Further lanes leave half of the connections to those who have none yet. */
static bool may_have_more(const struct hub *h)
{
    enum { LANES_DEFAULT = 16384 };
    unsigned max = h->opts.quic.max_lanes ? h->opts.quic.max_lanes : LANES_DEFAULT;

    return hub_lanes(h) <= max / 2;
}

static struct member_lane *lane_at(const struct member *p, const struct masque_join *join)
{
    struct member_lane *l = p->lanes;

    while (l && (l->path != join->path || l->number != join->lane))
        l = l->next;
    return l;
}

/* Congestion control alone serves a single path of one lane better. Of several paths the bound says
 * what each can deliver (quic_path_rate()), by which they are given packets. */
static void set_bounds(struct member *p, const struct masque_join *join)
{
    bool many = join->lanes > 1 || join->lane;
    unsigned n = 0;

    for (unsigned i = 0; i < MASQUE_PATHS_MAX; i++)
        n += p->path[i] != NULL;
    for (unsigned i = 0; i < MASQUE_PATHS_MAX; i++)
        if (p->path[i] && (n > 1 || (i == join->path && many)))
            quic_path_set_bound(p->path[i]->quic, true, 0);
}

/* The tunnel becomes a lane of the peer; the one that has its numbers goes. Returns NULL, or why it
 * cannot be. */
static const char *add_lane(struct member *p, struct masque *m, const struct masque_join *join)
{
    struct quic_path *path = p->path[join->path] ? p->path[join->path]->quic : NULL;
    struct member_lane *old = lane_at(p, join);
    struct quic_lane *quic = masque_lane(m);
    bool packed = p->session.pack;

    if (p->lanes && !old && !may_have_more(p->hub))
        return "too many connections for a further lane";
    if (path && quic_path_adopt_lane(path, quic))
        return "the connection cannot be a further lane";
    if (!member_add_lane(p, m, join))
        return "out of memory";
    if (packed) {
        set_bounds(p, join);
        masque_set_packed(m, p->epoch);
    }
    if (old) {
        struct masque *was = old->tunnel;

        member_lane_over(old, "", true);
        masque_close(was, MASQUE_H3_NO_ERROR, "another lane has its number");
    }
    return NULL;
}

/* The peer that asks, made or taken over if it has to be. Returns NULL, or why there is none. */
static const char *find_or_make(struct hub *h, const struct masque *m, const struct shown *who,
                                const struct masque_join *join, struct member **ret)
{
    struct member *p = member_find(h, &who->id);
    const char *why;

    if (p && strcmp(member_id(p)->instance, who->id.instance) != 0) {
        member_close(p, "the same peer has connected again");
        p = NULL;
    }
    if (p && is_ours(p, join)) {
        *ret = p;
        return NULL;
    }
    if (p) {
        if (p->lanes) /* it is there, and not just awaited */
            note_contest(p, m);
        member_taken_over(p);
    } else {
        why = admit_new(h, &who->id, &p);
        if (why)
            return why;
    }
    if (begin_session(p, join)) {
        member_close(p, "out of memory");
        return "out of memory";
    }
    *ret = p;
    return NULL;
}

int member_on_request(struct masque *m, const struct masque_request *req)
{
    struct hub *h = hub_of(m);
    struct shown who = {.id = {.name = ""}};
    struct member *p = NULL;
    const char *why;

    if (!still_valid(h, masque_lane(m)))
        return 403;
    if (!identify(h, m, req, &who)) {
        snprintf(who.id.name, sizeof(who.id.name), "%s", quic_lane_peer_name(masque_lane(m)));
        hub_refuse(h, masque_lane(m), &who.id, "no valid bearer token");
        return 401;
    }
    if (member_lane_of(m)) /* it was accepted, but the tunnel has not opened */
        member_lane_over(member_lane_of(m), "another request on the connection", false);
    why = find_or_make(h, m, &who, &req->join, &p);
    if (!why)
        why = add_lane(p, m, &req->join);
    if (why) {
        if (p && !p->lanes && !p->absent_ns)
            member_close(p, why);
        hub_refuse(h, masque_lane(m), &who.id, why);
        return 503;
    }
    p->by_token = who.by_token;
    p->token_digest = who.token_digest;
    return 200;
}
