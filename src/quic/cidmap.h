/* Connection IDs to lanes. Strangers choose some of the keys (a client makes up the ID that its
 * first packet is sent to), so the hash is keyed with a secret: nobody can choose keys that
 * collide. */
#ifndef QUIC_CIDMAP_H
#define QUIC_CIDMAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/hmap.h"
#include "packet/siphash.h"

enum { CID_BYTES_MAX = 20 };

struct quic_lane;

struct lane_cid {
    struct hmap_node node;
    struct quic_lane *lane;
    struct lane_cid *next; /* of the same lane; the map does not look at it */
    uint8_t len;
    uint8_t data[CID_BYTES_MAX];
};

struct cidmap {
    struct siphash_key key;
    struct hmap map;
};

/* The key must be random and secret. Returns 0 or -ENOMEM. */
int cidmap_init(struct cidmap *m, const struct siphash_key *key);
void cidmap_done(struct cidmap *m); /* the entries are their owner's; allowed on a zeroed struct */

/* Add an entry, which stays the caller's. Returns 0 or -EEXIST. */
int cidmap_add(struct cidmap *m, struct lane_cid *c);

/* Remove an entry that is in the map. */
void cidmap_remove(struct cidmap *m, struct lane_cid *c);

/* The entry of an ID, or NULL. */
struct lane_cid *cidmap_find(const struct cidmap *m, const uint8_t *cid, size_t len);

#endif
