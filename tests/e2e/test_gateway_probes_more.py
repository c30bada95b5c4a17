"""Probes by TCP, DNS, HTTP and HTTPS: up, down for what each can be down by, up again; one family
alone; out of their own interface.

    lan1 -- edge -- enp7s3 -- wan1 --+
                 -- enp7s4 -- wan2 --+-- core -- hub, inet (the host that answers)
"""
import json
import sys

import pytest
from certs import Authority
from conftest import ROOT
from gateway import Gateway
from lab import Lab, wait_until
import packets

CONFIG = """
ipv6: true
probes:
  - name: more
    targets: [{targets}]
    interval: 100
    timeout: 300
    down: 4
    up: 4
    {keys}
links:
  - {{name: wan1, device: enp7s3, probe: more, table: 300, masquerade: true}}
  - {{name: wan2, device: enp7s4, probe: more}}
policies:
  - {{ingress: enp6s20, pin: wan1, priority: 1001}}
"""
FINE = {"tcp": "open", "dns": 0, "http": 204}


@pytest.fixture(scope="module")
def site(build, mpquic, lab_name, tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("ca"))
    with Lab(lab_name, build=build, wans=2, lans=1, profiles=["bare"] * 2) as lab:
        cert, key = authority.issue("server", "inet", server=True,
                                    hosts=["probe.example", lab.inet4])
        lab.ca = lab.state / "ca.pem"
        lab.ca.write_bytes(authority.cert.read_bytes())
        lab.state.chmod(0o755)
        lab.ca.chmod(0o644)
        (lab.state / "MODES").write_text(json.dumps(FINE))
        lab.popen("inet", sys.executable, ROOT / "tests" / "e2e" / "answerer.py", lab.state, cert,
                  key, lab.inet4, lab.inet6, log=lab.state / "answerer.log")
        yield lab


class Probed(Gateway):
    def __init__(self, lab):
        super().__init__(lab, "edge", lab.state / "more.yaml")
        self.answer()

    def configure(self, keys, targets=None):
        targets = targets or [self.lab.inet4, self.lab.inet6]
        self.file.write_text(CONFIG.format(targets=", ".join(f'"{t}"' for t in targets),
                                           keys="\n    ".join(keys)))
        return self

    def answer(self, **modes):
        new = self.lab.state / "MODES.new"
        new.write_text(json.dumps(FINE | modes))
        new.rename(self.lab.state / "MODES")

    def state(self, name, family="ipv4"):
        told = json.loads(self.verb("status", "--json", check=False).stdout)
        return next(x for x in told["links"] if x["name"] == name)[family]["state"]

    def wait_states(self, state, names=("wan1", "wan2"), families=("ipv4", "ipv6"), timeout=10):
        for name in names:
            for family in families:
                wait_until(lambda: self.state(name, family) == state, timeout,
                           f"{name} is {state} in {family}", interval=0.05)

    def up_and_down(self, **modes):
        """Healthy, unhealthy while it answers so, healthy again."""
        self.wait_states("healthy")
        self.answer(**modes)
        self.wait_states("unhealthy")
        self.answer()
        self.wait_states("healthy")

    def asked(self):
        file = self.lab.state / "asked"
        lines = {tuple(x.split()) for x in file.read_text().splitlines()} if file.exists() else set()
        file.unlink(missing_ok=True)
        return lines


@pytest.fixture
def gateway(site):
    g = Probed(site)
    g.asked()
    (site.state / "requests").unlink(missing_ok=True)
    yield g
    for i in (1, 2):
        site.wan(i).set("both", "cut=0 loss=0 delay=0ms")
    g.stop()
    g.verb("down", file=False)
    for path in site.state.rglob("gateway.health"):
        path.unlink()


def sources(kind):
    return {(kind, a) for i in (1, 2) for a in (f"10.150.{i}.2", f"2001:db8:{i}::2")}


def begins(frame):
    """Is it the beginning of a connection?"""
    ip = frame.data[14:]
    return ip[(40 if ip[0] >> 4 == 6 else (ip[0] & 15) * 4) + 13] & 2


def https_keys(site, **more):
    keys = {"type": "https", "port": 8443, "host": "probe.example", "ca_file": site.ca} | more
    return [f"{k}: {v}" for k, v in keys.items()]


def test_tcp(site, gateway):
    gateway.configure(["type: tcp", "port: 7000"]).start()
    gateway.wait_states("healthy")
    gateway.asked()
    captures = {i: site.capture("edge", site.wan_interface(i), "tcp and dst port 7000")
                for i in (1, 2)}
    gateway.up_and_down(tcp="closed")
    for i, c in captures.items():
        sent = {f.source for f in packets.read(c.stop()) if begins(f)}
        assert sent == {f"10.150.{i}.2", f"2001:db8:{i}::2"}
    assert gateway.asked() == sources("tcp")
    site.wan(2).cut()  # silence, not a refusal
    gateway.wait_states("unhealthy", names=["wan2"])
    gateway.wait_states("healthy", names=["wan1"])
    site.wan(2).cut(False)
    gateway.wait_states("healthy")


