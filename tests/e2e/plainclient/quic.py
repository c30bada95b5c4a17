"""A QUIC version 1 client connection (RFC 9000, RFC 9001, RFC 9221) without I/O.

The owner gives it datagrams (receive), asks it for datagrams (send) and calls on_timer when
timer() has passed; times are seconds of any monotonic clock. What happened is appended to
`events` as tuples:

    ("handshake",)                     1-RTT keys are there
    ("confirmed",)                     HANDSHAKE_DONE
    ("stream", id, bytes, end)         bytes in order; end: the stream ended with them
    ("reset", id, code)                the peer reset its side
    ("stop", id, code)                 the peer sent STOP_SENDING
    ("datagram", bytes)
    ("closed", CloseInfo)              nothing comes after this one

Limits: 256 packets in flight instead of congestion control, no key update, no migration.
"""

import collections
import os

from . import frames, packet, params, tls13
from .crypto import AES_128_GCM, PacketKeys, initial_secrets, retry_tag
from .errors import QuicError, h3_name, transport_name
from .recovery import WINDOW, Recovery, SentPacket, Space
from .streams import CRYPTO_WINDOW, ReceiveSide, SendSide

INITIAL, HANDSHAKE, APPLICATION = tls13.INITIAL, tls13.HANDSHAKE, tls13.APPLICATION
LEVEL_OF = {packet.INITIAL: INITIAL, packet.HANDSHAKE: HANDSHAKE, packet.ONE_RTT: APPLICATION}
INITIAL_DATAGRAM = 1200
CONNECTION_WINDOW, STREAM_WINDOW, UNI_STREAMS = 1 << 20, 1 << 18, 16
UNDECRYPTABLE_MAX = 16


class CloseInfo:
    """Why the connection ended. kind: "peer", "local", "idle", "reset", "version"."""

    def __init__(self, kind, code=None, application=False, reason="", frame_type=None):
        self.kind, self.code, self.application = kind, code, application
        self.reason, self.frame_type = reason, frame_type

    def __str__(self):
        if self.code is None:
            return "%s %s" % (self.kind, self.reason)
        name = h3_name(self.code) if self.application else transport_name(self.code)
        return "%s: %s%s" % (self.kind, name, " (%s)" % self.reason if self.reason else "")


