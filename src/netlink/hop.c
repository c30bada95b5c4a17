/* Next hops: the routers that routes go by. */
#include <errno.h>
#include <linux/rtnetlink.h>

#include "netlink/parse.h"
#include "netlink/request.h"

struct hop_search {
    const struct ip_addr *a;
    int but_index;
    unsigned left; /* routes that are looked at still */
    bool found;
};

static int on_route(const struct nlmsghdr *h, void *user)
{
    struct hop_search *s = user;

    if (h->nlmsg_type == RTM_NEWROUTE && s->left) {
        s->left--;
        s->found |= parse_goes_by(h, s->a, s->but_index);
    }
    return MNL_CB_OK;
}

/* All routes of a family, in every table. */
static int search(struct netlink *nl, uint8_t family, struct hop_search *s)
{
    union request q;
    struct rtmsg *rt = request_start(&q, RTM_GETROUTE, NLM_F_DUMP, sizeof(*rt));
    int r;

    rt->rtm_family = family;
    r = request_send(nl, &q);
    if (r)
        return r;
    do
        r = request_receive(nl, on_route, s);
    while (r > 0 && s->left && !s->found);
    return r == -EINTR ? 0 : r; /* what has changed meanwhile may be the next question's */
}

int netlink_is_next_hop(const struct ip_addr *a, int but_index)
{
    static const uint8_t families[] = {AF_INET, AF_INET6};
    struct hop_search s = {.a = a, .but_index = but_index, .left = NETLINK_HOPS_MAX};
    int r = 0;

    /* An IPv4 route may go by an IPv6 router. */
    for (unsigned i = 0; i < (a->family == 6 ? 2 : 1) && r >= 0 && s.left && !s.found; i++) {
        struct netlink *nl; /* one for each: a dump that is given up holds it */

        r = netlink_open(&nl);
        if (r)
            return r;
        r = search(nl, families[i], &s);
        netlink_close(nl);
    }
    return r < 0 ? r : s.found;
}
