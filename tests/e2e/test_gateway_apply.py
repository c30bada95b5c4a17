"""Changing the gateway without locking oneself out: trials and their end however it comes, what is
confirmed, what is taken over from others and given back, the SSH session of the caller, the boot.

The laboratory is that of test_gateway.py: tunnels are cables.
"""
import json
import os
import random
import re
import signal
import time

import packets
import pytest
from gateway import Gateway, cables
from lab import Lab, run, wait_until
from test_gateway import EDGE, SIX, no_leak, reaches

TRIAL = "in force for {} s on trial; to keep it: mpquic gateway confirm\n"


@pytest.fixture(scope="module")
def site(build, mpquic, lab_name):
    with Lab(lab_name, build=build, wans=6, profiles=["bare"] * 6) as lab:
        cables(lab)
        other = EDGE.read_text().replace("pin: mpq2\n", "pin: mpq3\n")
        (lab.state / "other.yaml").write_text(other)
        yield lab


@pytest.fixture
def gateway(site):
    g = Gateway(site, "edge", EDGE)
    yield g
    g.stop()
    g.verb("confirm", "--reject", file=False, check=False)
    g.verb("down", file=False)
    for p in processes(site):  # watchers of a trial that was ended by hand
        os.kill(p, signal.SIGKILL)


def processes(site):
    """All at the edge that are mpquic."""
    pids = run("ip", "netns", "pids", site.ns("edge")).stdout.split()
    return [int(p) for p in pids if "mpquic" in name_of(p)]


def name_of(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="ascii") as f:
            return f.read()
    except OSError:
        return ""


def apply(gateway, file, *options, check=True):
    return gateway.lab.exec("edge", gateway.program, "gateway", "apply", "-c", file, *options,
                            check=check)


def other(site):
    return site.state / "other.yaml"


def state(site, name):
    path = site.directories("edge")["MPQUIC_STATE_DIR"] / f"gateway.{name}"
    return path.read_text() if path.exists() else None


def lan2(site):
    """The table that LAN 2 is led to."""
    m = re.search(r"iif enp6s21 lookup (\d+)", site.exec("edge", "ip", "rule").stdout)
    return m and int(m[1])


def wait_back(site, table=101):
    """The trial is over and everything is back."""
    wait_until(lambda: state(site, "trial") is None, 20, "the trial is taken back")
    assert lan2(site) == table


# ---- trials ----


@pytest.mark.parametrize("runs", [False, True])
def test_confirmed_in_time(site, gateway, runs):
    apply(gateway, EDGE)
    assert state(site, "confirmed") == EDGE.read_text()
    if runs:
        gateway.start()
    result = apply(gateway, other(site), "--confirm", "30")
    assert result.stdout.endswith(TRIAL.format(30))
    assert "+ rule -4 priority 1002 iif enp6s21 lookup 102" in result.stdout
    assert lan2(site) == 102 and state(site, "confirmed") == EDGE.read_text()
    refused = apply(gateway, EDGE, check=False)
    assert refused.returncode == 10 and "is on trial for" in refused.stderr
    assert gateway.verb("confirm", file=False).stdout == "confirmed\n"
    assert state(site, "trial") is None and state(site, "confirmed") == other(site).read_text()
    assert gateway.verb("confirm", file=False, check=False).returncode == 3
    if runs:
        gateway.wait_log("the configuration is confirmed")
        gateway.stop()
    # what was confirmed, and not the file, is what the next one begins with
    gateway.start()
    assert "is not what was confirmed" in gateway.text()
    assert lan2(site) == 102


@pytest.mark.parametrize("runs", [False, True])
def test_not_confirmed(site, gateway, runs):
    apply(gateway, EDGE)
    if runs:
        gateway.start()
    before = gateway.kernel(counters=False)
    apply(gateway, other(site), "--confirm", "1")
    wait_back(site)
    assert gateway.settled() and gateway.kernel(counters=False) == before
    assert reaches(site, 2)
    assert gateway.verb("confirm", file=False, check=False).returncode == 3
    if runs:
        assert "not confirmed: back to the confirmed configuration" in gateway.text()


