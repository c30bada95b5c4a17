"""Certificates: the chain of the server (RFC 5280 6, RFC 9110 4.3.4) and handshake signatures
(RFC 8446 4.2.3, 4.4.3)."""

import datetime
import ipaddress

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from .errors import Alert

BAD_CERTIFICATE, EXPIRED, UNKNOWN, UNKNOWN_CA, DECRYPT_ERROR = 42, 45, 46, 48, 51
DEPTH_MAX = 8


def _pss(digest):
    return padding.PSS(mgf=padding.MGF1(digest()), salt_length=digest().digest_size)


# SignatureScheme -> (private key type, hash, curve or None)
SCHEMES = {
    0x0403: (ec.EllipticCurvePrivateKey, hashes.SHA256, ec.SECP256R1),
    0x0503: (ec.EllipticCurvePrivateKey, hashes.SHA384, ec.SECP384R1),
    0x0804: (rsa.RSAPrivateKey, hashes.SHA256, None),
    0x0805: (rsa.RSAPrivateKey, hashes.SHA384, None),
    0x0806: (rsa.RSAPrivateKey, hashes.SHA512, None),
    0x0807: (ed25519.Ed25519PrivateKey, None, None),
}
# Schemes that are only for signatures inside certificates.
CERTIFICATE_SCHEMES = (0x0401, 0x0501, 0x0601)


def load_pem_chain(path):
    """The certificates of a PEM file, in its order."""
    with open(path, "rb") as f:
        data = f.read()
    end = b"-----END CERTIFICATE-----"
    return [x509.load_pem_x509_certificate(part[part.index(b"-----BEGIN"):] + end)
            for part in data.split(end)[:-1]]


def load_key(path):
    with open(path, "rb") as f:
        return serialization.load_pem_private_key(f.read(), password=None)


def der(cert):
    return cert.public_bytes(serialization.Encoding.DER)


def sign(key, offered, content):
    """Sign with the first of our schemes that fits key and offer: (scheme, signature)."""
    for scheme, (key_type, digest, curve) in SCHEMES.items():
        if scheme not in offered or not isinstance(key, key_type):
            continue
        if curve and not isinstance(key.curve, curve):
            continue
        if curve:
            return scheme, key.sign(content, ec.ECDSA(digest()))
        if digest:
            return scheme, key.sign(content, _pss(digest), digest())
        return scheme, key.sign(content)
    raise Alert(40, "no signature scheme common with the server")


def verify(public_key, scheme, signature, content):
    """Check a CertificateVerify signature; raises Alert."""
    if scheme not in SCHEMES:
        raise Alert(47, "signature scheme 0x%04x was not offered" % scheme)
    key_type, digest, curve = SCHEMES[scheme]
    try:
        if curve and isinstance(public_key, ec.EllipticCurvePublicKey) \
                and isinstance(public_key.curve, curve):
            public_key.verify(signature, content, ec.ECDSA(digest()))
        elif key_type is rsa.RSAPrivateKey and isinstance(public_key, rsa.RSAPublicKey):
            public_key.verify(signature, content, _pss(digest), digest())
        elif digest is None and isinstance(public_key, ed25519.Ed25519PublicKey):
            public_key.verify(signature, content)
        else:
            raise Alert(47, "signature scheme 0x%04x does not fit the key" % scheme)
    except InvalidSignature:
        raise Alert(DECRYPT_ERROR, "CertificateVerify does not verify") from None


def _signed_by(cert, issuer):
    key = issuer.public_key()
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(cert.signature, cert.tbs_certificate_bytes,
                       ec.ECDSA(cert.signature_hash_algorithm))
        elif isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(cert.signature, cert.tbs_certificate_bytes)
        elif isinstance(key, rsa.RSAPublicKey):
            scheme = getattr(cert, "signature_algorithm_parameters", None) or padding.PKCS1v15()
            key.verify(cert.signature, cert.tbs_certificate_bytes, scheme,
                       cert.signature_hash_algorithm)
        else:
            return False
    except InvalidSignature:
        return False
    return True


def _extension(cert, kind):
    try:
        return cert.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _is_ca(cert):
    basic = _extension(cert, x509.BasicConstraints)
    usage = _extension(cert, x509.KeyUsage)
    return basic is not None and basic.ca and (usage is None or usage.key_cert_sign)


def _check_time(cert, now):
    if hasattr(cert, "not_valid_before_utc"):
        first, last = cert.not_valid_before_utc, cert.not_valid_after_utc
    else:
        utc = datetime.timezone.utc
        first = cert.not_valid_before.replace(tzinfo=utc)
        last = cert.not_valid_after.replace(tzinfo=utc)
    if not first <= now <= last:
        raise Alert(EXPIRED, "certificate %s is not valid now" % cert.subject.rfc4514_string())


def _check_name(cert, name):
    names = _extension(cert, x509.SubjectAlternativeName)
    if names is None:
        raise Alert(BAD_CERTIFICATE, "the server's certificate has no subjectAltName")
    try:
        wanted = ipaddress.ip_address(name)
        found = wanted in names.get_values_for_type(x509.IPAddress)
    except ValueError:
        wanted = name.lower().rstrip(".")
        parent = "*." + wanted.partition(".")[2]
        found = any(n.lower() in (wanted, parent) for n in names.get_values_for_type(x509.DNSName))
    if not found:
        raise Alert(BAD_CERTIFICATE, "the server's certificate is not for %s" % name)


def verify_chain(chain, anchors, name, now=None):
    """Check that chain[0] is a TLS server's certificate for `name` which one of the anchors
    vouches for at the time `now` (default: the clock). Raises Alert."""
    now = now or datetime.datetime.now(datetime.timezone.utc)
    leaf = cert = chain[0]
    eku = _extension(leaf, x509.ExtendedKeyUsage)
    if eku is not None and ExtendedKeyUsageOID.SERVER_AUTH not in eku:
        raise Alert(BAD_CERTIFICATE, "the certificate is not for a TLS server")
    for _ in range(DEPTH_MAX):
        _check_time(cert, now)
        if any(der(cert) == der(anchor) for anchor in anchors):
            break
        issuer = next((c for c in anchors + chain[1:]
                       if c.subject == cert.issuer and _is_ca(c) and _signed_by(cert, c)), None)
        if issuer is None or issuer is cert:
            raise Alert(UNKNOWN_CA, "no trusted issuer for %s" % cert.subject.rfc4514_string())
        cert = issuer
    else:
        raise Alert(UNKNOWN_CA, "certificate chain too long")
    _check_name(leaf, name)
