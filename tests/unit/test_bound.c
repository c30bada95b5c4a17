/* The bound in virtual time, against a bottleneck of one queue: packets leave it one by one and
 * are acknowledged a round trip later. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "base/rng.h"
#include "base/util.h"
#include "quic/bound.h"

enum { BYTES = BOUND_PACKET_BYTES, FIFO = 1 << 14, OTHER = -1 };

#define BASE_NS (20 * NS_PER_MS)

/* Numbers of packets, or OTHER for those of a flow that keeps its own window full. */
struct fifo {
    int64_t number[FIFO];
    uint64_t at_ns[FIFO];
    size_t head, n;
};

struct line {
    struct bound b;
    uint64_t now_ns, rate_bps, next;
    struct fifo queue, acks;
    size_t buffer; /* packets */
    size_t most;   /* that the sender has in flight by itself, 0 = as many as it may */
    double loss;
    unsigned other_window, other_flying; /* packets */
    uint64_t done, queue_sum_ns, queue_n;
    struct rng rng;
};

static void push(struct fifo *f, int64_t number, uint64_t at_ns)
{
    size_t i = (f->head + f->n++) % FIFO;

    assert_true(f->n <= FIFO);
    f->number[i] = number;
    f->at_ns[i] = at_ns;
}

static int64_t pop(struct fifo *f)
{
    int64_t number = f->number[f->head];

    f->head = (f->head + 1) % FIFO;
    f->n--;
    return number;
}

/* What a lost packet comes back as: a loss is noticed when its acknowledgement would come. */
static int64_t lost(int64_t number)
{
    return -2 - number;
}

static void enqueue(struct line *l, int64_t number)
{
    if (l->queue.n < l->buffer)
        push(&l->queue, number, l->now_ns);
    else
        push(&l->acks, number == OTHER ? OTHER : lost(number), l->now_ns + BASE_NS);
}

static void acknowledge(struct line *l)
{
    while (l->acks.n && l->acks.at_ns[l->acks.head] <= l->now_ns) {
        int64_t number = pop(&l->acks);

        if (number == OTHER) {
            l->other_flying--;
        } else if (number < 0) {
            bound_on_lost(&l->b, l->now_ns, (uint64_t)(-2 - number));
        } else {
            bound_on_acked(&l->b, l->now_ns, (uint64_t)number);
            l->done++;
        }
    }
}

static bool has_more(const struct line *l)
{
    return !l->most || l->b.in_flight < l->most * BYTES;
}

/* One packet time: acknowledgements in, packets out of both senders, one packet through. */
static void tick(struct line *l)
{
    l->now_ns += (uint64_t)BYTES * 8 * NS_PER_S / l->rate_bps;
    acknowledge(l);
    while (has_more(l) && bound_may_send(&l->b, l->now_ns, 1) && l->queue.n < l->buffer) {
        bound_on_sent(&l->b, l->now_ns, l->next, BYTES, (uint32_t)(l->next % 4));
        enqueue(l, (int64_t)l->next++);
    }
    for (; l->other_flying < l->other_window; l->other_flying++)
        enqueue(l, OTHER);
    if (!l->queue.n)
        return;
    l->queue_sum_ns += l->now_ns - l->queue.at_ns[l->queue.head];
    l->queue_n++;
    {
        int64_t number = pop(&l->queue);
        bool gone = number != OTHER && rng_double(&l->rng) < l->loss;

        push(&l->acks, gone ? lost(number) : number, l->now_ns + BASE_NS);
    }
}

static void run(struct line *l, double s)
{
    uint64_t end_ns = l->now_ns + (uint64_t)(s * 1e9);

    l->done = l->queue_sum_ns = l->queue_n = 0;
    while (l->now_ns < end_ns)
        tick(l);
}

static double share(const struct line *l, double s)
{
    return (double)(l->done * BYTES * 8) / s / (double)l->rate_bps;
}

static double queue_ms(const struct line *l)
{
    return (double)l->queue_sum_ns / (double)l->queue_n / 1e6;
}

static struct line *line_new(uint64_t rate_bps)
{
    struct line *l = calloc(1, sizeof(*l));

