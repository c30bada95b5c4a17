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
void flight_trim(struct flight *f)
{
    while (f->n && !at(f, 0)->pkt) {
        f->head = (f->head + 1) & (f->cap - 1);
        f->n--;
    }
}

struct pkt *flight_take_at(struct flight *f, unsigned i)
{
    struct pkt *pkt = at(f, i)->pkt;

    at(f, i)->pkt = NULL;
    f->bytes -= pkt->cap;
    return pkt;
}

const struct pkt *flight_oldest(struct flight *f)
{
    flight_trim(f);
    return f->n ? at(f, 0)->pkt : NULL;
}

struct pkt *flight_take_oldest(struct flight *f)
{
    struct pkt *pkt;

    flight_trim(f);
    if (!f->n)
        return NULL;
    pkt = flight_take_at(f, 0);
    flight_trim(f);
    return pkt;
}

struct pkt *flight_add(struct flight *f, uint64_t id, struct pkt *pkt)
{
    struct pkt *out = NULL;

    flight_trim(f);
    if (f->n == f->cap && grow(f)) {
        out = flight_take_oldest(f);
        if (!out)
            return pkt;
    }
    f->n++;
    *at(f, f->n - 1) = (struct flight_entry){id, pkt->flow, pkt};
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

struct pkt *flight_next_of(const struct flight *f, unsigned *i, uint64_t flows)
{
    while (*i < f->n) {
        const struct flight_entry *e = at(f, (*i)++);

        if (e->pkt && e->flows & flows)
            return e->pkt;
    }
    return NULL;
}

struct pkt *flight_take(struct flight *f, uint64_t id)
{
    struct pkt *pkt;
    unsigned i;

    if (!f->n)
        return NULL;
    i = find(f, id);
    if (at(f, i)->id != id || !at(f, i)->pkt)
        return NULL;
    pkt = flight_take_at(f, i);
    flight_trim(f);
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
