/* The virtio_net_hdr in front of every packet of the device (virtio 1.2, 5.1.6), as the legacy
 * layout of 10 bytes in the machine's byte order. */
#ifndef TUN_VNET_H
#define TUN_VNET_H

#include <linux/virtio_net.h>
#include <stdbool.h>

#include "packet/pkt.h"

/* UDP segmentation offload: kernel 6.2; the headers of Debian 12 are older. */
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

enum { VNET_HDR_SIZE = 10 };
_Static_assert(sizeof(struct virtio_net_hdr) == VNET_HDR_SIZE, "the legacy header");

/* Set the gso and csum fields of the packet (whose data and len are set) from the header. False
 * when they cannot be true: offsets outside the packet, a kind that was not asked for, a
 * super-packet without segment size or checksum. */
bool vnet_to_pkt(const struct virtio_net_hdr *h, struct pkt *pkt);

/* The header for writing the packet. False when its fields contradict each other. */
bool vnet_from_pkt(const struct pkt *pkt, struct virtio_net_hdr *ret);

#endif
