/* HTTP Datagrams that came before the request or the answer that they belong to: datagrams are not
 * ordered with streams (RFC 9297, 2.1). Kept in the order of arrival within a bound. */
#ifndef MASQUE_EARLY_H
#define MASQUE_EARLY_H

#include <stddef.h>
#include <stdint.h>

enum {
    EARLY_PACKETS_MAX = 32, /* of one lane */
    EARLY_BYTES_MAX = 64 * 1024
};

struct early_packet {
    struct early_packet *next;
    int64_t stream;
    size_t len;
    uint8_t data[];
};

struct early {
    struct early_packet *first, *last;
    unsigned n;
    size_t bytes;
};

/* Keep a copy. Returns 0; -ENOSPC when a bound is reached; -ENOMEM. */
int early_add(struct early *e, int64_t stream, const uint8_t *data, size_t len);

/* Take out the oldest one of this stream; NULL: none. The caller frees it with free(). */
struct early_packet *early_take(struct early *e, int64_t stream);

/* Take out the oldest one of any stream. */
struct early_packet *early_take_any(struct early *e);

#endif
