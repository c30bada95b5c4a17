/* Kernel messages: any bytes, as links, addresses, routes and connections. What is accepted is in
 * its bounds. */
#include <stdlib.h>

#include "base/util.h"
#include "netlink/conntrack.h"
#include "netlink/fib.h"
#include "netlink/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void on_route(void *user, const struct fib_route *r)
{
    check(r->dst.len <= ip_addr_bits(&r->dst.addr));
    check((unsigned)r->type < FIB_TYPE_COUNT && (r->type == FIB_TYPE_UNICAST || !r->via.family));
}

static void check_prefix(const struct ip_prefix *p, uint8_t family)
{
    check(!p->addr.family || (p->addr.family == family && p->len <= ip_addr_bits(&p->addr)));
}

static void parse_fib(const struct nlmsghdr *h)
{
    char text[FIB_TEXT_MAX];
    struct fib_rule r;

    fib_parse_route(h, on_route, NULL);
    if (fib_parse_rule(h, &r))
        return;
    check(memchr(r.iif, 0, sizeof(r.iif)) && memchr(r.oif, 0, sizeof(r.oif)));
    check_prefix(&r.from, r.family);
    check_prefix(&r.to, r.family);
    check((r.family == 4 || r.family == 6) && (unsigned)r.action < FIB_ACTION_COUNT);
    check(fib_rule_equal(&r, &r));
    fib_rule_str(&r, text);
}

static void parse_connection(const struct nlmsghdr *h)
{
    static const struct conntrack_filter all;
    struct conntrack_entry e;

    if (conntrack_parse(h, &e))
        return;
    check(ip_addr_bits(&e.orig.src) && ip_addr_bits(&e.reply.dst));
    check(e.orig.src.family == e.orig.dst.family && e.orig.src.family == e.reply.src.family);
    check(conntrack_matches(&all, &e));
}

static void parse(const struct nlmsghdr *h)
{
    struct netlink_link link;
    struct netlink_addr addr;
    struct netlink_route route;
    struct netlink_rule rule;
    static const struct ip_addr hops[] = {{.family = 4, .b = {10}}, {.family = 6, .b = {0xfe}}};
    struct ip_addr source;

    parse_fib(h);
    parse_connection(h);
    if (parse_link(h, &link) == 0) {
        check(link.index > 0);
        check(memchr(link.name, 0, sizeof(link.name)));
        check(memchr(link.kind, 0, sizeof(link.kind)));
    }
    if (parse_addr(h, &addr) == 0)
        check(addr.prefix.len <= ip_addr_bits(&addr.prefix.addr));
    if (parse_route_source(h, &source) == 0)
        check(ip_addr_bits(&source));
    for (unsigned i = 0; i < ARRAY_LEN(hops); i++)
        parse_goes_by(h, &hops[i], 7);
    if (parse_rule(h, &rule) == 0)
        check(ip_addr_bits(&rule.src) && rule.kind <= NETLINK_RULE_OTHER &&
              (rule.kind == NETLINK_RULE_TABLE || !rule.table));
    if (parse_route(h, &route) == 0)
        check(route.dst.len <= ip_addr_bits(&route.dst.addr));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* A copy of exactly this size, aligned, so that a read behind the end is seen. */
    uint8_t *copy = size ? malloc(size) : NULL;
    const struct nlmsghdr *h = (const struct nlmsghdr *)(const void *)copy;
    int left = (int)size;

    if (!copy)
        return 0;
    memcpy(copy, data, size);
    while (parse_message_ok(h, left)) {
        parse(h);
        h = mnl_nlmsg_next(h, &left);
    }
    free(copy);
    return 0;
}
