#include "wan/state.h"

#include <stdio.h>
#include <string.h>

#include "wan/translate.h"

const char *wan_reason_name(enum wan_reason r)
{
    static const char *const names[WAN_REASON_COUNT] = {
#define X(sym, name) [sym] = (name),
        WAN_REASONS(X)
#undef X
    };

    return (unsigned)r < WAN_REASON_COUNT ? names[r] : "?";
}

const char *wan_state_name(enum wan_state s)
{
    static const char *const names[WAN_STATE_COUNT] = {
#define X(sym, name) [sym] = (name),
        WAN_STATES(X)
#undef X
    };

    return (unsigned)s < WAN_STATE_COUNT ? names[s] : "?";
}

bool wan_has_probe(const struct gateway_config *c, unsigned i, enum wan_family family)
{
    const struct gateway_link *l = &c->links[i];
    int n = gateway_config_probe(c, l->probe);

    if (family == WAN_V6 && !c->ipv6)
        return false;
    if (*l->instance)
        return true;
    for (unsigned t = 0; n >= 0 && t < c->probes[n].n_targets; t++)
        if (wan_family_of(&c->probes[n].targets[t]) == family)
            return true;
    return false;
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

/* Does the wan carry this tunnel, in that family? What the wan's probe has found does not count for
 * a tunnel that has one of its own: that is the better evidence. */
static bool carries(const struct gateway_config *c, const struct wan_facts *f, unsigned wan,
                    unsigned tunnel, enum wan_family family)
{
    const struct ip_addr *hub = &c->links[tunnel].hub;
    struct wan_link_state s;

    wan_state_of(c, f, wan, &s);
    switch (s.reason[family]) {
    case WAN_REASON_UP:
        return true;
    case WAN_REASON_NO_GATEWAY:
        return hub->family && wan_link_is_near(&f->link[wan], hub);
    case WAN_REASON_PROBE:
        return wan_has_probe(c, tunnel, WAN_V4) || wan_has_probe(c, tunnel, WAN_V6);
    default:
        return false;
    }
}

/* Of a tunnel: the wan that carries it may be up in either family, unless the hub's is known. */
static bool carrier_is_up(const struct gateway_config *c, const struct wan_facts *f, unsigned i)
{
    const struct gateway_link *l = &c->links[i];
    int wan = gateway_config_link(c, l->over);

    if (wan < 0 || c->links[wan].type != GATEWAY_LINK_WAN)
        return true;
    if (l->hub.family)
        return carries(c, f, (unsigned)wan, i, wan_family_of(&l->hub));
    return carries(c, f, (unsigned)wan, i, WAN_V4) || carries(c, f, (unsigned)wan, i, WAN_V6);
}

static enum wan_reason reason_of(const struct gateway_config *c, const struct wan_facts *f,
                                 unsigned i, enum wan_family family, const struct wan_hop *hop)
{
    const struct gateway_link *l = &c->links[i];
    const struct wan_link_health *h = &f->link[i].health;
    enum wan_reason r = device_reason(&f->link[i], family);

    if (family == WAN_V6 && !c->ipv6)
        return WAN_REASON_OFF;
    if (h->disabled)
        return WAN_REASON_DISABLED;
    if (r != WAN_REASON_UP)
        return r;
    if (l->type == GATEWAY_LINK_WAN && !hop->known)
        return WAN_REASON_NO_GATEWAY;
    if (l->type == GATEWAY_LINK_TUNNEL && *l->over && !carrier_is_up(c, f, i))
        return WAN_REASON_WAN_DOWN;
    if (f->link[i].foreign[family] == WAN_FOREIGN_BEFORE)
        return WAN_REASON_FOREIGN;
    if (family == WAN_V6 && translate_fault(c, f, i) != WAN_REASON_UP)
        return translate_fault(c, f, i);
    return wan_has_probe(c, i, family) && h->probe[family].state == WAN_STATE_UNHEALTHY
               ? WAN_REASON_PROBE
               : WAN_REASON_UP;
}

static enum wan_state state_of(const struct gateway_config *c, const struct wan_facts *f,
                               unsigned i, enum wan_family family, enum wan_reason reason)
{
    switch (reason) {
    case WAN_REASON_UP:
        return wan_has_probe(c, i, family) ? f->link[i].health.probe[family].state
                                           : WAN_STATE_HEALTHY;
    case WAN_REASON_OFF:
    case WAN_REASON_DISABLED:
        return WAN_STATE_DISABLED;
    default:
        return WAN_STATE_UNHEALTHY;
    }
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
        ret->state[family] = state_of(c, f, i, family, ret->reason[family]);
        ret->hop[family] = hop;
    }
}

const char *wan_state_why(const struct gateway_config *c, const struct wan_facts *f, unsigned i,
                          enum wan_family family, char buf[static WAN_WHY_MAX])
{
    const struct wan_verdict *v = &f->link[i].health.probe[family];
    struct wan_link_state s;

    wan_state_of(c, f, i, &s);
    if (s.reason[family] == WAN_REASON_PROBE)
        snprintf(buf, WAN_WHY_MAX, "%u of %u targets of its probe answer, %u needed", v->answering,
                 v->targets, v->need);
    else if (s.reason[family] != WAN_REASON_UP)
        snprintf(buf, WAN_WHY_MAX, "%s", wan_reason_name(s.reason[family]));
    else if (!wan_has_probe(c, i, family))
        snprintf(buf, WAN_WHY_MAX, "up");
    else if (v->state == WAN_STATE_UNKNOWN)
        snprintf(buf, WAN_WHY_MAX, "up, its probe has not decided yet");
    else if (v->state == WAN_STATE_DEGRADED && v->by_latency)
        snprintf(buf, WAN_WHY_MAX, "latency %u.%u ms", v->latency_us / 1000,
                 v->latency_us / 100 % 10);
    else if (v->state == WAN_STATE_DEGRADED)
        snprintf(buf, WAN_WHY_MAX, "loss %u %%", v->loss_percent);
    else
        snprintf(buf, WAN_WHY_MAX, "%u of %u targets of its probe answer", v->answering,
                 v->targets);
    return buf;
}
