/* What a receiver says of what it misses. A flow's top is noted at each look; what was below it a
 * look ago and is not there yet is missing. So a hole is one look to two looks old when it is named
 * first; it is named again as long as it is there, some times, because a report may be lost, or
 * what was sent again for it. */
#include <string.h>

#include "base/util.h"
#include "bond/reasm_internal.h"

static unsigned gaps_of(const struct reasm *r, const struct reasm_flow *f, uint32_t from,
                        uint32_t to, struct packed_gap *ret, unsigned max)
{
    unsigned n = 0;

    for (uint32_t seq = from; n < max && packed_seq_diff(to, seq) > 0;
         seq = reasm_seq_add(seq, 1)) {
        const struct reasm_unit *u = reasm_unit_find(r, f, seq);

        if (reasm_bit(f->done, seq) || reasm_bit(f->ready, seq))
            continue;
        if (u)
            n += reasm_unit_gaps(u, ret + n, max - n);
        else
            ret[n++] = (struct packed_gap){.seq = seq};
    }
    for (unsigned i = 0; i < n; i++)
        ret[i].flow = (uint16_t)f->number;
    return n;
}

/* A number noted at an earlier look: what is below the base, or so far off that the flow has begun
 * anew since, is dealt with. */
static uint32_t still(uint32_t seen, uint32_t base)
{
    int32_t ahead = packed_seq_diff(seen, base);

    return ahead < 0 || ahead > REASM_WINDOW ? base : seen;
}

static unsigned look(const struct reasm *r, struct reasm_flow *f, struct packed_gap *ret,
                     unsigned max)
{
    uint32_t base = r->place[f->number].base;
    unsigned n =
        gaps_of(r, f, still(f->seen[REASM_LOOKS - 1], base), still(f->seen[0], base), ret, max);

    if (n && n == max) { /* the rest with the next report */
        f->seen[REASM_LOOKS - 1] = reasm_seq_add(ret[n - 1].seq, 1);
        return n;
    }
    memmove(&f->seen[1], &f->seen[0], sizeof(f->seen) - sizeof(f->seen[0]));
    f->seen[0] = reasm_seq_add(f->top, PACKED_SEQ_MASK); /* the highest may be coming yet */
    return n;
}

unsigned reasm_gaps(struct reasm *r, struct packed_gap *ret, unsigned max)
{
    size_t n_flows = r->heap.n;
    unsigned n = 0;

    for (size_t i = 0; i < n_flows && n < max; i++) {
        struct heap_node *node = r->heap.v[1 + (r->gaps_turn + i) % n_flows];

        struct reasm_flow *f = container_of(node, struct reasm_flow, timer);

        if (r->class[f->class].once)
            continue;
        n += look(r, f, ret + n, max - n);
        if (n == max)
            r->gaps_turn = (unsigned)((r->gaps_turn + i) % n_flows); /* there is more of this one */
    }
    return n;
}
