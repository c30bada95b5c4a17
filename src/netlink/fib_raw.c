#include "netlink/fib_raw.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "netlink/request.h"

/* What a request may say of a route; the rest of the flags is the kernel's. */
enum { FLAGS_OF_REQUESTS = RTNH_F_ONLINK | RTNH_F_PERVASIVE };

/* --- keeping --------------------------------------------------------------------------- */

/* The flags of the next hops are the kernel's as well. */
static void clean_hops(uint8_t *at, size_t len)
{
    while (len >= sizeof(struct rtnexthop)) {
        struct rtnexthop hop;
        size_t step;

        memcpy(&hop, at, sizeof(hop));
        step = RTNH_ALIGN(hop.rtnh_len);
        if (hop.rtnh_len < sizeof(hop) || step > len)
            return;
        hop.rtnh_flags &= FLAGS_OF_REQUESTS;
        memcpy(at, &hop, sizeof(hop));
        at += step;
        len -= step;
    }
}

/* A route by way of a next hop object repeats what the object says; a request must not. Ages are
 * for reading only. */
static bool is_said_already(uint16_t type, bool by_object)
{
    switch (type) {
    case RTA_CACHEINFO:
        return true;
    case RTA_OIF:
    case RTA_GATEWAY:
    case RTA_VIA:
    case RTA_MULTIPATH:
    case RTA_ENCAP:
    case RTA_ENCAP_TYPE:
        return by_object;
    default:
        return false;
    }
}

static int put(struct fib_raw *r, const void *data, size_t len)
{
    if (r->len + MNL_ALIGN(len) > FIB_RAW_MAX)
        return -E2BIG;
    memcpy(r->data + r->len, data, len);
    memset(r->data + r->len + len, 0, MNL_ALIGN(len) - len);
    r->len = (uint16_t)(r->len + MNL_ALIGN(len));
    return 0;
}

static int put_route(const struct nlmsghdr *h, struct fib_raw *r)
{
    struct rtmsg rt;
    const struct nlattr *a;
    bool by_object = false;
    int rv;

    memcpy(&rt, mnl_nlmsg_get_payload(h), sizeof(rt));
    rt.rtm_flags &= FLAGS_OF_REQUESTS;
    rv = put(r, &rt, sizeof(rt));
    mnl_attr_for_each(a, h, sizeof(rt)) by_object |= mnl_attr_get_type(a) == RTA_NH_ID;
    mnl_attr_for_each(a, h, sizeof(rt))
    {
        size_t at = r->len;

        if (rv || is_said_already(mnl_attr_get_type(a), by_object))
            continue;
        rv = put(r, a, a->nla_len);
        if (!rv && mnl_attr_get_type(a) == RTA_MULTIPATH)
            clean_hops(r->data + at + sizeof(*a), a->nla_len - sizeof(*a));
        if (!rv && mnl_attr_get_type(a) == RTA_OIF && a->nla_len >= sizeof(*a) + 4 &&
            !if_indextoname(mnl_attr_get_u32(a), r->name))
            *r->name = 0;
    }
    return rv;
}

int fib_raw_take(const void *message, struct fib_raw *ret)
{
    const struct nlmsghdr *h = message;
    size_t len = mnl_nlmsg_get_payload_len(h);
    struct fib_raw r = {.rule = h->nlmsg_type == RTM_NEWRULE};
    int rv;

    if (len < sizeof(struct rtmsg) || (!r.rule && h->nlmsg_type != RTM_NEWROUTE))
        return -EBADMSG;
    if (!r.rule) {
        rv = put_route(h, &r);
    } else {
        rv = put(&r, mnl_nlmsg_get_payload(h), len);
        /* detached and unresolved are what the kernel finds out itself */
        if (!rv) {
            struct fib_rule_hdr rule;

            memcpy(&rule, r.data, sizeof(rule));
            rule.flags &= FIB_RULE_INVERT | FIB_RULE_PERMANENT;
            memcpy(r.data, &rule, sizeof(rule));
        }
    }
    if (!rv)
        *ret = r;
    return rv;
}

/* --- putting back ---------------------------------------------------------------------- */

