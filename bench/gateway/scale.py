#!/usr/bin/python3
"""What a large configuration costs: 64 links, and a policy for each of 64 interfaces.

In a network namespace of its own, with an interface for each link and each policy, half of the links
WANs with addresses and routers, half tunnels with hubs. The processor's time of each verb counts,
not the clock, so that it is worth something on a machine that does something else, too; the time that
the verb takes is beside it. Needs root.
"""
import argparse
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

LINKS, POLICIES = 64, 64
AIM_S = {"plan": 1.0, "apply": 3.0}


def configuration(reach):
    """Half of the links are tunnels, each over the WAN of its number."""
    wans = LINKS // 2
    lines = ["ipv6: true", "links:"]
    for i in range(wans):
        lines.append(f"  - {{name: wan{i}, device: w{i}, table: {1000 + i}, masquerade: true}}")
    for i in range(wans):
        lines.append(f"  - {{name: tun{i}, type: tunnel, device: t{i}, table: {2000 + i}, over: wan{i}, "
                     f"hub: 203.0.113.{i + 1}}}")
    lines.append("policies:")
    for i in range(POLICIES):
        pin = f"wan{i // 2}" if i % 2 else f"tun{i // 2}"
        near = ", ".join(f"10.{i}.{j}.0/24" for j in range(reach))
        lines.append(f"  - {{ingress: l{i}, pin: {pin}, priority: {10000 + i}, reach: [{near}]}}")
    return "\n".join(["first_priority: 9000", "last_priority: 20000", *lines]) + "\n"


def network():
    """One `ip -batch`: a veth for everything, their other ends in the same namespace."""
    lines = []
    for kind, n in (("w", LINKS // 2), ("t", LINKS // 2), ("l", POLICIES)):
        for i in range(n):
            lines += [f"link add {kind}{i} type veth peer name x{kind}{i}", f"link set {kind}{i} up",
                      f"link set x{kind}{i} up"]
    for i in range(LINKS // 2):
        lines += [f"address add 192.168.{i}.2/24 dev w{i}",
                  f"route add default via 192.168.{i}.1 dev w{i} metric {100 + i}",
                  f"address add 10.200.{i}.1/30 dev t{i}"]
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)


def timed(program, *words):
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run([program, "gateway", *words], capture_output=True, text=True, check=False)
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 3):
        sys.exit(f"{' '.join(map(str, words))}: {done.stderr or done.stdout}")
    return {"user_s": round(after.ru_utime - before.ru_utime, 3),
            "system_s": round(after.ru_stime - before.ru_stime, 3), "wall_s": round(wall, 3),
            "peak_kib": after.ru_maxrss, "lines": done.stdout.count("\n")}


def measure(program, reach):
    with tempfile.TemporaryDirectory(prefix="mpquic-scale-") as name:
        for kind in ("RUN", "STATE", "CONF"):
            path = pathlib.Path(name) / kind.lower()
            path.mkdir()
            os.environ[f"MPQUIC_{kind}_DIR"] = str(path)
        file = pathlib.Path(name) / "gateway.yaml"
        file.write_text(configuration(reach))
        network()
        time.sleep(2)  # IPv6 addresses settle
        steps = [("plan", "plan", "-c", file), ("apply", "apply", "-c", file),
                 ("plan again", "plan", "-c", file), ("status", "status", "-c", file),
                 ("why", "why", "-c", file, "10.0.0.2", "8.8.8.8", "--in", "l0"), ("down", "down")]
        return {what: timed(program, *words) for what, *words in steps}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-b", "--build", type=pathlib.Path, default="build")
    parser.add_argument("-r", "--reach", type=int, default=8, help="prefixes of each policy")
    parser.add_argument("-j", "--json", type=pathlib.Path, help="write the figures here, too")
    args = parser.parse_args()
    os.unshare(os.CLONE_NEWNET) if hasattr(os, "unshare") else unshare_again()
    result = measure((args.build / "mpquic").resolve(), args.reach)
    print(f"{'':12} {'user':>8} {'system':>8} {'wall':>8}   lines")
    for what, r in result.items():
        print(f"{what:12} {r['user_s']:7.3f}s {r['system_s']:7.3f}s {r['wall_s']:7.3f}s {r['lines']:7}")
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n")
    late = [w for w, aim in AIM_S.items() if result[w]["user_s"] + result[w]["system_s"] > aim]
    print(f"beyond the aim: {', '.join(late)}" if late else
          "plan under 1 s, apply under 3 s of the processor's time")
    return 1 if late else 0


def unshare_again():
    """Python has os.unshare() from 3.12 on only."""
    if os.environ.get("MPQUIC_SCALE_INSIDE"):
        return
    os.environ["MPQUIC_SCALE_INSIDE"] = "1"
    os.execvp("unshare", ["unshare", "-n", sys.executable, *sys.argv])


if __name__ == "__main__":
    sys.exit(main())
