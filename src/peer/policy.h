/* What a hub's operator allows: who may come, which addresses and networks they have, and what
 * peers may do to each other. Plain values; a hub takes a copy (policy_copy) and looks things up
 * in it. No system call, no clock.
 */
#ifndef PEER_POLICY_H
#define PEER_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "packet/siphash.h"

enum {
    HUB_NAME_MAX = 256,    /* of a certificate or token, with the final 0 */
    HUB_INSTANCE_MAX = 33, /* MASQUE_INSTANCE_MAX */
    HUB_ID_STR_MAX = 4 * HUB_NAME_MAX + HUB_INSTANCE_MAX,
    HUB_TOKENS_MAX = 65536, /* as many as peers can be */
    HUB_TOKEN_MAX = 256,
    HUB_ADDRS_MAX = 8, /* addresses that a peer may have beside its prefixes */
    HUB_PREFIXES_MAX = 16,
    HUB_RANGES_MAX = 64, /* networks of a pool, or where addresses are learned */
    HUB_PEERS_DEFAULT = 1024,
    HUB_INSTANCES_DEFAULT = 64
};

/* Who a peer is. The same pair that comes back takes its place over; another pair is another
 * peer. */
struct hub_peer_id {
    char name[HUB_NAME_MAX];         /* of the certificate, or of the token */
    char instance[HUB_INSTANCE_MAX]; /* as the peer says; "": it says nothing */
};

/* "NAME" or "NAME/INSTANCE"; returns buf. A slash, backslash or control character of the name
 * itself stands there as \xHH, so that no two peers look alike. */
char *hub_peer_id_str(const struct hub_peer_id *id, char buf[static HUB_ID_STR_MAX]);

/* A bearer token and the name of who carries it. */
struct hub_token {
    char name[HUB_NAME_MAX];
    char token[HUB_TOKEN_MAX];
};

/* What one peer has for itself. */
struct hub_rule {
    char name[HUB_NAME_MAX];
    char instance[HUB_INSTANCE_MAX];           /* "": every instance that has no rule of its own */
    struct ip_addr addr[HUB_ADDRS_MAX];        /* nobody else gets these */
    struct ip_prefix prefix[HUB_PREFIXES_MAX]; /* networks behind it; of several instances under
                                                * one rule the one that came first has them */
    unsigned n_addr, n_prefix;
};

struct hub_policy {
    /* false: one peer at a time, whatever its instance; all traffic is its. */
    bool multi;
    bool peer_to_peer;      /* packets from one peer to another are let through, to the TUN */
    unsigned max_peers;     /* at one time; 0 = HUB_PEERS_DEFAULT; without multi 1 */
    unsigned max_instances; /* of one name, present or remembered; 0 = HUB_INSTANCES_DEFAULT */

    const struct ip_prefix *pool; /* addresses to give; none: the networks of the tunnel */
    unsigned n_pool;
    const struct hub_rule *rules;
    unsigned n_rules;

    /* Without multi: sources allowed behind the peer. With it: where addresses behind peers are
     * learned from what they send. Never addresses of the tunnel's networks or the pool. */
    const struct ip_prefix *peer_prefixes;
    unsigned n_peer_prefixes;

    const struct hub_token *tokens; /* none: certificates only */
    unsigned n_tokens;
};

/* A deep copy; NULL when there is no memory. Tokens are found by their digests under the key, which
 * is secret. policy_free() wipes the tokens; accepts NULL. */
struct hub_policy *policy_copy(const struct hub_policy *p, const struct siphash_key *key);
void policy_free(struct hub_policy *p);

/* The rule for this peer: that of its instance, else that of its name; NULL: none. */
const struct hub_rule *policy_rule(const struct hub_policy *p, const struct hub_peer_id *id);

/* Of a copy: the entry whose token this is, or NULL. Takes a time that does not tell how much was
 * right, and that grows with the logarithm of their number. */
const struct hub_token *policy_token(const struct hub_policy *p, const char *token);

/* Of a copy: what to remember of a token in its place, the same under the same key; and whether a
 * token of that name has it. */
uint64_t policy_token_digest(const struct hub_policy *p, const char *token);
bool policy_has_token(const struct hub_policy *p, const char *name, uint64_t digest);

unsigned policy_max_peers(const struct hub_policy *p);

/* Whether the address lies in one of the n prefixes. */
bool policy_contains(const struct ip_prefix *v, unsigned n, const struct ip_addr *a);

#endif
