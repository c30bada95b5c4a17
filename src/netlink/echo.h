/* ICMP and ICMPv6 echo (RFC 792, RFC 4443 4.1) out of one interface, whatever the routes say. */
#ifndef NETLINK_ECHO_H
#define NETLINK_ECHO_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

/* What tells an answer from others'. The cookie is known to who has seen a request. */
struct echo_tag {
    uint16_t id, number;
    uint64_t cookie;
};

enum { ECHO_LEN = 16 }; /* a request: ICMP header and cookie */

/* A non-blocking socket that sends and receives by this interface alone, and receives nothing but
 * echo replies. family: 4 or 6. Needs CAP_NET_RAW; using it does not. Returns 0; -ENODEV: there is
 * no such interface; other -errno. */
int echo_open(uint8_t family, const char *device, int *ret_fd);

/* Ask an address of the socket's family. The interface needs an address of that family: without one
 * the kernel would take that of another. Returns 0 or -errno, among them -ENETUNREACH,
 * -EHOSTUNREACH, -ENODEV and -ENXIO (the interface has gone), -EPERM (a firewall), -EAGAIN. */
int echo_send(int fd, const struct ip_addr *to, const struct echo_tag *tag);

/* The next answer. Returns 1, 0 when there is none now, or -errno; what is no answer is passed
 * over, at most 64 in one call (-EAGAIN: there may be more). */
int echo_receive(int fd, uint8_t family, struct ip_addr *ret_from, struct echo_tag *ret);

/* The request for a tag, and the tag of a reply as a raw socket gets it (IPv4: with its IP header).
 * echo_parse() returns 0 or -EINVAL. */
void echo_write(uint8_t family, const struct echo_tag *tag, uint8_t buf[static ECHO_LEN]);
int echo_parse(uint8_t family, const uint8_t *data, size_t len, struct echo_tag *ret);

#endif
