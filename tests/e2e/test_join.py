"""A new user's first connection: mpquic init on the hub, a bundle, mpquic join on the edge.

    lan1 --- edge === wan1 === hub --- inet
"""
import os
import re
import shutil
import subprocess
import time

import packets
import pytest
from certs import Authority
from conftest import ROOT
from clock import DAY, YEAR_2000, Clock, source_date
from lab import Capture, Lab, LabError, wait_until
from traffic import ping
from tunnel import ETC, Tunnel, reachable

OPERATION = ROOT / "doc" / "operation.md"
START, CERT_TIME, REVOKED, NO_ANSWER, FILES = 10, 21, 27, 28, 30


class Machine:
    """A node with an /etc of its own, as a fresh machine has one."""

    def __init__(self, lab, node, program):
        self.lab, self.node, self.program = lab, node, program
        self.etc = lab.state / f"etc-{node}"
        self.etc.mkdir()
        for name in ETC:
            source = f"/etc/{name}"
            if os.path.isdir(source):
                shutil.copytree(source, self.etc / name)
            elif os.path.exists(source):
                shutil.copy(source, self.etc / name)
        self.config = self.etc / "mpquic"
        self.end = None

    def mpquic(self, *words, check=True):
        return self.lab.exec(self.node, self.program, *words, etc=self.etc, check=check, timeout=90)

    def start(self, said):
        """Start what a command told to start."""
        line = re.search(r"^start it with: mpquic tunnel -c (\S+)$", said, re.M).group(1)
        self.end = Tunnel(self.lab, self.node, line, self.etc).start()
        return self.end

    def files(self):
        return sorted(str(p.relative_to(self.config)) for p in self.config.rglob("*"))


@pytest.fixture(scope="module")
def site(build, mpquic, lab_name):
    with Lab(lab_name, build=build, wans=1, profiles=["bare"]) as lab:
        lab.wan(1).set("both", "rate=50m delay=5ms queue=50ms")
        lab.machines = {node: Machine(lab, node, mpquic) for node in ("edge", "hub")}
        hub = lab.machines["hub"]
        lab.made = hub.mpquic("init", lab.hub4, "--behind", "172.16.1.0/30", "--behind",
                              "fd16:0:0:1::/64", "--no-start").stdout
        hub.start(lab.made).wait_line("listening")
        yield lab


def bundle(site, name, *words):
    """Have the hub write the bundle of an edge; returns where it is."""
    file = site.state / f"{name}.mpquic"
    site.machines["hub"].mpquic("pki", "client", name, "--out", file, *words)
    assert file.stat().st_mode & 0o777 == 0o600
    return file


def refused(site, code, *words, fresh=True):
    """Join fails with this exit code and one line, and has written nothing; fresh: on a machine
    without other instances."""
    edge = site.machines["edge"]
    directory = site.state / "nothing" if fresh else edge.config
    before = edge.files() if edge.config.exists() else []
    more = ["--config-dir", directory] if fresh else []
    result = edge.mpquic("join", *words, *more, "--no-start", check=False)
    assert result.returncode == code, result
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert (edge.files() if edge.config.exists() else []) == before
    assert not fresh or not directory.exists()
    return result.stderr


def test_a_second_init_changes_nothing(site):
    hub = site.machines["hub"]
    before = {f: (hub.config / f).stat().st_ino for f in hub.files()}
    again = hub.mpquic("init", site.hub4, "--behind", "172.16.1.0/30", "--behind",
                       "fd16:0:0:1::/64", "--no-start")
    assert "nothing was changed" in again.stdout
    assert {f: (hub.config / f).stat().st_ino for f in hub.files()} == before
    other = hub.mpquic("init", site.hub4, "--no-start", check=False)
    assert other.returncode == FILES and "--force" in other.stderr
    assert {f: (hub.config / f).stat().st_ino for f in hub.files()} == before


