#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/clock.h"
#include "quic/source.h"

static const struct siphash_key key = {{1, 2}};

static struct net_addr addr(const char *ip, uint16_t port)
{
    struct ip_addr a;

    assert_int_equal(ip_addr_parse(ip, &a), 0);
    return net_addr_make(&a, port);
}

static struct source *get(struct source_table *t, const char *ip, uint16_t port)
{
    struct net_addr a = addr(ip, port);

    return source_get(t, &a);
}

static struct source *get_n(struct source_table *t, unsigned n)
{
    char ip[32];

    snprintf(ip, sizeof(ip), "10.%u.%u.%u", n >> 16 & 255, n >> 8 & 255, n & 255);
    return get(t, ip, 1);
}

/* --- buckets --------------------------------------------------------------------------- */

static void bucket_gives_a_burst_and_a_rate(void **state)
{
    static const struct bucket_rate rate = {.step_ns = NS_PER_S / 10, .burst = 5};
    static const uint64_t start_ns[] = {0, 1, NS_PER_S / 20, NS_PER_S, 1000000 * NS_PER_S};

    for (unsigned k = 0; k < 5; k++) {
        struct bucket b = {0};
        uint64_t t = start_ns[k];
        unsigned n = 0;

        while (n < 100 && bucket_take(&b, &rate, t))
            n++;
        assert_int_equal(n, 5);
        for (n = 0; t < start_ns[k] + 10 * NS_PER_S; t += NS_PER_MS)
            n += bucket_take(&b, &rate, t);
        assert_in_range(n, 99, 100);
        t += 100 * NS_PER_S; /* a long pause earns no more than a burst */
        for (n = 0; n < 100 && bucket_take(&b, &rate, t);)
            n++;
        assert_int_equal(n, 5);
    }
}

/* --- the table ------------------------------------------------------------------------- */

static void one_customer_is_one_source(void **state)
{
    struct source_table *t = source_table_new(&key);
    struct source *a = get(t, "192.0.2.1", 1);

    assert_ptr_equal(get(t, "192.0.2.1", 60000), a);
    assert_ptr_not_equal(get(t, "192.0.2.2", 1), a);
    a = get(t, "2001:db8:1:2::1", 1);
    assert_ptr_equal(get(t, "2001:db8:1:2:ffff:ffff:ffff:ffff", 9), a);
    assert_ptr_not_equal(get(t, "2001:db8:1:3::1", 1), a);
    /* The first bytes of both are the same. */
    assert_ptr_not_equal(get(t, "192.0.2.1", 1), get(t, "c000:201::", 1));
    assert_int_equal(source_table_used(t), 5);
    source_table_free(t);
}

static void no_address_is_no_source(void **state)
{
    struct source_table *t = source_table_new(&key);
    struct net_addr none = {0};

    assert_null(source_get(t, &none));
    source_table_free(t);
}

/* A full table forgets who was longest silent; who is forgotten begins anew. */
static void the_silent_make_room(void **state)
{
    struct source_table *t = source_table_new(&key);

    for (unsigned i = 0; i < SOURCES_MAX; i++)
        get_n(t, i)->retry.spent_ns = 1000 + i;
    assert_int_equal(get_n(t, 0)->retry.spent_ns, 1000); /* newest again */
    get_n(t, SOURCES_MAX);
    assert_int_equal(source_table_used(t), SOURCES_MAX);
    assert_int_equal(get_n(t, 0)->retry.spent_ns, 1000);
    assert_int_equal(get_n(t, 2)->retry.spent_ns, 1002);
    assert_int_equal(get_n(t, 1)->retry.spent_ns, 0);
    source_table_free(t);
}

static void the_busy_stay(void **state)
{
    struct source_table *t = source_table_new(&key);
    struct source *busy[3] = {get_n(t, 0), get_n(t, 1), get_n(t, 2)};

    busy[0]->proven = 1;
    busy[2]->unproven = 1;
    busy[0]->answer.spent_ns = busy[1]->answer.spent_ns = busy[2]->answer.spent_ns = 7;
    for (unsigned i = 3; i < 5 * SOURCES_MAX; i++)
        assert_non_null(get_n(t, i));
    assert_ptr_equal(get_n(t, 0), busy[0]);
    assert_ptr_equal(get_n(t, 2), busy[2]);
    assert_int_equal(busy[0]->answer.spent_ns, 7);
    assert_int_equal(busy[2]->answer.spent_ns, 7);
    assert_int_equal(get_n(t, 1)->answer.spent_ns, 0);
    source_table_free(t);
}

static void all_busy(void **state)
{
    struct source_table *t = source_table_new(&key);

    for (unsigned i = 0; i < SOURCES_MAX; i++)
        get_n(t, i)->proven = 1;
    assert_null(get_n(t, SOURCES_MAX));
    get_n(t, 17)->proven = 0;
    assert_non_null(get_n(t, SOURCES_MAX));
    source_table_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bucket_gives_a_burst_and_a_rate),
        cmocka_unit_test(one_customer_is_one_source),
        cmocka_unit_test(no_address_is_no_source),
        cmocka_unit_test(the_silent_make_room),
        cmocka_unit_test(the_busy_stay),
        cmocka_unit_test(all_busy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
