"""The gateway at an edge, with the site's configuration as it is shipped.

    lan1 --+-- enp6s20          enp7s3 -- wan1 --+
     ...   |          edge   mpq1..mpq6  ...     +-- core -- hub, inet
    lan6 --+-- enp6s25          enp7s8 -- wan6 --+

In this file a tunnel is a cable to the hub: an interface of its name, whose other end answers for
the Internet. What leaves by a WAN with a LAN's address, or the addresses of another one's tunnel, is
a leak, and captures on all WANs during each test look for it.
"""
import contextlib
import json
import random
import re
import signal
import subprocess
import time

import pytest
from conftest import ROOT
from gateway import Gateway
from lab import wait_until
from traffic import missing, ping
import packets

SIX = range(1, 7)
EDGE = ROOT / "deploy" / "examples" / "gateway-six" / "edge.yaml"


@pytest.fixture
def gateway(site):
    g = Gateway(site, "edge", EDGE)
    yield g
    g.stop()
    g.verb("down", file=False)


def reaches(lab, i, count=2):
    return ping(lab, f"lan{i}", lab.inet4, count, 0.05, ["-W", "1"]).received == count


@contextlib.contextmanager
def no_leak(lab):
    """Nothing with an address of a LAN is on any WAN meanwhile."""
    captures = [lab.capture("edge", lab.wan_interface(i), "net 172.16.0.0/16") for i in SIX]
    yield
    for c in captures:
        seen = packets.read(c.stop())
        assert not seen, f"{c.file.name}: {[(f.source, f.destination) for f in seen][:5]}"


def test_check_and_plan_change_nothing(site, gateway):
    before = gateway.kernel()
    assert gateway.verb("check").stdout.endswith(": ok\n")
    plan = gateway.verb("plan").stdout.splitlines()
    assert plan[0] == "+ rule -4 priority 1099 iif enp6s20 blackhole"
    assert "+ rule -4 priority 1004 iif enp6s23 lookup 103" in plan
    assert "+ route -4 default dev mpq4 table 103" in plan
    assert "+ route -4 203.0.113.10/32 via 10.150.4.1 dev enp7s6 table 103" in plan
    assert gateway.kernel() == before
    assert gateway.verb("status", check=False).returncode == 4


def test_apply_is_what_plan_said_and_down_takes_it_back(site, gateway):
    before = gateway.kernel()
    planned = gateway.verb("plan").stdout
    assert gateway.verb("apply").stdout == planned
    assert gateway.verb("plan").stdout == "nothing to do\n"
    assert gateway.verb("status", check=False).returncode == 3  # in force, but nobody follows
    rules = site.exec("edge", "ip", "rule", "show").stdout
    for i in SIX:
        assert re.search(rf"^{1000 + i}:\s+from all iif enp6s{19 + i} lookup {99 + i} proto 110",
                         rules, re.M), rules
        table = site.exec("edge", "ip", "route", "show", "table", 99 + i).stdout
        assert f"default dev mpq{i} proto 110 scope link" in table
        assert "blackhole default proto 110 metric 4294967295" in table
        assert f"203.0.113.10 via 10.150.{i}.1 dev enp7s{i + 2} proto 110" in table
    assert all(reaches(site, i) for i in SIX)
    gateway.verb("down", file=False)
    assert gateway.kernel() == before


def test_each_lan_leaves_by_its_own_tunnel(site, gateway):
    gateway.start()
    captures = {i: site.capture("edge", f"mpq{i}", "net 172.16.0.0/16") for i in SIX}
    with no_leak(site):
        for i in SIX:
            assert reaches(site, i, 4)
    for i, c in captures.items():
        seen = packets.read(c.stop())
        assert len(seen) == 8
        assert {f.source for f in seen} == {f"172.16.{i}.2", site.inet4}


def test_what_is_reached_and_what_is_not(site, gateway):
    """Its own router yes, the hub's address outside no. Another LAN, or a provider's network, only as
    everything else: through the tunnel, where the hub decides."""
    gateway.start()
    with no_leak(site):
        assert ping(site, "lan1", "172.16.1.1", 2, 0.05).received == 2
        assert ping(site, "edge", "172.16.1.2", 2, 0.05).received == 2
        assert ping(site, "lan1", site.hub4, 2, 0.05, ["-W", "1"]).received == 0
        for target in ("172.16.2.2", "10.150.1.1", "10.150.4.1"):
            capture = site.capture("edge", "mpq1", f"src 172.16.1.2 and dst {target}")
            ping(site, "lan1", target, 2, 0.05, ["-W", "1"])
            assert packets.read(capture.stop()), target


