/* The sender of a modelled TCP flow.
 *
 * Each segment is a slot of a ring, by its number (byte offset / MSS). It is in one of these
 * states:
 *
 *      in flight --acknowledged or sacked--> delivered
 *      in flight --RACK or timeout--> lost, waiting --retransmitted--> in flight (again)
 *
 * RACK needs the segments in flight in order of their (last) sending: a list through the ring,
 * oldest first. A segment is lost when one sent later was delivered and a reordering window has
 * passed. */
#include "sim/tcp_send.h"

#include <math.h>
#include <stdlib.h>

#include "base/util.h"
#include "sim/tcp_packet.h"
#include "sim/tcp_tso.h"

#define MIN_RTO_NS (200 * NS_PER_MS)
#define MAX_RTO_NS (60 * NS_PER_S)
#define FIRST_RTO_NS (1 * NS_PER_S)

enum { NONE = UINT32_MAX, DUP_THRESH = 3, PACE_BURST = 10 };
enum { TIMER_OFF, TIMER_RTO, TIMER_PROBE, TIMER_REORDER, TIMER_SYN };

struct tcp_segment {
    uint64_t sent_ns, order;
    uint32_t prev, next; /* in the list by time of sending */
    bool in_flight, delivered, lost, retransmitted;
};

static struct tcp_segment *seg(struct tcp_sender *s, uint64_t number)
{
    return &s->ring[number & s->mask];
}

static uint64_t number_of(const struct tcp *t, uint64_t byte)
{
    return byte / t->opts.mss;
}

/* Number of the first segment that was never sent, counting a short last one. */
static uint64_t end_number(const struct tcp *t)
{
    return (t->snd.nxt + t->opts.mss - 1) / t->opts.mss;
}

/* --- the list by time of sending ------------------------------------------------------- */

static void list_remove(struct tcp_sender *s, struct tcp_segment *x)
{
    if (!x->in_flight)
        return;
    x->in_flight = false;
    s->in_flight--;
    if (x->prev == NONE)
        s->oldest = x->next;
    else
        s->ring[x->prev].next = x->next;
    if (x->next == NONE)
        s->newest = x->prev;
    else
        s->ring[x->next].prev = x->prev;
}

static void list_append(struct tcp_sender *s, struct tcp_segment *x)
{
    uint32_t i = (uint32_t)(x - s->ring);

    x->in_flight = true;
    s->in_flight++;
    x->prev = s->newest;
    x->next = NONE;
    if (s->newest == NONE)
        s->oldest = i;
    else
        s->ring[s->newest].next = i;
    s->newest = i;
}

/* --- timers ---------------------------------------------------------------------------- */

static void set_timer(struct tcp *t, int kind, uint64_t delay_ns)
{
    t->snd.timer_kind = kind;
    sim_set(t->sim, &t->snd.timer, t->sim->now_ns + delay_ns);
}

static uint64_t rto_ns(const struct tcp_sender *s)
{
    return MIN(s->rto_ns << MIN(s->backoff, 16u), MAX_RTO_NS);
}

/* RFC 8985, 7.2: a probe two round trips after the last sending; else the retransmission timer. */
static void set_rto_or_probe(struct tcp *t)
{
    struct tcp_sender *s = &t->snd;
    uint64_t probe_ns = 2 * s->srtt_ns + (s->in_flight == 1 ? 200 * NS_PER_MS : 0);

    if (s->una == s->nxt) {
        s->timer_kind = TIMER_OFF;
        sim_unset(t->sim, &s->timer);
    } else if (s->srtt_ns && !s->in_recovery && !s->in_loss && !s->sacked && !s->backoff) {
        set_timer(t, TIMER_PROBE, MIN(probe_ns, rto_ns(s)));
    } else {
        set_timer(t, TIMER_RTO, rto_ns(s));
    }
}

static void measure_rtt(struct tcp *t, uint64_t rtt_ns)
{
    struct tcp_sender *s = &t->snd;
    uint64_t diff = s->srtt_ns > rtt_ns ? s->srtt_ns - rtt_ns : rtt_ns - s->srtt_ns;

    s->rtt_min_ns = MIN(s->rtt_min_ns, rtt_ns);
    if (!s->srtt_ns) {
        s->srtt_ns = rtt_ns;
        s->rttvar_ns = rtt_ns / 2;
    } else {
        s->rttvar_ns = (3 * s->rttvar_ns + diff) / 4;
        s->srtt_ns = (7 * s->srtt_ns + rtt_ns) / 8;
    }
    s->rto_ns = s->srtt_ns + MAX(4 * s->rttvar_ns, MIN_RTO_NS);
}

