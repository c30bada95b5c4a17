/* Which address of its interface a client sends from, when the interface has several: a modem's
 * alias beside the address that DHCP gave, say, of which only one leads to the hub.
 *
 * One from which a tunnel was up is kept while it is there. Without one the first choice is what
 * the kernel would send from to the hub. When an attempt from it stays without any answer the next
 * goes out from another address, and so on: every other attempt from the first choice, those
 * between from the other addresses in turn. */
#ifndef DAEMON_LOCAL_H
#define DAEMON_LOCAL_H

#include <stdbool.h>
#include <stdint.h>

#include "netlink/netlink.h"

/* Start from {0}. */
struct local_choice {
    struct ip_addr proven; /* a tunnel was up from it; family 0: none yet */
    unsigned silent;       /* attempts without any answer since then */
};

/* A tunnel is up from that address. */
void local_on_up(struct local_choice *c, const struct ip_addr *addr);

/* An attempt ended without any answer. */
void local_on_silence(struct local_choice *c);

/* Choose among the n addresses of the interface; preferred (family 0: none) is what the kernel
 * would send from. False: none of that family can be sent from. */
bool local_choose(const struct local_choice *c, const struct netlink_addr *v, unsigned n,
                  uint8_t family, const struct ip_addr *preferred, struct ip_addr *ret);

/* The same for the interface as the kernel has it now, and the hub at remote. */
bool local_address(const struct local_choice *c, struct netlink *nl, int ifindex,
                   const struct ip_addr *remote, struct ip_addr *ret);

#endif
