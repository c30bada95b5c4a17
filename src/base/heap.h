/* A binary min-heap of intrusive nodes keyed by a time. Each node knows its place, so that
 * changing or removing one costs O(log n). The array grows by doubling; it never shrinks. */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
    uint64_t key_ns;
    size_t place; /* 1-based index into the heap; 0 = not in it */
};

struct heap {
    struct heap_node **v;
    size_t n, cap;
};

void heap_done(struct heap *h);

/* Insert the node, or move it when it is in the heap already. Returns 0 or -ENOMEM (the node is
 * then as it was before). */
int heap_set(struct heap *h, struct heap_node *node, uint64_t key_ns);

/* Remove the node; does nothing when it is not in the heap. */
void heap_remove(struct heap *h, struct heap_node *node);

/* The node with the smallest key, or NULL. */
static inline struct heap_node *heap_top(const struct heap *h)
{
    return h->n ? h->v[1] : NULL;
}

#endif
