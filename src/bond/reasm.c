#include "bond/reasm.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "bond/reasm_internal.h"

enum { PLACES_FIRST = 8 };

static void drop(struct reasm *r, enum drop_reason why)
{
    drop_count(r->opts.drops, why);
}

/* --- places and flows ------------------------------------------------------------------- */

static struct reasm_place *place_of(struct reasm *r, unsigned number)
{
    struct reasm_place *more;
    unsigned n = r->n_places ? r->n_places : PLACES_FIRST;

    if (number < r->n_places)
        return &r->place[number];
    while (n <= number)
        n *= 2;
    more = realloc(r->place, n * sizeof(*more));
    if (!more)
        return NULL;
    memset(more + r->n_places, 0, (n - r->n_places) * sizeof(*more));
    r->place = more;
    r->n_places = n;
    return &r->place[number];
}

static void flow_init(struct reasm_flow *f, uint64_t now_ns, unsigned number, uint32_t base)
{
    memset(f, 0, offsetof(struct reasm_flow, unit)); /* the index is looked at where a bit is set */
    f->number = number;
    f->top = f->passed = base;
    for (unsigned i = 0; i < REASM_LOOKS; i++)
        f->seen[i] = base;
    f->used_ns = now_ns;
}

static struct reasm_flow *open_flow(struct reasm *r, uint64_t now_ns, unsigned number)
{
    struct reasm_place *place = &r->place[number];
    struct reasm_flow *f = place->open ? NULL : reasm_pool_take_flow(r);

    if (!f)
        return place->open;
    flow_init(f, now_ns, number, place->base);
    if (heap_set(&r->heap, &f->timer, now_ns + REASM_IDLE_NS)) {
        reasm_pool_return_flow(r, f);
        return NULL;
    }
    place->open = f;
    return f;
}

void reasm_flow_close(struct reasm *r, struct reasm_flow *f)
{
    heap_remove(&r->heap, &f->timer);
    r->place[f->number].open = NULL;
    reasm_pool_return_flow(r, f);
}

/* --- frames ----------------------------------------------------------------------------- */

static bool is_whole(const struct packed_frame *f)
{
    return f->type == PACKED_PACKET || (f->first && f->len == f->total);
}

/* Deliver a unit that has come in one frame and whose order does not matter. */
static void deliver_whole(struct reasm *r, const struct packed_frame *f)
{
    struct pkt *pkt = pkt_new(r->opts.pkts, f->len);

    if (!pkt) {
        drop(r, DROP_NO_BUFFER);
        return;
    }
    memcpy(pkt->data, f->data, f->len);
    pkt->len = f->len;
    if (f->type == PACKED_RANGE) {
        pkt->gso = f->kind;
        pkt->gso_size = f->segment;
    }
    reasm_deliver(r, pkt);
}

static void duplicate(struct reasm *r)
{
    r->stats.duplicates++;
    drop(r, DROP_DUPLICATE);
}

/* Without a struct to be had: a whole unit goes on, of a range nothing can be made. */
static void without_flow(struct reasm *r, struct reasm_place *place, const struct packed_frame *f)
{
    if (!is_whole(f)) {
        drop(r, DROP_NO_BUFFER);
        return;
    }
    if (!place->open)
        place->base = reasm_seq_add(f->seq, 1);
    else
        reasm_bit_set(place->open->done, f->seq);
    deliver_whole(r, f);
}

static struct reasm_path *path_of(struct reasm *r)
{
    return &r->path[r->from % REASM_PATHS];
}

/* The unit that the frame is of. NULL when there is none yet and none to be had. */
static struct reasm_unit *unit_of(struct reasm *r, uint64_t now_ns, unsigned class,
                                  struct reasm_flow *f, uint32_t seq)
{
    struct reasm_unit *u = reasm_unit_find(r, f, seq);

    if (u)
        return u;
    u = reasm_unit_new(r, f, seq);
    if (u) {
        u->class = (uint8_t) class;
        u->path = r->from;
        u->since_ns = now_ns;
    }
    return u;
}

static void rx_unit(struct reasm *r, uint64_t now_ns, unsigned class, struct reasm_flow *f,
                    const struct packed_frame *frame)
{
    bool fresh = !reasm_unit_find(r, f, frame->seq);
    struct reasm_unit *u = unit_of(r, now_ns, class, f, frame->seq);
    int rv;

    f->used_ns = now_ns;
    f->class = (uint8_t) class;
    path_of(r)->units += fresh;
    if (packed_seq_diff(frame->seq + 1, f->top) > 0)
        f->top = reasm_seq_add(frame->seq, 1);
    else
        path_of(r)->reordered += fresh;
    if (!u) {
        without_flow(r, &r->place[f->number], frame);
        reasm_advance(r, now_ns, f);
        return;
    }
    if (reasm_unit_complete(u)) {
        duplicate(r);
        return;
    }
    rv = reasm_unit_add(r, u, frame);
    if (rv == -EEXIST)
        duplicate(r);
    else if (rv)
        drop(r, rv == -ENOBUFS ? DROP_NO_BUFFER : DROP_MALFORMED);
    if (reasm_unit_complete(u))
        reasm_on_complete(r, now_ns, u);
    reasm_advance(r, now_ns, f);
    reasm_keep_bounds(r, now_ns);
}

