"""What an edge goes through without anybody watching: addresses, interfaces, NATs and clocks that
change under traffic, full disks, and reconnects without number.

    lan1 --- edge === wan1, a modem === hub --- inet
                \\=== wan2: never used, whatever happens on the other
"""
import os
import re
import signal
import subprocess
import time

import pytest
from clock import DAY, YEAR_2000, Clock, source_date
from ends import PORT, Ends, Traffic, family, ip, masquerade, modem, replug, renumber, resources
from lab import Lab, wait_until
from traffic import ping
from tunnel import Site, reachable
import packets


@pytest.fixture(scope="module")
def lab(build, mpquic, lab_name):
    with Lab(lab_name, build=build, wans=2, lans=1, profiles=["bare", "bare"]) as lab:
        lab.wan(1).set("both", "rate=50m delay=5ms queue=50ms")
        lab.certificates = Site(lab)
        modem(lab)
        yield lab


@pytest.fixture
def ends(lab):
    with Ends(lab) as ends:
        yield ends


class OtherWan:
    """Nothing of the tunnel may leave through WAN 2, and it has addresses and a default route."""

    def __init__(self, lab):
        self.capture = lab.capture("edge", "enp7s4", "udp")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        seen = packets.read(self.capture.stop())
        if kind is None:
            assert not [f for f in seen if f.ports[1] == PORT]


# ---- addresses -----------------------------------------------------------------------------


def test_another_address_under_traffic(lab, ends):
    """DHCP gives another one: traffic goes on from there, and comes from nowhere else."""
    with OtherWan(lab):
        traffic = Traffic(lab)
        for old, new in (("10.150.1.2", "10.150.1.77"), ("10.150.1.77", "10.150.1.2")):
            renumber(lab, old, new)
            ends.edge.wait_line(rf"path: {re.escape(new)}:\d+ on enp7s3")
            traffic.wait(20)
            assert len(ends.sockets()) == 1 and new in ends.sockets()[0]
        traffic.stop()
    assert ends.edge.running() and ends.hub.running()


def test_a_second_address_changes_nothing(lab, ends):
    """The one in use stays in use while it is there."""
    before = ends.sockets()
    ip(lab, "edge", "address add 10.150.1.99/24 dev enp7s3")
    try:
        assert ping(lab, "edge", "10.200.1.2", 10, 0.05).received == 10
        assert ends.sockets() == before and ends.ups() == 1
    finally:
        ip(lab, "edge", "address del 10.150.1.99/24 dev enp7s3")


class Alias:
    """The address of the modem's own network beside the one that leads anywhere."""

    def __init__(self, lab):
        self.lab = lab

    def __enter__(self):
        ip(self.lab, "edge", "address add 192.168.100.2/24 dev enp7s3")

    def __exit__(self, *_):
        self.lab.exec("edge", "ip", "address", "del", "192.168.100.2/24", "dev", "enp7s3", check=False)


def dhcp_answers(lab):
    ip(lab, "edge", "address add 10.150.1.2/24 dev enp7s3",
       "route replace default via 10.150.1.1 dev enp7s3 metric 101")


def test_an_alias_is_left_for_the_address_that_works(lab, ends):
    with Alias(lab):
        ip(lab, "edge", "address del 10.150.1.2/24 dev enp7s3")
        try:
            ends.edge.wait_line(r"path: 192\.168\.100\.2:\d+ on enp7s3")
        finally:
            dhcp_answers(lab)
        ends.works(30)
        # and back on the one that worked, whatever its place among the others is
        assert "10.150.1.2" in ends.sockets()[0]


def test_an_alias_is_there_before_the_address(lab):
    with Alias(lab):
        ip(lab, "edge", "address del 10.150.1.2/24 dev enp7s3")
        ends = Ends(lab)
        ends.start()
        try:
            ends.edge.wait_line(r"path: 192\.168\.100\.2:\d+ on enp7s3")
            dhcp_answers(lab)
            ends.works(30)
        finally:
            dhcp_answers(lab) if "10.150.1.2/" not in lab.exec(
                "edge", "ip", "-br", "address", "show", "dev", "enp7s3").stdout else None
            ends.__exit__()


