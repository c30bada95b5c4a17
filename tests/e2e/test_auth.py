"""Who is let in. Every refusal is one clear line, an exit status of its own, and no retry loop.

    edge === wan1 === hub
"""
import re
import shutil
import time

import pytest
from certs import Authority
from lab import Lab
from tunnel import Site, Tunnel, client_keys, reachable, server_keys, write_config

SERVER_UNTRUSTED, CERT_TIME, SERVER_NAME, CLIENT_REJECTED = 20, 21, 22, 23
TOKEN_REJECTED, NO_CLIENT_AUTH = 24, 25


@pytest.fixture(scope="module")
def site(build, mpquic, lab_name):
    with Lab(lab_name, build=build, wans=1, profiles=["bare"]) as lab:
        site = Site(lab)
        site.other = Authority(lab.state / "other-ca", "another authority")
        yield site


@pytest.fixture
def ends(site):
    """Start instances by start(node, keys); stopped at the end of the test."""
    started = []

    def start(node, name, etc=None, **keys):
        base = client_keys(1, site.lab.hub4) if node == "edge" else server_keys(1)
        file = write_config(site.lab.state / f"{name}.yaml", **(base | keys))
        t = Tunnel(site.lab, node, file, etc or site.etc[node])
        t.log.unlink(missing_ok=True)
        started.append(t)
        return t.start()

    yield start
    for t in started:
        if t.process:
            t.stop()


def replace(site, name, files, cert, key):
    """An /etc like the usual one with another certificate and key."""
    etc = site.lab.state / f"etc-{name}"
    if etc.exists():
        shutil.rmtree(etc)
    shutil.copytree(site.etc["edge" if files == "edge" else "hub"], etc)
    tls = etc / "mpquic" / "tls"
    shutil.copy(cert, tls / f"{files}.crt")
    shutil.copy(key, tls / f"{files}.key")
    return etc


def refused(end, status, words):
    """It ended by itself with the status, and said why in one line."""
    assert end.wait_exit(20) == status, end.text()
    lines = [line for line in end.text().splitlines() if re.search(words, line)]
    assert len(lines) == 1, end.text()
    return lines[0]


def test_both_trust_each_other(site, ends):
    hub, edge = ends("hub", "hub"), ends("edge", "edge")
    reachable(site.lab, "edge", "10.200.1.2", ends=[hub, edge])
    assert re.search(r"peer edge/mpq1: up", hub.text())
    assert edge.stop() == 0 and hub.stop() == 0


def test_the_server_is_of_another_authority(site, ends):
    cert, key = site.other.issue("server", "hub", server=True, hosts=[site.lab.hub4])
    hub = ends("hub", "hub", etc=replace(site, "hub-other", "server", cert, key))
    edge = ends("edge", "edge")
    refused(edge, SERVER_UNTRUSTED, r"giving up")
    assert hub.running()


def test_the_server_certificate_has_expired(site, ends):
    cert, key = site.authority.issue("server-old", "hub", server=True, hosts=[site.lab.hub4],
                                     expired=True)
    ends("hub", "hub", etc=replace(site, "hub-old", "server", cert, key))
    refused(ends("edge", "edge"), CERT_TIME, r"giving up.*expired")


def test_the_server_has_another_name(site, ends):
    ends("hub", "hub")
    line = refused(ends("edge", "edge", tls_server_name="elsewhere.example"), SERVER_NAME,
                   r"giving up")
    assert "name" in line


def test_the_server_name_may_be_given(site, ends):
    hub, edge = ends("hub", "hub"), ends("edge", "edge", tls_server_name="hub.example")
    reachable(site.lab, "edge", "10.200.1.2", ends=[hub, edge])


def test_the_client_is_of_another_authority(site, ends):
    cert, key = site.other.issue("edge", "edge")
    hub = ends("hub", "hub")
    edge = ends("edge", "edge", etc=replace(site, "edge-other", "edge", cert, key))
    refused(edge, CLIENT_REJECTED, r"giving up")
    hub.wait_line(r"peer .*refused")
    assert len(re.findall(r"refused", hub.text())) == 1, hub.text()
    assert hub.running()


def test_the_client_certificate_has_expired(site, ends):
    cert, key = site.authority.issue("edge-old", "edge", expired=True)
    hub = ends("hub", "hub")
    edge = ends("edge", "edge", etc=replace(site, "edge-old", "edge", cert, key))
    assert edge.wait_exit(20) in (CERT_TIME, CLIENT_REJECTED), edge.text()
    assert hub.running()


