#include "wan/firewall.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nft/nftable.h"
#include "wan/marks.h"
#include "wan/translate.h"

/* A chain without rules, whose name tells what the table holds: comments cannot be changed. */
#define ID_CHAIN "chain id-"

/* --- pieces ---------------------------------------------------------------------------- */

/* Of a policy whose way is not chosen by flow (marks.c). */
static const struct gateway_link *link_of(const struct gateway_config *c,
                                          const struct gateway_policy *p)
{
    int i = gateway_config_link(c, p->pin);

    return i < 0 || gateway_is_steered(c, p->ingress) ? NULL : &c->links[i];
}

/* Which links, or the interfaces of which policies, a set holds. */
typedef bool choose_fn(const struct gateway_config *c, unsigned i);

static bool is_tunnel(const struct gateway_config *c, unsigned i)
{
    return c->links[i].type == GATEWAY_LINK_TUNNEL;
}

static bool translates(const struct gateway_config *c, unsigned i)
{
    return translate_is_on(c, i, WAN_V4) || translate_is_on(c, i, WAN_V6);
}

static bool translates_unmarked(const struct gateway_config *c, unsigned i)
{
    return translates(c, i) && !c->links[i].mark;
}

static bool is_marked(const struct gateway_config *c, unsigned i)
{
    const struct gateway_link *l = link_of(c, &c->policies[i]);

    return l && translates(c, (unsigned)(l - c->links));
}

static bool is_steered(const struct gateway_config *c, unsigned i)
{
    const struct gateway_policy *p = &c->policies[i];

    return gateway_policy_is_first(c, i) && gateway_is_steered(c, p->ingress) &&
           strcmp(p->ingress, GATEWAY_LOCAL) != 0;
}

static bool is_local(const struct gateway_config *c, unsigned i)
{
    return !strcmp(c->policies[i].ingress, GATEWAY_LOCAL);
}

static bool any_ingress(const struct gateway_config *c, unsigned i)
{
    return gateway_policy_is_first(c, i) && !is_local(c, i);
}

static bool any_of(const struct gateway_config *c, choose_fn *choose, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (choose(c, i))
            return true;
    return false;
}

/* `{ "mpq1", "mpq2" }` of the interfaces that are chosen. */
static void write_links(FILE *out, const struct gateway_config *c, choose_fn *choose)
{
    const char *sep = "{ ";

    for (unsigned i = 0; i < c->n_links; i++)
        if (choose(c, i)) {
            fprintf(out, "%s\"%s\"", sep, c->links[i].device);
            sep = ", ";
        }
    fputs(" }", out);
}

static void write_ingresses(FILE *out, const struct gateway_config *c, choose_fn *choose,
                            const struct gateway_link *to)
{
    const char *sep = "{ ";

    for (unsigned i = 0; i < c->n_policies; i++)
        if (choose(c, i) && (!to || link_of(c, &c->policies[i]) == to)) {
            fprintf(out, "%s\"%s\"", sep, c->policies[i].ingress);
            sep = ", ";
        }
    fputs(" }", out);
}

/* A rule for those prefixes of reach that are of the family. */
static void write_reach(FILE *out, const struct gateway_policy *p, unsigned family, bool outwards)
{
    const char *sep = "{ ";
    char text[IP_PREFIX_STR_MAX];

    for (unsigned i = 0; i < p->n_reach; i++) {
        if (p->reach[i].addr.family != family)
            continue;
        if (*sep == '{')
            fprintf(out, "\t\t%s \"%s\" %s %s ", outwards ? "iifname" : "oifname", p->ingress,
                    family == 4 ? "ip" : "ip6", outwards ? "daddr" : "saddr");
        fprintf(out, "%s%s", sep, ip_prefix_str(&p->reach[i], text));
        sep = ", ";
    }
    if (*sep == ',')
        fputs(" } counter accept\n", out);
}

/* --- chains ---------------------------------------------------------------------------- */

static void write_mark(FILE *out, const struct gateway_config *c)
{
    char set[64];

    if (!any_of(c, is_marked, c->n_policies))
        return;
    snprintf(set, sizeof(set), "meta mark set meta mark & 0x%08x | 0x%08x", ~c->mark_mask, c->mark);
    fputs(
        "\n\tchain translated {\n\t\ttype filter hook prerouting priority mangle; policy accept;\n"
        "\t\tiifname ",
        out);
    write_ingresses(out, c, is_marked, NULL);
    fprintf(out, " %s\n\t\tiifname ", set);
    write_links(out, c, translates_unmarked);
    fprintf(out, " ct state established,related %s\n\t}\n", set);
}

