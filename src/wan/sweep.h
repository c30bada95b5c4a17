/* Flows that are not translated as they should be now: because they began while nothing translated
 * them, or with a prefix that is no longer the link's. conntrack does to a flow what it did to its
 * first packet, so that all that helps is to have it begin anew. */
#ifndef WAN_SWEEP_H
#define WAN_SWEEP_H

#include "netlink/conntrack.h"
#include "wan/state.h"

/* Is it such a flow? Pure. */
bool sweep_is_stale(const struct gateway_config *c, const struct wan_facts *f,
                    const struct conntrack_entry *e);

/* End all of them: the next packet of each begins a new flow. *ret_n (may be NULL): how many. 0 or
 * -errno. Nothing is read where nothing is translated 1:1. */
int sweep_flows(const struct gateway_config *c, const struct wan_facts *f, unsigned *ret_n);

#endif
