/* The configuration of one tunnel instance, as plain structs.
 *
 * YAML text -> (schema.c, positions kept) -> struct tunnel_config. One schema table drives the
 * parser, ranges, defaults, `mpquic print`, the help text and mpquic.yaml(5).
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/addr.h"
#include "base/log.h"

enum {
    CONFIG_NAME_MAX = 64,
    CONFIG_PATH_MAX = 256,
    CONFIG_HOST_MAX = 254,
    CONFIG_PREFIXES_MAX = 64,
    CONFIG_CLIENTS_MAX = 64,
    CONFIG_PATHS_MAX = 16,
    CONFIG_PATH_NAME_MAX = 16, /* the name of a path has 1 to 15 characters */
    CONFIG_LANES_MAX = 16,     /* of a path */
    CONFIG_TUN_ADDRS_MAX = 2,
    CONFIG_INSTANCE_MAX = 33, /* an instance id has 1 to 32 characters */
    CONFIG_ROUTES_MAX = 64,
    CONFIG_POOL_MAX = 16,
    CONFIG_PEERS_MAX = 1024,   /* entries of peers */
    CONFIG_TOKENS_MAX = 65536, /* lines of tokens_file, and the largest max_peers */
    CONFIG_PEER_ADDRS_MAX = 8,
    CONFIG_PEER_PREFIXES_MAX = 16
};

enum config_role { CONFIG_ROLE_CLIENT, CONFIG_ROLE_SERVER };
enum config_cc { CONFIG_CC_CUBIC, CONFIG_CC_BBR };
enum config_mp_policy {
    CONFIG_MP_PRIORITY,
    CONFIG_MP_FAILOVER,
    CONFIG_MP_BALANCED,
    CONFIG_MP_BOND,
    CONFIG_MP_PIN,
    CONFIG_MP_DUPLICATE,
    CONFIG_MP_LOWEST_LATENCY
};
enum config_mp_recovery { CONFIG_RECOVERY_RESEND, CONFIG_RECOVERY_NONE };
enum config_mp_order {
    CONFIG_ORDER_AUTO,
    CONFIG_ORDER_NONE,
    CONFIG_ORDER_REORDER,
    CONFIG_ORDER_RECOVER
};

/* Where the UDP socket is bound: to an address, or to an interface and whatever address it has
 * now ("if:NAME"), or to nothing (both empty: any address). */
struct config_bind {
    struct ip_addr addr; /* family 0 when not an address */
    char ifname[16];     /* "" when not an interface */
};

/* From min to max, both included. */
struct config_range {
    uint16_t min, max;
};

/* One entry of multipath_paths. */
struct config_path {
    char name[CONFIG_PATH_NAME_MAX];
    struct config_bind bind;
    char remote_addr[CONFIG_HOST_MAX]; /* "" = the instance's own */
    uint16_t remote_port;              /* 0 = the instance's own */
    uint32_t priority;
    uint32_t weight;
};

/* One entry of peers: what a hub keeps for one peer. The peer is known by the name that its
 * certificate or its token gives it, and by its instance id. An entry without an instance id
 * holds for every instance of that name that has no entry of its own. */
struct config_peer {
    char name[CONFIG_NAME_MAX];
    char instance_id[CONFIG_INSTANCE_MAX]; /* "" = any */
    struct ip_addr addr[CONFIG_PEER_ADDRS_MAX];
    unsigned n_addr; /* 0 = from the pool */
    struct ip_prefix prefix[CONFIG_PEER_PREFIXES_MAX];
    unsigned n_prefix;
};

/* config_parse() and config_load() make one, config_done() releases it. A copy by assignment is
 * complete but shares the peers: of all copies, one is to be released, and last. */
struct tunnel_config {
    enum config_role role;
    struct config_bind bind;
    char remote_addr[CONFIG_HOST_MAX]; /* client: literal address or host name */
    uint16_t remote_port;              /* client: the hub's port; server: the port to listen on */

