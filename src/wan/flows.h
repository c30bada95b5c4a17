/* Which link a flow uses: entries of the kernel's table of connections in the words of the
 * configuration. Pure. */
#ifndef WAN_FLOWS_H
#define WAN_FLOWS_H

#include "netlink/conntrack.h"
#include "wan/why.h"

/* How the link is known, as X(symbol, name). */
#define FLOW_HOWS(X)                                                                        \
    X(FLOW_NOWHERE, "none")       /* it uses no link, or it cannot be told */               \
    X(FLOW_BY_MARK, "mark")       /* it bears the mark of the link */                       \
    X(FLOW_BY_ADDRESS, "address") /* one of its addresses is one of the link's interface */ \
    X(FLOW_BY_POLICY, "policy")   /* a packet of it would go there now */

enum flow_how {
#define X(sym, name) sym,
    FLOW_HOWS(X)
#undef X
        FLOW_HOW_COUNT
};

const char *flow_how_name(enum flow_how h);

struct flow {
    int link; /* of the configuration; -1: none */
    enum flow_how how;
    bool inbound;                        /* it began behind the link */
    bool here;                           /* this machine itself is at one of its ends */
    const struct gateway_policy *policy; /* of the interface behind which its inner end is, for what
                                            that end sends; NULL: none */
};

/* The world is one that is ready. */
void flow_find(const struct why_world *w, const struct conntrack_entry *e, struct flow *ret);

/* What the flows of a link, or of none, add up to. */
struct flow_sum {
    unsigned flows, answered; /* packets went both ways */
    unsigned inbound, here, translated;
    bool has_counts; /* of all of them */
    struct conntrack_count sent, received;
};

void flow_sum_add(struct flow_sum *s, const struct flow *f, const struct conntrack_entry *e);

#endif
