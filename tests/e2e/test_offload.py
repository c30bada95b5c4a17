"""Super-packets through the tunnel: bytes arrive as they were sent, whatever the kernel, the hosts and
the path do about segmentation.

    lan1 --- edge === emulator === wan1 === core --- hub --- inet
"""
import os
import re
import subprocess

import pytest
from conftest import ROOT
from lab import Lab, wait_until
from tunnel import Site, Tunnel, client_keys, reachable, server_keys, write_config

# A server that sends back what comes by TCP, and by UDP the sum of what it got; ECN bits as they came.
SERVER = """
import hashlib, select, socket, struct, threading

def tcp(c):
    got = hashlib.sha256()
    size, = struct.unpack("!Q", c.recv(8, socket.MSG_WAITALL))
    while size:
        part = c.recv(min(size, 1 << 20))
        assert part
        got.update(part)
        size -= len(part)
    c.sendall(got.digest())
    for n in range(256):                       # and as much the other way
        c.sendall(bytes([n]) * 16001)
    c.close()

t = socket.create_server(("::", 9), family=socket.AF_INET6, dualstack_ipv6=True)
u = [socket.socket(f, socket.SOCK_DGRAM) for f in (socket.AF_INET, socket.AF_INET6)]
u[1].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
u[0].setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
u[1].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
for s, any in zip(u, ("0.0.0.0", "::")):
    s.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
    s.bind((any, 9))
print("ready", flush=True)
while True:
    for s in select.select([t, *u], [], [])[0]:
        if s is t:
            threading.Thread(target=tcp, args=(s.accept()[0],), daemon=True).start()
            continue
        data, control, _, peer = s.recvmsg(65535, 256)
        ecn = control[0][2][0] & 3 if control else 0
        s.sendto(bytes([ecn]) + hashlib.sha256(data).digest(), peer)
"""
TCP_CLIENT = """
import hashlib, random, socket, struct, sys
data = random.Random(1).randbytes(3000000) * 2
with socket.create_connection((sys.argv[1], 9), timeout=30) as s:
    s.settimeout(None)  # with one, MSG_WAITALL does not wait
    s.sendall(struct.pack("!Q", len(data)))
    s.sendall(data)
    assert s.recv(32, socket.MSG_WAITALL) == hashlib.sha256(data).digest(), "other bytes arrived"
    for n in range(256):
        assert s.recv(16001, socket.MSG_WAITALL) == bytes([n]) * 16001, "other bytes came back"
    assert not s.recv(1)
"""
# Datagrams of SIZE bytes, `each` of them with one call when SEGMENT; each is answered by its hash.
UDP_CLIENT = """
import collections, hashlib, random, socket, sys
target, size, each, tos, df = sys.argv[1], *map(int, sys.argv[2:])
six = ":" in target
s = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(*(socket.IPPROTO_IPV6, socket.IPV6_TCLASS) if six else (socket.IPPROTO_IP, socket.IP_TOS),
             tos)
if not six:
    s.setsockopt(socket.IPPROTO_IP, 10, 2 if df else 0)  # IP_MTU_DISCOVER
s.connect((target, 9))
s.settimeout(5)
if each > 1:
    s.setsockopt(socket.IPPROTO_UDP, 103, size)  # UDP_SEGMENT
r = random.Random(2)
for turn in range(20):
    data = [r.randbytes(size) for _ in range(each - 1)] + [r.randbytes(r.randint(1, size))]
    s.send(b"".join(data))
    want = collections.Counter(bytes([tos & 3]) + hashlib.sha256(d).digest() for d in data)
    got = collections.Counter(s.recv(100) for _ in data)
    assert got == want, f"of {each} datagrams {sum((got - want).values())} are others"
"""


def set_host_offload(lab, on):
    for node in ("lan1", "inet"):
        lab.exec(node, "ethtool", "-K", "eth0", "gso", on, "tso", on, "gro", on)


@pytest.fixture(scope="module")
def refuse(lab_name, tmp_path_factory):
    """A library in which the kernel refuses things."""
    library = tmp_path_factory.mktemp("refuse") / "refuse.so"
    library.parent.chmod(0o755)
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library,
                    ROOT / "tests" / "e2e" / "refuse.c", "-ldl"], check=True)
    return library


@pytest.fixture(scope="module")
def site(build, mpquic, lab_name):
    with Lab(lab_name, build=build, wans=1, profiles=["bare"]) as lab:
        lab.wan(1).set("both", "rate=300m delay=1ms queue=50ms")
        lab.certificates = Site(lab)
        log = lab.state / "server.log"
        lab.popen("inet", "/usr/bin/python3", "-c", SERVER, log=log)
        wait_until(lambda: "ready" in log.read_text(), 10, "the server is ready")
        yield lab


