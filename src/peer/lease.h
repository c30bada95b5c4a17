/* Addresses on loan to peers. A lease binds one address to a peer's name and instance. It is held
 * while the peer is up and has it, and idle otherwise: an idle lease waits for its peer to come
 * back. It is lost only when
 *
 *   - the pool has nothing else to give: the one that has been idle longest goes first,
 *   - an instance of its name asks for just that address; or another peer does, LEASE_GRACE_NS
 * later or when no other one is free,
 *   - its peer has LEASE_PEER_MAX leases and needs another one, or there are too many leases in
 * all,
 *   - a new policy says so.
 *
 * Addresses come from the pool, or are fixed for a peer by a rule: those nobody else gets, whether
 * the peer is there or not, and the peer gets none of the pool while one of that family is fixed
 * for it that nobody holds. The pool is given out in a circle, so that an address that has become
 * free rests as long as possible. Every instance may have one of each family; more only while its
 * name has no more of them than are left for all others, so that one certificate does not take the
 * pool. Lookups cost one SipHash. No system call, no clock.
 */
#ifndef PEER_LEASE_H
#define PEER_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/clock.h"
#include "packet/siphash.h"
#include "peer/policy.h"

enum { LEASE_PEER_MAX = HUB_ADDRS_MAX };

/* A peer that has lost its tunnel comes back within this time. */
#define LEASE_GRACE_NS (60 * NS_PER_S)

struct leases;
struct lease;

/* A peer that is up, or was and still has leases. */
struct lease_client;

/* NULL when out of memory. `own` are the tunnel addresses with their networks, at most two. */
struct leases *leases_new(const struct siphash_key *key, const struct ip_prefix *own,
                          unsigned n_own);

/* Accepts NULL; clients that are open die too. */
void leases_free(struct leases *l);

/* The policy in force: it must stay valid until the next call. Idle leases that it does not permit
 * are dropped; held ones stay: ask lease_permitted(). Returns 0 or -ENOMEM, and the old one stays.
 */
int leases_set_policy(struct leases *l, const struct hub_policy *p);

/* It is that late now, for what follows. */
void leases_set_now(struct leases *l, uint64_t now_ns);

/* The peer comes: its idle leases are remembered, none is held yet. Returns 0; -ENOMEM; -ENOSPC:
 * the name has policy.max_instances instances that are up; -EADDRNOTAVAIL: there is no address of
 * any family left that it could get. One pair is open only once at a time. */
int lease_client_open(struct leases *l, const struct hub_peer_id *id, struct lease_client **ret);

/* What the peer holds becomes idle; the peer is still there. */
void lease_client_rest(struct leases *l, struct lease_client *c);

/* The peer goes: what it holds becomes idle. Accepts NULL. */
void lease_client_close(struct leases *l, struct lease_client *c);

const struct hub_peer_id *lease_client_id(const struct lease_client *c);

/* Hold just this address. Returns 0, also when it is held already; -EADDRINUSE another peer holds
 * it, or has just lost it and another one is free, or it is fixed for another one; -EADDRNOTAVAIL
 * it is neither in the pool nor fixed for this one, another one waits that is, or no peer can have
 * it (ours, a network's first or broadcast address); -ENOSPC it holds LEASE_PEER_MAX already, or
 * its name its share; -ENOMEM. */
int lease_take(struct leases *l, struct lease_client *c, const struct ip_addr *a);

/* Hold an address of the family that is not among the n of `except`: one that it holds already, or
 * one fixed for it, or had before, or one of the pool. Returns 0 and *ret; -EADDRNOTAVAIL none is
 * left; -ENOSPC; -ENOMEM. */
int lease_take_any(struct leases *l, struct lease_client *c, uint8_t family,
                   const struct ip_addr *except, unsigned n, struct ip_addr *ret);

/* The addresses that the peer holds, in the order in which it got them; ret has LEASE_PEER_MAX
 * places. */
unsigned lease_held(const struct lease_client *c, struct ip_addr *ret);

/* Whether the policy lets the peer have this address, or go on to hold it. */
bool lease_permitted(const struct leases *l, const struct lease_client *c, const struct ip_addr *a);

/* Whether the address is one that only leases give: in the pool or fixed for a peer. */
bool lease_governs(const struct leases *l, const struct ip_addr *a);

/* All leases, held and idle. */
unsigned leases_count(const struct leases *l);

#endif
