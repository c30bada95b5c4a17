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

/* The run of one seed over one line alone. */
struct verdict_best {
    struct result result;
    const char *carrier, *link;
    unsigned wan; /* from 1 */
};

/* Zeroed: nothing is known. */
struct verdict {
    struct verdict_best best[VERDICT_SEEDS_MAX];
    struct result bond[VERDICT_SEEDS_MAX];
};

/* Never worse than one line: what a median has to be, in the units of enum verdict_figure; the last
 * is a most, the others are leasts. */
extern const double verdict_aims[VERDICT_FIGURES];

/* A run with that seed (a number from 0), over one line alone (wan from 1) or over all (0). The
 * names are borrowed. */
void verdict_add(struct verdict *v, unsigned seed, unsigned wan, const char *carrier,
                 const char *link, const struct result *r);

/* Median, least and greatest over the first n seeds. False: there is nothing to compare. */
bool verdict_read(const struct verdict *v, unsigned n, enum verdict_figure f, double ret[3]);

/* Whether a median is as good as that bound. */
bool verdict_reaches(enum verdict_figure f, double median, double bound);

/* The line that was the best one with most of the seeds. False: none. */
bool verdict_best(const struct verdict *v, unsigned n, struct verdict_best *ret);

/* Median, least and greatest of n values, which it sorts; false when there is none. */
bool verdict_spread(double *values, unsigned n, double ret[3]);

#endif
