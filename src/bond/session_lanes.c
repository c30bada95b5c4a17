/* What a packed session knows of its lanes, and what the two ends tell each other of them.
 *
 * How long a receiver waits for a hole follows from that (struct reasm_patience):
 *
 *   recover   QUIC at the sender declares a packet lost when an acknowledgement of a later one is
 *             9/8 of a round trip old (RFC 9002, 6.1.2); the way there and back again, and what an
 *             acknowledgement may be late, make a *round*. What is sent again may be lost too:
 *             ROUNDS of them are waited for. At 1 % loss one flow in a million packets, not in ten
 *             thousand, sees a hole that way.
 *   reorder   what a lane usually takes longer than the fastest one, its jitter included. One lane
 *             keeps the order by itself.
 *
 * With several lanes up the receiver also reports: DELAY, about once per round trip, how long the
 * timestamps took over each lane; and GAPS, what has been missing for half a round trip longer than
 * another lane would take to bring it. A single lane's own acknowledgements say as much as soon, so
 * with one lane neither is sent. Reports go alone, in small datagrams of a class that is not sent
 * again: one that was lost is made good by the next. */
#include <errno.h>

#include "base/util.h"
#include "bond/session_internal.h"

enum { ROUNDS = 3, REPORT_CLASS = PACKED_CLASSES - 1, REPORT_BYTES_MAX = 1100 };

#define RTT_INTERVAL_NS (25 * NS_PER_MS)
#define ACK_DELAY_NS (10 * NS_PER_MS) /* of the peer (protocol.md, "Transport") */
#define LATE_MIN_NS NS_PER_MS         /* of several lanes, though they take the same time */
#define DELAY_INTERVAL_MIN_NS (25 * NS_PER_MS)
#define DELAY_INTERVAL_MAX_NS (500 * NS_PER_MS)
#define GAPS_INTERVAL_MIN_NS (5 * NS_PER_MS)
#define GAPS_INTERVAL_MAX_NS (250 * NS_PER_MS)
#define STALE_NS NS_PER_S
#define EXTRA_MAX_NS (250 * NS_PER_MS)

/* --- round trips and patience ---------------------------------------------------------------- */

static uint64_t clamp(uint64_t v, uint64_t low, uint64_t high)
{
    return MAX(low, MIN(v, high));
}

/* The shortest and the longest round trip that is known; 0: none is. */
static void rtt_range(const struct pack *p, uint64_t *ret_least_ns, uint64_t *ret_most_ns)
{
    *ret_least_ns = *ret_most_ns = 0;
    for (const struct pack_lane *l = p->lanes; l; l = l->next) {
        if (l->rtt_ns && (!*ret_least_ns || l->rtt_ns < *ret_least_ns))
            *ret_least_ns = l->rtt_ns;
        *ret_most_ns = MAX(*ret_most_ns, l->rtt_ns);
    }
}

/* What lanes are measured against. It is found once for all of them: a peer may have hundreds. */
struct known {
    const struct pack_lane *best; /* the fastest way out, by the peer's reports; NULL: there are
                                   * none */
    uint64_t least_ns, most_ns;   /* rtt_range() */
};

static struct known known_of(const struct pack *p)
{
    struct known k = {.best = NULL};

    rtt_range(p, &k.least_ns, &k.most_ns);
    for (const struct pack_lane *l = p->lanes; l; l = l->next)
        if (l->out.known && (!k.best || packed_seq_diff(l->out.least, k.best->out.least) < 0))
            k.best = l;
    return k;
}

/* How much later than over another lane something may come over the slowest. */
static uint64_t late_ns(const struct pack *p, const struct known *k)
{
    int32_t fastest = 0, slowest = 0;
    bool any = false, all = true;
    uint64_t late;
    uint32_t zero = 0;

    if (p->n_lanes < 2)
        return 0;
    for (const struct pack_lane *l = p->lanes; l; l = l->next) {
        uint32_t mean, above;
        int32_t x;

        if (!delay_in_usual(&l->in, &mean, &above)) {
            all = false;
            continue;
        }
        zero = any ? zero : mean;
        x = packed_seq_diff(mean, zero);
        fastest = MIN(fastest, x);
        slowest = MAX(slowest, x + (int32_t)above);
        any = true;
    }
    late = delay_to_ns((uint32_t)(slowest - fastest));
    if (!all) /* of one that nothing is known of: at most half its round trip */
        late = MAX(late, k->most_ns / 2);
    return late + LATE_MIN_NS;
}

