"""The gateway as it is packaged, on two freshly installed machines: an edge whose network is set up as
deploy/examples/new-vm does it, and a hub that is also the provider of both WANs.

    lan1 -- enp6s20  edge  enp7s3 --- eth0 203.0.113.10  hub
                           enp7s4 --- eth1 198.51.100.1

systemd-networkd runs on both. The configurations are those that are shipped. The tests are one story:
each starts from what those before it left."""
import contextlib
import json
import re
import signal
import subprocess

import packets
import pytest
from certs import Authority
from conftest import ROOT
from lab import Capture, wait_until
from machine import Machine, Network
from traffic import missing

EXAMPLES = ROOT / "deploy" / "examples"
SHIPPED = "/usr/share/doc/mpquic/examples"
GATEWAY, TUNNEL = "mpquic-gateway", "mpquic@1"
HUB = "203.0.113.10"
ELSEWHERE = "192.0.2.99"  # on the Internet, where nobody answers
PROVIDER = """\
[Match]
Name={name}
[Network]
Address={address}/24
DHCPServer=yes
{more}
[DHCPServer]
EmitDNS=yes
DNS=192.0.2.53
"""


class Site(Network):
    """What Lab has, for captures and pings at nodes whose namespace is that of a machine too."""

    def __init__(self, name, nodes, directory):
        super().__init__(name, nodes)
        self.directory = directory

    def popen(self, node, *command, log):
        with open(log, "ab") as out:
            return subprocess.Popen(
                ["ip", "netns", "exec", self.ns(node), *map(str, command)], stdin=subprocess.DEVNULL,
                stdout=out, stderr=subprocess.STDOUT, start_new_session=True)

    def reaches(self, node, target):
        return not self.exec(node, "ping", "-n", "-c", "1", "-W", "1", target,
                             check=False).returncode

    @contextlib.contextmanager
    def no_leak(self):
        """LAN 1 sends to the Internet all the time, and nothing with its address is on WAN 1."""
        flow = self.popen("lan1", "ping", "-n", "-q", "-i", "0.005", ELSEWHERE,
                          log=self.directory / "leak.log")
        capture = Capture(self, "edge", "enp7s3", self.directory / "leak.pcap",
                          ["net 172.16.0.0/16"])
        try:
            yield
        finally:
            flow.kill()
            flow.wait()
        seen = packets.read(capture.stop())
        assert not seen, [(f.source, f.destination) for f in seen][:5]

    @contextlib.contextmanager
    def no_loss(self):
        """LAN 1 reaches the hub through its tunnel all the time."""
        log = self.directory / "loss.log"
        log.unlink(missing_ok=True)
        flow = self.popen("lan1", "ping", "-n", "-i", "0.01", "-W", "1", "10.200.1.2", log=log)
        wait_until(lambda: log.read_text().count("bytes from") > 20, 10, "the flow")
        yield
        wait_until(lambda c=log.read_text().count("bytes from"):
                   log.read_text().count("bytes from") > c + 20, 10, "the flow goes on")
        flow.send_signal(signal.SIGINT)
        flow.wait(10)
        assert not missing(log.read_text())


@pytest.fixture(scope="module")
def network(lab_name, tmp_path_factory):
    network = Site(lab_name, ["edge", "hub", "lan1"], tmp_path_factory.mktemp("site"))
    try:
        network.up()
        network.cable("edge", "enp6s20", [], "lan1", "eth0", ["172.16.1.2/30"])
        network.ip("lan1", "route", "add", "default", "via", "172.16.1.1")
        network.cable("edge", "enp7s3", [], "hub", "eth0", [])
        yield network
    finally:
        network.down()


@pytest.fixture(scope="module")
def machines(network, packages, debian):
    both = {n: Machine(n, debian, network, n, packages) for n in ("edge", "hub")}
    try:
        for machine in both.values():
            machine.up()
        yield both
    finally:
        for machine in both.values():
            machine.down()


@pytest.fixture(scope="module")
def edge(machines):
    return machines["edge"]


