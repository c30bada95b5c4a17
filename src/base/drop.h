/* Every packet that is dropped has a named reason and a counter. */
#ifndef BASE_DROP_H
#define BASE_DROP_H

#include <stdint.h>

/* X(symbol, name, what it means) */
#define DROP_REASONS(X)                                                                            \
    X(DROP_NOT_IP, "not-ip", "the packet is neither IPv4 nor IPv6")                                \
    X(DROP_TRUNCATED, "truncated", "a length field reaches past the end of the packet")            \
    X(DROP_BAD_HEADER, "bad-header", "an IP header that no correct sender makes")                  \
    X(DROP_BAD_SUPER, "bad-super", "a super-packet whose headers contradict how it is to be cut")  \
    X(DROP_TOO_BIG, "too-big", "larger than the path carries; answered with packet-too-big")       \
    X(DROP_LINK_LOCAL, "link-local", "link-local scope must not cross the tunnel (RFC 9484, 7)")   \
    X(DROP_MULTICAST, "multicast", "multicast is not carried")                                     \
    X(DROP_SOURCE, "source-not-allowed", "source outside what the peer may use")                   \
    X(DROP_SOURCE_TAKEN, "source-taken", "source behind a peer that another peer uses")            \
    X(DROP_NO_PEER, "no-peer", "the destination belongs to no peer that is connected")             \
    X(DROP_PEER_TO_PEER, "peer-to-peer", "from one peer to another, which policy forbids")         \
    X(DROP_NO_SESSION, "no-session", "no established session to carry the packet")                 \
    X(DROP_QUEUE_FULL, "queue-full", "the egress queue reached its bound")                         \
    X(DROP_CODEL, "codel", "CoDel: its flow kept a standing queue (RFC 8289)")                     \
    X(DROP_STALE, "stale", "waited too long in the egress queue: the path stood still")            \
    X(DROP_NO_BUFFER, "no-buffer", "the packet pool is exhausted")                                 \
    X(DROP_TUN_WRITE, "tun-write", "the kernel refused the packet on the TUN interface")           \
    X(DROP_UDP_SEND, "udp-send", "the kernel refused the datagram on the UDP socket")              \
    X(DROP_CONTEXT, "unknown-context", "HTTP Datagram with an unregistered context identifier")    \
    X(DROP_STREAM, "unknown-stream", "HTTP Datagram for a request that is not open")               \
    X(DROP_MALFORMED, "malformed", "an HTTP Datagram whose prefix cannot be decoded")              \
    X(DROP_INCOMPLETE, "incomplete", "a unit of which some bytes did not come in time")            \
    X(DROP_DUPLICATE, "duplicate", "a unit that was delivered or given up already")                \
    X(DROP_NOT_QUIC, "not-quic", "a UDP datagram that is not a QUIC packet of ours")               \
    X(DROP_UNDECRYPTABLE, "undecryptable", "a QUIC packet whose authentication tag is wrong")      \
    X(DROP_QUIC_LIMIT, "connection-limit", "too many connections are being established")           \
    X(DROP_SOURCE_LIMIT, "source-limit", "too many connections are being begun from that address") \
    X(DROP_RETRY, "retry", "a first packet answered with Retry: its sender has to come again")     \
    X(DROP_BAD_TOKEN, "bad-token", "a first packet with a Retry token that is not valid any more") \
    X(DROP_EARLY, "early", "a packet that came before the tunnel was accepted, over the bound")    \
    X(DROP_OVERSIZE_UDP, "oversize-udp", "a UDP datagram larger than the receive buffer")          \
    X(DROP_OVERSIZE_CAPSULE, "oversize-capsule", "a DATAGRAM capsule larger than any packet")      \
    X(DROP_UDP_OVERFLOW, "udp-overflow", "the kernel's receive buffer of the UDP socket was full") \
    X(DROP_TUN_OVERFLOW, "tun-overflow", "the kernel's queue of the TUN interface was full")

enum drop_reason {
#define X(sym, name, what) sym,
    DROP_REASONS(X)
#undef X
        DROP_COUNT
};

struct drop_counters {
    uint64_t n[DROP_COUNT];
};

const char *drop_name(enum drop_reason r);
const char *drop_meaning(enum drop_reason r);

static inline void drop_count_n(struct drop_counters *c, enum drop_reason r, uint64_t n)
{
    c->n[r] += n;
}

static inline void drop_count(struct drop_counters *c, enum drop_reason r)
{
    c->n[r]++;
}

#endif
