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

bool wan_objects_has_rule(const struct wan_objects *o, const struct fib_rule *r)
{
    for (unsigned i = 0; i < o->n_rules; i++)
        if (fib_rule_equal(&o->rules[i], r))
            return true;
    return false;
}

bool wan_objects_has_route(const struct wan_objects *o, const struct fib_route *r)
{
    for (unsigned i = 0; i < o->n_routes; i++)
        if (fib_route_equal(&o->routes[i], r))
            return true;
    return false;
}

int wan_objects_add_rule(struct wan_objects *o, const struct fib_rule *r)
{
    struct fib_rule *v;

    if (wan_objects_has_rule(o, r))
        return 0;
    v = grow(o->rules, o->n_rules, &o->room_rules, sizeof(*v));
    if (!v)
        return -ENOMEM;
    o->rules = v;
    v[o->n_rules++] = *r;
    return 0;
}

int wan_objects_add_route(struct wan_objects *o, const struct fib_route *r)
{
    struct fib_route *v;

    if (wan_objects_has_route(o, r))
        return 0;
    v = grow(o->routes, o->n_routes, &o->room_routes, sizeof(*v));
    if (!v)
        return -ENOMEM;
    o->routes = v;
    v[o->n_routes++] = *r;
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
    free(o->nft);
    *o = (struct wan_objects){0};
}
