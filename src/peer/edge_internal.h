/* What the files of an edge share. Nobody outside this folder includes it.
 *
 *   edge.c         life, what can be seen
 *   edge_path.c    the states of a path: connecting, pauses, giving up; that of the edge
 *   edge_paths.c   which paths there are, and what the hub is told of them; how they change
 *   edge_lanes.c   how many lanes, and which: sockets, opening, closing
 *   edge_tunnel.c  what the tunnel of a lane reports; its packets and the session
 */
#ifndef PEER_EDGE_INTERNAL_H
#define PEER_EDGE_INTERNAL_H

#include "peer/edge.h"

enum { EDGE_WHY_MAX = 256 };

enum edge_lane_state {
    EDGE_LANE_NONE,
    EDGE_LANE_OPENING, /* handshake and request are on their way */
    EDGE_LANE_UP,
    EDGE_LANE_LEAVING, /* up, begins nothing more, and waits for the answers to what it has sent */
    EDGE_LANE_OVER     /* its last words may not have left yet: it keeps its socket */
};

struct edge_lane {
    struct edge_path *path;
    enum edge_lane_state state;
    uint64_t since_ns;      /* of the state */
    struct quic_lane *quic; /* OPENING to LEAVING */
    struct masque *tunnel;  /* UP and LEAVING */
    struct pack_lane pack;  /* packed */
    unsigned socket;
    struct net_addr local;
};

/* One path: its lanes, and whether and when to connect. */
struct edge_path {
    struct edge *edge;
    unsigned number;
    unsigned position;                     /* in the list: failover takes the next one that works */
    bool there;                            /* else nothing else counts */
    enum path_trouble trouble;             /* as told last */
    struct quic_path *quic;                /* NULL: not connecting, and not up */
    struct edge_lane lane[EDGE_LANES_MAX]; /* by number */
    enum edge_state state;
    uint64_t since_ns; /* of the state */
    char why[EDGE_WHY_MAX];
    struct net_addr local, remote;
    unsigned socket;
    uint64_t up_ns;    /* EDGE_UP: since when */
    uint64_t retry_ns; /* EDGE_PAUSE: until when */
    uint64_t pause_ns; /* the next pause */
    uint64_t rtt_ns;   /* of a lane that it had last; 0: not known */

    /* Lanes on demand (edge_lanes.c). */
    struct quic_lane_stats past; /* what those that are over have counted on this path */
    unsigned hub_wants;          /* as it said last, */
    uint64_t hub_wants_ns;
    uint64_t look_ns;       /* when to look next how many there should be */
    uint64_t enough_ns;     /* since when there are more than are wanted, */
    unsigned most_wanted;   /* and the most that were wanted since */
    uint64_t lane_retry_ns; /* no further lane before */
    uint64_t lane_pause_ns; /* the next pause after one that failed */

    /* It is not wanted any more (edge_paths.c). */
    bool leaving;
    uint64_t stay_ns;  /* until another path works, but no longer; */
    uint64_t close_ns; /* its lanes begin nothing more; TIME_NEVER_NS: not known yet; */
    uint64_t gone_ns;  /* they are over, and until then they have their sockets; 0: not yet */

    /* The path or the attempt is over: it has no lane any more. Events from below only record it;
     * what follows from it is done by edge_path_settle() when the call into the endpoint is over,
     * because closing the path frees what is still at work on the way up. */
    bool over;
    bool hopeless; /* no retry can mend how it ended last */
    struct edge_failure end;
};

struct edge {
    struct edge_opts opts;
    struct masque_side side;
    struct quic_endpoint *ep;
    struct fq_flows *flows;
    struct reasm_pool *reasm;
    struct session session;
    struct masque_join join; /* the session that every lane joins; version 0: none */
    uint8_t epoch[MASQUE_EPOCH];
    struct edge_path *path; /* by number */
    unsigned n_paths;       /* none that is there has a number above */
    uint16_t told;          /* a bit for each number of which the hub was told something */
    enum edge_state state;
    struct ip_addr had[2]; /* that the hub gave us last, IPv4 and IPv6; family 0: none */
    uint64_t now_ns;
    uint64_t serial;         /* of what the hub was told last of a path */
    unsigned in_use;         /* failover: the path that the hub was told to use */
    struct edge_failure end; /* of the last path or attempt that ended */
};

extern const struct masque_ops edge_tunnel_ops;

/* --- edge_path.c --- */

