/* The table of nftables: what is translated and marked, and the firewall. */
#ifndef WAN_FIREWALL_H
#define WAN_FIREWALL_H

#include "config/gateway.h"
#include "wan/objects.h"
#include "wan/state.h"

/* The text of the table, to be freed, and an id that changes with it and is the name of a chain in
 * it; NULL and "" when there is nothing to say. Pure. 0 or -ENOMEM. */
int firewall_text(const struct gateway_config *c, const struct wan_facts *f,
                  char ret_id[static WAN_ID_MAX], char **ret);

/* The id in a listing; "changed" when it has none that fits its number of lines. */
void firewall_id(const char *listing, char ret_id[static WAN_ID_MAX]);

#endif
