"""The parts of the benchmark: over which link, of what, and which figures. A part is measured for
every carrier in turn; that is a unit, and ratios are made inside it."""
import dataclasses
import time

import measure
from links import Direct, Line

LOWER, HIGHER = 'lower', 'higher'


@dataclasses.dataclass(frozen=True)
class Figure:
    name: str
    unit: str
    title: str
    better: str = HIGHER
    scale: float = 1  # from what is measured to the unit


@dataclasses.dataclass(frozen=True)
class Suite:
    name: str
    title: str
    link: callable      # (options) -> a link
    run: callable       # (carrier, options) -> [(label, function -> ({figure: value}, foreign))]
    seconds: callable   # (options) -> how long one carrier takes, about
    figures: list
    carriers: tuple = ()  # all when empty


def rtt_idle(carrier, o):
    with measure.Window(carrier) as window:
        figures = measure.rtt_idle(carrier, o.ping_seconds)
    return figures, window.foreign


def peak_memory(carrier):
    if not carrier.ends:
        return {}, 0
    return {f'rss_{side}': carrier.memory(side, 'VmHWM') for side in 'ab'}, 0


# ---- as fast as it goes ----

def tcp_run(carrier, o):
    return [
        lambda: rtt_idle(carrier, o),
        lambda: measure.tcp_with_ping(carrier, 'tcp1_up', 1, False, o.seconds),
        lambda: measure.tcp(carrier, 'tcp1_down', 1, True, o.seconds),
        lambda: measure.tcp(carrier, 'tcp4_up', 4, False, o.seconds),
        lambda: measure.tcp(carrier, 'tcp4_down', 4, True, o.seconds),
        lambda: peak_memory(carrier),
    ]


def tcp_seconds(o):
    return 2.5 + o.ping_seconds + 4 * (o.seconds + 0.8)


TCP_FIGURES = [
    Figure('tcp1_up', 'Mbit/s', 'TCP, 1 flow, a to b'),
    Figure('tcp1_down', 'Mbit/s', 'TCP, 1 flow, b to a'),
    Figure('tcp4_up', 'Mbit/s', 'TCP, 4 flows, a to b'),
    Figure('tcp4_down', 'Mbit/s', 'TCP, 4 flows, b to a'),
    Figure('tcp1_up_extra_cpu', 's/GB', 'CPU of the machine beyond the bare link, 1 flow, a to b',
           LOWER),
    Figure('tcp1_down_extra_cpu', 's/GB',
           'CPU of the machine beyond the bare link, 1 flow, b to a', LOWER),
    Figure('tcp1_up_ends_cpu', 's/GB', 'CPU of both ends, 1 flow, a to b', LOWER),
    Figure('tcp1_up_a_cpu', 's/GB', 'CPU of the sending end, 1 flow, a to b', LOWER),
    Figure('tcp1_up_b_cpu', 's/GB', 'CPU of the receiving end, 1 flow, a to b', LOWER),
    Figure('rtt_idle_median', 'us', 'round trip, idle, median', LOWER),
    Figure('rtt_idle_p95', 'us', 'round trip, idle, 95th percentile', LOWER),
    Figure('rtt_load_median', 'us', 'round trip beside 1 flow, median', LOWER),
    Figure('rtt_load_p95', 'us', 'round trip beside 1 flow, 95th percentile', LOWER),
    Figure('rss_a', 'MiB', 'most memory of the end at a', LOWER),
    Figure('rss_b', 'MiB', 'most memory of the end at b', LOWER),
]

# name, bytes, datagrams in one send, where the ramp begins, title
UDP = [
    ('udp_1200', 1200, 1, 40e3, 'UDP of 1200 bytes'),
    ('udp_160', 160, 1, 40e3, 'UDP of 160 bytes'),
    ('udp_segment', 1200, 40, 60e3, 'UDP of 1200 bytes, sent 40 at a time with UDP_SEGMENT'),
]


def udp_run(carrier, o):
    program = str(o.build / 'bench/peers/datagrams')
    return [lambda n=name, s=size, g=segments, r=start: measure.udp(
        carrier, program, n, s, g, r, o.probe_ms, o.probes)
        for name, size, segments, start, _ in UDP]


def udp_seconds(o):
    return 2.5 + len(UDP) * (8 * 0.65 + o.probes * (o.probe_ms / 1000 + 0.25))


# ---- over a line ----

def line_link(words, shelter=True):
    return lambda o: Line(o.build / 'lab/wanemu', o.where, words, shelter)


def line_run(carrier, o):
    return [
        lambda: rtt_idle(carrier, o),
        lambda: measure.tcp_under_ping(carrier, 'tcp1_up', False, o.line_seconds, 0.02, 132),
        lambda: measure.tcp_under_ping(carrier, 'tcp1_down', True, o.line_seconds, 0.02, 132),
    ]


def line_seconds(o):
    return 4 + o.ping_seconds + 2 * (o.line_seconds + 3)


