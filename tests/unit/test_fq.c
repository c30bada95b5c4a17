#include "fq_packets.h"

#include <stdlib.h>

#include "base/rng.h"
#include "bond/session.h"
#include "packet/segment.h"

#define MS NS_PER_MS

enum { BUFFERS = 3000, LARGE = 4, FLOWS = 64, BYTES = 1 << 20 };
static const uint64_t T0 = 100 * NS_PER_S;
static const struct siphash_key key = {{1, 2}};

struct fixture {
    struct pkt_pool *pool;
    struct drop_counters drops;
    struct fq_flows *flows;
    struct fq q;
    uint32_t number;
};

static struct fq_opts opts(struct fixture *f)
{
    return (struct fq_opts){.flows = f->flows,
                            .pool = f->pool,
                            .drops = &f->drops,
                            .max_bytes = BYTES,
                            .max_age_ns = NS_PER_S};
}

static int setup_flows(void **state, unsigned n)
{
    struct fixture *f = calloc(1, sizeof(*f));

    f->pool = pkt_pool_new(BUFFERS, LARGE);
    f->flows = fq_flows_new(n, &key);
    assert_non_null(f->flows);
    fq_init(&f->q, &(struct fq_opts){.flows = f->flows,
                                     .pool = f->pool,
                                     .drops = &f->drops,
                                     .max_bytes = BYTES,
                                     .max_age_ns = NS_PER_S});
    *state = f;
    return 0;
}

static int setup(void **state)
{
    return setup_flows(state, FLOWS);
}

static int setup_few(void **state)
{
    return setup_flows(state, 2);
}

static int setup_many(void **state)
{
    return setup_flows(state, 2 * FQ_FLOWS_MAX);
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fq_flush(&f->q, DROP_NO_SESSION);
    assert_int_equal(fq_flows_in_use(f->flows), 0);
    assert_int_equal(pkt_pool_in_use(f->pool), 0);
    fq_flows_free(f->flows);
    pkt_pool_free(f->pool);
    free(f);
    return 0;
}

static uint32_t push_ecn(struct fixture *f, uint64_t now_ns, uint32_t flow, uint32_t len,
                         unsigned ecn)
{
    uint32_t number = f->number++;

    fq_packet_push(&f->q, now_ns, fq_packet(f->pool, flow, number, len, ecn));
    return number;
}

static uint32_t push(struct fixture *f, uint64_t now_ns, uint32_t flow, uint32_t len)
{
    return push_ecn(f, now_ns, flow, len, 0);
}

/* The flow of the next packet, which is given back; -1 when there is none. */
static int pop(struct fixture *f, uint64_t now_ns)
{
    struct pkt *pkt = fq_packet_pop(&f->q, now_ns);
    int flow = pkt ? (int)fq_packet_flow(pkt) : -1;

    pkt_free(f->pool, pkt);
    return flow;
}

static void expect_flows(struct fixture *f, uint64_t now_ns, const char *flows)
{
    for (const char *c = flows; *c; c++)
        assert_int_equal(pop(f, now_ns), *c - '0');
}

/* --- order ----------------------------------------------------------------------------- */

static void a_flow_keeps_its_order(void **state)
{
    struct fixture *f = *state;

    assert_null(fq_packet_pop(&f->q, T0));
    for (unsigned i = 0; i < 100; i++)
        push(f, T0 + i, 1, 100 + i);
    assert_int_equal(f->q.n, 100);
    assert_int_equal(f->q.bytes, 100 * 100 + 99 * 100 / 2);
    for (unsigned i = 0; i < 100; i++) {
        struct pkt *pkt = fq_packet_pop(&f->q, T0 + MS);

        assert_int_equal(fq_packet_number(pkt), i);
        assert_int_equal(pkt->len, 100 + i);
        assert_null(pkt->next);
        pkt_free(f->pool, pkt);
    }
    assert_null(fq_packet_pop(&f->q, T0 + MS));
    assert_int_equal(f->q.bytes, 0);
    assert_int_equal(f->q.stats.popped, 100);
    assert_int_equal(f->q.stats.wait_max_ns, MS);
}

