"""Raw IP packets with an ICMP or ICMPv6 echo (RFC 791, 792, 8200, 4443)."""

import ipaddress


def checksum(data):
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total = sum(int.from_bytes(data[i:i + 2], "big") for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total ^ 0xffff


def _put(data, offset, value):
    return data[:offset] + value.to_bytes(2, "big") + data[offset + 2:]


def ipv4(src, dst, protocol, payload, ttl=64, ident=0, flags=0x4000):
    header = bytes([0x45, 0]) + (20 + len(payload)).to_bytes(2, "big") + \
        ident.to_bytes(2, "big") + flags.to_bytes(2, "big") + bytes([ttl, protocol, 0, 0]) + \
        src.packed + dst.packed
    return _put(header, 10, checksum(header)) + payload


def ipv6(src, dst, protocol, payload, ttl=64):
    return (0x60000000).to_bytes(4, "big") + len(payload).to_bytes(2, "big") + \
        bytes([protocol, ttl]) + src.packed + dst.packed + payload


def pseudo6(src, dst, protocol, length):
    return src.packed + dst.packed + length.to_bytes(4, "big") + bytes([0, 0, 0, protocol])


def echo_request(src, dst, ident, sequence, payload):
    """A whole IP packet from src to dst (ipaddress objects or strings)."""
    src, dst = ipaddress.ip_address(src), ipaddress.ip_address(dst)
    rest = ident.to_bytes(2, "big") + sequence.to_bytes(2, "big") + payload
    if src.version == 4:
        icmp = bytes([8, 0, 0, 0]) + rest
        return ipv4(src, dst, 1, _put(icmp, 2, checksum(icmp)), ident=sequence)
    icmp = bytes([128, 0, 0, 0]) + rest
    sum6 = checksum(pseudo6(src, dst, 58, len(icmp)) + icmp)
    return ipv6(src, dst, 58, _put(icmp, 2, sum6))


def check_echo_reply(reply, request):
    """Raises ValueError unless reply is, byte for byte, the answer to request. Only TTL, DSCP,
    identification, fragment flags and flow label are the answering kernel's own choice."""
    version = request[0] >> 4
    if not reply or reply[0] >> 4 != version:
        raise ValueError("IP version")
    if len(reply) != len(request):
        raise ValueError("%d bytes instead of %d" % (len(reply), len(request)))
    if version == 4:
        _check4(reply, request)
    else:
        _check6(reply, request)


def _expect(what, got, wanted):
    if got != wanted:
        raise ValueError("%s is %s, expected %s" % (what, got.hex(), wanted.hex()))


def _check4(reply, request):
    _expect("version and header length", reply[0:1], b"\x45")
    _expect("total length", reply[2:4], request[2:4])
    _expect("protocol", reply[9:10], b"\x01")
    _expect("source", reply[12:16], request[16:20])
    _expect("destination", reply[16:20], request[12:16])
    if checksum(reply[:20]):
        raise ValueError("IPv4 header checksum")
    _expect("type and code", reply[20:22], b"\0\0")
    _expect("identifier, sequence and data", reply[24:], request[24:])
    if checksum(reply[20:]):
        raise ValueError("ICMP checksum")


def _check6(reply, request):
    _expect("payload length", reply[4:6], request[4:6])
    _expect("next header", reply[6:7], b"\x3a")
    _expect("source", reply[8:24], request[24:40])
    _expect("destination", reply[24:40], request[8:24])
    _expect("type and code", reply[40:42], b"\x81\0")
    _expect("identifier, sequence and data", reply[44:], request[44:])
    src, dst = ipaddress.ip_address(reply[8:24]), ipaddress.ip_address(reply[24:40])
    if checksum(pseudo6(src, dst, 58, len(reply) - 40) + reply[40:]):
        raise ValueError("ICMPv6 checksum")
