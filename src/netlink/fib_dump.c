#include "netlink/fib_dump.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>

#include "netlink/request.h"

struct dump {
    uint16_t request, message; /* types */
    uint8_t family, protocol;  /* family as of the kernel */
    uint32_t table;
    fib_dump_cb *cb;
    void *user;
};

static int on_message(const struct nlmsghdr *h, void *user)
{
    const struct dump *d = user;

    if (h->nlmsg_type == d->message)
        d->cb(d->user, h);
    return MNL_CB_OK;
}

/* The headers of links, rules and routes all begin with the family. */
static int ask(struct netlink *nl, struct dump *d)
{
    union request q;

    if (d->request == RTM_GETROUTE) {
        struct rtmsg *rt = request_start(&q, d->request, NLM_F_DUMP, sizeof(*rt));

        rt->rtm_family = d->family;
        rt->rtm_protocol = d->protocol;
        if (d->table)
            mnl_attr_put_u32(&q.h, RTA_TABLE, d->table);
    } else if (d->request == RTM_GETRULE) {
        struct fib_rule_hdr *rule = request_start(&q, d->request, NLM_F_DUMP, sizeof(*rule));

        rule->family = d->family;
    } else {
        request_start(&q, d->request, NLM_F_DUMP, sizeof(struct ifinfomsg));
    }
    return request_exchange(nl, &q, on_message, d);
}

/* No such table yet, or a kernel without that family. */
static bool is_nothing(int rv)
{
    return rv == -ENOENT || rv == -EAFNOSUPPORT || rv == -EOPNOTSUPP;
}

/* The n families, anew as often as the tables change on the way. */
static int run(struct netlink *nl, struct dump *d, const uint8_t *families, unsigned n)
{
    int rv = -EINTR;

    for (unsigned try = 0; try < REQUEST_DUMP_TRIES && rv == -EINTR; try++) {
        if (try)
            d->cb(d->user, NULL);
        rv = 0;
        for (unsigned i = 0; i < n && !rv; i++) {
            d->family = families[i];
            rv = ask(nl, d);
            if (is_nothing(rv))
                rv = 0;
        }
    }
    return rv;
}

int fib_dump_links(struct netlink *nl, fib_dump_cb *cb, void *user)
{
    struct dump d = {.request = RTM_GETLINK, .message = RTM_NEWLINK, .cb = cb, .user = user};

    return run(nl, &d, (const uint8_t[]){AF_UNSPEC}, 1);
}

int fib_dump_rules(struct netlink *nl, fib_dump_cb *cb, void *user)
{
    struct dump d = {.request = RTM_GETRULE, .message = RTM_NEWRULE, .cb = cb, .user = user};

    return run(nl, &d, (const uint8_t[]){AF_INET, AF_INET6}, 2);
}

int fib_dump_routes(struct netlink *nl, uint8_t family, uint32_t table, uint8_t protocol,
                    fib_dump_cb *cb, void *user)
{
    struct dump d = {.request = RTM_GETROUTE,
                     .message = RTM_NEWROUTE,
                     .table = table,
                     .protocol = protocol,
                     .cb = cb,
                     .user = user};

    return run(nl, &d, (const uint8_t[]){family == 4 ? AF_INET : AF_INET6}, 1);
}
