/* What the interfaces of this machine say to a configuration. */
#ifndef CLI_CHECKLINKS_H
#define CLI_CHECKLINKS_H

#include "config/config.h"

/* Add a warning for each interface that is named to send from and is not there now, and for a
 * tun_name that is an interface of another kind. */
void check_links(const struct tunnel_config *c, struct config_report *report);

#endif
