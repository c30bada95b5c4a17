/* IPv4 fragmentation in the router (RFC 791, 3.2), for packets without Don't Fragment. */
#ifndef PACKET_FRAG_H
#define PACKET_FRAG_H

#include "packet/ip.h"

#include <stdint.h>

/* Cut pkt, which view describes, into fragments of at most mtu bytes each, appended in order to
 * batch; a packet that already fits is moved there as it is. A partial checksum is completed
 * first. Options without the copied flag stay on the first fragment only; a packet that is itself
 * a fragment is cut further.
 * Returns 0 and consumes pkt. On failure pkt stays the caller's and batch is as it was:
 * -EMSGSIZE: Don't Fragment is set, or it is IPv6;
 * -EINVAL: mtu below IP4_MIN_MTU, a GSO packet (segment it first), a bad partial checksum;
 * -E2BIG: more fragments than the batch has room for;
 * -ENOBUFS: the pool is empty. */
int frag_ipv4(struct pkt_pool *pool, struct pkt *pkt, const struct ip_view *view, uint32_t mtu,
              struct pkt_batch *batch);

#endif
