#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>

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

struct route_search {
    const struct netlink_route *want;
    struct ip_prefix dst;
    bool found;
};

static int collect_route(const struct nlattr *a, void *data)
{
    const struct nlattr **v = data;

    if (mnl_attr_get_type(a) <= RTA_TABLE)
        v[mnl_attr_get_type(a)] = a;
    return MNL_CB_OK;
}

static uint32_t route_u32(const struct nlattr *a, uint32_t missing)
{
    return a && mnl_attr_validate(a, MNL_TYPE_U32) >= 0 ? mnl_attr_get_u32(a) : missing;
}

static int on_route(const struct nlmsghdr *h, void *user)
{
    struct route_search *s = user;
    const struct rtmsg *rt = mnl_nlmsg_get_payload(h);
    const struct nlattr *v[RTA_TABLE + 1] = {0};
    unsigned bytes = ip_addr_bits(&s->dst.addr) / 8;
    uint32_t table = s->want->table ? s->want->table : (uint32_t)RT_TABLE_MAIN, metric;

    if (h->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(h) < sizeof(*rt) ||
        mnl_attr_parse(h, sizeof(*rt), collect_route, v) < 0)
        return MNL_CB_OK;
    if (rt->rtm_family != request_family(&s->dst.addr) || rt->rtm_protocol != NETLINK_RTPROT ||
        rt->rtm_dst_len != s->dst.len || rt->rtm_type != RTN_UNICAST)
        return MNL_CB_OK;
    if (s->dst.len && (!v[RTA_DST] || mnl_attr_get_payload_len(v[RTA_DST]) != bytes ||
                       memcmp(mnl_attr_get_payload(v[RTA_DST]), s->dst.addr.b, bytes) != 0))
        return MNL_CB_OK;
    /* IPv6 has no metric 0: the kernel makes it IP6_RT_PRIO_USER, 1024. */
    metric = s->want->metric || s->dst.addr.family == 4 ? s->want->metric : 1024;
    s->found |= route_u32(v[RTA_OIF], 0) == (uint32_t)s->want->index &&
                route_u32(v[RTA_TABLE], rt->rtm_table) == table &&
                route_u32(v[RTA_PRIORITY], 0) == metric;
    return MNL_CB_OK;
}

/* Is a route of ours with this destination, metric and interface in the table? 1, 0, -errno. */
static int route_is_there(struct netlink *nl, const struct netlink_route *want)
{
    struct route_search s = {.want = want, .dst = ip_prefix_network(&want->dst)};
    int r = -EINTR;

    for (unsigned i = 0; i < REQUEST_DUMP_TRIES && r == -EINTR; i++) {
        union request q;
        struct rtmsg *rt = request_start(&q, RTM_GETROUTE, NLM_F_DUMP, sizeof(*rt));

        /* Filters that a strict kernel applies, so that a full Internet table stays there. */
        rt->rtm_family = request_family(&s.dst.addr);
        rt->rtm_protocol = NETLINK_RTPROT;
        mnl_attr_put_u32(&q.h, RTA_OIF, (uint32_t)want->index);
        r = request_exchange(nl, &q, on_route, &s);
    }
    return r < 0 ? r : s.found;
}

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
