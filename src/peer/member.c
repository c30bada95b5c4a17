/* The life of a peer at a hub. It is present while it has a lane. When the last lane of a packed
 * session is gone the peer is absent for some minutes: it keeps its session, with all numbers and
 * what is on its way, so that it can go on where it was; its leases are idle meanwhile, and it
 * makes room for whoever comes. A plain session ends with its lane.
 *
 *      member_new -> present <-> absent -> gone
 *                       `------------------^
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "peer/internal.h"

/* --- the list: those present first --------------------------------------------------------- */

static void put_at(struct hub *h, unsigned place, struct member *p)
{
    h->members[place] = p;
    p->place = place;
}

static void swap_with(struct hub *h, struct member *p, unsigned place)
{
    struct member *other = h->members[place];

    put_at(h, p->place, other);
    put_at(h, place, p);
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
    put_at(h, h->n_members++, p);
    return 0;
}

static void list_absent(struct hub *h, struct member *p)
{
    if (p->place < h->n_present)
        swap_with(h, p, --h->n_present);
}

static void list_present(struct hub *h, struct member *p)
{
    if (p->place >= h->n_present)
        swap_with(h, p, h->n_present++);
}

static void remove_from_list(struct hub *h, struct member *p)
{
    list_absent(h, p);
    swap_with(h, p, --h->n_members);
}

struct member *member_find(const struct hub *h, const struct hub_peer_id *id)
{
    for (unsigned i = 0; i < h->n_members; i++) {
        const struct hub_peer_id *has = member_id(h->members[i]);

        if (!strcmp(has->name, id->name) &&
            (!h->policy->multi || !strcmp(has->instance, id->instance)))
            return h->members[i];
    }
    return NULL;
}

struct member *member_new(struct hub *h, struct lease_client *client)
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
    so.admit = member_on_admit;
    so.admit_user = p;
    so.deliver = h->opts.events->deliver;
    so.receive = h->opts.events->receive;
    so.deliver_user = h->opts.user;
    so.kick = member_kick;
    so.watch = member_watch;
    so.kick_user = p;
    so.flows = h->flows;
    session_init(&p->session, &so);
    for (unsigned i = 0; i < h->opts.n_own; i++)
        session_set_own(&p->session, &h->opts.own[i].addr);
    return p;
}

/* --- lanes ----------------------------------------------------------------------------------- */

/* What the session has of that path; NULL: out of memory. */
static struct member_path *path_for(struct member *p, struct masque *m,
                                    const struct masque_join *join)
{
    struct member_path *path = p->path[join->path];

    if (!path) {
        path = calloc(1, sizeof(*path));
        if (!path)
            return NULL;
        path->up_ns = p->hub->now_ns;
        p->path[join->path] = path;
    }
    path->quic = quic_lane_path(masque_lane(m));
    path->n_lanes++;
    snprintf(path->name, sizeof(path->name), "%s", join->name);
    return path;
}

struct member_lane *member_add_lane(struct member *p, struct masque *m,
                                    const struct masque_join *join)
{
    struct member_lane *l = calloc(1, sizeof(*l)), **end = &p->lanes;
    bool was_absent = p->absent_ns;

    if (!l || !path_for(p, m, join)) {
        free(l);
        return NULL;
    }
    *l = (struct member_lane){.member = p, .tunnel = m, .path = join->path, .number = join->lane};
    while (*end)
        end = &(*end)->next;
    *end = l;
    masque_set_user(m, l);
    p->absent_ns = 0;
    list_present(p->hub, p);
    if (was_absent)
        member_resume_addresses(p);
    return l;
}

void member_path_opened(struct member *p, unsigned path, const struct net_addr *remote)
{
    struct member_path *mp = p->path[path];
    struct hub *h = p->hub;

    if (mp->open)
        return;
    mp->open = true;
    mp->up_ns = h->now_ns;
    if (*mp->name && h->opts.events->path_up)
        h->opts.events->path_up(h->opts.user, member_id(p), mp->name, remote);
}

/* The path has one lane less. */
static void leave_path(struct member_lane *l, const struct quic_lane_stats *st, const char *why)
{
    struct member *p = l->member;
    struct member_path *path = p->path[l->path];
    struct hub *h = p->hub;

    quic_lane_stats_add(&path->past, st);
    if (--path->n_lanes)
        return;
    if (path->open && *path->name && h->opts.events->path_down)
        h->opts.events->path_down(h->opts.user, member_id(p), path->name, why);
    p->path[l->path] = NULL;
    free(path);
}

/* The lane is forgotten; its tunnel has no user any more. */
static void remove_lane(struct member_lane *l, const char *why)
{
    struct member *p = l->member;
    struct member_lane **at = &p->lanes;
    struct quic_lane_stats st;

    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    quic_lane_stats(masque_lane(l->tunnel), &st);
    st.cwnd_bytes = st.in_flight_bytes = 0;
    quic_lane_stats_add(&p->past, &st);
    leave_path(l, &st, why);
    masque_set_user(l->tunnel, NULL);
    session_lane_done(&p->session, &l->pack, p->hub->now_ns);
    free(l);
}

/* For those who ask who is missing. */
static void note_gone(const struct member *p, const char *why)
{
    const struct quic_lane *quic = masque_lane(p->lanes->tunnel);
    struct hub_absent_info info = {.id = *member_id(p),
                                   .remote = *quic_lane_remote(quic),
                                   .gone_ns = p->hub->now_ns,
                                   .cert_until_s = quic_lane_peer_until_s(quic)};

    snprintf(info.why, sizeof(info.why), "%s", why);
    past_add(&p->hub->past, &info);
}

