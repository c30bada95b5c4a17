/* Explicit Congestion Notification in the IP header (RFC 3168, 5). */
#ifndef PACKET_ECN_H
#define PACKET_ECN_H

#include <stdbool.h>

#include "packet/pkt.h"

enum { ECN_NOT_ECT = 0, ECN_ECT1 = 1, ECN_ECT0 = 2, ECN_CE = 3 };

/* Mark the packet as having met congestion, and keep an IPv4 header's checksum right (RFC 1624).
 * Returns true when its sender understands that (ECT or CE already), false when the packet must be
 * dropped instead; then it is unchanged. The packet begins with a whole IPv4 or IPv6 header. */
bool ecn_mark_ce(struct pkt *pkt);

/* Whether its sender understands a mark (ECT or CE). */
bool ecn_is_capable(const struct pkt *pkt);

#endif
