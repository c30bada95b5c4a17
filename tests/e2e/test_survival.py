"""Somebody else deletes the TUN, sets it down, flushes it or changes its MTU: it is put back, and the
sessions do not notice.

    lan1 --- edge === wan1 === hub --- inet

The routes into the tunnel are those that the instances themselves make: the edge's `routes`, the
hub's to what is behind its peer.
"""
import re
import signal
import time

import pytest
from lab import Lab, wait_until
from traffic import ping
from tunnel import Site, Tunnel, client_keys, reachable, server_keys, write_config

ADDRESSES = {"edge": {"10.200.1.1/30", "fd00:200:1::1/126"},
             "hub": {"10.200.1.2/30", "fd00:200:1::2/126"}}


@pytest.fixture(scope="module")
def site(build, mpquic, lab_name):
    with Lab(lab_name, build=build, wans=1, profiles=["bare"]) as lab:
        lab.wan(1).set("both", "rate=50m delay=5ms queue=50ms")
        lab.certificates = Site(lab)
        yield lab


@pytest.fixture
def ends(site):
    """Both instances, fresh: no pause after repairs of the test before."""
    routes = [f"{site.inet4}/32", f"{site.inet6}/128"]
    files = {"hub": write_config(site.state / "server.yaml", **server_keys(1)),
             "edge": write_config(site.state / "client.yaml",
                                  **client_keys(1, site.hub4, routes=routes))}
    ends = {node: Tunnel(site, node, file, site.certificates.etc[node]) for node, file in files.items()}
    for end in ends.values():
        end.log.unlink(missing_ok=True)
        end.start()
    works(site)
    yield ends
    for end in ends.values():
        if end.running():
            end.stop()


def works(lab):
    reachable(lab, "lan1", lab.inet4)
    reachable(lab, "lan1", lab.inet6)
    reachable(lab, "inet", "172.16.1.2")
    assert ping(lab, "lan1", lab.inet4, 5, 0.05).received == 5


def state(lab, node):
    """What is to be true of the TUN: up, MTU, our addresses, our routes with their tables."""
    link = lab.exec(node, "ip", "-o", "link", "show", "mpq1", check=False).stdout
    if not link:
        return None
    addresses = lab.exec(node, "ip", "-o", "address", "show", "mpq1", "scope", "global").stdout
    routes = "".join(lab.exec(node, "ip", family, "route", "show", "table", "all", "dev", "mpq1",
                              "proto", "109").stdout for family in ("-4", "-6"))
    return {"up": ",UP" in link, "mtu": int(re.search(r"mtu (\d+)", link)[1]),
            "addresses": set(re.findall(r"inet6? (\S+)", addresses)),
            "routes": set(re.findall(r"^(\S+)", routes, re.M))}


def sessions(end):
    return len(re.findall(r"tunnel: up|peer \S+: up", end.text()))


FAULTS = {
    "deleted": ["link", "delete", "mpq1"],
    "set-down": ["link", "set", "mpq1", "down"],
    "addresses-flushed": ["address", "flush", "dev", "mpq1", "scope", "global"],
    "routes-flushed": ["route", "flush", "table", "all", "proto", "109"],
    "routes-flushed-6": ["-6", "route", "flush", "table", "all", "proto", "109"],
    "mtu-changed": ["link", "set", "mpq1", "mtu", "1300"],
    "renamed": ["link", "set", "mpq1", "name", "foo0"],
}


@pytest.mark.parametrize("node", ["edge", "hub"])
def test_the_routes_of_the_configuration_are_there(site, ends, node):
    assert state(site, node)["addresses"] == ADDRESSES[node]
    expected = {site.inet4, site.inet6} if node == "edge" else {"172.16.1.0/30", "fd16:0:0:1::/64"}
    assert state(site, node)["routes"] == expected


