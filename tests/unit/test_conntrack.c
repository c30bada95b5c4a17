/* The table of connections: messages by hand, and the kernel's own in a namespace. */
#include "netlink/conntrack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include "netns.h"
#include <cmocka.h>

#include "base/util.h"
#include "nft/nftable.h"

/* --- messages -------------------------------------------------------------------------- */

union message {
    struct nlmsghdr h;
    uint8_t b[1024];
};

static void begin(union message *m, uint8_t family)
{
    struct nfgenmsg *nfg;

    memset(m, 0, sizeof(*m));
    mnl_nlmsg_put_header(m->b);
    m->h.nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW;
    nfg = mnl_nlmsg_put_extra_header(&m->h, sizeof(*nfg));
    nfg->nfgen_family = family;
}

struct side {
    const char *src, *dst;
    uint8_t protocol;
    uint16_t src_port, dst_port;
    int zone; /* -1: none of its own */
};

static void put_addr(union message *m, int family, uint16_t type, const char *text)
{
    uint8_t b[16];

    assert_int_equal(inet_pton(family, text, b), 1);
    mnl_attr_put(&m->h, type, family == AF_INET ? 4 : 16, b);
}

static void put_side(union message *m, uint16_t type, int family, const struct side *s)
{
    struct nlattr *tuple = mnl_attr_nest_start(&m->h, type), *nest;
    bool v4 = family == AF_INET;

    nest = mnl_attr_nest_start(&m->h, CTA_TUPLE_IP);
    put_addr(m, family, v4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, s->src);
    put_addr(m, family, v4 ? CTA_IP_V4_DST : CTA_IP_V6_DST, s->dst);
    mnl_attr_nest_end(&m->h, nest);
    nest = mnl_attr_nest_start(&m->h, CTA_TUPLE_PROTO);
    mnl_attr_put_u8(&m->h, CTA_PROTO_NUM, s->protocol);
    if (s->protocol == IPPROTO_ICMPV6) {
        mnl_attr_put_u16(&m->h, CTA_PROTO_ICMPV6_ID, htons(s->src_port));
        mnl_attr_put_u8(&m->h, CTA_PROTO_ICMPV6_TYPE, 128);
        mnl_attr_put_u8(&m->h, CTA_PROTO_ICMPV6_CODE, 3);
    } else {
        mnl_attr_put_u16(&m->h, CTA_PROTO_SRC_PORT, htons(s->src_port));
        mnl_attr_put_u16(&m->h, CTA_PROTO_DST_PORT, htons(s->dst_port));
    }
    mnl_attr_nest_end(&m->h, nest);
    if (s->zone >= 0)
        mnl_attr_put_u16(&m->h, CTA_TUPLE_ZONE, htons((uint16_t)s->zone));
    mnl_attr_nest_end(&m->h, tuple);
}

static void put_counts(union message *m, uint16_t type, uint64_t packets, uint64_t bytes)
{
    struct nlattr *nest = mnl_attr_nest_start(&m->h, type);

    mnl_attr_put_u64(&m->h, CTA_COUNTERS_PACKETS, htobe64(packets));
    mnl_attr_put_u64(&m->h, CTA_COUNTERS_BYTES, htobe64(bytes));
    mnl_attr_nest_end(&m->h, nest);
}

static void put_tcp_state(union message *m, uint8_t state)
{
    struct nlattr *info = mnl_attr_nest_start(&m->h, CTA_PROTOINFO), *tcp;

    tcp = mnl_attr_nest_start(&m->h, CTA_PROTOINFO_TCP);
    mnl_attr_put_u8(&m->h, CTA_PROTOINFO_TCP_STATE, state);
    mnl_attr_nest_end(&m->h, tcp);
    mnl_attr_nest_end(&m->h, info);
}

static const struct side out = {"10.250.250.2", "198.51.100.9", IPPROTO_TCP, 40000, 443, -1};
static const struct side back = {"198.51.100.9", "104.57.226.193", IPPROTO_TCP, 443, 1024, -1};

