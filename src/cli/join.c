#include <errno.h>
#include <linux/rtnetlink.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"
#include "cli/beside.h"
#include "cli/change.h"
#include "cli/cli.h"
#include "cli/pki.h"
#include "cli/service.h"
#include "cli/uplink.h"
#include "control/client.h"
#include "daemon/probe.h"
#include "pki/bundle.h"
#include "pki/cert.h"
#include "status/reload.h"

enum { CLOCK_SLACK_S = 300, PACKET_MIN = 1280, WAIT_MAX_S = 3600 };
#define RELOAD_TIMEOUT_NS (10 * NS_PER_S)

struct join {
    const char *file, *name, *bind, *tunnel, *table, *config_dir;
    bool force, no_check, no_start;
    bool renews;      /* the instance is there: only its key and certificates are replaced */
    char old_tun[16]; /* of the instance that is replaced; "" = none, or the same */
    unsigned wait_s;
    char uplink[sizeof("if:") + UPLINK_NAME_MAX]; /* what `bind` was set to here */
    struct bundle bundle;
    struct file_text yaml;
    struct tunnel_config config;
    bool have_config;
    char dir[FILE_PATH_MAX], tls_dir[FILE_PATH_MAX], path[FILE_PATH_MAX];
};

static void join_done(struct join *j)
{
    bundle_done(&j->bundle);
    file_text_done(&j->yaml);
    if (j->have_config)
        config_done(&j->config);
}

static enum exit_code failed(const char *file, const struct pki_error *e)
{
    fprintf(stderr, "mpquic join: %s%s%s\n", file ? file : "", file ? ": " : "", e->text);
    return EXIT_CODE_FILES;
}

/* --- the bundle ------------------------------------------------------------------------ */

static int read_stdin(struct file_text *ret, struct pki_error *e)
{
    char *text = malloc(BUNDLE_BYTES_MAX + 1);
    size_t n = text ? fread(text, 1, BUNDLE_BYTES_MAX + 1, stdin) : 0;
    int rv = !text           ? pki_error_set(e, -ENOMEM, "out of memory")
             : ferror(stdin) ? pki_error_set(e, -EIO, "cannot read")
                             : file_text_set(ret, text, n, e);

    if (text)
        explicit_bzero(text, BUNDLE_BYTES_MAX + 1);
    free(text);
    return rv;
}

static enum exit_code read_bundle(struct join *j)
{
    _cleanup_text_ struct file_text text = {0};
    bool is_stdin = !strcmp(j->file, "-");
    struct pki_error e;

    if (is_stdin ? read_stdin(&text, &e) : file_read(j->file, &text, &e))
        return failed(is_stdin ? "standard input" : NULL, &e);
    if (bundle_parse(text.data, text.len, &j->bundle, &e) || bundle_check(&j->bundle, &e))
        return failed(j->file, &e);
    return EXIT_CODE_OK;
}

/* --- the configuration ----------------------------------------------------------------- */

static void write_list(FILE *f, const char *key, const struct ip_prefix *v, unsigned n)
{
    char buf[IP_PREFIX_STR_MAX];

    if (n)
        fprintf(f, "%s: [", key);
    for (unsigned i = 0; i < n; i++)
        fprintf(f, "%s\"%s\"", i ? ", " : "", ip_prefix_str(&v[i], buf));
    if (n)
        fprintf(f, "]\n");
}

