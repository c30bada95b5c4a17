"""A path that carries packets of 1400 bytes only, told by a router or silently.

    lan1 --- edge === emulator === wan1 =1400= core --- hub --- inet
"""
import re

import pytest
from lab import Lab, wait_until
from traffic import Echo, ping
from tunnel import Site, Tunnel, client_keys, reachable, server_keys, write_config
import packets

NARROW = 1400


def narrow(lab, how):
    if how == "router":
        lab.set_path_mtu(1, NARROW)
    else:
        lab.wan(1).set("both", f"mtu={NARROW}")


def widen(lab):
    lab.set_path_mtu(1, 1500)
    lab.wan(1).set("both", "mtu=0")
    for node in ("edge", "hub", "lan1", "inet"):
        for family in ("-4", "-6"):
            lab.exec(node, "ip", family, "route", "flush", "cache")


@pytest.fixture(scope="module")
def site(build, mpquic, lab_name):
    with Lab(lab_name, build=build, wans=1, profiles=["bare"]) as lab:
        lab.wan(1).set("both", "rate=50m delay=5ms queue=50ms")
        lab.certificates = Site(lab)
        lab.echo = Echo(lab, "inet")
        yield lab


def tunnels(lab, mtu, outer):
    files = {"hub": write_config(lab.state / "server.yaml", **server_keys(
                 1, mtu=mtu, bind_ip="0.0.0.0" if outer == 4 else "::")),
             "edge": write_config(lab.state / "client.yaml", **client_keys(
                 1, lab.hub4 if outer == 4 else lab.hub6, mtu=mtu))}
    ends = {node: Tunnel(lab, node, file, lab.certificates.etc[node])
            for node, file in files.items()}
    for end in ends.values():
        end.log.unlink(missing_ok=True)
        end.start()
    return ends


def tun_mtu(lab, node):
    return int(re.search(r"mtu (\d+)", lab.exec(node, "ip", "link", "show", "mpq1").stdout)[1])


def check_traffic(lab, mtu):
    """Packets of every size up to the tunnel's MTU arrive, whole; TCP passes in bulk. After its last
    packet ping waits for one interval only, hence few long ones."""
    for target, headers in ((lab.inet4, 28), (lab.inet6, 48)):
        for size in (1200, mtu - 1, mtu):
            result = ping(lab, "lan1", target, 5, 1, ["-l", 5, "-M", "do", "-s", size - headers])
            assert result.received == 5, f"packets of {size} to {target}"
        lab.echo.say("lan1", target, "0123456789abcdef" * 512)  # half a megabyte, both ways


@pytest.mark.parametrize("outer", [4, 6])
@pytest.mark.parametrize("how", ["router", "silent"])
@pytest.mark.parametrize("mtu", [1280, "auto"])
def test_a_narrow_path(site, mtu, how, outer):
    lab = site
    widen(lab)
    narrow(lab, how)
    ends = tunnels(lab, mtu, outer)
    try:
        reachable(lab, "edge", "fd00:200:1::2",
                  ends=ends.values())
        lab.route_tunnel(1)
        for target in (lab.inet4, lab.inet6):
            reachable(lab, "lan1", target)
        # Between our own ends a packet may be larger than the path: the TUN carries 1500.
        want = mtu if mtu != "auto" else 1500
        wait_until(lambda: tun_mtu(lab, "edge") == tun_mtu(lab, "hub") == want, 20,
                   f"both ends have the MTU {want}")
        capture = lab.capture("edge", "enp7s3")
        check_traffic(lab, want)
        frames = packets.read(capture.stop())
        assert not any(f.kind == "fragment" for f in frames)
    finally:
        widen(lab)
        for e in ends.values():
            e.stop()


@pytest.mark.parametrize("how", ["router", "silent"])
@pytest.mark.parametrize("mtu", [1280, "auto"])
def test_a_path_that_becomes_narrow(site, mtu, how):
    """The tunnel came up over 1500 bytes; then the path shrinks under it."""
    lab = site
    widen(lab)
    ends = tunnels(lab, mtu, 4)
    try:
        reachable(lab, "edge", "10.200.1.2")
        lab.route_tunnel(1)
        reachable(lab, "lan1", lab.inet4)
        check_traffic(lab, 1280)
        narrow(lab, how)

        def whole_packets(target, headers):
            return lambda: ping(lab, "lan1", target, 3, 0.1,
                                ["-W", "1", "-s", 1280 - headers]).received == 3
        wait_until(whole_packets(lab.inet4, 28), 30, "packets of 1280 over IPv4")
        wait_until(whole_packets(lab.inet6, 48), 30, "packets of 1280 over IPv6")
        lab.echo.say("lan1", lab.inet4, "0123456789abcdef" * 512)
        lab.echo.say("lan1", lab.inet6, "0123456789abcdef" * 512)
        assert all(e.running() for e in ends.values())
    finally:
        widen(lab)
        for e in ends.values():
            e.stop()


def test_the_sender_is_told_what_is_too_big(site):
    """A packet over the tunnel's MTU is answered with packet-too-big, in both families."""
    lab = site
    widen(lab)
    ends = tunnels(lab, 1280, 4)
    try:
        reachable(lab, "edge", "10.200.1.2")
        lab.route_tunnel(1)
        for target in (lab.inet4, lab.inet6):
            reachable(lab, "lan1", target)
            said = lab.exec("lan1", "ping", "-n", "-c", "1", "-W", "2", "-M", "do", "-s", "1300",
                            target, check=False).stdout
            assert re.search(r"mtu ?[=:] ?1280", said), said
    finally:
        for e in ends.values():
            e.stop()
