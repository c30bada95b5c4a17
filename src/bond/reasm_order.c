/* Whose turn it is: units of a flow are delivered in their order, as their classes want it; what is
 * missing is waited for as long as that makes sense, then it is given up, and so it is when memory
 * is wanted. */
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "bond/reasm_internal.h"

static void drop(struct reasm *r, enum drop_reason why)
{
    drop_count(r->opts.drops, why);
}

static void hand_over(struct reasm *r, struct pkt *pkt)
{
    r->stats.units++;
    r->opts.deliver(r->opts.user, pkt);
}

static void count_wait(struct reasm *r, uint64_t now_ns, const struct reasm_unit *u)
{
    struct reasm_path *path = &r->path[u->path % REASM_PATHS];

    r->stats.waited++;
    r->stats.wait_ns += now_ns - u->since_ns;
    path->waited++;
    path->wait_ns += now_ns - u->since_ns;
}

/* Ask whether the unit may go on; if not, it is dropped. */
static bool accepted(struct reasm *r, struct pkt *pkt)
{
    enum drop_reason why;

    if (r->opts.accept(r->opts.user, pkt, &why))
        return true;
    drop(r, why);
    pkt_free(r->opts.pkts, pkt);
    return false;
}

void reasm_deliver(struct reasm *r, struct pkt *pkt)
{
    if (accepted(r, pkt))
        hand_over(r, pkt);
}

uint64_t reasm_due_ns(const struct reasm *r, const struct reasm_flow *f)
{
    const struct reasm_unit *ready = reasm_unit_first_ready(r, f), *first = reasm_unit_first(r, f);
    uint64_t at_ns = f->used_ns + REASM_IDLE_NS;

    if (ready)
        at_ns = MIN(at_ns, f->hole_ns + reasm_wait_ns(r, reasm_class_of(r, ready), f->n_waiting));
    if (first && first != ready)
        at_ns = MIN(at_ns, first->since_ns + reasm_class_of(r, first)->deadline_ns);
    return at_ns;
}

/* A timer may be early: reasm_timeout() asks again. It is in the heap, so this cannot fail. */
static void rearm(struct reasm *r, struct reasm_flow *f)
{
    uint64_t at_ns = reasm_due_ns(r, f);

    if (at_ns < f->timer.key_ns)
        heap_set(&r->heap, &f->timer, at_ns);
}

void reasm_advance(struct reasm *r, uint64_t now_ns, struct reasm_flow *f)
{
    struct reasm_place *place = &r->place[f->number];
    bool moved = false;

    while (packed_seq_diff(f->top, place->base) > 0) {
        if (reasm_bit(f->done, place->base)) {
            reasm_bit_clear(f->done, place->base);
        } else if (reasm_bit(f->ready, place->base)) {
            struct reasm_unit *u = reasm_unit_find(r, f, place->base);

            count_wait(r, now_ns, u);
            hand_over(r, reasm_unit_take(r, u));
        } else {
            break;
        }
        place->base = reasm_seq_add(place->base, 1);
        moved = true;
    }
    if (!f->n_units && place->base == f->top) {
        reasm_flow_close(r, f);
        return;
    }
    if (moved && f->n_waiting)
        f->hole_ns = reasm_unit_first_ready(r, f)->since_ns;
    rearm(r, f);
}

/* It waits for its turn, if it may go on then; else it is dropped. */
static bool let_wait(struct reasm *r, uint64_t now_ns, struct reasm_unit *u)
{
    struct reasm_flow *f = u->flow;
    enum drop_reason why;

    if (!r->opts.accept(r->opts.user, u->pkt, &why)) {
        drop(r, why);
        pkt_free(r->opts.pkts, reasm_unit_take(r, u));
        return false;
    }
    if (!f->n_waiting++)
        f->hole_ns = now_ns;
    reasm_bit_set(f->ready, u->seq);
    return true;
}

/* What is complete from seq on, without a hole, goes on; nothing before it is waited for. */
static void pass(struct reasm *r, uint64_t now_ns, struct reasm_flow *f, uint32_t seq)
{
    for (; reasm_bit(f->ready, seq); seq = reasm_seq_add(seq, 1)) {
        struct reasm_unit *u = reasm_unit_find(r, f, seq);

        count_wait(r, now_ns, u);
        hand_over(r, reasm_unit_take(r, u));
        reasm_bit_set(f->done, seq);
    }
    f->passed = seq;
    if (f->n_waiting)
        f->hole_ns = reasm_unit_first_ready(r, f)->since_ns;
}

