/* What a unit is: made from bytes that a peer has sent, and believed only as far as they agree. */
#ifndef BOND_UNIT_H
#define BOND_UNIT_H

#include <stddef.h>

#include "base/drop.h"
#include "packet/ip.h"
#include "packet/pkt.h"

/* Check a unit whose gso and gso_size say what it is to be, and parse it. Afterwards it is an IP
 * packet of at most packet_max bytes with complete checksums, or a super-packet that tun_write()
 * takes (super_settle(), super_finish()) whose segments are no larger. Returns 0, or -EBADMSG:
 * *ret_why says how to count it. */
int unit_settle(struct pkt *pkt, size_t packet_max, struct ip_view *ret_view,
                enum drop_reason *ret_why);

#endif