static void parses_a_whole_entry(void **state)
{
    union message m;
    struct conntrack_entry e;
    struct nlattr *nest;
    struct ip_addr a;

    begin(&m, AF_INET);
    put_side(&m, CTA_TUPLE_ORIG, AF_INET, &out);
    put_side(&m, CTA_TUPLE_REPLY, AF_INET, &back);
    mnl_attr_put_u32(&m.h, CTA_STATUS, htonl(0x1ae));
    mnl_attr_put_u32(&m.h, CTA_TIMEOUT, htonl(431999));
    mnl_attr_put_u32(&m.h, CTA_MARK, htonl(0x10000001));
    put_tcp_state(&m, 3);
    put_counts(&m, CTA_COUNTERS_ORIG, 7, 1ull << 40);
    put_counts(&m, CTA_COUNTERS_REPLY, 9, 5000);
    nest = mnl_attr_nest_start(&m.h, CTA_TIMESTAMP);
    mnl_attr_put_u64(&m.h, CTA_TIMESTAMP_START, htobe64(1700000000000000001ull));
    mnl_attr_nest_end(&m.h, nest);
    mnl_attr_put_u32(&m.h, CTA_ID, htonl(0xfedcba98));
    mnl_attr_put_u16(&m.h, CTA_ZONE, htons(7));
    assert_int_equal(conntrack_parse(&m, &e), 0);

    assert_int_equal(ip_addr_parse("10.250.250.2", &a), 0);
    assert_true(ip_addr_equal(&a, &e.orig.src));
    assert_int_equal(ip_addr_parse("104.57.226.193", &a), 0);
    assert_true(ip_addr_equal(&a, &e.reply.dst));
    assert_int_equal(e.orig.protocol, IPPROTO_TCP);
    assert_int_equal(e.orig.src_port, 40000);
    assert_int_equal(e.reply.src_port, 443);
    assert_int_equal(e.reply.dst_port, 1024);
    assert_int_equal(e.status, 0x1ae);
    assert_int_equal(e.timeout_s, 431999);
    assert_int_equal(e.mark, 0x10000001);
    assert_int_equal(e.tcp_state, 3);
    assert_true(e.has_counts);
    assert_int_equal(e.sent.bytes, 1ull << 40);
    assert_int_equal(e.received.packets, 9);
    assert_int_equal(e.began_real_ns, 1700000000000000001ull);
    assert_int_equal(e.id, 0xfedcba98);
    assert_int_equal(e.zone, 7);
    assert_false(e.zone_of_orig);
}

static void parses_what_need_not_be_there(void **state)
{
    static const struct side ping = {"2001:db8::1", "2001:db8::2", IPPROTO_ICMPV6, 77, 0, 9};
    static const struct side pong = {"2001:db8::2", "2001:db8::1", IPPROTO_ICMPV6, 77, 0, -1};
    union message m;
    struct conntrack_entry e;

    begin(&m, AF_INET6);
    put_side(&m, CTA_TUPLE_ORIG, AF_INET6, &ping);
    put_side(&m, CTA_TUPLE_REPLY, AF_INET6, &pong);
    put_counts(&m, CTA_COUNTERS_ORIG, 7, 8);           /* of one direction only */
    mnl_attr_put_u16(&m.h, CTA_MARK, htons(0x1));      /* of the wrong size */
    mnl_attr_put_u32(&m.h, CTA_TIMESTAMP + 40, 12345); /* of a newer kernel */
    assert_int_equal(conntrack_parse(&m, &e), 0);
    assert_int_equal(e.orig.src.family, 6);
    assert_int_equal(e.orig.icmp_id, 77);
    assert_int_equal(e.orig.icmp_type, 128);
    assert_int_equal(e.orig.icmp_code, 3);
    assert_int_equal(e.orig.src_port, 0);
    assert_int_equal(e.mark, 0);
    assert_false(e.has_counts);
    assert_int_equal(e.began_real_ns, 0);
    assert_int_equal(e.zone, 9);
    assert_true(e.zone_of_orig);
}

static void refuses_what_is_not_whole(void **state)
{
    struct conntrack_entry e = {.mark = 4711};
    union message m;

    begin(&m, AF_INET);
    put_side(&m, CTA_TUPLE_ORIG, AF_INET, &out);
    assert_int_equal(conntrack_parse(&m, &e), -EBADMSG); /* no reply */
    put_side(&m, CTA_TUPLE_REPLY, AF_INET, &back);
    assert_int_equal(conntrack_parse(&m, &(struct conntrack_entry){0}), 0);

    m.h.nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE;
    assert_int_equal(conntrack_parse(&m, &e), -ENOMSG);
    begin(&m, AF_BRIDGE);
    assert_int_equal(conntrack_parse(&m, &e), -ENOMSG);
    begin(&m, AF_INET6); /* addresses of the other family */
    put_side(&m, CTA_TUPLE_ORIG, AF_INET, &out);
    put_side(&m, CTA_TUPLE_REPLY, AF_INET, &back);
    assert_int_equal(conntrack_parse(&m, &e), -EBADMSG);
    m.h.nlmsg_len = NLMSG_HDRLEN + 2;
    assert_int_equal(conntrack_parse(&m, &e), -EBADMSG);
    begin(&m, AF_INET);
    put_side(&m, CTA_TUPLE_ORIG, AF_INET, &out);
    put_side(&m, CTA_TUPLE_REPLY, AF_INET, &back);
    m.h.nlmsg_len -= 9; /* an attribute that ends behind the message */
    assert_int_equal(conntrack_parse(&m, &e), -EBADMSG);
    assert_int_equal(e.mark, 4711);
}

