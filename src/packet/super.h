/* Super-packets: one IP packet of up to 64 KiB that stands for many (TSO, USO).
 *
 * The kernel describes one beside its bytes: kind, gso_size, where the checksum lies. What it says
 * is believed only where the packet's own headers say the same; everything else is derived from
 * them (also behind IPv6 extension headers).
 *
 *      0              csum_start       hdr_len                                     len
 *      | IP header(s) | TCP or UDP     | gso_size | gso_size | ...      | <= gso_size |
 *
 * Accepted: unfragmented TCP and UDP, the kind of its IP version, whose lengths agree. TCP carries
 * no SYN or RST: these are about one segment. IPv6 extension headers may be those that every
 * segment can repeat: hop-by-hop and destination options, and a routing header that has been used
 * up, because the addresses of the pseudo header are then those of the packet. */
#ifndef PACKET_SUPER_H
#define PACKET_SUPER_H

#include <stdint.h>

#include "packet/ip.h"
#include "packet/pkt.h"

/* Offsets and bits of TCP (RFC 9293, 3.1; RFC 3168) and UDP that segments are made of. */
enum {
    TCP_HDR_MIN = 20,
    TCP_SEQ = 4,
    TCP_ACK = 8,
    TCP_DOFF = 12, /* upper four bits: words of the header */
    TCP_FLAGS = 13,
    TCP_WINDOW = 14,
    TCP_CSUM = 16,
    TCP_URG_PTR = 18,
    TCP_FIN = 0x01,
    TCP_SYN = 0x02,
    TCP_RST = 0x04,
    TCP_PSH = 0x08,
    TCP_ACK_FLAG = 0x10,
    TCP_URG = 0x20,
    TCP_ECE = 0x40,
    TCP_CWR = 0x80,
    UDP_HDR = 8,
    UDP_LEN = 4,
    UDP_CSUM = 6,
    IP4_LEN = 2,
    IP4_ID = 4,
    IP4_CSUM = 10,
    IP6_LEN = 4,
};

/* Make sense of the gso and csum fields of a packet that view describes, whose bytes may say
 * otherwise. Afterwards it is an ordinary packet with complete checksums, or a super-packet of at
 * least two segments whose gso_size, hdr_len, csum_start and csum_offset are true and of which
 * nothing is taken; its checksum fields hold nothing of use.
 * Returns 0, or -EINVAL when packet and fields contradict each other (the packet is then good for
 * nothing but pkt_free()). */
int super_settle(struct pkt *pkt, const struct ip_view *view);

/* Make a super-packet ready for tun_write(): total and checksum of the IPv4 header, the UDP length
 * and the pseudo-header sum in the checksum field, all for its len. */
void super_finish(struct pkt *pkt);

#endif
