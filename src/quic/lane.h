/* What the files of this folder share. Nobody else includes it. */
#ifndef QUIC_LANE_H
#define QUIC_LANE_H

#include <ngtcp2/ngtcp2.h>
#include <ngtcp2/ngtcp2_crypto.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/util.h"
#include "quic/bound.h"
#include "quic/cidmap.h"
#include "quic/pmtu.h"
#include "quic/protect.h"
#include "quic/quic.h"
#include "quic/source.h"
#include "quic/tls.h"

enum {
    LANE_CID_BYTES = 8,
    LANE_CLOSE_PKT_MAX = 256,
    LANE_DGRAM_HEAD = 3, /* of QUIC_DGRAM_OVERHEAD: what counts as part of the frame */
    PATH_LANES_MAX = 2 * QUIC_LANES_MAX, /* each may be there with the one that takes its place */
    LANES_LINGERING_MAX = 4096,          /* closed ones that still answer stragglers */
    ANSWERS_MAX = 1024,                  /* stateless answers waiting to be sent */
    ANSWER_BYTES_MAX = 256
};

enum lane_state {
    LANE_HANDSHAKE, /* not authenticated yet */
    LANE_UP,
    LANE_CLOSING,  /* CONNECTION_CLOSE sent; answers stragglers with it (RFC 9000, 10.2.1) */
    LANE_DRAINING, /* the peer closed; silent (10.2.2) */
    LANE_DEAD      /* to be freed at the end of the call */
};

struct quic_lane {
    struct quic_endpoint *ep;
    struct quic_path *path; /* NULL on a server until accepted */
    void *user;
    ngtcp2_conn *conn;
    ngtcp2_crypto_conn_ref ref;
    void *tls;
    struct protect protect;
    enum lane_state state;
    struct quic_lane *prev, *next;             /* all lanes of the endpoint */
    struct quic_lane *ready_prev, *ready_next; /* those with something to do */
    bool ready;
    struct heap_node timer;
    struct lane_cid *cids;

    struct net_addr local, remote;
    unsigned socket;

    bool stream_work;     /* the layer above has stream data */
    bool write_due;       /* ngtcp2 may have something: ACK, handshake, probe */
    bool dgram_work;      /* there may be datagrams to pull */
    bool suspect;         /* gets no answer while other lanes do: pulls none until it does */
    uint64_t heard_of_ns; /* when the fate of a datagram was last heard of, or the first of those on
                           * their way was sent */
    uint64_t sent_end, heard_end; /* behind the number of the last datagram sent; of those whose
                                   * fate was heard of */
    bool probing; /* it PINGs more often than keepalive_ns, because it gets no answers */
    uint64_t keepalive_ns;
    struct pkt *stash; /* pulled, but congestion control did not take it */

    bool close_wanted; /* quic_lane_close() during an event */
    struct quic_fail_info why;
    bool down_told;
    /* server: while the handshake counts as open; source is NULL otherwise */
    struct source *source;
    struct quic_lane *open_newer, *open_older;
    uint64_t open_since_ns;
    bool proven;  /* server: the address was validated by a token */
    bool settled; /* TLS has given up what only the handshake needed */
    uint64_t linger_until_ns;
    uint8_t close_pkt[LANE_CLOSE_PKT_MAX];
    size_t close_len;
    bool close_due;
    bool lingering;    /* counted in the endpoint's */
    unsigned close_rx; /* packets received since */

    uint32_t tag; /* its name in the path's bound */
    struct pmtu pmtu;
    size_t burst_bytes; /* of the burst that is being made */
    bool probe_out;     /* the packet that lane_write() made last is a probe */
    size_t dgram_max_told;
    bool mtu_known_told;
    struct quic_lane_stats stats;
};

