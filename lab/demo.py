#!/usr/bin/python3
"""Show the tunnel at work: laboratory up, edge and hub joined over one WAN, real traffic from a
host on the LAN to a host on the Internet, what is seen where, and a table of what was measured. Then
one session over three WANs, one of them unplugged and plugged in again under traffic.

usage: demo.py [--build DIR] [--wan 1|2|3] [--keep]
"""
import argparse
import os
import signal
import sys
import threading
import time

import packets
import traffic
from demo_bond import BondDemo
from lab import PROFILES, SITE, Lab, LabError
from tunnel import Site, Tunnel, client_keys, reachable, server_keys, write_config

SECRET = "this-is-plain-text-that-must-not-be-seen-on-a-wan"
PATTERN = b"DEMO-PING-PAYLOAD"[:16]  # ping takes up to 16 bytes
NAMES = {"fibre": "fibre", "lte": "LTE", "starlink": "Starlink-like"}
UDP_RATE = 8_000_000


def say(text=""):
    print(text, flush=True)


def title(text):
    bold = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
    say(f"\n{bold[0]}== {text}{bold[1]}")


def mbit(bits):
    return f"{bits / 1e6:.1f} Mbit/s" if bits is not None else "-"


def ms(value):
    return f"{value:.1f} ms" if value is not None else "-"


