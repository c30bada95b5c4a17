"""One session over three WANs: it starts with any of them, goes on over the rest when one is
unplugged or says nothing any more, and takes it back; beside it, single-path instances over the same
WANs. What is said is counted in packets; the speed of this machine decides nothing."""
import contextlib
import json
import re
import threading

import ends
import pytest
from bond import HUB, Bond, path, plug, write_bond
from lab import Lab, LabError, wait_until
from traffic import Iperf, ping
from tunnel import Site, Tunnel, client_keys, reachable, server_keys, write_config


@pytest.fixture(scope="module")
def lab(build, mpquic, lab_name):
    with Lab(lab_name, build=build, wans=3, lans=0, profiles=["bare"] * 3) as lab:
        lab.certificates = Site(lab)
        yield lab


PROHIBITED = 100  # priority of the rules that refuse


def black_hole(lab, i, there):
    lab.wan(i).cut(not there)


def one_way(lab, i, there):
    """What the hub sends over it does not arrive."""
    lab.wan(i).set("down", f"cut={int(not there)}")


def refused(lab, i, there):
    """The edge's kernel will not send over it, though it is there."""
    rule = ["priority", str(PROHIBITED + i), "oif", lab.wan_interface(i), "prohibit"]
    lab.exec("edge", "ip", "rule", "del", *rule, check=False)
    if not there:
        lab.exec("edge", "ip", "rule", "add", *rule)


def loses_much(lab, i, there):
    lab.wan(i).set("both", f"loss={0 if there else 40}%")


WAYS = [plug, black_hole, one_way, refused, loses_much]


@pytest.fixture(autouse=True)
def every_wan(lab):
    yield
    for i in lab.each_wan():
        for way in WAYS:
            way(lab, i, True)
    lab.exec("edge", "ip", "link", "del", "lte0", check=False)


@contextlib.contextmanager
def running(lab, entries=None, **more):
    with Bond(lab, lab.certificates, entries, **more) as bond:
        reachable(lab, "edge", HUB, 60, (bond.edge, bond.hub))
        yield bond


def all_up(bond):
    bond.wait_states(**{name: "up" for name in bond.paths()})


def works(lab):
    assert ping(lab, "edge", HUB, 20, 0.02).received == 20


class Stream:
    """Pings through the tunnel, 50 a second, while the block runs; then how many were lost."""

    def __init__(self, lab, seconds, options=()):
        self.thread = threading.Thread(target=lambda: setattr(
            self, "result", ping(lab, "edge", HUB, seconds * 50, 0.02, options)))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.thread.join()

    def lost(self):
        return self.result.sent - self.result.received


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


def test_without_any_it_waits_and_the_service_stays(lab):
    with running(lab) as bond:
        all_up(bond)
        address = lab.exec("edge", "ip", "-br", "address", "show", "dev", "mpqb").stdout
        for i in lab.each_wan():
            plug(lab, i, False)
        bond.wait_states(wan1="idle", wan2="idle", wan3="idle")
        assert bond.edge.status()["state"] == "idle"
        assert lab.exec("edge", "ip", "-br", "address", "show", "dev", "mpqb").stdout == address
        plug(lab, 2)
        bond.wait_states(wan1="idle", wan2="up", wan3="idle")
        reachable(lab, "edge", HUB, 30, (bond.edge, bond.hub))
        works(lab)


def carried(lab, i):
    """Bytes that the edge has sent over WAN i."""
    said = lab.exec("edge", "ip", "-j", "-s", "link", "show", "dev", lab.wan_interface(i)).stdout
    return json.loads(said)[0]["stats64"]["tx"]["bytes"]


def sent_meanwhile(lab, seconds, options=()):
    before = [carried(lab, i) for i in lab.each_wan()]
    with Stream(lab, seconds, options) as stream:
        pass
    assert stream.lost() == 0, stream.result.text
    return [carried(lab, i) - b for i, b in zip(lab.each_wan(), before)]


def busiest(lab):
    """The WAN that carries what the edge sends now."""
    sent = sent_meanwhile(lab, 1)
    return 1 + sent.index(max(sent))


def went_through(bond, name, states):
    """The history of a path tells of these states, the last one first, each with its reason."""
    said = [(step["state"], step["reason"]) for step in bond.paths()[name]["history"]]
    seen = [state for state, _ in said]
    assert seen[0] == "up" and states & set(seen), said
    assert all(reason for state, reason in said if state in states), said
    table = bond.edge.ask("paths").stdout
    assert any(re.search(rf"^.*{name}.* {state}", table, re.M) for state in states), table


# What a path is then, if nothing else befalls it.
THEN = {plug: {"idle"}, black_hole: {"suspect"}, one_way: {"suspect"},
        refused: {"suspect", "pause", "idle"}}
