/* A tunnel whose routes hold its server's own address sends its packets into itself, and the
 * machine is cut off. A socket bound to an interface is not led by such routes: the kernel takes
 * only those of that interface for it. */
#include "cli/uplink.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "netlink/netlink.h"

#define REMEDY "add --bind if:NAME, NAME being the interface of the WAN (ip link lists them)"

/* The first of the server's addresses that is led into the tunnel. Returns 1, 0 when none is, or
 * -EHOSTUNREACH: they cannot be found out. */
static int find_loop(const struct tunnel_config *c, struct ip_addr *ret_server,
                     struct ip_prefix *ret_route, struct pki_error *e)
{
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *list = NULL;
    int found = 0, rv = getaddrinfo(c->remote_addr, NULL, &hints, &list);

    if (rv)
        return pki_error_set(e, -EHOSTUNREACH,
                             "cannot find the address of %s: %s: check the name, and this "
                             "machine's DNS",
                             c->remote_addr, gai_strerror(rv));
    for (const struct addrinfo *a = list; a && !found; a = a->ai_next) {
        struct net_addr addr = {.len = a->ai_addrlen};

        memcpy(&addr.ss, a->ai_addr, a->ai_addrlen);
        *ret_server = net_addr_ip(&addr);
        found = config_leads_in(c, ret_server, ret_route);
    }
    freeaddrinfo(list);
    return found;
}

/* The interface that packets to the server leave by now. */
static int interface_to(const struct tunnel_config *c, const struct ip_addr *server,
                        char ret[static UPLINK_NAME_MAX], struct pki_error *e)
{
    struct netlink_link link;
    struct netlink *nl = NULL;
    int index, rv = netlink_open(&nl);

    if (!rv)
        rv = netlink_route_get(nl, server, &index);
    if (!rv)
        rv = netlink_link_by_index(nl, index, &link);
    netlink_close(nl);
    if (rv)
        return pki_error_set(e, rv, "no route to the hub %s: %s: " REMEDY, c->remote_addr,
                             strerror(-rv));
    if (!strcmp(link.name, c->tun_name) || !strcmp(link.kind, "tun"))
        return pki_error_set(e, -EINVAL, "the hub %s is reached through the tunnel %s now: " REMEDY,
                             c->remote_addr, link.name);
    snprintf(ret, UPLINK_NAME_MAX, "%s", link.name);
    return 0;
}

int uplink_find(const struct tunnel_config *c, char ret[static UPLINK_NAME_MAX],
                struct pki_error *e)
{
    char route[IP_PREFIX_STR_MAX];
    struct ip_addr server;
    struct ip_prefix p;
    int rv;

    ret[0] = 0;
    if (c->bind.ifname[0] || (!c->n_routes && !c->n_tun_network))
        return 0;
    rv = find_loop(c, &server, &p, e);
    if (rv == -EHOSTUNREACH && c->route_table && c->route_table != RT_TABLE_MAIN)
        return 0; /* what remains is the tunnel's own network */
    if (rv <= 0)
        return rv;
    if (c->bind.addr.family)
        return pki_error_set(e, -EINVAL,
                             "the route %s would lead the tunnel's own packets to %s into the "
                             "tunnel: an address does not bind it to a WAN: " REMEDY,
                             ip_prefix_str(&p, route), c->remote_addr);
    return interface_to(c, &server, ret, e);
}
