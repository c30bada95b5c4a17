"""One session over three WANs: it starts with any of them, and takes the others when they come. What
is said is counted in packets; the speed of this machine decides nothing."""
import contextlib
import json
import re

import ends
import pytest
from bond import HUB, Bond, path, plug, write_bond
from lab import Lab
from traffic import ping
from tunnel import Site, reachable


@pytest.fixture(scope="module")
def lab(build, mpquic, lab_name):
    with Lab(lab_name, build=build, wans=3, lans=0, profiles=["bare"] * 3) as lab:
        lab.certificates = Site(lab)
        yield lab


@pytest.fixture(autouse=True)
def every_wan(lab):
    yield
    for i in lab.each_wan():
        lab.wan(i).cut(False)
        plug(lab, i)


@contextlib.contextmanager
def running(lab, entries=None, **more):
    with Bond(lab, lab.certificates, entries, **more) as bond:
        reachable(lab, "edge", HUB, 60, (bond.edge, bond.hub))
        yield bond


def all_up(bond):
    bond.wait_states(**{name: "up" for name in bond.paths()})


def works(lab):
    assert ping(lab, "edge", HUB, 20, 0.02).received == 20


def test_each_path_is_told_of(lab):
    with running(lab) as bond:
        all_up(bond)
        status = bond.edge.status()
        assert status["state"] == "up"
        for i, p in enumerate(status["paths"], 1):
            assert p["name"] == f"wan{i}"
            assert p["interface"] == lab.wan_interface(i)
            assert p["local"].startswith(f"10.150.{i}.2:")
            assert p["lanes"] >= 1
            assert [step["state"] for step in p["history"][:2]] == ["up", "connecting"]
        table = bond.edge.ask("paths").stdout
        for i in lab.each_wan():
            assert re.search(rf"^  wan{i} +up ", table, re.M), table
        told = json.loads(bond.edge.ask("paths", "--json").stdout)
        assert [p["name"] for p in told["paths"]] == ["wan1", "wan2", "wan3"]
        assert bond.hub.ask("paths", check=False).returncode == 2
        works(lab)


def test_telemetry_has_a_line_for_each_path(lab):
    with running(lab, telemetry_interval=1) as bond:
        all_up(bond)
        for i in lab.each_wan():
            bond.edge.wait_line(rf"path telemetry wan{i}: up, .*rtt .*lost 0")


@pytest.mark.parametrize("there", [(1,), (2,), (3,), (1, 3), (2, 3)])
def test_any_of_them_is_enough_to_start(lab, there):
    for i in lab.each_wan():
        if i not in there:
            plug(lab, i, False)
    with running(lab) as bond:
        bond.wait_states(**{f"wan{i}": "up" if i in there else "idle" for i in lab.each_wan()})
        for p in bond.paths().values():
            if p["state"] == "idle":
                assert p["reason"] == f"waiting: no carrier on {p['interface']}"
        works(lab)
        for i in lab.each_wan():
            plug(lab, i)
        all_up(bond)
        works(lab)


def test_a_vanished_interface_is_bound_again(lab):
    """Another interface of the same name takes its place; the others never stop."""
    with running(lab, [path(lab, 1), dict(name="lte", bind_ip="if:lte0")]) as bond:
        bond.wait_states(wan1="up", lte="idle")
        assert bond.paths()["lte"]["reason"] == "waiting: no interface lte0"
        for _ in range(2):
            ends.modem(lab)
            bond.wait_states(wan1="up", lte="up")
            works(lab)
            lab.exec("edge", "ip", "link", "del", "lte0")
            bond.wait_states(wan1="up", lte="idle")
            works(lab)


def test_reload_names_what_it_cannot_change(lab):
    with running(lab) as bond:
        all_up(bond)
        write_bond(bond.edge.config, lab, [path(lab, i) for i in (1, 2)])
        said = bond.edge.ask("reload", check=False)
        assert said.returncode and "multipath_paths" in said.stdout + said.stderr
        assert len(bond.paths()) == 3
        works(lab)
