#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <stdint.h>

#include "netlink/fib.h"
#include "netlink/request.h"

static void put(union request *q, uint16_t type, uint16_t flags, int index,
                const struct ip_prefix *p)
{
    struct ifaddrmsg *ifa = request_start(q, type, flags, sizeof(*ifa));

    ifa->ifa_family = request_family(&p->addr);
    ifa->ifa_prefixlen = p->len;
    ifa->ifa_index = (uint32_t)index;
    request_put_ip(q, IFA_LOCAL, &p->addr);
    request_put_ip(q, IFA_ADDRESS, &p->addr);
}

int fib_address_add(struct netlink *nl, int index, const struct ip_prefix *p)
{
    static const struct ifa_cacheinfo deprecated = {.ifa_prefered = 0, .ifa_valid = UINT32_MAX};
    union request q;

    if (!request_prefix_is_valid(p) || index <= 0)
        return index <= 0 ? -ENODEV : -EINVAL;
    put(&q, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, index, p);
    mnl_attr_put_u8(&q.h, IFA_PROTO, FIB_PROTOCOL);
    if (p->addr.family == 6) {
        mnl_attr_put_u32(&q.h, IFA_FLAGS, IFA_F_NODAD);
        mnl_attr_put(&q.h, IFA_CACHEINFO, sizeof(deprecated), &deprecated);
    }
    return request_command(nl, &q);
}

int fib_address_del(struct netlink *nl, int index, const struct ip_prefix *p)
{
    union request q;

    if (!request_prefix_is_valid(p) || index <= 0)
        return index <= 0 ? -ENODEV : -EINVAL;
    put(&q, RTM_DELADDR, 0, index, p);
    return request_command(nl, &q);
}
