#include "peer/lease.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hmap.h"
#include "base/util.h"

enum { IDLE_MIN = 4096 }; /* idle leases that are kept at least; else four for each peer */

struct lease {
    struct hmap_node node; /* by address */
    struct ip_addr addr;
    struct lease_client *client;
    bool held;
    struct lease *older, *newer; /* idle: by when it became so, */
    uint64_t idle_ns;            /* which was then */
};

struct lease_client {
    struct hmap_node node; /* by name */
    struct hub_peer_id id;
    const struct hub_rule *rule;
    bool open;
    uint64_t closed;                     /* a number that grows: who was closed first */
    struct lease *lease[LEASE_PEER_MAX]; /* held ones first, in the order in which it got them */
    unsigned n, n_held;
};

/* An address that a rule keeps for its peer. */
struct fixed {
    struct hmap_node node; /* by address */
    struct ip_addr addr;
    const struct hub_rule *rule;
};

struct leases {
    struct siphash_key key;
    struct ip_prefix own[2];
    unsigned n_own;
    const struct hub_policy *policy;
    const struct ip_prefix *pool;
    unsigned n_pool;
    struct ip_addr next[HUB_RANGES_MAX]; /* of each pool prefix: where to look for a free one */
    struct hmap by_addr, by_name, fixed;
    struct fixed *fixed_list;
    struct lease *oldest, *newest;        /* idle */
    unsigned n_leases, n_idle, n_held[2]; /* the last of IPv4 and IPv6 */
    uint64_t now_ns;
    uint64_t closings;
};

/* --- small things ---------------------------------------------------------------------- */

static uint64_t addr_hash(const struct leases *l, const struct ip_addr *a)
{
    uint8_t key[17] = {a->family};

    memcpy(key + 1, a->b, 16);
    return siphash13(&l->key, key, sizeof(key));
}

static uint64_t name_hash(const struct leases *l, const char *name)
{
    return siphash13(&l->key, name, strlen(name));
}

static struct lease *find_lease(const struct leases *l, const struct ip_addr *a)
{
    for (struct hmap_node *n = hmap_first(&l->by_addr, addr_hash(l, a)); n; n = hmap_next(n)) {
        struct lease *e = container_of(n, struct lease, node);

        if (ip_addr_equal(&e->addr, a))
            return e;
    }
    return NULL;
}

static const struct fixed *find_fixed(const struct leases *l, const struct ip_addr *a)
{
    for (struct hmap_node *n = hmap_first(&l->fixed, addr_hash(l, a)); n; n = hmap_next(n)) {
        const struct fixed *f = container_of(n, struct fixed, node);

        if (ip_addr_equal(&f->addr, a))
            return f;
    }
    return NULL;
}

static void increment(struct ip_addr *a)
{
    for (unsigned i = ip_addr_bits(a) / 8; i-- > 0;)
        if (++a->b[i])
            return;
}

/* Whether an address can be a peer's: not ours, and not the first or broadcast address of our
 * network (RFC 1122, 3.2.1.3; the subnet-router anycast address: RFC 4291, 2.6.1). */
static bool usable(const struct leases *l, const struct ip_addr *a)
{
    for (unsigned i = 0; i < l->n_own; i++) {
        const struct ip_prefix *own = &l->own[i];
        struct ip_addr first = ip_prefix_network(own).addr, last = ip_prefix_last(own);

        if (ip_addr_equal(a, &own->addr))
            return false;
        if (!ip_prefix_contains(own, a) || own->len + 1 >= (int)ip_addr_bits(a))
            continue;
        if (ip_addr_equal(a, &first) || (a->family == 4 && ip_addr_equal(a, &last)))
            return false;
    }
    return a->family != 0;
}

static bool in_pool(const struct leases *l, const struct ip_addr *a)
{
    return policy_contains(l->pool, l->n_pool, a);
}

/* Whether an address of the family is fixed for the client that nobody holds. */
static bool fixed_waits(const struct leases *l, const struct lease_client *c, uint8_t family)
{
    for (unsigned i = 0; c->rule && i < c->rule->n_addr; i++) {
        const struct ip_addr *a = &c->rule->addr[i];
        const struct fixed *f = a->family == family && usable(l, a) ? find_fixed(l, a) : NULL;
        const struct lease *e = f && f->rule == c->rule ? find_lease(l, a) : NULL;

        if (f && f->rule == c->rule && !(e && e->held))
            return true;
    }
    return false;
}