def test_join_and_traffic(site):
    edge, hub = site.machines["edge"], site.machines["hub"]
    file = bundle(site, "edge1")
    result = edge.mpquic("join", file, "--no-start")
    assert "clock: ok" in result.stdout
    assert f"hub: {site.hub4}:45010 accepts us" in result.stdout
    assert int(re.search(r"packets of up to (\d+) bytes", result.stdout).group(1)) > 1380
    assert (edge.config / "tls/edge1/key.pem").stat().st_mode & 0o777 == 0o600
    written = (edge.config / "edge1.yaml").read_text()
    assert "routes:" in written and 'tun_network: ["10.200.10.0/24", "fd00:200:10::/64"]' in written
    edge.start(result.stdout).wait_line("tunnel: assigned 10.200.10.1/32, fd00:200:10::1/128")
    for family in ("-4", "-6"):
        site.exec("edge", "ip", family, "rule", "add", "iif", site.lan_interface(1), "lookup", "100")
    wait_until(lambda: "dev mpq0" in site.exec("edge", "ip", "route", "show", "table", "100",
                                               check=False).stdout, 20, "the route into the tunnel")
    ends = (edge.end, hub.end)
    reachable(site, "lan1", "10.200.10.254", ends=ends)
    # the edge itself, which has its own way to the Internet, reaches the hub inside the tunnel
    reachable(site, "edge", "10.200.10.254", ends=ends)
    reachable(site, "edge", "fd00:200:10::fe", ends=ends)
    assert "dev mpq0" not in site.exec("edge", "ip", "route", "get", site.inet4).stdout
    reachable(site, "lan1", site.inet4, ends=ends)
    reachable(site, "lan1", site.inet6, ends=ends)
    # the answers of the edge's own addresses to the hub go by the tunnel
    own = [a for family in ("-4", "-6") for a in re.findall(
        r"inet6? ([^/ ]+)", site.exec("edge", "ip", family, "-o", "address", "show", "scope", "global",
                                      "dev", "mpq0").stdout)]
    assert len(own) == 2
    reachable(site, "edge", "10.200.10.254", ends=ends, options=["-I", "172.16.1.1"])  # is learned
    for address in (*own, "172.16.1.1"):
        reachable(site, "hub", address, ends=ends)
    # and with the rules of doc/operation.md those of the LAN's side to hosts beyond the hub
    rules = [("from", "172.16.1.1", *words) for words in (
        ("lookup", "main", "suppress_prefixlength", "0", "priority", "1003"),
        ("lookup", "100", "priority", "1004"))]
    for rule in rules:
        assert f"ip rule add from 192.168.77.1 {' '.join(rule[2:])}" in OPERATION.read_text()
        site.exec("edge", "ip", "rule", "add", *rule)
    assert "dev mpq0" in site.exec("edge", "ip", "route", "get", site.inet4, "from", "172.16.1.1").stdout
    reachable(site, "inet", "172.16.1.1", ends=ends)
    for rule in rules:
        site.exec("edge", "ip", "rule", "del", *rule)


OWN4, OWN6 = "10.200.10.1", "fd00:200:10::1"


def our_rules(site):
    """What of ip rule is ours, a line each."""
    return sorted(line for family in ("-4", "-6")
                  for line in site.exec("edge", "ip", family, "rule").stdout.splitlines()
                  if "proto 109" in line)


def rules_of(address, table=100):
    where = f"from {address} iif lo"
    return [f"1090:\t{where} lookup main suppress_prefixlength 0 proto 109",
            f"1091:\t{where} lookup {table} proto 109", f"1092:\t{where} unreachable proto 109"]


def test_the_edges_own_addresses_stay_in_the_tunnel(site):
    """Hosts beyond the hub reach them, and nothing of theirs leaves by the WAN: answers, packets while
    the tunnel's route is gone, and packets to where no route leads."""
    edge, hub = site.machines["edge"], site.machines["hub"]
    both = sorted(rules_of(OWN4) + rules_of(OWN6))
    assert our_rules(site) == both
    for network, router in (("10.200.10.0/24", site.hub4), ("fd00:200:10::/64", site.hub6)):
        site.exec("core", "ip", "route", "add", network, "via", router)
    wan = Capture(site, "edge", site.wan_interface(1), site.state / "own.pcap",
                  ["host", OWN4, "or", "host", OWN6])
    try:
        for address in (OWN4, OWN6):
            reachable(site, "inet", address, ends=(edge.end, hub.end))
            reachable(site, "lan1", address, ends=(edge.end, hub.end))
        for family, target, own in (("-4", site.inet4, OWN4), ("-6", site.inet6, OWN6)):
            reachable(site, "edge", target, ends=(edge.end, hub.end), options=["-I", own])
            site.exec("edge", "ip", family, "route", "flush", "table", "100")
            ping(site, "edge", target, 3, 0.01, ["-I", own, "-W", "1"])
            reachable(site, "edge", target, ends=(edge.end, hub.end), options=["-I", own])
    finally:
        site.exec("core", "ip", "route", "del", "10.200.10.0/24")
        site.exec("core", "ip", "route", "del", "fd00:200:10::/64")
        wan.stop()
    assert not packets.read(wan.file)


def test_rules_are_put_back_and_follow_the_configuration(site):
    edge = site.machines["edge"]
    config = edge.config / "edge1.yaml"
    text, both = config.read_text(), sorted(rules_of(OWN4) + rules_of(OWN6))

    def become(rules, why):
        wait_until(lambda: our_rules(site) == rules, 20, f"{why}: {our_rules(site)}")
    for command in (["-4", "rule", "del", "priority", "1091"], ["-6", "rule", "flush", "protocol", "109"]):
        site.exec("edge", "ip", *command)
        become(both, "they are put back")
    assert f"rules from {OWN4} were removed by somebody else: put back" in edge.end.text()
    # Another table, none, and as it was; a rule of somebody else is left alone.
    foreign = ["from", OWN4, "lookup", "77", "priority", "1080"]
    site.exec("edge", "ip", "rule", "add", *foreign)
    for value, want in (("177", sorted(rules_of(OWN4, 177) + rules_of(OWN6, 177))), ("254", []),
                        ("auto", both)):
        config.write_text(text + f"source_table: {value}\n")
        assert edge.mpquic("reload", "edge1").returncode == 0
        become(want, f"source_table: {value}")
    config.write_text(text)
    edge.mpquic("reload", "edge1")
    assert "lookup 77" in site.exec("edge", "ip", "rule").stdout
    site.exec("edge", "ip", "rule", "del", *foreign)
    # A stop leaves them, as it leaves the interface and its routes.
    assert edge.end.stop() == 0
    assert our_rules(site) == both
    assert "dev mpq0" in site.exec("edge", "ip", "route", "show", "table", "100").stdout
    edge.end.start()
    reachable(site, "lan1", site.inet4, ends=[edge.end])
    become(both, "they are there")


