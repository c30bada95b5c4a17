/* The rules between the keys of a gateway's configuration. What could not be read stands in the
 * struct as its default: a rule looks only at values whose place is known, and never twice at one
 * mistake. */
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

/* Was the key of a link, or policy, written? */
static bool link_has(const struct checker *k, unsigned i, enum gateway_link_key_id key)
{
    return k->in->link[i].key[key].line != 0;
}

static void link_error(const struct checker *k, unsigned i, enum gateway_link_key_id key,
                       const char *hint, const char *text)
{
    report_add(k->report, true, k->in->link[i].key[key], hint, "link %s: %s", k->c->links[i].name,
               text);
}

static const char *line_hint(char buf[static 64], unsigned line)
{
    snprintf(buf, 64, "it stands in line %u already", line);
    return buf;
}

/* --- links ----------------------------------------------------------------------------- */

static bool is_reserved_table(uint32_t table)
{
    return table >= 252 && table <= 255; /* compat, default, main, local */
}

/* Two links must not share a name, an interface or a table. */
static void check_link_twins(const struct checker *k, unsigned i)
{
    const struct gateway_link *a = &k->c->links[i];
    char hint[64];

    for (unsigned j = 0; j < i; j++) {
        const struct gateway_link *b = &k->c->links[j];

        if (*a->name && !strcmp(a->name, b->name))
            link_error(k, i, GATEWAY_LINK_KEY_NAME,
                       line_hint(hint, k->in->link[j].key[GATEWAY_LINK_KEY_NAME].line),
                       "another link has this name");
        if (*a->device && !strcmp(a->device, b->device))
            link_error(k, i, GATEWAY_LINK_KEY_DEVICE,
                       line_hint(hint, k->in->link[j].key[GATEWAY_LINK_KEY_DEVICE].line),
                       "another link has this device");
        if (a->table && a->table == b->table)
            link_error(k, i, GATEWAY_LINK_KEY_TABLE,
                       line_hint(hint, k->in->link[j].key[GATEWAY_LINK_KEY_TABLE].line),
                       "another link has this table");
    }
}

/* The wan of that name that a tunnel goes over, with what is wrong about it reported. */
static void check_over(const struct checker *k, unsigned i)
{
    const struct gateway_link *l = &k->c->links[i];
    struct nearest near = {.word = l->over};
    int wan = gateway_config_link(k->c, l->over);
    char hint[64];

    if (wan >= 0 && k->c->links[wan].type == GATEWAY_LINK_WAN)
        return;
    if (wan >= 0) {
        link_error(k, i, GATEWAY_LINK_KEY_OVER, "name a link of type wan",
                   "it goes over a link that is no wan");
        return;
    }
    for (unsigned j = 0; j < k->c->n_links; j++)
        if (k->c->links[j].type == GATEWAY_LINK_WAN)
            nearest_offer(&near, k->c->links[j].name);
    snprintf(hint, sizeof(hint),
             near.best ? "did you mean '%s'?" : "the links are named in links%s",
             near.best ? near.best : "");
    link_error(k, i, GATEWAY_LINK_KEY_OVER, hint, "it goes over a link that is not there");
}

static void check_probe_name(const struct checker *k, unsigned i)
{
    const struct gateway_link *l = &k->c->links[i];
    struct nearest near = {.word = l->probe};
    char hint[64];
    int n = gateway_config_probe(k->c, l->probe);

    if (!*l->probe)
        return;
    if (n < 0) {
        for (unsigned j = 0; j < k->c->n_probes; j++)
            nearest_offer(&near, k->c->probes[j].name);
        snprintf(hint, sizeof(hint),
                 near.best ? "did you mean '%s'?" : "they are named in probes%s",
                 near.best ? near.best : "");
        link_error(k, i, GATEWAY_LINK_KEY_PROBE, hint, "there is no such probe");
    } else if (!k->c->probes[n].n_targets && !*l->instance && !k->in->probe[n].bad) {
        link_error(k, i, GATEWAY_LINK_KEY_PROBE, "add targets to the probe",
                   "its probe has no target");
    }
    for (unsigned t = 0; n >= 0 && l->hub.family && t < k->c->probes[n].n_targets; t++)
        if (ip_addr_equal(&k->c->probes[n].targets[t], &l->hub))
            link_error(k, i, GATEWAY_LINK_KEY_PROBE, "use its address inside the tunnel",
                       "its probe asks its hub's outer address, which is not behind it");
}

