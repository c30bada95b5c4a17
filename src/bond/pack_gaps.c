/* What the receiver says that it misses: found among what the lanes have on their way, and sent
 * again.
 *
 * QUIC's own report of the same loss comes sooner or later, and finds nothing any more; and what
 * QUIC has reported before has gone again under another number. A report names that too, if the
 * receiver made it before it arrived: so one counts only when it may be younger than the arrival.
 */
#include "base/clock.h"
#include "base/util.h"
#include "bond/pack_internal.h"

/* What looking costs, about: a datagram that is passed over, one that is read, and a frame of it
 * that is compared with an entry. A receiver may have a twentieth of the time spent on it,
 * LOOK_AHEAD_NS in advance. */
enum { PASS_NS = 2, READ_NS = 100, COMPARE_NS = 1, LOOK_SHARE = 20 };
#define LOOK_AHEAD_NS (20 * NS_PER_MS)

static bool names(const struct packed_gap *g, const struct packed_frame *f)
{
    uint32_t offset = f->type == PACKED_RANGE ? f->offset : 0;

    return g->flow == f->flow && g->seq == f->seq && g->offset < offset + f->len &&
           (!g->len || offset < g->offset + g->len);
}

static bool is_named(const struct pkt *dgram, const struct packed_gap *gaps, unsigned n,
                     uint64_t *cost_ns)
{
    struct packed_reader r;
    struct packed_head head;
    struct packed_frame f;

    /* What is borrowed at its end is not looked at, only counted. */
    if (packed_open(&r, dgram->data, pkt_total(dgram), &head))
        return false;
    while (packed_next(&r, &f) > 0) {
        if ((f.type != PACKED_PACKET && f.type != PACKED_RANGE) || !f.has_seq)
            continue;
        *cost_ns += (uint64_t)n * COMPARE_NS;
        for (unsigned i = 0; i < n; i++)
            if (names(&gaps[i], &f))
                return true;
    }
    return false;
}

/* How old a datagram must be for a report that comes now to know of it: the way there, which is
 * about half of its lane's round trip, and the way back of the fastest lane. Of one that has gone
 * again an earlier report is certainly under way: there the bound is one that all ways keep. */
static uint64_t least_age_ns(const struct pack *p, const struct pack_lane *lane, bool again)
{
    uint64_t best_ns = lane->rtt_ns;

    for (const struct pack_lane *l = p->lanes; l; l = l->next)
        if (l->rtt_ns)
            best_ns = MIN(best_ns, l->rtt_ns);
    return again ? lane->rtt_ns + 4 * lane->rtt_var_ns : (lane->rtt_ns + best_ns) / 2;
}

/* Returns what it has cost. */
static uint64_t look(struct pack *p, struct pack_lane *lane, uint64_t now_ns,
                     const struct packed_gap *gaps, unsigned n, uint64_t flows)
{
    const uint64_t age_ns[] = {least_age_ns(p, lane, false), least_age_ns(p, lane, true)};
    uint64_t cost_ns = (uint64_t)lane->flight.n * PASS_NS;
    struct pkt *dgram;
    unsigned i = 0;

    while ((dgram = flight_next_of(&lane->flight, &i, flows))) {
        cost_ns += READ_NS;
        if (pack_since_ns(now_ns, dgram->taken) < age_ns[dgram->mark] ||
            !is_named(dgram, gaps, n, &cost_ns))
            continue;
        flight_take_at(&lane->flight, i - 1);
        dgram->gso_size = (uint16_t)(lane->number + 1);
        p->stats.named++;
        p->stats.taken_over[pack_lane_path(lane->number)]++;
        pack_send_again(p, now_ns, dgram);
    }
    flight_trim(&lane->flight);
    return cost_ns;
}

bool pack_heed_gaps(struct pack *p, uint64_t now_ns, const struct packed_gap *gaps, unsigned n)
{
    uint64_t flows = 0, cost_ns = 0;

    if (p->look_ns > now_ns + LOOK_AHEAD_NS)
        return false;
    for (unsigned i = 0; i < n; i++)
        flows |= pack_flow_bit(gaps[i].flow);
    for (struct pack_lane *lane = p->lanes; lane; lane = lane->next)
        cost_ns += look(p, lane, now_ns, gaps, n, flows);
    p->look_ns = MAX(p->look_ns, now_ns) + LOOK_SHARE * cost_ns;
    return p->again.n || p->n_gone;
}
