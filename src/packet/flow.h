/* Which packets belong together: the flow hash.
 *
 * TCP and UDP hash over addresses, protocol and ports; ICMP echo over addresses and identifier;
 * everything else over addresses and protocol. All fragments of a packet, the first included,
 * hash over addresses and protocol alone, so that they stay together (of IPv6 fragments the
 * protocol is "fragment": a later fragment does not know the real one). The two directions of a
 * flow have different hashes. */
#ifndef PACKET_FLOW_H
#define PACKET_FLOW_H

#include "packet/ip.h"
#include "packet/siphash.h"

#include <stdint.h>

/* Hash of the packet at data, which view describes. key is random per process, so that a peer
 * cannot steer flows into one bucket. */
uint64_t flow_hash(const struct siphash_key *key, const uint8_t *data, const struct ip_view *view);

#endif
