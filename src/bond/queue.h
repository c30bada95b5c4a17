/* A list of packets, first in first out, bounded in bytes, for packets that wait aside: the egress
 * queue itself is fq.h. When it is full the newest packet is refused. */
#ifndef BOND_QUEUE_H
#define BOND_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#include "packet/pkt.h"

struct queue {
    struct pkt *head, *tail;
    size_t bytes, max_bytes;
    unsigned n, n_class[PKT_CLASSES]; /* all, and those of each size class (pkt.h) */
};

void queue_init(struct queue *q, size_t max_bytes);

/* Append. Returns 0 and owns the packet, or -ENOSPC when the bound is reached. */
int queue_push(struct queue *q, struct pkt *pkt);

/* Put a packet back in front, whatever the bound: for pieces of what was popped. */
void queue_push_front(struct queue *q, struct pkt *pkt);

/* The oldest packet, which stays; NULL when empty. Then take it. */
struct pkt *queue_peek(const struct queue *q);
struct pkt *queue_pop(struct queue *q);

/* The one behind `before` goes to the front. */
void queue_to_front(struct queue *q, struct pkt *before);

/* Give all packets back. */
void queue_flush(struct queue *q, struct pkt_pool *pool);

#endif
