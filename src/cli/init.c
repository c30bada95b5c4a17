#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "cli/pki.h"
#include "cli/service.h"
#include "pki/backup.h"

enum { LOCK_WAIT_MS = 10000 };

/* The hub's own addresses where the user names no network. */
static const char *const default_network[] = {"10.200.10.254/24", "fd00:200:10::fe/64"};

struct init {
    const char *config_dir, *pki_dir, *name, *tunnel;
    bool force, no_start;
    char host[BUNDLE_HOST_MAX], hub[BUNDLE_HOST_MAX + 16];
    uint16_t port;
    unsigned port_option;                       /* 0 = not given */
    struct ip_prefix own[CONFIG_TUN_ADDRS_MAX]; /* IPv4, IPv6 */
    struct cli_list network_text, sans;
    struct ip_prefix behind[CLI_LIST_MAX];
    struct cli_list behind_text;
    struct pki pki;
    char dir[FILE_PATH_MAX], path[FILE_PATH_MAX], file[CONFIG_NAME_MAX + 8];
    struct file_text yaml;
    struct tunnel_config config;
    bool have_config;
    bool changed; /* anything was written */
};

static void init_done(struct init *x)
{
    file_text_done(&x->yaml);
    if (x->have_config)
        config_done(&x->config);
}

/* --- the configuration ----------------------------------------------------------------- */

static void write_yaml(const struct init *x, FILE *f)
{
    char buf[IP_PREFIX_STR_MAX], buf6[IP_PREFIX_STR_MAX];

    fprintf(f,
            "# Written by mpquic init. mpquic.yaml(5) explains every key.\n"
            "role: server\n"
            "remote_port: %u\n"
            "tun_name: \"%s\"\n"
            "tun_cidr: [%s, \"%s\"]\n"
            "multi_conn_enabled: true\n",
            x->port, x->tunnel, ip_prefix_str(&x->own[0], buf), ip_prefix_str(&x->own[1], buf6));
    if (x->behind_text.n)
        fprintf(f, "# What may lie behind the edges.\npeer_prefixes:\n");
    for (unsigned i = 0; i < x->behind_text.n; i++)
        fprintf(f, "  - \"%s\"\n", ip_prefix_str(&x->behind[i], buf));
    fprintf(f,
            "tls_cert_file: \"%s/server/%s/" PKI_CERT_FILE "\"\n"
            "tls_key_file: \"%s/server/%s/" PKI_KEY_FILE "\"\n"
            "tls_ca_file: \"%s/ca.crt\"\n"
            "tls_crl_file: \"%s/crl.pem\"\n",
            x->pki.dir, x->host, x->pki.dir, x->host, x->pki.dir, x->pki.dir);
}

static int make_config(struct init *x, struct pki_error *e)
{
    char *text = NULL;
    size_t len = 0;
    FILE *f;
    int rv;

    if (x->pki.dir[strcspn(x->pki.dir, "\"\\\r\n")])
        return pki_error_set(e, -EINVAL, "--dir: unusable characters");
    if (x->tunnel[strcspn(x->tunnel, "\"\\\r\n")])
        return pki_error_set(e, -EINVAL, "--tunnel: unusable characters");
    f = open_memstream(&text, &len);
    if (!f)
        return pki_error_set(e, -ENOMEM, "out of memory");
    write_yaml(x, f);
    if (fclose(f)) {
        free(text);
        return pki_error_set(e, -ENOMEM, "out of memory");
    }
    x->yaml = (struct file_text){.data = text, .len = len};
    rv = service_config_parse(text, len, &x->config, e);
    x->have_config = !rv;
    return rv;
}

static int parse_behind(struct init *x, struct pki_error *e)
{
    int rv = 0;

    for (unsigned i = 0; i < x->behind_text.n && !rv; i++)
        rv = cli_network("behind", x->behind_text.v[i], &x->behind[i], e);
    return rv;
}

