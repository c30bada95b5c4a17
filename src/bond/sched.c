#include "bond/sched.h"

#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/util.h"
#include "bond/delay.h"

/* --- which paths are in use ------------------------------------------------------------------ */

#define QUICKER_NS (2 * NS_PER_MS)

static bool is_spare(const struct sched_path *p)
{
    return p->status != PATH_AVAILABLE;
}

/* The paths that may be used: the first of these kinds of which there is one. */
static uint16_t candidates(const struct sched *s)
{
    uint16_t good = 0, spare = 0, working = 0, up = 0;

    for (unsigned i = 0; i < SCHED_PATHS; i++) {
        const struct sched_path *p = &s->path[i];
        uint16_t bit = (uint16_t)(1u << i);

        up |= p->up ? bit : 0;
        working |= p->up && p->works ? bit : 0;
        if (p->lossy && s->policy != BOND_DUPLICATE) /* of several copies some arrive */
            continue;
        spare |= p->up && p->works ? bit : 0;
        good |= p->up && p->works && !is_spare(p) ? bit : 0;
    }
    return good ? good : spare ? spare : working ? working : up;
}

static unsigned best_of(const struct sched *s, uint16_t set)
{
    unsigned best = SCHED_PATHS;

    for (unsigned i = 0; i < SCHED_PATHS; i++)
        if (set >> i & 1 && (best == SCHED_PATHS || s->path[i].priority < s->path[best].priority))
            best = i;
    return best;
}

/* The n quickest of them. Those that were chosen before stay until another one is quicker by more
 * than a margin: what is measured goes to and fro. */
static uint16_t quickest_of(const struct sched *s, uint16_t set, unsigned n, uint16_t before)
{
    uint16_t taken = 0;

    while (n-- && taken != set) {
        uint64_t least_ns = TIME_NEVER_NS;
        unsigned best = 0;

        for (unsigned i = 0; i < SCHED_PATHS; i++) {
            uint64_t ns = s->path[i].extra_ns + (before >> i & 1 ? 0 : QUICKER_NS);

            if ((set & ~taken) >> i & 1 && ns < least_ns) {
                least_ns = ns;
                best = i;
            }
        }
        taken |= (uint16_t)(1u << best);
    }
    return taken;
}

static unsigned number_of(uint16_t bit)
{
    return (unsigned)__builtin_ctz(bit);
}

static uint64_t least_extra_ns(const struct sched *s)
{
    uint64_t least_ns = TIME_NEVER_NS;

    for (unsigned i = 0; i < SCHED_PATHS; i++)
        if (sched_in_use(s, i))
            least_ns = MIN(least_ns, s->path[i].extra_ns);
    return least_ns;
}

/* Of the slowest path in use from the fastest. */
static uint64_t difference_ns(const struct sched *s)
{
    uint64_t most_ns = 0;

    for (unsigned i = 0; i < SCHED_PATHS; i++)
        if (sched_in_use(s, i))
            most_ns = MAX(most_ns, s->path[i].extra_ns);
    return most_ns - MIN(most_ns, least_extra_ns(s));
}

/* Failover: a path that works no longer, and may be back in a moment. */
static bool may_be_back(const struct sched_path *p)
{
    return p->up && !p->works && !p->given_up;
}

/* The one path that takes all, of those that may be used. */
static unsigned choose_one(struct sched *s, uint16_t set)
{
    unsigned best = best_of(s, set);

    if (s->policy == BOND_PRIORITY)
        s->current = (uint8_t)best;
    else if (!(set >> s->current & 1) && !may_be_back(&s->path[s->current]))
        s->current = (uint8_t)best;
    return set >> s->current & 1 ? s->current : best;
}

/* Of these paths, of which there is one, those that the policy gives packets. */
static uint16_t chosen(struct sched *s, uint16_t set)
{
    switch (s->policy) {
    case BOND_PRIORITY:
    case BOND_FAILOVER:
        return (uint16_t)(1u << choose_one(s, set));
    case BOND_DUPLICATE:
        return quickest_of(s, set, MAX(s->copies, 1u), s->in_use);
    case BOND_LOWEST_LATENCY:
        s->current = (uint8_t)number_of(quickest_of(s, set, 1, (uint16_t)(1u << s->current)));
        return set;
    default:
        return set;
    }
}

