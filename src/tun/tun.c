#include "tun/tun.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/util.h"
#include "packet/segment.h"
#include "tun/vnet.h"

struct tun {
    int fd;
    struct tun_info info;
    struct drop_counters *drops;
    /* What does not fit the packet being read lands here. */
    uint8_t spill[PKT_LARGE_MAX];
};

/* The kernel would take '%' for a pattern and make "tun0" out of "tun%d". */
static bool name_is_valid(const char *name)
{
    size_t len = strlen(name);

    if (!len || len >= IFNAMSIZ || !strcmp(name, ".") || !strcmp(name, ".."))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (strchr("/:%", name[i]) || isspace((unsigned char)name[i]))
            return false;
    }
    return true;
}

/* Attach the descriptor to the interface: first as a new one, then as one that exists. */
static int attach(int fd, struct tun_info *info)
{
    struct ifreq ifr = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};

    memcpy(ifr.ifr_name, info->name, sizeof(ifr.ifr_name));
    ifr.ifr_flags = (short)(ifr.ifr_flags | IFF_TUN_EXCL);
    info->created = ioctl(fd, TUNSETIFF, &ifr) == 0;
    if (info->created)
        return 0;
    if (errno != EBUSY)
        return -errno;
    ifr.ifr_flags = (short)(ifr.ifr_flags & ~IFF_TUN_EXCL);
    if (ioctl(fd, TUNSETIFF, &ifr) == 0)
        return 0;
    /* The name is valid and taken: EINVAL is the kernel's word for "by another kind". */
    return errno == EINVAL ? -EEXIST : -errno;
}

/* What may be asked for, the best first. */
static const struct {
    unsigned flags;
    bool offload, uso;
} levels[] = {
    {TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | TUN_F_USO4 | TUN_F_USO6, true, true},
    {TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN, true, false},
    {TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6, true, false},
    {0, false, false},
};

static int kernel_set_offload(int fd, unsigned flags)
{
    return ioctl(fd, TUNSETOFFLOAD, (unsigned long)flags) < 0 ? -errno : 0;
}

/* The best that is granted. Where even "none" is refused the device is as it was made: without. */
static void set_offload(int fd, const struct tun_opts *opts, struct tun_info *info)
{
    int (*set)(int, unsigned) = opts->set_offload ? opts->set_offload : kernel_set_offload;

    info->offload = info->uso = false;
    for (size_t i = opts->offload ? 0 : ARRAY_LEN(levels) - 1; i < ARRAY_LEN(levels); i++) {
        if (set(fd, levels[i].flags))
            continue;
        info->offload = levels[i].offload;
        info->uso = levels[i].uso;
        return;
    }
}

static int set_persist(int fd, bool persist)
{
    return ioctl(fd, TUNSETPERSIST, (unsigned long)persist) < 0 ? -errno : 0;
}

static int set_up(int fd, const struct tun_opts *opts, struct tun_info *info)
{
    int header = VNET_HDR_SIZE, r = attach(fd, info);

    if (r < 0)
        return r;
    if (ioctl(fd, TUNSETVNETHDRSZ, &header) < 0)
        return -errno;
    set_offload(fd, opts, info);
    if (opts->set_owner && (ioctl(fd, TUNSETOWNER, (unsigned long)opts->owner) < 0 ||
                            ioctl(fd, TUNSETGROUP, (unsigned long)opts->group) < 0))
        return -errno;
    info->ifindex = (int)if_nametoindex(info->name);
    if (!info->ifindex)
        return -errno;
    return opts->persist ? set_persist(fd, true) : 0;
}

int tun_fd_open(const char *name, const struct tun_opts *opts, struct tun_info *ret_info)
{
    struct tun_info info = {0};
    int fd, r;

    if (!name_is_valid(name))
        return -EINVAL;
    memcpy(info.name, name, strlen(name));
    fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    r = set_up(fd, opts, &info);
    if (r < 0) {
        close(fd);
        return r;
    }
    *ret_info = info;
    return fd;
}

int tun_adopt(int fd, const struct tun_info *info, struct drop_counters *drops, struct tun **ret)
{
    struct tun *t = calloc(1, sizeof(*t));

    if (!t)
        return -ENOMEM;
    t->fd = fd;
    t->info = *info;
    t->drops = drops;
    *ret = t;
    return 0;
}

int tun_open(const char *name, const struct tun_opts *opts, struct tun **ret)
{
    struct tun_info info;
    int fd = tun_fd_open(name, opts, &info), r;

    if (fd < 0)
        return fd;
    r = tun_adopt(fd, &info, opts->drops, ret);
    if (r < 0)
        close(fd);
    return r;
}

bool tun_fd_is_alive(int fd)
{
    struct ifreq ifr = {0};

    return ioctl(fd, TUNGETIFF, &ifr) == 0;
}

void tun_close(struct tun *t)
{
    if (!t)
        return;
    close(t->fd);
    free(t);
}

int tun_set_persist(struct tun *t, bool persist)
{
    return set_persist(t->fd, persist);
}

int tun_fd(const struct tun *t)
{
    return t->fd;
}

const char *tun_name(const struct tun *t)
{
    return t->info.name;
}

int tun_ifindex(const struct tun *t)
{
    return t->info.ifindex;
}

bool tun_was_created(const struct tun *t)
{
    return t->info.created;
}

bool tun_has_offload(const struct tun *t)
{
    return t->info.offload;
}

