/* Which paths a session has, what each is for the policy, what the hub is told of them, and how all
 * that changes while the session goes on.
 *
 *      there ----> leaving ----> begins nothing more ----> its last words ----> gone
 *           not wanted   another path works,    all is answered,       LAST_WORDS_NS
 *                        or STAY_NS             or LEAVE_NS
 *
 * A path that leaves is *leaving* for the schedulers of both ends: they give it nothing more while
 * another one works, so that little has to be sent again when its lanes are closed, and nothing
 * when it was idle. A number that was free is lent to the next path; the hub is told anew what it
 * is. */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/util.h"
#include "peer/edge_internal.h"

#define STAY_NS (5 * NS_PER_S) /* so long it waits for another path that works */
#define OTHER_END_NS                                                                       \
    (50 * NS_PER_MS)           /* and two round trips: until the hub gives it nothing more \
                                */
#define LAST_WORDS_NS NS_PER_S /* its sockets stay open so long after its end */

/* --- what they are ---------------------------------------------------------------------------- */

bool edge_paths_valid(const struct edge_path_opts *v, unsigned n)
{
    for (unsigned i = 0; i < MIN(n, (unsigned)EDGE_PATHS_MAX); i++)
        if (v[i].priority > PATH_PRIORITY_MAX || v[i].weight > PATH_WEIGHT_MAX)
            return false;
    return true;
}

/* With failover the order of the list decides between paths of one priority. */
static uint32_t own_priority(const struct edge_path *p)
{
    const struct edge *e = p->edge;
    uint32_t priority = e->opts.paths[p->number].priority;

    return e->opts.treatment.policy == BOND_FAILOVER ? priority * EDGE_PATHS_MAX + p->position
                                                     : priority;
}

static uint8_t status_of(const struct edge_path *p)
{
    return p->leaving ? PATH_LEAVING : PATH_AVAILABLE;
}

static void tell_session(const struct edge_path *p)
{
    const struct edge_path_opts *o = &p->edge->opts.paths[p->number];

    session_set_path(&p->edge->session, &(struct path_report){.path = (uint8_t)p->number,
                                                              .status = status_of(p),
                                                              .priority = own_priority(p),
                                                              .weight = MAX(o->weight, 1u)});
}

void edge_paths_begin_session(struct edge *e)
{
    for (unsigned i = 0; i < e->n_paths; i++)
        if (e->path[i].there)
            tell_session(&e->path[i]);
}

/* --- what the hub is told --------------------------------------------------------------------- */

int edge_paths_tell_treatment(struct edge *e)
{
    const struct class_table *former = e->session.classes;
    struct treatment t = e->opts.treatment;
    struct class_table table = {.n = 0};

    if (e->n_paths < 2)
        t.policy = BOND_AGGREGATE;
    session_set_policy(&e->session, t.policy);
    if (!treatment_table(&t, &table) && !former)
        return 0;
    treatment_spell_out(&t, &table);
    table.serial = former ? former->serial + 1 : 0;
    return edge_set_classes(e, &table);
}

/* With failover the hub follows us: the path that we use has the best priority. */
static struct path_report report_of(struct edge *e, const struct edge_path *p)
{
    const struct edge_path_opts *o = &e->opts.paths[p->number];
    struct path_report r = {.path = (uint8_t)p->number,
                            .status = status_of(p),
                            .serial = ++e->serial,
                            .priority = o->priority,
                            .weight = MAX(o->weight, 1u)};

    if (e->opts.treatment.policy == BOND_FAILOVER)
        r.priority = session_path_is_current(&e->session, p->number) ? 0 : p->position + 1;
    return r;
}

/* What the hub assumes of a path that it has heard nothing of is what a bond needs. */
static bool has_to_know(const struct edge_path *p)
{
    const struct edge *e = p->edge;

    return p->there &&
           (p->leaving || e->opts.treatment.policy != BOND_AGGREGATE || e->told >> p->number & 1);
}

