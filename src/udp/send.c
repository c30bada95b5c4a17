/* Sending. A burst of equal datagrams goes to the kernel in one of two ways:
 *
 *   GSO    one sendmsg() with UDP_SEGMENT: one pass through the network stack per 64 datagrams
 *   plain  one sendmmsg(): one pass per datagram, one system call
 *
 * Kernels and devices that cannot do GSO say so only when tried, with errors that also mean other
 * things (EINVAL: a segment larger than the MTU). So a refused burst is sent again the plain way;
 * if that works it was GSO that was refused, and the socket does not try it again. */
#include <errno.h>
#include <linux/udp.h>
#include <string.h>

#include "base/util.h"
#include "udp/internal.h"

union tx_control {
    struct cmsghdr align;
    uint8_t b[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int)) +
              CMSG_SPACE(sizeof(uint16_t))];
};

static void put_cmsg(struct msghdr *h, int level, int type, const void *data, size_t len)
{
    struct cmsghdr *c = (struct cmsghdr *)(void *)((uint8_t *)h->msg_control + h->msg_controllen);

    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(len);
    memcpy(CMSG_DATA(c), data, len);
    h->msg_controllen += CMSG_SPACE(len);
}

static void put_source(struct msghdr *h, const struct net_addr *local)
{
    if (local->sa.sa_family == AF_INET) {
        struct in_pktinfo pi = {.ipi_spec_dst = local->in.sin_addr};

        if (pi.ipi_spec_dst.s_addr != INADDR_ANY)
            put_cmsg(h, IPPROTO_IP, IP_PKTINFO, &pi, sizeof(pi));
    } else {
        struct in6_pktinfo pi = {.ipi6_addr = local->in6.sin6_addr};

        if (IN6_IS_ADDR_UNSPECIFIED(&pi.ipi6_addr))
            return;
        if (IN6_IS_ADDR_LINKLOCAL(&pi.ipi6_addr))
            pi.ipi6_ifindex = local->in6.sin6_scope_id;
        put_cmsg(h, IPPROTO_IPV6, IPV6_PKTINFO, &pi, sizeof(pi));
    }
}

/* Everything of a message header but the data: address, source, ECN. */
static void fill_header(struct msghdr *h, union tx_control *control, const struct udp_tx_msg *m)
{
    int ecn = m->ecn & 3;

    memset(control, 0, sizeof(*control));
    *h = (struct msghdr){
        .msg_name = (void *)(uintptr_t)&m->remote->sa,
        .msg_namelen = m->remote->len,
        .msg_control = control,
    };
    if (m->local && m->local->len)
        put_source(h, m->local);
    if (ecn && m->remote->sa.sa_family == AF_INET)
        put_cmsg(h, IPPROTO_IP, IP_TOS, &ecn, sizeof(ecn));
    else if (ecn)
        put_cmsg(h, IPPROTO_IPV6, IPV6_TCLASS, &ecn, sizeof(ecn));
    if (!h->msg_controllen)
        h->msg_control = NULL;
}

static void count_sent(struct udp_socket *s, uint32_t datagrams, uint32_t bytes)
{
    s->stats.tx_datagrams += datagrams;
    s->stats.tx_bytes += bytes;
}

static int send_gso(struct udp_socket *s, const struct udp_tx_msg *m, const uint8_t *data,
                    uint32_t len, uint32_t seg)
{
    uint16_t gso_size = (uint16_t)seg;
    union tx_control control;
    struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
    struct msghdr h;

    fill_header(&h, &control, m);
    h.msg_iov = &iov;
    h.msg_iovlen = 1;
    h.msg_control = &control;
    put_cmsg(&h, IPPROTO_UDP, UDP_SEGMENT, &gso_size, sizeof(gso_size));
    s->stats.tx_calls++;
    if (sendmsg(s->fd, &h, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        return -errno;
    count_sent(s, (len + seg - 1) / seg, len);
    return 0;
}

/* Send at most UDP_TX_SEGMENTS_MAX datagrams one by one. *ret_sent grows by what went out. */
static int send_plain(struct udp_socket *s, const struct udp_tx_msg *m, const uint8_t *data,
                      uint32_t len, uint32_t seg, uint32_t *ret_sent)
{
    union tx_control control;
    struct mmsghdr h[UDP_TX_SEGMENTS_MAX];
    struct iovec iov[UDP_TX_SEGMENTS_MAX];
    unsigned n = 0, done = 0;

    fill_header(&h[0].msg_hdr, &control, m);
    for (uint32_t off = 0; off < len; off += seg, n++) {
        iov[n].iov_base = (void *)(uintptr_t)(data + off);
        iov[n].iov_len = MIN(seg, len - off);
        h[n].msg_hdr = h[0].msg_hdr;
        h[n].msg_hdr.msg_iov = &iov[n];
        h[n].msg_hdr.msg_iovlen = 1;
    }
    while (done < n) {
        int r = sendmmsg(s->fd, h + done, n - done, MSG_DONTWAIT | MSG_NOSIGNAL);

        s->stats.tx_calls++;
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            return r < 0 ? -errno : -EAGAIN;
        for (int i = 0; i < r; i++, done++) {
            count_sent(s, 1, (uint32_t)iov[done].iov_len);
            *ret_sent += (uint32_t)iov[done].iov_len;
        }
    }
    return 0;
}

static bool error_may_mean_no_gso(int r)
{
    return r == -EIO || r == -EINVAL || r == -ENOPROTOOPT || r == -EOPNOTSUPP;
}

/* One kernel call's worth of datagrams, the way that works. */
static int send_chunk(struct udp_socket *s, const struct udp_tx_msg *m, const uint8_t *data,
                      uint32_t len, uint32_t seg, uint32_t *ret_sent)
{
    bool refused = false;
    uint32_t before = *ret_sent;
    int r;

    if (s->gso && len > seg) {
        do
            r = send_gso(s, m, data, len, seg);
        while (r == -EINTR);
        if (r == 0)
            *ret_sent += len;
        refused = error_may_mean_no_gso(r);
        if (!refused)
            return r;
    }
    r = send_plain(s, m, data, len, seg, ret_sent);
    if (refused && *ret_sent > before)
        s->gso = false;
    return r;
}

/* The arguments are valid, so what the kernel calls invalid is the source address. */
static int translate(struct udp_socket *s, const struct udp_tx_msg *m, int r)
{
    if (r == -EWOULDBLOCK) {
        s->stats.tx_blocked++;
        return -EAGAIN;
    }
    if (r == -EINVAL && m->local && m->local->len)
        return -EADDRNOTAVAIL;
    return r;
}

int udp_send(struct udp_socket *s, const struct udp_tx_msg *m, uint32_t *ret_sent)
{
    uint32_t seg = m->seg_size && m->seg_size < m->len ? m->seg_size : m->len;
    uint32_t sent = 0, chunk;
    int r = 0;

    if (ret_sent)
        *ret_sent = 0;
    if (!m->len || !net_addr_port(m->remote) || m->remote->sa.sa_family != s->local.sa.sa_family ||
        (m->local && m->local->len && m->local->sa.sa_family != s->local.sa.sa_family))
        return -EINVAL;
    if (seg > UDP_TX_BYTES_MAX)
        return -EMSGSIZE;
    chunk = udp_tx_segments((uint16_t)seg) * seg;
    while (r == 0 && sent < m->len)
        r = send_chunk(s, m, m->data + sent, MIN(chunk, m->len - sent), seg, &sent);
    if (ret_sent)
        *ret_sent = sent;
    return translate(s, m, r);
}
