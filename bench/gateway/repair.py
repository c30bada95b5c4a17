#!/usr/bin/python3
"""How long what others break of the gateway stays broken, and what leaves meanwhile.

    lan1 --+-- enp6s20          enp7s3 -- wan1 --+
     ...   |          edge   mpq1..mpq6  ...     +-- core -- hub, inet
    lan6 --+-- enp6s25          enp7s8 -- wan6 --+

Edge and hub have the gateways of deploy/examples/gateway-six; a tunnel is a cable. In each round one
thing is broken, by the command that people do it with, while all six LANs send to the Internet (ICMP,
LAN 5 every 2 ms). The kernel's own notifications are the clock:

    repair   from the first notification of the break (of one that takes many steps, from its end) to
             the last one of what followed: after it nothing changes any more, and the gateway has
             nothing left to do (checked)
    gap      the longest time without an answer in LAN 5, around the break
    leaked   packets with the address of a LAN on any WAN, and at the hub's side of the Internet with
             an internal one, in all rounds together

Exit status 1 when a packet leaked or a repair took more than a second. Needs root.
"""
import argparse
import ctypes
import datetime
import errno
import json
import os
import pathlib
import platform
import re
import select
import signal
import socket
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "lab"))
import packets  # noqa: E402
from gateway import Gateway, cables  # noqa: E402
from lab import Lab, run, wait_until  # noqa: E402

EXAMPLES = ROOT / "deploy" / "examples" / "gateway-six"
PAGE = ROOT / "doc" / "gateway-repair.md"
AIM_S, GOAL_S = 1.0, 0.05
QUIET_S = 0.25  # nothing is heard for so long: it is over
INTERNAL = "src net 172.16.0.0/16 or src net 10.200.0.0/16"
SIX = range(1, 7)

# name, node, what breaks it, what has to be put right afterwards because it is not the gateway's
BREAKS = [
    ("nft flush ruleset, at the edge", "edge", "nft flush ruleset", None),
    ("nft flush ruleset, at the hub", "hub", "nft flush ruleset", None),
    ("its table of nftables deleted", "hub", "nft delete table inet mpquic_gateway", None),
    ("a policy's rule deleted", "edge", "ip rule del priority 1005", None),
    ("a guard deleted", "edge", "ip rule del priority 1099 iif enp6s24", None),
    ("all rules deleted", "edge", "ip -batch - <<E\nrule flush\n"
                                  "rule add priority 32766 lookup main\n"
                                  "rule add priority 32767 lookup default\nE", None),
    ("a link's route deleted", "edge", "ip route del default dev mpq5 table 104", None),
    ("a blackhole deleted", "edge", "ip route del blackhole default table 104 metric 4294967295",
     None),
    ("a link's route replaced", "edge", "ip route replace default via 10.150.1.1 dev enp7s3 table 104",
     "ip route del default via 10.150.1.1 dev enp7s3 table 104"),
    ("a link's table emptied", "edge", "ip route flush table 104", None),
]


# --- the clock -----------------------------------------------------------------------------

NETFILTER, ROUTE = 12, 0
GROUPS = {ROUTE: [7, 8, 11, 19],  # IPv4 and IPv6, routes and rules
          NETFILTER: [7]}         # nftables


