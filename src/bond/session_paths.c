/* A session over several paths: what is known of each, who may take what, and when to look for one
 * that has fallen silent. With one path nothing of this costs anything. */
#include <string.h>

#include "base/util.h"
#include "bond/class.h"
#include "bond/session_internal.h"

/* How often the lanes of several paths are looked at while they carry. */
/* When a path has left a packet to a faster one, it looks again after this time. */
#define LEFT_NS (NS_PER_MS / 2)

/* What CoDel may let wait longer, because a slower path is worth waiting for as long. */
#define MORE_MAX_NS (100 * NS_PER_MS)
#define WATCH_NS (10 * NS_PER_MS)

static void learn_of_lanes(struct pack *p)
{
    for (unsigned i = 0; i < SCHED_PATHS; i++) {
        p->path[i].up = p->path[i].works = false;
        p->path[i].extra_ns = TIME_NEVER_NS;
    }
    for (const struct pack_lane *l = p->lanes; l; l = l->next) {
        struct sched_path *path = &p->path[pack_lane_path(l->number)];

        path->up = true;
        path->works |= !l->suspect;
        path->extra_ns = MIN(path->extra_ns, l->extra_ns);
    }
    for (unsigned i = 0; i < SCHED_PATHS; i++)
        if (!p->path[i].up)
            p->path[i].told = false; /* it may come back another way */
}

/* A bit for each path that some class gives packets. */
static uint16_t in_use(const struct session *s)
{
    uint16_t set = 0;

    for (unsigned i = 0; i < PACKED_CLASSES; i++)
        if (class_is_used(s->classes, (uint8_t)i))
            set |= s->pack->sched[i].in_use;
    return set;
}

bool session_paths_update(struct session *s)
{
    struct pack *p = s->pack;
    bool changed = false;
    uint16_t now;

    learn_of_lanes(p);
    for (unsigned i = 0; i < PACKED_CLASSES; i++)
        changed |= sched_update(&p->sched[i]);
    now = in_use(s);
    for (unsigned i = 0; p->copies && i < SCHED_PATHS; i++)
        if (!(now >> i & 1))
            pack_copies_drop(p, i);
    s->queue.more_ns = MIN(p->sched[CLASS_TCP].difference_ns, MORE_MAX_NS);
    return changed;
}

/* Whether the path that asks may have what is first of a flow: balanced, and when classes use the
 * paths in different ways. */
static bool is_for_path(void *user, const struct pkt *first, bool sparse)
{
    struct pack *p = user;
    uint64_t now_ns = p->asking_ns, again_ns = now_ns + LEFT_NS;
    const struct sched *sched =
        &p->sched[p->apart ? pack_class_of_packet(p, now_ns, first) : CLASS_TCP];
    bool may;

    if (sched->policy == BOND_BALANCED)
        return sched_path_of(sched, first->flow) == p->asking;
    may = sched_may_take(sched, p->asking, now_ns, now_ns - first->queued_ns, &again_ns);
    if (!may)
        p->kick_ns = MIN(p->kick_ns, again_ns);
    return may;
}

static void ask_for_each_flow(struct session *s, unsigned path, uint64_t now_ns)
{
    s->pack->asking = path;
    s->pack->asking_ns = now_ns;
    s->queue.mine = is_for_path;
    s->queue.mine_user = s->pack;
}

void session_paths_ask(struct session *s, const struct pack_lane *lane, uint64_t now_ns)
{
    struct sched *sched = &s->pack->sched[CLASS_TCP];
    unsigned path = pack_lane_path(lane->number);
    uint64_t again_ns, waited_ns = 0;
    const struct pkt *first;
    bool seldom = false;

    s->pack->may = PACK_MAY_ALL;
    if (!session_has_paths(s) && !s->pack->pinned)
        return;
    if (s->pack->apart || sched->policy == BOND_BALANCED)
        ask_for_each_flow(s, path, now_ns);
    if (s->pack->apart) {
        s->pack->may = in_use(s) >> path & 1 ? PACK_MAY_ALL : PACK_MAY_END;
        return;
    }
    if (sched_minds_wait(sched, path, now_ns) && s->queue.n &&
        (first = fq_front(&s->queue, now_ns))) {
        waited_ns = now_ns - first->queued_ns;
        seldom = fq_front_is_sparse(&s->queue);
    }
    if (sched_may_take(sched, path, now_ns, waited_ns, &again_ns)) {
        if (!seldom && sched_is_slow(sched, path, now_ns))
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
        sched_took(&s->pack->sched[CLASS_TCP], pack_lane_path(lane->number), now_ns,
                   pkt_total(out));
    if (s->pack->copied) {
        s->pack->copied = false;
        session_kick(s);
    }
    if (!out && s->pack->may == PACK_MAY_BULK && s->queue.n)
        s->pack->kick_ns = MIN(s->pack->kick_ns, now_ns + LEFT_NS);
}

/* --- policy ------------------------------------------------------------------------------------
 */

static bool is_spread_alike(const struct sched *a, const struct sched *b)
{
    return a->policy == b->policy && (a->policy != BOND_PIN || a->pin == b->pin) &&
           (a->policy != BOND_DUPLICATE || a->copies == b->copies);
}

static void spread(struct session *s)
{
    struct pack *p = s->pack;

    p->apart = p->pinned = p->duplicated = false;
    for (unsigned i = 0; i < PACKED_CLASSES; i++) {
        class_spread(s->classes, (uint8_t)i, s->policy, &p->sched[i]);
        if (!class_is_used(s->classes, (uint8_t)i))
            continue;
        p->apart |= !is_spread_alike(&p->sched[i], &p->sched[CLASS_TCP]);
        p->pinned |= p->sched[i].policy == BOND_PIN;
        p->duplicated |=
            p->sched[i].policy == BOND_DUPLICATE || p->sched[i].policy == BOND_LOWEST_LATENCY;
    }
}

static void update_and_kick(struct session *s)
{
    if (session_paths_update(s))
        session_kick(s);
}

void session_paths_set_policy(struct session *s)
{
    spread(s);
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
    memset(s->pack->path, 0, sizeof(s->pack->path));
    for (unsigned i = 0; i < PACKED_CLASSES; i++)
        s->pack->sched[i] = (struct sched){.path = s->pack->path};
    spread(s);
}

void session_set_path(struct session *s, const struct path_report *r)
{
    struct sched_path *p = s->pack ? &s->pack->path[r->path] : NULL;

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
    return s->pack && s->pack->path[path].works;
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
    return s->pack && in_use(s) >> path & 1;
}

void session_lane_can(struct session *s, struct pack_lane *lane, uint64_t rtt_min_ns, uint64_t rate)
{
    lane->rtt_min_ns = rtt_min_ns;
    if (s->pack)
        s->pack->path[pack_lane_path(lane->number)].rate = rate;
}

void session_path_info(const struct session *s, unsigned path, struct session_path_info *ret)
{
    const struct sched_path *p = s->pack ? &s->pack->path[path] : NULL;

    *ret = (struct session_path_info){.works = false};
    if (!p)
        return;
    ret->works = p->works;
    ret->in_use = session_path_in_use(s, path);
    ret->priority = p->priority;
    ret->weight = p->weight;
    ret->rate = p->rate;
    ret->extra_ns = p->up ? p->extra_ns : 0;
    ret->taken_over = s->pack->stats.taken_over[path];
    ret->rx = s->reasm->path[path];
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
