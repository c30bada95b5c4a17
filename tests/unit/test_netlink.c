#include "netlink/netlink.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include "netns.h"
#include "tun/tun.h"
#include <cmocka.h>

#include "base/util.h"
#include "netlink/parse.h"

static struct drop_counters drops;

static struct ip_prefix prefix(const char *s)
{
    struct ip_prefix p;

    assert_int_equal(ip_prefix_parse(s, &p), 0);
    return p;
}

struct fixture {
    struct netlink *nl;
    struct netlink_monitor *mon;
    struct tun *tun;
    int index;
};

static struct tun *tun_make(const char *name)
{
    struct tun_opts opts = {.drops = &drops};
    struct tun *t = NULL;

    assert_int_equal(tun_open(name, &opts, &t), 0);
    return t;
}

/* A TUN called mpqt, up, whose events have been read. */
static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    f->tun = tun_make("mpqt");
    f->index = tun_ifindex(f->tun);
    assert_int_equal(netlink_open(&f->nl), 0);
    assert_int_equal(netlink_link_set_up(f->nl, f->index, true), 0);
    assert_int_equal(netlink_monitor_open(&f->mon), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    tun_close(f->tun);
    netlink_close(f->nl);
    netlink_monitor_close(f->mon);
    free(f);
    return 0;
}

static void test_link_get(void **state)
{
    struct fixture *f = *state;
    struct netlink_link l, by_index;

    assert_int_equal(netlink_link_by_name(f->nl, "mpqt", &l), 0);
    assert_int_equal(l.index, f->index);
    assert_string_equal(l.name, "mpqt");
    assert_string_equal(l.kind, "tun");
    assert_int_equal(l.mtu, 1500);
    assert_true(l.flags & IFF_UP);
    assert_true(l.carrier);
    assert_int_equal(netlink_link_by_index(f->nl, f->index, &by_index), 0);
    assert_string_equal(by_index.name, "mpqt");
    assert_int_equal(netlink_link_by_name(f->nl, "lo", &l), 0);
    assert_string_equal(l.kind, "");
    assert_true(l.flags & IFF_LOOPBACK);
}

static void test_link_errors(void **state)
{
    struct fixture *f = *state;
    struct netlink_link l = {.index = -7};

    assert_int_equal(netlink_link_by_name(f->nl, "absent", &l), -ENODEV);
    assert_int_equal(netlink_link_by_name(f->nl, "", &l), -EINVAL);
    assert_int_equal(netlink_link_by_name(f->nl, "a-name-too-long-for-it", &l), -EINVAL);
    assert_int_equal(netlink_link_by_index(f->nl, 9999, &l), -ENODEV);
    assert_int_equal(netlink_link_by_index(f->nl, 0, &l), -ENODEV);
    assert_int_equal(l.index, -7);
    assert_int_equal(netlink_link_set_up(f->nl, 9999, true), -ENODEV);
    assert_int_equal(netlink_link_set_up(f->nl, 0, true), -ENODEV);
    assert_int_equal(netlink_link_set_mtu(f->nl, f->index, 3), -EINVAL);
}

static void test_link_change(void **state)
{
    struct fixture *f = *state;
    struct netlink_link l;

    assert_int_equal(netlink_link_set_mtu(f->nl, f->index, 1400), 0);
    assert_int_equal(netlink_link_set_up(f->nl, f->index, false), 0);
    assert_int_equal(netlink_link_by_index(f->nl, f->index, &l), 0);
    assert_int_equal(l.mtu, 1400);
    assert_false(l.flags & IFF_UP);
}

/* The flags of an address of the interface, or -1. */
static int64_t flags_of(struct fixture *f, const char *text)
{
    struct ip_prefix p = prefix(text);
    struct netlink_addr v[32];
    int n = netlink_addr_list(f->nl, f->index, v, ARRAY_LEN(v));

    assert_in_range(n, 0, ARRAY_LEN(v));
    for (int i = 0; i < n; i++) {
        assert_int_equal(v[i].index, f->index);
        if (ip_prefix_equal(&v[i].prefix, &p))
            return v[i].flags;
    }
    return -1;
}

static bool has_addr(struct fixture *f, const char *text)
{
    return flags_of(f, text) >= 0;
}

static bool is_ours(struct fixture *f, const char *text)
{
    struct netlink_addr v[16];
    struct ip_prefix p = prefix(text);
    int n = netlink_addr_list(f->nl, f->index, v, ARRAY_LEN(v));

    for (int i = 0; i < n; i++)
        if (ip_prefix_equal(&v[i].prefix, &p))
            return v[i].ours;
    return false;
}