static void write_input(FILE *out, const struct gateway_config *c)
{
    if (!c->n_open_udp)
        return;
    fputs("\n\tchain input {\n\t\ttype filter hook input priority filter; policy accept;\n"
          "\t\tudp dport { ",
          out);
    for (unsigned i = 0; i < c->n_open_udp; i++) {
        fprintf(out, "%s%u", i ? ", " : "", c->open_udp[i].min);
        if (c->open_udp[i].max != c->open_udp[i].min)
            fprintf(out, "-%u", c->open_udp[i].max);
    }
    fputs(" } counter accept\n", out);
    if (any_of(c, is_tunnel, c->n_links)) {
        static const char *const rules[] = {" ct state established,related accept\n",
                                            " meta l4proto { 1, 58 } accept\n", " counter drop\n"};

        for (unsigned i = 0; i < 3; i++) {
            fputs("\t\tiifname ", out);
            write_links(out, c, is_tunnel);
            fputs(rules[i], out);
        }
    }
    fputs("\t}\n", out);
}

static void write_reaches(FILE *out, const struct gateway_policy *p)
{
    for (unsigned outwards = 0; outwards < 2; outwards++) {
        write_reach(out, p, 4, outwards);
        write_reach(out, p, 6, outwards);
    }
}

/* Between the interface of a policy and a link, both ways. */
static void write_accepts(FILE *out, const struct gateway_config *c, const struct gateway_policy *p,
                          const struct gateway_link *l)
{
    fprintf(out, "\t\tiifname \"%s\" oifname \"%s\" counter accept\n", p->ingress, l->device);
    translate_write_accepts(out, c, (unsigned)(l - c->links), p->ingress);
}

/* What a policy allows. Of an interface whose flows have a choice of links it is all of them: their
 * marks say which. */
static void write_policy(FILE *out, const struct gateway_config *c, unsigned i)
{
    const struct gateway_link *l = link_of(c, &c->policies[i]);

    if (is_steered(c, i) || l)
        write_reaches(out, &c->policies[i]);
    if (l)
        write_accepts(out, c, &c->policies[i], l);
    for (unsigned j = 0; is_steered(c, i) && j < c->n_links; j++)
        if (c->links[j].mark)
            write_accepts(out, c, &c->policies[i], &c->links[j]);
}

/* All that is accepted comes before all that is dropped: what one policy allows does not end at
 * another. */
static void write_forward(FILE *out, const struct gateway_config *c)
{
    fprintf(out, "\n\tchain forward {\n\t\ttype filter hook forward priority filter; policy %s;\n",
            c->forward == GATEWAY_FORWARD_DROP ? "drop" : "accept");
    if (any_of(c, is_tunnel, c->n_links)) {
        fputs("\t\toifname ", out);
        write_links(out, c, is_tunnel);
        fputs(" tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu\n", out);
    }
    for (unsigned i = 0; i < c->n_policies; i++)
        write_policy(out, c, i);
    for (unsigned i = 0; i < c->n_policies; i++)
        if (any_ingress(c, i))
            fprintf(out, "\t\tiifname \"%s\" counter drop\n\t\toifname \"%s\" counter drop\n",
                    c->policies[i].ingress, c->policies[i].ingress);
    fputs("\t}\n", out);
}

/* What leaves by a link that masquerades and has no mark: its policies name it. */
static void write_masquerade(FILE *out, const struct gateway_config *c,
                             const struct gateway_link *l)
{
    bool used = false;

    for (unsigned j = 0; j < c->n_policies; j++)
        used |= link_of(c, &c->policies[j]) == l;
    if (!used)
        return;
    fputs("\t\tiifname ", out);
    write_ingresses(out, c, is_marked, l);
    fprintf(out, " oifname \"%s\" masquerade\n", l->device);
}