static void flows_take_turns(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 4; i++)
        for (unsigned flow = 1; flow <= 3; flow++)
            push(f, T0, flow, FQ_QUANTUM);
    expect_flows(f, T0, "123123123123");
    assert_int_equal(pop(f, T0), -1);
}

/* Fair in bytes: for one large packet of one flow, as much in small ones of the other. */
static void turns_are_counted_in_bytes(void **state)
{
    struct fixture *f = *state;
    unsigned n[3] = {0}, bytes[3] = {0};

    for (unsigned i = 0; i < 60; i++) {
        push(f, T0, 1, 1500);
        for (unsigned k = 0; k < 15; k++)
            push(f, T0, 2, 100);
    }
    for (unsigned i = 0; i < 400; i++) {
        unsigned flow = (unsigned)pop(f, T0);

        n[flow]++;
        bytes[flow] += flow == 1 ? 1500 : 100;
        assert_in_range(bytes[1] + 1600 - bytes[2], 0, 3200);
    }
    assert_true(n[1] >= 24 && n[2] >= 360);
}

/* What seldom sends goes before what fills the queue, and stays welcome when it comes again. */
static void a_sparse_flow_goes_first(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 50; i++)
        push(f, T0, 1, 1500);
    expect_flows(f, T0, "111");
    for (unsigned i = 0; i < 20; i++) {
        push(f, T0, 2, 200);
        expect_flows(f, T0, "21");
    }
}

/* A new flow is new for a quantum; then it is one of the old ones. */
static void a_burst_is_new_for_a_quantum_only(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 20; i++)
        push(f, T0, 1, 1500);
    expect_flows(f, T0, "11");
    for (unsigned i = 0; i < 20; i++)
        push(f, T0, 2, 500);
    expect_flows(f, T0, "222"); /* its quantum */
    expect_flows(f, T0, "222122212221");
}

/* RFC 8290, 4.2: to run empty does not make a flow new at once. */
static void running_empty_does_not_make_new(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 20; i++) {
        push(f, T0, 1, 1500);
        push(f, T0, 2, 1500);
    }
    push(f, T0, 3, 1500);
    expect_flows(f, T0, "123");
    push(f, T0, 3, 1500); /* in time, but it has had its quantum */
    expect_flows(f, T0, "1231212");
}

/* A super-packet of n segments of 1000 bytes in 15 or fewer kilobytes; the number is the first
 * segment's. */
static struct pkt *super(struct fixture *f, uint32_t flow, unsigned n, unsigned ecn)
{
    struct pkt *pkt = fq_packet(f->pool, flow, 0, 28 + n * 1000, ecn);

    pkt->gso = PKT_GSO_UDP;
    pkt->gso_size = 1000;
    pkt->hdr_len = 28;
    pkt->csum_start = 20;
    pkt->csum_offset = 6;
    return pkt;
}

/* Take the next packet or segment; returns its flow, and whether it was marked. */
static unsigned take(struct fixture *f, uint64_t now_ns, bool *ret_marked)
{
    struct pkt *pkt = fq_front(&f->q, now_ns), *seg;
    unsigned flow;

    assert_non_null(pkt);
    assert_ptr_equal(fq_front(&f->q, now_ns), pkt); /* again makes no difference */
    flow = fq_packet_flow(pkt);
    if (ret_marked)
        *ret_marked = pkt->mark;
    if (pkt->gso == PKT_GSO_NONE) {
        pkt_free(f->pool, fq_take(&f->q, now_ns));
        return flow;
    }
    seg = segment_take(f->pool, pkt);
    fq_took(&f->q, now_ns, seg->len - 28, seg->len);
    pkt_free(f->pool, seg);
    return flow;
}

