/* What there should be: a function of the configuration and of the states of the links. Pure. */
#ifndef WAN_DESIRED_H
#define WAN_DESIRED_H

#include "wan/objects.h"
#include "wan/state.h"

/* The worst metric there is: of the routes that are always there. */
#define WAN_METRIC_FLOOR UINT32_MAX

/* Fill *ret (to be released with wan_objects_done() in every case). 0 or -errno (-ENOMEM, -ENOSPC).
 */
int wan_desired(const struct gateway_config *c, const struct wan_facts *f, struct wan_objects *ret);

#endif
