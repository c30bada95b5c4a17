"""What `mpquic status` and `mpquic peers` tell is true.

    lan1 --- edge === wan1 (20 ms each way) === hub --- inet
"""
import json
import os
import re
import shutil
import signal
import socket

import pytest
from certs import Authority
from conftest import ROOT
from lab import Lab, wait_until
from traffic import ping
from tunnel import Site, Tunnel, reachable

EXAMPLES = ROOT / "deploy" / "examples" / "edge-six"
NOT_RUNNING, NOT_UP, UNREACHABLE, CLIENT_REJECTED = 3, 4, 6, 23
DELAY_US = 20000


@pytest.fixture(scope="module")
def site(build, mpquic, lab_name):
    with Lab(lab_name, build=build, wans=1, profiles=["bare"]) as lab:
        lab.wan(1).set("both", f"rate=50m delay={DELAY_US // 1000}ms queue=50ms")
        certificates = Site(lab)
        lab.hub_end = Tunnel(lab, "hub", EXAMPLES / "server" / "1.yaml", certificates.etc["hub"])
        lab.edge_end = Tunnel(lab, "edge", EXAMPLES / "client" / "1.yaml",
                              certificates.etc["edge"])
        lab.hub_end.start()
        lab.edge_end.start()
        reachable(lab, "edge", "10.200.1.2", ends=[lab.hub_end, lab.edge_end])
        lab.route_tunnel(1)
        yield lab


def link_mtu(lab, node, name):
    return json.loads(lab.exec(node, "ip", "-j", "link", "show", "dev", name).stdout)[0]["mtu"]


def up(end):
    """Its status, once it is up and the path is known."""
    def settled():
        s = end.status()
        return s if s["state"] == "up" and s["paths"][0]["mtu_known"] else None
    return wait_until(settled, 30, f"{end.node} is up:\n{end.text()}")


def test_a_client_tells_who_and_where_it_is(site):
    s = up(site.edge_end)
    assert (s["schema"], s["instance"], s["role"], s["state"], s["reason"]) == (
        1, "1", "client", "up", "")
    assert s["down_since"] is None and s["paths"][0]["heard_s"] <= 10
    assert s["aead"] in ("ipsec-mb", "gnutls")
    assert s["server"]["address"] == f"{site.hub4}:45001" and s["server"]["name"] == "hub"
    assert s["server"]["certificate"]["subject"] == "hub"
    assert site.hub4 in s["server"]["certificate"]["names"]
    assert s["certificate"]["subject"] == "edge" and s["certificate"]["days_left"] in (29, 30)
    assert s["tunnel"]["interface"] == "mpq1" and s["tunnel"]["mtu_automatic"]
    assert sorted(s["tunnel"]["addresses"]) == ["10.200.1.1/30", "fd00:200:1::1/126"]
    assert sorted(s["tunnel"]["assigned"]) == ["10.200.1.1/32", "fd00:200:1::1/128"]
    path = s["paths"][0]
    assert path["local"].startswith("10.150.1.2:") and path["interface"] == "enp7s3"
    assert path["remote"] == f"{site.hub4}:45001" and path["lanes"] == 1
    assert s["handshakes"]["begun"] >= s["handshakes"]["completed"] >= 1
    assert s["warnings"] == [] and s["pid"] > 0


def test_round_trips_are_at_least_the_delay_of_the_line(site):
    rtt = up(site.edge_end)["paths"][0]["rtt_us"]
    assert rtt["min"] >= 2 * DELAY_US
    assert rtt["smoothed"] >= rtt["min"] and rtt["latest"] >= rtt["min"]


def test_the_path_mtu_is_that_of_the_line_and_of_the_interface(site):
    s = up(site.edge_end)
    assert s["paths"][0]["udp_payload_bytes"] == 1472
    assert s["paths"][0]["packet_max_bytes"] == 1438
    assert s["tunnel"]["mtu_bytes"] == 1500 # between our own ends, whatever the path carries
    assert link_mtu(site, "edge", "mpq1") == link_mtu(site, "hub", "mpq1") == 1500


