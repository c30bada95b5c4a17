"""What a tunnel is measured over: two namespaces, joined by a veth or by an emulated line.

    Direct:  a: veth 10.77.0.1 <=====> b: veth 10.77.0.2
    Line:    a: veth 10.77.0.1 <==> air: wanemu <==> b: veth 10.77.0.2

The namespaces have no names and die with this program (../null/pair.py).
"""
import contextlib
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE.parent / 'null'), str(ROOT / 'lab')]
from lab import LabError, Wan, wait_until  # noqa: E402
from pair import VETH_MTU, Pair, _die_with_parent  # noqa: E402

LATE_MAX_MS = 10        # the latest frame of a line that held
LATE_SHARE_MAX = 0.005  # share of frames that may be more than 1 ms late

OUTER = {'a': '10.77.0.1', 'b': '10.77.0.2'}


class Namespaces(Pair):
    """Two namespaces whose TCP does what is usual, whatever this machine does."""
    sheltered = False  # from what others do on this machine

    def set_up_hosts(self):
        for side in 'ab':
            # A socket that begins with BBR paces for ever, even when told to use CUBIC, as iperf3
            # is. Reno is the one default that the kernel allows in every namespace.
            self.run(side, ['sysctl', '-qw', 'net.ipv4.tcp_congestion_control=reno'])

    def emulator_seconds(self):
        """Processor time that the link itself has used."""
        return 0

    def watch(self):
        """From now on the link is watched."""

    def held(self):
        """Whether the link was what it should be since."""
        return True


class Direct(Namespaces):
    """A veth. With cut the offloads are off, so that each packet crosses by itself, as through a
    network card that cannot segment UDP; without, a super-packet crosses whole."""

    def __init__(self, cut=False):
        super().__init__('all' if cut else 'none')

    def _build(self):
        super()._build()
        self.set_up_hosts()


class Line(Namespaces):
    """A line of a given rate, delay and buffer, the same in both directions. It sees packets as
    they are on a wire. Sheltered: while it is there, this program and all that it starts have
    real-time priority, where they may, so that others do not delay them. That is right where the
    line limits, but processor time is still dearer while others use the caches."""

    def __init__(self, program, where, words, shelter):
        super().__init__('line')
        self.shelter = shelter
        self.program, self.where, self.words = program, pathlib.Path(where), words
        self.emulator = self.wan = None

    def _build(self):
        if self.shelter:
            with contextlib.suppress(PermissionError):
                os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
                self.sheltered = True
        for side in ('a', 'b', 'air'):
            holder = subprocess.Popen(['unshare', '-n', 'sh', '-c', 'echo up; exec sleep infinity'],
                                      stdout=subprocess.PIPE, text=True,
                                      preexec_fn=_die_with_parent, start_new_session=True)
            self.holders[side] = holder
            if holder.stdout.readline().strip() != 'up':
                raise RuntimeError('cannot make a network namespace')
        self.run('air', ['sysctl', '-qw', 'net.ipv6.conf.default.disable_ipv6=1'])
        for side, n in (('a', 1), ('b', 2)):
            self.run(side, ['ip', 'link', 'add', 'veth', 'mtu', str(VETH_MTU), 'type', 'veth',
                            'peer', 'name', side, 'netns', str(self.holders['air'].pid)])
            for node, name in ((side, 'veth'), ('air', side)):
                self.run(node, ['ethtool', '-K', name, 'tx', 'off', 'tso', 'off', 'gso', 'off',
                                'gro', 'off'])
                self.run(node, ['ip', 'link', 'set', 'dev', name, 'up'])
            self.run(side, ['ip', 'link', 'set', 'lo', 'up'])
            self.run(side, ['ip', 'addr', 'add', f'10.77.0.{n}/30', 'dev', 'veth'])
        self.set_up_hosts()
        control = self.where / f'wan{os.getpid()}.sock'
        self.emulator = self.spawn('air', [str(self.program), '-c', str(control), 'a', 'b',
                                           f'set both {self.words}'], stderr=subprocess.DEVNULL)
        self.wan = Wan(control)
        try:
            wait_until(self.wan.alive, 10, 'the emulator of the line')
        except LabError as e:
            raise RuntimeError(str(e)) from None

    def close(self):
        super().close()
        if self.sheltered:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))

    def emulator_seconds(self):
        fields = pathlib.Path(f'/proc/{self.emulator.pid}/stat').read_text().rpartition(')')[2]
        return sum(int(n) for n in fields.split()[11:13]) / os.sysconf('SC_CLK_TCK')

    def watch(self):
        self.wan.reset()

    def held(self):
        """Not when frames left too late, or were lost by the emulator itself."""
        for d in (self.wan.get()[name] for name in ('up', 'down')):
            if (d['no_memory'] + d['send_error'] + d['missed'] or
                    d['late_max_us'] > 1000 * LATE_MAX_MS or
                    d['late_over_1ms'] > LATE_SHARE_MAX * d['out_packets']):
                return False
        return True