static void segments_take_turns(void **state)
{
    struct fixture *f = *state;
    unsigned got[3] = {0}, last = 0, row = 0;
    size_t bytes;

    fq_packet_push(&f->q, T0, super(f, 1, 10, 0));
    for (unsigned i = 0; i < 10; i++)
        push(f, T0, 2, 1000);
    assert_int_equal(f->q.bytes, 20028);
    assert_int_equal(f->q.n, 11);
    for (unsigned i = 0; i < 14; i++) {
        unsigned flow;

        bytes = f->q.bytes;
        flow = take(f, T0, NULL);
        assert_int_equal(f->q.bytes, bytes - 1000);
        row = flow == last ? row + 1 : 1;
        last = flow;
        got[flow]++;
        assert_true(row <= 2); /* a quantum */
    }
    assert_in_range(got[1], 6, 8);
    push(f, T0, 3, 100); /* one that comes now goes before the rest */
    assert_int_equal(take(f, T0, NULL), 3);
    for (unsigned i = 0; i < 6; i++)
        take(f, T0, NULL);
    assert_int_equal(f->q.bytes, 0);
    assert_int_equal(f->q.n, 0);
    assert_null(fq_front(&f->q, T0));
    assert_int_equal(pkt_pool_in_use(f->pool), 0);
}

/* The rest of a super-packet is one packet for whoever takes the whole, and may come back. */
static void the_rest_of_a_super_packet(void **state)
{
    struct fixture *f = *state;
    struct pkt *pkt;

    fq_packet_push(&f->q, T0, super(f, 1, 10, 0));
    take(f, T0, NULL);
    pkt = fq_packet_pop(&f->q, T0);
    assert_int_equal(pkt->taken, 1000);
    assert_int_equal(f->q.bytes, 0);
    fq_unpop(&f->q, T0, pkt);
    assert_int_equal(f->q.bytes, 9028);
    for (unsigned i = 0; i < 9; i++)
        take(f, T0, NULL);
    assert_null(fq_front(&f->q, T0));
    fq_packet_push(&f->q, T0, super(f, 1, 10, 0));
    take(f, T0, NULL);
    fq_flush(&f->q, DROP_NO_SESSION);
    assert_int_equal(f->q.bytes, 0);
    assert_int_equal(f->drops.n[DROP_NO_SESSION], 1);
}

/* CoDel takes, or marks, one segment of a super-packet, and decides once about each. */
static void one_segment_pays(void **state)
{
    struct fixture *f = *state;

    for (unsigned ecn = 0; ecn <= 2; ecn += 2) {
        uint64_t start_ns = T0 + ecn * 100000 * MS;
        unsigned segments = 0, marks = 0, supers = 0;

        f->q.stats = (struct fq_stats){0};
        f->drops.n[DROP_CODEL] = 0;
        for (unsigned t = 0; t < 1300; t++) {
            bool marked;

            while (f->q.n < 4) {
                fq_packet_push(&f->q, start_ns + t * MS - 20 * MS, super(f, 1, 10, ecn));
                supers++;
            }
            take(f, start_ns + t * MS, &marked);
            segments++;
            marks += marked;
        }
        assert_int_equal(f->q.stats.marked, marks);
        assert_int_equal(f->q.stats.dropped, f->drops.n[DROP_CODEL]);
        assert_in_range(ecn ? marks : f->drops.n[DROP_CODEL], 15, 36);
        assert_int_equal(ecn ? f->drops.n[DROP_CODEL] : marks, 0);
        assert_in_range(f->q.bytes, (supers * 10 - segments - f->drops.n[DROP_CODEL]) * 1000,
                        (supers * 10 - segments - f->drops.n[DROP_CODEL]) * 1000 + 28 * 4);
        fq_flush(&f->q, DROP_NO_SESSION);
    }
}

