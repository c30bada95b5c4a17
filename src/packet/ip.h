/* A checked view of one IP packet.
 *
 * ip_view_parse() looks at every length field once, so that code behind it may read the headers
 * at the offsets that the view gives. IPv6 extension headers are walked (RFC 9484, 4.8) up to
 * IP_EXT_MAX of them. The IPv4 header checksum is not verified: the kernel does that on both
 * sides of the tunnel.
 *
 *      0            ip_hdr_len      l4_off                 total_len       len
 *      | fixed header + | extension  | transport header      | trailing    |
 *      | IPv4 options   | headers    | and payload           | bytes       |
 */
#ifndef PACKET_IP_H
#define PACKET_IP_H

#include "base/addr.h"
#include "base/drop.h"
#include "packet/pkt.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Values of ip_view.proto that this project reads by name ("Assigned Internet Protocol Numbers").
 */
enum {
    IP_PROTO_HOPOPTS = 0,
    IP_PROTO_ICMP4 = 1,
    IP_PROTO_TCP = 6,
    IP_PROTO_UDP = 17,
    IP_PROTO_ROUTING = 43,
    IP_PROTO_FRAGMENT = 44,
    IP_PROTO_ESP = 50,
    IP_PROTO_AH = 51,
    IP_PROTO_ICMP6 = 58,
    IP_PROTO_NONE = 59,
    IP_PROTO_DSTOPTS = 60,
    IP_PROTO_MOBILITY = 135,
    IP_PROTO_HIP = 139,
    IP_PROTO_SHIM6 = 140,
};

enum {
    IP4_HDR_MIN = 20,
    IP4_HDR_MAX = 60,
    IP6_HDR = 40,
    IP6_FRAG_HDR = 8,
    IP_EXT_MAX = 8,     /* longest chain of IPv6 extension headers that is followed */
    IP4_MIN_MTU = 68,   /* RFC 791 */
    IP6_MIN_MTU = 1280, /* RFC 8200, 5 */
};

struct ip_view {
    struct ip_addr src, dst;
    uint8_t version; /* 4 or 6 */
    uint8_t proto;   /* transport protocol, after the extension headers; of a non-first IPv6
                      * fragment the Next Header of the fragment header */
    uint8_t dscp;
    uint8_t ecn;
    uint8_t ttl;           /* or Hop Limit */
    bool df;               /* Don't Fragment; always true for IPv6 */
    bool frag;             /* one fragment of several (an IPv6 "atomic" fragment is not one) */
    bool more_frags;       /* not the last fragment */
    bool has_ports;        /* sport and dport are valid: TCP or UDP, not a non-first fragment */
    uint16_t ip_hdr_len;   /* IPv4 header with options, or 40 */
    uint16_t l4_off;       /* start of the transport header, of the payload in later fragments */
    uint16_t frag_off;     /* offset of this fragment in bytes, 0 if not a fragment */
    uint16_t frag_hdr;     /* offset of the IPv6 fragment header, 0 when there is none */
    uint32_t frag_id;      /* IPv4 Identification, or that of the IPv6 fragment header */
    uint32_t total_len;    /* bytes of the packet by its own length field; <= len */
    uint16_t sport, dport; /* host byte order */
};

/* Parse the len bytes at data. Returns 0; or -EBADMSG, then *ret_why says how to count the drop:
 * DROP_NOT_IP (empty, or another version), DROP_TRUNCATED (a length reaches past the end, or the
 * extension chain does), DROP_BAD_HEADER (a header length below the minimum, too many extension
 * headers, a second fragment header, hop-by-hop options that are not first, or a fragment that
 * would end behind byte 65535). A transport header cut short is no error: has_ports is false. Bytes
 * behind total_len are allowed. */
int ip_view_parse(const uint8_t *data, size_t len, struct ip_view *ret_view,
                  enum drop_reason *ret_why);

/* The same for pkt, and cut off trailing bytes behind the IP packet. */
int ip_view_parse_pkt(struct pkt *pkt, struct ip_view *ret_view, enum drop_reason *ret_why);

#endif
