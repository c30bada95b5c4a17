#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/remote.h"

enum { NONE, V4, V6, BOTH };

/* The hub as the resolver gave it: "46" is IPv4 before IPv6. */
static struct remote_choice hub(const char *order)
{
    struct remote_choice c = {0};

    for (; *order; order++) {
        struct ip_addr ip = {.family = (uint8_t)(*order - '0'), .b = {32, 1}};

        c.v[c.n++] = net_addr_make(&ip, 45001);
    }
    return c;
}

/* The family that is chosen. */
static unsigned chosen(struct remote_choice *c, unsigned families)
{
    const struct net_addr *a = remote_choose(c, families);

    return a ? net_addr_ip(a).family : 0;
}

static void the_order_of_the_resolver(void **state)
{
    struct remote_choice a = hub("64"), b = hub("46"), none = hub("");

    assert_int_equal(chosen(&a, BOTH), 6);
    assert_int_equal(chosen(&b, BOTH), 4);
    assert_int_equal(chosen(&none, BOTH), 0);
}

/* A WAN without IPv6, on a machine that has it elsewhere. */
static void what_cannot_be_sent_from_does_not_count(void **state)
{
    struct remote_choice c = hub("64"), only6 = hub("6");

    assert_int_equal(chosen(&c, V4), 4);
    assert_int_equal(chosen(&c, V6), 6);
    assert_int_equal(chosen(&c, NONE), 0);
    assert_int_equal(chosen(&only6, V4), 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(remote_on_silence(&c));
        assert_int_equal(chosen(&c, V4), 4);
    }
}

static void silence_tries_the_other(void **state)
{
    struct remote_choice c = hub("64");

    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(chosen(&c, BOTH), 6);
        assert_false(remote_on_silence(&c));
        assert_int_equal(chosen(&c, BOTH), 4);
        assert_true(remote_on_silence(&c));
    }
}

static void what_worked_is_kept(void **state)
{
    struct remote_choice c = hub("64");

    remote_on_silence(&c);
    remote_on_up(&c, 4);
    assert_int_equal(chosen(&c, BOTH), 4);
    assert_int_equal(chosen(&c, V6), 6);
    assert_int_equal(chosen(&c, BOTH), 4);
    remote_on_silence(&c);
    assert_int_equal(chosen(&c, BOTH), 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_order_of_the_resolver),
        cmocka_unit_test(what_cannot_be_sent_from_does_not_count),
        cmocka_unit_test(silence_tries_the_other),
        cmocka_unit_test(what_worked_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
