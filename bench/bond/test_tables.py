#!/usr/bin/env python3
"""Does the laboratory of bonded links compute what it says? Function only, no timing."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import laboratory  # noqa: E402
import matrix  # noqa: E402
import tables  # noqa: E402


def run(goodput, p5=None, p95=10, cpu=None):
    return {"goodput_mbps": goodput, "p5_mbps": p5 or goodput, "p50_ms": p95, "p95_ms": p95,
            "p99_ms": p95, "subflows": None, "foreign": 0} | (
                {"edge_cpu": cpu, "hub_cpu": cpu} if cpu else {})


def unit(cell="hops", load="tcp1", number=0, **rows):
    """rows: bare1=..., single2=..., bond0=..."""
    return {"cell": cell, "links": ["one", "two"], "load": load, "direction": "down", "round": number,
            "commit": "c", "date": f"2026-01-0{number + 1} 00:00 UTC",
            "rows": [{"carrier": k[:-1], "wan": int(k[-1]), "figures": v} for k, v in rows.items()]}


FULL = dict(bare1=run(300, p95=20), bare2=run(100, p95=30), mptcp0=run(390),
            single1=run(290, p95=4, cpu=2), single2=run(95, p95=4, cpu=3),
            bond0=run(360, p5=330, p95=6, cpu=2.5))


class Verdict(unittest.TestCase):
    def test_against_the_best_line(self):
        v = tables.verdict(unit(**FULL))
        self.assertAlmostEqual(v["of_sum"], 360 / 400)
        self.assertAlmostEqual(v["of_best"], 360 / 300)
        self.assertAlmostEqual(v["of_single"], 360 / 290)
        self.assertAlmostEqual(v["p5"], 330 / 300)
        self.assertAlmostEqual(v["rtt_over"], 6 - 20)
        self.assertAlmostEqual(v["cpu"], 2.5 / 2)

    def test_the_best_may_be_ours(self):
        v = tables.verdict(unit(**FULL | {"single1": run(400, p95=4, cpu=2)}))
        self.assertAlmostEqual(v["of_best"], 0.9)
        self.assertAlmostEqual(v["rtt_over"], 2)

    def test_nothing_is_said_without_a_run(self):
        self.assertEqual(tables.verdict(unit(**FULL | {"bare2": None})), {})
        self.assertEqual(tables.verdict(unit(**FULL | {"bond0": None})), {})


class Aims(unittest.TestCase):
    def rows(self, *units):
        return {r[1]: r[2:] for r in tables.aim_rows(units)[1:]}

    def test_medians_over_rounds(self):
        rows = self.rows(*(unit(number=n, **FULL | {"bond0": run(g, p95=6, cpu=2.5)})
                           for n, g in enumerate((360, 384, 392))))
        self.assertEqual(rows["of the sum"], [">= 0.95", "0.96 (0.90-0.98)", "yes"])
        self.assertEqual(rows["ping p95, ms"], ["<= 5", "6.00 (6.00-6.00)", "NO"])

    def test_what_nothing_limits(self):
        rows = self.rows(unit("open", **FULL))
        self.assertEqual(set(rows), {"of our single path", "processor time, of our single path's"})

    def test_slow_lines_have_no_aim_of_processor_time(self):
        self.assertNotIn("processor time, of our single path's", self.rows(unit("far", **FULL)))


class Text(unittest.TestCase):
    def test_every_carrier_has_a_row(self):
        said = tables.text([unit(**FULL), unit(number=1, **FULL | {"bond0": None})],
                           {("hops", "tcp1", "down", "bond", 0): 377})
        self.assertIn("| bond all | 360.0 | 0.90 | 377.0 | 330.0 | 6.0 | 6.0 | 6.0 | 2.50 | 2.50 |", said)
        self.assertIn("| mptcp all | 390.0 (390.0-390.0) | 0.97 (0.97-0.97) | - |", said)

    def test_published(self):
        said = tables.published({"machine": "M", "units": [unit(**FULL), unit(number=1, **FULL)]})
        self.assertIn("2026-01-01 00:00 UTC to 2026-01-02 00:00 UTC, 2 rounds, mpquic commit c.", said)


class Matrix(unittest.TestCase):
    """Of rows as sim-bond prints them."""

    def units(self, cell, p95, share, of_sum=1):
        head = {"cell": cell, "load": "tcp1", "direction": "up", "seconds": 20}
        runs = [{"seed": n, "valid": n < 4, "goodput_mbps": 10 * n, "p95_ms": p95, "p50_ms": 1}
                for n in (1, 2, 3, 4)]
        return matrix.units_of([
            head | {"carrier": "bare", "link": "one", "wan": 1, "runs": runs},
            head | {"carrier": "bond", "link": "all", "wan": 0, "runs": runs},
            head | {"carrier": "verdict", "link": "bare one", "wan": 0, "of_sum": of_sum, "runs": [],
                    "goodput_share": [share, 0.5, 2], "p5_share": [1, 1, 1],
                    "p95_more_ms": [0, -1, 1], "reached": True}])

    def test_medians_of_valid_runs(self):
        (unit,) = self.units("far", 4, 1)
        self.assertEqual(matrix.row_of(unit, "bond", 0)["medians"]["goodput_mbps"], 20)
        self.assertEqual(matrix.misses(unit), [])

    def test_misses(self):
        self.assertEqual(matrix.misses(self.units("far", 9, 0.96)[0]), ["goodput 0.96"])
        self.assertEqual(matrix.misses(self.units("far", 9, 1, 0.89)[0]), ["0.89 of the sum, not 0.90"])
        self.assertEqual(matrix.misses(self.units("near", 5.2, 1)[0]), ["ping p95 5.2 ms, not 5"])

    def test_published(self):
        said = matrix.published(self.units("far", 9, 0.5), {"near": ["tcp1", "quic"]}, 3, 20)
        self.assertIn("0 of 1 reach all of it.", said)
        self.assertIn("| far tcp1 up | goodput 0.50 |", said)
        self.assertIn("| near | tcp1, quic |", said)
        self.assertIn("| far | tcp1 up | 20.0 |  | 20.0 | 1.00 | bare one | 0.50 (0.50-2.00) |", said)


class Laboratory(unittest.TestCase):
    def test_cells(self):
        cells = laboratory.all_cells()
        self.assertEqual(cells["far"], ["fast", "slow"])
        self.assertEqual(cells["hops"], ["300 Mbit/s", "80 Mbit/s"])

    def test_quantiles(self):
        self.assertEqual(laboratory.quantiles([]), {})
        self.assertEqual(laboratory.quantiles(range(100)), {"p50_ms": 50, "p95_ms": 95, "p99_ms": 99})


if __name__ == "__main__":
    unittest.main()
