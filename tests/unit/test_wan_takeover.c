/* What others have is taken away and put back byte for byte: `ip rule` and `ip route` tell the same
 * before and after. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include "netns.h"
#include <cmocka.h>

#include "pki_dir.h"
#include "wan/takeover.h"

static char dir[64];
static struct netlink *nl;

static int setup(void **state)
{
    snprintf(dir, sizeof(dir), "/tmp/mpquic-takeover-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    pki_dir_remove(dir);
    return 0;
}

static void sh(const char *command)
{
    assert_int_equal(system(command), 0);
}

/* What the command prints, to be freed. */
static char *told(const char *command)
{
    char *text = calloc(1, 65536);
    FILE *p = popen(command, "r");

    assert_non_null(text);
    assert_non_null(p);
    text[fread(text, 1, 65535, p)] = 0;
    assert_int_equal(pclose(p), 0);
    return text;
}

static const char everything[] = "ip rule; ip -6 rule; ip route show table 700; "
                                 "ip -6 route show table 700";

struct notes {
    unsigned taken, given;
    int error;
};

static void note(void *user, bool taken, const char *text, int error)
{
    struct notes *n = user;

    n->taken += taken;
    n->given += !taken;
    n->error = error ? error : n->error;
}

static void on_rule(void *user, const struct fib_rule *r)
{
    if (r && r->priority >= 1000 && r->priority < 1100)
        assert_int_equal(wan_objects_add_rule(user, r), 0);
}

static void on_route(void *user, const struct fib_route *r)
{
    if (r)
        assert_int_equal(wan_objects_add_route(user, r), 0);
}

static void make_foreign(struct wan_objects *foreign)
{
    sh("ip link add v0 type veth peer name v1 && ip link set v0 up && ip link set v1 up && "
       "ip address add 10.9.0.2/24 dev v0");
    sh("ip rule add priority 1000 from 10.1.0.0/16 iif lan0 fwmark 0x3/0xff ipproto tcp dport 80 "
       "lookup 700 protocol static");
    sh("ip rule add not priority 1001 to 10.2.0.0/16 tos 0x10 lookup 70000 "
       "suppress_prefixlength 8");
    sh("ip -6 rule add priority 1002 from 2001:db8::/32 unreachable");
    sh("ip rule add priority 2000 lookup 701");
    sh("ip route add 10.3.0.0/16 via 10.9.0.1 dev v0 table 700 src 10.9.0.2 metric 7 mtu 1400 "
       "advmss 1200 proto bird");
    sh("ip route add default table 700 nexthop via 10.9.0.1 dev v0 weight 3 "
       "nexthop via 10.9.0.9 dev v0 weight 1");
    sh("ip route add prohibit 10.4.0.0/16 table 700");
    sh("ip -6 route add 2001:db8:1::/48 dev v0 table 700 metric 9 proto static");
    assert_int_equal(fib_rule_each(nl, on_rule, foreign), 0);
    assert_int_equal(fib_route_each(nl, 4, 700, 0, on_route, foreign), 0);
    assert_int_equal(fib_route_each(nl, 6, 700, 0, on_route, foreign), 0);
    assert_int_equal(foreign->n_rules, 3);
}

static void clean(void)
{
    sh("ip rule del priority 1000; ip rule del priority 1001; ip -6 rule del priority 1002; "
       "ip rule del priority 2000; ip link del v0; ip route flush table 700; true");
}

