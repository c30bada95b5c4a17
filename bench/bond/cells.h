/* The matrix of lab/links: which links are bonded with each other. */
#ifndef BENCH_BOND_CELLS_H
#define BENCH_BOND_CELLS_H

#include "lab/wantrace.h"

enum { CELLS_MAX = 64, CELL_WANS_MAX = 6, CELL_NAME_MAX = 32 };

struct cell {
    char name[CELL_NAME_MAX];
    char link[CELL_WANS_MAX][CELL_NAME_MAX];
    struct wan_trace trace[CELL_WANS_MAX];
    unsigned n_wans;
};

struct cells {
    struct cell cell[CELLS_MAX];
    unsigned n;
};

/* Read DIR/matrix and the links that it names. Returns 0, or a negative errno with what is wrong,
 * and where, in ret_why. */
int cells_load(struct cells *ret, const char *dir, char *ret_why, size_t why_size);
void cells_done(struct cells *c);

#endif
