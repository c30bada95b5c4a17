/* What is known of the links, and which of them can be used. Pure. */
#ifndef WAN_STATE_H
#define WAN_STATE_H

#include "config/gateway.h"

/* The two families, as indices. */
enum wan_family { WAN_V4, WAN_V6, WAN_FAMILIES };

static inline enum wan_family wan_family_of(const struct ip_addr *a)
{
    return a->family == 6 ? WAN_V6 : WAN_V4;
}

enum { WAN_NETS_MAX = 16 };

/* Why a link is down; its states, as X(symbol, name). */
#define WAN_REASONS(X)                                         \
    X(WAN_REASON_UP, "up")                                     \
    X(WAN_REASON_OFF, "ipv6 is off")                           \
    X(WAN_REASON_NO_DEVICE, "no such interface")               \
    X(WAN_REASON_DEVICE_DOWN, "the interface is switched off") \
    X(WAN_REASON_NO_CARRIER, "no carrier")                     \
    X(WAN_REASON_NO_ADDRESS, "no address")                     \
    X(WAN_REASON_NO_GATEWAY, "no gateway is known")            \
    X(WAN_REASON_WAN_DOWN, "the wan that carries it is down")  \
    X(WAN_REASON_FOREIGN, "its table has a route of somebody else")

enum wan_reason {
#define X(sym, name) sym,
    WAN_REASONS(X)
#undef X
        WAN_REASON_COUNT
};

const char *wan_reason_name(enum wan_reason r);

/* How the Internet is reached through an interface. */
struct wan_hop {
    bool known;
    struct ip_addr via; /* family 0: straight to the interface */
    bool onlink;
    uint32_t metric; /* of the route that says so */
};

/* Routes of somebody else in the table of a link. */
enum wan_foreign {
    WAN_FOREIGN_NONE,
    WAN_FOREIGN_BEHIND, /* only such as come behind ours while the link is up */
    WAN_FOREIGN_BEFORE  /* one that leads packets elsewhere */
};

/* What the kernel says of one link. */
struct wan_link_facts {
    int index; /* 0: there is no such interface */
    bool up, carrier;
    int accept_ra;                      /* IPv6: the setting of the interface; -1: not known */
    struct ip_prefix net[WAN_NETS_MAX]; /* its addresses, those that can be used */
    unsigned n_net;
    struct wan_hop hop[WAN_FAMILIES]; /* by the default routes of the table main */
    enum wan_foreign foreign[WAN_FAMILIES];
};

struct wan_facts {
    struct wan_link_facts link[GATEWAY_LINKS_MAX]; /* as in the configuration */
};

/* What follows for one link. */
struct wan_link_state {
    enum wan_reason reason[WAN_FAMILIES]; /* WAN_REASON_UP: it can be used */
    struct wan_hop hop[WAN_FAMILIES];     /* of a wan that is up */
};

/* The state of link i. */
void wan_state_of(const struct gateway_config *c, const struct wan_facts *f, unsigned i,
                  struct wan_link_state *ret);

/* Is the address on the link itself, so that no router is needed? */
bool wan_link_is_near(const struct wan_link_facts *f, const struct ip_addr *a);

#endif
