/* QUIC as paths (RFC 9000, 9001, 9002, 9221), on ngtcp2. No system call, no clock: every entry
 * takes now_ns.
 *
 * An endpoint owns a UDP port (a hub's) or the ports of one path (an edge's): it finds the
 * connection of each datagram, accepts, and keeps the timers. A lane is one QUIC connection. A
 * path is the set of lanes between two hosts over one WAN: the layers above speak of paths, so
 * that an engine with multipath inside one connection can take this one's place.
 *
 * Sending is a pull: a path with something to send is kicked; when congestion control lets it
 * send, it asks the layer above for the next packet. So nothing queues below the caller's own
 * queue, and the choice of what to send is made as late as it can be.
 *
 *      quic_path_kick() -> quic_endpoint_tx() -> ops->dgram_pull() -> one UDP burst
 *      quic_endpoint_rx() -> ops->dgram_rx()
 */
#ifndef QUIC_QUIC_H
#define QUIC_QUIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/addr.h"
#include "base/drop.h"
#include "packet/pkt.h"
#include "quic/fail.h"

struct quic_endpoint;
struct quic_path;
struct quic_lane;
struct quic_tls_ops;
struct quic_tls_cert_info;
struct aead_backend;

enum {
    QUIC_LANES_MAX = 16,
    QUIC_BURST_SEGMENTS = 64,
    QUIC_BURST_BYTES = 65507,     /* one UDP_SEGMENT send: the largest UDP payload */
    QUIC_UDP_PAYLOAD_BASE = 1200, /* RFC 9000, 14: every path carries this */
    QUIC_UDP_PAYLOAD_MAX = 9172,
    /* Short header 1 + connection ID 8 + packet number 4, DATAGRAM type 1 + length 2, tag 16. */
    QUIC_DGRAM_OVERHEAD = 32
};

enum quic_cc { QUIC_CC_CUBIC, QUIC_CC_BBR };

/* What the layer above (masque) does on events. Every call has the lane's path; `lane` stays
 * valid until lane_down returns. Calls may use any function here except freeing the path or the
 * endpoint. A function that returns int: 0, or nonzero after quic_lane_close(). */
struct quic_path_ops {
    /* The handshake is complete and the peer authenticated. */
    int (*lane_up)(struct quic_lane *lane);

    /* The lane has ended, for the reason given; the last call for it. */
    void (*lane_down)(struct quic_lane *lane, const struct quic_fail_info *why);

    /* Stream data in order. Returns the number of bytes that flow control may give back now, or
     * -1 after quic_lane_close(). */
    ssize_t (*stream_rx)(struct quic_lane *lane, int64_t stream, const uint8_t *data, size_t len,
                         bool fin);
    int (*stream_acked)(struct quic_lane *lane, int64_t stream, uint64_t bytes);
    int (*stream_closed)(struct quic_lane *lane, int64_t stream, uint64_t app_error);
    int (*stream_reset)(struct quic_lane *lane, int64_t stream, uint64_t app_error);
    /* This end reads no more of the stream (it has sent STOP_SENDING). */
    int (*stream_stop_sending)(struct quic_lane *lane, int64_t stream, uint64_t app_error);
    int (*stream_writable)(struct quic_lane *lane, int64_t stream); /* more credit */

    /* The next stream data to send: fills up to n vectors, *ret_stream and *ret_fin. Returns the
     * number of vectors; *ret_stream = -1 when there is nothing; -1 after quic_lane_close().
     * Exactly one of the three answers follows. */
    int (*stream_pull)(struct quic_lane *lane, int64_t *ret_stream, bool *ret_fin, struct iovec *v,
                       int n);
    int (*stream_wrote)(struct quic_lane *lane, int64_t stream, size_t bytes);
    void (*stream_blocked)(struct quic_lane *lane, int64_t stream);
    void (*stream_shut)(struct quic_lane *lane, int64_t stream);

    /* A DATAGRAM payload has arrived; the bytes are the caller's after return. */
    void (*dgram_rx)(struct quic_lane *lane, const uint8_t *data, size_t len);

    /* The next DATAGRAM payload of at most max bytes, or NULL. The caller takes the packet. */
    struct pkt *(*dgram_pull)(struct quic_lane *lane, size_t max);

    /* What dgram_pull gave has gone out, under a number that ascends on this path; or it has not,
     * and will not on this lane: the lane is about to end, or datagrams have become smaller. Both
     * consume it. NULL: it is freed, and what has not gone out is counted. */
    void (*dgram_sent)(struct quic_lane *lane, uint64_t id, struct pkt *pkt);
    void (*dgram_unsent)(struct quic_lane *lane, struct pkt *pkt);

    /* What became of a DATAGRAM of dgram_pull, by its number. May be NULL. */
    void (*dgram_acked)(struct quic_lane *lane, uint64_t id);
    void (*dgram_lost)(struct quic_lane *lane, uint64_t id);

