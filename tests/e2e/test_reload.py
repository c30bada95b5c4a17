"""A changed configuration, and changed files, while the tunnels run.

    edge === wan1 === hub
         === wan2 ===
"""
import json
import os
import re
import shutil

import pytest
from certs import Authority
from lab import Lab, wait_until
from traffic import parse_ping, ping
from tunnel import Site, Tunnel, client_keys, reachable, server_keys, write_config

CONFIG, RESTART_NEEDED, CERT_REVOKED = 1, 5, 27
NETWORK4, NETWORK6 = "10.200.10.254/24", "fd00:200:10::fe/64"


def is_up(end):
    def up():
        assert end.running(), end.text()
        result = end.ask("status", "--json", check=False)
        return json.loads(result.stdout)["state"] == "up"
    wait_until(up, 30, f"{end.config.stem} is up:\n{end.text()}")


@pytest.fixture(scope="module")
def site(build, mpquic, lab_name):
    """One hub for many, two edges with certificates of their own: edge on WAN 1, edge2 on WAN 2."""
    with Lab(lab_name, build=build, wans=2, profiles=["bare", "bare"]) as lab:
        s = Site(lab)
        s.authority.issue("edge2", "edge2")
        s.etc["edge2"] = s.make_etc("edge2")
        shutil.copy(s.authority.revoke(), s.etc["hub"] / "mpquic/tls/ca.crl")
        s.keys = {
            "hub": server_keys(1, multi_conn_enabled=True, tun_cidr=[NETWORK4, NETWORK6],
                               tls_crl_file="/etc/mpquic/tls/ca.crl", peer_prefixes=None,
                               remote_port=45010, tun_name="mt1"),
            "edge": client_keys(1, lab.hub4, remote_port=45010,
                                tun_cidr=["10.200.10.1/24", "fd00:200:10::1/64"]),
            "edge2": client_keys(2, lab.hub4, remote_port=45010,
                                 tun_cidr=["10.200.10.2/24", "fd00:200:10::2/64"],
                                 tls_cert_file="/etc/mpquic/tls/edge2.crt",
                                 tls_key_file="/etc/mpquic/tls/edge2.key"),
        }
        for name, node in (("hub", "hub"), ("edge", "edge"), ("edge2", "edge")):
            file = lab.state / f"{name}.yaml"
            write_config(file, **s.keys[name])
            setattr(s, name, Tunnel(lab, node, file, s.etc[name]).start())
        s.ends = [s.hub, s.edge, s.edge2]
        for i, end in ((1, s.edge), (2, s.edge2)):  # both are one node with one network
            is_up(end)
            lab.exec("edge", "ip", "rule", "add", "priority", f"20{i}", "from", f"10.200.10.{i}",
                     "lookup", f"20{i}")
            lab.exec("edge", "ip", "route", "add", "10.200.10.0/24", "dev", f"mpq{i}", "table",
                     f"20{i}")
            reachable(lab, "hub", f"10.200.10.{i}", ends=s.ends)
        yield s


def write(site, name, **changes):
    """The file as it was at the beginning, but for the changes."""
    end = getattr(site, name)
    new = end.config.with_suffix(".new")
    write_config(new, **(site.keys[name] | changes))
    new.rename(end.config)


def reload(end):
    result = end.ask("reload", "--json", check=False)
    return result.returncode, json.loads(result.stdout)


@pytest.fixture(autouse=True)
def as_it_was(site):
    """Every test begins and ends with the configuration of the beginning in force."""
    yield
    for name in ("hub", "edge"):
        write(site, name)
        code, outcome = reload(getattr(site, name))
        assert code == 0, outcome


def steady(site):
    """What shows that no session was dropped: since when each peer is connected, and from where."""
    return {p["name"]: (p["since"], p["remote"]) for p in site.hub.status()["peers"]}


def same_sessions(before, after):
    """A second's difference is rounding."""
    assert before.keys() == after.keys()
    assert all(before[k][1] == after[k][1] for k in before)


