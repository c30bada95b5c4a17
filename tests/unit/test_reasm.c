#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/rng.h"
#include "base/util.h"
#include "bond/reasm.h"

/* The first eight bytes of a unit in these tests: flow, seq, length; the rest follows from them. */
enum { FLOWS = 5, UNITS = 200, UNIT_MIN = 12, DELIVERED_MAX = 4096, HELD_FLOWS = 64 };

struct delivered {
    unsigned flow;
    uint32_t seq;
};

struct fixture {
    struct pkt_pool *pkts;
    struct reasm_pool *pool;
    struct drop_counters drops;
    struct reasm r;
    struct delivered got[DELIVERED_MAX];
    unsigned n_got;
    bool refuse;
    struct pkt *last; /* kept for the test to look at */
};

static void fill_unit(uint8_t *p, unsigned flow, uint32_t seq, uint32_t len)
{
    struct rng rng;

    rng_seed(&rng, (uint64_t)flow << 32 | seq);
    rng_bytes(&rng, p, len);
    store_be16(p, (uint16_t)flow);
    store_be32(p + 2, seq);
    store_be32(p + 6, len);
}

static bool on_accept(void *user, struct pkt *pkt, enum drop_reason *ret_why)
{
    struct fixture *x = user;

    *ret_why = DROP_SOURCE;
    return !x->refuse;
}

/* What is delivered is what was sent, to the byte. */
static void on_deliver(void *user, struct pkt *pkt)
{
    static uint8_t want[PACKED_UNIT_MAX];
    struct fixture *x = user;

    if (pkt->gso == PKT_GSO_NONE) {
        unsigned flow = load_be16(pkt->data);
        uint32_t seq = load_be32(pkt->data + 2), len = load_be32(pkt->data + 6);

        assert_int_equal(pkt->len, len);
        fill_unit(want, flow, seq, len);
        assert_memory_equal(pkt->data, want, len);
        assert_true(x->n_got < DELIVERED_MAX);
        x->got[x->n_got++] = (struct delivered){flow, seq};
    }
    pkt_free(x->pkts, x->last);
    x->last = pkt;
}

static int setup(void **state)
{
    static struct fixture x;

    memset(&x, 0, sizeof(x));
    x.pkts = pkt_pool_new(8192, 1024);
    x.pool = reasm_pool_new(HELD_FLOWS, 4096, 128 << 20);
    reasm_init(&x.r, &(struct reasm_opts){.pool = x.pool,
                                          .pkts = x.pkts,
                                          .drops = &x.drops,
                                          .accept = on_accept,
                                          .deliver = on_deliver,
                                          .user = &x});
    for (unsigned c = 0; c < PACKED_CLASSES; c++)
        reasm_set_class(&x.r, c, &(struct reasm_class){REASM_ORDER_RECOVER, NS_PER_S, NS_PER_S});
    reasm_set_patience(&x.r, &(struct reasm_patience){NS_PER_S, NS_PER_S});
    *state = &x;
    return 0;
}

/* Whatever happened, nothing is held for ever, and every byte is given back. */
static int teardown(void **state)
{
    struct fixture *x = *state;
    uint64_t now_ns = 0;

    for (unsigned i = 0; i < 100000 && reasm_deadline_ns(&x->r) != TIME_NEVER_NS; i++) {
        now_ns = MAX(now_ns, reasm_deadline_ns(&x->r));
        reasm_timeout(&x->r, now_ns);
    }
    if (reasm_deadline_ns(&x->r) != TIME_NEVER_NS || x->r.bytes)
        return -1;
    reasm_done(&x->r);
    pkt_free(x->pkts, x->last);
    pkt_pool_free(x->pkts);
    reasm_pool_free(x->pool);
    return 0;
}

static void give(struct fixture *x, uint64_t now_ns, unsigned class, const struct packed_frame *f)
{
    reasm_rx(&x->r, now_ns, class, f);
}

static void give_packet(struct fixture *x, uint64_t now_ns, unsigned flow, uint32_t seq,
                        uint32_t len)
{
    uint8_t data[2048];

    fill_unit(data, flow, seq, len);
    give(x, now_ns, 0,
         &(struct packed_frame){.type = PACKED_PACKET,
                                .has_seq = true,
                                .flow = (uint16_t)flow,
                                .seq = seq,
                                .data = data,
                                .len = len});
}

static void give_range(struct fixture *x, uint64_t now_ns, unsigned flow, uint32_t seq,
                       uint32_t total, uint32_t from, uint32_t to)
{
    static uint8_t data[PACKED_UNIT_MAX];

    fill_unit(data, flow, seq, total);
    give(x, now_ns, 0,
         &(struct packed_frame){.type = PACKED_RANGE,
                                .has_seq = true,
                                .first = from == 0,
                                .flow = (uint16_t)flow,
                                .seq = seq,
                                .total = total,
                                .offset = from,
                                .data = data + from,
                                .len = to - from});
}

static void give_gone(struct fixture *x, uint64_t now_ns, unsigned flow, uint32_t seq,
                      uint32_t count)
{
    give(x, now_ns, 0,
         &(struct packed_frame){.type = PACKED_GONE,
                                .has_seq = true,
                                .flow = (uint16_t)flow,
                                .seq = seq,
                                .count = count});
}

