"""Edge and hub of the site with nothing but what is shipped: six tunnels, and a gateway at each end.

    lan1 --+              +== wan1 (UDP 45001) ==+
     ...   |-- edge ======|         ...          |== hub -- eth0 -- inet
    lan6 --+              +== wan6 (UDP 45006) ==+

R-2.13, R-3.1, R-3.4. The gateways start before there is any tunnel. Both ends check the way back of
what comes in (rp_filter), as systemd sets it.
"""
import contextlib
import json
import signal

import packets
import pytest
from conftest import ROOT
from gateway import Gateway
from lab import Lab, wait_until
from steady import Answers, Steady
from traffic import Echo, ping
from tunnel import Site, Tunnel, reachable

SIX = range(1, 7)
EXAMPLES = ROOT / "deploy" / "examples"
INTERNAL = "src net 172.16.0.0/16 or src net 10.200.0.0/16"

UDP_ECHO = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 7))
print("ready", flush=True)
while True:
    data, who = s.recvfrom(2000)
    s.sendto(data, who)
"""
UDP_ASK = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(1)
for i in range(20):
    s.sendto(b"%d" % i, (sys.argv[1], 7))
    try:
        if s.recv(2000) == b"%d" % i:
            sys.exit(0)
    except TimeoutError:
        pass
sys.exit(1)
"""


@pytest.fixture(scope="module")
def site(build, mpquic, lab_name):
    with Lab(lab_name, build=build, wans=6, profiles=["bare"] * 6) as lab:
        for i in SIX:
            lab.wan(i).set("both", "rate=50m delay=2ms queue=50ms")
        for node, value in (("edge", 2), ("hub", 1)):
            lab.exec(node, "sh", "-c",
                     f"for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo {value} >$f; done")
        lab.exec("inet", "ip", "route", "add", "172.16.0.0/16", "via", "198.51.100.1")
        lab.gateways = {node: Gateway(lab, node, EXAMPLES / "gateway-six" / f"{node}.yaml").start()
                        for node in ("edge", "hub")}
        lab.before = [lab.capture("edge", lab.wan_interface(i), "net 172.16.0.0/16") for i in SIX]
        early = [lab.popen(f"lan{i}", "ping", "-n", "-i", "0.1", lab.inet4,
                           log=lab.state / f"early{i}.log") for i in SIX]
        certificates = Site(lab)
        lab.tunnels = {}
        for role, node in (("server", "hub"), ("client", "edge")):
            for i in SIX:
                t = Tunnel(lab, node, EXAMPLES / "edge-six" / role / f"{i}.yaml",
                           certificates.etc[node])
                lab.tunnels[node, i] = t.start()
        for i in SIX:
            reachable(lab, f"lan{i}", lab.inet4, ends=lab.tunnels.values())
        for p in early:
            lab.stop(p, signal.SIGINT)
        lab.before = [packets.read(c.stop()) for c in lab.before]
        lab.udp = lab.popen("inet", "/usr/bin/python3", "-c", UDP_ECHO, log=lab.state / "udp.log")
        wait_until(lambda: "ready" in (lab.state / "udp.log").read_text(), 10, "the UDP echo")
        lab.echo = Echo(lab, "inet")
        Answers(lab, "inet")
        yield lab


@contextlib.contextmanager
def nothing_internal_outside(lab):
    """Nothing with an address of a LAN on any WAN, and nothing untranslated beyond the hub."""
    captures = [lab.capture("edge", lab.wan_interface(i), "net 172.16.0.0/16") for i in SIX]
    captures.append(lab.capture("hub", "eth0", INTERNAL))
    yield
    for c in captures:
        seen = packets.read(c.stop())
        assert not seen, f"{c.file.name}: {[(f.source, f.destination) for f in seen][:5]}"


def test_nothing_left_before_the_tunnels_were_there(site):
    assert not any(site.before)