bool lease_permitted(const struct leases *l, const struct lease_client *c, const struct ip_addr *a)
{
    const struct fixed *f = find_fixed(l, a);

    if (!usable(l, a))
        return false;
    return f ? f->rule == c->rule : in_pool(l, a) && !fixed_waits(l, c, a->family);
}

bool lease_governs(const struct leases *l, const struct ip_addr *a)
{
    return in_pool(l, a) || find_fixed(l, a);
}

/* --- leases ---------------------------------------------------------------------------- */

static void idle_add(struct leases *l, struct lease *e)
{
    e->newer = NULL;
    e->older = l->newest;
    *(l->newest ? &l->newest->newer : &l->oldest) = e;
    l->newest = e;
    l->n_idle++;
    e->idle_ns = l->now_ns;
}

static void idle_remove(struct leases *l, struct lease *e)
{
    *(e->older ? &e->older->newer : &l->oldest) = e->newer;
    *(e->newer ? &e->newer->older : &l->newest) = e->older;
    l->n_idle--;
}

static void client_free(struct leases *l, struct lease_client *c)
{
    hmap_remove(&l->by_name, &c->node);
    free(c);
}

static void client_list_remove(struct lease_client *c, unsigned i)
{
    c->n--;
    memmove(&c->lease[i], &c->lease[i + 1], (c->n - i) * sizeof(c->lease[0]));
}

static unsigned place_of(const struct lease *e)
{
    unsigned i = 0;

    while (e->client->lease[i] != e)
        i++;
    return i;
}

/* The lease is over. Its client goes with the last one, unless it is open. */
static void lease_drop(struct leases *l, struct lease *e)
{
    struct lease_client *c = e->client;

    client_list_remove(c, place_of(e));
    if (e->held) {
        c->n_held--;
        l->n_held[e->addr.family == 6]--;
    } else {
        idle_remove(l, e);
    }
    hmap_remove(&l->by_addr, &e->node);
    l->n_leases--;
    free(e);
    if (!c->n && !c->open)
        client_free(l, c);
}

static void drop_all_of(struct leases *l, struct lease_client *c)
{
    for (unsigned n = c->n; n; n--) /* the last one frees the client */
        lease_drop(l, c->lease[n - 1]);
}

/* An idle lease of this client, the oldest of them, or NULL. */
static struct lease *oldest_idle_of(const struct lease_client *c)
{
    return c->n > c->n_held ? c->lease[c->n - 1] : NULL;
}

static void hold(struct leases *l, struct lease *e)
{
    struct lease_client *c = e->client;

    if (e->held)
        return;
    idle_remove(l, e);
    e->held = true;
    l->n_held[e->addr.family == 6]++;
    client_list_remove(c, place_of(e));
    memmove(&c->lease[c->n_held + 1], &c->lease[c->n_held],
            (c->n - c->n_held) * sizeof(c->lease[0]));
    c->lease[c->n_held++] = e;
    c->n++;
}

/* A new lease, held. The caller has checked that the client may have it and holds fewer than it
 * may. */
static int lease_new(struct leases *l, struct lease_client *c, const struct ip_addr *a)
{
    struct lease *e = calloc(1, sizeof(*e));

    if (!e)
        return -ENOMEM;
    if (c->n == LEASE_PEER_MAX)
        lease_drop(l, oldest_idle_of(c));
    e->addr = *a;
    e->client = c;
    e->held = true;
    memmove(&c->lease[c->n_held + 1], &c->lease[c->n_held],
            (c->n - c->n_held) * sizeof(c->lease[0]));
    c->lease[c->n_held++] = e;
    c->n++;
    hmap_add(&l->by_addr, &e->node, addr_hash(l, a));
    l->n_leases++;
    l->n_held[a->family == 6]++;
    return 0;
}

/* --- the pool -------------------------------------------------------------------------- */

/* A free address of one pool prefix. Of n + 1 different addresses one is free when n are not: that
 * bounds the search. */
