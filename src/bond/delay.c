#include "bond/delay.h"

#include <stdlib.h>

#include "base/util.h"

/* A difference that is further than this from the others (17 s) makes them void. */
enum { FAR = 1 << 20 };

void delay_in_rx(struct delay_in *d, uint64_t now_ns, uint32_t stamp)
{
    uint32_t diff = (delay_stamp(now_ns) - stamp) & PACKED_TIME_MASK;
    int32_t x = packed_seq_diff(diff, d->base), off;

    if (!d->any || abs(x) > FAR) {
        *d = (struct delay_in){.any = true, .base = diff};
        x = 0;
    }
    off = x * 16 - d->mean;
    d->mean += off / 8;
    d->dev += (abs(off) - d->dev) / 4;
    d->least = d->fresh ? MIN(d->least, x) : x;
    d->most = d->fresh ? MAX(d->most, x) : x;
    d->last = stamp;
    d->fresh = true;
}

bool delay_in_report(struct delay_in *d, uint8_t lane, struct packed_frame *ret)
{
    if (!d->fresh)
        return false;
    d->base = (d->base + (uint32_t)d->least) & PACKED_TIME_MASK; /* follows the drift of clocks */
    d->mean -= d->least * 16;
    *ret = (struct packed_frame){.type = PACKED_DELAY};
    ret->delay.lane = lane;
    ret->delay.time = d->last;
    ret->delay.least = d->base;
    ret->delay.spread = (uint32_t)(d->most - d->least);
    d->fresh = false;
    return true;
}

bool delay_in_usual(const struct delay_in *d, uint32_t *ret_mean, uint32_t *ret_above)
{
    if (!d->any)
        return false;
    *ret_mean = (d->base + (uint32_t)(d->mean / 16)) & PACKED_TIME_MASK;
    *ret_above = (uint32_t)d->dev / 4; /* four times a sixteenth */
    return true;
}

bool delay_out_rx(struct delay_out *d, uint64_t now_ns, const struct packed_frame *f)
{
    if (d->known && packed_seq_diff(f->delay.time, d->time) < 0 &&
        now_ns - d->at_ns < DELAY_STALE_NS)
        return false;
    *d = (struct delay_out){.known = true,
                            .time = f->delay.time,
                            .least = f->delay.least,
                            .spread = f->delay.spread,
                            .at_ns = now_ns};
    return true;
}
