"""Bonded links for real: namespaces, the kernel's TCP, the program itself.

Cells are those of lab/links/matrix over lab/wanemu, and two whose WANs have no emulator: `hops`, 300 and
80 Mbit/s by token buckets at router hops, and `open`, two WANs that nothing limits but the processors.
"""
import contextlib
import os
import pathlib
import signal
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "lab"), str(ROOT / "bench" / "peers")]
import bond as one_session  # noqa: E402  (lab/bond.py)
import measure  # noqa: E402
import uplinks  # noqa: E402
from lab import WIRE, Lab  # noqa: E402
from traffic import parse_ping  # noqa: E402
from tunnel import Site, Tunnel, client_keys, reachable, server_keys, write_config  # noqa: E402

WIRES = {"hops": [300, 80], "open": [0, 0]}  # Mbit/s of each WAN; 0: as much as there is
LOADS = {"tcp1": 1, "tcp4": 4, "tcp16": 16}
OMIT = {True: 2, False: 5}  # seconds of a flow that do not count, by whether the cell has no emulator
PING_EVERY = 0.02
STEP = 17         # seconds that each round begins later in the traces


class Void(Exception):
    """The run says nothing: the machine disturbed it."""


def all_cells():
    """{name: names of its WANs}."""
    wires = {name: [f"{rate} Mbit/s" if rate else "unlimited" for rate in rates]
             for name, rates in WIRES.items()}
    return wires | uplinks.cells()


def quantiles(times):
    v = sorted(times)
    if not v:
        return {}
    return {f"p{q}_ms": v[min(int(q / 100 * len(v)), len(v) - 1)] for q in (50, 95, 99)}


