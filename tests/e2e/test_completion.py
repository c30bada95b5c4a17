"""Completion of the command line by bash: what it offers, and that a shell finds it."""
import os
import pty
import re
import subprocess

import pytest

BASH = ["bash", "--noprofile", "--norc"]


@pytest.fixture(scope="session")
def script(mpquic):
    return mpquic.parent / "completion" / "mpquic"


@pytest.fixture
def complete(script, tmp_path):
    """What is offered for the last of the words, as bash splits them."""
    def run(*words):
        result = subprocess.run(
            [*BASH, "-uc", 'source "$1"; COMP_WORDS=(mpquic "${@:2}"); COMP_CWORD=$(($# - 1))\n'
             '_mpquic; printf "%s\\n" "${COMPREPLY[@]}"', "bash", script, *words],
            capture_output=True, text=True, cwd=tmp_path, timeout=20,
            env={**os.environ, "MPQUIC_RUN_DIR": str(tmp_path)})
        assert not result.stderr, result.stderr
        return set(result.stdout.split())
    return run


def described(mpquic, *verb):
    """Sub-verbs and long options as help tells them."""
    text = subprocess.run([mpquic, "help", *verb], capture_output=True, text=True, check=True,
                          timeout=20).stdout
    subs = {s.split()[-1] for s in re.findall(r"^  ([a-z]+(?: [a-z]+)?)  ", text, flags=re.M)}
    return subs, set(re.findall(r"^  -\w, (--[\w-]+)", text, flags=re.M))


def test_verbs_sub_verbs_and_options_are_those_of_help(mpquic, complete):
    verbs, _ = described(mpquic)
    assert {"tunnel", "status", "pki"} <= verbs == complete("")
    assert complete("help", "") == verbs
    for verb in verbs - {"help"}:
        subs, options = described(mpquic, verb)
        assert options <= complete(verb, "-"), verb
        if not subs:
            continue
        assert complete(verb, "") == complete("help", verb, "") == subs, verb
        for sub in subs:
            _, options = described(mpquic, verb, sub)
            assert options <= complete(verb, sub, "-"), f"{verb} {sub}"


def test_only_what_begins_like_the_word(complete):
    assert complete("sta") == {"status"}
    assert complete("pki", "re") == {"renew", "revoke"}
    assert complete("status", "--j") == {"--json"}
    assert complete("nothing", "") == complete("version", "x") == set()


def test_instances_are_those_of_the_run_directory(complete, tmp_path):
    for name in ("one", "two.3"):
        (tmp_path / f"{name}.sock").touch()
    for verb in ("status", "peers", "reload"):
        assert {"one", "two.3"} <= complete(verb, ""), verb
        assert complete(verb, "--json", "tw") == {"two.3"}


def test_files_and_interfaces(complete, tmp_path):
    (tmp_path / "edge.yaml").touch()
    (tmp_path / "ed").mkdir()
    assert complete("check", "e") == complete("tunnel", "-c", "e") == {"edge.yaml", "ed"}
    assert complete("check", "other", "e") == {"edge.yaml", "ed"}
    assert complete("pki", "init", "--dir", "e") == {"ed"}
    assert complete("pki", "init", "--dir", "=", "e") == complete("pki", "init", "--dir", "=") == {
        "ed"}
    assert complete("pki", "init", "--days", "") == set()
    assert complete("join", "--tunnel", "l") == {"lo"}
    assert complete("tun", "ensure", "") == {"-c", "--help"}


def test_a_shell_completes_what_is_typed(script, mpquic):
    pid, terminal = pty.fork()
    if not pid:
        os.execvpe("bash", BASH, {"PS1": "", "PATH": f"{mpquic.parent}:{os.environ['PATH']}",
                                  "TERM": "dumb", "INPUTRC": "/dev/null"})
    try:
        os.write(terminal, f"source {script}; echo rea'dy'\n".encode())
        seen = b""
        while b"ready" not in seen:
            seen += os.read(terminal, 4096)
        os.write(terminal, b"mpquic pk\tsh\t--j\t; exit\n")
        while True:
            try:
                more = os.read(terminal, 4096)
            except OSError:  # the shell has ended
                break
            seen += more
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)
    assert b"mpquic pki show --json " in seen
