/* A lane without QUIC: stands in for src/quic under src/masque, so that a test or a fuzzer is the
 * peer and feeds bytes of its own. It holds masque to what QUIC would: stream data in order, no
 * event after the end of a stream, nothing freed while an event is at work.
 *
 *      test: fake_lane_feed(), fake_lane_dgram(), fake_lane_reset() ...  ->  masque
 *      masque: quic_lane_*()  ->  what it did stands in struct quic_lane
 */
#ifndef TESTS_FAKE_LANE_H
#define TESTS_FAKE_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quic/quic.h"

enum { FAKE_STREAMS_MAX = 64, FAKE_NO_CODE = -1 };

struct fake_stream {
    int64_t id;        /* -1: free */
    bool rx_end;       /* the peer sent its last byte, or a reset */
    bool tx_end;       /* so did masque */
    bool peer_stopped; /* the peer has sent STOP_SENDING */
    bool closed;
    int64_t shutdown_code, stop_code; /* what masque said, or FAKE_NO_CODE */
    uint64_t consumed;                /* flow control given back */
    uint8_t *out;                     /* what masque has sent */
    size_t out_len, out_acked;
};

struct quic_path {
    struct quic_lane *lane;
    void *user;
};

struct quic_lane {
    struct quic_path path;
    void *user;
    bool server;
    uint64_t now_ns;
    size_t dgram_max;
    bool mtu_known;
    int64_t next[4];     /* by kind: numbers below have been used */
    unsigned n_extended; /* streams allowed to the peer beside the first eight */
    struct fake_stream stream[FAKE_STREAMS_MAX];
    bool stream_work, dgram_work;

    bool is_up, is_down;
    bool close_wanted;
    uint64_t close_code;
    char close_reason[96];
};

/* A lane whose path belongs to side (a struct masque_side). Not up yet. */
void fake_lane_init(struct quic_lane *lane, bool server, void *side);

/* The handshake is complete; it has failed. */
void fake_lane_up(struct quic_lane *lane);

/* The lane ends, whatever masque wanted. Frees what the fake holds. */
void fake_lane_down(struct quic_lane *lane, enum quic_fail fail);

/* If masque closed the lane: end it, as QUIC does once an event is over. Every event below does
 * this itself. */
void fake_lane_settle(struct quic_lane *lane);

/* Events from the peer; ignored when QUIC would not let them happen. */
void fake_lane_feed(struct quic_lane *lane, int64_t stream, const uint8_t *data, size_t len,
                    bool fin);
void fake_lane_reset(struct quic_lane *lane, int64_t stream, uint64_t code);
void fake_lane_stop(struct quic_lane *lane, int64_t stream);
void fake_lane_dgram(struct quic_lane *lane, const uint8_t *data, size_t len);

/* The peer acknowledges n more bytes of a stream. */
void fake_lane_ack(struct quic_lane *lane, int64_t stream, size_t n);

/* The streams that have ended in both directions close. */
void fake_lane_close_ended(struct quic_lane *lane);

/* Take what masque wants to send, up to max bytes of each piece. */
void fake_lane_pump(struct quic_lane *lane, size_t max);

/* The next datagram that masque wants to send, of at most max bytes; NULL: none. */
struct pkt *fake_lane_pull(struct quic_lane *lane, size_t max);

/* The search for the path MTU says this. */
void fake_lane_set_mtu(struct quic_lane *lane, size_t dgram_max, bool known);

/* NULL when there is none, or it is over and its place was needed. */
struct fake_stream *fake_lane_stream(struct quic_lane *lane, int64_t id);

#endif