class Connection:
    def __init__(self, tls_config, udp_payload=1452, idle_timeout=30.0, extra_params=None):
        """udp_payload: largest UDP payload to send. extra_params: transport parameters that
        replace or join ours (None as a value removes one)."""
        self.events = collections.deque()
        self.closed = None
        self.confirmed = self._announced = False
        self.peer = None                       # the server's transport parameters
        self.udp_payload = udp_payload
        self.scid, self.original_dcid = os.urandom(8), os.urandom(8)
        self.dcid = self.original_dcid
        self._retry_scid = None
        self._token = b""
        self._peer_cids = {}                   # sequence -> (id, reset token)
        self._reset_tokens = set()
        self.params = self._own_params(idle_timeout, extra_params or {})
        self._idle = idle_timeout
        self._last_activity = self._last_eliciting = 0.0
        self.tls = tls13.Tls13Client(tls_config, params.encode(self.params))
        self.recovery = Recovery()
        self.spaces = [Space(), Space(), Space()]
        self._tx, self._rx = [None] * 3, [None] * 3
        self._crypto_out = [SendSide(1 << 62) for _ in range(3)]
        self._crypto_in = [ReceiveSide(CRYPTO_WINDOW) for _ in range(3)]
        self._control = collections.deque()    # encoded frames to send reliably
        self._datagrams = collections.deque()
        self._pings, self._pongs = 0, set()
        self._undecryptable = []
        self._send_sides, self._receive_sides = {}, {}
        self._next_stream = {"bidi": 0, "uni": 2}
        self._max_data = self._data_sent = 0
        self._max_streams = {"bidi": 0, "uni": 0}
        self._receive_limit, self._received = self.params.get("initial_max_data", 0), 0
        self._delivered = 0
        self._close_frame = None

    def _own_params(self, idle_timeout, extra):
        out = {
            "max_idle_timeout": int(idle_timeout * 1000), "initial_max_data": CONNECTION_WINDOW,
            "initial_max_stream_data_bidi_local": STREAM_WINDOW,
            "initial_max_stream_data_uni": STREAM_WINDOW, "initial_max_streams_uni": UNI_STREAMS,
            "max_datagram_frame_size": 65535, "initial_source_connection_id": self.scid,
        }
        out.update(extra)
        return {k: v for k, v in out.items() if v is not None}

    # ---- life

    def start(self, now):
        self._last_activity = self._last_eliciting = now
        self._install_initial()
        self.tls.start()
        self._drain_tls()

    def _install_initial(self):
        client, server = initial_secrets(self.dcid)
        self._tx[INITIAL] = PacketKeys(AES_128_GCM, client)
        self._rx[INITIAL] = PacketKeys(AES_128_GCM, server)

    def close(self, code=0x100, reason="", application=True, frame_type=0):
        """Send CONNECTION_CLOSE with the next send() and stop. Does nothing when closed."""
        if not self.closed:
            self._close_frame = (application, code, frame_type, reason.encode())
            self._on_closed(CloseInfo("local", code, application, reason, frame_type))

    def _on_closed(self, info):
        if not self.closed:
            self.closed = info
            self.events.append(("closed", info))

    # ---- what the application does

    def open_stream(self, bidi=True):
        """Returns the new stream's number, or None when the peer's limit is reached."""
        kind = "bidi" if bidi else "uni"
        stream = self._next_stream[kind]
        if stream // 4 >= self._max_streams[kind]:
            return None
        self._next_stream[kind] += 4
        limit = self.peer["initial_max_stream_data_" + ("bidi_remote" if bidi else "uni")]
        self._send_sides[stream] = SendSide(limit)
        if bidi:
            self._receive_sides[stream] = \
                ReceiveSide(self.params.get("initial_max_stream_data_bidi_local", 0))
        return stream

    def write(self, stream, data, fin=False):
        self._send_sides[stream].write(data, fin)

    def reset_stream(self, stream, code):
        side = self._send_sides[stream]
        side.forget()
        self.queue_frame(frames.numbers(0x04, stream, code, side.sent))

    def stop_sending(self, stream, code):
        self.queue_frame(frames.numbers(0x05, stream, code))

    def queue_frame(self, encoded):
        """Send an encoded frame, again when it is lost. Any frame: nothing is checked."""
        self._control.append(encoded)

    def send_datagram(self, data):
        """Returns False when the DATAGRAM fits neither the packet nor what the peer takes."""
        limit = min(self.datagram_room(), self.peer["max_datagram_frame_size"])
        if len(frames.datagram(data)) > limit:
            return False
        self._datagrams.append(frames.datagram(data))
        return True

    def datagram_room(self):
        """Bytes for a DATAGRAM frame, its header included, in a packet of its own."""
        return min(self.udp_payload, self.peer["max_udp_payload_size"]) - 1 - len(self.dcid) - 20

    def ping(self):
        """Queue a PING; ponged(number) tells when it was acknowledged."""
        self._pings += 1
        self._control.append(("ping", self._pings))
        return self._pings

    def ponged(self, number):
        return number in self._pongs

    # ---- receiving

    def receive(self, datagram, now):
        if self.closed:
            return
        try:
            for header in packet.split(datagram, len(self.scid)):
                self._on_packet(header, datagram, now)
                if self.closed:
                    break
        except QuicError as e:
            self.close(e.code, e.reason, False, e.frame_type)

    def _on_packet(self, header, datagram, now):
        if header.kind == packet.NEGOTIATION:
            if packet.VERSION_1 not in header.versions and self._rx[HANDSHAKE] is None:
                self._on_closed(CloseInfo("version", reason="offered %s" % header.versions))
            return
        if header.kind == packet.RETRY:
            self._on_retry(header)
            return
        level = LEVEL_OF.get(header.kind)
        if level is None or header.dcid != self.scid and level != APPLICATION:
            return
        if self._rx[level] is None:
            if level != INITIAL and not self.confirmed and \
                    len(self._undecryptable) < UNDECRYPTABLE_MAX:
                self._undecryptable.append(header)
            return
        space = self.spaces[level]
        opened = self._rx[level].unprotect(header.packet, header.pn_offset,
                                           space.largest_received + 1)
        if opened is None:
            if level == APPLICATION and datagram[-16:] in self._reset_tokens:
                self._on_closed(CloseInfo("reset", reason="stateless reset"))
            return
        first, pn, payload = opened
        if first & (0x0c if first & 0x80 else 0x18):
            raise QuicError(0x0a, "reserved bits set")
        if level == INITIAL and self.dcid in (self.original_dcid, self._retry_scid):
            self.dcid = header.scid
        self._on_payload(level, pn, frames.parse(payload), now)

    def _on_retry(self, header):
        """RFC 9000 17.2.5.2: one Retry, before anything else, with a right tag."""
        tag = retry_tag(self.original_dcid, header.packet[:-16])
        if self._retry_scid is not None or self.dcid != self.original_dcid \
                or header.packet[-16:] != tag or not header.token:
            return
        self._retry_scid = self.dcid = header.scid
        self._token = header.token
        self._install_initial()
        for sent in self.spaces[INITIAL].sent.values():
            self._requeue(INITIAL, sent.frames)
        self.spaces[INITIAL].sent.clear()

    def _on_payload(self, level, pn, parsed, now):
        space = self.spaces[level]
        self._last_activity = now
        eliciting = any(f[0] not in frames.NOT_ELICITING for f in parsed)
        if not space.on_received(pn, eliciting):
            space.ack_due |= eliciting
            return
        for frame in parsed:
            if level != APPLICATION and frame[0] not in frames.HANDSHAKE_FRAMES:
                raise QuicError(0x0a, "%s at the wrong level" % frame[0])
            getattr(self, "_on_" + frame[0])(level, now, *frame[1:])
            if self.closed:
                return
        self._drain_tls()
        if level == HANDSHAKE or self.tls.complete:
            self._retry_undecryptable(now)

    def _retry_undecryptable(self, now):
        waiting, self._undecryptable = self._undecryptable, []
        for header in waiting:
            if not self.closed:
                self._on_packet(header, header.packet, now)

    def _drain_tls(self):
        for level, data in self.tls.outbox:
            self._crypto_out[level].write(data)
        self.tls.outbox.clear()
        for level, direction, suite, secret in self.tls.secrets:
            keys = self._tx if direction == "tx" else self._rx
            keys[level] = PacketKeys(suite, secret)
        self.tls.secrets.clear()
        if self.tls.peer_transport_parameters is not None and self.peer is None:
            self._on_peer_params(params.decode(self.tls.peer_transport_parameters))
        if self._tx[APPLICATION] and not self._announced:
            self._announced = True
            self.events.append(("handshake",))

    def _on_peer_params(self, p):
        if p.get("original_destination_connection_id") != self.original_dcid \
                or p.get("initial_source_connection_id") != self.dcid \
                or p.get("retry_source_connection_id") != self._retry_scid:
            raise QuicError(0x08, "connection IDs in transport parameters do not match")
        self.peer = p
        self._max_data = p["initial_max_data"]
        self._max_streams = {"bidi": p["initial_max_streams_bidi"],
                             "uni": p["initial_max_streams_uni"]}
        self.recovery.max_ack_delay = p["max_ack_delay"] / 1000
        if "stateless_reset_token" in p:
            self._reset_tokens.add(p["stateless_reset_token"])
        self._peer_cids[0] = (self.dcid, p.get("stateless_reset_token"))
        if p["max_idle_timeout"]:
            self._idle = min(self._idle, p["max_idle_timeout"] / 1000)

    # ---- frames, named after the first element of their tuple

    def _on_padding(self, level, now):
        pass

    def _on_ping(self, level, now):
        pass

    def _on_ack(self, level, now, largest, delay, ranges):
        space = self.spaces[level]
        if largest >= space.next_pn:
            raise QuicError(0x0a, "ACK of a packet that was never sent", 2)
        exponent = self.peer["ack_delay_exponent"] if self.peer and level == APPLICATION else 3
        acked, lost = self.recovery.on_ack(space, ranges, (delay << exponent) / 1e6, now)
        for sent in acked:
            for f in sent.frames:
                if f[0] == "crypto":
                    self._crypto_out[level].on_acked(f[1], f[2], False)
                elif f[0] == "stream":
                    self._send_sides[f[1]].on_acked(f[2], f[3], f[4])
                elif f[0] == "ping":
                    self._pongs.add(f[1])
        for sent in lost:
            self._requeue(level, sent.frames)

    def _requeue(self, level, sent_frames):
        """Make due again what a lost packet carried. DATAGRAMs stay lost (RFC 9221 5.2)."""
        for f in sent_frames:
            if f[0] == "crypto":
                self._crypto_out[level].on_lost(f[1], f[2], False)
            elif f[0] == "stream":
                self._send_sides[f[1]].on_lost(f[2], f[3], f[4])
            elif f[0] == "control":
                self._control.append(f[1])
            elif f[0] == "ping" and f[1]:
                self._control.append(f)

    def _on_crypto(self, level, now, offset, data):
        side = self._crypto_in[level]
        side.limit = side.delivered + CRYPTO_WINDOW
        in_order, _ = side.receive(offset, data, False, 0x0d)
        if in_order:
            self.tls.receive(level, in_order)

    def _on_new_token(self, level, now, token):
        if not token:
            raise QuicError(0x07, "empty token", 0x07)

    def _receive_side(self, stream):
        """The receiving side of a stream, made when the server may open it and has not yet."""
        side = self._receive_sides.get(stream)
        if side is not None:
            return side
        if stream % 4 != 3:
            raise QuicError(0x04 if stream % 4 == 1 else 0x05, "stream %d" % stream)
        if stream // 4 >= self.params.get("initial_max_streams_uni", 0):
            raise QuicError(0x04, "stream %d is beyond the limit" % stream)
        side = ReceiveSide(self.params.get("initial_max_stream_data_uni", 0))
        self._receive_sides[stream] = side
        return side

    def _count_received(self, more):
        self._received += more
        if self._received > self._receive_limit:
            raise QuicError(0x03, "connection flow control")

    def _on_stream(self, level, now, stream, offset, data, fin):
        side = self._receive_side(stream)
        if side.ended:
            return
        before, delivered = side.highest, side.delivered
        in_order, ends = side.receive(offset, data, fin)
        self._count_received(side.highest - before)
        self._delivered += side.delivered - delivered
        if in_order or ends:
            self.events.append(("stream", stream, in_order, ends))
        if side.final is None and side.limit - side.delivered < STREAM_WINDOW // 2:
            side.limit = side.delivered + STREAM_WINDOW
            self.queue_frame(frames.numbers(0x11, stream, side.limit))
        self._widen()

    def _widen(self):
        if self._receive_limit - self._delivered < CONNECTION_WINDOW // 2:
            self._receive_limit = self._delivered + CONNECTION_WINDOW
            self.queue_frame(frames.numbers(0x10, self._receive_limit))

    def _on_reset_stream(self, level, now, stream, code, final):
        side = self._receive_side(stream)
        if side.ended:
            return
        before = side.highest
        side.reset(final)
        self._count_received(final - before)
        self._delivered += final - side.delivered
        self._widen()
        self.events.append(("reset", stream, code))

    def _on_stop_sending(self, level, now, stream, code):
        if stream not in self._send_sides:
            raise QuicError(0x05, "STOP_SENDING for stream %d" % stream, 5)
        side = self._send_sides[stream]
        if side.fin_at is None or side.due or side.fin_due:
            self.reset_stream(stream, code)
        self.events.append(("stop", stream, code))

    def _on_max_data(self, level, now, limit):
        self._max_data = max(self._max_data, limit)

    def _on_max_stream_data(self, level, now, stream, limit):
        if stream not in self._send_sides:
            raise QuicError(0x05, "MAX_STREAM_DATA for stream %d" % stream, 0x11)
        side = self._send_sides[stream]
        side.limit = max(side.limit, limit)

    def _on_max_streams_bidi(self, level, now, limit):
        self._max_streams["bidi"] = max(self._max_streams["bidi"], limit)

    def _on_max_streams_uni(self, level, now, limit):
        self._max_streams["uni"] = max(self._max_streams["uni"], limit)

    def _on_data_blocked(self, level, now, limit):
        pass

    def _on_stream_data_blocked(self, level, now, stream, limit):
        pass

    def _on_streams_blocked_bidi(self, level, now, limit):
        pass

    def _on_streams_blocked_uni(self, level, now, limit):
        pass

    def _on_new_connection_id(self, level, now, sequence, retire_prior_to, cid, token):
        if retire_prior_to > sequence or not 1 <= len(cid) <= 20:
            raise QuicError(0x07, "NEW_CONNECTION_ID", 0x18)
        self._peer_cids[sequence] = (cid, token)
        self._reset_tokens.add(token)
        for old in [s for s in self._peer_cids if s < retire_prior_to]:
            del self._peer_cids[old]
            self.queue_frame(frames.numbers(0x19, old))
        self.dcid = self._peer_cids[min(self._peer_cids)][0]
        if len(self._peer_cids) > self.params.get("active_connection_id_limit", 2):
            raise QuicError(0x09, "too many connection IDs", 0x18)

    def _on_retire_connection_id(self, level, now, sequence):
        raise QuicError(0x0a, "RETIRE_CONNECTION_ID of the only one", 0x19)

    def _on_path_challenge(self, level, now, data):
        self._control.append(b"\x1b" + data)

    def _on_path_response(self, level, now, data):
        raise QuicError(0x0a, "PATH_RESPONSE without a challenge", 0x1b)

    def _on_close(self, level, now, application, code, frame_type, reason):
        self._on_closed(CloseInfo("peer", code, application, reason.decode("utf-8", "replace"),
                                  frame_type))

    def _on_handshake_done(self, level, now):
        if not self.tls.complete:
            raise QuicError(0x0a, "HANDSHAKE_DONE too early", 0x1e)
        if not self.confirmed:
            self.confirmed = True
            self._discard(HANDSHAKE)
            self.events.append(("confirmed",))

    def _on_datagram(self, level, now, data):
        if not self.params.get("max_datagram_frame_size"):
            raise QuicError(0x0a, "DATAGRAM was not offered", 0x31)
        self.events.append(("datagram", data))

    def _discard(self, level):
        """RFC 9001 4.9: keys and packets of a finished level are thrown away."""
        self._tx[level] = self._rx[level] = None
        self.spaces[level] = Space()
        self._crypto_out[level] = SendSide(1 << 62)
        self.recovery.pto_count = 0

    # ---- sending

    def send(self, now):
        """All datagrams that are due."""
        out = []
        if self._close_frame:
            out.append(self._close_datagram())
            self._close_frame = None
        while not self.closed:
            datagram = self._one_datagram(now)
            if not datagram:
                break
            out.append(datagram)
        return out

    def _one_datagram(self, now):
        room = self.udp_payload if self.confirmed else INITIAL_DATAGRAM
        if self.peer:
            room = min(room, self.peer["max_udp_payload_size"])
        parts = []
        for level in (INITIAL, HANDSHAKE, APPLICATION):
            if self._tx[level] is None or level == APPLICATION and self._tx[INITIAL] and parts:
                continue
            overhead = self._overhead(level)
            payload, sent = self._fill(level, room - overhead)
            if payload:
                parts.append([level, payload, sent])
                room -= overhead + len(payload)
        if not parts:
            return b""
        if parts[0][0] == INITIAL:
            used = sum(self._overhead(level) + len(payload) for level, payload, _ in parts)
            parts[-1][1] += bytes(max(0, INITIAL_DATAGRAM - used))
        datagram = b"".join(self._seal(level, payload, sent, now) for level, payload, sent in parts)
        if any(level == HANDSHAKE for level, _, _ in parts) and self._tx[INITIAL]:
            self._discard(INITIAL)
        return datagram

    def _overhead(self, level):
        if level == APPLICATION:
            return len(packet.short_header(self.dcid, 0)) + 16
        kind = packet.INITIAL if level == INITIAL else packet.HANDSHAKE
        return len(packet.long_header(kind, self.dcid, self.scid, self._token, 0, 0)) + 16

    def _seal(self, level, payload, sent, now):
        space = self.spaces[level]
        pn, space.next_pn = space.next_pn, space.next_pn + 1
        if level == APPLICATION:
            header = packet.short_header(self.dcid, pn)
        else:
            kind = packet.INITIAL if level == INITIAL else packet.HANDSHAKE
            header = packet.long_header(kind, self.dcid, self.scid, self._token, pn, len(payload))
        if sent is not None:
            eliciting = any(f[0] != "ack" for f in sent)
            space.sent[pn] = SentPacket(pn, now, sent, eliciting)
            if eliciting:
                self._last_eliciting = now
        return self._tx[level].protect(header, pn, payload)

    def _fill(self, level, room):
        """Frames for one packet: (payload, what to remember of it)."""
        space = self.spaces[level]
        out, sent = b"", []
        if space.ack_due:
            space.ack_due = False
            out += frames.ack(space.received.ranges)
            sent.append(("ack",))
        if len(space.eliciting_in_flight()) >= WINDOW and not space.probes:
            return out, sent
        out = self._fill_crypto(level, room, out, sent)
        if level == APPLICATION:
            out = self._fill_control(room, out, sent)
            out = self._fill_datagrams(room, out, sent)
            out = self._fill_streams(room, out, sent)
        if space.probes:
            space.probes -= 1
            if not any(f[0] != "ack" for f in sent) and room > len(out):
                out += frames.PING
                sent.append(("ping", 0))
        return out, sent

    def _fill_crypto(self, level, room, out, sent):
        while room - len(out) > 16:
            chunk = self._crypto_out[level].take(room - len(out) - 12, 1 << 62)
            if chunk is None:
                break
            out += frames.crypto(chunk[0], chunk[1])
            sent.append(("crypto", chunk[0], len(chunk[1])))
        return out

    def _fill_control(self, room, out, sent):
        while self._control:
            frame = self._control[0]
            is_ping = isinstance(frame, tuple)
            encoded = frames.PING if is_ping else frame
            if len(out) + len(encoded) > room:
                break
            self._control.popleft()
            out += encoded
            sent.append(frame if is_ping else ("control", frame))
        return out

    def _fill_datagrams(self, room, out, sent):
        while self._datagrams and len(out) + len(self._datagrams[0]) <= room:
            out += self._datagrams.popleft()
            sent.append(("datagram",))
        return out

    def _fill_streams(self, room, out, sent):
        for stream, side in self._send_sides.items():
            while room - len(out) > 32:
                before = side.sent
                chunk = side.take(room - len(out) - 24, self._max_data - self._data_sent)
                if chunk is None:
                    break
                self._data_sent += side.sent - before
                out += frames.stream(stream, *chunk)
                sent.append(("stream", stream, chunk[0], len(chunk[1]), chunk[2]))
        return out

    def _close_datagram(self):
        """CONNECTION_CLOSE at every level that the server may still read (RFC 9000 10.2.3)."""
        application, code, frame_type, reason = self._close_frame
        out = b""
        levels = [APPLICATION] if self.confirmed else [INITIAL, HANDSHAKE, APPLICATION]
        levels = [level for level in levels if self._tx[level]]
        for level in levels:
            if application and level != APPLICATION:
                payload = frames.close(False, 0x0c, 0, b"")
            else:
                payload = frames.close(application, code, frame_type, reason[:200])
            if level == levels[-1] and levels[0] == INITIAL:
                payload += bytes(max(0, INITIAL_DATAGRAM - len(out) - len(payload)
                                     - self._overhead(level)))
            out += self._seal(level, payload, None, 0)
        return out

    # ---- time

    def timer(self):
        """When on_timer wants to be called, or None."""
        if self.closed:
            return None
        return min(t for t in (self._loss_timer(), self._pto_timer()[0],
                               self._last_activity + self._idle) if t is not None)

    def _loss_timer(self):
        return min((s.loss_time for s in self.spaces if s.loss_time is not None), default=None)

    def _pto_timer(self):
        """(time, level) of the next probe; (None, None) when there is nothing to probe for."""
        best = (None, None)
        for level, space in enumerate(self.spaces):
            waiting = space.eliciting_in_flight()
            if not waiting or level == APPLICATION and not self.confirmed:
                continue
            due = max(p.time for p in waiting) + self.recovery.pto(level == APPLICATION)
            if best[0] is None or due < best[0]:
                best = (due, level)
        if best[0] is None and not self.confirmed:
            level = HANDSHAKE if self._tx[HANDSHAKE] else INITIAL
            return self._last_eliciting + self.recovery.pto(False), level
        return best

    def on_timer(self, now):
        if self.closed:
            return
        if now >= self._last_activity + self._idle:
            self._on_closed(CloseInfo("idle", reason="nothing received for %gs" % self._idle))
            return
        for level, space in enumerate(self.spaces):
            if space.loss_time is not None and now >= space.loss_time:
                for sent in self.recovery.detect_lost(space, now):
                    self._requeue(level, sent.frames)
                return
        due, level = self._pto_timer()
        if due is not None and now >= due:
            self._on_pto(level, now)

    def _on_pto(self, level, now):
        """Send the oldest unacknowledged data once more, or a PING (RFC 9002 6.2.4)."""
        self.recovery.pto_count += 1
        self._last_eliciting = now
        space = self.spaces[level]
        space.probes = 1
        for sent in sorted(space.eliciting_in_flight(), key=lambda p: p.pn)[:2]:
            self._requeue(level, sent.frames)
