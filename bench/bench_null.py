#!/usr/bin/env python3
"""Measure the null tunnel against the bare link under it.

Every round measures every variant once, in turn, so that a machine that slows down slows all of
them; ratios are made inside a round. A figure during which others used more than a tenth of the
processors counts as disturbed: it is taken again while the patience lasts, and left out of the
medians when undisturbed ones exist. See bench/README.md.
"""
import argparse
import datetime
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, 'null'))
import pair as lab  # noqa: E402

UDP_LEN = 1200
UDP_LOSS_MAX = 1.0  # per cent
UDP_STEPS = 4
UDP_SECONDS = 1
FOREIGN_MAX = 10  # per cent of all processors; above it a figure counts as disturbed

# name -> (unit, title)
MEASURES = {
    'tcp1_up': ('Gbit/s', 'TCP, 1 flow, a to b'),
    'tcp1_down': ('Gbit/s', 'TCP, 1 flow, b to a'),
    'tcp4_up': ('Gbit/s', 'TCP, 4 flows, a to b'),
    'tcp4_down': ('Gbit/s', 'TCP, 4 flows, b to a'),
    'udp_1200': ('Gbit/s', f'UDP of {UDP_LEN} bytes, highest rate found under 1 % loss'),
    'rtt_idle': ('us', 'ping, idle, median'),
    'rtt_load': ('us', 'ping, during TCP 1 flow a to b, median'),
    'cpu_tcp1_up': ('s/GB', 'CPU time of both ends, TCP 1 flow a to b'),
    'cpu_tcp1_down': ('s/GB', 'CPU time of both ends, TCP 1 flow b to a'),
    'cpu_tcp4_up': ('s/GB', 'CPU time of both ends, TCP 4 flows a to b'),
    'cpu_tcp4_down': ('s/GB', 'CPU time of both ends, TCP 4 flows b to a'),
}


class Clock:
    """Who used the processors: this program with its children, or others."""

    def __init__(self, tunnel=None):
        self.tunnel = tunnel
        self.start = self.sample()

    def sample(self):
        with open('/proc/stat') as f:
            user, nice, system = (int(x) for x in f.readline().split()[1:4])
        busy = (user + nice + system) / os.sysconf('SC_CLK_TCK')
        own = sum(os.times()[:4]) + (self.tunnel.cpu_seconds() if self.tunnel else 0)
        return time.monotonic(), busy, own

    def foreign(self):
        """Share of all processors that others used since the start, in per cent. Interrupt time
        belongs to nobody."""
        wall, busy, own = (now - then for now, then in zip(self.sample(), self.start))
        return max(0, 100 * (busy - own) / (wall * os.cpu_count()))


class Patience:
    """Seconds that this run may still spend on waiting for others and on measuring again."""

    def __init__(self, seconds):
        self.left = seconds

    def wait(self):
        """Wait until the machine is quiet. False when the patience is at its end."""
        while self.left > 0:
            self.left -= 1
            if idle_share() > 100 - FOREIGN_MAX:
                return True
        return False