static void write_yaml(const struct join *j, FILE *f)
{
    const struct bundle *b = &j->bundle;

    fprintf(f, "# Written by mpquic join. mpquic.yaml(5) explains every key.\n"
               "role: client\n");
    if (j->bind)
        fprintf(f, "bind_ip: \"%s\"\n", j->bind);
    fprintf(f, "remote_addr: \"%s\"\nremote_port: %u\n", b->hub, b->port);
    fprintf(f, "tun_name: %s\n", j->tunnel ? j->tunnel : b->tunnel);
    write_list(f, "tun_cidr", b->addr, b->n_addr);
    if (!b->n_addr)
        write_list(f, "tun_network", b->network, b->n_network);
    write_list(f, "routes", b->route, b->n_route);
    if (b->route_table && b->n_route)
        fprintf(f, "route_table: %u\n", b->route_table);
    fprintf(f, "tls_cert_file: %s/%s\ntls_key_file: %s/%s\ntls_ca_file: %s/%s\n", j->tls_dir,
            CHANGE_CERT_FILE, j->tls_dir, CHANGE_KEY_FILE, j->tls_dir, CHANGE_CA_FILE);
    if (*b->server_name)
        fprintf(f, "tls_server_name: \"%s\"\n", b->server_name);
}

static int make_config(struct join *j, struct pki_error *e)
{
    char *text = NULL;
    size_t len = 0;
    FILE *f;
    int rv;

    file_text_done(&j->yaml); /* it may be made anew, with another bind */
    if (j->have_config)
        config_done(&j->config);
    j->have_config = false;
    /* what goes into the text must not end its line or its quotes */
    if ((j->bind && j->bind[strcspn(j->bind, "\"\\\r\n")]) ||
        (j->tunnel && j->tunnel[strcspn(j->tunnel, "\"\\:#\r\n ")]))
        return pki_error_set(e, -EINVAL, "--bind or --tunnel: unusable characters");
    f = open_memstream(&text, &len);
    if (!f)
        return pki_error_set(e, -ENOMEM, "out of memory");
    write_yaml(j, f);
    if (fclose(f)) {
        free(text);
        return pki_error_set(e, -ENOMEM, "out of memory");
    }
    j->yaml = (struct file_text){.data = text, .len = len};
    rv = service_config_parse(text, len, &j->config, e);
    j->have_config = !rv;
    return rv;
}

static int place(struct join *j, struct pki_error *e)
{
    char file[BUNDLE_NAME_MAX + sizeof(".yaml")], parent[FILE_PATH_MAX];
    int rv = service_full_dir(j->config_dir ? j->config_dir : SERVICE_CONFIG_DIR, j->dir, e);

    if (!j->name)
        j->name = j->bundle.name;
    if (!rv && !bundle_name_ok(j->name))
        rv = pki_error_set(e, -EINVAL,
                           "'%.80s' cannot be a name: take up to %d letters, digits, "
                           "'.', '_' and '-'",
                           j->name, BUNDLE_NAME_MAX);
    if (rv)
        return rv;
    snprintf(file, sizeof(file), "%s.yaml", j->name);
    rv = file_path(j->path, j->dir, file, e);
    if (!rv)
        rv = file_path(parent, j->dir, CHANGE_TLS_DIR, e);
    return rv ? rv : file_path(j->tls_dir, parent, j->name, e);
}

/* --- an instance that is there --------------------------------------------------------- */

static bool same_path(const char *path, const char *dir, const char *name)
{
    size_t n = strlen(dir);

    return !strncmp(path, dir, n) && path[n] == '/' && !strcmp(path + n + 1, name);
}

/* Whether the certificate that the instance has names the same edge. */
static bool same_identity(const struct join *j)
{
    _cleanup_text_ struct file_text text = {0};
    struct cert_info old, new;
    struct pki_error ignored;

    return !file_read(j->config.tls_cert_file, &text, &ignored) &&
           !cert_read(&text, &old, &ignored) && !cert_read(&j->bundle.cert, &new, &ignored) &&
           !strcmp(old.name, new.name);
}

