/* A status as the text of an answer. */
#ifndef DAEMON_ANSWER_H
#define DAEMON_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

#include "status/status.h"

/* JSON of at most max bytes, to be freed: of everything, or of the peers only. A hub with so many
 * peers that it would be longer lists only some of them, and a warning says so. NULL when out of
 * memory. */
char *answer_status(struct status *s, bool peers_only, size_t max);

#endif
