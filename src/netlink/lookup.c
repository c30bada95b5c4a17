/* What the kernel itself makes of a packet. */
#include <errno.h>
#include <linux/rtnetlink.h>

#include "netlink/fib.h"
#include "netlink/parse.h"
#include "netlink/request.h"

static int on_answer(const struct nlmsghdr *h, void *user)
{
    const struct rtmsg *rt = mnl_nlmsg_get_payload(h);
    struct fib_answer *a = user;
    struct netlink_route r;

    if (h->nlmsg_type != RTM_NEWROUTE || parse_any_route(h, &r))
        return MNL_CB_STOP;
    a->type = rt->rtm_type == RTN_UNICAST       ? FIB_TYPE_UNICAST
              : rt->rtm_type == RTN_BLACKHOLE   ? FIB_TYPE_BLACKHOLE
              : rt->rtm_type == RTN_UNREACHABLE ? FIB_TYPE_UNREACHABLE
                                                : FIB_TYPE_OTHER;
    a->here =
        rt->rtm_type == RTN_LOCAL || rt->rtm_type == RTN_BROADCAST || rt->rtm_type == RTN_ANYCAST;
    a->index = a->type == FIB_TYPE_UNICAST ? r.index : 0;
    a->table = r.table;
    a->via = r.via;
    return MNL_CB_STOP; /* there is no more than this one */
}

int fib_lookup(struct netlink *nl, const struct fib_question *question, struct fib_answer *ret)
{
    union request q;
    struct rtmsg *rt = request_start(&q, RTM_GETROUTE, 0, sizeof(*rt));
    struct fib_answer a = {.type = FIB_TYPE_COUNT};
    int rv;

    if (!ip_addr_bits(&question->dst) ||
        (question->src.family && question->src.family != question->dst.family))
        return -EINVAL;
    rt->rtm_family = request_family(&question->dst);
    if (question->dst.family == 4)
        rt->rtm_flags = RTM_F_LOOKUP_TABLE; /* IPv6 tells the table without being asked */
    rt->rtm_dst_len = (uint8_t)ip_addr_bits(&question->dst);
    request_put_ip(&q, RTA_DST, &question->dst);
    if (question->src.family) {
        rt->rtm_src_len = rt->rtm_dst_len;
        request_put_ip(&q, RTA_SRC, &question->src);
    }
    if (question->iif)
        mnl_attr_put_u32(&q.h, RTA_IIF, (uint32_t)question->iif);
    if (question->oif)
        mnl_attr_put_u32(&q.h, RTA_OIF, (uint32_t)question->oif);
    if (question->mark)
        mnl_attr_put_u32(&q.h, RTA_MARK, question->mark);
    rv = request_exchange(nl, &q, on_answer, &a);
    if (rv || a.type == FIB_TYPE_COUNT)
        return rv ? rv : -EBADMSG;
    *ret = a;
    return 0;
}
