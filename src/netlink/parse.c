#include "netlink/parse.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <string.h>

#include "base/util.h"
#include "netlink/attrs.h"

static bool valid(const struct nlattr *a, enum mnl_attr_data_type type)
{
    return a && mnl_attr_validate(a, type) >= 0;
}

/* Copy a string attribute that has to fit with its terminator. */
static bool copy_string(const struct nlattr *a, char *dst, size_t size)
{
    if (!valid(a, MNL_TYPE_NUL_STRING) || mnl_attr_get_payload_len(a) > size)
        return false;
    memcpy(dst, mnl_attr_get_payload(a), mnl_attr_get_payload_len(a));
    return true;
}

static void parse_kind(const struct nlattr *linkinfo, char kind[NETLINK_KIND_MAX])
{
    const struct nlattr *v[IFLA_INFO_KIND + 1] = {0};

    if (!valid(linkinfo, MNL_TYPE_NESTED))
        return;
    if (attrs_parse_nested(linkinfo, v, IFLA_INFO_KIND))
        copy_string(v[IFLA_INFO_KIND], kind, NETLINK_KIND_MAX);
}

/* Newer kernels append counters: only the beginning is needed. */
static void parse_stats(const struct nlattr *stats, struct netlink_link *ret)
{
    struct rtnl_link_stats64 s;
    size_t need = offsetof(struct rtnl_link_stats64, tx_dropped) + sizeof(s.tx_dropped);

    if (!stats || mnl_attr_get_payload_len(stats) < need)
        return;
    memcpy(&s, mnl_attr_get_payload(stats), need);
    ret->rx_packets = s.rx_packets;
    ret->tx_packets = s.tx_packets;
    ret->rx_bytes = s.rx_bytes;
    ret->tx_bytes = s.tx_bytes;
    ret->tx_dropped = s.tx_dropped;
}

int parse_link(const struct nlmsghdr *h, struct netlink_link *ret)
{
    const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(h);
    const struct nlattr *v[IFLA_CARRIER + 1] = {0};
    struct netlink_link l = {0};

    if (mnl_nlmsg_get_payload_len(h) < sizeof(*ifi))
        return -EBADMSG;
    if (ifi->ifi_family != AF_UNSPEC)
        return -ENOMSG;
    if (!attrs_parse(h, sizeof(*ifi), v, IFLA_CARRIER, NULL) || ifi->ifi_index <= 0 ||
        !copy_string(v[IFLA_IFNAME], l.name, sizeof(l.name)))
        return -EBADMSG;
    l.index = ifi->ifi_index;
    l.flags = ifi->ifi_flags;
    l.carrier = ifi->ifi_flags & IFF_RUNNING;
    if (valid(v[IFLA_MTU], MNL_TYPE_U32))
        l.mtu = mnl_attr_get_u32(v[IFLA_MTU]);
    if (valid(v[IFLA_OPERSTATE], MNL_TYPE_U8))
        l.operstate = mnl_attr_get_u8(v[IFLA_OPERSTATE]);
    if (valid(v[IFLA_CARRIER], MNL_TYPE_U8))
        l.carrier = mnl_attr_get_u8(v[IFLA_CARRIER]);
    parse_kind(v[IFLA_LINKINFO], l.kind);
    parse_stats(v[IFLA_STATS64], &l);
    *ret = l;
    return 0;
}

