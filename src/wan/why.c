/* The kernel's own steps, on data:
 *
 *      nftables' mark -> our chain prerouting -> rules by priority -> the longest prefix in the
 * table of each that matches
 *                     -> forwarding -> our chain forward, or input -> our chain postrouting
 *
 * A lookup without a result, or a result that the rule suppresses, goes on with the next rule; a
 * route that says blackhole or unreachable ends it. The table local comes first of all and says
 * which addresses are this machine's own. Between equal prefixes and metrics IPv4 takes the route
 * that was added last (ours, and what others added after each other is dumped in that order), IPv6
 * the first.
 *
 * What is not modelled: nftables of others, rp_filter, and conditions of rules that struct fib_rule
 * cannot tell; the last are told of. */
#include "wan/why.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "wan/translate.h"

enum { PROTOCOL_ICMP = 1, PROTOCOL_UDP = 17, PROTOCOL_ICMP6 = 58 };

const char *why_end_name(enum why_end e)
{
    static const char *const names[WHY_END_COUNT] = {
#define X(sym, name) [sym] = (name),
        WHY_ENDS(X)
#undef X
    };

    return (unsigned)e < WHY_END_COUNT ? names[e] : "?";
}

/* --- the world ------------------------------------------------------------------------- */

/* Room for one more in an array of elements of that size. */
static int grow(void **v, unsigned n, unsigned *room, size_t size)
{
    unsigned want = *room ? 2 * *room : 64;
    void *moved;

    if (n < *room)
        return 0;
    moved = realloc(*v, want * size);
    if (!moved)
        return -ENOMEM;
    *v = moved;
    *room = want;
    return 0;
}

static int insert_rule(struct why_world *w, const struct fib_rule *r, unsigned at)
{
    void *v = w->rules;
    int rv = grow(&v, w->n_rules, &w->room_rules, sizeof(*r));

    w->rules = v;
    if (rv)
        return rv;
    memmove(&w->rules[at + 1], &w->rules[at], (w->n_rules++ - at) * sizeof(*r));
    w->rules[at] = *r;
    return 0;
}

int why_add_rule(struct why_world *w, const struct fib_rule *r)
{
    if (r->protocol == FIB_PROTOCOL && !wan_objects_has_rule(w->want, r))
        return 0; /* it will go */
    return insert_rule(w, r, w->n_rules);
}

int why_add_route(struct why_world *w, const struct fib_route *r)
{
    void *v = w->routes;
    int rv = r->protocol == FIB_PROTOCOL ? 0 : grow(&v, w->n_routes, &w->room_routes, sizeof(*r));

    w->routes = v;
    if (!rv && r->protocol != FIB_PROTOCOL)
        w->routes[w->n_routes++] = *r;
    return rv;
}

int why_add_link(struct why_world *w, int index, const char *name)
{
    void *v = w->links;
    int rv = grow(&v, w->n_links, &w->room_links, sizeof(*w->links));

    w->links = v;
    if (rv)
        return rv;
    w->links[w->n_links].index = index;
    snprintf(w->links[w->n_links++].name, IFNAMSIZ, "%s", name);
    return 0;
}

static bool has_rule(const struct why_world *w, const struct fib_rule *r)
{
    for (unsigned i = 0; i < w->n_rules; i++)
        if (fib_rule_equal(&w->rules[i], r))
            return true;
    return false;
}

/* Behind those of its family that come before it: both families are in one list. */
static unsigned place_of(const struct why_world *w, const struct fib_rule *r)
{
    for (unsigned i = 0; i < w->n_rules; i++)
        if (w->rules[i].family == r->family && w->rules[i].priority > r->priority)
            return i;
    return w->n_rules;
}

/* Those that end a lookup are made before those that lead somewhere. */
static int add_missing(struct why_world *w, bool ends)
{
    int rv = 0;

    for (unsigned i = 0; i < w->want->n_rules && !rv; i++) {
        const struct fib_rule *r = &w->want->rules[i];

        if ((r->action != FIB_ACTION_TABLE) == ends && !has_rule(w, r))
            rv = insert_rule(w, r, place_of(w, r));
    }
    return rv;
}

int why_world_ready(struct why_world *w)
{
    int rv = add_missing(w, true);

    return rv ? rv : add_missing(w, false);
}

void why_world_done(struct why_world *w)
{
    free(w->rules);
    free(w->routes);
    free(w->links);
    *w = (struct why_world){0};
}

static const char *name_of(const struct why_world *w, int index)
{
    for (unsigned i = 0; i < w->n_links; i++)
        if (w->links[i].index == index)
            return w->links[i].name;
    return "?";
}

