#!/usr/bin/python3
"""Measure mpquic beside the bare link, the null tunnel, wireguard-go and OpenVPN in one run.

A unit is one part of the benchmark (tcp, cut, udp, line, slow, paced, idle) measured for every
carrier in turn, each with a link and a process of its own, in an order that rotates from round to
round. Ratios are made inside a unit; what is printed are medians of them over the rounds. What is
measured is kept after every unit: a run that was stopped goes on where it was. See bench/README.md.
"""
import argparse
import datetime
import hashlib
import json
import os
import pathlib
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import carriers  # noqa: E402
import links  # noqa: E402
import measure  # noqa: E402
import publish  # noqa: E402
import report  # noqa: E402
from results import FOREIGN_MAX  # noqa: E402
from suites import SUITES  # noqa: E402

FAILURES = (RuntimeError, KeyError, ValueError, ZeroDivisionError, OSError,
            subprocess.TimeoutExpired)


def parse_args():
    p = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    p.add_argument('--build', type=pathlib.Path, default=links.ROOT / 'build')
    p.add_argument('--rounds', type=int, default=5)
    p.add_argument('--seconds', type=int, default=3, help='length of one TCP measurement')
    p.add_argument('--only', help=f'parts, of {",".join(SUITES)}')
    p.add_argument('--carriers', help='names, e.g. bare,mpquic,wireguard-go')
    p.add_argument('--quick', action='store_true',
                   help='one round of short measurements, for development: says little')
    p.add_argument('--patience', type=int, default=180, metavar='SECONDS',
                   help='time to spend in all on measuring again what others disturbed')
    p.add_argument('--minutes', type=float,
                   help='begin no unit that would end after so long (0: only tell how long)')
    p.add_argument('--json', type=pathlib.Path, help='what was measured (BUILD/bench-peers.json)')
    p.add_argument('--fresh', action='store_true', help='forget what an earlier run measured')
    p.add_argument('--report', action='store_true', help='measure nothing, only print')
    p.add_argument('--publish', action='store_true', help='write doc/benchmarks.*')
    o = p.parse_args()
    o.build = o.build.resolve()
    o.json = o.json or o.build / ('bench-quick.json' if o.quick else 'bench-peers.json')
    if o.quick:
        o.rounds, o.seconds, o.patience = min(o.rounds, 1), min(o.seconds, 2), 0
    o.ping_seconds = 0.5 if o.quick else 2
    o.line_seconds = 2 * o.seconds if o.quick else 10
    o.idle_seconds = 3 if o.quick else 15
    o.probe_ms, o.probes = (400, 2) if o.quick else (1000, 5)
    names = o.only.split(',') if o.only else list(SUITES)
    for name in names:
        if name not in SUITES:
            p.error(f'no part is called {name}; there are {", ".join(SUITES)}')
    o.suites = [SUITES[n] for n in names]
    return o


def machine():
    about = pathlib.Path('/proc/cpuinfo').read_text()
    cpu = re.search(r'model name\s*: (.*)', about)
    vaes = re.search(r'^flags.*\bvaes\b', about, re.M)
    release = re.search(r'^PRETTY_NAME="(.*)"', pathlib.Path('/etc/os-release').read_text(), re.M)
    model = (cpu[1] if cpu else platform.machine()) + (' with VAES' if vaes else '')
    return {'cpu': model, 'processors': os.cpu_count(),
            'kernel': platform.release(), 'system': release[1] if release else 'unknown'}


def commit():
    """Which state of the sources this is, when that can be told."""
    said = subprocess.run(['git', '-C', links.ROOT, 'describe', '--always', '--dirty'],
                          capture_output=True, text=True)
    return said.stdout.strip()


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime('%Y-%m-%d %H:%M UTC')


# ---- what is kept ----

class Record:
    """The units measured so far, in a file. They go together as long as machine, programs and
    lengths of measurement are the same."""

    def __init__(self, o, key):
        self.file, self.data = o.json, {'key': key, 'units': []}
        if not o.fresh and self.file.exists():
            kept = json.loads(self.file.read_text())
            if kept['key'] == key:
                self.data = kept
            elif kept['units']:
                print(f'{self.file.name} is of another build, machine or option: it becomes '
                      f'{self.file.name}.old')
                self.file.rename(f'{self.file}.old')

    def has(self, suite, n, names):
        """Whether a unit of round n is there with at least these carriers."""
        return any(u['suite'] == suite.name and u['round'] == n and
                   set(names) <= set(u['carriers']) for u in self.data['units'])

    def add(self, unit):
        self.data['units'] = [u for u in self.data['units'] if
                              (u['suite'], u['round']) != (unit['suite'], unit['round'])] + [unit]
        text = json.dumps(self.data, indent=1)
        part = self.file.with_suffix('.part')
        part.write_text(text)
        part.rename(self.file)


