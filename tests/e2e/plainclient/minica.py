"""A certificate authority for tests, on python3-cryptography."""

import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _new_key(kind):
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP256R1())


def _host(text):
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


class Authority:
    """Writes PEM files NAME.crt and NAME.key into a directory; its own is ca.crt."""

    def __init__(self, directory, name="test authority"):
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.key = _new_key("ec")
        self.name = _name(name)
        now = datetime.datetime.now(datetime.timezone.utc)
        usage = dict.fromkeys(("digital_signature", "content_commitment", "key_encipherment",
                               "data_encipherment", "key_agreement", "encipher_only",
                               "decipher_only"), False)
        cert = self._builder(self.name, self.key, now - DAY, now + 30 * DAY) \
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True) \
            .add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage),
                           critical=True) \
            .sign(self.key, hashes.SHA256())
        self.file = directory / "ca.crt"
        self.file.write_bytes(cert.public_bytes(serialization.Encoding.PEM))

    def _builder(self, subject, key, first, last):
        return x509.CertificateBuilder().subject_name(subject).issuer_name(self.name) \
            .public_key(key.public_key()).serial_number(x509.random_serial_number()) \
            .not_valid_before(first).not_valid_after(last) \
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(
                self.key.public_key()), critical=False) \
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
                           critical=False)

    def issue(self, name, hosts=(), kind="ec", expired=False):
        """A client's certificate, or with hosts a server's: (certificate file, key file)."""
        key = _new_key(kind)
        end = datetime.datetime.now(datetime.timezone.utc) + (-1 * DAY if expired else 20 * DAY)
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = self._builder(_name(name), key, end - 21 * DAY, end) \
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True) \
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False) \
            .add_extension(x509.SubjectAlternativeName(
                [_host(h) for h in hosts or [name]]), critical=False)
        cert_file, key_file = self.directory / (name + ".crt"), self.directory / (name + ".key")
        cert_file.write_bytes(builder.sign(self.key, hashes.SHA256())
                              .public_bytes(serialization.Encoding.PEM))
        key_file.touch(0o600)
        key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM,
                                               serialization.PrivateFormat.PKCS8,
                                               serialization.NoEncryption()))
        return cert_file, key_file
