/* The probes of all links at work.
 *
 * Requests are sent, and answers read and judged, in a process of its own that has no privilege: it
 * runs as the user of the data plane, without capabilities, in that one's system call filter. What
 * it cannot open itself this process hands to it, and no more: for each link that the kernel has up
 * and that is asked by echo requests a socket for them, bound to the link's interface, and
 * connections to the control sockets of the instances that the configuration names. It hands
 * verdicts back; whatever it says, they are all that it can change. It ends with this process, and
 * is started again when it ends alone. */
#ifndef WAN_PROBER_H
#define WAN_PROBER_H

#include "loop/loop.h"
#include "wan/state.h"

struct prober;

/* A verdict has come: the state of the link in that family has changed, or the figures only. */
typedef void prober_fn(void *user, unsigned link, enum wan_family family,
                       const struct wan_verdict *v, bool has_changed);

/* Start it; configuration and verdicts so far are copied. Does nothing, and returns 0 and NULL,
 * when no link has a probe. Else 0 or -errno; what fails later is logged, and tried again. */
int prober_start(struct loop *loop, const struct gateway_config *c, const struct wan_health *before,
                 prober_fn *fn, void *user, struct prober **ret);
void prober_stop(struct prober *p);

/* What the kernel says of the links by now. */
void prober_on_facts(struct prober *p, const struct wan_facts *f);

#endif