/* The bound on large packets is met by large packets. */
static void a_bound_for_each_class(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 60; i++)
        push(f, T0, 1, 1500);
    fq_set_max_packets(&f->q, 1, 3);
    for (unsigned i = 0; i < 5; i++)
        fq_packet_push(&f->q, T0, super(f, 2 + i, 10, 0));
    assert_int_equal(f->q.n_class[0], 60);
    assert_int_equal(f->q.n_class[1], 3);
    assert_int_equal(f->drops.n[DROP_QUEUE_FULL], 2);
    /* Behind small ones of its own flow a large one cannot be reached: the fattest flow pays. */
    fq_flush(&f->q, DROP_NO_SESSION);
    fq_set_max_packets(&f->q, 1, 0);
    for (unsigned i = 0; i < 3; i++) {
        push(f, T0, 1, 100);
        fq_packet_push(&f->q, T0, super(f, 1, 10, 0));
    }
    assert_int_equal(f->q.n_class[1], 1);
    assert_int_equal(f->q.n, 2);
    fq_flush(&f->q, DROP_NO_SESSION);
}

static void back_in_front(void **state)
{
    struct fixture *f = *state;
    struct pkt *a, *b;

    for (unsigned i = 0; i < 4; i++)
        push(f, T0, 1, 100);
    a = fq_packet_pop(&f->q, T0 + MS);
    b = fq_packet_pop(&f->q, T0 + MS);
    fq_unpop(&f->q, T0 + MS, b);
    fq_unpop(&f->q, T0 + MS, a);
    for (unsigned i = 0; i < 4; i++) {
        struct pkt *pkt = fq_packet_pop(&f->q, T0 + MS);

        assert_int_equal(fq_packet_number(pkt), i);
        assert_int_equal(pkt->queued_ns, T0);
        if (i == 3) { /* into a flow that has gone */
            fq_unpop(&f->q, T0 + MS, pkt);
            pkt = fq_packet_pop(&f->q, T0 + MS);
        }
        pkt_free(f->pool, pkt);
    }
}

/* --- CoDel ----------------------------------------------------------------------------- */

/* A queue that stands, drained by a packet each ms, for so long. */
static void stand(struct fixture *f, uint64_t from_ns, unsigned ms, uint32_t flow, unsigned ecn)
{
    for (unsigned i = 0; i < 30; i++)
        push_ecn(f, from_ns, flow, 1500, ecn);
    for (unsigned t = 0; t < ms; t++) {
        while (f->q.n < 30)
            push_ecn(f, from_ns + t * MS, flow, 1500, ecn);
        pop(f, from_ns + t * MS);
    }
}

static void a_standing_queue_is_dropped(void **state)
{
    struct fixture *f = *state;

    stand(f, T0, 300, 1, 0);
    assert_int_equal(f->drops.n[DROP_CODEL], 0);
    stand(f, T0 + 400 * MS, 1000, 1, 0);
    assert_in_range(f->drops.n[DROP_CODEL], 25, 36); /* (t / 2 / interval)^2 */
    assert_int_equal(f->q.stats.dropped, f->drops.n[DROP_CODEL]);
    assert_int_equal(f->q.stats.marked, 0);
}

/* Who understands a mark loses nothing. */
static void with_ecn_it_is_marked(void **state)
{
    struct fixture *f = *state;
    unsigned marks = 0;

    for (unsigned i = 0; i < 30; i++)
        push_ecn(f, T0, 1, 1500, 2);
    for (unsigned t = 0; t < 1300; t++) {
        struct pkt *pkt = fq_packet_pop(&f->q, T0 + t * MS);

        assert_int_equal(plain_csum(0, pkt->data, 20), 0);
        marks += (pkt->data[1] & 3) == 3;
        pkt_free(f->pool, pkt);
        push_ecn(f, T0 + t * MS, 1, 1500, 2);
    }
    assert_in_range(marks, 25, 36);
    assert_int_equal(f->q.stats.marked, marks);
    assert_int_equal(f->drops.n[DROP_CODEL], 0);
}