static void test_addr_add_list_del(void **state)
{
    static const char *const texts[] = {"10.200.1.1/30", "fd00:1::1/64"};
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct ip_prefix p = prefix(texts[i]);
        bool added = false;

        assert_false(has_addr(f, texts[i]));
        assert_int_equal(netlink_addr_add(f->nl, f->index, &p, &added), 0);
        assert_true(added);
        assert_true(has_addr(f, texts[i]));
        assert_true(is_ours(f, texts[i]));
        assert_false(flags_of(f, texts[i]) & IFA_F_TENTATIVE);
        assert_int_equal(netlink_addr_add(f->nl, f->index, &p, &added), 0);
        assert_false(added);
        assert_int_equal(netlink_addr_del(f->nl, f->index, &p), 0);
        assert_false(has_addr(f, texts[i]));
        assert_int_equal(netlink_addr_del(f->nl, f->index, &p), -EADDRNOTAVAIL);
    }
}

static void test_addr_errors(void **state)
{
    struct fixture *f = *state;
    struct ip_prefix p = prefix("fd00:1::1/64"), other = prefix("fd00:1::1/48"), bad = p;
    bool added = true;

    bad.len = 129;
    assert_int_equal(netlink_addr_add(f->nl, 9999, &p, &added), -ENODEV);
    assert_int_equal(netlink_addr_add(f->nl, f->index, &bad, &added), -EINVAL);
    bad.addr.family = 0;
    assert_int_equal(netlink_addr_add(f->nl, f->index, &bad, &added), -EINVAL);
    assert_true(added);
    assert_int_equal(netlink_addr_add(f->nl, f->index, &p, NULL), 0);
    assert_int_equal(netlink_addr_add(f->nl, f->index, &other, &added), -EEXIST);
    assert_int_equal(netlink_addr_list(f->nl, 9999, NULL, 0), 0);
}

/* The list tells how many there are even when they do not fit, and filters by interface. */
static void test_addr_list_bounds(void **state)
{
    struct fixture *f = *state;
    struct netlink_addr v[2] = {0};
    char text[32];
    int n;

    for (int i = 0; i < 5; i++) {
        struct ip_prefix p;

        snprintf(text, sizeof(text), "10.9.%d.1/24", i);
        p = prefix(text);
        assert_int_equal(netlink_addr_add(f->nl, f->index, &p, NULL), 0);
    }
    n = netlink_addr_list(f->nl, f->index, v, 1);
    assert_in_range(n, 5, 6); /* the link-local address comes when the kernel gets to it */
    assert_int_equal(v[0].prefix.addr.family, 4);
    assert_int_equal(v[0].scope, RT_SCOPE_UNIVERSE);
    assert_int_equal(v[1].index, 0);
    assert_true(netlink_addr_list(f->nl, 0, NULL, 0) >= n + 2); /* with those of lo */
}

static void test_addr_all(void **state)
{
    enum { MANY = 300 };
    struct fixture *f = *state;
    struct netlink_addr *v = NULL;
    unsigned seen = 0;
    char text[32];
    int n;

    for (int i = 0; i < MANY; i++) {
        struct ip_prefix p;

        snprintf(text, sizeof(text), "10.9.%d.%d/16", i / 200, i % 200 + 1);
        p = prefix(text);
        assert_int_equal(netlink_addr_add(f->nl, f->index, &p, NULL), 0);
    }
    n = netlink_addr_all(f->nl, f->index, &v);
    assert_in_range(n, MANY, MANY + 2); /* and a link-local one */
    for (int i = 0; i < n; i++)
        seen += v[i].prefix.addr.family == 4 && v[i].prefix.addr.b[1] == 9;
    assert_int_equal(seen, MANY);
    free(v);
    /* one of the last is known to be there already */
    {
        struct ip_prefix p = prefix(text);
        bool added = true;

        assert_int_equal(netlink_addr_add(f->nl, f->index, &p, &added), 0);
        assert_false(added);
    }
}

