/* IP addresses, prefixes and socket addresses as plain values. No I/O. */
#ifndef BASE_ADDR_H
#define BASE_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* family is 4 or 6; 0 means "no address". IPv4 uses b[0..3], the rest is zero. */
struct ip_addr {
    uint8_t family;
    uint8_t b[16];
};

/* An address with a length in bits. Host bits are kept ("10.200.1.1/30" is an interface
 * address); use ip_prefix_network() for the network. */
struct ip_prefix {
    struct ip_addr addr;
    uint8_t len;
};

/* A socket address of either family. len is the length the kernel wants. */
struct net_addr {
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_storage ss;
    };
    socklen_t len;
};

enum { IP_ADDR_STR_MAX = 46, IP_PREFIX_STR_MAX = 50, NET_ADDR_STR_MAX = 64 };

/* Number of address bits of the family: 32, 128, or 0 for no address. */
unsigned ip_addr_bits(const struct ip_addr *a);

/* Parse a literal address. Returns 0, or -EINVAL and leaves *ret as it was. */
int ip_addr_parse(const char *s, struct ip_addr *ret);

/* Parse "ADDR/LEN". A missing length means a host prefix. Returns 0 or -EINVAL. */
int ip_prefix_parse(const char *s, struct ip_prefix *ret);

/* Print into buf (at least the matching *_STR_MAX bytes); return buf. */
char *ip_addr_str(const struct ip_addr *a, char buf[static IP_ADDR_STR_MAX]);
char *ip_prefix_str(const struct ip_prefix *p, char buf[static IP_PREFIX_STR_MAX]);
char *net_addr_str(const struct net_addr *a, char buf[static NET_ADDR_STR_MAX]);

bool ip_addr_equal(const struct ip_addr *a, const struct ip_addr *b);
int ip_addr_cmp(const struct ip_addr *a, const struct ip_addr *b);
bool ip_addr_is_linklocal(const struct ip_addr *a);
bool ip_addr_is_multicast(const struct ip_addr *a);
bool ip_addr_is_any(const struct ip_addr *a); /* 0.0.0.0 or :: */

/* The prefix with its host bits cleared; its last address (host bits set). */
struct ip_prefix ip_prefix_network(const struct ip_prefix *p);
struct ip_addr ip_prefix_last(const struct ip_prefix *p);
bool ip_prefix_contains(const struct ip_prefix *p, const struct ip_addr *a);
bool ip_prefix_equal(const struct ip_prefix *a, const struct ip_prefix *b);

/* Build and take apart socket addresses. port is in host byte order. */
struct net_addr net_addr_make(const struct ip_addr *a, uint16_t port);
struct ip_addr net_addr_ip(const struct net_addr *n);
uint16_t net_addr_port(const struct net_addr *n);
bool net_addr_equal(const struct net_addr *a, const struct net_addr *b);

#endif
