/* Peers that were there and are gone, the last PAST_MAX of them: what an operator asks about who is
 * missing. No system call, no clock. */
#ifndef PEER_PAST_H
#define PEER_PAST_H

#include "peer/hub.h"

enum { PAST_MAX = 1024 };

/* Start from {0}. */
struct past {
    struct hub_absent_info *v; /* in no order */
    unsigned n, room;
};

void past_done(struct past *p);

/* The peer is gone. Takes the place of what was known of it, else of the one gone longest when
 * there are PAST_MAX; without memory it is forgotten. */
void past_add(struct past *p, const struct hub_absent_info *info);

/* The peer is there again. */
void past_remove(struct past *p, const struct hub_peer_id *id);

#endif
