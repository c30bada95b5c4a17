"""Dynamic DNS of the gateway's links: at the edge, with a name server (lab/nameserver.py) behind the
WANs that verifies signatures by code of its own.
"""
import json

import pytest
from conftest import ROOT
from gateway import Gateway
from lab import Lab, wait_until

SECRET = "c2VjcmV0IHRoYXQgbm9ib2R5IGlzIHRvIHNlZSAhISEh"
PORT, WEB = 5300, 8053


class NameServer:
    def __init__(self, lab):
        self.lab, self.log = lab, lab.state / "nameserver.log"
        self.process = None

    def start(self):
        self.log.unlink(missing_ok=True)
        self.process = self.lab.popen("inet", "/usr/bin/python3", ROOT / "lab" / "nameserver.py",
                                      self.lab.inet4, PORT, WEB, "edge-key", SECRET, log=self.log)
        self.wait(lambda e: e["event"] == "ready")
        return self

    def stop(self):
        if self.process:
            self.lab.stop(self.process)
            self.process = None

    def events(self):
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [json.loads(line) for line in lines if line.startswith("{")]

    def wait(self, which, n=1):
        wait_until(lambda: sum(map(which, self.events())) >= n, 20, f"it was told: {self.events()}")

    def said(self, event):
        return [e for e in self.events() if e["event"] == event]


@pytest.fixture(scope="module")
def site(build, mpquic, lab_name):
    with Lab(lab_name, build=build, wans=2, profiles=["bare"] * 2) as lab:
        yield lab


@pytest.fixture
def server(site):
    s = NameServer(site)
    yield s
    s.stop()


@pytest.fixture
def edge(site):
    made = []

    def make(entry, secret=SECRET, mode=0o600, algorithm="hmac-sha256"):
        key, file = site.state / "dns.key", site.state / "dns.yaml"
        key.unlink(missing_ok=True)
        key.write_text(f'key "edge-key" {{\n\talgorithm {algorithm};\n\tsecret "{secret}";\n}};\n')
        key.chmod(mode)
        events = site.state / "events.json"
        events.unlink(missing_ok=True)
        file.write_text(f"event_log: {events}\nlinks:\n  - {{name: wan1, device: enp7s3}}\n"
                        f"  - {{name: wan2, device: enp7s4}}\ndns:\n  - {entry}\n")
        g = Gateway(site, "edge", file)
        g.events = events
        made.append(g)
        return g.start()
    yield make
    for g in made:
        g.stop()
        g.verb("down", file=False)


def by_name(site, link="wan1"):
    return (f"{{link: {link}, name: {link}.Example.net, zone: example.net, server: {site.inet4}, "
            f"port: {PORT}, ttl: 300, key: {site.state}/dns.key}}")


def addresses(server):
    return [e["address"] for e in server.said("update")]


def move(site, old, new):
    site.exec("edge", "sh", "-ec", f"""
        ip address del {old}/24 dev enp7s3
        ip address add {new}/24 dev enp7s3
        ip route add default via 10.150.1.1 dev enp7s3 metric 101
        """)


def test_a_name_follows_the_address_of_its_link(site, server, edge):
    server.start()
    g = edge(by_name(site))
    server.wait(lambda e: e["event"] == "update")
    assert server.said("update") == [{"event": "update", "zone": "example.net",
                                      "name": "wan1.example.net", "ttl": 300,
                                      "address": "10.150.1.2"}]
    g.wait_log("dns: link wan1: wan1.Example.net is told 10.150.1.2")
    move(site, "10.150.1.2", "10.150.1.77")
    try:
        wait_until(lambda: addresses(server) == ["10.150.1.2", "10.150.1.77"], 20, "told again")
    finally:
        move(site, "10.150.1.77", "10.150.1.2")
    wait_until(lambda: addresses(server)[-1] == "10.150.1.2", 20, "and again")
    g.wait_log("is told 10.150.1.77")
    told = [json.loads(line) for line in g.events.read_text().splitlines()]
    assert [e["address"] for e in told if e["event"] == "dns" and "error" not in e][:2] == [
        "10.150.1.2", "10.150.1.77"]
    assert all(SECRET not in line for line in (g.text(), g.events.read_text()))