/* One flow's standing queue is no other's trouble. */
static void only_the_flow_that_stands(void **state)
{
    struct fixture *f = *state;
    unsigned got = 0;

    for (unsigned t = 0; t < 2000; t++) {
        while (f->q.n < 40)
            push(f, T0 + t * MS, 1, 1500);
        if (t % 20 == 0)
            push(f, T0 + t * MS, 2, 200);
        got += pop(f, T0 + t * MS) == 2;
    }
    assert_int_equal(got, 100);
    assert_true(f->drops.n[DROP_CODEL] > 20);
}

/* A flow of one packet at a time is not dropped however long the packet waits: nothing stands. */
static void the_last_packet_of_a_flow_passes(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 50; i++) {
        push(f, T0 + i * 100 * MS, 1, 1500);
        assert_int_equal(pop(f, T0 + i * 100 * MS + 90 * MS), 1);
    }
    assert_int_equal(f->drops.n[DROP_CODEL], 0);
}

/* A flow that pauses for a moment is remembered; an hour later, or after so many others that its
 * place was needed, it is new. */
static void a_pause_is_remembered(void **state)
{
    struct fixture *f = *state;
    uint64_t before;

    stand(f, T0, 2000, 1, 0);
    before = f->drops.n[DROP_CODEL];
    while (pop(f, T0 + 2000 * MS) >= 0)
        ;
    assert_int_equal(fq_flows_in_use(f->flows), 0);
    f->drops.n[DROP_CODEL] = 0;
    stand(f, T0 + 2100 * MS, 500, 1, 0);
    assert_true(before > 20);
    assert_true(f->drops.n[DROP_CODEL] > 5); /* two, had it to begin anew */
    while (pop(f, T0 + 2600 * MS) >= 0)
        ;
    f->drops.n[DROP_CODEL] = 0;
    stand(f, T0 + 3600 * NS_PER_S, 500, 1, 0);
    assert_in_range(f->drops.n[DROP_CODEL], 2, 3);
}

static void a_slow_line_has_a_longer_target(void **state)
{
    struct fixture *f = *state;
    uint64_t now = T0;

    assert_int_equal(f->q.target_ns, 5 * MS);
    for (unsigned i = 0; i < 500; i++) { /* 100 packets a second */
        while (f->q.n < 4)
            push(f, now, i % 4, 1500);
        pop(f, now);
        now += 10 * MS;
    }
    assert_in_range(f->q.target_ns, 14 * MS, 16 * MS);
    for (unsigned i = 0; i < 5000; i++) { /* and 1000 */
        while (f->q.n < 4)
            push(f, now, i % 4, 1500);
        pop(f, now);
        now += MS;
    }
    assert_int_equal(f->q.target_ns, 5 * MS);
    for (unsigned i = 0; i < 30; i++) { /* a line that hardly moves */
        push(f, now, 1, 1500);
        push(f, now, 2, 1500);
        pop(f, now);
        now += 900 * MS;
    }
    assert_int_equal(f->q.target_ns, FQ_CODEL_INTERVAL_NS);
}

/* --- bounds ---------------------------------------------------------------------------- */

/* The oldest of whom has most. */
static void the_fattest_pays(void **state)
{
    struct fixture *f = *state;
    unsigned n = 0;
    struct pkt *pkt;

    for (unsigned i = 0; i < 300; i++)
        push(f, T0, 1, 1000);
    for (unsigned i = 0; i < 700; i++)
        push(f, T0, 2, 1000);
    for (unsigned i = 0; i < 50; i++) /* 1050000 bytes: over by 2 */
        push(f, T0, 3, 1000);
    assert_int_equal(f->drops.n[DROP_QUEUE_FULL], 2);
    for (unsigned i = 0; i < 10; i++)
        push(f, T0, 4, 1000);
    assert_int_equal(f->drops.n[DROP_QUEUE_FULL], 12);
    assert_true(f->q.bytes <= BYTES);
    while ((pkt = fq_packet_pop(&f->q, T0))) {
        if (fq_packet_flow(pkt) == 2 && !n++)
            assert_int_equal(fq_packet_number(pkt), 312);
        pkt_free(f->pool, pkt);
    }
    assert_int_equal(n, 688);
}

