/* The TUN made ahead, before the instance runs. */
#ifndef HELPER_ENSURE_H
#define HELPER_ENSURE_H

#include <stdbool.h>

#include "config/config.h"

enum ensure_result { ENSURE_MADE, ENSURE_WAS_THERE, ENSURE_IN_USE };

/* See that the TUN of the configuration is there, persistent, owned by the service user where there
 * is one, up, and has the configured addresses and MTU (1280 when it is new and none is configured,
 * else what it has). Changes nothing that is right already, and takes nothing away. One that a
 * running instance has open is fine too. Returns an enum ensure_result; or -errno as tun_open() and
 * the netlink requests, with what was tried in *ret_what. Needs CAP_NET_ADMIN. */
int ensure_tun(const struct tunnel_config *c, const char **ret_what);

/* Whether there is a TUN of that name. */
bool ensure_tun_exists(const char *name);

/* Remove the TUN of that name, with its addresses and routes and the rules for them, unless
 * somebody has it open. Returns 0, also when there is none; or -errno. */
int ensure_no_tun(const char *name);

#endif
