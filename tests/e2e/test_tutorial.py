"""doc/tutorial.md, run as it stands: every command of its fenced blocks "sh hub" and "sh edge", in
order, on two freshly installed machines; then those of "sh hub later" and "sh edge later" and a
reboot of both.

    host ---- lan0 edge wan0 ---- core ---- hub
                                   |
                                 inet                  core routes no private network
"""
import re
import subprocess

import pytest
from conftest import ROOT
from lab import wait_until
from machine import Machine, Network

TUTORIAL = ROOT / "doc" / "tutorial.md"
INET = {4: "198.51.100.10", 6: "2001:db8:fe::10"}
HUB = {4: "203.0.113.10", 6: "2001:db8:ff::10"}
EDGE = {4: "192.0.2.2"}
LAN = {4: "192.168.77.10", 6: "fd00:77::10"}
MEGABYTE = 1 << 20

# Tells each caller where it is seen from, then sends a megabyte.
SERVER = """
import socket, sys
s = socket.socket(socket.AF_INET6)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
s.bind(("::", 8000))
s.listen()
print("listening", flush=True)
while True:
    c, a = s.accept()
    with c:
        c.sendall((a[0].removeprefix("::ffff:") + "\\n").encode() + bytes(1 << 20))
"""
CLIENT = """
import socket, sys
with socket.create_connection((sys.argv[1], 8000), timeout=10) as s, s.makefile("rb") as f:
    print(f.readline().decode().strip(), len(f.read()))
"""


def commands(kind):
    """The commands of the blocks of a kind ("" or "later"): (node, command) in order."""
    found = []
    for node, what, body in re.findall(r"^```sh (hub|edge)( \w+)?\n(.*?)^```$",
                                       TUTORIAL.read_text(), flags=re.M | re.S):
        if what.strip() == kind:
            lines = body.replace("\\\n", "").splitlines()
            found += [(node, line) for line in lines if line and not line.startswith("#")]
    return found


def sysctl(network, node, **values):
    for key, value in values.items():
        network.exec(node, "sysctl", "-qw", f"{key.replace('__', '.')}={value}")


def lay_cables(network):
    network.cable("host", "eth0", [f"{LAN[4]}/24", f"{LAN[6]}/64"],
                  "edge", "lan0", ["192.168.77.1/24", "fd00:77::1/64"])
    network.cable("edge", "wan0", [f"{EDGE[4]}/24"], "core", "edge", ["192.0.2.1/24"])
    network.cable("hub", "eth0", [f"{HUB[4]}/24", f"{HUB[6]}/64"],
                  "core", "hub", ["203.0.113.1/24", "2001:db8:ff::1/64"])
    network.cable("inet", "eth0", [f"{INET[4]}/24", f"{INET[6]}/64"],
                  "core", "inet", ["198.51.100.1/24", "2001:db8:fe::1/64"])
    sysctl(network, "core", net__ipv4__ip_forward=1, net__ipv6__conf__all__forwarding=1)
    for node, gateways in (("host", ("192.168.77.1", "fd00:77::1")), ("edge", ("192.0.2.1",)),
                           ("hub", ("203.0.113.1", "2001:db8:ff::1")),
                           ("inet", ("198.51.100.1", "2001:db8:fe::1"))):
        for gateway in gateways:
            network.ip(node, "route", "add", "default", "via", gateway)


def let_in(edge, hub):
    """What the tutorial takes for granted: root of the edge may log in to the hub."""
    edge.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/root/.ssh/id_ed25519")
    hub.run("mkdir", "-pm700", "/root/.ssh")
    key = edge.path("/root/.ssh/id_ed25519.pub").read_text()
    hub.path("/root/.ssh/authorized_keys").write_text(key)
    host_key = hub.path("/etc/ssh/ssh_host_ed25519_key.pub").read_text()
    edge.path("/root/.ssh/known_hosts").write_text(f"{HUB[4]} {host_key}")


