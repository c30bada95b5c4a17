/* What the gateway makes in the kernel, as data: rules, routes, addresses, one table of nftables,
 * settings.
 * The same struct tells what there should be and what there is of ours. */
#ifndef WAN_OBJECTS_H
#define WAN_OBJECTS_H

#include "netlink/fib.h"

enum { WAN_SETTINGS_MAX = 132, WAN_SETTING_NAME_MAX = 64, WAN_ID_MAX = 17 };

/* A setting under /proc/sys. */
struct wan_setting {
    char name[WAN_SETTING_NAME_MAX]; /* "net/ipv4/ip_forward" */
    int value;                       /* of what is there: -1 when it cannot be read */
};

/* Where elements of an array are, by their hash: places in it, from 1; 0: free. */
struct wan_index {
    uint32_t *slot;
    unsigned room, used;
};

/* An address on an interface. */
struct wan_address {
    int index;
    struct ip_prefix prefix;
};

struct wan_objects {
    struct fib_rule *rules;
    unsigned n_rules;
    struct fib_route *routes;
    unsigned n_routes;
    struct wan_address *addresses;
    unsigned n_addresses;
    char nft_id[WAN_ID_MAX]; /* says what the table of nftables holds; "": there is none */
    char *nft;               /* its text; NULL: none */
    struct wan_setting settings[WAN_SETTINGS_MAX];
    unsigned n_settings;
    unsigned room_rules, room_routes, room_addresses;
    struct wan_index rule_index, route_index;
};

/* Append a copy; what is there already is not added again. 0 or -ENOMEM. */
int wan_objects_add_rule(struct wan_objects *o, const struct fib_rule *r);
int wan_objects_add_route(struct wan_objects *o, const struct fib_route *r);
int wan_objects_add_address(struct wan_objects *o, const struct wan_address *a);

/* -ENOSPC: there are WAN_SETTINGS_MAX. */
int wan_objects_add_setting(struct wan_objects *o, const char *name, int value);

/* Elements were moved, or removed, by other hands than these: they are searched for anew. Removing
 * from the end needs no call. */
void wan_objects_moved(struct wan_objects *o);

bool wan_objects_has_rule(const struct wan_objects *o, const struct fib_rule *r);
bool wan_objects_has_route(const struct wan_objects *o, const struct fib_route *r);
bool wan_objects_has_address(const struct wan_objects *o, const struct wan_address *a);

/* The value of a setting, or -1. */
int wan_objects_setting(const struct wan_objects *o, const char *name);

/* Release what it owns, and clear it. Allowed on a zeroed struct. */
void wan_objects_done(struct wan_objects *o);

#endif
