"""The gateway at a node of the laboratory, and what the kernel there holds."""
import json
import re

from lab import LabError, run, wait_until


def cables(lab):
    """mpq1..mpq6 between edge and hub, in place of tunnels, and at the hub the ways back to the
    LANs. As with a tunnel nobody asks for neighbours: both ends have one hardware address."""
    for i in lab.each_lan():
        run("ip", "link", "add", f"mpq{i}", "netns", lab.ns("edge"), "type", "veth", "peer", "name",
            f"mpq{i}", "netns", lab.ns("hub"))
        for node, end in (("edge", 1), ("hub", 2)):
            lab.exec(node, "ip", "link", "set", f"mpq{i}", "address", f"02:00:00:00:00:0{i}", "arp",
                     "off")
            lab.exec(node, "ip", "address", "add", f"10.200.{i}.{end}/30", "dev", f"mpq{i}")
            lab.exec(node, "ip", "link", "set", f"mpq{i}", "up")
        lab.exec("hub", "ip", "route", "add", f"172.16.{i}.0/30", "dev", f"mpq{i}", "via",
                 f"10.200.{i}.1")


def place(entry):
    """Where an entry of a listing belongs: in our table chains may stand in any order, what hooks
    decide is when; the rules of a chain may not. All that is somebody else's stays where it is."""
    what, value = next(iter(entry.items()))
    if value.get("table") != "mpquic_gateway":
        return ("", "", "")
    return ("1", what, value.get("chain") or value["name"])


class Gateway:
    """`mpquic gateway` at a node, with one configuration."""

    def __init__(self, lab, node, file):
        self.lab, self.node, self.file = lab, node, file
        self.program = lab.build / "mpquic"
        self.log = lab.state / f"gateway-{node}.log"
        self.process = None

    def verb(self, verb, *options, file=True, check=True):
        """Run a verb to its end."""
        options = [*options, *(["-c", self.file] if file else [])]
        return self.lab.exec(self.node, self.program, "gateway", verb, *options, check=check)

    def start(self):
        """`run`, until everything is in force."""
        self.log.unlink(missing_ok=True)
        self.process = self.lab.popen(self.node, self.program, "gateway", "run", "-c", self.file,
                                      log=self.log)
        self.wait_log("gateway: running")
        return self

    def stop(self):
        if self.process:
            status = self.lab.stop(self.process)
            self.process = None
            return status

    def text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def pid(self):
        """Of the program itself, which `ip netns exec` has become."""
        return self.process.pid

    def wait_log(self, words):
        def there():
            if self.process.poll() is not None:
                raise LabError(f"the gateway has ended: {self.text()}")
            return words in self.text()
        wait_until(there, 10, f"'{words}' in {self.log}")

    def settled(self):
        """Is everything as the configuration wants it?"""
        return self.verb("plan").stdout == "nothing to do\n"

    def wait_settled(self):
        wait_until(self.settled, 10, "everything is repaired")

    def wait_route(self, table, words, there):
        wait_until(lambda: (words in self.routes(table)) == there, 10,
                   f"'{words}' {'in' if there else 'gone from'} table {table}")

    def routes(self, table):
        return self.lab.exec(self.node, "ip", "route", "show", "table", table, check=False).stdout

    def kernel(self, ours=True, counters=True):
        """Rules, routes, nftables and forwarding as text; ours=False: without what is the
        gateway's."""
        parts = []
        for family in ("-4", "-6"):
            parts.append(self.lab.exec(self.node, "ip", family, "rule").stdout)
            parts.append(self.lab.exec(self.node, "ip", family, "route", "show", "table",
                                       "all").stdout)
        lines = [line for part in parts for line in part.splitlines()
                 if ours or "proto 110" not in line]
        ruleset = json.loads(self.lab.exec(self.node, "nft", "-j", *([] if counters else ["-s"]),
                                           "list", "ruleset").stdout)["nftables"]
        for entry in sorted(ruleset, key=place):
            what, value = next(iter(entry.items()))
            name = value.get("name") if what == "table" else value.get("table")
            if what != "metainfo" and (ours or name != "mpquic_gateway"):
                lines.append(re.sub(r'"handle": \d+', '"handle": 0', json.dumps(entry)))
        return "\n".join(lines)
