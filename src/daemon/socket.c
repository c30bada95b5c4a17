/* UDP sockets: a server's listeners, and those of a client's lanes. All follow what the kernel
 * reports: the client's the address of its interface, and each its interface. One that is made anew
 * has another index, and a socket that was bound to the old one hears and sends nothing any more.
 *
 * The first socket of a client's path has the number of the path, and is there as long as there is
 * an address to send from (uplink.c). The others are opened and closed as the edge wants them,
 * bound as the first one of their path, and none outlives it: another address, or interface, closes
 * all, and the path begins anew with the first.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/instance.h"

#define BIND_RETRY_NS (2 * NS_PER_S)

static void warn_buffers(struct instance *inst, const struct udp_socket *s)
{
    uint32_t rcv = udp_socket_rcvbuf_bytes(s), snd = udp_socket_sndbuf_bytes(s);

    if (inst->told.buffers || (rcv >= UDP_BUFFER_BYTES && snd >= UDP_BUFFER_BYTES))
        return;
    inst->told.buffers = true;
    if (rcv < UDP_BUFFER_BYTES)
        log_info("udp: receive buffer is %u bytes only: raise sysctl net.core.rmem_max to %d", rcv,
                 UDP_BUFFER_BYTES);
    if (snd < UDP_BUFFER_BYTES)
        log_info("udp: send buffer is %u bytes only: raise sysctl net.core.wmem_max to %d", snd,
                 UDP_BUFFER_BYTES);
}

void instance_tell_udp_offload(struct instance *inst, const struct udp_socket *s)
{
    if (!udp_socket_has_gso(s) && !inst->told.no_gso) {
        inst->told.no_gso = true;
        log_info("udp: no segmentation offload (UDP_SEGMENT): the kernel or the device refused it; "
                 "datagrams are sent one by one, which is slower");
    }
    if (!udp_socket_has_gro(s) && !inst->told.no_gro) {
        inst->told.no_gro = true;
        log_info("udp: no receive offload (UDP_GRO): the kernel refused it; datagrams are received "
                 "one by one, which is slower");
    }
}

int path_open_socket(struct instance_path *p, unsigned slot, const struct net_addr *bind,
                     const char *device)
{
    struct instance *inst = p->inst;
    struct instance_socket *s = &inst->sockets[slot];
    struct udp_socket_opts opts = {
        .bind = *bind, .device = device, .drops = &inst->drops, .buffers = inst->udp_buffers};
    int rv = helper_udp_open(inst->helper, &opts, &s->udp);

    if (rv)
        return rv;
    s->inst = inst;
    s->path = p;
    warn_buffers(inst, s->udp);
    instance_tell_udp_offload(inst, s->udp);
    rv = instance_watch_socket(inst, s);
    if (rv) {
        udp_socket_close(s->udp);
        s->udp = NULL;
    }
    return rv;
}

void instance_close_socket(struct instance *inst, unsigned slot)
{
    struct instance_socket *s = &inst->sockets[slot];

    if (!s->udp)
        return;
    if (s->path->tx_pending && s->path->tx->socket == slot)
        path_drop_burst(s->path);
    loop_io_remove(inst->loop, &s->io);
    udp_socket_close(s->udp);
    s->udp = NULL;
}

void path_close_sockets(struct instance_path *p)
{
    for (unsigned i = 0; i < INSTANCE_SOCKETS; i++)
        if (p->inst->sockets[i].path == p)
            instance_close_socket(p->inst, i);
}

void path_retry_later(struct instance_path *p)
{
    struct loop *loop = p->inst->loop;

    loop_timer_set(loop, &p->bind_retry, loop_now_ns(loop) + BIND_RETRY_NS);
}

void path_socket_lost(struct instance_path *p)
{
    if (!loop_timer_is_set(&p->bind_retry))
        loop_timer_set(p->inst->loop, &p->bind_retry, loop_now_ns(p->inst->loop));
}

bool path_is_deaf(struct instance_path *p, const struct udp_socket *s, const char *device)
{
    int index = udp_socket_ifindex(s);
    struct netlink_link link;

    return index && *device &&
           (netlink_link_by_name(p->inst->netlink, device, &link) || link.index != index);
}

void path_wait_for(struct instance_path *p, const char *what)
{
    static const struct net_addr none;
    struct instance *inst = p->inst;
    char title[PATH_TITLE_MAX];

    if (strcmp(p->waiting_for, what) != 0)
        log_info("%s: waiting: %s", path_title(p, title), what);
    snprintf(p->waiting_for, sizeof(p->waiting_for), "%s", what);
    if (inst->edge)
        edge_set_addrs(inst->edge, loop_now_ns(inst->loop), p->number, &none, &p->remote,
                       p->number);
    path_close_sockets(p);
    p->bound = none;
}

/* --- server ---------------------------------------------------------------------------- */

