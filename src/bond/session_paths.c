/* A session over several paths: what is known of each, who may take what, and when to look for one
 * that has fallen silent. With one path nothing of this costs anything. */
#include <string.h>

#include "base/util.h"
#include "bond/class.h"
#include "bond/session_internal.h"

/* When a path has left a packet to a faster one, it looks again after this time. */
#define LEFT_NS (NS_PER_MS / 2)

/* What CoDel may let wait longer, because a slower path is worth waiting for as long. */
#define MORE_MAX_NS (100 * NS_PER_MS)

/* Where a path varies, what waits when it is slow is what it needs when it is fast: there CoDel
 * lets wait longer, and waits longer itself for what comes of a drop, by so many times the queue
 * that the path keeps because of it. */
enum { VARY_MORE = 4, VARY_SLOW = 8 };
#define VARY_MORE_MAX_NS (250 * NS_PER_MS)
#define VARY_SLOW_MAX_NS (500 * NS_PER_MS)

/* How often the lanes of several paths are looked at while they carry. */
#define WATCH_NS (10 * NS_PER_MS)

/* A path that is left alone because it loses much carries one of these so often. */
#define HEALTH_PROBE_NS (20 * NS_PER_MS)
enum { HEALTH_PROBE_BYTES = 40, HEALTH_PROBE_CLASS = PACKED_CLASSES - 1 };

