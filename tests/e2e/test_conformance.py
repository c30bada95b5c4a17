"""A hub against the RFCs, as the second client in plainclient/ reads them.

    one namespace:   plainclient --- lo, UDP 45001 --- mpquic tunnel (hub) --- mpq1 --- kernel

The client puts IP packets into datagrams itself; what answers them is the kernel behind the hub's
TUN interface.
"""
import ctypes
import ipaddress
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

from plainclient import Client, ConnectionLost, Timeout, TlsConfig, cases, ippkt, masque
from plainclient.masque import Address
from plainclient.minica import Authority
from plainclient.tls13 import P256, X25519

HOST, PORT = "127.0.0.1", 45001
HUB4, HUB6 = ipaddress.ip_address("10.200.1.2"), ipaddress.ip_address("fd00:200:1::2")
EDGE4, EDGE6 = ipaddress.ip_address("10.200.1.1"), ipaddress.ip_address("fd00:200:1::1")
ANY4, ANY6 = Address(1, "0.0.0.0/32"), Address(2, "::/128")
BEHIND = "172.16.1.0/30"
TOKEN = "correct-horse-battery-staple"


# ---- the namespace and the hub in it

class Namespace:
    def __init__(self, name):
        self.name = name

    def ip(self, *args):
        subprocess.run(["ip", "-n", self.name, *args], check=True, capture_output=True)

    def socket(self, *args):
        """A socket that lives in the namespace. Namespaces belong to threads, so that a thread
        of its own can enter this one and leave the rest of the process where it is."""
        made = []

        def make():
            libc = ctypes.CDLL(None, use_errno=True)
            with open("/run/netns/" + self.name, "rb") as f:
                if libc.setns(f.fileno(), 0x40000000):
                    made.append(OSError(ctypes.get_errno(), "setns"))
                else:
                    made.append(socket.socket(*args))
        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        if isinstance(made[0], OSError):
            raise made[0]
        return made[0]


