/* Policies: their keys, and what follows from those of one for the others. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "config/gateway_schema.h"

static const char *const sticky_names[] = {"off", "source", "source-destination", NULL};
static const char *const existing_names[] = {"drain", "flush", "keep", NULL};
static const char *const protocol_names[] = {"any", "tcp", "udp", "icmp", NULL};

static const struct config_key way_keys[] = {
    [GATEWAY_WAY_KEY_LINK] =
        {
            .name = "link",
            .type = CONFIG_TYPE_LABEL,
            .required = ALL,
            FIELD(gateway_way, link),
            .example = "att",
            .help = "name of the link",
        },
    [GATEWAY_WAY_KEY_WEIGHT] =
        {
            .name = "weight",
            .type = CONFIG_TYPE_UINT,
            .zero_word = "none",
            FIELD(gateway_way, weight),
            .min = 1,
            .max = 10000,
            .def = "1",
            .example = "50",
            .help = "its part of the new flows, beside the weights of the others of its tier",
            .man = "With none it gets no new flows, and goes on with those that it has.",
        },
    [GATEWAY_WAY_KEY_TIER] =
        {
            .name = "tier",
            .type = CONFIG_TYPE_UINT,
            FIELD(gateway_way, tier),
            .min = 1,
            .max = GATEWAY_WAYS_MAX,
            .def = "1",
            .example = "2",
            .help = "those of tier 2 get flows when none of tier 1 works, and so on",
        },
};
_Static_assert(ARRAY_LEN(way_keys) == GATEWAY_WAY_KEY_COUNT, "a key of a way is missing");

const struct config_section gateway_way_schema = {way_keys, ARRAY_LEN(way_keys),
                                                  "link of a balance", "balance"};

static const struct config_key policy_keys[] = {
    [GATEWAY_POLICY_KEY_INGRESS] =
        {
            .name = "ingress",
            .type = CONFIG_TYPE_IFNAME,
            .required = ALL,
            FIELD(gateway_policy, ingress),
            .example = "enp6s20",
            .help = "the interface that the packets come in by",
            .man = "Of several policies of one interface the first that matches a flow holds. "
                   "\"local\" is what this machine sends itself and has not bound to an interface; "
                   "where no link works it goes by the table main.",
        },
    [GATEWAY_POLICY_KEY_NAME] =
        {
            .name = "name",
            .type = CONFIG_TYPE_LABEL,
            FIELD(gateway_policy, name),
            .unset = "that of the interface",
            .example = "video",
            .help = "name of the policy in status and counters",
        },
    [GATEWAY_POLICY_KEY_PIN] =
        {
            .name = "pin",
            .type = CONFIG_TYPE_LABEL,
            FIELD(gateway_policy, pin),
            .unset = "none: the policy has balance, failover, or both",
            .example = "mpq1",
            .help = "the link that they leave by, or not at all",
        },
    [GATEWAY_POLICY_KEY_BALANCE] =
        {
            .name = "balance",
            .type = CONFIG_TYPE_SECTION,
            .section = &gateway_way_schema,
            LIST(gateway_policy, balance, GATEWAY_WAYS_MAX),
            .unset = "none",
            .example = "",
            .help = "the links that new flows are spread over, by their weights",
            .man = "Each flow stays on its link. Links that do not work take no new flows.",
        },
    [GATEWAY_POLICY_KEY_FAILOVER] =
        {
            .name = "failover",
            .type = CONFIG_TYPE_LABEL,
            LIST(gateway_policy, failover, GATEWAY_WAYS_MAX),
            .unset = "none",
            .example = "lte",
            .help = "links one after the other: new flows use the first that works",
            .man = "Where there is a balance, too, they come after all of it.",
        },
    [GATEWAY_POLICY_KEY_LAST_RESORT] =
        {
            .name = "last_resort",
            .type = CONFIG_TYPE_LABEL,
            FIELD(gateway_policy, last_resort),
            .unset = "none: when no link works new flows go nowhere",
            .example = "att",
            .help = "link that new flows use when none works, although its probe says it does not",
            .man = "As long as the kernel has it up.",
        },
    [GATEWAY_POLICY_KEY_STICKY] =
        {
            .name = "sticky",
            .type = CONFIG_TYPE_ENUM,
            .names = sticky_names,
            FIELD(gateway_policy, sticky),
            .def = "off",
            .example = "source",
            .help = "new flows of one source, or from one source to one destination, share a link",
        },
    [GATEWAY_POLICY_KEY_STICKY_TIME] =
        {
            .name = "sticky_time",
            .type = CONFIG_TYPE_UINT,
            FIELD(gateway_policy, sticky_s),
            .min = 1,
            .max = 86400,
            .def = "300",
            .example = "3600",
            .help = "seconds after its last new flow that a source is forgotten",
        },
    [GATEWAY_POLICY_KEY_EXISTING] =
        {
            .name = "existing",
            .type = CONFIG_TYPE_ENUM,
            .names = existing_names,
            FIELD(gateway_policy, existing),
            .def = "drain",
            .example = "flush",
            .help = "what becomes of flows when their link does not work, or a better one is back",
            .man = "drain: they stay until they end, and what is sticky goes with the new flows. "
                   "flush: conntrack forgets them, so that they begin anew elsewhere. keep: they "
                   "stay, and so does what is sticky, as long as its link works.",
        },
    [GATEWAY_POLICY_KEY_SOURCE] =
        {
            .name = "source",
            .type = CONFIG_TYPE_PREFIX,
            LIST_COUNTED(gateway_policy, match.source, match.n_source, GATEWAY_PREFIXES_MAX),
            .unset = "any",
            .example = "10.1.2.0/24",
            .help = "only what comes from these networks",
        },
    [GATEWAY_POLICY_KEY_DESTINATION] =
        {
            .name = "destination",
            .type = CONFIG_TYPE_PREFIX,
            LIST_COUNTED(gateway_policy, match.destination, match.n_destination,
                         GATEWAY_PREFIXES_MAX),
            .unset = "any",
            .example = "192.0.2.0/24",
            .help = "only what goes to these networks",
        },
    [GATEWAY_POLICY_KEY_PROTOCOL] =
        {
            .name = "protocol",
            .type = CONFIG_TYPE_ENUM,
            .names = protocol_names,
            FIELD(gateway_policy, match.protocol),
            .def = "any",
            .example = "udp",
            .help = "only this protocol; icmp is ICMPv6, too",
        },
    [GATEWAY_POLICY_KEY_PORTS] =
        {
            .name = "ports",
            .type = CONFIG_TYPE_RANGE,
            LIST_COUNTED(gateway_policy, match.ports, match.n_ports, GATEWAY_PORTS_MAX),
            .min = 1,
            .max = 65535,
            .unset = "any",
            .example = "8000..8999",
            .help = "only what goes to these ports, of TCP and UDP or of the protocol",
        },
    [GATEWAY_POLICY_KEY_DSCP] =
        {
            .name = "dscp",
            .type = CONFIG_TYPE_RANGE,
            LIST_COUNTED(gateway_policy, match.dscp, match.n_dscp, GATEWAY_PORTS_MAX),
            .min = 0,
            .max = 63,
            .unset = "any",
            .example = "46",
            .help = "only packets with these code points",
        },
    [GATEWAY_POLICY_KEY_MARK] =
        {
            .name = "mark",
            .type = CONFIG_TYPE_UINT,
            FIELD(gateway_policy, match.mark),
            .min = 1,
            .max = UINT32_MAX,
            .unset = "any",
            .example = "256",
            .help =
                "only packets that somebody else has marked so, outside the gateway's mark_mask",
        },
    [GATEWAY_POLICY_KEY_MARK_MASK] =
        {
            .name = "mark_mask",
            .type = CONFIG_TYPE_UINT,
            FIELD(gateway_policy, match.mark_mask),
            .min = 1,
            .max = UINT32_MAX,
            .unset = "the bits of the mark",
            .example = "65280",
            .help = "bits of the mark that count",
        },
    [GATEWAY_POLICY_KEY_PRIORITY] =
        {
            .name = "priority",
            .type = CONFIG_TYPE_UINT,
            FIELD(gateway_policy, priority),
            .min = 1,
            .max = 32765,
            .unset = "of the second and later policies of an interface: that of the first",
            .example = "1001",
            .help = "priority of the rule that leads into the table of the link",
            .man =
                "Between first_priority and last_priority. Each interface has its own, which its "
                "first policy says.",
        },
    [GATEWAY_POLICY_KEY_REACH] =
        {
            .name = "reach",
            .type = CONFIG_TYPE_PREFIX,
            LIST(gateway_policy, reach, GATEWAY_PREFIXES_MAX),
            .unset = "none: other LANs and management networks are not reached",
            .example = "172.16.2.0/30",
            .help = "networks that are reached by the table main all the same",
            .man = "Other LANs, which must say the same the other way, and management networks. "
                   "Default routes of the table main do not count. This machine itself is always "
                   "reached. It is said in the first policy of the interface.",
        },
};
_Static_assert(ARRAY_LEN(policy_keys) == GATEWAY_POLICY_KEY_COUNT, "a key of a policy is missing");

const struct config_section gateway_policy_schema = {policy_keys, ARRAY_LEN(policy_keys), "policy",
                                                     "policies"};

/* --- what follows ---------------------------------------------------------------------- */

