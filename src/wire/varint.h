/* Variable-length integers of QUIC (RFC 9000, 16): 1, 2, 4 or 8 bytes, 62 bits. */
#ifndef WIRE_VARINT_H
#define WIRE_VARINT_H

#include <stddef.h>
#include <stdint.h>

#define VARINT_MAX ((UINT64_C(1) << 62) - 1)
enum { VARINT_LEN_MAX = 8 };

/* Bytes of the shortest encoding of v, 0 when v is larger than VARINT_MAX. */
size_t varint_len(uint64_t v);

/* Write the shortest encoding. Returns its length, or 0 (nothing written) when v is larger than
 * VARINT_MAX or cap too small. */
size_t varint_put(uint8_t *p, size_t cap, uint64_t v);

/* Read one integer; a longer encoding than needed is valid. Returns its length, or 0 when fewer
 * bytes are there than it has (*ret unchanged). */
size_t varint_get(const uint8_t *p, size_t len, uint64_t *ret);

#endif