def test_the_hub_is_found_from_another_address_when_the_first_is_mute(lab):
    """Both are there, and the kernel prefers the one from which nothing comes back."""
    with Alias(lab):
        ip(lab, "edge", "route replace default via 10.150.1.1 dev enp7s3 metric 101 src 192.168.100.2")
        ends = Ends(lab)
        ends.start()
        try:
            ends.edge.wait_line(r"path: 192\.168\.100\.2:\d+ on enp7s3")
            ends.works()
        finally:
            ip(lab, "edge", "route replace default via 10.150.1.1 dev enp7s3 metric 101")
            ends.__exit__()


def test_the_address_disappears_and_returns(lab, ends):
    """The instance waits with its socket closed; no packet takes another WAN (R-2.9)."""
    with OtherWan(lab):
        traffic = Traffic(lab)
        ip(lab, "edge", "address del 10.150.1.2/24 dev enp7s3")
        ends.edge.wait_line("path: waiting: no IPv4 address on enp7s3")
        wait_until(lambda: not ends.sockets(), 10, "the socket is closed")
        traffic.silent()
        assert ends.edge.running() and not ends.sockets()
        ip(lab, "edge", "address add 10.150.1.2/24 dev enp7s3",
           "route replace default via 10.150.1.1 dev enp7s3 metric 101")
        traffic.wait(20)
        traffic.stop()
    assert len(re.findall("path: waiting", ends.edge.text())) == 1


def test_started_without_an_address(lab):
    ip(lab, "edge", "address del 10.150.1.2/24 dev enp7s3")
    ends = Ends(lab)
    ends.hub.start()
    ends.edge.start()
    try:
        ends.edge.wait_line("path: waiting: no IPv4 address on enp7s3")
        assert not ends.sockets()
        ip(lab, "edge", "address add 10.150.1.2/24 dev enp7s3",
           "route replace default via 10.150.1.1 dev enp7s3 metric 101")
        ends.works()
    finally:
        ends.__exit__()


@pytest.mark.parametrize("bind_ip", [None, "0.0.0.0"])
def test_any_wan_will_do(lab, bind_ip):
    """The kernel chooses."""
    with Ends(lab, bind_ip=bind_ip) as ends:
        assert "0.0.0.0:" in ends.sockets()[0]
        assert ends.edge.status()["paths"][0]["local"].startswith("10.150.1.2:")


class HubsName:
    """The hub has a name, with an address of each family, IPv6 first."""

    def __init__(self, lab):
        self.lab = lab
        self.hosts = lab.certificates.etc["edge"] / "hosts"
        (self.hosts.parent / "host.conf").write_text("multi on\n")  # as Debian has it

    def __enter__(self):
        self.before = self.hosts.read_text()
        self.hosts.write_text(f"{self.before}\n{self.lab.hub6} hub.example\n"
                              f"{self.lab.hub4} hub.example\n")
        return "hub.example"

    def __exit__(self, *_):
        self.hosts.write_text(self.before)


def test_the_name_of_the_hub_has_a_family_that_this_wan_lacks(lab):
    """The machine has IPv6, over another WAN."""
    ip(lab, "edge", "address del 2001:db8:1::2/64 dev enp7s3")
    try:
        with HubsName(lab) as name, OtherWan(lab), Ends(lab, remote_addr=name) as ends:
            assert "10.150.1.2" in ends.sockets()[0] and ends.tunnels() == 1
            ip(lab, "edge", "address del 10.150.1.2/24 dev enp7s3")
            ends.edge.wait_line("path: waiting: no address on enp7s3")
            dhcp_answers(lab)
            ends.works(30)
    finally:
        ip(lab, "edge", "address add 2001:db8:1::2/64 dev enp7s3 nodad",
           "route replace default via 2001:db8:1::1 dev enp7s3 metric 101")


