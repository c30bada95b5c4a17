"""An edge with several WANs: its own traffic over each of them, over all of them by the kernel's
MPTCP, and the links of lab/links on them.

    edge 10.150.1.2 --- wan 1 (a link) ---+
         10.150.2.2 --- wan 2 (a link) ---+--- core --- hub
         10.150.3.2 --- wan 3 (a link) ---+
"""
import json
import pathlib
import sys

from lab import LINKS, LabError, run, wait_until

HERE = pathlib.Path(__file__).resolve().parent

# A measurement is void when the emulator was not what it should have been (late frames, lost ones).
LATE_MAX_MS = 10
LATE_SHARE_MAX = 0.005


def cells():
    """The matrix: {name of a cell: [names of links]}."""
    result = {}
    for line in (LINKS / "matrix").read_text().splitlines():
        words = line.split("#")[0].split()
        if words:
            result[words[0]] = words[1:]
    return result


def address(i):
    """The edge's address on WAN i."""
    return f"10.150.{i}.2"


def route(lab):
    """What is sent from the address of a WAN leaves by that WAN."""
    for i in lab.each_wan():
        run("ip", "-n", lab.ns("edge"), "-batch", "-", input=(
            f"rule add priority {2000 + i} from {address(i)} lookup {200 + i}\n"
            f"route replace default via 10.150.{i}.1 dev {lab.wan_interface(i)} table {200 + i}\n"))


def play(lab, links, start=0):
    """Let WAN 1, 2, ... be these links. Each begins at another place of its trace; `start` moves all."""
    for i, link in enumerate(links, 1):
        lab.wan(i).play(link, start + 7 * (i - 1))


def shape(lab, rates):
    """Let WAN 1, 2, ... carry so many Mbit/s in each direction, by a token bucket at a router hop, where
    its loss is not hidden from the sender by backpressure; 0: as much as there is."""
    for i, rate in enumerate(rates, 1):
        for node, interface in (("core", f"wan{i}"), (f"wan{i}", "eth1")):
            lab.exec(node, "tc", "qdisc", "del", "dev", interface, "root", check=False)
            if rate:
                lab.exec(node, "tc", "qdisc", "add", "dev", interface, "root", "tbf", "rate",
                         f"{rate}mbit", "burst", 250 * rate, "latency", "20ms")


def has_mptcp(lab):
    said = lab.exec("edge", "sysctl", "-n", "net.mptcp.enabled", check=False).stdout.strip()
    return said == "1"


def mptcp(lab, wans=None):
    """Let MPTCP connections between edge and hub use these WANs; None: all."""
    for node in ("edge", "hub"):
        lab.exec(node, "ip", "mptcp", "limits", "set", "subflows", 8, "add_addr_accepted", 8)
    lab.exec("edge", "ip", "mptcp", "endpoint", "flush")
    for i in wans or lab.each_wan():
        lab.exec("edge", "ip", "mptcp", "endpoint", "add", address(i), "dev", lab.wan_interface(i),
                 "subflow")


def disturbance(lab, wans):
    """Why what was measured over these WANs since their reset() says nothing; None when it does."""
    for i in set(wans) & set(lab.emulated()):
        seen = lab.wan(i).get()
        for name in ("up", "down"):
            d = seen[name]
            late = d["late_over_1ms"] / max(d["out_packets"], 1)
            lost = d["no_memory"] + d["send_error"] + d["missed"]
            if lost or d["late_max_us"] > LATE_MAX_MS * 1000 or late > LATE_SHARE_MAX:
                return (f"WAN {i} {name}: latest {d['late_max_us'] / 1000:.1f} ms, "
                        f"{100 * late:.2f} % of frames over 1 ms late, {lost} lost by the emulator")
    return None


class Flows:
    """A server of bulk flows at a node (flows.py), and runs against it."""

    def __init__(self, lab, node="hub", mptcp=False):
        self.lab, self.node, self.mptcp = lab, node, mptcp
        self.port = 5301 + mptcp
        self.log = lab.state / f"flows-{node}-{self.port}.log"
        self.process = lab.popen(node, sys.executable, HERE / "flows.py", "listen", self.port,
                                 *self.words(), log=self.log)
        wait_until(lambda: "listening" in self.log.read_text(), 10, "flows.py listens")

    def words(self):
        return ["--mptcp"] if self.mptcp else []

    def run(self, client, target, flows=1, seconds=5, omit=1, bind=None, down=True):
        """What flows.py prints, as a dictionary. down: from the server to the client."""
        done = self.lab.exec(client, sys.executable, HERE / "flows.py", target, self.port,
                             "--flows", flows, "--seconds", seconds, "--omit", omit, *self.words(),
                             *(["--bind", bind] if bind else []), *(["--reverse"] if down else []),
                             timeout=seconds + omit + 60)
        try:
            return json.loads(done.stdout)
        except ValueError:
            raise LabError(f"flows.py said: {done.stdout[:200]} {done.stderr[:200]}") from None

    def stop(self):
        self.lab.stop(self.process)