/* What keeps the bundle from being a renewal of the instance that is there; NULL: nothing. */
static const char *why_no_renewal(const struct join *j)
{
    const struct tunnel_config *c = &j->config;

    if (c->role != CONFIG_ROLE_CLIENT)
        return "is no edge";
    if (strcmp(c->remote_addr, j->bundle.hub) != 0 || c->remote_port != j->bundle.port)
        return "is of another hub";
    if (!same_path(c->tls_cert_file, j->tls_dir, CHANGE_CERT_FILE) ||
        !same_path(c->tls_key_file, j->tls_dir, CHANGE_KEY_FILE) ||
        !same_path(c->tls_ca_file, j->tls_dir, CHANGE_CA_FILE))
        return "has its certificates elsewhere";
    if (!same_identity(j))
        return "is of another edge";
    if (j->bind || j->tunnel || j->table)
        return "would be changed: edit it, or give no options to replace only key and certificates";
    return NULL;
}

/* The instance is there already. Returns 0 when this is a renewal of it; -EEXIST. */
static int look_at_present(struct join *j, struct pki_error *e)
{
    struct config_report report = {0};
    const char *why = "cannot be read, or has errors";

    if (file_exists(j->path) && !config_load(j->path, &j->config, &report)) {
        j->have_config = true;
        why = why_no_renewal(j);
    }
    config_report_done(&report);
    if (!why) {
        j->renews = true;
        return 0;
    }
    return pki_error_set(e, -EEXIST,
                         "%s is there already and %s: add --force to replace it, of which a copy "
                         "is kept, or --name NAME for another tunnel beside it",
                         file_exists(j->path) ? j->path : j->tls_dir,
                         file_exists(j->path) ? why : "has no configuration");
}

/* --- checks ---------------------------------------------------------------------------- */

#define SET_CLOCK "set the clock (timedatectl set-ntp true, or date -u -s 'YYYY-MM-DD HH:MM')"

static enum exit_code too_early(int64_t begin_s)
{
    char now[PKI_TIME_STR_MAX], begin[PKI_TIME_STR_MAX];

    fprintf(
        stderr,
        "mpquic join: this machine's clock says %s, but the certificate begins at %s: " SET_CLOCK
        "\n",
        pki_time_str(clock_real_s(), now), pki_time_str(begin_s, begin));
    return EXIT_CODE_CERT_TIME;
}

static enum exit_code too_late(const struct join *j, int64_t now_s, int64_t end_s)
{
    char now[PKI_TIME_STR_MAX], end[PKI_TIME_STR_MAX];

    fprintf(stderr,
            "mpquic join: it is %s, and the certificate ended at %s: get a new bundle (mpquic pki "
            "renew %s --bundle on the hub), or if that time is wrong " SET_CLOCK "\n",
            pki_time_str(now_s, now), pki_time_str(end_s, end), j->bundle.name);
    return EXIT_CODE_CERT_TIME;
}

/* Certificates have their time, by the clock that the tunnel will go by. The bundle's date tells
 * only whether this machine's own clock is behind. */
static enum exit_code check_clock(const struct join *j)
{
    const struct bundle *b = &j->bundle;
    int64_t now_s, least_s;
    char least[PKI_TIME_STR_MAX];
    struct cert_info cert, ca;
    struct pki_error e;

    if (cert_read(&b->cert, &cert, &e) || cert_read(&b->ca, &ca, &e))
        return failed(j->file, &e);
    now_s = service_now_s(j->name);
    if (now_s < MAX(cert.not_before, ca.not_before))
        return too_early(MAX(cert.not_before, ca.not_before));
    if (now_s >= MIN(cert.not_after, ca.not_after))
        return too_late(j, now_s, MIN(cert.not_after, ca.not_after));
    least_s = MAX(now_s, b->created);
    if (clock_real_s() < least_s - CLOCK_SLACK_S)
        fprintf(stderr,
                "mpquic join: warning: the clock is behind, it should be past %s: set it "
                "(timedatectl set-ntp true)\n",
                pki_time_str(least_s, least));
    else
        printf("clock: ok\n");
    return EXIT_CODE_OK;
}