static void test_route_source(void **state)
{
    struct fixture *f = *state;
    struct ip_prefix alias = prefix("192.168.9.2/24"), own = prefix("10.9.0.1/24");
    struct ip_prefix six = prefix("fd00:9::1/64");
    struct ip_addr dst, got = {.family = 9};

    assert_int_equal(netlink_addr_add(f->nl, f->index, &alias, NULL), 0);
    assert_int_equal(netlink_addr_add(f->nl, f->index, &own, NULL), 0);
    assert_int_equal(netlink_addr_add(f->nl, f->index, &six, NULL), 0);
    assert_int_equal(ip_addr_parse("10.9.0.7", &dst), 0);
    assert_int_equal(netlink_route_source(f->nl, &dst, f->index, &got), 0);
    assert_true(ip_addr_equal(&got, &own.addr));
    assert_int_equal(ip_addr_parse("192.168.9.77", &dst), 0);
    assert_int_equal(netlink_route_source(f->nl, &dst, f->index, &got), 0);
    assert_true(ip_addr_equal(&got, &alias.addr));
    assert_int_equal(ip_addr_parse("fd00:9::7", &dst), 0);
    assert_int_equal(netlink_route_source(f->nl, &dst, f->index, &got), 0);
    assert_true(ip_addr_equal(&got, &six.addr));
    got.family = 9;
    assert_int_equal(ip_addr_parse("2001:db8::1", &dst), 0);
    assert_true(netlink_route_source(f->nl, &dst, f->index, &got) < 0);
    assert_int_equal(netlink_route_source(f->nl, &dst, 0, &got), -ENODEV);
    assert_int_equal(got.family, 9);
}

static int route_change(struct fixture *f, bool add, const struct netlink_route *r)
{
    int err = 1;

    assert_int_equal(netlink_route_batch(f->nl, add, r, 1, &err), 0);
    return err;
}

