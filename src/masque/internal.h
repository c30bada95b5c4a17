/* What the parts of masque share: one lane. Nobody outside this folder uses it.
 *
 *   masque.c     the lane's events and what the layer above asks
 *   http.c       HTTP/3: SETTINGS, the request and its answer
 *   tunnel.c     when a tunnel opens and ends, and lanes that have none
 *   capsules.c   capsules in and out
 *   datagrams.c  HTTP Datagrams in and out
 */
#ifndef MASQUE_INTERNAL_H
#define MASQUE_INTERNAL_H

#include <nghttp3/nghttp3.h>

#include "masque/early.h"
#include "masque/idset.h"
#include "masque/masque.h"
#include "masque/outbuf.h"
#include "masque/settings.h"

enum { REQUEST_STREAMS_MAX = 8 }; /* as many as the QUIC layer lets a client open */

enum masque_state {
    MASQUE_WAIT_SETTINGS, /* edge: for the hub's SETTINGS */
    MASQUE_REQUESTED,     /* edge: for the answer */
    MASQUE_IDLE,          /* hub: for a request */
    MASQUE_OPEN,
    MASQUE_ENDED
};

/* A request being received. */
struct req_stream {
    int64_t id; /* -1: free */
    bool answered;
    struct masque_request *req; /* owned; NULL once it is answered */
};

struct masque {
    struct masque_side *side;
    struct quic_lane *lane;
    void *user;
    nghttp3_conn *h3;
    enum masque_state state;
    int64_t stream;              /* of the tunnel, -1 before */
    int status;                  /* edge: of the answer */
    struct masque_join join;     /* edge: as in the request */
    bool packed;                 /* the tunnel's datagrams have Context ID 2 */
    uint8_t epoch[MASQUE_EPOCH]; /* packed: the session's */
    bool answer_bad;             /* edge: the answer has fields that the Capsule Protocol forbids */
    struct req_stream reqs[REQUEST_STREAMS_MAX];
    uint64_t streams_max;            /* hub: request streams allowed so far */
    int64_t ended_stream;            /* hub: the highest request stream that is over, -1: none */
    struct settings_tap settings;    /* edge: the hub's */
    bool got_settings, takes_dgrams; /* of the peer */
    struct capsule_parser parser;
    struct idset request_ids; /* that the peer has used in ADDRESS_REQUEST */
    struct outbuf out;
    struct early early;

    bool waiting; /* in the side's list of lanes without a tunnel */
    uint64_t waiting_since_ns;
    struct masque *wait_prev, *wait_next;
};

static inline struct masque *masque_of(const struct quic_lane *lane)
{
    return quic_lane_user(lane);
}

static inline bool masque_is_server(const struct masque *m)
{
    return quic_lane_is_server(m->lane);
}

/* http.c. The functions that return int: 0, or -1 after the lane was told to close. */
int http_new(struct masque *m);
int http_failed(struct masque *m, int liberr);
struct req_stream *http_find_request(struct masque *m, int64_t stream);
void http_free_request(struct req_stream *rs); /* its fields, not its place */

/* hub: a request stream is over; the peer may open another one. */
void http_forget_request(struct masque *m, int64_t stream);

/* tunnel.c */
void tunnel_waits(struct masque *m); /* the lane has no tunnel from now on */
void tunnel_waits_no_more(struct masque *m);
void tunnel_opened(struct masque *m, int64_t stream);

/* The tunnel, or the hope for one, is over: tell the layer above. Once only. */
void tunnel_ended(struct masque *m, enum quic_fail fail, uint64_t code, const char *reason);

/* End it because of the peer: abort its stream (RFC 9297, 3.3) with an HTTP/3 code. */
void tunnel_abort(struct masque *m, enum quic_fail fail, uint64_t code, const char *reason);
void tunnel_tell_packet_max(struct masque *m);

/* capsules.c: for the library, and stream data of the tunnel. */
nghttp3_ssize capsules_read(nghttp3_conn *h3, int64_t stream, nghttp3_vec *vec, size_t cnt,
                            uint32_t *flags, void *user, void *stream_user);
void capsules_take(struct masque *m, const uint8_t *data, size_t len);

/* datagrams.c */
void datagrams_on_rx(struct quic_lane *lane, const uint8_t *data, size_t len);
struct pkt *datagrams_on_pull(struct quic_lane *lane, size_t max);
void datagrams_on_sent(struct quic_lane *lane, uint64_t id, struct pkt *pkt);
void datagrams_on_unsent(struct quic_lane *lane, struct pkt *pkt);
void datagrams_on_acked(struct quic_lane *lane, uint64_t id);
void datagrams_on_lost(struct quic_lane *lane, uint64_t id);

/* The prefix of a datagram of the tunnel. */
size_t datagrams_prefix_len(const struct masque *m);
bool datagrams_on_probe(struct quic_lane *lane, uint8_t *buf, size_t len);

/* The payload of an HTTP Datagram of the tunnel (RFC 9484, 6). */
void datagrams_take_payload(struct masque *m, const uint8_t *data, size_t len);

/* The tunnel has opened: what came early for its stream is for it now. */
void datagrams_deliver_early(struct masque *m);

/* There will be no tunnel on this stream; on none at all. */
void datagrams_drop_early(struct masque *m, int64_t stream);
void datagrams_drop_all_early(struct masque *m);

#endif
