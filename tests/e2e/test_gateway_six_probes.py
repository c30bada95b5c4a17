"""Edge and hub of the site with six tunnels, as in test_gateway_six.py, and with probes: WANs are asked
by echo requests to the hub, tunnels by their own word. What a WAN that is silent, without losing
carrier or address, does to its own LAN and to the others.
"""
import json

import packets
import pytest
from conftest import ROOT
from gateway import Gateway
from lab import Lab, wait_until
from steady import Answers, Steady
from traffic import ping
from tunnel import Site, Tunnel, reachable

SIX = range(1, 7)
EXAMPLES = ROOT / "deploy" / "examples"


@pytest.fixture(scope="module")
def site(build, mpquic, lab_name):
    with Lab(lab_name, build=build, wans=6, profiles=["bare"] * 6) as lab:
        for i in SIX:
            lab.wan(i).set("both", "rate=50m delay=2ms queue=50ms")
        lab.exec("inet", "ip", "route", "add", "172.16.0.0/16", "via", "198.51.100.1")
        probes = (EXAMPLES / "gateway-six" / "edge-probes.yaml").read_text()
        lab.events = lab.state / "gateway.jsonl"
        file = lab.state / "edge-probes.yaml"
        # as it is shipped, but that the log is the laboratory's, and a round takes a fifth
        file.write_text(probes.replace("/var/log/mpquic/gateway.jsonl", str(lab.events))
                        .replace("interval: 250", "interval: 100"))
        lab.edge = Gateway(lab, "edge", file).start()
        Gateway(lab, "hub", EXAMPLES / "gateway-six" / "hub.yaml").start()
        certificates = Site(lab)
        lab.tunnels = {(node, i): Tunnel(lab, node, EXAMPLES / "edge-six" / role / f"{i}.yaml",
                                         certificates.etc[node]).start()
                       for role, node in (("server", "hub"), ("client", "edge")) for i in SIX}
        for i in SIX:
            reachable(lab, f"lan{i}", lab.inet4, ends=lab.tunnels.values())
        Answers(lab, "inet")
        yield lab


def states(site):
    """Of all links, in IPv4."""
    told = json.loads(site.edge.verb("status", "--json", check=False).stdout)
    return {link["name"]: link["ipv4"]["state"] for link in told["links"]}


def wait_states(site, timeout=30, **wanted):
    """These, and all others healthy."""
    every = {f"{kind}{i}": "healthy" for kind in ("wan", "mpq") for i in SIX} | wanted
    wait_until(lambda: states(site) == every, timeout, f"{wanted}, others healthy", interval=0.2)


def test_probes_and_tunnels_say_that_all_is_well(site):
    wait_states(site)
    told = json.loads(site.edge.verb("links", "--json").stdout)
    for link in told:
        probe = link["ipv4"]["probe"]
        assert probe["answering"] >= probe["need"] and probe["latency_ms"] > 0, link
    assert not site.exec("edge", site.edge.program, "gateway", "health", "-c",
                         site.edge.file).returncode


@pytest.mark.parametrize("silent", [(1, 3, 5), (2, 4, 6)])
def test_wans_that_are_black_holes(site, silent):
    """ICMP, UDP and TCP in all LANs: those of the silent WANs are closed, the others lose no packet,
    and all go on by themselves."""
    wait_states(site)
    flows = {n: Steady(site, f"lan{n}", site.inet4) for n in SIX}
    captures = [site.capture("edge", site.wan_interface(n), "net 172.16.0.0/16") for n in SIX]
    for i in silent:
        site.wan(i).cut()
    wait_states(site, 90, **{f"{kind}{i}": "unhealthy" for kind in ("wan", "mpq") for i in silent})
    for i in silent:
        site.edge.wait_route(99 + i, f"default dev mpq{i}", False)
        assert ping(site, f"lan{i}", site.inet4, 2, 0.05, ["-W", "1"]).received == 0
        site.wan(i).cut(False)
    wait_states(site, 90)
    for i in silent:
        site.edge.wait_route(99 + i, f"default dev mpq{i}", True)
        reachable(site, f"lan{i}", site.inet4, timeout=60)
    lost = {n: f.stop() for n, f in flows.items()}
    for c in captures:
        assert not packets.read(c.stop())
    assert all(lost.pop(i)["icmp"] for i in silent)
    assert not any(lost.values()), lost
    assert site.edge.settled()


def test_a_tunnel_that_is_not_connected_closes_its_own_lan_only(site):
    """Its WAN works; it is the tunnel that says that it has no connection."""
    wait_states(site)
    flow = Steady(site, "lan1", site.inet4)
    site.tunnels["hub", 4].stop()
    wait_states(site, 60, mpq4="unhealthy")
    site.edge.wait_route(103, "default dev mpq4", False)
    site.tunnels["hub", 4].start()
    wait_states(site, 60)
    reachable(site, "lan4", site.inet4, timeout=60)
    assert not flow.stop()


def test_what_happened_is_in_the_log_of_events(site):
    """Each WAN that was silent: unhealthy and healthy again, with its tunnel by the same cause."""
    events = [json.loads(x) for x in site.events.read_text().splitlines()]
    for i in SIX:
        of_wan = [(x["from"], x["to"]) for x in events if x["event"] == "link" and "from" in x and
                  (x["link"], x["family"]) == (f"wan{i}", "IPv4")]
        assert ("healthy", "unhealthy") in of_wan and ("unhealthy", "healthy") in of_wan
    assert {x["cause"] for x in events if x["event"] == "link"} <= {"start", "probe", "kernel"}


def test_fifty_flaps_leave_nothing_behind(site):
    """The cable of one WAN, with its tunnel, 50 times: others lose nothing, and in the end there is
    what there was."""
    wait_states(site)
    before = site.edge.kernel(counters=False)
    flows = {n: Steady(site, f"lan{n}", site.inet4) for n in SIX if n != 2}
    site.exec("air", "sh", "-ec", "for i in $(seq 50); do ip link set a2 down; sleep 0.05; "
                                  "ip link set a2 up; sleep 0.05; done")
    wait_states(site, 60)
    reachable(site, "lan2", site.inet4, timeout=60)
    wait_until(site.edge.settled, 10, "nothing is left to do")
    lost = {n: f.stop() for n, f in flows.items()}
    assert not any(lost.values()), lost
    assert site.edge.kernel(counters=False) == before
