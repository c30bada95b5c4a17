#!/usr/bin/env python3
"""Hold the simulator against the laboratory: one TCP flow over the same lines, bare and through
the tunnel, modelled (sim-spot) and real (namespaces, lab/wanemu, iperf3, mpquic tunnel).

A line is the same in both directions. Every round measures every cell once, in turn, so that a
machine that slows down slows all of them. Each run has a tunnel of its own, started for it. A run
during which the emulator was too late, lost frames by itself, or others used too much of the
processors is void and made again while the patience lasts. Needs root. See bench/README.md.
"""
import argparse
import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import re
import signal
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "lab"))
from lab import Lab, LabError, run, wait_until  # noqa: E402
from tunnel import Site, Tunnel, client_keys, reachable, server_keys, write_config  # noqa: E402

PORT = 5201
AGREE = 0.10          # model and reality may differ by this share
LATE_MAX_MS = 10      # the latest frame of a valid run
LATE_SHARE_MAX = 0.005  # share of frames that may be more than 1 ms late
WAIT_MAX_US = 300    # the ends' mean wait for a processor in a valid run
FRAME_BYTES = 14      # wanemu counts Ethernet headers
CARRIERS = ("none", "cubic", "bbr")  # the bare line, and the tunnel with each congestion control


@dataclasses.dataclass(frozen=True)
class Point:
    rate_mbps: float
    rtt_ms: float
    queue_ms: float
    loss: float
    down: bool = False

    def seconds(self, base):
        """How long a run counts: chance needs longer to even out."""
        return 2 * base if self.loss else base

    def __str__(self):
        return (f"{self.rate_mbps:g} Mbit/s, {self.rtt_ms:g} ms, queue {self.queue_ms:g} ms, "
                f"loss {100 * self.loss:g} %, {'down' if self.down else 'up'}")


POINTS = [
    Point(50, 20, 40, 0),
    Point(50, 20, 40, 0.001),
    Point(50, 20, 40, 0.01),
    Point(20, 60, 60, 0),
    Point(20, 60, 60, 0.005),
    Point(100, 20, 40, 0),
    Point(50, 20, 40, 0, down=True),
]


# ---- the model ----

def simulate(args, point, carrier):
    command = [args.build / "bench" / "sim-spot", "-r", point.rate_mbps, "-t", point.rtt_ms,
               "-q", point.queue_ms, "-l", point.loss, "-c", carrier, "-n", args.seeds,
               "-s", point.seconds(args.seconds), "-f", FRAME_BYTES] + (["-d"] if point.down else [])
    return json.loads(run(*command, timeout=600).stdout)


# ---- the laboratory ----

class Void(Exception):
    """The run says nothing: the machine disturbed it."""


