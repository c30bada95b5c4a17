"""Several tunnels of one link on one hub (R-4.1 to R-4.4), with the configurations as shipped: the
hub's mt1 on port 45010, and the edge's cr5, df5 and bk5 over WAN5 with one certificate.

    lan5 --- edge === cr5, df5, bk5 over wan5 === hub (mt1) --- inet
                                                   ||
                                   px at inet =====++
"""
import re
import sys

import pytest
from conftest import ROOT
from lab import Lab, wait_until
from traffic import ping
from tunnel import Site, Tunnel, client_keys, reachable, write_config
import packets

EXAMPLES = ROOT / "deploy" / "examples" / "multi-tunnel"
NAMES = ["cr5", "df5", "bk5"]
HUB = {4: "10.200.10.254", 6: "fd00:200:10::254"}
# Of each instance: its tunnel addresses, and the address of lan5 that the edge sends through it.
ADDRESS = {name: {4: f"10.200.10.{i}", 6: f"fd00:200:10::{i}"} for i, name in enumerate(NAMES, 1)}
BEHIND = {name: f"fd16:0:0:5::1{i}" for i, name in enumerate(NAMES, 1)}
LAN4 = "172.16.5.2"


def rule(lab, source, name):
    """At the edge, packets from source go through an instance and nowhere else."""
    family = "-6" if ":" in source else "-4"
    lab.exec("edge", "ip", family, "rule", "add", "priority", 1100 + NAMES.index(name), "from",
             source, "lookup", 200 + NAMES.index(name))


def route(lab, name):
    """The table of an instance: gone when its interface goes, so it is written after a start."""
    for family in ("-4", "-6"):
        lab.exec("edge", "ip", family, "route", "replace", "default", "dev", name, "table",
                 200 + NAMES.index(name))


def prepare(lab):
    for name in NAMES:
        for source in (*ADDRESS[name].values(), BEHIND[name]):
            rule(lab, source, name)
        lab.exec("lan5", "ip", "address", "add", f"{BEHIND[name]}/64", "dev", "eth0", "nodad")
    rule(lab, LAN4, "cr5")
    for scope in ("all", "default"):  # from peer to peer is out of the TUN that it came in
        lab.exec("hub", "sh", "-c", f"echo 0 >/proc/sys/net/ipv4/conf/{scope}/send_redirects")


@pytest.fixture(scope="module")
def site(build, mpquic, lab_name):
    with Lab(lab_name, build=build, wans=5, profiles=["bare"] * 5) as lab:
        lab.wan(5).set("both", "rate=50m delay=5ms queue=50ms")
        lab.certificates = Site(lab)
        mt1 = (EXAMPLES / "server" / "mt1.yaml").read_text()
        # the laboratory has IPv6 in its LANs
        mt1 = mt1.replace("  - 172.16.5.0/30\n", "  - 172.16.5.0/30\n  - fd16:0:0:5::/64\n")
        lab.mt1 = lab.state / "mt1.yaml"
        lab.mt1.write_text(mt1)
        prepare(lab)
        lab.hub_end = Tunnel(lab, "hub", lab.mt1, lab.certificates.etc["hub"]).start()
        lab.edges = {name: Tunnel(lab, "edge", EXAMPLES / "client" / f"{name}.yaml",
                                  lab.certificates.etc["edge"]) for name in NAMES}
        for edge in lab.edges.values():
            edge.start()
        for name in NAMES:
            up(lab, name)
        yield lab


def up(lab, name, timeout=30):
    """Wait until an instance carries packets of both families."""
    ends = [lab.hub_end, lab.edges[name]]
    lab.edges[name].wait_line("tunnel: up", timeout)
    route(lab, name)
    for family in (4, 6):
        reachable(lab, "edge", HUB[family], timeout, ends, ["-I", ADDRESS[name][family]])


def said(lab):
    return "\n".join(t.text() for t in (lab.hub_end, *lab.edges.values()))


def drops(lab, reason):
    return lab.hub_end.status()["drops"][reason]


def peers(lab):
    return {p["instance"]: p for p in lab.hub_end.status()["peers"]}


def ups(lab, name):
    return len(re.findall(rf"^.*peer edge/{name}: up", lab.hub_end.text(), re.M))


# ---- three tunnels -------------------------------------------------------------------------


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("name", NAMES)
def test_each_pings_and_is_pinged(site, name, family):
    own = ADDRESS[name][family]
    result = ping(site, "edge", HUB[family], 6, 0.05, ["-I", own])
    assert (result.sent, result.received) == (6, 6), result.text + said(site)
    result = ping(site, "hub", own, 6, 0.05)
    assert (result.sent, result.received) == (6, 6), result.text + said(site)


