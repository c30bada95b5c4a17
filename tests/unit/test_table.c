/* Which peer an address belongs to: rule by rule, and against a plain list with linear search. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/rng.h"
#include "base/util.h"
#include "peer/table.h"

static const struct siphash_key key = {{1, 2}};
static const uint64_t T0 = 100 * NS_PER_S;

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

static struct table_owner *owner_of(const struct table *t, const char *text)
{
    struct table_owner *o = NULL;
    enum table_kind kind;
    struct ip_addr a = addr(text);

    table_find(t, &a, &o, &kind);
    return o;
}

static int learn(struct table *t, struct table_owner *o, const char *text, uint64_t at_ns)
{
    struct ip_addr a = addr(text);

    return table_learn(t, o, &a, at_ns);
}

static int assign(struct table *t, struct table_owner *o, const char *text)
{
    struct ip_addr a = addr(text);

    return table_assign(t, o, &a);
}

static int add_fixed(struct table *t, const char *text)
{
    struct ip_prefix p = prefix(text);

    return table_add_fixed(t, &p);
}

static int claim(struct table *t, struct table_owner *o, const char *text)
{
    struct ip_prefix p = prefix(text);

    return table_claim(t, o, &p);
}

/* --- rule by rule -------------------------------------------------------------------------- */

static void the_longest_prefix_wins(void **state)
{
    struct table *t = table_new(&key, 0, 0);
    struct table_owner a = {0}, b = {0}, c = {0};
    struct ip_addr away = addr("172.20.0.1");
    struct table_owner *o = &a;
    enum table_kind kind;

    assert_int_equal(add_fixed(t, "172.16.0.0/12"), 0);
    assert_int_equal(add_fixed(t, "172.16.5.77/24"), 0); /* host bits do not matter */
    assert_int_equal(add_fixed(t, "2001:db8::/32"), 0);
    assert_true(table_find(t, &away, &o, &kind));
    assert_null(o); /* nobody is up */
    assert_int_equal(kind, TABLE_FIXED);
    assert_int_equal(claim(t, &a, "172.16.0.0/12"), 0);
    assert_int_equal(claim(t, &b, "172.16.5.0/24"), 0);
    assert_int_equal(assign(t, &c, "172.16.5.9"), 0);
    assert_int_equal(claim(t, &c, "2001:db8::/32"), 0);
    assert_ptr_equal(owner_of(t, "172.16.4.255"), &a);
    assert_ptr_equal(owner_of(t, "172.16.5.8"), &b);
    assert_ptr_equal(owner_of(t, "172.16.5.9"), &c);
    assert_ptr_equal(owner_of(t, "172.31.255.255"), &a);
    assert_null(owner_of(t, "172.32.0.0"));
    assert_ptr_equal(owner_of(t, "2001:db8:ffff::1"), &c);
    assert_null(owner_of(t, "2001:db9::1"));
    assert_null(owner_of(t, "32.1.13.184")); /* the first bytes of 2001:db8:: */
    table_leave(t, &a);
    table_leave(t, &b);
    assert_null(owner_of(t, "172.16.5.8"));
    table_leave(t, &c);
    assert_null(owner_of(t, "172.16.5.9"));
    table_free(t);
}

static void a_default_route_behind_a_peer(void **state)
{
    struct table *t = table_new(&key, 0, 0);
    struct table_owner a = {0};

    assert_int_equal(add_fixed(t, "0.0.0.0/0"), 0);
    assert_int_equal(claim(t, &a, "0.0.0.0/0"), 0);
    assert_ptr_equal(owner_of(t, "203.0.113.1"), &a);
    assert_null(owner_of(t, "::1"));
    table_leave(t, &a);
    table_free(t);
}

