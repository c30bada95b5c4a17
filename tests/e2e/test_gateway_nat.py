"""Translation at the second site: 1:1 maps, prefixes, forwarded ports, delegated prefixes.

The topology is drawn in lab/twowans.py. Policies pin the inner router's interface to one WAN or the
other; what each WAN carries with an inside address is a leak, which captures look for.
"""
import contextlib
import json
import subprocess

import pytest
from gateway import Gateway
from lab import wait_until
import packets
from traffic import ping
from twowans import (DELEGATED, DEVICE, HOSTS6, INSIDE4, OUTSIDE4, OUTSIDE6, OWN6, TARGET6, TwoWans,
                     WORLD4, WORLD6)

WANS = ["att", "webpass"]
LINKS = """
ipv6: true
links:
  - {name: att, device: enatt0.3242, table: 100}
  - {name: webpass, device: enwebpass0, table: 200}
routes:
  - {prefix: 3d06:bad:b01::/60, via: fe80::2, device: enmwanbr0}
  - {prefix: 3d06:bad:b01:fe::2, device: enmwanbr0}
port_forwards:
  - {link: att, ports: 8080, to: 10.250.250.4, to_port: 7000}
  - {link: att, protocol: udp, ports: 6990..7010, to: 10.250.250.5}
"""


BALANCED = "balance: [{link: att, weight: 50}, {link: webpass, weight: 50}]"


def config(pin, delegated=True):
    """The site's, with webpass' prefix learned, or stated; pin None: balanced."""
    ways = f"pin: {pin}" if pin else BALANCED
    lines = [LINKS, f"policies:\n  - {{ingress: enmwanbr0, {ways}, priority: 1001}}\nnat:"]
    if not pin:
        lines[0] = lines[0].replace("table: 100", "table: 100, mark: 1").replace(
            "table: 200", "table: 200, mark: 2")
    for wan in WANS:
        lines += [f"  - {{link: {wan}, inside: {i}, outside: {o}}}"
                  for i, o in zip(INSIDE4, OUTSIDE4[wan])]
        lines.append(f"  - {{link: {wan}, inside: {TARGET6}, outside: {OWN6[wan]}, inbound: true}}")
        if wan == "webpass" and delegated:
            lines += [f"  - {{link: {wan}, inside: 3d06:bad:b01::/60, delegated: true}}",
                      f"  - {{link: {wan}, inside: {TARGET6}, delegated: true, subnet: 1}}"]
        else:
            edge = DELEGATED[wan].replace("/60", "1")
            lines += [f"  - {{link: {wan}, inside: 3d06:bad:b01::/60, outside: {DELEGATED[wan]}}}",
                      f"  - {{link: {wan}, inside: {TARGET6}, outside: {edge}}}"]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def site(build, mpquic, lab_name):
    with TwoWans(lab_name, build=build) as lab:
        yield lab


class Site(Gateway):
    def pin(self, wan, **how):
        self.file.write_text(config(wan, **how))

    def use(self, wan):
        """Reload with that pin."""
        self.pin(wan)
        self.verb("apply")
        self.wait_settled()

    def delegate(self, wan, prefix, lifetime=3600):
        return self.lab.exec(self.node, self.program, "gateway", "event", "pd", DEVICE[wan], prefix,
                             lifetime)


@pytest.fixture
def gateway(site):
    g = Site(site, "edge", site.state / "two.yaml")
    g.pin("att")
    g.delegate("webpass", DELEGATED["webpass"])
    yield g
    g.stop()
    g.verb("down", file=False)
    site.exec("edge", "conntrack", "-F", check=False)


@contextlib.contextmanager
def no_leak(lab):
    """Nothing with an address of the inside is on any WAN meanwhile."""
    captures = [lab.capture("edge", d, "src net 10.250.250.0/29 or src net 3d06:bad:b01::/48 or "
                            "dst net 10.250.250.0/29 or dst net 3d06:bad:b01::/48")
                for d in DEVICE.values()]
    yield
    for c in captures:
        seen = packets.read(c.stop())
        assert not seen, f"{c.file.name}: {[(f.source, f.destination) for f in seen][:5]}"


