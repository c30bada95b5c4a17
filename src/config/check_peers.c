#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "config/check.h"
#include "config/report.h"

/* The rules of a server with many peers. What many entries must not share is found by sorting:
 * a list of a thousand peers is checked in no time. */

static bool good(const struct check_input *in, enum config_key_id id)
{
    return in->keys[id].state == KEY_GOOD;
}

/* The network of the tunnel that holds all of p, or NULL. */
static const struct ip_prefix *network_around(const struct tunnel_config *c,
                                              const struct ip_prefix *p)
{
    struct ip_addr last = ip_prefix_last(p);

    for (unsigned i = 0; i < c->n_tun_addr; i++) {
        struct ip_prefix net = ip_prefix_network(&c->tun_addr[i]);

        if (ip_prefix_contains(&net, &p->addr) && ip_prefix_contains(&net, &last))
            return &c->tun_addr[i];
    }
    return NULL;
}

static bool is_own(const struct tunnel_config *c, const struct ip_addr *a)
{
    for (unsigned i = 0; i < c->n_tun_addr; i++)
        if (ip_addr_equal(&c->tun_addr[i].addr, a))
            return true;
    return false;
}

/* The first address of a network, and the last of an IPv4 one, are no hosts when it has four
 * addresses or more. */
static bool is_host_of(const struct ip_prefix *tun_addr, const struct ip_addr *a)
{
    struct ip_prefix net = ip_prefix_network(tun_addr);
    struct ip_addr last = ip_prefix_last(tun_addr);

    if (net.len + 2u > ip_addr_bits(&net.addr))
        return true;
    return !ip_addr_equal(&net.addr, a) && (a->family == 6 || !ip_addr_equal(&last, a));
}

/* ---- one by one ---- */

static void check_address(const struct check_input *in, const struct ip_addr *a,
                          struct config_where at, struct config_report *report)
{
    const struct ip_prefix host = {*a, (uint8_t)ip_addr_bits(a)};
    const struct ip_prefix *net = network_around(in->config, &host);
    char text[IP_ADDR_STR_MAX];

    ip_addr_str(a, text);
    if (!net)
        report_add(report, true, at, "choose one of a network of tun_cidr",
                   "the address %s is in no network of tun_cidr", text);
    else if (is_own(in->config, a))
        report_add(report, true, at, "choose another one of this network",
                   "the address %s is this server's own", text);
    else if (!is_host_of(net, a))
        report_add(report, true, at, "choose one between the first and the last of the network",
                   "the address %s is the network or broadcast address", text);
}

static void check_prefix(const struct check_input *in, const struct ip_prefix *p,
                         struct config_where at, struct config_report *report)
{
    const struct tunnel_config *c = in->config;
    char text[IP_PREFIX_STR_MAX];

    if (!p->len)
        report_add(report, false, at, "name the networks behind the peer",
                   "this peer may use any source address of this family");
    for (unsigned i = 0; i < c->n_tun_addr; i++)
        if (p->len && ip_prefix_contains(p, &c->tun_addr[i].addr))
            report_add(report, true, at, "name the networks behind the peer only",
                       "the network %s holds this server's own address", ip_prefix_str(p, text));
}

/* A peer whose certificate is not let in is a slip of the pen, unless its name is a token's. */
static void check_admitted(const struct check_input *in, unsigned i, struct config_report *report)
{
    const struct tunnel_config *c = in->config;
    const struct config_peer *p = &c->peers[i];

    if (!c->n_allowed_clients || c->tokens_file[0] || !p->name[0] ||
        !good(in, CONFIG_KEY_ALLOWED_CLIENTS))
        return;
    for (unsigned j = 0; j < c->n_allowed_clients; j++)
        if (!strcmp(c->allowed_clients[j], p->name))
            return;
    report_add(report, false, in->peers[i].keys[CONFIG_PEER_KEY_NAME].at, "add it there",
               "allowed_clients does not let this peer in");
}

