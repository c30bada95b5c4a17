/* A look at the peer's SETTINGS (RFC 9114, 7.2.4), as the bytes of its control stream pass by.
 *
 * The HTTP/3 library reads SETTINGS_ENABLE_CONNECT_PROTOCOL on a server only, but it is the
 * client that must not send :protocol without it (RFC 9220, 3). Everything else about SETTINGS
 * is left to the library, errors included. */
#ifndef MASQUE_SETTINGS_H
#define MASQUE_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SETTINGS_BYTES_MAX = 512 };

struct settings_tap {
    uint64_t seen;  /* bit n: the peer's unidirectional stream number n has begun */
    int64_t stream; /* the control stream, once known */
    bool known, done;
    bool connect_protocol; /* SETTINGS_ENABLE_CONNECT_PROTOCOL is 1 */
    size_t len;
    uint8_t buf[SETTINGS_BYTES_MAX];
};

/* Data of the peer's unidirectional stream, in order. */
void settings_tap_data(struct settings_tap *t, int64_t stream, const uint8_t *data, size_t len);

#endif
