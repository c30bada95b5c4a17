/* Lanes on demand: how many connections the path has, each from a port of its own.
 *
 * A path begins with lane 0. Once the session is packed and the path carries much, or loses, the
 * in-flight bound says that more are of use (quic_path_lanes_wanted), and so does the hub for what
 * it sends (LANES capsule). Then lanes are opened one after the other; a start never waits for
 * them. When fewer have been enough for some seconds, the rest is closed.
 *
 *      none -> opening -> up -> leaving -> over -> none
 *                 |        |                ^
 *                 `--------`----------------'  lost: tried again later, unless it was the last
 *
 * A lane that leaves finishes what it has begun and waits for the answers, so that nothing has to
 * be sent twice. One that is lost leaves what was on its way to the others. Lanes are equals: when
 * lane 0 is lost the session goes on, and lane 0 is the first to be opened anew.
 */
#include <errno.h>

#include "base/clock.h"
#include "base/util.h"
#include "peer/edge_internal.h"
#include "peer/lane_rtt.h"

#define LOOK_NS (100 * NS_PER_MS)   /* no more than one lane is opened in this time */
#define ENOUGH_NS (5 * NS_PER_S)    /* fewer were enough for so long: close the rest */
#define LEAVE_NS NS_PER_S           /* the longest wait for answers to what is on its way */
#define LAST_WORDS_NS NS_PER_S      /* a socket stays open so long after its lane's end */
#define HUB_WANTS_NS (6 * NS_PER_S) /* what the hub said holds so long */
#define SUSPECT_NS (5 * NS_PER_S)   /* without answer for so long: try another port */
#define PROBE_NS (500 * NS_PER_MS)
#define PAUSE_FIRST_NS NS_PER_S
#define PAUSE_MAX_NS (60 * NS_PER_S)
#define HELD_NS (10 * NS_PER_S) /* a lane that held so long was a success */

static void set_state(struct edge_path *p, struct edge_lane *l, enum edge_lane_state state)
{
    l->state = state;
    l->since_ns = p->edge->now_ns;
}

struct edge_lane *edge_lane_find(struct edge *e, const struct quic_lane *quic)
{
    for (unsigned k = 0; k < e->n_paths; k++)
        for (unsigned i = 0; i < EDGE_LANES_MAX; i++)
            if (e->path[k].lane[i].quic == quic)
                return &e->path[k].lane[i];
    return NULL;
}

unsigned edge_lanes_up(const struct edge_path *p)
{
    unsigned n = 0;

    for (unsigned i = 0; i < EDGE_LANES_MAX; i++)
        n += edge_lane_is_up(&p->lane[i]);
    return n;
}

bool edge_lanes_possible(const struct edge *e)
{
    return e->join.version && e->opts.lane_socket && e->opts.max_lanes > 1;
}

/* --- the end of a lane -------------------------------------------------------------------- */

/* Its socket is not needed any more. */
static void give_back_socket(struct edge_path *p, struct edge_lane *l)
{
    if (l != p->lane && l->state != EDGE_LANE_NONE && p->edge->opts.lane_socket_done)
        p->edge->opts.lane_socket_done(p->edge->opts.user, p->number, edge_lane_number(l),
                                       l->socket);
    set_state(p, l, EDGE_LANE_NONE);
}

/* What it had on its way goes over the others. */
static void end(struct edge_path *p, struct edge_lane *l)
{
    struct quic_lane_stats st;

    if (l->state == EDGE_LANE_NONE || l->state == EDGE_LANE_OVER)
        return;
    if (edge_lane_is_up(l)) {
        quic_lane_stats(l->quic, &st);
        p->rtt_ns = st.rtt_smoothed_ns;
        st.cwnd_bytes = st.in_flight_bytes = 0;
        quic_lane_stats_add(&p->past, &st);
    }
    l->quic = NULL;
    l->tunnel = NULL;
    set_state(p, l, l == p->lane ? EDGE_LANE_NONE : EDGE_LANE_OVER);
    session_lane_done(&p->edge->session, &l->pack, p->edge->now_ns);
}

static void close_lane(struct edge_path *p, struct edge_lane *l, const char *why)
{
    struct quic_lane *quic = l->quic;

    end(p, l);
    if (quic)
        quic_lane_close(quic, MASQUE_H3_NO_ERROR, why);
}

void edge_lanes_end(struct edge_path *p, bool at_once)
{
    for (unsigned i = 0; i < EDGE_LANES_MAX; i++) {
        end(p, &p->lane[i]);
        if (at_once)
            give_back_socket(p, &p->lane[i]);
    }
}

