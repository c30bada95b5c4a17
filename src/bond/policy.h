/* How a session spreads its packets over several paths. */
#ifndef BOND_POLICY_H
#define BOND_POLICY_H

enum bond_policy {
    BOND_AGGREGATE, /* where a packet is expected to arrive first: all paths as one */
    BOND_BALANCED,  /* each flow on one path, flows by the weights of the paths */
    BOND_FAILOVER, /* one path while it works, then the next one that does, in their order; and back
                    * only when that one fails */
    BOND_PRIORITY, /* the one with the best priority among those that work */
    BOND_PIN,      /* one path and no other */
    BOND_DUPLICATE,      /* each packet on several paths */
    BOND_LOWEST_LATENCY, /* the quickest path; another one when waiting for it would take longer */
    BOND_POLICIES
};

#endif