static bool pick_from(const struct leases *l, unsigned i, struct ip_addr *ret)
{
    const struct ip_prefix *p = &l->pool[i];
    size_t steps = l->n_leases + l->fixed.n + 2 * 3 + 1;
    struct ip_addr a = l->next[i];

    for (size_t k = 0; k < steps; k++, increment(&a)) {
        if (!ip_prefix_contains(p, &a))
            a = ip_prefix_network(p).addr;
        if (k && ip_addr_equal(&a, &l->next[i]))
            return false; /* once around */
        if (!usable(l, &a) || find_fixed(l, &a) || find_lease(l, &a))
            continue;
        *ret = a;
        return true;
    }
    return false;
}

static bool pick_free(struct leases *l, uint8_t family, struct ip_addr *ret, unsigned *ret_range)
{
    for (unsigned i = 0; i < l->n_pool; i++) {
        if (l->pool[i].addr.family != family || !pick_from(l, i, ret))
            continue;
        *ret_range = i;
        return true;
    }
    return false;
}

/* The lease of the pool that has been idle longest. */
static struct lease *pick_idle(const struct leases *l, uint8_t family)
{
    struct lease *e = l->oldest;

    while (e && (e->addr.family != family || !in_pool(l, &e->addr) || find_fixed(l, &e->addr)))
        e = e->newer;
    return e;
}

/* Whether the pool has anything for a newcomer. */
static bool pool_has_any(struct leases *l)
{
    struct ip_addr a;
    unsigned range;

    return pick_idle(l, 4) || pick_idle(l, 6) || pick_free(l, 4, &a, &range) ||
           pick_free(l, 6, &a, &range);
}

/* --- life ------------------------------------------------------------------------------ */

struct leases *leases_new(const struct siphash_key *key, const struct ip_prefix *own,
                          unsigned n_own)
{
    struct leases *l = calloc(1, sizeof(*l));

    if (!l)
        return NULL;
    l->key = *key;
    l->n_own = MIN(n_own, (unsigned)ARRAY_LEN(l->own));
    if (n_own)
        memcpy(l->own, own, l->n_own * sizeof(*own));
    if (hmap_init(&l->by_addr) || hmap_init(&l->by_name) || hmap_init(&l->fixed)) {
        leases_free(l);
        return NULL;
    }
    return l;
}

void leases_free(struct leases *l)
{
    if (!l)
        return;
    for (struct hmap_node *n = hmap_walk(&l->by_name, NULL), *next; n; n = next) {
        struct lease_client *c = container_of(n, struct lease_client, node);

        next = hmap_walk(&l->by_name, n);
        c->open = true;
        drop_all_of(l, c);
        free(c);
    }
    hmap_done(&l->by_addr);
    hmap_done(&l->by_name);
    hmap_done(&l->fixed);
    free(l->fixed_list);
    free(l);
}

/* All fixed addresses of the rules; of two rules for one address the first counts. */
static int make_fixed(struct leases *l, const struct hub_policy *p)
{
    struct fixed *list;
    struct hmap old = l->fixed;
    size_t n = 0;

    for (unsigned i = 0; i < p->n_rules; i++)
        n += p->rules[i].n_addr;
    list = calloc(n + 1, sizeof(*list));
    if (!list || hmap_init(&l->fixed)) {
        free(list);
        l->fixed = old;
        return -ENOMEM;
    }
    hmap_done(&old);
    free(l->fixed_list);
    l->fixed_list = list;
    for (unsigned i = 0; i < p->n_rules; i++) {
        for (unsigned k = 0; k < p->rules[i].n_addr; k++) {
            if (find_fixed(l, &p->rules[i].addr[k]))
                continue;
            *list = (struct fixed){.addr = p->rules[i].addr[k], .rule = &p->rules[i]};
            hmap_add(&l->fixed, &list->node, addr_hash(l, &list->addr));
            list++;
        }
    }
    return 0;
}

int leases_set_policy(struct leases *l, const struct hub_policy *p)
{
    if (make_fixed(l, p))
        return -ENOMEM;
    l->policy = p;
    l->pool = p->n_pool ? p->pool : l->own;
    l->n_pool = p->n_pool ? MIN(p->n_pool, (unsigned)HUB_RANGES_MAX) : l->n_own;
    for (unsigned i = 0; i < l->n_pool; i++)
        l->next[i] = ip_prefix_network(&l->pool[i]).addr;
    for (struct hmap_node *n = hmap_walk(&l->by_name, NULL); n; n = hmap_walk(&l->by_name, n)) {
        struct lease_client *c = container_of(n, struct lease_client, node);

        c->rule = policy_rule(p, &c->id);
    }
    for (struct lease *e = l->oldest, *newer; e; e = newer) {
        newer = e->newer;
        if (!lease_permitted(l, e->client, &e->addr))
            lease_drop(l, e);
    }
    return 0;
}

