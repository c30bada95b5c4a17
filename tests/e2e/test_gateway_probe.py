"""Probes: a WAN that is silent without losing anything the kernel could see.

    lan1 -- enp6s20        enp7s3 -- wan1 --+
    lan2 -- enp6s21  edge  enp7s4 -- wan2 --+-- core -- hub, inet
    lan3 -- enp6s22        enp7s5 -- wan3 --+

LAN 1 and 2 are pinned to mpq1 and mpq2, which here are cables to the hub: they carry all the time, so
that it is the gateway alone that closes and opens. LAN 3 is pinned to wan3 itself and masqueraded.
"""
import json
import os
import random
import signal
import time

import pytest
from conftest import ROOT
from gateway import Gateway
from lab import Lab, run, wait_until
from traffic import ping
from tunnel import Site, Tunnel, reachable
import packets

THREE = range(1, 4)

CONFIG = """
ipv6: true
event_log: {events}
probes:
  - name: net
    targets: [{targets}]
    need: {need}
    interval: 100
    timeout: 300
    down: 4
    up: 4
    window: 20
links:
  - {{name: wan1, device: enp7s3, probe: net}}
  - {{name: wan2, device: enp7s4, probe: net}}
  - {{name: wan3, device: enp7s5, probe: net, table: 300, masquerade: true}}
  - {{name: mpq1, type: tunnel, device: mpq1, table: 100, over: wan1, hub: 203.0.113.10}}
  - {{name: mpq2, type: tunnel, device: mpq2, table: 101, over: wan2, hub: 203.0.113.10}}
policies:
  - {{ingress: enp6s20, pin: mpq1, priority: 1001}}
  - {{ingress: enp6s21, pin: mpq2, priority: 1002}}
  - {{ingress: enp6s22, pin: wan3, priority: 1003}}
"""


def cables(lab):
    for i in (1, 2):
        run("ip", "link", "add", f"mpq{i}", "netns", lab.ns("edge"), "type", "veth", "peer", "name",
            f"mpq{i}", "netns", lab.ns("hub"))
        for node, end in (("edge", 1), ("hub", 2)):
            lab.exec(node, "ip", "address", "add", f"10.200.{i}.{end}/30", "dev", f"mpq{i}")
            lab.exec(node, "ip", "link", "set", f"mpq{i}", "up")
        lab.exec("hub", "ip", "route", "add", f"172.16.{i}.0/30", "dev", f"mpq{i}", "via",
                 f"10.200.{i}.1")
        lab.exec("hub", "sh", "-c", f"echo 1 >/proc/sys/net/ipv4/conf/mpq{i}/proxy_arp; "
                 f"echo 0 >/proc/sys/net/ipv4/neigh/mpq{i}/proxy_delay")


@pytest.fixture(scope="module")
def site(build, mpquic, lab_name):
    with Lab(lab_name, build=build, wans=3, lans=3, profiles=["bare"] * 3) as lab:
        cables(lab)
        yield lab


class Probed(Gateway):
    """A gateway with probes, and what it says of its links."""

    def __init__(self, lab, targets=None, need=1, node="edge"):
        super().__init__(lab, node, lab.state / "probed.yaml")
        self.events_file = lab.state / "events.jsonl"
        self.events_file.unlink(missing_ok=True)
        targets = targets or [lab.hub4, lab.inet4, lab.hub6, lab.inet6]
        self.file.write_text(CONFIG.format(events=self.events_file, need=need,
                                           targets=", ".join(f'"{t}"' for t in targets)))

    def link(self, name, family="ipv4"):
        told = json.loads(self.verb("status", "--json", check=False).stdout)
        return next(x for x in told["links"] if x["name"] == name)[family]

    def wait_state(self, name, state, family="ipv4", timeout=10):
        wait_until(lambda: self.link(name, family)["state"] == state, timeout,
                   f"{name} is {state}: {self.link(name, family)}", interval=0.1)

    def start(self):
        super().start()
        for i in THREE:
            self.wait_state(f"wan{i}", "healthy")
        return self

    def events(self, what=None):
        lines = [json.loads(x) for x in self.events_file.read_text().splitlines()]
        return [x for x in lines if what in (None, x["event"])]

    def transitions(self, name, family="IPv4"):
        return [(x.get("from"), x["to"]) for x in self.events("link")
                if (x["link"], x["family"]) == (name, family)]

    def prober(self):
        """The process of the probes."""
        pid = self.pid()
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            return [int(x) for x in f.read().split()]


