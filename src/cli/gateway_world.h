/* What `why` and the checks of LANs look at: the kernel as a whole, for src/wan/why.h, and its own
 * answer beside it. */
#ifndef CLI_GATEWAY_WORLD_H
#define CLI_GATEWAY_WORLD_H

#include "cli/gateway.h"
#include "wan/why.h"

struct gateway_world {
    struct why_world why;
    struct netlink *nl;
};

/* Read it, after a look, which it refers to: until the next one. Returns 0 or -errno; to be
 * released with gateway_world_done() in every case. */
int gateway_world_read(const struct gateway *g, struct gateway_world *ret);
void gateway_world_done(struct gateway_world *w);

/* What the kernel itself says to a packet, as its end and a text ("dev mpq4 table 103", "Network is
 * unreachable"). */
struct gateway_kernel_answer {
    enum why_end end; /* WHY_OUT, WHY_HERE, WHY_BLACKHOLE, WHY_UNREACHABLE, WHY_NO_PACKET */
    char device[IFNAMSIZ];
    uint32_t table;
    char text[128];
};

void gateway_world_ask(const struct gateway_world *w, const struct why_packet *p,
                       const struct why *y, struct gateway_kernel_answer *ret);

/* Do both say the same? What nftables does is not the kernel's answer: it is of routes. */
bool gateway_world_agrees(const struct why *y, const struct gateway_kernel_answer *a);

#endif
