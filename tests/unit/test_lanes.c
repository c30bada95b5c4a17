/* Two sessions with several lanes between them, in virtual time: each lane has its own delay each
 * way, loses what the test says, and answers as QUIC does: an acknowledgement after a round trip, a
 * loss after 9/8 of one. A lane that is dead answers nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/rng.h"
#include "base/util.h"
#include "bond/session.h"
#include "packet/flow.h"
#include "packets.h"

enum { LANES = 3, EVENTS = 4096, DGRAM = 1438, NOTES = 20000, WINDOW = 200 };

/* The clock of the second end is ahead. */
static const uint64_t T0 = 1000 * NS_PER_S, SKEW_NS = 777777 * NS_PER_MS;

struct line {
    uint64_t way_ns[2]; /* from the first end, from the second */
    uint64_t jitter_ns;
    double loss; /* from the first end */
    bool dead;   /* from the first end, and unheard of */
};

enum kind { ARRIVES, ACKED, LOST };

struct event {
    uint64_t at_ns;
    enum kind kind;
    unsigned end, lane; /* at which end it happens */
    uint64_t id;
    uint32_t len;
    uint8_t data[DGRAM];
};

struct note {
    uint64_t at_ns;
    uint32_t n;
};

struct end {
    struct fixture *x;
    struct session s;
    struct drop_counters drops;
    struct pack_lane lane[LANES];
    unsigned in_flight[LANES];
    uint64_t stamped, reports, gaps, delays, sent, lost; /* datagrams, frames */
    struct note got[NOTES];
    unsigned n_got;
};

struct fixture {
    struct pkt_pool *pkts;
    struct fq_flows *flows;
    struct reasm_pool *reasm;
    struct end end[2];
    struct line line[LANES];
    unsigned n_lanes;
    uint64_t now_ns, next_id;
    struct event event[EVENTS];
    unsigned n_events;
    unsigned turn;
    bool no_repeat; /* what is sent again is lost too, without a word */
    struct rng rng;
};

static void on_deliver(void *user, struct pkt *pkt)
{
    struct end *e = user;

    assert_true(e->n_got < NOTES);
    e->got[e->n_got++] = (struct note){e->x->now_ns, load_be32(pkt->data + pkt->len - 4)};
    pkt_free(e->x->pkts, pkt);
}

static void on_kick(void *user)
{
}

static uint64_t clock_of(const struct fixture *x, unsigned end)
{
    return x->now_ns + (end ? SKEW_NS : 0);
}

static int setup(void **state)
{
    static const struct siphash_key key = {{1, 2}};
    struct fixture *x = calloc(1, sizeof(*x));

    x->pkts = pkt_pool_new(16384, 64);
    x->flows = fq_flows_new(64, &key);
    x->reasm = reasm_pool_new(64, 4096, 64 << 20);
    x->now_ns = T0;
    rng_seed(&x->rng, 5);
    for (unsigned i = 0; i < 2; i++) {
        struct end *e = &x->end[i];

        e->x = x;
        session_init(&e->s, &(struct session_opts){.pool = x->pkts,
                                                   .drops = &e->drops,
                                                   .flows = x->flows,
                                                   .deliver = on_deliver,
                                                   .deliver_user = e,
                                                   .kick = on_kick});
        assert_int_equal(session_set_packed(&e->s, x->reasm), 0);
        session_attach(&e->s);
    }
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *x = *state;

    for (unsigned i = 0; i < 2; i++) {
        for (unsigned l = 0; l < LANES; l++)
            session_lane_done(&x->end[i].s, &x->end[i].lane[l], clock_of(x, i));
        session_done(&x->end[i].s);
    }
    assert_int_equal(pkt_pool_in_use(x->pkts), 0);
    reasm_pool_free(x->reasm);
    fq_flows_free(x->flows);
    pkt_pool_free(x->pkts);
    free(x);
    return 0;
}

static uint64_t rtt_ns(const struct fixture *x, unsigned lane)
{
    return x->line[lane].way_ns[0] + x->line[lane].way_ns[1];
}

