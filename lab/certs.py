"""Certificates of the laboratory, made with certtool: an authority and what it signs."""
import datetime
import pathlib
import subprocess


def certtool(*args):
    result = subprocess.run(["certtool", *map(str, args)], capture_output=True, text=True,
                            stdin=subprocess.DEVNULL, timeout=60)
    if result.returncode:
        raise RuntimeError(f"certtool: {result.stderr.strip()}")


def make_key(path):
    certtool("--generate-privkey", "--key-type=ecdsa", "--curve=secp256r1", "--no-text",
             "--outfile", path)
    path.chmod(0o600)


def validity(since, days):
    """Lines of a template: from that time in seconds since 1970, or from now on."""
    if since is None:
        return [f"expiration_days = {days}"]
    def text(t):
        return datetime.datetime.fromtimestamp(t, datetime.timezone.utc).strftime("%F %T UTC")
    return [f'activation_date = "{text(since)}"', f'expiration_date = "{text(since + days * 86400)}"']


class Authority:
    """A certificate authority in a directory of its own: ca.crt, ca.key. Times are in seconds since
    1970; without one its certificates are valid from now on."""

    def __init__(self, directory, name="laboratory", since=None, days=30):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.key, self.cert = self.directory / "ca.key", self.directory / "ca.crt"
        template = self.directory / "ca.template"
        self.since, self.days = since, days
        lines = [f'cn = "{name}"', "ca", "cert_signing_key", "crl_signing_key"]
        template.write_text("\n".join(lines + validity(since, days)) + "\n")
        make_key(self.key)
        certtool("--generate-self-signed", "--load-privkey", self.key, "--template", template,
                 "--no-text", "--outfile", self.cert)

    def revoke(self, *files):
        """A revocation list with FILE.crt of each: its path."""
        template = self.directory / "crl.template"
        template.write_text("crl_next_update = 30\ncrl_number = 1\n")
        revoked = self.directory / "revoked.pem"
        revoked.write_text("".join((self.directory / f"{f}.crt").read_text() for f in files))
        crl = self.directory / "ca.crl"
        certtool("--generate-crl", "--load-ca-certificate", self.cert, "--load-ca-privkey",
                 self.key, *(["--load-certificate", revoked] if files else []), "--template",
                 template, "--outfile", crl)
        return crl

    def issue(self, file, name, server=False, hosts=(), expired=False, since=None, days=None):
        """Sign FILE.crt with FILE.key, e.g. issue("server", "hub", server=True, hosts=["::1"]);
        valid as the authority itself unless said otherwise."""
        key = self.directory / f"{file}.key"
        cert = self.directory / f"{file}.crt"
        template = self.directory / f"{file}.template"
        lines = [f'cn = "{name}"', "signing_key", "tls_www_server" if server else "tls_www_client"]
        for host in hosts:
            kind = "ip_address" if ":" in host or host.replace(".", "").isdigit() else "dns_name"
            lines.append(f'{kind} = "{host}"')
        if expired:
            since, days = 1577836800, 366  # the year 2020
        lines += validity(self.since if since is None else since, days or self.days)
        template.write_text("\n".join(lines) + "\n")
        make_key(key)
        certtool("--generate-certificate", "--load-privkey", key, "--load-ca-certificate",
                 self.cert, "--load-ca-privkey", self.key, "--template", template, "--no-text",
                 "--outfile", cert)
        return cert, key