static void packets_are_bounded(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < FQ_PACKETS_MAX + 5; i++)
        push(f, T0, i % 3, 100);
    assert_int_equal(f->q.n, FQ_PACKETS_MAX);
    assert_int_equal(f->drops.n[DROP_QUEUE_FULL], 5);
}

/* A bound below what waits: what waits may go, and each newcomer takes a place. */
static void a_smaller_bound(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 100; i++)
        push(f, T0, 1, 100);
    fq_set_max_packets(&f->q, 0, 10);
    assert_int_equal(f->q.n, 100);
    push(f, T0, 2, 100);
    assert_int_equal(f->q.n, 100);
    assert_int_equal(f->drops.n[DROP_QUEUE_FULL], 1);
    assert_int_equal(pop(f, T0), 1);
    assert_int_equal(pop(f, T0), 1);
    fq_set_max_packets(&f->q, 0, 0);
    push(f, T0, 1, 100);
    assert_int_equal(f->q.n, 98);
    while (pop(f, T0) >= 0)
        ;
    fq_set_max_packets(&f->q, 0, 0); /* one there is always */
    push(f, T0, 1, 100);
    assert_int_equal(f->q.n, 1);
}

/* The bound in bytes is worth 25 ms of what leaves, and never less than it says. */
static void the_bound_follows_the_rate(void **state)
{
    struct fixture *f = *state;
    uint64_t t = T0;

    f->q.opts.max_bytes = f->q.max_bytes = 250000;
    for (unsigned i = 0; i < 500; i++, t += MS) { /* 15 kB each ms, and empty meanwhile */
        for (unsigned n = 0; n < 10; n++)
            push(f, t, 1, 1500);
        for (unsigned n = 0; n < 10; n++)
            pop(f, t);
    }
    assert_in_range(f->q.max_bytes, 372500, 378750);
    for (unsigned i = 0; i < 260; i++)
        push(f, t, 1, 1500);
    assert_in_range(f->q.bytes, 371000, f->q.max_bytes);
    for (t += NS_PER_S / 2; f->q.n; t += 20 * MS)
        pop(f, t);
    assert_int_equal(f->q.max_bytes, 250000);
    for (unsigned i = 0; i < 250; i++, t += MS)
        for (unsigned n = 0; n < 2000; n++) {
            push(f, t, 1, 1500);
            pop(f, t);
        }
    assert_int_equal(f->q.max_bytes, 250000 * FQ_BYTES_FACTOR);
}

static void what_is_old_is_stale(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 10; i++)
        push(f, T0 + i * 100 * MS, 1, 100);
    assert_int_equal(pop(f, T0 + NS_PER_S + 500 * MS), 1);
    assert_int_equal(f->drops.n[DROP_STALE], 5);
    assert_int_equal(f->drops.n[DROP_CODEL], 0);
    assert_int_equal(f->q.n, 4);
    assert_int_equal(pop(f, T0 + 10 * NS_PER_S), -1);
    assert_int_equal(f->drops.n[DROP_STALE], 9);
}

/* --- leases ---------------------------------------------------------------------------- */

/* A hub has thousands of idle sessions. */
static void an_idle_session_costs_little(void **state)
{
    struct fixture *f = *state;

    assert_true(sizeof(struct fq) <= 512);
    assert_true(sizeof(struct fq) + sizeof(struct session) - sizeof(struct fq) <= 1024);
    push(f, T0, 1, 100);
    assert_int_equal(fq_flows_in_use(f->flows), 1);
    assert_int_equal(pop(f, T0), 1);
    assert_int_equal(pop(f, T0), -1);
    assert_int_equal(fq_flows_in_use(f->flows), 0);
}

