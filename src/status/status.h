/* A snapshot of one instance, as plain values: filled by the daemon, written as JSON and read back
 * from it, rendered as text. It holds no live object, so every renderer works from the same facts.
 *
 *      daemon -> struct status -> status_json() -> control socket -> status_from_json()
 *             -> struct status -> status_write_text()
 *
 * The names, types and meanings of the JSON stand in one table (schema.c); doc/status.md holds
 * the same table for people, and a test compares the two. A name never changes its meaning; new
 * ones may come, and a reader ignores what it does not know.
 *
 * Texts are valid UTF-8 without control characters: they may have come from a peer.
 */
#ifndef STATUS_STATUS_H
#define STATUS_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/drop.h"

enum {
    STATUS_SCHEMA = 1, /* grows when a name changes its meaning or goes */
    STATUS_NAME_MAX = 64,
    STATUS_WORD_MAX = 32,
    STATUS_ADDR_MAX = 64,
    STATUS_HOST_MAX = 256,
    STATUS_TEXT_MAX = 320,
    STATUS_PATH_STEPS = 5,        /* of each path that the text tells */
    STATUS_PEERS_MAX = 65536,     /* what a reader takes */
    STATUS_STRINGS_MAX = 65536,   /* of one list */
    STATUS_EXPIRY_WARN_DAYS = 14, /* below that a certificate is a warning */
    STATUS_TEXT_PEERS = 16        /* peers that the text of `status` lists */
};

/* Texts, each from malloc(). */
struct status_strings {
    char **v;
    size_t n;
};

struct status_counts {
    uint64_t rx_packets, rx_bytes; /* out of the tunnel */
    uint64_t tx_packets, tx_bytes; /* into the tunnel */
};

struct status_queue {
    uint64_t bytes, packets, max_bytes;
};

struct status_cert {
    bool present;
    char subject[STATUS_TEXT_MAX];
    struct status_strings names; /* DNS names and addresses */
    char serial[STATUS_ADDR_MAX];
    int64_t not_before_s, not_after_s; /* seconds since 1970 */
    int64_t days_left;                 /* whole days; negative: expired */
};

/* What QUIC knows of one connection, or of several together: then round trips are those of the
 * first. */
struct status_quic {
    uint64_t rtt_latest_us, rtt_min_us, rtt_smoothed_us, rtt_variance_us;
    uint64_t cwnd_bytes, in_flight_bytes;
    struct status_counts udp;
    uint64_t datagrams_tx, datagrams_acked, datagrams_lost, datagrams_rx;
    uint64_t heard_s; /* since the last datagram from there */
};

/* One connection of a path. */
struct status_lane {
    uint64_t number; /* 0: the one that is opened first and closed last */
    char local[STATUS_ADDR_MAX];
    struct status_quic quic;
};

/* client: one state that a path has been in. */
struct status_step {
    char state[STATUS_WORD_MAX];
    char reason[STATUS_TEXT_MAX];
    int64_t time_s;
    uint64_t age_s;
};

/* What came over a path, in units of the session's order: packets, or pieces of super-packets. */
struct status_order {
    uint64_t units;
    uint64_t reordered; /* of them behind later ones of their flow: overtaken, or sent again */
    uint64_t waited;    /* of them delivered after waiting for earlier ones, */
    uint64_t wait_us;   /* in all so long */
};

/* One path; without a connection (lanes 0) only state, names and addresses are known. */
struct status_path {
    char name[STATUS_NAME_MAX];
    uint64_t number;
    char state[STATUS_WORD_MAX]; /* idle connecting up suspect lossy pause failed */
    char reason[STATUS_TEXT_MAX];
    uint64_t state_age_s;
    bool in_use; /* the policy gives it packets now */
    uint64_t priority, weight;
    uint64_t rate_bps;       /* that it delivered lately, outwards; 0: not known */
    uint64_t extra_delay_us; /* longer than over the fastest path */
    uint64_t taken_over;     /* datagrams that went again because it did not answer */
    uint64_t share_percent;  /* of the UDP bytes of all paths, both ways, since each began */
    struct status_order order;
    struct status_step *history; /* client: the last one first */
    size_t n_history;

