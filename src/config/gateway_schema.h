/* Keys of the gateway's configuration, in the order of gateway_schema.c. */
#ifndef CONFIG_GATEWAY_SCHEMA_H
#define CONFIG_GATEWAY_SCHEMA_H

#include "config/gateway.h"
#include "config/schema.h"

/* How the tables of keys are written. */
#define ALL CONFIG_FOR_BOTH
#define FIELD(type, field)                                \
    .roles = ALL, .offset = offsetof(struct type, field), \
    .size = sizeof(((struct type *)NULL)->field)
#define LIST(type, field, max_n) LIST_COUNTED(type, field, n_##field, max_n)
#define LIST_COUNTED(type, field, count, max_n)                                                    \
    .roles = ALL, .offset = offsetof(struct type, field),                                          \
    .size = sizeof(((struct type *)NULL)->field[0]), .count_offset = offsetof(struct type, count), \
    .list_max = (max_n)

enum gateway_key_id {
    GATEWAY_KEY_LINKS,
    GATEWAY_KEY_PROBES,
    GATEWAY_KEY_POLICIES,
    GATEWAY_KEY_NAT,
    GATEWAY_KEY_PORT_FORWARDS,
    GATEWAY_KEY_ROUTES,
    GATEWAY_KEY_DNS,
    GATEWAY_KEY_OPEN_UDP,
    GATEWAY_KEY_FORWARD,
    GATEWAY_KEY_CLOSED,
    GATEWAY_KEY_IPV6,
    GATEWAY_KEY_FIRST_PRIORITY,
    GATEWAY_KEY_LAST_PRIORITY,
    GATEWAY_KEY_MARK,
    GATEWAY_KEY_MARK_MASK,
    GATEWAY_KEY_LOG_LEVEL,
    GATEWAY_KEY_EVENT_LOG,
    GATEWAY_KEY_COUNT
};

enum gateway_link_key_id {
    GATEWAY_LINK_KEY_NAME,
    GATEWAY_LINK_KEY_TYPE,
    GATEWAY_LINK_KEY_DEVICE,
    GATEWAY_LINK_KEY_TABLE,
    GATEWAY_LINK_KEY_MARK,
    GATEWAY_LINK_KEY_GATEWAY,
    GATEWAY_LINK_KEY_OVER,
    GATEWAY_LINK_KEY_HUB,
    GATEWAY_LINK_KEY_PROBE,
    GATEWAY_LINK_KEY_INSTANCE,
    GATEWAY_LINK_KEY_MASQUERADE,
    GATEWAY_LINK_KEY_PREFIXES,
    GATEWAY_LINK_KEY_COUNT
};

enum gateway_probe_key_id {
    GATEWAY_PROBE_KEY_NAME,
    GATEWAY_PROBE_KEY_TYPE,
    GATEWAY_PROBE_KEY_TARGETS,
    GATEWAY_PROBE_KEY_PORT,
    GATEWAY_PROBE_KEY_QUERY,
    GATEWAY_PROBE_KEY_RECORD,
    GATEWAY_PROBE_KEY_EXPECT,
    GATEWAY_PROBE_KEY_HOST,
    GATEWAY_PROBE_KEY_PATH,
    GATEWAY_PROBE_KEY_METHOD,
    GATEWAY_PROBE_KEY_STATUS,
    GATEWAY_PROBE_KEY_VERIFY,
    GATEWAY_PROBE_KEY_CA_FILE,
    GATEWAY_PROBE_KEY_NEED,
    GATEWAY_PROBE_KEY_INTERVAL,
    GATEWAY_PROBE_KEY_TIMEOUT,
    GATEWAY_PROBE_KEY_DOWN,
    GATEWAY_PROBE_KEY_UP,
    GATEWAY_PROBE_KEY_LOSS,
    GATEWAY_PROBE_KEY_LATENCY,
    GATEWAY_PROBE_KEY_WINDOW,
    GATEWAY_PROBE_KEY_COUNT
};

enum gateway_policy_key_id {
    GATEWAY_POLICY_KEY_INGRESS,
    GATEWAY_POLICY_KEY_NAME,
    GATEWAY_POLICY_KEY_PIN,
    GATEWAY_POLICY_KEY_BALANCE,
    GATEWAY_POLICY_KEY_FAILOVER,
    GATEWAY_POLICY_KEY_LAST_RESORT,
    GATEWAY_POLICY_KEY_STICKY,
    GATEWAY_POLICY_KEY_STICKY_TIME,
    GATEWAY_POLICY_KEY_EXISTING,
    GATEWAY_POLICY_KEY_SOURCE,
    GATEWAY_POLICY_KEY_DESTINATION,
    GATEWAY_POLICY_KEY_PROTOCOL,
    GATEWAY_POLICY_KEY_PORTS,
    GATEWAY_POLICY_KEY_DSCP,
    GATEWAY_POLICY_KEY_MARK,
    GATEWAY_POLICY_KEY_MARK_MASK,
    GATEWAY_POLICY_KEY_PRIORITY,
    GATEWAY_POLICY_KEY_REACH,
    GATEWAY_POLICY_KEY_COUNT
};

