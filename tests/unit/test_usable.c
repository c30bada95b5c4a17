#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/usable.h"

enum { WAN = 2, TUN = 7 };

static struct ip_addr addr(const char *text)
{
    struct ip_addr a;

    assert_int_equal(ip_addr_parse(text, &a), 0);
    return a;
}

static const char *conflict(const char *text)
{
    struct netlink_addr v[] = {
        {.index = WAN, .prefix = {.addr = addr("192.0.2.7"), .len = 24}},
        {.index = TUN, .prefix = {.addr = addr("10.200.0.1"), .len = 32}},
        {.index = WAN, .prefix = {.addr = addr("2001:db8::7"), .len = 64}},
    };
    struct usable_outside o = {.remote = addr("198.51.100.1"),
                               .v = v,
                               .n = 3,
                               .tun_index = TUN,
                               .is_next_hop = !strcmp(text, "192.0.2.1")};
    struct ip_addr a = addr(text);

    return usable_conflict(&o, &a);
}

static void what_is_outside_is_not_usable(void **state)
{
    assert_non_null(strstr(conflict("198.51.100.1"), "hub"));
    assert_non_null(strstr(conflict("192.0.2.7"), "another interface"));
    assert_non_null(strstr(conflict("2001:db8::7"), "another interface"));
    assert_non_null(strstr(conflict("192.0.2.1"), "router"));
}

static void all_else_is(void **state)
{
    assert_null(conflict("10.200.0.1")); /* it is on the TUN already */
    assert_null(conflict("10.200.0.2"));
    assert_null(conflict("192.0.2.8"));
    assert_null(conflict("fd00:200::1"));
}

static void nothing_known_is_no_conflict(void **state)
{
    struct usable_outside o = {.n = -12};
    struct ip_addr a = addr("10.200.0.1");

    assert_null(usable_conflict(&o, &a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_outside_is_not_usable),
        cmocka_unit_test(all_else_is),
        cmocka_unit_test(nothing_known_is_no_conflict),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
