/* Flows that have to begin anew because their link gets no new ones any more: those of policies
 * that say `existing: flush`. */
#ifndef WAN_MOVEFLOWS_H
#define WAN_MOVEFLOWS_H

#include "netlink/conntrack.h"
#include "wan/state.h"

/* Is it one? Flows that came in by the link while it works are not: they are answered there. Pure.
 */
bool moveflows_is_due(const struct gateway_config *c, const struct wan_facts *f,
                      const struct conntrack_entry *e);

/* End all of them, after new ones are led elsewhere. *ret_n (may be NULL): how many. 0 or -errno.
 * Nothing is read where no policy says so. */
int moveflows_end(const struct gateway_config *c, const struct wan_facts *f, unsigned *ret_n);

#endif