POLICIES = ["bond", "balanced", "priority", "failover", "lowest-latency"]


@pytest.mark.parametrize("policy, what",
                         [(policy, what) for policy in POLICIES
                          for what in (plug, black_hole, refused)]
                         + [("bond", one_way), ("failover", one_way)])
def test_the_flow_goes_on_over_the_rest(lab, policy, what):
    """The WAN that carries fails, and comes back."""
    entries = [path(lab, i, priority=i) for i in lab.each_wan()]
    with running(lab, entries, multipath_policy=policy) as bond:
        all_up(bond)
        gone = busiest(lab)
        states = dict.fromkeys(bond.paths(), "up")
        with Stream(lab, 6) as stream:
            what(lab, gone, False)
            bond.wait_states(**states | {f"wan{gone}": "(?!up).*"})
        assert stream.lost() <= 1, stream.result.text + bond.said()
        works(lab)
        what(lab, gone, True)
        all_up(bond)
        works(lab)
        went_through(bond, f"wan{gone}", THEN[what])
        assert bond.edge.status()["state"] == "up"
        assert "tunnel: pause" not in bond.edge.text()


@pytest.mark.parametrize("policy", POLICIES + ["duplicate"])
def test_an_interface_disappears(lab, policy):
    ends.modem(lab)
    entries = [dict(name="lte", bind_ip="if:lte0", priority=1), path(lab, 1, priority=2)]
    with running(lab, entries, multipath_policy=policy) as bond:
        all_up(bond)
        with Stream(lab, 4) as stream:
            lab.exec("edge", "ip", "link", "del", "lte0")
            bond.wait_states(lte="idle", wan1="up")
        assert stream.lost() <= (0 if policy == "duplicate" else 1), stream.result.text + bond.said()
        ends.modem(lab)
        all_up(bond)
        works(lab)
        assert "tunnel: pause" not in bond.edge.text()


@pytest.mark.parametrize("what", [plug, black_hole, one_way, refused, loses_much])
def test_copies_lose_nothing(lab, what):
    with running(lab, [path(lab, i) for i in (1, 2)], multipath_policy="duplicate") as bond:
        all_up(bond)
        sent = sent_meanwhile(lab, 4)
        assert min(sent[:2]) > 0.8 * max(sent[:2]), sent
        with Stream(lab, 10) as stream:
            for there in (False, True):
                what(lab, 1, there)
                bond.wait_states(wan1="up" if there else "(?!up).*", wan2="up")
        assert stream.lost() == 0, stream.result.text + bond.said()
        assert "DUP!" not in stream.result.text


def test_a_pinned_session_uses_one_path(lab):
    with running(lab, multipath_policy="pin", multipath_pin="wan2") as bond:
        all_up(bond)
        sent = sent_meanwhile(lab, 4)
        assert sent[1] > 5 * max(sent[0], sent[2]), sent
        used = {name for name, p in bond.paths().items() if p["in_use"]}
        assert used == {"wan2"}
        for what, state in ((plug, "idle"), (black_hole, "suspect")):
            what(lab, 1, False)
            with Stream(lab, 2) as stream:
                pass
            assert stream.lost() == 0, stream.result.text + bond.said()
            what(lab, 1, True)
            what(lab, 2, False)
            lost = ping(lab, "edge", HUB, 10, 0.02)
            assert lost.received == 0, lost.text + bond.said()
            bond.wait_states(wan2=state, wan3="up")
            what(lab, 2, True)
            all_up(bond)
            reachable(lab, "edge", HUB, 30, (bond.edge, bond.hub))


def test_the_quickest_path_carries(lab):
    """Of two, one takes longer; then the other one does. Small packets would go over both."""
    def slow_down(slow):
        for i in (1, 2):
            lab.wan(i).set("both", f"delay={40 if i == slow else 0}ms")
        works(lab)
        wait_until(lambda: bond.paths()[f"wan{slow}"]["extra_delay_us"] > 20000 or works(lab), 60,
                   f"WAN {slow} is known to be slow:\n{bond.said()}", interval=0.2)

    try:
        with running(lab, [path(lab, i) for i in (1, 2)],
                     multipath_policy="lowest-latency") as bond:
            all_up(bond)
            for slow, quick in ((1, 2), (2, 1)):
                slow_down(slow)
                sent = sent_meanwhile(lab, 4, ("-s", 1000))
                assert sent[quick - 1] > 4 * sent[slow - 1], (slow, sent)
    finally:
        for i in (1, 2):
            lab.wan(i).reset()