static void test_route_add_del(void **state)
{
    struct fixture *f = *state;
    struct ip_prefix a4 = prefix("10.200.1.1/30"), a6 = prefix("fd00:1::1/64");
    struct netlink_route r4 = {.dst = prefix("172.16.4.1/30"),
                               .index = f->index,
                               .src = a4.addr,
                               .table = 1004,
                               .metric = 50};
    struct netlink_route r6 = {.dst = prefix("fd00:2::/64"), .index = f->index};
    struct netlink_route *v[] = {&r4, &r6};

    assert_int_equal(netlink_addr_add(f->nl, f->index, &a4, NULL), 0);
    assert_int_equal(netlink_addr_add(f->nl, f->index, &a6, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(v); i++) {
        assert_int_equal(route_change(f, false, v[i]), -ESRCH);
        assert_int_equal(route_change(f, true, v[i]), 0);
        assert_int_equal(route_change(f, true, v[i]), -EEXIST);
        assert_int_equal(route_change(f, false, v[i]), 0);
        assert_int_equal(route_change(f, false, v[i]), -ESRCH);
    }
}

/* A default route, and routes that the kernel itself made, which are not ours to touch. */
static void test_route_foreign_is_left_alone(void **state)
{
    struct fixture *f = *state;
    struct ip_prefix a4 = prefix("10.200.1.1/30");
    struct netlink_route connected = {.dst = a4, .index = f->index};
    struct netlink_route def = {.dst = prefix("0.0.0.0/0"), .index = f->index};

    assert_int_equal(netlink_addr_add(f->nl, f->index, &a4, NULL), 0);
    assert_int_equal(route_change(f, false, &connected), -ESRCH);
    assert_int_equal(route_change(f, true, &connected), -EEXIST);
    assert_int_equal(route_change(f, true, &def), 0);
    assert_int_equal(route_change(f, false, &def), 0);
    def.index = 0;
    assert_int_equal(route_change(f, true, &def), -ENODEV);
    def.index = f->index;
    def.src = prefix("fd00::1").addr;
    assert_int_equal(route_change(f, true, &def), -EINVAL);
}

/* Every route of a batch has its own result. */
static void test_route_batch(void **state)
{
    struct fixture *f = *state;
    struct netlink_route v[NETLINK_BATCH_MAX + 1];
    int err[NETLINK_BATCH_MAX + 1];

    for (unsigned i = 0; i <= NETLINK_BATCH_MAX; i++)
        v[i] = (struct netlink_route){.dst = prefix(i % 2 ? "fd00:9::/64" : "172.20.0.0/24"),
                                      .index = f->index,
                                      .metric = 1 + i / 2};
    v[7].index = 0;
    v[9].dst.len = 200;
    v[10] = v[8];
    assert_int_equal(netlink_route_batch(f->nl, true, v, NETLINK_BATCH_MAX + 1, err), -EINVAL);
    assert_int_equal(netlink_route_batch(f->nl, true, v, 0, err), 0);
    assert_int_equal(netlink_route_batch(f->nl, true, v, NETLINK_BATCH_MAX, err), 0);
    for (int i = 0; i < NETLINK_BATCH_MAX; i++)
        assert_int_equal(err[i], i == 7 ? -ENODEV : i == 9 ? -EINVAL : i == 10 ? -EEXIST : 0);
    assert_int_equal(netlink_route_batch(f->nl, false, v, NETLINK_BATCH_MAX, err), 0);
    for (int i = 0; i < NETLINK_BATCH_MAX; i++)
        assert_int_equal(err[i], i == 7 ? -ENODEV : i == 9 ? -EINVAL : i == 10 ? -ESRCH : 0);
}

/* --- walking over our routes ----------------------------------------------------------- */

enum { WALK_ROUTES = 2000 };

struct walked {
    unsigned n, n4, restarts;
    bool seen[2][WALK_ROUTES];
};

static void note_walked(void *user, const struct netlink_route *r)
{
    struct walked *w = user;
    unsigned number;

    if (!r) {
        *w = (struct walked){.restarts = w->restarts + 1};
        return;
    }
    number = (unsigned)(r->dst.addr.family == 4 ? r->dst.addr.b[1] << 8 | r->dst.addr.b[2]
                                                : r->dst.addr.b[6] << 8 | r->dst.addr.b[7]);
    assert_in_range(number, 0, WALK_ROUTES - 1);
    assert_false(w->seen[r->dst.addr.family == 6][number]);
    w->seen[r->dst.addr.family == 6][number] = true;
    w->n4 += r->dst.addr.family == 4;
    w->n++;
}

static void add_many(struct fixture *f, uint8_t family)
{
    struct netlink_route v[NETLINK_BATCH_MAX];
    int err[NETLINK_BATCH_MAX];
    unsigned n = 0;

    for (unsigned i = 0; i < WALK_ROUTES; i++) {
        struct netlink_route r = {.index = f->index, .metric = 4096};

        r.dst.addr = (struct ip_addr){.family = family, .b[0] = family == 4 ? 10 : 0xfd};
        r.dst.addr.b[family == 4 ? 1 : 6] = (uint8_t)(i >> 8);
        r.dst.addr.b[family == 4 ? 2 : 7] = (uint8_t)i;
        r.dst.len = family == 4 ? 24 : 64;
        v[n++] = r;
        if (n < NETLINK_BATCH_MAX && i + 1 < WALK_ROUTES)
            continue;
        assert_int_equal(netlink_route_batch(f->nl, true, v, n, err), 0);
        while (n)
            assert_int_equal(err[--n], 0);
    }
}

/* All are seen once, some hundred in a call, and other requests may be made between. */
static void test_route_walk_in_pieces(void **state)
{
    static struct walked w;
    struct fixture *f = *state;
    struct netlink_route foreign = {.dst = prefix("10.200.1.0/30"), .index = f->index}, got;
    struct netlink_route_walk *walk = NULL;
    struct ip_prefix a4 = prefix("10.200.1.1/30");
    unsigned before = 0, calls = 0;
    int r;

    assert_int_equal(netlink_addr_add(f->nl, f->index, &a4, NULL), 0);
    add_many(f, 4);
    add_many(f, 6);
    w = (struct walked){0};
    assert_int_equal(netlink_route_walk_new(f->index, &walk), 0);
    while ((r = netlink_route_walk_next(walk, note_walked, &w)) > 0) {
        assert_in_range(w.n - before, 0, 700);
        before = w.n;
        calls++;
        assert_int_equal(netlink_route_find(f->nl, &foreign, &got), 0);
    }
    assert_int_equal(r, 0);
    assert_int_equal(w.n4, WALK_ROUTES);
    assert_int_equal(w.n, 2 * WALK_ROUTES);
    assert_in_range(calls, 6, 200);
    netlink_route_walk_free(walk);
    netlink_route_walk_free(NULL);
}

/* It begins anew when the kernel says that what it told is not one state of the tables. */
static void test_route_walk_while_they_change(void **state)
{
    static struct walked w;
    struct fixture *f = *state;
    struct netlink_route last = {
        .dst = prefix("fd00:0:0:7cf::/64"), .index = f->index, .metric = 4096};
    struct netlink_route_walk *walk = NULL;
    unsigned changes = 0;
    int r;

    add_many(f, 6);
    w = (struct walked){0};
    assert_int_equal(netlink_route_walk_new(f->index, &walk), 0);
    while ((r = netlink_route_walk_next(walk, note_walked, &w)) > 0)
        if (w.n && changes < 2)
            assert_int_equal(route_change(f, changes++ != 0, &last), 0);
    assert_int_equal(r, 0);
    assert_int_equal(w.n, WALK_ROUTES);
    netlink_route_walk_free(walk);
}

/* What the monitor said, of one interface. The kernel gives every interface an IPv6 link-local
 * address whenever it gets to it: IPv6 addresses are not looked at. */
struct seen {
    const char *name;
    unsigned n[NETLINK_EVENT_COUNT];
    struct netlink_link link;
    struct netlink_addr addr;
};

static void on_event(void *user, const struct netlink_event *ev)
{
    struct seen *s = user;
    bool is_addr = ev->type == NETLINK_EVENT_ADDR || ev->type == NETLINK_EVENT_ADDR_GONE;

    if (is_addr && ev->addr.prefix.addr.family == 6)
        return;
    s->n[ev->type]++;
    if (ev->type == NETLINK_EVENT_LINK || ev->type == NETLINK_EVENT_LINK_GONE) {
        if (!strcmp(ev->link.name, s->name))
            s->link = ev->link;
    } else if (is_addr) {
        s->addr = ev->addr;
    }
}

static struct seen monitor_read(struct fixture *f)
{
    struct seen s = {.name = "mpqt"};

    while (netlink_monitor_dispatch(f->mon, on_event, &s) > 0)
        ;
    return s;
}

static void test_monitor_addresses(void **state)
{
    struct fixture *f = *state;
    struct ip_prefix p = prefix("10.200.1.1/30");
    struct seen s;

    monitor_read(f);
    assert_int_equal(netlink_addr_add(f->nl, f->index, &p, NULL), 0);
    s = monitor_read(f);
    assert_int_equal(s.n[NETLINK_EVENT_ADDR], 1);
    assert_true(ip_prefix_equal(&s.addr.prefix, &p));
    assert_int_equal(s.addr.index, f->index);
    assert_int_equal(netlink_addr_del(f->nl, f->index, &p), 0);
    s = monitor_read(f);
    assert_int_equal(s.n[NETLINK_EVENT_ADDR_GONE], 1);
    assert_true(ip_prefix_equal(&s.addr.prefix, &p));
    assert_int_equal(s.n[NETLINK_EVENT_RESYNC], 0);
}

/* The interface goes down, vanishes with its address, and returns under the same name. */
struct rules {
    struct netlink_rule v[8];
    unsigned n;
};

static void on_rule(void *user, const struct netlink_rule *r)
{
    struct rules *l = user;

    assert_true(l->n < ARRAY_LEN(l->v));
    l->v[l->n++] = *r;
}

static struct netlink_rule rule(const char *src, enum netlink_rule_kind kind, uint32_t priority,
                                uint32_t table)
{
    return (struct netlink_rule){prefix(src).addr, kind, priority, table};
}

static bool same_rule(const struct netlink_rule *a, const struct netlink_rule *b)
{
    return ip_addr_equal(&a->src, &b->src) && a->kind == b->kind && a->priority == b->priority &&
           a->table == b->table;
}

/* Each kind in both families, as it was made; gone one by one; those of others stay. */
static void test_rules(void **state)
{
    struct fixture *f = *state;
    const struct netlink_rule want[] = {rule("10.9.0.1/32", NETLINK_RULE_NEAR, 1090, 0),
                                        rule("10.9.0.1/32", NETLINK_RULE_TABLE, 1091, 100),
                                        rule("10.9.0.1/32", NETLINK_RULE_END, 1092, 0),
                                        rule("fd00:9::1/128", NETLINK_RULE_NEAR, 1090, 0),
                                        rule("fd00:9::1/128", NETLINK_RULE_TABLE, 1091, 70000),
                                        rule("fd00:9::1/128", NETLINK_RULE_END, 1092, 0)};
    struct netlink_rule bad = rule("10.9.0.1/32", NETLINK_RULE_OTHER, 1, 0);
    struct rules seen = {.n = 0};

    assert_int_equal(netlink_rule_each(f->nl, on_rule, &seen), 0);
    assert_int_equal(seen.n, 0);
    if (getenv("MPQUIC_TEST_EMULATED")) { /* it passes no rules on to the kernel, and says so */
        assert_int_equal(netlink_rule_add(f->nl, &want[0]), -EOPNOTSUPP);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        assert_int_equal(netlink_rule_add(f->nl, &want[i]), 0);
        assert_int_equal(netlink_rule_add(f->nl, &want[i]), -EEXIST);
    }
    assert_int_equal(netlink_rule_add(f->nl, &bad), -EINVAL);
    assert_int_equal(netlink_rule_each(f->nl, on_rule, &seen), 0);
    assert_int_equal(seen.n, ARRAY_LEN(want));
    for (size_t i = 0; i < ARRAY_LEN(want); i++)
        assert_true(same_rule(&seen.v[i], &want[i]));
    monitor_read(f);
    assert_int_equal(netlink_rule_del(f->nl, &want[0].src, 1099), -ENOENT);
    for (size_t i = 0; i < ARRAY_LEN(want); i++)
        assert_int_equal(netlink_rule_del(f->nl, &want[i].src, want[i].priority), 0);
    assert_int_equal(monitor_read(f).n[NETLINK_EVENT_RULE_GONE], ARRAY_LEN(want));
    seen.n = 0;
    assert_int_equal(netlink_rule_each(f->nl, on_rule, &seen), 0);
    assert_int_equal(seen.n, 0);
    assert_int_equal(netlink_rule_del(f->nl, &want[0].src, 0), -ENOENT); /* that is the kernel's */
}

static void test_monitor_vanish_and_return(void **state)
{
    struct fixture *f = *state;
    struct ip_prefix p = prefix("10.200.1.1/30");
    struct netlink_link l;
    struct seen s;

    assert_int_equal(netlink_addr_add(f->nl, f->index, &p, NULL), 0);
    monitor_read(f);
    assert_int_equal(netlink_link_set_up(f->nl, f->index, false), 0);
    s = monitor_read(f);
    assert_true(s.n[NETLINK_EVENT_LINK] >= 1);
    assert_false(s.link.flags & IFF_UP);

    tun_close(f->tun);
    s = monitor_read(f);
    assert_int_equal(s.n[NETLINK_EVENT_LINK_GONE], 1);
    assert_int_equal(s.n[NETLINK_EVENT_ADDR_GONE], 1);
    assert_int_equal(s.link.index, f->index);
    assert_int_equal(netlink_link_by_name(f->nl, "mpqt", &l), -ENODEV);

    f->tun = tun_make("mpqt");
    s = monitor_read(f);
    assert_true(s.n[NETLINK_EVENT_LINK] >= 1);
    assert_int_equal(s.link.index, tun_ifindex(f->tun));
    assert_int_not_equal(s.link.index, f->index);
    assert_string_equal(s.link.kind, "tun");
}

/* More events than the socket holds: one RESYNC instead of those that were lost. */
static void test_monitor_overrun(void **state)
{
    struct fixture *f = *state;
    struct ip_prefix p = prefix("10.200.1.1/30");
    int bytes = 1;
    struct seen s = {.name = "mpqt"};

    monitor_read(f);
    assert_int_equal(
        setsockopt(netlink_monitor_fd(f->mon), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)), 0);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(netlink_addr_add(f->nl, f->index, &p, NULL), 0);
        assert_int_equal(netlink_addr_del(f->nl, f->index, &p), 0);
    }
    while (netlink_monitor_dispatch(f->mon, on_event, &s) > 0)
        ;
    assert_int_equal(s.n[NETLINK_EVENT_RESYNC], 1);
    assert_true(s.n[NETLINK_EVENT_ADDR] < 100);
}

