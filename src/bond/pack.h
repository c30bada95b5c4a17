/* The sender of a session: fills datagrams with what waits (doc/protocol.md, "Packed datagrams"),
 * numbers the units of each flow, and sends again what is lost.
 *
 *      fq -> pack_pull(lane) -> datagram -> pack_sent() -> flight
 *                 ^                                          | pack_lost()
 *                 +--------------- again <-------------------+
 *
 * A datagram holds whole packets and ranges of units, all of one class; a unit that does not fit
 * goes on in the next datagram of the same lane, and lets packets of flows that have just begun to
 * send in between. What was lost goes before what is new, in the datagram that it was in, or cut
 * anew where that is too large now. When its deadline has passed it is not sent again: GONE says
 * so, and the receiver waits no longer. No more is kept than buffers of that size are left for all
 * others, the newest before the oldest.
 *
 * Of a datagram whose class is duplicated each other path gets a copy (pack_copies.c), as soon as
 * it has room.
 *
 * No system call, no clock, no allocation per packet. */
#ifndef BOND_PACK_H
#define BOND_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/drop.h"
#include "base/hmap.h"
#include "bond/delay.h"
#include "bond/flight.h"
#include "bond/fq.h"
#include "bond/queue.h"
#include "bond/sched.h"
#include "packet/pkt.h"
#include "wire/packed.h"

enum {
    PACK_AGAIN_BYTES = 16 << 20, /* kept for sending again, in whole buffers, of one session, */
    PACK_POOL_SHARE = 4,         /* and so many times the buffers that may yet be kept (pkt.h) */
    PACK_GONE_MAX = 64,          /* GONE frames that wait */
    PACK_CHUNK = 32              /* flow numbers made at a time */
};

/* A flow number goes to another flow when it has been silent for so long; when all are lent, that
 * of the one silent for longest to a flow whose packets have to be cut, at once. */
#define PACK_FLOW_QUIET_NS (2 * NS_PER_S)

/* With several lanes up, each bears a timestamp so often. */
#define PACK_STAMP_NS (4 * NS_PER_MS)

struct pack_class {
    bool again;           /* send again what is lost, */
    uint64_t deadline_ns; /* so long after it was sent first */
    bool split;           /* cut a packet that would fit the next datagram, to fill this one */
};

struct pack_opts {
    struct fq *fq;               /* borrowed: what is to be sent */
    struct pkt_pool *pool;       /* borrowed */
    struct drop_counters *drops; /* borrowed */
};

struct pack_stats {
    uint64_t packets, bytes; /* inner packets, a super-packet counting as its segments */
    uint64_t datagrams;
    uint64_t again;                   /* datagrams sent again, whole or in pieces, */
    uint64_t named;                   /* of them because the receiver said that it misses them */
    uint64_t gone;                    /* not sent again because it was too late */
    uint64_t forgotten;               /* not kept for want of room */
    uint64_t unnumbered;              /* packets of flows that got no number */
    uint64_t copies;                  /* datagrams given to a further path */
    uint64_t uncopied;                /* copies that were not: no room, or their time had passed */
    uint64_t taken_over[SCHED_PATHS]; /* datagrams of a path that went again because a lane of it
                                       * was given up, or the receiver missed them */
};

struct pack_flow;
struct pack_copies;
struct class_table;

/* What the next pull may take. */
enum pack_may {
    PACK_MAY_ALL,
    PACK_MAY_BULK,  /* of what is new nothing of flows that send seldom */
    PACK_MAY_AGAIN, /* nothing new */
    PACK_MAY_END    /* only the rest of what the lane is in the middle of */
};

/* Units in a row that are not sent again, to be told. */
struct pack_gone {
    uint32_t seq, count;
    uint16_t flow;
    uint8_t class;
};

struct pack {
    struct pack_opts opts;
    struct pack_class class[PACKED_CLASSES];
    const struct class_table *rules; /* NULL: none */
    bool from_client;
    unsigned rules_set; /* so many times */
    struct hmap by_hash;
    struct pack_flow *chunk[PACKED_FLOWS / PACK_CHUNK];
    unsigned n_flows;
    struct pack_flow *oldest, *newest; /* by last use */
    struct queue again;                /* lost datagrams, the oldest first */
    struct packed_reader recut;        /* where the first of them is being cut anew; p NULL: not */
    struct packed_frame recut_frame;   /* what is left of its present frame; len 0: nothing */
    struct pack_copies *copies;        /* NULL: there were none yet */
    bool copied;                       /* for the caller to clear: another path has something new */
    struct pack_lane *lanes;           /* that are up, */
    unsigned n_lanes;                  /* so many */
    struct sched_path path[SCHED_PATHS];
    uint16_t lossy;                     /* a bit for each of them that loses much */
    struct sched sched[PACKED_CLASSES]; /* how each class uses the paths */
    bool apart;                         /* not all classes in the same way */
    bool pinned, duplicated;            /* some class is; the latter also now and then */
    unsigned asking;                    /* the path that pulls, */
    uint64_t asking_ns;                 /* and when */
    enum pack_may may;                  /* for the caller to set before each pull */
    uint64_t kick_ns; /* when a lane that left what was lost to a better one is to be asked
                       * again; TIME_NEVER_NS: none did */
    uint64_t look_ns; /* up to when the looking for what a report names is paid for */
    struct pack_gone gone[PACK_GONE_MAX];
    unsigned n_gone;
    size_t kept;     /* bytes of whole buffers in all flights and in again */
    unsigned n_kept; /* ... and how many */
    struct pack_stats stats;
};

