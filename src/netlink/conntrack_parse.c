/* Messages of ctnetlink: pure. Numbers are in network byte order. */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include "base/util.h"
#include "netlink/attrs.h"
#include "netlink/conntrack.h"

/* The value of an attribute of exactly that many bytes. */
static const uint8_t *value(const struct nlattr *a, unsigned bytes)
{
    return a && mnl_attr_get_payload_len(a) == bytes ? mnl_attr_get_payload(a) : NULL;
}

static uint8_t get_u8(const struct nlattr *a)
{
    const uint8_t *p = value(a, 1);

    return p ? *p : 0;
}

static uint16_t get_be16(const struct nlattr *a)
{
    const uint8_t *p = value(a, 2);

    return p ? load_be16(p) : 0;
}

static uint32_t get_be32(const struct nlattr *a)
{
    const uint8_t *p = value(a, 4);

    return p ? load_be32(p) : 0;
}

static uint64_t get_be64(const struct nlattr *a)
{
    const uint8_t *p = value(a, 8);

    return p ? (uint64_t)load_be32(p) << 32 | load_be32(p + 4) : 0;
}

static bool get_addr(const struct nlattr *a, uint8_t family, struct ip_addr *ret)
{
    unsigned bytes = family == AF_INET ? 4 : 16;
    const uint8_t *p = value(a, bytes);

    if (!p)
        return false;
    *ret = (struct ip_addr){.family = family == AF_INET ? 4 : 6};
    memcpy(ret->b, p, bytes);
    return true;
}

static void parse_proto(const struct nlattr *const *v, struct conntrack_tuple *t)
{
    bool v6 = t->protocol == IPPROTO_ICMPV6;

    t->src_port = get_be16(v[CTA_PROTO_SRC_PORT]);
    t->dst_port = get_be16(v[CTA_PROTO_DST_PORT]);
    t->icmp_id = get_be16(v[v6 ? CTA_PROTO_ICMPV6_ID : CTA_PROTO_ICMP_ID]);
    t->icmp_type = get_u8(v[v6 ? CTA_PROTO_ICMPV6_TYPE : CTA_PROTO_ICMP_TYPE]);
    t->icmp_code = get_u8(v[v6 ? CTA_PROTO_ICMPV6_CODE : CTA_PROTO_ICMP_CODE]);
}

/* *ret_zone stays as it is where the direction has no zone of its own. */
static bool parse_tuple(const struct nlattr *a, uint8_t family, struct conntrack_tuple *ret,
                        const struct nlattr **ret_zone)
{
    const struct nlattr *v[CTA_TUPLE_ZONE + 1] = {0}, *ip[CTA_IP_V6_DST + 1] = {0};
    const struct nlattr *proto[CTA_PROTO_ICMPV6_CODE + 1] = {0};
    bool v4 = family == AF_INET;

    if (!attrs_parse_nested(a, v, CTA_TUPLE_ZONE) ||
        !attrs_parse_nested(v[CTA_TUPLE_IP], ip, CTA_IP_V6_DST) ||
        !attrs_parse_nested(v[CTA_TUPLE_PROTO], proto, CTA_PROTO_ICMPV6_CODE) ||
        !get_addr(ip[v4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC], family, &ret->src) ||
        !get_addr(ip[v4 ? CTA_IP_V4_DST : CTA_IP_V6_DST], family, &ret->dst) ||
        !value(proto[CTA_PROTO_NUM], 1))
        return false;
    ret->protocol = get_u8(proto[CTA_PROTO_NUM]);
    parse_proto(proto, ret);
    if (v[CTA_TUPLE_ZONE])
        *ret_zone = v[CTA_TUPLE_ZONE];
    return true;
}

static bool parse_counts(const struct nlattr *a, struct conntrack_count *ret)
{
    const struct nlattr *v[CTA_COUNTERS_BYTES + 1] = {0};

    if (!attrs_parse_nested(a, v, CTA_COUNTERS_BYTES))
        return false;
    ret->packets = get_be64(v[CTA_COUNTERS_PACKETS]);
    ret->bytes = get_be64(v[CTA_COUNTERS_BYTES]);
    return true;
}

static uint64_t parse_began(const struct nlattr *a)
{
    const struct nlattr *v[CTA_TIMESTAMP_START + 1] = {0};

    return attrs_parse_nested(a, v, CTA_TIMESTAMP_START) ? get_be64(v[CTA_TIMESTAMP_START]) : 0;
}

static uint8_t parse_tcp_state(const struct nlattr *a)
{
    const struct nlattr *v[CTA_PROTOINFO_TCP + 1] = {0}, *tcp[CTA_PROTOINFO_TCP_STATE + 1] = {0};

    if (!attrs_parse_nested(a, v, CTA_PROTOINFO_TCP) ||
        !attrs_parse_nested(v[CTA_PROTOINFO_TCP], tcp, CTA_PROTOINFO_TCP_STATE))
        return 0;
    return get_u8(tcp[CTA_PROTOINFO_TCP_STATE]);
}

static void parse_zone(const struct nlattr *both, const struct nlattr *of_orig,
                       struct conntrack_entry *e)
{
    e->zone_of_orig = !both && of_orig;
    e->zone = get_be16(both ? both : of_orig);
}

int conntrack_parse(const void *message, struct conntrack_entry *ret)
{
    const struct nlmsghdr *h = message;
    const struct nfgenmsg *nfg = mnl_nlmsg_get_payload(h);
    const struct nlattr *v[CTA_TIMESTAMP + 1] = {0}, *zone = NULL, *reply_zone = NULL;
    struct conntrack_entry e = {0};

    if (h->nlmsg_type != (NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW))
        return -ENOMSG;
    if (mnl_nlmsg_get_payload_len(h) < sizeof(*nfg))
        return -EBADMSG;
    if (nfg->nfgen_family != AF_INET && nfg->nfgen_family != AF_INET6)
        return -ENOMSG;
    if (!attrs_parse(h, sizeof(*nfg), v, CTA_TIMESTAMP, NULL) ||
        !parse_tuple(v[CTA_TUPLE_ORIG], nfg->nfgen_family, &e.orig, &zone) ||
        !parse_tuple(v[CTA_TUPLE_REPLY], nfg->nfgen_family, &e.reply, &reply_zone))
        return -EBADMSG;
    e.status = get_be32(v[CTA_STATUS]);
    e.mark = get_be32(v[CTA_MARK]);
    e.timeout_s = get_be32(v[CTA_TIMEOUT]);
    e.id = get_be32(v[CTA_ID]);
    e.has_counts = parse_counts(v[CTA_COUNTERS_ORIG], &e.sent) &&
                   parse_counts(v[CTA_COUNTERS_REPLY], &e.received);
    e.began_real_ns = parse_began(v[CTA_TIMESTAMP]);
    e.tcp_state = e.orig.protocol == IPPROTO_TCP ? parse_tcp_state(v[CTA_PROTOINFO]) : 0;
    parse_zone(v[CTA_ZONE], zone, &e);
    *ret = e;
    return 0;
}
