#include "base/sock.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DRAIN_MAX = 256, FDS_MAX = 4 };

int sock_send_fd(int sock, const void *buf, size_t len, int fd, int flags)
{
    union {
        struct cmsghdr align;
        char b[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec iov = {.iov_base = (void *)buf, .iov_len = len};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    struct cmsghdr *c;
    ssize_t n;

    if (fd >= 0) {
        m.msg_control = &control;
        m.msg_controllen = sizeof(control);
        c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(fd));
        memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    }
    do
        n = sendmsg(sock, &m, flags | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}

/* The descriptors of a message: how many, the first in *ret_fd; the others are closed. */
static size_t take_fds(struct msghdr *m, int *ret_fd)
{
    size_t n_all = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < n; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
            if (n_all++)
                close(fd);
            else
                *ret_fd = fd;
        }
    }
    return n_all;
}

int sock_receive_fd(int sock, void *buf, size_t len, int *ret_fd, int flags)
{
    union {
        struct cmsghdr align;
        char b[CMSG_SPACE(FDS_MAX * sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = buf, .iov_len = len};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof(control)};
    int fd = -1;
    ssize_t n;

    do
        n = recvmsg(sock, &m, flags | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    if (take_fds(&m, &fd) <= 1 && (size_t)n == len && !(m.msg_flags & MSG_TRUNC)) {
        *ret_fd = fd;
        return 0;
    }
    if (fd >= 0)
        close(fd);
    return n ? -EBADMSG : -EPIPE;
}

int sock_drain(int sock)
{
    bool any = false;
    char byte;

    for (unsigned i = 0; i < DRAIN_MAX; i++) {
        if (recv(sock, &byte, sizeof(byte), MSG_TRUNC) >= 0 || errno == ENOBUFS) {
            any = true;
            continue;
        }
        if (errno == EAGAIN)
            break;
        if (errno != EINTR)
            return any ? 1 : -errno;
    }
    return any;
}