void edge_lanes_close_others(struct edge *e, const struct edge_lane *but)
{
    for (unsigned k = 0; k < e->n_paths; k++) {
        struct edge_path *p = &e->path[k];
        bool closed = false;

        for (unsigned i = 0; i < EDGE_LANES_MAX; i++) {
            if (&p->lane[i] == but || !edge_lane_is_up(&p->lane[i]))
                continue;
            close_lane(p, &p->lane[i], "the hub has begun the session anew");
            closed = true;
        }
        if (!closed || p == but->path || p->over)
            continue;
        p->over = true;
        p->end = (struct edge_failure){.quic.fail = QUIC_FAIL_RESET};
    }
}

/* No further lane for a while: at random, so that edges that lose theirs at the same time do not
 * all come back at the same time. */
static void back_off(struct edge_path *p)
{
    uint64_t random;

    if (p->edge->now_ns < p->lane_retry_ns)
        return;
    p->edge->opts.quic.random(p->edge->opts.quic.random_user, &random, sizeof(random));
    p->lane_retry_ns = p->edge->now_ns + p->lane_pause_ns / 4 + random % p->lane_pause_ns;
    p->lane_pause_ns = MIN(2 * p->lane_pause_ns, PAUSE_MAX_NS);
}

void edge_lane_lost(struct edge_lane *l, const struct edge_failure *why)
{
    struct edge_path *p = l ? l->path : NULL;

    if (!p || !p->quic || p->over)
        return; /* closed by ourselves */
    if (edge_lane_is_up(l) && p->edge->now_ns - l->since_ns >= HELD_NS)
        p->lane_pause_ns = PAUSE_FIRST_NS;
    end(p, l);
    back_off(p);
    if (edge_lanes_up(p))
        return;
    p->over = true;
    p->end = *why;
    if (!edge_is_attached(p->edge))
        session_detach(&p->edge->session);
}

/* --- the beginning of a lane ---------------------------------------------------------------- */

static int open_lane(struct edge_path *p, struct edge_lane *l)
{
    int rv =
        quic_path_open_lane(p->quic, p->edge->now_ns, &l->local, &p->remote, l->socket, &l->quic);

    if (!rv)
        set_state(p, l, EDGE_LANE_OPENING);
    return rv;
}

int edge_lanes_begin(struct edge_path *p)
{
    p->lane[0].local = p->local;
    p->lane[0].socket = p->socket;
    p->lane_pause_ns = PAUSE_FIRST_NS;
    p->lane_retry_ns = p->look_ns = 0;
    p->hub_wants = 0;
    p->past = (struct quic_lane_stats){0};
    return open_lane(p, &p->lane[0]);
}

void edge_lane_join_session(struct edge_lane *l)
{
    struct session *s = &l->path->edge->session;

    session_lane_begin(s, &l->pack,
                       (uint8_t)(EDGE_LANES_MAX * l->path->number + edge_lane_number(l)));
    lane_rtt_tell(s, &l->pack, l->quic);
}

void edge_lane_opened(struct edge_lane *l, struct masque *tunnel)
{
    l->tunnel = tunnel;
    set_state(l->path, l, EDGE_LANE_UP);
    edge_lane_join_session(l);
}

static void open_one(struct edge_path *p)
{
    const struct edge_opts *o = &p->edge->opts;
    unsigned i = 0;
    struct edge_lane *l;

    while (i < o->max_lanes && p->lane[i].state != EDGE_LANE_NONE)
        i++;
    if (i == o->max_lanes)
        return;
    l = &p->lane[i];
    if (i && o->lane_socket(o->user, p->number, i, &l->local, &l->socket)) {
        back_off(p);
        return;
    }
    if (!open_lane(p, l))
        return;
    if (i && o->lane_socket_done)
        o->lane_socket_done(o->user, p->number, i, l->socket);
    back_off(p);
}

/* --- how many ----------------------------------------------------------------------------- */

unsigned edge_lanes_target(const struct edge_path *p, uint64_t now_ns)
{
    unsigned n = 1;

    if (!p->quic || !p->edge->session.pack || !edge_lanes_possible(p->edge))
        return 1;
    n = quic_path_lanes_wanted(p->quic, now_ns);
    if (now_ns - p->hub_wants_ns < HUB_WANTS_NS)
        n = MAX(n, p->hub_wants);
    return MIN(MAX(n, p->edge->opts.min_lanes), p->edge->opts.max_lanes);
}

/* Of several paths one that gets no answers for long; or one that may be back in a moment. */
static bool is_given_up(const struct edge_path *p)
{
    const struct session *s = &p->edge->session;

    return session_has_paths(s) && session_path_given_up(s, p->number);
}

static bool is_in_a_gap(const struct edge_path *p)
{
    const struct session *s = &p->edge->session;

    return session_has_paths(s) && !session_path_works(s, p->number) && !is_given_up(p);
}

/* Lanes that carry, or will soon. */
static unsigned in_use(const struct edge_path *p)
{
    bool gap = is_in_a_gap(p);
    unsigned n = 0;

    for (unsigned i = 0; i < EDGE_LANES_MAX; i++) {
        const struct edge_lane *l = &p->lane[i];

        n += l->state == EDGE_LANE_OPENING ||
             (l->state == EDGE_LANE_UP && (gap || !quic_lane_is_suspect(l->quic)));
    }
    return n;
}

