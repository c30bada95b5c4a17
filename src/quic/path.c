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
    return 0;
}

/* A server's path ends with its last lane; a client's when its user has closed it. */
void path_remove_lane(struct quic_path *path, struct quic_lane *lane)
{
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

void quic_path_set_bound(struct quic_path *path, bool on, uint64_t queue_ns)
{
    path->bound.on = on;
    path->bound.queue_ns = queue_ns;
}
