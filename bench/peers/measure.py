"""What is measured of a carrier, and how. Every function returns {figure: value}."""
import concurrent.futures
import gzip
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import time

TICK = os.sysconf('SC_CLK_TCK')
PF_KTHREAD = 0x00200000


class Background:
    """A function that runs beside the with block."""

    def __init__(self, function, *args):
        self.pool = concurrent.futures.ThreadPoolExecutor(1)
        self.future = self.pool.submit(function, *args)

    def __enter__(self):
        return self.future

    def __exit__(self, *exc):
        self.pool.shutdown()


# ---- the processors ----

def kernel_options():
    """The configuration that this kernel was built with; nothing when it is not told."""
    for file, opener in (('/proc/config.gz', gzip.open),
                         (f'/boot/config-{platform.release()}', open)):
        try:
            with opener(file, 'rt') as f:
                return f.read()
        except OSError:
            continue
    return ''


# Whether the kernel counts interrupts apart from the processes that they interrupt.
INTERRUPTS_APART = 'CONFIG_IRQ_TIME_ACCOUNTING=y' in kernel_options()


def cpu_times():
    """Seconds of all processors since boot: (busy, what processes and other machines on the same
    processors used of it)."""
    with open('/proc/stat') as f:
        user, nice, system, _, _, irq, softirq, steal = (
            int(x) / TICK for x in f.readline().split()[1:9])
    busy = user + nice + system + irq + softirq
    return busy, busy + steal - (irq + softirq if INTERRUPTS_APART else 0)


def kernel_threads():
    """Seconds that the kernel's own threads have used."""
    total = 0
    for file in pathlib.Path('/proc').glob('[0-9]*/stat'):
        try:
            fields = file.read_text().rpartition(')')[2].split()
        except OSError:
            continue
        if int(fields[6]) & PF_KTHREAD:
            total += int(fields[11]) + int(fields[12])
    return total / TICK


class Window:
    """What the processors did inside the with block: `machine` seconds in all, `ends` seconds of
    the two ends of the carrier, and `foreign`, the share of all processors in per cent that
    neither this program with its children nor the kernel itself used. On an emulated line, where
    others do not disturb, it is 0, or 100 when the line was not what it should have been."""

    def __init__(self, carrier):
        self.carrier = carrier
        self.machine, self.ends, self.foreign, self.wall = 0, {}, 0, 0

    def sample(self):
        busy, used = cpu_times()
        ends = {side: self.carrier.cpu_seconds(side) for side in 'ab'}
        own = (sum(os.times()[:4]) + sum(ends.values()) + kernel_threads() +
               self.carrier.link.emulator_seconds())
        return {'wall': time.monotonic(), 'busy': busy, 'others': used - own} | ends

    def __enter__(self):
        self.carrier.link.watch()
        self.start = self.sample()
        return self

    def __exit__(self, *exc):
        d = {k: v - self.start[k] for k, v in self.sample().items()}
        self.wall, self.machine = d['wall'], d['busy']
        self.ends = {side: d[side] for side in 'ab'}
        self.foreign = max(0, 100 * d['others'] / (d['wall'] * os.cpu_count()))
        if self.carrier.link.sheltered:
            self.foreign = 0
        if exc[0] is None and not self.carrier.link.held():
            self.foreign = 100


def idle_share(seconds=0.5):
    """Share of all processors' time that nobody used, in per cent."""
    before = cpu_times()[0], time.monotonic()
    time.sleep(seconds)
    return 100 * (1 - (cpu_times()[0] - before[0]) /
                  ((time.monotonic() - before[1]) * os.cpu_count()))


# ---- round trips ----

def start_ping(link, target, seconds, interval, size=56):
    return link.spawn('a', ['ping', '-n', '-c', str(int(seconds / interval)), '-i', str(interval),
                            '-s', str(size), '-W', '2', target], stdout=subprocess.PIPE, text=True)


def finish_ping(link, child):
    """(round trips in us, share of pings without an answer in per cent). RuntimeError when none
    came back."""
    try:
        out, _ = child.communicate(timeout=60)
    finally:
        link.reap(child)
    times = [float(t) * 1000 for t in re.findall(r'time=([0-9.]+) ms', out)]
    sent = re.search(r'(\d+) packets transmitted, (\d+) received', out)
    if not times or not sent:
        raise RuntimeError('ping: no answer')
    return sorted(times), 100 * (1 - int(sent[2]) / int(sent[1]))


def rtt_figures(name, answers):
    times, lost = answers
    return {f'{name}_median': statistics.median(times),
            f'{name}_p95': times[min(len(times) - 1, int(0.95 * len(times)))],
            f'{name}_lost': lost}


def rtt_idle(carrier, seconds):
    link = carrier.link
    return rtt_figures('rtt_idle', finish_ping(link, start_ping(link, carrier.address['b'],
                                                                seconds, 0.01)))


# ---- TCP ----

def iperf(link, address, seconds, *options):
    """One run of iperf3 from a to b: what its report says of the end."""
    server = link.spawn('b', ['iperf3', '-s', '-1', '--forceflush'], stdout=subprocess.PIPE,
                        stderr=subprocess.STDOUT, text=True)
    try:
        for line in server.stdout:
            if 'listening' in line:
                break
        argv = ['iperf3', '-c', address, '-J', '-t', str(seconds), '--connect-timeout', '3000',
                *map(str, options)]
        said = link.run('a', argv, timeout=seconds + 30, check=False).stdout
        report = json.loads(said or '{"error": "no report"}')
        if 'error' in report:
            raise RuntimeError(f'iperf3: {report["error"]}')
        server.wait(timeout=5)
        return report['end']
    finally:
        link.reap(server)