    /* The lane gets no answers while other lanes of its path do: nothing is pulled for it until it
     * gets one, and what it has on its way had better go again over the others. May be NULL. */
    void (*lane_suspect)(struct quic_lane *lane);

    /* One that was suspect has got an answer. May be NULL. */
    void (*lane_trusted)(struct quic_lane *lane);

    /* Fill buf with a DATAGRAM payload of exactly len bytes that the peer will ignore: a path
     * MTU probe. Returns false when none can be made yet. */
    bool (*dgram_probe)(struct quic_lane *lane, uint8_t *buf, size_t len);

    /* The largest DATAGRAM payload of the lane has changed, or whether it is known
     * (quic_lane_mtu_known). */
    void (*mtu_changed)(struct quic_lane *lane, size_t dgram_max);
};

struct quic_endpoint_opts {
    bool server;
    enum quic_cc cc;
    const struct quic_tls_ops *tls;  /* borrowed, outlives the endpoint */
    void *tls_ctx;                   /* borrowed, until quic_endpoint_set_tls() */
    const struct aead_backend *aead; /* borrowed; NULL = aead_gnutls (aead.h) */
    const char *server_name;         /* client: name in SNI and certificate; copied */
    struct pkt_pool *pool;           /* borrowed: where pulled packets are given back */
    struct drop_counters *drops;     /* borrowed */

    /* Fill dst with random bytes: the system's generator, or a seeded one in the simulator. */
    void (*random)(void *user, void *dst, size_t len);
    void *random_user;

    /* server: secret from which stateless reset tokens are made (RFC 9000, 10.3); the same
     * after a restart, so that peers of the former process learn at once that it is gone. */
    uint8_t reset_secret[32];

    uint64_t idle_timeout_ns;      /* 0 = 30 s */
    uint64_t keepalive_ns;         /* PING after so much silence; 0 = 5 s at a client, 10 s at a
                                    * server. Each lane of a client has its own within 20 % of it,
                                    * at random: a thousand clients find out one after the other
                                    * that their server has been restarted */
    uint64_t handshake_timeout_ns; /* 0 = 10 s */
    size_t udp_payload_max;        /* largest UDP payload to probe for; 0 = 1472 */
    unsigned max_handshakes;       /* server: connections not yet authenticated; 0 = 1024 */
    unsigned max_lanes;            /* server: all connections; 0 = 16384 */
    unsigned retry_handshakes;     /* server: so many of them open from addresses not validated, and
                                    * the next must pass Retry (RFC 9000, 8.1.2); 0 = 64 */
    bool retry_always;             /* server: all must pass Retry */
    unsigned source_handshakes;    /* server: open at a time from one validated source (IPv4
                                    * address, IPv6 /64); 0 = 400 */
    unsigned handshake_rate;       /* server: begun a second by all validated sources together, and
                                    * at once; 0 = 1000 */

    /* server: a connection has authenticated and needs a path. Sets *ret_ops and *ret_user;
     * returns 0, or nonzero to refuse it. */
    int (*accept)(void *user, struct quic_lane *lane, const struct quic_path_ops **ret_ops,
                  void **ret_user);

    /* server, may be NULL: a connection failed before it had a path; for the log. */
    void (*refused)(void *user, const struct quic_lane *lane, const struct quic_fail_info *why);
    void *accept_user;
};

/* Returns 0, -ENOMEM, or -EINVAL when the options are incomplete. */
int quic_endpoint_new(const struct quic_endpoint_opts *opts, struct quic_endpoint **ret);

/* Ends everything at once, without a word to the peers (see quic_endpoint_shutdown); lane_down is
 * called for every lane that has not had it. Accepts NULL. */
void quic_endpoint_free(struct quic_endpoint *ep);

/* Close every lane with a CONNECTION_CLOSE of that application error, which the following
 * quic_endpoint_tx() calls send. */
void quic_endpoint_shutdown(struct quic_endpoint *ep, uint64_t now_ns, uint64_t app_error);

/* One received UDP datagram; or, when seg_size is not 0, several from one sender: len bytes that
 * are datagrams of seg_size each, the last one may be shorter. `socket` is the caller's number of
 * the socket they came from; what is sent in answer carries the same number. Never fails: junk is
 * counted and dropped. */
struct quic_rx {
    struct net_addr local, remote;
    uint8_t *data;
    size_t len, seg_size;
    uint8_t ecn;
    unsigned socket;
};
void quic_endpoint_rx(struct quic_endpoint *ep, uint64_t now_ns, const struct quic_rx *rx);

