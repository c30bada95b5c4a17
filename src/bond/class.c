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

static const struct class_spec *spec_of(const struct class_table *table, uint8_t class)
{
    for (unsigned i = 0; table && i < table->n; i++)
        if (table->v[i].class == class)
            return &table->v[i];
    return default_spec(class);
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
    };
}
