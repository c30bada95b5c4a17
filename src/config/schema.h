/* The table of keys: the one place that knows their names, types, ranges, defaults and help.
 * Parser, checks, `mpquic print` and mpquic.yaml(5) are driven by it. */
#ifndef CONFIG_SCHEMA_H
#define CONFIG_SCHEMA_H

#include "config/config.h"

/* The keys of the file, in the order in which they are printed. */
enum config_key_id {
    CONFIG_KEY_ROLE,
    CONFIG_KEY_BIND_IP,
    CONFIG_KEY_REMOTE_ADDR,
    CONFIG_KEY_REMOTE_PORT,
    CONFIG_KEY_TUN_NAME,
    CONFIG_KEY_TUN_CIDR,
    CONFIG_KEY_TUN_NETWORK,
    CONFIG_KEY_INSTANCE_ID,
    CONFIG_KEY_ROUTES,
    CONFIG_KEY_ROUTE_TABLE,
    CONFIG_KEY_SOURCE_TABLE,
    CONFIG_KEY_MTU,
    CONFIG_KEY_TLS_CERT_FILE,
    CONFIG_KEY_TLS_KEY_FILE,
    CONFIG_KEY_TLS_CA_FILE,
    CONFIG_KEY_TLS_CRL_FILE,
    CONFIG_KEY_TLS_SERVER_NAME,
    CONFIG_KEY_TLS_INSECURE_SKIP_VERIFY,
    CONFIG_KEY_TOKEN_FILE,
    CONFIG_KEY_TOKENS_FILE,
    CONFIG_KEY_ALLOWED_CLIENTS,
    CONFIG_KEY_PEER_PREFIXES,
    CONFIG_KEY_MULTI_CONN_ENABLED,
    CONFIG_KEY_ADDRESS_POOL,
    CONFIG_KEY_PEERS,
    CONFIG_KEY_PEER_TO_PEER,
    CONFIG_KEY_MAX_PEERS,
    CONFIG_KEY_CONGESTION_CONTROL,
    CONFIG_KEY_SESSION_EXTENSION,
    CONFIG_KEY_LANES,
    CONFIG_KEY_LOG_LEVEL,
    CONFIG_KEY_TELEMETRY_INTERVAL,
    CONFIG_KEY_MULTIPATH_ENABLED,
    CONFIG_KEY_MULTIPATH_POLICY,
    CONFIG_KEY_MULTIPATH_PIN,
    CONFIG_KEY_MULTIPATH_COPIES,
    CONFIG_KEY_MULTIPATH_RECOVERY,
    CONFIG_KEY_MULTIPATH_DEADLINE,
    CONFIG_KEY_MULTIPATH_ORDER,
    CONFIG_KEY_MULTIPATH_PATHS,
    CONFIG_KEY_COUNT
};
_Static_assert((int)CONFIG_KEY_COUNT <= (int)CONFIG_KEYS_MAX, "config_report.where is too small");

/* The keys of one entry of multipath_paths. */
enum config_path_key_id {
    CONFIG_PATH_KEY_NAME,
    CONFIG_PATH_KEY_BIND_IP,
    CONFIG_PATH_KEY_REMOTE_ADDR,
    CONFIG_PATH_KEY_REMOTE_PORT,
    CONFIG_PATH_KEY_PRIORITY,
    CONFIG_PATH_KEY_WEIGHT,
    CONFIG_PATH_KEY_COUNT
};

/* The keys of one entry of peers. */
enum config_peer_key_id {
    CONFIG_PEER_KEY_NAME,
    CONFIG_PEER_KEY_INSTANCE_ID,
    CONFIG_PEER_KEY_ADDRESSES,
    CONFIG_PEER_KEY_PREFIXES,
    CONFIG_PEER_KEY_COUNT
};

