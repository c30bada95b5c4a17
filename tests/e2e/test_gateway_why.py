"""`mpquic gateway why` against the kernel and against what is seen on the lines: the edge of the site,
where a tunnel is a cable to the hub (test_gateway.py).
"""
import json
import random

import packets
import pytest
from gateway import Gateway, cables
from lab import Lab
from test_gateway import EDGE, SIX

TUPLES = 1000
SENT = 40  # of them, for real

# LAN 1 and LAN 2 reach each other, LAN 3 a network behind LAN 4.
REACH = {1: "172.16.2.0/30", 2: "172.16.1.0/30", 3: "172.16.4.0/30"}


@pytest.fixture(scope="module")
def site(build, mpquic, lab_name):
    with Lab(lab_name, build=build, wans=6, profiles=["bare"] * 6) as lab:
        cables(lab)
        yield lab


@pytest.fixture(scope="module")
def busy(site):
    """The shipped file with a bit of everything, in force, and things of others beside it."""
    text = EDGE.read_text()
    for i, prefix in REACH.items():
        text = text.replace(f"    priority: {1000 + i}\n",
                            f"    priority: {1000 + i}\n    reach: {prefix}\n")
    file = site.state / "busy.yaml"
    file.write_text("ipv6: true\nclosed: unreachable\n" + text)
    for i in (1, 2, 5):
        site.exec("edge", "ip", "address", "add", f"fd20:{i}::1/64", "dev", f"mpq{i}", "nodad")
    site.exec("edge", "ip", "link", "set", "mpq6", "down")
    site.exec("edge", "sh", "-ec", """
        ip rule add priority 2000 from 10.150.1.0/24 lookup 77
        ip route add 198.18.0.0/15 via 10.150.1.1 dev enp7s3 table 77
        ip route add unreachable 198.18.3.0/24 table 77
        ip route add blackhole 100.64.0.0/10
        ip route add throw 192.0.2.128/25 table 77
        ip -6 rule add priority 2000 from fd16::/16 lookup 78
        """)
    g = Gateway(site, "edge", file).start()
    g.verb("disable", "mpq5")
    yield g
    g.verb("enable", "mpq5")
    g.stop()
    g.verb("down", file=False)


def random4(r):
    while True:
        a = r.getrandbits(32)
        if a >> 24 not in (0, 127) and a >> 24 < 224:
            return ".".join(str(a >> n & 255) for n in (24, 16, 8, 0))


def targets(r, site, six):
    """A destination of any kind that there is."""
    i = r.choice(SIX)
    if six:
        return r.choice([f"2001:db8:{i}::1", f"2001:db8:{i}::2", f"fd16:0:0:{i}::1",
                         f"fd16:0:0:{i}::2", f"fd20:{i}::1", f"fd20:{i}::2", site.inet6, site.hub6,
                         f"2a00:{r.getrandbits(16):x}::{r.getrandbits(16):x}", f"fd99::{r.getrandbits(16):x}"])
    return r.choice([random4(r), random4(r), random4(r), site.inet4, site.hub4,
                     f"172.16.{i}.1", f"172.16.{i}.2", f"172.16.{i}.3", f"10.150.{i}.1",
                     f"10.150.{i}.2", f"10.200.{i}.1", f"10.200.{i}.2", "100.64.9.9", "198.18.3.7",
                     "198.19.0.1", "192.0.2.200"])


def questions(site, seed=6):
    """(IFACE, SRC, DST): from each LAN, from WANs, and from this machine."""
    r = random.Random(seed)
    found = []
    while len(found) < TUPLES:
        six, i, kind = r.random() < 0.25, r.choice(SIX), r.random()
        if kind < 0.8:
            who = f"enp6s{19 + i}", (f"fd16:0:0:{i}::2" if six else f"172.16.{i}.2")
        elif kind < 0.9:
            who = f"enp7s{i + 2}", (f"2001:db8:{i}::1" if six else f"10.150.{i}.1")
        else:
            who = "-", (f"2001:db8:{i}::2" if six else f"10.150.{i}.2")
        found.append((*who, targets(r, site, six)))
    return found


