/* One direction of a line.
 *
 *   put -> [mtu, on] -> drop-tail queue -> rate -> [loss, damage] -> delay + jitter -> to
 *
 * The queue is finite in bytes (the packet being sent does not count towards it). Loss happens
 * behind the queue, on the medium: a lost packet has used the rate. Jitter is on top of the delay:
 * uniform in [0, jitter_ns) for each packet, or, with a period, wandering along straight lines
 * between random points that far apart. Unless `reorder` is set a packet never overtakes the one
 * before it. Sizes are bytes on the wire: the datagram and its lower headers (struct sim_dgram),
 * and what frames it below IP, if told.
 */
#ifndef SIM_LINK_H
#define SIM_LINK_H

#include "lab/wantrace.h"
#include "sim/hist.h"
#include "sim/sim.h"

struct link_opts {
    uint64_t rate_bps; /* 0 = infinitely fast: no queue */
    uint64_t delay_ns, jitter_ns;
    uint64_t jitter_period_ns; /* 0 = each packet has its own */
    bool reorder;
    uint64_t queue_bytes; /* 0 = one bandwidth-delay product over 2 x delay_ns, at least 10 full
                           * packets */
    uint32_t mtu;         /* largest packet including IP header; above it is silently dropped;
                           * 0 = 1500 */
    bool uncut_bursts;    /* bursts arrive as one, as from a virtual machine: when their first
                           * packet is too large, the others are dropped with it */
    uint32_t frame_bytes; /* takes rate and queue with each packet, but does not count against the
                           * MTU: 14 for an Ethernet header */
    double loss;          /* probability for each packet */

    /* Gilbert-Elliott: two states with a loss each, and the chance of a change for each packet.
     * ge_to_bad = 0: off. */
    double ge_to_bad, ge_to_good, ge_loss_good, ge_loss_bad;

    double duplicate, corrupt, truncate; /* probabilities for each packet */
    uint64_t ecn_mark_ns;                /* mark ECT packets CE that waited longer; 0 = never */
};

enum link_drop {
    LINK_DROP_TAIL,
    LINK_DROP_LOSS,
    LINK_DROP_MTU,
    LINK_DROP_OFF,
    LINK_DROP_FILTER,
    LINK_DROP_COUNT
};

struct link_stats {
    uint64_t since_ns;       /* of the counters */
    uint64_t in, in_bytes;   /* given to the link */
    uint64_t out, out_bytes; /* delivered */
    uint64_t drop[LINK_DROP_COUNT];
    uint64_t duplicated, corrupted, truncated, marked;
    struct hist wait;       /* time in the queue of each packet that left it */
    double backlog_byte_ns; /* integral of the queue's length over time */
};

struct link;

/* The name gives the link its random generator. to is borrowed and may be set later. */
struct link *link_new(struct sim *sim, const char *name, const struct link_opts *opts,
                      struct sim_sink *to);
void link_free(struct link *l);

struct sim_sink *link_sink(struct link *l);
void link_set_to(struct link *l, struct sim_sink *to);

/* Changes while it runs. A packet that is being sent keeps its old rate. Switched off, the link
 * swallows what comes and what stands in the queue. The rate of a link that is not infinitely fast
 * may become any but 0. */
void link_set_rate(struct link *l, uint64_t rate_bps);
void link_set_delay(struct link *l, uint64_t delay_ns);
void link_set_loss(struct link *l, double loss);
void link_set_mtu(struct link *l, uint32_t mtu);
void link_set_on(struct link *l, bool on);
uint64_t link_rate(const struct link *l);

/* The rate changes to the other of the two every period_ns, beginning with rate_a_bps now. */
void link_alternate_rate(struct link *l, uint64_t rate_a_bps, uint64_t rate_b_bps,
                         uint64_t period_ns);

/* The options that mean what the emulator of the laboratory makes of these parameters: Ethernet
 * headers count in rate and queue. Without a rate the link is infinitely fast. */
struct link_opts link_opts_of(const struct wan_params *p);

/* Play one direction (WAN_UP, WAN_DOWN) of a trace from now on, beginning from_ns into it. The link
 * was made with a rate. Steps set everything that a trace tells; `down` of a trace leaves what
 * stands in the queue to be sent and lost. What link_set_on() says holds as well. The trace is
 * borrowed until the link is freed or plays NULL, which ends it. */
void link_play(struct link *l, const struct wan_trace *trace, unsigned direction, uint64_t from_ns);

/* Asked for each packet put to the link: true = drop it. NULL = none. */
void link_set_filter(struct link *l, bool (*filter)(void *user, const struct sim_dgram *d),
                     void *user);

uint64_t link_backlog_bytes(const struct link *l);

/* Counters since the start or the last reset. The pointer stays valid. */
const struct link_stats *link_stats(struct link *l);
void link_stats_reset(struct link *l);

/* The queue over the time of the counters: mean and quantile of what packets waited, and the mean
 * backlog over time in terms of the present rate. */
double link_wait_mean_ms(struct link *l);
double link_wait_quantile_ms(struct link *l, double q);
double link_backlog_mean_ms(struct link *l);

/* Delivered bytes on the wire, as a share of the present rate. */
double link_utilisation(struct link *l);

#endif
