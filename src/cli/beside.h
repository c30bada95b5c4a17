/* What else is on this machine that a new tunnel could collide with. */
#ifndef CLI_BESIDE_H
#define CLI_BESIDE_H

#include "config/config.h"
#include "pki/error.h"

/* Whether the client's configuration, to become dir/NAME.yaml, can run beside the other instances
 * that have their configuration there, and beside the interfaces and routes that the kernel has:
 * the name of its TUN, and its routes. A configuration that cannot be read or has errors is left
 * out of it; so are the routes of the TUN old_tun (NULL: none), which will be gone. Returns 0, or
 * -EEXIST with what is in the way and the remedy. */
int beside_check(const char *dir, const char *name, const struct tunnel_config *c,
                 const char *old_tun, struct pki_error *e);

#endif
