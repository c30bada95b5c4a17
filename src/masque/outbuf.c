#include "masque/outbuf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int outbuf_add(struct outbuf *o, const uint8_t *data, size_t len)
{
    struct outbuf_chunk *c = malloc(sizeof(*c) + len);

    if (!c)
        return -ENOMEM;
    c->next = NULL;
    c->len = len;
    memcpy(c->data, data, len);
    if (o->last)
        o->last->next = c;
    else
        o->first = c;
    o->last = c;
    if (!o->unread)
        o->unread = c;
    o->bytes += len;
    return 0;
}

const struct outbuf_chunk *outbuf_next(struct outbuf *o)
{
    struct outbuf_chunk *c = o->unread;

    if (c)
        o->unread = c->next;
    return c;
}

void outbuf_ack(struct outbuf *o, size_t n)
{
    o->acked += n;
    while (o->first && o->first != o->unread && o->acked >= o->first->len) {
        struct outbuf_chunk *c = o->first;

        o->acked -= c->len;
        o->bytes -= c->len;
        o->first = c->next;
        if (!o->first)
            o->last = NULL;
        free(c);
    }
}

void outbuf_done(struct outbuf *o)
{
    while (o->first) {
        struct outbuf_chunk *c = o->first;

        o->first = c->next;
        free(c);
    }
    *o = (struct outbuf){0};
}