/* --- clients --------------------------------------------------------------------------- */

/* The client of this name and instance, or NULL; of the others of the name: how many there are, and
 * who of them has been away longest. */
static struct lease_client *find_client(const struct leases *l, const struct hub_peer_id *id,
                                        unsigned *ret_others, struct lease_client **ret_away)
{
    struct hmap_node *n = hmap_first(&l->by_name, name_hash(l, id->name));
    struct lease_client *found = NULL;

    *ret_others = 0;
    *ret_away = NULL;
    for (; n; n = hmap_next(n)) {
        struct lease_client *c = container_of(n, struct lease_client, node);

        if (strcmp(c->id.name, id->name) != 0)
            continue;
        if (!strcmp(c->id.instance, id->instance)) {
            found = c;
            continue;
        }
        ++*ret_others;
        if (!c->open && (!*ret_away || c->closed < (*ret_away)->closed))
            *ret_away = c;
    }
    return found;
}

static unsigned max_instances(const struct leases *l)
{
    return l->policy->max_instances ? l->policy->max_instances : HUB_INSTANCES_DEFAULT;
}

int lease_client_open(struct leases *l, const struct hub_peer_id *id, struct lease_client **ret)
{
    unsigned others;
    struct lease_client *away, *c = find_client(l, id, &others, &away);
    const struct hub_rule *rule = policy_rule(l->policy, id);

    if (!c && others >= max_instances(l) && !away)
        return -ENOSPC;
    if (!(c && c->n) && !(rule && rule->n_addr) && !pool_has_any(l))
        return -EADDRNOTAVAIL;
    if (!c) {
        c = calloc(1, sizeof(*c));
        if (!c)
            return -ENOMEM;
        if (others >= max_instances(l))
            drop_all_of(l, away);
        c->id = *id;
        c->rule = rule;
        hmap_add(&l->by_name, &c->node, name_hash(l, id->name));
    }
    c->open = true;
    *ret = c;
    return 0;
}

void lease_client_rest(struct leases *l, struct lease_client *c)
{
    for (unsigned i = 0; i < c->n_held; i++) {
        c->lease[i]->held = false;
        l->n_held[c->lease[i]->addr.family == 6]--;
        idle_add(l, c->lease[i]);
    }
    c->n_held = 0;
}

void lease_client_close(struct leases *l, struct lease_client *c)
{
    unsigned max_idle = MAX((unsigned)IDLE_MIN, 4 * policy_max_peers(l->policy));

    if (!c)
        return;
    lease_client_rest(l, c);
    c->open = false;
    c->closed = l->closings++;
    if (!c->n)
        client_free(l, c);
    while (l->n_idle > max_idle)
        lease_drop(l, l->oldest);
}

const struct hub_peer_id *lease_client_id(const struct lease_client *c)
{
    return &c->id;
}

/* --- shares ---------------------------------------------------------------------------- */

static unsigned held_of_family(const struct lease_client *c, uint8_t family)
{
    unsigned n = 0;

    for (unsigned i = 0; i < c->n_held; i++)
        n += c->lease[i]->addr.family == family;
    return n;
}

/* Addresses of the pool, or enough of them. */
static unsigned pool_size(const struct leases *l, uint8_t family)
{
    enum { ENOUGH_BITS = 24 };
    unsigned n = 0;

    for (unsigned i = 0; i < l->n_pool; i++) {
        unsigned bits = ip_addr_bits(&l->pool[i].addr) - l->pool[i].len;

        if (l->pool[i].addr.family == family)
            n += 1u << MIN(bits, (unsigned)ENOUGH_BITS);
    }
    return n;
}

/* Every instance may have one address of a family while there is one; more only while its name has
 * no more than are left for all others. */
static bool may_have_more(const struct leases *l, const struct lease_client *c, uint8_t family)
{
    unsigned size = pool_size(l, family), held = l->n_held[family == 6], name = 0;
    struct hmap_node *n = hmap_first(&l->by_name, name_hash(l, c->id.name));

    if (!held_of_family(c, family))
        return true;
    for (; n; n = hmap_next(n)) {
        const struct lease_client *other = container_of(n, struct lease_client, node);

        if (!strcmp(other->id.name, c->id.name))
            name += held_of_family(other, family);
    }
    return held < size && name <= size - held;
}

