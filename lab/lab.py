#!/usr/bin/python3
"""The laboratory: an edge site, its WANs, a hub and the Internet, in network namespaces.

    lan1 --+                  +-- air: wan 1 emulator -- wan1 --+
    lan2 --+-- edge ----------+-- air: wan 2 emulator -- wan2 --+-- core --+-- hub
     ...   |   enp6s20..25    |        ...                      |          |
    lan6 --+   enp7s3..8      +-- air: wan 6 emulator -- wan6 --+          +-- inet

    lanN   172.16.N.2/30,  fd16:0:0:N::2/64    default through the edge
    edge   172.16.N.1 on its LANs; 10.150.N.2 and 2001:db8:N::2 on its WANs, default routes there
    wanN   the provider's router: 10.150.N.1, 2001:db8:N::1
    core   the Internet's routers in one
    hub    203.0.113.10, 2001:db8:ff::10; routes the LANs into the tunnels
    inet   198.51.100.10, 2001:db8:fe::10: a host on the Internet

Everything has the laboratory's name in front ("mpq-NAME-edge"), so that several can run side by
side, and lives in namespaces: the machine's own interfaces, routes and files are not touched.
State (control sockets, certificates, logs) is in /run/mpquic-lab/NAME.

usage: lab.py up NAME [--wans N] [--lans N] [--build DIR]
       lab.py down NAME | list
       lab.py exec NAME NODE COMMAND...     run a command at a node, e.g. exec demo edge ip route
       lab.py wan NAME N [COMMAND...]       the N-th WAN: its counters, or a command to its emulator
                                            (e.g. set both rate=10m delay=40ms loss=1%)
"""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
STATE = pathlib.Path("/run/mpquic-lab")
LINKS = ROOT / "lab" / "links"  # lines that change with time; see the README there

# Links as they are met: commands to the emulator. up = from the edge, down = to the edge. A WAN whose
# profile is WIRE has no emulator: frames of any size pass as the kernel hands them over.
WIRE = "wire"
PROFILES = {
    "bare": [],
    "fibre": ["set down rate=100m delay=4ms jitter=300us queue=30ms",
              "set up rate=50m delay=4ms jitter=300us queue=30ms"],
    "lte": ["set down rate=40m delay=22ms jitter=12ms queue=120ms loss=0.05%",
            "set up rate=15m delay=22ms jitter=12ms queue=120ms loss=0.05%"],
    "starlink": ["set down rate=120m delay=16ms jitter=9ms queue=50ms burst=0.01%,15%,60%",
                 "set up rate=20m delay=16ms jitter=9ms queue=50ms burst=0.01%,15%,60%"],
}
SITE = ["fibre", "lte", "starlink", "fibre", "lte", "starlink"]


class LabError(Exception):
    pass


def run(*command, check=True, input=None, timeout=60):
    """Run a command; its output is text. A failure names the command and what it said."""
    result = subprocess.run([str(c) for c in command], capture_output=True, text=True,
                            input=input, timeout=timeout,
                            stdin=subprocess.DEVNULL if input is None else None)
    if check and result.returncode:
        raise LabError(f"{' '.join(map(str, command))}: exit {result.returncode}: "
                       f"{(result.stderr or result.stdout).strip()}")
    return result


