#!/usr/bin/python3
"""What a flood of handshake packets costs an established tunnel.

    edge ===veth=== hub ===veth=== stranger ===veth=== wall

The edge has its tunnel to the hub. In each round TCP runs through it towards the hub and back, and
then UDP at a fixed rate, once in each of three ways:

    quiet    nobody else sends
    wall     the stranger sends RATE datagrams a second to an address behind the wall, which the
             wall's kernel drops: what the sender itself takes from the processors, which all four
             share
    flood    the same datagrams go to the hub's port

The datagrams (flood.c), in turn: first packets captured from real clients and replayed from the
stranger's own address, the same under addresses that are not his, and junk of three kinds. The
figure is throughput with the flood divided by throughput in the quiet of the same round; beside it
stands flood / wall, which is the hub's own part. Before that the hub's processor time is measured
for each kind alone, without traffic in the tunnel.

Exit status 1 when the median of flood / quiet is below 0.8 in one direction, or the tunnel was
lost. Needs root and iperf3.
"""
import argparse
import contextlib
import datetime
import json
import os
import pathlib
import platform
import re
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "lab"))
from certs import Authority  # noqa: E402

PORT = 45010
RATIO_MIN = 0.8
IPERF_TRIES = 3
OTHERS_MAX = 10  # percent of all processors
NICE = -20
AUTOGROUP = pathlib.Path("/proc/self/autogroup")  # the session's, which counts where it exists
STRANGER, HUB, BEHIND_WALL = "192.0.3.2", "192.0.3.1", "192.0.9.1"
MIX = "rfirfsrfn"  # a third each: replayed, forged, junk
KINDS = {"r": "replayed first packets", "f": "the same, forged sources",
         "i": "junk like a first packet", "s": "junk like a later packet", "n": "random bytes",
         MIX: "all in turn"}
WAYS = ("quiet", "wall", "flood")
PREFIX = f"mqfl{os.getpid()}"
LINKS = (("edge", "up0", "hub", "e0", 2), ("stranger", "up0", "hub", "s0", 3),
         ("stranger", "w0", "wall", "up0", 4))  # 192.0.N.2 and 192.0.N.1
COMMON = """bind_ip: {bind}
remote_port: {port}
tls_cert_file: {dir}/{name}.crt
tls_key_file: {dir}/{name}.key
tls_ca_file: {dir}/ca.crt
log_level: info
"""


def run(*args, **kwargs):
    return subprocess.run([str(a) for a in args], check=True, capture_output=True, text=True,
                          **kwargs).stdout


def inside(node, *args):
    return ["ip", "netns", "exec", f"{PREFIX}-{node}", *map(str, args)]


# --- the laboratory ------------------------------------------------------------------------

@contextlib.contextmanager
def network():
    nodes = ["edge", "hub", "stranger", "wall"]
    try:
        for node in nodes:
            run("ip", "netns", "add", f"{PREFIX}-{node}")
            run(*inside(node, "ip", "link", "set", "lo", "up"))
        for node, device, other, other_device, net in LINKS:
            run("ip", "-n", f"{PREFIX}-{node}", "link", "add", device, "type", "veth", "peer",
                "name", other_device, "netns", f"{PREFIX}-{other}")
            for where, name, host in ((node, device, 2), (other, other_device, 1)):
                run(*inside(where, "ip", "addr", "add", f"192.0.{net}.{host}/24", "dev", name))
                run(*inside(where, "ip", "link", "set", name, "up"))
        run(*inside("hub", "ip", "route", "add", "default", "via", STRANGER))
        run(*inside("stranger", "ip", "route", "add", f"{BEHIND_WALL}/32", "via", "192.0.4.1"))
        run(*inside("wall", "ip", "route", "add", "default", "via", "192.0.4.2"))
        run(*inside("wall", "ip", "route", "add", "blackhole", f"{BEHIND_WALL}/32"))
        for where, name in (("hub", "s0"), ("wall", "up0")):
            run(*inside(where, "sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0",
                        f"net.ipv4.conf.{name}.rp_filter=0", "net.ipv4.ip_forward=1"))
        yield
    finally:
        for node in nodes:
            subprocess.run(["ip", "netns", "del", f"{PREFIX}-{node}"], capture_output=True,
                           check=False)


