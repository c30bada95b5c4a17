/* Path MTU discovery for one lane (RFC 8899, datagram PLPMTUD), both upward and downward.
 *
 * ngtcp2's own discovery only ever raises the size, and tells nobody; a path whose MTU shrinks
 * (a tunnel re-routed, a PPPoE link taking over) would swallow every large packet in silence. So
 * this module decides the size of every packet:
 *
 *   search    probes with one padded DATAGRAM at a time, the largest size first because most
 *             paths carry it, then by bisection between what was acknowledged and what failed;
 *   suspect   PMTU_BLACK_HOLE_LOSSES large packets in a row lost, none as large acknowledged: the
 *             current size is probed again, so that plain loss is not taken for a black hole;
 *   black hole  those probes fail as well: back to the base size, and a new search.
 *   raise     after PMTU_RAISE_NS a finished search below the maximum is tried again.
 *
 * All sizes are bytes of UDP payload.
 */
#ifndef QUIC_PMTU_H
#define QUIC_PMTU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"

#define PMTU_RAISE_NS (600 * NS_PER_S)
enum { PMTU_PROBE_TRIES = 3, PMTU_BLACK_HOLE_LOSSES = 8, PMTU_GRAIN_BYTES = 4 };

struct pmtu {
    size_t base, max;  /* bounds of the search */
    size_t size;       /* what packets may be now */
    size_t failed;     /* the smallest size that failed; max + 1 when none did */
    size_t probe_size; /* in flight, 0 when none */
    uint64_t probe_deadline_ns;
    uint64_t raise_ns; /* when to search again */
    unsigned tries;    /* probes of this size that were lost */
    unsigned lost_in_row;
    size_t lost_bytes; /* the smallest of them */
    bool searching, suspect;
    bool settled; /* size is the result of a search; false while one goes on from the base */
};

void pmtu_init(struct pmtu *p, size_t base, size_t max);

/* The peer takes nothing larger than this, whatever the path carries: before the first probe. */
void pmtu_limit(struct pmtu *p, size_t max);

/* The size to probe now, or 0. Once the packet is out, say so with pmtu_on_probe_sent(). */
size_t pmtu_want_probe(struct pmtu *p, uint64_t now_ns);
void pmtu_on_probe_sent(struct pmtu *p, uint64_t now_ns, size_t bytes, uint64_t pto_ns);

/* Fate of the probe, by acknowledgement or loss detection. Each returns true when size changed. */
bool pmtu_on_probe_acked(struct pmtu *p, uint64_t now_ns, size_t bytes);
bool pmtu_on_probe_lost(struct pmtu *p, uint64_t now_ns, size_t bytes);

/* Fate of an ordinary packet of that many bytes. */
void pmtu_on_acked(struct pmtu *p, size_t bytes);
void pmtu_on_lost(struct pmtu *p, size_t bytes);

/* Time passes: a probe without an answer counts as lost. Returns true when size changed. */
bool pmtu_on_timer(struct pmtu *p, uint64_t now_ns);
uint64_t pmtu_deadline_ns(const struct pmtu *p);

#endif
