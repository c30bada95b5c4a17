/* The decision of a probe: from requests and answers to what holds for a link in one family.
 *
 * Every interval a round begins: one request to each target. It is over when all have answered or
 * its time is up, and good when as many have as are needed. So many rounds in a row decide:
 *
 *      unknown, healthy, degraded --- down bad ones ---> unhealthy
 *      unknown, unhealthy --- up good ones ---> healthy
 *      healthy <--- loss and latency over the window ---> degraded
 *
 * A link that does not stay healthy for long takes twice as long to become so the next time, up to
 * eight times: what flaps is not used. When a round misses an echo that others did not, a closer
 * look (look.h) finds within a second or two whether much is lost; then the link is degraded at
 * once, and loss is reckoned anew.
 *
 * Loss and latency are those of the best targets, as many as are needed: a target that is dead, or
 * answers some requests only, says nothing about the link while others do. Between the limits where
 * a link becomes degraded and healthy again it stays what it is. After an outage both are reckoned
 * anew from the first good round.
 *
 * A round whose end was noticed late, because this process did not run, is not judged: its answers
 * may have come in time. Pure; times are CLOCK_MONOTONIC or any other. */
#ifndef WAN_PROBE_H
#define WAN_PROBE_H

#include "wan/look.h"
#include "wan/state.h"

enum {
    PROBE_TARGETS_MAX = GATEWAY_TARGETS_MAX + 1, /* with the telemetry of a tunnel */
    PROBE_ROUNDS_MAX = 32                        /* under way; more are ended early */
};

struct probe_round {
    uint64_t begun_ns;
    uint16_t number;
    unsigned answered;
    bool looked_at;
    uint32_t rtt_us[PROBE_TARGETS_MAX]; /* 0: no answer yet */
};

/* Treat as opaque, but for verdict. */
struct probe {
    struct gateway_probe conf;
    unsigned n_targets;
    struct probe_round open[PROBE_ROUNDS_MAX]; /* the oldest is first, in turn */
    unsigned first, n_open;
    uint16_t next_number;
    uint64_t next_ns;                                       /* when the next round begins */
    uint32_t rtt_us[PROBE_TARGETS_MAX][GATEWAY_WINDOW_MAX]; /* of past rounds; 0: lost */
    unsigned at, n;                   /* the place of the next one; how many count */
    unsigned lost[PROBE_TARGETS_MAX]; /* of those that count */
    uint64_t sum_us[PROBE_TARGETS_MAX];
    unsigned good, bad; /* in a row */
    uint32_t in_state;  /* rounds since the state is what it is */
    unsigned hold;      /* so many times as long it takes to be healthy again */
    struct look look;
    bool by_look;                         /* degraded: so the closer look said */
    uint64_t usual_us;                    /* round trips are not longer, mostly */
    uint64_t heard_ns[PROBE_TARGETS_MAX]; /* the last answer, by a message of the target */
    struct wan_verdict verdict;
};

/* n_targets: 1 to PROBE_TARGETS_MAX. before: the verdict to begin with. The first round is at
 * first_ns. */
void probe_init(struct probe *p, const struct gateway_probe *conf, unsigned n_targets,
                const struct wan_verdict *before, uint64_t first_ns);

/* When there is something to do next. */
uint64_t probe_next_ns(struct probe *p);

/* Is it time for a request? It bears *ret_number and goes to *ret_targets, a set of bits: all of
 * them when a round begins, one for a closer look. Ask after probe_expire(). */
bool probe_begin(struct probe *p, uint64_t now_ns, uint16_t *ret_number, uint32_t *ret_targets);

/* A target has answered the request of that number. One that is not under way does not count. */
void probe_on_answer(struct probe *p, unsigned target, uint16_t number, uint64_t now_ns);

/* The same of a target that tells its round trip itself (0: not known). */
void probe_on_report(struct probe *p, unsigned target, uint16_t number, uint32_t rtt_us);

/* End what is over. True: verdict.state has changed. */
bool probe_expire(struct probe *p, uint64_t now_ns);

/* Nothing can be sent for now (no interface, no address: the kernel says so itself). Rounds under
 * way are forgotten, as is how many were good or bad in a row. */
void probe_pause(struct probe *p);

/* Rounds in a row that it takes the first time, and rounds that loss and latency are reckoned over.
 */
unsigned probe_down_rounds(const struct gateway_probe *conf);
unsigned probe_up_rounds(const struct gateway_probe *conf);
unsigned probe_window_rounds(const struct gateway_probe *conf);

#endif