static void check_peer(const struct check_input *in, unsigned i, struct config_report *report)
{
    const struct config_peer *p = &in->config->peers[i];
    const struct peer_places *places = &in->peers[i];

    for (unsigned k = 0; k < CONFIG_PEER_KEY_COUNT; k++)
        if (config_peer_schema.keys[k].required && places->keys[k].state == KEY_ABSENT)
            report_add(report, true, places->at, NULL, "a peer needs %s",
                       config_peer_schema.keys[k].name);
    if (good(in, CONFIG_KEY_TUN_CIDR))
        for (unsigned j = 0; j < p->n_addr; j++)
            check_address(in, &p->addr[j], places->addr_at[j], report);
    for (unsigned j = 0; j < p->n_prefix; j++)
        check_prefix(in, &p->prefix[j], places->prefix_at[j], report);
    check_admitted(in, i, report);
}

static void check_pool(const struct check_input *in, struct config_report *report)
{
    const struct tunnel_config *c = in->config;
    char text[IP_PREFIX_STR_MAX];

    for (unsigned i = 0; i < c->n_address_pool && good(in, CONFIG_KEY_TUN_CIDR); i++) {
        const struct ip_prefix *p = &c->address_pool[i];
        const struct ip_prefix *net = network_around(c, p);

        ip_prefix_str(p, text);
        if (!net)
            report_add(report, true, in->pool_at[i], "choose a part of a network of tun_cidr",
                       "the pool %s is not inside a network of tun_cidr", text);
        else if (p->len == ip_addr_bits(&p->addr) &&
                 (is_own(c, &p->addr) || !is_host_of(net, &p->addr)))
            report_add(report, true, in->pool_at[i], "choose another part of the network",
                       "the pool %s holds no address that a client can have", text);
    }
}

/* ---- against each other ---- */

/* One name, address or prefix of one peer, to be sorted. */
struct claim {
    const struct config_peer *peer;
    const struct ip_prefix *prefix;
    const struct ip_addr *addr;
    struct config_where at;
};

static int where_cmp(const struct claim *a, const struct claim *b)
{
    if (a->at.line != b->at.line)
        return a->at.line < b->at.line ? -1 : 1;
    return a->at.column < b->at.column ? -1 : a->at.column > b->at.column;
}

static int name_cmp(const void *pa, const void *pb)
{
    const struct claim *a = pa, *b = pb;
    int d = strcmp(a->peer->name, b->peer->name);

    d = d ? d : strcmp(a->peer->instance_id, b->peer->instance_id);
    return d ? d : where_cmp(a, b);
}

static int addr_cmp(const void *pa, const void *pb)
{
    const struct claim *a = pa, *b = pb;
    int d = ip_addr_cmp(a->addr, b->addr);

    return d ? d : where_cmp(a, b);
}

/* A network before the longer ones in it. */
static int prefix_cmp(const void *pa, const void *pb)
{
    const struct claim *a = pa, *b = pb;
    int d = ip_addr_cmp(&a->prefix->addr, &b->prefix->addr);

    d = d ? d : (int)a->prefix->len - (int)b->prefix->len;
    return d ? d : where_cmp(a, b);
}

static void check_names(const struct check_input *in, struct claim *v, struct config_report *report)
{
    const struct tunnel_config *c = in->config;
    size_t n = 0;
    char hint[64];

    for (unsigned i = 0; i < c->n_peers; i++)
        if (c->peers[i].name[0] && in->peers[i].keys[CONFIG_PEER_KEY_INSTANCE_ID].state != KEY_BAD)
            v[n++] = (struct claim){.peer = &c->peers[i],
                                    .at = in->peers[i].keys[CONFIG_PEER_KEY_NAME].at};
    qsort(v, n, sizeof(*v), name_cmp);
    for (size_t i = 1; i < n; i++) {
        const struct config_peer *p = v[i].peer, *q = v[i - 1].peer;

        if (strcmp(p->name, q->name) != 0 || strcmp(p->instance_id, q->instance_id) != 0)
            continue;
        snprintf(hint, sizeof(hint), "the other entry is in line %u", v[i - 1].at.line);
        report_add(report, true, v[i].at, hint, "two peers have this name and %s",
                   p->instance_id[0] ? "the same instance_id" : "no instance_id");
    }
}

static void check_addresses_once(const struct check_input *in, struct claim *v,
                                 struct config_report *report)
{
    const struct tunnel_config *c = in->config;
    char hint[64], text[IP_ADDR_STR_MAX];
    size_t n = 0;