@pytest.fixture(scope="module")
def site(lab_name, packages, debian):
    network = Network(lab_name, ["host", "edge", "core", "hub", "inet"])
    machines = {n: Machine(n, debian, network, n, packages) for n in ("edge", "hub")}
    server = None
    try:
        network.up()
        lay_cables(network)
        server = subprocess.Popen(["ip", "netns", "exec", network.ns("inet"), "/usr/bin/python3",
                                   "-c", SERVER], stdout=subprocess.PIPE, text=True)
        assert server.stdout.readline() == "listening\n"
        for machine in machines.values():
            machine.up()
            for package in packages.glob("*.deb"):
                machine.path(f"/root/{package.name}").write_bytes(package.read_bytes())
        let_in(**machines)
        yield network, machines
    finally:
        if server:
            server.kill()
            server.wait()
        for machine in machines.values():
            machine.down()
        network.down()


def follow(machines, kind):
    for node, command in commands(kind):
        done = machines[node].shell(command, timeout=120)
        print(f"{node}# {command}\n{done.stdout}{done.stderr}")


def fetch(network, family):
    """What the Internet host saw as our address, and how much came back."""
    out = network.exec("host", "/usr/bin/python3", "-c", CLIENT, INET[family], check=False).stdout
    return tuple(out.split())


def reaches_internet(network, why):
    for family in (4, 6):
        wait_until(lambda f=family: fetch(network, f) == (HUB[f], str(MEGABYTE)), 30,
                   f"the LAN reaches the Internet through the hub by IPv{family}: {why()}")
        network.exec("host", "ping", "-n", "-c", "3", "-i", "0.2", "-W", "2", INET[family])


def test_at_most_twelve_commands():
    assert 0 < len(commands("")) <= 12
    assert commands("later")


def test_first_packet(site):
    network, machines = site
    for family in (4, 6):
        assert fetch(network, family) == ()
    follow(machines, "")
    reaches_internet(network, lambda: machines["edge"].journal("mpquic@edge1")[-1500:])
    for address in ("10.200.10.254", "fd00:200:10::fe"):
        assert address in TUTORIAL.read_text()
        machines["edge"].run("ping", "-n", "-c", "1", "-W", "5", address)
    assert "edge1" in machines["hub"].run("mpquic", "peers").stdout
    assert machines["edge"].show("mpquic@edge1", "NRestarts") == "0"


def test_nothing_leaves_without_a_tunnel(site):
    network, machines = site
    machines["edge"].run("systemctl", "stop", "mpquic.target")
    machines["edge"].run("ip", "link", "delete", "mpq0")
    refused = network.exec("host", "ping", "-n", "-c", "1", "-W", "2", INET[4], check=False)
    assert refused.returncode and "Unreachable" in refused.stdout
    machines["edge"].run("systemctl", "start", "mpquic.target")
    reaches_internet(network, lambda: machines["edge"].journal("mpquic@edge1")[-1500:])


def forget(network, node):
    """What a reboot takes away, and a namespace keeps."""
    sysctl(network, node, net__ipv4__ip_forward=0, net__ipv6__conf__all__forwarding=0)
    network.exec(node, "nft", "flush", "ruleset")
    network.ip(node, "link", "delete", "mpq0")
    for family in ("-4", "-6"):
        run = [*("ip", family, "-n", network.ns(node), "rule")]
        subprocess.run([*run, "flush"], check=True)
        subprocess.run([*run, "add", "lookup", "main", "priority", "32766"], check=True)


def test_reboot(site):
    network, machines = site
    follow(machines, "later")
    for node, machine in machines.items():
        machine.off()
        forget(network, node)
    assert fetch(network, 4) == ()
    for node in ("edge", "hub"):  # the edge waits for the hub
        machines[node].boot()
    reaches_internet(network, lambda: machines["edge"].journal("mpquic@edge1")[-1500:])


def test_leave(site):
    """The edge takes its tunnel away; the copies bring it back."""
    network, machines = site
    edge = machines["edge"]
    left = edge.run("mpquic", "leave", "edge1", "--yes")
    assert "mpquic pki revoke edge1" in left.stdout and "lan-to-tunnel@" in left.stdout
    assert "inactive" in edge.run("systemctl", "is-active", "mpquic@edge1", check=False).stdout
    assert "disabled" in edge.run("systemctl", "is-enabled", "mpquic@edge1", check=False).stdout
    assert "mpq0" not in network.exec("edge", "ip", "-br", "link").stdout
    assert "no instance is running" in edge.run("mpquic", "status", check=False).stderr
    assert fetch(network, 4) == ()
    edge.run("mpquic", "join", "/root/edge1.mpquic")
    reaches_internet(network, lambda: edge.journal("mpquic@edge1")[-1500:])