@pytest.fixture(scope="module")
def hub(machines):
    return machines["hub"]


def state(machine, unit):
    return machine.show(unit, "ActiveState")


def restarts(machine):
    return int(machine.show(GATEWAY, "NRestarts"))


def main_pid(machine):
    return int(machine.show(GATEWAY, "MainPID"))


def started_again(machine, since):
    wait_until(lambda: restarts(machine) > since and state(machine, GATEWAY) == "active", 30,
               f"started again; {machine.journal(GATEWAY)[-1500:]}")


def objects(machine):
    """What there is of the gateway in the kernel: rules, routes, nftables. Rules of one priority are in
    any order: one that somebody has deleted is behind the others when it is back."""
    rules, routes = [], []
    for family in ("-4", "-6"):
        rules += [line.replace(" [detached]", "")  # whether the interface is there
                  for line in machine.run("ip", family, "rule").stdout.splitlines()
                  if "proto 110" in line]
        routes += machine.run("ip", family, "route", "show", "table", "all", "proto",
                              "110").stdout.splitlines()
    return {"rules": sorted(rules), "routes": set(routes),
            "nft": machine.run("nft", "-s", "list", "table", "inet", "mpquic_gateway").stdout}


def in_force(machine):
    return not machine.run("mpquic", "gateway", "status", "-c", "/etc/mpquic/gateway/gateway.yaml",
                           check=False).returncode


def realigned(machine, sign=""):
    return machine.journal(GATEWAY).count(f"realigned: {sign}")


def test_install(edge, hub):
    for machine in (edge, hub):
        machine.shell("apt-get install -y /pkg/*.deb")
        for unit in (GATEWAY, f"{GATEWAY}-guard"):
            assert machine.run("systemctl", "is-enabled", unit, check=False).stdout == "disabled\n"
        assert state(machine, GATEWAY) == "inactive"
        assert machine.path("/etc/mpquic/gateway").is_dir()
        # without a configuration there is nothing to start, and nothing to complain about
        machine.run("systemctl", "start", GATEWAY)
        assert state(machine, GATEWAY) == "inactive"


def test_unit_is_sound(edge):
    out = edge.run("systemd-analyze", "verify", "--man=no", f"{GATEWAY}.service",
                   f"{GATEWAY}-guard.service")
    assert not out.stdout + out.stderr
    security = edge.run("systemd-analyze", "security", "--no-pager", f"{GATEWAY}.service").stdout
    level = float(re.search(r"Overall exposure level for .*: ([\d.]+)", security).group(1))
    print(f"exposure level {level}")
    assert level < 4


def test_a_new_machine_gets_its_network(edge, hub):
    """The same files twice: the second time changes nothing."""
    for i, address, more in ((0, HUB, "Gateway=203.0.113.1"), (1, "198.51.100.1", "")):
        hub.path(f"/etc/systemd/network/20-eth{i}.network").write_text(
            PROVIDER.format(name=f"eth{i}", address=address, more=more))
    hub.run("systemctl", "enable", "--now", "systemd-networkd")
    setup = f"{SHIPPED}/new-vm/setup-network"
    assert edge.run(setup, "--check", check=False).returncode == 1
    said = edge.run(setup).stdout
    assert "/etc/systemd/network/20-wan1.network" in said and "/etc/resolv.conf" in said
    assert edge.run(setup).stdout == "" and edge.run(setup, "--check").stdout == ""
    wait_until(lambda: "default via 203.0.113.10 dev enp7s3 proto dhcp" in
               edge.run("ip", "route").stdout, 30, "WAN 1 has its lease")
    assert "metric 101" in edge.run("ip", "route", "show", "default").stdout
    assert "172.16.1.1/30" in edge.run("ip", "address", "show", "enp6s20").stdout
    assert "192.0.2.53" not in edge.path("/etc/resolv.conf").read_text()
    journal = edge.journal("systemd-networkd")
    assert "Unknown" not in journal and "nvalid" not in journal, journal
    # ifupdown and networkd would undo each other's work
    interfaces = edge.path("/etc/network/interfaces.d/wan")
    interfaces.parent.mkdir(parents=True, exist_ok=True)
    interfaces.write_text("iface enp7s3 inet dhcp\n")
    refused = edge.run(setup, check=False)
    assert refused.returncode == 1 and "enp7s3" in refused.stderr
    interfaces.unlink()


