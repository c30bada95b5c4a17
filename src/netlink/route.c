#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
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

struct netlink_route_walk {
    struct netlink *nl; /* its own: other requests may be made meanwhile */
    int index;
    bool v6, asked; /* the family that is being read, and whether it was asked for */
    unsigned tries;
    netlink_route_cb *cb; /* of the call at work */
    void *user;
};

static int on_route(const struct nlmsghdr *h, void *user)
{
    struct netlink_route_walk *w = user;
    struct netlink_route r;

    if (h->nlmsg_type == RTM_NEWROUTE && parse_route(h, &r) == 0 && r.index == w->index)
        w->cb(w->user, &r);
    return MNL_CB_OK;
}

/* With filters that a strict kernel applies, so that a full Internet table stays there. */
static void walk_request(union request *q, const struct netlink_route_walk *w)
{
    struct rtmsg *rt = request_start(q, RTM_GETROUTE, NLM_F_DUMP, sizeof(*rt));

    rt->rtm_family = w->v6 ? AF_INET6 : AF_INET;
    rt->rtm_protocol = NETLINK_RTPROT;
    mnl_attr_put_u32(&q->h, RTA_OIF, (uint32_t)w->index);
}

int netlink_route_walk_new(int index, struct netlink_route_walk **ret)
{
    struct netlink_route_walk *w = calloc(1, sizeof(*w));
    int r = w ? netlink_open(&w->nl) : -ENOMEM;

    if (r) {
        free(w);
        return r;
    }
    w->index = index;
    *ret = w;
    return 0;
}

void netlink_route_walk_free(struct netlink_route_walk *w)
{
    if (w)
        netlink_close(w->nl);
    free(w);
}

/* The tables have changed meanwhile. */
static int walk_anew(struct netlink_route_walk *w)
{
    if (++w->tries >= REQUEST_DUMP_TRIES)
        return -EINTR;
    w->v6 = w->asked = false;
    w->cb(w->user, NULL);
    return 1;
}

int netlink_route_walk_next(struct netlink_route_walk *w, netlink_route_cb *cb, void *user)
{
    union request q;
    int r;

    w->cb = cb;
    w->user = user;
    if (!w->asked) {
        walk_request(&q, w);
        r = request_send(w->nl, &q);
        if (r)
            return r;
        w->asked = true;
    }
    r = request_receive(w->nl, on_route, w);
    if (r == -EINTR)
        return walk_anew(w);
    if (r || w->v6)
        return r;
    w->v6 = true;
    w->asked = false;
    return 1;
}

struct route_search {
    struct netlink_route want;
    bool found;
};

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

enum { ROUTE_MESSAGE_MAX = 128 };

int netlink_route_batch(struct netlink *nl, bool add, const struct netlink_route *v, unsigned n,
                        int *ret_err)
{
    union {
        struct nlmsghdr align;
        uint8_t b[NETLINK_BATCH_MAX * ROUTE_MESSAGE_MAX];
    } out;
    unsigned at[NETLINK_BATCH_MAX], sent = 0;
    int err[NETLINK_BATCH_MAX];
    size_t len = 0;
    union request q;
    int r = 0;

    if (n > NETLINK_BATCH_MAX)
        return -EINVAL;
    for (unsigned i = 0; i < n; i++) {
        ret_err[i] = route_check(&v[i]);
        if (ret_err[i])
            continue;
        route_request(&q, add ? RTM_NEWROUTE : RTM_DELROUTE, add ? NLM_F_CREATE | NLM_F_EXCL : 0,
                      &v[i]);
        memcpy(out.b + len, q.b, q.h.nlmsg_len);
        len += NLMSG_ALIGN(q.h.nlmsg_len);
        at[sent++] = i;
    }
    if (sent)
        r = request_batch(nl, out.b, len, sent, err);
    for (unsigned i = 0; i < sent && !r; i++)
        ret_err[at[i]] = err[i];
    return r;
}
