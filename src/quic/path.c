/* A path: the lanes over one WAN, and what they share. */
#include "quic/lane.h"

#include <errno.h>

struct quic_path *path_new(struct quic_endpoint *ep, const struct quic_path_ops *ops, void *user)
{
    struct quic_path *path = calloc(1, sizeof(*path));

    if (!path)
        return NULL;
    path->ep = ep;
    path->ops = ops;
    path->user = user;
    bound_init(&path->bound);
    path->next = ep->paths;
    if (ep->paths)
        ep->paths->prev = path;
    ep->paths = path;
    return path;
}

void path_free(struct quic_path *path)
{
    if (path->prev)
        path->prev->next = path->next;
    else
        path->ep->paths = path->next;
    if (path->next)
        path->next->prev = path->prev;
    bound_done(&path->bound);
    free(path);
}

int path_add_lane(struct quic_path *path, struct quic_lane *lane)
{
    if (path->n_lanes == PATH_LANES_MAX)
        return -ENOSPC;
    path->lanes[path->n_lanes++] = lane;
    path->n_refs++;
    lane->path = path;
    lane->tag = path->next_tag++;
    return 0;
}

/* --- whose turn it is -------------------------------------------------------------------
 *
 * What the bound gives free is handed to the lanes in turn, so that all carry the same and a loss
 * meets each of them equally seldom. A lane that finds no room queues up; one whose own congestion
 * control holds it back passes its turn. A turn is at least two packets: a receiver acknowledges
 * the second at once, but a single one late (RFC 9000, 13.2.1), which would look like a queue. */

enum { TURN_PACKETS = 2 };

static int turn_of(const struct quic_path *path, const struct quic_lane *lane)
{
    for (unsigned i = 0; i < path->n_turn; i++)
        if (path->turn[i] == lane)
            return (int)i;
    return -1;
}

static void turn_leave(struct quic_path *path, const struct quic_lane *lane)
{
    int i = turn_of(path, lane);

    if (i < 0)
        return;
    path->n_turn--;
    memmove(&path->turn[i], &path->turn[i + 1],
            (path->n_turn - (unsigned)i) * sizeof(path->turn[0]));
}

static void turn_join(struct quic_path *path, struct quic_lane *lane)
{
    if (turn_of(path, lane) < 0)
        path->turn[path->n_turn++] = lane;
}

void path_turn_wake(struct quic_path *path)
{
    if (path->n_turn && bound_may_send(&path->bound, path->ep->now_ns, TURN_PACKETS))
        endpoint_ready(path->ep, path->turn[0]);
}

bool path_turn_take(struct quic_path *path, struct quic_lane *lane)
{
    bool odd = path->turn_holder == lane && path->turn_taken % TURN_PACKETS;
    bool room = bound_may_send(&path->bound, path->ep->now_ns, odd ? 1 : TURN_PACKETS);

    if (room && (odd || !path->n_turn || path->turn[0] == lane)) {
        turn_leave(path, lane);
        path->turn_taken = path->turn_holder == lane ? path->turn_taken + 1 : 1;
        path->turn_holder = lane;
        return true;
    }
    turn_join(path, lane);
    if (room)
        endpoint_ready(path->ep, path->turn[0]);
    return false;
}

void path_turn_pass(struct quic_path *path, struct quic_lane *lane)
{
    turn_leave(path, lane);
    path_turn_wake(path);
}

/* Those who wait may have begun something, which only they can go on with. */
void path_turn_clear(struct quic_path *path)
{
    for (unsigned i = 0; i < path->n_turn; i++)
        endpoint_ready(path->ep, path->turn[i]);
    path->n_turn = 0;
}

/* --- lanes that get no answer -------------------------------------------------------------
 *
 * When a lane's port pair is blocked on the way, QUIC says nothing of what it has in flight until
 * the connection times out: a probe that is not acknowledged is no proof of loss (RFC 9002, 6.2).
 * The other lanes of the path are one. A lane that has heard nothing for two probe timeouts is
 * *overdue*, and leaves what is new to the others. When one of them has an answer, or none has
 * anything that could be answered, it is *suspect*: its user sends what it had in flight over the
 * others. The first answer brings it back. */

enum { SUSPECT_PTOS = 2 };

#define OVERDUE_MIN_NS                                                             \
    (20 * NS_PER_MS) /* no probe timeout is shorter: the delay of acknowledgements \
                      * and the granularity of timers are in it */

/* Something was sent after all that is known the fate of. Counts would not tell: what was declared
 * lost may be acknowledged later, and what went together with a frame that a probe has repeated is
 * never declared lost. */
static bool awaits_answer(const struct quic_lane *lane)
{
    return lane->sent_end > lane->heard_end;
}

static bool is_overdue(const struct quic_lane *lane, uint64_t now_ns)
{
    return now_ns > lane->heard_of_ns + OVERDUE_MIN_NS && lane->state == LANE_UP &&
           awaits_answer(lane) &&
           now_ns > lane->heard_of_ns + SUSPECT_PTOS * ngtcp2_conn_get_pto(lane->conn);
}