static void add_lane(struct fixture *x, uint64_t out_ms, uint64_t back_ms)
{
    unsigned lane = x->n_lanes++;

    x->line[lane] = (struct line){.way_ns = {out_ms * NS_PER_MS, back_ms * NS_PER_MS}};
    for (unsigned i = 0; i < 2; i++) {
        session_lane_begin(&x->end[i].s, &x->end[i].lane[lane], (uint8_t)lane);
        session_lane_rtt(&x->end[i].s, &x->end[i].lane[lane], clock_of(x, i), rtt_ns(x, lane),
                         rtt_ns(x, lane) / 16);
    }
}

static struct event *add_event(struct fixture *x, uint64_t in_ns, enum kind kind, unsigned end,
                               unsigned lane)
{
    struct event *e = &x->event[x->n_events++];

    assert_true(x->n_events <= EVENTS);
    *e = (struct event){.at_ns = x->now_ns + in_ns, .kind = kind, .end = end, .lane = lane};
    return e;
}

static void look(struct end *e, const struct pkt *d)
{
    struct packed_reader r;
    struct packed_head head;
    struct packed_frame f;

    assert_int_equal(packed_open(&r, d->data, d->len, &head), 0);
    e->sent++;
    e->stamped += head.has_time;
    while (packed_next(&r, &f) > 0) {
        e->gaps += f.type == PACKED_GAPS;
        e->delays += f.type == PACKED_DELAY;
    }
}

static void pull(struct fixture *x, unsigned end, unsigned lane)
{
    struct end *e = &x->end[end];
    const struct line *line = &x->line[lane];
    uint64_t again = e->s.pack->stats.again, jitter_ns, id;
    struct pkt *d;
    bool lost;

    if (e->in_flight[lane] >= WINDOW)
        return;
    d = session_pull_packed(&e->s, &e->lane[lane], clock_of(x, end), DGRAM, DGRAM);
    if (!d)
        return;
    pkt_settle(x->pkts, d);
    look(e, d);
    lost = !end && rng_double(&x->rng) < line->loss;
    if (x->no_repeat && e->s.pack->stats.again > again)
        lost = true;
    jitter_ns = line->jitter_ns ? rng_below(&x->rng, line->jitter_ns) : 0;
    id = x->next_id++;
    if (!lost && !(line->dead && !end)) {
        struct event *a = add_event(x, line->way_ns[end] + jitter_ns, ARRIVES, !end, lane);

        a->len = d->len;
        memcpy(a->data, d->data, d->len);
    }
    if (!(line->dead && !end)) {
        uint64_t answer_ns = lost ? rtt_ns(x, lane) * 9 / 8 : rtt_ns(x, lane) + jitter_ns;

        add_event(x, answer_ns, lost ? LOST : ACKED, end, lane)->id = id;
    }
    e->lost += lost;
    e->in_flight[lane]++;
    session_sent(&e->s, &e->lane[lane], id, d);
}

static void happen(struct fixture *x, const struct event *e)
{
    struct end *end = &x->end[e->end];
    struct pack_lane *lane = &end->lane[e->lane];
    uint64_t now_ns = clock_of(x, e->end);

    if (session_lane_rtt_due(lane, now_ns))
        session_lane_rtt(&end->s, lane, now_ns, rtt_ns(x, e->lane), rtt_ns(x, e->lane) / 16);
    if (e->kind == ARRIVES) {
        session_rx_packed(&end->s, lane, clock_of(x, e->end), e->data, e->len);
        return;
    }
    end->in_flight[e->lane]--;
    if (e->kind == ACKED)
        session_acked(&end->s, lane, e->id);
    else
        session_lost(&end->s, lane, clock_of(x, e->end), e->id);
}

/* Both ends send what they have, the lanes in turn. */
static void pull_all(struct fixture *x)
{
    uint64_t sent;

    do {
        sent = x->end[0].sent + x->end[1].sent;
        for (unsigned i = 0; i < 2 * x->n_lanes; i++)
            pull(x, i % 2, (x->turn + i / 2) % x->n_lanes);
        x->turn++;
    } while (x->end[0].sent + x->end[1].sent > sent);
}

