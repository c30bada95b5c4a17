"""The TLS 1.3 handshake of a client (RFC 8446) as QUIC uses it (RFC 9001 4): messages go in and
out per encryption level, there is no record layer, and traffic secrets come out.

Offered: X25519 and P-256, three AEADs, certificates with ECDSA, RSA and Ed25519 keys. A client
certificate is sent when the server asks for one and we have one. No PSK, no resumption, no 0-RTT.
"""

import ipaddress
import os

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, x25519

from . import certs
from .crypto import SUITES, expand_label, hkdf_extract
from .errors import Alert
from .wire import Reader, Truncated, vector

INITIAL, HANDSHAKE, APPLICATION = range(3)

CLIENT_HELLO, SERVER_HELLO, NEW_SESSION_TICKET, ENCRYPTED_EXTENSIONS = 1, 2, 4, 8
CERTIFICATE, CERTIFICATE_REQUEST, CERTIFICATE_VERIFY, FINISHED, MESSAGE_HASH = 11, 13, 15, 20, 254

EXT_SERVER_NAME, EXT_GROUPS, EXT_SIG_ALGS, EXT_ALPN, EXT_VERSIONS = 0, 10, 13, 16, 43
EXT_COOKIE, EXT_KEY_SHARE, EXT_QUIC = 44, 51, 57

UNEXPECTED_MESSAGE, ILLEGAL_PARAMETER, DECODE_ERROR, DECRYPT_ERROR = 10, 47, 50, 51
PROTOCOL_VERSION, MISSING_EXTENSION, UNSUPPORTED_EXTENSION, NO_ALPN = 70, 109, 110, 120

X25519, P256 = 0x001d, 0x0017
RETRY_RANDOM = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")


class TlsConfig:
    """What the client trusts, offers and shows.

    server_name: the name that the server's certificate must carry, also sent as SNI unless it is
    an address. ca: PEM file with the trust anchors. cert, key: PEM files, both or neither.
    shares: the groups that a key share is sent for; the rest of `groups` costs a retry.
    """

    def __init__(self, server_name, ca, cert=None, key=None, alpn=(b"h3",),
                 suites=tuple(SUITES), groups=(X25519, P256), shares=(X25519,)):
        self.server_name = server_name
        self.anchors = certs.load_pem_chain(ca)
        self.chain = certs.load_pem_chain(cert) if cert else []
        self.key = certs.load_key(key) if cert else None
        self.alpn, self.suites, self.groups, self.shares = alpn, suites, groups, shares


class KeyShare:
    """One (EC)DHE key pair."""

    def __init__(self, group):
        self.group = group
        if group == X25519:
            self.private = x25519.X25519PrivateKey.generate()
            self.public = self.private.public_key().public_bytes(
                serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        else:
            self.private = ec.generate_private_key(ec.SECP256R1())
            self.public = self.private.public_key().public_bytes(
                serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)

    def exchange(self, peer):
        try:
            if self.group == X25519:
                return self.private.exchange(x25519.X25519PublicKey.from_public_bytes(peer))
            point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), peer)
            return self.private.exchange(ec.ECDH(), point)
        except ValueError as e:
            raise Alert(ILLEGAL_PARAMETER, "key share: %s" % e) from None


def message(kind, body):
    return bytes([kind]) + vector(3, body)


def extension(kind, body):
    return kind.to_bytes(2, "big") + vector(2, body)


def parse_extensions(reader, allowed, what):
    found = {}
    block = Reader(reader.vector(2))
    while block.left():
        kind, body = block.uint(2), block.vector(2)
        if kind in found:
            raise Alert(ILLEGAL_PARAMETER, "%s: extension %d twice" % (what, kind))
        if allowed is not None and kind not in allowed:
            raise Alert(UNSUPPORTED_EXTENSION, "%s: extension %d not offered" % (what, kind))
        found[kind] = body
    return found