static void assert_got(const struct fixture *x, unsigned i, unsigned flow, uint32_t seq)
{
    assert_true(i < x->n_got);
    assert_int_equal(x->got[i].flow, flow);
    assert_int_equal(x->got[i].seq, seq);
}

/* --- one thing at a time ---------------------------------------------------------------- */

static void in_order_nothing_is_held(void **state)
{
    struct fixture *x = *state;
    uint32_t base;

    for (uint32_t seq = 0; seq < 100; seq++) {
        give_packet(x, seq, 3, seq, 60);
        assert_int_equal(x->n_got, seq + 1);
        assert_int_equal(reasm_held(&x->r, 3, &base), 0);
        assert_int_equal(base, seq + 1);
        assert_int_equal(reasm_deadline_ns(&x->r), TIME_NEVER_NS);
    }
}

static void a_unit_behind_a_hole_waits(void **state)
{
    struct fixture *x = *state;

    give_packet(x, 0, 1, 1, 60);
    give_packet(x, 0, 1, 2, 60);
    assert_int_equal(x->n_got, 0);
    give_packet(x, 10, 2, 0, 60); /* a stranger does not */
    assert_got(x, 0, 2, 0);
    give_packet(x, 20, 1, 0, 60);
    assert_got(x, 1, 1, 0);
    assert_got(x, 2, 1, 1);
    assert_got(x, 3, 1, 2);
    assert_int_equal(x->r.stats.waited, 2);
    assert_int_equal(x->r.stats.wait_ns, 40);
}

/* What came first over which path, behind later units, and had to wait. */
static void each_path_is_told_of(void **state)
{
    struct fixture *x = *state;

    x->r.from = 2;
    give_packet(x, 0, 1, 1, 60);
    give_packet(x, 0, 1, 2, 60);
    give_packet(x, 5, 2, 0, 60);
    x->r.from = 3;
    give_packet(x, 10, 1, 2, 60); /* once more */
    give_packet(x, 20, 1, 0, 60);
    assert_int_equal(x->n_got, 4);
    assert_int_equal(x->r.path[2].units, 3);
    assert_int_equal(x->r.path[2].reordered, 0);
    assert_int_equal(x->r.path[2].waited, 2);
    assert_int_equal(x->r.path[2].wait_ns, 40);
    assert_int_equal(x->r.path[3].units, 1);
    assert_int_equal(x->r.path[3].reordered, 1);
    assert_int_equal(x->r.path[3].waited, 0);
    assert_int_equal(x->r.path[0].units, 0);
}

static void the_wait_has_an_end(void **state)
{
    struct fixture *x = *state;

    give_packet(x, 1000, 1, 2, 60);
    give_packet(x, 2000, 1, 4, 60);
    assert_int_equal(reasm_deadline_ns(&x->r), NS_PER_S + 1000);
    reasm_timeout(&x->r, NS_PER_S + 999);
    assert_int_equal(x->n_got, 0);
    reasm_timeout(&x->r, NS_PER_S + 1000);
    assert_int_equal(x->n_got, 1);
    assert_got(x, 0, 1, 2);
    reasm_timeout(&x->r, NS_PER_S + 2000);
    assert_got(x, 1, 1, 4);
    assert_int_equal(x->r.stats.holes, 2);
    give_packet(x, NS_PER_S + 3000, 1, 3, 60); /* too late */
    assert_int_equal(x->n_got, 2);
    assert_int_equal(x->drops.n[DROP_DUPLICATE], 1);
    give_packet(x, NS_PER_S + 3000, 1, 5, 60);
    assert_got(x, 2, 1, 5);
}

static void gone_ends_the_wait(void **state)
{
    struct fixture *x = *state;

    give_packet(x, 0, 1, 3, 60);
    give_gone(x, 1, 1, 1, 2);
    assert_int_equal(x->n_got, 0);
    give_gone(x, 2, 1, 0, 1);
    assert_got(x, 0, 1, 3);
    give_gone(x, 3, 1, 4, 5); /* also of what nobody has seen */
    give_packet(x, 4, 1, 9, 60);
    assert_got(x, 1, 1, 9);
    give_gone(x, 5, 1, 0, 9);
    give_packet(x, 6, 1, 10, 60);
    assert_got(x, 2, 1, 10);
}

/* Whatever is held of the numbers that GONE names: what is complete stays, all else is not waited
 * for, and nothing beside them is touched. */
