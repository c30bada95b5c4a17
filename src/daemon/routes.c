#include "daemon/routes.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>

#include "daemon/instance.h"

/* A small comparison, of which no step has much to do, is over when routes_begin() returns. */
enum { STEPS_AT_ONCE = 8 };

/* --- lists ----------------------------------------------------------------------------- */

static void append(void *user, const struct netlink_route *r)
{
    struct route_list *l = user;

    if (!r) {
        l->n = 0;
        return;
    }
    if (l->n == l->room) {
        size_t room = l->room ? 2 * l->room : 64;
        void *v = reallocarray(l->v, room, sizeof(*l->v));

        if (!v) {
            l->failed = true;
            return;
        }
        l->v = v;
        l->room = room;
    }
    l->v[l->n++] = *r;
}

static int compare(const void *a, const void *b)
{
    const struct netlink_route *x = a, *y = b;
    int d = ip_addr_cmp(&x->dst.addr, &y->dst.addr);

    if (!d)
        d = (int)x->dst.len - (int)y->dst.len;
    if (!d)
        d = (x->table > y->table) - (x->table < y->table);
    return d ? d : (x->metric > y->metric) - (x->metric < y->metric);
}

static void sort(struct route_list *l)
{
    if (l->n)
        qsort(l->v, l->n, sizeof(*l->v), compare);
}

static void done(struct route_list *l)
{
    free(l->v);
    *l = (struct route_list){0};
}

/* --- what is wanted -------------------------------------------------------------------- */

static void want(struct route_list *l, const struct ip_prefix *p, uint32_t table)
{
    struct netlink_route r = {.dst = ip_prefix_network(p),
                              .table = table ? table : (uint32_t)RT_TABLE_MAIN,
                              .metric = HELPER_ROUTE_METRIC};

    append(l, &r);
}

/* A hub never routes everything to its peers. */
static void want_of_hub(struct route_list *l, const struct ip_prefix *v, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (v[i].len)
            want(l, &v[i], 0);
}

static void want_all(const struct tunnel_config *c, struct route_list *l)
{
    if (c->role == CONFIG_ROLE_CLIENT) {
        for (unsigned i = 0; i < c->n_routes; i++)
            want(l, &c->routes[i], c->route_table);
        return;
    }
    want_of_hub(l, c->peer_prefixes, c->n_peer_prefixes);
    for (unsigned i = 0; i < c->n_peers; i++)
        want_of_hub(l, c->peers[i].prefix, c->peers[i].n_prefix);
}

/* --- steps ----------------------------------------------------------------------------- */

static void enter(struct routes *r, int phase)
{
    r->phase = phase;
    r->at = r->beside = 0;
}

/* The kernel's routes, some hundred at a time. Returns 1 or -errno. */
static int read_some(struct instance *inst, struct routes *r)
{
    int rv = netlink_route_walk_next(r->walk, append, &r->have);

    if (rv)
        return rv;
    netlink_route_walk_free(r->walk);
    r->walk = NULL;
    if (r->have.failed)
        return -ENOMEM;
    want_all(inst->config, &r->want);
    if (r->want.failed)
        return -ENOMEM;
    sort(&r->want);
    sort(&r->have);
    enter(r, ROUTES_REMOVE);
    return 1;
}

/* The next of a that is not in b; NULL: there are no more. */
static const struct netlink_route *next_missing(struct routes *r, const struct route_list *a,
                                                const struct route_list *b)
{
    while (r->at < a->n) {
        const struct netlink_route *x = &a->v[r->at++];
        bool twice = r->at > 1 && !compare(x - 1, x);
        int d = 1;

        while (r->beside < b->n && (d = compare(&b->v[r->beside], x)) < 0)
            r->beside++;
        if (!twice && (r->beside == b->n || d))
            return x;
    }
    return NULL;
}

/* Add or delete the next few; *ret_n: how many were due. Returns how many of them are done, or
 * -errno. */
