#include "wan/objects.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

/* Room for one more element. Returns the array, which may have moved, or NULL. */
static void *grow(void *v, unsigned n, unsigned *room, size_t size)
{
    unsigned more = *room ? 2 * *room : 64;
    void *moved;

    if (n < *room)
        return v;
    moved = realloc(v, more * size);
    if (moved)
        *room = more;
    return moved;
}

/* --- finding --------------------------------------------------------------------------- */

/* FNV-1a. Whoever fills these tables is no adversary: it is our own configuration, and root. */
static uint32_t mix(uint32_t h, const void *data, size_t len)
{
    const uint8_t *p = data;

    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * 16777619u;
    return h;
}

static uint32_t mix_number(uint32_t h, uint32_t n)
{
    return (h ^ n ^ n >> 16) * 16777619u;
}

static uint32_t mix_prefix(uint32_t h, const struct ip_prefix *p)
{
    h = mix(h, &p->addr.family, sizeof(p->addr.family));
    return p->addr.family
               ? mix(mix(h, &p->len, sizeof(p->len)), p->addr.b, ip_addr_bits(&p->addr) / 8)
               : h;
}

/* Of what fib_rule_equal() and fib_route_equal() compare, as much as tells most of them apart. */
static uint32_t rule_hash(const struct fib_rule *r)
{
    uint32_t h = mix_number(mix_number(2166136261u, r->priority), r->table);

    h = mix_number(mix_number(mix_number(h, r->family), r->mark), r->action);
    h = mix(h, r->iif, strnlen(r->iif, sizeof(r->iif)));
    h = mix(h, r->oif, strnlen(r->oif, sizeof(r->oif)));
    return mix_prefix(mix_prefix(h, &r->from), &r->to);
}

static uint32_t route_hash(const struct fib_route *r)
{
    uint32_t h = mix_number(mix_number(2166136261u, r->table), r->metric);

    return mix_prefix(mix_number(mix_number(h, (uint32_t)r->index), r->type), &r->dst);
}

static void index_put(struct wan_index *x, uint32_t hash, unsigned place)
{
    unsigned at = hash & (x->room - 1);

    while (x->slot[at])
        at = (at + 1) & (x->room - 1);
    x->slot[at] = place + 1;
    x->used++;
}

/* Room for one more: at most half of the slots are used. Made anew, it is empty. */
static int index_reserve(struct wan_index *x, unsigned n, bool *ret_anew)
{
    unsigned room = x->room ? x->room : 128;

    *ret_anew = false;
    if (x->slot && 2 * (x->used + 1) <= x->room)
        return 0;
    while (room < 4 * (n + 1))
        room *= 2;
    free(x->slot);
    x->slot = calloc(room, sizeof(*x->slot));
    x->room = x->slot ? room : 0;
    x->used = 0;
    *ret_anew = true;
    return x->slot ? 0 : -ENOMEM;
}

/* Without an index, which is so only after elements were moved, one by one. A slot may speak of a
 * place that has something else by now, or nothing: what is there is compared in every case. */
bool wan_objects_has_rule(const struct wan_objects *o, const struct fib_rule *r)
{
    const struct wan_index *x = &o->rule_index;
    unsigned at = x->slot ? rule_hash(r) & (x->room - 1) : 0;

    for (unsigned i = 0; !x->slot && i < o->n_rules; i++)
        if (fib_rule_equal(&o->rules[i], r))
            return true;
    for (; x->slot && x->slot[at]; at = (at + 1) & (x->room - 1))
        if (x->slot[at] <= o->n_rules && fib_rule_equal(&o->rules[x->slot[at] - 1], r))
            return true;
    return false;
}

