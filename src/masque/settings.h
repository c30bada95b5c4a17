/* A look at the peer's SETTINGS (RFC 9114, 7.2.4), as the bytes of its control stream pass by.
 *
 * The HTTP/3 library reads SETTINGS_ENABLE_CONNECT_PROTOCOL on a server only, but it is the
 * client that must not send :protocol without it (RFC 9220, 3). Everything else about SETTINGS
 * is left to the library, errors included. Integers may come in any length and cut anywhere; none
 * of the bytes is stored but those of the integer being read. */
#ifndef MASQUE_SETTINGS_H
#define MASQUE_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SETTINGS_STREAMS_MAX = 16 }; /* the control stream is among the first this many */

/* Where one unidirectional stream stands. */
struct settings_stream {
    uint8_t state;
    uint8_t n; /* bytes of the integer so far */
    uint8_t integer[8];
    uint64_t left; /* bytes of the SETTINGS frame still to come */
    uint64_t id;   /* of the setting whose value follows */
};

struct settings_tap {
    struct settings_stream stream[SETTINGS_STREAMS_MAX];
    bool done;             /* the SETTINGS frame is over, or it is not one */
    bool connect_protocol; /* SETTINGS_ENABLE_CONNECT_PROTOCOL is 1 */
};

/* Data of one of the peer's unidirectional streams, in order. A zeroed *t is a new one. */
void settings_tap_data(struct settings_tap *t, int64_t stream, const uint8_t *data, size_t len);

#endif
