/* The value of LANES (doc/protocol.md, "Lanes"). */
#include "wire/capsule.h"
#include "wire/varint.h"

#include <errno.h>

enum capsule_error capsule_get_lanes(const uint8_t *value, size_t len, unsigned *ret)
{
    uint64_t n;

    if (!len || varint_get(value, len, &n) != len)
        return CAPSULE_CUT_SHORT;
    if (!n || n > CAPSULE_LANES_MAX)
        return CAPSULE_LANES_RANGE;
    *ret = (unsigned)n;
    return CAPSULE_OK;
}

int capsule_put_lanes(unsigned lanes, uint8_t *buf, size_t cap, size_t *ret_len)
{
    size_t len;

    if (!lanes || lanes > CAPSULE_LANES_MAX)
        return -EINVAL;
    len = varint_put(buf, cap, CAPSULE_LANES);
    if (!len || cap < len + 2)
        return -ENOSPC;
    buf[len++] = 1;
    buf[len++] = (uint8_t)lanes;
    *ret_len = len;
    return 0;
}
