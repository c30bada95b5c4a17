/* How much more queue a link needs that varies, for the bound of a path (bound.h).
 *
 * A window that is right for the rate of this moment is too small when a fading link is faster a
 * moment later: then the link has nothing to send until the window has grown. A standing queue
 * bridges that, and how long it must be only the link can tell. So it is learned from what it is
 * for: when the link, under a window that did not change and a sender that used all of it, gets
 * through the packets in flight faster than before and so runs (nearly) dry, the queue allowed
 * becomes longer, and with each round in which it does not, a little shorter. A steady link never
 * runs dry so, and has none of this queue; one that varies runs dry in about one round of thirty.
 *
 *      queue                                        ...... allowed
 *        |   ......   _            _....._.........
 *        |__    ..x../ \__   __   / \__/  \__
 *        |  \  ..      .. \_/  \./     ..    \
 *        |___\__________________________________     x runs dry
 *
 * Jitter is another thing: round trips that differ within one round, though nothing else changes. A
 * window in bytes is a rate times the *mean* round trip, the queue is seen in the least one. The
 * difference is the *spread*: what of it is more than a queue's own ripple is added to what the
 * window covers, and to what the least round trip may be above the base. Only rounds with a full
 * window tell, after another such: the bursts of a sender that pauses are its own doing, and so is
 * a queue that fills after a pause. Where several paths share what is to be sent, what others take
 * makes pauses, too, and only a path whose rate varies as well is taken for one that jitters.
 *
 * And where the round trip jitters, what is above the base looks like a queue although nothing
 * waits. So what looks like one is tried now and then: with a quarter more in flight a full link
 * makes the round trip longer, one that is not full delivers more. The more often the first was the
 * answer, the more seldom it is asked.
 *
 * Pure; once in a round. */
#ifndef QUIC_BOUND_VARY_H
#define QUIC_BOUND_VARY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

/* All zero: nothing is known. */
struct bound_vary {
    uint64_t extra_ns;  /* of queue, for a rate that varies */
    uint64_t spread_ns; /* smoothed: mean less least round trip of a round */
    unsigned full;      /* rounds in a row with a full window, since the last drain */
    double rate;        /* in the round before */
    uint64_t window[2]; /* at the end of the round before, and of the one before that */

    unsigned trying;       /* rounds since a trial began; 0: none goes on */
    unsigned waited, wait; /* rounds since the last one, until the next */
    double tried_rate;     /* before it */
    uint64_t tried_rtt_ns;
};

#define BOUND_TRY_SHARE 1.25

enum bound_advice { BOUND_STAY, BOUND_TRY, BOUND_HOLD };

struct bound_vary_round {
    double rate;         /* bytes per second that left in it */
    uint64_t window;     /* bytes */
    uint64_t base_ns;    /* the path's round trip without a queue */
    uint64_t queue_ns;   /* least round trip of the round, above the base */
    uint64_t allowed_ns; /* what it may be, all told */
    uint64_t mean_ns;    /* mean round trip, above the least one */
    bool full;           /* the window, and nothing else, kept the sender back all the time */
};

void bound_vary_on_round(struct bound_vary *v, const struct bound_vary_round *r);

/* The window has been emptied on purpose: the next rounds tell nothing. */
void bound_vary_on_drain(struct bound_vary *v);

/* A round of that rate and mean round trip showed a queue. TRY: BOUND_TRY_SHARE as much in flight;
 * HOLD: leave it as it is; STAY: what shows is a queue, or not to be tried now. */
enum bound_advice bound_vary_try(struct bound_vary *v, double rate, uint64_t rtt_ns);

/* A round showed none. */
void bound_vary_try_not(struct bound_vary *v);

/* What of the spread is more than a queue's own ripple. */
uint64_t bound_vary_jitter_ns(const struct bound_vary *v, uint64_t ripple_ns);

#endif