class Pinging:
    """Pings from the hub to an edge for as long as the block lasts; none may be lost."""

    def __init__(self, site, target, interval="0.02"):
        self.lab, self.target, self.interval = site.lab, target, interval
        self.log = site.lab.state / "pinging.log"

    def __enter__(self):
        self.log.unlink(missing_ok=True)
        self.process = self.lab.popen("hub", "ping", "-n", "-i", self.interval, "-W", "2", self.target,
                                      log=self.log)
        wait_until(lambda: "time=" in self.log.read_text(), 20, "the first ping is answered")
        return self

    def __exit__(self, kind, *_):
        self.lab.stop(self.process, sig=2)
        if kind:
            return
        result = parse_ping(self.log.read_text())
        # The last one may be on its way when ping is stopped.
        assert result.sent - result.received <= 1, result.text[-500:]
        assert not re.search(r"Unreachable|errors", result.text)
        assert result.sent >= 20


def test_nothing_has_changed(site):
    for end in site.ends:
        code, outcome = reload(end)
        assert (code, outcome["result"], outcome["changed"]) == (0, "unchanged", [])


def test_a_warning_is_no_error(site):
    before = site.hub.status()["last_error"]
    prefixes = list(site.keys["hub"].get("peer_prefixes") or ["172.31.7.0/24"])
    write(site, "hub", peer_prefixes=prefixes + prefixes[:1])
    code, outcome = reload(site.hub)
    assert code == 0 and any("warning" in p for p in outcome["problems"]), outcome
    assert site.hub.status()["last_error"] == before


def test_two_hundred_reloads_lose_no_packet(site):
    before = steady(site)
    with Pinging(site, "10.200.10.1") as p:
        for i in range(100):
            write(site, "hub", log_level="info", peer_prefixes=["172.30.0.0/16"][:i % 2] or None,
                  max_peers=100 + i, mtu=1300 + i % 2)
            assert reload(site.hub)[1]["result"] == "applied"
            write(site, "edge", mtu=1290 + i % 2, routes=["172.31.0.0/16"][:i % 2] or None)
            assert reload(site.edge)[1]["result"] == "applied"
    same_sessions(before, steady(site))
    assert site.hub.status()["tunnel"]["mtu_bytes"] == 1301
    assert all(end.running() for end in site.ends)


def test_a_key_that_needs_a_restart_is_named_and_nothing_changes(site):
    before, mtu = steady(site), site.hub.status()["tunnel"]["mtu_bytes"]
    write(site, "hub", tun_name="mt9", remote_port=45011, mtu=1333)
    code, outcome = reload(site.hub)
    assert (code, outcome["result"]) == (RESTART_NEEDED, "restart-needed")
    assert sorted(outcome["restart"]) == ["remote_port", "tun_name"]
    assert sorted(outcome["changed"]) == ["mtu", "remote_port", "tun_name"]
    said = site.hub.ask("reload", check=False)
    assert said.returncode == RESTART_NEEDED
    assert "restart the instance to apply: systemctl restart mpquic@hub" in said.stderr
    assert "tun_name" in said.stderr
    after = site.hub.status()
    assert after["tunnel"]["mtu_bytes"] == mtu and after["tunnel"]["interface"] == "mt1"
    assert after["last_error"]["text"].startswith("reload: ")
    same_sessions(before, steady(site))
    assert ping(site.lab, "hub", "10.200.10.1", 3, 0.05).received == 3


def test_a_broken_file_changes_nothing(site):
    before, mtu = steady(site), site.hub.status()["tunnel"]["mtu_bytes"]
    text = site.hub.config.read_text()
    site.hub.config.write_text(text + "mtu: 99\nlog_levle: debug\n")
    line = text.count("\n") + 1
    result = site.hub.ask("reload", check=False)
    assert result.returncode == CONFIG
    assert f"{site.hub.config}:{line}:6: error: " in result.stderr
    assert f"{site.hub.config}:{line + 1}:1: error: " in result.stderr
    assert "hub: invalid: " in result.stderr
    assert site.hub.status()["tunnel"]["mtu_bytes"] == mtu
    site.hub.config.unlink()
    result = site.hub.ask("reload", check=False)
    assert result.returncode == CONFIG and "cannot read" in result.stderr
    same_sessions(before, steady(site))
    assert site.hub.status()["last_error"]["text"].startswith("reload: ")
    write(site, "hub")
    assert reload(site.hub)[0] == 0
    assert not (site.hub.status()["last_error"] or {"text": ""})["text"].startswith("reload: ")