bool sched_update(struct sched *s)
{
    uint16_t before = s->in_use, set = candidates(s);
    unsigned current = s->current;

    s->n_up = 0;
    for (unsigned i = 0; i < SCHED_PATHS; i++)
        s->n_up += s->path[i].up;
    if (s->policy == BOND_PIN)
        set = (uint16_t)(s->path[s->pin].up ? 1u << s->pin : 0);
    else if (set)
        set = chosen(s, set);
    s->in_use = set;
    s->difference_ns = difference_ns(s);
    return set != before || (s->policy == BOND_LOWEST_LATENCY && s->current != current);
}

/* --- when it would arrive -------------------------------------------------------------------- */

#define FLOOR_NS (10 * NS_PER_S)
#define FAR_NS (10 * (int64_t)NS_PER_S) /* the peer's clock was set */
#define AGAIN_MIN_NS (100 * NS_PER_US)

enum { RATE_MIN = 250000 }; /* bytes a second: of a path of which less is known */

/* The report as nanoseconds above the first one that counts, of whatever path. */
static int64_t measured(struct sched *s, struct sched_path *p, uint32_t least)
{
    int64_t delay_ns;

    p->zero = least;
    for (unsigned i = 0; i < SCHED_PATHS; i++)
        if (s->path[i].told)
            p->zero = s->path[i].zero;
    delay_ns = (int64_t)packed_seq_diff(least, p->zero) * (1 << DELAY_SHIFT);
    if (llabs(delay_ns) < FAR_NS)
        return delay_ns;
    for (unsigned i = 0; i < SCHED_PATHS; i++)
        s->path[i].told = false;
    p->zero = least;
    return 0;
}

void sched_told(struct sched *s, unsigned path, uint64_t now_ns, uint32_t least)
{
    struct sched_path *p = &s->path[path];
    int64_t delay_ns = measured(s, p, least);

    if (!p->told)
        p->floor_ns[0] = p->floor_ns[1] = delay_ns;
    if (!p->told || now_ns - p->floor_since_ns > FLOOR_NS) {
        p->floor_ns[1] = p->floor_ns[0];
        p->floor_ns[0] = delay_ns;
        p->floor_since_ns = now_ns;
    }
    p->floor_ns[0] = MIN(p->floor_ns[0], delay_ns);
    delay_ns -= MIN(p->floor_ns[0], p->floor_ns[1]);
    if (!p->told || p->told_ns != now_ns) /* the first of its lanes in this report */
        p->free_ns = now_ns + (uint64_t)delay_ns;
    p->free_ns = MIN(p->free_ns, now_ns + (uint64_t)delay_ns);
    p->told = true;
    p->told_ns = now_ns;
}

static int64_t floor_ns(const struct sched_path *p)
{
    return MIN(p->floor_ns[0], p->floor_ns[1]);
}

/* The least of those in use that have been told of. */
static int64_t least_floor_ns(const struct sched *s)
{
    int64_t least_ns = INT64_MAX;

    for (unsigned i = 0; s->in_use >> i; i++)
        if (sched_in_use(s, i) && s->path[i].told)
            least_ns = MIN(least_ns, floor_ns(&s->path[i]));
    return least_ns == INT64_MAX ? 0 : least_ns;
}

static uint64_t busy_ns(const struct sched_path *p, uint64_t now_ns)
{
    return p->free_ns - MIN(p->free_ns, now_ns);
}

/* How long it takes over that path, but for an offset; least_ns: least_floor_ns(). */
static int64_t takes_ns(const struct sched_path *p, uint64_t now_ns, int64_t least_ns)
{
    int64_t floor = p->told ? floor_ns(p) : least_ns + (int64_t)p->extra_ns;

    return floor + (int64_t)busy_ns(p, now_ns);
}