def test_enabled_it_closes_before_there_is_a_tunnel(network, edge, hub):
    edge.shell("echo 0 >/proc/sys/net/ipv4/ip_forward")
    for machine, name in ((edge, "edge"), (hub, "hub")):
        machine.path("/etc/mpquic/gateway/gateway.yaml").write_bytes(
            (EXAMPLES / "gateway-six" / f"{name}.yaml").read_bytes())
        machine.run("systemctl", "enable", "--now", GATEWAY)
        assert state(machine, GATEWAY) == "active"
        assert in_force(machine)
        assert "in force; " in machine.show(GATEWAY, "StatusText")
    with network.no_leak():
        assert not network.reaches("lan1", ELSEWHERE)
        assert network.reaches("lan1", "172.16.1.1")


def test_first_packet(network, edge, hub, tmp_path):
    ca = Authority(tmp_path)
    ca.issue("server", "hub", server=True, hosts=[HUB])
    ca.issue("edge", "edge")
    for machine, side, role in ((edge, "edge", "client"), (hub, "server", "server")):
        for file in ("ca.crt", f"{side}.crt", f"{side}.key"):
            target = machine.path(f"/etc/mpquic/tls/{file}")
            target.write_bytes((tmp_path / file).read_bytes())
            target.chmod(0o600)
        machine.path("/etc/mpquic/1.yaml").write_bytes(
            (EXAMPLES / "edge-six" / role / "1.yaml").read_bytes())
        machine.run("systemctl", "enable", "--now", TUNNEL)
    wait_until(lambda: network.reaches("lan1", "10.200.1.2"), 30,
               f"LAN 1 reaches the hub: {edge.journal(TUNNEL)[-1500:]}")
    assert re.search(r" mpq1 .*unmanaged", edge.run("networkctl", "--no-pager", "list").stdout)


@contextlib.contextmanager
def modem(network, edge):
    """A second WAN, to be plugged in by the function that it gives, and pulled out at the end. Its far
    end is there before, so that nothing that leaves by it is missed."""
    network.ip("hub", "link", "add", "eth1", "type", "veth", "peer", "name", "enp7s4")
    network.ip("hub", "link", "set", "eth1", "up")
    capture = Capture(network, "hub", "eth1", network.directory / "modem.pcap",
                      ["net 172.16.0.0/16"])

    def plug_in():
        network.ip("hub", "link", "set", "enp7s4", "netns", network.ns("edge"))
        wait_until(lambda: "default via 198.51.100.1 dev enp7s4 proto dhcp" in
                   edge.run("ip", "route").stdout, 30, "WAN 2 has its lease")
        wait_until(lambda: in_force(edge), 10, "in force")

    try:
        yield plug_in
        seen = packets.read(capture.stop())
        assert not seen, [(f.source, f.destination) for f in seen][:5]
    finally:
        capture.process.kill()
        network.ip("hub", "link", "del", "eth1")


def test_networkd_manages_a_new_interface_under_pinned_traffic(network, edge):
    """As it is installed networkd leaves everything of ours alone, and not one packet is lost."""
    before, removed = objects(edge), realigned(edge, "-")
    with modem(network, edge) as plug_in, network.no_leak(), network.no_loss():
        plug_in()
        after = objects(edge)
        assert (after["rules"], after["nft"]) == (before["rules"], before["nft"])
        assert before["routes"] < after["routes"]  # and the way to the hub by WAN 2
        assert realigned(edge, "-") == removed


