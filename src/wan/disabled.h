/* Links that the operator has taken out of service: their names in a file, so that a restart does
 * not forget them. The file is written as a whole, to be found by its new name or not at all. */
#ifndef WAN_DISABLED_H
#define WAN_DISABLED_H

#include "config/gateway.h"

enum { DISABLED_MAX = 2 * GATEWAY_LINKS_MAX };

struct disabled_link {
    char name[CONFIG_PATH_NAME_MAX];
    int64_t since_s; /* seconds since 1970 */
};

/* Names that no configuration has are kept: the next one may have them again. */
struct disabled {
    struct disabled_link v[DISABLED_MAX];
    unsigned n;
};

/* Read the file; one that is not there has none. Lines that are none of ours are passed over.
 * Returns 0 or -errno, *ret being empty then. */
int disabled_read(const char *file, struct disabled *ret);

/* The entry of that name, or NULL. */
const struct disabled_link *disabled_find(const struct disabled *d, const char *name);

/* Put a link out of service, or back. Returns 1; 0: it was so; -ENOSPC: there are DISABLED_MAX;
 * other -errno: nothing was changed. */
int disabled_set(const char *file, const char *name, bool off, int64_t now_s);

#endif
