#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "netlink/parse.h"
#include "netlink/request.h"

static void route_request(union request *q, uint16_t type, uint16_t flags,
                          const struct netlink_route *r)
{
    struct rtmsg *rt = request_start(q, type, flags, sizeof(*rt));
    struct ip_prefix dst = ip_prefix_network(&r->dst);
    uint32_t table = r->table ? r->table : (uint32_t)RT_TABLE_MAIN;

    rt->rtm_family = request_family(&dst.addr);
    rt->rtm_dst_len = dst.len;
    rt->rtm_table = table < 256 ? (uint8_t)table : (uint8_t)RT_TABLE_UNSPEC;
    rt->rtm_protocol = NETLINK_RTPROT;
    rt->rtm_scope = dst.addr.family == 4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
    rt->rtm_type = RTN_UNICAST;
    request_put_ip(q, RTA_DST, &dst.addr);
    mnl_attr_put_u32(&q->h, RTA_TABLE, table);
    mnl_attr_put_u32(&q->h, RTA_OIF, (uint32_t)r->index);
    if (r->metric)
        mnl_attr_put_u32(&q->h, RTA_PRIORITY, r->metric);
    if (r->src.family)
        request_put_ip(q, RTA_PREFSRC, &r->src);
}

static int route_check(const struct netlink_route *r)
{
    if (r->index <= 0)
        return -ENODEV;
    if (!request_prefix_is_valid(&r->dst) || (r->src.family && r->src.family != r->dst.addr.family))
        return -EINVAL;
    return 0;
}

/* --- what is there --------------------------------------------------------------------- */

struct route_walk {
    int index;
    netlink_route_cb *cb;
    void *user;
    unsigned n; /* handed out since the begin */
};

static int on_route(const struct nlmsghdr *h, void *user)
{
    struct route_walk *w = user;
    struct netlink_route r;

    if (h->nlmsg_type == RTM_NEWROUTE && parse_route(h, &r) == 0 && r.index == w->index) {
        w->cb(w->user, &r);
        w->n++;
    }
    return MNL_CB_OK;
}

static int walk_family(struct netlink *nl, struct route_walk *w, uint8_t family)
{
    union request q;
    struct rtmsg *rt = request_start(&q, RTM_GETROUTE, NLM_F_DUMP, sizeof(*rt));

    /* Filters that a strict kernel applies, so that a full Internet table stays there. */
    rt->rtm_family = family;
    rt->rtm_protocol = NETLINK_RTPROT;
    mnl_attr_put_u32(&q.h, RTA_OIF, (uint32_t)w->index);
    return request_exchange(nl, &q, on_route, w);
}

static int walk(struct netlink *nl, struct route_walk *w, bool v4, bool v6)
{
    int r = -EINTR;

    for (unsigned i = 0; i < REQUEST_DUMP_TRIES && r == -EINTR; i++) {
        if (w->n)
            w->cb(w->user, NULL);
        w->n = 0;
        r = v4 ? walk_family(nl, w, AF_INET) : 0;
        if (!r && v6)
            r = walk_family(nl, w, AF_INET6);
    }
    return r;
}

int netlink_route_each(struct netlink *nl, int index, netlink_route_cb *cb, void *user)
{
    struct route_walk w = {.index = index, .cb = cb, .user = user};

    return walk(nl, &w, true, true);
}

struct route_search {
    struct netlink_route want;
    bool found;
};

static void compare_route(void *user, const struct netlink_route *r)
{
    struct route_search *s = user;

    if (r)
        s->found |= r->table == s->want.table && r->metric == s->want.metric &&
                    ip_prefix_equal(&r->dst, &s->want.dst);
}

/* As the kernel stores it: a network, a table, a metric. */
static struct netlink_route as_stored(const struct netlink_route *r)
{
    struct netlink_route s = *r;

    s.dst = ip_prefix_network(&r->dst);
    if (!s.table)
        s.table = RT_TABLE_MAIN;
    if (!s.metric && s.dst.addr.family == 6)
        s.metric = 1024; /* IPv6 has no metric 0: the kernel makes it IP6_RT_PRIO_USER */
    return s;
}

/* Is a route of ours with this destination, metric and interface in the table? 1, 0, -errno. */
static int route_is_there(struct netlink *nl, const struct netlink_route *want)
{
    struct route_search s = {.want = as_stored(want)};
    struct route_walk w = {.index = want->index, .cb = compare_route, .user = &s};
    bool v4 = want->dst.addr.family == 4;
    int r;

    r = walk(nl, &w, v4, !v4);
    return r < 0 ? r : s.found;
}

