/* That something has changed, not what: who listens reads it anew, so that no event can be
 * misunderstood and none that was lost matters. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/sock.h"
#include "base/util.h"
#include "netlink/fib.h"

#define GROUP_BIT(group) (1u << ((group)-1))

enum { RCVBUF_BYTES = 1 << 20 };

struct fib_signal {
    int fd;
};

/* Loads are in network byte order, the message is not. */
static int filter_routes(int fd)
{
    enum {
        TYPE = offsetof(struct nlmsghdr, nlmsg_type),
        LENGTH = NLMSG_HDRLEN + offsetof(struct rtmsg, rtm_dst_len),
        TABLE = NLMSG_HDRLEN + offsetof(struct rtmsg, rtm_table),
        PROTOCOL = NLMSG_HDRLEN + offsetof(struct rtmsg, rtm_protocol)
    };
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, TYPE),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_NEWROUTE), 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_DELROUTE), 0, 7),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, LENGTH),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 5, 0),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, PROTOCOL),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FIB_PROTOCOL, 3, 0),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, TABLE),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, RT_TABLE_MAIN, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, RT_TABLE_LOCAL, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog program = {.len = ARRAY_LEN(code), .filter = code};

    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) ? -errno : 0;
}

int fib_signal_open(struct fib_signal **ret)
{
    struct sockaddr_nl addr = {
        .nl_family = AF_NETLINK,
        .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
                     RTMGRP_IPV6_ROUTE | GROUP_BIT(RTNLGRP_IPV4_RULE) |
                     GROUP_BIT(RTNLGRP_IPV6_RULE),
    };
    struct fib_signal *s = calloc(1, sizeof(*s));
    int bytes = RCVBUF_BYTES;

    if (!s)
        return -ENOMEM;
    s->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (s->fd < 0 || filter_routes(s->fd) ||
        bind(s->fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
        int err = errno;

        fib_signal_close(s);
        return -err;
    }
    if (setsockopt(s->fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
        setsockopt(s->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    *ret = s;
    return 0;
}

void fib_signal_close(struct fib_signal *s)
{
    if (!s)
        return;
    if (s->fd >= 0)
        close(s->fd);
    free(s);
}

int fib_signal_fd(const struct fib_signal *s)
{
    return s->fd;
}

int fib_signal_take(struct fib_signal *s)
{
    return sock_drain(s->fd);
}
