/* The Capsule Protocol (RFC 9297, 3), the capsules of IP proxying (RFC 9484, 4.7) and of the
 * session extension (doc/protocol.md).
 *
 * A capsule is type, length, value on the request stream. struct capsule_parser takes the stream
 * in chunks of any size and gives back whole capsules of the known types:
 *
 *      type                     longest value           longer
 *      DATAGRAM           0x00  CAPSULE_VALUE_MAX       skipped, counted (RFC 9297, 3.5)
 *      ADDRESS_ASSIGN     0x01  CAPSULE_VALUE_MAX       CAPSULE_TOO_LONG
 *      ADDRESS_REQUEST    0x02  CAPSULE_VALUE_MAX       CAPSULE_TOO_LONG
 *      ROUTE_ADVERTISEMENT 0x03 CAPSULE_VALUE_MAX       CAPSULE_TOO_LONG
 *      CLASS_TABLE  0x2d707101  CAPSULE_VALUE_MAX       CAPSULE_TOO_LONG
 *      PATH_STATUS  0x2d707102  CAPSULE_VALUE_MAX       CAPSULE_TOO_LONG
 *      LANES        0x2d707103  CAPSULE_VALUE_MAX       CAPSULE_TOO_LONG
 *      any other                skipped without being stored, whatever its length (RFC 9297, 3.2)
 *
 * Every error ends the request: abort the stream with capsule_error_h3_code().
 */
#ifndef WIRE_CAPSULE_H
#define WIRE_CAPSULE_H

#include "base/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum capsule_type {
    CAPSULE_DATAGRAM = 0x00,
    CAPSULE_ADDRESS_ASSIGN = 0x01,
    CAPSULE_ADDRESS_REQUEST = 0x02,
    CAPSULE_ROUTE_ADVERTISEMENT = 0x03,
    CAPSULE_CLASS_TABLE = 0x2d707101, /* wire/class.h */
    CAPSULE_PATH_STATUS = 0x2d707102,
    CAPSULE_LANES = 0x2d707103,
};

enum {
    CAPSULE_VALUE_MAX = 16384,
    CAPSULE_HEADER_MAX = 16,
    CAPSULE_ADDRS_MAX = 64,   /* addresses in one capsule that we take or make */
    CAPSULE_ROUTES_MAX = 256, /* ranges in one capsule that we take or make */
    CAPSULE_LANES_MAX = 16,   /* the largest value of LANES; the least is 1 */
};

/* HTTP/3 error codes for the stream (RFC 9114, 8.1). A malformed capsule is a malformed message
 * (RFC 9297, 3.3), which is H3_MESSAGE_ERROR (RFC 9114, 4.1.2). Where RFC 9484 says "abort" without
 * a code we use the same. H3_DATAGRAM_ERROR (0x33) is for datagrams, see wire/dgram.h. */
enum { H3_EXCESSIVE_LOAD = 0x107, H3_MESSAGE_ERROR = 0x10e, H3_DATAGRAM_ERROR = 0x33 };

/* X(symbol, HTTP/3 code, name) */
#define CAPSULE_ERRORS(X)                                                                     \
    X(CAPSULE_OK, 0, "ok")                                                                    \
    X(CAPSULE_STREAM_END, H3_MESSAGE_ERROR, "the stream ended inside a capsule")              \
    X(CAPSULE_CUT_SHORT, H3_MESSAGE_ERROR, "the capsule ends inside an entry")                \
    X(CAPSULE_IP_VERSION, H3_MESSAGE_ERROR, "IP Version is neither 4 nor 6")                  \
    X(CAPSULE_PREFIX_LENGTH, H3_MESSAGE_ERROR, "IP Prefix Length is larger than the address") \
    X(CAPSULE_HOST_BITS, H3_MESSAGE_ERROR, "address bits behind the prefix are not zero")     \
    X(CAPSULE_REQUEST_ID_ZERO, H3_MESSAGE_ERROR, "Request ID of an ADDRESS_REQUEST is zero")  \
    X(CAPSULE_REQUEST_ID_REUSED, H3_MESSAGE_ERROR, "Request ID is used twice")                \
    X(CAPSULE_REQUEST_EMPTY, H3_MESSAGE_ERROR, "ADDRESS_REQUEST without an address")          \
    X(CAPSULE_RANGE_REVERSED, H3_MESSAGE_ERROR, "range starts behind its end")                \
    X(CAPSULE_RANGE_ORDER, H3_MESSAGE_ERROR, "ranges are out of order or overlap")            \
    X(CAPSULE_RANGE_OVERLAP, H3_MESSAGE_ERROR, "range for all protocols overlaps another")    \
    X(CAPSULE_LANES_RANGE, H3_MESSAGE_ERROR, "number of lanes is not 1 to 16")                \
    X(CAPSULE_BAD_VALUE, H3_MESSAGE_ERROR, "a value is out of its range")                     \
    X(CAPSULE_TOO_MANY, H3_EXCESSIVE_LOAD, "more entries than this endpoint takes")           \
    X(CAPSULE_TOO_LONG, H3_EXCESSIVE_LOAD, "capsule longer than this endpoint takes")         \
    X(CAPSULE_NO_MEMORY, H3_EXCESSIVE_LOAD, "no memory for a capsule")

