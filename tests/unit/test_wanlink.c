/* The link model of the WAN emulator, in virtual time. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/util.h"
#include "lab/wanlink.h"

enum { POOL = 4096, FRAME = 1250 };

struct fixture {
    struct wan_link link;
    struct wan_packet pool[POOL];
    unsigned next;
};

static struct fixture *start(const char *params)
{
    struct fixture *f = calloc(1, sizeof(*f));
    const char *bad = NULL;

    assert_non_null(f);
    assert_int_equal(wan_link_init(&f->link, POOL, 7), 0);
    assert_int_equal(wan_params_parse(&f->link.params, params, &bad), 0);
    return f;
}

static void finish(struct fixture *f)
{
    wan_link_done(&f->link);
    free(f);
}

static bool push(struct fixture *f, uint32_t len, uint64_t now_ns)
{
    struct wan_packet *p = &f->pool[f->next++ % POOL];

    p->len = len;
    return wan_link_push(&f->link, p, now_ns);
}

static void test_rate_is_exact_however_late_the_caller_is(void **state)
{
    struct fixture *f = start("rate=10m delay=5ms");
    struct wan_packet *p;
    bool lost;

    /* 1250 bytes at 10 Mbit/s take 1 ms. */
    for (unsigned i = 0; i < 100; i++)
        assert_true(push(f, FRAME, 0));
    assert_int_equal(wan_link_next_ns(&f->link), NS_PER_MS);
    assert_null(wan_link_pop(&f->link, 6 * NS_PER_MS - 1, &lost));
    for (unsigned i = 0; i < 100; i++) {
        p = wan_link_pop(&f->link, 500 * NS_PER_MS, &lost);
        assert_non_null(p);
        assert_false(lost);
        assert_int_equal(p->due_ns, (i + 1) * NS_PER_MS + 5 * NS_PER_MS);
    }
    assert_null(wan_link_pop(&f->link, 500 * NS_PER_MS, &lost));
    assert_int_equal(wan_link_next_ns(&f->link), TIME_NEVER_NS);

    /* An idle transmitter starts when the next packet comes. */
    assert_true(push(f, FRAME, 600 * NS_PER_MS));
    assert_int_equal(wan_link_next_ns(&f->link), 601 * NS_PER_MS);
    finish(f);
}

static void test_a_new_rate_counts_from_the_next_packet(void **state)
{
    struct fixture *f = start("rate=10m");
    const char *bad;
    bool lost;

    for (unsigned i = 0; i < 3; i++)
        assert_true(push(f, FRAME, 0));
    assert_int_equal(wan_params_parse(&f->link.params, "rate=5m", &bad), 0);
    assert_int_equal(wan_link_pop(&f->link, NS_PER_S, &lost)->due_ns, 1 * NS_PER_MS);
    assert_int_equal(wan_link_pop(&f->link, NS_PER_S, &lost)->due_ns, 3 * NS_PER_MS);
    assert_int_equal(wan_link_pop(&f->link, NS_PER_S, &lost)->due_ns, 5 * NS_PER_MS);
    finish(f);
}

static void test_queue_in_bytes_and_in_time(void **state)
{
    struct fixture *f = start("rate=10m queue=10k");
    unsigned taken = 0;

    for (unsigned i = 0; i < 20; i++)
        taken += push(f, FRAME, 0);
    assert_int_equal(taken, 8);
    assert_int_equal(f->link.counters.dropped[WAN_DROP_QUEUE], 12);
    assert_int_equal(f->link.counters.queue_max_bytes, 8 * FRAME);
    finish(f);

    f = start("rate=10m queue=20ms");
    assert_int_equal(wan_queue_limit(&f->link.params), 25000);
    finish(f);
    f = start("rate=100k queue=1ms");
    assert_true(wan_queue_limit(&f->link.params) >= 2 * 1514); /* something always fits */
    finish(f);
    f = start("queue=50ms");
    assert_int_equal(wan_queue_limit(&f->link.params), 0);
    finish(f);
}

static void test_mtu_and_down_drop_silently(void **state)
{
    struct fixture *f = start("mtu=1400");
    const char *bad;

    assert_true(push(f, 1414, 0));
    assert_false(push(f, 1415, 0));
    assert_int_equal(wan_params_parse(&f->link.params, "down=1", &bad), 0);
    assert_false(push(f, 100, 0));
    assert_int_equal(f->link.counters.dropped[WAN_DROP_MTU], 1);
    assert_int_equal(f->link.counters.dropped[WAN_DROP_DOWN], 1);
    assert_int_equal(f->link.counters.in_packets, 3);
    finish(f);
}

/* Send n packets one by one; returns how many were lost, and in how many runs. */
static unsigned losses(struct fixture *f, unsigned n, unsigned *ret_runs)
{
    unsigned total = 0, runs = 0;
    bool lost, before = false;

    for (unsigned i = 0; i < n; i++) {
        assert_true(push(f, FRAME, i));
        assert_non_null(wan_link_pop(&f->link, i, &lost));
        total += lost;
        runs += lost && !before;
        before = lost;
    }
    *ret_runs = runs;
    return total;
}

static void test_random_loss_has_its_rate(void **state)
{
    struct fixture *f = start("loss=2%");
    unsigned runs, n = losses(f, 100000, &runs);

    /* 2000 expected, standard deviation 44: five of them. */
    assert_in_range(n, 1780, 2220);
    assert_true(runs > n * 95 / 100);
    assert_int_equal(f->link.counters.dropped[WAN_DROP_LOSS], n);
    assert_int_equal(f->link.counters.out_packets, 100000 - n);
    finish(f);
}

