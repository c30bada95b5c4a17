"""CONNECT-IP (RFC 9484) and the Capsule Protocol (RFC 9297 3), without I/O.

Every rule that RFC 9484 4.7 sets for a capsule's content is checked on what the proxy sends.
"""

import ipaddress

from .wire import Reader, Truncated, VARINT_MAX, varbytes, varint

DATAGRAM, ADDRESS_ASSIGN, ADDRESS_REQUEST, ROUTE_ADVERTISEMENT = range(4)
CAPSULE_MAX = 1 << 16

# The default template /.well-known/masque/ip/{target}/{ipproto}/ (RFC 9484 3) expanded with two
# wildcards. Simple expansion percent-encodes "*", which is reserved (RFC 6570 3.2.2).
DEFAULT_PATH = "/.well-known/masque/ip/%2A/%2A/"
LITERAL_PATH = "/.well-known/masque/ip/*/*/"


class CapsuleError(ValueError):
    """A capsule breaks RFC 9484 or RFC 9297."""


def connect_fields(authority, path=DEFAULT_PATH, token=None, protocol="connect-ip", extra=()):
    """The fields of a CONNECT-IP request (RFC 9484 4.4)."""
    fields = [(":method", "CONNECT"), (":protocol", protocol), (":scheme", "https"),
              (":authority", authority), (":path", path), ("capsule-protocol", "?1")]
    if token:
        fields.append(("authorization", "Bearer " + token))
    return fields + list(extra)


def capsule(kind, value):
    return varint(kind) + varbytes(value)


class CapsuleReader:
    """Cuts a byte stream into capsules."""

    def __init__(self):
        self._input = b""

    def feed(self, data):
        """Returns the capsules that are complete now as (type, value)."""
        self._input += data
        out = []
        while True:
            r = Reader(self._input)
            try:
                kind, length = r.varint(), r.varint()
                if length > CAPSULE_MAX:
                    raise CapsuleError("capsule of %d bytes" % length)
                out.append((kind, r.bytes(length)))
            except Truncated:
                return out
            self._input = r.rest()

    @property
    def inside(self):
        """A capsule has begun and not ended."""
        return bool(self._input)


class Address:
    """One Assigned or Requested Address."""

    def __init__(self, request_id, prefix):
        self.request_id = request_id
        self.prefix = ipaddress.ip_network(prefix)

    def encode(self):
        net = self.prefix
        return varint(self.request_id) + bytes([net.version]) + net.network_address.packed + \
            bytes([net.prefixlen])

    @property
    def ip(self):
        return self.prefix.network_address

    @property
    def rejected(self):
        """RFC 9484 4.7.2: all-zero with the maximum length says that none was assigned."""
        return int(self.ip) == 0 and self.prefix.prefixlen == self.prefix.max_prefixlen

    def __repr__(self):
        return "%s (request %d)" % (self.prefix, self.request_id)


def address_request(*addresses):
    return capsule(ADDRESS_REQUEST, b"".join(a.encode() for a in addresses))


def _version(r):
    version = r.uint(1)
    if version not in (4, 6):
        raise CapsuleError("IP version %d" % version)
    return version, 4 if version == 4 else 16


def parse_addresses(value):
    """The content of ADDRESS_ASSIGN or ADDRESS_REQUEST."""
    r, out = Reader(value), []
    try:
        while r.left():
            request_id = r.varint()
            _, size = _version(r)
            address = ipaddress.ip_address(r.bytes(size))
            length = r.uint(1)
            if length > 8 * size:
                raise CapsuleError("prefix length %d" % length)
            out.append(Address(request_id, (address, length)))
    except Truncated as e:
        raise CapsuleError("address: %s" % e) from None
    except ValueError as e:
        raise CapsuleError(str(e)) from None
    return out


class Route:
    """One IP Address Range of a ROUTE_ADVERTISEMENT."""

    def __init__(self, first, last, protocol):
        self.first, self.last, self.protocol = first, last, protocol

    def __contains__(self, address):
        return address.version == self.first.version and self.first <= address <= self.last

    def __repr__(self):
        return "%s-%s protocol %d" % (self.first, self.last, self.protocol)


def parse_routes(value):
    """The content of ROUTE_ADVERTISEMENT; raises CapsuleError when the order of 4.7.3 is broken."""
    r, out = Reader(value), []
    try:
        while r.left():
            _, size = _version(r)
            first, last = (ipaddress.ip_address(r.bytes(size)) for _ in range(2))
            out.append(Route(first, last, r.uint(1)))
    except Truncated as e:
        raise CapsuleError("route: %s" % e) from None
    for route in out:
        if route.first > route.last:
            raise CapsuleError("range %s ends before it starts" % route)
    for a, b in zip(out, out[1:]):
        _check_order(a, b)
    return out


def _check_order(a, b):
    key_a, key_b = (a.first.version, a.protocol), (b.first.version, b.protocol)
    if key_a > key_b or key_a == key_b and a.last >= b.first:
        raise CapsuleError("range %s comes after %s" % (b, a))


class IpTunnel:
    """What the proxy has told on one CONNECT-IP stream. Feed it the exchange's body."""

    def __init__(self):
        self.assigns = []      # every ADDRESS_ASSIGN as a list of Address
        self.routes = []       # every ROUTE_ADVERTISEMENT as a list of Route
        self.requests = []     # every ADDRESS_REQUEST
        self.datagrams = []    # values of DATAGRAM capsules (RFC 9297 3.5)
        self.others = []       # (type, value) of capsules that RFC 9484 does not know
        self._reader = CapsuleReader()

    def feed(self, data):
        for kind, value in self._reader.feed(data):
            if kind == ADDRESS_ASSIGN:
                self.assigns.append(parse_addresses(value))
            elif kind == ADDRESS_REQUEST:
                self.requests.append(parse_addresses(value))
            elif kind == ROUTE_ADVERTISEMENT:
                self.routes.append(parse_routes(value))
            elif kind == DATAGRAM:
                self.datagrams.append(value)
            else:
                self.others.append((kind, value))

    @property
    def addresses(self):
        """The addresses that are assigned now."""
        return [a for a in self.assigns[-1] if not a.rejected] if self.assigns else []


def split_context(payload):
    """(context id, rest) of an HTTP Datagram payload (RFC 9484 6)."""
    r = Reader(payload)
    try:
        return r.varint(), r.rest()
    except Truncated:
        raise CapsuleError("datagram without context id") from None


def with_context(context, payload):
    if not 0 <= context <= VARINT_MAX:
        raise ValueError("context id out of range")
    return varint(context) + payload