def test_a_renewed_bundle_replaces_key_and_certificates_only(site):
    edge, hub = site.machines["edge"], site.machines["hub"]
    config = edge.config / "edge1.yaml"
    written = config.read_text() + "log_level: debug\nbind_ip: \"if:enp7s3\"\n"
    config.write_text(written)
    old = (edge.config / "tls/edge1/cert.pem").read_text()
    ups = edge.end.text().count("tunnel: up")
    said = hub.mpquic("pki", "renew", "edge1", "--new-key", "--out", site.state / "edge1.mpquic").stdout
    assert "mpquic join" in said
    file = site.state / "edge1.mpquic"
    refused(site, FILES, file, "--tunnel", "mpq7", fresh=False)
    # reload would refuse the keys that were changed by hand: the tunnel takes what it can take
    config.write_text(written.replace("bind_ip: \"if:enp7s3\"\n", ""))
    result = edge.mpquic("join", file, "--no-start")
    assert "stays as it is" in result.stdout and "has taken it over" in result.stdout, result
    assert config.read_text() == written.replace("bind_ip: \"if:enp7s3\"\n", "")
    assert (edge.config / "tls/edge1/cert.pem").read_text() != old
    assert edge.files() == sorted(edge.files()) and not [f for f in edge.files() if "~" in f]
    reachable(site, "lan1", site.inet4)
    assert edge.end.text().count("tunnel: up") == ups
    # of another hub: not a renewal
    other = site.state / "elsewhere.mpquic"
    hub.mpquic("pki", "client", "edge1", "--out", other, "--hub", f"{site.hub4}:45011")
    assert "is of another hub" in refused(site, FILES, other, fresh=False)


def test_force_keeps_a_copy(site):
    edge = site.machines["edge"]
    there = site.state / "kept"
    file = bundle(site, "kept", "--tunnel", "mpq7", "--route-table", "107")
    words = ["--no-start", "--config-dir", there]
    edge.mpquic("join", file, *words)
    mine = (there / "kept.yaml").read_text() + "log_level: debug\n"
    (there / "kept.yaml").write_text(mine)
    key = (there / "tls/kept/key.pem").read_text()
    said = edge.mpquic("join", file, *words, "--force").stdout
    assert f"{there}/kept.yaml.~1~" in said and f"{there}/tls/kept.~1~" in said
    assert (there / "kept.yaml.~1~").read_text() == mine
    assert (there / "kept.yaml").read_text() == mine.replace("log_level: debug\n", "")
    assert (there / "tls/kept.~1~/key.pem").read_text() == key
    assert (there / "tls/kept.~1~/key.pem").stat().st_mode & 0o777 == 0o600


def test_beside_another_instance(site):
    """Names and routes that are taken are found before anything is written."""
    file = bundle(site, "second")
    said = refused(site, FILES, file, fresh=False)
    assert "mpq0 is the interface of the instance edge1" in said and "--tunnel mpq1" in said
    said = refused(site, FILES, file, "--tunnel", "mpq1", fresh=False)
    assert "edge1 has a route to 0.0.0.0/0 in the table 100" in said and "--route-table 101" in said
    site.exec("edge", "ip", "route", "add", "0.0.0.0/0", "dev", site.lan_interface(1), "table", "101")
    try:
        said = refused(site, FILES, file, "--tunnel", "mpq1", "--route-table", "101", fresh=False)
        assert f"101 has a route to 0.0.0.0/0 by {site.lan_interface(1)}" in said
    finally:
        site.exec("edge", "ip", "route", "flush", "table", "101")
    said = refused(site, FILES, file, "--tunnel", site.wan_interface(1), fresh=False)
    assert "is an interface of this machine" in said
    edge = site.machines["edge"]
    edge.mpquic("join", file, "--tunnel", "mpq1", "--route-table", "101", "--no-start")
    assert "route_table: 101\n" in (edge.config / "second.yaml").read_text()
    (edge.config / "second.yaml").unlink()
    shutil.rmtree(edge.config / "tls/second")


ALL = ["--route", "0.0.0.0/1", "--route", "128.0.0.0/1"]


