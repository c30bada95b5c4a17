/* A fast keyed 64-bit hash for traces and for the tags of the dummy TLS. Deterministic on every
 * machine of the same byte order; no protection against an attacker. */
#ifndef SIM_HASH_H
#define SIM_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Fold a 64 x 64 bit product: both halves carry every bit of both factors. */
static inline uint64_t hash_mix(uint64_t a, uint64_t b)
{
    unsigned __int128 m = (unsigned __int128)a * b;

    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static inline uint64_t hash_load(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

/* Continue the hash h with one number. */
static inline uint64_t hash_u64(uint64_t h, uint64_t v)
{
    return hash_mix(h ^ 0x9e3779b97f4a7c15ull, v ^ 0xd6e8feb86659fd93ull);
}

/* Continue the hash h with len bytes (and their number). */
uint64_t hash_bytes(uint64_t h, const void *data, size_t len);

#endif