def test_counters_count(site):
    before = up(site.edge_end), site.hub_end.status()
    assert ping(site, "lan1", site.inet4, 20, 0.02, ["-s", "1000"]).received == 20
    after = up(site.edge_end), site.hub_end.status()
    for b, a in zip(before, after):
        grown = {k: a["traffic"][k] - b["traffic"][k] for k in a["traffic"]}
        assert all(20 <= grown[f"{way}_packets"] <= 60 for way in ("rx", "tx"))
        assert all(20 * 1028 <= grown[f"{way}_bytes"] <= 60 * 1028 for way in ("rx", "tx"))
    b, a = before[0]["paths"][0], after[0]["paths"][0]
    assert a["udp"]["tx_bytes"] - b["udp"]["tx_bytes"] >= 20 * 1028
    assert a["datagrams"]["tx"] - b["datagrams"]["tx"] >= 20
    assert after[0]["uptime_s"] >= before[0]["uptime_s"]
    assert after[0]["started"] == before[0]["started"]


def test_a_server_tells_of_its_peers(site):
    edge, hub = up(site.edge_end), site.hub_end.status()
    assert (hub["state"], hub["role"], hub["peers_up"]) == ("listening", "server", 1)
    assert hub["listen"] == ["0.0.0.0:45001"] and hub["server"] is None
    (peer,) = hub["peers"]
    assert (peer["name"], peer["instance"]) == ("edge", "mpq1")
    assert peer["remote"] == edge["paths"][0]["local"]
    assert sorted(peer["addresses"]) == ["10.200.1.1", "fd00:200:1::1"]
    assert peer["certificate_until"] == edge["certificate"]["not_after"]
    assert peer["paths"][0]["rtt_us"]["min"] >= 2 * DELAY_US
    assert hub["handshakes"]["completed"] >= 1
    listed = json.loads(site.hub_end.ask("peers", "--json").stdout)
    assert listed["peers_up"] == 1 and listed["peers"][0]["remote"] == peer["remote"]
    table = site.hub_end.ask("peers").stdout.splitlines()
    assert table[0] == "1: 1 peer up" and table[1].split()[0] == "NAME"
    assert table[2].split()[:3] == ["edge", "mpq1", peer["remote"]]


def test_forged_packets_are_counted_under_their_reason(site):
    before = site.hub_end.status()
    site.exec("edge", "ip", "address", "add", "192.0.2.99/32", "dev", "lo")
    try:
        result = ping(site, "edge", "10.200.1.2", 3, 0.05, ["-I", "192.0.2.99", "-W", "1"])
    finally:
        site.exec("edge", "ip", "address", "del", "192.0.2.99/32", "dev", "lo")
    assert (result.sent, result.received) == (3, 0)
    after = site.hub_end.status()
    assert after["warnings"] == ["3 packets of peer edge/mpq1 dropped for a source that it may not "
                                 "use, the last from 192.0.2.99"]
    assert " BADSRC\n" in site.hub_end.ask("peers").stdout
    assert after["drops"]["source-not-allowed"] - before["drops"]["source-not-allowed"] == 3
    assert after["peers"][0]["bad_sources"] - before["peers"][0]["bad_sources"] == 3
    assert re.search(r"^  drops .*source-not-allowed \d", site.hub_end.ask("status").stdout, re.M)


def test_text_tells_the_same(site):
    up(site.edge_end)
    text = site.edge_end.ask("status").stdout
    for pattern in (r"^1: up for \S.* \(client, mpquic \S+, pid \d+, running for ",
                    r"^  server +203\.0\.113\.10 port 45001, hub$",
                    r"^  tunnel +mpq1, MTU 1500 \(follows the path\)$",
                    r"^    addresses +10\.200\.1\.1/30, fd00:200:1::1/126$",
                    r"^  offloads +TUN TSO(, USO)?; UDP GSO, GRO$",
                    r"^  path +10\.150\.1\.2:\d+ on enp7s3 to 203\.0\.113\.10:45001, 1 lane$",
                    r"^    RTT +[\d.]+ ms \(latest [\d.]+, min [\d.]+, variance [\d.]+\)$",
                    r"^    path MTU +UDP payload 1472 B, packets 1438 B$",
                    r"^  certificate +edge, until 20\S+Z \(\d+ days\)$"):
        assert re.search(pattern, text, re.M), f"{pattern}\n{text}"


def test_without_a_name_all_instances_are_asked(site):
    everything = site.exec("edge", site.edge_end.program, "status", "--json").stdout
    assert [s["instance"] for s in json.loads(everything)] == ["1"]
    assert site.exec("edge", site.edge_end.program, "status").stdout.startswith("1: up for ")


def test_an_edge_has_no_peers(site):
    result = site.exec("edge", site.edge_end.program, "peers", check=False)
    assert (result.returncode, result.stdout) == (NOT_RUNNING, "")
    assert "no server runs here" in result.stderr
    result = site.exec("edge", site.edge_end.program, "peers", "--json", check=False)
    assert (result.returncode, json.loads(result.stdout)) == (NOT_RUNNING, [])


