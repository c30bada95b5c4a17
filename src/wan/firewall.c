#include "wan/firewall.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nft/nftable.h"
#include "wan/translate.h"

#define COMMENT "mpquic gateway "

/* --- pieces ---------------------------------------------------------------------------- */

static const struct gateway_link *link_of(const struct gateway_config *c,
                                          const struct gateway_policy *p)
{
    int i = gateway_config_link(c, p->pin);

    return i < 0 ? NULL : &c->links[i];
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

static bool is_marked(const struct gateway_config *c, unsigned i)
{
    const struct gateway_link *l = link_of(c, &c->policies[i]);

    return l && translates(c, (unsigned)(l - c->links));
}

static bool any_ingress(const struct gateway_config *c, unsigned i)
{
    return i < c->n_policies;
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
    write_links(out, c, translates);
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

/* What a policy allows, both ways. */
static void write_accepts(FILE *out, const struct gateway_config *c, const struct gateway_policy *p,
                          const struct gateway_link *l)
{
    for (unsigned outwards = 0; outwards < 2; outwards++) {
        write_reach(out, p, 4, outwards);
        write_reach(out, p, 6, outwards);
    }
    fprintf(out, "\t\tiifname \"%s\" oifname \"%s\" counter accept\n", p->ingress, l->device);
    translate_write_accepts(out, c, (unsigned)(l - c->links), p->ingress);
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
    for (unsigned i = 0; i < c->n_policies; i++) {
        const struct gateway_link *l = link_of(c, &c->policies[i]);

        if (l)
            write_accepts(out, c, &c->policies[i], l);
    }
    for (unsigned i = 0; i < c->n_policies; i++)
        fprintf(out, "\t\tiifname \"%s\" counter drop\n\t\toifname \"%s\" counter drop\n",
                c->policies[i].ingress, c->policies[i].ingress);
    fputs("\t}\n", out);
}

static void write_nat(FILE *out, const struct gateway_config *c, const struct wan_facts *f)
{
    if (!c->n_nat && !any_of(c, is_marked, c->n_policies))
        return;
    fputs("\n\tchain postrouting {\n"
          "\t\ttype nat hook postrouting priority srcnat - 5; policy accept;\n",
          out);
    translate_write_out(out, c, f);
    for (unsigned i = 0; i < c->n_links; i++) {
        bool used = false;

        for (unsigned j = 0; j < c->n_policies; j++)
            used |= c->links[i].masquerade && link_of(c, &c->policies[j]) == &c->links[i];
        if (!used)
            continue;
        fputs("\t\tiifname ", out);
        write_ingresses(out, c, is_marked, &c->links[i]);
        fprintf(out, " oifname \"%s\" masquerade\n", c->links[i].device);
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
    if (!c->n_policies && !c->n_open_udp && !c->n_nat && !c->n_port_forwards)
        return 0;
    out = open_memstream(&body, &len);
    if (!out)
        return -ENOMEM;
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
    /* Around the body are three lines: the table, its comment, the brace. */
    snprintf(ret_id, WAN_ID_MAX, "%08x-%u", hash(body), count_lines(body) + 3);
    if (asprintf(&all,
                 "table " NFTABLE_FAMILY " " NFTABLE_NAME " {\n\tcomment \"" COMMENT "%s\"\n%s}\n",
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
    const char *at = strstr(listing, COMMENT);
    unsigned said = 0, digest = 0;

    snprintf(ret_id, WAN_ID_MAX, "changed");
    if (at && sscanf(at + strlen(COMMENT), "%8x-%u", &digest, &said) == 2 &&
        said == count_lines(listing))
        snprintf(ret_id, WAN_ID_MAX, "%08x-%u", digest, said);
}
