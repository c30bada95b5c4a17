#include "status/schema.h"

#include <stdbool.h>

#include "status/status.h"

#define SIZE_OF(owner, member) sizeof(((owner *)0)->member)
#define AT(owner, member) .offset = offsetof(owner, member), .size = SIZE_OF(owner, member)
#define TEXT(owner, member, what)                                              \
    {                                                                          \
        .name = #member, .type = FIELD_TEXT, AT(owner, member), .text = (what) \
    }
#define UINT(owner, member, what)                                              \
    {                                                                          \
        .name = #member, .type = FIELD_UINT, AT(owner, member), .text = (what) \
    }
#define BOOL(owner, member, what)                                              \
    {                                                                          \
        .name = #member, .type = FIELD_BOOL, AT(owner, member), .text = (what) \
    }
#define STRINGS(owner, member, what)                                              \
    {                                                                             \
        .name = #member, .type = FIELD_STRINGS, AT(owner, member), .text = (what) \
    }
#define NAMED(json_name, kind, owner, member, what)                            \
    {                                                                          \
        .name = (json_name), .type = (kind), AT(owner, member), .text = (what) \
    }
#define GROUP(json_name, table)                                  \
    {                                                            \
        .name = (json_name), .type = FIELD_GROUP, .sub = (table) \
    }
#define OBJECT(owner, member, table, what)                                                       \
    {                                                                                            \
        .name = #member, .type = FIELD_OBJECT, AT(owner, member), .sub = (table), .text = (what) \
    }
#define COUNTS(json_name, owner, member, what)                                       \
    {                                                                                \
        .name = (json_name), .type = FIELD_OBJECT, AT(owner, member), .sub = counts, \
        .text = (what)                                                               \
    }
#define OPTIONAL(owner, member, table, what)                                                       \
    {                                                                                              \
        .name = #member, .type = FIELD_OPTIONAL, AT(owner, member), .sub = (table), .text = (what) \
    }
