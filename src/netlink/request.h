/* How a request is built and answered; shared by the files of this folder. */
#ifndef NETLINK_REQUEST_H
#define NETLINK_REQUEST_H

#include <libmnl/libmnl.h>

#include "netlink/netlink.h"

/* How often a dump is repeated when the table changed during it (-EINTR). */
enum { REQUEST_MAX = 512, REQUEST_DUMP_TRIES = 5 };

/* A request under construction. */
union request {
    struct nlmsghdr h;
    uint8_t b[REQUEST_MAX];
};

/* netlink_open() for any bus: NETLINK_ROUTE, NETLINK_NETFILTER. */
int request_open(int bus, struct netlink **ret);

/* Start a message with a zeroed family header of size bytes, which is returned. */
void *request_start(union request *q, uint16_t type, uint16_t flags, size_t size);

void request_put_ip(union request *q, uint16_t type, const struct ip_addr *a);

/* Send q and hand every answering message to cb. Returns 0 or -errno of the kernel. */
int request_exchange(struct netlink *nl, union request *q, mnl_cb_t cb, void *user);

/* The two halves of that, for an answer that is taken piece by piece: what request_receive() reads
 * at once is at most 32 KiB. It returns 1 (there is more), 0 (that was all) or -errno; -EINTR: that
 * was all, but the tables changed meanwhile. */
int request_send(struct netlink *nl, union request *q);
int request_receive(struct netlink *nl, mnl_cb_t cb, void *user);

/* Send n messages in one go, each of which is only acknowledged: ret_err[i] becomes 0 or -errno for
 * each. Returns 0; or -errno, and nobody knows what was done. */
int request_batch(struct netlink *nl, void *messages, size_t len, unsigned n, int *ret_err);

/* request_exchange() for a request that is only acknowledged. */
int request_command(struct netlink *nl, union request *q);

static inline uint8_t request_family(const struct ip_addr *a)
{
    return a->family == 4 ? AF_INET : AF_INET6;
}

static inline bool request_prefix_is_valid(const struct ip_prefix *p)
{
    return ip_addr_bits(&p->addr) && p->len <= ip_addr_bits(&p->addr);
}

#endif
