#include "packet/siphash.h"

#include <endian.h>
#include <string.h>

static inline uint64_t rotl(uint64_t x, unsigned n)
{
    return x << n | x >> (64 - n);
}

static inline uint64_t load_le64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return le64toh(v);
}

static inline void sip_rounds(uint64_t v[4], unsigned n)
{
    for (; n; n--) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = rotl(v[1], 13) ^ v[0];
        v[3] = rotl(v[3], 16) ^ v[2];
        v[0] = rotl(v[0], 32);
        v[2] += v[1];
        v[0] += v[3];
        v[1] = rotl(v[1], 17) ^ v[2];
        v[3] = rotl(v[3], 21) ^ v[0];
        v[2] = rotl(v[2], 32);
    }
}

/* SipHash-c-d over whole words, then the rest with the length in the top byte. */
static inline uint64_t sip(const struct siphash_key *key, const uint8_t *p, size_t len, unsigned c,
                           unsigned d)
{
    uint64_t v[4] = {
        key->k[0] ^ UINT64_C(0x736f6d6570736575),
        key->k[1] ^ UINT64_C(0x646f72616e646f6d),
        key->k[0] ^ UINT64_C(0x6c7967656e657261),
        key->k[1] ^ UINT64_C(0x7465646279746573),
    };
    uint64_t last = (uint64_t)len << 56;
    size_t words = len / 8;

    for (size_t i = 0; i < words; i++, p += 8) {
        uint64_t m = load_le64(p);

        v[3] ^= m;
        sip_rounds(v, c);
        v[0] ^= m;
    }
    for (unsigned i = 0; i < len % 8; i++)
        last |= (uint64_t)p[i] << (8 * i);
    v[3] ^= last;
    sip_rounds(v, c);
    v[0] ^= last;
    v[2] ^= 0xff;
    sip_rounds(v, d);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t siphash13(const struct siphash_key *key, const void *data, size_t len)
{
    return sip(key, data, len, 1, 3);
}

uint64_t siphash24(const struct siphash_key *key, const void *data, size_t len)
{
    return sip(key, data, len, 2, 4);
}
