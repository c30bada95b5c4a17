"""A blocking client on one UDP socket: the layers below plus a clock, a socket and waiting."""

import ipaddress
import os
import select
import socket
import time

from . import frames, ippkt, masque
from .h3 import Http3, OUR_SETTINGS
from .masque import CapsuleError, IpTunnel
from .quic import Connection

H3_NO_ERROR = 0x100
IP_MTU_DISCOVER, IP_PMTUDISC_DO, IPV6_MTU_DISCOVER = 10, 2, 23


class Timeout(Exception):
    """What was waited for did not happen in time."""


class ConnectionLost(Exception):
    """The connection ended while something was waited for. info: the CloseInfo."""

    def __init__(self, info):
        super().__init__(str(info))
        self.info = info


class Client:
    """One connection to a hub.

    tls: TlsConfig. token: text of a bearer token, sent with connect_ip(). authority: the
    :authority of requests. drop(direction, datagram) -> bool makes the link lossy: "tx" or "rx".
    make_socket: what is called for the socket, e.g. one in another network namespace. The
    remaining arguments are those of Connection and Http3.
    """

    def __init__(self, host, port, tls, token=None, authority=None, drop=None, udp_payload=1452,
                 idle_timeout=30.0, extra_params=None, settings=OUR_SETTINGS, control=None,
                 qpack_streams=True, make_socket=socket.socket):
        self.quic = Connection(tls, udp_payload, idle_timeout, extra_params)
        self.h3 = Http3(self.quic, settings, control, qpack_streams)
        self.token = token
        bracketed = "[%s]" % host if ":" in host else host
        self.authority = authority or "%s:%d" % (bracketed, port)
        self.tunnels = {}              # stream -> IpTunnel
        self._drop = drop
        self._socket = self._open_socket(host, port, make_socket)
        self._keylog = os.environ.get("SSLKEYLOGFILE")

    @staticmethod
    def _open_socket(host, port, make_socket):
        family, kind, proto, _, address = \
            socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        s = make_socket(family, kind, proto)
        if family == socket.AF_INET:
            s.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
        else:
            s.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, IP_PMTUDISC_DO)
        s.connect(address)
        s.setblocking(False)
        return s

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    # ---- the loop

    def wait(self, condition, timeout=5.0):
        """Run the connection until condition() holds. Raises Timeout or ConnectionLost."""
        deadline = time.monotonic() + timeout
        while True:
            self._dispatch()
            if condition():
                return
            if self.quic.closed:
                raise ConnectionLost(self.quic.closed)
            now = time.monotonic()
            if now >= deadline:
                raise Timeout("nothing within %g s" % timeout)
            self._step(min(deadline, self.quic.timer()) - now)

    def _step(self, seconds):
        """Send what is due, then wait for a datagram or the timer and handle it."""
        self._flush()
        if select.select([self._socket], [], [], max(0.0, seconds))[0]:
            self._read()
        now = time.monotonic()
        timer = self.quic.timer()
        if timer is not None and now >= timer:
            self.quic.on_timer(now)
        self._flush()

    def _read(self):
        for _ in range(64):
            try:
                data = self._socket.recv(65536)
            except (BlockingIOError, ConnectionRefusedError):
                return
            if not (self._drop and self._drop("rx", data)):
                self.quic.receive(data, time.monotonic())

    def _flush(self):
        for datagram in self.quic.send(time.monotonic()):
            if not (self._drop and self._drop("tx", datagram)):
                try:
                    self._socket.send(datagram)
                except (ConnectionRefusedError, BlockingIOError):
                    pass
        if self._keylog and self.quic.tls.keylog:
            with open(self._keylog, "a") as f:
                f.write("".join(line + "\n" for line in self.quic.tls.keylog))
            self.quic.tls.keylog.clear()

    def _dispatch(self):
        while self.quic.events:
            self.h3.on_event(self.quic.events.popleft())
        for stream, tunnel in self.tunnels.items():
            x = self.h3.exchanges[stream]
            if x.body:
                body, x.body = x.body, b""
                tunnel.feed(body)

    # ---- life

    def connect(self, timeout=5.0, settings=True):
        """Handshake until the server confirms it and, if `settings`, its SETTINGS are here."""
        self.quic.start(time.monotonic())
        self.wait(lambda: self.quic.confirmed and
                  (not settings or self.h3.peer_settings is not None), timeout)
        return self

    @property
    def closed(self):
        """The CloseInfo once the connection has ended, else None."""
        return self.quic.closed

    def close(self, code=0x100, reason=""):
        """Send CONNECTION_CLOSE and close the socket. May be called twice."""
        if self._socket.fileno() < 0:
            return
        self.quic.close(code, reason)
        self._flush()
        self._socket.close()

    def vanish(self):
        """Close the socket without a word, as a crash would."""
        self._socket.close()

    def roundtrip(self, timeout=5.0):
        """Wait until the server has acknowledged everything sent so far, by a PING."""
        number = self.quic.ping()
        self.wait(lambda: self.quic.ponged(number), timeout)

    # ---- HTTP

    def open(self, fields, fin=True, raw=None, timeout=5.0):
        """Send a request and return its Exchange at once (after the stream limit permits)."""
        box = []

        def try_open():
            x = self.h3.request(fields, fin, raw)
            if x is not None:
                box.append(x)
            return bool(box)
        self.wait(try_open, timeout)
        self._flush()
        return box[0]

    def request(self, fields, fin=True, raw=None, timeout=5.0):
        """Send a request and wait for its final response or the end of its stream. A server that
        needs no more of the request says STOP_SENDING with H3_NO_ERROR, before or after its
        response (RFC 9114 4.1)."""
        x = self.open(fields, fin, raw, timeout)
        self.wait(lambda: x.status is not None or x.over or x.stopped not in (None, H3_NO_ERROR),
                  timeout)
        return x

    def get(self, path="/", timeout=5.0):
        return self.request([(":method", "GET"), (":scheme", "https"),
                             (":authority", self.authority), (":path", path)], timeout=timeout)

    # ---- CONNECT-IP

    def connect_ip(self, path=masque.DEFAULT_PATH, protocol="connect-ip", extra=(), timeout=5.0):
        """Send a CONNECT-IP request; returns its Exchange with the response's status."""
        if not self.h3.peer_settings or self.h3.peer_settings.get(0x08) != 1:
            raise Timeout("the server offers no Extended CONNECT")
        fields = masque.connect_fields(self.authority, path, self.token, protocol, extra)
        x = self.open(fields, fin=False, timeout=timeout)
        self.tunnels[x.stream] = IpTunnel()
        self.wait(lambda: x.status is not None or x.over, timeout)
        return x

    def tunnel(self, exchange):
        """The IpTunnel that holds the capsules received on this exchange."""
        return self.tunnels[exchange.stream]

    def send_capsule(self, exchange, kind, value):
        self.send_stream(exchange, masque.capsule(kind, value))

    def send_stream(self, exchange, data, fin=False):
        """Bytes inside one DATA frame."""
        self.h3.send_data(exchange, data, fin)
        self._flush()

    def request_addresses(self, exchange, *addresses, timeout=5.0):
        """Send an ADDRESS_REQUEST and return the ADDRESS_ASSIGN that answers all its ids."""
        tunnel = self.tunnel(exchange)
        wanted = {a.request_id for a in addresses}
        self.send_stream(exchange, masque.address_request(*addresses))

        def answered():
            return exchange.over or any(wanted <= {a.request_id for a in assign}
                                        for assign in tunnel.assigns)
        self.wait(answered, timeout)
        for assign in tunnel.assigns:
            if wanted <= {a.request_id for a in assign}:
                return assign
        raise CapsuleError("the stream ended instead of an answer")

    def wait_routes(self, exchange, timeout=5.0):
        tunnel = self.tunnel(exchange)
        self.wait(lambda: tunnel.routes or exchange.over, timeout)
        return tunnel.routes[-1] if tunnel.routes else []

    def send_datagram(self, exchange, payload, context=0):
        """One HTTP Datagram; False when it is too large for this connection."""
        sent = self.h3.send_datagram(exchange, masque.with_context(context, payload))
        self._flush()
        return sent

    def send_raw_datagram(self, data):
        """A DATAGRAM frame with exactly these bytes."""
        self.quic.queue_frame(frames.datagram(data))
        self._flush()

    def recv_datagram(self, exchange, timeout=5.0, match=None):
        """The next IP packet in context 0 for which match(packet) holds. Others are dropped."""
        box = []

        def look():
            while exchange.datagrams and not box:
                context, packet = masque.split_context(exchange.datagrams.pop(0))
                if context == 0 and (match is None or match(packet)):
                    box.append(packet)
            return bool(box)
        self.wait(look, timeout)
        return box[0]

    def ping(self, exchange, src, dst, payload=b"plainclient", ident=None, sequence=1,
             timeout=2.0, tries=3):
        """An ICMP echo through the tunnel, checked byte for byte. Returns the round-trip time
        in seconds. Raises ValueError for a wrong reply, Timeout for none."""
        ident = os.getpid() & 0xffff if ident is None else ident
        src, dst = ipaddress.ip_address(src), ipaddress.ip_address(dst)
        head, answer = (20, 0) if src.version == 4 else (40, 129)
        for n in range(tries):
            request = ippkt.echo_request(src, dst, ident, sequence + n, payload)
            start = time.monotonic()
            if not self.send_datagram(exchange, request):
                raise ValueError("a packet of %d bytes does not fit" % len(request))
            try:
                reply = self.recv_datagram(
                    exchange, timeout, lambda p: len(p) > head and p[head] == answer and
                    p[head + 4:head + 8] == request[head + 4:head + 8])
            except Timeout:
                continue
            ippkt.check_echo_reply(reply, request)
            return time.monotonic() - start
        raise Timeout("no echo reply from %s" % dst)