/* A flow with the mark of a link is on that link and no other. */
static void check_link_mark(const struct checker *k, unsigned i)
{
    const struct gateway_link *l = &k->c->links[i];
    char hint[64];

    if (!l->mark)
        return;
    if (l->mark & ~k->c->mark_mask)
        link_error(k, i, GATEWAY_LINK_KEY_MARK, "mark_mask has the bits that are the gateway's",
                   "the mark has bits that mark_mask does not have");
    if (!l->table && !k->in->link[i].bad)
        link_error(k, i, GATEWAY_LINK_KEY_MARK, "add 'table: NUMBER'",
                   "the mark leads into the table of the link, and it has none");
    for (unsigned j = 0; j < k->c->n_links; j++) {
        const struct gateway_link *other = &k->c->links[j];

        if (j < i && other->mark == l->mark)
            link_error(k, i, GATEWAY_LINK_KEY_MARK,
                       line_hint(hint, k->in->link[j].key[GATEWAY_LINK_KEY_MARK].line),
                       "another link has this mark");
        if (other->masquerade && !other->mark && l->mark == k->c->mark)
            link_error(k, i, GATEWAY_LINK_KEY_MARK, "give that link a mark, too",
                       "the key mark of the gateway says this one for a link that masquerades");
    }
}

static void check_link(const struct checker *k, unsigned i)
{
    const struct gateway_link *l = &k->c->links[i];
    bool tunnel = l->type == GATEWAY_LINK_TUNNEL;

    check_link_twins(k, i);
    if (is_reserved_table(l->table))
        link_error(k, i, GATEWAY_LINK_KEY_TABLE, "252 to 255 belong to the system",
                   "this table cannot be the link's own");
    if (!tunnel && link_has(k, i, GATEWAY_LINK_KEY_OVER))
        link_error(k, i, GATEWAY_LINK_KEY_OVER, "add 'type: tunnel', or remove it",
                   "only a tunnel goes over another link");
    else if (*l->over)
        check_over(k, i);
    if (tunnel && link_has(k, i, GATEWAY_LINK_KEY_GATEWAY))
        link_error(k, i, GATEWAY_LINK_KEY_GATEWAY, "remove it", "a tunnel has no gateway");
    if (l->hub.family && (!tunnel || !*l->over || !l->table))
        link_error(k, i, GATEWAY_LINK_KEY_HUB, NULL,
                   "hub is for a tunnel that has a table and goes over a wan");
    if (l->hub.family == 6 && !k->c->ipv6)
        link_error(k, i, GATEWAY_LINK_KEY_HUB, "add 'ipv6: true'", "the hub has an IPv6 address");
    if (*l->instance && !tunnel)
        link_error(k, i, GATEWAY_LINK_KEY_INSTANCE, "remove it", "only a tunnel is an instance");
    check_probe_name(k, i);
    check_link_mark(k, i);
    if (l->masquerade && !l->table)
        link_error(k, i, GATEWAY_LINK_KEY_MASQUERADE, "add 'table: NUMBER'",
                   "it masquerades what is pinned to it, and nothing can be without a table");
}

static bool overlap(const struct ip_prefix *a, const struct ip_prefix *b)
{
    return a->addr.family == b->addr.family &&
           (ip_prefix_contains(a, &b->addr) || ip_prefix_contains(b, &a->addr));
}

