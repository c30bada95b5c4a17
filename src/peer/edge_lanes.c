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
#define PAUSE_FIRST_NS NS_PER_S
#define PAUSE_MAX_NS (60 * NS_PER_S)
#define HELD_NS (10 * NS_PER_S) /* a lane that held so long was a success */

static void set_state(struct edge *e, struct edge_lane *l, enum edge_lane_state state)
{
    l->state = state;
    l->since_ns = e->now_ns;
}

struct edge_lane *edge_lane_find(struct edge *e, const struct quic_lane *quic)
{
    for (unsigned i = 0; i < EDGE_LANES_MAX; i++)
        if (e->lane[i].quic == quic)
            return &e->lane[i];
    return NULL;
}

unsigned edge_lanes_up(const struct edge *e)
{
    unsigned n = 0;

    for (unsigned i = 0; i < EDGE_LANES_MAX; i++)
        n += edge_lane_is_up(&e->lane[i]);
    return n;
}

bool edge_lanes_possible(const struct edge *e)
{
    return e->join.version && e->opts.lane_socket && e->opts.max_lanes > 1;
}

/* --- the end of a lane -------------------------------------------------------------------- */

/* Its socket is not needed any more. */
static void give_back_socket(struct edge *e, struct edge_lane *l)
{
    if (l != e->lane && l->state != EDGE_LANE_NONE && e->opts.lane_socket_done)
        e->opts.lane_socket_done(e->opts.user, edge_lane_number(e, l), l->socket);
    set_state(e, l, EDGE_LANE_NONE);
}

/* What it had on its way goes over the others. */
static void end(struct edge *e, struct edge_lane *l)
{
    struct quic_lane_stats st;

    if (l->state == EDGE_LANE_NONE || l->state == EDGE_LANE_OVER)
        return;
    if (edge_lane_is_up(l)) {
        quic_lane_stats(l->quic, &st);
        st.cwnd_bytes = st.in_flight_bytes = 0;
        quic_lane_stats_add(&e->past, &st);
    }
    l->quic = NULL;
    l->tunnel = NULL;
    set_state(e, l, l == e->lane ? EDGE_LANE_NONE : EDGE_LANE_OVER);
    session_lane_done(&e->session, &l->pack, e->now_ns);
}

static void close_lane(struct edge *e, struct edge_lane *l, const char *why)
{
    struct quic_lane *quic = l->quic;

    end(e, l);
    if (quic)
        quic_lane_close(quic, MASQUE_H3_NO_ERROR, why);
}

void edge_lanes_end(struct edge *e, bool at_once)
{
    for (unsigned i = 0; i < EDGE_LANES_MAX; i++) {
        end(e, &e->lane[i]);
        if (at_once)
            give_back_socket(e, &e->lane[i]);
    }
}

void edge_lanes_close_others(struct edge *e, const struct edge_lane *but)
{
    for (unsigned i = 0; i < EDGE_LANES_MAX; i++)
        if (&e->lane[i] != but && edge_lane_is_up(&e->lane[i]))
            close_lane(e, &e->lane[i], "the hub has begun the session anew");
}

/* No further lane for a while: at random, so that edges that lose theirs at the same time do not
 * all come back at the same time. */
static void back_off(struct edge *e)
{
    uint64_t random;

    if (e->now_ns < e->lane_retry_ns)
        return;
    e->opts.quic.random(e->opts.quic.random_user, &random, sizeof(random));
    e->lane_retry_ns = e->now_ns + e->lane_pause_ns / 4 + random % e->lane_pause_ns;
    e->lane_pause_ns = MIN(2 * e->lane_pause_ns, PAUSE_MAX_NS);
}

void edge_lane_lost(struct edge *e, struct edge_lane *l, const struct edge_failure *why)
{
    if (!l || !e->path || e->over)
        return; /* closed by ourselves */
    if (edge_lane_is_up(l) && e->now_ns - l->since_ns >= HELD_NS)
        e->lane_pause_ns = PAUSE_FIRST_NS;
    end(e, l);
    back_off(e);
    if (edge_lanes_up(e))
        return;
    e->over = true;
    e->end = *why;
    session_detach(&e->session);
}

/* --- the beginning of a lane ---------------------------------------------------------------- */

static int open_lane(struct edge *e, struct edge_lane *l)
{
    int rv = quic_path_open_lane(e->path, e->now_ns, &l->local, &e->remote, l->socket, &l->quic);

    if (!rv)
        set_state(e, l, EDGE_LANE_OPENING);
    return rv;
}

int edge_lanes_begin(struct edge *e)
{
    e->lane[0].local = e->local;
    e->lane[0].socket = e->socket;
    e->lane_pause_ns = PAUSE_FIRST_NS;
    e->lane_retry_ns = e->look_ns = 0;
    e->hub_wants = 0;
    e->past = (struct quic_lane_stats){0};
    return open_lane(e, &e->lane[0]);
}

void edge_lane_join_session(struct edge *e, struct edge_lane *l)
{
    session_lane_begin(&e->session, &l->pack, (uint8_t)edge_lane_number(e, l));
    lane_rtt_tell(&e->session, &l->pack, l->quic);
}

