"""The Debian package on two freshly installed machines with systemd, from installation to purge.

    edge  wan0 192.0.2.2 ------------ 192.0.2.1 eth0  hub

The tests are one story: each starts from what those before it left."""
import re

import pytest
from certs import Authority
from conftest import ROOT
from lab import wait_until
from machine import Machine, Network

UNIT = "mpquic@1"
COMMON = """\
remote_port: 45001
tun_name: mpq1
tls_ca_file: /etc/mpquic/tls/ca.crt
log_level: info
"""
HUB = COMMON + """\
role: server
bind_ip: 0.0.0.0
tun_cidr: [10.200.1.2/30, "fd00:200:1::2/126"]
tls_cert_file: /etc/mpquic/tls/hub.crt
tls_key_file: /etc/mpquic/tls/hub.key
"""
EDGE = COMMON + """\
role: client
remote_addr: 192.0.2.1
tun_cidr: [10.200.1.1/30, "fd00:200:1::1/126"]
tls_cert_file: /etc/mpquic/tls/edge.crt
tls_key_file: /etc/mpquic/tls/edge.key
"""
# Its interface is not there.
EDGE2 = EDGE.replace("mpq1", "mpq2").replace(".200.1.", ".200.2.").replace(":200:1:", ":200:2:")
EDGE2 += "bind_ip: if:wan9\n"
# A watchdog that a test need not wait long for.
QUICK = "[Service]\nRestartSec=100ms\nWatchdogSec=2s\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    ca = Authority(tmp_path_factory.mktemp("tls"))
    ca.issue("hub", "hub", server=True, hosts=["192.0.2.1"])
    ca.issue("edge", "edge")
    return ca


@pytest.fixture(scope="module")
def site(lab_name, packages, debian):
    network = Network(lab_name, ["edge", "hub"])
    machines = {n: Machine(n, debian, network, n, packages) for n in network.nodes}
    try:
        network.up()
        network.cable("edge", "wan0", ["192.0.2.2/24"], "hub", "eth0", ["192.0.2.1/24"])
        for machine in machines.values():
            machine.up()
        yield network, machines["edge"], machines["hub"]
    finally:
        for machine in machines.values():
            machine.down()
        network.down()


@pytest.fixture(scope="module")
def network(site):
    return site[0]


@pytest.fixture(scope="module")
def edge(site):
    return site[1]


@pytest.fixture(scope="module")
def hub(site):
    return site[2]


def configure(machine, authority, side, instance, text):
    for file in ("ca.crt", f"{side}.crt", f"{side}.key"):
        target = machine.path(f"/etc/mpquic/tls/{file}")
        target.write_bytes((authority.directory / file).read_bytes())
        target.chmod(0o600)
    machine.path(f"/etc/mpquic/{instance}.yaml").write_text(text)


def drop_in(machine, text):
    directory = machine.path("/etc/systemd/system/mpquic@.service.d")
    directory.mkdir(exist_ok=True)
    (directory / "test.conf").write_text(text)
    machine.run("systemctl", "daemon-reload")


def state(machine, unit=UNIT):
    return machine.show(unit, "ActiveState")


def restarts(machine, unit=UNIT):
    return int(machine.show(unit, "NRestarts"))


def main_pid(machine, unit=UNIT):
    return int(machine.show(unit, "MainPID"))


def restarted(machine, since, what):
    """Wait until the unit has been restarted since and is ready again."""
    wait_until(lambda: restarts(machine) > since and state(machine) == "active", 30,
               f"{what}; {machine.journal(UNIT)[-1500:]}")


def ping(machine, target):
    def answered():
        return not machine.run("ping", "-n", "-c", "1", "-W", "1", target, check=False).returncode
    wait_until(answered, 20, f"{machine.name} reaches {target}: {machine.journal(UNIT)[-1500:]}")


def interface(machine, name):
    """Index and addresses of an interface: equal only if it is still the same one."""
    out = machine.run("ip", "-o", "address", "show", "dev", name, "scope",
                      "global").stdout
    return re.match(r"\d+", out).group(), sorted(re.findall(r"inet6? ([0-9a-f.:]+/\d+)", out))