def measurement_key(o, present):
    """What must be the same for units to belong together."""
    program = hashlib.sha256((o.build / 'mpquic').read_bytes()).hexdigest()[:16]
    return {'machine': machine(), 'program': program,
            'versions': {c.name: c.version() for c in present.values() if c.version()},
            'options': {k: getattr(o, k) for k in ('seconds', 'ping_seconds', 'line_seconds',
                                                   'idle_seconds', 'probe_ms', 'probes')}}


# ---- measuring ----

def settle(patience):
    """Wait until others leave the machine alone, while the patience lasts."""
    while patience[0] > 0 and measure.idle_share() < 90:
        patience[0] -= 1


def undisturbed(function, patience):
    """Measure, and again while others disturb and the patience lasts; the quietest counts."""
    best, least = None, 0
    while True:
        begin = time.monotonic()
        figures, foreign = function()
        if best is None or foreign < least:
            best, least = figures, foreign
        if least <= FOREIGN_MAX or patience[0] <= 0:
            return best, least
        settle(patience)
        patience[0] -= time.monotonic() - begin


def measure_carrier(suite, carrier, o, patience):
    """All figures of one carrier. What fails is said and left out."""
    values, foreign, failed, facts = {}, {}, [], {}
    try:
        with suite.link(o) as link, carrier.on(link):
            facts = carrier.facts()
            for function in suite.run(carrier, o):
                try:
                    figures, disturbed = undisturbed(function, patience)
                except FAILURES as e:
                    failed.append(str(e))
                    continue
                values |= figures
                foreign |= {name: round(disturbed, 1) for name in figures}
    except FAILURES as e:
        failed.append(str(e))
    for text in failed:
        print(f'\n  {carrier.name}: {text}', file=sys.stderr)
    return {'values': {k: float(f'{v:.6g}') for k, v in values.items()}, 'foreign': foreign,
            'facts': facts, 'failed': failed}


def wanted(suite, present):
    return [name for name in present if not suite.carriers or name in suite.carriers]


def run_unit(suite, n, present, o, patience):
    names = wanted(suite, present)
    names = names[n % len(names):] + names[:n % len(names)]
    settle(patience)
    begin = time.monotonic()
    unit = {'suite': suite.name, 'round': n, 'date': now(), 'order': names, 'carriers': {}}
    print(f'{suite.name}, round {n + 1}:', end='', flush=True)
    for name in names:
        unit['carriers'][name] = got = measure_carrier(suite, present[name], o, patience)
        value = got['values'].get(suite.figures[0].name)
        print(f' {name} {report.number(value)}', end='', flush=True)
    unit['seconds'] = round(time.monotonic() - begin)
    print(f' {suite.figures[0].unit}, {unit["seconds"]} s', flush=True)
    return unit


def run_units(o, record, present):
    """Everything that is not there yet; stops early at the end of the time or by a signal."""
    todo = [(s, n) for n in range(o.rounds) for s in o.suites
            if not record.has(s, n, wanted(s, present))]
    cost = {s.name: s.seconds(o) * len(wanted(s, present)) for s in o.suites}
    total = sum(cost[s.name] for s, _ in todo)
    print(f'{len(todo)} units to measure, about {total / 60:.0f} minutes', flush=True)
    patience, begin = [o.patience], time.monotonic()
    for suite, n in todo:
        spent = time.monotonic() - begin
        if o.minutes is not None and spent + cost[suite.name] > 60 * o.minutes:
            print('out of time; the same command goes on from here')
            return False
        record.add(run_unit(suite, n, present, o, patience))
    return True


def finish(data, o):
    report.show(data)
    if o.publish:
        publish.write(data, links.ROOT / 'doc')
    return 0


def main():
    o = parse_args()
    for program in ('mpquic', 'bench/null-tunnel', 'bench/peers/datagrams', 'lab/wanemu'):
        if not (o.build / program).exists():
            sys.exit(f'{o.build / program} is missing: make build')
    if o.report:
        return finish(json.loads(o.json.read_text()), o)
    if os.geteuid() != 0:
        sys.exit('bench: needs root (network namespaces, TUN devices)')
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix='mpquic-bench-') as where:
        o.where = pathlib.Path(where)
        present = {}
        for carrier in carriers.catalogue(carriers.Files(where, o.build)).values():
            why = carrier.missing()
            if why:
                print(f'without {carrier.title}: {why}')
            elif not o.carriers or carrier.name in o.carriers.split(','):
                present[carrier.name] = carrier
        titles = {c.name: c.title for c in present.values()}
        record = Record(o, measurement_key(o, present))
        record.data['titles'] = record.data.get('titles', {}) | titles
        record.data['commit'] = commit()
        print(report.machine_line(record.data['key']['machine']), flush=True)
        try:
            run_units(o, record, present)
        except KeyboardInterrupt:
            print('\ninterrupted; the same command goes on from here')
    return finish(record.data, o)


if __name__ == '__main__':
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except (RuntimeError, OSError) as error:
        sys.exit(f'bench: {error}')
