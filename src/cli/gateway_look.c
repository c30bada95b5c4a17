#include "cli/gateway_look.h"

#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "wan/networkd.h"
#include "wan/settings.h"

#define REPAIR "mpquic gateway health --repair, or mpquic gateway lan fix"

/* --- differences ----------------------------------------------------------------------- */

static const struct gateway_link *pin_of(const struct gateway_config *c,
                                         const struct gateway_policy *p)
{
    int i = gateway_config_link(c, p->pin);

    return i < 0 ? NULL : &c->links[i];
}

static bool is_about(const struct gateway *g, const struct wan_op *op,
                     const struct gateway_policy *p)
{
    const struct gateway_link *l = p ? pin_of(gateway_config(g), p) : NULL;

    switch (op->kind) {
    case WAN_OP_RULE_ADD:
    case WAN_OP_RULE_DEL:
        return !p || !strcmp(op->rule->iif, p->ingress) ||
               (op->rule->action == FIB_ACTION_TABLE && l && op->rule->table == l->table);
    case WAN_OP_ROUTE_ADD:
    case WAN_OP_ROUTE_DEL:
        return !p || (l && op->route->table == l->table) || op->route->table == FIB_TABLE_MAIN;
    default:
        return true;
    }
}

static const char *kind_of(const struct wan_op *op)
{
    static const char *const names[WAN_OP_COUNT] = {
        [WAN_OP_RULE_ADD] = "rules",        [WAN_OP_RULE_DEL] = "rules",
        [WAN_OP_ROUTE_ADD] = "routes",      [WAN_OP_ROUTE_DEL] = "routes",
        [WAN_OP_ADDRESS_ADD] = "addresses", [WAN_OP_ADDRESS_DEL] = "addresses",
        [WAN_OP_NFT] = "nftables",          [WAN_OP_SETTING] = "settings",
    };

    return names[op->kind];
}

/* All of one kind in one finding. */
static void add_kind(const struct gateway *g, const char *kind, const struct gateway_policy *p,
                     struct findings *ret)
{
    const struct wan_plan *plan = gateway_plan(g);
    const struct wan_op *first = NULL;
    char text[GATEWAY_TEXT_MAX];
    unsigned n = 0;

    for (unsigned i = 0; i < plan->n; i++) {
        const struct wan_op *op = &plan->ops[i];

        if (strcmp(kind_of(op), kind) != 0 || !is_about(g, op, p))
            continue;
        first = first ? first : op;
        n++;
    }
    if (!n)
        findings_add(ret, FINDING_OK, kind, "", NULL, "as the configuration wants");
    else
        findings_add(ret, FINDING_FAILED, kind, "", REPAIR, "%u to be done, the first: %.200s", n,
                     gateway_op_str(first, text));
}

void gateway_look_differences(const struct gateway *g, const struct gateway_policy *policy,
                              struct findings *ret)
{
    static const char *const kinds[] = {"rules", "routes", "nftables", "settings"};
    const struct wan_mirror *m = gateway_mirror(g);

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        add_kind(g, kinds[i], policy, ret);
    for (unsigned i = 0; i < MIN(m->n_conflicts, (unsigned)WAN_CONFLICTS_MAX); i++)
        findings_add(ret, FINDING_FAILED, "others", "", "remove it, or have it changed", "%.300s",
                     m->conflict[i]);
}

void gateway_look_networkd(struct findings *ret)
{
    char text[NETWORKD_TEXT_MAX];
    struct networkd n;
    int rv = networkd_read("", &n);

    if (rv)
        findings_add(ret, FINDING_WARNING, "networkd", "", NULL, "its files cannot be read: %s",
                     strerror(-rv));
    else if (networkd_is_in_the_way(&n))
        findings_add(ret, FINDING_FAILED, "networkd", "",
                     "ManageForeignRoutes=no and ManageForeignRoutingPolicyRules=no, or mpquic "
                     "gateway apply --take-over; then systemctl restart systemd-networkd",
                     "%s", networkd_str(&n, text));
    else
        findings_add(ret, FINDING_OK, "networkd", "", NULL,
                     n.runs ? "leaves alone what is not its own" : "does not run");
}

/* --- interfaces ------------------------------------------------------------------------ */

static unsigned count_addresses(struct netlink *nl, int index)
{
    struct netlink_addr *v = NULL;
    int n = netlink_addr_all(nl, index, &v);
    unsigned found = 0;

    for (int i = 0; i < n; i++)
        found += !ip_addr_is_linklocal(&v[i].prefix.addr);
    free(v);
    return found;
}

void gateway_look_ingress(const struct gateway_world *w, const struct gateway_policy *p,
                          struct findings *ret)
{
    struct netlink_link l;

    if (!strcmp(p->ingress, GATEWAY_LOCAL))
        return;
    if (netlink_link_by_name(w->nl, p->ingress, &l))
        findings_add(ret, FINDING_FAILED, "interface", p->ingress,
                     "see its name in the configuration, and 'ip link'", "there is none");
    else if (!(l.flags & IFF_UP))
        findings_add(ret, FINDING_FAILED, "interface", p->ingress, "ip link set IFACE up",
                     "it is switched off");
    else if (!count_addresses(w->nl, l.index))
        findings_add(ret, FINDING_FAILED, "interface", p->ingress, "give it its address",
                     "it has no address: nobody behind it has a router");
    else if (!l.carrier)
        findings_add(ret, FINDING_WARNING, "interface", p->ingress, "look at the cable",
                     "it has no carrier");
    else
        findings_add(ret, FINDING_OK, "interface", p->ingress, NULL, "up, MTU %u", l.mtu);
}

