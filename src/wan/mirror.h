/* What the kernel has, read anew as a whole whenever something has changed: what is ours, the facts
 * about the links, and what others have that is in the way. */
#ifndef WAN_MIRROR_H
#define WAN_MIRROR_H

#include "nft/nftable.h"
#include "wan/objects.h"
#include "wan/state.h"

enum { WAN_CONFLICTS_MAX = 32, WAN_CONFLICT_TEXT_MAX = 512 };

struct wan_mirror {
    struct wan_facts facts;
    struct wan_objects ours; /* the settings are not read here */
    char conflict[WAN_CONFLICTS_MAX][WAN_CONFLICT_TEXT_MAX];
    unsigned n_conflicts;       /* may be more than are kept */
    struct wan_objects foreign; /* the rules and routes that these are about */
};

/* Read it. good: how the table of nftables was listed after it was set last, or NULL when that is
 * not known: then its comment and its size are believed. Returns 0 or -errno; *ret is to be
 * released with wan_mirror_done() in every case. */
int wan_mirror_read(struct netlink *nl, struct nftable *nft, const struct gateway_config *c,
                    const char *good, struct wan_mirror *ret);
void wan_mirror_done(struct wan_mirror *m);

#endif
