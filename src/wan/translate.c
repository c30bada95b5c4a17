/* Each entry of nat is two rules, one for each direction:
 *
 *      prerouting   iifname LINK daddr OUTSIDE  dnat to INSIDE
 *      postrouting  oifname LINK saddr INSIDE   snat to OUTSIDE
 *
 * They look at the first packet of a flow only; conntrack does the same to all others, and turns it
 * round in the answers, and in the ICMP errors about them, whose inner packet a rule could not
 * reach. So an answer of a flow that came in is never translated again, and host bits stay as they
 * are, because a prefix is mapped to one of the same length.
 *
 * Longer prefixes come first, so that one address of an outside network can lead elsewhere (the ::1
 * of a delegated prefix). A forwarded port of a stated address comes before all of them, one of any
 * address after them.
 *
 * What is translated is guarded twice. The route needs a mark that the same table sets: without the
 * table nothing leaves (desired.c). And the last chain lets out only what has an outside address of
 * the link: also of a flow that began while something else was translated. */
#include "wan/translate.h"

#include <string.h>

static const char *const families[WAN_FAMILIES] = {"ip", "ip6"};

/* --- what holds ------------------------------------------------------------------------ */

static bool is_of(const struct gateway_config *c, const struct gateway_map *m, unsigned link,
                  enum wan_family family)
{
    return wan_family_of(&m->inside.addr) == family && !strcmp(m->link, c->links[link].name);
}

static bool forwards_to(const struct gateway_config *c, const struct gateway_port_forward *p,
                        unsigned link)
{
    return *p->link ? !strcmp(p->link, c->links[link].name)
                    : c->links[link].type == GATEWAY_LINK_WAN;
}

static bool has_map(const struct gateway_config *c, unsigned link, enum wan_family family)
{
    for (unsigned i = 0; i < c->n_nat; i++)
        if (is_of(c, &c->nat[i], link, family))
            return true;
    return false;
}

static bool has_port_forward(const struct gateway_config *c, unsigned link, enum wan_family family)
{
    for (unsigned i = 0; i < c->n_port_forwards; i++)
        if (forwards_to(c, &c->port_forwards[i], link) &&
            wan_family_of(&c->port_forwards[i].to) == family)
            return true;
    return false;
}

bool translate_is_on(const struct gateway_config *c, unsigned link, enum wan_family family)
{
    return c->links[link].masquerade || has_map(c, link, family);
}

/* The n-th part of that length; false: there are not so many. */
static bool part_of(const struct ip_prefix *whole, uint8_t len, uint32_t n, struct ip_prefix *ret)
{
    unsigned room = len - whole->len;
    struct ip_prefix p = ip_prefix_network(whole);

    if (len < whole->len || (room < 32 && n >> room))
        return false;
    p.len = len;
    for (unsigned i = 0; i < 32 && i < room; i++)
        if (n & 1u << i)
            p.addr.b[(len - 1 - i) / 8] |= (uint8_t)(0x80 >> (len - 1 - i) % 8);
    *ret = p;
    return true;
}

bool translate_outside(const struct gateway_config *c, const struct wan_facts *f, unsigned i,
                       struct ip_prefix *ret)
{
    const struct gateway_map *m = &c->nat[i];
    int link = gateway_config_link(c, m->link);

    if (!m->delegated) {
        *ret = ip_prefix_network(&m->outside);
        return true;
    }
    return link >= 0 && f->link[link].delegated.addr.family == 6 &&
           part_of(&f->link[link].delegated, m->inside.len, m->subnet, ret);
}

enum wan_reason translate_fault(const struct gateway_config *c, const struct wan_facts *f,
                                unsigned link)
{
    struct ip_prefix outside;

    for (unsigned i = 0; i < c->n_nat; i++)
        if (c->nat[i].delegated && is_of(c, &c->nat[i], link, WAN_V6) &&
            !translate_outside(c, f, i, &outside))
            return f->link[link].delegated.addr.family ? WAN_REASON_SMALL_PREFIX
                                                       : WAN_REASON_NO_PREFIX;
    return WAN_REASON_UP;
}

/* The address at the same place in a prefix of the same length. */
static struct ip_addr moved(const struct ip_addr *a, const struct ip_prefix *to)
{
    struct ip_addr r = to->addr;

    for (unsigned bit = to->len; bit < ip_addr_bits(a); bit++)
        r.b[bit / 8] |= (uint8_t)(a->b[bit / 8] & 0x80 >> bit % 8);
    return r;
}

struct ip_addr translate_source(const struct gateway_config *c, const struct wan_facts *f,
                                unsigned link, const struct ip_addr *inside)
{
    for (unsigned i = 0; i < c->n_nat; i++) {
        const struct gateway_map *m = &c->nat[i];
        struct ip_prefix outside;

        if (!m->inbound && is_of(c, m, link, wan_family_of(inside)) &&
            ip_prefix_contains(&m->inside, inside) && translate_outside(c, f, i, &outside))
            return moved(inside, &outside);
    }
    return (struct ip_addr){0};
}

