#!/usr/bin/python3
"""Makes the links of this directory that change at random: lte.link, lte2.link, starlink.link.

usage: make.py [--check]      write them, or exit 1 when what is here differs from what would be written

The files are kept, so that everybody plays the same ones and can read them; this program says what
they are made of. Figures and where they come from: README.md beside it.
"""
import math
import pathlib
import random
import sys

HERE = pathlib.Path(__file__).resolve().parent
HEAD = "# Made by make.py from its seed {seed}; README.md tells from what.\n"


def rate(bps):
    return f"rate={bps / 1e6:.3g}m"


def seconds(ms):
    return f"{ms / 1000:g}s"


class Fading:
    """The logarithm of a rate as two first-order processes, a fast and a slow one, 100 ms a step."""

    def __init__(self, rng, mean, low, high, fast=0.3, slow=0.45, fast_s=0.3, slow_s=5):
        self.rng, self.mean, self.low, self.high = rng, mean, low, high
        self.parts = [[rng.gauss(0, sd), sd, math.exp(-0.1 / time)]
                      for sd, time in ((fast, fast_s), (slow, slow_s))]

    def next(self):
        for part in self.parts:
            value, sd, keep = part
            part[0] = keep * value + self.rng.gauss(0, sd * math.sqrt(1 - keep * keep))
        value = self.mean * math.exp(sum(part[0] for part in self.parts))
        return min(max(value, self.low), self.high)

    def move(self):
        """Somewhere else: the slow part has nothing to do with what it was."""
        self.parts[1][0] = self.rng.gauss(0, self.parts[1][1])


def lte(seed, period_s, down, up, delay_ms, queue_down, queue_up):
    """Rates that change every 100 ms, a delay that drifts, and handovers: a pause of 50 to 100 ms
    in which packets are kept, and another cell behind it."""
    rng = random.Random(seed)
    fading = {"down": Fading(rng, down, down / 8, down * 2.2), "up": Fading(rng, up, up / 8, up * 2)}
    yield f"0s both delay={delay_ms}ms jitter=8ms loss=0.01%"
    yield f"0s down queue={queue_down}"
    yield f"0s up queue={queue_up}"
    said, handover = {}, 10000 + rng.randrange(8000)
    for ms in range(0, period_s * 1000, 100):
        if ms >= handover:
            yield f"{seconds(ms)} both rate=500k"
            ms += rng.randrange(50, 99)
            yield f"{seconds(ms)} both delay={delay_ms + rng.randrange(-4, 8)}ms"
            handover = ms + 12000 + rng.randrange(12000)
            said = {}
            for f in fading.values():
                f.move()
        for direction, f in fading.items():
            now = f.next()
            if direction not in said or abs(now / said[direction] - 1) > 0.1:
                said[direction] = now
                yield f"{seconds(ms)} {direction} {rate(now)}"
    yield f"{period_s}s repeat"


def starlink(seed, slots):
    """Slots of 15 s, each with its rate and delay; between two of them 100 to 500 ms of nothing; in
    a slot the rate wanders and single packets and short bursts are lost."""
    rng = random.Random(seed)
    yield "0s both jitter=6ms loss=0.1% burst=0.02%,20%,60%"
    yield "0s down queue=1m"
    yield "0s up queue=250k"
    for slot in range(slots):
        start = slot * 15000
        down, up = rng.uniform(60e6, 190e6), rng.uniform(9e6, 24e6)
        back = start + (rng.randrange(100, 501) if slot else 0)
        if slot:
            yield f"{seconds(start)} both down=1"
        yield f"{seconds(back)} both down=0 delay={rng.randrange(13, 27)}ms"
        for ms in range(start, start + 15000, 500):
            if ms > start and ms <= back:
                continue
            at = max(ms, back)
            yield f"{seconds(at)} down {rate(down * rng.uniform(0.8, 1.1))}"
            yield f"{seconds(at)} up {rate(up * rng.uniform(0.8, 1.1))}"
    yield f"{slots * 15}s repeat"


LINKS = {
    "lte": (41, lte, dict(period_s=60, down=40e6, up=15e6, delay_ms=22, queue_down="1500k",
                          queue_up="500k")),
    "lte2": (42, lte, dict(period_s=47, down=25e6, up=8e6, delay_ms=28, queue_down="1200k",
                           queue_up="300k")),
    "starlink": (43, starlink, dict(slots=8)),
}


def main(argv):
    wrong = []
    for name, (seed, make, how) in LINKS.items():
        path = HERE / f"{name}.link"
        text = HEAD.format(seed=seed) + "".join(f"{line}\n" for line in make(seed, **how))
        if argv == ["--check"]:
            wrong += [] if path.exists() and path.read_text() == text else [path.name]
        else:
            path.write_text(text)
    if wrong:
        print(f"not what make.py would write: {' '.join(wrong)}", file=sys.stderr)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
