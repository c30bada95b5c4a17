"""The client against the test vectors of the RFCs, and its checks against each rule they check."""

import ipaddress

import pytest

from . import crypto, frames, h3, ippkt, masque, packet, params, qpack
from .errors import QuicError
from .recovery import Recovery, SentPacket, Space
from .streams import ReceiveSide, SendSide
from .wire import Reader, Truncated, RangeSet, varint

DCID = bytes.fromhex("8394c8f03e515708")


# ---- RFC 9000 A.1, A.3

@pytest.mark.parametrize("encoded, value", [
    ("c2197c5eff14e88c", 151288809941952652), ("9d7f3e7d", 494878333), ("7bbd", 15293),
    ("25", 37)])
def test_varint(encoded, value):
    assert Reader(bytes.fromhex(encoded)).varint() == value
    assert varint(value).hex() == encoded


def test_varint_longer_than_needed():
    assert Reader(bytes.fromhex("4025")).varint() == 37
    assert varint(37, 2).hex() == "4025"


def test_varint_truncated():
    with pytest.raises(Truncated):
        Reader(bytes.fromhex("9d7f3e")).varint()


def test_packet_number_decoding():
    assert crypto.decode_packet_number(0xa82f30ea + 1, 0x9b32, 16) == 0xa82f9b32


# ---- RFC 5869 A.1, RFC 8448 3

def test_hkdf():
    prk = crypto.hkdf_extract("sha256", bytes(range(13)), b"\x0b" * 22)
    assert prk.hex() == "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"
    okm = crypto.hkdf_expand("sha256", prk, bytes(range(0xf0, 0xfa)), 42)
    assert okm.hex() == ("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
                         "34007208d5b887185865")


def test_tls_key_schedule():
    def derive(secret, label, transcript_hash):
        return crypto.expand_label("sha256", secret, label, transcript_hash, 32)

    empty = crypto.AES_128_GCM.hash(b"")
    early = crypto.hkdf_extract("sha256", bytes(32), bytes(32))
    assert early.hex() == "33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a"
    derived = derive(early, b"derived", empty)
    assert derived.hex() == "6f2615a108c702c5678f54fc9dbab69716c076189c48250cebeac3576c3611ba"
    shared = bytes.fromhex("8bd4054fb55b9d63fdfbacf9f04b9f0d35e6d63f537563efd46272900f89492d")
    handshake = crypto.hkdf_extract("sha256", derived, shared)
    assert handshake.hex() == "1dc826e93606aa6fdc0aadc12f741b01046aa6b99f691ed221a9f0ca043fbeac"
    hello = bytes.fromhex("860c06edc07858ee8e78f0e7428c58edd6b43f2ca3e6e95f02ed063cf0e1cad8")
    assert derive(handshake, b"c hs traffic", hello).hex() == \
        "b3eddb126e067f35a780b3abf45e2d8f3b1a950738f52e9600746a0e27a55a21"
    assert derive(handshake, b"s hs traffic", hello).hex() == \
        "b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38"
    master = crypto.hkdf_extract("sha256", derive(handshake, b"derived", empty), bytes(32))
    assert master.hex() == "18df06843d13a08bf2a449844c5f8a478001bc4d4c627984d5a41da8d0402919"


# ---- RFC 9001 A

CLIENT_CRYPTO = bytes.fromhex(
    "060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b69484c0000"
    "0413011302010000c000000010000e00000b6578616d706c652e636f6dff01000100000a00080006001d0017"
    "001800100007000504616c706e000500050100000000003300260024001d00209370b2c9caa47fbabaf4559f"
    "edba753de171fa71f50f1ce15d43e994ec74d748002b0003020304000d0010000e0403050306030203080408"
    "050806002d00020101001c00024001003900320408ffffffffffffffff05048000ffff07048000ffff080110"
    "0104800075300901100f088394c8f03e51570806048000ffff")
SERVER_PAYLOAD = bytes.fromhex(
    "02000000000600405a020000560303eefce7f7b37ba1d1632e96677825ddf73988cfc79825df566dc5430b9a"
    "045a1200130100002e00330024001d00209d3c940d89690b84d08a60993c144eca684d1081287c834d5311bc"
    "f32bb9da1a002b00020304")
SERVER_PACKET = bytes.fromhex(
    "cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a5816b6394100f37a1c697975"
    "54780bb38cc5a99f5ede4cf73c3ec2493a1839b3dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9c73cc3f3bde"
    "d74b562bfb19fb84022f8ef4cdd93795d77d06edbb7aaf2f58891850abbdca3d20398c276456cbc42158407d"
    "d074ee")