class Measurement:
    """One variant in one round: the figures of MEASURES, and how much each was disturbed."""

    def __init__(self, link, address, tunnel, args, patience):
        self.link, self.address, self.tunnel = link, address, tunnel
        self.seconds, self.patience = args.seconds, patience
        self.values, self.foreign = {}, {}

    def iperf(self, args, seconds):
        server = self.link.spawn('b', ['iperf3', '-s', '-1', '--forceflush'],
                                 stdout=subprocess.PIPE, text=True)
        try:
            for line in server.stdout:
                if 'listening' in line:
                    break
            argv = ['iperf3', '-c', self.address, '-J', '-t', str(seconds)] + args
            end = json.loads(self.link.run('a', argv, timeout=seconds + 20, check=False).stdout)
            if 'error' in end:
                raise RuntimeError(f'iperf3: {end["error"]}')
            server.wait(timeout=5)
            return end['end']
        finally:
            self.link.reap(server)

    def ping(self, count, interval):
        return self.link.spawn('a', ['ping', '-n', '-c', str(count), '-i', str(interval),
                                     self.address], stdout=subprocess.PIPE, text=True)

    def ping_median(self, child):
        try:
            out, _ = child.communicate(timeout=30)
        finally:
            self.link.reap(child)
        times = [float(t) * 1000 for t in re.findall(r'time=([0-9.]+) ms', out)]
        if not times:
            raise RuntimeError('ping: no answer')
        return statistics.median(times)

    def tcp(self, name, flows, reverse):
        """Rate, CPU time of the tunnel for each GB, and the round trip meanwhile."""
        before = self.tunnel.cpu_seconds() if self.tunnel else 0
        pings = self.ping(int(self.seconds / 0.02), 0.02) if name == 'tcp1_up' else None
        got = self.iperf(['-P', str(flows)] + (['-R'] if reverse else []),
                         self.seconds)['sum_received']
        figures = {name: got['bits_per_second'] / 1e9}
        if self.tunnel:
            figures['cpu_' + name] = (self.tunnel.cpu_seconds() - before) / (got['bytes'] / 1e9)
        if pings:
            figures['rtt_load'] = self.ping_median(pings)
        return figures

    def udp_at(self, gbps):
        """Offer a rate (0: as much as possible). Returns what was sent, what arrived, the loss."""
        end = self.iperf(['-u', '-l', str(UDP_LEN), '-w', '4M', '-b', str(int(gbps * 1e9))],
                         UDP_SECONDS)['sum']
        sent = end['bits_per_second'] / 1e9
        return sent, sent * (1 - end['lost_percent'] / 100), end['lost_percent']

    def udp(self):
        """The highest rate with less loss than the limit, by bisection."""
        sent, arrived, lost = self.udp_at(0)
        if lost < UDP_LOSS_MAX:
            return {'udp_1200': arrived}
        low, high, offer = 0, sent, arrived
        for _ in range(UDP_STEPS):
            sent, arrived, lost = self.udp_at(offer)
            if lost < UDP_LOSS_MAX:
                low = max(low, arrived)
            else:
                high = offer
            offer = (low + high) / 2
        return {'udp_1200': low}

    def rtt_idle(self):
        return {'rtt_idle': self.ping_median(self.ping(100, 0.01))}

    def undisturbed(self, measure):
        """Measure, and again while others disturb and the patience lasts; keep the quietest."""
        best, least = None, 0
        while True:
            clock = Clock(self.tunnel)
            figures = measure()
            foreign = clock.foreign()
            if best is None or foreign < least:
                best, least = figures, foreign
            if least <= FOREIGN_MAX or not self.patience.wait():
                break
            self.patience.left -= self.seconds
        self.values.update(best)
        self.foreign.update({name: least for name in best})

    def run(self):
        """All figures. What fails is reported and left out."""
        for measure in (self.rtt_idle,
                        lambda: self.tcp('tcp1_up', 1, False),
                        lambda: self.tcp('tcp1_down', 1, True),
                        lambda: self.tcp('tcp4_up', 4, False),
                        lambda: self.tcp('tcp4_down', 4, True),
                        self.udp):
            try:
                self.undisturbed(measure)
            except (RuntimeError, KeyError, ValueError, ZeroDivisionError,
                    subprocess.TimeoutExpired) as e:
                print(f' ({e})', file=sys.stderr)
        return {'values': self.values, 'foreign': self.foreign}


def machine():
    model = '?'
    with open('/proc/cpuinfo') as f:
        for line in f:
            if line.startswith('model name'):
                model = line.split(':', 1)[1].strip()
                break
    return {'cpu': model, 'cores': os.cpu_count(), 'kernel': platform.release(),
            'date': datetime.datetime.now(datetime.timezone.utc).strftime('%Y-%m-%d %H:%M UTC')}


def idle_share(seconds=1.0):
    """Share of all processors' time that nobody used, in per cent."""
    def sample():
        with open('/proc/stat') as f:
            v = [int(x) for x in f.readline().split()[1:9]]
        return v[3] + v[4], sum(v)
    idle0, all0 = sample()
    time.sleep(seconds)
    idle1, all1 = sample()
    return 100 * (idle1 - idle0) / max(1, all1 - all0)


def variants(program, wanted):
    """name -> (aead, mode, traits), None for the bare link. The traits '+fit' and '+pin' may
    follow a name that is asked for."""
    backends = subprocess.run([program, '--list'], capture_output=True, text=True,
                              check=True).stdout.split()
    known = {b: (b, 'packed') for b in backends} | {'packet': ('gnutls', 'packet')}
    table = {'bare': None}
    for name in wanted or known:
        base, *traits = name.split('+')
        if name == 'bare':
            continue
        if base not in known or not set(traits) <= {'fit', 'pin'}:
            sys.exit(f'unknown variant: {name}; there are bare, {", ".join(known)}, '
                     'each with +fit and +pin')
        table[name] = (*known[base], traits)
    return table


def measure_variant(link, args, spec, patience):
    if spec is None:
        return Measurement(link, '10.77.0.2', None, args, patience).run()
    aead, mode, traits = spec
    with lab.NullTunnel(link, args.program, aead, mode, fit='fit' in traits,
                        pin='pin' in traits) as tunnel:
        link.run('a', ['ping', '-c', '3', '-i', '0.05', '10.78.0.2'])
        result = Measurement(link, '10.78.0.2', tunnel, args, patience).run()
    return result | {'counters': tunnel.counters, 'ready': tunnel.ready['a']}


def run_round(args, table, patience):
    patience.wait()
    this = {'idle_before': idle_share(), 'variants': {}}
    print(f' processors {this["idle_before"]:.0f} % idle;', end='', flush=True)
    with lab.Pair(args.cut) as link:
        for name, spec in table.items():
            this['variants'][name] = measure_variant(link, args, spec, patience)
            rate = this['variants'][name]['values'].get('tcp1_up')
            print(f' {name} {rate:.1f}' if rate else f' {name} -', end='', flush=True)
    print(' Gbit/s', flush=True)
    return this


