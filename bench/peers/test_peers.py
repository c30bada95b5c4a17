#!/usr/bin/env python3
"""Does the benchmark compute what it says? Function only, no timing.

usage: test_peers.py DATAGRAMS
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import links  # noqa: E402,F401  (makes lab and null findable)
import measure  # noqa: E402
import publish  # noqa: E402
import report  # noqa: E402
from results import Results  # noqa: E402

PROGRAM = None


def unit(n, foreign=0, **carriers):
    return {'suite': 'tcp', 'round': n, 'date': f'2026-01-0{n + 1} 00:00 UTC', 'carriers': {
        name.replace('_', '-'): {'values': values, 'foreign': {k: foreign for k in values},
                                 'facts': {}, 'failed': []}
        for name, values in carriers.items()}}


def data(*units):
    titles = {name: name for u in units for name in u['carriers']}
    return {'key': {'machine': {'cpu': 'X', 'processors': 2, 'kernel': '1', 'system': 'Y'},
                    'versions': {'mpquic': 'mpquic 1'}}, 'titles': titles, 'units': list(units)}


class Link:
    """Carries `capacity` datagrams per second from a sender that makes at most `most`."""

    def __init__(self, capacity, most=1e9):
        self.capacity, self.most, self.offers = capacity, most, 0

    def offer(self, rate, _ms):
        self.offers += 1
        sent = min(rate, self.most)
        arrived = min(sent, self.capacity)
        return sent, arrived, 1 - arrived / sent


class Search(unittest.TestCase):
    def test_finds_the_capacity(self):
        for capacity in (45e3, 71e3, 123e3, 281e3, 900e3):
            found = measure.search(Link(capacity).offer, 40e3, 1000, 5)
            self.assertLessEqual(found, capacity)
            self.assertGreater(found, 0.93 * capacity)

    def test_finds_less_than_it_began_with(self):
        found = measure.search(Link(9e3).offer, 40e3, 1000, 5)
        self.assertGreater(found, 0.75 * 9e3)
        self.assertLessEqual(found, 9e3)

    def test_a_sender_at_its_limit_ends_the_ramp(self):
        link = Link(1e9, most=100e3)
        self.assertAlmostEqual(measure.search(link.offer, 40e3, 1000, 5), 100e3, delta=7e3)
        self.assertLess(link.offers, 14)

    def test_one_bad_step_does_not_end_the_ramp(self):
        link, steps = Link(200e3), []

        def offer(rate, ms):
            steps.append(rate)
            sent, arrived, loss = link.offer(rate, ms)
            return (sent, arrived, 0.5) if len(steps) == 2 else (sent, arrived, loss)
        self.assertGreater(measure.search(offer, 40e3, 1000, 5), 180e3)

    def test_nothing_gets_through(self):
        self.assertEqual(measure.search(lambda rate, ms: (rate, 0, 1), 40e3, 1000, 5), 0)


class Figures(unittest.TestCase):
    def test_ratios_are_made_within_a_round(self):
        r = Results(data(unit(0, mpquic={'tcp1_up': 10}, bare={'tcp1_up': 20}),
                         unit(1, mpquic={'tcp1_up': 50}, bare={'tcp1_up': 50}),
                         unit(2, mpquic={'tcp1_up': 60}, bare={'tcp1_up': 100})))
        self.assertEqual(r.value('tcp', 'mpquic', 'tcp1_up')['median'], 50)
        s = r.ratio('tcp', 'mpquic', 'bare', 'tcp1_up')
        self.assertEqual((s['min'], s['median'], s['max'], s['n']), (0.5, 0.6, 1.0, 3))

    def test_undisturbed_rounds_count(self):
        r = Results(data(unit(0, 50, mpquic={'tcp1_up': 1}), unit(1, 0, mpquic={'tcp1_up': 9})))
        s = r.value('tcp', 'mpquic', 'tcp1_up')
        self.assertEqual((s['median'], s['n'], s['disturbed']), (9, 1, 1))
        r = Results(data(unit(0, 50, mpquic={'tcp1_up': 1}), unit(1, 50, mpquic={'tcp1_up': 9})))
        self.assertEqual(r.value('tcp', 'mpquic', 'tcp1_up')['median'], 5)

    def test_what_is_missing_makes_no_figure(self):
        r = Results(data(unit(0, mpquic={}, bare={'tcp1_up': 0})))
        self.assertIsNone(r.value('tcp', 'mpquic', 'tcp1_up'))
        self.assertIsNone(r.ratio('tcp', 'mpquic', 'bare', 'tcp1_up'))
        self.assertIsNone(r.value('tcp', 'openvpn', 'tcp1_up'))
        self.assertIsNone(r.ratio('tcp', 'bare', 'bare', 'tcp1_up'))

    def test_derived(self):
        r = Results(data(unit(
            0, bare={'tcp1_up_machine_cpu': 0.4, 'rtt_idle_median': 20000},
            mpquic={'tcp1_up_machine_cpu': 1.9, 'tcp1_up_a_cpu': 0.5, 'tcp1_up_b_cpu': 0.25,
                    'tcp1_up_rtt_median': 24000, 'tcp1_up_rtt_p95': 29000, 'tcp1_up': 8,
                    'tcp1_down': 10, 'tcp4_up': 6})))
        for figure, value in (('tcp1_up_extra_cpu', 1.5), ('tcp1_up_ends_cpu', 0.75),
                              ('tcp1_up_rtt_added', 4000), ('tcp1_up_rtt_added_p95', 9000),
                              ('slower_direction', 0.8), ('four_flows', 0.75)):
            self.assertAlmostEqual(r.value('tcp', 'mpquic', figure)['median'], value)
        self.assertIsNone(r.value('tcp', 'bare', 'tcp1_up_extra_cpu'))

    def test_aims(self):
        def verdicts(foreign, rate):
            r = Results(data(unit(0, foreign, mpquic={'tcp1_up': rate},
                                  wireguard_go={'tcp1_up': 100})))
            return [row[3] for row in report.aim_rows(r)[1:]]
        self.assertEqual(verdicts(0, 200), ['yes'])
        self.assertEqual(verdicts(0, 199), ['NO'])
        self.assertEqual(verdicts(50, 300), ['?'])

    def test_numbers(self):
        for value, text in ((21918.4, '21,918'), (123.4, '123'), (9.96, '10.0'), (1.694, '1.69'),
                            (0.0123, '0.012'), (0, '0'), (-3.2, '-3.20'), (None, '-')):
            self.assertEqual(report.number(value), text)


class Published(unittest.TestCase):
    def test_says_who_is_better_and_what_became_worse(self):
        def results(rate, theirs):
            return data(*(unit(n, mpquic={'tcp1_up': rate + n}, wireguard_go={'tcp1_up': theirs})
                          for n in range(3)))
        with tempfile.TemporaryDirectory() as where:
            where = pathlib.Path(where)
            publish.write(results(200, 100), where)
            text = (where / 'benchmarks.md').read_text()
            self.assertIn('Nowhere by more than', text)
            self.assertNotIn('What has changed', text)
            absent = text.partition('## Not measured')[2]
            self.assertIn('\n- Connected, without traffic\n', absent)
            self.assertNotIn('super-packets', absent)
            publish.write(results(80, 100), where)
            text = (where / 'benchmarks.md').read_text()
            self.assertRegex(text, r'tcp: TCP, 1 flow.*81.0 \(80.0-82.0\).*wireguard-go 100')
            self.assertRegex(text, r'201 \(200-202\).*81.0 \(80.0-82.0\).*WORSE')
            self.assertIn('</svg>', (where / 'benchmarks.svg').read_text())
            json.loads((where / 'benchmarks.json').read_text())


class Generator(unittest.TestCase):
    """The real program, over the loopback interface of a namespace of its own."""

    def run_datagrams(self, size, segments, *sink):
        script = f'''ip link set lo up
            {PROGRAM} sink 127.0.0.1 5300 {' '.join(sink)} >"$1" & sink=$!
            until grep -q ready "$1"; do sleep 0.01; done
            printf '%s 2000 50\\n' 1 2 3 | {PROGRAM} send 127.0.0.1 5300 {size} {segments}
            until grep -q '"step": 3' "$1"; do sleep 0.01; done
            kill $sink'''
        with tempfile.NamedTemporaryFile('r') as out:
            said = subprocess.run(['unshare', '-rn', 'sh', '-ec', script, 'sh', out.name],
                                  capture_output=True, text=True, timeout=60)
            self.assertEqual(said.returncode, 0, said.stderr)
            return ([json.loads(line) for line in said.stdout.splitlines()],
                    [json.loads(line) for line in out.read().splitlines()[1:]])

    def check(self, *args):
        """What the first steps sent arrived. The third tells that the sink is done with them."""
        sent, received = self.run_datagrams(*args)
        for step in (1, 2):
            s = sum(x['sent'] for x in sent if x['step'] == step)
            self.assertGreater(s, 0)
            self.assertEqual(s, sum(x['received'] for x in received if x['step'] == step))
            self.assertEqual(0, sum(x['late'] for x in received))

    def test_counts_what_it_sends(self):
        if subprocess.run(['unshare', '-rn', 'true'], capture_output=True).returncode:
            self.skipTest('no namespaces here')
        self.check(160, 1)
        self.check(1200, 1)
        self.check(1200, 40, 'gro')
        self.check(1200, 40)


if __name__ == '__main__':
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