    assert_non_null(l);
    l->rate_bps = rate_bps;
    l->now_ns = NS_PER_S;
    l->buffer = 4000;
    rng_seed(&l->rng, 1);
    bound_init(&l->b);
    bound_set(&l->b, true, 0);
    return l;
}

static void line_free(struct line *l)
{
    bound_done(&l->b);
    free(l);
}

static double base_ms(const struct line *l)
{
    return (double)MIN(l->b.base_ns[0], l->b.base_ns[1]) / 1e6;
}

/* --- the law ---------------------------------------------------------------------------- */

static void fills_the_link_with_a_short_queue(void **state)
{
    static const uint64_t rates[] = {5000000, 100000000, 500000000};

    for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
        struct line *l = line_new(rates[i]);

        run(l, 3);
        run(l, 5);
        assert_true(share(l, 5) > 0.98);
        assert_true(queue_ms(l) < 7.5);
        assert_int_equal(l->b.mode, BOUND_DELAY);
        line_free(l);
    }
}

static void random_loss_does_not_slow_it(void **state)
{
    struct line *l = line_new(100000000);

    l->loss = 0.05;
    run(l, 3);
    run(l, 5);
    assert_true(share(l, 5) > 0.93); /* 0.95 arrives */
    assert_true(queue_ms(l) < 6);
    assert_true(fabs(l->b.loss - 0.05) < 0.02);
    line_free(l);
}

static void base_does_not_creep(void **state)
{
    struct line *l = line_new(50000000);

    run(l, 60);
    assert_true(base_ms(l) < 21);
    assert_true(queue_ms(l) < 6);
    line_free(l);
}

static void a_doubled_rate_is_found_within_a_second(void **state)
{
    struct line *l = line_new(50000000);

    run(l, 3);
    l->rate_bps *= 2;
    run(l, 1);
    run(l, 1);
    assert_true(share(l, 1) > 0.95);
    l->rate_bps /= 2; /* so soon after, it may look like somebody else's doing for a while */
    run(l, 10);
    run(l, 1);
    assert_true(share(l, 1) > 0.95);
    assert_true(queue_ms(l) < 8);
    assert_int_equal(l->b.mode, BOUND_DELAY);
    line_free(l);
}

static void a_tiny_buffer_does_not_drown_in_losses(void **state)
{
    struct line *l = line_new(100000000);

    l->buffer = 10; /* 1.2 ms, less than the queue that is allowed */
    run(l, 3);
    run(l, 5);
    assert_true(share(l, 5) > 0.6);
    line_free(l);
}

static void competes_with_a_foreign_queue_and_comes_back(void **state)
{
    struct line *l = line_new(100000000);

    run(l, 3);
    l->other_window = 340; /* two bandwidth-delay products */
    run(l, 5);
    assert_int_equal(l->b.mode, BOUND_COMPETE);
    run(l, 10);
    assert_true(share(l, 10) > 0.25);
    assert_true(share(l, 10) < 0.65);
    l->other_window = 0;
    run(l, 12);
    run(l, 3);
    assert_int_equal(l->b.mode, BOUND_DELAY);
    assert_true(share(l, 3) > 0.97);
    assert_true(queue_ms(l) < 6);
    line_free(l);
}

/* A sender that has a little less in flight than the window: the window comes down to what it
 * should be, so that no queue stands, as long as it makes one. */
static void a_sender_below_its_window_makes_no_queue(void **state)
{
    struct line *l = line_new(100000000);

    run(l, 3);
    l->most = 250; /* 29 ms */
    l->b.window = l->b.target = 280 * BYTES;
    run(l, 1);
    run(l, 3);
    assert_true(share(l, 3) > 0.98);
    assert_true(queue_ms(l) < 6);
    l->most = 20; /* ... and one that sends little is not held back by it */
    run(l, 10);
    assert_true(l->b.window > 150 * BYTES);
    line_free(l);
}

