/* The paths of a client: where each sends from, and to. Each finds the server's address, follows
 * the address of its interface, waits and binds on its own, so that one whose modem is unplugged is
 * no matter to the others. */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/instance.h"

#define RESOLVE_RETRY_NS (5 * NS_PER_S)

const char *path_title(const struct instance_path *p, char buf[static PATH_TITLE_MAX])
{
    snprintf(buf, PATH_TITLE_MAX, "path%s%s", *p->name ? " " : "", p->name);
    return buf;
}

/* --- where the hub is ------------------------------------------------------------------ */

static void on_resolved(struct loop_io *io, uint32_t events)
{
    struct instance_path *p = io->user;
    struct instance *inst = p->inst;
    char title[PATH_TITLE_MAX];
    struct remote_choice *remotes = &p->remotes;
    int rv = resolve_result(p->resolve, remotes->v, &remotes->n);

    loop_io_remove(inst->loop, io);
    resolve_free(p->resolve);
    p->resolve = NULL;
    if (rv) {
        log_info("%s: cannot resolve %s: %s", path_title(p, title),
                 config_path_remote(inst->config, p->entry), gai_strerror(rv));
        loop_timer_set(inst->loop, &p->bind_retry, loop_now_ns(inst->loop) + RESOLVE_RETRY_NS);
        return;
    }
    if (!p->remote.len)
        p->remote = remotes->v[0];
    instance_recheck_assigned(inst);
    instance_follow_addresses(inst);
    loop_defer(inst->loop, &inst->pump);
}

void path_resolve(struct instance_path *p)
{
    const struct tunnel_config *c = p->inst->config;
    struct loop *loop = p->inst->loop;

    if (p->resolve)
        return; /* at work */
    p->resolve = resolve_start(config_path_remote(c, p->entry), config_path_port(c, p->entry),
                               config_path_bind(c, p->entry)->addr.family);
    p->resolve_io = (struct loop_io){.cb = on_resolved, .user = p};
    if (p->resolve && !loop_io_add(loop, &p->resolve_io, resolve_fd(p->resolve), EPOLLIN))
        return;
    resolve_free(p->resolve);
    p->resolve = NULL;
    loop_timer_set(loop, &p->bind_retry, loop_now_ns(loop) + RESOLVE_RETRY_NS);
}

static void on_bind_retry(struct loop_timer *timer)
{
    struct instance_path *p = timer->user;
    struct instance *inst = p->inst;

    if (p->remote.len || inst->hub)
        instance_follow_addresses(inst);
    else
        path_resolve(p);
    loop_defer(inst->loop, &inst->pump);
}

/* --- where we are ---------------------------------------------------------------------- */

/* The name of the interface that holds an address: binding to it as well keeps policy routing
 * from sending our datagrams out of another one. "" when there is none. */
static bool interface_of(struct instance *inst, const struct ip_addr *addr, char name[static 16])
{
    _cleanup_free_ struct netlink_addr *v = NULL;
    struct netlink_link link;
    int n = netlink_addr_all(inst->netlink, 0, &v);

    for (int i = 0; i < n; i++) {
        if (!ip_addr_equal(&v[i].prefix.addr, addr) ||
            netlink_link_by_index(inst->netlink, v[i].index, &link))
            continue;
        snprintf(name, 16, "%s", link.name);
        return true;
    }
    return false;
}

/* What the configuration and the kernel say about where to send from to that address of the hub.
 * False: nothing now, and *why says what is missing. */
static bool find_local(struct instance_path *p, const struct net_addr *to, struct ip_addr *addr,
                       char device[static 16], char *why, size_t len)
{
    const struct config_bind *b = config_path_bind(p->inst->config, p->entry);
    struct instance *inst = p->inst;
    struct ip_addr remote = net_addr_ip(to);
    struct netlink_link link;

    device[0] = 0;
    memset(addr, 0, sizeof(*addr));
    if (*b->ifname) {
        snprintf(device, 16, "%s", b->ifname);
        if (netlink_link_by_name(inst->netlink, b->ifname, &link)) {
            snprintf(why, len, "no interface %s", b->ifname);
            return false;
        }
        if (!(link.flags & IFF_UP) || !link.carrier) {
            snprintf(why, len, "no carrier on %s", b->ifname);
            return false;
        }
        if (local_address(&p->local, inst->netlink, link.index, &remote, addr))
            return true;
        if (p->remotes.n > 1)
            snprintf(why, len, "no address on %s", b->ifname);
        else
            snprintf(why, len, "no IPv%u address on %s", remote.family, b->ifname);
        return false;
    }
    addr->family = remote.family;
    if (!b->addr.family || ip_addr_is_any(&b->addr))
        return true; /* the kernel chooses */
    *addr = b->addr;
    if (interface_of(inst, addr, device))
        return true;
    ip_addr_str(addr, why);
    snprintf(why + strlen(why), len - strlen(why), " is on no interface");
    return false;
}

