#include <errno.h>
#include <linux/udp.h>
#include <string.h>

#include "base/util.h"
#include "udp/internal.h"

/* Errors that do not say that the socket is broken, only that somebody's datagram went astray. */
static bool error_is_soft(int err)
{
    switch (err) {
    case ECONNREFUSED:
    case ECONNRESET:
    case EHOSTUNREACH:
    case EHOSTDOWN:
    case ENETUNREACH:
    case ENETDOWN:
    case ENETRESET:
    case ENOPROTOOPT:
    case EPROTO:
    case EMSGSIZE:
    case EACCES:
    case EPERM:
    case ENONET:
    case EOPNOTSUPP:
        return true;
    default:
        return false;
    }
}

static void copy_cmsg(void *dst, const struct cmsghdr *c, size_t len)
{
    if (c->cmsg_len >= CMSG_LEN(len))
        memcpy(dst, CMSG_DATA(c), len);
}

static void parse_ip_cmsg(const struct cmsghdr *c, struct udp_rx_msg *m)
{
    struct in_pktinfo pi = {0};

    if (c->cmsg_type == IP_TOS) {
        copy_cmsg(&m->ecn, c, 1);
        m->ecn &= 3;
    } else if (c->cmsg_type == IP_PKTINFO) {
        copy_cmsg(&pi, c, sizeof(pi));
        m->local.in.sin_addr = pi.ipi_spec_dst;
    }
}

static void parse_ipv6_cmsg(const struct cmsghdr *c, struct udp_rx_msg *m)
{
    struct in6_pktinfo pi = {0};
    int tclass = 0;

    if (c->cmsg_type == IPV6_TCLASS) {
        copy_cmsg(&tclass, c, sizeof(tclass));
        m->ecn = (uint8_t)(tclass & 3);
    } else if (c->cmsg_type == IPV6_PKTINFO) {
        copy_cmsg(&pi, c, sizeof(pi));
        m->local.in6.sin6_addr = pi.ipi6_addr;
        if (IN6_IS_ADDR_LINKLOCAL(&pi.ipi6_addr))
            m->local.in6.sin6_scope_id = pi.ipi6_ifindex;
    }
}

/* The kernel's counter of datagrams that found the buffer full; it comes with each datagram
 * once it is not 0. */
static void note_overflow(struct udp_socket *s, uint32_t seen)
{
    uint32_t more = seen - s->rx_overflow_seen;

    s->stats.rx_overflow += more;
    drop_count_n(s->drops, DROP_UDP_OVERFLOW, more);
    s->rx_overflow_seen = seen;
}

static void parse_control(struct udp_socket *s, struct msghdr *h, struct udp_rx_msg *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
        if (c->cmsg_level == IPPROTO_IP) {
            parse_ip_cmsg(c, m);
        } else if (c->cmsg_level == IPPROTO_IPV6) {
            parse_ipv6_cmsg(c, m);
        } else if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
            int seg = 0;

            copy_cmsg(&seg, c, sizeof(seg));
            if (seg > 0 && (uint32_t)seg < m->len)
                m->seg_size = (uint16_t)seg;
        } else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
            uint32_t seen = s->rx_overflow_seen;

            copy_cmsg(&seen, c, sizeof(seen));
            note_overflow(s, seen);
        }
    }
}

/* Turn message i into *m; false when it is dropped. */
static bool take(struct udp_socket *s, unsigned i, struct udp_rx_msg *m)
{
    struct msghdr *h = &s->rx->hdr[i].msg_hdr;

    m->len = s->rx->hdr[i].msg_len;
    if (h->msg_flags & MSG_TRUNC) {
        drop_count(s->drops, DROP_OVERSIZE_UDP);
        return false;
    }
    if (!m->len || h->msg_namelen > sizeof(m->remote.ss)) {
        drop_count(s->drops, DROP_NOT_QUIC);
        return false;
    }
    memcpy(&m->remote.ss, h->msg_name, h->msg_namelen);
    m->remote.len = h->msg_namelen;
    m->local = s->local;
    m->ecn = UDP_ECN_NOT_ECT;
    m->data = s->rx->iov[i].iov_base;
    m->seg_size = (uint16_t)MIN(m->len, UINT16_MAX);
    parse_control(s, h, m);
    s->stats.rx_msgs++;
    s->stats.rx_bytes += m->len;
    return true;
}

/* Number of messages received, or -errno. A soft error is reported by the kernel once and hides
 * the datagrams behind it, so it is followed by another try; a burst of them ends the call. */
static int receive(struct udp_socket *s, unsigned max)
{
    struct udp_buffers *b = s->rx;

    for (unsigned tries = 0; tries < UDP_RX_BATCH_MAX; tries++) {
        int n;

        for (unsigned i = 0; i < max; i++) {
            b->iov[i].iov_len = s->rx_max;
            b->hdr[i].msg_hdr.msg_namelen = sizeof(b->name[i]);
            b->hdr[i].msg_hdr.msg_controllen = RX_CONTROL_MAX;
        }
        s->stats.rx_calls++;
        n = recvmmsg(s->fd, b->hdr, max, MSG_DONTWAIT, NULL);
        if (n >= 0)
            return n;
        if (errno == EAGAIN || errno == EINTR)
            return 0;
        if (!error_is_soft(errno))
            return -errno;
        s->stats.rx_soft_errors++;
    }
    return 0;
}

int udp_recv_batch(struct udp_socket *s, struct udp_rx_msg *msgs, unsigned max)
{
    int n = receive(s, MIN(max, (unsigned)UDP_RX_BATCH_MAX)), kept = 0;

    for (int i = 0; i < n; i++)
        kept += take(s, (unsigned)i, &msgs[kept]);
    return n < 0 ? n : kept;
}
