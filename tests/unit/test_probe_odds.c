/* The odds of a probe, in virtual time: how often forty percent of loss are acted on within three
 * seconds, and that usual loss with bursts changes nothing, for years. Deterministic.
 *
 * Without arguments: what has to hold. "test_probe_odds table": the operating characteristic of
 * doc/decisions/0020-probes.md, for whoever changes the rules. */
#include <stdio.h>

#include "probe_world.h"

#ifdef __SANITIZE_ADDRESS__
enum { HOURS = 100, CASES = 200 };
#else
enum { HOURS = 10000, CASES = 2000 };
#endif

static double loss;

static bool at_random(struct world *w, unsigned target)
{
    return rng_double(&w->rng) < loss;
}

/* Random loss, and every five to fifteen seconds a burst of 300 ms. */
static bool with_bursts(struct world *w, unsigned target)
{
    if (w->now_ns >= w->burst_at_ns + 300 * NS_PER_MS)
        w->burst_at_ns = w->now_ns + 5 * NS_PER_S + rng_below(&w->rng, 10 * NS_PER_S);
    return w->now_ns >= w->burst_at_ns || rng_double(&w->rng) < loss;
}

static bool nothing(struct world *w, unsigned target)
{
    return false;
}

/* In how many of `cases` a link that is healthy, with two percent of loss, is found to lose so much
 * within that time. Where in a round it begins is random. */
static unsigned acted_on(uint32_t interval_ms, unsigned targets, double much, uint64_t within_ns,
                         unsigned cases)
{
    struct gateway_probe c = conf_of(interval_ms);
    unsigned n = 0;

    for (unsigned i = 0; i < cases; i++) {
        struct world w;

        start(&w, &c, targets, nothing);
        rng_seed(&w.rng, 1000 + i);
        run(&w, 40 * NS_PER_S);
        assert_int_equal(w.probe.verdict.state, WAN_STATE_HEALTHY);
        loss = 0.02;
        w.lost = at_random;
        run(&w, 10 * NS_PER_S + rng_below(&w.rng, interval_ms * NS_PER_MS));
        loss = much;
        w.n_changes = 0;
        run(&w, within_ns);
        n += w.n_changes != 0;
    }
    return n;
}

/* Transitions in so many hours; how many requests there were for each round. */
static unsigned transitions(uint32_t interval_ms, unsigned targets, double usual, unsigned hours,
                            double *ret_requests)
{
    struct gateway_probe c = conf_of(interval_ms);
    unsigned n = 0, step = MIN(hours, 100u);

    *ret_requests = 0;
    for (unsigned h = 0; h < hours; h += step) { /* each with a seed of its own */
        struct world w;

        start(&w, &c, targets, nothing);
        rng_seed(&w.rng, 77 + h);
        run(&w, 60 * NS_PER_S);
        assert_int_equal(w.probe.verdict.state, WAN_STATE_HEALTHY);
        loss = usual;
        w.lost = with_bursts;
        w.n_changes = 0;
        w.n_rounds = w.n_requests = 0;
        run(&w, step * 3600 * NS_PER_S);
        n += w.n_changes;
        *ret_requests += (double)w.n_requests / (double)(w.n_rounds * targets) * step / hours;
    }
    return n;
}

static void forty_percent_within_three_seconds(void **state)
{
    struct gateway_probe c = conf_of(0);

    assert_true(acted_on(c.interval_ms, 1, 0.4, 3 * NS_PER_S, CASES) >= CASES * 95 / 100);
    assert_true(acted_on(500, 3, 0.4, 3 * NS_PER_S, CASES) >= CASES * 95 / 100);
    assert_true(acted_on(c.interval_ms, 2, 0.4, 3 * NS_PER_S, CASES) >= CASES * 98 / 100);
}

static void ten_thousand_hours_of_usual_loss(void **state)
{
    struct gateway_probe c = conf_of(0);
    double requests;

    assert_int_equal(transitions(c.interval_ms, 1, 0.02, HOURS, &requests), 0);
    assert_true(requests < 3);
}

static int table(void)
{
    static const uint32_t intervals[] = {100, 250, 500, 1000};
    static const double losses[] = {0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.6, 0.8};
    double requests;

    for (size_t i = 0; i < ARRAY_LEN(intervals); i++)
        for (unsigned targets = 1; targets <= 3; targets++) {
            printf("%4u ms %u targets:", intervals[i], targets);
            for (size_t n = 0; n < ARRAY_LEN(losses); n++)
                printf(" %2.0f%%: %5.1f", losses[n] * 100,
                       acted_on(intervals[i], targets, losses[n], 3 * NS_PER_S, 2000) / 20.0);
            printf("; changes in 1000 h: %u",
                   transitions(intervals[i], targets, 0.02, 1000, &requests));
            printf(" with %.2f requests\n", requests);
        }
    for (size_t n = 0; n < 4; n++) {
        unsigned changes = transitions(250, 1, losses[n] / 2, 1000, &requests);

        printf("250 ms 1 target, %.1f %%: changes in 1000 h: %u with %.2f requests\n",
               losses[n] * 50, changes, requests);
    }
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forty_percent_within_three_seconds),
        cmocka_unit_test(ten_thousand_hours_of_usual_loss),
    };

    if (argc > 1 && !strcmp(argv[1], "table"))
        return table();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