def test_what_is_not_running_is_said_so(site):
    unknown = site.exec("edge", site.edge_end.program, "status", "nobody", check=False)
    assert (unknown.returncode, unknown.stdout) == (NOT_RUNNING, "nobody: not running\n")
    reload = site.exec("edge", site.edge_end.program, "reload", "nobody", check=False)
    assert reload.returncode == NOT_RUNNING and "not running" in reload.stderr
    strange = site.exec("edge", site.edge_end.program, "status", "../x", check=False)
    assert strange.returncode == 2


@pytest.fixture
def configured(site):
    """The configurations of the edge: 1 runs, broken has an error, gone does not run."""
    directory = site.directories("edge")["MPQUIC_CONF_DIR"]
    shutil.copy(EXAMPLES / "client" / "1.yaml", directory)
    text = (EXAMPLES / "client" / "1.yaml").read_text()
    write = {"gone": text, "broken": text + "log_levle: info\n", "not a name": text}
    for name, content in write.items():
        (directory / f"{name}.yaml").write_text(content)
    (directory / "1.env").write_text("")
    yield directory
    for path in directory.iterdir():
        path.unlink()


def test_what_is_configured_and_does_not_run_is_listed(site, configured):
    """Exit status 3 although the only instance that runs is up; a reason where one is known."""
    up(site.edge_end)
    result = site.exec("edge", site.edge_end.program, "status", "--json", check=False,
                       etc=site.edge_end.etc)
    assert result.returncode == NOT_RUNNING
    listed = {s["instance"]: s for s in json.loads(result.stdout)}
    assert list(listed) == ["1", "broken", "gone"]
    assert listed["1"]["state"] == "up"
    assert listed["gone"] == {"instance": "gone", "state": "not running"}
    lines = (configured / "broken.yaml").read_text().count("\n")
    assert listed["broken"]["state"] == "not running"
    assert listed["broken"]["reason"].startswith(f"{configured}/broken.yaml:{lines}: ")
    text = site.exec("edge", site.edge_end.program, "status", check=False,
                     etc=site.edge_end.etc).stdout
    assert re.search(r"^1: up for .*\n(  .*\n)+\nbroken: not running: .*\n"
                     r"  see +mpquic check .*/broken\.yaml\n\ngone: not running\n\Z", text), text
    # Neither peers nor reload is about those.
    assert site.exec("edge", site.edge_end.program, "reload").returncode == 0


def test_the_last_words_of_an_instance_are_told(site):
    """A certificate that the hub does not accept: the edge gives up, and status says why."""
    tls = site.edge_end.etc / "mpquic/tls"
    other = Authority(site.state / "another-ca", "another authority")
    for source, name in zip(other.issue("edge", "edge"), ("other.crt", "other.key")):
        shutil.copy(source, tls / name)
    text = (EXAMPLES / "client" / "1.yaml").read_text().replace("/edge.", "/other.")
    config = site.state / "odd.yaml"
    config.write_text(text.replace("mpq1", "mpq9").replace("10.200.1.1/30", "10.200.9.1/30")
                      .replace("fd00:200:1::1", "fd00:200:9::1"))
    end = Tunnel(site, "edge", config, site.edge_end.etc).start()
    code = end.wait_exit(30)
    assert code == CLIENT_REJECTED, end.text()
    told = end.ask("status", "--json", check=False)
    assert told.returncode == NOT_RUNNING
    said = json.loads(told.stdout)
    assert (said["state"], said["exit_code"]) == ("not running", code)
    assert said["reason"].startswith("tunnel: giving up: ") and said["reason"] in end.text()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", said["ended"])
    text = end.ask("status", check=False).stdout
    assert re.fullmatch(r"odd: not running: tunnel: giving up: .*\n"
                        rf"  ended +with exit status {code}, \S.* ago\n", text), text
    # One that was asked to stop leaves nothing.
    end.config.write_text(config.read_text().replace("/other.", "/edge.").replace(
        "role: client", "role: client\ninstance_id: odd"))
    end.log.unlink()
    end.start()
    end.wait_line("tunnel: ")
    assert end.stop() == 0
    assert end.ask("status", check=False).stdout == "odd: not running\n"