static void gone_reaches_over_what_is_held(void **state)
{
    enum { SPAN = 900, LEN = 60 };
    struct fixture *x = *state;
    struct rng rng;

    rng_seed(&rng, 11);
    for (unsigned round = 0; round < 200; round++) {
        uint32_t start = (uint32_t)rng_below(&rng, 3 * REASM_WINDOW), from, to, n = 0;
        bool complete[SPAN] = {false};

        reasm_reset(&x->r);
        x->n_got = 0;
        for (uint32_t at = 0; at < start; at += REASM_WINDOW / 2)
            give_gone(x, 0, 1, at, MIN(start - at, (uint32_t)REASM_WINDOW / 2));
        for (unsigned i = 0; i < 300; i++) {
            uint32_t at = 1 + (uint32_t)rng_below(&rng, SPAN - 1);

            complete[at] |= i % 2;
            give_range(x, 0, 1, start + at, LEN, 0, i % 2 ? LEN : LEN / 2);
        }
        from = 1 + (uint32_t)rng_below(&rng, SPAN - 1);
        to = from + 1 + (uint32_t)rng_below(&rng, SPAN - from);
        give_gone(x, 0, 1, start + from, to - from);
        assert_int_equal(x->n_got, 0);
        for (uint32_t at = 0; at < SPAN; at++)
            give_packet(x, 0, 1, start + at, LEN);
        for (uint32_t at = 0; at < SPAN; at++)
            if (complete[at] || at < from || at >= to)
                assert_got(x, n++, 1, start + at);
        assert_int_equal(x->n_got, n);
        assert_int_equal(reasm_held(&x->r, 1, &n), 0);
        assert_int_equal(n, start + SPAN);
    }
}

/* Far ahead of what is held: that is given up in its order, complete or not, wherever it lies. */
static void a_jump_ends_what_is_held(void **state)
{
    struct fixture *x = *state;
    struct rng rng;
    uint32_t base = 0;

    rng_seed(&rng, 12);
    for (unsigned round = 0; round < 300; round++) {
        uint32_t far = base + REASM_WINDOW + (uint32_t)rng_below(&rng, 3 * REASM_WINDOW), n = 0;
        bool complete[REASM_WINDOW] = {false};

        x->n_got = 0;
        for (unsigned i = 0; i < round % 50; i++) {
            uint32_t at = 1 + (uint32_t)rng_below(&rng, REASM_WINDOW - 1);

            complete[at] |= i % 2;
            give_range(x, 0, 1, base + at, 60, 0, i % 2 ? 60 : 30);
        }
        assert_int_equal(x->n_got, 0);
        give_packet(x, 0, 1, far, 60);
        for (uint32_t at = 1; at < REASM_WINDOW && base + at + REASM_WINDOW <= far; at++)
            if (complete[at])
                assert_got(x, n++, 1, base + at);
        give_gone(x, 0, 1, far + 1 - REASM_WINDOW, REASM_WINDOW - 1);
        assert_int_equal(x->got[x->n_got - 1].seq, far);
        assert_int_equal(reasm_held(&x->r, 1, &base), 0);
        assert_int_equal(base, far + 1);
        assert_int_equal(x->r.bytes, 0);
    }
}

static void each_is_delivered_once(void **state)
{
    struct fixture *x = *state;

    give_packet(x, 0, 1, 0, 60);
    give_packet(x, 0, 1, 0, 60);
    give_packet(x, 0, 1, 2, 60);
    give_packet(x, 0, 1, 2, 60);
    give_range(x, 0, 1, 2, 60, 0, 30);
    assert_int_equal(x->n_got, 1);
    give_packet(x, 0, 1, 1, 60);
    give_packet(x, 0, 1, 2, 60);
    assert_int_equal(x->n_got, 3);
    assert_int_equal(x->drops.n[DROP_DUPLICATE], 4);
}

static void without_order_nothing_waits(void **state)
{
    struct fixture *x = *state;

    reasm_set_class(&x->r, 0, &(struct reasm_class){REASM_ORDER_NONE, 0, NS_PER_S});
    give_packet(x, 0, 1, 5, 60);
    give_packet(x, 0, 1, 3, 60);
    give_packet(x, 0, 1, 5, 60);
    assert_int_equal(x->n_got, 2);
    assert_got(x, 0, 1, 5);
    assert_got(x, 1, 1, 3);
    assert_int_equal(x->drops.n[DROP_DUPLICATE], 1);
}

static void ranges_in_any_order(void **state)
{
    struct fixture *x = *state;

    give_range(x, 0, 1, 0, 9000, 6000, 7000);
    give_range(x, 0, 1, 0, 9000, 1000, 3000);
    give_range(x, 0, 1, 0, 9000, 2000, 6500);
    give_range(x, 0, 1, 0, 9000, 8000, 9000);
    give_range(x, 0, 1, 0, 9000, 0, 1200);
    assert_int_equal(x->n_got, 0);
    give_range(x, 0, 1, 0, 9000, 6900, 8100);
    assert_got(x, 0, 1, 0);
    assert_int_equal(x->r.bytes, 0);
}

static void what_contradicts_is_dropped(void **state)
{
    struct fixture *x = *state;

    give_range(x, 0, 1, 0, 500, 0, 100);
    give_range(x, 0, 1, 0, 900, 100, 600); /* reaches behind the total */
    give_range(x, 0, 1, 0, 900, 600, 900);
    assert_int_equal(x->drops.n[DROP_MALFORMED], 2);
    give_range(x, 0, 1, 0, 500, 300, 500);
    give_range(x, 0, 1, 0, 900, 0, 50);
    assert_int_equal(x->n_got, 0);
    assert_int_equal(x->drops.n[DROP_DUPLICATE], 1);
}

