#include "helper/ensure.h"

#include <errno.h>
#include <setjmp.h>

#include "netlink/netlink.h"
#include "netns.h"
#include <cmocka.h>

#include "base/util.h"
#include "tun/tun.h"

static struct tunnel_config config = {.tun_name = "mpqt", .n_tun_addr = 2};
static struct netlink *nl;

static unsigned count_addresses(int index)
{
    struct netlink_addr v[16];
    int n = netlink_addr_list(nl, index, v, ARRAY_LEN(v));
    unsigned found = 0;

    assert_in_range(n, 0, ARRAY_LEN(v));
    for (int i = 0; i < n; i++)
        for (unsigned k = 0; k < config.n_tun_addr; k++)
            found += ip_prefix_equal(&v[i].prefix, &config.tun_addr[k]);
    return found;
}

static struct netlink_link ensured(enum ensure_result expected)
{
    struct netlink_link link;
    const char *what;

    assert_int_equal(ensure_tun(&config, &what), expected);
    assert_int_equal(netlink_link_by_name(nl, "mpqt", &link), 0);
    assert_true(link.flags & IFF_UP);
    assert_int_equal(count_addresses(link.index), 2);
    return link;
}

/* Made once, then the same interface again and again; what is missing is put back. */
static void test_idempotent(void **state)
{
    struct netlink_link first = ensured(ENSURE_MADE);

    assert_int_equal(ensured(ENSURE_WAS_THERE).index, first.index);
    assert_int_equal(netlink_addr_del(nl, first.index, &config.tun_addr[0]), 0);
    assert_int_equal(netlink_link_set_up(nl, first.index, false), 0);
    assert_int_equal(ensured(ENSURE_WAS_THERE).index, first.index);
}

/* One that a running instance has open is fine. */
static void test_in_use(void **state)
{
    struct tun_opts opts = {.persist = true};
    struct tun_info info;
    const char *what;
    int fd;

    fd = tun_fd_open("mpqt", &opts, &info);
    assert_true(fd >= 0);
    assert_int_equal(netlink_link_set_up(nl, info.ifindex, false), 0);
    assert_int_equal(ensure_tun(&config, &what), ENSURE_IN_USE);
    close(fd);
    ensured(ENSURE_WAS_THERE);
}

static void test_refused(void **state)
{
    struct tunnel_config other = {.tun_name = "lo"};
    const char *what = NULL;

    assert_int_equal(ensure_tun(&other, &what), -EEXIST);
    assert_non_null(what);
}

static void test_removed(void **state)
{
    struct tun_info info;
    const struct tun_opts opts = {0};
    int fd;

    ensured(ENSURE_WAS_THERE);
    fd = tun_fd_open("mpqt", &opts, &info);
    assert_true(fd >= 0);
    assert_int_equal(ensure_no_tun("mpqt"), -EBUSY);
    assert_true(ensure_tun_exists("mpqt"));
    close(fd);
    assert_int_equal(ensure_no_tun("mpqt"), 0);
    assert_false(ensure_tun_exists("mpqt"));
    assert_int_equal(ensure_no_tun("mpqt"), 0);
    assert_int_equal(ensure_no_tun("lo"), 0);
    assert_false(ensure_tun_exists("lo"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_idempotent),
        cmocka_unit_test(test_in_use),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_removed),
    };

    netns_enter();
    if (netlink_open(&nl) || ip_prefix_parse("10.200.1.1/30", &config.tun_addr[0]) ||
        ip_prefix_parse("fd00:1::1/64", &config.tun_addr[1]))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
