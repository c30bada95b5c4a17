/* May an address that the hub assigns be put on the TUN? One that is needed outside the tunnel
 * would cut the tunnel off: what goes to the hub or to the router would stay on this machine. */
#ifndef DAEMON_USABLE_H
#define DAEMON_USABLE_H

#include "netlink/netlink.h"

/* What is outside the tunnel. */
struct usable_outside {
    struct ip_addr remote;        /* the hub's; family 0: none */
    const struct netlink_addr *v; /* of all interfaces */
    int n;
    int tun_index;    /* what is on the TUN is not outside */
    bool is_next_hop; /* the address is, of a route that does not lead into the TUN */
};

/* NULL, or what the address is instead. */
const char *usable_conflict(const struct usable_outside *o, const struct ip_addr *a);

/* The same with what the kernel says by now; what it does not tell does not count. */
const char *usable_check(struct netlink *nl, const struct ip_addr *remote, int tun_index,
                         const struct ip_addr *a);

#endif