@pytest.mark.parametrize("runs", [False, True])
def test_rejected(site, gateway, runs):
    apply(gateway, EDGE)
    if runs:
        gateway.start()
    apply(gateway, other(site), "--confirm", "600")
    assert lan2(site) == 102
    told = gateway.verb("confirm", "--reject", file=False).stdout
    assert told.endswith("the former configuration is back\n")
    assert lan2(site) == 101 and state(site, "trial") is None and gateway.settled()


def test_the_first_one_goes_back_to_nothing(site, gateway):
    """Nothing was ever confirmed: then nothing is in force again, and what was on trial is not
    taken from the file either."""
    before = gateway.kernel()
    apply(gateway, EDGE, "--confirm", "1")
    assert reaches(site, 1)
    wait_until(lambda: state(site, "trial") is None, 20, "the trial is taken back")
    assert gateway.kernel() == before and state(site, "confirmed") == ""
    gateway.start()
    assert "is not what was confirmed" in gateway.text() and gateway.kernel() == before
    apply(gateway, EDGE)
    assert reaches(site, 1) and state(site, "confirmed") == EDGE.read_text()


def test_the_daemon_is_killed_meanwhile(site, gateway):
    apply(gateway, EDGE)
    gateway.start()
    apply(gateway, other(site), "--confirm", "2")
    site.stop(gateway.process, signal.SIGKILL)
    assert lan2(site) == 102
    wait_back(site)
    assert gateway.settled()


def test_everything_is_killed_meanwhile(site, gateway):
    """The daemon and the watcher: whoever starts next goes on, with the trial or back."""
    apply(gateway, EDGE)
    gateway.start()
    apply(gateway, other(site), "--confirm", "600")
    for p in processes(site):
        os.kill(p, signal.SIGKILL)
    site.stop(gateway.process, signal.SIGKILL)
    gateway.start()
    assert lan2(site) == 102 and "on trial for" in gateway.text()
    site.stop(gateway.process, signal.SIGKILL)
    trial = site.directories("edge")["MPQUIC_STATE_DIR"] / "gateway.trial"
    trial.write_text(re.sub(r"^until \d+$", "until 1", trial.read_text(), flags=re.M))
    assert gateway.verb("confirm", file=False, check=False).returncode == 4
    gateway.start()
    assert lan2(site) == 101 and state(site, "trial") is None and gateway.settled()


def test_a_boot_ends_a_trial(site, gateway):
    apply(gateway, EDGE)
    apply(gateway, other(site), "--confirm", "600")
    trial = site.directories("edge")["MPQUIC_STATE_DIR"] / "gateway.trial"
    trial.write_text(re.sub(r"^boot .*$", "boot another", trial.read_text(), flags=re.M))
    assert gateway.verb("confirm", file=False, check=False).returncode == 4
    gateway.start()
    assert lan2(site) == 101 and state(site, "trial") is None


@pytest.mark.parametrize("runs", [False, True])
def test_the_caller_is_killed_anywhere(site, gateway, runs):
    """kill -9 of apply --confirm at many moments: LAN 2 is led to the one or the other, never
    elsewhere, and in the end to what was confirmed."""
    apply(gateway, EDGE)
    if runs:
        gateway.start()
    with no_leak(site):
        flow = site.popen("lan2", "ping", "-n", "-i", "0.02", site.inet4,
                          log=site.state / "killed.log")
        for n in range(16):
            p = site.popen("edge", gateway.program, "gateway", "apply", "-c", other(site),
                           "--confirm", "60", log=site.state / "killed-apply.log")
            time.sleep(n * 0.003)  # where it is cut: anywhere
            site.stop(p, signal.SIGKILL)
            told = gateway.verb("confirm", "--reject", file=False, check=False)
            assert told.returncode in (0, 3) and state(site, "trial") is None
            if not runs:
                gateway.verb("apply")
            gateway.wait_settled()
            assert lan2(site) == 101
        site.stop(flow, signal.SIGINT)
    assert gateway.settled() and state(site, "confirmed") == EDGE.read_text()


def test_the_session_of_the_caller_ends(site, gateway):
    """All of its processes get SIGHUP when the line is cut."""
    apply(gateway, EDGE)
    p = site.popen("edge", "sh", "-c", f"{gateway.program} gateway apply -c {other(site)} --confirm "
                   "1; sleep 60", log=site.state / "session.log")
    wait_until(lambda: "on trial" in (site.state / "session.log").read_text(), 10, "the trial")
    os.killpg(p.pid, signal.SIGHUP)
    site.stop(p, signal.SIGKILL)
    wait_back(site)
    assert gateway.settled()