/* One of each family; the default of a family that is not given. */
static int parse_networks(struct init *x, struct pki_error *e)
{
    bool given[CONFIG_TUN_ADDRS_MAX] = {false};
    struct ip_prefix p;

    for (unsigned i = 0; i < CONFIG_TUN_ADDRS_MAX; i++)
        ip_prefix_parse(default_network[i], &x->own[i]);
    for (unsigned i = 0; i < x->network_text.n; i++) {
        int rv = cli_hub_network("network", x->network_text.v[i], &p, e);
        unsigned at = p.addr.family == 6;

        if (rv)
            return rv;
        if (given[at])
            return pki_error_set(e, -EINVAL, "--network: at most one IPv4 and one IPv6 network");
        given[at] = true;
        x->own[at] = p;
    }
    return 0;
}

/* Where edges find the hub. */
static int parse_address(struct init *x, const char *address, struct pki_error *e)
{
    uint16_t port = 0;
    int rv;

    if (bundle_hub_parse(address, x->host, &port))
        return pki_error_set(e, -EINVAL,
                             "'%.80s' is not the address of a hub: give the host name or IP "
                             "address that edges connect to, and :PORT behind it for another port "
                             "than %d",
                             address, BUNDLE_PORT);
    if (port && x->port_option && port != x->port_option)
        return pki_error_set(e, -EINVAL, "the port is %u in ADDRESS and %u in --port", port,
                             x->port_option);
    x->port = port ? port : x->port_option ? (uint16_t)x->port_option : BUNDLE_PORT;
    rv = cli_host(x->host, e);
    if (rv)
        return rv;
    if (strlen(x->host) >= PKI_NAME_MAX)
        return pki_error_set(e, -EINVAL,
                             "'%.20s...' has %zu characters, but the name of a certificate at most "
                             "%d: give the IP address here, and this name with --san",
                             x->host, strlen(x->host), PKI_NAME_MAX - 1);
    if (!pki_name_ok(x->host))
        return pki_error_set(e, -EINVAL, "'%.80s' cannot be the name of a certificate", x->host);
    for (unsigned i = 0; i < x->sans.n && !rv; i++)
        rv = cli_host(x->sans.v[i], e);
    bundle_hub_str(x->host, x->port, x->hub);
    return rv;
}

/* Everything that is to be, and where; nothing is written. */
static int plan(struct init *x, const char *address, struct pki_error *e)
{
    int rv = parse_address(x, address, e);

    if (rv)
        return rv;
    if (!x->name)
        x->name = "hub";
    if (!x->tunnel)
        x->tunnel = "mpq0";
    if (!bundle_name_ok(x->name))
        return pki_error_set(e, -EINVAL,
                             "'%.80s' cannot be a name: take up to %d letters, digits, '.', '_' "
                             "and '-'",
                             x->name, BUNDLE_NAME_MAX);
    snprintf(x->file, sizeof(x->file), "%s.yaml", x->name);
    rv = cli_pki_at(x->pki_dir, &x->pki, e);
    if (!rv)
        rv = service_full_dir(x->config_dir ? x->config_dir : SERVICE_CONFIG_DIR, x->dir, e);
    if (!rv)
        rv = file_path(x->path, x->dir, x->file, e);
    if (!rv)
        rv = parse_behind(x, e);
    if (!rv)
        rv = parse_networks(x, e);
    return rv ? rv : make_config(x, e);
}

/* --- doing it -------------------------------------------------------------------------- */

/* More names for the certificate that is there. */
static int ensure_sans(struct init *x, struct pki_error *e)
{
    struct pki_renew_opts opts = {.name = x->host, .sans = x->sans.v, .n_sans = x->sans.n};
    _cleanup_text_ struct file_text cert = {0};
    bool all = true;
    enum pki_kind kind;
    int rv = x->sans.n ? pki_read(&x->pki, PKI_KIND_SERVER, x->host, PKI_CERT_FILE, &cert, e) : 0;

    for (unsigned i = 0; i < x->sans.n && !rv; i++)
        all &= cert_is_for_host(&cert, x->sans.v[i]);
    if (rv || all)
        return rv;
    rv = pki_renew(&x->pki, &opts, &kind, e);
    if (!rv)
        printf("%s/server/%s: renewed the certificate for more names\n", x->pki.dir, x->host);
    x->changed |= !rv;
    return rv;
}