/* --- sending --------------------------------------------------------------------------- */

static void send_segment(struct tcp *t, uint64_t number)
{
    struct tcp_sender *s = &t->snd;
    struct tcp_segment *x = seg(s, number);
    uint64_t from = number * t->opts.mss, to = from + t->opts.mss;

    if (t->opts.bytes)
        to = MIN(to, t->opts.bytes);
    if (from >= s->nxt) {
        *x = (struct tcp_segment){0};
        s->nxt = to;
    } else {
        x->retransmitted = true;
        t->stats.retransmits++;
        if (x->lost)
            s->lost_waiting--;
        x->lost = false;
        list_remove(s, x);
    }
    x->sent_ns = t->sim->now_ns;
    x->order = s->next_order++;
    list_append(s, x);
    t->stats.segments++;
    if (s->in_recovery)
        s->prr_out++;
    tcp_tso_add(t, from, to);
}

static bool has_new_data(const struct tcp *t)
{
    const struct tcp_sender *s = &t->snd;
    bool more = !t->opts.bytes || s->nxt < t->opts.bytes;

    return more && s->nxt + t->opts.mss <= s->una + t->opts.rwnd_bytes;
}

static uint64_t next_lost(struct tcp *t)
{
    struct tcp_sender *s = &t->snd;

    s->lost_hint = MAX(s->lost_hint, number_of(t, s->una));
    while (!seg(s, s->lost_hint)->lost)
        s->lost_hint++;
    return s->lost_hint;
}

static double window(const struct tcp_sender *s)
{
    return s->in_recovery ? s->prr_cwnd : s->cubic.cwnd;
}

/* RFC 9002, 7.7. True: the next packet has to wait for the timer. */
static bool must_wait(struct tcp *t)
{
    struct tcp_sender *s = &t->snd;
    uint64_t each_ns, now_ns = t->sim->now_ns;

    if (!t->opts.quic || !s->srtt_ns)
        return false;
    if (s->pace_ns > now_ns) {
        sim_set(t->sim, &s->pace, s->pace_ns);
        return true;
    }
    each_ns = (uint64_t)((double)s->srtt_ns / (1.25 * MAX(window(s), 1)));
    s->pace_ns = MAX(s->pace_ns + each_ns, now_ns - MIN(now_ns, PACE_BURST * each_ns));
    return false;
}

static void send_allowed(struct tcp *t)
{
    struct tcp_sender *s = &t->snd;

    while ((double)s->in_flight + 1 <= window(s) + 1e-9) {
        bool lost = s->lost_waiting > 0;

        if ((!lost && (!has_new_data(t) || tcp_tso_defer(t, window(s) - (double)s->in_flight))) ||
            must_wait(t))
            break;
        send_segment(t, lost ? next_lost(t) : end_number(t));
    }
    tcp_tso_flush(t);
}

static void pace_fire(struct sim_event *ev)
{
    struct tcp *t = container_of(ev, struct tcp, snd.pace);

    send_allowed(t);
    if (t->snd.timer_kind == TIMER_OFF)
        set_rto_or_probe(t);
}

/* --- loss ------------------------------------------------------------------------------ */

static void mark_lost(struct tcp *t, struct tcp_segment *x, uint64_t number)
{
    struct tcp_sender *s = &t->snd;

    list_remove(s, x);
    if (!x->lost)
        s->lost_waiting++;
    x->lost = true;
    s->lost_hint = MIN(s->lost_hint, number);
}

static void enter_recovery(struct tcp *t)
{
    struct tcp_sender *s = &t->snd;

    s->in_recovery = true;
    s->recovery_end = s->nxt;
    s->prr_flight = (double)(s->nxt - s->una) / t->opts.mss;
    s->prr_delivered = s->prr_out = 0;
    cubic_on_loss(&s->cubic);
    t->stats.recoveries++;
}

/* The number of a segment in flight from its slot. */
static uint64_t number_at(const struct tcp *t, const struct tcp_segment *x)
{
    uint64_t first = number_of(t, t->snd.una), slot = (uint64_t)(x - t->snd.ring);

    return first + ((slot - first) & t->snd.mask);
}

