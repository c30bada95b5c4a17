#include "daemon/usable.h"

#include <stdlib.h>

#include "base/util.h"

const char *usable_conflict(const struct usable_outside *o, const struct ip_addr *a)
{
    if (ip_addr_equal(a, &o->remote))
        return "the hub's own address outside the tunnel";
    for (int i = 0; i < o->n; i++)
        if (o->v[i].index != o->tun_index && ip_addr_equal(a, &o->v[i].prefix.addr))
            return "an address of another interface of this machine";
    return o->is_next_hop ? "a router that our routes go by" : NULL;
}

const char *usable_check(struct netlink *nl, const struct ip_addr *remote, int tun_index,
                         const struct ip_addr *a)
{
    _cleanup_free_ struct netlink_addr *v = NULL;
    struct usable_outside o = {.remote = *remote, .tun_index = tun_index};

    o.n = netlink_addr_all(nl, 0, &v);
    o.v = v;
    o.is_next_hop = netlink_is_next_hop(a, tun_index) == 1;
    return usable_conflict(&o, a);
}
