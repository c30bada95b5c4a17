/* The monitor: what the kernel says about links and addresses, as events. */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/filter.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "netlink/netlink.h"
#include "netlink/parse.h"

#define GROUP_BIT(group) (1u << ((group)-1))

enum { MESSAGE_MAX = 32768, READS_MAX = 64, RCVBUF_BYTES = 1 << 20 };

struct netlink_monitor {
    int fd;
    union {
        struct nlmsghdr align;
        uint8_t b[MESSAGE_MAX];
    } in;
};

const char *netlink_event_name(enum netlink_event_type type)
{
    static const char *const names[NETLINK_EVENT_COUNT] = {
        [NETLINK_EVENT_LINK] = "link",
        [NETLINK_EVENT_LINK_GONE] = "link-gone",
        [NETLINK_EVENT_ADDR] = "address",
        [NETLINK_EVENT_ADDR_GONE] = "address-gone",
        [NETLINK_EVENT_ROUTE_GONE] = "route-gone",
        [NETLINK_EVENT_RULE_GONE] = "rule-gone",
        [NETLINK_EVENT_RESYNC] = "resynchronise",
    };

    return (unsigned)type < NETLINK_EVENT_COUNT ? names[type] : "?";
}

/* On a router with the Internet's table thousands of routes change in a second, and none of them
 * is ours: let the kernel hold back what is not. Loads are in network byte order, the message is
 * not. */
static int filter_routes(int fd)
{
    enum {
        TYPE = offsetof(struct nlmsghdr, nlmsg_type),
        PROTOCOL = NLMSG_HDRLEN + offsetof(struct rtmsg, rtm_protocol)
    };
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, TYPE),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_NEWROUTE), 4, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_DELROUTE), 0, 2),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, PROTOCOL),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NETLINK_RTPROT, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog program = {.len = ARRAY_LEN(code), .filter = code};

    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) ? -errno : 0;
}

int netlink_monitor_open(struct netlink_monitor **ret)
{
    struct sockaddr_nl addr = {
        .nl_family = AF_NETLINK,
        .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
                     RTMGRP_IPV6_ROUTE | GROUP_BIT(RTNLGRP_IPV4_RULE) |
                     GROUP_BIT(RTNLGRP_IPV6_RULE),
    };
    struct netlink_monitor *m = calloc(1, sizeof(*m));
    int bytes = RCVBUF_BYTES;

    if (!m)
        return -ENOMEM;
    m->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (m->fd < 0 || filter_routes(m->fd) ||
        bind(m->fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
        int err = errno;

        netlink_monitor_close(m);
        return -err;
    }
    if (setsockopt(m->fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
        setsockopt(m->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    *ret = m;
    return 0;
}

void netlink_monitor_close(struct netlink_monitor *m)
{
    if (!m)
        return;
    if (m->fd >= 0)
        close(m->fd);
    free(m);
}

int netlink_monitor_fd(const struct netlink_monitor *m)
{
    return m->fd;
}

/* The event of one message. Returns 0, -ENOMSG (nothing of interest) or -EBADMSG. */
static int to_event(const struct nlmsghdr *h, struct netlink_event *ev)
{
    switch (h->nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
        ev->type = h->nlmsg_type == RTM_NEWLINK ? NETLINK_EVENT_LINK : NETLINK_EVENT_LINK_GONE;
        return parse_link(h, &ev->link);
    case RTM_NEWADDR:
    case RTM_DELADDR:
        ev->type = h->nlmsg_type == RTM_NEWADDR ? NETLINK_EVENT_ADDR : NETLINK_EVENT_ADDR_GONE;
        return parse_addr(h, &ev->addr);
    case RTM_DELROUTE:
        ev->type = NETLINK_EVENT_ROUTE_GONE;
        return parse_route(h, &ev->route);
    case RTM_DELRULE:
        ev->type = NETLINK_EVENT_RULE_GONE;
        return parse_rule(h, &ev->rule);
    default:
        return -ENOMSG;
    }
}

/* Deliver the messages of one read. Returns the number of events; *lost: one was not readable. */
static int deliver(struct netlink_monitor *m, size_t len, netlink_event_cb *cb, void *user,
                   bool *lost)
{
    const struct nlmsghdr *h = &m->in.align;
    int left = (int)len, n = 0;

    while (parse_message_ok(h, left)) {
        struct netlink_event ev = {0};
        int r = to_event(h, &ev);

        if (r == 0) {
            cb(user, &ev);
            n++;
        }
        *lost |= r == -EBADMSG;
        h = mnl_nlmsg_next(h, &left);
    }
    return n;
}

/* One read. Returns the bytes, 0 for a message that is not the kernel's, -errno (-EAGAIN: none). */
static int receive(struct netlink_monitor *m, bool *lost)
{
    struct sockaddr_nl from = {0};
    struct iovec iov = {.iov_base = m->in.b, .iov_len = sizeof(m->in.b)};
    struct msghdr h = {
        .msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n;

    do
        n = recvmsg(m->fd, &h, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    *lost |= (h.msg_flags & MSG_TRUNC) != 0;
    return from.nl_pid == 0 ? (int)n : 0;
}

int netlink_monitor_dispatch(struct netlink_monitor *m, netlink_event_cb *cb, void *user)
{
    struct netlink_event resync = {.type = NETLINK_EVENT_RESYNC};
    bool lost = false;
    int n = 0, r = 0;

    for (unsigned i = 0; i < READS_MAX; i++) {
        r = receive(m, &lost);
        if (r == -ENOBUFS)
            lost = true;
        else if (r < 0)
            break;
        else
            n += deliver(m, (size_t)r, cb, user, &lost);
    }
    if (lost) {
        cb(user, &resync);
        n++;
    }
    return r < 0 && r != -EAGAIN && r != -ENOBUFS && !n ? r : n;
}
