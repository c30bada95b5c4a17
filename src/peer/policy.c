#include "peer/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where the token of this digest is in the list of tokens. */
struct token_place {
    uint64_t digest;
    unsigned at;
};

/* A copy of a policy: everything that it points to is a list of its own behind it.
 *
 * To compare what is shown with each of many thousand tokens, in a time that tells nothing, takes
 * milliseconds, for anybody who connects. So tokens are looked for by a keyed digest, which tells
 * those nothing who do not have the key, and only what has the same digest is compared. */
struct copy {
    struct hub_policy policy; /* first: what the outside has */
    struct ip_prefix *pool, *peer_prefixes;
    struct hub_rule *rules;
    struct hub_token *tokens;
    struct siphash_key key;
    struct token_place *by_digest; /* of each token, sorted */
};

static const struct copy *copy_of(const struct hub_policy *p)
{
    return (const struct copy *)p;
}

char *hub_peer_id_str(const struct hub_peer_id *id, char buf[static HUB_ID_STR_MAX])
{
    size_t n = 0;

    for (const char *s = id->name; *s; s++) {
        unsigned char c = (unsigned char)*s;
        bool plain = c >= 0x20 && c != 0x7f && c != '/' && c != '\\';

        n += (size_t)snprintf(buf + n, HUB_ID_STR_MAX - n, plain ? "%c" : "\\x%02x", c);
    }
    snprintf(buf + n, HUB_ID_STR_MAX - n, "%s%s", *id->instance ? "/" : "", id->instance);
    return buf;
}

/* A copy of n items; *ok becomes false when there is no memory. */
static void *copy_list(const void *v, unsigned n, size_t size, bool *ok)
{
    void *list = n ? malloc(n * size) : NULL;

    if (!n)
        return NULL;
    if (list)
        memcpy(list, v, n * size);
    else
        *ok = false;
    return list;
}

uint64_t policy_token_digest(const struct hub_policy *p, const char *token)
{
    return siphash24(&copy_of(p)->key, token, strlen(token));
}

/* Of two with one digest the later one goes first: it counts. */
static int place_cmp(const void *pa, const void *pb)
{
    const struct token_place *a = pa, *b = pb;

    if (a->digest != b->digest)
        return a->digest < b->digest ? -1 : 1;
    return a->at > b->at ? -1 : a->at < b->at;
}

static bool index_tokens(struct copy *c)
{
    unsigned n = c->policy.n_tokens;

    if (!c->tokens)
        return true; /* there is none */
    c->by_digest = malloc(n * sizeof(*c->by_digest));
    if (!c->by_digest)
        return false;
    for (unsigned i = 0; i < n; i++)
        c->by_digest[i] =
            (struct token_place){policy_token_digest(&c->policy, c->tokens[i].token), i};
    qsort(c->by_digest, n, sizeof(*c->by_digest), place_cmp);
    return true;
}

struct hub_policy *policy_copy(const struct hub_policy *p, const struct siphash_key *key)
{
    struct copy *c = calloc(1, sizeof(*c));
    bool ok = true;

    if (!c)
        return NULL;
    c->policy = *p;
    c->key = *key;
    c->policy.pool = c->pool = copy_list(p->pool, p->n_pool, sizeof(*p->pool), &ok);
    c->policy.rules = c->rules = copy_list(p->rules, p->n_rules, sizeof(*p->rules), &ok);
    c->policy.peer_prefixes = c->peer_prefixes =
        copy_list(p->peer_prefixes, p->n_peer_prefixes, sizeof(*p->peer_prefixes), &ok);
    c->policy.tokens = c->tokens = copy_list(p->tokens, p->n_tokens, sizeof(*p->tokens), &ok);
    if (!ok || !index_tokens(c)) {
        policy_free(&c->policy);
        return NULL;
    }
    return &c->policy;
}

void policy_free(struct hub_policy *p)
{
    struct copy *c = (struct copy *)p;

    if (!c)
        return;
    if (c->tokens)
        explicit_bzero(c->tokens, c->policy.n_tokens * sizeof(*c->tokens));
    free(c->pool);
    free(c->rules);
    free(c->peer_prefixes);
    free(c->tokens);
    free(c->by_digest);
    free(c);
}

const struct hub_rule *policy_rule(const struct hub_policy *p, const struct hub_peer_id *id)
{
    const struct hub_rule *of_name = NULL;

    for (unsigned i = 0; i < p->n_rules; i++) {
        const struct hub_rule *r = &p->rules[i];

        if (strcmp(r->name, id->name) != 0)
            continue;
        if (*r->instance && !strcmp(r->instance, id->instance))
            return r;
        if (!*r->instance && !of_name)
            of_name = r;
    }
    return of_name;
}

/* Compares in a time that does not tell how much was right. */
static bool same_token(const char *a, const char *b)
{
    size_t la = strlen(a), lb = strlen(b);
    unsigned char diff = la != lb;

    for (size_t i = 0; i < la; i++)
        diff |= (unsigned char)(a[i] ^ b[lb ? i % lb : 0]);
    return !diff && la;
}

/* The first place with this digest or a larger one; n_tokens: there is none. */
static unsigned first_place(const struct copy *c, uint64_t digest)
{
    unsigned low = 0, high = c->policy.n_tokens;

    while (low < high) {
        unsigned mid = low + (high - low) / 2;

        if (c->by_digest[mid].digest < digest)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

const struct hub_token *policy_token(const struct hub_policy *p, const char *token)
{
    const struct copy *c = copy_of(p);
    uint64_t digest = policy_token_digest(p, token);

    for (unsigned i = first_place(c, digest); i < p->n_tokens && c->by_digest[i].digest == digest;
         i++)
        if (same_token(token, c->tokens[c->by_digest[i].at].token))
            return &p->tokens[c->by_digest[i].at];
    return NULL;
}

bool policy_has_token(const struct hub_policy *p, const char *name, uint64_t digest)
{
    const struct copy *c = copy_of(p);

    for (unsigned i = first_place(c, digest); i < p->n_tokens && c->by_digest[i].digest == digest;
         i++)
        if (!strcmp(c->tokens[c->by_digest[i].at].name, name))
            return true;
    return false;
}

unsigned policy_max_peers(const struct hub_policy *p)
{
    if (!p->multi)
        return 1;
    return p->max_peers ? p->max_peers : HUB_PEERS_DEFAULT;
}

bool policy_contains(const struct ip_prefix *v, unsigned n, const struct ip_addr *a)
{
    for (unsigned i = 0; i < n; i++)
        if (ip_prefix_contains(&v[i], a))
            return true;
    return false;
}