    char local[STATUS_ADDR_MAX], remote[STATUS_ADDR_MAX];
    char interface[STATUS_WORD_MAX];
    uint64_t lanes;
    uint64_t lanes_wanted; /* client: by what the path carries and loses */
    struct status_quic quic;
    uint64_t udp_payload_bytes;    /* of one UDP datagram, as found by the path MTU search */
    uint64_t packet_max_bytes;     /* largest IP packet that one datagram carries */
    bool mtu_known;                /* false: still searching, the sizes are lower bounds */
    struct status_lane *each_lane; /* client */
    size_t n_each_lane;
};

struct status_peer {
    char name[STATUS_NAME_MAX], instance[STATUS_NAME_MAX];
    char remote[STATUS_ADDR_MAX];
    int64_t since_s;
    uint64_t age_s;
    int64_t cert_until_s;
    struct status_strings addresses, prefixes, learned;
    uint64_t learned_total;
    uint64_t bad_sources; /* dropped because of their source */
    struct status_counts traffic;
    struct status_queue queue;
    struct status_path *paths;
    size_t n_paths;
};

/* server: one that is not there. */
struct status_absent {
    char name[STATUS_NAME_MAX], instance[STATUS_NAME_MAX];
    char remote[STATUS_ADDR_MAX]; /* that it came from last */
    int64_t last_seen_s;          /* 0: not since the server's start */
    uint64_t gone_s;
    int64_t cert_until_s;
    char reason[STATUS_TEXT_MAX]; /* why it went */
};

/* client: the hub. */
struct status_server {
    bool present;
    char host[STATUS_HOST_MAX]; /* as configured */
    uint64_t port;
    char address[STATUS_ADDR_MAX]; /* what the host resolved to; "" not yet */
    char name[STATUS_HOST_MAX];    /* of its certificate */
    struct status_cert certificate;
};

struct status_tunnel {
    char interface[STATUS_WORD_MAX];
    bool exists;      /* false: somebody has deleted it, it will be made anew */
    uint64_t repairs; /* times that what somebody had changed was put right */
    uint64_t mtu_bytes;
    bool mtu_automatic;              /* follows the path */
    struct status_strings addresses; /* of the interface */
    struct status_strings assigned;  /* client: what the hub has given */
};

/* What kernel and devices do for us in one go; false: they cannot, or refused it. */
struct status_offloads {
    bool tun_tso, tun_uso; /* super-packets of TCP, of UDP, from and to the TUN */
    bool udp_gso, udp_gro; /* bursts of datagrams sent, received; of every socket */
};

struct status_error {
    bool present;
    char text[STATUS_TEXT_MAX];
    int64_t time_s;
    uint64_t age_s;
};

struct status_handshakes {
    uint64_t begun, completed, failed; /* connections */
    uint64_t refused;                  /* server: no answer: limits, or a bad token */
    uint64_t retried;                  /* server: told to prove their address (Retry) */
    uint64_t junk, resets, unanswered; /* server: see quic_endpoint_stats */
    uint64_t open;                     /* server: now not authenticated yet */
};

/* Start from {0} or status_init(); status_done() frees what it holds. */
struct status {
    uint64_t schema;
    char instance[STATUS_NAME_MAX];
    char role[STATUS_WORD_MAX]; /* client, server */
    char version[STATUS_WORD_MAX];
    char aead[STATUS_WORD_MAX]; /* the library that protects packets */
    uint64_t pid;
    char state[STATUS_WORD_MAX]; /* client: idle connecting up pause failed; server: listening
                                    waiting */
    char reason[STATUS_TEXT_MAX];
    int64_t now_s, started_s;
    uint64_t uptime_s, state_age_s;
    int64_t down_since_s; /* client: since when the tunnel is not up; 0: it is */
    uint64_t down_s;
    struct status_strings warnings;
    char treatment[STATUS_TEXT_MAX]; /* client with several paths: of its packets; else "" */
    struct status_strings listen;    /* server */
    struct status_server server;     /* client */
    struct status_tunnel tunnel;
    struct status_offloads offloads;
    struct status_counts traffic;
    struct status_queue queue;
    struct status_path *paths; /* client */
    size_t n_paths;
    uint64_t n_peers_up; /* server */
    struct status_peer *peers;
    size_t n_peers;
    struct status_absent *absent;
    size_t n_absent;
    struct drop_counters drops;
    struct status_handshakes handshakes;
    struct status_cert certificate; /* our own */
    struct status_error last_error;
};

