/* How much a path may have in flight, all its lanes together.
 *
 * Congestion control below (CUBIC or BBR of each lane) answers every lost packet and fills the
 * bottleneck's buffer. A path of several lanes is hardly slowed by random loss, because each loss
 * meets one lane; so the lanes stop being the limit, and this bound is what controls the path. It
 * looks at delay, not at loss:
 *
 *      window = rate x (base + queue)
 *
 * rate   bytes that left the network (acknowledged or lost) per second, over one round;
 * base   the least round trip known: what the path takes with its queue empty;
 * queue  the standing queue that is allowed, a few milliseconds (2 packets on slow links).
 *
 * A round ends when a packet sent after its begin is acknowledged. The least round trip of a round
 * minus base is the standing queue, because noise only adds. At its end, depending on the mode:
 *
 *                  queue seen or heavy loss            queue stays though we drained,
 *      STARTUP -------------------------------> DELAY  or the window was pushed down twice
 *      window doubles each round                  |  ---------------------------------> COMPETE
 *                                                 ^--------------------------------------'
 *                                                   drained, and the queue was empty
 *
 * DELAY. Queue above half of what is allowed: the window moves to rate x (base + queue). Below:
 * it grows by rate x queue, and twice as much each further time, so that a link that became faster
 * is found in a few round trips. Losses without a queue do not matter; a round that loses far
 * more than usual means a buffer smaller than the queue allowed, and the window shrinks.
 *
 * Drain. Every BOUND_BASE_NS the window falls to 9/10 of the bandwidth-delay product for one round
 * trip. If only our packets stood in the queue it is empty then, and base is measured anew, so
 * that it cannot creep up with the queue that we keep. If it is not empty, the queue is somebody
 * else's: a flow that fills the buffer would push a delay-based window to nothing, hence
 *
 * COMPETE. The window follows CUBIC (RFC 9438) with the steps of three flows: it must hold
 * its own though it gives way in drains and takes losses that the other flow escapes. It stops at
 * 42 % of the link, whose rate a drain reveals: taking away d bytes shortens the round trip
 * by d / rate of the link. Drains at growing distance (1 to 8 s, at once when our rate jumps) tell
 * when the other flow has gone. Somebody who was there first hides the true base; against that,
 * two falls of the window by 30 % without a rise between them count as a foreign queue too. A
 * queue that does not become shorter when we send less is none: the way has become longer, or
 * jitters, and base is taken anew.
 *
 * A path that varies, by fading or by jitter, needs more queue to be in use, and is not taken for
 * one that somebody else fills: there the queue allowed is longer, as bound_vary.h has it, nothing
 * is concluded from falls of the window, and COMPETE is left. STARTUP ends when a queue shows and a
 * round delivers less than one and a half times as much as the last one, so that jitter does not
 * end it.
 *
 * Rounds in which the sender had nothing more to send say nothing and change nothing, unless it
 * used most of the window and a queue was seen. On links so slow that two packets are the queue
 * allowed the window does not grow while it makes twice that queue by our rate.
 *
 * Measured (100 Mbit/s, 20 ms, buffer 40 ms, 20 seeds; doc/decisions/0001): 4 ms allowed gives full
 * use of the link at 4 ms of queue; CUBIC alone has 34 ms, and 9 % of the link at 1 % loss.
 *
 * Costs: constant time for each packet, floating point once in a round trip. Packets in flight are
 * kept in a ring by number that doubles up to BOUND_RING_MAX (1 MiB; more is not sent) and goes
 * back to BOUND_RING_MIN (1 KiB) when a path falls silent. A packet without answer for 4 round
 * trips + 300 ms is written off, so that a dead lane does not hold the window of the others.
 */
#ifndef QUIC_BOUND_H
#define QUIC_BOUND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "quic/bound_vary.h"

enum {
    BOUND_RING_MIN = 64, /* packets; powers of two */
    BOUND_RING_MAX = 65536,
    BOUND_PACKET_BYTES = 1472, /* a full packet, as the unit of the laws */
    BOUND_LANES_MAX = 16
};

#define BOUND_QUEUE_NS (4 * NS_PER_MS) /* allowed queue unless set otherwise */
#define BOUND_BASE_NS (5 * NS_PER_S)

enum bound_mode { BOUND_STARTUP, BOUND_DELAY, BOUND_COMPETE };

struct bound_sent {
    uint64_t sent_ns;
    uint32_t bytes; /* 0: not in flight any more */
    uint32_t lane;
};