static unsigned add_member(const struct gateway_config *c, struct gateway_member *v, unsigned n,
                           const char *link, uint32_t weight, uint32_t tier)
{
    int i = *link ? gateway_config_link(c, link) : -1;
    unsigned at = n;

    if (i < 0)
        return n;
    for (; at && v[at - 1].tier > tier; at--)
        v[at] = v[at - 1];
    v[at] = (struct gateway_member){(unsigned)i, weight, tier};
    return n + 1;
}

unsigned gateway_policy_members(const struct gateway_config *c, const struct gateway_policy *p,
                                struct gateway_member ret[static GATEWAY_MEMBERS_MAX])
{
    unsigned n = add_member(c, ret, 0, p->pin, 1, 1);
    uint32_t tier = 0;

    for (unsigned i = 0; i < p->n_balance; i++) {
        n = add_member(c, ret, n, p->balance[i].link, p->balance[i].weight, p->balance[i].tier);
        tier = MAX(tier, p->balance[i].tier);
    }
    for (unsigned i = 0; i < p->n_failover; i++)
        n = add_member(c, ret, n, p->failover[i], 1, tier + 1 + i);
    return n;
}

bool gateway_policy_is_first(const struct gateway_config *c, unsigned i)
{
    for (unsigned j = 0; j < i; j++)
        if (!strcmp(c->policies[j].ingress, c->policies[i].ingress))
            return false;
    return true;
}