bool tun_has_uso(const struct tun *t)
{
    return t->info.uso;
}

/* The packet to read into, kept from the last turn or new: a large one where super-packets may
 * come, else a small one; NULL when the pool is empty. */
static struct pkt *target_get(struct tun *t, struct pkt_pool *pool, struct pkt *kept)
{
    struct pkt *pkt = kept;

    if (!pkt && t->info.offload)
        pkt = pkt_new(pool, PKT_LARGE_MAX);
    if (!pkt)
        pkt = pkt_new(pool, PKT_SMALL_MAX);
    return pkt;
}

static uint32_t room(const struct pkt *pkt)
{
    return pkt ? (uint32_t)pkt_tailroom(pkt) : 0;
}

/* One packet from the kernel: the header, the first bytes into target, the rest into spill.
 * Returns the packet's length, -EAGAIN when none waits, other -errno. */
static int read_one(struct tun *t, struct pkt *target, struct virtio_net_hdr *h)
{
    struct iovec iov[3] = {
        {.iov_base = h, .iov_len = sizeof(*h)},
        {.iov_base = target ? target->data : NULL, .iov_len = room(target)},
        {.iov_base = t->spill, .iov_len = sizeof(t->spill)},
    };
    ssize_t n;

    do
        n = readv(t->fd, iov, 3);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    return n > (ssize_t)sizeof(*h) ? (int)(n - (ssize_t)sizeof(*h)) : 0;
}

/* Copy what was read, from target and spill, into a buffer of the smallest kind for it. */
static struct pkt *copy_fitting(struct tun *t, struct pkt_pool *pool, const struct pkt *target,
                                uint32_t len)
{
    struct pkt *pkt = pkt_new(pool, len);
    uint32_t have = room(target);

    if (!pkt)
        return NULL;
    if (have)
        memcpy(pkt->data, target->data, MIN(len, have));
    if (len > have)
        memcpy(pkt->data + have, t->spill, len - have);
    return pkt;
}

/* The packet of len bytes that target and spill hold, in a buffer of the smallest kind for it where
 * there is one: what a large one is too good for is copied, and target stays for the next read.
 * *target becomes NULL when it is used up. NULL: no buffer. */
static struct pkt *fit(struct tun *t, struct pkt_pool *pool, struct pkt **target, uint32_t len)
{
    uint32_t have = room(*target), kind = len > PKT_SMALL_MAX ? PKT_MEDIUM_MAX : PKT_SMALL_MAX;
    struct pkt *pkt = NULL;

    if (!*target || len > have || (have > kind && len <= kind))
        pkt = copy_fitting(t, pool, *target, len);
    if (!pkt && *target && len <= have && (have == PKT_SMALL_MAX || len > PKT_SMALL_MAX)) {
        pkt = *target;
        *target = NULL;
    }
    if (pkt)
        pkt->len = len;
    return pkt;
}

int tun_read_batch(struct tun *t, struct pkt_pool *pool, struct pkt_batch *batch)
{
    struct pkt *target = NULL, *pkt;
    uint32_t bytes = 0;
    int len = 0;

    batch->n = 0;
    for (unsigned i = 0; i < PKT_BATCH_MAX && bytes < TUN_BATCH_BYTES; i++) {
        struct virtio_net_hdr h = {0};

        target = target_get(t, pool, target);
        len = read_one(t, target, &h);
        if (len < 0)
            break;
        bytes += (uint32_t)len;
        pkt = fit(t, pool, &target, (uint32_t)len);
        if (!pkt) {
            drop_count(t->drops, DROP_NO_BUFFER);
        } else if (!len || !vnet_to_pkt(&h, pkt)) {
            drop_count(t->drops, DROP_MALFORMED);
            pkt_free(pool, pkt);
        } else {
            batch->v[batch->n++] = pkt;
        }
    }
    pkt_free(pool, target);
    return batch->n || len >= 0 || len == -EAGAIN ? (int)batch->n : len;
}

static int write_packet(struct tun *t, struct virtio_net_hdr *h, uint8_t *data, uint32_t len)
{
    struct iovec iov[2] = {
        {.iov_base = h, .iov_len = sizeof(*h)},
        {.iov_base = data, .iov_len = len},
    };
    ssize_t n;

    do
        n = writev(t->fd, iov, 2);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}

/* A UDP super-packet for a kernel that takes none (before 6.2): its datagrams one by one. The first
 * error is the answer, but the others are tried. */
static int write_cut(struct tun *t, struct pkt *super)
{
    struct virtio_net_hdr h = {.gso_type = VIRTIO_NET_HDR_GSO_NONE};
    uint32_t len;
    int r = 0;

    for (uint32_t at = 0; at < segment_left(super); at += super->gso_size) {
        int one;

        len = segment_write(super, at, t->spill);
        one = write_packet(t, &h, t->spill, len);
        r = r ? r : one;
    }
    return r;
}

int tun_write(struct tun *t, struct pkt_pool *pool, struct pkt *pkt)
{
    struct virtio_net_hdr h;
    int r = -EINVAL;

    if (pkt->len && vnet_from_pkt(pkt, &h)) {
        pkt->hdr_len = h.hdr_len;
        pkt->taken = 0;
        if (pkt->gso == PKT_GSO_UDP && !t->info.uso)
            r = write_cut(t, pkt);
        else
            r = write_packet(t, &h, pkt->data, pkt->len);
    }
    pkt_free(pool, pkt);
    return r;
}
