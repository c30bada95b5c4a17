/* rtnetlink: typed requests on links, addresses and routes, and a monitor of their changes.
 *
 * Requests are synchronous: the local kernel answers within the call. Everything we make says
 * so (routes and addresses carry NETLINK_RTPROT), and no function replaces what is there, so that
 * the caller removes only what it made itself. */
#ifndef NETLINK_NETLINK_H
#define NETLINK_NETLINK_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"

/* Our route protocol ('m'); free in the rt_protos of iproute2. */
enum { NETLINK_RTPROT = 109 };

enum { NETLINK_KIND_MAX = 16 };

struct netlink_link {
    int index;
    char name[IFNAMSIZ];
    char kind[NETLINK_KIND_MAX]; /* "tun", "veth", "vlan" ...; "" for hardware and loopback */
    uint32_t flags;              /* IFF_UP, IFF_RUNNING, ... */
    uint32_t mtu;
    uint8_t operstate; /* IF_OPER_* of RFC 2863; UNKNOWN (0) where the driver does not tell */
    bool carrier;
    /* since it exists; those dropped are packets that the kernel had for it to send */
    uint64_t rx_packets, tx_packets, rx_bytes, tx_bytes, tx_dropped;
};

struct netlink_addr {
    int index;               /* of the interface */
    struct ip_prefix prefix; /* the interface's own address, host bits kept */
    bool ours; /* made by netlink_addr_add(): it carries NETLINK_RTPROT (Linux 5.18 and later) */
    uint8_t protocol; /* whose it is (IFA_PROTO, Linux 5.18 and later); 0: not told */
    uint8_t scope;    /* RT_SCOPE_UNIVERSE, RT_SCOPE_LINK, RT_SCOPE_HOST ... */
    uint32_t flags;   /* IFA_F_TENTATIVE, IFA_F_DEPRECATED, IFA_F_DADFAILED, IFA_F_TEMPORARY ... */
};

struct netlink;

/* Open the request socket. Returns 0 or -errno. Close accepts NULL. */
int netlink_open(struct netlink **ret);
void netlink_close(struct netlink *nl);

/* All requests return -EPERM without CAP_NET_ADMIN when they change something, -EBADMSG when the
 * kernel's answer cannot be understood, and other -errno of the kernel; beside those: */

/* Find a link by its name or by its index. -ENODEV: there is none; -EINVAL: not a name. */
int netlink_link_by_name(struct netlink *nl, const char *name, struct netlink_link *ret);
int netlink_link_by_index(struct netlink *nl, int index, struct netlink_link *ret);

/* Administrative state and MTU. -ENODEV; -EINVAL: the device refuses the MTU. */
int netlink_link_set_up(struct netlink *nl, int index, bool up);
int netlink_link_set_mtu(struct netlink *nl, int index, uint32_t mtu);

/* Rename a link. -EEXIST: another one has that name; -EBUSY: it is up (before Linux 6.2); -ENODEV;
 * -EINVAL: not a name. */
int netlink_link_set_name(struct netlink *nl, int index, const char *name);

/* The addresses of one interface (index 0: of all), IPv4 first, in the kernel's order. Stores at
 * most max and returns how many there are, which may be more; -errno on failure (then v is
 * undefined). An interface that does not exist has none. */
int netlink_addr_list(struct netlink *nl, int index, struct netlink_addr *v, unsigned max);

/* The same with all of them, however many there are, in *ret, which is to be freed. Returns their
 * number or -errno. */
int netlink_addr_all(struct netlink *nl, int index, struct netlink_addr **ret);

/* Put an address on an interface. *ret_added (may be NULL) tells whether it was put there now
 * (true) or was there before. An IPv6 address is never tentative (there is nobody to ask for
 * duplicates behind a TUN): it can be bound and sent from at once, and the kernel receives for it
 * a moment later. -EEXIST: the same IPv6 address with another prefix length. */
int netlink_addr_add(struct netlink *nl, int index, const struct ip_prefix *p, bool *ret_added);

/* -EADDRNOTAVAIL: it is not there; -ENODEV: the interface is not there. */
int netlink_addr_del(struct netlink *nl, int index, const struct ip_prefix *p);

/* A route straight to an interface (no gateway): the only kind a tunnel needs. */
struct netlink_route {
    struct ip_prefix dst; /* host bits are ignored */
    int index;            /* the interface; not 0 */
    uint32_t table;       /* 0: RT_TABLE_MAIN */
    uint32_t metric;      /* 0: the kernel's default */
    struct ip_addr src;   /* preferred source; family 0: none */
    struct ip_addr via;   /* of a route of somebody else: the router; family 0: none, or several */
};

/* Add or delete n routes, at most NETLINK_BATCH_MAX, in one request: ret_err[i] becomes 0 or why
 * that one could not be. When it is added, -EEXIST: a route to that destination with that metric is
 * in the table, ours or not, and is left alone. Deleted is only what carries our protocol; -ESRCH:
 * there is none. -ENODEV: no interface; -EINVAL: not a route. Returns 0 however many of them
 * failed; -EINVAL: too many; other -errno: what was done is not known. */
