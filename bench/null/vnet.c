#include "vnet.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/util.h"

/* Newer than the headers of Debian 12. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

enum { TCP_CSUM_OFFSET = 16, TCP_HDR_MIN = 20, UDP_CSUM_OFFSET = 6, UDP_HDR_LEN = 8 };

static enum tun_offload tun_set_offload(int fd)
{
    unsigned tso = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;

    if (ioctl(fd, TUNSETOFFLOAD, tso | TUN_F_USO4 | TUN_F_USO6) == 0)
        return TUN_OFFLOAD_USO;
    if (ioctl(fd, TUNSETOFFLOAD, tso) == 0)
        return TUN_OFFLOAD_TSO;
    return TUN_OFFLOAD_NONE;
}

int tun_open(const char *name, bool offload, enum tun_offload *ret_offload)
{
    struct ifreq ifr = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
    int fd;

    if (strlen(name) >= sizeof(ifr.ifr_name))
        return -ENAMETOOLONG;
    memcpy(ifr.ifr_name, name, strlen(name));
    fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (ioctl(fd, TUNSETIFF, &ifr) < 0) {
        int r = -errno;

        close(fd);
        return r;
    }
    *ret_offload = offload ? tun_set_offload(fd) : TUN_OFFLOAD_NONE;
    return fd;
}

const char *tun_offload_name(enum tun_offload offload)
{
    static const char *const names[TUN_OFFLOAD_COUNT] = {"none", "tso", "tso+uso"};

    return offload < TUN_OFFLOAD_COUNT ? names[offload] : "?";
}

/* The Internet checksum over data, not yet inverted. Adding in host byte order and swapping at
 * the end gives the same sum (RFC 1071, 2B). */
static uint16_t sum_fold(const uint8_t *data, size_t len)
{
    uint64_t sum = 0;
    uint32_t word;

    for (; len >= sizeof(word); data += sizeof(word), len -= sizeof(word)) {
        memcpy(&word, data, sizeof(word));
        sum += word;
    }
    word = 0;
    memcpy(&word, data, len);
    sum += word;
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

/* The field holds the sum of the pseudo-header: add everything behind and invert. */
static int csum_complete(uint8_t *packet, size_t len, size_t start, size_t offset)
{
    uint16_t sum;

    if (start + offset + sizeof(sum) > len)
        return -EPROTO;
    sum = (uint16_t)~sum_fold(packet + start, len - start);
    if (sum == 0)
        sum = 0xffff;
    memcpy(packet + start + offset, &sum, sizeof(sum));
    return 0;
}

static int frame_kind_of(uint8_t gso_type)
{
    switch (gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
    case VIRTIO_NET_HDR_GSO_TCPV4:
        return FRAME_TCP4;
    case VIRTIO_NET_HDR_GSO_TCPV6:
        return FRAME_TCP6;
    case VIRTIO_NET_HDR_GSO_UDP_L4:
        return FRAME_UDP;
    default:
        return -EPROTO;
    }
}

int vnet_to_frame(const struct virtio_net_hdr *hdr, uint8_t *packet, size_t len,
                  struct frame *ret_frame)
{
    struct frame frame = {.kind = FRAME_PLAIN, .len = (uint16_t)len};
    int kind;

    if (len == 0 || len > FRAME_PACKET_MAX)
        return -EPROTO;
    if (hdr->gso_type == VIRTIO_NET_HDR_GSO_NONE) {
        if (hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM &&
            csum_complete(packet, len, hdr->csum_start, hdr->csum_offset) < 0)
            return -EPROTO;
        *ret_frame = frame;
        return 0;
    }
    kind = frame_kind_of(hdr->gso_type);
    if (kind < 0 || hdr->csum_start > UINT8_MAX || !(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
        return -EPROTO;
    frame.kind = (uint8_t)kind;
    frame.l4_offset = (uint8_t)hdr->csum_start;
    frame.gso_size = hdr->gso_size;
    *ret_frame = frame;
    return 0;
}

static uint8_t gso_type_of(const struct frame *frame)
{
    switch (frame->kind) {
    case FRAME_TCP4:
        return VIRTIO_NET_HDR_GSO_TCPV4;
    case FRAME_TCP6:
        return VIRTIO_NET_HDR_GSO_TCPV6;
    case FRAME_UDP:
        return VIRTIO_NET_HDR_GSO_UDP_L4;
    default:
        return VIRTIO_NET_HDR_GSO_NONE;
    }
}

int vnet_from_frame(const struct frame *frame, const uint8_t *packet,
                    struct virtio_net_hdr *ret_hdr)
{
    bool udp = frame->kind == FRAME_UDP;
    size_t l4 = frame->l4_offset;
    size_t l4_len = UDP_HDR_LEN;

    *ret_hdr = (struct virtio_net_hdr){0};
    if (frame->kind == FRAME_PLAIN)
        return 0;
    if (l4 + TCP_HDR_MIN > frame->len || frame->gso_size == 0)
        return -EPROTO;
    if (!udp)
        l4_len = (size_t)(packet[l4 + 12] >> 4) * 4;
    if (l4 + l4_len > frame->len)
        return -EPROTO;
    ret_hdr->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    ret_hdr->gso_type = gso_type_of(frame);
    ret_hdr->hdr_len = (uint16_t)(l4 + l4_len);
    ret_hdr->gso_size = frame->gso_size;
    ret_hdr->csum_start = (uint16_t)l4;
    ret_hdr->csum_offset = udp ? UDP_CSUM_OFFSET : TCP_CSUM_OFFSET;
    return 0;
}
