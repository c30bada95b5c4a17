/* The plan against a model of the kernel: after each operation, wherever a chain of changes is cut,
 * what comes from an interface with a policy goes where the old or the new policy says, or nowhere.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"
#include "base/util.h"
#include "wan/firewall.h"
#include "wan/plan.h"
#include "wan_site.h"

/* --- a kernel -------------------------------------------------------------------------- */

enum { NOWHERE = -1, MANY = 4096 };

struct kernel {
    struct fib_rule rules[MANY];
    unsigned n_rules;
    struct fib_route routes[MANY]; /* of one destination and metric the first counts */
    unsigned n_routes;
    bool nft; /* there is a table of nftables */
    char nft_id[WAN_ID_MAX];
    struct gateway_config nft_config;  /* whose it is */
    const struct gateway_config *next; /* whose it will be */
    int forward;
};

static int kernel_add_rule(struct kernel *k, const struct fib_rule *r)
{
    unsigned at = k->n_rules;

    for (unsigned i = 0; i < k->n_rules; i++)
        if (fib_rule_equal(&k->rules[i], r))
            return -EEXIST;
    while (at && k->rules[at - 1].priority > r->priority)
        at--;
    memmove(&k->rules[at + 1], &k->rules[at], (k->n_rules - at) * sizeof(*r));
    k->rules[at] = *r;
    k->n_rules++;
    return 0;
}

static int kernel_del_rule(struct kernel *k, const struct fib_rule *r)
{
    for (unsigned i = 0; i < k->n_rules; i++) {
        if (!fib_rule_equal(&k->rules[i], r))
            continue;
        memmove(&k->rules[i], &k->rules[i + 1], (--k->n_rules - i) * sizeof(*r));
        return 0;
    }
    return -ENOENT;
}

static int kernel_add_route(struct kernel *k, const struct fib_route *r)
{
    for (unsigned i = 0; i < k->n_routes; i++)
        if (fib_route_equal(&k->routes[i], r))
            return -EEXIST;
    memmove(&k->routes[1], &k->routes[0], k->n_routes * sizeof(*r));
    k->routes[0] = *r;
    k->n_routes++;
    return 0;
}

static int kernel_del_route(struct kernel *k, const struct fib_route *r)
{
    for (unsigned i = 0; i < k->n_routes; i++) {
        if (!fib_route_equal(&k->routes[i], r))
            continue;
        memmove(&k->routes[i], &k->routes[i + 1], (--k->n_routes - i) * sizeof(*r));
        return 0;
    }
    return -ESRCH;
}

static const struct fib_route *kernel_route(const struct kernel *k, uint32_t table,
                                            const struct ip_addr *to)
{
    const struct fib_route *best = NULL;

    for (unsigned i = 0; i < k->n_routes; i++) {
        const struct fib_route *r = &k->routes[i];

        if (r->table == table && r->dst.addr.family == to->family &&
            ip_prefix_contains(&r->dst, to) &&
            (!best || r->dst.len > best->dst.len ||
             (r->dst.len == best->dst.len && r->metric < best->metric)))
            best = r;
    }
    return best;
}

static const struct gateway_link *pinned(const struct gateway_config *c, const char *iif)
{
    for (unsigned i = 0; i < c->n_policies; i++)
        if (!strcmp(c->policies[i].ingress, iif))
            return &c->links[gateway_config_link(c, c->policies[i].pin)];
    return NULL;
}

/* The interface that a packet from iif leaves by, or NOWHERE. */
static int kernel_lookup(const struct kernel *k, const char *iif, const struct ip_addr *to)
{
    const struct gateway_link *l = k->nft ? pinned(&k->nft_config, iif) : NULL;
    uint32_t mark = l && l->masquerade ? k->nft_config.mark : 0;

    for (unsigned i = 0; i < k->n_rules && k->forward; i++) {
        const struct fib_rule *r = &k->rules[i];
        const struct fib_route *found;

        if (r->family != to->family || *r->oif || (*r->iif && strcmp(r->iif, iif) != 0) ||
            (r->to.addr.family && !ip_prefix_contains(&r->to, to)) ||
            (mark & r->mask) != (r->mark & r->mask))
            continue;
        if (r->action != FIB_ACTION_TABLE)
            return NOWHERE;
        found = kernel_route(k, r->table, to);
        if (!found || (r->near_only && !found->dst.len))
            continue;
        return found->type == FIB_TYPE_UNICAST ? found->index : NOWHERE;
    }
    return NOWHERE;
}

