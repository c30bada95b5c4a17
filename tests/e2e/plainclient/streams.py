"""The two sides of a stream, and of CRYPTO data, which is a stream without flow control
(RFC 9000 2, 3, 4, 19.6)."""

from .errors import QuicError
from .wire import RangeSet

CRYPTO_WINDOW = 1 << 17


class SendSide:
    """Bytes to send, which of them are due, and where the stream ends.

    limit: the peer's flow control limit of this stream. Lost ranges become due again.
    """

    def __init__(self, limit):
        self.data = bytearray()
        self.limit = limit
        self.due = RangeSet()
        self.sent = 0          # highest offset ever sent
        self.fin_at = None
        self.fin_due = False
        self.acked = RangeSet()
        self.fin_acked = False
        self.abandoned = False

    def write(self, data, fin=False):
        if self.fin_at is not None:
            raise ValueError("write behind the end of the stream")
        self.due.add(len(self.data), len(self.data) + len(data))
        self.data += data
        if fin:
            self.fin_at, self.fin_due = len(self.data), True

    def take(self, room, credit):
        """The next (offset, data, fin) of at most room bytes and `credit` new bytes, or None."""
        if not self.due:
            if self.fin_due:
                self.fin_due = False
                return self.fin_at, b"", True
            return None
        start, stop = self.due.ranges[0]
        stop = min(stop, start + room, self.limit, self.sent + credit)
        if stop <= start:
            return None
        self.due.remove(start, stop)
        self.sent = max(self.sent, stop)
        fin = self.fin_at == stop and self.fin_due
        if fin:
            self.fin_due = False
        return start, bytes(self.data[start:stop]), fin

    def on_acked(self, offset, size, fin):
        self.acked.add(offset, offset + size)
        self.due.remove(offset, offset + size)
        self.fin_acked |= fin

    def on_lost(self, offset, size, fin):
        if self.abandoned:
            return
        self.due.add(offset, offset + size)
        for a, b in self.acked.ranges:
            self.due.remove(a, b)
        self.fin_due |= fin and not self.fin_acked

    def forget(self):
        """Nothing is sent any more (the stream was reset)."""
        self.abandoned, self.due, self.fin_due = True, RangeSet(), False


class ReceiveSide:
    """Puts received bytes in order. limit: the flow control limit that we have told."""

    def __init__(self, limit):
        self.limit = limit
        self.delivered = 0
        self.highest = 0
        self.final = None
        self.ended = False     # the end was delivered, or the stream was reset
        self._chunks = {}

    def receive(self, offset, data, fin, over_limit=0x03):
        """Returns (bytes now in order, whether the stream ends with them)."""
        stop = offset + len(data)
        if stop > self.limit:
            raise QuicError(over_limit, "%d bytes beyond the limit" % (stop - self.limit))
        if self.final is not None and (stop > self.final or fin and stop != self.final) \
                or fin and stop < self.highest:
            raise QuicError(0x06, "final size changed")
        self.highest = max(self.highest, stop)
        if fin:
            self.final = stop
        if data and stop > self.delivered:
            kept = self._chunks.get(offset, b"")
            self._chunks[offset] = max(kept, data, key=len)
        return self._in_order()

    def _in_order(self):
        out = b""
        while True:
            start = min((o for o in self._chunks if o <= self.delivered), default=None)
            if start is None:
                break
            chunk = self._chunks.pop(start)[self.delivered - start:]
            out += chunk
            self.delivered += len(chunk)
        ends = self.delivered == self.final and not self.ended
        self.ended |= ends
        return out, ends

    def reset(self, final):
        if self.final not in (None, final) or final < self.highest:
            raise QuicError(0x06, "final size changed by a reset")
        self.final, self.highest, self.ended = final, final, True
