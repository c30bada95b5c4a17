/* The allow-list of an instance: what its configuration lets its data plane ask for. Looks at
 * nothing but its arguments, which may hold anything. */
#ifndef HELPER_POLICY_H
#define HELPER_POLICY_H

#include <stdbool.h>

#include "config/config.h"
#include "helper/helper.h"

enum { POLICY_MTU_MIN = 1280, POLICY_MTU_MAX = 65535 };

/* Is it a prefix at all: a family, and no more bits than that has? */
bool policy_prefix_is_valid(const struct ip_prefix *p);

/* Stands the address in tun_cidr, with that length? */
bool policy_addr_is_configured(const struct tunnel_config *c, const struct ip_prefix *p);

/* May it be an address that a hub assigns: a client without tun_cidr, a unicast host
 * address, alone or with the length of the tun_network that it lies in? */
bool policy_addr_is_assignable(const struct tunnel_config *c, const struct ip_prefix *p);

/* The destinations to which there may be a route into the TUN: on a client `routes`, on a server
 * the prefixes of peers and peer_prefixes but no /0. Sorted, because there may be thousands. */
struct policy_routes {
    bool known; /* of the present configuration */
    struct ip_prefix *v;
    size_t n;
};

/* Collect them from c, unless that was done already. Returns 0 or -ENOMEM. */
int policy_routes_need(struct policy_routes *p, const struct tunnel_config *c);
bool policy_routes_allow(const struct policy_routes *p, const struct ip_prefix *dst);

/* Forget them: the configuration changes. Accepts {0}. */
void policy_routes_done(struct policy_routes *p);

/* The table of routes into the TUN; 0: main. */
uint32_t policy_route_table(const struct tunnel_config *c);

/* May a socket be bound so? *ret_check: a device is named that the configuration does not name, so
 * it must hold the address. device must end with NUL. */
bool policy_udp(const struct tunnel_config *c, const struct ip_addr *addr, uint16_t port,
                const char *device, bool *ret_check);

/* The path of a file that the configuration names, or NULL. Not for HELPER_FILE_CONFIG. */
const char *policy_file(const struct tunnel_config *c, uint32_t file);

#endif
