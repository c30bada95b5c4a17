/* Wiring: a router that delivers by destination address, a NAT, and a line of two links that
 * several pairs of hosts may share. */
#ifndef SIM_NET_H
#define SIM_NET_H

#include "sim/link.h"

/* --- router: gives each datagram to the sink of its destination ------------------------- */

enum { ROUTER_ROUTES_MAX = 128 };

struct router {
    struct sim_sink sink;
    struct sim *sim;
    struct {
        struct net_addr dst; /* port 0: any port of the address */
        struct sim_sink *to;
    } route[ROUTER_ROUTES_MAX];
    unsigned n, last;
    uint64_t unroutable;
};

void router_init(struct router *r, struct sim *sim);

/* A later route to the same destination replaces the earlier one. */
void router_add(struct router *r, const struct net_addr *dst, struct sim_sink *to);

/* --- NAT: every inside address and port gets a port of the outside address -------------- */

enum { NAT_FLOWS_MAX = 64 };

struct nat {
    struct sim_sink inside; /* takes what comes from inside */
    struct sim_sink outside;
    struct sim *sim;
    struct sim_sink *to_inside, *to_outside; /* borrowed */
    struct net_addr address; /* the outside address; its port is the first one given out */
    struct {
        struct net_addr inside;
        uint16_t port;
    } flow[NAT_FLOWS_MAX];
    unsigned n;
    uint16_t next_port;
    uint64_t unknown; /* datagrams from outside to a port that nobody has */
};

void nat_init(struct nat *n, struct sim *sim, const struct net_addr *address,
              struct sim_sink *to_inside, struct sim_sink *to_outside);

/* Forget every flow: the next datagram of each gets a new port, and what comes to the old ports is
 * dropped. With address != NULL the outside address changes as well. */
void nat_rebind(struct nat *n, const struct net_addr *address);

/* --- wan: a line with an edge side and a hub side --------------------------------------- */

struct wan {
    struct sim *sim;
    struct link *up, *down; /* edge to hub, hub to edge */
    struct router at_edge, at_hub;
};

/* Both directions of the same kind, or each of its own. The name is that of the links: "NAME.up"
 * and "NAME.down". */
void wan_init(struct wan *w, struct sim *sim, const char *name, const struct link_opts *up,
              const struct link_opts *down);
void wan_done(struct wan *w);

/* Literal addresses for scenarios: net_addr_lit("192.0.2.1", 4433). Ends the process when it is
 * none. */
struct net_addr net_addr_lit(const char *ip, uint16_t port);

#endif
