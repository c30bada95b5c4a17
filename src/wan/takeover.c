#include "wan/takeover.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "netlink/fib_dump.h"
#include "wan/statefile.h"

void takeover_done(struct takeover *t)
{
    free(t->items);
    *t = (struct takeover){0};
}

static int add(struct takeover *t, const struct takeover_item *item)
{
    if (t->n == TAKEOVER_OBJECTS_MAX)
        return -ENOSPC;
    if (t->n == t->room) {
        unsigned room = MAX(8u, 2 * t->room);
        struct takeover_item *items = realloc(t->items, room * sizeof(*items));

        if (!items)
            return -ENOMEM;
        t->items = items;
        t->room = room;
    }
    t->items[t->n++] = *item;
    return 0;
}

/* --- lines ----------------------------------------------------------------------------- */

char *takeover_line(const struct takeover_item *item)
{
    const struct fib_raw *r = &item->raw;
    size_t room = 2 * (size_t)r->len + IFNAMSIZ + TAKEOVER_ID_MAX + 16;
    char *line = malloc(room);
    int n = line ? snprintf(line, room, "%s %s %s ", r->rule ? "rule" : "route",
                            *item->id ? item->id : "-", *r->name ? r->name : "-")
                 : 0;

    for (size_t i = 0; line && i < r->len; i++)
        snprintf(line + n + 2 * i, 3, "%02x", r->data[i]);
    return line;
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int parse_bytes(const char *hex, struct fib_raw *r)
{
    size_t len = strlen(hex);

    if (!len || len % 2 || len / 2 > FIB_RAW_MAX)
        return -EBADMSG;
    for (size_t i = 0; i < len / 2; i++) {
        int high = digit(hex[2 * i]), low = digit(hex[2 * i + 1]);

        if (high < 0 || low < 0)
            return -EBADMSG;
        r->data[i] = (uint8_t)(high << 4 | low);
    }
    r->len = (uint16_t)(len / 2);
    return 0;
}

int takeover_parse(const char *line, struct takeover_item *ret)
{
    struct takeover_item item = {0};
    char kind[8], id[TAKEOVER_ID_MAX], name[IFNAMSIZ];
    int at = 0;

    if (sscanf(line, "%7s %16s %15s %n", kind, id, name, &at) != 3 || !at)
        return -EBADMSG;
    item.raw.rule = !strcmp(kind, "rule");
    if ((!item.raw.rule && strcmp(kind, "route") != 0) || parse_bytes(line + at, &item.raw))
        return -EBADMSG;
    if (strcmp(id, "-") != 0)
        snprintf(item.id, sizeof(item.id), "%s", id);
    if (strcmp(name, "-") != 0)
        snprintf(item.raw.name, sizeof(item.raw.name), "%s", name);
    *ret = item;
    return 0;
}

/* --- finding --------------------------------------------------------------------------- */

struct finder {
    const struct wan_objects *foreign;
    struct takeover *t;
    const char *id;
    bool rules;    /* else routes */
    unsigned from; /* what this dump has found begins here */
    bool match;    /* the route that is looked at is among them */
    int err;
};

static void on_hop(void *user, const struct fib_route *r)
{
    struct finder *f = user;

    f->match |= wan_objects_has_route(f->foreign, r);
}

static void on_message(void *user, const void *message)
{
    struct finder *f = user;
    struct takeover_item item = {0};
    struct fib_rule rule;
    int rv;

    if (!message) {
        f->t->n = f->from;
        return;
    }
    f->match = false;
    rv = fib_raw_take(message, &item.raw);
    if (rv == -EBADMSG)
        return;
    if (!f->rules)
        fib_parse_route(message, on_hop, f);
    else if (!fib_parse_rule(message, &rule))
        f->match = wan_objects_has_rule(f->foreign, &rule);
    if (!f->match)
        return;
    snprintf(item.id, sizeof(item.id), "%s", f->id);
    if (!rv)
        rv = add(f->t, &item);
    f->err = f->err ? f->err : rv;
}

static bool is_first_of_table(const struct wan_objects *o, unsigned i)
{
    for (unsigned j = 0; j < i; j++)
        if (o->routes[j].table == o->routes[i].table &&
            o->routes[j].dst.addr.family == o->routes[i].dst.addr.family)
            return false;
    return true;
}

static int find_routes(struct netlink *nl, const struct wan_objects *foreign, struct finder *f)
{
    int rv = 0;

    for (unsigned i = 0; i < foreign->n_routes && !rv; i++) {
        f->from = f->t->n;
        if (is_first_of_table(foreign, i))
            rv = fib_dump_routes(nl, foreign->routes[i].dst.addr.family, foreign->routes[i].table,
                                 0, on_message, f);
    }
    return rv;
}

int takeover_find(struct netlink *nl, const struct wan_objects *foreign, const char *id,
                  struct takeover *t)
{
    struct finder f = {.foreign = foreign, .t = t, .id = id, .rules = true, .from = t->n};
    int rv = foreign->n_rules ? fib_dump_rules(nl, on_message, &f) : 0;

    f.rules = false;
    if (!rv)
        rv = find_routes(nl, foreign, &f);
    return rv ? rv : f.err;
}

/* --- the file -------------------------------------------------------------------------- */

int takeover_load(const char *dir, struct takeover *t)
{
    _cleanup_free_ char *text = NULL;
    size_t len;
    int rv = statefile_read(dir, TAKEOVER_FILE, &text, &len);
    char *save = NULL;

    if (rv)
        return rv == -ENOENT ? 0 : rv == -EFBIG ? -EBADMSG : rv;
    if (strlen(text) != len)
        return -EBADMSG;
    for (char *s = strtok_r(text, "\n", &save); s && !rv; s = strtok_r(NULL, "\n", &save)) {
        struct takeover_item item;

        rv = takeover_parse(s, &item);
        if (!rv)
            rv = add(t, &item);
    }
    return rv;
}

static int save(const char *dir, const struct takeover *t)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out;
    int rv = 0;

    if (!t->n)
        return statefile_remove(dir, TAKEOVER_FILE);
    out = open_memstream(&text, &len);
    if (!out)
        return -ENOMEM;
    for (unsigned i = 0; i < t->n; i++) {
        _cleanup_free_ char *line = takeover_line(&t->items[i]);

        rv = line ? rv : -ENOMEM;
        fprintf(out, "%s\n", line ? line : "");
    }
    if (fclose(out))
        rv = -ENOMEM;
    if (!rv)
        rv = statefile_write(dir, TAKEOVER_FILE, text, len);
    free(text);
    return rv;
}

