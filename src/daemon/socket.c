/* UDP sockets: a server's listeners, and those of a client's lanes. All follow what the kernel
 * reports: the client's the address of its interface, and each its interface. One that is made anew
 * has another index, and a socket that was bound to the old one hears and sends nothing any more.
 *
 * A client's first socket, number 0, is there as long as there is an address to send from. The
 * others are opened and closed as the edge wants them, bound as the first one, and none outlives
 * it: another address, or interface, closes all, and the edge begins anew with the first.
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

static int open_socket(struct instance *inst, unsigned slot, const struct net_addr *bind,
                       const char *device)
{
    struct instance_socket *s = &inst->sockets[slot];
    struct udp_socket_opts opts = {
        .bind = *bind, .device = device, .drops = &inst->drops, .buffers = inst->udp_buffers};
    int rv = helper_udp_open(inst->helper, &opts, &s->udp);

    if (rv)
        return rv;
    s->inst = inst;
    warn_buffers(inst, s->udp);
    instance_tell_udp_offload(inst, s->udp);
    rv = instance_watch_socket(inst, s);
    if (rv) {
        udp_socket_close(s->udp);
        s->udp = NULL;
    }
    return rv;
}

static void close_socket(struct instance *inst, unsigned slot)
{
    struct instance_socket *s = &inst->sockets[slot];

    if (!s->udp)
        return;
    if (inst->tx_pending && inst->tx->socket == slot)
        instance_drop_burst(inst);
    loop_io_remove(inst->loop, &s->io);
    udp_socket_close(s->udp);
    s->udp = NULL;
}

void instance_close_sockets(struct instance *inst)
{
    for (unsigned i = 0; i < INSTANCE_SOCKETS; i++)
        close_socket(inst, i);
}

/* After an error that no kernel event will end. */
static void retry_later(struct instance *inst)
{
    loop_timer_set(inst->loop, &inst->bind_retry, loop_now_ns(inst->loop) + BIND_RETRY_NS);
}

void instance_socket_lost(struct instance *inst)
{
    if (!loop_timer_is_set(&inst->bind_retry))
        loop_timer_set(inst->loop, &inst->bind_retry, loop_now_ns(inst->loop));
}

/* The socket is bound to an interface that is not the one of that name any more. */
static bool is_deaf(struct instance *inst, const struct udp_socket *s, const char *device)
{
    int index = udp_socket_ifindex(s);
    struct netlink_link link;

    return index && *device &&
           (netlink_link_by_name(inst->netlink, device, &link) || link.index != index);
}

static void wait_for(struct instance *inst, const char *what)
{
    static const struct net_addr none;

    if (strcmp(inst->waiting_for, what) != 0)
        log_info("path: waiting: %s", what);
    snprintf(inst->waiting_for, sizeof(inst->waiting_for), "%s", what);
    if (inst->edge)
        edge_set_addrs(inst->edge, loop_now_ns(inst->loop), 0, &none, &inst->remote, 0);
    instance_close_sockets(inst);
    inst->bound = none;
}

/* --- server ---------------------------------------------------------------------------- */

static int listen_on(struct instance *inst, unsigned slot, const struct ip_addr *addr)
{
    struct net_addr bind = net_addr_make(addr, inst->config->remote_port);
    char buf[NET_ADDR_STR_MAX];
    int rv = open_socket(inst, slot, &bind, inst->config->bind.ifname);

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
    struct netlink_link link;
    char why[sizeof(inst->waiting_for)];
    int rv;

    if (!*device || (s && !is_deaf(inst, s, device)))
        return;
    instance_close_sockets(inst);
    if (netlink_link_by_name(inst->netlink, device, &link)) {
        snprintf(why, sizeof(why), "no interface %s", device);
        wait_for(inst, why);
        return;
    }
    rv = listen_on_all(inst);
    if (rv) {
        snprintf(why, sizeof(why), "cannot listen on %s: %s", device, strerror(-rv));
        wait_for(inst, why);
        retry_later(inst);
        return;
    }
    inst->waiting_for[0] = 0;
}