static void run_until(struct fixture *x, uint64_t until_ns)
{
    for (;;) {
        uint64_t at_ns = until_ns;
        struct event now, *first = NULL;

        pull_all(x);
        for (unsigned i = 0; i < x->n_events; i++)
            if (!first || x->event[i].at_ns < first->at_ns)
                first = &x->event[i];
        if (first)
            at_ns = MIN(at_ns, first->at_ns);
        for (unsigned i = 0; i < 2; i++) {
            uint64_t due_ns = session_deadline_ns(&x->end[i].s);

            if (due_ns != TIME_NEVER_NS)
                at_ns = MIN(at_ns, due_ns - (i ? SKEW_NS : 0));
        }
        x->now_ns = MAX(x->now_ns, at_ns);
        for (unsigned i = 0; i < 2; i++)
            session_timeout(&x->end[i].s, clock_of(x, i));
        if (first && first->at_ns <= x->now_ns) {
            now = *first;
            *first = x->event[--x->n_events];
            happen(x, &now);
        } else if (at_ns >= until_ns) {
            return;
        }
    }
}

/* Packet number n of a flow into one end; then many, numbered from `first` on. */
static void give(struct fixture *x, unsigned end, uint8_t proto, uint32_t n, uint32_t len)
{
    struct pkt *pkt = pkt_new(x->pkts, len);

    memset(pkt->data, 0, len);
    put_ip4(pkt->data, len, proto, 0);
    store_be16(pkt->data + 20, 1000);
    store_be16(pkt->data + 22, 2000);
    pkt->data[32] = 5 << 4;
    store_be32(pkt->data + len - 4, n);
    pkt->len = len;
    session_send(&x->end[end].s, clock_of(x, end), pkt);
}

static void stream(struct fixture *x, unsigned end, uint8_t proto, unsigned first, unsigned n,
                   uint64_t every_ns)
{
    for (unsigned i = first; i < first + n; i++) {
        give(x, end, proto, i, 1200);
        run_until(x, x->now_ns + every_ns);
    }
}

static void settle(struct fixture *x)
{
    run_until(x, x->now_ns + 3 * NS_PER_S);
}

static unsigned disorder(const struct end *e, unsigned from)
{
    unsigned n = 0;

    for (unsigned i = from + 1; i < e->n_got; i++)
        n += e->got[i].n < e->got[i - 1].n;
    return n;
}

enum { TCP = 6, UDP = 17 };

/* --- the tests ------------------------------------------------------------------------------ */

/* One lane, losses: nothing but the packets travels. */
static void one_lane_adds_nothing(void **state)
{
    struct fixture *x = *state;

    add_lane(x, 15, 15);
    x->line[0].loss = 0.02;
    stream(x, 0, TCP, 0, 2000, NS_PER_MS);
    settle(x);
    assert_int_equal(x->end[1].n_got, 2000);
    assert_int_equal(disorder(&x->end[1], 0), 0);
    assert_int_equal(x->end[0].stamped + x->end[0].gaps + x->end[0].delays, 0);
    assert_int_equal(x->end[1].sent, 0);
    assert_int_equal(x->end[0].s.pack->stats.again, x->end[0].lost);
}