def test_a_bundle_is_made_as_the_last_one(site):
    hub = site.machines["hub"]

    def head(*words):
        made = hub.mpquic("pki", *words, "same", "--out", "-").stdout
        return re.findall(r"^(?:tunnel|route|route-table): .*", made, re.M)

    first = head("client", "--tunnel", "mpq5", "--route", "10.99.0.0/16", "--route", "10.98.0.0/16")
    assert first == ["tunnel: mpq5", "route: 10.99.0.0/16", "route: 10.98.0.0/16", "route-table: 100"]
    assert head("renew") == first
    assert head("renew", "--tunnel", "mpq6", "--route-table", "0") == ["tunnel: mpq6", *first[1:3]]
    assert head("client") == ["tunnel: mpq6", *first[1:3]]
    assert head("renew", "--forget") == ["tunnel: mpq0", "route: 0.0.0.0/0", "route: ::/0",
                                         "route-table: 100"]
    assert head("renew")[0] == "tunnel: mpq0"


# Does what the service does: $STATE holds who is enabled, and the processes.
SYSTEMCTL = """#!/bin/sh
[ "$1" = --quiet ] && shift
for unit; do :; done
name=${unit#mpquic@}; name=${name%.service}; pid=$(cat "$STATE/$name.pid" 2>/dev/null)
stop() { [ -z "$pid" ] || { kill "$pid"; while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done; }
         rm -f "$STATE/$name.pid"; pid=; }
start() { [ -n "$pid" ] && return
          "$PROGRAM" tunnel -c "/etc/mpquic/$name.yaml" >>"$STATE/$name.log" 2>&1 </dev/null &
          echo $! >"$STATE/$name.pid"; }
case $1 in
is-enabled) [ -e "$STATE/$name.enabled" ];;
is-active) [ -n "$pid" ];;
enable) : >"$STATE/$name.enabled";;
disable) rm -f "$STATE/$name.enabled";;
start) start;;
stop) stop;;
restart) stop; start;;
esac
"""


class Services:
    """A machine with something like systemd: joining starts what it has made."""

    def __init__(self, site, node):
        self.machine, self.lab, self.node = site.machines[node], site, node
        self.state = site.state / f"services-{node}"
        self.state.mkdir()
        (self.state / "systemctl").write_text(SYSTEMCTL)
        (self.state / "systemctl").chmod(0o755)

    def mpquic(self, *words, check=True):
        return self.lab.exec(
            self.node, "env", f"STATE={self.state}", f"PATH={self.state}:{os.environ['PATH']}",
            f"PROGRAM={self.machine.program}", "sh", "-c",
            'mount -t tmpfs tmpfs /run/systemd && mkdir /run/systemd/system && exec "$@"', "-",
            self.machine.program, *words, etc=self.machine.etc, check=check, timeout=90)

    def enabled(self):
        return {p.stem for p in self.state.glob("*.enabled")}

    def running(self):
        return {p.stem for p in self.state.glob("*.pid")}

    def log(self, name):
        return (self.state / f"{name}.log").read_text()

    def stop(self):
        for file in self.state.glob("*.pid"):
            self.lab.exec(self.node, "kill", file.read_text().strip(), check=False)
            file.unlink()


def swallow(site):
    site.exec("hub", "nft", "add table inet block; add chain inet block in "
              "{ type filter hook input priority 0; }; add rule inet block in udp dport 45010 drop")


def interfaces(site):
    return set(re.findall(r"^\d+: ([^:@]+)", site.exec("edge", "ip", "-o", "link").stdout, re.M))


def test_a_tunnel_that_does_not_come_up_is_taken_back(site):
    """Nothing of it remains: no files, no service, no interface and no route."""
    edge = site.machines["edge"]
    services = Services(site, "edge")
    file = bundle(site, "late", "--tunnel", "mpq3", "--route-table", "0", *ALL)
    words = ["join", file, "--no-check"]
    before = (edge.files(), interfaces(site), site.exec("edge", "ip", "route").stdout)
    swallow(site)
    try:
        result = services.mpquic(*words, "--wait", "3", check=False)
        assert result.returncode == 4 and "not up within 3 s" in result.stderr, result
        assert "taken back: this machine is as it was before" in result.stderr
        assert (edge.files(), interfaces(site), site.exec("edge", "ip", "route").stdout) == before
        assert not services.enabled() and not services.running()
        assert "mpq3" in services.log("late")
    finally:
        site.exec("hub", "nft", "delete table inet block")
    try:
        services.mpquic(*words)
        assert services.enabled() == services.running() == {"late"}
        reachable(site, "edge", "10.200.10.254")
        mine = (edge.config / "late.yaml").read_text() + "log_level: debug\n"
        (edge.config / "late.yaml").write_text(mine)
        before = (edge.files(), interfaces(site))
        swallow(site)
        # what was there before is there again, and runs
        result = services.mpquic(*words, "--bind", f"if:{site.wan_interface(1)}", "--tunnel", "mpq2",
                                 "--wait", "3", "--force", check=False)
        assert result.returncode == 4 and "taken back" in result.stderr, result
        wait_until(lambda: (edge.files(), interfaces(site)) == before, 10, "all is as before")
        assert (edge.config / "late.yaml").read_text() == mine
        assert services.enabled() == services.running() == {"late"}
        site.exec("hub", "nft", "delete table inet block")
        reachable(site, "edge", "10.200.10.254")
    finally:
        services.stop()
        site.exec("hub", "nft", "delete table inet block", check=False)
        site.exec("edge", "ip", "link", "delete", "mpq3", check=False)
    (edge.config / "late.yaml").unlink()
    shutil.rmtree(edge.config / "tls/late")