void edge_path_change_state(struct edge_path *p, enum edge_state state, const char *why);

/* It has not connected yet. */
void edge_path_begin(struct edge_path *p);

/* Other addresses. */
void edge_path_set_addrs(struct edge_path *p, const struct net_addr *local,
                         const struct net_addr *remote, unsigned socket);

/* The path is closed. The sockets of its lanes are given back now, or when the last words have
 * left. */
void edge_path_drop(struct edge_path *p, bool at_once);

/* Do what has followed from events, after every call into the endpoint. */
void edge_settle(struct edge *e);

/* Connect those whose pause is over. */
void edge_retry(struct edge *e);

/* When edge_retry() wants to be called. */
uint64_t edge_path_deadline_ns(const struct edge_path *p);

/* Whether another one has a lane that is up. */
bool edge_path_others_up(const struct edge_path *p);

/* What is wrong with it while it is up, and one of several. */
enum path_trouble edge_path_trouble(const struct edge_path *p);

/* --- edge_paths.c --- */

bool edge_paths_valid(const struct edge_path_opts *v, unsigned n);

/* Those of opts. Returns 0 or -ENOMEM. */
int edge_paths_make(struct edge *e);

/* What the hub is to do as we do: it is told by the classes. Returns as session_set_classes(). */
int edge_paths_tell_treatment(struct edge *e);

/* Tell the hub all paths over that tunnel, as far as it has to know them; over all. */
void edge_tell_paths(struct edge *e, struct masque *m);
void edge_tell_paths_all(struct edge *e);

/* The session begins: what is known of our paths. */
void edge_paths_begin_session(struct edge *e);

/* The path leaves: the next step. */
void edge_path_leave(struct edge_path *p);

/* When edge_path_leave() wants to be called. */
uint64_t edge_path_leave_ns(const struct edge_path *p);

/* --- edge_tunnel.c --- */

/* Tell the hub our classes over that tunnel, unless they are those that it assumes. */
void edge_tell_classes(struct edge *e, struct masque *m);

void edge_on_lane_failed(struct masque_side *side, struct quic_lane *lane,
                         const struct quic_fail_info *why);

/* --- edge_lanes.c --- */

/* Open lane 0. Returns as quic_path_open_lane(). */
int edge_lanes_begin(struct edge_path *p);

/* The one of that connection; NULL: none any more. */
struct edge_lane *edge_lane_find(struct edge *e, const struct quic_lane *quic);

static inline unsigned edge_lane_number(const struct edge_lane *l)
{
    return (unsigned)(l - l->path->lane);
}

/* Whether its tunnel is up. */
static inline bool edge_lane_is_up(const struct edge_lane *l)
{
    return l->state == EDGE_LANE_UP || l->state == EDGE_LANE_LEAVING;
}

unsigned edge_lanes_up(const struct edge_path *p);

/* Whether some path has a lane that is up. */
static inline bool edge_is_attached(const struct edge *e)
{
    for (unsigned i = 0; i < e->n_paths; i++)
        if (edge_lanes_up(&e->path[i]))
            return true;
    return false;
}

/* Whether a path may have more than one, if the session is packed. */
bool edge_lanes_possible(const struct edge *e);

/* The session has one lane more. */
void edge_lane_join_session(struct edge_lane *l);

void edge_lane_opened(struct edge_lane *l, struct masque *tunnel);

/* The lane is lost for this reason. It is tried again when others of its path are up; else the path
 * is over. NULL: nothing happens. */
void edge_lane_lost(struct edge_lane *l, const struct edge_failure *why);

/* Close all lanes of all paths but this one, which goes on in another epoch. */
void edge_lanes_close_others(struct edge *e, const struct edge_lane *but);

/* All lanes are over; the path is closed by the caller. at_once: so are their sockets. */
void edge_lanes_end(struct edge_path *p, bool at_once);

/* Those that are up begin nothing more, and the others are closed. */
void edge_lanes_leave(struct edge_path *p);

/* Open and close lanes as the path needs them. After every call into the endpoint. */
void edge_lanes_adapt(struct edge_path *p);

/* When edge_lanes_adapt() wants to be called though nothing else happens; TIME_NEVER_NS: never. */
uint64_t edge_lanes_deadline_ns(const struct edge_path *p);

/* How many there should be. */
unsigned edge_lanes_target(const struct edge_path *p, uint64_t now_ns);

#endif
