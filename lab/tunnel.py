"""Tunnels in the laboratory: `mpquic tunnel` at its edge and at its hub."""
import json
import os
import pathlib
import re
import shutil
import signal

from certs import Authority
from lab import LabError, wait_until

# What a program expects of /etc besides its own files.
ETC = ["passwd", "group", "nsswitch.conf", "hosts", "ld.so.cache", "gnutls"]


class Site:
    """The certificates of one edge and one hub, and an /etc for each with them in
    /etc/mpquic/tls, as the shipped configurations name them. A second site of one laboratory needs a
    name; more is for its Authority."""

    def __init__(self, lab, name="", **more):
        self.lab, self.name = lab, name
        self.authority = Authority(lab.state / f"ca{name}", **more)
        self.authority.issue("server", "hub", server=True,
                             hosts=[lab.hub4, lab.hub6, "hub.example"])
        self.authority.issue("edge", "edge")
        self.etc = {"edge": self.make_etc("edge"), "hub": self.make_etc("server", "hub")}

    def make_etc(self, files, name=None):
        """A directory to stand in for /etc that holds the certificate and key called files."""
        etc = self.lab.state / f"etc{self.name}-{name or files}"
        tls = etc / "mpquic" / "tls"
        tls.mkdir(parents=True)
        for entry in ETC:
            source = pathlib.Path("/etc") / entry
            if source.is_dir():
                shutil.copytree(source, etc / entry)
            elif source.exists():
                shutil.copy(source, etc / entry)
        for file in (f"{files}.crt", f"{files}.key", "ca.crt"):
            shutil.copy(self.authority.directory / file, tls / file)
        return etc


class Tunnel:
    """One running instance. etc: the directory that is /etc for it."""

    def __init__(self, lab, node, config, etc, program=None):
        self.lab, self.node, self.config, self.etc = lab, node, pathlib.Path(config), etc
        self.program = program or lab.build / "mpquic"
        self.log = lab.state / f"{node}-{self.config.stem}.log"
        self.process = None

    def start(self):
        self.process = self.lab.popen(self.node, self.program, "tunnel", "-c", self.config,
                                      log=self.log, etc=self.etc)
        return self

    def text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def running(self):
        return self.process is not None and self.process.poll() is None

    def wait_line(self, pattern, timeout=20):
        """Wait for a line of the log; LabError with the log when it ends before, or in time."""
        def found():
            if m := re.search(pattern, self.text(), re.M):
                return m
            if not self.running():
                raise LabError(f"{self.node}: exit {self.process.returncode}:\n{self.text()}")
            return None
        return wait_until(found, timeout, f"'{pattern}' in the log of {self.node}:\n{self.text()}")

    def wait_exit(self, timeout=20):
        wait_until(lambda: not self.running(), timeout, f"{self.node} ends:\n{self.text()}")
        return self.process.returncode

    def ask(self, verb, *args, check=True):
        """`mpquic VERB ARGS NAME` about this instance: the finished process."""
        return self.lab.exec(self.node, self.program, verb, *args, self.config.stem, check=check)

    def status(self):
        """What `mpquic status --json` says, whatever the state."""
        return json.loads(self.ask("status", "--json", check=False).stdout)

    def stop(self):
        return self.lab.stop(self.process)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def kill(self):
        """End it as a crash would."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


def yaml_scalar(value):
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    return text if re.fullmatch(r"[\w/.][\w/.:-]*[\w]", text) or text.isalnum() else f'"{text}"'


def write_config(path, **keys):
    """A YAML file of the keys; lists become sequences, None is left out."""
    lines = []
    for key, value in keys.items():
        if value is None:
            continue
        if isinstance(value, (list, tuple)):
            lines.append(f"{key}:")
            lines += [f"  - {yaml_scalar(v)}" for v in value]
        else:
            lines.append(f"{key}: {yaml_scalar(value)}")
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def client_keys(i, remote, **more):
    """What the edge's instance i says, as in deploy/examples."""
    keys = dict(role="client", bind_ip=f"if:enp7s{i + 2}", remote_addr=remote,
                remote_port=45000 + i, tun_name=f"mpq{i}",
                tun_cidr=[f"10.200.{i}.1/30", f"fd00:200:{i}::1/126"],
                tls_cert_file="/etc/mpquic/tls/edge.crt", tls_key_file="/etc/mpquic/tls/edge.key",
                tls_ca_file="/etc/mpquic/tls/ca.crt", log_level="info")
    return keys | more


def server_keys(i, **more):
    """What the hub's instance i says, with both families of LAN i behind the edge."""
    keys = dict(role="server", bind_ip="0.0.0.0", remote_port=45000 + i, tun_name=f"mpq{i}",
                tun_cidr=[f"10.200.{i}.2/30", f"fd00:200:{i}::2/126"],
                tls_cert_file="/etc/mpquic/tls/server.crt",
                tls_key_file="/etc/mpquic/tls/server.key", tls_ca_file="/etc/mpquic/tls/ca.crt",
                peer_prefixes=[f"172.16.{i}.0/30", f"fd16:0:0:{i}::/64"], log_level="info")
    return keys | more


def reachable(lab, node, target, timeout=30, ends=(), options=()):
    """Wait until target answers a ping from node; LabError when it does not in time, or when one of
    the tunnels `ends` ends. options are more words for ping."""
    def answered():
        for end in ends:
            if not end.running():
                raise LabError(f"{end.node}: exit {end.process.returncode}:\n{end.text()}")
        return lab.exec(node, "ping", "-n", "-c", "1", "-W", "1", *options, target,
                        check=False).returncode == 0
    wait_until(answered, timeout, f"{target} answers {node}", interval=0.1)
