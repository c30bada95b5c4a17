/* Kernel messages into the values of netlink.h. Every attribute's length is checked. */
#ifndef NETLINK_PARSE_H
#define NETLINK_PARSE_H

#include <libmnl/libmnl.h>

#include "netlink/netlink.h"

/* Is there a whole message in the left bytes at h? mnl_nlmsg_ok() takes a length above INT_MAX for
 * a small one. */
static inline bool parse_message_ok(const struct nlmsghdr *h, int left)
{
    return left >= (int)sizeof(*h) && h->nlmsg_len >= sizeof(*h) && h->nlmsg_len <= (uint32_t)left;
}

/* Parse RTM_NEWLINK or RTM_DELLINK, RTM_NEWADDR or RTM_DELADDR, RTM_NEWROUTE or RTM_DELROUTE.
 * Returns 0; -ENOMSG: a message about something else (a bridge's view of its port, an address
 * family that is not IP, a route that is not of our protocol or not straight to an interface);
 * -EBADMSG: it cannot be understood. */
int parse_link(const struct nlmsghdr *h, struct netlink_link *ret);
int parse_addr(const struct nlmsghdr *h, struct netlink_addr *ret);
int parse_route(const struct nlmsghdr *h, struct netlink_route *ret);

/* RTM_NEWRULE or RTM_DELRULE. Returns 0; -ENOMSG: not of our protocol; -EBADMSG. */
int parse_rule(const struct nlmsghdr *h, struct netlink_rule *ret);

/* The source address in an RTM_NEWROUTE that answers how one destination is reached. Returns 0;
 * -ENOMSG: it names none; -EBADMSG. */
int parse_route_source(const struct nlmsghdr *h, struct ip_addr *ret);

/* The same for a route of anybody; its interface is 0 where there is not exactly one. */
int parse_any_route(const struct nlmsghdr *h, struct netlink_route *ret);

/* Does the route, of anybody, go by way of the router with that address? Next hops on the interface
 * but_index do not count. */
bool parse_goes_by(const struct nlmsghdr *h, const struct ip_addr *a, int but_index);

#endif
