#include "quic/pmtu.h"

#include "base/util.h"

void pmtu_init(struct pmtu *p, size_t base, size_t max)
{
    *p = (struct pmtu){
        .base = base, .max = max, .size = base, .failed = max + 1, .raise_ns = TIME_NEVER_NS};
    p->searching = max > base;
    p->settled = !p->searching;
}

void pmtu_limit(struct pmtu *p, size_t max)
{
    if (max < p->max)
        pmtu_init(p, p->base, MAX(max, p->base));
}

/* The size the search asks for next: the maximum first, then halfway. */
static size_t next_size(const struct pmtu *p)
{
    if (p->suspect)
        return p->size;
    if (p->failed > p->max)
        return p->max;
    return p->size + (p->failed - p->size) / 2;
}

static void finish(struct pmtu *p, uint64_t now_ns)
{
    p->searching = false;
    p->settled = true;
    p->raise_ns = p->size < p->max ? now_ns + PMTU_RAISE_NS : TIME_NEVER_NS;
}

size_t pmtu_want_probe(struct pmtu *p, uint64_t now_ns)
{
    if (!p->searching && !p->suspect && now_ns >= p->raise_ns) {
        p->searching = true;
        p->failed = p->max + 1;
        p->raise_ns = TIME_NEVER_NS;
    }
    if (p->probe_size || (!p->searching && !p->suspect))
        return 0;
    return next_size(p);
}

void pmtu_on_probe_sent(struct pmtu *p, uint64_t now_ns, size_t bytes, uint64_t pto_ns)
{
    p->probe_size = bytes;
    p->probe_deadline_ns = now_ns + MAX(3 * pto_ns, 100 * NS_PER_MS);
}

bool pmtu_on_probe_acked(struct pmtu *p, uint64_t now_ns, size_t bytes)
{
    size_t before = p->size;

    if (bytes == p->probe_size)
        p->probe_size = 0;
    p->tries = 0;
    if (bytes >= p->size) {
        p->lost_in_row = 0;
        p->suspect = false;
    }
    if (bytes > p->size)
        p->size = bytes;
    if (p->searching &&
        (p->size >= p->max - PMTU_GRAIN_BYTES || p->failed <= p->size + PMTU_GRAIN_BYTES))
        finish(p, now_ns);
    return p->size != before;
}

/* The size under test has failed for good. */
static bool size_failed(struct pmtu *p, uint64_t now_ns, size_t bytes)
{
    size_t before = p->size;

    p->tries = 0;
    if (p->suspect) {
        p->suspect = false;
        p->lost_in_row = 0;
        p->failed = p->size;
        p->size = p->base;
        p->searching = true;
        p->settled = false;
        p->raise_ns = TIME_NEVER_NS;
    } else {
        p->failed = bytes;
    }
    if (p->failed <= p->size + PMTU_GRAIN_BYTES)
        finish(p, now_ns);
    return p->size != before;
}

bool pmtu_on_probe_lost(struct pmtu *p, uint64_t now_ns, size_t bytes)
{
    if (bytes != p->probe_size)
        return false;
    p->probe_size = 0;
    if (++p->tries < PMTU_PROBE_TRIES)
        return false;
    return size_failed(p, now_ns, bytes);
}

void pmtu_on_acked(struct pmtu *p, size_t bytes)
{
    if (bytes <= p->base || bytes < p->lost_bytes)
        return; /* says nothing about the size of those that were lost */
    p->lost_in_row = 0;
    if (bytes + PMTU_GRAIN_BYTES >= p->size && p->suspect) {
        p->suspect = false;
        p->tries = 0;
    }
}

void pmtu_on_lost(struct pmtu *p, size_t bytes)
{
    if (bytes <= p->base || p->size <= p->base || p->suspect)
        return;
    p->lost_bytes = p->lost_in_row ? MIN(p->lost_bytes, bytes) : bytes;
    if (++p->lost_in_row >= PMTU_BLACK_HOLE_LOSSES) {
        p->suspect = true;
        p->tries = 0;
        p->probe_size = 0;
    }
}

bool pmtu_on_timer(struct pmtu *p, uint64_t now_ns)
{
    if (!p->probe_size || now_ns < p->probe_deadline_ns)
        return false;
    return pmtu_on_probe_lost(p, now_ns, p->probe_size);
}

uint64_t pmtu_deadline_ns(const struct pmtu *p)
{
    if (p->probe_size)
        return p->probe_deadline_ns;
    return p->raise_ns;
}
