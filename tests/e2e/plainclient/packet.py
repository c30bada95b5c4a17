"""Packet headers of QUIC version 1 (RFC 9000 17) and version negotiation."""

from .wire import Reader, Truncated, varbytes, varint, vector

VERSION_1 = 1
INITIAL, ZERO_RTT, HANDSHAKE, RETRY, ONE_RTT, NEGOTIATION = range(6)


class Header:
    """A received packet up to its packet number: `packet` is the whole protected packet."""

    def __init__(self, kind, dcid, packet, scid=b"", token=b"", pn_offset=0, versions=()):
        self.kind, self.dcid, self.packet = kind, dcid, packet
        self.scid, self.token, self.pn_offset, self.versions = scid, token, pn_offset, versions


def split(datagram, dcid_size):
    """The packets coalesced in a datagram; stops silently where one cannot be read."""
    out, r = [], Reader(datagram)
    while r.left():
        start = r.pos
        try:
            header = _read(r, datagram, start, dcid_size)
        except Truncated:
            break
        if header is None:
            break
        out.append(header)
    return out


def _read(r, datagram, start, dcid_size):
    first = r.uint(1)
    if not first & 0x80:
        dcid = r.bytes(dcid_size)
        offset = r.pos - start
        r.rest()
        return Header(ONE_RTT, dcid, datagram[start:], pn_offset=offset) if first & 0x40 else None
    version, dcid, scid = r.uint(4), r.vector(1), r.vector(1)
    if version == 0:
        versions = [r.uint(4) for _ in range(r.left() // 4)]
        r.rest()
        return Header(NEGOTIATION, dcid, datagram[start:], scid, versions=versions)
    if version != VERSION_1 or not first & 0x40:
        return None
    kind = first >> 4 & 3
    if kind == RETRY:
        token = r.bytes(r.left() - 16)
        r.rest()
        return Header(RETRY, dcid, datagram[start:], scid, token)
    token = r.varbytes() if kind == INITIAL else b""
    length = r.varint()
    offset = r.pos - start
    r.bytes(length)
    return Header(kind, dcid, datagram[start:r.pos], scid, token, offset)


PN_SIZE = 4


def long_header(kind, dcid, scid, token, pn, payload_size):
    """Header of an Initial or Handshake packet, packet number included."""
    out = bytes([0xc0 | kind << 4 | PN_SIZE - 1]) + VERSION_1.to_bytes(4, "big")
    out += vector(1, dcid) + vector(1, scid)
    if kind == INITIAL:
        out += varbytes(token)
    return out + varint(PN_SIZE + payload_size + 16, 2) + pn.to_bytes(PN_SIZE, "big")


def short_header(dcid, pn, key_phase=0):
    first = 0x40 | key_phase << 2 | PN_SIZE - 1
    return bytes([first]) + dcid + (pn & 0xffffffff).to_bytes(PN_SIZE, "big")
