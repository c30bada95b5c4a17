"""`mpquic check` on files as people leave them: each slip is one line with its place and a remedy."""
import os
import pathlib
import re
import subprocess

import pytest
from certs import Authority
from clock import DAY, YEAR_2000, Clock, source_date
from tunnel import client_keys, server_keys, write_config


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("ca"))
    authority.issue("server", "hub", server=True, hosts=["203.0.113.10", "hub.example"])
    authority.issue("edge", "edge")
    return authority


@pytest.fixture
def check(mpquic, pki, tmp_path):
    """check(role, keys): exit status and output for a configuration with those keys replaced, made
    behind the words of `inside`."""
    def run(role, inside=(), **keys):
        base = client_keys(1, "203.0.113.10") if role == "client" else server_keys(1)
        own = "edge" if role == "client" else "server"
        base |= dict(bind_ip="if:lo" if role == "client" else "0.0.0.0")
        base |= dict(tls_cert_file=pki.directory / f"{own}.crt",
                     tls_key_file=pki.directory / f"{own}.key", tls_ca_file=pki.cert)
        file = write_config(tmp_path / "1.yaml", **(base | keys))
        result = subprocess.run([*inside, mpquic, "check", file], capture_output=True,
                                text=True, timeout=20)
        assert not result.stderr
        return result.returncode, result.stdout
    return run


def one_line(result, status, kind, words):
    """One line says it: at a place in the file, of the kind, with a remedy behind it."""
    code, text = result
    assert code == status, text
    lines = [line for line in text.splitlines() if re.search(words, line)]
    assert len(lines) == 1, text
    assert re.search(rf"1\.yaml:\d+:\d+: {kind}: .*; .+", lines[0]), text


def test_all_in_order(check):
    for role in ("client", "server"):
        code, text = check(role)
        assert code == 0 and text.endswith(": ok\n") and text.count("\n") == 1, text


def test_an_expired_certificate(check, pki):
    cert, key = pki.issue("old", "edge", expired=True)
    one_line(check("client", tls_cert_file=cert, tls_key_file=key), 1, "error",
             r"'edge' expired on 2021-01-01")


def test_a_clock_without_a_battery(check, build, tmp_path):
    """Judged is by the time that the tunnel would go by: the date of the program, or the saved one."""
    made = source_date(build)
    old, new = (Authority(tmp_path / name, since=since, days=1000)
                for name, since in (("old", made - 100 * DAY), ("new", made + 10 * DAY)))
    saved = pathlib.Path(os.environ["MPQUIC_STATE_DIR"]) / "1.time"
    def judged(authority):
        cert, key = authority.issue("edge", "edge")
        return check("client", tls_cert_file=cert, tls_key_file=key, tls_ca_file=authority.cert)
    with Clock(tmp_path, at=YEAR_2000):
        assert judged(old)[0] == 0
        assert judged(new)[0] == 1 and "is not valid before" in judged(new)[1]
        saved.write_text(f"{made + 20 * DAY}\n")
        try:
            assert judged(new)[0] == 0
        finally:
            saved.unlink()


@pytest.mark.parametrize("role, other", [("client", "server"), ("server", "edge")])
def test_the_certificate_of_the_other_end(check, pki, role, other):
    result = check(role, tls_cert_file=pki.directory / f"{other}.crt",
                   tls_key_file=pki.directory / f"{other}.key")
    one_line(result, 1, "error", f"may not be used by a {role}")


def test_a_server_certificate_without_names(check, pki):
    cert, key = pki.issue("nameless", "hub", server=True)
    one_line(check("server", tls_cert_file=cert, tls_key_file=key), 1, "error",
             "no subject alternative name")


def test_a_key_of_another_certificate(check, pki):
    one_line(check("client", tls_key_file=pki.directory / "server.key"), 1, "error",
             "the private key does not belong to the certificate")


def test_the_servers_certificate_in_the_place_of_the_authoritys(check, pki):
    one_line(check("client", tls_ca_file=pki.directory / "server.crt"), 0, "warning",
             "no authority's")


def test_tokens(check, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("edge1 short\nedge2 0123456789abcdef\nedge3 0123456789abcdef\nedge4\n")
    tokens.chmod(0o600)
    result = check("server", tokens_file=tokens)
    one_line(result, 1, "warning", "line 1: the token has only 5 characters")
    one_line(result, 1, "error", "line 3: this token stands in line 2 already")
    one_line(result, 1, "error", "line 4: a token is missing")
    assert "0123456789abcdef" not in result[1]


def test_secrets_that_others_can_read(check, pki, tmp_path):
    key = tmp_path / "edge.key"
    key.write_bytes((pki.directory / "edge.key").read_bytes())
    key.chmod(0o644)
    one_line(check("client", tls_key_file=key), 0, "warning", "others than its owner")


def test_two_peers_with_one_address(check, tmp_path, pki, mpquic):
    file = tmp_path / "hub.yaml"
    write_config(file, **(server_keys(1) | dict(
        tls_cert_file=pki.directory / "server.crt", tls_key_file=pki.directory / "server.key",
        tls_ca_file=pki.cert, tun_cidr=["10.200.10.254/24"], multi_conn_enabled=True)))
    with open(file, "a") as f:
        f.write("peers:\n  - {name: a, addresses: 10.200.10.1}\n"
                "  - {name: b, addresses: 10.200.10.1}\n")
    result = subprocess.run([mpquic, "check", file], capture_output=True, text=True, timeout=20)
    assert result.returncode == 1
    assert re.search(r"hub\.yaml:\d+:26: error: the address 10\.200\.10\.1 is given twice; "
                     r"the first time is in line \d+", result.stdout), result.stdout


def test_a_file_that_cannot_be_read_is_named(check, tmp_path):
    code, text = check("client", tls_ca_file=tmp_path / "nothing.pem")
    assert code == 1
    assert re.search(r"1\.yaml:\d+:\d+: error: tls_ca_file: cannot read .*nothing\.pem: ", text), text


def test_a_list_of_another_authority_is_told_at_its_line(check, tmp_path):
    crl = Authority(tmp_path / "other", "another").revoke()
    result = check("server", tls_crl_file=crl)
    assert result[0] == 1
    line = (tmp_path / "1.yaml").read_text().splitlines().index(f"tls_crl_file: {crl}") + 1
    assert re.search(rf"1\.yaml:{line}:\d+: error: .*revocation list", result[1]), result[1]


def test_an_interface_that_is_not_there(check):
    one_line(check("client", bind_ip="if:wan77"), 0, "warning", "there is no interface 'wan77'")


def test_a_tun_name_that_is_another_interface(check):
    node = f"mpq-check-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", node], check=True)
    try:
        subprocess.run(["ip", "-n", node, "link", "add", "wan0", "type", "veth", "peer", "wan1"],
                       check=True)
        one_line(check("client", inside=["ip", "netns", "exec", node], tun_name="wan0"), 0,
                 "warning", "'wan0' is an interface .* not a TUN")
    finally:
        subprocess.run(["ip", "netns", "del", node], check=True)
