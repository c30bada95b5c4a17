"""Certificates of the laboratory, made with certtool: an authority and what it signs."""
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


class Authority:
    """A certificate authority in a directory of its own: ca.crt, ca.key."""

    def __init__(self, directory, name="laboratory"):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.key, self.cert = self.directory / "ca.key", self.directory / "ca.crt"
        template = self.directory / "ca.template"
        template.write_text(f'cn = "{name}"\nca\ncert_signing_key\ncrl_signing_key\nexpiration_days = 30\n')
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

    def issue(self, file, name, server=False, hosts=(), expired=False):
        """Sign FILE.crt with FILE.key, e.g. issue("server", "hub", server=True, hosts=["::1"])."""
        key = self.directory / f"{file}.key"
        cert = self.directory / f"{file}.crt"
        template = self.directory / f"{file}.template"
        lines = [f'cn = "{name}"', "signing_key", "tls_www_server" if server else "tls_www_client"]
        for host in hosts:
            kind = "ip_address" if ":" in host or host.replace(".", "").isdigit() else "dns_name"
            lines.append(f'{kind} = "{host}"')
        if expired:
            lines += ['activation_date = "2020-01-01 00:00:00"',
                      'expiration_date = "2021-01-01 00:00:00"']
        else:
            lines.append("expiration_days = 30")
        template.write_text("\n".join(lines) + "\n")
        make_key(key)
        certtool("--generate-certificate", "--load-privkey", key, "--load-ca-certificate",
                 self.cert, "--load-ca-privkey", self.key, "--template", template, "--no-text",
                 "--outfile", cert)
        return cert, key
