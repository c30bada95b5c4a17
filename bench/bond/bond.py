#!/usr/bin/env python3
"""Bonded links: the matrix of lab/links, modelled (sim-bond) and, for some of its cells, real: in
namespaces, over lab/wanemu.

Carriers of the laboratory: `bare`, TCP over each WAN by itself, and added up ("sum"); `mptcp`, the
kernel's multipath TCP over all WANs at once, from end to end; `single`, our tunnel over each WAN by
itself. Flows are TCP with CUBIC (lab/flows.py) from the hub to the edge, or with --up the other way;
a ping of 50 packets a second beside them tells the round trip. Every measurement begins at the same
place of the links' traces. A round measures everything once, in turn. Runs that the machine disturbed
(frames left the emulator late) are void and made again while the patience lasts. Needs root.
"""
import argparse
import concurrent.futures
import contextlib
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "lab"))
import uplinks  # noqa: E402
from lab import LINKS, Lab, LabError  # noqa: E402
from traffic import parse_ping  # noqa: E402
from tunnel import Site, Tunnel, client_keys, reachable, server_keys, write_config  # noqa: E402

KEY_CELLS = "near,far,fibre-lte,lte-starlink"
LOADS = {"tcp1": 1, "tcp4": 4, "tcp16": 16}
OMIT = 5          # seconds of a flow that do not count; as in the model
PING_EVERY = 0.02
STEP = 17         # seconds that each round begins later in the traces


class Void(Exception):
    """The run says nothing: the machine disturbed it."""


# ---- the model ----

def simulate_cell(args, cell, *more):
    """What sim-bond prints of a cell, and its rows. more are more words for it."""
    with tempfile.TemporaryDirectory() as directory:
        file = pathlib.Path(directory) / "rows.json"
        command = [args.build / "bench" / "sim-bond", "-m", LINKS, "-c", cell, "-n", args.seeds,
                   "-s", args.model_seconds, "-j", file, *more] + (["-u"] if args.up else [])
        said = subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True)
        return said.stdout, json.loads(file.read_text())


def simulate(args, cells):
    """The rows of all these cells, as many at a time as there are processors; prints the tables."""
    rows = []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for text, more in pool.map(lambda cell: simulate_cell(args, cell), cells):
            print(text, end="", flush=True)
            rows += more
    return rows


def simulate_rounds(args, cells):
    """{(cell, load, carrier, WAN): goodput} of the laboratory's rounds at the same places of the
    traces: the median over rounds."""
    found = {}
    for number in range(args.rounds):
        for cell in cells:
            for row in simulate_cell(args, cell, "-o", STEP * number, "-n", 1, "-s", args.seconds,
                                     "-l", ",".join(args.loads))[1]:
                if row["wan"]:
                    key = cell, row["load"], row["carrier"], row["wan"]
                    found.setdefault(key, []).extend(
                        r["goodput_mbps"] for r in row["runs"] if r["valid"])
    return {key: statistics.median(values) for key, values in found.items() if values}


# ---- the laboratory ----

