"""The command line, without a network: what it prints and how it ends."""
import os
import re
import subprocess

import pytest
from conftest import ROOT

EXAMPLES = sorted(p for p in (ROOT / "deploy" / "examples").rglob("*.yaml")
                  if "gateway" not in p.parent.name)


@pytest.fixture
def cli(mpquic):
    def run(*args, input=None):
        return subprocess.run([mpquic, *map(str, args)], capture_output=True, text=True,
                              input=input, timeout=20)
    return run


def test_version(cli):
    for spelling in (["--version"], ["version"]):
        result = cli(*spelling)
        assert result.returncode == 0
        assert re.match(r"mpquic \d+\.\d+\.\d+\nsources \d+-\d\d-\d\dT[0-9:]+Z\n", result.stdout)


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


@pytest.fixture
def init(cli, tmp_path):
    """init(WORDS): exit status, what it said, the configuration as print reads it (None: there is
    none)."""
    def run(*words):
        result = cli("init", *words, "--dir", tmp_path / "pki", "--config-dir", tmp_path / "etc",
                     "--no-start")
        file = tmp_path / "etc" / "hub.yaml"
        text = cli("print", file).stdout if file.exists() else None
        return result.returncode, result.stdout + result.stderr, text
    return run


@pytest.mark.parametrize("address, words", [
    ("0.0.0.0", "is not the address of a host"),
    ("::", "is not the address of a host"),
    ("255.255.255.255", "is not the address of a host"),
    ("224.0.0.1", "is not the address of a host"),
    ("ff02::1", "is not the address of a host"),
    ("fe80::1", "is a link-local address"),
    ("1.2.3.4.5", "is neither a host name nor an address"),
    ("1.2.3", "is neither a host name nor an address"),
    ("a..b", "is neither a host name nor an address"),
    ("203.0.113.10:0", "is not the address of a hub"),
    ("203.0.113.10:65536", "is not the address of a hub"),
    ("a" * 60 + ".example.net", "at most 63: give the IP address here, and this name with --san"),
])
def test_init_refuses_what_no_edge_can_reach(init, tmp_path, address, words):
    code, said, text = init(address)
    assert code == 30 and words in said and said.count("\n") == 1, said
    assert text is None and not (tmp_path / "pki").exists()


@pytest.mark.parametrize("words, said", [
    (["--behind", "192.168.77.0"], "has no prefix length: write 192.168.77.0/LENGTH"),
    (["--network", "10.7.0.0"], "has no prefix length: write 10.7.0.0/LENGTH"),
    (["--network", "10.7.0.0/32"], "has no room for an edge"),
    (["--network", "10.7.0.255/24"], "is the broadcast address"),
    (["--network", "224.1.0.0/16"], "is not in the unicast address space"),
    (["--network", "10.7.0.0/16", "--network", "10.8.0.0/16"], "at most one IPv4 and one IPv6"),
    (["--tunnel", "a" * 16], "15 characters"),
    (["--san", "0.0.0.0"], "is not the address of a host"),
])
def test_init_refuses_options(init, tmp_path, words, said):
    code, text, config = init("203.0.113.10", *words)
    assert code == 30 and said in text and config is None and not (tmp_path / "pki").exists(), text


def test_init_with_options(init, cli, tmp_path):
    code, said, text = init("203.0.113.10", "--network", "10.7.0.0/16", "--network", "fd07::/48",
                            "--tunnel", "hub0", "--port", "4433", "--san", "hub.example.net",
                            "--san", "2001:db8::10")
    assert code == 0 and "hub: 203.0.113.10:4433 (UDP)" in said
    for line in (r"tun_name: \"?hub0", r"remote_port: 4433", r"10\.7\.255\.254/16", r"fd07::fe/48"):
        assert re.search(line, text), text
    shown = cli("pki", "show", tmp_path / "pki/server/203.0.113.10/cert.pem").stdout
    assert all(name in shown for name in ("203.0.113.10", "hub.example.net", "2001:db8::10"))
    # A name more; and again, which changes nothing.
    words = ["203.0.113.10:4433", "--network", "10.7.0.0/16", "--network", "fd07::/48", "--tunnel",
             "hub0", "--san", "other.example.net"]
    assert "renewed the certificate for more names" in init(*words)[1]
    shown = cli("pki", "show", tmp_path / "pki/server/203.0.113.10/cert.pem").stdout
    assert "other.example.net" in shown and "hub.example.net" in shown
    assert "nothing was changed" in init(*words)[1]
    # An edge that uses one of the other names.
    bundle = tmp_path / "edge1.mpquic"
    assert cli("pki", "client", "edge1", "--dir", tmp_path / "pki", "--hub",
               "other.example.net:4433", "--out", bundle).returncode == 0
    assert "server-name" not in bundle.read_text()
    assert "10.7.0.0/16" in bundle.read_text() and "fd07::/48" in bundle.read_text()


def test_init_takes_the_hubs_own_address(init):
    code, said, text = init("hub.example.net", "--network", "10.7.0.1/16")
    assert code == 0 and "10.7.0.1/16" in text and "fd00:200:10::fe/64" in text, said
