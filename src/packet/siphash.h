/* SipHash (Aumasson and Bernstein, 2012), a keyed hash for tables that strangers can fill. */
#ifndef PACKET_SIPHASH_H
#define PACKET_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct siphash_key {
    uint64_t k[2];
};

/* SipHash-1-3: one round per word, three at the end. Enough for hash tables, not a MAC. */
uint64_t siphash13(const struct siphash_key *key, const void *data, size_t len);

/* SipHash-2-4, the published original. */
uint64_t siphash24(const struct siphash_key *key, const void *data, size_t len);

#endif