static int change_some(struct instance *inst, struct routes *r, bool add, unsigned *ret_n)
{
    const struct route_list *a = add ? &r->want : &r->have, *b = add ? &r->have : &r->want;
    struct netlink_route v[HELPER_ROUTES_MAX];
    struct helper_routes_result result;
    const struct netlink_route *x;
    char buf[IP_PREFIX_STR_MAX];
    unsigned n = 0;
    int rv;

    while (n < HELPER_ROUTES_MAX && (x = next_missing(r, a, b)))
        v[n++] = *x;
    *ret_n = n;
    rv = n ? helper_routes(inst->helper, add, v, n, &result) : 0;
    if (!n || rv == -ENODEV || rv == -EPIPE)
        return rv;
    if (rv)
        result = (struct helper_routes_result){.error = rv};
    if (add && result.error)
        upkeep_say_failed(inst, "add the route to ", ip_prefix_str(&v[result.at].dst, buf),
                          result.error);
    return (int)result.done;
}

/* Returns 1 when there is more to do, 0 at the end, -errno. */
static int step(struct instance *inst)
{
    struct routes *r = &inst->upkeep.routes;
    unsigned n;
    int rv;

    switch (r->phase) {
    case ROUTES_READ:
        return read_some(inst, r);
    case ROUTES_REMOVE:
        rv = change_some(inst, r, false, &n);
        r->removed += (unsigned)MAX(rv, 0);
        if (rv >= 0 && n < HELPER_ROUTES_MAX)
            enter(r, ROUTES_ADD);
        return rv < 0 ? rv : 1;
    case ROUTES_ADD:
        rv = change_some(inst, r, true, &n);
        r->added += (unsigned)MAX(rv, 0);
        return rv < 0 ? rv : n == HELPER_ROUTES_MAX;
    default:
        return 0;
    }
}

/* --- begin and end --------------------------------------------------------------------- */

static const char *plural(unsigned n)
{
    return n == 1 ? "" : "s";
}

static void report(const struct instance *inst)
{
    const struct routes *r = &inst->upkeep.routes;
    const char *name = inst->config->tun_name;

    if (r->removed)
        log_info("tun %s: removed %u route%s: no longer ours", name, r->removed,
                 plural(r->removed));
    if (r->added && r->why == REASON_REPAIR)
        log_error("tun %s: %u route%s removed by somebody else: put back", name, r->added,
                  plural(r->added));
    else if (r->added)
        log_info("tun %s: added %u route%s", name, r->added, plural(r->added));
}

void routes_stop(struct instance *inst)
{
    struct routes *r = &inst->upkeep.routes;

    if (inst->loop)
        loop_defer_cancel(inst->loop, &r->step);
    netlink_route_walk_free(r->walk);
    done(&r->want);
    done(&r->have);
    *r = (struct routes){0};
}

/* All is done, or cannot be. */
static int finish(struct instance *inst, int rv)
{
    const struct routes *r = &inst->upkeep.routes;

    report(inst);
    if (!rv)
        rv = r->added || r->removed;
    routes_stop(inst);
    return rv;
}

static void on_step(struct loop_deferred *deferred)
{
    struct instance *inst = deferred->user;
    enum upkeep_reason why = inst->upkeep.routes.why;
    int rv = step(inst);

    if (rv > 0)
        loop_defer(inst->loop, deferred);
    else
        upkeep_on_routes(inst, why, finish(inst, rv));
}

static int begin(struct instance *inst, enum upkeep_reason why)
{
    struct routes *r = &inst->upkeep.routes;

    report(inst); /* of what was done so far by the one before */
    routes_stop(inst);
    r->step = (struct loop_deferred){.cb = on_step, .user = inst};
    r->why = why;
    r->phase = ROUTES_READ;
    return netlink_route_walk_new(tun_ifindex(inst->tun), &r->walk);
}

int routes_begin(struct instance *inst, enum upkeep_reason why)
{
    int rv = begin(inst, why);

    if (rv)
        return finish(inst, rv);
    rv = 1;
    for (unsigned i = 0; i < STEPS_AT_ONCE && rv > 0; i++)
        rv = step(inst);
    if (rv <= 0)
        return finish(inst, rv);
    loop_defer(inst->loop, &inst->upkeep.routes.step);
    return -EINPROGRESS;
}

int routes_at_once(struct instance *inst, enum upkeep_reason why)
{
    int rv = begin(inst, why);

    if (!rv)
        do
            rv = step(inst);
        while (rv > 0);
    return finish(inst, rv);
}

bool routes_busy(const struct instance *inst)
{
    return inst->upkeep.routes.phase != ROUTES_IDLE;
}
