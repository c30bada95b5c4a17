#include "bond/fq.h"

#include <assert.h>
#include <stdlib.h>

#include "base/util.h"
#include "packet/ecn.h"
#include "packet/flow.h"
#include "packet/segment.h"

/* Where a flow is. RETURNED: in the list of those given back, or fresh from the slab. */
enum { PLACE_RETURNED, PLACE_NEW, PLACE_OLD };

struct fq_flows {
    struct siphash_key key;
    struct fq_flow *slab;
    unsigned n, n_used, n_touched; /* slab[n_touched...] has never been used */
    struct fq_list returned;       /* oldest first */
    struct hmap table;
    uint64_t next_id;
};

/* --- lists ----------------------------------------------------------------------------- */

static void list_append(struct fq_list *l, struct fq_flow *f)
{
    f->next = NULL;
    f->prev = l->tail;
    if (l->tail)
        l->tail->next = f;
    else
        l->head = f;
    l->tail = f;
}

static void list_remove(struct fq_list *l, struct fq_flow *f)
{
    if (f->prev)
        f->prev->next = f->next;
    else
        l->head = f->next;
    if (f->next)
        f->next->prev = f->prev;
    else
        l->tail = f->prev;
    f->next = f->prev = NULL;
}

/* --- leases ---------------------------------------------------------------------------- */

struct fq_flows *fq_flows_new(unsigned n, const struct siphash_key *key)
{
    struct fq_flows *fs = calloc(1, sizeof(*fs));

    if (!fs)
        return NULL;
    *fs = (struct fq_flows){.key = *key, .n = n, .next_id = 1};
    fs->slab = reallocarray(NULL, n, sizeof(*fs->slab)); /* not zeroed: untouched until needed */
    if (!fs->slab || hmap_init(&fs->table)) {
        fq_flows_free(fs);
        return NULL;
    }
    return fs;
}

void fq_flows_free(struct fq_flows *fs)
{
    if (!fs)
        return;
    assert(fs->n_used == 0);
    hmap_done(&fs->table);
    free(fs->slab);
    free(fs);
}

unsigned fq_flows_in_use(const struct fq_flows *fs)
{
    return fs->n_used;
}

/* The same flow of two sessions has two names in the table. */
static uint64_t name_of(const struct fq *q, uint64_t hash)
{
    return hash ^ q->id * 0x9e3779b97f4a7c15;
}

static struct fq_flow *find(const struct fq *q, uint64_t hash)
{
    struct hmap_node *n = hmap_first(&q->opts.flows->table, name_of(q, hash));

    while (n && container_of(n, struct fq_flow, node)->owner != q->id)
        n = hmap_next(n);
    return n ? container_of(n, struct fq_flow, node) : NULL;
}

/* A flow that nobody uses, out of the table: one that has been forgotten, else one never used,
 * else the one that was given back first. NULL when all are leased. */
static struct fq_flow *take_unused(struct fq_flows *fs, uint64_t now_ns)
{
    struct fq_flow *f = fs->returned.head;

    if (fs->n_touched < fs->n && (!f || now_ns < f->returned_ns + FQ_CODEL_MEMORY_NS))
        return &fs->slab[fs->n_touched++];
    if (!f)
        return NULL;
    list_remove(&fs->returned, f);
    hmap_remove(&fs->table, &f->node);
    return f;
}

/* A lease for a flow that has none. NULL when there is none to be had. */
static struct fq_flow *lease(struct fq *q, uint64_t now_ns, struct fq_flow *known, uint64_t hash)
{
    struct fq_flows *fs = q->opts.flows;
    struct fq_flow *f = known;

    if (q->n_flows >= FQ_FLOWS_MAX)
        return NULL;
    if (f) {
        list_remove(&fs->returned, f);
    } else {
        f = take_unused(fs, now_ns);
        if (!f)
            return NULL;
        *f = (struct fq_flow){.owner = q->id};
        hmap_add(&fs->table, &f->node, name_of(q, hash));
    }
    q->n_flows++;
    fs->n_used++;
    return f;
}

static struct fq_list *list_of(struct fq *q, const struct fq_flow *f)
{
    return f->place == PLACE_NEW ? &q->fresh : &q->old;
}

/* A flow that is empty leaves the session. */
static void give_back(struct fq *q, struct fq_flow *f, uint64_t now_ns)
{
    list_remove(list_of(q, f), f);
    f->place = PLACE_RETURNED;
    f->returned_ns = now_ns;
    if (q->fat == f)
        q->fat = NULL;
    if (f == &q->shared)
        return;
    list_append(&q->opts.flows->returned, f);
    q->opts.flows->n_used--;
    q->n_flows--;
}