static void one_owner_at_a_time(void **state)
{
    struct table *t = table_new(&key, 0, 0);
    struct table_owner a = {0}, b = {0};
    struct ip_prefix got[4];

    assert_int_equal(claim(t, &a, "10.1.0.0/16"), -ENOENT);
    assert_int_equal(add_fixed(t, "10.1.0.0/16"), 0);
    assert_int_equal(add_fixed(t, "10.1.0.0/16"), 0);
    assert_int_equal(claim(t, &a, "10.1.0.0/16"), 0);
    assert_int_equal(claim(t, &a, "10.1.0.0/16"), 0);
    assert_int_equal(claim(t, &b, "10.1.0.0/16"), -EBUSY);
    assert_int_equal(assign(t, &a, "10.9.0.1"), 0);
    assert_int_equal(assign(t, &a, "10.9.0.1"), 0);
    assert_int_equal(assign(t, &b, "10.9.0.1"), -EEXIST);
    assert_int_equal(add_fixed(t, "10.9.0.1/32"), -EEXIST);
    assert_int_equal(table_fixed(&a, got, ARRAY_LEN(got)), 1);
    assert_int_equal(got[0].len, 16);
    table_unassign(t, &a);
    assert_int_equal(assign(t, &b, "10.9.0.1"), 0);
    assert_ptr_equal(owner_of(t, "10.1.2.3"), &a); /* unassign leaves it */
    table_leave(t, &a);
    assert_int_equal(claim(t, &b, "10.1.0.0/16"), 0);
    table_leave(t, &b);
    table_free(t);
}

static void a_learned_address_changes_hands_when_unused(void **state)
{
    struct table *t = table_new(&key, 0, 0);
    struct table_owner a = {0}, b = {0};
    uint64_t now = T0;

    assert_int_equal(learn(t, &a, "192.168.1.5", now), 0);
    assert_ptr_equal(owner_of(t, "192.168.1.5"), &a);
    assert_int_equal(learn(t, &b, "192.168.1.5", now + 1), -EBUSY);
    now += 200 * NS_PER_S;
    assert_int_equal(learn(t, &a, "192.168.1.5", now), 0); /* used again */
    assert_int_equal(learn(t, &b, "192.168.1.5", now + TABLE_LEARNED_AGE_NS - 1), -EBUSY);
    assert_int_equal(learn(t, &b, "192.168.1.5", now + TABLE_LEARNED_AGE_NS), 0);
    assert_ptr_equal(owner_of(t, "192.168.1.5"), &b);
    assert_int_equal(a.n_learned, 0);
    table_leave(t, &b); /* its holder is gone: at once */
    assert_int_equal(learn(t, &a, "192.168.1.5", now + TABLE_LEARNED_AGE_NS + 1), 0);
    table_leave(t, &a);
    assert_int_equal(table_n_learned(t), 0);
    table_free(t);
}

static void what_is_given_displaces_what_is_learned(void **state)
{
    struct table *t = table_new(&key, 0, 0);
    struct table_owner a = {0}, b = {0};

    assert_int_equal(learn(t, &a, "10.0.0.1", T0), 0);
    assert_int_equal(learn(t, &a, "10.0.0.2", T0), 0);
    assert_int_equal(assign(t, &b, "10.0.0.1"), 0);
    assert_int_equal(add_fixed(t, "10.0.0.2/32"), 0);
    assert_ptr_equal(owner_of(t, "10.0.0.1"), &b);
    assert_null(owner_of(t, "10.0.0.2"));
    assert_int_equal(a.n_learned, 0);
    assert_int_equal(learn(t, &a, "10.0.0.1", T0), -EBUSY);
    table_leave(t, &a);
    table_leave(t, &b);
    table_free(t);
}

static bool is_even(void *user, const struct ip_addr *a)
{
    return a->b[3] % 2 == 0;
}

static void the_oldest_learned_address_makes_room(void **state)
{
    struct table *t = table_new(&key, 5, 3);
    struct table_owner a = {0}, b = {0};
    struct ip_addr got[8];

    learn(t, &a, "10.0.0.1", T0);
    learn(t, &a, "10.0.0.2", T0 + 1);
    learn(t, &a, "10.0.0.3", T0 + 2);
    learn(t, &a, "10.0.0.1", T0 + 3); /* used: 2 is the oldest now */
    learn(t, &a, "10.0.0.4", T0 + 4);
    assert_null(owner_of(t, "10.0.0.2"));
    assert_int_equal(table_learned(&a, got, 8), 3);
    assert_int_equal(got[0].b[3], 4);
    assert_int_equal(got[1].b[3], 1);
    assert_int_equal(got[2].b[3], 3);
    learn(t, &b, "10.1.0.1", T0 + 5);
    learn(t, &b, "10.1.0.2", T0 + 6);
    learn(t, &b, "10.1.0.3", T0 + 7); /* the sixth of all: b's own oldest goes */
    assert_null(owner_of(t, "10.1.0.1"));
    assert_ptr_equal(owner_of(t, "10.0.0.3"), &a);
    assert_int_equal(table_n_learned(t), 5);
    table_filter_learned(t, is_even, NULL);
    assert_int_equal(table_n_learned(t), 2);
    assert_ptr_equal(owner_of(t, "10.0.0.4"), &a);
    assert_ptr_equal(owner_of(t, "10.1.0.2"), &b);
    table_leave(t, &a);
    table_leave(t, &b);
    table_free(t);
}

