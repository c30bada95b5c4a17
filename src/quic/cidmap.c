#include "quic/cidmap.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"

int cidmap_init(struct cidmap *m, const struct siphash_key *key)
{
    m->key = *key;
    return hmap_init(&m->map);
}

void cidmap_done(struct cidmap *m)
{
    hmap_done(&m->map);
}

struct lane_cid *cidmap_find(const struct cidmap *m, const uint8_t *cid, size_t len)
{
    struct hmap_node *n = hmap_first(&m->map, siphash13(&m->key, cid, len));

    for (; n; n = hmap_next(n)) {
        struct lane_cid *c = container_of(n, struct lane_cid, node);

        if (c->len == len && !memcmp(c->data, cid, len))
            return c;
    }
    return NULL;
}

int cidmap_add(struct cidmap *m, struct lane_cid *c)
{
    if (cidmap_find(m, c->data, c->len))
        return -EEXIST;
    hmap_add(&m->map, &c->node, siphash13(&m->key, c->data, c->len));
    return 0;
}

void cidmap_remove(struct cidmap *m, struct lane_cid *c)
{
    hmap_remove(&m->map, &c->node);
}