void edge_lane_opened(struct edge *e, struct edge_lane *l, struct masque *tunnel)
{
    l->tunnel = tunnel;
    set_state(e, l, EDGE_LANE_UP);
    edge_lane_join_session(e, l);
}

static void open_one(struct edge *e)
{
    unsigned i = 0;
    struct edge_lane *l;

    while (i < e->opts.max_lanes && e->lane[i].state != EDGE_LANE_NONE)
        i++;
    if (i == e->opts.max_lanes)
        return;
    l = &e->lane[i];
    if (i && e->opts.lane_socket(e->opts.user, i, &l->local, &l->socket)) {
        back_off(e);
        return;
    }
    if (!open_lane(e, l))
        return;
    if (i && e->opts.lane_socket_done)
        e->opts.lane_socket_done(e->opts.user, i, l->socket);
    back_off(e);
}

/* --- how many ----------------------------------------------------------------------------- */

unsigned edge_lanes_target(const struct edge *e, uint64_t now_ns)
{
    unsigned n = 1;

    if (!e->path || !e->session.pack || !edge_lanes_possible(e))
        return 1;
    n = quic_path_lanes_wanted(e->path, now_ns);
    if (now_ns - e->hub_wants_ns < HUB_WANTS_NS)
        n = MAX(n, e->hub_wants);
    return MIN(MAX(n, e->opts.min_lanes), e->opts.max_lanes);
}

/* Lanes that carry, or will soon. */
static unsigned in_use(const struct edge *e)
{
    unsigned n = 0;

    for (unsigned i = 0; i < EDGE_LANES_MAX; i++) {
        const struct edge_lane *l = &e->lane[i];

        n += l->state == EDGE_LANE_OPENING ||
             (l->state == EDGE_LANE_UP && !quic_lane_is_suspect(l->quic));
    }
    return n;
}

/* The last ones go, but never the only one that is up. */
static void send_away(struct edge *e, unsigned surplus)
{
    for (unsigned i = EDGE_LANES_MAX; surplus && i-- > 0;) {
        struct edge_lane *l = &e->lane[i];
        unsigned stay = 0;

        for (unsigned k = 0; k < EDGE_LANES_MAX; k++)
            stay += k != i && e->lane[k].state == EDGE_LANE_UP;
        if (l->state != EDGE_LANE_UP || !stay)
            continue;
        set_state(e, l, EDGE_LANE_LEAVING);
        surplus--;
    }
}

static bool has_nothing_to_say(struct edge_lane *l)
{
    return !l->pack.unit && !flight_oldest(&l->pack.flight);
}

/* What time alone makes of a lane. */
static void age(struct edge *e, struct edge_lane *l)
{
    uint64_t for_ns = e->now_ns - l->since_ns;

    if (l->state == EDGE_LANE_OVER && for_ns >= LAST_WORDS_NS)
        give_back_socket(e, l);
    else if (l->state == EDGE_LANE_LEAVING && (has_nothing_to_say(l) || for_ns >= LEAVE_NS))
        close_lane(e, l, "the lane is not needed any more");
}

/* A lane that gets no answer for long, while others do, is opened anew from another port. */
static void drop_suspect(struct edge *e, struct edge_lane *l)
{
    struct quic_lane_stats st;

    if (l->state != EDGE_LANE_UP || !quic_lane_is_suspect(l->quic) || edge_lanes_up(e) < 2)
        return;
    quic_lane_stats(l->quic, &st);
    if (e->now_ns - st.answered_ns < SUSPECT_NS)
        return;
    close_lane(e, l, "the lane gets no answers");
    back_off(e);
}

static void choose(struct edge *e)
{
    unsigned want = edge_lanes_target(e, e->now_ns), have = in_use(e), limit = e->opts.max_lanes;

    if (want >= have) {
        e->enough_ns = e->now_ns;
        e->most_wanted = want;
    }
    e->most_wanted = MAX(e->most_wanted, want);
    if (have > limit)
        send_away(e, have - limit);
    else if (want > have && e->now_ns >= e->lane_retry_ns)
        open_one(e);
    else if (have > e->most_wanted && e->now_ns - e->enough_ns >= ENOUGH_NS)
        send_away(e, have - e->most_wanted);
    if (e->now_ns - e->enough_ns >= ENOUGH_NS) {
        e->enough_ns = e->now_ns;
        e->most_wanted = want;
    }
}

void edge_lanes_adapt(struct edge *e)
{
    if (e->now_ns < e->look_ns)
        return;
    e->look_ns = e->now_ns + LOOK_NS;
    for (unsigned i = 0; i < EDGE_LANES_MAX; i++) {
        age(e, &e->lane[i]);
        drop_suspect(e, &e->lane[i]);
    }
    if (e->state == EDGE_UP)
        choose(e);
}

uint64_t edge_lanes_deadline_ns(const struct edge *e)
{
    for (unsigned i = 1; i < EDGE_LANES_MAX; i++)
        if (e->lane[i].state != EDGE_LANE_NONE)
            return e->look_ns;
    return TIME_NEVER_NS;
}