def test_a_path_that_loses_much_is_left_alone(lab):
    entries = [path(lab, i, priority=i) for i in lab.each_wan()]
    with running(lab, entries, multipath_policy="priority") as bond:
        all_up(bond)
        with Stream(lab, 8) as stream:
            loses_much(lab, 1, False)
            bond.wait_states(wan1="lossy", wan2="up", wan3="up")
        assert stream.lost() <= 1, stream.result.text + bond.said()
        works(lab)
        loses_much(lab, 1, True)
        all_up(bond)
        went_through(bond, "wan1", {"lossy"})
        assert bond.paths()["wan1"]["in_use"]


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


def test_a_restarted_hub_begins_the_session_anew(lab):
    with running(lab) as bond:
        all_up(bond)
        for end in (bond.hub.kill, bond.hub.stop):
            end()
            bond.hub.start()
            reachable(lab, "edge", HUB, 60, (bond.edge, bond.hub))
            all_up(bond)
            works(lab)


def test_six_single_paths_beside_a_bond(lab):
    """Each WAN carries two instances of its own too, which hear nothing of the bond's troubles."""
    def over(i):
        return 1 + (i - 1) % 3

    with contextlib.ExitStack() as stack:
        bond = stack.enter_context(running(lab))
        singles = []
        for i in range(1, 7):
            edge = client_keys(i, lab.hub4, bind_ip=f"if:{lab.wan_interface(over(i))}")
            for node, keys in (("hub", server_keys(i)), ("edge", edge)):
                file = write_config(lab.state / f"{node}{i}.yaml", **keys)
                singles.append(stack.enter_context(
                    Tunnel(lab, node, file, lab.certificates.etc[node])))
        for i in range(1, 7):
            reachable(lab, "edge", f"10.200.{i}.2", 60, singles)
        all_up(bond)
        plug(lab, 1, False)
        bond.wait_states(wan1="idle", wan2="up", wan3="up")
        for i in range(1, 7):
            if over(i) != 1:
                assert ping(lab, "edge", f"10.200.{i}.2", 20, 0.02).received == 20
        works(lab)
        plug(lab, 1)
        for i in (1, 4):
            reachable(lab, "edge", f"10.200.{i}.2", 60, singles)
        all_up(bond)
        bond.hub.kill()
        for i in range(1, 7):
            assert ping(lab, "edge", f"10.200.{i}.2", 20, 0.02).received == 20
        bond.hub.start()
        reachable(lab, "edge", HUB, 60, (bond.edge, bond.hub))
        for end in singles:
            assert len(re.findall("tunnel: (?:pause|idle)", end.text())) <= 1


def reload(bond, entries, **more):
    """Other entries of multipath_paths, and other keys; what reload says."""
    write_bond(bond.edge.config, bond.lab, entries, **more)
    said = bond.edge.ask("reload", "--json", check=False)
    return said.returncode, json.loads(said.stdout)


def hub_paths(bond):
    """What the hub tells of the paths of its peer."""
    return bond.hub.status()["peers"][0]["paths"]


def until(bond, condition):
    try:
        wait_until(condition, 30, "", interval=0.2)
    except LabError as e:
        raise LabError(bond.said()) from e


@contextlib.contextmanager
def transfer(lab, bond, seconds):
    """TCP through the tunnel while the block runs, which must not take longer; it ends well."""
    server = Iperf(lab, "hub")
    try:
        run = server.start("edge", HUB, seconds, options=["-b", "20M"])
        yield
        result = server.finish(run)
        assert result.bits_per_second > 0, bond.said()
    finally:
        server.stop()


def test_reload_changes_the_paths_and_loses_nothing(lab):
    """A third path comes, the first goes, the weights change, under ping and TCP."""
    first, second, third = (path(lab, i) for i in lab.each_wan())
    with running(lab, [first, second]) as bond:
        bond.wait_states(wan1="up", wan2="up")
        local = bond.paths()["wan2"]["local"]
        with Stream(lab, 20) as stream, transfer(lab, bond, 18):
            code, said = reload(bond, [first, second, third])
            assert (code, said["result"], said["changed"]) == (0, "applied", ["multipath_paths"])
            all_up(bond)
            code, said = reload(bond, [second, third])
            assert code == 0, said
            until(bond, lambda: "path wan1: gone" in bond.edge.text())
            assert list(bond.paths()) == ["wan2", "wan3"]
            code, said = reload(bond, [second | {"weight": 3}, third | {"weight": 7}])
            assert code == 0, said
            assert {k: p["weight"] for k, p in bond.paths().items()} == {"wan2": 3, "wan3": 7}
        assert stream.lost() == 0, stream.result.text + bond.said()
        assert bond.paths()["wan2"]["local"] == local
        assert len(re.findall(r"peer \S+: up from", bond.hub.text())) == 1
        assert not re.search(r"peer \S+: down", bond.hub.text())
        until(bond, lambda: [p["name"] for p in hub_paths(bond)] == ["wan2", "wan3"])
        assert "tunnel: pause" not in bond.edge.text()
        works(lab)


