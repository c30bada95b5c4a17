/* Links in virtual time: what the rounds of a probe make of loss, bursts, outages, delay and flaps.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/rng.h"
#include "base/util.h"
#include "config/schema.h"
#include "wan/probe.h"

enum { FLYING_MAX = 512 };

/* An answer on its way. */
struct flying {
    uint64_t at_ns;
    unsigned target;
    uint16_t number;
};

struct world;

/* Is a request to a target lost at this time? */
typedef bool lost_fn(struct world *w, unsigned target);

struct world {
    uint64_t now_ns;
    struct rng rng;
    struct probe probe;
    struct flying flying[FLYING_MAX];
    unsigned n_flying;
    lost_fn *lost;
    uint64_t rtt_ns;
    unsigned n_changes;
    unsigned n_rounds;
    uint64_t burst_at_ns; /* bursts of 300 ms */
};

static struct gateway_probe conf_of(uint32_t interval_ms)
{
    struct gateway_probe c;

    config_defaults(&gateway_probe_schema, &c, sizeof(c));
    c.interval_ms = interval_ms;
    gateway_probe_complete(&c);
    return c;
}

static void start(struct world *w, const struct gateway_probe *c, unsigned n_targets, lost_fn *lost)
{
    static const struct wan_verdict none;

    memset(w, 0, sizeof(*w));
    w->now_ns = 1000 * NS_PER_S;
    rng_seed(&w->rng, 7);
    w->lost = lost;
    w->rtt_ns = 20 * NS_PER_MS;
    probe_init(&w->probe, c, n_targets, &none, w->now_ns);
}

static void send_round(struct world *w, uint16_t number)
{
    w->n_rounds++;
    for (unsigned i = 0; i < w->probe.n_targets; i++) {
        if (w->lost(w, i))
            continue;
        assert_true(w->n_flying < FLYING_MAX);
        w->flying[w->n_flying++] = (struct flying){w->now_ns + w->rtt_ns, i, number};
    }
}

static uint64_t next_ns(const struct world *w)
{
    uint64_t at = probe_next_ns(&w->probe);

    for (unsigned i = 0; i < w->n_flying; i++)
        at = MIN(at, w->flying[i].at_ns);
    return at;
}

static void land(struct world *w)
{
    for (unsigned i = 0; i < w->n_flying;) {
        struct flying f = w->flying[i];

        if (f.at_ns > w->now_ns) {
            i++;
            continue;
        }
        w->flying[i] = w->flying[--w->n_flying];
        probe_on_answer(&w->probe, f.target, f.number, w->now_ns);
    }
}

static void run(struct world *w, uint64_t for_ns)
{
    uint64_t end_ns = w->now_ns + for_ns, at;
    uint16_t number;

    while ((at = next_ns(w)) <= end_ns) {
        assert_true(at >= w->now_ns);
        w->now_ns = at;
        land(w);
        w->n_changes += probe_expire(&w->probe, w->now_ns);
        if (probe_begin(&w->probe, w->now_ns, &number))
            send_round(w, number);
    }
    w->now_ns = end_ns;
}

/* Until it is in that state; how long that took, at most limit_ns. */
static uint64_t run_until(struct world *w, enum wan_state state, uint64_t limit_ns)
{
    uint64_t from_ns = w->now_ns;

    while (w->probe.verdict.state != state && w->now_ns - from_ns < limit_ns)
        run(w, 10 * NS_PER_MS);
    assert_int_equal(w->probe.verdict.state, state);
    return w->now_ns - from_ns;
}

static bool never(struct world *w, unsigned target)
{
    return false;
}

static bool always(struct world *w, unsigned target)
{
    return true;
}

static bool forty_percent(struct world *w, unsigned target)
{
    return rng_double(&w->rng) < 0.4;
}

/* Two percent, and every five to fifteen seconds a burst of 300 ms. */
static bool bursts(struct world *w, unsigned target)
{
    if (w->now_ns >= w->burst_at_ns + 300 * NS_PER_MS)
        w->burst_at_ns = w->now_ns + 5 * NS_PER_S + rng_below(&w->rng, 10 * NS_PER_S);
    return w->now_ns >= w->burst_at_ns || rng_double(&w->rng) < 0.02;
}