/* Of a round's few packets on a slow link one may be small and have met no other, and often. */
static void the_luck_of_one_packet_makes_no_queue(void **state)
{
    struct line *l = line_new(5000000);
    double sum_ms = 0;

    run(l, 3);
    for (unsigned i = 0; i < 400; i++) {
        if (i % 3 < 2)
            l->b.round.rtt_min_ns = MIN(l->b.round.rtt_min_ns, BASE_NS);
        run(l, 0.025);
        sum_ms += queue_ms(l) / 400;
    }
    assert_true(sum_ms < 20);
    line_free(l);
}

/* --- bookkeeping ------------------------------------------------------------------------ */

static void of_several_paths_one_that_varies_may_jitter(void **state)
{
    struct bound b;

    bound_init(&b);
    bound_set(&b, true, 0);
    b.rate = 10e6;
    b.vary.spread_ns = 6 * NS_PER_MS; /* 4 more than a ripple */
    assert_int_equal(bound_vary_ns(&b), 8 * NS_PER_MS);
    bound_set_several(&b, true);
    assert_int_equal(bound_vary_ns(&b), 0);
    b.vary.extra_ns = NS_PER_MS;
    assert_int_equal(bound_vary_ns(&b), 9 * NS_PER_MS);
    bound_done(&b);
}

static void switched_off_it_allows_everything(void **state)
{
    struct bound b;

    bound_init(&b);
    for (uint64_t i = 0; i < 1000; i++) {
        assert_true(bound_may_send(&b, i, 1));
        bound_on_sent(&b, i, i, BYTES, 0);
    }
    assert_int_equal(b.in_flight, 0);
    assert_null(b.sent);
    bound_done(&b);
}

static void limits_the_first_flight(void **state)
{
    struct bound b;
    uint64_t n = 0;

    bound_init(&b);
    bound_set(&b, true, 0);
    while (bound_may_send(&b, 1, 1))
        bound_on_sent(&b, 1, n++, BYTES, 0);
    assert_int_equal(n, 32);
    assert_false(bound_may_send(&b, 1, 2));
    bound_on_acked(&b, NS_PER_MS, 5);
    assert_int_equal(b.in_flight, 31 * BYTES);
    bound_on_acked(&b, NS_PER_MS, 5); /* twice, and unknown ones */
    bound_on_lost(&b, NS_PER_MS, 5);
    bound_on_acked(&b, NS_PER_MS, 1000);
    assert_int_equal(b.in_flight, 31 * BYTES);
    bound_done(&b);
    bound_done(&b);
}

static void a_dead_lane_gives_its_share_back(void **state)
{
    struct bound b;

    bound_init(&b);
    bound_set(&b, true, 0);
    for (uint64_t i = 0; i < 32; i++)
        bound_on_sent(&b, 1, i, BYTES, (uint32_t)(i % 4));
    bound_on_lane_down(&b, 0);
    assert_int_equal(b.in_flight, 24 * BYTES);
    for (uint32_t lane = 1; lane < 4; lane++)
        bound_on_lane_down(&b, lane);
    assert_int_equal(b.in_flight, 0);
    bound_done(&b);
}

static void what_is_never_answered_is_written_off(void **state)
{
    struct bound b;

    bound_init(&b);
    bound_set(&b, true, 0);
    for (uint64_t i = 0; i < 32; i++)
        bound_on_sent(&b, 1, i, BYTES, 0);
    assert_false(bound_may_send(&b, 200 * NS_PER_MS, 1));
    assert_true(bound_may_send(&b, 400 * NS_PER_MS, 1));
    assert_int_equal(b.in_flight, 0);
    bound_done(&b);
}

static void numbers_may_have_gaps(void **state)
{
    struct bound b;

    bound_init(&b);
    bound_set(&b, true, 0);
    bound_on_sent(&b, 1, 10, 100, 0);
    bound_on_sent(&b, 1, 500, 100, 0);
    bound_on_acked(&b, 2, 300);
    assert_int_equal(b.in_flight, 200);
    bound_on_sent(&b, 1, 400, 100, 0); /* not larger than all before: ignored */
    assert_int_equal(b.in_flight, 200);
    bound_on_acked(&b, 2, 500);
    bound_on_acked(&b, 2, 10);
    assert_int_equal(b.in_flight, 0);
    bound_done(&b);
}