class Bench:
    def __init__(self, lab, args):
        self.lab, self.args, self.ends = lab, args, []
        self.site = Site(lab)
        # A socket that begins with BBR paces for ever, even when it is told to use CUBIC. Reno is
        # the one default that the kernel allows in every namespace.
        for node in ("edge", "hub"):
            lab.exec(node, "sysctl", "-qw", "net.ipv4.tcp_congestion_control=reno")
        self.wan = lab.wan(1)

    @contextlib.contextmanager
    def carrier(self, name, point):
        """The line as the point says and, unless bare, a new tunnel over it. Yields the addresses
        of the edge and the hub for the flow."""
        lab = self.lab
        self.wan.set("both", f"rate={point.rate_mbps}m delay={point.rtt_ms / 2}ms loss=0 "
                             f"queue={point.queue_ms}ms")
        self.ends = []
        if name == "none":
            self.wan.set("both", f"loss={point.loss}")
            yield "10.150.1.2", lab.hub4
            return
        files = {"hub": write_config(lab.state / "hub.yaml",
                                     **server_keys(1, congestion_control=name)),
                 "edge": write_config(lab.state / "edge.yaml",
                                      **client_keys(1, lab.hub4, congestion_control=name))}
        ends = self.ends = []
        try:
            for node, file in files.items():
                end = Tunnel(lab, node, file, self.site.etc[node])
                end.log.unlink(missing_ok=True)
                ends.append(end.start())
            reachable(lab, "edge", "10.200.1.2", ends=ends)
            wait_until(lambda: self.tun_mtu("edge") == self.tun_mtu("hub") > 1400, 10,
                       "both ends know the MTU")
            self.wan.set("both", f"loss={point.loss}")
            yield "10.200.1.1", "10.200.1.2"
        finally:
            for end in reversed(ends):
                end.stop()

    def waited(self):
        """Seconds that the ends of the tunnel could have run and did not, and how often."""
        stats = [pathlib.Path(f"/proc/{e.process.pid}/schedstat").read_text().split()
                 for e in self.ends]
        return sum(int(s[1]) for s in stats) / 1e9, sum(int(s[2]) for s in stats)

    def tun_mtu(self, node):
        said = self.lab.exec(node, "ip", "link", "show", "mpq1").stdout
        return int(re.search(r"mtu (\d+)", said)[1])

    def iperf(self, source, target, address, seconds):
        """One flow from the node source to the node target; iperf3's report."""
        lab = self.lab
        log = lab.state / f"iperf-{target}.log"
        log.unlink(missing_ok=True)
        server = lab.popen(target, "iperf3", "-s", "-1", "-p", PORT, "--forceflush", log=log)
        try:
            wait_until(lambda: f"listening on {PORT}" in log.read_text(), 10, "iperf3 listens")
            said = lab.exec(source, "iperf3", "-c", address, "-p", PORT, "-J", "-O", 1,
                            "-t", seconds, "-i", 0.1, "-C", "cubic",
                            timeout=seconds + 30).stdout
        finally:
            lab.stop(server)
        return json.loads(said)["end"]

    def judge(self, point):
        """Raises Void when the emulator was not what it should have been."""
        seen = self.wan.get()
        for name in ("up", "down"):
            d = seen[name]
            late = d["late_over_1ms"] / max(d["out_packets"], 1)
            bad = d["no_memory"] + d["send_error"] + d["missed"]
            if bad or d["late_max_us"] > LATE_MAX_MS * 1000 or late > LATE_SHARE_MAX:
                raise Void(f"{name}: latest {d['late_max_us'] / 1000:.1f} ms, {100 * late:.2f} % "
                           f"of frames over 1 ms late, {bad} lost by the emulator itself")
        there = seen["down" if point.down else "up"]
        return {"late_max_ms": max(seen[n]["late_max_us"] for n in ("up", "down")) / 1000,
                "queue_drops": there["drop_queue"], "losses": there["drop_loss"],
                "queue_max_bytes": there["queue_max_bytes"]}

    def measure(self, point, carrier):
        with self.carrier(carrier, point) as (edge, hub):
            nodes = ("hub", "edge", edge) if point.down else ("edge", "hub", hub)
            time.sleep(1)  # the line at rest, as in the model
            self.wan.reset()
            before = self.waited()
            end = self.iperf(*nodes, point.seconds(self.args.seconds))
            seen = self.judge(point)
            waited, times = (b - a for a, b in zip(before, self.waited()))
            seen["wait_mean_us"] = 1e6 * waited / max(times, 1)
            if seen["wait_mean_us"] > WAIT_MAX_US:
                raise Void(f"the ends waited {seen['wait_mean_us']:.0f} us for a processor")
        sender = end["streams"][0]["sender"]
        return {"goodput_mbps": end["sum_received"]["bits_per_second"] / 1e6,
                "rtt_ms": sender["mean_rtt"] / 1000, "retransmits": sender["retransmits"],
                "cpu_client": end["cpu_utilization_percent"]["host_total"],
                "load": os.getloadavg()[0]} | seen

    def measure_valid(self, point, carrier, patience):
        """Measure until a run counts. None when the patience is at its end."""
        while True:
            try:
                return self.measure(point, carrier)
            except Void as why:
                patience[0] -= 1
                print(f"  void: {why}", flush=True)
                if patience[0] < 0:
                    return None


