#include "quic/source.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"

struct source_table {
    struct siphash_key key;
    unsigned used; /* places of v that have been given out */
    struct source *newest, *oldest;
    struct hmap map;
    struct source v[SOURCES_MAX];
};

/* In time moved by what a full bucket is worth, so that a bucket of zeros is full at time 0. */
bool bucket_take(struct bucket *b, const struct bucket_rate *rate, uint64_t now_ns)
{
    uint64_t moved_ns = now_ns + rate->step_ns * rate->burst;

    b->spent_ns = MAX(b->spent_ns, now_ns);
    if (b->spent_ns + rate->step_ns > moved_ns)
        return false;
    b->spent_ns += rate->step_ns;
    return true;
}

struct source_table *source_table_new(const struct siphash_key *key)
{
    struct source_table *t = calloc(1, sizeof(*t));

    if (!t || hmap_init(&t->map)) {
        free(t);
        return NULL;
    }
    t->key = *key;
    return t;
}

void source_table_free(struct source_table *t)
{
    if (t)
        hmap_done(&t->map);
    free(t);
}

unsigned source_table_used(const struct source_table *t)
{
    return t->used;
}

static void unlink_age(struct source_table *t, struct source *s)
{
    *(s->newer ? &s->newer->older : &t->newest) = s->older;
    *(s->older ? &s->older->newer : &t->oldest) = s->newer;
}

static void link_newest(struct source_table *t, struct source *s)
{
    s->newer = NULL;
    s->older = t->newest;
    *(s->older ? &s->older->newer : &t->oldest) = s;
    t->newest = s;
}

/* A place that nothing is linked to. A busy source that is found on the way counts as new, so that
 * it is not looked at again and again. */
static struct source *take_place(struct source_table *t)
{
    if (t->used < SOURCES_MAX)
        return &t->v[t->used++];
    for (unsigned i = 0; i < SOURCES_MAX; i++) {
        struct source *s = t->oldest;

        unlink_age(t, s);
        if (!(s->proven + s->unproven)) {
            hmap_remove(&t->map, &s->node);
            return s;
        }
        link_newest(t, s);
    }
    return NULL;
}

static bool net_of(const struct net_addr *remote, uint64_t *ret_net, uint8_t *ret_family)
{
    struct ip_addr a = net_addr_ip(remote);

    if (a.family != 4 && a.family != 6)
        return false;
    *ret_net = 0;
    memcpy(ret_net, a.b, a.family == 4 ? 4 : 8);
    *ret_family = a.family;
    return true;
}

static struct source *find(const struct source_table *t, uint64_t hash, uint64_t net,
                           uint8_t family)
{
    for (struct hmap_node *n = hmap_first(&t->map, hash); n; n = hmap_next(n)) {
        struct source *s = container_of(n, struct source, node);

        if (s->net == net && s->family == family)
            return s;
    }
    return NULL;
}

struct source *source_get(struct source_table *t, const struct net_addr *remote)
{
    uint64_t key[2] = {0}, hash;
    struct source *s;
    uint8_t family;

    if (!net_of(remote, &key[0], &family))
        return NULL;
    key[1] = family;
    hash = siphash13(&t->key, key, sizeof(key));
    s = find(t, hash, key[0], family);
    if (s) {
        unlink_age(t, s);
    } else {
        s = take_place(t);
        if (!s)
            return NULL;
        *s = (struct source){.net = key[0], .family = family};
        hmap_add(&t->map, &s->node, hash);
    }
    link_newest(t, s);
    return s;
}