def seen(lab, protocol, target, bind):
    answer = lab.ask("inner", protocol, target, bind=bind)
    return answer and answer["seen"]


def expect_outside(site, wan):
    for inside, outside in zip(INSIDE4, OUTSIDE4[wan]):
        assert seen(site, "tcp", WORLD4, inside) == outside
        assert seen(site, "udp", WORLD4, inside) == outside
    for inside, outside in zip(HOSTS6, OUTSIDE6[wan]):
        assert seen(site, "tcp", WORLD6, inside) == outside
        assert seen(site, "udp", WORLD6, inside) == outside
    assert seen(site, "udp", WORLD6, TARGET6) == DELEGATED[wan].replace("/60", "1")
    assert ping(site, "inner", WORLD4, 2, 0.05, ["-I", INSIDE4[2], "-W", "1"]).received == 2
    assert ping(site, "inner", WORLD6, 2, 0.05, ["-I", HOSTS6[0], "-W", "1"]).received == 2


def expect_inbound(site, wan):
    """To each public address: the inner address answers, and the answer is from the public one."""
    edge = DELEGATED[wan].replace("/60", "1")
    for outside in [*OUTSIDE4[wan], *OUTSIDE6[wan], edge, OWN6[wan]]:
        source = WORLD6 if ":" in outside else WORLD4
        assert site.ask("world", "tcp", outside)["seen"] == source, outside
        answer = site.ask("world", "udp", outside)
        assert (answer["seen"], answer["from"]) == (source, outside)
        assert ping(site, "world", outside, 2, 0.05, ["-W", "1"]).received == 2, outside


def test_check_and_plan(site, gateway):
    assert gateway.verb("check").stdout.endswith(": ok\n")
    plan = gateway.verb("plan").stdout.splitlines()
    assert "+ address -4 104.57.226.193/32 dev enatt0.3242" in plan
    assert "+ address -6 2604:5500:c271:be00::1/128 dev enwebpass0" in plan
    assert not any("136.25.91.242" in line for line in plan)  # it is there already
    for table in (254, 100, 200):
        assert f"+ route -6 3d06:bad:b01::/60 via fe80::2 dev enmwanbr0 table {table} metric 1" in plan


@pytest.mark.parametrize("wan", WANS)
def test_each_address_has_its_own_outside(site, gateway, wan):
    gateway.pin(wan)
    before = gateway.kernel()
    gateway.start()
    with no_leak(site):
        expect_outside(site, wan)
        expect_inbound(site, wan)
    gateway.stop()
    gateway.verb("down", file=False)
    assert gateway.kernel() == before
    assert "104.57.226" not in site.exec("edge", "ip", "address").stdout


def why(gateway, *question, check=True):
    return json.loads(gateway.verb("why", "--json", *question, check=check).stdout)


def test_why_names_the_translation(site, gateway):
    gateway.start()
    for inside, outside, world in ((INSIDE4[3], OUTSIDE4["att"][3], WORLD4),
                                   (HOSTS6[1], OUTSIDE6["att"][1], WORLD6)):
        out = why(gateway, "--in", "enmwanbr0", inside, world)
        assert out["translated_to"] == outside and out["kernel"]["agrees"]
        back = why(gateway, "--in", DEVICE["att"], world, outside)
        assert back["translated_destination"] == inside and back["kernel"]["agrees"]
        assert back["device"] == "enmwanbr0"
    text = gateway.verb("why", "--in", DEVICE["att"], WORLD4, "162.200.0.2", "tcp", "8080").stdout
    assert "its destination becomes 10.250.250.4, port 7000" in text


