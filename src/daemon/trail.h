/* What a path has gone through: its last few states, each with its reason and since when. Nobody
 * outside this folder uses it. */
#ifndef DAEMON_TRAIL_H
#define DAEMON_TRAIL_H

#include <stdint.h>

#include "peer/edge.h"
#include "status/status.h"

enum { TRAIL_STEPS = 16 };

/* A state of a path: one of enum edge_state, or up, but in trouble. */
enum { TRAIL_SUSPECT = EDGE_STATE_COUNT, TRAIL_LOSSY };

struct path_step {
    unsigned state;
    char why[STATUS_TEXT_MAX];
    int64_t at_s; /* seconds since 1970 */
    uint64_t at_ns;
};

/* Start from {0}. */
struct path_trail {
    struct path_step step[TRAIL_STEPS]; /* the last one is n - 1, in turn */
    uint64_t n;                         /* all that there have been */
};

/* The path is in that state now; the same state for the same reason is no new step. */
void trail_add(struct path_trail *t, unsigned state, const char *why, int64_t now_s,
               uint64_t now_ns);

/* The state of a path of the edge that is in trouble, or not. */
unsigned trail_state(enum edge_state state, enum path_trouble trouble);

const char *trail_state_name(unsigned state);

/* The step that came i steps before the last one; NULL: it is forgotten, or there was none. */
const struct path_step *trail_at(const struct path_trail *t, unsigned i);

#endif
