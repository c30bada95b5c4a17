/* Units of the matrix, several at a time, each in a process: simulations share nothing, so what is
 * found does not depend on how many processes there are. */
#ifndef BENCH_BOND_FARM_H
#define BENCH_BOND_FARM_H

#include "bench/bond/unit.h"

/* Memory for n units, all zero, that processes share; NULL without memory. It ends with the
 * process. */
struct unit *farm_units(unsigned n);

/* Run n units in so many processes and tell of each when it and all before it are there. Returns 0,
 * or a negative errno; -ECHILD when a process died. */
int farm_run(struct unit *units, unsigned n, const struct unit_opts *o, unsigned processes,
             void (*tell)(void *user, const struct unit *u), void *user);

#endif
