/* Two QUIC endpoints over two simulated links: the simulator itself, and that it is
 * deterministic. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/duo.h"

struct outcome {
    uint64_t trace, traced, rx;
    double goodput_bps;
};

/* 20 Mbit/s, 30 ms, 1 % loss and jitter that reorders, two lanes, two seconds of bulk up. */
static struct outcome run(uint64_t seed)
{
    struct sim *sim = sim_new(seed);
    struct link_opts line = {.rate_bps = 20000000,
                             .delay_ns = 15 * NS_PER_MS,
                             .jitter_ns = 3 * NS_PER_MS,
                             .reorder = true,
                             .loss = 0.01};
    struct duo_opts opts = {.lanes = 2};
    struct wan wan;
    struct outcome o;
    struct duo *d;

    wan_init(&wan, sim, "wan", &line, &line);
    d = duo_new(&wan, &opts);
    assert_true(duo_wait_up(d, 2, 5 * NS_PER_S));
    bulk_send(&d->at_edge, UINT64_MAX);
    sim_run_for(sim, 2 * NS_PER_S);
    o = (struct outcome){sim->trace, sim->traced, d->at_hub.stats.rx, bulk_goodput_bps(&d->at_hub)};
    duo_free(d);
    wan_done(&wan);
    sim_free(sim);
    return o;
}

static void same_seed_same_trace(void **state)
{
    struct outcome a = run(1), b = run(1);

    assert_true(a.rx > 500);
    assert_true(a.traced == b.traced);
    assert_true(a.trace == b.trace);
}

static void other_seed_other_trace(void **state)
{
    uint64_t seen[8];

    for (unsigned i = 0; i < 8; i++) {
        seen[i] = run(100 + i).trace;
        for (unsigned k = 0; k < i; k++)
            assert_true(seen[i] != seen[k]);
    }
}

/* The trace of a process of its own: nothing may depend on where memory lies. */
static uint64_t trace_of_child(const char *self)
{
    char cmd[512], line[64];
    FILE *f;

    snprintf(cmd, sizeof(cmd), "%s trace", self);
    f = popen(cmd, "r");
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof(line), f));
    assert_int_equal(pclose(f), 0);
    return strtoull(line, NULL, 16);
}

static const char *self;

static void two_processes_same_trace(void **state)
{
    uint64_t here = run(1).trace;

    assert_true(trace_of_child(self) == here);
    assert_true(trace_of_child(self) == here);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_seed_same_trace),
        cmocka_unit_test(other_seed_other_trace),
        cmocka_unit_test(two_processes_same_trace),
    };

    self = argv[0];
    if (argc > 1) {
        printf("%llx\n", (unsigned long long)run(1).trace);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
