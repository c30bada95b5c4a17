"""Either end may vanish and return: traffic comes back without help.

    lan1 --- edge === wan1 === hub --- inet
"""
import signal

import pytest
from lab import Lab
from traffic import ping
from tunnel import Site, Tunnel, client_keys, reachable, server_keys, write_config


@pytest.fixture(scope="module")
def site(build, mpquic, lab_name):
    with Lab(lab_name, build=build, wans=1, profiles=["bare"]) as lab:
        lab.wan(1).set("both", "rate=50m delay=5ms queue=50ms")
        certificates = Site(lab)
        files = {"hub": write_config(lab.state / "server.yaml", **server_keys(1)),
                 "edge": write_config(lab.state / "client.yaml", **client_keys(1, lab.hub4))}
        for node, file in files.items():
            setattr(lab, f"{node}_end", Tunnel(lab, node, file, certificates.etc[node]).start())
        reachable(lab, "edge", "10.200.1.2")
        lab.route_tunnel(1)
        reachable(lab, "lan1", lab.inet4)
        yield lab


def works(lab, timeout=60):
    reachable(lab, "lan1", lab.inet4, timeout=timeout)
    reachable(lab, "lan1", lab.inet6, timeout=timeout)
    reachable(lab, "inet", "172.16.1.2", timeout=timeout)
    result = ping(lab, "lan1", lab.inet4, 10, 0.05)
    assert result.received == 10


@pytest.mark.parametrize("node", ["edge", "hub"])
@pytest.mark.parametrize("how", ["kill", "stop"])
def test_one_end_restarts(site, node, how):
    end = site.edge_end if node == "edge" else site.hub_end
    works(site)
    if how == "kill":
        end.kill()
    else:
        assert end.stop() == 0, end.text()
    assert ping(site, "lan1", site.inet4, 2, 0.1, ["-W", "1"]).received == 0
    end.start()
    works(site)


def test_one_signal_more_says_nothing(site):
    """Whoever stops it twice, or a hundred times, gets the same end and the same lines."""
    end = site.edge_end
    before = end.text().count("helper: ")
    for _ in range(100):
        if not end.running():
            break
        end.process.send_signal(signal.SIGTERM)
    assert end.wait_exit() == 0, end.text()
    assert end.text().count("helper: ") == before, end.text()[-2000:]
    end.start()
    works(site)


def test_the_edge_restarts_again_and_again(site):
    """After any number of reconnects nothing stale takes the return packets (R-1.8)."""
    for _ in range(5):
        site.edge_end.kill()
        site.edge_end.start()
        reachable(site, "lan1", site.inet4)
    works(site)


def test_both_ends_restart(site):
    site.hub_end.kill()
    site.edge_end.kill()
    site.edge_end.start()  # it has nobody to talk to for a while
    site.edge_end.wait_line("connecting")
    site.hub_end.start()
    works(site)


def test_the_wan_is_a_black_hole_for_a_while(site):
    works(site)
    site.wan(1).set("both", "down=1")
    assert ping(site, "lan1", site.inet4, 2, 0.1, ["-W", "1"]).received == 0
    site.wan(1).set("both", "down=0")
    works(site)
    assert site.edge_end.running() and site.hub_end.running()


def test_the_wan_gets_another_address(site):
    """DHCP gives another address: if:NAME follows it (R-1.4)."""
    works(site)
    for command in ("address del 10.150.1.2/24 dev enp7s3", "address add 10.150.1.77/24 dev enp7s3",
                    "route replace default via 10.150.1.1 dev enp7s3 metric 101"):
        site.exec("edge", "ip", *command.split())
    works(site)
    assert site.edge_end.running()


def test_the_wan_loses_its_address_and_gets_it_back(site):
    """An offline modem: the instance waits, its process stays (R-2.9)."""
    works(site)
    site.exec("edge", "ip", "-4", "address", "flush", "dev", "enp7s3")
    assert ping(site, "lan1", site.inet4, 2, 0.1, ["-W", "1"]).received == 0
    for command in ("address add 10.150.1.2/24 dev enp7s3",
                    "route replace default via 10.150.1.1 dev enp7s3 metric 101"):
        site.exec("edge", "ip", *command.split())
    works(site)
    assert site.edge_end.running()