def wait_until(condition, timeout, what, interval=0.02):
    """Wait until condition() is true and return its value; LabError after timeout seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise LabError(f"not within {timeout} s: {what}")
        time.sleep(interval)


class Wan:
    """One emulated WAN, by its control socket."""

    def __init__(self, path):
        self.path = str(path)

    def command(self, text):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.settimeout(5)
            s.connect(self.path)
            s.send(text.encode())
            answer = s.recv(65536).decode()
        if answer.startswith("error"):
            raise LabError(f"{text}: {answer}")
        return answer

    def set(self, direction, words):
        self.command(f"set {direction} {words}")

    def play(self, link, start=0):
        """Be a link of lab/links from now on, beginning `start` seconds into its trace."""
        self.command(f"play {LINKS / link}.link {start}s")

    def cut(self, cut=True):
        """A black hole in both directions, whatever plays; or no longer."""
        self.set("both", f"cut={int(cut)}")

    def get(self):
        return json.loads(self.command("get"))

    def reset(self):
        self.command("reset")

    def alive(self):
        try:
            return self.get()
        except OSError:
            return None


class Capture:
    """tcpdump on one interface of one node, running from creation until stop()."""

    def __init__(self, lab, node, interface, file, expression=()):
        self.file = pathlib.Path(file)
        self.log = self.file.with_suffix(".tcpdump")
        self.process = lab.popen(node, "tcpdump", "-Z", "root", "-U", "--immediate-mode", "-n",
                                 "-s", "0", "-B", "16384", "-i", interface, "-w", self.file,
                                 *expression, log=self.log)
        wait_until(lambda: self.process.poll() is not None or
                   "listening on" in self.log.read_text(), 20, f"tcpdump on {node} {interface}")
        if self.process.poll() is not None:
            raise LabError(f"tcpdump: {self.log.read_text()}")

    def _has_ended(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(0.5)
            except subprocess.TimeoutExpired:
                return False
        return True

    def stop(self):
        """Stop, and return the file. Raises when packets were lost by the capture itself."""
        # One signal may come between tcpdump's look at its flag and its wait for a packet.
        wait_until(self._has_ended, 20, f"the end of tcpdump ({self.file.name})")
        for line in self.log.read_text().splitlines():
            if "dropped by kernel" in line and not line.startswith("0 "):
                raise LabError(f"capture is incomplete: {line}")
        return self.file


class Lab:
    """A laboratory. Use as a context manager, or up() and down()."""

    def __init__(self, name, build=None, wans=3, lans=None, profiles=None,
                 hub4="203.0.113.10", hub6="2001:db8:ff::10"):
        self.name = name
        self.prefix = f"mpq-{name}-"
        self.state = STATE / name
        self.build = pathlib.Path(build or os.environ.get("MPQUIC_BUILD") or ROOT / "build")
        self.build = self.build.resolve()
        self.wans = wans
        self.lans = wans if lans is None else lans
        self.profiles = profiles or SITE[:wans]
        self.hub4, self.hub6 = hub4, hub6
        self.inet4, self.inet6 = "198.51.100.10", "2001:db8:fe::10"
        self.processes = []

    # ---- names and addresses ----

    def nodes(self):
        return (["edge", "air", "core", "hub", "inet"] + [f"lan{i}" for i in self.each_lan()]
                + [f"wan{i}" for i in self.each_wan()])

    def each_wan(self):
        return range(1, self.wans + 1)

    def each_lan(self):
        return range(1, self.lans + 1)

    def emulated(self):
        """The WANs that have an emulator."""
        return [i for i in self.each_wan() if self.profiles[i - 1] != WIRE]

    def ns(self, node):
        return self.prefix + node

    @staticmethod
    def wan_interface(i):
        return f"enp7s{i + 2}"

    @staticmethod
    def lan_interface(i):
        return f"enp6s{i + 19}"

    def wan(self, i):
        return Wan(self.state / f"wan{i}.sock")

    # ---- running things at a node ----

    def command(self, node, *command, etc=None):
        """The full command line that runs `command` at a node. With etc, a directory, that
        directory is /etc for the command, in a mount namespace of its own. All nodes share the
        machine's file system, so each has a run and a state directory of its own for mpquic."""
        line = ["ip", "netns", "exec", self.ns(node), "env",
                *(f"{name}={path}" for name, path in self.directories(node).items())]
        if etc:
            line += ["sh", "-c", 'mount --bind "$0" /etc && exec "$@"', etc]
        return [str(c) for c in line + list(command)]

    def directories(self, node):
        """Where mpquic at a node keeps its control sockets and its state: environment variables."""
        return {"MPQUIC_RUN_DIR": self.state / f"run-{node}",
                "MPQUIC_CONF_DIR": self.state / f"conf-{node}",
                "MPQUIC_STATE_DIR": self.state / f"state-{node}"}

    def exec(self, node, *command, check=True, timeout=60, etc=None, input=None):
        return run(*self.command(node, *command, etc=etc), check=check, timeout=timeout, input=input)

    def popen(self, node, *command, log, etc=None):
        """Start a command at a node in the background; its output goes to the file log."""
        with open(log, "ab") as out:
            process = subprocess.Popen(self.command(node, *command, etc=etc),
                                       stdin=subprocess.DEVNULL, stdout=out,
                                       stderr=subprocess.STDOUT, start_new_session=True)
        self.processes.append(process)
        return process

    def stop(self, process, sig=signal.SIGTERM, timeout=10):
        """Stop a command started with popen(); returns its exit status."""
        if process.poll() is None:
            process.send_signal(sig)
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(timeout)
        return process.returncode

    # ---- up ----

    def up(self):
        if os.geteuid() != 0:
            raise LabError("the laboratory needs root (network namespaces)")
        self.down()
        self.state.mkdir(parents=True)
        for node in self.nodes():
            for path in self.directories(node).values():
                path.mkdir()
        try:
            self._namespaces()
            self._links()
            self._addresses()
            self._emulators()
        except BaseException:
            self.down()
            raise
        return self

    def _namespaces(self):
        run("ip", "-batch", "-", input="".join(f"netns add {self.ns(n)}\n" for n in self.nodes()))
        routers = {"edge", "core", "hub"} | {f"wan{i}" for i in self.each_wan()}
        for node in self.nodes():
            settings = {"ipv4/conf/all/rp_filter": 0, "ipv4/conf/default/rp_filter": 0,
                        "ipv6/conf/default/accept_dad": 0, "ipv6/conf/default/accept_ra": 0,
                        "ipv6/conf/default/router_solicitations": 0,
                        "ipv4/ping_group_range": "0 2147483647"}
            if node in routers:
                settings |= {"ipv4/ip_forward": 1, "ipv6/conf/all/forwarding": 1,
                             "ipv6/conf/default/forwarding": 1}
            if node == "air":
                settings = {"ipv6/conf/default/disable_ipv6": 1, "ipv6/conf/all/disable_ipv6": 1}
            script = "".join(f"echo '{v}' >/proc/sys/net/{k}\n" for k, v in settings.items())
            self.exec(node, "sh", "-e", input=script)

    def _links(self):
        lines = []

        def cable(a, a_if, b, b_if):
            lines.append(f"link add {a_if} netns {self.ns(a)} type veth "
                         f"peer name {b_if} netns {self.ns(b)}\n")

        for i in self.each_lan():
            cable("edge", self.lan_interface(i), f"lan{i}", "eth0")
        for i in self.each_wan():
            cable("edge", self.wan_interface(i), "air", f"a{i}")
            cable("air", f"b{i}", f"wan{i}", "eth0")
            cable(f"wan{i}", "eth1", "core", f"wan{i}")
        cable("core", "hub", "hub", "eth0")
        cable("core", "inet", "inet", "eth0")
        run("ip", "-batch", "-", input="".join(lines))
        # The emulator sees frames as they are on a wire: no checksum or segmentation is left to
        # a device that is not there.
        emulated = self.emulated()
        for node, interfaces in (("edge", [self.wan_interface(i) for i in emulated]),
                                 ("air", [f"{p}{i}" for i in emulated for p in "ab"]),
                                 *((f"wan{i}", ["eth0"]) for i in emulated)):
            script = "".join(f"ethtool -K {d} tx off tso off gso off gro off >/dev/null\n"
                             for d in interfaces)
            self.exec(node, "sh", "-e", input=script)

    def _addresses(self):
        batch = {node: ["link set lo up"] for node in self.nodes()}

        def interface(node, name, *addresses):
            batch[node].append(f"link set {name} up")
            batch[node].extend(f"address add {a} dev {name}" + (" nodad" if ":" in a else "")
                               for a in addresses)

        def route(node, text):
            batch[node].append(f"route add {text}")

        for i in self.each_lan():
            lan = self.lan_interface(i)
            interface("edge", lan, f"172.16.{i}.1/30", f"fd16:0:0:{i}::1/64")
            interface(f"lan{i}", "eth0", f"172.16.{i}.2/30", f"fd16:0:0:{i}::2/64")
            route(f"lan{i}", f"default via 172.16.{i}.1")
            route(f"lan{i}", f"default via fd16:0:0:{i}::1")
        for i in self.each_wan():
            wan = self.wan_interface(i)
            interface("edge", wan, f"10.150.{i}.2/24", f"2001:db8:{i}::2/64")
            route("edge", f"default via 10.150.{i}.1 dev {wan} metric {100 + i}")
            route("edge", f"default via 2001:db8:{i}::1 dev {wan} metric {100 + i}")
            interface("air", f"a{i}")
            interface("air", f"b{i}")
            interface(f"wan{i}", "eth0", f"10.150.{i}.1/24", f"2001:db8:{i}::1/64")
            interface(f"wan{i}", "eth1", f"10.151.{i}.1/30", f"2001:db8:15{i}::1/64")
            route(f"wan{i}", f"default via 10.151.{i}.2")
            route(f"wan{i}", f"default via 2001:db8:15{i}::2")
            interface("core", f"wan{i}", f"10.151.{i}.2/30", f"2001:db8:15{i}::2/64")
            route("core", f"10.150.{i}.0/24 via 10.151.{i}.1")
            route("core", f"2001:db8:{i}::/64 via 2001:db8:15{i}::1")
        interface("core", "hub", "203.0.113.1/24", "2001:db8:ff::1/64")
        interface("hub", "eth0", f"{self.hub4}/24", f"{self.hub6}/64")
        route("hub", "default via 203.0.113.1")
        route("hub", "default via 2001:db8:ff::1")
        interface("core", "inet", "198.51.100.1/24", "2001:db8:fe::1/64")
        interface("inet", "eth0", f"{self.inet4}/24", f"{self.inet6}/64")
        route("inet", "default via 198.51.100.1")
        route("inet", "default via 2001:db8:fe::1")
        route("core", f"172.16.0.0/16 via {self.hub4}")
        route("core", f"fd16::/48 via {self.hub6}")
        for node, lines in batch.items():
            run("ip", "-n", self.ns(node), "-batch", "-", input="\n".join(lines) + "\n")

    def _emulators(self):
        emulator = self.build / "lab" / "wanemu"
        if not emulator.exists():
            raise LabError(f"{emulator} is missing: make build")
        for i in set(self.each_wan()) - set(self.emulated()):
            run("ip", "-n", self.ns("air"), "-batch", "-", input=(
                f"link add w{i} type bridge mcast_snooping 0\nlink set a{i} master w{i}\n"
                f"link set b{i} master w{i}\nlink set w{i} up\n"))
        for i in self.emulated():
            self.popen("air", emulator, "-s", i, "-c", self.state / f"wan{i}.sock", f"a{i}", f"b{i}",
                       *PROFILES[self.profiles[i - 1]], log=self.state / f"wan{i}.log")
        for i in self.emulated():
            wait_until(self.wan(i).alive, 10, f"the emulator of WAN {i}")

    # ---- routes into tunnels ----

    def route_tunnel(self, i, tun=None):
        """LAN i goes into tunnel i (or the interface tun) and nowhere else, and the hub answers
        through it. The routes live as long as the interfaces do: run again after one was made
        anew."""
        table, priority, tun = 99 + i, 1000 + i, tun or f"mpq{i}"
        for family, lan in (("-4", f"172.16.{i}.0/30"), ("-6", f"fd16:0:0:{i}::/64")):
            for args in (["rule", "del", "priority", priority], ["rule", "del", "priority", 1000]):
                run("ip", "-n", self.ns("edge"), family, *args, check=False)
            run("ip", "-n", self.ns("edge"), family, "-batch", "-", input=(
                "rule add priority 1000 lookup main suppress_prefixlength 0\n"
                f"rule add priority {priority} from {lan} lookup {table}\n"
                f"route replace unreachable default metric 4294967295 table {table}\n"
                f"route replace default dev {tun} table {table}\n"))
            run("ip", "-n", self.ns("hub"), family, "route", "replace", lan, "dev", tun)

    def set_path_mtu(self, i, mtu):
        """Make the hop behind WAN i's router narrower; the routers there tell senders so."""
        run("ip", "-n", self.ns(f"wan{i}"), "link", "set", "eth1", "mtu", mtu)
        run("ip", "-n", self.ns("core"), "link", "set", f"wan{i}", "mtu", mtu)

    def capture(self, node, interface, *expression):
        file = self.state / f"{node}-{interface}.pcap"
        return Capture(self, node, interface, file, expression)

    # ---- down ----

    def _namespaces_present(self):
        try:
            return sorted(n for n in os.listdir("/run/netns") if n.startswith(self.prefix))
        except FileNotFoundError:
            return []

    def nodes_present(self):
        return [n.removeprefix(self.prefix) for n in self._namespaces_present()]

    def _pids(self):
        return [int(p) for n in self._namespaces_present()
                for p in run("ip", "netns", "pids", n, check=False).stdout.split()]

    def down(self):
        """Remove everything of this laboratory, whoever made it. Does nothing when there is
        nothing."""
        for sig, seconds in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
            for pid in self._pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, sig)
            for process in self.processes:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(seconds)
            with contextlib.suppress(LabError):
                wait_until(lambda: not self._pids(), seconds, "its processes end")
                break
        self.processes = []
        for name in self._namespaces_present():
            run("ip", "netns", "del", name, check=False)
        shutil.rmtree(self.state, ignore_errors=True)
        with contextlib.suppress(OSError):
            STATE.rmdir()
        left = self._namespaces_present()
        if left:
            raise LabError(f"namespaces remain: {' '.join(left)}")

    def __enter__(self):
        return self.up()

    def __exit__(self, *_):
        self.down()


