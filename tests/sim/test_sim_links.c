/* A tunnel over one line of lab/links beside the bare line: what it carries, and what a ping feels
 * meanwhile. The same of all lines: bench/bond. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "bench/bond/load.h"

enum { SEEDS = 3, SECONDS = 20, PATH_BYTES = 512 };

struct expected {
    const char *link, *load;
    double goodput; /* least, of the bare line's */
    double more_ms; /* round trip at the 95th percentile at most above the bare line's */
};

static const struct load *load_named(const char *name)
{
    const struct load *l = loads;

    while (strcmp(l->name, name) != 0)
        l++;
    return l;
}

static const struct carrier *carrier_named(const char *name)
{
    const struct carrier *k = carriers;

    while (strcmp(k->name, name) != 0)
        k++;
    return k;
}

static struct result run(const struct cell *cell, const char *carrier, const char *load,
                         uint64_t seed)
{
    struct scene_opts so = {.cell = cell, .seed = seed, .cc = QUIC_CC_BBR};
    struct load_opts lo = {.load = load_named(load), .seconds = SECONDS, .late_ms = 150};
    struct result r = load_run(&so, carrier_named(carrier), &lo);

    assert_true(r.valid);
    return r;
}

static void expect(const struct expected *e)
{
    struct cell cell = {.n_wans = 1};
    double bare = 0, ours = 0, more_ms = 0;
    char path[PATH_BYTES];
    unsigned line;

    snprintf(path, sizeof(path), LINKS "/%s.link", e->link);
    assert_int_equal(wan_trace_load(&cell.trace[0], path, &line), 0);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct result b = run(&cell, "bare", e->load, seed);
        struct result o = run(&cell, "single", e->load, seed);

        print_message("%s, %s, seed %u: %.1f of %.1f Mbit/s, ping's p95 %.0f ms (bare %.0f)\n",
                      e->link, e->load, (unsigned)seed, o.figure[FIGURE_GOODPUT],
                      b.figure[FIGURE_GOODPUT], o.figure[FIGURE_P95], b.figure[FIGURE_P95]);
        bare += b.figure[FIGURE_GOODPUT];
        ours += o.figure[FIGURE_GOODPUT];
        more_ms += (o.figure[FIGURE_P95] - b.figure[FIGURE_P95]) / SEEDS;
    }
    assert_true(ours > e->goodput * bare);
    assert_true(more_ms < e->more_ms);
    wan_trace_done(&cell.trace[0]);
}

/* The bare line pays for its goodput with a queue of a quarter of a second and more. */
static void a_fading_link_is_used(void **state)
{
    expect(&(struct expected){"lte", "tcp4", 0.90, 0});
    expect(&(struct expected){"lte2", "tcp4", 0.86, 0});
}

/* The bare line is slowed by losses, and has no queue. */
static void losses_and_jitter_do_not_slow_it(void **state)
{
    expect(&(struct expected){"lte", "tcp1", 1.0, 120});
    expect(&(struct expected){"starlink", "tcp4", 1.6, 60});
    expect(&(struct expected){"random-loss", "tcp4", 1.7, 25});
    expect(&(struct expected){"burst-loss", "tcp4", 0.96, 40});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fading_link_is_used),
        cmocka_unit_test(losses_and_jitter_do_not_slow_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
