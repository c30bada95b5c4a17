/* A hub: accepts peers, decides who may have a tunnel, gives addresses, checks every source and
 * finds the peer of every destination. Many peers share one endpoint and one TUN. No system call,
 * no clock.
 *
 *   TUN -> hub_send() -> table: whose address is the destination? -> session -> tunnel
 *   tunnel -> session -> table: may this peer use the source? is the destination a peer's? -> TUN
 *
 * A peer is a name (of its certificate or token) and an instance: see policy.h. Its addresses are
 * leased (lease.h) and stay its own over reconnects while the process runs; who may use which
 * source, and which peer a destination belongs to, is in one table (table.h).
 *
 * Without policy.multi there is one peer at a time: every packet from the TUN is for it, and
 * another name has to wait.
 */
#ifndef PEER_HUB_H
#define PEER_HUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/drop.h"
#include "bond/session.h"
#include "masque/masque.h"
#include "peer/policy.h"
#include "quic/quic.h"

enum { HUB_INFO_LEARNED_MAX = 16 };

/* So often in a row, each time by another process and within HUB_CONTESTED_GAP_NS of the time
 * before, a peer's place is taken before there is a word about it. */
enum { HUB_CONTESTED = 5 };
#define HUB_CONTESTED_GAP_NS (60 * NS_PER_S)

/* What the one is told whose place another connection of the same peer has taken. */
#define HUB_TAKEN_OVER "taken over"

/* What a hub reports. None of these may call the hub. `id` is valid during the call. */
struct hub_events {
    void (*deliver)(void *user, struct pkt *pkt);
    /* One that came from the tunnel, whose bytes are the caller's again afterwards; NULL: deliver()
     * gets a copy. */
    void (*receive)(void *user, const uint8_t *data, const struct ip_view *v);

    /* A peer has its tunnel now; it has it no longer. */
    void (*peer_up)(void *user, const struct hub_peer_id *id, const struct net_addr *remote);
    void (*peer_down)(void *user, const struct hub_peer_id *id, const char *why);

    /* The first lane of a path that the peer has given a name is up; its last one is gone. Beside
     * peer_up and peer_down. May be NULL. */
    void (*path_up)(void *user, const struct hub_peer_id *id, const char *path,
                    const struct net_addr *remote);
    void (*path_down)(void *user, const struct hub_peer_id *id, const char *path, const char *why);

    /* Somebody was turned away; id->name "" when it has shown none. */
    void (*refused)(void *user, const struct hub_peer_id *id, const struct net_addr *remote,
                    const char *why);

    /* The addresses of a peer now. */
    void (*assigned)(void *user, const struct hub_peer_id *id, const struct capsule_addrs *addrs);

    /* Another connection has taken the peer's place, for the nth time in a row (HUB_CONTESTED at
     * least): two machines may have one certificate and instance id. May be NULL. */
    void (*contested)(void *user, const struct hub_peer_id *id, const struct net_addr *remote,
                      unsigned n);

    /* The largest packet that the path to any peer carries now, at least 1280: what the TUN should
     * take. A packet too large for its own peer is answered by that peer's session. */
    void (*mtu)(void *user, size_t packet_max);
};

struct hub_opts {
    struct quic_endpoint_opts quic; /* server = true; accept and refused are the hub's */
    struct ip_prefix own[2];        /* our tunnel addresses with their networks */
    unsigned n_own;
    struct hub_policy policy; /* copied, with what it points to */
    bool plain;               /* do not take part in the session extension */
    const struct hub_events *events;
    void *user;
};

struct hub;

/* Returns 0, -ENOMEM or -EINVAL (a count above its HUB_..._MAX). */
int hub_new(const struct hub_opts *opts, struct hub **ret);
void hub_free(struct hub *h);

void hub_rx(struct hub *h, uint64_t now_ns, const struct quic_rx *rx);
bool hub_tx(struct hub *h, uint64_t now_ns, struct quic_tx *tx);
uint64_t hub_deadline_ns(const struct hub *h);
void hub_timeout(struct hub *h, uint64_t now_ns);

/* A packet from the TUN: consumes it. */
void hub_send(struct hub *h, uint64_t now_ns, struct pkt *pkt);

/* Say goodbye to all peers: the following hub_tx() calls send it. */
void hub_shutdown(struct hub *h, uint64_t now_ns);

/* From now on this policy (copied). Peers that lost their right (their token is gone) or an
 * address, or for whom another address is fixed now, are closed, and peer_down says why: they come
 * back and get what is theirs; the others keep their tunnels, and what lies behind them is what the
 * new policy says. Returns 0; -EINVAL (a bad count, or `multi` is another than before) or -ENOMEM,
 * and the old policy stays. The following hub_tx() calls send what it causes. */
int hub_reconfigure(struct hub *h, uint64_t now_ns, const struct hub_policy *policy);