enum capsule_error {
#define X(sym, code, name) sym,
    CAPSULE_ERRORS(X)
#undef X
        CAPSULE_ERROR_COUNT
};

const char *capsule_error_name(enum capsule_error e);
uint64_t capsule_error_h3_code(enum capsule_error e);

/* An Assigned Address or a Requested Address (RFC 9484, Figures 8 and 10). */
struct assigned_addr {
    uint64_t request_id; /* 0 in ADDRESS_ASSIGN: not the answer to a request */
    struct ip_prefix prefix;
};

/* An IP Address Range (RFC 9484, Figure 12), both ends inclusive. proto 0: all protocols. */
struct ip_route_range {
    struct ip_addr first, last;
    uint8_t proto;
};

struct capsule_addrs {
    unsigned n;
    struct assigned_addr v[CAPSULE_ADDRS_MAX];
};

struct capsule_routes {
    unsigned n;
    struct ip_route_range v[CAPSULE_ROUTES_MAX];
};

/* One whole capsule. value points into the parser or into the caller's input and is valid until
 * the next call for this parser. */
struct capsule_view {
    enum capsule_type type;
    const uint8_t *value;
    size_t len;
};

/* Opaque but embeddable; one per receive side of a request stream. It holds memory only for a
 * value that came in pieces. */
struct capsule_parser {
    uint8_t state;
    uint8_t header_len;
    uint8_t header[CAPSULE_HEADER_MAX];
    enum capsule_error error; /* sticky */
    uint64_t type;
    uint64_t left;              /* bytes of the value still to come */
    uint64_t datagrams_skipped; /* DATAGRAM capsules too long to take */
    size_t value_len;
    uint8_t *value; /* NULL, or room for all of it */
};

/* Begin a stream. Call capsule_parser_done() before it is used for another one. */
void capsule_parser_init(struct capsule_parser *p);

/* Free what it holds. Allowed on a zeroed struct, and again. */
void capsule_parser_done(struct capsule_parser *p);

/* Take bytes from *data, *len (both are advanced) up to the end of the next known capsule.
 * Returns 1 and *ret_capsule: handle it and call again, even when *len is now 0; 0 when all input
 * is used up; -EBADMSG when the stream must be aborted: p->error says why, and every later call
 * fails the same way. */
int capsule_parser_next(struct capsule_parser *p, const uint8_t **data, size_t *len,
                        struct capsule_view *ret_capsule);

/* The peer closed its side cleanly. Returns CAPSULE_OK when that was between two capsules,
 * CAPSULE_STREAM_END when one was cut off (RFC 9297, 3.3), or the earlier error. */
enum capsule_error capsule_parser_end(const struct capsule_parser *p);

/* Decode the value of an ADDRESS_ASSIGN or ADDRESS_REQUEST (type) with all rules of RFC 9484,
 * 4.7.1 and 4.7.2. On error *ret is unchanged. Request IDs are compared inside the capsule; that
 * a later capsule does not reuse one is the caller's check. */
enum capsule_error capsule_get_addrs(enum capsule_type type, const uint8_t *value, size_t len,
                                     struct capsule_addrs *ret);

/* Decode the value of a ROUTE_ADVERTISEMENT with all rules of RFC 9484, 4.7.3, the optional one
 * included: a range for all protocols overlaps no other. On error *ret is unchanged. */
enum capsule_error capsule_get_routes(const uint8_t *value, size_t len, struct capsule_routes *ret);

/* Decode the value of LANES. On error *ret is unchanged. */
enum capsule_error capsule_get_lanes(const uint8_t *value, size_t len, unsigned *ret);

/* Encode a whole capsule, header included. The same rules are checked. Returns 0 and the length;
 * -EINVAL when a rule is broken; -ENOSPC when cap is too small. CAPSULE_HEADER_MAX +
 * CAPSULE_VALUE_MAX bytes are always enough. */
int capsule_put_addrs(enum capsule_type type, const struct capsule_addrs *addrs, uint8_t *buf,
                      size_t cap, size_t *ret_len);
int capsule_put_routes(const struct capsule_routes *routes, uint8_t *buf, size_t cap,
                       size_t *ret_len);

int capsule_put_lanes(unsigned lanes, uint8_t *buf, size_t cap, size_t *ret_len);

/* An Assigned Address that says "no address for this request": a request ID and 0.0.0.0/32 or
 * ::/128 (RFC 9484, 4.7.2). */
bool assigned_addr_is_refusal(const struct assigned_addr *a);

/* The range of a prefix. */
struct ip_route_range ip_route_range_of(const struct ip_prefix *prefix, uint8_t proto);

/* Whether some range holds dst for this protocol; ICMP of dst's family always may go to any range
 * (RFC 9484, 4.7.3). */
bool capsule_routes_allow(const struct capsule_routes *routes, const struct ip_addr *dst,
                          uint8_t proto);

#endif
