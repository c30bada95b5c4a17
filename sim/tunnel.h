/* The whole product between two simulated machines: an edge and a hub (src/peer) over a line,
 * with the TUN interface of each replaced by a sink and a router.
 *
 *      put to edge_tun -> edge =====tunnel===== hub -> hub_lan delivers by destination
 *      edge_lan <- edge =====tunnel===== hub <- put to hub_tun
 *
 * Inside, the edge is 10.200.NUMBER.1 and the hub 10.200.NUMBER.2.
 */
#ifndef SIM_TUNNEL_H
#define SIM_TUNNEL_H

#include "peer/edge.h"
#include "peer/hub.h"
#include "sim/cbr.h"
#include "sim/host.h"
#include "sim/net.h"
#include "sim/tcp.h"
#include "sim/tls_dummy.h"

enum { TUNNEL_PATHS_MAX = 6 };

struct tunnel_opts {
    const char *name; /* seeds the generators; NULL = "tunnel" */
    unsigned number;  /* 1 to 250, different for each on one wan; 0 = 1 */
    enum quic_cc cc;
    bool packed;    /* with the session extension */
    unsigned lanes; /* packed: each path may have so many, each from a port of its own; 0 = 1 */

    /* Further paths, one over each of these lines; their ends have addresses of their own. */
    struct wan *more[TUNNEL_PATHS_MAX - 1];
    unsigned n_more;
    struct treatment treatment;
    enum bond_policy policy; /* that of the treatment, unless 0 */
    struct edge_path_opts paths[TUNNEL_PATHS_MAX];
    unsigned off;     /* a bit for each path that has no address at first */
    unsigned n_pkts;  /* buffers of each host; 0 = 2048 */
    unsigned n_large; /* buffers for super-packets (pkt_pool_new()), without which none can pass */
    struct nat *nat;  /* in front of the edge, made by tunnel_nat_init(); or NULL */
    const struct quic_endpoint_opts *edge, *hub; /* sizes, TLS, AEAD ...; or NULL */
};

/* What happened at one end. */
struct tunnel_end {
    unsigned ups, downs;     /* tunnels opened and lost */
    uint64_t up_ns, down_ns; /* the last time of each */
    size_t packet_max;       /* as last told */
    unsigned mtu_changes;
    char why[256]; /* what was said when it went down or somebody was refused */
    unsigned refused;
    struct net_addr remote; /* hub: where the peer came from */
};

struct tunnel {
    struct sim *sim;
    struct wan *wan;
    struct host *edge_host, *hub_host;
    struct edge *edge; /* NULL while killed */
    struct hub *hub;
    struct sim_sink edge_tun, hub_tun;
    struct router edge_lan, hub_lan;
    struct echo at_edge_echo, at_hub_echo;
    struct tunnel_end at_edge, at_hub;
    struct wan *wans[TUNNEL_PATHS_MAX]; /* wans[0] == wan */
    unsigned n_paths, off;
    unsigned paths_gone;                                    /* so many have left and are over */
    unsigned lane_socket[TUNNEL_PATHS_MAX][EDGE_LANES_MAX]; /* the host's socket of each lane */
    unsigned sockets_open, sockets_opened;                  /* of further lanes: now, and ever */
    bool no_sockets;                                        /* the edge gets none any more */
    struct edge_failure failure;                            /* when the edge gave up */
    struct net_addr edge_addr, hub_addr;                    /* outside */
    struct net_addr edge_addrs[TUNNEL_PATHS_MAX], hub_addrs[TUNNEL_PATHS_MAX]; /* of each path */
    struct ip_prefix edge_inner, hub_inner;
    struct nat *nat;
    struct rng tls_rng;
    struct tls_dummy tls_edge, tls_hub;
    struct edge_opts edge_opts;
    struct hub_opts hub_opts;
    uint16_t next_port;
    bool has_failed;
};

/* A NAT in front of the edges of a line. Rebinding: every flow gets a new port of that address. */
void tunnel_nat_init(struct nat *nat, struct wan *wan, const struct net_addr *outside);
void tunnel_nat_rebind(struct nat *nat, struct wan *wan, const struct net_addr *outside);

/* Make both and let the edge connect. */
struct tunnel *tunnel_new(struct wan *wan, const struct tunnel_opts *opts);
void tunnel_free(struct tunnel *t);

/* Let time pass until both ends have a tunnel and its MTU is known at both. False when limit_ns
 * passed. */
bool tunnel_wait_up(struct tunnel *t, uint64_t limit_ns);

/* Kill the process without a word; start it anew. A hub starts with the same secret for stateless
 * resets, or with another. */
void tunnel_kill_edge(struct tunnel *t);
void tunnel_start_edge(struct tunnel *t);
void tunnel_kill_hub(struct tunnel *t);
void tunnel_start_hub(struct tunnel *t, bool same_secret);

/* The path's address at the edge is there, or gone, as when its interface comes or goes. */
void tunnel_set_path(struct tunnel *t, unsigned path, bool on);

/* Flows through the tunnel, from edge to hub (up) or back. Addresses are filled in, and the MSS
 * from the tunnel's MTU unless given. Not started. */
struct tcp *tunnel_tcp(struct tunnel *t, bool up, const struct tcp_opts *opts);
struct cbr *tunnel_cbr(struct tunnel *t, bool up, const struct cbr_opts *opts);

/* The same, sent back by the other end: its delay is the round trip. */
struct cbr *tunnel_ping(struct tunnel *t, bool up, const struct cbr_opts *opts);

/* The statistics of the edge's lane; all zero while there is none. */
struct quic_lane_stats tunnel_edge_lane(const struct tunnel *t);

#endif
