"""Balancing and failover: new flows are spread over links, and every flow stays on its own.

The second site (lab/twowans.py) with a third provider beside the two, which masquerades:

    inner --enmwanbr0-- edge --enatt0.3242-- att ------+
                           |---enwebpass0--- webpass --+-- world
                           \\---enlte0------- lte ------+
"""
import collections
import contextlib
import json
import subprocess
import sys

import pytest
from conftest import ROOT
from gateway import Gateway
from lab import run, wait_until
import packets
from traffic import ping
from twowans import (DELEGATED, DEVICE, HOSTS6, INSIDE4, OUTSIDE4, OUTSIDE6, TARGET6, TwoWans,
                     WORLD4, WORLD6)

EXAMPLE = ROOT / "deploy" / "examples" / "gateway-two" / "gateway.yaml"
LTE4, LTE6 = "10.93.1.2", "2001:db8:93::2"
OWN = {"162.200.0.2": "att", "136.25.91.242": "webpass", LTE4: "lte"}
DEVICES = {**DEVICE, "lte": "enlte0"}

CONFIG = """
ipv6: true
probes:
  - {{name: net, targets: [{world4}, "{world6}"], interval: 100, timeout: 300, down: 4, up: 4,
     window: 20}}
links:
  - {{name: att, device: enatt0.3242, table: 100, mark: 1, masquerade: true, probe: net}}
  - {{name: webpass, device: enwebpass0, table: 200, mark: 2, masquerade: true, probe: net}}
  - {{name: lte, device: enlte0, table: 300, mark: 3, masquerade: true, probe: net}}
policies:
{policies}
"""
THREE = "balance: [{link: att, weight: 50}, {link: webpass, weight: 30}, {link: lte, weight: 20}]"
TIERS = "balance: [{link: att}, {link: webpass}], failover: [lte]"

# A new flow for each port, from one process.
MANY = """
import socket, sys
host, bind, first, n = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
family = socket.AF_INET6 if ":" in host else socket.AF_INET
for port in range(first, first + n):
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.bind((bind, port))
        s.sendto(b"x", (host, 9))
"""

# Flows that live on: for each line of the input each of them asks once more.
LONG = """
import json, select, socket, sys
host, bind, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
all = [socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
       for _ in range(n)]
for s in all:
    s.bind((bind, 0))
for line in sys.stdin:
    seen = {}
    for _ in range(3):
        for s in all:
            if s not in seen:
                s.sendto(b"x", (host, 7000))
        while len(seen) < n:
            ready = select.select([s for s in all if s not in seen], [], [], 0.4)[0]
            if not ready:
                break
            for s in ready:
                try:
                    seen[s] = json.loads(s.recv(2048))["seen"]
                except OSError:
                    pass
        if len(seen) == n or line.strip() == "once":
            break
    print(json.dumps([seen.get(s) for s in all]), flush=True)
"""


class ThreeWans(TwoWans):
    def nodes(self):
        return [*super().nodes(), "lte"]

    def _links(self):
        super()._links()
        for a, a_if, b, b_if in (("edge", "enlte0", "lte", "eth0"), ("lte", "eth1", "world", "lte")):
            run("ip", "link", "add", a_if, "netns", self.ns(a), "type", "veth", "peer", "name", b_if,
                "netns", self.ns(b))

    def _addresses(self):
        super()._addresses()
        self.exec("lte", "sh", "-e", input="echo 1 >/proc/sys/net/ipv4/ip_forward\n"
                  "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding\n")
        self._batch("edge", f"""
            link set enlte0 up
            address add {LTE4}/24 dev enlte0
            address add {LTE6}/64 dev enlte0 nodad
            route add default via 10.93.1.1 metric 300
            route add default via 2001:db8:93::1 dev enlte0 metric 300
        """)
        self._batch("lte", f"""
            link set lo up
            link set eth0 up
            link set eth1 up
            address add 10.93.1.1/24 dev eth0
            address add 2001:db8:93::1/64 dev eth0 nodad
            address add 10.93.0.1/30 dev eth1
            address add fd00:93::1/64 dev eth1 nodad
            route add {WORLD4} via 10.93.0.2
            route add {WORLD6} via fd00:93::2
        """)
        self._batch("world", f"""
            link set lte up
            address add 10.93.0.2/30 dev lte
            address add fd00:93::2/64 dev lte nodad
            route add 10.93.1.0/24 via 10.93.0.1 src {WORLD4}
            route add 2001:db8:93::/64 via fd00:93::1 src {WORLD6}
        """)