static int kernel_do(void *user, const struct wan_op *op)
{
    struct kernel *k = user;

    switch (op->kind) {
    case WAN_OP_RULE_ADD:
        return kernel_add_rule(k, op->rule);
    case WAN_OP_RULE_DEL:
        return kernel_del_rule(k, op->rule);
    case WAN_OP_ROUTE_ADD:
        return kernel_add_route(k, op->route);
    case WAN_OP_ROUTE_DEL:
        return kernel_del_route(k, op->route);
    case WAN_OP_NFT:
        k->nft = op->nft.text != NULL;
        k->nft_id[0] = 0;
        if (!op->nft.text)
            return 0;
        k->nft_config = *k->next;
        firewall_id(op->nft.text, k->nft_id);
        return 0;
    default:
        if (!strcmp(op->setting.name, "net/ipv4/ip_forward"))
            k->forward = op->setting.value;
        return 0;
    }
}

/* What the kernel has of ours. */
static void kernel_ours(const struct kernel *k, const struct wan_objects *want,
                        struct wan_objects *ret)
{
    *ret = (struct wan_objects){0};
    for (unsigned i = 0; i < k->n_rules; i++)
        if (k->rules[i].protocol == FIB_PROTOCOL)
            assert_int_equal(wan_objects_add_rule(ret, &k->rules[i]), 0);
    for (unsigned i = k->n_routes; i-- > 0;)
        if (k->routes[i].protocol == FIB_PROTOCOL)
            assert_int_equal(wan_objects_add_route(ret, &k->routes[i]), 0);
    memcpy(ret->nft_id, k->nft_id, sizeof(ret->nft_id));
    for (unsigned i = 0; i < want->n_settings; i++)
        assert_int_equal(
            wan_objects_add_setting(
                ret, want->settings[i].name,
                !strcmp(want->settings[i].name, "net/ipv4/ip_forward") ? k->forward : 0),
            0);
}

/* The machine's own: every WAN has a default route, a connected network and a resolver in main. */
static void kernel_init(struct kernel *k)
{
    struct fib_rule main_rule = {.family = 4,
                                 .priority = 32766,
                                 .action = FIB_ACTION_TABLE,
                                 .table = FIB_TABLE_MAIN,
                                 .protocol = 2};
    char text[32];

    memset(k, 0, sizeof(*k));
    k->forward = 1;
    assert_int_equal(kernel_add_rule(k, &main_rule), 0);
    for (int i = 1; i <= 6; i++) {
        struct fib_route r = {.dst = site_prefix("0.0.0.0/0"),
                              .table = FIB_TABLE_MAIN,
                              .metric = 100 + (unsigned)i,
                              .index = i,
                              .protocol = 16};

        assert_int_equal(kernel_add_route(k, &r), 0);
        snprintf(text, sizeof(text), "10.150.%d.0/24", i);
        r.dst = site_prefix(text);
        r.metric = 0;
        assert_int_equal(kernel_add_route(k, &r), 0);
        snprintf(text, sizeof(text), "172.16.%d.0/30", i);
        r.dst = site_prefix(text);
        r.index = 20 + i;
        assert_int_equal(kernel_add_route(k, &r), 0);
    }
}

/* --- configurations that change -------------------------------------------------------- */

struct world {
    struct kernel k;
    struct rng rng;
    struct gateway_config config[3]; /* in force, last tried, being tried */
    struct wan_facts facts;
    unsigned checks;
};

static uint32_t below(struct world *w, uint32_t n)
{
    return (uint32_t)rng_below(&w->rng, n);
}

/* The site, with some policies missing, others pinned elsewhere, some that reach others, some links
 * that masquerade, and tables that move. */
static void change_config(struct world *w, struct gateway_config *c)
{
    unsigned kept = 0;

    site_edge(c, "");
    for (unsigned i = 0; i < 6; i++) {
        struct gateway_policy *p = &c->policies[i];

        if (!below(w, 4))
            snprintf(p->pin, sizeof(p->pin), "mpq%u", below(w, 6) + 1);
        if (!below(w, 4)) {
            p->reach[0] = site_prefix("172.16.2.0/30");
            p->n_reach = 1;
        }
        c->links[6 + i].masquerade = !below(w, 3);
        if (!below(w, 5))
            c->links[6 + i].table += 50;
        if (!below(w, 6)) {
            uint32_t table = c->links[6].table;

            c->links[6].table = c->links[6 + i].table;
            c->links[6 + i].table = table;
        }
        if (!below(w, 5))
            c->links[6 + i].hub = (struct ip_addr){0};
        else if (!below(w, 5))
            c->links[6 + i].hub = site_addr("203.0.113.11");
        if (!below(w, 6)) {
            c->links[6 + i].prefixes[0] = site_prefix("192.168.7.0/24");
            c->links[6 + i].prefixes[0].addr.b[2] = (uint8_t)i;
            c->links[6 + i].n_prefixes = 1;
        }
        if (below(w, 6))
            c->policies[kept++] = *p;
    }
    c->n_policies = kept;
    if (!below(w, 4))
        c->closed = GATEWAY_CLOSED_UNREACHABLE;
    if (!below(w, 4))
        c->last_priority = 1090;
}