/* Each end knows by how much its lanes differ, though the clocks do, and says so rarely. */
static void delays_are_known(void **state)
{
    struct fixture *x = *state;
    uint64_t extra_ns, spread_ns;

    add_lane(x, 20, 90);
    assert_int_equal(session_lane_delay(&x->end[0].s, &x->end[0].lane[0], &extra_ns, &spread_ns),
                     -ENOENT);
    add_lane(x, 80, 30);
    for (unsigned i = 0; i < 500; i++) {
        give(x, 1, UDP, i, 1400);
        give(x, 0, UDP, i, 1400);
        run_until(x, x->now_ns + 2 * NS_PER_MS);
    }
    for (unsigned end = 0; end < 2; end++) {
        static const uint64_t ms[2][2] = {{0, 60}, {60, 0}};

        for (unsigned lane = 0; lane < 2; lane++) {
            assert_int_equal(
                session_lane_delay(&x->end[end].s, &x->end[end].lane[lane], &extra_ns, &spread_ns),
                0);
            assert_true(extra_ns <= ms[end][lane] * NS_PER_MS + 20 * NS_PER_US);
            assert_true(extra_ns + 20 * NS_PER_US >= ms[end][lane] * NS_PER_MS);
            assert_true(spread_ns < 20 * NS_PER_US);
        }
        assert_in_range(x->end[end].stamped, 200, 520);
        assert_in_range(x->end[end].delays, 10, 22); /* of two lanes, about one in 110 ms */
    }
    session_lane_done(&x->end[0].s, &x->end[0].lane[0], x->now_ns);
    assert_int_equal(session_lane_delay(&x->end[0].s, &x->end[0].lane[0], &extra_ns, &spread_ns),
                     -ENOENT);
}

/* Packets that take turns on a fast lane and a slow one come in order once the delays are known.
 * One that is lost holds up the others of a call no longer than the slow lane is slower, those of
 * bulk until it has come again. */
static void order_is_kept_between_lanes(void **state)
{
    struct fixture *x = *state;
    struct end *b = &x->end[1];
    unsigned from;

    add_lane(x, 10, 10);
    add_lane(x, 50, 50);
    x->line[1].jitter_ns = 4 * NS_PER_MS;
    stream(x, 0, UDP, 0, 400, 2 * NS_PER_MS);
    run_until(x, x->now_ns + 200 * NS_PER_MS);
    from = b->n_got;
    stream(x, 0, UDP, 0, 1000, 2 * NS_PER_MS);
    settle(x);
    assert_int_equal(b->n_got, from + 1000);
    assert_true(disorder(b, from) <= 10); /* the jitter's tail */
    from = b->n_got;
    x->line[1].loss = 0.1;
    stream(x, 0, UDP, 0, 300, 10 * NS_PER_MS);
    settle(x);
    assert_int_equal(b->n_got, from + 300); /* what was lost has come all the same */
    assert_true(disorder(b, from) > 0);
    for (unsigned i = from + 1; i < b->n_got; i++)
        assert_true(b->got[i].at_ns - b->got[i - 1].at_ns < 80 * NS_PER_MS);
    from = b->n_got;
    stream(x, 0, UDP, 0, 700, 2 * NS_PER_MS);
    settle(x);
    assert_int_equal(b->n_got, from + 700);
    assert_true(disorder(b, from) <= 10);
    for (unsigned i = from + 1; i < b->n_got; i++)
        assert_true(b->got[i].at_ns - b->got[i - 1].at_ns < 160 * NS_PER_MS);
    assert_int_equal(b->drops.n[DROP_DUPLICATE], 0);
}

/* What a slow lane loses is there long before that lane's own acknowledgements say so, once. */
static void a_slow_lane_is_repaired_by_a_fast_one(void **state)
{
    struct fixture *x = *state;
    struct end *b = &x->end[1];
    uint64_t worst_ns = 0;

    add_lane(x, 10, 10);
    add_lane(x, 100, 400);
    stream(x, 0, TCP, 0, 500, 2 * NS_PER_MS);
    x->line[1].loss = 0.05;
    stream(x, 0, TCP, 500, 1500, 2 * NS_PER_MS);
    settle(x);
    assert_int_equal(b->n_got, 2000);
    assert_int_equal(disorder(b, 0), 0);
    for (unsigned i = 501; i < b->n_got; i++)
        worst_ns = MAX(worst_ns, b->got[i].at_ns - b->got[i - 1].at_ns);
    /* 90 ms later than over the fast lane, up to twice that until it is said, and there again. */
    assert_true(worst_ns < 300 * NS_PER_MS);
    assert_true(x->end[0].lost > 20);
    assert_true(x->end[0].s.pack->stats.named >= x->end[0].lost * 9 / 10);
    assert_int_equal(x->end[0].s.pack->stats.again, x->end[0].lost);
    assert_int_equal(b->drops.n[DROP_DUPLICATE], 0);
}

