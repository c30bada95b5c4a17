#include "config/check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "config/report.h"

/* Of the kernel (rtnetlink.h). */
enum { ROUTE_TABLE_MAIN = 254, ROUTE_TABLE_LOCAL = 255 };

static const struct key_place *place(const struct check_input *in, enum config_key_id id)
{
    return &in->keys[id];
}

/* The key is missing; one that is there but bad is not. */
static bool absent(const struct check_input *in, enum config_key_id id)
{
    return in->keys[id].state == KEY_ABSENT || in->keys[id].state == KEY_IGNORED;
}

static bool good(const struct check_input *in, enum config_key_id id)
{
    return in->keys[id].state == KEY_GOOD;
}

/* Missing keys have no place of their own: they are reported at the role, which asks for them. */
static struct config_where role_at(const struct check_input *in)
{
    return in->keys[CONFIG_KEY_ROLE].at;
}

static void check_required(const struct check_input *in, struct config_report *report)
{
    enum config_role role = in->config->role;
    char hint[128];

    for (unsigned i = 0; i < CONFIG_KEY_COUNT; i++) {
        const struct config_key *k = &config_schema.keys[i];

        if (!(k->required & (1u << role)))
            continue;
        if (!absent(in, (enum config_key_id)i) &&
            !(good(in, (enum config_key_id)i) && !config_key_count(k, in->config)))
            continue;
        snprintf(hint, sizeof(hint), "add for example '%s: %s'", k->name, k->example);
        report_add(report, true, role_at(in), hint, "a %s needs %s", config_role_name(role),
                   k->name);
    }
}

/* A certificate is of no use without its key, and the other way round. On a server both are
 * required anyway. */
static void check_pair(const struct check_input *in, struct config_report *report)
{
    static const enum config_key_id pair[2] = {CONFIG_KEY_TLS_CERT_FILE, CONFIG_KEY_TLS_KEY_FILE};

    for (int i = 0; i < 2; i++)
        if (good(in, pair[i]) && absent(in, pair[!i]))
            report_add(report, true, place(in, pair[i])->at,
                       "a certificate and its key go together", "%s without %s",
                       config_schema.keys[pair[i]].name, config_schema.keys[pair[!i]].name);
}

static void check_client_tls(const struct check_input *in, struct config_report *report)
{
    const struct tunnel_config *c = in->config;
    struct config_where skip_at = place(in, CONFIG_KEY_TLS_INSECURE_SKIP_VERIFY)->at;

    check_pair(in, report);
    if (absent(in, CONFIG_KEY_TLS_CERT_FILE) && absent(in, CONFIG_KEY_TLS_KEY_FILE) &&
        absent(in, CONFIG_KEY_TOKEN_FILE))
        report_add(report, true, role_at(in), "add tls_cert_file and tls_key_file, or token_file",
                   "a client needs something to show to the server");
    if (c->tls_insecure_skip_verify)
        report_add(report, false, skip_at, "set it to false and name the CA in tls_ca_file",
                   "the server's certificate is not verified: anybody on the way can read and "
                   "change the traffic%s",
                   good(in, CONFIG_KEY_TOKEN_FILE) ? ", and learns the token" : "");
    else if (absent(in, CONFIG_KEY_TLS_CA_FILE) &&
             place(in, CONFIG_KEY_TLS_INSECURE_SKIP_VERIFY)->state != KEY_BAD)
        report_add(report, true, role_at(in),
                   "add for example 'tls_ca_file: /etc/mpquic/tls/ca.crt'",
                   "a client needs tls_ca_file");
}

