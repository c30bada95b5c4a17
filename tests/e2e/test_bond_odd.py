"""A bond as nobody meant it: more paths than WANs, paths of both families, two machines with one
identity, processes that are killed, clocks that jump, configurations that are broken meanwhile.

    edge === wan1, wan2, wan3 === hub
"""
import os
import re
import signal

import pytest
from bond import HUB, Bond, path, plug, write_bond
from clock import DAY, Clock
from ends import family
from lab import Lab, wait_until
from traffic import ping
from tunnel import Site, Tunnel, reachable


@pytest.fixture(scope="module")
def lab(build, mpquic, lab_name):
    with Lab(lab_name, build=build, wans=3, lans=0, profiles=["bare"] * 3) as lab:
        lab.certificates = Site(lab)
        yield lab


def works(lab, bond, timeout=60):
    reachable(lab, "edge", HUB, timeout, (bond.edge, bond.hub))
    result = ping(lab, "edge", HUB, 20, 0.02)
    assert result.received == 20, result.text + bond.said()


def all_up(bond, timeout=60):
    bond.wait_states(timeout, **{name: "up" for name in bond.paths()})


# ---- paths ---------------------------------------------------------------------------------


def test_sixteen_paths_over_three_wans(lab):
    """Each is a path of its own, although several share a WAN, which the check warns of."""
    entries = [path(lab, 1 + n % 3) | {"name": f"p{n}"} for n in range(16)]
    with Bond(lab, lab.certificates, entries) as bond:
        works(lab, bond)
        all_up(bond)
        plug(lab, 1, False)
        try:
            bond.wait_states(**{f"p{n}": "idle" if n % 3 == 0 else "up" for n in range(16)})
            works(lab, bond)
        finally:
            plug(lab, 1)
        all_up(bond)
        works(lab, bond)
    write_bond(bond.edge.config, lab, entries + [path(lab, 1, name="p16")])
    said = lab.exec("edge", bond.edge.program, "check", bond.edge.config, check=False)
    assert said.returncode and "more than 16" in said.stdout + said.stderr


def test_paths_of_both_families_and_names(lab):
    """By address and by interface, to the hub's addresses of either family and to its name."""
    names = ["a", "1.2", "-", "fifteen.letters"]
    entries = [dict(name=names[0], bind_ip="10.150.1.2"),
               dict(name=names[1], bind_ip="2001:db8:2::2", remote_addr=lab.hub6),
               dict(name=names[2], bind_ip=f"if:{lab.wan_interface(3)}", remote_addr=lab.hub6),
               dict(name=names[3], bind_ip=f"if:{lab.wan_interface(3)}")]
    with Bond(lab, lab.certificates, entries, hub_keys={"bind_ip": None}) as bond:
        works(lab, bond)
        all_up(bond)
        paths = bond.paths()
        for name, (local, remote) in zip(names, [
                ("10.150.1.2:", lab.hub4), ("[2001:db8:2::2]:", lab.hub6),
                ("[2001:db8:3::2]:", lab.hub6), ("10.150.3.2:", lab.hub4)]):
            assert paths[name]["local"].startswith(local), paths[name]
            assert remote in paths[name]["remote"], paths[name]
        table = bond.edge.ask("paths").stdout
        assert all(re.search(rf"^  {re.escape(name)} +up ", table, re.M) for name in names), table


def test_no_path_has_an_interface(lab):
    """It waits, and says why."""
    entries = [dict(name=n, bind_ip=f"if:{n}") for n in ("lte0", "lte1")]
    with Bond(lab, lab.certificates, entries) as bond:
        bond.edge.wait_line("path lte1: waiting: no interface lte1")
        wait_until(lambda: "paths" in bond.edge.status(), 20, "it can be asked")
        bond.wait_states(lte0="idle", lte1="idle")
        status = bond.edge.status()
        assert (status["state"], status["reason"]) == ("idle", "waiting: no path has an address")
        assert {p["reason"] for p in bond.paths().values()} == {
            "waiting: no interface lte0", "waiting: no interface lte1"}