static uint64_t mend_ns(const struct pack *p, uint64_t late)
{
    uint64_t round_ns = 0;

    for (const struct pack_lane *l = p->lanes; l; l = l->next) {
        if (!l->rtt_ns)
            return TIME_NEVER_NS;
        round_ns = MAX(round_ns, l->rtt_ns * 9 / 8 + 4 * l->rtt_var_ns);
    }
    return p->lanes ? ROUNDS * (round_ns + ACK_DELAY_NS) + late : TIME_NEVER_NS;
}

/* A path that is given little knows little: what was last reported of it may be its own queue. */
static bool is_stale(const struct pack *p, const struct pack_lane *lane,
                     const struct pack_lane *best)
{
    return pack_paths_up(p) > 1 && best->out.at_ns > lane->out.at_ns + STALE_NS;
}

/* By the peer's reports; until there are any, and when the last one is old because little goes over
 * the lane's path, half of what their least round trips differ by. */
static uint64_t extra_ns(const struct pack *p, const struct known *k, const struct pack_lane *lane)
{
    const struct pack_lane *best = k->best;

    if (best && lane->out.known && !is_stale(p, lane, best))
        return delay_to_ns((lane->out.least - best->out.least) & PACKED_TIME_MASK);
    if (best && lane->out.known && lane->rtt_min_ns && best->rtt_min_ns)
        return (lane->rtt_min_ns - MIN(lane->rtt_min_ns, best->rtt_min_ns)) / 2;
    return lane->rtt_ns ? (lane->rtt_ns - k->least_ns) / 2 : 0;
}

void session_lanes_adapt(struct session *s)
{
    const struct known k = known_of(s->pack);
    uint64_t late = late_ns(s->pack, &k);

    for (struct pack_lane *l = s->pack->lanes; l; l = l->next)
        l->extra_ns = MIN(extra_ns(s->pack, &k, l), (uint64_t)EXTRA_MAX_NS);
    session_paths_update(s);
    reasm_set_patience(
        s->reasm, &(struct reasm_patience){.late_ns = late, .mend_ns = mend_ns(s->pack, late)});
}

void session_lane_begin(struct session *s, struct pack_lane *lane, uint8_t number)
{
    if (!s->pack)
        return;
    pack_lane_begin(s->pack, lane, number);
    session_lanes_adapt(s);
}

void session_lane_rtt(struct session *s, struct pack_lane *lane, uint64_t now_ns, uint64_t rtt_ns,
                      uint64_t var_ns)
{
    lane->rtt_ns = rtt_ns;
    lane->rtt_var_ns = var_ns;
    lane->rtt_due_ns = now_ns + RTT_INTERVAL_NS;
    if (s->reasm)
        session_lanes_adapt(s);
}

/* --- what the peer reports ------------------------------------------------------------------- */

int session_lane_delay(const struct session *s, const struct pack_lane *lane,
                       uint64_t *ret_extra_ns, uint64_t *ret_spread_ns)
{
    struct known k;

    if (!s->pack || !lane->out.known)
        return -ENOENT;
    k = known_of(s->pack);
    *ret_extra_ns = extra_ns(s->pack, &k, lane);
    *ret_spread_ns = delay_to_ns(lane->out.spread);
    return 0;
}

static void on_delay(struct session *s, uint64_t now_ns, const struct packed_frame *f)
{
    for (struct pack_lane *l = s->pack->lanes; l; l = l->next) {
        if (l->number != f->delay.lane || !delay_out_rx(&l->out, now_ns, f))
            continue;
        sched_told(&s->pack->sched[CLASS_TCP], pack_lane_path(l->number), now_ns, f->delay.least);
    }
}

bool session_on_report(struct session *s, uint64_t now_ns, const struct packed_frame *f)
{
    struct packed_gap gaps[PACKED_GAPS_MAX];

    if (f->type == PACKED_DELAY)
        on_delay(s, now_ns, f);
    else if (f->type == PACKED_GAPS && pack_heed_gaps(s->pack, now_ns, gaps, packed_gaps(f, gaps)))
        session_kick(s);
    return f->type == PACKED_DELAY;
}

/* --- what we report -------------------------------------------------------------------------- */

static bool delay_is_fresh(const struct pack *p)
{
    for (const struct pack_lane *l = p->lanes; l; l = l->next)
        if (l->in.fresh)
            return true;
    return false;
}

/* There is something to report. */
static void report(struct session *s, uint64_t now_ns)
{
    s->reports->since_ns = now_ns;
    session_kick(s);
}

