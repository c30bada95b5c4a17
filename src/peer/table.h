/* Which peer an address belongs to: for the destination of a packet from the TUN, and for the
 * source of a packet from a peer. One hash table holds all entries, keyed by prefix; a host address
 * is a prefix of full length. A lookup asks for every length that is in use, the longest first, so
 * it costs one hash for hosts and one for each other length of the fixed prefixes: those come from
 * the operator, so no peer can make it slow. SipHash keeps peers from choosing addresses that fall
 * into one bucket.
 *
 *   fixed     by policy: a network, or a single address behind a peer; has no owner while that peer
 *             is away, but stays, so that nobody else learns an address inside it
 *   assigned  an address leased to a peer
 *   learned   seen as the source of a peer's packet inside the networks where that is allowed;
 *             bounded for each peer and for all; a peer has no more than are left for all others,
 *             and makes room with the one that it has not used for longest
 *
 * An owner is embedded in the peer and must leave (table_leave) before it is freed. No system
 * call, no clock.
 */
#ifndef PEER_TABLE_H
#define PEER_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/clock.h"
#include "packet/siphash.h"

enum { TABLE_LEARNED_MAX = 65536, TABLE_LEARNED_PEER_MAX = 1024 };

/* A learned address that its peer has not used for this long may be learned by another one. */
#define TABLE_LEARNED_AGE_NS (300 * NS_PER_S)

struct table;
struct table_entry;

struct table_owner {
    struct table_entry *first;           /* assigned and fixed, in no order */
    struct table_entry *newest, *oldest; /* learned, by their last use */
    unsigned n_learned;
};

enum table_kind { TABLE_FIXED, TABLE_ASSIGNED, TABLE_LEARNED };

/* max_learned and max_learned_peer: 0 = the bounds above. NULL when out of memory. */
struct table *table_new(const struct siphash_key *key, unsigned max_learned,
                        unsigned max_learned_peer);

/* Every owner must have left. Accepts NULL. */
void table_free(struct table *t);

/* Add a fixed prefix that nobody owns yet; a learned entry of that prefix gives way. Returns 0,
 * also when it is there already; -EEXIST when it is an assigned address; -ENOMEM. */
int table_add_fixed(struct table *t, const struct ip_prefix *p);

/* Give a fixed prefix to an owner. Returns 0, also when it has it already; -EBUSY another one has
 * it; -ENOENT there is no such fixed prefix. */
int table_claim(struct table *t, struct table_owner *o, const struct ip_prefix *p);

/* Remove all fixed prefixes, owned or not. */
void table_forget_fixed(struct table *t);

/* Assign an address; a learned entry gives way. Returns 0, also when it has it already; -EEXIST
 * another owner has it, or it is a fixed prefix of full length; -ENOMEM. */
int table_assign(struct table *t, struct table_owner *o, const struct ip_addr *a);

/* The entry with the longest prefix that covers the address. Returns false when there is none;
 * *ret_owner is NULL when it is fixed and its peer is away. */
bool table_find(const struct table *t, const struct ip_addr *a, struct table_owner **ret_owner,
                enum table_kind *ret_kind);

/* Whether a fixed prefix covers the address. */
bool table_in_fixed(const struct table *t, const struct ip_addr *a);

/* The owner has sent from this address: learn it, or note its use. The caller has checked that it
 * may be learned: no assigned or fixed entry covers it. Returns 0; -EBUSY when another owner has
 * used it within TABLE_LEARNED_AGE_NS; -ENOSPC when there are too many that are used; -ENOMEM. */
int table_learn(struct table *t, struct table_owner *o, const struct ip_addr *a, uint64_t now_ns);

/* Forget learned entries of which keep() says no. */
void table_filter_learned(struct table *t, bool (*keep)(void *user, const struct ip_addr *a),
                          void *user);

/* Take away what is assigned to the owner. */
void table_unassign(struct table *t, struct table_owner *o);

/* Its fixed prefixes have no owner. */
void table_unclaim(struct table *t, struct table_owner *o);

/* Forget what was learned behind the owner. */
void table_unlearn(struct table *t, struct table_owner *o);

/* Take away what the owner has: assigned and learned entries go, fixed ones have no owner. */
void table_leave(struct table *t, struct table_owner *o);

/* Copy up to max learned addresses, the one used last first; fixed prefixes in no order. Returns
 * the number copied. */
unsigned table_learned(const struct table_owner *o, struct ip_addr *ret, unsigned max);
unsigned table_fixed(const struct table_owner *o, struct ip_prefix *ret, unsigned max);

unsigned table_n_learned(const struct table *t);

#endif