class Demo:
    def __init__(self, lab, wan):
        self.lab, self.wan = lab, wan
        self.wan_if, self.lan_if = lab.wan_interface(wan), lab.lan_interface(wan)
        self.lan, self.tun, self.port = f"lan{wan}", f"mpq{wan}", 45000 + wan
        self.rows = []

    # ---- steps ----

    def describe(self):
        wan, link = self.wan, f"=== WAN {self.wan} ({NAMES[SITE[self.wan - 1]]}) ==="
        say(f"\n    {self.lan} --- edge {link} hub --- Internet host\n"
            f"    LAN 172.16.{wan}.2, tunnel {self.tun} 10.200.{wan}.1 to 10.200.{wan}.2, "
            f"Internet {self.lab.inet4}\n")
        for i in self.lab.each_wan():
            words = " | ".join(c.removeprefix("set ") for c in PROFILES[SITE[i - 1]])
            say(f"    WAN {i} {words}")

    def bare_path(self):
        title("The bare path, from the edge to the hub over this WAN, without the tunnel")
        lab = self.lab
        self.bare_ping = traffic.ping(lab, "edge", lab.hub4, 20, 0.05, ["-I", self.wan_if])
        server = traffic.Iperf(lab, "hub")
        bind = ["-B", f"10.150.{self.wan}.2%{self.wan_if}"]
        self.bare_up = server.run("edge", lab.hub4, seconds=4, options=bind)
        self.bare_down = server.run("edge", lab.hub4, seconds=4, reverse=True, options=bind)
        server.stop()
        say(f"    RTT {ms(self.bare_ping.median)}, TCP up {mbit(self.bare_up.bits_per_second)}, "
            f"down {mbit(self.bare_down.bits_per_second)}")

    def tunnel_up(self):
        title("The tunnel")
        lab, i = self.lab, self.wan
        self.site = site = Site(lab)
        server = write_config(lab.state / "server.yaml", **server_keys(i))
        client = write_config(lab.state / "client.yaml", **client_keys(i, lab.hub4))
        self.hub = Tunnel(lab, "hub", server, site.etc["hub"]).start()
        self.edge = Tunnel(lab, "edge", client, site.etc["edge"]).start()
        try:
            reachable(lab, "edge", f"10.200.{i}.2", timeout=20,
                      ends=[self.hub, self.edge])
        except LabError:
            raise LabError(f"the tunnel did not come up\nhub:\n{self.hub.text()}\n"
                           f"edge:\n{self.edge.text()}") from None
        lab.route_tunnel(i)
        reachable(lab, self.lan, lab.inet4, timeout=10)
        reachable(lab, self.lan, lab.inet6, timeout=10)
        for name, end in (("hub", self.hub), ("edge", self.edge)):
            for line in end.text().splitlines():
                say(f"    {name + ':':6}{line}")
        lan = lab.exec("edge", "ip", "-br", "address", "show", "dev", self.tun).stdout.strip()
        say(f"    {lan}")

    def seen_on_the_wan(self):
        title("What the WAN sees while the LAN host pings and talks TCP with known text")
        lab = self.lab
        wan = lab.capture("edge", self.wan_if)
        tun = lab.capture("edge", self.tun)
        pings = {}
        for name, target in (("IPv4", lab.inet4), ("IPv6", lab.inet6)):
            pings[name] = traffic.ping(lab, self.lan, target, 20, 0.05, ["-p", PATTERN.hex()])
        echo = traffic.Echo(lab, "inet")
        echo.say(self.lan, lab.inet4, SECRET)
        echo.say(self.lan, lab.inet6, SECRET)
        echo.stop()
        inside, outside = packets.read(tun.stop()), packets.read(wan.stop())
        self.pings, needles = pings, (SECRET.encode(), PATTERN)
        self.report_captures(inside, outside, needles)

    def report_captures(self, inside, outside, needles):
        def table(frames):
            kinds = {}
            for f in frames:
                kind = f"udp {self.port}" if f.kind == "udp" and self.port in f.ports else f.kind
                kinds[kind] = kinds.get(kind, 0) + 1
            return ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items()))

        def with_text(frames):
            return sum(any(n in f.data for n in needles) for f in frames)

        self.strange = [f for f in outside if f.kind not in ("arp", "nd")
                        and not (f.kind == "udp" and self.port in f.ports)]
        self.leaks = with_text(outside)
        say(f"    in the tunnel ({self.tun}): {table(inside)}; known text in {with_text(inside)}")
        say(f"    on the WAN ({self.wan_if}): {table(outside)}; known text in {self.leaks}")

    def live(self, what, seconds, start):
        """Run a transfer and print a line each second: what passed where, and the RTT."""
        lab = self.lab
        result, failure = [], []

        def work():
            try:
                result.append(start())
            except Exception as error:  # reported by the main thread
                failure.append(error)

        worker = threading.Thread(target=work, daemon=True)
        say(f"    {what}: packets in and out of each interface of the edge, and rates, each second")
        before, then = traffic.counters(lab, "edge"), time.monotonic()
        worker.start()
        for second in range(1, seconds + 2):
            worker.join(0.75)
            rtt = traffic.ping(lab, self.lan, lab.inet4, 3, 0.1).median
            now, at = traffic.counters(lab, "edge"), time.monotonic()
            cells = []
            for name, interface in (("LAN", self.lan_if), ("TUN", self.tun), ("WAN", self.wan_if)):
                rx, tx = (now[interface][k] - before[interface][k] for k in (0, 2))
                bits = sum(now[interface][k] - before[interface][k] for k in (1, 3)) * 8
                rate = bits / 1e6 / (at - then)
                cells.append(f"{name} {rx:>6} in {tx:>6} out {rate:>6.1f} Mbit/s")
            say(f"      {second:>2}  {'   '.join(cells)}   RTT {ms(rtt):>9}")
            before, then = now, at
            if not worker.is_alive():
                break
        worker.join(60)
        if failure:
            raise failure[0]
        return result[0]

    def bulk(self):
        title("Traffic from the LAN host to the Internet host, through the tunnel")
        lab = self.lab
        server = traffic.Iperf(lab, "inet")
        run = server.run
        self.tcp_up = self.live("TCP up, IPv4", 5, lambda: run(self.lan, lab.inet4, seconds=4))
        self.tcp_down = self.live("TCP down, IPv4", 5, lambda: run(
            self.lan, lab.inet4, seconds=4, reverse=True))
        self.tcp6_down = self.live("TCP down, IPv6", 5, lambda: run(
            self.lan, lab.inet6, seconds=4, reverse=True))
        self.udp_up = self.live(f"UDP up, {mbit(UDP_RATE)}, IPv4", 4, lambda: run(
            self.lan, lab.inet4, seconds=3, udp_rate=UDP_RATE))
        self.udp6_down = self.live(f"UDP down, {mbit(UDP_RATE)}, IPv6", 4, lambda: run(
            self.lan, lab.inet6, seconds=3, udp_rate=UDP_RATE, reverse=True))
        server.stop()

    def three_wans(self):
        title("One session over three WANs, and one of them unplugged under traffic")
        for end in (self.edge, self.hub):
            end.stop()
        self.bond = BondDemo(self.lab, self.site, say)
        self.bond.up()
        self.bond.run()
        self.bond.report()

    def table(self):
        title("Measured over one WAN")
        wan = self.lab.wan(self.wan).get()
        late = max(wan[d]["late_max_us"] for d in ("up", "down")) / 1000
        rows = [
            ("RTT, ping", ms(self.bare_ping.median), ms(self.pings["IPv4"].median),
             ms(self.pings["IPv6"].median)),
            ("pings answered", f"{self.bare_ping.received}/{self.bare_ping.sent}",
             *(f"{p.received}/{p.sent}" for p in self.pings.values())),
            ("TCP up", mbit(self.bare_up.bits_per_second), mbit(self.tcp_up.bits_per_second), "-"),
            ("TCP down", mbit(self.bare_down.bits_per_second), mbit(self.tcp_down.bits_per_second),
             mbit(self.tcp6_down.bits_per_second)),
            (f"UDP loss at {UDP_RATE // 1000000} Mbit/s", "-",
             f"{self.udp_up.loss:.2%} up", f"{self.udp6_down.loss:.2%} down"),
        ]
        say(f"    {'':22}{'bare path, IPv4':>18}{'tunnel, IPv4':>18}{'tunnel, IPv6':>18}")
        for name, *cells in rows:
            say(f"    {name:22}" + "".join(f"{c:>18}" for c in cells))
        seen = f"OTHER PACKETS: {len(self.strange)}" if self.strange else (
            f"only QUIC on UDP {self.port} (and ARP/ND)")
        say(f"    on the WAN: {seen}; plain text seen: {self.leaks or 'none'}")
        say(f"    the emulated WAN was at most {late:.1f} ms late"
            + ("; the machine was busy, do not trust the times" if late > 20 else ""))

    def verdict(self):
        """What must be true for the demo to have worked."""
        problems = self.bond.verdict()
        if self.strange:
            problems.append(f"packets on the WAN that are not the tunnel's: {self.strange[0]}")
        if self.leaks:
            problems.append("plain text on the WAN")
        if any(p.received < p.sent * 0.8 for p in self.pings.values()):
            problems.append("pings were lost")
        for name, t in (("TCP up", self.tcp_up), ("TCP down", self.tcp_down),
                        ("TCP over IPv6", self.tcp6_down)):
            if t.bits_per_second < 1e6:
                problems.append(f"{name} is slow: {mbit(t.bits_per_second)}")
        return problems