/* How much longer than over the best one. */
static uint64_t later_ns(const struct sched *s, unsigned path, uint64_t now_ns)
{
    int64_t least_ns = least_floor_ns(s), own = takes_ns(&s->path[path], now_ns, least_ns);
    int64_t best = own;

    for (unsigned i = 0; s->in_use >> i; i++)
        if (sched_in_use(s, i))
            best = MIN(best, takes_ns(&s->path[i], now_ns, least_ns));
    return (uint64_t)(own - best);
}

/* --- who takes the next ---------------------------------------------------------------------- */

bool sched_is_slow(const struct sched *s, unsigned path, uint64_t now_ns)
{
    return s->policy == BOND_AGGREGATE && later_ns(s, path, now_ns) > SCHED_MARGIN_NS;
}

bool sched_minds_wait(const struct sched *s, unsigned path, uint64_t now_ns)
{
    return sched_is_slow(s, path, now_ns) ||
           (s->policy == BOND_LOWEST_LATENCY && path != s->current);
}

void sched_took(struct sched *s, unsigned path, uint64_t now_ns, size_t bytes)
{
    struct sched_path *p = &s->path[path];

    if (p->rate)
        p->free_ns = MAX(p->free_ns, now_ns) + bytes * NS_PER_S / MAX(p->rate, (uint64_t)RATE_MIN);
}

/* Lowest latency: what has waited for the quickest path longer than this one takes more. */
static bool is_sooner(const struct sched *s, unsigned path, uint64_t now_ns, uint64_t waited_ns,
                      uint64_t *ret_again_ns)
{
    uint64_t until_ns = later_ns(s, path, now_ns) + SCHED_MARGIN_NS;

    if (waited_ns >= until_ns)
        return true;
    *ret_again_ns = now_ns + until_ns - waited_ns;
    return false;
}

/* What of a path's busy time is the queue that it keeps because it varies: bulk needs that to stand
 * there, so it is not held against the path. */
static uint64_t kept_ns(const struct sched_path *p, uint64_t now_ns)
{
    return MIN(p->keeps_ns, busy_ns(p, now_ns));
}

bool sched_may_take(const struct sched *s, unsigned path, uint64_t now_ns, uint64_t waited_ns,
                    bool bulk, uint64_t *ret_again_ns)
{
    uint64_t later, busy, in_ns, kept;

    *ret_again_ns = TIME_NEVER_NS;
    if (!sched_in_use(s, path))
        return false;
    if (s->policy == BOND_LOWEST_LATENCY && path != s->current)
        return is_sooner(s, path, now_ns, waited_ns, ret_again_ns);
    if (!sched_is_slow(s, path, now_ns))
        return true;
    later = later_ns(s, path, now_ns);
    kept = bulk ? kept_ns(&s->path[path], now_ns) : 0;
    if (waited_ns + kept >= later || (kept && later - kept <= SCHED_MARGIN_NS))
        return true;
    later -= kept;
    busy = busy_ns(&s->path[path], now_ns);
    in_ns = later - waited_ns; /* the wait becomes longer, the busy time shorter */
    in_ns = in_ns / 2 <= busy ? in_ns / 2 : in_ns - busy;
    *ret_again_ns = now_ns + MAX(in_ns, (uint64_t)AGAIN_MIN_NS);
    return false;
}

/* --- balanced -------------------------------------------------------------------------------- */

/* splitmix64's finalizer: spreads a flow's hash anew for each path. */
static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* Weighted rendezvous hashing: the path with the highest -weight / ln(uniform). */
unsigned sched_path_of(const struct sched *s, uint64_t flow_hash)
{
    unsigned best = 0;
    double most = -1;

    for (unsigned i = 0; i < SCHED_PATHS; i++) {
        uint64_t h = mix(flow_hash + (i + 1) * UINT64_C(0x9e3779b97f4a7c15));
        double uniform = ((double)(h >> 11) + 0.5) / 9007199254740992.0;
        double score = MAX(s->path[i].weight, 1u) / -log(uniform);

        if (sched_in_use(s, i) && score > most) {
            most = score;
            best = i;
        }
    }
    return best;
}