enum { NETLINK_BATCH_MAX = 64 };
int netlink_route_batch(struct netlink *nl, bool add, const struct netlink_route *v, unsigned n,
                        int *ret_err);

/* The address that the kernel would send from to dst when it has to leave through the interface.
 * -ENETUNREACH and the like: there is no route; -ENODATA: the kernel names no address. */
int netlink_route_source(struct netlink *nl, const struct ip_addr *dst, int index,
                         struct ip_addr *ret);

/* A walk over all routes of our protocol that lead straight to the interface, in pieces, so that
 * one with thousands does not take all the time there is. netlink_route_walk_next() hands some
 * hundred of them to cb at most. It returns 1 when there may be more, 0 at the end, -errno. When
 * the tables change meanwhile it begins anew, and tells so by a call with NULL; -EINTR: they change
 * all the time. The table is never 0 here. Free accepts NULL. */
struct netlink_route_walk;
typedef void netlink_route_cb(void *user, const struct netlink_route *r);
int netlink_route_walk_new(int index, struct netlink_route_walk **ret);
int netlink_route_walk_next(struct netlink_route_walk *w, netlink_route_cb *cb, void *user);
void netlink_route_walk_free(struct netlink_route_walk *w);

/* What packets that this machine itself sends from one of its addresses look into (ip-rule(8)):
 * each rule says `from SRC iif lo` and carries NETLINK_RTPROT. */
enum netlink_rule_kind {
    NETLINK_RULE_NEAR,  /* the table main, but for its default routes */
    NETLINK_RULE_TABLE, /* a table */
    NETLINK_RULE_END,   /* nothing: unreachable */
    NETLINK_RULE_OTHER  /* of our protocol, and none of these; never added */
};

struct netlink_rule {
    struct ip_addr src;
    enum netlink_rule_kind kind;
    uint32_t priority;
    uint32_t table; /* of NETLINK_RULE_TABLE; else 0 */
};

/* -EEXIST: that very rule is there. */
int netlink_rule_add(struct netlink *nl, const struct netlink_rule *r);

/* Delete a rule of our protocol from that source with that priority. -ENOENT: there is none. */
int netlink_rule_del(struct netlink *nl, const struct ip_addr *src, uint32_t priority);

/* Hand every rule of our protocol to cb, which must not use nl. Returns 0 or -errno; after an error
 * cb may have got some. */
typedef void netlink_rule_cb(void *user, const struct netlink_rule *r);
int netlink_rule_each(struct netlink *nl, netlink_rule_cb *cb, void *user);

/* The interface that the kernel would send a packet to that address by now. Returns 0;
 * -ENETUNREACH, -EHOSTUNREACH and the like: there is no route; -ENODEV: it leads to no interface.
 */
int netlink_route_get(struct netlink *nl, const struct ip_addr *to, int *ret_index);

/* The route to exactly dst in the table, whoever made it; the one of the smallest metric where
 * there are several. Only dst and table of want are looked at. The index is 0 where the route has
 * no interface, or several. -ESRCH: there is none. */
int netlink_route_find(struct netlink *nl, const struct netlink_route *want,
                       struct netlink_route *ret);

/* Does a route in any table, whoever made it, go by way of the router with that address? Next hops
 * on the interface but_index do not count. 1, 0 or -errno. At most NETLINK_HOPS_MAX routes are
 * looked at, because there may be a million. */
enum { NETLINK_HOPS_MAX = 65536 };
int netlink_is_next_hop(const struct ip_addr *a, int but_index);

enum netlink_event_type {
    NETLINK_EVENT_LINK,      /* a link appeared or changed */
    NETLINK_EVENT_LINK_GONE, /* a link was removed (its addresses went before) */
    NETLINK_EVENT_ADDR,      /* an address appeared or changed its flags */
    NETLINK_EVENT_ADDR_GONE,
    NETLINK_EVENT_ROUTE_GONE, /* a route of our protocol was removed */
    NETLINK_EVENT_RULE_GONE,  /* a rule of our protocol was removed */
    NETLINK_EVENT_RESYNC,     /* events were lost: read everything anew */
    NETLINK_EVENT_COUNT
};

const char *netlink_event_name(enum netlink_event_type type);

struct netlink_event {
    enum netlink_event_type type;
    union {
        struct netlink_link link;
        struct netlink_addr addr;
        struct netlink_route route;
        struct netlink_rule rule;
    };
};

struct netlink_monitor;

typedef void netlink_event_cb(void *user, const struct netlink_event *ev);

/* Open the monitor: a non-blocking socket that has joined the link, address, route and rule groups.
 * Open it before reading the first state, so that no change falls between. Of routes the kernel
 * passes on only the removal of ours, however many others change. Returns 0 or -errno. */
int netlink_monitor_open(struct netlink_monitor **ret);
void netlink_monitor_close(struct netlink_monitor *m);
int netlink_monitor_fd(const struct netlink_monitor *m);

/* Deliver what waits, at most 64 kernel messages per call; call when the descriptor is readable.
 * The callback may use requests, but must not close the monitor. Messages that cannot be
 * understood give one RESYNC. Returns the number of events, or -errno when the socket is
 * broken. */
int netlink_monitor_dispatch(struct netlink_monitor *m, netlink_event_cb *cb, void *user);

#endif
