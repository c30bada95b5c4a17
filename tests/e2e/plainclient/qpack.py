"""Field sections with the static table alone (RFC 9204) and the Huffman code (RFC 7541 B).

The decoder announces a dynamic table of capacity 0, so that every reference to one is an error.
"""

from .wire import Reader, Truncated

STATIC = [(n.encode(), v.encode()) for n, v in (
    (":authority", ""), (":path", "/"), ("age", "0"), ("content-disposition", ""),
    ("content-length", "0"), ("cookie", ""), ("date", ""), ("etag", ""),
    ("if-modified-since", ""), ("if-none-match", ""), ("last-modified", ""), ("link", ""),
    ("location", ""), ("referer", ""), ("set-cookie", ""), (":method", "CONNECT"),
    (":method", "DELETE"), (":method", "GET"), (":method", "HEAD"), (":method", "OPTIONS"),
    (":method", "POST"), (":method", "PUT"), (":scheme", "http"), (":scheme", "https"),
    (":status", "103"), (":status", "200"), (":status", "304"), (":status", "404"),
    (":status", "503"), ("accept", "*/*"), ("accept", "application/dns-message"),
    ("accept-encoding", "gzip, deflate, br"), ("accept-ranges", "bytes"),
    ("access-control-allow-headers", "cache-control"),
    ("access-control-allow-headers", "content-type"), ("access-control-allow-origin", "*"),
    ("cache-control", "max-age=0"), ("cache-control", "max-age=2592000"),
    ("cache-control", "max-age=604800"), ("cache-control", "no-cache"),
    ("cache-control", "no-store"), ("cache-control", "public, max-age=31536000"),
    ("content-encoding", "br"), ("content-encoding", "gzip"),
    ("content-type", "application/dns-message"), ("content-type", "application/javascript"),
    ("content-type", "application/json"), ("content-type", "application/x-www-form-urlencoded"),
    ("content-type", "image/gif"), ("content-type", "image/jpeg"), ("content-type", "image/png"),
    ("content-type", "text/css"), ("content-type", "text/html; charset=utf-8"),
    ("content-type", "text/plain"), ("content-type", "text/plain;charset=utf-8"),
    ("range", "bytes=0-"), ("strict-transport-security", "max-age=31536000"),
    ("strict-transport-security", "max-age=31536000; includesubdomains"),
    ("strict-transport-security", "max-age=31536000; includesubdomains; preload"),
    ("vary", "accept-encoding"), ("vary", "origin"), ("x-content-type-options", "nosniff"),
    ("x-xss-protection", "1; mode=block"), (":status", "100"), (":status", "204"),
    (":status", "206"), (":status", "302"), (":status", "400"), (":status", "403"),
    (":status", "421"), (":status", "425"), (":status", "500"), ("accept-language", ""),
    ("access-control-allow-credentials", "FALSE"), ("access-control-allow-credentials", "TRUE"),
    ("access-control-allow-headers", "*"), ("access-control-allow-methods", "get"),
    ("access-control-allow-methods", "get, post, options"),
    ("access-control-allow-methods", "options"),
    ("access-control-expose-headers", "content-length"),
    ("access-control-request-headers", "content-type"), ("access-control-request-method", "get"),
    ("access-control-request-method", "post"), ("alt-svc", "clear"), ("authorization", ""),
    ("content-security-policy", "script-src 'none'; object-src 'none'; base-uri 'none'"),
    ("early-data", "1"), ("expect-ct", ""), ("forwarded", ""), ("if-range", ""), ("origin", ""),
    ("purpose", "prefetch"), ("server", ""), ("timing-allow-origin", "*"),
    ("upgrade-insecure-requests", "1"), ("user-agent", ""), ("x-forwarded-for", ""),
    ("x-frame-options", "deny"), ("x-frame-options", "sameorigin"))]

# Length in bits of the code of each byte value, and of the end-of-string symbol 256. The code is
# canonical: the codes of one length are consecutive in the order of their symbols.
HUFFMAN_BITS = [int(n) for n in """
    13 23 28 28 28 28 28 28 28 24 30 28 28 30 28 28 28 28 28 28 28 28 30 28 28 28 28 28 28 28 28 28
     6 10 10 12 13  6  8 11 10 10  8 11  8  6  6  6  5  5  5  6  6  6  6  6  6  6  7  8 15  6 12 10
    13  6  7  7  7  7  7  7  7  7  7  7  7  7  7  7  7  7  7  7  7  7  7  7  8  7  8 13 19 13 14  6
    15  5  6  5  6  5  6  6  6  5  7  7  6  6  6  5  6  7  6  5  5  6  7  7  7  7  7 15 11 14 13 28
    20 22 20 20 22 22 22 23 22 23 23 23 23 23 24 23 24 24 22 23 24 23 23 23 23 21 22 23 22 23 23 24
    22 21 20 22 22 23 23 21 23 22 22 24 21 22 23 23 21 21 22 21 23 22 23 23 20 22 22 22 23 22 22 23
    26 26 20 19 22 23 22 25 26 26 26 27 27 26 24 25 19 21 26 27 27 26 27 24 21 21 26 26 28 27 27 27
    20 24 20 21 22 21 21 23 22 22 25 25 24 24 26 23 26 27 26 26 27 27 27 27 27 28 27 27 27 27 27 26
    30""".split()]
