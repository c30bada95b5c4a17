/* The states of a path: when it connects, how long it pauses, when it gives up; and what state that
 * makes for the edge. Paths know nothing of each other: each fails and comes back on its own, while
 * the session goes on over the others. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "peer/edge_internal.h"

/* Pauses between attempts: doubled each time, with a random part, so that a thousand edges do not
 * come back to a restarted hub in one moment. A hub that says nothing may be back any moment, and
 * is asked again after 5 s at most; one that answers and does not want us is left alone for longer.
 */
#define PAUSE_FIRST_NS (250 * NS_PER_MS)
#define PAUSE_SILENT_MAX_NS (5 * NS_PER_S)
#define PAUSE_MAX_NS (20 * NS_PER_S)

/* A hub that ended a tunnel which had held has most likely been restarted, and all its edges know
 * it in the same moment: they come back spread over this time. */
#define PAUSE_SPREAD_NS (2 * NS_PER_S)

/* A tunnel that held this long was a success: the next pause is the first one again. One that ends
 * sooner counts as one more failed attempt, so that two edges with the same identity do not take
 * the tunnel from each other several times a second. */
#define HELD_NS (10 * NS_PER_S)

/* A hub without the session extension has one tunnel of a peer: other paths wait so long. */
#define PAUSE_PLAIN_NS (5 * NS_PER_S)

/* While another path carries the session, one that is silent is asked again soon, and an attempt
 * takes no longer than this; or, when its round trip is known, than enough for several. */
#define PAUSE_SPARE_MAX_NS (500 * NS_PER_MS)
#define ATTEMPT_NS (2500 * NS_PER_MS)
#define ATTEMPT_MIN_NS NS_PER_S
enum { ATTEMPT_RTTS = 8 };

/* One of several paths that no retry is known to help is tried again all the same. */
#define PAUSE_HOPELESS_NS (60 * NS_PER_S)

/* Several paths have the best state of one of them. */
static enum edge_state state_of_all(const struct edge *e)
{
    static const enum edge_state best_first[] = {EDGE_UP, EDGE_CONNECTING, EDGE_PAUSE, EDGE_FAILED};

    for (unsigned k = 0; k < ARRAY_LEN(best_first); k++)
        for (unsigned i = 0; i < e->n_paths; i++)
            if (e->path[i].state == best_first[k])
                return best_first[k];
    return EDGE_IDLE;
}

void edge_path_change_state(struct edge_path *p, enum edge_state state, const char *why)
{
    struct edge *e = p->edge;
    enum edge_state before = e->state;

    p->state = state;
    p->since_ns = e->now_ns;
    snprintf(p->why, sizeof(p->why), "%s", why);
    e->state = state_of_all(e);
    if (e->opts.events->path_state)
        e->opts.events->path_state(e->opts.user, p->number, state, why);
    if (e->n_paths == 1 || e->state != before)
        e->opts.events->state(e->opts.user, e->state, why);
}

bool edge_path_others_up(const struct edge_path *p)
{
    const struct edge *e = p->edge;

    for (unsigned i = 0; i < e->n_paths; i++)
        if (&e->path[i] != p && edge_lanes_up(&e->path[i]))
            return true;
    return false;
}

enum path_trouble edge_path_trouble(const struct edge_path *p)
{
    const struct edge *e = p->edge;

    return p->state == EDGE_UP && e->n_paths > 1 ? session_path_trouble(&e->session, p->number)
                                                 : TROUBLE_NONE;
}

void edge_path_drop(struct edge_path *p, bool at_once)
{
    struct quic_path *quic = p->quic;

    p->quic = NULL;
    p->over = false;
    if (!edge_path_others_up(p))
        session_detach(&p->edge->session);
    edge_lanes_end(p, at_once);
    if (quic)
        quic_path_close(quic, p->edge->now_ns);
}

static void describe(const struct edge_failure *f, char *buf, size_t len)
{
    const char *detail = f->quic.detail;

    if (f->quic.fail != QUIC_FAIL_NONE)
        snprintf(buf, len, "%s%s%s%s", quic_fail_meaning(f->quic.fail), *detail ? " (" : "", detail,
                 *detail ? ")" : "");
    else if (f->http_status)
        snprintf(buf, len, "the hub refused the request (HTTP status %d)", f->http_status);
    else
        snprintf(buf, len, "the peer speaks no CONNECT-IP");
}

