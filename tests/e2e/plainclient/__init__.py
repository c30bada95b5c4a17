"""A second CONNECT-IP client, written from the RFC texts alone.

It shares no code with the program under test and uses no QUIC, TLS or HTTP library: only the
primitives of python3-cryptography. What it sends and what it accepts is therefore a reading of
the RFCs of its own, and a conversation between it and a hub is evidence of conformance.

    wire     varints, byte reader                 RFC 9000 16
    crypto   HKDF, packet protection              RFC 9001 5
    certs    certificate chains, signatures       RFC 5280, RFC 8446 4.2.3
    tls13    the TLS 1.3 client handshake         RFC 8446, RFC 9001 4
    packet   packet headers                       RFC 9000 17
    frames   frames                               RFC 9000 19, RFC 9221
    params   transport parameters                 RFC 9000 18
    streams  send and receive sides of a stream   RFC 9000 2, 3, 4
    recovery acknowledgements, loss, PTO          RFC 9002
    quic     the connection, without I/O          RFC 9000
    qpack    field sections, static table only    RFC 9204, RFC 7541 5
    h3       HTTP/3 and its datagrams             RFC 9114, RFC 9220, RFC 9297
    masque   CONNECT-IP and its capsules          RFC 9484
    ippkt    ICMP echo packets
    client   a blocking client on a UDP socket
    cases    named requests and abuses with their outcome
    minica   certificates for tests
    cli      the command line

quic, h3 and masque do no I/O and take the time as an argument. The client has no congestion
control (a fixed window instead) and initiates no key update or migration.
"""

from .client import Client, ConnectionLost, Timeout
from .tls13 import TlsConfig

__all__ = ["Client", "ConnectionLost", "Timeout", "TlsConfig"]
