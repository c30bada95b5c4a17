/* What all receivers of a process share: flows with something open, units, and bytes of buffers. */
#include <stdlib.h>

#include "base/util.h"
#include "bond/reasm_internal.h"

/* What a session may have whatever the others have; above it as much as nobody has, but for a
 * quarter of all: a few that take all they can get leave that much to those who need little. */
enum { LEAST_FLOWS = 16, LEAST_UNITS = 64, RESERVE = 4 };
static const unsigned least_buffers[PKT_CLASSES] = {16, 1, 1};

struct reasm_pool *reasm_pool_new(unsigned n_flows, unsigned n_units, size_t max_bytes)
{
    struct reasm_pool *pool = calloc(1, sizeof(*pool));

    if (!pool)
        return NULL;
    n_units = MIN(n_units, (unsigned)REASM_UNITS_MAX);
    /* Not zeroed: pages that nobody needs stay untouched. */
    pool->flows = reallocarray(NULL, n_flows, sizeof(*pool->flows));
    pool->units = reallocarray(NULL, n_units, sizeof(*pool->units));
    pool->n_flows = pool->fresh_flows = n_flows;
    pool->n_units = pool->fresh_units = n_units;
    pool->max_bytes = max_bytes;
    if (!pool->flows || !pool->units) {
        reasm_pool_free(pool);
        return NULL;
    }
    return pool;
}

void reasm_pool_free(struct reasm_pool *pool)
{
    if (!pool)
        return;
    free(pool->flows);
    free(pool->units);
    free(pool);
}

/* How many a session may have in all, when so many of them are in use. */
static unsigned share(unsigned least, unsigned n, unsigned used)
{
    unsigned left = n - used;

    return least + (left > n / RESERVE ? left - n / RESERVE : 0);
}

struct reasm_flow *reasm_pool_take_flow(struct reasm *r)
{
    struct reasm_pool *pool = r->opts.pool;
    struct reasm_flow *f = pool->free_flow;

    if (r->n_flows >= share(LEAST_FLOWS, pool->n_flows, pool->used_flows))
        return NULL;
    if (f)
        pool->free_flow = f->next_free;
    else if (pool->fresh_flows)
        f = &pool->flows[pool->n_flows - pool->fresh_flows--];
    pool->used_flows += f != NULL;
    r->n_flows += f != NULL;
    return f;
}

void reasm_pool_return_flow(struct reasm *r, struct reasm_flow *f)
{
    f->next_free = r->opts.pool->free_flow;
    r->opts.pool->free_flow = f;
    r->opts.pool->used_flows--;
    r->n_flows--;
}

struct reasm_unit *reasm_pool_take_unit(struct reasm *r)
{
    struct reasm_pool *pool = r->opts.pool;
    struct reasm_unit *u = pool->free_unit;

    if (r->n_units >= share(LEAST_UNITS, pool->n_units, pool->used_units))
        return NULL;
    if (u)
        pool->free_unit = u->next_free;
    else if (pool->fresh_units)
        u = &pool->units[pool->n_units - pool->fresh_units--];
    pool->used_units += u != NULL;
    r->n_units += u != NULL;
    return u;
}

void reasm_pool_return_unit(struct reasm *r, struct reasm_unit *u)
{
    u->flow = NULL;
    u->next_free = r->opts.pool->free_unit;
    r->opts.pool->free_unit = u;
    r->opts.pool->used_units--;
    r->n_units--;
}

void reasm_pool_hold(struct reasm *r, const struct pkt *pkt)
{
    r->bytes += pkt->cap;
    r->held[pkt->pool_class]++;
    r->opts.pool->bytes += pkt->cap;
}

void reasm_pool_release(struct reasm *r, const struct pkt *pkt)
{
    r->bytes -= pkt->cap;
    r->held[pkt->pool_class]--;
    r->opts.pool->bytes -= pkt->cap;
}

bool reasm_pool_exceeded(const struct reasm *r)
{
    if (r->bytes > r->opts.max_bytes || r->opts.pool->bytes > r->opts.pool->max_bytes)
        return true;
    for (unsigned c = 0; c < PKT_CLASSES; c++)
        if (r->held[c] > least_buffers[c] + pkt_pool_spare(r->opts.pkts, c))
            return true;
    return false;
}
