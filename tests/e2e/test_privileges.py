"""What the two processes of an instance are to the kernel, and that neither outlives the other."""
import os
import pathlib
import shutil
import signal
import time

import pytest
from lab import Lab, wait_until
from traffic import ping
from tunnel import Site, Tunnel, client_keys, reachable, server_keys, write_config

# Of linux/capability.h.
DAC_READ_SEARCH, NET_BIND_SERVICE, NET_ADMIN, NET_RAW = 2, 10, 12, 13


@pytest.fixture(scope="module")
def site(build, mpquic, lab_name):
    with Lab(lab_name, build=build, wans=1, profiles=["bare"]) as lab:
        certificates = lab.certificates = Site(lab)
        files = {"hub": write_config(lab.state / "server.yaml", **server_keys(1)),
                 "edge": write_config(lab.state / "client.yaml", **client_keys(1, lab.hub4))}
        lab.ends = {node: Tunnel(lab, node, file, certificates.etc[node]).start()
                    for node, file in files.items()}
        reachable(lab, "edge", "10.200.1.2")
        yield lab


def data_plane(end):
    pid = end.process.pid
    return int(pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def status(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.split() for key, _, value in (line.partition(":") for line in lines)}


@pytest.mark.parametrize("node", ["edge", "hub"])
def test_the_data_plane_has_nothing(site, node):
    s = status(data_plane(site.ends[node]))
    assert len(set(s["Uid"])) == 1 and s["Uid"][0] != "0"
    assert len(set(s["Gid"])) == 1 and s["Gid"][0] != "0"
    assert s["Groups"] == []
    for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(s[key][0], 16) == 0, key
    assert s["NoNewPrivs"] == ["1"] and s["Seccomp"] == ["2"]


@pytest.mark.parametrize("node", ["edge", "hub"])
def test_the_helper_has_what_it_needs(site, node):
    s = status(site.ends[node].process.pid)
    needed = sum(1 << cap for cap in (DAC_READ_SEARCH, NET_BIND_SERVICE, NET_ADMIN, NET_RAW))
    assert int(s["CapEff"][0], 16) == int(s["CapPrm"][0], 16) == needed
    for key in ("CapInh", "CapBnd", "CapAmb"):
        assert int(s[key][0], 16) == 0, key
    assert s["NoNewPrivs"] == ["1"] and s["Seccomp"] == ["2"]


def test_neither_has_descriptors_of_who_started_it(site):
    """Standard streams, and what it opened itself: no file, no directory."""
    for end in site.ends.values():
        for pid in (end.process.pid, data_plane(end)):
            links = {int(fd): os.readlink(f"/proc/{pid}/fd/{fd}")
                     for fd in os.listdir(f"/proc/{pid}/fd")}
            others = {fd: link for fd, link in links.items() if fd > 2 and link.startswith("/")
                      and link != "/dev/net/tun"}
            assert others == {}


@pytest.mark.parametrize("which", ["helper", "data plane"])
@pytest.mark.parametrize("node", ["edge", "hub"])
def test_both_end_when_one_is_killed(site, node, which):
    end = site.ends[node]
    child = data_plane(end)
    os.kill(end.process.pid if which == "helper" else child, signal.SIGKILL)
    code = end.wait_exit()
    assert code == (-signal.SIGKILL if which == "helper" else 70)
    wait_until(lambda: not pathlib.Path(f"/proc/{child}").exists(), 5, "the data plane is gone")
    end.start()
    reachable(site, "edge", "10.200.1.2", ends=site.ends.values())
    assert ping(site, "edge", "10.200.1.2", 3, 0.05).received == 3


def test_a_signal_to_the_helper_ends_both_well(site):
    end = site.ends["edge"]
    child = data_plane(end)
    assert end.stop() == 0, end.text()
    assert not pathlib.Path(f"/proc/{child}").exists()
    end.start()
    reachable(site, "edge", "10.200.1.2", ends=site.ends.values())


def test_the_time_is_saved_and_never_goes_back(site):
    """The edge's clock stands for one that has stopped: by the saved time its hub's certificate has
    expired (exit 21)."""
    end, hub = site.ends["edge"], site.ends["hub"]
    file = site.directories("edge")["MPQUIC_STATE_DIR"] / f"{end.config.stem}.time"
    reachable(site, "edge", "10.200.1.2", ends=site.ends.values())
    assert end.stop() == 0
    saved = int(file.read_text())
    assert abs(saved - time.time()) < 60
    tls = hub.etc / "mpquic" / "tls"
    lasting = {name: (tls / name).read_bytes() for name in ("server.crt", "server.key")}
    for path in site.certificates.authority.issue("brief", "hub", server=True, days=10,
                                                  hosts=[site.hub4, site.hub6]):
        (tls / f"server{path.suffix}").write_bytes(path.read_bytes())
    hub.stop()
    hub.start()
    file.write_text(f"{saved + 20 * 86400}\n")
    end.start()
    assert end.wait_exit() == 21, end.text()
    for name, data in lasting.items():
        (tls / name).write_bytes(data)
    hub.stop()
    hub.start()
    for text in ("", "x\n", "-5\n", "99999999999999999999999\n"):  # not ours, or half written
        file.write_text(text)
        end.start()
        reachable(site, "edge", "10.200.1.2", ends=site.ends.values())
        assert end.stop() == 0
    end.start()


@pytest.mark.parametrize("node", ["edge", "hub"])
@pytest.mark.parametrize("days", [40, 3650, 10**9])
def test_a_time_far_ahead_is_not_believed(site, days, node):
    """A clock that was wrong once has been saved: by it our own certificate has ended, and so has
    everybody's. Nobody is locked out, and it is said until it is written over."""
    end = site.ends[node]
    reachable(site, "edge", "10.200.1.2", ends=site.ends.values())
    assert end.stop() == 0
    file = site.directories(node)["MPQUIC_STATE_DIR"] / f"{end.config.stem}.time"
    file.write_text(f"{int(time.time()) + days * 86400}\n")
    end.log.unlink()
    end.start()
    reachable(site, "edge", "10.200.1.2", ends=site.ends.values())
    assert "too far ahead to be true" in end.text()
    assert any("too far ahead to be true" in w for w in end.status()["warnings"])
    assert end.stop() == 0
    assert abs(int(file.read_text()) - time.time()) < 60
    end.start()


def test_a_time_ahead_is_a_warning(site):
    """It may be the clock that is wrong: the time is believed, and status says by what it checks."""
    end = site.ends["edge"]
    assert end.stop() == 0
    file = site.directories("edge")["MPQUIC_STATE_DIR"] / f"{end.config.stem}.time"
    file.write_text(f"{int(time.time()) + 5 * 86400}\n")
    end.start()
    reachable(site, "edge", "10.200.1.2", ends=site.ends.values())
    assert any("behind what is known of the time" in w for w in end.status()["warnings"])
    assert end.stop() == 0
    file.unlink()
    end.start()


def test_a_state_directory_that_cannot_be_written_is_one_line(site):
    end = site.ends["edge"]
    directory = site.directories("edge")["MPQUIC_STATE_DIR"]
    reachable(site, "edge", "10.200.1.2", ends=site.ends.values())
    shutil.rmtree(directory, ignore_errors=True)
    directory.write_text("a file\n")
    assert end.stop() == 0
    assert end.text().count("state: cannot save the time") == 1
    directory.unlink()
    end.start()
    reachable(site, "edge", "10.200.1.2", ends=site.ends.values())
