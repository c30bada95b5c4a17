/* The prefix of an HTTP/3 Datagram on an IP proxying stream.
 *
 *      Quarter Stream ID (varint)   RFC 9297, 2.1    not in a DATAGRAM capsule
 *      Context ID (varint)          RFC 9484, 6      0: an IP packet follows
 *      Payload
 */
#ifndef WIRE_DGRAM_H
#define WIRE_DGRAM_H

#include "packet/pkt.h"

#include <stddef.h>
#include <stdint.h>

enum { DGRAM_PREFIX_MAX = 16, DGRAM_CONTEXT_IP = 0 };

/* X(symbol, name) */
#define DGRAM_ERRORS(X)                                                 \
    X(DGRAM_OK, "ok")                                                   \
    X(DGRAM_STREAM_SHORT, "datagram ends inside the Quarter Stream ID") \
    X(DGRAM_STREAM_RANGE, "Quarter Stream ID above 2^60-1")             \
    X(DGRAM_CONTEXT_SHORT, "datagram ends inside the Context ID")

/* DGRAM_STREAM_* are connection errors of type H3_DATAGRAM_ERROR (RFC 9297, 2.1);
 * DGRAM_CONTEXT_SHORT is no protocol error by any RFC: drop the datagram (DROP_MALFORMED). */
enum dgram_error {
#define X(sym, name) sym,
    DGRAM_ERRORS(X)
#undef X
        DGRAM_ERROR_COUNT
};

const char *dgram_error_name(enum dgram_error e);

/* Bytes of the prefix, or 0 when stream_id is not a client-initiated bidirectional stream (a
 * multiple of 4, at most 2^62-4) or context_id is above 2^62-1. */
size_t dgram_prefix_len(uint64_t stream_id, uint64_t context_id);

/* Write the prefix to p. Returns its length, or 0 for a bad value or too little room. */
size_t dgram_prefix_put(uint8_t *p, size_t cap, uint64_t stream_id, uint64_t context_id);

/* Put the prefix in front of pkt, in its headroom; data and len then cover the whole datagram.
 * The packet must be ready for the wire: no GSO, no partial checksum (whose offsets are from
 * data). Returns 0; -EINVAL for a bad value or a packet that is not ready; -ENOSPC when the
 * headroom is too small. On failure pkt is unchanged. */
int dgram_push_prefix(struct pkt *pkt, uint64_t stream_id, uint64_t context_id);

/* Read the Quarter Stream ID; *ret_stream_id is the stream (four times it), *ret_len the bytes to
 * skip to the HTTP Datagram Payload. */
enum dgram_error dgram_get_stream(const uint8_t *p, size_t len, uint64_t *ret_stream_id,
                                  size_t *ret_len);

/* Read the Context ID at the start of an HTTP Datagram Payload; *ret_len is the bytes to skip to
 * the payload, which can be empty. */
enum dgram_error dgram_get_context(const uint8_t *p, size_t len, uint64_t *ret_context_id,
                                   size_t *ret_len);

#endif
