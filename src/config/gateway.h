/* The configuration of the gateway, as plain structs: which links this machine has, what comes from
 * which interface leaves by which of them, and the firewall around that.
 *
 * YAML text -> (gateway_schema.c, positions kept) -> struct gateway_config. Pure: looks at nothing
 * but the text. */
#ifndef CONFIG_GATEWAY_H
#define CONFIG_GATEWAY_H

#include "config/config.h"

enum {
    GATEWAY_LINKS_MAX = 64,
    GATEWAY_POLICIES_MAX = 64,
    GATEWAY_PREFIXES_MAX = 16, /* of a link, and of what a policy lets through */
    GATEWAY_PORTS_MAX = 16,
    GATEWAY_PROBES_MAX = 16,
    GATEWAY_TARGETS_MAX = 8,  /* of a probe */
    GATEWAY_WINDOW_MAX = 120, /* rounds that loss and latency are reckoned over */
    GATEWAY_MAPS_MAX = 128,
    GATEWAY_PORT_FORWARDS_MAX = 32,
    GATEWAY_ROUTES_MAX = 64,
    GATEWAY_WAYS_MAX = 16, /* links of a balance, and of a failover */
    GATEWAY_MEMBERS_MAX = 2 * GATEWAY_WAYS_MAX,
    GATEWAY_DNS_MAX = 16,
    GATEWAY_URL_MAX = 512,
};

/* The ingress of what this machine sends itself. */
#define GATEWAY_LOCAL "local"

enum gateway_link_type { GATEWAY_LINK_WAN, GATEWAY_LINK_TUNNEL };

/* What becomes of a packet that has no way. */
enum gateway_closed { GATEWAY_CLOSED_BLACKHOLE, GATEWAY_CLOSED_UNREACHABLE };

enum gateway_forward { GATEWAY_FORWARD_ACCEPT, GATEWAY_FORWARD_DROP };

enum gateway_probe_type {
    GATEWAY_PROBE_ICMP,
    GATEWAY_PROBE_TCP,
    GATEWAY_PROBE_DNS,
    GATEWAY_PROBE_HTTP,
    GATEWAY_PROBE_HTTPS
};

enum gateway_record {
    GATEWAY_RECORD_A,
    GATEWAY_RECORD_AAAA,
    GATEWAY_RECORD_NS,
    GATEWAY_RECORD_SOA
};

enum gateway_expect {
    GATEWAY_EXPECT_ANSWER, /* the name exists, or it does not */
    GATEWAY_EXPECT_ANY,    /* any code of result */
    GATEWAY_EXPECT_ADDRESS,
    GATEWAY_EXPECT_NXDOMAIN
};

enum gateway_method { GATEWAY_METHOD_HEAD, GATEWAY_METHOD_GET };

/* How a link is found to work: in each round every target is asked once. */
struct gateway_probe {
    char name[CONFIG_PATH_NAME_MAX];
    enum gateway_probe_type type;
    uint16_t port;               /* 0: of ICMP */
    char query[CONFIG_HOST_MAX]; /* DNS; "": the root */
    enum gateway_record record;
    enum gateway_expect expect;
    char host[CONFIG_HOST_MAX]; /* HTTP; "": the address of the target */
    char path[CONFIG_PATH_MAX];
    enum gateway_method method;
    struct config_range status;
    bool verify;
    char ca_file[CONFIG_PATH_MAX]; /* "": what the system trusts */
    struct ip_addr targets[GATEWAY_TARGETS_MAX];
    unsigned n_targets;
    uint32_t need; /* of the targets of a family must answer; all where there are fewer */
    uint32_t interval_ms, timeout_ms;
    uint32_t down, up;     /* rounds in a row; 0: as many as take three seconds, or more */
    uint32_t loss_percent; /* 0: degraded by no loss */
    uint32_t latency_ms;   /* 0: degraded by no latency */
    uint32_t window;       /* rounds; 0: thirty seconds, 100 to GATEWAY_WINDOW_MAX rounds */
};