/* Where to, and from where: the same. */
static bool find_ends(struct instance_path *p, struct ip_addr *addr, char device[static 16],
                      char *why, size_t len)
{
    const struct net_addr *to;
    unsigned families = 0;

    for (unsigned i = 0; i < p->remotes.n; i++)
        if (find_local(p, &p->remotes.v[i], addr, device, why, len))
            families |= remote_family_bit(net_addr_ip(&p->remotes.v[i]).family);
    to = remote_choose(&p->remotes, families);
    if (!to)
        return false;
    p->remote = *to;
    return find_local(p, to, addr, device, why, len);
}

void path_proven(struct instance_path *p, const struct ip_addr *local)
{
    local_on_up(&p->local, local);
    remote_on_up(&p->remotes, net_addr_ip(&p->remote).family);
}

void path_follow_address(struct instance_path *p)
{
    struct instance *inst = p->inst;
    char device[16], why[96], title[PATH_TITLE_MAX], buf[NET_ADDR_STR_MAX], rbuf[NET_ADDR_STR_MAX];
    struct udp_socket *s = inst->sockets[p->number].udp;
    struct net_addr bind;
    struct ip_addr addr;
    int rv;

    if (!p->remote.len)
        return;
    if (!find_ends(p, &addr, device, why, sizeof(why))) {
        path_wait_for(p, why);
        return;
    }
    if (s && !strcmp(device, p->device) && !path_is_deaf(p, s, device)) {
        struct ip_addr now = net_addr_ip(&p->bound);

        if (ip_addr_equal(&now, &addr)) {
            edge_set_addrs(inst->edge, loop_now_ns(inst->loop), p->number, &p->bound, &p->remote,
                           p->number);
            return;
        }
    }
    path_close_sockets(p);
    bind = net_addr_make(&addr, 0);
    rv = path_open_socket(p, p->number, &bind, device);
    if (rv) {
        snprintf(why, sizeof(why), "cannot bind to %s: %s", ip_addr_str(&addr, buf), strerror(-rv));
        path_wait_for(p, why);
        path_retry_later(p);
        return;
    }
    p->waiting_for[0] = 0;
    snprintf(p->device, sizeof(p->device), "%s", device);
    p->bound = *udp_socket_local(inst->sockets[p->number].udp);
    log_info("%s: %s%s%s to %s", path_title(p, title), net_addr_str(&p->bound, buf),
             *device ? " on " : "", device, net_addr_str(&p->remote, rbuf));
    edge_set_addrs(inst->edge, loop_now_ns(inst->loop), p->number, &p->bound, &p->remote,
                   p->number);
}

/* --- life ------------------------------------------------------------------------------ */

static struct instance_path *make_path(struct instance *inst, const char *name)
{
    struct instance_path *p = calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    p->inst = inst;
    p->bind_retry = (struct loop_timer){.cb = on_bind_retry, .user = p};
    snprintf(p->name, sizeof(p->name), "%s", name);
    p->tx = malloc(sizeof(*p->tx));
    if (p->tx)
        return p;
    free(p);
    return NULL;
}

/* No socket knows it any more. */
static void free_path(struct instance_path *p)
{
    struct instance *inst = p->inst;

    if (inst->loop) {
        path_close_sockets(p);
        loop_timer_cancel(inst->loop, &p->bind_retry);
        if (p->resolve)
            loop_io_remove(inst->loop, &p->resolve_io);
    }
    for (unsigned i = 0; i < INSTANCE_SOCKETS; i++)
        if (inst->sockets[i].path == p)
            inst->sockets[i].path = NULL;
    resolve_free(p->resolve);
    free(p->tx);
    free(p);
}

static void number_path(struct instance *inst, struct instance_path *p, unsigned number)
{
    p->number = number;
    inst->by_number[number] = p;
}

int instance_make_paths(struct instance *inst)
{
    const struct tunnel_config *c = inst->config;

    for (unsigned i = 0; i < config_paths(c); i++) {
        struct instance_path *p = make_path(inst, config_path_name(c, i));

        if (!p)
            return -ENOMEM;
        p->entry = i;
        number_path(inst, p, i);
        inst->paths[inst->n_paths++] = p;
    }
    return 0;
}

void instance_free_paths(struct instance *inst)
{
    for (unsigned i = 0; i < CONFIG_PATHS_MAX; i++) {
        if (inst->by_number[i])
            free_path(inst->by_number[i]);
        inst->by_number[i] = NULL;
    }
    inst->n_paths = 0;
}

void instance_begin_paths(struct instance *inst)
{
    for (unsigned i = 0; i < inst->n_paths; i++) {
        struct instance_path *p = inst->paths[i];

        if (p->begun)
            continue;
        p->begun = true;
        path_resolve(p);
    }
}