#define LIST(owner, member, element, bound, table, what)                                      \
    {                                                                                         \
        .name = #member, .type = FIELD_LIST, .offset = offsetof(owner, member),               \
        .size = sizeof(element), .sub = (table), .count_offset = offsetof(owner, n_##member), \
        .max = (bound), .text = (what)                                                        \
    }

enum { PATHS_MAX = 64, LANES_MAX = 64, STEPS_MAX = 64 };

static const struct field counts[] = {
    UINT(struct status_counts, rx_packets, "packets received"),
    UINT(struct status_counts, rx_bytes, "bytes received"),
    UINT(struct status_counts, tx_packets, "packets sent"),
    UINT(struct status_counts, tx_bytes, "bytes sent"),
    {0},
};

static const struct field queue[] = {
    UINT(struct status_queue, bytes, "bytes that wait"),
    UINT(struct status_queue, packets, "packets that wait"),
    UINT(struct status_queue, max_bytes, "the bound; beyond it packets are dropped as queue-full"),
    {0},
};

static const struct field cert[] = {
    TEXT(struct status_cert, subject, "common name, or else the first DNS name"),
    STRINGS(struct status_cert, names, "DNS names and addresses that it is for"),
    TEXT(struct status_cert, serial, "serial number, hexadecimal"),
    NAMED("not_before", FIELD_TIME, struct status_cert, not_before_s, "valid from"),
    NAMED("not_after", FIELD_TIME, struct status_cert, not_after_s, "valid until"),
    NAMED("days_left", FIELD_INT, struct status_cert, days_left,
          "whole days until not_after; negative: expired"),
    {0},
};

/* Round trips and datagrams of a path, and of one lane. */
#define RTT(owner)                                                                               \
    {                                                                                            \
        NAMED("latest", FIELD_UINT, owner, quic.rtt_latest_us, "the last sample"),               \
            NAMED("min", FIELD_UINT, owner, quic.rtt_min_us, "the least so far"),                \
            NAMED("smoothed", FIELD_UINT, owner, quic.rtt_smoothed_us, "RFC 9002, 5.3"),         \
            NAMED("variance", FIELD_UINT, owner, quic.rtt_variance_us, "RFC 9002, 5.3: rttvar"), \
            {0},                                                                                 \
    }
#define DATAGRAMS(owner)                                                                         \
    {                                                                                            \
        NAMED("tx", FIELD_UINT, owner, quic.datagrams_tx, "sent"),                               \
            NAMED("acked", FIELD_UINT, owner, quic.datagrams_acked, "acknowledged by the peer"), \
            NAMED("lost", FIELD_UINT, owner, quic.datagrams_lost, "found to be lost"),           \
            NAMED("rx", FIELD_UINT, owner, quic.datagrams_rx, "received"), {0},                  \
    }

static const struct field path_rtt[] = RTT(struct status_path);
static const struct field path_datagrams[] = DATAGRAMS(struct status_path);
static const struct field lane_rtt[] = RTT(struct status_lane);
static const struct field lane_datagrams[] = DATAGRAMS(struct status_lane);

static const struct field lane[] = {
    UINT(struct status_lane, number, "0: the one that is opened first and closed last"),
    TEXT(struct status_lane, local, "our address and UDP port"),
    GROUP("rtt_us", lane_rtt),
    NAMED("cwnd_bytes", FIELD_UINT, struct status_lane, quic.cwnd_bytes, "congestion window"),
    NAMED("in_flight_bytes", FIELD_UINT, struct status_lane, quic.in_flight_bytes,
          "sent and not yet acknowledged"),
    COUNTS("udp", struct status_lane, quic.udp, "UDP datagrams and their payload bytes"),
    GROUP("datagrams", lane_datagrams),
    NAMED("heard_s", FIELD_UINT, struct status_lane, quic.heard_s,
          "seconds since the last datagram from the other end"),
    {0},
};

static const struct field step[] = {
    TEXT(struct status_step, state, "the state"),
    TEXT(struct status_step, reason, "why"),
    NAMED("time", FIELD_TIME, struct status_step, time_s, "since when"),
    UINT(struct status_step, age_s, "the same in seconds ago"),
    {0},
};

/* What is told of a path whoever tells it. */
#define PATH                                                                                       \
    TEXT(struct status_path, local, "our address and UDP port; empty while there is none"),        \
        TEXT(struct status_path, remote, "the other end's address and UDP port"),                  \
        TEXT(struct status_path, interface,                                                        \
             "interface that the socket is bound to; empty: routing decides"),                     \
        UINT(struct status_path, lanes, "QUIC connections of the path; 0: none is established"),   \
        UINT(struct status_path, lanes_wanted,                                                     \
             "client: how many it should have by what it carries and loses"),                      \
        GROUP("rtt_us", path_rtt),                                                                 \
        NAMED("cwnd_bytes", FIELD_UINT, struct status_path, quic.cwnd_bytes, "congestion window"), \
        NAMED("in_flight_bytes", FIELD_UINT, struct status_path, quic.in_flight_bytes,             \
              "sent and not yet acknowledged"),                                                    \
        COUNTS("udp", struct status_path, quic.udp, "UDP datagrams and their payload bytes"),      \
        GROUP("datagrams", path_datagrams),                                                        \
        UINT(struct status_path, udp_payload_bytes,                                                \
             "the largest UDP payload that the path is known to carry"),                           \
        UINT(struct status_path, packet_max_bytes,                                                 \
             "the largest IP packet that one datagram carries"),                                   \
        NAMED("heard_s", FIELD_UINT, struct status_path, quic.heard_s,                             \
              "seconds since the last datagram from the other end"),                               \
        BOOL(struct status_path, mtu_known,                                                        \
             "false while the path MTU is searched: both are at least"),                           \
        LIST(struct status_path, each_lane, struct status_lane, LANES_MAX, lane,                   \
             "client: those connections, by number")

#define PATH_NAME                                                                         \
    TEXT(struct status_path, name,                                                        \
         "name of the path; empty when there is only one, or the peer does not tell it"), \
        UINT(struct status_path, number, "number of the path on the wire")

/* What there is to say of one of several. */
#define PATH_STATE                                                                                \
    TEXT(struct status_path, state,                                                               \
         "client: `idle`, `connecting`, `up`, `suspect` (up, but it gets no answers), `lossy` "   \
         "(up, but it loses much), `pause` or `failed`; of a peer: `up`, `suspect` or `lossy`"),  \
        TEXT(struct status_path, reason, "why, when the state is not a working one"),             \
        UINT(struct status_path, state_age_s,                                                     \
             "how long the state lasts, in seconds; of a peer: since the path is there"),         \
        BOOL(struct status_path, in_use, "the policy gives it packets now"),                      \
        UINT(struct status_path, priority, "its priority"),                                       \
        UINT(struct status_path, weight, "its weight"),                                           \
        UINT(struct status_path, rate_bps,                                                        \
             "bits a second that it delivered when that was measured last, outwards: what it "    \
             "could, while it was full; 0: not known"),                                           \
        UINT(struct status_path, extra_delay_us,                                                  \
             "how much longer a packet takes than over the fastest path"),                        \
        UINT(struct status_path, taken_over,                                                      \
             "datagrams that have gone again over other paths, because it did not answer or the " \
             "other end missed them"),                                                            \
        UINT(struct status_path, share_percent,                                                   \
             "of the UDP bytes of all paths, both ways, since each began"),                       \
        OBJECT(struct status_path, order, order,                                                  \
               "what came over it, in units: packets, or pieces of super-packets")

static const struct field order[] = {
    UINT(struct status_order, units, "that came first over this path"),
    UINT(struct status_order, reordered,
         "of them behind later ones of their flow: overtaken on the way, or sent again"),
    UINT(struct status_order, waited, "of them delivered after waiting for earlier ones"),
    UINT(struct status_order, wait_us, "how long these waited, in all: the resequencing delay"),
    {0},
};

static const struct field peer_path[] = {PATH_NAME, PATH_STATE, PATH, {0}};

static const struct field path[] = {
    PATH_NAME,
    PATH_STATE,
    LIST(struct status_path, history, struct status_step, STEPS_MAX, step,
         "the states that it has been in, the last one first"),
    PATH,
    {0},
};

static const struct field peer[] = {
    TEXT(struct status_peer, name, "name of the certificate or of the token"),
    TEXT(struct status_peer, instance, "instance id that the peer told; empty: none"),
    TEXT(struct status_peer, remote, "its address and UDP port"),
    NAMED("since", FIELD_TIME, struct status_peer, since_s, "connected since"),
    UINT(struct status_peer, age_s, "the same in seconds ago"),
    NAMED("certificate_until", FIELD_TIME, struct status_peer, cert_until_s,
          "end of its certificate; null: it showed none"),
    STRINGS(struct status_peer, addresses, "its tunnel addresses"),
    STRINGS(struct status_peer, prefixes, "prefixes behind it, by configuration"),
    STRINGS(struct status_peer, learned, "addresses behind it that were learned, the latest"),
    UINT(struct status_peer, learned_total, "how many there are"),
    UINT(struct status_peer, bad_sources, "packets from it that were dropped for their source"),
    OBJECT(struct status_peer, traffic, counts, "inner packets"),
    OBJECT(struct status_peer, queue, queue, "egress queue"),
    LIST(struct status_peer, paths, struct status_path, PATHS_MAX, peer_path, "its paths"),
    {0},
};

static const struct field absent[] = {
    TEXT(struct status_absent, name, "name of its certificate or token, or of its entry"),
    TEXT(struct status_absent, instance, "its instance id; empty: none, or whichever"),
    TEXT(struct status_absent, remote, "address and UDP port that it came from last"),
    NAMED("last_seen", FIELD_TIME, struct status_absent, last_seen_s,
          "when it went; null: it has not been there since the server's start"),
    UINT(struct status_absent, gone_s, "the same in seconds ago"),
    NAMED("certificate_until", FIELD_TIME, struct status_absent, cert_until_s,
          "end of the certificate that it had; null: it showed none, or is not known"),
    TEXT(struct status_absent, reason, "why it went"),
    {0},
};

static const struct field server[] = {
    TEXT(struct status_server, host, "remote_addr of the configuration"),
    UINT(struct status_server, port, "remote_port"),
    TEXT(struct status_server, address, "what the host is resolved to; empty: not yet"),
    TEXT(struct status_server, name, "name of its certificate; empty: not seen yet"),
    OPTIONAL(struct status_server, certificate, cert, "its certificate, while connected"),
    {0},
};

static const struct field tunnel[] = {
    TEXT(struct status_tunnel, interface, "the TUN interface"),
    BOOL(struct status_tunnel, exists, "false while it is to be made anew: somebody deleted it"),
    UINT(struct status_tunnel, repairs, "times that we put right what somebody had changed on it"),
    UINT(struct status_tunnel, mtu_bytes, "its MTU"),
    BOOL(struct status_tunnel, mtu_automatic, "whether the MTU follows the path"),
    STRINGS(struct status_tunnel, addresses, "its addresses"),
    STRINGS(struct status_tunnel, assigned, "client: the addresses that the server has given"),
    {0},
};

static const struct field offloads[] = {
    BOOL(struct status_offloads, tun_tso, "super-packets of TCP from and to the TUN"),
    BOOL(struct status_offloads, tun_uso, "the same of UDP: Linux 6.2 and later"),
    BOOL(struct status_offloads, udp_gso, "bursts of datagrams are sent in one call"),
    BOOL(struct status_offloads, udp_gro, "bursts of datagrams are received in one call"),
    {0},
};

static const struct field last_error[] = {
    TEXT(struct status_error, text, "what happened"),
    NAMED("time", FIELD_TIME, struct status_error, time_s, "when"),
    UINT(struct status_error, age_s, "seconds since"),
    {0},
};

static const struct field handshakes[] = {
    UINT(struct status_handshakes, begun, "connections begun"),
    UINT(struct status_handshakes, completed, "authenticated"),
    UINT(struct status_handshakes, failed, "ended before that"),
    UINT(struct status_handshakes, refused, "server: not answered: a limit, or a bad token"),
    UINT(struct status_handshakes, retried, "server: asked to prove their address first (Retry)"),
    UINT(struct status_handshakes, junk, "server: first packets that could not be decrypted"),
    UINT(struct status_handshakes, resets, "server: stateless resets sent"),
    UINT(struct status_handshakes, unanswered, "server: stateless answers held back: too many"),
    UINT(struct status_handshakes, open, "server: handshakes at work now"),
    {0},
};

#define ANSWER_HEAD                                            \
    UINT(struct status, schema, "version of this schema: 1"),  \
        TEXT(struct status, instance, "name of the instance"), \
        TEXT(struct status, role, "`client` or `server`"),     \
        NAMED("now", FIELD_TIME, struct status, now_s, "when the snapshot was taken")

const struct field schema_status[] = {
    ANSWER_HEAD,
    TEXT(struct status, version, "version of the program"),
    TEXT(struct status, aead, "library that protects packets: `ipsec-mb` or `gnutls`"),
    UINT(struct status, pid, "process that carries the packets"),
    TEXT(struct status, state,
         "server: `listening`, or `waiting` without its interface; client: `idle`, `connecting`, "
         "`up`, `pause` or `failed`"),
    TEXT(struct status, reason, "why, when the state is not a working one"),
    NAMED("started", FIELD_TIME, struct status, started_s, "when the instance started"),
    UINT(struct status, uptime_s, "the same in seconds ago"),
    UINT(struct status, state_age_s, "how long the state lasts, in seconds"),
    NAMED("down_since", FIELD_TIME, struct status, down_since_s,
          "client: since when the tunnel is not up; null: it is up"),
    UINT(struct status, down_s, "the same in seconds ago"),
    STRINGS(struct status, warnings, "what someone should look at"),
    TEXT(struct status, treatment,
         "client with several paths: their policy, and what else holds for packets; else empty"),
    STRINGS(struct status, listen, "server: addresses and UDP ports that it listens on"),
    OPTIONAL(struct status, server, server, "client: the server"),
    OBJECT(struct status, tunnel, tunnel, "our end of the tunnel"),
    OBJECT(
        struct status, offloads, offloads,
        "what kernel and devices do for us; false: they cannot, refused it, or are not there now"),
    OBJECT(struct status, traffic, counts, "inner packets, of all peers"),
    OBJECT(struct status, queue, queue, "egress queue, of all peers"),
    LIST(struct status, paths, struct status_path, PATHS_MAX, path, "client: its paths"),
    NAMED("peers_up", FIELD_UINT, struct status, n_peers_up, "server: connected peers"),
    LIST(struct status, peers, struct status_peer, STATUS_PEERS_MAX, peer, "server: its peers"),
    LIST(struct status, absent, struct status_absent, STATUS_PEERS_MAX, absent,
         "server: peers that are not there: the last 1024 that went, and entries of the "
         "configuration"),
    NAMED("drops", FIELD_DROPS, struct status, drops,
          "dropped packets: a member for every reason, 0 included"),
    OBJECT(struct status, handshakes, handshakes, "QUIC handshakes"),
    OPTIONAL(struct status, certificate, cert, "our own certificate"),
    OPTIONAL(struct status, last_error, last_error, "the last thing that went wrong"),
    {0},
};

const struct field schema_peers[] = {
    ANSWER_HEAD,
    NAMED("peers_up", FIELD_UINT, struct status, n_peers_up, "server: connected peers"),
    LIST(struct status, peers, struct status_peer, STATUS_PEERS_MAX, peer, "server: its peers"),
    LIST(struct status, absent, struct status_absent, STATUS_PEERS_MAX, absent,
         "server: peers that are not there: the last 1024 that went, and entries of the "
         "configuration"),
    {0},
};

const struct field schema_paths[] = {
    ANSWER_HEAD,
    TEXT(struct status, state, "`idle`, `connecting`, `up`, `pause` or `failed`"),
    TEXT(struct status, reason, "why, when the state is not a working one"),
    LIST(struct status, paths, struct status_path, PATHS_MAX, path, "client: its paths"),
    {0},
};

static const char *const type_names[] = {
    [FIELD_TEXT] = "string",           [FIELD_UINT] = "integer",
    [FIELD_INT] = "integer",           [FIELD_BOOL] = "boolean",
    [FIELD_TIME] = "time or null",     [FIELD_STRINGS] = "array of strings",
    [FIELD_DROPS] = "object",          [FIELD_GROUP] = "object",
    [FIELD_OBJECT] = "object",         [FIELD_OPTIONAL] = "object or null",
    [FIELD_LIST] = "array of objects",
};

/* Names of enclosing objects go down the calls as a linked list. */
struct trail {
    const struct trail *up;
    const char *name;
    bool list;
};

static void write_trail(const struct trail *t, FILE *out)
{
    if (!t)
        return;
    write_trail(t->up, out);
    fprintf(out, "%s%s.", t->name, t->list ? "[]" : "");
}

static void write_fields(const struct field *fields, const struct trail *up, FILE *out)
{
    for (const struct field *f = fields; f->name; f++) {
        struct trail here = {.up = up, .name = f->name, .list = f->type == FIELD_LIST};

        if (f->text) {
            fputs("| `", out);
            write_trail(up, out);
            fprintf(out, "%s` | %s | %s |\n", f->name, type_names[f->type], f->text);
        }
        if (f->sub)
            write_fields(f->sub, &here, out);
    }
}

void status_write_schema(FILE *out)
{
    write_fields(schema_status, NULL, out);
}
