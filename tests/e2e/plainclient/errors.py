"""Error codes with their names, and the exceptions of the protocol layers."""

TRANSPORT = {
    0x00: "NO_ERROR", 0x01: "INTERNAL_ERROR", 0x02: "CONNECTION_REFUSED",
    0x03: "FLOW_CONTROL_ERROR", 0x04: "STREAM_LIMIT_ERROR", 0x05: "STREAM_STATE_ERROR",
    0x06: "FINAL_SIZE_ERROR", 0x07: "FRAME_ENCODING_ERROR", 0x08: "TRANSPORT_PARAMETER_ERROR",
    0x09: "CONNECTION_ID_LIMIT_ERROR", 0x0a: "PROTOCOL_VIOLATION", 0x0b: "INVALID_TOKEN",
    0x0c: "APPLICATION_ERROR", 0x0d: "CRYPTO_BUFFER_EXCEEDED", 0x0e: "KEY_UPDATE_ERROR",
    0x0f: "AEAD_LIMIT_REACHED", 0x10: "NO_VIABLE_PATH",
}
ALERTS = {
    10: "unexpected_message", 20: "bad_record_mac", 22: "record_overflow",
    40: "handshake_failure", 42: "bad_certificate", 43: "unsupported_certificate",
    44: "certificate_revoked", 45: "certificate_expired", 46: "certificate_unknown",
    47: "illegal_parameter", 48: "unknown_ca", 49: "access_denied", 50: "decode_error",
    51: "decrypt_error", 70: "protocol_version", 71: "insufficient_security",
    80: "internal_error", 86: "inappropriate_fallback", 90: "user_canceled",
    109: "missing_extension", 110: "unsupported_extension", 112: "unrecognized_name",
    116: "certificate_required", 120: "no_application_protocol",
}
H3 = {
    0x33: "H3_DATAGRAM_ERROR", 0x100: "H3_NO_ERROR", 0x101: "H3_GENERAL_PROTOCOL_ERROR",
    0x102: "H3_INTERNAL_ERROR", 0x103: "H3_STREAM_CREATION_ERROR",
    0x104: "H3_CLOSED_CRITICAL_STREAM", 0x105: "H3_FRAME_UNEXPECTED", 0x106: "H3_FRAME_ERROR",
    0x107: "H3_EXCESSIVE_LOAD", 0x108: "H3_ID_ERROR", 0x109: "H3_SETTINGS_ERROR",
    0x10a: "H3_MISSING_SETTINGS", 0x10b: "H3_REQUEST_REJECTED", 0x10c: "H3_REQUEST_CANCELLED",
    0x10d: "H3_REQUEST_INCOMPLETE", 0x10e: "H3_MESSAGE_ERROR", 0x10f: "H3_CONNECT_ERROR",
    0x110: "H3_VERSION_FALLBACK", 0x200: "QPACK_DECOMPRESSION_FAILED",
    0x201: "QPACK_ENCODER_STREAM_ERROR", 0x202: "QPACK_DECODER_STREAM_ERROR",
}
H3_CODES = {name: code for code, name in H3.items()}


def h3_name(code):
    return H3.get(code, "0x%x" % code)


def transport_name(code):
    if 0x100 <= code < 0x200:
        return "CRYPTO_ERROR(%s)" % ALERTS.get(code - 0x100, code - 0x100)
    return TRANSPORT.get(code, "0x%x" % code)


class QuicError(Exception):
    """The peer broke RFC 9000 or 9001: the connection is closed with this transport error."""

    def __init__(self, code, reason, frame_type=0):
        super().__init__("%s: %s" % (transport_name(code), reason))
        self.code, self.reason, self.frame_type = code, reason, frame_type


class Alert(QuicError):
    """A TLS alert, which QUIC carries as 0x100 + alert (RFC 9001 4.8)."""

    def __init__(self, alert, reason):
        super().__init__(0x100 + alert, reason, 0x06)


class H3Error(Exception):
    """The peer broke HTTP/3: the connection is closed with this application error."""

    def __init__(self, name, reason):
        super().__init__("%s: %s" % (name, reason))
        self.code, self.reason = H3_CODES[name], reason