# ---- a link that is disabled on trial ----

def status(gateway):
    """As what is confirmed, or on trial."""
    return json.loads(gateway.verb("status", "--json", file=False, check=False).stdout)


@pytest.mark.parametrize("runs", [False, True])
def test_a_link_is_disabled_on_trial(site, gateway, runs):
    apply(gateway, EDGE)
    if runs:
        gateway.start()
    told = gateway.verb("disable", "wan4", "--confirm", "1", file=False).stdout
    assert told == ("link wan4 is disabled\nfor 1 s on trial; to keep it: mpquic gateway confirm\n")
    wait_until(lambda: state(site, "trial") is None, 20, "the trial is taken back")
    gateway.wait_route(103, "default dev mpq4", True)
    assert gateway.settled() and reaches(site, 4)
    gateway.verb("disable", "wan4", "--confirm", "600", file=False)
    assert not reaches(site, 4)
    assert gateway.verb("disable", "wan3", "--confirm", "600", file=False,
                        check=False).returncode == 10
    trial = status(gateway)["trial"]
    assert trial["disables"] == "wan4" and 500 < trial["seconds_left"] <= 600
    assert re.search(r"^on trial for 5\d\d s more, with wan4 disabled: mpquic gateway confirm",
                     gateway.verb("status", file=False, check=False).stdout, re.M)
    assert gateway.verb("confirm", file=False).stdout == "confirmed\n"
    assert status(gateway)["trial"] is None
    assert "default dev mpq4" not in gateway.routes(103)
    # there is nothing to go back to: it is no trial
    assert gateway.verb("disable", "wan4", "--confirm", "600", file=False).stdout == \
        "link wan4 is already disabled\n"
    assert state(site, "trial") is None
    gateway.verb("enable", "wan4", file=False)
    assert "default dev mpq4" in gateway.routes(103)


def test_disabled_on_trial_is_of_what_is_confirmed(site, gateway):
    apply(gateway, EDGE)
    refused = gateway.verb("disable", "wan4", "-c", other(site), "--confirm", "600", file=False,
                           check=False)
    assert refused.returncode == 1 and "is not the confirmed one" in refused.stderr
    assert state(site, "trial") is None and reaches(site, 4)


# ---- events ----

@pytest.fixture
def logged(site, gateway):
    """The configuration with a log of events, in force, and what the log says after that."""
    log, file = site.state / "events.jsonl", site.state / "logged.yaml"
    file.write_text(f"event_log: {log}\n" + EDGE.read_text())
    apply(gateway, file)
    log.unlink()

    def events():
        return [json.loads(x) for x in log.read_text().splitlines()] if log.exists() else []

    gateway.file = file
    yield events
    gateway.file = EDGE


def test_down_is_one_cause(site, gateway, logged, foreign):
    apply(gateway, gateway.file, "--take-over")
    taken = [x["object"] for x in logged() if x["event"] == "foreign" and x["taken"]]
    assert len(taken) == 2
    before = len(logged())
    gateway.verb("down", file=False)
    events = logged()[before:]
    assert {x["cause"] for x in events} == {"down"} and len({x["trace"] for x in events}) == 1
    assert events[0]["event"] == "down"
    assert [x["object"] for x in events if x["event"] == "foreign" and not x["taken"]] == taken
    assert "- rule -4 priority 1001 iif enp6s20 lookup 100" in [x.get("operation") for x in events]


@pytest.mark.parametrize("runs", [False, True])
def test_a_trial_that_ends_is_one_cause(site, gateway, logged, runs):
    if runs:
        gateway.start()
    apply(gateway, gateway.file, "--confirm", "600")
    gateway.verb("confirm", "--reject", file=False)
    changed = site.state / "changed.yaml"
    changed.write_text(gateway.file.read_text().replace("pin: mpq2\n", "pin: mpq3\n"))
    apply(gateway, changed, "--confirm", "1")
    wait_back(site)
    events = [x for x in logged() if x["cause"] == "trial"]
    assert "taken back" in [x.get("is") for x in events]
    change = next(x for x in events if x.get("operation") ==
                  "- rule -4 priority 1002 iif enp6s21 lookup 102")
    assert {x["event"] for x in events if x["trace"] == change["trace"]} >= {"trial", "change"}