const char *gateway_policy_name(const struct gateway_config *c, unsigned i,
                                char buf[static GATEWAY_POLICY_NAME_MAX])
{
    const struct gateway_policy *p = &c->policies[i];
    unsigned nth = 1;

    for (unsigned j = 0; j < i; j++)
        nth += !strcmp(c->policies[j].ingress, p->ingress);
    if (*p->name)
        snprintf(buf, GATEWAY_POLICY_NAME_MAX, "%s", p->name);
    else if (nth > 1)
        snprintf(buf, GATEWAY_POLICY_NAME_MAX, "%s.%u", p->ingress, nth);
    else
        snprintf(buf, GATEWAY_POLICY_NAME_MAX, "%s", p->ingress);
    for (char *s = buf; *s; s++)
        if (!isalnum((unsigned char)*s) && !strchr("-_.", *s))
            *s = '_';
    return buf;
}

bool gateway_is_steered(const struct gateway_config *c, const char *ingress)
{
    for (unsigned i = 0; i < c->n_policies; i++) {
        const struct gateway_policy *p = &c->policies[i];
        int link = gateway_config_link(c, p->pin);

        if (!strcmp(p->ingress, ingress) &&
            (p->n_balance || p->n_failover || (link >= 0 && c->links[link].mark)))
            return true;
    }
    return false;
}

bool gateway_match_is_any(const struct gateway_match *m)
{
    return !m->n_source && !m->n_destination && m->protocol == GATEWAY_ONLY_ANY && !m->n_ports &&
           !m->n_dscp && !m->mark && !m->mark_mask;
}
