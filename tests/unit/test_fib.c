#include "netlink/fib.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include "netns.h"
#include <cmocka.h>

#include "base/util.h"

struct fixture {
    struct netlink *nl;
    int lo;
};

static struct fixture f;

static struct ip_prefix prefix(const char *s)
{
    struct ip_prefix p = {0};

    assert_int_equal(ip_prefix_parse(s, &p), 0);
    return p;
}

/* What a dump found, as text. */
struct found {
    char text[64][FIB_TEXT_MAX];
    unsigned n;
};

static void on_route(void *user, const struct fib_route *r)
{
    struct found *v = user;

    if (!r)
        v->n = 0;
    else if (v->n < ARRAY_LEN(v->text))
        fib_route_str(r, "X", v->text[v->n++]);
}

static void on_rule(void *user, const struct fib_rule *r)
{
    struct found *v = user;

    if (!r)
        v->n = 0;
    else if (r->protocol == FIB_PROTOCOL && v->n < ARRAY_LEN(v->text))
        fib_rule_str(r, v->text[v->n++]);
}

static void routes_are(uint32_t table, unsigned n, ...)
{
    struct found v = {0};
    va_list ap;

    assert_int_equal(fib_route_each(f.nl, 4, table, 0, on_route, &v), 0);
    assert_int_equal(fib_route_each(f.nl, 6, table, 0, on_route, &v), 0);
    assert_int_equal(v.n, n);
    va_start(ap, n);
    for (unsigned i = 0; i < n; i++)
        assert_string_equal(v.text[i], va_arg(ap, const char *));
    va_end(ap);
}

static struct fib_route route(const char *dst, enum fib_type type, uint32_t metric)
{
    return (struct fib_route){.dst = prefix(dst),
                              .table = 700,
                              .metric = metric,
                              .type = type,
                              .index = type == FIB_TYPE_UNICAST ? f.lo : 0,
                              .protocol = FIB_PROTOCOL};
}

static void routes_come_and_go(void **state)
{
    struct fib_route way = route("0.0.0.0/0", FIB_TYPE_UNICAST, 0);
    struct fib_route floor = route("0.0.0.0/0", FIB_TYPE_BLACKHOLE, UINT32_MAX);
    struct fib_route way6 = route("::/0", FIB_TYPE_UNICAST, 1);
    struct fib_route floor6 = route("::/0", FIB_TYPE_UNREACHABLE, UINT32_MAX);
    struct fib_route *all[] = {&way, &floor, &way6, &floor6};

    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(fib_route_add(f.nl, all[i]), 0);
        assert_int_equal(fib_route_add(f.nl, all[i]), -EEXIST);
    }
    routes_are(700, 4, "-4 default dev X table 700",
               "-4 blackhole default table 700 metric 4294967295",
               "-6 default dev X table 700 metric 1",
               "-6 unreachable default table 700 metric 4294967295");
    for (unsigned i = 0; i < 4; i += 2) {
        assert_int_equal(fib_route_del(f.nl, all[i]), 0);
        assert_int_equal(fib_route_del(f.nl, all[i]), -ESRCH);
    }
    routes_are(700, 2, "-4 blackhole default table 700 metric 4294967295",
               "-6 unreachable default table 700 metric 4294967295");
    assert_int_equal(fib_route_del(f.nl, &floor), 0);
    assert_int_equal(fib_route_del(f.nl, &floor6), 0);
    routes_are(700, 0);
}

/* What another protocol has is neither replaced nor deleted, and ours comes before it. */
static void routes_of_others_stay(void **state)
{
    struct fib_route way = route("0.0.0.0/0", FIB_TYPE_UNICAST, 0), other = way;

    other.type = FIB_TYPE_UNREACHABLE;
    other.index = 0;
    assert_int_equal(system("ip route add unreachable default table 700 metric 0 proto static"), 0);
    assert_int_equal(fib_route_del(f.nl, &other), -ESRCH);
    assert_int_equal(fib_route_add(f.nl, &way), 0);
    routes_are(700, 2, "-4 default dev X table 700", "-4 unreachable default table 700");
    assert_int_equal(fib_route_del(f.nl, &way), 0);
    routes_are(700, 1, "-4 unreachable default table 700");
    assert_int_equal(system("ip route del unreachable default table 700 metric 0"), 0);
}