/* --- where the kernel sends from ------------------------------------------------------- */

static int on_source(const struct nlmsghdr *h, void *user)
{
    if (h->nlmsg_type == RTM_NEWROUTE)
        parse_route_source(h, user);
    return MNL_CB_OK;
}

int netlink_route_source(struct netlink *nl, const struct ip_addr *dst, int index,
                         struct ip_addr *ret)
{
    union request q;
    struct rtmsg *rt = request_start(&q, RTM_GETROUTE, NLM_F_ACK, sizeof(*rt));
    struct ip_addr found = {0};
    int r;

    if (index <= 0 || !ip_addr_bits(dst))
        return index <= 0 ? -ENODEV : -EINVAL;
    rt->rtm_family = request_family(dst);
    rt->rtm_dst_len = (uint8_t)ip_addr_bits(dst);
    request_put_ip(&q, RTA_DST, dst);
    mnl_attr_put_u32(&q.h, RTA_OIF, (uint32_t)index);
    r = request_exchange(nl, &q, on_source, &found);
    if (r < 0)
        return r;
    if (!found.family)
        return -ENODATA;
    *ret = found;
    return 0;
}

/* --- of others ------------------------------------------------------------------------- */

static int on_answer(const struct nlmsghdr *h, void *user)
{
    struct netlink_route r;

    if (h->nlmsg_type == RTM_NEWROUTE && !parse_any_route(h, &r))
        *(int *)user = r.index;
    return MNL_CB_STOP; /* there is no more than this one */
}

int netlink_route_get(struct netlink *nl, const struct ip_addr *to, int *ret_index)
{
    union request q;
    struct rtmsg *rt = request_start(&q, RTM_GETROUTE, 0, sizeof(*rt));
    int index = 0, r;

    if (!ip_addr_bits(to))
        return -EINVAL;
    rt->rtm_family = request_family(to);
    rt->rtm_dst_len = (uint8_t)ip_addr_bits(to);
    request_put_ip(&q, RTA_DST, to);
    r = request_exchange(nl, &q, on_answer, &index);
    if (r || !index)
        return r ? r : -ENODEV;
    *ret_index = index;
    return 0;
}

static int on_any_route(const struct nlmsghdr *h, void *user)
{
    struct route_search *s = user;
    struct netlink_route r;

    if (h->nlmsg_type != RTM_NEWROUTE || parse_any_route(h, &r) || r.table != s->want.table ||
        !ip_prefix_equal(&r.dst, &s->want.dst) || (s->found && r.metric >= s->want.metric))
        return MNL_CB_OK;
    s->found = true;
    s->want = r;
    return MNL_CB_OK;
}

int netlink_route_find(struct netlink *nl, const struct netlink_route *want,
                       struct netlink_route *ret)
{
    struct route_search s = {.want = as_stored(want)};
    int r = -EINTR;

    if (!request_prefix_is_valid(&want->dst))
        return -EINVAL;
    for (unsigned i = 0; i < REQUEST_DUMP_TRIES && r == -EINTR; i++) {
        union request q;
        struct rtmsg *rt = request_start(&q, RTM_GETROUTE, NLM_F_DUMP, sizeof(*rt));

        rt->rtm_family = request_family(&want->dst.addr);
        mnl_attr_put_u32(&q.h, RTA_TABLE, s.want.table);
        r = request_exchange(nl, &q, on_any_route, &s);
    }
    if (r == -ENOENT) /* the table was never used */
        return -ESRCH;
    if (r || !s.found)
        return r ? r : -ESRCH;
    *ret = s.want;
    return 0;
}

/* --- add and delete -------------------------------------------------------------------- */

int netlink_route_add(struct netlink *nl, const struct netlink_route *route, bool *ret_added)
{
    union request q;
    int r = route_check(route);

    if (r < 0)
        return r;
    route_request(&q, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, route);
    r = request_command(nl, &q);
    if (r == -EEXIST) {
        int there = route_is_there(nl, route);

        if (there <= 0)
            return there < 0 ? there : -EEXIST;
    } else if (r < 0) {
        return r;
    }
    if (ret_added)
        *ret_added = r == 0;
    return 0;
}

int netlink_route_del(struct netlink *nl, const struct netlink_route *route)
{
    union request q;
    int r = route_check(route);

    if (r < 0)
        return r;
    route_request(&q, RTM_DELROUTE, 0, route);
    return request_command(nl, &q);
}