static void report_mtu(const struct probe_result *r)
{
    if (!r->mtu_known) {
        printf("mtu: at least %zu bytes of UDP; the search was not over\n", r->udp_payload_bytes);
        return;
    }
    printf("mtu: packets of up to %zu bytes in the tunnel (%zu bytes of UDP)\n",
           r->packet_max_bytes, r->udp_payload_bytes);
    if (r->packet_max_bytes < PACKET_MIN)
        fprintf(stderr,
                "mpquic join: warning: the path carries only %zu bytes per packet, IPv6 needs %d: "
                "larger packets are cut in two; raise the MTU of the WAN if it can be\n",
                r->packet_max_bytes, PACKET_MIN);
}

/* What can be done about a hub that does not want us, or that we do not want. */
static void write_remedy(const struct join *j, enum exit_code code)
{
    const struct bundle *b = &j->bundle;

    if (code == EXIT_CODE_SERVER_UNTRUSTED)
        fprintf(stderr, ": the bundle is of another hub, or of this one before it was made anew: "
                        "have a new one made there");
    else if (code == EXIT_CODE_SERVER_NAME)
        fprintf(stderr,
                ": the bundle expects %s: on the hub mpquic pki show tells the names that there "
                "are, pki renew --san adds one",
                *b->server_name ? b->server_name : b->hub);
    else if (code == EXIT_CODE_CLIENT_REJECTED)
        fprintf(stderr, ": the log of the hub tells why; it may have allowed_clients without %s",
                b->name);
}

static enum exit_code check_hub(const struct join *j)
{
    const struct bundle *b = &j->bundle;
    struct probe_opts opts = {.config = &j->config,
                              .cert = {j->file, b->cert.data, b->cert.len},
                              .key = {j->file, b->key.data, b->key.len},
                              .ca = {j->file, b->ca.data, b->ca.len}};
    struct probe_result r;
    char hub[BUNDLE_HOST_MAX + 16];
    enum exit_code code = daemon_probe(&opts, &r);

    bundle_hub_str(b->hub, b->port, hub);
    if (code) {
        fprintf(stderr, "mpquic join: hub %s: %s", hub, r.why);
        write_remedy(j, code);
        fputc('\n', stderr);
        return code;
    }
    printf("hub: %s accepts us, round trip %.1f ms\n", hub, (double)r.rtt_ns / NS_PER_MS);
    report_mtu(&r);
    return EXIT_CODE_OK;
}

/* --- where the tunnel's own packets go -------------------------------------------------- */

static void warn_main(const struct tunnel_config *c)
{
    bool wide = false;

    for (unsigned i = 0; i < c->n_routes; i++)
        wide |= c->routes[i].len <= 1;
    if (wide && (!c->route_table || c->route_table == RT_TABLE_MAIN))
        printf("note: what this machine itself sends goes through the hub from now on, the answers "
               "to a login from outside too\n");
}

/* A tunnel that would carry its own packets cuts the machine off: it is bound to the interface by
 * which the hub is reached now. */
static int bind_uplink(struct join *j, struct pki_error *e)
{
    char name[UPLINK_NAME_MAX];
    int rv = uplink_find(&j->config, name, e);

    if (rv || !*name)
        return rv;
    snprintf(j->uplink, sizeof(j->uplink), "if:%s", name);
    j->bind = j->uplink;
    rv = make_config(j, e);
    if (!rv)
        printf("bind: %s, by which the hub is reached: the routes hold its own address\n", j->bind);
    return rv;
}

static void find_old_tun(struct join *j)
{
    struct config_report report = {0};
    struct tunnel_config old;

    if (!config_load(j->path, &old, &report)) {
        if (strcmp(old.tun_name, j->config.tun_name) != 0)
            snprintf(j->old_tun, sizeof(j->old_tun), "%s", old.tun_name);
        config_done(&old);
    }
    config_report_done(&report);
}