/* The same addresses in two sessions are two flows. */
static void sessions_share_the_flows(void **state)
{
    struct fixture *f = *state;
    struct fq_opts o = opts(f);
    struct fq other;

    fq_init(&other, &o);
    push(f, T0, 1, 100);
    fq_packet_push(&other, T0, fq_packet(f->pool, 1, 7, 100, 0));
    assert_int_equal(fq_flows_in_use(f->flows), 2);
    assert_int_equal(f->q.n, 1);
    assert_int_equal(other.n, 1);
    fq_flush(&other, DROP_NO_SESSION);
    assert_int_equal(f->drops.n[DROP_NO_SESSION], 1);
    assert_int_equal(fq_flows_in_use(f->flows), 1);
    assert_int_equal(pop(f, T0), 1);
}

/* With two leases the third and fourth flow share a queue, and nothing is lost. */
static void without_a_lease_flows_share(void **state)
{
    struct fixture *f = *state;
    unsigned n[5] = {0};

    for (unsigned i = 0; i < 10; i++)
        for (unsigned flow = 1; flow <= 4; flow++)
            push(f, T0, flow, 1500);
    assert_int_equal(fq_flows_in_use(f->flows), 2);
    assert_int_equal(f->q.stats.shared, 20);
    for (unsigned i = 0; i < 12; i++)
        n[pop(f, T0)]++;
    assert_int_equal(n[1], 4);
    assert_int_equal(n[2], 4);
    assert_int_equal(n[3], 2);
    assert_int_equal(n[4], 2);
    for (unsigned i = 0; i < 28; i++)
        n[pop(f, T0)]++;
    assert_int_equal(pop(f, T0), -1);
    for (unsigned flow = 1; flow <= 4; flow++)
        assert_int_equal(n[flow], 10);
    push(f, T0, 4, 100); /* now there are leases again */
    assert_int_equal(f->q.stats.shared, 20);
    assert_int_equal(fq_flows_in_use(f->flows), 1);
}

static void without_flows_all_share(void **state)
{
    struct fixture *f = *state;
    struct fq_opts o = opts(f);
    struct fq q;
    struct pkt *pkt;
    unsigned n = 0;

    o.flows = NULL;
    fq_init(&q, &o);
    for (uint32_t i = 0; i < 20; i++)
        fq_packet_push(&q, T0, fq_packet(f->pool, i % 3, i, 1000, 0));
    while ((pkt = fq_packet_pop(&q, T0))) {
        assert_int_equal(fq_packet_number(pkt), n++);
        pkt_free(f->pool, pkt);
    }
    assert_int_equal(n, 20);
}

/* One session cannot take the leases of all. */
static void a_session_has_a_bound_of_flows(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < FQ_FLOWS_MAX + 20; i++)
        push(f, T0, i, 100);
    assert_int_equal(f->q.n_flows, FQ_FLOWS_MAX);
    assert_int_equal(f->q.stats.shared, 20);
    for (unsigned i = 0; i < FQ_FLOWS_MAX + 20; i++)
        assert_true(pop(f, T0) >= 0);
    assert_int_equal(pop(f, T0), -1);
    assert_int_equal(f->q.n_flows, 0);
}

/* A table of two, a thousand flows one after the other. */
static void leases_go_round(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 1000; i++) {
        push(f, T0 + i * MS, i, 100);
        assert_int_equal(pop(f, T0 + i * MS), i);
        assert_int_equal(pop(f, T0 + i * MS), -1);
    }
    assert_int_equal(f->q.stats.shared, 0);
}