def test_each_has_the_address_that_the_hub_keeps_for_it(site):
    known = peers(site)
    assert set(known) == set(NAMES)
    for name, peer in known.items():
        assert peer["name"] == "edge"
        assert {a.split("/")[0] for a in peer["addresses"]} == set(ADDRESS[name].values())


def test_one_certificate_three_instances_and_no_fight(site):
    """None took another's place: each came up once, and none went down."""
    for name in NAMES:
        assert ups(site, name) == 1, site.hub_end.text()
        assert len(re.findall("tunnel: up", site.edges[name].text())) == 1
    assert "down" not in site.hub_end.text()


def test_packets_to_each_are_in_its_tunnel_only(site):
    captures = {name: site.capture("edge", name) for name in NAMES}
    for name in NAMES:
        assert ping(site, "hub", ADDRESS[name][4], 3, 0.05).received == 3
    for name, capture in captures.items():
        seen = {f.destination for f in packets.read(capture.stop()) if f.kind == "icmp"}
        assert seen == {ADDRESS[name][4], HUB[4]}


# ---- what lies behind ----------------------------------------------------------------------


def test_the_hub_routes_what_may_lie_behind_into_its_tun(site):
    for family, prefix in (("-4", "172.16.5.0/30"), ("-6", "fd16:0:0:5::/64")):
        shown = site.exec("hub", "ip", family, "route", "show", prefix).stdout
        assert re.search(r"dev mt1 .*proto 109 .*metric 4096", shown), shown


@pytest.mark.parametrize("name", NAMES)
def test_addresses_behind_are_learned(site, name):
    """The return traffic of a host in the LAN finds the tunnel that its packets came through."""
    captures = {n: site.capture("edge", n) for n in NAMES}
    result = ping(site, "lan5", site.inet6, 5, 0.05, ["-I", BEHIND[name]])
    assert result.received == 5, result.text + said(site)
    for n, capture in captures.items():
        replies = [f for f in packets.read(capture.stop()) if f.destination == BEHIND[name]]
        assert bool(replies) == (n == name)
    assert peers(site)[name]["learned"] == [BEHIND[name]] or name == "cr5"
    # and now it is reached from outside, too
    assert ping(site, "inet", BEHIND[name], 3, 0.05).received == 3


def test_an_address_in_use_is_not_taken_over(site):
    """LAN4 is behind cr5 until cr5 is gone; then df5 may have it."""
    assert ping(site, "lan5", site.inet4, 3, 0.05, ["-I", LAN4]).received == 3
    before = drops(site, "source-taken")
    site.exec("edge", "ip", "rule", "del", "priority", 1100, "from", LAN4)
    rule(site, LAN4, "df5")
    try:
        assert ping(site, "lan5", site.inet4, 3, 0.05, ["-I", LAN4, "-W", "1"]).received == 0
        assert drops(site, "source-taken") == before + 3
        assert site.edges["cr5"].stop() == 0
        reachable(site, "lan5", site.inet4, options=["-I", LAN4])
        assert LAN4 in peers(site)["df5"]["learned"]
    finally:
        site.exec("edge", "ip", "rule", "del", "priority", 1101, "from", LAN4)
        rule(site, LAN4, "cr5")
        if not site.edges["cr5"].running():
            site.edges["cr5"].start()
        up(site, "cr5")


# ---- what may not be -----------------------------------------------------------------------


@pytest.mark.parametrize("source", [ADDRESS["df5"][4], ADDRESS["df5"][6], HUB[4], "192.0.2.66",
                                    "10.200.10.200", "172.16.4.2", "2001:db8:bad::1"])
def test_forged_sources_are_dropped_and_counted(site, source):
    """Through cr5, from the address of another instance, of the hub, and of nobody."""
    before = drops(site, "source-not-allowed")
    capture = site.capture("hub", "mt1")
    site.exec("edge", sys.executable, ROOT / "lab" / "rawip.py", "cr5", source,
              HUB[6 if ":" in source else 4], 20)
    wait_until(lambda: drops(site, "source-not-allowed") >= before + 20, 10, "they are counted")
    assert drops(site, "source-not-allowed") == before + 20
    assert ping(site, "edge", HUB[4], 1, 0.05, ["-I", ADDRESS["cr5"][4]]).received == 1
    seen = packets.read(capture.stop())
    assert any(f.source == ADDRESS["cr5"][4] for f in seen)
    assert not any(f.kind == "udp" for f in seen)
    assert re.search(r"peer edge/\w+: dropped a packet from \S+, a source that it may not use",
                     site.hub_end.text()), site.hub_end.text()