def test_both_ends_are_in_force(site):
    for node, gateway in site.gateways.items():
        wait_until(gateway.settled, 10, f"the gateway of the {node}")
        status = gateway.verb("status").stdout
        assert "in force\n" in status and "down" not in status, status


def test_six_of_six(site):
    """LAN i in mpq i and on WAN i as QUIC and nothing else, ICMP, TCP and UDP; translated at the
    hub."""
    wans = {i: site.capture("edge", site.wan_interface(i)) for i in SIX}
    tuns = {i: site.capture("edge", f"mpq{i}", "net 172.16.0.0/16") for i in SIX}
    inet = site.capture("inet", "eth0", "icmp or udp port 7 or tcp port 7")
    for i in SIX:
        assert ping(site, "edge", f"10.200.{i}.2", 4, 0.05).received == 4
        assert ping(site, f"lan{i}", site.inet4, 4, 0.05).received == 4
        site.exec(f"lan{i}", "/usr/bin/python3", "-c", UDP_ASK, site.inet4)
        site.echo.say(f"lan{i}", site.inet4, f"TEXT-OF-LAN-{i}-")
    for i in SIX:
        inside, outside = packets.read(tuns[i].stop()), packets.read(wans[i].stop())
        assert {"icmp", "udp", "tcp"} <= {f.kind for f in inside}
        assert {f.source for f in inside} == {f"172.16.{i}.2", site.inet4}
        assert {f.kind for f in outside} <= {"arp", "nd", "udp"}
        assert all(45000 + i in f.ports for f in outside if f.kind == "udp")
        assert sum(f.kind == "udp" for f in outside) > 20
    beyond = packets.read(inet.stop())
    assert {f.source for f in beyond} == {site.hub4, site.inet4}


def test_both_ends_are_healthy(site):
    for node, gateway in site.gateways.items():
        health = json.loads(gateway.verb("health", "--json").stdout)
        assert health["role"] == node
        tunnels = [f for f in health["findings"] if f["check"] == "tunnel"]
        assert len(tunnels) == 6 and {f["level"] for f in tunnels} == {"ok"}
        assert any(f["check"] == "certificate" for f in health["findings"])
        assert gateway.verb("lan", "check", "all").returncode == 0


def test_the_hub_knows_the_way_back(site):
    for i in SIX:
        assert f"dev mpq{i}" in site.exec("hub", "ip", "route", "get", f"172.16.{i}.2").stdout
        assert ping(site, "hub", f"172.16.{i}.2", 2, 0.05).received == 2


def test_a_tunnel_of_the_hub_that_is_not_there_leads_nowhere_else(site):
    """What is for a LAN whose tunnel is gone does not go to the Internet."""
    t = site.tunnels["hub", 6]
    assert t.stop() == 0
    way = ["ip", "route", "get", "172.16.6.2"]
    assert "eth0" not in site.exec("hub", *way, check=False).stdout
    site.exec("hub", "ip", "link", "del", "mpq6")
    assert "No route to host" in site.exec("hub", *way, check=False).stderr
    t.start()
    reachable(site, "lan6", site.inet4, timeout=60)


def test_the_firewall_of_the_hub(site):
    """Sites reach the Internet and get answers; not each other, nor the services of the hub; and
    nobody outside begins anything."""
    server = site.popen("hub", "/usr/bin/python3", "-c", UDP_ECHO, log=site.state / "hub-udp.log")
    wait_until(lambda: "ready" in (site.state / "hub-udp.log").read_text(), 10, "the hub's echo")
    assert ping(site, "lan1", "10.200.1.2", 2, 0.05).received == 2  # is it there?
    assert ping(site, "lan1", "172.16.2.2", 2, 0.05, ["-W", "1"]).received == 0
    assert ping(site, "inet", "172.16.1.2", 2, 0.05, ["-W", "1"]).received == 0
    one = UDP_ASK.replace("range(20)", "range(1)")
    assert site.exec("lan1", "/usr/bin/python3", "-c", one, "10.200.1.2",
                     check=False).returncode == 1
    assert site.exec("inet", "/usr/bin/python3", "-c", one, site.hub4).returncode == 0
    site.stop(server)
    rules = site.exec("hub", "nft", "list", "table", "inet", "mpquic_gateway").stdout
    assert "udp dport { 45001-45006, 45010 }" in rules


