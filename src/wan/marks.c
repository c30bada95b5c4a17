/* A packet of a flow that has a link gets the mark of the link, in both directions. A new flow gets
 * a link by where it comes from: what comes in by a link belongs to that link, so that its answers
 * leave there; what comes from an interface with policies, to a link that its first policy that
 * matches chooses. Nothing else is marked, and what is not marked has no way: the rules of the
 * kernel lead only marked packets into the tables of links.
 *
 *      mark-in, mark-out      every packet: the mark of its flow, or a choice
 *      from-INGRESS           which policy
 *      pickN-POLICY           which link, of IPv4 or IPv6: sticky, or by weight
 *      toN-POLICY-LINK        counted, remembered
 *      take-LINK, set-LINK    mark the flow and the packet; the packet alone
 *
 * The bits outside mark_mask stay as they are: nftables combines a register with a constant only,
 * hence a chain for each link. */
#include "wan/marks.h"

#include <string.h>

#include "base/util.h"
#include "wan/balance.h"

enum { STICKY_SIZE = 65536 };

struct writer {
    FILE *out;
    const struct gateway_config *c;
    const struct wan_facts *f;
};

bool marks_are_used(const struct gateway_config *c)
{
    for (unsigned i = 0; i < c->n_links; i++)
        if (c->links[i].mark)
            return true;
    return false;
}

static const char *ip_of(enum wan_family family)
{
    return family == WAN_V4 ? "ip" : "ip6";
}

static const char *digit_of(enum wan_family family)
{
    return family == WAN_V4 ? "4" : "6";
}

/* The families that anything leaves in. */
static unsigned families(const struct gateway_config *c)
{
    return c->ipv6 ? WAN_FAMILIES : WAN_V6;
}

static const char *link_name(const struct writer *w, unsigned link)
{
    return w->c->links[link].name;
}

static bool is_member(const struct gateway_config *c, const struct gateway_policy *p, unsigned link)
{
    struct gateway_member m[GATEWAY_MEMBERS_MAX];
    unsigned n = gateway_policy_members(c, p, m);

    for (unsigned i = 0; i < n; i++)
        if (m[i].link == link)
            return true;
    return false;
}

/* --- what stays ------------------------------------------------------------------------ */

/* As nft(8) writes a time: 1h30m. */
static void write_time(FILE *out, uint32_t s)
{
    static const struct {
        uint32_t s;
        char letter;
    } unit[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};

    for (size_t i = 0; i < ARRAY_LEN(unit); i++) {
        if (s / unit[i].s)
            fprintf(out, "%u%c", s / unit[i].s, unit[i].letter);
        s %= unit[i].s;
    }
}

static void write_sticky_set(const struct writer *w, const struct gateway_policy *p,
                             const char *policy, unsigned link, enum wan_family family)
{
    const char *type = family == WAN_V4 ? "ipv4_addr" : "ipv6_addr";
    bool both = p->sticky == GATEWAY_STICKY_BOTH;

    fprintf(w->out, "\n\tset stick%s-%s-%s {\n\t\ttype %s%s%s\n\t\tsize %d\n", digit_of(family),
            policy, link_name(w, link), type, both ? " . " : "", both ? type : "", STICKY_SIZE);
    fputs("\t\tflags dynamic,timeout\n\t\ttimeout ", w->out);
    write_time(w->out, p->sticky_s);
    fputs("\n\t}\n", w->out);
}

/* Of each link that a policy may use. */
static void write_kept(const struct writer *w, unsigned i)
{
    const struct gateway_policy *p = &w->c->policies[i];
    struct gateway_member m[GATEWAY_MEMBERS_MAX];
    unsigned n = gateway_policy_members(w->c, p, m);
    char name[GATEWAY_POLICY_NAME_MAX];
    int last = gateway_config_link(w->c, p->last_resort);

    gateway_policy_name(w->c, i, name);
    for (unsigned j = 0; j < n; j++) {
        fprintf(w->out, "\n\tcounter new-%s-%s {\n\t}\n", name, link_name(w, m[j].link));
        for (enum wan_family family = 0; p->sticky && family < families(w->c); family++)
            write_sticky_set(w, p, name, m[j].link, family);
    }
    if (*p->last_resort && last >= 0 && !is_member(w->c, p, (unsigned)last))
        fprintf(w->out, "\n\tcounter new-%s-%s {\n\t}\n", name, p->last_resort);
}

/* --- links ----------------------------------------------------------------------------- */

static void write_marking(const struct writer *w, const char *what, uint32_t mark)
{
    fprintf(w->out, "\t\t%s mark set %s mark & 0x%08x | 0x%08x\n", what, what, ~w->c->mark_mask,
            mark);
}

