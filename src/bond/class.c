#include "bond/class.h"

#include "base/clock.h"
#include "base/util.h"

/* At most so long a unit waits for another lane, and at least so long one may be incomplete. */
#define REORDER_MAX_NS (150 * NS_PER_MS)
#define INCOMPLETE_MIN_NS (NS_PER_S / 2)

/* --- whose ----------------------------------------------------------------------------------- */

static bool side_fits(const struct ip_prefix *p, uint16_t from, uint16_t to,
                      const struct ip_addr *addr, uint16_t port, bool has_ports)
{
    if (p->len && !ip_prefix_contains(p, addr))
        return false;
    return (!from && to == UINT16_MAX) || (has_ports && port >= from && port <= to);
}

static bool fits(const struct class_rule *r, bool from_client, const struct ip_view *v)
{
    const struct ip_addr *client = from_client ? &v->src : &v->dst;
    const struct ip_addr *server = from_client ? &v->dst : &v->src;
    uint16_t client_port = from_client ? v->sport : v->dport;
    uint16_t server_port = from_client ? v->dport : v->sport;

    return (!r->version || r->version == v->version) && (!r->proto || r->proto == v->proto) &&
           (r->dscp == CLASS_DSCP_ANY || r->dscp == v->dscp) &&
           side_fits(&r->client, r->client_from, r->client_to, client, client_port, v->has_ports) &&
           side_fits(&r->server, r->server_from, r->server_to, server, server_port, v->has_ports);
}

uint8_t class_of(const struct class_table *table, bool from_client, const struct ip_view *v)
{
    for (unsigned i = 0; table && i < table->n_rules; i++)
        if (fits(&table->rule[i], from_client, v))
            return table->rule[i].class;
    return v->proto == IP_PROTO_TCP ? CLASS_TCP : CLASS_OTHER;
}

/* --- what it means ---------------------------------------------------------------------------- */

/* Without a table; a class that nothing is said of is like the last. */
static const struct class_spec *default_spec(uint8_t class)
{
    static const struct class_spec specs[] = {
        {.recovery = CLASS_RECOVERY_AGAIN, .order = CLASS_ORDER_RECOVER, .deadline_ms = 1000},
        {.recovery = CLASS_RECOVERY_AGAIN, .order = CLASS_ORDER_REORDER, .deadline_ms = 150},
        {.recovery = CLASS_RECOVERY_NONE, .order = CLASS_ORDER_NONE},
    };

    return &specs[MIN(class, ARRAY_LEN(specs) - 1)];
}

/* NULL: the table says nothing of it. */
static const struct class_spec *named(const struct class_table *table, uint8_t class)
{
    for (unsigned i = 0; table && i < table->n; i++)
        if (table->v[i].class == class)
            return &table->v[i];
    return NULL;
}

static const struct class_spec *spec_of(const struct class_table *table, uint8_t class)
{
    const struct class_spec *s = named(table, class);

    return s ? s : default_spec(class);
}

bool class_is_used(const struct class_table *table, uint8_t class)
{
    return class == CLASS_TCP || class == CLASS_OTHER || named(table, class);
}

/* An edge tells failover and priority in the same way, by the priorities of its paths; which of
 * them it does it knows itself. */
static enum bond_policy policy_of(const struct class_spec *s, enum bond_policy usual)
{
    static const enum bond_policy of[CLASS_TREATMENTS] = {
        [CLASS_BOND] = BOND_AGGREGATE,      [CLASS_BALANCED] = BOND_BALANCED,
        [CLASS_FAILOVER] = BOND_PRIORITY,   [CLASS_PIN] = BOND_PIN,
        [CLASS_DUPLICATE] = BOND_DUPLICATE, [CLASS_LOWEST_LATENCY] = BOND_LOWEST_LATENCY,
    };

    if (s->treatment == CLASS_FAILOVER && usual == BOND_FAILOVER)
        return BOND_FAILOVER;
    return of[s->treatment];
}

void class_spread(const struct class_table *table, uint8_t class, enum bond_policy usual,
                  struct sched *ret)
{
    const struct class_spec *s = named(table, class);

    ret->policy = s ? policy_of(s, usual) : usual;
    ret->pin = s ? s->path : 0;
    ret->copies = s ? s->copies : 1;
}

void class_meaning(const struct class_table *table, uint8_t class, struct pack_class *ret_tx,
                   struct reasm_class *ret_rx)
{
    static const enum reasm_order orders[CLASS_ORDERS] = {
        [CLASS_ORDER_NONE] = REASM_ORDER_NONE,
        [CLASS_ORDER_REORDER] = REASM_ORDER_REORDER,
        [CLASS_ORDER_RECOVER] = REASM_ORDER_RECOVER,
    };
    const struct class_spec *s = spec_of(table, class);
    uint64_t deadline_ns = s->deadline_ms * NS_PER_MS;

    *ret_tx = (struct pack_class){
        .again = s->recovery == CLASS_RECOVERY_AGAIN && class != CLASS_NONE,
        .deadline_ns = deadline_ns,
        .split = s->order == CLASS_ORDER_RECOVER,
    };
    *ret_rx = (struct reasm_class){
        .order = orders[s->order],
        .wait_ns = s->order == CLASS_ORDER_RECOVER ? deadline_ns : REORDER_MAX_NS,
        .deadline_ns = MAX(deadline_ns, INCOMPLETE_MIN_NS),
        .once = !ret_tx->again,
    };
}