/* Everything that is to be; nothing is written. */
static int plan(struct join *j, struct pki_error *e)
{
    unsigned table = j->bundle.route_table;
    int rv = place(j, e);

    if (!rv && !j->force && (file_exists(j->path) || file_exists(j->tls_dir))) {
        rv = look_at_present(j, e);
        if (rv || j->renews)
            return rv;
    }
    if (!rv && j->table)
        rv = cli_table("route-table", j->table, &table, e);
    j->bundle.route_table = table;
    if (!rv)
        rv = make_config(j, e);
    if (!rv && file_exists(j->path))
        find_old_tun(j);
    if (!rv)
        rv = beside_check(j->dir, j->name, &j->config, *j->old_tun ? j->old_tun : NULL, e);
    return rv ? rv : bind_uplink(j, e);
}

/* --- doing it -------------------------------------------------------------------------- */

/* Only key and certificates; a running instance takes them over. */
static enum exit_code renew(struct join *j)
{
    char until[PKI_TIME_STR_MAX], *text;
    struct reload_outcome o = {0};
    struct cert_info info;
    struct change change;
    struct pki_error e;
    bool taken = false;
    size_t len;

    if (cert_read(&j->bundle.cert, &info, &e) ||
        change_begin(&change, j->dir, j->name, j->config.tun_name, &e) ||
        change_write(&change, &j->bundle, NULL, false, &e))
        return failed(NULL, &e);
    printf("%s: has the certificate of the bundle, valid until %s; %s stays as it is\n", j->tls_dir,
           pki_time_str(info.not_after, until), j->path);
    if (!control_ask(j->name, CONTROL_RELOAD, RELOAD_TIMEOUT_NS, &text, &len)) {
        taken =
            !reload_outcome_from_json(text, len, &o) && reload_outcome_result(&o) <= RELOAD_APPLIED;
        free(text);
        reload_outcome_done(&o);
        printf(taken ? "%s: the running tunnel has taken it over\n"
                     : "%s: the running tunnel has not taken it over: mpquic reload tells why\n",
               j->name);
        return taken ? EXIT_CODE_OK : EXIT_CODE_CONFIG;
    }
    if (!j->no_start)
        return service_start(&cli_join, j->dir, j->name, false, j->wait_s);
    service_tell_start(j->dir, j->name);
    return EXIT_CODE_OK;
}

static void take_back(struct change *change)
{
    struct pki_error e;

    if (change_undo(change, &e))
        fprintf(stderr, "mpquic join: not everything could be taken back: %s\n", e.text);
    else
        fprintf(stderr, "mpquic join: taken back: this machine is as it was before\n");
}

static enum exit_code start(struct join *j, struct change *change)
{
    enum exit_code code;

    if (j->no_start) {
        service_tell_start(j->dir, j->name);
        return EXIT_CODE_OK;
    }
    /* The login that this runs in may be what the tunnel cuts off. */
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    if (*j->old_tun && service_manager_runs(j->dir))
        change_drop_tun(change, j->old_tun);
    code = service_start(&cli_join, j->dir, j->name, true, j->wait_s);
    if (code)
        take_back(change);
    return code;
}

static enum exit_code make(struct join *j)
{
    struct change change;
    struct pki_error e;

    warn_main(&j->config);
    if (change_begin(&change, j->dir, j->name, j->config.tun_name, &e) ||
        change_write(&change, &j->bundle, &j->yaml, j->force, &e))
        return failed(NULL, &e);
    printf("wrote %s and %s\n", j->path, j->tls_dir);
    if (*change.old_config)
        printf("what was there is now %s/%s\n", j->dir, change.old_config);
    if (*change.old_keys)
        printf("what was there is now %s/%s\n", change.tls, change.old_keys);
    return start(j, &change);
}

/* Everything is checked before anything is written. */
static enum exit_code join(struct join *j)
{
    enum exit_code code = read_bundle(j);
    struct pki_error e;
    int rv;

