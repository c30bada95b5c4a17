"""Machines with a systemd of their own: a fresh Debian booted by systemd-nspawn, each in a network
namespace that the test has laid cables to.

The root is made once (tools/deb-root) and never written to: every machine has a layer of its own
over it, in memory, which is gone with the machine."""
import contextlib
import ctypes
import os
import pathlib
import shutil
import signal
import subprocess

from lab import run, wait_until

STATE = pathlib.Path("/run/mpquic-lab")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PR_SET_PDEATHSIG = 1


def own_cgroups():
    """The directories of the control groups that we are in and that systemd makes others below:
    of version 2, and of the hierarchy of its own that older setups have."""
    mounts = {}
    for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, options, *_ = line.split()
        if kind == "cgroup2":
            mounts.setdefault("", where)
        elif kind == "cgroup" and "name=systemd" in options.split(","):
            mounts["name=systemd"] = where
    for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
        _, hierarchy, path = line.split(":", 2)
        if hierarchy in mounts:
            yield pathlib.Path(mounts[hierarchy] + path)


class Network:
    """Namespaces NAME-NODE and the cables between them."""

    def __init__(self, name, nodes):
        self.name, self.nodes = name, nodes

    def ns(self, node):
        return f"{self.name}-{node}"

    def ip(self, node, *words, **options):
        return run("ip", "-n", self.ns(node), *words, **options)

    def exec(self, node, *command, **options):
        """A command in the namespace of a node that is not a machine."""
        return run("ip", "netns", "exec", self.ns(node), *command, **options)

    def cable(self, a, a_if, a_addrs, b, b_if, b_addrs):
        run("ip", "link", "add", a_if, "netns", self.ns(a), "type", "veth", "peer", "name", b_if,
            "netns", self.ns(b))
        for node, interface, addresses in ((a, a_if, a_addrs), (b, b_if, b_addrs)):
            for address in addresses:
                nodad = ["nodad"] if ":" in address else []
                self.ip(node, "address", "add", address, "dev", interface, *nodad)
            self.ip(node, "link", "set", interface, "up")

    def up(self):
        for node in self.nodes:
            run("ip", "netns", "add", self.ns(node))
            self.ip(node, "link", "set", "lo", "up")

    def down(self):
        for node in self.nodes:
            run("ip", "netns", "delete", self.ns(node), check=False)


class Machine:
    """A booted Debian. packages is seen inside as /pkg."""

    def __init__(self, name, root, network, node, packages):
        self.name, self.root, self.packages = name, root, packages
        self.netns = f"/run/netns/{network.ns(node)}"
        self.dir = STATE / f"machine-{network.ns(node)}"
        self.fs = self.dir / "root"
        self.cgroups = [group / self.dir.name for group in own_cgroups()]
        self.nspawn = self.init = None

    def up(self):
        self.dir.mkdir(parents=True)
        run("mount", "-t", "tmpfs", "tmpfs", self.dir)
        for part in ("upper", "work", "root"):
            (self.dir / part).mkdir()
        run("mount", "-t", "overlay", "overlay", "-o",
            f"lowerdir={self.root},upperdir={self.dir}/upper,workdir={self.dir}/work", self.fs)
        self.path("/etc/hostname").write_text(f"{self.name}\n")
        self.boot()

    def _prepare(self):
        """In the child that becomes systemd-nspawn. Without a control group of its own it would
        share the units' groups with other machines."""
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        for group in self.cgroups:
            (group / "cgroup.procs").write_text("0")

    def boot(self):
        for group in self.cgroups:
            group.mkdir(exist_ok=True)
        with open(self.dir / "console", "a") as console:
            self.nspawn = subprocess.Popen(
                ["systemd-nspawn", "--quiet", f"--directory={self.fs}", "--boot",
                 f"--machine={self.dir.name}", f"--network-namespace-path={self.netns}",
                 "--register=no", "--keep-unit", "--resolv-conf=off", "--timezone=off",
                 "--link-journal=no", f"--bind-ro={self.packages}:/pkg", "--bind=/dev/net/tun",
                 "--capability=CAP_NET_ADMIN", "--console=pipe"],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console,
                env={**os.environ, "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"},
                preexec_fn=self._prepare)
        wait_until(self._booted, 60, f"{self.name} has booted")

    def _booted(self):
        assert self.nspawn.poll() is None, self.console()
        children = pathlib.Path(f"/proc/{self.nspawn.pid}/task/{self.nspawn.pid}/children")
        pids = children.read_text().split()
        if len(pids) != 1:
            return False
        self.init = pids[0]
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return state in ("running", "degraded")

    def console(self):
        return (self.dir / "console").read_text(errors="replace")[-2000:]

    def path(self, path):
        """A file of the machine as it is seen from outside. Not for /run, /tmp and the like."""
        return self.fs / path.lstrip("/")

    def run(self, *command, check=True, timeout=60):
        """Run a command inside, as root."""
        return run("nsenter", f"--target={self.init}", "--mount", "--pid", "--net", "--uts", "--ipc",
                   "--root", "--wd", "--", "/usr/bin/env", "-i", f"PATH={PATH}", "HOME=/root",
                   "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", *command, check=check,
                   timeout=timeout)

    def shell(self, line, check=True, timeout=60):
        """A line as it is typed, in root's home directory; fails when any part of it does."""
        return self.run("bash", "-euo", "pipefail", "-c", f"cd; {line}", check=check,
                        timeout=timeout)

    def install(self, *files):
        return self.run("apt-get", "install", "-y", *files, timeout=120)

    def show(self, unit, key):
        return self.run("systemctl", "show", "--value", "-p", key, unit).stdout.strip()

    def journal(self, unit):
        return self.run("journalctl", "--no-pager", "-o", "cat", "-u", unit).stdout

    def processes(self):
        """The PIDs of mpquic inside, as they are outside, parents first."""
        found = []
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                pid = stat.parent.name
                if (os.readlink(f"/proc/{pid}/ns/pid") == os.readlink(f"/proc/{self.init}/ns/pid")
                        and (stat.parent / "comm").read_text() == "mpquic\n"):
                    found.append(int(pid))
            except OSError:
                continue  # it ended meanwhile
        return sorted(found)

    def off(self):
        if not self.nspawn:
            return
        self.nspawn.send_signal(signal.SIGTERM)
        try:
            self.nspawn.wait(30)
        except subprocess.TimeoutExpired:
            self.nspawn.kill()
            self.nspawn.wait()
        self.nspawn = None

    def down(self):
        self.off()
        for mount in (self.fs, self.dir):
            run("umount", "-l", mount, check=False)
        shutil.rmtree(self.dir, ignore_errors=True)
        for top in self.cgroups:
            for group, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):  # the kernel may be a moment behind
                    os.rmdir(group)
