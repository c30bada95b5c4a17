"""Frames (RFC 9000 19, RFC 9221 4): read as tuples whose first element is the name."""

from .errors import QuicError
from .wire import Reader, Truncated, varbytes, varint

PADDING, PING, HANDSHAKE_DONE = b"\x00", b"\x01", b"\x1e"
NOT_ELICITING = ("ack", "padding", "close")
HANDSHAKE_FRAMES = ("padding", "ping", "ack", "crypto", "close")


def parse(payload):
    """All frames of a packet. Raises QuicError FRAME_ENCODING_ERROR."""
    r, out = Reader(payload), []
    if not r.left():
        raise QuicError(0x0a, "packet without frames")
    while r.left():
        kind = r.varint()
        try:
            frame = _parse_one(kind, r)
        except Truncated as e:
            raise QuicError(0x07, "frame 0x%x: %s" % (kind, e), kind) from None
        if frame is None:
            raise QuicError(0x07, "unknown frame 0x%x" % kind, kind)
        out.append(frame)
    return out


_VARINTS = {
    0x04: ("reset_stream", 3), 0x05: ("stop_sending", 2), 0x10: ("max_data", 1),
    0x11: ("max_stream_data", 2), 0x12: ("max_streams_bidi", 1), 0x13: ("max_streams_uni", 1),
    0x14: ("data_blocked", 1), 0x15: ("stream_data_blocked", 2), 0x16: ("streams_blocked_bidi", 1),
    0x17: ("streams_blocked_uni", 1), 0x19: ("retire_connection_id", 1),
}


def _parse_one(kind, r):
    if kind == 0x00:
        return ("padding",)
    if kind == 0x01:
        return ("ping",)
    if kind in (0x02, 0x03):
        return _parse_ack(kind, r)
    if kind in _VARINTS:
        name, count = _VARINTS[kind]
        return (name,) + tuple(r.varint() for _ in range(count))
    if kind == 0x06:
        return ("crypto", r.varint(), r.varbytes())
    if kind == 0x07:
        return ("new_token", r.varbytes())
    if 0x08 <= kind <= 0x0f:
        stream = r.varint()
        offset = r.varint() if kind & 4 else 0
        data = r.varbytes() if kind & 2 else r.rest()
        return ("stream", stream, offset, data, bool(kind & 1))
    if kind == 0x18:
        return ("new_connection_id", r.varint(), r.varint(), r.vector(1), r.bytes(16))
    if kind in (0x1a, 0x1b):
        return ("path_challenge" if kind == 0x1a else "path_response", r.bytes(8))
    if kind in (0x1c, 0x1d):
        code = r.varint()
        frame_type = r.varint() if kind == 0x1c else None
        return ("close", kind == 0x1d, code, frame_type, r.varbytes())
    if kind == 0x1e:
        return ("handshake_done",)
    if kind in (0x30, 0x31):
        return ("datagram", r.varbytes() if kind == 0x31 else r.rest())
    return None


def _parse_ack(kind, r):
    largest, delay, count, first = r.varint(), r.varint(), r.varint(), r.varint()
    if first > largest:
        raise QuicError(0x07, "ACK below zero", kind)
    ranges = [(largest - first, largest + 1)]
    for _ in range(count):
        newest = ranges[-1][0] - r.varint() - 2
        stop = newest + 1
        start = newest - r.varint()
        if start < 0:
            raise QuicError(0x07, "ACK below zero", kind)
        ranges.append((start, stop))
    if kind == 0x03:
        for _ in range(3):
            r.varint()
    return ("ack", largest, delay, ranges)


def ack(ranges):
    """ranges: ascending half-open ranges, the newest 32 are told; no delay is reported."""
    newest = sorted(ranges, reverse=True)[:32]
    start, stop = newest[0]
    out = b"\x02" + varint(stop - 1) + varint(0) + varint(len(newest) - 1)
    out += varint(stop - 1 - start)
    for a, b in newest[1:]:
        out += varint(start - b - 1) + varint(b - 1 - a)
        start = a
    return out


def crypto(offset, data):
    return b"\x06" + varint(offset) + varbytes(data)


def stream(stream_id, offset, data, fin):
    return bytes([0x0e | fin]) + varint(stream_id) + varint(offset) + varbytes(data)


def datagram(data):
    return b"\x31" + varbytes(data)


def numbers(kind, *values):
    """A frame that consists of integers only."""
    return varint(kind) + b"".join(varint(v) for v in values)


def close(application, code, frame_type, reason):
    out = b"\x1d" + varint(code) if application else b"\x1c" + varint(code) + varint(frame_type)
    return out + varbytes(reason)