@pytest.fixture
def gateway(site):
    g = Probed(site)
    yield g
    for i in THREE:
        site.wan(i).set("both", "cut=0 loss=0 delay=0ms")
    g.stop()
    g.verb("down", file=False)
    for path in site.state.rglob("gateway.health"):
        path.unlink()


def reaches(lab, i, count=2, target=None):
    return ping(lab, f"lan{i}", target or lab.inet4, count, 0.05, ["-W", "1"]).received == count


def test_a_black_hole_stops_its_own_lan_only(site, gateway):
    gateway.start()
    assert all(reaches(site, i) for i in THREE)
    before = gateway.kernel(counters=False)
    other = site.popen("lan2", "ping", "-n", "-i", "0.02", site.inet4, log=site.state / "other.log")
    site.wan(1).cut()
    gateway.wait_route(100, "default dev mpq1", False)
    assert not reaches(site, 1, 1)
    told = gateway.link("wan1")
    assert told["state"] == "unhealthy" and not told["up"]
    assert told["reason"] == "0 of 2 targets of its probe answer, 1 needed"
    assert gateway.link("mpq1")["reason"] == "the wan that carries it is down"
    assert gateway.link("wan2")["state"] == gateway.link("mpq2")["state"] == "healthy"
    assert "203.0.113.10 via 10.150.1.1" in gateway.routes(100)  # its sockets may try
    assert gateway.settled()
    site.wan(1).cut(False)
    gateway.wait_route(100, "default dev mpq1", True)
    assert reaches(site, 1)
    site.stop(other, signal.SIGINT)
    text = (site.state / "other.log").read_text()
    assert " 0% packet loss" in text, text[-300:]
    assert gateway.kernel(counters=False) == before
    assert gateway.transitions("wan1") == [(None, "unknown"), ("unknown", "healthy"),
                                           ("healthy", "unhealthy"), ("unhealthy", "healthy")]


def test_what_is_pinned_to_a_wan_itself(site, gateway):
    gateway.start()
    assert reaches(site, 3)
    site.wan(3).cut()
    gateway.wait_route(300, "default via", False)
    captures = [site.capture("edge", site.wan_interface(i), "icmp[icmptype] == icmp-echo and "
                             "not src net 10.150.0.0/16") for i in THREE]
    assert not reaches(site, 3, 1)
    for c in captures:
        assert not packets.read(c.stop())
    site.wan(3).cut(False)
    gateway.wait_route(300, "default via", True)
    assert reaches(site, 3)


def test_a_probe_leaves_by_its_own_wan(site, gateway):
    """Also while the table main prefers another one, and while its way is closed."""
    gateway.start()
    site.wan(2).cut()
    gateway.wait_state("wan2", "unhealthy")
    captures = {i: site.capture("edge", site.wan_interface(i), "icmp or icmp6") for i in THREE}
    site.wan(2).cut(False)
    gateway.wait_state("wan2", "healthy")
    for i, c in captures.items():
        sent = [f for f in packets.read(c.stop())
                if f.destination in (site.hub4, site.inet4, site.hub6, site.inet6)]
        assert sent
        assert {f.source for f in sent} == {f"10.150.{i}.2", f"2001:db8:{i}::2"}


def test_without_a_default_route_in_main(site, gateway):
    """The gateway is configured, main knows no way by that WAN: its own table has the way, and does
    not fall back to another WAN when the gateway is silent."""
    text = gateway.file.read_text().replace("table: 300,", "table: 300, gateway: 10.150.3.1,")
    gateway.file.write_text(text)
    site.exec("edge", "ip", "route", "del", "default", "via", "10.150.3.1")
    try:
        gateway.start()
        assert f"{site.inet4} via 10.150.3.1 dev enp7s5" in gateway.routes(300)
        site.wan(3).cut()
        gateway.wait_state("wan3", "unhealthy")
        others = [site.capture("edge", site.wan_interface(i), "icmp and src host 10.150.3.2")
                  for i in (1, 2)]
        site.wan(3).cut(False)
        gateway.wait_state("wan3", "healthy")
        assert not any(packets.read(c.stop()) for c in others)
    finally:
        site.exec("edge", "ip", "route", "add", "default", "via", "10.150.3.1", "dev", "enp7s5",
                  "metric", 103)