static void flushed_it_is_empty(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 100; i++)
        push(f, T0, i % 7, 100);
    pop(f, T0);
    fq_flush(&f->q, DROP_NO_SESSION);
    assert_int_equal(f->drops.n[DROP_NO_SESSION], 99);
    assert_int_equal(f->q.n, 0);
    assert_int_equal(f->q.bytes, 0);
    assert_int_equal(f->q.n_flows, 0);
    assert_int_equal(pop(f, T0), -1);
    push(f, T0, 1, 100);
    assert_int_equal(pop(f, T0), 1);
}

/* --- only some of the flows ---------------------------------------------------------------- */

static bool is_odd(void *user, const struct pkt *first, bool sparse)
{
    return first->flow % 2 == *(const unsigned *)user;
}

/* Who asks for some flows gets those, in their order, and the others stay as they are. */
static void some_of_the_flows_are_asked_for(void **state)
{
    enum { N = 40, EACH = 3 };
    struct fixture *f = *state;
    unsigned odd, seen[N] = {0};
    struct pkt *pkt;

    for (unsigned i = 0; i < N * EACH; i++)
        push(f, T0, i % N, 500);
    f->q.mine = is_odd;
    f->q.mine_user = &odd;
    for (odd = 0; odd < 2; odd++)
        while ((pkt = fq_packet_pop(&f->q, T0))) {
            uint32_t flow = fq_packet_flow(pkt);

            assert_int_equal(pkt->flow % 2, odd);
            assert_int_equal(fq_packet_number(pkt), flow + N * seen[flow]++);
            pkt_free(f->pool, pkt);
        }
    for (unsigned i = 0; i < N; i++)
        assert_int_equal(seen[i], EACH);
    f->q.mine = NULL;
}

/* A flow that has run empty gives its place back, whoever asks. */
static void those_asked_for_leave_when_they_are_empty(void **state)
{
    struct fixture *f = *state;
    unsigned odd;

    f->q.mine = is_odd;
    f->q.mine_user = &odd;
    for (uint32_t i = 0; i < 10 * FLOWS; i++) {
        push(f, T0 + i * MS, i, 500);
        for (odd = 0; odd < 2; odd++)
            pop(f, T0 + i * MS);
        assert_int_equal(f->q.n, 0);
        assert_true(f->q.n_flows <= 4);
    }
    assert_int_equal(f->q.stats.shared, 0);
    f->q.mine = NULL;
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_flow_keeps_its_order),
        T(flows_take_turns),
        T(turns_are_counted_in_bytes),
        T(a_sparse_flow_goes_first),
        T(a_burst_is_new_for_a_quantum_only),
        T(running_empty_does_not_make_new),
        T(segments_take_turns),
        T(the_rest_of_a_super_packet),
        T(one_segment_pays),
        T(a_bound_for_each_class),
        T(back_in_front),
        T(a_standing_queue_is_dropped),
        T(with_ecn_it_is_marked),
        T(only_the_flow_that_stands),
        T(the_last_packet_of_a_flow_passes),
        T(a_pause_is_remembered),
        T(a_slow_line_has_a_longer_target),
        T(the_fattest_pays),
        T(packets_are_bounded),
        T(a_smaller_bound),
        T(the_bound_follows_the_rate),
        T(what_is_old_is_stale),
        T(an_idle_session_costs_little),
        T(sessions_share_the_flows),
        T(flushed_it_is_empty),
        T(some_of_the_flows_are_asked_for),
        T(those_asked_for_leave_when_they_are_empty),
        T(without_flows_all_share),
        cmocka_unit_test_setup_teardown(without_a_lease_flows_share, setup_few, teardown),
        cmocka_unit_test_setup_teardown(leases_go_round, setup_few, teardown),
        cmocka_unit_test_setup_teardown(a_session_has_a_bound_of_flows, setup_many, teardown),
    };
#undef T

    return cmocka_run_group_tests(tests, NULL, NULL);
}