@pytest.mark.parametrize("label, size, wanted", [
    (b"client in", 32, "00200f746c73313320636c69656e7420696e00"),
    (b"server in", 32, "00200f746c7331332073657276657220696e00"),
    (b"quic key", 16, "00100e746c7331332071756963206b657900"),
    (b"quic iv", 12, "000c0d746c733133207175696320697600"),
    (b"quic hp", 16, "00100d746c733133207175696320687000")])
def test_hkdf_labels(label, size, wanted):
    assert crypto.hkdf_label(label, b"", size).hex() == wanted


def test_initial_keys():
    client, server = crypto.initial_secrets(DCID)
    assert client.hex() == "c00cf151ca5be075ed0ebfb5c80323c42d6b7db67881289af4008f1f6c357aea"
    assert server.hex() == "3c199828fd139efd216c155ad844cc81fb82fa8d7446fa7d78be803acdda951b"
    keys = crypto.PacketKeys(crypto.AES_128_GCM, client)
    assert keys.key.hex() == "1f369613dd76d5467730efcbe3b1a22d"
    assert keys.iv.hex() == "fa044b2f42a3fd3b46fb255c"
    assert keys.hp.hex() == "9f50449e04a0e810283a1e9933adedd2"
    keys = crypto.PacketKeys(crypto.AES_128_GCM, server)
    assert keys.key.hex() == "cf3a5331653c364c88f0f379b6067e37"
    assert keys.iv.hex() == "0ac1493ca1905853b0bba03e"
    assert keys.hp.hex() == "c206b8d9b9f0f37644430b490eeaa314"


def test_client_initial():
    keys = crypto.PacketKeys(crypto.AES_128_GCM, crypto.initial_secrets(DCID)[0])
    payload = CLIENT_CRYPTO.ljust(1162, b"\0")
    header = packet.long_header(packet.INITIAL, DCID, b"", b"", 2, len(payload))
    assert header.hex() == "c300000001088394c8f03e5157080000449e00000002"
    protected = keys.protect(header, 2, payload)
    assert len(protected) == 1200
    assert protected[:54].hex() == (
        "c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11d242b123dc9bd8bab936b47d"
        "92ec356c0bab7df5976d")
    assert protected[-32:].hex() == \
        "8b4c8d169a44e55c88d4a9a7f9474241e221af44860018ab0856972e194cd934"


def test_server_initial():
    keys = crypto.PacketKeys(crypto.AES_128_GCM, crypto.initial_secrets(DCID)[1])
    header = bytes.fromhex("c1000000010008f067a5502a4262b50040750001")
    assert keys.protect(header, 1, SERVER_PAYLOAD) == SERVER_PACKET
    (got,) = packet.split(SERVER_PACKET, 0)
    assert (got.kind, got.scid.hex()) == (packet.INITIAL, "f067a5502a4262b5")
    assert keys.unprotect(got.packet, got.pn_offset, 0) == (0xc1, 1, SERVER_PAYLOAD)
    assert [f[0] for f in frames.parse(SERVER_PAYLOAD)] == ["ack", "crypto"]


def test_a_changed_bit_does_not_decrypt():
    keys = crypto.PacketKeys(crypto.AES_128_GCM, crypto.initial_secrets(DCID)[1])
    for i in (0, 5, 19, 40, len(SERVER_PACKET) - 1):
        changed = bytearray(SERVER_PACKET)
        changed[i] ^= 1
        assert keys.unprotect(bytes(changed), 18, 0) is None


def test_retry():
    retry = bytes.fromhex("ff000000010008f067a5502a4262b5746f6b656e"
                          "04a265ba2eff4d829058fb3f0f2496ba")
    (got,) = packet.split(retry, 0)
    assert (got.kind, got.token, got.scid.hex()) == (packet.RETRY, b"token", "f067a5502a4262b5")
    assert crypto.retry_tag(DCID, retry[:-16]) == retry[-16:]


def test_chacha20_short_header():
    secret = bytes.fromhex("9ac312a7f877468ebe69422748ad00a15443f18203a07d6060f688f30f21632b")
    keys = crypto.PacketKeys(crypto.CHACHA20, secret)
    assert keys.key.hex() == "c6d98ff3441c3fe1b2182094f69caa2ed4b716b65488960a7a984979fb23e1c8"
    assert keys.iv.hex() == "e0459b3474bdd0e44a41c144"
    assert keys.hp.hex() == "25a282b9e82f06f21f488917a4fc8f1b73573685608597d0efcb076b0ab7a7a4"
    protected = keys.protect(bytes.fromhex("4200bff4"), 654360564, b"\x01")
    assert protected.hex() == "4cfe4189655e5cd55c41f69080575d7999c25a5bfb"
    assert keys.unprotect(protected, 1, 654360564) == (0x42, 654360564, b"\x01")