static void check_server_auth(const struct check_input *in, struct config_report *report)
{
    const struct tunnel_config *c = in->config;

    if (absent(in, CONFIG_KEY_TLS_CA_FILE) && absent(in, CONFIG_KEY_TOKENS_FILE))
        report_add_kind(report, CONFIG_PROBLEM_NO_CLIENT_AUTH, role_at(in),
                        "add tls_ca_file (clients show certificates) or tokens_file (clients "
                        "show tokens)",
                        "no client authentication configured");
    if (c->n_allowed_clients && absent(in, CONFIG_KEY_TLS_CA_FILE))
        report_add(report, true, place(in, CONFIG_KEY_ALLOWED_CLIENTS)->at,
                   "add tls_ca_file; which tokens are valid is what tokens_file says",
                   "allowed_clients names certificates, but no tls_ca_file is there to verify "
                   "them");
    if (c->tls_crl_file[0] && absent(in, CONFIG_KEY_TLS_CA_FILE))
        report_add(report, true, place(in, CONFIG_KEY_TLS_CRL_FILE)->at,
                   "add tls_ca_file, or remove it; a token is withdrawn by removing its line",
                   "tls_crl_file without tls_ca_file");
    for (unsigned i = 0; i < c->n_allowed_clients; i++)
        for (unsigned j = 0; j < i; j++)
            if (!strcmp(c->allowed_clients[i], c->allowed_clients[j])) {
                report_add(report, false, in->allowed_client_at[i], "remove one",
                           "allowed_clients lists this name twice");
                break;
            }
}

static void check_peer_prefixes(const struct check_input *in, struct config_report *report)
{
    const struct tunnel_config *c = in->config;

    for (unsigned i = 0; i < c->n_peer_prefixes; i++) {
        const struct ip_prefix *p = &c->peer_prefixes[i];

        if (!p->len)
            report_add(report, false, in->peer_prefix_at[i], "name the networks behind the peer",
                       "a peer may use any source address of this family");
        for (unsigned j = 0; j < i; j++)
            if (ip_prefix_equal(p, &c->peer_prefixes[j])) {
                report_add(report, false, in->peer_prefix_at[i], "remove one",
                           "peer_prefixes lists this network twice");
                break;
            }
    }
}

/* A list of two must be one of each family. */
static void check_tun_addresses(const struct check_input *in, struct config_report *report)
{
    const struct tunnel_config *c = in->config;

    if (c->n_tun_network == 2 && c->tun_network[0].addr.family == c->tun_network[1].addr.family)
        report_add(report, true, place(in, CONFIG_KEY_TUN_NETWORK)->at,
                   "give at most one IPv4 and one IPv6 network",
                   "tun_network has two IPv%u networks", c->tun_network[0].addr.family);

    if (c->n_tun_addr == 2 && c->tun_addr[0].addr.family == c->tun_addr[1].addr.family)
        report_add(report, true, place(in, CONFIG_KEY_TUN_CIDR)->at,
                   "give at most one IPv4 and one IPv6 address", "tun_cidr has two IPv%u addresses",
                   c->tun_addr[0].addr.family);
}

/* Only the table main is sure to be looked into by what the machine itself sends. */
static bool routes_are_in_main(const struct tunnel_config *c)
{
    return !c->route_table || c->route_table == ROUTE_TABLE_MAIN;
}

uint32_t config_source_table(const struct tunnel_config *c)
{
    uint32_t table = c->source_table;

    if (c->role != CONFIG_ROLE_CLIENT)
        return 0;
    if (!table && c->n_routes)
        table = c->route_table;
    return table == ROUTE_TABLE_MAIN ? 0 : table;
}

bool config_leads_in(const struct tunnel_config *c, const struct ip_addr *to, struct ip_prefix *ret)
{
    const struct ip_prefix *found = NULL;

    for (unsigned i = 0; i < c->n_tun_network; i++)
        if (ip_prefix_contains(&c->tun_network[i], to))
            found = &c->tun_network[i];
    for (unsigned i = 0; i < c->n_routes && routes_are_in_main(c); i++)
        if (ip_prefix_contains(&c->routes[i], to))
            found = &c->routes[i];
    if (found)
        *ret = *found;
    return found;
}

/* A route that holds the server's address, as some path reaches it, sends the tunnel's own packets
 * into the tunnel, unless the socket of that path is bound to the interface of a WAN. */
static void check_loop(const struct check_input *in, const struct ip_prefix *route,
                       struct config_where at, struct config_report *report)
{
    const struct tunnel_config *c = in->config;
    char text[IP_PREFIX_STR_MAX];

    for (unsigned i = 0; i < config_paths(c); i++) {
        const char *remote = config_path_remote(c, i);
        struct ip_addr server;

        if (config_path_bind(c, i)->ifname[0] || ip_addr_parse(remote, &server) ||
            !ip_prefix_contains(route, &server))
            continue;
        report_add(report, false, at, "write bind_ip: if:NAME",
                   "the route %s may lead the tunnel's own packets to %s into the tunnel",
                   ip_prefix_str(route, text), remote);
        return;
    }
}

