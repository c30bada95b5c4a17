/* The way from what there is to what there should be, as operations in an order in which no cut
 * lets a packet out where neither the old state nor the new one would. Pure. */
#ifndef WAN_PLAN_H
#define WAN_PLAN_H

#include "wan/objects.h"

enum wan_op_kind {
    WAN_OP_RULE_ADD,
    WAN_OP_RULE_DEL,
    WAN_OP_ROUTE_ADD,
    WAN_OP_ROUTE_DEL,
    WAN_OP_ADDRESS_ADD,
    WAN_OP_ADDRESS_DEL,
    WAN_OP_NFT,     /* the table of nftables; no text: remove it */
    WAN_OP_SETTING, /* under /proc/sys */
    WAN_OP_COUNT
};

struct wan_op {
    enum wan_op_kind kind;
    union {
        const struct fib_rule *rule;
        const struct fib_route *route;
        const struct wan_address *address;
        struct {
            const char *text, *before; /* NULL: no table */
        } nft;
        struct {
            const char *name;
            int value, before; /* before -1: it could not be read */
        } setting;
    };
};

/* Points into the objects that it was made from. */
struct wan_plan {
    struct wan_op *ops;
    unsigned n, room;
};

/* The difference between what there is of ours and what should be. Returns 0 or -ENOMEM; *ret is
 * to be released with wan_plan_done() in every case. */
int wan_plan_make(const struct wan_objects *have, const struct wan_objects *want,
                  struct wan_plan *ret);
void wan_plan_done(struct wan_plan *p);

/* The operation that takes op back. */
struct wan_op wan_op_inverse(const struct wan_op *op);

/* Do one operation: 0, or -errno. */
typedef int wan_do_fn(void *user, const struct wan_op *op);

/* Can the plan go on without this operation? An interface that has just gone, an object that is
 * there, or is not, already: what is wanted is looked at again after every change. */
bool wan_op_may_fail(const struct wan_op *op, int error);

/* Do the operations in order. One that fails, and may not, ends it: those before are taken back,
 * the last first, when undo says so; else the others are done all the same. Returns 0, or the first
 * error; *ret_at (may be NULL) is the operation that it belongs to. */
int wan_plan_run(const struct wan_plan *p, bool undo, wan_do_fn *do_op, void *user,
                 unsigned *ret_at);

#endif