/* RFC 8985, 6.2, step 4. */
static uint64_t reorder_window_ns(const struct tcp_sender *s)
{
    if (!s->reordering && (s->in_recovery || s->in_loss || s->sacked >= DUP_THRESH))
        return 0;
    return MIN(s->rtt_min_ns / 4, s->srtt_ns);
}

/* When the segment in flight is lost if nothing more arrives; the past when it is already. */
static uint64_t lost_at_ns(const struct tcp *t, const struct tcp_segment *x)
{
    const struct tcp_sender *s = &t->snd;

    if (!t->opts.quic)
        return x->sent_ns + s->rack_rtt_ns + reorder_window_ns(s);
    if (x->order + DUP_THRESH <= s->rack_order) /* RFC 9002, 6.1.1 */
        return 0;
    return x->sent_ns + MAX(s->srtt_ns, s->rack_rtt_ns) * 9 / 8;
}

/* RFC 8985, 6.2, step 5. Returns how long until the next one may be lost, 0 when none waits. */
static uint64_t detect_loss(struct tcp *t)
{
    struct tcp_sender *s = &t->snd;

    while (s->oldest != NONE && s->rack_sent_ns) {
        struct tcp_segment *x = &s->ring[s->oldest];
        uint64_t number = number_at(t, x), end = (number + 1) * t->opts.mss;
        uint64_t lost_ns = lost_at_ns(t, x);

        if (x->sent_ns > s->rack_sent_ns || (x->sent_ns == s->rack_sent_ns && end >= s->rack_end))
            return 0;
        if (lost_ns > t->sim->now_ns)
            return lost_ns - t->sim->now_ns;
        mark_lost(t, x, number);
    }
    return 0;
}

/* --- acknowledgements ------------------------------------------------------------------ */

struct ack_work {
    double delivered;
    uint64_t rtt_ns; /* of the segment sent last that was never retransmitted; 0 = none */
    uint64_t rtt_sent_ns;
};

static void on_delivered(struct tcp *t, uint64_t number, struct ack_work *w)
{
    struct tcp_sender *s = &t->snd;
    struct tcp_segment *x = seg(s, number);
    uint64_t end = (number + 1) * t->opts.mss, rtt_ns = t->sim->now_ns - x->sent_ns;

    if (x->delivered)
        return;
    x->delivered = true;
    if (x->lost)
        s->lost_waiting--;
    x->lost = false;
    list_remove(s, x);
    w->delivered++;
    if (!x->retransmitted) {
        if (end < s->highest_delivered)
            s->reordering = true;
        if (x->sent_ns >= w->rtt_sent_ns) {
            w->rtt_ns = rtt_ns;
            w->rtt_sent_ns = x->sent_ns;
        }
    }
    s->highest_delivered = MAX(s->highest_delivered, end);
    if (x->retransmitted && rtt_ns < s->rtt_min_ns)
        return; /* the first transmission arrived after all */
    if (x->sent_ns > s->rack_sent_ns || (x->sent_ns == s->rack_sent_ns && end > s->rack_end)) {
        s->rack_sent_ns = x->sent_ns;
        s->rack_end = end;
        s->rack_order = x->order;
        s->rack_rtt_ns = rtt_ns;
    }
}

static void take_range(struct tcp *t, uint64_t from, uint64_t to, struct ack_work *w)
{
    for (uint64_t n = from; n < to; n++) {
        if (!seg(&t->snd, n)->delivered)
            t->snd.sacked++;
        on_delivered(t, n, w);
    }
}

/* A SACK block in segment numbers: the part of it that the blocks of the acknowledgement before
 * did not cover. */
static void take_block(struct tcp *t, struct tcp_block b, struct ack_work *w)
{
    for (unsigned i = 0; i < TCP_BLOCKS_MAX; i++) {
        struct tcp_block *o = &t->snd.seen[i];

        if (o->left >= b.left && o->right <= b.right && o->left < o->right) {
            take_range(t, b.left, o->left, w);
            take_range(t, o->right, b.right, w);
            return;
        }
    }
    take_range(t, b.left, b.right, w);
}

static uint64_t unwrap(uint64_t near, uint32_t wire)
{
    return near + (uint64_t)(int64_t)(int32_t)(wire - (uint32_t)near);
}