static void change_facts(struct world *w)
{
    site_facts(&w->facts);
    for (unsigned i = 0; i < 12; i++) {
        w->facts.link[i].carrier = below(w, 4);
        if (!below(w, 5))
            w->facts.link[i].index = 0;
        if (i < 6 && !below(w, 4))
            w->facts.link[i].hop[WAN_V4].via.b[3] = 99;
    }
}

/* --- what must hold -------------------------------------------------------------------- */

/* Does the configuration let what comes from iif leave by the interface? */
static bool allows(const struct gateway_config *c, const char *iif, const struct ip_addr *to,
                   int index)
{
    for (unsigned i = 0; i < c->n_policies; i++) {
        const struct gateway_policy *p = &c->policies[i];

        if (strcmp(p->ingress, iif) != 0)
            continue;
        if (index == 11 + gateway_config_link(c, p->pin) - 6)
            return true;
        return p->n_reach && ip_prefix_contains(&p->reach[0], to) && index == 22;
    }
    return false;
}

/* Policed by all three configurations, so that no open moment is wanted by anybody. */
static bool always_policed(const struct world *w, const char *iif)
{
    return pinned(&w->config[0], iif) && pinned(&w->config[1], iif) && pinned(&w->config[2], iif);
}

static void check_leaks(struct world *w)
{
    static const char *const targets[] = {"8.8.8.8",    "203.0.113.10", "203.0.113.11",
                                          "10.150.1.1", "10.150.4.1",   "172.16.2.2",
                                          "172.16.5.2", "192.168.7.7"};
    char iif[16];

    for (unsigned lan = 0; lan < 6; lan++) {
        snprintf(iif, sizeof(iif), "enp6s%u", 20 + lan);
        if (!always_policed(w, iif))
            continue;
        for (size_t t = 0; t < ARRAY_LEN(targets); t++) {
            struct ip_addr to = site_addr(targets[t]);
            int out = kernel_lookup(&w->k, iif, &to);
            bool ok = out == NOWHERE;

            for (unsigned i = 0; i < 3; i++)
                ok |= allows(&w->config[i], iif, &to, out);
            if (!ok)
                fail_msg("%s to %s leaves by %d", iif, targets[t], out);
            w->checks++;
        }
    }
}

static int checked_do(void *user, const struct wan_op *op)
{
    struct world *w = user;
    int rv = kernel_do(&w->k, op);

    check_leaks(w);
    return rv;
}

/* Run a plan to config[2], cut before the operation `cut`. Returns whether it came to its end. */
static bool go(struct world *w, unsigned cut)
{
    struct wan_objects have, want;
    struct wan_plan plan;
    bool all;

    w->k.next = &w->config[2];
    assert_int_equal(wan_desired(&w->config[2], &w->facts, &want), 0);
    kernel_ours(&w->k, &want, &have);
    assert_int_equal(wan_plan_make(&have, &want, &plan), 0);
    all = cut >= plan.n;
    plan.n = MIN(plan.n, cut);
    assert_int_equal(wan_plan_run(&plan, false, checked_do, w, NULL), 0);
    wan_plan_done(&plan);
    wan_objects_done(&have);
    if (all) { /* nothing is left to do */
        kernel_ours(&w->k, &want, &have);
        assert_int_equal(wan_plan_make(&have, &want, &plan), 0);
        for (unsigned i = 0; i < plan.n; i++)
            assert_int_equal(plan.ops[i].kind, WAN_OP_SETTING); /* the model keeps only one */
        wan_plan_done(&plan);
        wan_objects_done(&have);
    }
    wan_objects_done(&want);
    return all;
}

/* The configuration that was tried last takes the next place. */
static void shift(struct world *w, bool all)
{
    if (all)
        w->config[0] = w->config[2];
    w->config[1] = w->config[2];
}

