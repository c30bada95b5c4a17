"""doc/benchmarks.md, .svg and .json from what was measured."""
import json

import chart
from report import aim_rows, cell, machine_line, ratio_cell, ratio_rows, suite_rows
from results import Results
from suites import HIGHER, SUITES

RIVALS = ('wireguard-go', 'openvpn')
NOTABLE = 1.05  # a rival that is better by less is not

INTRO = """\
# Benchmarks

Made by `make bench ARGS=--publish`; do not edit. `bench/README.md` tells how it is measured.

- Machine: {machine}.
- Measured {first} to {last}, {rounds} rounds.
- {versions}.

Each figure is the median over the rounds, in brackets the least and the greatest. In a round all
are measured in turn, and ratios are made within the round. Both ends of a tunnel and both ends of
the traffic share the processors of one machine, so a cheaper tunnel leaves more to the traffic; on
machines of their own all are faster. `!` marks figures during which others used more than a tenth
of the processors in some rounds.

![the most telling figures](benchmarks.svg)
"""

PARTS = {
    'tcp': """\
Nothing limits the link; the processors do. A super-packet of up to 64 KB crosses it whole, as
through a network card that segments TCP and UDP. a is the edge, b the hub.""",
    'cut': """\
The same, but the kernel cuts every packet before the link, and none are put together behind it: a
network card that segments nothing.""",
    'udp': """\
The highest rate that arrives with less than 1 % loss. What the bare link carries is also the limit
of the generator.""",
    'line': """\
An emulated line, the same in both directions. What is added to the round trip is what a ping of 132
bytes every 20 ms, as sparse as a call, feels beside the flow, beyond the idle line itself.""",
    'slow': 'The same where a bulk flow has little to share.',
    'paced': 'What a rate costs that everyone reaches.',
    'idle': 'What a tunnel costs that nobody uses.',
}


def table(rows):
    def line(cells):
        return '| ' + ' | '.join(cells) + ' |\n'
    return line(rows[0]) + '|' + '---|' * len(rows[0]) + '\n' + ''.join(map(line, rows[1:]))


def titled(rows, results, suite):
    """The rows with the names for people."""
    titles = {f.name: f.title for f in suite.figures}
    head = [rows[0][0]] + [results.titles[c] for c in rows[0][1:]]
    return [head] + [[titles[r[0].split(', ')[0]] + r[0].removeprefix(r[0].split(', ')[0])] + r[1:]
                     for r in rows[1:]]


def part(results, suite):
    text = f'\n## {suite.title}\n\n{PARTS[suite.name]}\n\n'
    text += table(titled(suite_rows(results, suite), results, suite))
    ratios = ratio_rows(results, suite)
    if len(ratios) > 1:
        text += f'\nmpquic to each of the others:\n\n{table(titled(ratios, results, suite))}'
    return text


def better_rivals(results):
    """What a rival does better, as rows."""
    rows = [['', 'mpquic', 'rival', 'mpquic / rival']]
    for suite in SUITES.values():
        for figure in suite.figures:
            for rival in RIVALS:
                s = results.ratio(suite.name, 'mpquic', rival, figure.name)
                if not s or s['median'] <= 0:
                    continue
                worse = 1 / s['median'] if figure.better == HIGHER else s['median']
                if worse > NOTABLE:
                    mine, theirs = (cell(results.value(suite.name, c, figure.name), figure.scale)
                                    for c in ('mpquic', rival))
                    rows.append([f'{suite.name}: {figure.title}, {figure.unit}', mine,
                                 f'{results.titles[rival]} {theirs}', ratio_cell(s)])
    return rows


def changes(results, earlier):
    """What moved further than the rounds spread, since what was published before."""
    rows = [['', 'before', 'now', '']]
    for suite in SUITES.values():
        for figure in suite.figures:
            old, new = (r.value(suite.name, 'mpquic', figure.name) for r in (earlier, results))
            if not old or not new or not (new['min'] > old['max'] or new['max'] < old['min']):
                continue
            rose = new['median'] > old['median']
            rows.append([f'{suite.name}: {figure.title}, {figure.unit}', cell(old, figure.scale),
                         cell(new, figure.scale),
                         'better' if rose == (figure.better == HIGHER) else 'WORSE'])
    return rows


def introduction(results):
    key, units = results.data['key'], results.data['units']
    dates = sorted(u['date'] for u in units)
    rounds = sorted({len(results.units(s)) for s in SUITES if results.units(s)})
    versions = [f'{results.titles[c]} {v.removeprefix(c + " ")}'
                for c, v in key['versions'].items() if c in results.titles and
                not c.startswith('mpquic-')]
    facts = [f'{k} {v}' for k, v in results.facts('mpquic').items()]
    if results.data.get('commit'):
        facts = [f'commit {results.data["commit"]}'] + facts
    if facts:
        versions[0] += f' ({", ".join(facts)})'
    return INTRO.format(machine=machine_line(key['machine']), first=dates[0], last=dates[-1],
                        versions=', '.join(versions),
                        rounds=f'{rounds[0]}' + (f' to {rounds[-1]}' if rounds[1:] else ''))


def document(results, earlier):
    text = introduction(results)
    aims = aim_rows(results)
    text += f'\n## What mpquic aims at\n\n{table(aims)}'
    rivals = better_rivals(results)
    text += '\n## Where a rival is better\n\n' + (
        table(rivals) if len(rivals) > 1 else 'Nowhere by more than 5 %.\n')
    if earlier:
        moved = changes(results, earlier)
        before = max(u['date'] for u in earlier.data['units'])
        text += f'\n## What has changed since {before}\n\n' + (
            table(moved) if len(moved) > 1 else 'Nothing beyond the spread of the rounds.\n')
    text += ''.join(part(results, s) for s in SUITES.values() if results.units(s.name))
    absent = [s.title for s in SUITES.values() if not results.units(s.name)]
    if absent:
        text += '\n## Not measured\n\nThis run has not measured:\n\n'
        text += ''.join(f'- {title}\n' for title in absent)
    return text


def write(data, where):
    """Replace what was published by this."""
    results, kept = Results(data), where / 'benchmarks.json'
    earlier = Results(json.loads(kept.read_text())) if kept.exists() else None
    (where / 'benchmarks.md').write_text(document(results, earlier))
    (where / 'benchmarks.svg').write_text(
        chart.draw(results, machine_line(data['key']['machine']) + ', ' +
                   max(u['date'] for u in data['units'])))
    text = json.dumps(data, separators=(',', ':'))
    kept.write_text(text.replace('{"suite"', '\n{"suite"') + '\n')
