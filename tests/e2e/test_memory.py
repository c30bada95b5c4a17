"""What a connected idle peer costs its hub in memory: the real process, 60 real edges after 20 more
that have warmed it up."""
import re
import subprocess
import sys

from conftest import ROOT

EDGES, QUIET_S, LIMIT_KIB = 60, 8, 64


def test_an_idle_peer_needs_at_most_64_kib(build, mpquic, root):
    assert b"__asan_init" not in mpquic.read_bytes(), (
        "what a sanitized program needs says nothing: name a build without in MPQUIC_BUILD")
    command = [sys.executable, ROOT / "bench/many/memory.py", build, str(EDGES), str(QUIET_S)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    told = re.search(r"([0-9.]+) KiB each", result.stdout)
    assert told, result.stdout + result.stderr
    assert 16 < float(told[1]) <= LIMIT_KIB, result.stdout
    assert result.returncode == 0
