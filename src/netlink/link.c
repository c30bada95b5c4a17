#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "netlink/parse.h"
#include "netlink/request.h"

struct link_answer {
    struct netlink_link link;
    int r;
};

static int on_link(const struct nlmsghdr *h, void *user)
{
    struct link_answer *a = user;

    if (h->nlmsg_type == RTM_NEWLINK)
        a->r = parse_link(h, &a->link);
    return MNL_CB_OK;
}

static int link_get(struct netlink *nl, union request *q, struct netlink_link *ret)
{
    struct link_answer a = {.r = -EBADMSG};
    int r;

    q->h.nlmsg_flags |= NLM_F_ACK;
    r = request_exchange(nl, q, on_link, &a);
    if (r == 0)
        r = a.r;
    if (r == 0)
        *ret = a.link;
    return r;
}

int netlink_link_by_name(struct netlink *nl, const char *name, struct netlink_link *ret)
{
    union request q;

    if (!*name || strlen(name) >= IFNAMSIZ)
        return -EINVAL;
    request_start(&q, RTM_GETLINK, 0, sizeof(struct ifinfomsg));
    mnl_attr_put_strz(&q.h, IFLA_IFNAME, name);
    return link_get(nl, &q, ret);
}

int netlink_link_by_index(struct netlink *nl, int index, struct netlink_link *ret)
{
    union request q;
    struct ifinfomsg *ifi;

    if (index <= 0)
        return -ENODEV;
    ifi = request_start(&q, RTM_GETLINK, 0, sizeof(*ifi));
    ifi->ifi_index = index;
    return link_get(nl, &q, ret);
}

int netlink_link_set_up(struct netlink *nl, int index, bool up)
{
    union request q;
    struct ifinfomsg *ifi;

    if (index <= 0)
        return -ENODEV;
    ifi = request_start(&q, RTM_NEWLINK, 0, sizeof(*ifi));
    ifi->ifi_index = index;
    ifi->ifi_change = IFF_UP;
    ifi->ifi_flags = up ? IFF_UP : 0;
    return request_command(nl, &q);
}

int netlink_link_set_mtu(struct netlink *nl, int index, uint32_t mtu)
{
    union request q;
    struct ifinfomsg *ifi;

    if (index <= 0)
        return -ENODEV;
    ifi = request_start(&q, RTM_NEWLINK, 0, sizeof(*ifi));
    ifi->ifi_index = index;
    mnl_attr_put_u32(&q.h, IFLA_MTU, mtu);
    return request_command(nl, &q);
}

int netlink_link_set_name(struct netlink *nl, int index, const char *name)
{
    union request q;
    struct ifinfomsg *ifi;

    if (index <= 0 || !*name || strlen(name) >= IFNAMSIZ)
        return index <= 0 ? -ENODEV : -EINVAL;
    ifi = request_start(&q, RTM_NEWLINK, 0, sizeof(*ifi));
    ifi->ifi_index = index;
    mnl_attr_put_strz(&q.h, IFLA_IFNAME, name);
    return request_command(nl, &q);
}
