/* The control law of CoDel (RFC 8289) for one flow, decided packet by packet.
 *
 * CoDel looks at how long the packets that leave have waited. A burst that drains again is welcome,
 * a wait that stays above the target is a standing queue: then one packet is dropped (or marked),
 * and as long as the wait stays above the target the next one after interval / sqrt(count), so
 * that the rate of drops rises linearly until the sender slows down. When the wait falls below the
 * target, dropping ends; if it must begin again soon, it goes on at the rate where it ended.
 *
 *      wait
 *        |         ___x___x__x_x
 *        |      __/             \_          x  a drop
 *  target|-----/------------------\-----
 *        |____/<-standing->        \______
 *
 * RFC 8289 takes the interval, the longest usual round trip, also for how long a queue must stand
 * before the first drop. Here that is longer: the path below may be a BBR, which every 5 s sends at
 * half its rate for 200 ms to measure its round trip (ProbeRTT). The queue that this makes goes by
 * itself, and a drop for it slows the sender down when the full rate is back. Measured on 50
 * Mbit/s and 60 ms with one TCP flow: 0.56 of the line with 100 ms, 0.86 with 300 ms, and the
 * others wait no longer, because they have their own queues (doc/decisions/0004).
 *
 * Where the path below varies, a drop takes longer to tell (a round trip with the queues of a
 * fade), and what waits in a fade is what the link needs when it is fast again: the caller says how
 * much slower both times and how much higher the target is to be.
 *
 * Pure: no packet, no clock. All times are absolute nanoseconds of the caller's clock; 0 is
 * "never", so that the clock must not start there. */
#ifndef BOND_FQ_CODEL_H
#define BOND_FQ_CODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

#define FQ_CODEL_TARGET_NS (5 * NS_PER_MS)
#define FQ_CODEL_INTERVAL_NS (100 * NS_PER_MS)
#define FQ_CODEL_STANDING_NS (300 * NS_PER_MS)

/* A flow whose last packet left so long ago has no state any more that would matter. */
#define FQ_CODEL_MEMORY_NS (17 * FQ_CODEL_INTERVAL_NS)

/* All zero is a flow that has never been seen. */
struct fq_codel {
    uint64_t first_above_ns; /* when the queue will count as standing; 0 = the wait is short */
    uint64_t next_ns;        /* dropping: when the next drop is due; else the last one that was */
    uint32_t count;          /* drops since dropping began */
    uint32_t last_count;     /* count when it last began */
    bool dropping;
};

/* What it goes by: the target, and how much longer than usual a queue may stand and a drop takes to
 * tell, because the path's round trip goes far up and down. */
struct fq_codel_law {
    uint64_t target_ns, slow_ns;
};

/* A packet leaves the flow after wait_ns; `last` says that no more than a packet's worth of bytes
 * remains behind it. Returns true when this packet is to be dropped or marked. */
bool fq_codel_on_packet(struct fq_codel *c, uint64_t now_ns, uint64_t wait_ns,
                        const struct fq_codel_law *law, bool last);

/* The flow has run empty. */
void fq_codel_on_empty(struct fq_codel *c);

#endif