def look_around(lab, wan):
    lan, mpquic = "lan1", os.path.relpath(lab.build / "mpquic")
    tool = os.path.relpath(os.path.join(os.path.dirname(__file__), "lab.py"))
    hints = [
        (f"{tool} exec demo {lan} ping {lab.inet4}", "LAN to Internet, in the tunnel"),
        (f"{tool} exec demo edge tcpdump -ni {lab.wan_interface(wan)}", "what the WAN sees"),
        (f"{tool} exec demo edge tcpdump -ni mpqb", "what the tunnel carries"),
        (f"{tool} exec demo NODE COMMAND", f"nodes: {' '.join(lab.nodes())}"),
        (f"{tool} wan demo {wan}", "the link's counters"),
        (f"{tool} wan demo {wan} set both delay=80ms loss=2%", "change the link while it runs"),
        (f"tail -f {lab.state}/edge-bond.log", "what the edge says"),
        (f"{tool} exec demo edge {mpquic} paths --watch", "how its paths do"),
        (f"{tool} exec demo hub {mpquic} peers", "who is at the hub"),
    ]
    say("\nThe laboratory stays up. To look around:")
    for command, what in hints:
        say(f"    {command:52} {what}")
    say(f"To stop it and remove everything:\n    {tool} down demo")


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1])
    parser.add_argument("--build", default=None)
    parser.add_argument("--wan", type=int, choices=(1, 2, 3), default=1)
    parser.add_argument("--keep", action="store_true")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    lab = Lab("demo", build=args.build, wans=3)
    status, keep = 1, False
    try:
        title("The laboratory")
        start = time.monotonic()
        lab.up()
        demo = Demo(lab, args.wan)
        demo.describe()
        say(f"\n    {len(lab.nodes())} network namespaces, up in {time.monotonic() - start:.1f} s")
        demo.bare_path()
        demo.tunnel_up()
        demo.seen_on_the_wan()
        demo.bulk()
        demo.table()
        demo.three_wans()
        problems = demo.verdict()
        for problem in problems:
            say(f"demo: FAILED: {problem}")
        status, keep = (1 if problems else 0), args.keep
    except KeyboardInterrupt:
        say("\ndemo: interrupted")
        status = 130
    except (LabError, OSError) as error:
        say(f"\ndemo: FAILED: {error}")
    finally:
        if keep:
            look_around(lab, args.wan)
        else:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            lab.down()
            say("\nThe laboratory is removed.")
    return status


if __name__ == "__main__":
    sys.exit(main())