def test_dns(site, gateway):
    gateway.configure(["type: dns"]).start()
    gateway.up_and_down(dns=2)  # SERVFAIL
    gateway.up_and_down(dns="none")
    gateway.up_and_down(dns="garbage")
    gateway.answer(dns=3)  # NXDOMAIN is an answer
    gateway.wait_states("healthy")
    assert gateway.asked() == sources("dns")


def test_dns_with_an_address(site, gateway):
    gateway.configure(["type: dns", "query: probe.example", "record: a", "expect: address"]).start()
    gateway.up_and_down(dns=3)


def test_http(site, gateway):
    gateway.configure(["type: http", "port: 8080", "host: probe.example", "path: /generate_204",
                       "status: 204"]).start()
    gateway.up_and_down(http=200)
    gateway.up_and_down(http="silent")
    gateway.up_and_down(http="garbage")
    assert gateway.asked() == sources("http")
    request = (site.state / "requests").read_bytes()
    assert request.startswith(b"HEAD /generate_204 HTTP/1.1\r\nHost: probe.example:8080\r\n")


def test_https(site, gateway):
    gateway.configure(https_keys(site, method="get")).start()
    gateway.up_and_down(http=503)
    assert gateway.asked() == sources("https")
    assert (site.state / "requests").read_bytes().startswith(b"GET / HTTP/1.1\r\n")


@pytest.mark.parametrize("keys", [{"host": "other.example"}, {"ca_file": "/nonexistent"}])
def test_https_with_a_certificate_that_is_not_good(site, gateway, keys):
    gateway.configure(https_keys(site, **keys)).start()
    gateway.wait_states("unhealthy")
    assert not (site.state / "requests").exists()  # nothing is said to whom is not trusted
    if "ca_file" in keys:
        gateway.wait_log("no certificate authority can be read from /nonexistent")


def test_https_without_verification(site, gateway):
    keys = [k for k in https_keys(site, host="other.example", verify="false") if "ca_file" not in k]
    gateway.configure(keys).start()
    gateway.wait_states("healthy")


def test_https_to_an_address(site, gateway):
    """The certificate is for the address itself, which is IPv4's alone."""
    gateway.configure([k for k in https_keys(site) if "host" not in k]).start()
    gateway.wait_states("healthy", families=["ipv4"])
    gateway.wait_states("unhealthy", families=["ipv6"])


@pytest.mark.parametrize("keys,modes", [(["type: tcp", "port: 7000"], {"tcp4": "closed"}),
                                        (["type: dns"], {"dns4": "none"})])
def test_ipv4_alone_is_dead(site, gateway, keys, modes):
    """IPv6 goes on to be carried."""
    gateway.configure(keys).start()
    gateway.wait_states("healthy")
    gateway.wait_route(300, "default via 10.150.1.1", True)
    gateway.answer(**modes)
    gateway.wait_states("unhealthy", families=["ipv4"])
    gateway.wait_route(300, "default via 10.150.1.1", False)
    six = site.exec("edge", "ip", "-6", "route", "show", "table", "300").stdout
    assert "default via 2001:db8:1::1" in six
    gateway.wait_states("healthy", families=["ipv6"])
    assert site.exec("lan1", "ping", "-n", "-c", 2, "-W", 1, "-i", "0.05", site.inet6)
    gateway.answer()
    gateway.wait_states("healthy")
    gateway.wait_route(300, "default via 10.150.1.1", True)


def test_one_of_two_targets(site, gateway):
    """The other one is a host that refuses."""
    gateway.configure(["type: tcp", "port: 7000", "need: 1"],
                      [site.inet4, site.hub4, site.inet6, site.hub6]).start()
    gateway.wait_states("healthy")
    gateway.answer(tcp="closed")
    gateway.wait_states("unhealthy")


def test_many_tries_leave_nothing_open(site, gateway):
    """Attempts that hang are ended: the descriptors of who probes stay few."""
    gateway.configure(["type: http", "port: 8080"]).start()
    gateway.wait_states("healthy")
    pid = gateway.pid()
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        child = f.read().split()[0]

    def sockets():
        return int(site.exec("edge", "sh", "-c", f"ls /proc/{child}/fd | wc -l").stdout)
    gateway.answer(http="silent")
    gateway.wait_states("unhealthy")
    most = 4 * 4 + 8  # four tries for each link and family, and what is there anyway
    assert all(sockets() <= most for _ in range(50))
    gateway.answer()
    gateway.wait_states("healthy")