static void taken_and_given_back(void **state)
{
    struct wan_objects foreign = {0}, again = {0};
    struct takeover t = {0}, kept = {0};
    struct notes n = {0};
    char *before, *without, *after;

    make_foreign(&foreign);
    before = told(everything);
    assert_int_equal(takeover_find(nl, &foreign, "aa", &t), 0);
    assert_int_equal(t.n, 3 + 4);
    assert_int_equal(takeover_keep(dir, &t), 0);
    assert_int_equal(pki_dir_mode(dir, "gateway.foreign"), 0600);
    assert_int_equal(takeover_remove(nl, &t, note, &n), 0);
    assert_int_equal(n.taken, t.n);
    without = told(everything);
    assert_null(strstr(without, "10.3.0.0"));
    assert_null(strstr(without, "1000:"));
    assert_null(strstr(without, "prohibit"));
    assert_non_null(strstr(without, "2000:"));
    assert_int_equal(takeover_remove(nl, &t, note, &n), 0); /* gone is gone */

    assert_int_equal(takeover_load(dir, &kept), 0);
    assert_int_equal(kept.n, t.n);
    assert_int_equal(takeover_objects(&kept, &again), 0);
    assert_int_equal(again.n_rules, foreign.n_rules);
    assert_int_equal(again.n_routes, foreign.n_routes);
    for (unsigned i = 0; i < again.n_routes; i++)
        assert_true(wan_objects_has_route(&foreign, &again.routes[i]));
    wan_objects_done(&again);
    assert_int_equal(takeover_restore(dir, nl, "bb", note, &n), 0);
    assert_int_equal(n.given, 0);
    assert_int_equal(takeover_restore(dir, nl, "aa", note, &n), 0);
    assert_int_equal(n.given, t.n);
    assert_int_equal(n.error, 0);
    after = told(everything);
    assert_string_equal(after, before);
    assert_int_equal(pki_dir_mode(dir, "gateway.foreign"), -1);
    clean();
    takeover_done(&t);
    takeover_done(&kept);
    wan_objects_done(&foreign);
    free(before);
    free(without);
    free(after);
}

static void confirmed_ones_stay_away(void **state)
{
    struct wan_objects foreign = {0};
    struct takeover t = {0};
    struct notes n = {0};

    make_foreign(&foreign);
    foreign.n_routes = 0;
    assert_int_equal(takeover_find(nl, &foreign, "aa", &t), 0);
    assert_int_equal(t.n, 3);
    assert_int_equal(takeover_keep(dir, &t), 0);
    assert_int_equal(takeover_confirm(dir, "aa"), 0);
    assert_int_equal(takeover_restore(dir, nl, "aa", note, &n), 0);
    assert_int_equal(n.given, 0);
    /* those are there still, which is as good as put back */
    assert_int_equal(takeover_restore(dir, nl, NULL, note, &n), 0);
    assert_int_equal(n.given, 3);
    assert_int_equal(n.error, 0);
    clean();
    takeover_done(&t);
    wan_objects_done(&foreign);
}

/* An interface that was made anew has another number; one that is gone took its routes along. */
static void interfaces_change(void **state)
{
    struct wan_objects foreign = {0};
    struct takeover t = {0};
    struct notes n = {0};
    char *after;

    make_foreign(&foreign);
    foreign.n_rules = 0;
    assert_int_equal(takeover_find(nl, &foreign, "", &t), 0);
    assert_int_equal(takeover_keep(dir, &t), 0);
    assert_int_equal(takeover_remove(nl, &t, note, &n), 0);
    sh("ip link del v0 && ip link add name v9 type veth peer name v0 && ip link set v0 up && "
       "ip link set v9 up && ip address add 10.9.0.2/24 dev v0");
    takeover_restore(dir, nl, NULL, note, &n);
    after = told(everything);
    assert_non_null(strstr(after, "10.3.0.0/16 via 10.9.0.1 dev v0 proto bird"));
    free(after);
    clean();
    takeover_done(&t);
    wan_objects_done(&foreign);
}

static void lines(void **state)
{
    static const char *const bad[] = {
        "",
        "rule",
        "rule - -",
        "rule - - ",
        "rule - - 0",
        "rule - - 0g",
        "other - - 00",
        "rule 01234567890123456 - 00",
        "rule - - 00 00",
        "rule - 0123456789abcdef 00",
    };
    struct takeover_item item = {.id = "ab",
                                 .raw = {.name = "eth0", .len = 3, .data = {1, 0xfe, 3}}};
    struct takeover_item back;
    char *line = takeover_line(&item);

    assert_string_equal(line, "route ab eth0 01fe03");
    assert_int_equal(takeover_parse(line, &back), 0);
    assert_memory_equal(&back, &item, sizeof(item));
    free(line);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(takeover_parse(bad[i], &back), -EBADMSG);
    /* bytes that are no request never reach the kernel */
    assert_int_equal(fib_raw_add(nl, &item.raw), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(taken_and_given_back, setup, teardown),
        cmocka_unit_test_setup_teardown(confirmed_ones_stay_away, setup, teardown),
        cmocka_unit_test_setup_teardown(interfaces_change, setup, teardown),
        cmocka_unit_test(lines),
    };
    int failed;

    netns_enter();
    if (netlink_open(&nl))
        netns_die("netlink_open");
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    netlink_close(nl);
    return failed;
}
