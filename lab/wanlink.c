#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "lab/wanlink.h"

static const uint64_t SECOND_NS = 1000000000;

static const char *const drop_names[WAN_DROP_COUNT] = {
    [WAN_DROP_QUEUE] = "queue", [WAN_DROP_MTU] = "mtu",     [WAN_DROP_DOWN] = "down",
    [WAN_DROP_LOSS] = "loss",   [WAN_DROP_BURST] = "burst",
};

const char *wan_drop_name(enum wan_drop reason)
{
    return drop_names[reason];
}

int wan_link_init(struct wan_link *l, unsigned max_packets, uint64_t seed)
{
    memset(l, 0, sizeof(*l));
    l->heap = calloc(max_packets, sizeof(struct wan_packet *));
    if (!l->heap)
        return -ENOMEM;
    l->heap_cap = max_packets;
    rng_seed(&l->rng, seed);
    return 0;
}

void wan_link_done(struct wan_link *l)
{
    free(l->heap);
    l->heap = NULL;
}

/* ---- in flight: a binary heap by arrival, then by order of departure ---- */

static bool earlier(const struct wan_packet *a, const struct wan_packet *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

static void flight_add(struct wan_link *l, struct wan_packet *p)
{
    unsigned i = l->n_heap++;

    for (; i > 0 && earlier(p, l->heap[(i - 1) / 2]); i = (i - 1) / 2)
        l->heap[i] = l->heap[(i - 1) / 2];
    l->heap[i] = p;
}

static struct wan_packet *flight_take(struct wan_link *l)
{
    struct wan_packet *top = l->heap[0], *last = l->heap[--l->n_heap];
    unsigned i = 0, child;

    while ((child = 2 * i + 1) < l->n_heap) {
        if (child + 1 < l->n_heap && earlier(l->heap[child + 1], l->heap[child]))
            child++;
        if (!earlier(l->heap[child], last))
            break;
        l->heap[i] = l->heap[child];
        i = child;
    }
    l->heap[i] = last;
    return top;
}

/* ---- the air ---- */

static uint64_t jitter_at(struct wan_link *l, uint64_t now_ns)
{
    uint64_t period =
        l->params.jitter_period_ns ? l->params.jitter_period_ns : WAN_JITTER_PERIOD_NS;
    uint64_t max = l->params.jitter_ns;
    int64_t rise;

    if (!max)
        return 0;
    if (l->params.reorder)
        return rng_below(&l->rng, max + 1);
    if (now_ns >= l->jitter_to_ns) {
        bool idle = now_ns - l->jitter_to_ns > period;

        l->jitter_a_ns = idle ? rng_below(&l->rng, max + 1) : l->jitter_b_ns;
        l->jitter_from_ns = idle ? now_ns : l->jitter_to_ns;
        l->jitter_b_ns = rng_below(&l->rng, max + 1);
        l->jitter_to_ns = l->jitter_from_ns + period;
    }
    rise = (int64_t)l->jitter_b_ns - (int64_t)l->jitter_a_ns;
    return (
        uint64_t)((int64_t)l->jitter_a_ns +
                  (int64_t)((double)rise * (double)(now_ns - l->jitter_from_ns) / (double)period));
}

/* Decide the fate of a transmitted packet: WAN_DROP_COUNT means it arrives. */
static enum wan_drop air_verdict(struct wan_link *l)
{
    const struct wan_params *p = &l->params;

    if (p->down || p->cut)
        return WAN_DROP_DOWN;
    if (p->ge_bad > 0) {
        double chance = rng_double(&l->rng);

        l->bad = l->bad ? chance >= p->ge_good : chance < p->ge_bad;
        if (l->bad && rng_double(&l->rng) < p->ge_loss)
            return WAN_DROP_BURST;
    }
    if (p->loss > 0 && rng_double(&l->rng) < p->loss)
        return WAN_DROP_LOSS;
    return WAN_DROP_COUNT;
}

/* ---- queue and transmitter ---- */

static uint64_t tx_time(const struct wan_link *l, uint32_t len)
{
    return l->params.rate_bps ? len * 8ull * SECOND_NS / l->params.rate_bps : 0;
}

bool wan_link_push(struct wan_link *l, struct wan_packet *p, uint64_t now_ns)
{
    uint64_t limit = wan_queue_limit(&l->params);
    enum wan_drop drop = WAN_DROP_COUNT;

    l->counters.in_packets++;
    l->counters.in_bytes += p->len;
    if (l->params.down || l->params.cut)
        drop = WAN_DROP_DOWN;
    else if (l->params.mtu && p->len > l->params.mtu + WAN_ETHER_HEADER)
        drop = WAN_DROP_MTU;
    else if (limit && l->queued_bytes + p->len > limit)
        drop = WAN_DROP_QUEUE;
    if (drop != WAN_DROP_COUNT) {
        l->counters.dropped[drop]++;
        return false;
    }

    p->next = NULL;
    p->due_ns = now_ns;
    if (l->head) {
        l->tail->next = p;
    } else {
        l->head = p;
        l->tx_end_ns = now_ns + tx_time(l, p->len);
    }
    l->tail = p;
    l->queued_bytes += p->len;
    if (l->queued_bytes > l->counters.queue_max_bytes)
        l->counters.queue_max_bytes = l->queued_bytes;
    return true;
}

/* Head has been transmitted: it flies or is lost. Returns it when lost. */
static struct wan_packet *transmitted(struct wan_link *l)
{
    struct wan_packet *p = l->head;
    uint64_t end_ns = l->tx_end_ns;
    enum wan_drop drop = l->n_heap < l->heap_cap ? air_verdict(l) : WAN_DROP_QUEUE;

    l->head = p->next;
    l->queued_bytes -= p->len;
    if (l->head)
        l->tx_end_ns = MAX(end_ns, l->head->due_ns) + tx_time(l, l->head->len);
    if (drop != WAN_DROP_COUNT) {
        l->counters.dropped[drop]++;
        return p;
    }
    p->due_ns = end_ns + l->params.delay_ns + jitter_at(l, end_ns);
    if (!l->params.reorder && p->due_ns < l->last_due_ns)
        p->due_ns = l->last_due_ns;
    l->last_due_ns = p->due_ns;
    p->order = l->order++;
    flight_add(l, p);
    return NULL;
}

struct wan_packet *wan_link_pop(struct wan_link *l, uint64_t now_ns, bool *ret_lost)
{
    struct wan_packet *p;

    for (;;) {
        bool tx = l->head && l->tx_end_ns <= now_ns;
        bool arrival = l->n_heap && l->heap[0]->due_ns <= now_ns;

        if (arrival && (!tx || l->heap[0]->due_ns <= l->tx_end_ns)) {
            p = flight_take(l);
            l->counters.out_packets++;
            l->counters.out_bytes += p->len;
            *ret_lost = false;
            return p;
        }
        if (!tx)
            return NULL;
        p = transmitted(l);
        if (p) {
            *ret_lost = true;
            return p;
        }
    }
}

uint64_t wan_link_next_ns(const struct wan_link *l)
{
    uint64_t t = l->head ? l->tx_end_ns : UINT64_MAX;

    return l->n_heap && l->heap[0]->due_ns < t ? l->heap[0]->due_ns : t;
}
