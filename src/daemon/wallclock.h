/* The time by which certificates are valid or not, on machines whose clock may have stopped. */
#ifndef DAEMON_WALLCLOCK_H
#define DAEMON_WALLCLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "helper/helper.h"

struct wallclock {
    uint64_t saved_ns; /* when it was saved last; 0: not yet */
};

/* From now on certificates are checked by the system's clock; where that is behind, by the later
 * of the time saved last and the date of the program's sources, and what has passed since this
 * call. */
void wallclock_start(struct wallclock *w, struct helper *h);

/* To be called now and then. A peer is there: its certificate was valid by this clock, so that the
 * clock is believed, and its time is saved, at most once an hour. */
void wallclock_tick(struct wallclock *w, struct helper *h, uint64_t now_ns, bool has_peer);

#endif