def test_forwarded_ports(site, gateway):
    gateway.start()
    assert site.exec("world", "python3", "-c",
                     "import socket, struct; s = socket.create_connection(('162.200.0.2', 8080), 3);"
                     "s.sendall(struct.pack('!QQ', 0, 0)); print(s.recv(256).decode())").stdout
    answer = site.ask("world", "udp", "162.200.0.2")
    assert answer and answer["from"] == "162.200.0.2"
    flows = site.exec("edge", "conntrack", "-L", "-g", check=False).stdout
    assert "src=10.250.250.5" in flows and "src=10.250.250.4" in flows


def test_balanced_each_flow_has_the_outside_of_its_link(site, gateway):
    """R-8.6, R-9.7: new flows alternate between the outsides of both WANs, host bits kept; what
    comes in by one of them is answered by it, whichever the balance would choose."""
    gateway.pin(None)
    gateway.start()
    with no_leak(site):
        for inside, world, outside in (
                (INSIDE4[2], WORLD4, {OUTSIDE4[w][2] for w in WANS}),
                (HOSTS6[1], WORLD6, {OUTSIDE6[w][1] for w in WANS})):
            found = [seen(site, "udp", world, inside) for _ in range(24)]
            assert set(found) == outside  # one WAN alone: once in eight million
        for wan in WANS:
            expect_inbound(site, wan)


def test_a_narrow_hop_is_told_of(site, gateway):
    """ICMP and ICMPv6 errors about translated flows reach who sent too much: of a hop behind the
    WAN, and of one inside."""
    gateway.start()
    site.exec("att", "ip", "route", "change", WORLD4, "via", "10.91.0.2", "mtu", "lock", "1300")
    site.exec("att", "ip", "-6", "route", "change", WORLD6, "via", "fd00:91::2", "mtu", "lock",
              "1300")
    site.exec("edge", "ip", "link", "set", "enmwanbr0", "mtu", "1300")
    try:
        for target, bind in ((WORLD4, INSIDE4[0]), (WORLD6, HOSTS6[0])):
            answer = site.ask("inner", "tcp", target, bind=bind, send=300000, timeout=10)
            assert answer and answer["got"] == 300000, target
            errors = site.exec("inner", "ip", "route", "get", target, "from", bind).stdout
            assert "mtu 1300" in errors
        for target in (OUTSIDE4["att"][1], OUTSIDE6["att"][1]):
            answer = site.ask("world", "tcp", target, receive=300000, timeout=10)
            assert answer and answer["back"] == 300000, target
    finally:
        site.exec("edge", "ip", "link", "set", "enmwanbr0", "mtu", "1500")
        site.exec("att", "ip", "route", "change", WORLD4, "via", "10.91.0.2")
        site.exec("att", "ip", "-6", "route", "change", WORLD6, "via", "fd00:91::2")
        for node in ("inner", "world"):
            site.exec(node, "ip", "-4", "route", "flush", "cache")
            site.exec(node, "ip", "-6", "route", "flush", "cache")


@contextlib.contextmanager
def flows(site, pairs):
    """A ping for each pair of addresses, ten packets a second, at the inner router."""
    running = [site.popen("inner", "ping", "-n", "-q", "-i", "0.1", "-I", source, target,
                          log=site.state / f"flow-{n}.log")
               for n, (source, target) in enumerate(pairs)]
    try:
        yield
    finally:
        for p in running:
            site.stop(p, 2)