EOS = 256


class QpackError(ValueError):
    """QPACK_DECOMPRESSION_FAILED."""


def _assign_codes():
    """symbol -> (code, bits), by length and then by symbol."""
    codes, code, last = {}, 0, 0
    for bits, symbol in sorted((b, s) for s, b in enumerate(HUFFMAN_BITS)):
        code <<= bits - last
        codes[symbol] = (code, bits)
        code, last = code + 1, bits
    return codes


HUFFMAN = _assign_codes()
_SYMBOL = {(bits, code): symbol for symbol, (code, bits) in HUFFMAN.items()}


def huffman_encode(data):
    value = bits = 0
    for byte in data:
        code, size = HUFFMAN[byte]
        value, bits = value << size | code, bits + size
    pad = -bits % 8
    return (value << pad | (1 << pad) - 1).to_bytes((bits + pad) // 8, "big")


def huffman_decode(data):
    out, code, bits = bytearray(), 0, 0
    for byte in data:
        for shift in range(7, -1, -1):
            code, bits = code << 1 | byte >> shift & 1, bits + 1
            symbol = _SYMBOL.get((bits, code))
            if symbol == EOS:
                raise QpackError("end-of-string symbol in a string")
            if symbol is not None:
                out.append(symbol)
                code = bits = 0
    if bits > 7 or code != (1 << bits) - 1:
        raise QpackError("Huffman padding")
    return bytes(out)


def encode_integer(first, prefix, value):
    """RFC 7541 5.1; first: the bits above the prefix."""
    limit = (1 << prefix) - 1
    if value < limit:
        return bytes([first | value])
    out, value = [first | limit], value - limit
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + [value])


def decode_integer(r, first, prefix):
    limit = (1 << prefix) - 1
    value, shift = first & limit, 0
    if value < limit:
        return value
    while True:
        byte = r.uint(1)
        value += (byte & 127) << shift
        shift += 7
        if shift > 63:
            raise QpackError("integer too large")
        if not byte & 128:
            return value


def _encode_string(first, prefix, data, huffman):
    coded = huffman_encode(data)
    if huffman and len(coded) < len(data):
        return encode_integer(first | 1 << prefix, prefix, len(coded)) + coded
    return encode_integer(first, prefix, len(data)) + data


def _decode_string(r, first, prefix):
    data = r.bytes(decode_integer(r, first, prefix))
    return huffman_decode(data) if first & 1 << prefix else data


def encode(fields, huffman=True):
    """fields: (name, value) pairs of bytes. Static references where the table has them."""
    out = bytearray(b"\0\0")
    names = [n for n, _ in STATIC]
    for name, value in fields:
        if (name, value) in STATIC:
            out += encode_integer(0xc0, 6, STATIC.index((name, value)))
        elif name in names:
            out += encode_integer(0x50, 4, names.index(name))
            out += _encode_string(0, 7, value, huffman)
        else:
            out += _encode_string(0x20, 3, name, huffman)
            out += _encode_string(0, 7, value, huffman)
    return bytes(out)


def decode(data):
    """The (name, value) pairs of a field section. Raises QpackError."""
    r, out = Reader(data), []
    try:
        if decode_integer(r, r.uint(1), 8) != 0:
            raise QpackError("a dynamic table is required, capacity is 0")
        decode_integer(r, r.uint(1), 7)
        while r.left():
            out.append(_decode_field(r, r.uint(1)))
    except Truncated as e:
        raise QpackError(str(e)) from None
    return out


def _static(index):
    if index >= len(STATIC):
        raise QpackError("static index %d" % index)
    return STATIC[index]


def _decode_field(r, first):
    if first & 0xc0 == 0xc0:
        return _static(decode_integer(r, first, 6))
    if first & 0xd0 == 0x50:
        name = _static(decode_integer(r, first, 4))[0]
        return name, _decode_string(r, r.uint(1), 7)
    if first & 0xe0 == 0x20:
        name = _decode_string(r, first, 3)
        return name, _decode_string(r, r.uint(1), 7)
    raise QpackError("reference to the dynamic table")