static void write_link_chains(const struct writer *w, unsigned i)
{
    const struct gateway_link *l = &w->c->links[i];

    fprintf(w->out, "\n\tchain set-%s {\n", l->name);
    write_marking(w, "meta", l->mark);
    fprintf(w->out, "\t}\n\n\tchain take-%s {\n", l->name);
    write_marking(w, "ct", l->mark);
    write_marking(w, "meta", l->mark);
    fputs("\t}\n", w->out);
}

/* --- policies -------------------------------------------------------------------------- */

/* What is remembered of a source, or of it and its destination. */
static void write_key(const struct writer *w, const struct gateway_policy *p,
                      enum wan_family family)
{
    const char *ip = ip_of(family);

    fprintf(w->out, "%s saddr", ip);
    if (p->sticky == GATEWAY_STICKY_BOTH)
        fprintf(w->out, " . %s daddr", ip);
}

/* It sticks to this link now and to no other. */
static void write_sticking(const struct writer *w, const struct gateway_policy *p,
                           const char *policy, unsigned link, enum wan_family family)
{
    struct gateway_member m[GATEWAY_MEMBERS_MAX];
    unsigned n = gateway_policy_members(w->c, p, m);

    for (unsigned i = 0; i < n; i++) {
        fprintf(w->out, "\t\t%s @stick%s-%s-%s { ", m[i].link == link ? "update" : "delete",
                digit_of(family), policy, link_name(w, m[i].link));
        write_key(w, p, family);
        fputs(" }\n", w->out);
    }
}

static void write_to(const struct writer *w, const struct gateway_policy *p, const char *policy,
                     unsigned link, enum wan_family family)
{
    const char *name = link_name(w, link);

    fprintf(w->out, "\n\tchain to%s-%s-%s {\n\t\tcounter name \"new-%s-%s\"\n", digit_of(family),
            policy, name, policy, name);
    if (p->sticky && is_member(w->c, p, link))
        write_sticking(w, p, policy, link, family);
    fprintf(w->out, "\t\tgoto take-%s\n\t}\n", name);
}

/* By chance, each as often as its weight says. */
static void write_draw(const struct writer *w, const char *policy,
                       const struct balance_choice *choice, enum wan_family family)
{
    const char *sep = " vmap { ";
    uint32_t at = 0;

    if (choice->n == 1)
        fprintf(w->out, "\t\tgoto to%s-%s-%s\n", digit_of(family), policy,
                link_name(w, choice->v[0].link));
    if (choice->n < 2)
        return;
    fprintf(w->out, "\t\tnumgen random mod %u", choice->total);
    for (unsigned i = 0; i < choice->n; i++) {
        const struct gateway_member *m = &choice->v[i];

        fprintf(w->out, "%s%u", sep, at);
        at += m->weight;
        if (m->weight > 1)
            fprintf(w->out, "-%u", at - 1);
        fprintf(w->out, " : goto to%s-%s-%s", digit_of(family), policy, link_name(w, m->link));
        sep = ", ";
    }
    fputs(" }\n", w->out);
}

static void write_pick(const struct writer *w, unsigned i, enum wan_family family)
{
    const struct gateway_policy *p = &w->c->policies[i];
    unsigned keepers[GATEWAY_MEMBERS_MAX + 1], n;
    char name[GATEWAY_POLICY_NAME_MAX];
    struct balance_choice choice;

    gateway_policy_name(w->c, i, name);
    balance_choose(w->c, w->f, p, family, &choice);
    n = balance_keepers(w->c, w->f, p, family, &choice, keepers);
    for (unsigned j = 0; j < n; j++)
        write_to(w, p, name, keepers[j], family);
    fprintf(w->out, "\n\tchain pick%s-%s {\n", digit_of(family), name);
    for (unsigned j = 0; p->sticky && j < n; j++) {
        if (!is_member(w->c, p, keepers[j]))
            continue;
        fputs("\t\t", w->out);
        write_key(w, p, family);
        fprintf(w->out, " @stick%s-%s-%s goto to%s-%s-%s\n", digit_of(family), name,
                link_name(w, keepers[j]), digit_of(family), name, link_name(w, keepers[j]));
    }
    write_draw(w, name, &choice, family);
    fputs("\t}\n", w->out);
}

/* --- which packets --------------------------------------------------------------------- */

static void write_ranges(FILE *out, const char *what, const struct config_range *v, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        fprintf(out, "%s%u", i ? ", " : what, v[i].min);
        if (v[i].max != v[i].min)
            fprintf(out, "-%u", v[i].max);
    }
    if (n)
        fputs(" } ", out);
}