bool path_lane_is_overdue(const struct quic_lane *lane)
{
    return is_overdue(lane, lane->ep->now_ns);
}

bool path_lane_yields(const struct quic_path *path, const struct quic_lane *lane)
{
    uint64_t now_ns = path->ep->now_ns;

    if (lane->suspect)
        return true;
    if (path->n_lanes < 2 || !is_overdue(lane, now_ns))
        return false;
    for (unsigned i = 0; i < path->n_lanes; i++) {
        const struct quic_lane *other = path->lanes[i];

        if (other != lane && other->state == LANE_UP && !other->suspect &&
            !is_overdue(other, now_ns))
            return true;
    }
    return false;
}

/* QUIC's own probes go again at distances that double: after an outage the way may have been back
 * for as long as it was gone before one of them shows it. A lane that gets no answers also sends a
 * PING so often; an answer to it tells what became of all that was sent before. It needs room in
 * the congestion window, which is kept free for it (lane_tx.c). */
#define PROBE_NS (400 * NS_PER_MS)

static void probe(struct quic_lane *lane)
{
    uint64_t every_ns = MAX(PROBE_NS, (uint64_t)ngtcp2_conn_get_pto(lane->conn));

    if (lane->probing)
        return;
    lane->probing = true;
    ngtcp2_conn_set_keep_alive_timeout(lane->conn, MIN(every_ns, lane->keepalive_ns));
    lane_set_timer(lane);
}

static void probe_no_more(struct quic_lane *lane)
{
    if (!lane->probing)
        return;
    lane->probing = false;
    ngtcp2_conn_set_keep_alive_timeout(lane->conn, lane->keepalive_ns);
}

static void suspect(struct quic_path *path, struct quic_lane *lane)
{
    lane->suspect = true;
    probe(lane);
    bound_on_lane_down(&path->bound, lane->tag);
    lane_return_stash(lane, DROP_NO_SESSION);
    path_turn_pass(path, lane);
    if (lane_listener(lane) && path->ops->lane_suspect)
        path->ops->lane_suspect(lane);
}

/* When none of its lanes has had an answer since, the path is silent, and those that have nothing
 * on their way are no better: what is to go again must not try them one after the other. */
void quic_lane_suspect_after(struct quic_lane *lane, uint64_t least_ns)
{
    uint64_t now_ns = lane->ep->now_ns;
    struct quic_path *path = lane->path;

    if (!path || lane->suspect || now_ns <= lane->heard_of_ns + least_ns ||
        !is_overdue(lane, now_ns))
        return;
    suspect(path, lane);
    if (path->answered_ns > lane->heard_of_ns)
        return;
    for (unsigned i = 0; i < path->n_lanes; i++)
        if (path->lanes[i]->state == LANE_UP && !path->lanes[i]->suspect)
            suspect(path, path->lanes[i]);
}

static void trust(struct quic_path *path, struct quic_lane *lane)
{
    lane->suspect = false;
    lane->dgram_work = true;
    endpoint_ready(path->ep, lane);
    if (lane_listener(lane) && path->ops->lane_trusted)
        path->ops->lane_trusted(lane);
}

/* Those that are suspect because the path was silent, and wait for no answer themselves. */
static void trust_idle(struct quic_path *path)
{
    for (unsigned i = 0; i < path->n_lanes; i++)
        if (path->lanes[i]->suspect && !awaits_answer(path->lanes[i]))
            trust(path, path->lanes[i]);
}

void path_on_sent(struct quic_path *path, struct quic_lane *lane, uint64_t number, size_t bytes)
{
    uint64_t now_ns = path->ep->now_ns;

    if (!awaits_answer(lane))
        lane->heard_of_ns = now_ns;
    lane->sent_end = number + 1;
    bound_on_sent(&path->bound, now_ns, number, bytes, lane->tag);
}

/* Time has passed. Whether the others can tell something is a matter of what they have in flight.
 */
void path_on_timeout(struct quic_path *path, struct quic_lane *lane)
{
    bool others = false;

    if (!is_overdue(lane, path->ep->now_ns))
        return;
    probe(lane);
    if (path->n_lanes < 2 || lane->suspect)
        return;
    for (unsigned i = 0; i < path->n_lanes; i++)
        others |= path->lanes[i] != lane && awaits_answer(path->lanes[i]);
    if (!others && path_lane_yields(path, lane))
        suspect(path, lane);
}

void path_on_answer(struct quic_path *path, struct quic_lane *lane, uint64_t number)
{
    uint64_t now_ns = path->ep->now_ns;

    lane->heard_end = MAX(lane->heard_end, number + 1);
    probe_no_more(lane);
    path->answered_ns = now_ns;
    if (lane->suspect)
        trust(path, lane);
    trust_idle(path);
    if (lane->heard_of_ns != now_ns && path->n_lanes > 1)
        for (unsigned i = 0; i < path->n_lanes; i++)
            if (path->lanes[i] != lane && !path->lanes[i]->suspect &&
                is_overdue(path->lanes[i], now_ns))
                suspect(path, path->lanes[i]);
    lane->heard_of_ns = now_ns;
    path_turn_wake(path);
}

