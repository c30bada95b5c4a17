/* The rules between the keys of policies. As in gateway_check.c: a rule looks only at values whose
 * place is known, and never twice at one mistake. */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "config/gateway_schema.h"
#include "config/nearest.h"
#include "config/report.h"

struct checker {
    const struct gateway_input *in;
    const struct gateway_config *c;
    struct config_report *report;
};

static bool has(const struct checker *k, unsigned i, enum gateway_policy_key_id key)
{
    return k->in->policy[i].key[key].line != 0;
}

static void error_at(const struct checker *k, unsigned i, struct config_where at, const char *hint,
                     const char *text)
{
    report_add(k->report, true, at, hint, "policy of %s: %s", k->c->policies[i].ingress, text);
}

static void policy_error(const struct checker *k, unsigned i, enum gateway_policy_key_id key,
                         const char *hint, const char *text)
{
    error_at(k, i, k->in->policy[i].key[key], hint, text);
}

static const char *line_hint(char buf[static 64], unsigned line)
{
    snprintf(buf, 64, "it stands in line %u already", line);
    return buf;
}

/* --- links ----------------------------------------------------------------------------- */

/* A link that a policy names: is it there, and can it be used so? */
static void check_link_name(const struct checker *k, unsigned i, struct config_where at,
                            const char *name)
{
    const struct gateway_policy *p = &k->c->policies[i];
    int link = gateway_config_link(k->c, name);
    struct nearest near = {.word = name};
    char hint[64];

    if (!*name)
        return;
    if (link < 0) {
        for (unsigned j = 0; j < k->c->n_links; j++)
            nearest_offer(&near, k->c->links[j].name);
        snprintf(hint, sizeof(hint),
                 near.best ? "did you mean '%s'?" : "the links are named in links%s",
                 near.best ? near.best : "");
        error_at(k, i, at, hint, "there is no such link");
        return;
    }
    if (k->in->link[link].bad)
        return;
    if (!k->c->links[link].table)
        error_at(k, i, at, "add 'table: NUMBER' to the link", "the link has no table");
    else if (!k->c->links[link].mark && gateway_is_steered(k->c, p->ingress))
        error_at(k, i, at, "add 'mark: NUMBER' to the link",
                 "a link has to have a mark where flows have a choice");
    if (!strcmp(k->c->links[link].device, p->ingress))
        error_at(k, i, at, NULL, "packets cannot leave by the interface that they came in by");
}

static void check_links(const struct checker *k, unsigned i)
{
    const struct gateway_policy *p = &k->c->policies[i];
    const struct gateway_places *at = &k->in->policy[i];

    check_link_name(k, i, at->key[GATEWAY_POLICY_KEY_PIN], p->pin);
    for (unsigned n = 0; n < p->n_balance; n++)
        check_link_name(k, i, at->element[GATEWAY_POLICY_KEY_BALANCE][n], p->balance[n].link);
    for (unsigned n = 0; n < p->n_failover; n++)
        check_link_name(k, i, at->element[GATEWAY_POLICY_KEY_FAILOVER][n], p->failover[n]);
    check_link_name(k, i, at->key[GATEWAY_POLICY_KEY_LAST_RESORT], p->last_resort);
}

/* Each link is named once. */
static void check_link_twins(const struct checker *k, unsigned i)
{
    const struct gateway_policy *p = &k->c->policies[i];
    const struct gateway_places *at = &k->in->policy[i];

    for (unsigned n = 0; n < p->n_balance; n++)
        for (unsigned m = 0; m < n; m++)
            if (*p->balance[n].link && !strcmp(p->balance[n].link, p->balance[m].link))
                error_at(k, i, at->element[GATEWAY_POLICY_KEY_BALANCE][n], NULL,
                         "a link is there twice");
    for (unsigned n = 0; n < p->n_failover; n++) {
        bool twice = false;

        for (unsigned m = 0; m < p->n_balance; m++)
            twice |= !strcmp(p->failover[n], p->balance[m].link);
        for (unsigned m = 0; m < n; m++)
            twice |= !strcmp(p->failover[n], p->failover[m]);
        if (twice)
            error_at(k, i, at->element[GATEWAY_POLICY_KEY_FAILOVER][n], NULL,
                     "a link is there twice");
    }
}