    if (code)
        return code;
    rv = plan(j, &e);
    if (rv) {
        code = failed(NULL, &e);
        return rv == -EHOSTUNREACH ? EXIT_CODE_NO_ANSWER : code;
    }
    code = check_clock(j);
    if (!code && !j->no_check)
        code = check_hub(j);
    if (code)
        return code;
    return j->renews ? renew(j) : make(j);
}

static int run(int argc, char **argv)
{
    struct join j = {.wait_s = SERVICE_WAIT_S};
    enum exit_code code;
    int c;

    while ((c = cli_getopt(&cli_join, argc, argv)) != -1) {
        switch (c) {
        case 'n':
            j.name = optarg;
            break;
        case 'b':
            j.bind = optarg;
            break;
        case 't':
            j.tunnel = optarg;
            break;
        case 'r':
            j.table = optarg;
            break;
        case 'w':
            if (cli_number(&cli_join, "wait", optarg, WAIT_MAX_S, &j.wait_s))
                return EXIT_CODE_USAGE;
            break;
        case 'c':
            j.config_dir = optarg;
            break;
        case 'f':
            j.force = true;
            break;
        case 'k':
            j.no_check = true;
            break;
        case 's':
            j.no_start = true;
            break;
        default:
            return EXIT_CODE_USAGE;
        }
    }
    if (optind + 1 != argc)
        return cli_usage_error(&cli_join, "exactly one file is needed");
    j.file = argv[optind];
    code = join(&j);
    join_done(&j);
    return (int)code;
}

static const struct cli_option options[] = {
    {'n', "name", "NAME", "Name of the instance; otherwise the one in the bundle."},
    {'b', "bind", "WAN",
     "The WAN to use: if:NAME binds the tunnel to an interface and follows its address. Otherwise "
     "the kernel's routes decide, unless they lead into the tunnel itself."},
    {'t', "tunnel", "IFNAME", "Name of the TUN interface; otherwise the one in the bundle."},
    {'r', "route-table", "N",
     "The routing table for what is routed into the tunnel, 0 is main; otherwise the one in the "
     "bundle."},
    {'f', "force", NULL,
     "Replace an instance of this name, its keys included. What was there is kept beside it, with "
     ".~1~ behind its name, or the next number."},
    {'w', "wait", "SECONDS", "How long the tunnel may take to come up; otherwise 30."},
    {'s', "no-start", NULL, "Do not start it."},
    {'k', "no-check", NULL, "Do not connect to the hub first."},
    {'c', "config-dir", "DIR", "Where the configurations are; otherwise /etc/mpquic."},
    {0},
};

const struct cli_verb cli_join = {
    .name = "join",
    .summary = "make this machine an edge of a hub",
    .args = "FILE",
    .text =
        "Reads the bundle FILE that mpquic pki client --bundle has written on the hub (\"-\" is "
        "standard input). Checks this machine's clock, connects to the hub with the certificate of "
        "the bundle, and finds how large packets may be. When all is well it writes "
        "/etc/mpquic/NAME.yaml and the key and certificates below /etc/mpquic/tls/NAME, has "
        "systemd start the tunnel now and at every boot, and waits until it is up. When a check "
        "fails nothing is written, and when the tunnel does not come up everything is taken "
        "back.\n\n"
        "When the instance is there already and is of the same edge and hub, only its key and "
        "certificates are replaced, which a running tunnel takes over: so a renewed certificate "
        "gets to its edge. The configuration stays as it is.\n\n"
        "When the routes hold the hub's own address, the tunnel is bound to the interface by which "
        "the hub is reached now, because it would carry its own packets otherwise.\n\n"
        "What is routed into the tunnel stands in the routing table 100, so that the traffic of "
        "this machine stays as it is: ip-rule(8) says what looks there. The unit "
        "lan-to-tunnel@.service among the examples does it for a LAN.\n\n"
        "A running instance of the same identity is not disturbed by the check.",
    .options = options,
    .run = run,
};