/* The flow of that hash, in one of the session's lists. */
static struct fq_flow *active_flow(struct fq *q, uint64_t now_ns, uint64_t hash)
{
    struct fq_flow *f = q->opts.flows ? find(q, hash) : NULL;

    if (f && f->place != PLACE_RETURNED)
        return f;
    f = q->opts.flows ? lease(q, now_ns, f, hash) : NULL;
    if (!f) {
        f = &q->shared;
        q->stats.shared++;
    }
    if (f->place == PLACE_RETURNED) {
        f->deficit = FQ_QUANTUM;
        f->place = PLACE_NEW;
        list_append(&q->fresh, f);
    }
    return f;
}

/* --- packets of a flow ----------------------------------------------------------------- */

/* Bytes of it that wait. */
static uint32_t waiting(const struct pkt *pkt)
{
    return pkt->len - pkt->taken;
}

static void account_added(struct fq *q, struct fq_flow *f, const struct pkt *pkt)
{
    f->bytes += waiting(pkt);
    q->bytes += waiting(pkt);
    q->n++;
    q->n_class[pkt->pool_class]++;
    if (q->fat != f)
        q->fat_other = MAX(q->fat_other, f->bytes);
}

static void add_last(struct fq *q, struct fq_flow *f, struct pkt *pkt)
{
    pkt->next = NULL;
    if (f->tail)
        f->tail->next = pkt;
    else
        f->head = pkt;
    f->tail = pkt;
    account_added(q, f, pkt);
}

static void add_first(struct fq *q, struct fq_flow *f, struct pkt *pkt)
{
    pkt->next = f->head;
    f->head = pkt;
    if (!f->tail)
        f->tail = pkt;
    account_added(q, f, pkt);
}

static struct pkt *take_first(struct fq *q, struct fq_flow *f)
{
    struct pkt *pkt = f->head;

    if (!pkt)
        return NULL;
    f->head = pkt->next;
    if (!f->head)
        f->tail = NULL;
    pkt->next = NULL;
    f->bytes -= waiting(pkt);
    q->bytes -= waiting(pkt);
    q->n--;
    q->n_class[pkt->pool_class]--;
    return pkt;
}

static void drop(struct fq *q, struct pkt *pkt, enum drop_reason why)
{
    q->stats.dropped++;
    drop_count(q->opts.drops, why);
    pkt_free(q->opts.pool, pkt);
}

/* --- the bound ------------------------------------------------------------------------- */

static void look_for_fattest(struct fq *q)
{
    q->fat = NULL;
    q->fat_other = 0;
    for (int i = 0; i < 2; i++) {
        for (struct fq_flow *f = i ? q->old.head : q->fresh.head; f; f = f->next) {
            if (!q->fat || f->bytes > q->fat->bytes) {
                q->fat_other = q->fat ? q->fat->bytes : 0;
                q->fat = f;
            } else {
                q->fat_other = MAX(q->fat_other, f->bytes);
            }
        }
    }
}

/* The flow that pays when there are too many packets of a class: the fattest of those that have one
 * first, else the fattest of all. */
static struct fq_flow *fattest_with(struct fq *q, unsigned class)
{
    struct fq_flow *best = NULL;

    if (!q->fat || q->fat->bytes < q->fat_other)
        look_for_fattest(q);
    assert(q->fat && q->fat->head);
    if (q->fat->head->pool_class == class)
        return q->fat;
    for (int i = 0; i < 2; i++)
        for (struct fq_flow *f = i ? q->old.head : q->fresh.head; f; f = f->next)
            if (f->head && f->head->pool_class == class && (!best || f->bytes > best->bytes))
                best = f;
    return best ? best : q->fat;
}

/* A packet of the class has come. */
static void keep_bounds(struct fq *q, unsigned class)
{
    while (q->bytes > q->max_bytes) {
        if (!q->fat || q->fat->bytes < q->fat_other)
            look_for_fattest(q);
        assert(q->fat); /* bytes and packets are those of the flows */
        drop(q, take_first(q, q->fat), DROP_QUEUE_FULL);
    }
    while (q->n_class[class] > q->max_class[class])
        drop(q, take_first(q, fattest_with(q, class)), DROP_QUEUE_FULL);
}

/* --- the rate -------------------------------------------------------------------------- */

static void set_target(struct fq *q)
{
    uint64_t packet_ns = q->drain_rate ? FQ_QUANTUM * NS_PER_S / q->drain_rate : 0;

    q->target_ns = MIN(MAX(FQ_CODEL_TARGET_NS, packet_ns + packet_ns / 2), FQ_CODEL_INTERVAL_NS);
}

