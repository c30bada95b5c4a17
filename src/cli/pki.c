#include "cli/pki.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/exitcode.h"
#include "base/util.h"
#include "cli/hubfile.h"
#include "cli/remember.h"

static const char default_dir[] = "/etc/mpquic/pki";

/* --- shared ---------------------------------------------------------------------------- */

bool cli_list_add(struct cli_list *list, const char *value)
{
    if (list->n == CLI_LIST_MAX)
        return false;
    list->v[list->n++] = value;
    return true;
}

int cli_failed(const struct cli_verb *verb, const struct pki_error *e)
{
    fprintf(stderr, "mpquic %s: %s\n", verb->name, e->text);
    return EXIT_CODE_FILES;
}

int cli_pki_at(const char *dir, struct pki *ret, struct pki_error *e)
{
    char cwd[FILE_PATH_MAX];
    int n;

    if (!dir)
        dir = getenv("MPQUIC_PKI_DIR");
    if (!dir || !*dir)
        dir = default_dir;
    ret->now_s = clock_real_s();
    if (*dir == '/')
        n = snprintf(ret->dir, sizeof(ret->dir), "%s", dir);
    else if (getcwd(cwd, sizeof(cwd))) /* configurations need the full path */
        n = snprintf(ret->dir, sizeof(ret->dir), "%s/%s", cwd, dir);
    else
        return pki_error_set(e, -errno, "cannot tell the current directory: %s", strerror(errno));
    if (n >= (int)sizeof(ret->dir) - 2 * PKI_NAME_MAX)
        return pki_error_set(e, -ENAMETOOLONG, "--dir: the path is too long");
    while (n > 1 && ret->dir[n - 1] == '/')
        ret->dir[--n] = 0;
    return 0;
}

#define OPTION_DIR                                                                           \
    {                                                                                        \
        'd', "dir", "DIR",                                                                   \
            "The authority's directory. Otherwise the environment variable MPQUIC_PKI_DIR, " \
            "otherwise /etc/mpquic/pki."                                                     \
    }
#define OPTION_DAYS(text)      \
    {                          \
        'D', "days", "N", text \
    }
#define OPTION_RSA                                                                        \
    {                                                                                     \
        'r', "rsa", "BITS",                                                               \
            "Make an RSA key of that many bits, 2048 at least, in place of one of ECDSA " \
            "P-256."                                                                      \
    }

/* Options that several of the verbs have. */
struct common {
    const char *dir;
    unsigned days, rsa_bits;
};

/* Take one. Returns 1 when it is none of them, 0, or -EINVAL after having said what is wrong. */
static int take_common(const struct cli_verb *verb, int c, struct common *ret)
{
    switch (c) {
    case 'd':
        ret->dir = optarg;
        return 0;
    case 'D':
        return cli_number(verb, "days", optarg, PKI_DAYS_MAX, &ret->days);
    case 'r':
        /* how short is too short is for cert_key_make() to say */
        return cli_number(verb, "rsa", optarg, 1000000, &ret->rsa_bits);
    default:
        return 1;
    }
}

/* The files of a certificate, for people. */
static void print_issued(const struct pki *p, enum pki_kind kind, const char *name)
{
    const char *dir = pki_kind_name(kind);
    _cleanup_text_ struct file_text cert = {0};
    char until[PKI_TIME_STR_MAX];
    struct cert_info info;
    struct pki_error ignored;

    printf("%s/%s/%s/%s\n%s/%s/%s/%s\n", p->dir, dir, name, PKI_CERT_FILE, p->dir, dir, name,
           PKI_KEY_FILE);
    if (!pki_read(p, kind, name, PKI_CERT_FILE, &cert, &ignored) &&
        !cert_read(&cert, &info, &ignored))
        printf("serial %s, valid until %s\n", info.serial, pki_time_str(info.not_after, until));
}

/* --- init ------------------------------------------------------------------------------ */

static const struct cli_verb verb_init;