static void check_prefixes(const struct checker *k, unsigned i)
{
    const struct gateway_link *l = &k->c->links[i];
    char text[IP_PREFIX_STR_MAX], other[IP_PREFIX_STR_MAX];

    for (unsigned n = 0; n < l->n_prefixes; n++) {
        struct config_where at = k->in->link[i].element[GATEWAY_LINK_KEY_PREFIXES][n];

        if (l->prefixes[n].addr.family == 6 && !k->c->ipv6)
            report_add(k->report, true, at, "add 'ipv6: true'", "link %s: %s is of IPv6", l->name,
                       ip_prefix_str(&l->prefixes[n], text));
        if (!l->prefixes[n].len)
            report_add(k->report, true, at, "name the networks behind the link",
                       "link %s: a default route cannot be among them", l->name);
        for (unsigned j = 0; j <= i; j++)
            for (unsigned m = 0; m < (j == i ? n : k->c->links[j].n_prefixes); m++)
                if (overlap(&l->prefixes[n], &k->c->links[j].prefixes[m]))
                    report_add(k->report, true, at, "one network is behind one link",
                               "link %s: %s overlaps %s of link %s", l->name,
                               ip_prefix_str(&l->prefixes[n], text),
                               ip_prefix_str(&k->c->links[j].prefixes[m], other),
                               k->c->links[j].name);
    }
}

/* --- probes ---------------------------------------------------------------------------- */

static void probe_error(const struct checker *k, unsigned i, enum gateway_probe_key_id key,
                        const char *hint, const char *text)
{
    report_add(k->report, true, k->in->probe[i].key[key], hint, "probe %s: %s",
               k->c->probes[i].name, text);
}

static void check_targets(const struct checker *k, unsigned i)
{
    const struct gateway_probe *p = &k->c->probes[i];
    char text[IP_ADDR_STR_MAX];

    for (unsigned n = 0; n < p->n_targets; n++) {
        struct config_where at = k->in->probe[i].element[GATEWAY_PROBE_KEY_TARGETS][n];

        ip_addr_str(&p->targets[n], text);
        if (p->targets[n].family == 6 && !k->c->ipv6)
            report_add(k->report, true, at, "add 'ipv6: true'", "probe %s: %s is of IPv6", p->name,
                       text);
        for (unsigned m = 0; m < n; m++)
            if (ip_addr_equal(&p->targets[n], &p->targets[m]))
                report_add(k->report, true, at, NULL, "probe %s: %s is there twice", p->name, text);
    }
}

static void check_probe(const struct checker *k, unsigned i)
{
    const struct gateway_probe *p = &k->c->probes[i];
    char hint[64];

    check_targets(k, i);
    gateway_check_probe(k->in, i, k->report);
    for (unsigned j = 0; j < i; j++)
        if (*p->name && !strcmp(p->name, k->c->probes[j].name))
            probe_error(k, i, GATEWAY_PROBE_KEY_NAME,
                        line_hint(hint, k->in->probe[j].key[GATEWAY_PROBE_KEY_NAME].line),
                        "another probe has this name");
    if (!k->in->probe[i].bad && p->n_targets && p->need > p->n_targets + 1)
        probe_error(k, i, GATEWAY_PROBE_KEY_NEED, NULL, "it has not so many targets");
}

/* --- the whole ------------------------------------------------------------------------- */

static void check_numbers(const struct checker *k)
{
    const struct gateway_config *c = k->c;
    const struct config_where *at = k->in->key;

    if (c->last_priority < c->first_priority + 2)
        report_add(k->report, true,
                   at[at[GATEWAY_KEY_LAST_PRIORITY].line ? GATEWAY_KEY_LAST_PRIORITY
                                                         : GATEWAY_KEY_FIRST_PRIORITY],
                   NULL, "there is no priority between first_priority and last_priority");
    if (c->mark & ~c->mark_mask)
        report_add(k->report, true,
                   at[at[GATEWAY_KEY_MARK].line ? GATEWAY_KEY_MARK : GATEWAY_KEY_MARK_MASK], NULL,
                   "the mark %u has bits that mark_mask does not have", c->mark);
}

void gateway_check_rules(const struct gateway_input *in, struct config_report *report)
{
    struct checker k = {in, in->config, report};

    check_numbers(&k);
    for (unsigned i = 0; i < k.c->n_links; i++) {
        check_link(&k, i);
        check_prefixes(&k, i);
    }
    for (unsigned i = 0; i < k.c->n_probes; i++)
        check_probe(&k, i);
    gateway_check_policies(in, report);
    gateway_check_nat(in, report);
    gateway_check_dns(in, report);
}
