/* What a hub's configuration allows, in the hub's own terms. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/instance.h"

enum { LANES_MIN = 16384 };

static void fill_rule(const struct config_peer *peer, struct hub_rule *ret)
{
    snprintf(ret->name, sizeof(ret->name), "%s", peer->name);
    snprintf(ret->instance, sizeof(ret->instance), "%s", peer->instance_id);
    ret->n_addr = MIN(peer->n_addr, (unsigned)HUB_ADDRS_MAX);
    memcpy(ret->addr, peer->addr, ret->n_addr * sizeof(ret->addr[0]));
    ret->n_prefix = MIN(peer->n_prefix, (unsigned)HUB_PREFIXES_MAX);
    memcpy(ret->prefix, peer->prefix, ret->n_prefix * sizeof(ret->prefix[0]));
}

struct hub_rule *instance_hub_policy(const struct tunnel_config *c, const struct hub_token *tokens,
                                     unsigned n_tokens, struct hub_policy *ret)
{
    struct hub_rule *rules = calloc(c->n_peers + 1, sizeof(*rules));

    if (!rules)
        return NULL;
    for (unsigned i = 0; i < c->n_peers; i++)
        fill_rule(&c->peers[i], &rules[i]);
    *ret = (struct hub_policy){.multi = c->multi_conn_enabled,
                               .peer_to_peer = c->peer_to_peer,
                               .max_peers = c->max_peers,
                               .pool = c->address_pool,
                               .n_pool = c->n_address_pool,
                               .rules = rules,
                               .n_rules = c->n_peers,
                               .peer_prefixes = c->peer_prefixes,
                               .n_peer_prefixes = c->n_peer_prefixes,
                               .tokens = tokens,
                               .n_tokens = n_tokens};
    return rules;
}

unsigned instance_hub_lanes(const struct tunnel_config *c)
{
    return MAX((unsigned)LANES_MIN, 2 * c->max_peers); /* who comes back is there twice */
}