def laboratory(args, cells):
    real = {cell: [] for cell in cells}
    patience = [args.patience]
    # What others do on this machine shall not delay the ends: inherited by all that is started.
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    with Lab(f"spot{os.getpid()}", build=args.build, wans=1, lans=0, profiles=["bare"]) as lab:
        bench = Bench(lab, args)
        for i in range(args.rounds):
            for point, carrier in cells:
                r = bench.measure_valid(point, carrier, patience)
                if r:
                    real[point, carrier].append(r)
                    print(f"  {i + 1}/{args.rounds} {point}, {carrier}: "
                          f"{r['goodput_mbps']:.2f} Mbit/s, RTT {r['rtt_ms']:.1f} ms, "
                          f"{r['retransmits']} retransmits, latest {r['late_max_ms']:.1f} ms, "
                          f"waited {r['wait_mean_us']:.0f} us",
                          flush=True)
    return real


# ---- the table ----

def middle(runs, key):
    values = sorted(r[key] for r in runs)
    return statistics.median(values), values[0], values[-1]


def row(point, carrier, model, real):
    line = f"| {point} | {'bare' if carrier == 'none' else carrier} "
    if not real:
        return line + "| - | - | no valid run | | | | |", False
    (m, m_low, m_high), (r, r_low, r_high) = (middle(x, "goodput_mbps") for x in (model, real))
    off = abs(m / r - 1) > AGREE
    line += (f"| {m:.1f} ({m_low:.1f}-{m_high:.1f}) | {r:.1f} ({r_low:.1f}-{r_high:.1f}) "
             f"| {m / r:.2f}{' **off**' if off else ''} ")
    for key, form in (("rtt_ms", ".0f"), ("retransmits", ".0f")):
        line += f"| {middle(model, key)[0]:{form}} / {middle(real, key)[0]:{form}} "
    return line + f"| {len(real)}, {max(x['late_max_ms'] for x in real):.1f} |", not off


def print_table(args, cells, model, real):
    print("\nGoodput in Mbit/s: median (least-most) of "
          f"{args.seeds} seeds and of the real runs; RTT (ms) and retransmits: model / real")
    print("| line | carrier | model | real | ratio | RTT | retransmits | runs, latest ms |")
    print("|---|---|---|---|---|---|---|---|")
    agree = 0
    for cell in cells:
        text, good = row(*cell, model[cell], real[cell])
        agree += good
        print(text)
    print(f"\n{agree} of {len(cells)} within {100 * AGREE:.0f} %")


def machine():
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return {"cpu": cpu[1] if cpu else "unknown", "processors": os.cpu_count(),
            "kernel": platform.release(), "load": os.getloadavg()[0],
            "date": datetime.datetime.now().isoformat(timespec="minutes")}


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=int, default=5,
                   help="of each run that count; twice as many on lines with loss")
    p.add_argument("--seeds", type=int, default=20)
    p.add_argument("--patience", type=int, default=40, help="void runs to make again, in all")
    p.add_argument("--points", help="numbers of the points, from 1, e.g. 1,2,7")
    p.add_argument("--carriers", default=",".join(CARRIERS))
    p.add_argument("--model-only", action="store_true")
    p.add_argument("--json", type=pathlib.Path)
    args = p.parse_args()
    args.build = args.build.resolve()
    numbers = [int(n) for n in args.points.split(",")] if args.points else range(1, len(POINTS) + 1)
    cells = [(POINTS[n - 1], c) for n in numbers for c in args.carriers.split(",")]
    print(", ".join(f"{k} {v}" for k, v in machine().items()), flush=True)
    model = {cell: simulate(args, *cell) for cell in cells}
    real = {cell: [] for cell in cells} if args.model_only else laboratory(args, cells)
    print_table(args, cells, model, real)
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "cells": [
            {"line": str(c[0]), "carrier": c[1], "model": model[c], "real": real[c]}
            for c in cells]}, indent=1))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("spot: stopped"))
    try:
        main()
    except (LabError, OSError, subprocess.TimeoutExpired) as error:
        sys.exit(f"spot: {error}")