static void test_event_names(void **state)
{
    for (int i = 0; i < NETLINK_EVENT_COUNT; i++)
        assert_non_null(netlink_event_name((enum netlink_event_type)i));
}

/* Messages as a broken kernel might send them. */

union message {
    struct nlmsghdr h;
    uint8_t b[256];
};

static void *message_start(union message *m, uint16_t type, size_t size)
{
    memset(m, 0, sizeof(*m));
    mnl_nlmsg_put_header(m->b);
    m->h.nlmsg_type = type;
    return mnl_nlmsg_put_extra_header(&m->h, size);
}

static void test_parse_link_defects(void **state)
{
    struct netlink_link l = {.index = -7};
    union message m;
    struct ifinfomsg *ifi = message_start(&m, RTM_NEWLINK, sizeof(*ifi));

    ifi->ifi_index = 3;
    assert_int_equal(parse_link(&m.h, &l), -EBADMSG); /* no name */
    mnl_attr_put(&m.h, IFLA_IFNAME, 4, "abcd");       /* no terminator */
    assert_int_equal(parse_link(&m.h, &l), -EBADMSG);
    ifi = message_start(&m, RTM_NEWLINK, sizeof(*ifi));
    ifi->ifi_index = 3;
    mnl_attr_put_strz(&m.h, IFLA_IFNAME, "sixteen-letters!");
    assert_int_equal(parse_link(&m.h, &l), -EBADMSG);
    ifi = message_start(&m, RTM_NEWLINK, sizeof(*ifi));
    ifi->ifi_family = AF_BRIDGE;
    assert_int_equal(parse_link(&m.h, &l), -ENOMSG);
    m.h.nlmsg_len = NLMSG_HDRLEN + 4;
    assert_int_equal(parse_link(&m.h, &l), -EBADMSG);
    assert_int_equal(l.index, -7);

    /* Attributes of the wrong size are as good as absent. */
    ifi = message_start(&m, RTM_NEWLINK, sizeof(*ifi));
    ifi->ifi_index = 3;
    mnl_attr_put_strz(&m.h, IFLA_IFNAME, "eth0");
    mnl_attr_put_u8(&m.h, IFLA_MTU, 9);
    mnl_attr_put_u32(&m.h, IFLA_OPERSTATE, 9);
    assert_int_equal(parse_link(&m.h, &l), 0);
    assert_int_equal(l.mtu, 0);
    assert_int_equal(l.operstate, 0);
}