struct ip_addr translate_target(const struct gateway_config *c, const struct wan_facts *f,
                                unsigned link, const struct ip_addr *outside, unsigned *ret_map)
{
    struct ip_addr found = {0};
    int best = -1;

    for (unsigned i = 0; i < c->n_nat; i++) {
        const struct gateway_map *m = &c->nat[i];
        struct ip_prefix p;

        if (!is_of(c, m, link, wan_family_of(outside)) || !translate_outside(c, f, i, &p) ||
            !ip_prefix_contains(&p, outside) || p.len <= best)
            continue;
        best = p.len;
        found = moved(outside, &m->inside);
        if (ret_map)
            *ret_map = i;
    }
    return found;
}

static bool is_for(const struct gateway_port_forward *p, uint8_t protocol, uint16_t port)
{
    return protocol == (p->protocol == GATEWAY_PROTOCOL_TCP ? IPPROTO_TCP : IPPROTO_UDP) &&
           port >= p->ports.min && port <= p->ports.max;
}

/* The forwarded port, of those to a stated address or of the others; NULL: none. */
static const struct gateway_port_forward *find_port(const struct gateway_config *c, unsigned link,
                                                    const struct ip_addr *outside, bool stated,
                                                    uint8_t protocol, uint16_t port)
{
    for (unsigned i = 0; i < c->n_port_forwards; i++) {
        const struct gateway_port_forward *p = &c->port_forwards[i];

        if (forwards_to(c, p, link) && stated == (p->address.family != 0) &&
            p->to.family == outside->family && is_for(p, protocol, port) &&
            (!stated || ip_addr_equal(&p->address, outside)))
            return p;
    }
    return NULL;
}

struct ip_addr translate_inbound(const struct gateway_config *c, const struct wan_facts *f,
                                 unsigned link, const struct ip_addr *outside, bool own,
                                 uint8_t protocol, uint16_t *port)
{
    const struct gateway_port_forward *p = find_port(c, link, outside, true, protocol, *port);
    struct ip_addr to = p ? p->to : translate_target(c, f, link, outside, NULL);

    if (!to.family && own) {
        p = find_port(c, link, outside, false, protocol, *port);
        to = p ? p->to : to;
    }
    if (p && p->to_port)
        *port = p->to_port;
    return to;
}

/* --- nftables -------------------------------------------------------------------------- */

static const char *net_str(const struct ip_prefix *p, char buf[static IP_PREFIX_STR_MAX])
{
    return p->len == ip_addr_bits(&p->addr) ? ip_addr_str(&p->addr, buf) : ip_prefix_str(p, buf);
}

static void write_map(FILE *out, const struct gateway_config *c, const struct wan_facts *f,
                      unsigned i, bool inwards)
{
    const struct gateway_map *m = &c->nat[i];
    enum wan_family family = wan_family_of(&m->inside.addr);
    int link = gateway_config_link(c, m->link);
    char from[IP_PREFIX_STR_MAX], to[IP_PREFIX_STR_MAX];
    struct ip_prefix outside;
    bool whole = m->inside.len < ip_addr_bits(&m->inside.addr);

    if (link < 0 || !translate_outside(c, f, i, &outside) || (family == WAN_V6 && !c->ipv6))
        return;
    net_str(inwards ? &outside : &m->inside, from);
    net_str(inwards ? &m->inside : &outside, to);
    fprintf(out, "\t\t%s \"%s\" %s %s %s counter %s %s %sto %s\n", inwards ? "iifname" : "oifname",
            c->links[link].device, families[family], inwards ? "daddr" : "saddr", from,
            inwards ? "dnat" : "snat", families[family], whole ? "prefix " : "", to);
}

/* To an address that is stated, or to any. */
static void write_port_forwards(FILE *out, const struct gateway_config *c, unsigned link,
                                bool stated)
{
    for (unsigned i = 0; i < c->n_port_forwards; i++) {
        const struct gateway_port_forward *p = &c->port_forwards[i];
        enum wan_family family = wan_family_of(&p->to);
        char text[IP_ADDR_STR_MAX];

        if (!forwards_to(c, p, link) || stated != (p->address.family != 0) ||
            (family == WAN_V6 && !c->ipv6))
            continue;
        fprintf(out, "\t\tiifname \"%s\" ", c->links[link].device);
        if (stated)
            fprintf(out, "%s daddr %s", families[family], ip_addr_str(&p->address, text));
        else
            fprintf(out, "meta nfproto ipv%c fib daddr type local", family == WAN_V4 ? '4' : '6');
        fprintf(out, " %s dport %u", p->protocol == GATEWAY_PROTOCOL_TCP ? "tcp" : "udp",
                p->ports.min);
        if (p->ports.max != p->ports.min)
            fprintf(out, "-%u", p->ports.max);
        ip_addr_str(&p->to, text);
        fprintf(out, " counter dnat %s to ", families[family]);
        if (p->to_port)
            fprintf(out, family == WAN_V4 ? "%s:%u\n" : "[%s]:%u\n", text, p->to_port);
        else
            fprintf(out, "%s\n", text);
    }
}