void reasm_on_complete(struct reasm *r, uint64_t now_ns, struct reasm_unit *u)
{
    const struct reasm_class *c = reasm_class_of(r, u);
    struct reasm_flow *f = u->flow;
    uint32_t seq = u->seq;
    bool next = seq == f->passed;

    u->since_ns = now_ns;
    u->pkt->gso = u->kind;
    u->pkt->gso_size = u->segment;
    if (seq == r->place[f->number].base || next || !reasm_wait_ns(r, c, 0))
        reasm_deliver(r, reasm_unit_take(r, u));
    else if (let_wait(r, now_ns, u))
        return;
    reasm_bit_set(f->done, seq);
    if (next)
        pass(r, now_ns, f, reasm_seq_add(seq, 1));
}

void reasm_abandon(struct reasm *r, struct reasm_unit *u)
{
    uint8_t kind = u->kind;
    uint16_t segment = u->segment;
    struct pkt *pkt = reasm_unit_take(r, u);

    drop(r, DROP_INCOMPLETE);
    if (!pkt)
        return;
    pkt->gso = kind;
    pkt->gso_size = segment;
    if (kind == PKT_GSO_NONE || !reasm_run_cut(pkt, segment)) {
        pkt_free(r->opts.pkts, pkt);
    } else if (accepted(r, pkt)) {
        r->stats.cut++;
        hand_over(r, pkt);
    }
}

/* Numbers from the base on are below it from now on. */
static void move_base(struct reasm_flow *f, struct reasm_place *place, uint32_t to)
{
    uint32_t n = (uint32_t)packed_seq_diff(to, place->base);

    if (n >= REASM_WINDOW)
        memset(f->done, 0, sizeof(f->done));
    for (uint32_t seq = place->base, run; n && n < REASM_WINDOW; n -= run) {
        uint64_t mask;

        run = reasm_run_in_word(seq, n, &mask);
        f->done[seq % REASM_WINDOW / 64] &= ~mask;
        seq = reasm_seq_add(seq, run);
    }
    place->base = to;
}

/* From unit to unit that is held: those between cost nothing, however many. */
void reasm_skip_to(struct reasm *r, uint64_t now_ns, struct reasm_flow *f, uint32_t seq)
{
    struct reasm_place *place = &r->place[f->number];

    r->stats.holes++;
    while (packed_seq_diff(seq, place->base) > 0) {
        struct reasm_unit *u = reasm_unit_first(r, f);

        if (!u || packed_seq_diff(u->seq, seq) >= 0) {
            move_base(f, place, seq);
            break;
        }
        move_base(f, place, reasm_seq_add(u->seq, 1));
        if (reasm_unit_complete(u))
            hand_over(r, reasm_unit_take(r, u));
        else
            reasm_abandon(r, u);
    }
    if (packed_seq_diff(f->top, place->base) < 0)
        f->top = place->base;
    reasm_advance(r, now_ns, f);
}

/* What waits behind the first hole goes on without it, out of order, and so does what comes next:
 * what is missing is welcome when it comes all the same. */
static void overtake(struct reasm *r, uint64_t now_ns, struct reasm_flow *f)
{
    pass(r, now_ns, f, reasm_unit_first_ready(r, f)->seq);
    r->stats.holes++;
    reasm_advance(r, now_ns, f);
}

void reasm_give_up(struct reasm *r, uint64_t now_ns, struct reasm_flow *f)
{
    const struct reasm_unit *u = reasm_unit_first_ready(r, f);

    if (u && reasm_class_of(r, u)->order == REASM_ORDER_REORDER)
        overtake(r, now_ns, f);
    else if (u)
        reasm_skip_to(r, now_ns, f, u->seq);
    else if ((u = reasm_unit_first(r, f)))
        reasm_skip_to(r, now_ns, f, reasm_seq_add(u->seq, 1));
    else
        reasm_skip_to(r, now_ns, f, f->top);
}

void reasm_keep_bounds(struct reasm *r, uint64_t now_ns)
{
    while (heap_top(&r->heap) && reasm_pool_exceeded(r)) {
        r->stats.evicted++;
        reasm_give_up(r, now_ns, container_of(heap_top(&r->heap), struct reasm_flow, timer));
    }
}