def test_a_stranger_may_not_ask(site):
    """Another user, of another group: the file does not let it."""
    result = site.exec("edge", "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
                       site.edge_end.program, "status", "1", check=False)
    assert (result.returncode, result.stdout) == (UNREACHABLE, "")
    assert "not allowed" in result.stderr


def test_a_crowd_on_the_socket_does_not_disturb_the_tunnel(site):
    """A hundred connections that say nothing or half a line, one that never reads: pings pass, and
    an honest question is answered."""
    path = site.directories("hub")["MPQUIC_RUN_DIR"] / "1.sock"
    crowd = []
    pinging = site.popen("lan1", "ping", "-n", "-q", "-c", "200", "-i", "0.01", "-W", "2", site.inet4,
                         log=site.state / "crowd-ping.log")
    for i in range(100):
        s = socket.socket(socket.AF_UNIX)
        s.connect(str(path))
        try:
            s.send((b"", b'{"cmd":', b'{"cmd":"status"}\n')[i % 3])
        except OSError:
            pass  # it has been pushed out already
        crowd.append(s)
        if i % 10 == 0:
            assert site.hub_end.status()["state"] == "listening"
    assert pinging.wait(60) == 0
    assert " 200 received" in (site.state / "crowd-ping.log").read_text()
    for s in crowd:
        s.close()


def forwarding(s):
    return [w for w in s["warnings"] if "forwarded" in w]


def test_what_is_not_forwarded_is_warned_of(site):
    """Networks behind the peer are configured, and the kernel forwards nothing for them."""
    def switch(value):
        site.exec("hub", "sysctl", "-q", f"net.ipv4.ip_forward={value}",
                  f"net.ipv6.conf.all.forwarding={value}")
    assert forwarding(site.hub_end.status()) == []
    switch(0)
    try:
        warnings = forwarding(site.hub_end.status())
        text = site.hub_end.ask("status").stdout
    finally:
        switch(1)
    assert [re.match(r"(IPv\d) packets .* not forwarded: sysctl net\.ipv\d", w).group(1)
            for w in warnings] == ["IPv4"]  # it has no peer_prefixes of IPv6
    assert len(re.findall(r"^  warning .*forwarded", text, re.M)) == 1
    assert forwarding(site.hub_end.status()) == []


def test_a_client_that_cannot_send_says_so_at_once(site):
    """The kernel lets nothing out: the tunnel is not lost yet, but something is wrong."""
    up(site.edge_end)
    site.exec("edge", "nft", "add table inet stop; add chain inet stop out "
              "{ type filter hook output priority 0; }; "
              "add rule inet stop out udp dport 45001 drop")
    try:
        ping(site, "lan1", site.inet4, 1, 0.1, ["-W", "1"])
        (warning,) = site.edge_end.status()["warnings"]
    finally:
        site.exec("edge", "nft", "delete", "table", "inet", "stop")
    assert re.fullmatch(rf"nothing can be sent to {site.hub4}:45001, for \d+s: "
                        "Operation not permitted", warning)
    wait_until(lambda: site.edge_end.status()["warnings"] == [], 30, "the edge sends again")
    reachable(site, "lan1", site.inet4)


BURST = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(3000):
    s.sendto(bytes(100), ("10.200.1.2", 9))