struct gateway_link {
    char name[CONFIG_PATH_NAME_MAX];
    enum gateway_link_type type;
    char device[16];
    uint32_t table;                   /* 0: none; nothing can be pinned to it */
    uint32_t mark;                    /* of the flows that use it; 0: none */
    struct ip_addr gateway;           /* of a WAN, where the kernel names none; family 0: none */
    char over[CONFIG_PATH_NAME_MAX];  /* of a tunnel: the WAN that carries it; "" = not known */
    struct ip_addr hub;               /* of a tunnel: its far end, reached over that WAN */
    char probe[CONFIG_PATH_NAME_MAX]; /* "": none */
    char instance[CONFIG_NAME_MAX];   /* of a tunnel: its telemetry is a target; "": none */
    bool masquerade;
    struct ip_prefix prefixes[GATEWAY_PREFIXES_MAX]; /* networks behind it */
    unsigned n_prefixes;
};

/* What a source, or a source with its destination, has in common: the link. */
enum gateway_sticky { GATEWAY_STICKY_OFF, GATEWAY_STICKY_SOURCE, GATEWAY_STICKY_BOTH };

/* What becomes of flows when their link gets no new ones any more: see doc/decisions/0017. */
enum gateway_existing { GATEWAY_EXISTING_DRAIN, GATEWAY_EXISTING_FLUSH, GATEWAY_EXISTING_KEEP };

enum gateway_only {
    GATEWAY_ONLY_ANY,
    GATEWAY_ONLY_TCP,
    GATEWAY_ONLY_UDP,
    GATEWAY_ONLY_ICMP, /* and ICMPv6 */
    GATEWAY_ONLY_COUNT
};

/* One link of a balance. */
struct gateway_way {
    char link[CONFIG_PATH_NAME_MAX];
    uint32_t weight; /* of new flows, beside the others of its tier */
    uint32_t tier;   /* 1: the first */
};

/* Which packets of its interface a policy is for: all that each of these says. */
struct gateway_match {
    struct ip_prefix source[GATEWAY_PREFIXES_MAX], destination[GATEWAY_PREFIXES_MAX];
    unsigned n_source, n_destination; /* 0: any */
    enum gateway_only protocol;
    struct config_range ports[GATEWAY_PORTS_MAX], dscp[GATEWAY_PORTS_MAX]; /* destination ports */
    unsigned n_ports, n_dscp;                                              /* 0: any */
    uint32_t mark, mark_mask;                                              /* mask 0: any */
};

/* What comes from the interface leaves by the link, or by one of the links, or not at all. Of the
 * policies of an interface the first that matches holds. */
struct gateway_policy {
    char ingress[16];
    char name[CONFIG_PATH_NAME_MAX]; /* "": none */
    char pin[CONFIG_PATH_NAME_MAX];  /* "": none */
    struct gateway_way balance[GATEWAY_WAYS_MAX];
    unsigned n_balance;
    char failover[GATEWAY_WAYS_MAX][CONFIG_PATH_NAME_MAX]; /* one after the other */
    unsigned n_failover;
    char last_resort[CONFIG_PATH_NAME_MAX]; /* "": none */
    enum gateway_sticky sticky;
    uint32_t sticky_s;
    enum gateway_existing existing;
    struct gateway_match match;
    uint32_t priority;
    struct ip_prefix reach[GATEWAY_PREFIXES_MAX]; /* by the routes of the table main all the same */
    unsigned n_reach;
};

/* Translation 1:1 on a link, both ways; host bits are kept. */
struct gateway_map {
    char link[CONFIG_PATH_NAME_MAX];
    struct ip_prefix inside;
    struct ip_prefix outside; /* as long as inside; family 0: a part of the delegated prefix */
    bool delegated;
    uint32_t subnet; /* which part, counted in prefixes as long as inside */
    bool inbound;    /* only for flows that come from outside */
};

enum gateway_protocol { GATEWAY_PROTOCOL_TCP, GATEWAY_PROTOCOL_UDP };

/* What comes from outside to a port of this machine goes to another one instead. */
struct gateway_port_forward {
    char link[CONFIG_PATH_NAME_MAX]; /* "": every wan */
    enum gateway_protocol protocol;
    struct config_range ports;
    struct ip_addr address; /* family 0: any of this machine that no map has */
    struct ip_addr to;
    uint16_t to_port; /* 0: the same */
};

/* A network behind an inner router, in the table main and in those of all links. */
struct gateway_route {
    struct ip_prefix prefix;
    struct ip_addr via; /* family 0: straight to the interface */
    char device[16];
};

enum gateway_dns_family { GATEWAY_DNS_IPV4, GATEWAY_DNS_IPV6 };

