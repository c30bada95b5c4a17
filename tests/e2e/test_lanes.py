"""Lanes on demand: connections of one path, each from a socket of its own.

    lan1 --- edge === wan1, lte0 === hub

A lossy line asks for some; which load, and for how long, is decided by waiting for what is to be.
"""
import re

import pytest
from ends import Ends, Traffic, family, ip, masquerade, modem, renumber, replug, resources
from lab import Lab, wait_until
from traffic import ping
from tunnel import Site, Tunnel, client_keys, reachable, server_keys, write_config

LINE = "rate=20m delay=10ms queue=40ms loss=1%"

# 24 Mbit/s of inner UDP, more than the line carries.
SENDER = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
end = time.monotonic()
while True:
    for _ in range(10):
        try:
            s.sendto(bytes(1200), (sys.argv[1], 9))
        except OSError:
            pass
    end += 0.004
    time.sleep(max(0, end - time.monotonic()))
"""


@pytest.fixture(scope="module")
def lab(build, mpquic, lab_name):
    with Lab(lab_name, build=build, wans=1, profiles=["bare"]) as lab:
        lab.wan(1).set("both", LINE)
        lab.certificates = Site(lab)
        modem(lab)
        yield lab


class Lossy(Ends):
    """On a line that loses something, with a plain tunnel too."""

    def works(self, timeout=60):
        ends = (self.edge, self.hub)
        reachable(self.lab, "edge", "10.200.1.2", timeout, ends)
        reachable(self.lab, "edge", "fd00:200:1::2", timeout, ends)
        assert ping(self.lab, "edge", "10.200.1.2", 20, 0.05).received >= 16, self.said()


class Load:
    """Datagrams into the tunnel, from one end to the other."""

    def __init__(self, lab, node="edge", target=None):
        self.lab = lab
        target = target or {"edge": "10.200.1.2", "hub": "10.200.1.1"}[node]
        self.process = lab.popen(node, "/usr/bin/python3", "-c", SENDER, target,
                                 log=lab.state / f"load-{node}-{target}.log")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lab.stop(self.process)


def path(end):
    return end.status()["paths"][0]


def lanes(end):
    return path(end)["lanes"]


def wait_lanes(ends, accept, timeout=90):
    """Wait until the edge's number of lanes pleases, and the hub has as many."""
    def settled():
        n = lanes(ends.edge)
        peers = ends.hub.status()["peers"]
        return n if accept(n) and [p["paths"][0]["lanes"] for p in peers] == [n] else None
    return wait_until(settled, timeout, f"the path has another number of lanes:\n{ends.said()}",
                      interval=0.2)


def wait_sockets(ends, n, timeout=30):
    wait_until(lambda: len(ends.sockets()) == n, timeout, f"{n} sockets: {ends.sockets()}")


def descriptors(end):
    return resources(end)[0]


def moved(end, way, least):
    """Wait until so many more bytes have gone through the tunnel."""
    def now():
        return end.status()["traffic"][f"{way}_bytes"]
    start = now()
    wait_until(lambda: now() >= start + least, 60, f"{least} bytes more", interval=0.2)


def check_each_lane(ends, interface="enp7s3", address="10.150.1.2"):
    """They differ in their ports and in nothing else."""
    p = path(ends.edge)
    each = p["each_lane"]
    assert len(each) == p["lanes"]
    assert len({lane["number"] for lane in each}) == len({lane["local"] for lane in each}) == len(each)
    for lane in each:
        assert re.fullmatch(rf"{re.escape(address)}:\d+", lane["local"])
        assert any(f"{address}%{interface}:{lane['local'].split(':')[1]} " in line
                   for line in ends.sockets()), ends.sockets()
    return each


@pytest.mark.parametrize("sender", ["edge", "hub"])
def test_lanes_come_with_the_load_and_go_with_it(lab, sender):
    with Lossy(lab) as ends:
        wait_lanes(ends, lambda n: n == 1)
        wait_sockets(ends, 1)
        before = {end: descriptors(end) for end in (ends.edge, ends.hub)}
        with Load(lab, sender):
            n = wait_lanes(ends, lambda n: n >= 3)
            assert n <= 16
            assert len(ends.sockets()) >= 3
            moved(ends.edge if sender == "edge" else ends.hub, "tx", 3000000)
            wait_until(lambda: len([lane for lane in path(ends.edge)["each_lane"]
                                    if lane["datagrams"]["tx" if sender == "edge" else "rx"] > 100]) > 1,
                       30, "several lanes carry", interval=0.2)
        wait_lanes(ends, lambda n: n == 1)
        wait_sockets(ends, 1)
        ends.works()
        for end, fds in before.items():
            wait_until(lambda: descriptors(end) == fds, 20, f"{descriptors(end)} is {fds} again")
        assert ends.ups() == ends.tunnels() == 1, ends.said()
        assert len(re.findall("tunnel: up", ends.edge.text())) == 1


def test_so_many_as_are_configured(lab):
    """A number is both, the least and the most; a reload changes it, and no session notices."""
    with Lossy(lab, lanes=4) as ends:
        wait_lanes(ends, lambda n: n == 4)
        check_each_lane(ends)
        assert "LANES" in ends.hub.ask("peers").stdout
        with Load(lab):
            moved(ends.edge, "tx", 3000000)
            assert lanes(ends.edge) == 4
        for value, least, most in (("2", 2, 2), ("1..3", 1, 3), ("1", 1, 1), ("3", 3, 3)):
            write_config(ends.edge.config,
                         **client_keys(1, lab.hub4, bind_ip="if:enp7s3", lanes=value))
            assert ends.edge.ask("reload").returncode == 0
            wait_lanes(ends, lambda n: least <= n <= most)
        wait_sockets(ends, 3)
        ends.works()
        assert ends.ups() == ends.tunnels() == 1, ends.said()


