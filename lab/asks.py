#!/usr/bin/python3
"""Who asks, and how much arrived: a server that tells over TCP and UDP from which address it is
asked, and a client. Both are small enough to be started anywhere in the laboratory.

usage: asks.py serve PORT              all addresses of both families, TCP and UDP
       asks.py ask tcp|udp HOST PORT [--bind ADDRESS] [--send BYTES] [--receive BYTES]
                                       [--timeout S]

The client prints one JSON object: the address that the server saw, what it got (TCP: bytes), what
came back, and from where (UDP: the address that answered).
"""
import argparse
import json
import select
import socket
import struct
import threading

WANTED = struct.Struct("!QQ")  # bytes that come, bytes to send back


def plain(address):
    return address[0].removeprefix("::ffff:")


def read(s, n):
    """Up to n bytes, all of them unless the other end stops."""
    got = 0
    first = b""
    while got < n:
        data = s.recv(min(n - got, 1 << 18))
        if not data:
            break
        first = first or data
        got += len(data)
    return first, got


def serve_one(s, peer):
    with s:
        s.settimeout(20)
        try:
            head = b""
            while len(head) < WANTED.size:
                data = s.recv(WANTED.size - len(head))
                if not data:
                    return
                head += data
            comes, back = WANTED.unpack(head)
            _, got = read(s, comes)
            line = json.dumps({"seen": plain(peer), "got": got}) + "\n"
            s.sendall(line.encode().ljust(256) + bytes(back))
        except OSError:
            pass


def serve(port):
    tcp = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    udp4 = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp6 = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    tcp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    udp6.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    # An answer has the source that the question was for.
    udp4.setsockopt(socket.IPPROTO_IP, 8, 1)  # IP_PKTINFO
    udp6.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    tcp.bind(("::", port))
    udp4.bind(("0.0.0.0", port))
    udp6.bind(("::", port))
    tcp.listen(128)
    print("ready", flush=True)
    while True:
        for s in select.select([tcp, udp4, udp6], [], [])[0]:
            if s is tcp:
                c, peer = tcp.accept()
                threading.Thread(target=serve_one, args=(c, peer), daemon=True).start()
                continue
            data, control, _, peer = s.recvmsg(2048, 256)
            line = json.dumps({"seen": plain(peer), "got": len(data)}).encode()
            info = [(level, kind, value if level == socket.IPPROTO_IPV6 else
                     struct.pack("i4s4s", 0, value[8:12], bytes(4)))
                    for level, kind, value in control]
            try:
                s.sendmsg([line], info, 0, peer)
            except OSError:
                pass


def ask_tcp(s, args):
    s.sendall(WANTED.pack(args.send, args.receive) + bytes(args.send))
    line = b""
    while len(line) < 256:
        data = s.recv(256 - len(line))
        if not data:
            raise OSError("the answer is cut")
        line += data
    return {**json.loads(line), "back": read(s, args.receive)[1]}


def ask(args):
    family = socket.AF_INET6 if ":" in args.host else socket.AF_INET
    kind = socket.SOCK_STREAM if args.protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(family, kind) as s:
        s.settimeout(args.timeout)
        if args.bind:
            s.bind((args.bind, 0))
        if args.protocol == "tcp":
            s.connect((args.host, args.port))
            return ask_tcp(s, args)
        s.sendto(bytes(max(args.send, 1)), (args.host, args.port))
        data, peer = s.recvfrom(2048)
        return {**json.loads(data), "from": plain(peer)}


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1])
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("serve").add_argument("port", type=int)
    a = verbs.add_parser("ask")
    a.add_argument("protocol", choices=["tcp", "udp"])
    a.add_argument("host")
    a.add_argument("port", type=int)
    a.add_argument("--bind")
    a.add_argument("--send", type=int, default=0)
    a.add_argument("--receive", type=int, default=0)
    a.add_argument("--timeout", type=float, default=3)
    args = parser.parse_args()
    if args.verb == "serve":
        serve(args.port)
    print(json.dumps(ask(args)))


if __name__ == "__main__":
    main()
