/* The receiver of a session: puts units together from their ranges, removes duplicates, and gives
 * the units of each flow on in their order (doc/protocol.md, "Units" and "Sequence").
 *
 *      reasm_rx() -> unit complete? -> accept() -> its turn? -> deliver()
 *                                                    no: waits for the hole before it, at most
 *                                                    as long as its class says; reasm_timeout()
 *
 * Flows know nothing of each other: none waits for another's loss. A flow whose units come whole
 * and in order costs nothing but the number that it expects next; only one with a hole, or with
 * a unit that has begun, holds a struct of a bounded pool. What is held is bounded in bytes, for
 * the session and for all sessions that share a pool, and is never more than what nobody has: above
 * that the flow whose patience would end first is not waited for any longer. No system call, no
 * clock, no allocation per packet.
 *
 * Of a run (a super-packet's piece) that stays incomplete the whole segments at its beginning are
 * delivered; what lies behind the hole is lost with it. */
#ifndef BOND_REASM_H
#define BOND_REASM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/drop.h"
#include "base/heap.h"
#include "packet/pkt.h"
#include "wire/packed.h"

enum {
    REASM_WINDOW = 1024,     /* units of a flow behind the first that is missing */
    REASM_UNITS_MAX = 65536, /* of a pool */
    REASM_PATHS = 16,
    REASM_NAMED_MAX = 5,       /* calls of reasm_gaps() that name a hole */
    REASM_BYTES_MAX = 16 << 20 /* of one session, counted in whole buffers */
};

/* A flow with nothing open is forgotten, but for its next number, after this time. */
#define REASM_IDLE_NS (10 * NS_PER_S)

enum reasm_order { REASM_ORDER_NONE, REASM_ORDER_REORDER, REASM_ORDER_RECOVER };

/* How units of a class are treated. */
struct reasm_class {
    enum reasm_order order;
    uint64_t wait_ns;     /* at most so long a unit waits for the hole before it; none: 0 */
    uint64_t deadline_ns; /* how long one may stay incomplete */
    bool once;            /* nothing is sent again: what is missing is not named */
};

/* How long waiting for a hole makes sense, by what the paths do; the class bounds it. Reorder waits
 * until no lane will deliver what is missing any more. But once REASM_DENSE_UNITS of a flow wait, a
 * transport inside that counts packets (QUIC takes one for lost when three later ones have come,
 * RFC 9002, 6.1.1) would slow down if they went, and a flow that sends so much in so short a time
 * is no call: each unit that waits then is worth REASM_DENSE_NS more, as long as what is missing
 * may still come again. A flow of more than 1 / REASM_DENSE_NS units waits that long, another one
 * does not. */
struct reasm_patience {
    uint64_t
        late_ns; /* reorder: another lane may still deliver what is missing; 0: there is none */
    uint64_t mend_ns; /* recover: what is missing may still come again */
};

enum { REASM_DENSE_UNITS = 3 };
#define REASM_DENSE_NS (4 * NS_PER_MS)

struct reasm_pool;

struct reasm_opts {
    struct reasm_pool *pool;     /* borrowed, outlives it */
    struct pkt_pool *pkts;       /* borrowed */
    struct drop_counters *drops; /* borrowed */
    size_t max_bytes;            /* 0 = REASM_BYTES_MAX */

    /* A whole unit, as it came: gso and gso_size say what it is, nothing is checked but its length.
     * True: it may go on (its header then is what deliver() will get). False: *ret_why. */
    bool (*accept)(void *user, struct pkt *pkt, enum drop_reason *ret_why);

    /* Consumes it. */
    void (*deliver)(void *user, struct pkt *pkt);
    void *user;
};

struct reasm_stats {
    uint64_t units;      /* delivered */
    uint64_t waited;     /* of them after waiting for others, */
    uint64_t wait_ns;    /* in all so long */
    uint64_t holes;      /* places where something was not waited for any longer */
    uint64_t duplicates; /* units or ranges that were there already, or given up */
    uint64_t evicted;    /* holes given up for want of memory */
    uint64_t cut;        /* runs of which only the beginning was delivered */
};

/* Of what has come over one path. */
struct reasm_path {
    uint64_t units;     /* begun by it, and delivered or not, */
    uint64_t reordered; /* of them behind later ones of their flow: overtaken, or sent again */
    uint64_t waited;    /* delivered after waiting for earlier ones, */
    uint64_t wait_ns;   /* in all so long */
};

struct reasm_flow;
struct reasm_place;

struct reasm {
    struct reasm_opts opts;
    struct reasm_class class[PACKED_CLASSES];
    struct reasm_patience patience;
    unsigned gaps_turn;        /* where reasm_gaps() begins next */
    struct reasm_place *place; /* by flow number */
    unsigned n_places;
    struct heap heap;           /* of flows, by the time at which something is to be given up */
    size_t bytes;               /* held, */
    unsigned held[PKT_CLASSES]; /* in so many buffers of each size */
    unsigned n_flows, n_units;  /* taken from the pool */
    struct reasm_stats stats;
    uint8_t from; /* the path of the next reasm_rx(), for the caller to set */
    struct reasm_path path[REASM_PATHS];
};

/* What all sessions of a process share: n_flows flows that have something open, n_units units (at
 * most REASM_UNITS_MAX), and max_bytes of buffers. NULL when out of memory. */
struct reasm_pool *reasm_pool_new(unsigned n_flows, unsigned n_units, size_t max_bytes);
void reasm_pool_free(struct reasm_pool *pool);

void reasm_init(struct reasm *r, const struct reasm_opts *opts);

/* Drop everything that is held and forget all numbers: the session is over, or begins anew. The
 * object stays usable. */
void reasm_reset(struct reasm *r);
void reasm_done(struct reasm *r);

void reasm_set_class(struct reasm *r, unsigned class, const struct reasm_class *c);

/* From now on; at first nothing is known: recover waits as long as its class permits, reorder not
 * at all. */
void reasm_set_patience(struct reasm *r, const struct reasm_patience *patience);

/* What has been missing since the last call or longer although later units of its flow have come:
 * at most max entries, the number of which is returned. Each is named by at most REASM_NAMED_MAX
 * calls. Flows whose class sends nothing again are left out. */
unsigned reasm_gaps(struct reasm *r, struct packed_gap *ret, unsigned max);

/* A PACKET, RANGE or GONE frame of that class. Other types are not for us. */
void reasm_rx(struct reasm *r, uint64_t now_ns, unsigned class, const struct packed_frame *f);

/* When reasm_timeout() wants to be called, which gives up what has been waited for long enough;
 * TIME_NEVER_NS when never. */
uint64_t reasm_deadline_ns(const struct reasm *r);
void reasm_timeout(struct reasm *r, uint64_t now_ns);

/* Units of a flow that are held, and the number that it waits for; for looking at it. */
unsigned reasm_held(const struct reasm *r, unsigned flow, uint32_t *ret_base);

#endif
