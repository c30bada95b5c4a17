#!/usr/bin/python3
"""Send IP packets as they are, through an interface: with any source, from a node of the laboratory.

usage: rawip.py INTERFACE SOURCE DESTINATION [COUNT]     UDP packets to port 9
"""
import ipaddress
import socket
import struct
import sys


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def udp(source, destination, payload=b"forged", ports=(4000, 9)):
    """An IP packet with one UDP datagram."""
    a, b = ipaddress.ip_address(source), ipaddress.ip_address(destination)
    length = 8 + len(payload)
    pseudo = a.packed + b.packed + (struct.pack("!BBH", 0, 17, length) if a.version == 4 else
                                    struct.pack("!II", length, 17))
    header = struct.pack("!HHHH", *ports, length, 0)
    sum16 = checksum(pseudo + header + payload) or 0xFFFF
    datagram = struct.pack("!HHHH", *ports, length, sum16) + payload
    if a.version == 6:
        return struct.pack("!IHBB", 6 << 28, length, 17, 64) + a.packed + b.packed + datagram
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 0, 0x4000, 64, 17, 0) + a.packed + b.packed
    return ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:] + datagram


def send(interface, packet, count=1):
    """Into an interface without link-layer header (a TUN), past the routing of the kernel."""
    protocol = 0x0800 if packet[0] >> 4 == 4 else 0x86DD
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0) as s:
        for _ in range(count):
            s.sendto(packet, (interface, protocol, 0, 0, b""))


if __name__ == "__main__":
    send(sys.argv[1], udp(sys.argv[2], sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else 1)