static bool first_is_dead(struct world *w, unsigned target)
{
    return target == 0;
}

static bool first_two_are_dead(struct world *w, unsigned target)
{
    return target < 2;
}

static bool one_answers_seldom(struct world *w, unsigned target)
{
    return target == 0 && rng_double(&w->rng) < 0.7;
}

static const uint32_t intervals[] = {100, 200, 500, 1000, 5000};

static void usual_loss_is_no_reason(void **state)
{
    struct world w;

    for (size_t i = 0; i < ARRAY_LEN(intervals); i++) {
        struct gateway_probe c = conf_of(intervals[i]);

        start(&w, &c, 1, bursts);
        run_until(&w, WAN_STATE_HEALTHY, 60 * NS_PER_S);
        w.n_changes = 0;
        run(&w, 3 * 3600 * NS_PER_S);
        assert_int_equal(w.n_changes, 0);
        assert_int_equal(w.probe.verdict.state, WAN_STATE_HEALTHY);
    }
}

static void forty_percent_are_acted_on(void **state)
{
    struct world w;

    for (size_t i = 0; i < ARRAY_LEN(intervals); i++) {
        struct gateway_probe c = conf_of(intervals[i]);
        uint64_t window_ns = probe_window_rounds(&c) * intervals[i] * NS_PER_MS;

        start(&w, &c, 3, never);
        run(&w, 2 * window_ns);
        assert_int_equal(w.probe.verdict.state, WAN_STATE_HEALTHY);
        w.lost = forty_percent;
        assert_true(run_until(&w, WAN_STATE_DEGRADED, window_ns) >= window_ns / 4);
        assert_in_range(w.probe.verdict.loss_percent, 20, 40);
        assert_false(w.probe.verdict.by_latency);
        w.n_changes = 0;
        run(&w, 5 * window_ns);
        assert_int_equal(w.n_changes, 0);
        w.lost = never;
        assert_true(run_until(&w, WAN_STATE_HEALTHY, window_ns) > window_ns / 4);
        run(&w, 2 * window_ns);
        assert_int_equal(w.n_changes, 1);
        assert_int_equal(w.probe.verdict.loss_percent, 0);
    }
}

/* Three seconds by default, and as fast as one says. */
static void an_outage(void **state)
{
    struct world w;
    struct gateway_probe c;

    for (size_t i = 0; i < ARRAY_LEN(intervals); i++) {
        uint64_t interval_ns = intervals[i] * NS_PER_MS, took_ns;

        c = conf_of(intervals[i]);
        start(&w, &c, 1, never);
        run(&w, 100 * interval_ns);
        w.lost = always;
        took_ns = run_until(&w, WAN_STATE_UNHEALTHY, 60 * NS_PER_S);
        assert_in_range(took_ns, (probe_down_rounds(&c) - 1) * interval_ns,
                        (probe_down_rounds(&c) + 1) * interval_ns + NS_PER_S);
        assert_int_equal(w.probe.verdict.answering, 0);
        run(&w, 200 * interval_ns);
        w.lost = never;
        took_ns = run_until(&w, WAN_STATE_HEALTHY, 60 * NS_PER_S);
        assert_in_range(took_ns, (probe_up_rounds(&c) - 1) * interval_ns,
                        (probe_up_rounds(&c) + 1) * interval_ns + NS_PER_S);
        run(&w, 200 * interval_ns); /* what was lost in the outage is not held against it */
        assert_int_equal(w.n_changes, 3);
    }
    c = conf_of(100);
    c.down = 2;
    c.up = 4;
    c.timeout_ms = 100;
    start(&w, &c, 1, never);
    run(&w, 10 * NS_PER_S);
    w.lost = always;
    assert_true(run_until(&w, WAN_STATE_UNHEALTHY, NS_PER_S) <= 310 * NS_PER_MS);
    w.lost = never;
    assert_true(run_until(&w, WAN_STATE_HEALTHY, NS_PER_S) <= 430 * NS_PER_MS);
}