static struct ip_prefix prefix(const char *text)
{
    struct ip_prefix p = {0};

    assert_int_equal(ip_prefix_parse(text, &p), 0);
    return p;
}

static bool is_assured(void *user, const struct conntrack_entry *e)
{
    return e->status & CONNTRACK_ASSURED;
}

static void a_filter_is_all_that_is_set(void **state)
{
    struct conntrack_filter f = {0};
    union message m;
    struct conntrack_entry e;

    begin(&m, AF_INET);
    put_side(&m, CTA_TUPLE_ORIG, AF_INET, &out);
    put_side(&m, CTA_TUPLE_REPLY, AF_INET, &back);
    mnl_attr_put_u32(&m.h, CTA_STATUS, htonl(CONNTRACK_SRC_NAT | CONNTRACK_SEEN_REPLY));
    mnl_attr_put_u32(&m.h, CTA_MARK, htonl(0x101));
    assert_int_equal(conntrack_parse(&m, &e), 0);
    assert_true(conntrack_matches(&f, &e));

#define ALTERNATELY(yes, no)                     \
    do {                                         \
        f = (struct conntrack_filter){0};        \
        yes;                                     \
        assert_true(conntrack_matches(&f, &e));  \
        no;                                      \
        assert_false(conntrack_matches(&f, &e)); \
    } while (0)
    ALTERNATELY(f.family = 4, f.family = 6);
    ALTERNATELY(f.protocol = IPPROTO_TCP, f.protocol = IPPROTO_UDP);
    ALTERNATELY((f.mark = 1, f.mark_mask = 0xff), f.mark_mask = 0xfff);
    ALTERNATELY((f.status = CONNTRACK_SRC_NAT, f.status_mask = CONNTRACK_SRC_NAT), f.status = 0);
    ALTERNATELY(f.orig_src = prefix("10.250.250.0/29"), f.orig_src = prefix("10.250.250.8/29"));
    ALTERNATELY(f.orig_dst = prefix("198.51.100.9/32"), f.orig_dst = prefix("2001:db8::/32"));
    ALTERNATELY(f.reply_src = prefix("0.0.0.0/0"), f.reply_src = prefix("::/0"));
    ALTERNATELY(f.reply_dst = prefix("104.57.226.193"), f.reply_dst = prefix("10.250.250.2"));
    ALTERNATELY(f.also = NULL, f.also = is_assured);
#undef ALTERNATELY
}

static void turned_twice_is_the_same(void **state)
{
    struct conntrack_tuple t = {.protocol = IPPROTO_UDP, .src_port = 1, .dst_port = 2}, r;

    t.src = prefix("192.0.2.1").addr;
    t.dst = prefix("192.0.2.2").addr;
    r = conntrack_tuple_turned(&t);
    assert_true(ip_addr_equal(&r.src, &t.dst));
    assert_int_equal(r.src_port, 2);
    r = conntrack_tuple_turned(&r);
    assert_memory_equal(&r, &t, sizeof(t));
}

/* --- the kernel ------------------------------------------------------------------------ */

static struct conntrack *ct;
static struct nftable *nft;

static int open_kernel(void **state)
{
    static const char rules[] = "table inet mpquic_gateway {\n"
                                " chain marks { type filter hook output priority 0;\n"
                                "  udp dport 7000-7099 ct mark set 0x1\n"
                                "  udp dport 7100-7199 ct mark set 0x2\n"
                                " }\n"
                                " chain translated { type nat hook postrouting priority 100;\n"
                                "  udp dport 7100 snat ip to 127.0.0.9\n }\n}\n";
    int rv = conntrack_open(&ct);

    if (!rv)
        rv = nftable_open(&nft);
    if (rv)
        return rv;
    rv = nftable_set(nft, rules);
    if (rv)
        print_error("%s\n", nftable_error(nft));
    return rv;
}

static int close_kernel(void **state)
{
    conntrack_close(ct);
    nftable_close(nft);
    return 0;
}

static void send_to(int family, unsigned port)
{
    struct ip_addr a = prefix(family == AF_INET ? "127.0.0.1" : "::1").addr;
    struct net_addr to = net_addr_make(&a, (uint16_t)port);
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(sendto(fd, "x", 1, 0, &to.sa, to.len), 1);
    close(fd);
}

struct seen {
    unsigned n;
    struct conntrack_entry last;
};

static void on_entry(void *user, const struct conntrack_entry *e)
{
    struct seen *s = user;

    s->n++;
    s->last = *e;
}

static unsigned count(const struct conntrack_filter *f, struct conntrack_entry *ret_last)
{
    struct seen s = {0};

    assert_int_equal(conntrack_each(ct, f, on_entry, &s), 0);
    if (ret_last)
        *ret_last = s.last;
    return s.n;
}

