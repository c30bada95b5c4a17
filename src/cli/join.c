#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"
#include "cli/cli.h"
#include "cli/service.h"
#include "daemon/probe.h"
#include "pki/bundle.h"
#include "pki/cert.h"

enum { LOCK_WAIT_MS = 10000, CLOCK_SLACK_S = 300, PACKET_MIN = 1280 };

#define TLS_DIR "tls"
#define CA_FILE "ca.pem"
#define CERT_FILE "cert.pem"
#define KEY_FILE "key.pem"

struct join {
    const char *file, *name, *bind, *tunnel, *config_dir;
    bool force, no_check, no_start;
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
    if (b->route_table)
        fprintf(f, "route_table: %u\n", b->route_table);
    fprintf(f, "tls_cert_file: %s/%s\ntls_key_file: %s/%s\ntls_ca_file: %s/%s\n", j->tls_dir,
            CERT_FILE, j->tls_dir, KEY_FILE, j->tls_dir, CA_FILE);
    if (*b->server_name)
        fprintf(f, "tls_server_name: \"%s\"\n", b->server_name);
}

static int make_config(struct join *j, struct pki_error *e)
{
    char *text = NULL;
    size_t len = 0;
    FILE *f;
    int rv;

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
        rv = file_path(parent, j->dir, TLS_DIR, e);
    if (!rv)
        rv = file_path(j->tls_dir, parent, j->name, e);
    if (!rv && !j->force && (file_exists(j->path) || file_exists(j->tls_dir)))
        rv = pki_error_set(e, -EEXIST,
                           "%s is there already: add --force to replace it, or --name "
                           "NAME for another tunnel beside it",
                           file_exists(j->path) ? j->path : j->tls_dir);
    return rv;
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
        fprintf(stderr, "mpquic join: hub %s: %s\n", hub, r.why);
        return code;
    }
    printf("hub: %s accepts us, round trip %.1f ms\n", hub, (double)r.rtt_ns / NS_PER_MS);
    report_mtu(&r);
    return EXIT_CODE_OK;
}

/* --- writing --------------------------------------------------------------------------- */

static int write_files(const struct join *j, struct pki_error *e)
{
    const struct bundle *b = &j->bundle;
    const struct file_item items[] = {
        {KEY_FILE, 0600, &b->key}, {CERT_FILE, 0644, &b->cert}, {CA_FILE, 0644, &b->ca}};
    char tls[FILE_PATH_MAX], name[BUNDLE_NAME_MAX + sizeof(".yaml")];
    _cleanup_close_ int lock = -1;
    int rv = file_path(tls, j->dir, TLS_DIR, e);

    if (!rv)
        rv = file_make_dir(tls, 0755, e);
    if (rv)
        return rv;
    lock = file_lock_dir(j->dir, LOCK_WAIT_MS, e);
    if (lock < 0)
        return lock;
    snprintf(name, sizeof(name), "%s.yaml", j->name);
    rv = file_write_dir(tls, j->name, items, ARRAY_LEN(items), j->force, e);
    return rv ? rv : file_write(j->dir, name, 0644, &j->yaml, e);
}

/* Everything is checked before anything is written. */
static enum exit_code join(struct join *j)
{
    enum exit_code code = read_bundle(j);
    struct pki_error e;

    if (code)
        return code;
    if (place(j, &e) || make_config(j, &e))
        return failed(NULL, &e);
    code = check_clock(j);
    if (!code && !j->no_check)
        code = check_hub(j);
    if (code)
        return code;
    if (write_files(j, &e))
        return failed(NULL, &e);
    printf("wrote %s and %s\n", j->path, j->tls_dir);
    if (j->no_start) {
        service_tell_start(j->dir, j->name);
        return EXIT_CODE_OK;
    }
    return service_start(&cli_join, j->dir, j->name, true, true);
}

static int run(int argc, char **argv)
{
    struct join j = {0};
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
     "the kernel's routes decide."},
    {'t', "tunnel", "IFNAME", "Name of the TUN interface; otherwise the one in the bundle."},
    {'f', "force", NULL, "Replace an instance of this name, its keys included."},
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
        "fails nothing is written.\n\n"
        "What is routed into the tunnel stands in the routing table 100, so that the traffic of "
        "this machine stays as it is: ip-rule(8) says what looks there. The unit "
        "lan-to-tunnel@.service among the examples does it for a LAN.\n\n"
        "A running instance of the same identity is not disturbed by the check.",
    .options = options,
    .run = run,
};