static void dead_from_the_start(void **state)
{
    struct gateway_probe c = conf_of(500);
    struct world w;

    start(&w, &c, 2, always);
    run(&w, 3 * NS_PER_S);
    assert_int_equal(w.probe.verdict.state, WAN_STATE_UNKNOWN);
    run_until(&w, WAN_STATE_UNHEALTHY, 2 * NS_PER_S);
    start(&w, &c, 1, forty_percent);
    run_until(&w, WAN_STATE_DEGRADED, 60 * NS_PER_S);
}

static void so_many_of_the_targets(void **state)
{
    struct gateway_probe c = conf_of(500);
    struct world w;

    c.need = 2;
    start(&w, &c, 3, first_is_dead);
    run(&w, 300 * NS_PER_S);
    assert_int_equal(w.probe.verdict.state, WAN_STATE_HEALTHY);
    assert_int_equal(w.probe.verdict.answering, 2);
    assert_int_equal(w.probe.verdict.loss_percent, 0);
    assert_in_range(w.probe.verdict.latency_us, 19000, 21000);
    w.lost = first_two_are_dead;
    run_until(&w, WAN_STATE_UNHEALTHY, 6 * NS_PER_S);
    assert_int_equal(w.probe.verdict.answering, 1);
    assert_int_equal(w.probe.verdict.need, 2);
    w.lost = one_answers_seldom;
    run_until(&w, WAN_STATE_HEALTHY, 6 * NS_PER_S);
    w.n_changes = 0;
    run(&w, 600 * NS_PER_S);
    assert_int_equal(w.n_changes, 0);
    c.need = 3;
    start(&w, &c, 2, first_is_dead); /* all of them where there are fewer */
    run_until(&w, WAN_STATE_UNHEALTHY, 6 * NS_PER_S);
    assert_int_equal(w.probe.verdict.need, 2);
}

static void latency_has_two_limits(void **state)
{
    struct gateway_probe c = conf_of(500);
    struct world w;

    c.latency_ms = 100;
    start(&w, &c, 1, never);
    w.rtt_ns = 95 * NS_PER_MS;
    run(&w, 300 * NS_PER_S);
    assert_int_equal(w.probe.verdict.state, WAN_STATE_HEALTHY);
    w.rtt_ns = 120 * NS_PER_MS;
    run_until(&w, WAN_STATE_DEGRADED, 60 * NS_PER_S);
    assert_true(w.probe.verdict.by_latency);
    w.rtt_ns = 85 * NS_PER_MS; /* between the limits it stays */
    run(&w, 300 * NS_PER_S);
    assert_int_equal(w.probe.verdict.state, WAN_STATE_DEGRADED);
    w.rtt_ns = 70 * NS_PER_MS;
    run_until(&w, WAN_STATE_HEALTHY, 60 * NS_PER_S);
    assert_false(w.probe.verdict.by_latency);
    w.rtt_ns = 1100 * NS_PER_MS; /* beyond the timeout there is no answer */
    run_until(&w, WAN_STATE_UNHEALTHY, 10 * NS_PER_S);
}

/* Fast ones change nothing, slow ones no more than they do themselves; then it is as it is. */
static void fifty_flaps(void **state)
{
    struct gateway_probe c = conf_of(100);
    struct world w;

    for (unsigned ms = 600; ms <= 12000; ms += 600) {
        start(&w, &c, 2, never);
        run(&w, 30 * NS_PER_S);
        w.n_changes = 0;
        for (unsigned i = 0; i < 100; i++) {
            w.lost = i % 2 ? never : always;
            run(&w, ms * NS_PER_MS);
        }
        assert_true(w.n_changes <= 100 + 2);
        w.lost = ms % 1200 ? always : never;
        run(&w, 20 * NS_PER_S);
        assert_int_equal(w.probe.verdict.state,
                         ms % 1200 ? WAN_STATE_UNHEALTHY : WAN_STATE_HEALTHY);
        w.n_changes = 0;
        run(&w, 60 * NS_PER_S);
        assert_int_equal(w.n_changes, 0);
    }
}