static void an_incomplete_unit_has_its_time(void **state)
{
    struct fixture *x = *state;

    give_range(x, 5, 1, 0, 500, 0, 100);
    give_range(x, 9, 2, 0, 500, 100, 200);
    assert_int_equal(reasm_deadline_ns(&x->r), NS_PER_S + 5);
    reasm_timeout(&x->r, NS_PER_S + 9);
    assert_int_equal(x->drops.n[DROP_INCOMPLETE], 2);
    assert_int_equal(x->r.bytes, 0);
    give_packet(x, NS_PER_S + 10, 1, 1, 60);
    assert_got(x, 0, 1, 1);
}

static void refused_units_hold_up_nothing(void **state)
{
    struct fixture *x = *state;

    give_packet(x, 0, 1, 1, 60);
    x->refuse = true;
    give_packet(x, 0, 1, 2, 60);
    give_packet(x, 0, 1, 0, 60);
    x->refuse = false;
    assert_int_equal(x->n_got, 1);
    assert_got(x, 0, 1, 1);
    give_packet(x, 0, 1, 3, 60);
    assert_got(x, 1, 1, 3);
    assert_int_equal(x->drops.n[DROP_SOURCE], 2);
}

static void numbers_wrap(void **state)
{
    struct fixture *x = *state;
    uint32_t base;

    /* Far ahead in two steps, which is what a receiver sees of a flow that it has missed. */
    give_packet(x, 0, 1, 0x7ffffe, 60);
    reasm_timeout(&x->r, 2 * NS_PER_S);
    give_packet(x, 2 * NS_PER_S, 1, 0xfffffd, 60);
    reasm_timeout(&x->r, 4 * NS_PER_S);
    assert_int_equal(x->n_got, 2);
    give_packet(x, 5 * NS_PER_S, 1, 1, 60);
    give_packet(x, 5 * NS_PER_S, 1, 0xffffff, 60);
    give_packet(x, 5 * NS_PER_S, 1, 0xfffffe, 60);
    assert_got(x, 2, 1, 0xfffffe);
    assert_got(x, 3, 1, 0xffffff);
    give_packet(x, 5 * NS_PER_S, 1, 0, 60);
    assert_got(x, 4, 1, 0);
    assert_got(x, 5, 1, 1);
    reasm_held(&x->r, 1, &base);
    assert_int_equal(base, 2);
}

static void the_window_moves_on(void **state)
{
    struct fixture *x = *state;

    for (uint32_t seq = 1; seq <= REASM_WINDOW; seq++)
        give_packet(x, 0, 1, seq, 60);
    assert_int_equal(x->n_got, REASM_WINDOW); /* 0 was given up for the last one */
    assert_got(x, 0, 1, 1);
    give_packet(x, 0, 1, 0, 60);
    assert_int_equal(x->drops.n[DROP_DUPLICATE], 1);
}

static void memory_is_bounded(void **state)
{
    struct fixture *x = *state;

    x->r.opts.max_bytes = 1 << 20;
    for (unsigned flow = 0; flow < 40; flow++) {
        give_range(x, flow, flow, 0, 40000, 0, 1000);
        assert_true(x->r.bytes <= x->r.opts.max_bytes);
    }
    assert_true(x->r.stats.evicted >= 20);
    assert_int_equal(x->drops.n[DROP_INCOMPLETE], x->r.stats.evicted);
}

/* A peer that begins units and ends none holds no more buffers than are left to others. */
static void held_within_a_share(void **state)
{
    struct fixture *x = *state;
    const struct pkt small = {.pool_class = 0};
    struct pkt *others = NULL, *pkt;

    while (pkt_pool_left(x->pkts, &small) > 40) {
        pkt = pkt_new(x->pkts, 100);
        pkt->next = others;
        others = pkt;
    }
    for (unsigned i = 0; i < 300; i++) {
        give_range(x, i, i % 40, i / 40, 1400, 0, 1000);
        assert_true(pkt_pool_left(x->pkts, &small) >= 19);
    }
    assert_true(x->r.stats.evicted >= 250);
    while ((pkt = others)) {
        others = pkt->next;
        pkt_free(x->pkts, pkt);
    }
}

static void without_flows_whole_units_go_on(void **state)
{
    enum { SHARE = (HELD_FLOWS - HELD_FLOWS / 4 + 16) / 2 }; /* of one session */
    struct fixture *x = *state;

    for (unsigned flow = 0; flow < SHARE; flow++)
        give_packet(x, 0, flow, 1, 60);
    assert_int_equal(x->n_got, 0);
    give_packet(x, 0, SHARE, 1, 60);
    assert_got(x, 0, SHARE, 1);
    give_range(x, 0, SHARE, 2, 100, 0, 50);
    assert_int_equal(x->drops.n[DROP_NO_BUFFER], 1);
    give_packet(x, 0, SHARE, 0, 60);
    assert_int_equal(x->n_got, 1);
    assert_int_equal(x->drops.n[DROP_DUPLICATE], 1);
}

/* A peer that ends nothing that it begins leaves half of the buffers, and of all else, to the
 * others: a second session puts its units together. */
