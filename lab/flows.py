#!/usr/bin/python3
"""Bulk flows over TCP or MPTCP from one node of the laboratory to another, and what arrived in each
second. Both protocols by the same program, so that they can be compared.

usage: flows.py listen PORT [--mptcp]
       flows.py HOST PORT [--flows N] [--seconds S] [--omit S] [--bind ADDRESS] [--reverse] [--mptcp]

The client says what it wants and measures what arrives: at itself with --reverse, else the server tells
it. It prints one JSON object: bits_per_second, bins (of each second after those omitted), flows,
subflows (of MPTCP, as the client's kernel counts them, of the first flow).
"""
import argparse
import json
import selectors
import socket
import struct
import sys
import time

MPTCP_INFO = 1     # SOL_MPTCP's
SOL_MPTCP = 284
CHUNK = bytes(1 << 18)
ORDER = struct.Struct("!BId")  # who sends, seconds to count, seconds to omit


def protocol(args):
    return socket.IPPROTO_MPTCP if args.mptcp else socket.IPPROTO_TCP


def prepare(s):
    """CUBIC, whatever the machine's default is; under MPTCP for its subflows to come."""
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")


def receive(sockets, seconds, omit):
    """Bytes that come in each second after the first `omit`, until the time is over or all closed."""
    bins = [0] * seconds
    start = time.monotonic() + omit
    with selectors.DefaultSelector() as selector:
        for s in sockets:
            s.setblocking(False)
            selector.register(s, selectors.EVENT_READ)
        while (now := time.monotonic()) < start + seconds and selector.get_map():
            for key, _ in selector.select(max(start + seconds - now, 0)):
                try:
                    n = len(key.fileobj.recv(1 << 18))
                except BlockingIOError:
                    continue
                at = time.monotonic() - start
                if not n:
                    selector.unregister(key.fileobj)
                elif 0 <= at < seconds:
                    bins[int(at)] += n
    return bins


def send(sockets, seconds):
    """Send on all for so long."""
    end = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        for s in sockets:
            s.setblocking(False)
            selector.register(s, selectors.EVENT_WRITE)
        while (now := time.monotonic()) < end and selector.get_map():
            for key, _ in selector.select(end - now):
                try:
                    key.fileobj.send(CHUNK)
                except BlockingIOError:
                    pass
                except OSError:
                    selector.unregister(key.fileobj)


def read_exactly(s, n):
    data = b""
    while len(data) < n:
        part = s.recv(n - len(data))
        if not part:
            raise EOFError("closed early")
        data += part
    return data


def drain(sockets):
    """Take what still comes: closed before, a socket would be reset, and its last words with it."""
    for s in sockets:
        s.settimeout(10)
        while s.recv(1 << 18):
            pass


def serve_one(listener):
    """One client: its flows, then what it wants, on the first of them."""
    first, _ = listener.accept()
    n = read_exactly(first, 1)[0]
    flows = [first] + [listener.accept()[0] for _ in range(n - 1)]
    for s in flows:
        prepare(s)
    reverse, seconds, omit = ORDER.unpack(read_exactly(first, ORDER.size))
    if reverse:
        send(flows, seconds + omit + 0.5)
    else:
        bins = receive(flows, seconds, omit)
        first.setblocking(True)
        first.sendall(json.dumps(bins).encode())
        drain(flows)
    for s in flows:
        s.close()


def listen(args):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol(args)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("0.0.0.0", args.port))
        listener.listen(64)
        print("listening", flush=True)
        while True:
            try:
                serve_one(listener)
            except (OSError, EOFError) as error:
                print(f"flows: {error}", flush=True)


def connect(args):
    flows = []
    for i in range(args.flows):
        s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol(args))
        prepare(s)
        if args.bind:
            s.bind((args.bind, 0))
        s.settimeout(20)
        s.connect((args.host, args.port))
        if not i:
            s.sendall(bytes([args.flows]))
        flows.append(s)
    return flows


def subflows(s):
    """How many the kernel has for an MPTCP socket, the first one included; 0 when it fell back."""
    try:
        info = s.getsockopt(SOL_MPTCP, MPTCP_INFO, 104)
    except OSError:
        return 0
    return info[0] + 1


def run(args):
    flows = connect(args)
    flows[0].sendall(ORDER.pack(args.reverse, args.seconds, args.omit))
    if args.reverse:
        bins = receive(flows, args.seconds, args.omit)
        n = subflows(flows[0]) if args.mptcp else None
    else:
        send(flows, args.seconds + args.omit)
        n = subflows(flows[0]) if args.mptcp else None
        for s in flows:
            s.setblocking(True)
            s.shutdown(socket.SHUT_WR)
        text = b""
        while part := flows[0].recv(65536):
            text += part
        bins = json.loads(text)
    print(json.dumps({"bits_per_second": 8 * sum(bins) / args.seconds,
                      "bins": [8 * b for b in bins], "flows": args.flows, "subflows": n}))


def main():
    p = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1])
    p.add_argument("host")
    p.add_argument("port", type=int)
    p.add_argument("--flows", type=int, default=1)
    p.add_argument("--seconds", type=int, default=5)
    p.add_argument("--omit", type=float, default=1)
    p.add_argument("--bind")
    p.add_argument("--reverse", action="store_true")
    p.add_argument("--mptcp", action="store_true")
    args = p.parse_args()
    if not 1 <= args.flows <= 64:
        p.error("1 to 64 flows")
    if args.host == "listen":
        listen(args)
    else:
        run(args)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(1)
    except (OSError, EOFError, ValueError) as error:
        sys.exit(f"flows: {error}")
