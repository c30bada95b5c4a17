"""What is measured: the bare link, our tunnel, the null tunnel, and the tunnels of others.

Each is started between the namespaces a and b of a link, in the way that its own documentation
shows first, with nothing tuned. Inside, a is 10.78.0.1 and b is 10.78.0.2.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

from links import OUTER  # first: it makes the next two findable
from certs import Authority
from pair import NullTunnel

INNER = {'a': '10.78.0.1', 'b': '10.78.0.2'}
UP_SECONDS = 20
BACKPORTS = 'make bench-prepare'


CIPHERS = {'ipsecmb': 'ipsec-mb', 'gnutls': 'GnuTLS'}  # as they are written


class Files:
    """A directory with the certificates that the tunnels need."""

    def __init__(self, directory, build):
        self.directory, self.build = pathlib.Path(directory), pathlib.Path(build)
        authority = Authority(self.directory)
        authority.issue('b', 'b', server=True, hosts=[OUTER['b'], 'hub.example'])
        authority.issue('a', 'a')

    def write(self, name, text):
        file = self.directory / name
        file.write_text(text)
        file.chmod(0o600)
        return file


class Carrier:
    """One of them, up inside the with block. name is for options and data, title for people."""
    name = title = None
    package = None   # that it needs, and of which version at least
    minimum = None

    def __init__(self, files):
        self.files = files
        self.link, self.ends, self.address = None, {}, INNER

    def missing(self):
        """Why it cannot be measured here, or None."""
        if not self.package:
            return None
        have = self.version()
        if not have:
            return f'the package {self.package} is not installed: {BACKPORTS}'
        if self.minimum and subprocess.run(['dpkg', '--compare-versions', have, 'lt',
                                            self.minimum]).returncode == 0:
            return f'{self.package} {have} is older than {self.minimum}: {BACKPORTS}'
        return None

    def version(self):
        if not self.package:
            return None
        said = subprocess.run(['dpkg-query', '-W', '-f', '${db:Status-Status} ${Version}',
                               self.package], capture_output=True, text=True).stdout
        return said.split()[1] if said.startswith('installed ') else None

    def on(self, link):
        self.link = link
        return self

    def __enter__(self):
        try:
            for side in 'ba':
                self.start(side)
            self.wait_up()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc):
        self.stop()

    def start(self, side):
        raise NotImplementedError

    def launch(self, side, argv, **more):
        log = self.files.directory / f'{self.name}-{side}.log'
        with open(log, 'wb') as out:
            self.ends[side] = self.link.spawn(side, [str(a) for a in argv], stdout=out,
                                              stderr=subprocess.STDOUT, **more)
        return self.ends[side]

    def log(self):
        return ''.join(f'\n{side}: ' + (self.files.directory / f'{self.name}-{side}.log')
                       .read_text(errors='replace')[-1000:] for side in self.ends)

    def wait_up(self):
        """Wait until a ping comes back. RuntimeError with the logs when it does not in time."""
        deadline = time.monotonic() + UP_SECONDS
        while time.monotonic() < deadline:
            if any(end.poll() is not None for end in self.ends.values()):
                break
            if self.link.run('a', ['ping', '-n', '-c', '1', '-W', '1', self.address['b']],
                             check=False).returncode == 0:
                return
            time.sleep(0.1)
        raise RuntimeError(f'{self.title} does not come up{self.log()}')

    def stop(self):
        for end in self.ends.values():
            if end.poll() is None:
                end.send_signal(signal.SIGTERM)
                try:
                    end.wait(5)
                except subprocess.TimeoutExpired:
                    end.kill()
            self.link.reap(end)
        self.ends = {}

    def facts(self):
        """What it says of itself, once up."""
        return {}

    # ---- what it costs ----

    def processes(self, side):
        """The process of one end and its descendants."""
        found, queue = [], [self.ends[side].pid] if side in self.ends else []
        while queue:
            pid = queue.pop()
            found.append(pid)
            for task in pathlib.Path(f'/proc/{pid}/task').glob('*/children'):
                queue += [int(p) for p in task.read_text().split()]
        return found

    def cpu_seconds(self, side):
        """User and system time of one end so far, also of threads that have ended."""
        ticks = 0
        for pid in self.processes(side):
            fields = pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf('SC_CLK_TCK')

    def run_seconds(self, side):
        """The same of the threads there are, to the nanosecond."""
        return sum(int((task / 'schedstat').read_text().split()[0])
                   for pid in self.processes(side)
                   for task in pathlib.Path(f'/proc/{pid}/task').iterdir()) / 1e9

    def memory(self, side, what='VmRSS'):
        """Resident memory of one end in MiB (VmHWM: the most it ever was). What is mapped from
        files is the same for all its processes and counts once."""
        total, files = 0, []
        for pid in self.processes(side):
            status = pathlib.Path(f'/proc/{pid}/status').read_text()
            size = {k: int(v) for k, v in re.findall(r'^(\w+):\s+(\d+) kB', status, re.M)}
            total += size[what]
            files.append(size['RssFile'])
        return (total - sum(files) + max(files, default=0)) / 1024


class Bare(Carrier):
    """The link itself."""
    name, title = 'bare', 'bare link'

    def __init__(self, files):
        super().__init__(files)
        self.address = OUTER

    def start(self, side):
        pass


class Null(Carrier):
    """The null tunnel with one cipher (../null)."""

    def __init__(self, files, aead):
        super().__init__(files)
        self.aead = aead
        self.name = f'null-{aead}'
        self.title = f'null tunnel, {CIPHERS[aead]}'
        self.tunnel = None

    def __enter__(self):
        self.tunnel = NullTunnel(self.link, str(self.files.build / 'bench/null-tunnel'), self.aead)
        self.tunnel.__enter__()
        self.ends = dict(self.tunnel.ends)
        try:
            self.wait_up()
        except BaseException:
            self.stop()
            raise
        return self

    def log(self):
        return ''

    def stop(self):
        self.ends = {}
        self.tunnel.stop()


class Ours(Carrier):
    """mpquic tunnel: the edge at a, the hub at b. With the AEAD that it chooses, or another."""

    def __init__(self, files, aead=None):
        super().__init__(files)
        self.aead = aead
        self.name, self.title = ('mpquic', 'mpquic') if not aead else (
            f'mpquic-{aead}', f'mpquic, {CIPHERS[aead]}')

    def config(self, side):
        where = self.files.directory
        lines = {'remote_port': 45000, 'tun_name': f'mpq{side}',
                 'tun_cidr': f'{INNER[side]}/30', 'tls_cert_file': where / f'{side}.crt',
                 'tls_key_file': where / f'{side}.key', 'tls_ca_file': where / 'ca.crt',
                 'log_level': 'info'}
        lines |= ({'role': 'client', 'remote_addr': OUTER['b']} if side == 'a' else
                  {'role': 'server', 'bind_ip': '0.0.0.0'})
        return ''.join(f'{k}: {v}\n' for k, v in lines.items())

    def environment(self, side):
        where = str(self.files.directory)
        return {'MPQUIC_RUN_DIR': where, 'MPQUIC_STATE_DIR': where} | (
            {'MPQUIC_AEAD': self.aead} if self.aead else {})

    def start(self, side):
        file = self.files.write(f'{self.name}-{side}.yaml', self.config(side))
        self.launch(side, [self.files.build / 'mpquic', 'tunnel', '-c', file],
                    env=os.environ | self.environment(side))

    def facts(self):
        """Its AEAD and its MTU."""
        said = subprocess.run([self.files.build / 'mpquic', 'status', '--json', f'{self.name}-a'],
                              env=os.environ | self.environment('a'), capture_output=True,
                              text=True).stdout
        status = json.loads(said) if said.strip() else {}
        return {k: v for k, v in {'aead': status.get('aead'), 'mtu': status.get(
            'tunnel', {}).get('mtu_bytes')}.items() if v}

    def version(self):
        return subprocess.run([self.files.build / 'mpquic', 'version'], capture_output=True,
                              text=True).stdout.split('\n')[0].strip()


class WireGuardGo(Carrier):
    """WireGuard in user space. Each end has a /run of its own, for its control socket."""
    name, title = 'wireguard-go', 'wireguard-go'
    package, minimum = 'wireguard-go', '0.0.20231211'

    def missing(self):
        if not shutil.which('wg'):
            return f'the package wireguard-tools is not installed: {BACKPORTS}'
        return super().missing()

    def start(self, side):
        self.launch(side, ['unshare', '-m', 'sh', '-c',
                           'mount -t tmpfs none /run && exec wireguard-go -f wg0'],
                    env=os.environ | {'LOG_LEVEL': 'error'})

    def wg(self, side, *argv, text=None):
        pid = str(self.ends[side].pid)
        return subprocess.run(['nsenter', '-t', pid, '-m', '-n', *argv], input=text, text=True,
                              capture_output=True)

    def wait_up(self):
        deadline = time.monotonic() + UP_SECONDS
        while any(self.wg(side, 'wg', 'show', 'wg0').returncode for side in 'ab'):
            if time.monotonic() > deadline:
                raise RuntimeError(f'{self.title} does not start{self.log()}')
            time.sleep(0.05)
        keys = {side: subprocess.run(['wg', 'genkey'], capture_output=True, text=True).stdout
                for side in 'ab'}
        for side, other in ('ab', 'ba'):
            public = subprocess.run(['wg', 'pubkey'], input=keys[other], text=True,
                                    capture_output=True).stdout.strip()
            file = self.files.write(f'wg-{side}.conf', (
                f'[Interface]\nPrivateKey = {keys[side].strip()}\nListenPort = 51820\n'
                f'[Peer]\nPublicKey = {public}\nAllowedIPs = 10.78.0.0/30\n'
                f'Endpoint = {OUTER[other]}:51820\n'))
            said = self.wg(side, 'wg', 'setconf', 'wg0', str(file))
            if said.returncode:
                raise RuntimeError(f'wg setconf: {said.stderr}')
            self.link.run(side, ['ip', 'addr', 'add', f'{INNER[side]}/30', 'dev', 'wg0'])
            self.link.run(side, ['ip', 'link', 'set', 'wg0', 'mtu', '1420', 'up'])
        super().wait_up()


class OpenVpn(Carrier):
    """OpenVPN with TLS between two ends, AES-128-GCM, in user space."""
    name, title = 'openvpn', 'OpenVPN'
    package = 'openvpn'

    def start(self, side):
        where, other = self.files.directory, 'b' if side == 'a' else 'a'
        self.launch(side, [
            'openvpn', '--dev', 'ovpn', '--dev-type', 'tun', '--proto', 'udp', '--port', '1194',
            '--remote', OUTER[other], '--ifconfig', INNER[side], INNER[other], '--disable-dco',
            '--data-ciphers', 'AES-128-GCM', '--ca', where / 'ca.crt',
            '--cert', where / f'{side}.crt', '--key', where / f'{side}.key', '--verb', '3',
            *(['--tls-server', '--dh', 'none'] if side == 'b' else ['--tls-client'])])


def catalogue(files):
    """Every carrier there is, by name, in the order of the tables."""
    ciphers = subprocess.run([files.build / 'bench/null-tunnel', '--list'], capture_output=True,
                             text=True, check=True).stdout.split()
    found = [Bare(files)] + [Null(files, c) for c in CIPHERS if c in ciphers]
    found += [Ours(files), Ours(files, 'gnutls'), WireGuardGo(files), OpenVpn(files)]
    return {c.name: c for c in found}
