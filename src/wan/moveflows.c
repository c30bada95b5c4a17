#include "wan/moveflows.h"

#include "wan/balance.h"

struct job {
    const struct gateway_config *c;
    const struct wan_facts *f;
};

static int link_of(const struct gateway_config *c, uint32_t mark)
{
    for (unsigned i = 0; i < c->n_links; i++)
        if (c->links[i].mark && (mark & c->mark_mask) == c->links[i].mark)
            return (int)i;
    return -1;
}

/* Did it begin outside? */
static bool came_in(const struct wan_link_facts *f, const struct conntrack_entry *e)
{
    for (unsigned i = 0; i < f->n_net; i++)
        if (ip_addr_equal(&f->net[i].addr, &e->orig.dst))
            return true;
    return e->status & CONNTRACK_DST_NAT;
}

bool moveflows_is_due(const struct gateway_config *c, const struct wan_facts *f,
                      const struct conntrack_entry *e)
{
    enum wan_family family = wan_family_of(&e->orig.src);
    int link = link_of(c, e->mark);
    struct wan_link_state s;

    if (link < 0 || !balance_is_flushed(c, f, (unsigned)link, family))
        return false;
    wan_state_of(c, f, (unsigned)link, &s);
    return s.reason[family] != WAN_REASON_UP || !came_in(&f->link[link], e);
}

static bool is_due(void *user, const struct conntrack_entry *e)
{
    const struct job *j = user;

    return moveflows_is_due(j->c, j->f, e);
}

static bool is_wanted(const struct gateway_config *c, const struct wan_facts *f)
{
    for (unsigned i = 0; i < c->n_links; i++)
        for (enum wan_family family = 0; c->links[i].mark && family < WAN_FAMILIES; family++)
            if (balance_is_flushed(c, f, i, family))
                return true;
    return false;
}

int moveflows_end(const struct gateway_config *c, const struct wan_facts *f, unsigned *ret_n)
{
    struct job j = {c, f};
    struct conntrack_filter filter = {.also = is_due, .user = &j};
    struct conntrack *ct = NULL;
    unsigned n = 0;
    int rv = is_wanted(c, f) ? conntrack_open(&ct) : 0;

    if (ct)
        rv = conntrack_flush(ct, &filter, &n);
    conntrack_close(ct);
    if (ret_n)
        *ret_n = n;
    return rv;
}
