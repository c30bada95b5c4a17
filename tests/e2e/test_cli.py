"""The command line: what is printed where, and the exit codes."""
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "deploy/examples/edge-six").glob("*/*.yaml"))

CERT = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"


@pytest.fixture
def run(mpquic, tmp_path):
    """Run mpquic in an empty directory; returns (exit code, standard output, standard error)."""
    def run(*args, stdin=""):
        p = subprocess.run([mpquic, *map(str, args)], input=stdin, capture_output=True, text=True,
                           timeout=30, cwd=tmp_path)
        return p.returncode, p.stdout, p.stderr
    return run


@pytest.fixture
def tls(tmp_path):
    """Files that look like certificates and keys, and a client and a server that name them."""
    (tmp_path / "cert").write_text(CERT)
    (tmp_path / "ca").write_text(CERT)
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "key").chmod(0o600)
    names = f"tls_cert_file: {tmp_path}/cert\ntls_key_file: {tmp_path}/key\n"
    ca = f"tls_ca_file: {tmp_path}/ca\n"
    return {
        "client": "role: client\nremote_addr: 192.0.2.1\nremote_port: 45001\ntun_name: mpq1\n"
                  "tun_cidr: 10.200.1.1/30\n" + names + ca,
        "server": "role: server\nremote_port: 45001\ntun_name: mpq1\ntun_cidr: 10.200.1.2/30\n"
                  + names + ca,
        "server-without-authentication":
            "role: server\nremote_port: 45001\ntun_name: mpq1\ntun_cidr: 10.200.1.2/30\n" + names,
    }


def test_version(run):
    for args in (["--version"], ["-V"], ["version"]):
        code, out, err = run(*args)
        assert (code, err) == (0, "")
        lines = out.splitlines()
        assert re.fullmatch(r"mpquic \d+\.\d+\.\d+", lines[0])
        assert [line.split()[0] for line in lines[1:]] == ["ngtcp2", "nghttp3", "gnutls", "libyaml"]
        assert all(re.match(r"\w+ \d+\.\d+", line) for line in lines)


def test_help_lists_every_verb_and_explains_each(run):
    code, out, err = run("help")
    assert (code, err) == (0, "")
    verbs = re.findall(r"^  ([a-z]+) +\S", out, re.M)
    assert {"tunnel", "check", "print", "version", "help"} <= set(verbs)
    assert run("--help") == run("-h") == (code, out, err)
    for verb in verbs:
        code, text, err = run("help", verb)
        assert (code, err) == (0, "")
        assert text.startswith(f"usage: mpquic {verb}")
        assert max(len(line) for line in text.splitlines()) <= 80


def test_help_of_check(run):
    code, out, _ = run("help", "check")
    assert code == 0
    assert out == """\
usage: mpquic check [-n] FILE ...

Reads each FILE and prints all of its problems, one a line, as
FILE:LINE:COLUMN: error: TEXT; HINT, or warning instead of error. A file
without errors is reported as ok. The files that a configuration names are
looked at too: whether they are there, can be read and hold what they should.
FILE "-" is standard input.

  -n
      Do not look at the certificate, key and token files that the
      configuration names.
"""


@pytest.mark.parametrize("args, says", [
    (["chekc"], "mpquic: unknown verb 'chekc'; did you mean 'check'?\n"),
    (["tunel", "-c", "x"], "mpquic: unknown verb 'tunel'; did you mean 'tunnel'?\n"),
    (["frobnicate"], "mpquic: unknown verb 'frobnicate'; 'mpquic help' lists the verbs\n"),
    (["check"], "mpquic check: no file is named\nusage: mpquic check [-n] FILE ...\n"),
    (["check", "-x", "f"], "mpquic check: unknown option -x\nusage: mpquic check [-n] FILE ...\n"),
    (["print"], "mpquic print: exactly one file is needed\nusage: mpquic print FILE\n"),
    (["print", "a", "b"], "mpquic print: exactly one file is needed\nusage: mpquic print FILE\n"),
    (["help", "chekc"], "mpquic help: unknown verb 'chekc'\nusage: mpquic help [VERB]\n"),
    (["version", "x"], "mpquic version: takes no arguments\nusage: mpquic version\n"),
    (["tunnel"], "mpquic tunnel: option -c FILE is missing\nusage: mpquic tunnel -c FILE\n"),
    (["tunnel", "-c"], "mpquic tunnel: option -c needs an argument\nusage: mpquic tunnel -c FILE\n"),
    (["tunnel", "-c", "a", "b"], "mpquic tunnel: unexpected argument 'b'\n"
                                 "usage: mpquic tunnel -c FILE\n"),
])
def test_wrong_usage_is_exit_2(run, args, says):
    assert run(*args) == (2, "", says)