/* How fast the queue drains while it is never empty, over an interval each. */
static void measure_drain(struct fq *q, uint64_t now_ns, uint32_t bytes)
{
    uint64_t rate, ns = now_ns - q->drain_since_ns;

    if (!q->n) {
        q->drain_since_ns = 0;
        return;
    }
    if (!q->drain_since_ns) {
        q->drain_since_ns = now_ns;
        q->drain_bytes = 0;
        return;
    }
    q->drain_bytes += bytes;
    if (ns < FQ_CODEL_INTERVAL_NS)
        return;
    rate = (uint64_t)((double)q->drain_bytes / (double)ns * (double)NS_PER_S);
    q->drain_rate = MAX(q->drain_rate ? (q->drain_rate + rate) / 2 : rate, 1u);
    q->drain_since_ns = now_ns;
    q->drain_bytes = 0;
    set_target(q);
}

/* What has left in an interval, though the queue may have been empty meanwhile, is the least that
 * the path carries: the bound follows it. */
static void follow_rate(struct fq *q, uint64_t now_ns, uint32_t bytes)
{
    uint64_t ns = now_ns - q->left_since_ns;
    double bound;

    q->left_bytes += bytes;
    if (ns < FQ_CODEL_INTERVAL_NS)
        return;
    bound = (double)q->left_bytes / (double)ns * (double)FQ_BOUND_NS;
    q->max_bytes = (size_t)MIN(bound, (double)q->opts.max_bytes * FQ_BYTES_FACTOR);
    q->max_bytes = MAX(q->max_bytes, q->opts.max_bytes);
    q->left_since_ns = now_ns;
    q->left_bytes = 0;
}

/* --- the queue ------------------------------------------------------------------------- */

void fq_init(struct fq *q, const struct fq_opts *opts)
{
    *q = (struct fq){.opts = *opts, .max_bytes = opts->max_bytes, .target_ns = FQ_CODEL_TARGET_NS};
    for (unsigned i = 0; i < PKT_CLASSES; i++)
        q->max_class[i] = opts->max_packets ? opts->max_packets : FQ_PACKETS_MAX;
    if (q->opts.flows)
        q->id = q->opts.flows->next_id++;
}

void fq_set_max_packets(struct fq *q, unsigned pool_class, unsigned n)
{
    q->max_class[pool_class] = MAX(MAX(n, q->n_class[pool_class]), 1u);
}

void fq_flush(struct fq *q, enum drop_reason why)
{
    struct fq_flow *f;
    struct pkt *pkt;

    while ((f = q->fresh.head ? q->fresh.head : q->old.head)) {
        while ((pkt = take_first(q, f)))
            drop(q, pkt, why);
        fq_codel_on_empty(&f->codel);
        give_back(q, f, 0);
    }
    q->drain_since_ns = 0;
}

void fq_push(struct fq *q, uint64_t now_ns, struct pkt *pkt, const struct ip_view *view)
{
    pkt->flow = q->opts.flows ? flow_hash(&q->opts.flows->key, pkt->data, view) : 0;
    pkt->queued_ns = now_ns;
    pkt->judged = false;
    add_last(q, active_flow(q, now_ns, pkt->flow), pkt);
    keep_bounds(q, pkt->pool_class);
}

void fq_unpop(struct fq *q, uint64_t now_ns, struct pkt *pkt)
{
    pkt->judged = pkt->taken > 0;
    add_first(q, active_flow(q, now_ns, pkt->flow), pkt);
    keep_bounds(q, pkt->pool_class);
}

/* CoDel wants the first segment of a super-packet marked or dropped. */
static void punish_segment(struct fq *q, struct fq_flow *f, struct pkt *pkt)
{
    if (ecn_is_capable(pkt)) {
        pkt->mark = true;
        q->stats.marked++;
        return;
    }
    f->bytes -= segment_payload(pkt);
    q->bytes -= segment_payload(pkt);
    pkt->taken += segment_payload(pkt);
    q->stats.dropped++;
    drop_count(q->opts.drops, DROP_CODEL);
}

/* Whether the first packet of the flow may go. False: it is to be dropped. */
static bool judge(struct fq *q, struct fq_flow *f, struct pkt *pkt, uint64_t now_ns)
{
    bool super = pkt->gso != PKT_GSO_NONE;
    uint32_t first = super ? segment_payload(pkt) : pkt->len;
    struct fq_codel_law law = {q->target_ns + q->more_ns, q->slow_ns};

    if (!fq_codel_on_packet(&f->codel, now_ns, now_ns - pkt->queued_ns, &law,
                            f->bytes - first <= FQ_QUANTUM))
        return true;
    if (super) {
        punish_segment(q, f, pkt);
        return true;
    }
    if (!ecn_mark_ce(pkt))
        return false;
    q->stats.marked++;
    return true;
}

