#include "helper/policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool policy_prefix_is_valid(const struct ip_prefix *p)
{
    return (p->addr.family == 4 || p->addr.family == 6) && p->len <= ip_addr_bits(&p->addr);
}

bool policy_addr_is_configured(const struct tunnel_config *c, const struct ip_prefix *p)
{
    for (unsigned i = 0; i < c->n_tun_addr; i++)
        if (ip_prefix_equal(&c->tun_addr[i], p))
            return true;
    return false;
}

static bool is_loopback(const struct ip_addr *a)
{
    static const uint8_t v6[16] = {[15] = 1};

    return a->family == 4 ? a->b[0] == 127 : memcmp(a->b, v6, 16) == 0;
}

/* 0.0.0.0/8, and the upper end of IPv4; :: and what only embeds an IPv4 address. */
static bool is_reserved(const struct ip_addr *a)
{
    static const uint8_t zero[10];

    return a->family == 4 ? a->b[0] == 0 || a->b[0] >= 240 : memcmp(a->b, zero, 10) == 0;
}

/* A host by itself, or in a network that the configuration names. */
static bool has_proper_length(const struct tunnel_config *c, const struct ip_prefix *p)
{
    for (unsigned i = 0; i < c->n_tun_network; i++)
        if (p->len == c->tun_network[i].len && ip_prefix_contains(&c->tun_network[i], &p->addr))
            return true;
    return p->len == ip_addr_bits(&p->addr);
}

bool policy_addr_is_assignable(const struct tunnel_config *c, const struct ip_prefix *p)
{
    const struct ip_addr *a = &p->addr;

    return c->role == CONFIG_ROLE_CLIENT && !c->n_tun_addr && policy_prefix_is_valid(p) &&
           has_proper_length(c, p) && !is_loopback(a) && !is_reserved(a) &&
           !ip_addr_is_multicast(a) && !ip_addr_is_linklocal(a);
}

/* --- routes ---------------------------------------------------------------------------- */

static int compare_prefixes(const void *a, const void *b)
{
    const struct ip_prefix *x = a, *y = b;
    int d = ip_addr_cmp(&x->addr, &y->addr);

    return d ? d : (int)x->len - (int)y->len;
}

static void collect(struct policy_routes *p, const struct ip_prefix *v, unsigned n, bool all)
{
    for (unsigned i = 0; i < n; i++)
        if (v[i].len || all)
            p->v[p->n++] = ip_prefix_network(&v[i]);
}

int policy_routes_need(struct policy_routes *p, const struct tunnel_config *c)
{
    bool client = c->role == CONFIG_ROLE_CLIENT;
    size_t n = client ? c->n_routes : c->n_peer_prefixes;

    if (p->known)
        return 0;
    for (unsigned i = 0; i < c->n_peers && !client; i++)
        n += c->peers[i].n_prefix;
    p->v = calloc(n + 1, sizeof(*p->v));
    if (!p->v)
        return -ENOMEM;
    p->known = true;
    if (client)
        collect(p, c->routes, c->n_routes, true);
    else
        collect(p, c->peer_prefixes, c->n_peer_prefixes, false);
    for (unsigned i = 0; i < c->n_peers && !client; i++)
        collect(p, c->peers[i].prefix, c->peers[i].n_prefix, false);
    qsort(p->v, p->n, sizeof(*p->v), compare_prefixes);
    return 0;
}

bool policy_routes_allow(const struct policy_routes *p, const struct ip_prefix *dst)
{
    struct ip_prefix network;

    if (!policy_prefix_is_valid(dst))
        return false;
    network = ip_prefix_network(dst);
    return p->n && bsearch(&network, p->v, p->n, sizeof(*p->v), compare_prefixes);
}

void policy_routes_done(struct policy_routes *p)
{
    free(p->v);
    *p = (struct policy_routes){0};
}

uint32_t policy_route_table(const struct tunnel_config *c)
{
    return c->role == CONFIG_ROLE_CLIENT ? c->route_table : 0;
}

/* What one bind_ip allows a client. */
static bool bind_allows(const struct config_bind *b, const struct ip_addr *addr, const char *device,
                        bool *ret_check)
{
    static const struct ip_addr any4 = {.family = 4}, any6 = {.family = 6};

    *ret_check = false;
    if (*b->ifname)
        return !strcmp(device, b->ifname);
    if (b->addr.family) {
        *ret_check = *device != 0;
        return ip_addr_equal(addr, &b->addr);
    }
    return !*device && (ip_addr_equal(addr, &any4) || ip_addr_equal(addr, &any6));
}

static bool listener(const struct tunnel_config *c, const struct ip_addr *addr, const char *device)
{
    static const struct ip_addr any4 = {.family = 4}, any6 = {.family = 6};
    const struct ip_addr *want = &c->bind.addr;

    if (strcmp(device, c->bind.ifname) != 0)
        return false;
    if (want->family && !ip_addr_equal(want, &any6))
        return ip_addr_equal(addr, want);
    return ip_addr_equal(addr, &any4) || ip_addr_equal(addr, &any6);
}

bool policy_udp(const struct tunnel_config *c, const struct ip_addr *addr, uint16_t port,
                const char *device, bool *ret_check)
{
    *ret_check = false;
    if (addr->family != 4 && addr->family != 6)
        return false;
    if (c->role == CONFIG_ROLE_SERVER)
        return port == c->remote_port && listener(c, addr, device);
    if (port)
        return false;
    if (bind_allows(&c->bind, addr, device, ret_check))
        return true;
    for (unsigned i = 0; i < c->n_paths; i++)
        if (bind_allows(&c->paths[i].bind, addr, device, ret_check))
            return true;
    return false;
}

const char *policy_file(const struct tunnel_config *c, uint32_t file)
{
    const char *path = "";

    switch (file) {
    case HELPER_FILE_CERT:
        path = c->tls_cert_file;
        break;
    case HELPER_FILE_KEY:
        path = c->tls_key_file;
        break;
    case HELPER_FILE_CA:
        path = c->tls_ca_file;
        break;
    case HELPER_FILE_CRL:
        path = c->tls_crl_file;
        break;
    case HELPER_FILE_TOKEN:
        path = c->token_file;
        break;
    case HELPER_FILE_TOKENS:
        path = c->tokens_file;
        break;
    default:
        break;
    }
    return *path ? path : NULL;
}