def test_a_destination_that_nobody_has(site):
    before = drops(site, "no-peer")
    assert ping(site, "hub", "10.200.10.99", 3, 0.05, ["-W", "1"]).received == 0
    assert drops(site, "no-peer") == before + 3


# ---- from peer to peer ---------------------------------------------------------------------


@pytest.fixture
def px(site):
    """A client elsewhere, with the same certificate, for which the hub keeps nothing: it gets an
    address out of the pool."""
    keys = client_keys(1, site.hub4, bind_ip=None, tun_name="px", remote_port=45010, tun_cidr=None,
                       routes=["10.200.10.0/24", "fd00:200:10::/64", f"{BEHIND['df5']}/128"])
    file = write_config(site.state / "px.yaml", **keys)
    end = Tunnel(site, "inet", file, site.certificates.etc["edge"])
    end.log.unlink(missing_ok=True)
    end.start()
    try:
        end.wait_line("tunnel: up")
        for target in HUB.values():
            reachable(site, "inet", target, ends=[end])
        yield end
    finally:
        end.stop()


def restart_hub(site, **replace):
    text = site.mt1.read_text()
    for key, value in replace.items():
        text = re.sub(rf"^{key}: .*$", f"{key}: {value}", text, flags=re.M)
    site.hub_end.stop()
    site.mt1.write_text(text)
    site.hub_end.start()
    for name in NAMES:
        up(site, name)


def test_an_address_out_of_the_pool(site, px):
    shown = site.exec("inet", "ip", "-br", "address", "show", "dev", "px").stdout
    given = {a.split("/")[0] for a in peers(site)["px"]["addresses"]}
    assert len(given) == 2 and all(a in shown for a in given), shown
    assert not given & {a for both in ADDRESS.values() for a in both.values()}


def own(site, family="-4"):
    shown = site.exec("inet", "ip", family, "-br", "address", "show", "dev", "px").stdout
    return {a.split("/")[0] for a in shown.split() if "/" in a and not a.startswith("fe80")}


def test_an_address_that_another_interface_gets_is_given_up_and_taken_again(site, px):
    """It was free when the hub gave it."""
    given, = own(site)
    site.exec("inet", "ip", "address", "add", f"{given}/32", "dev", "lo")
    try:
        wait_until(lambda: not own(site), 20, f"{given} is given up:\n{px.text()}")
        assert f"the hub gives us {given}, which is an address of another interface" in px.text()
        assert own(site, "-6") and px.running()
    finally:
        site.exec("inet", "ip", "address", "del", f"{given}/32", "dev", "lo")
    wait_until(lambda: own(site) == {given}, 20, f"{given} is used again:\n{px.text()}")
    reachable(site, "inet", HUB[4], ends=[px])


def test_the_address_of_a_router_is_not_used(site, px):
    """A hub may know none of them: here it is of a route in some table, through the WAN."""
    given, = own(site)
    px.stop()
    site.exec("inet", "ip", "address", "flush", "dev", "px")
    route = ["203.0.113.0/24", "via", given, "dev", "eth0", "onlink", "table", "77"]
    site.exec("inet", "ip", "route", "add", *route)
    try:
        px.start()
        px.wait_line(f"the hub gives us {given}, which is a router that our routes go by: not used")
        wait_until(lambda: own(site, "-6"), 20, "the other address is used")
        assert not own(site)
    finally:
        site.exec("inet", "ip", "route", "del", *route)
    site.exec("inet", "ip", "address", "add", "192.0.2.77/32", "dev", "lo")  # a reason to look again
    site.exec("inet", "ip", "address", "del", "192.0.2.77/32", "dev", "lo")
    wait_until(lambda: own(site) == {given}, 20, f"{given} is used:\n{px.text()}")


def test_peers_do_not_reach_each_other(site, px):
    for family in (4, 6):
        before = drops(site, "peer-to-peer")
        result = ping(site, "inet", ADDRESS["df5"][family], 3, 0.05, ["-I", "px", "-W", "1"])
        assert result.received == 0
        assert drops(site, "peer-to-peer") == before + 3
    # nor what lies behind
    ping(site, "lan5", site.inet6, 1, 0.05, ["-I", BEHIND["df5"]])
    assert ping(site, "inet", BEHIND["df5"], 2, 0.05, ["-I", "px", "-W", "1"]).received == 0


