/* The order. A *guard* is a rule that ends a lookup, a *floor* a route that leads nowhere; what
 * leads somewhere is a *way* (route) or a *lead* (rule into a table):
 *
 *      add     guards, floors
 *      delete  leads into tables that ways will be added to
 *      add     ways
 *      then    settings, addresses that go, the table of nftables, addresses that come
 *      add     leads
 *      delete  leads, ways, floors, guards
 *
 * A lead is added when everything that it leads to is there, and deleted before any of it goes, so
 * a packet finds the old way, the new way, or nothing. Where a lead changes, both are there for a
 * moment; where a way changes, the kernel puts the new one in front (IPv4), or behind (IPv6), and
 * takes it when the old one is gone. The table of nftables comes before leads that need its marks,
 * and goes after them; forwarding is switched on after the guards are there, and off, when all of
 * ours goes, before they go. An address that is translated is there only while nftables translates
 * it: what is for it would be taken for this machine's own.
 *
 * Cut anywhere, by kill -9 or by an error, the next plan goes on from there. */
#include "wan/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

/* --- making ---------------------------------------------------------------------------- */

static int add_op(struct wan_plan *p, const struct wan_op *op)
{
    if (p->n == p->room) {
        unsigned room = p->room ? 2 * p->room : 64;
        struct wan_op *moved = realloc(p->ops, room * sizeof(*moved));

        if (!moved)
            return -ENOMEM;
        p->ops = moved;
        p->room = room;
    }
    p->ops[p->n++] = *op;
    return 0;
}

static bool is_guard(const struct fib_rule *r)
{
    return r->action == FIB_ACTION_BLACKHOLE || r->action == FIB_ACTION_UNREACHABLE;
}

static bool is_floor(const struct fib_route *r)
{
    return r->type != FIB_TYPE_UNICAST;
}

/* Rules of `of` that `in` does not have. */
static int add_rules(struct wan_plan *p, enum wan_op_kind kind, bool guards,
                     const struct wan_objects *of, const struct wan_objects *in)
{
    int rv = 0;

    for (unsigned i = 0; i < of->n_rules && !rv; i++) {
        struct wan_op op = {.kind = kind, .rule = &of->rules[i]};

        if (is_guard(op.rule) == guards && !wan_objects_has_rule(in, op.rule))
            rv = add_op(p, &op);
    }
    return rv;
}

/* Will a lead into the table be added? */
static bool is_led_to(const struct wan_objects *have, const struct wan_objects *want,
                      uint32_t table)
{
    for (unsigned i = 0; i < want->n_rules; i++)
        if (!is_guard(&want->rules[i]) && want->rules[i].table == table &&
            !wan_objects_has_rule(have, &want->rules[i]))
            return true;
    return false;
}

/* Will a way be added to the table? */
static bool gets_ways(const struct wan_objects *have, const struct wan_objects *want,
                      uint32_t table)
{
    for (unsigned i = 0; i < want->n_routes; i++)
        if (!is_floor(&want->routes[i]) && want->routes[i].table == table &&
            !wan_objects_has_route(have, &want->routes[i]))
            return true;
    return false;
}

/* Leads that are to go, into tables that get ways or into the others. */
static int del_leads(struct wan_plan *p, bool get_ways, const struct wan_objects *have,
                     const struct wan_objects *want)
{
    int rv = 0;

    for (unsigned i = 0; i < have->n_rules && !rv; i++) {
        struct wan_op op = {.kind = WAN_OP_RULE_DEL, .rule = &have->rules[i]};

        if (!is_guard(op.rule) && !wan_objects_has_rule(want, op.rule) &&
            gets_ways(have, want, op.rule->table) == get_ways)
            rv = add_op(p, &op);
    }
    return rv;
}

/* Ways that are to go, in tables that are led to or in the others. */
static int del_ways(struct wan_plan *p, bool led_to, const struct wan_objects *have,
                    const struct wan_objects *want)
{
    int rv = 0;

    for (unsigned i = 0; i < have->n_routes && !rv; i++) {
        struct wan_op op = {.kind = WAN_OP_ROUTE_DEL, .route = &have->routes[i]};

        if (!is_floor(op.route) && !wan_objects_has_route(want, op.route) &&
            is_led_to(have, want, op.route->table) == led_to)
            rv = add_op(p, &op);
    }
    return rv;
}

static int add_routes(struct wan_plan *p, enum wan_op_kind kind, bool floors,
                      const struct wan_objects *of, const struct wan_objects *in)
{
    int rv = 0;

    for (unsigned i = 0; i < of->n_routes && !rv; i++) {
        struct wan_op op = {.kind = kind, .route = &of->routes[i]};

        if (is_floor(op.route) == floors && !wan_objects_has_route(in, op.route))
            rv = add_op(p, &op);
    }
    return rv;
}

static int add_settings(struct wan_plan *p, const struct wan_objects *have,
                        const struct wan_objects *want)
{
    int rv = 0;

    for (unsigned i = 0; i < want->n_settings && !rv; i++) {
        const struct wan_setting *s = &want->settings[i];
        struct wan_op op = {.kind = WAN_OP_SETTING};

        op.setting.name = s->name;
        op.setting.value = s->value;
        op.setting.before = wan_objects_setting(have, s->name);
        if (op.setting.before != s->value)
            rv = add_op(p, &op);
    }
    return rv;
}

