"""HTTP/3 on a quic.Connection (RFC 9114), with Extended CONNECT (RFC 9220) and HTTP Datagrams
(RFC 9297 2), without I/O.

What the server sends is judged by the RFC; a violation closes the connection with the code that
the RFC names. What we send is whatever the caller wants, right or wrong.
"""

from . import qpack
from .errors import H3Error
from .wire import Reader, Truncated, varbytes, varint

DATA, HEADERS, CANCEL_PUSH, SETTINGS, PUSH_PROMISE, GOAWAY, MAX_PUSH_ID = 0, 1, 3, 4, 5, 7, 13
HTTP2_FRAMES = (0x02, 0x06, 0x08, 0x09)
CONTROL, PUSH, QPACK_ENCODER, QPACK_DECODER = range(4)
S_QPACK_CAPACITY, S_FIELD_SECTION, S_QPACK_BLOCKED = 0x01, 0x06, 0x07
S_EXTENDED_CONNECT, S_H3_DATAGRAM = 0x08, 0x33
HTTP2_SETTINGS = (0x00, 0x02, 0x03, 0x04, 0x05)
OUR_SETTINGS = ((S_QPACK_CAPACITY, 0), (S_QPACK_BLOCKED, 0), (S_H3_DATAGRAM, 1))
FRAME_MAX = 1 << 20
CONNECTION_FIELDS = (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding",
                     b"upgrade")


def frame(kind, payload):
    return varint(kind) + varbytes(payload)


def settings_frame(settings):
    return frame(SETTINGS, b"".join(varint(k) + varint(v) for k, v in settings))


def field_pairs(fields):
    """Accepts str or bytes for names and values."""
    enc = lambda x: x if isinstance(x, bytes) else str(x).encode()
    return [(enc(n), enc(v)) for n, v in fields]


class Exchange:
    """One request and what came back on its stream."""

    def __init__(self, stream):
        self.stream = stream
        self.status = None            # of the final response, as int
        self.fields = []              # of the final response
        self.interim = []             # statuses of the 1xx responses
        self.trailers = None
        self.body = b""               # content of DATA frames, not yet taken
        self.ended = False            # the server ended its side
        self.reset = None             # code of RESET_STREAM
        self.stopped = None           # code of STOP_SENDING
        self.datagrams = []           # HTTP Datagram payloads, not yet taken
        self._input = b""
        self._left = 0                # bytes of the current DATA frame still to come

    def field(self, name):
        """The value of a response field, or None."""
        wanted = name.encode() if isinstance(name, str) else name
        return next((v.decode() for n, v in self.fields if n == wanted), None)

    @property
    def over(self):
        return self.ended or self.reset is not None


class UniStream:
    def __init__(self):
        self.kind = None
        self.input = b""