def test_an_expired_certificate_ends_its_session(site, ends):
    """It is valid when the edge connects, and ends while the tunnel is up."""
    lasts, day = 20, 24 * 3600
    cert, key = site.authority.issue("edge-short", "edge", days=1,
                                     since=int(time.time()) + lasts - day)
    hub = ends("hub", "hub")
    edge = ends("edge", "edge", etc=replace(site, "edge-short", "edge", cert, key))
    reachable(site.lab, "edge", "10.200.1.2", timeout=lasts - 5, ends=[hub, edge])
    (warning,) = hub.status()["warnings"]
    assert re.fullmatch(r"the certificate of peer edge/mpq1 expires in \d+s, at \S+Z", warning)
    assert edge.wait_exit(lasts + 20) == CERT_TIME, edge.text()
    hub.wait_line(r"peer edge/mpq1: down: .*expired")
    assert hub.status()["peers"] == []
    told = edge.ask("status", check=False).stdout
    assert "not running: tunnel: giving up: " in told and "expired" in told


def test_the_client_is_not_on_the_list(site, ends):
    hub = ends("hub", "hub", allowed_clients=["somebody-else"])
    edge = ends("edge", "edge")
    refused(edge, CLIENT_REJECTED, r"giving up")
    hub.wait_line(r"peer edge: refused")
    assert hub.running()


def test_a_refused_client_disturbs_nobody(site, ends):
    """A stranger is refused while the known client's traffic passes."""
    hub = ends("hub", "hub")
    edge = ends("edge", "edge")
    reachable(site.lab, "edge", "10.200.1.2", ends=[hub, edge])
    cert, key = site.other.issue("edge", "edge")
    stranger = ends("edge", "stranger", etc=replace(site, "stranger", "edge", cert, key),
                    tun_name="mpq9", tun_cidr=["10.200.9.1/30"])
    refused(stranger, CLIENT_REJECTED, r"giving up")
    site.lab.exec("edge", "ping", "-c", "3", "-i", "0.1", "10.200.1.2")
    assert len(re.findall(r"peer edge/mpq1: (up|down)", hub.text())) == 1, hub.text()


def test_a_server_without_client_authentication_does_not_start(site, ends):
    hub = ends("hub", "hub", tls_ca_file=None, tokens_file=None)
    line = refused(hub, NO_CLIENT_AUTH, r"client authentication|tls_ca_file")
    assert "tokens_file" in line
    assert "listening" not in hub.text()


def test_a_token_instead_of_a_certificate(site, ends):
    for node, name, text in (("edge", "token", "s3cret-token-of-the-edge\n"),
                             ("hub", "tokens", "branch s3cret-token-of-the-edge\n")):
        path = site.etc[node] / "mpquic" / name
        path.write_text(text)
        path.chmod(0o600)
    hub = ends("hub", "hub", tls_ca_file=None, tokens_file="/etc/mpquic/tokens")
    edge = ends("edge", "edge", tls_cert_file=None, tls_key_file=None,
                token_file="/etc/mpquic/token")
    reachable(site.lab, "edge", "10.200.1.2", ends=[hub, edge])
    assert re.search(r"peer branch/mpq1: up", hub.text()), hub.text()
    edge.stop()
    (site.etc["edge"] / "mpquic" / "token").write_text("a-token-that-nobody-knows\n")
    edge = ends("edge", "edge-wrong", tls_cert_file=None, tls_key_file=None,
                token_file="/etc/mpquic/token")
    refused(edge, TOKEN_REJECTED, r"giving up")
    assert hub.running()
    assert "token-of-the-edge" not in hub.text() + edge.text()


def test_a_stranger_on_the_port_is_ignored(site, ends):
    """Datagrams that are not QUIC change nothing."""
    hub = ends("hub", "hub")
    hub.wait_line("listening")
    site.lab.exec("edge", "/usr/bin/python3", "-c", (
        "import os, socket\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        f"for n in range(300): s.sendto(os.urandom(1 + n * 4), ('{site.lab.hub4}', 45001))\n"))
    edge = ends("edge", "edge")
    reachable(site.lab, "edge", "10.200.1.2", ends=[hub, edge])
