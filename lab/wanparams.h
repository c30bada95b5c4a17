/* What a direction of an emulated line is like, and how that is written: "rate=20m delay=10ms".
 * The laboratory's emulator (wanlink.h) and the simulator's link (sim/link.h) play the same words.
 */
#ifndef LAB_WANPARAMS_H
#define LAB_WANPARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wan_params {
    uint64_t rate_bps;         /* of whole Ethernet frames without FCS; 0 = no limit */
    uint64_t delay_ns;         /* one way */
    uint64_t jitter_ns;        /* largest extra delay */
    uint64_t jitter_period_ns; /* 0 counts as WAN_JITTER_PERIOD_NS */
    uint64_t queue_bytes;      /* room before the transmitter; 0 = only queue_ns counts */
    uint64_t queue_ns;         /* the same as time at the present rate; 0 = only bytes count */
    uint32_t mtu;              /* largest IP packet; larger ones vanish silently; 0 = no limit */
    double loss;               /* probability of random loss, 0..1 */
    double ge_bad;             /* Gilbert-Elliott, per packet: good -> bad ... */
    double ge_good;            /* ... and bad -> good */
    double ge_loss;            /* loss while bad */
    bool reorder;
    bool down; /* everything vanishes silently */
    bool cut;  /* as down; a trace (wantrace.h) leaves it as it is */
};

enum { WAN_FRAME_MAX = 2048, WAN_ETHER_HEADER = 14 };
#define WAN_JITTER_PERIOD_NS 20000000ull

/* Apply "KEY=VALUE ...". Keys and units: rate=20m (bit/s; k, m, g), delay=10ms jitter=2ms
 * jitter-period=20ms (us, ms, s), queue=64k (bytes) or queue=50ms, mtu=1400, loss=0.5%
 * burst=BAD,GOOD,LOSS (probabilities or percentages), reorder=0|1, down=0|1, cut=0|1. All or
 * nothing: 0, or -EINVAL and *ret_bad points at the word that is wrong. The words are separated by
 * spaces. */
int wan_params_parse(struct wan_params *p, const char *words, const char **ret_bad);

/* A time with its unit (us, ms, s), len bytes. False when it is none. */
bool wan_time_parse(const char *s, size_t len, uint64_t *ret_ns);

/* The bound of the queue in bytes that the parameters mean; 0 = none. */
uint64_t wan_queue_limit(const struct wan_params *p);

#endif