/* Wait for none of these n numbers any longer, which lie in the window; what is complete stays. A
 * word at a time: a datagram has room for hundreds of such frames. */
static void forget_units(struct reasm *r, struct reasm_flow *f, uint32_t seq, uint32_t n)
{
    while (n) {
        uint32_t word = seq % REASM_WINDOW / 64;
        uint64_t mask, open;
        uint32_t run = reasm_run_in_word(seq, n, &mask);

        mask &= ~f->ready[word];
        for (open = f->held[word] & mask; open; open &= open - 1)
            reasm_abandon(r,
                          reasm_unit_find(r, f, seq - seq % 64 + (uint32_t)__builtin_ctzll(open)));
        f->done[word] |= mask;
        seq = reasm_seq_add(seq, run);
        n -= run;
    }
    if (packed_seq_diff(seq, f->top) > 0)
        f->top = seq;
}

static void rx_gone(struct reasm *r, uint64_t now_ns, struct reasm_place *place,
                    const struct packed_frame *frame)
{
    int32_t from = MAX(packed_seq_diff(frame->seq, place->base), 0);
    int64_t to = (int64_t)packed_seq_diff(frame->seq, place->base) + frame->count;
    struct reasm_flow *f;

    to = MIN(to, REASM_WINDOW);
    if (to <= from)
        return;
    f = open_flow(r, now_ns, frame->flow);
    if (!f)
        return;
    forget_units(r, f, reasm_seq_add(place->base, (uint32_t)from), (uint32_t)(to - from));
    reasm_advance(r, now_ns, f);
}

void reasm_rx(struct reasm *r, uint64_t now_ns, unsigned class, const struct packed_frame *frame)
{
    struct reasm_place *place;
    struct reasm_flow *f;
    int32_t ahead;

    if (!frame->has_seq) {
        deliver_whole(r, frame);
        return;
    }
    place = place_of(r, frame->flow);
    if (!place) {
        drop(r, DROP_NO_BUFFER);
        return;
    }
    if (frame->type == PACKED_GONE) {
        rx_gone(r, now_ns, place, frame);
        return;
    }
    ahead = packed_seq_diff(frame->seq, place->base);
    if (ahead == 0 && !place->open && is_whole(frame)) { /* as nearly always */
        place->base = reasm_seq_add(place->base, 1);
        path_of(r)->units++;
        deliver_whole(r, frame);
        return;
    }
    if (ahead < 0) {
        duplicate(r);
        return;
    }
    f = open_flow(r, now_ns, frame->flow);
    if (!f) {
        without_flow(r, place, frame);
        return;
    }
    if (ahead >= REASM_WINDOW) {
        reasm_skip_to(r, now_ns, f, reasm_seq_add(frame->seq, PACKED_SEQ_MASK + 2 - REASM_WINDOW));
        f = open_flow(r, now_ns, frame->flow); /* it may have been closed */
        if (!f) {
            without_flow(r, place, frame);
            return;
        }
    }
    if (reasm_bit(f->done, frame->seq))
        duplicate(r);
    else
        rx_unit(r, now_ns, class, f, frame);
}

/* --- time and life ---------------------------------------------------------------------- */

uint64_t reasm_deadline_ns(const struct reasm *r)
{
    return heap_top(&r->heap) ? heap_top(&r->heap)->key_ns : TIME_NEVER_NS;
}

void reasm_timeout(struct reasm *r, uint64_t now_ns)
{
    while (reasm_deadline_ns(r) <= now_ns) {
        struct reasm_flow *f = container_of(heap_top(&r->heap), struct reasm_flow, timer);
        uint64_t at_ns = reasm_due_ns(r, f);

        if (at_ns > now_ns)
            heap_set(&r->heap, &f->timer, at_ns);
        else
            reasm_give_up(r, now_ns, f);
    }
}

void reasm_init(struct reasm *r, const struct reasm_opts *opts)
{
    *r = (struct reasm){.opts = *opts, .patience.mend_ns = TIME_NEVER_NS};
    if (!r->opts.max_bytes)
        r->opts.max_bytes = REASM_BYTES_MAX;
}

void reasm_set_class(struct reasm *r, unsigned class, const struct reasm_class *c)
{
    r->class[class % PACKED_CLASSES] = *c;
}

void reasm_set_patience(struct reasm *r, const struct reasm_patience *patience)
{
    r->patience = *patience;
}

void reasm_reset(struct reasm *r)
{
    while (heap_top(&r->heap)) {
        struct reasm_flow *f = container_of(heap_top(&r->heap), struct reasm_flow, timer);

        while (f->n_units) {
            drop(r, DROP_NO_SESSION);
            pkt_free(r->opts.pkts, reasm_unit_take(r, reasm_unit_first(r, f)));
        }
        reasm_flow_close(r, f);
    }
    free(r->place);
    r->place = NULL;
    r->n_places = 0;
}

void reasm_done(struct reasm *r)
{
    reasm_reset(r);
    heap_done(&r->heap);
}

unsigned reasm_held(const struct reasm *r, unsigned flow, uint32_t *ret_base)
{
    const struct reasm_place *place = flow < r->n_places ? &r->place[flow] : NULL;

    *ret_base = place ? place->base : 0;
    return place && place->open ? place->open->n_units : 0;
}
