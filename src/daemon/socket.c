/* UDP sockets: a server's listeners, and the client's one socket, which follows the address of
 * its interface as the kernel reports it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include "daemon/instance.h"

enum { ADDRESSES_MAX = 64 };
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
    struct udp_socket_opts opts = {.bind = *bind, .device = device, .drops = &inst->drops};
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

void instance_close_sockets(struct instance *inst)
{
    for (unsigned i = 0; i < INSTANCE_SOCKETS; i++) {
        struct instance_socket *s = &inst->sockets[i];

        if (!s->udp)
            continue;
        loop_io_remove(inst->loop, &s->io);
        udp_socket_close(s->udp);
        s->udp = NULL;
    }
    inst->tx_pending = false;
}

/* --- server ---------------------------------------------------------------------------- */

static enum exit_code listen_on(struct instance *inst, unsigned slot, const struct ip_addr *addr,
                                const char *device)
{
    struct net_addr bind = net_addr_make(addr, inst->config->remote_port);
    char buf[NET_ADDR_STR_MAX];
    int rv = open_socket(inst, slot, &bind, device);

    net_addr_str(&bind, buf);
    if (rv) {
        log_error("udp %s: cannot listen: %s", buf, strerror(-rv));
        return EXIT_CODE_START;
    }
    log_info("udp %s: listening", buf);
    return EXIT_CODE_OK;
}

/* "::" or no bind_ip listens on both families, an address or "0.0.0.0" on its own. */
enum exit_code instance_open_listeners(struct instance *inst)
{
    const struct config_bind *b = &inst->config->bind;
    struct ip_addr any4 = {.family = 4}, any6 = {.family = 6};
    enum exit_code code;

    if (b->addr.family && !ip_addr_equal(&b->addr, &any6))
        return listen_on(inst, 0, &b->addr, b->ifname);
    code = listen_on(inst, 0, &any6, b->ifname);
    return code ? code : listen_on(inst, 1, &any4, b->ifname);
}

/* --- client ---------------------------------------------------------------------------- */

static bool usable(const struct netlink_addr *a, uint8_t family)
{
    return a->prefix.addr.family == family && a->scope == RT_SCOPE_UNIVERSE &&
           !(a->flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED | IFA_F_DEPRECATED));
}

/* The interface's address of that family: the one in use if it is still there, else the first. */
static bool interface_address(struct instance *inst, const struct netlink_link *link,
                              uint8_t family, struct ip_addr *ret)
{
    struct netlink_addr v[ADDRESSES_MAX];
    struct ip_addr current = net_addr_ip(&inst->bound);
    int n = netlink_addr_list(inst->netlink, link->index, v, ADDRESSES_MAX);
    bool found = false;

    for (int i = 0; i < MIN(n, ADDRESSES_MAX); i++) {
        if (!usable(&v[i], family))
            continue;
        if (ip_addr_equal(&v[i].prefix.addr, &current)) {
            *ret = current;
            return true;
        }
        if (!found)
            *ret = v[i].prefix.addr;
        found = true;
    }
    return found;
}

/* The name of the interface that holds an address: binding to it as well keeps policy routing
 * from sending our datagrams out of another one. "" when there is none. */
static bool interface_of(struct instance *inst, const struct ip_addr *addr, char name[static 16])
{
    struct netlink_addr v[ADDRESSES_MAX];
    struct netlink_link link;
    int n = netlink_addr_list(inst->netlink, 0, v, ADDRESSES_MAX);

    for (int i = 0; i < MIN(n, ADDRESSES_MAX); i++) {
        if (!ip_addr_equal(&v[i].prefix.addr, addr) ||
            netlink_link_by_index(inst->netlink, v[i].index, &link))
            continue;
        snprintf(name, 16, "%s", link.name);
        return true;
    }
    return false;
}

static void wait_for(struct instance *inst, const char *what)
{
    static const struct net_addr none;

    if (strcmp(inst->waiting_for, what) != 0)
        log_info("path: waiting: %s", what);
    snprintf(inst->waiting_for, sizeof(inst->waiting_for), "%s", what);
    edge_set_addrs(inst->edge, loop_now_ns(inst->loop), &none, &inst->remote, 0);
    instance_close_sockets(inst);
    inst->bound = none;
}

/* What the configuration and the kernel say about where to send from. False: nothing now, and
 * *why says what is missing. */
static bool find_local(struct instance *inst, struct ip_addr *addr, char device[static 16],
                       char *why, size_t len)
{
    const struct config_bind *b = &inst->config->bind;
    uint8_t family = net_addr_ip(&inst->remote).family;
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
        if (interface_address(inst, &link, family, addr))
            return true;
        snprintf(why, len, "no IPv%u address on %s", family, b->ifname);
        return false;
    }
    addr->family = family;
    if (!b->addr.family)
        return true; /* the kernel chooses */
    *addr = b->addr;
    if (interface_of(inst, addr, device))
        return true;
    ip_addr_str(addr, why);
    snprintf(why + strlen(why), len - strlen(why), " is on no interface");
    return false;
}

/* After an error that no kernel event will end. */
static void retry_later(struct instance *inst)
{
    loop_timer_set(inst->loop, &inst->bind_retry, loop_now_ns(inst->loop) + BIND_RETRY_NS);
}

void instance_follow_addresses(struct instance *inst)
{
    struct ip_addr addr;
    struct net_addr bind;
    char device[16], why[96], buf[NET_ADDR_STR_MAX], rbuf[NET_ADDR_STR_MAX];
    int rv;

    if (!inst->remote.len || inst->stopping)
        return;
    if (!find_local(inst, &addr, device, why, sizeof(why))) {
        wait_for(inst, why);
        return;
    }
    bind = net_addr_make(&addr, 0);
    if (inst->sockets[0].udp && !strcmp(device, inst->device)) {
        struct ip_addr now = net_addr_ip(&inst->bound);

        if (ip_addr_equal(&now, &addr)) {
            edge_set_addrs(inst->edge, loop_now_ns(inst->loop), &inst->bound, &inst->remote, 0);
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
    edge_set_addrs(inst->edge, loop_now_ns(inst->loop), &inst->bound, &inst->remote, 0);
}