/* A certificate for the hub, unless one is there that holds. */
static int ensure_certificate(struct init *x, struct pki_error *e)
{
    struct pki_issue_opts opts = {
        .kind = PKI_KIND_SERVER, .name = x->host, .sans = x->sans.v, .n_sans = x->sans.n};
    const struct index_entry *old;
    struct index_table t = {0};
    char path[FILE_PATH_MAX + BUNDLE_HOST_MAX + 32];
    bool good;
    int rv = pki_list(&x->pki, &t, e);

    if (rv)
        return rv;
    old = pki_newest(&t, x->host, PKI_KIND_COUNT);
    snprintf(path, sizeof(path), "%s/server/%s/%s", x->pki.dir, x->host, PKI_KEY_FILE);
    good = old && old->kind == PKI_KIND_SERVER && !old->revoked && old->not_after > x->pki.now_s &&
           file_exists(path);
    index_done(&t);
    if (good)
        return ensure_sans(x, e);
    rv = pki_issue(&x->pki, &opts, e);
    if (!rv)
        printf("%s/server/%s: made a certificate\n", x->pki.dir, x->host);
    x->changed |= !rv;
    return rv;
}

static int ensure_authority(struct init *x, struct pki_error *e)
{
    struct pki_init_opts opts = {0};
    bool made = false, new = false;
    int rv = pki_init(&x->pki, &opts, &made, &new, e);

    if (!rv && made)
        printf(
            "%s: %s\n", x->pki.dir,
            new ? "made a certificate authority; ca.key is its secret: keep a copy in a safe place"
                : "completed the certificate authority that is there");
    x->changed |= made;
    return rv;
}

/* The address that bundles will name, and the configuration that tells the rest. */
static int ensure_hub(struct init *x, struct pki_error *e)
{
    struct pki_hub old = {0}, hub = {0};
    struct pki_error ignored;
    int rv;

    snprintf(hub.address, sizeof(hub.address), "%s", x->hub);
    snprintf(hub.config, sizeof(hub.config), "%s", x->path);
    if (!pki_read_hub(&x->pki, &old, &ignored) && !strcmp(old.address, hub.address) &&
        !strcmp(old.config, hub.config))
        return 0;
    rv = pki_write_hub(&x->pki, &hub, e);
    if (!rv && *old.address && strcmp(old.address, hub.address) != 0)
        printf("the hub was %s: every edge that has that address needs a new bundle (mpquic pki "
               "client NAME --bundle), and mpquic join --force there\n",
               old.address);
    x->changed |= !rv;
    return rv;
}

static int ensure_config(struct init *x, enum service_file there, struct pki_error *e)
{
    _cleanup_close_ int lock = -1;
    char copy[BACKUP_NAME_MAX] = "";
    int rv;

    if (there == SERVICE_FILE_SAME)
        return 0;
    rv = file_make_dir(x->dir, 0755, e);
    if (rv)
        return rv;
    lock = file_lock_dir(x->dir, LOCK_WAIT_MS, e);
    rv = lock < 0 ? lock : 0;
    if (!rv && there == SERVICE_FILE_OTHER)
        rv = backup_file(x->dir, x->file, copy, e);
    if (!rv)
        rv = file_write(x->dir, x->file, 0644, &x->yaml, e);
    if (!rv && *copy)
        printf("%s: what was there is now %s/%s: take over what you had added\n", x->path, x->dir,
               copy);
    if (!rv)
        printf("%s: wrote the configuration of the hub\n", x->path);
    x->changed |= !rv;
    return rv;
}

/* What is there and says something else is not touched without --force. */
static int check_present(const struct init *x, enum service_file there, struct pki_error *e)
{
    struct pki_error ignored;
    struct pki_hub old;

    if (x->force)
        return 0;
    if (there == SERVICE_FILE_OTHER)
        return pki_error_set(e, -EEXIST,
                             "%s is there already and says something else: edit it, or add --force "
                             "to replace it",
                             x->path);
    if (!pki_read_hub(&x->pki, &old, &ignored) && strcmp(old.address, x->hub) != 0)
        return pki_error_set(e, -EEXIST,
                             "%s: serves the hub %s already: add --force to change that",
                             x->pki.dir, old.address);
    return 0;
}

static enum exit_code init(struct init *x, const char *address)
{
    enum service_file there;
    enum exit_code code;
    struct pki_error e;

