#include "masque/early.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int early_add(struct early *e, int64_t stream, const uint8_t *data, size_t len)
{
    struct early_packet *p;

    if (e->n == EARLY_PACKETS_MAX || len > EARLY_BYTES_MAX - e->bytes)
        return -ENOSPC;
    p = malloc(sizeof(*p) + len);
    if (!p)
        return -ENOMEM;
    p->next = NULL;
    p->stream = stream;
    p->len = len;
    if (len)
        memcpy(p->data, data, len);
    if (e->last)
        e->last->next = p;
    else
        e->first = p;
    e->last = p;
    e->n++;
    e->bytes += len;
    return 0;
}

/* Take out p, which follows before (NULL: it is the first). */
static struct early_packet *take(struct early *e, struct early_packet *before,
                                 struct early_packet *p)
{
    if (before)
        before->next = p->next;
    else
        e->first = p->next;
    if (e->last == p)
        e->last = before;
    e->n--;
    e->bytes -= p->len;
    p->next = NULL;
    return p;
}

struct early_packet *early_take(struct early *e, int64_t stream)
{
    struct early_packet *before = NULL;

    for (struct early_packet *p = e->first; p; before = p, p = p->next)
        if (p->stream == stream)
            return take(e, before, p);
    return NULL;
}

struct early_packet *early_take_any(struct early *e)
{
    return e->first ? take(e, NULL, e->first) : NULL;
}
