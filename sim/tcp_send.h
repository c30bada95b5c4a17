/* The two halves of a modelled TCP flow, for tcp.c. */
#ifndef SIM_TCP_SEND_H
#define SIM_TCP_SEND_H

#include "sim/tcp.h"

void tcp_sender_init(struct tcp *t);
void tcp_sender_done(struct tcp *t);
void tcp_sender_start(struct tcp *t);

/* When the first byte that is not acknowledged was sent last; 0 when all are. */
uint64_t tcp_sender_oldest_ns(const struct tcp *t);

void tcp_receiver_init(struct tcp *t);
void tcp_receiver_done(struct tcp *t);

#endif