def test_so_many_targets_have_to_answer(site, gateway):
    """Two of three: one that is dead is no reason, two are."""
    g = Probed(site, [site.hub4, site.inet4, "198.51.100.77"], need=2)
    ignore = "/proc/sys/net/ipv4/icmp_echo_ignore_all"
    try:
        g.start()
        told = g.link("wan1")["probe"]
        assert (told["answering"], told["targets"], told["need"]) == (2, 3, 2)
        assert told["loss_percent"] == 0
        site.exec("inet", "sh", "-c", f"echo 1 >{ignore}")
        for i in THREE:
            g.wait_state(f"wan{i}", "unhealthy")
        assert g.link("wan1")["reason"] == "1 of 3 targets of its probe answer, 2 needed"
        site.exec("inet", "sh", "-c", f"echo 0 >{ignore}")
        for i in THREE:
            g.wait_state(f"wan{i}", "healthy")
        assert g.link("wan1", "ipv6")["state"] == "healthy"  # no target of IPv6: not probed
        assert "probe" not in g.link("wan1", "ipv6")
    finally:
        site.exec("inet", "sh", "-c", f"echo 0 >{ignore}")
        g.stop()


def test_loss_degrades_and_keeps_the_way(site, gateway):
    gateway.start()
    site.wan(2).set("both", "loss=30%")
    gateway.wait_state("wan2", "degraded", timeout=20)
    assert gateway.link("wan2")["up"]
    assert gateway.link("wan2")["reason"].startswith("loss ")
    assert "default dev mpq2" in gateway.routes(101)
    assert reaches(site, 2)
    site.wan(2).set("both", "loss=0")
    gateway.wait_state("wan2", "healthy", timeout=20)


def test_latency_degrades(site, gateway):
    gateway.file.write_text(gateway.file.read_text().replace("    up: 4\n",
                                                             "    up: 4\n    latency: 100\n"))
    gateway.start()
    site.wan(2).set("both", "delay=80ms")
    gateway.wait_state("wan2", "degraded", timeout=20)
    assert gateway.link("wan2")["reason"].startswith("latency 1")
    site.wan(2).set("both", "delay=5ms")
    gateway.wait_state("wan2", "healthy", timeout=20)


def test_ipv6_alone_is_dead(site, gateway):
    gateway.start()
    gateway.wait_state("wan3", "healthy", "ipv6")
    assert reaches(site, 3) and reaches(site, 3, target=site.inet6)
    off = "/proc/sys/net/ipv6/conf/all/forwarding"
    site.exec("wan3", "sh", "-c", f"echo 0 >{off}")
    try:
        gateway.wait_state("wan3", "unhealthy", "ipv6")
        routes = ["ip", "-6", "route", "show", "table", "300"]
        wait_until(lambda: "default via" not in site.exec("edge", *routes).stdout, 10,
                   "IPv6 is closed")
        assert gateway.link("wan3")["state"] == "healthy"
        assert reaches(site, 3) and not reaches(site, 3, 1, site.inet6)
    finally:
        site.exec("wan3", "sh", "-c", f"echo 1 >{off}; ip -6 route replace default via "
                  "2001:db8:153::2")
    gateway.wait_state("wan3", "healthy", "ipv6")
    wait_until(lambda: reaches(site, 3, 1, site.inet6), 10, "IPv6 is back")


def test_fifty_flaps_end_in_the_right_state(site, gateway):
    gateway.start()
    before = gateway.kernel(counters=False)
    rng = random.Random(6)
    for _ in range(50):  # some too short to be seen, some long enough to close
        for dead in (True, False):
            site.wan(2).cut(dead)
            time.sleep(rng.uniform(0.02, 0.45))
    site.wan(2).cut()
    gateway.wait_state("wan2", "unhealthy")
    gateway.wait_route(101, "default dev mpq2", False)
    wait_until(gateway.settled, 5, "nothing is left to do")
    site.wan(2).cut(False)
    gateway.wait_state("wan2", "healthy")
    gateway.wait_route(101, "default dev mpq2", True)
    wait_until(gateway.settled, 5, "nothing is left to do")
    assert gateway.kernel(counters=False) == before
    assert len(gateway.transitions("wan2")) <= 2 * 50 + 4
    assert gateway.transitions("wan1") == [(None, "unknown"), ("unknown", "healthy")]
    assert gateway.process.poll() is None


