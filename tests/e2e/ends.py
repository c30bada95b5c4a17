"""One edge and one hub in a laboratory, what is between them, and what can be asked of them."""
import contextlib
import os
import re
import time

from lab import wait_until
from traffic import parse_ping, ping
from tunnel import Tunnel, client_keys, reachable, server_keys, write_config

PORT = 45001


def modem(lab):
    """A second way to the hub, over an interface that can be pulled out."""
    lab.exec("edge", "ip", "-batch", "-", input=(
        f"link add lte0 type veth peer name lte0 netns {lab.ns('core')}\n"
        "link set lte0 up\n" "address add 10.160.1.2/24 dev lte0\n"
        "route add default via 10.160.1.1 dev lte0 metric 500\n"))
    lab.exec("core", "ip", "-batch", "-", input="link set lte0 up\naddress add 10.160.1.1/24 dev lte0\n")


def replug(lab):
    """The modem is pulled out and put in again: another interface of the same name."""
    ip(lab, "edge", "link del lte0")
    modem(lab)


class Ends:
    """An edge and a hub that run, and what the tests ask of them."""

    def __init__(self, lab, interface="enp7s3", certificates=None, edge_clock=None, hub_clock=None,
                 hub_keys={}, **more):
        self.lab = lab
        etc = (certificates or lab.certificates).etc
        self.hub = Tunnel(lab, "hub", write_config(lab.state / "h.yaml", **server_keys(1, **hub_keys)),
                          etc["hub"])
        keys = client_keys(1, lab.hub4, bind_ip=f"if:{interface}")
        self.edge = Tunnel(lab, "edge", write_config(lab.state / "e.yaml", **keys | more),
                           etc["edge"])
        self.clocks = {self.hub: hub_clock, self.edge: edge_clock}
        for end in (self.hub, self.edge):
            end.log.unlink(missing_ok=True)

    def start(self):
        for end, clock in self.clocks.items():
            with clock or contextlib.nullcontext():
                end.start()

    def __enter__(self):
        self.start()
        self.works()
        return self

    def __exit__(self, kind=None, *_):
        codes = [end.stop() for end in (self.edge, self.hub) if end.running()]
        assert kind or not any(codes), f"{codes}: {self.said()}"

    def works(self, timeout=60):
        ends = (self.edge, self.hub)
        reachable(self.lab, "edge", "10.200.1.2", timeout, ends)
        reachable(self.lab, "edge", "fd00:200:1::2", timeout, ends)
        result = ping(self.lab, "edge", "10.200.1.2", 10, 0.05)
        assert result.received == 10, result.text + self.said()

    def said(self):
        return self.edge.text() + "\n" + self.hub.text()

    def tunnels(self):
        """How often the edge has come up; the hub's session may have lasted."""
        return len(re.findall("tunnel: up", self.edge.text()))

    def ups(self):
        return len(re.findall(r"peer edge\S*: up", self.hub.text()))

    def sockets(self):
        """UDP sockets of the edge's processes, as ss lists them."""
        pids = [f"pid={p}," for p in family(self.edge.process.pid)]
        shown = self.lab.exec("edge", "ss", "-Huanp").stdout
        return [line for line in shown.splitlines() if any(p in line for p in pids)]


def family(pid):
    """A process and those that it has started."""
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return [pid] + [q for p in f.read().split() for q in family(int(p))]


class Traffic:
    """A ping that goes on in the background."""

    def __init__(self, lab, node="edge", target="10.200.1.2", interval=0.05):
        self.log = lab.state / "traffic.log"
        self.log.unlink(missing_ok=True)
        self.lab = lab
        self.process = lab.popen(node, "ping", "-n", "-D", "-i", str(interval), "-W", "1", target,
                                 log=self.log)
        self.wait(3)

    def answers(self):
        return self.log.read_text().count("bytes from") if self.log.exists() else 0

    def wait(self, more, timeout=60):
        """Wait until that many more are answered."""
        want = self.answers() + more
        wait_until(lambda: self.answers() >= want, timeout, f"traffic goes on: {self.log.read_text()}")

    def silent(self, seconds=1.0):
        """Nothing is answered any more."""
        def still():
            before = self.answers()
            time.sleep(seconds)
            return self.answers() == before
        wait_until(still, 20, "traffic stops")

    def stop(self):
        self.process.send_signal(2)
        self.process.wait(10)
        return parse_ping(self.log.read_text())


def ip(lab, node, *commands):
    lab.exec(node, "ip", "-batch", "-", input="".join(c + "\n" for c in commands))


def renumber(lab, old, new):
    ip(lab, "edge", f"address del {old}/24 dev enp7s3", f"address add {new}/24 dev enp7s3",
       "route replace default via 10.150.1.1 dev enp7s3 metric 101")


def masquerade(lab, ports):
    lab.exec("wan1", "nft", "-f", "-", input=(
        "add table ip cgn\ndelete table ip cgn\n"
        "table ip cgn {\n chain post {\n type nat hook postrouting priority 100\n"
        f"oifname eth1 udp dport {PORT} masquerade to :{ports}\n}}\n}}\n"))
    lab.exec("wan1", "conntrack", "-F", check=False)


def resources(tunnel):
    """Of each process of an instance: open descriptors and resident KiB."""
    def resident(pid):
        with open(f"/proc/{pid}/smaps_rollup") as f:
            return int(re.search(r"^Rss:\s+(\d+) kB", f.read(), re.M)[1])
    pids = family(tunnel.process.pid)
    return [len(os.listdir(f"/proc/{p}/fd")) for p in pids], [resident(p) for p in pids]