static int link_of(const struct why_world *w, const char *device)
{
    for (unsigned i = 0; i < w->config->n_links; i++)
        if (!strcmp(w->config->links[i].device, device))
            return (int)i;
    return -1;
}

/* --- routes ---------------------------------------------------------------------------- */

/* Does a come before b, which is looked at before it? */
static bool is_better(const struct fib_route *a, const struct fib_route *b)
{
    return !b || a->dst.len > b->dst.len || (a->dst.len == b->dst.len && a->metric < b->metric);
}

static const struct fib_route *best_of(const struct fib_route *v, unsigned n, uint32_t table,
                                       const struct ip_addr *dst, const struct fib_route *best)
{
    for (unsigned i = 0; i < n; i++)
        if (v[i].table == table && v[i].dst.addr.family == dst->family &&
            ip_prefix_contains(&v[i].dst, dst) && is_better(&v[i], best))
            best = &v[i];
    return best;
}

static const struct fib_route *find_route(const struct why_world *w, uint32_t table,
                                          const struct ip_addr *dst)
{
    const struct fib_route *best = NULL;

    if (dst->family == 4) {
        best = best_of(w->want->routes, w->want->n_routes, table, dst, best);
        return best_of(w->routes, w->n_routes, table, dst, best);
    }
    best = best_of(w->routes, w->n_routes, table, dst, best);
    return best_of(w->want->routes, w->want->n_routes, table, dst, best);
}

bool why_is_own(const struct why_world *w, const struct ip_addr *a)
{
    return find_route(w, FIB_TABLE_LOCAL, a) != NULL;
}

const char *why_ingress(const struct why_world *w, const struct ip_addr *src)
{
    const struct fib_route *r;

    if (why_is_own(w, src))
        return NULL;
    r = find_route(w, FIB_TABLE_MAIN, src);
    return r && r->dst.len && r->type == FIB_TYPE_UNICAST && r->index ? name_of(w, r->index) : NULL;
}

/* --- rules ----------------------------------------------------------------------------- */

static bool matches(const struct fib_rule *r, const struct why_packet *p, uint32_t mark)
{
    const char *iif = *p->iif ? p->iif : "lo";

    return r->family == p->dst.family && !*r->oif && (!*r->iif || !strcmp(r->iif, iif)) &&
           (!r->from.addr.family || ip_prefix_contains(&r->from, &p->src)) &&
           (!r->to.addr.family || ip_prefix_contains(&r->to, &p->dst)) &&
           !((mark ^ r->mark) & r->mask);
}

static enum why_end end_of(const struct fib_route *r)
{
    switch (r->type) {
    case FIB_TYPE_UNICAST:
        return WHY_OUT;
    case FIB_TYPE_BLACKHOLE:
        return WHY_BLACKHOLE;
    case FIB_TYPE_UNREACHABLE:
        return WHY_UNREACHABLE;
    default:
        return r->table == FIB_TABLE_LOCAL ? WHY_HERE : WHY_NOT_KNOWN;
    }
}

/* Sets rule and route; false: the next rule has to say. */
static bool try_rule(const struct why_world *w, const struct why_packet *p,
                     const struct fib_rule *rule, struct why *y)
{
    const struct fib_route *r;

    if (rule->action == FIB_ACTION_TABLE) {
        r = find_route(w, rule->table, &p->dst);
        if (!r || (rule->near_only && !r->dst.len && r->type == FIB_TYPE_UNICAST))
            return false;
        y->route = r;
        y->end = end_of(r);
    } else {
        y->end = rule->action == FIB_ACTION_BLACKHOLE     ? WHY_BLACKHOLE
                 : rule->action == FIB_ACTION_UNREACHABLE ? WHY_UNREACHABLE
                                                          : WHY_NOT_KNOWN;
    }
    y->rule = rule;
    return true;
}

static void look_up(const struct why_world *w, const struct why_packet *p, struct why *y)
{
    for (unsigned i = 0; i < w->n_rules; i++) {
        const struct fib_rule *rule = &w->rules[i];

        if (!matches(rule, p, y->mark))
            continue;
        if (rule->more)
            y->passed_over = true;
        else if (try_rule(w, p, rule, y))
            break;
    }
    if (y->end != WHY_OUT)
        return;
    y->several = y->route->several;
    y->device = name_of(w, y->route->index);
    y->link = link_of(w, y->device);
}

/* --- nftables -------------------------------------------------------------------------- */

