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
                 config_path_remote(inst->config, p->number), gai_strerror(rv));
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
    p->resolve = resolve_start(config_path_remote(c, p->number), config_path_port(c, p->number),
                               config_path_bind(c, p->number)->addr.family);
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
    const struct config_bind *b = config_path_bind(p->inst->config, p->number);
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

int instance_make_paths(struct instance *inst)
{
    const struct tunnel_config *c = inst->config;

    inst->n_paths = config_paths(c);
    for (unsigned i = 0; i < inst->n_paths; i++) {
        struct instance_path *p = &inst->paths[i];

        p->inst = inst;
        p->number = i;
        p->bind_retry = (struct loop_timer){.cb = on_bind_retry, .user = p};
        snprintf(p->name, sizeof(p->name), "%s", config_path_name(c, i));
        p->tx = malloc(sizeof(*p->tx));
        if (!p->tx)
            return -ENOMEM;
    }
    return 0;
}

void instance_free_paths(struct instance *inst)
{
    for (unsigned i = 0; i < inst->n_paths; i++) {
        if (inst->loop)
            path_close_sockets(&inst->paths[i]);
        resolve_free(inst->paths[i].resolve);
        free(inst->paths[i].tx);
    }
}
