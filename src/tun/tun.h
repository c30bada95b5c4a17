/* TUN interface: inner IP packets from and to the kernel.
 *
 * The device is a TUN with IFF_NO_PI and IFF_VNET_HDR: every packet passes with a virtio_net_hdr
 * which this folder turns into the gso and csum fields of struct pkt and back. With offload off
 * the kernel hands over plain packets of the interface MTU; with offload on also super-packets of
 * up to 64 KiB with partial checksums. Both kinds may be written at any time. */
#ifndef TUN_TUN_H
#define TUN_TUN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/drop.h"
#include "packet/pkt.h"

struct tun;

struct tun_opts {
    bool persist;   /* the interface stays when its descriptor is closed */
    bool offload;   /* ask for TSO and USO super-packets (USO only where the kernel has it, 6.2) */
    bool set_owner; /* let owner and group open it later without privilege */
    uid_t owner;
    gid_t group;
    /* Ask for these offloads (TUN_F_*): 0 or -errno. NULL: the kernel. */
    int (*set_offload)(int fd, unsigned flags);
    struct drop_counters *drops; /* where drops are counted; outlives the tun */
};

/* Open the TUN called name, making it when it does not exist. Idempotent: a persistent TUN of
 * that name is opened as it is, its addresses and state untouched (it is not set up here).
 * Returns 0;
 * -EINVAL: not a valid interface name ('%', '/', ':', white space, longer than 15);
 * -EEXIST: the name belongs to something that is no single-queue TUN (a TAP, another interface);
 * -EBUSY: another process has this TUN open;
 * -EPERM: no CAP_NET_ADMIN and not the owner; -ENOENT or -ENXIO: no /dev/net/tun;
 * -ENOMEM, other -errno of the kernel. */
int tun_open(const char *name, const struct tun_opts *opts, struct tun **ret);

/* What is known of an open TUN beside its descriptor: enough to use it in another process. */
struct tun_info {
    char name[16];
    int ifindex;
    bool created, offload, uso;
};

/* Open as tun_open() does. Returns the bare descriptor (owned by the caller), or -errno. */
int tun_fd_open(const char *name, const struct tun_opts *opts, struct tun_info *ret_info);

/* A TUN from what tun_fd_open() returned, here or in another process. Needs no privilege. Owns fd
 * when it succeeds. Returns 0 or -ENOMEM. */
int tun_adopt(int fd, const struct tun_info *info, struct drop_counters *drops, struct tun **ret);

/* Does the descriptor still belong to an interface? False once that was deleted. */
bool tun_fd_is_alive(int fd);

/* Close the descriptor and free; an interface that is not persistent vanishes. Accepts NULL. */
void tun_close(struct tun *t);

/* Make the interface outlive the descriptor, or not. Returns 0 or -errno. Needs TUN ioctls. */
int tun_set_persist(struct tun *t, bool persist);

int tun_fd(const struct tun *t);
const char *tun_name(const struct tun *t);
int tun_ifindex(const struct tun *t);

/* True when tun_open() made the interface, false when it was there before. */
bool tun_was_created(const struct tun *t);

/* Offloads the kernel granted: super-packets of TCP, and of UDP (6.2). Less than was asked for is
 * no error. */
bool tun_has_offload(const struct tun *t);
bool tun_has_uso(const struct tun *t);

/* Bytes after which a batch of super-packets is full. */
enum { TUN_BATCH_BYTES = 1024 * 1024 };

/* Read up to PKT_BATCH_MAX packets, or about TUN_BATCH_BYTES, into batch (whose former content is
 * ignored: n starts at 0).
 * The caller owns the packets. Returns their number; 0 when none waits, or when all those read
 * were dropped (DROP_NO_BUFFER: the pool is empty; DROP_MALFORMED: a virtio header that cannot be
 * true); -errno when the device is broken (-EBADFD, -EIO: the interface was deleted).
 * Packets are not looked into: they may be anything that the kernel routes. */
int tun_read_batch(struct tun *t, struct pkt_pool *pool, struct pkt_batch *batch);

/* Write the packet (consumes it, in every case). A super-packet is as super_finish() leaves it; one
 * of UDP that the kernel cannot take is cut here. Returns 0; -EINVAL: the packet contradicts its
 * gso and csum fields, or the kernel takes it for no IP packet; -EIO: the interface is down;
 * -EBADFD: it was deleted; -EAGAIN, -ENOMEM: the kernel has no room. Nothing is counted here. */
int tun_write(struct tun *t, struct pkt_pool *pool, struct pkt *pkt);

#endif
