/* Rules: which tables packets look into. */
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>

#include "netlink/parse.h"
#include "netlink/request.h"

static struct fib_rule_hdr *rule_request(union request *q, uint16_t type, uint16_t flags,
                                         const struct ip_addr *src, uint32_t priority)
{
    struct fib_rule_hdr *rule = request_start(q, type, flags, sizeof(*rule));

    rule->family = request_family(src);
    rule->src_len = (uint8_t)ip_addr_bits(src);
    request_put_ip(q, FRA_SRC, src);
    mnl_attr_put_u32(&q->h, FRA_PRIORITY, priority);
    mnl_attr_put_strz(&q->h, FRA_IIFNAME, "lo");
    mnl_attr_put_u8(&q->h, FRA_PROTOCOL, NETLINK_RTPROT);
    return rule;
}

int netlink_rule_add(struct netlink *nl, const struct netlink_rule *r)
{
    uint32_t table = r->kind == NETLINK_RULE_NEAR ? (uint32_t)RT_TABLE_MAIN : r->table;
    struct fib_rule_hdr *rule;
    union request q;

    if (!ip_addr_bits(&r->src) || r->kind >= NETLINK_RULE_OTHER)
        return -EINVAL;
    rule = rule_request(&q, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, &r->src, r->priority);
    rule->action = r->kind == NETLINK_RULE_END ? FR_ACT_UNREACHABLE : FR_ACT_TO_TBL;
    if (r->kind != NETLINK_RULE_END) {
        rule->table = table < 256 ? (uint8_t)table : (uint8_t)RT_TABLE_UNSPEC;
        mnl_attr_put_u32(&q.h, FRA_TABLE, table);
    }
    if (r->kind == NETLINK_RULE_NEAR)
        mnl_attr_put_u32(&q.h, FRA_SUPPRESS_PREFIXLEN, 0);
    return request_command(nl, &q);
}

int netlink_rule_del(struct netlink *nl, const struct ip_addr *src, uint32_t priority)
{
    union request q;

    if (!ip_addr_bits(src))
        return -EINVAL;
    rule_request(&q, RTM_DELRULE, 0, src, priority);
    return request_command(nl, &q);
}

/* --- what is there --------------------------------------------------------------------- */

struct rule_walk {
    netlink_rule_cb *cb;
    void *user;
};

static int on_rule(const struct nlmsghdr *h, void *user)
{
    struct rule_walk *w = user;
    struct netlink_rule r;

    if (h->nlmsg_type == RTM_NEWRULE && !parse_rule(h, &r))
        w->cb(w->user, &r);
    return MNL_CB_OK;
}

int netlink_rule_each(struct netlink *nl, netlink_rule_cb *cb, void *user)
{
    static const uint8_t families[] = {AF_INET, AF_INET6};
    struct rule_walk w = {cb, user};
    int rv = 0;

    for (unsigned i = 0; i < 2 && !rv; i++) {
        union request q;
        struct fib_rule_hdr *rule = request_start(&q, RTM_GETRULE, NLM_F_DUMP, sizeof(*rule));

        rule->family = families[i];
        rv = request_exchange(nl, &q, on_rule, &w);
        if (rv == -EAFNOSUPPORT || rv == -EOPNOTSUPP) /* a kernel without that family, or rules */
            rv = 0;
    }
    return rv;
}