    for (unsigned i = 0; i < c->n_peers; i++)
        for (unsigned j = 0; j < c->peers[i].n_addr; j++)
            v[n++] = (struct claim){.addr = &c->peers[i].addr[j], .at = in->peers[i].addr_at[j]};
    qsort(v, n, sizeof(*v), addr_cmp);
    for (size_t i = 1; i < n; i++) {
        if (!ip_addr_equal(v[i].addr, v[i - 1].addr))
            continue;
        snprintf(hint, sizeof(hint), "the first time is in line %u", v[i - 1].at.line);
        report_add(report, true, v[i].at, hint, "the address %s is given twice",
                   ip_addr_str(v[i].addr, text));
    }
}

static bool contains(const struct ip_prefix *outer, const struct ip_prefix *inner)
{
    return outer->len <= inner->len && ip_prefix_contains(outer, &inner->addr);
}

/* p came after the networks of v[0..i-1] in the order, of which those around it are a chain of
 * ever longer ones. Returns the longest of another entry than p's, or p's own when that is
 * the same network. */
static const struct claim *prefix_around(const struct claim *v, const size_t *chain, size_t depth,
                                         const struct claim *p)
{
    while (depth--) {
        const struct claim *q = &v[chain[depth]];

        if (q->peer != p->peer || ip_prefix_equal(q->prefix, p->prefix))
            return q;
    }
    return NULL;
}

static void check_prefixes_apart(const struct check_input *in, struct claim *v,
                                 struct config_report *report)
{
    const struct tunnel_config *c = in->config;
    char hint[160], text[IP_PREFIX_STR_MAX];
    size_t n = 0, depth = 0, chain[129];

    for (unsigned i = 0; i < c->n_peers; i++)
        for (unsigned j = 0; j < c->peers[i].n_prefix; j++)
            v[n++] = (struct claim){.peer = &c->peers[i],
                                    .prefix = &c->peers[i].prefix[j],
                                    .at = in->peers[i].prefix_at[j]};
    qsort(v, n, sizeof(*v), prefix_cmp);
    for (size_t i = 0; i < n; i++) {
        const struct claim *q;

        while (depth && !contains(v[chain[depth - 1]].prefix, v[i].prefix))
            depth--;
        q = prefix_around(v, chain, depth, &v[i]);
        ip_prefix_str(v[i].prefix, text);
        if (q && ip_prefix_equal(q->prefix, v[i].prefix)) {
            snprintf(hint, sizeof(hint), "the first time is in line %u", q->at.line);
            report_add(report, true, v[i].at, hint, "the network %s is given twice", text);
            continue;
        }
        if (q) {
            snprintf(hint, sizeof(hint), "packets to and from it belong to this one");
            report_add(report, false, v[i].at, hint,
                       "the network %s lies in one of another peer (line %u)", text, q->at.line);
        }
        chain[depth++] = i;
    }
}

/* ---- all ---- */

/* Keys that mean something only when there are many peers. */
static void check_multi(const struct check_input *in, struct config_report *report)
{
    static const enum config_key_id keys[] = {CONFIG_KEY_PEER_TO_PEER, CONFIG_KEY_MAX_PEERS};

    if (in->config->multi_conn_enabled || in->keys[CONFIG_KEY_MULTI_CONN_ENABLED].state == KEY_BAD)
        return;
    if (in->config->n_peers)
        report_add(report, true, in->keys[CONFIG_KEY_PEERS].at, "add 'multi_conn_enabled: true'",
                   "peers needs multi_conn_enabled");
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (good(in, keys[i]))
            report_add(
                report, false, in->keys[keys[i]].at, "add 'multi_conn_enabled: true', or remove it",
                "%s has no effect without multi_conn_enabled", config_schema.keys[keys[i]].name);
}

int check_peers(const struct check_input *in, struct config_report *report)
{
    const struct tunnel_config *c = in->config;
    _cleanup_free_ struct claim *v =
        calloc((size_t)c->n_peers * CONFIG_PEER_PREFIXES_MAX + 1, sizeof(*v));

    if (!v)
        return -ENOMEM;
    check_multi(in, report);
    check_pool(in, report);
    for (unsigned i = 0; i < c->n_peers; i++)
        check_peer(in, i, report);
    check_names(in, v, report);
    check_addresses_once(in, v, report);
    check_prefixes_apart(in, v, report);
    return 0;
}
