/* Rules between keys. */
#ifndef CONFIG_CHECK_H
#define CONFIG_CHECK_H

#include "config/schema.h"

enum key_state {
    KEY_ABSENT,  /* not in the file: the field holds its default */
    KEY_BAD,     /* in the file, and a problem is reported for it already */
    KEY_IGNORED, /* in the file, but a key of the other role: the field holds its default */
    KEY_GOOD
};

struct key_place {
    enum key_state state;
    struct config_where at; /* of the value; of a list its first element */
};

/* One entry of peers. */
struct peer_places {
    struct config_where at;
    struct key_place keys[CONFIG_PEER_KEY_COUNT];
    struct config_where addr_at[CONFIG_PEER_ADDRS_MAX];
    struct config_where prefix_at[CONFIG_PEER_PREFIXES_MAX];
};

/* One file after reading: what check_rules() judges. */
struct check_input {
    const struct tunnel_config *config;
    struct key_place keys[CONFIG_KEY_COUNT];
    struct key_place paths[CONFIG_PATHS_MAX][CONFIG_PATH_KEY_COUNT];
    struct config_where path_at[CONFIG_PATHS_MAX]; /* of each entry of multipath_paths */
    struct config_where peer_prefix_at[CONFIG_PREFIXES_MAX];
    struct config_where allowed_client_at[CONFIG_CLIENTS_MAX];
    struct config_where route_at[CONFIG_ROUTES_MAX];
    struct config_where tun_network_at[CONFIG_TUN_ADDRS_MAX];
    struct config_where pool_at[CONFIG_POOL_MAX];
    struct peer_places *peers; /* of each entry of peers; NULL when there is none */
};

/* Add a problem for every rule that is broken. A rule about a value that is bad already says
 * nothing more. The role must be good. Returns 0 or -ENOMEM. */
int check_rules(const struct check_input *in, struct config_report *report);

/* The part of it that is about many peers on one server (check_peers.c). Returns 0 or -ENOMEM. */
int check_peers(const struct check_input *in, struct config_report *report);

#endif
