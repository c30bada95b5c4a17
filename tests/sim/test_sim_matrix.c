/* Bonds beside the best of their lines, bare or through a tunnel of its own: key cells of the
 * matrix of bench/bond, each with seeds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "bench/bond/unit.h"

enum { SEEDS = 3, SECONDS = 15, WHY_MAX = 600 };

/* Medians over the seeds, as verdict.h has them. */
struct expected {
    const char *cell, *load;
    bool up;
    double bound[VERDICT_FIGURES];
};

static struct cells all;

static int load_cells(void **state)
{
    char why[WHY_MAX];

    if (cells_load(&all, LINKS, why, sizeof(why)) == 0)
        return 0;
    print_message("%s\n", why);
    return -1;
}

static int free_cells(void **state)
{
    cells_done(&all);
    return 0;
}

static const struct cell *cell_named(const char *name)
{
    for (unsigned i = 0; i < all.n; i++)
        if (strcmp(all.cell[i].name, name) == 0)
            return &all.cell[i];
    return NULL;
}

static const struct load *load_named(const char *name)
{
    const struct load *l = loads;

    while (strcmp(l->name, name) != 0)
        l++;
    return l;
}

static void expect(const struct expected *e)
{
    static const struct unit_opts opts = {.seeds = SEEDS,
                                          .first_seed = 1,
                                          .scene = {.cc = QUIC_CC_BBR},
                                          .load = {.seconds = SECONDS, .late_ms = 150}};
    static struct unit unit;
    double found[VERDICT_FIGURES][3];

    memset(&unit, 0, sizeof(unit));
    unit.cell = cell_named(e->cell);
    unit.load = load_named(e->load);
    unit.up = e->up;
    assert_non_null(unit.cell);
    unit_run(&unit, &opts);
    for (unsigned f = 0; f < VERDICT_FIGURES; f++)
        assert_true(verdict_read(&unit.verdict, SEEDS, f, found[f]));
    print_message("%s %s %s: goodput %.2f (%.2f-%.2f), p5 %.2f, p95 %+.1f ms\n", e->cell, e->load,
                  e->up ? "up" : "down", found[VERDICT_GOODPUT][0], found[VERDICT_GOODPUT][1],
                  found[VERDICT_GOODPUT][2], found[VERDICT_P5][0], found[VERDICT_P95][0]);
    for (unsigned f = 0; f < VERDICT_FIGURES; f++)
        assert_true(verdict_reaches(f, found[f][0], e->bound[f]));
}

static void expect_all(const struct expected *e, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        expect(&e[i]);
}

/* Nothing varies and nothing is lost: both lines are in use. */
static void steady_lines(void **state)
{
    static const struct expected e[] = {{"two-fibre", "tcp1", false, {1.8, 1.8, 10}}};

    expect_all(e, ARRAY_LEN(e));
}

static void a_steady_line_and_one_that_varies(void **state)
{
    static const struct expected e[] = {{"fibre-lte", "tcp4", false, {1.15, 0.95, 10}}};

    expect_all(e, ARRAY_LEN(e));
}

static void lines_that_vary(void **state)
{
    static const struct expected e[] = {
        {"lte-lte", "tcp1", false, {1, 0.97, 10}},
        {"lte-lte", "tcp16", false, {1.05, 0.97, 10}},
        {"lte-lte", "quic", false, {1, 0.85, 10}},
    };

    expect_all(e, ARRAY_LEN(e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steady_lines),
        cmocka_unit_test(a_steady_line_and_one_that_varies),
        cmocka_unit_test(lines_that_vary),
    };

    return cmocka_run_group_tests(tests, load_cells, free_cells);
}