def test_all_tunnels_are_established(site):
    for (node, i), t in site.tunnels.items():
        assert t.ask("status").returncode == 0, (node, i)


@pytest.mark.parametrize("how", ["carrier", "address"])
@pytest.mark.parametrize("i", SIX)
def test_each_wan_in_turn_unplugged_and_plugged_in(site, i, how):
    """ICMP, UDP and TCP in all six LANs: only LAN i stops, the others lose no packet, and LAN i goes on
    by itself."""
    gateway = site.gateways["edge"]
    flows = {n: Steady(site, f"lan{n}", site.inet4) for n in SIX}
    wan, net = site.wan_interface(i), f"10.150.{i}"
    with nothing_internal_outside(site):
        if how == "carrier":
            site.exec("air", "ip", "link", "set", f"a{i}", "down")
        else:
            site.exec("edge", "ip", "address", "del", f"{net}.2/24", "dev", wan)
        gateway.wait_route(99 + i, f"default dev mpq{i}", False)
        assert ping(site, f"lan{i}", site.inet4, 3, 0.05, ["-W", "1"]).received == 0
        if how == "carrier":
            site.exec("air", "ip", "link", "set", f"a{i}", "up")
        else:
            site.exec("edge", "ip", "address", "add", f"{net}.2/24", "dev", wan)
            site.exec("edge", "ip", "route", "add", "default", "via", f"{net}.1", "dev", wan, "metric",
                      100 + i)
        gateway.wait_route(99 + i, f"default dev mpq{i}", True)
        reachable(site, f"lan{i}", site.inet4, timeout=60)
        lost = {n: f.stop() for n, f in flows.items()}
    assert lost.pop(i)["icmp"]
    assert not any(lost.values()), lost
    assert gateway.settled()


@pytest.mark.parametrize("i", SIX)
def test_each_wan_in_turn_is_a_black_hole(site, i):
    """Without carrier or address being lost: nothing is known of it here, and what is sent ends there."""
    flows = {n: Steady(site, f"lan{n}", site.inet4) for n in SIX}
    with nothing_internal_outside(site):
        site.wan(i).cut()
        assert ping(site, f"lan{i}", site.inet4, 3, 0.05, ["-W", "1"]).received == 0
        site.wan(i).cut(False)
        reachable(site, f"lan{i}", site.inet4, timeout=60)
        lost = {n: f.stop() for n, f in flows.items()}
    assert lost.pop(i)["icmp"]
    assert not any(lost.values()), lost
    assert all(g.settled() for g in site.gateways.values())


def test_nftables_of_the_hub_emptied_under_traffic(site):
    """Nothing leaves untranslated, and flows that were born while the rules were gone work."""
    gateway = site.gateways["hub"]
    with nothing_internal_outside(site):
        old = site.popen("lan1", "ping", "-n", "-i", "0.005", site.inet4, log=site.state / "old.log")
        for n in range(5):
            site.exec("hub", "nft", "flush", "ruleset")
            born = site.popen("lan2", "/usr/bin/python3", "-c", UDP_ASK, site.inet4,
                              log=site.state / "born.log")
            assert born.wait(30) == 0
            gateway.wait_settled()
        assert ping(site, "lan1", site.inet4, 2, 0.05).received == 2
        site.stop(old, signal.SIGINT)


def test_down_takes_everything_back(site):
    for node, gateway in site.gateways.items():
        gateway.stop()
        gateway.verb("down", file=False)
        assert "proto 110" not in gateway.kernel()
        assert "mpquic_gateway" not in gateway.kernel()
    setting = "/proc/sys/net/ipv4/conf/eth0/src_valid_mark"
    assert site.exec("hub", "cat", setting).stdout == "0\n"