def test_a_hangup_signal_reloads(site):
    write(site, "hub", mtu=1317)
    site.hub.process.send_signal(1)
    site.hub.wait_line(r"^reload: applied$")
    wait_until(lambda: site.hub.status()["tunnel"]["mtu_bytes"] == 1317, 10, "the MTU is 1317")
    assert "reload: changed: mtu" in site.hub.text()


def test_routes_follow_the_configuration(site):
    def routes():
        return site.lab.exec("edge", "ip", "route", "show", "dev", "mpq1", "proto", "109").stdout
    write(site, "edge", routes=["172.31.0.0/16"])
    assert reload(site.edge)[0] == 0
    assert "172.31.0.0/16" in routes()
    write(site, "edge", routes=["172.29.0.0/16"])
    assert reload(site.edge)[0] == 0
    assert "172.31.0.0/16" not in routes() and "172.29.0.0/16" in routes()


def many_peers(first):
    """1,024 peers with 16 prefixes each: 10.FIRST.0.0/28 and on."""
    lines = ["peers:"]
    for i in range(1024):
        prefixes = [f"10.{first + i // 256}.{i % 256}.{16 * j}/28" for j in range(16)]
        lines.append(f"  - name: far{i}\n    prefixes: [{', '.join(prefixes)}]")
    return "\n".join(lines) + "\n"


def our_routes(site):
    shown = site.lab.exec("hub", "ip", "route", "show", "dev", "mt1", "proto", "109").stdout
    return len(shown.splitlines())


def test_sixteen_thousand_routes_change_and_packets_flow(site):
    """The TUN's queue holds half a second of the pings, so one that stands still loses some."""
    site.lab.exec("hub", "ip", "link", "set", "mt1", "txqueuelen", "250")
    with Pinging(site, "10.200.10.1", interval="0.002"):
        for first in (100, 110):
            write(site, "hub")
            with site.hub.config.open("a") as file:
                file.write(many_peers(first))
            code, outcome = reload(site.hub)
            assert (code, outcome["result"]) == (0, "applied"), outcome
            wait_until(lambda: site.hub.text().count("added 16384 routes") == 1 + first // 110, 60,
                       "the routes are there")
            assert our_routes(site) == 16384
            assert f"10.{first + 3}.255.240/28 " in site.lab.exec(
                "hub", "ip", "route", "show", f"10.{first + 3}.255.240/28").stdout
        write(site, "hub")
        assert reload(site.hub)[0] == 0
        wait_until(lambda: not our_routes(site), 60, "the routes are gone")
    site.hub.stop()
    write(site, "hub")
    with site.hub.config.open("a") as file:
        file.write(many_peers(100))
    site.hub.log.unlink()
    site.hub.start()
    site.hub.wait_line("udp .*: listening")
    assert our_routes(site) == 16384
    never = [a["name"] for a in site.hub.status()["absent"] if a["last_seen"] is None]
    assert sorted(never) == sorted(f"far{i}" for i in range(1024))
    for i, end in ((1, site.edge), (2, site.edge2)):
        is_up(end)
        reachable(site.lab, "hub", f"10.200.10.{i}", ends=site.ends)


def test_a_fixed_address_reaches_a_running_edge(site):
    """An edge without addresses of its own has one of the pool; the hub then fixes another one."""
    config = site.lab.state / "edge3.yaml"
    write_config(config, **(site.keys["edge2"] | dict(tun_name="mpq3", tun_cidr=None)))
    edge = Tunnel(site.lab, "edge", config, site.etc["edge2"]).start()
    try:
        is_up(edge)
        assigned = wait_until(lambda: edge.status()["tunnel"]["assigned"], 20, "it has addresses")
        assert "10.200.10.50/32" not in assigned
        before = steady(site)
        write(site, "hub")
        with site.hub.config.open("a") as f:
            f.write("peers:\n  - name: edge2\n    instance_id: mpq3\n"
                    "    addresses: 10.200.10.50\n")
        assert reload(site.hub)[1]["result"] == "applied"
        wait_until(lambda: "10.200.10.50/32" in edge.status()["tunnel"]["addresses"], 30,
                   f"it has the fixed address:\n{edge.text()}")
        assert edge.running() and len(edge.status()["tunnel"]["addresses"]) == 2
        assert steady(site)["edge"][1] == before["edge"][1]
    finally:
        edge.stop()