/* Lanes alike: QUIC says it first, and what the receiver says then is not heeded again. */
static void each_loss_is_repaired_once(void **state)
{
    struct fixture *x = *state;

    for (unsigned i = 0; i < LANES; i++) {
        add_lane(x, 20, 20);
        x->line[i].loss = 0.05;
        x->line[i].jitter_ns = 3 * NS_PER_MS;
    }
    stream(x, 0, TCP, 0, 5000, NS_PER_MS);
    settle(x);
    assert_int_equal(x->end[1].n_got, 5000);
    assert_int_equal(disorder(&x->end[1], 0), 0);
    assert_true(x->end[0].lost > 200);
    assert_int_equal(x->end[0].s.pack->stats.again, x->end[0].lost);
    assert_int_equal(x->end[1].drops.n[DROP_DUPLICATE], 0);
    assert_true(x->end[1].gaps <= x->end[0].lost * 2);
    assert_true(x->end[1].sent * 10 < x->end[0].sent);
}

/* A lane that swallows everything, without a word. */
static void a_black_hole_is_gone_round(void **state)
{
    struct fixture *x = *state;
    struct end *b = &x->end[1];
    uint64_t worst_ns = 0;

    for (unsigned i = 0; i < LANES; i++)
        add_lane(x, 15, 15);
    stream(x, 0, TCP, 0, 500, NS_PER_MS);
    x->line[1].dead = true;
    stream(x, 0, TCP, 500, 400, NS_PER_MS);
    settle(x);
    assert_int_equal(b->n_got, 900);
    assert_int_equal(disorder(b, 0), 0);
    for (unsigned i = 1; i < b->n_got; i++)
        worst_ns = MAX(worst_ns, b->got[i].at_ns - b->got[i - 1].at_ns);
    assert_true(worst_ns < 120 * NS_PER_MS);
}

/* What is never mended stops a flow for some round trips, not for the second of its class. */
static void a_hole_for_good_ends(void **state)
{
    struct fixture *x = *state;
    struct end *b = &x->end[1];
    uint64_t worst_ns = 0;

    add_lane(x, 15, 15);
    x->line[0].loss = 0.01;
    x->no_repeat = true;
    stream(x, 0, TCP, 0, 2000, NS_PER_MS);
    settle(x);
    assert_true(x->end[0].lost > 20);
    for (unsigned i = 1; i < b->n_got; i++)
        worst_ns = MAX(worst_ns, b->got[i].at_ns - b->got[i - 1].at_ns);
    assert_in_range(worst_ns, 90 * NS_PER_MS, 240 * NS_PER_MS);
}

/* What no receiver would say: nothing is sent again for it, and its cost is bounded. */
static void absurd_reports_do_nothing(void **state)
{
    struct fixture *x = *state;
    struct end *a = &x->end[0];
    struct packed_gap gaps[PACKED_GAPS_MAX];
    uint8_t d[1500];

    add_lane(x, 20, 20);
    add_lane(x, 20, 20);
    for (unsigned i = 0; i < 100; i++)
        give(x, 0, TCP, i, 1400);
    pull_all(x);
    x->now_ns += 10 * NS_PER_MS;
    for (unsigned round = 0; round < 1000; round++) {
        size_t n = packed_put_head(d, sizeof(d), &(struct packed_head){.class = 0});

        for (unsigned i = 0; i < PACKED_GAPS_MAX; i++)
            gaps[i] =
                (struct packed_gap){.flow = (uint16_t)rng_below(&x->rng, round % 2 ? 4 : 4096),
                                    .seq = (uint32_t)rng_below(&x->rng, 1 << 24),
                                    .offset = (uint32_t)rng_below(&x->rng, 65536),
                                    .len = 0};
        if (round % 3 == 0) /* sent, but it cannot be missing yet */
            gaps[0] = (struct packed_gap){.flow = 0, .seq = round % 100};
        n += packed_put_gaps(d + n, sizeof(d) - n, gaps, PACKED_GAPS_MAX);
        n += packed_put_delay(d + n, sizeof(d) - n,
                              &(struct packed_frame){.delay = {.lane = (uint8_t)round,
                                                               .time = round * 7777,
                                                               .least = round * 99999 & 0xffffff,
                                                               .spread = 0xffffff}});
        session_rx_packed(&a->s, &a->lane[round % 2], x->now_ns, d, n);
    }
    assert_int_equal(a->s.pack->stats.named, 0);
    assert_int_equal(a->s.pack->again.n, 0);
    settle(x);
    assert_int_equal(x->end[1].n_got, 100);
}