@pytest.mark.parametrize("how", ["carrier", "address", "gateway", "tunnel"])
def test_a_wan_that_goes_stops_its_own_lan_only(site, gateway, how):
    gateway.start()
    assert all(reaches(site, i, 1) for i in SIX)
    others = [site.popen(f"lan{i}", "ping", "-n", "-i", "0.02", "-W", "1", site.inet4,
                         log=site.state / f"others{i}-{how}.log") for i in SIX if i != 4]
    with no_leak(site):
        gone = site.popen("lan4", "ping", "-n", "-i", "0.02", site.inet4,
                          log=site.state / f"gone-{how}.log")
        change = {
            "carrier": (("air", "ip link set a4 down"), ("air", "ip link set a4 up")),
            "address": (("edge", "ip address del 10.150.4.2/24 dev enp7s6"),
                        ("edge", "ip address add 10.150.4.2/24 dev enp7s6 && ip route add default "
                                 "via 10.150.4.1 dev enp7s6 metric 104")),
            "gateway": (("edge", "ip route del default via 10.150.4.1 dev enp7s6 metric 104"),
                        ("edge", "ip route add default via 10.150.4.1 dev enp7s6 metric 104")),
            "tunnel": (("hub", "ip link set mpq4 down"),
                       ("hub", "ip link set mpq4 up && ip route add 172.16.4.0/30 dev mpq4 via "
                               "10.200.4.1")),
        }[how]
        site.exec(change[0][0], "sh", "-ec", change[0][1])
        gateway.wait_route(103, "default dev mpq4", False)
        assert ping(site, "lan4", site.inet4, 3, 0.05, ["-W", "1"]).received == 0
        assert "blackhole default" in site.exec("edge", "ip", "route", "show", "table", 103).stdout
        site.exec(change[1][0], "sh", "-ec", change[1][1])
        gateway.wait_route(103, "default dev mpq4", True)
        wait_until(lambda: reaches(site, 4, 1), 10, "LAN 4 is back")
        site.stop(gone, signal.SIGINT)
    for p in others:
        site.stop(p, signal.SIGINT)
    for i in SIX:
        if i != 4:
            text = (site.state / f"others{i}-{how}.log").read_text()
            assert not missing(text)
    assert gateway.settled()


def test_a_gateway_that_changes_is_followed(site, gateway):
    gateway.start()
    site.exec("edge", "ip", "route", "replace", "default", "via", "10.150.3.99", "dev", "enp7s5",
              "metric", 103)
    gateway.wait_route(102, "203.0.113.10 via 10.150.3.99 dev enp7s5", True)
    assert "via 10.150.3.1 " not in site.exec("edge", "ip", "route", "show", "table", 102).stdout
    site.exec("edge", "ip", "route", "replace", "default", "via", "10.150.3.1", "dev", "enp7s5",
              "metric", 103)
    gateway.wait_route(102, "203.0.113.10 via 10.150.3.1 dev enp7s5", True)
    assert gateway.settled()


def test_flaps_end_in_the_right_state(site, gateway):
    gateway.start()
    with no_leak(site):
        site.exec("air", "sh", "-ec",
                  "for i in $(seq 50); do ip link set a2 down; ip link set a2 up; done")
        wait_until(lambda: reaches(site, 2, 1), 10, "LAN 2 is back")
    assert gateway.settled()
    assert gateway.process.poll() is None


BREAKS = {
    "rule deleted": "ip rule del priority 1005",
    "guard deleted": "ip rule del priority 1099 iif enp6s24",
    "all rules deleted": "ip rule flush && ip rule add priority 32766 lookup main && "
                         "ip rule add priority 32767 lookup default",
    "route deleted": "ip route del default dev mpq5 table 104",
    "blackhole deleted": "ip route del blackhole default table 104 metric 4294967295",
    "route replaced": "ip route replace default via 10.150.1.1 dev enp7s3 table 104",
    "table emptied": "ip route flush table 104",
    "nft emptied": "nft flush ruleset",
    "nft table deleted": "nft delete table inet mpquic_gateway",
    "nft chain emptied": "nft flush chain inet mpquic_gateway forward",
    "forwarding off": "echo 0 >/proc/sys/net/ipv4/ip_forward",
}