def test_an_interface_that_vanishes_is_probed_again(site, gateway):
    """The address too: what the kernel says comes first, and nothing is asked meanwhile."""
    gateway.start()
    site.exec("air", "ip", "link", "set", "a1", "down")
    gateway.wait_state("wan1", "unhealthy")
    assert gateway.link("wan1")["reason"] == "no carrier"
    site.exec("air", "ip", "link", "set", "a1", "up")
    gateway.wait_state("wan1", "healthy")
    site.exec("edge", "ip", "address", "del", "10.150.1.2/24", "dev", "enp7s3")
    try:
        gateway.wait_state("wan1", "unhealthy")
        others = [site.capture("edge", site.wan_interface(1), "icmp")]
        wait_until(lambda: gateway.link("wan2")["probe"]["answering"] == 2, 5, "the others go on")
        assert not any(packets.read(c.stop()) for c in others)
    finally:
        site.exec("edge", "sh", "-ec", "ip address add 10.150.1.2/24 dev enp7s3; ip route add "
                  "default via 10.150.1.1 dev enp7s3 metric 101")
    gateway.wait_state("wan1", "healthy")


def test_who_probes_has_no_privilege(site, gateway):
    gateway.start()
    pid, = gateway.prober()
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        status = dict(line.split(":\t", 1) for line in f.read().splitlines() if ":\t" in line)
    assert "0" not in status["Uid"].split()
    for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(status[kind], 16) == 0
    assert status["Seccomp"] == "2" and status["NoNewPrivs"] == "1"
    sockets = [os.readlink(f"/proc/{pid}/fd/{n}") for n in os.listdir(f"/proc/{pid}/fd")]
    assert sum("socket:" in s for s in sockets) == 1 + 2 * 3  # the gateway, each WAN and family


def test_it_is_started_again(site, gateway):
    gateway.start()
    pid, = gateway.prober()
    site.wan(1).cut()
    gateway.wait_state("wan1", "unhealthy")
    os.kill(pid, signal.SIGKILL)
    gateway.wait_log("the process of the probes has ended")
    assert gateway.link("wan1")["state"] == "unhealthy"  # what is known stays known
    wait_until(gateway.prober, 5, "another one")
    site.wan(1).cut(False)
    gateway.wait_state("wan1", "healthy")
    gateway.stop()
    assert not os.path.exists(f"/proc/{pid}")


def test_a_gateway_that_starts_again_goes_on(site, gateway):
    """Killed, it leaves nobody probing; the next one does not open what was closed."""
    gateway.start()
    site.wan(2).cut()
    gateway.wait_route(101, "default dev mpq2", False)
    pids, before = gateway.prober(), len(gateway.events("change"))
    site.stop(gateway.process, signal.SIGKILL)
    wait_until(lambda: not any(os.path.exists(f"/proc/{p}") for p in pids), 5, "it ends, too")
    Gateway.start(gateway)
    assert gateway.link("wan2")["state"] == "unhealthy"
    assert "default dev mpq2" not in gateway.routes(101)
    assert gateway.events("change")[before:] == []
    site.wan(2).cut(False)
    gateway.wait_route(101, "default dev mpq2", True)


def test_a_reload_keeps_what_is_known(site, gateway):
    gateway.start()
    site.wan(2).cut()
    gateway.wait_state("wan2", "unhealthy")
    text = gateway.file.read_text()
    gateway.file.write_text(text.replace("down: 4", "down: 3"))
    gateway.process.send_signal(signal.SIGHUP)
    gateway.wait_log("reloaded")
    assert gateway.link("wan2")["state"] == "unhealthy"
    site.wan(2).cut(False)
    gateway.wait_state("wan2", "healthy")
    gateway.file.write_text(text.replace(", probe: net", ""))
    gateway.process.send_signal(signal.SIGHUP)
    wait_until(lambda: not gateway.prober(), 5, "nothing is probed any more")
    assert gateway.link("wan2")["state"] == "healthy"


