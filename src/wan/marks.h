/* The chains that choose a link for each new flow, mark it, and keep every flow to its link. */
#ifndef WAN_MARKS_H
#define WAN_MARKS_H

#include <stdio.h>

#include "wan/state.h"

/* Does the configuration choose links by flow? Only then there is something to write. */
bool marks_are_used(const struct gateway_config *c);

/* The blocks within the table, after its head: counters, sets, chains. The text is such as nft(8)
 * lists it where that matters: the lines of sets, and the number of all lines. */
void marks_write(FILE *out, const struct gateway_config *c, const struct wan_facts *f);

#endif