/* However many addresses somebody invents, and as however many peers: an address that is used stays
 * its peer's, and somebody new still gets some. */
static void nobody_takes_an_address_by_inventing_others(void **state)
{
    enum { PEERS = 64, EACH = 1024 };
    static struct table_owner evil[PEERS];
    struct table *t = table_new(&key, 0, 0);
    struct table_owner good = {0}, late = {0};
    struct ip_addr a = addr("10.9.0.1");

    assert_int_equal(table_learn(t, &good, &a, T0), 0);
    for (unsigned i = 0; i < PEERS * EACH; i++) {
        a = addr("10.0.0.0");
        a.b[1] = (uint8_t)(i >> 16);
        a.b[2] = (uint8_t)(i >> 8);
        a.b[3] = (uint8_t)i;
        table_learn(t, &evil[i % PEERS], &a, T0 + 1 + i);
    }
    assert_ptr_equal(owner_of(t, "10.9.0.1"), &good);
    assert_int_equal(learn(t, &evil[0], "10.9.0.1", T0 + TABLE_LEARNED_AGE_NS - 1), -EBUSY);
    for (unsigned i = 1; i < 100; i++) {
        a = addr("10.8.0.0");
        a.b[3] = (uint8_t)i;
        assert_int_equal(table_learn(t, &late, &a, T0 + PEERS * EACH + i), 0);
    }
    assert_int_equal(late.n_learned, 99);
    table_leave(t, &good);
    table_leave(t, &late);
    for (unsigned i = 0; i < PEERS; i++)
        table_leave(t, &evil[i]);
    table_free(t);
}

/* When all places are taken by those who use them there is none. */
static void a_full_table_waits_for_age(void **state)
{
    struct table *t = table_new(&key, 1, 1);
    struct table_owner a = {0}, b = {0};

    assert_int_equal(learn(t, &a, "10.0.0.1", T0), 0);
    assert_int_equal(learn(t, &b, "10.0.0.2", T0 + TABLE_LEARNED_AGE_NS - 1), -ENOSPC);
    assert_int_equal(learn(t, &b, "10.0.0.2", T0 + TABLE_LEARNED_AGE_NS), 0);
    assert_null(owner_of(t, "10.0.0.1"));
    table_leave(t, &a);
    table_leave(t, &b);
    table_free(t);
}

static void what_fixed_prefixes_cover(void **state)
{
    struct table *t = table_new(&key, 0, 0);
    struct table_owner a = {0};
    struct ip_addr in = addr("10.1.2.3"), out = addr("10.2.0.1");

    add_fixed(t, "10.1.0.0/16");
    assert_true(table_in_fixed(t, &in));
    assert_false(table_in_fixed(t, &out));
    assign(t, &a, "10.1.2.3");
    assign(t, &a, "10.2.0.1");
    assert_true(table_in_fixed(t, &in));
    assert_false(table_in_fixed(t, &out));
    table_forget_fixed(t);
    assert_false(table_in_fixed(t, &in));
    table_leave(t, &a);
    table_free(t);
}

/* --- against a model ----------------------------------------------------------------------- */

enum { OWNERS = 5, ENTRIES = 400, MAX_ALL = 20, MAX_PEER = 6 };

struct entry {
    struct ip_prefix p;
    enum table_kind kind;
    int owner;     /* -1: none */
    uint64_t used; /* learned: order of last use, for the oldest; equal times cannot be */
    uint64_t used_ns;
};

struct model {
    struct entry v[ENTRIES];
    unsigned n;
    uint64_t uses;
};

