/* The two halves of a modelled TCP flow, for tcp.c. */
#ifndef SIM_TCP_SEND_H
#define SIM_TCP_SEND_H

#include "sim/tcp.h"

void tcp_sender_init(struct tcp *t);
void tcp_sender_done(struct tcp *t);
void tcp_sender_start(struct tcp *t);

void tcp_receiver_init(struct tcp *t);
void tcp_receiver_done(struct tcp *t);

#endif