/* One UDP burst: len bytes that are datagrams of seg_size each, the last one may be shorter. */
struct quic_tx {
    struct net_addr local, remote;
    uint8_t ecn;
    unsigned socket;
    size_t len, seg_size;
    uint8_t buf[QUIC_BURST_BYTES];
};

/* The next burst to send, in *tx. Returns false when there is nothing to send now. */
bool quic_endpoint_tx(struct quic_endpoint *ep, uint64_t now_ns, struct quic_tx *tx);

/* When quic_endpoint_timeout() wants to be called; TIME_NEVER_NS when never. */
uint64_t quic_endpoint_deadline_ns(const struct quic_endpoint *ep);
void quic_endpoint_timeout(struct quic_endpoint *ep, uint64_t now_ns);

unsigned quic_endpoint_lanes(const struct quic_endpoint *ep);

/* server: what strangers have asked for and got. Counters since the endpoint was made. */
struct quic_endpoint_stats {
    uint64_t begun;     /* handshakes begun, */
    uint64_t completed; /* completed, */
    uint64_t failed;    /* and failed */
    uint64_t refused;   /* first packets not answered: limits, or a bad token */
    uint64_t junk;      /* first packets that could not be decrypted */
    uint64_t retried;   /* Retry packets sent */
    uint64_t resets;    /* stateless resets sent */
    uint64_t version_negotiations;
    uint64_t unanswered; /* stateless answers not given, because there were too many */
    unsigned lanes;      /* now: connections, */
    unsigned handshakes; /* of them not authenticated yet, */
    unsigned unproven;   /* and of those without a validated address */
    unsigned sources;    /* addresses remembered */
};
void quic_endpoint_stats(const struct quic_endpoint *ep, struct quic_endpoint_stats *ret);

/* Other credentials (tls_ctx) for connections that begin from now on; those that exist keep theirs
 * until quic_lane_recheck() has something against them. The endpoint is done with the former. */
void quic_endpoint_set_tls(struct quic_endpoint *ep, void *tls_ctx);

/* client: make a path with no lane yet. NULL when out of memory. The endpoint owns it. */
struct quic_path *quic_path_new(struct quic_endpoint *ep, const struct quic_path_ops *ops,
                                void *user);

/* client: open one more lane over the given addresses and socket number. The handshake starts
 * with the next quic_endpoint_tx(). Returns 0, -ENOSPC (QUIC_LANES_MAX), -ENOMEM or -EIO. */
int quic_path_open_lane(struct quic_path *path, uint64_t now_ns, const struct net_addr *local,
                        const struct net_addr *remote, unsigned socket, struct quic_lane **ret);

/* Close the lanes of a path, with lane_down for each before this returns, and give up the path,
 * which is freed with its last lane. Allowed in lane_down of the same path. */
void quic_path_close(struct quic_path *path, uint64_t now_ns);

/* There is something to pull. */
void quic_path_kick(struct quic_path *path);

void *quic_path_user(const struct quic_path *path);

/* Lanes that have not ended. */
unsigned quic_path_lanes(const struct quic_path *path);

/* server, in an event of the lane: move it from the path that it was accepted with, which is freed
 * if it has no other, to this one, whose lanes share what they have in flight. Returns 0; -ENOSPC
 * (twice QUIC_LANES_MAX: room for those that are about to be closed); -EINVAL when the lane is not
 * up or has sent datagrams already, or the paths have not the same endpoint, ops and user. */
int quic_path_adopt_lane(struct quic_path *path, struct quic_lane *lane);

/* How many lanes the path should have by what it carries and loses (bound.h): the owner opens and
 * closes them. */
unsigned quic_path_lanes_wanted(const struct quic_path *path, uint64_t now_ns);

/* What it delivers in a second when it is full, in bytes, as far as seen; 0: not known, or no
 * bound. */
uint64_t quic_path_rate(const struct quic_path *path);

/* DATAGRAMs of all its lanes that were acknowledged, and that were lost, since it was made. */
void quic_path_fate(const struct quic_path *path, uint64_t *ret_acked, uint64_t *ret_lost);

/* How much more queue it keeps than a steady path, because its rate or delay varies (bound_vary.h);
 * 0 without a bound. */
uint64_t quic_path_vary_ns(const struct quic_path *path);

/* It is one of several paths that share what is to be sent (bound_set_several()). */
void quic_path_set_several(struct quic_path *path, bool several);

/* Limit what the path has in flight by its measured delivery rate and round trip (bound.h), with a
 * queue of queue_ns at most, 0 = the default. Off at first: then congestion control alone decides,
 * which serves a path of one lane better (doc/decisions/0001); a path of several needs it. To be
 * called before the path sends. */
void quic_path_set_bound(struct quic_path *path, bool on, uint64_t queue_ns);

struct quic_path *quic_lane_path(const struct quic_lane *lane);
void *quic_lane_user(const struct quic_lane *lane);
void quic_lane_set_user(struct quic_lane *lane, void *user);

