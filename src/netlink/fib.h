/* Policy routing as a router needs it: routes of any table and rules of any kind, of a protocol
 * that says whose they are, and a signal that something of it has changed.
 *
 * Nothing here replaces or deletes what carries another protocol than the one that is named. */
#ifndef NETLINK_FIB_H
#define NETLINK_FIB_H

#include "netlink/netlink.h"

/* The protocol of routes and rules of the gateway; tunnels have NETLINK_RTPROT and delete what they
 * do not know of it. Free in the rt_protos of iproute2. */
enum { FIB_PROTOCOL = 110 };

enum {
    FIB_TABLE_COMPAT = 252,
    FIB_TABLE_DEFAULT = 253,
    FIB_TABLE_MAIN = 254,
    FIB_TABLE_LOCAL = 255
};

enum fib_type {
    FIB_TYPE_UNICAST,
    FIB_TYPE_BLACKHOLE,   /* packets vanish */
    FIB_TYPE_UNREACHABLE, /* their senders are told */
    FIB_TYPE_OTHER,       /* prohibit, throw, local ...; never added */
    FIB_TYPE_COUNT
};

/* A route, or one next hop of a route with several. */
struct fib_route {
    struct ip_prefix dst; /* without host bits */
    uint32_t table;
    uint32_t metric; /* as the kernel stores it: IPv6 has no 0 */
    enum fib_type type;
    int index;          /* of the interface, for UNICAST; else 0 */
    struct ip_addr via; /* family 0: straight to the interface */
    bool onlink;        /* the router is on that link whatever the addresses say */
    bool several;       /* it is one next hop among others; never added */
    uint8_t protocol;
};

enum fib_action {
    FIB_ACTION_TABLE, /* look into the table */
    FIB_ACTION_BLACKHOLE,
    FIB_ACTION_UNREACHABLE,
    FIB_ACTION_OTHER, /* goto, prohibit ...; never added */
    FIB_ACTION_COUNT
};

struct fib_rule {
    uint8_t family; /* 4 or 6 */
    uint32_t priority;
    char iif[IFNAMSIZ], oif[IFNAMSIZ]; /* "": any */
    struct ip_prefix from, to;         /* family 0: any */
    uint32_t mark, mask;               /* mask 0: any */
    enum fib_action action;
    uint32_t table; /* of FIB_ACTION_TABLE; else 0 */
    bool near_only; /* suppress_prefixlength 0: default routes of the table do not count */
    bool more;      /* it has a condition that is not told here; never added */
    uint8_t protocol;
};

bool fib_route_equal(const struct fib_route *a, const struct fib_route *b);
bool fib_rule_equal(const struct fib_rule *a, const struct fib_rule *b);

/* As ip-route(8) and ip-rule(8) write them, without the protocol. name is that of the interface.
 * Return buf. */
enum { FIB_TEXT_MAX = 256 };
const char *fib_route_str(const struct fib_route *r, const char *name,
                          char buf[static FIB_TEXT_MAX]);
const char *fib_rule_str(const struct fib_rule *r, char buf[static FIB_TEXT_MAX]);

/* Add a route of FIB_PROTOCOL. Where the table has one to that destination with that metric, of
 * whomever, IPv4 puts the new one in front of it, IPv6 behind it: nothing is replaced. -EEXIST:
 * that very route is there; -ENODEV, -ENETDOWN: the interface is not there, or down; -ENETUNREACH,
 * -EHOSTUNREACH, -EINVAL: the router is not on that link; -EPERM. */
int fib_route_add(struct netlink *nl, const struct fib_route *r);

/* Delete exactly this route of FIB_PROTOCOL. -ESRCH: there is none. */
int fib_route_del(struct netlink *nl, const struct fib_route *r);

/* The same with rules. -EEXIST: that very rule is there, perhaps of another protocol;
 * -ENOENT: there is none. */
int fib_rule_add(struct netlink *nl, const struct fib_rule *r);
int fib_rule_del(struct netlink *nl, const struct fib_rule *r);

/* Put an address of FIB_PROTOCOL on an interface, or take away exactly this one. An IPv6 address is
 * never tentative, and deprecated from the beginning: what this machine itself sends prefers its
 * other addresses. -EEXIST: it is there, ours or not; -EADDRNOTAVAIL: it is not there; -ENODEV;
 * -EACCES: the interface has no IPv6. */
int fib_address_add(struct netlink *nl, int index, const struct ip_prefix *p);
int fib_address_del(struct netlink *nl, int index, const struct ip_prefix *p);

/* What a dump hands out; it must not use nl. */
typedef void fib_route_cb(void *user, const struct fib_route *r);
typedef void fib_rule_cb(void *user, const struct fib_rule *r);

/* All routes of a family in the table (0: in any), or those of the protocol (0: of any). Returns 0
 * or -errno; -EINTR: the tables changed all the time. When they change during a dump it begins
 * anew, which a call with NULL tells. */
int fib_route_each(struct netlink *nl, uint8_t family, uint32_t table, uint8_t protocol,
                   fib_route_cb *cb, void *user);

/* All rules of both families, in the order of the kernel. As above. */
int fib_rule_each(struct netlink *nl, fib_rule_cb *cb, void *user);

/* All links. As above. */
typedef void fib_link_cb(void *user, const struct netlink_link *l);
int fib_link_each(struct netlink *nl, fib_link_cb *cb, void *user);

/* What the kernel makes of a packet now: of one that is forwarded (iif), or of one that this
 * machine sends (iif 0), perhaps by a socket bound to an interface (oif). */
struct fib_question {
    struct ip_addr src, dst; /* src family 0: any; of one that is forwarded it has to be there */
    int iif, oif;
    uint32_t mark;
};

struct fib_answer {
    enum fib_type type;
    bool here; /* it is for this machine */
    int index; /* UNICAST: the interface that it leaves by */
    uint32_t table;
    struct ip_addr via; /* family 0: straight to the interface */
};

/* Returns 0; or what the kernel says instead: -EHOSTUNREACH, -ENETUNREACH: unreachable, or there is
 * no route; -EINVAL: a blackhole, or no packet looks so; -EXDEV: its source does not belong there.
 */
int fib_lookup(struct netlink *nl, const struct fib_question *question, struct fib_answer *ret);

/* A signal that links, addresses, rules or routes have changed: a non-blocking descriptor. Of
 * routes the kernel passes on default routes, those of FIB_PROTOCOL, and those outside the tables
 * main and local, however many others change. Open it before reading the first state. */
struct fib_signal;
int fib_signal_open(struct fib_signal **ret);
void fib_signal_close(struct fib_signal *s); /* accepts NULL */
int fib_signal_fd(const struct fib_signal *s);

/* Take what waits, a bounded part of it. 1: something has changed, or events were lost; 0: not; or
 * -errno: the socket is broken. */
int fib_signal_take(struct fib_signal *s);

/* RTM_NEWROUTE and RTM_NEWRULE to their structs; of a route with several next hops each is handed
 * to cb. Return 0; -ENOMSG: not IPv4 or IPv6, or a cloned route; -EBADMSG: it cannot be understood.
 */
int fib_parse_route(const void *message, fib_route_cb *cb, void *user);
int fib_parse_rule(const void *message, struct fib_rule *ret);

#endif
