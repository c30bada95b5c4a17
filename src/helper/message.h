/* What passes between data plane and helper: one request, one answer, each one record of the
 * SOCK_SEQPACKET pair. Both ends are the same program, so the structs themselves are the format. */
#ifndef HELPER_MESSAGE_H
#define HELPER_MESSAGE_H

#include <stdint.h>

#include "base/addr.h"
#include "helper/helper.h"
#include "tun/tun.h"

enum helper_op {
    HELPER_OP_TUN_OPEN,
    HELPER_OP_TUN_UP,
    HELPER_OP_TUN_MTU,
    HELPER_OP_ADDR_ADD,
    HELPER_OP_ADDR_DEL,
    HELPER_OP_TUN_NAME,
    HELPER_OP_ROUTES,
    HELPER_OP_UDP_OPEN,
    HELPER_OP_FILE_OPEN,
    HELPER_OP_FILE_STAT,
    HELPER_OP_CONFIG_STAGE,
    HELPER_OP_CONFIG_COMMIT,
    HELPER_OP_CONTROL_SOCKET,
    HELPER_OP_CONTROL_LOOK,
    HELPER_OP_NOTIFY,
    HELPER_OP_TIME_LOAD,
    HELPER_OP_TIME_SAVE,
    HELPER_OP_RESET_SECRET,
    HELPER_OP_TEXT,
    HELPER_OP_RULE_ADD,
    HELPER_OP_RULE_DEL,
    HELPER_OP_COUNT
};

struct helper_udp {
    struct ip_addr addr;
    uint16_t port;
    char device[16]; /* ends with NUL; "" for none */
};

struct helper_rule {
    struct ip_addr src;
    uint32_t priority; /* of a rule to delete */
};

/* Always of this size; what an operation does not use is zero and ignored. */
struct helper_request {
    uint32_t op;    /* enum helper_op */
    uint32_t which; /* MTU, enum helper_file, enum helper_notify, enum netlink_rule_kind */
    uint32_t flag;  /* 0 or 1: file of the staged configuration; commit */
    union {
        struct ip_prefix prefix;
        struct helper_udp udp;
        struct helper_rule rule;
        int64_t time_s;
    };
};

/* The requests of HELPER_OP_TEXT and HELPER_OP_ROUTES, told by their sizes. */
struct helper_text_request {
    uint32_t op;
    uint32_t which; /* enum helper_text */
    char text[HELPER_TEXT_MAX];
};

struct helper_route {
    struct ip_prefix dst;
    uint32_t table, metric; /* of a route to delete */
};

struct helper_routes_request {
    uint32_t op;
    uint32_t flag; /* 1: add, 0: delete */
    uint32_t n;
    struct helper_route v[HELPER_ROUTES_MAX];
};
_Static_assert(sizeof(struct helper_text_request) != sizeof(struct helper_request) &&
                   sizeof(struct helper_routes_request) != sizeof(struct helper_request) &&
                   sizeof(struct helper_routes_request) != sizeof(struct helper_text_request),
               "the size tells which it is");

/* A descriptor comes with it where the operation opens something and error is 0. */
struct helper_answer {
    int32_t error; /* 0 or -errno */
    union {
        struct tun_info tun;
        struct helper_stamp stamp;
        struct helper_routes_result routes;
        uint8_t secret[HELPER_SECRET_BYTES];
        int64_t time_s;
    };
};

#endif