bool quic_lane_is_server(const struct quic_lane *lane);

/* The authenticated name of the peer's certificate; "" when it showed none. */
const char *quic_lane_peer_name(const struct quic_lane *lane);

/* What the peer's certificate says (quic/tls.h): 0, or -ENOENT when there is none. Parses it. */
int quic_lane_peer_cert(const struct quic_lane *lane, struct quic_tls_cert_info *ret);

/* Until when it is valid, seconds since the epoch; 0 when there is none. */
int64_t quic_lane_peer_until_s(const struct quic_lane *lane);

/* Whether the peer would still be let in by its certificate, with the endpoint's present
 * credentials and at the present time: QUIC_FAIL_NONE, or why not. A peer that showed no
 * certificate passes where none is required. Signatures are verified anew: about 0.2 ms. */
enum quic_fail quic_lane_recheck(const struct quic_lane *lane);

/* Close a lane whose peer may not stay: with the TLS alert for the reason, so that the peer
 * learns why; lane_down follows with that reason as it does after quic_lane_close(). The first
 * call of either counts. */
void quic_lane_reject(struct quic_lane *lane, enum quic_fail why);

const struct net_addr *quic_lane_remote(const struct quic_lane *lane);

/* The time of the event being handled. */
uint64_t quic_lane_now_ns(const struct quic_lane *lane);

/* Close a lane with an application error (HTTP/3 code) and a reason phrase; lane_down follows
 * with QUIC_FAIL_LOCAL once the event being handled is over. The first call counts. */
void quic_lane_close(struct quic_lane *lane, uint64_t app_error, const char *reason);

/* Something to send on a stream of this lane. */
void quic_lane_kick(struct quic_lane *lane);

/* The lane is suspect from now on, with lane_suspect, if it has been waiting for an answer for more
 * than least_ns and two probe timeouts: for owners of several paths, of which another one works. */
void quic_lane_suspect_after(struct quic_lane *lane, uint64_t least_ns);

/* Whether it gets no answers (lane_suspect). */
bool quic_lane_is_suspect(const struct quic_lane *lane);

/* Open a stream; returns its number or -EAGAIN when the peer allows none now. */
int64_t quic_lane_open_bidi(struct quic_lane *lane);
int64_t quic_lane_open_uni(struct quic_lane *lane);

/* Abort both directions of a stream. */
void quic_lane_shutdown_stream(struct quic_lane *lane, int64_t stream, uint64_t app_error);

/* Ask the peer to send no more on a stream (STOP_SENDING). */
void quic_lane_stop_reading(struct quic_lane *lane, int64_t stream, uint64_t app_error);

/* Protect what is sent from now on with the next keys; the peer follows (RFC 9001, 6). A lane does
 * so by itself before a key has sealed as many packets as it may. Returns 0, or -EAGAIN while the
 * handshake or the last change is not confirmed. */
int quic_lane_update_keys(struct quic_lane *lane);

/* Give back flow control for data consumed after stream_rx. */
void quic_lane_consumed(struct quic_lane *lane, int64_t stream, size_t bytes);

/* Let the peer open one more bidirectional stream (a request has ended). */
void quic_lane_extend_streams(struct quic_lane *lane);

/* How many bytes the lane sends in a millisecond at its present rate: at least two packets, at most
 * QUIC_BURST_BYTES. What leaves at once should not be more. */
size_t quic_lane_burst_bytes(const struct quic_lane *lane);

/* The largest DATAGRAM payload that can be sent now; 0 when the peer takes none. */
size_t quic_lane_dgram_max(const struct quic_lane *lane);

/* True when the size is the result of a search for the path MTU; false before the first one has
 * ended and while one starts anew after a black hole: then the size is a lower bound. */
bool quic_lane_mtu_known(const struct quic_lane *lane);

struct quic_lane_stats {
    uint64_t rtt_latest_ns, rtt_min_ns, rtt_smoothed_ns, rtt_var_ns;
    uint64_t cwnd_bytes, in_flight_bytes;
    uint64_t udp_tx, udp_rx, udp_tx_bytes, udp_rx_bytes;
    uint64_t dgram_tx, dgram_acked, dgram_lost, dgram_rx;
    size_t udp_payload;   /* what one packet may be now */
    uint64_t heard_ns;    /* when the last datagram came in */
    uint64_t answered_ns; /* when the fate of a DATAGRAM was last heard of, or the first of those on
                           * their way was sent */
};
void quic_lane_stats(const struct quic_lane *lane, struct quic_lane_stats *ret);

/* Add the counters and the bytes of another lane of the path; the later of the times in ns of the
 * clock; round trips and sizes stay. */
void quic_lane_stats_add(struct quic_lane_stats *sum, const struct quic_lane_stats *s);

#endif
