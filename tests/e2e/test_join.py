"""A new user's first connection: mpquic init on the hub, a bundle, mpquic join on the edge.

    lan1 --- edge === wan1 === hub --- inet
"""
import os
import re
import shutil
import time

import pytest
from certs import Authority
from clock import DAY, YEAR_2000, Clock, source_date
from lab import Lab, LabError, wait_until
from tunnel import ETC, Tunnel, reachable

START, CERT_TIME, REVOKED, NO_ANSWER, FILES = 10, 21, 27, 28, 30


class Machine:
    """A node with an /etc of its own, as a fresh machine has one."""

    def __init__(self, lab, node, program):
        self.lab, self.node, self.program = lab, node, program
        self.etc = lab.state / f"etc-{node}"
        self.etc.mkdir()
        for name in ETC:
            source = f"/etc/{name}"
            if os.path.isdir(source):
                shutil.copytree(source, self.etc / name)
            elif os.path.exists(source):
                shutil.copy(source, self.etc / name)
        self.config = self.etc / "mpquic"
        self.end = None

    def mpquic(self, *words, check=True):
        return self.lab.exec(self.node, self.program, *words, etc=self.etc, check=check, timeout=90)

    def start(self, said):
        """Start what a command told to start."""
        line = re.search(r"^start it with: mpquic tunnel -c (\S+)$", said, re.M).group(1)
        self.end = Tunnel(self.lab, self.node, line, self.etc).start()
        return self.end

    def files(self):
        return sorted(str(p.relative_to(self.config)) for p in self.config.rglob("*"))


@pytest.fixture(scope="module")
def site(build, mpquic, lab_name):
    with Lab(lab_name, build=build, wans=1, profiles=["bare"]) as lab:
        lab.wan(1).set("both", "rate=50m delay=5ms queue=50ms")
        lab.machines = {node: Machine(lab, node, mpquic) for node in ("edge", "hub")}
        hub = lab.machines["hub"]
        lab.made = hub.mpquic("init", lab.hub4, "--behind", "172.16.1.0/30", "--behind",
                              "fd16:0:0:1::/64", "--no-start").stdout
        hub.start(lab.made).wait_line("listening")
        yield lab


def bundle(site, name, *words):
    """Have the hub write the bundle of an edge; returns where it is."""
    file = site.state / f"{name}.mpquic"
    site.machines["hub"].mpquic("pki", "client", name, "--out", file, *words)
    assert file.stat().st_mode & 0o777 == 0o600
    return file


def refused(site, code, *words):
    """Join fails with this exit code and one line, and has written nothing."""
    edge = site.machines["edge"]
    before = edge.files() if edge.config.exists() else []
    result = edge.mpquic("join", *words, "--no-start", check=False)
    assert result.returncode == code, result
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert (edge.files() if edge.config.exists() else []) == before
    return result.stderr


def test_a_second_init_changes_nothing(site):
    hub = site.machines["hub"]
    before = {f: (hub.config / f).stat().st_ino for f in hub.files()}
    again = hub.mpquic("init", site.hub4, "--behind", "172.16.1.0/30", "--behind",
                       "fd16:0:0:1::/64", "--no-start")
    assert "nothing was changed" in again.stdout
    assert {f: (hub.config / f).stat().st_ino for f in hub.files()} == before
    other = hub.mpquic("init", site.hub4, "--no-start", check=False)
    assert other.returncode == FILES and "--force" in other.stderr
    assert {f: (hub.config / f).stat().st_ino for f in hub.files()} == before


def test_join_and_traffic(site):
    edge, hub = site.machines["edge"], site.machines["hub"]
    file = bundle(site, "edge1")
    result = edge.mpquic("join", file, "--no-start")
    assert "clock: ok" in result.stdout
    assert f"hub: {site.hub4}:45010 accepts us" in result.stdout
    assert int(re.search(r"packets of up to (\d+) bytes", result.stdout).group(1)) > 1380
    assert (edge.config / "tls/edge1/key.pem").stat().st_mode & 0o777 == 0o600
    written = (edge.config / "edge1.yaml").read_text()
    assert "routes:" in written and 'tun_network: ["10.200.10.0/24", "fd00:200:10::/64"]' in written
    edge.start(result.stdout).wait_line("tunnel: assigned 10.200.10.1/32, fd00:200:10::1/128")
    for family in ("-4", "-6"):
        site.exec("edge", "ip", family, "rule", "add", "iif", site.lan_interface(1), "lookup", "100")
    wait_until(lambda: "dev mpq0" in site.exec("edge", "ip", "route", "show", "table", "100",
                                               check=False).stdout, 20, "the route into the tunnel")
    ends = (edge.end, hub.end)
    reachable(site, "lan1", "10.200.10.254", ends=ends)
    # the edge itself, which has its own way to the Internet, reaches the hub inside the tunnel
    reachable(site, "edge", "10.200.10.254", ends=ends)
    reachable(site, "edge", "fd00:200:10::fe", ends=ends)
    assert "dev mpq0" not in site.exec("edge", "ip", "route", "get", site.inet4).stdout
    reachable(site, "lan1", site.inet4, ends=ends)
    reachable(site, "lan1", site.inet6, ends=ends)
    assert "there already" in refused(site, FILES, file)


