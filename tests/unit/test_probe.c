/* Links in virtual time: what the rounds of a probe make of loss, bursts, outages, delay and flaps.
 */
#include "probe_world.h"

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
        run_until(&w, WAN_STATE_DEGRADED, 5 * NS_PER_S + 5 * intervals[i] * NS_PER_MS);
        assert_in_range(w.probe.verdict.loss_percent, 20, 70);
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

/* Twice as long, up to eight times, when it does not last; as at first when it has lasted. */
static void what_flaps_waits_longer(void **state)
{
    static const unsigned factors[] = {1, 2, 4, 8, 8};
    struct gateway_probe c = conf_of(100);
    struct world w;

    c.up = 10;
    start(&w, &c, 1, never);
    run(&w, 60 * NS_PER_S);
    for (size_t i = 0; i <= ARRAY_LEN(factors); i++) {
        uint64_t least_ns = factors[i % ARRAY_LEN(factors)] * NS_PER_S, took_ns;

        w.lost = always;
        run_until(&w, WAN_STATE_UNHEALTHY, 5 * NS_PER_S);
        run(&w, 2 * NS_PER_S);
        w.lost = never;
        took_ns = run_until(&w, WAN_STATE_HEALTHY, 20 * NS_PER_S);
        assert_in_range(took_ns, least_ns - 200 * NS_PER_MS, least_ns + 200 * NS_PER_MS);
        run(&w, (i + 1 < ARRAY_LEN(factors) ? 2 : 11) * NS_PER_S);
    }
}

/* Some seconds of loss degrade it, and it is healthy again when half a window was better. */
static void loss_that_passes(void **state)
{
    struct gateway_probe c = conf_of(250);
    uint64_t half_ns = probe_window_rounds(&c) * 125 * NS_PER_MS;
    struct world w;

    start(&w, &c, 2, never);
    run(&w, 60 * NS_PER_S);
    for (unsigned hold = 1; hold <= 2; hold++) {
        w.lost = forty_percent;
        run_until(&w, WAN_STATE_DEGRADED, 6 * NS_PER_S);
        assert_true(w.probe.verdict.loss_percent >= 20);
        w.lost = never;
        assert_in_range(run_until(&w, WAN_STATE_HEALTHY, 5 * half_ns),
                        hold * half_ns - 2 * NS_PER_S, hold * half_ns + 2 * NS_PER_S);
    }
}

/* A jump of latency, as when somebody begins to download, is no loss. */
static void delay_that_grows(void **state)
{
    struct gateway_probe c = conf_of(250);
    struct world w;

    start(&w, &c, 2, never);
    run(&w, 60 * NS_PER_S);
    w.n_changes = 0;
    for (unsigned i = 0; i < 100; i++) {
        w.rtt_ns = (i % 2 ? 20 : 900) * NS_PER_MS;
        run(&w, 5 * NS_PER_S);
    }
    assert_int_equal(w.n_changes, 0);
    assert_int_equal(w.probe.verdict.loss_percent, 0);
    assert_true(w.n_requests > w.n_rounds * 2); /* it did look */
}

/* One of two targets limits how often it answers: the other one says that the link is good. */
static bool first_is_limited(struct world *w, unsigned target)
{
    return target == 0 && rng_double(&w->rng) < 0.5;
}

static void a_target_that_is_bad_alone(void **state)
{
    struct gateway_probe c = conf_of(250);
    struct world w;

    start(&w, &c, 2, first_is_limited);
    run(&w, 60 * NS_PER_S);
    w.n_changes = 0;
    run(&w, 3600 * NS_PER_S);
    assert_int_equal(w.n_changes, 0);
    assert_int_equal(w.probe.verdict.state, WAN_STATE_HEALTHY);
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
    uint32_t targets;
    uint16_t number;

    start(&w, &c, 1, never);
    run(&w, 30 * NS_PER_S);
    w.n_changes = 0;
    for (unsigned i = 0; i < 50; i++) {
        w.n_flying = 0; /* its answers are too late, all of them */
        w.now_ns += 20 * NS_PER_S;
        w.n_changes += probe_expire(&w.probe, w.now_ns);
        if (probe_begin(&w.probe, w.now_ns, &number, &targets))
            send_round(&w, number, targets);
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
    uint32_t targets;
    uint16_t number;

    c.need = 2;
    probe_init(&p, &c, 2, &none, 0);
    assert_true(probe_begin(&p, 0, &number, &targets));
    assert_false(probe_begin(&p, 1, &number, &targets));
    for (unsigned i = 0; i < 5; i++)
        probe_on_answer(&p, 0, number, 1000); /* the same one */
    probe_on_answer(&p, 2, number, 1000);
    probe_on_answer(&p, 1, (uint16_t)(number + 1), 1000);
    probe_on_answer(&p, 1, number, NS_PER_S); /* too late */
    assert_false(probe_expire(&p, NS_PER_S));
    assert_int_equal(p.verdict.answering, 1);
    assert_int_equal(p.bad, 1);
    assert_true(probe_begin(&p, NS_PER_S, &number, &targets));
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
        cmocka_unit_test(what_flaps_waits_longer),
        cmocka_unit_test(loss_that_passes),
        cmocka_unit_test(delay_that_grows),
        cmocka_unit_test(a_target_that_is_bad_alone),
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