def test_events_of_one_cause_have_one_trace(site, gateway):
    gateway.start()
    site.wan(1).cut()
    gateway.wait_state("wan1", "unhealthy")
    site.exec("edge", "ip", "route", "del", "blackhole", "default", "table", "101", "metric",
              "4294967295")
    gateway.wait_route(101, "blackhole default", True)
    gateway.wait_settled()
    gateway.process.send_signal(signal.SIGHUP)
    gateway.wait_log("reloaded")
    gateway.stop()
    events = gateway.events()
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as f:
        assert {x["boot"] for x in events} == {f.read().strip()}
    assert len({x["run"] for x in events}) == 1
    first = events[0]
    assert (first["event"], first["cause"], first["trace"]) == ("start", "start", first["run"])
    assert {x["trace"] for x in events if x["cause"] == "start"} == {first["run"]}
    down = next(x for x in events if x["event"] == "link" and x["link"] == "wan1" and
                x["family"] == "IPv4" and x["to"] == "unhealthy")
    assert down["cause"] == "probe" and down["trace"] != first["run"]
    together = [x for x in events if x["trace"] == down["trace"]]
    assert {x["link"] for x in together if x["event"] == "link"} == {"wan1", "mpq1"}
    assert any(x["event"] == "change" and x["operation"] == "- route -4 default dev mpq1 table 100"
               for x in together)
    repair = next(x for x in events if x["event"] == "change" and x["cause"] == "kernel")
    assert repair["repair"] and "blackhole default table 101" in repair["operation"]
    assert [x["cause"] for x in events if x["event"] in ("reload", "stop")] == ["reload", "stop"]


def test_applying_by_hand_is_one_cause(site, gateway):
    gateway.verb("apply")
    events = gateway.events()
    assert len(events) > 20 and {x["event"] for x in events} == {"change"}
    assert {x["cause"] for x in events} == {"apply"}
    assert len({x["trace"] for x in events}) == 1
    gateway.verb("status", check=False)
    gateway.verb("apply")  # nothing to do
    assert gateway.events() == events


# --- the telemetry of tunnels -----------------------------------------------------------------------

TUNNEL = """
links:
  - {name: wan1, device: enp7s3}
  - {name: mpq1, type: tunnel, device: mpq1, table: 100, over: wan1, hub: 203.0.113.10, instance: "1"}
policies:
  - {ingress: enp6s20, pin: mpq1, priority: 1001}
"""


def test_a_tunnel_says_itself_whether_it_works(build, mpquic, lab_name):
    with Lab(lab_name + "t", build=build, wans=1, lans=1, profiles=["bare"]) as lab:
        lab.exec("inet", "ip", "route", "add", "172.16.0.0/16", "via", "198.51.100.1")
        file = lab.state / "tunnel.yaml"
        file.write_text(TUNNEL)
        gateway = Probed(lab)
        gateway.file = file
        certificates = Site(lab)
        ends = {node: Tunnel(lab, node, ROOT / "deploy" / "examples" / "edge-six" / role / "1.yaml",
                             certificates.etc[node])
                for role, node in (("server", "hub"), ("client", "edge"))}
        hub = Gateway(lab, "hub", ROOT / "deploy" / "examples" / "gateway-six" / "hub.yaml").start()
        try:
            Gateway.start(gateway)
            for t in ends.values():
                t.start()
            gateway.wait_state("mpq1", "healthy", timeout=30)
            reachable(lab, "lan1", lab.inet4, ends=ends.values())
            assert gateway.link("mpq1")["probe"]["latency_ms"] > 0
            ends["hub"].stop()
            gateway.wait_state("mpq1", "unhealthy", timeout=60)
            gateway.wait_route(100, "default dev mpq1", False)
            ends["hub"].start()
            gateway.wait_state("mpq1", "healthy", timeout=60)
            reachable(lab, "lan1", lab.inet4, ends=ends.values(), timeout=60)
            ends["edge"].stop()
            gateway.wait_state("mpq1", "unhealthy", timeout=30)
        finally:
            gateway.stop()
            hub.stop()
            for t in ends.values():
                if t.running():
                    t.stop()
