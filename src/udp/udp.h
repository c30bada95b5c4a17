/* UDP sockets: batches of datagrams in and out, with the local address, ECN and segmentation
 * offloads of each. Knows no protocol above UDP.
 *
 * One socket is one address family (IPV6_V6ONLY is set): a listener on "any" opens two sockets,
 * one for 0.0.0.0 and one for ::, so that no address is ever IPv4-mapped. Which local address a
 * datagram came to is reported (IP_PKTINFO) and used again when the answer names it.
 *
 * The kernel never fragments and keeps no path MTU for us (IP_PMTUDISC_PROBE): DF is set, and
 * only the MTU of the outgoing device limits a datagram. Path MTU discovery is the caller's.
 * SO_REUSEADDR is not set: two instances on one port are an error, not a lottery. */
#ifndef UDP_UDP_H
#define UDP_UDP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/drop.h"

enum {
    UDP_RX_BATCH_MAX = 32,      /* messages per udp_recv_batch() */
    UDP_RX_PLAIN_MAX = 9216,    /* largest datagram taken when the socket has no GRO */
    UDP_TX_SEGMENTS_MAX = 64,   /* segments per kernel call */
    UDP_TX_BYTES_MAX = 65507,   /* UDP payload bytes per kernel call */
    UDP_BUFFER_BYTES = 4 << 20, /* socket buffers when the options leave them 0 */
};

enum { UDP_ECN_NOT_ECT = 0, UDP_ECN_ECT1 = 1, UDP_ECN_ECT0 = 2, UDP_ECN_CE = 3 };

struct udp_socket;

/* Room for the messages of one udp_recv_batch(), about 2 MiB of which as much is touched as comes
 * in. Sockets that are read by turns may share one: what a call has returned for one of them is
 * gone with the next call for any. NULL: out of memory. Free accepts NULL. */
struct udp_buffers;
struct udp_buffers *udp_buffers_new(void);
void udp_buffers_free(struct udp_buffers *b);

struct udp_socket_opts {
    struct net_addr bind; /* family, address (may be 0.0.0.0 or ::), port (0: any free one) */
    const char *device;   /* SO_BINDTODEVICE; NULL or "": none */
    uint32_t rcvbuf_bytes, sndbuf_bytes; /* 0: UDP_BUFFER_BYTES */
    bool no_gro, no_gso;                 /* do not use the offloads */
    struct drop_counters *drops;         /* where drops are counted; outlives the socket */
    struct udp_buffers *buffers;         /* shared, outlives the socket; NULL: it has its own */
};

struct udp_stats {
    uint64_t rx_calls, rx_msgs, rx_bytes; /* kernel calls, messages (GRO: of several datagrams) */
    uint64_t rx_soft_errors;              /* ICMP errors and the like, skipped */
    uint64_t rx_overflow;                 /* datagrams the kernel dropped: receive buffer full */
    uint64_t tx_calls, tx_datagrams, tx_bytes;
    uint64_t tx_blocked; /* times -EAGAIN was returned */
};

/* Open a non-blocking socket. Returns 0; -EINVAL (no family, bad device name), -EADDRINUSE,
 * -EADDRNOTAVAIL (the address is not, or not yet, on this host), -ENODEV (no such device),
 * -EPERM or -EACCES (port or device needs privilege), -ENOMEM, other -errno of the kernel.
 * Offloads that the kernel lacks are left out silently. */
int udp_socket_open(const struct udp_socket_opts *opts, struct udp_socket **ret);

/* The two halves of udp_socket_open(): what may need privilege, returning the bound descriptor
 * (owned by the caller) or -errno as above; and what does not, in this process or in another that
 * was handed the descriptor, which *ret owns when 0 is returned. */
int udp_fd_open(const struct udp_socket_opts *opts);
int udp_socket_adopt(int fd, const struct udp_socket_opts *opts, struct udp_socket **ret);

/* Close and free. Accepts NULL. */
void udp_socket_close(struct udp_socket *s);

int udp_socket_fd(const struct udp_socket *s);

