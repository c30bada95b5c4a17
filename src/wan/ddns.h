/* Dynamic DNS: whoever the configuration names is told the address of a link, when it is another
 * one than was told last, while the link can be used.
 *
 * Each telling is a process without privileges that ends within half a minute: for a name server it
 * sends the update by a socket that this process has bound to the link's interface; a URL is
 * fetched by curl(1), which binds itself. The key, and the URL, which may hold a password, are in
 * memory and in a pipe, never in the arguments of a process. */
#ifndef WAN_DDNS_H
#define WAN_DDNS_H

#include "loop/loop.h"
#include "wan/state.h"

struct ddns;

/* The address was told (error NULL), or could not be, and is tried again later. */
typedef void ddns_fn(void *user, const struct gateway_dns *d, const struct ip_addr *address,
                     const char *error);

/* before (NULL: none), which is consumed: what it has told for an entry that is the same still
 * counts. Does nothing, and returns 0 and NULL, when there is no entry. Else 0 or -ENOMEM. */
int ddns_start(struct loop *loop, const struct gateway_config *c, struct ddns *before, ddns_fn *fn,
               void *user, struct ddns **ret);
void ddns_stop(struct ddns *d); /* accepts NULL */

/* What the kernel says of the links by now. */
void ddns_on_facts(struct ddns *d, const struct wan_facts *f);

/* --- for tests, pure ------------------------------------------------------------------- */

/* The address of the link that is told: the first of the family that is not link-local; family 0:
 * there is none, or the link cannot be used. */
struct ip_addr ddns_address(const struct gateway_config *c, const struct wan_facts *f,
                            const struct gateway_dns *d);

/* How long to wait after so many failures in a row, without the jitter that is added. */
uint64_t ddns_pause_ns(unsigned failures);

#endif
