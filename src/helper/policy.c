#include "helper/policy.h"

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

static bool is_same_network(const struct ip_prefix *a, const struct ip_prefix *b)
{
    struct ip_prefix x = ip_prefix_network(a), y = ip_prefix_network(b);

    return ip_prefix_equal(&x, &y);
}

static bool is_among(const struct ip_prefix *v, unsigned n, const struct ip_prefix *p)
{
    for (unsigned i = 0; i < n; i++)
        if (is_same_network(&v[i], p))
            return true;
    return false;
}

bool policy_route(const struct tunnel_config *c, const struct ip_prefix *dst)
{
    if (!policy_prefix_is_valid(dst))
        return false;
    if (c->role == CONFIG_ROLE_CLIENT)
        return is_among(c->routes, c->n_routes, dst);
    if (!dst->len)
        return false;
    for (unsigned i = 0; i < c->n_peers; i++)
        if (is_among(c->peers[i].prefix, c->peers[i].n_prefix, dst))
            return true;
    return is_among(c->peer_prefixes, c->n_peer_prefixes, dst);
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
