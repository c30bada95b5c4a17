#include "peer/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A copy of a policy: everything that it points to is a list of its own behind it. */
struct copy {
    struct hub_policy policy; /* first: what the outside has */
    struct ip_prefix *pool, *peer_prefixes;
    struct hub_rule *rules;
    struct hub_token *tokens;
};

char *hub_peer_id_str(const struct hub_peer_id *id, char buf[static HUB_ID_STR_MAX])
{
    snprintf(buf, HUB_ID_STR_MAX, "%s%s%s", id->name, *id->instance ? "/" : "", id->instance);
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

struct hub_policy *policy_copy(const struct hub_policy *p)
{
    struct copy *c = calloc(1, sizeof(*c));
    bool ok = true;

    if (!c)
        return NULL;
    c->policy = *p;
    c->policy.pool = c->pool = copy_list(p->pool, p->n_pool, sizeof(*p->pool), &ok);
    c->policy.rules = c->rules = copy_list(p->rules, p->n_rules, sizeof(*p->rules), &ok);
    c->policy.peer_prefixes = c->peer_prefixes =
        copy_list(p->peer_prefixes, p->n_peer_prefixes, sizeof(*p->peer_prefixes), &ok);
    c->policy.tokens = c->tokens = copy_list(p->tokens, p->n_tokens, sizeof(*p->tokens), &ok);
    if (!ok) {
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

const struct hub_token *policy_token(const struct hub_policy *p, const char *token)
{
    const struct hub_token *found = NULL;

    for (unsigned i = 0; i < p->n_tokens; i++)
        if (same_token(token, p->tokens[i].token))
            found = &p->tokens[i];
    return found;
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