class Hub:
    """One `mpquic tunnel` in the role of the server. Started where `with` begins."""

    def __init__(self, mpquic, namespace, pki, directory, **keys):
        self.mpquic, self.namespace, self.pki = mpquic, namespace, pki
        self.log = directory / "hub.log"
        self.config = directory / "hub.yaml"
        keys = {"role": "server", "bind_ip": HOST, "remote_port": PORT, "tun_name": "mpq1",
                "tun_cidr": f"[{HUB4}/30, {HUB6}/126]",
                "tls_cert_file": pki["hub"][0], "tls_key_file": pki["hub"][1]} | keys
        self.config.write_text("".join(f"{k}: {v}\n" for k, v in keys.items()))
        self.port, self.process = keys["remote_port"], None

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                ["ip", "netns", "exec", self.namespace.name, str(self.mpquic), "tunnel", "-c",
                 str(self.config)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, "MPQUIC_RUN_DIR": str(self.config.parent / "run"),
                     "MPQUIC_STATE_DIR": str(self.config.parent / "state")})
        return self

    def stop(self, sig=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(sig)
        return self.process.wait(10)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def tls(self, who=None, **more):
        cert, key = self.pki[who] if who else (None, None)
        return TlsConfig(HOST, self.pki["ca"], cert, key, **more)

    def client(self, who="edge", tls=None, **more):
        """A client that is not connected yet."""
        return Client(HOST, self.port, tls or self.tls(who),
                      make_socket=self.namespace.socket, **more)

    def connected(self, who="edge", **more):
        """A connected client; the hub may still be starting."""
        client = self.client(who, **more)
        try:
            return client.connect(20)
        except Timeout:
            raise AssertionError(f"the hub does not answer:\n{self.log.read_text()}") from None

    def ready(self, who="edge", **more):
        with self.connected(who, **more):
            return self


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    directory = tmp_path_factory.mktemp("pki")
    own, foreign = Authority(directory / "own"), Authority(directory / "foreign", "another")
    return {"ca": own.file, "hub": own.issue("hub", [HOST, "hub.example"]),
            "edge": own.issue("edge"), "edge2": own.issue("edge2"),
            "rsa": own.issue("edge-rsa", kind="rsa"),
            "expired": own.issue("edge-expired", expired=True), "foreign": foreign.issue("edge")}


@pytest.fixture(scope="module")
def namespace(lab_name):
    name = f"mpq-{lab_name}-conf"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        space = Namespace(name)
        space.ip("link", "set", "lo", "up")
        yield space
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.fixture(scope="module")
def hub(mpquic, namespace, pki, tmp_path_factory):
    """A hub that asks for certificates."""
    with Hub(mpquic, namespace, pki, tmp_path_factory.mktemp("hub"), tls_ca_file=pki["ca"],
             peer_prefixes=f"[{BEHIND}]") as hub:
        yield hub.ready()
        assert hub.process.poll() is None, hub.log.read_text()
    assert hub.process.returncode == 0, hub.log.read_text()


@pytest.fixture
def tunnel(hub):
    """(client, exchange) with an accepted CONNECT-IP request."""
    with hub.connected() as client:
        x = client.connect_ip()
        assert x.status == 200
        yield client, x


# ---- requests and abuses

@pytest.mark.parametrize("name", cases.CASES)
def test_case(hub, name):
    facts = cases.run_case(name, HOST, PORT, hub.tls("edge"), make_socket=hub.namespace.socket)
    case = cases.CASES[name]
    assert cases.acceptable(name, facts), \
        f"{case.rfc}: expected {' or '.join(case.expect)}, got {', '.join(sorted(facts))}"
    assert hub.process.poll() is None, hub.log.read_text()


# ---- what a hub offers

def test_settings_and_transport_parameters(hub):
    with hub.connected() as c:
        assert c.h3.peer_settings[0x08] == 1        # RFC 9220 3
        assert c.h3.peer_settings[0x33] == 1        # RFC 9297 2.1.1
        assert c.quic.peer["max_datagram_frame_size"] >= 1200   # RFC 9221 3
        assert c.quic.peer["initial_max_streams_bidi"] >= 1
        assert c.quic.tls.alpn == b"h3"


def test_unknown_transport_parameters_are_ignored(hub):
    with hub.connected(extra_params={31 * 7 + 27: b"grease", 0x7fff: b""}) as c:
        assert c.connect_ip().status == 200


def test_response_fields(tunnel):
    client, x = tunnel
    assert x.field("capsule-protocol") == "?1"      # RFC 9297 3.4
    for name in ("content-length", "content-type", "transfer-encoding"):
        assert x.field(name) is None                # RFC 9297 3.2
    refused = client.get("/")
    assert refused.field("capsule-protocol") is None


def test_405_names_the_allowed_method(hub):
    with hub.connected() as c:
        x = c.get(masque.DEFAULT_PATH)
        assert x.status == 405 and x.field("allow") == "CONNECT"    # RFC 9110 15.5.6


# ---- addresses (RFC 9484 4.7.1, 4.7.2)

def test_addresses_are_assigned_without_asking(tunnel):
    client, x = tunnel
    client.wait(lambda: client.tunnel(x).assigns)
    first = client.tunnel(x).assigns[0]
    assert {(a.request_id, a.ip) for a in first} == {(0, EDGE4), (0, EDGE6)}
    assert all(a.prefix.prefixlen == a.prefix.max_prefixlen for a in first)


def test_preferred_addresses_are_honoured(tunnel):
    client, x = tunnel
    got = client.request_addresses(x, Address(5, f"{EDGE4}/32"), Address(9, f"{EDGE6}/128"))
    assert {(a.request_id, str(a.prefix)) for a in got if a.request_id} == \
        {(5, f"{EDGE4}/32"), (9, f"{EDGE6}/128")}


def test_unspecified_addresses_mean_any(tunnel):
    client, x = tunnel
    got = {a.request_id: a for a in client.request_addresses(x, ANY4, ANY6)}
    assert (got[1].ip, got[2].ip) == (EDGE4, EDGE6)


def test_every_request_is_answered(tunnel):
    client, x = tunnel
    for request_id in (1, 2, 70, 20000, (1 << 62) - 1):
        got = client.request_addresses(x, Address(request_id, "0.0.0.0/32"))
        assert [a.ip for a in got if a.request_id == request_id] == [EDGE4]
        assert any(a.ip == EDGE6 for a in got), "the list must be the full list"


@pytest.mark.parametrize("wish", ["10.200.1.2/32", "10.200.1.0/32", "192.0.2.1/32", "10.0.0.0/8",
                                  "fd00:200:1::2/128", "2001:db8::/64"])
def test_an_address_that_is_not_free_is_not_given(tunnel, wish):
    """The answer is another address, or all-zero: none."""
    client, x = tunnel
    (got,) = [a for a in client.request_addresses(x, Address(3, wish)) if a.request_id == 3]
    assert got.prefix.version == ipaddress.ip_network(wish).version
    assert got.rejected or got.ip in (EDGE4, EDGE6)


def test_many_requests_in_one_capsule(tunnel):
    client, x = tunnel
    wanted = [Address(i, "0.0.0.0/32" if i % 2 else "::/128") for i in range(1, 33)]
    got = client.request_addresses(x, *wanted)
    assert {a.request_id for a in got} >= set(range(1, 33))


def test_a_peer_cannot_flood_the_log(hub, tunnel):
    """All requests are answered, and the log has a limited number of lines about them."""
    client, x = tunnel
    before = hub.log.read_text().count(": has ")
    for request_id in range(1, 1501):
        client.request_addresses(x, Address(request_id, "0.0.0.0/32"))
    assert 0 < hub.log.read_text().count(": has ") - before < 1000


# ---- routes (RFC 9484 4.7.3; their order is checked by the client)

def test_routes(tunnel):
    client, x = tunnel
    routes = client.wait_routes(x)
    for address in (HUB4, HUB6, ipaddress.ip_address("198.51.100.1")):
        assert any(address in r and r.protocol == 0 for r in routes)


# ---- packets (RFC 9484 6, 7)

@pytest.mark.parametrize("size", [0, 1, 56, 1000])
@pytest.mark.parametrize("src, dst", [(EDGE4, HUB4), (EDGE6, HUB6)], ids=["ipv4", "ipv6"])
def test_ping(tunnel, src, dst, size):
    client, x = tunnel
    client.request_addresses(x, ANY4, ANY6)
    client.ping(x, src, dst, bytes(i & 255 for i in range(size)))


def test_ping_of_the_ipv6_minimum_mtu(tunnel):
    client, x = tunnel
    client.request_addresses(x, ANY6)
    client.ping(x, EDGE6, HUB6, bytes(1280 - 48), timeout=0.5, tries=20)


@pytest.mark.parametrize("limit", [{"max_datagram_frame_size": 1400},
                                   {"max_udp_payload_size": 1350}], ids=["datagram", "udp"])
def test_the_peer_limits_the_path_mtu(hub, limit):
    """What the peer takes is found, and used, although it is less than the path carries."""
    with hub.connected(extra_params=limit) as c:
        x = c.connect_ip()
        c.request_addresses(x, ANY4)
        c.ping(x, EDGE4, HUB4, bytes(1250 - 28), timeout=0.5, tries=20)


@pytest.mark.parametrize("limit, most", [({"max_datagram_frame_size": 600}, 600),
                                         ({"max_udp_payload_size": 1200}, 1170)],
                         ids=["datagram", "udp"])
def test_a_peer_with_small_packets_gets_fragments(hub, limit, most):
    with hub.connected(extra_params=limit) as c:
        x = c.connect_ip()
        c.request_addresses(x, ANY4)
        request = ippkt.echo_request(EDGE4, HUB4, 80, 1, bytes(1250 - 28))
        c.send_datagram(x, request)
        got = 0
        while got < 1230:
            piece = c.recv_datagram(x, match=lambda p: p[0] >> 4 == 4)
            assert len(piece) <= most and int.from_bytes(piece[6:8]) & 0x1fff == got // 8
            got += len(piece) - 20
        assert got == 1230


def test_ping_before_the_answer(hub):
    """Optimistic packets may be dropped, and must do no harm (RFC 9484 7.1)."""
    with hub.connected() as c:
        x = c.open(masque.connect_fields(c.authority), fin=False)
        c.tunnels[x.stream] = masque.IpTunnel()
        c.send_datagram(x, ippkt.echo_request(EDGE4, HUB4, 1, 1, b"early"))
        c.wait(lambda: x.status is not None)
        assert x.status == 200
        c.ping(x, EDGE4, HUB4)


def test_ping_in_a_datagram_capsule(tunnel):
    """RFC 9297 3.5: a DATAGRAM capsule means the same as a DATAGRAM frame."""
    client, x = tunnel
    client.request_addresses(x, ANY4)
    request = ippkt.echo_request(EDGE4, HUB4, 77, 1, b"by capsule")
    client.send_capsule(x, masque.DATAGRAM, masque.with_context(0, request))
    reply = client.recv_datagram(x, match=lambda p: p[20] == 0 and p[24:26] == b"\0\x4d")
    ippkt.check_echo_reply(reply, request)


def test_a_foreign_source_goes_nowhere(tunnel, namespace):
    """The kernel has a route back for it, so that only the hub's check can be what stops it. Hub
    and kernel keep the order: the answer to the first packet would be the first to come."""
    client, x = tunnel
    client.request_addresses(x, ANY4)
    namespace.ip("route", "replace", "192.0.2.0/24", "dev", "mpq1")
    try:
        client.send_datagram(x, ippkt.echo_request("192.0.2.77", HUB4, 78, 1, b"foreign"))
        request = ippkt.echo_request(EDGE4, HUB4, 79, 1, b"own")
        client.send_datagram(x, request)
        reply = client.recv_datagram(x, match=lambda p: p[0] >> 4 == 4 and p[20] == 0)
        ippkt.check_echo_reply(reply, request)
    finally:
        namespace.ip("route", "del", "192.0.2.0/24", "dev", "mpq1")


def test_a_source_behind_the_peer_is_taken(tunnel, namespace):
    client, x = tunnel
    client.request_addresses(x, ANY4)
    namespace.ip("route", "replace", BEHIND, "dev", "mpq1")
    try:
        client.ping(x, "172.16.1.2", HUB4)
    finally:
        namespace.ip("route", "del", BEHIND, "dev", "mpq1")


def test_ping_over_a_lossy_link(hub):
    """A fifth of all datagrams is lost each way, deterministically for one run of the client."""
    counter = iter(range(1 << 30))

    def drop(direction, datagram):
        return next(counter) * 2654435761 % (1 << 32) < (1 << 32) // 5
    with hub.client(drop=drop) as c:
        c.connect(20)
        x = c.connect_ip(timeout=20)
        c.request_addresses(x, ANY4, timeout=20)
        c.ping(x, EDGE4, HUB4, timeout=0.3, tries=20)


# ---- who may come (RFC 8446 4.4.2.4, 6.2; RFC 9110 11.6.1)

@pytest.mark.parametrize("more", [
    dict(groups=(P256,), shares=(P256,)), dict(groups=(X25519, P256), shares=()),
    dict(suites=(0x1302,)), dict(suites=(0x1303,))], ids=["p256", "retry", "aes256", "chacha20"])
def test_tls_variants(hub, more):
    with hub.connected(tls=hub.tls("edge", **more)) as c:
        assert c.connect_ip().status == 200


def test_rsa_client(hub):
    with hub.connected("rsa") as c:
        assert c.quic.tls.certificate_requested
        assert c.connect_ip().status == 200


@pytest.mark.parametrize("who, alerts", [
    (None, ("certificate_required",)), ("expired", ("certificate_expired", "bad_certificate")),
    ("foreign", ("unknown_ca", "bad_certificate"))])
def test_client_without_a_valid_certificate(hub, who, alerts):
    with hub.client(who) as c:
        with pytest.raises(ConnectionLost) as lost:
            c.connect()
    assert cases.close_fact(lost.value.info) in [f"transport CRYPTO_ERROR({a})" for a in alerts]


def test_no_common_application_protocol(hub):
    with hub.client(tls=hub.tls("edge", alpn=(b"hq-interop",))) as c:
        with pytest.raises(ConnectionLost) as lost:
            c.connect()
    assert cases.close_fact(lost.value.info) == "transport CRYPTO_ERROR(no_application_protocol)"


def test_the_same_identity_takes_over_at_once(hub):
    with hub.connected() as old, hub.connected() as new:
        assert old.connect_ip().status == 200
        x = new.connect_ip()
        assert x.status == 200
        new.request_addresses(x, ANY4)
        new.ping(x, EDGE4, HUB4)
        with pytest.raises(ConnectionLost) as lost:
            old.wait(lambda: False)
        assert cases.close_fact(lost.value.info) == "connection H3_NO_ERROR"


def test_another_identity_waits(hub):
    with hub.connected() as first, hub.connected("edge2") as second:
        x = first.connect_ip()
        assert (x.status, second.connect_ip().status) == (200, 503)
        first.ping(x, EDGE4, HUB4)
        first.close()

        def free():
            return second.connect_ip().status == 200
        deadline = time.monotonic() + 5
        while not free():
            assert time.monotonic() < deadline


def test_a_second_tunnel_after_the_first_has_ended(tunnel):
    client, x = tunnel
    client.send_stream(x, b"", fin=True)
    client.wait(lambda: x.over)
    again = client.connect_ip()
    assert again.status == 200
    client.request_addresses(again, ANY4)
    client.ping(again, EDGE4, HUB4)


# ---- packets that are no connection (RFC 9000 5.2.2, 6, 10.3, 14.1)

def unknown_version(size):
    return bytes.fromhex("c01a2a3a4a" "08a1a2a3a4a5a6a7a8" "05b1b2b3b4b5").ljust(size, b"\0")


def test_version_negotiation(hub):
    with hub.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect((HOST, PORT))
        s.settimeout(5)
        s.send(unknown_version(1200))
        got = s.recv(2000)
    assert got[0] & 0x80 and got[1:5] == bytes(4)
    assert got[5:20] == bytes.fromhex("05b1b2b3b4b5" "08a1a2a3a4a5a6a7a8")
    versions = [got[i:i + 4] for i in range(20, len(got), 4)]
    assert b"\0\0\0\1" in versions and bytes.fromhex("1a2a3a4a") not in versions


@pytest.mark.parametrize("data", [unknown_version(600), b"\x40" + bytes(20), b"", b"\xc0",
                                  b"\xff" * 1200, bytes(1200)])
def test_small_and_senseless_datagrams_get_no_longer_answer(hub, data):
    """Nothing, or something shorter: no amplification, no loop. The hub has handled the datagram
    when it has made a connection after it."""
    with hub.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect((HOST, PORT))
        s.send(data)
        hub.ready()
        s.setblocking(False)
        try:
            assert len(s.recv(2000)) < max(len(data), 1)
        except BlockingIOError:
            pass


# ---- a hub of its own for each

def test_tokens(mpquic, namespace, pki, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.touch(0o600)
    tokens.write_text(f"edge {TOKEN}\nother another-token-of-somebody\n")
    hub = Hub(mpquic, namespace, pki, tmp_path, remote_port=PORT + 1, tun_name="mpq2",
              tun_cidr="10.200.2.2/30", tokens_file=tokens)
    with hub:
        def tunnel(token):
            with hub.connected(None, token=token) as c:
                x = c.connect_ip()
                if x.status == 200:
                    got = c.request_addresses(x, ANY4, ANY6)
                    assert str(next(a.ip for a in got if a.request_id == 1)) == "10.200.2.1"
                    assert next(a for a in got if a.request_id == 2).rejected
                    c.ping(x, "10.200.2.1", "10.200.2.2")
                return x.status, x.field("www-authenticate")
        assert tunnel(TOKEN) == (200, None)
        for wrong in (None, TOKEN[:-1], TOKEN + "x", "x"):
            status, challenge = tunnel(wrong)
            assert status == 401 and challenge.startswith("Bearer")
    assert hub.process.returncode == 0


def test_a_hub_that_stops_says_so_and_one_that_died_is_noticed(mpquic, namespace, pki, tmp_path):
    hub = Hub(mpquic, namespace, pki, tmp_path, remote_port=PORT + 2, tun_name="mpq3",
              tun_cidr="10.200.3.2/30", tls_ca_file=pki["ca"])

    with hub:
        with hub.connected() as c:
            assert c.connect_ip().status == 200
            assert hub.stop() == 0
            with pytest.raises(ConnectionLost) as lost:
                c.wait(lambda: False)
            assert cases.close_fact(lost.value.info) == "connection H3_NO_ERROR"
        hub.start()
        with hub.connected() as c:
            x = c.connect_ip()
            assert x.status == 200
            hub.stop(signal.SIGKILL)
            hub.start()
            hub.ready()
            with pytest.raises(ConnectionLost) as lost:
                c.ping(x, "10.200.3.1", "10.200.3.2", bytes(100))
            assert lost.value.info.kind == "reset"  # RFC 9000 10.3
