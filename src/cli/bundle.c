/* The file that an edge gets: put together from the authority's directory. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "cli/hubfile.h"
#include "cli/pki.h"

enum { ROUTE_TABLE = 100 };

static const char *const default_routes[] = {"0.0.0.0/0", "::/0"};

/* The name that the hub's certificate is for: the hub's address when a server certificate is for
 * it; the name of the only one there is otherwise. */
static int find_server_name(const struct pki *p, struct bundle *b, struct pki_error *e)
{
    struct index_table t = {0};
    const char *only = NULL;
    unsigned n = 0;
    bool found = false;
    int rv = pki_list(p, &t, e);

    for (size_t i = 0; !rv && i < t.n; i++) {
        const struct index_entry *x = &t.v[i];
        _cleanup_text_ struct file_text cert = {0};
        struct pki_error ignored;

        if (x->kind != PKI_KIND_SERVER || x->revoked || x->not_after <= p->now_s ||
            pki_newest(&t, x->name, PKI_KIND_SERVER) != x ||
            pki_read(p, PKI_KIND_SERVER, x->name, PKI_CERT_FILE, &cert, &ignored))
            continue;
        n++;
        only = x->name;
        found |= cert_is_for_host(&cert, b->hub);
    }
    if (!rv && !found && n == 1)
        snprintf(b->server_name, sizeof(b->server_name), "%s", only);
    index_done(&t);
    return rv;
}

static int set_hub(const struct pki *p, const struct cli_bundle_opts *opts, struct bundle *b,
                   struct pki_error *e)
{
    struct pki_hub remembered;
    const char *hub = opts->hub;
    int rv;

    b->port = BUNDLE_PORT;
    if (!hub) {
        rv = pki_read_hub(p, &remembered, e);
        if (rv == -ENOENT)
            return pki_error_set(e, rv,
                                 "where is the hub? Add --hub ADDRESS:PORT, or run mpquic init on "
                                 "the hub first");
        if (rv)
            return rv;
        hub = remembered.address;
    }
    if (bundle_hub_parse(hub, b->hub, &b->port))
        return pki_error_set(e, -EINVAL, "'%.80s' is not ADDRESS or ADDRESS:PORT", hub);
    rv = cli_host(b->hub, e);
    if (rv)
        return rv;
    if (!opts->server_name)
        return find_server_name(p, b, e);
    snprintf(b->server_name, sizeof(b->server_name), "%s", opts->server_name);
    return 0;
}

static int set_networks(const char *option, const char *const *text, unsigned n,
                        struct ip_prefix *ret, unsigned max, unsigned *ret_n, struct pki_error *e)
{
    int rv = n > max ? pki_error_set(e, -EINVAL, "--%s: more than %u", option, max) : 0;

    for (unsigned i = 0; i < n && !rv; i++)
        rv = cli_network(option, text[i], &ret[i], e);
    if (!rv)
        *ret_n = n;
    return rv;
}

/* ADDRESS/LENGTH; without a length that of the hub's network. */
static int parse_address(const struct hub_file *hub, const char *text, struct ip_prefix *ret,
                         struct pki_error *e)
{
    struct ip_addr a;

    if (!ip_prefix_parse(text, ret) && strchr(text, '/'))
        return 0;
    if (ip_addr_parse(text, &a))
        return pki_error_set(e, -EINVAL, "--address: '%.80s' is not ADDRESS/LENGTH", text);
    for (unsigned i = 0; hub->present && i < hub->config.n_tun_addr; i++)
        if (ip_prefix_contains(&hub->config.tun_addr[i], &a)) {
            *ret = (struct ip_prefix){a, hub->config.tun_addr[i].len};
            return 0;
        }
    return hub->present
               ? pki_error_set(e, -EINVAL, "--address: %s is in no network of tun_cidr in %s", text,
                               hub->path)
               : pki_error_set(e, -EINVAL, "--address: '%.80s': write ADDRESS/LENGTH", text);
}

static int set_addresses(const struct hub_file *hub, const struct cli_list *list, struct bundle *b,
                         struct pki_error *e)
{
    if (list->n > BUNDLE_ADDRS_MAX)
        return pki_error_set(e, -EINVAL, "--address: more than %d", BUNDLE_ADDRS_MAX);
    for (unsigned i = 0; i < list->n; i++)
        if (parse_address(hub, list->v[i], &b->addr[i], e))
            return -EINVAL;
    if (list->n == 2 && b->addr[0].addr.family == b->addr[1].addr.family)
        return pki_error_set(e, -EINVAL, "--address: at most one of each family");
    b->n_addr = list->n;
    return 0;
}

/* What the hub must know of it. */
static int set_fixed(const struct pki *p, const struct bundle *b, const struct cli_list *behind,
                     struct config_peer *ret, struct pki_error *e)
{
    int rv;

    snprintf(ret->name, sizeof(ret->name), "%s", b->name);
    for (unsigned i = 0; i < b->n_addr; i++)
        ret->addr[ret->n_addr++] = b->addr[i].addr;
    rv = set_networks("behind", behind->v, behind->n, ret->prefix, CONFIG_PEER_PREFIXES_MAX,
                      &ret->n_prefix, e);
    if (rv || (!ret->n_addr && !ret->n_prefix))
        return rv;
    return hub_file_check_peer(p, ret, e);
}