static int listen_on(struct instance *inst, unsigned slot, const struct ip_addr *addr)
{
    struct net_addr bind = net_addr_make(addr, inst->config->remote_port);
    char buf[NET_ADDR_STR_MAX];
    int rv = path_open_socket(inst->paths[0], slot, &bind, inst->config->bind.ifname);

    if (!rv)
        log_info("udp %s: listening", net_addr_str(&bind, buf));
    return rv;
}

/* "::" or no bind_ip listens on both families, an address or "0.0.0.0" on its own. */
static int listen_on_all(struct instance *inst)
{
    const struct config_bind *b = &inst->config->bind;
    struct ip_addr any4 = {.family = 4}, any6 = {.family = 6};
    int rv;

    if (b->addr.family && !ip_addr_equal(&b->addr, &any6))
        return listen_on(inst, 0, &b->addr);
    rv = listen_on(inst, 0, &any6);
    return rv ? rv : listen_on(inst, 1, &any4);
}

enum exit_code instance_open_listeners(struct instance *inst)
{
    const struct config_bind *b = &inst->config->bind;
    char buf[IP_ADDR_STR_MAX] = "";
    int rv = listen_on_all(inst);

    if (!rv)
        return EXIT_CODE_OK;
    log_error("udp: cannot listen on %s%sport %u: %s",
              *b->ifname       ? b->ifname
              : b->addr.family ? ip_addr_str(&b->addr, buf)
                               : "",
              *b->ifname || b->addr.family ? ", " : "", inst->config->remote_port, strerror(-rv));
    return EXIT_CODE_START;
}

/* Only listeners on an interface can lose it; what lost its own is closed until there is one. */
static void follow_listeners(struct instance *inst)
{
    const char *device = inst->config->bind.ifname;
    struct udp_socket *s = inst->sockets[0].udp;
    struct instance_path *p = inst->paths[0];
    struct netlink_link link;
    char why[sizeof(p->waiting_for)];
    int rv;

    if (!*device || (s && !path_is_deaf(p, s, device)))
        return;
    path_close_sockets(p);
    if (netlink_link_by_name(inst->netlink, device, &link)) {
        snprintf(why, sizeof(why), "no interface %s", device);
        path_wait_for(p, why);
        return;
    }
    rv = listen_on_all(inst);
    if (rv) {
        snprintf(why, sizeof(why), "cannot listen on %s: %s", device, strerror(-rv));
        path_wait_for(p, why);
        path_retry_later(p);
        return;
    }
    p->waiting_for[0] = 0;
}

/* --- client ---------------------------------------------------------------------------- */

int instance_lane_socket(void *user, unsigned path, unsigned lane, struct net_addr *ret_local,
                         unsigned *ret_socket)
{
    struct instance *inst = user;
    struct instance_path *p = inst->by_number[path];
    struct ip_addr addr = net_addr_ip(&p->bound);
    struct net_addr bind = net_addr_make(&addr, 0);
    unsigned slot = CONFIG_PATHS_MAX;
    int rv;

    if (!inst->sockets[path].udp)
        return -EADDRNOTAVAIL;
    while (slot < INSTANCE_SOCKETS && inst->sockets[slot].udp)
        slot++;
    if (slot == INSTANCE_SOCKETS)
        return -ENOSPC;
    rv = path_open_socket(p, slot, &bind, p->device);
    if (rv) {
        char title[PATH_TITLE_MAX];

        log_debug("%s: no socket for lane %u: %s", path_title(p, title), lane, strerror(-rv));
        return rv;
    }
    *ret_local = *udp_socket_local(inst->sockets[slot].udp);
    *ret_socket = slot;
    return 0;
}

void instance_lane_socket_done(void *user, unsigned path, unsigned lane, unsigned socket)
{
    struct instance *inst = user;

    if (socket >= CONFIG_PATHS_MAX && socket < INSTANCE_SOCKETS)
        instance_close_socket(inst, socket);
}

static bool any_waits(const struct instance *inst)
{
    for (unsigned i = 0; i < inst->n_paths; i++)
        if (*inst->paths[i]->waiting_for)
            return true;
    return false;
}

void instance_follow_addresses(struct instance *inst)
{
    bool waited = any_waits(inst);

    if (inst->stopping)
        return;
    for (unsigned i = 0; i < inst->n_paths && inst->edge; i++)
        path_follow_address(inst->paths[i]);
    if (inst->hub)
        follow_listeners(inst);
    if (waited || any_waits(inst))
        instance_tell_manager(inst);
}