static void take_sack(struct tcp *t, const struct tcp_header *h, struct ack_work *w)
{
    struct tcp_sender *s = &t->snd;
    struct tcp_block now[TCP_BLOCKS_MAX] = {{0}};

    for (unsigned i = 0; i < h->n_blocks; i++) {
        uint64_t left = unwrap(s->una + 1, (uint32_t)h->block[i].left) - 1;
        uint64_t right = unwrap(s->una + 1, (uint32_t)h->block[i].right) - 1;

        if (left < s->una || right > s->nxt || left >= right)
            continue;
        now[i].left = (left + t->opts.mss - 1) / t->opts.mss;
        now[i].right = right == s->nxt ? end_number(t) : number_of(t, right);
        take_block(t, now[i], w);
    }
    memcpy(s->seen, now, sizeof(now));
}

static void take_cumulative(struct tcp *t, uint64_t ack, struct ack_work *w)
{
    struct tcp_sender *s = &t->snd;
    uint64_t first = number_of(t, s->una), end = ack == s->nxt ? end_number(t) : number_of(t, ack);

    for (uint64_t n = first; n < end; n++) {
        if (seg(s, n)->delivered)
            s->sacked--;
        on_delivered(t, n, w);
    }
    s->una = ack;
    s->backoff = 0;
}

/* RFC 6937: the window during recovery. */
static void reduce_rate(struct tcp *t, double delivered, bool first)
{
    struct tcp_sender *s = &t->snd;
    double flight = (double)s->in_flight, ssthresh = s->cubic.ssthresh, send;

    s->prr_delivered += delivered;
    if (flight > ssthresh) {
        send = ceil(s->prr_delivered * ssthresh / MAX(s->prr_flight, 1)) - s->prr_out;
    } else {
        send = MAX(s->prr_delivered - s->prr_out, delivered) + 1;
        send = MIN(ssthresh - flight, send);
    }
    send = MAX(send, first ? 1 : 0);
    s->prr_cwnd = flight + send;
}

static void end_recovery(struct tcp *t)
{
    struct tcp_sender *s = &t->snd;

    if (s->in_recovery)
        s->cubic.cwnd = s->cubic.ssthresh;
    s->in_recovery = s->in_loss = false;
}

static void adjust_window(struct tcp *t, const struct ack_work *w, bool was_full)
{
    struct tcp_sender *s = &t->snd;
    bool first = false;

    if ((s->in_recovery || s->in_loss) && s->una >= s->recovery_end)
        end_recovery(t);
    if (s->lost_waiting && !s->in_recovery && !s->in_loss) {
        enter_recovery(t);
        first = true;
    }
    if (s->in_recovery)
        reduce_rate(t, w->delivered, first);
    else if (was_full && w->delivered > 0)
        cubic_on_ack(&s->cubic, t->sim->now_ns, w->delivered);
}

static void on_ack(struct tcp *t, const struct tcp_header *h)
{
    struct tcp_sender *s = &t->snd;
    uint64_t ack = unwrap(s->una + 1, h->ack) - 1, reorder_ns;
    bool was_full = (double)(s->in_flight + s->lost_waiting) + 1 > s->cubic.cwnd || s->in_loss ||
                    (t->opts.quic && has_new_data(t));
    struct ack_work w = {0};

    if (ack < s->una || ack > s->nxt)
        return;
    if (ack > s->una)
        take_cumulative(t, ack, &w);
    take_sack(t, h, &w);
    if (w.rtt_ns) {
        measure_rtt(t, w.rtt_ns);
        cubic_on_rtt(&s->cubic, t->sim->now_ns, w.rtt_ns, s->una, s->nxt);
    }
    reorder_ns = detect_loss(t);
    adjust_window(t, &w, was_full);
    if (w.delivered > 0 || s->lost_waiting)
        send_allowed(t);
    if (t->opts.bytes && s->una == t->opts.bytes && !t->done) {
        t->done = true;
        t->done_ns = t->sim->now_ns;
    }
    if (reorder_ns)
        set_timer(t, TIMER_REORDER, reorder_ns);
    else if (w.delivered > 0 || s->timer_kind == TIMER_REORDER)
        set_rto_or_probe(t);
}

/* --- timeouts -------------------------------------------------------------------------- */