# ---- what is confirmed ----


def test_apply_through_the_gateway_that_runs(site, gateway):
    gateway.start()
    wait_until(lambda: state(site, "confirmed") == EDGE.read_text(), 10, "run has confirmed it")
    planned = gateway.lab.exec("edge", gateway.program, "gateway", "plan", "-c", other(site)).stdout
    assert apply(gateway, other(site)).stdout == planned
    assert lan2(site) == 102 and state(site, "confirmed") == other(site).read_text()
    assert state(site, "trial") is None
    gateway.process.send_signal(signal.SIGHUP)  # its own file again
    gateway.wait_log("reloaded")
    assert lan2(site) == 101 and state(site, "confirmed") == EDGE.read_text()


def test_no_reload_during_a_trial(site, gateway):
    gateway.start()
    apply(gateway, other(site), "--confirm", "600")
    gateway.process.send_signal(signal.SIGHUP)
    gateway.wait_log("is on trial: confirm or reject it first")
    assert lan2(site) == 102


@pytest.mark.parametrize("broken", ["links: [\n", "links: []\nno_such_key: 1\n", None])
def test_a_broken_file_takes_nothing_off_the_net(site, gateway, broken):
    apply(gateway, EDGE)
    gateway.file = site.state / "broken.yaml"
    gateway.file.unlink(missing_ok=True)
    if broken:
        gateway.file.write_text(broken)
    gateway.start()
    text = gateway.text()
    assert "has errors: the confirmed configuration stays in force" in text
    assert lan2(site) == 101 and reaches(site, 2)
    gateway.file = EDGE


def test_down_forgets(site, gateway):
    apply(gateway, other(site))
    gateway.verb("down", file=False)
    assert state(site, "confirmed") is None
    gateway.start()
    assert lan2(site) == 101


# ---- what others have ----

FOREIGN = """
ip rule add priority 1003 iif enp6s20 ipproto tcp dport 8080 lookup main protocol static
ip route add 192.0.2.0/24 via 172.16.1.2 dev enp6s20 table 101 proto bird metric 5 mtu 1400
ip route add 198.18.0.0/15 dev enp6s20 table 55
"""
UNFOREIGN = """
ip rule del priority 1003 iif enp6s20; ip route flush table 101; ip route flush table 55; true
"""


@pytest.fixture
def foreign(site):
    site.exec("edge", "sh", "-ec", FOREIGN)
    yield
    site.exec("edge", "sh", "-c", UNFOREIGN)


@pytest.mark.parametrize("runs", [False, True])
def test_taken_over_and_given_back(site, gateway, foreign, runs):
    before = gateway.kernel()
    result = apply(gateway, EDGE, check=False)
    assert result.returncode == 1 and gateway.kernel() == before
    assert "to remove it: ip -4 rule del priority 1003 iif enp6s20 lookup 254" in result.stderr
    assert "to remove it: ip -4 route del 192.0.2.0/24 via 172.16.1.2 dev enp6s20 table 101" \
        in result.stderr
    assert "--take-over" in result.stderr
    if runs:
        gateway.start()
        assert "somebody else" in gateway.text()
    told = apply(gateway, EDGE, "--take-over").stdout
    assert "- of somebody else: -4 priority 1003 iif enp6s20 lookup 254" in told
    gateway.wait_settled()
    now = gateway.kernel()
    assert "8080" not in now and "192.0.2.0/24" not in now
    assert "198.18.0.0/15" in now  # not in the way
    assert all(reaches(site, i) for i in SIX)
    gateway.stop()
    gateway.verb("down", file=False)
    assert gateway.kernel() == before and state(site, "foreign") is None


@pytest.mark.parametrize("runs", [False, True])
def test_taken_over_on_trial(site, gateway, foreign, runs):
    before = gateway.kernel(ours=False, counters=False)
    if runs:
        gateway.start()
    apply(gateway, EDGE, "--take-over", "--confirm", "600")
    assert "8080" not in gateway.kernel()
    gateway.verb("confirm", "--reject", file=False)
    assert state(site, "trial") is None
    assert gateway.kernel(ours=False, counters=False) == before
    assert state(site, "foreign") is None


