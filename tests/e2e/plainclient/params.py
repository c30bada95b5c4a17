"""Transport parameters (RFC 9000 18.2, RFC 9221 3)."""

from .errors import QuicError
from .wire import Reader, Truncated, varbytes, varint

IDS = {
    "original_destination_connection_id": 0x00, "max_idle_timeout": 0x01,
    "stateless_reset_token": 0x02, "max_udp_payload_size": 0x03, "initial_max_data": 0x04,
    "initial_max_stream_data_bidi_local": 0x05, "initial_max_stream_data_bidi_remote": 0x06,
    "initial_max_stream_data_uni": 0x07, "initial_max_streams_bidi": 0x08,
    "initial_max_streams_uni": 0x09, "ack_delay_exponent": 0x0a, "max_ack_delay": 0x0b,
    "disable_active_migration": 0x0c, "preferred_address": 0x0d,
    "active_connection_id_limit": 0x0e, "initial_source_connection_id": 0x0f,
    "retry_source_connection_id": 0x10, "max_datagram_frame_size": 0x20,
}
NAMES = {ident: name for name, ident in IDS.items()}
RAW = ("original_destination_connection_id", "stateless_reset_token", "disable_active_migration",
       "preferred_address", "initial_source_connection_id", "retry_source_connection_id")
DEFAULTS = {
    "max_idle_timeout": 0, "max_udp_payload_size": 65527, "initial_max_data": 0,
    "initial_max_stream_data_bidi_local": 0, "initial_max_stream_data_bidi_remote": 0,
    "initial_max_stream_data_uni": 0, "initial_max_streams_bidi": 0, "initial_max_streams_uni": 0,
    "ack_delay_exponent": 3, "max_ack_delay": 25, "active_connection_id_limit": 2,
    "max_datagram_frame_size": 0,
}


def encode(params):
    """params: name -> integer or bytes. A name may also be a number (an unknown parameter)."""
    out = b""
    for name, value in params.items():
        ident = IDS.get(name, name)
        out += varint(ident) + varbytes(value if isinstance(value, bytes) else varint(value))
    return out


def decode(data):
    """The server's parameters with defaults filled in. Raises QuicError."""
    out, seen, r = dict(DEFAULTS), set(), Reader(data)
    try:
        while r.left():
            ident, body = r.varint(), r.varbytes()
            if ident in seen:
                raise QuicError(0x08, "transport parameter 0x%x twice" % ident)
            seen.add(ident)
            name = NAMES.get(ident)
            if name is None:
                continue
            if name in RAW:
                out[name] = body
                continue
            value = Reader(body)
            out[name] = value.varint()
            if value.left():
                raise QuicError(0x08, "%s has the wrong length" % name)
    except Truncated as e:
        raise QuicError(0x08, "transport parameters: %s" % e) from None
    _check(out)
    return out


def _check(p):
    if p["max_udp_payload_size"] < 1200 or p["ack_delay_exponent"] > 20 \
            or p["max_ack_delay"] >= 1 << 14 or p["active_connection_id_limit"] < 2 \
            or p["initial_max_streams_bidi"] > 1 << 60 or p["initial_max_streams_uni"] > 1 << 60 \
            or len(p.get("stateless_reset_token", bytes(16))) != 16:
        raise QuicError(0x08, "transport parameter out of its range")