/* What the networks of our addresses lead into the tunnel is always in the table main. */
static void check_tun_networks(const struct check_input *in, struct config_report *report)
{
    const struct tunnel_config *c = in->config;

    for (unsigned i = 0; i < c->n_tun_network; i++) {
        if (!c->tun_network[i].len)
            report_add(report, true, in->tun_network_at[i],
                       "name the network of the server's tun_cidr; what else is to go through the "
                       "tunnel stands in routes",
                       "tun_network cannot be everything");
        else
            check_loop(in, &c->tun_network[i], in->tun_network_at[i], report);
    }
    for (unsigned i = 0; i < c->n_tun_addr; i++) {
        struct ip_prefix network = ip_prefix_network(&c->tun_addr[i]);

        check_loop(in, &network, place(in, CONFIG_KEY_TUN_CIDR)->at, report);
    }
    if (c->n_tun_network && c->n_tun_addr)
        report_add(report, false, place(in, CONFIG_KEY_TUN_NETWORK)->at,
                   "remove it, or set tun_cidr to auto",
                   "tun_network has no effect with addresses in tun_cidr");
}

static void check_routes(const struct check_input *in, struct config_report *report)
{
    const struct tunnel_config *c = in->config;

    for (unsigned i = 0; i < c->n_routes; i++) {
        if (routes_are_in_main(c))
            check_loop(in, &c->routes[i], in->route_at[i], report);
        for (unsigned j = 0; j < i; j++)
            if (ip_prefix_equal(&c->routes[i], &c->routes[j])) {
                report_add(report, false, in->route_at[i], "remove one",
                           "routes lists this network twice");
                break;
            }
    }
    if (c->route_table == ROUTE_TABLE_LOCAL)
        report_add(report, true, place(in, CONFIG_KEY_ROUTE_TABLE)->at, "choose another number",
                   "table 255 is the kernel's own");
    if (c->source_table == ROUTE_TABLE_LOCAL)
        report_add(report, true, place(in, CONFIG_KEY_SOURCE_TABLE)->at, "choose another number",
                   "table 255 is the kernel's own");
    if (good(in, CONFIG_KEY_ROUTE_TABLE) && absent(in, CONFIG_KEY_ROUTES))
        report_add(report, false, place(in, CONFIG_KEY_ROUTE_TABLE)->at,
                   "list the networks in routes, or remove it",
                   "route_table has no effect without routes");
}

/* A literal server address must be of the family of the address that the socket is bound to. */
static void check_family(const struct config_bind *bind, const char *remote, struct config_where at,
                         struct config_report *report)
{
    struct ip_addr r;

    if (!bind->addr.family || ip_addr_parse(remote, &r) || r.family == bind->addr.family)
        return;
    report_add(report, true, at, "use addresses of one family, or bind_ip: if:NAME",
               "an IPv%u remote_addr cannot be reached from an IPv%u bind_ip", r.family,
               bind->addr.family);
}

/* The tunnel's packets would go into the tunnel. */
static void check_own_interface(const struct tunnel_config *c, const struct config_bind *bind,
                                struct config_where at, struct config_report *report)
{
    if (*bind->ifname && !strcmp(bind->ifname, c->tun_name))
        report_add(report, true, at, "name the interface of the WAN",
                   "bind_ip is the tunnel's own interface");
}

static void check_client_addresses(const struct check_input *in, struct config_report *report)
{
    const struct tunnel_config *c = in->config;

    if (ip_addr_is_any(&c->bind.addr))
        report_add(report, false, place(in, CONFIG_KEY_BIND_IP)->at,
                   "write if:NAME, or leave it out if any WAN will do",
                   "this bind_ip ties the tunnel to no WAN");
    if (good(in, CONFIG_KEY_BIND_IP) && good(in, CONFIG_KEY_REMOTE_ADDR))
        check_family(&c->bind, c->remote_addr, place(in, CONFIG_KEY_REMOTE_ADDR)->at, report);
}

