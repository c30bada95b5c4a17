"""From the units to tables."""
import statistics

from suites import SUITES

FOREIGN_MAX = 10  # per cent of all processors; above it a figure counts as disturbed


def machine_line(m):
    return f'{m["cpu"]}, {m["processors"]} processors, Linux {m["kernel"]}, {m["system"]}'


def spread(samples):
    """Median, least and greatest of (value, foreign): the undisturbed ones, if there are any."""
    if not samples:
        return None
    values = [v for v, f in samples if f <= FOREIGN_MAX] or [v for v, _ in samples]
    return {'median': statistics.median(values), 'min': min(values), 'max': max(values),
            'n': len(values), 'disturbed': sum(f > FOREIGN_MAX for _, f in samples)}


def value_of(unit, carrier, figure):
    """(value, foreign) of one carrier in one unit, or None. NAME_extra_cpu is the processor time of
    the machine for each GB beyond what the bare link takes."""
    got = unit['carriers'].get(carrier)
    if got is None:
        return None
    if figure.endswith('_extra_cpu'):
        base = figure.removesuffix('extra_cpu') + 'machine_cpu'
        mine, bare = value_of(unit, carrier, base), value_of(unit, 'bare', base)
        if carrier == 'bare' or mine is None or bare is None:
            return None
        return mine[0] - bare[0], max(mine[1], bare[1])
    if figure not in got['values']:
        return None
    return got['values'][figure], got['foreign'].get(figure, 0)


class Results:
    def __init__(self, data):
        self.data, self.titles = data, data['titles']

    def units(self, suite):
        return [u for u in self.data['units'] if u['suite'] == suite]

    def carriers(self, suite):
        there = {name for u in self.units(suite) for name in u['carriers']}
        return [name for name in self.titles if name in there]

    def value(self, suite, carrier, figure):
        """Spread of a figure."""
        return spread([v for u in self.units(suite) if (v := value_of(u, carrier, figure))])

    def ratio(self, suite, carrier, other, figure, other_figure=None):
        """Spread of carrier / other, made inside each unit."""
        samples = []
        for u in self.units(suite):
            mine, theirs = value_of(u, carrier, figure), value_of(u, other, other_figure or figure)
            if mine and theirs and theirs[0]:
                samples.append((mine[0] / theirs[0], max(mine[1], theirs[1])))
        return spread(samples)


def text_cell(s, digits):
    if not s:
        return '-'
    number = f'{s["median"]:.{digits}f}'
    if s['n'] > 1:
        number += f' ({s["min"]:.{digits}f}-{s["max"]:.{digits}f})'
    return number + ('!' if s['disturbed'] else '')


def print_suite(results, suite):
    names = results.carriers(suite.name)
    if not names:
        return
    print(f'\n{suite.title}')
    rows = [[''] + names]
    for figure in suite.figures:
        row = [f'{figure.name} {figure.unit}']
        for name in names:
            cell = text_cell(results.value(suite.name, name, figure.name), figure.digits)
            ratio = results.ratio(suite.name, 'mpquic', name, figure.name)
            if ratio and name != 'mpquic':
                cell += f' x{ratio["median"]:.2f}'
            row.append(cell)
        rows.append(row)
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    for row in rows:
        print('  ' + '  '.join(c.ljust(w) if i == 0 else c.rjust(w)
                               for i, (c, w) in enumerate(zip(row, widths))))


def show(data, o):
    results = Results(data)
    for suite in SUITES.values():
        print_suite(results, suite)
    print('\nmedian (least-greatest); x: mpquic / this one, median of the ratios within a round; '
          '!: others disturbed a part')
    return 0
