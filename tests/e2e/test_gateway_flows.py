"""`mpquic gateway flows`, at the hub of the site: what the LANs send comes out of tunnels (here cables,
as in test_gateway.py) and leaves translated by one interface.
"""
import json

import pytest
from gateway import Gateway, cables
from lab import Lab, wait_until
from traffic import ping

# As deploy/examples/gateway-six/hub.yaml, with two tunnels.
HUB = """
links:
  - {name: internet, device: eth0, table: 110, masquerade: true}
  - {name: mpq1, type: tunnel, device: mpq1, prefixes: 172.16.1.0/30}
  - {name: mpq2, type: tunnel, device: mpq2, prefixes: 172.16.2.0/30}
policies:
  - {ingress: mpq1, pin: internet, priority: 1001}
  - {ingress: mpq2, pin: internet, priority: 1002}
forward: drop
"""


@pytest.fixture(scope="module")
def site(build, mpquic, lab_name):
    with Lab(lab_name, build=build, wans=2, profiles=["bare"] * 2) as lab:
        cables(lab)
        for setting in ("acct", "timestamp"):
            lab.exec("hub", "sysctl", "-qw", f"net.netfilter.nf_conntrack_{setting}=1")
        for i in (1, 2):
            lab.exec("edge", "sh", "-ec", f"""
                ip route add default dev mpq{i} table {99 + i}
                ip rule add priority {1000 + i} iif enp6s{19 + i} lookup {99 + i}
                """)
        yield lab


@pytest.fixture(scope="module")
def hub(site):
    file = site.state / "hub.yaml"
    file.write_text(HUB)
    g = Gateway(site, "hub", file).start()
    yield g
    g.stop()
    g.verb("down", file=False)


def flows(hub, *options):
    return json.loads(hub.verb("flows", "--json", *options).stdout)


def pings(site, *lans):
    for i in lans:
        assert ping(site, f"lan{i}", site.inet4, 2, 0.05).received == 2


def of(told, link):
    return [f for f in told["flows"] if f["link"] == link]


def test_each_flow_has_its_link_and_policy(site, hub):
    pings(site, 1, 2)
    found = {f["source"]["address"]: f for f in of(flows(hub), "internet")
             if f["protocol"] == "icmp" and not f["here"]}
    for i in (1, 2):
        f = found[f"172.16.{i}.2"]
        assert f["policy"] == f"mpq{i}" and f["known_by"] == "address" and not f["inbound"]
        assert f["source_as"]["address"] == site.hub4 and f["destination_as"] is None
        assert f["destination"]["address"] == site.inet4 and f["answered"]
        assert f["sent"]["packets"] == f["received"]["packets"] == 2
        assert f["age_seconds"] >= 0 and f["timeout_seconds"] > 0
    text = hub.verb("flows").stdout
    assert f"internet icmp 172.16.1.2 -> {site.inet4}, as {site.hub4}, policy of mpq1" in text


def test_what_the_machine_itself_does_is_told_apart(site, hub):
    assert ping(site, "hub", site.inet4, 1).received == 1
    assert ping(site, "inet", site.hub4, 1).received == 1
    mine = [f for f in of(flows(hub), "internet") if f["here"] and f["protocol"] == "icmp"]
    assert {f["inbound"] for f in mine} == {False, True}
    assert all(f["policy"] is None and f["source_as"] is None for f in mine)


def test_sums_are_of_all_flows_however_few_are_told(site, hub):
    pings(site, 1, 2)
    told = flows(hub, "--limit", 1)
    everything = flows(hub, "--limit", 100000)
    assert told["flows_shown"] == len(told["flows"]) == 1
    assert told["flows_total"] >= 2
    internet = next(s for s in everything["links"] if s["link"] == "internet")
    assert internet["flows"] == len(of(everything, "internet"))
    assert internet["translated"] >= 2
    assert internet["sent"]["packets"] == sum(f["sent"]["packets"]
                                              for f in of(everything, "internet"))
    one = flows(hub, "--link", "mpq1")
    assert [s["link"] for s in one["links"]] == ["mpq1"] and not one["flows"]


def test_a_flush_ends_the_flows_of_one_link(site, hub):
    """An end of theirs: the next packets of the same flow go on as a new one."""
    running = site.popen("lan1", "ping", "-n", "-i", "0.05", site.inet4,
                         log=site.state / "flushed.log")
    wait_until(lambda: any(f["source"]["address"] == "172.16.1.2" for f in flows(hub)["flows"]),
               5, "the flow is there")
    site.exec("hub", "ping", "-c", 1, "10.200.2.1")
    others = len(of(flows(hub), "mpq2"))
    assert others
    said = flows(hub, "--flush", "--link", "internet")
    assert said["link"] == "internet" and said["flows_deleted"] >= 1
    assert len(of(flows(hub), "mpq2")) == others
    wait_until(lambda: any(f["source"]["address"] == "172.16.1.2" and f["answered"]
                           and f["sent"]["packets"] < 100 for f in flows(hub)["flows"]),
               5, "it is there again")
    site.stop(running)
    text = hub.verb("flows", "--flush", "--link", "internet").stdout
    assert text.startswith("internet: ") and text.endswith(" flows deleted\n")


@pytest.mark.parametrize("options,said", [
    (["--flush"], "--flush needs --link"),
    (["--link", "nobody"], "has no link 'nobody'"),
    (["--limit", "0"], "'0' is not a number from 1 to "),
])
def test_what_cannot_be_asked(hub, options, said):
    p = hub.verb("flows", *options, check=False)
    assert p.returncode == 2 and said in p.stderr
