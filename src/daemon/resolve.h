/* Name resolution that never blocks the event loop: getaddrinfo() in a thread, at most one at a
 * time, the answer through a descriptor. */
#ifndef DAEMON_RESOLVE_H
#define DAEMON_RESOLVE_H

#include <stdint.h>

#include "base/addr.h"

enum { RESOLVE_MAX = 2 };

struct resolve;

/* Start resolving; family 4, 6 or 0 (either). A literal address needs no thread and is ready at
 * once. Returns NULL when out of memory or threads. */
struct resolve *resolve_start(const char *host, uint16_t port, uint8_t family);

/* Readable when the answer is there. */
int resolve_fd(const struct resolve *r);

/* The answer: 0 and the first address of each family in ret[0] to ret[*ret_n - 1], in the order in
 * which this machine would try them, at least one; or a negative EAI_* code. Valid once the
 * descriptor is readable. */
int resolve_result(const struct resolve *r, struct net_addr ret[static RESOLVE_MAX],
                   unsigned *ret_n);

/* Forget it; a thread still at work ends by itself. Accepts NULL. */
void resolve_free(struct resolve *r);

#endif
