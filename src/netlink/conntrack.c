#include "netlink/conntrack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "netlink/request.h"

/* One to read, one to delete meanwhile: a dump keeps its socket. */
struct conntrack {
    struct netlink *dump, *change;
};

int conntrack_open(struct conntrack **ret)
{
    struct conntrack *ct = calloc(1, sizeof(*ct));
    int rv = ct ? request_open(NETLINK_NETFILTER, &ct->dump) : -ENOMEM;

    if (!rv)
        rv = request_open(NETLINK_NETFILTER, &ct->change);
    if (rv) {
        conntrack_close(ct);
        return rv;
    }
    *ret = ct;
    return 0;
}

void conntrack_close(struct conntrack *ct)
{
    if (!ct)
        return;
    netlink_close(ct->dump);
    netlink_close(ct->change);
    free(ct);
}

/* --- which ----------------------------------------------------------------------------- */

struct conntrack_tuple conntrack_tuple_turned(const struct conntrack_tuple *t)
{
    struct conntrack_tuple r = *t;

    r.src = t->dst;
    r.dst = t->src;
    r.src_port = t->dst_port;
    r.dst_port = t->src_port;
    return r;
}

static bool is_within(const struct ip_prefix *p, const struct ip_addr *a)
{
    return !p->addr.family || ip_prefix_contains(p, a);
}

bool conntrack_matches(const struct conntrack_filter *f, const struct conntrack_entry *e)
{
    return (!f->family || f->family == e->orig.src.family) &&
           (!f->protocol || f->protocol == e->orig.protocol) &&
           !((e->mark ^ f->mark) & f->mark_mask) && !((e->status ^ f->status) & f->status_mask) &&
           is_within(&f->orig_src, &e->orig.src) && is_within(&f->orig_dst, &e->orig.dst) &&
           is_within(&f->reply_src, &e->reply.src) && is_within(&f->reply_dst, &e->reply.dst) &&
           (!f->also || f->also(f->user, e));
}

/* --- reading --------------------------------------------------------------------------- */

static void begin(union request *q, uint16_t type, uint16_t flags, uint8_t family)
{
    struct nfgenmsg *nfg =
        request_start(q, (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type), flags, sizeof(*nfg));

    nfg->nfgen_family = family == 4 ? AF_INET : family == 6 ? AF_INET6 : AF_UNSPEC;
    nfg->version = NFNETLINK_V0;
}

struct walk {
    const struct conntrack_filter *f;
    conntrack_cb *cb;
    void *user;
    bool bad;
};

static int on_entry(const struct nlmsghdr *h, void *user)
{
    struct walk *w = user;
    struct conntrack_entry e;
    int rv = conntrack_parse(h, &e);

    w->bad |= rv == -EBADMSG;
    if (!rv && conntrack_matches(w->f, &e))
        w->cb(w->user, &e);
    return MNL_CB_OK;
}

int conntrack_each(struct conntrack *ct, const struct conntrack_filter *f, conntrack_cb *cb,
                   void *user)
{
    static const struct conntrack_filter all;
    struct walk w = {.f = f ? f : &all, .cb = cb, .user = user};
    union request q;
    int rv;

    begin(&q, IPCTNL_MSG_CT_GET, NLM_F_DUMP, w.f->family);
    if (w.f->mark_mask) { /* what the kernel can leave out itself */
        mnl_attr_put_u32(&q.h, CTA_MARK, htonl(w.f->mark & w.f->mark_mask));
        mnl_attr_put_u32(&q.h, CTA_MARK_MASK, htonl(w.f->mark_mask));
    }
    rv = request_exchange(ct->dump, &q, on_entry, &w);
    return !rv && w.bad ? -EBADMSG : rv;
}

/* --- deleting -------------------------------------------------------------------------- */

static void put_be16(union request *q, uint16_t type, uint16_t value)
{
    mnl_attr_put_u16(&q->h, type, htons(value));
}