static void the_ring_is_bounded_and_given_back(void **state)
{
    struct bound b;
    uint64_t n = 0;

    bound_init(&b);
    bound_set(&b, true, 0);
    b.window = b.target = 1ull << 40;
    for (; n < BOUND_RING_MAX + 10; n++)
        bound_on_sent(&b, 1, n, BYTES, 0);
    assert_int_equal(b.cap, BOUND_RING_MAX);
    assert_false(bound_may_send(&b, 1, 1));
    bound_on_lane_down(&b, 0);
    bound_on_sent(&b, 2, n, BYTES, 0); /* a lone packet, as keep-alives are */
    bound_on_lane_down(&b, 0);
    assert_int_equal(b.cap, BOUND_RING_MIN);
    assert_true(sizeof(b) + b.cap * sizeof(*b.sent) < 8192);
    bound_done(&b);
}

static void lanes_follow_load_and_loss(void **state)
{
    struct line *l = line_new(100000000);
    unsigned clean;

    assert_int_equal(bound_lanes_wanted(&l->b, l->now_ns), 1);
    run(l, 3);
    clean = bound_lanes_wanted(&l->b, l->now_ns);
    assert_in_range(clean, 4, 8);
    l->loss = 0.02;
    run(l, 5);
    assert_int_equal(bound_lanes_wanted(&l->b, l->now_ns), BOUND_LANES_MAX);
    assert_int_equal(bound_lanes_wanted(&l->b, l->now_ns + 10 * NS_PER_S), 1);
    line_free(l);
}

static void a_short_path_without_loss_needs_one_lane(void **state)
{
    struct bound b = {.on = true,
                      .mode = BOUND_DELAY,
                      .queue_ns = BOUND_QUEUE_NS,
                      .rate = 1e9,
                      .base_ns = {NS_PER_MS, NS_PER_MS},
                      .round.since_ns = NS_PER_S};

    assert_int_equal(bound_lanes_wanted(&b, NS_PER_S), 1);
    b.loss = 0.001;
    assert_int_equal(bound_lanes_wanted(&b, NS_PER_S), BOUND_LANES_MAX);
    b.loss = 0;
    b.base_ns[0] = b.base_ns[1] = 5 * NS_PER_MS;
    assert_int_equal(bound_lanes_wanted(&b, NS_PER_S), BOUND_LANES_MAX);
}

static void long_silence_starts_anew(void **state)
{
    struct line *l = line_new(100000000);

    run(l, 3);
    bound_on_lane_down(&l->b, 0);
    for (uint32_t lane = 1; lane < 4; lane++)
        bound_on_lane_down(&l->b, lane);
    assert_int_equal(l->b.mode, BOUND_DELAY);
    bound_on_sent(&l->b, l->now_ns + 60 * NS_PER_S, l->next, BYTES, 0);
    assert_int_equal(l->b.mode, BOUND_STARTUP);
    assert_int_equal(l->b.window, 32 * BYTES);
    line_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fills_the_link_with_a_short_queue),
        cmocka_unit_test(random_loss_does_not_slow_it),
        cmocka_unit_test(base_does_not_creep),
        cmocka_unit_test(a_doubled_rate_is_found_within_a_second),
        cmocka_unit_test(a_tiny_buffer_does_not_drown_in_losses),
        cmocka_unit_test(competes_with_a_foreign_queue_and_comes_back),
        cmocka_unit_test(a_sender_below_its_window_makes_no_queue),
        cmocka_unit_test(the_luck_of_one_packet_makes_no_queue),
        cmocka_unit_test(of_several_paths_one_that_varies_may_jitter),
        cmocka_unit_test(switched_off_it_allows_everything),
        cmocka_unit_test(limits_the_first_flight),
        cmocka_unit_test(a_dead_lane_gives_its_share_back),
        cmocka_unit_test(what_is_never_answered_is_written_off),
        cmocka_unit_test(numbers_may_have_gaps),
        cmocka_unit_test(the_ring_is_bounded_and_given_back),
        cmocka_unit_test(lanes_follow_load_and_loss),
        cmocka_unit_test(a_short_path_without_loss_needs_one_lane),
        cmocka_unit_test(long_silence_starts_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