def test_another_prefix_is_delegated_under_traffic(site, gateway):
    """New flows have the new one at once, flows with the old one end, and no packet leaves with a
    source outside of what is delegated."""
    fresh, old = "2604:5500:c271:bf00::/60", DELEGATED["webpass"]
    site.exec("webpass", "ip", "-6", "route", "replace", fresh, "via", "fe80::e", "dev", "eth0")
    gateway.pin("webpass")
    gateway.start()
    with flows(site, [(h, WORLD6) for h in HOSTS6]):
        assert seen(site, "tcp", WORLD6, HOSTS6[0]) == OUTSIDE6["webpass"][0]
        gateway.delegate("webpass", fresh)
        gateway.wait_settled()
        capture = site.capture("edge", DEVICE["webpass"],
                               f"ip6 and src net 3d06:bad:b01::/48 or src net {old}")
        assert seen(site, "tcp", WORLD6, HOSTS6[0]) == "2604:5500:c271:bf01::100"
        assert seen(site, "udp", WORLD6, HOSTS6[1]) == "2604:5500:c271:bf02::50"
        assert site.ask("world", "tcp", "2604:5500:c271:bf00::1")
        wait_until(lambda: "c271:bf01::100" in site.exec("edge", "conntrack", "-L", "-f", "ipv6",
                                                         "-p", "icmpv6").stdout,
                   5, "the flow that went on has the new prefix")
    assert not packets.read(capture.stop())
    assert "c271:be0" not in site.exec("edge", "conntrack", "-L", "-f", "ipv6").stdout
    # What is too small keeps the link from carrying IPv6, and says so.
    gateway.delegate("webpass", "2604:5500:c271:bf00::/64")
    gateway.wait_settled()
    links = {l["name"]: l for l in json.loads(gateway.verb("links", "--json").stdout)}
    assert links["webpass"]["ipv6"]["reason"] == "its delegated prefix is too small"
    assert links["webpass"]["ipv4"]["state"] == "healthy"
    assert seen(site, "tcp", WORLD6, HOSTS6[0]) is None
    # A larger one is used from the subnet; it is known after a restart, too.
    gateway.delegate("webpass", "2604:5500:c271:bf00::/56", "infinite")
    gateway.wait_settled()
    gateway.stop()
    gateway.start()
    assert seen(site, "tcp", WORLD6, HOSTS6[0]) == "2604:5500:c271:bf01::100"
    gateway.delegate("webpass", "2604:5500:c271:bf00::/56", 0)
    gateway.wait_settled()
    links = {l["name"]: l for l in json.loads(gateway.verb("links", "--json").stdout)}
    assert links["webpass"]["ipv6"]["reason"] == "no prefix is delegated to it"


@pytest.mark.parametrize("wan", WANS)
def test_a_foreign_flush_leaks_nothing_and_what_began_meanwhile_works(site, gateway, wan):
    gateway.pin(wan)
    gateway.start()
    pairs = [(a, WORLD4) for a in INSIDE4] + [(a, WORLD6) for a in HOSTS6]
    with no_leak(site), flows(site, pairs):
        for _ in range(10):
            site.exec("edge", "nft", "flush", "ruleset")
            for outside in (OUTSIDE4[wan][1], OUTSIDE6[wan][0]):
                site.ask("world", "udp", outside, timeout=0.2)
        gateway.wait_settled()
        expect_outside(site, wan)
        expect_inbound(site, wan)


def test_flows_that_began_in_a_gap_begin_anew(site, gateway):
    """With the gateway stopped there is time for flows to begin untranslated; its next start ends
    them, although they go on and on."""
    gateway.start()
    gateway.stop()
    site.exec("edge", "nft", "flush", "ruleset")
    site.exec("edge", "nft", "add table inet other; add chain inet other x { type filter hook "
              "prerouting priority 0; }; add rule inet other x ct state new accept")
    try:
        sender = subprocess.Popen(site.command(
            "world", "python3", "-c",
            "import socket, time\n"
            "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            "s.settimeout(0.05)\n"
            "while True:\n"
            f"    s.sendto(b'x', ('{OUTSIDE4['att'][3]}', 7000))\n"
            "    try:\n"
            "        s.recvfrom(99)\n"
            "        break\n"
            "    except OSError:\n"
            "        time.sleep(0.02)\n"))
        wait_until(lambda: OUTSIDE4["att"][3] in site.exec(
            "edge", "conntrack", "-L", "-p", "udp", check=False).stdout, 5, "an untranslated flow")
        assert sender.poll() is None
        gateway.start()
        assert sender.wait(10) == 0
    finally:
        site.exec("edge", "nft", "delete", "table", "inet", "other")