def test_networkd_that_deletes_what_is_not_its_own(network, edge):
    """Without our drop-in it does: nothing leaves meanwhile, and all of it comes back."""
    rules, repairs = objects(edge)["rules"], realigned(edge, "+ rule")
    mask = edge.path("/etc/systemd/networkd.conf.d/20-mpquic.conf")
    mask.parent.mkdir(exist_ok=True)
    mask.symlink_to("/dev/null")
    with modem(network, edge) as plug_in, network.no_leak():
        edge.run("systemctl", "restart", "systemd-networkd")
        plug_in()
        wait_until(lambda: network.reaches("lan1", "10.200.1.2"), 20, "LAN 1 goes on")
        wait_until(lambda: objects(edge)["rules"] == rules, 10, "everything is back")
        assert realigned(edge, "+ rule") > repairs  # it did delete something
    mask.unlink()
    edge.run("systemctl", "restart", "systemd-networkd")
    wait_until(lambda: in_force(edge), 10, "in force")


def test_without_any_hook_a_wan_is_followed(network, edge):
    """Neither ifupdown nor networkd-dispatcher has anything of ours: the kernel tells."""
    hooks = edge.shell("find /etc/network /etc/networkd-dispatcher /usr/lib/networkd-dispatcher "
                       "/lib/udev -name '*mpquic*' 2>/dev/null || true").stdout
    assert hooks == ""
    with network.no_leak():
        network.ip("hub", "link", "set", "eth0", "down")
        wait_until(lambda: "default dev mpq1" not in
                   edge.run("ip", "route", "show", "table", "100").stdout, 10, "LAN 1 is closed")
        network.ip("hub", "link", "set", "eth0", "up")
        wait_until(lambda: network.reaches("lan1", "10.200.1.2"), 60, "LAN 1 is back")


def test_a_hook_is_possible(edge):
    """The example has the gateway look again, and fails for nobody."""
    before = edge.journal(GATEWAY).count("gateway: reloaded")
    edge.shell(f"IFACE=enp7s3 {SHIPPED}/hooks/mpquic-gateway")
    wait_until(lambda: edge.journal(GATEWAY).count("gateway: reloaded") > before, 10, "reloaded")
    edge.shell(f"IFACE=lo {SHIPPED}/hooks/mpquic-gateway")


def test_kill_and_stop_leave_forwarding_in_place(network, edge):
    before = objects(edge)
    with network.no_leak(), network.no_loss():
        since = restarts(edge)
        edge.run("kill", "-9", str(main_pid(edge)))
        started_again(edge, since)
        edge.run("systemctl", "stop", GATEWAY)
        assert objects(edge) == before
        edge.run("systemctl", "start", GATEWAY)
    assert objects(edge) == before


SILENCE = ("add table netdev silent; add chain netdev silent in { type filter hook ingress device eth0 "
           "priority -500; policy drop; }")


def wan1(edge):
    """What is said of WAN 1, in IPv4."""
    told = json.loads(edge.run("mpquic", "gateway", "status", "--json", check=False).stdout)
    return next(link["ipv4"] for link in told["links"] if link["name"] == "wan1")