@pytest.mark.parametrize("node", ["edge", "hub"])
def test_what_others_break_is_put_back(site, ends, node):
    """One after the other, with pings all the time; the sessions stay."""
    before, up = state(site, node), {n: sessions(end) for n, end in ends.items()}
    for name, command in FAULTS.items():
        site.exec(node, "ip", *command)
        wait_until(lambda: state(site, node) == before, 40,
                   f"{name}: {state(site, node)} is {before} again:\n{ends[node].text()}")
        works(site)
        assert all(end.running() for end in ends.values())
    assert {n: sessions(end) for n, end in ends.items()} == up
    text = ends[node].text()
    for line in ("was deleted by somebody else: made anew", "was set down by somebody else",
                 "mtu was set to 1300 by somebody else", "10.200.1.", "2 routes removed by somebody else: put back",
                 "1 route removed by somebody else: put back",
                 "was renamed to foo0 by somebody else: mpq1 again"):
        assert line in text
    assert text.count("renamed") == 1


def test_renamed_while_its_name_is_taken(site, ends):
    """The tunnel works on under the name that it has, and gets its own when that is free."""
    before = state(site, "edge")
    ends["edge"].process.send_signal(signal.SIGSTOP)  # the helper, which would rename it
    site.exec("edge", "ip", "link", "set", "mpq1", "name", "foo0")
    site.exec("edge", "ip", "link", "add", "mpq1", "type", "bridge")
    ends["edge"].process.send_signal(signal.SIGCONT)
    ends["edge"].wait_line("it is now called foo0: File exists")
    works(site)
    site.exec("edge", "ip", "link", "delete", "mpq1")
    wait_until(lambda: state(site, "edge") == before, 40, "it has its name again")
    works(site)


def test_the_tun_is_moved_to_another_namespace(site, ends):
    before = state(site, "edge")
    site.exec("edge", "ip", "link", "set", "mpq1", "netns", site.ns("lan1"))
    wait_until(lambda: state(site, "edge") == before, 20, "a new TUN is there")
    site.exec("lan1", "ip", "link", "delete", "mpq1")
    works(site)


def test_its_name_is_taken_by_something_else_for_a_while(site, ends):
    before = state(site, "edge")
    ends["edge"].process.send_signal(signal.SIGSTOP)  # the helper, which would make it anew
    site.exec("edge", "ip", "link", "delete", "mpq1")
    site.exec("edge", "ip", "link", "add", "mpq1", "type", "bridge")
    ends["edge"].process.send_signal(signal.SIGCONT)
    ends["edge"].wait_line("cannot be made anew")
    site.exec("edge", "ip", "link", "delete", "mpq1")
    wait_until(lambda: state(site, "edge") == before, 40, "a new TUN is there")
    works(site)


def test_somebody_who_fights_is_not_fought_at_full_speed(site, ends):
    """Set down again whenever it comes up: few repairs, and a line that says so."""
    start = time.monotonic()
    while time.monotonic() < start + 12:
        if (now := state(site, "edge")) and now["up"]:
            site.exec("edge", "ip", "link", "set", "mpq1", "down")
        time.sleep(0.05)
    text = ends["edge"].text()
    assert "somebody else keeps changing it" in text
    assert 4 <= text.count("was set down by somebody else") <= 8
    assert ends["edge"].running()


def test_a_foreign_address_and_a_foreign_route_stay(site, ends):
    site.exec("edge", "ip", "address", "add", "192.0.2.77/32", "dev", "mpq1")
    site.exec("edge", "ip", "route", "add", "192.0.2.128/25", "dev", "mpq1")
    site.exec("edge", "ip", "link", "set", "mpq1", "mtu", "1300")
    ends["edge"].wait_line("mtu was set to 1300 by somebody else")
    assert "192.0.2.77/32" in state(site, "edge")["addresses"]
    assert "192.0.2.128/25" in site.exec("edge", "ip", "route", "show", "dev", "mpq1").stdout
