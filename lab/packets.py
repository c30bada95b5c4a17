"""Read captures: frames of a pcap file, and what kind of traffic each one is."""
import dataclasses
import ipaddress
import struct


@dataclasses.dataclass
class Frame:
    time: float     # seconds
    data: bytes     # the whole frame
    kind: str       # arp, nd, icmp, icmp6, udp, tcp, fragment, other
    source: str = ""
    destination: str = ""
    ports: tuple = (0, 0)
    size: int = 0   # of the IP packet


ND = {133, 134, 135, 136, 137, 143}  # router and neighbour discovery, multicast listener reports


def classify(time, data, raw_ip):
    """raw_ip: the interface has no Ethernet header (a TUN)."""
    if raw_ip:
        protocol = {4: 0x0800, 6: 0x86DD}.get(data[0] >> 4 if data else 0, 0)
        ip = data
    else:
        protocol = struct.unpack_from("!H", data, 12)[0] if len(data) >= 14 else 0
        ip = data[14:]
    if protocol == 0x0806:
        return Frame(time, data, "arp")
    if protocol == 0x0800 and len(ip) >= 20:
        inner, start = ip[9], (ip[0] & 15) * 4
        size = struct.unpack_from("!H", ip, 2)[0]
        ends = str(ipaddress.IPv4Address(ip[12:16])), str(ipaddress.IPv4Address(ip[16:20]))
        fragment = struct.unpack_from("!H", ip, 6)[0] & 0x3FFF
    elif protocol == 0x86DD and len(ip) >= 40:
        inner, start = ip[6], 40
        size = struct.unpack_from("!H", ip, 4)[0] + 40
        ends = str(ipaddress.IPv6Address(ip[8:24])), str(ipaddress.IPv6Address(ip[24:40]))
        fragment = inner == 44
        if inner == 0 and len(ip) > start + 8:  # hop-by-hop, as in listener reports
            inner, start = ip[start], start + (ip[start + 1] + 1) * 8
    else:
        return Frame(time, data, "other")
    kind, ports = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6"}.get(inner, "other"), (0, 0)
    if fragment:
        kind = "fragment"
    elif kind in ("tcp", "udp") and len(ip) >= start + 4:
        ports = struct.unpack_from("!HH", ip, start)
    elif kind == "icmp6" and len(ip) > start and ip[start] in ND:
        kind = "nd"
    return Frame(time, data, kind, *ends, ports, size)


def read(path):
    """Every frame of a capture file."""
    data = open(path, "rb").read()
    magic = data[:4]
    order = {b"\xd4\xc3\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">"}[magic]
    raw_ip = struct.unpack_from(order + "I", data, 20)[0] in (12, 101, 14)
    at, frames = 24, []
    while at + 16 <= len(data):
        seconds, micro, kept, _ = struct.unpack_from(order + "IIII", data, at)
        at += 16
        if at + kept > len(data):
            break
        frames.append(classify(seconds + micro / 1e6, data[at:at + kept], raw_ip))
        at += kept
    return frames
