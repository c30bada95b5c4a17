"""The laboratory itself, without a tunnel: that links do what they are told to, that they can be
told anew while they run, and that nothing is left behind.

    edge --- emulator --- wan1 --- core --- hub

Counts come from the emulator's own counters and clock; the speed of this machine decides nothing.
"""
import os
import pathlib
import re
import subprocess
import sys

import pytest
from lab import ROOT, Lab, LabError, STATE, wait_until
import packets

PERFECT = "rate=0 delay=0ms jitter=0ms queue=0 mtu=0 loss=0 burst=0 reorder=0 down=0"

SENDER = """
import socket, sys
host, count, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
family = socket.AF_INET6 if ":" in host else socket.AF_INET
s = socket.socket(family, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
for i in range(count):
    s.sendto(i.to_bytes(4, "big") + bytes(size - 4), (host, 9))
"""


@pytest.fixture(scope="module")
def lab(build, lab_name):
    with Lab(lab_name, build=build, wans=1, profiles=["bare"]) as lab:
        # Neighbours and routes are known before anything is counted.
        for target in (lab.hub4, lab.hub6):
            lab.exec("edge", "ping", "-c", "3", "-i", "0.05", target)
        yield lab


@pytest.fixture
def wan(lab):
    wan = lab.wan(1)
    wan.set("both", PERFECT)
    wan.reset()
    yield wan
    wan.set("both", PERFECT)


def send(lab, count, size, host=None):
    """Send datagrams from the edge to the hub; nobody answers but an ICMP limit's worth."""
    lab.exec("edge", "/usr/bin/python3", "-c", SENDER, host or lab.hub4, count, size)


def drained(wan, direction="up"):
    """The counters once the link is empty."""
    def empty():
        c = wan.get()[direction]
        return c if not c["queued_bytes"] and not c["in_flight"] else None
    return wait_until(empty, 20, "the link empties")


def ping(lab, *args, target=None):
    """Ping from edge to hub: the round trip times in ms, and the text."""
    text = lab.exec("edge", "ping", "-n", *args, target or lab.hub4, check=False).stdout
    return [float(t) for t in re.findall(r"time=([\d.]+) ms", text)], text


def test_rate(lab, wan):
    wan.set("up", "rate=20m queue=8m")
    send(lab, 2000, 1200)
    first = wan.get()
    assert first["up"]["queued_bytes"] > 1000000
    second = wait_until(lambda: (s := wan.get())["now_us"] - first["now_us"] > 400000 and s, 10, "")
    assert second["up"]["queued_bytes"] > 0
    bits = (second["up"]["out_bytes"] - first["up"]["out_bytes"]) * 8
    seconds = (second["now_us"] - first["now_us"]) / 1e6
    assert bits / seconds == pytest.approx(20e6, rel=0.02)
    wan.set("up", "rate=80m")
    first = wan.get()
    second = wait_until(lambda: (s := wan.get())["now_us"] - first["now_us"] > 60000 and s, 10, "")
    assert second["up"]["queued_bytes"] > 0
    bits = (second["up"]["out_bytes"] - first["up"]["out_bytes"]) * 8
    assert bits / (second["now_us"] - first["now_us"]) == pytest.approx(80, rel=0.06)
    end = drained(wan)
    assert end["in_packets"] == end["out_packets"] >= 2000
    assert end["missed"] == end["no_memory"] == end["send_error"] == 0


@pytest.mark.parametrize("family", ["4", "6"])
def test_delay_in_each_direction(lab, wan, family):
    target = lab.hub4 if family == "4" else lab.hub6
    wan.set("up", "delay=10ms")
    wan.set("down", "delay=25ms")
    times, text = ping(lab, "-c", "20", "-i", "0.02", target=target)
    assert len(times) == 20, text
    assert min(times) >= 35.0
    assert min(times) < 38.0  # the best of twenty shows the link, not the machine
    counters = wan.get()
    assert counters["up"]["out_packets"] >= 20 and counters["down"]["out_packets"] >= 20


def test_jitter(lab, wan):
    wan.set("up", "delay=5ms jitter=20ms")
    times, text = ping(lab, "-c", "60", "-i", "0.03")
    assert len(times) == 60, text
    assert min(times) >= 5.0
    assert max(times) - min(times) > 8.0


@pytest.mark.parametrize("words, low, high", [
    # Expected 500 of 10000, standard deviation 22.
    ("loss=5%", 390, 610),
    # Bad for 10 packets in a row, once in 390: 250, with a standard deviation of about 70.
    ("burst=0.0026,0.1,100%", 60, 560),
])
def test_loss(lab, wan, words, low, high):
    wan.set("up", words)
    for _ in range(10):  # in portions, so that nothing but the link loses any
        send(lab, 1000, 100)
        drained(wan)
    c = wan.get()["up"]
    lost = c["drop_loss"] + c["drop_burst"]
    assert low <= lost <= high
    assert c["in_packets"] == c["out_packets"] + lost >= 10000
    assert c["missed"] == 0 and c["drop_queue"] == 0