static void close_lanes(struct member *p, const char *why)
{
    for (struct member_lane *l = p->lanes, *next; l; l = next) {
        struct masque *m = l->tunnel;

        next = l->next;
        remove_lane(l, why);
        masque_close(m, MASQUE_H3_NO_ERROR, why);
    }
}

/* --- coming and going ------------------------------------------------------------------------ */

static void tell_down(struct member *p, const char *why)
{
    struct hub *h = p->hub;
    bool was_open = p->open;

    p->open = false;
    p->packet_max = 0;
    p->past = (struct quic_lane_stats){0};
    if (was_open)
        h->opts.events->peer_down(h->opts.user, member_id(p), why);
}

/* What lay behind a peer that is gone may lie behind another one under the same rule. */
static void hand_on_prefixes(struct hub *h, const struct hub_rule *rule)
{
    for (unsigned i = 0; rule && rule->n_prefix && i < h->n_present; i++)
        if (h->members[i]->rule == rule)
            member_claim(h->members[i]);
}

static void release(struct member *p, const char *why)
{
    struct hub *h = p->hub;
    const struct hub_rule *rule = p->rule;
    struct session_stats stats;

    session_detach(&p->session);
    tell_down(p, why);
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

/* Somebody else under the same rule may take what lies behind it at once; all else waits. */
static void leave_for_a_while(struct member *p, const char *why)
{
    struct hub *h = p->hub;

    p->absent_ns = h->now_ns;
    list_absent(h, p);
    member_rest_addresses(p);
    table_unclaim(h->table, &p->owner);
    tell_down(p, why);
    hand_on_prefixes(h, p->rule);
    hub_tell_mtu(h);
    h->absent_until_ns = MIN(h->absent_until_ns, h->now_ns + MEMBER_ABSENT_NS);
    if (!h->age_ns)
        h->age_ns = h->now_ns + SESSION_AGE_MAX_NS;
}

void member_lane_over(struct member_lane *l, const char *why, bool may_return)
{
    struct member *p = l->member;

    if (p->open && p->lanes == l && !l->next)
        note_gone(p, why);
    remove_lane(l, why);
    if (p->lanes)
        return;
    if (may_return && p->session.pack && p->open)
        leave_for_a_while(p, why);
    else
        release(p, why);
}

void member_close(struct member *p, const char *why)
{
    if (p->open && p->lanes)
        note_gone(p, why);
    close_lanes(p, why);
    release(p, why);
}

void member_reject_lane(struct member_lane *l, enum quic_fail why)
{
    struct quic_lane *lane = masque_lane(l->tunnel);

    member_lane_over(l, quic_fail_meaning(why), false);
    quic_lane_reject(lane, why);
}

void member_taken_over(struct member *p)
{
    struct hub *h = p->hub;

    session_detach(&p->session);
    close_lanes(p, HUB_TAKEN_OVER);
    tell_down(p, "the same peer has connected again");
    table_unassign(h->table, &p->owner);
    lease_client_rest(h->leases, p->client);
    p->absent_ns = 0;
    p->n_kept = 0;
}

void member_claim(struct member *p)
{
    for (unsigned i = 0; p->rule && i < p->rule->n_prefix; i++)
        table_claim(p->hub->table, &p->owner, &p->rule->prefix[i]);
}

void member_timeout(struct member *p, uint64_t now_ns)
{
    session_timeout(&p->session, now_ns);
    member_rearm(p);
}

void member_rearm(struct member *p)
{
    uint64_t at_ns = session_deadline_ns(&p->session);

    if (at_ns == TIME_NEVER_NS)
        heap_remove(&p->hub->waiting, &p->timer);
    else if (!p->timer.place || p->timer.key_ns != at_ns)
        heap_set(&p->hub->waiting, &p->timer, at_ns); /* out of memory: the next packet tries */
}

void member_wake_by(struct member *p, uint64_t at_ns)
{
    if (at_ns != TIME_NEVER_NS && (!p->timer.place || at_ns < p->timer.key_ns))
        heap_set(&p->hub->waiting, &p->timer, at_ns);
}

/* --- those who are absent -------------------------------------------------------------------- */

bool hub_forget_absent(struct hub *h, const char *name)
{
    struct member *oldest = NULL;

    for (unsigned i = h->n_present; i < h->n_members; i++) {
        struct member *p = h->members[i];

        if (p->absent_ns && (!name || !strcmp(member_id(p)->name, name)) &&
            (!oldest || p->absent_ns < oldest->absent_ns))
            oldest = p;
    }
    if (oldest)
        release(oldest, "");
    return oldest;
}

void hub_age_absent(struct hub *h)
{
    uint64_t next_ns = TIME_NEVER_NS;

    if (h->now_ns < h->absent_until_ns)
        return;
    for (unsigned i = h->n_members; i-- > h->n_present;) {
        struct member *p = h->members[i];

        if (p->absent_ns && h->now_ns >= p->absent_ns + MEMBER_ABSENT_NS)
            release(p, "");
        else if (p->absent_ns)
            next_ns = MIN(next_ns, p->absent_ns + MEMBER_ABSENT_NS);
    }
    h->absent_until_ns = next_ns;
}