class Http3:
    """settings: the SETTINGS we send. control: when not None, the raw bytes of our control
    stream in place of a stream type and SETTINGS. qpack_streams: open the two of RFC 9204 4.2."""

    def __init__(self, quic, settings=OUR_SETTINGS, control=None, qpack_streams=True):
        self.quic = quic
        self.settings = settings
        self.peer_settings = None
        self.goaway = None
        self.exchanges = {}
        self.control_stream = None
        self.stray_datagrams = 0      # for streams that we do not know
        self._control, self._qpack_streams = control, qpack_streams
        self._uni = {}
        self._critical = {}           # stream type -> stream

    # ---- sending

    def start(self):
        """Open our control and QPACK streams; called when 1-RTT keys are there."""
        self.control_stream = self.quic.open_stream(bidi=False)
        first = varint(CONTROL) + settings_frame(self.settings)
        self.quic.write(self.control_stream, first if self._control is None else self._control)
        if self._qpack_streams:
            for kind in (QPACK_ENCODER, QPACK_DECODER):
                self.quic.write(self.quic.open_stream(bidi=False), varint(kind))

    def request(self, fields, fin=True, raw=None):
        """Open a stream with a field section, or with raw bytes instead."""
        stream = self.quic.open_stream()
        if stream is None:
            return None
        exchange = self.exchanges[stream] = Exchange(stream)
        first = frame(HEADERS, qpack.encode(field_pairs(fields))) if raw is None else raw
        self.quic.write(stream, first, fin)
        return exchange

    def send_data(self, exchange, data, fin=False):
        self.quic.write(exchange.stream, frame(DATA, data) if data else b"", fin)

    def send_datagram(self, exchange, payload):
        return self.quic.send_datagram(varint(exchange.stream // 4) + payload)

    # ---- receiving

    def on_event(self, event):
        """Take one event of the connection. Closes it with the right code on a violation."""
        handler = {"handshake": self.start, "stream": self._on_stream, "reset": self._on_reset,
                   "stop": self._on_stop, "datagram": self._on_datagram}.get(event[0])
        if handler is None:
            return
        try:
            handler(*event[1:])
        except H3Error as e:
            self.quic.close(e.code, e.reason)
        except Truncated as e:
            self.quic.close(0x106, str(e))

    def _on_stream(self, stream, data, fin):
        if stream in self.exchanges:
            self._on_response(self.exchanges[stream], data, fin)
        elif stream % 4 == 3:
            self._on_uni(stream, data, fin)
        else:
            raise H3Error("H3_STREAM_CREATION_ERROR", "stream %d" % stream)

    def _on_reset(self, stream, code):
        if stream in self._critical.values():
            raise H3Error("H3_CLOSED_CRITICAL_STREAM", "reset")
        if stream in self.exchanges:
            self.exchanges[stream].reset = code

    def _on_stop(self, stream, code):
        if stream in self.exchanges:
            self.exchanges[stream].stopped = code
        else:
            raise H3Error("H3_CLOSED_CRITICAL_STREAM", "STOP_SENDING")

    def _on_datagram(self, data):
        r = Reader(data)
        try:
            quarter = r.varint()
        except Truncated:
            raise H3Error("H3_DATAGRAM_ERROR", "no quarter stream id") from None
        if quarter >= 1 << 60:
            raise H3Error("H3_DATAGRAM_ERROR", "quarter stream id out of range")
        exchange = self.exchanges.get(4 * quarter)
        if exchange is None:
            self.stray_datagrams += 1
        else:
            exchange.datagrams.append(r.rest())

    # ---- unidirectional streams

    def _on_uni(self, stream, data, fin):
        uni = self._uni.setdefault(stream, UniStream())
        uni.input += data
        if uni.kind is None:
            r = Reader(uni.input)
            try:
                uni.kind = r.varint()
            except Truncated:
                return
            uni.input = r.rest()
            self._on_uni_kind(stream, uni.kind)
        if fin and stream in self._critical.values():
            raise H3Error("H3_CLOSED_CRITICAL_STREAM", "stream type %d ended" % uni.kind)
        if uni.kind == CONTROL:
            self._read_control(uni)
        elif uni.kind == QPACK_ENCODER and uni.input.strip(b"\x20"):
            raise H3Error("QPACK_ENCODER_STREAM_ERROR", "insertion into a table of capacity 0")
        elif uni.kind == QPACK_DECODER:
            self._read_qpack_decoder(uni)
        else:
            uni.input = b""

    def _read_qpack_decoder(self, uni):
        """Only Stream Cancellation can come: there is nothing to acknowledge (RFC 9204 4.4)."""
        while uni.input:
            r = Reader(uni.input)
            first = r.uint(1)
            if first & 0xc0 != 0x40:
                raise H3Error("QPACK_DECODER_STREAM_ERROR", "nothing to acknowledge")
            try:
                qpack.decode_integer(r, first, 6)
            except Truncated:
                return
            uni.input = r.rest()

    def _on_uni_kind(self, stream, kind):
        if kind == PUSH:
            raise H3Error("H3_ID_ERROR", "push was not allowed")
        if kind in (CONTROL, QPACK_ENCODER, QPACK_DECODER):
            if kind in self._critical:
                raise H3Error("H3_STREAM_CREATION_ERROR", "stream type %d twice" % kind)
            self._critical[kind] = stream

    def _read_control(self, uni):
        while True:
            r = Reader(uni.input)
            try:
                kind, length = r.varint(), r.varint()
                if length > FRAME_MAX:
                    raise H3Error("H3_EXCESSIVE_LOAD", "frame of %d bytes" % length)
                payload = r.bytes(length)
            except Truncated:
                return
            uni.input = r.rest()
            self._on_control_frame(kind, payload)

    def _on_control_frame(self, kind, payload):
        if self.peer_settings is None and kind != SETTINGS:
            raise H3Error("H3_MISSING_SETTINGS", "frame %d comes first" % kind)
        if kind == SETTINGS:
            self._on_settings(Reader(payload))
        elif kind == GOAWAY:
            r = Reader(payload)
            ident = r.varint()
            if r.left():
                raise H3Error("H3_FRAME_ERROR", "GOAWAY")
            if ident % 4 or self.goaway is not None and ident > self.goaway:
                raise H3Error("H3_ID_ERROR", "GOAWAY %d" % ident)
            self.goaway = ident
        elif kind == CANCEL_PUSH:
            raise H3Error("H3_ID_ERROR", "CANCEL_PUSH")
        elif kind in (DATA, HEADERS, PUSH_PROMISE, MAX_PUSH_ID) or kind in HTTP2_FRAMES:
            raise H3Error("H3_FRAME_UNEXPECTED", "frame %d on the control stream" % kind)

    def _on_settings(self, r):
        if self.peer_settings is not None:
            raise H3Error("H3_FRAME_UNEXPECTED", "SETTINGS twice")
        got = {}
        while r.left():
            ident, value = r.varint(), r.varint()
            if ident in got or ident in HTTP2_SETTINGS:
                raise H3Error("H3_SETTINGS_ERROR", "setting 0x%x" % ident)
            if ident in (S_EXTENDED_CONNECT, S_H3_DATAGRAM) and value > 1:
                raise H3Error("H3_SETTINGS_ERROR", "setting 0x%x is %d" % (ident, value))
            got[ident] = value
        self.peer_settings = got

    # ---- responses

    def _on_response(self, x, data, fin):
        x._input += data
        while x._input:
            if x._left:
                taken = x._input[:x._left]
                x.body += taken
                x._left -= len(taken)
                x._input = x._input[len(taken):]
                continue
            r = Reader(x._input)
            try:
                kind, length = r.varint(), r.varint()
                if kind == DATA:
                    self._on_data_frame(x)
                    x._left, x._input = length, r.rest()
                    continue
                if length > FRAME_MAX:
                    raise H3Error("H3_EXCESSIVE_LOAD", "frame of %d bytes" % length)
                payload = r.bytes(length)
            except Truncated:
                break
            x._input = r.rest()
            self._on_response_frame(x, kind, payload)
        if fin:
            if x._input or x._left:
                raise H3Error("H3_FRAME_ERROR", "stream ends inside a frame")
            if x.status is None:
                raise H3Error("H3_MESSAGE_ERROR", "stream ends without a final response")
            x.ended = True

    def _on_data_frame(self, x):
        if x.status is None or x.trailers is not None:
            raise H3Error("H3_FRAME_UNEXPECTED", "DATA out of order")

    def _on_response_frame(self, x, kind, payload):
        if kind == HEADERS:
            try:
                self._on_fields(x, qpack.decode(payload))
            except qpack.QpackError as e:
                raise H3Error("QPACK_DECOMPRESSION_FAILED", str(e)) from None
        elif kind == PUSH_PROMISE:
            raise H3Error("H3_ID_ERROR", "push was not allowed")
        elif kind in (CANCEL_PUSH, SETTINGS, GOAWAY, MAX_PUSH_ID) or kind in HTTP2_FRAMES:
            raise H3Error("H3_FRAME_UNEXPECTED", "frame %d on a request stream" % kind)

    def _on_fields(self, x, fields):
        """RFC 9114 4.2, 4.3.2: one :status, before the regular fields, and no other of its kind."""
        names = [n for n, _ in fields]
        if any(n != n.lower() or n in CONNECTION_FIELDS or not n for n in names):
            raise H3Error("H3_MESSAGE_ERROR", "field name not allowed in HTTP/3")
        pseudo = [n for n in names if n.startswith(b":")]
        if x.status is not None:
            if x.trailers is not None or pseudo:
                raise H3Error("H3_FRAME_UNEXPECTED" if not pseudo else "H3_MESSAGE_ERROR",
                              "HEADERS after the response")
            x.trailers = fields
            return
        status = fields[0][1] if fields else b""
        if pseudo != [b":status"] or names[0] != b":status" or len(status) != 3 \
                or not status.isdigit():
            raise H3Error("H3_MESSAGE_ERROR", "pseudo-header fields %s" % pseudo)
        if status.startswith(b"1"):
            x.interim.append(int(status))
        else:
            x.status, x.fields = int(status), fields[1:]