static void test_parse_addr_defects(void **state)
{
    static const uint8_t bytes[16] = {10, 0, 0, 1};
    struct netlink_addr a = {.index = -7};
    union message m;
    struct ifaddrmsg *ifa = message_start(&m, RTM_NEWADDR, sizeof(*ifa));

    ifa->ifa_family = AF_INET;
    assert_int_equal(parse_addr(&m.h, &a), -EBADMSG); /* no address */
    mnl_attr_put(&m.h, IFA_LOCAL, 3, bytes);
    assert_int_equal(parse_addr(&m.h, &a), -EBADMSG);
    ifa->ifa_family = AF_UNIX;
    assert_int_equal(parse_addr(&m.h, &a), -ENOMSG);
    ifa = message_start(&m, RTM_NEWADDR, sizeof(*ifa));
    ifa->ifa_family = AF_INET;
    ifa->ifa_prefixlen = 33;
    mnl_attr_put(&m.h, IFA_LOCAL, 4, bytes);
    assert_int_equal(parse_addr(&m.h, &a), -EBADMSG);
    m.h.nlmsg_len = NLMSG_HDRLEN + 2;
    assert_int_equal(parse_addr(&m.h, &a), -EBADMSG);
    assert_int_equal(a.index, -7);
}

/* With a peer, the interface's own address is the local one. */
static void test_parse_addr_peer(void **state)
{
    static const uint8_t own[4] = {10, 0, 0, 1}, peer[4] = {10, 0, 0, 2};
    struct ip_prefix want = prefix("10.0.0.1/32");
    struct netlink_addr a;
    union message m;
    struct ifaddrmsg *ifa = message_start(&m, RTM_NEWADDR, sizeof(*ifa));

    ifa->ifa_family = AF_INET;
    ifa->ifa_prefixlen = 32;
    ifa->ifa_flags = IFA_F_PERMANENT;
    mnl_attr_put(&m.h, IFA_ADDRESS, 4, peer);
    mnl_attr_put(&m.h, IFA_LOCAL, 4, own);
    assert_int_equal(parse_addr(&m.h, &a), 0);
    assert_true(ip_prefix_equal(&a.prefix, &want));
    assert_int_equal(a.flags, IFA_F_PERMANENT);
    mnl_attr_put_u32(&m.h, IFA_FLAGS, IFA_F_PERMANENT | IFA_F_NOPREFIXROUTE);
    assert_int_equal(parse_addr(&m.h, &a), 0);
    assert_int_equal(a.flags, IFA_F_PERMANENT | IFA_F_NOPREFIXROUTE);
}