def test_a_check_does_not_disturb_the_tunnel(site):
    edge = site.machines["edge"]
    reachable(site, "lan1", site.inet4)
    ups = edge.end.text().count("tunnel: up")
    edge.mpquic("join", site.state / "edge1.mpquic", "--no-start", "--name", "other")
    reachable(site, "lan1", site.inet4)
    assert edge.end.text().count("tunnel: up") == ups


def test_the_tunnels_network_follows_the_configuration(site):
    edge, ends = site.machines["edge"], [m.end for m in site.machines.values()]
    file = edge.config / "edge1.yaml"
    before = file.read_text()

    def addresses():
        said = site.exec("edge", "ip", "-o", "address", "show", "dev", "mpq0", "scope", "global").stdout
        return sorted(length for length in re.findall(r"(?:10\.200\.10|fd00:200:10:)\S+(/\d+)", said))

    assert addresses() == ["/24", "/64"]
    file.write_text(re.sub("^tun_network:.*\n", "", before, flags=re.M))
    edge.end.ask("reload")
    assert addresses() == ["/128", "/32"]
    file.write_text(before)
    edge.end.ask("reload")
    assert addresses() == ["/24", "/64"]
    reachable(site, "edge", "10.200.10.254", ends=ends)
    reachable(site, "edge", "fd00:200:10::fe", ends=ends)


def test_a_fixed_address_and_network(site):
    """What a bundle fixes the hub knows at once: the entry is in its file and in force."""
    hub, edge = site.machines["hub"], site.machines["edge"]
    before = (hub.config / "hub.yaml").read_text()
    words = ["--address", "10.200.10.77", "--address", "fd00:200:10::77/64", "--behind", "172.16.9.0/24"]
    made = hub.mpquic("pki", "client", "fixed", "--out", site.state / "fixed.mpquic", *words).stdout
    assert "added fixed to peers; the running hub has taken it over" in made
    entry = ('  - name: "fixed"\n    addresses: ["10.200.10.77", "fd00:200:10::77"]\n'
             '    prefixes: ["172.16.9.0/24"]\n')
    assert (hub.config / "hub.yaml").read_text() == before + "peers:\n" + entry
    bundle(site, "fixed2", "--address", "10.200.10.78/24")
    text = (hub.config / "hub.yaml").read_text()
    assert text.endswith("peers:\n  - name: \"fixed2\"\n    addresses: [\"10.200.10.78\"]\n" + entry)

    file = site.state / "fixed.mpquic"
    edge.mpquic("join", file, "--no-start", "--tunnel", "mpq8")
    assert 'tun_cidr: ["10.200.10.77/24", "fd00:200:10::77/64"]' in (edge.config / "fixed.yaml").read_text()
    with Tunnel(site, "edge", "/etc/mpquic/fixed.yaml", edge.etc) as end:
        end.wait_line("tunnel: assigned 10.200.10.77/32, fd00:200:10::77/128$")
        # the check takes nothing away from the running tunnel, and has no address
        again = edge.mpquic("join", file, "--no-start", "--tunnel", "mpq8", "--force")
        assert "accepts us" in again.stdout
        assert end.text().count("tunnel: up") == 1

    # once more says the same, and something else is not for us to decide
    made = hub.mpquic("pki", "renew", "fixed", "--out", site.state / "fixed.mpquic", *words).stdout
    assert "has this in peers already" in made
    assert (hub.config / "hub.yaml").read_text() == text
    for name, address, why in (("fixed", "10.200.10.79", "says something else"),
                               ("fixed3", "10.200.10.77", "given twice"),
                               ("fixed3", "10.200.10.254", "this server's own"),
                               ("fixed3", "10.9.9.9", "in no network of tun_cidr"),
                               ("fixed3", "10.9.9.9/24", "in no network of tun_cidr")):
        result = hub.mpquic("pki", "client", name, "--address", address, check=False)
        assert result.returncode == FILES and why in result.stderr, result
    assert hub.mpquic("pki", "show", "fixed3", check=False).returncode == FILES
    assert (hub.config / "hub.yaml").read_text() == text


def test_a_fixed_address_without_the_hubs_file(site):
    """The authority is on another machine: it is told what to add there."""
    elsewhere = site.state / "elsewhere"
    edge = site.machines["edge"]
    edge.mpquic("pki", "init", "--dir", elsewhere)
    made = edge.mpquic("pki", "client", "far", "--dir", elsewhere, "--hub", site.hub4, "--out", "-",
                       "--address", "10.200.10.80/24")
    assert made.stdout.startswith("mpquic-bundle") and made.stdout.endswith("[end]\n")
    assert made.stderr.endswith('peers:\n  - name: "far"\n    addresses: ["10.200.10.80"]\n')
    result = edge.mpquic("pki", "client", "far2", "--dir", elsewhere, "--hub", site.hub4,
                         "--address", "10.200.10.80", check=False)
    assert result.returncode == FILES and "write ADDRESS/LENGTH" in result.stderr


