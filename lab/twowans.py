"""The second site: an inner router, an edge with two providers, and a world behind them.

    inner --enmwanbr0-- edge --enatt0.3242-- att ------+-- world
                           \\---enwebpass0--- webpass --+

    inner    10.250.250.2..6, fe80::2; 3d06:bad:b01:1::100 and :2::50 behind it; 3d06:bad:b01:fe::2
    edge     10.250.250.1, fe80::1 inside; 162.200.0.2 and 2001:506:72f7:108c::1 at att,
             136.25.91.242 and 2604:5500:c271:8000::72b at webpass, fe80::e to both
    att      takes 104.57.226.192/29 for on-link; delegates 2600:1700:2f71:c80::/60
    webpass  136.25.91.241 in its /29, which is on-link; delegates 2604:5500:c271:be00::/60
    world    198.51.100.10, 2001:db8:fe::10

att and webpass route what they delegate to the edge's link-local address, and nothing else to it.
"""
import json
import pathlib
import sys

from lab import Lab, LabError, run, wait_until

ASKS = pathlib.Path(__file__).resolve().parent / "asks.py"
INSIDE4 = [f"10.250.250.{i}" for i in range(2, 7)]
OUTSIDE4 = {"att": [f"104.57.226.{i}" for i in range(193, 198)],
            "webpass": [f"136.25.91.{i}" for i in range(242, 247)]}
INSIDE6 = "3d06:bad:b01::/60"
HOSTS6 = ["3d06:bad:b01:1::100", "3d06:bad:b01:2::50"]
OUTSIDE6 = {"att": ["2600:1700:2f71:c81::100", "2600:1700:2f71:c82::50"],
            "webpass": ["2604:5500:c271:be01::100", "2604:5500:c271:be02::50"]}
DELEGATED = {"att": "2600:1700:2f71:c80::/60", "webpass": "2604:5500:c271:be00::/60"}
OWN6 = {"att": "2001:506:72f7:108c::1", "webpass": "2604:5500:c271:8000::72b"}
TARGET6 = "3d06:bad:b01:fe::2"
DEVICE = {"att": "enatt0.3242", "webpass": "enwebpass0"}
WORLD4, WORLD6 = "198.51.100.10", "2001:db8:fe::10"
PORT = 7000


class TwoWans(Lab):
    """Use as a context manager."""

    def __init__(self, name, build=None):
        super().__init__(name, build=build, wans=2, lans=1, profiles=["wire", "wire"])

    def nodes(self):
        return ["edge", "inner", "att", "webpass", "world"]

    def _links(self):
        for a, a_if, b, b_if in (("edge", "enmwanbr0", "inner", "eth0"),
                                 ("edge", DEVICE["att"], "att", "eth0"),
                                 ("edge", DEVICE["webpass"], "webpass", "eth0"),
                                 ("att", "eth1", "world", "att"),
                                 ("webpass", "eth1", "world", "webpass")):
            run("ip", "link", "add", a_if, "netns", self.ns(a), "type", "veth", "peer", "name", b_if,
                "netns", self.ns(b))

    def _batch(self, node, text):
        lines = [line.strip() for line in text.strip().splitlines()]
        self.exec(node, "ip", "-batch", "-", input="\n".join(lines) + "\n")

    def _addresses(self):
        for node in ("edge", "inner", "att", "webpass"):
            self.exec(node, "sh", "-e", input="echo 1 >/proc/sys/net/ipv4/ip_forward\n"
                      "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding\n")
        self._batch("edge", """
            link set lo up
            link set enmwanbr0 up
            link set enatt0.3242 up
            link set enwebpass0 up
            address add 10.250.250.1/29 dev enmwanbr0
            address add fe80::1/64 dev enmwanbr0 nodad
            address add 162.200.0.2/24 dev enatt0.3242
            address add 2001:506:72f7:108c::1/128 dev enatt0.3242 nodad
            address add fe80::e/64 dev enatt0.3242 nodad
            address add 136.25.91.242/29 dev enwebpass0
            address add 2604:5500:c271:8000::72b/128 dev enwebpass0 nodad
            address add fe80::e/64 dev enwebpass0 nodad
            route add default via 162.200.0.1 metric 100
            route add default via 136.25.91.241 metric 200
            route add default via fe80::a dev enatt0.3242 metric 100
            route add default via fe80::b dev enwebpass0 metric 200
        """)
        self._batch("inner", "\n".join(
            ["link set lo up", "link set eth0 up", "address add fe80::2/64 dev eth0 nodad",
             f"address add {TARGET6}/128 dev eth0 nodad"]
            + [f"address add {a}/29 dev eth0" for a in INSIDE4]
            + [f"address add {a}/128 dev lo nodad" for a in HOSTS6]
            + ["route add default via 10.250.250.1", "route add default via fe80::1 dev eth0"]))
        self._batch("att", f"""
            link set lo up
            link set eth0 up
            link set eth1 up
            address add 162.200.0.1/24 dev eth0
            address add 104.57.226.198/29 dev eth0
            address add fe80::a/64 dev eth0 nodad
            address add 10.91.0.1/30 dev eth1
            address add fd00:91::1/64 dev eth1 nodad
            route add {WORLD4} via 10.91.0.2
            route add {WORLD6} via fd00:91::2
            route add {DELEGATED['att']} via fe80::e dev eth0
            route add {OWN6['att']} via fe80::e dev eth0
        """)
        self._batch("webpass", f"""
            link set lo up
            link set eth0 up
            link set eth1 up
            address add 136.25.91.241/29 dev eth0
            address add fe80::b/64 dev eth0 nodad
            address add 10.92.0.1/30 dev eth1
            address add fd00:92::1/64 dev eth1 nodad
            route add {WORLD4} via 10.92.0.2
            route add {WORLD6} via fd00:92::2
            route add {DELEGATED['webpass']} via fe80::e dev eth0
            route add {OWN6['webpass']} via fe80::e dev eth0
        """)
        self._batch("world", f"""
            link set lo up
            link set att up
            link set webpass up
            address add {WORLD4}/32 dev lo
            address add {WORLD6}/128 dev lo nodad
            address add 10.91.0.2/30 dev att
            address add 10.92.0.2/30 dev webpass
            address add fd00:91::2/64 dev att nodad
            address add fd00:92::2/64 dev webpass nodad
            route add 162.200.0.0/24 via 10.91.0.1 src {WORLD4}
            route add 104.57.226.192/29 via 10.91.0.1 src {WORLD4}
            route add 136.25.91.240/29 via 10.92.0.1 src {WORLD4}
            route add 2600:1700::/32 via fd00:91::1 src {WORLD6}
            route add 2001:506::/32 via fd00:91::1 src {WORLD6}
            route add 2604:5500::/32 via fd00:92::1 src {WORLD6}
        """)

    def _emulators(self):
        for node in ("inner", "world"):
            log = self.state / f"asks-{node}.log"
            self.popen(node, sys.executable, ASKS, "serve", PORT, log=log)
            wait_until(lambda log=log: "ready" in log.read_text(), 10, f"the server of {node}")

    def ask(self, node, protocol, host, bind=None, **options):
        """One question. What the client prints, or None when there was no answer."""
        words = ["--bind", bind] if bind else []
        for key, value in options.items():
            words += [f"--{key}", value]
        result = self.exec(node, sys.executable, ASKS, "ask", protocol, host, PORT, *words,
                           check=False)
        return json.loads(result.stdout) if result.returncode == 0 else None


__all__ = ["TwoWans", "LabError"]