static void gateways_and_several_hops(void **state)
{
    struct fib_route via = route("203.0.113.10/32", FIB_TYPE_UNICAST, 0);

    assert_int_equal(system("ip link add v0 type veth peer name v1 && ip link set v0 up && "
                            "ip link set v1 up && ip addr add 10.9.0.2/24 dev v0"),
                     0);
    via.index = (int)if_nametoindex("v0");
    assert_int_equal(ip_addr_parse("10.8.0.1", &via.via), 0);
    assert_true(fib_route_add(f.nl, &via) < 0); /* not on that link */
    via.onlink = true;
    assert_int_equal(fib_route_add(f.nl, &via), 0);
    routes_are(700, 1, "-4 203.0.113.10/32 via 10.8.0.1 dev X onlink table 700");
    assert_int_equal(fib_route_del(f.nl, &via), 0);
    assert_int_equal(system("ip route add default table 700 nexthop via 10.9.0.1 dev v0 "
                            "nexthop via 10.9.0.9 dev v0"),
                     0);
    routes_are(700, 2, "-4 default via 10.9.0.1 dev X table 700",
               "-4 default via 10.9.0.9 dev X table 700");
    assert_int_equal(system("ip link del v0"), 0);
}

/* An emulator passes no rules on to the kernel, and says so. */
static bool has_rules(const struct fib_rule *r)
{
    bool emulated = getenv("MPQUIC_TEST_EMULATED");

    if (emulated)
        assert_int_equal(fib_rule_add(f.nl, r), -EOPNOTSUPP);
    return !emulated;
}

static void rules_come_and_go(void **state)
{
    struct fib_rule r = {.family = 4, .priority = 1001, .iif = "lan0", .protocol = FIB_PROTOCOL};
    struct fib_rule all[5];
    struct found v = {0};

    for (unsigned i = 0; i < 5; i++)
        all[i] = r;
    all[0].action = FIB_ACTION_TABLE;
    all[0].table = 1234567;
    all[0].mark = 1;
    all[0].mask = 0xff;
    all[1].action = FIB_ACTION_TABLE;
    all[1].priority = 1000;
    all[1].table = FIB_TABLE_MAIN;
    all[1].near_only = true;
    all[1].to = prefix("172.16.2.0/30");
    all[2].action = FIB_ACTION_BLACKHOLE;
    all[2].priority = 1099;
    all[3].action = FIB_ACTION_UNREACHABLE;
    all[3].family = 6;
    all[4].action = FIB_ACTION_TABLE;
    all[4].iif[0] = 0;
    all[4].priority = 999;
    snprintf(all[4].oif, sizeof(all[4].oif), "wan0");
    all[4].to = prefix("203.0.113.10/32");
    all[4].table = 100;
    if (!has_rules(&all[0]))
        return;
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(fib_rule_add(f.nl, &all[i]), 0);
        assert_int_equal(fib_rule_add(f.nl, &all[i]), -EEXIST);
    }
    assert_int_equal(system("ip rule add priority 1001 iif lan0 lookup 5"), 0);
    assert_int_equal(fib_rule_each(f.nl, on_rule, &v), 0);
    assert_int_equal(v.n, 5);
    assert_string_equal(v.text[0], "-4 priority 999 to 203.0.113.10/32 oif wan0 lookup 100");
    assert_string_equal(v.text[1], "-4 priority 1000 to 172.16.2.0/30 iif lan0 lookup 254 "
                                   "suppress_prefixlength 0");
    assert_string_equal(v.text[2], "-4 priority 1001 iif lan0 fwmark 0x1/0xff lookup 1234567");
    assert_string_equal(v.text[3], "-4 priority 1099 iif lan0 blackhole");
    assert_string_equal(v.text[4], "-6 priority 1001 iif lan0 unreachable");
    r.action = FIB_ACTION_TABLE;
    r.table = 5;
    assert_int_equal(fib_rule_del(f.nl, &r), -ENOENT); /* of another protocol */
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(fib_rule_del(f.nl, &all[i]), 0);
        assert_int_equal(fib_rule_del(f.nl, &all[i]), -ENOENT);
    }
    assert_int_equal(system("ip rule del priority 1001 iif lan0 lookup 5"), 0);
}

static void on_whole_rule(void *user, const struct fib_rule *r)
{
    if (r && r->priority == 1001)
        *(struct fib_rule *)user = *r;
}

