"""The second part of the demo: one session over three WANs, one of which is unplugged and plugged in
again under traffic, with the table of `mpquic paths` as it goes."""
import threading
import time

import traffic
from bond import Bond, plug
from tunnel import reachable

SECONDS, OUT_AT, IN_AT = 24, 6, 14
LAN = 1


class Table:
    """`mpquic paths --watch`, as far as it has written."""

    def __init__(self, lab, bond):
        self.log = lab.state / "paths.log"
        self.log.unlink(missing_ok=True)
        self.process = lab.popen("edge", bond.edge.program, "paths", "--watch", "bond", log=self.log)
        self.lab, self.read = lab, 0

    def last(self):
        """The rows of the last table that is whole and new; None when there is none."""
        text = self.log.read_text(errors="replace")
        end = text.rfind("\n\n")
        if end <= self.read:
            return None
        begin = max(text.rfind("\n\n", 0, end), 0)
        self.read = end
        return [line for line in text[begin:end].splitlines()
                if line.startswith("  ") and not line.startswith("    ")]

    def stop(self):
        self.lab.stop(self.process)


class BondDemo:
    def __init__(self, lab, site, say):
        self.lab, self.say = lab, say
        self.bond = Bond(lab, site, hub_keys=dict(
            peer_prefixes=[f"172.16.{LAN}.0/30", f"fd16:0:0:{LAN}::/64"]))

    def up(self):
        lab = self.lab
        self.bond.start()
        reachable(lab, "edge", "10.200.20.2", 20, (self.bond.edge, self.bond.hub))
        lab.route_tunnel(LAN, "mpqb")
        reachable(lab, f"lan{LAN}", lab.inet4, timeout=10)
        self.bond.wait_states(20, **{f"wan{i}": "up" for i in lab.each_wan()})

    def run(self):
        """Traffic from the Internet host to the LAN host meanwhile, and pings the other way."""
        lab, say = self.lab, self.say
        server = traffic.Iperf(lab, "inet", 5202)
        run = server.start(f"lan{LAN}", lab.inet4, seconds=SECONDS - 2, reverse=True)
        pings = []
        worker = threading.Thread(daemon=True, target=lambda: pings.append(
            traffic.ping(lab, f"lan{LAN}", lab.inet4, (SECONDS - 4) * 20, 0.05)))
        worker.start()
        table, begin, done = Table(lab, self.bond), time.monotonic(), set()
        while (at := time.monotonic() - begin) < SECONDS:
            for when, there, what in ((OUT_AT, False, "unplugged"), (IN_AT, True, "plugged in again")):
                if at >= when and when not in done:
                    done.add(when)
                    plug(lab, 1, there)
                    say(f"\n      {at:>2.0f}  *** the modem of WAN 1 is {what} ***")
            if rows := table.last():
                say(f"\n      {at:>2.0f} s")
                for row in rows:
                    say(f"      {row}")
            time.sleep(0.2)
        table.stop()
        worker.join(60)
        self.tcp, self.ping = server.finish(run), pings[0]
        server.stop()
        self.history = self.bond.paths()["wan1"]["history"]

    def report(self):
        say = self.say
        say(f"\n    TCP over all that time: {self.tcp.bits_per_second / 1e6:.1f} Mbit/s; "
            f"pings answered: {self.ping.received}/{self.ping.sent}")
        for step in reversed(self.history):
            say(f"    {step['time']}  wan1: {step['state']}"
                f"{': ' if step['reason'] else ''}{step['reason']}")

    def verdict(self):
        problems = []
        if self.tcp.bits_per_second < 1e6:
            problems.append("TCP over the bond is slow")
        if self.ping.received < self.ping.sent * 0.8:
            problems.append("pings over the bond were lost")
        if self.history[0]["state"] != "up" or not any(
                s["state"] == "idle" for s in self.history):
            problems.append("WAN 1 did not go and come back")
        return problems