static void test_bursts_have_their_rate_and_length(void **state)
{
    struct fixture *f = start("burst=0.001,0.1,100%");
    unsigned runs, n = losses(f, 200000, &runs);

    /* Bad for 1 / 0.1 = 10 packets, entered once in 1000 good ones: 198 bursts, 1980 losses. */
    assert_in_range(runs, 140, 260);
    assert_in_range(n / runs, 8, 12);
    assert_int_equal(f->link.counters.dropped[WAN_DROP_BURST], n);
    finish(f);
}

static void test_jitter_stays_in_bounds_and_keeps_order(void **state)
{
    struct fixture *f = start("delay=20ms jitter=10ms");
    uint64_t last = 0, least = UINT64_MAX, most = 0;

    for (unsigned i = 0; i < 20000; i++) {
        uint64_t t = i * NS_PER_MS, extra;
        struct wan_packet *p;
        bool lost;

        assert_true(push(f, FRAME, t));
        while ((p = wan_link_pop(&f->link, t, &lost))) {
            assert_true(p->due_ns >= last);
            last = p->due_ns;
        }
        extra = f->link.last_due_ns - t - 20 * NS_PER_MS;
        assert_true(extra <= 10 * NS_PER_MS);
        least = MIN(least, extra);
        most = MAX(most, extra);
    }
    assert_true(least < NS_PER_MS && most > 9 * NS_PER_MS);
    finish(f);
}

static void test_reorder_gives_each_packet_its_own_delay(void **state)
{
    struct fixture *f = start("delay=20ms jitter=10ms reorder=1");
    unsigned early = 0;
    uint64_t due, before = 0;
    struct wan_packet *p;
    bool lost;

    for (unsigned i = 0; i < 1000; i++) {
        assert_true(push(f, FRAME, i * NS_PER_MS));
        (void)wan_link_next_ns(&f->link);
    }
    due = 0;
    while ((p = wan_link_pop(&f->link, 10 * NS_PER_S, &lost))) {
        unsigned index = (unsigned)(p - f->pool);

        assert_true(p->due_ns >= due);
        assert_true(p->due_ns >= index * NS_PER_MS + 20 * NS_PER_MS);
        assert_true(p->due_ns <= index * NS_PER_MS + 30 * NS_PER_MS);
        early += index < before;
        before = index;
        due = p->due_ns;
    }
    assert_true(early > 100);
    finish(f);
}

static void test_the_same_seed_gives_the_same_link(void **state)
{
    struct fixture *a = start("loss=10% delay=1ms jitter=5ms reorder=1");
    struct fixture *b = start("loss=10% delay=1ms jitter=5ms reorder=1");
    struct wan_packet *p, *q;
    bool lost_p, lost_q;

    for (unsigned i = 0; i < 1000; i++) {
        assert_true(push(a, FRAME, i * NS_PER_MS) && push(b, FRAME, i * NS_PER_MS));
        do {
            p = wan_link_pop(&a->link, i * NS_PER_MS, &lost_p);
            q = wan_link_pop(&b->link, i * NS_PER_MS, &lost_q);
            assert_int_equal(p ? p - a->pool : -1, q ? q - b->pool : -1);
            assert_true(!p || (lost_p == lost_q && p->due_ns == q->due_ns));
        } while (p);
    }
    finish(a);
    finish(b);
}

static void test_words(void **state)
{
    static const char *const wrong[] = {
        "rate",       "rate=",     "rate=20x",      "rate=-1",       "delay=10",
        "loss=101%",  "burst=1,2", "burst=1,1,1,1", "down=yes",      "colour=blue",
        "mtu=100000", "rate=inf",  "rate=20m =ms",  "queue=5parsec",
    };
    struct wan_params p = {.rate_bps = 5};
    const char *bad;

    for (unsigned i = 0; i < ARRAY_LEN(wrong); i++) {
        bad = NULL;
        assert_int_equal(wan_params_parse(&p, wrong[i], &bad), -EINVAL);
        assert_true(bad >= wrong[i] && bad < wrong[i] + strlen(wrong[i]));
        assert_int_equal(p.rate_bps, 5);
    }
    assert_int_equal(
        wan_params_parse(&p, " rate=1.5g  delay=250us loss=0.5% burst=1%,50%,0.9 queue=64k ", &bad),
        0);
    assert_int_equal(p.rate_bps, 1500000000);
    assert_int_equal(p.delay_ns, 250000);
    assert_true(fabs(p.loss - 0.005) < 1e-12 && fabs(p.ge_bad - 0.01) < 1e-12);
    assert_true(p.ge_loss > 0.89 && p.queue_bytes == 64000 && p.queue_ns == 0);
    assert_int_equal(wan_params_parse(&p, "burst=0 queue=5ms", &bad), 0);
    assert_true(p.ge_bad == 0 && p.queue_bytes == 0 && p.queue_ns == 5 * NS_PER_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rate_is_exact_however_late_the_caller_is),
        cmocka_unit_test(test_a_new_rate_counts_from_the_next_packet),
        cmocka_unit_test(test_queue_in_bytes_and_in_time),
        cmocka_unit_test(test_mtu_and_down_drop_silently),
        cmocka_unit_test(test_random_loss_has_its_rate),
        cmocka_unit_test(test_bursts_have_their_rate_and_length),
        cmocka_unit_test(test_jitter_stays_in_bounds_and_keeps_order),
        cmocka_unit_test(test_reorder_gives_each_packet_its_own_delay),
        cmocka_unit_test(test_the_same_seed_gives_the_same_link),
        cmocka_unit_test(test_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