class Clock:
    """When rules, routes and nftables of a node change."""

    def __init__(self, namespace):
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/self/ns/net") as home, open(f"/run/netns/{namespace}") as there:
            if libc.setns(there.fileno(), 0):
                raise OSError(ctypes.get_errno(), "setns")
            try:
                self.sockets = [self._open(*item) for item in GROUPS.items()]
            finally:
                if libc.setns(home.fileno(), 0):
                    os.abort()  # this process is somewhere else now

    @staticmethod
    def _open(protocol, groups):
        s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
        s.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE
        s.bind((0, sum(1 << (g - 1) for g in groups)))
        s.setblocking(False)
        return s

    def take(self, timeout):
        """Wait for notifications and take all that are there; when they came, or None."""
        ready = select.select(self.sockets, [], [], timeout)[0]
        now = time.monotonic()
        for s in ready:
            while self._receive(s):
                pass
        return now if ready else None

    @staticmethod
    def _receive(s):
        """Take one. False: there is none."""
        try:
            s.recv(1 << 16)
        except BlockingIOError:
            return False
        except OSError as e:
            if e.errno != errno.ENOBUFS:  # of those that did not find room the time is known too
                raise
        return True

    def silence(self):
        """Until nothing has been heard for a while; the times of what was."""
        heard = []
        while (when := self.take(QUIET_S)) is not None:
            heard.append(when)
        return heard

    def close(self):
        for s in self.sockets:
            s.close()


# --- one round -----------------------------------------------------------------------------

def answers(log):
    """When the answers of a `ping -D` came."""
    return [float(t) for t in re.findall(r"^\[([\d.]+)\] \d+ bytes from", log.read_text(), re.M)]


def longest_gap(times, begin, end):
    """Between two answers, of which one may be outside."""
    inside = [t for t in times if begin <= t <= end]
    before = [t for t in times if t < begin][-1:]
    after = [t for t in times if t > end][:1]
    all_of_them = before + inside + after
    return max((b - a for a, b in zip(all_of_them, all_of_them[1:])), default=None)


def one(lab, gateway, clock, log, command, undo):
    clock.silence()
    began = time.time()
    process = subprocess.Popen(lab.command(gateway.node, "sh", "-c", command),
                               stdin=subprocess.DEVNULL)
    first = None
    while first is None:
        first = clock.take(5)
        assert first is not None or process.poll() is None, f"{command}: nothing has changed"
    if "\n" in command:
        while process.poll() is None:
            clock.take(0.001)
        first = time.monotonic()
    last = [first, *clock.silence()][-1]
    assert not process.wait(10), command
    ended = time.time()
    if undo:
        lab.exec(gateway.node, "sh", "-c", undo)
    gateway.wait_settled()
    wait_until(lambda: max(answers(log), default=0) > ended, 10, "LAN 5 goes on")
    return {"repair_s": last - first, "gap_s": longest_gap(answers(log), began, ended)}


def measure(args):
    with Lab(f"b{os.getpid()}", build=args.build, wans=6, profiles=["bare"] * 6) as lab:
        cables(lab)
        lab.exec("inet", "ip", "route", "add", "172.16.0.0/16", "via", "198.51.100.1")
        gateways = {n: Gateway(lab, n, EXAMPLES / f"{n}.yaml").start() for n in ("edge", "hub")}
        for g in gateways.values():
            g.wait_settled()
        captures = [lab.capture("edge", lab.wan_interface(i), "net 172.16.0.0/16") for i in SIX]
        captures.append(lab.capture("hub", "eth0", INTERNAL))
        log = lab.state / "lan5.log"
        flows = [lab.popen(f"lan{i}", "ping", "-n", "-D", "-i", "0.002" if i == 5 else "0.02",
                           "-W", "1", lab.inet4, log=lab.state / f"lan{i}.log") for i in SIX]
        wait_until(lambda: len(answers(log)) > 100, 10, "the flows")
        clocks = {n: Clock(lab.ns(n)) for n in gateways}
        rounds = []
        # The clock must not be late, whoever else works; what it starts is as everybody is.
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
        for n in range(args.rounds):
            for name, node, command, undo in BREAKS:
                figures = one(lab, gateways[node], clocks[node], log, command, undo)
                rounds.append({"what": name, "round": n} | figures)
                print(f"{n + 1}/{args.rounds} {name}: {1e3 * figures['repair_s']:.1f} ms",
                      file=sys.stderr)
            log.write_text("")  # what is counted is around each break
        for flow in flows:
            lab.stop(flow, signal.SIGINT)
        sent = sum(int(m) for i in SIX for m in re.findall(
            r"(\d+) packets transmitted", (lab.state / f"lan{i}.log").read_text()))
        leaked = sum(len(packets.read(c.stop())) for c in captures)
        for c in clocks.values():
            c.close()
        for g in gateways.values():
            g.stop()
    return {"rounds": rounds, "leaked": leaked, "sent": sent, "load": os.getloadavg()[0]}