/* Something of each tier gets new flows. */
static void check_weights(const struct checker *k, unsigned i)
{
    const struct gateway_policy *p = &k->c->policies[i];

    for (unsigned n = 0; n < p->n_balance; n++) {
        uint32_t sum = 0, first = n;

        for (unsigned m = 0; m < p->n_balance; m++)
            if (p->balance[m].tier == p->balance[n].tier) {
                sum += p->balance[m].weight;
                first = MIN(first, m);
            }
        if (!sum && first == n)
            error_at(k, i, k->in->policy[i].element[GATEWAY_POLICY_KEY_BALANCE][n],
                     "give one of them a weight", "all links of a tier have the weight none");
    }
}

static void check_choice(const struct checker *k, unsigned i)
{
    const struct gateway_policy *p = &k->c->policies[i];
    bool pin = has(k, i, GATEWAY_POLICY_KEY_PIN);
    bool balance = has(k, i, GATEWAY_POLICY_KEY_BALANCE);
    bool failover = has(k, i, GATEWAY_POLICY_KEY_FAILOVER);

    if (!pin && !balance && !failover)
        error_at(k, i, k->in->policy[i].at, "add 'pin: mpq1', or balance, or failover",
                 "pin is missing");
    else if (pin && (balance || failover))
        policy_error(k, i, GATEWAY_POLICY_KEY_PIN, "remove it, or the others",
                     "what is pinned to a link has no choice");
    if (pin && *p->last_resort)
        policy_error(k, i, GATEWAY_POLICY_KEY_LAST_RESORT, "remove it",
                     "what is pinned to a link has no choice");
    if (pin && p->sticky)
        policy_error(k, i, GATEWAY_POLICY_KEY_STICKY, "remove it",
                     "what is pinned to a link has no choice");
    check_links(k, i);
    check_link_twins(k, i);
    check_weights(k, i);
}

/* --- what it is for -------------------------------------------------------------------- */

static void check_family(const struct checker *k, unsigned i, enum gateway_policy_key_id key,
                         const struct ip_prefix *v, unsigned n)
{
    char text[IP_PREFIX_STR_MAX];

    for (unsigned m = 0; m < n; m++)
        if (v[m].addr.family == 6 && !k->c->ipv6)
            report_add(k->report, true, k->in->policy[i].element[key][m], "add 'ipv6: true'",
                       "policy of %s: %s is of IPv6", k->c->policies[i].ingress,
                       ip_prefix_str(&v[m], text));
}

static bool has_family(const struct ip_prefix *v, unsigned n, unsigned family)
{
    for (unsigned i = 0; i < n; i++)
        if (v[i].addr.family == family)
            return true;
    return !n;
}

static void check_match(const struct checker *k, unsigned i)
{
    const struct gateway_policy *p = &k->c->policies[i];
    const struct gateway_match *m = &p->match;

    check_family(k, i, GATEWAY_POLICY_KEY_SOURCE, m->source, m->n_source);
    check_family(k, i, GATEWAY_POLICY_KEY_DESTINATION, m->destination, m->n_destination);
    if ((!has_family(m->source, m->n_source, 4) ||
         !has_family(m->destination, m->n_destination, 4)) &&
        (!has_family(m->source, m->n_source, 6) ||
         !has_family(m->destination, m->n_destination, 6)))
        policy_error(k, i, GATEWAY_POLICY_KEY_DESTINATION, NULL,
                     "this rule can never match: its sources and destinations have no family in "
                     "common");
    if (m->n_ports && m->protocol == GATEWAY_ONLY_ICMP)
        policy_error(k, i, GATEWAY_POLICY_KEY_PORTS, "remove it, or the protocol",
                     "this rule can never match: ICMP has no ports");
    if (m->mark & k->c->mark_mask || (m->mark_mask & k->c->mark_mask))
        policy_error(k, i, m->mark ? GATEWAY_POLICY_KEY_MARK : GATEWAY_POLICY_KEY_MARK_MASK,
                     "mark_mask of the gateway has the bits that are its own",
                     "its mark has bits that are the gateway's");
    else if (m->mark_mask && m->mark & ~m->mark_mask)
        policy_error(k, i, GATEWAY_POLICY_KEY_MARK, NULL,
                     "this rule can never match: the mark has bits that its mark_mask does not "
                     "have");
    if ((!gateway_match_is_any(m) || !strcmp(p->ingress, GATEWAY_LOCAL)) && *p->pin &&
        !gateway_is_steered(k->c, p->ingress))
        error_at(k, i, k->in->policy[i].at, "add 'mark: NUMBER' to its link",
                 "its link has to have a mark: it is for a part of the packets, or for local ones");
}

/* --- the others ------------------------------------------------------------------------ */

