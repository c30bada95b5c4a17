/* What the gateway that runs knows of the links, for the verbs of the command line and for the one
 * that runs after it: a file in the run directory, which a boot empties.
 *
 *      {"written_ns": 812345678, "links": [{"name": "wan1", "ipv4": {"state": "healthy",
 *       "since": 1769860800, "probe": {"state": "healthy", "answering": 2, ...}}, "ipv6": ...}]}
 */
#ifndef WAN_HEALTHFILE_H
#define WAN_HEALTHFILE_H

#include "wan/state.h"

/* So old it still counts; who runs writes it more often. */
#define HEALTHFILE_VALID_NS 60000000000ull

/* Write it as a whole. now_ns: CLOCK_MONOTONIC. 0 or -errno. */
int healthfile_write(const char *file, const struct gateway_config *c, const struct wan_health *h,
                     uint64_t now_ns);

/* Take what it says of the links of the configuration, by their names, into *h: nothing that is
 * older than HEALTHFILE_VALID_NS, or not understood. Returns 0, -ENOENT: there is none, -ESTALE,
 * -EINVAL, or other -errno; *h is then as it was. Whether a link is disabled is not its matter. */
int healthfile_read(const char *file, const struct gateway_config *c, uint64_t now_ns,
                    struct wan_health *h);

/* The same from memory. */
int healthfile_parse(const char *text, size_t len, const struct gateway_config *c, uint64_t now_ns,
                     struct wan_health *h);

#endif
