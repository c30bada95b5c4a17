#include "sim/hash.h"

/* Two independent chains of 16 bytes each, so that the multiplications overlap. */
uint64_t hash_bytes(uint64_t h, const void *data, size_t len)
{
    static const uint64_t k0 = 0xa0761d6478bd642full, k1 = 0xe7037ed1a0b428dbull;
    const uint8_t *p = data;
    uint64_t a = h ^ k0, b = h ^ k1;
    uint8_t tail[16] = {0};
    size_t left = len;

    for (; left >= 32; p += 32, left -= 32) {
        a = hash_mix(hash_load(p) ^ k0, hash_load(p + 8) ^ a);
        b = hash_mix(hash_load(p + 16) ^ k1, hash_load(p + 24) ^ b);
    }
    if (left >= 16) {
        a = hash_mix(hash_load(p) ^ k1, hash_load(p + 8) ^ a);
        p += 16;
        left -= 16;
    }
    if (left)
        memcpy(tail, p, left);
    b = hash_mix(hash_load(tail) ^ k0, hash_load(tail + 8) ^ b);
    return hash_mix(a ^ len, b ^ k0);
}