static inline unsigned pack_lane_path(uint8_t number)
{
    return number / 16;
}

/* Paths that are up. */
static inline unsigned pack_paths_up(const struct pack *p)
{
    return p->sched[0].n_up;
}

/* What a lane is in the middle of, and what is known of it. Zeroed: nothing. */
struct pack_lane {
    struct pkt *unit;
    uint32_t at; /* bytes of it that have gone */
    uint32_t seq;
    uint16_t flow;
    uint8_t class;
    struct flight flight;

    bool suspect;                /* it gets no answers, */
    bool given_up;               /* for longer than a short gap takes: */
    uint64_t give_up_ns;         /* suspect: since then, or from then on */
    bool up;                     /* between pack_lane_begin() and pack_lane_done(): */
    uint8_t number;              /* 16 times its path plus its own, as both ends call it */
    struct pack_lane *next;      /* of those that are up */
    uint64_t rtt_ns, rtt_var_ns; /* smoothed; 0: not known */
    uint64_t rtt_min_ns;         /* the least; 0: not known */
    uint64_t vary_ns;            /* what queue its path keeps because it varies */
    uint64_t rtt_due_ns;         /* when to measure again */
    uint64_t stamp_ns;           /* when the next datagram bears a timestamp */
    uint64_t extra_ns;    /* how much longer it takes than the fastest one, as far as known */
    size_t max;           /* of the last pull: what a datagram of it holds */
    double loss;          /* the share that it has lost of the last few dozen datagrams */
    struct delay_in in;   /* of what comes in over it, */
    struct delay_out out; /* and of what goes out */
};

/* Returns 0 or -ENOMEM. */
int pack_init(struct pack *p, const struct pack_opts *opts);

/* All lanes must be done. */
void pack_done(struct pack *p);

/* Forget all numbers and what is to be sent again: the session begins anew. Lanes must be done. */
void pack_reset(struct pack *p);

void pack_set_class(struct pack *p, unsigned class, const struct pack_class *c);

/* The rules by which packets are given to classes (class.h), borrowed until they are set anew;
 * NULL: none. A flow is of the class of its first packet, and of the first one after this call. */
void pack_set_rules(struct pack *p, const struct class_table *table, bool from_client);

/* The class of a packet of the queue: that of its flow, which gets a number for it, because it may
 * be asked for again and again before the packet goes, and hundreds of rules say what it is. */
uint8_t pack_class_of_packet(struct pack *p, uint64_t now_ns, const struct pkt *pkt);

/* The path is in use no longer: it gets no copies of what has been sent. */
void pack_copies_drop(struct pack *p, unsigned path);

/* The lane is up under that number. */
void pack_lane_begin(struct pack *p, struct pack_lane *lane, uint8_t number);

/* The next datagram of at most max bytes for this lane, or NULL when there is nothing (or no
 * buffer); run_max: the longest run of a super-packet to begin now, in bytes. The caller takes it,
 * and ends with one of the three below. */
struct pkt *pack_pull(struct pack *p, struct pack_lane *lane, uint64_t now_ns, size_t max,
                      size_t run_max);

/* It went out under that number: consumes it. */
void pack_sent(struct pack *p, struct pack_lane *lane, uint64_t id, struct pkt *dgram);

/* It did not, and will not on this lane: consumes it. It goes again on another. */
void pack_unsent(struct pack *p, uint64_t now_ns, struct pkt *dgram);

/* The fate of what was sent; away: what was lost is left to other lanes for a round trip. True when
 * there is something to send again now. */
void pack_acked(struct pack *p, struct pack_lane *lane, uint64_t id);
bool pack_lost(struct pack *p, struct pack_lane *lane, uint64_t now_ns, uint64_t id, bool away);

/* The lane is gone: what was on its way, and the rest of what it was in the middle of, goes again
 * on another. */
void pack_lane_done(struct pack *p, struct pack_lane *lane, uint64_t now_ns);

/* Give up what is too late to be sent again, though nobody has said that it was lost, and the lane
 * is not asked for more: a peer that acknowledges nothing keeps no buffers. */
void pack_age(struct pack *p, struct pack_lane *lane, uint64_t now_ns);

/* The receiver misses these: what a lane has on its way of them goes again, unless the report may
 * be older than its arrival. A receiver that asks for more than can be looked for is not heard.
 * True when there is something to send again now. */
bool pack_heed_gaps(struct pack *p, uint64_t now_ns, const struct packed_gap *gaps, unsigned n);

/* There is something besides what waits in fq. */
bool pack_pending(const struct pack *p, const struct pack_lane *lane);

#endif
