/* The egress queue of a session: flow-fair CoDel (RFC 8290, FlowQueue-CoDel). Packets wait here
 * and nowhere else; what has been popped counts as gone.
 *
 * Every flow (packet/flow.h) has a queue of its own, and flows take turns by deficit round robin:
 * each turn is worth a quantum of bytes, about one packet. A flow that begins to send stands in the
 * list of new flows, which goes before that of the old ones, for its first quantum: so what sends
 * seldom (DNS, a call, the ACKs of a download) passes everything that fills the queue, and waits
 * for no more than the packets of others like it. CoDel (fq_codel.h) keeps each flow's own queue
 * short by dropping a packet, or marking it where ECN allows. So one flow's window never delays
 * another flow.
 *
 *      push ---> flow, found by hash
 *                  new:  [a] -> [b]            pop: head of new, else of old; with its deficit used
 *                  old:  [c] -> [d] -> [e]          up a flow goes to the end of old
 *
 * A flow that runs empty goes from new to the end of old before it leaves, lest a sender that waits
 * for the moment keep being new (RFC 8290, 4.2).
 *
 * Flows are leased: a struct fq_flows holds them for all sessions of a process, with one hash
 * table, and a flow that is not queued costs nothing; a session's own part is a few hundred bytes,
 * because a hub has thousands of them. A flow that is given back keeps its place in the table and
 * its CoDel state until another one needs it, so that a flow that pauses is remembered. When no
 * lease is to be had (all are out, or the session has FQ_FLOWS_MAX), further flows share one queue,
 * where one of them may overtake itself once, when it gets its own again.
 *
 * Bounds: bytes, packets of each size class, and flows. Above them a packet is taken from the head
 * of the flow that has most bytes waiting: the head, because its sender learns of it soonest. What
 * is older than max_age_ns is dropped when it is met: after an outage nobody wants it.
 *
 * CoDel's target is 5 ms, or 1.5 packet times at the rate at which the queue drains, so that a slow
 * line is not punished for the size of a packet. A flow's last packet is never dropped.
 *
 * A TSO or USO super-packet (packet/super.h) stays first in its flow while its segments go one by
 * one: each is charged to the flow, so that flows take turns by segments, and a super-packet of 64
 * KiB delays nobody else. CoDel decides about its first segment, and marks or drops that one, never
 * the whole.
 *
 * Costs: constant for each packet, whatever the number of flows; only a drop over the bound may
 * look at each flow of the session. No allocation but in fq_flows_new(). */
#ifndef BOND_FQ_H
#define BOND_FQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/drop.h"
#include "base/hmap.h"
#include "bond/fq_codel.h"
#include "packet/ip.h"
#include "packet/pkt.h"
#include "packet/siphash.h"

enum {
    FQ_FLOWS_MAX = 512,    /* of one session */
    FQ_QUANTUM = 1500,     /* bytes of a turn */
    FQ_PACKETS_MAX = 2048, /* of one session, unless told otherwise */
    FQ_BYTES_FACTOR = 8    /* how far the bound in bytes may grow with the rate */
};

/* What the queue of a fast path may hold: some times CoDel's target, so that CoDel has something to
 * decide about before the bound does. */
#define FQ_BOUND_NS (25 * NS_PER_MS)

struct fq_flows;

struct fq_flow {
    struct fq_flow *next, *prev; /* of a session's list, or of those given back */
    struct hmap_node node;
    struct pkt *head, *tail;
    uint64_t owner; /* struct fq .id */
    uint32_t bytes;
    int32_t deficit;
    struct fq_codel codel;
    uint64_t returned_ns; /* given back then */
    uint8_t place;        /* enum in fq.c */
};

struct fq_list {
    struct fq_flow *head, *tail;
};

struct fq_opts {
    struct fq_flows *flows; /* borrowed; NULL: one queue for all */
    struct pkt_pool *pool;
    struct drop_counters *drops;
    size_t max_bytes;     /* more, when FQ_BOUND_NS of what leaves are more */
    unsigned max_packets; /* of each class (pkt.h); 0 = FQ_PACKETS_MAX */
    uint64_t max_age_ns;
};

