"""tools/prepare on machines that are not like this one: each test puts its own /etc/apt, package
database or os-release in place, in mount and network namespaces of its own."""
import re
import subprocess

import pytest
from conftest import ROOT

PREPARE = ROOT / "tools" / "prepare"
BOOKWORM = 'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n'
TRIXIE = 'ID=debian\nVERSION_ID="13"\nVERSION_CODENAME=trixie\n'

# An archive entry as it may be found, and the lines that must be made of it.
ENTRIES = {
    "one-line": ("sources.list",
                 "deb http://archive.example/debian bookworm main contrib\n",
                 ["URIs: http://archive.example/debian"]),
    "one-line-with-options": (
        "sources.list",
        "# deb http://old.example/debian bookworm main\n"
        "deb cdrom:[Debian 12]/ bookworm main\n"
        "deb-src http://archive.example/debian bookworm main\n"
        "deb [arch=amd64,i386 signed-by=/usr/share/keyrings/k.gpg] https://archive.example/d "
        "bookworm main\n",
        ["URIs: https://archive.example/d", "Signed-By: /usr/share/keyrings/k.gpg",
         "Architectures: amd64 i386"]),
    "stanza": ("sources.list.d/debian.sources",
               "Types: deb\n# a comment\nURIs: http://archive.example/debian\n"
               "Suites: bookworm bookworm-updates\nComponents: main\n"
               "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n"
               "Types: deb\nURIs: http://security.example/\nSuites: bookworm-security\n"
               "Components: main\n",
               ["URIs: http://archive.example/debian",
                "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg"]),
    "stanza-with-a-key-inside": (
        "sources.list.d/local.sources",
        "Types: deb\nURIs: http://off.example/debian\nSuites: bookworm\nEnabled: no\n\n"
        "Types: deb deb-src\nURIs: http://a.example/debian\n http://b.example/debian\n"
        "Suites: bookworm\nComponents: main\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n"
        " .\n mQINBF\n -----END PGP PUBLIC KEY BLOCK-----\n",
        ["URIs: http://a.example/debian", " http://b.example/debian", "Signed-By:",
         " -----BEGIN PGP PUBLIC KEY BLOCK-----", " .", " mQINBF",
         " -----END PGP PUBLIC KEY BLOCK-----"]),
}


@pytest.fixture
def machine(root, tmp_path):
    """Run tools/prepare with files of another machine in the places of this one's."""
    etc = tmp_path / "apt"
    for d in ("sources.list.d", "preferences.d", "apt.conf.d", "trusted.gpg.d", "auth.conf.d"):
        (etc / d).mkdir(parents=True)

    def run(*verb, release=BOOKWORM, entry=None, no_packages=False, as_user=None):
        (tmp_path / "os-release").write_text(release)
        if entry:
            (etc / entry[0]).write_text(entry[1])
        script = ["mount --bind $T/os-release /etc/os-release", "mount --bind $T/apt /etc/apt",
                  "mount -t tmpfs tmpfs /var/lib/apt"]
        if no_packages:
            (tmp_path / "status").write_text("")
            script += ["mount --bind $T/status /var/lib/dpkg/status"]
        command = f'exec {"setpriv --reuid 65534 --clear-groups " if as_user else ""}"$0" "$@"'
        return subprocess.run(
            ["unshare", "--mount", "--net", "sh", "-ec", "\n".join([*script, command]),
             PREPARE, *verb],
            env={"T": str(tmp_path), "MPQUIC_PREPARE_STATE": str(tmp_path / "state"),
                 "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)

    run.etc = etc
    return run


@pytest.mark.parametrize("name", ENTRIES)
def test_the_source_is_made_from_the_machines_own_entry(machine, name):
    file, text, expected = ENTRIES[name]
    result = machine("show", entry=(file, text))
    assert result.returncode == 0, result.stderr
    made = re.search(r"# /etc/apt/sources.list.d/\S+\n(.*)# /etc/apt/preferences.d", result.stdout,
                     re.S)[1].splitlines()
    assert made[0] == "Types: deb"
    assert "Suites: bookworm-backports" in made and "Components: main" in made
    for line in expected:
        assert line in made
    assert len(made) == 3 + len(expected)
    assert "Pin: release n=bookworm-backports\nPin-Priority: 100\n" in result.stdout
    assert not list((machine.etc / "preferences.d").iterdir())


def test_backports_that_are_there_already_are_used(machine):
    result = machine("show", entry=("sources.list",
                                    "deb http://archive.example/debian bookworm main\n"
                                    "deb http://archive.example/debian bookworm-backports main\n"))
    assert result.returncode == 0 and "Types:" not in result.stdout


def test_sources_of_other_suites_are_the_same_archive(machine):
    result = machine("source", "trixie", "bookworm-backports", entry=(
        "sources.list", "deb http://archive.example/debian bookworm main\n"))
    assert result.returncode == 0, result.stderr
    assert [e.splitlines() for e in result.stdout.split("\n\n")] == [
        ["Types: deb", "URIs: http://archive.example/debian", f"Suites: {suite}",
         "Components: main"] for suite in ("trixie", "bookworm-backports")] + [[]]


def test_debian_13_needs_no_backports(machine):
    result = machine("show", release=TRIXIE, no_packages=True)
    assert result.returncode == 0
    assert "libngtcp2-dev" in result.stdout and "backports" not in result.stdout


def test_no_entry_to_take_the_archive_from(machine):
    result = machine("test", no_packages=True)
    assert result.returncode == 1 and "no entry for bookworm" in result.stderr


@pytest.mark.parametrize("release, words", [
    ("ID=fedora\nVERSION_ID=40\n", "not Debian but 'fedora'"),
    ('ID=debian\nVERSION_ID="11"\nVERSION_CODENAME=bullseye\n', "too old"),
])
def test_other_systems(machine, release, words):
    result = machine("test", release=release)
    assert result.returncode == 1
    assert words in result.stderr and len(result.stderr.splitlines()) == 1


def test_without_root_it_names_what_is_missing(machine):
    result = machine("build", no_packages=True, as_user=True)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert "only root" in result.stderr and "meson" in result.stderr


@pytest.mark.parametrize("group", ["build", "test", "bench"])
def test_rivals_are_wanted_for_the_benchmark_only(machine, group):
    result = machine(group, no_packages=True, as_user=True)
    assert ("wireguard-go" in result.stderr) == ("openvpn" in result.stderr) == (group == "bench")
    assert ("clang" in result.stderr) == (group == "test")


def test_without_a_network(machine):
    result = machine("build", no_packages=True, entry=(
        "sources.list", "deb http://archive.invalid/debian bookworm main\n"))
    assert result.returncode == 1
    assert "cannot be reached" in result.stderr.splitlines()[-1]
    assert "about to change" in result.stdout
    # What was written before it failed is known to undo.
    assert (machine.etc / "sources.list.d" / "mpquic-backports.sources").exists()
    assert machine("undo").returncode == 0
    assert not list((machine.etc / "sources.list.d").iterdir())
    assert not list((machine.etc / "preferences.d").iterdir())


def test_nothing_to_do(root):
    """On this machine everything is there: said at once, without asking any archive."""
    result = subprocess.run(["unshare", "--net", PREPARE, "test"], capture_output=True, text=True,
                            stdin=subprocess.DEVNULL, timeout=20)
    assert result.returncode == 0 and result.stdout == "prepare: nothing to install\n"
