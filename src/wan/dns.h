/* One question to a DNS server, and its answer (RFC 1035 4). Pure. */
#ifndef WAN_DNS_H
#define WAN_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/gateway.h"

/* A header, a name, type and class. */
enum { DNS_QUERY_MAX = 12 + 255 + 4 };

struct dns_answer {
    uint8_t rcode;
    unsigned n_addresses; /* A and AAAA records in its answer section */
};

/* The question for a name ("": the root), recursion desired. Returns 0, -EINVAL: no such name can
 * be. */
int dns_query_write(const char *name, enum gateway_record record, uint16_t id,
                    uint8_t buf[static DNS_QUERY_MAX], size_t *ret_len);

/* Is this an answer to the query with that id, and well-formed? *ret_id: the id that it bears, to
 * be compared by the caller. One that says it was cut off is counted as far as it goes. 0 or
 * -EINVAL. query: as of dns_query_write(), its id does not matter. */
int dns_answer_read(const uint8_t *data, size_t len, const uint8_t *query, size_t query_len,
                    uint16_t *ret_id, struct dns_answer *ret);

/* Is it one that was hoped for? */
bool dns_answer_counts(const struct dns_answer *a, enum gateway_expect expect);

#endif
