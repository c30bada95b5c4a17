/* One-way delays of lanes (doc/protocol.md, "Delay"): the sender stamps datagrams with its clock,
 * the receiver subtracts that from its own. Two clocks have an unknown offset in common, so a
 * difference means nothing by itself; that of two lanes says how much longer one takes than the
 * other.
 *
 * All times here are in units of 2^14 ns (16.384 us), modulo 2^24 (275 s). No clock. */
#ifndef BOND_DELAY_H
#define BOND_DELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "wire/packed.h"

enum { DELAY_SHIFT = 14 };

static inline uint32_t delay_stamp(uint64_t now_ns)
{
    return (uint32_t)(now_ns >> DELAY_SHIFT) & PACKED_TIME_MASK;
}

static inline uint64_t delay_to_ns(uint32_t units)
{
    return (uint64_t)units << DELAY_SHIFT;
}

/* The receiver of a lane. Zeroed: nothing has come. */
struct delay_in {
    bool any, fresh;     /* fresh: since the last report */
    uint32_t last;       /* the stamp that came last */
    uint32_t base;       /* what the others are measured from: a difference of the clocks */
    int32_t least, most; /* since the last report */
    int32_t mean, dev;   /* smoothed, in sixteenths: the difference, and how far one is from it */
};

/* A datagram with this stamp has come. */
void delay_in_rx(struct delay_in *d, uint64_t now_ns, uint32_t stamp);

/* What to report of the lane of that number: fills *ret (a DELAY frame) and begins anew. False when
 * nothing has come since the last report. */
bool delay_in_report(struct delay_in *d, uint8_t lane, struct packed_frame *ret);

/* The usual difference (modulo 2^24) and how far above it nearly all lie. False: nothing has come.
 */
bool delay_in_usual(const struct delay_in *d, uint32_t *ret_mean, uint32_t *ret_above);

/* The sender of a lane: what has been reported of it. Zeroed: nothing. */
struct delay_out {
    bool known;
    uint32_t time, least, spread; /* as in the last report */
    uint64_t at_ns;
};

/* After so long an older stamp than the last one is believed: the peer's clock was set. */
#define DELAY_STALE_NS (10 * UINT64_C(1000000000))

/* A report has come. False: it has been overtaken by a later one, and is ignored. */
bool delay_out_rx(struct delay_out *d, uint64_t now_ns, const struct packed_frame *f);

#endif