    char tun_name[16];
    struct ip_prefix tun_addr[CONFIG_TUN_ADDRS_MAX];    /* at most one IPv4 and one IPv6 */
    unsigned n_tun_addr;                                /* client: 0 = auto, the server assigns */
    struct ip_prefix tun_network[CONFIG_TUN_ADDRS_MAX]; /* client: of assigned addresses */
    unsigned n_tun_network;
    char instance_id[CONFIG_INSTANCE_MAX]; /* client; "" = after tun_name: config_instance_id() */
    struct ip_prefix routes[CONFIG_ROUTES_MAX]; /* client: networks routed into the TUN */
    unsigned n_routes;
    uint32_t route_table;  /* client: of those routes; 0 = main */
    uint32_t source_table; /* client: of what the tunnel's addresses send; 0 = auto:
                              config_source_table() */
    uint32_t mtu;          /* 0 = auto: follow the path, at least 1280 */

    char tls_cert_file[CONFIG_PATH_MAX]; /* server: mandatory; client: unless a token is used */
    char tls_key_file[CONFIG_PATH_MAX];
    char tls_ca_file[CONFIG_PATH_MAX];     /* server: clients' CA; client: the server's CA */
    char tls_crl_file[CONFIG_PATH_MAX];    /* server: revoked client certificates */
    bool tls_insecure_skip_verify;         /* client only, never the default */
    char tls_server_name[CONFIG_HOST_MAX]; /* client: name in the server's certificate; "" =
                                              remote_addr */
    char token_file[CONFIG_PATH_MAX];      /* client: file with one bearer token */
    char tokens_file[CONFIG_PATH_MAX];     /* server: lines "NAME TOKEN" that are accepted */
    char allowed_clients[CONFIG_CLIENTS_MAX][CONFIG_NAME_MAX]; /* server: certificate names */
    unsigned n_allowed_clients;                                /* 0 = any client of the CA */

    /* server: sources allowed behind the peer; with multi_conn_enabled, where addresses behind
     * peers are learned */
    struct ip_prefix peer_prefixes[CONFIG_PREFIXES_MAX];
    unsigned n_peer_prefixes;
    bool multi_conn_enabled; /* server: many peers; false: one at a time */
    struct ip_prefix
        address_pool[CONFIG_POOL_MAX]; /* server: what peers get their addresses from */
    unsigned n_address_pool;           /* 0 = the networks of tun_addr */
    struct config_peer *peers;         /* server; owned, n_peers of them */
    unsigned n_peers;
    bool peer_to_peer;  /* server: peers reach each other */
    uint32_t max_peers; /* server: connected at a time */

    enum config_cc congestion_control;
    bool session_extension;    /* false: plain RFC 9484 with everybody */
    struct config_range lanes; /* client: QUIC connections of a path */
    enum log_level log_level;
    uint32_t telemetry_interval_s; /* 0 = off */

    bool multipath_enabled;
    enum config_mp_policy multipath_policy;
    char multipath_pin[CONFIG_PATH_NAME_MAX]; /* pin: the name of the path */
    uint32_t multipath_copies;                /* duplicate */
    enum config_mp_recovery multipath_recovery;
    enum config_mp_order multipath_order;
    uint32_t multipath_deadline_ms; /* 0 = as doc/protocol.md says of each class */
    struct config_path paths[CONFIG_PATHS_MAX];
    unsigned n_paths;
};

/* What a caller may have to tell apart among the errors. */
enum config_problem_kind {
    CONFIG_PROBLEM_OTHER,
    CONFIG_PROBLEM_NO_CLIENT_AUTH /* a server with neither tls_ca_file nor tokens_file */
};

/* One problem found in a file. Text taken from the file is escaped and cut in text and hint. */
struct config_problem {
    enum config_problem_kind kind;
    bool fatal;            /* error; else warning */
    unsigned line, column; /* from 1; 0 when the problem has no place in the file */
    char text[256];
    char hint[256]; /* "" when there is none */
};

/* Where a value stands in the file; line 0 when the key is not there. */
struct config_where {
    unsigned line, column;
};

enum { CONFIG_KEYS_MAX = 48, CONFIG_PROBLEMS_MAX = 200 };

/* Start from {0}; config_report_done() frees. At most CONFIG_PROBLEMS_MAX problems are kept;
 * n_errors counts all. */
