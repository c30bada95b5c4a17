/* Which links of a policy get its new flows, by the states of the links. Pure. */
#ifndef WAN_BALANCE_H
#define WAN_BALANCE_H

#include "wan/state.h"

/* Why these links, as X(symbol, name). */
#define BALANCE_GROUNDS(X)                                                               \
    X(BALANCE_WORKS, "works")       /* the first tier that has a link that is not bad */ \
    X(BALANCE_DEGRADED, "degraded") /* every link that works is degraded */              \
    X(BALANCE_LAST, "last resort")  /* none works */                                     \
    X(BALANCE_CLOSED, "closed")     /* none works, and nothing else is said */

enum balance_ground {
#define X(sym, name) sym,
    BALANCE_GROUNDS(X)
#undef X
        BALANCE_GROUND_COUNT
};

const char *balance_ground_name(enum balance_ground g);

/* Those that get new flows, each its weight of the total. */
struct balance_choice {
    enum balance_ground ground;
    struct gateway_member v[GATEWAY_MEMBERS_MAX];
    unsigned n;
    uint32_t total;
};

void balance_choose(const struct gateway_config *c, const struct wan_facts *f,
                    const struct gateway_policy *p, enum wan_family family,
                    struct balance_choice *ret);

/* "att 50 %, webpass 50 %", "lte", "closed", with its ground where that is a special one. Returns
 * buf. */
enum { BALANCE_TEXT_MAX = 512 };
const char *balance_str(const struct gateway_config *c, const struct balance_choice *choice,
                        char buf[static BALANCE_TEXT_MAX]);

/* The links that keep what is sticky: those of the choice, and with `existing: keep` all others
 * that work, behind them. Returns how many. */
unsigned balance_keepers(const struct gateway_config *c, const struct wan_facts *f,
                         const struct gateway_policy *p, enum wan_family family,
                         const struct balance_choice *choice,
                         unsigned ret[static GATEWAY_MEMBERS_MAX + 1]);

/* Are the flows of that link to be ended, as a policy with `existing: flush` says? They are when it
 * does not work, or is of a worse tier than those that get the new flows. */
bool balance_is_flushed(const struct gateway_config *c, const struct wan_facts *f, unsigned link,
                        enum wan_family family);

/* Is the flow of such a packet the policy's? What is 0, or of family 0, is not known and matches.
 */
bool balance_matches(const struct gateway_match *m, const struct ip_addr *src,
                     const struct ip_addr *dst, uint8_t protocol, uint16_t port);

#endif
