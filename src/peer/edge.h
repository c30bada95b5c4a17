/* An edge: keeps one tunnel to its hub, for ever. Connects, asks for its addresses, and when the
 * tunnel is lost connects again with growing pauses; it gives up only when no retry can help
 * (a certificate that does not verify, a request that the hub refuses for good) and says why. No
 * system call, no clock.
 *
 *   idle -> connecting -> up          a hub that ends only the request stream, or that will not
 *      ^       |   ^      |           take a request yet (5xx, 408, 425, 429), is asked again over
 *      |       v   |      |           a new connection
 *      +----- pause <-----+-> failed
 */
#ifndef PEER_EDGE_H
#define PEER_EDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/drop.h"
#include "bond/session.h"
#include "masque/masque.h"
#include "quic/quic.h"

enum edge_state {
    EDGE_IDLE,       /* no local address to send from */
    EDGE_CONNECTING, /* handshake and request are on their way */
    EDGE_UP,
    EDGE_PAUSE,  /* waiting to try again */
    EDGE_FAILED, /* trying again cannot help */
    EDGE_STATE_COUNT
};

const char *edge_state_name(enum edge_state s);

/* Why an edge gave up. */
struct edge_failure {
    struct quic_fail_info quic; /* quic.fail == QUIC_FAIL_NONE: HTTP said no */
    int http_status;            /* 0: the hub speaks no CONNECT-IP */
};

/* What an edge reports. None of these may call the edge. */
struct edge_events {
    /* A packet for the TUN: consumes it. */
    void (*deliver)(void *user, struct pkt *pkt);
    /* One that came from the tunnel, whose bytes are the caller's again afterwards; NULL: deliver()
     * gets a copy. */
    void (*receive)(void *user, const uint8_t *data, const struct ip_view *v);

    /* The state has changed; why is for the log, "" when there is nothing to say. */
    void (*state)(void *user, enum edge_state state, const char *why);

    /* The hub has assigned these addresses (full list). */
    void (*assigned)(void *user, const struct capsule_addrs *addrs);

    /* The tunnel carries packets of at most this many bytes. */
    void (*mtu)(void *user, size_t packet_max);

    /* Trying again cannot help; the state is EDGE_FAILED. */
    void (*failed)(void *user, const struct edge_failure *f);
};

struct edge_opts {
    struct quic_endpoint_opts quic; /* server = false; pool, drops, tls, random, ... */
    const char *authority;          /* borrowed: host:port of the request */
    const char *token;              /* borrowed; NULL: certificate only */
    const char *instance;           /* borrowed; which of several edges with our name we are, as
                                     * in masque/request.h; NULL or "": the hub is told nothing */
    struct ip_prefix want[2];       /* our tunnel addresses, to be asked for */
    unsigned n_want;                /* 0: one of each family, whatever the hub gives; on a new
                                     * connection the ones that it gave before */
    bool no_addresses;              /* ask for none at all: only see whether the tunnel opens */
    bool plain;                     /* do not offer the session extension */
    const struct edge_events *events;
    void *user;
};

struct edge;

/* Returns 0, -ENOMEM or -EINVAL. */
int edge_new(const struct edge_opts *opts, struct edge **ret);
void edge_free(struct edge *e);

/* The addresses to connect between. A change closes the tunnel and connects anew; local of no
 * family stops. socket as in struct quic_rx. */
void edge_set_addrs(struct edge *e, uint64_t now_ns, const struct net_addr *local,
                    const struct net_addr *remote, unsigned socket);

void edge_rx(struct edge *e, uint64_t now_ns, const struct quic_rx *rx);
bool edge_tx(struct edge *e, uint64_t now_ns, struct quic_tx *tx);
uint64_t edge_deadline_ns(const struct edge *e);
void edge_timeout(struct edge *e, uint64_t now_ns);

/* A packet from the TUN: consumes it. */
void edge_send(struct edge *e, uint64_t now_ns, struct pkt *pkt);

/* Other credentials from the next connection on. The edge is done with the former. */
void edge_set_tls(struct edge *e, void *tls_ctx);

/* Another bearer token from the next connection on; borrowed, NULL: none. */
void edge_set_token(struct edge *e, const char *token);

/* Say goodbye to the hub: the following edge_tx() calls send it. */
void edge_shutdown(struct edge *e, uint64_t now_ns);

enum edge_state edge_state(const struct edge *e);

/* In EDGE_PAUSE: the last attempt, or the tunnel, ended because nothing came from the hub. */
bool edge_heard_nothing(const struct edge *e);
const struct session *edge_session(const struct edge *e);

/* The tunnel, to be looked at only; NULL unless the state is EDGE_UP. */
const struct masque *edge_tunnel(const struct edge *e);

/* Fills *ret and returns true while there is a lane. */
bool edge_lane_stats(const struct edge *e, struct quic_lane_stats *ret);

#endif