class Flows:
    """Flows of the inner router that stay open."""

    def __init__(self, lab, n, host=WORLD4, bind=INSIDE4[0]):
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", lab.ns("inner"), sys.executable, "-c", LONG, host, bind, str(n)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(10)

    def ask(self, word=""):
        """The source that each is seen with; None: no answer."""
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


class Site(Gateway):
    def write(self, *policies):
        self.file.write_text(CONFIG.format(
            world4=WORLD4, world6=WORLD6,
            policies="\n".join(f"  - {{{p}}}" for p in policies)))

    def use(self, *policies):
        self.write(*policies)
        self.verb("apply")
        self.wait_settled()

    def shares(self, family="ipv4", policy=0):
        p = json.loads(self.verb("status", "--json", check=False).stdout)["policies"][policy]
        return {s["link"]: s["percent"] for s in p[f"{family}_shares"]}

    def wait_shares(self, links, family="ipv4"):
        wait_until(lambda: set(self.shares(family)) == set(links), 15, f"new flows go to {links}")
        self.wait_settled()

    def wait_healthy(self):
        def healthy():
            links = json.loads(self.verb("status", "--json", check=False).stdout)["links"]
            return all(x[f]["state"] == "healthy" for x in links for f in ("ipv4", "ipv6"))
        wait_until(healthy, 20, "every link is healthy")

    def counters(self):
        out = self.lab.exec("edge", "nft", "-j", "list", "counters", "table", "inet",
                            "mpquic_gateway").stdout
        return {c["counter"]["name"]: c["counter"]["packets"]
                for c in json.loads(out)["nftables"] if "counter" in c}


@pytest.fixture(scope="module")
def site(build, mpquic, lab_name):
    with ThreeWans(lab_name, build=build) as lab:
        yield lab


@pytest.fixture(scope="module")
def running(site):
    g = Site(site, "edge", site.state / "balance.yaml")
    g.write(f"ingress: enmwanbr0, priority: 1001, {THREE}")
    g.start()
    g.wait_healthy()
    yield g
    g.stop()
    g.verb("down", file=False)


@pytest.fixture
def gateway(running):
    running.lab.exec("edge", "conntrack", "-F", check=False)
    return running


@contextlib.contextmanager
def no_leak(lab):
    captures = [lab.capture("edge", d, "ip src net 10.250.250.0/29 or ip6 src net 3d06:bad:b01::/48")
                for d in DEVICES.values()]
    yield
    for c in captures:
        seen = packets.read(c.stop())
        assert not seen, f"{c.file.name}: {[(f.source, f.destination) for f in seen][:5]}"


def link_of(seen):
    return OWN.get(seen)


def wait_new(lab, links, n=20):
    """Until new flows go to all of these links and no other: a link that is just back may be
    found silent once more before it is taken."""
    def right():
        with Flows(lab, n) as flows:
            return set(map(link_of, flows.ask())) == set(links)
    wait_until(right, 20, f"new flows go to {links}")


def wait_all(flows, link):
    wait_until(lambda: set(map(link_of, flows.ask())) == {link}, 20, f"all flows are on {link}")


def many(lab, host, bind, n, first=20000):
    lab.exec("inner", sys.executable, "-c", MANY, host, bind, first, n)


@pytest.mark.parametrize("host,bind", [(WORLD4, INSIDE4[0]), (WORLD6, HOSTS6[0])])
def test_flows_are_spread_by_weight(gateway, site, host, bind):
    gateway.use(f"ingress: enmwanbr0, priority: 1001, {THREE}")
    before = gateway.counters()
    many(site, host, bind, 20000)
    got = {k: v - before[k] for k, v in gateway.counters().items()}
    assert sum(got.values()) == 20000
    for link, percent in (("att", 50), ("webpass", 30), ("lte", 20)):
        assert abs(got[f"new-enmwanbr0-{link}"] / 200 - percent) < 2, got


def test_no_flow_changes_its_link_nor_over_a_reload(gateway, site):
    gateway.use(f"ingress: enmwanbr0, priority: 1001, {THREE}")
    with Flows(site, 60) as flows:
        first = flows.ask()
        assert set(map(link_of, first)) == set(DEVICES)
        assert flows.ask() == first
        count = gateway.counters()
        gateway.use("ingress: enmwanbr0, priority: 1001, balance: [{link: att, weight: 1}, "
                    "{link: webpass, weight: 1}, {link: lte, weight: 98}]")
        assert flows.ask() == first
        now = gateway.counters()
        assert all(now[k] == count[k] for k in count), "counters go on, and no flow began anew"


