"""The operator's view of the gateway: links, disable and enable, use, health, lan, plan as JSON. The
edge of the site, where a tunnel is a cable to the hub (test_gateway.py).
"""
import json
import re
import signal

import packets
import pytest
from gateway import Gateway
from lab import wait_until
from test_gateway import EDGE, SIX, no_leak, reaches
from traffic import missing


@pytest.fixture
def gateway(site):
    g = Gateway(site, "edge", EDGE)
    yield g
    for link in ("mpq4", "wan4"):
        g.verb("enable", link, check=False)
    g.stop()
    g.verb("down", file=False)


def told(gateway, verb, *words, status=0):
    done = gateway.verb(verb, *words, "--json", check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return json.loads(done.stdout)


# ---- plan ----

def test_plan_as_json_is_the_plan(site, gateway):
    text = gateway.verb("plan").stdout.splitlines()
    plan = told(gateway, "plan")
    signs = {"add": "+", "remove": "-", "change": "~"}
    words = {"rule": "rule ", "route": "route "}
    assert [f"{signs[o['change']]} {o['text']}" for o in plan["operations"]] == text
    assert all(o["text"].startswith(words.get(o["kind"], "")) for o in plan["operations"])
    assert {o["kind"] for o in plan["operations"]} >= {"rule", "route", "nftables"}
    assert plan["conflicts"] == []
    gateway.verb("apply")
    assert told(gateway, "plan")["operations"] == []


# ---- links ----

def test_links(site, gateway):
    gateway.start()
    assert reaches(site, 4)
    links = {link["name"]: link for link in told(gateway, "links")}
    assert list(links) == [f"wan{i}" for i in SIX] + [f"mpq{i}" for i in SIX]
    wan, mpq = links["wan4"], links["mpq4"]
    assert wan["ipv4"]["state"] == "healthy" and wan["ipv4"]["up"]
    assert wan["ipv4"]["via"] == "10.150.4.1" and wan["ipv4"]["since"] > 0
    assert "10.150.4.2/24" in wan["addresses"]
    assert wan["policies"] == mpq["policies"] == ["enp6s23"]
    assert (mpq["type"], mpq["device"], mpq["table"], mpq["over"]) == ("tunnel", "mpq4", 103, "wan4")
    assert mpq["disabled_since"] is None
    assert mpq["interface"]["sent_packets"] >= 2 and mpq["interface"]["received_bytes"] >= 168
    text = gateway.verb("links").stdout
    assert "mpq4: tunnel mpq4, table 103, over wan4\n  IPv4 healthy: up, since 20" in text
    assert "  policies of enp6s23\n" in text


# ---- disable and enable ----

@pytest.mark.parametrize("link", ["mpq4", "wan4"])
@pytest.mark.parametrize("running", [True, False])
def test_a_disabled_link_closes_what_is_pinned_to_it(site, gateway, link, running):
    if running:
        gateway.start()
    else:
        gateway.verb("apply")
    logs = {i: site.state / f"disable-{link}-{running}-{i}.log" for i in SIX if i != 4}
    others = [site.popen(f"lan{i}", "ping", "-n", "-i", "0.02", site.inet4, log=log)
              for i, log in logs.items()]
    with no_leak(site):
        assert gateway.verb("disable", link).stdout == f"link {link} is disabled\n"
        assert "default dev mpq4" not in gateway.routes(103)
        assert not reaches(site, 4)
        assert gateway.verb("disable", link).stdout == f"link {link} is already disabled\n"
        links = {v["name"]: v for v in told(gateway, "links")}
        assert links[link]["ipv4"]["state"] == "disabled" and not links[link]["ipv4"]["up"]
        assert links[link]["disabled_since"] == links[link]["ipv4"]["since"] > 0
        assert not links["mpq4"]["ipv4"]["up"]
        if running:  # a restart does not forget it
            gateway.stop()
            gateway.start()
            assert gateway.settled() and not reaches(site, 4)
        assert gateway.verb("enable", link).stdout == f"link {link} is enabled\n"
        assert "default dev mpq4" in gateway.routes(103)
        assert reaches(site, 4)
    for p in others:
        site.stop(p, signal.SIGINT)
    assert not any(missing(log.read_text()) for log in logs.values())
    assert gateway.settled()


def test_disabling_applies_nothing_else(site, gateway):
    """Where nothing is in force the word is kept for later."""
    before = gateway.kernel()
    assert "nothing else is in force" in gateway.verb("disable", "mpq4").stdout
    assert gateway.kernel() == before
    gateway.verb("apply")
    assert "default dev mpq4" not in gateway.routes(103)
    assert not reaches(site, 4) and reaches(site, 1)


def test_links_that_are_not_there(site, gateway):
    done = gateway.verb("disable", "wan9", check=False)
    assert done.returncode == 2 and "has no link 'wan9'" in done.stderr
    assert gateway.verb("enable", check=False).returncode == 2


def test_what_is_not_there_is_told(site, gateway):
    """A name that is misspelt leaves the interface that was meant without a policy."""
    file = site.state / "misspelt.yaml"
    file.write_text(EDGE.read_text().replace("ingress: enp6s23", "ingress: enp6s32")
                    .replace("device: enp7s8", "device: enp7s88")
                    .replace("over: wan1\n", "over: wan1\n    instance: nobody\n"))
    wanted = ["link wan6: there is no interface enp7s88 now", "link mpq1: there is no instance nobody",
              "there is no interface enp6s32 now, which has a policy"]
    for verb in ("check", "plan"):
        done = gateway.verb(verb, "-c", file, file=False)
        lines = [line for line in (done.stdout + done.stderr).splitlines() if "warning" in line]
        assert len(lines) == len(wanted), lines
        for text in wanted:
            assert any(f"{file}: warning: this machine: {text}" in line for line in lines), lines
    assert "warning" not in gateway.verb("check").stdout


# ---- use ----

def use(gateway, link, *command, **options):
    lab = gateway.lab
    return lab.exec(gateway.node, gateway.program, "gateway", "use", "-c", gateway.file, link, "--",
                    *command, check=False, **options)


@pytest.mark.parametrize("link, device, end, source", [
    ("wan3", "enp7s5", ("air", "a3"), "10.150.3.2"),
    ("mpq2", "mpq2", ("hub", "mpq2"), "10.200.2.1"),
])
def test_a_command_leaves_by_the_link(site, gateway, link, device, end, source):
    gateway.start()
    there = site.capture(*end, "icmp")
    elsewhere = site.capture("air", "a1", "icmp")  # where the default route is
    done = use(gateway, link, "ping", "-n", "-c", "3", "-i", "0.05", "-W", "1", site.inet4)
    assert packets.read(elsewhere.stop()) == []
    seen = [f for f in packets.read(there.stop()) if f.destination == site.inet4]
    assert len(seen) == 3 and {f.source for f in seen} == {source}
    if link == "wan3":
        assert done.returncode == 0, done.stdout + done.stderr


def test_ipv6_too_and_children(site, gateway):
    there = site.capture("air", "a5", "icmp6 and dst host " + site.inet6)
    done = use(gateway, "wan5", "sh", "-c",
               f"true; ping -6 -n -c 2 -i 0.05 -W 1 {site.inet6} && exit 5")
    assert done.returncode == 5, done.stdout + done.stderr
    assert len([f for f in packets.read(there.stop()) if f.kind == "icmp6"]) == 2


SOCKETS = """
import socket
def device(s):
    return s.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16).rstrip(b"\\0").decode()
for family, here in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
    s = socket.socket(family, socket.SOCK_DGRAM)
    print("made", device(s))
    s.connect((here, 53))
    print("loopback", device(s) or "free")
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(("127.0.0.53", 53))
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
try:
    s.connect(("10.150.1.1", 9))  # of another WAN: not by that one
except OSError:
    pass
print("other", device(s))
"""


def test_loopback_is_let_through_and_nothing_else(site, gateway):
    captured = site.capture("air", "a1", "tcp")
    done = use(gateway, "wan2", "timeout", "1", "/usr/bin/python3", "-c", SOCKETS)
    lines = done.stdout.split("\n")
    assert lines[:4] == ["made enp7s4", "loopback free"] * 2, done.stdout + done.stderr
    assert packets.read(captured.stop()) == []


def test_without_privileges_it_stays_bound(site, gateway):
    """The command may give its privileges up: its sockets are bound all the same, also those that it
    is not allowed to bind or free itself."""
    code = ("import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
            f"s.connect(('{site.inet4}', 9)); print(s.getsockname()[0])")
    done = use(gateway, "wan6", "setpriv", "--reuid=65534", "--clear-groups", "--inh-caps=-all",
               "/usr/bin/python3", "-c", code)
    assert done.stdout == "10.150.6.2\n", done.stderr


def test_how_the_command_ends(site, gateway):
    assert use(gateway, "wan1", "sh", "-c", "exit 7").returncode == 7
    assert use(gateway, "wan1", "sh", "-c", "kill -9 $$").returncode == 128 + 9
    assert use(gateway, "wan1", "no-such-command").returncode == 127
    assert use(gateway, "wan9", "true").returncode == 2
    done = use(gateway, "wan1", "cat", "/proc/self/cgroup")
    group = re.search(r"^0::(.*mpquic-use-\d+)$", done.stdout, re.M)
    assert group, done.stdout
    # without the dashes the command's options are its own all the same
    plain = site.exec("edge", gateway.program, "gateway", "use", "-c", gateway.file, "wan1", "sh",
                      "-c", "exit 8", check=False)
    assert plain.returncode == 8, plain.stderr
    site.exec("edge", "ip", "link", "set", "mpq6", "name", "gone")
    try:
        done = use(gateway, "mpq6", "true")
        assert done.returncode == 10 and "there is no interface mpq6" in done.stderr
    finally:
        site.exec("edge", "ip", "link", "set", "gone", "name", "mpq6")
        site.exec("edge", "ip", "link", "set", "mpq6", "up")


# ---- lan ----

BREAKS = {
    "rule deleted": ("ip rule del priority 1004", "rules"),
    "way deleted": ("ip route del default dev mpq4 table 103", "routes"),
    "nftables emptied": ("nft flush ruleset", "nftables"),
    "forwarding off": ("echo 0 >/proc/sys/net/ipv4/ip_forward", "settings"),
}


@pytest.mark.parametrize("what", BREAKS)
def test_a_lan_is_checked_and_fixed(site, gateway, what):
    gateway.verb("apply")
    assert [one["level"] for one in told(gateway, "lan", "check", "4")] == ["ok"]
    command, kind = BREAKS[what]
    site.exec("edge", "sh", "-ec", command)
    one, = told(gateway, "lan", "check", "enp6s23", status=4)
    assert (one["lan"], one["pin"], one["level"]) == ("enp6s23", "mpq4", "failed")
    failed = {f["check"] for f in one["findings"] if f["level"] == "failed"}
    assert kind in failed
    assert all(f["remedy"] for f in one["findings"] if f["level"] != "ok")
    if kind == "rules":  # the others are not concerned
        assert [v["level"] for v in told(gateway, "lan", "check", "mpq5")] == ["ok"]
    done = gateway.verb("lan", "fix", "4", check=False)
    assert done.returncode == 0 and done.stdout == "enp6s23 -> mpq4: ok\n", done.stdout + done.stderr
    assert len(told(gateway, "lan", "check", "all")) == 6
    assert reaches(site, 4) and gateway.settled()


def test_the_gateway_that_runs_is_the_one_that_repairs(site, gateway):
    """Settings cause no event: it is told to look."""
    gateway.start()
    site.exec("edge", "sh", "-ec", "echo 0 >/proc/sys/net/ipv4/ip_forward")
    assert gateway.verb("lan", "fix", "all", check=False).returncode == 0
    assert "realigned: ~ setting net/ipv4/ip_forward 0 -> 1" in gateway.text()
    assert reaches(site, 4)


def test_what_cannot_be_fixed_is_told(site, gateway):
    gateway.start()
    site.exec("air", "ip", "link", "set", "a4", "down")
    try:
        gateway.wait_route(103, "default dev mpq4", False)
        done = gateway.verb("lan", "fix", "enp6s23", check=False)
        assert done.returncode == 4
        assert re.search(r"failed +link mpq4: IPv4 unhealthy: the wan that carries it is down",
                         done.stdout), done.stdout
        assert [one["level"] for one in told(gateway, "lan", "check", "5")] == ["ok"]
    finally:
        site.exec("air", "ip", "link", "set", "a4", "up")
        gateway.wait_route(103, "default dev mpq4", True)


def test_fix_begins_nothing(site, gateway):
    before = gateway.kernel()
    done = gateway.verb("lan", "fix", "all", check=False)
    assert done.returncode == 4 and "nothing is in force" in done.stderr
    assert gateway.verb("health", "--repair", check=False).returncode == 4
    assert gateway.kernel() == before
    for words in (["fix"], ["mend", "4"], ["check", "7"]):
        assert gateway.verb("lan", *words, check=False).returncode == 2


# ---- health ----

def found(health, check):
    return {f["subject"]: f["level"] for f in health["findings"] if f["check"] == check}


def test_health(site, gateway):
    """The tunnels of this laboratory are cables: that none runs is found, and all else is right."""
    gateway.start()
    health = told(gateway, "health", status=4)
    assert health["role"] == "edge" and health["level"] == "failed"
    assert found(health, "tunnel") == {f"mpq{i}": "failed" for i in SIX}
    others = [f for f in health["findings"] if f["check"] != "tunnel"]
    assert {f["level"] for f in others} == {"ok"}, others
    assert {f["check"] for f in others} >= {"gateway", "rules", "routes", "nftables", "settings",
                                            "link", "mtu", "interface", "way", "rp_filter"}
    text = gateway.verb("health", check=False).stdout
    assert re.search(r"^edge: failed: \d+ ok, 0 warnings, 6 failed$", text, re.M), text


def test_health_looks_at_networkd(site, gateway):
    """What it says of this machine is what check says."""
    gateway.verb("apply")
    in_the_way = "systemd-networkd deletes" in gateway.verb("check", check=False).stdout
    health = told(gateway, "health", status=4)
    assert found(health, "networkd") == {"": "failed" if in_the_way else "ok"}


def test_health_finds_what_is_wrong(site, gateway):
    gateway.verb("apply")
    site.exec("edge", "sh", "-ec", """
        ip rule del priority 1002
        ip link set enp7s5 mtu 1200
        echo 1 >/proc/sys/net/ipv4/conf/mpq1/rp_filter
        ip link set enp6s25 down
        """)
    try:
        health = told(gateway, "health", status=4)
        assert found(health, "gateway") == {"": "failed"}  # nobody runs
        assert found(health, "rules") == {"": "failed"}
        assert found(health, "mtu")["enp7s5"] == "failed"
        assert found(health, "rp_filter")["mpq1"] == "failed"
        assert found(health, "interface")["enp6s25"] == "failed"
        assert found(health, "way")["enp6s21"] == "failed"
        assert found(health, "way")["enp6s20"] == "ok"
        health = told(gateway, "health", "--repair", status=4)
        assert found(health, "rules") == {"": "ok"}
        assert found(health, "way")["enp6s21"] == "ok"
        assert gateway.settled()
    finally:
        site.exec("edge", "sh", "-ec", """
            ip link set enp7s5 mtu 1500
            echo 0 >/proc/sys/net/ipv4/conf/mpq1/rp_filter
            ip link set enp6s25 up
            ip route replace default via 10.150.3.1 dev enp7s5 metric 103
            """)
        wait_until(lambda: "172.16.6.0/30" in site.exec("edge", "ip", "route").stdout, 5, "LAN 6")


# ---- what is confirmed ----

def test_without_a_file_it_is_what_is_confirmed(site, gateway):
    done = gateway.verb("health", file=False, check=False)
    assert done.returncode == 2 and "no configuration is confirmed" in done.stderr
    gateway.verb("apply")
    site.exec("edge", "ip", "rule", "del", "priority", "1004")
    done = gateway.verb("lan", "fix", "4", file=False)
    assert done.stdout == "enp6s23 -> mpq4: ok\n" and gateway.settled()
    assert gateway.verb("disable", "mpq4", file=False).stdout == "link mpq4 is disabled\n"
    assert not reaches(site, 4)
    done = gateway.verb("disable", "wan9", file=False, check=False)
    assert done.returncode == 2 and "the confirmed configuration has no link" in done.stderr


def test_repair_puts_nothing_in_force_that_is_not_confirmed(site, gateway):
    gateway.verb("apply")
    other = site.state / "another.yaml"
    other.write_text(EDGE.read_text().replace("pin: mpq2\n", "pin: mpq3\n"))
    before = gateway.kernel(counters=False)
    for verb in (["health", "--repair"], ["lan", "fix", "all"]):
        done = gateway.verb(*verb, "-c", other, file=False, check=False)
        assert done.returncode == 4 and "is not what is confirmed" in done.stderr
    assert gateway.kernel(counters=False) == before


SESSION = """
import os, socket, subprocess, sys, time
s = socket.create_server(("172.16.1.1", int(sys.argv[1])))
print("ready", flush=True)
c, peer = s.accept()
print("there", flush=True)
while not os.path.exists(sys.argv[2]):
    time.sleep(0.02)
said = f"{peer[0]} {peer[1]} 172.16.1.1 {sys.argv[1]}"
r = subprocess.run(sys.argv[3:], env={**os.environ, "SSH_CONNECTION": said}, capture_output=True,
                   text=True)
print(f"exit {r.returncode}\\n{r.stdout}{r.stderr}", flush=True)
"""
CALL = """
import socket, sys
s = socket.create_connection(("172.16.1.1", int(sys.argv[1])))
s.recv(1)
"""


class Session:
    """A session of LAN 1 with the edge, from which a verb of the gateway is called: go()."""

    def __init__(self, site, gateway, *words, port=2222):
        self.site, self.log = site, site.state / "session.log"
        self.gate = site.state / "go"
        for old in (self.gate, self.log):
            old.unlink(missing_ok=True)
        self.server = site.popen("edge", "/usr/bin/python3", "-c", SESSION, port, self.gate,
                                 gateway.program, "gateway", *words, log=self.log)
        wait_until(lambda: "ready" in self.log.read_text(), 10, "the listener")
        self.client = site.popen("lan1", "/usr/bin/python3", "-c", CALL, port,
                                 log=site.state / "call.log")
        wait_until(lambda: "there" in self.log.read_text(), 10, "the session")

    def go(self):
        """The exit status of the verb, and what it says."""
        self.gate.touch()
        self.server.wait(60)
        text = self.log.read_text()
        return int(re.search(r"^exit (\d+)$", text, re.M)[1]), text

    def end(self):
        self.site.stop(self.server, signal.SIGKILL)
        self.site.stop(self.client, signal.SIGKILL)


def behind_wan3(site, prefix):
    """The configuration with a network of LAN 1 behind WAN 3."""
    file = site.state / "behind-wan3.yaml"
    file.write_text(EDGE.read_text().replace(
        "    device: enp7s5\n", f"    device: enp7s5\n    prefixes: [{prefix}]\n", 1))
    return file


# While a gateway runs `down` is refused in any case.
@pytest.mark.parametrize("verb, running", [("disable", True), ("disable", False), ("enable", True),
                                           ("enable", False), ("down", False)])
@pytest.mark.parametrize("force", [True, False])
def test_the_way_back_to_the_caller_is_kept(site, gateway, verb, running, force):
    """Answers to the session leave by a WAN that is to be disabled; or would leave by one that is to
    be enabled; or leave by what is to be taken down."""
    # a route to the host itself is before that of its network, one to its network only while it
    # is there
    file = behind_wan3(site, "172.16.1.0/30" if verb == "enable" else "172.16.1.2/32")
    session = Session(site, gateway, verb, *([] if verb == "down" else ["wan3"]),
                      *(["--force"] if force else []))
    try:
        if verb == "enable":
            gateway.verb("disable", "wan3", "-c", file, file=False)
        gateway.verb("apply", "-c", file, file=False)
        if running:
            gateway.start()
        before = gateway.kernel(counters=False)
        status, text = session.go()
        there, gone = ("enp6s20", "enp7s5") if verb == "enable" else ("enp7s5", "nothing")
        gone = "enp6s20" if verb == "down" else gone
        assert f"session from 172.16.1.2 would be cut: answers leave by {there}, and would by " \
               f"{gone}" in text, text
        assert status == (0 if force else 1), text
        assert (gateway.kernel(counters=False) == before) == (not force)
    finally:
        session.end()
        gateway.verb("enable", "wan3", "--force", file=False, check=False)


def test_a_reload_keeps_the_way_back_of_whoever_is_connected(site, gateway):
    """The gateway does not know who has sent the signal: anybody who is there by SSH counts."""
    copy = site.state / "reloaded.yaml"
    copy.write_text(EDGE.read_text())
    gateway.file = copy
    gateway.start()
    before = gateway.kernel(counters=False)
    session = Session(site, gateway, "links", port=22)
    try:
        copy.write_text(behind_wan3(site, "172.16.1.2/32").read_text())
        gateway.process.send_signal(signal.SIGHUP)
        gateway.wait_log("reload: the SSH session from 172.16.1.2 would be cut: answers leave by "
                         "enp6s20, and would by enp7s5: everything stays as it is")
        assert gateway.kernel(counters=False) == before
        assert "prefixes" not in (site.directories("edge")["MPQUIC_STATE_DIR"] /
                                  "gateway.confirmed").read_text()
        copy.write_text(EDGE.read_text().replace("pin: mpq2\n", "pin: mpq3\n"))
        gateway.process.send_signal(signal.SIGHUP)  # what does not concern it is taken
        gateway.wait_log("gateway: reloaded")
        assert "iif enp6s21 lookup 102" in site.exec("edge", "ip", "rule").stdout
    finally:
        session.end()
    copy.write_text(behind_wan3(site, "172.16.1.2/32").read_text())
    gateway.process.send_signal(signal.SIGHUP)  # nobody is there any more
    wait_until(lambda: "172.16.1.2 " in gateway.routes("main"), 10, "it is taken")
