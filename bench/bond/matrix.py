#!/usr/bin/env python3
"""The whole matrix of bonded links in virtual time, in pieces: what sim-bond says of each cell with each
load, both ways, is kept in a file of its own, and a further run goes on with what is missing. A figure
depends on nothing but the program, so it does not matter how busy the machine is.

    bench/bond/matrix.py --publish     doc/bond-matrix.md and .json
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DOCUMENT = ROOT / "doc" / "bond-matrix.md"
GOODPUT_MIN, P5_MIN, P95_MAX = 0.97, 0.85, 10  # as bench/bond/verdict.c has them
SUM_MIN = {("near", "tcp1"): 0.95, ("near", "tcp4"): 0.95, ("near", "tcp16"): 0.95,
           ("far", "tcp1"): 0.90, ("far", "tcp4"): 0.93, ("far", "tcp16"): 0.93}
RTT_MAX = {"near": 5}  # ms, under load

INTRO = """\
# The matrix of bonded links

Made by `bench/bond/matrix.py --publish`; do not edit. The lines are those of
[`lab/links`](../lab/links/README.md), in virtual time: a run gives the same on every machine.
`bench/README.md` tells what is measured, [bond-laboratory.md](bond-laboratory.md) has key cells with
the kernel's TCP and the program itself.

Medians over {seeds} seeds of {seconds} s (least-greatest), Mbit/s. "Bare" is each line alone without
a tunnel, in the order of the cell; "of the sum" what the bond has of them added up. Against the best
line, bare or through our tunnel, the bond shall have at least {goodput} of its goodput and {p5} of its
p5 (5th percentile of single seconds), and a p95 of the ping at most {p95} ms longer.

