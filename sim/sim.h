/* Virtual time. One struct sim is one run: a clock that only events move, the queue of events,
 * the seed from which every generator of the run is made, and the trace hash.
 *
 * Two runs of the same program with the same seed do the same things in the same order: events
 * at the same time happen in the order in which they were set, nothing reads a clock or an
 * address of memory, and each part has a generator of its own (sim_rng), so that adding one
 * leaves the randomness of the others alone. The trace hash shows it: every datagram that a link
 * delivers is folded into it with its time, link, length and content.
 *
 * The simulator is a tool: running out of memory ends the process.
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/rng.h"

/* The clock of a new run: not 0, as no machine's monotonic clock is. */
#define SIM_START_NS (100 * NS_PER_S)

/* Something that happens at a time. Embedded in its owner, found with container_of. */
struct sim_event {
    void (*fire)(struct sim_event *ev);
    size_t place; /* 1-based in the queue, 0 = not set */
};

struct sim_slot;
struct sim_dgram;

struct sim {
    uint64_t now_ns;
    uint64_t seed;
    uint64_t trace;  /* the hash so far */
    uint64_t traced; /* datagrams folded into it */
    FILE *trace_out; /* not NULL: one line for each of them; borrowed */
    struct sim_slot *queue;
    size_t n, cap;
    uint64_t next_seq;
    uint64_t fired;
    unsigned links; /* made so far */
    struct sim_dgram *free_dgrams;
};

struct sim *sim_new(uint64_t seed);

/* Everything else of the run must be freed before; pending sim_call()s are dropped. Accepts
 * NULL. */
void sim_free(struct sim *sim);

/* Seconds of virtual time since the start of the run. */
double sim_seconds(const struct sim *sim);

/* calloc() that ends the process when there is no memory. */
void *sim_alloc(size_t bytes);

/* A generator for the part of that name: from the run's seed and the name alone. */
void sim_rng(const struct sim *sim, const char *name, struct rng *ret);

/* Let the event happen at at_ns (now, if that is past), once. An event that is set already is
 * moved. */
void sim_set(struct sim *sim, struct sim_event *ev, uint64_t at_ns);
void sim_unset(struct sim *sim, struct sim_event *ev);

/* Call fn(user) after delay_ns. For the steps of a scenario. */
void sim_call(struct sim *sim, uint64_t delay_ns, void (*fn)(void *user), void *user);

/* Let everything happen up to and including at_ns, which is then the time. */
void sim_run_until(struct sim *sim, uint64_t at_ns);
void sim_run_for(struct sim *sim, uint64_t ns);

/* Run until done(user) holds after some event, or limit_ns more have passed. Returns done(). */
bool sim_run_cond(struct sim *sim, uint64_t limit_ns, bool (*done)(void *user), void *user);

/* One packet on its way. `overhead` is what its lower headers add on the wire: 28 or 48 bytes for
 * a UDP datagram over IPv4 or IPv6, 0 for a whole IP packet. `segment` is the length of the first
 * of its burst, 0 when it is alone. A super-packet, as a kernel hands it to a TUN, has the payload
 * of each of its TCP segments in gso_size and no TCP checksum. */
struct sim_dgram {
    struct sim_dgram *next;
    struct net_addr src, dst;
    uint64_t at_ns; /* the owner's: when it came into a queue, or is due */
    uint32_t len, overhead, segment, gso_size;
    uint8_t ecn;
    bool pooled;
    uint8_t data[];
};

enum { SIM_DGRAM_POOLED = 2048 }; /* up to this size buffers are used again */

struct sim_dgram *sim_dgram_new(struct sim *sim, size_t len);
struct sim_dgram *sim_dgram_copy(struct sim *sim, const struct sim_dgram *d);
void sim_dgram_free(struct sim *sim, struct sim_dgram *d);
static inline uint32_t sim_dgram_wire_bytes(const struct sim_dgram *d)
{
    return d->len + d->overhead;
}

/* A place that takes packets: a link, a NAT, a router, a host. put() consumes the datagram. */
struct sim_sink {
    void (*put)(struct sim_sink *sink, struct sim_dgram *d);
};

/* Fold a delivered datagram into the trace. */
void sim_trace(struct sim *sim, unsigned link, const struct sim_dgram *d);

#endif
