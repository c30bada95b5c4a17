/* What QUIC measures of a lane, told to the session that has it; of both kinds of peer. */
#ifndef PEER_LANE_RTT_H
#define PEER_LANE_RTT_H

#include "bond/session.h"
#include "quic/quic.h"

/* Tell it when it is due. For every datagram. */
static inline void lane_rtt_tell(struct session *s, struct pack_lane *lane,
                                 const struct quic_lane *quic)
{
    struct quic_lane_stats st;
    uint64_t acked, lost;

    if (!session_lane_rtt_due(lane, quic_lane_now_ns(quic)))
        return;
    quic_lane_stats(quic, &st);
    session_lane_rtt(s, lane, quic_lane_now_ns(quic), st.rtt_smoothed_ns, st.rtt_var_ns);
    quic_path_set_several(quic_lane_path(quic), session_has_paths(s));
    session_lane_can(s, lane, st.rtt_min_ns, quic_path_rate(quic_lane_path(quic)),
                     quic_path_vary_ns(quic_lane_path(quic)));
    quic_path_fate(quic_lane_path(quic), &acked, &lost);
    session_path_fate(s, lane, quic_lane_now_ns(quic), acked, lost);
}

/* The peer's answer may be so late besides (protocol.md, "Transport"). */
#define LANE_ACK_DELAY_NS (10 * NS_PER_MS)

/* The lane gets no answers. */
static inline void lane_suspect_tell(struct session *s, struct pack_lane *lane,
                                     const struct quic_lane *quic)
{
    struct quic_lane_stats st;

    quic_lane_stats(quic, &st);
    session_lane_suspect(s, lane, quic_lane_now_ns(quic),
                         st.answered_ns + SESSION_GAP_NS + LANE_ACK_DELAY_NS + st.rtt_smoothed_ns +
                             4 * st.rtt_var_ns);
    lane_rtt_tell(s, lane, quic);
}

#endif
