"""Two network namespaces joined by a veth pair, and a null tunnel between them.

    a: veth 10.77.0.1, fd77::1  <=====>  b: veth 10.77.0.2, fd77::2
       tun  10.78.0.1, fd78::1                tun  10.78.0.2, fd78::2

The namespaces have no names: each belongs to a holder process that dies with this one, so that
nothing is left behind however this program ends. Needs root, or root in a user namespace
(unshare -rn).
"""
import ctypes
import json
import os
import signal
import subprocess
import sys

PORT = 45999
VETH_MTU = 1500
UDP_SIZE = VETH_MTU - 28
RECORD_OVERHEAD = 13 + 2 + 16
FRAME_HDR = 6
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def packet_mode_mtu(udp_size=UDP_SIZE):
    """Largest inner packet that fits one record."""
    return udp_size - RECORD_OVERHEAD - FRAME_HDR


def one_send_size(udp_size=UDP_SIZE):
    """Largest super-packet whose records leave in one send: then a read is a send, a receive and
    a write, and no packet is cut in two at the border of a batch."""
    batch = min(64, (65535 - 48) // udp_size)
    return batch * (udp_size - RECORD_OVERHEAD) - FRAME_HDR


def ensure_root():
    """Start again as root of a user namespace unless root already. Where an ordinary user may not
    have namespaces or TUN devices, end the program with 77 (skipped)."""
    if not os.access('/dev/net/tun', os.R_OK | os.W_OK):
        print('no access to /dev/net/tun', file=sys.stderr)
        sys.exit(77)
    if os.geteuid() == 0:
        return
    argv = ['unshare', '-rn', '--']
    if subprocess.run(argv + ['true'], capture_output=True).returncode != 0:
        print('needs root, or user namespaces', file=sys.stderr)
        sys.exit(77)
    os.execvp(argv[0], argv + [sys.executable] + sys.argv)


def exit_on_term():
    """Let SIGTERM unwind the with blocks, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


class Pair:
    """The two namespaces 'a' and 'b' with the veth between them."""

    def __init__(self, cut='none'):
        """cut: 'none' leaves the offloads on, so that a super-packet passes the veth whole;
        'all' cuts packets in the sender and keeps them apart in the receiver; 'gro' cuts them in
        the sender and lets the receiver coalesce, as a network card does."""
        self.cut = cut
        self.holders = {}
        self.children = []

    def __enter__(self):
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc):
        self.close()

    def _build(self):
        for side in 'ab':
            holder = subprocess.Popen(['unshare', '-n', 'sh', '-c', 'echo up; exec sleep infinity'],
                                      stdout=subprocess.PIPE, text=True,
                                      preexec_fn=_die_with_parent, start_new_session=True)
            self.holders[side] = holder
            if holder.stdout.readline().strip() != 'up':
                raise RuntimeError('cannot make a network namespace (root or unshare -rn needed)')
        pid = {side: str(h.pid) for side, h in self.holders.items()}
        self.run('a', ['ip', 'link', 'add', 'veth', 'mtu', str(VETH_MTU), 'type', 'veth',
                       'peer', 'name', 'veth', 'netns', pid['b']])
        for side, n in (('a', 1), ('b', 2)):
            self.run(side, ['ip', 'link', 'set', 'lo', 'up'])
            if self.cut != 'none':
                self.run(side, ['ethtool', '-K', 'veth', 'tso', 'off', 'gso', 'off',
                                'tx-udp-segmentation', 'off',
                                'gro', 'on' if self.cut == 'gro' else 'off'])
            self.run(side, ['ip', 'addr', 'add', f'10.77.0.{n}/30', 'dev', 'veth'])
            self.run(side, ['ip', 'addr', 'add', f'fd77::{n}/64', 'dev', 'veth', 'nodad'])
            self.run(side, ['ip', 'link', 'set', 'veth', 'up'])

    def inside(self, side, argv):
        return ['nsenter', f'--net=/proc/{self.holders[side].pid}/ns/net', '--'] + argv

    def run(self, side, argv, timeout=60, check=True):
        done = subprocess.run(self.inside(side, argv), capture_output=True, text=True,
                              timeout=timeout, stdin=subprocess.DEVNULL)
        if check and done.returncode != 0:
            raise RuntimeError(f'{" ".join(argv)}: {done.stderr.strip() or done.stdout.strip()}')
        return done

    def spawn(self, side, argv, **kw):
        child = subprocess.Popen(self.inside(side, argv), stdin=subprocess.DEVNULL,
                                 preexec_fn=_die_with_parent, **kw)
        self.children.append(child)
        return child

    def reap(self, child):
        """Kill what was spawned unless it has ended, and forget it."""
        if child.poll() is None:
            child.kill()
        child.wait()
        if child.stdout:
            child.stdout.close()
        self.children.remove(child)

    def close(self):
        for child in self.children + list(self.holders.values()):
            if child.poll() is None:
                child.kill()
            child.wait()
            if child.stdout:
                child.stdout.close()
        self.children = []
        self.holders = {}


class NullTunnel:
    """A null tunnel between the two sides of a Pair, up inside the with block."""

    def __init__(self, pair, program, aead='none', mode='packed', fit=False, pin=False):
        """fit: keep super-packets to what one send holds; pin: one processor for each end."""
        self.pair, self.program, self.aead, self.mode = pair, program, aead, mode
        self.fit, self.pin = fit, pin
        self.ends = {}
        self.counters = {}
        self.ready = {}

    def __enter__(self):
        try:
            for side in 'ab':
                self._start(side)
            for side, n in (('a', 1), ('b', 2)):
                self._configure(side, n)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc):
        self.stop()

    def _start(self, side):
        n, m = (1, 2) if side == 'a' else (2, 1)
        argv = [self.program, '--tun=ntun', f'--role={side}', f'--local=10.77.0.{n}:{PORT}',
                f'--peer=10.77.0.{m}:{PORT}', f'--aead={self.aead}', f'--mode={self.mode}',
                f'--udp-size={UDP_SIZE}']
        if self.pin:
            argv = ['taskset', '-c', str(n - 1)] + argv
        end = self.pair.spawn(side, argv, stdout=subprocess.PIPE, text=True)
        self.ends[side] = end
        line = end.stdout.readline()
        if not line.startswith('ready:'):
            raise RuntimeError(f'null tunnel end {side} did not start')
        self.ready[side] = line.strip()

    def _configure(self, side, n):
        mtu = packet_mode_mtu() if self.mode == 'packet' else 1500
        run = self.pair.run
        run(side, ['ip', 'addr', 'add', f'10.78.0.{n}/30', 'dev', 'ntun'])
        run(side, ['ip', 'addr', 'add', f'fd78::{n}/64', 'dev', 'ntun', 'nodad'])
        run(side, ['ip', 'link', 'set', 'ntun', 'mtu', str(mtu), 'up'])
        if self.fit:
            run(side, ['ip', 'link', 'set', 'ntun', 'gso_max_size', str(one_send_size())])

    def cpu_seconds(self):
        """User and system time of both ends so far."""
        tick = os.sysconf('SC_CLK_TCK')
        total = 0
        for end in self.ends.values():
            with open(f'/proc/{end.pid}/stat') as f:
                fields = f.read().rpartition(')')[2].split()
            total += int(fields[11]) + int(fields[12])
        return total / tick

    def stop(self):
        """End both sides and keep what they counted."""
        for side, end in self.ends.items():
            if end.poll() is None:
                end.send_signal(signal.SIGTERM)
                try:
                    out, _ = end.communicate(timeout=5)
                    self.counters[side] = json.loads(out) if out.strip() else {}
                except subprocess.TimeoutExpired:
                    end.kill()
            end.wait()
            end.stdout.close()
            self.pair.children.remove(end)
        self.ends = {}