bool wan_objects_has_route(const struct wan_objects *o, const struct fib_route *r)
{
    const struct wan_index *x = &o->route_index;
    unsigned at = x->slot ? route_hash(r) & (x->room - 1) : 0;

    for (unsigned i = 0; !x->slot && i < o->n_routes; i++)
        if (fib_route_equal(&o->routes[i], r))
            return true;
    for (; x->slot && x->slot[at]; at = (at + 1) & (x->room - 1))
        if (x->slot[at] <= o->n_routes && fib_route_equal(&o->routes[x->slot[at] - 1], r))
            return true;
    return false;
}

static int prepare_rules(struct wan_objects *o)
{
    bool anew;
    int rv = index_reserve(&o->rule_index, o->n_rules, &anew);

    for (unsigned i = 0; !rv && anew && i < o->n_rules; i++)
        index_put(&o->rule_index, rule_hash(&o->rules[i]), i);
    return rv;
}

static int prepare_routes(struct wan_objects *o)
{
    bool anew;
    int rv = index_reserve(&o->route_index, o->n_routes, &anew);

    for (unsigned i = 0; !rv && anew && i < o->n_routes; i++)
        index_put(&o->route_index, route_hash(&o->routes[i]), i);
    return rv;
}

void wan_objects_moved(struct wan_objects *o)
{
    free(o->rule_index.slot);
    free(o->route_index.slot);
    o->rule_index = o->route_index = (struct wan_index){0};
}

/* --- adding ---------------------------------------------------------------------------- */

int wan_objects_add_rule(struct wan_objects *o, const struct fib_rule *r)
{
    struct fib_rule *v;
    int rv = prepare_rules(o);

    if (rv || wan_objects_has_rule(o, r))
        return rv;
    v = grow(o->rules, o->n_rules, &o->room_rules, sizeof(*v));
    if (!v)
        return -ENOMEM;
    o->rules = v;
    index_put(&o->rule_index, rule_hash(r), o->n_rules);
    v[o->n_rules++] = *r;
    return 0;
}

int wan_objects_add_route(struct wan_objects *o, const struct fib_route *r)
{
    struct fib_route *v;
    int rv = prepare_routes(o);

    if (rv || wan_objects_has_route(o, r))
        return rv;
    v = grow(o->routes, o->n_routes, &o->room_routes, sizeof(*v));
    if (!v)
        return -ENOMEM;
    o->routes = v;
    index_put(&o->route_index, route_hash(r), o->n_routes);
    v[o->n_routes++] = *r;
    return 0;
}

bool wan_objects_has_address(const struct wan_objects *o, const struct wan_address *a)
{
    for (unsigned i = 0; i < o->n_addresses; i++)
        if (o->addresses[i].index == a->index &&
            ip_prefix_equal(&o->addresses[i].prefix, &a->prefix))
            return true;
    return false;
}

int wan_objects_add_address(struct wan_objects *o, const struct wan_address *a)
{
    struct wan_address *v;

    if (wan_objects_has_address(o, a))
        return 0;
    v = grow(o->addresses, o->n_addresses, &o->room_addresses, sizeof(*v));
    if (!v)
        return -ENOMEM;
    o->addresses = v;
    v[o->n_addresses++] = *a;
    return 0;
}

int wan_objects_add_setting(struct wan_objects *o, const char *name, int value)
{
    struct wan_setting *s = &o->settings[o->n_settings];

    if (o->n_settings == WAN_SETTINGS_MAX || strlen(name) >= sizeof(s->name))
        return -ENOSPC;
    snprintf(s->name, sizeof(s->name), "%s", name);
    s->value = value;
    o->n_settings++;
    return 0;
}

int wan_objects_setting(const struct wan_objects *o, const char *name)
{
    for (unsigned i = 0; i < o->n_settings; i++)
        if (!strcmp(o->settings[i].name, name))
            return o->settings[i].value;
    return -1;
}

void wan_objects_done(struct wan_objects *o)
{
    free(o->rules);
    free(o->routes);
    free(o->addresses);
    free(o->nft);
    wan_objects_moved(o);
    *o = (struct wan_objects){0};
}
