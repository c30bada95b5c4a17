/* A machine with one QUIC endpoint: takes datagrams from its sinks, drives the endpoint's timer
 * and puts what it sends on the wire, one datagram for each segment of a burst.
 *
 * A host never takes time: what a datagram or a timer causes is sent at the same instant.
 */
#ifndef SIM_HOST_H
#define SIM_HOST_H

#include "quic/quic.h"
#include "sim/sim.h"

enum { HOST_SOCKETS_MAX = 64 };

struct host;

/* One UDP socket: the number in struct quic_rx and struct quic_tx. */
struct host_socket {
    struct sim_sink sink; /* what the network delivers here */
    struct host *host;
    struct net_addr local;
    struct sim_sink *out; /* where its datagrams go; borrowed */
};

struct host {
    struct sim *sim;
    struct quic_endpoint *ep;
    struct drop_counters drops;
    struct pkt_pool *pool;
    struct rng rng;
    struct host_socket socket[HOST_SOCKETS_MAX];
    unsigned n_sockets;
    struct sim_event timer;
    struct quic_tx tx;
    uint64_t tx_bursts, tx_dgrams, rx_dgrams;
    bool pumping;
};

/* Make a host with a pool of n_pkts small packets and an endpoint of the given options; drops,
 * pool and random are the host's own. The name seeds the generator. */
struct host *host_new(struct sim *sim, const char *name, const struct quic_endpoint_opts *opts,
                      unsigned n_pkts);

/* As if the process were killed: nothing is sent. Accepts NULL. */
void host_free(struct host *h);

/* End the process and start a new one on the same sockets: a new endpoint with these options, which
 * knows nothing of the old one's connections but may have its reset secret. */
void host_restart(struct host *h, const struct quic_endpoint_opts *opts);

/* Add a socket; its number. */
unsigned host_add_socket(struct host *h, const struct net_addr *local, struct sim_sink *out);

/* Send what there is to send, and set the timer. After every call into the endpoint from outside
 * (quic_path_open_lane, quic_path_kick, ...). */
void host_pump(struct host *h);

#endif