LINE_FIGURES = [
    Figure('tcp1_up', 'Mbit/s', 'TCP, 1 flow, a to b'),
    Figure('tcp1_down', 'Mbit/s', 'TCP, 1 flow, b to a'),
    Figure('rtt_idle_median', 'ms', 'round trip, idle, median', LOWER, 1e-3),
    Figure('tcp1_up_rtt_added', 'ms', 'round trip added beside the flow a to b, median', LOWER,
           1e-3),
    Figure('tcp1_up_rtt_added_p95', 'ms',
           'round trip added beside the flow a to b, 95th percentile', LOWER, 1e-3),
    Figure('tcp1_down_rtt_added', 'ms', 'round trip added beside the flow b to a, median', LOWER,
           1e-3),
    Figure('tcp1_down_rtt_added_p95', 'ms',
           'round trip added beside the flow b to a, 95th percentile', LOWER, 1e-3),
    Figure('tcp1_up_rtt_lost', '%', 'pings lost beside the flow a to b', LOWER),
    Figure('tcp1_down_rtt_lost', '%', 'pings lost beside the flow b to a', LOWER),
]


def paced_run(carrier, o):
    return [lambda: measure.tcp(carrier, 'tcp1_up', 1, False, o.line_seconds),
            lambda: measure.tcp(carrier, 'tcp1_down', 1, True, o.line_seconds)]


PACED_FIGURES = [
    Figure('tcp1_up', 'Mbit/s', 'TCP, 1 flow, a to b'),
    Figure('tcp1_down', 'Mbit/s', 'TCP, 1 flow, b to a'),
    Figure('tcp1_up_a_cpu', 's/GB', 'CPU of the end at a, sending', LOWER),
    Figure('tcp1_up_b_cpu', 's/GB', 'CPU of the end at b, receiving', LOWER),
    Figure('tcp1_down_a_cpu', 's/GB', 'CPU of the end at a, receiving', LOWER),
    Figure('tcp1_down_b_cpu', 's/GB', 'CPU of the end at b, sending', LOWER),
    Figure('tcp1_up_extra_cpu', 's/GB', 'CPU of the machine beyond the bare line, a to b', LOWER),
]


# ---- at rest ----

def idle(carrier, o):
    time.sleep(2)
    with measure.Window(carrier) as window:
        before = {side: carrier.run_seconds(side) for side in 'ab'}
        time.sleep(o.idle_seconds)
        used = {side: carrier.run_seconds(side) - before[side] for side in 'ab'}
    return {f'idle_cpu_{side}': 100 * used[side] / o.idle_seconds for side in 'ab'} | {
        f'idle_rss_{side}': carrier.memory(side) for side in 'ab'}, window.foreign


IDLE_FIGURES = [
    Figure('idle_cpu_a', '%', 'CPU of the end at a, of one processor', LOWER),
    Figure('idle_cpu_b', '%', 'CPU of the end at b, of one processor', LOWER),
    Figure('idle_rss_a', 'MiB', 'memory of the end at a', LOWER),
    Figure('idle_rss_b', 'MiB', 'memory of the end at b', LOWER),
]

TUNNELS = ('mpquic', 'wireguard-go', 'openvpn')
ON_LINES = ('bare',) + TUNNELS

SUITES = {s.name: s for s in [
    Suite('tcp', 'A veth that carries super-packets whole', lambda o: Direct(), tcp_run,
          tcp_seconds, TCP_FIGURES),
    Suite('cut', 'A veth that cuts every packet', lambda o: Direct(cut=True), tcp_run,
          tcp_seconds, TCP_FIGURES),
    Suite('udp', 'UDP, highest rate with less than 1 % loss', lambda o: Direct(), udp_run,
          udp_seconds, [Figure(name, 'kpps', title) for name, *_, title in UDP],
          ('bare', 'null-ipsecmb') + TUNNELS),
    Suite('line', 'A line of 100 Mbit/s, 20 ms, with a buffer of 40 ms',
          line_link('rate=100m delay=10ms queue=40ms'), line_run, line_seconds, LINE_FIGURES,
          ON_LINES),
    Suite('slow', 'A line of 5 Mbit/s, 20 ms, with a buffer of 200 ms',
          line_link('rate=5m delay=10ms queue=200ms'), line_run, line_seconds, LINE_FIGURES,
          ON_LINES),
    Suite('paced', 'A line of 300 Mbit/s, 4 ms, with a buffer of 20 ms',
          line_link('rate=300m delay=2ms queue=20ms', shelter=False), paced_run,
          lambda o: 5 + 2 * o.line_seconds, PACED_FIGURES, ON_LINES),
    Suite('idle', 'Connected, without traffic', lambda o: Direct(),
          lambda c, o: [lambda: idle(c, o)], lambda o: 5 + o.idle_seconds, IDLE_FIGURES, TUNNELS),
]}
