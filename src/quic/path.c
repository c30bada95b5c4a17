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
    if (path->n_lanes == QUIC_LANES_MAX)
        return -ENOSPC;
    path->lanes[path->n_lanes++] = lane;
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

void path_lane_silent(struct quic_path *path, const struct quic_lane *lane)
{
    if (path->turn_holder == lane)
        path->turn_holder = NULL;
    bound_on_lane_down(&path->bound, lane->tag);
    turn_leave(path, lane);
    path_turn_wake(path);
}

void path_turn_clear(struct quic_path *path)
{
    path->n_turn = 0;
}

/* A server's path ends with its last lane; a client's when its user has closed it. */
void path_remove_lane(struct quic_path *path, struct quic_lane *lane)
{
    path_lane_silent(path, lane);
    for (unsigned i = 0; i < path->n_lanes; i++) {
        if (path->lanes[i] != lane)
            continue;
        memmove(&path->lanes[i], &path->lanes[i + 1],
                (path->n_lanes - i - 1) * sizeof(struct quic_lane *));
        path->n_lanes--;
        break;
    }
    lane->path = NULL;
    if (!path->n_lanes && (path->closed || path->ep->opts.server))
        path_free(path);
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
    struct quic_fail_info why = {.fail = QUIC_FAIL_LOCAL, .app = true, .code = 0x100};

    path->ep->now_ns = now_ns;
    for (unsigned i = 0; i < path->n_lanes; i++)
        lane_fail(path->lanes[i], &why, true);
    path->closed = true;
    if (!path->n_lanes)
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

void quic_path_set_bound(struct quic_path *path, bool on, uint64_t queue_ns)
{
    bound_set(&path->bound, on, queue_ns);
}
