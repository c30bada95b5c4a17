"""The gateway where its own state is broken: files that are garbage, a directory that is full or cannot
be written, several verbs at once. The laboratory is that of test_gateway.py.
"""
import contextlib
import itertools

import pytest
from gateway import Gateway
from lab import run
from test_gateway import EDGE, SIX, no_leak, reaches


@pytest.fixture
def gateway(site):
    g = Gateway(site, "edge", EDGE)
    yield g
    g.stop()
    for file in directory(site).iterdir():
        if file.name != "gateway.settings":
            file.unlink()
    g.verb("down", file=False)


def directory(site):
    return site.directories("edge")["MPQUIC_STATE_DIR"]


def garbage(site, name):
    (directory(site) / f"gateway.{name}").write_bytes(bytes(range(256)) * 12)


def refused(done, status, words):
    assert done.returncode == status and words in done.stderr, done.stdout + done.stderr


def nothing_of_ours(gateway):
    kernel = gateway.kernel()
    return "proto 110" not in kernel and "mpquic_gateway" not in kernel


def test_what_was_taken_over_cannot_be_understood(site, gateway):
    """A trial ends all the same, and down removes all of ours and says what is missing."""
    gateway.verb("apply")
    garbage(site, "foreign")
    gateway.verb("apply", "--confirm", "600")
    assert "former configuration is back" in gateway.verb("confirm", "--reject", file=False).stdout
    refused(gateway.verb("down", file=False, check=False), 10,
            "gateway.foreign: what was taken over from others is not given back: it cannot be "
            "understood")
    assert nothing_of_ours(gateway)


def test_what_is_confirmed_cannot_be_understood(site, gateway):
    gateway.verb("apply")
    before = gateway.kernel(counters=False)
    garbage(site, "confirmed")
    refused(gateway.verb("apply", "--confirm", "600", check=False), 10, "cannot be understood")
    refused(gateway.verb("guard", file=False, check=False), 10, "cannot be understood")
    refused(gateway.verb("status", file=False, check=False), 10, "cannot be understood")
    assert gateway.kernel(counters=False) == before
    gateway.verb("apply")
    assert (directory(site) / "gateway.confirmed").read_text() == EDGE.read_text()


def test_it_breaks_during_a_trial(site, gateway):
    """Nobody knows what to go back to: what is in force stays, until somebody says what shall be."""
    gateway.verb("apply")
    gateway.verb("apply", "--confirm", "600")
    garbage(site, "confirmed")
    refused(gateway.verb("confirm", "--reject", file=False, check=False), 10, "")
    refused(gateway.verb("apply", "--confirm", "600", check=False), 10, "apply without --confirm")
    assert gateway.settled() and reaches(site, 1)
    gateway.verb("apply")
    assert not (directory(site) / "gateway.trial").exists()
    assert (directory(site) / "gateway.confirmed").read_text() == EDGE.read_text()


@pytest.mark.parametrize("name", ["trial", "disabled", "settings", "answer"])
def test_garbage_in_other_files(site, gateway, name):
    gateway.verb("apply")
    garbage(site, name)
    gateway.start()
    assert gateway.settled() and all(reaches(site, i, 1) for i in SIX)
    gateway.stop()
    gateway.verb("disable", "wan4", file=False)
    gateway.verb("enable", "wan4", file=False)
    gateway.verb("apply")
    gateway.verb("down", file=False)
    assert nothing_of_ours(gateway)


@contextlib.contextmanager
def small_disk(site):
    """A directory of the state with a disk of its own."""
    run("mount", "-t", "tmpfs", "-o", "size=64k", "none", directory(site))
    try:
        yield directory(site)
    finally:
        run("umount", directory(site))


def test_a_full_disk(site, gateway):
    """Nothing is changed that could not be taken back; and with room again all is as ever."""
    forwarding = "/proc/sys/net/ipv4/ip_forward"
    site.exec("edge", "sh", "-c", f"echo 0 >{forwarding}")
    before = gateway.kernel()
    with small_disk(site) as disk:
        with contextlib.suppress(OSError):
            (disk / "fill").write_bytes(bytes(1 << 17))
        refused(gateway.verb("apply", check=False), 10, "No space left on device")
        assert gateway.kernel() == before
        (disk / "fill").unlink()
        gateway.verb("apply")
        with contextlib.suppress(OSError):
            (disk / "fill").write_bytes(bytes(1 << 17))
        in_force = gateway.kernel(counters=False)
        refused(gateway.verb("apply", "--confirm", "600", check=False), 10, "nothing was changed")
        refused(gateway.verb("disable", "wan4", file=False, check=False), 30, "No space left")
        assert gateway.kernel(counters=False) == in_force
        gateway.verb("down", file=False)
        assert gateway.kernel() == before
    assert site.exec("edge", "cat", forwarding).stdout == "0\n"


def test_a_disk_that_cannot_be_written(site, gateway):
    """Down removes from the kernel what it can, and says that the rest is not done."""
    with small_disk(site) as disk:
        gateway.verb("apply")
        run("mount", "-o", "remount,ro", disk)
        assert gateway.verb("apply").returncode == 0  # nothing to do
        refused(gateway.verb("apply", "--confirm", "600", check=False), 10, "Read-only file system")
        refused(gateway.verb("down", file=False, check=False), 10, "Read-only file system")
        assert nothing_of_ours(gateway)
        run("mount", "-o", "remount,rw", disk)
        gateway.verb("down", file=False)
        assert not (disk / "gateway.confirmed").exists()


def test_many_at_once(site, gateway):
    """Whoever is last is in force, as a whole, and confirmed."""
    other = site.state / "at-once.yaml"
    other.write_text(EDGE.read_text().replace("pin: mpq2\n", "pin: mpq3\n"))
    verbs = [["apply", "-c", EDGE], ["apply", "-c", other], ["plan", "-c", EDGE],
             ["guard", "-c", EDGE], ["status", "-c", EDGE], ["health", "-c", other]]
    gateway.verb("apply")
    with no_leak(site):
        processes = [site.popen("edge", gateway.program, "gateway", *v, log=site.state / "at-once.log")
                     for v in itertools.chain(verbs, verbs)]
        for p in processes:
            p.wait(60)
    confirmed = (directory(site) / "gateway.confirmed").read_text()
    assert confirmed in (EDGE.read_text(), other.read_text())
    gateway.file = EDGE if confirmed == EDGE.read_text() else other
    assert gateway.settled()


@pytest.mark.parametrize("name", ["enp6s*", '\\"', "a b", "../x", "%s"])
def test_names_that_mean_something_else(site, gateway, name):
    file = site.state / "odd.yaml"
    for key in ("device: mpq1", "ingress: enp6s20"):
        file.write_text(EDGE.read_text().replace(key, f'{key.split()[0]} "{name}"', 1))
        done = gateway.verb("check", "-c", file, file=False, check=False)
        assert done.returncode == 1 and "interface name cannot have" in done.stdout, done.stdout
