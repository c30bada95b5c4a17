/* One table of nftables that is ours alone: set as a whole in one transaction, read back, removed;
 * and a signal that somebody has changed something in nftables. Other tables are never looked at.
 */
#ifndef NFT_NFTABLE_H
#define NFT_NFTABLE_H

#include <stdbool.h>
#include <stddef.h>

#define NFTABLE_FAMILY "inet"
#define NFTABLE_NAME "mpquic_gateway"

struct nftable;

/* Returns 0, -ENOMEM, or -errno when the kernel refuses the signal's socket. Close accepts NULL and
 * leaves the table as it is. */
int nftable_open(struct nftable **ret);
void nftable_close(struct nftable *t);

/* Make the table hold what text says, "table inet mpquic_gateway { ... }", in place of what it
 * held, in one transaction. Named counters go on, and so do sets that packets fill, when text has
 * them as they are listed; a chain stays at its hook. Returns 0, or -EINVAL: nothing was changed,
 * and nftable_error() says why. */
int nftable_set(struct nftable *t, const char *text);

/* Remove it; one that is not there is success. 0 or -EINVAL, as above. */
int nftable_remove(struct nftable *t);

/* The table as nft(8) lists it, without counts and without the elements of named sets, to be freed;
 * NULL in *ret when it is not there. Returns 0, -ENOMEM; -EINVAL as above. */
int nftable_list(struct nftable *t, char **ret);

/* What the last call that failed had to say; until the next call. */
const char *nftable_error(const struct nftable *t);

/* A non-blocking descriptor, readable when something has changed, by us too. */
int nftable_fd(const struct nftable *t);

/* Take what waits, a bounded part of it. 1: something has changed; 0: not; -errno: broken. */
int nftable_take(struct nftable *t);

#endif
