"""What the end-to-end tests share: the laboratory's modules and names that do not collide."""
import itertools
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "lab"), str(pathlib.Path(__file__).resolve().parent)]

serial = itertools.count(1)


@pytest.fixture(scope="session", autouse=True)
def directories():
    """Programs that are started outside the laboratory do not touch the machine's /run and
    /var/lib either."""
    with tempfile.TemporaryDirectory(prefix="mpquic-") as name:
        os.chmod(name, 0o755)
        for kind in ("RUN", "STATE", "CONF"):
            path = pathlib.Path(name) / kind.lower()
            path.mkdir()
            os.environ[f"MPQUIC_{kind}_DIR"] = str(path)
        yield


@pytest.fixture(scope="session")
def build():
    return pathlib.Path(os.environ.get("MPQUIC_BUILD") or ROOT / "build").resolve()


@pytest.fixture(scope="session")
def mpquic(build):
    program = build / "mpquic"
    assert program.exists(), f"{program} is missing: make build"
    return program


@pytest.fixture(scope="session")
def root():
    assert os.geteuid() == 0, "these tests make network namespaces: run them as root"


@pytest.fixture(scope="module")
def lab_name(root):
    """A laboratory's name that nothing else uses."""
    return f"t{os.getpid()}-{next(serial)}"


@pytest.fixture(scope="module")
def site(build, mpquic, lab_name):
    """The edge with six LANs and WANs, its tunnels being cables: what tests of the gateway begin with,
    unless they have a laboratory of their own."""
    from gateway import cables
    from lab import Lab

    with Lab(lab_name, build=build, wans=6, profiles=["bare"] * 6) as lab:
        cables(lab)
        yield lab


@pytest.fixture(scope="session")
def packages(root):
    """The directory of the Debian package and of what it is installed with."""
    directory = pathlib.Path(os.environ.get("MPQUIC_DEB") or ROOT / "build-deb").resolve()
    assert len(list(directory.glob("mpquic_*.deb"))) == 1, f"no package in {directory}: make deb"
    return directory


@pytest.fixture(scope="session")
def debian(packages):
    """A fresh Debian, to be booted with a layer of one's own over it."""
    done = subprocess.run([ROOT / "tools" / "deb-root", packages], stdout=subprocess.PIPE,
                          text=True, check=True, timeout=600)
    return pathlib.Path(done.stdout.strip())


@pytest.fixture(scope="session")
def newer(packages, tmp_path_factory):
    """The same package as a later version."""
    directory = tmp_path_factory.mktemp("newer")
    tree = directory / "tree"
    package = next(packages.glob("mpquic_*.deb"))
    subprocess.run(["dpkg-deb", "-R", package, tree], check=True)
    control = tree / "DEBIAN" / "control"
    control.write_text(re.sub(r"^Version: (.*)$", r"Version: \1+1", control.read_text(),
                              flags=re.M))
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, directory / "mpquic.deb"],
                   check=True, capture_output=True)
    return directory / "mpquic.deb"