def test_probes_under_the_unit(network, edge, hub):
    """The unit's limits leave it what probes, the word of a tunnel and the log of events need; and a
    WAN that is silent is found."""
    file = edge.path("/etc/mpquic/gateway/gateway.yaml")
    before = file.read_bytes()
    file.write_bytes(edge.path(f"{SHIPPED}/gateway-six/edge-probes.yaml").read_bytes())
    edge.run("systemctl", "reload", GATEWAY)
    wait_until(lambda: wan1(edge)["state"] == "healthy" and wan1(edge)["probe"]["answering"] == 1, 30,
               f"WAN 1 is healthy by its probe: {wan1(edge)} {edge.journal(GATEWAY)[-1500:]}")
    child, = edge.run("ps", "--no-headers", "-o", "pid", "--ppid", str(main_pid(edge))).stdout.split()
    status = edge.run("cat", f"/proc/{child}/status").stdout
    assert re.search(r"^CapEff:\s+0+$", status, re.M) and not re.search(r"^Uid:\s+0\s", status, re.M)
    wait_until(lambda: network.reaches("lan1", "10.200.1.2"), 30, "the tunnel says that it is connected")
    with network.no_leak():
        hub.run("nft", SILENCE)
        wait_until(lambda: wan1(edge)["state"] == "unhealthy", 30, "WAN 1 is silent")
        hub.run("nft", "delete", "table", "netdev", "silent")
        wait_until(lambda: wan1(edge)["state"] == "healthy", 30, "WAN 1 is back")
        wait_until(lambda: network.reaches("lan1", "10.200.1.2"), 60, "LAN 1 goes on")
    events = [json.loads(x) for x in
              edge.path("/var/log/mpquic/gateway.jsonl").read_text().splitlines()]
    found = [x for x in events if x["event"] == "link" and x["link"] == "wan1" and
             (x.get("from"), x["to"]) == ("healthy", "unhealthy")]
    assert found and found[-1]["cause"] == "probe" and found[-1]["trace"]
    file.write_bytes(before)
    edge.run("systemctl", "reload", GATEWAY)
    wait_until(lambda: in_force(edge), 10, "in force")


def test_the_watchdog_restarts_what_hangs(network, edge):
    directory = edge.path(f"/etc/systemd/system/{GATEWAY}.service.d")
    directory.mkdir()
    (directory / "test.conf").write_text("[Service]\nRestartSec=100ms\nWatchdogSec=2s\n")
    edge.run("systemctl", "daemon-reload")
    edge.run("systemctl", "restart", GATEWAY)
    since = restarts(edge)
    with network.no_loss():
        edge.run("kill", "-STOP", str(main_pid(edge)))
        started_again(edge, since)
    assert "watchdog" in edge.journal(GATEWAY).lower()


def test_upgrade_leaves_forwarding_in_place(network, edge, newer):
    """The tunnel is started anew by it, the gateway too; what they have made stays."""
    before, pid = objects(edge), main_pid(edge)
    edge.path("/root/mpquic.deb").write_bytes(newer.read_bytes())
    with network.no_leak():
        edge.install("/root/mpquic.deb")
        wait_until(lambda: network.reaches("lan1", "10.200.1.2"), 30, "LAN 1 goes on")
    assert state(edge, GATEWAY) == "active" and main_pid(edge) not in (0, pid)
    assert objects(edge) == before


def test_reboot(network, edge):
    """It is in force before networkd begins."""
    with network.no_leak():
        edge.off()
        edge.boot()
        wait_until(lambda: network.reaches("lan1", "10.200.1.2"), 60, "LAN 1 is back")
    since = [int(edge.show(unit, key)) for unit, key in
             ((GATEWAY, "ActiveEnterTimestampMonotonic"),
              ("systemd-networkd", "ExecMainStartTimestampMonotonic"))]
    assert 0 < since[0] < since[1]
    assert in_force(edge)


def test_remove_leaves_it_in_force_and_purge_nothing(network, edge):
    before = objects(edge)
    with network.no_leak():
        edge.run("apt-get", "remove", "-y", "mpquic")
        assert edge.processes() == []
        after = objects(edge)
        assert (after["rules"], after["nft"]) == (before["rules"], before["nft"])
    forwarding = "/proc/sys/net/ipv4/ip_forward"
    assert edge.run("cat", forwarding).stdout == "1\n"
    edge.run("apt-get", "purge", "-y", "mpquic")
    assert edge.run("cat", forwarding).stdout == "0\n"  # as it was
    for family in ("-4", "-6"):
        assert "proto 110" not in edge.run("ip", family, "rule").stdout
        assert edge.run("ip", family, "route", "show", "table", "all", "proto", "110").stdout == ""
    assert "mpquic" not in edge.run("nft", "list", "tables").stdout
    assert not edge.path(f"/etc/systemd/system/{GATEWAY}.service.d").exists()