static int run_init(int argc, char **argv)
{
    struct pki_init_opts opts = {0};
    struct common common = {0};
    struct pki_error e;
    bool made = false, new = false;
    struct pki p;
    int c;

    while ((c = cli_getopt(&verb_init, argc, argv)) != -1) {
        int rv = take_common(&verb_init, c, &common);

        if (rv < 0 || c == '?')
            return EXIT_CODE_USAGE;
        if (rv)
            opts.name = optarg;
    }
    if (optind < argc)
        return cli_usage_error(&verb_init, "unexpected argument '%s'", argv[optind]);
    opts.days = common.days;
    opts.rsa_bits = common.rsa_bits;
    if (cli_pki_at(common.dir, &p, &e) || pki_init(&p, &opts, &made, &new, &e))
        return cli_failed(&verb_init, &e);
    printf("%s: %s\n", p.dir,
           new ? "made a certificate authority; ca.key is its secret: keep a copy in a safe place"
           : made ? "completed the certificate authority that is there"
                  : "has a certificate authority already; nothing to do");
    return EXIT_CODE_OK;
}

static const struct cli_option options_init[] = {
    OPTION_DIR,
    {'n', "name", "NAME", "The authority's common name; \"mpquic CA\" otherwise."},
    OPTION_DAYS("Days that the authority is valid; 3650 otherwise."),
    OPTION_RSA,
    {0},
};

static const struct cli_verb verb_init = {
    .name = "pki init",
    .summary = "make a certificate authority",
    .args = "",
    .text = "Makes the key and the certificate of an authority (ca.key, ca.crt), an empty "
            "revocation list (crl.pem) and the index of what it issues (index.txt). What is there "
            "already is kept. To use an authority made elsewhere put its ca.crt and ca.key, PEM "
            "without a passphrase, into the directory first.\n\n"
            "Whoever has ca.key can make himself a peer of the hub. It is needed only to issue, "
            "renew and revoke: it may be kept on another machine than the hub, which needs "
            "ca.crt, crl.pem and the files of its own certificate.",
    .options = options_init,
    .run = run_init,
};

/* --- server ---------------------------------------------------------------------------- */

static const struct cli_verb verb_server;

static int run_server(int argc, char **argv)
{
    struct pki_issue_opts opts = {.kind = PKI_KIND_SERVER};
    struct cli_list sans = {0};
    struct common common = {0};
    struct pki_error e;
    struct pki p;
    int c;

    while ((c = cli_getopt(&verb_server, argc, argv)) != -1) {
        int rv = take_common(&verb_server, c, &common);

        if (rv < 0 || c == '?')
            return EXIT_CODE_USAGE;
        if (rv && !cli_list_add(&sans, optarg))
            return cli_usage_error(&verb_server, "too many --san");
    }
    if (optind + 1 != argc)
        return cli_usage_error(&verb_server, "exactly one name is needed");
    opts.name = argv[optind];
    opts.sans = sans.v;
    opts.n_sans = sans.n;
    opts.days = common.days;
    opts.rsa_bits = common.rsa_bits;
    if (cli_pki_at(common.dir, &p, &e) || pki_issue(&p, &opts, &e))
        return cli_failed(&verb_server, &e);
    print_issued(&p, PKI_KIND_SERVER, opts.name);
    return EXIT_CODE_OK;
}

static const struct cli_option options_server[] = {
    OPTION_DIR,
    {'s', "san", "NAME",
     "One more host name or IP address that the certificate is for; may be "
     "repeated."},
    OPTION_DAYS("Days that the certificate is valid; 825 otherwise."),
    OPTION_RSA,
    {0},
};

static const struct cli_verb verb_server = {
    .name = "pki server",
    .summary = "issue the certificate of a hub",
    .args = "NAME",
    .text = "Makes a key and a certificate for the hub NAME, which is the host name or the IP "
            "address that edges connect to. Edges accept the hub only under this name or one of "
            "--san.",
    .options = options_server,
    .run = run_server,
};

/* --- client ---------------------------------------------------------------------------- */

static const struct cli_verb verb_client;

struct client_args {
    struct common common;
    bool bundle, forget;
    struct cli_bundle_opts opts;
    struct file_text remembered; /* which opts borrow from */
};

