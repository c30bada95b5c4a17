/* Addresses on loan: rule by rule, and a long random run in which the promises must hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "base/util.h"
#include "peer/lease.h"

static const struct siphash_key key = {{3, 4}};

static struct ip_addr addr(const char *text)
{
    struct ip_addr a;

    assert_int_equal(ip_addr_parse(text, &a), 0);
    return a;
}

static struct ip_prefix prefix(const char *text)
{
    struct ip_prefix p;

    assert_int_equal(ip_prefix_parse(text, &p), 0);
    return p;
}

struct world {
    struct leases *l;
    struct hub_policy policy;
    struct ip_prefix own[2], pool[2];
    struct hub_rule rule[3];
};

static struct world *world_new(const char *own4, const char *own6)
{
    static struct world w;

    w = (struct world){.policy = {.multi = true, .pool = w.pool, .rules = w.rule}};
    w.own[0] = prefix(own4);
    w.own[1] = prefix(own6);
    w.l = leases_new(&key, w.own, 2);
    return &w;
}

static void put_in_force(struct world *w)
{
    assert_int_equal(leases_set_policy(w->l, &w->policy), 0);
}

static int try_open(struct world *w, const char *name, const char *instance,
                    struct lease_client **ret)
{
    struct hub_peer_id id = {.name = ""};

    snprintf(id.name, sizeof(id.name), "%s", name);
    snprintf(id.instance, sizeof(id.instance), "%s", instance);
    return lease_client_open(w->l, &id, ret);
}

static struct lease_client *come(struct world *w, const char *name, const char *instance)
{
    struct lease_client *c = NULL;

    assert_int_equal(try_open(w, name, instance, &c), 0);
    assert_string_equal(lease_client_id(c)->name, name);
    return c;
}

static int take(struct world *w, struct lease_client *c, const char *text)
{
    struct ip_addr a = addr(text);

    return lease_take(w->l, c, &a);
}

static const char *any(struct world *w, struct lease_client *c, uint8_t family)
{
    static char buf[IP_ADDR_STR_MAX];
    struct ip_addr a;
    int rv = lease_take_any(w->l, c, family, NULL, 0, &a);

    return rv == -EADDRNOTAVAIL ? "none" : rv ? "error" : ip_addr_str(&a, buf);
}

/* --- rule by rule -------------------------------------------------------------------------- */