def test_peers_reach_each_other_when_they_may(site, px):
    restart_hub(site, peer_to_peer="true")
    try:
        for family in (4, 6):
            reachable(site, "inet", ADDRESS["df5"][family], options=["-I", "px"])
            result = ping(site, "inet", ADDRESS["df5"][family], 5, 0.05, ["-I", "px"])
            assert result.received == 5, result.text + said(site)
        before = drops(site, "source-not-allowed")
        site.exec("inet", sys.executable, ROOT / "lab" / "rawip.py", "px", ADDRESS["df5"][4],
                  ADDRESS["cr5"][4], 5)  # a peer's address is its own still
        wait_until(lambda: drops(site, "source-not-allowed") >= before + 5, 10, "they are counted")
    finally:
        restart_hub(site, peer_to_peer="false")


def test_who_is_gone_is_listed_as_absent(site, px):
    end = peers(site)["px"]["certificate_until"]
    px.stop()
    gone = wait_until(lambda: [a for a in site.hub_end.status()["absent"] if a["instance"] == "px"],
                      20, "px is absent")
    assert len(gone) == 1 and gone[0]["last_seen"] and gone[0]["name"] == "edge"
    assert gone[0]["certificate_until"] == end and gone[0]["reason"]
    text = site.hub_end.ask("peers").stdout
    assert re.search(r"^  edge +px +\d+s ago ", text, re.M), text
    px.start()
    wait_until(lambda: "px" in peers(site), 20, "px is up")
    assert not site.hub_end.status()["absent"]


def test_two_machines_with_one_certificate_are_told_apart_and_told(site, px):
    """The same certificate and instance id on another machine: hub, edge and status say so."""
    keys = client_keys(1, site.hub4, bind_ip=None, tun_name="px2", instance_id="px",
                       remote_port=45010, tun_cidr=None)
    other = Tunnel(site, "hub", write_config(site.state / "px2.yaml", **keys),
                   site.certificates.etc["edge"])
    hint = "another machine or instance uses our certificate or token with our instance id"
    assert "its place was taken" not in site.hub_end.text()  # by px that stops and starts
    other.start()
    try:
        other.wait_line("tunnel: up")
        site.hub_end.wait_line(r"peer edge/px: its place was taken \d+ times in a row.* from ", 60)
        assert any("peer edge/px: its place was taken" in w for w in site.hub_end.status()["warnings"])
        px.wait_line(f"tunnel: .*taken over.*{hint}")
        wait_until(lambda: any(hint in (end.status()["reason"] + str(end.status()["last_error"]))
                               for end in (px, other)), 20, "status of an edge says it")
    finally:
        other.stop()
        # It has the address still. Where it was never made, what the test says is why.
        site.exec("hub", "ip", "link", "delete", "px2", check=False)
    reachable(site, "inet", HUB[4], ends=[px])


# ---- survival ------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_one_instance_restarts_and_the_others_do_not_notice(site, how):
    before = {name: ups(site, name) for name in NAMES}
    background = {name: site.popen("edge", "ping", "-n", "-i", "0.05", "-c", "60", "-W", "2", "-I",
                                   ADDRESS[name][4], HUB[4], log=site.state / f"ping-{name}.log")
                  for name in ("cr5", "bk5")}
    end = site.edges["df5"]
    if how == "kill":
        end.kill()
    else:
        assert end.stop() == 0, end.text()
    assert ping(site, "hub", ADDRESS["df5"][4], 2, 0.1, ["-W", "1"]).received == 0
    end.log.unlink()
    end.start()
    up(site, "df5")
    for name, process in background.items():
        process.wait(30)
        text = (site.state / f"ping-{name}.log").read_text()
        (site.state / f"ping-{name}.log").unlink()
        assert "60 packets transmitted, 60 received" in text, text + said(site)
    assert {name: ups(site, name) - before[name] for name in NAMES} == {
        "cr5": 0, "df5": 1, "bk5": 0}


def test_the_hub_crashes_and_all_return(site):
    site.hub_end.kill()
    for name in NAMES:
        assert ping(site, "edge", HUB[4], 1, 0.1, ["-W", "1", "-I", ADDRESS[name][4]]).received == 0
    site.hub_end.start()
    for name in NAMES:
        for family in (4, 6):
            reachable(site, "edge", HUB[family], 60, options=["-I", ADDRESS[name][family]])
    reachable(site, "lan5", site.inet4, options=["-I", LAN4])
    assert all(edge.running() for edge in site.edges.values())
    assert set(peers(site)) == set(NAMES)