# ---- RFC 7541 C.4, C.6, B; RFC 9204 B

@pytest.mark.parametrize("text, coded", [
    ("www.example.com", "f1e3c2e5f23a6ba0ab90f4ff"), ("no-cache", "a8eb10649cbf"),
    ("custom-key", "25a849e95ba97d7f"), ("custom-value", "25a849e95bb8e8b4bf"),
    ("302", "6402"), ("private", "aec3771a4b"), ("307", "640eff"), ("gzip", "9bd9ab"),
    ("Mon, 21 Oct 2013 20:13:21 GMT", "d07abe941054d444a8200595040b8166e082a62d1bff"),
    ("https://www.example.com", "9d29ad171863c78f0b97c8e9ae82ae43d3"),
    ("foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
     "94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587"
     "316065c003ed4ee5b1063d5007")])
def test_huffman(text, coded):
    assert qpack.huffman_encode(text.encode()).hex() == coded
    assert qpack.huffman_decode(bytes.fromhex(coded)) == text.encode()


def test_huffman_code_is_complete():
    assert sum(2 ** (30 - bits) for bits in qpack.HUFFMAN_BITS) == 2 ** 30
    for symbol, code, bits in ((0, 0x1ff8, 13), (92, 0x7fff0, 19), (203, 0x7ffffde, 27),
                               (255, 0x3ffffee, 26), (22, 0x3ffffffe, 30), (256, 0x3fffffff, 30)):
        assert qpack.HUFFMAN[symbol] == (code, bits)
    every = bytes(range(256))
    assert qpack.huffman_decode(qpack.huffman_encode(every)) == every


@pytest.mark.parametrize("coded", ["00", "f1e3c2e5f23a6ba0ab90f4ffff", "ffffffff"])
def test_huffman_padding_is_checked(coded):
    with pytest.raises(qpack.QpackError):
        qpack.huffman_decode(bytes.fromhex(coded))


def test_prefix_integers():
    assert qpack.encode_integer(0, 5, 10).hex() == "0a"
    assert qpack.encode_integer(0, 5, 1337).hex() == "1f9a0a"
    r = Reader(bytes.fromhex("1f9a0a"))
    assert qpack.decode_integer(r, r.uint(1), 5) == 1337


def test_qpack_literal_with_name_reference():
    section = bytes.fromhex("0000510b2f696e6465782e68746d6c")
    assert qpack.decode(section) == [(b":path", b"/index.html")]
    assert qpack.encode([(b":path", b"/index.html")], huffman=False) == section


@pytest.mark.parametrize("section", ["03811011", "050080c181"])
def test_qpack_dynamic_references_are_refused(section):
    with pytest.raises(qpack.QpackError):
        qpack.decode(bytes.fromhex(section))


def test_qpack_round_trip():
    assert len(qpack.STATIC) == 99
    fields = qpack.STATIC + [(b"x-name", b"\x00\xff value"), (b"authorization", b"Bearer abc")]
    assert qpack.decode(qpack.encode(fields)) == fields
    assert qpack.decode(qpack.encode(fields, huffman=False)) == fields


# ---- frames, streams, recovery, transport parameters

def test_ack_frame_round_trip():
    ranges = [(0, 3), (5, 6), (9, 20)]
    (got,) = frames.parse(frames.ack(ranges))
    assert got == ("ack", 19, 0, [(9, 20), (5, 6), (0, 3)])


@pytest.mark.parametrize("bad", ["0202000003", "02", "060010", "1f", "4040", "18000121"])
def test_bad_frames_are_refused(bad):
    with pytest.raises(QuicError):
        frames.parse(bytes.fromhex(bad))


def test_range_set():
    s = RangeSet()
    for a, b in ((0, 2), (4, 6), (2, 4), (8, 9)):
        s.add(a, b)
    assert s.ranges == [(0, 6), (8, 9)]
    s.remove(1, 2)
    assert s.ranges == [(0, 1), (2, 6), (8, 9)]


def test_receive_side_orders_and_checks():
    s = ReceiveSide(100)
    assert s.receive(3, b"def", True) == (b"", False)
    assert s.receive(0, b"abcd", False) == (b"abcdef", True)
    for offset, data, fin in ((6, b"x", False), (0, b"abc", True), (99, b"xx", False)):
        with pytest.raises(QuicError):
            s.receive(offset, data, fin)


