#include "peer/table.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hmap.h"
#include "base/util.h"

enum { LENGTHS = 129 };

struct table_entry {
    struct hmap_node node;
    struct ip_prefix prefix; /* without host bits */
    uint8_t kind;
    struct table_owner *owner;         /* NULL: fixed, its peer is away */
    struct table_entry *prev, *next;   /* of the owner; learned: next is older */
    struct table_entry *newer, *older; /* learned: of all owners */
    uint64_t used_ns;                  /* learned: when its peer sent from it last */
};

struct table {
    struct siphash_key key;
    struct hmap entries;
    unsigned in_use[2][LENGTHS]; /* entries of each length, IPv4 and IPv6 */
    struct table_entry *newest, *oldest;
    unsigned n_learned, max_learned, max_learned_peer;
};

/* --- the hash table -------------------------------------------------------------------- */

static uint64_t hash_of(const struct table *t, const struct ip_prefix *p)
{
    uint8_t key[18] = {p->addr.family, p->len};

    memcpy(key + 2, p->addr.b, 16);
    return siphash13(&t->key, key, sizeof(key));
}

static struct table_entry *entry_of(const struct hmap_node *n)
{
    return n ? container_of(n, struct table_entry, node) : NULL;
}

static struct table_entry *lookup(const struct table *t, const struct ip_prefix *p)
{
    const struct hmap_node *n = hmap_first(&t->entries, hash_of(t, p));

    while (n && !ip_prefix_equal(&entry_of(n)->prefix, p))
        n = hmap_next(n);
    return entry_of(n);
}

static unsigned *users_of_length(struct table *t, const struct ip_prefix *p)
{
    return &t->in_use[p->addr.family == 6][p->len];
}

static struct table_entry *insert(struct table *t, const struct ip_prefix *p, enum table_kind kind)
{
    struct table_entry *e = calloc(1, sizeof(*e));

    if (!e)
        return NULL;
    e->prefix = *p;
    e->kind = (uint8_t)kind;
    hmap_add(&t->entries, &e->node, hash_of(t, p));
    ++*users_of_length(t, p);
    return e;
}

/* --- who has it ------------------------------------------------------------------------ */

static void push_newest(struct table *t, struct table_entry *e)
{
    struct table_owner *o = e->owner;

    e->prev = NULL;
    e->next = o->newest;
    if (o->newest)
        o->newest->prev = e;
    else
        o->oldest = e;
    o->newest = e;
    e->newer = NULL;
    e->older = t->newest;
    if (t->newest)
        t->newest->newer = e;
    else
        t->oldest = e;
    t->newest = e;
    o->n_learned++;
    t->n_learned++;
}

static void unlink_learned(struct table *t, struct table_entry *e)
{
    struct table_owner *o = e->owner;

    *(e->prev ? &e->prev->next : &o->newest) = e->next;
    *(e->next ? &e->next->prev : &o->oldest) = e->prev;
    *(e->newer ? &e->newer->older : &t->newest) = e->older;
    *(e->older ? &e->older->newer : &t->oldest) = e->newer;
    o->n_learned--;
    t->n_learned--;
}

static void give(struct table_entry *e, struct table_owner *o)
{
    e->owner = o;
    e->prev = NULL;
    e->next = o->first;
    if (o->first)
        o->first->prev = e;
    o->first = e;
}

static void take_away(struct table *t, struct table_entry *e)
{
    if (!e->owner)
        return;
    if (e->kind == TABLE_LEARNED) {
        unlink_learned(t, e);
    } else {
        *(e->prev ? &e->prev->next : &e->owner->first) = e->next;
        if (e->next)
            e->next->prev = e->prev;
    }
    e->owner = NULL;
}

static void entry_delete(struct table *t, struct table_entry *e)
{
    take_away(t, e);
    hmap_remove(&t->entries, &e->node);
    --*users_of_length(t, &e->prefix);
    free(e);
}