def test_what_was_taken_over_goes_again_when_it_is_made_again(site, gateway, foreign):
    """Somebody puts his rule back: as long as it is taken over it goes, and another one of his does
    not."""
    before = gateway.kernel()
    gateway.start()
    apply(gateway, EDGE, "--take-over")
    gateway.wait_settled()
    rule = ["rule", "add", "priority", "1003", "iif", "enp6s20", "ipproto", "tcp", "dport", "8080",
            "lookup", "main", "protocol", "static"]
    for _ in range(2):
        site.exec("edge", "ip", *rule)
        wait_until(lambda: "8080" not in gateway.kernel(), 10, "it is taken away again")
    site.exec("edge", "ip", *(w.replace("8080", "8081") for w in rule))
    gateway.wait_log("a rule of somebody else comes before ours: -4 priority 1003")
    assert "8081" in gateway.kernel()
    site.exec("edge", "ip", "rule", "del", "priority", "1003", "iif", "enp6s20")
    gateway.stop()
    gateway.verb("down", file=False)
    assert gateway.kernel() == before


# ---- the session of the caller ----

SESSION = """
import os, socket, struct, subprocess, sys
s = socket.create_server(("172.16.1.1", 2222))
print("ready", flush=True)
c, peer = s.accept()
# ends without a word: where the way back is cut nobody would answer, and the kernel goes on asking
c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
said = f"{peer[0]} {peer[1]} 172.16.1.1 2222"
clean = {k: v for k, v in os.environ.items() if k.startswith(("MPQUIC", "PATH"))}
if sys.argv[1] == "environment":
    command, env = sys.argv[2:], {**clean, "SSH_CONNECTION": said}
else:  # only a process above knows of it, as under sudo
    inner = " ".join(["env", "-i", *(f"{k}={v}" for k, v in clean.items()), *sys.argv[2:]])
    command, env = ["sh", "-c", inner + "; exit $?"], {**clean, "SSH_CONNECTION": said}
r = subprocess.run(command, env=env, capture_output=True, text=True)
print(f"exit {r.returncode}\\n{r.stdout}{r.stderr}", flush=True)
"""
CALL = """
import socket, sys
s = socket.create_connection(("172.16.1.1", 2222))
s.recv(1)
"""


def from_session(site, gateway, how, file, *options):
    """Apply from a session of LAN 1 with the edge; the exit code and what was said."""
    log = site.state / "ssh.log"
    log.unlink(missing_ok=True)
    p = site.popen("edge", "/usr/bin/python3", "-c", SESSION, how, gateway.program, "gateway",
                   "apply", "-c", file, *options, log=log)
    wait_until(lambda: "ready" in log.read_text(), 10, "the listener")
    client = site.popen("lan1", "/usr/bin/python3", "-c", CALL, log=site.state / "call.log")
    p.wait(60)
    site.stop(client)
    text = log.read_text()
    return int(re.search(r"^exit (\d+)$", text, re.M)[1]), text


@pytest.fixture
def cutting(site):
    """A configuration that leads the way back to LAN 1's host elsewhere."""
    file = site.state / "cutting.yaml"
    file.write_text(EDGE.read_text().replace(
        "    device: enp7s5\n", "    device: enp7s5\n    prefixes: [172.16.1.2/32]\n", 1))
    return file


@pytest.mark.parametrize("how", ["environment", "parent"])
def test_the_way_back_to_the_caller_is_kept(site, gateway, cutting, how):
    apply(gateway, EDGE)
    before = gateway.kernel(counters=False)
    code, text = from_session(site, gateway, how, cutting)
    assert code == 1, text
    assert "your session from 172.16.1.2 would be cut: answers leave by enp6s20, and would by " \
           "enp7s5; --confirm SECONDS" in text
    assert gateway.kernel(counters=False) == before
    code, text = from_session(site, gateway, how, other(site))
    assert code == 0, text
    assert "session" not in text


