"""Acknowledgements, loss detection and the probe timer (RFC 9002 5, 6), without congestion
control: WINDOW packets may be in flight."""

from .wire import RangeSet

PACKET_THRESHOLD = 3
GRANULARITY = 0.001
INITIAL_RTT = 0.1
WINDOW = 256
ACK_RANGES_MAX = 64


class SentPacket:
    def __init__(self, pn, time, frames, eliciting):
        self.pn, self.time, self.frames, self.eliciting = pn, time, frames, eliciting


class Space:
    """One packet number space, both directions."""

    def __init__(self):
        self.next_pn = 0
        self.sent = {}            # pn -> SentPacket, not yet acknowledged nor lost
        self.largest_acked = -1
        self.loss_time = None
        self.received = RangeSet()
        self.largest_received = -1
        self.ack_due = False
        self.probes = 0

    def on_received(self, pn, eliciting):
        """Returns False for a duplicate."""
        if pn in self.received or self.received and pn < self.received.ranges[0][0] \
                and len(self.received.ranges) >= ACK_RANGES_MAX:
            return False
        self.received.add(pn, pn + 1)
        del self.received.ranges[:-ACK_RANGES_MAX]
        self.largest_received = max(self.largest_received, pn)
        self.ack_due |= eliciting
        return True

    def eliciting_in_flight(self):
        return [p for p in self.sent.values() if p.eliciting]


class Recovery:
    """RTT estimate and timers over all spaces."""

    def __init__(self):
        self.latest = self.srtt = self.rttvar = self.min_rtt = None
        self.pto_count = 0
        self.max_ack_delay = 0.025

    def _update_rtt(self, sample, ack_delay):
        self.latest = sample
        if self.srtt is None:
            self.srtt, self.rttvar, self.min_rtt = sample, sample / 2, sample
            return
        self.min_rtt = min(self.min_rtt, sample)
        if sample >= self.min_rtt + ack_delay:
            sample -= ack_delay
        self.rttvar = 0.75 * self.rttvar + 0.25 * abs(self.srtt - sample)
        self.srtt = 0.875 * self.srtt + 0.125 * sample

    def on_ack(self, space, ranges, ack_delay, now):
        """Returns (packets newly acknowledged, packets declared lost)."""
        acked = [p for pn, p in space.sent.items() if any(a <= pn < b for a, b in ranges)]
        if not acked:
            return [], []
        newest = max(acked, key=lambda p: p.pn)
        for p in acked:
            del space.sent[p.pn]
        space.largest_acked = max(space.largest_acked, newest.pn)
        if newest.pn == ranges[0][1] - 1 and any(p.eliciting for p in acked):
            self._update_rtt(now - newest.time, min(ack_delay, self.max_ack_delay))
        self.pto_count = 0
        return acked, self.detect_lost(space, now)

    def detect_lost(self, space, now):
        delay = max(9 / 8 * max(self.latest or INITIAL_RTT, self.srtt or 0), GRANULARITY)
        space.loss_time, lost = None, []
        for p in list(space.sent.values()):
            if p.pn > space.largest_acked:
                continue
            if p.pn <= space.largest_acked - PACKET_THRESHOLD or p.time + delay <= now:
                lost.append(space.sent.pop(p.pn))
            else:
                due = p.time + delay
                space.loss_time = due if space.loss_time is None else min(space.loss_time, due)
        return lost

    def pto(self, application):
        base = 3 * INITIAL_RTT if self.srtt is None else \
            self.srtt + max(4 * self.rttvar, GRANULARITY)
        return (base + (self.max_ack_delay if application else 0)) * 2 ** self.pto_count