/* --- other paths than before ----------------------------------------------------------- */

unsigned instance_path_opts(const struct tunnel_config *c,
                            struct edge_path_opts ret[EDGE_PATHS_MAX])
{
    if (!c->multipath_enabled)
        return 0;
    for (unsigned i = 0; i < config_paths(c); i++) {
        snprintf(ret[i].name, sizeof(ret[i].name), "%s", config_path_name(c, i));
        ret[i].priority = c->paths[i].priority;
        ret[i].weight = c->paths[i].weight;
    }
    return config_paths(c);
}

/* Whether entry k of next is what the path is now, whatever its priority and weight: the same name,
 * bound and connected to the same. */
static bool is_same(const struct instance_path *p, const struct tunnel_config *next, unsigned k)
{
    const struct tunnel_config *c = p->inst->config;
    const struct config_bind *a = config_path_bind(c, p->entry), *b = config_path_bind(next, k);

    return !strcmp(p->name, config_path_name(next, k)) && !strcmp(a->ifname, b->ifname) &&
           a->addr.family == b->addr.family &&
           (!a->addr.family || ip_addr_equal(&a->addr, &b->addr)) &&
           !strcmp(config_path_remote(c, p->entry), config_path_remote(next, k)) &&
           config_path_port(c, p->entry) == config_path_port(next, k);
}

/* The paths of next, in its order, and the number of each. Returns 0 or -ENOMEM. */
static int plan_paths(struct instance *inst, const struct tunnel_config *next,
                      struct instance_path *plan[CONFIG_PATHS_MAX],
                      unsigned number[CONFIG_PATHS_MAX])
{
    for (unsigned i = 0; i < config_paths(next); i++) {
        number[i] = EDGE_PATH_NEW;
        for (unsigned k = 0; k < inst->n_paths && !plan[i]; k++)
            if (is_same(inst->paths[k], next, i)) {
                plan[i] = inst->paths[k];
                number[i] = plan[i]->number;
            }
        if (!plan[i])
            plan[i] = make_path(inst, config_path_name(next, i));
        if (!plan[i])
            return -ENOMEM;
    }
    return 0;
}

static void drop_plan(struct instance *inst, struct instance_path *plan[CONFIG_PATHS_MAX])
{
    for (unsigned i = 0; i < CONFIG_PATHS_MAX; i++)
        if (plan[i] && inst->by_number[plan[i]->number] != plan[i])
            free_path(plan[i]);
}

static void tell_change(const struct instance_path *p, const char *what)
{
    char title[PATH_TITLE_MAX];

    log_info("%s: %s", path_title(p, title), what);
}

/* In the place of the former list, which *ret_former gets. */
static void put_plan(struct instance *inst, struct instance_path *const plan[CONFIG_PATHS_MAX],
                     unsigned n, struct instance_path *ret_former[CONFIG_PATHS_MAX])
{
    memcpy(ret_former, inst->paths, sizeof(inst->paths));
    for (unsigned i = 0; i < inst->n_paths; i++)
        inst->paths[i]->leaving = true;
    for (unsigned i = 0; i < n && plan[i]; i++)
        plan[i]->leaving = false;
    for (unsigned i = 0; i < inst->n_paths; i++)
        if (inst->paths[i]->leaving)
            tell_change(inst->paths[i], "leaves: the configuration does not have it any more");
    memcpy(inst->paths, plan, sizeof(inst->paths));
    inst->n_paths = n;
}

int instance_change_paths(struct instance *inst, const struct tunnel_config *next)
{
    struct instance_path *plan[CONFIG_PATHS_MAX] = {NULL}, *former[CONFIG_PATHS_MAX];
    struct edge_path_opts opts[EDGE_PATHS_MAX] = {{.name = ""}};
    struct treatment treatment = instance_treatment(next);
    unsigned number[CONFIG_PATHS_MAX], n = instance_path_opts(next, opts);
    unsigned had = inst->n_paths;
    int rv = n ? plan_paths(inst, next, plan, number) : 0;

    if (rv)
        drop_plan(inst, plan);
    if (rv || !n)
        return rv;
    put_plan(inst, plan, n, former);
    rv = edge_set_paths(inst->edge, loop_now_ns(inst->loop), opts, number, n, &treatment);
    if (rv) {
        put_plan(inst, former, had, plan);
        drop_plan(inst, plan);
        return rv;
    }
    for (unsigned i = 0; i < n && plan[i]; i++) {
        plan[i]->entry = i;
        number_path(inst, plan[i], number[i]);
        if (!plan[i]->begun)
            tell_change(plan[i], "new");
    }
    return 0;
}

void instance_path_gone(struct instance *inst, unsigned number)
{
    struct instance_path *p = inst->by_number[number];

    if (!p || !p->leaving)
        return;
    tell_change(p, "gone");
    inst->by_number[number] = NULL;
    free_path(p);
}
