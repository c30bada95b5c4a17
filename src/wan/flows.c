/* A flow whose way was chosen for it bears the mark of its link. One that is translated, or that
 * this machine itself takes part in, has an address of the link's interface: as where its answers
 * go, when it began on this side, or as where it went to. Else it is between two addresses that the
 * interface does not have, and what a policy makes of its inner end now tells where it goes; a flow
 * that began under another state of the links may be elsewhere. */
#include "wan/flows.h"

#include <string.h>

const char *flow_how_name(enum flow_how h)
{
    static const char *const names[FLOW_HOW_COUNT] = {
#define X(sym, name) [sym] = (name),
        FLOW_HOWS(X)
#undef X
    };

    return (unsigned)h < FLOW_HOW_COUNT ? names[h] : "?";
}

static int link_with(const struct why_world *w, const struct ip_addr *a)
{
    for (unsigned i = 0; i < w->config->n_links; i++) {
        const struct wan_link_facts *f = &w->facts->link[i];

        for (unsigned j = 0; j < f->n_net; j++)
            if (ip_addr_equal(&f->net[j].addr, a))
                return (int)i;
    }
    return -1;
}

static int link_marked(const struct gateway_config *c, uint32_t mark)
{
    for (unsigned i = 0; i < c->n_links; i++)
        if (c->links[i].mark && (mark & c->mark_mask) == c->links[i].mark)
            return (int)i;
    return -1;
}

static bool is_own(const struct why_world *w, const struct ip_addr *a)
{
    struct why_packet p = {.src = *a, .dst = *a};
    struct why y;

    why_explain(w, &p, &y);
    return y.end == WHY_HERE;
}

/* The link whose interface has the near address, unless the far end is not behind that interface:
 * a LAN may talk to the address that this machine has there. */
static int link_between(const struct why_world *w, const struct ip_addr *near,
                        const struct ip_addr *far)
{
    int link = link_with(w, near);
    const char *in = link < 0 ? NULL : why_ingress(w, far);

    if (link < 0 || (in && strcmp(in, w->config->links[link].device) != 0) ||
        (!in && is_own(w, far)))
        return -1;
    return link;
}

/* Is the address beyond the interface of the link, or not near at all? */
static bool is_behind(const struct why_world *w, unsigned link, const struct ip_addr *a)
{
    const char *in = why_ingress(w, a);

    return in ? !strcmp(in, w->config->links[link].device) : !is_own(w, a);
}

/* What this machine makes of the first packet from the inner to the outer end. */
static void explain(const struct why_world *w, const struct conntrack_tuple *t, struct why *ret)
{
    struct why_packet p = {
        .src = t->src, .dst = t->dst, .protocol = t->protocol, .port = t->dst_port};
    const char *in = why_ingress(w, &t->src);

    if (in)
        snprintf(p.iif, sizeof(p.iif), "%s", in);
    why_explain(w, &p, ret);
}

/* The packets of the inner end, after the translation of their destination and before that of their
 * source: as rules and routes see them. */
static struct conntrack_tuple inner_tuple(const struct conntrack_entry *e, bool inbound)
{
    struct conntrack_tuple t = inbound ? e->reply : e->orig;

    t.dst = inbound ? e->orig.src : e->reply.src;
    t.dst_port = inbound ? e->orig.src_port : e->reply.src_port;
    return t;
}

static bool try_policy(const struct why_world *w, const struct conntrack_entry *e, bool inbound,
                       struct flow *f)
{
    struct conntrack_tuple t = inner_tuple(e, inbound);
    struct why y;

    explain(w, &t, &y);
    f->policy = y.policy;
    if (y.end != WHY_OUT || y.link < 0)
        return false;
    if (f->link < 0) {
        f->link = y.link;
        f->how = FLOW_BY_POLICY;
        f->inbound = inbound;
    }
    return true;
}

void flow_find(const struct why_world *w, const struct conntrack_entry *e, struct flow *ret)
{
    struct flow f = {.link = link_between(w, &e->reply.dst, &e->reply.src)};
    int marked;

    if (f.link < 0) {
        f.link = link_between(w, &e->orig.dst, &e->orig.src);
        f.inbound = f.link >= 0;
    }
    f.how = f.link >= 0 ? FLOW_BY_ADDRESS : FLOW_NOWHERE;
    marked = link_marked(w->config, e->mark);
    if (marked >= 0) {
        if (f.link < 0)
            f.inbound = is_behind(w, (unsigned)marked, &e->orig.src);
        f.link = marked;
        f.how = FLOW_BY_MARK;
    }
    f.here = is_own(w, f.inbound ? &e->reply.src : &e->orig.src);
    if (f.link >= 0)
        try_policy(w, e, f.inbound, &f);
    else if (!try_policy(w, e, false, &f) && !f.policy)
        try_policy(w, e, true, &f);
    *ret = f;
}

void flow_sum_add(struct flow_sum *s, const struct flow *f, const struct conntrack_entry *e)
{
    s->has_counts = (s->has_counts || !s->flows) && e->has_counts;
    s->flows++;
    s->answered += (e->status & CONNTRACK_SEEN_REPLY) != 0;
    s->translated += (e->status & (CONNTRACK_SRC_NAT | CONNTRACK_DST_NAT)) != 0;
    s->inbound += f->inbound;
    s->here += f->here;
    s->sent.packets += e->sent.packets;
    s->sent.bytes += e->sent.bytes;
    s->received.packets += e->received.packets;
    s->received.bytes += e->received.bytes;
}
