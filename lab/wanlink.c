#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "wanlink.h"

enum { QUEUE_MIN_BYTES = 3028 }; /* two full frames: less could carry nothing */
static const uint64_t JITTER_PERIOD_NS = 20000000;
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
    uint64_t period = l->params.jitter_period_ns ? l->params.jitter_period_ns : JITTER_PERIOD_NS;
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

    if (p->down)
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

uint64_t wan_queue_limit(const struct wan_params *p)
{
    uint64_t limit = p->queue_bytes;

    if (p->queue_ns && p->rate_bps) {
        double bytes = (double)p->rate_bps * (double)p->queue_ns / 8e9;

        if (!limit || bytes < (double)limit)
            limit = (uint64_t)bytes;
    }
    return limit && limit < QUEUE_MIN_BYTES ? QUEUE_MIN_BYTES : limit;
}

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
    if (l->params.down)
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

/* ---- parameters as text ---- */

/* A number with one of the suffixes "name=factor", e.g. {"k", 1e3}. The text must end there. */
struct unit {
    const char *name;
    double factor;
};

static const struct unit rate_units[] = {{"", 1}, {"k", 1e3}, {"m", 1e6}, {"g", 1e9}, {NULL, 0}};
static const struct unit time_units[] = {{"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {NULL, 0}};
static const struct unit share_units[] = {{"", 1}, {"%", 0.01}, {NULL, 0}};

static bool parse_number(const char *s, size_t len, const struct unit *units, double *ret)
{
    char text[32], *end;
    double v;

    if (len == 0 || len >= sizeof(text))
        return false;
    memcpy(text, s, len);
    text[len] = '\0';
    v = strtod(text, &end);
    if (end == text || !isfinite(v) || v < 0 || v > 1e12)
        return false;
    for (; units->name; units++)
        if (strcmp(units->name, end) == 0) {
            *ret = v * units->factor;
            return true;
        }
    return false;
}

static bool parse_share(const char *s, size_t len, double *ret)
{
    double v;

    if (!parse_number(s, len, share_units, &v) || v > 1)
        return false;
    *ret = v;
    return true;
}

static bool parse_uint(const char *s, size_t len, const struct unit *units, uint64_t *ret)
{
    double v;

    if (!parse_number(s, len, units, &v) || v > 1e18)
        return false;
    *ret = (uint64_t)(v + 0.5);
    return true;
}

static bool parse_queue(struct wan_params *p, const char *s, size_t len)
{
    uint64_t bytes = 0, ns = 0;

    if (!parse_uint(s, len, rate_units, &bytes) && !parse_uint(s, len, time_units, &ns))
        return false;
    p->queue_bytes = bytes;
    p->queue_ns = ns;
    return true;
}

/* "BAD,GOOD,LOSS", or "0" for none. */
static bool parse_burst(struct wan_params *p, const char *s, size_t len)
{
    double v[3] = {0, 0, 0};
    unsigned n = 0;

    for (;;) {
        const char *comma = memchr(s, ',', len);
        size_t word = comma ? (size_t)(comma - s) : len;

        if (n == 3 || !parse_share(s, word, &v[n++]))
            return false;
        if (!comma)
            break;
        s += word + 1;
        len -= word + 1;
    }
    if (n != 3 && !(n == 1 && v[0] == 0))
        return false;
    p->ge_bad = v[0];
    p->ge_good = v[1];
    p->ge_loss = v[2];
    return true;
}

static bool parse_flag(const char *s, size_t len, bool *ret)
{
    if (len != 1 || (s[0] != '0' && s[0] != '1'))
        return false;
    *ret = s[0] == '1';
    return true;
}

static bool parse_mtu(struct wan_params *p, const char *s, size_t len)
{
    uint64_t v;

    if (!parse_uint(s, len, share_units, &v) || v > WAN_FRAME_MAX)
        return false;
    p->mtu = (uint32_t)v;
    return true;
}

static bool parse_word(struct wan_params *p, const char *w, size_t len)
{
    const char *eq = memchr(w, '=', len);
    size_t key = eq ? (size_t)(eq - w) : len;
    const char *v = w + key + 1;
    size_t n = eq ? len - key - 1 : 0;

#define KEY(name) (key == sizeof(name) - 1 && memcmp(w, name, key) == 0)
    if (!eq)
        return false;
    if (KEY("rate"))
        return parse_uint(v, n, rate_units, &p->rate_bps);
    if (KEY("delay"))
        return parse_uint(v, n, time_units, &p->delay_ns);
    if (KEY("jitter"))
        return parse_uint(v, n, time_units, &p->jitter_ns);
    if (KEY("jitter-period"))
        return parse_uint(v, n, time_units, &p->jitter_period_ns);
    if (KEY("queue"))
        return parse_queue(p, v, n);
    if (KEY("mtu"))
        return parse_mtu(p, v, n);
    if (KEY("loss"))
        return parse_share(v, n, &p->loss);
    if (KEY("burst"))
        return parse_burst(p, v, n);
    if (KEY("reorder"))
        return parse_flag(v, n, &p->reorder);
    if (KEY("down"))
        return parse_flag(v, n, &p->down);
#undef KEY
    return false;
}

int wan_params_parse(struct wan_params *p, const char *words, const char **ret_bad)
{
    struct wan_params new = *p;

    for (;;) {
        size_t len;

        words += strspn(words, " ");
        if (!*words)
            break;
        len = strcspn(words, " ");
        if (!parse_word(&new, words, len)) {
            *ret_bad = words;
            return -EINVAL;
        }
        words += len;
    }
    *p = new;
    return 0;
}
