#!/usr/bin/env python3
"""Bonded links: the matrix of lab/links, modelled (sim-bond) and, for some of its cells, real: in
namespaces, with the kernel's TCP (laboratory.py).

Carriers of the laboratory: `bare`, TCP over each WAN by itself, and added up ("sum"); `mptcp`, the
kernel's multipath TCP over all WANs at once, from end to end; `single`, our tunnel over each WAN by
itself; `bond`, one session of ours over all WANs. Flows are TCP with CUBIC (lab/flows.py) from the hub
to the edge ("down") or the other way; a ping of 50 packets a second beside them tells the round trip.
Every measurement begins at the same place of the links' traces. A round measures everything once, in
turn. Runs that the machine disturbed (frames left the emulator late) are void and made again while the
patience lasts. What was measured is kept in a file, and a further run adds its rounds. Needs root.
"""
import argparse
import json
import os
import pathlib
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
import laboratory  # noqa: E402
import tables  # noqa: E402
import uplinks  # noqa: E402
from lab import LINKS, LabError  # noqa: E402

KEY_CELLS = "open,hops,far,fibre-lte,ten-to-one"
DOCUMENT = ROOT / "doc" / "bond-laboratory.md"


# ---- the model ----

def simulate_cell(args, cell, *more):
    """What sim-bond prints of a cell, and its rows. more are more words for it."""
    with tempfile.TemporaryDirectory() as directory:
        file = pathlib.Path(directory) / "rows.json"
        command = [args.build / "bench" / "sim-bond", "-m", LINKS, "-c", cell, "-n", args.seeds,
                   "-s", args.model_seconds, "-j", file, *more]
        said = subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True)
        return said.stdout, json.loads(file.read_text())


def simulate(args, cells):
    """The rows of all these cells; prints the tables, and what misses an aim."""
    which = ["-b"] if len(args.directions) > 1 else ["-u"] if args.directions == ["up"] else []
    with tempfile.TemporaryDirectory() as directory:
        file = pathlib.Path(directory) / "rows.json"
        command = [args.build / "bench" / "sim-bond", "-m", LINKS, "-c", ",".join(cells), "-n",
                   args.seeds, "-s", args.model_seconds, "-P", os.cpu_count(), "-j", file, *which]
        sys.stdout.flush()
        subprocess.run([str(c) for c in command], check=True)
        return json.loads(file.read_text())


def simulate_rounds(args, units):
    """{(cell, load, direction, carrier, WAN): goodput} of the laboratory's rounds at the same places of
    the traces: the median over rounds."""
    found, modelled = {}, uplinks.cells()
    for u in units:
        if u["cell"] not in modelled:
            continue
        words = ["-o", laboratory.STEP * u["round"], "-n", 1, "-s", args.seconds, "-l", u["load"]]
        for row in simulate_cell(args, u["cell"], *words, *(["-u"] if u["direction"] == "up" else []))[1]:
            key = u["cell"], u["load"], u["direction"], row["carrier"], row["wan"]
            found.setdefault(key, []).extend(r["goodput_mbps"] for r in row["runs"] if r["valid"])
    return {key: statistics.median(values) for key, values in found.items() if values}


# ---- the laboratory ----

def machine():
    with open("/proc/cpuinfo") as f:
        cpu = next((line.split(":")[1].strip() for line in f if line.startswith("model name")), "?")
    return (f"{cpu}, {os.cpu_count()} processors, Linux {platform.release()}, "
            f"{platform.freedesktop_os_release()['PRETTY_NAME']}")


def commit():
    said = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True,
                          text=True, check=False)
    return said.stdout.strip() or "unknown"


class Record:
    """What was measured, in a file."""

    def __init__(self, file, fresh):
        self.file = file
        kept = json.loads(file.read_text()) if file.exists() and not fresh else {}
        self.data = {"units": []} | kept | {"machine": machine()}

    def rounds(self):
        return max((u["round"] for u in self.data["units"]), default=-1) + 1

    def add(self, cell, load, direction, number, rows):
        self.data["units"].append({
            "cell": cell, "links": laboratory.all_cells()[cell], "load": load, "direction": direction,
            "round": number, "commit": commit(), "date": time.strftime("%F %H:%M UTC", time.gmtime()),
            "rows": [{"carrier": c, "wan": w, "figures": f} for (c, w), f in rows.items()]})
        text = json.dumps(self.data, indent=1)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.with_suffix(".new").write_text(text)
        self.file.with_suffix(".new").replace(self.file)


def measure(args, record, cells):
    for cell, load, direction, number, rows in laboratory.run(args, cells, record.rounds()):
        record.add(cell, load, direction, number, rows)
        print(f"  {number + 1} {cell} {load} {direction}: " + ", ".join(
            f"{carrier} {wan or 'all'} {f['goodput_mbps']:.1f}"
            for (carrier, wan), f in rows.items() if f), flush=True)


# ---- both ----

def chosen(text, known, what):
    names = text.split(",")
    wrong = [n for n in names if n not in known]
    if wrong:
        sys.exit(f"bond: no such {what}: {' '.join(wrong)}; there are {' '.join(known)}")
    return names


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    p.add_argument("--cells", default=KEY_CELLS, help=f"of the laboratory ({KEY_CELLS}), or all")
    p.add_argument("--model-cells", default="all")
    p.add_argument("--loads", default="tcp1,tcp4,tcp16", help="of the laboratory")
    p.add_argument("--directions", default="down,up")
    p.add_argument("--rounds", type=int, default=2)
    p.add_argument("--seconds", type=int, default=6)
    p.add_argument("--seeds", type=int, default=3)
    p.add_argument("--model-seconds", type=int, default=30)
    p.add_argument("--patience", type=int, default=20, help="void runs to make again, in all")
    p.add_argument("--model-only", action="store_true", help="no laboratory")
    p.add_argument("--lab-only", action="store_true", help="no model")
    p.add_argument("--json", type=pathlib.Path, help="what was measured; default BUILD/bench-bond.json")
    p.add_argument("--fresh", action="store_true", help="forget what is in that file")
    p.add_argument("--report", action="store_true", help="measure nothing, print what is there")
    p.add_argument("--publish", action="store_true", help=f"write {DOCUMENT.name} as well")
    args = p.parse_args()
    args.build = args.build.resolve()
    args.json = args.json or args.build / "bench-bond.json"
    return args


def main():
    args = arguments()
    known = laboratory.all_cells()
    modelled = list(uplinks.cells())
    cells = list(known) if args.cells == "all" else chosen(args.cells, known, "cell")
    model_cells = modelled if args.model_cells == "all" else chosen(args.model_cells, modelled, "cell")
    args.loads = chosen(args.loads, laboratory.LOADS, "load")
    args.directions = chosen(args.directions, ["down", "up"], "direction")
    record = Record(args.json, args.fresh)
    if not args.report:
        if not args.lab_only:
            record.data["model"] = simulate(args, model_cells)
        if not args.model_only:
            measure(args, record, cells)
    if record.data["units"] and not args.model_only:
        quick = args.lab_only or args.report
        print("\n" + tables.text(record.data["units"], {} if quick else simulate_rounds(
            args, record.data["units"])))
    if args.publish:
        DOCUMENT.write_text(tables.published(record.data))
        DOCUMENT.with_suffix(".json").write_text(
            json.dumps({k: v for k, v in record.data.items() if k != "model"}) + "\n")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bond: stopped"))
    try:
        main()
    except (LabError, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"bond: {error}")