enum gateway_map_key_id {
    GATEWAY_MAP_KEY_LINK,
    GATEWAY_MAP_KEY_INSIDE,
    GATEWAY_MAP_KEY_OUTSIDE,
    GATEWAY_MAP_KEY_DELEGATED,
    GATEWAY_MAP_KEY_SUBNET,
    GATEWAY_MAP_KEY_INBOUND,
    GATEWAY_MAP_KEY_COUNT
};

enum gateway_port_forward_key_id {
    GATEWAY_PORT_FORWARD_KEY_LINK,
    GATEWAY_PORT_FORWARD_KEY_PROTOCOL,
    GATEWAY_PORT_FORWARD_KEY_PORTS,
    GATEWAY_PORT_FORWARD_KEY_ADDRESS,
    GATEWAY_PORT_FORWARD_KEY_TO,
    GATEWAY_PORT_FORWARD_KEY_TO_PORT,
    GATEWAY_PORT_FORWARD_KEY_COUNT
};

enum gateway_route_key_id {
    GATEWAY_ROUTE_KEY_PREFIX,
    GATEWAY_ROUTE_KEY_VIA,
    GATEWAY_ROUTE_KEY_DEVICE,
    GATEWAY_ROUTE_KEY_COUNT
};

/* Of an entry of balance. */
enum gateway_way_key_id {
    GATEWAY_WAY_KEY_LINK,
    GATEWAY_WAY_KEY_WEIGHT,
    GATEWAY_WAY_KEY_TIER,
    GATEWAY_WAY_KEY_COUNT
};

enum { GATEWAY_ENTRY_KEYS_MAX = 32 };

enum gateway_dns_key_id {
    GATEWAY_DNS_KEY_LINK,
    GATEWAY_DNS_KEY_FAMILY,
    GATEWAY_DNS_KEY_NAME,
    GATEWAY_DNS_KEY_ZONE,
    GATEWAY_DNS_KEY_SERVER,
    GATEWAY_DNS_KEY_PORT,
    GATEWAY_DNS_KEY_TTL,
    GATEWAY_DNS_KEY_KEY,
    GATEWAY_DNS_KEY_URL,
    GATEWAY_DNS_KEY_COUNT
};

/* Where the values of one entry stand: line 0 when the key is not there. */
struct gateway_places {
    struct config_where at;                                                    /* the entry */
    struct config_where key[GATEWAY_ENTRY_KEYS_MAX];                           /* its values */
    struct config_where element[GATEWAY_ENTRY_KEYS_MAX][GATEWAY_PREFIXES_MAX]; /* of its lists */
    bool bad; /* one of its values could not be read */
};
_Static_assert((int)GATEWAY_LINK_KEY_COUNT <= (int)GATEWAY_ENTRY_KEYS_MAX &&
                   (int)GATEWAY_POLICY_KEY_COUNT <= (int)GATEWAY_ENTRY_KEYS_MAX &&
                   (int)GATEWAY_PROBE_KEY_COUNT <= (int)GATEWAY_ENTRY_KEYS_MAX &&
                   (int)GATEWAY_MAP_KEY_COUNT <= (int)GATEWAY_ENTRY_KEYS_MAX &&
                   (int)GATEWAY_PORT_FORWARD_KEY_COUNT <= (int)GATEWAY_ENTRY_KEYS_MAX &&
                   (int)GATEWAY_ROUTE_KEY_COUNT <= (int)GATEWAY_ENTRY_KEYS_MAX &&
                   (int)GATEWAY_DNS_KEY_COUNT <= (int)GATEWAY_ENTRY_KEYS_MAX &&
                   (int)GATEWAY_WAY_KEY_COUNT <= (int)GATEWAY_ENTRY_KEYS_MAX &&
                   (int)GATEWAY_TARGETS_MAX <= (int)GATEWAY_PREFIXES_MAX &&
                   (int)GATEWAY_PORTS_MAX <= (int)GATEWAY_PREFIXES_MAX &&
                   (int)GATEWAY_WAYS_MAX <= (int)GATEWAY_PREFIXES_MAX,
               "key[] or element[] is too small");

struct gateway_input {
    const struct gateway_config *config;
    struct config_where key[GATEWAY_KEY_COUNT];
    struct gateway_places link[GATEWAY_LINKS_MAX], policy[GATEWAY_POLICIES_MAX];
    struct gateway_places probe[GATEWAY_PROBES_MAX];
    struct gateway_places map[GATEWAY_MAPS_MAX], route[GATEWAY_ROUTES_MAX];
    struct gateway_places port_forward[GATEWAY_PORT_FORWARDS_MAX];
    struct gateway_places dns[GATEWAY_DNS_MAX];
};

/* The rules between keys; each violation is reported. */
void gateway_check_rules(const struct gateway_input *in, struct config_report *report);

/* Those of nat, port_forwards and routes; those of dns. */
void gateway_check_nat(const struct gateway_input *in, struct config_report *report);
void gateway_check_dns(const struct gateway_input *in, struct config_report *report);

/* The part of them that is about what a probe asks. */
void gateway_check_probe(const struct gateway_input *in, unsigned i, struct config_report *report);

/* Those of policies alone, as part of it. */
void gateway_check_policies(const struct gateway_input *in, struct config_report *report);

#endif