static uint64_t gaps_interval_ns(const struct session *s)
{
    uint64_t least_ns, most_ns;

    rtt_range(s->pack, &least_ns, &most_ns);
    return clamp(s->reasm->patience.late_ns + least_ns / 2, GAPS_INTERVAL_MIN_NS,
                 GAPS_INTERVAL_MAX_NS);
}

void session_reports_look(struct session *s, uint64_t now_ns)
{
    struct session_reports *r = s->reports;

    if (s->pack->n_lanes < 2)
        return;
    if (s->reasm->n_flows && r->gaps_ns == TIME_NEVER_NS)
        r->gaps_ns = now_ns + gaps_interval_ns(s);
    if (!r->delay_due && now_ns >= r->delay_ns && delay_is_fresh(s->pack)) {
        r->delay_due = true;
        report(s, now_ns);
    }
}

uint64_t session_reports_deadline_ns(const struct session *s)
{
    return MIN(s->reports->gaps_ns, s->pack->kick_ns);
}

static void look_for_gaps(struct session *s, uint64_t now_ns)
{
    struct session_reports *r = s->reports;

    r->gaps_ns = TIME_NEVER_NS;
    r->n_gaps = 0;
    if (s->pack->n_lanes < 2 || !s->reasm->n_flows)
        return;
    r->gaps_ns = now_ns + gaps_interval_ns(s);
    r->n_gaps = reasm_gaps(s->reasm, r->gaps, SESSION_GAPS_MAX);
    if (r->n_gaps)
        report(s, now_ns);
}

void session_reports_timeout(struct session *s, uint64_t now_ns)
{
    if (now_ns >= s->reports->gaps_ns)
        look_for_gaps(s, now_ns);
    if (now_ns >= s->pack->kick_ns) {
        s->pack->kick_ns = TIME_NEVER_NS;
        session_kick(s);
    }
}

static void put_gaps(struct session_reports *r, struct pkt *out, size_t max)
{
    for (unsigned at = 0; at < r->n_gaps; at += PACKED_GAPS_MAX)
        out->len += (uint32_t)packed_put_gaps(out->data + out->len, max - out->len, r->gaps + at,
                                              MIN(r->n_gaps - at, (unsigned)PACKED_GAPS_MAX));
    r->n_gaps = 0;
}

static void put_delays(struct session *s, struct pkt *out, uint64_t now_ns, size_t max)
{
    uint64_t least_ns, most_ns;
    struct packed_frame f;

    for (struct pack_lane *l = s->pack->lanes; l && max - out->len >= PACKED_DELAY_MAX; l = l->next)
        if (delay_in_report(&l->in, l->number, &f))
            out->len += (uint32_t)packed_put_delay(out->data + out->len, max - out->len, &f);
    rtt_range(s->pack, &least_ns, &most_ns);
    s->reports->delay_ns = now_ns + clamp(least_ns, DELAY_INTERVAL_MIN_NS, DELAY_INTERVAL_MAX_NS);
    s->reports->delay_due = false;
    session_lanes_adapt(s);
}

/* A lane that takes longer leaves them to another, as long as that is sooner. */
static bool leaves_report(struct session *s, const struct pack_lane *lane, uint64_t now_ns)
{
    uint64_t until_ns = s->reports->since_ns + lane->extra_ns;

    if (s->pack->n_lanes < 2 || now_ns >= until_ns)
        return false;
    s->pack->kick_ns = MIN(s->pack->kick_ns, until_ns);
    return true;
}

struct pkt *session_reports_pull(struct session *s, const struct pack_lane *lane, uint64_t now_ns,
                                 size_t max)
{
    struct session_reports *r = s->reports;
    struct pkt *out;
    uint32_t head;

    if ((!r->n_gaps && !r->delay_due) || leaves_report(s, lane, now_ns) ||
        session_path_is_lossy(s, pack_lane_path(lane->number)))
        return NULL;
    max = MIN(max, (size_t)REPORT_BYTES_MAX);
    out = pkt_new(s->opts.pool, max);
    if (!out)
        return NULL;
    head = (uint32_t)packed_put_head(out->data, max, &(struct packed_head){.class = REPORT_CLASS});
    out->len = head;
    out->queued_ns = now_ns;
    out->flow = 0;
    put_gaps(r, out, max);
    if (r->delay_due)
        put_delays(s, out, now_ns, max);
    if (out->len > head)
        return out;
    pkt_free(s->opts.pool, out);
    return NULL;
}
