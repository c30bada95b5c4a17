#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>

#include "base/util.h"
#include "netlink/parse.h"
#include "netlink/request.h"

struct addr_list {
    int index;
    struct netlink_addr *v;
    unsigned max, n;
    bool bad;
};

static int on_addr(const struct nlmsghdr *h, void *user)
{
    struct addr_list *l = user;
    struct netlink_addr a;
    int r;

    if (h->nlmsg_type != RTM_NEWADDR)
        return MNL_CB_OK;
    r = parse_addr(h, &a);
    l->bad |= r == -EBADMSG;
    if (r < 0 || (l->index && a.index != l->index))
        return MNL_CB_OK;
    if (l->n < l->max)
        l->v[l->n] = a;
    l->n++;
    return MNL_CB_OK;
}

static int addr_dump(struct netlink *nl, uint8_t family, struct addr_list *l)
{
    unsigned before = l->n;
    int r = -EINTR;

    /* EINTR: the table changed during the dump. */
    for (unsigned i = 0; i < REQUEST_DUMP_TRIES && r == -EINTR; i++) {
        union request q;
        struct ifaddrmsg *ifa = request_start(&q, RTM_GETADDR, NLM_F_DUMP, sizeof(*ifa));

        ifa->ifa_family = family;
        ifa->ifa_index = (uint32_t)l->index;
        l->n = before;
        r = request_exchange(nl, &q, on_addr, l);
    }
    return r == 0 && l->bad ? -EBADMSG : r;
}

int netlink_addr_list(struct netlink *nl, int index, struct netlink_addr *v, unsigned max)
{
    struct addr_list l = {.index = index, .v = v, .max = max};
    int r = addr_dump(nl, AF_INET, &l);

    if (r == 0)
        r = addr_dump(nl, AF_INET6, &l);
    if (r == -ENODEV)
        return 0;
    return r < 0 ? r : (int)l.n;
}

int netlink_addr_all(struct netlink *nl, int index, struct netlink_addr **ret)
{
    unsigned room = 64;
    struct netlink_addr *v;
    int n;

    for (;;) {
        v = calloc(room, sizeof(*v));
        if (!v)
            return -ENOMEM;
        n = netlink_addr_list(nl, index, v, room);
        if (n <= (int)room)
            break;
        free(v);
        room = (unsigned)n + 16; /* some more may come meanwhile */
    }
    if (n < 0)
        free(v);
    else
        *ret = v;
    return n;
}

static void addr_request(union request *q, uint16_t type, uint16_t flags, int index,
                         const struct ip_prefix *p)
{
    struct ifaddrmsg *ifa = request_start(q, type, flags, sizeof(*ifa));

    ifa->ifa_family = request_family(&p->addr);
    ifa->ifa_prefixlen = p->len;
    ifa->ifa_index = (uint32_t)index;
    if (ip_addr_is_linklocal(&p->addr) && p->addr.family == 6)
        ifa->ifa_scope = RT_SCOPE_LINK;
    request_put_ip(q, IFA_LOCAL, &p->addr);
    request_put_ip(q, IFA_ADDRESS, &p->addr);
    if (type == RTM_NEWADDR)
        mnl_attr_put_u8(&q->h, IFA_PROTO, NETLINK_RTPROT);
    if (p->addr.family == 6 && type == RTM_NEWADDR)
        mnl_attr_put_u32(&q->h, IFA_FLAGS, IFA_F_NODAD);
}

/* Is exactly this address on the interface? 1, 0 or -errno. */
static int addr_is_there(struct netlink *nl, int index, const struct ip_prefix *p)
{
    struct netlink_addr *v = NULL;
    int n = netlink_addr_all(nl, index, &v), found = MIN(n, 0);

    for (int i = 0; i < n && !found; i++)
        found = ip_prefix_equal(&v[i].prefix, p);
    free(v);
    return found;
}

int netlink_addr_add(struct netlink *nl, int index, const struct ip_prefix *p, bool *ret_added)
{
    union request q;
    int r;

    if (!request_prefix_is_valid(p) || index <= 0)
        return index <= 0 ? -ENODEV : -EINVAL;
    addr_request(&q, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, index, p);
    r = request_command(nl, &q);
    if (r == -EEXIST) {
        int there = addr_is_there(nl, index, p);

        if (there <= 0)
            return there < 0 ? there : -EEXIST;
    } else if (r < 0) {
        return r;
    }
    if (ret_added)
        *ret_added = r == 0;
    return 0;
}

int netlink_addr_del(struct netlink *nl, int index, const struct ip_prefix *p)
{
    union request q;

    if (!request_prefix_is_valid(p) || index <= 0)
        return index <= 0 ? -ENODEV : -EINVAL;
    addr_request(&q, RTM_DELADDR, 0, index, p);
    return request_command(nl, &q);
}
