/* Who is missing at a hub. */
#ifndef DAEMON_ABSENT_H
#define DAEMON_ABSENT_H

#include "config/config.h"
#include "peer/hub.h"
#include "status/status.h"

/* Into s->absent: peers that were up and are gone; and those that the configuration has an entry
 * for, but that have not been up since the hub started. s->peers is known already. Returns 0 or
 * -ENOMEM. */
int absent_list(const struct hub *hub, const struct tunnel_config *c, uint64_t now_ns,
                struct status *s);

#endif