/* Options of a bundle. Returns 0, 1 when it is none, or -EINVAL after having said what is wrong. */
static int take_bundle(const struct cli_verb *verb, int c, struct client_args *a)
{
    struct cli_bundle_opts *o = &a->opts;
    struct cli_list *list = c == 'a'   ? &o->addresses
                            : c == 'w' ? &o->networks
                            : c == 'B' ? &o->behind
                            : c == 'R' ? &o->routes
                                       : NULL;
    const char **text = c == 'o'   ? &o->out
                        : c == 'H' ? &o->hub
                        : c == 'N' ? &o->server_name
                        : c == 't' ? &o->tunnel
                        : c == 'T' ? &o->table
                                   : NULL;

    if (list && !cli_list_add(list, optarg)) {
        cli_usage_error(verb, "too many of -%c", c);
        return -EINVAL;
    }
    if (text)
        *text = optarg;
    a->forget |= c == 'F';
    a->bundle |= c == 'b' || c == 'F' || list || text;
    return c == 'b' || c == 'F' || list || text ? 0 : 1;
}

/* What can be wrong is found before a certificate is issued. */
static int begin_bundle(const struct pki *p, struct client_args *a, const char *name,
                        struct bundle *ret, struct config_peer *ret_fixed, struct pki_error *e)
{
    int taken = a->forget ? 0 : remember_load(p, name, &a->opts, &a->remembered, e);
    int rv = taken < 0 ? taken : cli_bundle_begin(p, name, &a->opts, ret, ret_fixed, e);

    if (!rv && taken)
        fprintf(stderr,
                "mpquic pki: %s: with the options of its last bundle (%s/options/%s); --forget "
                "makes one without\n",
                name, p->dir, name);
    return rv;
}

/* Write the bundle of a certificate that is there. */
static int finish_bundle(const struct cli_verb *verb, const struct pki *p,
                         const struct client_args *a, struct bundle *b,
                         const struct config_peer *fixed)
{
    char file[FILE_PATH_MAX], hub[BUNDLE_HOST_MAX + 16];
    struct pki_error e;
    int rv = cli_bundle_finish(p, &a->opts, b, file, &e);
    bool to_stdout = !rv && !strcmp(file, "-");

    if (!rv)
        rv = remember_save(p, b->name, &a->opts, &e);
    bundle_done(b);
    if (!rv && (fixed->n_addr || fixed->n_prefix))
        rv = hub_file_fix_peer(p, fixed, to_stdout ? stderr : stdout, &e);
    if (rv)
        return cli_failed(verb, &e);
    if (!to_stdout)
        printf("%s: for the edge %s of the hub %s; it holds a private key: bring it there by a "
               "safe way and run mpquic join %s\n",
               file, b->name, bundle_hub_str(b->hub, b->port, hub), file);
    return EXIT_CODE_OK;
}

/* Issue; with a bundle a certificate that is there already will do. */
static int issue_client(const struct pki *p, struct client_args *a, const char *name)
{
    struct pki_issue_opts opts = {.kind = PKI_KIND_CLIENT,
                                  .name = name,
                                  .days = a->common.days,
                                  .rsa_bits = a->common.rsa_bits};
    struct config_peer fixed = {0};
    struct bundle b = {0};
    struct pki_error e;
    int rv;

    if (a->bundle && begin_bundle(p, a, name, &b, &fixed, &e))
        return cli_failed(&verb_client, &e);
    rv = pki_issue(p, &opts, &e);
    if (rv == -EEXIST && a->bundle && !opts.days && !opts.rsa_bits)
        fprintf(stderr, "mpquic pki client: %s has a certificate already: it goes into the file\n",
                name);
    else if (rv)
        return cli_failed(&verb_client, &e);
    else if (!a->bundle)
        print_issued(p, PKI_KIND_CLIENT, name);
    return a->bundle ? finish_bundle(&verb_client, p, a, &b, &fixed) : EXIT_CODE_OK;
}

static int run_client(int argc, char **argv)
{
    struct client_args a = {0};
    struct pki_error e;
    struct pki p;
    int c;

    while ((c = cli_getopt(&verb_client, argc, argv)) != -1) {
        int rv = c == '?' ? -EINVAL : take_common(&verb_client, c, &a.common);

        if (rv > 0)
            rv = take_bundle(&verb_client, c, &a);
        if (rv < 0)
            return EXIT_CODE_USAGE;
    }
    if (optind + 1 != argc)
        return cli_usage_error(&verb_client, "exactly one name is needed");
    if (cli_pki_at(a.common.dir, &p, &e))
        return cli_failed(&verb_client, &e);
    c = issue_client(&p, &a, argv[optind]);
    file_text_done(&a.remembered);
    return c;
}

