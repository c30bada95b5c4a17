/* What the files of the receiver share. Nobody outside them includes it.
 *
 *   reasm.c        frames, time, life
 *   reasm_order.c  whose turn it is: delivery, waiting, giving up, the bound
 *   reasm_unit.c   one unit: bytes, pieces, and what is left of a run
 *   reasm_pool.c   what all sessions share
 *   reasm_gaps.c   what to say of what is missing
 *
 * Of what is open of a flow everything is found by its number modulo the window: bits say which
 * units are done with, held, and complete; an index leads to those that are held. So no step takes
 * longer with many units than with one. */
#ifndef BOND_REASM_INTERNAL_H
#define BOND_REASM_INTERNAL_H

#include "base/util.h"
#include "bond/reasm.h"

enum { REASM_WORDS = REASM_WINDOW / 64, REASM_LOOKS = REASM_NAMED_MAX + 1 };

/* A unit that is not delivered: incomplete, or waiting. */
struct reasm_unit {
    struct reasm_unit *next_free;
    struct reasm_flow *flow; /* NULL: in the pool */
    uint32_t seq;
    uint32_t total; /* 0: its beginning has not come */
    uint32_t have;  /* bytes at the beginning of pkt; == total: complete */
    uint16_t segment;
    uint8_t kind, class;
    uint8_t path; /* that its first byte came over */
    uint8_t n_pieces;
    struct pkt *pkt;    /* NULL: its beginning has not come */
    struct pkt *pieces; /* behind a hole, by offset (piece_at()) */
    uint64_t since_ns;  /* its first byte came; when complete: it became so */
};

/* What is open of a flow. Units below the base of its place are done with; all others lie less than
 * the window above it. */
struct reasm_flow {
    struct heap_node timer;
    struct reasm_flow *next_free;
    unsigned n_units, n_waiting; /* the latter are complete */
    uint64_t done[REASM_WORDS];  /* bits by seq modulo the window: done with, */
    uint64_t held[REASM_WORDS];  /* held, */
    uint64_t ready[REASM_WORDS]; /* held and complete */
    uint32_t top;                /* behind the highest that has come */
    uint32_t passed; /* reorder: what is missing below is not waited for any longer; at most the
                      * base of its place: nothing */
    uint32_t number;
    uint32_t seen[REASM_LOOKS]; /* top at the last calls of reasm_gaps(), the last one first */
    uint8_t class;              /* of what came last */
    uint64_t hole_ns;           /* n_waiting: when it was seen that something is missing */
    uint64_t used_ns;
    uint16_t unit[REASM_WINDOW]; /* held: which of the pool's */
};

struct reasm_place {
    struct reasm_flow *open; /* NULL: everything below base was dealt with, nothing above came */
    uint32_t base;
};

struct reasm_pool {
    struct reasm_flow *flows, *free_flow;
    struct reasm_unit *units, *free_unit;
    unsigned n_flows, n_units;         /* in all, */
    unsigned fresh_flows, fresh_units; /* of them never used yet, at the end: memory untouched */
    unsigned used_flows, used_units;   /* of them in use */
    size_t bytes, max_bytes;
};

static inline uint32_t reasm_seq_add(uint32_t seq, uint32_t n)
{
    return (seq + n) & PACKED_SEQ_MASK;
}

static inline bool reasm_bit(const uint64_t bits[REASM_WORDS], uint32_t seq)
{
    return bits[seq % REASM_WINDOW / 64] >> seq % 64 & 1;
}

static inline void reasm_bit_set(uint64_t bits[REASM_WORDS], uint32_t seq)
{
    bits[seq % REASM_WINDOW / 64] |= UINT64_C(1) << seq % 64;
}

static inline void reasm_bit_clear(uint64_t bits[REASM_WORDS], uint32_t seq)
{
    bits[seq % REASM_WINDOW / 64] &= ~(UINT64_C(1) << seq % 64);
}

/* Of n numbers from seq on those that share a word of bits with it: how many, and their bits. */
static inline uint32_t reasm_run_in_word(uint32_t seq, uint32_t n, uint64_t *ret_mask)
{
    uint32_t left = 64 - seq % 64, run = MIN(n, left);

    *ret_mask = (UINT64_MAX >> (64 - run) % 64) << seq % 64;
    return run;
}

static inline bool reasm_unit_complete(const struct reasm_unit *u)
{
    return u->total && u->have == u->total;
}

static inline const struct reasm_class *reasm_class_of(const struct reasm *r,
                                                       const struct reasm_unit *u)
{
    return &r->class[u->class];
}