/* The same of a link with a mark: whatever has a choice of links may leave by it. */
static void write_steered_masquerade(FILE *out, const struct gateway_config *c,
                                     const struct gateway_link *l)
{
    if (any_of(c, is_steered, c->n_policies)) {
        fputs("\t\tiifname ", out);
        write_ingresses(out, c, is_steered, NULL);
        fprintf(out, " oifname \"%s\" masquerade\n", l->device);
    }
    if (any_of(c, is_local, c->n_policies))
        fprintf(out, "\t\toifname \"%s\" fib saddr type local masquerade\n", l->device);
}

static void write_nat(FILE *out, const struct gateway_config *c, const struct wan_facts *f)
{
    bool any = false;

    for (unsigned i = 0; i < c->n_links; i++)
        any |= c->links[i].masquerade && c->links[i].mark;
    if (!any && !c->n_nat && !any_of(c, is_marked, c->n_policies))
        return;
    fputs("\n\tchain postrouting {\n"
          "\t\ttype nat hook postrouting priority srcnat - 5; policy accept;\n",
          out);
    translate_write_out(out, c, f);
    for (unsigned i = 0; i < c->n_links; i++) {
        if (!c->links[i].masquerade)
            continue;
        if (c->links[i].mark)
            write_steered_masquerade(out, c, &c->links[i]);
        else
            write_masquerade(out, c, &c->links[i]);
    }
    fputs("\t}\n", out);
}

static void write_all_ingresses(FILE *out, const struct gateway_config *c)
{
    write_ingresses(out, c, any_ingress, NULL);
}

/* Nothing that a policy leads to a link that translates leaves by it untranslated; what it reaches
 * by the table main is not for a link. */
static void write_last(FILE *out, const struct gateway_config *c, const struct wan_facts *f)
{
    if (!c->n_policies || !any_of(c, translates, c->n_links))
        return;
    fputs("\n\tchain last {\n"
          "\t\ttype filter hook postrouting priority srcnat + 200; policy accept;\n",
          out);
    for (unsigned i = 0; i < c->n_policies; i++) {
        write_reach(out, &c->policies[i], 4, true);
        write_reach(out, &c->policies[i], 6, true);
    }
    translate_write_last(out, c, f, write_all_ingresses);
    fputs("\t}\n", out);
}

/* --- the whole ------------------------------------------------------------------------- */

/* Those that are not empty. */
static unsigned count_lines(const char *text)
{
    unsigned n = 0;

    for (const char *s = text; *s; s++)
        n += *s == '\n' && s != text && s[-1] != '\n';
    return n;
}

/* FNV-1a. */
static uint32_t hash(const char *s)
{
    uint32_t h = 0x811c9dc5u;

    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 0x01000193u;
    return h;
}

int firewall_text(const struct gateway_config *c, const struct wan_facts *f,
                  char ret_id[static WAN_ID_MAX], char **ret)
{
    char *body = NULL, *all;
    size_t len = 0;
    FILE *out;

    *ret_id = 0;
    *ret = NULL;
    if (!c->n_policies && !c->n_open_udp && !c->n_nat && !c->n_port_forwards && !marks_are_used(c))
        return 0;
    out = open_memstream(&body, &len);
    if (!out)
        return -ENOMEM;
    marks_write(out, c, f);
    write_mark(out, c);
    write_input(out, c);
    write_forward(out, c);
    translate_write_in(out, c, f);
    write_nat(out, c, f);
    write_last(out, c, f);
    if (fclose(out)) {
        free(body);
        return -ENOMEM;
    }
    /* Around the body are four lines: the table, the chain that has the id, the brace. */
    snprintf(ret_id, WAN_ID_MAX, "%08x-%u", hash(body), count_lines(body) + 4);
    if (asprintf(&all,
                 "table " NFTABLE_FAMILY " " NFTABLE_NAME " {\n\t" ID_CHAIN "%s {\n\t}\n%s}\n",
                 ret_id, body) < 0) {
        free(body);
        return -ENOMEM;
    }
    free(body);
    *ret = all;
    return 0;
}

void firewall_id(const char *listing, char ret_id[static WAN_ID_MAX])
{
    const char *at = strstr(listing, ID_CHAIN);
    unsigned said = 0, digest = 0;

    snprintf(ret_id, WAN_ID_MAX, "changed");
    if (at && sscanf(at + strlen(ID_CHAIN), "%8x-%u", &digest, &said) == 2 &&
        said == count_lines(listing))
        snprintf(ret_id, WAN_ID_MAX, "%08x-%u", digest, said);
}
