/* A hash table of intrusive nodes, chained, that doubles as it fills and never shrinks. The caller
 * makes the hash (keyed, where strangers choose the keys: packet/siphash.h) and compares keys:
 *
 *      for (n = hmap_first(&m, hash); n; n = hmap_next(n))
 *          if (key of container_of(n, ...) is the one) ...
 */
#ifndef BASE_HMAP_H
#define BASE_HMAP_H

#include <stddef.h>
#include <stdint.h>

struct hmap_node {
    struct hmap_node *chain;
    uint64_t hash;
};

struct hmap {
    struct hmap_node **bucket;
    size_t n_buckets; /* a power of two */
    size_t n;
};

/* Returns 0 or -ENOMEM. */
int hmap_init(struct hmap *m);

/* The nodes are the caller's. Allowed on a zeroed struct. */
void hmap_done(struct hmap *m);

/* Never fails: without memory to grow, chains become longer. */
void hmap_add(struct hmap *m, struct hmap_node *n, uint64_t hash);

/* The node must be in the table. */
void hmap_remove(struct hmap *m, struct hmap_node *n);

/* Nodes of this hash. */
struct hmap_node *hmap_first(const struct hmap *m, uint64_t hash);
struct hmap_node *hmap_next(const struct hmap_node *n);

/* All nodes, in no order, each once; the last one given (NULL: none yet) may be gone by now only if
 * the caller got its successor before. */
struct hmap_node *hmap_walk(const struct hmap *m, const struct hmap_node *last);

#endif
