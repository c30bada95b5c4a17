/* One cell of the matrix with one load in one direction: every carrier, over each of its lines
 * alone or over all of them, with every seed. */
#ifndef BENCH_BOND_UNIT_H
#define BENCH_BOND_UNIT_H

#include "bench/bond/load.h"
#include "bench/bond/verdict.h"

enum { UNIT_ROWS_MAX = 2 * (CELL_WANS_MAX + 1) + 1 };

/* A carrier over one line, over all, or added up over all lines alone. */
struct row {
    const char *carrier, *link; /* link: a name, "sum", or "all" */
    unsigned wan;               /* from 1; 0 = not of one WAN */
    struct result run[VERDICT_SEEDS_MAX];
};

struct unit_opts {
    const char *carriers; /* "A,B": these; NULL: all */
    unsigned seeds, first_seed;
    struct scene_opts scene; /* cell, only and seed are the unit's own */
    struct load_opts load;   /* so are load and up */
};

struct unit {
    const struct cell *cell;
    const struct load *load;
    bool up;
    unsigned n_rows;
    struct row row[UNIT_ROWS_MAX];
    struct verdict verdict; /* nothing for a load without bulk */
};

/* Run it: cell, load and up are set, all else is found. */
void unit_run(struct unit *u, const struct unit_opts *o);

/* Median, least and greatest of the valid runs; false when there is none. */
bool row_spread(const struct row *r, unsigned seeds, enum figure f, double ret[3]);

/* The median; 0 without a valid run. */
double row_median(const struct row *r, unsigned seeds, enum figure f);

/* The rows that are sums have a goodput and no other figure. */
bool row_is_sum(const struct row *r);

/* Whether name is one of "A,B,C"; NULL = all are. */
bool unit_name_is_in(const char *list, const char *name);

#endif
