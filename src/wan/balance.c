#include "wan/balance.h"

#include <stdio.h>
#include <string.h>

#include "base/util.h"

const char *balance_ground_name(enum balance_ground g)
{
    static const char *const names[BALANCE_GROUND_COUNT] = {
#define X(sym, name) [sym] = (name),
        BALANCE_GROUNDS(X)
#undef X
    };

    return (unsigned)g < BALANCE_GROUND_COUNT ? names[g] : "?";
}

/* How well a link works. */
enum grade { GRADE_NOT, GRADE_KERNEL, GRADE_DEGRADED, GRADE_GOOD };

static enum grade grade_of(const struct gateway_config *c, const struct wan_facts *f, unsigned link,
                           enum wan_family family)
{
    struct wan_link_state s;

    wan_state_of(c, f, link, &s);
    if (s.reason[family] == WAN_REASON_PROBE)
        return GRADE_KERNEL;
    if (s.reason[family] != WAN_REASON_UP)
        return GRADE_NOT;
    return s.state[family] == WAN_STATE_DEGRADED ? GRADE_DEGRADED : GRADE_GOOD;
}

/* The first tier that has weight on links of that grade at least, those of them. */
static bool choose_tier(const struct gateway_member *m, const enum grade *grade, unsigned n,
                        enum grade at_least, struct balance_choice *ret)
{
    uint32_t tier = 0;

    for (unsigned i = 0; i < n; i++) {
        if (grade[i] < at_least || !m[i].weight || (tier && m[i].tier != tier))
            continue;
        tier = m[i].tier;
        ret->v[ret->n++] = m[i];
        ret->total += m[i].weight;
    }
    return ret->n;
}

void balance_choose(const struct gateway_config *c, const struct wan_facts *f,
                    const struct gateway_policy *p, enum wan_family family,
                    struct balance_choice *ret)
{
    struct gateway_member m[GATEWAY_MEMBERS_MAX];
    enum grade grade[GATEWAY_MEMBERS_MAX];
    unsigned n = gateway_policy_members(c, p, m);
    int last = *p->last_resort ? gateway_config_link(c, p->last_resort) : -1;

    memset(ret, 0, sizeof(*ret));
    for (unsigned i = 0; i < n; i++)
        grade[i] = grade_of(c, f, m[i].link, family);
    if (choose_tier(m, grade, n, GRADE_GOOD, ret)) {
        ret->ground = BALANCE_WORKS;
    } else if (choose_tier(m, grade, n, GRADE_DEGRADED, ret)) {
        ret->ground = BALANCE_DEGRADED;
    } else if (last >= 0 && grade_of(c, f, (unsigned)last, family) >= GRADE_KERNEL) {
        ret->ground = BALANCE_LAST;
        ret->v[ret->n++] = (struct gateway_member){(unsigned)last, 1, UINT32_MAX};
        ret->total = 1;
    } else {
        ret->ground = BALANCE_CLOSED;
    }
}

const char *balance_str(const struct gateway_config *c, const struct balance_choice *choice,
                        char buf[static BALANCE_TEXT_MAX])
{
    size_t n = 0;

    if (!choice->n)
        n += (size_t)snprintf(buf, BALANCE_TEXT_MAX, "closed");
    for (unsigned i = 0; i < choice->n && n < BALANCE_TEXT_MAX; i++) {
        n += (size_t)snprintf(buf + n, BALANCE_TEXT_MAX - n, "%s%s", i ? ", " : "",
                              c->links[choice->v[i].link].name);
        if (choice->n > 1 && n < BALANCE_TEXT_MAX)
            n += (size_t)snprintf(buf + n, BALANCE_TEXT_MAX - n, " %.3g %%",
                                  100.0 * choice->v[i].weight / choice->total);
    }
    if ((choice->ground == BALANCE_DEGRADED || choice->ground == BALANCE_LAST) &&
        n < BALANCE_TEXT_MAX)
        snprintf(buf + n, BALANCE_TEXT_MAX - n, " (%s)", balance_ground_name(choice->ground));
    return buf;
}

static bool is_chosen(const struct balance_choice *choice, unsigned link)
{
    for (unsigned i = 0; i < choice->n; i++)
        if (choice->v[i].link == link)
            return true;
    return false;
}

unsigned balance_keepers(const struct gateway_config *c, const struct wan_facts *f,
                         const struct gateway_policy *p, enum wan_family family,
                         const struct balance_choice *choice,
                         unsigned ret[static GATEWAY_MEMBERS_MAX + 1])
{
    struct gateway_member m[GATEWAY_MEMBERS_MAX];
    unsigned n = gateway_policy_members(c, p, m), kept = 0;

    for (unsigned i = 0; i < choice->n; i++)
        ret[kept++] = choice->v[i].link;
    for (unsigned i = 0; p->existing == GATEWAY_EXISTING_KEEP && i < n; i++)
        if (!is_chosen(choice, m[i].link) && grade_of(c, f, m[i].link, family) >= GRADE_DEGRADED)
            ret[kept++] = m[i].link;
    return kept;
}

/* By what one policy says. */
static bool is_flushed_by(const struct gateway_config *c, const struct wan_facts *f,
                          const struct gateway_policy *p, unsigned link, enum wan_family family)
{
    struct gateway_member m[GATEWAY_MEMBERS_MAX];
    unsigned n = gateway_policy_members(c, p, m);
    struct balance_choice choice;

    balance_choose(c, f, p, family, &choice);
    for (unsigned i = 0; i < n; i++)
        if (m[i].link == link)
            return choice.n && !is_chosen(&choice, link) &&
                   (grade_of(c, f, link, family) < GRADE_DEGRADED || m[i].tier > choice.v[0].tier);
    return false;
}

bool balance_is_flushed(const struct gateway_config *c, const struct wan_facts *f, unsigned link,
                        enum wan_family family)
{
    for (unsigned i = 0; i < c->n_policies; i++)
        if (c->policies[i].existing == GATEWAY_EXISTING_FLUSH &&
            is_flushed_by(c, f, &c->policies[i], link, family))
            return true;
    return false;
}

/* --- matching -------------------------------------------------------------------------- */

static bool is_among(const struct ip_prefix *v, unsigned n, const struct ip_addr *a)
{
    for (unsigned i = 0; i < n; i++)
        if (v[i].addr.family == a->family && ip_prefix_contains(&v[i], a))
            return true;
    return !n || !a->family;
}

static bool is_protocol(enum gateway_only want, uint8_t protocol)
{
    static const uint8_t numbers[GATEWAY_ONLY_COUNT][2] = {
        [GATEWAY_ONLY_TCP] = {6, 6},
        [GATEWAY_ONLY_UDP] = {17, 17},
        [GATEWAY_ONLY_ICMP] = {1, 58},
    };

    return want == GATEWAY_ONLY_ANY || !protocol || numbers[want][0] == protocol ||
           numbers[want][1] == protocol;
}

bool balance_matches(const struct gateway_match *m, const struct ip_addr *src,
                     const struct ip_addr *dst, uint8_t protocol, uint16_t port)
{
    bool in = !m->n_ports || !port;

    for (unsigned i = 0; i < m->n_ports && !in; i++)
        in = port >= m->ports[i].min && port <= m->ports[i].max;
    if (m->n_ports && protocol && protocol != 6 && protocol != 17)
        in = false;
    return in && is_protocol(m->protocol, protocol) && is_among(m->source, m->n_source, src) &&
           is_among(m->destination, m->n_destination, dst);
}