/* The index of the interface that the socket is bound to; 0: to none, or the kernel does not tell.
 * An interface that is made anew under its name has another: the socket is deaf then. */
int udp_socket_ifindex(const struct udp_socket *s);

/* The bound address with the real port. The address is unspecified when bound to any. */
const struct net_addr *udp_socket_local(const struct udp_socket *s);

/* The buffer sizes the kernel granted, comparable with what the options asked for. Less means
 * that net.core.rmem_max or net.core.wmem_max is too small and privilege to pass it is missing. */
uint32_t udp_socket_rcvbuf_bytes(const struct udp_socket *s);
uint32_t udp_socket_sndbuf_bytes(const struct udp_socket *s);

/* Offloads now in use. GSO turns false when the kernel or the device refused it once. */
bool udp_socket_has_gro(const struct udp_socket *s);
bool udp_socket_has_gso(const struct udp_socket *s);

const struct udp_stats *udp_socket_stats(const struct udp_socket *s);

/* One received message: len bytes at data, being datagrams of seg_size bytes each but the last,
 * which may be shorter. 1 <= seg_size <= len, and seg_size == len for a single datagram. */
struct udp_rx_msg {
    struct net_addr remote, local; /* local: the address it was sent to and the socket's port */
    uint8_t ecn;                   /* UDP_ECN_* of the IP header */
    uint8_t *data;
    uint32_t len;
    uint16_t seg_size;
};

/* Receive up to max (at most UDP_RX_BATCH_MAX are taken) messages with one kernel call. The data
 * belong to the socket's buffers and may be changed by the caller; they are valid until the next
 * call that uses these.
 * Returns the number of messages; 0 when none waits (or all were dropped: a truncated datagram
 * counts DROP_OVERSIZE_UDP, an empty one DROP_NOT_QUIC); -errno when the socket is broken.
 * Errors that ICMP or a link going down left on the socket are counted and skipped. */
int udp_recv_batch(struct udp_socket *s, struct udp_rx_msg *msgs, unsigned max);

/* What to send: len bytes at data as datagrams of seg_size bytes, the last one may be shorter.
 * seg_size 0 or >= len: one datagram. Everything is borrowed for the call. */
struct udp_tx_msg {
    const struct net_addr *remote;
    const struct net_addr *local; /* source address (port ignored); NULL or unspecified: kernel */
    uint8_t ecn;
    const uint8_t *data;
    uint32_t len;
    uint16_t seg_size;
};

/* Send all datagrams of m, in order. *ret_sent (may be NULL) is set in every case: the bytes
 * handed to the kernel, a multiple of seg_size unless everything was sent.
 * Any len is accepted; one kernel call carries at most UDP_TX_SEGMENTS_MAX segments and
 * UDP_TX_BYTES_MAX bytes, see udp_tx_segments(). Without GSO the datagrams go one by one.
 * Returns 0; -EAGAIN: the send buffer is full, go on behind *ret_sent when the descriptor is
 * writable (EPOLLOUT); -EMSGSIZE: seg_size exceeds the MTU of the device (nothing is fragmented);
 * -EADDRNOTAVAIL: local is not an address of this host any more (for IPv4 the kernel says
 * -ENETUNREACH then, as for a missing route); -EINVAL: no data, no remote
 * port, or another family;
 * -ENETUNREACH, -EHOSTUNREACH, -ENETDOWN, -ENODEV, -EPERM (local firewall), -ENOBUFS and so on from
 * the kernel: the caller decides. Errors do not damage the socket. */
int udp_send(struct udp_socket *s, const struct udp_tx_msg *m, uint32_t *ret_sent);

/* How many datagrams of seg_size (not 0) bytes fit one kernel call: 1..UDP_TX_SEGMENTS_MAX. */
static inline unsigned udp_tx_segments(uint16_t seg_size)
{
    unsigned n = UDP_TX_BYTES_MAX / seg_size;

    return n == 0 ? 1 : n > UDP_TX_SEGMENTS_MAX ? UDP_TX_SEGMENTS_MAX : n;
}

#endif
