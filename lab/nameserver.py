"""A name server that takes signed updates (RFC 2136, TSIG with hmac-sha256), and a web server for
dynamic DNS by URL; both write what they were told, a line of JSON for each, to standard output.

    nameserver.py ADDRESS PORT HTTP-PORT KEY-NAME BASE64-SECRET

It shares no code with the product: names, records and signatures are read and written here.
"""
import base64
import hashlib
import hmac
import http.server
import json
import socket
import struct
import sys
import threading
import time

TSIG, ANY = 250, 255
ALGORITHM = b"\x0bhmac-sha256\x00"


def say(**what):
    print(json.dumps(what), flush=True)


def wire(name):
    return b"".join(bytes([len(p)]) + p.encode() for p in name.split(".") if p) + b"\0"


def read_name(data, at):
    labels = []
    while data[at]:
        n = data[at]
        if n > 63:
            raise ValueError("compressed")
        labels.append(data[at + 1:at + 1 + n].decode())
        at += 1 + n
    return ".".join(labels), at + 1


def read_record(data, at):
    name, at = read_name(data, at)
    kind, cls, ttl, n = struct.unpack_from("!HHIH", data, at)
    return (name, kind, cls, ttl, data[at + 10:at + 10 + n]), at + 10 + n


class Server:
    def __init__(self, key_name, secret):
        self.key, self.secret = key_name, secret

    def variables(self, when, fudge):
        return (wire(self.key) + struct.pack("!HI", ANY, 0) + ALGORITHM + struct.pack("!HI", when >> 32, when & 0xffffffff)
                + struct.pack("!HHH", fudge, 0, 0))

    def mac(self, *parts):
        return hmac.new(self.secret, b"".join(parts), hashlib.sha256).digest()

    def check(self, data, start, record):
        name, kind, cls, _, rdata = record
        assert (name, kind, cls) == (self.key, TSIG, ANY), record
        assert rdata.startswith(ALGORITHM)
        high, low, fudge, size = struct.unpack_from("!HIHH", rdata, len(ALGORITHM))
        when, at = high << 32 | low, len(ALGORITHM) + 10
        message = data[:10] + struct.pack("!H", struct.unpack_from("!H", data, 10)[0] - 1) + data[12:start]
        assert abs(time.time() - when) < fudge
        mac = rdata[at:at + size]
        return mac, hmac.compare_digest(mac, self.mac(message, self.variables(when, fudge)))

    def answer(self, data):
        ident, flags, zones, before, updates, more = struct.unpack_from("!6H", data)
        assert flags >> 11 == 5 and (zones, before, more) == (1, 0, 1), data
        zone, at = read_name(data, 12)
        assert struct.unpack_from("!HH", data, at) == (6, 1)
        at, records = at + 4, []
        for _ in range(updates):
            record, at = read_record(data, at)
            records.append(record)
        tsig, end = read_record(data, at)
        assert end == len(data)
        mac, good = self.check(data, at, tsig)
        if not good:
            say(event="refused", zone=zone)
            return struct.pack("!6H", ident, 0x8000 | 5 << 11 | 9, 0, 0, 0, 0)
        delete, add = records
        assert delete[1:] == (add[1], ANY, 0, b"") and delete[0] == add[0] and add[2] == 1
        family = {1: socket.AF_INET, 28: socket.AF_INET6}[add[1]]
        say(event="update", zone=zone, name=add[0], ttl=add[3], address=socket.inet_ntop(family, add[4]))
        reply = struct.pack("!6H", ident, 0x8000 | 5 << 11, 1, 0, 0, 0) + wire(zone) + struct.pack("!HH", 6, 1)
        now = int(time.time())
        signature = self.mac(struct.pack("!H", len(mac)), mac, reply, self.variables(now, 300))
        rdata = (ALGORITHM + struct.pack("!HIHH", now >> 32, now & 0xffffffff, 300, 32) + signature
                 + struct.pack("!HHH", ident, 0, 0))
        return (reply[:10] + struct.pack("!H", 1) + reply[12:] + wire(self.key)
                + struct.pack("!HHIH", TSIG, ANY, 0, len(rdata)) + rdata)


class Web(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        say(event="get", path=self.path, client=self.client_address[0])
        self.send_response(403 if "refuse" in self.path else 200)
        self.end_headers()

    def log_message(self, *_):
        pass


def main(address, port, http_port, key_name, secret):
    server = Server(key_name, base64.b64decode(secret))
    web = http.server.ThreadingHTTPServer((address, int(http_port)), Web)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((address, int(port)))
    say(event="ready")
    while True:
        data, client = s.recvfrom(65535)
        try:
            reply = server.answer(data)
        except (AssertionError, ValueError, IndexError, KeyError, struct.error) as e:
            say(event="bad", error=repr(e))
            continue
        s.sendto(reply, client)


if __name__ == "__main__":
    main(*sys.argv[1:])
