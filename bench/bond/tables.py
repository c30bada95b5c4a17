"""What the laboratory measured of bonded links: tables, and the bond beside what it aims at.

A unit is a dictionary: cell, links, load, direction, round, and rows, each with carrier, wan (0: all)
and figures (None: no valid run). Ratios are made inside a unit.
"""
import statistics

SUM_MIN = {"hops": {"tcp1": 0.95, "tcp4": 0.95, "tcp16": 0.95},
           "near": {"tcp1": 0.95, "tcp4": 0.95, "tcp16": 0.95},
           "far": {"tcp1": 0.90, "tcp4": 0.93, "tcp16": 0.93}}
RTT_MAX = {"hops": 5, "near": 5}
BEST_MIN, P5_MIN, RTT_OVER = 0.97, 0.85, 10
CPU_MAX, OPEN_MIN = 1.35, 0.7


def figures(unit, carrier, wan=0):
    for row in unit["rows"]:
        if (row["carrier"], row["wan"]) == (carrier, wan):
            return row["figures"]
    return None


def alone(unit, carriers=("bare", "single")):
    """[(carrier, WAN, figures)] of what goes over one WAN; None when a run is missing."""
    rows = [r for r in unit["rows"] if r["carrier"] in carriers]
    if not rows or not all(r["figures"] for r in rows):
        return None
    return [(r["carrier"], r["wan"], r["figures"]) for r in rows]


def foreign(units):
    """Per cent of the processors that others used, the median over runs."""
    seen = [r["figures"]["foreign"] for u in units for r in u["rows"] if r["figures"]]
    return 100 * statistics.median(seen) if seen else 0


def bare_sum(unit):
    rows = alone(unit, ("bare",))
    return sum(f["goodput_mbps"] for _, _, f in rows) if rows else None


def verdict(unit):
    """What is asked of the bond, as {figure: value}: its goodput as a share of the bare links added
    up (`of_sum`) and of the best line alone, bare or ours (`of_best`), its p5 as a share of that
    line's, how much longer the ping's p95 is; its processor time for each GB, and its goodput, as
    a share of those of our best single path. Empty when a run is missing."""
    bond, lines = figures(unit, "bond"), alone(unit)
    if not bond or not lines:
        return {}
    best = max((f for _, _, f in lines), key=lambda f: f["goodput_mbps"])
    ours = max((f for c, _, f in lines if c == "single"), key=lambda f: f["goodput_mbps"])
    found = {"of_sum": bond["goodput_mbps"] / bare_sum(unit),
             "of_best": bond["goodput_mbps"] / best["goodput_mbps"],
             "of_single": bond["goodput_mbps"] / ours["goodput_mbps"],
             "cpu": cpu(bond) / cpu(ours)}
    if best["p5_mbps"]:
        found["p5"] = bond["p5_mbps"] / best["p5_mbps"]
    if "p95_ms" in bond and "p95_ms" in best:
        found |= {"rtt_median_ms": bond["p50_ms"], "rtt_ms": bond["p95_ms"],
                  "rtt_over": bond["p95_ms"] - best["p95_ms"]}
    return found


def cpu(f):
    """Processor seconds for each GB of both ends."""
    return f["edge_cpu"] + f["hub_cpu"]


def limits(cell, load):
    """[(figure, what it is, limit, whether that is the least)]."""
    found = []
    if cell == "open":
        found.append(("of_single", "of our single path", OPEN_MIN, True))
    else:
        if load in SUM_MIN.get(cell, {}):
            found.append(("of_sum", "of the sum", SUM_MIN[cell][load], True))
        if cell in RTT_MAX:
            found += [("rtt_median_ms", "ping median, ms", RTT_MAX[cell], False),
                      ("rtt_ms", "ping p95, ms", RTT_MAX[cell], False)]
        found += [("of_best", "of the best line", BEST_MIN, True),
                  ("p5", "p5, of that line's", P5_MIN, True),
                  ("rtt_over", "ping p95 over that line's, ms", RTT_OVER, False)]
    if cell in ("open", "hops"):  # a slower line costs for each GB mostly what time costs
        found.append(("cpu", "processor time, of our single path's", CPU_MAX, False))
    return found