def test_finite_queue(lab, wan):
    wan.set("up", "rate=1m queue=12k")
    send(lab, 200, 1200)
    c = drained(wan)
    assert c["drop_queue"] > 100
    assert c["queue_max_bytes"] <= 12000
    assert c["in_packets"] == c["out_packets"] + c["drop_queue"]


def test_a_silent_mtu(lab, wan):
    wan.set("both", "mtu=1400")
    times, text = ping(lab, "-c", "3", "-i", "0.05", "-W", "1", "-M", "do", "-s", "1373")
    assert not times and "rag" not in text, text
    assert wan.get()["up"]["drop_mtu"] == 3
    times, text = ping(lab, "-c", "3", "-i", "0.05", "-M", "do", "-s", "1372")
    assert len(times) == 3, text


@pytest.mark.parametrize("family, fits", [("4", 1372), ("6", 1352)])
def test_a_router_that_says_its_mtu(lab, wan, family, fits):
    target = lab.hub4 if family == "4" else lab.hub6
    lab.set_path_mtu(1, 1400)
    try:
        times, text = ping(lab, "-c", "1", "-W", "2", "-M", "do", "-s", fits + 1, target=target)
        assert not times and re.search(r"mtu ?[=:] ?1400", text), text
        times, text = ping(lab, "-c", "2", "-i", "0.05", "-M", "do", "-s", fits, target=target)
        assert len(times) == 2, text
    finally:
        lab.set_path_mtu(1, 1500)
        for f in ("-4", "-6"):
            lab.exec("edge", "ip", f, "route", "flush", "cache")


def test_a_black_hole_and_back(lab, wan):
    assert len(ping(lab, "-c", "2", "-i", "0.05")[0]) == 2
    wan.set("both", "down=1")
    assert not ping(lab, "-c", "2", "-i", "0.05", "-W", "1")[0]
    assert wan.get()["up"]["drop_down"] >= 2
    wan.set("both", "down=0")
    assert len(ping(lab, "-c", "2", "-i", "0.05")[0]) == 2


def test_a_wrong_command_changes_nothing(lab, wan):
    wan.set("both", "rate=30m delay=5ms")
    for words in ("both rate=10m delay=fast", "sideways rate=10m", "up colour=blue"):
        with pytest.raises(LabError, match="error"):
            wan.command(f"set {words}")
    with pytest.raises(LabError, match="error"):
        wan.command("dance")
    assert [wan.get()[d]["rate_bps"] for d in ("up", "down")] == [30000000, 30000000]


def test_captures_see_frames_as_on_a_wire(lab, wan):
    capture = lab.capture("edge", "enp7s3")
    send(lab, 50, 700)
    ping(lab, "-c", "2", "-i", "0.05", target=lab.hub6)
    drained(wan)
    frames = packets.read(capture.stop())
    ours = [f for f in frames if f.kind == "udp" and f.ports[1] == 9]
    assert len(ours) == 50
    assert {(f.source, f.destination, f.size) for f in ours} == {("10.150.1.2", lab.hub4, 728)}
    assert sum(f.kind == "icmp6" for f in frames) == 4
    assert {f.kind for f in frames} <= {"arp", "nd", "udp", "icmp", "icmp6"}


def test_hosts_reach_each_other(build, lab):
    """Before there is a tunnel a LAN reaches its router, and the hub reaches the Internet."""
    lab.exec("lan1", "ping", "-c", "1", "172.16.1.1")
    lab.exec("lan1", "ping", "-c", "1", "fd16:0:0:1::1")
    lab.exec("hub", "ping", "-c", "1", lab.inet4)
    lab.exec("hub", "ping", "-c", "1", lab.inet6)


def test_two_side_by_side_and_nothing_left_behind(build, lab_name):
    interfaces = sorted(os.listdir("/sys/class/net"))
    names = [f"{lab_name}-{x}" for x in "ab"]
    first = Lab(names[0], build=build, wans=2)
    second = Lab(names[1], build=build, wans=1)
    with first:
        with second:
            second.wan(1).set("both", "down=1")
            first.exec("edge", "ping", "-c", "1", first.hub4)
            pids = first._pids() + second._pids()
            assert len(pids) == 3  # one emulator per WAN
        assert not second._namespaces_present()
        first.exec("edge", "ping", "-c", "1", first.hub4)
    for lab in (first, second):
        assert not lab._namespaces_present()
        assert not lab.state.exists()
    assert not any(pathlib.Path(f"/proc/{p}").exists() for p in pids)
    assert sorted(os.listdir("/sys/class/net")) == interfaces


def test_one_left_up_is_removed_by_name(build, lab_name):
    name = f"{lab_name}-kept"
    tool = [sys.executable, ROOT / "lab" / "lab.py"]
    subprocess.run([*tool, "up", name, "--wans", "1", "--build", build], check=True)
    assert name in subprocess.run([*tool, "list"], check=True, capture_output=True,
                                  text=True).stdout.split()
    subprocess.run([*tool, "wan", name, "1", "set", "both", "delay=1ms"], check=True)
    subprocess.run([*tool, "exec", name, "edge", "ping", "-c", "1", "203.0.113.10"], check=True)
    subprocess.run([*tool, "down", name], check=True)
    assert not Lab(name)._namespaces_present() and not (STATE / name).exists()