    if (plan(x, address, &e))
        return cli_failed(&cli_init, &e);
    there = service_file_compare(x->path, &x->config);
    if (check_present(x, there, &e) || ensure_authority(x, &e) || ensure_certificate(x, &e) ||
        ensure_hub(x, &e) || ensure_config(x, there, &e))
        return cli_failed(&cli_init, &e);
    if (!x->changed)
        printf("%s: everything is there already; nothing was changed\n", x->path);
    if (x->no_start) {
        service_tell_start(x->dir, x->name);
        code = EXIT_CODE_OK;
    } else {
        code = service_start(&cli_init, x->dir, x->name, x->changed, SERVICE_WAIT_S);
    }
    if (!code)
        printf("hub: %s (UDP): next, for each edge: mpquic pki client NAME --bundle\n", x->hub);
    return code;
}

static int run(int argc, char **argv)
{
    struct init x = {0};
    enum exit_code code;
    int c;

    while ((c = cli_getopt(&cli_init, argc, argv)) != -1) {
        switch (c) {
        case 'b':
            if (!cli_list_add(&x.behind_text, optarg))
                return cli_usage_error(&cli_init, "too many --behind");
            break;
        case 'w':
            if (!cli_list_add(&x.network_text, optarg))
                return cli_usage_error(&cli_init, "too many --network");
            break;
        case 'S':
            if (!cli_list_add(&x.sans, optarg))
                return cli_usage_error(&cli_init, "too many --san");
            break;
        case 'p':
            if (cli_number(&cli_init, "port", optarg, UINT16_MAX, &x.port_option))
                return EXIT_CODE_USAGE;
            break;
        case 't':
            x.tunnel = optarg;
            break;
        case 'n':
            x.name = optarg;
            break;
        case 'c':
            x.config_dir = optarg;
            break;
        case 'd':
            x.pki_dir = optarg;
            break;
        case 'f':
            x.force = true;
            break;
        case 's':
            x.no_start = true;
            break;
        default:
            return EXIT_CODE_USAGE;
        }
    }
    if (optind + 1 != argc)
        return cli_usage_error(&cli_init, "exactly one address is needed");
    code = init(&x, argv[optind]);
    init_done(&x);
    return (int)code;
}

static const struct cli_option options[] = {
    {'b', "behind", "PREFIX",
     "A network that may lie behind the edges: they may send from its addresses, and the hub "
     "learns "
     "which address is behind which edge; may be repeated. Without it an edge may send from its "
     "own "
     "tunnel address only."},
    {'w', "network", "PREFIX",
     "The network of the tunnel, from which edges get their addresses: at most one IPv4 and one "
     "IPv6 network. The hub takes an address at its end, or the one that is written: "
     "10.7.0.1/16. Otherwise 10.200.10.0/24 and fd00:200:10::/64."},
    {'t', "tunnel", "IFNAME", "Name of the TUN interface; otherwise mpq0."},
    {'p', "port", "N", "UDP port; otherwise the one of ADDRESS:PORT, otherwise 45010."},
    {'S', "san", "NAME",
     "One more host name or IP address of this machine that edges may use; may be repeated. mpquic "
     "pki client --hub tells an edge to use it."},
    {'f', "force", NULL,
     "Replace a configuration that says something else; a copy of it is kept, with .~1~ behind its "
     "name, or the next number."},
    {'s', "no-start", NULL, "Do not start it."},
    {'n', "name", "NAME", "Name of the instance; otherwise hub."},
    {'d', "dir", "DIR", "Directory of the certificate authority, as of mpquic pki."},
    {'c', "config-dir", "DIR", "Where the configurations are; otherwise /etc/mpquic."},
    {0},
};

const struct cli_verb cli_init = {
    .name = "init",
    .summary = "make this machine a hub",
    .args = "ADDRESS[:PORT]",
    .text =
        "Makes, as far as it is missing, a certificate authority (mpquic pki init), a certificate "
        "for ADDRESS, and /etc/mpquic/hub.yaml: a server for many edges on UDP port 45010, whose "
        "TUN is mpq0 with 10.200.10.254/24 and fd00:200:10::fe/64, from which edges get their "
        "addresses, unless the options say otherwise. Then has systemd start it now and at every "
        "boot. ADDRESS is the public host "
        "name or IP address of this machine.\n\n"
        "A second run changes nothing.",
    .options = options,
    .run = run,
};