/* Returns false when none of the prefixes is of the family, and there are some. */
static bool write_prefixes(FILE *out, const char *what, const struct ip_prefix *v, unsigned n,
                           enum wan_family family)
{
    char text[IP_PREFIX_STR_MAX];
    unsigned any = 0;

    for (unsigned i = 0; i < n; i++)
        if (wan_family_of(&v[i].addr) == family) {
            if (!any++)
                fprintf(out, "%s %s { ", ip_of(family), what);
            fprintf(out, "%s%s", any > 1 ? ", " : "", ip_prefix_str(&v[i], text));
        }
    if (any)
        fputs(" } ", out);
    return any || !n;
}

static bool has_family(const struct ip_prefix *v, unsigned n, enum wan_family family)
{
    for (unsigned i = 0; i < n; i++)
        if (wan_family_of(&v[i].addr) == family)
            return true;
    return !n;
}

static void write_match(const struct writer *w, const struct gateway_match *m,
                        enum wan_family family)
{
    static const char *const protocols[GATEWAY_ONLY_COUNT] = {
        [GATEWAY_ONLY_TCP] = "meta l4proto 6 ",
        [GATEWAY_ONLY_UDP] = "meta l4proto 17 ",
        [GATEWAY_ONLY_ICMP] = "meta l4proto { 1, 58 } ",
    };
    uint32_t mask = m->mark_mask ? m->mark_mask : m->mark;
    char dscp[16];

    write_prefixes(w->out, "saddr", m->source, m->n_source, family);
    write_prefixes(w->out, "daddr", m->destination, m->n_destination, family);
    snprintf(dscp, sizeof(dscp), "%s dscp { ", ip_of(family));
    write_ranges(w->out, dscp, m->dscp, m->n_dscp);
    if (protocols[m->protocol])
        fputs(protocols[m->protocol], w->out);
    else if (m->n_ports)
        fputs("meta l4proto { 6, 17 } ", w->out);
    write_ranges(w->out, "th dport { ", m->ports, m->n_ports);
    if (mask)
        fprintf(w->out, "meta mark & 0x%08x == 0x%08x ", mask, m->mark);
}

/* What is this machine's own, or in reach, is not the links'. */
static void write_near(const struct writer *w, const struct gateway_policy *p,
                       enum wan_family family)
{
    if (!has_family(p->reach, p->n_reach, family) || !p->n_reach)
        return;
    fputs("\t\t", w->out);
    write_prefixes(w->out, "daddr", p->reach, p->n_reach, family);
    fputs("accept\n", w->out);
}

static void write_from(const struct writer *w, unsigned first)
{
    const struct gateway_policy *p = &w->c->policies[first];
    char name[GATEWAY_POLICY_NAME_MAX];

    fprintf(w->out,
            "\n\tchain from-%u {\n\t\tfib daddr type { local, broadcast, multicast } accept\n",
            first);
    for (enum wan_family family = 0; family < families(w->c); family++)
        write_near(w, p, family);
    for (unsigned i = first; i < w->c->n_policies; i++) {
        const struct gateway_policy *q = &w->c->policies[i];

        if (strcmp(q->ingress, p->ingress) != 0)
            continue;
        gateway_policy_name(w->c, i, name);
        for (enum wan_family family = 0; family < families(w->c); family++) {
            if (!has_family(q->match.source, q->match.n_source, family) ||
                !has_family(q->match.destination, q->match.n_destination, family))
                continue;
            fprintf(w->out, "\t\tmeta nfproto ipv%s ", digit_of(family));
            write_match(w, &q->match, family);
            fprintf(w->out, "goto pick%s-%s\n", digit_of(family), name);
        }
    }
    fputs("\t}\n", w->out);
}

/* --- every packet ---------------------------------------------------------------------- */

/* A flow with a mark that is no link's any more has no way. */
static void write_restore(const struct writer *w)
{
    const char *sep = "{ ";

    fprintf(w->out, "\t\tct state { invalid, untracked } accept\n\t\tct mark & 0x%08x vmap ",
            w->c->mark_mask);
    for (unsigned i = 0; i < w->c->n_links; i++)
        if (w->c->links[i].mark) {
            fprintf(w->out, "%s0x%08x : goto set-%s", sep, w->c->links[i].mark, link_name(w, i));
            sep = ", ";
        }
    fprintf(w->out, " }\n\t\tct mark & 0x%08x != 0x00000000 accept\n", w->c->mark_mask);
}