static void check_reach(const struct checker *k, unsigned i)
{
    const struct gateway_policy *p = &k->c->policies[i];
    char text[IP_PREFIX_STR_MAX];

    for (unsigned n = 0; n < p->n_reach; n++) {
        struct config_where at = k->in->policy[i].element[GATEWAY_POLICY_KEY_REACH][n];

        ip_prefix_str(&p->reach[n], text);
        if (!p->reach[n].len)
            report_add(k->report, true, at, "name the networks",
                       "policy of %s: everything cannot be reached by the table main", p->ingress);
        for (unsigned j = 0; j < k->c->n_links; j++)
            if (k->c->links[j].hub.family && ip_prefix_contains(&p->reach[n], &k->c->links[j].hub))
                report_add(k->report, true, at, NULL,
                           "policy of %s: %s holds the hub of link %s, which is reached over its "
                           "wan by tunnels alone",
                           p->ingress, text, k->c->links[j].name);
    }
    check_family(k, i, GATEWAY_POLICY_KEY_REACH, p->reach, p->n_reach);
    if (p->n_reach && !gateway_policy_is_first(k->c, i))
        policy_error(k, i, GATEWAY_POLICY_KEY_REACH, "say it in the first policy of the interface",
                     "what is in reach does not depend on the flow");
    else if (p->n_reach && !strcmp(p->ingress, GATEWAY_LOCAL))
        policy_error(k, i, GATEWAY_POLICY_KEY_REACH, "remove it",
                     "this machine reaches all that the table main has but default routes");
}

static void check_priority(const struct checker *k, unsigned i)
{
    const struct gateway_policy *p = &k->c->policies[i];
    char hint[64];

    if (!has(k, i, GATEWAY_POLICY_KEY_PRIORITY)) {
        if (gateway_policy_is_first(k->c, i))
            report_add(k->report, true, k->in->policy[i].at, "add 'priority: 1001'",
                       "priority is missing");
        return;
    }
    for (unsigned j = 0; j < i; j++)
        if (p->priority && p->priority == k->c->policies[j].priority)
            policy_error(k, i, GATEWAY_POLICY_KEY_PRIORITY,
                         line_hint(hint, k->in->policy[j].key[GATEWAY_POLICY_KEY_PRIORITY].line),
                         "another policy has this priority");
    if (p->priority && k->c->last_priority > k->c->first_priority + 1 &&
        (p->priority <= k->c->first_priority || p->priority >= k->c->last_priority)) {
        snprintf(hint, sizeof(hint), "write %u to %u", k->c->first_priority + 1,
                 k->c->last_priority - 1);
        policy_error(k, i, GATEWAY_POLICY_KEY_PRIORITY, hint,
                     "the priority is not between first_priority and last_priority");
    }
}

/* What comes before it on its interface, and what shares its links. */
static void check_others(const struct checker *k, unsigned i)
{
    const struct gateway_policy *p = &k->c->policies[i];
    char hint[64], a[GATEWAY_POLICY_NAME_MAX], b[GATEWAY_POLICY_NAME_MAX];

    for (unsigned j = 0; j < i; j++) {
        const struct gateway_policy *q = &k->c->policies[j];

        if (*p->ingress && !strcmp(p->ingress, q->ingress) && !k->in->policy[j].bad &&
            gateway_match_is_any(&q->match)) {
            policy_error(k, i, GATEWAY_POLICY_KEY_INGRESS,
                         line_hint(hint, k->in->policy[j].key[GATEWAY_POLICY_KEY_INGRESS].line),
                         "this rule can never match: another policy has the interface");
            break;
        }
        if (*p->ingress &&
            !strcmp(gateway_policy_name(k->c, i, a), gateway_policy_name(k->c, j, b)))
            policy_error(k, i,
                         has(k, i, GATEWAY_POLICY_KEY_NAME) ? GATEWAY_POLICY_KEY_NAME
                                                            : GATEWAY_POLICY_KEY_INGRESS,
                         "add a 'name:' of its own", "another policy has this name");
    }
}

void gateway_check_policies(const struct gateway_input *in, struct config_report *report)
{
    struct checker k = {in, in->config, report};

    for (unsigned i = 0; i < k.c->n_policies; i++) {
        if (!in->policy[i].bad) {
            check_choice(&k, i);
            check_match(&k, i);
        } else {
            check_links(&k, i);
        }
        check_reach(&k, i);
        check_priority(&k, i);
        check_others(&k, i);
    }
}