/* How long a unit of that class waits for a hole, of n that wait. */
static inline uint64_t reasm_wait_ns(const struct reasm *r, const struct reasm_class *c, unsigned n)
{
    uint64_t wait_ns = r->patience.late_ns, more_ns = n * REASM_DENSE_NS;

    if (c->order == REASM_ORDER_NONE)
        return 0;
    if (c->order == REASM_ORDER_RECOVER)
        return MIN(c->wait_ns, r->patience.mend_ns);
    if (wait_ns && !c->once && n >= REASM_DENSE_UNITS)
        wait_ns = MAX(wait_ns, MIN(wait_ns + more_ns, r->patience.mend_ns));
    return MIN(c->wait_ns, wait_ns);
}

/* --- reasm_pool.c ------------------------------------------------------------------------ */

/* NULL when the session has its share. */
struct reasm_flow *reasm_pool_take_flow(struct reasm *r);
void reasm_pool_return_flow(struct reasm *r, struct reasm_flow *f);
struct reasm_unit *reasm_pool_take_unit(struct reasm *r);
void reasm_pool_return_unit(struct reasm *r, struct reasm_unit *u);

/* A buffer is held from now on, or no longer. It counts as a whole: a byte in a large one keeps all
 * of it. */
void reasm_pool_hold(struct reasm *r, const struct pkt *pkt);
void reasm_pool_release(struct reasm *r, const struct pkt *pkt);

/* More than its share: others need buffers too. */
bool reasm_pool_exceeded(const struct reasm *r);

/* --- reasm_unit.c ------------------------------------------------------------------------ */

/* The unit of that number, which lies in the window; NULL when it is not held. */
struct reasm_unit *reasm_unit_find(const struct reasm *r, const struct reasm_flow *f, uint32_t seq);

/* The bytes that it misses, in order, at most max places, as entries of GAPS without its flow; len
 * 0: to its end. Returns how many. */
unsigned reasm_unit_gaps(const struct reasm_unit *u, struct packed_gap *ret, unsigned max);

/* The lowest that is held, or of them complete; NULL: none. */
struct reasm_unit *reasm_unit_first(const struct reasm *r, const struct reasm_flow *f);
struct reasm_unit *reasm_unit_first_ready(const struct reasm *r, const struct reasm_flow *f);

/* NULL when the pool gives none. */
struct reasm_unit *reasm_unit_new(struct reasm *r, struct reasm_flow *f, uint32_t seq);

/* Take it out of its flow and give it back; its packet, if any, is the caller's. */
struct pkt *reasm_unit_take(struct reasm *r, struct reasm_unit *u);

/* Add what a PACKET or RANGE brings. Returns 0; -EEXIST: there already; -ENOBUFS; -EBADMSG: it
 * contradicts what came before. */
int reasm_unit_add(struct reasm *r, struct reasm_unit *u, const struct packed_frame *f);

/* Leave of an incomplete run the whole segments at its beginning: true when there are any. */
bool reasm_run_cut(struct pkt *pkt, uint32_t segment);

/* --- reasm_order.c ----------------------------------------------------------------------- */

/* Deliver a packet if it may go on; else it is dropped. */
void reasm_deliver(struct reasm *r, struct pkt *pkt);

/* A unit has become complete: deliver it, or let it wait for its turn. */
void reasm_on_complete(struct reasm *r, uint64_t now_ns, struct reasm_unit *u);

/* Deliver what has its turn now. A flow that has nothing open is closed. */
void reasm_advance(struct reasm *r, uint64_t now_ns, struct reasm_flow *f);

/* An incomplete unit is not waited for any longer. */
void reasm_abandon(struct reasm *r, struct reasm_unit *u);

/* Wait for nothing below seq any longer. May close the flow. */
void reasm_skip_to(struct reasm *r, uint64_t now_ns, struct reasm_flow *f, uint32_t seq);

/* When the patience with the flow ends, and what happens then: what waits goes on (reorder), and
 * what is missing is given up (recover, and what is incomplete). */
uint64_t reasm_due_ns(const struct reasm *r, const struct reasm_flow *f);
void reasm_give_up(struct reasm *r, uint64_t now_ns, struct reasm_flow *f);

/* Give up as much as is held too much. */
void reasm_keep_bounds(struct reasm *r, uint64_t now_ns);

/* --- reasm.c ----------------------------------------------------------------------------- */

void reasm_flow_close(struct reasm *r, struct reasm_flow *f);

#endif