int takeover_keep(const char *dir, const struct takeover *t)
{
    struct takeover all = {0};
    int rv = t->n ? takeover_load(dir, &all) : 0;

    for (unsigned i = 0; i < t->n && !rv; i++)
        rv = add(&all, &t->items[i]);
    if (!rv && t->n)
        rv = save(dir, &all);
    takeover_done(&all);
    return rv;
}

int takeover_confirm(const char *dir, const char *id)
{
    struct takeover all = {0};
    int rv = takeover_load(dir, &all);
    bool changed = false;

    for (unsigned i = 0; i < all.n; i++)
        if (!strcmp(all.items[i].id, id)) {
            *all.items[i].id = 0;
            changed = true;
        }
    if (!rv && changed)
        rv = save(dir, &all);
    takeover_done(&all);
    return rv;
}

/* --- what they are --------------------------------------------------------------------- */

struct collector {
    struct wan_objects *to;
    int err;
};

static void collect_rule(void *user, const struct fib_rule *rule)
{
    struct collector *c = user;
    int rv = wan_objects_add_rule(c->to, rule);

    c->err = rv ? rv : c->err;
}

static void collect_route(void *user, const struct fib_route *route)
{
    struct collector *c = user;
    int rv = wan_objects_add_route(c->to, route);

    c->err = rv ? rv : c->err;
}

int takeover_objects(const struct takeover *t, struct wan_objects *ret)
{
    struct collector c = {.to = ret};

    for (unsigned i = 0; i < t->n; i++)
        (void)fib_raw_parse(&t->items[i].raw, collect_rule, collect_route, &c);
    return c.err;
}

/* --- the kernel ------------------------------------------------------------------------ */

static bool has(const struct takeover *t, const struct fib_raw *r)
{
    for (unsigned i = 0; i < t->n; i++)
        if (fib_raw_same(&t->items[i].raw, r))
            return true;
    return false;
}

int takeover_find_again(const char *dir, struct netlink *nl, const struct wan_objects *foreign,
                        struct takeover *t)
{
    struct takeover known = {0}, there = {0};
    int rv = takeover_load(dir, &known);

    if (!rv && known.n)
        rv = takeover_find(nl, foreign, "", &there);
    for (unsigned i = 0; i < there.n && !rv; i++)
        if (has(&known, &there.items[i].raw))
            rv = add(t, &there.items[i]);
    takeover_done(&known);
    takeover_done(&there);
    return rv;
}

int takeover_remove(struct netlink *nl, const struct takeover *t, takeover_note *note, void *user)
{
    char text[FIB_TEXT_MAX];
    int first = 0;

    for (unsigned i = 0; i < t->n; i++) {
        int rv = fib_raw_del(nl, &t->items[i].raw);

        if (rv == -ESRCH || rv == -ENOENT || rv == -ENODEV)
            rv = 0;
        note(user, true, fib_raw_str(&t->items[i].raw, text), rv);
        first = first ? first : rv;
    }
    return first;
}

/* The kernel takes a route away with its interface, or with the address that its router is near to:
 * it would be gone, too, had it stayed where it was. */
static bool is_gone(int error)
{
    return error == -ENODEV || error == -ENETDOWN || error == -ENETUNREACH ||
           error == -EHOSTUNREACH;
}

int takeover_restore(const char *dir, struct netlink *nl, const char *id, takeover_note *note,
                     void *user)
{
    struct takeover all = {0}, left = {0};
    int first = takeover_load(dir, &all), rv;
    char text[FIB_TEXT_MAX];

    for (unsigned i = 0; i < all.n && !first; i++) {
        const struct takeover_item *item = &all.items[i];

        if (id && strcmp(item->id, id) != 0) {
            first = add(&left, item);
            continue;
        }
        rv = fib_raw_add(nl, &item->raw);
        if (rv == -EEXIST)
            rv = 0;
        note(user, false, fib_raw_str(&item->raw, text), rv);
        first = is_gone(rv) ? 0 : rv;
    }
    /* After an error the file stays as it is: what was put back is found there the next time. */
    if (!first && left.n < all.n)
        first = save(dir, &left);
    takeover_done(&all);
    takeover_done(&left);
    return first;
}
