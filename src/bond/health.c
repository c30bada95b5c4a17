#include "bond/health.h"

static void begin(struct health *h, uint64_t now_ns, uint64_t acked, uint64_t lost)
{
    h->since_ns = now_ns;
    h->acked = acked;
    h->lost = lost;
}

bool health_told(struct health *h, uint64_t now_ns, uint64_t acked, uint64_t lost)
{
    uint64_t n = acked - h->acked + lost - h->lost, n_lost = lost - h->lost;
    bool before = h->lossy, bad = n_lost * 100 >= n * HEALTH_BAD;

    if (acked < h->acked || lost < h->lost || now_ns - h->since_ns > HEALTH_ROUND_MAX_NS) {
        begin(h, now_ns, acked, lost);
        h->sick = h->lossy;
        return false;
    }
    h->sick = h->lossy || (n < HEALTH_ROUND && h->was_bad) || (n_lost >= HEALTH_SICK && bad);
    if (n < HEALTH_ROUND || now_ns - h->since_ns < HEALTH_ROUND_NS)
        return false;
    if (bad && h->was_bad)
        h->lossy = true;
    else if (n_lost * 100 < n * HEALTH_GOOD)
        h->lossy = false;
    h->was_bad = bad;
    begin(h, now_ns, acked, lost);
    return h->lossy != before;
}
