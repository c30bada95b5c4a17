/* The routes into the TUN: read back, compared with what the configuration wants, put right.
 *
 * There may be thousands of them, and packets have to go on meanwhile. So a comparison is made in
 * steps, each of which reads some hundred routes or changes HELPER_ROUTES_MAX of them, and there is
 * one step in a turn of the loop. */
#ifndef DAEMON_ROUTES_H
#define DAEMON_ROUTES_H

#include <stdbool.h>
#include <stddef.h>

#include "loop/loop.h"
#include "netlink/netlink.h"

struct instance;

/* Why a comparison is made: what differs is expected at a start and a change, a finding else. */
enum upkeep_reason { REASON_START, REASON_CHANGE, REASON_REPAIR };

struct route_list {
    struct netlink_route *v;
    size_t n, room;
    bool failed; /* out of memory */
};

/* One comparison. Start from {0}. */
struct routes {
    enum { ROUTES_IDLE, ROUTES_READ, ROUTES_REMOVE, ROUTES_ADD } phase;
    enum upkeep_reason why;
    struct loop_deferred step;
    struct netlink_route_walk *walk; /* while they are read */
    struct route_list want, have;    /* sorted once both are known */
    size_t at, beside;               /* how far: in the list that is gone through, in the other */
    unsigned added, removed;
};

/* Compare, anew if that is being done already. Returns 1 when something was put right, 0 when all
 * was well, -errno; -EINPROGRESS: that takes more turns, and upkeep_on_routes() gets the result. */
int routes_begin(struct instance *inst, enum upkeep_reason why);

/* Compare at once, however long it takes: when no packet can be waiting yet. */
int routes_at_once(struct instance *inst, enum upkeep_reason why);

/* Is a comparison at work? */
bool routes_busy(const struct instance *inst);

/* Forget about it: the TUN is gone, or the instance ends. */
void routes_stop(struct instance *inst);

#endif
