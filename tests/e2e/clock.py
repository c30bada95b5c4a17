"""Wall clocks that are not the machine's, and what the program knows of the time."""
import calendar
import os
import re
import struct
import subprocess
import time

from conftest import ROOT

DAY = 24 * 3600
YEAR_2000 = 946684800


def source_date(build):
    """The date of the sources that the program says it was made of: what a build directory holds
    beside it may be newer."""
    said = subprocess.run([build / "mpquic", "version"], capture_output=True, text=True, check=True)
    date = re.search(r"^sources (\S+Z)$", said.stdout, re.M)
    assert date, "no date of the sources: build in a git checkout, or set SOURCE_DATE_EPOCH"
    return calendar.timegm(time.strptime(date[1], "%Y-%m-%dT%H:%M:%SZ"))


class Clock:
    """The wall clock that programs see which are started within `with Clock(...)`. It is set, by the
    machine's, to the time `at`, and can be moved later."""

    def __init__(self, directory, name="any", at=None):
        self.library = directory / "clockshift.so"
        if not self.library.exists():
            subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", self.library,
                            ROOT / "tests" / "e2e" / "clockshift.c", "-ldl"], check=True)
        self.file = directory / f"clockshift-{name}"
        self.set(0 if at is None else at - int(time.time()))
        self.file.chmod(0o644)

    def set(self, seconds):
        with open(self.file, "r+b" if self.file.exists() else "wb") as f:
            f.write(struct.pack("=q", seconds))

    def __enter__(self):
        os.environ |= {"LD_PRELOAD": str(self.library), "CLOCKSHIFT": str(self.file)}
        return self

    def __exit__(self, *_):
        del os.environ["LD_PRELOAD"], os.environ["CLOCKSHIFT"]