class Pair:
    """Both ends, in a kernel that refuses what is named. They speak plain RFC 9484, where each packet
    is a datagram, or the session extension."""

    def __init__(self, lab, library=None, refused="", wire="plain", mtu=None):
        self.lab = lab
        keys = dict(mtu=mtu, session_extension=wire != "plain")
        files = {"hub": write_config(lab.state / "server.yaml", **server_keys(1, **keys)),
                 "edge": write_config(lab.state / "client.yaml",
                                      **client_keys(1, lab.hub4, **keys))}
        self.ends = {node: Tunnel(lab, node, file, lab.certificates.etc[node])
                     for node, file in files.items()}
        if refused:
            os.environ |= {"LD_PRELOAD": str(library), "REFUSE": refused}
        try:
            for end in self.ends.values():
                end.log.unlink(missing_ok=True)
                end.start()
        finally:
            os.environ.pop("LD_PRELOAD", None)
            os.environ.pop("REFUSE", None)
        reachable(lab, "edge", "fd00:200:1::2", ends=self.ends.values())
        lab.route_tunnel(1)
        self.forget_path_mtus()
        for target in (lab.inet4, lab.inet6):
            reachable(lab, "lan1", target)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for end in self.ends.values():
            end.stop()

    def forget_path_mtus(self):
        for node in ("lan1", "inet"):
            for family in ("-4", "-6"):
                self.lab.exec(node, "ip", family, "route", "flush", "cache")

    def lines(self, pattern):
        return [len(re.findall(pattern, end.text())) for end in self.ends.values()]

    def tcp(self, client, target):
        self.lab.exec(client, "/usr/bin/python3", "-c", TCP_CLIENT, target, timeout=90)

    def udp(self, client, target, size, each, tos=0, df=1):
        self.lab.exec(client, "/usr/bin/python3", "-c", UDP_CLIENT, target, size, each, tos, df,
                      timeout=90)

    def drops(self):
        return {name: n for end in self.ends.values()
                for name, n in end.status()["drops"].items() if n and name != "link-local"}


WIRES = pytest.mark.parametrize("wire", ["plain", "packed"])


@WIRES
@pytest.mark.parametrize("hosts", ["on", "off"])
def test_bytes_arrive(site, hosts, wire):
    """From a LAN, forwarded by both ends: TCP both ways, UDP in single datagrams and in bursts."""
    lab = site
    set_host_offload(lab, hosts)
    with Pair(lab, wire=wire) as pair:
        for target in (lab.inet4, lab.inet6):
            pair.tcp("lan1", target)
            for size, each in ((1200, 1), (1200, 40), (160, 64), (1, 8)):
                pair.udp("lan1", target, size, each)
        assert not {"bad-super", "malformed", "no-buffer", "tun-write"} & pair.drops().keys()
        assert pair.lines("offload") == [0, 0]


@pytest.mark.parametrize("mtu", [1281, 1399])
def test_odd_sizes(site, mtu):
    lab = site
    set_host_offload(lab, "on")
    with Pair(lab, mtu=mtu) as pair:
        for target, headers in ((lab.inet4, 28), (lab.inet6, 48)):
            pair.tcp("lan1", target)
            for size in (mtu - headers, mtu - headers - 1, 777):
                pair.udp("lan1", target, size, 20)


def test_too_large_for_the_path(site):
    """The TUN takes 1500 bytes, the path carries less: TCP learns of it from a packet-too-big, both
    ways, and what may be cut is cut, segment by segment."""
    lab = site
    set_host_offload(lab, "on")
    with Pair(lab, mtu=1500) as pair:
        for target in (lab.inet4, lab.inet6):
            pair.tcp("lan1", target)
        pair.forget_path_mtus()
        pair.udp("lan1", lab.inet4, 1472, 1, df=0)
        pair.udp("lan1", lab.inet4, 1472, 20, df=0)
        drops = pair.drops()
        assert drops["too-big"] > 0
        assert not {"bad-super", "malformed", "no-buffer", "tun-write"} & drops.keys()


@WIRES
def test_ecn_is_kept(site, wire):
    lab = site
    with Pair(lab, wire=wire) as pair:
        for tos in (0, 1, 2, 3, 0xb9):
            for target in (lab.inet4, lab.inet6):
                pair.udp("lan1", target, 1000, 30, tos)
                pair.udp("lan1", target, 1000, 1, tos)


@pytest.mark.parametrize("refused, pattern", [
    ("uso", r"tun mpq1: no segmentation offload for UDP"),
    ("tso,uso", r"tun mpq1: no segmentation offload: "),
    ("gso", r"udp: no segmentation offload"),
    ("gso-opt,gro", r"udp: no (?:segmentation|receive) offload"),
    ("force", r"udp: (?:receive|send) buffer is \d+ bytes only: raise sysctl net.core.[rw]mem_max"),
    ("uso,tso,gso,gro", r"no (?:segmentation|receive) offload")])
@WIRES
def test_a_kernel_that_has_less(site, refuse, wire, refused, pattern):
    """Everything arrives all the same, and one line says what is missing."""
    lab = site
    set_host_offload(lab, "on")
    with Pair(lab, refuse, refused, wire) as pair:
        for target in (lab.inet4, lab.inet6):
            pair.tcp("lan1", target)
            pair.udp("lan1", target, 1200, 40)
        kinds = 1 + ("gro" in refused.split(",")) + (refused == "force") + \
            (refused == "uso,tso,gso,gro")
        assert pair.lines(pattern) == [kinds, kinds]
        names = {"tso": "tun_tso", "uso": "tun_uso", "gso": "udp_gso", "gso-opt": "udp_gso",
                 "gro": "udp_gro"}
        missing = {names[r] for r in refused.split(",") if r in names}
        for end in pair.ends.values():
            assert {k for k, on in end.status()["offloads"].items() if not on} == missing
        assert not {"bad-super", "malformed", "no-buffer", "tun-write"} & pair.drops().keys()
