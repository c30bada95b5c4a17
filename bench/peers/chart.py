"""A chart of the most telling figures, as SVG: a panel for each, a bar for each carrier, and a line
from the least to the greatest over the rounds."""
from xml.sax.saxutils import escape

from report import number

# part, figure, title, unit, scale, which is better
PANELS = [
    ('tcp', 'tcp1_up', 'TCP, 1 flow', 'Gbit/s', 1e-3, 'longer'),
    ('cut', 'tcp1_up', 'TCP, 1 flow, packets cut on the link', 'Gbit/s', 1e-3, 'longer'),
    ('udp', 'udp_1200', 'UDP of 1200 bytes, < 1 % loss', 'kpps', 1, 'longer'),
    ('udp', 'udp_160', 'UDP of 160 bytes, < 1 % loss', 'kpps', 1, 'longer'),
    ('tcp', 'tcp1_up_extra_cpu', 'CPU time beyond the bare link, TCP', 's/GB', 1, 'shorter'),
    ('tcp', 'rtt_load_median', 'Round trip beside TCP, as fast as it goes', 'ms', 1e-3, 'shorter'),
    ('line', 'tcp1_up', 'Goodput on a line of 100 Mbit/s', 'Mbit/s', 1, 'longer'),
    ('slow', 'tcp1_up_rtt_added_p95', 'Added round trip on 5 Mbit/s, 95 %', 'ms', 1e-3, 'shorter'),
]
COLOURS = {'mpquic': '#1f6f8b', 'mpquic-gnutls': '#5fa3b8', 'wireguard-go': '#b5533c',
           'openvpn': '#d99a4e'}
OTHER = '#b8bcc2'
WIDTH, PANEL_W, LABEL_W, NUMBER_W, BAR_H, GAP, TITLE_H = 960, 468, 132, 52, 15, 6, 40
MARGIN = 12


def text(x, y, words, size=12, anchor='start', weight='normal', fill='#222'):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
            f'font-weight="{weight}" fill="{fill}">{escape(words)}</text>')


def bar(x, y, spread, scale, per_unit, colour):
    """One bar with its line of least and greatest."""
    low, mid, high = (max(0, spread[k] * scale) * per_unit for k in ('min', 'median', 'max'))
    parts = [f'<rect x="{x}" y="{y}" width="{mid:.1f}" height="{BAR_H}" fill="{colour}" rx="2"/>']
    if spread['n'] > 1:
        centre = y + BAR_H / 2
        parts.append(f'<path d="M{x + low:.1f} {centre}H{x + high:.1f}" stroke="#222" '
                     'stroke-width="1.2"/>')
        parts += [f'<path d="M{x + at:.1f} {centre - 4}v8" stroke="#222" stroke-width="1.2"/>'
                  for at in (low, high)]
    return parts


def panel(results, x, y, spec):
    """(elements, height) of one panel; the bare link is named in the title, for its bar would
    dwarf the others."""
    suite, figure, title, unit, scale, better = spec
    rows = [(c, s) for c in results.carriers(suite) if c != 'bare' and
            (s := results.value(suite, c, figure))]
    bare = results.value(suite, 'bare', figure)
    note = f'{unit}, {better} is better' + (
        f'; bare link {number(bare["median"] * scale)}' if bare else '')
    out = [text(x, y + 14, title, 14, weight='bold'), text(x, y + 30, note, 11, fill='#666')]
    most = max((s['max'] * scale for _, s in rows), default=0) or 1
    per_unit = (PANEL_W - LABEL_W - NUMBER_W - 2 * MARGIN) / most
    at = y + TITLE_H
    for carrier, spread in rows:
        out.append(text(x + LABEL_W - 6, at + 12, results.titles[carrier], 12, 'end',
                        'bold' if carrier.startswith('mpquic') else 'normal'))
        out += bar(x + LABEL_W, at, spread, scale, per_unit, COLOURS.get(carrier, OTHER))
        end = x + LABEL_W + max(spread['max'], spread['median'], 0) * scale * per_unit
        out.append(text(end + 6, at + 12, number(spread['median'] * scale), 12))
        at += BAR_H + GAP
    return out, at - y + 14


def draw(results, line):
    """The whole chart. line says on which machine."""
    out, y, side, tallest = [], MARGIN, 0, 0
    for spec in PANELS:
        if not results.value(spec[0], 'mpquic', spec[1]):
            continue
        parts, height = panel(results, MARGIN + side * (PANEL_W + MARGIN), y, spec)
        out += parts
        tallest, side = max(tallest, height), side + 1
        if side == 2:
            y, side, tallest = y + tallest, 0, 0
    y += tallest
    out.append(text(MARGIN, y + 12, line, 11, fill='#666'))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 24:.0f}" '
            f'width="{WIDTH}" font-family="Helvetica, Arial, sans-serif">\n'
            f'<rect width="{WIDTH}" height="{y + 24:.0f}" fill="white"/>\n' + '\n'.join(out) +
            '\n</svg>\n')
