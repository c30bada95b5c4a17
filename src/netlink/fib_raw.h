/* Routes and rules of somebody else as the kernel tells them, byte for byte, so that they can be
 * taken away and put back as they were: with conditions, metrics and protocols that struct
 * fib_route and struct fib_rule do not know. */
#ifndef NETLINK_FIB_RAW_H
#define NETLINK_FIB_RAW_H

#include "netlink/fib.h"

enum { FIB_RAW_MAX = 448 };

struct fib_raw {
    bool rule;           /* else a route */
    char name[IFNAMSIZ]; /* of the interface of a route; "": none, or several */
    uint16_t len;
    uint8_t data[FIB_RAW_MAX]; /* the family's header and the attributes, as in a request */
};

/* Keep a message of fib_dump_rules() or fib_dump_routes(). 0; -E2BIG: it is too large; -EBADMSG: it
 * is neither a route nor a rule. */
int fib_raw_take(const void *message, struct fib_raw *ret);

/* Add it, or delete exactly it. -EEXIST: it is there; -ESRCH, -ENOENT: it is not there; -ENODEV:
 * its interface is not there; -EINVAL: these are not the bytes of one; other -errno. */
int fib_raw_add(struct netlink *nl, const struct fib_raw *r);
int fib_raw_del(struct netlink *nl, const struct fib_raw *r);

/* Do both say the same of an interface of the same name? */
bool fib_raw_same(const struct fib_raw *a, const struct fib_raw *b);

/* What it says, to one of these; of a route with several next hops each, and nothing of one whose
 * interface is gone. 0; -EINVAL: these are not the bytes of one; -ENODEV. */
int fib_raw_parse(const struct fib_raw *r, fib_rule_cb *on_rule, fib_route_cb *on_route,
                  void *user);

/* As fib_route_str() and fib_rule_str() tell it. Returns buf. */
const char *fib_raw_str(const struct fib_raw *r, char buf[static FIB_TEXT_MAX]);

#endif
