/* What several parts do with sockets alike. System calls, so not for the core. */
#ifndef BASE_SOCK_H
#define BASE_SOCK_H

#include <stddef.h>

/* Send one message, and the descriptor fd with it unless that is negative (unix(7), SCM_RIGHTS); fd
 * stays the caller's. flags as for sendmsg(); never a SIGPIPE. Returns 0 or -errno. */
int sock_send_fd(int sock, const void *buf, size_t len, int fd, int flags);

/* Receive one message of len bytes. *ret_fd: the descriptor that came with it, now the caller's and
 * close-on-exec, or -1. flags as for recvmsg(). Returns 0; -EPIPE when the other end has closed;
 * -EBADMSG when the message is of another length or carries anything but one descriptor, which is
 * closed; else -errno (-EAGAIN: there is none now). On failure *ret_fd is untouched, buf is not. */
int sock_receive_fd(int sock, void *buf, size_t len, int *ret_fd, int flags);

/* Read away what waits on a non-blocking socket, a bounded part of it, when only that it came
 * counts. 1: there was something, or it was lost (ENOBUFS); 0: nothing; -errno: broken. */
int sock_drain(int sock);

#endif