static void the_pool_gives_what_peers_can_have(void **state)
{
    struct world *w = world_new("10.0.0.2/29", "fd00::1/126");
    struct lease_client *c[6];
    static const char *const want[] = {"10.0.0.1", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"};

    put_in_force(w);
    for (unsigned i = 0; i < ARRAY_LEN(want); i++) {
        char name[8];

        snprintf(name, sizeof(name), "e%u", i);
        c[i] = come(w, name, "");
        assert_string_equal(any(w, c[i], 4), want[i]); /* not 0, 2 (ours), 7 */
        assert_string_equal(any(w, c[i], 4), want[i]); /* it has one: the same */
    }
    assert_string_equal(any(w, c[0], 6), "fd00::2"); /* neither ::0 nor ours */
    assert_string_equal(any(w, c[1], 6), "fd00::3");
    assert_string_equal(any(w, c[2], 6), "none");
    assert_int_equal(try_open(w, "late", "", &c[5]), -EADDRNOTAVAIL);
    assert_int_equal(take(w, c[0], "10.0.0.0"), -EADDRNOTAVAIL);
    assert_int_equal(take(w, c[0], "10.0.0.2"), -EADDRNOTAVAIL);
    assert_int_equal(take(w, c[0], "10.0.0.7"), -EADDRNOTAVAIL);
    assert_int_equal(take(w, c[0], "10.0.1.1"), -EADDRNOTAVAIL);
    assert_int_equal(take(w, c[0], "10.0.0.3"), -EADDRINUSE);
    leases_free(w->l);
}

static void an_address_waits_for_its_peer(void **state)
{
    struct world *w = world_new("10.0.0.254/24", "fd00::1/64");
    struct lease_client *a, *b;
    struct ip_addr held[LEASE_PEER_MAX];

    put_in_force(w);
    a = come(w, "edge", "cr5");
    b = come(w, "edge", "df5");
    assert_string_equal(any(w, a, 4), "10.0.0.1");
    assert_string_equal(any(w, a, 6), "fd00::2");
    assert_string_equal(any(w, b, 4), "10.0.0.2");
    lease_client_close(w->l, a);
    lease_client_close(w->l, b);
    assert_int_equal(leases_count(w->l), 3);
    assert_string_equal(any(w, come(w, "other", ""), 4), "10.0.0.3");
    b = come(w, "edge", "df5");
    assert_int_equal(lease_held(b, held), 0); /* remembered, not held */
    assert_string_equal(any(w, b, 4), "10.0.0.2");
    a = come(w, "edge", "cr5");
    assert_string_equal(any(w, a, 6), "fd00::2");
    assert_string_equal(any(w, a, 4), "10.0.0.1");
    assert_int_equal(lease_held(a, held), 2);
    assert_int_equal(held[0].family, 6); /* in the order of taking */
    leases_free(w->l);
}

static void the_longest_absence_pays(void **state)
{
    struct world *w = world_new("10.0.0.1/29", "fd00::1/64");
    struct lease_client *c[5];

    w->policy.pool = &w->own[0];
    w->policy.n_pool = 1; /* five addresses, no IPv6 */
    put_in_force(w);
    for (unsigned i = 0; i < 5; i++) {
        c[i] = come(w, (const char *[]){"a", "b", "c", "d", "e"}[i], "");
        any(w, c[i], 4); /* .2 to .6 */
    }
    lease_client_close(w->l, c[3]);
    lease_client_close(w->l, c[1]);
    assert_string_equal(any(w, come(w, "f", ""), 4), "10.0.0.5"); /* d's: away longest */
    assert_string_equal(any(w, come(w, "g", ""), 4), "10.0.0.3");
    assert_int_equal(try_open(w, "b", "", &c[1]), -EADDRNOTAVAIL);
    leases_free(w->l);
}

static void who_asks_for_an_absent_ones_address_gets_it(void **state)
{
    struct world *w = world_new("10.0.0.254/24", "fd00::1/64");
    struct lease_client *a, *b;

    put_in_force(w);
    a = come(w, "a", "");
    b = come(w, "b", "");
    assert_int_equal(take(w, a, "10.0.0.77"), 0);
    assert_int_equal(take(w, a, "10.0.0.77"), 0);
    assert_int_equal(take(w, b, "10.0.0.77"), -EADDRINUSE);
    lease_client_close(w->l, a);
    leases_set_now(w->l, LEASE_GRACE_NS - 1);
    assert_int_equal(take(w, b, "10.0.0.77"), -EADDRINUSE); /* it may only have lost its line */
    leases_set_now(w->l, LEASE_GRACE_NS);
    assert_int_equal(take(w, b, "10.0.0.77"), 0);
    a = come(w, "a", "");
    assert_int_equal(take(w, a, "10.0.0.77"), -EADDRINUSE);
    lease_client_close(w->l, b);
    b = come(w, "b", "renamed");
    assert_int_equal(take(w, b, "10.0.0.77"), 0);
    assert_int_equal(leases_count(w->l), 1);
    leases_free(w->l);
}

/* As many instances as may be, and each asks for eight: others still get addresses. */
static void one_name_does_not_take_the_pool(void **state)
{
    struct world *w = world_new("10.0.0.254/24", "fd00::1/64");
    struct lease_client *c[HUB_INSTANCES_DEFAULT], *other;
    char instance[HUB_INSTANCE_MAX];
    struct ip_addr held[LEASE_PEER_MAX], a;
    unsigned n = 0, least = LEASE_PEER_MAX;

    put_in_force(w);
    for (unsigned i = 0; i < ARRAY_LEN(c); i++) {
        snprintf(instance, sizeof(instance), "i%u", i);
        c[i] = come(w, "evil", instance);
        for (unsigned k = 2; k < 10; k++) {
            a = addr("10.0.0.0");
            a.b[3] = (uint8_t)(i * 8 + k);
            lease_take(w->l, c[i], &a);
            lease_take_any(w->l, c[i], 4, held, lease_held(c[i], held), &a);
        }
        least = MIN(least, lease_held(c[i], held));
        n += lease_held(c[i], held);
    }
    assert_in_range(n, 100, 190);
    assert_true(least >= 1);
    for (unsigned i = 0; i < 40; i++) {
        snprintf(instance, sizeof(instance), "i%u", i);
        other = come(w, "good", instance);
        assert_int_equal(lease_take_any(w->l, other, 4, NULL, 0, &a), 0);
    }
    leases_free(w->l);
}

static void a_fixed_address_is_only_its_peers(void **state)
{
    struct world *w = world_new("10.0.0.1/29", "fd00::1/64");
    struct lease_client *a, *cr5, *df5;

    w->rule[0] = (struct hub_rule){.name = "edge", .addr = {addr("10.0.0.2")}, .n_addr = 1};
    w->rule[1] = (struct hub_rule){.name = "edge",
                                   .instance = "cr5",
                                   .addr = {addr("192.0.2.7"), addr("fd00::5")},
                                   .n_addr = 2};
    w->policy.n_rules = 2;
    put_in_force(w);
    a = come(w, "a", "");
    assert_string_equal(any(w, a, 4), "10.0.0.3");
    assert_int_equal(take(w, a, "10.0.0.2"), -EADDRINUSE); /* though nobody has it */
    assert_int_equal(take(w, a, "fd00::5"), -EADDRINUSE);
    cr5 = come(w, "edge", "cr5");
    df5 = come(w, "edge", "df5");
    assert_string_equal(any(w, cr5, 4), "192.0.2.7"); /* outside the pool */
    assert_string_equal(any(w, cr5, 6), "fd00::5");
    assert_int_equal(take(w, cr5, "10.0.0.2"), -EADDRINUSE); /* it has a rule of its own */
    assert_string_equal(any(w, df5, 4), "10.0.0.2");
    assert_string_equal(any(w, come(w, "edge", "bk5"), 4), "10.0.0.4"); /* it was the second */
    leases_free(w->l);
}

static void a_fixed_address_goes_before_the_pool(void **state)
{
    struct world *w = world_new("10.0.0.1/24", "fd00::1/64");
    struct ip_addr pool = addr("10.0.0.9"), pool6 = addr("fd00::9");
    struct lease_client *one, *two;

    w->rule[0] = (struct hub_rule){.name = "edge", .addr = {addr("10.0.0.50")}, .n_addr = 1};
    w->policy.n_rules = 1;
    put_in_force(w);
    one = come(w, "edge", "1");
    two = come(w, "edge", "2");
    assert_int_equal(take(w, one, "10.0.0.9"), -EADDRNOTAVAIL);
    assert_int_equal(take(w, one, "fd00::9"), 0); /* nothing is fixed of that family */
    assert_true(lease_permitted(w->l, one, &pool6));
    assert_string_equal(any(w, one, 4), "10.0.0.50");
    assert_int_equal(take(w, two, "10.0.0.9"), 0); /* the first instance has it */
    assert_true(lease_permitted(w->l, two, &pool));
    lease_client_close(w->l, one);
    assert_false(lease_permitted(w->l, two, &pool)); /* it is free again */
    leases_free(w->l);
}

static void a_peer_has_eight_at_most(void **state)
{
    struct world *w = world_new("10.0.0.254/24", "fd00::1/64");
    struct lease_client *a;
    struct ip_addr except[LEASE_PEER_MAX + 1], got;

    put_in_force(w);
    a = come(w, "a", "");
    for (unsigned i = 0; i < LEASE_PEER_MAX; i++) {
        assert_int_equal(lease_take_any(w->l, a, 4, except, i, &got), 0);
        except[i] = got;
    }
    assert_int_equal(lease_take_any(w->l, a, 4, except, LEASE_PEER_MAX, &got), -ENOSPC);
    assert_int_equal(take(w, a, "10.0.0.100"), -ENOSPC);
    lease_client_rest(w->l, a); /* a new connection: what it had before makes room */
    assert_int_equal(take(w, a, "10.0.0.100"), 0);
    assert_int_equal(leases_count(w->l), LEASE_PEER_MAX);
    leases_free(w->l);
}

static void instances_of_one_name_are_bounded(void **state)
{
    struct world *w = world_new("10.0.0.254/24", "fd00::1/64");
    struct lease_client *a, *b, *c;

    w->policy.max_instances = 2;
    put_in_force(w);
    a = come(w, "edge", "1");
    b = come(w, "edge", "2");
    assert_string_equal(any(w, a, 4), "10.0.0.1");
    assert_string_equal(any(w, b, 4), "10.0.0.2");
    assert_int_equal(try_open(w, "edge", "3", &c), -ENOSPC);
    come(w, "other", "3");
    lease_client_close(w->l, a);
    c = come(w, "edge", "3"); /* 1 is forgotten */
    assert_int_equal(leases_count(w->l), 1);
    lease_client_close(w->l, c);
    lease_client_close(w->l, b);
    b = come(w, "edge", "2");
    assert_string_equal(any(w, b, 4), "10.0.0.2");
    leases_free(w->l);
}

static void idle_leases_are_bounded(void **state)
{
    struct world *w = world_new("10.0.0.1/8", "fd00::1/64");

    w->policy.max_peers = 10;
    put_in_force(w);
    for (unsigned i = 0; i < 5000; i++) {
        struct lease_client *c;
        char name[16];

        snprintf(name, sizeof(name), "e%u", i);
        c = come(w, name, "");
        any(w, c, 4);
        lease_client_close(w->l, c);
    }
    assert_int_equal(leases_count(w->l), 4096);
    leases_free(w->l);
}

static void another_policy(void **state)
{
    struct world *w = world_new("10.0.0.1/24", "fd00::1/64");
    struct hub_policy second;
    struct hub_rule rule = {.name = "c", .addr = {addr("10.0.0.130")}, .n_addr = 1};
    struct ip_addr in = addr("10.0.0.200"), out = addr("10.0.0.2"), fixed = addr("10.0.0.130");
    struct lease_client *a, *b;

    put_in_force(w);
    a = come(w, "a", "");
    b = come(w, "b", "");
    assert_int_equal(take(w, a, "10.0.0.2"), 0);
    assert_int_equal(take(w, a, "10.0.0.200"), 0);
    assert_int_equal(take(w, b, "10.0.0.3"), 0);
    assert_int_equal(take(w, b, "10.0.0.130"), 0);
    lease_client_close(w->l, b);
    w->pool[0] = prefix("10.0.0.128/25");
    second = (struct hub_policy){
        .multi = true, .pool = w->pool, .n_pool = 1, .rules = &rule, .n_rules = 1};
    assert_int_equal(leases_set_policy(w->l, &second), 0);
    assert_int_equal(leases_count(w->l), 2); /* b's are gone, a's stay until it is closed */
    assert_false(lease_permitted(w->l, a, &out));
    assert_true(lease_permitted(w->l, a, &in));
    assert_false(lease_permitted(w->l, a, &fixed));
    assert_false(lease_governs(w->l, &out));
    assert_true(lease_governs(w->l, &in));
    assert_string_equal(any(w, come(w, "d", ""), 4), "10.0.0.128");
    leases_free(w->l);
}

/* --- a long random run --------------------------------------------------------------------- */

enum { CLIENTS = 40, HOSTS = 32 };

struct tracked {
    struct lease_client *c;
    struct ip_addr had; /* of its last visit; family 0: none */
};

/* No two peers hold one address, nobody holds what it may not, and the count is right. */
static void check_all(struct world *w, struct tracked *who)
{
    int holder[HOSTS];
    unsigned total = 0;

    memset(holder, -1, sizeof(holder));
    for (int i = 0; i < CLIENTS; i++) {
        struct ip_addr held[LEASE_PEER_MAX];
        unsigned n = who[i].c ? lease_held(who[i].c, held) : 0;

        total += n;
        for (unsigned k = 0; k < n; k++) {
            assert_true(lease_permitted(w->l, who[i].c, &held[k]));
            assert_in_range(held[k].b[3], 1, HOSTS - 2);
            assert_int_equal(holder[held[k].b[3]], -1);
            holder[held[k].b[3]] = i;
        }
    }
    assert_true(leases_count(w->l) >= total);
    assert_true(leases_count(w->l) <= HOSTS - 3); /* not ours, first, last */
}

static void a_long_run_keeps_the_promises(void **state)
{
    struct world *w = world_new("10.0.0.9/27", "fd00::1/64");
    struct tracked who[CLIENTS] = {0};
    struct rng r;
    unsigned exhausted = 0, kept = 0;

    w->policy.pool = &w->own[0];
    w->policy.n_pool = 1;
    put_in_force(w);
    rng_seed(&r, 7);
    for (unsigned step = 0; step < 30000; step++) {
        struct tracked *t = &who[rng_below(&r, CLIENTS)];
        struct ip_addr a = addr("10.0.0.0"), got;
        char name[16];
        int rv;

        snprintf(name, sizeof(name), "e%u", (unsigned)(t - who) / 2);
        if (!t->c) {
            rv = try_open(w, name, (t - who) % 2 ? "x" : "y", &t->c);
            assert_true(!rv || rv == -EADDRNOTAVAIL);
            exhausted += rv != 0;
            if (rv)
                t->c = NULL;
            continue;
        }
        switch (rng_below(&r, 4)) {
        case 0:
            lease_client_close(w->l, t->c);
            t->c = NULL;
            break;
        case 1:
            a.b[3] = (uint8_t)rng_below(&r, HOSTS);
            rv = lease_take(w->l, t->c, &a);
            assert_true(!rv || rv == -EADDRINUSE || rv == -EADDRNOTAVAIL || rv == -ENOSPC);
            break;
        default:
            rv = lease_take_any(w->l, t->c, 4, NULL, 0, &got);
            assert_true(!rv || rv == -EADDRNOTAVAIL);
            kept += !rv && t->had.family && ip_addr_equal(&got, &t->had);
            if (!rv)
                t->had = got;
        }
        check_all(w, who);
    }
    assert_true(exhausted > 100);
    assert_true(kept > 1000);
    leases_free(w->l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_pool_gives_what_peers_can_have),
        cmocka_unit_test(an_address_waits_for_its_peer),
        cmocka_unit_test(the_longest_absence_pays),
        cmocka_unit_test(who_asks_for_an_absent_ones_address_gets_it),
        cmocka_unit_test(one_name_does_not_take_the_pool),
        cmocka_unit_test(a_fixed_address_is_only_its_peers),
        cmocka_unit_test(a_fixed_address_goes_before_the_pool),
        cmocka_unit_test(a_peer_has_eight_at_most),
        cmocka_unit_test(instances_of_one_name_are_bounded),
        cmocka_unit_test(idle_leases_are_bounded),
        cmocka_unit_test(another_policy),
        cmocka_unit_test(a_long_run_keeps_the_promises),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