void edge_tell_paths(struct edge *e, struct masque *m)
{
    if (!e->session.pack || (e->n_paths < 2 && !e->told))
        return;
    for (unsigned i = 0; i < e->n_paths; i++) {
        struct path_report r;

        if (!has_to_know(&e->path[i]))
            continue;
        e->told |= (uint16_t)(1u << i);
        r = report_of(e, &e->path[i]);
        masque_send_path(m, &r);
    }
}

void edge_tell_paths_all(struct edge *e)
{
    for (unsigned i = 0; i < e->n_paths; i++)
        for (unsigned k = 0; k < EDGE_LANES_MAX; k++)
            if (edge_lane_is_up(&e->path[i].lane[k]))
                edge_tell_paths(e, e->path[i].lane[k].tunnel);
}

/* --- which there are -------------------------------------------------------------------------- */

static void begin(struct edge *e, unsigned number)
{
    struct edge_path *p = &e->path[number];

    *p = (struct edge_path){.edge = e, .number = number, .there = true, .since_ns = e->now_ns};
    edge_path_begin(p);
    for (unsigned k = 0; k < EDGE_LANES_MAX; k++)
        p->lane[k].path = p;
}

int edge_paths_make(struct edge *e)
{
    e->n_paths = MAX(e->opts.n_paths, 1u);
    e->path = calloc(e->opts.n_paths ? EDGE_PATHS_MAX : 1, sizeof(*e->path));
    if (!e->path)
        return -ENOMEM;
    for (unsigned i = 0; i < e->n_paths; i++) {
        begin(e, i);
        e->path[i].position = i;
    }
    return 0;
}

/* It has no lanes and no sockets any more. */
static void forget(struct edge_path *p)
{
    struct edge *e = p->edge;
    unsigned number = p->number;

    edge_lanes_end(p, true);
    p->there = p->leaving = false;
    p->state = EDGE_IDLE;
    while (e->n_paths > 1 && !e->path[e->n_paths - 1].there)
        e->n_paths--;
    if (e->opts.events->path_gone)
        e->opts.events->path_gone(e->opts.user, number);
}

/* Its lanes are over. One that never was up has nothing more to say. */
static void close_path(struct edge_path *p)
{
    bool had_lanes = p->quic;

    edge_path_drop(p, false);
    if (p->state != EDGE_IDLE)
        edge_path_change_state(p, EDGE_IDLE, "not needed any more");
    p->gone_ns = p->edge->now_ns + LAST_WORDS_NS;
    if (!had_lanes)
        forget(p);
}

/* --- a path leaves ---------------------------------------------------------------------------- */

/* Until the hub has heard of it, and what it had sent before has come. */
static uint64_t other_end_ns(const struct edge_path *p)
{
    struct quic_lane_stats st;

    return edge_lane_stats(p->edge, p->number, &st) ? OTHER_END_NS + 2 * st.rtt_smoothed_ns : 0;
}

void edge_path_leave(struct edge_path *p)
{
    uint64_t now_ns = p->edge->now_ns;

    if (p->gone_ns) {
        edge_lanes_adapt(p);
        if (now_ns >= p->gone_ns)
            forget(p);
        return;
    }
    if (p->over || !edge_lanes_up(p)) {
        close_path(p);
        return;
    }
    if (p->close_ns == TIME_NEVER_NS &&
        (now_ns >= p->stay_ns || session_other_path_works(&p->edge->session, p->number)))
        p->close_ns = now_ns + other_end_ns(p);
    if (now_ns >= p->close_ns)
        edge_lanes_leave(p);
    edge_lanes_adapt(p);
}

uint64_t edge_path_leave_ns(const struct edge_path *p)
{
    if (p->gone_ns)
        return p->gone_ns;
    return p->close_ns == TIME_NEVER_NS    ? p->stay_ns
           : p->close_ns > p->edge->now_ns ? p->close_ns
                                           : TIME_NEVER_NS; /* it is its lanes' turn */
}

static void begin_to_leave(struct edge_path *p)
{
    p->leaving = true;
    p->stay_ns = p->edge->now_ns + STAY_NS;
    p->close_ns = TIME_NEVER_NS;
    tell_session(p);
}

