#include "base/hmap.h"

#include <errno.h>
#include <stdlib.h>

enum { BUCKETS_MIN = 64 };

int hmap_init(struct hmap *m)
{
    struct hmap_node **bucket = calloc(BUCKETS_MIN, sizeof(struct hmap_node *));

    if (!bucket)
        return -ENOMEM;
    *m = (struct hmap){.bucket = bucket, .n_buckets = BUCKETS_MIN};
    return 0;
}

void hmap_done(struct hmap *m)
{
    free(m->bucket);
    *m = (struct hmap){0};
}

static struct hmap_node **slot_of(const struct hmap *m, uint64_t hash)
{
    return &m->bucket[hash & (m->n_buckets - 1)];
}

static void put(struct hmap *m, struct hmap_node *n)
{
    struct hmap_node **slot = slot_of(m, n->hash);

    n->chain = *slot;
    *slot = n;
}

static void grow(struct hmap *m)
{
    struct hmap old = *m;
    struct hmap_node **bucket = calloc(old.n_buckets * 2, sizeof(struct hmap_node *));

    if (!bucket)
        return;
    m->bucket = bucket;
    m->n_buckets = old.n_buckets * 2;
    for (size_t i = 0; i < old.n_buckets; i++) {
        for (struct hmap_node *n = old.bucket[i], *next; n; n = next) {
            next = n->chain;
            put(m, n);
        }
    }
    free(old.bucket);
}

void hmap_add(struct hmap *m, struct hmap_node *n, uint64_t hash)
{
    if (m->n >= m->n_buckets)
        grow(m);
    n->hash = hash;
    put(m, n);
    m->n++;
}

void hmap_remove(struct hmap *m, struct hmap_node *n)
{
    struct hmap_node **at = slot_of(m, n->hash);

    while (*at != n)
        at = &(*at)->chain;
    *at = n->chain;
    m->n--;
}

static struct hmap_node *of_hash(struct hmap_node *n, uint64_t hash)
{
    while (n && n->hash != hash)
        n = n->chain;
    return n;
}

struct hmap_node *hmap_first(const struct hmap *m, uint64_t hash)
{
    return of_hash(*slot_of(m, hash), hash);
}

struct hmap_node *hmap_next(const struct hmap_node *n)
{
    return of_hash(n->chain, n->hash);
}

struct hmap_node *hmap_walk(const struct hmap *m, const struct hmap_node *last)
{
    size_t i = last ? (last->hash & (m->n_buckets - 1)) + 1 : 0;

    if (last && last->chain)
        return last->chain;
    for (; i < m->n_buckets; i++)
        if (m->bucket[i])
            return m->bucket[i];
    return NULL;
}