struct bound_round {
    uint64_t end; /* number of the first packet that was sent in it */
    uint64_t since_ns;
    uint64_t left, lost; /* `left` of the bound at its begin; bytes lost in it */
    uint64_t rtt_min_ns; /* UINT64_MAX: no sample */
    uint64_t rtt_sum_ns;
    unsigned samples;
    double unused; /* bytes of the window times seconds for which they were */
    bool full;     /* it began with the window used up */
    bool limited;  /* the window kept something from being sent */
};

enum bound_drain_phase { BOUND_DRAIN_NONE, BOUND_DRAIN_FALLING, BOUND_DRAIN_MEASURING };

struct bound_drain {
    enum bound_drain_phase phase;
    uint64_t window, restore; /* bytes: while draining, and afterwards */
    uint64_t before_bytes, before_rtt_ns;
    uint64_t ended_ns;
};

struct bound_compete {
    double w_max, k_s, w_est; /* CUBIC: bytes, seconds, bytes */
    uint64_t epoch_ns;
    uint64_t recovery_end; /* losses of packets before this number are answered already */
    unsigned need, empty;  /* drains in a row that must find, have found the queue empty */
    unsigned calm_rounds;  /* rounds in a row without a queue */
    uint64_t test_ns;      /* distance of drains */
    double tested_rate;    /* our rate at the last drain */
    uint64_t left_ns;      /* when the mode was left; 0 = never entered */
};

struct bound {
    bool on;
    bool several; /* paths, of which this is one */
    uint64_t queue_ns;
    enum bound_mode mode;
    uint64_t window, target; /* bytes; the window moves to the target as packets leave */
    uint64_t in_flight;      /* bytes */
    uint64_t left;           /* bytes that ever left the network */
    uint64_t rtt_ns;         /* smoothed */
    uint64_t base_ns[2];     /* least round trip since the last drain, and before it */
    uint64_t base_since_ns;
    double rate, link; /* bytes per second: ours, the bottleneck's (0 = unknown) */
    double best;       /* the rate when it was last limited, or a higher one since */
    double loss;       /* smoothed share of lost bytes, while in DELAY */
    struct bound_round round;
    uint64_t event_ns; /* when something last was sent, or left */
    struct bound_drain drain;
    unsigned unclear; /* drains in a row that did not find the queue empty */
    struct bound_vary vary;

    /* DELAY */
    unsigned bad_rounds; /* in a row with more than twice the queue allowed */
    uint64_t bad_window; /* at the first of them */
    unsigned grow_steps; /* in a row */
    bool grew;           /* in the last round: wait for what comes of it */
    unsigned falls;      /* by 30 % since the last rise */
    double high;         /* window from which the next fall counts */

    struct bound_compete compete;

    struct bound_sent *sent; /* ring by number of the packet */
    size_t cap, used;        /* used: most at once since the ring was last empty */
    uint64_t first, end;     /* numbers in the ring: [first, end) */
};

void bound_init(struct bound *b);
void bound_done(struct bound *b);

/* Switch it and say how much queue it may keep; 0 = BOUND_QUEUE_NS. */
void bound_set(struct bound *b, bool on, uint64_t queue_ns);

/* Whether it is one of several paths that share what is to be sent: then jitter alone is not
 * answered by a longer queue (bound_vary.h), only that of a path whose rate varies. */
void bound_set_several(struct bound *b, bool several);

/* True when `packets` more full packets may go into flight (or nothing is in flight). A call that
 * returns false counts as: there was something to send. */
bool bound_may_send(struct bound *b, uint64_t now_ns, unsigned packets);

/* A packet with a number larger than all before has been sent. */
void bound_on_sent(struct bound *b, uint64_t now_ns, uint64_t number, size_t bytes, uint32_t lane);

/* What became of it; unknown numbers are ignored. */
void bound_on_acked(struct bound *b, uint64_t now_ns, uint64_t number);
void bound_on_lost(struct bound *b, uint64_t now_ns, uint64_t number);

/* Nothing more will be heard of this lane's packets. */
void bound_on_lane_down(struct bound *b, uint32_t lane);

/* How much more than a steady path's the queue is that it may keep because it varies; 0 when it is
 * off. */
uint64_t bound_vary_ns(const struct bound *b);

/* How many lanes the path should have: one while little is in flight, one for each 32 packets
 * under load, one for each 10 where packets get lost, so that a lane seldom loses two packets in
 * one round trip. One on a short path that loses nothing: it would be back in a few milliseconds
 * after a loss, and with several every burst is smaller. */
unsigned bound_lanes_wanted(const struct bound *b, uint64_t now_ns);

#endif
