#include "wan/sweep.h"

#include <string.h>

#include "wan/translate.h"

/* Has an entry of nat this address inside? */
static bool is_inside(const struct gateway_config *c, const struct ip_addr *a, bool outwards)
{
    for (unsigned i = 0; i < c->n_nat; i++)
        if (!(outwards && c->nat[i].inbound) && ip_prefix_contains(&c->nat[i].inside, a))
            return true;
    return false;
}

static bool is_own(const struct wan_link_facts *f, const struct ip_addr *a)
{
    for (unsigned i = 0; i < f->n_net; i++)
        if (ip_addr_equal(&f->net[i].addr, a))
            return true;
    return false;
}

/* Is there a link by which a flow from inside would have this source? */
static bool may_become(const struct gateway_config *c, const struct wan_facts *f,
                       const struct ip_addr *inside, const struct ip_addr *source)
{
    for (unsigned link = 0; link < c->n_links; link++) {
        struct ip_addr a = translate_source(c, f, link, inside);

        if (ip_addr_equal(&a, source) ||
            (c->links[link].masquerade && is_own(&f->link[link], source)))
            return true;
    }
    return false;
}

static bool is_port_forward(const struct gateway_config *c, const struct ip_addr *to)
{
    for (unsigned i = 0; i < c->n_port_forwards; i++)
        if (ip_addr_equal(&c->port_forwards[i].to, to))
            return true;
    return false;
}

/* Is there a link by which a flow to that address would come here? inside NULL: anywhere. */
static bool may_lead(const struct gateway_config *c, const struct wan_facts *f,
                     const struct ip_addr *outside, const struct ip_addr *inside)
{
    for (unsigned link = 0; link < c->n_links; link++) {
        struct ip_addr a = translate_target(c, f, link, outside, NULL);

        if (a.family && (!inside || ip_addr_equal(&a, inside)))
            return true;
    }
    return false;
}

bool sweep_is_stale(const struct gateway_config *c, const struct wan_facts *f,
                    const struct conntrack_entry *e)
{
    if (e->status & CONNTRACK_SRC_NAT)
        return is_inside(c, &e->orig.src, true) && !may_become(c, f, &e->orig.src, &e->reply.dst);
    if (e->status & CONNTRACK_DST_NAT)
        return is_inside(c, &e->reply.src, false) && !may_lead(c, f, &e->orig.dst, &e->reply.src) &&
               !is_port_forward(c, &e->reply.src);
    return may_lead(c, f, &e->orig.dst, NULL);
}

struct sweep {
    const struct gateway_config *c;
    const struct wan_facts *f;
};

static bool is_stale(void *user, const struct conntrack_entry *e)
{
    const struct sweep *s = user;

    return sweep_is_stale(s->c, s->f, e);
}

int sweep_flows(const struct gateway_config *c, const struct wan_facts *f, unsigned *ret_n)
{
    struct sweep s = {c, f};
    struct conntrack_filter filter = {.also = is_stale, .user = &s};
    struct conntrack *ct = NULL;
    unsigned n = 0;
    int rv = c->n_nat ? conntrack_open(&ct) : 0;

    if (ct)
        rv = conntrack_flush(ct, &filter, &n);
    conntrack_close(ct);
    if (ret_n)
        *ret_n = n;
    return rv;
}