static void put_proto(union request *q, const struct conntrack_tuple *t)
{
    struct nlattr *nest = mnl_attr_nest_start(&q->h, CTA_TUPLE_PROTO);
    bool v6 = t->protocol == IPPROTO_ICMPV6;

    mnl_attr_put_u8(&q->h, CTA_PROTO_NUM, t->protocol);
    if (v6 || t->protocol == IPPROTO_ICMP) {
        put_be16(q, v6 ? CTA_PROTO_ICMPV6_ID : CTA_PROTO_ICMP_ID, t->icmp_id);
        mnl_attr_put_u8(&q->h, v6 ? CTA_PROTO_ICMPV6_TYPE : CTA_PROTO_ICMP_TYPE, t->icmp_type);
        mnl_attr_put_u8(&q->h, v6 ? CTA_PROTO_ICMPV6_CODE : CTA_PROTO_ICMP_CODE, t->icmp_code);
    } else {
        put_be16(q, CTA_PROTO_SRC_PORT, t->src_port);
        put_be16(q, CTA_PROTO_DST_PORT, t->dst_port);
    }
    mnl_attr_nest_end(&q->h, nest);
}

static void build_delete(union request *q, const struct conntrack_entry *e)
{
    const struct conntrack_tuple *t = &e->orig;
    bool v4 = t->src.family == 4;
    struct nlattr *tuple, *nest;

    begin(q, IPCTNL_MSG_CT_DELETE, NLM_F_ACK, t->src.family);
    tuple = mnl_attr_nest_start(&q->h, CTA_TUPLE_ORIG);
    nest = mnl_attr_nest_start(&q->h, CTA_TUPLE_IP);
    request_put_ip(q, v4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, &t->src);
    request_put_ip(q, v4 ? CTA_IP_V4_DST : CTA_IP_V6_DST, &t->dst);
    mnl_attr_nest_end(&q->h, nest);
    put_proto(q, t);
    if (e->zone_of_orig)
        put_be16(q, CTA_TUPLE_ZONE, e->zone);
    mnl_attr_nest_end(&q->h, tuple);
    if (e->zone && !e->zone_of_orig)
        put_be16(q, CTA_ZONE, e->zone);
    mnl_attr_put_u32(&q->h, CTA_ID, htonl(e->id));
}

int conntrack_delete(struct conntrack *ct, const struct conntrack_entry *e)
{
    union request q;

    if (!ip_addr_bits(&e->orig.src) || e->orig.src.family != e->orig.dst.family)
        return -EINVAL;
    build_delete(&q, e);
    return request_command(ct->change, &q);
}

enum { BATCH_MAX = 64, BATCH_BYTES = BATCH_MAX * 192 };

struct flush {
    struct conntrack *ct;
    unsigned n_deleted;
    int error; /* the first one */
    unsigned n;
    size_t len;
    union {
        struct nlmsghdr align;
        uint8_t b[BATCH_BYTES];
    } messages;
};

static void send_batch(struct flush *f)
{
    int err[BATCH_MAX] = {0}, rv;

    if (!f->n)
        return;
    rv = request_batch(f->ct->change, f->messages.b, f->len, f->n, err);
    for (unsigned i = 0; i < f->n && !rv; i++) {
        f->n_deleted += !err[i];
        if (err[i] && err[i] != -ENOENT && !f->error) /* one that ended by itself */
            f->error = err[i];
    }
    if (rv && !f->error)
        f->error = rv;
    f->n = 0;
    f->len = 0;
}

static void collect_for_flush(void *user, const struct conntrack_entry *e)
{
    struct flush *f = user;
    union request q;

    build_delete(&q, e);
    if (f->n == BATCH_MAX || f->len + NLMSG_ALIGN(q.h.nlmsg_len) > BATCH_BYTES)
        send_batch(f);
    memcpy(f->messages.b + f->len, &q, q.h.nlmsg_len);
    f->len += NLMSG_ALIGN(q.h.nlmsg_len);
    f->n++;
}

int conntrack_flush(struct conntrack *ct, const struct conntrack_filter *f, unsigned *ret_n)
{
    struct flush work = {.ct = ct};
    int rv = conntrack_each(ct, f, collect_for_flush, &work);

    send_batch(&work);
    if (ret_n)
        *ret_n = work.n_deleted;
    return work.error ? work.error : rv;
}