static struct entry *model_exact(struct model *m, const struct ip_prefix *p)
{
    for (unsigned i = 0; i < m->n; i++)
        if (ip_prefix_equal(&m->v[i].p, p))
            return &m->v[i];
    return NULL;
}

static struct entry *model_find(struct model *m, const struct ip_addr *a)
{
    struct entry *best = NULL;

    for (unsigned i = 0; i < m->n; i++)
        if (ip_prefix_contains(&m->v[i].p, a) && (!best || m->v[i].p.len > best->p.len))
            best = &m->v[i];
    return best;
}

static void model_delete(struct model *m, struct entry *e)
{
    *e = m->v[--m->n];
}

static void model_add(struct model *m, const struct ip_prefix *p, enum table_kind kind, int owner,
                      uint64_t now_ns)
{
    assert_true(m->n < ENTRIES);
    m->v[m->n++] =
        (struct entry){.p = *p, .kind = kind, .owner = owner, .used = m->uses++, .used_ns = now_ns};
}

static struct entry *model_oldest(struct model *m, int owner, unsigned *ret_n)
{
    struct entry *oldest = NULL;

    *ret_n = 0;
    for (unsigned i = 0; i < m->n; i++) {
        if (m->v[i].kind != TABLE_LEARNED || (owner >= 0 && m->v[i].owner != owner))
            continue;
        ++*ret_n;
        if (!oldest || m->v[i].used < oldest->used)
            oldest = &m->v[i];
    }
    return oldest;
}

static int model_learn(struct model *m, int owner, const struct ip_prefix *host, uint64_t now_ns)
{
    struct entry *e = model_exact(m, host), *oldest, *own;
    unsigned n, all;

    if (e && (e->kind != TABLE_LEARNED ||
              (e->owner != owner && now_ns < e->used_ns + TABLE_LEARNED_AGE_NS)))
        return -EBUSY;
    if (e && e->owner == owner) {
        e->used = m->uses++;
        e->used_ns = now_ns;
        return 0;
    }
    if (e)
        model_delete(m, e);
    own = model_oldest(m, owner, &n);
    oldest = model_oldest(m, -1, &all);
    if (n >= MAX_PEER || n > MAX_ALL - all) {
        model_delete(m, own);
    } else if (all == MAX_ALL) {
        if (now_ns < oldest->used_ns + TABLE_LEARNED_AGE_NS)
            return -ENOSPC;
        model_delete(m, oldest);
    }
    model_add(m, host, TABLE_LEARNED, owner, now_ns);
    return 0;
}

static int model_assign(struct model *m, int owner, const struct ip_prefix *host)
{
    struct entry *e = model_exact(m, host);

    if (e && e->kind != TABLE_LEARNED)
        return e->kind == TABLE_ASSIGNED && e->owner == owner ? 0 : -EEXIST;
    if (e)
        model_delete(m, e);
    model_add(m, host, TABLE_ASSIGNED, owner, 0);
    return 0;
}

static int model_add_fixed(struct model *m, const struct ip_prefix *p)
{
    struct entry *e = model_exact(m, p);

    if (e && e->kind != TABLE_LEARNED)
        return e->kind == TABLE_FIXED ? 0 : -EEXIST;
    if (e)
        model_delete(m, e);
    model_add(m, p, TABLE_FIXED, -1, 0);
    return 0;
}

static int model_claim(struct model *m, int owner, const struct ip_prefix *p)
{
    struct entry *e = model_exact(m, p);

    if (!e || e->kind != TABLE_FIXED)
        return -ENOENT;
    if (e->owner >= 0)
        return e->owner == owner ? 0 : -EBUSY;
    e->owner = owner;
    return 0;
}

/* kind < 0: everything of the owner. */
static void model_leave(struct model *m, int owner, int kind)
{
    for (unsigned i = m->n; i-- > 0;) {
        if (m->v[i].owner != owner || (kind >= 0 && (int)m->v[i].kind != kind))
            continue;
        if (m->v[i].kind == TABLE_FIXED)
            m->v[i].owner = -1;
        else
            model_delete(m, &m->v[i]);
    }
}