#define OPTIONS_BUNDLE                                                                             \
    {'b', "bundle", NULL,                                                                          \
     "Write NAME.mpquic, one file with all that the edge needs: mpquic join reads it. Implied by " \
     "the options below."},                                                                        \
        {'F', "forget", NULL,                                                                      \
         "Do not use the options that the last bundle of NAME was made with; otherwise those "     \
         "that "                                                                                   \
         "are not given are the same again."},                                                     \
        {'o', "out", "FILE", "Write the bundle there; - is standard output."},                     \
        {'H', "hub", "ADDRESS[:PORT]",                                                             \
         "Where the edge finds the hub. Otherwise what mpquic init has remembered."},              \
        {'N', "server-name", "NAME",                                                               \
         "The name in the hub's certificate, when it is not the address."},                        \
        {'t', "tunnel", "IFNAME", "The edge's TUN interface; mpq0 otherwise."},                    \
        {'a', "address", "ADDRESS[/LENGTH]",                                                       \
         "A tunnel address that only this edge has, at most one of each family; the length is "    \
         "that of the hub's network. Otherwise the hub's pool gives one."},                        \
        {'B', "behind", "PREFIX",                                                                  \
         "A network behind this edge, and behind no other; may be repeated. Otherwise what lies "  \
         "behind it is learned, within the peer_prefixes of the hub."},                            \
        {'w', "network", "PREFIX",                                                                 \
         "A network of the tunnel, at most one of each family, so that the edge itself reaches "   \
         "the hub inside it. Otherwise those of the hub's configuration, if it is on this "        \
         "machine."},                                                                              \
        {'R', "route", "PREFIX",                                                                   \
         "What the edge routes into the tunnel; may be repeated. Otherwise 0.0.0.0/0 and ::/0."},  \
    {                                                                                              \
        'T', "route-table", "N", "The edge's routing table for that; 100 otherwise, 0 is main."    \
    }

static const struct cli_option options_client[] = {
    OPTION_DIR, OPTION_DAYS("Days that the certificate is valid; 825 otherwise."),
    OPTION_RSA, OPTIONS_BUNDLE,
    {0},
};

static const struct cli_verb verb_client = {
    .name = "pki client",
    .summary = "issue the certificate of an edge",
    .args = "NAME",
    .text =
        "Makes a key and a certificate for the edge NAME. The hub knows the edge by this "
        "name.\n\n"
        "With --bundle it writes one file for the edge; when NAME has a certificate already, "
        "the file is made of that one.\n\n"
        "What --address and --behind fix is written into peers of the hub's configuration too, "
        "which the running hub takes over; mpquic init has remembered where that is. On another "
        "machine than the hub, and where the file is laid out in an unusual way, the lines to "
        "add are printed instead.",
    .options = options_client,
    .run = run_client,
};

/* --- renew ----------------------------------------------------------------------------- */

static const struct cli_verb verb_renew;

static int renew(const struct pki *p, const struct pki_renew_opts *opts, struct client_args *a)
{
    struct config_peer fixed = {0};
    struct bundle b = {0};
    enum pki_kind kind;
    struct pki_error e;

    if (a->bundle && begin_bundle(p, a, opts->name, &b, &fixed, &e))
        return cli_failed(&verb_renew, &e);
    if (pki_renew(p, opts, &kind, &e))
        return cli_failed(&verb_renew, &e);
    if (a->bundle && kind == PKI_KIND_CLIENT)
        return finish_bundle(&verb_renew, p, a, &b, &fixed);
    print_issued(p, kind, opts->name);
    printf(kind == PKI_KIND_SERVER
               ? "a running instance takes the new files by itself\n"
               : "bring both files to the edge, or add --bundle and run mpquic join there; a "
                 "running instance takes them by itself\n");
    return EXIT_CODE_OK;
}