def run_rounds(args, table):
    """All rounds, or those that were finished before an interrupt."""
    patience = Patience(args.patience)
    rounds = []
    try:
        for n in range(args.rounds):
            print(f'round {n + 1} of {args.rounds}:', end='', flush=True)
            rounds.append(run_round(args, table, patience))
    except (KeyboardInterrupt, SystemExit):
        print(' interrupted', flush=True)
        if not rounds:
            raise
    return rounds


def spread(values):
    return {'median': statistics.median(values), 'min': min(values), 'max': max(values),
            'n': len(values)}


def undisturbed_or_all(samples):
    """samples: (figure, foreign). The figures that nobody disturbed; if there are none, all."""
    return [v for v, foreign in samples if foreign <= FOREIGN_MAX] or [v for v, _ in samples]


def summarize(rounds, table):
    """measure -> variant -> spread of the figure and of its ratio to the bare link."""
    summary = {}
    for measure in MEASURES:
        for name in table:
            values, ratios = [], []
            for r in rounds:
                mine, bare = r['variants'][name], r['variants']['bare']
                if measure not in mine['values']:
                    continue
                value, foreign = mine['values'][measure], mine['foreign'][measure]
                values.append((value, foreign))
                if bare['values'].get(measure):
                    ratios.append((value / bare['values'][measure],
                                   max(foreign, bare['foreign'][measure])))
            if values:
                entry = spread(undisturbed_or_all(values))
                entry['disturbed'] = sum(foreign > FOREIGN_MAX for _, foreign in values)
                entry['ratio'] = spread(undisturbed_or_all(ratios)) if ratios else None
                summary.setdefault(measure, {})[name] = entry
    return summary


def print_summary(summary):
    for measure, by_variant in summary.items():
        unit, title = MEASURES[measure]
        print(f'\n{title} [{unit}]')
        print(f'  {"":14}{"median":>9}{"min":>9}{"max":>9}{"of":>4}{"disturbed":>11}'
              '   ratio to bare (min - max)')
        for name, e in by_variant.items():
            digits = 0 if unit == 'us' else 3 if unit == 's/GB' else 2
            line = f'  {name:14}' + ''.join(f'{e[k]:9.{digits}f}' for k in ('median', 'min', 'max'))
            line += f'{e["n"]:4}{e["disturbed"]:11}'
            if e['ratio'] and name != 'bare':
                line += '   {median:.2f} ({min:.2f} - {max:.2f})'.format(**e['ratio'])
            print(line)


def parse_args():
    default = os.path.join(os.path.dirname(HERE), 'build', 'bench', 'null-tunnel')
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--program', default=default, help='the null-tunnel executable')
    p.add_argument('--rounds', type=int, default=5)
    p.add_argument('--seconds', type=int, default=2, help='length of one TCP measurement')
    p.add_argument('--patience', type=int, default=120, metavar='SECONDS',
                   help='time to spend in all on waiting for others and on measuring again')
    p.add_argument('--only', nargs='+', metavar='VARIANT',
                   help='these (and bare) only; with +fit behind the name super-packets are no '
                        'larger than one send holds, with +pin each end has one processor')
    p.add_argument('--cut', nargs='?', const='all', default='none', choices=('none', 'all', 'gro'),
                   help='cut packets on the link: all (segmentation and coalescing off) or gro '
                        '(the receiver coalesces, as a network card does)')
    p.add_argument('--json', metavar='FILE', help='write everything measured to FILE')
    return p.parse_args()


def main():
    args = parse_args()
    lab.ensure_root()
    lab.exit_on_term()
    if not os.access(args.program, os.X_OK):
        sys.exit(f'{args.program} is missing: build first (make build), or give --program')
    table = variants(args.program, args.only)
    host = machine()
    host['load'] = os.getloadavg()
    print('{cpu}, {cores} cores, Linux {kernel}, {date}'.format(**host))
    print(f'link: veth, MTU {lab.VETH_MTU}, cut: {args.cut}; {args.rounds} rounds')
    speed = json.loads(subprocess.run([args.program, '--speed=100'], capture_output=True, text=True,
                                      check=True).stdout)
    print('cipher alone, per record of 1443 bytes: ' + ', '.join(
        f'{k} seal {v["seal_ns"]:.0f} ns, open {v["open_ns"]:.0f} ns' for k, v in speed.items()))
    rounds = run_rounds(args, table)
    summary = summarize(rounds, table)
    print_summary(summary)
    if args.json:
        with open(args.json, 'w') as f:
            json.dump({'machine': host, 'options': {k: v for k, v in vars(args).items()
                                                    if k not in ('program', 'json')},
                       'cipher': speed, 'summary': summary, 'rounds': rounds}, f, indent=1)
    complete = all(m in v['values'] or (name == 'bare' and m.startswith('cpu_'))
                   for r in rounds for name, v in r['variants'].items() for m in MEASURES)
    return 0 if complete and len(rounds) == args.rounds else 1


if __name__ == '__main__':
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except RuntimeError as e:
        sys.exit(f'bench_null: {e}')