static void the_kernel_tells_its_entries(void **state)
{
    struct conntrack_filter marked = {.mark = 2, .mark_mask = 0xff, .protocol = IPPROTO_UDP};
    struct conntrack_filter v6 = {.family = 6, .protocol = IPPROTO_UDP};
    struct conntrack_entry e;
    struct ip_addr nat = prefix("127.0.0.9").addr;

    assert_int_equal(conntrack_flush(ct, NULL, NULL), 0);
    send_to(AF_INET, 7000);
    send_to(AF_INET, 7100);
    send_to(AF_INET6, 7001);
    assert_int_equal(count(&marked, &e), 1);
    assert_int_equal(e.orig.dst_port, 7100);
    assert_true(ip_addr_equal(&e.reply.dst, &nat));
    assert_true(e.status & CONNTRACK_SRC_NAT);
    assert_true(e.timeout_s > 0);
    assert_int_equal(count(&v6, &e), 1);
    assert_int_equal(e.orig.dst_port, 7001);
    assert_int_equal(e.mark, 1);
    assert_int_equal(e.reply.src_port, 7001);
}

static void one_entry_is_deleted(void **state)
{
    struct conntrack_filter f = {.protocol = IPPROTO_UDP};
    struct conntrack_entry e, other;

    for (int family = AF_INET; family; family = family == AF_INET ? AF_INET6 : 0) {
        assert_int_equal(conntrack_flush(ct, NULL, NULL), 0);
        send_to(family, 7000);
        send_to(family, 7001);
        assert_int_equal(count(&f, &e), 2);
        other = e;
        other.id ^= 1; /* the same flow, but born anew */
        assert_int_equal(conntrack_delete(ct, &other), -ENOENT);
        assert_int_equal(conntrack_delete(ct, &e), 0);
        assert_int_equal(conntrack_delete(ct, &e), -ENOENT);
        assert_int_equal(count(&f, &other), 1);
        assert_int_not_equal(other.orig.dst_port, e.orig.dst_port);
    }
    assert_int_equal(conntrack_delete(ct, &(struct conntrack_entry){0}), -EINVAL);
}

static void a_flush_takes_what_its_filter_says(void **state)
{
    struct conntrack_filter one = {.mark = 1, .mark_mask = 0xff};
    struct conntrack_filter two = {.mark = 2, .mark_mask = 0xff};
    struct conntrack_filter translated = {.reply_dst = prefix("127.0.0.9")};
    unsigned n = 4711;

    assert_int_equal(conntrack_flush(ct, NULL, NULL), 0);
    for (unsigned i = 0; i < 100; i++) { /* more than one batch */
        send_to(AF_INET, 7000 + i);
        send_to(AF_INET6, 7100 + i);
    }
    send_to(AF_INET, 7100);
    assert_int_equal(conntrack_flush(ct, &one, &n), 0);
    assert_int_equal(n, 100);
    assert_int_equal(count(&one, NULL), 0);
    assert_int_equal(count(&two, NULL), 101);
    assert_int_equal(conntrack_flush(ct, &translated, &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(conntrack_flush(ct, &two, &n), 0);
    assert_int_equal(n, 100);
    assert_int_equal(conntrack_flush(ct, &two, &n), 0);
    assert_int_equal(n, 0);
}

static void delete_it(void *user, const struct conntrack_entry *e)
{
    assert_int_equal(conntrack_delete(ct, e), 0);
    ++*(unsigned *)user;
}

static void entries_can_be_deleted_while_they_are_told(void **state)
{
    struct conntrack_filter f = {.mark = 1, .mark_mask = 0xff};
    unsigned n = 0;

    for (unsigned i = 0; i < 100; i++)
        send_to(AF_INET, 7000 + i);
    assert_int_equal(conntrack_each(ct, &f, delete_it, &n), 0);
    assert_int_equal(n, 100);
    assert_int_equal(count(&f, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest pure[] = {
        cmocka_unit_test(parses_a_whole_entry),
        cmocka_unit_test(parses_what_need_not_be_there),
        cmocka_unit_test(refuses_what_is_not_whole),
        cmocka_unit_test(a_filter_is_all_that_is_set),
        cmocka_unit_test(turned_twice_is_the_same),
    };
    const struct CMUnitTest kernel[] = {
        cmocka_unit_test(the_kernel_tells_its_entries),
        cmocka_unit_test(one_entry_is_deleted),
        cmocka_unit_test(a_flush_takes_what_its_filter_says),
        cmocka_unit_test(entries_can_be_deleted_while_they_are_told),
    };
    int rv = cmocka_run_group_tests(pure, NULL, NULL);

    if (getenv("MPQUIC_TEST_EMULATED")) /* qemu-user has no such sockets */
        return rv;
    netns_enter();
    return rv + cmocka_run_group_tests(kernel, open_kernel, close_kernel);
}