static void a_session_has_a_share(void **state)
{
    static const uint32_t total[] = {1500, 10000, 60000}; /* of each size class of buffers */
    enum { SMALL = 128, LARGE = 8 };
    struct fixture *x = *state;
    struct pkt_pool *pkts = pkt_pool_new(SMALL, LARGE), *other = x->pkts;
    struct reasm hog;

    x->pkts = pkts;
    x->r.opts.pkts = pkts;
    hog = x->r;
    for (unsigned i = 0; i < 4 * SMALL; i++)
        give_range(x, 0, i % 32, i / 32, total[i % 3], i % 2 ? 0 : 100, 120);
    for (unsigned i = 0; i < 1000; i++)
        give_gone(x, 0, 100 + i, 5, 1);
    assert_in_range(pkt_pool_in_use(pkts), SMALL / 4, SMALL / 2 + 16 + 4 * LARGE / 2 + LARGE / 2);
    for (unsigned c = 0; c < PKT_CLASSES; c++)
        assert_true(pkt_pool_spare(pkts, c) > 0);
    {
        struct reasm held = x->r;

        x->r = hog;
        for (unsigned i = 0; i < 3; i++) {
            give_range(x, 0, i, 0, total[i], 0, 1000);
            give_range(x, 0, i, 0, total[i], 1000, total[i]);
        }
        assert_int_equal(x->n_got, 3);
        reasm_done(&x->r);
        x->r = held;
    }
    reasm_reset(&x->r);
    pkt_free(pkts, x->last);
    x->last = NULL;
    assert_int_equal(pkt_pool_in_use(pkts), 0);
    pkt_pool_free(pkts);
    x->pkts = x->r.opts.pkts = other;
}

/* Many that take all they can get leave enough of flows and units to one who needs a few. */
static void those_who_take_all_leave_some(void **state)
{
    enum { HOGS = 20, POOL_FLOWS = 1024, POOL_UNITS = 4096, TRIES = 1200 };
    struct fixture *x = *state;
    struct reasm_pool *pool = reasm_pool_new(POOL_FLOWS, POOL_UNITS, 128 << 20);
    struct reasm hog[HOGS], own = x->r;
    unsigned got;

    for (unsigned h = 0; h < HOGS; h++) {
        x->n_got = 0;
        x->r = own;
        x->r.opts.pool = pool;
        for (unsigned i = 0; i < TRIES; i++)
            give_gone(x, 0, i, 5, 1);
        for (unsigned i = 0; i < TRIES; i++)
            give_packet(x, 0, 0, 6 + i % 1000, 60);
        hog[h] = x->r;
    }
    x->r = own;
    x->r.opts.pool = pool;
    got = x->n_got;
    for (unsigned flow = 0; flow < 16; flow++)
        for (unsigned seq = 0; seq < 4; seq++)
            give_range(x, 0, flow, seq, 1400, 0, 700);
    for (unsigned flow = 0; flow < 16; flow++)
        for (unsigned seq = 0; seq < 4; seq++)
            give_range(x, 0, flow, seq, 1400, 700, 1400);
    assert_int_equal(x->n_got - got, 16 * 4);
    reasm_done(&x->r);
    for (unsigned h = 0; h < HOGS; h++)
        reasm_done(&hog[h]);
    reasm_pool_free(pool);
    x->r = own;
}

/* Somebody who cuts a unit into bytes, and begins at its end. */
static void a_unit_has_so_many_pieces(void **state)
{
    struct fixture *x = *state;

    for (unsigned i = 0; i < 1000; i++)
        give_range(x, 0, 0, 0, 4000, 3999 - i, 4000 - i);
    assert_int_equal(pkt_pool_in_use(x->pkts), 128);
    assert_int_equal(x->drops.n[DROP_NO_BUFFER], 1000 - 128);
    give_range(x, 0, 0, 0, 4000, 0, 4000);
    assert_int_equal(x->n_got, 1);
    assert_int_equal(x->r.bytes, 0);
}

/* A run of TCP over IPv4 with three segments of 100 bytes, of which the beginning came. */
static void a_run_is_cut_at_whole_segments(void **state)
{
    struct fixture *x = *state;
    uint8_t run[40 + 300] = {0x45, [9] = 6, [12] = 10, [16] = 10, [32] = 5 << 4, [33] = 0x19};

    store_be16(run + 2, sizeof(run));
    for (unsigned i = 40; i < sizeof(run); i++)
        run[i] = (uint8_t)i;
    give(x, 0, 0,
         &(struct packed_frame){.type = PACKED_RANGE,
                                .has_seq = true,
                                .first = true,
                                .kind = PKT_GSO_TCP4,
                                .segment = 100,
                                .total = sizeof(run),
                                .data = run,
                                .len = 40 + 250});
    reasm_timeout(&x->r, 2 * NS_PER_S);
    assert_non_null(x->last);
    assert_int_equal(x->r.stats.cut, 1);
    assert_int_equal(x->last->gso, PKT_GSO_TCP4);
    assert_int_equal(x->last->gso_size, 100);
    assert_int_equal(x->last->len, 40 + 200);
    assert_int_equal(load_be16(x->last->data + 2), 40 + 200);
    assert_int_equal(x->last->data[33],
                     0x10); /* the last segment, which has PSH and FIN, is gone */
    assert_memory_equal(x->last->data + 40, run + 40, 200);
}

