/* A machine with one QUIC endpoint, bare or inside an edge or a hub (the engine): takes datagrams
 * from its sinks, drives the engine's timer and puts what it sends on the wire, one datagram for
 * each segment of a burst.
 *
 * A host never takes time: what a datagram or a timer causes is sent at the same instant.
 */
#ifndef SIM_HOST_H
#define SIM_HOST_H

#include "quic/quic.h"
#include "sim/sim.h"

enum { HOST_SOCKETS_MAX = 160 };

struct host;

/* One UDP socket: the number in struct quic_rx and struct quic_tx. */
struct host_socket {
    struct sim_sink sink; /* what the network delivers here */
    struct host *host;
    struct net_addr local;
    struct sim_sink *out; /* where its datagrams go; borrowed */
};

/* What a host runs. */
struct host_engine {
    void (*rx)(void *engine, uint64_t now_ns, const struct quic_rx *rx);
    bool (*tx)(void *engine, uint64_t now_ns, struct quic_tx *tx);
    uint64_t (*deadline_ns)(const void *engine);
    void (*timeout)(void *engine, uint64_t now_ns);
};

extern const struct host_engine host_engine_quic; /* engine = struct quic_endpoint * */
extern const struct host_engine host_engine_edge; /* struct edge * */
extern const struct host_engine host_engine_hub;  /* struct hub * */

struct host {
    struct sim *sim;
    const struct host_engine *ops;
    void *engine;
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

/* Make a host with a pool of n_pkts small packets. The name seeds its generator. */
struct host *host_new(struct sim *sim, const char *name, unsigned n_pkts);

/* With n_large large packets, and as many medium ones as belong to them (pkt_pool_new()). */
struct host *host_new_large(struct sim *sim, const char *name, unsigned n_pkts, unsigned n_large);

/* The engine must be gone before. Accepts NULL. */
void host_free(struct host *h);

/* Point an endpoint's pool, drops and random at the host's. */
void host_fill_opts(struct host *h, struct quic_endpoint_opts *opts);

/* Run this engine from now on; NULL: none (datagrams are dropped), as if the process were killed.
 * The engine is borrowed. */
void host_run(struct host *h, const struct host_engine *ops, void *engine);

/* Add a socket; its number. */
unsigned host_add_socket(struct host *h, const struct net_addr *local, struct sim_sink *out);

/* Send what there is to send, and set the timer. After every call into the engine from outside
 * (quic_path_open_lane, quic_path_kick, ...). */
void host_pump(struct host *h);

#endif