def write_configs(where):
    ca = Authority(where)
    ca.issue("server", "hub", server=True, hosts=["192.0.2.1", "hub.example"])
    ca.issue("edge", "edge")
    (where / "hub.yaml").write_text("role: server\n" + COMMON.format(
        bind="0.0.0.0", port=PORT, dir=where, name="server") +
        "tun_name: flh\ntun_cidr: 10.98.0.1/24\nmulti_conn_enabled: true\n")
    (where / "edge.yaml").write_text("role: client\n" + COMMON.format(
        bind="if:up0", port=PORT, dir=where, name="edge") +
        "remote_addr: 192.0.2.1\ntun_name: fle\ntun_cidr: 10.98.0.2/24\n")


def capture(build, where, count=300):
    """First packets of real clients, who talk to a port where nobody answers."""
    sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    sink.bind(("127.0.0.1", 0))
    sink.settimeout(5)
    clients = subprocess.Popen(
        [build / "bench/crowd", "127.0.0.1", str(sink.getsockname()[1]), "hub.example",
         where / "ca.crt", str(count), where / "edge.crt", where / "edge.key"],
        stdout=subprocess.DEVNULL)
    packets = {}
    try:
        while len(packets) < count:
            data, sender = sink.recvfrom(2048)
            packets.setdefault(sender, data)
    finally:
        clients.kill()
        clients.wait()
        sink.close()
    with open(where / "initials", "wb") as out:
        for data in packets.values():
            out.write(struct.pack("!H", len(data)) + data)


