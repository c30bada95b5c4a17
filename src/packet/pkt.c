#include "packet/pkt.h"

#include "base/util.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* With AddressSanitizer a free buffer is poisoned behind its `next`, so that use after pkt_free()
 * and a second pkt_free() are reported like those of malloc'ed memory. */
#if defined(__SANITIZE_ADDRESS__)
#define PKT_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PKT_ASAN 1
#endif
#endif
#ifdef PKT_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

enum { PKT_ALIGN = 64, PAGE = 4096 };

static const uint32_t class_room[PKT_CLASSES] = {PKT_SMALL_MAX, PKT_MEDIUM_MAX, PKT_LARGE_MAX};

/* One size class. Buffers [0, n_fresh) of the slab have been used before and are out or on the
 * free list; the rest has never been touched, so an idle pool costs address space only. The free
 * list is a stack: the buffer used last is the one still in the cache. */
struct pkt_class {
    uint8_t *slab;
    size_t stride;
    uint32_t cap;
    unsigned n_total, n_fresh, n_used;
    unsigned n_peak; /* most used at once since the last trim */
    struct pkt *free;
};

struct pkt_pool {
    struct pkt_class class[PKT_CLASSES];
};

static int class_init(struct pkt_class *c, unsigned n, size_t room)
{
    size_t bytes = sizeof(struct pkt) + PKT_HEADROOM + room;

    c->stride = (bytes + PKT_ALIGN - 1) / PKT_ALIGN * PKT_ALIGN;
    c->cap = (uint32_t)(PKT_HEADROOM + room);
    c->n_total = n;
    if (!n)
        return 0;
    if (n > SIZE_MAX / c->stride)
        return -1;
    c->slab = aligned_alloc(PKT_ALIGN, n * c->stride);
    if (!c->slab)
        return -1;
    ASAN_POISON_MEMORY_REGION(c->slab, n * c->stride);
    return 0;
}

struct pkt_pool *pkt_pool_new(unsigned n_small, unsigned n_large)
{
    struct pkt_pool *pool = calloc(1, sizeof(*pool));

    if (!pool)
        return NULL;
    if (class_init(&pool->class[0], n_small, class_room[0]) ||
        class_init(&pool->class[1], n_large * PKT_MEDIUM_PER_LARGE, class_room[1]) ||
        class_init(&pool->class[2], n_large, class_room[2])) {
        pkt_pool_free(pool);
        return NULL;
    }
    return pool;
}

void pkt_pool_free(struct pkt_pool *pool)
{
    if (!pool)
        return;
    assert(pkt_pool_in_use(pool) == 0);
    for (unsigned i = 0; i < PKT_CLASSES; i++) {
        struct pkt_class *c = &pool->class[i];

        if (c->slab)
            ASAN_UNPOISON_MEMORY_REGION(c->slab, c->n_total * c->stride);
        free(c->slab);
    }
    free(pool);
}

/* What is written first of a buffer: with hundreds of packets on their way it is in no near cache.
 */
static void prefetch_front(const struct pkt *pkt)
{
    const uint8_t *p = (const uint8_t *)pkt;

    for (size_t at = 0; pkt && at < sizeof(*pkt) + PKT_HEADROOM; at += PKT_ALIGN)
        __builtin_prefetch(p + at, 1);
}

/* A buffer of the class with its memory accessible, or NULL. */
static struct pkt *class_take(struct pkt_class *c)
{
    struct pkt *pkt = c->free;

    if (pkt) {
        c->free = pkt->next;
    } else {
        if (c->n_fresh == c->n_total)
            return NULL;
        pkt = (struct pkt *)(void *)(c->slab + c->n_fresh++ * c->stride);
    }
    c->n_used++;
    c->n_peak = MAX(c->n_peak, c->n_used);
    prefetch_front(c->free); /* the next one */
    ASAN_UNPOISON_MEMORY_REGION(pkt, sizeof(*pkt) + c->cap);
    return pkt;
}

struct pkt *pkt_new(struct pkt_pool *pool, size_t size)
{
    uint8_t class = (size > PKT_SMALL_MAX) + (size > PKT_MEDIUM_MAX);
    struct pkt_class *c = &pool->class[class];
    struct pkt *pkt;

    if (size > PKT_LARGE_MAX)
        return NULL;
    pkt = class_take(c);
    if (!pkt)
        return NULL;
    *pkt = (struct pkt){
        .data = pkt->buf + PKT_HEADROOM,
        .cap = c->cap,
        .pool_class = class,
    };
    return pkt;
}