int parse_addr(const struct nlmsghdr *h, struct netlink_addr *ret)
{
    const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(h);
    const struct nlattr *v[IFA_PROTO + 1] = {0}, *own;
    struct netlink_addr a = {0};
    unsigned bytes;

    if (mnl_nlmsg_get_payload_len(h) < sizeof(*ifa))
        return -EBADMSG;
    if (ifa->ifa_family != AF_INET && ifa->ifa_family != AF_INET6)
        return -ENOMSG;
    bytes = ifa->ifa_family == AF_INET ? 4 : 16;
    if (!attrs_parse(h, sizeof(*ifa), v, IFA_PROTO, NULL) || ifa->ifa_prefixlen > bytes * 8)
        return -EBADMSG;
    /* With a peer address IFA_ADDRESS is the peer's; IFA_LOCAL is always ours. */
    own = v[IFA_LOCAL] ? v[IFA_LOCAL] : v[IFA_ADDRESS];
    if (!own || mnl_attr_get_payload_len(own) != bytes)
        return -EBADMSG;
    a.index = (int)ifa->ifa_index;
    a.prefix.addr.family = bytes == 4 ? 4 : 6;
    memcpy(a.prefix.addr.b, mnl_attr_get_payload(own), bytes);
    a.prefix.len = ifa->ifa_prefixlen;
    a.scope = ifa->ifa_scope;
    a.flags = valid(v[IFA_FLAGS], MNL_TYPE_U32) ? mnl_attr_get_u32(v[IFA_FLAGS]) : ifa->ifa_flags;
    a.protocol = valid(v[IFA_PROTO], MNL_TYPE_U8) ? mnl_attr_get_u8(v[IFA_PROTO]) : 0;
    a.ours = a.protocol == NETLINK_RTPROT;
    *ret = a;
    return 0;
}

/* Is it one of ours, as netlink_route_batch() makes them? */
static bool is_our_route(const struct rtmsg *rt)
{
    return (rt->rtm_family == AF_INET || rt->rtm_family == AF_INET6) &&
           rt->rtm_protocol == NETLINK_RTPROT && rt->rtm_type == RTN_UNICAST &&
           !(rt->rtm_flags & RTM_F_CLONED);
}

/* Destination, table, metric and interface of a route; the interface is 0 where there is not
 * exactly one. *ret_gateway: whether it goes by way of another router. */
static int parse_fields(const struct nlmsghdr *h, struct netlink_route *ret, bool *ret_gateway)
{
    const struct rtmsg *rt = mnl_nlmsg_get_payload(h);
    const struct nlattr *v[RTA_TABLE + 1] = {0};
    unsigned bytes = rt->rtm_family == AF_INET ? 4 : 16;
    struct netlink_route r = {.dst.len = rt->rtm_dst_len};

    if (!attrs_parse(h, sizeof(*rt), v, RTA_TABLE, NULL) || rt->rtm_dst_len > bytes * 8)
        return -EBADMSG;
    if (rt->rtm_dst_len && (!v[RTA_DST] || mnl_attr_get_payload_len(v[RTA_DST]) != bytes))
        return -EBADMSG;
    if (valid(v[RTA_OIF], MNL_TYPE_U32))
        r.index = (int)mnl_attr_get_u32(v[RTA_OIF]);
    r.dst.addr.family = bytes == 4 ? 4 : 6;
    if (rt->rtm_dst_len)
        memcpy(r.dst.addr.b, mnl_attr_get_payload(v[RTA_DST]), bytes);
    r.table = valid(v[RTA_TABLE], MNL_TYPE_U32) ? mnl_attr_get_u32(v[RTA_TABLE]) : rt->rtm_table;
    if (valid(v[RTA_PRIORITY], MNL_TYPE_U32))
        r.metric = mnl_attr_get_u32(v[RTA_PRIORITY]);
    if (v[RTA_GATEWAY] && mnl_attr_get_payload_len(v[RTA_GATEWAY]) == bytes) {
        r.via.family = r.dst.addr.family;
        memcpy(r.via.b, mnl_attr_get_payload(v[RTA_GATEWAY]), bytes);
    }
    *ret = r;
    *ret_gateway = v[RTA_GATEWAY];
    return 0;
}

int parse_route_source(const struct nlmsghdr *h, struct ip_addr *ret)
{
    const struct rtmsg *rt = mnl_nlmsg_get_payload(h);
    const struct nlattr *v[RTA_PREFSRC + 1] = {0};
    struct ip_addr a = {0};

    if (mnl_nlmsg_get_payload_len(h) < sizeof(*rt) ||
        (rt->rtm_family != AF_INET && rt->rtm_family != AF_INET6) ||
        !attrs_parse(h, sizeof(*rt), v, RTA_PREFSRC, NULL))
        return -EBADMSG;
    a.family = rt->rtm_family == AF_INET ? 4 : 6;
    if (!v[RTA_PREFSRC] || mnl_attr_get_payload_len(v[RTA_PREFSRC]) != ip_addr_bits(&a) / 8)
        return -ENOMSG;
    memcpy(a.b, mnl_attr_get_payload(v[RTA_PREFSRC]), ip_addr_bits(&a) / 8);
    *ret = a;
    return 0;
}

