"""Six edges and six hubs at once, with the configuration files as they are shipped.

    lan1 --- edge === wan1 (UDP 45001) ===+--- hub
     ...      |  === ...               ===|
    lan6 -----+  === wan6 (UDP 45006) ===+

R-2.13: 6/6 sessions, 6/6 pings, LAN i in mpq i and on WAN i as QUIC and as nothing else.
"""
import pytest
from conftest import ROOT
from lab import Lab
from traffic import ping
from tunnel import Site, Tunnel, reachable
import packets

SIX = range(1, 7)
EXAMPLES = ROOT / "deploy" / "examples" / "edge-six"


def pattern(i, family):
    """16 bytes that a ping repeats in its payload and nothing else contains."""
    return f"PLAINTEXT-{i}-v{family}--".encode()[:16].ljust(16, b"#")


def said(site, i):
    """What both ends of tunnel i and its WAN have to say, for a failed test."""
    return "\n".join([site.tunnels["edge", i].text(), site.tunnels["hub", i].text(),
                      str(site.wan(i).get())])


@pytest.fixture(scope="module")
def site(build, mpquic, lab_name):
    with Lab(lab_name, build=build, wans=6, profiles=["bare"] * 6) as lab:
        for i in SIX:
            lab.wan(i).set("both", "rate=50m delay=5ms queue=50ms")
        certificates = Site(lab)
        tunnels = {}
        for role, node in (("server", "hub"), ("client", "edge")):
            for i in SIX:
                t = Tunnel(lab, node, EXAMPLES / role / f"{i}.yaml", certificates.etc[node])
                t.start()
                tunnels[node, i] = t
        for i in SIX:
            reachable(lab, "edge", f"10.200.{i}.2",
                      ends=tunnels.values())
            reachable(lab, "edge", f"fd00:200:{i}::2")
            lab.route_tunnel(i)
        lab.tunnels = tunnels
        yield lab


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("i", SIX)
def test_ping(site, i, family):
    near, far = (("10.200.{}.1", "10.200.{}.2") if family == 4 else
                 ("fd00:200:{}::1", "fd00:200:{}::2"))
    for node, target in (("edge", far.format(i)), ("hub", near.format(i))):
        result = ping(site, node, target, 6, 0.05)
        assert (result.sent, result.received) == (6, 6), result.text + said(site, i)


def test_lans_reach_the_internet_through_their_own_tunnels(site):
    """Each LAN's packets are in its tunnel, and on its WAN as QUIC only."""
    captures = {(kind, i): site.capture("edge", name)
                for i in SIX for kind, name in (("wan", site.wan_interface(i)), ("tun", f"mpq{i}"))}
    for i in SIX:
        result = ping(site, f"lan{i}", site.inet4, 6, 0.05, ["-p", pattern(i, 4).hex()])
        assert (result.sent, result.received) == (6, 6)
        result = ping(site, "edge", f"fd00:200:{i}::2", 6, 0.05, ["-p", pattern(i, 6).hex()])
        assert (result.sent, result.received) == (6, 6)
    seen = {key: packets.read(c.stop()) for key, c in captures.items()}
    everything = [pattern(i, f) for i in SIX for f in (4, 6)]
    for i in SIX:
        inside, outside = seen["tun", i], seen["wan", i]
        own = [f for f in inside if pattern(i, 4) in f.data]
        assert len(own) == 12  # six requests, six replies
        assert {(f.source, f.destination) for f in own} == {
            (f"172.16.{i}.2", site.inet4), (site.inet4, f"172.16.{i}.2")}
        assert sum(pattern(i, 6) in f.data for f in inside) == 12
        assert not any(pattern(j, 4) in f.data for f in inside for j in SIX if j != i)

        assert {f.kind for f in outside} <= {"arp", "nd", "udp"}
        assert {port for f in outside if f.kind == "udp" for port in f.ports
                if 45000 < port < 45010} == {45000 + i}
        assert all(45000 + i in f.ports for f in outside if f.kind == "udp")
        assert not any(text in f.data for f in outside for text in everything)
        assert sum(f.kind == "udp" for f in outside) >= 24  # and they did pass here


def test_a_lan_without_its_tunnel_goes_nowhere_else(site):
    """No fallback (R-2.3): tunnel 6 is stopped, LAN 6 is cut off, the others are not disturbed."""
    t = site.tunnels["edge", 6]
    assert t.stop() == 0, t.text()
    captures = [site.capture("edge", site.wan_interface(i)) for i in SIX]
    result = ping(site, "lan6", site.inet4, 3, 0.1, ["-p", pattern(6, 4).hex(), "-W", "1"])
    assert result.received == 0
    for i in range(1, 6):
        result = ping(site, f"lan{i}", site.inet4, 2, 0.05)
        assert result.received == 2
    for c in captures:
        assert not any(pattern(6, 4) in f.data for f in packets.read(c.stop()))
    t.start()
    reachable(site, "lan6", site.inet4)


def test_every_instance_still_runs(site):
    assert all(t.running() for t in site.tunnels.values())
    for i in SIX:
        for node in ("edge", "hub"):
            lines = site.exec(node, "ip", "-br", "address", "show", "dev", f"mpq{i}").stdout
            end = 1 if node == "edge" else 2
            assert f"10.200.{i}.{end}/30" in lines and f"fd00:200:{i}::{end}/126" in lines
