/* Dumps of the kernel's tables as messages, for those who read them into structs and for those who
 * keep them as they are. */
#ifndef NETLINK_FIB_DUMP_H
#define NETLINK_FIB_DUMP_H

#include "netlink/netlink.h"

/* What a dump hands out: a message of its kind. It must not use nl. NULL: the tables changed, the
 * dump begins anew. */
typedef void fib_dump_cb(void *user, const void *message);

/* All links; all rules, IPv4 before IPv6; all routes of a family, of those in the table (0: in any)
 * and of the protocol (0: of any) at least: a kernel without strict checking hands out more. A
 * table that does not exist is empty, and so is what a kernel without that family has. Return 0,
 * -EINTR: they changed all the time, or other -errno. */
int fib_dump_links(struct netlink *nl, fib_dump_cb *cb, void *user);
int fib_dump_rules(struct netlink *nl, fib_dump_cb *cb, void *user);
int fib_dump_routes(struct netlink *nl, uint8_t family, uint32_t table, uint8_t protocol,
                    fib_dump_cb *cb, void *user);

#endif
