/* Which UDP sockets are read in a turn of the loop, and how much of each.
 *
 * All sockets together give at most RXTURN_MESSAGES in a turn, however many there are, because a
 * turn is what a ping waits for on a machine whose processor is the bottleneck. A turn meets the
 * sockets that have something in the kernel's order, which may be the same each time. So when one
 * got nothing, those that were ready come before all others until each of them has had its share:
 *
 *      ready    turn 1     turn 2     turn 3     turn 4     turn 5
 *      A B C    A          A          B          C          A
 */
#ifndef DAEMON_RXTURN_H
#define DAEMON_RXTURN_H

#include <stdbool.h>
#include <stdint.h>

enum { RXTURN_MESSAGES = 8, RXTURN_SOCKETS_MAX = 256, RXTURN_WORDS = RXTURN_SOCKETS_MAX / 64 };

struct rxturn_set {
    uint64_t w[RXTURN_WORDS];
};

/* Start from {0}. Sets of sockets by number, below RXTURN_SOCKETS_MAX. */
struct rxturn {
    unsigned taken;          /* messages, in this turn */
    struct rxturn_set ready; /* in this turn */
    struct rxturn_set first; /* come before all others */
    bool any_first;          /* that is not empty */
    bool skipped;            /* one got nothing in this turn */
};

/* A socket is ready: how many messages may be taken from it now, 0: none in this turn. */
unsigned rxturn_share(struct rxturn *t, unsigned socket);

/* So many were. */
void rxturn_take(struct rxturn *t, unsigned n);

/* The turn is over. */
void rxturn_end(struct rxturn *t);

#endif
