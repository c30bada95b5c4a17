/* What the files of a session share. Nobody outside them includes it.
 *
 *   session.c         the queue, plain packets
 *   session_packed.c  packed datagrams
 *   session_lanes.c   lanes that are up: round trips, delays, reports
 *   session_paths.c   several paths: which of them takes what (sched.h) */
#ifndef BOND_SESSION_INTERNAL_H
#define BOND_SESSION_INTERNAL_H

#include "bond/session.h"

static inline void session_kick(struct session *s)
{
    if (s->attached)
        s->opts.kick(s->opts.kick_user);
}

/* A GAPS or DELAY frame has come. True: session_lanes_adapt() is to follow, once for all frames of
 * a datagram: it looks at every lane, and a datagram has room for more than a hundred frames. */
bool session_on_report(struct session *s, uint64_t now_ns, const struct packed_frame *f);

/* Something has become known of the lanes. */
void session_lanes_adapt(struct session *s);

/* Packets have come: there may be something to report, now or later. */
void session_reports_look(struct session *s, uint64_t now_ns);

/* A datagram with what there is to report, for that lane; NULL: nothing, or no buffer, or another
 * lane is to have it. */
struct pkt *session_reports_pull(struct session *s, const struct pack_lane *lane, uint64_t now_ns,
                                 size_t max);

/* --- session_paths.c --- */

/* The lane is about to pull: what may it take? */
void session_paths_ask(struct session *s, const struct pack_lane *lane, uint64_t now_ns);

/* It has pulled that, or nothing. */
void session_paths_pulled(struct session *s, const struct pack_lane *lane, uint64_t now_ns,
                          const struct pkt *out);

/* Something is different about the lanes. True when other paths are in use now. */
bool session_paths_update(struct session *s);

/* The policy is that of the classes; what the client has said of its paths is forgotten. */
void session_paths_set_policy(struct session *s);
void session_paths_reset(struct session *s);

/* Whether the path is up and lossy (health.h), and another one is up. */
bool session_path_is_lossy(const struct session *s, unsigned path);

/* Whether the lane's path looks as if it lost much, and another one is up. */
bool session_path_is_sick(const struct session *s, const struct pack_lane *lane);

/* A datagram that shows whether the path of that lane still loses much; NULL: none is due. */
struct pkt *session_paths_probe(struct session *s, const struct pack_lane *lane, uint64_t now_ns,
                                size_t max);

uint64_t session_paths_deadline_ns(const struct session *s);
void session_paths_timeout(struct session *s, uint64_t now_ns);

/* --- session_lanes.c --- */

uint64_t session_reports_deadline_ns(const struct session *s);
void session_reports_timeout(struct session *s, uint64_t now_ns);

#endif
