"""The command line: `python3 -m plainclient ping|http|cases --connect HOST:PORT --ca FILE ...`.

Exit status: 0 when all went as it should, 1 when not, 2 for a wrong command line.
"""

import argparse
import sys

from . import cases, masque
from .client import Client, ConnectionLost, Timeout
from .errors import Alert
from .masque import Address, CapsuleError
from .tls13 import TlsConfig


def parser():
    p = argparse.ArgumentParser(prog="plainclient", description="a second CONNECT-IP client")
    sub = p.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--connect", required=True, metavar="HOST:PORT")
    common.add_argument("--ca", required=True, metavar="FILE", help="trust anchors, PEM")
    common.add_argument("--cert", metavar="FILE", help="client certificate, PEM")
    common.add_argument("--key", metavar="FILE", help="its key, PEM")
    common.add_argument("--token", metavar="FILE", help="file with a bearer token")
    common.add_argument("--sni", metavar="NAME", help="name in the server's certificate")
    common.add_argument("--udp-payload", type=int, default=1452, metavar="BYTES")
    common.add_argument("--timeout", type=float, default=5.0, metavar="SECONDS")
    common.add_argument("--loss", type=float, default=0.0, metavar="SHARE",
                        help="drop this share of the datagrams, each way")

    ping = sub.add_parser("ping", parents=[common], help="open a tunnel and ping through it")
    ping.add_argument("destination", nargs="*", help="addresses to ping")
    ping.add_argument("--path", default=masque.DEFAULT_PATH)
    ping.add_argument("--request-address", action="append", default=[], metavar="ADDRESS[/LENGTH]")
    ping.add_argument("--source", action="append", default=[], metavar="ADDRESS",
                      help="ping from this address instead of an assigned one")
    ping.add_argument("--count", type=int, default=1)
    ping.add_argument("--size", type=int, default=56, help="bytes of echo data")

    http = sub.add_parser("http", parents=[common], help="send one request, print the outcome")
    http.add_argument("--method", default="GET")
    http.add_argument("--path", default="/")
    http.add_argument("--protocol", help=":protocol of an Extended CONNECT")
    http.add_argument("--header", action="append", default=[], metavar="NAME: VALUE")
    http.add_argument("--expect", metavar="FACT", help="fail unless this fact is in the outcome")

    case = sub.add_parser("cases", parents=[common], help="run named cases, all by default")
    case.add_argument("name", nargs="*")
    return p


def endpoint(args):
    """(host, port, TlsConfig, arguments of Client)"""
    host, _, port = args.connect.rpartition(":")
    host = host.strip("[]")
    tls = TlsConfig(args.sni or host, args.ca, args.cert, args.key)
    token = None
    if args.token:
        with open(args.token) as f:
            token = f.read().strip()
    return host, int(port), tls, {"token": token, "udp_payload": args.udp_payload,
                                  "drop": lossy(args.loss)}


def lossy(share):
    if not share:
        return None
    import random
    rng = random.Random(1)
    return lambda direction, datagram: rng.random() < share


def run_ping(args):
    host, port, tls, more = endpoint(args)
    with Client(host, port, tls, **more) as c:
        c.connect(args.timeout)
        print("connected: %s, certificate %s" %
              (c.quic.tls.suite.name, c.quic.tls.peer_chain[0].subject.rfc4514_string()))
        x = c.connect_ip(args.path, timeout=args.timeout)
        print("status: %s" % x.status)
        if x.status is None or x.status // 100 != 2:
            return 1
        wanted = [Address(i + 1, a) for i, a in enumerate(
            args.request_address or ["0.0.0.0/32"])]
        for address in c.request_addresses(x, *wanted, timeout=args.timeout):
            print("address: %s" % address)
        for route in c.wait_routes(x, args.timeout):
            print("route: %s" % route)
        return ping_all(args, c, x)


def ping_all(args, c, x):
    sources = [masque.ipaddress.ip_address(s) for s in args.source] or \
        [a.ip for a in c.tunnel(x).addresses]
    failed = 0
    for text in args.destination:
        destination = masque.ipaddress.ip_address(text)
        source = next((s for s in sources if s.version == destination.version), None)
        if source is None:
            print("ping %s: no address of that family" % destination)
            failed += 1
            continue
        for n in range(args.count):
            try:
                rtt = c.ping(x, source, destination, bytes(i & 255 for i in range(args.size)),
                             sequence=1 + 16 * n, timeout=args.timeout)
                print("ping %s -> %s: ok, %.2f ms" % (source, destination, rtt * 1000))
            except (Timeout, ValueError) as e:
                print("ping %s -> %s: %s" % (source, destination, e))
                failed += 1
    return 1 if failed else 0


def run_http(args):
    host, port, tls, more = endpoint(args)
    with Client(host, port, tls, **more) as c:
        c.connect(args.timeout)
        extra = [tuple(h.split(": ", 1)) for h in args.header]
        x = None
        try:
            x = c.request(cases.fields(c, args.method, args.path, protocol=args.protocol,
                                       extra=extra), fin=args.method != "CONNECT",
                          timeout=args.timeout)
        except ConnectionLost:
            pass
        facts = cases.outcome(c, x, None, args.timeout)
        for name, value in x.fields if x else []:
            print("%s: %s" % (name.decode(), value.decode()))
        print(", ".join(sorted(facts)))
        return 0 if args.expect is None or args.expect in facts else 1


def run_cases(args):
    host, port, tls, more = endpoint(args)
    failed = 0
    for name in args.name or cases.CASES:
        facts = cases.run_case(name, host, port, tls, **more)
        good = cases.acceptable(name, facts)
        failed += not good
        print("%-4s %-40s %-22s %s" % ("ok" if good else "FAIL", name, cases.CASES[name].rfc,
                                       ", ".join(sorted(facts))))
        if not good:
            print("     expected: %s" % " or ".join(cases.CASES[name].expect))
    return 1 if failed else 0


def main(argv=None):
    args = parser().parse_args(argv)
    run = {"ping": run_ping, "http": run_http, "cases": run_cases}[args.command]
    try:
        return run(args)
    except (ConnectionLost, Timeout, CapsuleError, Alert, OSError) as e:
        print("%s: %s" % (type(e).__name__, e), file=sys.stderr)
        return 1
