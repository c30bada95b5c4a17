#include <errno.h>
#include <linux/udp.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "udp/internal.h"

static int set_int(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* Options without which the socket does not keep its contract. */
static int set_v4(int fd)
{
    static const struct {
        int option, value;
    } want[] = {
        {IP_MTU_DISCOVER, IP_PMTUDISC_PROBE},
        {IP_PKTINFO, 1},
        {IP_RECVTOS, 1},
    };

    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        int r = set_int(fd, IPPROTO_IP, want[i].option, want[i].value);

        if (r < 0)
            return r;
    }
    return 0;
}

static int set_v6(int fd)
{
    static const struct {
        int option, value;
    } want[] = {
        {IPV6_V6ONLY, 1},     {IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE},
        {IPV6_DONTFRAG, 1},   {IPV6_RECVPKTINFO, 1},
        {IPV6_RECVTCLASS, 1},
    };

    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        int r = set_int(fd, IPPROTO_IPV6, want[i].option, want[i].value);

        if (r < 0)
            return r;
    }
    return 0;
}

static void set_buffer(int fd, int force_option, int option, uint32_t bytes)
{
    int want = (int)MIN(bytes ? bytes : UDP_BUFFER_BYTES, 1u << 30);

    if (set_int(fd, SOL_SOCKET, force_option, want) < 0)
        set_int(fd, SOL_SOCKET, option, want);
}

/* The kernel doubles what is asked (for its own bookkeeping) and reports the double. */
static uint32_t get_buffer(int fd, int option)
{
    int got = 0;
    socklen_t len = sizeof(got);

    getsockopt(fd, SOL_SOCKET, option, &got, &len);
    return (uint32_t)got / 2;
}

static int bind_device(int fd, const char *device)
{
    size_t len = device ? strlen(device) : 0;

    if (!len)
        return 0;
    if (len >= IFNAMSIZ)
        return -EINVAL;
    return setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t)len + 1) < 0 ? -errno : 0;
}

static void set_offloads(struct udp_socket *s, const struct udp_socket_opts *opts)
{
    int value = 0;
    socklen_t len = sizeof(value);

    s->gro = !opts->no_gro && set_int(s->fd, IPPROTO_UDP, UDP_GRO, 1) == 0;
    s->gso = !opts->no_gso && getsockopt(s->fd, IPPROTO_UDP, UDP_SEGMENT, &value, &len) == 0;
}

static int set_up(int fd, const struct udp_socket_opts *opts)
{
    int r = bind_device(fd, opts->device);

    if (r == 0)
        r = opts->bind.sa.sa_family == AF_INET6 ? set_v6(fd) : set_v4(fd);
    if (r < 0)
        return r;
    set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, opts->rcvbuf_bytes);
    set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, opts->sndbuf_bytes);
    set_int(fd, SOL_SOCKET, SO_RXQ_OVFL, 1);
    return bind(fd, &opts->bind.sa, opts->bind.len) < 0 ? -errno : 0;
}

struct udp_buffers *udp_buffers_new(void)
{
    struct udp_buffers *b = calloc(1, sizeof(*b));

    if (!b)
        return NULL;
    b->data = malloc((size_t)UDP_RX_BATCH_MAX * (RX_GRO_MAX + RX_STAGGER));
    if (!b->data) {
        free(b);
        return NULL;
    }
    for (unsigned i = 0; i < UDP_RX_BATCH_MAX; i++) {
        struct msghdr *h = &b->hdr[i].msg_hdr;

        b->iov[i].iov_base = b->data + (size_t)i * (RX_GRO_MAX + RX_STAGGER);
        h->msg_iov = &b->iov[i];
        h->msg_iovlen = 1;
        h->msg_name = &b->name[i];
        h->msg_control = b->control[i];
    }
    return b;
}

void udp_buffers_free(struct udp_buffers *b)
{
    if (b)
        free(b->data);
    free(b);
}

static int take_buffers(struct udp_socket *s, struct udp_buffers *shared)
{
    s->rx_max = s->gro ? RX_GRO_MAX : UDP_RX_PLAIN_MAX;
    s->own_rx = !shared;
    s->rx = shared ? shared : udp_buffers_new();
    return s->rx ? 0 : -ENOMEM;
}

int udp_fd_open(const struct udp_socket_opts *opts)
{
    int family = opts->bind.len ? opts->bind.sa.sa_family : AF_UNSPEC, fd, r;

    if (family != AF_INET && family != AF_INET6)
        return -EINVAL;
    fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP);
    if (fd < 0)
        return -errno;
    r = set_up(fd, opts);
    if (r < 0) {
        close(fd);
        return r;
    }
    return fd;
}

static int take_over(struct udp_socket *s, const struct udp_socket_opts *opts)
{
    s->local.len = sizeof(s->local.ss);
    if (getsockname(s->fd, &s->local.sa, &s->local.len) < 0)
        return -errno;
    s->rcvbuf_bytes = get_buffer(s->fd, SO_RCVBUF);
    s->sndbuf_bytes = get_buffer(s->fd, SO_SNDBUF);
    set_offloads(s, opts);
    return take_buffers(s, opts->buffers);
}

int udp_socket_adopt(int fd, const struct udp_socket_opts *opts, struct udp_socket **ret)
{
    struct udp_socket *s = calloc(1, sizeof(*s));
    int r;

    if (!s)
        return -ENOMEM;
    s->fd = fd;
    s->drops = opts->drops;
    r = take_over(s, opts);
    if (r < 0) {
        s->fd = -1; /* stays the caller's */
        udp_socket_close(s);
        return r;
    }
    *ret = s;
    return 0;
}

int udp_socket_open(const struct udp_socket_opts *opts, struct udp_socket **ret)
{
    int fd = udp_fd_open(opts), r;

    if (fd < 0)
        return fd;
    r = udp_socket_adopt(fd, opts, ret);
    if (r < 0)
        close(fd);
    return r;
}

void udp_socket_close(struct udp_socket *s)
{
    if (!s)
        return;
    if (s->fd >= 0)
        close(s->fd);
    if (s->own_rx)
        udp_buffers_free(s->rx);
    free(s);
}

int udp_socket_fd(const struct udp_socket *s)
{
    return s->fd;
}

int udp_socket_ifindex(const struct udp_socket *s)
{
    int index = 0;
    socklen_t len = sizeof(index);

    return getsockopt(s->fd, SOL_SOCKET, SO_BINDTOIFINDEX, &index, &len) ? 0 : index;
}

const struct net_addr *udp_socket_local(const struct udp_socket *s)
{
    return &s->local;
}

uint32_t udp_socket_rcvbuf_bytes(const struct udp_socket *s)
{
    return s->rcvbuf_bytes;
}

uint32_t udp_socket_sndbuf_bytes(const struct udp_socket *s)
{
    return s->sndbuf_bytes;
}

bool udp_socket_has_gro(const struct udp_socket *s)
{
    return s->gro;
}

bool udp_socket_has_gso(const struct udp_socket *s)
{
    return s->gso;
}

const struct udp_stats *udp_socket_stats(const struct udp_socket *s)
{
    return &s->stats;
}