def test_routes_that_would_swallow_the_tunnel(site):
    edge, hub = site.machines["edge"], site.machines["hub"]
    file = bundle(site, "road", "--tunnel", "mpq3", "--route-table", "0", *ALL)
    result = edge.mpquic("join", file, "--no-start")
    wan = site.wan_interface(1)
    assert f"bind: if:{wan}" in result.stdout and "what this machine itself sends" in result.stdout
    assert f'bind_ip: "if:{wan}"' in (edge.config / "road.yaml").read_text()
    with Tunnel(site, "edge", "/etc/mpquic/road.yaml", edge.etc) as end:
        end.wait_line("tunnel: up")
        wait_until(lambda: "dev mpq3" in site.exec("edge", "ip", "route", "get", site.inet4).stdout, 20,
                   "the routes")
        ups = end.text().count("tunnel: up")
        for target in (site.hub4, "10.200.10.254"):  # inside the tunnel, both of them
            reachable(site, "edge", target, ends=[end, hub.end])
        assert end.text().count("tunnel: up") == ups
        # once more, while the hub is reached through that tunnel
        said = refused(site, FILES, file)
        assert "reached through the tunnel mpq3" in said and "--bind if:NAME" in said
    site.exec("edge", "ip", "link", "delete", "mpq3")
    said = refused(site, FILES, file, "--bind", "192.0.2.1")
    assert "an address does not bind it" in said
    whole = bundle(site, "whole", "--tunnel", "mpq4", "--route-table", "0", "--route", "0.0.0.0/0")
    said = refused(site, FILES, whole)
    assert f"own route to 0.0.0.0/0 by {wan}" in said and "--route 0.0.0.0/1 --route 128" in said
    (edge.config / "road.yaml").unlink()
    shutil.rmtree(edge.config / "tls/road")


def test_a_check_does_not_disturb_the_tunnel(site):
    edge = site.machines["edge"]
    reachable(site, "lan1", site.inet4)
    ups = edge.end.text().count("tunnel: up")
    edge.mpquic("join", site.state / "edge1.mpquic", "--no-start", "--name", "other", "--tunnel",
                "mpq9", "--route-table", "109")
    reachable(site, "lan1", site.inet4)
    assert edge.end.text().count("tunnel: up") == ups


def test_the_tunnels_network_follows_the_configuration(site):
    edge, ends = site.machines["edge"], [m.end for m in site.machines.values()]
    file = edge.config / "edge1.yaml"
    before = file.read_text()

    def addresses():
        said = site.exec("edge", "ip", "-o", "address", "show", "dev", "mpq0", "scope", "global").stdout
        return sorted(length for length in re.findall(r"(?:10\.200\.10|fd00:200:10:)\S+(/\d+)", said))

    assert addresses() == ["/24", "/64"]
    file.write_text(re.sub("^tun_network:.*\n", "", before, flags=re.M))
    edge.end.ask("reload")
    assert addresses() == ["/128", "/32"]
    file.write_text(before)
    edge.end.ask("reload")
    assert addresses() == ["/24", "/64"]
    reachable(site, "edge", "10.200.10.254", ends=ends)
    reachable(site, "edge", "fd00:200:10::fe", ends=ends)


def test_a_fixed_address_and_network(site):
    """What a bundle fixes the hub knows at once: the entry is in its file and in force."""
    hub, edge = site.machines["hub"], site.machines["edge"]
    before = (hub.config / "hub.yaml").read_text()
    words = ["--address", "10.200.10.77", "--address", "fd00:200:10::77/64", "--behind", "172.16.9.0/24"]
    made = hub.mpquic("pki", "client", "fixed", "--out", site.state / "fixed.mpquic", *words).stdout
    assert "added fixed to peers; the running hub has taken it over" in made
    entry = ('  - name: "fixed"\n    addresses: ["10.200.10.77", "fd00:200:10::77"]\n'
             '    prefixes: ["172.16.9.0/24"]\n')
    assert (hub.config / "hub.yaml").read_text() == before + "peers:\n" + entry
    bundle(site, "fixed2", "--address", "10.200.10.78/24")
    text = (hub.config / "hub.yaml").read_text()
    assert text.endswith("peers:\n  - name: \"fixed2\"\n    addresses: [\"10.200.10.78\"]\n" + entry)

    file = site.state / "fixed.mpquic"
    edge.mpquic("join", file, "--no-start", "--tunnel", "mpq8", "--route-table", "108")
    assert 'tun_cidr: ["10.200.10.77/24", "fd00:200:10::77/64"]' in (edge.config / "fixed.yaml").read_text()
    with Tunnel(site, "edge", "/etc/mpquic/fixed.yaml", edge.etc) as end:
        end.wait_line("tunnel: assigned 10.200.10.77/32, fd00:200:10::77/128$")
        # the check takes nothing away from the running tunnel, and has no address
        again = edge.mpquic("join", file, "--no-start", "--tunnel", "mpq8", "--route-table", "108",
                            "--force")
        assert "accepts us" in again.stdout
        assert end.text().count("tunnel: up") == 1

    # once more says the same, and something else is not for us to decide
    made = hub.mpquic("pki", "renew", "fixed", "--out", site.state / "fixed.mpquic", *words).stdout
    assert "has this in peers already" in made
    assert (hub.config / "hub.yaml").read_text() == text
    for name, address, why in (("fixed", "10.200.10.79", "says something else"),
                               ("fixed3", "10.200.10.77", "given twice"),
                               ("fixed3", "10.200.10.254", "this server's own"),
                               ("fixed3", "10.9.9.9", "in no network of tun_cidr"),
                               ("fixed3", "10.9.9.9/24", "in no network of tun_cidr")):
        result = hub.mpquic("pki", "client", name, "--address", address, check=False)
        assert result.returncode == FILES and why in result.stderr, result
    assert hub.mpquic("pki", "show", "fixed3", check=False).returncode == FILES
    assert (hub.config / "hub.yaml").read_text() == text


