#include "cli/beside.h"

#include <dirent.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

#include "base/place.h"
#include "base/util.h"
#include "helper/helper.h"
#include "netlink/netlink.h"
#include "pki/file.h"

enum { TABLE_FIRST = 100, TABLE_LAST = 199, TUN_LAST = 99 };

/* --- the other instances --------------------------------------------------------------- */

typedef bool beside_cb(const char *name, const struct tunnel_config *other, void *user);

/* Hand every readable configuration of the directory but that of `name` to cb, until it returns
 * true. */
static void each_other(const char *dir, const char *name, beside_cb *cb, void *user)
{
    DIR *d = opendir(dir);
    const struct dirent *entry;
    bool done = false;

    while (d && !done && (entry = readdir(d))) {
        size_t len = strlen(entry->d_name);
        struct config_report report = {0};
        char other[PLACE_NAME_MAX], path[FILE_PATH_MAX];
        struct tunnel_config c;

        if (len <= 5 || strcmp(entry->d_name + len - 5, ".yaml") != 0 ||
            place_instance_name(entry->d_name, other) || !strcmp(other, name) ||
            snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name) >= (int)sizeof(path))
            continue;
        if (!config_load(path, &c, &report)) {
            done = cb(other, &c, user);
            config_done(&c);
        }
        config_report_done(&report);
    }
    if (d)
        closedir(d);
}

struct search {
    const char *tun; /* a TUN of this name; NULL: none is looked for */
    const struct ip_prefix *route;
    uint32_t table; /* and in this table; with a NULL route any use of it */
    char found[PLACE_NAME_MAX];
};

static uint32_t table_of(const struct tunnel_config *c)
{
    return c->route_table ? c->route_table : (uint32_t)RT_TABLE_MAIN;
}

static bool compare(const char *name, const struct tunnel_config *other, void *user)
{
    struct search *s = user;
    bool same = s->tun && !strcmp(other->tun_name, s->tun);

    if (!s->tun && other->role == CONFIG_ROLE_CLIENT && table_of(other) == s->table)
        for (unsigned i = 0; i < other->n_routes; i++)
            same |= !s->route || ip_prefix_equal(&other->routes[i], s->route);
    if (same)
        snprintf(s->found, sizeof(s->found), "%s", name);
    return same;
}

/* --- what is free ---------------------------------------------------------------------- */

static void free_tun(const char *dir, const char *name, struct netlink *nl, char ret[static 16])
{
    for (unsigned i = 0; i <= TUN_LAST; i++) {
        struct netlink_link link;
        struct search s = {.tun = ret};

        snprintf(ret, 16, "mpq%u", i);
        each_other(dir, name, compare, &s);
        if (!*s.found && netlink_link_by_name(nl, ret, &link) == -ENODEV)
            return;
    }
    snprintf(ret, 16, "IFNAME");
}

static void free_table(const char *dir, const char *name, char ret[static 16])
{
    for (unsigned i = TABLE_FIRST; i <= TABLE_LAST; i++) {
        struct search s = {.table = i};

        each_other(dir, name, compare, &s);
        snprintf(ret, 16, "%u", i);
        if (!*s.found)
            return;
    }
    snprintf(ret, 16, "N");
}

/* --- the check ------------------------------------------------------------------------- */

static int check_tun(const char *dir, const char *name, const struct tunnel_config *c,
                     struct netlink *nl, struct pki_error *e)
{
    struct search s = {.tun = c->tun_name};
    struct netlink_link link;
    char other[16];

    each_other(dir, name, compare, &s);
    if (*s.found) {
        free_tun(dir, name, nl, other);
        return pki_error_set(e, -EEXIST,
                             "%s is the interface of the instance %s already: add --tunnel %s",
                             c->tun_name, s.found, other);
    }
    if (netlink_link_by_name(nl, c->tun_name, &link) || !strcmp(link.kind, "tun"))
        return 0;
    free_tun(dir, name, nl, other);
    return pki_error_set(
        e, -EEXIST, "%s is an interface of this machine already, and no tunnel: add --tunnel %s",
        c->tun_name, other);
}

/* A route of the kernel's that would go before ours, or keep it from being made. */
static int check_kernel(const struct tunnel_config *c, const char *old_tun,
                        const struct ip_prefix *p, struct netlink *nl, struct pki_error *e)
{
    struct netlink_route r = {.dst = *p, .table = table_of(c)};
    const char *by = "another way";
    char route[IP_PREFIX_STR_MAX];
    struct netlink_link link;

    if (netlink_route_find(nl, &r, &r) || r.metric > HELPER_ROUTE_METRIC)
        return 0;
    if (r.index && !netlink_link_by_index(nl, r.index, &link)) {
        if (!strcmp(link.name, c->tun_name) || (old_tun && !strcmp(link.name, old_tun)))
            return 0;
        by = link.name;
    }
    ip_prefix_str(p, route);
    if (r.table == RT_TABLE_MAIN && !p->len)
        return pki_error_set(e, -EEXIST,
                             "this machine's own route to %s by %s would go before that of the "
                             "tunnel: have the bundle made with --route %s",
                             route, by,
                             p->addr.family == 4 ? "0.0.0.0/1 --route 128.0.0.0/1"
                                                 : "::/1 --route 8000::/1");
    return pki_error_set(e, -EEXIST,
                         "the routing table %u has a route to %s by %s already: remove that, or "
                         "add --route-table with the number of another table",
                         r.table, route, by);
}

static int check_routes(const char *dir, const char *name, const struct tunnel_config *c,
                        const char *old_tun, struct netlink *nl, struct pki_error *e)
{
    for (unsigned i = 0; i < c->n_routes; i++) {
        struct search s = {.route = &c->routes[i], .table = table_of(c)};
        char route[IP_PREFIX_STR_MAX], table[16];
        int rv;

        each_other(dir, name, compare, &s);
        if (*s.found) {
            free_table(dir, name, table);
            return pki_error_set(e, -EEXIST,
                                 "the instance %s has a route to %s in the table %u already: add "
                                 "--route-table %s",
                                 s.found, ip_prefix_str(&c->routes[i], route), s.table, table);
        }
        rv = check_kernel(c, old_tun, &c->routes[i], nl, e);
        if (rv)
            return rv;
    }
    return 0;
}

int beside_check(const char *dir, const char *name, const struct tunnel_config *c,
                 const char *old_tun, struct pki_error *e)
{
    struct netlink *nl = NULL;
    int rv = netlink_open(&nl);

    if (rv)
        return pki_error_set(e, rv, "cannot ask the kernel for its interfaces: %s", strerror(-rv));
    rv = check_tun(dir, name, c, nl, e);
    if (!rv)
        rv = check_routes(dir, name, c, old_tun, nl, e);
    netlink_close(nl);
    return rv;
}
