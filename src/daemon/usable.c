#include "daemon/usable.h"

#include <linux/rtnetlink.h>
#include <stdlib.h>

#include "base/util.h"

const char *usable_conflict(const struct usable_outside *o, const struct ip_addr *a)
{
    if (ip_addr_equal(a, &o->remote))
        return "the hub's own address outside the tunnel";
    for (int i = 0; i < o->n; i++)
        if (o->v[i].index != o->tun_index && ip_addr_equal(a, &o->v[i].prefix.addr))
            return "an address of another interface of this machine";
    for (unsigned i = 0; i < 2; i++)
        if (ip_addr_equal(a, &o->gateway[i]))
            return "the default gateway";
    return NULL;
}

const char *usable_check(struct netlink *nl, const struct ip_addr *remote, int tun_index,
                         const struct ip_addr *a)
{
    _cleanup_free_ struct netlink_addr *v = NULL;
    struct usable_outside o = {.remote = *remote, .tun_index = tun_index};
    struct netlink_route found;

    o.n = netlink_addr_all(nl, 0, &v);
    o.v = v;
    for (unsigned i = 0; i < 2; i++) {
        struct netlink_route want = {.dst.addr.family = i ? 6 : 4, .table = RT_TABLE_MAIN};

        if (!netlink_route_find(nl, &want, &found))
            o.gateway[i] = found.via;
    }
    return usable_conflict(&o, a);
}