class Tls13Client:
    """Drive it with start() and receive(); take what it made from `outbox` and `secrets`."""

    def __init__(self, config, transport_parameters):
        self.config = config
        self.transport_parameters = transport_parameters
        self.outbox = []        # (level, bytes) to send as CRYPTO, in order
        self.secrets = []       # (level, "tx" or "rx", suite, secret), in order
        self.keylog = []        # lines of the NSS key log format
        self.complete = False
        self.alpn = None
        self.peer_transport_parameters = None
        self.peer_chain = []
        self.certificate_requested = False
        self.suite = None
        self._random = os.urandom(32)
        self._shares = [KeyShare(g) for g in config.shares]
        self._cookie = None
        self._transcript = b""
        self._input = [b"", b"", b""]
        self._request = None     # (context, signature schemes) of a CertificateRequest
        self._expect = SERVER_HELLO
        self._retried = False

    # ---- sending

    def start(self):
        self._send(INITIAL, self._client_hello())

    def _send(self, level, data):
        self._transcript += data
        self.outbox.append((level, data))

    def _client_hello(self):
        c = self.config
        ext = b""
        try:
            ipaddress.ip_address(c.server_name)
        except ValueError:
            host = c.server_name.encode("idna")
            ext += extension(EXT_SERVER_NAME, vector(2, b"\0" + vector(2, host)))
        schemes = tuple(certs.SCHEMES) + certs.CERTIFICATE_SCHEMES
        ext += extension(EXT_GROUPS, vector(2, b"".join(g.to_bytes(2, "big") for g in c.groups)))
        ext += extension(EXT_SIG_ALGS, vector(2, b"".join(s.to_bytes(2, "big") for s in schemes)))
        ext += extension(EXT_ALPN, vector(2, b"".join(vector(1, a) for a in c.alpn)))
        ext += extension(EXT_VERSIONS, vector(1, b"\x03\x04"))
        ext += extension(EXT_KEY_SHARE, vector(2, b"".join(
            s.group.to_bytes(2, "big") + vector(2, s.public) for s in self._shares)))
        if self._cookie is not None:
            ext += extension(EXT_COOKIE, self._cookie)
        ext += extension(EXT_QUIC, self.transport_parameters)
        suites = b"".join(s.to_bytes(2, "big") for s in c.suites)
        return message(CLIENT_HELLO, b"\x03\x03" + self._random + vector(1, b"") +
                       vector(2, suites) + vector(1, b"\0") + vector(2, ext))

    # ---- receiving

    def receive(self, level, data):
        """Take CRYPTO bytes in order. Raises Alert when the handshake fails."""
        self._input[level] += data
        while len(self._input[level]) >= 4:
            size = 4 + int.from_bytes(self._input[level][1:4], "big")
            if size > 1 << 17:
                raise Alert(DECODE_ERROR, "handshake message of %d bytes" % size)
            if len(self._input[level]) < size:
                break
            whole = self._input[level][:size]
            self._input[level] = self._input[level][size:]
            try:
                self._on_message(level, whole[0], whole)
            except Truncated as e:
                raise Alert(DECODE_ERROR, "message %d: %s" % (whole[0], e)) from None

    def _on_message(self, level, kind, whole):
        if self.complete:
            if level == APPLICATION and kind == NEW_SESSION_TICKET:
                return
            raise Alert(UNEXPECTED_MESSAGE, "message %d after the handshake" % kind)
        if self._expect == CERTIFICATE and kind == CERTIFICATE_REQUEST and not self._request:
            self._on_certificate_request(Reader(whole, 4))
            self._transcript += whole
            return
        if kind != self._expect or level != (INITIAL if kind == SERVER_HELLO else HANDSHAKE):
            raise Alert(UNEXPECTED_MESSAGE, "message %d, expected %d" % (kind, self._expect))
        handler = {SERVER_HELLO: self._on_server_hello,
                   ENCRYPTED_EXTENSIONS: self._on_encrypted_extensions,
                   CERTIFICATE: self._on_certificate,
                   CERTIFICATE_VERIFY: self._on_certificate_verify,
                   FINISHED: self._on_finished}[kind]
        reader = Reader(whole, 4)
        handler(reader, whole)
        if reader.left():
            raise Alert(DECODE_ERROR, "message %d has %d bytes too many" % (kind, reader.left()))
        if level == INITIAL and self._expect != SERVER_HELLO and self._input[INITIAL]:
            raise Alert(UNEXPECTED_MESSAGE, "data behind the ServerHello")

    def _on_server_hello(self, r, whole):
        version, random, session = r.uint(2), r.bytes(32), r.vector(1)
        suite, compression = r.uint(2), r.uint(1)
        retry = random == RETRY_RANDOM
        allowed = {EXT_VERSIONS, EXT_KEY_SHARE} | ({EXT_COOKIE} if retry else set())
        ext = parse_extensions(r, allowed, "ServerHello")
        if version != 0x0303 or session or compression or suite not in self.config.suites:
            raise Alert(ILLEGAL_PARAMETER, "ServerHello with a value that was not offered")
        if ext.get(EXT_VERSIONS) != b"\x03\x04":
            raise Alert(PROTOCOL_VERSION, "the server does not choose TLS 1.3")
        if self.suite and self.suite.ident != suite:
            raise Alert(ILLEGAL_PARAMETER, "another cipher suite after the retry")
        self.suite = SUITES[suite]
        if retry:
            self._on_retry(ext, whole)
            return
        if EXT_KEY_SHARE not in ext:
            raise Alert(MISSING_EXTENSION, "ServerHello without key share")
        share = Reader(ext[EXT_KEY_SHARE])
        group, public = share.uint(2), share.vector(2)
        mine = next((s for s in self._shares if s.group == group), None)
        if mine is None:
            raise Alert(ILLEGAL_PARAMETER, "key share of a group that was not offered")
        self._transcript += whole
        self._handshake_secrets(mine.exchange(public))
        self._expect = ENCRYPTED_EXTENSIONS

    def _on_retry(self, ext, whole):
        """HelloRetryRequest (RFC 8446 4.1.4): the transcript begins with a hash (4.4.1)."""
        if self._retried:
            raise Alert(UNEXPECTED_MESSAGE, "a second HelloRetryRequest")
        self._retried = True
        if EXT_KEY_SHARE in ext:
            group = Reader(ext[EXT_KEY_SHARE]).uint(2)
            if group not in self.config.groups or group in [s.group for s in self._shares]:
                raise Alert(ILLEGAL_PARAMETER, "retry for a group not to be retried")
            self._shares = [KeyShare(group)]
        self._cookie = ext.get(EXT_COOKIE)
        self._transcript = message(MESSAGE_HASH, self.suite.hash(self._transcript)) + whole
        self._send(INITIAL, self._client_hello())

    def _derive(self, secret, label, transcript):
        s = self.suite
        return expand_label(s.digest, secret, label, s.hash(transcript), s.hash_size)

    def _handshake_secrets(self, shared):
        s = self.suite
        zero = bytes(s.hash_size)
        early = hkdf_extract(s.digest, zero, zero)
        handshake = hkdf_extract(s.digest, self._derive(early, b"derived", b""), shared)
        self._client_hs = self._derive(handshake, b"c hs traffic", self._transcript)
        self._server_hs = self._derive(handshake, b"s hs traffic", self._transcript)
        self._master = hkdf_extract(s.digest, self._derive(handshake, b"derived", b""), zero)
        self._new_secret(HANDSHAKE, "tx", self._client_hs, "CLIENT_HANDSHAKE_TRAFFIC_SECRET")
        self._new_secret(HANDSHAKE, "rx", self._server_hs, "SERVER_HANDSHAKE_TRAFFIC_SECRET")

    def _new_secret(self, level, direction, secret, label):
        self.secrets.append((level, direction, self.suite, secret))
        self.keylog.append("%s %s %s" % (label, self._random.hex(), secret.hex()))

    def _on_encrypted_extensions(self, r, whole):
        allowed = {EXT_SERVER_NAME, EXT_GROUPS, EXT_ALPN, EXT_QUIC}
        ext = parse_extensions(r, allowed, "EncryptedExtensions")
        if EXT_ALPN not in ext:
            raise Alert(NO_ALPN, "the server chose no application protocol")
        names = Reader(Reader(ext[EXT_ALPN]).vector(2))
        self.alpn = names.vector(1)
        if names.left() or self.alpn not in self.config.alpn:
            raise Alert(ILLEGAL_PARAMETER, "application protocol %r" % self.alpn)
        if EXT_QUIC not in ext:
            raise Alert(MISSING_EXTENSION, "no QUIC transport parameters")
        self.peer_transport_parameters = ext[EXT_QUIC]
        self._transcript += whole
        self._expect = CERTIFICATE

    def _on_certificate_request(self, r):
        context = r.vector(1)
        ext = parse_extensions(r, None, "CertificateRequest")
        if EXT_SIG_ALGS not in ext:
            raise Alert(MISSING_EXTENSION, "CertificateRequest without signature algorithms")
        schemes = Reader(Reader(ext[EXT_SIG_ALGS]).vector(2))
        self._request = (context, [schemes.uint(2) for _ in range(schemes.left() // 2)])
        self.certificate_requested = True

    def _on_certificate(self, r, whole):
        if r.vector(1):
            raise Alert(ILLEGAL_PARAMETER, "the server's certificate has a request context")
        entries = Reader(r.vector(3))
        chain = []
        while entries.left():
            chain.append(entries.vector(3))
            parse_extensions(entries, set(), "Certificate")
        if not chain:
            raise Alert(DECODE_ERROR, "the server sent no certificate")
        try:
            self.peer_chain = [x509.load_der_x509_certificate(c) for c in chain]
        except ValueError as e:
            raise Alert(certs.BAD_CERTIFICATE, "certificate: %s" % e) from None
        certs.verify_chain(self.peer_chain, self.config.anchors, self.config.server_name)
        self._transcript += whole
        self._expect = CERTIFICATE_VERIFY

    def _to_be_signed(self, context):
        return b" " * 64 + context + b"\0" + self.suite.hash(self._transcript)

    def _on_certificate_verify(self, r, whole):
        scheme, signature = r.uint(2), r.vector(2)
        content = self._to_be_signed(b"TLS 1.3, server CertificateVerify")
        certs.verify(self.peer_chain[0].public_key(), scheme, signature, content)
        self._transcript += whole
        self._expect = FINISHED

    def _finished(self, secret):
        s = self.suite
        key = expand_label(s.digest, secret, b"finished", b"", s.hash_size)
        return hkdf_extract(s.digest, key, s.hash(self._transcript))

    def _on_finished(self, r, whole):
        if r.rest() != self._finished(self._server_hs):
            raise Alert(DECRYPT_ERROR, "the server's Finished does not verify")
        self._transcript += whole
        client = self._derive(self._master, b"c ap traffic", self._transcript)
        server = self._derive(self._master, b"s ap traffic", self._transcript)
        if self._request:
            self._send_certificate()
        self._send(HANDSHAKE, message(FINISHED, self._finished(self._client_hs)))
        self._new_secret(APPLICATION, "tx", client, "CLIENT_TRAFFIC_SECRET_0")
        self._new_secret(APPLICATION, "rx", server, "SERVER_TRAFFIC_SECRET_0")
        self.complete = True

    def _send_certificate(self):
        """Our certificate chain, empty when we have none, and the proof of its key."""
        context, schemes = self._request
        entries = b"".join(vector(3, certs.der(c)) + vector(2, b"") for c in self.config.chain)
        self._send(HANDSHAKE, message(CERTIFICATE, vector(1, context) + vector(3, entries)))
        if self.config.chain:
            content = self._to_be_signed(b"TLS 1.3, client CertificateVerify")
            scheme, signature = certs.sign(self.config.key, schemes, content)
            self._send(HANDSHAKE, message(CERTIFICATE_VERIFY,
                                          scheme.to_bytes(2, "big") + vector(2, signature)))
