/* How the segments of a modelled TCP flow leave: one by one, or in super-packets as Linux makes
 * them.
 *
 * A super-packet holds about a millisecond of the flow's rate (1.2 windows a round trip, 2 in slow
 * start), more where the round trip is below 5 ms, at least two segments, at most what 64 KiB hold
 * (tcp_tso_autosize()). New data waits until the window has room for a whole one or for a third of
 * the window, but neither in recovery nor a millisecond after the last write, nor when the next
 * acknowledgement is more than half a round trip away (tcp_tso_should_defer()). */
#ifndef SIM_TCP_TSO_H
#define SIM_TCP_TSO_H

#include "sim/tcp.h"

/* Send the bytes [from, to) of a segment, with those added before if they join. What was added
 * leaves at tcp_tso_flush() at the latest. */
void tcp_tso_add(struct tcp *t, uint64_t from, uint64_t to);
void tcp_tso_flush(struct tcp *t);

/* Send one packet at once. */
void tcp_tso_put(struct tcp *t, uint8_t flags, uint64_t byte, size_t payload);

/* With room for so many segments in the window, new data waits for more. */
bool tcp_tso_defer(const struct tcp *t, double room);

#endif