"""


def test_what_the_kernel_drops_is_counted(site):
    """The data plane stands still while packets come for the tunnel: its queue in the kernel holds
    only so many, and every other one is in the status."""
    end = site.edge_end
    up(end)
    def dropped():
        stats = json.loads(site.exec("edge", "ip", "-j", "-s", "link", "show", "dev", "mpq1").stdout)
        return stats[0]["stats64"]["tx"]["dropped"]
    before, counted = dropped(), end.status()["drops"]["tun-overflow"]
    with open(f"/proc/{end.process.pid}/task/{end.process.pid}/children") as f:
        data_plane = int(f.read().split()[0])
    os.kill(data_plane, signal.SIGSTOP)
    try:
        site.exec("edge", "python3", "-c", BURST)
    finally:
        os.kill(data_plane, signal.SIGCONT)
    lost = dropped() - before
    assert lost > 500
    assert end.status()["drops"]["tun-overflow"] - counted == lost
    up(end)


def test_the_service_manager_is_told_the_state(site):
    """As sd_notify(3) has it, and with the source that the kernel has chosen for an unbound edge."""
    text = (EXAMPLES / "client" / "1.yaml").read_text()
    for old, new in (("mpq1", "mpq8"), ("10.200.1.1/30", "10.200.8.1/30"),
                     ("fd00:200:1::1", "fd00:200:8::1"), ("bind_ip: if:enp7s3\n", "")):
        assert old in text
        text = text.replace(old, new)
    config = site.state / "told.yaml"
    config.write_text(text)
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(site.state / "notify"))
    manager.settimeout(20)
    told = []
    place = site.directories("edge")["MPQUIC_RUN_DIR"] / "told.sock"
    place.mkdir()
    site.edge_end.stop()  # the hub of 1.yaml has room for one
    end = Tunnel(site, "edge", config, site.edge_end.etc)
    end.process = site.popen("edge", "env", f"NOTIFY_SOCKET={site.state}/notify", end.program,
                             "tunnel", "-c", config, log=end.log, etc=end.etc)
    try:
        while ["STATUS=up"] not in told:
            told.append(manager.recv(4096).decode().splitlines())
        # not ready without its control socket, whose place is taken
        assert ["READY=1"] not in told and end.ask("status", check=False).returncode == NOT_RUNNING
        place.rmdir()
        while ["READY=1"] not in told:
            told.append(manager.recv(4096).decode().splitlines())
        local = end.status()["paths"][0]["local"]
        assert re.fullmatch(r"10\.150\.1\.2:\d+", local), local
        assert end.stop() == 0
    finally:
        end.stop()
        manager.close()
        site.edge_end.start()
    up(site.edge_end)


def test_a_control_socket_that_was_removed_is_made_again(site):
    end = site.edge_end
    up(end)
    run = site.directories("edge")["MPQUIC_RUN_DIR"]
    shutil.rmtree(run)
    wait_until((run / "1.sock").exists, 20, "the socket is made again")
    assert end.status()["state"] == "up"
    assert "control: the socket of 1 was not there: made anew" in end.text()
    # another one in its place is not ours, and stays
    (run / "1.sock").rename(run / "ours.sock")
    (run / "1.sock").mkdir()
    wait_until(lambda: "control: no socket for 1" in end.text(), 20, "it is seen")
    (run / "1.sock").rmdir()
    wait_until((run / "1.sock").exists, 20, "the socket is made again")
    assert end.status()["state"] == "up"


def test_a_client_that_waits_tells_for_what(site):
    """The WAN loses its address: not up, and the reason names what is missing."""
    up(site.edge_end)
    site.exec("edge", "ip", "-4", "address", "flush", "dev", "enp7s3")

    def idle():
        result = site.edge_end.ask("status", "--json", check=False)
        s = json.loads(result.stdout)
        return (result.returncode, s) if s["state"] == "idle" else None
    code, s = wait_until(idle, 20, "the edge is idle")
    assert code == NOT_UP
    assert s["reason"] == "waiting: no IPv4 address on enp7s3"
    assert s["down_since"] and s["down_s"] >= 0
    assert s["paths"][0]["local"] == "" and s["paths"][0]["lanes"] == 0
    assert s["paths"][0]["interface"] == "enp7s3"
    assert s["tunnel"]["assigned"] == []
    text = site.edge_end.ask("status", check=False).stdout
    assert text.startswith("1: idle: waiting: no IPv4 address on enp7s3 for ")
    for command in ("address add 10.150.1.2/24 dev enp7s3",
                    "route replace default via 10.150.1.1 dev enp7s3 metric 101"):
        site.exec("edge", "ip", *command.split())
    reachable(site, "edge", "10.200.1.2")
    assert site.edge_end.ask("status").returncode == 0


def test_a_lost_hub_is_the_last_error(site):
    """The hub dies: the client tells that it is not up, why, and since when it knows."""
    site.hub_end.kill()

    def lost():
        result = site.edge_end.ask("status", "--json", check=False)
        s = json.loads(result.stdout)
        return (result.returncode, s) if s["state"] in ("pause", "connecting") else None
    code, s = wait_until(lost, 60, "the edge has noticed")
    assert code == NOT_UP and s["last_error"]["text"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", s["last_error"]["time"])
    dead = site.hub_end.ask("status", "--json", check=False)
    assert dead.returncode == NOT_RUNNING
    assert json.loads(dead.stdout) == {"instance": "1", "state": "not running"}
    listed = site.exec("hub", site.hub_end.program, "status", check=False)
    assert (listed.returncode, listed.stdout) == (NOT_RUNNING, "1: not running\n")
    site.hub_end.start()
    reachable(site, "edge", "10.200.1.2", timeout=60)
    assert site.hub_end.ask("status").returncode == 0