def test_it_leaves_by_its_own_link(site, server, edge):
    """wan2 is not the way that the machine itself would take."""
    server.start()
    capture = site.capture("edge", "enp7s4", f"udp port {PORT}")
    edge(by_name(site, "wan2"))
    server.wait(lambda e: e["event"] == "update")
    assert addresses(server) == ["10.150.2.2"]
    assert capture.stop().stat().st_size > 24


def test_what_fails_is_tried_again(site, server, edge):
    g = edge(by_name(site))
    g.wait_log("is not told 10.150.1.2: ")
    server.start()
    server.wait(lambda e: e["event"] == "update")
    g.wait_log("is told 10.150.1.2")


def test_a_wrong_key_is_refused_and_said(site, server, edge):
    server.start()
    g = edge(by_name(site), secret="d3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcgd3I=")
    g.wait_log("is not told 10.150.1.2: the server says NOTAUTH")
    assert not addresses(server)


@pytest.mark.parametrize("how,words", [
    ({"mode": 0o644}, "cannot read the key, which nobody but its owner may read: Permission denied"),
    ({"algorithm": "hmac-md5"}, "cannot read the key, which nobody but its owner may read: Invalid"),
])
def test_a_key_that_is_no_good(site, server, edge, how, words):
    server.start()
    g = edge(by_name(site), **how)
    g.wait_log(words)
    assert not addresses(server)


def test_a_url_is_fetched_with_the_address(site, server, edge):
    server.start()
    g = edge(f"{{link: wan2, url: 'http://{site.inet4}:{WEB}/update?host=a&ip={{address}}&password=x'}}")
    server.wait(lambda e: e["event"] == "get")
    assert server.said("get") == [{"event": "get", "client": "10.150.2.2",
                                   "path": "/update?host=a&ip=10.150.2.2&password=x"}]
    g.wait_log("dns: link wan2: its url is told 10.150.2.2")
    assert "password" not in g.text() + g.events.read_text()


def test_a_url_that_refuses(site, server, edge):
    server.start()
    g = edge(f"{{link: wan1, url: 'http://{site.inet4}:{WEB}/refuse?ip={{address}}'}}")
    g.wait_log("its url is not told 10.150.1.2: curl: (22) ")


def test_processes_that_tell_have_no_privileges(site, server, edge):
    g = edge(by_name(site))  # nobody answers: it is there for some seconds
    children = f"/proc/{g.pid()}/task/{g.pid()}/children"

    def child():
        with open(children) as f:
            pids = f.read().split()
        return pids[0] if pids else None
    pid = wait_until(child, 10, "a process tells")

    def status():
        with open(f"/proc/{pid}/status") as f:
            return {name: rest.strip() for name, _, rest in (line.partition(":") for line in f)}
    wait_until(lambda: status()["Seccomp"] == "2", 5, "it has entered its filter")
    s = status()
    assert s["Uid"].split()[0] != "0" and int(s["CapEff"], 16) == 0 and int(s["CapBnd"], 16) == 0
    assert s["NoNewPrivs"] == "1"


@pytest.mark.parametrize("entry,words", [
    ("{link: wan9, url: 'http://x/{address}'}", "there is no link 'wan9'"),
    ("{link: wan1}", "either name or url is wanted"),
    ("{link: wan1, url: 'ftp://x/{address}'}", "url does not begin with http:// or https://"),
    ("{link: wan1, url: 'http://x/'}", "url does not say {address}"),
    ("{link: wan1, url: 'http://x/\"{address}'}", "url holds characters that a URL cannot hold"),
    ("{link: wan1, name: a.example.net, server: 192.0.2.1}", "key is missing"),
    ("{link: wan1, name: a.example.net, key: /k}", "server is missing"),
    ("{link: wan1, name: a.example.net, server: '2001:db8::1', key: /k}",
     "server is not of the family of the address"),
    ("{link: wan1, name: a.example.net, zone: example.org, server: 192.0.2.1, key: /k}",
     "name is not in that zone"),
])
def test_check_finds_what_cannot_work(site, entry, words):
    file = site.state / "wrong.yaml"
    file.write_text(f"links:\n  - {{name: wan1, device: enp7s3}}\ndns:\n  - {entry}\n")
    p = Gateway(site, "edge", file).verb("check", check=False)
    assert p.returncode != 0 and words in p.stdout + p.stderr