static const struct gateway_link *pin_of(const struct gateway_config *c,
                                         const struct gateway_policy *p)
{
    int i = gateway_config_link(c, p->pin);

    return i < 0 ? NULL : &c->links[i];
}

/* May what comes from one leave by the other: by the pin, or by the mark of the link? */
static const struct gateway_link *leads_to(const struct gateway_config *c,
                                           const struct gateway_policy *p, const char *device)
{
    const struct gateway_link *l = pin_of(c, p);

    if (!gateway_is_steered(c, p->ingress))
        return l && !strcmp(l->device, device) ? l : NULL;
    for (unsigned i = 0; i < c->n_links; i++)
        if (c->links[i].mark && !strcmp(c->links[i].device, device))
            return &c->links[i];
    return NULL;
}

static bool reaches(const struct gateway_policy *p, const struct ip_addr *a)
{
    for (unsigned i = 0; i < p->n_reach; i++)
        if (ip_prefix_contains(&p->reach[i], a))
            return true;
    return false;
}

/* What one policy accepts: NULL, or the reason. */
static const char *accepts(const struct gateway_config *c, const struct gateway_policy *policy,
                           const struct why_packet *p, const struct why *y)
{
    const char *oif = y->device;
    const struct gateway_link *l;

    if (!strcmp(p->iif, policy->ingress) && reaches(policy, &p->dst))
        return "accepted: it is in reach of the policy";
    if (!strcmp(oif, policy->ingress) && reaches(policy, &p->src))
        return "accepted: the policy of where it goes has it in reach";
    if (!strcmp(p->iif, policy->ingress) && leads_to(c, policy, oif))
        return "accepted: it goes to the link of its policy";
    l = leads_to(c, policy, p->iif);
    if (l && !strcmp(oif, policy->ingress) && y->to.family)
        return "accepted: its destination is translated";
    if (l && !strcmp(oif, policy->ingress) &&
        !translate_is_on(c, (unsigned)(l - c->links), wan_family_of(&p->dst)))
        return "accepted: it comes from the link of the policy of where it goes";
    return NULL;
}

/* The chain forward. */
static void pass_forward(const struct why_world *w, const struct why_packet *p, struct why *y)
{
    const struct gateway_config *c = w->config;

    for (unsigned i = 0; i < c->n_policies && !y->firewall; i++)
        y->firewall = accepts(c, &c->policies[i], p, y);
    if (y->firewall)
        return;
    for (unsigned i = 0; i < c->n_policies && !y->firewall; i++) {
        if (!strcmp(c->policies[i].ingress, p->iif))
            y->firewall = "dropped: that is not the link of its policy";
        else if (!strcmp(c->policies[i].ingress, y->device))
            y->firewall = "dropped: the policy of where it goes has nothing from there";
    }
    if (!y->firewall && c->forward == GATEWAY_FORWARD_DROP)
        y->firewall = "dropped: no policy speaks of it, and forward is drop";
    if (y->firewall)
        y->end = WHY_DROPPED;
    else
        y->firewall = "accepted: no policy speaks of it";
}

/* The chain input: only what comes out of a tunnel is kept from this machine. */
static void pass_input(const struct why_world *w, const struct why_packet *p, struct why *y)
{
    const struct gateway_config *c = w->config;
    int link = link_of(w, p->iif);

    y->firewall = "accepted";
    if (!c->n_open_udp || link < 0 || c->links[link].type != GATEWAY_LINK_TUNNEL)
        return;
    for (unsigned i = 0; i < c->n_open_udp; i++)
        if (p->protocol == PROTOCOL_UDP && p->port >= c->open_udp[i].min &&
            p->port <= c->open_udp[i].max) {
            y->firewall = "accepted: the port is one of open_udp";
            return;
        }
    if (p->protocol == PROTOCOL_ICMP || p->protocol == PROTOCOL_ICMP6)
        return;
    y->firewall = "dropped: out of a tunnel, to a port that is not one of open_udp";
    y->end = WHY_DROPPED;
}

/* The chain prerouting: what the packet is from there on. */
static struct why_packet translate_in(const struct why_world *w, const struct why_packet *p,
                                      struct why *y)
{
    struct why_packet q = *p;
    int link = link_of(w, p->iif);

    if (link < 0)
        return q;
    y->to =
        translate_inbound(w->config, w->facts, (unsigned)link, &p->dst,
                          find_route(w, FIB_TABLE_LOCAL, &p->dst) != NULL, p->protocol, &q.port);
    if (!y->to.family)
        return q;
    y->to_port = q.port;
    q.dst = y->to;
    return q;
}