@pytest.mark.parametrize("bind_ip", ["if:enp7s3", None])
def test_the_hub_answers_on_the_second_of_its_addresses(lab, bind_ip):
    """It listens to IPv4 alone."""
    with HubsName(lab) as name, Ends(lab, remote_addr=name, bind_ip=bind_ip) as ends:
        assert re.search(r"path: \S+ (on enp7s3 )?to \[2001:db8:ff::10\]:45001", ends.edge.text())
        assert re.search(r"path: \S+ (on enp7s3 )?to 203.0.113.10:45001", ends.edge.text())
        assert ends.tunnels() == 1


# ---- interfaces ----------------------------------------------------------------------------


def test_the_interface_vanishes_and_returns(lab):
    """A modem is pulled out and plugged in again: another interface with the name it had."""
    with Ends(lab, "lte0") as ends, OtherWan(lab):
        traffic = Traffic(lab)
        ip(lab, "edge", "link del lte0")
        ends.edge.wait_line("path: waiting: no interface lte0")
        wait_until(lambda: not ends.sockets(), 10, "the socket is closed")
        traffic.silent()
        modem(lab)
        traffic.wait(20)
        # and so fast that it is never seen to be gone
        for _ in range(3):
            ip(lab, "edge", "link del lte0",
               f"link add lte0 type veth peer name lte0 netns {lab.ns('core')}", "link set lte0 up",
               "address add 10.160.1.2/24 dev lte0",
               "route add default via 10.160.1.1 dev lte0 metric 500")
            ip(lab, "core", "link set lte0 up", "address add 10.160.1.1/24 dev lte0")
            traffic.wait(20)
        assert len(ends.sockets()) == 1
        traffic.stop()


def test_started_without_the_interface(lab):
    ip(lab, "edge", "link del lte0")
    ends = Ends(lab, "lte0")
    ends.hub.start()
    ends.edge.start()
    try:
        ends.edge.wait_line("path: waiting: no interface lte0")
        modem(lab)
        ends.works()
    finally:
        ends.__exit__()


@pytest.mark.parametrize("bind_ip", ["if:lte0", "10.160.1.2"])
def test_replugged_while_nobody_looks(lab, bind_ip):
    """The data plane does not run meanwhile: what it sees afterwards has the name and the address
    that it knows."""
    with Ends(lab, "lte0", bind_ip=bind_ip) as ends:
        data_plane = family(ends.edge.process.pid)[1]
        os.kill(data_plane, signal.SIGSTOP)
        try:
            replug(lab)
        finally:
            os.kill(data_plane, signal.SIGCONT)
        ends.works(30)
        assert len(ends.sockets()) == 1


def wan_of_hub(lab):
    for node, peer, name, address, address6 in (
            ("hub", "core", "eth0", f"{lab.hub4}/24", f"{lab.hub6}/64"),
            ("core", "hub", "hub", "203.0.113.1/24", "2001:db8:ff::1/64")):
        if node == "hub":
            ip(lab, "hub", f"link add eth0 type veth peer name hub netns {lab.ns(peer)}")
        ip(lab, node, f"link set {name} up", f"address add {address} dev {name}",
           f"address add {address6} dev {name} nodad")
    ip(lab, "hub", "route add default via 203.0.113.1", "route add default via 2001:db8:ff::1")
    ip(lab, "core", f"route add 172.16.0.0/16 via {lab.hub4}", f"route add fd16::/48 via {lab.hub6}")


def test_the_interface_of_the_hub_is_made_anew(lab):
    with Ends(lab, hub_keys={"bind_ip": "if:eth0"}) as ends:
        ip(lab, "hub", "link del eth0")
        try:
            ends.hub.wait_line("path: waiting: no interface eth0")
            status = ends.hub.status()
            assert (status["state"], status["reason"], status["listen"]) == (
                "waiting", "no interface eth0", [])
        finally:
            wan_of_hub(lab)
        ends.works(60)
        assert ends.hub.status()["state"] == "listening"
        # and so fast that it is never seen to be gone
        ip(lab, "hub", "link del eth0")
        wan_of_hub(lab)
        ends.works(60)