/* Whether the hub may say otherwise later: Request Timeout, Too Early, Too Many Requests, and all
 * that is the hub's own trouble (RFC 9110, 15.5 and 15.6; RFC 6585, 4; RFC 8470, 5.2). */
static bool status_may_pass(int status)
{
    return status == 408 || status == 425 || status == 429 || status >= 500;
}

static bool is_permanent(const struct edge_failure *f)
{
    if (f->quic.fail != QUIC_FAIL_NONE)
        return quic_fail_permanent(f->quic.fail);
    return !status_may_pass(f->http_status);
}

static void pause_for(struct edge_path *p, uint64_t least_ns, uint64_t most_ns, const char *why)
{
    struct edge *e = p->edge;
    uint64_t random;

    e->opts.quic.random(e->opts.quic.random_user, &random, sizeof(random));
    p->retry_ns = e->now_ns + least_ns + random % (most_ns - least_ns + 1);
    edge_path_change_state(p, EDGE_PAUSE, why);
}

/* Pause for the next in the row of pauses, of which none is longer than max_ns. */
static void back_off(struct edge_path *p, uint64_t max_ns, const char *why)
{
    uint64_t pause_ns = MIN(p->pause_ns, max_ns);

    p->pause_ns = MIN(p->pause_ns * 2, PAUSE_MAX_NS);
    pause_for(p, pause_ns / 2, pause_ns, why);
}

/* Whether it was the hub that ended it, and not silence. */
static bool hub_spoke(const struct edge_failure *f)
{
    return f->quic.fail != QUIC_FAIL_HANDSHAKE_TIMEOUT && f->quic.fail != QUIC_FAIL_IDLE &&
           f->quic.fail != QUIC_FAIL_INTERNAL && f->quic.fail != QUIC_FAIL_LOCAL;
}

/* No retry can help this path. The edge gives up when that is so of all that have an address; until
 * then it tries this one again now and then, because others have shown that the hub takes us, or
 * may yet. */
static void give_up(struct edge_path *p, const struct edge_failure *end, const char *why)
{
    struct edge *e = p->edge;

    p->hopeless = true;
    for (unsigned i = 0; i < e->n_paths; i++) {
        if (e->path[i].hopeless || e->path[i].state == EDGE_IDLE)
            continue;
        pause_for(p, PAUSE_HOPELESS_NS / 2, PAUSE_HOPELESS_NS, why);
        return;
    }
    for (unsigned i = 0; i < e->n_paths; i++)
        if (e->path[i].state != EDGE_IDLE)
            edge_path_drop(&e->path[i], false);
    for (unsigned i = 0; i < e->n_paths; i++)
        if (e->path[i].state != EDGE_IDLE && &e->path[i] != p)
            e->path[i].state = EDGE_FAILED;
    edge_path_change_state(p, EDGE_FAILED, why);
    e->opts.events->failed(e->opts.user, end);
}

static uint64_t silent_max_ns(const struct edge_path *p)
{
    return edge_path_others_up(p) ? PAUSE_SPARE_MAX_NS : PAUSE_SILENT_MAX_NS;
}

/* Do what the end of the path asks for: pause, or give up. */
static void settle(struct edge_path *p)
{
    struct edge *e = p->edge;
    struct edge_failure end = p->end;
    bool held = p->state == EDGE_UP && e->now_ns - p->up_ns >= HELD_NS;
    char text[EDGE_WHY_MAX];

    if (p->leaving) {
        edge_path_leave(p);
        return;
    }
    if (!p->over) {
        edge_lanes_adapt(p);
        return;
    }
    e->end = end;
    edge_path_drop(p, false);
    describe(&end, text, sizeof(text));
    if (is_permanent(&end)) {
        give_up(p, &end, text);
        return;
    }
    p->hopeless = false;
    if (held)
        p->pause_ns = PAUSE_FIRST_NS;
    if (held && hub_spoke(&end))
        pause_for(p, 0, PAUSE_SPREAD_NS, text);
    else
        back_off(p, hub_spoke(&end) ? PAUSE_MAX_NS : silent_max_ns(p), text);
}

/* An attempt on one of several paths does not take the full time: the way may be back any moment,
 * and its first packets go again at growing distances. */
static uint64_t attempt_ns(const struct edge_path *p)
{
    return p->rtt_ns ? MAX(ATTEMPT_MIN_NS, MIN(ATTEMPT_RTTS * p->rtt_ns, ATTEMPT_NS)) : ATTEMPT_NS;
}