class Tunnel:
    """Hub and edge of the program under test, and iperf3's server."""

    def __init__(self, args, where):
        self.build, self.where = args.build, where
        self.env = os.environ | {"MPQUIC_RUN_DIR": str(where), "MPQUIC_STATE_DIR": str(where)}
        self.processes = []

    def __enter__(self):
        try:
            self.hub = self.start("hub")
            time.sleep(1)
            self.start("edge")
            self.processes.append(subprocess.Popen(
                inside("hub", "iperf3", "-s", "-B", "10.98.0.1"), stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL))
            self.wait_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
            process.wait(20)

    def start(self, node):
        with open(self.where / f"{node}.log", "w") as log:
            process = subprocess.Popen(inside(node, self.build / "mpquic", "tunnel", "-c",
                                              self.where / f"{node}.yaml"),
                                       env=self.env, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def wait_up(self):
        """Until the address answers and the search for the path MTU is over."""
        for _ in range(100):
            time.sleep(0.2)
            if (subprocess.run(inside("edge", "ping", "-c", "1", "-W", "1", "10.98.0.1"),
                               capture_output=True, check=False).returncode == 0 and
                    "tun fle: mtu 1" in (self.where / "edge.log").read_text()):
                time.sleep(1)
                return
        raise RuntimeError("\n".join((self.where / f"{n}.log").read_text()
                                     for n in ("edge", "hub")))

    def status(self):
        return json.loads(run(self.build / "mpquic", "status", "--json", "hub", env=self.env))

    def cpu_s(self):
        """Processor time of all processes here, which do not end meanwhile."""
        return sum(cpu_seconds(p.pid) for p in self.processes)

    def losses(self):
        """How often the edge lost its tunnel."""
        return len(re.findall(r"tunnel: pause", (self.where / "edge.log").read_text()))

    def overflows(self):
        """Datagrams that found the socket's buffer full, since the namespace was made."""
        names, values = (line.split() for line in run(*inside(
            "hub", "cat", "/proc/net/snmp")).splitlines() if line.startswith("Udp:"))
        return int(values[names.index("RcvbufErrors")])


@contextlib.contextmanager
def first_in_line():
    """Who else works on this machine disturbs as little as can be."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, NICE)
    group = AUTOGROUP.exists() and AUTOGROUP.read_text().split()
    try:
        if group:
            AUTOGROUP.write_text(str(NICE))
        yield
    finally:
        if group:
            AUTOGROUP.write_text(group[-1])
        os.setpriority(os.PRIO_PROCESS, 0, before)


# --- measuring -----------------------------------------------------------------------------

def cpu_seconds(pid):
    """Of a process and its child."""
    total = 0
    kids = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for p in [pid, *kids]:
        fields = pathlib.Path(f"/proc/{p}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def resident_kib(pid):
    """Of a process and its child."""
    kids = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{p}/status").read_text())[1])
               for p in [pid, *kids])


class Others:
    """Who used the processors: this program and the tunnel, or others."""

    def __init__(self, tunnel):
        self.tunnel = tunnel
        self.start = self.sample()

    def sample(self):
        with open("/proc/stat") as f:
            user, nice, system = (int(x) for x in f.readline().split()[1:4])
        busy = (user + nice + system) / os.sysconf("SC_CLK_TCK")
        return time.monotonic(), busy, sum(os.times()[:4]) + self.tunnel.cpu_s()

    def share(self):
        """Of all processors, in percent."""
        wall, busy, own = (now - then for now, then in zip(self.sample(), self.start))
        return max(0, 100 * (busy - own) / (wall * os.cpu_count()))


def busy_share():
    """Of all processors, during one second, in percent."""
    def sample():
        with open("/proc/stat") as f:
            v = [int(x) for x in f.readline().split()[1:9]]
        return sum(v) - v[3] - v[4], sum(v)
    busy, total = sample()
    time.sleep(1)
    busy, total = (now - then for now, then in zip(sample(), (busy, total)))
    return 100 * busy / max(1, total)


def wait_for_quiet(args):
    """Until the machine has nothing else to do, or the patience is at its end."""
    while args.patience > 0 and busy_share() > OTHERS_MAX:
        args.patience -= 1


def flood(args, where, to, seconds, kinds=MIX):
    return subprocess.Popen(inside("stranger", args.build / "bench/flood", STRANGER, to, PORT,
                                   args.rate, seconds, where / "initials", kinds),
                            stdout=subprocess.PIPE, text=True)


def iperf(*args):
    """Its server may still be busy with the run before."""
    for _ in range(IPERF_TRIES):
        text = subprocess.run(inside("edge", "iperf3", "-J", "-c", "10.98.0.1", *args),
                              capture_output=True, text=True, check=False, timeout=60).stdout
        end = json.loads(text).get("end")
        if end:
            return end
        time.sleep(1)
    raise RuntimeError(f"iperf3: {text}")


def traffic(seconds):
    """TCP up and down in Mbit/s, UDP loss in percent."""
    result = {}
    for name, more in (("tcp_up", []), ("tcp_down", ["-R"])):
        result[name] = iperf("-t", seconds, *more)["sum_received"]["bits_per_second"] / 1e6
    result["udp_loss"] = iperf("-u", "-b", "100M", "-l", "1200", "-t", seconds)["sum"][
        "lost_percent"]
    return result


def one(args, where, tunnel, way):
    sender, others = None, Others(tunnel)
    if way != "quiet":
        sender = flood(args, where, HUB if way == "flood" else BEHIND_WALL, 3 * args.seconds + 4)
        time.sleep(1)
    result = traffic(args.seconds)
    if sender:
        result["sent"] = int(sender.communicate()[0])
    result["others"] = others.share()
    return result


def cost_of(args, where, tunnel, kinds):
    """What one kind costs the hub while the tunnel is idle: microseconds of processor time for
    each datagram, and the answers that it got."""
    before, state = cpu_seconds(tunnel.hub.pid), tunnel.status()["handshakes"]
    sent = int(flood(args, where, HUB, args.seconds, kinds).communicate()[0])
    used, after = cpu_seconds(tunnel.hub.pid) - before, tunnel.status()["handshakes"]
    return {"sent": sent, "us": 1e6 * used / sent, "processor": used / args.seconds,
            "handshakes": {k: after[k] - state[k] for k in ("begun", "retried", "resets", "junk")}}


def measure(args, where):
    write_configs(where)
    capture(args.build, where)
    with network(), first_in_line(), Tunnel(args, where) as tunnel:
        wait_for_quiet(args)
        memory = [resident_kib(tunnel.hub.pid)]
        costs = {kinds: cost_of(args, where, tunnel, kinds) for kinds in KINDS}
        memory.append(resident_kib(tunnel.hub.pid))
        rounds = []
        for i in range(args.rounds):
            ways = WAYS if i % 2 == 0 else WAYS[::-1]
            wait_for_quiet(args)
            rounds.append({way: one(args, where, tunnel, way) for way in ways})
        state = tunnel.status()
        return {"costs": costs, "rounds": rounds, "hub_kib": memory, "lost": tunnel.losses(),
                "overflows": tunnel.overflows(), "handshakes": state["handshakes"],
                "drops": {k: v for k, v in state["drops"].items() if v}}


# --- telling -------------------------------------------------------------------------------

def spread(values):
    values = list(values)
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def summary(rounds):
    out = {}
    for name in ("tcp_up", "tcp_down"):
        out[name] = {way: spread(r[way][name] for r in rounds) for way in WAYS}
        for base in ("quiet", "wall"):
            out[name][f"flood/{base}"] = spread(r["flood"][name] / r[base][name] for r in rounds)
    out["udp_loss"] = {way: spread(r[way]["udp_loss"] for r in rounds) for way in WAYS}
    return out


def machine():
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    now = datetime.datetime.now(datetime.timezone.utc)
    return {"cpu": model.group(1) if model else "?", "processors": os.cpu_count(),
            "kernel": platform.release(), "date": now.strftime("%Y-%m-%d %H:%M UTC")}


def show(result):
    print("hub, idle tunnel:      sent   us each  of a processor")
    for kinds, cost in result["costs"].items():
        figures = f"{cost['sent']:6} {cost['us']:6.1f} {cost['processor']:7.1%}"
        print(f"  {KINDS[kinds]:26}", figures, "  ", " ".join(
            f"{k} {v}" for k, v in cost["handshakes"].items()))
    for name, columns in result["summary"].items():
        digits = 2 if name == "udp_loss" else 0
        print(name)
        for column, s in columns.items():
            n = 2 if "/" in column else digits
            print(f"  {column:12} {s['median']:8.{n}f}  ({s['min']:.{n}f} - {s['max']:.{n}f})")
    print("hub's memory before and after the first part: {} and {} KiB".format(*result["hub_kib"]))
    print(f"others on this machine: {result['others']['median']:.0f} % of the processors, at most "
          f"{result['others']['max']:.0f} %")
    print("the edge lost its tunnel", result["lost"], "times; datagrams that found the hub's "
          "buffer full:", result["overflows"])
    print("handshakes", result["handshakes"])
    print("drops", result["drops"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--rate", type=int, default=10000, help="datagrams a second")
    parser.add_argument("--seconds", type=int, default=4, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--patience", type=int, default=60,
                        help="seconds, in all, to wait for a quiet machine")
    parser.add_argument("--json", type=pathlib.Path, help="where to keep every figure")
    args = parser.parse_args()
    args.build = args.build.resolve()
    if os.geteuid():
        parser.error("needs root")
    with tempfile.TemporaryDirectory(prefix="mpquic-flood-") as directory:
        result = measure(args, pathlib.Path(directory))
    result |= machine() | {
        "rate": args.rate, "seconds": args.seconds, "summary": summary(result["rounds"]),
        "others": spread(r[w]["others"] for r in result["rounds"] for w in WAYS)}
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    show(result)
    worst = min(result["summary"][n]["flood/quiet"]["median"] for n in ("tcp_up", "tcp_down"))
    print(f"flood / quiet: {worst:.2f}, wanted: {RATIO_MIN}")
    return worst < RATIO_MIN or result["lost"] > 0


if __name__ == "__main__":
    sys.exit(main())