/* What looking for it costs is counted by the frames that have to be compared. */
static void looking_is_paid_for(void **state)
{
    struct fixture *x = *state;
    struct end *a = &x->end[0];
    struct packed_gap gaps[PACKED_GAPS_MAX];
    uint64_t cost_ns[2];
    uint8_t d[1500];
    size_t n;

    add_lane(x, 20, 20);
    add_lane(x, 20, 20);
    for (unsigned i = 0; i < PACKED_GAPS_MAX; i++)
        gaps[i] = (struct packed_gap){.flow = 0, .seq = 5000 + i};
    n = packed_put_head(d, sizeof(d), &(struct packed_head){.class = 7});
    n += packed_put_gaps(d + n, sizeof(d) - n, gaps, PACKED_GAPS_MAX);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < (round ? 20 : 1); i++) /* in one datagram */
            give(x, 0, TCP, i, 60);
        pull(x, 0, 0);
        x->now_ns += 100 * NS_PER_MS;
        session_rx_packed(&a->s, &a->lane[0], x->now_ns, d, n);
        cost_ns[round] = a->s.pack->look_ns - x->now_ns;
        run_until(x, x->now_ns + NS_PER_S);
        assert_int_equal(a->lane[0].flight.n, 0);
    }
    assert_true(cost_ns[1] > 5 * cost_ns[0]);
}

/* A flow that waits for another path than the one that asks has its class found once: with a
 * number, which it keeps until its path takes it. */
static void the_class_of_what_waits_is_kept(void **state)
{
    static const struct class_table apart = {
        .n = 2,
        .v = {{.treatment = CLASS_PIN, .copies = 1, .deadline_ms = 1000},
              {.class = 1, .treatment = CLASS_PIN, .copies = 1, .path = 1, .deadline_ms = 1000}}};
    struct fixture *x = *state;
    struct end *a = &x->end[0];
    struct pkt *d;

    assert_int_equal(session_set_classes(&a->s, &apart, true), 0);
    for (unsigned i = 0; i < 2; i++)
        session_lane_begin(&a->s, &a->lane[i], (uint8_t)(16 * i));
    give(x, 0, UDP, 1, 100);
    assert_null(session_pull_packed(&a->s, &a->lane[0], x->now_ns, DGRAM, DGRAM));
    assert_int_equal(a->s.pack->n_flows, 1);
    give(x, 0, TCP, 2, 100);
    d = session_pull_packed(&a->s, &a->lane[0], x->now_ns, DGRAM, DGRAM);
    assert_non_null(d);
    session_sent(&a->s, &a->lane[0], 1, d);
    d = session_pull_packed(&a->s, &a->lane[1], x->now_ns, DGRAM, DGRAM);
    assert_non_null(d);
    session_sent(&a->s, &a->lane[1], 1, d);
    assert_int_equal(a->s.pack->n_flows, 2);
    assert_int_equal(session_queued(&a->s), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(one_lane_adds_nothing),       T(delays_are_known),
        T(order_is_kept_between_lanes), T(a_slow_lane_is_repaired_by_a_fast_one),
        T(each_loss_is_repaired_once),  T(a_black_hole_is_gone_round),
        T(a_hole_for_good_ends),        T(absurd_reports_do_nothing),
        T(looking_is_paid_for),         T(the_class_of_what_waits_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