/* --- other paths than before ------------------------------------------------------------------ */

static bool are_valid(const struct edge *e, const unsigned *number, unsigned n)
{
    uint32_t seen = 0;

    for (unsigned i = 0; i < n; i++) {
        if (number[i] == EDGE_PATH_NEW)
            continue;
        if (!edge_has_path(e, number[i]) || seen >> number[i] & 1)
            return false;
        seen |= 1u << number[i];
    }
    return e->opts.n_paths && n && n <= EDGE_PATHS_MAX;
}

static bool is_among(unsigned path, const unsigned *number, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (number[i] == path)
            return true;
    return false;
}

/* A number for each: of the new ones first those that are free, then those of paths that leave,
 * which make room at once: there are no more paths that stay than numbers. */
static void choose_numbers(const struct edge *e, const unsigned *number, unsigned n,
                           unsigned ret[EDGE_PATHS_MAX])
{
    uint32_t taken = 0;

    for (unsigned i = 0; i < EDGE_PATHS_MAX; i++)
        taken |= (uint32_t)is_among(i, number, n) << i;
    for (unsigned i = 0; i < n; i++) {
        unsigned k = 0;

        ret[i] = number[i];
        if (number[i] != EDGE_PATH_NEW)
            continue;
        while (k < EDGE_PATHS_MAX && (taken >> k & 1 || e->path[k].there))
            k++;
        for (k = k < EDGE_PATHS_MAX ? k : 0; taken >> k & 1;)
            k++;
        taken |= 1u << k;
        ret[i] = k;
    }
}

static void make_new(struct edge *e, unsigned number)
{
    struct edge_path *p = &e->path[number];

    if (p->there) {
        edge_path_drop(p, true);
        forget(p);
    }
    begin(e, number);
    e->n_paths = MAX(e->n_paths, number + 1);
}

static bool is_same(const struct treatment *a, const struct treatment *b)
{
    return a->policy == b->policy && a->pin == b->pin && a->copies == b->copies &&
           a->recovery == b->recovery && a->order == b->order && a->deadline_ms == b->deadline_ms;
}

/* The packets are treated so from now on. Returns 0 or -ENOMEM: as they were. */
static int change_treatment(struct edge *e, const struct treatment *treatment, unsigned n)
{
    struct treatment before = e->opts.treatment;
    unsigned had = e->n_paths;
    int rv = 0;

    e->opts.treatment = *treatment;
    e->n_paths = MAX(had, n); /* whether there is anything to choose */
    if (!is_same(&before, treatment) || e->n_paths != had)
        rv = edge_paths_tell_treatment(e);
    if (rv) {
        e->opts.treatment = before;
        session_set_policy(&e->session, before.policy);
    }
    e->n_paths = had;
    return rv;
}

int edge_set_paths(struct edge *e, uint64_t now_ns, const struct edge_path_opts *paths,
                   unsigned *number, unsigned n, const struct treatment *treatment)
{
    unsigned chosen[EDGE_PATHS_MAX];
    struct treatment t = *treatment;

    if (!are_valid(e, number, n) || !edge_paths_valid(paths, n) || !treatment_is_valid(&t, n))
        return -EINVAL;
    e->now_ns = now_ns;
    choose_numbers(e, number, n, chosen);
    if (t.policy == BOND_PIN)
        t.pin = (uint8_t)chosen[t.pin];
    if (change_treatment(e, &t, n))
        return -ENOMEM;
    for (unsigned i = 0; i < e->n_paths; i++)
        if (edge_has_path(e, i) && !is_among(i, number, n))
            begin_to_leave(&e->path[i]);
    for (unsigned i = 0; i < n; i++) {
        if (number[i] == EDGE_PATH_NEW)
            make_new(e, chosen[i]);
        number[i] = chosen[i];
        e->path[number[i]].position = i;
        e->opts.paths[number[i]] = paths[i];
        tell_session(&e->path[number[i]]);
    }
    e->opts.n_paths = n;
    e->in_use = 0;
    edge_tell_paths_all(e);
    edge_settle(e);
    return 0;
}
