#include "sim/sim.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "sim/hash.h"

/* The queue is a binary heap ordered by time, then by the order of setting. (base/heap.h orders
 * by time alone.) */
struct sim_slot {
    uint64_t at_ns, seq;
    struct sim_event *ev;
};

struct call {
    struct sim_event ev;
    struct sim *sim;
    void (*fn)(void *user);
    void *user;
};

void *sim_alloc(size_t bytes)
{
    void *p = calloc(1, bytes);

    if (!p)
        abort();
    return p;
}

struct sim *sim_new(uint64_t seed)
{
    struct sim *sim = sim_alloc(sizeof(*sim));

    sim->seed = seed;
    sim->now_ns = SIM_START_NS;
    sim->trace = hash_u64(0, seed);
    return sim;
}

static void call_fire(struct sim_event *ev)
{
    struct call *c = container_of(ev, struct call, ev);

    c->fn(c->user);
    free(c);
}

void sim_free(struct sim *sim)
{
    if (!sim)
        return;
    for (size_t i = 1; i <= sim->n; i++)
        if (sim->queue[i].ev->fire == call_fire)
            free(container_of(sim->queue[i].ev, struct call, ev));
    while (sim->free_dgrams) {
        struct sim_dgram *d = sim->free_dgrams;

        sim->free_dgrams = d->next;
        free(d);
    }
    free(sim->queue);
    free(sim);
}

double sim_seconds(const struct sim *sim)
{
    return (double)(sim->now_ns - SIM_START_NS) / (double)NS_PER_S;
}

void sim_rng(const struct sim *sim, const char *name, struct rng *ret)
{
    rng_seed(ret, hash_bytes(hash_u64(1, sim->seed), name, strlen(name)));
}

/* --- events ---------------------------------------------------------------------------- */

static bool before(const struct sim_slot *a, const struct sim_slot *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->seq < b->seq;
}

static void place(struct sim *sim, size_t i, struct sim_slot s)
{
    sim->queue[i] = s;
    s.ev->place = i;
}

static void sift_up(struct sim *sim, size_t i, struct sim_slot s)
{
    for (; i > 1 && before(&s, &sim->queue[i / 2]); i /= 2)
        place(sim, i, sim->queue[i / 2]);
    place(sim, i, s);
}

static void sift_down(struct sim *sim, size_t i, struct sim_slot s)
{
    for (size_t child; (child = 2 * i) <= sim->n; i = child) {
        if (child < sim->n && before(&sim->queue[child + 1], &sim->queue[child]))
            child++;
        if (!before(&sim->queue[child], &s))
            break;
        place(sim, i, sim->queue[child]);
    }
    place(sim, i, s);
}

static void sift(struct sim *sim, size_t i, struct sim_slot s)
{
    if (i > 1 && before(&s, &sim->queue[i / 2]))
        sift_up(sim, i, s);
    else
        sift_down(sim, i, s);
}

void sim_set(struct sim *sim, struct sim_event *ev, uint64_t at_ns)
{
    struct sim_slot s = {.at_ns = MAX(at_ns, sim->now_ns), .seq = sim->next_seq++, .ev = ev};

    if (ev->place) {
        sift(sim, ev->place, s);
        return;
    }
    if (sim->n + 2 > sim->cap) {
        sim->cap = sim->cap ? 2 * sim->cap : 256;
        sim->queue = realloc(sim->queue, sim->cap * sizeof(*sim->queue));
        if (!sim->queue)
            abort();
    }
    sift_up(sim, ++sim->n, s);
}

void sim_unset(struct sim *sim, struct sim_event *ev)
{
    size_t i = ev->place;
    struct sim_slot last;

    if (!i)
        return;
    ev->place = 0;
    last = sim->queue[sim->n--];
    if (last.ev != ev)
        sift(sim, i, last);
}

void sim_call(struct sim *sim, uint64_t delay_ns, void (*fn)(void *user), void *user)
{
    struct call *c = sim_alloc(sizeof(*c));

    c->ev.fire = call_fire;
    c->sim = sim;
    c->fn = fn;
    c->user = user;
    sim_set(sim, &c->ev, sim->now_ns + delay_ns);
}

/* Let the first event happen if it is due by at_ns. */
static bool step(struct sim *sim, uint64_t at_ns)
{
    struct sim_event *ev;

    if (!sim->n || sim->queue[1].at_ns > at_ns)
        return false;
    ev = sim->queue[1].ev;
    sim->now_ns = sim->queue[1].at_ns;
    sim_unset(sim, ev);
    sim->fired++;
    ev->fire(ev);
    return true;
}

void sim_run_until(struct sim *sim, uint64_t at_ns)
{
    while (step(sim, at_ns))
        ;
    sim->now_ns = MAX(sim->now_ns, at_ns);
}

void sim_run_for(struct sim *sim, uint64_t ns)
{
    sim_run_until(sim, sim->now_ns + ns);
}

bool sim_run_cond(struct sim *sim, uint64_t limit_ns, bool (*done)(void *user), void *user)
{
    uint64_t end_ns = sim->now_ns + limit_ns;

    while (!done(user)) {
        if (step(sim, end_ns))
            continue;
        sim->now_ns = end_ns;
        return false;
    }
    return true;
}

/* --- datagrams ------------------------------------------------------------------------- */

struct sim_dgram *sim_dgram_new(struct sim *sim, size_t len)
{
    struct sim_dgram *d = sim->free_dgrams;
    bool pooled = len <= SIM_DGRAM_POOLED;

    if (pooled && d) {
        sim->free_dgrams = d->next;
    } else {
        d = malloc(sizeof(*d) + (pooled ? (size_t)SIM_DGRAM_POOLED : len));
        if (!d)
            abort();
    }
    memset(d, 0, sizeof(*d));
    d->pooled = pooled;
    d->len = (uint32_t)len;
    return d;
}

struct sim_dgram *sim_dgram_copy(struct sim *sim, const struct sim_dgram *d)
{
    struct sim_dgram *c = sim_dgram_new(sim, d->len);

    memcpy(c->data, d->data, d->len);
    c->src = d->src;
    c->dst = d->dst;
    c->overhead = d->overhead;
    c->segment = d->segment;
    c->gso_size = d->gso_size;
    c->ecn = d->ecn;
    return c;
}

void sim_dgram_free(struct sim *sim, struct sim_dgram *d)
{
    if (d->pooled) {
        d->next = sim->free_dgrams;
        sim->free_dgrams = d;
    } else {
        free(d);
    }
}

void sim_trace(struct sim *sim, unsigned link, const struct sim_dgram *d)
{
    uint64_t h = sim->trace;

    h = hash_u64(h, sim->now_ns);
    h = hash_u64(h, (uint64_t)link << 8 | d->ecn);
    sim->trace = hash_bytes(h, d->data, d->len);
    sim->traced++;
    if (sim->trace_out)
        fprintf(sim->trace_out, "%llu link %u len %u hash %016llx\n",
                (unsigned long long)sim->now_ns, link, d->len, (unsigned long long)sim->trace);
}
