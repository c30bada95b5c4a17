#include "daemon/local.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include "base/util.h"

void local_on_up(struct local_choice *c, const struct ip_addr *addr)
{
    *c = (struct local_choice){.proven = *addr};
}

void local_on_silence(struct local_choice *c)
{
    c->silent++;
}

static bool usable(const struct netlink_addr *a, uint8_t family)
{
    return a->prefix.addr.family == family && a->scope == RT_SCOPE_UNIVERSE &&
           !(a->flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED | IFA_F_DEPRECATED));
}

/* The nth usable address that is not `but`; NULL: there are fewer. */
static const struct ip_addr *nth(const struct netlink_addr *v, unsigned n, uint8_t family,
                                 const struct ip_addr *but, unsigned at)
{
    for (unsigned i = 0; i < n; i++)
        if (usable(&v[i], family) && !ip_addr_equal(&v[i].prefix.addr, but) && !at--)
            return &v[i].prefix.addr;
    return NULL;
}

static bool is_there(const struct netlink_addr *v, unsigned n, const struct ip_addr *a)
{
    for (unsigned i = 0; i < n; i++)
        if (a->family && usable(&v[i], a->family) && ip_addr_equal(&v[i].prefix.addr, a))
            return true;
    return false;
}

bool local_choose(const struct local_choice *c, const struct netlink_addr *v, unsigned n,
                  uint8_t family, const struct ip_addr *preferred, struct ip_addr *ret)
{
    static const struct ip_addr none;
    const struct ip_addr *first = preferred;
    unsigned others = 0;

    if (!c->silent && c->proven.family == family && is_there(v, n, &c->proven))
        first = &c->proven;
    else if (preferred->family != family || !is_there(v, n, preferred))
        first = nth(v, n, family, &none, 0);
    if (!first)
        return false;
    while (nth(v, n, family, first, others))
        others++;
    if (c->silent % 2 && others)
        first = nth(v, n, family, first, c->silent / 2 % others);
    *ret = *first;
    return true;
}

bool local_address(const struct local_choice *c, struct netlink *nl, int ifindex,
                   const struct ip_addr *remote, struct ip_addr *ret)
{
    _cleanup_free_ struct netlink_addr *v = NULL;
    struct ip_addr preferred = {0};
    int n = netlink_addr_all(nl, ifindex, &v);

    if (n <= 0)
        return false;
    netlink_route_source(nl, remote, ifindex, &preferred); /* where there is no route: none */
    return local_choose(c, v, (unsigned)n, remote->family, &preferred, ret);
}