void status_init(struct status *s);
void status_done(struct status *s);

/* Copy src to dst, cut to fit at a character's border; what is not printable UTF-8 becomes '?'. */
void status_set_text(char *dst, size_t size, const char *src);

/* Append such a text. Returns 0 or -ENOMEM. */
int status_add_string(struct status_strings *l, const char *src);

/* Room for n elements, zeroed; NULL when out of memory or n is 0. */
struct status_peer *status_make_peers(struct status *s, size_t n);
struct status_absent *status_make_absent(struct status *s, size_t n);
struct status_path *status_make_paths(struct status_path **v, size_t *ret_n, size_t n);
struct status_lane *status_make_lanes(struct status_path *p, size_t n);
struct status_step *status_make_steps(struct status_path *p, size_t n);

/* Fill days_left from not_after_s, and append a warning when the certificate has expired or does
 * so in fewer than STATUS_EXPIRY_WARN_DAYS; whose names it ("the certificate", "the server's
 * certificate"). Returns 0 or -ENOMEM. */
int status_note_expiry(struct status *s, struct status_cert *cert, const char *whose);

/* "expires in 3 days, at 2026-..." or "has expired at 2026-...". False, and no text, when there are
 * STATUS_EXPIRY_WARN_DAYS and more left. */
bool status_expiry_str(int64_t now_s, int64_t until_s, char buf[static STATUS_TEXT_MAX]);

/* The instance works: a server listens, a client's tunnel is up. */
bool status_is_up(const struct status *s);

/* One line of JSON (indent 0) or several, without a newline at the end. status_json() holds
 * everything, status_peers_json() and status_paths_json() who is asked and the peers or paths only.
 * Free the result; NULL when out of memory. */
char *status_json(const struct status *s, unsigned indent);
char *status_peers_json(const struct status *s, unsigned indent);
char *status_paths_json(const struct status *s, unsigned indent);

/* Read either back. Fields that are missing stay empty, unknown ones are ignored. Returns 0, or
 * -EINVAL when it is not such JSON, -E2BIG, -ENOMEM; *ret is then as status_init() leaves it. */
int status_from_json(const char *text, size_t len, struct status *ret);

/* For people. */
void status_write_text(const struct status *s, FILE *out);
void status_write_peers(const struct status *s, FILE *out);

/* Fill share_percent of all of them from their UDP counters. */
void status_share_paths(struct status_path *v, size_t n);

/* The paths of a client as a table, and their last states. before: an earlier snapshot of the same
 * instance, of so long ago, to tell rates and shares of the time in between; NULL: of all the
 * time. */
void status_write_paths(const struct status *s, const struct status *before, uint64_t ago_ns,
                        FILE *out);

/* The same for those of the first n peers of a server that have several. Part of what
 * status_write_text() and status_write_peers() write. */
void status_write_peer_paths(const struct status *s, size_t n, unsigned indent, FILE *out);

/* "13.2 MiB", "512 B"; "3d 4h", "12m 5s", "7s". Return buf. */
char *status_bytes_str(uint64_t bytes, char buf[static STATUS_WORD_MAX]);
char *status_duration_str(uint64_t s, char buf[static STATUS_WORD_MAX]);

/* "2026-01-31T12:00:00Z"; "" for 0. Return buf. */
char *status_time_str(int64_t s, char buf[static STATUS_WORD_MAX]);

/* The schema as lines of a Markdown table: | `path.rtt_us.min` | integer | meaning | */
void status_write_schema(FILE *out);

#endif