void gateway_look_link(const struct gateway *g, unsigned i, struct findings *ret)
{
    const struct gateway_config *c = gateway_config(g);
    struct wan_link_state s = gatewaycli_state(g, i);
    bool one_works = s.reason[WAN_V4] == WAN_REASON_UP || s.reason[WAN_V6] == WAN_REASON_UP;
    char text[GATEWAYCLI_STATE_MAX];

    for (enum wan_family f = 0; f < (c->ipv6 ? WAN_FAMILIES : WAN_V6); f++) {
        enum finding_level level = s.state[f] == WAN_STATE_HEALTHY     ? FINDING_OK
                                   : s.state[f] == WAN_STATE_UNHEALTHY ? FINDING_FAILED
                                                                       : FINDING_WARNING;

        if (level == FINDING_FAILED && one_works)
            level = FINDING_WARNING;
        findings_add(ret, level, "link", c->links[i].name,
                     s.state[f] == WAN_STATE_DISABLED ? "mpquic gateway enable LINK"
                                                      : "mpquic gateway links tells more of it",
                     "%s %s", gatewaycli_families[f], gatewaycli_state_str(g, i, f, text));
    }
}

/* --- ways ------------------------------------------------------------------------------ */

/* A neighbour in the network of the interface: the address after its own, or before it. */
static bool find_host(const struct gateway_world *w, const struct gateway_policy *p, uint8_t family,
                      struct ip_addr *ret)
{
    struct netlink_addr *v = NULL;
    struct netlink_link l;
    int n = netlink_link_by_name(w->nl, p->ingress, &l) ? 0 : netlink_addr_all(w->nl, l.index, &v);
    bool found = false;

    for (int i = 0; i < n && !found; i++) {
        struct ip_addr a = v[i].prefix.addr;
        unsigned last = ip_addr_bits(&a) / 8 - 1;

        if (a.family != family || ip_addr_is_linklocal(&a))
            continue;
        a.b[last] ^= 3; /* .1 and .2 of a /30 */
        found = ip_prefix_contains(&v[i].prefix, &a);
        *ret = a;
    }
    free(v);
    return found;
}

static void look_family(const struct gateway_world *w, const struct gateway_policy *p,
                        const char *to, struct findings *ret)
{
    struct why_packet packet = {0};
    struct gateway_kernel_answer k;
    char from[IP_ADDR_STR_MAX];
    struct why y;
    bool right;

    snprintf(packet.iif, sizeof(packet.iif), "%s", p->ingress);
    if (ip_addr_parse(to, &packet.dst) || !find_host(w, p, packet.dst.family, &packet.src))
        return;
    why_explain(&w->why, &packet, &y);
    gateway_world_ask(w, &packet, &y, &k);
    ip_addr_str(&packet.src, from);
    right = y.end == WHY_OUT && y.link >= 0 &&
            (y.steered || !strcmp(w->why.config->links[y.link].name, p->pin));
    if (!gateway_world_agrees(&y, &k))
        findings_add(ret, FINDING_FAILED, "way", p->ingress, REPAIR,
                     "%s to %s: %s is wanted, the kernel says: %s", from, to,
                     y.device ? y.device : why_end_name(y.end), k.text);
    else if (right)
        findings_add(ret, FINDING_OK, "way", p->ingress, NULL, "%s to %s leaves by %s", from, to,
                     w->why.config->links[y.link].name);
    else
        findings_add(ret, FINDING_FAILED, "way", p->ingress, "mpquic gateway why tells all of it",
                     "%s to %s does not leave by %s: %s%s%s", from, to,
                     *p->pin ? p->pin : "a link of its policy", why_end_name(y.end),
                     y.device ? " " : "", y.device ? y.device : "");
}

void gateway_look_way(const struct gateway_world *w, const struct gateway_policy *p,
                      struct findings *ret)
{
    /* Of documentation: nobody has a route to them but the default one. */
    look_family(w, p, "192.0.2.1", ret);
    if (w->why.config->ipv6)
        look_family(w, p, "2001:db8::1", ret);
}

/* --- settings -------------------------------------------------------------------------- */

void gateway_look_filter(const struct gateway_config *c, struct findings *ret)
{
    int all = setting_read("net/ipv4/conf/all/rp_filter");

    for (unsigned i = 0; i < c->n_policies; i++) {
        const struct gateway_link *l = pin_of(c, &c->policies[i]);
        char name[WAN_SETTING_NAME_MAX];
        int own;

        if (!l || l->masquerade || l->mark)
            continue;
        snprintf(name, sizeof(name), "net/ipv4/conf/%s/rp_filter", l->device);
        own = setting_read(name);
        if (own < 0)
            continue;
        if (MAX(all, own) == 1)
            findings_add(ret, FINDING_FAILED, "rp_filter", l->device,
                         "set net.ipv4.conf.all.rp_filter and that of the interface to 2 or 0",
                         "it is 1: answers from the Internet are dropped, because the table main "
                         "has another way back");
        else
            findings_add(ret, FINDING_OK, "rp_filter", l->device, NULL, "it is %d", MAX(all, own));
    }
}