static void check_lanes(const struct check_input *in, struct config_report *report)
{
    const struct tunnel_config *c = in->config;

    if (good(in, CONFIG_KEY_LANES) && c->lanes.min > 1 && !c->session_extension)
        report_add(report, false, place(in, CONFIG_KEY_LANES)->at,
                   "set session_extension to true, or remove it",
                   "lanes has no effect without session_extension: there is one");
}

static void check_path_names(const struct check_input *in, unsigned i, struct config_report *report)
{
    const struct config_path *p = &in->config->paths[i];

    for (unsigned j = 0; j < i && p->name[0]; j++)
        if (!strcmp(p->name, in->config->paths[j].name)) {
            report_add(report, true, in->paths[i][CONFIG_PATH_KEY_NAME].at,
                       "give each its own name", "two paths are called '%s'", p->name);
            return;
        }
}

static bool same_bind(const struct config_bind *a, const struct config_bind *b)
{
    return a->ifname[0] ? !strcmp(a->ifname, b->ifname)
                        : a->addr.family && ip_addr_equal(&a->addr, &b->addr);
}

/* Two paths over one WAN fail together, and take from each other. */
static void check_path_wans(const struct check_input *in, unsigned i, struct config_report *report)
{
    const struct config_path *p = &in->config->paths[i];

    for (unsigned j = 0; j < i; j++)
        if (same_bind(&p->bind, &in->config->paths[j].bind)) {
            report_add(report, false, in->paths[i][CONFIG_PATH_KEY_BIND_IP].at,
                       "give each path a WAN of its own; several connections over one WAN are what "
                       "lanes says",
                       "the paths '%s' and '%s' use one WAN", in->config->paths[j].name, p->name);
            return;
        }
}

static void check_path(const struct check_input *in, unsigned i, struct config_report *report)
{
    const struct tunnel_config *c = in->config;
    const struct key_place *keys = in->paths[i];
    const struct config_path *p = &c->paths[i];
    const char *remote = p->remote_addr[0] ? p->remote_addr : c->remote_addr;

    for (unsigned k = 0; k < CONFIG_PATH_KEY_COUNT; k++)
        if (config_path_schema.keys[k].required && keys[k].state == KEY_ABSENT)
            report_add(report, true, in->path_at[i], NULL, "a path needs %s",
                       config_path_schema.keys[k].name);
    check_path_names(in, i, report);
    check_path_wans(in, i, report);
    check_own_interface(c, &p->bind, keys[CONFIG_PATH_KEY_BIND_IP].at, report);
    if (keys[CONFIG_PATH_KEY_BIND_IP].state != KEY_GOOD)
        return;
    check_family(&p->bind, remote,
                 p->remote_addr[0] ? keys[CONFIG_PATH_KEY_REMOTE_ADDR].at : in->path_at[i], report);
    if (ip_addr_is_any(&p->bind.addr))
        report_add(report, false, keys[CONFIG_PATH_KEY_BIND_IP].at, "write if:NAME",
                   "this bind_ip ties the path to no WAN");
}

static bool is_path(const struct tunnel_config *c, const char *name)
{
    for (unsigned i = 0; i < c->n_paths; i++)
        if (!strcmp(c->paths[i].name, name))
            return true;
    return false;
}

/* "'wan1', 'wan2'" */
static void path_names(const struct tunnel_config *c, char *buf, size_t size)
{
    size_t at = 0;

    buf[0] = 0;
    for (unsigned i = 0; i < c->n_paths && at < size; i++)
        at += (size_t)snprintf(buf + at, size - at, "%s'%s'", i ? ", " : "", c->paths[i].name);
}

static void check_pin(const struct check_input *in, struct config_report *report)
{
    const struct tunnel_config *c = in->config;
    const struct key_place *pin = place(in, CONFIG_KEY_MULTIPATH_PIN);
    char names[160], hint[192];

    path_names(c, names, sizeof(names));
    snprintf(hint, sizeof(hint), "name one of %s", names);
    if (c->multipath_policy != CONFIG_MP_PIN) {
        if (pin->state == KEY_GOOD)
            report_add(report, false, pin->at, "set multipath_policy to pin, or remove it",
                       "multipath_pin has no effect with this multipath_policy");
        return;
    }
    if (pin->state == KEY_ABSENT)
        report_add(report, true, place(in, CONFIG_KEY_MULTIPATH_POLICY)->at,
                   "name the path in multipath_pin", "multipath_policy pin names no path");
    else if (pin->state == KEY_GOOD && c->n_paths && !is_path(c, c->multipath_pin))
        report_add(report, true, pin->at, hint, "multipath_pin: no path is called '%s'",
                   c->multipath_pin);
}