/* Addresses of a small world, so that everything collides: 10.0.0-3.0-15 and the same in IPv6. */
static struct ip_addr random_addr(struct rng *r)
{
    struct ip_addr a = addr(rng_below(r, 2) ? "10.0.0.0" : "fd00::");
    unsigned last = ip_addr_bits(&a) / 8 - 1;

    a.b[last - 1] = (uint8_t)rng_below(r, 4);
    a.b[last] = (uint8_t)rng_below(r, 16);
    return a;
}

static struct ip_prefix random_prefix(struct rng *r)
{
    struct ip_prefix p = {.addr = random_addr(r)};

    p.len = (uint8_t)(ip_addr_bits(&p.addr) - rng_below(r, 14));
    return ip_prefix_network(&p);
}

static int step(struct table *t, struct table_owner *owner, struct model *m, struct rng *r,
                uint64_t now_ns, int *ret_model)
{
    int o = (int)rng_below(r, OWNERS);
    struct ip_prefix p = random_prefix(r), host = {.addr = random_addr(r)};

    host.len = (uint8_t)ip_addr_bits(&host.addr);
    *ret_model = 0;
    switch (rng_below(r, 40)) {
    case 0:
        model_leave(m, o, -1);
        table_leave(t, &owner[o]);
        return 0;
    case 1:
        model_leave(m, o, TABLE_ASSIGNED);
        table_unassign(t, &owner[o]);
        return 0;
    case 2 ... 4:
        *ret_model = model_add_fixed(m, &p);
        return table_add_fixed(t, &p);
    case 5 ... 9:
        if (m->n)
            p = m->v[rng_below(r, m->n)].p;
        *ret_model = model_claim(m, o, &p);
        return table_claim(t, &owner[o], &p);
    case 10 ... 14:
        *ret_model = model_assign(m, o, &host);
        return table_assign(t, &owner[o], &host.addr);
    default:
        *ret_model = model_learn(m, o, &host, now_ns);
        return table_learn(t, &owner[o], &host.addr, now_ns);
    }
}

static void check(struct table *t, struct table_owner *owner, struct model *m,
                  const struct ip_addr *a)
{
    const struct entry *want = model_find(m, a);
    struct table_owner *o = NULL;
    enum table_kind kind = TABLE_FIXED;

    assert_int_equal(table_find(t, a, &o, &kind), want != NULL);
    if (!want)
        return;
    assert_int_equal(kind, want->kind);
    assert_ptr_equal(o, want->owner < 0 ? NULL : &owner[want->owner]);
}

static void a_plain_list_says_the_same(void **state)
{
    for (unsigned seed = 0; seed < 20; seed++) {
        struct table *t = table_new(&key, MAX_ALL, MAX_PEER);
        struct table_owner owner[OWNERS] = {0};
        struct model m = {.n = 0};
        uint64_t now_ns = T0;
        struct rng r;

        rng_seed(&r, seed);
        for (unsigned i = 0; i < 5000; i++) {
            int want, got = step(t, owner, &m, &r, now_ns, &want);
            unsigned n;

            assert_int_equal(got, want);
            for (unsigned k = 0; k < 4; k++) {
                struct ip_addr a = random_addr(&r);

                check(t, owner, &m, &a);
            }
            model_oldest(&m, -1, &n);
            assert_int_equal(table_n_learned(t), n);
            now_ns += rng_below(&r, 20 * NS_PER_S);
            if (rng_below(&r, 500) == 0) {
                table_forget_fixed(t);
                for (unsigned e = m.n; e-- > 0;)
                    if (m.v[e].kind == TABLE_FIXED)
                        model_delete(&m, &m.v[e]);
            }
        }
        for (unsigned o = 0; o < OWNERS; o++)
            table_leave(t, &owner[o]);
        table_free(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_prefix_wins),
        cmocka_unit_test(a_default_route_behind_a_peer),
        cmocka_unit_test(one_owner_at_a_time),
        cmocka_unit_test(a_learned_address_changes_hands_when_unused),
        cmocka_unit_test(what_is_given_displaces_what_is_learned),
        cmocka_unit_test(the_oldest_learned_address_makes_room),
        cmocka_unit_test(nobody_takes_an_address_by_inventing_others),
        cmocka_unit_test(a_full_table_waits_for_age),
        cmocka_unit_test(what_fixed_prefixes_cover),
        cmocka_unit_test(a_plain_list_says_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
