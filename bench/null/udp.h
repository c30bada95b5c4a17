/* The UDP socket: fixed peer, segmentation offload on send, coalescing on receive. */
#ifndef NULL_UDP_H
#define NULL_UDP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/addr.h"

/* What one call may hand to the kernel: 64 segments, and what fits one IPv4 or IPv6 datagram. */
enum { UDP_SEGMENTS_MAX = 64, UDP_SEND_MAX = 65535 - 40 - 8, UDP_RECV_MAX = 65536 };

/* A non-blocking socket bound to local and connected to peer. segment_size > 0 lets one send be
 * cut by the kernel into payloads of that size, and lets one receive bring several. The receive
 * buffer is buffer_bytes where the caller may force it. Returns the descriptor or a negative
 * errno. */
int udp_open(const struct net_addr *local, const struct net_addr *peer, unsigned segment_size,
             int buffer_bytes);

/* Receive what one call brings (up to UDP_RECV_MAX bytes) and the size of the payloads in it; the
 * last may be shorter. Returns the bytes or a negative errno. */
ssize_t udp_recv(int fd, uint8_t *buf, size_t *ret_segment);

#endif