/* The chain last: what is left as it was, and must not be. */
static void end_untranslated(const struct why_world *w, const struct why_packet *p, struct why *y)
{
    if (!y->policy || reaches(y->policy, &p->dst) ||
        !translate_is_on(w->config, (unsigned)y->link, wan_family_of(&p->dst)))
        return;
    y->firewall = "dropped: its link translates, and nothing translates this source";
    y->end = WHY_DROPPED;
}

/* The chains postrouting and last. */
static void translate_out(const struct why_world *w, const struct why_packet *p, struct why *y)
{
    const struct wan_link_facts *f;

    if (y->link < 0)
        return;
    y->as = translate_source(w->config, w->facts, (unsigned)y->link, &p->src);
    y->translated = y->as.family != 0;
    if (y->translated)
        return;
    if (!y->policy || !w->config->links[y->link].masquerade ||
        !leads_to(w->config, y->policy, w->config->links[y->link].device)) {
        end_untranslated(w, p, y);
        return;
    }
    y->translated = true;
    f = &w->facts->link[y->link];
    for (unsigned i = 0; i < f->n_net && !y->as.family; i++)
        if (f->net[i].addr.family == p->dst.family)
            y->as = f->net[i].addr;
}

/* --- the whole ------------------------------------------------------------------------- */

static bool is_loopback(const struct ip_addr *a)
{
    struct ip_addr one = {.family = 6, .b = {[15] = 1}};

    return a->family == 4 ? a->b[0] == 127 : ip_addr_equal(a, &one);
}

static bool is_broadcast(const struct ip_addr *a)
{
    return a->family == 4 && a->b[0] == 255 && a->b[1] == 255 && a->b[2] == 255 && a->b[3] == 255;
}

/* Addresses that nothing is forwarded with. */
static bool is_no_packet(const struct why_packet *p)
{
    if (p->src.family && p->src.family != p->dst.family)
        return true;
    if (ip_addr_is_any(&p->dst) || ip_addr_is_multicast(&p->dst))
        return true;
    return *p->iif &&
           (is_loopback(&p->dst) || is_loopback(&p->src) || ip_addr_is_any(&p->src) ||
            ip_addr_is_multicast(&p->src) || is_broadcast(&p->src) || is_broadcast(&p->dst));
}

/* The first that is for such a packet. */
static const struct gateway_policy *policy_of(const struct gateway_config *c,
                                              const struct why_packet *p)
{
    const char *ingress = *p->iif ? p->iif : GATEWAY_LOCAL;

    for (unsigned i = 0; i < c->n_policies; i++)
        if (!strcmp(c->policies[i].ingress, ingress) &&
            balance_matches(&c->policies[i].match, &p->src, &p->dst, p->protocol, p->port))
            return &c->policies[i];
    return NULL;
}

static bool is_translating(const struct gateway_config *c, unsigned link)
{
    return translate_is_on(c, link, WAN_V4) || translate_is_on(c, link, WAN_V6);
}

/* The mark that a new flow gets. What this machine sends itself is looked up without it first, and
 * gets it where it would leave by a link that has one. */
static void choose(const struct why_world *w, const struct why_packet *p, struct why *y)
{
    const struct gateway_config *c = w->config;
    const struct gateway_link *pin;
    struct why first = *y;

    y->policy = policy_of(c, p);
    if (!y->policy)
        return;
    pin = pin_of(c, y->policy);
    y->steered = gateway_is_steered(c, y->policy->ingress);
    if (!y->steered) {
        y->mark = pin && is_translating(c, (unsigned)(pin - c->links)) ? c->mark : 0;
        return;
    }
    balance_choose(c, w->facts, y->policy, wan_family_of(&p->dst), &y->choice);
    look_up(w, p, &first);
    if (y->choice.n && (*p->iif || (first.link >= 0 && c->links[first.link].mark)))
        y->mark = c->links[y->choice.v[0].link].mark;
}

void why_explain(const struct why_world *w, const struct why_packet *p, struct why *ret)
{
    struct why y = {.end = WHY_NO_ROUTE, .link = -1};
    struct why_packet q;

    choose(w, p, &y);
    if (is_no_packet(p)) {
        y.end = WHY_NO_PACKET;
        *ret = y;
        return;
    }
    q = translate_in(w, p, &y);
    look_up(w, &q, &y);
    if (*p->iif && y.end == WHY_HERE)
        pass_input(w, &q, &y);
    if (*p->iif && y.end == WHY_OUT) {
        if (!w->forwarding[wan_family_of(&p->dst)])
            y.end = WHY_NOT_FORWARDED;
        else if (w->want->nft)
            pass_forward(w, &q, &y);
    }
    if (y.end == WHY_OUT && *p->iif)
        translate_out(w, &q, &y);
    *ret = y;
}

