/* A wall clock that does not go back: the system's, or what is known of the time, whichever is
 * later. For a machine without a battery, whose clock begins each boot in the past.
 *
 * Known are the time that was saved last, the date of this program's sources (all that a new
 * machine has), and what has passed since. That is a lower bound and no clock: it makes a
 * certificate valid that was made meanwhile, and an expired one stays expired. */
#ifndef BASE_CLOCKFLOOR_H
#define BASE_CLOCKFLOOR_H

#include <stdbool.h>
#include <stdint.h>

struct clock_floor {
    int64_t least_s; /* seconds since 1970 */
    uint64_t at_ns;  /* when that was the time at the latest, on the monotonic clock */
};

/* The date of the sources that this program was made of, in seconds since 1970; 0: unknown. */
int64_t clock_source_date_s(void);

/* Whether a saved time can be true, when the system's clock says clock_s and the own certificate is
 * valid from from_s until until_s (both 0: there is none). A clock that was wrong once may have
 * been saved, and must not lock us out for ever. It is not believed
 * - when by it our own certificate has ended, and by all else that is known it has not;
 * - when it is more than two years ahead of all else that is known: the system's clock, the date of
 *   the sources, and the begin of our certificate. */
bool clock_saved_is_credible(int64_t saved_s, int64_t clock_s, int64_t from_s, int64_t until_s);

/* Start at now_ns with the later of the saved time (0: there is none; one past the year 9999 is not
 * believed) and the date of the sources. */
void clock_floor_init(struct clock_floor *f, int64_t saved_s, uint64_t now_ns);

/* The time at now_ns, when the system's clock says clock_s. */
int64_t clock_floor_now_s(const struct clock_floor *f, int64_t clock_s, uint64_t now_ns);

#endif
