/* HTTP/3 as bytes, put together by hand: what a peer of a fake lane says. */
#ifndef TESTS_H3_BYTES_H
#define TESTS_H3_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct bytes {
    size_t n;
    uint8_t p[16384];
};

static inline void bytes_put(struct bytes *b, const void *data, size_t len)
{
    if (len > sizeof(b->p) - b->n)
        abort();
    if (len)
        memcpy(b->p + b->n, data, len);
    b->n += len;
}

static inline void bytes_u8(struct bytes *b, unsigned v)
{
    uint8_t byte = (uint8_t)v;

    bytes_put(b, &byte, 1);
}

/* RFC 9000, 16: of 1, 2, 4 or 8 bytes. */
static inline void bytes_int(struct bytes *b, uint64_t v)
{
    unsigned log = v < 0x40 ? 0 : v < 0x4000 ? 1 : v < 0x40000000 ? 2 : 3;

    for (unsigned i = 1u << log; i-- > 0;)
        bytes_u8(b, (unsigned)(v >> (8 * i) & 0xff) | (i + 1 == 1u << log ? log << 6 : 0));
}

/* Type, length and payload: a frame (RFC 9114, 7.1) or a capsule (RFC 9297, 3.2). */
static inline void bytes_frame(struct bytes *b, uint64_t type, const void *data, size_t len)
{
    bytes_int(b, type);
    bytes_int(b, len);
    bytes_put(b, data, len);
}

/* An integer with a prefix of that many bits, behind the flags of the first byte (RFC 7541, 5.1).
 */
static inline void bytes_prefixed(struct bytes *b, unsigned flags, unsigned bits, size_t v)
{
    size_t most = (1u << bits) - 1;

    if (v < most) {
        bytes_u8(b, flags | (unsigned)v);
        return;
    }
    bytes_u8(b, flags | (unsigned)most);
    for (v -= most; v >= 128; v >>= 7)
        bytes_u8(b, (unsigned)(v & 0x7f) | 0x80);
    bytes_u8(b, (unsigned)v);
}

/* A literal field line with a literal name (RFC 9204, 4.5.6). */
static inline void bytes_field(struct bytes *b, const char *name, const char *value)
{
    bytes_prefixed(b, 0x20, 3, strlen(name));
    bytes_put(b, name, strlen(name));
    bytes_prefixed(b, 0, 7, strlen(value));
    bytes_put(b, value, strlen(value));
}

/* A HEADERS frame; fields are name, value, ..., NULL. */
static inline void bytes_headers(struct bytes *b, const char *const *fields)
{
    struct bytes section = {.n = 0};

    bytes_put(&section, "\0\0", 2); /* no dynamic table (RFC 9204, 4.5.1) */
    for (; fields[0]; fields += 2)
        bytes_field(&section, fields[0], fields[1]);
    bytes_frame(b, 0x01, section.p, section.n);
}

/* The beginning of a control stream: SETTINGS with these two. */
static inline void bytes_settings(struct bytes *b, unsigned connect_protocol, unsigned h3_datagram)
{
    const uint8_t settings[] = {0x08, (uint8_t)connect_protocol, 0x33, (uint8_t)h3_datagram};

    bytes_u8(b, 0x00);
    bytes_frame(b, 0x04, settings, sizeof(settings));
}

/* RFC 9484, figure 4, with one field more when name is not NULL. */
static inline void bytes_connect(struct bytes *b, const char *name, const char *value)
{
    const char *const fields[] = {":method",
                                  "CONNECT",
                                  ":protocol",
                                  "connect-ip",
                                  ":scheme",
                                  "https",
                                  ":path",
                                  "/.well-known/masque/ip/*/*/",
                                  ":authority",
                                  "example.org",
                                  "capsule-protocol",
                                  "?1",
                                  name,
                                  value,
                                  NULL};

    bytes_headers(b, fields);
}

static inline void bytes_answer(struct bytes *b, const char *status, const char *name,
                                const char *value)
{
    const char *const fields[] = {":status", status, name, value, NULL};

    bytes_headers(b, fields);
}

/* A DATA frame with one capsule. */
static inline void bytes_capsule(struct bytes *b, uint64_t type, const void *value, size_t len)
{
    struct bytes capsule = {.n = 0};

    bytes_frame(&capsule, type, value, len);
    bytes_frame(b, 0x00, capsule.p, capsule.n);
}

/* An ADDRESS_REQUEST for any IPv4 address. */
static inline void bytes_addr_request(struct bytes *b, uint64_t id)
{
    struct bytes value = {.n = 0};

    bytes_int(&value, id);
    bytes_put(&value, "\x04\0\0\0\0\x20", 6);
    bytes_capsule(b, 0x02, value.p, value.n);
}

/* An HTTP Datagram with an IP packet of one byte, which tells it apart. */
static inline void bytes_dgram(struct bytes *b, uint64_t stream, unsigned mark)
{
    bytes_int(b, stream / 4);
    bytes_int(b, 0);
    bytes_u8(b, mark);
}

#endif