def test_reload_changes_policy_and_lanes(lab):
    entries = [path(lab, i, priority=10 * i) for i in lab.each_wan()]
    with running(lab, entries) as bond:
        all_up(bond)
        with Stream(lab, 15) as stream:
            code, said = reload(bond, entries, multipath_policy="priority")
            assert (code, said["changed"]) == (0, ["multipath_policy"])
            until(bond, lambda: [p["name"] for p in bond.paths().values() if p["in_use"]]
                  == ["wan1"])
            until(bond, lambda: [p["name"] for p in hub_paths(bond) if p["in_use"]] == ["wan1"])
            assert [p["priority"] for p in hub_paths(bond)] == [10, 20, 30]
            entries[2]["priority"] = 5
            code, said = reload(bond, entries, multipath_policy="priority", lanes="2..4")
            assert (code, said["changed"]) == (0, ["lanes", "multipath_paths"])
            until(bond, lambda: all(p["lanes"] >= 2 for p in bond.paths().values()))
            assert [p["name"] for p in bond.paths().values() if p["in_use"]] == ["wan3"]
            code, said = reload(bond, entries, multipath_policy="bond", lanes="2..4")
            assert code == 0, said
            until(bond, lambda: all(p["in_use"] for p in bond.paths().values()))
        assert stream.lost() == 0, stream.result.text + bond.said()


def test_reload_takes_another_interface_or_server_for_a_path(lab):
    """The path under its name is another one: the first stays until that works."""
    with running(lab, [path(lab, 1)]) as bond:
        bond.wait_states(wan1="up")
        with Stream(lab, 10) as stream:
            code, said = reload(bond, [path(lab, 1, bind_ip=f"if:{lab.wan_interface(2)}")])
            assert code == 0, said
            until(bond, lambda: "path wan1: gone" in bond.edge.text())
        assert stream.lost() == 0, stream.result.text + bond.said()
        assert bond.paths()["wan1"]["interface"] == lab.wan_interface(2)
        code, said = reload(bond, [path(lab, 1), path(lab, 2), dict(name="lte", bind_ip="if:lte0")])
        assert code == 0, said
        bond.wait_states(wan1="up", wan2="up", lte="idle")
        code, said = reload(bond, [path(lab, 1), path(lab, 2)])
        assert code == 0, said
        assert list(bond.paths()) == ["wan1", "wan2"]
        works(lab)


def test_reload_names_what_it_cannot_change(lab):
    with running(lab) as bond:
        all_up(bond)
        code, said = reload(bond, [path(lab, i) for i in (1, 2)], tun_name="mpqc")
        assert (code, said["result"], said["restart"]) == (5, "restart-needed", ["tun_name"])
        code, said = reload(bond, [path(lab, 1), path(lab, 1)])
        assert (code, said["result"]) == (1, "invalid")
        assert len(bond.paths()) == 3
        works(lab)


def test_the_hub_tells_of_each_path(lab):
    with running(lab, hub_keys=dict(telemetry_interval=1)) as bond:
        all_up(bond)
        works(lab)
        paths = hub_paths(bond)
        assert [p["name"] for p in paths] == ["wan1", "wan2", "wan3"]
        for i, p in enumerate(paths, 1):
            assert p["remote"].startswith(f"10.150.{i}.2:")
            assert p["state"] == "up" and p["lanes"] >= 1 and p["rtt_us"]["smoothed"] > 0
            assert p["packet_max_bytes"] > 1200
        assert sum(p["share_percent"] for p in paths) in range(98, 103)
        assert sum(p["order"]["units"] for p in paths) >= 20
        text = bond.hub.ask("peers").stdout
        for i in lab.each_wan():
            assert re.search(rf"^ +wan{i} +up .* 10\.150\.{i}\.2:", text, re.M), text
        bond.hub.wait_line(r"path telemetry wan2: up, .*rtt .*reordered .*resequencing ")
        bond.hub.wait_line(r"peer \S+: path wan3: up from 10\.150\.3\.2:")
        black_hole(lab, 1, False)
        works(lab)
        until(bond, lambda: "suspect" in [s["state"] for s in bond.paths()["wan1"]["history"]])


def test_an_edge_that_is_stopped_ends_its_session(lab):
    with running(lab) as bond:
        all_up(bond)
        assert bond.edge.stop() == 0
        bond.hub.wait_line(r"peer \S+: down: it has stopped")
        status = bond.hub.status()
        assert status["peers_up"] == 0
        assert [(p["reason"]) for p in status["absent"]] == ["it has stopped"]