static bool is_stale(const struct fq *q, const struct pkt *pkt, uint64_t now_ns)
{
    return now_ns > pkt->queued_ns + q->opts.max_age_ns;
}

/* The first packet of the flow that may go. */
static struct pkt *first_good(struct fq *q, struct fq_flow *f, uint64_t now_ns)
{
    struct pkt *pkt;

    while ((pkt = f->head)) {
        if (is_stale(q, pkt, now_ns)) {
            drop(q, take_first(q, f), DROP_STALE);
            continue;
        }
        if (pkt->judged || judge(q, f, pkt, now_ns))
            break;
        drop(q, take_first(q, f), DROP_CODEL);
    }
    if (pkt)
        pkt->judged = true;
    return pkt;
}

static void to_end_of_old(struct fq *q, struct fq_flow *f)
{
    list_remove(list_of(q, f), f);
    f->place = PLACE_OLD;
    list_append(&q->old, f);
}

static void on_empty(struct fq *q, struct fq_flow *f, uint64_t now_ns)
{
    fq_codel_on_empty(&f->codel);
    if (f->place == PLACE_NEW && q->old.head)
        to_end_of_old(q, f);
    else
        give_back(q, f, now_ns);
}

static struct fq_flow *first_flow(const struct fq *q)
{
    return q->fresh.head ? q->fresh.head : q->old.head;
}

void fq_age(struct fq *q, uint64_t now_ns)
{
    for (int i = 0; i < 2; i++) {
        for (struct fq_flow *f = i ? q->old.head : q->fresh.head, *next; f; f = next) {
            next = f->next;
            while (f->head && is_stale(q, f->head, now_ns))
                drop(q, take_first(q, f), DROP_STALE);
            if (f->head)
                continue;
            fq_codel_on_empty(&f->codel);
            give_back(q, f, now_ns);
        }
    }
    if (!q->n)
        q->drain_since_ns = 0;
}

/* The flow whose turn it is among those that may be given out. Those met on the way that are empty
 * go the way of all such: from new to old, and from the front of old away. */
static struct fq_flow *first_of_mine(struct fq *q, uint64_t now_ns)
{
    for (int i = 0; i < 2; i++)
        for (struct fq_flow *f = i ? q->old.head : q->fresh.head, *next; f; f = next) {
            next = f->next;
            if (f->head && q->mine(q->mine_user, f->head, !i))
                return f;
            if (!f->head && (!i || f == q->old.head))
                on_empty(q, f, now_ns);
        }
    return NULL;
}

struct pkt *fq_front(struct fq *q, uint64_t now_ns)
{
    struct fq_flow *f;
    struct pkt *pkt;

    while ((f = q->mine ? first_of_mine(q, now_ns) : first_flow(q))) {
        if (f->deficit <= 0) {
            f->deficit += FQ_QUANTUM;
            to_end_of_old(q, f);
            continue;
        }
        pkt = first_good(q, f, now_ns);
        if (pkt) {
            q->front = f;
            return pkt;
        }
        on_empty(q, f, now_ns);
    }
    q->front = NULL;
    if (q->mine)
        return NULL;
    q->drain_since_ns = 0;
    return NULL;
}

bool fq_front_is_sparse(const struct fq *q)
{
    return q->front && q->front->place == PLACE_NEW;
}

static void account_gone(struct fq *q, struct fq_flow *f, uint64_t now_ns, uint64_t queued_ns,
                         uint32_t bytes)
{
    uint64_t wait_ns = now_ns - queued_ns;

    f->deficit -= (int32_t)bytes;
    q->stats.popped++;
    q->stats.wait_ns += wait_ns;
    q->stats.wait_max_ns = MAX(q->stats.wait_max_ns, wait_ns);
    measure_drain(q, now_ns, bytes);
    follow_rate(q, now_ns, bytes);
}

struct pkt *fq_take(struct fq *q, uint64_t now_ns)
{
    struct fq_flow *f = q->front;
    struct pkt *pkt = take_first(q, f);

    account_gone(q, f, now_ns, pkt->queued_ns, waiting(pkt));
    return pkt;
}

void fq_took(struct fq *q, uint64_t now_ns, uint32_t payload, uint32_t bytes)
{
    struct fq_flow *f = q->front;
    struct pkt *pkt = f->head;
    uint64_t queued_ns = pkt->queued_ns;

    f->bytes -= payload;
    q->bytes -= payload;
    if (!segment_left(pkt))
        pkt_free(q->opts.pool, take_first(q, f));
    account_gone(q, f, now_ns, queued_ns, bytes);
}