@pytest.mark.parametrize("sticky", ["source", "source-destination"])
def test_what_is_sticky_holds_over_a_reload(gateway, site, sticky):
    def links():
        found = {}
        for bind in INSIDE4:
            with Flows(site, 12, bind=bind) as flows:
                found[bind] = set(map(link_of, flows.ask()))
        return found
    policy = f"ingress: enmwanbr0, priority: 1001, sticky: {sticky}, {{}}"
    gateway.use(policy.format(THREE))
    first = links()
    assert all(len(v) == 1 for v in first.values()), first
    gateway.use(policy.format(THREE.replace("weight: 20", "weight: 9000")))
    assert links() == first


def die(lab, how, wan):
    if how == "carrier":
        lab.exec(wan, "ip", "link", "set", "eth0", "down")
    elif how == "address":
        lab.exec("edge", "ip", "address", "del", "162.200.0.2/24", "dev", DEVICES[wan])
    else:
        lab.exec(wan, "ip", "route", "replace", "blackhole", WORLD4)


def revive(lab, how, wan):
    if how == "carrier":
        lab.exec(wan, "ip", "link", "set", "eth0", "up")
        lab.exec(wan, "sh", "-e", input=f"""
            ip address replace fe80::a/64 dev eth0 nodad
            ip route replace {DELEGATED['att']} via fe80::e dev eth0
            ip route replace 2001:506:72f7:108c::1 via fe80::e dev eth0
        """)
        lab.exec("edge", "sh", "-e", input="""
            ip -6 address replace 2001:506:72f7:108c::1/128 dev enatt0.3242 nodad
            ip -6 address replace fe80::e/64 dev enatt0.3242 nodad
            ip -6 route replace default via fe80::a dev enatt0.3242 metric 100
            ip route replace default via 162.200.0.1 metric 100
        """)
    elif how == "address":
        lab.exec("edge", "sh", "-e", input="""
            ip address replace 162.200.0.2/24 dev enatt0.3242
            ip route replace default via 162.200.0.1 metric 100
        """)
    else:
        lab.exec(wan, "ip", "route", "replace", WORLD4, "via", "10.91.0.2")


@pytest.mark.parametrize("how", ["carrier", "address", "silent"])
def test_new_flows_leave_a_dead_link_and_come_back(gateway, site, how):
    gateway.use(f"ingress: enmwanbr0, priority: 1001, {TIERS}")
    gateway.wait_healthy()
    die(site, how, "att")
    try:
        gateway.wait_shares(["webpass"])
        wait_new(site, ["webpass"])
        die(site, "carrier", "webpass")
        gateway.wait_shares(["lte"])
        wait_new(site, ["lte"])
    finally:
        site.exec("webpass", "ip", "link", "set", "eth0", "up")
        site.exec("webpass", "sh", "-e", input=f"""
            ip address replace fe80::b/64 dev eth0 nodad
            ip route replace {DELEGATED['webpass']} via fe80::e dev eth0
            ip route replace 2604:5500:c271:8000::72b via fe80::e dev eth0
        """)
        revive(site, how, "att")
    gateway.wait_healthy()
    wait_new(site, ["att", "webpass"], 40)


@pytest.mark.parametrize("existing", ["drain", "flush"])
def test_what_becomes_of_flows_that_are_there(gateway, site, existing):
    gateway.use(f"ingress: enmwanbr0, priority: 1001, existing: {existing}, failover: [att, lte]")
    gateway.wait_healthy()
    wait_new(site, ["att"])
    with Flows(site, 20) as flows, no_leak(site):
        assert set(map(link_of, flows.ask())) == {"att"}
        die(site, "silent", "att")
        try:
            gateway.wait_shares(["lte"])
            during = flows.ask("once" if existing == "drain" else "")
        finally:
            revive(site, "silent", "att")
        # drained, they go on where they were; flushed, they are led to the better link once more
        wait_all(flows, "att")
    assert set(map(link_of, during)) == ({None} if existing == "drain" else {"lte"})


