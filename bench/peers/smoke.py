#!/usr/bin/env python3
"""Does the benchmark run? One round of the shortest measurements of the bare link and of our tunnel
must give every figure. Function only, no timing. Skipped (77) without root.

usage: smoke.py BUILD-DIR
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import links  # noqa: E402,F401  (makes lab and null findable)
from results import Results  # noqa: E402
from suites import SUITES  # noqa: E402

PARTS = ('tcp', 'slow')


def main():
    if os.geteuid() != 0 or not os.access('/dev/net/tun', os.R_OK | os.W_OK):
        print('needs root')
        return 77
    with tempfile.TemporaryDirectory() as where:
        kept = pathlib.Path(where, 'kept.json')
        command = [sys.executable, HERE / 'bench.py', '--build', sys.argv[1], '--quick',
                   '--seconds', '1', '--json', kept, '--only', ','.join(PARTS), '--carriers',
                   'bare,mpquic']
        said = subprocess.run(command, capture_output=True, text=True, timeout=240)
        print(said.stdout, said.stderr)
        if said.returncode:
            return 1
        data = json.loads(kept.read_text())
        results = Results(data)
        missing = [(part, f.name) for part in PARTS for f in SUITES[part].figures
                   if not results.value(part, 'mpquic', f.name)]
        # Going on finds nothing left to do.
        again = subprocess.run(command, capture_output=True, text=True, timeout=60)
    print('missing:', missing)
    return 1 if missing or '0 units to measure' not in again.stdout else 0


if __name__ == '__main__':
    sys.exit(main())