/* The last ones go, but never the only one that is up. */
static void send_away(struct edge_path *p, unsigned surplus)
{
    for (unsigned i = EDGE_LANES_MAX; surplus && i-- > 0;) {
        struct edge_lane *l = &p->lane[i];
        unsigned stay = 0;

        for (unsigned k = 0; k < EDGE_LANES_MAX; k++)
            stay += k != i && p->lane[k].state == EDGE_LANE_UP;
        if (l->state != EDGE_LANE_UP || !stay)
            continue;
        set_state(p, l, EDGE_LANE_LEAVING);
        surplus--;
    }
}

static bool has_nothing_to_say(struct edge_lane *l)
{
    return !l->pack.unit && !flight_oldest(&l->pack.flight);
}

/* When one of several paths is given up a further lane shows that the way is back. It is begun anew
 * so often, because its first packets go again at growing distances. */
static uint64_t probe_ns(const struct edge_path *p)
{
    uint64_t rtt_ns = 0;

    if (!is_given_up(p))
        return TIME_NEVER_NS;
    for (unsigned i = 0; i < EDGE_LANES_MAX; i++) {
        struct quic_lane_stats st;

        if (!edge_lane_is_up(&p->lane[i]))
            continue;
        quic_lane_stats(p->lane[i].quic, &st);
        rtt_ns = MAX(rtt_ns, st.rtt_smoothed_ns);
    }
    return PROBE_NS + 3 * rtt_ns;
}

/* What time alone makes of a lane. */
static void age(struct edge_path *p, struct edge_lane *l)
{
    uint64_t for_ns = p->edge->now_ns - l->since_ns;

    if (l->state == EDGE_LANE_OVER && for_ns >= LAST_WORDS_NS)
        give_back_socket(p, l);
    else if (l->state == EDGE_LANE_OPENING && for_ns >= probe_ns(p))
        close_lane(p, l, "no answer");
    else if (l->state == EDGE_LANE_LEAVING && (has_nothing_to_say(l) || for_ns >= LEAVE_NS))
        close_lane(p, l, "the lane is not needed any more");
}

/* A lane that gets no answer for long, while others do, is opened anew from another port. Those of
 * a path that is given up are good again when it is. */
static void drop_suspect(struct edge_path *p, struct edge_lane *l)
{
    struct quic_lane_stats st;

    if (l->state != EDGE_LANE_UP || !quic_lane_is_suspect(l->quic) || edge_lanes_up(p) < 2 ||
        is_given_up(p))
        return;
    quic_lane_stats(l->quic, &st);
    if (p->edge->now_ns - st.answered_ns < SUSPECT_NS)
        return;
    close_lane(p, l, "the lane gets no answers");
    back_off(p);
}

void edge_lanes_leave(struct edge_path *p)
{
    for (unsigned i = 0; i < EDGE_LANES_MAX; i++) {
        struct edge_lane *l = &p->lane[i];

        if (l->state == EDGE_LANE_UP)
            set_state(p, l, EDGE_LANE_LEAVING);
        else if (l->state == EDGE_LANE_OPENING)
            close_lane(p, l, "the path is not needed any more");
    }
}

static void choose(struct edge_path *p)
{
    uint64_t now_ns = p->edge->now_ns;
    unsigned want = edge_lanes_target(p, now_ns), have = in_use(p);
    unsigned limit = p->edge->opts.max_lanes;

    if (want >= have) {
        p->enough_ns = now_ns;
        p->most_wanted = want;
    }
    p->most_wanted = MAX(p->most_wanted, want);
    if (have > limit)
        send_away(p, have - limit);
    else if (want > have && now_ns >= p->lane_retry_ns)
        open_one(p);
    else if (have > p->most_wanted && now_ns - p->enough_ns >= ENOUGH_NS)
        send_away(p, have - p->most_wanted);
    if (now_ns - p->enough_ns >= ENOUGH_NS) {
        p->enough_ns = now_ns;
        p->most_wanted = want;
    }
}

void edge_lanes_adapt(struct edge_path *p)
{
    if (p->edge->now_ns < p->look_ns)
        return;
    p->look_ns = p->edge->now_ns + LOOK_NS;
    for (unsigned i = 0; i < EDGE_LANES_MAX; i++) {
        age(p, &p->lane[i]);
        drop_suspect(p, &p->lane[i]);
    }
    if (p->state == EDGE_UP && !p->leaving)
        choose(p);
}

uint64_t edge_lanes_deadline_ns(const struct edge_path *p)
{
    for (unsigned i = p->edge->n_paths > 1 ? 0 : 1; i < EDGE_LANES_MAX; i++)
        if (p->lane[i].state != EDGE_LANE_NONE)
            return p->look_ns;
    return TIME_NEVER_NS;
}