def test_no_verb_at_all_is_exit_2(run):
    code, out, err = run()
    assert (code, out) == (2, "")
    assert err.startswith("usage: mpquic VERB")


BAD = """\
role: client
bind_ip: enp7s3
remote_add: 1.2.3.4
remote_port: 70000
tun_name: mpq1
tun_cidr: [10.200.1.0/30]
log_level: inf
tls_insecure_skip_verify: true
token_file: /t
"""


def test_check_reports_everything_with_its_place(run, tmp_path):
    (tmp_path / "bad.yaml").write_text(BAD)
    assert run("check", "bad.yaml") == (1, """\
bad.yaml:1:7: error: a client needs remote_addr; add for example 'remote_addr: 203.0.113.10'
bad.yaml:2:10: error: bind_ip: 'enp7s3' is neither an address nor if:NAME; for the interface write if:enp7s3
bad.yaml:3:1: error: unknown key 'remote_add'; did you mean 'remote_addr'?
bad.yaml:4:14: error: remote_port: '70000' is out of range; write 1 to 65535
bad.yaml:6:12: error: tun_cidr: '10.200.1.0/30' is the network address; use an address between the first and the last of the network
bad.yaml:7:12: error: log_level: 'inf' is not one of the values; did you mean 'info'? Values: error, info or debug
bad.yaml:8:27: warning: the server's certificate is not verified: anybody on the way can read and change the traffic, and learns the token; set it to false and name the CA in tls_ca_file
""", "")


def test_check_looks_at_the_files_unless_told_not_to(run, tls, tmp_path):
    (tmp_path / "1.yaml").write_text(tls["client"])
    assert run("check", "1.yaml") == (0, "1.yaml: ok\n", "")
    (tmp_path / "ca").unlink()
    (tmp_path / "key").chmod(0o644)
    assert run("check", "1.yaml") == (
        1, "1.yaml:7:15: warning: tls_key_file: others than its owner can use the file (mode 0644); "
           "run chmod 0600 on it\n"
           "1.yaml:8:14: error: tls_ca_file: cannot read the file: No such file or directory\n", "")
    assert run("check", "-n", "1.yaml") == (0, "1.yaml: ok\n", "")


def test_check_takes_several_files_and_standard_input(run, tls, tmp_path):
    (tmp_path / "good.yaml").write_text(tls["server"])
    (tmp_path / "bad.yaml").write_text(tls["server"] + "colour: red\n")
    assert run("check", "bad.yaml", "good.yaml", "none.yaml", "-", stdin=tls["client"]) == (
        1, "bad.yaml:8:1: error: unknown key 'colour'; the keys are listed in mpquic.yaml(5)\n"
           "good.yaml: ok\n"
           "none.yaml: error: cannot read: No such file or directory\n"
           "-: ok\n", "")


def test_a_server_without_client_authentication_fails_the_check(run, tls, tmp_path):
    (tmp_path / "s.yaml").write_text(tls["server-without-authentication"])
    assert run("check", "s.yaml") == (
        1, "s.yaml:1:7: error: no client authentication configured; add tls_ca_file (clients show "
           "certificates) or tokens_file (clients show tokens)\n", "")


@pytest.mark.parametrize("flag, role, column, line", [
    ("multipath_enabled", "client", 20, 9), ("multi_conn_enabled", "server", 21, 8)])
def test_functions_that_are_not_there_are_named(run, tls, tmp_path, flag, role, column, line):
    (tmp_path / "f.yaml").write_text(tls[role] + f"{flag}: true\n")
    code, out, err = run("check", "f.yaml")
    assert (code, err) == (1, "")
    assert f"f.yaml:{line}:{column}: error: this version cannot" in out
    assert f"({flag}); set it to false" in out