static void check_treatment(const struct check_input *in, struct config_report *report)
{
    const struct tunnel_config *c = in->config;

    check_pin(in, report);
    if (good(in, CONFIG_KEY_MULTIPATH_COPIES) && c->multipath_policy != CONFIG_MP_DUPLICATE)
        report_add(report, false, place(in, CONFIG_KEY_MULTIPATH_COPIES)->at,
                   "set multipath_policy to duplicate, or remove it",
                   "multipath_copies has no effect with this multipath_policy");
    else if (c->multipath_policy == CONFIG_MP_DUPLICATE && c->multipath_copies > c->n_paths)
        report_add(report, false,
                   place(in, good(in, CONFIG_KEY_MULTIPATH_COPIES) ? CONFIG_KEY_MULTIPATH_COPIES
                                                                   : CONFIG_KEY_MULTIPATH_POLICY)
                       ->at,
                   "add paths to multipath_paths, or ask for fewer copies",
                   "%u copies of each packet, but %u path%s", c->multipath_copies, c->n_paths,
                   c->n_paths == 1 ? "" : "s");
    if (good(in, CONFIG_KEY_MULTIPATH_DEADLINE) && c->multipath_recovery == CONFIG_RECOVERY_NONE)
        report_add(report, false, place(in, CONFIG_KEY_MULTIPATH_DEADLINE)->at,
                   "set multipath_recovery to resend, or remove it",
                   "multipath_deadline has no effect: nothing is sent again");
}

static void check_paths(const struct check_input *in, struct config_report *report)
{
    const struct tunnel_config *c = in->config;
    struct config_where enabled_at = place(in, CONFIG_KEY_MULTIPATH_ENABLED)->at;

    for (unsigned i = 0; i < c->n_paths; i++)
        check_path(in, i, report);
    if (good(in, CONFIG_KEY_MULTIPATH_PATHS) && absent(in, CONFIG_KEY_MULTIPATH_ENABLED))
        report_add(report, false, place(in, CONFIG_KEY_MULTIPATH_PATHS)->at,
                   "set multipath_enabled to true; to false, if that is meant",
                   "the paths are not used");
    if (!c->multipath_enabled)
        return;
    if (absent(in, CONFIG_KEY_MULTIPATH_PATHS))
        report_add(report, true, enabled_at, "list the paths in multipath_paths",
                   "multipath_enabled without any path");
    if (good(in, CONFIG_KEY_BIND_IP))
        report_add(report, false, place(in, CONFIG_KEY_BIND_IP)->at,
                   "remove it: each path has its own",
                   "bind_ip has no effect with multipath_enabled");
    if (!c->session_extension)
        report_add(report, true, enabled_at, "set session_extension to true",
                   "multipath_enabled needs the session extension");
    check_treatment(in, report);
}

/* A relative name depends on the directory that the program happens to be started in. */
static void check_absolute(const struct check_input *in, struct config_report *report)
{
    for (unsigned i = 0; i < CONFIG_KEY_COUNT; i++) {
        const struct config_key *k = &config_schema.keys[i];
        const char *path = (const char *)in->config + k->offset;

        if (k->type == CONFIG_TYPE_PATH && *path && *path != '/')
            report_add(report, false, in->keys[i].at, "write it from the root: /...",
                       "%s is relative to the directory that mpquic is started in", k->name);
    }
}

int check_rules(const struct check_input *in, struct config_report *report)
{
    check_required(in, report);
    check_tun_addresses(in, report);
    check_own_interface(in->config, &in->config->bind, place(in, CONFIG_KEY_BIND_IP)->at, report);
    check_absolute(in, report);
    if (in->config->role == CONFIG_ROLE_SERVER) {
        check_server_auth(in, report);
        check_peer_prefixes(in, report);
        if (check_peers(in, report))
            return -ENOMEM;
    } else {
        check_client_tls(in, report);
        check_client_addresses(in, report);
        check_lanes(in, report);
        check_paths(in, report);
        check_routes(in, report);
        check_tun_networks(in, report);
    }
    return 0;
}
