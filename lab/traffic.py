"""Traffic between nodes of the laboratory, and what it measured."""
import dataclasses
import json
import re
import statistics

from lab import LabError, wait_until


@dataclasses.dataclass
class Ping:
    sent: int
    received: int
    times: list  # ms
    text: str = ""

    @property
    def median(self):
        return statistics.median(self.times) if self.times else None

    @property
    def loss(self):
        return 1 - self.received / self.sent if self.sent else 0


def parse_ping(text):
    counts = re.search(r"(\d+) packets transmitted, (\d+) received", text)
    if not counts:
        raise LabError(f"ping said: {text.strip()}")
    return Ping(int(counts[1]), int(counts[2]),
                [float(t) for t in re.findall(r"time=([\d.]+) ms", text)], text)


def ping(lab, node, target, count=10, interval=0.1, options=()):
    result = lab.exec(node, "ping", "-n", "-c", count, "-i", interval, "-W", "2", *options, target,
                      check=False, timeout=count * max(interval, 0.01) + 30)
    return parse_ping(result.stdout or result.stderr)


def missing(text):
    """Numbers of the echo requests without an answer, before the last that has one: of a ping that was
    interrupted, the last may still be on its way."""
    seen = {int(n) for n in re.findall(r"icmp_seq=(\d+) .*time=", text)}
    return sorted(set(range(1, max(seen, default=0) + 1)) - seen) if seen else ["all"]


@dataclasses.dataclass
class Transfer:
    """What an iperf3 run measured at the receiver."""
    bits_per_second: float
    loss: float = 0.0       # UDP: share of the datagrams
    datagrams: int = 0
    jitter_ms: float = 0.0


class Iperf:
    """An iperf3 server at a node, and runs against it."""

    def __init__(self, lab, node, port=5201):
        self.lab, self.node, self.port = lab, node, port
        self.log = lab.state / f"iperf-{node}.log"
        self.process = lab.popen(node, "iperf3", "-s", "-p", port, "--forceflush", log=self.log)
        wait_until(lambda: f"listening on {port}" in self.log.read_text(), 10, "iperf3 listens")

    def start(self, client, target, seconds=5, reverse=False, udp_rate=None, options=()):
        """Begin a run; the result comes from finish()."""
        log = self.lab.state / f"iperf-{client}.json"
        log.unlink(missing_ok=True)
        process = self.lab.popen(
            client, "iperf3", "-c", target, "-p", self.port, "-t", seconds, "-J", "-O", "1",
            "--connect-timeout", "5000", *(["-R"] if reverse else []),
            *(["-u", "-b", udp_rate, "-l", "1000"] if udp_rate else []), *options, log=log)
        return process, log, bool(udp_rate), seconds

    def finish(self, started):
        process, log, udp, seconds = started
        process.wait(seconds + 30)
        try:
            report = json.loads(log.read_text())
        except ValueError:
            raise LabError(f"iperf3 said: {log.read_text()[:500]}") from None
        if "error" in report:
            raise LabError(f"iperf3: {report['error']}")
        if udp:
            s = report["end"]["sum"]
            return Transfer(s["bits_per_second"] * (1 - s["lost_percent"] / 100),
                            s["lost_percent"] / 100, s["packets"], s["jitter_ms"])
        return Transfer(report["end"]["sum_received"]["bits_per_second"])

    def run(self, client, target, **options):
        return self.finish(self.start(client, target, **options))

    def stop(self):
        self.lab.stop(self.process)


# A few kilobytes with a known text, sent and echoed over TCP: what must not be seen on a WAN.
ECHO_SERVER = """
import socket
s = socket.create_server(("::", 7), family=socket.AF_INET6, dualstack_ipv6=True)
print("ready", flush=True)
while True:
    c, _ = s.accept()
    while data := c.recv(65536):
        c.sendall(data)
    c.close()
"""
ECHO_CLIENT = """
import socket, sys
text = sys.argv[2].encode() * 64
with socket.create_connection((sys.argv[1], 7), timeout=20) as s:
    s.sendall(text)
    got = b""
    while len(got) < len(text):
        part = s.recv(65536)
        assert part, "closed early"
        got += part
assert got == text, "the echo differs"
"""


class Echo:
    def __init__(self, lab, node):
        self.lab = lab
        log = lab.state / f"echo-{node}.log"
        self.process = lab.popen(node, "/usr/bin/python3", "-c", ECHO_SERVER, log=log)
        wait_until(lambda: "ready" in log.read_text(), 10, "the echo server is ready")

    def say(self, client, target, text):
        self.lab.exec(client, "/usr/bin/python3", "-c", ECHO_CLIENT, target, text, timeout=60)

    def stop(self):
        self.lab.stop(self.process)


def counters(lab, node):
    """Packets and bytes of every interface of a node: {name: (rx_p, rx_b, tx_p, tx_b)}."""
    result = {}
    for line in lab.exec(node, "cat", "/proc/net/dev").stdout.splitlines()[2:]:
        name, numbers = line.split(":")
        n = [int(x) for x in numbers.split()]
        result[name.strip()] = (n[1], n[0], n[9], n[8])
    return result