def test_a_fixed_address_without_the_hubs_file(site):
    """The authority is on another machine: it is told what to add there."""
    elsewhere = site.state / "elsewhere"
    edge = site.machines["edge"]
    edge.mpquic("pki", "init", "--dir", elsewhere)
    made = edge.mpquic("pki", "client", "far", "--dir", elsewhere, "--hub", site.hub4, "--out", "-",
                       "--address", "10.200.10.80/24")
    assert made.stdout.startswith("mpquic-bundle") and made.stdout.endswith("[end]\n")
    assert made.stderr.endswith('peers:\n  - name: "far"\n    addresses: ["10.200.10.80"]\n')
    result = edge.mpquic("pki", "client", "far2", "--dir", elsewhere, "--hub", site.hub4,
                         "--address", "10.200.10.80", check=False)
    assert result.returncode == FILES and "write ADDRESS/LENGTH" in result.stderr


def test_a_closed_port(site):
    """Nobody listens: the hub's kernel says so."""
    file = bundle(site, "edge2", "--hub", f"{site.hub4}:45999")
    assert "refuses UDP" in refused(site, NO_ANSWER, file)


def test_a_blocked_port(site):
    """A firewall that swallows."""
    file = bundle(site, "edge3")
    site.exec("hub", "nft", "add table inet block; add chain inet block in "
              "{ type filter hook input priority 0; }; add rule inet block in udp dport 45010 drop")
    try:
        said = refused(site, NO_ANSWER, file)
        assert "no answer" in said and said.count("firewall") == 1, said
    finally:
        site.exec("hub", "nft", "delete table inet block")


def test_a_name_that_nobody_knows_yet(site):
    """Join tells; a tunnel that was started all the same waits, and comes up once the name is known."""
    edge = site.machines["edge"]
    file = bundle(site, "named1", "--hub", "hub-of-ours.example:45010", "--server-name", site.hub4,
                  "--tunnel", "mpq7", "--route-table", "107")
    said = refused(site, NO_ANSWER, file)
    assert "cannot find the address of hub-of-ours.example" in said and "DNS" in said
    result = edge.mpquic("join", file, "--no-start", "--no-check")
    instance = Tunnel(site, "edge", re.search(r"-c (\S+)$", result.stdout, re.M).group(1),
                      edge.etc).start()
    instance.wait_line("path: cannot resolve hub-of-ours.example")
    status = instance.status()
    assert (status["state"], status["reason"]) == ("idle", "cannot resolve hub-of-ours.example")
    with (edge.etc / "hosts").open("a") as hosts:
        hosts.write(f"\n{site.hub4} hub-of-ours.example\n")
    instance.wait_line("tunnel: up", timeout=60)
    assert instance.stop() == 0
    edge.mpquic("leave", "named1", "--yes")


def test_no_such_wan(site):
    file = bundle(site, "edge4")
    assert "nowhere0" in refused(site, START, file, "--bind", "if:nowhere0")


def test_a_small_mtu_is_told(site):
    edge = site.machines["edge"]
    file = bundle(site, "edge5")
    site.set_path_mtu(1, 1280)
    try:
        result = edge.mpquic("join", file, "--no-start", "--config-dir", site.state / "small")
        told = re.search(r"packets of up to (\d+) bytes in the tunnel \((\d+) bytes of UDP\)",
                         result.stdout)
        # Between our own ends packets may be larger than datagrams.
        assert int(told[1]) == 1500 and 1200 <= int(told[2]) <= 1280 - 28
    finally:
        site.set_path_mtu(1, 1500)