/* A rule that was read is equal to the one that was made; one that has more to it says so. */
static void a_rule_is_read_as_it_was_made(void **state)
{
    struct fib_rule r = {.family = 4,
                         .priority = 1001,
                         .iif = "lan0",
                         .from = prefix("172.16.1.0/30"),
                         .action = FIB_ACTION_TABLE,
                         .table = 100,
                         .protocol = FIB_PROTOCOL},
                    back = {0};

    if (!has_rules(&r))
        return;
    assert_int_equal(fib_rule_add(f.nl, &r), 0);
    assert_int_equal(fib_rule_each(f.nl, on_whole_rule, &back), 0);
    assert_true(fib_rule_equal(&r, &back));
    assert_int_equal(fib_rule_del(f.nl, &r), 0);
    assert_int_equal(system("ip rule add priority 1001 iif lan0 ipproto tcp lookup 100"), 0);
    assert_int_equal(fib_rule_each(f.nl, on_whole_rule, &back), 0);
    assert_true(back.more);
    assert_int_equal(system("ip rule del priority 1001"), 0);
}

static void bad_ones_are_refused(void **state)
{
    struct fib_rule r = {.family = 4, .action = FIB_ACTION_OTHER};
    struct fib_route t = route("10.0.0.0/8", FIB_TYPE_OTHER, 0);

    assert_int_equal(fib_rule_add(f.nl, &r), -EINVAL);
    r = (struct fib_rule){.family = 4, .action = FIB_ACTION_BLACKHOLE, .to = prefix("fd00::/8")};
    assert_int_equal(fib_rule_add(f.nl, &r), -EINVAL);
    assert_int_equal(fib_route_add(f.nl, &t), -EINVAL);
    t = route("10.0.0.0/8", FIB_TYPE_UNICAST, 0);
    t.index = 0;
    assert_int_equal(fib_route_add(f.nl, &t), -ENODEV);
    t = route("10.0.0.0/8", FIB_TYPE_UNICAST, 0);
    t.via = prefix("fe80::1/128").addr;
    assert_int_equal(fib_route_add(f.nl, &t), -EAFNOSUPPORT);
}

static bool is_signalled(struct fib_signal *s)
{
    struct pollfd p = {.fd = fib_signal_fd(s), .events = POLLIN};

    return poll(&p, 1, 0) > 0;
}

/* The kernel delivers events within the call that causes them. */
static void only_what_matters_is_signalled(void **state)
{
    static const struct {
        const char *command;
        bool matters;
    } steps[] = {
        {"ip route add 10.7.0.0/16 dev lo", false},
        {"ip route del 10.7.0.0/16 dev lo", false},
        {"ip route add default dev lo", true},
        {"ip route del default dev lo", true},
        {"ip route add 10.7.0.0/16 dev lo table 100", true},
        {"ip route add 10.7.0.0/16 dev lo table 1000", true},
        {"ip route add 10.7.0.0/16 dev lo proto 110", true},
        {"ip rule add priority 5 lookup 100", true},
        {"ip rule del priority 5", true},
        {"ip addr add 10.6.0.1/32 dev lo", true},
        {"ip link set lo down", true},
        {"ip link set lo up", true},
    };
    struct fib_signal *s;

    assert_int_equal(fib_signal_open(&s), 0);
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        fib_signal_take(s);
        assert_int_equal(system(steps[i].command), 0);
        if (is_signalled(s) != steps[i].matters)
            fail_msg("%s", steps[i].command);
        assert_int_equal(fib_signal_take(s), steps[i].matters);
        assert_int_equal(fib_signal_take(s), 0);
    }
    fib_signal_close(s);
    fib_signal_close(NULL);
}

static void on_link(void *user, const struct netlink_link *l)
{
    if (l && !strcmp(l->name, "lo"))
        *(int *)user = l->index;
}

static int setup(void **state)
{
    if (netlink_open(&f.nl))
        return -1;
    return fib_link_each(f.nl, on_link, &f.lo) || f.lo != (int)if_nametoindex("lo");
}

static int teardown(void **state)
{
    netlink_close(f.nl);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routes_come_and_go),
        cmocka_unit_test(routes_of_others_stay),
        cmocka_unit_test(gateways_and_several_hops),
        cmocka_unit_test(rules_come_and_go),
        cmocka_unit_test(a_rule_is_read_as_it_was_made),
        cmocka_unit_test(bad_ones_are_refused),
        cmocka_unit_test(only_what_matters_is_signalled),
    };

    netns_enter();
    return cmocka_run_group_tests(tests, setup, teardown);
}