/* Whether it waits for its peer, which has only just gone, and there is another one to give. To an
 * instance of the same name, which may have been given another, it goes at once. */
static bool is_awaited(struct leases *l, const struct lease *e, const struct lease_client *by)
{
    struct ip_addr a;
    unsigned range;

    return strcmp(e->client->id.name, by->id.name) != 0 &&
           l->now_ns < e->idle_ns + LEASE_GRACE_NS && pick_free(l, e->addr.family, &a, &range);
}

void leases_set_now(struct leases *l, uint64_t now_ns)
{
    l->now_ns = now_ns;
}

/* --- taking ---------------------------------------------------------------------------- */

int lease_take(struct leases *l, struct lease_client *c, const struct ip_addr *a)
{
    struct lease *e = find_lease(l, a);

    if (e && e->client == c && e->held)
        return 0;
    if (!lease_permitted(l, c, a))
        return find_fixed(l, a) ? -EADDRINUSE : -EADDRNOTAVAIL;
    if (e && e->held)
        return -EADDRINUSE;
    if (c->n_held == LEASE_PEER_MAX || (!find_fixed(l, a) && !may_have_more(l, c, a->family)))
        return -ENOSPC;
    if (e && e->client != c && !find_fixed(l, a) && is_awaited(l, e, c))
        return -EADDRINUSE;
    if (e && e->client == c) {
        hold(l, e);
        return 0;
    }
    if (e)
        lease_drop(l, e);
    return lease_new(l, c, a);
}

static bool among(const struct ip_addr *v, unsigned n, const struct ip_addr *a)
{
    for (unsigned i = 0; i < n; i++)
        if (ip_addr_equal(&v[i], a))
            return true;
    return false;
}

/* Hold one of the fixed addresses of the family. */
static bool take_fixed(struct leases *l, struct lease_client *c, uint8_t family,
                       const struct ip_addr *except, unsigned n, struct ip_addr *ret)
{
    for (unsigned i = 0; c->rule && i < c->rule->n_addr; i++) {
        const struct ip_addr *a = &c->rule->addr[i];

        if (a->family != family || among(except, n, a) || lease_take(l, c, a))
            continue;
        *ret = *a;
        return true;
    }
    return false;
}

/* Hold one that the client has had before. */
static bool take_own(struct leases *l, struct lease_client *c, uint8_t family, bool held,
                     const struct ip_addr *except, unsigned n, struct ip_addr *ret)
{
    for (unsigned i = 0; i < c->n; i++) {
        struct lease *e = c->lease[i];

        if (e->addr.family != family || e->held != held || among(except, n, &e->addr) ||
            !lease_permitted(l, c, &e->addr))
            continue;
        hold(l, e);
        *ret = e->addr;
        return true;
    }
    return false;
}

int lease_take_any(struct leases *l, struct lease_client *c, uint8_t family,
                   const struct ip_addr *except, unsigned n, struct ip_addr *ret)
{
    struct ip_addr a;
    struct lease *idle;
    unsigned range;
    int rv;

    if (take_own(l, c, family, true, except, n, ret))
        return 0;
    if (c->n_held == LEASE_PEER_MAX)
        return -ENOSPC;
    if (take_fixed(l, c, family, except, n, ret))
        return 0;
    if (!may_have_more(l, c, family))
        return -ENOSPC;
    if (take_own(l, c, family, false, except, n, ret))
        return 0;
    if (pick_free(l, family, &a, &range)) {
        rv = lease_new(l, c, &a);
        if (!rv)
            l->next[range] = a;
    } else {
        idle = pick_idle(l, family);
        if (!idle)
            return -EADDRNOTAVAIL;
        a = idle->addr;
        lease_drop(l, idle);
        rv = lease_new(l, c, &a);
    }
    if (!rv)
        *ret = a;
    return rv;
}

unsigned lease_held(const struct lease_client *c, struct ip_addr *ret)
{
    for (unsigned i = 0; i < c->n_held; i++)
        ret[i] = c->lease[i]->addr;
    return c->n_held;
}

unsigned leases_count(const struct leases *l)
{
    return l->n_leases;
}
