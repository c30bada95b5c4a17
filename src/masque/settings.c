#include "masque/settings.h"

#include <string.h>

#include "base/util.h"
#include "wire/varint.h"

enum { STREAM_TYPE_CONTROL = 0x00, FRAME_SETTINGS = 0x04, SETTINGS_ENABLE_CONNECT_PROTOCOL = 0x08 };

/* Read the frame when it is whole; do nothing before. */
static void parse(struct settings_tap *t)
{
    uint64_t type, len, id, value;
    size_t at = 1, n = varint_get(t->buf + at, t->len - at, &type), end;

    if (!n)
        return;
    at += n;
    n = varint_get(t->buf + at, t->len - at, &len);
    if (!n)
        return;
    at += n;
    if (type != FRAME_SETTINGS || len > sizeof(t->buf) - at) {
        t->done = true; /* not for us to complain */
        return;
    }
    end = at + (size_t)len;
    if (t->len < end)
        return;
    t->done = true;
    while (at < end) {
        n = varint_get(t->buf + at, end - at, &id);
        at += n;
        if (!n || !(n = varint_get(t->buf + at, end - at, &value)))
            return;
        at += n;
        if (id == SETTINGS_ENABLE_CONNECT_PROTOCOL)
            t->connect_protocol = value == 1;
    }
}

void settings_tap_data(struct settings_tap *t, int64_t stream, const uint8_t *data, size_t len)
{
    uint64_t bit = 1ull << ((uint64_t)stream >> 2 & 63);
    size_t n;

    if (t->done || !len)
        return;
    if (!t->known && !(t->seen & bit) && data[0] == STREAM_TYPE_CONTROL) {
        t->known = true;
        t->stream = stream;
    }
    t->seen |= bit;
    if (!t->known || stream != t->stream)
        return;
    n = MIN(len, sizeof(t->buf) - t->len);
    memcpy(t->buf + t->len, data, n);
    t->len += n;
    parse(t);
}