/* --- patience and reports --------------------------------------------------------------- */

/* The wait is what the paths make of it, within what the class permits. */
static void patience_bounds_the_wait(void **state)
{
    static const struct {
        enum reasm_order order;
        uint64_t class_ns, late_ns, mend_ns, wait_ns;
    } v[] = {
        {REASM_ORDER_RECOVER, NS_PER_S, 0, 90 * NS_PER_MS, 90 * NS_PER_MS},
        {REASM_ORDER_RECOVER, NS_PER_S, 0, 3 * NS_PER_S, NS_PER_S},
        {REASM_ORDER_REORDER, 150 * NS_PER_MS, 40 * NS_PER_MS, NS_PER_S, 40 * NS_PER_MS},
        {REASM_ORDER_REORDER, 150 * NS_PER_MS, NS_PER_S, NS_PER_S, 150 * NS_PER_MS},
        {REASM_ORDER_REORDER, 150 * NS_PER_MS, 0, NS_PER_S, 0},
    };
    struct fixture *x = *state;

    for (unsigned i = 0; i < ARRAY_LEN(v); i++) {
        reasm_reset(&x->r);
        x->n_got = 0;
        reasm_set_class(&x->r, 0, &(struct reasm_class){v[i].order, v[i].class_ns, NS_PER_S});
        reasm_set_patience(&x->r, &(struct reasm_patience){v[i].late_ns, v[i].mend_ns});
        give_packet(x, 1000, 1, 1, 60);
        if (v[i].wait_ns) {
            assert_int_equal(reasm_deadline_ns(&x->r), 1000 + v[i].wait_ns);
            reasm_timeout(&x->r, 999 + v[i].wait_ns);
            assert_int_equal(x->n_got, 0);
            reasm_timeout(&x->r, 1000 + v[i].wait_ns);
        }
        assert_int_equal(x->n_got, 1);
    }
}

/* What has been passed once is not waited for by those that come later; it is welcome all the same,
 * and another hole is waited for as the first one was. */
static void a_hole_is_waited_for_once(void **state)
{
    struct fixture *x = *state;

    reasm_set_class(&x->r, 0, &(struct reasm_class){REASM_ORDER_REORDER, NS_PER_S, NS_PER_S});
    reasm_set_patience(&x->r, &(struct reasm_patience){40 * NS_PER_MS, 40 * NS_PER_MS});
    give_packet(x, 0, 1, 1, 60);
    give_packet(x, 30 * NS_PER_MS, 1, 2, 60);
    reasm_timeout(&x->r, 39 * NS_PER_MS);
    assert_int_equal(x->n_got, 0);
    reasm_timeout(&x->r, 40 * NS_PER_MS);
    assert_int_equal(x->n_got, 2);
    give_packet(x, 50 * NS_PER_MS, 1, 3, 60);
    assert_int_equal(x->n_got, 3);
    give_packet(x, 60 * NS_PER_MS, 1, 5, 60); /* 4 is missing as well */
    assert_int_equal(x->n_got, 3);
    give_packet(x, 70 * NS_PER_MS, 1, 4, 60);
    assert_int_equal(x->n_got, 5);
    assert_got(x, 3, 1, 4);
    assert_got(x, 4, 1, 5);
    give_packet(x, 80 * NS_PER_MS, 1, 0, 60);
    assert_int_equal(x->n_got, 6);
    give_packet(x, 90 * NS_PER_MS, 1, 0, 60);
    give_packet(x, 90 * NS_PER_MS, 1, 6, 60);
    assert_int_equal(x->n_got, 7);
    assert_got(x, 6, 1, 6);
}

/* Paths that have become faster shorten a wait that has begun. */
static void patience_may_change(void **state)
{
    struct fixture *x = *state;

    give_packet(x, 0, 1, 1, 60);
    reasm_set_patience(&x->r, &(struct reasm_patience){0, 50 * NS_PER_MS});
    give_packet(x, 1, 1, 2, 60);
    assert_int_equal(reasm_deadline_ns(&x->r), 50 * NS_PER_MS);
    reasm_set_patience(&x->r, &(struct reasm_patience){0, 80 * NS_PER_MS});
    reasm_timeout(&x->r, 50 * NS_PER_MS);
    assert_int_equal(x->n_got, 0);
    assert_int_equal(reasm_deadline_ns(&x->r), 80 * NS_PER_MS);
}

/* Units of a class that is put in order, where another lane may be 40 ms later and what is sent
 * again comes within 120 ms. */
static void order_and_mend(struct fixture *x, bool again)
{
    reasm_set_class(&x->r, 0,
                    &(struct reasm_class){REASM_ORDER_REORDER, 150 * NS_PER_MS, NS_PER_S, !again});
    reasm_set_patience(&x->r, &(struct reasm_patience){40 * NS_PER_MS, 120 * NS_PER_MS});
}

/* Gives 1 to n of a flow of which 0 is missing, one each interval, and lets time pass. Returns when
 * the first was delivered. */
