#include "netlink/fib.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "netlink/fib_dump.h"
#include "netlink/parse.h"
#include "netlink/request.h"

/* --- comparing and telling ------------------------------------------------------------- */

bool fib_route_equal(const struct fib_route *a, const struct fib_route *b)
{
    return ip_prefix_equal(&a->dst, &b->dst) && a->table == b->table && a->metric == b->metric &&
           a->type == b->type && a->index == b->index && ip_addr_equal(&a->via, &b->via) &&
           a->onlink == b->onlink && a->several == b->several && a->protocol == b->protocol;
}

static bool prefix_equal_or_none(const struct ip_prefix *a, const struct ip_prefix *b)
{
    return a->addr.family == b->addr.family && (!a->addr.family || ip_prefix_equal(a, b));
}

bool fib_rule_equal(const struct fib_rule *a, const struct fib_rule *b)
{
    return a->family == b->family && a->priority == b->priority && !strcmp(a->iif, b->iif) &&
           !strcmp(a->oif, b->oif) && prefix_equal_or_none(&a->from, &b->from) &&
           prefix_equal_or_none(&a->to, &b->to) && a->mark == b->mark && a->mask == b->mask &&
           a->action == b->action && a->table == b->table && a->near_only == b->near_only &&
           a->more == b->more && a->protocol == b->protocol;
}

const char *fib_route_str(const struct fib_route *r, const char *name,
                          char buf[static FIB_TEXT_MAX])
{
    static const char *const types[FIB_TYPE_COUNT] = {"", "blackhole ", "unreachable ", "other "};
    char dst[IP_PREFIX_STR_MAX], via[IP_ADDR_STR_MAX], hop[2 * IP_ADDR_STR_MAX] = "",
                                                               metric[32] = "";

    if (r->type == FIB_TYPE_UNICAST)
        snprintf(hop, sizeof(hop), "%s%s dev %s%s", r->via.family ? " via " : "",
                 r->via.family ? ip_addr_str(&r->via, via) : "", name, r->onlink ? " onlink" : "");
    if (r->metric)
        snprintf(metric, sizeof(metric), " metric %u", r->metric);
    snprintf(buf, FIB_TEXT_MAX, "-%u %s%s%s table %u%s", r->dst.addr.family, types[r->type],
             r->dst.len ? ip_prefix_str(&r->dst, dst) : "default", hop, r->table, metric);
    return buf;
}

const char *fib_rule_str(const struct fib_rule *r, char buf[static FIB_TEXT_MAX])
{
    static const char *const actions[FIB_ACTION_COUNT] = {"lookup", "blackhole", "unreachable",
                                                          "other"};
    char from[IP_PREFIX_STR_MAX + 8] = "", to[IP_PREFIX_STR_MAX + 8] = "", text[IP_PREFIX_STR_MAX];
    char mark[32] = "", table[16] = "";

    if (r->from.addr.family)
        snprintf(from, sizeof(from), " from %s", ip_prefix_str(&r->from, text));
    if (r->to.addr.family)
        snprintf(to, sizeof(to), " to %s", ip_prefix_str(&r->to, text));
    if (r->mask)
        snprintf(mark, sizeof(mark), " fwmark 0x%x/0x%x", r->mark, r->mask);
    if (r->action == FIB_ACTION_TABLE)
        snprintf(table, sizeof(table), " %u", r->table);
    snprintf(buf, FIB_TEXT_MAX, "-%u priority %u%s%s%s%s%s%s%s %s%s%s", r->family, r->priority,
             from, to, *r->iif ? " iif " : "", r->iif, *r->oif ? " oif " : "", r->oif, mark,
             actions[r->action], table, r->near_only ? " suppress_prefixlength 0" : "");
    return buf;
}

/* --- changing -------------------------------------------------------------------------- */