struct quic_path {
    struct quic_endpoint *ep;
    const struct quic_path_ops *ops;
    void *user;
    struct quic_lane *lanes[PATH_LANES_MAX]; /* that have not ended */
    unsigned n_lanes;
    unsigned n_refs; /* lanes whose path it is, also those that linger */
    uint64_t dgram_acked, dgram_lost;
    uint64_t answered_ns; /* when the fate of a datagram was last heard of, or a lane came up */
    uint64_t next_dgram_id;
    struct bound bound;
    struct quic_lane *turn[PATH_LANES_MAX]; /* lanes that wait for room, in order */
    unsigned n_turn;
    struct quic_lane *turn_holder; /* who sent last */
    unsigned turn_taken;           /* packets that it has sent in a row */
    uint32_t next_tag;
    struct quic_path *prev, *next;
    bool closed; /* by its user: no event any more */
};

struct quic_endpoint {
    struct quic_endpoint_opts opts;
    char *server_name;
    struct cidmap cids;
    struct quic_lane *lanes, *ready_head, *ready_tail;
    struct quic_path *paths;
    unsigned n_lanes, n_lingering, n_handshakes, n_unproven;
    struct heap timers;
    uint64_t now_ns;

    /* A packet that did not fit the burst it was written for. */
    struct quic_lane *carry_lane;
    struct net_addr carry_local, carry_remote;
    uint8_t carry_ecn;
    size_t carry_len;
    uint8_t carry[QUIC_UDP_PAYLOAD_MAX];

    /* server */
    struct answers *answers;
    struct source_table *sources;
    struct bucket first;           /* handshakes without a token, of all sources */
    struct bucket proven;          /* with one */
    struct quic_lane *open_newest; /* of the open handshakes */
    struct quic_lane *open_oldest;
    uint8_t token_secret[32];
    struct quic_endpoint_stats stats;
};

/* How a server's lane begins. */
struct lane_birth {
    const ngtcp2_pkt_hd *hd;
    const ngtcp2_cid *odcid; /* the first one of all, when there has been a Retry; else NULL */
    struct source *source;
};

/* lane.c and lane_close.c. birth is NULL on a client. */
struct quic_lane *lane_new(struct quic_endpoint *ep, struct quic_path *path, unsigned socket,
                           const struct net_addr *local, const struct net_addr *remote,
                           const struct lane_birth *birth);
void lane_free(struct quic_lane *lane);

/* After everything that may have ended a lane, outside of callbacks: free what a closed lane needs
 * no longer, and the lane when it is dead. False when it is gone. */
bool lane_tidy(struct quic_lane *lane);

/* The handshake does not count as open any more. */
void lane_handshake_over(struct quic_lane *lane);

/* One datagram; false when the lane has ended, and is to be tidied. Else lane_rx_end() must follow,
 * after this datagram or after others for the same lane; it may free the lane. */
bool lane_rx(struct quic_lane *lane, const struct quic_rx *rx);
void lane_rx_end(struct quic_lane *lane);

void lane_timeout(struct quic_lane *lane);
void lane_set_timer(struct quic_lane *lane);
void lane_fail(struct quic_lane *lane, const struct quic_fail_info *why, bool send_close);
void lane_fail_liberr(struct quic_lane *lane, int liberr);
void lane_close_if_wanted(struct quic_lane *lane);
void lane_answer_straggler(struct quic_lane *lane);
void lane_mtu_check(struct quic_lane *lane);

/* A path that its user has closed hears nothing any more, a lane without a path has nobody. */
static inline const struct quic_path_ops *lane_listener(const struct quic_lane *lane)
{
    return lane->path && !lane->path->closed ? lane->path->ops : NULL;
}

/* lane_cb.c */
extern const ngtcp2_callbacks lane_callbacks;

/* lane_tx.c: the next packet of the lane into buf; its addresses go to *ps, which must have been
 * zeroed once. Returns its length, 0 when there is nothing to send now, or -1 when the lane has
 * failed. */
ssize_t lane_write(struct quic_lane *lane, uint8_t *buf, size_t cap, ngtcp2_path_storage *ps,
                   uint8_t *ret_ecn);

/* Give back a datagram that was pulled and has not gone out; dropped for that reason when nobody
 * takes it. */
void lane_return_stash(struct quic_lane *lane, enum drop_reason why);

/* endpoint.c */
void endpoint_ready(struct quic_endpoint *ep, struct quic_lane *lane);
void endpoint_unready(struct quic_endpoint *ep, struct quic_lane *lane);
int endpoint_cid_add(struct quic_endpoint *ep, struct quic_lane *lane, const uint8_t *cid,
                     size_t len);