def existing():
    """Names of the laboratories that are up."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(p.name for p in STATE.iterdir() if p.is_dir())
    return []


def main(argv):
    import argparse
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1])
    parser.add_argument("verb", choices=["up", "down", "list", "exec", "wan"])
    parser.add_argument("name", nargs="?", default="demo")
    parser.add_argument("rest", nargs=argparse.REMAINDER)
    args = parser.parse_args(argv)
    lab = Lab(args.name)
    if args.verb == "list":
        print("\n".join(existing()))
    elif args.verb == "up":
        more = argparse.ArgumentParser()
        more.add_argument("--wans", type=int, default=3, choices=range(1, 7))
        more.add_argument("--lans", type=int, default=None)
        more.add_argument("--build", default=None)
        o = more.parse_args(args.rest)
        Lab(args.name, build=o.build, wans=o.wans, lans=o.lans).up()
        print(f"laboratory '{args.name}' is up; remove it with: lab/lab.py down {args.name}")
    elif args.verb == "down":
        lab.down()
    elif not lab._namespaces_present():
        raise LabError(f"no laboratory '{args.name}' is up; "
                       f"there are: {' '.join(existing()) or 'none'}")
    elif args.verb == "exec":
        if not args.rest or args.rest[0] not in lab.nodes_present():
            raise LabError(f"nodes of '{args.name}': {' '.join(lab.nodes_present())}")
        os.execvp("ip", lab.command(*args.rest))
    elif args.verb == "wan":
        if not args.rest or f"wan{args.rest[0]}" not in lab.nodes_present():
            raise LabError("which WAN? 1, 2, ...")
        print(lab.wan(args.rest[0]).command(" ".join(args.rest[1:]) or "get"))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (LabError, OSError) as error:
        print(f"lab: {error}", file=sys.stderr)
        sys.exit(1)
