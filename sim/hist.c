#include "sim/hist.h"

#include <string.h>

#include "base/util.h"

/* Values below HIST_STEPS have a bucket each; above, the bucket is the exponent and the six bits
 * behind the leading one. */
static unsigned bucket_of(uint64_t ns)
{
    unsigned shift;

    if (ns < HIST_STEPS)
        return (unsigned)ns;
    shift = 63 - (unsigned)__builtin_clzll(ns) - 6;
    return MIN((shift + 1) * HIST_STEPS + (unsigned)(ns >> shift) - HIST_STEPS,
               (unsigned)HIST_BUCKETS - 1);
}

static uint64_t middle_of(unsigned bucket)
{
    unsigned shift;

    if (bucket < 2 * HIST_STEPS)
        return bucket;
    shift = bucket / HIST_STEPS - 1;
    return ((uint64_t)(bucket % HIST_STEPS + HIST_STEPS) << shift) + (1ull << (shift - 1));
}

void hist_reset(struct hist *h)
{
    memset(h, 0, sizeof(*h));
}

void hist_add(struct hist *h, uint64_t ns)
{
    h->n++;
    h->sum_ns += (double)ns;
    h->max_ns = MAX(h->max_ns, ns);
    h->bucket[bucket_of(ns)]++;
}

double hist_mean_ns(const struct hist *h)
{
    return h->n ? h->sum_ns / (double)h->n : 0;
}

uint64_t hist_quantile_ns(const struct hist *h, double q)
{
    uint64_t rank = (uint64_t)(q * (double)h->n), seen = 0;

    if (!h->n)
        return 0;
    for (unsigned i = 0; i < HIST_BUCKETS; i++) {
        seen += h->bucket[i];
        if (seen > rank)
            return middle_of(i);
    }
    return h->max_ns;
}
