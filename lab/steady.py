"""Steady traffic of three kinds between two nodes, and what became of every single packet of it."""
import json
import signal

from lab import wait_until
from traffic import missing

# Answers UDP datagrams and TCP connections on one port with what they say.
SERVER = """
import selectors, socket
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.bind(("0.0.0.0", 9))
t = socket.create_server(("0.0.0.0", 9))
s = selectors.DefaultSelector()
s.register(u, selectors.EVENT_READ)
s.register(t, selectors.EVENT_READ)
print("ready", flush=True)
while True:
    for key, _ in s.select():
        f = key.fileobj
        try:
            if f is u:
                data, who = u.recvfrom(2000)
                u.sendto(data, who)
            elif f is t:
                s.register(t.accept()[0], selectors.EVENT_READ)
            elif data := f.recv(65536):
                f.sendall(data)
            else:
                raise ConnectionError
        except OSError:
            if f not in (u, t):
                s.unregister(f)
                f.close()
"""
# A numbered line over TCP and a numbered datagram every 50 ms, until SIGINT and a second for what is
# on its way.
CLIENT = """
import json, select, signal, socket, sys, time
end = []
signal.signal(signal.SIGINT, lambda *_: end.append(time.monotonic() + 1))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.connect((sys.argv[1], 9))
t = socket.create_connection((sys.argv[1], 9), timeout=10)
t.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
t.setblocking(False)
print("ready", flush=True)
sent, udp, tcp, error, at = 0, set(), b"", "", time.monotonic()
while not end or time.monotonic() < end[0]:
    ready = select.select([u] if error else [u, t], [], [], max(0, min(0.05, at - time.monotonic())))[0]
    try:
        if u in ready:
            udp.add(int(u.recv(2000)))
    except OSError:
        pass
    try:
        if t in ready:
            data = t.recv(65536)
            tcp += data
            if not data:
                error = "closed"
    except OSError as e:
        error = str(e)
    if not end and time.monotonic() >= at:
        at += 0.05
        try:
            u.send(b"%d" % sent)
        except OSError:
            pass
        try:
            if not error:
                t.send(b"%d\\n" % sent)
        except OSError as e:
            error = str(e)
        sent += 1
    if end and len(udp) == sent and tcp.count(b"\\n") == sent:
        break
print(json.dumps({"sent": sent, "udp": sorted(set(range(sent)) - udp),
                  "tcp": sorted(set(range(sent)) - set(map(int, tcp.split(b"\\n")[:-1]))),
                  "error": error}))
"""


class Answers:
    """The other end, at a node."""

    def __init__(self, lab, node):
        self.lab = lab
        log = lab.state / f"steady-{node}.log"
        self.process = lab.popen(node, "/usr/bin/python3", "-c", SERVER, log=log)
        wait_until(lambda: "ready" in log.read_text(), 10, "the other end of the steady traffic")

    def stop(self):
        self.lab.stop(self.process)


class Steady:
    """ICMP, UDP and TCP from a node to an address where Answers are, 20 packets a second each."""

    def __init__(self, lab, node, target):
        self.lab = lab
        self.logs = [lab.state / f"steady-{node}.{kind}" for kind in ("ping", "flow")]
        for log in self.logs:
            log.unlink(missing_ok=True)
        commands = (["ping", "-n", "-i", "0.05", "-W", "1", target],
                    ["/usr/bin/python3", "-c", CLIENT, target])
        self.processes = [lab.popen(node, *c, log=log) for c, log in zip(commands, self.logs)]
        wait_until(lambda: "ready" in self.logs[1].read_text(), 10, f"steady traffic from {node}")

    def stop(self):
        """What had no answer: {"icmp": numbers, "udp": numbers, "tcp": numbers}; of a connection that
        broke also "error"."""
        self.lab.stop(self.processes[1], signal.SIGINT)
        self.lab.stop(self.processes[0], signal.SIGINT)
        told = json.loads(self.logs[1].read_text().splitlines()[-1])
        assert told.pop("sent") > 0
        lost = {"icmp": missing(self.logs[0].read_text())} | told
        return {kind: what for kind, what in lost.items() if what}