def test_a_closed_port(site):
    """Nobody listens: the hub's kernel says so."""
    file = bundle(site, "edge2", "--hub", f"{site.hub4}:45999")
    assert "refuses UDP" in refused(site, NO_ANSWER, file)


def test_a_blocked_port(site):
    """A firewall that swallows."""
    file = bundle(site, "edge3")
    site.exec("hub", "nft", "add table inet block; add chain inet block in "
              "{ type filter hook input priority 0; }; add rule inet block in udp dport 45010 drop")
    try:
        said = refused(site, NO_ANSWER, file)
        assert "no answer" in said and "firewall" in said
    finally:
        site.exec("hub", "nft", "delete table inet block")


def test_no_such_wan(site):
    file = bundle(site, "edge4")
    assert "nowhere0" in refused(site, START, file, "--bind", "if:nowhere0")


def test_a_small_mtu_is_told(site):
    edge = site.machines["edge"]
    file = bundle(site, "edge5")
    site.set_path_mtu(1, 1280)
    try:
        result = edge.mpquic("join", file, "--no-start", "--config-dir", site.state / "small")
        told = re.search(r"packets of up to (\d+) bytes in the tunnel \((\d+) bytes of UDP\)",
                         result.stdout)
        # Between our own ends packets may be larger than datagrams.
        assert int(told[1]) == 1500 and 1200 <= int(told[2]) <= 1280 - 28
    finally:
        site.set_path_mtu(1, 1500)


def test_damaged_bundles(site):
    whole = bundle(site, "edge6").read_text()
    damaged = site.state / "damaged.mpquic"
    for text, word in ((whole[:len(whole) // 2], "cut short"), (whole.replace("[end]\n", ""), "cut short"),
                       (whole.replace("name: edge6", "name: ../../etc/cron.d/x"), "line"),
                       ("", "cut short"), ("hello\n", "not a bundle")):
        damaged.write_text(text)
        assert word in refused(site, FILES, damaged)


def bundle_of(site, name, since, days=365):
    """A bundle of another authority than the hub's, with a certificate of that time."""
    ca = Authority(site.state / f"ca-{name}", since=since, days=days)
    cert, key = ca.issue(name, name)
    file = ca.directory / f"{name}.mpquic"
    pem = [re.search(r"-----BEGIN.*-----END[^\n]*\n", p.read_text(), re.S).group(0)
           for p in (ca.cert, cert, key)]
    file.write_text(f"mpquic-bundle 1\nname: {name}\nhub: {site.hub4}\n[ca]\n{pem[0]}[certificate]\n"
                    f"{pem[1]}[key]\n{pem[2]}[end]\n")
    return file


@pytest.mark.parametrize("name, years, word", [("late", -6, "ended at"), ("early", 60, "begins at")])
def test_the_clock_is_wrong(site, name, years, word):
    """Certificates whose time this machine's clock is not in."""
    file = bundle_of(site, name, int(time.time()) + years * 365 * DAY)
    said = refused(site, CERT_TIME, file)
    assert word in said and "set the clock" in said


def test_the_clock_has_no_battery(site, build):
    """It says the year 2000: the date of the program and the time that an instance of this name has
    saved are known to be past, and count for the check of the hub too."""
    made = source_date(build)
    edge = site.machines["edge"]
    saved = site.directories("edge")["MPQUIC_STATE_DIR"] / "new1.time"
    words = ["--no-start", "--config-dir", site.state / "battery"]
    with Clock(site.state, "edge", at=YEAR_2000):
        old = bundle_of(site, "old1", made - 1000 * DAY, 30000)
        result = edge.mpquic("join", old, *words, "--no-check")
        assert "the clock is behind" in result.stderr
        new = bundle_of(site, "new1", made + 10 * DAY)
        said = refused(site, CERT_TIME, new)
        assert "clock says 2000-01-01" in said and "begins at" in said
        saved.write_text(f"{made + 20 * DAY}\n")
        edge.mpquic("join", new, *words, "--no-check")
        saved.write_text(f"{made + 400 * DAY}\n")
        assert "ended at" in refused(site, CERT_TIME, new)
    file = bundle(site, "edge7")
    (saved.parent / "edge7.time").write_text(f"{int(time.time())}\n")
    with Clock(site.state, "edge", at=YEAR_2000):
        result = edge.mpquic("join", file, *words)
    assert "the clock is behind" in result.stderr and "accepts us" in result.stdout


def test_revocation_ends_the_session(site):
    edge, hub = site.machines["edge"], site.machines["hub"]
    reachable(site, "lan1", site.inet4)
    hub.mpquic("pki", "revoke", "edge1")
    wait_until(lambda: not edge.end.running() or "revoked" in edge.end.text(), 30,
               "the session ends")
    with pytest.raises(LabError):
        reachable(site, "lan1", site.inet4, timeout=3)
    said = refused(site, REVOKED, site.state / "edge1.mpquic", "--force")
    assert "revoked" in said or "rejected" in said
