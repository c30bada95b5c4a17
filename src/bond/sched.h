/* Which path takes what is to be sent next, of a session that has several (bond/policy.h). Paths
 * pull when they have room; here it is said whether one that asks may have it.
 *
 * Aggregate: a packet goes where it is expected to arrive first. For each path this is known:
 *
 *   floor   its one-way delay when nothing stands in its line: the least of the last ten seconds or
 * so, by the peer's reports (bond/delay.h); two paths' differ by an offset that all have in common
 *   busy    how long its line will be busy with what stands in it: by the last report, less the
 * time since, more what it has taken since at the rate at which it delivers
 *
 * A path whose floor and busy time are more than those of the best one leaves what is next to that
 * one, until it has waited for as long as the difference: so much is waiting then that the last of
 * it would arrive over the best path as late as the first does over this one. So a little traffic
 * has the delay of the best path, a lot of it has the rate of all, what is waited for to keep the
 * order takes no longer than the queue would, and nobody fills a line whose rate has just fallen.
 *
 * A path that varies needs a queue to be in use (quic/bound_vary.h), and would not have it if the
 * others were to be as busy before it gets anything: for flows that send much so much of its busy
 * time does not count. What sends seldom goes where it is soonest there all the same.
 *
 *      waits      0 ........ difference ........
 *      best       takes      takes
 *      another    leaves     takes, and is busier
 *
 * Priority, failover: one path alone, by its priority or because it works still. Pin: one path
 * whether it works or not. Balanced: each flow has a path, by rendezvous hashing: when a path fails
 * or comes back only flows that were or will be its own move. Duplicate: the quickest of those that
 * work, as many as there are to be copies; whichever has room takes what is new, and the others get
 * copies of that (pack_copies.c). Lowest latency: the quickest path takes all; another one what has
 * waited so long that it comes sooner that way. What is lost goes again over any path that is in
 * use.
 *
 * A path *works* while it has a lane that gets answers. When none does, all that are up are tried.
 * One that works no longer is *given up* when that has lasted for longer than a short gap on its
 * way: until then failover uses another one, but comes back. Those that lose much (health.h), and
 * before them those that the client calls backup or leaving, are used when there is no other. Pure:
 * no clock. */
#ifndef BOND_SCHED_H
#define BOND_SCHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bond/policy.h"
#include "wire/class.h"

enum { SCHED_PATHS = CLASS_PATHS };

/* So much later than over the fastest path is as soon: their own queues make a difference of about
 * that (quic/bound.h), and it goes to and fro. */
#define SCHED_MARGIN_NS (5 * NS_PER_MS)

struct sched_path {
    bool up, works, given_up, lossy;
    uint8_t status; /* enum path_status */
    uint32_t priority, weight;
    uint64_t serial;     /* of the client's last word about it */
    uint64_t rate;       /* bytes a second that it delivers when it is full; 0: not known */
    uint64_t keeps_ns;   /* of queue, longer than a steady path, because it varies */
    uint64_t free_ns;    /* until then it is busy */
    uint64_t extra_ns;   /* how much longer than the fastest one it takes */
    bool told;           /* there was a report: */
    int64_t floor_ns[2]; /* least since floor_since_ns, and before */
    uint64_t told_ns, floor_since_ns;
    uint32_t zero; /* what reports are measured from: the same for all paths */
};

/* How the packets of one class are spread. */
struct sched {
    struct sched_path *path; /* SCHED_PATHS of them, borrowed: all classes have the same */
    enum bond_policy policy;
    uint8_t pin;    /* pin: the path */
    uint8_t copies; /* duplicate: on so many paths */
    unsigned n_up;
    uint16_t in_use; /* a bit for each path that the policy gives packets */
    uint8_t
        current; /* failover: the path in use, but for short gaps; lowest latency: the quickest */
    uint64_t difference_ns; /* of the slowest path in use from the fastest */
};

/* Something about policy or paths has changed. True when other paths are in use now. */
bool sched_update(struct sched *s);

static inline bool sched_in_use(const struct sched *s, unsigned path)
{
    return s->in_use >> path & 1;
}

/* The peer has reported the path's least one-way delay since its last report (in units of
 * bond/delay.h, modulo 2^24), of one or several lanes. */
void sched_told(struct sched *s, unsigned path, uint64_t now_ns, uint32_t least);

/* Whether the path, which has room, may take what is new, and has waited for so long (which counts
 * only if sched_minds_wait()); bulk: it is of a flow that sends much. If not, *ret_again_ns says
 * when to ask again, even though nothing else happens; TIME_NEVER_NS: no need. */
bool sched_may_take(const struct sched *s, unsigned path, uint64_t now_ns, uint64_t waited_ns,
                    bool bulk, uint64_t *ret_again_ns);

/* The path has taken so many bytes. */
void sched_took(struct sched *s, unsigned path, uint64_t now_ns, size_t bytes);

/* Aggregate: whether a packet would arrive over another path in use sooner, by more than
 * SCHED_MARGIN_NS: packets of flows that send seldom are not for it then. */
bool sched_is_slow(const struct sched *s, unsigned path, uint64_t now_ns);

/* Whether it makes a difference for that path how long a packet has waited. */
bool sched_minds_wait(const struct sched *s, unsigned path, uint64_t now_ns);

/* Balanced: the path of a flow. */
unsigned sched_path_of(const struct sched *s, uint64_t flow_hash);

#endif
