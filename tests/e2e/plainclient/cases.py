"""Named requests and abuses, each with what the RFCs let a hub do about it.

A case runs on a connection of its own. Its outcome is a set of facts in words:

    status 404, status 4xx           the final response
    stream H3_MESSAGE_ERROR          RESET_STREAM or STOP_SENDING with that code
    stream aborted                   either, whatever the code
    ended                            the server ended its side of the stream
    connection H3_FRAME_UNEXPECTED   closed by the server with an HTTP/3 code
    transport PROTOCOL_VIOLATION     closed by the server with a transport code
    alive                            afterwards another request was answered
    tunnel                           afterwards the CONNECT-IP stream answered an ADDRESS_REQUEST
    violation H3_FRAME_ERROR         the client had to close the connection; never acceptable

Each of `expect` is one acceptable outcome: facts joined by " + ". A stream error may also be
treated as a connection error (RFC 9114 8), and a malformed request may be answered with 400 first
(RFC 9114 4.1.2), so that MALFORMED stands for all of these. Codes marked LIBRARY are those that
nghttp3 uses where the RFC names another; the peer is refused all the same.
"""

from . import frames, h3, ippkt, masque, qpack
from .client import Client, ConnectionLost, Timeout
from .errors import h3_name, transport_name
from .masque import Address
from .wire import varint

MALFORMED = ("stream H3_MESSAGE_ERROR", "connection H3_MESSAGE_ERROR", "status 400")
BAD_CAPSULE = ("stream H3_MESSAGE_ERROR + alive", "connection H3_MESSAGE_ERROR")
ABORTED = ("stream aborted + alive",)
IGNORED = ("alive",)
TUNNEL_LIVES = ("tunnel + alive",)
LIBRARY = {name: "connection " + name for name in ("H3_FRAME_UNEXPECTED", "H3_FRAME_ERROR")}
SETTINGS = h3.settings_frame(h3.OUR_SETTINGS)
CASES = {}


class Case:
    def __init__(self, name, rfc, expect, run, tunnel, client):
        self.name, self.rfc, self.expect, self.run = name, rfc, tuple(expect), run
        self.tunnel, self.client = tunnel, client


def case(rfc, expect, tunnel=False, **client):
    """Register the function below as a case. tunnel: it runs with an accepted CONNECT-IP request,
    given as its second argument. client: arguments of Client."""
    def register(run):
        CASES[run.__name__] = Case(run.__name__, rfc, expect, run, tunnel, client)
        return run
    return register


# ---- running a case

def run_case(name, host, port, tls, settle_timeout=3.0, **client):
    """Returns the set of facts. The tunnel of a case must be accepted, or ConnectionError."""
    chosen = CASES[name]
    with Client(host, port, tls, **{**client, **chosen.client}) as c:
        x = tunnel = None
        try:
            c.connect()
            if chosen.tunnel:
                tunnel = c.connect_ip()
                if tunnel.status is None or tunnel.status // 100 != 2:
                    raise ConnectionError("CONNECT-IP answered with %s" % tunnel.status)
                x = chosen.run(c, tunnel) or tunnel
            else:
                x = chosen.run(c)
            return outcome(c, x, tunnel, settle_timeout)
        except ConnectionLost:
            return outcome(c, x, tunnel, settle_timeout)
        except Timeout as e:
            return outcome(c, x, tunnel, settle_timeout) | {"timeout: %s" % e}


def outcome(c, x, tunnel, timeout):
    """What has become of exchange x, of the tunnel and of the connection."""
    facts = set()
    if not c.closed:
        _settle(c, tunnel, facts, timeout)
    if x is not None:
        facts |= exchange_facts(x)
    if c.closed:
        facts -= {"alive", "tunnel"}
        facts.add(close_fact(c.closed))
    return facts


def _settle(c, tunnel, facts, timeout):
    """Ask for something else: the hub has then handled all that came before."""
    try:
        if c.get("/settle", timeout).status is not None:
            facts.add("alive")
        if tunnel is not None and not tunnel.over and tunnel.stopped is None:
            c.request_addresses(tunnel, Address(SETTLE_ID, "0.0.0.0/32"), timeout=timeout)
            facts.add("tunnel")
    except (ConnectionLost, Timeout, masque.CapsuleError):
        pass