def test_failback_leaves_drained_flows_where_they_are(gateway, site):
    gateway.use("ingress: enmwanbr0, priority: 1001, failover: [att, lte]")
    gateway.wait_healthy()
    wait_new(site, ["att"])
    die(site, "silent", "att")
    try:
        gateway.wait_shares(["lte"])
        with Flows(site, 20) as flows:
            wait_all(flows, "lte")
            revive(site, "silent", "att")
            wait_new(site, ["att"])
            wait_all(flows, "lte")
    finally:
        revive(site, "silent", "att")
    gateway.wait_healthy()


def test_the_first_policy_that_matches_holds(gateway, site):
    gateway.use("ingress: enmwanbr0, name: udp, priority: 1001, protocol: udp, ports: 7000, pin: lte",
                "ingress: enmwanbr0, name: host, source: 10.250.250.3/32, pin: webpass",
                "ingress: enmwanbr0, pin: att")
    for bind, udp, tcp in ((INSIDE4[0], "lte", "att"), (INSIDE4[1], "lte", "webpass")):
        assert link_of(site.ask("inner", "udp", WORLD4, bind=bind)["seen"]) == udp
        assert link_of(site.ask("inner", "tcp", WORLD4, bind=bind)["seen"]) == tcp
    why = gateway.verb("why", INSIDE4[1], WORLD4, "tcp", 7000)
    assert "link webpass" in why.stdout and "agrees" in why.stdout


def test_own_traffic_and_own_services(gateway, site):
    """What the edge sends itself by its policy, and answers where it was asked."""
    gateway.use(f"ingress: enmwanbr0, priority: 1001, {THREE}",
                "ingress: local, priority: 1050, failover: [lte, att]")
    gateway.wait_healthy()
    for protocol in ("tcp", "udp"):
        assert site.ask("edge", protocol, WORLD4)["seen"] == LTE4
        assert site.ask("edge", protocol, WORLD4, bind="162.200.0.2")["seen"] == LTE4
    assert ping(site, "edge", WORLD4, 2, 0.05, ["-I", DEVICES["att"], "-W", "1"]).received == 2
    gateway.use(f"ingress: enmwanbr0, priority: 1001, {THREE}")
    server = site.popen("edge", sys.executable, ROOT / "lab" / "asks.py", "serve", 7000,
                        log=site.state / "asks-edge.log")
    try:
        wait_until(lambda: "ready" in (site.state / "asks-edge.log").read_text(), 10, "the server")
        for own in OWN:
            assert site.ask("world", "tcp", own)["seen"] == WORLD4
            assert site.ask("world", "udp", own)["from"] == own
            assert ping(site, "world", own, 2, 0.05, ["-W", "1"]).received == 2
    finally:
        site.stop(server)


def test_the_site_balances_and_answers_where_it_is_asked(gateway, site):
    gateway.file.write_text(EXAMPLE.read_text())
    gateway.verb("apply")
    gateway.wait_settled()
    with no_leak(site):
        with Flows(site, 40) as flows:
            assert collections.Counter(flows.ask()).keys() == {OUTSIDE4["att"][0],
                                                              OUTSIDE4["webpass"][0]}
        with Flows(site, 40, WORLD6, HOSTS6[0]) as flows:
            assert collections.Counter(flows.ask()).keys() == {OUTSIDE6["att"][0],
                                                              OUTSIDE6["webpass"][0]}
        strays = [site.capture("edge", DEVICE[a], f"src net {net4} or src net {net6}")
                  for a, net4, net6 in (("att", "136.25.91.240/29", DELEGATED["webpass"]),
                                        ("webpass", "104.57.226.192/29", DELEGATED["att"]))]
        for wan in DEVICE:
            for outside in [*OUTSIDE4[wan], *OUTSIDE6[wan], DELEGATED[wan].replace("/60", "1")]:
                assert site.ask("world", "tcp", outside), outside
                assert site.ask("world", "udp", outside)["from"] == outside
                assert ping(site, "world", outside, 1, 0.05, ["-W", "1"]).received == 1, outside
        for c in strays:
            assert not packets.read(c.stop())
    assert TARGET6


def test_flush_ruleset_under_flows_leaks_nothing(gateway, site):
    gateway.use(f"ingress: enmwanbr0, priority: 1001, {THREE}")
    with no_leak(site), Flows(site, 100) as flows:
        first = flows.ask()
        with Flows(site, 20, bind=INSIDE4[1]) as young:
            for _ in range(3):
                site.exec("edge", "nft", "flush", "ruleset")
                young.ask("once")
            gateway.wait_settled()
            assert None not in young.ask()
        assert flows.ask() == first