def test_send_side_resends_only_what_was_lost():
    s = SendSide(1000)
    s.write(b"x" * 300, fin=True)
    chunks = [s.take(100, 1000) for _ in range(3)]
    assert [(c[0], len(c[1]), c[2]) for c in chunks] == [(0, 100, False), (100, 100, False),
                                                         (200, 100, True)]
    s.on_acked(0, 100, False)
    s.on_lost(0, 100, False)
    s.on_lost(200, 100, True)
    assert s.take(1000, 0) == (200, b"x" * 100, True)
    assert s.take(1000, 0) is None


def test_loss_by_packet_threshold():
    space, recovery = Space(), Recovery()
    space.sent = {pn: SentPacket(pn, 0.0, [], True) for pn in range(6)}
    acked, lost = recovery.on_ack(space, [(4, 5)], 0, 0.01)
    assert [p.pn for p in acked] == [4] and [p.pn for p in lost] == [0, 1]
    assert space.loss_time == pytest.approx(0.01 * 9 / 8)


def test_transport_parameters():
    with pytest.raises(QuicError):
        params.decode(params.encode({"max_udp_payload_size": 1199}))
    with pytest.raises(QuicError):
        params.decode(bytes.fromhex("040105040105"))
    got = params.decode(params.encode({"initial_max_data": 7, 0x1234: b"unknown"}))
    assert (got["initial_max_data"], got["ack_delay_exponent"]) == (7, 3)


# ---- RFC 9114: what the client refuses from a server

class FakeQuic:
    def __init__(self):
        self.closed_with = None

    def close(self, code, reason):
        self.closed_with = code


def feed_control(data):
    quic = FakeQuic()
    layer = h3.Http3(quic)
    layer.on_event(("stream", 3, varint(h3.CONTROL) + data, False))
    return quic.closed_with


SETTINGS = h3.settings_frame([(h3.S_EXTENDED_CONNECT, 1), (h3.S_H3_DATAGRAM, 1), (0x21, 5)])


@pytest.mark.parametrize("data, code", [
    (SETTINGS, None), (SETTINGS + h3.frame(0x21, b"grease"), None),
    (h3.frame(h3.GOAWAY, b"\0"), 0x10a), (SETTINGS + SETTINGS, 0x105),
    (SETTINGS + h3.frame(h3.DATA, b""), 0x105), (SETTINGS + h3.frame(0x06, b""), 0x105),
    (h3.settings_frame([(0x33, 2)]), 0x109), (h3.settings_frame([(0x02, 1)]), 0x109),
    (h3.settings_frame([(0x33, 1), (0x33, 1)]), 0x109),
    (h3.frame(h3.SETTINGS, b"\x33"), 0x106), (SETTINGS + h3.frame(h3.GOAWAY, b"\x03"), 0x108)])
def test_control_stream(data, code):
    assert feed_control(data) == code


@pytest.mark.parametrize("data, code", [
    (b"\x48", None), (b"\x7f\x81", None), (b"\x84", 0x202), (b"\x48\x01", 0x202)])
def test_qpack_decoder_stream(data, code):
    quic = FakeQuic()
    h3.Http3(quic).on_event(("stream", 7, varint(h3.QPACK_DECODER) + data, False))
    assert quic.closed_with == code


def response(fields, more=b"", fin=True):
    quic = FakeQuic()
    layer = h3.Http3(quic)
    x = layer.exchanges[0] = h3.Exchange(0)
    head = h3.frame(h3.HEADERS, qpack.encode(h3.field_pairs(fields)))
    layer.on_event(("stream", 0, head + more, fin))
    return quic.closed_with, x


def test_response():
    code, x = response([(":status", 200), ("capsule-protocol", "?1")],
                       h3.frame(h3.DATA, b"abc") + h3.frame(0x21, b"?") + h3.frame(h3.DATA, b"d"))
    assert (code, x.status, x.field("capsule-protocol"), x.body) == (None, 200, "?1", b"abcd")
    assert x.ended


@pytest.mark.parametrize("fields, more, code", [
    ([("content-type", "text/plain")], b"", 0x10e), ([(":status", "20")], b"", 0x10e),
    ([("a", "b"), (":status", 200)], b"", 0x10e), ([(":status", 200), ("A", "b")], b"", 0x10e),
    ([(":status", 200), ("connection", "close")], b"", 0x10e), ([(":status", 103)], b"", 0x10e),
    ([(":status", 200)], h3.frame(h3.SETTINGS, b""), 0x105),
    ([(":status", 200)], h3.frame(h3.DATA, b"abc")[:-1], 0x106)])
