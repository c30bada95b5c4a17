#include "daemon/local.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"

static struct netlink_addr on(const char *text, uint32_t flags)
{
    struct netlink_addr a = {.index = 7, .scope = RT_SCOPE_UNIVERSE, .flags = flags};

    assert_int_equal(ip_prefix_parse(text, &a.prefix), 0);
    return a;
}

static struct ip_addr addr(const char *text)
{
    struct ip_addr a = {0};

    if (*text)
        assert_int_equal(ip_addr_parse(text, &a), 0);
    return a;
}

static void chooses(const struct local_choice *c, const struct netlink_addr *v, unsigned n,
                    const char *preferred, const char *want)
{
    struct ip_addr p = addr(preferred), got = {0}, w = addr(want);

    assert_true(local_choose(c, v, n, w.family, &p, &got));
    assert_true(ip_addr_equal(&got, &w));
}

static void test_what_the_kernel_prefers(void **state)
{
    struct local_choice c = {0};
    struct netlink_addr v[] = {on("192.168.100.2/24", 0), on("10.99.0.1/24", 0)};

    chooses(&c, v, 2, "10.99.0.1", "10.99.0.1");
    chooses(&c, v, 2, "", "192.168.100.2"); /* no route: the first */
    chooses(&c, v, 2, "10.1.1.1", "192.168.100.2");
    chooses(&c, v, 1, "10.99.0.1", "192.168.100.2");
}

static void test_what_worked_is_kept(void **state)
{
    struct local_choice c = {0};
    struct netlink_addr v[] = {on("10.99.0.1/24", 0), on("10.99.0.9/24", 0)};
    struct ip_addr worked = addr("10.99.0.9");

    local_on_up(&c, &worked);
    chooses(&c, v, 2, "10.99.0.1", "10.99.0.9");
    chooses(&c, v, 1, "10.99.0.1", "10.99.0.1");
    local_on_silence(&c);
    local_on_silence(&c);
    chooses(&c, v, 2, "10.99.0.1", "10.99.0.1");
    local_on_up(&c, &worked);
    chooses(&c, v, 2, "10.99.0.1", "10.99.0.9");
}

static void test_silence_tries_the_others(void **state)
{
    static const char *const want[] = {"10.0.0.2", "10.0.0.1", "10.0.0.2",
                                       "10.0.0.3", "10.0.0.2", "10.0.0.1"};
    struct local_choice c = {0};
    struct netlink_addr v[] = {on("10.0.0.1/24", 0), on("10.0.0.2/24", 0), on("10.0.0.3/24", 0),
                               on("10.0.0.4/24", IFA_F_DEPRECATED), on("fd00::1/64", 0)};

    for (unsigned i = 0; i < ARRAY_LEN(want); i++) {
        chooses(&c, v, ARRAY_LEN(v), "10.0.0.2", want[i]);
        chooses(&c, v, ARRAY_LEN(v), "", "fd00::1"); /* alone: always that */
        local_on_silence(&c);
    }
}

static void test_none_that_can_be_sent_from(void **state)
{
    struct local_choice c = {0};
    struct ip_addr preferred = addr("fd00::1"), got = {.family = 9};
    struct netlink_addr v[] = {on("fd00::1/64", IFA_F_TENTATIVE), on("10.0.0.1/24", 0),
                               on("fe80::1/64", 0)};

    v[2].scope = RT_SCOPE_LINK;
    assert_false(local_choose(&c, v, ARRAY_LEN(v), 6, &preferred, &got));
    assert_false(local_choose(&c, v, 0, 4, &preferred, &got));
    assert_int_equal(got.family, 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_the_kernel_prefers),
        cmocka_unit_test(test_what_worked_is_kept),
        cmocka_unit_test(test_silence_tries_the_others),
        cmocka_unit_test(test_none_that_can_be_sent_from),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
