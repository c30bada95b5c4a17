"""The tables on the terminal."""
from results import Results, aims, verdict
from suites import SUITES


def machine_line(m):
    return f'{m["cpu"]}, {m["processors"]} processors, Linux {m["kernel"]}, {m["system"]}'


def number(v):
    """Three digits that count, or all before the point."""
    if v is None:
        return '-'
    for limit, digits in ((0.995, 3), (9.95, 2), (99.5, 1)):
        if abs(v) < limit:
            return f'{v:.{digits}f}' if v else '0'
    return f'{v:,.0f}'


def cell(s, scale=1):
    """Median (least-greatest), and a mark when others disturbed some of it."""
    if not s:
        return '-'
    text = number(s['median'] * scale)
    if s['n'] > 1:
        text += f' ({number(s["min"] * scale)}-{number(s["max"] * scale)})'
    return text + ('!' if s['disturbed'] else '')


def ratio_cell(s):
    return f'{s["median"]:.2f}' + (f' ({s["min"]:.2f}-{s["max"]:.2f})' if s['n'] > 1 else '')


def suite_rows(results, suite):
    """[first row, ...]: the figures of a part, a column for each carrier."""
    names = results.carriers(suite.name)
    rows = [[''] + names]
    for figure in suite.figures:
        cells = [cell(results.value(suite.name, c, figure.name), figure.scale) for c in names]
        if set(cells) != {'-'}:
            rows.append([f'{figure.name}, {figure.unit}'] + cells)
    return rows


def ratio_rows(results, suite):
    """The same as ratios of mpquic to each of the others."""
    names = [c for c in results.carriers(suite.name) if c != 'mpquic']
    rows = [['mpquic /'] + names]
    for figure in suite.figures:
        spreads = [results.ratio(suite.name, 'mpquic', c, figure.name) for c in names]
        if any(spreads):
            rows.append([figure.name] + [ratio_cell(s) if s else '-' for s in spreads])
    return rows


def aim_rows(results):
    rows = [['aim', 'at', 'measured', '']]
    for what, s, how, limit, goal in aims(results):
        if s:
            rows.append([what, f'{how} {limit:g}' + (f' (goal {goal:g})' if goal else ''), cell(s),
                         verdict(s, how, limit)])
    return rows


def print_rows(rows):
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    for row in rows:
        print('  ' + '  '.join(c.ljust(w) if i == 0 else c.rjust(w)
                               for i, (c, w) in enumerate(zip(row, widths))).rstrip())


def show(data):
    results = Results(data)
    for suite in SUITES.values():
        if results.units(suite.name):
            print(f'\n{suite.title}')
            print_rows(suite_rows(results, suite))
            print_rows(ratio_rows(results, suite))
    if len(rows := aim_rows(results)) > 1:
        print('\nAims')
        print_rows(rows)
    print('\nmedian (least-greatest) over the rounds; ratios are made within a round; '
          '!: others used the machine in some of them')
