/* A session over several paths: what is known of each, who may take what, and when to look for one
 * that has fallen silent. With one path nothing of this costs anything. */
#include "base/util.h"
#include "bond/session_internal.h"

/* How often the lanes of several paths are looked at while they carry. */
/* When a path has left a packet to a faster one, it looks again after this time. */
#define LEFT_NS (NS_PER_MS / 2)

/* What CoDel may let wait longer, because a slower path is worth waiting for as long. */
#define MORE_MAX_NS (100 * NS_PER_MS)
#define WATCH_NS (10 * NS_PER_MS)

bool session_paths_update(struct session *s)
{
    struct sched *sched = &s->pack->sched;
    bool changed;

    for (unsigned i = 0; i < SCHED_PATHS; i++) {
        sched->path[i].up = sched->path[i].works = false;
        sched->path[i].extra_ns = TIME_NEVER_NS;
    }
    for (const struct pack_lane *l = s->pack->lanes; l; l = l->next) {
        struct sched_path *p = &sched->path[pack_lane_path(l->number)];

        p->up = true;
        p->works |= !l->suspect;
        p->extra_ns = MIN(p->extra_ns, l->extra_ns);
    }
    changed = sched_update(sched);
    s->queue.more_ns = MIN(sched->difference_ns, MORE_MAX_NS);
    return changed;
}

/* Balanced: whether a flow is one of the path that asks. */
static bool is_of_path(void *user, uint64_t flow)
{
    const struct pack *p = user;

    return sched_path_of(&p->sched, flow) == p->asking;
}

void session_paths_ask(struct session *s, const struct pack_lane *lane, uint64_t now_ns)
{
    struct sched *sched = &s->pack->sched;
    unsigned path = pack_lane_path(lane->number);
    uint64_t again_ns, waited_ns = 0;
    const struct pkt *first;
    bool slow;

    s->pack->may = PACK_MAY_ALL;
    if (!session_has_paths(s))
        return;
    if (sched->policy == BOND_BALANCED) {
        s->pack->asking = path;
        s->queue.mine = is_of_path;
        s->queue.mine_user = s->pack;
    }
    slow = sched_is_slow(sched, path);
    if (slow && s->queue.n && (first = fq_front(&s->queue, now_ns)))
        waited_ns = now_ns - first->queued_ns;
    if (sched_may_take(sched, path, now_ns, waited_ns, &again_ns)) {
        if (slow)
            s->pack->may = PACK_MAY_BULK;
        return;
    }
    s->pack->may = sched_in_use(sched, path) ? PACK_MAY_AGAIN : PACK_MAY_END;
    if (s->queue.n)
        s->pack->kick_ns = MIN(s->pack->kick_ns, again_ns);
}

void session_paths_pulled(struct session *s, const struct pack_lane *lane, uint64_t now_ns,
                          const struct pkt *out)
{
    s->queue.mine = NULL;
    if (!session_has_paths(s))
        return;
    if (out)
        sched_took(&s->pack->sched, pack_lane_path(lane->number), now_ns, pkt_total(out));
    if (!out && s->pack->may == PACK_MAY_BULK && s->queue.n)
        s->pack->kick_ns = MIN(s->pack->kick_ns, now_ns + LEFT_NS);
}

/* --- policy ------------------------------------------------------------------------------------
 */

static enum bond_policy policy_of(const struct session *s)
{
    for (unsigned i = 0; s->classes && i < s->classes->n; i++) {
        if (s->classes->v[i].class != CLASS_TCP)
            continue;
        if (s->classes->v[i].treatment == CLASS_BALANCED)
            return BOND_BALANCED;
        if (s->classes->v[i].treatment == CLASS_FAILOVER)
            return s->policy == BOND_FAILOVER ? BOND_FAILOVER : BOND_PRIORITY;
        return BOND_AGGREGATE;
    }
    return s->policy;
}

static void update_and_kick(struct session *s)
{
    if (session_paths_update(s))
        session_kick(s);
}

void session_paths_set_policy(struct session *s)
{
    s->pack->sched.policy = policy_of(s);
    update_and_kick(s);
}

void session_set_policy(struct session *s, enum bond_policy policy)
{
    s->policy = policy;
    if (s->pack)
        session_paths_set_policy(s);
}

void session_paths_reset(struct session *s)
{
    s->pack->sched = (struct sched){.policy = policy_of(s)};
}

void session_set_path(struct session *s, const struct path_report *r)
{
    struct sched_path *p = s->pack ? &s->pack->sched.path[r->path] : NULL;

    if (!p || r->serial < p->serial)
        return;
    p->serial = r->serial;
    p->status = r->status;
    p->priority = r->priority;
    p->weight = r->weight;
    update_and_kick(s);
}

/* --- paths that fall silent --------------------------------------------------------------------
 */

void session_lane_suspect(struct session *s, struct pack_lane *lane, uint64_t now_ns)
{
    uint8_t number = lane->number;

    if (!s->pack)
        return;
    session_lane_done(s, lane, now_ns);
    session_lane_begin(s, lane, number);
    lane->suspect = true;
    update_and_kick(s);
}

void session_lane_trusted(struct session *s, struct pack_lane *lane)
{
    if (!s->pack || !lane->suspect)
        return;
    lane->suspect = false;
    update_and_kick(s);
}

bool session_path_works(const struct session *s, unsigned path)
{
    return s->pack && s->pack->sched.path[path].works;
}

bool session_other_path_works(const struct session *s, unsigned path)
{
    for (unsigned i = 0; i < SCHED_PATHS; i++)
        if (i != path && session_path_works(s, i))
            return true;
    return false;
}

bool session_path_in_use(const struct session *s, unsigned path)
{
    return s->pack && sched_in_use(&s->pack->sched, path);
}

void session_lane_can(struct session *s, struct pack_lane *lane, uint64_t rtt_min_ns, uint64_t rate)
{
    lane->rtt_min_ns = rtt_min_ns;
    if (s->pack)
        s->pack->sched.path[pack_lane_path(lane->number)].rate = rate;
}

uint64_t session_path_rate(const struct session *s, unsigned path)
{
    return s->pack ? s->pack->sched.path[path].rate : 0;
}

uint64_t session_path_extra_ns(const struct session *s, unsigned path)
{
    return s->pack && s->pack->sched.path[path].up ? s->pack->sched.path[path].extra_ns : 0;
}

static bool is_sending(const struct session *s)
{
    for (const struct pack_lane *l = s->pack->lanes; l; l = l->next)
        if (l->flight.n)
            return true;
    return false;
}

uint64_t session_paths_deadline_ns(const struct session *s)
{
    return session_has_paths(s) && s->opts.watch && is_sending(s) ? s->watch_ns : TIME_NEVER_NS;
}

void session_paths_timeout(struct session *s, uint64_t now_ns)
{
    if (!session_has_paths(s) || !s->opts.watch || now_ns < s->watch_ns)
        return;
    s->watch_ns = now_ns + WATCH_NS;
    s->opts.watch(s->opts.kick_user);
}