@pytest.mark.parametrize("what", BREAKS)
def test_what_others_break_is_repaired(site, gateway, what):
    """One thing at a time is broken, so that what is left closes the LAN, while it sends all the
    time."""
    gateway.start()
    flow = site.popen("lan5", "ping", "-n", "-i", "0.005", site.inet4,
                      log=site.state / "broken.log")
    with no_leak(site):
        wait_until(lambda: (site.state / "broken.log").read_text().count("bytes from") > 20, 10,
                   "the flow")
        site.exec("edge", "sh", "-ec", BREAKS[what])
        if what == "forwarding off":  # no event tells of it: the periodic look
            gateway.process.send_signal(signal.SIGHUP)
        gateway.wait_settled()
        wait_until(lambda: reaches(site, 5, 2), 10, "LAN 5 is back")
        site.stop(flow, signal.SIGINT)
    if what == "route replaced":
        text = gateway.text()
        assert "somebody else has a route in its table" in text
        site.exec("edge", "ip", "route", "del", "default", "via", "10.150.1.1", "table", 104)
    (site.state / "broken.log").unlink()


FOREIGN = """
    ip rule add priority 2000 from 192.0.2.0/24 lookup 77
    ip route add 192.0.2.0/24 dev enp6s20 table 77 proto static
    ip route add 198.18.0.0/15 dev enp6s21 proto 111
    ip rule add priority 2001 iif enp6s20 lookup 78 protocol 109
    echo 'table inet other { chain c { type filter hook forward priority 10; counter; }; }' | nft -f -
    """
FOREIGN_GONE = """
    ip rule del priority 2000; ip rule del priority 2001; ip route flush table 77
    ip route del 198.18.0.0/15; nft delete table inet other
    """


def test_what_others_have_is_left_alone(site, gateway):
    site.exec("edge", "sh", "-ec", FOREIGN)
    try:
        before = gateway.kernel(counters=False)
        gateway.start()
        gateway.stop()
        assert gateway.kernel(ours=False, counters=False) == before
        gateway.start()
        gateway.process.send_signal(signal.SIGHUP)
        gateway.wait_log("reloaded")
        gateway.stop()
        gateway.verb("down", file=False)
        assert gateway.kernel(counters=False) == before
    finally:
        site.exec("edge", "sh", "-c", FOREIGN_GONE)


def test_conflicts_are_refused_by_apply(site, gateway):
    site.exec("edge", "sh", "-ec", "ip rule add priority 1003 iif enp6s20 lookup main\n"
                                   "ip route add 192.0.2.0/24 dev enp6s20 table 101\n"
                                   "ip route add 198.18.0.0/15 dev enp6s20 table 102 proto 109")
    try:
        before = gateway.kernel()
        for verb in ("check", "apply"):
            result = gateway.verb(verb, check=False)
            text = result.stdout + result.stderr
            assert result.returncode == 1
            assert "priority 1003 iif enp6s20 lookup 254" in text
            assert "link mpq2: somebody else has a route in its table: -4 192.0.2.0/24" in text
            assert "table 102 (protocol 109, a tunnel's own: " in text
        assert gateway.kernel() == before
    finally:
        site.exec("edge", "sh", "-ec", "ip rule del priority 1003; ip route flush table 101\n"
                                       "ip route flush table 102")


def test_stopping_and_crashing_leave_everything_in_force(site, gateway):
    gateway.start()
    before = gateway.kernel(counters=False)
    for sig in (signal.SIGTERM, signal.SIGKILL):
        flow = site.popen("lan3", "ping", "-n", "-i", "0.01", site.inet4,
                          log=site.state / f"stop-{sig}.log")
        site.stop(gateway.process, sig)
        assert gateway.kernel(counters=False) == before
        gateway.start()
        assert gateway.kernel(counters=False) == before
        assert reaches(site, 3, 2)
        site.stop(flow, signal.SIGINT)
        assert not missing((site.state / f"stop-{sig}.log").read_text())