def test_a_bundle_of_another_hub(site):
    """Another authority, and a name that the hub's certificate is not for: what is to be done."""
    said = refused(site, 20, bundle_of(site, "foreign", int(time.time()) - DAY))
    assert "of this one before it was made anew" in said
    file = bundle(site, "named", "--server-name", "hub.example")
    said = refused(site, 22, file)
    assert "expects hub.example" in said and "pki renew --san" in said
    hub = site.machines["hub"]
    hub.mpquic("pki", "renew", site.hub4, "--san", "hub.example")
    hub.end.ask("reload")
    site.machines["edge"].mpquic("join", file, "--no-start", "--config-dir", site.state / "named")


def test_init_over_another_configuration(site):
    """--force keeps a copy, and tells which edges have to be told."""
    hub = site.machines["hub"]
    words = ["--no-start", "--config-dir", site.state / "again", "--dir", site.state / "again-pki"]
    hub.mpquic("init", "192.0.2.9", *words)
    file = site.state / "again" / "hub.yaml"
    mine = file.read_text() + "peer_to_peer: true\n"
    file.write_text(mine)
    result = hub.mpquic("init", "192.0.2.10", "--behind", "192.168.7.0", *words, "--force", check=False)
    assert result.returncode == FILES and "192.168.7.0/LENGTH" in result.stderr
    said = hub.mpquic("init", "192.0.2.10", *words, "--force").stdout
    assert f"{file}.~1~" in said and "the hub was 192.0.2.9:45010: every edge" in said
    assert (site.state / "again" / "hub.yaml.~1~").read_text() == mine