"""


def name_of(unit):
    return f"{unit['cell']} {unit['load']} {unit['direction']}"


def median(row, figure):
    values = [r[figure] for r in row["runs"] if r["valid"]]
    return statistics.median(values) if values else None


def units_of(rows):
    """[{cell, load, direction, seconds, rows: [{carrier, link, wan, medians}], verdict}]."""
    found = {}
    for row in rows:
        key = row["cell"], row["load"], row["direction"]
        unit = found.setdefault(key, dict(zip(("cell", "load", "direction"), key),
                                          seconds=row["seconds"], rows=[], verdict=None))
        if row["carrier"] == "verdict":
            unit["verdict"] = {k: row[k] for k in ("link", "of_sum", "goodput_share", "p5_share",
                                                   "p95_more_ms")}
            continue
        figures = [k for k in row["runs"][0] if k not in ("seed", "valid")] if row["runs"] else []
        unit["rows"].append({"carrier": row["carrier"], "link": row["link"], "wan": row["wan"],
                             "medians": {f: median(row, f) for f in figures}})
    return list(found.values())


def row_of(unit, carrier, wan):
    for row in unit["rows"]:
        if (row["carrier"], row["wan"]) == (carrier, wan) and row["link"] != "sum":
            return row
    return None


def misses(unit):
    """What it does not reach, in words."""
    found, v, bond = [], unit["verdict"], row_of(unit, "bond", 0)
    if v and v["goodput_share"][0] < GOODPUT_MIN:
        found.append(f"goodput {v['goodput_share'][0]:.2f}")
    if v and v["p5_share"][0] < P5_MIN:
        found.append(f"p5 {v['p5_share'][0]:.2f}")
    if v and v["p95_more_ms"][0] > P95_MAX:
        found.append(f"p95 {v['p95_more_ms'][0]:+.0f} ms")
    least = SUM_MIN.get((unit["cell"], unit["load"]))
    if v and least and v["of_sum"] < least:
        found.append(f"{v['of_sum']:.2f} of the sum, not {least:.2f}")
    most = RTT_MAX.get(unit["cell"])
    if most and bond and unit["load"].startswith("tcp") and bond["medians"]["p95_ms"] > most:
        found.append(f"ping p95 {bond['medians']['p95_ms']:.1f} ms, not {most}")
    return found


def table(rows):
    def line(cells):
        return "| " + " | ".join(cells) + " |\n"
    return line(rows[0]) + "|" + "---|" * len(rows[0]) + "\n" + "".join(map(line, rows[1:]))


def share(v):
    return f"{v[0]:.2f} ({v[1]:.2f}-{v[2]:.2f})"


def bulk_table(units):
    rows = [["cell", "load", "bare", "our tunnel", "bond", "of the sum", "best line", "goodput", "p5",
             "p95 ms"]]
    for u in units:
        v, bond = u["verdict"], row_of(u, "bond", 0)
        if not v or not bond or u["load"] == "stream":
            continue
        lines = [" + ".join(f"{r['medians']['goodput_mbps'] or 0:.1f}" for r in u["rows"]
                            if r["carrier"] == carrier and r["wan"])
                 for carrier in ("bare", "single")]
        rows.append([u["cell"], f"{u['load']} {u['direction']}", *lines,
                     f"{bond['medians']['goodput_mbps']:.1f}", f"{v['of_sum']:.2f}", v["link"],
                     share(v["goodput_share"]), f"{v['p5_share'][0]:.2f}",
                     f"{v['p95_more_ms'][0]:+.1f}"])
    return table(rows) if len(rows) > 1 else ""


def stream_table(units):
    """Of a stream of 50 small packets a second: one-way delay, and what is lost or late."""
    rows = [["cell", "direction", "carrier", "p50 ms", "p95", "p99", "lost %", "late %"]]
    for u in units:
        for r in u["rows"] if u["load"] == "stream" else []:
            m = r["medians"]
            if r["link"] != "sum" and m.get("p50_ms") is not None:
                rows.append([u["cell"], u["direction"], f"{r['carrier']} {r['link']}",
                             f"{m['p50_ms']:.1f}", f"{m['p95_ms']:.1f}", f"{m['p99_ms']:.1f}",
                             f"{100 * m['lost']:.2f}", f"{100 * m['late']:.2f}"])
    return table(rows) if len(rows) > 1 else ""


def published(units, missing, seeds, seconds):
    """The document. missing: what was not measured, {cell: loads}."""
    compared = [u for u in units if u["verdict"]]
    bad = [u for u in compared if misses(u)]
    text = INTRO.format(seeds=seeds, seconds=seconds, goodput=GOODPUT_MIN, p5=P5_MIN, p95=P95_MAX)
    text += f"{len(compared) - len(bad)} of {len(compared)} reach all of it.\n\n## Not reached\n\n"
    text += table([["cell, load, direction", "what"]] + [[name_of(u), ", ".join(misses(u))]
                                                          for u in bad]) if bad else "None.\n"
    if missing:
        text += "\n## Not measured\n\n" + table(
            [["cell", "loads"]] + [[cell, ", ".join(loads)] for cell, loads in missing.items()])
    text += "\n## Bulk\n\n" + bulk_table(compared)
    calls = stream_table(units)
    if calls:
        text += "\n## A stream of 50 small packets a second\n\n" + calls
    return text


# ---- measuring ----

def known(program):
    """The names of all cells and loads."""
    said = subprocess.run([program, "-m", ROOT / "lab" / "links", "-a"], check=True,
                          capture_output=True, text=True).stdout
    found = {"cell": [], "load": []}
    for line in said.splitlines():
        kind, _, rest = line.partition(" ")
        found.get(kind, []).append(rest.split(":")[0].strip())
    return found["cell"], found["load"]


def measure(args, program, cell, load, file):
    new = file.with_suffix(".new")
    subprocess.run([program, "-m", ROOT / "lab" / "links", "-b", "-c", cell, "-l", load, "-n",
                    str(args.seeds), "-s", str(args.seconds), "-P", str(args.jobs), "-j", new],
                   check=True)
    new.replace(file)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    p.add_argument("--kept", type=pathlib.Path, help="directory; default BUILD/bond-matrix")
    p.add_argument("--seeds", type=int, default=3)
    p.add_argument("--seconds", type=int, default=20)
    p.add_argument("--jobs", type=int, default=2)
    p.add_argument("--report", action="store_true", help="measure nothing, take what is there")
    p.add_argument("--publish", action="store_true", help=f"write {DOCUMENT.name} and its data")
    args = p.parse_args()
    kept, program = args.kept or args.build / "bond-matrix", args.build / "bench" / "sim-bond"
    kept.mkdir(parents=True, exist_ok=True)
    cells, loads = known(program)
    rows, missing = [], {}
    for cell in cells:
        for load in loads:
            file = kept / f"{cell}.{load}.json"
            if not file.exists() and not args.report:
                measure(args, program, cell, load, file)
            if file.exists():
                rows += json.loads(file.read_text())
            else:
                missing.setdefault(cell, []).append(load)
    units = units_of(rows)
    text = published(units, missing, args.seeds, args.seconds)
    print(text)
    if args.publish:
        DOCUMENT.write_text(text)
        DOCUMENT.with_suffix(".json").write_text(
            "[" + ",\n".join(json.dumps(u, separators=(",", ":")) for u in units) + "]\n")


if __name__ == "__main__":
    try:
        main()
    except (OSError, subprocess.SubprocessError) as error:
        sys.exit(f"matrix: {error}")