static uint8_t rtn_of(enum fib_type type)
{
    return type == FIB_TYPE_BLACKHOLE     ? RTN_BLACKHOLE
           : type == FIB_TYPE_UNREACHABLE ? RTN_UNREACHABLE
                                          : RTN_UNICAST;
}

static int route_request(union request *q, uint16_t type, uint16_t flags, const struct fib_route *r)
{
    struct ip_prefix dst;
    struct rtmsg *rt;

    if (!request_prefix_is_valid(&r->dst) || !r->table || r->type >= FIB_TYPE_OTHER || r->several)
        return -EINVAL;
    if (r->type == FIB_TYPE_UNICAST && r->index <= 0)
        return -ENODEV;
    if (r->via.family && r->via.family != r->dst.addr.family)
        return -EAFNOSUPPORT;
    dst = ip_prefix_network(&r->dst);
    rt = request_start(q, type, flags, sizeof(*rt));
    rt->rtm_family = request_family(&dst.addr);
    rt->rtm_dst_len = dst.len;
    rt->rtm_table = r->table < 256 ? (uint8_t)r->table : (uint8_t)RT_TABLE_UNSPEC;
    rt->rtm_protocol = FIB_PROTOCOL;
    rt->rtm_type = rtn_of(r->type);
    rt->rtm_scope = RT_SCOPE_UNIVERSE;
    if (type == RTM_DELROUTE)
        rt->rtm_scope = RT_SCOPE_NOWHERE; /* any */
    else if (dst.addr.family == 4 && r->type == FIB_TYPE_UNICAST && !r->via.family)
        rt->rtm_scope = RT_SCOPE_LINK;
    if (r->onlink)
        rt->rtm_flags |= RTNH_F_ONLINK;
    if (dst.len)
        request_put_ip(q, RTA_DST, &dst.addr);
    mnl_attr_put_u32(&q->h, RTA_TABLE, r->table);
    if (r->metric)
        mnl_attr_put_u32(&q->h, RTA_PRIORITY, r->metric);
    if (r->type == FIB_TYPE_UNICAST)
        mnl_attr_put_u32(&q->h, RTA_OIF, (uint32_t)r->index);
    if (r->via.family)
        request_put_ip(q, RTA_GATEWAY, &r->via);
    return 0;
}

int fib_route_add(struct netlink *nl, const struct fib_route *r)
{
    union request q;
    /* Neither EXCL nor REPLACE: the kernel puts it beside what is there. */
    int rv = route_request(&q, RTM_NEWROUTE, NLM_F_CREATE, r);

    return rv ? rv : request_command(nl, &q);
}

int fib_route_del(struct netlink *nl, const struct fib_route *r)
{
    union request q;
    int rv = route_request(&q, RTM_DELROUTE, 0, r);

    return rv ? rv : request_command(nl, &q);
}

static void put_prefix(union request *q, uint16_t type, const struct ip_prefix *p, uint8_t *ret_len)
{
    if (!p->addr.family)
        return;
    *ret_len = p->len;
    request_put_ip(q, type, &p->addr);
}

