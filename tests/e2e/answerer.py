"""A host that answers: TCP, DNS, HTTP and HTTPS, each as the file MODES says at that moment.

    answerer.py DIRECTORY CERTIFICATE KEY ADDRESS...

MODES (in DIRECTORY) is JSON: {"tcp": "closed" or "open", "dns": the code of result, "none" or
"garbage", "http": the status, "silent" or "garbage"}; "tcp6" and the like are for IPv6 alone. Each
question is a line in DIRECTORY/asked: what was asked, and from where.
"""
import json
import pathlib
import socket
import ssl
import sys
import threading
import time

PORTS = {"tcp": 7000, "dns": 53, "http": 8080, "https": 8443}
directory = pathlib.Path(sys.argv[1])
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(sys.argv[2], sys.argv[3])


def mode(kind, address):
    modes = json.loads((directory / "MODES").read_text())
    return modes.get(kind + ("6" if ":" in address else "4"), modes.get(kind))


def note(kind, peer):
    with open(directory / "asked", "a", encoding="ascii") as f:
        f.write(f"{kind} {peer[0]}\n")


def bound(kind, address, what):
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, what)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, PORTS[kind]))
    return s


def serve_dns(address):
    s = bound("dns", address, socket.SOCK_DGRAM)
    while True:
        data, peer = s.recvfrom(512)
        note("dns", peer)
        how = mode("dns", address)
        answers = 0
        body = data[12:]
        if how == "none":
            continue
        if how == "garbage":
            s.sendto(data[:2] + b"\x81\x80\x00\x01\x00\x09" + data[8:] + b"\xff\xff", peer)
            continue
        if how == 0 and body[-4:-2] == b"\x00\x01":  # an A record
            answers = 1
            body += b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x01\x02\x03\x04"
        s.sendto(data[:2] + bytes([0x81, 0x80 | int(how)]) + b"\x00\x01\x00" + bytes([answers]) +
                 b"\0\0\0\0" + body, peer)


def answer_http(kind, address, c, peer):
    try:
        c.settimeout(5)
        if kind == "https":
            c = tls.wrap_socket(c, server_side=True)
        request = b""
        while b"\r\n\r\n" not in request:
            more = c.recv(4096)
            if not more:
                return
            request += more
        note(kind, peer)
        with open(directory / "requests", "ab") as f:
            f.write(request)
        how = mode("http", address)
        if how == "silent":
            time.sleep(5)
        elif how == "garbage":
            c.sendall(b"\0" * 4096)
        else:
            for piece in (b"HTTP/1.", b"1 %d" % how, b" Whatever\r\nContent-Length: 0\r\n\r\n"):
                c.sendall(piece)
    except OSError:
        pass
    finally:
        c.close()


def serve_http(kind, address):
    s = bound(kind, address, socket.SOCK_STREAM)
    s.listen(64)
    while True:
        c, peer = s.accept()
        threading.Thread(target=answer_http, args=(kind, address, c, peer), daemon=True).start()


def serve_tcp(address):
    """Closed means that nobody listens."""
    s = None
    while True:
        if mode("tcp", address) == "closed":
            if s:
                s.close()
            s = None
            time.sleep(0.02)
            continue
        if not s:
            s = bound("tcp", address, socket.SOCK_STREAM)
            s.settimeout(0.02)
            s.listen(64)
        try:
            c, peer = s.accept()
            note("tcp", peer)
            c.close()
        except TimeoutError:
            pass


def main():
    for address in sys.argv[4:]:
        for what in (lambda a=address: serve_dns(a), lambda a=address: serve_tcp(a),
                     lambda a=address: serve_http("http", a),
                     lambda a=address: serve_http("https", a)):
            threading.Thread(target=what, daemon=True).start()
    threading.Event().wait()


main()