static void learn_of_lanes(struct session *s)
{
    struct pack *p = s->pack;

    p->lossy = 0;
    for (unsigned i = 0; i < SCHED_PATHS; i++) {
        p->path[i].up = p->path[i].works = false;
        p->path[i].given_up = true;
        p->path[i].lossy = s->health[i].health.lossy;
        p->lossy |= (uint16_t)(p->path[i].lossy << i);
        p->path[i].extra_ns = TIME_NEVER_NS;
    }
    for (const struct pack_lane *l = p->lanes; l; l = l->next) {
        struct sched_path *path = &p->path[pack_lane_path(l->number)];

        path->up = true;
        path->works |= !l->suspect;
        path->given_up &= l->given_up;
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
    uint64_t vary_ns = 0;
    bool changed = false;
    uint16_t now;

    learn_of_lanes(s);
    for (unsigned i = 0; i < PACKED_CLASSES; i++)
        changed |= sched_update(&p->sched[i]);
    now = in_use(s);
    for (unsigned i = 0; p->copies && i < SCHED_PATHS; i++)
        if (!(now >> i & 1))
            pack_copies_drop(p, i);
    for (const struct pack_lane *l = p->lanes; l; l = l->next)
        vary_ns = MAX(vary_ns, l->vary_ns);
    s->queue.more_ns = MAX(MIN(p->sched[CLASS_TCP].difference_ns, MORE_MAX_NS),
                           MIN(VARY_MORE * vary_ns, VARY_MORE_MAX_NS));
    s->queue.slow_ns = MIN(VARY_SLOW * vary_ns, VARY_SLOW_MAX_NS);
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
    may = sched_may_take(sched, p->asking, now_ns, now_ns - first->queued_ns, !sparse, &again_ns);
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

/* What a path may take that gets nothing new: what was lost, if some class uses it, or if it was
 * lost on one that is used and looks bad. */
static enum pack_may may_otherwise(const struct session *s, unsigned path)
{
    const struct sched_path *p = &s->pack->path[path];
    uint16_t used = in_use(s);

    if (used >> path & 1)
        return PACK_MAY_AGAIN;
    if (s->pack->pinned || !p->works || p->status != PATH_AVAILABLE || s->health[path].health.sick)
        return PACK_MAY_END;
    for (unsigned i = 0; i < SCHED_PATHS; i++)
        if (used >> i & 1 && s->health[i].health.sick)
            return PACK_MAY_AGAIN;
    return PACK_MAY_END;
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
        s->pack->may = in_use(s) >> path & 1 ? PACK_MAY_ALL : may_otherwise(s, path);
        return;
    }
    if (sched->policy == BOND_AGGREGATE && sched_in_use(sched, path) &&
        !sched_is_slow(sched, path, now_ns))
        return; /* whatever is next, however long it has waited; most datagrams */
    if (sched_minds_wait(sched, path, now_ns) && s->queue.n &&
        (first = fq_front(&s->queue, now_ns))) {
        waited_ns = now_ns - first->queued_ns;
        seldom = fq_front_is_sparse(&s->queue);
    }
    if (sched_may_take(sched, path, now_ns, waited_ns, !seldom, &again_ns)) {
        if (!seldom && sched_is_slow(sched, path, now_ns))
            s->pack->may = PACK_MAY_BULK;
        return;
    }
    s->pack->may = may_otherwise(s, path);
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
    if (p->status == PATH_LEAVING && r->status != PATH_LEAVING) /* the number is another path's */
        s->health[r->path] = (struct session_health){.probe_due = false};
    p->serial = r->serial;
    p->status = r->status;
    p->priority = r->priority;
    p->weight = r->weight;
    update_and_kick(s);
}

/* --- paths that fall silent --------------------------------------------------------------------
 */

void session_lane_suspect(struct session *s, struct pack_lane *lane, uint64_t now_ns,
                          uint64_t give_up_ns)
{
    uint8_t number = lane->number;

    if (!s->pack)
        return;
    session_lane_done(s, lane, now_ns);
    session_lane_begin(s, lane, number);
    lane->suspect = true;
    lane->give_up_ns = give_up_ns;
    lane->given_up = now_ns >= give_up_ns;
    update_and_kick(s);
}

void session_lane_trusted(struct session *s, struct pack_lane *lane)
{
    if (!s->pack || !lane->suspect)
        return;
    lane->suspect = lane->given_up = false;
    update_and_kick(s);
}

/* When the next lane that is suspect has been so for too long. */
static uint64_t next_give_up_ns(const struct session *s)
{
    uint64_t at_ns = TIME_NEVER_NS;

    for (const struct pack_lane *l = s->pack->lanes; l; l = l->next)
        if (l->suspect && !l->given_up)
            at_ns = MIN(at_ns, l->give_up_ns);
    return at_ns;
}

static void give_up(struct session *s, uint64_t now_ns)
{
    if (now_ns < next_give_up_ns(s))
        return;
    for (struct pack_lane *l = s->pack->lanes; l; l = l->next)
        l->given_up = l->suspect && now_ns >= l->give_up_ns;
    update_and_kick(s);
}

bool session_path_works(const struct session *s, unsigned path)
{
    return s->pack && s->pack->path[path].works;
}

bool session_path_given_up(const struct session *s, unsigned path)
{
    return s->pack && s->pack->path[path].up && s->pack->path[path].given_up;
}

enum path_trouble session_path_trouble(const struct session *s, unsigned path)
{
    if (session_path_given_up(s, path))
        return TROUBLE_SUSPECT;
    return session_path_is_lossy(s, path) ? TROUBLE_LOSSY : TROUBLE_NONE;
}

bool session_path_is_lossy(const struct session *s, unsigned path)
{
    return session_has_paths(s) && s->pack->path[path].up && s->pack->path[path].lossy;
}

bool session_path_is_current(const struct session *s, unsigned path)
{
    return s->pack && s->pack->path[path].up && s->pack->sched[CLASS_TCP].current == path;
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

void session_lane_can(struct session *s, struct pack_lane *lane, uint64_t rtt_min_ns, uint64_t rate,
                      uint64_t vary_ns)
{
    struct sched_path *path = s->pack ? &s->pack->path[pack_lane_path(lane->number)] : NULL;

    lane->rtt_min_ns = rtt_min_ns;
    lane->vary_ns = vary_ns;
    if (!path)
        return;
    path->rate = rate;
    path->keeps_ns = vary_ns;
}

void session_path_info(const struct session *s, unsigned path, struct session_path_info *ret)
{
    const struct sched_path *p = s->pack ? &s->pack->path[path] : NULL;

    *ret = (struct session_path_info){.in_use = false};
    if (!p)
        return;
    ret->trouble = session_path_trouble(s, path);
    ret->in_use = session_path_in_use(s, path);
    ret->priority = p->priority;
    ret->weight = p->weight;
    ret->rate = p->rate;
    ret->extra_ns = p->up ? p->extra_ns : 0;
    ret->taken_over = s->pack->stats.taken_over[path];
    ret->rx = s->reasm->path[path];
}

/* --- paths that lose much --------------------------------------------------------------------- */

void session_path_fate(struct session *s, const struct pack_lane *lane, uint64_t now_ns,
                       uint64_t acked, uint64_t lost)
{
    struct session_health *h;

    if (!s->pack)
        return;
    h = &s->health[pack_lane_path(lane->number)];
    if (health_told(&h->health, now_ns, acked, lost))
        update_and_kick(s);
}

bool session_path_is_sick(const struct session *s, const struct pack_lane *lane)
{
    return session_has_paths(s) && s->health[pack_lane_path(lane->number)].health.sick;
}

/* Whether it carries nothing else by which it could be told. */
static bool is_probed(const struct session *s, unsigned path)
{
    return session_path_is_lossy(s, path) && session_path_works(s, path) &&
           !(in_use(s) >> path & 1);
}

static uint64_t next_probe_ns(const struct session *s)
{
    uint64_t at_ns = TIME_NEVER_NS;

    for (unsigned i = 0; s->pack->lossy >> i; i++)
        if (is_probed(s, i))
            at_ns = MIN(at_ns, s->health[i].probe_ns);
    return at_ns;
}

static void ask_for_probes(struct session *s, uint64_t now_ns)
{
    if (now_ns < next_probe_ns(s))
        return;
    for (unsigned i = 0; i < SCHED_PATHS; i++) {
        if (!is_probed(s, i) || now_ns < s->health[i].probe_ns)
            continue;
        s->health[i].probe_ns = now_ns + HEALTH_PROBE_NS;
        s->health[i].probe_due = true;
    }
    session_kick(s);
}

struct pkt *session_paths_probe(struct session *s, const struct pack_lane *lane, uint64_t now_ns,
                                size_t max)
{
    struct session_health *h = &s->health[pack_lane_path(lane->number)];
    const struct packed_head head = {.class = HEALTH_PROBE_CLASS};
    struct pkt *out;

    if (!h->probe_due || !is_probed(s, pack_lane_path(lane->number)) || max < HEALTH_PROBE_BYTES)
        return NULL;
    out = pkt_new(s->opts.pool, HEALTH_PROBE_BYTES);
    if (!out)
        return NULL;
    h->probe_due = false;
    memset(out->data, 0, HEALTH_PROBE_BYTES); /* PAD */
    packed_put_head(out->data, HEALTH_PROBE_BYTES, &head);
    out->len = HEALTH_PROBE_BYTES;
    out->queued_ns = now_ns;
    out->flow = 0;
    return out;
}

/* --- time ---------------------------------------------------------------------------------- */

static bool is_sending(const struct session *s)
{
    for (const struct pack_lane *l = s->pack->lanes; l; l = l->next)
        if (l->flight.n)
            return true;
    return false;
}

uint64_t session_paths_deadline_ns(const struct session *s)
{
    uint64_t at_ns = TIME_NEVER_NS;

    if (!session_has_paths(s))
        return at_ns;
    if (s->opts.watch && is_sending(s))
        at_ns = s->watch_ns;
    return MIN(at_ns, MIN(next_give_up_ns(s), next_probe_ns(s)));
}

void session_paths_timeout(struct session *s, uint64_t now_ns)
{
    if (!session_has_paths(s))
        return;
    give_up(s, now_ns);
    ask_for_probes(s, now_ns);
    if (!s->opts.watch || now_ns < s->watch_ns)
        return;
    s->watch_ns = now_ns + WATCH_NS;
    s->opts.watch(s->opts.kick_user);
}
