#include "bond/queue.h"

#include <errno.h>

void queue_init(struct queue *q, size_t max_bytes)
{
    *q = (struct queue){.max_bytes = max_bytes};
}

int queue_push(struct queue *q, struct pkt *pkt)
{
    if (q->bytes + pkt->len > q->max_bytes)
        return -ENOSPC;
    pkt->next = NULL;
    if (q->tail)
        q->tail->next = pkt;
    else
        q->head = pkt;
    q->tail = pkt;
    q->bytes += pkt->len;
    q->n++;
    q->n_class[pkt->pool_class]++;
    return 0;
}

void queue_push_front(struct queue *q, struct pkt *pkt)
{
    pkt->next = q->head;
    q->head = pkt;
    if (!q->tail)
        q->tail = pkt;
    q->bytes += pkt->len;
    q->n++;
    q->n_class[pkt->pool_class]++;
}

struct pkt *queue_peek(const struct queue *q)
{
    return q->head;
}

struct pkt *queue_pop(struct queue *q)
{
    struct pkt *pkt = q->head;

    if (!pkt)
        return NULL;
    q->head = pkt->next;
    if (!q->head)
        q->tail = NULL;
    q->bytes -= pkt->len;
    q->n--;
    q->n_class[pkt->pool_class]--;
    pkt->next = NULL;
    return pkt;
}

void queue_to_front(struct queue *q, struct pkt *before)
{
    struct pkt *pkt = before->next;

    before->next = pkt->next;
    if (!before->next)
        q->tail = before;
    pkt->next = q->head;
    q->head = pkt;
}

void queue_flush(struct queue *q, struct pkt_pool *pool)
{
    struct pkt *pkt;

    while ((pkt = queue_pop(q)))
        pkt_free(pool, pkt);
}
