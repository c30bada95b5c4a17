/* When a tunnel opens and ends, and the lanes that have none. */
#include "masque/internal.h"

#include <stdio.h>

void tunnel_waits_no_more(struct masque *m)
{
    struct masque_side *side = m->side;

    if (!m->waiting)
        return;
    m->waiting = false;
    side->n_waiting--;
    if (m->wait_prev)
        m->wait_prev->wait_next = m->wait_next;
    else
        side->wait_first = m->wait_next;
    if (m->wait_next)
        m->wait_next->wait_prev = m->wait_prev;
    else
        side->wait_last = m->wait_prev;
}

static void give_up_waiting(struct masque *m, const char *why)
{
    tunnel_waits_no_more(m);
    quic_lane_close(m->lane, MASQUE_H3_NO_ERROR, why);
}

/* The lane has no tunnel from now on. A side has many such lanes only when somebody misbehaves:
 * then the oldest has to go. */
void tunnel_waits(struct masque *m)
{
    struct masque_side *side = m->side;

    if (m->waiting)
        return;
    m->waiting = true;
    m->waiting_since_ns = quic_lane_now_ns(m->lane);
    m->wait_next = NULL;
    m->wait_prev = side->wait_last;
    if (side->wait_last)
        side->wait_last->wait_next = m;
    else
        side->wait_first = m;
    side->wait_last = m;
    if (++side->n_waiting > MASQUE_WAITING_MAX)
        give_up_waiting(side->wait_first, "too many connections without a tunnel");
}

uint64_t masque_deadline_ns(const struct masque_side *side)
{
    return side->wait_first ? side->wait_first->waiting_since_ns + MASQUE_WAIT_NS : TIME_NEVER_NS;
}

void masque_timeout(struct masque_side *side, uint64_t now_ns)
{
    while (masque_deadline_ns(side) <= now_ns)
        give_up_waiting(side->wait_first, "no tunnel was opened in time");
}

/* --- open and end ---------------------------------------------------------------------- */

void tunnel_tell_packet_max(struct masque *m)
{
    if (m->state == MASQUE_OPEN)
        m->side->ops->mtu_changed(m, masque_packet_max(m), quic_lane_mtu_known(m->lane));
}

void tunnel_opened(struct masque *m, int64_t stream)
{
    m->stream = stream;
    m->state = MASQUE_OPEN;
    tunnel_waits_no_more(m);
    m->side->ops->open(m);
    tunnel_tell_packet_max(m);
    datagrams_deliver_early(m);
    quic_path_kick(quic_lane_path(m->lane));
}

void tunnel_ended(struct masque *m, enum quic_fail fail, uint64_t code, const char *reason)
{
    struct quic_fail_info why = {.fail = fail, .app = true, .code = code};

    if (m->state == MASQUE_ENDED)
        return;
    m->state = MASQUE_ENDED;
    tunnel_waits(m);
    snprintf(why.detail, sizeof(why.detail), "%s", reason);
    m->side->ops->down(m, &why);
}

void tunnel_abort(struct masque *m, enum quic_fail fail, uint64_t code, const char *reason)
{
    if (m->state == MASQUE_ENDED)
        return;
    quic_lane_shutdown_stream(m->lane, m->stream, code);
    tunnel_ended(m, fail, code, reason);
}