/* A machine that did not run us for long, or slept, says nothing about its links. */
static void being_late_is_no_loss(void **state)
{
    struct gateway_probe c = conf_of(100);
    struct world w;
    uint16_t number;

    start(&w, &c, 1, never);
    run(&w, 30 * NS_PER_S);
    w.n_changes = 0;
    for (unsigned i = 0; i < 50; i++) {
        w.n_flying = 0; /* its answers are too late, all of them */
        w.now_ns += 20 * NS_PER_S;
        w.n_changes += probe_expire(&w.probe, w.now_ns);
        if (probe_begin(&w.probe, w.now_ns, &number))
            send_round(&w, number);
    }
    assert_int_equal(w.n_changes, 0);
    assert_int_equal(w.probe.verdict.loss_percent, 0);
    w.n_rounds = 0;
    run(&w, NS_PER_S); /* what was missed is not made up for */
    assert_in_range(w.n_rounds, 9, 11);
}

static void a_pause_keeps_the_verdict(void **state)
{
    struct gateway_probe c = conf_of(100);
    struct world w;

    start(&w, &c, 1, never);
    run(&w, 10 * NS_PER_S);
    w.lost = always;
    run(&w, 3900 * NS_PER_MS); /* one bad round before the end */
    assert_int_equal(w.probe.verdict.state, WAN_STATE_HEALTHY);
    probe_pause(&w.probe);
    run(&w, 2 * NS_PER_S);
    assert_int_equal(w.probe.verdict.state, WAN_STATE_HEALTHY);
    run_until(&w, WAN_STATE_UNHEALTHY, 4 * NS_PER_S);
    probe_pause(&w.probe);
    assert_int_equal(w.probe.verdict.state, WAN_STATE_UNHEALTHY);
}

static void only_its_own_answers_count(void **state)
{
    static const struct wan_verdict none;
    struct gateway_probe c = conf_of(1000);
    struct probe p;
    uint16_t number;

    c.need = 2;
    probe_init(&p, &c, 2, &none, 0);
    assert_true(probe_begin(&p, 0, &number));
    assert_false(probe_begin(&p, 1, &number));
    for (unsigned i = 0; i < 5; i++)
        probe_on_answer(&p, 0, number, 1000); /* the same one */
    probe_on_answer(&p, 2, number, 1000);
    probe_on_answer(&p, 1, (uint16_t)(number + 1), 1000);
    probe_on_answer(&p, 1, number, NS_PER_S); /* too late */
    assert_false(probe_expire(&p, NS_PER_S));
    assert_int_equal(p.verdict.answering, 1);
    assert_int_equal(p.bad, 1);
    assert_true(probe_begin(&p, NS_PER_S, &number));
    probe_on_report(&p, 0, number, 0); /* up, its round trip is not known */
    probe_on_report(&p, 1, number, 5000);
    probe_expire(&p, NS_PER_S);
    assert_int_equal(p.verdict.answering, 2);
    assert_int_equal(p.good, 1);
}

/* As many rounds as the timeout holds are under way at most. */
static void rounds_under_way_are_bounded(void **state)
{
    struct gateway_probe c = conf_of(100);
    struct world w;

    c.timeout_ms = 3000;
    start(&w, &c, PROBE_TARGETS_MAX, always);
    for (unsigned i = 0; i < 600; i++) {
        run(&w, 100 * NS_PER_MS);
        assert_in_range(w.probe.n_open, 1, PROBE_ROUNDS_MAX);
    }
    assert_int_equal(w.probe.verdict.state, WAN_STATE_UNHEALTHY);
    c.interval_ms = 50; /* as no configuration says */
    start(&w, &c, 1, always);
    run(&w, 60 * NS_PER_S);
    assert_int_equal(w.probe.n_open, PROBE_ROUNDS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usual_loss_is_no_reason),
        cmocka_unit_test(forty_percent_are_acted_on),
        cmocka_unit_test(an_outage),
        cmocka_unit_test(dead_from_the_start),
        cmocka_unit_test(so_many_of_the_targets),
        cmocka_unit_test(latency_has_two_limits),
        cmocka_unit_test(fifty_flaps),
        cmocka_unit_test(being_late_is_no_loss),
        cmocka_unit_test(a_pause_keeps_the_verdict),
        cmocka_unit_test(only_its_own_answers_count),
        cmocka_unit_test(rounds_under_way_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
