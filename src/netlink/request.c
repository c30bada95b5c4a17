/* Requests: one message, and the kernel's answer within the same call. */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "netlink/parse.h"
#include "netlink/request.h"

enum { ANSWER_MAX = 32768 };

struct netlink {
    struct mnl_socket *sock;
    uint32_t seq;
    bool interrupted; /* the dump that is being read is of tables that changed meanwhile */
    union {
        struct nlmsghdr align;
        uint8_t b[ANSWER_MAX];
    } answer;
};

int request_open(int bus, struct netlink **ret)
{
    struct netlink *nl = calloc(1, sizeof(*nl));
    int on = 1;

    if (!nl)
        return -ENOMEM;
    nl->sock = mnl_socket_open2(bus, SOCK_CLOEXEC);
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

int netlink_open(struct netlink **ret)
{
    return request_open(NETLINK_ROUTE, ret);
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

static ssize_t receive(struct netlink *nl)
{
    ssize_t n;

    do
        n = mnl_socket_recvfrom(nl->sock, nl->answer.b, sizeof(nl->answer.b));
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

int request_send(struct netlink *nl, union request *q)
{
    q->h.nlmsg_seq = ++nl->seq;
    nl->interrupted = false;
    return mnl_socket_sendto(nl->sock, &q->h, q->h.nlmsg_len) < 0 ? -errno : 0;
}

/* Do the len bytes that were read hold the end of the answer? */
static bool has_end(const struct netlink *nl, size_t len)
{
    const struct nlmsghdr *h = &nl->answer.align;
    int left = (int)len;

    for (; parse_message_ok(h, left); h = mnl_nlmsg_next(h, &left))
        if (h->nlmsg_seq == nl->seq &&
            (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR))
            return true;
    return false;
}

int request_receive(struct netlink *nl, mnl_cb_t cb, void *user)
{
    ssize_t n = receive(nl);
    int r;

    if (n < 0)
        return (int)n;
    r = mnl_cb_run(nl->answer.b, (size_t)n, nl->seq, mnl_socket_get_portid(nl->sock), cb, user);
    /* An answer to a request that was given up: not for us. */
    if (r < 0 && (errno == EPROTO || errno == ESRCH) && nl->answer.align.nlmsg_seq != nl->seq)
        return 1;
    /* The kernel takes no other request before this dump is read to its end. */
    if (r < 0 && errno == EINTR) {
        nl->interrupted = true;
        return has_end(nl, (size_t)n) ? -EINTR : 1;
    }
    if (r < 0)
        return -errno;
    if (r > MNL_CB_STOP)
        return 1;
    return nl->interrupted ? -EINTR : 0;
}

int request_exchange(struct netlink *nl, union request *q, mnl_cb_t cb, void *user)
{
    int r = request_send(nl, q);

    if (r)
        return r;
    do
        r = request_receive(nl, cb, user);
    while (r > 0);
    return r;
}

/* Take the acknowledgements of one read. Returns how many there were. */
static unsigned take_acks(const struct netlink *nl, size_t len, uint32_t first, unsigned n,
                          int *ret_err)
{
    const struct nlmsghdr *h = &nl->answer.align;
    unsigned taken = 0;
    int left = (int)len;

    for (; parse_message_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
        const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);

        if (h->nlmsg_type != NLMSG_ERROR || h->nlmsg_seq - first >= n ||
            mnl_nlmsg_get_payload_len(h) < sizeof(*e))
            continue;
        ret_err[h->nlmsg_seq - first] = e->error;
        taken++;
    }
    return taken;
}

int request_batch(struct netlink *nl, void *messages, size_t len, unsigned n, int *ret_err)
{
    uint32_t first = nl->seq + 1;
    struct nlmsghdr *h = messages;
    int left = (int)len;

    for (; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
        h->nlmsg_seq = ++nl->seq;
        h->nlmsg_flags |= NLM_F_ACK;
    }
    if (mnl_socket_sendto(nl->sock, messages, len) < 0)
        return -errno;
    for (unsigned taken = 0; taken < n;) {
        ssize_t got = receive(nl);

        if (got < 0)
            return (int)got;
        taken += take_acks(nl, (size_t)got, first, n, ret_err);
    }
    return 0;
}

int request_command(struct netlink *nl, union request *q)
{
    q->h.nlmsg_flags |= NLM_F_ACK;
    return request_exchange(nl, q, NULL, NULL);
}