static void no_cut_lets_a_packet_out(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    rng_seed(&w->rng, 7);
    for (unsigned run = 0; run < 300; run++) {
        kernel_init(&w->k);
        change_config(w, &w->config[2]);
        change_facts(w);
        memset(&w->config[0], 0, sizeof(w->config[0])); /* nothing is policed yet */
        memset(&w->config[1], 0, sizeof(w->config[1]));
        shift(w, go(w, MANY));
        for (unsigned step = 0; step < 6; step++) {
            if (below(w, 2))
                change_config(w, &w->config[2]);
            else
                w->config[2] = w->config[0];
            if (below(w, 2))
                change_facts(w);
            /* cut, and perhaps go on with what was wanted */
            if (!go(w, below(w, 40)) && below(w, 2))
                shift(w, go(w, MANY));
            else
                shift(w, false);
            w->config[2] = w->config[1];
            shift(w, go(w, MANY));
        }
    }
    assert_true(w->checks > 100000);
    free(w);
}

/* From nothing the guards come first, before anything leads anywhere. */
static void guards_come_first_and_go_last(void **state)
{
    static struct gateway_config c;
    static struct wan_facts f;
    struct wan_objects want, none = {0};
    struct wan_plan up, down;

    site_edge(&c, "");
    site_facts(&f);
    assert_int_equal(wan_desired(&c, &f, &want), 0);
    assert_int_equal(wan_plan_make(&none, &want, &up), 0);
    for (unsigned i = 0; i < 18; i++) { /* two guards and the hub's of six LANs */
        assert_int_equal(up.ops[i].kind, WAN_OP_RULE_ADD);
        assert_int_equal(up.ops[i].rule->action, FIB_ACTION_BLACKHOLE);
    }
    want.n_settings = 0;
    assert_int_equal(wan_plan_make(&want, &none, &down), 0);
    for (unsigned i = 0; i < 18; i++) {
        assert_int_equal(down.ops[down.n - 1 - i].kind, WAN_OP_RULE_DEL);
        assert_int_equal(down.ops[down.n - 1 - i].rule->action, FIB_ACTION_BLACKHOLE);
    }
    wan_plan_done(&up);
    wan_plan_done(&down);
    wan_objects_done(&want);
}

/* --- errors ---------------------------------------------------------------------------- */

struct failing {
    struct kernel k;
    unsigned left; /* operations until one fails */
    int error;
};

static int failing_do(void *user, const struct wan_op *op)
{
    struct failing *f = user;

    if (!f->left--)
        return f->error;
    return kernel_do(&f->k, op);
}

/* Whichever operation fails, what was done is taken back. */
static void a_failure_is_taken_back(void **state)
{
    static struct failing f, before;
    static struct gateway_config c;
    static struct wan_facts facts;
    struct wan_objects want, have;
    struct wan_plan plan;
    unsigned at;

    site_edge(&c, "");
    site_facts(&facts);
    kernel_init(&before.k);
    before.k.next = &c;
    before.k.forward = 0;
    assert_int_equal(wan_desired(&c, &facts, &want), 0);
    kernel_ours(&before.k, &want, &have);
    assert_int_equal(wan_plan_make(&have, &want, &plan), 0);
    assert_true(plan.n > 50);
    for (unsigned i = 0; i < plan.n; i++) {
        f = before;
        f.left = i;
        f.error = -ENOMEM;
        assert_int_equal(wan_plan_run(&plan, true, failing_do, &f, &at), -ENOMEM);
        assert_int_equal(at, i);
        assert_int_equal(f.k.n_rules, before.k.n_rules);
        assert_int_equal(f.k.n_routes, before.k.n_routes);
        assert_memory_equal(f.k.routes, before.k.routes, f.k.n_routes * sizeof(f.k.routes[0]));
        assert_false(f.k.nft);
        assert_int_equal(f.k.forward, 0);
    }
    /* an interface that has just gone is no failure */
    f = before;
    f.left = 30;
    f.error = -ENODEV;
    assert_int_equal(plan.ops[30].kind, WAN_OP_ROUTE_ADD);
    assert_int_equal(wan_plan_run(&plan, true, failing_do, &f, NULL), 0);
    assert_true(f.k.n_rules > 30);
    wan_plan_done(&plan);
    wan_objects_done(&want);
    wan_objects_done(&have);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_cut_lets_a_packet_out),
        cmocka_unit_test(guards_come_first_and_go_last),
        cmocka_unit_test(a_failure_is_taken_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