/* --- client ---------------------------------------------------------------------------- */

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

/* What the configuration and the kernel say about where to send from. False: nothing now, and
 * *why says what is missing. */
static bool find_local(struct instance *inst, struct ip_addr *addr, char device[static 16],
                       char *why, size_t len)
{
    const struct config_bind *b = &inst->config->bind;
    struct ip_addr remote = net_addr_ip(&inst->remote);
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
        if (local_address(&inst->local, inst->netlink, link.index, &remote, addr))
            return true;
        snprintf(why, len, "no IPv%u address on %s", remote.family, b->ifname);
        return false;
    }
    addr->family = remote.family;
    if (!b->addr.family)
        return true; /* the kernel chooses */
    *addr = b->addr;
    if (interface_of(inst, addr, device))
        return true;
    ip_addr_str(addr, why);
    snprintf(why + strlen(why), len - strlen(why), " is on no interface");
    return false;
}

static void follow_address(struct instance *inst)
{
    struct ip_addr addr;
    struct net_addr bind;
    char device[16], why[96], buf[NET_ADDR_STR_MAX], rbuf[NET_ADDR_STR_MAX];
    int rv;

    if (!inst->remote.len)
        return;
    if (!find_local(inst, &addr, device, why, sizeof(why))) {
        wait_for(inst, why);
        return;
    }
    bind = net_addr_make(&addr, 0);
    if (inst->sockets[0].udp && !strcmp(device, inst->device) &&
        !is_deaf(inst, inst->sockets[0].udp, device)) {
        struct ip_addr now = net_addr_ip(&inst->bound);

        if (ip_addr_equal(&now, &addr)) {
            edge_set_addrs(inst->edge, loop_now_ns(inst->loop), 0, &inst->bound, &inst->remote, 0);
            return;
        }
    }
    instance_close_sockets(inst);
    rv = open_socket(inst, 0, &bind, device);
    if (rv) {
        snprintf(why, sizeof(why), "cannot bind to %s: %s", ip_addr_str(&addr, buf), strerror(-rv));
        wait_for(inst, why);
        retry_later(inst);
        return;
    }
    inst->waiting_for[0] = 0;
    snprintf(inst->device, sizeof(inst->device), "%s", device);
    inst->bound = *udp_socket_local(inst->sockets[0].udp);
    log_info("path: %s%s%s to %s", net_addr_str(&inst->bound, buf), *device ? " on " : "", device,
             net_addr_str(&inst->remote, rbuf));
    edge_set_addrs(inst->edge, loop_now_ns(inst->loop), 0, &inst->bound, &inst->remote, 0);
}

int instance_lane_socket(void *user, unsigned path, unsigned lane, struct net_addr *ret_local,
                         unsigned *ret_socket)
{
    struct instance *inst = user;
    struct ip_addr addr = net_addr_ip(&inst->bound);
    struct net_addr bind = net_addr_make(&addr, 0);
    unsigned slot = 1;
    int rv;

    if (!inst->sockets[0].udp)
        return -EADDRNOTAVAIL;
    while (slot < INSTANCE_SOCKETS && inst->sockets[slot].udp)
        slot++;
    if (slot == INSTANCE_SOCKETS)
        return -ENOSPC;
    rv = open_socket(inst, slot, &bind, inst->device);
    if (rv) {
        log_debug("path: no socket for lane %u: %s", lane, strerror(-rv));
        return rv;
    }
    *ret_local = *udp_socket_local(inst->sockets[slot].udp);
    *ret_socket = slot;
    return 0;
}

void instance_lane_socket_done(void *user, unsigned path, unsigned lane, unsigned socket)
{
    if (socket && socket < INSTANCE_SOCKETS)
        close_socket(user, socket);
}

void instance_follow_addresses(struct instance *inst)
{
    bool waited = *inst->waiting_for;

    if (inst->stopping)
        return;
    if (inst->edge)
        follow_address(inst);
    else
        follow_listeners(inst);
    if (waited || *inst->waiting_for)
        instance_tell_manager(inst);
}
