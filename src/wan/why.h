/* Why a packet goes where it goes: what the rules, routes and firewall make of the first packet of
 * a flow, told in the words of the configuration.
 *
 * What is ours is taken from what there should be, what is of others from what there is: so the
 * answer is right for a gateway that is in force, and tells beforehand what a configuration will
 * do. Pure. */
#ifndef WAN_WHY_H
#define WAN_WHY_H

#include <stdio.h>

#include "wan/balance.h"
#include "wan/objects.h"
#include "wan/state.h"

struct why_packet {
    char iif[IFNAMSIZ]; /* that it comes in by; "": this machine sends it */
    struct ip_addr src, dst;
    uint8_t protocol; /* of IP; 0: any */
    uint16_t port;    /* that it is to, of UDP and TCP; 0: any */
};

struct why_link {
    int index;
    char name[IFNAMSIZ];
};

/* What a packet meets. Start from {0}; why_world_done() releases what why_add_*() took. */
struct why_world {
    const struct gateway_config *config;
    const struct wan_facts *facts;
    const struct wan_objects *want;
    bool forwarding[WAN_FAMILIES]; /* does this machine forward at all? */

    struct fib_rule *rules; /* as they will be looked at */
    unsigned n_rules, room_rules;
    struct fib_route *routes; /* of others, in the kernel's order */
    unsigned n_routes, room_routes;
    struct why_link *links;
    unsigned n_links, room_links;
};

/* What the kernel has, in its order, ours or not. 0 or -ENOMEM. */
int why_add_rule(struct why_world *w, const struct fib_rule *r);
int why_add_route(struct why_world *w, const struct fib_route *r);
int why_add_link(struct why_world *w, int index, const char *name);

/* After the last rule: what of ours is not there yet. 0 or -ENOMEM. */
int why_world_ready(struct why_world *w);
void why_world_done(struct why_world *w);

/* The interface behind which the address is, by the routes of the table main but for its default
 * routes: where packets from it come in. NULL: it is not near, or this machine's own. */
const char *why_ingress(const struct why_world *w, const struct ip_addr *src);

/* Is it an address of this machine, by the routes of the table local? */
bool why_is_own(const struct why_world *w, const struct ip_addr *a);

/* Where it ends, as X(symbol, name). */
#define WHY_ENDS(X)                                                                          \
    X(WHY_OUT, "out")                     /* it leaves by an interface */                    \
    X(WHY_HERE, "here")                   /* this machine takes it */                        \
    X(WHY_BLACKHOLE, "blackhole")         /* it vanishes */                                  \
    X(WHY_UNREACHABLE, "unreachable")     /* its sender is told */                           \
    X(WHY_NO_ROUTE, "no route")           /* no rule leads to a route */                     \
    X(WHY_DROPPED, "dropped")             /* by our table of nftables */                     \
    X(WHY_NOT_FORWARDED, "not forwarded") /* forwarding is off */                            \
    X(WHY_NO_PACKET, "no such packet")    /* no router passes on one with these addresses */ \
    X(WHY_NOT_KNOWN, "not known")         /* a rule or route decides that is not understood here */

enum why_end {
#define X(sym, name) sym,
    WHY_ENDS(X)
#undef X
        WHY_END_COUNT
};

const char *why_end_name(enum why_end e);

/* Pointers are into the world. */
struct why {
    enum why_end end;
    const struct gateway_policy *policy; /* of the interface that it comes in by; NULL: none */
    const struct fib_rule *rule;         /* that decided; NULL: none did */
    const struct fib_route *route;       /* the same */
    const char *device;                  /* WHY_OUT, WHY_DROPPED: where to, by its route */
    int link;                            /* of the configuration: that interface; -1: none */
    uint32_t mark;                       /* that our nftables give it */
    bool steered;                        /* its policy chooses among links: */
    struct balance_choice choice;        /* these, of which the first is followed here */
    bool several;                        /* the route has other next hops, too */
    bool passed_over;     /* a rule with a condition that is not known here might have matched */
    struct ip_addr to;    /* the destination that it gets first; family 0: its own */
    uint16_t to_port;     /* with it; 0: not known */
    struct ip_addr as;    /* the source that it gets; family 0: its own, or not known yet */
    bool translated;      /* its source becomes that of the interface */
    const char *firewall; /* what our table of nftables says to it, and why */
};

void why_explain(const struct why_world *w, const struct why_packet *p, struct why *ret);

/* Several lines: "leaves by mpq4", then each step that led there. */
void why_write(const struct why_world *w, const struct why_packet *p, const struct why *y,
               FILE *out);

#endif