/* The attributes, one behind the other, fill what is there. */
static bool is_whole(const struct fib_raw *r)
{
    size_t at = sizeof(struct rtmsg);

    if (r->len < at || r->len > FIB_RAW_MAX)
        return false;
    while (at < r->len) {
        struct nlattr a;

        if (r->len - at < sizeof(a))
            return false;
        memcpy(&a, r->data + at, sizeof(a));
        if (a.nla_len < sizeof(a) || (size_t)MNL_ALIGN(a.nla_len) > r->len - at)
            return false;
        at += MNL_ALIGN(a.nla_len);
    }
    return true;
}

/* The number of an interface changes when it is made anew. */
static int set_index(const struct fib_raw *r, union request *q)
{
    uint32_t index = *r->name ? if_nametoindex(r->name) : 0;
    struct nlattr *a;

    if (!*r->name)
        return 0;
    if (!index)
        return -ENODEV;
    mnl_attr_for_each(a, &q->h, sizeof(struct rtmsg))
    {
        if (mnl_attr_get_type(a) == RTA_OIF && mnl_attr_get_payload_len(a) == sizeof(index))
            memcpy(mnl_attr_get_payload(a), &index, sizeof(index));
    }
    return 0;
}

static int message(const struct fib_raw *r, uint16_t type, uint16_t flags, union request *q)
{
    void *header;

    _Static_assert(sizeof(struct rtmsg) == sizeof(struct fib_rule_hdr), "one header for both");
    _Static_assert(FIB_RAW_MAX + NLMSG_HDRLEN <= REQUEST_MAX, "it fits into a request");
    if (!is_whole(r))
        return -EINVAL;
    header = request_start(q, type, flags, sizeof(struct rtmsg));
    memcpy(header, r->data, r->len);
    q->h.nlmsg_len = (uint32_t)(NLMSG_HDRLEN + r->len);
    return r->rule ? 0 : set_index(r, q);
}

int fib_raw_add(struct netlink *nl, const struct fib_raw *r)
{
    union request q;
    int rv = message(r, r->rule ? RTM_NEWRULE : RTM_NEWROUTE,
                     r->rule ? NLM_F_CREATE | NLM_F_EXCL : NLM_F_CREATE, &q);

    return rv ? rv : request_command(nl, &q);
}

int fib_raw_del(struct netlink *nl, const struct fib_raw *r)
{
    union request q;
    int rv = message(r, r->rule ? RTM_DELRULE : RTM_DELROUTE, 0, &q);

    return rv ? rv : request_command(nl, &q);
}

bool fib_raw_same(const struct fib_raw *a, const struct fib_raw *b)
{
    union request qa, qb;

    return a->rule == b->rule && a->len == b->len && !strcmp(a->name, b->name) &&
           !message(a, RTM_NEWRULE, 0, &qa) && !message(b, RTM_NEWRULE, 0, &qb) &&
           !memcmp(qa.b + NLMSG_HDRLEN, qb.b + NLMSG_HDRLEN, a->len);
}

/* --- telling --------------------------------------------------------------------------- */

int fib_raw_parse(const struct fib_raw *r, fib_rule_cb *on_rule, fib_route_cb *on_route, void *user)
{
    struct fib_rule rule;
    union request q;
    int rv = message(r, r->rule ? RTM_NEWRULE : RTM_NEWROUTE, 0, &q);

    if (rv)
        return rv;
    if (!r->rule)
        return fib_parse_route(&q.h, on_route, user) ? -EINVAL : 0;
    if (fib_parse_rule(&q.h, &rule))
        return -EINVAL;
    on_rule(user, &rule);
    return 0;
}

struct teller {
    const struct fib_raw *r;
    char *buf;
};

static void tell_route(void *user, const struct fib_route *route)
{
    struct teller *t = user;

    fib_route_str(route, *t->r->name ? t->r->name : "of several", t->buf);
}

const char *fib_raw_str(const struct fib_raw *r, char buf[static FIB_TEXT_MAX])
{
    struct teller t = {r, buf};
    struct fib_rule rule;
    union request q;

    snprintf(buf, FIB_TEXT_MAX, "%s", r->rule ? "a rule" : "a route");
    if (!is_whole(r))
        return buf;
    memcpy(request_start(&q, r->rule ? RTM_NEWRULE : RTM_NEWROUTE, 0, sizeof(struct rtmsg)),
           r->data, r->len);
    q.h.nlmsg_len = (uint32_t)(NLMSG_HDRLEN + r->len);
    if (!r->rule)
        fib_parse_route(&q.h, tell_route, &t);
    else if (!fib_parse_rule(&q.h, &rule))
        fib_rule_str(&rule, buf);
    return buf;
}
