"""An edge with three WANs: packets take the one that they are meant for, traces play, MPTCP uses all.
The speed of this machine decides nothing."""
import subprocess
import sys

import pytest
import uplinks
from lab import LINKS, Lab, LabError, wait_until

PERFECT = "rate=0 delay=0ms jitter=0ms queue=0 mtu=0 loss=0 burst=0 reorder=0 down=0 cut=0"


@pytest.fixture(scope="module")
def lab(build, lab_name):
    with Lab(lab_name, build=build, wans=3, lans=0, profiles=["bare"] * 3) as lab:
        uplinks.route(lab)
        for i in lab.each_wan():
            lab.exec("edge", "ping", "-c", "2", "-i", "0.05", "-I", uplinks.address(i), lab.hub4)
        yield lab


@pytest.fixture
def wans(lab):
    wans = [lab.wan(i) for i in lab.each_wan()]
    for wan in wans:
        wan.command("stop")
        wan.set("both", PERFECT)
        wan.reset()
    yield wans


def packets(wans):
    return [min(w.get()[d]["out_packets"] for d in ("up", "down")) for w in wans]


def test_each_address_has_its_wan(lab, wans):
    for i in lab.each_wan():
        before = packets(wans)
        lab.exec("edge", "ping", "-c", "20", "-i", "0.01", "-I", uplinks.address(i), lab.hub4)
        through = [b - a for a, b in zip(before, packets(wans))]
        assert through[i - 1] >= 20
        assert max(n for k, n in enumerate(through, 1) if k != i) <= 4  # neighbours, at most


def test_every_cell_of_the_matrix_can_be_played(lab, wans):
    cells = uplinks.cells()
    assert len(cells) >= 12
    for links in cells.values():
        uplinks.play(lab, links, start=3)
        for i, link in enumerate(links, 1):
            seen = lab.wan(i).get()
            assert seen["trace"]["steps"] >= 1
            assert seen["trace"]["elapsed_us"] >= 3000000
            assert seen["down"]["rate_bps"] > 0, link


def test_a_trace_goes_on_by_itself(lab, wans):
    wan = wans[0]
    wan.play("lte", start=20)
    first = wan.get()
    rates = {first["down"]["rate_bps"]}

    def moved():
        seen = wan.get()
        rates.add(seen["down"]["rate_bps"])
        return seen["trace"]["step"] >= first["trace"]["step"] + 12
    wait_until(moved, 20, "twelve steps of the trace")
    assert len(rates) > 4
    wan.command("stop")
    assert wan.get()["trace"] is None


def test_a_cut_outlives_the_steps_of_a_trace(lab, wans):
    wan = wans[1]
    wan.play("lte", start=20)
    wan.cut()
    step = wan.get()["trace"]["step"]
    wait_until(lambda: wan.get()["trace"]["step"] > step + 2, 20, "the next steps")
    assert not lab.exec("edge", "ping", "-c", "2", "-i", "0.05", "-W", "1", "-I", uplinks.address(2),
                        lab.hub4, check=False).returncode == 0
    assert wan.get()["up"]["drop_down"] >= 2
    wan.cut(False)
    lab.exec("edge", "ping", "-c", "1", "-W", "5", "-I", uplinks.address(2), lab.hub4)


def test_a_wrong_trace_changes_nothing(lab, wans, tmp_path):
    bad = tmp_path / "bad.link"
    bad.write_text("0s both rate=1m queue=10k\n5s up rate=fast\n")
    wans[0].play("fibre")
    for path, said in ((bad, "bad.link:2"), (tmp_path / "none", "No such file")):
        with pytest.raises(LabError, match=said):
            wans[0].command(f"play {path}")
    assert wans[0].get()["down"]["rate_bps"] == 100000000


def test_mptcp_uses_every_wan(lab, wans):
    assert uplinks.has_mptcp(lab), "Debian's kernels have MPTCP"
    uplinks.mptcp(lab)
    for wan in wans:
        wan.set("both", "rate=20m delay=5ms queue=40ms")
        wan.reset()
    server = uplinks.Flows(lab, mptcp=True)
    try:
        seen = server.run("edge", lab.hub4, flows=1, seconds=2, down=True)
    finally:
        server.stop()
    assert seen["subflows"] == 3
    assert len(seen["bins"]) == 2 and seen["bits_per_second"] > 1e6
    assert all(wan.get()["down"]["out_bytes"] > 200000 for wan in wans)


def test_flows_of_tcp_are_counted_where_they_arrive(lab, wans):
    wans[2].set("both", "rate=20m delay=5ms queue=40ms")
    server = uplinks.Flows(lab)
    try:
        for down in (True, False):
            seen = server.run("edge", lab.hub4, flows=3, seconds=2, bind=uplinks.address(3), down=down)
            assert 1e6 < seen["bits_per_second"] <= 20e6
            assert seen["subflows"] is None
    finally:
        server.stop()


def test_the_generated_links_are_what_their_program_makes():
    subprocess.run([sys.executable, LINKS / "make.py", "--check"], check=True)
