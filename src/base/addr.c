#include "base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

unsigned ip_addr_bits(const struct ip_addr *a)
{
    return a->family == 4 ? 32 : a->family == 6 ? 128 : 0;
}

int ip_addr_parse(const char *s, struct ip_addr *ret)
{
    struct ip_addr a = {0};

    if (inet_pton(AF_INET, s, a.b) == 1)
        a.family = 4;
    else if (inet_pton(AF_INET6, s, a.b) == 1)
        a.family = 6;
    else
        return -EINVAL;
    *ret = a;
    return 0;
}

int ip_prefix_parse(const char *s, struct ip_prefix *ret)
{
    char host[IP_ADDR_STR_MAX];
    struct ip_prefix p;
    const char *slash = strchr(s, '/');
    size_t n = slash ? (size_t)(slash - s) : strlen(s);

    if (n >= sizeof(host))
        return -EINVAL;
    memcpy(host, s, n);
    host[n] = 0;
    if (ip_addr_parse(host, &p.addr))
        return -EINVAL;
    p.len = (uint8_t)ip_addr_bits(&p.addr);
    if (slash) {
        unsigned len = 0;
        const char *c = slash + 1;

        if (!*c || strlen(c) > 3)
            return -EINVAL;
        for (; *c; c++) {
            if (*c < '0' || *c > '9')
                return -EINVAL;
            len = len * 10 + (unsigned)(*c - '0');
        }
        if (len > p.len)
            return -EINVAL;
        p.len = (uint8_t)len;
    }
    *ret = p;
    return 0;
}

char *ip_addr_str(const struct ip_addr *a, char buf[static IP_ADDR_STR_MAX])
{
    if (!a->family || !inet_ntop(a->family == 4 ? AF_INET : AF_INET6, a->b, buf, IP_ADDR_STR_MAX))
        memcpy(buf, "none", sizeof("none"));
    return buf;
}

char *ip_prefix_str(const struct ip_prefix *p, char buf[static IP_PREFIX_STR_MAX])
{
    char host[IP_ADDR_STR_MAX];

    snprintf(buf, IP_PREFIX_STR_MAX, "%s/%u", ip_addr_str(&p->addr, host), p->len);
    return buf;
}

char *net_addr_str(const struct net_addr *a, char buf[static NET_ADDR_STR_MAX])
{
    char host[IP_ADDR_STR_MAX];
    struct ip_addr ip = net_addr_ip(a);

    ip_addr_str(&ip, host);
    snprintf(buf, NET_ADDR_STR_MAX, ip.family == 6 ? "[%s]:%u" : "%s:%u", host, net_addr_port(a));
    return buf;
}

bool ip_addr_equal(const struct ip_addr *a, const struct ip_addr *b)
{
    return ip_addr_cmp(a, b) == 0;
}

int ip_addr_cmp(const struct ip_addr *a, const struct ip_addr *b)
{
    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    return memcmp(a->b, b->b, ip_addr_bits(a) / 8);
}

bool ip_addr_is_linklocal(const struct ip_addr *a)
{
    if (a->family == 4)
        return a->b[0] == 169 && a->b[1] == 254;
    return a->family == 6 && a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

bool ip_addr_is_multicast(const struct ip_addr *a)
{
    if (a->family == 4)
        return (a->b[0] & 0xf0) == 0xe0;
    return a->family == 6 && a->b[0] == 0xff;
}

bool ip_addr_is_any(const struct ip_addr *a)
{
    struct ip_addr any = {.family = a->family};

    return a->family && ip_addr_equal(a, &any);
}

/* Set (fill = 0xff) or clear (fill = 0) the bits of *a after the first len. */
static void fill_host_bits(struct ip_addr *a, unsigned len, uint8_t fill)
{
    unsigned bytes = ip_addr_bits(a) / 8;

    for (unsigned i = 0; i < bytes; i++) {
        unsigned kept = len > i * 8 ? len - i * 8 : 0;
        uint8_t host = kept >= 8 ? 0 : (uint8_t)(0xff >> kept);

        a->b[i] = (uint8_t)((a->b[i] & ~host) | (fill & host));
    }
}

struct ip_prefix ip_prefix_network(const struct ip_prefix *p)
{
    struct ip_prefix n = *p;

    fill_host_bits(&n.addr, n.len, 0);
    return n;
}

struct ip_addr ip_prefix_last(const struct ip_prefix *p)
{
    struct ip_addr a = p->addr;

    fill_host_bits(&a, p->len, 0xff);
    return a;
}

bool ip_prefix_contains(const struct ip_prefix *p, const struct ip_addr *a)
{
    unsigned whole = p->len / 8, rest = p->len % 8;

    if (!a->family || p->addr.family != a->family || memcmp(p->addr.b, a->b, whole) != 0)
        return false;
    return !rest || !((p->addr.b[whole] ^ a->b[whole]) >> (8 - rest));
}

bool ip_prefix_equal(const struct ip_prefix *a, const struct ip_prefix *b)
{
    return a->len == b->len && ip_addr_equal(&a->addr, &b->addr);
}

struct net_addr net_addr_make(const struct ip_addr *a, uint16_t port)
{
    struct net_addr n = {0};

    if (a->family == 4) {
        n.in.sin_family = AF_INET;
        n.in.sin_port = htons(port);
        memcpy(&n.in.sin_addr, a->b, 4);
        n.len = sizeof(n.in);
    } else if (a->family == 6) {
        n.in6.sin6_family = AF_INET6;
        n.in6.sin6_port = htons(port);
        memcpy(&n.in6.sin6_addr, a->b, 16);
        n.len = sizeof(n.in6);
    }
    return n;
}

struct ip_addr net_addr_ip(const struct net_addr *n)
{
    struct ip_addr a = {0};

    if (n->len && n->sa.sa_family == AF_INET) {
        a.family = 4;
        memcpy(a.b, &n->in.sin_addr, 4);
    } else if (n->len && n->sa.sa_family == AF_INET6) {
        a.family = 6;
        memcpy(a.b, &n->in6.sin6_addr, 16);
    }
    return a;
}

uint16_t net_addr_port(const struct net_addr *n)
{
    if (!n->len)
        return 0;
    return ntohs(n->sa.sa_family == AF_INET ? n->in.sin_port : n->in6.sin6_port);
}

bool net_addr_equal(const struct net_addr *a, const struct net_addr *b)
{
    struct ip_addr ia = net_addr_ip(a), ib = net_addr_ip(b);

    return ip_addr_equal(&ia, &ib) && net_addr_port(a) == net_addr_port(b);
}