/* --- coming and going ------------------------------------------------------------------- */

static void take_out(struct quic_path *path, struct quic_lane *lane)
{
    if (path->turn_holder == lane)
        path->turn_holder = NULL;
    bound_on_lane_down(&path->bound, lane->tag);
    turn_leave(path, lane);
    for (unsigned i = 0; i < path->n_lanes; i++) {
        if (path->lanes[i] != lane)
            continue;
        memmove(&path->lanes[i], &path->lanes[i + 1],
                (path->n_lanes - i - 1) * sizeof(struct quic_lane *));
        path->n_lanes--;
        break;
    }
}

void path_lane_ended(struct quic_path *path, struct quic_lane *lane)
{
    bool waits = false;

    take_out(path, lane);
    for (unsigned i = 0; i < path->n_lanes; i++)
        waits |= path->lanes[i]->state == LANE_UP && awaits_answer(path->lanes[i]);
    if (!waits) /* nobody is left who could tell them */
        trust_idle(path);
    path_turn_wake(path);
}

/* A server's path ends with its last lane; a client's when its user has closed it. */
void path_remove_lane(struct quic_path *path, struct quic_lane *lane)
{
    path_lane_ended(path, lane);
    lane->path = NULL;
    if (!--path->n_refs && (path->closed || path->ep->opts.server))
        path_free(path);
}

int quic_path_adopt_lane(struct quic_path *path, struct quic_lane *lane)
{
    struct quic_path *from = lane->path;

    if (from == path)
        return 0;
    if (lane->state != LANE_UP || lane->stats.dgram_tx || path->ep != lane->ep ||
        path->ops != from->ops || path->user != from->user || path->closed)
        return -EINVAL;
    if (path->n_lanes == PATH_LANES_MAX)
        return -ENOSPC;
    path_remove_lane(from, lane);
    return path_add_lane(path, lane);
}

struct quic_path *quic_path_new(struct quic_endpoint *ep, const struct quic_path_ops *ops,
                                void *user)
{
    return path_new(ep, ops, user);
}

int quic_path_open_lane(struct quic_path *path, uint64_t now_ns, const struct net_addr *local,
                        const struct net_addr *remote, unsigned socket, struct quic_lane **ret)
{
    struct quic_lane *lane;

    if (path->n_lanes == QUIC_LANES_MAX)
        return -ENOSPC;
    path->ep->now_ns = now_ns;
    lane = lane_new(path->ep, path, socket, local, remote, NULL);
    if (!lane)
        return -ENOMEM;
    if (ret)
        *ret = lane;
    return 0;
}

void quic_path_close(struct quic_path *path, uint64_t now_ns)
{
    struct quic_fail_info why = {.fail = QUIC_FAIL_LOCAL, .app = true, .code = H3_NO_ERROR};
    struct quic_lane *lanes[PATH_LANES_MAX];
    unsigned n = path->n_lanes;

    path->ep->now_ns = now_ns;
    path->n_refs++; /* it stays until this is over */
    memcpy(lanes, path->lanes, sizeof(lanes));
    for (unsigned i = 0; i < n; i++)
        lane_fail(lanes[i], &why, true);
    path->closed = true;
    if (!--path->n_refs)
        path_free(path);
}

void quic_path_kick(struct quic_path *path)
{
    for (unsigned i = 0; i < path->n_lanes; i++) {
        path->lanes[i]->dgram_work = true;
        endpoint_ready(path->ep, path->lanes[i]);
    }
}

void *quic_path_user(const struct quic_path *path)
{
    return path->user;
}

unsigned quic_path_lanes(const struct quic_path *path)
{
    return path->n_lanes;
}

unsigned quic_path_lanes_wanted(const struct quic_path *path, uint64_t now_ns)
{
    return bound_lanes_wanted(&path->bound, now_ns);
}

uint64_t quic_path_rate(const struct quic_path *path)
{
    return path->bound.on ? (uint64_t)path->bound.best : 0;
}

void quic_path_fate(const struct quic_path *path, uint64_t *ret_acked, uint64_t *ret_lost)
{
    *ret_acked = path->dgram_acked;
    *ret_lost = path->dgram_lost;
}

uint64_t quic_path_vary_ns(const struct quic_path *path)
{
    return bound_vary_ns(&path->bound);
}

void quic_path_set_several(struct quic_path *path, bool several)
{
    bound_set_several(&path->bound, several);
}

void quic_path_set_bound(struct quic_path *path, bool on, uint64_t queue_ns)
{
    bound_set(&path->bound, on, queue_ns);
}