int parse_route(const struct nlmsghdr *h, struct netlink_route *ret)
{
    const struct rtmsg *rt = mnl_nlmsg_get_payload(h);
    struct netlink_route r;
    bool gateway;
    int rv;

    if (mnl_nlmsg_get_payload_len(h) < sizeof(*rt))
        return -EBADMSG;
    if (!is_our_route(rt))
        return -ENOMSG;
    rv = parse_fields(h, &r, &gateway);
    if (rv)
        return rv;
    if (!r.index || gateway)
        return -ENOMSG;
    *ret = r;
    return 0;
}

int parse_any_route(const struct nlmsghdr *h, struct netlink_route *ret)
{
    const struct rtmsg *rt = mnl_nlmsg_get_payload(h);
    bool gateway;

    if (mnl_nlmsg_get_payload_len(h) < sizeof(*rt))
        return -EBADMSG;
    if (rt->rtm_family != AF_INET && rt->rtm_family != AF_INET6)
        return -ENOMSG;
    return parse_fields(h, ret, &gateway);
}

/* --- rules ----------------------------------------------------------------------------- */

/* The rest of what makes a rule: of which kind it is, if of any. */
static enum netlink_rule_kind rule_kind(const struct fib_rule_hdr *rule, const struct nlattr **v)
{
    bool full = rule->src_len == (rule->family == AF_INET ? 32 : 128) && !rule->dst_len;
    uint32_t shortest = UINT32_MAX, table = rule->table;
    char iif[IFNAMSIZ] = "";

    if (v[FRA_IIFNAME])
        copy_string(v[FRA_IIFNAME], iif, sizeof(iif));
    if (!full || strcmp(iif, "lo") != 0)
        return NETLINK_RULE_OTHER;
    if (rule->action == FR_ACT_UNREACHABLE)
        return NETLINK_RULE_END;
    if (valid(v[FRA_SUPPRESS_PREFIXLEN], MNL_TYPE_U32))
        shortest = mnl_attr_get_u32(v[FRA_SUPPRESS_PREFIXLEN]);
    if (valid(v[FRA_TABLE], MNL_TYPE_U32))
        table = mnl_attr_get_u32(v[FRA_TABLE]);
    if (rule->action != FR_ACT_TO_TBL)
        return NETLINK_RULE_OTHER;
    if (shortest == UINT32_MAX)
        return NETLINK_RULE_TABLE;
    return !shortest && table == RT_TABLE_MAIN ? NETLINK_RULE_NEAR : NETLINK_RULE_OTHER;
}

int parse_rule(const struct nlmsghdr *h, struct netlink_rule *ret)
{
    const struct fib_rule_hdr *rule = mnl_nlmsg_get_payload(h);
    const struct nlattr *v[FRA_PROTOCOL + 1] = {0};
    struct netlink_rule r = {.kind = NETLINK_RULE_OTHER};

    if (mnl_nlmsg_get_payload_len(h) < sizeof(*rule))
        return -EBADMSG;
    if (rule->family != AF_INET && rule->family != AF_INET6)
        return -ENOMSG;
    if (!attrs_parse(h, sizeof(*rule), v, FRA_PROTOCOL, NULL))
        return -EBADMSG;
    if (!valid(v[FRA_PROTOCOL], MNL_TYPE_U8) || mnl_attr_get_u8(v[FRA_PROTOCOL]) != NETLINK_RTPROT)
        return -ENOMSG;
    r.src.family = rule->family == AF_INET ? 4 : 6;
    if (v[FRA_SRC] && mnl_attr_get_payload_len(v[FRA_SRC]) == ip_addr_bits(&r.src) / 8)
        memcpy(r.src.b, mnl_attr_get_payload(v[FRA_SRC]), ip_addr_bits(&r.src) / 8);
    if (valid(v[FRA_PRIORITY], MNL_TYPE_U32))
        r.priority = mnl_attr_get_u32(v[FRA_PRIORITY]);
    r.kind = rule_kind(rule, v);
    if (r.kind == NETLINK_RULE_TABLE)
        r.table = valid(v[FRA_TABLE], MNL_TYPE_U32) ? mnl_attr_get_u32(v[FRA_TABLE]) : rule->table;
    *ret = r;
    return 0;
}

