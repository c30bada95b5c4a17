/* Packet-too-big answers.
 *
 * A packet that is larger than the tunnel carries, and may not be fragmented, is answered with
 * ICMPv4 "fragmentation needed" (RFC 1191, RFC 1812 4.3.2) or ICMPv6 "packet too big" (RFC 4443,
 * 3.2). Limiting the rate is the caller's. */
#ifndef PACKET_ICMP_H
#define PACKET_ICMP_H

#include "packet/ip.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    ICMP4_QUOTE_MAX = 576,  /* longest ICMPv4 error, its IP header included (RFC 1812, 4.3.2.3) */
    ICMP6_QUOTE_MAX = 1280, /* longest ICMPv6 error, its IP header included (RFC 4443, 2.4 c) */
};

/* Whether an ICMP error about this packet may be sent at all. False for (RFC 1122 3.2.2, RFC 1812
 * 4.3.2.7, RFC 4443 2.4 e): an ICMP error or ICMPv6 redirect, or an ICMP message too short to
 * tell; a multicast or IPv4 broadcast destination (also for IPv6, where an exception would allow
 * it: multicast is not carried here); a source that is not one host (unspecified, loopback,
 * multicast, IPv4 0/8 and 240/4); a non-first IPv4 fragment. */
bool icmp_may_answer(const uint8_t *data, const struct ip_view *view);

/* Build the answer to the packet at data: from src to the packet's source, saying that mtu bytes
 * fit, and quoting as much of the packet as is allowed. mtu is at least IP4_MIN_MTU or
 * IP6_MIN_MTU; IPv4 states at most 65535. Returns 0 and a new packet that the caller owns, with
 * complete checksums; -EPERM when no answer may be sent; -EINVAL when src has the wrong family or
 * mtu is too small; -ENOBUFS when the pool is empty. */
int icmp_too_big(struct pkt_pool *pool, const uint8_t *data, const struct ip_view *view,
                 const struct ip_addr *src, uint32_t mtu, struct pkt **ret_pkt);

#endif
