/* What is run: policies, lines, and which goes with which. */
#ifndef BENCH_SIM_PLAN_H
#define BENCH_SIM_PLAN_H

#include <stddef.h>

#include "bench/sim/run.h"

struct plan_item {
    struct scenario sc;
    const struct policy *po;
};

extern const struct policy plan_policies[];
extern const size_t plan_n_policies;

/* The policy that the verdicts are about. */
extern const struct policy *const plan_default;

/* All items, quick or full; *ret is the caller's to free. Returns their number. */
size_t plan_make(bool quick, struct plan_item **ret);

const char *plan_foreign_name(enum foreign f);

#endif
