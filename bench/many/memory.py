#!/usr/bin/python3
"""What a hub needs for each connected idle peer: resident memory of the real process, measured.

usage: memory.py BUILD-DIR [EDGES [QUIET]]

Runs a hub and the edges of `crowd` on the loopback interface of a namespace of its own, first with
20 edges and then with EDGES more (500), waits until all are connected and QUIET seconds (15) more,
and prints how much the hub's resident memory grew for each. Needs root. Exit status 1 above 64 KiB.
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

LIMIT = 64 * 1024
PORT = 45010
NAMES = 16

CONFIG = """\
role: server
bind_ip: 127.0.0.1
remote_port: {port}
tun_name: mqmem
tun_cidr: 10.250.0.1/16
multi_conn_enabled: true
max_peers: 4096
tls_cert_file: {dir}/server.crt
tls_key_file: {dir}/server.key
tls_ca_file: {dir}/ca.crt
log_level: error
"""


def resident(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) * 1024


def data_plane(pid):
    """The process that carries packets: the child, when there is one."""
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0]) if children else pid


def crowd(build, where, edges, certs):
    files = [f for pair in certs for f in pair]
    process = subprocess.Popen([build / "bench/crowd", "127.0.0.1", str(PORT), "hub.example",
                                where / "ca.crt", str(edges), *files],
                               stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    for line in process.stdout:
        if line.strip() == f"up {edges}":
            return process
        if time.monotonic() > deadline:
            break
    process.kill()
    sys.exit(f"not all of {edges} edges are up")


def quiet(pid, quiet_s):
    """Resident memory once handshakes and the search for the path MTU are over."""
    time.sleep(quiet_s)
    return resident(pid)


def measure(build, where, edges, quiet_s, ca):
    ca.issue("server", "hub.example", server=True, hosts=["hub.example"])
    pairs = []
    for i in range(NAMES):
        ca.issue(f"edge{i}", f"edge{i}")
        pairs.append((where / f"edge{i}.crt", where / f"edge{i}.key"))
    (where / "hub.yaml").write_text(CONFIG.format(dir=where, port=PORT))
    env = {**os.environ, "MPQUIC_RUN_DIR": str(where), "MPQUIC_STATE_DIR": str(where)}
    hub = subprocess.Popen([build / "mpquic", "tunnel", "-c", where / "hub.yaml"], env=env)
    crowds = []
    try:
        time.sleep(1)
        crowds.append(crowd(build, where, 20, pairs[:1]))
        pid = data_plane(hub.pid)
        before = quiet(pid, quiet_s)
        crowds.append(crowd(build, where, edges, pairs[1:]))
        after = quiet(pid, quiet_s)
    finally:
        for process in [*crowds, hub]:
            process.terminate()
            process.wait()
    each = (after - before) / edges
    print(f"{edges} more peers: {before / 1e6:.1f} MB -> {after / 1e6:.1f} MB: "
          f"{each / 1024:.1f} KiB each")
    sys.exit(each > LIMIT)


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    edges, quiet_s = (int(a) for a in (sys.argv[2:] + ["500", "15"][len(sys.argv) - 2:]))
    if os.environ.get("IN_NAMESPACE") != "1":
        os.execvpe("unshare", ["unshare", "-n", sys.executable, __file__, *sys.argv[1:]],
                   {**os.environ, "IN_NAMESPACE": "1"})
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
    from lab.certs import Authority  # pylint: disable=import-outside-toplevel
    with tempfile.TemporaryDirectory() as tmp:
        measure(build, pathlib.Path(tmp), edges, quiet_s, Authority(tmp))


if __name__ == "__main__":
    main()