static void test_parse_router(void **state)
{
    static const uint8_t router[5] = {10, 0, 0, 254, 1};
    struct ip_prefix want = prefix("10.0.0.254/32");
    struct netlink_route r;
    union message m;
    struct rtmsg *rt = message_start(&m, RTM_NEWROUTE, sizeof(*rt));

    rt->rtm_family = AF_INET;
    assert_int_equal(parse_any_route(&m.h, &r), 0);
    assert_int_equal(r.via.family, 0);
    mnl_attr_put(&m.h, RTA_GATEWAY, 5, router);
    assert_int_equal(parse_any_route(&m.h, &r), 0);
    assert_int_equal(r.via.family, 0); /* no address of that family */
    mnl_attr_put(&m.h, RTA_GATEWAY, 4, router);
    assert_int_equal(parse_any_route(&m.h, &r), 0);
    assert_true(ip_addr_equal(&r.via, &want.addr));
    assert_int_equal(r.dst.len, 0);
}

static void put_hop(union message *m, int index, uint16_t type, const void *data, size_t len)
{
    struct {
        struct rtnexthop hop;
        struct nlattr attr;
        uint8_t b[24];
    } x = {.hop = {.rtnh_len = (uint16_t)(sizeof(x.hop) + sizeof(x.attr) + len),
                   .rtnh_ifindex = index},
           .attr = {.nla_len = (uint16_t)(sizeof(x.attr) + len), .nla_type = type}};

    memcpy(x.b, data, len);
    mnl_attr_put(&m->h, RTA_MULTIPATH, MNL_ALIGN(x.hop.rtnh_len), &x);
}

