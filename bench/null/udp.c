#include "udp.h"

#include <errno.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int udp_configure(int fd, unsigned segment_size, int buffer_bytes)
{
    int one = 1;
    int size = (int)segment_size;

    /* Outside the initial user namespace only the smaller, unforced size is allowed. */
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer_bytes, sizeof(buffer_bytes)) < 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof(buffer_bytes));
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer_bytes, sizeof(buffer_bytes)) < 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof(buffer_bytes));
    if (segment_size == 0)
        return 0;
    if (setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)) < 0)
        return -errno;
    if (setsockopt(fd, IPPROTO_UDP, UDP_GRO, &one, sizeof(one)) < 0)
        return -errno;
    return 0;
}

int udp_open(const struct net_addr *local, const struct net_addr *peer, unsigned segment_size,
             int buffer_bytes)
{
    int fd = socket(local->sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int r;

    if (fd < 0)
        return -errno;
    r = udp_configure(fd, segment_size, buffer_bytes);
    if (r == 0 && bind(fd, &local->sa, local->len) < 0)
        r = -errno;
    if (r == 0 && connect(fd, &peer->sa, peer->len) < 0)
        r = -errno;
    if (r < 0) {
        close(fd);
        return r;
    }
    return fd;
}

ssize_t udp_recv(int fd, uint8_t *buf, size_t *ret_segment)
{
    struct iovec iov = {buf, UDP_RECV_MAX};
    union {
        char buf[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control.buf,
        .msg_controllen = sizeof(control.buf),
    };
    ssize_t n = recvmsg(fd, &msg, 0);
    int size = 0;

    if (n < 0)
        return -errno;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c))
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO)
            memcpy(&size, CMSG_DATA(c), sizeof(size));
    *ret_segment = size > 0 ? (size_t)size : (size_t)n;
    return n;
}
