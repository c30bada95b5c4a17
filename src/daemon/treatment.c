/* How the packets of a session are treated: what the configuration says of it, for the session and
 * for people. */
#include <stdio.h>
#include <string.h>

#include "daemon/instance.h"

struct treatment instance_treatment(const struct tunnel_config *c)
{
    static const enum bond_policy policies[] = {[CONFIG_MP_PRIORITY] = BOND_PRIORITY,
                                                [CONFIG_MP_FAILOVER] = BOND_FAILOVER,
                                                [CONFIG_MP_BALANCED] = BOND_BALANCED,
                                                [CONFIG_MP_BOND] = BOND_AGGREGATE,
                                                [CONFIG_MP_PIN] = BOND_PIN,
                                                [CONFIG_MP_DUPLICATE] = BOND_DUPLICATE,
                                                [CONFIG_MP_LOWEST_LATENCY] = BOND_LOWEST_LATENCY};
    static const enum treatment_order orders[] = {[CONFIG_ORDER_AUTO] = TREATMENT_ORDER_USUAL,
                                                  [CONFIG_ORDER_NONE] = TREATMENT_ORDER_NONE,
                                                  [CONFIG_ORDER_REORDER] = TREATMENT_ORDER_REORDER,
                                                  [CONFIG_ORDER_RECOVER] = TREATMENT_ORDER_RECOVER};
    struct treatment t = {.policy = policies[c->multipath_policy],
                          .copies = (uint8_t)c->multipath_copies,
                          .recovery = c->multipath_recovery == CONFIG_RECOVERY_NONE
                                          ? TREATMENT_NONE
                                          : TREATMENT_RESEND,
                          .order = orders[c->multipath_order],
                          .deadline_ms = c->multipath_deadline_ms};

    for (unsigned i = 0; i < c->n_paths; i++)
        if (!strcmp(c->paths[i].name, c->multipath_pin))
            t.pin = (uint8_t)i;
    return t;
}

void instance_treatment_str(const struct tunnel_config *c, char *buf, size_t size)
{
    static const char *const policies[] = {[CONFIG_MP_PRIORITY] = "priority",
                                           [CONFIG_MP_FAILOVER] = "failover",
                                           [CONFIG_MP_BALANCED] = "balanced",
                                           [CONFIG_MP_BOND] = "bond",
                                           [CONFIG_MP_PIN] = "pin",
                                           [CONFIG_MP_DUPLICATE] = "duplicate",
                                           [CONFIG_MP_LOWEST_LATENCY] = "lowest-latency"};
    int n = snprintf(buf, size, "%s", policies[c->multipath_policy]);

    if (c->multipath_policy == CONFIG_MP_PIN)
        n += snprintf(buf + n, size - (size_t)n, " to %s", c->multipath_pin);
    if (c->multipath_policy == CONFIG_MP_DUPLICATE)
        n += snprintf(buf + n, size - (size_t)n, ", %u copies", c->multipath_copies);
    if (c->multipath_recovery == CONFIG_RECOVERY_NONE)
        snprintf(buf + n, size - (size_t)n, ", no resends");
    else if (c->multipath_deadline_ms)
        snprintf(buf + n, size - (size_t)n, ", resends for %u ms", c->multipath_deadline_ms);
}