struct fq_stats {
    uint64_t popped;
    uint64_t wait_ns, wait_max_ns; /* of those: sum and largest */
    uint64_t marked;               /* CE set instead of a drop */
    uint64_t dropped;              /* by CoDel, by the bound and by age */
    uint64_t shared;               /* packets of flows without a lease */
};

struct fq {
    struct fq_opts opts;
    uint64_t id;
    struct fq_list fresh, old; /* the lists of new and old flows */
    struct fq_flow shared;
    unsigned n_flows; /* leased, empty ones that await their turn included */
    size_t bytes;
    unsigned n;
    unsigned n_class[PKT_CLASSES], max_class[PKT_CLASSES]; /* packets by size class */

    /* The flow with most bytes, and a bound on those of every other; NULL = not known. */
    struct fq_flow *fat;
    uint32_t fat_other;

    size_t max_bytes;       /* now */
    uint64_t left_since_ns; /* since then left_bytes have been popped */
    uint64_t left_bytes;

    uint64_t target_ns;
    struct fq_flow *front; /* of fq_front() */
    /* For the caller to set: only flows of which it says yes are given out, by the first packet of
     * each, and whether it has just begun to send; NULL: all. */
    bool (*mine)(void *user, const struct pkt *first, bool sparse);
    void *mine_user;
    /* For the caller to set: above the target, what waiting for a path is worth; and how much
     * slower CoDel is where a path varies (struct fq_codel_law). */
    uint64_t more_ns, slow_ns;
    uint64_t drain_since_ns; /* start of the measurement, 0 = none: the queue was empty */
    uint64_t drain_bytes;    /* popped since */
    uint64_t drain_rate;     /* bytes per second, 0 = not known */
    struct fq_stats stats;
};

/* Flows for all sessions that share them, n at most in use at once. The key is random per process
 * (packet/flow.h). NULL when out of memory. */
struct fq_flows *fq_flows_new(unsigned n, const struct siphash_key *key);

/* Every struct fq must be done. Accepts NULL. */
void fq_flows_free(struct fq_flows *flows);

/* Leases out now. */
unsigned fq_flows_in_use(const struct fq_flows *flows);

void fq_init(struct fq *q, const struct fq_opts *opts);

/* Another bound for the packets of a size class. What waits already may stay: while there is more,
 * each packet of the class that comes takes the place of one. */
void fq_set_max_packets(struct fq *q, unsigned pool_class, unsigned n);

/* Drop all packets for the reason given, and give back all leases. The queue stays usable. */
void fq_flush(struct fq *q, enum drop_reason why);

/* A packet that view describes: consumes it, and sets its queued_ns. May drop some (queue-full),
 * also this one. */
void fq_push(struct fq *q, uint64_t now_ns, struct pkt *pkt, const struct ip_view *view);

/* Back in front of its flow with a packet that was popped: consumes it, keeps its queued_ns. */
void fq_unpop(struct fq *q, uint64_t now_ns, struct pkt *pkt);

/* Drop what is older than max_age_ns although nobody takes packets. Looks at every flow. */
void fq_age(struct fq *q, uint64_t now_ns);

/* The packet whose turn it is; it stays in the queue. NULL when all have gone or been dropped
 * (stale, codel). What the caller then takes of it, it takes by one of the two functions below,
 * before any other call that changes the queue; it may also take nothing.
 * When pkt->mark is set, the next segment of that super-packet is to be marked CE. */
struct pkt *fq_front(struct fq *q, uint64_t now_ns);

/* Whether that packet's flow has just begun to send, so that it goes before what fills the queue.
 */
bool fq_front_is_sparse(const struct fq *q);

/* Take that packet, a super-packet with whatever is left of it: it is the caller's. */
struct pkt *fq_take(struct fq *q, uint64_t now_ns);

/* Of that packet, a super-packet, the caller has taken payload more bytes (segment.h has moved its
 * `taken`), which leave in packets of `bytes` in all. When nothing is left of it, it is gone. */
void fq_took(struct fq *q, uint64_t now_ns, uint32_t payload, uint32_t bytes);

#endif
