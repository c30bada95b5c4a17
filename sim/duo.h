/* An edge and a hub with a bulk source and sink each, over a shared line: the usual cast of an
 * experiment with congestion control. Several of them over one struct wan compete; one with a
 * single lane and no bound is the foreign QUIC flow of a fairness experiment.
 *
 *      bulk at_edge - host edge - wan.up  -> host hub - bulk at_hub
 *                               <- wan.down
 */
#ifndef SIM_DUO_H
#define SIM_DUO_H

#include "sim/bulk.h"
#include "sim/net.h"
#include "sim/tls_dummy.h"

struct duo_opts {
    const char *name; /* seeds the generators: different for each duo of a run; NULL = "duo" */
    unsigned number;  /* its addresses: 198.18.NUMBER.1 and .2; different for each on one wan */
    bool ip6;         /* 2001:db8:NUMBER::1 and ::2 instead */
    enum quic_cc cc;  /* both ends */
    unsigned lanes;   /* opened at once by duo_new(); 0 = 1 */
    bool bound;       /* quic_path_set_bound() of the edge's path */
    uint64_t bound_queue_ns;
    size_t dgram_bytes; /* of both bulks; 0 = as large as fits */
    unsigned n_pkts;    /* packet buffers of each host; 0 = 64 */
    struct nat *nat;    /* not NULL: the edge's datagrams go through it; to be initialised with
                         * duo_nat_init() before */

    /* Not NULL: the rest of the endpoints' options (timeouts, sizes, TLS, AEAD). */
    const struct quic_endpoint_opts *edge, *hub;
};

struct duo {
    struct sim *sim;
    struct wan *wan;
    struct host *edge, *hub;
    struct quic_endpoint *edge_ep, *hub_ep;
    struct bulk at_edge, at_hub;
    struct rng tls_rng;
    struct tls_dummy tls_edge, tls_hub;
    struct quic_endpoint_opts edge_opts, hub_opts;
    struct quic_path *path;                 /* the edge's */
    struct quic_lane *lane[QUIC_LANES_MAX]; /* as opened; the pointer dies with the lane */
    unsigned n_lanes;
    struct net_addr edge_addr, hub_addr; /* the edge's port is that of its first lane */
    struct nat *nat;
    unsigned refused; /* connections that the hub's endpoint reported as refused */
    struct quic_fail_info refused_why;
};

/* Ready a NAT in front of the edge side of a line, with an outside address of its own. */
void duo_nat_init(struct nat *nat, struct wan *wan, const struct net_addr *outside);

/* It forgets its flows and goes on with another outside address (or the same with other ports). */
void duo_nat_rebind(struct nat *nat, struct wan *wan, const struct net_addr *outside);

/* Make both hosts and begin the handshakes of the first lanes. */
struct duo *duo_new(struct wan *wan, const struct duo_opts *opts);
void duo_free(struct duo *d);

/* Open one more lane from a new UDP port. */
struct quic_lane *duo_open_lane(struct duo *d);

/* Let time pass until n lanes have come up at both ends. False when limit_ns passed. */
bool duo_wait_up(struct duo *d, unsigned n, uint64_t limit_ns);

/* The hub's process dies and a new one starts, with the same or another reset secret. */
void duo_restart_hub(struct duo *d, bool same_secret);

#endif