def test_a_cut_on_trial_or_by_force(site, gateway, cutting):
    apply(gateway, EDGE)
    code, text = from_session(site, gateway, "environment", cutting, "--confirm", "1")
    assert code == 0 and "warning: your session from 172.16.1.2 would be cut" in text
    wait_back(site)
    assert gateway.settled()
    code, text = from_session(site, gateway, "environment", cutting, "--force")
    assert code == 0 and "warning: your session" in text and "on trial" not in text
    assert "172.16.1.2 via 10.150.3.1 dev enp7s5" in site.exec("edge", "ip", "route").stdout


# ---- the boot ----


def power_off(site, gateway):
    """The kernel as after a start: nothing of ours, every interface down. All the rest stays: the
    routers would have the LANs' packets if any left."""
    site.exec("edge", "sh", "-c", """
        for f in -4 -6; do ip $f rule flush protocol 110; ip $f route flush table all proto 110; done
        nft delete table inet mpquic_gateway
        for d in $(ls /sys/class/net | grep -v lo); do ip link set $d down; done
        echo 1 >/proc/sys/net/ipv4/ip_forward""")


def power_on(site, order):
    for name in order:
        site.exec("edge", "ip", "link", "set", name, "up")
        if name.startswith("enp7s"):
            i = int(name[5:]) - 2
            site.exec("edge", "ip", "route", "replace", "default", "via", f"10.150.{i}.1", "dev", name,
                      "metric", 100 + i)


@pytest.fixture
def again(site):
    """Everything that the interfaces of the edge lose while they are down."""
    yield
    interfaces = [f"{n}{i + first}" for n, first in (("enp6s", 19), ("enp7s", 2), ("mpq", 0))
                  for i in SIX]
    power_on(site, interfaces)


def packets_in(site):
    """Packets that each LAN has sent to the edge, and how many the edge has passed on."""
    text = site.exec("edge", "sh", "-c", """
        for i in 20 21 22 23 24 25; do cat /sys/class/net/enp6s$i/statistics/rx_packets; done
        grep ^Ip: /proc/net/snmp | tail -1 | cut -d' ' -f7""").stdout.split()
    return [int(n) for n in text[:6]], int(text[6])


def boot(site, gateway, seed, guarded):
    """What leaves by the WANs while LANs send, and everything comes up in some order, the gateway
    late, the tunnels last."""
    rng = random.Random(seed)
    near = [f"enp6s{i + 19}" for i in SIX] + [f"enp7s{i + 2}" for i in SIX]
    rng.shuffle(near)
    tunnels = [f"mpq{i}" for i in SIX]
    rng.shuffle(tunnels)
    power_off(site, gateway)
    captures = [site.capture("air", f"a{i}", "net 172.16.0.0/16") for i in SIX]
    flows = [site.popen(f"lan{i}", "ping", "-n", "-i", "0.02", "-W", "1", site.inet4,
                        log=site.state / f"boot{i}.log") for i in SIX]
    if guarded:
        told = gateway.verb("guard", file=False).stdout
        assert told.count("+ rule -4 priority 1099") == 6
    before, passed_on = packets_in(site)
    power_on(site, near)

    def have_sent():
        after, passed = packets_in(site)
        return all(a - b >= 25 for a, b in zip(after, before)) and (
            guarded or passed - passed_on >= 25)

    wait_until(have_sent, 20, "every LAN has sent before the gateway is there")
    gateway.start()
    power_on(site, tunnels)
    for i in SIX:
        gateway.wait_route(99 + i, f"default dev mpq{i}", True)
    for p in flows:
        site.stop(p, signal.SIGINT)
    return [f for c in captures for f in packets.read(c.stop())]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_leaves_by_a_wan_while_it_boots(site, gateway, again, seed):
    apply(gateway, EDGE)
    assert boot(site, gateway, seed, True) == []
    wait_until(lambda: all(reaches(site, i, 1) for i in SIX), 20, "all LANs are back")


def test_without_the_guard_it_would(site, gateway, again):
    """That what the test above looks for is there to be seen."""
    apply(gateway, EDGE)
    assert boot(site, gateway, 1, False)


def test_the_guard_leaves_alone_what_is_there(site, gateway):
    assert gateway.verb("guard", file=False).stdout == ""  # nothing is confirmed
    apply(gateway, EDGE)
    before = gateway.kernel(counters=False)
    assert gateway.verb("guard", file=False).stdout == ""
    gateway.start()
    assert gateway.verb("guard", file=False).stdout == ""
    assert gateway.kernel(counters=False) == before