static bool takes_too_long(const struct edge_path *p)
{
    return p->state == EDGE_CONNECTING && p->edge->now_ns - p->since_ns >= attempt_ns(p) &&
           edge_path_others_up(p);
}

/* Failover: the hub follows us. */
static void tell_in_use(struct edge *e)
{
    if (e->opts.treatment.policy != BOND_FAILOVER || e->n_paths < 2)
        return;
    for (unsigned i = 0; i < e->n_paths; i++) {
        if (!session_path_is_current(&e->session, i) || e->in_use == i + 1)
            continue;
        e->in_use = i + 1;
        for (unsigned k = 0; k < EDGE_LANES_MAX; k++)
            if (edge_lane_is_up(&e->path[i].lane[k]))
                edge_tell_paths(e, e->path[i].lane[k].tunnel);
    }
}

static void tell_trouble(struct edge_path *p)
{
    enum path_trouble trouble = edge_path_trouble(p);

    if (trouble == p->trouble)
        return;
    p->trouble = trouble;
    if (p->state == EDGE_UP && p->edge->opts.events->path_trouble)
        p->edge->opts.events->path_trouble(p->edge->opts.user, p->number, trouble);
}

void edge_settle(struct edge *e)
{
    for (unsigned i = 0; i < e->n_paths; i++) {
        struct edge_path *p = &e->path[i];

        if (!p->there)
            continue;
        tell_trouble(p);
        if (!p->over && takes_too_long(p)) {
            p->over = true;
            p->end = (struct edge_failure){.quic.fail = QUIC_FAIL_HANDSHAKE_TIMEOUT};
        }
        settle(p);
    }
    tell_in_use(e);
}

static void fail(struct edge_path *p, const struct quic_fail_info *why)
{
    p->over = true;
    p->end = (struct edge_failure){.quic = *why};
}

static void connect_hub(struct edge_path *p)
{
    struct quic_fail_info why = {.fail = QUIC_FAIL_INTERNAL};
    struct edge *e = p->edge;

    if (edge_is_attached(e) && !e->session.pack) {
        pause_for(p, PAUSE_PLAIN_NS, PAUSE_PLAIN_NS, "the hub takes one path only");
        return;
    }
    edge_path_change_state(p, EDGE_CONNECTING, "");
    p->quic = quic_path_new(e->ep, &masque_path_ops, &e->side);
    if (!p->quic)
        back_off(p, PAUSE_SILENT_MAX_NS, quic_fail_meaning(why.fail));
    else if (edge_lanes_begin(p))
        fail(p, &why);
}

void edge_path_begin(struct edge_path *p)
{
    p->pause_ns = PAUSE_FIRST_NS;
}

void edge_retry(struct edge *e)
{
    for (unsigned i = 0; i < e->n_paths; i++)
        if (e->path[i].state == EDGE_PAUSE && e->now_ns >= e->path[i].retry_ns)
            connect_hub(&e->path[i]);
}

void edge_path_set_addrs(struct edge_path *p, const struct net_addr *local,
                         const struct net_addr *remote, unsigned socket)
{
    if (net_addr_equal(local, &p->local) && net_addr_equal(remote, &p->remote) &&
        socket == p->socket && p->state != EDGE_IDLE)
        return;
    if (!p->there || p->leaving)
        return;
    p->local = *local;
    p->remote = *remote;
    p->socket = socket;
    if (p->edge->state == EDGE_FAILED)
        return;
    edge_path_drop(p, true);
    p->pause_ns = PAUSE_FIRST_NS;
    p->hopeless = false;
    if (local->len && remote->len)
        connect_hub(p);
    else if (p->state != EDGE_IDLE)
        edge_path_change_state(p, EDGE_IDLE, "no local address");
}

uint64_t edge_path_deadline_ns(const struct edge_path *p)
{
    uint64_t at_ns = edge_lanes_deadline_ns(p);

    if (p->leaving)
        return MIN(at_ns, edge_path_leave_ns(p));
    if (p->state == EDGE_CONNECTING && edge_path_others_up(p))
        at_ns = MIN(at_ns, p->since_ns + attempt_ns(p));

    return p->state == EDGE_PAUSE ? MIN(at_ns, p->retry_ns) : at_ns;
}