def replace(directory, file, source):
    """As a careful tool does: a new file takes the old one's name."""
    new = directory / f"{file}.new"
    shutil.copy(source, new)
    new.rename(directory / file)


def serial(end):
    return end.status()["certificate"]["serial"]


def test_a_certificate_is_replaced_under_live_sessions(site):
    """By command: new handshakes get the new one, sessions stay."""
    tls = site.etc["hub"] / "mpquic/tls"
    before, old = steady(site), serial(site.hub)
    cert, key = site.authority.issue("server", "hub", server=True, hosts=[site.lab.hub4])
    replace(tls, "server.crt", cert)
    replace(tls, "server.key", key)
    with Pinging(site, "10.200.10.1"):
        code, outcome = reload(site.hub)
        assert ping(site.lab, "hub", "10.200.10.1", 20, 0.02).received == 20
    # The file watch may have been faster.
    assert code == 0 and set(outcome["changed"]) <= {"contents of tls_cert_file",
                                                     "contents of tls_key_file"}
    new = wait_until(lambda: serial(site.hub) != old and serial(site.hub), 30, "a new serial number")
    assert site.edge.status()["server"]["certificate"]["serial"] == old
    same_sessions(before, steady(site))
    assert site.edge.stop() == 0
    site.edge.start()
    reachable(site.lab, "hub", "10.200.10.1", ends=site.ends)
    wait_until(lambda: site.edge.status()["server"]["certificate"], 20, "the edge is up")
    assert site.edge.status()["server"]["certificate"]["serial"] == new


def test_a_restart_with_another_key_resets_who_is_connected(site):
    """The connection is older than the key; the hub that knows only this one ends it nevertheless,
    before the edge's idle timeout."""
    tls = site.etc["hub"] / "mpquic/tls"
    cert, key = site.authority.issue("server", "hub", server=True, hosts=[site.lab.hub4])
    replace(tls, "server.crt", cert)
    replace(tls, "server.key", key)
    assert reload(site.hub)[0] == 0
    reachable(site.lab, "hub", "10.200.10.1", ends=site.ends)
    site.edge.log.write_text("")
    site.hub.kill()
    site.hub.start()
    site.edge.wait_line("the peer has forgotten the connection", 60)
    for i, end in ((1, site.edge), (2, site.edge2)):
        is_up(end)
        reachable(site.lab, "hub", f"10.200.10.{i}", ends=site.ends)


def test_a_broken_certificate_is_reported_once_and_the_old_one_stays(site):
    """Without a command: found by looking, and so is the repair."""
    tls = site.etc["hub"] / "mpquic/tls"
    before, old = steady(site), serial(site.hub)
    (tls / "broken").write_text("this is not a certificate\n")
    replace(tls, "server.crt", tls / "broken")
    wait_until(lambda: "cannot be used" in ((site.hub.status()["last_error"] or {}).get("text", "")),
               60, f"the broken file is noticed:\n{site.hub.text()}")
    assert serial(site.hub) == old
    same_sessions(before, steady(site))
    assert ping(site.lab, "hub", "10.200.10.1", 3, 0.05).received == 3
    result = site.hub.ask("reload", check=False)
    assert "tls_cert_file" in result.stderr or result.returncode == 0
    cert, key = site.authority.issue("server", "hub", server=True, hosts=[site.lab.hub4])
    replace(tls, "server.key", key)
    replace(tls, "server.crt", cert)
    wait_until(lambda: serial(site.hub) != old, 60, f"it is taken:\n{site.hub.text()}")
    lines = [x for x in site.hub.text().splitlines() if "a replaced file cannot be used" in x]
    assert len(lines) == 1, lines
    same_sessions(before, steady(site))