class Bench:
    def __init__(self, lab, args):
        self.lab, self.args, self.ends = lab, args, []
        self.site = Site(lab)
        uplinks.route(lab)
        # A socket that begins with BBR paces for ever, even when it is told to use CUBIC.
        for node in ("edge", "hub"):
            lab.exec(node, "sysctl", "-qw", "net.ipv4.tcp_congestion_control=reno")
        self.tcp = uplinks.Flows(lab)
        self.mptcp = uplinks.Flows(lab, mptcp=True) if uplinks.has_mptcp(lab) else None

    @contextlib.contextmanager
    def tunnels(self, n):
        """One of ours over each of the first n WANs."""
        lab, ends = self.lab, []
        try:
            for i in range(1, n + 1):
                files = {"hub": write_config(lab.state / f"hub{i}.yaml", **server_keys(i)),
                         "edge": write_config(lab.state / f"edge{i}.yaml", **client_keys(i, lab.hub4))}
                for node, file in files.items():
                    ends.append(Tunnel(lab, node, file, self.site.etc[node]).start())
            for i in range(1, n + 1):
                reachable(lab, "edge", f"10.200.{i}.2", ends=ends)
            yield
        finally:
            for end in reversed(ends):
                end.stop()

    def ping(self, target, bind, seconds):
        log = self.lab.state / "ping.log"
        log.unlink(missing_ok=True)
        words = ["-I", bind] if bind else []
        return log, self.lab.popen("edge", "ping", "-n", "-i", PING_EVERY, "-c",
                                   int(seconds / PING_EVERY), *words, target, log=log)

    def measure(self, server, links, load, number, target, bind, pinged=True):
        """One run over WANs that are these links. With pinged a ping runs beside it."""
        args, lab = self.args, self.lab
        uplinks.play(lab, links, start=STEP * number)
        for i in lab.each_wan():
            lab.wan(i).reset()
        log, ping = self.ping(target, bind, args.seconds + OMIT) if pinged else (None, None)
        try:
            seen = server.run("edge", target, flows=LOADS[load], seconds=args.seconds, omit=OMIT,
                              bind=bind, down=not args.up)
        finally:
            if ping:
                lab.stop(ping, signal.SIGINT)
        why = uplinks.disturbance(lab, range(1, len(links) + 1))
        if why:
            raise Void(why)
        bins = sorted(b / 1e6 for b in seen["bins"])
        result = {"goodput_mbps": seen["bits_per_second"] / 1e6,
                  "p5_mbps": bins[max(-(-len(bins) // 20) - 1, 0)], "subflows": seen["subflows"]}
        if ping:
            result |= quantiles(parse_ping(log.read_text()).times)
        return result

    def measure_valid(self, *what, **more):
        """Measure until a run counts; None when the patience is at its end."""
        while True:
            try:
                return self.measure(*what, **more)
            except Void as why:
                self.args.patience -= 1
                print(f"  void: {why}", flush=True)
                if self.args.patience < 0:
                    return None

    def cell(self, links, load, number):
        """{(carrier, WAN): figures} of one round; WAN 0 = over all."""
        rows, n, hub = {}, len(links), self.lab.hub4
        for i in range(1, n + 1):
            rows["bare", i] = self.measure_valid(self.tcp, links, load, number, hub,
                                                 uplinks.address(i))
        if self.mptcp:
            uplinks.mptcp(self.lab, range(1, n + 1))
            rows["mptcp", 0] = self.measure_valid(self.mptcp, links, load, number, hub, None,
                                                  pinged=False)
        with self.tunnels(n):
            for i in range(1, n + 1):
                rows["single", i] = self.measure_valid(self.tcp, links, load, number,
                                                       f"10.200.{i}.2", None)
        return rows


def quantiles(times):
    v = sorted(times)
    if not v:
        return {}
    return {f"p{q}_ms": v[min(int(q / 100 * len(v)), len(v) - 1)] for q in (50, 95, 99)}


def laboratory(args, cells):
    matrix, found = uplinks.cells(), []
    wans = max(len(matrix[c]) for c in cells)
    # What others do on this machine shall not delay the ends: inherited by all that is started. No
    # real-time priority: at 300 Mbit/s the kernel would throttle that, and the emulator with it.
    os.setpriority(os.PRIO_PROCESS, 0, -15)
    with Lab(f"bond{os.getpid()}", build=args.build, wans=wans, lans=0, profiles=["bare"] * wans) as lab:
        bench = Bench(lab, args)
        if not bench.mptcp:
            print("no MPTCP in this kernel: not measured")
        for number in range(args.rounds):
            for cell in cells:
                for load in args.loads:
                    rows = bench.cell(matrix[cell], load, number)
                    found.append((cell, load, rows))
                    print(f"  {number + 1}/{args.rounds} {cell} {load}: " + ", ".join(
                        f"{carrier} {wan or 'all'} {r['goodput_mbps']:.1f}"
                        for (carrier, wan), r in rows.items() if r), flush=True)
    return found


# ---- the table ----

def spread(values):
    values = [v for v in values if v is not None]
    if not values:
        return "-"
    return f"{statistics.median(values):.1f} ({min(values):.1f}-{max(values):.1f})"


def print_row(name, runs, sums, model):
    values = [r["goodput_mbps"] for r in runs if r]
    share = [r["goodput_mbps"] / s for r, s in zip(runs, sums) if r and s]
    cells = [name, spread(values), f"{statistics.median(share):.2f}" if share else "-",
             f"{model:.1f}" if model is not None else "-"]
    for key in ("p5_mbps", "p50_ms", "p95_ms", "p99_ms"):
        seen = [r[key] for r in runs if r and key in r]
        cells.append(f"{statistics.median(seen):.1f}" if seen else "-")
    print(f"| {' | '.join(cells)} |")


def print_tables(args, found, model):
    matrix = uplinks.cells()
    print("\nMedian (least-most) of the goodput in Mbit/s; of the sum of the bare links in the same "
          "round; the model's\nat the same places of the traces; 5th percentile of the seconds; round trip of a ping beside it in ms")
    for cell, load in dict.fromkeys((c, l) for c, l, _ in found):
        rounds = [rows for c, l, rows in found if (c, l) == (cell, load)]
        links = matrix[cell]
        sums = [sum(r["bare", i]["goodput_mbps"] for i in range(1, len(links) + 1))
                if all(r["bare", i] for i in range(1, len(links) + 1)) else None for r in rounds]
        print(f"\n{cell} ({' + '.join(links)}), {load}, {'up' if args.up else 'down'}\n"
              "| carrier | goodput | of the sum | model | p5 | p50 | p95 | p99 |\n"
              "|---|---|---|---|---|---|---|---|")
        for carrier, wan in rounds[0]:
            name = f"{carrier} {links[wan - 1] if wan else 'all'}"
            print_row(name, [r[carrier, wan] for r in rounds], sums,
                      model.get((cell, load, carrier, wan)))


def chosen(text, known, what):
    names = text.split(",")
    wrong = [n for n in names if n not in known]
    if wrong:
        sys.exit(f"bond: no such {what}: {' '.join(wrong)}; there are {' '.join(known)}")
    return names


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    p.add_argument("--cells", default=KEY_CELLS, help=f"of the laboratory ({KEY_CELLS}), or all")
    p.add_argument("--model-cells", default="all")
    p.add_argument("--loads", default="tcp1,tcp4", help="of the laboratory: tcp1, tcp4, tcp16")
    p.add_argument("--up", action="store_true", help="from the edge to the hub")
    p.add_argument("--rounds", type=int, default=2)
    p.add_argument("--seconds", type=int, default=8)
    p.add_argument("--seeds", type=int, default=3)
    p.add_argument("--model-seconds", type=int, default=30)
    p.add_argument("--patience", type=int, default=20, help="void runs to make again, in all")
    p.add_argument("--model-only", action="store_true")
    p.add_argument("--lab-only", action="store_true")
    p.add_argument("--json", type=pathlib.Path)
    args = p.parse_args()
    args.build = args.build.resolve()
    matrix = uplinks.cells()
    cells = list(matrix) if args.cells == "all" else chosen(args.cells, matrix, "cell")
    model_cells = list(matrix) if args.model_cells == "all" else chosen(args.model_cells, matrix, "cell")
    args.loads = chosen(args.loads, LOADS, "load")
    model = [] if args.lab_only else simulate(args, model_cells)
    found = [] if args.model_only else laboratory(args, cells)
    if found:
        print_tables(args, found, simulate_rounds(args, cells))
    if args.json:
        args.json.write_text(json.dumps({"model": model, "laboratory": [
            {"cell": c, "load": l, "carrier": k[0], "wan": k[1], "figures": r}
            for c, l, rows in found for k, r in rows.items()]}, indent=1))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bond: stopped"))
    try:
        main()
    except (LabError, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"bond: {error}")
