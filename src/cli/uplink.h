/* The interface by which a tunnel's own packets must leave. */
#ifndef CLI_UPLINK_H
#define CLI_UPLINK_H

#include "config/config.h"
#include "pki/error.h"

enum { UPLINK_NAME_MAX = 16 };

/* Whether the routes of a client's configuration would lead the tunnel's own packets into the
 * tunnel, and if so the interface by which its server is reached now, to which the socket is then
 * to be bound; "" when there is no such danger. Resolves the server's name. Returns 0; -EINVAL when
 * the socket is bound to an address, or the server is reached through a tunnel already, and
 * -errno: there is danger and no way out that can be found here. The error names the remedy. */
int uplink_find(const struct tunnel_config *c, char ret[static UPLINK_NAME_MAX],
                struct pki_error *e);

#endif