static void test_parse_next_hops(void **state)
{
    static const uint8_t v4[4] = {10, 0, 0, 254};
    struct ip_addr a4 = prefix("10.0.0.254/32").addr, b4 = prefix("10.0.0.253/32").addr;
    struct ip_addr a6 = prefix("fe80::1/128").addr, none = {0};
    struct {
        uint16_t family;
        uint8_t b[16];
    } via6 = {.family = AF_INET6};
    union message m;
    struct rtmsg *rt = message_start(&m, RTM_NEWROUTE, sizeof(*rt));

    memcpy(via6.b, a6.b, 16);
    rt->rtm_family = AF_INET;
    assert_false(parse_goes_by(&m.h, &a4, 7));
    mnl_attr_put(&m.h, RTA_GATEWAY, 4, v4);
    assert_true(parse_goes_by(&m.h, &a4, 7));
    assert_false(parse_goes_by(&m.h, &b4, 7));
    assert_false(parse_goes_by(&m.h, &a6, 7));
    assert_false(parse_goes_by(&m.h, &none, 7));
    mnl_attr_put_u32(&m.h, RTA_OIF, 7); /* into the tunnel */
    assert_false(parse_goes_by(&m.h, &a4, 7));
    assert_true(parse_goes_by(&m.h, &a4, 8));

    rt = message_start(&m, RTM_NEWROUTE, sizeof(*rt));
    rt->rtm_family = AF_INET;
    put_hop(&m, 3, RTA_GATEWAY, v4, sizeof(v4));
    assert_true(parse_goes_by(&m.h, &a4, 7));
    assert_false(parse_goes_by(&m.h, &b4, 7));
    assert_false(parse_goes_by(&m.h, &a4, 3));

    rt = message_start(&m, RTM_NEWROUTE, sizeof(*rt));
    rt->rtm_family = AF_INET; /* IPv4 by way of an IPv6 router */
    mnl_attr_put(&m.h, RTA_VIA, 18, &via6);
    assert_true(parse_goes_by(&m.h, &a6, 7));
    assert_false(parse_goes_by(&m.h, &a4, 7));
    rt = message_start(&m, RTM_NEWROUTE, sizeof(*rt));
    rt->rtm_family = AF_INET;
    put_hop(&m, 3, RTA_VIA, &via6, 18);
    assert_true(parse_goes_by(&m.h, &a6, 7));
}

/* Where the kernel would send, and whose route that is, made by whomever. */
static void test_route_of_others(void **state)
{
    struct fixture *f = *state;
    struct ip_prefix own = prefix("10.200.1.1/24");
    struct netlink_route want = {.dst = prefix("10.200.1.0/24")}, got = {.index = -7};
    struct netlink_route far = {.dst = prefix("10.9.0.0/16"), .index = f->index, .table = 104};
    struct ip_prefix to = prefix("10.200.1.9/32"), nowhere = prefix("192.0.2.1/32");
    int index = -7;

    assert_int_equal(netlink_route_get(f->nl, &nowhere.addr, &index), -ENETUNREACH);
    assert_int_equal(netlink_route_find(f->nl, &want, &got), -ESRCH);
    assert_int_equal(netlink_route_find(f->nl, &far, &got), -ESRCH);
    assert_int_equal(index, -7);
    assert_int_equal(got.index, -7);

    assert_int_equal(netlink_addr_add(f->nl, f->index, &own, NULL), 0);
    assert_int_equal(netlink_route_get(f->nl, &to.addr, &index), 0);
    assert_int_equal(index, f->index);
    assert_int_equal(netlink_route_find(f->nl, &want, &got), 0); /* the kernel's own */
    assert_int_equal(got.index, f->index);
    assert_int_equal(got.table, RT_TABLE_MAIN);

    far.metric = 4096;
    assert_int_equal(route_change(f, true, &far), 0);
    far.metric = 50;
    assert_int_equal(route_change(f, true, &far), 0);
    far.metric = 0;
    assert_int_equal(netlink_route_find(f->nl, &far, &got), 0);
    assert_int_equal(got.metric, 50);
    far.table = 105;
    assert_int_equal(netlink_route_find(f->nl, &far, &got), -ESRCH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        T(test_link_get),
        T(test_link_errors),
        T(test_link_change),
        T(test_addr_add_list_del),
        T(test_addr_errors),
        T(test_addr_list_bounds),
        T(test_addr_all),
        T(test_route_source),
        T(test_route_add_del),
        T(test_route_foreign_is_left_alone),
        T(test_route_batch),
        T(test_route_walk_in_pieces),
        T(test_route_walk_while_they_change),
        T(test_parse_router),
        cmocka_unit_test(test_parse_next_hops),
        T(test_route_of_others),
        T(test_monitor_addresses),
        T(test_rules),
        T(test_monitor_vanish_and_return),
        T(test_monitor_overrun),
        cmocka_unit_test(test_event_names),
        cmocka_unit_test(test_parse_link_defects),
        cmocka_unit_test(test_parse_addr_defects),
        cmocka_unit_test(test_parse_addr_peer),
#undef T
    };

    netns_enter();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