void translate_write_in(FILE *out, const struct gateway_config *c, const struct wan_facts *f)
{
    if (!c->n_nat && !c->n_port_forwards)
        return;
    fputs("\n\tchain prerouting {\n"
          "\t\ttype nat hook prerouting priority dstnat - 5; policy accept;\n",
          out);
    for (unsigned link = 0; link < c->n_links; link++)
        write_port_forwards(out, c, link, true);
    for (int len = 128; len > 0; len--)
        for (unsigned i = 0; i < c->n_nat; i++)
            if (c->nat[i].inside.len == len)
                write_map(out, c, f, i, true);
    for (unsigned link = 0; link < c->n_links; link++)
        write_port_forwards(out, c, link, false);
    fputs("\t}\n", out);
}

void translate_write_out(FILE *out, const struct gateway_config *c, const struct wan_facts *f)
{
    for (unsigned i = 0; i < c->n_nat; i++)
        if (!c->nat[i].inbound)
            write_map(out, c, f, i, false);
}

/* Where it translates, answers, and what is translated; else everything. */
static void write_accept(FILE *out, const struct gateway_config *c, unsigned link,
                         const char *ingress, enum wan_family family)
{
    static const char *const protocols[WAN_FAMILIES] = {"ipv4", "ipv6"};
    bool on = translate_is_on(c, link, family);

    fprintf(out, "\t\tiifname \"%s\" oifname \"%s\" meta nfproto %s%s counter accept\n",
            c->links[link].device, ingress, protocols[family],
            on ? " ct state established,related" : "");
    if (on && (has_map(c, link, family) || has_port_forward(c, link, family)))
        fprintf(out,
                "\t\tiifname \"%s\" oifname \"%s\" meta nfproto %s ct status dnat counter "
                "accept\n",
                c->links[link].device, ingress, protocols[family]);
}

void translate_write_accepts(FILE *out, const struct gateway_config *c, unsigned link,
                             const char *ingress)
{
    const struct gateway_link *l = &c->links[link];
    bool plain = true;

    for (enum wan_family family = 0; family < WAN_FAMILIES; family++)
        plain &= !has_map(c, link, family) && !has_port_forward(c, link, family);
    if (plain)
        fprintf(out, "\t\tiifname \"%s\" oifname \"%s\"%s counter accept\n", l->device, ingress,
                l->masquerade ? " ct state established,related" : "");
    for (enum wan_family family = 0; !plain && family < WAN_FAMILIES; family++)
        write_accept(out, c, link, ingress, family);
}

/* `{ A, B }` of the outsides of the link, or nothing. Returns whether there is one. */
static bool write_outsides(FILE *out, const struct gateway_config *c, const struct wan_facts *f,
                           unsigned link, enum wan_family family)
{
    char text[IP_PREFIX_STR_MAX];
    const char *sep = "{ ";
    struct ip_prefix p;

    for (unsigned i = 0; i < c->n_nat; i++) {
        if (!is_of(c, &c->nat[i], link, family) || !translate_outside(c, f, i, &p))
            continue;
        if (*sep == '{')
            fprintf(out, " %s saddr != ", families[family]);
        fprintf(out, "%s%s", sep, net_str(&p, text));
        sep = ", ";
    }
    if (*sep == ',')
        fputs(" }", out);
    return *sep == ',';
}

/* What is this machine's own is what masquerade, and the answer of a forwarded port, has. */
static void write_last_of(FILE *out, const struct gateway_config *c, const struct wan_facts *f,
                          unsigned link, enum wan_family family,
                          translate_ingresses_fn *write_ingresses)
{
    bool own = c->links[link].masquerade || has_port_forward(c, link, family);

    fputs("\t\tiifname ", out);
    write_ingresses(out, c);
    fprintf(out, " oifname \"%s\"", c->links[link].device);
    if (!write_outsides(out, c, f, link, family))
        fprintf(out, " meta nfproto ipv%c", family == WAN_V4 ? '4' : '6');
    fprintf(out, "%s counter drop\n", own ? " fib saddr type != local" : "");
}

void translate_write_last(FILE *out, const struct gateway_config *c, const struct wan_facts *f,
                          translate_ingresses_fn *write_ingresses)
{
    for (unsigned link = 0; link < c->n_links; link++)
        for (enum wan_family family = 0; family < WAN_FAMILIES; family++)
            if (translate_is_on(c, link, family) && (family == WAN_V4 || c->ipv6))
                write_last_of(out, c, f, link, family, write_ingresses);
}
