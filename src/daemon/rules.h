/* The rules that keep what this machine sends from its tunnel addresses in the tunnel.
 *
 * A packet from there to a host beyond the hub, an answer mostly, would look into the table main,
 * where the default route is a WAN's: it would leave by it, in the clear and from an address that
 * nobody out there knows. So each tunnel address has three rules: the table main but for its
 * default routes (what is connected, and the tunnel's own network), then the table that leads into
 * the tunnel, then unreachable. Like addresses and routes they stay while the instance does not
 * run.
 *
 * What is ours says so by its protocol number. Of that only what is for an address of our own, or
 * for one that no interface has, is ever taken away: the rest belongs to other instances.
 */
#ifndef DAEMON_RULES_H
#define DAEMON_RULES_H

#include "daemon/routes.h"

/* Compare and put right. Returns 1 when something was put right, 0 when all was well, -errno. */
int rules_sync(struct instance *inst, enum upkeep_reason why);

#endif
