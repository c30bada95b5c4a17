#include "base/heap.h"

#include <errno.h>
#include <stdlib.h>

void heap_done(struct heap *h)
{
    free(h->v);
    h->v = NULL;
    h->n = h->cap = 0;
}

static void put(struct heap *h, size_t i, struct heap_node *node)
{
    h->v[i] = node;
    node->place = i;
}

static void sift_up(struct heap *h, size_t i, struct heap_node *node)
{
    while (i > 1 && h->v[i / 2]->key_ns > node->key_ns) {
        put(h, i, h->v[i / 2]);
        i /= 2;
    }
    put(h, i, node);
}

static void sift_down(struct heap *h, size_t i, struct heap_node *node)
{
    for (;;) {
        size_t c = i * 2;

        if (c > h->n)
            break;
        if (c < h->n && h->v[c + 1]->key_ns < h->v[c]->key_ns)
            c++;
        if (h->v[c]->key_ns >= node->key_ns)
            break;
        put(h, i, h->v[c]);
        i = c;
    }
    put(h, i, node);
}

static void settle(struct heap *h, size_t i, struct heap_node *node)
{
    if (i > 1 && h->v[i / 2]->key_ns > node->key_ns)
        sift_up(h, i, node);
    else
        sift_down(h, i, node);
}

int heap_set(struct heap *h, struct heap_node *node, uint64_t key_ns)
{
    if (!node->place) {
        if (h->n + 1 >= h->cap) {
            size_t cap = h->cap ? h->cap * 2 : 16;
            struct heap_node **v = realloc(h->v, cap * sizeof(struct heap_node *));

            if (!v)
                return -ENOMEM;
            h->v = v;
            h->cap = cap;
        }
        node->key_ns = key_ns;
        sift_up(h, ++h->n, node);
        return 0;
    }
    node->key_ns = key_ns;
    settle(h, node->place, node);
    return 0;
}

void heap_remove(struct heap *h, struct heap_node *node)
{
    size_t i = node->place;
    struct heap_node *last;

    if (!i)
        return;
    node->place = 0;
    last = h->v[h->n--];
    if (last != node)
        settle(h, i, last);
}