struct config_report {
    struct config_problem *v; /* in order of position; owned */
    size_t n, n_errors;
    struct config_where where[CONFIG_KEYS_MAX]; /* by enum config_key_id (schema.h) */
};

/* Read and check FILE ("-" is standard input). All problems are reported, not just the first.
 * Returns 0 when there is no error (warnings allowed) and fills *ret; -EINVAL when the report has
 * errors; -errno when the file cannot be read (the report then holds one entry saying so); -ENOMEM.
 * *ret stays untouched on failure. A file is a regular one of at most 1 MiB; -EINVAL too when it is
 * none, -EFBIG when it is larger. */
int config_load(const char *file, struct tunnel_config *ret, struct config_report *report);

/* The same from memory. Pure: looks at nothing but the text. */
int config_parse(const char *text, size_t len, struct tunnel_config *ret,
                 struct config_report *report);

/* Report that the configuration itself cannot be read: err as of config_load(). */
void config_report_unreadable(struct config_report *report, int err);

/* Look at the files that the configuration names: certificates, keys, CA, tokens. One that is
 * missing, unreadable, of the wrong kind (a key where a certificate belongs) or empty is an
 * error, a secret that others may read is a warning; both are added to the report of the
 * config_load() that made *c. Returns 0, or -EINVAL when the report has errors. */
int config_check_files(const struct tunnel_config *c, struct config_report *report);

/* The same where another process opens them: key (enum config_key_id) names path. Returns a
 * descriptor, which the caller closes; -EINVAL: not a regular file; other -errno. */
typedef int config_open_fn(void *user, unsigned key, const char *path);
int config_check_files_by(const struct tunnel_config *c, struct config_report *report,
                          config_open_fn *open_file, void *user);

/* Write the report, a line each: "FILE:LINE:COLUMN: error: TEXT; HINT" or "...: warning: ...". */
void config_report_write(const struct config_report *report, const char *file, FILE *out);

void config_report_done(struct config_report *report);

/* The effective configuration as YAML, every key with its value, defaults included, which
 * config_parse() reads back to an equal struct. Returns a string to free(), or NULL when out of
 * memory. */
char *config_print(const struct tunnel_config *c);

bool config_equal(const struct tunnel_config *a, const struct tunnel_config *b);

/* Sets of keys: bit 1 << enum config_key_id (schema.h). */
struct config_diff {
    uint64_t changed;
    uint64_t fixed; /* of these, the ones that a running instance cannot take over */
};

/* What differs between two configurations. Two values are equal when they print the same; what a
 * file that is named holds is not looked at. */
struct config_diff config_diff(const struct tunnel_config *a, const struct tunnel_config *b);

/* The names of a set of keys, "mtu, peers", in the order of the schema; what does not fit is cut.
 * Returns buf. */
const char *config_key_names(uint64_t keys, char *buf, size_t size);

/* The instance id that a client names to its server: instance_id, or else tun_name with every
 * character that an id cannot have replaced by "_". */
void config_instance_id(const struct tunnel_config *c, char ret[static CONFIG_INSTANCE_MAX]);

/* The paths of a session: those of multipath_paths when multipath_enabled says so, or else one,
 * which is what the instance's own keys say. What a path does not have itself is the instance's. i
 * is below config_paths(). A server has one. */
unsigned config_paths(const struct tunnel_config *c);
const char *config_path_name(const struct tunnel_config *c, unsigned i); /* "": the only one */
const struct config_bind *config_path_bind(const struct tunnel_config *c, unsigned i);
const char *config_path_remote(const struct tunnel_config *c, unsigned i);
uint16_t config_path_port(const struct tunnel_config *c, unsigned i);

/* The table that packets from the tunnel's own addresses look into; 0: no rule says so. */
uint32_t config_source_table(const struct tunnel_config *c);

/* Whether a client's configuration leads what this machine sends to that address into the tunnel,
 * as far as that is sure: by the table main. Tells one of the networks that do. */
bool config_leads_in(const struct tunnel_config *c, const struct ip_addr *to,
                     struct ip_prefix *ret);

/* Release what c owns, and clear it. c may be {0}. */
void config_done(struct tunnel_config *c);

#endif
