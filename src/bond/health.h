/* Whether a path loses so much that it is better left alone: what became of its datagrams, counted
 * in rounds. Two bad rounds in a row make it *lossy*, one good round ends that. A buffer that
 * overflows, or a gap, makes one bad round; an ordinary bad line makes none. Pure: no clock. */
#ifndef BOND_HEALTH_H
#define BOND_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

/* A round has so many datagrams at least, and takes at least so long; one that takes longer than
 * HEALTH_ROUND_MAX_NS says nothing. It is bad from HEALTH_BAD hundredths on and good below
 * HEALTH_GOOD: at a tenth of loss two bad rounds in a row are one in 10^7, at four tenths it takes
 * two rounds nine times in ten. HEALTH_SICK lost ones of a round that is bad so far make it sick.
 */
enum { HEALTH_ROUND = 40, HEALTH_BAD = 30, HEALTH_GOOD = 15, HEALTH_SICK = 2 };
#define HEALTH_ROUND_NS (200 * NS_PER_MS)
#define HEALTH_ROUND_MAX_NS (5 * NS_PER_S)

/* Zeroed: nothing is known. */
struct health {
    uint64_t acked, lost; /* when the round began */
    uint64_t since_ns;
    bool was_bad; /* the round before */
    bool sick; /* it looks bad now, which may be chance: what is lost had better go another way */
    bool lossy;
};

/* So many datagrams of the path have been acknowledged and lost by now; less than before: they are
 * counted anew. True when it is lossy, or no longer, from now on. */
bool health_told(struct health *h, uint64_t now_ns, uint64_t acked, uint64_t lost);

#endif
