/* Requests: one message, and the kernel's answer within the same call. */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "netlink/request.h"

enum { ANSWER_MAX = 32768 };

struct netlink {
    struct mnl_socket *sock;
    uint32_t seq;
    union {
        struct nlmsghdr align;
        uint8_t b[ANSWER_MAX];
    } answer;
};

int netlink_open(struct netlink **ret)
{
    struct netlink *nl = calloc(1, sizeof(*nl));
    int on = 1;

    if (!nl)
        return -ENOMEM;
    nl->sock = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
    if (!nl->sock || mnl_socket_bind(nl->sock, 0, MNL_SOCKET_AUTOPID) < 0) {
        int err = errno;

        netlink_close(nl);
        return -err;
    }
    /* With strict checking the kernel filters a dump itself; without it we do. */
    mnl_socket_setsockopt(nl->sock, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
    *ret = nl;
    return 0;
}

void netlink_close(struct netlink *nl)
{
    if (!nl)
        return;
    if (nl->sock)
        mnl_socket_close(nl->sock);
    free(nl);
}

void *request_start(union request *q, uint16_t type, uint16_t flags, size_t size)
{
    memset(q, 0, sizeof(*q));
    mnl_nlmsg_put_header(q->b);
    q->h.nlmsg_type = type;
    q->h.nlmsg_flags = NLM_F_REQUEST | flags;
    return mnl_nlmsg_put_extra_header(&q->h, size);
}

void request_put_ip(union request *q, uint16_t type, const struct ip_addr *a)
{
    mnl_attr_put(&q->h, type, ip_addr_bits(a) / 8, a->b);
}

int request_exchange(struct netlink *nl, union request *q, mnl_cb_t cb, void *user)
{
    unsigned port = mnl_socket_get_portid(nl->sock);
    int r;

    q->h.nlmsg_seq = ++nl->seq;
    if (mnl_socket_sendto(nl->sock, &q->h, q->h.nlmsg_len) < 0)
        return -errno;
    do {
        ssize_t n;

        do
            n = mnl_socket_recvfrom(nl->sock, nl->answer.b, sizeof(nl->answer.b));
        while (n < 0 && errno == EINTR);
        if (n < 0)
            return -errno;
        r = mnl_cb_run(nl->answer.b, (size_t)n, nl->seq, port, cb, user);
        /* An answer to a request that was given up: not for us. */
        if (r < 0 && (errno == EPROTO || errno == ESRCH) && nl->answer.align.nlmsg_seq != nl->seq)
            r = MNL_CB_OK;
    } while (r > MNL_CB_STOP);
    return r < 0 ? -errno : 0;
}

int request_command(struct netlink *nl, union request *q)
{
    q->h.nlmsg_flags |= NLM_F_ACK;
    return request_exchange(nl, q, NULL, NULL);
}
