/* Bytes on their way out of a stream: kept until the peer has acknowledged them, because HTTP/3
 * and QUIC only borrow them. A chain of chunks, bounded by its owner. */
#ifndef MASQUE_OUTBUF_H
#define MASQUE_OUTBUF_H

#include <stddef.h>
#include <stdint.h>

struct outbuf_chunk {
    struct outbuf_chunk *next;
    size_t len;
    uint8_t data[];
};

struct outbuf {
    struct outbuf_chunk *first, *last; /* not yet acknowledged, oldest first */
    struct outbuf_chunk *unread;       /* the first one not handed out yet */
    size_t acked;                      /* bytes of *first that are acknowledged */
    size_t bytes;                      /* all bytes held */
};

/* Append a copy. Returns 0 or -ENOMEM. */
int outbuf_add(struct outbuf *o, const uint8_t *data, size_t len);

/* Hand out the next chunk, which stays where it is until acknowledged. NULL: none. */
const struct outbuf_chunk *outbuf_next(struct outbuf *o);

/* The first n bytes still held are acknowledged. */
void outbuf_ack(struct outbuf *o, size_t n);

void outbuf_done(struct outbuf *o);

#endif