static bool is_steered_first(const struct writer *w, unsigned i, bool local)
{
    const struct gateway_policy *p = &w->c->policies[i];

    return gateway_policy_is_first(w->c, i) && gateway_is_steered(w->c, p->ingress) &&
           !strcmp(p->ingress, GATEWAY_LOCAL) == local;
}

/* A mark that somebody else has given what comes from there would be a way. */
static void write_clear(const struct writer *w)
{
    bool any = false;

    for (unsigned i = 0; i < w->c->n_policies; i++)
        if (is_steered_first(w, i, false)) {
            fprintf(w->out, "%s\"%s\"", any ? ", " : "\t\tiifname { ", w->c->policies[i].ingress);
            any = true;
        }
    if (any)
        fprintf(w->out, " } meta mark set meta mark & 0x%08x\n", ~w->c->mark_mask);
}

static void write_in(const struct writer *w)
{
    const char *sep = "{ ";

    fputs("\n\tchain mark-in {\n\t\ttype filter hook prerouting priority mangle; policy accept;\n",
          w->out);
    write_clear(w);
    write_restore(w);
    fputs("\t\tiifname vmap ", w->out);
    for (unsigned i = 0; i < w->c->n_links; i++)
        if (w->c->links[i].mark) {
            fprintf(w->out, "%s\"%s\" : goto take-%s", sep, w->c->links[i].device, link_name(w, i));
            sep = ", ";
        }
    fputs(" }\n\t\tct state != new accept\n", w->out);
    sep = "\t\tiifname vmap { ";
    for (unsigned i = 0; i < w->c->n_policies; i++)
        if (is_steered_first(w, i, false)) {
            fprintf(w->out, "%s\"%s\" : goto from-%u", sep, w->c->policies[i].ingress, i);
            sep = ", ";
        }
    fprintf(w->out, "%s\t}\n", *sep == ',' ? " }\n" : "");
}

/* This machine's own. What it has not bound to an interface, and main would send out by a link, may
 * be led to another one. */
static void write_out(const struct writer *w)
{
    const char *sep = "{ ";

    fputs("\n\tchain mark-out {\n\t\ttype route hook output priority mangle; policy accept;\n",
          w->out);
    write_restore(w);
    for (unsigned i = 0; i < w->c->n_policies; i++) {
        if (!is_steered_first(w, i, true))
            continue;
        fprintf(w->out,
                "\t\tct state != new accept\n\t\tmeta mark & 0x%08x != 0x00000000 accept\n"
                "\t\toifname ",
                w->c->mark_mask);
        for (unsigned j = 0; j < w->c->n_links; j++)
            if (w->c->links[j].mark) {
                fprintf(w->out, "%s\"%s\"", sep, w->c->links[j].device);
                sep = ", ";
            }
        fprintf(w->out, " } goto from-%u\n", i);
    }
    fputs("\t}\n", w->out);
}

/* A socket that is bound to an interface leaves there whatever link was chosen: its flow is that
 * link's, so that the answers get its mark. */
static void write_bound(const struct writer *w)
{
    bool local = false;

    for (unsigned i = 0; i < w->c->n_policies; i++)
        local |= is_steered_first(w, i, true);
    if (!local)
        return;
    fputs("\n\tchain mark-bound {\n"
          "\t\ttype filter hook postrouting priority mangle; policy accept;\n"
          "\t\tct state != new accept\n",
          w->out);
    for (unsigned i = 0; i < w->c->n_links; i++)
        if (w->c->links[i].mark)
            fprintf(w->out, "\t\toifname \"%s\" ct mark & 0x%08x != 0x%08x goto take-%s\n",
                    w->c->links[i].device, w->c->mark_mask, w->c->links[i].mark, link_name(w, i));
    fputs("\t}\n", w->out);
}

void marks_write(FILE *out, const struct gateway_config *c, const struct wan_facts *f)
{
    struct writer w = {out, c, f};

    if (!marks_are_used(c))
        return;
    for (unsigned i = 0; i < c->n_policies; i++)
        if (gateway_is_steered(c, c->policies[i].ingress))
            write_kept(&w, i);
    for (unsigned i = 0; i < c->n_links; i++)
        if (c->links[i].mark)
            write_link_chains(&w, i);
    for (unsigned i = 0; i < c->n_policies; i++)
        for (enum wan_family family = 0;
             gateway_is_steered(c, c->policies[i].ingress) && family < families(c); family++)
            write_pick(&w, i, family);
    for (unsigned i = 0; i < c->n_policies; i++)
        if (is_steered_first(&w, i, true) || is_steered_first(&w, i, false))
            write_from(&w, i);
    write_in(&w);
    write_out(&w);
    write_bound(&w);
}