def test_bad_responses(fields, more, code):
    assert response(fields, more)[0] == code


@pytest.mark.parametrize("data", [b"", b"\x40", b"\xd0" + bytes(7)])
def test_bad_http_datagrams(data):
    quic = FakeQuic()
    h3.Http3(quic).on_event(("datagram", data))
    assert quic.closed_with == 0x33


# ---- RFC 9484 4.7

def route(version, first, last, protocol=0):
    kind = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    return bytes([version]) + kind(first).packed + kind(last).packed + bytes([protocol])


def test_address_encoding():
    # 4.7.2 figure 10: request id 1, version 4, 10.200.1.1, prefix length 32
    value = masque.Address(1, "10.200.1.1/32").encode()
    assert value.hex() == "01040ac8010120"
    assert masque.address_request(masque.Address(1, "10.200.1.1/32")).hex() == "0207" + value.hex()
    six = masque.Address(70, "2001:db8::/64")
    assert six.encode().hex() == "4046" "06" "20010db8000000000000000000000000" "40"
    (got,) = masque.parse_addresses(six.encode())
    assert (got.request_id, str(got.prefix), got.rejected) == (70, "2001:db8::/64", False)
    assert masque.Address(1, "0.0.0.0/32").rejected and not masque.Address(1, "0.0.0.0/0").rejected


@pytest.mark.parametrize("bad", [
    "01050ac8010120", "01040ac8010121", "01040ac80101", "01040ac8010118",
    "0106" + "00" * 16 + "81"])
def test_bad_addresses(bad):
    with pytest.raises(masque.CapsuleError):
        masque.parse_addresses(bytes.fromhex(bad))


def test_routes_in_order():
    value = route(4, "0.0.0.0", "9.255.255.255") + route(4, "11.0.0.0", "255.255.255.255") + \
        route(4, "10.0.0.0", "10.0.0.9", 6) + route(6, "::", "ffff::")
    got = masque.parse_routes(value)
    assert len(got) == 4 and ipaddress.ip_address("11.0.0.1") in got[1]


@pytest.mark.parametrize("value", [
    route(4, "10.0.0.2", "10.0.0.1"),
    route(4, "10.0.0.5", "10.0.0.9") + route(4, "10.0.0.1", "10.0.0.3"),
    route(4, "10.0.0.1", "10.0.0.5") + route(4, "10.0.0.5", "10.0.0.9"),
    route(6, "::", "::1") + route(4, "10.0.0.1", "10.0.0.5"),
    route(4, "10.0.0.1", "10.0.0.5", 17) + route(4, "10.0.0.6", "10.0.0.9", 6),
    route(4, "10.0.0.1", "10.0.0.5")[:-1], b"\x05" + bytes(9)])
def test_bad_routes(value):
    with pytest.raises(masque.CapsuleError):
        masque.parse_routes(value)


def test_capsules_arrive_in_pieces():
    stream = masque.capsule(0x1234, b"unknown") + masque.capsule(masque.ADDRESS_ASSIGN, b"")
    reader = masque.CapsuleReader()
    got = [c for i in range(len(stream)) for c in reader.feed(stream[i:i + 1])]
    assert got == [(0x1234, b"unknown"), (1, b"")] and not reader.inside


# ---- ICMP

def test_echo_request_and_reply():
    for src, dst in (("10.200.1.1", "10.200.1.2"), ("fd00::1", "fd00::2")):
        request = ippkt.echo_request(src, dst, 7, 1, b"odd")
        head = 20 if request[0] >> 4 == 4 else 40
        # ones' complement sums are commutative, so that swapping addresses keeps them right
        size = 4 if head == 20 else 16
        reply = bytearray(request)
        start, middle = head - 2 * size, head - size
        reply[start:head] = request[middle:head] + request[start:middle]
        reply[head] = 0 if head == 20 else 129
        old = int.from_bytes(reply[head + 2:head + 4], "big")
        delta = 0x0800 if head == 20 else -0x0100
        new = old + delta
        new = new - 0xffff if new > 0xffff else new + 0xffff if new < 0 else new
        reply[head + 2:head + 4] = new.to_bytes(2, "big")
        ippkt.check_echo_reply(bytes(reply), request)
        for i in (head, head + 2, head + 5, len(reply) - 1, head - 1):
            changed = bytearray(reply)
            changed[i] ^= 1
            with pytest.raises(ValueError):
                ippkt.check_echo_reply(bytes(changed), request)


def test_internet_checksum():
    header = bytes.fromhex("45000073000040004011b861c0a80001c0a800c7")
    assert ippkt.checksum(header) == 0
