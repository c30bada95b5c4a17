#!/usr/bin/env python3
"""Does the null tunnel carry packets unharmed? Function only, no timing.

For every cipher packed, and for one packet per call: ping over IPv4 and IPv6, 8 MB of TCP in each
direction compared byte for byte, datagrams of many sizes, and datagrams that leave the sender as
one super-packet.

usage: smoke.py NULL-TUNNEL
"""
import hashlib
import random
import socket
import struct
import subprocess
import sys

import pair as lab

TCP_PORT, UDP_PORT = 5001, 5002
BULK = 8 << 20
UDP_SEGMENT = 103
TIMEOUT = 20


def bulk(seed):
    return random.Random(seed).randbytes(BULK)


def receive_exactly(sock, size):
    data = bytearray()
    while len(data) < size:
        chunk = sock.recv(min(1 << 20, size - len(data)))
        if not chunk:
            break
        data += chunk
    return bytes(data)


def listen(family, kind, address, port):
    sock = socket.socket(family, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.settimeout(TIMEOUT)
    sock.bind((address, port))
    return sock


def serve(address):
    """Take and give one bulk over TCP, then answer datagrams until an empty one comes."""
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    tcp = listen(family, socket.SOCK_STREAM, address, TCP_PORT)
    udp = listen(family, socket.SOCK_DGRAM, address, UDP_PORT)
    tcp.listen()
    print('listening', flush=True)
    conn, _ = tcp.accept()
    conn.settimeout(TIMEOUT)
    if receive_exactly(conn, BULK) != bulk(1):
        sys.exit('server: the bulk that came in differs')
    conn.sendall(bulk(2))
    while True:
        data, peer = udp.recvfrom(65536)
        if not data:
            return
        udp.sendto(struct.pack('!H', len(data)) + hashlib.sha256(data).digest(), peer)


def check_datagrams(udp, payloads, send):
    """Send all payloads until each was answered with its digest; a datagram may be lost."""
    missing = {struct.pack('!H', len(p)) + hashlib.sha256(p).digest(): p for p in payloads}
    udp.settimeout(1)
    for _ in range(5):
        send(list(missing.values()))
        try:
            while missing:
                missing.pop(udp.recv(64), None)
        except TimeoutError:
            continue
        return
    sys.exit(f'client: {len(missing)} of {len(payloads)} datagrams came back wrong or not at all')


def client(address):
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as tcp:
        tcp.settimeout(TIMEOUT)
        tcp.connect((address, TCP_PORT))
        tcp.sendall(bulk(1))
        if receive_exactly(tcp, BULK) != bulk(2):
            sys.exit('client: the bulk that came back differs')
    rng = random.Random(3)
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        udp.connect((address, UDP_PORT))
        sizes = [1, 2, 3, 63, 1200, 1201, 1350, 1351]
        check_datagrams(udp, [rng.randbytes(n) for n in sizes],
                        lambda ps: [udp.send(p) for p in ps])
        udp.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1000)
        check_datagrams(udp, [rng.randbytes(1000) for _ in range(20)],
                        lambda ps: udp.send(b''.join(ps)))
        udp.send(b'')


def check_family(link, address):
    link.run('a', ['ping', '-c', '3', '-i', '0.05', '-W', '2', address])
    me = [sys.executable, __file__]
    server = link.spawn('b', me + ['serve', address], stdout=subprocess.PIPE, text=True)
    try:
        if server.stdout.readline().strip() != 'listening':
            raise RuntimeError('the server did not start')
        link.run('a', me + ['client', address], timeout=60)
        if server.wait(timeout=TIMEOUT) != 0:
            raise RuntimeError('the server reported an error')
    finally:
        link.reap(server)


def check_counters(tunnel):
    """Nothing was refused, and packed mode did batch."""
    for side, c in tunnel.counters.items():
        for name in ('bad_records', 'old_records', 'tun_bad', 'send_fail'):
            if c[name] != 0:
                raise RuntimeError(f'end {side}: {name} is {c[name]}')
        if tunnel.mode == 'packed' and 'offload none' not in tunnel.ready[side]:
            if c['tun_read_bytes'] <= 1500 * c['tun_reads'] or c['sent_records'] <= c['sends']:
                raise RuntimeError(f'end {side}: no super-packets or no batches: {c}')


def main(program):
    lab.ensure_root()
    lab.exit_on_term()
    backends = subprocess.run([program, '--list'], capture_output=True, text=True,
                              check=True).stdout.split()
    cases = [(aead, 'packed', 'none') for aead in backends]
    cases += [('gnutls', 'packet', 'none'), ('gnutls', 'packed', 'all'),
              ('gnutls', 'packed', 'gro')]
    for aead, mode, cut in cases:
        with lab.Pair(cut) as link, lab.NullTunnel(link, program, aead, mode) as tunnel:
            for address in ('10.78.0.2', 'fd78::2'):
                check_family(link, address)
            tunnel.stop()
            check_counters(tunnel)
        print(f'ok: {aead}, {mode}, cut {cut}: {tunnel.ready["a"]}', flush=True)


if __name__ == '__main__':
    if len(sys.argv) == 3 and sys.argv[1] in ('serve', 'client'):
        {'serve': serve, 'client': client}[sys.argv[1]](sys.argv[2])
    elif len(sys.argv) == 2:
        try:
            main(sys.argv[1])
        except (RuntimeError, subprocess.TimeoutExpired) as e:
            sys.exit(f'smoke: {e}')
    else:
        sys.exit(__doc__)