/* The entry of exactly this prefix, but a learned one gives way to what is coming. */
static struct table_entry *displace(struct table *t, const struct ip_prefix *p)
{
    struct table_entry *e = lookup(t, p);

    if (!e || e->kind != TABLE_LEARNED)
        return e;
    entry_delete(t, e);
    return NULL;
}

static struct ip_prefix host_of(const struct ip_addr *a)
{
    return (struct ip_prefix){.addr = *a, .len = (uint8_t)ip_addr_bits(a)};
}

/* --- life ------------------------------------------------------------------------------ */

struct table *table_new(const struct siphash_key *key, unsigned max_learned,
                        unsigned max_learned_peer)
{
    struct table *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    t->key = *key;
    t->max_learned = max_learned ? max_learned : TABLE_LEARNED_MAX;
    t->max_learned_peer = max_learned_peer ? max_learned_peer : TABLE_LEARNED_PEER_MAX;
    if (hmap_init(&t->entries)) {
        free(t);
        return NULL;
    }
    return t;
}

void table_free(struct table *t)
{
    if (!t)
        return;
    table_forget_fixed(t);
    assert(t->entries.n == 0);
    hmap_done(&t->entries);
    free(t);
}

void table_leave(struct table *t, struct table_owner *o)
{
    for (struct table_entry *e = o->newest, *next; e; e = next) {
        next = e->next;
        entry_delete(t, e);
    }
    for (struct table_entry *e = o->first, *next; e; e = next) {
        next = e->next;
        if (e->kind == TABLE_FIXED)
            take_away(t, e);
        else
            entry_delete(t, e);
    }
}

void table_unassign(struct table *t, struct table_owner *o)
{
    for (struct table_entry *e = o->first, *next; e; e = next) {
        next = e->next;
        if (e->kind == TABLE_ASSIGNED)
            entry_delete(t, e);
    }
}

void table_unclaim(struct table *t, struct table_owner *o)
{
    for (struct table_entry *e = o->first, *next; e; e = next) {
        next = e->next;
        if (e->kind == TABLE_FIXED)
            take_away(t, e);
    }
}

void table_unlearn(struct table *t, struct table_owner *o)
{
    for (struct table_entry *e = o->newest, *next; e; e = next) {
        next = e->next;
        entry_delete(t, e);
    }
}

/* --- fixed ----------------------------------------------------------------------------- */

int table_add_fixed(struct table *t, const struct ip_prefix *p)
{
    struct ip_prefix net = ip_prefix_network(p);
    const struct table_entry *e = displace(t, &net);

    if (e)
        return e->kind == TABLE_FIXED ? 0 : -EEXIST;
    return insert(t, &net, TABLE_FIXED) ? 0 : -ENOMEM;
}

int table_claim(struct table *t, struct table_owner *o, const struct ip_prefix *p)
{
    struct ip_prefix net = ip_prefix_network(p);
    struct table_entry *e = lookup(t, &net);

    if (!e || e->kind != TABLE_FIXED)
        return -ENOENT;
    if (e->owner)
        return e->owner == o ? 0 : -EBUSY;
    give(e, o);
    return 0;
}

void table_forget_fixed(struct table *t)
{
    for (struct hmap_node *n = hmap_walk(&t->entries, NULL), *next; n; n = next) {
        next = hmap_walk(&t->entries, n);
        if (entry_of(n)->kind == TABLE_FIXED)
            entry_delete(t, entry_of(n));
    }
}

/* --- assigned -------------------------------------------------------------------------- */

int table_assign(struct table *t, struct table_owner *o, const struct ip_addr *a)
{
    struct ip_prefix host = host_of(a);
    struct table_entry *e = displace(t, &host);

    if (e)
        return e->kind == TABLE_ASSIGNED && e->owner == o ? 0 : -EEXIST;
    e = insert(t, &host, TABLE_ASSIGNED);
    if (!e)
        return -ENOMEM;
    give(e, o);
    return 0;
}

/* --- lookup ---------------------------------------------------------------------------- */