/* Other credentials for connections that begin from now on; those that exist keep theirs. The hub
 * is done with the former. To be followed by hub_recheck() when what was good before may be so no
 * longer. */
void hub_set_tls(struct hub *h, uint64_t now_ns, void *tls_ctx);

/* Begin to look at the certificate of every peer again, with the present credentials and at the
 * present time; if that is being done already, anew. hub_recheck_next() looks at the next n (each
 * takes some tenths of a millisecond): whoever would not be let in now (revoked, expired, its CA or
 * name no longer accepted) is closed with the TLS alert that says so. It returns whether there are
 * more to look at. Who connects meanwhile is looked at when it does. The following hub_tx() calls
 * send what it causes. */
void hub_recheck(struct hub *h, uint64_t now_ns);
bool hub_recheck_next(struct hub *h, uint64_t now_ns, unsigned n);

/* Close every peer whose certificate ended before now_s (seconds since the epoch, by the clock that
 * certificates are checked by), with the alert that says so. Returns when the next one ends;
 * INT64_MAX: none does. The following hub_tx() calls send it. */
int64_t hub_expire(struct hub *h, uint64_t now_ns, int64_t now_s);

/* --- looking at it ----------------------------------------------------------------------- */

/* A peer that is up. */
struct hub_peer_info {
    struct hub_peer_id id;
    struct net_addr remote;
    uint64_t up_ns; /* since when */
    struct ip_addr addr[HUB_ADDRS_MAX];
    struct ip_prefix prefix[HUB_PREFIXES_MAX]; /* fixed networks behind it */
    unsigned n_addr, n_prefix;
    struct ip_addr learned[HUB_INFO_LEARNED_MAX]; /* the ones used last */
    unsigned n_learned;                           /* all of them: may be more than the array has */
    size_t packet_max;    /* the largest packet that a datagram carries now; 0 = not known yet */
    uint64_t bad_sources; /* packets dropped because of their source */
    uint64_t bad_ns;      /* when the last of them was */
    struct ip_addr bad;   /* and what it came from */
    struct session_stats session;
    unsigned queued; /* packets that wait for it */
    size_t queued_bytes;
    unsigned contested;    /* times in a row that its place was taken (see HUB_CONTESTED) */
    uint64_t contested_ns; /* when it was last */
    int64_t cert_until_s;  /* its certificate's end, seconds since the epoch; 0: it showed none */
    unsigned n_lanes;      /* that are up */
    struct quic_lane_stats lane; /* of all of them together, times of the first one */
};

/* Number of peers that are up, and one of them (i below that number; the order may change with
 * every call into the hub). False when there is none. */
unsigned hub_peers(const struct hub *h);

/* Peers that are not up, but whose session is kept for some minutes. */
unsigned hub_kept(const struct hub *h);

bool hub_peer_info(const struct hub *h, unsigned i, struct hub_peer_info *ret);

/* One path of it. */
struct hub_path_info {
    unsigned number;                 /* as the peer counts them */
    char name[MASQUE_PATH_NAME_MAX]; /* as the peer calls it; "": it does not say */
    struct net_addr remote;          /* of the first lane */
    uint64_t up_ns;                  /* since when */
    enum path_trouble trouble;       /* none unless it is one of several */
    bool in_use;                     /* the policy gives it packets now */
    struct session_path_info session;
    unsigned n_lanes;            /* that are up */
    struct quic_lane_stats lane; /* of all of them together, times of the first one */
    size_t packet_max;           /* that a datagram carries now, */
    bool mtu_known;              /* or else, at least */
};

/* Fill ret with the paths of the ith peer, by number. Returns how many. */
unsigned hub_peer_paths(const struct hub *h, unsigned i,
                        struct hub_path_info ret[MASQUE_PATHS_MAX]);

/* A peer that was up and is gone. */
struct hub_absent_info {
    struct hub_peer_id id;
    struct net_addr remote;
    uint64_t gone_ns;     /* since when */
    int64_t cert_until_s; /* as in struct hub_peer_info */
    char why[64];         /* cut */
};

/* How many are known (a bounded number, the ones gone last), and one of them. */
unsigned hub_absentees(const struct hub *h);
bool hub_absent_info(const struct hub *h, unsigned i, struct hub_absent_info *ret);

/* All peers together, also those that are gone. */
struct session_stats hub_totals(const struct hub *h);

/* Addresses of the pool and beside it that are leased, to present and absent peers. */
unsigned hub_leases(const struct hub *h);

/* The last packet dropped because of its source: who sent it, and the source. False: none yet. */
bool hub_bad_source(const struct hub *h, struct hub_peer_id *ret_id, struct ip_addr *ret_src);

/* Connections now, whatever their state. */
unsigned hub_lanes(const struct hub *h);

/* What its UDP port was asked for. */
void hub_endpoint_stats(const struct hub *h, struct quic_endpoint_stats *ret);

#endif
