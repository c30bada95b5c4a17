/* One direction of an emulated WAN: a queue, a transmitter, and the air behind it.
 *
 *      push                      rate               delay + jitter
 *   ---------> [ queue, finite ] -----> lost? -----> [ in flight ] -----> pop
 *       |            |                    |
 *     mtu, down    full              random, bursts
 *
 * A packet waits in the queue, is transmitted at the link's rate, is then lost or not, and arrives
 * after the delay. Loss comes after transmission: a lost packet has used its share of the rate.
 * Transmission times follow from each other, not from when the caller looks, so the rate is exact
 * however late the caller is. Jitter is a delay that wanders between 0 and its maximum, along
 * straight lines between random points jitter_period_ns apart, as on radio links that reschedule;
 * packets stay in order unless reorder is set, and then each has its own random extra delay.
 *
 * No system call, no clock: the caller owns time and memory.
 */
#ifndef LAB_WANLINK_H
#define LAB_WANLINK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"
#include "lab/wanparams.h"

enum wan_drop {
    WAN_DROP_QUEUE,
    WAN_DROP_MTU,
    WAN_DROP_DOWN,
    WAN_DROP_LOSS,
    WAN_DROP_BURST,
    WAN_DROP_COUNT
};

struct wan_counters {
    uint64_t in_packets, in_bytes;
    uint64_t out_packets, out_bytes;
    uint64_t dropped[WAN_DROP_COUNT];
    uint64_t queue_max_bytes;
};

struct wan_packet {
    struct wan_packet *next;
    uint64_t due_ns; /* in the queue: when it came; afterwards: when it arrives */
    uint64_t order;
    uint32_t len;
    uint8_t data[WAN_FRAME_MAX];
};

struct wan_link {
    struct wan_params params;
    struct wan_counters counters;
    struct rng rng;

    struct wan_packet *head, *tail; /* head is being transmitted */
    uint64_t queued_bytes;
    uint64_t tx_end_ns; /* when head has left */

    struct wan_packet **heap; /* in flight, earliest first */
    unsigned n_heap, heap_cap;
    uint64_t order;
    uint64_t last_due_ns;

    uint64_t jitter_from_ns, jitter_to_ns; /* points in time ... */
    uint64_t jitter_a_ns, jitter_b_ns;     /* ... and the extra delay there */
    bool bad;                              /* state of the Gilbert-Elliott chain */
};

/* An unlimited, perfect link that can hold max_packets. Returns 0 or -ENOMEM. */
int wan_link_init(struct wan_link *l, unsigned max_packets, uint64_t seed);

/* Frees the link's own memory, not the packets in it. */
void wan_link_done(struct wan_link *l);

const char *wan_drop_name(enum wan_drop reason);

/* A frame of p->len bytes enters at now_ns. True: the link owns it until popped. False: dropped
 * and counted; the caller keeps it. now_ns never decreases from call to call. */
bool wan_link_push(struct wan_link *l, struct wan_packet *p, uint64_t now_ns);

/* The next packet that leaves the link at or before now_ns, in order of time: arrived
 * (*ret_lost false, due_ns tells when) or lost (true). The caller owns it. NULL: none yet. */
struct wan_packet *wan_link_pop(struct wan_link *l, uint64_t now_ns, bool *ret_lost);

/* When wan_link_pop() may next return something; UINT64_MAX when the link is empty. */
uint64_t wan_link_next_ns(const struct wan_link *l);

#endif
