#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <string.h>

#include "base/util.h"
#include "netlink/attrs.h"
#include "netlink/fib.h"
#include "netlink/parse.h"

static bool get_u32(const struct nlattr *a, uint32_t *ret)
{
    if (!a || mnl_attr_get_payload_len(a) != sizeof(*ret))
        return false;
    memcpy(ret, mnl_attr_get_payload(a), sizeof(*ret));
    return true;
}

static bool get_addr(const struct nlattr *a, uint8_t family, struct ip_addr *ret)
{
    unsigned bytes = family == AF_INET ? 4 : 16;

    if (!a || mnl_attr_get_payload_len(a) != bytes)
        return false;
    *ret = (struct ip_addr){.family = family == AF_INET ? 4 : 6};
    memcpy(ret->b, mnl_attr_get_payload(a), bytes);
    return true;
}

/* RTA_VIA names a router of the other family. */
static bool get_via(const struct nlattr *a, struct ip_addr *ret)
{
    uint16_t family;
    unsigned bytes;

    if (!a || mnl_attr_get_payload_len(a) < sizeof(family))
        return false;
    memcpy(&family, mnl_attr_get_payload(a), sizeof(family));
    bytes = family == AF_INET ? 4 : 16;
    if ((family != AF_INET && family != AF_INET6) ||
        mnl_attr_get_payload_len(a) != sizeof(family) + bytes)
        return false;
    *ret = (struct ip_addr){.family = bytes == 4 ? 4 : 6};
    memcpy(ret->b, (const char *)mnl_attr_get_payload(a) + sizeof(family), bytes);
    return true;
}

/* A prefix of len bits; no attribute means the whole family. */
static bool get_prefix(const struct nlattr *a, uint8_t family, uint8_t len, struct ip_prefix *ret)
{
    struct ip_prefix p = {.addr.family = family == AF_INET ? 4 : 6, .len = len};

    if (len > ip_addr_bits(&p.addr) || (len && !get_addr(a, family, &p.addr)))
        return false;
    *ret = ip_prefix_network(&p);
    return true;
}

static enum fib_type type_of(const struct rtmsg *rt)
{
    switch (rt->rtm_type) {
    case RTN_UNICAST:
        return FIB_TYPE_UNICAST;
    case RTN_BLACKHOLE:
        return FIB_TYPE_BLACKHOLE;
    case RTN_UNREACHABLE:
        return FIB_TYPE_UNREACHABLE;
    default:
        return FIB_TYPE_OTHER;
    }
}

/* Each of several next hops, as a route of its own. */
static int parse_hops(const struct nlattr *multipath, uint8_t family, struct fib_route *r,
                      fib_route_cb *cb, void *user)
{
    const char *at = mnl_attr_get_payload(multipath);
    const char *end = at + mnl_attr_get_payload_len(multipath);

    r->several = true;
    while (end - at >= (ptrdiff_t)sizeof(struct rtnexthop)) {
        const struct rtnexthop *hop = (const void *)at;
        const char *attr = (const char *)RTNH_DATA(hop), *hop_end = at + hop->rtnh_len;

        if (hop->rtnh_len < sizeof(*hop) || hop->rtnh_len > end - at)
            return -EBADMSG;
        r->index = hop->rtnh_ifindex;
        r->onlink = hop->rtnh_flags & RTNH_F_ONLINK;
        r->via = (struct ip_addr){0};
        while (hop_end - attr >= (ptrdiff_t)sizeof(struct nlattr)) {
            const struct nlattr *a = (const void *)attr;

            if (a->nla_len < sizeof(*a) || a->nla_len > hop_end - attr)
                return -EBADMSG;
            if (mnl_attr_get_type(a) == RTA_GATEWAY)
                get_addr(a, family, &r->via);
            else if (mnl_attr_get_type(a) == RTA_VIA)
                get_via(a, &r->via);
            attr += MNL_ALIGN(a->nla_len);
        }
        cb(user, r);
        at += MNL_ALIGN(hop->rtnh_len);
    }
    return 0;
}

int fib_parse_route(const void *message, fib_route_cb *cb, void *user)
{
    const struct nlmsghdr *h = message;
    const struct rtmsg *rt = mnl_nlmsg_get_payload(h);
    const struct nlattr *v[RTA_VIA + 1] = {0};
    struct fib_route r = {0};
    uint32_t n;

    if (mnl_nlmsg_get_payload_len(h) < sizeof(*rt))
        return -EBADMSG;
    if ((rt->rtm_family != AF_INET && rt->rtm_family != AF_INET6) || rt->rtm_flags & RTM_F_CLONED)
        return -ENOMSG;
    if (!attrs_parse(h, sizeof(*rt), v, RTA_VIA, NULL) ||
        !get_prefix(v[RTA_DST], rt->rtm_family, rt->rtm_dst_len, &r.dst))
        return -EBADMSG;
    r.type = type_of(rt);
    r.protocol = rt->rtm_protocol;
    r.onlink = rt->rtm_flags & RTNH_F_ONLINK;
    r.table = get_u32(v[RTA_TABLE], &n) ? n : rt->rtm_table;
    if (get_u32(v[RTA_PRIORITY], &n))
        r.metric = n;
    if (r.type == FIB_TYPE_UNICAST && v[RTA_MULTIPATH])
        return parse_hops(v[RTA_MULTIPATH], rt->rtm_family, &r, cb, user);
    if (r.type == FIB_TYPE_UNICAST && get_u32(v[RTA_OIF], &n))
        r.index = (int)n;
    if (r.type == FIB_TYPE_UNICAST && !get_addr(v[RTA_GATEWAY], rt->rtm_family, &r.via))
        get_via(v[RTA_VIA], &r.via);
    cb(user, &r);
    return 0;
}