static int add_nft(struct wan_plan *p, const struct wan_objects *have,
                   const struct wan_objects *want)
{
    struct wan_op op = {.kind = WAN_OP_NFT};

    if (!strcmp(have->nft_id, want->nft_id))
        return 0;
    op.nft.text = want->nft;
    op.nft.before = have->nft;
    return add_op(p, &op);
}

static int add_addresses(struct wan_plan *p, enum wan_op_kind kind, const struct wan_objects *of,
                         const struct wan_objects *in)
{
    int rv = 0;

    for (unsigned i = 0; i < of->n_addresses && !rv; i++) {
        struct wan_op op = {.kind = kind, .address = &of->addresses[i]};

        if (!wan_objects_has_address(in, op.address))
            rv = add_op(p, &op);
    }
    return rv;
}

int wan_plan_make(const struct wan_objects *have, const struct wan_objects *want,
                  struct wan_plan *ret)
{
    bool nft_goes = !want->nft;
    int rv;

    *ret = (struct wan_plan){0};
    rv = add_rules(ret, WAN_OP_RULE_ADD, true, want, have);
    if (!rv)
        rv = add_routes(ret, WAN_OP_ROUTE_ADD, true, want, have);
    if (!rv)
        rv = del_leads(ret, true, have, want);
    if (!rv)
        rv = add_routes(ret, WAN_OP_ROUTE_ADD, false, want, have);
    if (!rv)
        rv = add_settings(ret, have, want);
    if (!rv)
        rv = add_addresses(ret, WAN_OP_ADDRESS_DEL, have, want);
    if (!rv && !nft_goes)
        rv = add_nft(ret, have, want);
    if (!rv)
        rv = add_addresses(ret, WAN_OP_ADDRESS_ADD, want, have);
    if (!rv)
        rv = del_ways(ret, true, have, want);
    if (!rv)
        rv = add_rules(ret, WAN_OP_RULE_ADD, false, want, have);
    if (!rv)
        rv = del_leads(ret, false, have, want);
    if (!rv)
        rv = del_ways(ret, false, have, want);
    if (!rv && nft_goes)
        rv = add_nft(ret, have, want);
    if (!rv)
        rv = add_routes(ret, WAN_OP_ROUTE_DEL, true, have, want);
    if (!rv)
        rv = add_rules(ret, WAN_OP_RULE_DEL, true, have, want);
    return rv;
}

void wan_plan_done(struct wan_plan *p)
{
    free(p->ops);
    *p = (struct wan_plan){0};
}

/* --- doing ----------------------------------------------------------------------------- */

struct wan_op wan_op_inverse(const struct wan_op *op)
{
    static const enum wan_op_kind other[] = {
        [WAN_OP_RULE_ADD] = WAN_OP_RULE_DEL,
        [WAN_OP_RULE_DEL] = WAN_OP_RULE_ADD,
        [WAN_OP_ROUTE_ADD] = WAN_OP_ROUTE_DEL,
        [WAN_OP_ROUTE_DEL] = WAN_OP_ROUTE_ADD,
        [WAN_OP_ADDRESS_ADD] = WAN_OP_ADDRESS_DEL,
        [WAN_OP_ADDRESS_DEL] = WAN_OP_ADDRESS_ADD,
        [WAN_OP_NFT] = WAN_OP_NFT,
        [WAN_OP_SETTING] = WAN_OP_SETTING,
    };
    struct wan_op back = *op;

    back.kind = other[op->kind];
    if (op->kind == WAN_OP_NFT) {
        back.nft.text = op->nft.before;
        back.nft.before = op->nft.text;
    } else if (op->kind == WAN_OP_SETTING) {
        back.setting.value = op->setting.before;
        back.setting.before = op->setting.value;
    }
    return back;
}

bool wan_op_may_fail(const struct wan_op *op, int error)
{
    static const int gone[] = {-ESRCH, -ENOENT, -ENODEV, -ENETDOWN, -EADDRNOTAVAIL};
    static const int moved[] = {-EEXIST, -ENODEV, -ENETDOWN, -ENETUNREACH, -EHOSTUNREACH};
    bool del = op->kind == WAN_OP_RULE_DEL || op->kind == WAN_OP_ROUTE_DEL ||
               op->kind == WAN_OP_ADDRESS_DEL;

    if (op->kind == WAN_OP_NFT)
        return false;
    if (op->kind == WAN_OP_SETTING)
        return error == -ENOENT; /* its interface has gone */
    if (op->kind == WAN_OP_ADDRESS_ADD && error == -EACCES)
        return true; /* its interface has no IPv6 */
    for (size_t i = 0; i < ARRAY_LEN(gone) && del; i++)
        if (error == gone[i])
            return true;
    for (size_t i = 0; i < ARRAY_LEN(moved) && !del; i++)
        if (error == moved[i])
            return true;
    return false;
}

static void take_back(const struct wan_plan *p, unsigned n, wan_do_fn *do_op, void *user)
{
    while (n--) {
        struct wan_op back = wan_op_inverse(&p->ops[n]);

        if (back.kind != WAN_OP_SETTING || back.setting.value >= 0)
            do_op(user, &back);
    }
}

int wan_plan_run(const struct wan_plan *p, bool undo, wan_do_fn *do_op, void *user,
                 unsigned *ret_at)
{
    int first = 0;

    for (unsigned i = 0; i < p->n; i++) {
        int rv = do_op(user, &p->ops[i]);

        if (!rv || wan_op_may_fail(&p->ops[i], rv))
            continue;
        if (!first && ret_at)
            *ret_at = i;
        if (!first)
            first = rv;
        if (undo) {
            take_back(p, i, do_op, user);
            break;
        }
    }
    return first;
}
