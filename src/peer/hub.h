/* A hub: accepts edges, decides who may have the tunnel, gives addresses and checks sources. This
 * one serves one edge at a time: the same identity coming back takes its place over at once,
 * another identity is told to wait. No system call, no clock.
 */
#ifndef PEER_HUB_H
#define PEER_HUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/drop.h"
#include "bond/session.h"
#include "masque/masque.h"
#include "quic/quic.h"

enum {
    HUB_TOKENS_MAX = 64,
    HUB_NAME_MAX = 64,
    HUB_TOKEN_MAX = 256,
    HUB_ADDRS_MAX = 8 /* addresses that a peer may have beside its prefixes */
};

/* A bearer token and the name of who carries it. */
struct hub_token {
    char name[HUB_NAME_MAX];
    char token[HUB_TOKEN_MAX];
};

/* What a hub reports. None of these may call the hub. */
struct hub_events {
    void (*deliver)(void *user, struct pkt *pkt);

    /* A peer has the tunnel now. */
    void (*peer_up)(void *user, const char *name, const struct net_addr *remote);
    void (*peer_down)(void *user, const char *name, const char *why);

    /* Somebody was turned away. */
    void (*refused)(void *user, const char *name, const struct net_addr *remote, const char *why);

    void (*assigned)(void *user, const struct capsule_addrs *addrs);
    void (*mtu)(void *user, size_t packet_max);
};

struct hub_opts {
    struct quic_endpoint_opts quic; /* server = true; accept and refused are the hub's */
    struct ip_prefix own[2];        /* our tunnel addresses with their networks */
    unsigned n_own;
    const struct ip_prefix *peer_prefixes; /* sources allowed behind the peer; borrowed */
    unsigned n_peer_prefixes;
    const struct hub_token *tokens; /* borrowed; n_tokens 0: certificates only */
    unsigned n_tokens;
    const struct hub_events *events;
    void *user;
};

struct hub;

/* Returns 0, -ENOMEM or -EINVAL. */
int hub_new(const struct hub_opts *opts, struct hub **ret);
void hub_free(struct hub *h);

void hub_rx(struct hub *h, uint64_t now_ns, const struct quic_rx *rx);
bool hub_tx(struct hub *h, uint64_t now_ns, struct quic_tx *tx);
uint64_t hub_deadline_ns(const struct hub *h);
void hub_timeout(struct hub *h, uint64_t now_ns);
void hub_send(struct hub *h, uint64_t now_ns, struct pkt *pkt);
void hub_shutdown(struct hub *h, uint64_t now_ns);

const struct session *hub_session(const struct hub *h);

/* Connections now, whatever their state. */
unsigned hub_lanes(const struct hub *h);
bool hub_lane_stats(const struct hub *h, struct quic_lane_stats *ret);

#endif