SETTLE_ID = 60000


def exchange_facts(x):
    facts = set()
    if x.status is not None:
        facts |= {"status %d" % x.status, "status %dxx" % (x.status // 100)}
    for code in (x.reset, x.stopped):
        if code is not None:
            facts |= {"stream " + h3_name(code), "stream aborted"}
    if x.ended:
        facts.add("ended")
    return facts


def close_fact(info):
    if info.code is None:
        return "lost: %s" % info.kind
    name = h3_name(info.code) if info.application else transport_name(info.code)
    if info.kind == "local":
        return "violation %s: %s" % (name, info.reason)
    return ("connection " if info.application else "transport ") + name


def acceptable(name, facts):
    if any(f.startswith("violation") for f in facts):
        return False
    return any(set(e.split(" + ")) <= facts for e in CASES[name].expect)


# ---- requests that are not CONNECT-IP

def fields(c, method="GET", path="/", scheme="https", protocol=None, extra=()):
    out = [(":method", method)]
    out += [(":protocol", protocol)] if protocol else []
    out += [(":scheme", scheme)] if scheme is not None else []
    out += [(":authority", c.authority)]
    out += [(":path", path)] if path is not None else []
    return out + list(extra)


@case("RFC 9110 15.5", ("status 4xx + ended + alive",))
def get_root(c):
    x = c.get("/")
    c.wait(lambda: x.over)
    return x


@case("RFC 9110 9.3.2", ("status 4xx + ended + alive", "status 501 + ended + alive"))
def head(c):
    x = c.request(fields(c, "HEAD"))
    c.wait(lambda: x.over)
    return x


@case("RFC 9110 15.5", ("status 4xx + alive", "status 501 + alive"))
def post_with_content(c):
    x = c.open(fields(c, "POST", extra=[("content-length", "5")]), fin=False)
    c.send_stream(x, b"hello", fin=True)
    c.wait(lambda: x.status is not None or x.over)
    return x


@case("RFC 9110 9.1", ("status 405 + alive", "status 501 + alive", "status 404 + alive"))
def unknown_method(c):
    return c.request(fields(c, "BREW"))


@case("RFC 9110 9.3.6", ("status 4xx + alive", "status 501 + alive"))
def plain_connect(c):
    return c.request([(":method", "CONNECT"), (":authority", "example.org:443")], fin=False)


@case("RFC 9220 3", ("status 501 + alive",))
def connect_udp(c):
    return c.request(fields(c, "CONNECT", "/.well-known/masque/udp/192.0.2.1/53/",
                            protocol="connect-udp", extra=[("capsule-protocol", "?1")]), fin=False)


@case("RFC 9220 3", ("status 501 + alive",))
def connect_websocket(c):
    return c.request(fields(c, "CONNECT", "/chat", protocol="websocket"), fin=False)


@case("RFC 9220 3", ("status 501 + alive",))
def connect_unknown_protocol(c):
    return c.request(fields(c, "CONNECT", protocol="no-such-protocol"), fin=False)


# ---- CONNECT-IP requests that are wrong

def connect_ip(c, path=masque.DEFAULT_PATH, scheme="https", drop=(), extra=(), token=True):
    given = masque.connect_fields(c.authority, path or "", c.token if token else None, extra=extra)
    given = [(n, scheme if n == ":scheme" else v) for n, v in given if n not in drop]
    return c.request(given, fin=False)


@case("RFC 9484 4.4", ("status 200 + alive",))
def ip_template_percent_encoded(c):
    return connect_ip(c)


@case("RFC 9484 4.4 figure 4", ("status 200 + alive",))
def ip_template_literal_stars(c):
    return connect_ip(c, masque.LITERAL_PATH)


@case("RFC 9110 15.5.5", ("status 404 + alive",))
def ip_wrong_path(c):
    return connect_ip(c, "/")


@case("RFC 9110 15.5.5", ("status 404 + alive",) + MALFORMED)
def ip_path_without_variables(c):
    return connect_ip(c, "/.well-known/masque/ip/")


def _target(name, target, ipproto, expect=MALFORMED):
    def run(c):
        return connect_ip(c, "/.well-known/masque/ip/%s/%s/" % (target, ipproto))
    run.__name__ = "ip_" + name
    case("RFC 9484 4.6", expect)(run)


SCOPED = ("status 200 + alive", "status 4xx + alive", "status 501 + alive")
_target("target_host", "192.0.2.1", "17", SCOPED)
_target("target_prefix", "192.0.2.0%2F24", "%2A", SCOPED)
_target("target_prefix6", "2001%3Adb8%3A%3A%2F32", "58", SCOPED)
_target("target_prefix_too_long", "192.0.2.0%2F33", "%2A")
_target("target_host_bits_set", "192.0.2.1%2F24", "%2A")
_target("target_prefix6_too_long", "2001%3Adb8%3A%3A%2F129", "%2A")
_target("target_bad_escape", "192.0.2.0%2", "%2A")
_target("target_empty", "", "%2A", MALFORMED + ("status 404",))
_target("ipproto_256", "%2A", "256")
_target("ipproto_letters", "%2A", "udp")
_target("ipproto_empty", "%2A", "", MALFORMED + ("status 404",))


@case("RFC 9484 4.4", MALFORMED)
def ip_without_path(c):
    return connect_ip(c, drop=(":path",))


@case("RFC 9484 4.4", MALFORMED)
def ip_empty_path(c):
    return connect_ip(c, path="")


@case("RFC 9484 4.4", MALFORMED)
def ip_without_scheme(c):
    return connect_ip(c, drop=(":scheme",))


@case("RFC 9484 4.4", MALFORMED)
def ip_without_authority(c):
    return connect_ip(c, drop=(":authority",))


@case("RFC 9297 3.2", MALFORMED)
def ip_with_content_length(c):
    return connect_ip(c, extra=[("content-length", "0")])


@case("RFC 9220 3, RFC 8441 4", MALFORMED)
def protocol_without_connect(c):
    return c.request(fields(c, "GET", protocol="connect-ip"))


# ---- malformed requests (RFC 9114 4.1.2, 4.2, 4.3)

def _malformed(name, given, expect=MALFORMED, rfc="RFC 9114 4.3.1"):
    def run(c):
        return c.request(given(c))
    run.__name__ = "malformed_" + name
    case(rfc, expect)(run)


# The library leaves a field with forbidden characters out, so that nothing sees it.
LEFT_OUT = MALFORMED + ("status 4xx + alive",)
_malformed("no_method", lambda c: fields(c)[1:])
_malformed("no_path", lambda c: fields(c, path=None))
_malformed("no_scheme", lambda c: fields(c, scheme=None))
_malformed("method_twice", lambda c: [(":method", "GET")] + fields(c))
_malformed("unknown_pseudo_header", lambda c: fields(c) + [(":colour", "red")])
_malformed("status_in_request", lambda c: fields(c) + [(":status", "200")])
_malformed("pseudo_header_after_field", lambda c: [("accept", "x")] + fields(c), rfc="RFC 9114 4.3")
_malformed("uppercase_name", lambda c: fields(c) + [("Accept", "x")], rfc="RFC 9114 4.2")
_malformed("connection_field", lambda c: fields(c) + [("connection", "close")], rfc="RFC 9114 4.2")
_malformed("te_gzip", lambda c: fields(c) + [("te", "gzip")], rfc="RFC 9114 4.2")
_malformed("newline_in_value", lambda c: fields(c) + [("a", "b\r\nc: d")],
           LEFT_OUT, "RFC 9114 10.3")
_malformed("empty_name", lambda c: fields(c) + [("", "x")], LEFT_OUT, "RFC 9110 5.1")


@case("RFC 9114 4.1.2", MALFORMED + ("status 4xx",))
def malformed_content_length(c):
    x = c.open(fields(c, "POST", extra=[("content-length", "9")]), fin=False)
    c.send_stream(x, b"hello", fin=True)
    c.wait(lambda: x.status is not None or x.over or x.stopped is not None)
    return x


@case("RFC 9114 4.2.2", ("status 4xx + alive", "stream aborted + alive",
                         "connection H3_EXCESSIVE_LOAD", "connection H3_INTERNAL_ERROR",
                         "connection QPACK_DECOMPRESSION_FAILED"))
def field_section_of_200_kilobytes(c):
    many = [("x-%d" % i, "v" * 1000) for i in range(200)]
    return c.request(fields(c, extra=many))


# ---- frames on the request stream

def _raw(name, expect, rfc, make, fin=True):
    def run(c):
        return c.request([], fin, make(c))
    run.__name__ = "request_" + name
    case(rfc, expect)(run)


def headers(c, **more):
    return h3.frame(h3.HEADERS, qpack.encode(h3.field_pairs(fields(c, **more))))


UNEXPECTED = ("connection H3_FRAME_UNEXPECTED",)
_raw("data_before_headers", UNEXPECTED, "RFC 9114 4.1", lambda c: h3.frame(h3.DATA, b"x"))
_raw("settings_frame", UNEXPECTED, "RFC 9114 7.2.4", lambda c: SETTINGS)
_raw("goaway_frame", UNEXPECTED, "RFC 9114 7.2.6", lambda c: h3.frame(h3.GOAWAY, b"\0"))
_raw("max_push_id_frame", UNEXPECTED, "RFC 9114 7.2.7", lambda c: h3.frame(h3.MAX_PUSH_ID, b"\0"))
_raw("cancel_push_frame", UNEXPECTED, "RFC 9114 7.2.3", lambda c: h3.frame(h3.CANCEL_PUSH, b"\0"))
_raw("push_promise_frame", UNEXPECTED, "RFC 9114 7.2.5",
     lambda c: h3.frame(h3.PUSH_PROMISE, b"\0" + qpack.encode([])))
_raw("http2_ping_frame", UNEXPECTED, "RFC 9114 7.2.8", lambda c: h3.frame(0x06, bytes(8)))
_raw("ends_at_once", ("stream H3_REQUEST_INCOMPLETE", "connection H3_REQUEST_INCOMPLETE",
                      "status 400", LIBRARY["H3_FRAME_UNEXPECTED"]),
     "RFC 9114 4.1", lambda c: b"")
_raw("ends_inside_frame", ("connection H3_FRAME_ERROR", "stream H3_REQUEST_INCOMPLETE"),
     "RFC 9114 7.1", lambda c: headers(c)[:-3])
_raw("static_index_200", ("connection QPACK_DECOMPRESSION_FAILED",), "RFC 9204 3.1",
     lambda c: h3.frame(h3.HEADERS, b"\0\0" + qpack.encode_integer(0xc0, 6, 200)))
_raw("huffman_end_of_string", ("connection QPACK_DECOMPRESSION_FAILED",), "RFC 7541 5.2",
     lambda c: h3.frame(h3.HEADERS, b"\0\0\x50\x84\xff\xff\xff\xff"))
_raw("unknown_frames", ("status 4xx + alive",), "RFC 9114 9",
     lambda c: h3.frame(0x21, b"grease") + headers(c) + h3.frame(0x40, b""))
_raw("trailers", ("status 4xx + alive",), "RFC 9114 4.1",
     lambda c: headers(c) + h3.frame(h3.DATA, b"x") +
     h3.frame(h3.HEADERS, qpack.encode([(b"x-trailer", b"1")])))
_raw("data_after_trailers", UNEXPECTED, "RFC 9114 4.1",
     lambda c: headers(c) + h3.frame(h3.HEADERS, qpack.encode([(b"x-trailer", b"1")])) +
     h3.frame(h3.DATA, b"x"))


# ---- the control stream and other unidirectional streams

def _control(name, expect, rfc, control):
    def run(c):
        c.roundtrip()
    run.__name__ = "control_" + name
    case(rfc, expect, control=varint(h3.CONTROL) + control)(run)


def _settings(*pairs):
    return h3.settings_frame(h3.OUR_SETTINGS + pairs)


SETTINGS_ERROR = ("connection H3_SETTINGS_ERROR",)
_control("goaway_first", ("connection H3_MISSING_SETTINGS",), "RFC 9114 6.2.1",
         h3.frame(h3.GOAWAY, b"\0"))
_control("settings_twice", UNEXPECTED, "RFC 9114 7.2.4", SETTINGS + SETTINGS)
_control("data_frame", UNEXPECTED, "RFC 9114 7.2.1", SETTINGS + h3.frame(h3.DATA, b""))
_control("headers_frame", UNEXPECTED, "RFC 9114 7.2.2", SETTINGS + h3.frame(h3.HEADERS, b"\0\0"))
_control("push_promise_frame", UNEXPECTED, "RFC 9114 7.2.5",
         SETTINGS + h3.frame(h3.PUSH_PROMISE, b"\0\0\0"))
_control("http2_ping_frame", UNEXPECTED, "RFC 9114 7.2.8", SETTINGS + h3.frame(0x06, bytes(8)))
_control("setting_twice", SETTINGS_ERROR + IGNORED, "RFC 9114 7.2.4",
         _settings((h3.S_H3_DATAGRAM, 1)))
_control("http2_setting", SETTINGS_ERROR, "RFC 9114 7.2.4.1", _settings((0x02, 0)))
_control("h3_datagram_2", SETTINGS_ERROR, "RFC 9297 2.1.1", h3.settings_frame([(0x33, 2)]))
_control("connect_protocol_2", SETTINGS_ERROR, "RFC 9220 3", _settings((0x08, 2)))
_control("settings_cut_short", ("connection H3_FRAME_ERROR", "connection H3_SETTINGS_ERROR"),
         "RFC 9114 7.1", h3.frame(h3.SETTINGS, b"\x33"))
_control("unknown_settings", IGNORED, "RFC 9114 7.2.4.1",
         _settings((0x21, 7), (0x1f * 9 + 0x21, 0)))
_control("unknown_frames", IGNORED, "RFC 9114 9", SETTINGS + h3.frame(0x21, b"grease"))
_control("cancel_push", ("connection H3_ID_ERROR", LIBRARY["H3_FRAME_UNEXPECTED"]),
         "RFC 9114 7.2.3", SETTINGS + h3.frame(h3.CANCEL_PUSH, b"\0"))
_control("max_push_id_shrinks", ("connection H3_ID_ERROR", LIBRARY["H3_FRAME_ERROR"]),
         "RFC 9114 7.2.7",
         SETTINGS + h3.frame(h3.MAX_PUSH_ID, b"\5") + h3.frame(h3.MAX_PUSH_ID, b"\4"))
_control("goaway_grows", ("connection H3_ID_ERROR",), "RFC 9114 5.2",
         SETTINGS + h3.frame(h3.GOAWAY, b"\4") + h3.frame(h3.GOAWAY, b"\5"))


CRITICAL = ("connection H3_CLOSED_CRITICAL_STREAM",)


@case("RFC 9114 6.2.1", CRITICAL)
def control_ends(c):
    c.quic.write(c.h3.control_stream, b"", fin=True)
    c.roundtrip()


@case("RFC 9114 6.2.1", CRITICAL)
def control_is_reset(c):
    c.quic.reset_stream(c.h3.control_stream, 0x10c)
    c.roundtrip()


def _uni(name, expect, rfc, data, fin=False):
    def run(c):
        c.quic.write(c.quic.open_stream(bidi=False), data, fin)
        c.roundtrip()
    run.__name__ = "uni_" + name
    case(rfc, expect, qpack_streams=False)(run)


_uni("second_control", ("connection H3_STREAM_CREATION_ERROR",), "RFC 9114 6.2.1",
     varint(h3.CONTROL) + SETTINGS)
_uni("push_stream", ("connection H3_STREAM_CREATION_ERROR",), "RFC 9114 6.2.2",
     varint(h3.PUSH) + b"\0")
_uni("unknown_type", IGNORED, "RFC 9114 6.2", varint(0x21) + b"grease", True)
_uni("qpack_capacity_too_large", ("connection QPACK_ENCODER_STREAM_ERROR",), "RFC 9204 4.3.1",
     varint(h3.QPACK_ENCODER) + qpack.encode_integer(0x20, 5, 1 << 30))
_uni("qpack_bad_name_index", ("connection QPACK_ENCODER_STREAM_ERROR",), "RFC 9204 3.1",
     varint(h3.QPACK_ENCODER) + qpack.encode_integer(0xc0, 6, 200) + b"\1x")
_uni("qpack_increment_zero", ("connection QPACK_DECODER_STREAM_ERROR",), "RFC 9204 4.4.3",
     varint(h3.QPACK_DECODER) + b"\0")
_uni("qpack_ack_of_nothing", ("connection QPACK_DECODER_STREAM_ERROR",), "RFC 9204 4.4.1",
     varint(h3.QPACK_DECODER) + b"\x84")
_uni("qpack_encoder_ends", CRITICAL, "RFC 9204 4.2", varint(h3.QPACK_ENCODER), True)


# ---- HTTP Datagrams (RFC 9297 2.1, RFC 9484 6, 7)

DATAGRAM_ERROR = ("connection H3_DATAGRAM_ERROR",)


@case("RFC 9297 2.1", DATAGRAM_ERROR, tunnel=True)
def datagram_empty(c, x):
    c.send_raw_datagram(b"")


@case("RFC 9297 2.1", DATAGRAM_ERROR, tunnel=True)
def datagram_stream_id_cut_short(c, x):
    c.send_raw_datagram(b"\x80\x00")


@case("RFC 9297 2.1", DATAGRAM_ERROR, tunnel=True)
def datagram_stream_id_too_large(c, x):
    c.send_raw_datagram(varint(1 << 60) + b"\0")


@case("RFC 9297 2.1", TUNNEL_LIVES, tunnel=True)
def datagram_for_stream_not_yet_open(c, x):
    c.send_raw_datagram(varint(x.stream // 4 + 5) + b"\0E")


@case("RFC 9297 2.1", TUNNEL_LIVES, tunnel=True)
def datagram_for_ended_request(c, x):
    other = c.get("/")
    c.wait(lambda: other.over)
    c.send_raw_datagram(varint(other.stream // 4) + b"\0E")


@case("RFC 9484 6", TUNNEL_LIVES, tunnel=True)
def datagram_unknown_contexts(c, x):
    for context in (2, 3, 0x1234, (1 << 62) - 1):
        c.send_datagram(x, b"whatever", context)


@case("RFC 9484 6", TUNNEL_LIVES + ABORTED, tunnel=True)
def datagram_without_context(c, x):
    c.send_raw_datagram(varint(x.stream // 4))


@case("RFC 9484 6", TUNNEL_LIVES, tunnel=True)
def datagram_empty_ip_packet(c, x):
    c.send_datagram(x, b"")


@case("RFC 9484 7.2", TUNNEL_LIVES, tunnel=True)
def datagram_garbage_ip_packets(c, x):
    good = ippkt.echo_request("192.0.2.1", "192.0.2.2", 1, 1, bytes(64))
    for bad in (b"\x00" * 40, b"\x50" + good[1:], good[:19], good[:40], good + b"extra",
                b"\x41" + good[1:], b"\x4f" + good[1:24], b"\x60" + bytes(38),
                b"\x60\0\0\0\xff\xff" + bytes(40), b"\xff" * 1000):
        c.send_datagram(x, bad)


@case("RFC 9484 7.2", TUNNEL_LIVES, tunnel=True)
def datagram_foreign_source(c, x):
    c.send_datagram(x, ippkt.echo_request("192.0.2.77", "198.51.100.1", 1, 1, b"spoofed"))


@case("RFC 9297 3.5", TUNNEL_LIVES, tunnel=True)
def datagram_capsule(c, x):
    packet = ippkt.echo_request("192.0.2.77", "198.51.100.1", 1, 1, b"spoofed")
    c.send_capsule(x, masque.DATAGRAM, masque.with_context(0, packet))


@case("RFC 9297 3.5", TUNNEL_LIVES + ABORTED, tunnel=True)
def datagram_capsule_of_100_kilobytes(c, x):
    c.send_capsule(x, masque.DATAGRAM, masque.with_context(0, b"\x45" + bytes(100_000)))


# ---- capsules

def _capsule(name, expect, rfc, stream, fin=False):
    def run(c, x):
        c.send_stream(x, stream, fin)
    run.__name__ = "capsule_" + name
    case(rfc, expect, tunnel=True)(run)


def _request(*encoded):
    return masque.capsule(masque.ADDRESS_REQUEST, b"".join(bytes.fromhex(e) for e in encoded))


def _assign(encoded):
    return masque.capsule(masque.ADDRESS_ASSIGN, bytes.fromhex(encoded))


def _routes(*ranges):
    return masque.capsule(masque.ROUTE_ADVERTISEMENT, b"".join(bytes.fromhex(r) for r in ranges))


NET_A, NET_B = "040a0000010a00000500", "040a0000060a00000900"
_capsule("unknown", TUNNEL_LIVES, "RFC 9297 3.2",
         masque.capsule(0x29 * 5 + 0x17, b"grease") + masque.capsule(0x1234567, b""))
_capsule("unknown_of_100_kilobytes", TUNNEL_LIVES, "RFC 9297 3.2",
         masque.capsule(0x1234567, bytes(100_000)))
_capsule("cut_short_by_end", BAD_CAPSULE, "RFC 9297 3.3", b"\x02\x07\x01", True)
_capsule("header_cut_short_by_end", BAD_CAPSULE, "RFC 9297 3.3", b"\x02", True)
_capsule("request_empty", ABORTED, "RFC 9484 4.7.2", _request())
_capsule("request_version_5", BAD_CAPSULE, "RFC 9484 4.7.2", _request("01050ac8010120"))
_capsule("request_prefix_33", BAD_CAPSULE, "RFC 9484 4.7.2", _request("01040ac8010121"))
_capsule("request_prefix_129", BAD_CAPSULE, "RFC 9484 4.7.2", _request("0106" + "00" * 16 + "81"))
_capsule("request_host_bits", BAD_CAPSULE, "RFC 9484 4.7.2", _request("01040ac8010118"))
_capsule("request_id_zero", BAD_CAPSULE, "RFC 9484 4.7.2", _request("00040ac8010120"))
_capsule("request_id_twice_in_one", BAD_CAPSULE + TUNNEL_LIVES, "RFC 9484 4.7.2",
         _request("01040000000020", "01040000000020"))
_capsule("request_id_twice", BAD_CAPSULE + TUNNEL_LIVES, "RFC 9484 4.7.2",
         _request("01040000000020") + _request("01040000000020"))
_capsule("request_cut_short", BAD_CAPSULE, "RFC 9297 3.3", _request("01040ac80101"))
_capsule("request_extra_byte", BAD_CAPSULE, "RFC 9297 3.3", _request("01040ac801012001"))
_capsule("assign_empty", TUNNEL_LIVES, "RFC 9484 4.7.1", _assign(""))
_capsule("assign_version_5", BAD_CAPSULE, "RFC 9484 4.7.1", _assign("00050ac8010120"))
_capsule("assign_host_bits", BAD_CAPSULE, "RFC 9484 4.7.1", _assign("00040ac8010118"))
_capsule("assign_cut_short", BAD_CAPSULE, "RFC 9297 3.3", _assign("00040ac801"))
_capsule("routes_empty", TUNNEL_LIVES, "RFC 9484 4.7.3", _routes())
_capsule("routes_in_order", TUNNEL_LIVES, "RFC 9484 4.7.3", _routes(NET_A, NET_B))
_capsule("routes_out_of_order", ABORTED, "RFC 9484 4.7.3", _routes(NET_B, NET_A))
_capsule("routes_overlap", ABORTED, "RFC 9484 4.7.3", _routes(NET_A, NET_A))
_capsule("routes_version_order", ABORTED, "RFC 9484 4.7.3",
         _routes("06" + "00" * 16 + "ff" * 16 + "00", NET_A))
_capsule("routes_protocol_order", ABORTED, "RFC 9484 4.7.3",
         _routes(NET_A[:-2] + "11", NET_B[:-2] + "06"))
_capsule("routes_end_before_start", BAD_CAPSULE + ABORTED, "RFC 9484 4.7.3",
         _routes("040a0000050a00000100"))
_capsule("routes_version_5", BAD_CAPSULE, "RFC 9484 4.7.3", _routes("05" + NET_A[2:]))
_capsule("routes_cut_short", BAD_CAPSULE, "RFC 9297 3.3", _routes(NET_A[:-2]))
_capsule("request_of_4_gigabytes", TUNNEL_LIVES + ABORTED + ("alive",), "RFC 9297 3.2",
         varint(masque.ADDRESS_REQUEST) + varint(1 << 32) + bytes(100))


@case("RFC 9484 4.7.2", ("tunnel + alive",), tunnel=True)
def capsule_byte_by_byte(c, x):
    for byte in masque.address_request(Address(77, "0.0.0.0/32")):
        c.send_stream(x, bytes([byte]))
    c.wait(lambda: any(a.request_id == 77 for s in c.tunnel(x).assigns for a in s))


# ---- the life of the tunnel's stream

@case("RFC 9114 4.4", UNEXPECTED, tunnel=True)
def tunnel_headers_frame(c, x):
    c.quic.write(x.stream, h3.frame(h3.HEADERS, qpack.encode([(b"a", b"b")])))
    c.roundtrip()


@case("RFC 9114 4.4", UNEXPECTED, tunnel=True)
def tunnel_settings_frame(c, x):
    c.quic.write(x.stream, SETTINGS)
    c.roundtrip()


@case("RFC 9114 9", TUNNEL_LIVES, tunnel=True)
def tunnel_unknown_frame(c, x):
    c.quic.write(x.stream, h3.frame(0x21, b"grease"))


@case("RFC 9484 4.1", ("ended + alive", "stream aborted + alive"), tunnel=True)
def tunnel_ended_by_client(c, x):
    c.send_stream(x, b"", fin=True)
    c.wait(lambda: x.over)


@case("RFC 9114 4.4", ("stream aborted + alive", "ended + alive"), tunnel=True)
def tunnel_reset_by_client(c, x):
    c.quic.reset_stream(x.stream, 0x10c)
    c.quic.stop_sending(x.stream, 0x10c)
    c.wait(lambda: x.over)


@case("RFC 9484 4.1", ("status 2xx + alive", "status 4xx + alive", "status 5xx + alive"),
      tunnel=True)
def tunnel_second_on_one_connection(c, x):
    return c.connect_ip()


# ---- QUIC

@case("RFC 9000 12.4", ("transport FRAME_ENCODING_ERROR", "transport PROTOCOL_VIOLATION"))
def quic_unknown_frame(c):
    c.quic.queue_frame(b"\x3f")
    c.roundtrip()


@case("RFC 9000 19.20", ("transport PROTOCOL_VIOLATION",))
def quic_handshake_done_from_client(c):
    c.quic.queue_frame(frames.HANDSHAKE_DONE)
    c.roundtrip()


@case("RFC 9000 4.6", ("transport STREAM_LIMIT_ERROR",))
def quic_stream_beyond_limit(c):
    c.quic.queue_frame(frames.stream((1 << 60) - 4, 0, b"", False))
    c.roundtrip()


@case("RFC 9000 19.8", ("transport STREAM_STATE_ERROR",))
def quic_data_on_server_stream(c):
    c.quic.queue_frame(frames.stream(3, 0, b"x", False))
    c.roundtrip()


@case("RFC 9221 3", ("alive",), extra_params={"max_datagram_frame_size": None},
      settings=((h3.S_QPACK_CAPACITY, 0), (h3.S_QPACK_BLOCKED, 0)))
def quic_client_without_datagrams(c):
    c.roundtrip()
