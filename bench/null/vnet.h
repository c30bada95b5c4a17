/* The TUN device and its virtio_net_hdr. The header itself never travels: a frame carries the
 * kind and gso_size, and the receiver derives the rest, as the product does. */
#ifndef NULL_VNET_H
#define NULL_VNET_H

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>

#include "record.h"

enum tun_offload { TUN_OFFLOAD_NONE, TUN_OFFLOAD_TSO, TUN_OFFLOAD_USO, TUN_OFFLOAD_COUNT };

/* Open the TUN device name (made when missing, gone when closed), non-blocking, with a 10-byte
 * virtio_net_hdr on each packet. With offload true the best that the kernel allows is switched
 * on, USO needing 6.2. Returns the descriptor and *ret_offload, or a negative errno. */
int tun_open(const char *name, bool offload, enum tun_offload *ret_offload);

const char *tun_offload_name(enum tun_offload offload);

/* Describe what a read brought and complete the checksum of a packet that is not GSO. Returns 0,
 * or -EPROTO for a header that makes no sense. */
int vnet_to_frame(const struct virtio_net_hdr *hdr, uint8_t *packet, size_t len,
                  struct frame *ret_frame);

/* The header to write in front of packet. Returns 0, or -EPROTO when the frame does not fit the
 * packet's bytes. */
int vnet_from_frame(const struct frame *frame, const uint8_t *packet,
                    struct virtio_net_hdr *ret_hdr);

#endif