def test_killed_in_the_middle_of_applying(site, gateway):
    """kill -9 at random moments during 200 applies, of the verb and of the daemon at its start: no
    leak ever, the next one ends it, and nothing of others is touched. LAN 6 is not concerned and
    loses nothing."""
    other = site.state / "other.yaml"
    text = EDGE.read_text()
    for i in range(1, 6):  # every LAN but the sixth goes through its neighbour's tunnel
        text = text.replace(f"pin: mpq{i}\n", f"pin: mpq{i % 5 + 1}x\n")
    other.write_text(text.replace("x\n    priority", "\n    priority"))
    moments = random.Random(6)
    site.exec("edge", "sh", "-ec", FOREIGN)
    try:
        foreign = gateway.kernel(ours=False, counters=False)
        gateway.verb("apply")
        began = time.monotonic()
        gateway.file = other
        gateway.verb("apply")
        whole = time.monotonic() - began
        gateway.file = EDGE
        flows = {i: site.popen(f"lan{i}", "ping", "-n", "-i", "0.02", "-W", "1", site.inet4,
                               log=site.state / f"kill{i}.log") for i in SIX}
        cut = 0
        with no_leak(site):
            for n in range(200):
                p = site.popen("edge", gateway.program, "gateway", moments.choice(["apply", "run"]),
                               "-c", (EDGE, other)[n % 2], log=site.state / "kill.log")
                with contextlib.suppress(subprocess.TimeoutExpired):
                    p.wait(moments.uniform(0, 1.2 * whole))
                cut += p.poll() is None
                site.stop(p, signal.SIGKILL)
            gateway.verb("apply")
            for p in flows.values():
                site.stop(p, signal.SIGINT)
        assert cut > 50
        assert gateway.verb("plan").stdout == "nothing to do\n"
        assert gateway.kernel(ours=False, counters=False) == foreign
        assert not missing((site.state / "kill6.log").read_text())
        assert all(reaches(site, i) for i in SIX)
    finally:
        site.exec("edge", "sh", "-c", FOREIGN_GONE)


def test_reload_takes_a_change_and_refuses_errors(site, gateway):
    file = site.state / "reload.yaml"
    file.write_text(EDGE.read_text())
    gateway.file = file
    gateway.start()
    file.write_text(EDGE.read_text().replace("pin: mpq2\n", "pin: mpq9\n"))
    gateway.process.send_signal(signal.SIGHUP)
    gateway.wait_log("1 errors: everything stays as it is")
    assert reaches(site, 2)
    file.write_text(EDGE.read_text().replace("pin: mpq2\n", "pin: mpq3\n"))
    gateway.process.send_signal(signal.SIGHUP)
    gateway.wait_log("reloaded")
    assert "iif enp6s21 lookup 102" in site.exec("edge", "ip", "rule").stdout
    assert gateway.settled()


def test_one_at_a_time(site, gateway):
    gateway.start()
    for verb, file in (("down", False), ("run", True)):
        result = gateway.verb(verb, file=file, check=False)
        assert result.returncode == 10
        assert f"process {gateway.pid()}" in result.stderr
    assert gateway.verb("status").stdout.startswith(f"gateway: running (process {gateway.pid()})")


def test_status_as_json(site, gateway):
    gateway.start()
    site.exec("edge", "ip", "link", "set", "mpq3", "down")
    try:
        gateway.wait_route(102, "default dev mpq3", False)
        gateway.wait_settled()
        told = json.loads(gateway.verb("status", "--json").stdout)
        assert told["running"] and told["process"] == gateway.pid()
        assert told["in_force"] and told["differences"] == 0 and told["conflicts"] == []
        links = {link["name"]: link for link in told["links"]}
        assert links["wan4"]["ipv4"].pop("since") > 0
        assert links["wan4"]["ipv4"] == {"state": "healthy", "up": True, "reason": "up",
                                         "via": "10.150.4.1"}
        assert links["mpq3"]["ipv4"].pop("since") > 0
        assert links["mpq3"]["ipv4"] == {"state": "unhealthy", "up": False,
                                         "reason": "the interface is switched off"}
        assert (links["mpq3"]["type"], links["mpq3"]["table"]) == ("tunnel", 102)
        policies = {p["ingress"]: p["ipv4_open"] for p in told["policies"]}
        assert policies == {f"enp6s{19 + i}": i != 3 for i in SIX}
    finally:
        site.exec("edge", "ip", "link", "set", "mpq3", "up")
        site.exec("hub", "ip", "route", "replace", "172.16.3.0/30", "dev", "mpq3", "via",
                  "10.200.3.1")
