/* Which address of the hub a path goes to, when the hub's name has one of each family.
 *
 * The resolver's order is that of the machine, whose other WANs may have what this one has not: so
 * only a family counts for which the path has an address to send from. One over which a tunnel was
 * up is kept while that is so, else the resolver's order decides. When an attempt stays without
 * any answer the next goes to the other address, and so on in turn. */
#ifndef DAEMON_REMOTE_H
#define DAEMON_REMOTE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/resolve.h"

/* Start from {0}. */
struct remote_choice {
    struct net_addr v[RESOLVE_MAX]; /* in the resolver's order, one of each family */
    unsigned n;                     /* 0: not known yet */
    uint8_t proven;                 /* a tunnel was up over this family; 0: none yet */
    unsigned silent;                /* attempts without any answer since then */
    unsigned turns;                 /* so many addresses take turns */
};

/* What bits a set of families is made of. */
static inline unsigned remote_family_bit(uint8_t family)
{
    return 1u << (family == 6);
}

/* The address to go to, of a family that is among those that can be sent from; NULL: none. */
const struct net_addr *remote_choose(struct remote_choice *c, unsigned families);

/* A tunnel is up over that family. */
void remote_on_up(struct remote_choice *c, uint8_t family);

/* An attempt ended without any answer. True when each address has had its turn. */
bool remote_on_silence(struct remote_choice *c);

#endif
