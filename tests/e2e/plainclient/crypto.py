"""Key derivation and packet protection (RFC 8446 7.1, RFC 9001 5)."""

import hashlib
import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from .wire import vector

INITIAL_SALT = bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a")
RETRY_KEY = bytes.fromhex("be0c690b9f66575a1d766b54e368c84e")
RETRY_NONCE = bytes.fromhex("461599d35d632bf2239825bb")
TAG_SIZE = 16


class CipherSuite:
    def __init__(self, ident, name, digest, aead, key_size):
        self.ident, self.name, self.digest, self.aead, self.key_size = \
            ident, name, digest, aead, key_size
        self.hash_size = hashlib.new(digest).digest_size

    def hash(self, data):
        return hashlib.new(self.digest, data).digest()


AES_128_GCM = CipherSuite(0x1301, "TLS_AES_128_GCM_SHA256", "sha256", AESGCM, 16)
AES_256_GCM = CipherSuite(0x1302, "TLS_AES_256_GCM_SHA384", "sha384", AESGCM, 32)
CHACHA20 = CipherSuite(0x1303, "TLS_CHACHA20_POLY1305_SHA256", "sha256", ChaCha20Poly1305, 32)
SUITES = {s.ident: s for s in (AES_128_GCM, AES_256_GCM, CHACHA20)}


def hkdf_extract(digest, salt, secret):
    return hmac.new(salt, secret, digest).digest()


def hkdf_expand(digest, secret, info, length):
    out, block, counter = b"", b"", 1
    while len(out) < length:
        block = hmac.new(secret, block + info + bytes([counter]), digest).digest()
        out += block
        counter += 1
    return out[:length]


def hkdf_label(label, context, length):
    """The HkdfLabel structure of RFC 8446 7.1."""
    return length.to_bytes(2, "big") + vector(1, b"tls13 " + label) + vector(1, context)


def expand_label(digest, secret, label, context, length):
    return hkdf_expand(digest, secret, hkdf_label(label, context, length), length)


def decode_packet_number(expected, truncated, bits):
    """RFC 9000 A.3: the number closest to the expected one that ends in these bits."""
    window = 1 << bits
    candidate = (expected & ~(window - 1)) | truncated
    if candidate <= expected - window // 2 and candidate < (1 << 62) - window:
        return candidate + window
    if candidate > expected + window // 2 and candidate >= window:
        return candidate - window
    return candidate


class PacketKeys:
    """Protects or unprotects the packets of one direction at one encryption level."""

    def __init__(self, suite, secret):
        self.suite, self.secret = suite, secret
        self.key = expand_label(suite.digest, secret, b"quic key", b"", suite.key_size)
        self.iv = expand_label(suite.digest, secret, b"quic iv", b"", 12)
        self.hp = expand_label(suite.digest, secret, b"quic hp", b"", suite.key_size)
        self._aead = suite.aead(self.key)
        if suite is not CHACHA20:
            self._ecb = Cipher(algorithms.AES(self.hp), modes.ECB()).encryptor()

    def _mask(self, sample):
        if self.suite is CHACHA20:
            return Cipher(algorithms.ChaCha20(self.hp, sample), None).encryptor().update(bytes(5))
        return self._ecb.update(sample)[:5]

    def _nonce(self, pn):
        return (int.from_bytes(self.iv, "big") ^ pn).to_bytes(12, "big")

    def protect(self, header, pn, payload):
        """header ends in the packet number, whose length its first byte tells."""
        pn_size = (header[0] & 3) + 1
        sealed = self._aead.encrypt(self._nonce(pn), payload, header)
        mask = self._mask(sealed[4 - pn_size:20 - pn_size])
        out = bytearray(header)
        out[0] ^= mask[0] & (0x0f if header[0] & 0x80 else 0x1f)
        for i in range(pn_size):
            out[len(header) - pn_size + i] ^= mask[1 + i]
        return bytes(out) + sealed

    def unprotect(self, packet, pn_offset, expected):
        """Returns (first byte, packet number, payload), or None when it does not decrypt."""
        sample = packet[pn_offset + 4:pn_offset + 20]
        if len(sample) < 16:
            return None
        mask = self._mask(sample)
        first = packet[0] ^ (mask[0] & (0x0f if packet[0] & 0x80 else 0x1f))
        pn_size = (first & 3) + 1
        pn_bytes = bytes(packet[pn_offset + i] ^ mask[1 + i] for i in range(pn_size))
        pn = decode_packet_number(expected, int.from_bytes(pn_bytes, "big"), 8 * pn_size)
        header = bytes([first]) + packet[1:pn_offset] + pn_bytes
        try:
            plain = self._aead.decrypt(self._nonce(pn), packet[pn_offset + pn_size:], header)
        except InvalidTag:
            return None
        return first, pn, plain


def initial_secrets(dcid):
    """(client secret, server secret) of the Initial packets (RFC 9001 5.2)."""
    common = hkdf_extract("sha256", INITIAL_SALT, dcid)
    return (expand_label("sha256", common, b"client in", b"", 32),
            expand_label("sha256", common, b"server in", b"", 32))


def retry_tag(original_dcid, retry_without_tag):
    """RFC 9001 5.8."""
    pseudo = vector(1, original_dcid) + retry_without_tag
    return AESGCM(RETRY_KEY).encrypt(RETRY_NONCE, b"", pseudo)
