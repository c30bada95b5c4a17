#include "quic/bound_ring.h"

#include <stdlib.h>

#include "base/util.h"

static struct bound_sent *slot(const struct bound *b, uint64_t number)
{
    return &b->sent[number & (b->cap - 1)];
}

static void resize(struct bound *b, size_t cap)
{
    struct bound_sent *ring = calloc(cap, sizeof(*ring));

    if (!ring)
        return;
    for (uint64_t i = b->first; i < b->end; i++)
        ring[i & (cap - 1)] = *slot(b, i);
    free(b->sent);
    b->sent = ring;
    b->cap = cap;
}

/* A bulk transfer that pauses keeps its ring; when less was used since, it is given back. */
static void ring_emptied(struct bound *b)
{
    if (b->cap > BOUND_RING_MIN && b->used <= b->cap / 4)
        resize(b, BOUND_RING_MIN);
    b->used = 0;
}

void bound_ring_leave(struct bound *b, struct bound_sent *s)
{
    b->in_flight -= s->bytes;
    b->left += s->bytes;
    s->bytes = 0;
    while (b->first < b->end && !slot(b, b->first)->bytes)
        b->first++;
    if (b->first == b->end)
        ring_emptied(b);
}

struct bound_sent *bound_ring_find(struct bound *b, uint64_t number)
{
    struct bound_sent *s;

    if (number < b->first || number >= b->end)
        return NULL;
    s = slot(b, number);
    return s->bytes ? s : NULL;
}

void bound_ring_write_off(struct bound *b, uint64_t now_ns)
{
    uint64_t age_ns = 4 * b->rtt_ns + 300 * NS_PER_MS;

    while (b->first < b->end && slot(b, b->first)->sent_ns + age_ns <= now_ns)
        bound_ring_leave(b, slot(b, b->first));
}

void bound_ring_add(struct bound *b, uint64_t number, const struct bound_sent *sent)
{
    while (number - b->first >= b->cap) {
        size_t cap = b->cap;

        resize(b, cap ? 2 * cap : BOUND_RING_MIN);
        if (b->cap == cap)
            return;
    }
    for (uint64_t i = b->end; i < number; i++)
        slot(b, i)->bytes = 0;
    *slot(b, number) = *sent;
    b->end = number + 1;
    b->used = MAX(b->used, (size_t)(b->end - b->first));
    b->in_flight += sent->bytes;
}

void bound_ring_leave_lane(struct bound *b, uint32_t lane)
{
    uint64_t end = b->end;

    for (uint64_t i = b->first; i < end; i++)
        if (slot(b, i)->bytes && slot(b, i)->lane == lane)
            bound_ring_leave(b, slot(b, i));
}