static uint64_t wait_of(struct fixture *x, uint64_t interval_ns, unsigned n)
{
    uint64_t now_ns = 0;

    x->n_got = 0;
    for (unsigned i = 0; !x->n_got; now_ns += NS_PER_MS / 2) {
        reasm_timeout(&x->r, now_ns);
        if (i < n && now_ns >= i * interval_ns)
            give_packet(x, now_ns, 1, ++i, 60);
        assert_true(now_ns < NS_PER_S);
    }
    return now_ns - NS_PER_MS / 2;
}

static void many_wait_for_what_is_sent_again(void **state)
{
    static const struct {
        bool again;
        uint64_t interval_ns;
        unsigned n;
        uint64_t wait_ns;
    } v[] = {
        {true, NS_PER_MS, 500, 120 * NS_PER_MS},                   /* bulk */
        {true, 20 * NS_PER_MS, 500, 40 * NS_PER_MS},               /* a call */
        {true, NS_PER_MS, 2, 40 * NS_PER_MS},                      /* two are few, */
        {true, NS_PER_MS, 5, 40 * NS_PER_MS + 5 * REASM_DENSE_NS}, /* five not many */
        {false, NS_PER_MS, 500, 40 * NS_PER_MS},                   /* nobody sends it again */
    };
    struct fixture *x = *state;

    for (unsigned i = 0; i < ARRAY_LEN(v); i++) {
        reasm_reset(&x->r);
        order_and_mend(x, v[i].again);
        assert_int_equal(wait_of(x, v[i].interval_ns, v[i].n), v[i].wait_ns);
    }
}

static void assert_gap(const struct packed_gap *g, unsigned flow, uint32_t seq, uint32_t offset,
                       uint32_t len)
{
    assert_int_equal(g->flow, flow);
    assert_int_equal(g->seq, seq);
    assert_int_equal(g->offset, offset);
    assert_int_equal(g->len, len);
}

static void what_is_missing_is_named(void **state)
{
    struct fixture *x = *state;
    struct packed_gap gaps[8];

    give_packet(x, 0, 1, 1, 60);
    give_packet(x, 0, 1, 3, 60);
    give_range(x, 0, 1, 4, 900, 0, 100);
    give_range(x, 0, 1, 4, 900, 300, 500);
    give_range(x, 0, 1, 5, 900, 0, 100); /* may be coming yet */
    assert_int_equal(reasm_gaps(&x->r, gaps, 8), 0);
    for (unsigned i = 0; i < REASM_NAMED_MAX; i++) {
        assert_int_equal(reasm_gaps(&x->r, gaps, 8), 4);
        assert_gap(&gaps[0], 1, 0, 0, 0);
        assert_gap(&gaps[1], 1, 2, 0, 0);
        assert_gap(&gaps[2], 1, 4, 100, 200);
        assert_gap(&gaps[3], 1, 4, 500, 0);
    }
    assert_int_equal(reasm_gaps(&x->r, gaps, 8), 0);
    give_packet(x, 0, 1, 7, 60);
    assert_int_equal(reasm_gaps(&x->r, gaps, 8), 0);
    give_packet(x, 0, 1, 6, 60); /* only late */
    assert_int_equal(reasm_gaps(&x->r, gaps, 8), 1);
    assert_gap(&gaps[0], 1, 5, 100, 0);
}

/* More than a report holds: the rest comes with the next one; and numbers that jump make none. */
static void reports_are_bounded(void **state)
{
    struct fixture *x = *state;
    unsigned named[20][20] = {0};
    struct packed_gap gaps[8];

    for (unsigned flow = 0; flow < 20; flow++)
        give_packet(x, 0, flow, flow, 60);
    assert_int_equal(reasm_gaps(&x->r, gaps, 8), 0);
    for (unsigned i = 0; i < 200; i++) {
        unsigned n = reasm_gaps(&x->r, gaps, 8);

        assert_true(n <= 8);
        while (n--)
            named[gaps[n].flow][gaps[n].seq]++;
    }
    for (unsigned flow = 0; flow < 20; flow++)
        for (unsigned seq = 0; seq < 20; seq++)
            assert_in_range(named[flow][seq], seq < flow, seq < flow ? REASM_NAMED_MAX : 0);
    reasm_reset(&x->r);
    give_packet(x, 0, 1, 5, 60);
    give_packet(x, 0, 1, 0x7fff00, 60);
    give_packet(x, 0, 1, 0xf00000, 60);
    for (unsigned i = 0; i < 4; i++)
        assert_true(reasm_gaps(&x->r, gaps, 8) <= 8);
}

/* --- against a model -------------------------------------------------------------------- */

struct piece {
    unsigned flow;
    uint32_t seq, from, to;
    uint64_t key; /* place in the order of arrival */
};

static int by_key(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;

    return x->key < y->key ? -1 : x->key > y->key;
}

enum { PIECES_MAX = 40000 };

struct model {
    uint32_t len[FLOWS][UNITS];
    bool covered[FLOWS][UNITS][8192]; /* which bytes have arrived */
    struct piece piece[PIECES_MAX];
    unsigned n;
};

/* Cut every unit into ranges; lose and repeat some; let them arrive out of order by up to `spread`
 * pieces. */
