/* The Internet checksum (RFC 1071, RFC 1624).
 *
 * A running sum is a uint64_t in the machine's own byte order; its value means nothing outside
 * this module. Start with 0, add pieces, and fold:
 *
 *      uint64_t sum = csum_pseudo(&view.src, &view.dst, view.proto, l4_len);
 *      sum = csum_add(sum, l4, l4_len);
 *      store_be16(l4 + offset, csum_fold(sum));
 */
#ifndef PACKET_CSUM_H
#define PACKET_CSUM_H

#include "base/addr.h"
#include "packet/pkt.h"

#include <stddef.h>
#include <stdint.h>

/* Add len bytes that start at an even offset of the checksummed data (all pieces but the last
 * have even length). p needs no alignment. */
uint64_t csum_add(uint64_t sum, const void *p, size_t len);

/* The sum of the pseudo header (RFC 9293, 3.1; RFC 8200, 8.1). Both addresses have the same
 * family; l4_len is the length of transport header and payload in bytes. */
uint64_t csum_pseudo(const struct ip_addr *src, const struct ip_addr *dst, uint8_t proto,
                     uint32_t l4_len);

/* The checksum of the sum: folded to 16 bits and complemented, in host byte order, to be written
 * with store_be16(). Over data that holds a right checksum it is 0. */
uint16_t csum_fold(uint64_t sum);

/* The folded sum without the complement, in host byte order: what the field of a packet with a
 * partial checksum holds when the sum is that of the pseudo header. */
uint16_t csum_fold_partial(uint64_t sum);

/* The checksum after a 16-bit word of the data changed (RFC 1624, equation 3). All values in host
 * byte order. */
uint16_t csum_update16(uint16_t csum, uint16_t was, uint16_t is);

/* Complete the partial checksum of pkt: sum [csum_start, len), which includes the pseudo header
 * sum in the field, store it and set csum_start to 0. A result of 0 is stored as 0xffff, which
 * UDP demands and which is the same for the others. Does nothing when csum_start is 0. Returns 0,
 * or -EINVAL when the field lies outside the packet or is misaligned to the sum (pkt unchanged). */
int csum_complete(struct pkt *pkt);

#endif