static int run_renew(int argc, char **argv)
{
    struct pki_renew_opts opts = {0};
    struct client_args a = {0};
    struct cli_list sans = {0};
    struct pki_error e;
    struct pki p;
    int c;

    while ((c = cli_getopt(&verb_renew, argc, argv)) != -1) {
        int rv = c == '?' ? -EINVAL : take_common(&verb_renew, c, &a.common);

        if (rv > 0)
            rv = take_bundle(&verb_renew, c, &a);
        if (rv < 0)
            return EXIT_CODE_USAGE;
        opts.new_key |= c == 'k';
        if (c == 's' && !cli_list_add(&sans, optarg))
            return cli_usage_error(&verb_renew, "too many --san");
    }
    if (optind + 1 != argc)
        return cli_usage_error(&verb_renew, "exactly one name is needed");
    if (a.common.rsa_bits && !opts.new_key)
        return cli_usage_error(&verb_renew, "--rsa needs --new-key");
    opts.name = argv[optind];
    opts.sans = sans.v;
    opts.n_sans = sans.n;
    opts.days = a.common.days;
    opts.rsa_bits = a.common.rsa_bits;
    if (cli_pki_at(a.common.dir, &p, &e))
        return cli_failed(&verb_renew, &e);
    c = renew(&p, &opts, &a);
    file_text_done(&a.remembered);
    return c;
}

static const struct cli_option options_renew[] = {
    OPTION_DIR,
    OPTION_DAYS("Days that the certificate is valid; 825 otherwise."),
    {'k', "new-key", NULL, "Make a new key too."},
    {'s', "san", "NAME",
     "One more host name or IP address that a hub's certificate is for; may be repeated."},
    OPTION_RSA,
    OPTIONS_BUNDLE,
    {0},
};

static const struct cli_verb verb_renew = {
    .name = "pki renew",
    .summary = "issue a certificate anew",
    .args = "NAME",
    .text = "Issues the certificate of the hub or edge NAME anew, for the same names, with the "
            "same key unless --new-key is given. The files are exchanged once the new ones are "
            "complete. The former certificate stays valid until its own end; pki revoke --serial "
            "ends it earlier.",
    .options = options_renew,
    .run = run_renew,
};

/* --- revoke ---------------------------------------------------------------------------- */

static const struct cli_verb verb_revoke;

static int run_revoke(int argc, char **argv)
{
    const char *dir = NULL, *serial = NULL, *name;
    struct pki_error e;
    unsigned n = 0;
    struct pki p;
    int c;

    while ((c = cli_getopt(&verb_revoke, argc, argv)) != -1) {
        if (c == '?')
            return EXIT_CODE_USAGE;
        *(c == 'd' ? &dir : &serial) = optarg;
    }
    name = argv[optind];
    if (argc - optind != (serial ? 0 : 1))
        return cli_usage_error(&verb_revoke, serial ? "a name or --serial, not both"
                                                    : "exactly one name is needed, or --serial");
    if (cli_pki_at(dir, &p, &e) || pki_revoke(&p, name, serial, &n, &e))
        return cli_failed(&verb_revoke, &e);
    if (!n)
        printf("%s: was revoked already; nothing to do\n", serial ? serial : name);
    else
        printf("%s: revoked %u certificate%s in %s/crl.pem; a running hub that has it as "
               "tls_crl_file reads it by itself within seconds and ends the session\n",
               serial ? serial : name, n, n == 1 ? "" : "s", p.dir);
    return EXIT_CODE_OK;
}

static const struct cli_option options_revoke[] = {
    OPTION_DIR,
    {'s', "serial", "HEX", "Revoke the certificate of this serial number, as pki show tells it."},
    {0},
};

static const struct cli_verb verb_revoke = {
    .name = "pki revoke",
    .summary = "revoke the certificates of a name",
    .args = "[NAME]",
    .text = "Puts every certificate of NAME that has not ended into the revocation list. A hub "
            "whose tls_crl_file names the list takes it within seconds and ends the sessions of "
            "what is revoked; on a hub elsewhere replace its copy of crl.pem. There is no way "
            "back: issue another certificate.",
    .options = options_revoke,
    .run = run_revoke,
};

/* --------------------------------------------------------------------------------------- */

static const struct cli_verb *const subs[] = {
    &verb_init, &verb_server, &verb_client, &verb_renew, &verb_revoke, &cli_pki_show, NULL,
};

const struct cli_verb cli_pki = {
    .name = "pki",
    .summary = "make, renew, revoke and show certificates",
    .args = "",
    .text = "A small certificate authority: files in one directory, changed by one command at a "
            "time, whole or not at all. Keys are ECDSA P-256 with mode 0600. Certificates begin 12 "
            "hours before they are made, for edges whose clock is behind.",
    .subs = subs,
};
