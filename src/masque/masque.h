/* CONNECT-IP (RFC 9484) over HTTP/3 (RFC 9114, 9220) on one lane: the request, its capsules
 * (RFC 9297) and the IP packets in HTTP Datagrams with context 0. No system call, no clock.
 *
 *   edge   lane up -> SETTINGS both ways -> CONNECT -> 2xx -> open
 *   hub    lane up -> SETTINGS -> request -> ops->request() says the status -> open
 *
 * One lane carries one tunnel. Whatever else a peer asks for gets the proper HTTP answer and
 * leaves the tunnel alone. Datagrams that come before the request or its answer (they are not
 * ordered with the stream) wait in a small buffer.
 */
#ifndef MASQUE_MASQUE_H
#define MASQUE_MASQUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/drop.h"
#include "packet/pkt.h"
#include "quic/quic.h"
#include "wire/capsule.h"
#include "wire/class.h"

enum {
    MASQUE_VALUE_MAX = 512,   /* longest header field value we look at */
    MASQUE_INSTANCE_MAX = 33, /* of the instance field, with the final 0 */
    MASQUE_SESSION_ID = 16,
    MASQUE_EPOCH = 8,
    MASQUE_PATHS_MAX = 16,
    MASQUE_PATH_LANES_MAX = 16,
    MASQUE_PATH_NAME_MAX = 16,  /* with the final 0 */
    MASQUE_SESSION_VERSION = 1, /* the one that we speak */
    MASQUE_OUT_MAX = 65536,     /* capsule bytes not yet acknowledged by the peer */
    MASQUE_WAITING_MAX = 1024   /* lanes of one side without a tunnel */
};

/* How long a lane may be without an open tunnel: the edge waiting for SETTINGS and an answer, the
 * hub for a request. */
#define MASQUE_WAIT_NS (15 * NS_PER_S)

/* HTTP/3 error codes we use (RFC 9114, 8.1; RFC 9297, 5.2). */
enum {
    MASQUE_H3_NO_ERROR = 0x100,
    MASQUE_H3_GENERAL_PROTOCOL_ERROR = 0x101,
    MASQUE_H3_INTERNAL_ERROR = 0x102,
    MASQUE_H3_ID_ERROR = 0x108,
    MASQUE_H3_SETTINGS_ERROR = 0x109,
    MASQUE_H3_REQUEST_CANCELLED = 0x10c,
    MASQUE_H3_MESSAGE_ERROR = 0x10e,
    MASQUE_H3_CONNECT_ERROR = 0x10f
};

/* What a client closes its connections with that ends, and its session with it (doc/protocol.md,
 * "Joining"). */
enum { MASQUE_SESSION_END = 0x2d707180 };

struct masque;

/* The session that a lane belongs to (doc/protocol.md, "Joining"). */
struct masque_join {
    unsigned version; /* that the client speaks; 0: none, plain CONNECT-IP */
    uint8_t session[MASQUE_SESSION_ID];
    uint8_t path, lane; /* below MASQUE_PATHS_MAX, MASQUE_PATH_LANES_MAX */
    uint8_t lanes;      /* how many the client may open on this path: 1 to MASQUE_PATH_LANES_MAX */
    char name[MASQUE_PATH_NAME_MAX]; /* of the path, for people; "": none */
};

/* A request as its header fields say; "" where a field is missing. */
struct masque_request {
    char method[16], protocol[32], scheme[16];
    char authority[256], path[MASQUE_VALUE_MAX];
    char authorization[MASQUE_VALUE_MAX];
    char instance[MASQUE_INSTANCE_MAX]; /* mpquic-instance */
    bool bad_instance;       /* ... which has a length or character that it may not have */
    struct masque_join join; /* mpquic-session, mpquic-path, mpquic-lane, mpquic-lanes */
    uint8_t join_fields;     /* which of these are there */
    bool bad_join;           /* ... and one is malformed or there twice */
    bool has_content; /* Content-Length or Content-Type, which the Capsule Protocol forbids */
    bool oversized;   /* a field of interest was longer than we take */
};

/* What the layer above does. `user` of the masque object is its own to set. */
struct masque_ops {
    /* hub: a CONNECT-IP request for our resource has arrived; nothing else comes here. Returns
     * the status: 200 accepts, after masque_set_packed() when it joins a session. */
    int (*request)(struct masque *m, const struct masque_request *req);

    /* edge: the request is about to be made: which lane of which session the tunnel is to be, in
     * *ret, which is all 0 (plain) before. NULL: plain. */
    void (*join)(struct masque *m, struct masque_join *ret);

    /* The tunnel is open: capsules and packets may go. */
    void (*open)(struct masque *m);

    /* edge: the hub answered with this status (not 2xx; 0: it speaks no CONNECT-IP). */
    void (*refused)(struct masque *m, int status);

    void (*addr_assign)(struct masque *m, const struct capsule_addrs *addrs);

    /* Returns what masque_send_addrs() said of the answer. -ENOBUFS ends the tunnel: the peer asks
     * but takes no answer. */
    int (*addr_request)(struct masque *m, const struct capsule_addrs *addrs);
    void (*routes)(struct masque *m, const struct capsule_routes *routes);

