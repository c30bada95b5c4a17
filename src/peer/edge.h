/* An edge: keeps one tunnel to its hub, for ever. Connects, asks for its addresses, and when the
 * tunnel is lost connects again with growing pauses; it gives up only when no retry can help
 * (a certificate that does not verify, a request that the hub refuses for good) and says why. No
 * system call, no clock.
 *
 *   idle -> connecting -> up          a hub that ends only the request stream, or that will not
 *      ^       |   ^      |           take a request yet (5xx, 408, 425, 429), is asked again over
 *      |       v   |      |           a new connection
 *      +----- pause <-----+-> failed
 */
#ifndef PEER_EDGE_H
#define PEER_EDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/drop.h"
#include "bond/session.h"
#include "bond/treatment.h"
#include "masque/masque.h"
#include "quic/quic.h"

enum { EDGE_PATHS_MAX = 16, EDGE_LANES_MAX = 16, EDGE_PATH_NAME_MAX = 16 };

enum edge_state {
    EDGE_IDLE,       /* no local address to send from */
    EDGE_CONNECTING, /* handshake and request are on their way */
    EDGE_UP,
    EDGE_PAUSE,  /* waiting to try again */
    EDGE_FAILED, /* trying again cannot help */
    EDGE_STATE_COUNT
};

const char *edge_state_name(enum edge_state s);

/* Why an edge gave up. */
struct edge_failure {
    struct quic_fail_info quic; /* quic.fail == QUIC_FAIL_NONE: HTTP said no */
    int http_status;            /* 0: the hub speaks no CONNECT-IP */
};

/* What an edge reports. None of these may call the edge. */
struct edge_events {
    /* A packet for the TUN: consumes it. */
    void (*deliver)(void *user, struct pkt *pkt);
    /* One that came from the tunnel, whose bytes are the caller's again afterwards; NULL: deliver()
     * gets a copy. */
    void (*receive)(void *user, const uint8_t *data, const struct ip_view *v);

    /* The state has changed; why is for the log, "" when there is nothing to say. */
    void (*state)(void *user, enum edge_state state, const char *why);

    /* So has that of one path. May be NULL. */
    void (*path_state)(void *user, unsigned path, enum edge_state state, const char *why);

    /* One of several that is up is in trouble, or no longer. May be NULL. */
    void (*path_trouble)(void *user, unsigned path, enum path_trouble trouble);

    /* A path that edge_set_paths() has left out is over: nothing is sent from its sockets any more,
     * and its number is free. May be NULL. */
    void (*path_gone)(void *user, unsigned path);

    /* The hub has assigned these addresses (full list). */
    void (*assigned)(void *user, const struct capsule_addrs *addrs);

    /* The tunnel carries packets of at most this many bytes. */
    void (*mtu)(void *user, size_t packet_max);

    /* Trying again cannot help; the state is EDGE_FAILED. */
    void (*failed)(void *user, const struct edge_failure *f);
};

/* One of several paths. */
struct edge_path_opts {
    char name[EDGE_PATH_NAME_MAX]; /* "": none; 1 to 15 of A-Z a-z 0-9 . _ - */
    unsigned priority;             /* to PATH_PRIORITY_MAX: the lower it is, the sooner the path is
                                    * used (BOND_PRIORITY) */
    unsigned weight;               /* to PATH_WEIGHT_MAX, 0 = 1: its share (BOND_BALANCED) */
};

struct edge_opts {
    struct quic_endpoint_opts quic; /* server = false; pool, drops, tls, random, ... */
    const char *authority;          /* borrowed: host:port of the request */
    const char *token;              /* borrowed; NULL: certificate only */
    const char *instance;           /* borrowed; which of several edges with our name we are, as
                                     * in masque/request.h; NULL or "": the hub is told nothing */
    struct ip_prefix want[2];       /* our tunnel addresses, to be asked for */
    unsigned n_want;                /* 0: one of each family, whatever the hub gives; on a new
                                     * connection the ones that it gave before */
    bool no_addresses;              /* ask for none at all: only see whether the tunnel opens */
    bool plain;                     /* do not offer the session extension */

    /* The paths of the session, numbered from 0, at most EDGE_PATHS_MAX, and how packets are
     * treated on them, both ways. 0: there is one, number 0, and never another, and the policy says
     * nothing. */
    struct edge_path_opts paths[EDGE_PATHS_MAX];
    unsigned n_paths;
    struct treatment treatment;

    /* Sockets for further lanes of a path (doc/protocol.md, "The session extension"); lane 0 has
     * that of edge_set_addrs(). NULL: each path has one lane. Neither may call the edge.
     *
     * lane_socket opens one for the lane of that number, 1 to max_lanes - 1, of that path, bound as
     * the path's first one but to another port. Returns 0, or a negative errno: the edge stays with
     * the lanes that it has and asks again later. lane_socket_done: nothing is sent from the socket
     * any more. It is called for each of them when its lane is over, some time after its last
     * datagram; and for all of a path before edge_set_addrs() returns, if that has changed its
     * addresses, and in edge_free().
     */
    int (*lane_socket)(void *user, unsigned path, unsigned lane, struct net_addr *ret_local,
                       unsigned *ret_socket);
    void (*lane_socket_done)(void *user, unsigned path, unsigned lane, unsigned socket);
    unsigned min_lanes; /* of each path, if the session is packed: at least so many; 0 = 1 */
    unsigned max_lanes; /* of each path: 1 to EDGE_LANES_MAX; 0 = EDGE_LANES_MAX */

