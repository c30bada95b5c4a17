/* What is remembered about the addresses that knock: how many handshakes each has open and how
 * often it may have an answer. A source is one IPv4 address or one IPv6 /64, which is what one
 * customer gets.
 *
 * The table holds SOURCES_MAX of them, found by a keyed hash; when it is full the one that was
 * longest silent makes room. One with open handshakes stays: there are fewer of those than places.
 * Forgetting a source gives it a full allowance again, so that somebody who can send from thousands
 * of addresses escapes the limits of each. The limits of all together (accept.c) are for him.
 */
#ifndef QUIC_SOURCE_H
#define QUIC_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/hmap.h"
#include "packet/siphash.h"

enum { SOURCES_MAX = 4096 };

/* A token bucket: `burst` at once, then one every step. All zero is a full one. */
struct bucket {
    uint64_t spent_ns; /* tokens are worth a step each; this one and all before are spent */
};

struct bucket_rate {
    uint64_t step_ns;
    unsigned burst;
};

/* Take one; false when there is none. */
bool bucket_take(struct bucket *b, const struct bucket_rate *rate, uint64_t now_ns);

struct source {
    struct hmap_node node;
    uint64_t net; /* address or prefix, in network byte order; with the family: the key */
    uint8_t family;
    unsigned proven, unproven; /* handshakes open from addresses with and without a valid token */
    struct bucket first;       /* handshakes without a token */
    struct bucket handshake;   /* with one */
    struct bucket retry;       /* Retry packets */
    struct bucket answer;      /* stateless resets and version negotiations */
    struct source *newer, *older;
};

struct source_table;

/* NULL when out of memory. The key must be random and secret. */
struct source_table *source_table_new(const struct siphash_key *key);
void source_table_free(struct source_table *t);

/* The source of an address, which is thereby the newest; NULL when all places are taken by sources
 * with open handshakes, or the address is neither IPv4 nor IPv6. Valid while it has a handshake
 * open, else until the next call. */
struct source *source_get(struct source_table *t, const struct net_addr *remote);

unsigned source_table_used(const struct source_table *t);

#endif
