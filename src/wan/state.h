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
#define WAN_REASONS(X)                                              \
    X(WAN_REASON_UP, "up")                                          \
    X(WAN_REASON_OFF, "ipv6 is off")                                \
    X(WAN_REASON_NO_DEVICE, "no such interface")                    \
    X(WAN_REASON_DEVICE_DOWN, "the interface is switched off")      \
    X(WAN_REASON_NO_CARRIER, "no carrier")                          \
    X(WAN_REASON_NO_ADDRESS, "no address")                          \
    X(WAN_REASON_NO_GATEWAY, "no gateway is known")                 \
    X(WAN_REASON_WAN_DOWN, "the wan that carries it is down")       \
    X(WAN_REASON_FOREIGN, "its table has a route of somebody else") \
    X(WAN_REASON_DISABLED, "it is disabled")                        \
    X(WAN_REASON_PROBE, "its probe gets no answer")                 \
    X(WAN_REASON_NO_PREFIX, "no prefix is delegated to it")         \
    X(WAN_REASON_SMALL_PREFIX, "its delegated prefix is too small")

enum wan_reason {
#define X(sym, name) sym,
    WAN_REASONS(X)
#undef X
        WAN_REASON_COUNT
};

const char *wan_reason_name(enum wan_reason r);

/* What holds for a link in one family, as X(symbol, name). What is pinned to a link that is
 * unknown, healthy or degraded goes there; to one that is unhealthy or disabled, nowhere. */
#define WAN_STATES(X)                                                                    \
    X(WAN_STATE_UNKNOWN, "unknown")   /* the kernel has it up; its probe is undecided */ \
    X(WAN_STATE_HEALTHY, "healthy")   /* so says its probe, or it has none */            \
    X(WAN_STATE_DEGRADED, "degraded") /* loss or latency beyond its probe's limits */    \
    X(WAN_STATE_UNHEALTHY, "unhealthy")                                                  \
    X(WAN_STATE_DISABLED, "disabled") /* by the operator; IPv6 where it is off */

enum wan_state {
#define X(sym, name) sym,
    WAN_STATES(X)
#undef X
        WAN_STATE_COUNT
};

const char *wan_state_name(enum wan_state s);

/* What the probe of a link has found in one family. */
struct wan_verdict {
    enum wan_state state;             /* never WAN_STATE_DISABLED */
    uint8_t by_latency;               /* degraded: by latency, not by loss */
    uint8_t answering, targets, need; /* of the last round */
    uint8_t loss_percent;
    uint32_t latency_us; /* 0: not known */
};

/* What is known of a link besides what the kernel says. */
struct wan_link_health {
    bool disabled;
    struct wan_verdict probe[WAN_FAMILIES]; /* means something where wan_has_probe() */
    enum wan_state last[WAN_FAMILIES];      /* as seen last by who keeps the gateway, */
    int64_t since_s[WAN_FAMILIES];          /* and since when: seconds since 1970; 0: not known */
};

struct wan_health {
    struct wan_link_health link[GATEWAY_LINKS_MAX]; /* as in the configuration */
};

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
    struct ip_prefix delegated; /* by its provider; family 0: none is known */
    struct wan_link_health health;
};

/* The interface of an inner router. */
struct wan_inner_facts {
    int index; /* 0: there is no such interface */
    bool up;
};

struct wan_facts {
    struct wan_link_facts link[GATEWAY_LINKS_MAX];    /* as in the configuration */
    struct wan_inner_facts inner[GATEWAY_ROUTES_MAX]; /* of its routes */
};

/* What follows for one link. */
struct wan_link_state {
    enum wan_reason reason[WAN_FAMILIES]; /* WAN_REASON_UP: it can be used */
    enum wan_state state[WAN_FAMILIES];
    struct wan_hop hop[WAN_FAMILIES]; /* of a wan that is up */
};

/* The state of link i. */
void wan_state_of(const struct gateway_config *c, const struct wan_facts *f, unsigned i,
                  struct wan_link_state *ret);

/* Has link i a probe that decides in that family? */
bool wan_has_probe(const struct gateway_config *c, unsigned i, enum wan_family family);

/* Why link i is in that state, as "no carrier" or "loss 23 %". Returns buf. */
enum { WAN_WHY_MAX = 96 };
const char *wan_state_why(const struct gateway_config *c, const struct wan_facts *f, unsigned i,
                          enum wan_family family, char buf[static WAN_WHY_MAX]);

/* Is the address on the link itself, so that no router is needed? */
bool wan_link_is_near(const struct wan_link_facts *f, const struct ip_addr *a);

#endif
