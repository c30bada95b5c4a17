#include "daemon/rules.h"

#include <errno.h>
#include <stdlib.h>

#include "daemon/instance.h"

enum { RULES_MAX = 4096 };

struct rules {
    struct netlink_rule *have;
    size_t n, room;
    bool failed;             /* out of memory */
    struct netlink_addr *on; /* all addresses of this machine */
    int n_on;
    const struct ip_prefix *own; /* of the TUN */
    unsigned n_own;
    uint32_t table; /* 0: no rules are wanted */
};

static void append(void *user, const struct netlink_rule *rule)
{
    struct rules *r = user;

    if (r->n == r->room && r->n < RULES_MAX) {
        size_t room = r->room ? 2 * r->room : 16;
        void *v = reallocarray(r->have, room, sizeof(*r->have));

        r->failed |= !v;
        if (!v)
            return;
        r->have = v;
        r->room = room;
    }
    if (r->n < r->room)
        r->have[r->n++] = *rule;
}

static void done(struct rules *r)
{
    free(r->have);
    free(r->on);
}

static bool is_own(const struct rules *r, const struct ip_addr *a)
{
    for (unsigned i = 0; i < r->n_own; i++)
        if (ip_addr_equal(&r->own[i].addr, a))
            return true;
    return false;
}

/* Another interface may have the same address, and another instance the rules for it. */
static bool is_elsewhere(const struct rules *r, const struct ip_addr *a, int tun_index)
{
    for (int i = 0; i < r->n_on; i++)
        if (r->on[i].index != tun_index && ip_addr_equal(&r->on[i].prefix.addr, a))
            return true;
    return false;
}

static struct netlink_rule wanted(const struct rules *r, const struct ip_addr *src,
                                  enum netlink_rule_kind kind)
{
    return (struct netlink_rule){.src = *src,
                                 .kind = kind,
                                 .priority = HELPER_RULE_PRIORITY + (uint32_t)kind,
                                 .table = kind == NETLINK_RULE_TABLE ? r->table : 0};
}

static bool same(const struct netlink_rule *a, const struct netlink_rule *b)
{
    return ip_addr_equal(&a->src, &b->src) && a->kind == b->kind && a->priority == b->priority &&
           a->table == b->table;
}

static bool is_wanted(const struct rules *r, const struct netlink_rule *rule)
{
    struct netlink_rule w;

    if (!r->table || rule->kind == NETLINK_RULE_OTHER || !is_own(r, &rule->src))
        return false;
    w = wanted(r, &rule->src, rule->kind);
    return same(&w, rule);
}

static bool is_there(const struct rules *r, const struct netlink_rule *w)
{
    for (size_t i = 0; i < r->n; i++)
        if (same(&r->have[i], w))
            return true;
    return false;
}

static unsigned remove_old(struct instance *inst, const struct rules *r, int tun_index)
{
    unsigned n = 0;

    for (size_t i = 0; i < r->n; i++) {
        const struct netlink_rule *rule = &r->have[i];

        if (!is_wanted(r, rule) && !is_elsewhere(r, &rule->src, tun_index))
            n += !helper_rule_del(inst->helper, &rule->src, rule->priority);
    }
    return n;
}

/* Returns how many were added, or -errno of the last that could not be. */
static int add_missing(struct instance *inst, const struct rules *r, const struct ip_addr *src)
{
    char buf[IP_ADDR_STR_MAX];
    int n = 0, failed = 0;

    for (int kind = NETLINK_RULE_NEAR; kind <= NETLINK_RULE_END; kind++) {
        struct netlink_rule w = wanted(r, src, (enum netlink_rule_kind)kind);
        int rv;

        if (is_there(r, &w))
            continue;
        rv = helper_rule_add(inst->helper, src, (enum netlink_rule_kind)kind);
        n += !rv;
        if (rv && rv != -EEXIST)
            failed = rv;
    }
    if (failed)
        upkeep_say_failed(inst, "add the rule from ", ip_addr_str(src, buf), failed);
    return failed ? failed : n;
}

static void report(const struct instance *inst, enum upkeep_reason why, const struct ip_addr *src,
                   uint32_t table)
{
    const char *name = inst->config->tun_name;
    char buf[IP_ADDR_STR_MAX];

    ip_addr_str(src, buf);
    if (why == REASON_REPAIR)
        log_error("tun %s: rules from %s were removed by somebody else: put back", name, buf);
    else if (why == REASON_CHANGE)
        log_info("tun %s: what comes from %s looks into the table %u", name, buf, table);
}

static int read_all(struct instance *inst, struct rules *r)
{
    int rv = netlink_rule_each(inst->netlink, append, r);

    if (rv || r->failed)
        return rv ? rv : -ENOMEM;
    if (!r->n && !r->table)
        return 0;
    r->n_on = netlink_addr_all(inst->netlink, 0, &r->on);
    return MIN(r->n_on, 0);
}

static int compare(struct instance *inst, const struct rules *r, enum upkeep_reason why)
{
    int tun_index = tun_ifindex(inst->tun), result = 0;
    unsigned removed = remove_old(inst, r, tun_index);

    if (removed)
        log_info("tun %s: removed %u rule%s: no longer ours", inst->config->tun_name, removed,
                 removed == 1 ? "" : "s");
    for (unsigned i = 0; i < r->n_own && r->table; i++) {
        int n =
            is_elsewhere(r, &r->own[i].addr, tun_index) ? 0 : add_missing(inst, r, &r->own[i].addr);

        if (n > 0)
            report(inst, why, &r->own[i].addr, r->table);
        result = n < 0 ? n : result < 0 ? result : result | (n > 0);
    }
    return result < 0 ? result : result || removed;
}

int rules_sync(struct instance *inst, enum upkeep_reason why)
{
    struct rules r = {.table = config_source_table(inst->config)};
    int rv;

    if (inst->config->role != CONFIG_ROLE_CLIENT)
        return 0;
    r.n_own = upkeep_addresses(inst, &r.own);
    rv = read_all(inst, &r);
    if (!rv)
        rv = compare(inst, &r, why);
    done(&r);
    return rv;
}