def test_print_fills_in_the_defaults(run, tls, tmp_path):
    (tmp_path / "s.yaml").write_text(tls["server"])
    code, out, err = run("print", "s.yaml")
    assert (code, err) == (0, "")
    assert "mtu: auto\n" in out and "log_level: info\n" in out
    assert "# peer_prefixes: not set (only the peer's own tunnel address)\n" in out
    assert run("print", "-", stdin=out) == (0, out, "")


def test_print_says_what_is_wrong_and_prints_nothing(run, tmp_path):
    code, out, err = run("print", "-", stdin=BAD)
    assert (code, out) == (1, "")
    assert "-:4:14: error: remote_port: '70000' is out of range; write 1 to 65535\n" in err


def test_output_that_cannot_be_written_is_an_error(mpquic):
    with open("/dev/full", "w") as full:
        p = subprocess.run([mpquic, "print", EXAMPLES[0]], stdout=full, stderr=subprocess.PIPE,
                           text=True, timeout=30)
    assert p.returncode == 70
    assert p.stderr == "mpquic print: cannot write the output: No space left on device\n"


def test_the_examples_check_and_print_back_to_themselves(run):
    assert len(EXAMPLES) == 12
    code, out, err = run("check", "-n", *EXAMPLES)
    assert (code, err) == (0, "")
    assert out == "".join(f"{e}: ok\n" for e in EXAMPLES)
    for example in EXAMPLES:
        code, out, err = run("print", example)
        assert (code, err) == (0, "")
        assert run("check", "-n", "-", stdin=out) == (0, "-: ok\n", "")
        assert run("print", "-", stdin=out) == (0, out, "")


def test_tunnel_refuses_a_wrong_configuration(run, tls, tmp_path):
    (tmp_path / "bad.yaml").write_text(tls["client"].replace("45001", "0"))
    code, out, err = run("tunnel", "-c", "bad.yaml")
    assert (code, out) == (1, "")
    assert err == "bad.yaml:3:14: error: remote_port: '0' is out of range; write 1 to 65535\n"
    assert run("tunnel", "-c", "none.yaml") == (
        1, "", "none.yaml: error: cannot read: No such file or directory\n")


def test_tunnel_refuses_files_that_are_missing(run, tls, tmp_path):
    (tmp_path / "key").unlink()
    (tmp_path / "c.yaml").write_text(tls["client"])
    assert run("tunnel", "-c", "c.yaml") == (
        1, "", "c.yaml:7:15: error: tls_key_file: cannot read the file: No such file or "
               "directory\n")


def test_tunnel_refuses_to_serve_everybody(run, tls, tmp_path):
    text = tls["server-without-authentication"]
    (tmp_path / "s.yaml").write_text(text)
    code, out, err = run("tunnel", "-c", "s.yaml")
    assert (code, out) == (25, "")
    assert err.startswith("s.yaml:1:7: error: no client authentication configured; ")
    # with another error beside it, it is an ordinary one
    (tmp_path / "s.yaml").write_text(text + "colour: red\n")
    assert run("tunnel", "-c", "s.yaml")[0] == 1


# ---- manual pages ----

def manual(build, page):
    source = build / "man" / page
    if not source.exists():
        pytest.skip("the manual pages are not built")
    p = subprocess.run(["mandoc", "-T", "ascii", source], capture_output=True, text=True, check=True)
    return re.sub(".\b", "", p.stdout)


def test_every_key_is_in_the_manual(run, build):
    page = manual(build, "mpquic.yaml.5")
    for example in EXAMPLES:
        for key in re.findall(r"^(?:# )?([a-z_]+):", run("print", example)[1], re.M):
            assert re.search(rf"^     {key}\b", page, re.M), key


def test_every_verb_and_exit_code_is_in_the_manual(run, build):
    page = manual(build, "mpquic.8")
    for verb in re.findall(r"^  ([a-z]+) +\S", run("help")[1], re.M):
        assert f"mpquic {verb}" in page
    header = (ROOT / "src/base/exitcode.h").read_text()
    codes = re.findall(r"X\(EXIT_CODE_\w+, (\d+),", header)
    assert len(codes) > 10
    for code in codes:
        assert re.search(rf"^     {code} +[A-Z]", page, re.M), code