static void make_arrivals(struct model *m, struct rng *rng, double loss, double twice,
                          unsigned spread)
{
    uint64_t sent = 0;

    memset(m, 0, sizeof(*m));
    for (uint32_t seq = 0; seq < UNITS; seq++) {
        for (unsigned flow = 0; flow < FLOWS; flow++) {
            uint32_t len = UNIT_MIN + (uint32_t)rng_below(rng, seq % 3 ? 1400 : 8000), at = 0;

            m->len[flow][seq] = len;
            while (at < len) {
                uint32_t more = 1 + (uint32_t)rng_below(rng, 2000), to = MIN(len, at + more);
                unsigned copies = rng_double(rng) < loss ? 0 : rng_double(rng) < twice ? 2 : 1;

                for (unsigned i = 0; i < copies; i++) {
                    assert_true(m->n < PIECES_MAX);
                    m->piece[m->n++] = (struct piece){
                        flow, seq, at, to, (sent << 20) + (rng_below(rng, spread) << 20)};
                    memset(&m->covered[flow][seq][at], 1, to - at);
                }
                sent++;
                at = to;
            }
        }
    }
    qsort(m->piece, m->n, sizeof(m->piece[0]), by_key);
}

static bool all_arrived(const struct model *m, unsigned flow, uint32_t seq)
{
    return !memchr(m->covered[flow][seq], 0, m->len[flow][seq]);
}

/* Exactly the units of which every byte arrived are delivered, once, and in order if the class
 * says so. */
static void compare(struct fixture *x, struct model *m, bool ordered)
{
    static bool seen[FLOWS][UNITS];
    int64_t last[FLOWS];
    unsigned n = 0;

    memset(seen, 0, sizeof(seen));
    memset(last, 0xff, sizeof(last));
    for (unsigned i = 0; i < x->n_got; i++) {
        const struct delivered *d = &x->got[i];

        assert_false(seen[d->flow][d->seq]);
        assert_true(all_arrived(m, d->flow, d->seq));
        seen[d->flow][d->seq] = true;
        if (ordered)
            assert_true(last[d->flow] < (int64_t)d->seq);
        last[d->flow] = d->seq;
    }
    for (unsigned flow = 0; flow < FLOWS; flow++)
        for (uint32_t seq = 0; seq < UNITS; seq++)
            n += all_arrived(m, flow, seq);
    assert_int_equal(x->n_got, n);
}

static void run_model(struct fixture *x, struct rng *rng, double loss, double twice,
                      unsigned spread, enum reasm_order order)
{
    static struct model m;
    uint64_t now_ns = 0;

    reasm_reset(&x->r);
    x->r.opts.max_bytes = 128 << 20; /* more than all units need */
    x->n_got = 0;
    reasm_set_class(&x->r, 0, &(struct reasm_class){order, order ? NS_PER_S : 0, NS_PER_S});
    make_arrivals(&m, rng, loss, twice, spread);
    for (unsigned i = 0; i < m.n; i++) {
        const struct piece *p = &m.piece[i];

        give_range(x, 0, p->flow, p->seq, m.len[p->flow][p->seq], p->from, p->to);
    }
    while (reasm_deadline_ns(&x->r) != TIME_NEVER_NS) {
        now_ns = MAX(now_ns, reasm_deadline_ns(&x->r));
        reasm_timeout(&x->r, now_ns);
    }
    compare(x, &m, order != REASM_ORDER_NONE);
    assert_int_equal(x->r.bytes, 0);
}

static void random_arrivals_against_a_model(void **state)
{
    static const struct {
        double loss, twice;
        unsigned spread;
    } channel[] = {{0, 0, 1},    {0, 0.2, 1},      {0, 0, 40},
                   {0.02, 0, 1}, {0.05, 0.1, 200}, {0.5, 0.5, 20}};
    struct fixture *x = *state;
    struct rng rng;

    rng_seed(&rng, 7);
    for (unsigned round = 0; round < 4; round++)
        for (unsigned i = 0; i < ARRAY_LEN(channel); i++)
            for (unsigned order = 0; order <= REASM_ORDER_RECOVER; order++)
                run_model(x, &rng, channel[i].loss, channel[i].twice, channel[i].spread,
                          (enum reasm_order)order);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(in_order_nothing_is_held),
        T(a_unit_behind_a_hole_waits),
        T(each_path_is_told_of),
        T(the_wait_has_an_end),
        T(gone_ends_the_wait),
        T(gone_reaches_over_what_is_held),
        T(a_jump_ends_what_is_held),
        T(each_is_delivered_once),
        T(without_order_nothing_waits),
        T(ranges_in_any_order),
        T(what_contradicts_is_dropped),
        T(an_incomplete_unit_has_its_time),
        T(refused_units_hold_up_nothing),
        T(numbers_wrap),
        T(the_window_moves_on),
        T(memory_is_bounded),
        T(held_within_a_share),
        T(a_session_has_a_share),
        T(those_who_take_all_leave_some),
        T(a_unit_has_so_many_pieces),
        T(without_flows_whole_units_go_on),
        T(a_run_is_cut_at_whole_segments),
        T(patience_bounds_the_wait),
        T(a_hole_is_waited_for_once),
        T(patience_may_change),
        T(many_wait_for_what_is_sent_again),
        T(what_is_missing_is_named),
        T(reports_are_bounded),
        T(random_arrivals_against_a_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