# --- telling -------------------------------------------------------------------------------

def percentile(values, p):
    """The smallest value that p percent of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * p // 100) - 1)]


def summary(rounds):
    rows = []
    for name, *_ in BREAKS:
        mine = [r for r in rounds if r["what"] == name]
        repair = [r["repair_s"] for r in mine]
        gap = [r["gap_s"] for r in mine if r["gap_s"] is not None]
        rows.append({"what": name, "rounds": len(mine), "median_s": statistics.median(repair),
                     "p95_s": percentile(repair, 95), "max_s": max(repair),
                     "gap_median_s": statistics.median(gap), "gap_p95_s": percentile(gap, 95)})
    return rows


def machine():
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    now = datetime.datetime.now(datetime.timezone.utc)
    revision = run("git", "-C", ROOT, "rev-parse", "--short", "HEAD", check=False).stdout.strip()
    return {"cpu": model.group(1) if model else "?", "processors": os.cpu_count(),
            "kernel": platform.release(), "date": now.strftime("%Y-%m-%d %H:%M UTC"),
            "revision": revision or "?"}


def table(rows):
    lines = ["| broken | median | 95th percentile | longest | gap in the traffic, median | 95th "
             "percentile |", "|---|---|---|---|---|---|"]
    for row in rows:
        cells = [f"{1e3 * row[key]:.1f}" for key in
                 ("median_s", "p95_s", "max_s", "gap_median_s", "gap_p95_s")]
        lines.append(f"| {row['what']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def verdict(result):
    worst = max(r["repair_s"] for r in result["rounds"])
    p95 = max(row["p95_s"] for row in result["summary"])
    return (f"Leaked: {result['leaked']} of {result['sent']:,} packets, wanted 0. Longest repair: "
            f"{1e3 * worst:.0f} ms, wanted at most {1e3 * AIM_S:.0f}. Worst 95th percentile: "
            f"{1e3 * p95:.0f} ms, goal {1e3 * GOAL_S:.0f}.")


def page(result):
    n = result["summary"][0]["rounds"]
    return f"""# How fast the gateway repairs what others break

Made by `make bench-gateway ARGS=--publish`; do not edit. `bench/gateway/repair.py` tells how it is
measured.

- Machine: {result['cpu']}, {result['processors']} processors, Linux {result['kernel']}.
- Measured {result['date']}, commit {result['revision']}, {n} rounds, load average {result['load']:.1f}
  (above 2 others were at work: what takes long then waited for a processor).

Edge and hub of [deploy/examples/gateway-six](../deploy/examples/gateway-six), six LANs that send all
the time. In milliseconds: from the kernel's first notification of what was broken to its last one of
the repair, and the longest time without an answer in the LAN that is concerned, whose packets are 2 ms
apart. Deleting all rules takes many steps and is counted from its end; 0 means that by then everything
was back.

{table(result['summary'])}

{verdict(result)}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", type=pathlib.Path, help="where to keep every figure")
    parser.add_argument("--publish", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    args = parser.parse_args()
    if os.geteuid():
        parser.error("needs root")
    if args.rounds < 1:
        parser.error("--rounds must be at least 1")
    result = machine() | measure(args)
    result["summary"] = summary(result["rounds"])
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    if args.publish:
        PAGE.write_text(page(result))
    print(table(result["summary"]))
    print(verdict(result))
    return result["leaked"] > 0 or max(r["repair_s"] for r in result["rounds"]) > AIM_S


if __name__ == "__main__":
    sys.exit(main())