/* The entry with the longest prefix of at most max_len bits that covers the address. */
static const struct table_entry *covering(const struct table *t, const struct ip_addr *a,
                                          int max_len)
{
    const unsigned *in_use = t->in_use[a->family == 6];
    const struct table_entry *e = NULL;

    for (int len = max_len; len >= 0 && !e; len--) {
        struct ip_prefix p = {.addr = *a, .len = (uint8_t)len};

        if (!in_use[len])
            continue;
        p = ip_prefix_network(&p);
        e = lookup(t, &p);
    }
    return e;
}

bool table_find(const struct table *t, const struct ip_addr *a, struct table_owner **ret_owner,
                enum table_kind *ret_kind)
{
    const struct table_entry *e = covering(t, a, (int)ip_addr_bits(a));

    if (!e)
        return false;
    *ret_owner = e->owner;
    *ret_kind = (enum table_kind)e->kind;
    return true;
}

bool table_in_fixed(const struct table *t, const struct ip_addr *a)
{
    const struct table_entry *e = covering(t, a, (int)ip_addr_bits(a));

    if (e && e->kind != TABLE_FIXED) /* a host: what is shorter is fixed */
        e = covering(t, a, (int)ip_addr_bits(a) - 1);
    return e;
}

/* --- learned --------------------------------------------------------------------------- */

/* Its peer uses the entry now. */
static void touch(struct table *t, struct table_entry *e, uint64_t now_ns)
{
    e->used_ns = now_ns;
    if (t->newest == e)
        return;
    unlink_learned(t, e);
    push_newest(t, e);
}

/* An owner has no more than are left for all others; above that its own oldest makes room. Nobody's
 * address makes room for somebody else's while it counts as used. */
static bool make_room(struct table *t, struct table_owner *o, uint64_t now_ns)
{
    unsigned left = t->max_learned - t->n_learned;

    if (o->n_learned >= t->max_learned_peer || o->n_learned > left) {
        entry_delete(t, o->oldest);
    } else if (!left) {
        if (now_ns < t->oldest->used_ns + TABLE_LEARNED_AGE_NS)
            return false;
        entry_delete(t, t->oldest);
    }
    return true;
}

int table_learn(struct table *t, struct table_owner *o, const struct ip_addr *a, uint64_t now_ns)
{
    struct ip_prefix host = host_of(a);
    struct table_entry *e = lookup(t, &host);

    if (e && e->kind != TABLE_LEARNED)
        return -EBUSY;
    if (e && e->owner == o) {
        touch(t, e, now_ns);
        return 0;
    }
    if (e && now_ns < e->used_ns + TABLE_LEARNED_AGE_NS)
        return -EBUSY;
    if (e)
        entry_delete(t, e);
    if (!make_room(t, o, now_ns))
        return -ENOSPC;
    e = insert(t, &host, TABLE_LEARNED);
    if (!e)
        return -ENOMEM;
    e->owner = o;
    e->used_ns = now_ns;
    push_newest(t, e);
    return 0;
}

void table_filter_learned(struct table *t, bool (*keep)(void *user, const struct ip_addr *a),
                          void *user)
{
    for (struct table_entry *e = t->newest, *older; e; e = older) {
        older = e->older;
        if (!keep(user, &e->prefix.addr))
            entry_delete(t, e);
    }
}

/* --- looking at it --------------------------------------------------------------------- */

unsigned table_learned(const struct table_owner *o, struct ip_addr *ret, unsigned max)
{
    unsigned n = 0;

    for (const struct table_entry *e = o->newest; e && n < max; e = e->next)
        ret[n++] = e->prefix.addr;
    return n;
}

unsigned table_fixed(const struct table_owner *o, struct ip_prefix *ret, unsigned max)
{
    unsigned n = 0;

    for (const struct table_entry *e = o->first; e && n < max; e = e->next)
        if (e->kind == TABLE_FIXED)
            ret[n++] = e->prefix;
    return n;
}

unsigned table_n_learned(const struct table *t)
{
    return t->n_learned;
}
