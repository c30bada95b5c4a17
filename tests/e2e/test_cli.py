"""The command line, without a network: what it prints and how it ends."""
import os
import re
import subprocess

import pytest
from conftest import ROOT

EXAMPLES = sorted((ROOT / "deploy" / "examples").rglob("*.yaml"))


@pytest.fixture
def cli(mpquic):
    def run(*args, input=None):
        return subprocess.run([mpquic, *map(str, args)], capture_output=True, text=True,
                              input=input, timeout=20)
    return run


def test_version(cli):
    for spelling in (["--version"], ["version"]):
        result = cli(*spelling)
        assert result.returncode == 0 and re.match(r"mpquic \d+\.\d+\.\d+", result.stdout)


def test_help_names_every_verb_and_each_has_its_own(cli):
    result = cli("help")
    assert result.returncode == 0 and not result.stderr
    verbs = re.findall(r"^  (\w+) ", result.stdout, re.M)
    assert {"tunnel", "check", "print", "help", "version"} <= set(verbs)
    texts = [result.stdout]
    for verb in verbs:
        one = cli("help", verb)
        assert one.returncode == 0 and f"mpquic {verb}" in one.stdout
        texts.append(one.stdout)
        for name, sub in re.findall(r"^  (\w+) (\w+) ", one.stdout, re.M):
            more = cli("help", name, sub)
            assert more.returncode == 0 and more.stdout.startswith(f"usage: mpquic {name} {sub}")
            texts.append(more.stdout)
    assert len(texts) > len(verbs) + 6  # pki has six
    assert max(len(line) for text in texts for line in text.splitlines()) < 80


def test_a_bundle_replaces_files_only(cli, tmp_path):
    """A device or what a link to one leads to is refused before a certificate is made."""
    authority = tmp_path / "pki"
    assert cli("pki", "init", "--dir", authority).returncode == 0
    fifo, link, file = tmp_path / "fifo", tmp_path / "link", tmp_path / "file"
    os.mkfifo(fifo)
    link.symlink_to(fifo)
    def client(out):
        return cli("pki", "client", "edge1", "--dir", authority, "--bundle", "--hub", "192.0.2.1",
                   "--out", out)
    for out in (fifo, link):
        result = client(out)
        assert result.returncode and "not a regular file" in result.stderr, result.stderr
        assert fifo.is_fifo() and link.is_symlink()
        assert not (authority / "client" / "edge1").exists()
    file.write_text("old")
    link.unlink()
    link.symlink_to(file)
    assert client(link).returncode == 0
    assert link.is_symlink() and file.read_text().startswith("mpquic-bundle")


def test_no_verb_and_a_misspelt_verb(cli):
    assert cli().returncode == 2
    result = cli("tunel")
    assert result.returncode == 2
    assert "tunel" in result.stderr and not result.stdout


def test_what_may_be_meant(cli):
    """Verbs, options and the arguments of help."""
    for args, meant in ((["statsu"], "'status'"), (["help", "statu"], "'status'"),
                        (["help", "pki", "cleint"], "'client'"), (["status", "--jsn"], "--json"),
                        (["status", "--jsno=1"], "--json")):
        result = cli(*args)
        assert result.returncode == 2 and not result.stdout
        assert f"did you mean {meant}?" in result.stderr, result.stderr
    for args in (["status", "--frobnicate"], ["status", "-x"], ["help", "check", "it"]):
        result = cli(*args)
        assert result.returncode == 2 and "did you mean" not in result.stderr


def test_tunnel_needs_a_readable_file(cli, tmp_path):
    assert cli("tunnel").returncode == 2
    result = cli("tunnel", "-c", tmp_path / "none.yaml")
    assert result.returncode == 1
    assert "none.yaml" in result.stderr and "No such file" in result.stderr


def test_the_twelve_examples_are_there():
    names = {f"{p.parent.name}/{p.name}" for p in EXAMPLES}
    assert {f"{role}/{i}.yaml" for role in ("client", "server") for i in range(1, 7)} <= names


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_print_of_an_example_is_read_back_to_itself(cli, tmp_path, file):
    first = cli("print", file)
    assert first.returncode == 0, first.stderr
    again = tmp_path / "printed.yaml"
    again.write_text(first.stdout)
    second = cli("print", again)
    assert second.returncode == 0, second.stderr
    assert second.stdout == first.stdout


def test_check_reports_every_problem_with_its_place(cli, tmp_path):
    file = tmp_path / "wrong.yaml"
    file.write_text("role: client\n"
                    "remote_adr: 203.0.113.10\n"
                    "remote_port: 99999\n"
                    "tun_name: an-interface-name-too-long\n"
                    "tun_cidr: 10.200.1.1/33\n"
                    "congestion_control: reno\n"
                    "log_level: loud\n")
    result = cli("check", file)
    assert result.returncode == 1
    text = result.stdout + result.stderr
    for line in (2, 3, 4, 5, 6, 7):
        assert re.search(rf"wrong\.yaml:{line}:\d+: ", text), text
    assert "remote_addr" in text  # the nearest valid key


def test_check_of_text_that_is_no_yaml(cli, tmp_path):
    file = tmp_path / "wrong.yaml"
    file.write_text("role: client\n  tun_name: [mpq1\n")
    result = cli("check", file)
    assert result.returncode == 1
    assert re.search(r"wrong\.yaml:\d+:\d+: ", result.stdout + result.stderr)


def test_a_full_disk_is_an_error(mpquic):
    with open("/dev/full", "w") as full:
        result = subprocess.run([mpquic, "help"], stdout=full, stderr=subprocess.PIPE, timeout=20)
    assert result.returncode != 0


def test_check_and_print_take_the_name_of_an_instance(mpquic, tmp_path):
    """As status does: what is no file is looked for where the configurations are."""
    file = tmp_path / "hub.yaml"
    file.write_text("role: server\n")

    def run(*words):
        return subprocess.run([mpquic, *words], capture_output=True, text=True, timeout=20,
                              env=os.environ | {"MPQUIC_CONF_DIR": str(tmp_path)})
    for verb in ("check", "print"):
        result = run(verb, "hub")
        assert f"{file}:1:7: error: a server needs " in result.stdout + result.stderr
        result = run(verb, "nobody")
        assert "nobody: error: cannot read: No such file" in result.stdout + result.stderr
