#include "wan/state.h"

#include <string.h>

const char *wan_reason_name(enum wan_reason r)
{
    static const char *const names[WAN_REASON_COUNT] = {
#define X(sym, name) [sym] = (name),
        WAN_REASONS(X)
#undef X
    };

    return (unsigned)r < WAN_REASON_COUNT ? names[r] : "?";
}

bool wan_link_is_near(const struct wan_link_facts *f, const struct ip_addr *a)
{
    for (unsigned i = 0; i < f->n_net; i++)
        if (f->net[i].addr.family == a->family && ip_prefix_contains(&f->net[i], a))
            return true;
    return false;
}

static bool has_address(const struct wan_link_facts *f, enum wan_family family)
{
    for (unsigned i = 0; i < f->n_net; i++)
        if (wan_family_of(&f->net[i].addr) == family)
            return true;
    return false;
}

/* The gateway: the kernel knows best; what is configured is for where it knows none. */
static struct wan_hop hop_of(const struct gateway_link *l, const struct wan_link_facts *f,
                             enum wan_family family)
{
    struct wan_hop configured = {.known = true, .via = l->gateway};

    if (f->hop[family].known || !l->gateway.family || wan_family_of(&l->gateway) != family)
        return f->hop[family];
    return configured;
}

static enum wan_reason device_reason(const struct wan_link_facts *f, enum wan_family family)
{
    if (!f->index)
        return WAN_REASON_NO_DEVICE;
    if (!f->up)
        return WAN_REASON_DEVICE_DOWN;
    if (!f->carrier)
        return WAN_REASON_NO_CARRIER;
    return has_address(f, family) ? WAN_REASON_UP : WAN_REASON_NO_ADDRESS;
}

/* Of a tunnel: the wan that carries it may be up in either family, unless the hub's is known. */
static bool carrier_is_up(const struct gateway_config *c, const struct wan_facts *f,
                          const struct gateway_link *l)
{
    int wan = gateway_config_link(c, l->over);
    struct wan_link_state s;

    if (wan < 0 || c->links[wan].type != GATEWAY_LINK_WAN)
        return true;
    wan_state_of(c, f, (unsigned)wan, &s);
    if (l->hub.family)
        return s.reason[wan_family_of(&l->hub)] == WAN_REASON_UP ||
               (s.reason[wan_family_of(&l->hub)] == WAN_REASON_NO_GATEWAY &&
                wan_link_is_near(&f->link[wan], &l->hub));
    return s.reason[WAN_V4] == WAN_REASON_UP || s.reason[WAN_V6] == WAN_REASON_UP;
}

static enum wan_reason reason_of(const struct gateway_config *c, const struct wan_facts *f,
                                 unsigned i, enum wan_family family, const struct wan_hop *hop)
{
    const struct gateway_link *l = &c->links[i];
    enum wan_reason r = device_reason(&f->link[i], family);

    if (family == WAN_V6 && !c->ipv6)
        return WAN_REASON_OFF;
    if (r != WAN_REASON_UP)
        return r;
    if (l->type == GATEWAY_LINK_WAN && !hop->known)
        return WAN_REASON_NO_GATEWAY;
    if (l->type == GATEWAY_LINK_TUNNEL && *l->over && !carrier_is_up(c, f, l))
        return WAN_REASON_WAN_DOWN;
    return f->link[i].foreign[family] == WAN_FOREIGN_BEFORE ? WAN_REASON_FOREIGN : WAN_REASON_UP;
}

void wan_state_of(const struct gateway_config *c, const struct wan_facts *f, unsigned i,
                  struct wan_link_state *ret)
{
    memset(ret, 0, sizeof(*ret));
    for (enum wan_family family = 0; family < WAN_FAMILIES; family++) {
        struct wan_hop hop = {0};

        if (c->links[i].type == GATEWAY_LINK_WAN)
            hop = hop_of(&c->links[i], &f->link[i], family);
        ret->reason[family] = reason_of(c, f, i, family, &hop);
        ret->hop[family] = hop;
    }
}
