#include "netlink/echo.h"

#include <errno.h>
#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"

enum { IP4_MIN_HEADER = 20, PASSED_MAX = 64, RECEIVE_BYTES = 65536 };

/* --- messages -------------------------------------------------------------------------- */

/* RFC 1071. The kernel fills that of ICMPv6 in. */
static uint16_t checksum(const uint8_t *p, size_t len)
{
    uint32_t sum = 0;

    for (size_t i = 0; i + 1 < len; i += 2)
        sum += load_be16(p + i);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

void echo_write(uint8_t family, const struct echo_tag *tag, uint8_t buf[static ECHO_LEN])
{
    memset(buf, 0, ECHO_LEN);
    buf[0] = family == 4 ? ICMP_ECHO : ICMP6_ECHO_REQUEST;
    store_be16(buf + 4, tag->id);
    store_be16(buf + 6, tag->number);
    store_be32(buf + 8, (uint32_t)(tag->cookie >> 32));
    store_be32(buf + 12, (uint32_t)tag->cookie);
    if (family == 4)
        store_be16(buf + 2, checksum(buf, ECHO_LEN));
}

int echo_parse(uint8_t family, const uint8_t *data, size_t len, struct echo_tag *ret)
{
    size_t skip = 0;

    if (family == 4) {
        if (len < IP4_MIN_HEADER || data[0] >> 4 != 4)
            return -EINVAL;
        skip = (size_t)(data[0] & 15) * 4;
        if (skip < IP4_MIN_HEADER)
            return -EINVAL;
    }
    if (len < skip + ECHO_LEN)
        return -EINVAL;
    data += skip;
    if (data[0] != (family == 4 ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY) || data[1])
        return -EINVAL;
    *ret = (struct echo_tag){
        .id = load_be16(data + 4),
        .number = load_be16(data + 6),
        .cookie = (uint64_t)load_be32(data + 8) << 32 | load_be32(data + 12),
    };
    return 0;
}

/* --- sockets --------------------------------------------------------------------------- */

static int set_up(int fd, uint8_t family, const char *device)
{
    struct icmp_filter only4 = {.data = ~(1u << ICMP_ECHOREPLY)};
    struct icmp6_filter only6;
    int bytes = RECEIVE_BYTES;
    socklen_t len = (socklen_t)strnlen(device, 15) + 1;

    ICMP6_FILTER_SETBLOCKALL(&only6);
    ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &only6);
    if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, len) ||
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)) ||
        (family == 4 ? setsockopt(fd, SOL_RAW, ICMP_FILTER, &only4, sizeof(only4))
                     : setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &only6, sizeof(only6))))
        return -errno;
    return 0;
}

int echo_open(uint8_t family, const char *device, int *ret_fd)
{
    int fd = socket(family == 4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    family == 4 ? IPPROTO_ICMP : (int)IPPROTO_ICMPV6);
    int rv;

    if (fd < 0)
        return -errno;
    rv = set_up(fd, family, device);
    if (rv)
        close(fd);
    else
        *ret_fd = fd;
    return rv;
}

int echo_send(int fd, const struct ip_addr *to, const struct echo_tag *tag)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    const struct sockaddr *sa = to->family == 4 ? (const void *)&v4 : (const void *)&v6;
    uint8_t buf[ECHO_LEN];

    memcpy(&v4.sin_addr, to->b, sizeof(v4.sin_addr));
    memcpy(&v6.sin6_addr, to->b, sizeof(v6.sin6_addr));
    echo_write(to->family, tag, buf);
    if (sendto(fd, buf, sizeof(buf), MSG_NOSIGNAL, sa, to->family == 4 ? sizeof(v4) : sizeof(v6)) <
        0)
        return -errno;
    return 0;
}

static struct ip_addr from_sockaddr(uint8_t family, const struct sockaddr_storage *ss)
{
    struct ip_addr a = {.family = family};
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    memcpy(&v4, ss, sizeof(v4));
    memcpy(&v6, ss, sizeof(v6));
    if (family == 4)
        memcpy(a.b, &v4.sin_addr, sizeof(v4.sin_addr));
    else
        memcpy(a.b, &v6.sin6_addr, sizeof(v6.sin6_addr));
    return a;
}

int echo_receive(int fd, uint8_t family, struct ip_addr *ret_from, struct echo_tag *ret)
{
    for (unsigned i = 0; i < PASSED_MAX; i++) {
        struct sockaddr_storage from = {0};
        socklen_t from_len = sizeof(from);
        uint8_t buf[128]; /* of more the beginning is enough */
        ssize_t n = recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &from_len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? 0 : -errno;
        if (echo_parse(family, buf, (size_t)n, ret))
            continue;
        *ret_from = from_sockaddr(family, &from);
        return 1;
    }
    return -EAGAIN;
}