def spread(values, digits=1):
    values = [v for v in values if v is not None]
    if not values:
        return "-"
    text = f"{statistics.median(values):.{digits}f}"
    if len(values) > 1:
        text += f" ({min(values):.{digits}f}-{max(values):.{digits}f})"
    return text


def groups(units):
    """{(cell, load, direction): its units}, in the order of their first appearance."""
    found = {}
    for u in units:
        found.setdefault((u["cell"], u["load"], u["direction"]), []).append(u)
    return found


def aim_rows(units):
    rows = [["cell, load, direction", "what", "aim", "measured", ""]]
    for (cell, load, direction), these in groups(units).items():
        verdicts = [v for v in map(verdict, these) if v]
        for figure, name, limit, least in limits(cell, load):
            values = [v[figure] for v in verdicts if figure in v]
            if not values:
                continue
            middle = statistics.median(values)
            good = middle >= limit if least else middle <= limit
            rows.append([f"{cell}, {load}, {direction}", name,
                         f"{'>=' if least else '<='} {limit:g}", spread(values, 2),
                         "yes" if good else "NO"])
    return rows


def carrier_row(name, these, carrier, wan, model):
    seen = [f for f in (figures(u, carrier, wan) for u in these) if f]
    share = [f["goodput_mbps"] / bare_sum(u) for u in these
             if (f := figures(u, carrier, wan)) and bare_sum(u)]

    def middle(key, digits=1):
        values = [f[key] for f in seen if key in f]
        return f"{statistics.median(values):.{digits}f}" if values else "-"

    return [name, spread([f["goodput_mbps"] for f in seen]), spread(share, 2),
            f"{model:.1f}" if model is not None else "-", middle("p5_mbps"), middle("p50_ms"),
            middle("p95_ms"), middle("p99_ms"), middle("edge_cpu", 2), middle("hub_cpu", 2)]


def carrier_rows(these, model):
    head = ["carrier", "goodput", "of the sum", "model", "p5", "RTT p50", "p95", "p99", "edge",
            "hub"]
    rows, first = [head], these[0]
    for row in first["rows"]:
        carrier, wan = row["carrier"], row["wan"]
        name = f"{carrier} {first['links'][wan - 1] if wan else 'all'}"
        key = first["cell"], first["load"], first["direction"], carrier, wan
        rows.append(carrier_row(name, these, carrier, wan, model.get(key)))
    return rows


def table(rows):
    def line(cells):
        return "| " + " | ".join(cells) + " |\n"
    return line(rows[0]) + "|" + "---|" * len(rows[0]) + "\n" + "".join(map(line, rows[1:]))


LEGEND = """\
Median over the rounds (least-greatest). Goodput and p5, the 5th percentile of the goodput of single
seconds, in Mbit/s; "sum" is the goodput of the bare links of the same round added up; round trip of a
ping beside the flows in ms; processor seconds for each GB of the two ends of the tunnel. The ping of
`bare` goes over that WAN, of `mptcp` over the first WAN, of the others through the tunnel.
"""


def text(units, model={}):
    """Everything, as Markdown."""
    parts = [LEGEND + "\n", table(aim_rows(units))]
    for (cell, load, direction), these in groups(units).items():
        parts.append(f"\n### {cell} ({' + '.join(these[0]['links'])}), {load}, {direction}\n\n"
                     f"Others used {foreign(these):.0f} % of the processors meanwhile.\n\n")
        parts.append(table(carrier_rows(these, model)))
    return "".join(parts)


INTRO = """\
# Bonded links in the laboratory

Made by `make bench-bond ARGS=--publish`; do not edit. `bench/README.md` tells how it is measured.

- Machine: {machine}.
- Measured {first} to {last}, {rounds} rounds, mpquic commit {commits}.

Others worked on the same processors meanwhile; each table says how much. `open` and `hops` had
real-time priority, so they hardly show it. The cells over the emulator had not: there the ends of a
tunnel wait for a processor, and what is little says little.

"""


def published(data):
    """doc/bond-laboratory.md of what was kept."""
    units = data["units"]
    rounds = [len(these) for these in groups(units).values()]
    return INTRO.format(
        machine=data["machine"], first=min(u["date"] for u in units),
        last=max(u["date"] for u in units),
        rounds=f"{min(rounds)} to {max(rounds)}" if min(rounds) < max(rounds) else rounds[0],
        commits=", ".join(dict.fromkeys(u["commit"] for u in units))) + text(units)
