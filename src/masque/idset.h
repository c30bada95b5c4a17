/* The request identifiers that a peer has used, which it must never use again (RFC 9484, 4.7.2).
 *
 * Kept as ranges: a peer that counts upwards takes one of them for ever. Identifiers may come in
 * any order, but only IDSET_RANGES_MAX ranges are remembered, so that a peer cannot make us store
 * without end. */
#ifndef MASQUE_IDSET_H
#define MASQUE_IDSET_H

#include <stdint.h>

enum { IDSET_RANGES_MAX = 64 };

struct idset {
    struct {
        uint64_t first, last; /* inclusive; ascending, with gaps in between */
    } range[IDSET_RANGES_MAX];
    unsigned n;
};

void idset_init(struct idset *s);

/* Add an identifier. Returns 0; -EEXIST when it is in the set; -ENOSPC when it would need a range
 * more than there are. */
int idset_add(struct idset *s, uint64_t id);

#endif