    const struct edge_events *events;
    void *user; /* of events and of lane_socket */
};

struct edge;

/* Returns 0, -ENOMEM or -EINVAL (max_lanes, n_paths, treatment, priorities and weights). */
int edge_new(const struct edge_opts *opts, struct edge **ret);
void edge_free(struct edge *e);

/* The addresses to connect a path between. A change closes its lanes and connects anew; local of no
 * family stops it. socket as in struct quic_rx. Other paths go on. */
void edge_set_addrs(struct edge *e, uint64_t now_ns, unsigned path, const struct net_addr *local,
                    const struct net_addr *remote, unsigned socket);

void edge_rx(struct edge *e, uint64_t now_ns, const struct quic_rx *rx);
bool edge_tx(struct edge *e, uint64_t now_ns, struct quic_tx *tx);
uint64_t edge_deadline_ns(const struct edge *e);
void edge_timeout(struct edge *e, uint64_t now_ns);

/* A packet from the TUN: consumes it. */
void edge_send(struct edge *e, uint64_t now_ns, struct pkt *pkt);

/* Other credentials from the next connection on. The edge is done with the former. */
void edge_set_tls(struct edge *e, void *tls_ctx);

/* Another bearer token from the next connection on; borrowed, NULL: none. */
void edge_set_token(struct edge *e, const char *token);

/* How packets are treated from now on, both ways (wire/class.h), copied: the hub is told on each
 * lane of a packed session. NULL: as protocol.md says without a table; a hub that has been told one
 * is not told that. Returns as session_set_classes(). */
int edge_set_classes(struct edge *e, const struct class_table *table);

/* From now on min to max lanes of each path, 1 to EDGE_LANES_MAX: those above it are closed, and
 * what is on its way on them goes over the others. */
void edge_set_lanes(struct edge *e, uint64_t now_ns, unsigned min, unsigned max);

/* From now on these are the paths, in this order, and how packets are treated on them. number[i]
 * says which path paths[i] is now, or EDGE_PATH_NEW: then it becomes the number of one that is
 * made, without addresses. The path that treatment->pin names is that of paths[pin]. What is not
 * named leaves: as soon as another path works it is given nothing more, at either end, what is on
 * its way over it is waited for, and at last path_gone() tells, maybe before this returns. Session
 * and flows go on, and the other paths notice nothing.
 *
 * Returns 0; -EINVAL: the edge was made without opts.paths, or a number or value is not valid;
 * -ENOMEM. Then nothing has changed. */
enum { EDGE_PATH_NEW = ~0u };
int edge_set_paths(struct edge *e, uint64_t now_ns, const struct edge_path_opts *paths,
                   unsigned *number, unsigned n, const struct treatment *treatment);

/* Say goodbye to the hub, which ends a packed session: the following edge_tx() calls send it. */
void edge_shutdown(struct edge *e, uint64_t now_ns);

/* Of all paths: EDGE_UP while one is up; else the first of connecting, pause, failed and idle that
 * one of them is in. */
enum edge_state edge_state(const struct edge *e);

/* Whether there is a path of that number, and it does not leave. The functions below take the
 * number of such a path. */
bool edge_has_path(const struct edge *e, unsigned path);

struct edge_path_info {
    const char *name; /* "" with one path */
    unsigned priority, weight;
    enum edge_state state;
    uint64_t since_ns;                /* of the state */
    const char *why;                  /* of it; "": there is nothing to say */
    enum path_trouble trouble;        /* none unless it is up, and one of several */
    bool in_use;                      /* the policy gives it packets now */
    struct net_addr local, remote;    /* len 0: none */
    struct session_path_info session; /* its priority is what the policy has made of ours */
};
void edge_path_info(const struct edge *e, unsigned path, struct edge_path_info *ret);

/* In EDGE_PAUSE: the last attempt, or the tunnel (of one path: the last one), ended because nothing
 * came from the hub. */
bool edge_heard_nothing(const struct edge *e);
const struct session *edge_session(const struct edge *e);

/* The tunnel, to be looked at only; NULL unless the state is EDGE_UP. And that of a path: of its
 * lane with the lowest number. */
const struct masque *edge_tunnel(const struct edge *e);
const struct masque *edge_path_tunnel(const struct edge *e, unsigned path);

/* Of a path: what all its lanes have counted since it was made, also those that are over; times
 * and sizes of the lane with the lowest number. Fills *ret and returns true while there is one. */
bool edge_lane_stats(const struct edge *e, unsigned path, struct quic_lane_stats *ret);

/* Lanes of the path that are up; and how many it should have by what it carries and loses. */
unsigned edge_lanes(const struct edge *e, unsigned path);
unsigned edge_lanes_wanted(const struct edge *e, unsigned path, uint64_t now_ns);

struct edge_lane_info {
    unsigned socket;
    struct net_addr local;
    struct quic_lane_stats stats;
};

/* The lane of that number, 0 to EDGE_LANES_MAX - 1. False unless it is up. */
bool edge_lane_info(const struct edge *e, unsigned path, unsigned lane, struct edge_lane_info *ret);

#endif