static int rule_request(union request *q, uint16_t type, uint16_t flags, const struct fib_rule *r)
{
    static const uint8_t actions[FIB_ACTION_COUNT] = {FR_ACT_TO_TBL, FR_ACT_BLACKHOLE,
                                                      FR_ACT_UNREACHABLE, FR_ACT_UNSPEC};
    struct fib_rule_hdr *rule;

    if ((r->family != 4 && r->family != 6) || r->action >= FIB_ACTION_OTHER || r->more ||
        (r->from.addr.family && r->from.addr.family != r->family) ||
        (r->to.addr.family && r->to.addr.family != r->family))
        return -EINVAL;
    rule = request_start(q, type, flags, sizeof(*rule));
    rule->family = r->family == 4 ? AF_INET : AF_INET6;
    rule->action = actions[r->action];
    put_prefix(q, FRA_SRC, &r->from, &rule->src_len);
    put_prefix(q, FRA_DST, &r->to, &rule->dst_len);
    mnl_attr_put_u32(&q->h, FRA_PRIORITY, r->priority);
    if (*r->iif)
        mnl_attr_put_strz(&q->h, FRA_IIFNAME, r->iif);
    if (*r->oif)
        mnl_attr_put_strz(&q->h, FRA_OIFNAME, r->oif);
    if (r->mask) {
        mnl_attr_put_u32(&q->h, FRA_FWMARK, r->mark);
        mnl_attr_put_u32(&q->h, FRA_FWMASK, r->mask);
    }
    if (r->action == FIB_ACTION_TABLE) {
        rule->table = r->table < 256 ? (uint8_t)r->table : (uint8_t)RT_TABLE_UNSPEC;
        mnl_attr_put_u32(&q->h, FRA_TABLE, r->table);
    }
    if (r->near_only)
        mnl_attr_put_u32(&q->h, FRA_SUPPRESS_PREFIXLEN, 0);
    mnl_attr_put_u8(&q->h, FRA_PROTOCOL, FIB_PROTOCOL);
    return 0;
}

int fib_rule_add(struct netlink *nl, const struct fib_rule *r)
{
    union request q;
    int rv = rule_request(&q, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, r);

    return rv ? rv : request_command(nl, &q);
}

int fib_rule_del(struct netlink *nl, const struct fib_rule *r)
{
    union request q;
    int rv = rule_request(&q, RTM_DELRULE, 0, r);

    return rv ? rv : request_command(nl, &q);
}

/* --- reading --------------------------------------------------------------------------- */

struct walk {
    uint8_t family, protocol;
    uint32_t table;
    fib_route_cb *on_route;
    fib_rule_cb *on_rule;
    fib_link_cb *on_link;
    void *user;
    bool bad;
};

static void filter_route(void *user, const struct fib_route *r)
{
    struct walk *w = user;

    /* A kernel without strict checking hands out everything. */
    if ((!w->table || r->table == w->table) && (!w->protocol || r->protocol == w->protocol) &&
        r->dst.addr.family == w->family)
        w->on_route(w->user, r);
}

static void on_route(void *user, const void *message)
{
    struct walk *w = user;

    if (!message)
        w->on_route(w->user, NULL);
    else
        w->bad |= fib_parse_route(message, filter_route, w) == -EBADMSG;
}

static void on_rule(void *user, const void *message)
{
    struct walk *w = user;
    struct fib_rule r;
    int rv = message ? fib_parse_rule(message, &r) : 0;

    w->bad |= rv == -EBADMSG;
    if (!rv)
        w->on_rule(w->user, message ? &r : NULL);
}

static void on_link(void *user, const void *message)
{
    struct walk *w = user;
    struct netlink_link l;
    int rv = message ? parse_link(message, &l) : 0;

    w->bad |= rv == -EBADMSG;
    if (!rv)
        w->on_link(w->user, message ? &l : NULL);
}

static int done(const struct walk *w, int rv)
{
    return !rv && w->bad ? -EBADMSG : rv;
}

int fib_route_each(struct netlink *nl, uint8_t family, uint32_t table, uint8_t protocol,
                   fib_route_cb *cb, void *user)
{
    struct walk w = {
        .family = family, .table = table, .protocol = protocol, .on_route = cb, .user = user};
    int rv = fib_dump_routes(nl, family, table, protocol, on_route, &w);

    return done(&w, rv);
}

int fib_rule_each(struct netlink *nl, fib_rule_cb *cb, void *user)
{
    struct walk w = {.on_rule = cb, .user = user};
    int rv = fib_dump_rules(nl, on_rule, &w);

    return done(&w, rv);
}

int fib_link_each(struct netlink *nl, fib_link_cb *cb, void *user)
{
    struct walk w = {.on_link = cb, .user = user};
    int rv = fib_dump_links(nl, on_link, &w);

    return done(&w, rv);
}
