#include "daemon/remote.h"

static uint8_t family_of(const struct net_addr *a)
{
    return net_addr_ip(a).family;
}

const struct net_addr *remote_choose(struct remote_choice *c, unsigned families)
{
    const struct net_addr *usable[RESOLVE_MAX];
    unsigned n = 0, first = 0;

    for (unsigned i = 0; i < c->n; i++) {
        uint8_t family = family_of(&c->v[i]);

        if (!(families & remote_family_bit(family)))
            continue;
        if (family == c->proven)
            first = n;
        usable[n++] = &c->v[i];
    }
    c->turns = n;
    return n ? usable[(first + c->silent) % n] : NULL;
}

void remote_on_up(struct remote_choice *c, uint8_t family)
{
    c->proven = family;
    c->silent = 0;
}

bool remote_on_silence(struct remote_choice *c)
{
    c->silent++;
    return c->turns < 2 || c->silent % c->turns == 0;
}