void pkt_free(struct pkt_pool *pool, struct pkt *pkt)
{
    struct pkt_class *c;

    if (!pkt)
        return;
    if (pkt->holders) {
        pkt->holders--;
        return;
    }
    if (pkt->lender)
        pkt_free(pool, pkt->lender);
    assert(pkt->pool_class < PKT_CLASSES);
    c = &pool->class[pkt->pool_class];
    assert(c->n_used > 0);
    pkt->next = c->free;
    pkt->trimmed = false;
    c->free = pkt;
    c->n_used--;
    ASAN_POISON_MEMORY_REGION(&pkt->data, sizeof(*pkt) - offsetof(struct pkt, data) + c->cap);
}

void pkt_borrow(struct pkt *pkt, struct pkt *lender, uint32_t at, uint32_t len)
{
    assert(!pkt->lender && !lender->lender && at <= lender->len && len <= lender->len - at);
    lender->holders++;
    pkt->lender = lender;
    pkt->rest = lender->data + at;
    pkt->rest_len = len;
}

void pkt_settle(struct pkt_pool *pool, struct pkt *pkt)
{
    if (!pkt->lender)
        return;
    assert(pkt_tailroom(pkt) >= pkt->rest_len);
    memcpy(pkt->data + pkt->len, pkt->rest, pkt->rest_len);
    pkt->len += pkt->rest_len;
    pkt_free(pool, pkt->lender);
    pkt->lender = NULL;
    pkt->rest = NULL;
    pkt->rest_len = 0;
}

void pkt_batch_free(struct pkt_pool *pool, struct pkt_batch *batch)
{
    for (unsigned i = 0; i < batch->n; i++)
        pkt_free(pool, batch->v[i]);
    batch->n = 0;
}

size_t pkt_headroom(const struct pkt *pkt)
{
    return (size_t)(pkt->data - pkt->buf);
}

size_t pkt_tailroom(const struct pkt *pkt)
{
    return pkt->cap - pkt_headroom(pkt) - pkt->len;
}

/* The whole pages of a free buffer behind its struct pkt. */
static void release_pages(const struct pkt_class *c, struct pkt *pkt,
                          void (*release)(void *pages, size_t len))
{
    uintptr_t first = ((uintptr_t)pkt->buf + PAGE - 1) / PAGE * PAGE;
    uintptr_t end = ((uintptr_t)pkt->buf + c->cap) / PAGE * PAGE;

    if (end > first)
        release(pkt->buf + (first - (uintptr_t)pkt->buf), end - first);
}

/* The free list is a stack: what lies deeper than the peak went has not been touched since. */
static void class_trim(struct pkt_class *c, void (*release)(void *pages, size_t len))
{
    unsigned skip = c->n_peak - c->n_used;

    for (struct pkt *pkt = c->free; pkt; pkt = pkt->next) {
        if (skip) {
            skip--;
            continue;
        }
        ASAN_UNPOISON_MEMORY_REGION(pkt, sizeof(*pkt));
        if (pkt->trimmed)
            break; /* and so is all below it */
        ASAN_UNPOISON_MEMORY_REGION(pkt->buf, c->cap);
        release_pages(c, pkt, release);
        pkt->trimmed = true;
        ASAN_POISON_MEMORY_REGION(&pkt->data, sizeof(*pkt) - offsetof(struct pkt, data) + c->cap);
    }
    c->n_peak = c->n_used;
}

void pkt_pool_trim(struct pkt_pool *pool, void (*release)(void *pages, size_t len))
{
    for (unsigned i = 1; i < PKT_CLASSES; i++)
        class_trim(&pool->class[i], release);
}

unsigned pkt_pool_in_use(const struct pkt_pool *pool)
{
    unsigned n = 0;

    for (unsigned i = 0; i < PKT_CLASSES; i++)
        n += pool->class[i].n_used;
    return n;
}

unsigned pkt_pool_left(const struct pkt_pool *pool, const struct pkt *pkt)
{
    const struct pkt_class *c = &pool->class[pkt->pool_class];

    return c->n_total - c->n_used;
}

unsigned pkt_pool_spare(const struct pkt_pool *pool, unsigned pool_class)
{
    const struct pkt_class *c = &pool->class[pool_class];
    unsigned left = c->n_total - c->n_used;

    return left > c->n_total / 2 ? left - c->n_total / 2 : 0;
}