/* Who is told the address of a link: a name server (RFC 2136), or whoever is behind a URL. */
struct gateway_dns {
    char link[CONFIG_PATH_NAME_MAX];
    enum gateway_dns_family family;
    char name[CONFIG_HOST_MAX], zone[CONFIG_HOST_MAX]; /* "": there is a URL */
    struct ip_addr server;
    uint16_t port;
    uint32_t ttl_s;
    char key[CONFIG_PATH_MAX]; /* a file */
    char url[GATEWAY_URL_MAX]; /* with "{address}"; "": a name */
};

struct gateway_config {
    uint32_t first_priority, last_priority; /* every rule is within */
    uint32_t mark, mark_mask;               /* of what may leave by a link that masquerades */
    enum gateway_closed closed;
    enum gateway_forward forward; /* what no policy speaks of */
    bool ipv6;                    /* false: no IPv6 from a policed interface goes anywhere */
    enum log_level log_level;
    char event_log[CONFIG_PATH_MAX]; /* "": none */
    struct gateway_link links[GATEWAY_LINKS_MAX];
    unsigned n_links;
    struct gateway_probe probes[GATEWAY_PROBES_MAX];
    unsigned n_probes;
    struct gateway_policy policies[GATEWAY_POLICIES_MAX];
    unsigned n_policies;
    struct gateway_map nat[GATEWAY_MAPS_MAX];
    unsigned n_nat;
    struct gateway_port_forward port_forwards[GATEWAY_PORT_FORWARDS_MAX];
    unsigned n_port_forwards;
    struct gateway_route routes[GATEWAY_ROUTES_MAX];
    unsigned n_routes;
    struct gateway_dns dns[GATEWAY_DNS_MAX];
    unsigned n_dns;
    struct config_range open_udp[GATEWAY_PORTS_MAX];
    unsigned n_open_udp;
};

/* Read and check FILE ("-" is standard input). Everything as of config_load(); the struct owns
 * nothing. */
int gateway_config_load(const char *file, struct gateway_config *ret, struct config_report *report);

/* The same, with the text that was read, to be freed; NULL when it could not be read. */
int gateway_config_load_text(const char *file, struct gateway_config *ret,
                             struct config_report *report, char **ret_text);

/* The same from memory. */
int gateway_config_parse(const char *text, size_t len, struct gateway_config *ret,
                         struct config_report *report);

/* The link of that name: its index, or -1. */
int gateway_config_link(const struct gateway_config *c, const char *name);

/* The probe of that name: its index, or -1. */
int gateway_config_probe(const struct gateway_config *c, const char *name);

/* The probe of link i, with the default settings where it has an instance only; NULL: none. */
const struct gateway_probe *gateway_config_probe_of(const struct gateway_config *c, unsigned i);

/* Fill in what is unset and depends on its type: interval, timeout and port. */
void gateway_probe_complete(struct gateway_probe *p);

/* A link that a policy may use. */
struct gateway_member {
    unsigned link; /* of the configuration */
    uint32_t weight;
    uint32_t tier; /* those of the first that has any that works get the new flows */
};

/* The links of a policy by tier, the first tier first; a pin is one link. Returns how many. */
unsigned gateway_policy_members(const struct gateway_config *c, const struct gateway_policy *p,
                                struct gateway_member ret[static GATEWAY_MEMBERS_MAX]);

/* The name of policy i: its own, or that of its interface and its number among those of it;
 * letters, digits, "-", "_" and "." only. Returns buf. */
enum { GATEWAY_POLICY_NAME_MAX = 24 };
const char *gateway_policy_name(const struct gateway_config *c, unsigned i,
                                char buf[static GATEWAY_POLICY_NAME_MAX]);

/* Is the way of what comes from there chosen for each flow, by the mark of its link? Otherwise its
 * one policy pins it by the rules of the kernel alone. */
bool gateway_is_steered(const struct gateway_config *c, const char *ingress);

/* Is it the first policy of its interface? */
bool gateway_policy_is_first(const struct gateway_config *c, unsigned i);

/* Does the policy say which packets it is for? */
bool gateway_match_is_any(const struct gateway_match *m);

/* Sections of the schema, for the manual page. */
struct config_section;
extern const struct config_section gateway_schema, gateway_link_schema, gateway_policy_schema,
    gateway_probe_schema, gateway_map_schema, gateway_port_forward_schema, gateway_route_schema,
    gateway_way_schema, gateway_dns_schema;

#endif
