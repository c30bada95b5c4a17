/* Prefixes that providers delegate, as their clients tell: in the file gateway.delegated of the
 * state directory, a line "DEVICE PREFIX UNTIL" for each interface, so that a restart does not
 * forget them. */
#ifndef WAN_DELEGATION_H
#define WAN_DELEGATION_H

#include "config/gateway.h"

#define DELEGATION_NAME "gateway.delegated"

enum { DELEGATIONS_MAX = 2 * GATEWAY_LINKS_MAX };

struct delegation {
    char device[16];
    struct ip_prefix prefix;
    int64_t until_s; /* seconds since 1970; 0: for ever */
};

/* Those of interfaces that no configuration has are kept: the next one may have them. */
struct delegations {
    struct delegation v[DELEGATIONS_MAX];
    unsigned n;
};

/* From the text of the file. Pure. Lines that cannot be understood are passed over, and of one
 * interface the first counts. */
void delegations_parse(const char *text, struct delegations *ret);

/* Read the file of the directory; one that is not there has none. Returns 0 or -errno, *ret being
 * empty then. */
int delegations_read(const char *dir, struct delegations *ret);

/* The prefix of an interface that holds at that time, or NULL. */
const struct delegation *delegations_find(const struct delegations *d, const char *device,
                                          int64_t now_s);

/* The interface has this prefix from now on; NULL: none. Returns 1; 0: it was so; -ENOSPC: there
 * are DELEGATIONS_MAX; other -errno: nothing was changed. */
int delegations_set(const char *dir, const char *device, const struct ip_prefix *prefix,
                    int64_t until_s);

#endif