/* --- telling --------------------------------------------------------------------------- */

/* What it says of links and policies; the rest is for those who know the kernel. */
static void write_end(const struct why_world *w, const struct why *y, FILE *out)
{
    static const char *const says[WHY_END_COUNT] = {
        [WHY_OUT] = "leaves by",
        [WHY_HERE] = "is for this machine",
        [WHY_BLACKHOLE] = "vanishes: closed",
        [WHY_UNREACHABLE] = "goes nowhere, and its sender is told: closed",
        [WHY_NO_ROUTE] = "goes nowhere: there is no route",
        [WHY_DROPPED] = "is dropped by the firewall",
        [WHY_NOT_FORWARDED] = "goes nowhere: this machine does not forward",
        [WHY_NO_PACKET] = "is no packet that a router passes on",
        [WHY_NOT_KNOWN] = "cannot be told: a rule or route of others decides",
    };

    fputs(says[y->end], out);
    if (y->end == WHY_OUT)
        fprintf(out, " %s", y->device);
    if (y->end == WHY_OUT && y->link >= 0)
        fprintf(out, ", link %s", w->config->links[y->link].name);
    if (y->several)
        fputs(", or by another hop of the same route", out);
    if (y->end == WHY_OUT && y->mark && y->choice.n > 1)
        fputs(", or by another link of its policy", out);
    fputs("\n", out);
}

/* Why the link of the policy takes nothing. */
static void write_link(const struct why_world *w, const struct why_packet *p, const struct why *y,
                       FILE *out)
{
    enum wan_family family = wan_family_of(&p->dst);
    char text[WAN_WHY_MAX];
    int i = y->policy ? gateway_config_link(w->config, y->policy->pin) : -1;
    struct wan_link_state s;

    if (i < 0)
        return;
    wan_state_of(w->config, w->facts, (unsigned)i, &s);
    fprintf(out, "  link      %s is %s: %s\n", y->policy->pin, wan_state_name(s.state[family]),
            wan_state_why(w->config, w->facts, (unsigned)i, family, text));
}

void why_write(const struct why_world *w, const struct why_packet *p, const struct why *y,
               FILE *out)
{
    char text[FIB_TEXT_MAX], a[IP_ADDR_STR_MAX], b[IP_ADDR_STR_MAX], ways[BALANCE_TEXT_MAX];

    fprintf(out, "%s -> %s%s%s ", p->src.family ? ip_addr_str(&p->src, a) : "*",
            ip_addr_str(&p->dst, b), *p->iif ? " from " : " from this machine", p->iif);
    write_end(w, y, out);
    if (y->policy && *y->policy->pin)
        fprintf(out, "  policy    %s is pinned to %s\n", y->policy->ingress, y->policy->pin);
    else if (y->policy)
        fprintf(out, "  policy    new flows of %s go to: %s\n", y->policy->ingress,
                balance_str(w->config, &y->choice, ways));
    else if (*p->iif)
        fprintf(out, "  policy    none: %s has no policy\n", p->iif);
    write_link(w, p, y, out);
    if (y->mark)
        fprintf(out, "  mark      0x%x, by nftables: %s\n", y->mark,
                y->steered ? "that of its link" : "its link translates");
    if (y->rule)
        fprintf(out, "  rule      %s%s\n", fib_rule_str(y->rule, text),
                y->rule->protocol == FIB_PROTOCOL ? "" : " (not ours)");
    if (y->route)
        fprintf(out, "  route     %s%s\n",
                fib_route_str(y->route, name_of(w, y->route->index), text),
                y->route->protocol == FIB_PROTOCOL ? "" : " (not ours)");
    if (y->passed_over)
        fputs("  note      a rule of others has a condition that is not known here\n", out);
    if (y->firewall)
        fprintf(out, "  firewall  %s\n", y->firewall);
    if (y->to.family && y->to_port)
        fprintf(out, "  NAT       its destination becomes %s, port %u\n", ip_addr_str(&y->to, a),
                y->to_port);
    else if (y->to.family)
        fprintf(out, "  NAT       its destination becomes %s\n", ip_addr_str(&y->to, a));
    if (y->translated)
        fprintf(out, "  NAT       its source becomes %s\n",
                y->as.family ? ip_addr_str(&y->as, a) : "that of the interface");
}