/* The networks that an address out of the hub's pool will lie in. */
static int set_tunnel_networks(const struct hub_file *hub, const struct cli_bundle_opts *opts,
                               struct bundle *b, struct pki_error *e)
{
    if (opts->networks.n)
        return set_networks("network", opts->networks.v, opts->networks.n, b->network,
                            BUNDLE_ADDRS_MAX, &b->n_network, e);
    if (b->n_addr) /* has a length itself */
        return 0;
    for (unsigned i = 0; hub->present && i < hub->config.n_tun_addr; i++)
        b->network[b->n_network++] = ip_prefix_network(&hub->config.tun_addr[i]);
    return 0;
}

/* Where a link leads to; the path itself when it is none. A link may lead to a device, such as
 * /dev/stdout: then moving a file into its place would destroy the link. */
static int resolve_out(const char *path, char ret[static FILE_PATH_MAX], struct pki_error *e)
{
    char real[PATH_MAX];
    struct stat st;
    bool there = !stat(path, &st);
    const char *to = there ? real : path;

    if (there && !S_ISREG(st.st_mode))
        return pki_error_set(
            e, -EINVAL, "%.200s: not a regular file: --out - writes to the standard output", path);
    if (there && !realpath(path, real))
        return pki_error_set(e, -errno, "%.200s: %s", path, strerror(errno));
    if (strlen(to) >= FILE_PATH_MAX)
        return pki_error_set(e, -ENAMETOOLONG, "%.200s: the path is too long", path);
    memcpy(ret, to, strlen(to) + 1);
    return 0;
}

int cli_bundle_begin(const struct pki *p, const char *name, const struct cli_bundle_opts *opts,
                     struct bundle *ret, struct config_peer *ret_fixed, struct pki_error *e)
{
    const char *const *routes = opts->routes.n ? opts->routes.v : default_routes;
    unsigned n_routes = opts->routes.n ? opts->routes.n : ARRAY_LEN(default_routes);
    struct bundle b = {.created = p->now_s, .route_table = ROUTE_TABLE};
    struct config_peer fixed = {0};
    char out[FILE_PATH_MAX];
    struct hub_file hub;
    int rv;

    if (opts->out && strcmp(opts->out, "-") != 0 && resolve_out(opts->out, out, e))
        return -EINVAL;
    if (!bundle_name_ok(name))
        return pki_error_set(e, -EINVAL,
                             "'%.80s' cannot be the name of a tunnel: take up to %d letters, "
                             "digits, '.', '_' and '-'",
                             name, BUNDLE_NAME_MAX);
    snprintf(b.name, sizeof(b.name), "%s", name);
    snprintf(b.tunnel, sizeof(b.tunnel), "%s", opts->tunnel ? opts->tunnel : "mpq0");
    hub_file_load(p, &hub);
    rv = set_hub(p, opts, &b, e);
    if (!rv)
        rv = set_addresses(&hub, &opts->addresses, &b, e);
    if (!rv)
        rv = set_tunnel_networks(&hub, opts, &b, e);
    hub_file_done(&hub);
    if (!rv)
        rv = set_fixed(p, &b, &opts->behind, &fixed, e);
    if (!rv)
        rv = set_networks("route", routes, n_routes, b.route, BUNDLE_ROUTES_MAX, &b.n_route, e);
    if (!rv)
        rv = opts->table ? cli_table("route-table", opts->table, &b.route_table, e) : 0;
    if (rv)
        return rv;
    *ret = b;
    *ret_fixed = fixed;
    return 0;
}

/* Into the directory that the path names. */
static int write_out(const char *out, const struct file_text *text, struct pki_error *e)
{
    char dir[FILE_PATH_MAX], path[FILE_PATH_MAX] = "";
    int rv = resolve_out(out, path, e);
    const char *slash = rv ? NULL : strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t n = slash ? (size_t)(slash - path) : 1;

    if (rv)
        return rv;
    if (!*name || n >= sizeof(dir))
        return pki_error_set(e, -EINVAL, "%.200s: not the name of a file", path);
    memcpy(dir, slash ? path : ".", n);
    dir[n] = 0;
    return file_write(*dir ? dir : "/", name, 0600, text, e);
}

int cli_bundle_finish(const struct pki *p, const struct cli_bundle_opts *opts, struct bundle *b,
                      char ret_file[static FILE_PATH_MAX], struct pki_error *e)
{
    _cleanup_text_ struct file_text text = {0};
    struct bundle back = {0};
    int rv = pki_read_ca(p, &b->ca, e);

    if (!rv)
        rv = pki_read(p, PKI_KIND_CLIENT, b->name, PKI_CERT_FILE, &b->cert, e);
    if (!rv)
        rv = pki_read(p, PKI_KIND_CLIENT, b->name, PKI_KEY_FILE, &b->key, e);
    if (!rv)
        rv = bundle_check(b, e);
    if (!rv)
        rv = bundle_print(b, &text, e);
    if (!rv) /* what the edge will read */
        rv = bundle_parse(text.data, text.len, &back, e);
    bundle_done(&back);
    if (rv)
        return rv;
    if (opts->out && !strcmp(opts->out, "-")) {
        snprintf(ret_file, FILE_PATH_MAX, "-");
        return fwrite(text.data, 1, text.len, stdout) == text.len
                   ? 0
                   : pki_error_set(e, -EIO, "cannot write the output");
    }
    if (opts->out)
        rv = snprintf(ret_file, FILE_PATH_MAX, "%s", opts->out) >= FILE_PATH_MAX;
    else
        snprintf(ret_file, FILE_PATH_MAX, "%s.mpquic", b->name);
    return rv ? pki_error_set(e, -ENAMETOOLONG, "--out: the path is too long")
              : write_out(ret_file, &text, e);
}