    /* edge, packed: how many lanes the hub would like its path to have; may be NULL. */
    void (*lanes)(struct masque *m, unsigned wanted);

    /* hub, packed: the peer's classes; may be NULL. */
    void (*classes)(struct masque *m, const struct class_table *table);

    /* hub, packed: what the peer says of one of its paths; may be NULL. */
    void (*path)(struct masque *m, const struct path_report *report);

    /* An IP packet; the bytes are the caller's after return. */
    void (*packet)(struct masque *m, const uint8_t *data, size_t len);

    /* A packed datagram, of a tunnel that is packed; the bytes are the caller's after return. */
    void (*packed)(struct masque *m, const uint8_t *data, size_t len);

    /* The next IP packet (or packed datagram) to send, of at most max bytes, with PKT_HEADROOM kept
     * in front of it; NULL: none. The caller takes it. */
    struct pkt *(*pull)(struct masque *m, size_t max);

    /* What became of it: it went out under a number that ascends (on a path), it did not and will
     * not on this lane, it was acknowledged, it was declared lost. sent and unsent consume it.
     * Without unsent (NULL) it is dropped. */
    void (*sent)(struct masque *m, uint64_t id, struct pkt *pkt);
    void (*unsent)(struct masque *m, struct pkt *pkt);
    void (*acked)(struct masque *m, uint64_t id);
    void (*lost)(struct masque *m, uint64_t id);

    /* Its lane gets no answers while others of the path do (quic.h, lane_suspect); packed only. */
    void (*suspect)(struct masque *m);

    /* A lane that was suspect has got an answer; packed only, may be NULL. */
    void (*trusted)(struct masque *m);

    /* The largest IP packet that one datagram carries: told at opening and when it changes. Until
     * it is known (the first search for the path MTU has settled) it is a lower bound. */
    void (*mtu_changed)(struct masque *m, size_t packet_max, bool known);

    /* The tunnel has ended, with its stream or with the lane: m must not be used any more, but
     * for masque_close(). */
    void (*down)(struct masque *m, const struct quic_fail_info *why);
};

/* What all requests of one side share. Embedded by its owner, which outlives the lanes; it is the
 * user of the quic_path (hub: what accept() returns). */
struct masque_side {
    const struct masque_ops *ops;
    void *user;
    struct pkt_pool *pool;
    struct drop_counters *drops;
    const char *authority; /* edge: host:port of the request; borrowed */
    const char *token;     /* edge: bearer token or NULL; borrowed */
    const char *instance;  /* edge: which of several with its name; NULL or "": none; borrowed */

    /* edge: a lane ended before its handshake was complete; may be NULL. */
    void (*lane_failed)(struct masque_side *side, struct quic_lane *lane,
                        const struct quic_fail_info *why);

    /* Ours: the lanes without a tunnel, the one that waits longest first. */
    struct masque *wait_first, *wait_last;
    unsigned n_waiting;
};

/* When masque_timeout() wants to be called, which closes lanes that have been without a tunnel for
 * MASQUE_WAIT_NS; TIME_NEVER_NS when never. The next quic_endpoint_tx() says goodbye. */
uint64_t masque_deadline_ns(const struct masque_side *side);
void masque_timeout(struct masque_side *side, uint64_t now_ns);

/* The lane events, for quic_path_new() (edge, user = struct masque_side *) and for accept(). */
extern const struct quic_path_ops masque_path_ops;

struct masque_side *masque_side_of(const struct masque *m);
struct quic_lane *masque_lane(const struct masque *m);
void *masque_user(const struct masque *m);
void masque_set_user(struct masque *m, void *user);
bool masque_is_open(const struct masque *m);

/* hub, in ops->request(): the tunnel will be packed, in a session of this epoch. */
void masque_set_packed(struct masque *m, const uint8_t epoch[MASQUE_EPOCH]);

/* Whether the tunnel, which is open, is packed; then *ret_epoch points to the session's epoch. */
bool masque_is_packed(const struct masque *m, const uint8_t **ret_epoch);

/* Send a capsule. Returns 0; -ENOTCONN when the tunnel is not open; -ENOBUFS when MASQUE_OUT_MAX
 * is reached; -EINVAL when it breaks a rule of RFC 9484. */
int masque_send_addrs(struct masque *m, enum capsule_type type, const struct capsule_addrs *addrs);
int masque_send_routes(struct masque *m, const struct capsule_routes *routes);
int masque_send_lanes(struct masque *m, unsigned wanted);                   /* hub, packed */
int masque_send_path(struct masque *m, const struct path_report *report);   /* edge, packed */
int masque_send_classes(struct masque *m, const struct class_table *table); /* edge, packed */

/* There is something to pull. */
void masque_kick(struct masque *m);

/* The largest IP packet, or packed datagram, that fits now; 0 when the tunnel is not open. */
size_t masque_packet_max(const struct masque *m);

/* End the tunnel and its lane with an HTTP/3 error code; down follows. */
void masque_close(struct masque *m, uint64_t h3_error, const char *reason);

#endif
