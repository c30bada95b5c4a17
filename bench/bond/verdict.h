/* A bond beside the best that one of its lines gives alone in the same run, bare or through our
 * tunnel: whether bonding was worth it. */
#ifndef BENCH_BOND_VERDICT_H
#define BENCH_BOND_VERDICT_H

#include "bench/bond/load.h"

enum { VERDICT_SEEDS_MAX = 100 };

enum verdict_figure {
    VERDICT_GOODPUT, /* share of the best line's */
    VERDICT_P5,      /* share of that line's */
    VERDICT_P95,     /* ms more than that line's */
    VERDICT_FIGURES
};

/* Zeroed: nothing is known. */
struct verdict {
    struct result best[VERDICT_SEEDS_MAX], bond[VERDICT_SEEDS_MAX];
};

/* A run with that seed (a number from 0), over one line alone or over all. */
void verdict_add(struct verdict *v, unsigned seed, bool alone, const struct result *r);

/* Median, least and greatest over the first n seeds. False: there is nothing to compare. */
bool verdict_read(const struct verdict *v, unsigned n, enum verdict_figure f, double ret[3]);

#endif
