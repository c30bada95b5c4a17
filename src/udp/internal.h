/* What the files of this folder share. */
#ifndef UDP_INTERNAL_H
#define UDP_INTERNAL_H

#include <sys/socket.h>

#include "udp/udp.h"

enum {
    RX_GRO_MAX = 65536,
    /* Buffers are one page-set apart plus 33 cache lines, so that the first bytes of a batch's
     * datagrams do not all fall into the same cache set. */
    RX_STAGGER = 33 * 64,
    RX_CONTROL_MAX = 192,
};

struct udp_buffers {
    uint8_t *data; /* UDP_RX_BATCH_MAX of RX_GRO_MAX bytes, RX_GRO_MAX + RX_STAGGER apart */
    struct mmsghdr hdr[UDP_RX_BATCH_MAX];
    struct iovec iov[UDP_RX_BATCH_MAX];
    struct sockaddr_storage name[UDP_RX_BATCH_MAX];
    uint8_t control[UDP_RX_BATCH_MAX][RX_CONTROL_MAX] __attribute__((aligned(8)));
};

struct udp_socket {
    int fd;
    struct net_addr local;
    uint32_t rcvbuf_bytes, sndbuf_bytes;
    bool gro, gso;
    struct drop_counters *drops;
    struct udp_stats stats;
    uint32_t rx_overflow_seen; /* the kernel's counter, modulo 2^32 */
    uint32_t rx_max;           /* bytes that one message may have */
    struct udp_buffers *rx;
    bool own_rx; /* nobody shares it */
};

#endif