def ask(site, g, asked):
    text = "".join(" ".join(q) + "\n" for q in asked)
    done = site.exec("edge", g.program, "gateway", "why", "-c", g.file, "--batch", "--json",
                     input=text, check=False)
    assert not done.stderr, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_what_is_not_in_force_is_told(site):
    """Before it is applied a configuration is answered for, and the difference shown. (First of all: the
    gateway of the others stays.)"""
    g = Gateway(site, "edge", EDGE)
    before = g.kernel()
    done = g.verb("why", "172.16.4.2", site.inet4, "tcp", "443", check=False)
    assert done.returncode == 4
    lines = done.stdout.splitlines()
    assert lines[0] == f"172.16.4.2 -> {site.inet4} from enp6s23 leaves by mpq4, link mpq4"
    assert "  policy    enp6s23 is pinned to mpq4" in lines
    assert "  rule      -4 priority 1004 iif enp6s23 lookup 103" in lines
    assert lines[-1].startswith("  kernel    does otherwise now: ")
    assert g.kernel() == before


def test_a_thousand_agree_with_the_kernel(site, busy):
    asked = questions(site)
    told = ask(site, busy, asked)
    assert len(told) == TUPLES
    wrong = [t for t in told if not t["kernel"]["agrees"]]
    assert not wrong, (len(wrong), wrong[:5])
    # it is no agreement about nothing
    ends = {t["end"] for t in told}
    assert {"out", "here", "unreachable", "dropped"} <= ends, ends
    devices = {t["device"] for t in told if t["end"] == "out"}
    assert {"mpq1", "mpq2", "mpq3", "mpq4", "enp6s20", "enp6s21", "enp7s3"} <= devices, devices
    assert not devices & {"mpq5", "mpq6"}  # disabled, and down
    assert sum(t["end"] == "out" for t in told) > TUPLES / 4


def test_ip_route_says_the_same(site, busy):
    """The kernel's answer is asked for by another program, too."""
    r = random.Random(7)
    asked = r.sample([q for q in questions(site) if q[0] != "-"], 100)
    for (iface, src, dst), told in zip(asked, ask(site, busy, asked)):
        done = site.exec("edge", "ip", "route", "get", dst, "from", src, "iif", iface, check=False)
        if told["kernel"]["end"] == "out":
            assert f" dev {told['kernel']['device']} " in done.stdout, (told, done.stdout)
        elif told["kernel"]["end"] == "here":
            assert done.stdout.startswith(("local", "anycast", "broadcast")), (told, done.stdout)
        else:
            assert " dev " not in done.stdout or "unreachable" in done.stdout, (told, done.stdout)


def test_packets_go_where_it_says(site, busy):
    """What is sent for real is seen where it leaves, and on no other line."""
    lan = [q for q in questions(site) if q[0].startswith("enp6s") and ":" not in q[1]]
    asked = random.Random(8).sample(sorted(set(lan)), SENT)
    # what the hub has a way back for comes by another line again
    told = [t for t in ask(site, busy, asked)
            if not (t["destination"].startswith("172.16.") and (t["device"] or "")[:3] == "mpq")]
    assert len(told) > SENT / 2
    lines = {f"mpq{i}": ("hub", f"mpq{i}") for i in SIX if i != 6}
    lines |= {f"enp7s{i + 2}": ("air", f"a{i}") for i in SIX}
    lines |= {f"enp6s{i + 19}": (f"lan{i}", "eth0") for i in SIX}
    captures = {d: site.capture(*end, "icmp") for d, end in lines.items()}
    for i in SIX:
        sent = [f"ping -n -c 1 -W 1 {t['destination']} &" for t in told
                if t["in"] == f"enp6s{19 + i}"]
        site.exec(f"lan{i}", "sh", "-c", " ".join([*sent, "wait"]), check=False)
    seen = {d: {(f.source, f.destination) for f in packets.read(c.stop())}
            for d, c in captures.items()}
    for t in told:
        pair = t["source"], t["destination"]
        for device, pairs in seen.items():
            if device == t["in"]:
                continue
            leaves = t["end"] == "out" and t["device"] == device
            # nobody answers for an address in a LAN that is not there
            if leaves and device.startswith("enp6s") and not pair[1].endswith(".2"):
                continue
            assert (pair in pairs) == leaves, (t, device)


@pytest.mark.parametrize("words, what", [
    (["172.16.4.2"], "a source and a destination are needed"),
    (["172.16.4.2", "fd16::1"], "the destination is no address of the source's family"),
    (["nobody", "172.16.4.2"], "the source is no address"),
    (["10.9.9.9", "172.16.4.2"], "no interface is near the source"),
    (["172.16.4.2", "172.16.1.2", "quic"], "the protocol is"),
    (["172.16.4.2", "172.16.1.2", "udp", "0"], "the port is a number"),
])
def test_wrong_questions(site, words, what):
    g = Gateway(site, "edge", EDGE)
    done = g.verb("why", *words, check=False)
    assert done.returncode == 2 and what in done.stderr
