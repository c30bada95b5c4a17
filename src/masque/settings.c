#include "masque/settings.h"

#include "wire/varint.h"

enum { STREAM_TYPE_CONTROL = 0x00, FRAME_SETTINGS = 0x04, SETTINGS_ENABLE_CONNECT_PROTOCOL = 0x08 };

/* A stream is a row of integers until its SETTINGS end:
 *
 *      stream type   frame type   frame length   (identifier   value)...
 */
enum state { STREAM_TYPE, FRAME_TYPE, FRAME_LENGTH, IDENTIFIER, VALUE, OVER };

static void take_integer(struct settings_tap *t, struct settings_stream *s, uint64_t v)
{
    switch ((enum state)s->state) {
    case STREAM_TYPE:
        s->state = v == STREAM_TYPE_CONTROL ? FRAME_TYPE : OVER;
        break;
    case FRAME_TYPE:
        t->done = v != FRAME_SETTINGS; /* an error, but not for us to say so */
        s->state = FRAME_LENGTH;
        break;
    case FRAME_LENGTH:
        s->left = v;
        t->done = !v;
        s->state = IDENTIFIER;
        break;
    case IDENTIFIER:
        s->id = v;
        t->done = !s->left; /* cut off inside a setting */
        s->state = VALUE;
        break;
    case VALUE:
        if (s->id == SETTINGS_ENABLE_CONNECT_PROTOCOL)
            t->connect_protocol = v == 1;
        t->done = !s->left;
        s->state = IDENTIFIER;
        break;
    case OVER:
        break;
    }
}

static void take_byte(struct settings_tap *t, struct settings_stream *s, uint8_t byte)
{
    uint64_t v;

    if (s->state == IDENTIFIER || s->state == VALUE)
        s->left--;
    s->integer[s->n++] = byte;
    if (varint_get(s->integer, s->n, &v)) {
        s->n = 0;
        take_integer(t, s, v);
    } else if ((s->state == IDENTIFIER || s->state == VALUE) && !s->left) {
        t->done = true; /* cut off inside an integer */
    }
}

void settings_tap_data(struct settings_tap *t, int64_t stream, const uint8_t *data, size_t len)
{
    struct settings_stream *s;

    if (stream < 0 || stream >> 2 >= SETTINGS_STREAMS_MAX)
        return;
    s = &t->stream[stream >> 2];
    for (size_t i = 0; i < len && s->state != OVER && !t->done; i++)
        take_byte(t, s, data[i]);
}
