"""Figures, ratios and aims out of what was measured. Ratios and differences are made inside a unit,
so that they compare what was measured within the same minutes."""
import statistics

FOREIGN_MAX = 10  # per cent of all processors; above it a figure counts as disturbed


def spread(samples):
    """Median, least and greatest of (value, foreign): of the undisturbed ones, if there are any."""
    if not samples:
        return None
    quiet = [v for v, f in samples if f <= FOREIGN_MAX]
    values = quiet or [v for v, _ in samples]
    return {'median': statistics.median(values), 'min': min(values), 'max': max(values),
            'n': len(values), 'quiet': len(quiet), 'disturbed': len(samples) - len(quiet)}


def combine(function, *parts):
    """function of the values of (value, foreign) parts, or None when one is missing."""
    if any(p is None for p in parts):
        return None
    try:
        return function(*(v for v, _ in parts)), max(f for _, f in parts)
    except ZeroDivisionError:
        return None


# Figures that are made of others: what the name ends in -> (unit, carrier, beginning) -> value.
DERIVED = {
    # Processor time of the machine for each GB beyond what the bare link takes.
    '_extra_cpu': lambda u, c, name: None if c == 'bare' else combine(
        lambda mine, bare: mine - bare, value_of(u, c, name + '_machine_cpu'),
        value_of(u, 'bare', name + '_machine_cpu')),
    '_ends_cpu': lambda u, c, name: combine(
        lambda a, b: a + b, value_of(u, c, name + '_a_cpu'), value_of(u, c, name + '_b_cpu')),
    # Round trip under load beyond that of the idle line itself.
    '_rtt_added': lambda u, c, name: combine(
        lambda mine, path: mine - path, value_of(u, c, name + '_rtt_median'),
        value_of(u, 'bare', 'rtt_idle_median')),
    '_rtt_added_p95': lambda u, c, name: combine(
        lambda mine, path: mine - path, value_of(u, c, name + '_rtt_p95'),
        value_of(u, 'bare', 'rtt_idle_median')),
    'slower_direction': lambda u, c, name: combine(
        lambda up, down: min(up, down) / max(up, down), value_of(u, c, 'tcp1_up'),
        value_of(u, c, 'tcp1_down')),
    'four_flows': lambda u, c, name: combine(
        lambda four, one: four / one, value_of(u, c, 'tcp4_up'), value_of(u, c, 'tcp1_up')),
}


def value_of(unit, carrier, figure):
    """(value, foreign) of one carrier in one unit, or None."""
    got = unit['carriers'].get(carrier)
    if got is None:
        return None
    for ending, make in DERIVED.items():
        if figure.endswith(ending):
            return make(unit, carrier, figure.removesuffix(ending))
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
        return spread([v for u in self.units(suite) if (v := value_of(u, carrier, figure))])

    def ratio(self, suite, carrier, other, figure):
        return spread([r for u in self.units(suite) if (r := combine(
            lambda mine, theirs: mine / theirs, value_of(u, carrier, figure),
            value_of(u, other, figure)))])

    def facts(self, carrier):
        """What a carrier said of itself, the last time."""
        found = {}
        for unit in self.data['units']:
            found |= unit['carriers'].get(carrier, {}).get('facts', {})
        return found


def aims(results):
    """What mpquic aims at: (what, spread, at least or at most, value, goal or None)."""
    def ratio(suite, figure, other, mine='mpquic'):
        return results.ratio(suite, mine, other, figure)

    def value(suite, figure, scale=1):
        s = results.value(suite, 'mpquic', figure)
        return s and s | {k: s[k] * scale for k in ('median', 'min', 'max')}

    same = 'null-gnutls' if results.facts('mpquic').get('aead') == 'gnutls' else 'null-ipsecmb'
    wg, most, least = 'wireguard-go', '<=', '>='
    return [
        ('TCP, 1 flow, to wireguard-go', ratio('tcp', 'tcp1_up', wg), least, 2.0, 2.5),
        ('TCP, 1 flow, with GnuTLS, to wireguard-go',
         ratio('tcp', 'tcp1_up', wg, 'mpquic-gnutls'), least, 1.7, None),
        ('TCP, 1 flow, to the null tunnel', ratio('tcp', 'tcp1_up', same), least, 0.85,
         None),
        ('TCP, 1 flow, with GnuTLS, to the null tunnel with GnuTLS',
         ratio('tcp', 'tcp1_up', 'null-gnutls', 'mpquic-gnutls'), least, 0.85, None),
        ('TCP, 1 flow, packets cut, to wireguard-go', ratio('cut', 'tcp1_up', wg), least, 1.7, 2.2),
        ('the slower direction to the faster', value('tcp', 'slower_direction'), least, 0.85, None),
        ('TCP, 4 flows to 1', value('tcp', 'four_flows'), least, 0.95, None),
        ('UDP of 1200 bytes, to wireguard-go', ratio('udp', 'udp_1200', wg), least, 1.5, 2.0),
        ('UDP of 160 bytes, to wireguard-go', ratio('udp', 'udp_160', wg), least, 1.5, 2.0),
        ('UDP of 1200 bytes, kpps', value('udp', 'udp_1200'), least, 123, None),
        ('UDP of 160 bytes, kpps', value('udp', 'udp_160'), least, 123, None),
        ('goodput on 100 Mbit/s, to the bare line', ratio('line', 'tcp1_up', 'bare'), least, 0.95,
         0.98),
        ('round trip added there, ms', value('line', 'tcp1_up_rtt_added', 1e-3), most, 5, None),
        ('round trip added on 5 Mbit/s, 95 %, ms', value('slow', 'tcp1_up_rtt_added_p95', 1e-3),
         most, 15, None),
        ('CPU of both ends at full speed, to wireguard-go', ratio('tcp', 'tcp1_up_ends_cpu', wg),
         most, 0.45, None),
        ('CPU of the sending end at 300 Mbit/s, s/GB', value('paced', 'tcp1_up_a_cpu'), most, 2.5,
         1.5),
        ('CPU of the receiving end at 300 Mbit/s, s/GB', value('paced', 'tcp1_up_b_cpu'), most,
         2.5, 1.5),
        ('round trip beside 1 flow, to the null tunnel',
         ratio('tcp', 'rtt_load_median', same), most, 1.5, None),
        ('CPU of an idle edge, %', value('idle', 'idle_cpu_a'), most, 0.2, None),
        ('memory of an idle edge, MiB', value('idle', 'idle_rss_a'), most, 16, None),
    ]


def verdict(s, how, limit):
    """Whether an aim is reached; nobody knows when others disturbed every round."""
    if not s['quiet']:
        return '?'
    return 'yes' if (s['median'] >= limit if how == '>=' else s['median'] <= limit) else 'NO'
