#include "bond/flight.h"

#include <stdlib.h>

#include <stdbool.h>

#include "base/util.h"

enum { FLIGHT_FIRST = 64 };

static struct flight_entry *at(const struct flight *f, unsigned i)
{
    return &f->v[(f->head + i) & (f->cap - 1)];
}

static int grow(struct flight *f)
{
    unsigned cap = f->cap ? f->cap * 2 : FLIGHT_FIRST;
    struct flight_entry *v = cap > FLIGHT_MAX ? NULL : malloc(cap * sizeof(*v));

    if (!v)
        return -1;
    for (unsigned i = 0; i < f->n; i++)
        v[i] = *at(f, i);
    free(f->v);
    f->v = v;
    f->cap = cap;
    f->head = 0;
    return 0;
}

/* What is known at the old end need not be remembered. */
static void trim(struct flight *f)
{
    while (f->n && !at(f, 0)->pkt) {
        f->head = (f->head + 1) & (f->cap - 1);
        f->n--;
    }
}

const struct pkt *flight_oldest(struct flight *f)
{
    trim(f);
    return f->n ? at(f, 0)->pkt : NULL;
}

struct pkt *flight_take_oldest(struct flight *f)
{
    struct pkt *pkt;

    trim(f);
    if (!f->n)
        return NULL;
    pkt = at(f, 0)->pkt;
    at(f, 0)->pkt = NULL;
    f->bytes -= pkt->cap;
    trim(f);
    return pkt;
}

struct pkt *flight_add(struct flight *f, uint64_t id, struct pkt *pkt)
{
    struct pkt *out = NULL;

    trim(f);
    if (f->n == f->cap && grow(f)) {
        out = flight_take_oldest(f);
        if (!out)
            return pkt;
    }
    f->n++;
    *at(f, f->n - 1) = (struct flight_entry){id, pkt};
    f->bytes += pkt->cap;
    return out;
}

/* The index of the number, or of where it would be. Numbers are nearly evenly spread, so the place
 * is guessed from the ends, and halved where the guess was bad. */
static unsigned find(const struct flight *f, uint64_t id)
{
    unsigned low = 0, high = f->n - 1; /* at(low) <= id <= at(high), or it is not here */
    bool guess = true;

    while (low < high) {
        uint64_t first = at(f, low)->id, last = at(f, high)->id;
        unsigned mid = low + (high - low) / 2;

        if (id <= first)
            return low;
        if (id >= last)
            return high;
        if (guess)
            mid = low + (unsigned)((id - first) * (high - low) / (last - first));
        guess = !guess;
        if (at(f, mid)->id == id)
            return mid;
        if (at(f, mid)->id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct pkt *flight_take(struct flight *f, uint64_t id)
{
    struct flight_entry *e;
    struct pkt *pkt;

    if (!f->n)
        return NULL;
    e = at(f, find(f, id));
    if (e->id != id || !e->pkt)
        return NULL;
    pkt = e->pkt;
    e->pkt = NULL;
    f->bytes -= pkt->cap;
    trim(f);
    return pkt;
}

void flight_done(struct flight *f, struct pkt_pool *pool)
{
    struct pkt *pkt;

    while ((pkt = flight_take_oldest(f)))
        pkt_free(pool, pkt);
    free(f->v);
    *f = (struct flight){0};
}