/* What one value (of a list: one element) is; value.c reads and prints each. */
enum config_type {
    CONFIG_TYPE_BOOL,
    CONFIG_TYPE_ENUM,    /* an int-sized enum; names[] */
    CONFIG_TYPE_UINT,    /* uint16_t or uint32_t; min..max; zero_word stands for 0 */
    CONFIG_TYPE_RANGE,   /* struct config_range; MIN..MAX or a number, within min..max */
    CONFIG_TYPE_IFNAME,  /* a network interface name */
    CONFIG_TYPE_HOST,    /* a host name or a literal address */
    CONFIG_TYPE_PATH,    /* a file name */
    CONFIG_TYPE_NAME,    /* free text without control characters */
    CONFIG_TYPE_LABEL,   /* letters, digits, "-", "_", "." */
    CONFIG_TYPE_BIND,    /* an address or "if:NAME" */
    CONFIG_TYPE_ADDR,    /* the address of a host in the tunnel */
    CONFIG_TYPE_IFADDR,  /* ADDR/LEN, a host inside its network */
    CONFIG_TYPE_PREFIX,  /* ADDR/LEN without host bits */
    CONFIG_TYPE_NET,     /* the same, or ADDR, which is one address (struct ip_prefix) */
    CONFIG_TYPE_ROUTER,  /* the address of a router, which may be link-local */
    CONFIG_TYPE_SECTION, /* a mapping with keys of its own */
    CONFIG_TYPE_COUNT
};

enum {
    CONFIG_FOR_CLIENT = 1 << CONFIG_ROLE_CLIENT,
    CONFIG_FOR_SERVER = 1 << CONFIG_ROLE_SERVER,
    CONFIG_FOR_BOTH = CONFIG_FOR_CLIENT | CONFIG_FOR_SERVER
};

struct config_section;

struct config_key {
    const char *name;
    enum config_type type;
    unsigned roles;    /* CONFIG_FOR_*: where the key means something */
    unsigned required; /* CONFIG_FOR_*: where it must stand; in a section any bit means always */
    bool role_strict;  /* in a file of the other role: an error, not a warning */
    bool live;         /* a running instance can take a change over */

    size_t offset, size;      /* of the field, or of a list's first element and one element */
    unsigned list_max;        /* 0: a single value; else a list of up to this many */
    bool list_heap;           /* the field is a pointer to the elements, which the struct owns */
    size_t count_offset;      /* of a list's unsigned count */
    uint32_t min, max;        /* UINT, RANGE */
    const char *zero_word;    /* UINT: the word for 0; list: for an empty one; or NULL */
    const char *const *names; /* ENUM: NULL-terminated, in the order of the values */
    const struct config_section *section; /* SECTION */

    const char *def;     /* default, as one writes it; NULL = unset */
    const char *unset;   /* what holds when it is unset, for people; NULL when required */
    const char *example; /* a value, as one writes it */
    const char *help;    /* one line */
    const char *man;     /* whole sentences for the manual page, or NULL */
};

struct config_section {
    const struct config_key *keys;
    unsigned n_keys;
    const char *what;  /* what a mapping of these keys describes: "path" */
    const char *where; /* the key whose entries they are; NULL: the file itself */
};

/* Every key of the file, indexed by enum config_key_id; of multipath_paths, by
 * enum config_path_key_id; of peers, by enum config_peer_key_id. */
extern const struct config_section config_schema;
extern const struct config_section config_path_schema;
extern const struct config_section config_peer_schema;

/* The key called name, or NULL. */
const struct config_key *config_key_find(const struct config_section *s, const char *name);

/* The number of values of a key in its struct (of a single value: 1), and the i-th of them. */
unsigned config_key_count(const struct config_key *k, const void *object);
const void *config_key_value(const struct config_key *k, const void *object, unsigned i);

/* The name of a role as it stands in the file. */
const char *config_role_name(enum config_role role);

/* Set every field of the section's struct to its default, or to zero where there is none. */
void config_defaults(const struct config_section *s, void *object, size_t size);

/* What may stand as a value, for people: "true or false", "1 to 65535". Returns buf. */
const char *config_key_values(const struct config_key *k, char *buf, size_t size);

#endif