def test_damaged_bundles(site):
    whole = bundle(site, "edge6").read_text()
    damaged = site.state / "damaged.mpquic"
    for text, word in ((whole[:len(whole) // 2], "cut short"), (whole.replace("[end]\n", ""), "cut short"),
                       (whole.replace("name: edge6", "name: ../../etc/cron.d/x"), "line"),
                       ("", "cut short"), ("hello\n", "not a bundle")):
        damaged.write_text(text)
        assert word in refused(site, FILES, damaged)


def bundle_of(site, name, since, days=365):
    """A bundle of another authority than the hub's, with a certificate of that time."""
    ca = Authority(site.state / f"ca-{name}", since=since, days=days)
    cert, key = ca.issue(name, name)
    file = ca.directory / f"{name}.mpquic"
    pem = [re.search(r"-----BEGIN.*-----END[^\n]*\n", p.read_text(), re.S).group(0)
           for p in (ca.cert, cert, key)]
    file.write_text(f"mpquic-bundle 1\nname: {name}\nhub: {site.hub4}\n[ca]\n{pem[0]}[certificate]\n"
                    f"{pem[1]}[key]\n{pem[2]}[end]\n")
    return file


@pytest.mark.parametrize("name, years, word", [("late", -6, "ended at"), ("early", 60, "begins at")])
def test_the_clock_is_wrong(site, name, years, word):
    """Certificates whose time this machine's clock is not in."""
    file = bundle_of(site, name, int(time.time()) + years * 365 * DAY)
    said = refused(site, CERT_TIME, file)
    assert word in said and "set the clock" in said


def test_the_clock_has_no_battery(site, build):
    """It says the year 2000: the date of the program and the time that an instance of this name has
    saved are known to be past, and count for the check of the hub too."""
    made = source_date(build)
    edge = site.machines["edge"]
    saved = site.directories("edge")["MPQUIC_STATE_DIR"] / "new1.time"
    words = ["--no-start", "--config-dir", site.state / "battery"]
    with Clock(site.state, "edge", at=YEAR_2000):
        old = bundle_of(site, "old1", made - 1000 * DAY, 30000)
        result = edge.mpquic("join", old, *words, "--no-check")
        assert "the clock is behind" in result.stderr
        new = bundle_of(site, "new1", made + 10 * DAY)
        said = refused(site, CERT_TIME, new)
        assert "clock says 2000-01-01" in said and "begins at" in said
        saved.write_text(f"{made + 20 * DAY}\n")
        edge.mpquic("join", new, *words, "--no-check", "--tunnel", "mpq5", "--route-table", "105")
        saved.write_text(f"{made + 400 * DAY}\n")
        assert "ended at" in refused(site, CERT_TIME, new)
    file = bundle(site, "edge7")
    (saved.parent / "edge7.time").write_text(f"{int(time.time())}\n")
    with Clock(site.state, "edge", at=YEAR_2000):
        result = edge.mpquic("join", file, *words, "--tunnel", "mpq6", "--route-table", "106")
    assert "the clock is behind" in result.stderr and "accepts us" in result.stdout


def test_revocation_ends_the_session(site):
    edge, hub = site.machines["edge"], site.machines["hub"]
    reachable(site, "lan1", site.inet4)
    hub.mpquic("pki", "revoke", "edge1")
    wait_until(lambda: not edge.end.running() or "revoked" in edge.end.text(), 30,
               "the session ends")
    with pytest.raises(LabError):
        reachable(site, "lan1", site.inet4, timeout=3)
    said = refused(site, REVOKED, site.state / "edge1.mpquic", fresh=False)
    assert "revoked" in said or "rejected" in said


def test_leave(site):
    """What join wrote is shown, moved aside once it is confirmed, and can be put back."""
    edge = site.machines["edge"]
    file = bundle(site, "leaver", "--tunnel", "mpq18", "--route-table", "118")
    started = edge.mpquic("join", file, "--no-start").stdout
    config, keys = edge.config / "leaver.yaml", edge.config / "tls" / "leaver"
    text, before = config.read_text(), edge.files()
    # Nobody is asked where nobody can answer.
    asked = edge.mpquic("leave", "leaver", check=False)
    assert asked.returncode == 2 and "add --yes" in asked.stderr
    for line in (r"remove \S+/leaver\.yaml", r"remove \S+/tls/leaver, its key and certificates",
                 r"the files are kept"):
        assert re.search(line, asked.stdout), asked.stdout
    # One that runs and that systemd does not know.
    instance = Tunnel(site, "edge", re.search(r"-c (\S+)$", started, re.M).group(1), edge.etc).start()
    instance.wait_line("tunnel: up")
    wait_until(lambda: [rule for rule in our_rules(site) if "lookup 118" in rule], 20, "its rules are there")
    assert "remove the interface mpq18" in edge.mpquic("leave", "leaver", check=False).stdout
    busy = edge.mpquic("leave", "leaver", "--yes", check=False)
    assert busy.returncode == FILES and "leaver is running: stop it first" in busy.stderr
    assert edge.files() == before and instance.running()
    assert instance.stop() == 0
    result = edge.mpquic("leave", "leaver", "--yes")
    assert "next, on the hub: mpquic pki revoke leaver" in result.stdout
    assert not config.exists() and not keys.exists()
    assert "mpq18" not in interfaces(site)
    assert not [rule for rule in our_rules(site) if "lookup 118" in rule]
    assert (edge.config / "leaver.yaml.~1~").read_text() == text
    assert (edge.config / "tls/leaver.~1~/key.pem").stat().st_mode & 0o777 == 0o600
    again = edge.mpquic("leave", "leaver", "--yes", check=False)
    assert again.returncode == FILES and "leaver.yaml is not there" in again.stderr
    # And back.
    edge.mpquic("join", file, "--no-start")
    assert config.read_text() == text
    edge.mpquic("leave", "leaver", "--yes")
    assert (edge.config / "leaver.yaml.~2~").exists()


def fill(directory):
    """Let the file system of a directory be full. Returns what fills it."""
    with open(directory / "rest", "wb", buffering=0) as rest, pytest.raises(OSError):
        while True:
            rest.write(bytes(4096))
    return directory / "rest"


def test_a_full_disk(site):
    """Join writes all or nothing; to leave needs no room."""
    edge = site.machines["edge"]
    disk = site.state / "full"
    disk.mkdir()
    words = ["--config-dir", disk / "mpquic"]
    file = bundle(site, "full1", "--tunnel", "mpq18", "--route-table", "118")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=755", "full", disk], check=True)
    try:
        rest = fill(disk)
        result = edge.mpquic("join", file, *words, "--no-start", "--no-check", check=False)
        assert result.returncode == FILES and "free some space" in result.stderr, result
        assert not [p for p in disk.rglob("*") if p.is_file() and p != rest]
        rest.unlink()
        edge.mpquic("join", file, *words, "--no-start", "--no-check")
        fill(disk)
        edge.mpquic("leave", "full1", *words, "--yes")
        left = {str(p.relative_to(disk)) for p in disk.rglob("*") if p.is_file()}
        assert {"mpquic/full1.yaml.~1~", "mpquic/tls/full1.~1~/key.pem"} <= left
        assert "mpquic/full1.yaml" not in left and "mpquic/tls/full1/key.pem" not in left
    finally:
        subprocess.run(["umount", "-l", disk], check=False)


def test_leave_touches_only_what_join_made(site):
    edge, hub = site.machines["edge"], site.machines["hub"]
    refusal = hub.mpquic("leave", "hub", "--yes", check=False)
    assert refusal.returncode == FILES and "hub.yaml is a hub's" in refusal.stderr
    edge.mpquic("join", bundle(site, "mine", "--tunnel", "mpq18", "--route-table", "118"), "--no-start")
    config = edge.config / "mine.yaml"
    text = config.read_text()
    config.write_text(text.replace("tls/mine/", "tls/edge1/"))
    before = edge.files()
    refusal = edge.mpquic("leave", "mine", "--yes", check=False)
    assert refusal.returncode == FILES and "not what mpquic join made" in refusal.stderr
    config.write_text("role: clinet\n")
    refusal = edge.mpquic("leave", "mine", "--yes", check=False)
    assert refusal.returncode == FILES and "has errors: mpquic check" in refusal.stderr
    refusal = edge.mpquic("leave", "../mine", "--yes", check=False)
    assert refusal.returncode == FILES and "cannot be the name" in refusal.stderr
    assert edge.files() == before
    config.write_text(text)
    edge.mpquic("leave", "mine", "--yes")