def test_revocation_closes_the_one_who_is_revoked(site):
    """The list is replaced, and found without a command: edge2 goes, and is told why; edge stays."""
    before = steady(site)
    assert set(before) == {"edge", "edge2"}
    with Pinging(site, "10.200.10.1"):
        replace(site.etc["hub"] / "mpquic/tls", "ca.crl", site.authority.revoke("edge2"))
        assert site.edge2.wait_exit(60) == CERT_REVOKED, site.edge2.text()
        after = wait_until(lambda: (s := steady(site)) and set(s) == {"edge"} and s, 20,
                           f"edge alone is a peer:\n{site.hub.text()}")
        assert after["edge"][1] == before["edge"][1]
        site.edge2.log.unlink()
        site.edge2.start()
        assert site.edge2.wait_exit(60) == CERT_REVOKED, site.edge2.text()
    # The list is renewed without it: it may come again.
    replace(site.etc["hub"] / "mpquic/tls", "ca.crl", site.authority.revoke())
    assert reload(site.hub)[0] == 0
    site.edge2.start()
    is_up(site.edge2)
    assert steady(site)["edge"][1] == before["edge"][1]


def test_a_client_that_is_allowed_no_longer_is_closed(site):
    before = steady(site)
    write(site, "hub", allowed_clients=["edge"])
    assert reload(site.hub)[1]["changed"] == ["allowed_clients"]
    after = wait_until(lambda: (s := steady(site)) and set(s) == {"edge"} and s, 20,
                       f"edge alone is a peer:\n{site.hub.text()}")
    assert after["edge"][1] == before["edge"][1]
    site.edge2.wait_exit(60)
    write(site, "hub")
    assert reload(site.hub)[0] == 0
    site.edge2.start()
    is_up(site.edge2)


def test_a_hub_of_another_authority_is_not_taken(site):
    """A reload that names files which do not belong together changes nothing."""
    other = Authority(site.lab.state / "other-ca", "another authority")
    cert, key = other.issue("server", "hub", server=True, hosts=[site.lab.hub4])
    tls = site.etc["hub"] / "mpquic/tls"
    shutil.copy(key, tls / "other.key")
    before = steady(site)
    write(site, "hub", tls_key_file="/etc/mpquic/tls/other.key")
    code, outcome = reload(site.hub)
    assert (code, outcome["result"]) == (CONFIG, "invalid")
    assert any("other.key" in p or "server.crt" in p for p in outcome["problems"])
    same_sessions(before, steady(site))


def test_the_same_fault_has_the_same_words(site):
    """What check says of a file is what reload says, line by line; and neither waits for a FIFO."""
    tls, config = site.etc["hub"] / "mpquic/tls", site.hub.config
    before = steady(site)
    (tls / "empty").write_text("")
    other = Authority(site.lab.state / "third-ca", "a third authority")
    shutil.copy(other.issue("server", "hub", server=True, hosts=[site.lab.hub4])[1],
                tls / "third.key")

    def fifo():
        config.unlink()
        os.mkfifo(config)

    def big():
        config.write_text("#" * (2 << 20))

    faults = [fifo, big, config.unlink, lambda: write(site, "hub", mtu="12", tun_nam="x"),
              lambda: write(site, "hub", tls_crl_file="/etc/mpquic/tls/none"),
              lambda: write(site, "hub", tls_crl_file="/etc/mpquic/tls"),
              lambda: write(site, "hub", tls_ca_file="/etc/mpquic/tls/empty"),
              lambda: write(site, "hub", tls_key_file="/etc/mpquic/tls/third.key")]
    for fault in faults:
        fault()
        checked = site.lab.exec("hub", site.hub.program, "check", config, check=False,
                                etc=site.etc["hub"])
        code, outcome = reload(site.hub)
        assert (checked.returncode, code, outcome["result"]) == (CONFIG, CONFIG, "invalid")
        assert checked.stdout.splitlines() == outcome["problems"], outcome
        assert all(": error: " in line for line in outcome["problems"])
        write(site, "hub")
    same_sessions(before, steady(site))