/* --- rules ----------------------------------------------------------------------------- */

static bool get_name(const struct nlattr *a, char ret[static IFNAMSIZ])
{
    if (!a)
        return true;
    if (mnl_attr_validate(a, MNL_TYPE_NUL_STRING) < 0 || mnl_attr_get_payload_len(a) > IFNAMSIZ)
        return false;
    memcpy(ret, mnl_attr_get_payload(a), mnl_attr_get_payload_len(a));
    return true;
}

/* A condition or consequence that struct fib_rule cannot say. */
static bool has_more(const struct fib_rule_hdr *rule, const struct nlattr *const *v)
{
    static const uint8_t told[] = {FRA_TUN_ID,      FRA_GOTO,        FRA_FLOW,
                                   FRA_L3MDEV,      FRA_UID_RANGE,   FRA_IP_PROTO,
                                   FRA_SPORT_RANGE, FRA_DPORT_RANGE, FRA_SUPPRESS_IFGROUP};
    uint8_t l3mdev = 0;
    uint32_t n;

    if (rule->tos || rule->flags & FIB_RULE_INVERT)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(told); i++) {
        const struct nlattr *a = v[told[i]];

        if (!a)
            continue;
        if (told[i] == FRA_SUPPRESS_IFGROUP && get_u32(a, &n) && n == UINT32_MAX)
            continue;
        if (told[i] == FRA_L3MDEV && mnl_attr_get_payload_len(a) == sizeof(l3mdev) &&
            !mnl_attr_get_u8(a))
            continue;
        return true;
    }
    return false;
}

static enum fib_action action_of(const struct fib_rule_hdr *rule)
{
    switch (rule->action) {
    case FR_ACT_TO_TBL:
        return FIB_ACTION_TABLE;
    case FR_ACT_BLACKHOLE:
        return FIB_ACTION_BLACKHOLE;
    case FR_ACT_UNREACHABLE:
        return FIB_ACTION_UNREACHABLE;
    default:
        return FIB_ACTION_OTHER;
    }
}

int fib_parse_rule(const void *message, struct fib_rule *ret)
{
    const struct nlmsghdr *h = message;
    const struct fib_rule_hdr *rule = mnl_nlmsg_get_payload(h);
    const struct nlattr *v[FRA_DPORT_RANGE + 1] = {0};
    uint32_t shortest = UINT32_MAX, n;
    struct fib_rule r = {0};
    bool newer;

    if (mnl_nlmsg_get_payload_len(h) < sizeof(*rule))
        return -EBADMSG;
    if (rule->family != AF_INET && rule->family != AF_INET6)
        return -ENOMSG;
    if (!attrs_parse(h, sizeof(*rule), v, FRA_DPORT_RANGE, &newer) ||
        !get_name(v[FRA_IIFNAME], r.iif) || !get_name(v[FRA_OIFNAME], r.oif) ||
        (rule->src_len && !get_prefix(v[FRA_SRC], rule->family, rule->src_len, &r.from)) ||
        (rule->dst_len && !get_prefix(v[FRA_DST], rule->family, rule->dst_len, &r.to)))
        return -EBADMSG;
    r.family = rule->family == AF_INET ? 4 : 6;
    r.action = action_of(rule);
    if (get_u32(v[FRA_PRIORITY], &n))
        r.priority = n;
    if (get_u32(v[FRA_FWMARK], &n))
        r.mark = n;
    if (get_u32(v[FRA_FWMASK], &n))
        r.mask = n;
    if (r.action == FIB_ACTION_TABLE)
        r.table = get_u32(v[FRA_TABLE], &n) ? n : rule->table;
    if (get_u32(v[FRA_SUPPRESS_PREFIXLEN], &n))
        shortest = n;
    r.near_only = !shortest;
    if (v[FRA_PROTOCOL] && mnl_attr_get_payload_len(v[FRA_PROTOCOL]) == 1)
        r.protocol = mnl_attr_get_u8(v[FRA_PROTOCOL]);
    r.more = has_more(rule, v) || (shortest && shortest != UINT32_MAX) ||
             (newer && r.protocol != FIB_PROTOCOL); /* what newer kernels tell of ours is theirs */
    *ret = r;
    return 0;
}