@pytest.mark.parametrize("edge, hub", [({"lanes": 1}, {}), ({"session_extension": False}, {}),
                                       ({}, {"session_extension": False})],
                         ids=["one", "plain-edge", "plain-hub"])
@pytest.mark.parametrize("sender", ["edge", "hub"])
def test_one_stays_one(lab, edge, hub, sender):
    with Lossy(lab, hub_keys=hub, **edge) as ends, Load(lab, sender):
        for _ in range(5):
            moved(ends.edge if sender == "edge" else ends.hub, "tx", 2000000)
            assert lanes(ends.edge) == 1 and len(ends.sockets()) == 1
        assert ends.edge.status()["handshakes"]["begun"] == 1
        assert path(ends.edge)["lanes_wanted"] == 1


def test_the_hub_restarts(lab):
    """Another hub knows nothing of the lanes: the edge begins with one and has all again."""
    with Lossy(lab, lanes=4) as ends:
        wait_lanes(ends, lambda n: n == 4)
        for how in (ends.hub.kill, ends.hub.stop):
            how()
            ends.hub.start()
            ends.works()
            wait_lanes(ends, lambda n: n == 4)
            wait_sockets(ends, 4)
        assert ends.edge.running()


def test_the_interface_vanishes_with_four_lanes(lab):
    with Lossy(lab, "lte0", lanes=4) as ends:
        wait_lanes(ends, lambda n: n == 4)
        check_each_lane(ends, "lte0", "10.160.1.2")
        fds = descriptors(ends.edge)
        traffic = Traffic(lab)
        ip(lab, "edge", "link del lte0")
        ends.edge.wait_line("path: waiting: no interface lte0")
        wait_sockets(ends, 0)
        modem(lab)
        traffic.wait(20)
        wait_lanes(ends, lambda n: n == 4)
        for _ in range(3):  # and so fast that it is never seen to be gone
            replug(lab)
            traffic.wait(20)
        traffic.stop()
        wait_lanes(ends, lambda n: n == 4)
        wait_sockets(ends, 4)
        check_each_lane(ends, "lte0", "10.160.1.2")
        wait_until(lambda: descriptors(ends.edge) == fds, 20, "as many descriptors as before")


def test_another_address_with_four_lanes(lab):
    with Lossy(lab, lanes=4) as ends:
        wait_lanes(ends, lambda n: n == 4)
        fds = descriptors(ends.edge)
        for old, new in 5 * [("10.150.1.2", "10.150.1.77"), ("10.150.1.77", "10.150.1.2")]:
            renumber(lab, old, new)
            reachable(lab, "edge", "10.200.1.2", ends=[ends.edge, ends.hub])
        wait_lanes(ends, lambda n: n == 4)
        wait_sockets(ends, 4)
        check_each_lane(ends)
        wait_until(lambda: descriptors(ends.edge) == fds, 20, "as many descriptors as before")


def test_the_nat_forgets_four_lanes(lab):
    """Each gets another port from the provider's NAT, and none is made anew."""
    masquerade(lab, "20000-20999")
    try:
        with Lossy(lab, lanes=4) as ends:
            wait_lanes(ends, lambda n: n == 4)
            begun = ends.hub.status()["handshakes"]["begun"]
            with Load(lab):
                for first in (30000, 40000):
                    masquerade(lab, f"{first}-{first + 999}")
                    moved(ends.edge, "tx", 2000000)
                    moved(ends.hub, "rx", 2000000)
            wait_lanes(ends, lambda n: n == 4)
            ends.works()
            assert ends.ups() == ends.tunnels() == 1, ends.said()
            assert ends.hub.status()["handshakes"]["begun"] == begun
    finally:
        lab.exec("wan1", "nft", "delete", "table", "ip", "cgn", check=False)
        lab.exec("wan1", "conntrack", "-F", check=False)


SIX = range(1, 7)


def test_six_instances_on_one_wan(lab):
    """All under load; each has lanes of its own, and gets its share."""
    etc = lab.certificates.etc
    hubs = [Tunnel(lab, "hub", write_config(lab.state / f"six-h{i}.yaml", **server_keys(i)),
                   etc["hub"]) for i in SIX]
    edges = [Tunnel(lab, "edge", write_config(lab.state / f"six-e{i}.yaml",
                                              **client_keys(i, lab.hub4, bind_ip="if:enp7s3")),
                    etc["edge"]) for i in SIX]
    loads = []
    try:
        for end in hubs + edges:
            end.start()
        for i in SIX:
            reachable(lab, "edge", f"10.200.{i}.2", ends=hubs + edges)
        loads = [Load(lab, "edge", f"10.200.{i}.2") for i in SIX]
        for hub in hubs:
            moved(hub, "rx", 500000)
        wait_until(lambda: sum(lanes(e) for e in edges) > 6, 90, "some have further lanes",
                   interval=0.5)
        for hub in hubs:
            moved(hub, "rx", 500000)
        for load in loads:
            load.__exit__()
        loads = []
        for edge in edges:
            wait_until(lambda: lanes(edge) == 1, 90, "lanes are closed again", interval=0.2)
        for i in SIX:
            reachable(lab, "edge", f"10.200.{i}.2", ends=hubs + edges)
            assert ping(lab, "edge", f"10.200.{i}.2", 10, 0.05).received >= 8
        for edge in edges:
            pids = [f"pid={p}," for p in family(edge.process.pid)]
            wait_until(lambda: sum(any(p in line for p in pids) for line in
                                   lab.exec("edge", "ss", "-Huanp").stdout.splitlines()) == 1,
                       30, "one socket")
    finally:
        for load in loads:
            load.__exit__()
        for end in edges + hubs:
            if end.process:
                end.stop()