def test_build_dependencies_are_complete():
    """What tools/packages calls a library to build with is a build dependency of the package."""
    control = (ROOT / "debian" / "control").read_text()
    names = re.findall(r"^(\S+-dev)\b", (ROOT / "tools" / "packages").read_text(), flags=re.M)
    wanted = {n for n in names if n not in ("libc6-dev", "libclang-rt-dev", "dpkg-dev")}
    assert len(wanted) > 5
    assert {n for n in wanted if not re.search(rf"^ {re.escape(n)}\b", control, flags=re.M)} == set()


def test_install(edge, hub):
    # The edge has a systemd-networkd that would like to have every interface of ours.
    edge.path("/etc/systemd/network/90-all.network").write_text(
        "[Match]\nName=mpq* new0\n[Network]\nAddress=198.51.100.1/24\n")
    edge.run("systemctl", "start", "systemd-networkd")
    networkd = main_pid(edge, "systemd-networkd")
    for machine in (edge, hub):
        machine.shell("apt-get install -y /pkg/*.deb")
        listing = machine.run("stat", "-c", "%a %U %n", "/etc/mpquic", "/etc/mpquic/tls").stdout
        assert listing == "755 root /etc/mpquic\n700 root /etc/mpquic/tls\n"
        assert machine.run("id", "-un", "mpquic").stdout == "mpquic\n"
        assert state(machine, "mpquic.target") == "active"
        assert "mpquic" in machine.run("mpquic", "version").stdout
    assert not hub.path("/usr/share/man/man8/mpquic.8.gz").is_symlink()
    assert hub.path("/usr/share/bash-completion/completions/mpquic").is_file()
    assert main_pid(edge, "systemd-networkd") not in (0, networkd)
    assert main_pid(hub, "systemd-networkd") == 0


def test_units_are_sound(hub):
    out = hub.run("systemd-analyze", "verify", "--man=no", "mpquic@x.service", "mpquic.target")
    assert not out.stdout + out.stderr
    security = hub.run("systemd-analyze", "security", "--no-pager", "mpquic@x.service").stdout
    level = float(re.search(r"Overall exposure level for .*: ([\d.]+)", security).group(1))
    print(f"exposure level {level}")
    assert level < 4


def test_hub_is_ready_without_any_peer(hub, authority):
    configure(hub, authority, "hub", "1", HUB)
    drop_in(hub, QUICK)
    hub.run("systemctl", "enable", "--now", UNIT)
    assert state(hub) == "active"
    assert interface(hub, "mpq1")[1] == ["10.200.1.2/30", "fd00:200:1::2/126"]
    hub.run("test", "-S", "/run/mpquic/1.sock")


def test_edge_without_its_wan_is_active_and_waits(edge, authority):
    configure(edge, authority, "edge", "2", EDGE2)
    edge.run("systemctl", "enable", "--now", "mpquic@2")
    assert state(edge, "mpquic@2") == "active"
    assert "waiting" in edge.journal("mpquic@2")
    assert restarts(edge, "mpquic@2") == 0


def test_first_packet(edge, hub, authority):
    configure(edge, authority, "edge", "1", EDGE + "bind_ip: if:wan0\n")
    drop_in(edge, QUICK)
    edge.run("systemctl", "enable", "--now", UNIT)
    ping(edge, "10.200.1.2")
    ping(edge, "fd00:200:1::2")
    ping(hub, "10.200.1.1")


def test_each_process_filters_beside_the_unit(edge):
    """The unit's filters are in force before the program runs; then each process adds its own."""
    def filters(pid):
        return int(re.search(r"Seccomp_filters:\s+(\d+)", edge.run("cat", f"/proc/{pid}/status").stdout)[1])
    helper = main_pid(edge)
    data_plane = edge.run("cat", f"/proc/{helper}/task/{helper}/children").stdout.split()
    assert len(data_plane) == 1
    assert filters(helper) == filters(data_plane[0]) > filters(1) + 1


def test_networkd_leaves_tunnels_rules_and_routes_alone(edge):
    before = interface(edge, "mpq1")
    edge.shell("ip rule add iif mpq9 unreachable priority 1002\n"
               "ip route add blackhole default table 100")
    edge.shell("ip link add new0 type veth peer name far0\n"
               "ip link set new0 up; ip link set far0 up")
    wait_until(lambda: " 198.51.100.1/24 " in edge.run("ip", "address", "show", "new0").stdout, 20,
               "networkd has configured another interface")
    assert "1002:" in edge.run("ip", "rule").stdout
    assert "blackhole default" in edge.run("ip", "route", "show", "table", "100").stdout
    assert interface(edge, "mpq1") == before
    assert re.search(r" mpq1 .*unmanaged", edge.run("networkctl", "--no-pager", "list").stdout)
    edge.shell("ip link delete new0; ip rule delete priority 1002; ip route flush table 100")