void endpoint_cid_remove(struct quic_endpoint *ep, struct quic_lane *lane, const uint8_t *cid,
                         size_t len);

/* accept.c: a lane for a first packet, or NULL when there is to be none; then it is counted. */
struct quic_lane *endpoint_accept(struct quic_endpoint *ep, const struct quic_rx *rx);

/* answer.c. Answers wait until answers_tx() takes the oldest. */
struct answers *answers_new(void);
void answers_free(struct answers *a);
bool answers_waiting(const struct answers *a);
void answers_tx(struct answers *a, struct quic_tx *tx);
void answer_version(struct quic_endpoint *ep, const struct quic_rx *rx,
                    const ngtcp2_version_cid *vc);
void answer_reset(struct quic_endpoint *ep, const struct quic_rx *rx, const ngtcp2_version_cid *vc);
bool answer_retry(struct quic_endpoint *ep, const struct quic_rx *rx, const ngtcp2_pkt_hd *hd,
                  struct source *s); /* false when it must not, or cannot be sent */
void answer_bad_token(struct quic_endpoint *ep, const struct quic_rx *rx, const ngtcp2_pkt_hd *hd,
                      struct source *s);

/* The token that resets a connection of ours by one of its IDs. It holds for one address and
 * port only: an instance with the same certificate on another must not be made to give away the
 * tokens of this one's connections (RFC 9000, 21.11). Returns 0, -EINVAL or -EIO. */
int endpoint_reset_token(const struct quic_endpoint *ep, const struct net_addr *local,
                         const ngtcp2_cid *cid, uint8_t *ret);

/* How a lane ends that has served its purpose (RFC 9114, 8.1). */
enum { H3_NO_ERROR = 0x100 };

/* path.c */
struct quic_path *path_new(struct quic_endpoint *ep, const struct quic_path_ops *ops, void *user);
int path_add_lane(struct quic_path *path, struct quic_lane *lane);
void path_remove_lane(struct quic_path *path, struct quic_lane *lane);
void path_free(struct quic_path *path);

/* The turn of the lanes at the path's bound. take: true when the lane may send one datagram now,
 * else it waits. pass: the lane cannot use its turn. wake: there may be room again. clear: the one
 * whose turn it is found nothing to send; the others look for what they have begun. */
bool path_turn_take(struct quic_path *path, struct quic_lane *lane);
void path_turn_pass(struct quic_path *path, struct quic_lane *lane);
void path_turn_wake(struct quic_path *path);
void path_turn_clear(struct quic_path *path);

/* The lane has ended: it sends no datagram any more, and nothing will be heard of those in flight.
 * Nothing happens when it was said before. */
void path_lane_ended(struct quic_path *path, struct quic_lane *lane);

/* A datagram of the lane goes out; its fate has been heard of (more than once, when it was
 * acknowledged after it had been declared lost). */
void path_on_sent(struct quic_path *path, struct quic_lane *lane, uint64_t number, size_t bytes);
void path_on_answer(struct quic_path *path, struct quic_lane *lane, uint64_t number);

/* After a timer of the lane. */
void path_on_timeout(struct quic_path *path, struct quic_lane *lane);

/* Whether the lane has been waiting for an answer for too long. */
bool path_lane_is_overdue(const struct quic_lane *lane);

/* Whether the lane leaves what is to be sent to others, because it gets no answers. */
bool path_lane_yields(const struct quic_path *path, const struct quic_lane *lane);

/* Identifiers given to ngtcp2 with a DATAGRAM: size in the low 16 bits, above it the number of
 * the pull; the top bit marks a path MTU probe. */
#define DGRAM_ID_PROBE (1ull << 63)
static inline uint64_t dgram_id(uint64_t number, size_t bytes)
{
    return (number << 16 & ~DGRAM_ID_PROBE) | (bytes & 0xffff);
}
static inline uint64_t dgram_id_number(uint64_t id)
{
    return (id & ~DGRAM_ID_PROBE) >> 16;
}
static inline size_t dgram_id_bytes(uint64_t id)
{
    return id & 0xffff;
}

#endif