@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_the_link_goes_down_and_up(lab, side):
    """By ip link set down, and by losing the carrier."""
    node = "edge" if side == "ours" else "core"
    with Ends(lab, "lte0") as ends, OtherWan(lab):
        traffic = Traffic(lab)
        ip(lab, node, "link set lte0 down")
        ends.edge.wait_line("path: waiting: no carrier on lte0")
        wait_until(lambda: not ends.sockets(), 10, "the socket is closed")
        traffic.silent()
        ip(lab, node, "link set lte0 up")
        if side == "ours":  # going down took its route away
            ip(lab, "edge", "route replace default via 10.160.1.1 dev lte0 metric 500")
        traffic.wait(20)
        traffic.stop()


# ---- NAT -----------------------------------------------------------------------------------


def seen_ports(lab, ends, capture):
    return {f.ports[0] for f in packets.read(capture.stop()) if f.ports[1] == PORT}


def test_the_nat_forgets_us(lab):
    """The provider's NAT gives another address and port: the connection moves, and is not made
    anew."""
    masquerade(lab, "20000-20999")
    try:
        with Ends(lab) as ends:
            capture = lab.capture("hub", "eth0", "udp")
            traffic = Traffic(lab)
            traffic.wait(5)
            assert all(20000 <= p <= 20999 for p in seen_ports(lab, ends, capture))
            for first in (30000, 40000, 20000):
                capture = lab.capture("hub", "eth0", "udp")
                masquerade(lab, f"{first}-{first + 999}")
                traffic.wait(20)
                assert any(first <= p <= first + 999 for p in seen_ports(lab, ends, capture))
            traffic.stop()
            assert ends.ups() == 1, ends.said()
            assert len(re.findall("tunnel: up", ends.edge.text())) == 1
    finally:
        lab.exec("wan1", "nft", "delete", "table", "ip", "cgn", check=False)
        lab.exec("wan1", "conntrack", "-F", check=False)


def test_the_nat_forgets_us_while_idle(lab):
    """What comes from the hub finds the edge after its keep-alive has told the NAT again."""
    masquerade(lab, "20000-20999")
    try:
        with Ends(lab) as ends:
            masquerade(lab, "30000-30999")
            reachable(lab, "hub", "10.200.1.1", 60)
            assert ends.ups() == 1, ends.said()
    finally:
        lab.exec("wan1", "nft", "delete", "table", "ip", "cgn", check=False)
        lab.exec("wan1", "conntrack", "-F", check=False)


# ---- clocks --------------------------------------------------------------------------------

CERT_TIME = 21


def test_the_clock_jumps(lab):
    """Nothing in a tunnel goes by the wall clock: days forth and back, as when NTP comes late, lose
    no packet and no connection."""
    clock = Clock(lab.state)
    with clock:
        # it is shifted indeed
        shown = [int(lab.exec("edge", "date", "+%s").stdout)]
        clock.set(10 * DAY)
        shown.append(int(lab.exec("edge", "date", "+%s").stdout))
        assert 10 * DAY <= shown[1] - shown[0] <= 10 * DAY + 60
        clock.set(0)
        with Ends(lab) as ends:
            traffic = Traffic(lab)
            for shift in (10 * DAY, -10 * DAY, 20 * DAY, -3000 * DAY, 0):
                clock.set(shift)
                traffic.wait(20)
            result = traffic.stop()
            assert result.sent - result.received <= 1, result.text
            assert ends.ups() == 1, ends.said()
            # and a connection that is made afterwards
            clock.set(10 * DAY)
            ends.hub.kill()
            ends.hub.start()
            ends.works()


def fresh_state(lab):
    """The edge has forgotten the time. Returns where it saves it."""
    saved = lab.directories("edge")["MPQUIC_STATE_DIR"] / "e.time"
    saved.unlink(missing_ok=True)
    return saved


def test_a_clock_without_a_battery_and_a_new_machine(lab, build):
    """The clock says the year 2000 and no time was saved: what was certified before the program was
    made is valid nevertheless, and the time is saved."""
    made = source_date(build)
    saved = fresh_state(lab)
    with Ends(lab, certificates=Site(lab, "-old", since=made - 1500 * DAY, days=30000),
              edge_clock=Clock(lab.state, "edge", at=YEAR_2000)) as ends:
        assert "behind the date of this program" in ends.edge.text()
        ends.edge.stop()
        assert made <= int(saved.read_text()) <= made + 600