def test_one_path_has_a_port_where_nobody_is(lab):
    with Bond(lab, lab.certificates, [path(lab, 1), path(lab, 2, remote_port=9)]) as bond:
        works(lab, bond)
        bond.wait_states(wan1="up", wan2="pause|connecting")
        works(lab, bond)


# ---- identities ----------------------------------------------------------------------------


def test_two_machines_with_one_identity(lab):
    """They take the session from each other, at a bounded pace; it is said everywhere, and the one
    that remains has it for good."""
    with Bond(lab, lab.certificates) as bond:
        works(lab, bond)
        all_up(bond)
        keys = write_bond(lab.state / "twin.yaml", lab,
                          [dict(name="eth", bind_ip="if:eth0"), dict(name="any", bind_ip="0.0.0.0")],
                          instance_id="mpqb")
        twin = Tunnel(lab, "inet", keys, lab.certificates.etc["edge"])
        twin.log.unlink(missing_ok=True)
        with twin:
            twin.wait_line("tunnel: up")
            bond.hub.wait_line(r"peer edge/mpqb: its place was taken \d+ times in a row", 120)
            bond.edge.wait_line("another machine or instance uses our certificate", 60)
            assert bond.edge.running() and twin.running()
            ups = len(re.findall("tunnel: up", bond.edge.text()))
            assert ups < 30, bond.said()
        works(lab, bond)
        all_up(bond)
    lab.exec("inet", "ip", "link", "delete", "mpqb", check=False)


# ---- processes and clocks --------------------------------------------------------------------


@pytest.mark.parametrize("end", ["edge", "hub"])
@pytest.mark.parametrize("which", [0, 1], ids=["helper", "data plane"])
def test_killed_in_the_middle(lab, end, which):
    """Neither process outlives the other; what comes after finds everything as it needs it."""
    with Bond(lab, lab.certificates) as bond:
        works(lab, bond)
        all_up(bond)
        killed = getattr(bond, end)
        processes = family(killed.process.pid)
        os.kill(processes[which], signal.SIGKILL)
        wait_until(lambda: not any(os.path.exists(f"/proc/{p}") for p in processes[1:]), 10,
                   "both are gone")
        killed.process.wait(10)
        killed.start()
        works(lab, bond)
        all_up(bond)


def test_the_clock_jumps(lab):
    clock = Clock(lab.state)
    with clock:
        with Bond(lab, lab.certificates) as bond:
            works(lab, bond)
            all_up(bond)
            for shift in (10 * DAY, -3000 * DAY, 0):
                clock.set(shift)
                works(lab, bond)
                bond.edge.ask("paths")
                bond.hub.ask("peers")
            assert len(re.findall("tunnel: up", bond.edge.text())) == 1, bond.said()


# ---- configurations --------------------------------------------------------------------------


def test_reloads_in_the_middle(lab):
    """Whatever stands in the file while it connects, loses a WAN and gets it back."""
    with Bond(lab, lab.certificates) as bond:
        good = bond.edge.config.read_text()
        broken = [good.replace("multipath_policy", "multipath_polic"), good[:len(good) // 2], "",
                  good + "mtu: 1\n", good.replace("role: client", "role: server"), "\0" * 100,
                  good + "log_level: debug\n" * 2, good + "# " + "x" * 2000000 + "\n"]
        wait_until(lambda: bond.edge.ask("reload", check=False).returncode == 0, 20,
                   "it has read its file and takes requests")
        for n in range(60):
            bond.edge.config.write_text(broken[n // 2 % len(broken)] if n % 2 else good)
            bond.edge.ask("reload", check=False)
            if n in (20, 40):
                plug(lab, 2, n == 40)
        bond.edge.config.write_text(good)
        assert "unchanged" in bond.edge.ask("reload").stdout
        works(lab, bond)
        all_up(bond)
        assert bond.edge.ask("reload").returncode == 0