/* --- next hops ------------------------------------------------------------------------- */

static bool is_address(const struct nlattr *attr, const struct ip_addr *a)
{
    unsigned bytes = ip_addr_bits(a) / 8;

    return attr && mnl_attr_get_payload_len(attr) == bytes &&
           !memcmp(mnl_attr_get_payload(attr), a->b, bytes);
}

/* RTA_GATEWAY is of the route's family, RTA_VIA says its own. */
static bool is_by(const struct nlattr *gateway, const struct nlattr *via, uint8_t family,
                  const struct ip_addr *a)
{
    uint8_t wanted = a->family == 4 ? AF_INET : AF_INET6;
    unsigned bytes = ip_addr_bits(a) / 8;
    uint16_t said;

    if (family == wanted && is_address(gateway, a))
        return true;
    if (!via || mnl_attr_get_payload_len(via) != sizeof(said) + bytes)
        return false;
    memcpy(&said, mnl_attr_get_payload(via), sizeof(said));
    return said == wanted &&
           !memcmp((const char *)mnl_attr_get_payload(via) + sizeof(said), a->b, bytes);
}

/* The attributes of one next hop among several. */
static bool hop_is_by(const struct rtnexthop *hop, uint8_t family, const struct ip_addr *a)
{
    const struct nlattr *v[RTA_VIA + 1] = {0};
    const char *at = (const char *)RTNH_DATA(hop), *end = (const char *)hop + hop->rtnh_len;

    while (end - at >= (ptrdiff_t)sizeof(struct nlattr)) {
        const struct nlattr *attr = (const void *)at;

        if (attr->nla_len < sizeof(*attr) || attr->nla_len > end - at)
            return false;
        if (mnl_attr_get_type(attr) <= RTA_VIA)
            v[mnl_attr_get_type(attr)] = attr;
        at += MNL_ALIGN(attr->nla_len);
    }
    return is_by(v[RTA_GATEWAY], v[RTA_VIA], family, a);
}

static bool any_hop_is_by(const struct nlattr *multipath, uint8_t family, const struct ip_addr *a,
                          int but_index)
{
    const char *at = mnl_attr_get_payload(multipath);
    const char *end = at + mnl_attr_get_payload_len(multipath);

    while (end - at >= (ptrdiff_t)sizeof(struct rtnexthop)) {
        const struct rtnexthop *hop = (const void *)at;

        if (hop->rtnh_len < sizeof(*hop) || hop->rtnh_len > end - at)
            return false;
        if (hop->rtnh_ifindex != but_index && hop_is_by(hop, family, a))
            return true;
        at += MNL_ALIGN(hop->rtnh_len);
    }
    return false;
}

bool parse_goes_by(const struct nlmsghdr *h, const struct ip_addr *a, int but_index)
{
    const struct rtmsg *rt = mnl_nlmsg_get_payload(h);
    const struct nlattr *v[RTA_VIA + 1] = {0};

    if (!ip_addr_bits(a) || mnl_nlmsg_get_payload_len(h) < sizeof(*rt) ||
        !attrs_parse(h, sizeof(*rt), v, RTA_VIA, NULL))
        return false;
    if (v[RTA_MULTIPATH] && any_hop_is_by(v[RTA_MULTIPATH], rt->rtm_family, a, but_index))
        return true;
    if (valid(v[RTA_OIF], MNL_TYPE_U32) && (int)mnl_attr_get_u32(v[RTA_OIF]) == but_index)
        return false;
    return is_by(v[RTA_GATEWAY], v[RTA_VIA], rt->rtm_family, a);
}
