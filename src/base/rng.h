/* A small seeded generator (xoshiro256**) for simulation, jitter and tests: the same seed gives
 * the same sequence everywhere. Not for secrets. */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

struct rng {
    uint64_t s[4];
};

void rng_seed(struct rng *r, uint64_t seed);
uint64_t rng_next(struct rng *r);
void rng_bytes(struct rng *r, void *dst, size_t len);

/* Uniform in [0, n); n must not be 0. */
uint64_t rng_below(struct rng *r, uint64_t n);

/* Uniform in [0, 1). */
double rng_double(struct rng *r);

#endif