def process_seconds(pid):
    """Processor time of a process and what it forked."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0
    return (int(fields[11]) + int(fields[12])) / measure.TICK + sum(map(process_seconds, children))


class Window:
    """What the processors did inside the with block: seconds of `ends`, by name, and the share of all
    processors that others on this machine used, `foreign`."""

    def __init__(self, lab, ends):
        self.lab, self.tunnels = lab, ends

    def sample(self):
        _, used = measure.cpu_times()
        ends = {name: process_seconds(end.process.pid) for name, end in self.tunnels.items()}
        own = sum(os.times()[:4]) + measure.kernel_threads() + sum(
            process_seconds(p.pid) for p in self.lab.processes if p.poll() is None)
        return {"wall": time.monotonic(), "others": used - own} | ends

    def __enter__(self):
        self.start = self.sample()
        return self

    def __exit__(self, *_):
        d = {k: v - self.start[k] for k, v in self.sample().items()}
        self.ends = {name: d[name] for name in self.tunnels}
        self.foreign = max(d["others"], 0) / (d["wall"] * os.cpu_count())


class Bench:
    """A laboratory in which the cells of one kind are measured. patience: how many void runs are made
    again, in all."""

    def __init__(self, lab, seconds, patience=20):
        self.lab, self.seconds, self.patience = lab, seconds, patience
        self.wires = not lab.emulated()
        self.omit = OMIT[self.wires]
        self.site = Site(lab)
        uplinks.route(lab)
        # A socket that begins with BBR paces for ever, even when it is told to use CUBIC.
        for node in ("edge", "hub"):
            lab.exec(node, "sysctl", "-qw", "net.ipv4.tcp_congestion_control=reno")
        self.tcp = uplinks.Flows(lab)
        self.mptcp = uplinks.Flows(lab, mptcp=True) if uplinks.has_mptcp(lab) else None

    @contextlib.contextmanager
    def single(self, i):
        """One tunnel of ours over WAN i, with one path: {"edge": ..., "hub": ...}."""
        lab, ends = self.lab, {}
        files = {"hub": write_config(lab.state / f"hub{i}.yaml", **server_keys(i)),
                 "edge": write_config(lab.state / f"edge{i}.yaml", **client_keys(i, lab.hub4))}
        try:
            for node, file in files.items():
                ends[node] = Tunnel(lab, node, file, self.site.etc[node]).start()
            reachable(lab, "edge", f"10.200.{i}.2", ends=ends.values())
            yield ends
        finally:
            for end in ends.values():
                end.stop()

    @contextlib.contextmanager
    def bond(self, n):
        """One session over the first n WANs."""
        entries = [one_session.path(self.lab, i) for i in range(1, n + 1)]
        with one_session.Bond(self.lab, self.site, entries) as bond:
            ends = {"edge": bond.edge, "hub": bond.hub}
            reachable(self.lab, "edge", one_session.HUB, ends=ends.values())
            bond.wait_states(**{f"wan{i}": "up" for i in range(1, n + 1)})
            yield ends

    def begin(self, cell, links, number):
        """From now on the WANs are those of this cell."""
        if self.wires:
            uplinks.shape(self.lab, WIRES[cell])
            return
        uplinks.play(self.lab, links, start=STEP * number)
        for i in self.lab.each_wan():
            self.lab.wan(i).reset()

    def ping(self, target, bind):
        log = self.lab.state / "ping.log"
        log.unlink(missing_ok=True)
        words = ["-I", bind] if bind else []
        return log, self.lab.popen("edge", "ping", "-n", "-i", PING_EVERY, "-c",
                                   int((self.seconds + self.omit) / PING_EVERY), *words, target,
                                   log=log)

    def measure(self, what, server, load, target, bind=None, ends={}):
        """One run: TCP flows, and a ping beside them. what: (cell, links, round, direction)."""
        cell, links, number, direction = what
        self.begin(cell, links, number)
        log, ping = self.ping(target, bind or uplinks.address(1) if not ends else None)
        try:
            with Window(self.lab, ends) as window:
                seen = server.run("edge", target, flows=LOADS[load], seconds=self.seconds,
                                  omit=self.omit, bind=bind, down=direction == "down")
        finally:
            self.lab.stop(ping, signal.SIGINT)
            self.lab.processes.remove(ping)
        why = uplinks.disturbance(self.lab, range(1, len(links) + 1))
        if why:
            raise Void(why)
        # Processor time includes the seconds that do not count: so does the volume it is held against.
        gigabytes = seen["bits_per_second"] / 8e9 * (self.seconds + self.omit)
        bins = sorted(b / 1e6 for b in seen["bins"])
        return {"goodput_mbps": seen["bits_per_second"] / 1e6,
                "p5_mbps": bins[max(-(-len(bins) // 20) - 1, 0)], "subflows": seen["subflows"],
                "foreign": window.foreign,
                **{f"{name}_cpu": s / gigabytes for name, s in window.ends.items()},
                **quantiles(parse_ping(log.read_text()).times)}

    def measure_valid(self, *what, **more):
        """Measure until a run counts; None when the patience is at its end."""
        while True:
            try:
                return self.measure(*what, **more)
            except Void as why:
                self.patience -= 1
                print(f"  void: {why}", flush=True)
                if self.patience < 0:
                    return None

    def round(self, cell, links, load, number, direction):
        """{(carrier, WAN): figures} of one round; WAN 0 = over all. Every other round goes through the
        carriers backwards."""
        what, n, hub = (cell, links, number, direction), len(links), self.lab.hub4
        each = range(1, n + 1)
        rows = {}

        def bare():
            for i in each:
                rows["bare", i] = self.measure_valid(what, self.tcp, load, hub, uplinks.address(i))

        def mptcp():
            uplinks.mptcp(self.lab, each)
            rows["mptcp", 0] = self.measure_valid(what, self.mptcp, load, hub)

        def single():
            for i in each:
                with self.single(i) as ends:
                    rows["single", i] = self.measure_valid(what, self.tcp, load, f"10.200.{i}.2",
                                                           ends=ends)

        def bond():
            with self.bond(n) as ends:
                rows["bond", 0] = self.measure_valid(what, self.tcp, load, one_session.HUB, ends=ends)

        turns = [bare, *([mptcp] if self.mptcp else []), single, bond]
        for turn in turns[::-1] if number % 2 else turns:
            turn()
        order = [("bare", i) for i in each] + [("mptcp", 0)] + [("single", i) for i in each]
        return {key: rows[key] for key in [*order, ("bond", 0)] if key in rows}


@contextlib.contextmanager
def shelter(real_time):
    """What others do on this machine shall not delay the ends: inherited by all that is started. No
    real-time priority beside the emulator, which has it too: at 300 Mbit/s the kernel would throttle
    both."""
    os.setpriority(os.PRIO_PROCESS, 0, -15)
    if real_time:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    try:
        yield
    finally:
        if real_time:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@contextlib.contextmanager
def bench(build, wires, wans, seconds, patience):
    profile = WIRE if wires else "bare"
    with shelter(real_time=wires), Lab(f"bond{os.getpid()}", build=build, wans=wans, lans=0,
                                       profiles=[profile] * wans) as lab:
        yield Bench(lab, seconds, patience)


def run(args, cells, begin):
    """Measure rounds of these cells, from number begin on; yields (cell, load, direction, round, rows)
    as soon as it is there."""
    matrix = all_cells()
    for wires in (True, False):
        mine = [c for c in cells if (c in WIRES) == wires]
        if not mine:
            continue
        with bench(args.build, wires, max(len(matrix[c]) for c in mine), args.seconds,
                   args.patience) as b:
            if not b.mptcp:
                print("no MPTCP in this kernel: not measured")
            for number in range(begin, begin + args.rounds):
                for cell in mine:
                    for load in args.loads:
                        for direction in args.directions:
                            yield cell, load, direction, number, b.round(
                                cell, matrix[cell], load, number, direction)