def test_kill_is_followed_by_a_restart(edge):
    before, since = interface(edge, "mpq1"), restarts(edge)
    pid = main_pid(edge)
    edge.run("kill", "-9", str(pid))
    restarted(edge, since, "restarted after kill -9")
    assert main_pid(edge) != pid
    assert interface(edge, "mpq1") == before
    ping(edge, "10.200.1.2")


def test_watchdog_restarts_what_hangs(edge):
    before, since = interface(edge, "mpq1"), restarts(edge)
    edge.run("pkill", "-STOP", "-P", str(main_pid(edge)))  # the data plane, not the helper
    restarted(edge, since, "restarted by the watchdog")
    assert "watchdog" in edge.journal(UNIT).lower()
    assert interface(edge, "mpq1") == before
    ping(edge, "10.200.1.2")


def test_all_at_once(edge):
    pids = {u: main_pid(edge, u) for u in ("mpquic@1", "mpquic@2")}
    edge.run("systemctl", "restart", "mpquic.target")
    for unit, pid in pids.items():
        wait_until(lambda u=unit: state(edge, u) == "active", 20, f"{unit} runs again")
        assert main_pid(edge, unit) != pid, unit
    edge.run("systemctl", "stop", "mpquic.target")
    wait_until(lambda: [state(edge, u) for u in pids] == ["inactive", "inactive"], 20,
               "all stopped")
    edge.run("systemctl", "start", "mpquic.target")
    wait_until(lambda: [state(edge, u) for u in pids] == ["active", "active"], 20, "all started")
    ping(edge, "10.200.1.2")


def test_reboot(edge):
    edge.off()
    edge.boot()
    wait_until(lambda: state(edge) == "active" and state(edge, "mpquic@2") == "active", 20,
               "both instances are back")
    ping(edge, "10.200.1.2")


def test_upgrade_restarts_what_runs(edge, newer):
    edge.run("systemctl", "stop", "mpquic@2")
    before, pid = interface(edge, "mpq1"), main_pid(edge)
    edge.path("/root/mpquic.deb").write_bytes(newer.read_bytes())
    edge.install("/root/mpquic.deb")
    assert edge.run("dpkg-query", "-Wf", "${Version}", "mpquic").stdout.endswith("+1")
    assert state(edge) == "active" and main_pid(edge) != pid
    running = edge.run("stat", "-Lc", "%i", f"/proc/{main_pid(edge)}/exe").stdout
    assert running == edge.run("stat", "-c", "%i", "/usr/bin/mpquic").stdout
    assert interface(edge, "mpq1") == before
    assert state(edge, "mpquic@2") == "inactive"  # it was stopped by hand
    ping(edge, "10.200.1.2")


def test_remove_stops_every_instance(edge):
    edge.run("systemctl", "disable", "mpquic@1")  # runs nevertheless
    edge.run("systemctl", "start", "mpquic@2")
    edge.run("apt-get", "remove", "-y", "mpquic")
    assert edge.processes() == []
    assert state(edge) == state(edge, "mpquic@2") == "inactive"
    assert edge.path("/etc/mpquic/tls/edge.key").exists()
    assert edge.path("/etc/mpquic/1.yaml").exists()


def test_installed_again_it_continues(edge, newer):
    edge.install("/root/mpquic.deb")
    wait_until(lambda: state(edge, "mpquic@2") == "active", 20, "what is enabled has been started")
    assert state(edge) == "inactive"


def test_purge_leaves_nothing(edge):
    edge.run("ip", "rule", "add", "from", "10.200.1.1", "iif", "lo", "lookup", "100", "protocol", "109")
    edge.run("apt-get", "purge", "-y", "mpquic")
    assert edge.processes() == []
    left = edge.run("find", "/etc", "/var/lib", "/run", "/usr", "-name", "*mpquic*", "-not", "-path",
                    "*/journal/*", "-not", "-path", "/usr/share/*").stdout.split()
    assert [f for f in left if not f.startswith("/var/lib/systemd/deb-systemd-helper")] == []
    links = edge.run("ip", "-o", "link").stdout
    assert "mpq" not in links
    rules = edge.run("ip", "rule").stdout
    assert "proto 109" not in rules and "lookup main" in rules
