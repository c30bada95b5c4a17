/* What was found, for people and for programs: every row of a unit, the matrix with one line for
 * each unit, what misses an aim. */
#ifndef BENCH_BOND_TABLE_H
#define BENCH_BOND_TABLE_H

#include <stdio.h>

#include "bench/bond/unit.h"

/* Before the first of several units of a cell and direction. */
void table_head(const struct unit *u, const struct unit_opts *o);

/* All rows, and the bond beside the best line. */
void table_unit(const struct unit *u, const struct unit_opts *o);

/* Markdown: one line for each unit that has a verdict; what misses its aim is bold. */
void table_matrix(FILE *out, const struct unit *units, unsigned n, const struct unit_opts *o);

/* A line for each unit that misses an aim; says how many units there are and how many miss. */
void table_misses(FILE *out, const struct unit *units, unsigned n, const struct unit_opts *o);

/* An array: an object for each row with all its runs, and one for each verdict. */
void table_json(FILE *out, const struct unit *units, unsigned n, const struct unit_opts *o);

#endif
