/* Any bytes as a configuration of the gateway: they are read or refused with a problem, and what is
 * read can be put in force: what should be there follows from it, whatever the links do. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/gateway.h"
#include "config_problems.h"
#include "wan/desired.h"
#include "wan/translate.h"

/* What comes from an interface with a policy ends at a rule of its own, if no other takes it. */
static void check_guards(const struct gateway_config *c, const struct wan_objects *want)
{
    for (unsigned i = 0; i < c->n_policies; i++) {
        unsigned guards = 0;

        if (!strcmp(c->policies[i].ingress, GATEWAY_LOCAL))
            continue;
        for (unsigned n = 0; n < want->n_rules; n++) {
            const struct fib_rule *r = &want->rules[n];

            guards += r->priority == c->last_priority && r->action != FIB_ACTION_TABLE &&
                      !r->to.addr.family && !r->from.addr.family && !r->mask && !*r->oif &&
                      !strcmp(r->iif, c->policies[i].ingress);
        }
        if (guards != WAN_FAMILIES)
            abort();
    }
}

static void check_desired(const struct gateway_config *c, const struct wan_facts *facts)
{
    struct wan_objects want;

    if (wan_desired(c, facts, &want) == 0) {
        for (unsigned i = 0; i < want.n_rules; i++)
            if (want.rules[i].priority < c->first_priority ||
                want.rules[i].priority > c->last_priority)
                abort();
        check_guards(c, &want);
    }
    wan_objects_done(&want);
}

/* What leaves with an outside address comes back to where it came from, unless a longer outside
 * leads elsewhere. */
static void check_maps(const struct gateway_config *c, const struct wan_facts *facts)
{
    for (unsigned i = 0; i < c->n_nat; i++) {
        const struct gateway_map *m = &c->nat[i];
        int link = gateway_config_link(c, m->link);
        struct ip_addr last = ip_prefix_last(&m->inside), out, in;
        unsigned by = i;

        if (link < 0)
            abort();
        out = translate_source(c, facts, (unsigned)link, &last);
        if (!out.family)
            continue;
        in = translate_target(c, facts, (unsigned)link, &out, &by);
        if (!in.family || (by == i && !ip_addr_equal(&in, &last)))
            abort();
    }
}

/* Links in one state and another. */
static void check_states(const struct gateway_config *c)
{
    static struct wan_facts facts;
    char why[WAN_WHY_MAX];

    for (unsigned i = 0; i < c->n_links; i++)
        facts.link[i] = (struct wan_link_facts){
            .index = (int)i + 1,
            .up = i % 3,
            .carrier = i % 5,
            .health.disabled = i % 7 == 6,
            .delegated = {.addr = {.family = i % 4 ? 6 : 0, .b = {0x20, 1, 0xd, 0xb8}},
                          .len = (uint8_t)(48 + 8 * (i % 4))},
            .health.probe = {{.state = i % WAN_STATE_DISABLED},
                             {.state = (i + 1) % WAN_STATE_DISABLED, .by_latency = i % 2}}};
    for (unsigned i = 0; i < c->n_links; i++)
        for (enum wan_family family = 0; family < WAN_FAMILIES; family++)
            if (!*wan_state_why(c, &facts, i, family, why))
                abort();
    for (unsigned i = 0; i < c->n_routes; i++)
        facts.inner[i] = (struct wan_inner_facts){.index = (int)i + 1, .up = i % 2};
    check_desired(c, &facts);
    check_maps(c, &facts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct gateway_config c;
    struct config_report report = {0};
    int err = gateway_config_parse((const char *)data, size, &c, &report);

    config_problems_check(err, &report);
    if (!err)
        check_states(&c);
    config_report_done(&report);
    return 0;
}
