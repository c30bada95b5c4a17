#include "wire/varint.h"

/* The two top bits of the first byte are log2 of the length. */
size_t varint_len(uint64_t v)
{
    if (v < 0x40)
        return 1;
    if (v < 0x4000)
        return 2;
    if (v < 0x40000000)
        return 4;
    return v <= VARINT_MAX ? 8 : 0;
}

size_t varint_put(uint8_t *p, size_t cap, uint64_t v)
{
    size_t n = varint_len(v);

    if (!n || n > cap)
        return 0;
    for (size_t i = n; i-- > 0; v >>= 8)
        p[i] = (uint8_t)v;
    p[0] |= (uint8_t)((n == 8 ? 3 : n / 2) << 6);
    return n;
}

size_t varint_get(const uint8_t *p, size_t len, uint64_t *ret)
{
    size_t n;
    uint64_t v;

    if (!len)
        return 0;
    n = (size_t)1 << (p[0] >> 6);
    if (n > len)
        return 0;
    v = p[0] & 0x3f;
    for (size_t i = 1; i < n; i++)
        v = v << 8 | p[i];
    *ret = v;
    return n;
}