def tcp(carrier, name, flows, reverse, seconds):
    """Rate and what it costs: CPU time for each GB, of the whole machine and of each end."""
    options = ['-P', flows, '-C', 'cubic'] + (['-R'] if reverse else [])
    with Window(carrier) as window:
        got = iperf(carrier.link, carrier.address['b'], seconds, *options)['sum_received']
    gigabytes = got['bytes'] / 1e9
    return {name: got['bits_per_second'] / 1e6, f'{name}_machine_cpu': window.machine / gigabytes,
            **{f'{name}_{side}_cpu': window.ends[side] / gigabytes for side in 'ab'
               if carrier.ends}}, window.foreign


def tcp_with_ping(carrier, name, flows, reverse, seconds):
    """The same, and the round trip meanwhile."""
    link = carrier.link
    pings = start_ping(link, carrier.address['b'], seconds, 0.01)
    with Background(finish_ping, link, pings) as answers:
        figures, foreign = tcp(carrier, name, flows, reverse, seconds)
        return figures | rtt_figures('rtt_load', answers.result()), foreign


def tcp_under_ping(carrier, name, reverse, seconds, interval, size):
    """One flow, and the round trips of a sparse flow beside it once it fills the line: iperf3
    leaves out its first two seconds, and so does the sparse flow."""
    link = carrier.link
    options = ['-O', 2, '-C', 'cubic'] + (['-R'] if reverse else [])
    with Window(carrier) as window, Background(iperf, link, carrier.address['b'], seconds,
                                               *options) as flow:
        time.sleep(2.3)
        answers = finish_ping(link, start_ping(link, carrier.address['b'], seconds - 0.5, interval,
                                               size))
        rate = flow.result()['sum_received']['bits_per_second']
    return {name: rate / 1e6, **rtt_figures(f'{name}_rtt', answers)}, window.foreign


# ---- UDP ----

UDP_PORT = 5300
LOSS_MAX = 0.01
RAMP = 1.35
RAMP_MS = 400
STEPS_MAX = 14


class Datagrams:
    """A generator at a and a sink at b (datagrams.c)."""

    def __init__(self, carrier, program, size, segments):
        self.link, self.step = carrier.link, 0
        where = [carrier.address['b'], str(UDP_PORT)]
        self.sink = self.link.spawn('b', [program, 'sink', *where] + ['gro'] * (segments > 1),
                                    stdout=subprocess.PIPE, text=True)
        self.sender = None
        if self.sink.stdout.readline().strip() != 'ready':
            raise RuntimeError('the sink of datagrams does not start')
        argv = self.link.inside('a', [program, 'send', *where, str(size), str(segments)])
        self.sender = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       text=True, bufsize=1)
        os.set_blocking(self.sink.stdout.fileno(), False)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.sender:
            self.sender.stdin.close()
            self.sender.kill()
            self.sender.wait()
            self.sender.stdout.close()
        self.link.reap(self.sink)

    def received(self):
        """What the sink counted of this step, late parts too; it reports when all is quiet."""
        count, until = 0, time.monotonic() + 0.25
        while time.monotonic() < until:
            line = self.sink.stdout.readline()
            if not line:
                time.sleep(0.01)
                continue
            report = json.loads(line)
            if report['step'] == self.step:
                count += report['received']
        return count

    def offer(self, rate, ms):
        """Offer datagrams per second for so long: (sent, arrived) per second, and the loss."""
        self.step += 1
        self.sender.stdin.write(f'{self.step} {int(rate)} {ms}\n')
        report = json.loads(self.sender.stdout.readline())
        sent, seconds = report['sent'], report['seconds']
        arrived = self.received()
        return sent / seconds, arrived / seconds, 1 - arrived / sent if sent else 1


def ramp(offer, rate):
    """Short steps up to the second one in a row that loses too much, or that brings no more than
    one before. Returns the highest rate that was good and the lowest that was not."""
    good, high, most, bad = 0, None, 0, 0
    for _ in range(STEPS_MAX):
        _, arrived, loss = offer(rate, RAMP_MS)
        if loss < LOSS_MAX and arrived > 1.03 * most:
            good, high, most, bad = rate, None, arrived, 0
        else:
            high, bad = high or rate, bad + 1
        if bad == 2:
            break
        rate *= RAMP
    return good or (high or rate) / 4, high or rate


def search(offer, start, probe_ms, probes):
    """The highest rate that arrives with less loss than the limit: a ramp, then bisection with
    longer steps. offer(rate, ms) as Datagrams.offer. 0 when even a small part of the rate to start
    with loses too much."""
    low, high = ramp(offer, start)
    best, rate = 0, low * 0.97
    for _ in range(probes):
        _, arrived, loss = offer(rate, probe_ms)
        if loss < LOSS_MAX:
            low, best = max(low, rate), max(best, arrived)
        else:
            high = min(high, rate)
            low = min(low, high * 0.8)
        rate = (low + high) / 2
    while not best and rate > start / 16:
        rate *= 0.8
        _, arrived, loss = offer(rate, probe_ms)
        best = arrived if loss < LOSS_MAX else 0
    return best


def udp(carrier, program, name, size, segments, start, probe_ms, probes):
    with Window(carrier) as window, Datagrams(carrier, program, size, segments) as generator:
        best = search(generator.offer, start, probe_ms, probes)
    return {name: best / 1000}, window.foreign
