/* The table of classes and the status of a path, as a client tells them to its server
 * (doc/protocol.md, "Classes"). Their capsules are encoded and decoded here; what they mean is
 * bond's. */
#ifndef WIRE_CLASS_H
#define WIRE_CLASS_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "wire/capsule.h"
#include "wire/packed.h"

enum {
    CLASS_TCP = 0,   /* without a rule that fits: TCP, */
    CLASS_OTHER = 1, /* and all else */
    CLASS_NONE = 7,  /* of what has no flow number, and is never sent again */
    CLASS_RULES_MAX = 256,
    CLASS_DEADLINE_MAX_MS = 60000,
    CLASS_PATHS = 16,
    CLASS_DSCP_ANY = 255,
    PATH_WEIGHT_MAX = 1000,
    PATH_PRIORITY_MAX = 1000
};

enum class_treatment {
    CLASS_BOND,
    CLASS_BALANCED,
    CLASS_FAILOVER,
    CLASS_PIN,
    CLASS_DUPLICATE,
    CLASS_LOWEST_LATENCY,
    CLASS_TREATMENTS
};
enum class_recovery { CLASS_RECOVERY_NONE, CLASS_RECOVERY_AGAIN, CLASS_RECOVERIES };
enum class_order { CLASS_ORDER_NONE, CLASS_ORDER_REORDER, CLASS_ORDER_RECOVER, CLASS_ORDERS };

struct class_spec {
    uint8_t class;     /* each at most once in a table */
    uint8_t treatment; /* enum class_treatment */
    uint8_t copies;    /* duplicate: on so many paths, 1 to CLASS_PATHS */
    uint8_t recovery;  /* enum class_recovery; class 7: none */
    uint8_t order;     /* enum class_order */
    uint8_t path;      /* pin: which, below CLASS_PATHS */
    uint32_t deadline_ms;
};

/* Which packets are of a class. Client and server are the ends of the tunnel: a packet of the
 * client has its client side as source. */
struct class_rule {
    uint8_t class;
    uint8_t version;                 /* 4 or 6; 0: any, and no prefixes */
    uint8_t proto;                   /* 0: any */
    uint8_t dscp;                    /* CLASS_DSCP_ANY: any */
    struct ip_prefix client, server; /* len 0: any */
    uint16_t client_from, client_to; /* ports; 0 to 65535: any, or none */
    uint16_t server_from, server_to;
};

struct class_table {
    uint64_t serial;
    unsigned n, n_rules;
    struct class_spec v[PACKED_CLASSES];
    struct class_rule rule[CLASS_RULES_MAX]; /* the first that fits counts */
};

enum path_status { PATH_AVAILABLE, PATH_BACKUP, PATH_QUOTA, PATH_LEAVING, PATH_STATUSES };

struct path_report {
    uint8_t path;   /* below CLASS_PATHS */
    uint8_t status; /* enum path_status */
    uint64_t serial;
    uint32_t priority, weight; /* to PATH_PRIORITY_MAX, PATH_WEIGHT_MAX */
    uint64_t rate_kbps;        /* that the server may send over it; 0: no limit */
};

/* Decode a value with every range checked, and nothing left behind it. On error *ret is unchanged.
 */
enum capsule_error capsule_get_classes(const uint8_t *value, size_t len, struct class_table *ret);
enum capsule_error capsule_get_path(const uint8_t *value, size_t len, struct path_report *ret);

/* Encode a whole capsule, header included. Returns 0 and the length; -EINVAL when a value is out of
 * its range; -ENOSPC. CAPSULE_HEADER_MAX + CAPSULE_VALUE_MAX bytes are always enough. */
int capsule_put_classes(const struct class_table *t, uint8_t *buf, size_t cap, size_t *ret_len);
int capsule_put_path(const struct path_report *p, uint8_t *buf, size_t cap, size_t *ret_len);

#endif