def test_a_clock_without_a_battery_and_a_saved_time(lab, build):
    """What was certified since is valid by the time that was saved, and only by that."""
    now = max(int(time.time()), source_date(build))
    site = Site(lab, "-new", since=now + 10 * DAY)
    clocks = {"edge_clock": Clock(lab.state, "edge", at=YEAR_2000),
              "hub_clock": Clock(lab.state, "hub", at=now + 20 * DAY)}
    saved = fresh_state(lab)
    forgetful = Ends(lab, certificates=site, **clocks)
    forgetful.start()
    try:
        assert forgetful.edge.wait_exit() == CERT_TIME, forgetful.said()
        assert "not valid yet" in forgetful.edge.text()
    finally:
        forgetful.__exit__()
    saved.write_text(f"{now + 15 * DAY}\n")
    with Ends(lab, certificates=site, **clocks) as ends:
        assert "behind the time saved last" in ends.edge.text()
        ends.edge.stop()
        assert now + 15 * DAY < int(saved.read_text()) < now + 16 * DAY


# ---- disks ---------------------------------------------------------------------------------


def test_no_room_for_log_and_state(lab):
    """The state directory and the log are on a disk that is full: the tunnel does its work."""
    disk = lab.state / "full"
    state = lab.directories("edge")["MPQUIC_STATE_DIR"]
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=755", "full", disk], check=True)
    try:
        (disk / "state").mkdir()
        subprocess.run(["mount", "--bind", disk / "state", state], check=True)
        log = disk / "edge.log"
        log.touch()
        with open(disk / "rest", "wb", buffering=0) as f, pytest.raises(OSError):
            while True:
                f.write(bytes(4096))
        ends = Ends(lab)
        ends.edge.log = log
        with ends:
            ends.works()
            assert os.statvfs(disk).f_bavail == 0
            renumber(lab, "10.150.1.2", "10.150.1.77")
            renumber(lab, "10.150.1.77", "10.150.1.2")
            ends.works()
            assert ends.edge.stop() == 0
    finally:
        subprocess.run(["umount", state], check=False)
        subprocess.run(["umount", "-l", disk], check=False)


# ---- again and again -----------------------------------------------------------------------


def test_two_hundred_reconnects(lab, ends):
    """Another address for every connection: both processes go through all of it, and have in the
    end what they had at the beginning (R-1.8)."""
    addresses = ["10.150.1.2", "10.150.1.77"]
    marks = {}
    for n in range(1, 201):
        tunnels = ends.tunnels()
        renumber(lab, addresses[(n - 1) % 2], addresses[n % 2])
        wait_until(lambda: ends.tunnels() > tunnels, 30, f"reconnect {n}: {ends.said()[-2000:]}")
        reachable(lab, "edge", "10.200.1.2", options=["-W", "0.2"])
        if n in (10, 50, 200):
            marks[n] = {end: resources(t) for end, t in (("edge", ends.edge), ("hub", ends.hub))}
    print(marks)
    assert ends.tunnels() >= 201
    for end in ("edge", "hub"):
        assert marks[200][end][0] == marks[10][end][0], "descriptors"
        for before, after in zip(marks[50][end][1], marks[200][end][1]):
            assert after - before <= 256, f"{end}: {before} KiB, then {after} KiB"


def test_the_hub_outlives_many_crashes_of_the_edge(lab, ends):
    marks = {}
    for n in range(1, 61):
        ends.edge.kill()
        ends.edge.start()
        reachable(lab, "edge", "10.200.1.2", ends=[ends.edge, ends.hub], options=["-W", "0.2"])
        if n in (10, 20, 60):
            marks[n] = resources(ends.hub)
    print(marks)
    assert marks[60][0] == marks[10][0], "descriptors"
    for before, after in zip(marks[20][1], marks[60][1]):
        assert after - before <= 256, f"{before} KiB, then {after} KiB"