static void on_rto(struct tcp *t)
{
    struct tcp_sender *s = &t->snd;

    t->stats.timeouts++;
    while (s->oldest != NONE)
        mark_lost(t, &s->ring[s->oldest], number_at(t, &s->ring[s->oldest]));
    if (!s->in_loss)
        cubic_on_rto(&s->cubic);
    s->cubic.cwnd = 1;
    s->in_loss = true;
    s->in_recovery = false;
    s->recovery_end = s->nxt;
    s->backoff++;
    send_allowed(t);
    set_timer(t, TIMER_RTO, rto_ns(s));
}

/* RFC 8985, 7.3: one new segment, or the last one again, to learn of a loss at the tail. */
static void on_probe(struct tcp *t)
{
    t->stats.probes++;
    if (has_new_data(t))
        send_segment(t, end_number(t));
    else if (t->snd.newest != NONE)
        send_segment(t, end_number(t) - 1);
    tcp_tso_flush(t);
    set_timer(t, TIMER_RTO, rto_ns(&t->snd));
}

static void on_reorder_timeout(struct tcp *t)
{
    struct ack_work none = {0};
    uint64_t again_ns = detect_loss(t);

    adjust_window(t, &none, false);
    send_allowed(t);
    if (again_ns)
        set_timer(t, TIMER_REORDER, again_ns);
    else
        set_rto_or_probe(t);
}

static void send_syn(struct tcp *t)
{
    struct tcp_sender *s = &t->snd;

    tcp_tso_put(t, TCP_SYN, 0, 0);
    set_timer(t, TIMER_SYN, FIRST_RTO_NS << MIN(s->backoff, 6u));
    s->backoff++;
}

static void timer_fire(struct sim_event *ev)
{
    struct tcp *t = container_of(ev, struct tcp, snd.timer);
    int kind = t->snd.timer_kind;

    t->snd.timer_kind = TIMER_OFF;
    if (kind == TIMER_RTO)
        on_rto(t);
    else if (kind == TIMER_PROBE)
        on_probe(t);
    else if (kind == TIMER_REORDER)
        on_reorder_timeout(t);
    else if (kind == TIMER_SYN)
        send_syn(t);
}

/* --- packets in ------------------------------------------------------------------------ */

static void on_syn_ack(struct tcp *t, const struct tcp_header *h)
{
    struct tcp_sender *s = &t->snd;

    if (s->established)
        return;
    s->established = true;
    if (s->backoff == 1)
        measure_rtt(t, t->sim->now_ns - s->rack_sent_ns);
    s->rack_sent_ns = 0;
    s->backoff = 0;
    send_allowed(t);
    set_rto_or_probe(t);
}

static void sender_put(struct sim_sink *sink, struct sim_dgram *d)
{
    struct tcp *t = container_of(sink, struct tcp, snd.sink);
    struct tcp_header h;
    int rv = tcp_packet_parse(d, &h);

    sim_dgram_free(t->sim, d);
    if (rv || h.udp != t->opts.quic || !net_addr_equal(&h.dst, &t->opts.src) ||
        !net_addr_equal(&h.src, &t->opts.dst))
        t->stats.rx_bad++;
    else if (h.flags & TCP_SYN)
        on_syn_ack(t, &h);
    else if (t->snd.established)
        on_ack(t, &h);
}

uint64_t tcp_sender_oldest_ns(const struct tcp *t)
{
    const struct tcp_sender *s = &t->snd;

    return s->una == s->nxt ? 0 : s->ring[number_of(t, s->una) & s->mask].sent_ns;
}

/* --- life ------------------------------------------------------------------------------ */

void tcp_sender_init(struct tcp *t)
{
    struct tcp_sender *s = &t->snd;
    size_t n = 64;

    while (n < t->opts.rwnd_bytes / t->opts.mss + 2)
        n *= 2;
    s->ring = sim_alloc(n * sizeof(*s->ring));
    s->mask = n - 1;
    s->oldest = s->newest = NONE;
    s->rtt_min_ns = UINT64_MAX;
    s->rto_ns = FIRST_RTO_NS;
    s->sink.put = sender_put;
    s->timer.fire = timer_fire;
    s->pace.fire = pace_fire;
    cubic_init(&s->cubic, t->opts.initial_cwnd, !t->opts.no_hystart);
}

void tcp_sender_done(struct tcp *t)
{
    sim_unset(t->sim, &t->snd.timer);
    sim_unset(t->sim, &t->snd.pace);
    free(t->snd.ring);
}

void tcp_sender_start(struct tcp *t)
{
    t->snd.rack_sent_ns = t->sim->now_ns; /* of the SYN, until it is answered */
    send_syn(t);
}
